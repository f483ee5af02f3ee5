/* The trainer: what it holds, its steps, and their losses. */
#include "train/team/team.h"
#include "impl.h"
#include "net/replicas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- create and destroy ---- */

static int fill(void *trainer, struct ssa_feed_key key, struct ssa_batch *batch)
{
    const struct ssa_trainer *t = trainer;
    return ssa_task_fill(&t->task, key, batch);
}

static int sample(void *trainer, struct ssa_feed_key key, int layer, struct ssa_sample *how)
{
    const struct ssa_trainer *t = trainer;
    return ssa_task_sample(&t->task, t->model, key, layer, how);
}

/* Of a pool the host backend may join, or judge. */
static int create_feed(struct ssa_trainer *t)
{
    const struct ssa_replicas *replicas = ssa_model_replicas(t->model);
    return ssa_feed_create(&t->feed, &(struct ssa_feed_config){
        .layout = ssa_batch_layout(t->model, t->task.data.soft), .count = t->task.micro_batch,
        .takers = replicas ? replicas->pool->count + 1 : 1, .fill = fill, .sample = sample,
        .layers = ssa_task_layers_drawn(&t->task, t->model), .cookie = t});
}

static int check(const struct ssa_model *model, const struct ssa_train_config *training, const struct ssa_data *data)
{
    const struct ssa_model_config *m = ssa_model_config(model);
    const struct ssa_model_limits *limits = ssa_model_limits(model);
    const struct ssa_batch_layout layout = ssa_batch_layout(model, data && data->soft);
    int err;
    REQUIRE(limits->training, "train: the model was made without limits.training");
    TRY(ssa_train_config_check(training, m, limits->batch));
    TRY(ssa_data_check(data, ssa_model_facts(m), ssa_model_facts(m).length));
    REQUIRE(!training->blocks || !data->fill, "train: blocks are of token ids; a source says itself what it fills");
    REQUIRE(!data->soft || data->fill, "data: soft targets are given by fill, which is NULL");
    REQUIRE(!data->soft || ssa_batch_has_soft(&layout), "data: a %s takes no soft targets", ssa_model_family(m->family));
done:
    return err;
}

static int check_ranks(const struct ssa_task *task)
{
    const struct ssa_ranks *ranks = task->config.ranks;
    int err = SSA_OK;
    REQUIRE(!ranks || task->micros >= ranks->count, "train: a batch of %d in micro-batches of %d (limits.batch) is %d of "
            "them for %d ranks; each needs one: use a larger batch, smaller micro-batches or fewer ranks",
            task->config.batch, task->micro_batch, task->micros, ranks ? ranks->count : 0);
done:
    return err;
}

int ssa_trainer_create(struct ssa_trainer **trainer, struct ssa_model *model, const struct ssa_train_config *training,
                       const struct ssa_data *data)
{
    struct ssa_trainer *t = NULL;
    int err;
    *trainer = NULL;
    TRY(check(model, training, data));
    t = calloc(1, sizeof *t);
    if (!t)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    t->model = model;
    TRY(ssa_task_create(&t->task, model, training, data));
    TRY(check_ranks(&t->task));
    TRY(create_feed(t));
    TRY(ssa_team_create(t));
    *trainer = t;
    t = NULL;
done:
    ssa_trainer_destroy(t);
    return err;
}

void ssa_trainer_destroy(struct ssa_trainer *t)
{
    if (!t)
        return;
    ssa_reduce_destroy(t->reduce);
    ssa_team_destroy(t->team);
    ssa_feed_destroy(t->feed);
    ssa_task_finish(&t->task);
    free(t);
}

const struct ssa_train_config *ssa_trainer_config(const struct ssa_trainer *t)
{
    return &t->task.config;
}

int ssa_trainer_steps_done(const struct ssa_trainer *t)
{
    return t->step;
}

int ssa_trainer_total_steps(const struct ssa_trainer *t)
{
    return ssa_train_config_steps(&t->task.config);
}

int ssa_trainer_step(struct ssa_trainer *t)
{
    int err;
    REQUIRE(t->step < ssa_trainer_total_steps(t), "train: all %d steps are done", t->step);
    REQUIRE(!t->averaged, "train: the model has the average of the weights: ssa_trainer_use_average(trainer, 0) comes "
            "before the next step");
    if (t->step - t->judged >= SSA_LOSSES - 1) /* one more would overwrite the norm of the last step known to be good */
        TRY(ssa_trainer_check(t));
    TRY(ssa_team_step(t));
done:
    return err;
}

/* ---- what came of the steps ---- */

/* By their bits, so that the loop has no branch: an exponent of ones is an infinity or no number. */
bool ssa_all_finite(const float *x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static int kept(const struct ssa_trainer *t)
{
    return t->counted < SSA_LOSSES ? t->counted : SSA_LOSSES;
}

int ssa_trainer_losses(struct ssa_trainer *t, int count, float *losses, float *norm)
{
    float squares[SSA_LOSSES];
    int err;
    REQUIRE(count > 0 && count <= kept(t), "train: %d losses wanted, %d are kept", count, kept(t));
    TRY(ssa_team_history(t, count, losses, squares));
    if (norm)
        *norm = sqrtf(squares[count - 1]);
done:
    return err;
}

static int first_not_finite(const float *x, int count)
{
    int i = 0;
    while (i < count && isfinite(x[i]))
        i++;
    return i;
}

int ssa_trainer_judge(struct ssa_trainer *t, int count, const float *losses, const float *squares)
{
    int loss = first_not_finite(losses, count), norm = first_not_finite(squares, count), before = t->step - count;
    t->judged = t->step;
    if (loss == count && norm == count)
        return SSA_OK;
    if (norm < count)
        ssa_team_go_back(t, before + norm); /* the steps after it have changed nothing */
    bool is_loss = loss <= norm;
    int step = before + (is_loss ? loss : norm) + 1;
    double lr = (double)ssa_learning_rate(&t->task.config, step - 1);
    if (ssa_trainer_over_ranks(t))
        t->task.config.ranks->unanimous = 1;
    return ssa_fail(SSA_ENUMERIC, "train: the %s of step %d is not finite%s; lower the learning rate (now %g)%s",
                    is_loss ? "loss" : "norm of the gradient", step, t->step < step ? ", so that it was not taken" : "",
                    lr, t->step < step && t->task.config.clip <= 0 ? " or clip the gradient" : "");
}

int ssa_trainer_check(struct ssa_trainer *t)
{
    float losses[SSA_LOSSES], squares[SSA_LOSSES];
    int count, err;
    TRY(ssa_team_settle(t, t->step)); /* a device that is lost over this takes steps back */
    count = t->step - t->judged < kept(t) ? t->step - t->judged : kept(t);
    if (count < 1)
        return SSA_OK;
    TRY(ssa_team_history(t, count, losses, squares));
    memset(losses, 0, sizeof losses);
    TRY(ssa_trainer_judge(t, count, losses, squares));
done:
    return err;
}

int ssa_trainer_settle(struct ssa_trainer *t)
{
    int done = t->step, err = ssa_trainer_check(t);
    if (err != SSA_ENUMERIC)
        return err;
    ssa_log(SSA_LOG_WARNING, "%s; it is at step %d again, not %d", ssa_last_error(), t->step, done);
    if (ssa_trainer_over_ranks(t))
        t->task.config.ranks->unanimous = 0;
    return SSA_OK;
}

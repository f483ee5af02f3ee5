/* The trainer: what it holds, a step of one device, and its losses. */
#include "checkpoint/checkpoint.h"
#include "train/team/crew.h"
#include "train/sum/over_ranks.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- create and destroy ---- */

int ssa_trainer_sample(void *trainer, struct ssa_feed_key key, int layer, struct ssa_sample *how)
{
    const struct ssa_trainer *t = trainer;
    int err = ssa_model_sample(ssa_model_config(t->model), &t->config.stages[ssa_trainer_stage(t, key.step)].pattern,
                               layer, t->micro_batch, (int)key.number * t->micro_batch, how);
    how->seed = t->config.seed;
    how->step = key.step;
    return err;
}

/* For the queue: layer and micro-batch of plan `index`. */
static int plan_settings(void *cookie, uint64_t step, int index, struct ssa_sample *how)
{
    struct ssa_trainer *t = cookie;
    const struct ssa_feed_key key = {step, (uint64_t)(t->first_group + index / t->layers)};
    return ssa_trainer_sample(t, key, index % t->layers, how);
}

static bool samples(const struct ssa_trainer *t)
{
    bool sampled = false;
    for (int i = 0; i < t->config.stage_count; i++)
        sampled = sampled || ssa_pattern_samples(&t->config.stages[i].pattern, ssa_model_config(t->model));
    return sampled;
}

/* Plans that come with a batch. */
static int layers_drawn(const struct ssa_trainer *t)
{
    return t->facts.mixed && samples(t) ? t->layers : 0;
}

static int create_queue(struct ssa_trainer *t)
{
    const bool sampled = samples(t) && !t->facts.mixed;
    bool per_example = false;
    for (int i = 0; i < t->config.stage_count; i++)
        per_example = per_example ||
                      ssa_pattern_per_example(&t->config.stages[i].pattern, ssa_model_config(t->model));
    t->groups = per_example ? t->micros : 1;
    if (per_example && t->config.ranks) { /* those of this rank */
        t->first_group = ssa_rank_first(t->config.ranks, t->config.ranks->rank, t->micros);
        t->groups = ssa_rank_first(t->config.ranks, t->config.ranks->rank + 1, t->micros) - t->first_group;
    }
    return sampled ? ssa_plan_queue_create(&t->queue, t->groups * t->layers, plan_settings, t) : SSA_OK;
}

static int create_moments(struct ssa_trainer *t)
{
    int err = SSA_OK;
    for (int kind = SSA_KIND_FIRST; kind < SSA_KINDS; kind++)
        if (ssa_train_config_has(&t->config, kind))
            TRY(ssa_model_arena(t->model, &t->kinds[kind]));
done:
    return err;
}

static int create_partials(struct ssa_trainer *t)
{
    int depth = ssa_tree_depth(t->micros), err = SSA_OK;
    t->partials = calloc((size_t)depth + 1, sizeof *t->partials);
    if (!t->partials)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (int i = 0; i < depth; i++)
        TRY(ssa_model_arena(t->model, &t->partials[i]));
done:
    return err;
}

/* Of a pool the host backend may join, or judge. */
static int create_feed(struct ssa_trainer *t)
{
    const struct ssa_group *group = ssa_model_group(t->model);
    t->owns_feed = true;
    return ssa_feed_create(&t->feed, &(struct ssa_feed_config){.layout = t->layout, .count = t->micro_batch,
        .takers = group ? group->pool->count + 1 : 1, .fill = ssa_trainer_fill, .sample = ssa_trainer_sample,
        .layers = layers_drawn(t), .cookie = t});
}

int ssa_trainer_allocate(struct ssa_trainer *t)
{
    int err;
    TRY(ssa_batch_create(&t->batch, &t->layout, t->micro_batch));
    TRY(ssa_feed_plans_create(&t->drawn, layers_drawn(t)));
    t->plans = calloc((size_t)t->layers, sizeof *t->plans);
    if (!t->plans)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    TRY(create_moments(t));
    TRY(create_partials(t));
    TRY(ssa_buffer_create(&t->scalars, t->device, ssa_trainer_scalars(t->micros) * sizeof(float)));
    TRY(ssa_trainer_forgive(t));
    TRY(create_queue(t));
done:
    return err;
}

int ssa_trainer_prepare(struct ssa_trainer **trainer, struct ssa_model *model, const struct ssa_train_config *training,
                        const struct ssa_data *data)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(model));
    const struct ssa_model_limits *limits = ssa_model_limits(model);
    struct ssa_trainer *t = calloc(1, sizeof *t);
    int err;
    *trainer = NULL;
    if (!t)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    t->model = model;
    t->device = ssa_model_group(model) ? NULL : ssa_model_device(model);
    t->data = *data;
    t->facts = facts;
    t->layers = facts.layers;
    t->length = facts.length;
    t->layout = ssa_batch_layout(model, t->data.soft);
    t->micro_batch = limits->batch;
    TRY(ssa_train_config_copy(&t->config, training, limits->batch));
    t->micros = t->config.batch / t->micro_batch;
    REQUIRE(!t->config.ranks || t->micros >= t->config.ranks->count, "train: a batch of %d in micro-batches of %d "
            "(limits.batch) is %d of them for %d ranks; each needs one: use a larger batch, smaller micro-batches or "
            "fewer ranks", t->config.batch, t->micro_batch, t->micros, t->config.ranks->count);
    *trainer = t;
    t = NULL;
done:
    ssa_trainer_destroy(t);
    return err;
}

int ssa_trainer_create(struct ssa_trainer **trainer, struct ssa_model *model, const struct ssa_train_config *training,
                       const struct ssa_data *data)
{
    const struct ssa_model_config *m = ssa_model_config(model);
    const struct ssa_model_limits *limits = ssa_model_limits(model);
    struct ssa_trainer *t = NULL;
    int err;
    *trainer = NULL;
    REQUIRE(limits->training, "train: the model was made without limits.training");
    TRY(ssa_train_config_check(training, m, limits->batch));
    TRY(ssa_data_check(data, ssa_model_facts(m), ssa_model_facts(m).length));
    TRY(ssa_trainer_prepare(&t, model, training, data));
    REQUIRE(!training->blocks || !data->fill, "train: blocks are of token ids; a source says itself what it fills");
    REQUIRE(!data->soft || data->fill, "data: soft targets are given by fill, which is NULL");
    REQUIRE(!data->soft || ssa_batch_has_soft(&t->layout), "data: a %s takes no soft targets",
            ssa_model_family(m->family));
    TRY(create_feed(t));
    TRY(ssa_model_group(model) ? ssa_crew_create(t) : ssa_trainer_allocate(t));
    if (!t->crew && t->config.ranks && t->config.ranks->count > 1)
        TRY(ssa_over_ranks_create(t, model));
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
    ssa_over_ranks_destroy(t->over_ranks);
    ssa_crew_destroy(t->crew);
    if (t->owns_feed)
        ssa_feed_destroy(t->feed);
    ssa_plan_queue_destroy(t->queue);
    if (t->device)
        ssa_device_finish(t->device);
    ssa_buffer_destroy(t->scalars);
    for (int i = 0; t->partials && i < ssa_tree_depth(t->micros); i++)
        ssa_arena_finish(&t->partials[i]);
    free(t->partials);
    ssa_train_config_finish(&t->config);
    for (int kind = 0; kind < SSA_KINDS; kind++)
        ssa_arena_finish(&t->kinds[kind]);
    ssa_batch_finish(&t->batch);
    ssa_feed_plans_finish(&t->drawn);
    free(t->plans);
    free(t);
}

const struct ssa_train_config *ssa_trainer_config(const struct ssa_trainer *t)
{
    return &t->config;
}

int ssa_trainer_steps_done(const struct ssa_trainer *t)
{
    return t->step;
}

int ssa_trainer_total_steps(const struct ssa_trainer *t)
{
    int sum = 0;
    for (int i = 0; i < t->config.stage_count; i++)
        sum += t->config.stages[i].steps;
    return sum;
}

struct ssa_tensor ssa_trainer_moment(const struct ssa_trainer *t, const struct ssa_parameter *p, int kind)
{
    return ssa_tensor_add(ssa_model_part_at(t->model, &t->kinds[kind], p->part), p->offset);
}

int ssa_trainer_step(struct ssa_trainer *t)
{
    int err;
    REQUIRE(t->step < ssa_trainer_total_steps(t), "train: all %d steps are done", t->step);
    REQUIRE(!t->averaged, "train: the model has the average of the weights: ssa_trainer_use_average(trainer, 0) comes "
            "before the next step");
    if (t->step - t->judged >= SSA_LOSSES - 1) /* one more would overwrite the norm of the last step known to be good */
        TRY(ssa_trainer_check(t));
    if (t->crew)
        return ssa_crew_step(t);
    if (t->over_ranks) {
        TRY(ssa_over_ranks_step(t));
    } else {
        TRY(ssa_trainer_gradients(t, 0, t->micros, NULL, NULL));
        TRY(ssa_trainer_update(t));
    }
    t->step++;
    t->counted++;
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

int ssa_trainer_history(struct ssa_trainer *t, int count, float *losses, float *squares)
{
    size_t size = ssa_trainer_scalars(t->micros);
    float *all;
    int err;
    if (t->crew)
        return ssa_crew_history(t, count, losses, squares);
    all = malloc(size * sizeof *all);
    if (!all)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    TRY(ssa_tensor_read(ssa_tensor_at(t->scalars, 0), all, size));
    for (int i = 0; i < count; i++) {
        int step = t->step - count + i;
        losses[i] = ssa_tree_sum(all + ssa_trainer_loss_at(t, step, 0), t->micros) / ssa_trainer_answers(t);
        squares[i] = all[ssa_trainer_squares_at(t, step)];
    }
done:
    free(all);
    return err;
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
    TRY(ssa_trainer_history(t, count, losses, squares));
    if (norm)
        *norm = sqrtf(squares[count - 1]);
done:
    return err;
}

/* The steps after `step` have changed nothing. */
static void go_back(struct ssa_trainer *t, int step)
{
    t->counted -= t->step - step;
    t->step = t->judged = step;
    if (t->crew)
        ssa_crew_go_back(t->crew, step);
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
        go_back(t, before + norm);
    bool is_loss = loss <= norm;
    int step = before + (is_loss ? loss : norm) + 1;
    double lr = (double)ssa_learning_rate(&t->config, step - 1);
    if (t->over_ranks)
        t->config.ranks->together = 1;
    return ssa_fail(SSA_ENUMERIC, "train: the %s of step %d is not finite%s; lower the learning rate (now %g)%s",
                    is_loss ? "loss" : "norm of the gradient", step, t->step < step ? ", so that it was not taken" : "",
                    lr, t->step < step && t->config.clip <= 0 ? " or clip the gradient" : "");
}

int ssa_trainer_check(struct ssa_trainer *t)
{
    float losses[SSA_LOSSES], squares[SSA_LOSSES];
    int count, err;
    if (t->crew) /* a device that is lost over this takes steps back */
        TRY(ssa_crew_settle(t, t->step));
    count = t->step - t->judged < kept(t) ? t->step - t->judged : kept(t);
    if (count < 1)
        return SSA_OK;
    TRY(ssa_trainer_history(t, count, losses, squares));
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
    if (t->over_ranks)
        t->config.ranks->together = 0;
    return SSA_OK;
}

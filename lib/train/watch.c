/* Held-out data on the way of a training: the best parameters kept, an end where nothing gets better. */
#include "internal.h"
#include "ssacl/checkpoint.h"
#include "ssacl/evaluate.h"
#include "ssacl/ranks.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>

int ssa_watch_check(const struct ssa_trainer *t, const struct ssa_watch *w)
{
    int err;
    TRY(ssa_check_reserved("train: watch", w->reserved, 4));
    REQUIRE(w->data, "train: watch: data is NULL");
    TRY(ssa_data_check(w->data, t->task.facts, 1));
    REQUIRE(w->every >= 0, "train: watch: every is %d, must not be negative", w->every);
    REQUIRE(w->patience >= 0, "train: watch: patience is %d, must not be negative", w->patience);
    REQUIRE(w->gain >= 0 && isfinite(w->gain), "train: watch: gain is %g, must be 0 or a positive number of nats a "
            "token", w->gain);
done:
    return err;
}

static int every(const struct ssa_trainer *t, const struct ssa_watch *w)
{
    const size_t batch = (size_t)t->task.config.batch, step = t->task.data.fill ? batch : batch * (size_t)t->task.length;
    const size_t epoch = ((t->task.data.fill ? t->task.data.examples : t->task.data.count) + step - 1) / step;
    return w->every ? w->every : epoch < INT32_MAX ? (int)epoch : INT32_MAX;
}

int ssa_watch_next(const struct ssa_trainer *t, const struct ssa_watch *w)
{
    const int total = ssa_trainer_total_steps(t), left = every(t, w) - t->step % every(t, w);
    return left < total - t->step ? t->step + left : total;
}

/* A NaN is no better than anything. */
static bool is_better(const struct ssa_trainer *t, const struct ssa_watch *w, double loss)
{
    return t->best.step ? loss < t->best.loss - w->gain : isfinite(loss);
}

/* Of the average, where one is kept; whatever becomes of that, the model has its weights again. */
static int evaluate(struct ssa_trainer *t, const struct ssa_watch *w, struct ssa_scores *scores)
{
    char why[512];
    int err, back;
    if (t->task.config.ema <= 0)
        return ssa_evaluate(t->model, w->data, &w->how, scores, NULL, NULL);
    TRY(ssa_trainer_use_average(t, 1));
    err = ssa_evaluate(t->model, w->data, &w->how, scores, NULL, NULL);
    snprintf(why, sizeof why, "%s", err ? ssa_last_error() : "");
    back = ssa_trainer_use_average(t, 0);
    if (err)
        ssa_fail(err, "%s", why);
    err = err ? err : back;
done:
    return err;
}

static bool keep(struct ssa_trainer *t, const struct ssa_watch *w)
{
    if (!w->best)
        return false;
    if (ssa_checkpoint_save(w->best, t->model, t, w->note) == SSA_OK)
        return true;
    ssa_log(SSA_LOG_WARNING, "train: the best so far, of step %d, is not kept: %s", t->step, ssa_last_error());
    return false;
}

int ssa_watch_look(struct ssa_trainer *t, const struct ssa_watch *w)
{
    struct ssa_watched watched = {.step = t->step};
    int err = SSA_OK;
    if (t->task.config.ranks && t->task.config.ranks->rank)
        return SSA_OK;
    TRY(evaluate(t, w, &watched.scores));
    if (is_better(t, w, watched.scores.loss)) {
        t->best = (struct ssa_best){.step = t->step, .loss = watched.scores.loss};
        watched.saved = keep(t, w);
    } else {
        t->best.stale++;
    }
    t->out_of_patience = w->patience && t->best.stale >= w->patience;
    watched.best_step = t->best.step;
    watched.best_loss = t->best.loss;
    watched.stale = t->best.stale;
    watched.ends = t->out_of_patience;
    if (w->watched)
        w->watched(w->cookie, &watched);
done:
    return err;
}

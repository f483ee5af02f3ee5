/* Evaluation on held-out data, alone or as a self-ensemble of sampled passes.
 *
 * It is cut into units: a pass over a batch of windows, numbered pass after pass. Whoever is free takes the next
 * (units.h), and the losses are added in a fixed order (ensemble.h). */
#include "evaluate.h"
#include "clock.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_PASSES = 1000 };

/* ---- windows ---- */

/* What window number `w` of the chosen predicts: `known` tokens from `start` on but for the first `context`, which the
 * window before has predicted. Past the last window, nothing. */
struct window {
    size_t start, known, context;
};
static struct window window_at(const struct ssa_evaluator *e, size_t w)
{
    size_t length = (size_t)e->facts.length;
    struct window window = {0};
    if (w < e->chosen) {
        size_t number = w * e->windows / e->chosen;
        window.start = number * e->stride;
        window.known = e->data.count - 1 - window.start;
        window.known = window.known < length ? window.known : length;
        window.context = number ? length - e->stride : 0;
    }
    return window;
}

static void fill_window(const struct ssa_worker *worker, size_t w, int b)
{
    const struct ssa_evaluator *e = worker->e;
    size_t length = (size_t)e->facts.length;
    int32_t *tokens = worker->tokens + (size_t)b * length, *targets = worker->targets + (size_t)b * length;
    struct window window = window_at(e, w);
    ssa_data_copy(&e->data, window.start, window.known, tokens);
    ssa_data_copy(&e->data, window.start + 1, window.known, targets);
    for (size_t i = 0; i < window.context; i++)
        targets[i] = -1;
    for (size_t i = window.known; i < length; i++) {
        tokens[i] = 0;
        targets[i] = -1;
    }
}

static void choose_windows(struct ssa_evaluator *e)
{
    size_t length = (size_t)e->facts.length, predicted = e->data.count - 1;
    e->stride = e->how.stride ? e->how.stride : length;
    e->windows = 1 + (predicted > length ? (predicted - length + e->stride - 1) / e->stride : 0);
    e->chosen = e->how.windows && e->how.windows < e->windows ? e->how.windows : e->windows;
    e->batches = (e->chosen + (size_t)e->batch - 1) / (size_t)e->batch;
}

static int make_ensemble(struct ssa_evaluator *e)
{
    size_t *first = malloc((e->batches + 1) * sizeof *first), batch = (size_t)e->batch;
    int err;
    if (!first)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    for (size_t w = 0; w < e->batches * batch; w++) {
        struct window window = window_at(e, w);
        if (w % batch == 0)
            first[w / batch] = e->counted;
        e->counted += window.known - window.context;
    }
    first[e->batches] = e->counted;
    TRY(ssa_ensemble_create(&e->ensemble, e->passes, e->batches, first, e->how.tolerance));
done:
    free(first);
    return err;
}

/* ---- a unit ---- */

/* Draws are numbered such that the first m of M passes are the same for every M. */
static int plan_settings(void *cookie, uint64_t unit, int layer, struct ssa_sample *how)
{
    const struct ssa_evaluator *e = cookie;
    int err = ssa_pattern_sample(e->how.pattern, layer, e->facts.layers, e->facts.length, e->batch, how);
    how->seed = e->how.seed;
    how->step = unit % e->batches << 10 | unit / e->batches;
    return err;
}

static int enter(const struct ssa_worker *w)
{
    return w->member ? ssa_member_enter(w->member) : SSA_OK;
}

static void leave(const struct ssa_worker *w)
{
    if (w->member)
        ssa_member_leave(w->member);
}

static int take(struct ssa_worker *w, struct ssa_unit *unit)
{
    struct ssa_evaluator *e = w->e;
    bool wait = !w->kept; /* else there is something better to do */
    int err = ssa_units_take(e->units, wait, unit);
    w->idle = wait && unit->number == SSA_UNIT_NONE;
    if (unit->number == SSA_UNIT_NONE)
        return err;
    w->out[w->out_count++] = unit->number;
    for (int b = 0; b < e->batch; b++)
        fill_window(w, unit->number % e->batches * (size_t)e->batch + (size_t)b, b);
    return err;
}

static int begin_unit(struct ssa_worker *w, struct ssa_unit *unit)
{
    int err;
    TRY(enter(w));
    err = take(w, unit);
    leave(w);
    if (err || unit->number == SSA_UNIT_NONE)
        goto done;
    err = ssa_model_forward(w->model, &(struct ssa_pass){.tokens = w->tokens, .targets = w->targets,
        .plans = unit->plans, .batch = w->e->batch});
    ssa_units_used(w->e->units, unit);
done:
    return err;
}

static float *take_kept(struct ssa_worker *w)
{
    float *losses = w->kept;
    w->kept = NULL;
    w->out[0] = w->out[1];
    w->out_count--;
    return losses;
}

static int add_kept(struct ssa_worker *w)
{
    struct ssa_evaluator *e = w->e;
    size_t number = w->out[0];
    float *losses = take_kept(w);
    int err;
    TRY(ssa_ensemble_add(e->ensemble, (int)(number / e->batches), number % e->batches, losses));
    if (ssa_ensemble_complete(e->ensemble))
        ssa_units_close(e->units);
done:
    return err;
}

int ssa_worker_flush(struct ssa_worker *w)
{
    return w->kept ? add_kept(w) : SSA_OK;
}

void ssa_worker_drop(struct ssa_worker *w)
{
    free(take_kept(w));
}

/* Waits for the device, and keeps the losses of what was predicted. */
static int end_unit(struct ssa_worker *w)
{
    size_t rows = (size_t)w->e->batch * (size_t)w->e->facts.length, count = 0;
    float *kept = malloc(rows * sizeof *kept);
    int err;
    if (!kept)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    TRY(ssa_tensor_read(ssa_model_losses(w->model), w->losses, rows));
    for (size_t i = 0; i < rows; i++)
        if (w->targets[i] >= 0) {
            kept[count++] = w->losses[i];
            w->suspect = w->suspect || (w->member && !isfinite(w->losses[i]));
        }
    w->kept = kept;
    kept = NULL;
done:
    free(kept);
    return err;
}

/* The first may have had kernels to build, so it has no part in the mean. */
static void note_time(struct ssa_worker *w, double seconds)
{
    w->seconds = w->done < 2 ? seconds : 0.5 * (w->seconds + seconds);
    w->done++;
}

static int one_unit(struct ssa_worker *w)
{
    double start = ssa_awake();
    struct ssa_unit unit;
    int err;
    TRY(begin_unit(w, &unit));
    if (w->kept) {
        TRY(enter(w));
        err = add_kept(w);
        leave(w);
        TRY(err);
    }
    if (unit.number != SSA_UNIT_NONE) {
        TRY(end_unit(w));
        note_time(w, ssa_awake() - start);
    }
done:
    return err;
}

int ssa_worker_job(void *worker)
{
    struct ssa_worker *w = worker;
    double end = ssa_seconds() + SSA_SLICE;
    int err;
    do {
        TRY(one_unit(w));
    } while (!w->idle && !w->suspect && ssa_seconds() < end);
done:
    return err;
}

int ssa_worker_create(struct ssa_worker **worker, struct ssa_evaluator *e, struct ssa_model *model,
                      struct ssa_member *member)
{
    size_t rows = (size_t)e->batch * (size_t)e->facts.length;
    struct ssa_worker *w = calloc(1, sizeof *w);
    int err = SSA_OK;
    *worker = w;
    if (!w)
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    w->e = e;
    w->model = model;
    w->member = member;
    if (member && member->rate > 0) /* of training: forward is about a third of it */
        w->seconds = (double)rows / (3 * member->rate);
    w->tokens = malloc(rows * sizeof *w->tokens);
    w->targets = malloc(rows * sizeof *w->targets);
    w->losses = malloc(rows * sizeof *w->losses);
    if (!w->tokens || !w->targets || !w->losses) {
        err = ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
        ssa_worker_destroy(w);
        *worker = NULL;
    }
    return err;
}

void ssa_worker_destroy(struct ssa_worker *w)
{
    if (!w)
        return;
    free(w->tokens);
    free(w->targets);
    free(w->losses);
    free(w->kept);
    free(w);
}

/* ---- the whole ---- */

static int check(const struct ssa_evaluator *e)
{
    const struct ssa_evaluate *how = &e->how;
    struct ssa_sample sample;
    int err;
    TRY(ssa_check_reserved("evaluate", how->reserved, 2));
    REQUIRE(e->facts.causal, "evaluate: the next token is predicted, which needs a causal model");
    REQUIRE(e->passes > 0 && e->passes <= MAX_PASSES, "evaluate: passes is %d, must be in [1, %d]", e->passes,
            MAX_PASSES);
    REQUIRE(how->stride <= (size_t)e->facts.length, "evaluate: stride is %zu, must be at most the model's length, %d",
            how->stride, e->facts.length);
    REQUIRE(how->tolerance >= 0 && isfinite(how->tolerance),
            "evaluate: tolerance is %g, must be 0 or a positive number of nats a token", how->tolerance);
    TRY(ssa_data_check(&e->data, e->facts.vocabulary, 1));
    for (int l = 0; how->pattern && l < e->facts.layers; l++)
        TRY(ssa_pattern_sample(how->pattern, l, e->facts.layers, e->facts.length, e->batch, &sample));
done:
    return err;
}

int ssa_evaluator_report(struct ssa_evaluator *e)
{
    size_t all = e->batches * (size_t)e->passes, left = ssa_units_left(e->units);
    if (e->how.stop && *e->how.stop)
        return ssa_fail(SSA_ESTOPPED, "evaluate: stopped with %zu of %zu batches to go", left, all);
    if (e->how.progress)
        e->how.progress(e->how.cookie, 1 - (double)left / (double)all);
    return SSA_OK;
}

static int evaluate_here(struct ssa_evaluator *e, struct ssa_model *model)
{
    struct ssa_worker *w = NULL;
    int err;
    TRY(ssa_worker_create(&w, e, model, NULL));
    while (!w->idle) {
        TRY(ssa_evaluator_report(e));
        TRY(ssa_worker_job(w));
    }
done:
    ssa_worker_destroy(w);
    return err;
}

static int evaluate(struct ssa_evaluator *e, struct ssa_model *model, bool *abandoned)
{
    int takers = 1, err;
    TRY(check(e));
    if (ssa_model_group(model)) {
        TRY(ssa_group_rescue(ssa_model_group(model)));
        takers = ssa_pool_live(ssa_model_group(model)->pool);
    }
    e->sampled = e->how.pattern && ssa_pattern_samples(e->how.pattern, e->facts.layers, e->facts.length);
    if (!e->sampled)
        e->passes = 1; /* dense passes are all the same */
    choose_windows(e);
    TRY(make_ensemble(e));
    TRY(ssa_units_create(&e->units, &(struct ssa_units_config){.count = e->batches * (size_t)e->passes,
        .takers = takers, .layers = e->sampled ? e->facts.layers : 0, .settings = plan_settings, .cookie = e}));
    TRY(ssa_model_group(model) ? ssa_evaluate_pool(e, model, abandoned) : evaluate_here(e, model));
    if (e->how.progress)
        e->how.progress(e->how.cookie, 1);
done:
    return err;
}

/* A dense model's one pass stands for all that were asked for; so does the last before the tolerance was reached. */
static void tell(const struct ssa_evaluator *e, int asked, struct ssa_scores *scores, double *ensemble, double *singles)
{
    struct ssa_ensemble_result r = ssa_ensemble_result(e->ensemble);
    scores->loss = r.ensemble[r.passes - 1];
    scores->single = r.single;
    scores->single_spread = r.spread;
    scores->tokens = e->counted;
    scores->passes = r.passes;
    scores->unsettled = e->sampled ? r.unsettled : 0;
    for (int m = 0; m < asked; m++) {
        int from = m < r.passes ? m : r.passes - 1;
        if (ensemble)
            ensemble[m] = r.ensemble[from];
        if (singles)
            singles[m] = r.singles[from];
    }
}

static void finish(struct ssa_evaluator *e)
{
    ssa_units_destroy(e->units);
    ssa_ensemble_destroy(e->ensemble);
    free(e);
}

int ssa_evaluate(struct ssa_model *model, const struct ssa_data *data, const struct ssa_evaluate *how,
                 struct ssa_scores *scores, double *ensemble, double *singles)
{
    struct ssa_evaluator *e = calloc(1, sizeof *e);
    double start = ssa_seconds();
    int asked = how->passes ? how->passes : 1, err;
    bool abandoned = false;
    *scores = (struct ssa_scores){0};
    if (!e)
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    e->facts = ssa_model_facts(ssa_model_config(model));
    e->data = *data;
    e->how = *how;
    e->batch = ssa_model_limits(model)->batch;
    e->passes = asked;
    TRY(evaluate(e, model, &abandoned));
    tell(e, asked, scores, ensemble, singles);
    scores->seconds = ssa_seconds() - start;
done:
    if (!abandoned)
        finish(e);
    return err;
}

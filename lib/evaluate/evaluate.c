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
#include <string.h>

enum { MAX_PASSES = 1000, PASS_BITS = 10 };
_Static_assert(MAX_PASSES < 1 << PASS_BITS, "a pass and its batch are one number");

/* ---- windows ---- */

/* What window number `w` of the chosen predicts: `known` tokens from `start` on but for the first `context`, which the
 * window before has predicted. */
struct window {
    size_t start, known, context;
};
static struct window window_at(const struct ssa_evaluator *e, size_t w)
{
    const size_t length = (size_t)e->facts.length, number = w * e->windows / e->chosen;
    struct window window = {.start = number * e->stride, .context = number ? length - e->stride : 0};
    window.known = e->data.count - 1 - window.start;
    window.known = window.known < length ? window.known : length;
    return window;
}

static void fill_window(const struct ssa_evaluator *e, size_t w, const struct ssa_batch *batch)
{
    const struct window window = window_at(e, w);
    ssa_batch_clear(batch, &e->layout, 1);
    ssa_data_copy(&e->data, window.start, window.known, batch->tokens);
    ssa_data_copy(&e->data, window.start + window.context + 1, window.known - window.context,
                  batch->targets + window.context);
}

/* Number of the chosen example `w`. */
static size_t example_at(const struct ssa_evaluator *e, size_t w)
{
    return w * e->windows / e->chosen;
}

/* How many of the chosen [w, end) are one after another in the list. */
static int run_of(const struct ssa_evaluator *e, size_t w, size_t end)
{
    size_t next = w + 1;
    while (next < end && example_at(e, next) == example_at(e, w) + (next - w))
        next++;
    return (int)(next - w);
}

static int fill_run(const struct ssa_evaluator *e, size_t w, int count, struct ssa_batch *batch)
{
    return ssa_data_fill(&e->data, &(struct ssa_draw){.count = count, .length = e->facts.length,
        .answers = e->facts.answers, .seed = e->how.seed, .first = example_at(e, w)}, &e->facts, batch);
}

/* Runs of sequences of mixed size, each laid out by its own length: into memory of their own, and from there by that of
 * the longest. */
static int fill_mixed(const struct ssa_evaluator *e, size_t begin, size_t end, struct ssa_batch *batch)
{
    struct ssa_batch *runs = calloc(end - begin, sizeof *runs);
    int err = SSA_OK, n;
    if (!runs)
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    batch->length = 0;
    for (size_t w = begin; w < end; w += (size_t)n) {
        struct ssa_batch *run = &runs[w - begin];
        n = run_of(e, w, end);
        TRY(ssa_batch_create(run, &e->layout, n));
        TRY(fill_run(e, w, n, run));
        batch->length = run->length > batch->length ? run->length : batch->length;
    }
    for (size_t w = begin; w < end; w += (size_t)n) {
        const struct ssa_batch at = ssa_batch_from(batch, &e->layout, (int)(w - begin));
        n = run_of(e, w, end);
        ssa_batch_widen(&at, &runs[w - begin], &e->layout, n);
    }
done:
    for (size_t i = 0; i < end - begin; i++)
        ssa_batch_finish(&runs[i]);
    free(runs);
    return err;
}

/* Chosen examples [begin, end), as many at once as are one after another in the list. */
static int fill_examples(const struct ssa_evaluator *e, size_t begin, size_t end, struct ssa_batch *batch)
{
    int err = SSA_OK, n = run_of(e, begin, end);
    if (begin + (size_t)n == end)
        return fill_run(e, begin, n, batch);
    if (e->facts.mixed)
        return fill_mixed(e, begin, end, batch);
    for (size_t w = begin; w < end; w += (size_t)n) {
        struct ssa_batch part = ssa_batch_from(batch, &e->layout, (int)(w - begin));
        n = run_of(e, w, end);
        TRY(fill_run(e, w, n, &part));
    }
done:
    return err;
}

/* The batch of a unit; past the last window, nothing is asked. */
static int fill_unit(void *cookie, struct ssa_feed_key key, struct ssa_batch *batch)
{
    const struct ssa_evaluator *e = cookie;
    const size_t first = (size_t)key.number % e->batches * (size_t)e->batch, left = e->chosen - first;
    const int count = left < (size_t)e->batch ? (int)left : e->batch;
    struct ssa_batch rest;
    int err = SSA_OK;
    if (e->data.fill)
        TRY(fill_examples(e, first, first + (size_t)count, batch));
    for (int b = 0; b < count && !e->data.fill; b++) {
        const struct ssa_batch one = ssa_batch_from(batch, &e->layout, b);
        fill_window(e, first + (size_t)b, &one);
    }
    rest = ssa_batch_from(batch, &e->layout, count);
    ssa_batch_clear(&rest, &e->layout, e->batch - count);
done:
    return err;
}

static void choose_windows(struct ssa_evaluator *e)
{
    size_t length = (size_t)e->facts.length, predicted = e->data.count - 1;
    e->stride = e->how.stride ? e->how.stride : length;
    if (e->data.fill)
        e->windows = e->data.examples;
    else
        e->windows = 1 + (predicted > length ? (predicted - length + e->stride - 1) / e->stride : 0);
    e->chosen = e->how.windows && e->how.windows < e->windows ? e->how.windows : e->windows;
    e->batches = (e->chosen + (size_t)e->batch - 1) / (size_t)e->batch;
}

/* Most answers of window `w` that have a target: of token ids, all that do. */
static size_t answers_of(const struct ssa_evaluator *e, size_t w)
{
    struct window window = window_at(e, w);
    return e->data.fill ? (size_t)e->facts.answers : window.known - window.context;
}

static bool of_values(const struct ssa_evaluator *e)
{
    return e->facts.join == SSA_JOIN_VALUES;
}

/* All answers of a unit, for the program. */
struct ssa_told {
    int answers;      /* of a sequence */
    int32_t *targets; /* one of these is NULL */
    float *values;
    float logits[];
};

static struct ssa_told *make_told(const struct ssa_evaluator *e)
{
    const size_t answers = (size_t)e->batch * (size_t)e->facts.answers, values = answers * (size_t)e->facts.vocabulary;
    struct ssa_told *told = malloc(sizeof *told + (values + answers) * sizeof *told->logits);
    if (!told)
        return NULL;
    told->values = of_values(e) ? told->logits + values : NULL;
    told->targets = of_values(e) ? NULL : (int32_t *)(told->logits + values);
    return told;
}

static void tell_batch(void *cookie, int pass, size_t batch, const void *more)
{
    const struct ssa_evaluator *e = cookie;
    const struct ssa_told *told = more;
    const size_t first = batch * (size_t)e->batch, answers = (size_t)told->answers, V = (size_t)e->facts.vocabulary;
    for (size_t i = 0; i < (size_t)e->batch && first + i < e->chosen; i++)
        e->how.answer(e->how.cookie, &(struct ssa_answer){.pass = pass, .example = example_at(e, first + i),
            .answers = told->answers, .vocabulary = e->facts.vocabulary,
            .targets = told->targets ? told->targets + i * answers : NULL,
            .values = told->values ? told->values + i * answers : NULL, .logits = told->logits + i * answers * V});
}

static int make_ensemble(struct ssa_evaluator *e)
{
    size_t *first = malloc((e->batches + 1) * sizeof *first), batch = (size_t)e->batch, count = 0;
    int err;
    if (!first)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    for (size_t w = 0; w < e->chosen; w++) {
        if (w % batch == 0)
            first[w / batch] = count;
        count += answers_of(e, w);
    }
    first[e->batches] = count;
    TRY(ssa_ensemble_create(&e->ensemble, &(struct ssa_ensemble_config){.join = e->facts.join,
        .squares = e->facts.squares, .passes = e->passes, .batches = e->batches, .first = first,
        .tolerance = e->how.tolerance, .added = e->how.answer ? tell_batch : NULL, .cookie = e}));
done:
    free(first);
    return err;
}

/* Draws are numbered such that the first m of M passes are the same for every M. */
static int plan_settings(void *cookie, uint64_t unit, int layer, struct ssa_sample *how)
{
    const struct ssa_evaluator *e = cookie;
    int err = ssa_model_sample(e->config, e->how.pattern, layer, e->batch, 0, how);
    how->seed = e->how.seed;
    how->step = unit % e->batches << PASS_BITS | unit / e->batches;
    return err;
}

static int sample_unit(void *cookie, struct ssa_feed_key key, int layer, struct ssa_sample *how)
{
    return plan_settings(cookie, key.number, layer, how);
}

static int make_feed(struct ssa_evaluator *e, const struct ssa_model *model)
{
    const struct ssa_replicas *replicas = ssa_model_replicas(model);
    e->takers = replicas ? replicas->pool->count + 1 : 1; /* one may join */
    e->layout = ssa_batch_layout(model, false);
    return ssa_feed_create(&e->feed, &(struct ssa_feed_config){.layout = e->layout, .count = e->batch,
        .takers = e->takers, .fill = fill_unit, .sample = sample_unit, .layers = e->facts.mixed ? e->layers : 0,
        .cookie = e});
}

/* ---- a unit ---- */

static int enter(const struct ssa_taker *w)
{
    return w->member ? ssa_member_enter(w->member) : SSA_OK;
}

static void leave(const struct ssa_taker *w)
{
    if (w->member)
        ssa_member_leave(w->member);
}

/* Units come in the order of their numbers: those after this one will be wanted, by whoever is free. */
static void want_batches(struct ssa_evaluator *e, size_t number)
{
    const size_t all = e->batches * (size_t)e->passes;
    size_t wanted = atomic_load(&e->wanted), end = number + 1 + SSA_FEED_AHEAD * (size_t)e->takers;
    end = end < all ? end : all;
    ssa_feed_want(e->feed, (struct ssa_feed_key){0, number});
    if (end > wanted && atomic_compare_exchange_strong(&e->wanted, &wanted, end))
        for (size_t next = wanted > number ? wanted : number + 1; next < end; next++)
            ssa_feed_want(e->feed, (struct ssa_feed_key){0, next});
}

static int take(struct ssa_taker *w, struct ssa_unit *unit)
{
    struct ssa_evaluator *e = w->e;
    bool wait = !w->kept; /* else there is something better to do */
    int err = ssa_units_take(e->units, wait, unit);
    w->idle = wait && unit->number == SSA_UNIT_NONE;
    if (unit->number == SSA_UNIT_NONE)
        return err;
    w->out[w->out_count++] = unit->number;
    if (err)
        return err;
    want_batches(e, unit->number);
    err = ssa_feed_take(e->feed, (struct ssa_feed_key){0, unit->number}, &w->batch, &w->drawn);
    w->no_data = err != SSA_OK;
    return err;
}

static int begin_unit(struct ssa_taker *w, struct ssa_unit *unit)
{
    struct ssa_pass pass = {.batch = w->e->batch};
    int err;
    TRY(enter(w));
    err = take(w, unit);
    leave(w);
    if (err || unit->number == SSA_UNIT_NONE)
        goto done;
    pass.plans = w->e->facts.mixed ? w->drawn.given : unit->plans;
    ssa_batch_give(&w->batch, &pass);
    err = ssa_model_forward(w->model, &pass);
    ssa_units_used(w->e->units, unit);
done:
    return err;
}

static struct ssa_answers take_kept(struct ssa_taker *w)
{
    struct ssa_answers answers = {.count = w->kept_count, .values = w->kept, .targets = w->kept_targets,
                                  .more = w->told};
    w->kept = w->kept_targets = NULL;
    w->told = NULL;
    w->out[0] = w->out[1];
    w->out_count--;
    return answers;
}

static int add_kept(struct ssa_taker *w)
{
    struct ssa_evaluator *e = w->e;
    size_t number = w->out[0];
    int err;
    TRY(ssa_ensemble_add(e->ensemble, (int)(number / e->batches), number % e->batches, take_kept(w)));
    if (ssa_ensemble_complete(e->ensemble))
        ssa_units_close(e->units);
done:
    return err;
}

int ssa_taker_flush(struct ssa_taker *w)
{
    return w->kept ? add_kept(w) : SSA_OK;
}

void ssa_taker_drop(struct ssa_taker *w)
{
    struct ssa_answers answers = take_kept(w);
    free(answers.values);
    free(answers.targets);
    free(answers.more);
}

/* Of a sequence of the batch that the device has done. */
static int answers_now(const struct ssa_taker *w)
{
    return ssa_pass_answers(&w->e->facts, w->batch.length);
}

static int keep_answers(struct ssa_taker *w, size_t answers)
{
    const struct ssa_evaluator *e = w->e;
    int err;
    if (!e->how.answer)
        return SSA_OK;
    free(w->told); /* of a unit that failed */
    w->told = make_told(e);
    if (!w->told)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    w->told->answers = answers_now(w);
    if (w->told->values)
        memcpy(w->told->values, w->batch.values, answers * sizeof *w->batch.values);
    else
        memcpy(w->told->targets, w->batch.targets, answers * sizeof *w->batch.targets);
    TRY(ssa_model_read_answers(w->model, w->told->logits));
done:
    return err;
}

static bool asked(const struct ssa_taker *w, size_t answer)
{
    return of_values(w->e) ? !isnan(w->batch.values[answer]) : w->batch.targets[answer] >= 0;
}

/* What the ensemble is made of, of what had a target: losses, or values and their targets. */
static int keep(struct ssa_taker *w, size_t answers)
{
    const bool values = of_values(w->e);
    w->kept_count = 0;
    free(w->kept_targets); /* of a unit that failed */
    w->kept_targets = values ? malloc(answers * sizeof *w->kept_targets) : NULL;
    w->kept = malloc(answers * sizeof *w->kept);
    if (!w->kept || (values && !w->kept_targets)) {
        free(w->kept);
        w->kept = NULL;
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    }
    for (size_t i = 0; i < answers; i++) {
        if (!asked(w, i))
            continue;
        if (values)
            w->kept_targets[w->kept_count] = w->batch.values[i];
        w->kept[w->kept_count++] = w->read[i];
        w->suspect = w->suspect || (w->member && !isfinite(w->read[i]));
    }
    return SSA_OK;
}

/* Waits for the device, and keeps what it made of the unit. */
static int end_unit(struct ssa_taker *w)
{
    const size_t answers = (size_t)w->e->batch * (size_t)answers_now(w);
    int err;
    TRY(of_values(w->e) ? ssa_model_read_answers(w->model, w->read)
                        : ssa_tensor_read(ssa_model_losses(w->model), w->read, answers));
    TRY(keep_answers(w, answers));
    TRY(keep(w, answers));
done:
    return err;
}

/* The first may have had kernels to build, so it has no part in the mean. */
static void note_time(struct ssa_taker *w, double seconds)
{
    w->seconds = w->done < 2 ? seconds : 0.5 * (w->seconds + seconds);
    w->done++;
}

static int one_unit(struct ssa_taker *w)
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

int ssa_taker_job(void *taker)
{
    struct ssa_taker *w = taker;
    double end = ssa_seconds() + SSA_SLICE;
    int err;
    do {
        TRY(one_unit(w));
    } while (!w->idle && !w->suspect && ssa_seconds() < end);
done:
    return err;
}

int ssa_taker_create(struct ssa_taker **taker, struct ssa_evaluator *e, struct ssa_model *model,
                      struct ssa_member *member)
{
    size_t rows = (size_t)e->batch * (size_t)e->facts.length;
    struct ssa_taker *w = calloc(1, sizeof *w);
    int err;
    *taker = NULL;
    if (!w)
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    w->e = e;
    w->model = model;
    w->member = member;
    if (member && member->rate > 0) /* of training: forward is about a third of it */
        w->seconds = (double)rows / (3 * member->rate);
    TRY(ssa_batch_create(&w->batch, &e->layout, e->batch));
    TRY(ssa_feed_plans_create(&w->drawn, e->facts.mixed ? e->layers : 0));
    w->read = malloc((size_t)e->batch * (size_t)e->facts.answers * sizeof *w->read);
    if (!w->read)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    *taker = w;
    w = NULL;
done:
    ssa_taker_destroy(w);
    return err;
}

void ssa_taker_destroy(struct ssa_taker *w)
{
    if (!w)
        return;
    ssa_batch_finish(&w->batch);
    ssa_feed_plans_finish(&w->drawn);
    free(w->read);
    free(w->kept);
    free(w->kept_targets);
    free(w->told);
    free(w);
}

/* ---- the whole ---- */

static int check(const struct ssa_evaluator *e)
{
    const struct ssa_evaluate *how = &e->how;
    struct ssa_sample sample;
    int err;
    TRY(ssa_check_reserved("evaluate", how->reserved, 1));
    REQUIRE(e->passes > 0 && e->passes <= MAX_PASSES, "evaluate: passes is %d, must be in [1, %d]", e->passes,
            MAX_PASSES);
    REQUIRE(how->stride <= (size_t)e->facts.length, "evaluate: stride is %zu, must be at most the model's length, %d",
            how->stride, e->facts.length);
    REQUIRE(how->tolerance >= 0 && isfinite(how->tolerance),
            "evaluate: tolerance is %g, must be 0 or a positive number of nats a token", how->tolerance);
    REQUIRE(!how->stride || !e->data.fill, "evaluate: stride is %zu, but a source has examples: must be 0",
            how->stride);
    REQUIRE(!e->data.soft, "evaluate: data.soft is set, but answers are counted by targets: must be 0");
    TRY(ssa_data_check(&e->data, e->facts, 1));
    for (int l = 0; how->pattern && l < e->facts.layers; l++)
        TRY(ssa_model_sample(e->config, how->pattern, l, e->batch, 0, &sample));
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
    struct ssa_taker *w = NULL;
    int err;
    TRY(ssa_taker_create(&w, e, model, NULL));
    while (!w->idle) {
        TRY(ssa_evaluator_report(e));
        TRY(ssa_taker_job(w));
    }
done:
    ssa_taker_destroy(w);
    return err;
}

static int evaluate(struct ssa_evaluator *e, struct ssa_model *model, bool *abandoned)
{
    int takers = 1, err;
    TRY(check(e));
    if (ssa_model_replicas(model)) {
        TRY(ssa_replicas_rescue(ssa_model_replicas(model)));
        takers = ssa_pool_live(ssa_model_replicas(model)->pool);
    }
    e->sampled = e->how.pattern && ssa_pattern_samples(e->how.pattern, e->config);
    if (!e->sampled)
        e->passes = 1; /* dense passes are all the same */
    e->layers = e->sampled ? e->facts.layers : 0;
    choose_windows(e);
    TRY(make_ensemble(e));
    TRY(make_feed(e, model));
    TRY(ssa_units_create(&e->units, &(struct ssa_units_config){.count = e->batches * (size_t)e->passes,
        .takers = takers, .layers = e->facts.mixed ? 0 : e->layers, .settings = plan_settings, .cookie = e}));
    TRY(ssa_model_replicas(model) ? ssa_evaluate_pool(e, model, abandoned) : evaluate_here(e, model));
    REQUIRE(ssa_ensemble_result(e->ensemble).answers, "evaluate: none of the %zu examples has a target", e->chosen);
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
    scores->tokens = r.answers;
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
    ssa_feed_destroy(e->feed);
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
    e->config = ssa_model_config(model);
    e->facts = ssa_model_facts(e->config);
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

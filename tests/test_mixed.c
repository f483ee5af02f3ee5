/* Sequences of mixed size: what passes take of them, that neither padding nor companions change anything, and that a run
 * or an evaluation gives the same whoever computes it. */
#include "sets.h"
#include "differences.h"
#include "net/family/family.h"
#include "runs.h"
#include "threads.h"
#include "train/team/team.h"
#include "train/work.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 6, SETS = 41 };

static struct ssa_model *model_on(struct ssa_device *dev, enum sets_head head, int batch)
{
    const struct ssa_model_config config = sets_model(head, 0);
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, &config, &(struct ssa_model_limits){.batch = batch, .training = 1}));
    OK(ssa_model_initialise(m, 3));
    return m;
}

static int answers_of(enum sets_head head, int length)
{
    return head == SETS_OF_CLASSES ? length : SETS_TARGETS;
}

/* ---- what is refused ---- */

#define BAD(words, ...) \
    do { \
        struct ssa_pass p = good; \
        __VA_ARGS__; \
        FAILS(ssa_model_forward(m, &p), SSA_EINVAL, words); \
    } while (0)

static void check_refusals(struct ssa_model *m, struct ssa_batch *b)
{
    const size_t numbers[] = {1, 2};
    const struct ssa_plan *plans[SETS_LAYERS] = {NULL};
    struct ssa_plan plan = {0};
    b->length = sets_length(numbers, 2);
    sets_fill(b, numbers, 2, SETS_ZEROES);
    const struct ssa_pass good = sets_pass(b, 2, SETS_OF_VALUES);
    OK(ssa_model_forward(m, &good));
    BAD("lengths is NULL", p.lengths = NULL);
    BAD("nodes is NULL", p.nodes = NULL);
    BAD("hops is NULL", p.hops = NULL);
    BAD("takes no tokens", p.tokens = b->lengths);
    BAD("takes no targets", p.targets = b->lengths);
    BAD("length 2, the first 2 positions", p.length = SETS_LEAD);
    BAD("length 16, must be in [1, 15]", p.length = SETS_LENGTH + 1);
    BAD("length 1 is -1, must be in [0, 9]", p.length = 9, p.lengths = ((int32_t[]){3, -1}));
    BAD("length 0 is 10, must be in [0, 9]", p.length = 9, p.lengths = ((int32_t[]){10, 3}));
    b->nodes[3] = SETS_NODE_IDS;
    BAD("node 3 is 11", (void)0);
    b->nodes[3] = -1;
    BAD("node 3 is -1", (void)0);
    b->nodes[3] = 0;
    b->hops[1] = SETS_HOPS + 1;
    BAD("hop 1 is 5", (void)0);
    b->hops[1] = 0;
    b->encodings[2] = NAN;
    BAD("encoding 2 is nan, must be a number", (void)0);
    b->encodings[2] = 0;
    b->values[1] = INFINITY;
    BAD("value 1 is inf, must be a number or NaN", (void)0);
    b->values[1] = NAN;
    OK(ssa_model_forward(m, &good));
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .keys = 1, .length = b->length}));
    plans[1] = &plan;
    BAD("the plan of layer 1 has 1 examples, the pass has 2", p.plans = plans);
    ssa_plan_finish(&plan);
}

START_TEST(inputs)
{
    struct ssa_batch b = sets_batch(2);
    struct ssa_model *m = model_on(test_device(0), SETS_OF_VALUES, 2);
    check_refusals(m, &b);
    ssa_model_destroy(m);
    sets_free(&b);
}
END_TEST

/* ---- what layers sample ---- */

START_TEST(samples)
{
    const struct ssa_model_config config = sets_model(SETS_OF_VALUES, 0);
    const struct ssa_pattern growing = {.kind = SSA_UNBIASED, .ratio = 0.2f, .ratio_last = 0.6f, .own_key = 1,
                                        .keep_first = 3};
    struct ssa_pattern p = {.kind = SSA_UNBIASED, .ratio = 0.7f};
    struct ssa_sample how;
    struct ssa_layer of;
    OK(ssa_model_layer(&config, 1, &of));
    ck_assert(of.mixed && of.lead == SETS_LEAD && of.length == SETS_LENGTH);
    OK(ssa_model_sample(&config, &p, 1, 4, 8, &how));
    ck_assert(how.kind == SSA_UNBIASED && how.ratio == 0.7f && how.keys == 10 && !how.own_key && !how.per_example);
    ck_assert(how.keep_count == SETS_LEAD && how.keep[1] == 1 && how.first_example == 8 && how.length == SETS_LENGTH);
    ck_assert_uint_gt(ssa_plan_bound(&how), 0);
    for (int l = 0; l < SETS_LAYERS; l++) {
        OK(ssa_model_sample(&config, &growing, l, 4, 0, &how));
        ck_assert_float_eq_tol(how.ratio, 0.2f + 0.2f * (float)l, 1e-6f);
        ck_assert(how.own_key == 1 && how.keep_count == 3);
    }
    p.independent = 1;
    OK(ssa_model_sample(&config, &p, 1, 4, 8, &how));
    ck_assert(how.independent && how.ratio == 0.7f && how.keep_count == SETS_LEAD && !how.own_key);
    OK(ssa_model_sample(&config, &(struct ssa_pattern){0}, 1, 4, 0, &how));
    ck_assert(how.kind == SSA_DENSE && how.length == SETS_LENGTH);
#define BAD_PATTERN(words, ...) FAILS(ssa_model_sample(&config, &(struct ssa_pattern){__VA_ARGS__}, 0, 1, 0, &how), \
                                      SSA_EINVAL, words)
    BAD_PATTERN("kind must be SSA_UNBIASED or SSA_DENSE", .kind = SSA_LOCAL, .ratio = 0.2f);
    BAD_PATTERN("ratio is 0, must be in (0, 1]", .kind = SSA_UNBIASED);
    BAD_PATTERN("ratio is 1.1", .kind = SSA_UNBIASED, .ratio = 1.1f);
    BAD_PATTERN("ratio_last is -1", .kind = SSA_UNBIASED, .ratio = 0.5f, .ratio_last = -1);
}
END_TEST

/* ---- alone and in company ---- */

/* Losses of these sets, and what their sum's gradient is. */
struct outcome {
    float *losses, *gradients;
    size_t gradient_count;
};

static struct outcome run_pass(struct ssa_model *m, const struct ssa_pass *pass, enum sets_head head)
{
    struct ssa_pass training = *pass;
    struct outcome o = {0};
    training.training = 1;
    OK(ssa_model_forward(m, &training));
    o.losses = test_read(ssa_model_losses(m), (size_t)(pass->batch * answers_of(head, pass->length)));
    OK(ssa_model_backward(m));
    for (int i = 0; i < ssa_model_tensors(m); i++)
        o.gradient_count += ssa_model_parameter(m, i)->count;
    o.gradients = calloc(o.gradient_count, sizeof *o.gradients);
    size_t at = 0;
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        OK(ssa_tensor_read(p->grad, o.gradients + at, p->count));
        at += p->count;
    }
    return o;
}

static void finish(struct outcome *o)
{
    free(o->losses);
    free(o->gradients);
}

/* Every set of a batch sees other nodes in the first layer, the others are dense: one by its plan, one without. */
static const struct ssa_pattern sampled = {.kind = SSA_UNBIASED, .ratio = 0.37f, .per_example = 1, .dense_last = 2};

static void draw_plans(const struct ssa_model *m, const struct ssa_batch *b, int count, int first,
                       struct ssa_plan plans[SETS_LAYERS])
{
    for (int l = 0; l < SETS_LAYERS - 1; l++) {
        struct ssa_sample how;
        OK(ssa_model_sample(ssa_model_config(m), &sampled, l, count, first, &how));
        how.length = b->length;
        how.lengths = b->lengths;
        how.seed = 4;
        OK(ssa_plan_draw(&plans[l], &how));
    }
}

/* `first`: number of the first. */
static struct outcome outcome_of(struct ssa_model *m, enum sets_head head, const size_t *numbers, int count, int length,
                                 enum sets_padding padding, int first)
{
    struct ssa_batch b = sets_batch(count);
    struct ssa_plan plans[SETS_LAYERS] = {{0}};
    const struct ssa_plan *const given[SETS_LAYERS] = {&plans[0], &plans[1], NULL};
    b.length = length;
    sets_fill(&b, numbers, count, padding);
    struct ssa_pass pass = sets_pass(&b, count, head);
    if (first >= 0) {
        draw_plans(m, &b, count, first, plans);
        pass.plans = given;
    }
    struct outcome o = run_pass(m, &pass, head);
    for (int l = 0; l < SETS_LAYERS; l++)
        ssa_plan_finish(&plans[l]);
    sets_free(&b);
    return o;
}

/* Of set `s` of the batch: the same as alone. */
static void check_alone(struct ssa_model *m, enum sets_head head, const struct outcome *together, int s, size_t number,
                        int length, int first, double *sums)
{
    const int own = sets_length(&number, 1), answers = answers_of(head, own);
    struct outcome alone = outcome_of(m, head, &number, 1, own, SETS_ZEROES, first);
    for (int a = 0; a < answers; a++) {
        const float want = alone.losses[a], got = together->losses[s * answers_of(head, length) + a];
        ck_assert_msg(fabsf(got - want) <= 1e-6f * (1 + fabsf(want)), "set %zu, answer %d: %.9g alone, %.9g in company",
                      number, a, (double)want, (double)got);
    }
    for (size_t i = 0; i < alone.gradient_count; i++)
        sums[i] += (double)alone.gradients[i];
    finish(&alone);
}

static void check_company(struct ssa_model *m, enum sets_head head, size_t first, int length, enum sets_padding padding,
                          bool dense)
{
    size_t numbers[BATCH];
    double most = 0;
    for (size_t i = 0; i < BATCH; i++)
        numbers[i] = first + i;
    length = length ? length : sets_length(numbers, BATCH);
    struct outcome together = outcome_of(m, head, numbers, BATCH, length, padding, dense ? -1 : 20);
    double *sums = calloc(together.gradient_count, sizeof *sums);
    for (int s = 0; s < BATCH; s++)
        check_alone(m, head, &together, s, numbers[s], length, dense ? -1 : 20 + s, sums);
    for (size_t i = 0; i < together.gradient_count; i++)
        most = fabs(sums[i]) > most ? fabs(sums[i]) : most;
    for (size_t i = 0; i < together.gradient_count; i++)
        ck_assert_double_le(fabs(sums[i] - (double)together.gradients[i]), 1e-6 * most + 1e-5 * fabs(sums[i]));
    free(sums);
    finish(&together);
}

START_TEST(company)
{
    FOR_DEVICES (dev)
        for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
            struct ssa_model *m = model_on(dev, (enum sets_head)head, BATCH);
            check_company(m, (enum sets_head)head, 0, 0, SETS_ZEROES, true);
            check_company(m, (enum sets_head)head, 0, 0, SETS_ZEROES, false);
            check_company(m, (enum sets_head)head, 6, SETS_LENGTH, SETS_JUNK, true);
            check_company(m, (enum sets_head)head, 20, SETS_LENGTH, SETS_JUNK, false);
            ssa_model_destroy(m);
        }
}
END_TEST

/* The tests' own blocks. Values' losses have kinks: steps are shorter. */
START_TEST(finite_differences)
{
    const size_t numbers[] = {1, 2, 3, 7};
    struct ssa_batch b = sets_batch(4);
    b.length = sets_length(numbers, 4);
    sets_fill(&b, numbers, 4, SETS_JUNK);
    for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
        struct ssa_model *m = model_on(test_device(0), (enum sets_head)head, 4);
        struct ssa_pass pass = sets_pass(&b, 4, (enum sets_head)head);
        pass.training = 1;
        check_differences(&(struct differences){m, &pass, 4 * (size_t)answers_of((enum sets_head)head, pass.length),
            .step = 2e-3, .share = 5e-3, .absolute = 5e-3, .may_vanish = true});
        ssa_model_destroy(m);
    }
    sets_free(&b);
}
END_TEST

/* ---- a source ---- */

struct source {
    atomic_int inside, calls, wrong;
    enum sets_padding padding;
    bool tight;               /* batches of what their longest set takes; else of the model's length */
    bool sizeless;            /* whoever asks for sizes is told that there are none */
    _Atomic uint64_t fails;   /* at this step, or example, */
    int length, longest;      /* or gives a batch, or its second set, of this length there; 0: as it is */
};
#define NEVER UINT64_MAX

static int fill(void *cookie, const struct ssa_draw *d, struct ssa_batch *batch)
{
    struct source *s = cookie;
    size_t numbers[64];
    const bool fails = d->training ? d->step == s->fails
                                   : d->first <= s->fails && s->fails < d->first + (uint64_t)d->count;
    int err = SSA_OK;
    s->wrong += atomic_fetch_add(&s->inside, 1) > 0 || d->length != SETS_LENGTH || batch->length != SETS_LENGTH;
    s->calls++;
    for (int i = 0; i < d->count; i++)
        numbers[i] = sets_drawn(d, i, SETS);
    batch->length = s->tight ? sets_length(numbers, d->count) : SETS_LENGTH;
    sets_fill(batch, numbers, d->count, s->padding);
    if (fails && s->length)
        batch->length = s->length;
    else if (fails && s->longest)
        batch->lengths[1] = s->longest;
    else if (fails)
        err = ssa_ranks_fail(SSA_EIO, "no such set");
    atomic_fetch_sub(&s->inside, 1);
    return err;
}

/* On the caller's thread, beside fill(). */
static int sizes(void *cookie, const struct ssa_draw *d, int32_t *lengths)
{
    struct source *s = cookie;
    s->wrong += !d->training || d->length != SETS_LENGTH;
    for (int i = 0; i < d->count; i++)
        lengths[i] = SETS_LEAD + sets_size(sets_drawn(d, i, SETS));
    return s->sizeless ? ssa_ranks_fail(SSA_EIO, "no such size") : SSA_OK;
}

static struct source new_source(bool tight)
{
    return (struct source){.tight = tight, .fails = NEVER, .padding = tight ? SETS_JUNK : SETS_ZEROES};
}

static struct ssa_data data_of(struct source *s)
{
    return (struct ssa_data){.fill = fill, .sizes = sizes, .cookie = s, .examples = SETS, .identity = 7};
}

static void check_source(const struct source *s)
{
    ck_assert_int_eq(s->wrong, 0);
    ck_assert_int_gt(s->calls, 0);
    ck_assert_int_eq(s->inside, 0);
}

/* ---- training ---- */

enum { MICRO = 3, MICROS = 5 };
static struct result want, got;

static void start_trainer(struct run *r, struct source *s, struct ssa_ranks *ranks)
{
    const struct ssa_data data = data_of(s);
    const struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.37f, .per_example = 1, .dense_last = 1}, .steps = 5, .lr = 0.01f},
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .ratio_last = 0.1f, .own_key = 1}, .steps = 3, .lr = 0.02f},
        {.steps = RUN_STEPS - 8, .lr = 0.01f}};
    OK(ssa_model_initialise(r->model, 5));
    OK(ssa_trainer_create(&r->trainer, r->model, &(struct ssa_train_config){.batch = MICRO * MICROS, .seed = 5,
        .ema = 0.8f, .stages = stages, .stage_count = 3, .ranks = ranks}, &data));
}

static struct run start_on(struct ssa_device *device, struct ssa_pool *pool, struct source *s, struct ssa_ranks *ranks)
{
    const struct ssa_model_config config = {.family = SSA_FAMILY_OF_TESTS};
    const struct ssa_model_limits limits = {.batch = MICRO, .training = 1};
    struct run r;
    if (pool)
        OK(ssa_pool_model_create(&r.model, pool, &config, &limits));
    else
        OK(ssa_model_create(&r.model, device, &config, &limits));
    start_trainer(&r, s, ranks);
    return r;
}

static void finish_run(struct run r, struct source *s, struct result *result)
{
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_read(r, result);
    run_end(r);
    check_source(s);
}

static void run_here(struct ssa_device *device, bool tight, struct result *result)
{
    struct source s = new_source(tight);
    finish_run(start_on(device, NULL, &s, NULL), &s, result);
}

/* What sizes() says of every sequence of a training is what fill() gives. */
START_TEST(sizes_are_those_of_what_is_filled)
{
    struct source s = new_source(true);
    const struct ssa_data data = data_of(&s);
    struct ssa_batch b = sets_batch(MICRO);
    for (uint64_t step = 0; step < 40; step++) {
        int32_t said[MICRO * MICROS];
        struct ssa_draw draw = {.training = 1, .count = MICRO * MICROS, .length = SETS_LENGTH, .seed = 5, .step = step};
        OK(data.sizes(data.cookie, &draw, said));
        draw.count = MICRO;
        for (int micro = 0; micro < MICROS; micro++) {
            draw.first = (uint64_t)(micro * MICRO);
            b.length = SETS_LENGTH;
            OK(data.fill(data.cookie, &draw, &b));
            ck_assert_mem_eq(b.lengths, said + micro * MICRO, MICRO * sizeof *said);
        }
    }
    check_source(&s);
    sets_free(&b);
}
END_TEST

/* The first micro-batch of a step, by hand: its batch, its plans by the lengths of its sets, its loss. */
static float loss_by_hand(struct ssa_model *m, enum sets_head head, const struct ssa_pattern *pattern, int step, int micro)
{
    size_t numbers[MICRO];
    struct ssa_batch b = sets_batch(MICRO);
    struct ssa_plan plans[SETS_LAYERS] = {{0}};
    const struct ssa_plan *given[SETS_LAYERS];
    float sum = 0;
    for (int i = 0; i < MICRO; i++)
        numbers[i] = sets_drawn(&(struct ssa_draw){.training = 1, .seed = 5, .step = (uint64_t)step},
                                micro * MICRO + i, SETS);
    b.length = sets_length(numbers, MICRO);
    sets_fill(&b, numbers, MICRO, SETS_ZEROES);
    struct ssa_pass pass = sets_pass(&b, MICRO, head);
    for (int l = 0; l < SETS_LAYERS; l++) {
        struct ssa_sample how;
        OK(ssa_model_sample(ssa_model_config(m), pattern, l, MICRO, micro * MICRO, &how));
        how.length = b.length;
        how.lengths = b.lengths;
        how.seed = 5;
        how.step = (uint64_t)step;
        OK(ssa_plan_draw(&plans[l], &how));
        given[l] = &plans[l];
    }
    pass.plans = given;
    OK(ssa_model_forward(m, &pass));
    const size_t count = (size_t)(MICRO * answers_of(head, b.length));
    float *losses = test_read(ssa_model_losses(m), count);
    for (size_t i = 0; i < count; i++)
        sum += losses[i];
    free(losses);
    for (int l = 0; l < SETS_LAYERS; l++)
        ssa_plan_finish(&plans[l]);
    sets_free(&b);
    return sum;
}

/* In each stage, that of a step: by plans of the batch's own lengths. */
START_TEST(steps_by_hand)
{
    for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
        sets_model((enum sets_head)head, 0);
        struct source s = new_source(true);
        struct run r = start_on(test_device(0), NULL, &s, NULL);
        const struct ssa_train_config *config = ssa_trainer_config(r.trainer);
        for (int step = 0; step < RUN_STEPS; step++) {
            const struct ssa_pattern *pattern = &config->stages[(step >= 5) + (step >= 8)].pattern;
            float sum = 0, loss;
            for (int micro = 0; micro < MICROS; micro++)
                sum += loss_by_hand(r.model, (enum sets_head)head, pattern, step, micro);
            OK(ssa_trainer_step(r.trainer));
            OK(ssa_trainer_losses(r.trainer, 1, &loss, NULL));
            sum /= (float)(MICRO * MICROS * answers_of((enum sets_head)head, SETS_LENGTH));
            ck_assert_msg(fabsf(loss - sum) <= 1e-5f * sum, "step %d: loss %.9g, by hand %.9g", step, (double)loss,
                          (double)sum);
        }
        run_end(r);
        check_source(&s);
    }
}
END_TEST

/* How far batches are padded, and with what, is no matter but for rounding; where nothing is dropped. */
START_TEST(padded_or_not)
{
    FOR_DEVICES (dev)
        if (!test_launches_slowly(dev)) {
            sets_model(SETS_OF_SQUARES, 0);
            run_here(dev, true, &want);
            run_here(dev, false, &got);
            run_near(&want, &got);
        }
}
END_TEST

static struct ssa_pool *pool_of(int count, const int *shares)
{
    struct ssa_pool *pool = pools_hosts(count, &(struct ssa_pool_config){.check_every = 5, .deadline = 20});
    pool->shares = shares;
    return pool;
}

START_TEST(on_pools)
{
    static const int shares[2][3] = {{3, 2}, {1, 1, 3}};
    struct ssa_device *device;
    OK(ssa_device_open(&device, "cpu"));
    for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
        sets_model((enum sets_head)head, 0.1f);
        run_here(device, true, &want);
        run_here(device, true, &got);
        run_same_bits(&want, &got);
        for (int i = 0; i < 2; i++) {
            struct source s = new_source(true);
            struct ssa_pool *pool = pool_of(2 + i, shares[i]);
            finish_run(start_on(NULL, pool, &s, NULL), &s, &got);
            run_same_bits(&want, &got);
            ck_assert_int_eq(ssa_pool_live(pool), 2 + i);
            ssa_pool_close(pool);
        }
    }
    ssa_device_close(device);
}
END_TEST

/* By what the source says of sizes, and not by number. */
START_TEST(shares_are_of_work)
{
    static const int shares[] = {3, 2};
    struct source s = new_source(true);
    struct ssa_pool *pool = pool_of(2, shares);
    sets_model(SETS_OF_VALUES, 0.1f);
    struct run r = start_on(NULL, pool, &s, NULL);
    const struct ssa_team *team = r.trainer->team;
    struct ssa_task *task = &r.trainer->task;
    int unlike = 0;
    task->facts.per_position = task->facts.per_seen = 0; /* else so small a model has nearly the same work of all */
    task->facts.per_pair = 1;
    for (int step = 0; step < RUN_STEPS; step++) {
        const struct ssa_draw draw = {.training = 1, .count = MICRO * MICROS, .length = SETS_LENGTH, .seed = 5,
                                      .step = (uint64_t)step};
        double work[MICROS], sum = 0, given = 0;
        int ends[2];
        OK(ssa_trainer_step(r.trainer));
        OK(ssa_work_draw(&task->data, &task->facts, &draw, MICRO, work));
        OK(ssa_work_cut(work, MICROS, shares, 2, ends));
        unlike += ends[0] != shares[0];
        for (int micro = 0; micro < MICROS; micro++) {
            ck_assert_int_eq(team->owner[micro], micro >= ends[0]);
            sum += work[micro];
            given += team->work[micro];
        }
        for (int micro = 0; micro < MICROS; micro++) /* in another unit */
            ck_assert_double_eq_tol(team->work[micro] / given, work[micro] / sum, 1e-12);
    }
    ck_assert_int_ge(unlike, 1);
    run_end(r);
    ssa_pool_close(pool);
}
END_TEST

/* What a source fails at when it is asked for sizes ends the run, as what it fails at when it fills does. */
START_TEST(no_sizes_no_step)
{
    struct source s = new_source(true);
    struct ssa_pool *pool = pool_of(2, NULL);
    sets_model(SETS_OF_VALUES, 0.1f);
    struct run r = start_on(NULL, pool, &s, NULL);
    OK(ssa_trainer_run(r.trainer, 3, &(struct ssa_trainer_run){0}));
    s.sizeless = true;
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EIO, "no such size");
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 3);
    s.sizeless = false;
    finish_run(r, &s, &got);
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    ssa_pool_close(pool);
}
END_TEST

/* One of two is lost on the way. */
START_TEST(a_device_is_lost)
{
    static const int shares[] = {3, 2};
    struct source s = new_source(true);
    struct ssa_device *device;
    struct ssa_pool *pool = pool_of(2, shares);
    OK(ssa_device_open(&device, "cpu"));
    sets_model(SETS_OF_VALUES, 0.1f);
    run_here(device, true, &want);
    pools_spy(pool->members[1]->device);
    struct run r = start_on(NULL, pool, &s, NULL);
    OK(ssa_trainer_run(r.trainer, 4, &(struct ssa_trainer_run){0}));
    pools_plan(pool->members[1]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 50});
    finish_run(r, &s, &got);
    run_same_bits(&want, &got);
    ck_assert_msg(strstr(pools_events, "(launch 50 fails)"), "%s", pools_events);
    ssa_device_close(device);
    ssa_pool_close(pool);
}
END_TEST

struct ranked {
    bool pools;
    struct result *results;
};

static void train_as_rank(struct ssa_ranks *ranks, void *cookie)
{
    const struct ranked *how = cookie;
    struct source s = new_source(true);
    struct ssa_pool *pool = NULL; /* whose events are nobody's: threads of several ranks would write them down */
    struct ssa_device *device = NULL;
    if (how->pools)
        OK(ssa_pool_create(&pool, NULL));
    for (int i = 0; i < 1 + how->pools; i++) {
        OK(ssa_device_open(&device, "cpu"));
        if (pool)
            OK(ssa_pool_add(pool, device));
    }
    device = pool ? NULL : device;
    finish_run(start_on(device, pool, &s, ranks), &s, &how->results[ranks->rank]);
    ssa_device_close(device);
    ssa_pool_close(pool);
}

START_TEST(over_ranks)
{
    enum { RANKS = 3 };
    struct result *results = calloc(RANKS, sizeof *results);
    struct ssa_device *device;
    OK(ssa_device_open(&device, "cpu"));
    sets_model(SETS_OF_VALUES, 0.1f);
    run_here(device, true, &want);
    for (int count = 1; count <= RANKS; count++)
        for (int pools = 0; pools < 2; pools++) {
            threads_run(count, train_as_rank, &(struct ranked){pools, results});
            for (int i = 0; i < count; i++) { /* runs of ranks are no nodes of the tree of sums: 5 = 2 + 3 */
                run_near(&want, &results[i]);
                run_same_bits(&results[0], &results[i]);
            }
        }
    run_same_bits(&results[0], &results[1]);
    ssa_device_close(device);
    free(results);
}
END_TEST

static char path[64];

/* Ended after each number of steps, and gone on with on a device, or on a pool. */
START_TEST(resumed)
{
    struct ssa_device *device;
    struct ssa_checkpoint *c;
    snprintf(path, sizeof path, "/tmp/ssacl-mixed-%d.st", (int)getpid());
    OK(ssa_device_open(&device, "cpu"));
    sets_model(SETS_OF_VALUES, 0.1f);
    run_here(device, true, &want);
    for (int steps = 1; steps < RUN_STEPS; steps += 3) {
        struct source s = new_source(true);
        struct ssa_pool *pool = pool_of(2, NULL);
        struct run r = start_on(steps % 2 ? NULL : device, steps % 2 ? pool : NULL, &s, NULL);
        OK(ssa_trainer_run(r.trainer, steps, &(struct ssa_trainer_run){0}));
        OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
        run_end(r);
        OK(ssa_checkpoint_open(&c, path));
        r = start_on(steps % 2 ? device : NULL, steps % 2 ? NULL : pool, &s, NULL);
        OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
        OK(ssa_checkpoint_load(c, r.model, r.trainer));
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        OK(ssa_trainer_losses(r.trainer, RUN_STEPS - steps, got.losses, &got.norm));
        ck_assert(!memcmp(got.losses, want.losses + steps, (size_t)(RUN_STEPS - steps) * sizeof *got.losses));
        ck_assert(got.norm == want.norm);
        run_end(r);
        check_source(&s);
        ssa_checkpoint_close(c);
        ssa_pool_close(pool);
    }
    ssa_device_close(device);
    remove(path);
}
END_TEST

/* ---- evaluation ---- */

enum { PASSES = 4, ANSWERS = SETS * SETS_LENGTH };

/* What passes say of every answer that has a target, in the order of the sets: losses -log p, or values. */
struct said {
    size_t count;
    float targets[ANSWERS]; /* of values */
    float passes[PASSES][ANSWERS];
};

static void say(struct said *said, enum sets_head head, const struct ssa_batch *b, int count, int pass, size_t *at,
                const float *answers)
{
    const int each = answers_of(head, b->length);
    for (int i = 0; i < count * each; i++) {
        if (head == SETS_OF_CLASSES ? b->targets[i] < 0 : isnan(b->values[i]))
            continue;
        said->targets[*at] = head == SETS_OF_CLASSES ? 0 : b->values[i];
        said->passes[pass][(*at)++] = answers[i];
    }
}

/* One batch in one pass, by hand: its plans are those of the batch's number and the pass's. */
static void ask(struct ssa_model *m, enum sets_head head, const struct ssa_evaluate *how, const size_t *numbers,
                int count, int batch, int pass, struct said *said, size_t *at)
{
    const int full = ssa_model_limits(m)->batch;
    struct ssa_batch b = sets_batch(full);
    struct ssa_plan plans[SETS_LAYERS] = {{0}};
    const struct ssa_plan *given[SETS_LAYERS];
    float answers[ANSWERS];
    b.length = sets_length(numbers, count);
    sets_fill(&b, numbers, count, SETS_ZEROES);
    for (int i = count * answers_of(head, b.length); i < full * answers_of(head, b.length); i++) {
        b.targets[i] = head == SETS_OF_CLASSES ? -1 : 0;
        if (head != SETS_OF_CLASSES)
            b.values[i] = NAN;
    }
    struct ssa_pass p = sets_pass(&b, full, head);
    for (int l = 0; how->pattern && l < SETS_LAYERS; l++) {
        struct ssa_sample s;
        OK(ssa_model_sample(ssa_model_config(m), how->pattern, l, full, 0, &s));
        s.length = b.length;
        s.lengths = b.lengths;
        s.seed = how->seed;
        s.step = (uint64_t)batch << 10 | (uint64_t)pass;
        OK(ssa_plan_draw(&plans[l], &s));
        given[l] = &plans[l];
    }
    p.plans = how->pattern ? given : NULL;
    OK(ssa_model_forward(m, &p));
    if (head == SETS_OF_CLASSES)
        OK(ssa_tensor_read(ssa_model_losses(m), answers, (size_t)(full * b.length)));
    else
        OK(ssa_model_read_answers(m, answers));
    say(said, head, &b, count, pass, at, answers);
    for (int l = 0; l < SETS_LAYERS; l++)
        ssa_plan_finish(&plans[l]);
    sets_free(&b);
}

static void ask_all(struct ssa_model *m, enum sets_head head, const struct ssa_evaluate *how, int chosen, int passes,
                    struct said *said)
{
    const int batch = ssa_model_limits(m)->batch;
    size_t numbers[SETS];
    for (int pass = 0; pass < passes; pass++) {
        size_t at = 0;
        for (int first = 0; first < chosen; first += batch) {
            const int count = chosen - first < batch ? chosen - first : batch;
            for (int i = 0; i < count; i++)
                numbers[i] = (size_t)(first + i) * SETS / (size_t)chosen;
            ask(m, head, how, numbers, count, first / batch, pass, said, &at);
        }
        said->count = at;
    }
}

/* Of the first `passes` together, or of one of them alone. */
static double loss_of(const struct said *said, enum sets_head head, int first, int passes)
{
    double sum = 0;
    for (size_t i = 0; i < said->count; i++) {
        double joined = 0;
        for (int m = first; m < first + passes; m++)
            joined += head == SETS_OF_CLASSES ? exp(-(double)said->passes[m][i]) : (double)said->passes[m][i];
        joined /= passes;
        const double away = fabs(joined - (double)said->targets[i]);
        sum += head == SETS_OF_CLASSES ? -log(joined) : head == SETS_OF_SQUARES ? away * away : away;
    }
    return sum / (double)said->count;
}

/* All answers that the program is told of. */
struct told {
    enum sets_head head;
    size_t answers, asked;
    double sum; /* of values */
};

static void hear(void *cookie, const struct ssa_answer *a)
{
    struct told *t = cookie;
    ck_assert(t->head == SETS_OF_CLASSES ? a->targets && !a->values && a->vocabulary == SETS_CLASSES
                                         : !a->targets && a->values && a->vocabulary == 1);
    ck_assert_uint_lt(a->example, SETS);
    t->answers += (size_t)a->answers;
    for (int i = 0; i < a->answers; i++) {
        const bool asked = a->targets ? a->targets[i] >= 0 : !isnan(a->values[i]);
        t->asked += asked;
        t->sum += asked && a->values ? (double)a->logits[i] : 0;
    }
}

static void check_told(const struct told *told, const struct said *said, int passes)
{
    double sum = 0;
    for (int m = 0; m < passes; m++)
        for (size_t i = 0; i < said->count; i++)
            sum += told->head == SETS_OF_CLASSES ? 0 : (double)said->passes[m][i];
    ck_assert_uint_eq(told->asked, said->count * (size_t)passes);
    ck_assert_uint_ge(told->answers, told->asked);
    ck_assert_double_eq_tol(told->sum, sum, 1e-5 * (1 + fabs(sum)));
}

/* `reference`: of the same parameters, on a device alone. */
static void check_scores(struct ssa_model *m, struct ssa_model *reference, enum sets_head head, struct ssa_evaluate how,
                         bool tight)
{
    static struct said said;
    struct source s = new_source(tight);
    const struct ssa_data data = data_of(&s);
    struct told told = {.head = head};
    struct ssa_scores scores;
    double ensemble[PASSES], singles[PASSES], mean = 0;
    const int passes = how.pattern ? PASSES : 1, chosen = how.windows ? (int)how.windows : SETS;
    how.passes = PASSES;
    how.seed = 9;
    how.answer = hear;
    how.cookie = &told;
    OK(ssa_evaluate(m, &data, &how, &scores, ensemble, singles));
    check_source(&s);
    ask_all(reference, head, &how, chosen, passes, &said);
    ck_assert_uint_eq(scores.tokens, said.count);
    ck_assert_int_eq(scores.passes, passes);
    for (int i = 0; i < passes; i++) {
        ck_assert_double_eq_tol(singles[i], loss_of(&said, head, i, 1), 2e-6);
        ck_assert_double_eq_tol(ensemble[i], loss_of(&said, head, 0, i + 1), 2e-6);
        mean += singles[i] / passes;
    }
    ck_assert_double_eq_tol(scores.single, mean, 1e-12);
    ck_assert(scores.loss == ensemble[passes - 1]); /* exactly */
    check_told(&told, &said, passes);
}

static const struct ssa_pattern several = {.kind = SSA_UNBIASED, .ratio = 0.3f, .per_example = 1, .dense_first = 1};

START_TEST(evaluates)
{
    static const size_t some[] = {0, 1, 7, 30}; /* of 41: runs of neighbours, and none */
    FOR_DEVICES (dev)
        for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES && !test_launches_slowly(dev); head++)
            for (int batch = 1; batch <= 4; batch += 3) {
                struct ssa_model *m = model_on(dev, (enum sets_head)head, batch);
                for (int i = 0; i < 4; i++) {
                    check_scores(m, m, (enum sets_head)head, (struct ssa_evaluate){.windows = some[i]}, true);
                    check_scores(m, m, (enum sets_head)head,
                                 (struct ssa_evaluate){.windows = some[i], .pattern = &several}, i % 2);
                }
                ssa_model_destroy(m);
            }
}
END_TEST

/* Bit for bit as on a device alone; with a tolerance too, which ends all at the same pass. */
static void check_pool(struct ssa_model *m, struct ssa_model *alone, const struct ssa_evaluate *how)
{
    struct source s = new_source(true);
    const struct ssa_data data = data_of(&s);
    struct ssa_scores a, b;
    double ensembles[2][64], singles[2][64];
    OK(ssa_evaluate(alone, &data, how, &a, ensembles[0], singles[0]));
    OK(ssa_evaluate(m, &data, how, &b, ensembles[1], singles[1]));
    a.seconds = b.seconds = 0;
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_mem_eq(ensembles[0], ensembles[1], (size_t)how->passes * sizeof **ensembles);
    ck_assert_mem_eq(singles[0], singles[1], (size_t)how->passes * sizeof **singles);
    check_source(&s);
}

START_TEST(evaluates_on_pools)
{
    struct ssa_device *device;
    OK(ssa_device_open(&device, "cpu"));
    for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
        struct ssa_pool *pool = pool_of(3, NULL);
        struct ssa_model *alone = model_on(device, (enum sets_head)head, 4), *m;
        OK(ssa_pool_model_create(&m, pool, &(struct ssa_model_config){.family = SSA_FAMILY_OF_TESTS},
                                 &(struct ssa_model_limits){.batch = 4}));
        OK(ssa_model_initialise(m, 3));
        check_pool(m, alone, &(struct ssa_evaluate){.passes = 1});
        check_pool(m, alone, &(struct ssa_evaluate){.pattern = &several, .passes = 5, .windows = 23});
        check_pool(m, alone, &(struct ssa_evaluate){.pattern = &several, .passes = 64, .tolerance = 0.01});
        check_scores(m, alone, (enum sets_head)head, (struct ssa_evaluate){.pattern = &several}, true);
        ck_assert_int_eq(ssa_pool_live(pool), 3);
        ssa_model_destroy(m);
        ssa_model_destroy(alone);
        ssa_pool_close(pool);
    }
    ssa_device_close(device);
}
END_TEST

/* In whatever batches, and however padded. */
START_TEST(batches_do_not_matter)
{
    for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
        double loss = 0;
        for (int batch = 1; batch <= 7; batch++) {
            struct ssa_model *m = model_on(test_device(0), (enum sets_head)head, batch);
            struct source s = new_source(batch % 3);
            const struct ssa_data data = data_of(&s);
            struct ssa_scores scores;
            OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
            loss = batch == 1 ? scores.loss : loss;
            ck_assert_double_eq_tol(scores.loss, loss, 1e-6 * loss);
            ssa_model_destroy(m);
        }
    }
}
END_TEST

/* Held-out data on the way of a training: the best is kept by its loss of values. */
static void see(void *cookie, const struct ssa_watched *w)
{
    double *least = cookie;
    *least = w->scores.loss < *least ? w->scores.loss : *least;
    ck_assert(w->best_loss == *least); /* exactly */
}

START_TEST(watched)
{
    struct source s = new_source(true), valid = new_source(true);
    const struct ssa_data data = data_of(&valid);
    double least = INFINITY;
    struct ssa_device *device;
    OK(ssa_device_open(&device, "cpu"));
    sets_model(SETS_OF_VALUES, 0.1f);
    run_here(device, true, &want);
    struct run r = start_on(device, NULL, &s, NULL);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){.watch = &(struct ssa_watch){.data = &data, .every = 3,
        .how = {.pattern = &several, .passes = 3}, .watched = see, .cookie = &least}}));
    run_read(r, &got);
    run_same_bits(&want, &got);
    ck_assert_double_lt(least, 2);
    run_end(r);
    check_source(&s);
    check_source(&valid);
    ssa_device_close(device);
}
END_TEST

/* ---- sources that are wrong ---- */

static void check_failing(struct ssa_device *device, struct ssa_pool *pool, int length, int longest, int status,
                          const char *words)
{
    struct source s = new_source(true);
    struct run r = start_on(device, pool, &s, NULL);
    s.length = length;
    s.longest = longest;
    s.fails = 4;
    for (int twice = 0; twice < 2; twice++) {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), status, words);
        ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 4);
    }
    s.fails = NEVER;
    finish_run(r, &s, &got);
    run_same_bits(&want, &got);
}

static int lower(void *cookie, const struct ssa_draw *d, struct ssa_batch *batch)
{
    (void)cookie;
    (void)d;
    batch->length--;
    return SSA_OK;
}

START_TEST(wrong_sources)
{
    const struct ssa_data lowered = {.fill = lower, .examples = 3}, ids = run_data();
    struct ssa_device *device;
    struct ssa_model *m;
    struct ssa_scores scores;
    OK(ssa_device_open(&device, "cpu"));
    sets_model(SETS_OF_VALUES, 0.1f);
    run_here(device, true, &want);
    for (int pools = 0; pools < 2; pools++) {
        struct ssa_pool *pool = pools ? pool_of(2, NULL) : NULL;
#define WRONG(...) check_failing(pool ? NULL : device, pool, __VA_ARGS__)
        WRONG(0, 0, SSA_EIO, "data: step 5: no such set");
        WRONG(SETS_LENGTH + 1, 0, SSA_EINVAL, "data: step 5: length of the batch is 16, must be in [3, 15]");
        WRONG(SETS_LEAD, 0, SSA_EINVAL, "data: step 5: length of the batch is 2, must be");
        WRONG(-1, 0, SSA_EINVAL, "data: step 5: length of the batch is -1");
        WRONG(0, 99, SSA_EINVAL, "data: step 5: lengths[1] is 99, must be 0 or in [2, ");
        WRONG(0, 1, SSA_EINVAL, "data: step 5: lengths[1] is 1, must be 0 or in [2, ");
        WRONG(0, -3, SSA_EINVAL, "data: step 5: lengths[1] is -3");
        ck_assert(!pool || ssa_pool_live(pool) == 2);
        ssa_pool_close(pool);
    }
    FAILS(ssa_train_config_check(&(struct ssa_train_config){.smoothing = 0.1f},
                                 &(struct ssa_model_config){.family = SSA_FAMILY_OF_TESTS}, 1), SSA_EINVAL,
          "smoothing is 0.1, of this kind of model labels are not smoothed");
    m = model_on(device, SETS_OF_CLASSES, 2);
    FAILS(ssa_evaluate(m, &ids, &(struct ssa_evaluate){0}, &scores, NULL, NULL), SSA_EINVAL, "mixed size come from a source");
    ssa_model_destroy(m);
    OK(ssa_model_create(&m, device, &run_config, &run_limits));
    FAILS(ssa_evaluate(m, &lowered, &(struct ssa_evaluate){0}, &scores, NULL, NULL), SSA_EINVAL,
          "data: example 0: length of the batch is 15, all sequences are of 16");
    ssa_model_destroy(m);
    ssa_device_close(device);
}
END_TEST

int main(void)
{
    return test_run("mixed", (const TTest *const[]){inputs, samples, company, finite_differences,
        sizes_are_those_of_what_is_filled, steps_by_hand, padded_or_not, on_pools, shares_are_of_work, no_sizes_no_step, a_device_is_lost, over_ranks,
        resumed, evaluates, evaluates_on_pools, batches_do_not_matter, watched, wrong_sources, NULL});
}

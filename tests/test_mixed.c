/* Sequences of mixed size: what passes take of them, that neither padding nor companions change anything, and that a run
 * or an evaluation gives the same whoever computes it. */
#include "sets.h"
#include "net/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 6, SETS = 40 };

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

/* The tests' own blocks: along random directions against central differences. */
static double objective(struct ssa_model *m, const struct ssa_pass *pass, enum sets_head head)
{
    double sum = 0;
    OK(ssa_model_forward(m, pass));
    const size_t count = (size_t)(pass->batch * answers_of(head, pass->length));
    float *losses = test_read(ssa_model_losses(m), count);
    for (size_t i = 0; i < count; i++)
        sum += (double)losses[i];
    free(losses);
    return sum;
}

static void check_slope(struct ssa_model *m, const struct ssa_pass *pass, enum sets_head head, int i, const float *gradient)
{
    const struct ssa_parameter *p = ssa_model_parameter(m, i);
    float *x = test_read(p->value, p->count), *d = test_values(p->count, (uint64_t)i + 50, -1, 1);
    float *moved = malloc(p->count * sizeof *moved);
    double slope = 0, h = 2e-3 / sqrt((double)p->count), length = 0, value[2];
    for (size_t e = 0; e < p->count; e++) {
        slope += (double)gradient[e] * (double)d[e];
        length += (double)gradient[e] * (double)gradient[e];
    }
    for (int side = 0; side < 2; side++) {
        for (size_t e = 0; e < p->count; e++)
            moved[e] = x[e] + (float)((side ? -h : h) * (double)d[e]);
        OK(ssa_tensor_write(p->value, moved, p->count));
        value[side] = objective(m, pass, head);
    }
    OK(ssa_tensor_write(p->value, x, p->count));
    const double got = (value[0] - value[1]) / (2 * h);
    ck_assert_msg(fabs(got - slope) <= 1e-2 * fabs(slope) + 5e-3 * sqrt(length) + 5e-3, "%s: slope %g, difference %g",
                  p->name, slope, got);
    free(x);
    free(d);
    free(moved);
}

START_TEST(finite_differences)
{
    const size_t numbers[] = {1, 2, 3, 7};
    struct ssa_batch b = sets_batch(4);
    b.length = sets_length(numbers, 4);
    sets_fill(&b, numbers, 4, SETS_JUNK);
    for (int head = SETS_OF_VALUES; head <= SETS_OF_CLASSES; head++) {
        struct ssa_model *m = model_on(test_device(0), (enum sets_head)head, 4);
        const struct ssa_pass pass = sets_pass(&b, 4, (enum sets_head)head);
        struct outcome o = run_pass(m, &pass, (enum sets_head)head);
        size_t at = 0;
        for (int i = 0; i < ssa_model_tensors(m); i++) {
            check_slope(m, &pass, (enum sets_head)head, i, o.gradients + at);
            at += ssa_model_parameter(m, i)->count;
        }
        finish(&o);
        ssa_model_destroy(m);
    }
    sets_free(&b);
}
END_TEST

int main(void)
{
    return test_run("mixed", (const TTest *const[]){inputs, samples, company, finite_differences, NULL});
}

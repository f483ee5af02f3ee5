/* Evaluation and self-ensemble, held against the same thing done by hand. */
#include "golden.h"
#include "evaluate/ensemble.h"
#include "ssacl/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 16, COUNT = 16 * 5 + 8, LAYERS = 2, PASSES = 5 };

static const struct ssa_model_config config = {.gpt = {.layers = LAYERS, .heads = 2, .width = 16, .vocabulary = 32,
                                               .length = N, .dropout = 0.5f}};
static const struct ssa_pattern sampled = {.kind = SSA_UNBIASED, .ratio = 0.25f};
static unsigned char text[COUNT];
static const struct ssa_data data = {.items = text, .count = COUNT};

static struct ssa_model *make(struct ssa_device *dev, int batch, int training)
{
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, &config, &(struct ssa_model_limits){.batch = batch, .training = training}));
    golden_parameters(m, 0.4);
    for (uint32_t i = 0; i < COUNT; i++)
        text[i] = (unsigned char)((golden_value(3000, i) + 1) * 16);
    return m;
}

/* The losses of window number `window`, which starts at `start`, under one pass's plans, drawn as ssa_evaluate() is
 * documented to. */
static void window_by_hand(struct ssa_model *m, size_t window, size_t start, const struct ssa_pattern *pattern, int pass,
                           float *losses)
{
    int32_t tokens[N], targets[N];
    struct ssa_plan plans[LAYERS] = {{0}};
    const struct ssa_plan *pointers[LAYERS] = {NULL};
    for (size_t i = 0; i < N; i++) {
        size_t at = start + i;
        tokens[i] = at + 1 < COUNT ? text[at] : 0;
        targets[i] = at + 1 < COUNT ? text[at + 1] : -1;
    }
    for (int l = 0; pattern && l < LAYERS; l++) {
        struct ssa_sample how;
        OK(ssa_pattern_sample(pattern, l, LAYERS, N, 1, &how));
        how.seed = 11;
        how.step = (uint64_t)window << 10 | (uint64_t)pass;
        OK(ssa_plan_draw(&plans[l], &how));
        pointers[l] = &plans[l];
    }
    OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = tokens, .targets = targets, .plans = pointers}));
    OK(ssa_tensor_read(ssa_model_losses(m), losses, N));
    for (int l = 0; l < LAYERS; l++)
        ssa_plan_finish(&plans[l]);
}

static void by_hand(struct ssa_model *m, size_t window, const struct ssa_pattern *pattern, int pass, float *losses)
{
    window_by_hand(m, window, window * N, pattern, pass, losses);
}

static void near(double got, double want, const char *what)
{
    ck_assert_msg(fabs(got - want) < 1e-6, "%s: %.9g, not %.9g", what, got, want);
}

static void check_ensemble(struct ssa_device *dev)
{
    struct ssa_model *m = make(dev, 1, 0);
    struct ssa_evaluate how = {.pattern = &sampled, .passes = PASSES, .seed = 11};
    struct ssa_scores scores;
    double ensemble[PASSES], singles[PASSES], want_ensemble[PASSES] = {0}, want_singles[PASSES] = {0}, mean = 0, spread = 0;
    memset(&scores, 0xff, sizeof scores);
    OK(ssa_evaluate(m, &data, &how, &scores, ensemble, singles));
    ck_assert(scores.passes == PASSES && scores.unsettled >= 0);
    for (size_t w = 0; w < 6; w++) {
        double p[N] = {0};
        for (int pass = 0; pass < PASSES; pass++) {
            float losses[N];
            by_hand(m, w, &sampled, pass, losses);
            for (size_t i = 0; i < N && w * N + i + 1 < COUNT; i++) {
                p[i] += exp(-(double)losses[i]);
                want_singles[pass] += (double)losses[i] / (COUNT - 1);
                want_ensemble[pass] -= log(p[i] / (pass + 1)) / (COUNT - 1);
            }
        }
    }
    for (int pass = 0; pass < PASSES; pass++) {
        near(ensemble[pass], want_ensemble[pass], "ensemble");
        near(singles[pass], want_singles[pass], "single");
        mean += singles[pass] / PASSES;
        ck_assert(pass == 0 || fabs(singles[pass] - singles[0]) > 1e-6); /* passes differ */
    }
    for (int pass = 0; pass < PASSES; pass++)
        spread += (singles[pass] - mean) * (singles[pass] - mean) / (PASSES - 1);
    near(ensemble[0], singles[0], "one pass");
    near(scores.loss, ensemble[PASSES - 1], "loss");
    near(scores.single, mean, "mean");
    near(scores.single_spread, sqrt(spread), "spread");
    ck_assert(scores.loss < mean); /* log of a mean is above the mean of logs */
    ck_assert_uint_eq(scores.tokens, COUNT - 1);
    ck_assert(scores.seconds > 0);
    ssa_model_destroy(m);
}

START_TEST(averages_probabilities)
{
    FOR_DEVICES (dev)
        check_ensemble(dev);
}
END_TEST

/* The first passes of many are those of few; a model made for training says the same, its dropout off. */
static void check_prefix(struct ssa_device *dev)
{
    struct ssa_model *m = make(dev, 4, 0), *training = make(dev, 4, 1);
    struct ssa_evaluate how = {.pattern = &sampled, .passes = PASSES, .seed = 3};
    struct ssa_scores scores;
    double five[PASSES], three[PASSES], again[PASSES];
    OK(ssa_evaluate(m, &data, &how, &scores, five, NULL));
    how.passes = 3;
    OK(ssa_evaluate(m, &data, &how, &scores, three, NULL));
    OK(ssa_evaluate(training, &data, &how, &scores, again, NULL));
    ck_assert_mem_eq(five, three, 3 * sizeof *five);
    for (int pass = 0; pass < 3; pass++) /* not the same bits: a library's GEMM may choose its kernel by alignment */
        near(again[pass], three[pass], "a model made for training");
    how.seed = 4;
    OK(ssa_evaluate(m, &data, &how, &scores, again, NULL));
    ck_assert(again[0] != three[0]);
    ssa_model_destroy(m);
    ssa_model_destroy(training);
}

START_TEST(few_passes_begin_many)
{
    FOR_DEVICES (dev)
        check_prefix(dev);
}
END_TEST

/* Dense: every batch size gives the same, one pass stands for all; windows picked evenly. */
static void check_dense(struct ssa_device *dev)
{
    struct ssa_scores scores;
    double want = 0, some = 0, ensemble[3], singles[3];
    float losses[N];
    struct ssa_model *one = make(dev, 1, 0);
    for (size_t w = 0; w < 6; w++) {
        by_hand(one, w, NULL, 0, losses);
        for (size_t i = 0; i < N && w * N + i + 1 < COUNT; i++) {
            want += (double)losses[i] / (COUNT - 1);
            some += w == 0 || w == 3 ? (double)losses[i] / (2 * N) : 0;
        }
    }
    ssa_model_destroy(one);
    for (int batch = 1; batch <= 8; batch += 3) {
        struct ssa_model *m = make(dev, batch, 0);
        memset(&scores, 0xff, sizeof scores);
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.passes = 3}, &scores, ensemble, singles));
        ck_assert(scores.passes == 1 && scores.unsettled <= 0);
        near(scores.loss, want, "dense");
        near(ensemble[2], want, "dense, third pass");
        near(singles[2], want, "dense, third single");
        ck_assert(scores.single_spread <= 0);
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.windows = 2}, &scores, NULL, NULL));
        near(scores.loss, some, "two windows");
        ck_assert_uint_eq(scores.tokens, 2 * N);
        ssa_model_destroy(m);
    }
}

START_TEST(dense_is_one_pass)
{
    FOR_DEVICES (dev)
        check_dense(dev);
}
END_TEST

/* Overlapping windows: each token counts where it is first held, whatever the stride; a short text is one window. */
static void check_stride(struct ssa_device *dev, size_t count, size_t stride)
{
    const struct ssa_data some = {.items = text, .count = count};
    struct ssa_model *m = make(dev, 1, 0);
    struct ssa_evaluate how = {.pattern = &sampled, .passes = 2, .seed = 11, .stride = stride};
    struct ssa_scores scores;
    double singles[2], want[2] = {0};
    size_t seen = 0;
    OK(ssa_evaluate(m, &some, &how, &scores, NULL, singles));
    for (size_t w = 0; seen < count - 1; w++) {
        float losses[N];
        size_t from = seen;
        for (int pass = 0; pass < 2; pass++) {
            window_by_hand(m, w, w * stride, &sampled, pass, losses);
            for (seen = from; seen < count - 1 && seen < w * stride + N; seen++)
                want[pass] += (double)losses[seen - w * stride] / (double)(count - 1);
        }
    }
    near(singles[0], want[0], "stride, first pass");
    near(singles[1], want[1], "stride, second pass");
    ck_assert_uint_eq(scores.tokens, count - 1);
    ssa_model_destroy(m);
}

START_TEST(windows_overlap)
{
    static const size_t strides[] = {1, 5, N / 2, N - 1, N}, counts[] = {2, N, N + 1, N + 2, COUNT};
    FOR_DEVICES (dev)
        for (int s = 0; s < 5; s++)
            for (int c = 0; c < 5; c++)
                if (!test_launches_slowly(dev) || (strides[s] == N / 2 && counts[c] >= N + 2))
                    check_stride(dev, counts[c], strides[s]);
}
END_TEST

/* ---- answers that are values ---- */

enum { VALUES = 7, VALUE_BATCHES = 3 };
static const size_t value_batches[VALUE_BATCHES + 1] = {0, 3, 4, VALUES + 1}; /* room for one that has no target */

static float value_of(int pass, int i)
{
    return (float)golden_value(4000 + (uint32_t)pass, (uint32_t)i);
}

static float target_of(int i)
{
    return (float)golden_value(5000, (uint32_t)i) / 2;
}

static int add_values(struct ssa_ensemble *e, int pass, int batch, size_t count)
{
    struct ssa_answers a = {count, malloc(count * sizeof(float)), malloc(count * sizeof(float))};
    for (size_t i = 0; i < count; i++) {
        a.values[i] = value_of(pass, (int)(value_batches[batch] + i));
        a.targets[i] = target_of((int)(value_batches[batch] + i));
    }
    return ssa_ensemble_add(e, pass, (size_t)batch, a);
}

/* Batches of an ensemble of `passes`, the last pass first. */
static struct ssa_ensemble *ensemble_of_values(int passes)
{
    static const size_t counts[VALUE_BATCHES] = {3, 1, VALUES - 4};
    struct ssa_ensemble *e;
    OK(ssa_ensemble_create(&e, &(struct ssa_ensemble_config){.join = SSA_JOIN_VALUES, .passes = passes,
        .batches = VALUE_BATCHES, .first = value_batches}));
    for (int pass = passes - 1; pass >= 0; pass--)
        for (int b = VALUE_BATCHES - 1; b >= 0; b--)
            OK(add_values(e, pass, b, counts[b]));
    ck_assert(ssa_ensemble_complete(e));
    return e;
}

/* The loss of the mean of values, not the mean of their losses. */
START_TEST(averages_values)
{
    for (int passes = 1; passes <= PASSES; passes += PASSES - 1) {
        struct ssa_ensemble *e = ensemble_of_values(passes);
        struct ssa_ensemble_result r = ssa_ensemble_result(e);
        ck_assert_int_eq(r.passes, passes);
        ck_assert_uint_eq(r.answers, VALUES);
        for (int m = 0; m < passes; m++) {
            double together = 0, alone = 0;
            for (int i = 0; i < VALUES; i++) {
                double sum = 0;
                for (int pass = 0; pass <= m; pass++)
                    sum += (double)value_of(pass, i);
                together += fabs(sum / (m + 1) - (double)target_of(i)) / VALUES;
                alone += fabs((double)value_of(m, i) - (double)target_of(i)) / VALUES;
            }
            ck_assert_double_eq_tol(r.ensemble[m], together, 1e-12);
            ck_assert_double_eq_tol(r.singles[m], alone, 1e-12);
        }
        ck_assert(passes == 1 || r.ensemble[passes - 1] < r.single - 0.01);
        ssa_ensemble_destroy(e);
    }
}
END_TEST

START_TEST(passes_have_the_same_answers)
{
    struct ssa_ensemble *e;
    OK(ssa_ensemble_create(&e, &(struct ssa_ensemble_config){.join = SSA_JOIN_VALUES, .passes = 2,
        .batches = VALUE_BATCHES, .first = value_batches}));
    OK(add_values(e, 1, 0, 2));
    FAILS(add_values(e, 0, 0, 3), SSA_EINVAL, "pass 1 has 3 targets in batch 0: more than");
    FAILS(add_values(e, 0, 1, 2), SSA_EINVAL, "pass 1 has 2 targets in batch 1");
    ssa_ensemble_destroy(e);
}
END_TEST

static void count_calls(void *cookie, double done)
{
    *(double *)cookie = done;
}

START_TEST(bad_input)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_model *m = make(dev, 2, 0);
    struct ssa_scores scores;
    volatile int stop = 1;
    double done = 0;
    struct ssa_pattern wrong = {.kind = SSA_LOCAL, .ratio = 0.3f};
    const struct ssa_data empty = {.items = text, .count = 1};
#define BAD(status, words, d, ...) \
    FAILS(ssa_evaluate(m, d, &(struct ssa_evaluate){__VA_ARGS__}, &scores, NULL, NULL), status, words)
    memset(&scores, 0xff, sizeof scores);
    BAD(SSA_EINVAL, "passes is 1001", &data, .passes = 1001);
    ck_assert(scores.loss == 0 && scores.tokens == 0 && scores.passes == 0 && scores.unsettled == 0);
    BAD(SSA_EINVAL, "passes is -1", &data, .passes = -1);
    BAD(SSA_EINVAL, "pattern: ratio 0.3", &data, .pattern = &wrong);
    BAD(SSA_EINVAL, "stride is 17, must be at most the model's length, 16", &data, .stride = N + 1);
    BAD(SSA_EINVAL, "1 tokens", &empty, .passes = 1);
    BAD(SSA_ESTOPPED, "stopped", &data, .stop = &stop);
    OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.progress = count_calls, .cookie = &done}, &scores, NULL, NULL));
    ck_assert(done >= 1);
    ssa_model_destroy(m);
}
END_TEST

int main(void)
{
    return test_run("ensemble", (const TTest *const[]){averages_probabilities, few_passes_begin_many,
                                                       dense_is_one_pass, windows_overlap, averages_values,
                                                       passes_have_the_same_answers, bad_input, NULL});
}

#include "harness.h"
#include "oracle/cross_entropy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ce_case {
    int rows, vocabulary;
    double smoothing, grad_scale;
    size_t n;
    float *logits;
    int32_t *targets;
    double *loss, *dlogits; /* what the oracle says */
};

/* Every fifth row is ignored: by a negative target or one past the vocabulary. */
static struct ce_case make_case(int rows, int vocabulary, double smoothing, double grad_scale)
{
    struct ce_case c = {rows, vocabulary, smoothing, grad_scale, .n = (size_t)rows * (size_t)vocabulary};
    float *u = test_values((size_t)rows, 3, 0, 1);
    c.logits = test_values(c.n, 2, -8, 8);
    c.targets = malloc((size_t)rows * sizeof *c.targets);
    for (int r = 0; r < rows; r++)
        c.targets[r] = r % 10 == 3 ? -100 : r % 10 == 8 ? vocabulary : (int32_t)(u[r] * (float)vocabulary);
    double *x = test_doubles(c.logits, c.n);
    c.loss = malloc((size_t)rows * sizeof *c.loss);
    c.dlogits = malloc(c.n * sizeof *c.dlogits);
    oracle_cross_entropy(x, c.targets, rows, vocabulary, (double)(float)smoothing,
                         grad_scale != 0 ? (double)(float)grad_scale : 1, c.loss, c.dlogits);
    free(u);
    free(x);
    return c;
}

static void free_case(struct ce_case *c)
{
    free(c->logits);
    free(c->targets);
    free(c->loss);
    free(c->dlogits);
}

static void check(struct ssa_device *dev, const struct ce_case *c)
{
    const size_t rows = (size_t)c->rows;
    struct ssa_tensor logits = test_from(dev, c->logits, c->n), targets = test_from_ints(dev, c->targets, rows);
    struct ssa_tensor loss = test_new(dev, rows), again = test_new(dev, rows), dlogits = test_new(dev, c->n);
    struct ssa_cross_entropy a = {.logits = logits, .targets = targets, .loss = loss, .dlogits = dlogits,
                                  .rows = c->rows, .vocabulary = c->vocabulary, .smoothing = (float)c->smoothing,
                                  .grad_scale = (float)c->grad_scale};
    OK(ssa_cross_entropy(dev, &a));
    test_compare("loss", loss, c->loss, rows, 2e-6, 2e-6, "%d x %d smoothing %g", c->rows, c->vocabulary, c->smoothing);
    test_compare("dlogits", dlogits, c->dlogits, c->n, 3e-7, 1e-5, "%d x %d smoothing %g", c->rows, c->vocabulary,
                 c->smoothing);
    a.loss = again; /* the loss alone */
    a.dlogits = (struct ssa_tensor){0};
    OK(ssa_cross_entropy(dev, &a));
    test_same_bits("loss alone", again, loss, rows);
    a.loss = (struct ssa_tensor){0}; /* the gradient alone */
    a.dlogits = dlogits;
    IN_PLACE(cross_entropy, a, dlogits, logits, c->n);
    test_free(logits, c->n);
    test_free(targets, rows);
    test_free(loss, rows);
    test_free(again, rows);
    test_free(dlogits, c->n);
}

START_TEST(matches_oracle)
{
    static const int shapes[][2] = {{1, 1},  {9, 2},   {11, 15},  {33, 16},   {17, 17},    {64, 63},   {31, 64},
                                    {5, 65}, {1009, 3}, {3, 1009}, {40, 256}, {2, 50257}, {1, 100000}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int smooth = 0; smooth < 2; smooth++) {
            if (!test_fits((size_t)shapes[i][0] * (size_t)shapes[i][1] * 20))
                continue;
            struct ce_case c = make_case(shapes[i][0], shapes[i][1], smooth ? 0.1 : 0, i % 2 ? 1.0 / 48 : 0);
            FOR_DEVICES (dev)
                check(dev, &c);
            free_case(&c);
        }
}
END_TEST

/* ---- soft targets ---- */

/* Weights of mixed labels: of each row they add up to 1, or to something else, and every fifth row has none. */
static float *make_soft(int rows, int vocabulary)
{
    const size_t v = (size_t)vocabulary;
    float *s = test_values((size_t)rows * v, 5, 0, 1);
    for (int r = 0; r < rows; r++) {
        float *row = s + (size_t)r * v, sum = 0;
        for (size_t i = 0; i < v; i++)
            sum += row[i] = row[i] < 0.5f ? 0 : row[i];
        for (size_t i = 0; i < v; i++)
            row[i] = r % 5 == 3 || sum <= 0 ? 0 : r % 5 == 4 ? row[i] / (2 * sum) : row[i] / sum;
    }
    return s;
}

static void check_soft(struct ssa_device *dev, int rows, int vocabulary, float smoothing)
{
    const size_t n = (size_t)rows * (size_t)vocabulary, m = (size_t)rows;
    float *logits = test_values(n, 2, -8, 8), *soft = make_soft(rows, vocabulary);
    double *x = test_doubles(logits, n), *s = test_doubles(soft, n), *want = malloc((m + n) * sizeof *want);
    struct ssa_tensor tx = test_from(dev, logits, n), ts = test_from(dev, soft, n), loss = test_new(dev, m);
    struct ssa_tensor again = test_new(dev, m), dlogits = test_new(dev, n);
    struct ssa_cross_entropy a = {.logits = tx, .soft_targets = ts, .loss = loss, .dlogits = dlogits, .rows = rows,
                                  .vocabulary = vocabulary, .smoothing = smoothing, .grad_scale = 0.75f};
    oracle_cross_entropy_soft(x, s, rows, vocabulary, (double)smoothing, 0.75, want, want + m);
    OK(ssa_cross_entropy(dev, &a));
    test_compare("loss", loss, want, m, 4e-6, 3e-6, "soft %d x %d smoothing %g", rows, vocabulary, (double)smoothing);
    test_compare("dlogits", dlogits, want + m, n, 3e-7, 1e-5, "soft %d x %d smoothing %g", rows, vocabulary,
                 (double)smoothing);
    a.dlogits = (struct ssa_tensor){0};
    a.loss = again;
    OK(ssa_cross_entropy(dev, &a));
    test_same_bits("loss alone", again, loss, m);
    a.loss = (struct ssa_tensor){0};
    a.dlogits = dlogits;
    IN_PLACE(cross_entropy, a, dlogits, logits, n);
    test_free(tx, n);
    test_free(ts, n);
    test_free(loss, m);
    test_free(again, m);
    test_free(dlogits, n);
    free(logits);
    free(soft);
    free(x);
    free(s);
    free(want);
}

START_TEST(soft_matches_oracle)
{
    static const int shapes[][2] = {{1, 1},  {9, 2},   {11, 15},  {33, 16},   {17, 17},    {64, 63},   {31, 64},
                                    {5, 65}, {1009, 3}, {3, 1009}, {40, 256}, {10, 10}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int smooth = 0; smooth < 2; smooth++)
                if (test_fits((size_t)shapes[i][0] * (size_t)shapes[i][1] * 20))
                    check_soft(dev, shapes[i][0], shapes[i][1], smooth ? 0.1f : 0);
}
END_TEST

/* A weight of 1 on one class is a hard target. */
START_TEST(soft_as_hard)
{
    enum { ROWS = 23, V = 19, N = ROWS * V };
    FOR_DEVICES (dev)
        for (int smooth = 0; smooth < 2; smooth++) {
            struct ce_case c = make_case(ROWS, V, smooth ? 0.2 : 0, 0.5);
            float *soft = calloc(N, sizeof *soft);
            for (int r = 0; r < ROWS; r++)
                if (c.targets[r] >= 0 && c.targets[r] < V)
                    soft[r * V + c.targets[r]] = 1;
            struct ssa_tensor logits = test_from(dev, c.logits, N), s = test_from(dev, soft, N);
            struct ssa_tensor loss = test_new(dev, ROWS), dlogits = test_new(dev, N);
            OK(ssa_cross_entropy(dev, &(struct ssa_cross_entropy){.logits = logits, .soft_targets = s, .loss = loss,
                .dlogits = dlogits, .rows = ROWS, .vocabulary = V, .smoothing = (float)c.smoothing,
                .grad_scale = 0.5f}));
            test_compare("loss", loss, c.loss, ROWS, 2e-6, 2e-6, "one-hot, smoothing %g", c.smoothing);
            test_compare("dlogits", dlogits, c.dlogits, N, 3e-7, 1e-5, "one-hot, smoothing %g", c.smoothing);
            test_free(logits, N);
            test_free(s, N);
            test_free(loss, ROWS);
            test_free(dlogits, N);
            free(soft);
            free_case(&c);
        }
}
END_TEST

/* A class that cannot be and has no weight does not matter; one that has makes the loss infinite. NaN is seen. */
START_TEST(soft_extremes)
{
    const float x[] = {0, -INFINITY, 0}, none[] = {0.25f, 0, 0.75f}, some[] = {0.5f, 0.5f, 0}, broken[] = {0, NAN, 0};
    FOR_DEVICES (dev)
        for (int i = 0; i < 3; i++) {
            struct ssa_tensor logits = test_from(dev, i == 2 ? broken : x, 3), loss = test_new(dev, 1);
            struct ssa_tensor soft = test_from(dev, i == 1 ? some : none, 3);
            OK(ssa_cross_entropy(dev, &(struct ssa_cross_entropy){.logits = logits, .soft_targets = soft, .loss = loss,
                                                                  .dlogits = logits, .rows = 1, .vocabulary = 3}));
            float *got = test_read(loss, 1), *d = test_read(logits, 3);
            if (i == 0)
                ck_assert_float_eq_tol(got[0], logf(2), 1e-6f);
            ck_assert(i == 0 || (i == 1 ? isinf(got[0]) && got[0] > 0 : isnan(got[0])));
            for (int v = 0; v < 3 && i < 2; v++)
                ck_assert_float_eq_tol(d[v], (v == 1 ? 0 : 0.5f) - (i ? some : none)[v], 1e-6f);
            free(got);
            free(d);
            test_free(logits, 3);
            test_free(soft, 3);
            test_free(loss, 1);
        }
}
END_TEST

START_TEST(soft_finite_differences)
{
    enum { ROWS = 5, V = 17, N = ROWS * V };
    float *logits = test_values(N, 2, -4, 4), *soft = make_soft(ROWS, V);
    double *x = test_doubles(logits, N), *s = test_doubles(soft, N), loss[ROWS], d[N], slopes[N], unused[N];
    const double h = 1e-5;
    oracle_cross_entropy_soft(x, s, ROWS, V, 0.2, 1, loss, d);
    SLOPES(slopes, x, N, h, oracle_cross_entropy_soft(x, s, ROWS, V, 0.2, 1, loss, unused), ROWS, loss[j])
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(slopes[i], d[i], 1e-8);
    free(logits);
    free(soft);
    free(x);
    free(s);
}
END_TEST

/* ---- rows of one's own ---- */

static void check_row(const char *what, const float *x, int n, int target, float smoothing, double loss,
                      const double *dlogits)
{
    FOR_DEVICES (dev) {
        const int32_t id = target;
        struct ssa_tensor logits = test_from(dev, x, (size_t)n), ids = test_from_ints(dev, &id, 1);
        struct ssa_tensor out = test_new(dev, 1);
        OK(ssa_cross_entropy(dev, &(struct ssa_cross_entropy){.logits = logits, .targets = ids, .loss = out,
                                                              .dlogits = logits, .rows = 1, .vocabulary = n,
                                                              .smoothing = smoothing}));
        test_compare("loss", out, &loss, 1, 1e-5, 1e-6, "%s", what);
        test_compare("dlogits", logits, dlogits, (size_t)n, 1e-6, 1e-6, "%s", what);
        test_free(logits, (size_t)n);
        test_free(ids, 1);
        test_free(out, 1);
    }
}

/* No NaN, whatever the logits are, as long as they are numbers. */
START_TEST(extreme_logits)
{
    const float inf = INFINITY;
    check_row("one of three masked", (float[]){0, -inf, 0}, 3, 0, 0, log(2), (double[]){-0.5, 0, 0.5});
    check_row("the target masked", (float[]){0, -inf, 0}, 3, 1, 0, INFINITY, (double[]){0.5, -1, 0.5});
    check_row("all masked", (float[]){-inf, -inf}, 2, 0, 0, INFINITY, (double[]){-0.5, 0.5});
    check_row("huge", (float[]){3e38f, -3e38f, 0}, 3, 0, 0, 0, (double[]){0, 0, 0});
    check_row("huge, target low", (float[]){1e30f, 0}, 2, 1, 0, 1e30, (double[]){1, -1});
    check_row("all very low", (float[]){-1e4f, -1e4f}, 2, 0, 0, log(2), (double[]){-0.5, 0.5});
    check_row("infinite", (float[]){inf, 0}, 2, 0, 0, -INFINITY, (double[]){0, 0});
}
END_TEST

/* A logit that is no number makes the loss none, so that a trainer sees that its model is broken. */
START_TEST(nan_logits)
{
    FOR_DEVICES (dev) {
        for (int at = 0; at < 40; at += 13) {
            float x[40] = {0};
            int32_t target = 1;
            x[at] = NAN;
            struct ssa_tensor logits = test_from(dev, x, 40), targets = test_from_ints(dev, &target, 1);
            struct ssa_tensor loss = test_new(dev, 1);
            OK(ssa_tensor_fill(loss, 0, 1));
            OK(ssa_cross_entropy(dev, &(struct ssa_cross_entropy){.logits = logits, .targets = targets, .loss = loss,
                                                                  .rows = 1, .vocabulary = 40}));
            float *got = test_read(loss, 1);
            ck_assert_msg(isnan(got[0]), "%s: NaN in column %d, loss %g", dev->info.name, at,
                          (double)got[0]);
            free(got);
            test_free(logits, 40);
            test_free(targets, 1);
            test_free(loss, 1);
        }
    }
}
END_TEST

START_TEST(finite_differences)
{
    enum { ROWS = 4, V = 17, N = ROWS * V };
    struct ce_case c = make_case(ROWS, V, 0.2, 1);
    double *x = test_doubles(c.logits, N), loss[ROWS], slopes[N], unused[N];
    const double h = 1e-5;
    SLOPES(slopes, x, N, h, oracle_cross_entropy(x, c.targets, ROWS, V, (double)0.2f, 1, loss, unused), ROWS, loss[j])
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(slopes[i], c.dlogits[i], 1e-8);
    free(x);
    free_case(&c);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_cross_entropy good = {.logits = t, .targets = ssa_tensor_as(t, SSA_I32), .loss = t, .dlogits = t, .rows = 4,
                                         .vocabulary = 8};
        REFUSES(cross_entropy, good, rows, 0, "rows is 0");
        REFUSES(cross_entropy, good, vocabulary, 0, "vocabulary is 0");
        REFUSES(cross_entropy, good, vocabulary, INT32_MAX, "vocabulary is 2147483647");
        REFUSES(cross_entropy, good, smoothing, 1, "smoothing is 1");
        REFUSES(cross_entropy, good, smoothing, -0.5f, "smoothing is -0.5");
        REFUSES(cross_entropy, good, smoothing, NAN, "smoothing is nan");
        REFUSES(cross_entropy, good, grad_scale, INFINITY, "grad_scale is inf");
        REFUSES_ABSENT(cross_entropy, good, logits);
        REFUSES_SMALL(cross_entropy, good, logits, 32);
        REFUSES_SMALL(cross_entropy, good, targets, 4);
        REFUSES_SMALL(cross_entropy, good, loss, 4);
        REFUSES_SMALL(cross_entropy, good, dlogits, 32);
        REFUSES_ABSENT(cross_entropy, good, targets);
        REFUSES(cross_entropy, good, soft_targets, test_too_small(t), "soft_targets needs 32");
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("cross_entropy", (const TTest *const[]){matches_oracle, extreme_logits, nan_logits,
                                                            finite_differences, soft_matches_oracle, soft_as_hard,
                                                            soft_extremes, soft_finite_differences, bad_arguments,
                                                            NULL});
}

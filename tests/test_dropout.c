#include "harness.h"
#include "oracle/dropout.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>

static const uint64_t seed = 0x123456789abcdefu, stream = 0xfeed000000000007u;

/* Forward with and without residual and in place; backward written, added, and in place: all with one mask. */
static void check_dropout(struct ssa_device *dev, size_t n, float p, size_t first)
{
    float *x = test_values(n, 1, -2, 2), *r = test_values(n, 2, -2, 2);
    double *xd = test_doubles(x, n), *rd = test_doubles(r, n), *want = malloc(n * sizeof *want);
    struct ssa_tensor tx = test_from(dev, x, n), tr = test_from(dev, r, n);
    struct ssa_tensor out = test_new(dev, n), dx = test_new(dev, n);
    struct ssa_dropout_fwd f = {.x = tx, .out = out, .count = n, .p = p, .seed = seed, .stream = stream,
                                .first = first};
    struct ssa_dropout_bwd b = {.dy = tx, .dx = dx, .count = n, .p = p, .seed = seed, .stream = stream,
                                .first = first};
    OK(ssa_dropout_fwd(dev, &f));
    oracle_dropout(xd, NULL, n, p, seed, stream, first, want);
    test_compare("out", out, want, n, 0, 2e-7, "n %zu p %g first %zu", n, (double)p, first);
    OK(ssa_dropout_bwd(dev, &b));
    test_same_bits("dx", dx, out, n); /* dropout is linear and its own transpose */

    f.residual = tr;
    OK(ssa_dropout_fwd(dev, &f));
    oracle_dropout(xd, rd, n, p, seed, stream, first, want);
    test_compare("out", out, want, n, 5e-7, 2e-7, "residual, n %zu p %g first %zu", n, (double)p, first);
    b.dx = tr;
    b.accumulate = 1;
    OK(ssa_dropout_bwd(dev, &b));
    test_same_bits("dx added to", tr, out, n);

    b.dx = dx;
    b.accumulate = 0;
    IN_PLACE(dropout_bwd, b, dx, dy, n);
    test_free(tx, n);
    test_free(tr, n);
    test_free(out, n);
    test_free(dx, n);
    free(x);
    free(r);
    free(xd);
    free(rd);
    free(want);
}

START_TEST(matches_oracle)
{
    static const size_t counts[] = {1, 3, 15, 16, 17, 63, 64, 65, 1009, 1024, 1025, 5003};
    static const float ps[] = {0.1f, 0.5f, 0.999f, 0};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (size_t j = 0; j < sizeof ps / sizeof *ps; j++)
                check_dropout(dev, counts[i], ps[j], (i + j) % 5);
    FOR_DEVICES (dev)
        check_dropout(dev, 100, 0.3f, sizeof(size_t) > 4 ? SIZE_MAX / (1 << 30) - 49 : 50); /* past its 32 bits */
}
END_TEST

/* ---- runs: drop path ---- */

static void check_runs(struct ssa_device *dev, size_t runs, size_t run, float p, size_t before)
{
    const size_t n = runs * run, first = before * run;
    float *x = test_values(n, 1, -2, 2), *r = test_values(n, 2, -2, 2);
    double *xd = test_doubles(x, n), *rd = test_doubles(r, n), *want = malloc(n * sizeof *want);
    struct ssa_tensor tx = test_from(dev, x, n), tr = test_from(dev, r, n), out = test_new(dev, n);
    struct ssa_dropout_fwd f = {.x = tx, .residual = tr, .out = out, .count = n, .p = p, .seed = seed, .stream = stream,
                                .first = first, .run = run};
    struct ssa_dropout_bwd b = {.dy = tx, .dx = tr, .count = n, .p = p, .seed = seed, .stream = stream, .first = first,
                                .run = run, .accumulate = 1};
    OK(ssa_dropout_fwd(dev, &f));
    oracle_dropout_runs(xd, rd, n, p, seed, stream, first, run, want);
    test_compare("out", out, want, n, 5e-7, 2e-7, "%zu runs of %zu, p %g, before %zu", runs, run, (double)p, before);
    OK(ssa_dropout_bwd(dev, &b));
    test_same_bits("dx added to", tr, out, n);
    f.residual = (struct ssa_tensor){0};
    OK(ssa_dropout_fwd(dev, &f));
    oracle_dropout_runs(xd, NULL, n, p, seed, stream, first, run, want);
    test_compare("out", out, want, n, 0, 2e-7, "alone, %zu runs of %zu, p %g, before %zu", runs, run, (double)p,
                 before);
    b.dx = out;
    b.accumulate = 0;
    IN_PLACE(dropout_bwd, b, dx, dy, n);
    test_free(tx, n);
    test_free(tr, n);
    test_free(out, n);
    free(x);
    free(r);
    free(xd);
    free(rd);
    free(want);
}

/* One, primes, a piece of a run and one off; all words of a counter. */
START_TEST(runs)
{
    static const size_t shapes[][2] = {{1, 1}, {7, 1}, {9, 2}, {5, 17}, {11, 64}, {6, 1009}, {3, 4096}, {5, 4097},
                                       {2, 9001}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (size_t before = 0; before < 5; before += 1 + i % 2) {
                check_runs(dev, shapes[i][0], shapes[i][1], 0.4f, before);
                check_runs(dev, shapes[i][0], shapes[i][1], 0, before);
            }
}
END_TEST

/* ---- parts of something larger: padding ---- */

static void check_within(struct ssa_device *dev, size_t batch, struct ssa_within w, float p, size_t first)
{
    const size_t rows = w.rows ? w.rows : 1, whole_rows = w.whole_rows ? w.whole_rows : 1, n = batch * rows * w.each;
    float *x = test_values(n, 1, -2, 2), *r = test_values(n, 2, -2, 2);
    double *xd = test_doubles(x, n), *rd = test_doubles(r, n), *want = malloc(n * sizeof *want);
    uint64_t *firsts = malloc(batch * rows * sizeof *firsts);
    struct ssa_tensor tx = test_from(dev, x, n), tr = test_from(dev, r, n), out = test_new(dev, n);
    struct ssa_dropout_fwd f = {.x = tx, .residual = tr, .out = out, .count = n, .p = p, .seed = seed, .stream = stream,
                                .first = first, .within = w};
    struct ssa_dropout_bwd b = {.dy = tx, .dx = tr, .count = n, .p = p, .seed = seed, .stream = stream, .first = first,
                                .within = w, .accumulate = 1};
    for (size_t e = 0; e < batch; e++)
        for (size_t i = 0; i < rows; i++)
            firsts[e * rows + i] = first + (e * whole_rows + i) * w.whole_each;
    OK(ssa_dropout_fwd(dev, &f));
    oracle_dropout_parts(xd, rd, n, p, seed, stream, w.each, firsts, want);
    test_compare("out", out, want, n, 5e-7, 2e-7, "%zu x %zu rows of %zu in %zu of %zu, p %g, first %zu", batch, rows,
                 w.each, whole_rows, w.whole_each, (double)p, first);
    OK(ssa_dropout_bwd(dev, &b));
    test_same_bits("dx added to", tr, out, n);
    f.residual = (struct ssa_tensor){0};
    OK(ssa_dropout_fwd(dev, &f));
    oracle_dropout_parts(xd, NULL, n, p, seed, stream, w.each, firsts, want);
    test_compare("out", out, want, n, 0, 2e-7, "alone, %zu x %zu rows of %zu", batch, rows, w.each);
    b.dx = out;
    b.accumulate = 0;
    IN_PLACE(dropout_bwd, b, dx, dy, n);
    test_free(tx, n);
    test_free(tr, n);
    test_free(out, n);
    free(x);
    free(r);
    free(xd);
    free(rd);
    free(want);
    free(firsts);
}

/* Rows that begin at any word of a counter, of one element, of a piece and about that; the whole itself. */
START_TEST(within_something_larger)
{
    static const struct ssa_within within[] = {{1, 0, 1, 0}, {1, 0, 3, 0}, {5, 1, 7, 1}, {12, 3, 20, 5}, {17, 2, 17, 3},
                                               {64, 5, 66, 5}, {1009, 2, 1013, 4}, {4093, 0, 4095, 0},
                                               {4095, 1, 4101, 2}, {9001, 2, 10001, 3}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof within / sizeof *within; i++)
            for (size_t first = 0; first < 5; first += 1 + i % 2) {
                check_within(dev, 3, within[i], 0.4f, first);
                check_within(dev, 1 + i % 3, within[i], 0, first);
            }
}
END_TEST

/* What a whole call drops, calls on its parts drop: micro-batches. */
START_TEST(parts)
{
    enum { N = 4099 };
    static const size_t cuts[] = {0, 1, 18, 1024, 2047, 4096, N};
    FOR_DEVICES (dev) {
        float *x = test_values(N, 1, -2, 2);
        struct ssa_tensor tx = test_from(dev, x, N), whole = test_new(dev, N), pieces = test_new(dev, N);
        struct ssa_dropout_fwd a = {.x = tx, .out = whole, .count = N, .p = 0.25f, .seed = seed, .stream = 5};
        OK(ssa_dropout_fwd(dev, &a));
        for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++) {
            a.first = cuts[i];
            a.x = ssa_tensor_add(tx, a.first);
            a.out = ssa_tensor_add(pieces, a.first);
            a.count = cuts[i + 1] - cuts[i];
            OK(ssa_dropout_fwd(dev, &a));
        }
        test_same_bits("parts", pieces, whole, N);
        test_free(tx, N);
        test_free(whole, N);
        test_free(pieces, N);
        free(x);
    }
}
END_TEST

/* The share kept is 1 - p within five standard deviations, and masks of different streams and seeds are unrelated. */
START_TEST(frequencies)
{
    enum { N = 100000 };
    static const float ps[] = {0.02f, 0.1f, 0.5f, 0.9f};
    if (!test_fits((size_t)N * 20))
        return;
    FOR_DEVICES (dev) {
        struct ssa_tensor x = test_new(dev, N), out[3] = {test_new(dev, N), test_new(dev, N), test_new(dev, N)};
        OK(ssa_tensor_fill(x, 1, N));
        for (size_t j = 0; j < sizeof ps / sizeof *ps; j++) {
            const double p = (double)ps[j], both = (1 - p) * (1 - p);
            float *y[3];
            int kept[3] = {0}, together[3] = {0};
            for (int k = 0; k < 3; k++) {
                OK(ssa_dropout_fwd(dev, &(struct ssa_dropout_fwd){.x = x, .out = out[k], .count = N, .p = ps[j],
                                                                  .seed = k == 2, .stream = k == 1}));
                y[k] = test_read(out[k], N);
            }
            for (int i = 0; i < N; i++)
                for (int k = 0; k < 3; k++) {
                    kept[k] += y[k][i] > 0;
                    together[k] += y[k][i] > 0 && y[(k + 1) % 3][i] > 0;
                }
            for (int k = 0; k < 3; k++) {
                ck_assert_double_eq_tol(kept[k], N * (1 - p), 5 * sqrt(N * p * (1 - p)));
                ck_assert_double_eq_tol(together[k], N * both, 5 * sqrt(N * both * (1 - both)));
                free(y[k]);
            }
        }
        test_free(x, N);
        for (int k = 0; k < 3; k++)
            test_free(out[k], N);
    }
}
END_TEST

/* An element whose number is p itself is kept, and dropped by the next larger p. */
START_TEST(threshold)
{
    enum { N = 20 };
    FOR_DEVICES (dev)
        for (uint64_t n = 0; n < N; n++) {
            const float p = ssa_uniform(ssa_philox(seed, n / 4, stream).v[n % 4]), above = nextafterf(p, 1);
            check_dropout(dev, N, p, 0);
            check_dropout(dev, N, above, 0);
            ck_assert(oracle_dropout_keeps(seed, stream, n, p) && !oracle_dropout_keeps(seed, stream, n, above));
        }
}
END_TEST

/* What is dropped is 0 even where it was not a number. */
START_TEST(drops_infinity)
{
    enum { N = 64 };
    FOR_DEVICES (dev) {
        struct ssa_tensor x = test_new(dev, N); /* NaN */
        OK(ssa_dropout_fwd(dev, &(struct ssa_dropout_fwd){.x = x, .out = x, .count = N, .p = 0.5f, .seed = seed}));
        float *y = test_read(x, N);
        for (size_t i = 0; i < N; i++)
            ck_assert(oracle_dropout_keeps(seed, 0, i, 0.5f) ? isnan(y[i]) : y[i] == 0);
        free(y);
        test_free(x, N);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 8);
        struct ssa_dropout_fwd good = {.x = t, .residual = t, .out = t, .count = 8, .p = 0.5f};
        REFUSES(dropout_fwd, good, count, 0, "count is 0");
        REFUSES(dropout_fwd, good, p, 1, "p is 1");
        REFUSES(dropout_fwd, good, p, -0.1f, "p is -0.1");
        REFUSES(dropout_fwd, good, p, NAN, "p is nan");
        REFUSES(dropout_fwd, good, first, SIZE_MAX, "first is");
        REFUSES(dropout_fwd, good, run, 3, "run is 3, must divide count 8");
        REFUSES(dropout_bwd, ((struct ssa_dropout_bwd){.dy = t, .dx = t, .count = 8, .p = 0.5f, .first = 6}), run, 4,
                "run is 4, must divide count 8 and first 6");
        static const struct {
            struct ssa_within within;
            const char *words;
        } bad[] = {{{3, 1, 4, 1}, "within: rows of 3, 1 of them, must divide"},
                   {{4, 3, 4, 3}, "within: rows of 4, 3 of them, must divide"},
                   {{4, 0, 3, 0}, "within: 1 rows of 4 are more than the whole, 1 rows of 3"},
                   {{4, 2, 4, 0}, "within: 2 rows of 4 are more than"},
                   {{4, 1, SIZE_MAX, 2}, "numbers from there on overflow"}};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            struct ssa_dropout_fwd changed = good;
            changed.within = bad[i].within;
            FAILS(ssa_dropout_fwd(dev, &changed), SSA_EINVAL, bad[i].words);
        }
        REFUSES(dropout_bwd, ((struct ssa_dropout_bwd){.dy = t, .dx = t, .count = 8, .p = 0.5f, .run = 4}), within,
                ((struct ssa_within){4, 1, 4, 1}), "run is 4, and within is given");
        REFUSES_ABSENT(dropout_fwd, good, x);
        REFUSES_SMALL(dropout_fwd, good, residual, 8);
        REFUSES_SMALL(dropout_fwd, good, out, 8);
        struct ssa_dropout_bwd good_bwd = {.dy = t, .dx = t, .count = 8, .p = 0.5f};
        REFUSES(dropout_bwd, good_bwd, count, 0, "count is 0");
        REFUSES(dropout_bwd, good_bwd, p, 1.5f, "p is 1.5");
        REFUSES(dropout_bwd, good_bwd, first, SIZE_MAX - 3, "first is");
        REFUSES_SMALL(dropout_bwd, good_bwd, dy, 8);
        REFUSES_ABSENT(dropout_bwd, good_bwd, dx);
        test_free(t, 8);
    }
}
END_TEST

int main(void)
{
    return test_run("dropout", (const TTest *const[]){matches_oracle, runs, within_something_larger, parts,
                                                      frequencies, threshold, drops_infinity, bad_arguments, NULL});
}

#include "harness.h"
#include "oracle/mean.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE(s) .batch = (s)->batch, .length = (s)->length, .first = (s)->first, .width = (s)->width

/* `count` as the operator is given it: 0 for all from the first on. */
static void check_mean(struct ssa_device *dev, const struct oracle_mean *s, int count)
{
    const size_t m = (size_t)s->batch * (size_t)s->width, n = m * (size_t)s->length;
    float *x = test_values(n, 1, -1, 1), *dout = test_values(m, 2, -1, 1), *start = test_values(n, 3, -1, 1);
    double *xd = test_doubles(x, n), *dd = test_doubles(dout, m), *sum = test_doubles(start, n);
    double *out = malloc(m * sizeof *out), *dx = calloc(n, sizeof *dx);
    struct ssa_tensor tx = test_from(dev, x, n), to = test_new(dev, m), td = test_from(dev, dout, m);
    struct ssa_tensor tdx = test_new(dev, n), tsum = test_from(dev, start, n), lengths = {0};
    if (s->lengths)
        lengths = test_from_ints(dev, s->lengths, (size_t)s->batch);
    oracle_mean_fwd(s, xd, out);
    oracle_mean_bwd(s, dd, dx);
    oracle_mean_bwd(s, dd, sum);
    OK(ssa_mean_fwd(dev, &(struct ssa_mean_fwd){.x = tx, .out = to, .lengths = lengths, .count = count, SHAPE(s)}));
    test_compare("out", to, out, m, 2e-7 * sqrt(s->count), 1e-6, "%d x %d x %d, %d from %d", s->batch, s->length,
                 s->width, s->count, s->first);
    OK(ssa_mean_bwd(dev, &(struct ssa_mean_bwd){.dout = td, .dx = tdx, .lengths = lengths, .count = count,
                                                SHAPE(s)}));
    test_compare("dx", tdx, dx, n, 0, 3e-7, "%d x %d x %d, %d from %d", s->batch, s->length, s->width, s->count,
                 s->first);
    OK(ssa_mean_bwd(dev, &(struct ssa_mean_bwd){.dout = td, .dx = tsum, .lengths = lengths, .count = count, SHAPE(s),
                                                .accumulate = 1}));
    test_compare("dx added to", tsum, sum, n, 2e-7, 3e-7, "%d x %d x %d, %d from %d", s->batch, s->length, s->width,
                 s->count, s->first);
    test_free(tx, n);
    test_free(to, m);
    test_free(td, m);
    test_free(tdx, n);
    test_free(tsum, n);
    test_free(lengths, (size_t)s->batch);
    free(x);
    free(dout);
    free(start);
    free(xd);
    free(dd);
    free(sum);
    free(out);
    free(dx);
}

START_TEST(matches_oracle)
{
    static const struct oracle_mean shapes[] = {
        {1, 1, 0, 1, 1, NULL},   {3, 5, 0, 5, 7, NULL},    {2, 50, 0, 1, 96, NULL},  {2, 50, 1, 49, 16, NULL},
        {5, 17, 3, 9, 17, NULL}, {2, 64, 63, 1, 65, NULL}, {3, 9, 2, 7, 1009, NULL}, {2, 1009, 0, 1009, 3, NULL}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const struct oracle_mean *s = &shapes[i];
            if (!test_fits((size_t)s->batch * (size_t)s->length * (size_t)s->width * 10))
                continue;
            check_mean(dev, s, s->count);
            if (s->first + s->count == s->length)
                check_mean(dev, s, 0);
        }
}
END_TEST

/* Of sequences that are padded: none, one, some, all and more than all positions; none at or below `first`. */
START_TEST(lengths)
{
    static const int32_t each[] = {0, 1, 5, 9, 3, 2, 4, 100, -1, INT32_MAX, INT32_MIN};
    enum { BATCH = sizeof each / sizeof *each };
    static const int widths[] = {1, 17, 64, 65};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const struct oracle_mean all = {BATCH, 9, 0, 9, widths[i], each}, some = {BATCH, 9, 3, 4, widths[i], each};
        FOR_DEVICES (dev) {
            check_mean(dev, &all, 0);
            check_mean(dev, &some, some.count);
        }
    }
}
END_TEST

/* With lengths that are all of it the bits are those without, and padding may hold anything. */
START_TEST(padding)
{
    enum { BATCH = 2, LENGTH = 7, WIDTH = 19, N = BATCH * LENGTH * WIDTH, M = BATCH * WIDTH };
    static const int32_t full[BATCH] = {LENGTH, LENGTH}, short_of[BATCH] = {3, 0};
    float *x = test_values(N, 1, -1, 1);
    FOR_DEVICES (dev) {
        struct ssa_tensor tx = test_from(dev, x, N), out = test_new(dev, M), same = test_new(dev, M);
        struct ssa_tensor lengths = test_from_ints(dev, full, BATCH), dx = test_new(dev, N), dx_same = test_new(dev, N);
        struct ssa_mean_fwd f = {.x = tx, .out = out, .batch = BATCH, .length = LENGTH, .width = WIDTH};
        struct ssa_mean_bwd b = {.dout = out, .dx = dx, .batch = BATCH, .length = LENGTH, .width = WIDTH};
        OK(ssa_mean_fwd(dev, &f));
        OK(ssa_mean_bwd(dev, &b));
        f.lengths = b.lengths = lengths;
        f.out = same;
        b.dx = dx_same;
        OK(ssa_mean_fwd(dev, &f));
        OK(ssa_mean_bwd(dev, &b));
        test_same_bits("out", out, same, M);
        test_same_bits("dx", dx, dx_same, N);
        OK(ssa_tensor_write(lengths, short_of, BATCH));
        OK(ssa_tensor_fill(ssa_tensor_add(tx, 3 * WIDTH), NAN, N - 3 * WIDTH));
        OK(ssa_mean_fwd(dev, &f));
        float *got = test_read(same, M);
        for (int i = 0; i < M; i++)
            ck_assert_msg(i < WIDTH ? isfinite(got[i]) : got[i] == 0, "out[%d] is %g", i, (double)got[i]);
        free(got);
        test_free(tx, N), test_free(out, M), test_free(same, M), test_free(lengths, BATCH);
        test_free(dx, N), test_free(dx_same, N);
    }
    free(x);
}
END_TEST

/* Of one position it is that row, bit for bit, and what the other rows hold does not matter. */
START_TEST(one_row)
{
    enum { BATCH = 3, LENGTH = 5, WIDTH = 20 };
    float *x = test_values(BATCH * LENGTH * WIDTH, 1, -1, 1);
    double want[BATCH * WIDTH];
    for (int b = 0; b < BATCH; b++)
        for (int n = 0; n < LENGTH; n++)
            for (int c = 0; c < WIDTH; c++) {
                float *at = &x[(b * LENGTH + n) * WIDTH + c];
                if (n == 2)
                    want[b * WIDTH + c] = (double)*at;
                else
                    *at = NAN;
            }
    FOR_DEVICES (dev) {
        struct ssa_tensor tx = test_from(dev, x, BATCH * LENGTH * WIDTH), out = test_new(dev, BATCH * WIDTH);
        OK(ssa_mean_fwd(dev, &(struct ssa_mean_fwd){.x = tx, .out = out, .batch = BATCH, .length = LENGTH, .first = 2,
                                                    .count = 1, .width = WIDTH}));
        test_compare("out", out, want, BATCH * WIDTH, 0, 0, "one row");
        test_free(tx, BATCH * LENGTH * WIDTH);
        test_free(out, BATCH * WIDTH);
    }
    free(x);
}
END_TEST

/* The gradient of sum(dout o out) by differences of the oracle's forward, which is linear: any step is exact. */
START_TEST(finite_differences)
{
    enum { BATCH = 2, LENGTH = 5, WIDTH = 3, N = BATCH * LENGTH * WIDTH, M = BATCH * WIDTH };
    static const int32_t lengths[BATCH] = {3, 5};
    const struct oracle_mean s = {BATCH, LENGTH, 1, 3, WIDTH, lengths};
    float *in = test_values(N, 1, -1, 1), *w = test_values(M, 2, -1, 1);
    double *x = test_doubles(in, N), *dout = test_doubles(w, M), dx[N] = {0}, slopes[N], out[M];
    oracle_mean_bwd(&s, dout, dx);
    SLOPES(slopes, x, N, 0.5, oracle_mean_fwd(&s, x, out), M, out[j] * dout[j])
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(slopes[i], dx[i], 1e-12);
    free(in);
    free(w);
    free(x);
    free(dout);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64), u = test_new(dev, 64);
        struct ssa_mean_fwd good = {.x = t, .out = u, .batch = 2, .length = 4, .width = 8};
        REFUSES(mean_fwd, good, batch, 0, "batch is 0");
        REFUSES(mean_fwd, good, length, 0, "length is 0");
        REFUSES(mean_fwd, good, width, 0, "width is 0");
        REFUSES(mean_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(mean_fwd, good, first, 4, "first is 4");
        REFUSES(mean_fwd, good, first, -1, "first is -1");
        REFUSES(mean_fwd, good, count, 5, "count is 5");
        REFUSES(mean_fwd, good, count, -1, "count is -1");
        REFUSES_ABSENT(mean_fwd, good, x);
        REFUSES(mean_fwd, good, lengths, t, "lengths is float32, must be int32");
        REFUSES(mean_fwd, good, lengths, ssa_tensor_as(ssa_tensor_at(t.buffer, t.buffer->bytes / 4 - 1), SSA_I32),
                "lengths needs 2");
        REFUSES_SMALL(mean_fwd, good, x, 64);
        REFUSES_SMALL(mean_fwd, good, out, 16);
        struct ssa_mean_bwd back = {.dout = u, .dx = t, .batch = 2, .length = 4, .first = 1, .width = 8};
        REFUSES(mean_bwd, back, count, 4, "count is 4 from position 1");
        REFUSES(mean_bwd, back, batch, -1, "batch is -1");
        REFUSES_ABSENT(mean_bwd, back, dx);
        REFUSES(mean_bwd, back, lengths, t, "lengths is float32, must be int32");
        REFUSES_SMALL(mean_bwd, back, dout, 16);
        REFUSES_SMALL(mean_bwd, back, dx, 64);
        test_free(t, 64);
        test_free(u, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("mean", (const TTest *const[]){matches_oracle, lengths, padding, one_row, finite_differences,
                                                   bad_arguments, NULL});
}

#include "harness.h"
#include "oracle/centrality.h"

#include <math.h>
#include <stdlib.h>

#define SHAPE(s) \
    .batch = (s)->batch, .length = (s)->length, .heads = (s)->heads, .width = (s)->width, .lead = (s)->lead, \
    .ratio = (s)->ratio < 1 || (s)->ratio > 1 ? (float)(s)->ratio : 0

static size_t sums_of(const struct oracle_centrality *s)
{
    return (size_t)s->batch * (size_t)s->length * (size_t)s->heads;
}

static void check_centrality(struct ssa_device *dev, const struct oracle_centrality *s)
{
    const size_t m = sums_of(s), n = m * (size_t)s->width;
    float *x = test_values(n, 1, -1, 1), *sums = test_values(m, 2, 0, 30), *dout = test_values(n, 3, -1, 1);
    sums[0] = 0; /* who has heard nothing */
    sums[m / 2] = 1e-6f;
    double *xd = test_doubles(x, n), *sd = test_doubles(sums, m), *dd = test_doubles(dout, n);
    double *out = malloc(n * sizeof *out), *dx = malloc(n * sizeof *dx), *dsums = malloc(m * sizeof *dsums);
    struct ssa_centrality_fwd f = {.x = test_from(dev, x, n), .sums = test_from(dev, sums, m), .out = test_new(dev, n),
                                   SHAPE(s)};
    struct ssa_centrality_bwd b = {.x = f.x, .sums = f.sums, .dout = test_from(dev, dout, n), .dx = test_new(dev, n),
                                   .dsums = test_new(dev, m), SHAPE(s)};
    oracle_centrality_fwd(s, xd, sd, out);
    oracle_centrality_bwd(s, xd, sd, dd, dx, dsums);
    OK(ssa_centrality_fwd(dev, &f));
    test_compare("out", f.out, out, n, 1e-9, 2e-6, "%d x %d x %d x %d, lead %d, ratio %g", s->batch, s->length,
                 s->heads, s->width, s->lead, s->ratio);
    OK(ssa_centrality_bwd(dev, &b));
    test_compare("dx", b.dx, dx, n, 1e-9, 2e-6, "%d x %d x %d x %d, lead %d, ratio %g", s->batch, s->length, s->heads,
                 s->width, s->lead, s->ratio);
    test_compare("dsums", b.dsums, dsums, m, 3e-7 * sqrt(s->width) * s->ratio, 2e-6,
                 "%d x %d x %d x %d, lead %d, ratio %g", s->batch, s->length, s->heads, s->width, s->lead, s->ratio);
    IN_PLACE(centrality_bwd, b, dx, dout, n);
    IN_PLACE(centrality_fwd, f, out, x, n);
    test_free(f.x, n), test_free(f.sums, m), test_free(f.out, n);
    test_free(b.dout, n), test_free(b.dx, n), test_free(b.dsums, m);
    free(x);
    free(sums);
    free(dout);
    free(xd);
    free(sd);
    free(dd);
    free(out);
    free(dx);
    free(dsums);
}

/* Heads of one element, of EGT's widths, of a vector of every build, a prime, a group's row, and one off; more of them
 * than are taken at a time; no virtual nodes, some, and nothing else. */
START_TEST(matches_oracle)
{
    static const struct oracle_centrality shapes[] = {
        {1, 1, 1, 1, 0, 1},    {1, 1, 1, 3, 1, 1},     {2, 7, 32, 20, 4, 1}, {3, 5, 2, 24, 1, 2.5},
        {2, 3, 5, 16, 0, 0.5}, {2, 4, 3, 17, 2, 1},    {1, 6, 2, 256, 1, 2}, {1, 3, 2, 257, 0, 1},
        {1, 2, 1, 1009, 1, 1}, {13, 11, 8, 4, 3, 1},   {2, 65, 3, 8, 64, 3}, {2, 5, 3, 64, 5, 1},
        {2, 4, 33, 7, 1, 1.5}, {1, 3, 70, 5, 0, 1},    {2, 3, 67, 1, 1, 1},  {1, 2, 128, 16, 0, 1}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            if (test_fits(sums_of(&shapes[i]) * (size_t)shapes[i].width * 20))
                check_centrality(dev, &shapes[i]);
}
END_TEST

/* dx and dsums against central differences of sum(dout o out) of the double-precision forward. */
START_TEST(finite_differences)
{
    enum { M = 2 * 4 * 3, N = M * 5 };
    const struct oracle_centrality s = {2, 4, 3, 5, 1, 1.5};
    const double h = 1e-5;
    float *x = test_values(N, 1, -1, 1), *sums = test_values(M, 2, 0.1f, 9), *dout = test_values(N, 3, -1, 1);
    double *xd = test_doubles(x, N), *sd = test_doubles(sums, M), *dd = test_doubles(dout, N), out[N];
    double want[N + M];
    SLOPES(want, xd, N, h, oracle_centrality_fwd(&s, xd, sd, out), N, out[j] * dd[j])
    SLOPES(want + N, sd, M, h, oracle_centrality_fwd(&s, xd, sd, out), N, out[j] * dd[j])
    FOR_DEVICES (dev) {
        struct ssa_centrality_bwd b = {.x = test_from(dev, x, N), .sums = test_from(dev, sums, M),
                                       .dout = test_from(dev, dout, N), .dx = test_new(dev, N),
                                       .dsums = test_new(dev, M), SHAPE(&s)};
        OK(ssa_centrality_bwd(dev, &b));
        test_compare("dx", b.dx, want, N, 1e-6, 1e-6, "finite differences");
        test_compare("dsums", b.dsums, want + N, M, 1e-6, 1e-6, "finite differences");
        test_free(b.x, N), test_free(b.sums, M), test_free(b.dout, N), test_free(b.dx, N), test_free(b.dsums, M);
    }
    free(x);
    free(sums);
    free(dout);
    free(xd);
    free(sd);
    free(dd);
}
END_TEST

/* Of virtual nodes sums do not matter, whatever they are. */
START_TEST(lead)
{
    enum { LENGTH = 3, HEADS = 2, WIDTH = 6, M = LENGTH * HEADS, N = M * WIDTH };
    const float sums[M] = {NAN, -1, 3, INFINITY, NAN, 4};
    float *x = test_values(N, 1, -1, 1);
    FOR_DEVICES (dev) {
        struct ssa_centrality_fwd f = {.x = test_from(dev, x, N), .sums = test_from(dev, sums, M),
                                       .out = test_new(dev, N), .batch = 1, .length = LENGTH, .heads = HEADS,
                                       .width = WIDTH, .lead = 2};
        struct ssa_centrality_bwd b = {.x = f.x, .sums = f.sums, .dout = f.x, .dx = test_new(dev, N),
                                       .dsums = test_new(dev, M), .batch = 1, .length = LENGTH, .heads = HEADS,
                                       .width = WIDTH, .lead = 2};
        OK(ssa_centrality_fwd(dev, &f));
        OK(ssa_centrality_bwd(dev, &b));
        test_same_bits("out", f.out, f.x, 2 * HEADS * WIDTH);
        test_same_bits("dx", b.dx, f.x, 2 * HEADS * WIDTH);
        float *dsums = test_read(b.dsums, M);
        for (int i = 0; i < M; i++)
            ck_assert_msg((dsums[i] == 0) == (i % LENGTH < 2), "dsums[%d] is %g", i, (double)dsums[i]);
        free(dsums);
        test_free(f.x, N), test_free(f.sums, M), test_free(f.out, N), test_free(b.dx, N), test_free(b.dsums, M);
    }
    free(x);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64), u = test_new(dev, 64), v = test_new(dev, 64), w = test_new(dev, 64);
        struct ssa_tensor z = test_new(dev, 64);
        struct ssa_centrality_fwd good = {.x = t, .sums = u, .out = v, .batch = 2, .length = 4, .heads = 2, .width = 4};
        REFUSES(centrality_fwd, good, batch, 0, "batch is 0");
        REFUSES(centrality_fwd, good, batch, INT32_MAX, "batch 2147483647 of 4 positions");
        REFUSES(centrality_fwd, good, length, -1, "length is -1");
        REFUSES(centrality_fwd, good, heads, 0, "heads is 0");
        REFUSES(centrality_fwd, good, heads, INT32_MAX, "2147483647 heads of 4");
        REFUSES(centrality_fwd, good, width, 0, "width is 0");
        REFUSES(centrality_fwd, good, lead, -1, "lead is -1");
        REFUSES(centrality_fwd, good, lead, 5, "lead is 5");
        REFUSES(centrality_fwd, good, ratio, -1, "ratio is -1");
        REFUSES(centrality_fwd, good, ratio, INFINITY, "ratio is inf");
        REFUSES_ABSENT(centrality_fwd, good, sums);
        REFUSES_SMALL(centrality_fwd, good, x, 64);
        REFUSES_SMALL(centrality_fwd, good, sums, 16);
        REFUSES_SMALL(centrality_fwd, good, out, 64);
        struct ssa_centrality_bwd back = {.x = t, .sums = u, .dout = v, .dx = w, .dsums = z, .batch = 2, .length = 4,
                                          .heads = 2, .width = 4};
        REFUSES(centrality_bwd, back, lead, 5, "lead is 5");
        REFUSES(centrality_bwd, back, ratio, NAN, "ratio is nan");
        REFUSES_ABSENT(centrality_bwd, back, x);
        REFUSES_ABSENT(centrality_bwd, back, dsums);
        REFUSES_SMALL(centrality_bwd, back, x, 64);
        REFUSES_SMALL(centrality_bwd, back, sums, 16);
        REFUSES_SMALL(centrality_bwd, back, dout, 64);
        REFUSES_SMALL(centrality_bwd, back, dx, 64);
        REFUSES_SMALL(centrality_bwd, back, dsums, 16);
        test_free(t, 64), test_free(u, 64), test_free(v, 64), test_free(w, 64), test_free(z, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("centrality", (const TTest *const[]){matches_oracle, finite_differences, lead, bad_arguments,
                                                         NULL});
}

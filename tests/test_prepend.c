#include "harness.h"
#include "oracle/prepend.h"

#include <stdlib.h>
#include <string.h>

struct sizes {
    size_t first, x, out, positions;
};
static struct sizes sizes_of(const struct oracle_prepend *s)
{
    const size_t lead = (size_t)s->lead, all = lead + (size_t)s->length, width = (size_t)s->width;
    return (struct sizes){lead * width, (size_t)s->batch * (size_t)s->length * width, (size_t)s->batch * all * width,
                          all * width};
}
#define SHAPE(s) .batch = (s)->batch, .lead = (s)->lead, .length = (s)->length, .width = (s)->width

static void check_forward(struct ssa_device *dev, const struct oracle_prepend *s, bool positions)
{
    const struct sizes n = sizes_of(s);
    float *first = test_values(n.first + 1, 1, -1, 1), *x = test_values(n.x, 2, -1, 1);
    float *p = test_values(n.positions, 3, -1, 1);
    double *fd = test_doubles(first, n.first + 1), *xd = test_doubles(x, n.x), *pd = test_doubles(p, n.positions);
    double *want = malloc(n.out * sizeof *want);
    struct ssa_tensor tf = test_from(dev, first, n.first + 1), tx = test_from(dev, x, n.x), out = test_new(dev, n.out);
    struct ssa_tensor tp = test_from(dev, p, n.positions);
    struct ssa_prepend_fwd a = {.x = tx, .out = out, SHAPE(s)};
    if (s->lead)
        a.first = tf;
    if (positions)
        a.positions = tp;
    oracle_prepend_fwd(s, fd, xd, positions ? pd : NULL, want);
    OK(ssa_prepend_fwd(dev, &a));
    test_compare("out", out, want, n.out, 1e-7, 1e-7, "%d x (%d + %d) x %d", s->batch, s->lead, s->length, s->width);
    if (!s->lead)
        IN_PLACE(prepend_fwd, a, out, x, n.out);
    test_free(tf, n.first + 1);
    test_free(tx, n.x);
    test_free(out, n.out);
    test_free(tp, n.positions);
    free(first);
    free(x);
    free(p);
    free(fd);
    free(xd);
    free(pd);
    free(want);
}

static void check_backward(struct ssa_device *dev, const struct oracle_prepend *s, int accumulate)
{
    const struct sizes n = sizes_of(s);
    float *dout = test_values(n.out, 4, -1, 1), *start = test_values(n.positions, 5, -1, 1);
    double *dd = test_doubles(dout, n.out), *dp = test_doubles(start, n.positions);
    double *df = test_doubles(start, n.positions), *dx = malloc(n.x * sizeof *dx);
    struct ssa_tensor td = test_from(dev, dout, n.out), tx = test_new(dev, n.x);
    struct ssa_tensor tf = test_from(dev, start, n.first + 1), tp = test_from(dev, start, n.positions);
    struct ssa_prepend_bwd a = {.dout = td, .dfirst = tf, .dx = tx, .dpositions = tp, SHAPE(s),
                                .accumulate = accumulate};
    if (!accumulate) {
        memset(dp, 0, n.positions * sizeof *dp);
        memset(df, 0, n.positions * sizeof *df);
    }
    oracle_prepend_bwd(s, dd, df, dx, dp);
    OK(ssa_prepend_bwd(dev, &a));
    test_compare("dx", tx, dx, n.x, 0, 0, "%d x (%d + %d) x %d", s->batch, s->lead, s->length, s->width);
    test_compare("dpositions", tp, dp, n.positions, 1e-5, 1e-6, "%d x (%d + %d) x %d", s->batch, s->lead, s->length,
                 s->width);
    if (s->lead)
        test_compare("dfirst", tf, df, n.first, 1e-5, 1e-6, "%d x (%d + %d) x %d", s->batch, s->lead, s->length,
                     s->width);
    OK(ssa_tensor_fill(tx, -7, n.x));
    a.dfirst = a.dpositions = (struct ssa_tensor){0};
    OK(ssa_prepend_bwd(dev, &a)); /* dx alone */
    test_compare("dx alone", tx, dx, n.x, 0, 0, "%d x (%d + %d) x %d", s->batch, s->lead, s->length, s->width);
    test_free(td, n.out);
    test_free(tx, n.x);
    test_free(tf, n.first + 1);
    test_free(tp, n.positions);
    free(dout);
    free(start);
    free(dd);
    free(dp);
    free(df);
    free(dx);
}

START_TEST(matches_oracle)
{
    static const struct oracle_prepend shapes[] = {{1, 0, 1, 1},  {1, 1, 1, 1},   {3, 1, 4, 8},    {5, 0, 7, 16},
                                                   {2, 1, 49, 96}, {3, 4, 13, 17}, {2, 2, 64, 65}, {7, 1, 3, 1009},
                                                   {67, 1, 2, 5}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const struct oracle_prepend *s = &shapes[i];
            if (!test_fits(sizes_of(s).out * 20))
                continue;
            check_forward(dev, s, true);
            check_forward(dev, s, false);
            check_backward(dev, s, 0);
            check_backward(dev, s, 1);
        }
}
END_TEST

/* The gradient of sum(dout o out) by differences of the oracle's forward, which is linear: any step is exact. */
START_TEST(finite_differences)
{
    enum { BATCH = 2, LEAD = 2, LENGTH = 3, WIDTH = 5, OUT = BATCH * (LEAD + LENGTH) * WIDTH,
           IN = LEAD * WIDTH + BATCH * LENGTH * WIDTH + (LEAD + LENGTH) * WIDTH };
    const struct oracle_prepend s = {BATCH, LEAD, LENGTH, WIDTH};
    float *in = test_values(IN, 1, -1, 1), *w = test_values(OUT, 2, -1, 1);
    double *v = test_doubles(in, IN), *dout = test_doubles(w, OUT), d[IN] = {0}, slopes[IN], out[OUT];
    double *x = v + LEAD * WIDTH, *p = x + BATCH * LENGTH * WIDTH;
    oracle_prepend_bwd(&s, dout, d, d + (x - v), d + (p - v));
    SLOPES(slopes, v, IN, 0.5, oracle_prepend_fwd(&s, v, x, p, out), OUT, out[j] * dout[j])
    for (int i = 0; i < IN; i++)
        ck_assert_double_eq_tol(slopes[i], d[i], 1e-12);
    free(in);
    free(w);
    free(v);
    free(dout);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64), u = test_new(dev, 64), v = test_new(dev, 64);
        struct ssa_prepend_fwd good = {.first = t, .x = u, .out = v, .batch = 2, .lead = 1, .length = 3, .width = 8};
        REFUSES(prepend_fwd, good, batch, 0, "batch is 0");
        REFUSES(prepend_fwd, good, length, 0, "length is 0");
        REFUSES(prepend_fwd, good, width, -1, "width is -1");
        REFUSES(prepend_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(prepend_fwd, good, lead, -1, "lead is -1");
        REFUSES(prepend_fwd, good, lead, INT32_MAX, "lead is 2147483647");
        REFUSES(prepend_fwd, good, batch, INT32_MAX, "batch 2147483647 of 4 rows");
        REFUSES_ABSENT(prepend_fwd, good, first);
        REFUSES_SMALL(prepend_fwd, good, first, 8);
        REFUSES_SMALL(prepend_fwd, good, x, 48);
        REFUSES_SMALL(prepend_fwd, good, out, 64);
        REFUSES(prepend_fwd, good, positions, test_too_small(t), "positions needs 32");
        struct ssa_prepend_bwd back = {.dout = t, .dfirst = u, .dx = v, .batch = 2, .lead = 1, .length = 3, .width = 8};
        REFUSES(prepend_bwd, back, lead, -2, "lead is -2");
        REFUSES(prepend_bwd, back, batch, -1, "batch is -1");
        REFUSES_ABSENT(prepend_bwd, back, dout);
        REFUSES_SMALL(prepend_bwd, back, dout, 64);
        REFUSES_SMALL(prepend_bwd, back, dfirst, 8);
        REFUSES_SMALL(prepend_bwd, back, dx, 48);
        REFUSES(prepend_bwd, back, dpositions, test_too_small(t), "dpositions needs 32");
        test_free(t, 64);
        test_free(u, 64);
        test_free(v, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("prepend", (const TTest *const[]){matches_oracle, finite_differences, bad_arguments, NULL});
}

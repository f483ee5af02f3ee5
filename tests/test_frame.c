#include "harness.h"
#include "oracle/frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE(s) .batch = (s)->batch, .lead = (s)->lead, .length = (s)->length, .width = (s)->width

struct sizes {
    size_t x, vectors, out;
};
static struct sizes sizes_of(const struct oracle_frame *s)
{
    const size_t batch = (size_t)s->batch, lead = (size_t)s->lead, length = (size_t)s->length;
    const size_t width = (size_t)s->width, all = lead + length;
    return (struct sizes){batch * length * length * width, lead * width, batch * all * all * width};
}

static void check_forward(struct ssa_device *dev, const struct oracle_frame *s)
{
    const struct sizes n = sizes_of(s);
    float *x = test_values(n.x, 1, -1, 1), *vectors = test_values(n.vectors + 1, 2, -1, 1);
    double *xd = test_doubles(x, n.x), *vd = test_doubles(vectors, n.vectors + 1), *out = malloc(n.out * sizeof *out);
    struct ssa_tensor all = test_from(dev, vectors, n.vectors + 1);
    struct ssa_frame_fwd f = {.x = test_from(dev, x, n.x), .out = test_new(dev, n.out), SHAPE(s)};
    if (s->lead)
        f.vectors = all;
    oracle_frame_fwd(s, xd, vd, out);
    OK(ssa_frame_fwd(dev, &f));
    test_compare("out", f.out, out, n.out, 1e-7, 0, "%d x (%d + %d)^2 x %d", s->batch, s->lead, s->length, s->width);
    if (!s->lead)
        IN_PLACE(frame_fwd, f, out, x, n.out);
    test_free(f.x, n.x), test_free(all, n.vectors + 1), test_free(f.out, n.out);
    free(x);
    free(vectors);
    free(xd);
    free(vd);
    free(out);
}

static void check_backward(struct ssa_device *dev, const struct oracle_frame *s, int accumulate)
{
    const struct sizes n = sizes_of(s);
    float *dout = test_values(n.out, 3, -1, 1), *start = test_values(n.vectors + 1, 4, -1, 1);
    double *dd = test_doubles(dout, n.out), *dvectors = test_doubles(start, n.vectors + 1);
    double *dx = malloc(n.x * sizeof *dx);
    struct ssa_tensor tv = test_from(dev, start, n.vectors + 1), none = {0};
    struct ssa_frame_bwd b = {.dout = test_from(dev, dout, n.out), .dx = test_new(dev, n.x), .dvectors = tv, SHAPE(s),
                              .accumulate = accumulate};
    if (!accumulate)
        memset(dvectors, 0, n.vectors * sizeof *dvectors);
    oracle_frame_bwd(s, dd, dx, dvectors);
    OK(ssa_frame_bwd(dev, &b));
    test_compare("dx", b.dx, dx, n.x, 0, 0, "%d x (%d + %d)^2 x %d", s->batch, s->lead, s->length, s->width);
    test_compare("dvectors", tv, dvectors, n.vectors + 1, 3e-7 * (s->batch + s->lead + s->length), 1e-6,
                 "%d x (%d + %d)^2 x %d, accumulate %d", s->batch, s->lead, s->length, s->width, accumulate);
    OK(ssa_tensor_fill(b.dx, -7, n.x));
    b.dvectors = none;
    OK(ssa_frame_bwd(dev, &b));
    test_compare("dx alone", b.dx, dx, n.x, 0, 0, "%d x (%d + %d)^2 x %d", s->batch, s->lead, s->length, s->width);
    if (!accumulate) {
        struct ssa_tensor alone = test_from(dev, start, n.vectors + 1);
        struct ssa_frame_bwd one = b;
        one.dx = none;
        one.dvectors = alone;
        OK(ssa_frame_bwd(dev, &one));
        test_same_bits("dvectors alone", alone, tv, n.vectors + 1);
        test_free(alone, n.vectors + 1);
    }
    test_free(b.dout, n.out), test_free(b.dx, n.x), test_free(tv, n.vectors + 1);
    free(dout);
    free(start);
    free(dd);
    free(dvectors);
    free(dx);
}

START_TEST(matches_oracle)
{
    static const struct oracle_frame shapes[] = {{1, 0, 1, 1},  {1, 1, 1, 1},   {2, 4, 9, 64},  {5, 0, 7, 16},
                                                 {3, 2, 5, 17}, {2, 1, 13, 65}, {1, 3, 2, 1009}, {67, 4, 3, 5},
                                                 {1, 65, 1, 3}, {2, 4, 31, 8}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            if (!test_fits(sizes_of(&shapes[i]).out * 20))
                continue;
            check_forward(dev, &shapes[i]);
            check_backward(dev, &shapes[i], 0);
            check_backward(dev, &shapes[i], 1);
        }
}
END_TEST

/* The gradient of sum(dout o out) by differences of the oracle's forward, which is linear: any step is exact. */
START_TEST(finite_differences)
{
    enum { BATCH = 2, LEAD = 2, LENGTH = 3, WIDTH = 3, ALL = LEAD + LENGTH, OUT = BATCH * ALL * ALL * WIDTH,
           X = BATCH * LENGTH * LENGTH * WIDTH, IN = X + LEAD * WIDTH };
    const struct oracle_frame s = {BATCH, LEAD, LENGTH, WIDTH};
    float *in = test_values(IN, 1, -1, 1), *w = test_values(OUT, 2, -1, 1);
    double *v = test_doubles(in, IN), *dout = test_doubles(w, OUT), d[IN] = {0}, slopes[IN], out[OUT];
    oracle_frame_bwd(&s, dout, d, d + X);
    SLOPES(slopes, v, IN, 0.5, oracle_frame_fwd(&s, v, v + X, out), OUT, out[j] * dout[j])
    for (int i = 0; i < IN; i++)
        ck_assert_double_eq_tol(slopes[i], d[i], 1e-12);
    free(in);
    free(w);
    free(v);
    free(dout);
}
END_TEST

/* The pair of two virtual nodes is half of each, that of one with itself the vector, bit for bit. */
START_TEST(corner)
{
    static const float vectors[] = {0.1f, 3, -2, 0.7f, 5, 1e30f}, x = 9;
    enum { WIDTH = 2, OUT = 4 * 4 * WIDTH };
    FOR_DEVICES (dev) {
        struct ssa_frame_fwd f = {.x = test_new(dev, WIDTH), .vectors = test_from(dev, vectors, 3 * WIDTH),
                                  .out = test_new(dev, OUT), .batch = 1, .lead = 3, .length = 1, .width = WIDTH};
        OK(ssa_tensor_fill(f.x, x, WIDTH));
        OK(ssa_frame_fwd(dev, &f));
        float *out = test_read(f.out, OUT);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                for (int c = 0; c < WIDTH; c++) {
                    const float want = i == 3 && j == 3 ? x
                                       : i == 3 || j == 3
                                           ? vectors[(i < j ? i : j) * WIDTH + c]
                                           : (vectors[i * WIDTH + c] + vectors[j * WIDTH + c]) * 0.5f;
                    ck_assert_float_eq(out[(i * 4 + j) * WIDTH + c], want);
                }
        free(out);
        test_free(f.x, WIDTH), test_free(f.vectors, 3 * WIDTH), test_free(f.out, OUT);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 96), u = test_new(dev, 96), v = test_new(dev, 96);
        struct ssa_frame_fwd good = {.x = t, .vectors = u, .out = v, .batch = 2, .lead = 1, .length = 3, .width = 3};
        REFUSES(frame_fwd, good, batch, 0, "batch is 0");
        REFUSES(frame_fwd, good, batch, INT32_MAX, "batch 2147483647 of 4 positions");
        REFUSES(frame_fwd, good, length, 0, "length is 0");
        REFUSES(frame_fwd, good, length, INT32_MAX, "lead is 1, length 2147483647");
        REFUSES(frame_fwd, good, lead, -1, "lead is -1");
        REFUSES(frame_fwd, good, lead, INT32_MAX, "lead is 2147483647");
        REFUSES(frame_fwd, good, width, 0, "width is 0");
        REFUSES(frame_fwd, good, width, INT32_MAX, "4 pairs of a position, 2147483647 wide");
        REFUSES_ABSENT(frame_fwd, good, vectors);
        REFUSES_SMALL(frame_fwd, good, x, 54);
        REFUSES(frame_fwd, good, vectors, ssa_tensor_at(u.buffer, u.buffer->bytes / 4 - 2), "vectors needs 3");
        REFUSES_SMALL(frame_fwd, good, out, 96);
        struct ssa_frame_bwd back = {.dout = t, .dx = u, .dvectors = v, .batch = 2, .lead = 1, .length = 3, .width = 3};
        REFUSES(frame_bwd, back, lead, -2, "lead is -2");
        REFUSES(frame_bwd, back, batch, -1, "batch is -1");
        REFUSES_ABSENT(frame_bwd, back, dout);
        REFUSES_SMALL(frame_bwd, back, dout, 96);
        REFUSES_SMALL(frame_bwd, back, dx, 54);
        REFUSES(frame_bwd, back, dvectors, ssa_tensor_at(v.buffer, v.buffer->bytes / 4 - 2), "dvectors needs 3");
        test_free(t, 96), test_free(u, 96), test_free(v, 96);
    }
}
END_TEST

int main(void)
{
    return test_run("frame", (const TTest *const[]){matches_oracle, finite_differences, corner, bad_arguments, NULL});
}

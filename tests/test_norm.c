#include "harness.h"
#include "oracle/norm.h"

#include <math.h>
#include <stdlib.h>

/* One shape with everything both directions need, in both precisions. */
struct norm_case {
    int rows, width, kind;
    bool affine; /* gain and bias present */
    size_t n, w;
    float *x, *gain, *bias, *dy;
    double *double_x, *double_gain, *double_bias, *double_dy; /* the same in double */
    double *y, *stats, *dx, *dgain, *dbias;   /* what the oracle says */
};

static const double eps = 1e-5;

static struct norm_case make_case(int rows, int width, int kind, bool affine)
{
    struct norm_case c = {rows, width, kind, affine, .n = (size_t)rows * (size_t)width, .w = (size_t)width};
    const bool rms = kind == SSA_NORM_RMS;
    c.x = test_values(c.n, 1, -2, 3);
    c.dy = test_values(c.n, 2, -1, 1);
    c.gain = test_values(c.w, 3, 0.5, 1.5);
    c.bias = test_values(c.w, 4, -1, 1);
    c.double_x = test_doubles(c.x, c.n);
    c.double_dy = test_doubles(c.dy, c.n);
    c.double_gain = test_doubles(c.gain, c.w);
    c.double_bias = test_doubles(c.bias, c.w);
    c.y = calloc(c.n, sizeof *c.y);
    c.dx = calloc(c.n, sizeof *c.dx);
    c.stats = calloc(2 * (size_t)rows, sizeof *c.stats);
    c.dgain = calloc(c.w, sizeof *c.dgain);
    c.dbias = calloc(c.w, sizeof *c.dbias);
    const double *gain = affine ? c.double_gain : NULL, *bias = affine ? c.double_bias : NULL;
    oracle_norm_fwd(c.double_x, gain, bias, rows, width, rms, eps, c.y, c.stats);
    oracle_norm_bwd(c.double_x, gain, c.double_dy, rows, width, rms, eps, c.dx, c.dgain, c.dbias);
    return c;
}

static void free_case(struct norm_case *c)
{
    float *floats[] = {c->x, c->gain, c->bias, c->dy};
    double *doubles[] = {c->double_x, c->double_gain, c->double_bias, c->double_dy, c->y, c->stats,
                         c->dx, c->dgain, c->dbias};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        free(floats[i]);
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        free(doubles[i]);
}

/* Inputs near a variance of 0 (width 1) have gradients as large as 1/sqrt(eps). */
static double tolerance(const struct norm_case *c)
{
    return c->width < 4 ? 2e-3 : 1e-5;
}

static void check_fwd(struct ssa_device *dev, const struct norm_case *c)
{
    struct ssa_tensor x = test_from(dev, c->x, c->n), gain = {0}, bias = {0};
    struct ssa_tensor y = test_new(dev, c->n), stats = test_new(dev, 2 * (size_t)c->rows);
    if (c->affine) {
        gain = test_from(dev, c->gain, c->w);
        bias = test_from(dev, c->bias, c->w);
    }
    struct ssa_norm_fwd a = {.x = x, .gain = gain, .bias = bias, .y = y, .stats = stats, .rows = c->rows,
                             .width = c->width, .kind = c->kind};
    OK(ssa_norm_fwd(dev, &a));
    test_compare("y", y, c->y, c->n, tolerance(c), 1e-5, "%d x %d kind %d", c->rows, c->width, c->kind);
    test_compare("stats", stats, c->stats, 2 * (size_t)c->rows, 1e-6, 1e-5, "%d x %d", c->rows, c->width);
    a.stats = (struct ssa_tensor){0};
    IN_PLACE(norm_fwd, a, y, x, c->n);
    test_free(x, c->n);
    test_free(gain, c->w);
    test_free(bias, c->w);
    test_free(y, c->n);
    test_free(stats, 2 * (size_t)c->rows);
}

/* The tensors of a backward call; the outputs start as 1, 2, 3, so that adding and writing differ. */
struct bwd_tensors {
    struct ssa_tensor x, gain, stats, dy, dx, dgain, dbias;
};

static struct bwd_tensors make_bwd(struct ssa_device *dev, const struct norm_case *c)
{
    struct bwd_tensors t = {
        .x = test_from(dev, c->x, c->n), .dy = test_from(dev, c->dy, c->n), .dx = test_new(dev, c->n),
        .dgain = test_new(dev, c->w), .dbias = test_new(dev, c->w),
        .stats = test_new(dev, 2 * (size_t)c->rows),
    };
    if (c->affine)
        t.gain = test_from(dev, c->gain, c->w);
    OK(ssa_norm_fwd(dev, &(struct ssa_norm_fwd){.x = t.x, .y = t.dx, .stats = t.stats, .rows = c->rows,
                                                .width = c->width, .kind = c->kind}));
    OK(ssa_tensor_fill(t.dx, 1, c->n));
    OK(ssa_tensor_fill(t.dgain, 2, c->w));
    OK(ssa_tensor_fill(t.dbias, 3, c->w));
    return t;
}

static void free_bwd(struct bwd_tensors *t, const struct norm_case *c)
{
    test_free(t->x, c->n);
    test_free(t->gain, c->w);
    test_free(t->stats, 2 * (size_t)c->rows);
    test_free(t->dy, c->n);
    test_free(t->dx, c->n);
    test_free(t->dgain, c->w);
    test_free(t->dbias, c->w);
}

static struct ssa_norm_bwd bwd_call(const struct bwd_tensors *t, const struct norm_case *c)
{
    return (struct ssa_norm_bwd){.x = t->x, .gain = t->gain, .stats = t->stats, .dy = t->dy, .dx = t->dx,
                                 .dgain = t->dgain, .dbias = t->dbias, .rows = c->rows, .width = c->width,
                                 .kind = c->kind};
}

static void compare_sums(const char *what, struct ssa_tensor got, const double *want, double added,
                         const struct norm_case *c)
{
    double *w = malloc(c->w * sizeof *w);
    for (size_t i = 0; i < c->w; i++)
        w[i] = want[i] + added;
    test_compare(what, got, w, c->w, 3e-6 * sqrt(c->rows) + tolerance(c), 1e-5, "%d x %d kind %d", c->rows, c->width,
                 c->kind);
    free(w);
}

static void check_bwd(struct ssa_device *dev, const struct norm_case *c)
{
    struct bwd_tensors t = make_bwd(dev, c);
    struct ssa_norm_bwd a = bwd_call(&t, c);
    OK(ssa_norm_bwd(dev, &a));
    test_compare("dx", t.dx, c->dx, c->n, tolerance(c), 2e-5, "%d x %d kind %d", c->rows, c->width, c->kind);
    compare_sums("dgain", t.dgain, c->dgain, 0, c);
    compare_sums("dbias", t.dbias, c->dbias, 0, c);
    struct ssa_tensor first = test_new(dev, c->w);
    OK(ssa_tensor_copy(first, t.dgain, c->w));
    a.dbias = (struct ssa_tensor){0}; /* absent: not computed */
    IN_PLACE(norm_bwd, a, dx, dy, c->n);
    test_same_bits("dgain again", t.dgain, first, c->w);
    test_free(first, c->w);
    free_bwd(&t, c);
}

static void check_accumulate(struct ssa_device *dev, const struct norm_case *c)
{
    struct bwd_tensors t = make_bwd(dev, c);
    struct ssa_norm_bwd a = bwd_call(&t, c);
    double *dx = malloc(c->n * sizeof *dx);
    a.accumulate = a.accumulate_dx = 1;
    OK(ssa_norm_bwd(dev, &a));
    for (size_t i = 0; i < c->n; i++)
        dx[i] = c->dx[i] + 1;
    test_compare("dx", t.dx, dx, c->n, tolerance(c), 2e-5, "accumulate, %d x %d", c->rows, c->width);
    compare_sums("dgain", t.dgain, c->dgain, 2, c);
    compare_sums("dbias", t.dbias, c->dbias, 3, c);
    a.dgain = a.dbias = (struct ssa_tensor){0};
    a.dx = t.dy; /* dx is dy and is added to: dy + gradient */
    OK(ssa_norm_bwd(dev, &a));
    for (size_t i = 0; i < c->n; i++)
        dx[i] = c->dx[i] + c->double_dy[i];
    test_compare("dx", t.dy, dx, c->n, tolerance(c), 2e-5, "added to dy, %d x %d", c->rows, c->width);
    free(dx);
    free_bwd(&t, c);
}

START_TEST(matches_oracle)
{
    static const int shapes[][2] = {{1, 1},  {3, 2},  {5, 15},   {33, 16},  {7, 17},   {65, 63},
                                    {31, 64}, {2, 65}, {3, 1009}, {300, 257}, {2100, 48},
                                    {70, 128}, {70, 129}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = SSA_NORM_LAYER; kind <= SSA_NORM_RMS; kind++) {
            if (!test_fits((size_t)shapes[i][0] * (size_t)shapes[i][1] * 20))
                continue;
            struct norm_case c = make_case(shapes[i][0], shapes[i][1], kind, (i + (size_t)kind) % 2 == 0);
            FOR_DEVICES (dev) {
                check_fwd(dev, &c);
                check_bwd(dev, &c);
                check_accumulate(dev, &c);
            }
            free_case(&c);
        }
}
END_TEST

/* A mean far from 0 must not eat the variance's digits. */
START_TEST(large_mean)
{
    enum { WIDTH = 259 };
    FOR_DEVICES (dev) {
        float *x = test_values(WIDTH, 9, 1000, 1001);
        double *xd = test_doubles(x, WIDTH), want[WIDTH], stats[2];
        struct ssa_tensor t = test_from(dev, x, WIDTH);
        oracle_norm_fwd(xd, NULL, NULL, 1, WIDTH, false, 1e-3, want, stats);
        OK(ssa_norm_fwd(dev, &(struct ssa_norm_fwd){.x = t, .y = t, .rows = 1, .width = WIDTH, .eps = 1e-3f}));
        test_compare("y", t, want, WIDTH, 1e-3, 1e-4, "mean 1000");
        test_free(t, WIDTH);
        free(x);
        free(xd);
    }
}
END_TEST

/* The oracle's gradients against differences of its forward. */
START_TEST(finite_differences)
{
    for (int kind = SSA_NORM_LAYER; kind <= SSA_NORM_RMS; kind++) {
        struct norm_case c = make_case(3, 17, kind, true);
        const double h = 1e-6;
        double *slopes = malloc((c.n + c.w) * sizeof *slopes);
#define FORWARD oracle_norm_fwd(c.double_x, c.double_gain, c.double_bias, c.rows, c.width, kind == SSA_NORM_RMS, eps, \
                                c.y, c.stats)
        SLOPES(slopes, c.double_x, c.n, h, FORWARD, c.n, c.y[j] * c.double_dy[j])
        SLOPES(slopes + c.n, c.double_gain, c.w, h, FORWARD, c.n, c.y[j] * c.double_dy[j])
        for (size_t i = 0; i < c.n + c.w; i++)
            ck_assert_double_eq_tol(slopes[i], i < c.n ? c.dx[i] : c.dgain[i - c.n], 1e-7);
        free(slopes);
        free_case(&c);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_norm_fwd good = {.x = t, .gain = t, .bias = t, .y = t, .stats = t, .rows = 4, .width = 8};
        REFUSES(norm_fwd, good, rows, 0, "rows is 0");
        REFUSES(norm_fwd, good, width, -1, "width is -1");
        REFUSES(norm_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(norm_fwd, good, kind, 2, "kind is 2");
        REFUSES(norm_fwd, good, eps, -1, "eps is -1");
        REFUSES(norm_fwd, good, eps, NAN, "eps is nan");
        REFUSES_ABSENT(norm_fwd, good, x);
        REFUSES_SMALL(norm_fwd, good, y, 32);
        REFUSES_SMALL(norm_fwd, good, gain, 8);
        REFUSES_SMALL(norm_fwd, good, bias, 8);
        REFUSES_SMALL(norm_fwd, good, stats, 8);
        struct ssa_norm_bwd good_bwd = {.x = t, .gain = t, .stats = t, .dy = t, .dx = t, .dgain = t, .dbias = t,
                                        .rows = 4, .width = 8};
        REFUSES(norm_bwd, good_bwd, rows, 0, "rows is 0");
        REFUSES(norm_bwd, good_bwd, width, 0, "width is 0");
        REFUSES(norm_bwd, good_bwd, kind, -1, "kind is -1");
        REFUSES_SMALL(norm_bwd, good_bwd, x, 32);
        REFUSES_SMALL(norm_bwd, good_bwd, gain, 8);
        REFUSES_ABSENT(norm_bwd, good_bwd, stats);
        REFUSES_ABSENT(norm_bwd, good_bwd, dy);
        REFUSES_ABSENT(norm_bwd, good_bwd, dx);
        REFUSES_SMALL(norm_bwd, good_bwd, dgain, 8);
        REFUSES_SMALL(norm_bwd, good_bwd, dbias, 8);
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("norm", (const TTest *const[]){matches_oracle, large_mean, finite_differences, bad_arguments,
                                                   NULL});
}

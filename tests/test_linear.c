#include "harness.h"
#include "oracle/linear.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows x width values, as floats, as doubles, and spread `stride` apart (NaN between) on a device. */
struct matrix {
    size_t rows, width, stride;
    float *values;
    double *exact;
    struct ssa_tensor t;
};

static struct matrix random_matrix(struct ssa_device *dev, size_t rows, size_t width, size_t stride, uint64_t seed)
{
    struct matrix m = {rows, width, stride ? stride : width, NULL, NULL, {0}};
    size_t extent = ssa_extent(rows, width, m.stride);
    float *spread = malloc(extent * sizeof *spread);
    m.values = test_values(rows * width, seed, -1, 1);
    m.exact = test_doubles(m.values, rows * width);
    for (size_t i = 0; i < extent; i++)
        spread[i] = NAN;
    for (size_t i = 0; i < rows; i++)
        memcpy(spread + i * m.stride, m.values + i * width, width * sizeof *spread);
    m.t = test_from(dev, spread, extent);
    free(spread);
    return m;
}

/* An output: its exact values start from zero. */
static struct matrix empty_matrix(struct ssa_device *dev, size_t rows, size_t width, size_t stride)
{
    struct matrix m = {rows, width, stride ? stride : width, NULL, NULL, {0}};
    m.exact = calloc(rows * width, sizeof *m.exact);
    m.t = test_new(dev, ssa_extent(rows, width, m.stride));
    return m;
}

static void free_matrix(struct matrix *m)
{
    if (m->t.buffer)
        test_free(m->t, ssa_extent(m->rows, m->width, m->stride));
    free(m->values);
    free(m->exact);
}

/* The rows hold what they should, and what lies between them is as it was. */
static void compare(const char *what, const struct matrix *m, size_t depth, const char *shape)
{
    size_t extent = ssa_extent(m->rows, m->width, m->stride);
    float *all = test_read(m->t, extent), *rows = malloc(m->rows * m->width * sizeof *rows);
    char message[512];
    for (size_t i = 0; i < extent; i++) {
        if (i % m->stride < m->width)
            rows[i / m->stride * m->width + i % m->stride] = all[i];
        else
            ck_assert_msg(isnan(all[i]), "%s: written between rows, at %zu (%s)", what, i, shape);
    }
    /* Of two bf16 parts a product of values below 1 is off by 3 2^-18 at most, by a third of that on average; of one,
     * by 2^-8. */
    const double each = 1e-6 * test_looser(m->t.buffer->device, 6, 4000), atol = each * (2 + sqrt((double)depth));
    if (!test_close_to(what, rows, m->exact, m->rows * m->width, atol, each, message, sizeof message))
        ck_abort_msg("%s (%s on %s)", message, shape, m->t.buffer->device->info.id);
    free(all);
    free(rows);
}

enum residual { NO_RESIDUAL, RESIDUAL, RESIDUAL_IN_PLACE };

struct fwd_case {
    int rows, in, out, bias, pre, residual, activation, x_gap, y_gap;
};

static void check_fwd(struct ssa_device *dev, struct fwd_case c)
{
    size_t rows = (size_t)c.rows, in = (size_t)c.in, out = (size_t)c.out;
    size_t xs = in + (size_t)c.x_gap, ys = out + (size_t)c.y_gap;
    if (!test_fits(rows * in * out))
        return;
    char shape[160];
    snprintf(shape, sizeof shape, "rows %d in %d out %d bias %d pre %d residual %d activation %d gaps %d %d", c.rows,
             c.in, c.out, c.bias, c.pre, c.residual, c.activation, c.x_gap, c.y_gap);
    struct matrix x = random_matrix(dev, rows, in, xs, 1), w = random_matrix(dev, out, in, 0, 2);
    struct matrix bias = random_matrix(dev, 1, out, 0, 3), residual = random_matrix(dev, rows, out, ys, 4);
    struct matrix pre = empty_matrix(dev, rows, out, ys), y = empty_matrix(dev, rows, out, ys);
    struct ssa_linear_fwd a = {.x = x.t, .w = w.t, .y = y.t, .rows = c.rows, .in = c.in, .out = c.out,
                               .x_stride = c.x_gap ? (int)xs : 0, .y_stride = c.y_gap ? (int)ys : 0,
                               .activation = c.activation};
    if (c.bias)
        a.bias = bias.t;
    if (c.pre)
        a.pre = pre.t;
    if (c.residual)
        a.residual = residual.t;
    if (c.residual == RESIDUAL_IN_PLACE)
        a.y = residual.t;
    oracle_linear_fwd(x.exact, w.exact, c.bias ? bias.exact : NULL, c.residual ? residual.exact : NULL, pre.exact,
                      y.exact, rows, in, out, c.activation);
    OK(ssa_linear_fwd(dev, &a));
    struct matrix got = y;
    got.t = a.y;
    compare("y", &got, in, shape);
    if (c.pre)
        compare("pre", &pre, in, shape);
    struct matrix *all[] = {&x, &w, &bias, &residual, &pre, &y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_matrix(all[i]);
}

struct bwd_case {
    int rows, in, out, dx, dw, dbias, activation, accumulate, accumulate_dx, x_gap, dy_gap;
};

static void check_bwd(struct ssa_device *dev, struct bwd_case c)
{
    size_t rows = (size_t)c.rows, in = (size_t)c.in, out = (size_t)c.out;
    size_t xs = in + (size_t)c.x_gap, ys = out + (size_t)c.dy_gap;
    if (!test_fits((size_t)(c.dx + c.dw) * rows * in * out))
        return;
    char shape[160];
    snprintf(shape, sizeof shape, "rows %d in %d out %d dx %d dw %d dbias %d activation %d accumulate %d %d gaps %d %d",
             c.rows, c.in, c.out, c.dx, c.dw, c.dbias, c.activation, c.accumulate, c.accumulate_dx, c.x_gap, c.dy_gap);
    struct matrix x = random_matrix(dev, rows, in, xs, 1), w = random_matrix(dev, out, in, 0, 2);
    struct matrix dy = random_matrix(dev, rows, out, ys, 3), x_pre = random_matrix(dev, rows, in, xs, 4);
    struct matrix dx = c.accumulate_dx ? random_matrix(dev, rows, in, xs, 5) : empty_matrix(dev, rows, in, xs);
    struct matrix dw = c.accumulate ? random_matrix(dev, out, in, 0, 6) : empty_matrix(dev, out, in, 0);
    struct matrix dbias = c.accumulate ? random_matrix(dev, 1, out, 0, 7) : empty_matrix(dev, 1, out, 0);
    struct ssa_linear_bwd a = {.dy = dy.t, .rows = c.rows, .in = c.in, .out = c.out, .activation = c.activation,
                               .x_stride = c.x_gap ? (int)xs : 0, .dy_stride = c.dy_gap ? (int)ys : 0,
                               .accumulate = c.accumulate, .accumulate_dx = c.accumulate_dx};
    if (c.dx) {
        a.w = w.t;
        a.dx = dx.t;
    }
    if (c.dw) {
        a.x = x.t;
        a.dw = dw.t;
    }
    if (c.dbias)
        a.dbias = dbias.t;
    if (c.activation)
        a.x_pre = x_pre.t;
    oracle_linear_bwd(x.exact, w.exact, dy.exact, c.activation ? x_pre.exact : NULL, dx.exact, dw.exact, dbias.exact,
                      rows, in, out, c.activation);
    OK(ssa_linear_bwd(dev, &a));
    if (c.dx)
        compare("dx", &dx, out, shape);
    if (c.dw)
        compare("dw", &dw, rows, shape);
    if (c.dbias)
        compare("dbias", &dbias, rows, shape);
    struct matrix *all[] = {&x, &w, &dy, &x_pre, &dx, &dw, &dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_matrix(all[i]);
}

/* One, primes, a tile of every build of the kernels (8x32, 6x16, 6x8; 64x64 on GPUs) and one off, blocks and one
 * off: {rows, in, out}. None makes a work-item loop more than 65535 times: llvmpipe (rusticl) stops it there. */
static const int shapes[][3] = {
    {1, 1, 1},   {1, 7, 1},     {2, 3, 5},     {5, 1, 33},     {7, 16, 31},   {8, 32, 32},   {9, 33, 63},
    {6, 8, 16},  {13, 17, 97},  {64, 64, 64},  {65, 63, 65},   {127, 40, 96}, {129, 96, 40}, {257, 129, 64},
    {300, 5, 9}, {513, 31, 72}, {70, 257, 12}, {9, 520, 260},  {1031, 24, 8}, {129, 130, 131},
    {1031, 16, 16}, {700, 12, 20}, {260, 16, 32}, {270, 15, 33}, {64, 48, 8}, /* outputs of one vector are not packed */
    {1, 257, 33}, {2, 63, 130}, {3, 520, 15}, {4, 64, 48}, {4, 3, 257}, /* few rows have a kernel of their own */
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(forward)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < SHAPES; i++) {
            const int *s = shapes[i];
            check_fwd(dev, (struct fwd_case){s[0], s[1], s[2], 0, 0, 0, 0, 0, 0});
            check_fwd(dev, (struct fwd_case){s[0], s[1], s[2], 1, 1, RESIDUAL, 1 + i % 6, 3, 5});
            check_fwd(dev, (struct fwd_case){s[0], s[1], s[2], i % 2, 0, i % 3 ? 0 : RESIDUAL, SSA_ACT_RELU, 0, i % 2});
        }
}
END_TEST

START_TEST(forward_operands)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 84; i++) /* every combination, on a shape with an edge both ways */
            for (int few = 0; few < 2; few++)
                check_fwd(dev, (struct fwd_case){few ? 3 : 37, 19, 45, i & 1, i >> 1 & 1, i / 4 % 3, i / 12, i % 2,
                                                 i % 5});
}
END_TEST

/* Each row as if it were the only one, whatever it is among. */
static void check_apart(struct ssa_device *dev, int rows, int in, int out)
{
    const size_t count = (size_t)rows * (size_t)out;
    struct matrix x = random_matrix(dev, (size_t)rows, (size_t)in, 0, 1);
    struct matrix w = random_matrix(dev, (size_t)out, (size_t)in, 0, 2);
    struct matrix bias = random_matrix(dev, 1, (size_t)out, 0, 3);
    struct matrix y = empty_matrix(dev, (size_t)rows, (size_t)out, 0);
    const struct ssa_tensor one = test_new(dev, count);
    struct ssa_linear_fwd a = {.x = x.t, .w = w.t, .bias = bias.t, .y = y.t, .rows = rows, .in = in, .out = out,
                               .activation = SSA_ACT_GELU, .apart = 1};
    oracle_linear_fwd(x.exact, w.exact, bias.exact, NULL, y.exact, y.exact, (size_t)rows, (size_t)in, (size_t)out,
                      SSA_ACT_GELU);
    OK(ssa_linear_fwd(dev, &a));
    compare("y", &y, (size_t)in, "rows apart");
    for (int r = 0; r < rows; r++) {
        a.rows = 1;
        a.x = ssa_tensor_add(x.t, (size_t)r * (size_t)in);
        a.y = ssa_tensor_add(one, (size_t)r * (size_t)out);
        OK(ssa_linear_fwd(dev, &a));
    }
    float *all = test_read(y.t, count), *each = test_read(one, count);
    ck_assert_msg(!memcmp(all, each, count * sizeof *all), "%d rows of %d to %d on %s", rows, in, out, dev->info.id);
    free(all);
    free(each);
    test_free(one, count);
    struct matrix *of[] = {&x, &w, &bias, &y};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        free_matrix(of[i]);
}

START_TEST(rows_apart)
{
    FOR_DEVICES (dev) {
        check_apart(dev, 2, 3, 5);
        check_apart(dev, 5, 16, 16);
        check_apart(dev, 9, 37, 33);
    }
}
END_TEST

/* What takes as long as its weights take to be read must not write them anywhere. */
START_TEST(few_rows_pack_nothing)
{
    enum { ROWS = 4, IN = 1100, OUT = 1000 };
    if (!test_fits((size_t)ROWS * IN * OUT))
        return;
    FOR_DEVICES (dev) {
        struct matrix x = random_matrix(dev, ROWS, IN, 0, 1), w = random_matrix(dev, OUT, IN, 0, 2);
        struct matrix y = empty_matrix(dev, ROWS, OUT, 0);
        const size_t before = test_scratch(dev);
        oracle_linear_fwd(x.exact, w.exact, NULL, NULL, y.exact, y.exact, ROWS, IN, OUT, SSA_ACT_NONE);
        for (int rows = 1; rows <= ROWS; rows++)
            OK(ssa_linear_fwd(dev, &(struct ssa_linear_fwd){.x = x.t, .w = w.t, .y = y.t, .rows = rows, .in = IN,
                                                            .out = OUT}));
        ck_assert_uint_eq(test_scratch(dev), before);
        compare("y", &y, IN, "few rows");
        struct matrix *all[] = {&x, &w, &y};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free_matrix(all[i]);
    }
}
END_TEST

START_TEST(backward)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < SHAPES; i++) {
            const int *s = shapes[i];
            check_bwd(dev, (struct bwd_case){s[0], s[1], s[2], 1, 1, 1, 0, 0, 0, 0, 0});
            check_bwd(dev, (struct bwd_case){s[0], s[1], s[2], 1, 1, 1, 1 + i % 6, 1, 0, 3, 5});
        }
}
END_TEST

START_TEST(backward_operands)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 128; i++) {
            int activation = i / 16 % 7, accumulate = i / 8 % 2;
            check_bwd(dev, (struct bwd_case){300, 19, 45, i & 1, i >> 1 & 1, i >> 2 & 1, activation, accumulate,
                                             !activation && i / 112, i % 2, i % 3});
        }
}
END_TEST

/* dx through x_pre against central differences of the loss sum(dy o y) of the double-precision forward. */
static void check_differences(struct ssa_device *dev, int activation)
{
    enum { ROWS = 5, IN = 21, OUT = 11 };
    const double h = 1e-5;
    struct matrix pre = random_matrix(dev, ROWS, IN, 0, 1), w = random_matrix(dev, OUT, IN, 0, 2);
    struct matrix dy = random_matrix(dev, ROWS, OUT, 0, 3), dx = empty_matrix(dev, ROWS, IN, 0);
    double x[ROWS * IN], y[ROWS * OUT], z[ROWS * OUT];
    for (size_t i = 0; i < ROWS * IN; i++) /* the interesting part, -4 to 4 */
        pre.values[i] *= 4;
    OK(ssa_tensor_write(pre.t, pre.values, ROWS * IN));
    for (size_t i = 0; i < ROWS * IN; i++)
        for (int side = -1; side <= 1; side += 2) {
            for (size_t j = 0; j < ROWS * IN; j++)
                x[j] = oracle_activate((double)pre.values[j] + (i == j ? side * h : 0), activation);
            oracle_linear_fwd(x, w.exact, NULL, NULL, z, y, ROWS, IN, OUT, SSA_ACT_NONE);
            for (size_t j = 0; j < ROWS * OUT; j++)
                dx.exact[i] += side * y[j] * dy.exact[j] / (2 * h);
        }
    OK(ssa_linear_bwd(dev, &(struct ssa_linear_bwd){.w = w.t, .dy = dy.t, .x_pre = pre.t, .dx = dx.t, .rows = ROWS,
                                                    .in = IN, .out = OUT, .activation = activation}));
    compare("dx", &dx, OUT, "finite differences");
    struct matrix *all[] = {&pre, &w, &dy, &dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_matrix(all[i]);
}

/* What a matrix engine writes past the caches, whole lines of a large result, is what it writes into them: the same bits
 * in a tensor that begins with a line as in one that does not. */
static void check_lines(struct ssa_device *dev, int activation)
{
    enum { ROWS = 737, IN = 40, OUT = 736 };
    struct matrix x = random_matrix(dev, ROWS, IN, 0, 1), w = random_matrix(dev, OUT, IN, 0, 2);
    struct matrix bias = random_matrix(dev, 1, OUT, 0, 3), residual = random_matrix(dev, ROWS, OUT, 0, 4);
    struct ssa_tensor y = test_new(dev, ROWS * OUT), pre = test_new(dev, ROWS * OUT);
    struct ssa_buffer *lines[2];
    struct ssa_linear_fwd a = {.x = x.t, .w = w.t, .bias = bias.t, .y = y, .rows = ROWS, .in = IN, .out = OUT};
    if (activation) {
        a.activation = activation;
        a.pre = pre;
        a.residual = residual.t;
    }
    OK(ssa_linear_fwd(dev, &a));
    for (int i = 0; i < 2; i++)
        OK(ssa_buffer_create(&lines[i], dev, ROWS * OUT * sizeof(float)));
    a.y = ssa_tensor_at(lines[0], 0);
    if (activation)
        a.pre = ssa_tensor_at(lines[1], 0);
    OK(ssa_linear_fwd(dev, &a));
    test_same_bits("y", a.y, y, ROWS * OUT);
    if (activation)
        test_same_bits("pre", a.pre, pre, ROWS * OUT);
    for (int i = 0; i < 2; i++)
        ssa_buffer_destroy(lines[i]);
    struct matrix *all[] = {&x, &w, &bias, &residual};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free_matrix(all[i]);
    test_free(y, ROWS * OUT);
    test_free(pre, ROWS * OUT);
}

START_TEST(large_results)
{
    FOR_DEVICES (dev)
        if (getenv("SSA_TEST_PRECISION")) {
            check_lines(dev, 0);
            check_lines(dev, SSA_ACT_GELU);
            check_fwd(dev, (struct fwd_case){737, 40, 736, 1, 1, RESIDUAL, SSA_ACT_GELU, 0, 0});
            check_bwd(dev, (struct bwd_case){737, 736, 40, 1, 1, 1, SSA_ACT_GELU, 0, 0, 0, 0});
        }
}
END_TEST

START_TEST(finite_differences)
{
    FOR_DEVICES (dev)
        for (int activation = SSA_ACT_NONE; activation <= SSA_ACT_ELU; activation++)
            check_differences(dev, activation);
}
END_TEST

START_TEST(repeats_bit_for_bit)
{
    enum { ROWS = 1500, IN = 65, OUT = 70 };
    if (!test_fits((size_t)ROWS * IN * OUT))
        return;
    FOR_DEVICES (dev) {
        struct matrix x = random_matrix(dev, ROWS, IN, 0, 1), w = random_matrix(dev, OUT, IN, 0, 2);
        struct matrix dy = random_matrix(dev, ROWS, OUT, 0, 3);
        struct ssa_tensor dx[2], dw[2], dbias[2];
        for (int i = 0; i < 2; i++) {
            dx[i] = test_new(dev, ROWS * IN);
            dw[i] = test_new(dev, OUT * IN);
            dbias[i] = test_new(dev, OUT);
            OK(ssa_linear_bwd(dev, &(struct ssa_linear_bwd){.x = x.t, .w = w.t, .dy = dy.t, .x_pre = x.t, .dx = dx[i],
                                                            .dw = dw[i], .dbias = dbias[i], .rows = ROWS, .in = IN,
                                                            .out = OUT, .activation = SSA_ACT_GELU}));
        }
        test_same_bits("dx", dx[0], dx[1], ROWS * IN);
        test_same_bits("dw", dw[0], dw[1], OUT * IN);
        test_same_bits("dbias", dbias[0], dbias[1], OUT);
        for (int i = 0; i < 2; i++) {
            test_free(dx[i], ROWS * IN);
            test_free(dw[i], OUT * IN);
            test_free(dbias[i], OUT);
        }
        free_matrix(&x);
        free_matrix(&w);
        free_matrix(&dy);
    }
}
END_TEST

/* Every transposition of the internal GEMM, with gaps in every operand. */
static void check_gemm(struct ssa_device *dev, int trans_a, int trans_b, int accumulate)
{
    enum { M = 35, N = 70, K = 300 };
    if (!test_fits((size_t)M * N * K))
        return;
    struct matrix a = trans_a ? random_matrix(dev, K, M, M + 3, 1) : random_matrix(dev, M, K, K + 3, 1);
    struct matrix b = trans_b ? random_matrix(dev, N, K, K + 2, 2) : random_matrix(dev, K, N, N + 2, 2);
    struct matrix c = random_matrix(dev, M, N, N + 1, 3);
    char shape[64];
    snprintf(shape, sizeof shape, "gemm, trans %d %d, accumulate %d", trans_a, trans_b, accumulate);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            double sum = accumulate ? c.exact[i * N + j] : 0;
            for (size_t k = 0; k < K; k++)
                sum += a.exact[trans_a ? k * M + i : i * K + k] * b.exact[trans_b ? j * K + k : k * N + j];
            c.exact[i * N + j] = sum;
        }
    OK(ssa_gemm_run(dev, &(struct ssa_gemm){.a = a.t, .b = b.t, .c = c.t, .m = M, .n = N, .k = K,
                                            .lda = (int)a.stride, .ldb = (int)b.stride, .ldc = (int)c.stride,
                                            .trans_a = trans_a, .trans_b = trans_b, .accumulate = accumulate}));
    compare("c", &c, K, shape);
    free_matrix(&a);
    free_matrix(&b);
    free_matrix(&c);
}

START_TEST(internal_gemm)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 8; i++)
            check_gemm(dev, i & 1, i >> 1 & 1, i >> 2 & 1);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_linear_fwd f = {.x = t, .w = t, .y = t, .rows = 4, .in = 4, .out = 4}, g;
        struct ssa_linear_bwd b = {.x = t, .w = t, .dy = t, .dx = t, .dw = t, .rows = 4, .in = 4, .out = 4}, c;
        FAILS((g = f, g.rows = 0, ssa_linear_fwd(dev, &g)), SSA_EINVAL, "rows is 0");
        FAILS((g = f, g.in = -1, ssa_linear_fwd(dev, &g)), SSA_EINVAL, "in is -1");
        FAILS((g = f, g.x.buffer = NULL, ssa_linear_fwd(dev, &g)), SSA_EINVAL, "x is absent");
        FAILS((g = f, g.x_stride = 3, ssa_linear_fwd(dev, &g)), SSA_EINVAL, "x_stride is 3");
        FAILS((g = f, g.activation = 7, ssa_linear_fwd(dev, &g)), SSA_EINVAL, "activation is 7");
        FAILS((g = f, g.out = 4096, ssa_linear_fwd(dev, &g)), SSA_EINVAL, "w needs 16384");
        FAILS((c = b, c.dy.buffer = NULL, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "dy is absent");
        FAILS((c = b, c.w.buffer = NULL, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "w is absent");
        FAILS((c = b, c.x.buffer = NULL, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "x is absent");
        FAILS((c = b, c.dy_stride = 2, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "dy_stride is 2");
        FAILS((c = b, c.activation = SSA_ACT_GELU, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "x_pre is absent");
        FAILS((c = b, c.x_pre = t, c.accumulate_dx = 1, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "accumulate_dx");
        FAILS((c = b, c.rows = 4096, ssa_linear_bwd(dev, &c)), SSA_EINVAL, "x needs 16384");
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("linear", (const TTest *const[]){forward, forward_operands, rows_apart,
                                                     few_rows_pack_nothing, backward, large_results,
                                                     backward_operands, finite_differences, repeats_bit_for_bit,
                                                     internal_gemm, bad_arguments, NULL});
}

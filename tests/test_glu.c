#include "harness.h"
#include "oracle/glu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_glu(struct ssa_device *dev, int rows, int width, int activation)
{
    const size_t n = (size_t)rows * (size_t)width;
    const int form = activation ? activation : SSA_ACT_SILU;
    float *x = test_values(2 * n, 1, -6, 6), *dy = test_values(n, 2, -1, 1);
    double *at = test_doubles(x, 2 * n), *d = test_doubles(dy, n), *y = malloc(n * sizeof *y);
    double *dx = malloc(2 * n * sizeof *dx);
    struct ssa_tensor tx = test_from(dev, x, 2 * n), tdy = test_from(dev, dy, n);
    struct ssa_tensor ty = test_new(dev, n), tdx = test_new(dev, 2 * n);
    oracle_glu_fwd(at, (size_t)rows, (size_t)width, form, y);
    oracle_glu_bwd(at, d, (size_t)rows, (size_t)width, form, dx);
    struct ssa_glu_fwd f = {.x = tx, .y = ty, .rows = rows, .width = width, .activation = activation};
    struct ssa_glu_bwd b = {.x = tx, .dy = tdy, .dx = tdx, .rows = rows, .width = width, .activation = activation};
    OK(ssa_glu_fwd(dev, &f));
    test_compare("y", ty, y, n, 1e-6, 2e-6, "%d x %d activation %d", rows, width, activation);
    OK(ssa_glu_bwd(dev, &b));
    test_compare("dx", tdx, dx, 2 * n, 1e-6, 2e-6, "%d x %d activation %d", rows, width, activation);
    IN_PLACE(glu_bwd, b, dx, x, 2 * n);
    test_free(tx, 2 * n);
    test_free(tdy, n);
    test_free(ty, n);
    test_free(tdx, 2 * n);
    free(x);
    free(dy);
    free(at);
    free(d);
    free(y);
    free(dx);
}

/* One, primes, a vector of every build, a row of a group's, and one off. */
START_TEST(matches_oracle)
{
    static const int shapes[][2] = {{1, 1},  {3, 2},   {2, 4},   {2, 5},  {4, 8},   {3, 9},   {5, 15},  {33, 16},
                                    {7, 17}, {64, 63}, {31, 64}, {2, 65}, {2, 256}, {3, 257}, {3, 1009}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int activation = 0; activation <= SSA_ACT_ELU; activation++)
                check_glu(dev, shapes[i][0], shapes[i][1], activation);
}
END_TEST

/* dx against central differences of the loss sum(dy o y) of the double-precision forward. */
static void check_differences(struct ssa_device *dev, int activation)
{
    enum { ROWS = 3, WIDTH = 7, N = ROWS * WIDTH };
    const double h = 1e-5;
    float *x = test_values(2 * N, 3, -4, 4), *dy = test_values(N, 4, -1, 1);
    double *at = test_doubles(x, 2 * N), y[N], dx[2 * N];
    struct ssa_tensor tx = test_from(dev, x, 2 * N), tdy = test_from(dev, dy, N), tdx = test_new(dev, 2 * N);
    SLOPES(dx, at, 2 * N, h, oracle_glu_fwd(at, ROWS, WIDTH, activation, y), N, y[j] * (double)dy[j])
    OK(ssa_glu_bwd(dev, &(struct ssa_glu_bwd){.x = tx, .dy = tdy, .dx = tdx, .rows = ROWS, .width = WIDTH,
                                              .activation = activation}));
    test_compare("dx", tdx, dx, 2 * N, 1e-6, 2e-6, "finite differences, activation %d", activation);
    test_free(tx, 2 * N);
    test_free(tdy, N);
    test_free(tdx, 2 * N);
    free(x);
    free(dy);
    free(at);
}

START_TEST(finite_differences)
{
    FOR_DEVICES (dev)
        for (int activation = SSA_ACT_GELU; activation <= SSA_ACT_ELU; activation++)
            check_differences(dev, activation);
}
END_TEST

/* Far from 0, and with factors as large: no product leaves the floats where the answer does not. */
START_TEST(tails)
{
    static const float gates[] = {-3e38f, -1e30f, -100, -88, -87, -30, 0, 30, 87, 88, 100, 1e30f, 3e38f};
    static const float ups[] = {3e38f, -1e30f, 1, -1, 1, 1, 3e38f, 2, 1, 1, -1, 1e7f, 0.5f};
    static const float dys[] = {3e38f, 1e30f, 1, 1, -1, 1, 0.5f, 1, 1, -1, 1, 0.5f, 0.25f};
    enum { N = sizeof gates / sizeof *gates };
    float x[2 * N];
    memcpy(x, gates, sizeof gates);
    memcpy(x + N, ups, sizeof ups);
    double *at = test_doubles(x, 2 * N), *d = test_doubles(dys, N), y[N], dx[2 * N];
    oracle_glu_fwd(at, 1, N, SSA_ACT_SILU, y);
    oracle_glu_bwd(at, d, 1, N, SSA_ACT_SILU, dx);
    FOR_DEVICES (dev) {
        struct ssa_tensor tx = test_from(dev, x, 2 * N), tdy = test_from(dev, dys, N);
        struct ssa_tensor ty = test_new(dev, N), tdx = test_new(dev, 2 * N);
        OK(ssa_glu_fwd(dev, &(struct ssa_glu_fwd){.x = tx, .y = ty, .rows = 1, .width = N}));
        test_compare("y", ty, y, N, 2e-36, 4e-6, "tails");
        OK(ssa_glu_bwd(dev, &(struct ssa_glu_bwd){.x = tx, .dy = tdy, .dx = tdx, .rows = 1, .width = N}));
        test_compare("dx", tdx, dx, 2 * N, 2e-36, 4e-6, "tails");
        test_free(tx, 2 * N);
        test_free(tdy, N);
        test_free(ty, N);
        test_free(tdx, 2 * N);
    }
    free(at);
    free(d);
}
END_TEST

/* NaN comes out where it went in, and nowhere else. */
START_TEST(not_a_number)
{
    enum { N = 20 };
    FOR_DEVICES (dev)
        for (int activation = SSA_ACT_GELU; activation <= SSA_ACT_ELU; activation++)
            for (int gate = 0; gate < 2; gate++) {
                float *x = test_values(2 * N, 5, -2, 2);
                const int at = 3, in = gate ? at : N + at;
                x[in] = NAN;
                struct ssa_tensor tx = test_from(dev, x, 2 * N), one = test_new(dev, N);
                struct ssa_tensor ty = test_new(dev, N), tdx = test_new(dev, 2 * N);
                OK(ssa_tensor_fill(one, 1, N));
                OK(ssa_glu_fwd(dev, &(struct ssa_glu_fwd){.x = tx, .y = ty, .rows = 1, .width = N,
                                                          .activation = activation}));
                OK(ssa_glu_bwd(dev, &(struct ssa_glu_bwd){.x = tx, .dy = one, .dx = tdx, .rows = 1, .width = N,
                                                          .activation = activation}));
                float *y = test_read(ty, N), *dx = test_read(tdx, 2 * N);
                for (int i = 0; i < N; i++) {
                    ck_assert_msg(!isnan(y[i]) == (i != at), "y[%d] is %g", i, (double)y[i]);
                    ck_assert_msg(!isnan(dx[i]) == (i != at), "dx[%d] is %g", i, (double)dx[i]);
                    ck_assert_msg(!isnan(dx[N + i]) == !(gate && i == at), "dx[%d] is %g", N + i, (double)dx[N + i]);
                }
                test_free(tx, 2 * N);
                test_free(one, N);
                test_free(ty, N);
                test_free(tdx, 2 * N);
                free(x);
                free(y);
                free(dx);
            }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64), u = test_new(dev, 64), v = test_new(dev, 64);
        struct ssa_glu_fwd good = {.x = t, .y = u, .rows = 4, .width = 8};
        REFUSES(glu_fwd, good, rows, 0, "rows is 0");
        REFUSES(glu_fwd, good, width, 0, "width is 0");
        REFUSES(glu_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(glu_fwd, good, activation, 7, "activation is 7");
        REFUSES_ABSENT(glu_fwd, good, x);
        REFUSES_SMALL(glu_fwd, good, x, 64);
        REFUSES_ABSENT(glu_fwd, good, y);
        REFUSES_SMALL(glu_fwd, good, y, 32);
        struct ssa_glu_bwd good_bwd = {.x = t, .dy = u, .dx = v, .rows = 4, .width = 8};
        REFUSES(glu_bwd, good_bwd, rows, -1, "rows is -1");
        REFUSES(glu_bwd, good_bwd, width, -1, "width is -1");
        REFUSES(glu_bwd, good_bwd, activation, -1, "activation is -1");
        REFUSES_SMALL(glu_bwd, good_bwd, x, 64);
        REFUSES_ABSENT(glu_bwd, good_bwd, dy);
        REFUSES_SMALL(glu_bwd, good_bwd, dy, 32);
        REFUSES_SMALL(glu_bwd, good_bwd, dx, 64);
        test_free(t, 64);
        test_free(u, 64);
        test_free(v, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("glu", (const TTest *const[]){matches_oracle, finite_differences, tails, not_a_number,
                                                  bad_arguments, NULL});
}

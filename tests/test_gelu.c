#include "harness.h"
#include "oracle/gelu.h"

#include <math.h>
#include <stdlib.h>

static void check_gelu(struct ssa_device *dev, int rows, int width, int activation, bool with_bias)
{
    const size_t w = (size_t)width, n = (size_t)rows * w;
    const int form = activation ? activation : SSA_ACT_GELU;
    float *x = test_values(n, 1, -6, 6), *bias = test_values(w, 2, -1, 1), *dy = test_values(n, 3, -1, 1);
    double *y = malloc(n * sizeof *y), *dx = malloc(n * sizeof *dx);
    struct ssa_tensor tx = test_from(dev, x, n), tdy = test_from(dev, dy, n), none = {0};
    struct ssa_tensor tb = with_bias ? test_from(dev, bias, w) : none, ty = test_new(dev, n), tdx = test_new(dev, n);
    for (size_t i = 0; i < n; i++) {
        double at = (double)x[i] + (with_bias ? (double)bias[i % w] : 0);
        y[i] = oracle_activate(at, form);
        dx[i] = (double)dy[i] * oracle_activate_slope(at, form);
    }
    struct ssa_gelu_fwd f = {.x = tx, .bias = tb, .y = ty, .rows = rows, .width = width, .activation = activation};
    struct ssa_gelu_bwd b = {.x = tx, .bias = tb, .dy = tdy, .dx = tdx, .rows = rows, .width = width,
                             .activation = activation};
    OK(ssa_gelu_fwd(dev, &f));
    test_compare("y", ty, y, n, 1e-6, 2e-6, "%d x %d activation %d", rows, width, activation);
    OK(ssa_gelu_bwd(dev, &b));
    test_compare("dx", tdx, dx, n, 1e-6, 2e-6, "%d x %d activation %d", rows, width, activation);
    IN_PLACE(gelu_bwd, b, dx, dy, n);
    IN_PLACE(gelu_fwd, f, y, x, n);
    test_free(tx, n);
    test_free(tb, w);
    test_free(tdy, n);
    test_free(ty, n);
    test_free(tdx, n);
    free(x);
    free(bias);
    free(dy);
    free(y);
    free(dx);
}

START_TEST(matches_oracle)
{
    static const int shapes[][2] = {{1, 1}, {3, 2}, {5, 15}, {33, 16}, {7, 17}, {64, 63}, {31, 64}, {2, 65}, {3, 1009}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int activation = 0; activation <= SSA_ACT_ELU; activation++)
                check_gelu(dev, shapes[i][0], shapes[i][1], activation, (i + (size_t)activation) % 2);
}
END_TEST

/* Far from 0 it is 0 or x, with slope 0 or 1. */
START_TEST(tails)
{
    static const float x[] = {-1e10f, -1e4f, -50, -20, -14, -9, -0.0f, 0, 1e-30f, 9, 14, 20, 50, 1e4f, 1e10f};
    enum { N = sizeof x / sizeof *x };
    FOR_DEVICES (dev)
        for (int activation = SSA_ACT_GELU; activation <= SSA_ACT_GELU_TANH; activation++) {
            struct ssa_tensor tx = test_from(dev, x, N), one = test_new(dev, N), out = test_new(dev, N);
            double y[N], slope[N];
            for (int i = 0; i < N; i++) {
                y[i] = x[i] > 0 ? (double)x[i] : 0;
                slope[i] = x[i] > 1 ? 1 : x[i] < -1 ? 0 : 0.5;
            }
            OK(ssa_tensor_fill(one, 1, N));
            OK(ssa_gelu_fwd(dev, &(struct ssa_gelu_fwd){.x = tx, .y = out, .rows = 1, .width = N,
                                                        .activation = activation}));
            test_compare("y", out, y, N, 1e-15, 1e-6, "activation %d", activation);
            OK(ssa_gelu_bwd(dev, &(struct ssa_gelu_bwd){.x = tx, .dy = one, .dx = out, .rows = 1, .width = N,
                                                        .activation = activation}));
            test_compare("slope", out, slope, N, 1e-14, 1e-6, "activation %d", activation);
            test_free(tx, N);
            test_free(one, N);
            test_free(out, N);
        }
}
END_TEST

/* SiLU, and its like, are 0 or x later than GELU; ELU is -1 or x, and its slope leaves 0 later too. */
static void check_late_tails(struct ssa_device *dev, int activation)
{
    static const float x[] = {-3e38f, -1e30f, -1e4f, -100, -88, -87, -86, -52, -51, -50, -30, -20, -9, -1e-30f, -0.0f,
                              0, 1e-30f, 9, 20, 30, 50, 51, 52, 86, 87, 88, 100, 1e4f, 1e30f, 3e38f};
    enum { N = sizeof x / sizeof *x };
    struct ssa_tensor tx = test_from(dev, x, N), one = test_new(dev, N), out = test_new(dev, N);
    double y[N], slope[N];
    for (int i = 0; i < N; i++) {
        y[i] = oracle_activate((double)x[i], activation);
        slope[i] = oracle_activate_slope((double)x[i], activation);
    }
    OK(ssa_tensor_fill(one, 1, N));
    OK(ssa_gelu_fwd(dev, &(struct ssa_gelu_fwd){.x = tx, .y = out, .rows = 1, .width = N, .activation = activation}));
    test_compare("y", out, y, N, 2e-36, 4e-6, "activation %d", activation);
    OK(ssa_gelu_bwd(dev, &(struct ssa_gelu_bwd){.x = tx, .dy = one, .dx = out, .rows = 1, .width = N,
                                                .activation = activation}));
    test_compare("slope", out, slope, N, 2e-36, 4e-6, "activation %d", activation);
    test_free(tx, N);
    test_free(one, N);
    test_free(out, N);
}

START_TEST(late_tails)
{
    FOR_DEVICES (dev) {
        check_late_tails(dev, SSA_ACT_SILU);
        check_late_tails(dev, SSA_ACT_QUICK_GELU);
        check_late_tails(dev, SSA_ACT_RELU);
        check_late_tails(dev, SSA_ACT_ELU);
    }
}
END_TEST

START_TEST(slope_of_the_largest)
{
    static const float x[2] = {-3e38f, 3e38f};
    static const double slope[2] = {0, 1};
    FOR_DEVICES (dev)
        for (int activation = SSA_ACT_GELU; activation <= SSA_ACT_ELU; activation++) {
            struct ssa_tensor tx = test_from(dev, x, 2), dx = test_new(dev, 2);
            OK(ssa_tensor_fill(dx, 1, 2));
            OK(ssa_gelu_bwd(dev, &(struct ssa_gelu_bwd){.x = tx, .dy = dx, .dx = dx, .rows = 2, .width = 1,
                                                        .activation = activation}));
            test_compare("slope", dx, slope, 2, 1e-14, 1e-6, "activation %d", activation);
            test_free(tx, 2);
            test_free(dx, 2);
        }
}
END_TEST

START_TEST(finite_differences)
{
    const double h = 1e-5;
    for (int form = SSA_ACT_GELU; form <= SSA_ACT_ELU; form++)
        for (double x = -8.03125; x <= 8; x += 0.0625) /* never 0, where ReLU has a kink, and ELU's slope one */
            ck_assert_double_eq_tol((oracle_activate(x + h, form) - oracle_activate(x - h, form)) / (2 * h),
                                    oracle_activate_slope(x, form), 1e-9);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_gelu_fwd good = {.x = t, .bias = t, .y = t, .rows = 4, .width = 8};
        REFUSES(gelu_fwd, good, rows, 0, "rows is 0");
        REFUSES(gelu_fwd, good, width, 0, "width is 0");
        REFUSES(gelu_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(gelu_fwd, good, activation, 7, "activation is 7");
        REFUSES_ABSENT(gelu_fwd, good, x);
        REFUSES_SMALL(gelu_fwd, good, bias, 8);
        REFUSES_SMALL(gelu_fwd, good, y, 32);
        struct ssa_gelu_bwd good_bwd = {.x = t, .bias = t, .dy = t, .dx = t, .rows = 4, .width = 8};
        REFUSES(gelu_bwd, good_bwd, rows, -1, "rows is -1");
        REFUSES(gelu_bwd, good_bwd, width, -1, "width is -1");
        REFUSES(gelu_bwd, good_bwd, activation, -1, "activation is -1");
        REFUSES_SMALL(gelu_bwd, good_bwd, x, 32);
        REFUSES_SMALL(gelu_bwd, good_bwd, bias, 8);
        REFUSES_ABSENT(gelu_bwd, good_bwd, dy);
        REFUSES_SMALL(gelu_bwd, good_bwd, dx, 32);
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("gelu", (const TTest *const[]){matches_oracle, tails, late_tails, slope_of_the_largest,
                                                   finite_differences, bad_arguments, NULL});
}

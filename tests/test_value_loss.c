#include "harness.h"
#include "oracle/value_loss.h"

#include <math.h>
#include <stdlib.h>

static void check_loss(struct ssa_device *dev, size_t n, int kind, float grad_scale)
{
    float *x = test_values(n, 1, -2, 2), *targets = test_values(n, 2, -2, 2);
    for (size_t i = 0; i < n; i++) { /* some are not known, some are met */
        targets[i] = i % 5 == 3 ? NAN : i % 5 == 4 ? x[i] : targets[i];
        x[i] = i % 10 == 3 ? NAN : x[i];
    }
    double *xd = test_doubles(x, n), *td = test_doubles(targets, n), *loss = malloc(n * sizeof *loss);
    double *dx = malloc(n * sizeof *dx);
    struct ssa_value_loss a = {.x = test_from(dev, x, n), .targets = test_from(dev, targets, n),
                               .loss = test_new(dev, n), .dx = test_new(dev, n), .count = n, .kind = kind,
                               .grad_scale = grad_scale};
    oracle_value_loss(xd, td, n, kind, grad_scale < 0 || grad_scale > 0 ? (double)grad_scale : 1, loss, dx);
    OK(ssa_value_loss(dev, &a));
    test_compare("loss", a.loss, loss, n, 1e-6, 1e-6, "%zu of kind %d", n, kind);
    test_compare("dx", a.dx, dx, n, 1e-6, 1e-6, "%zu of kind %d", n, kind);
    struct ssa_value_loss one = a; /* each alone, the same bits */
    one.loss = test_new(dev, n);
    one.dx = (struct ssa_tensor){0};
    OK(ssa_value_loss(dev, &one));
    test_same_bits("loss alone", one.loss, a.loss, n);
    test_free(one.loss, n);
    one.loss = one.dx;
    one.dx = test_new(dev, n);
    OK(ssa_value_loss(dev, &one));
    test_same_bits("dx alone", one.dx, a.dx, n);
    test_free(one.dx, n);
    IN_PLACE(value_loss, a, dx, x, n);
    test_free(a.x, n);
    test_free(a.targets, n);
    test_free(a.loss, n);
    test_free(a.dx, n);
    free(x);
    free(targets);
    free(xd);
    free(td);
    free(loss);
    free(dx);
}

START_TEST(matches_oracle)
{
    static const size_t counts[] = {1, 2, 15, 16, 17, 63, 64, 65, 1009, 1024, 1025, 5003};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int kind = SSA_LOSS_L1; kind <= SSA_LOSS_L2; kind++)
                check_loss(dev, counts[i], kind, i % 2 ? -0.25f : 0);
}
END_TEST

/* NaN of x, and infinities, come out where their targets are known; a target of NaN, of either sign, hides them. */
START_TEST(not_a_number)
{
    static const float x[] = {NAN, 1, INFINITY, -INFINITY, NAN, 3e38f, INFINITY};
    static const float targets[] = {1, NAN, 0, 0, NAN, -3e38f, -NAN};
    enum { N = sizeof x / sizeof *x };
    FOR_DEVICES (dev)
        for (int kind = SSA_LOSS_L1; kind <= SSA_LOSS_L2; kind++) {
            struct ssa_value_loss a = {.x = test_from(dev, x, N), .targets = test_from(dev, targets, N),
                                       .loss = test_new(dev, N), .dx = test_new(dev, N), .count = N, .kind = kind};
            const float large = kind == SSA_LOSS_L1 ? 1 : INFINITY;
            const float want_loss[N] = {NAN, 0, INFINITY, INFINITY, 0, INFINITY, 0};
            const float want_dx[N] = {NAN, 0, large, -large, 0, large, 0};
            OK(ssa_value_loss(dev, &a));
            float *loss = test_read(a.loss, N), *dx = test_read(a.dx, N);
            for (int i = 0; i < N; i++) {
                ck_assert_msg(isnan(want_loss[i]) ? isnan(loss[i]) : loss[i] == want_loss[i], "loss[%d] is %g, kind %d",
                              i, (double)loss[i], kind);
                ck_assert_msg(isnan(want_dx[i]) ? isnan(dx[i]) : dx[i] == want_dx[i], "dx[%d] is %g, kind %d", i,
                              (double)dx[i], kind);
            }
            free(loss);
            free(dx);
            test_free(a.x, N), test_free(a.targets, N), test_free(a.loss, N), test_free(a.dx, N);
        }
}
END_TEST

/* dx against central differences of the double-precision loss. */
START_TEST(finite_differences)
{
    enum { N = 33 };
    const double h = 1e-5;
    float *x = test_values(N, 3, -2, 2), *targets = test_values(N, 4, -2, 2);
    double *xd = test_doubles(x, N), *td = test_doubles(targets, N), loss[N], unused[N], dx[N];
    FOR_DEVICES (dev)
        for (int kind = SSA_LOSS_L1; kind <= SSA_LOSS_L2; kind++) {
            SLOPES(dx, xd, N, h, oracle_value_loss(xd, td, N, kind, 1, loss, unused), N, loss[j])
            struct ssa_value_loss a = {.x = test_from(dev, x, N), .targets = test_from(dev, targets, N),
                                       .dx = test_new(dev, N), .count = N, .kind = kind};
            OK(ssa_value_loss(dev, &a));
            test_compare("dx", a.dx, dx, N, 1e-6, 1e-6, "finite differences, kind %d", kind);
            test_free(a.x, N), test_free(a.targets, N), test_free(a.dx, N);
        }
    free(x);
    free(targets);
    free(xd);
    free(td);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 8), u = test_new(dev, 8), v = test_new(dev, 8), w = test_new(dev, 8);
        struct ssa_value_loss good = {.x = t, .targets = u, .loss = v, .dx = w, .count = 8};
        REFUSES(value_loss, good, count, 0, "count is 0");
        REFUSES(value_loss, good, kind, 2, "kind is 2");
        REFUSES(value_loss, good, kind, -1, "kind is -1");
        REFUSES(value_loss, good, grad_scale, NAN, "grad_scale is nan");
        REFUSES_ABSENT(value_loss, good, x);
        REFUSES_ABSENT(value_loss, good, targets);
        REFUSES_SMALL(value_loss, good, x, 8);
        REFUSES_SMALL(value_loss, good, targets, 8);
        REFUSES_SMALL(value_loss, good, loss, 8);
        REFUSES_SMALL(value_loss, good, dx, 8);
        test_free(t, 8), test_free(u, 8), test_free(v, 8), test_free(w, 8);
    }
}
END_TEST

int main(void)
{
    return test_run("value_loss", (const TTest *const[]){matches_oracle, not_a_number, finite_differences,
                                                         bad_arguments, NULL});
}

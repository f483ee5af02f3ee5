#include "harness.h"

#include <stdlib.h>

static void check_add(struct ssa_device *dev, size_t n)
{
    float *x = test_values(n, 1, -2, 2), *y = test_values(n, 2, -2, 2);
    double *want = test_doubles(x, n);
    struct ssa_tensor tx = test_from(dev, x, n), ty = test_from(dev, y, n), out = test_new(dev, n);
    for (size_t i = 0; i < n; i++)
        want[i] += (double)y[i];
    struct ssa_add a = {.x = tx, .y = ty, .out = out, .count = n};
    OK(ssa_add(dev, &a));
    test_compare("out", out, want, n, 1e-7, 1e-6, "n %zu", n);
    IN_PLACE(add, a, out, x, n);
    test_free(tx, n);
    test_free(ty, n);
    test_free(out, n);
    free(x);
    free(y);
    free(want);
}

START_TEST(matches_oracle)
{
    static const size_t counts[] = {1, 3, 15, 16, 17, 1009, 1024, 1025, 70001};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            check_add(dev, counts[i]);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor x = test_new(dev, 8);
        FAILS(ssa_add(dev, NULL), SSA_EINVAL, "add: the arguments are NULL");
        FAILS(ssa_add(NULL, &(struct ssa_add){.x = x, .y = x, .out = x, .count = 8}), SSA_EINVAL, "device is NULL");
        FAILS(ssa_add(dev, &(struct ssa_add){.x = x, .y = x, .out = x}), SSA_EINVAL, "count");
        FAILS(ssa_add(dev, &(struct ssa_add){.x = x, .out = x, .count = 8}), SSA_EINVAL, "y is absent");
        FAILS(ssa_add(dev, &(struct ssa_add){.x = x, .y = x, .out = x, .count = 4096}), SSA_EINVAL, "x needs 4096");
        test_free(x, 8);
    }
}
END_TEST

int main(void)
{
    return test_run("add", (const TTest *const[]){matches_oracle, bad_arguments, NULL});
}

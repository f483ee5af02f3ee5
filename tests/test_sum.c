#include "harness.h"
#include "oracle/sum.h"

#include <math.h>
#include <stdlib.h>

/* Magnitude, not value, decides the error of a sum: positive terms make the two the same. */
static void check_sum(struct ssa_device *dev, size_t n, int squares)
{
    if (!test_fits(n))
        return;
    float *x = test_values(n, 1, 0, 2);
    double want = oracle_sum(x, n, squares);
    struct ssa_tensor tx = test_from(dev, x, n), out = test_new(dev, 1), again = test_new(dev, 1);
    struct ssa_sum a = {.x = tx, .out = out, .count = n, .squares = squares};
    OK(ssa_sum(dev, &a));
    test_compare("out", out, &want, 1, 0, 3e-6, "n %zu squares %d", n, squares);
    a.out = again;
    OK(ssa_sum(dev, &a));
    test_same_bits("again", again, out, 1);
    OK(ssa_tensor_fill(out, -3, 1));
    a.out = out;
    a.accumulate = 1;
    OK(ssa_sum(dev, &a));
    want -= 3;
    test_compare("out", out, &want, 1, 1e-6, 3e-6, "accumulate, n %zu squares %d", n, squares);
    test_free(tx, n);
    test_free(out, 1);
    test_free(again, 1);
    free(x);
}

START_TEST(matches_oracle)
{
    static const size_t counts[] = {1, 3, 15, 16, 17, 63, 64, 65, 255, 257, 1009, 16383, 16384, 16385, 700001};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int squares = 0; squares < 2; squares++)
                check_sum(dev, counts[i], squares);
}
END_TEST

/* Whole numbers below 2^24 add up exactly: every element counts once. */
START_TEST(exact)
{
    enum { N = 70001 };
    FOR_DEVICES (dev) {
        float *x = malloc(N * sizeof *x);
        for (int i = 0; i < N; i++)
            x[i] = (float)(i % 7 - 2);
        double want = oracle_sum(x, N, false);
        struct ssa_tensor tx = test_from(dev, x, N), out = test_new(dev, 1);
        OK(ssa_sum(dev, &(struct ssa_sum){.x = tx, .out = out, .count = N}));
        test_compare("out", out, &want, 1, 0, 0, "whole numbers");
        test_free(tx, N);
        test_free(out, 1);
        free(x);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 8), none = {0};
        struct ssa_tensor end = ssa_tensor_at(t.buffer, t.buffer->bytes / 4);
        FAILS(ssa_sum(dev, &(struct ssa_sum){.x = t, .out = t}), SSA_EINVAL, "sum: count is 0");
        FAILS(ssa_sum(dev, &(struct ssa_sum){.x = none, .out = t, .count = 8}), SSA_EINVAL, "sum: x is absent");
        FAILS(ssa_sum(dev, &(struct ssa_sum){.x = t, .out = t, .count = 4096}), SSA_EINVAL, "sum: x needs 4096");
        FAILS(ssa_sum(dev, &(struct ssa_sum){.x = t, .out = none, .count = 8}), SSA_EINVAL, "sum: out is absent");
        FAILS(ssa_sum(dev, &(struct ssa_sum){.x = t, .out = end, .count = 8}), SSA_EINVAL, "sum: out needs 1");
        test_free(t, 8);
    }
}
END_TEST

int main(void)
{
    return test_run("sum", (const TTest *const[]){matches_oracle, exact, bad_arguments, NULL});
}

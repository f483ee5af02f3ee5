#include "harness.h"
#include "oracle/patches.h"

#include <stdlib.h>

static void check_patches(struct ssa_device *dev, const struct oracle_images *s)
{
    const size_t n = (size_t)s->batch * (size_t)s->rows * (size_t)s->columns * (size_t)s->channels;
    float *x = test_values(n, 1, -1, 1);
    double *xd = test_doubles(x, n), *want = malloc(n * sizeof *want);
    struct ssa_tensor tx = test_from(dev, x, n), out = test_new(dev, n);
    oracle_patches(s, xd, want);
    OK(ssa_patches(dev, &(struct ssa_patches){.x = tx, .out = out, .batch = s->batch, .rows = s->rows,
        .columns = s->columns, .channels = s->channels, .patch = s->patch}));
    test_compare("out", out, want, n, 0, 0, "%d images of %d x %d x %d, patches of %d", s->batch, s->rows, s->columns,
                 s->channels, s->patch);
    test_free(tx, n);
    test_free(out, n);
    free(x);
    free(xd);
    free(want);
}

START_TEST(matches_oracle)
{
    static const struct oracle_images shapes[] = {
        {1, 1, 1, 1, 1}, {3, 8, 8, 1, 1}, {2, 28, 28, 1, 4}, {2, 28, 28, 1, 2}, {3, 6, 9, 3, 3},
        {1, 32, 16, 3, 16}, {2, 14, 7, 5, 7}, {1, 13, 13, 2, 13}, {5, 2, 4, 67, 2}, {1, 65, 130, 1, 65}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_patches(dev, &shapes[i]);
}
END_TEST

/* Two rows of two patches of 2 x 2 of two channels, by hand. */
START_TEST(order)
{
    float x[32];
    const double want[] = {0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15};
    for (int i = 0; i < 32; i++)
        x[i] = (float)i;
    FOR_DEVICES (dev) {
        struct ssa_tensor tx = test_from(dev, x, 32), out = test_new(dev, 32);
        OK(ssa_patches(dev, &(struct ssa_patches){.x = tx, .out = out, .batch = 1, .rows = 4, .columns = 4,
                                                  .channels = 2, .patch = 2}));
        test_compare("out", out, want, 16, 0, 0, "by hand");
        test_free(tx, 32);
        test_free(out, 32);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64), u = test_new(dev, 64);
        struct ssa_patches good = {.x = t, .out = u, .batch = 1, .rows = 4, .columns = 8, .channels = 2, .patch = 2};
        OK(ssa_tensor_fill(t, 0, 64));
        OK(ssa_patches(dev, &good));
        REFUSES(patches, good, batch, 0, "batch is 0");
        REFUSES(patches, good, rows, -4, "rows is -4");
        REFUSES(patches, good, columns, 0, "columns is 0");
        REFUSES(patches, good, channels, 0, "channels is 0");
        REFUSES(patches, good, patch, 0, "patch is 0");
        REFUSES(patches, good, patch, 3, "patches of 3 do not divide images of 4 x 8");
        REFUSES(patches, good, rows, 5, "patches of 2 do not divide images of 5 x 8");
        REFUSES(patches, good, channels, INT32_MAX, "patch is 2 with 2147483647 channels");
        REFUSES_ABSENT(patches, good, x);
        REFUSES_ABSENT(patches, good, out);
        REFUSES_SMALL(patches, good, x, 64);
        REFUSES_SMALL(patches, good, out, 64);
        test_free(t, 64);
        test_free(u, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("patches", (const TTest *const[]){matches_oracle, order, bad_arguments, NULL});
}

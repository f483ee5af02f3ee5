#include "harness.h"
#include "oracle/rows.h"

#include <stdlib.h>

/* `count` indices without repeats among `total` rows, two of them outside where there is room. */
static int32_t *make_rows(int count, int total)
{
    int32_t *rows = malloc((size_t)total * sizeof *rows);
    float *u = test_values((size_t)total, 4, 0, 1);
    for (int i = 0; i < total; i++) { /* inside-out shuffle */
        int j = (int)(u[i] * (float)(i + 1));
        rows[i] = rows[j];
        rows[j] = i;
    }
    if (count > 4) {
        rows[1] = INT32_MIN;
        rows[3] = total;
    }
    free(u);
    return rows;
}

static void check_gather(struct ssa_device *dev, int count, int total, int width)
{
    const size_t w = (size_t)width, n = (size_t)count * w, m = (size_t)total * w;
    int32_t *rows = make_rows(count, total);
    float *x = test_values(m, 1, -1, 1);
    double *xd = test_doubles(x, m), *want = malloc(n * sizeof *want);
    struct ssa_tensor tx = test_from(dev, x, m), tr = test_from_ints(dev, rows, (size_t)count);
    struct ssa_tensor out = test_new(dev, n);
    oracle_gather_rows(xd, rows, count, total, width, want);
    OK(ssa_gather_rows(dev, &(struct ssa_gather_rows){.x = tx, .rows = tr, .out = out, .count = count,
                                                      .source_rows = total, .width = width}));
    test_compare("out", out, want, n, 0, 0, "gather %d of %d x %d", count, total, width);
    test_free(tx, m);
    test_free(tr, (size_t)count);
    test_free(out, n);
    free(rows);
    free(x);
    free(xd);
    free(want);
}

static void check_scatter(struct ssa_device *dev, int count, int total, int width, int accumulate)
{
    const size_t w = (size_t)width, n = (size_t)count * w, m = (size_t)total * w;
    int32_t *rows = make_rows(count, total);
    float *x = test_values(n, 1, -1, 1), *start = test_values(m, 2, -1, 1);
    double *xd = test_doubles(x, n), *want = test_doubles(start, m);
    struct ssa_tensor tx = test_from(dev, x, n), tr = test_from_ints(dev, rows, (size_t)count);
    struct ssa_tensor out = test_from(dev, start, m);
    oracle_scatter_rows(xd, rows, count, total, width, accumulate, want);
    OK(ssa_scatter_rows(dev, &(struct ssa_scatter_rows){.x = tx, .rows = tr, .out = out, .count = count,
                                                        .target_rows = total, .width = width,
                                                        .accumulate = accumulate}));
    test_compare("out", out, want, m, 1e-7, 1e-7, "scatter %d into %d x %d, accumulate %d", count, total, width,
                 accumulate);
    test_free(tx, n);
    test_free(tr, (size_t)count);
    test_free(out, m);
    free(rows);
    free(x);
    free(start);
    free(xd);
    free(want);
}

START_TEST(matches_oracle)
{
    static const int shapes[][3] = {{1, 1, 1}, {5, 9, 15}, {16, 16, 16}, {7, 17, 17}, {63, 64, 65}, {300, 1009, 64},
                                    {3, 5, 1009}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const int *s = shapes[i];
            if (!test_fits((size_t)s[1] * (size_t)s[2] * 10))
                continue;
            check_gather(dev, s[0], s[1], s[2]);
            check_scatter(dev, s[0], s[1], s[2], 0);
            check_scatter(dev, s[0], s[1], s[2], 1);
        }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_gather_rows good = {.x = t, .rows = ssa_tensor_as(t, SSA_I32), .out = t, .count = 4, .source_rows = 5, .width = 8};
        REFUSES(gather_rows, good, count, 0, "count is 0");
        REFUSES(gather_rows, good, source_rows, -1, "source_rows is -1");
        REFUSES(gather_rows, good, width, INT32_MAX, "width is 2147483647");
        REFUSES_SMALL(gather_rows, good, x, 40);
        REFUSES_ABSENT(gather_rows, good, rows);
        REFUSES_SMALL(gather_rows, good, out, 32);
        struct ssa_scatter_rows good_scatter = {.x = t, .rows = ssa_tensor_as(t, SSA_I32), .out = t, .count = 4, .target_rows = 5,
                                                .width = 8};
        REFUSES(scatter_rows, good_scatter, count, -1, "count is -1");
        REFUSES(scatter_rows, good_scatter, target_rows, 0, "target_rows is 0");
        REFUSES(scatter_rows, good_scatter, width, 0, "width is 0");
        REFUSES_ABSENT(scatter_rows, good_scatter, x);
        REFUSES_SMALL(scatter_rows, good_scatter, rows, 4);
        REFUSES_SMALL(scatter_rows, good_scatter, out, 40);
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("rows", (const TTest *const[]){matches_oracle, bad_arguments, NULL});
}

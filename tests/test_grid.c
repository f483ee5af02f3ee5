#include "harness.h"
#include "oracle/grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One shape: tables by axis (rows, columns, channels), and a gradient of all elements. */
struct grid_case {
    struct oracle_grid g;
    size_t n, table_n[3];
    float *tables[3], *dout;
    char shape[96];
};

static struct grid_case make_case(const int *s)
{
    const size_t w = (size_t)s[3];
    struct grid_case c = {.g = {0, s[0] * s[1] * s[2], s[0], s[1], s[2], s[3]}};
    c.n = (size_t)c.g.count * w;
    snprintf(c.shape, sizeof c.shape, "%d x %d x %d, width %d", s[0], s[1], s[2], s[3]);
    for (int axis = 0; axis < 3; axis++) {
        c.table_n[axis] = (size_t)s[axis] * w;
        c.tables[axis] = test_values(c.table_n[axis], (uint64_t)axis + 1, -1, 1);
    }
    c.dout = test_values(c.n, 4, -1, 1);
    return c;
}

static void free_case(struct grid_case *c)
{
    for (int axis = 0; axis < 3; axis++)
        free(c->tables[axis]);
    free(c->dout);
}

/* Elements [first, first + count), with the tables that bits of `given` name. */
static void check_fwd(struct ssa_device *dev, const struct grid_case *c, int first, int count, int given)
{
    struct oracle_grid g = c->g;
    double *tables[3] = {NULL}, *want = calloc(c->n, sizeof *want);
    struct ssa_tensor t[3] = {{0}};
    g.first = first;
    g.count = count;
    for (int axis = 0; axis < 3; axis++) {
        if (!(given >> axis & 1))
            continue;
        tables[axis] = test_doubles(c->tables[axis], c->table_n[axis]);
        t[axis] = test_from(dev, c->tables[axis], c->table_n[axis]);
    }
    const size_t n = (size_t)count * (size_t)g.width;
    struct ssa_tensor out = test_new(dev, n);
    oracle_grid_fwd(&g, (const double *const *)tables, want);
    OK(ssa_grid_fwd(dev, &(struct ssa_grid_fwd){.row = t[0], .column = t[1], .channel = t[2], .out = out,
        .first = first, .count = count, .rows = g.rows, .columns = g.columns, .channels = g.channels,
        .width = g.width}));
    test_compare("out", out, want, n, 2e-7, 1e-7, "%s, elements %d to %d, tables %d", c->shape, first, first + count,
                 given);
    for (int axis = 0; axis < 3; axis++) {
        test_free(t[axis], c->table_n[axis]);
        free(tables[axis]);
    }
    test_free(out, n);
    free(want);
}

static struct ssa_grid_bwd backward(const struct oracle_grid *g, struct ssa_tensor dout, const struct ssa_tensor d[3],
                                    int accumulate)
{
    return (struct ssa_grid_bwd){.dout = dout, .drow = d[0], .dcolumn = d[1], .dchannel = d[2], .count = g->count,
                                 .rows = g->rows, .columns = g->columns, .channels = g->channels, .width = g->width,
                                 .accumulate = accumulate};
}

/* The oracle starts from what the tensors held. */
static void check_bwd(struct ssa_device *dev, const struct grid_case *c, int count, int accumulate)
{
    struct oracle_grid g = c->g;
    double *dout = test_doubles(c->dout, c->n), *want[3];
    struct ssa_tensor d[3], alone, none[3] = {{0}}, t = test_from(dev, c->dout, c->n);
    g.count = count;
    for (int axis = 0; axis < 3; axis++) {
        want[axis] = calloc(c->table_n[axis], sizeof **want);
        d[axis] = test_new(dev, c->table_n[axis]);
        for (size_t i = 0; accumulate && i < c->table_n[axis]; i++)
            want[axis][i] = axis + 1;
        if (accumulate)
            OK(ssa_tensor_fill(d[axis], (float)(axis + 1), c->table_n[axis]));
    }
    oracle_grid_bwd(&g, dout, want);
    struct ssa_grid_bwd a = backward(&g, t, d, accumulate);
    OK(ssa_grid_bwd(dev, &a));
    for (int axis = 0; axis < 3; axis++)
        test_compare("a table's gradient", d[axis], want[axis], c->table_n[axis], 2e-5, 1e-5,
                     "axis %d of %s, %d elements, accumulate %d", axis, c->shape, count, accumulate);
    for (int axis = 0; axis < 3; axis++) { /* one at a time, the same bits */
        none[axis] = alone = test_new(dev, c->table_n[axis]);
        a = backward(&g, t, none, accumulate);
        if (accumulate)
            OK(ssa_tensor_fill(alone, (float)(axis + 1), c->table_n[axis]));
        OK(ssa_grid_bwd(dev, &a));
        test_same_bits("a table's gradient", alone, d[axis], c->table_n[axis]);
        none[axis] = (struct ssa_tensor){0};
        test_free(alone, c->table_n[axis]);
        test_free(d[axis], c->table_n[axis]);
        free(want[axis]);
    }
    test_free(t, c->n);
    free(dout);
}

START_TEST(matches_oracle)
{
    static const int shapes[][4] = {{1, 1, 1, 1},  {2, 3, 3, 4},   {5, 7, 3, 17},   {4, 4, 1, 16}, {3, 1, 5, 65},
                                    {1, 9, 2, 64}, {16, 8, 3, 63}, {13, 11, 2, 257}, {32, 32, 3, 8}, {2, 2, 3, 1009}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct grid_case c = make_case(shapes[i]);
        const int all = c.g.count;
        FOR_DEVICES (dev) {
            for (int given = 0; given < 8; given++)
                check_fwd(dev, &c, 0, all, given);
            check_fwd(dev, &c, all / 2, all - all / 2, 7);
            check_fwd(dev, &c, all - 1, 1, 7);
            check_fwd(dev, &c, 0, all - all / 3, 7);
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                check_bwd(dev, &c, all, accumulate);
                check_bwd(dev, &c, all - all / 3, accumulate);
                check_bwd(dev, &c, 1, accumulate);
            }
        }
        free_case(&c);
    }
}
END_TEST

/* The gradient of sum(dout o out) against central differences of the double-precision forward, which is linear. */
START_TEST(finite_differences)
{
    static const int shape[] = {3, 4, 2, 5};
    struct grid_case c = make_case(shape);
    double *tables[3], *dout = test_doubles(c.dout, c.n), *out = malloc(c.n * sizeof *out), *want[3];
    for (int axis = 0; axis < 3; axis++) {
        tables[axis] = test_doubles(c.tables[axis], c.table_n[axis]);
        want[axis] = malloc(c.table_n[axis] * sizeof **want);
    }
    for (int axis = 0; axis < 3; axis++)
        SLOPES(want[axis], tables[axis], c.table_n[axis], 0.5,
               oracle_grid_fwd(&c.g, (const double *const *)tables, out), c.n, out[j] * dout[j])
    FOR_DEVICES (dev) {
        struct ssa_tensor d[3], t = test_from(dev, c.dout, c.n);
        for (int axis = 0; axis < 3; axis++)
            d[axis] = test_new(dev, c.table_n[axis]);
        struct ssa_grid_bwd a = backward(&c.g, t, d, 0);
        OK(ssa_grid_bwd(dev, &a));
        for (int axis = 0; axis < 3; axis++) {
            test_compare("a table's gradient", d[axis], want[axis], c.table_n[axis], 1e-5, 1e-5, "axis %d", axis);
            test_free(d[axis], c.table_n[axis]);
        }
        test_free(t, c.n);
    }
    for (int axis = 0; axis < 3; axis++) {
        free(tables[axis]);
        free(want[axis]);
    }
    free(dout);
    free(out);
    free_case(&c);
}
END_TEST

/* Every element is counted, however many: a device whose driver ends loops early refuses (llvmpipe, after 65535). */
START_TEST(many_elements)
{
    enum { COLUMNS = 70000 };
    const double want = COLUMNS;
    FOR_DEVICES (dev) {
        struct ssa_tensor dout = test_new(dev, COLUMNS), row = test_new(dev, 1);
        OK(ssa_tensor_fill(dout, 1, COLUMNS));
        struct ssa_grid_bwd a = {.dout = dout, .drow = row, .count = COLUMNS, .rows = 1, .columns = COLUMNS,
                                 .channels = 1, .width = 1};
        if (dev->loop_limit) {
            FAILS(ssa_grid_bwd(dev, &a), SSA_EUNSUPPORTED, "ends a kernel's loops after 65535 iterations");
        } else if (test_fits(COLUMNS)) {
            OK(ssa_grid_bwd(dev, &a));
            test_compare("drow", row, &want, 1, 0, 0, "%d columns", COLUMNS);
        }
        test_free(dout, COLUMNS);
        test_free(row, 1);
    }
}
END_TEST

/* NaN comes out where it went in, and nowhere else. */
START_TEST(not_a_number)
{
    enum { ROWS = 3, COLUMNS = 2, CHANNELS = 2, N = ROWS * COLUMNS * CHANNELS, WIDTH = 3, AT = 7 };
    FOR_DEVICES (dev) {
        float *x = test_values(N * WIDTH, 1, -1, 1);
        x[AT * WIDTH + 1] = NAN; /* of row 1, column 1, channel 1 */
        struct ssa_tensor d[3] = {test_new(dev, ROWS * WIDTH), test_new(dev, COLUMNS * WIDTH),
                                  test_new(dev, CHANNELS * WIDTH)}, t = test_from(dev, x, N * WIDTH);
        OK(ssa_grid_bwd(dev, &(struct ssa_grid_bwd){.dout = t, .drow = d[0], .dcolumn = d[1], .dchannel = d[2],
            .count = N, .rows = ROWS, .columns = COLUMNS, .channels = CHANNELS, .width = WIDTH}));
        for (int axis = 0; axis < 3; axis++) {
            const size_t count = (axis ? 2 : ROWS) * WIDTH;
            float *got = test_read(d[axis], count);
            for (size_t i = 0; i < count; i++)
                ck_assert_int_eq(isnan(got[i]) != 0, i == WIDTH + 1);
            free(got);
            test_free(d[axis], count);
        }
        test_free(t, N * WIDTH);
        free(x);
    }
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 256), out = test_new(dev, 256);
        struct ssa_grid_fwd good = {.row = t, .column = t, .channel = t, .out = out, .first = 2, .count = 16, .rows = 2,
                                    .columns = 3, .channels = 3, .width = 8};
        OK(ssa_grid_fwd(dev, &good));
        REFUSES(grid_fwd, good, rows, 0, "rows is 0");
        REFUSES(grid_fwd, good, columns, -1, "columns is -1");
        REFUSES(grid_fwd, good, channels, 0, "channels is 0");
        REFUSES(grid_fwd, good, channels, INT32_MAX, "a grid of 2 rows, 3 columns and 2147483647 channels");
        REFUSES(grid_fwd, good, width, 0, "width is 0");
        REFUSES(grid_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(grid_fwd, good, count, 0, "count is 0");
        REFUSES(grid_fwd, good, count, 17, "elements [2, 19) of a grid of 18");
        REFUSES(grid_fwd, good, count, INT32_MAX, "elements [2, 2147483649) of a grid of 18");
        REFUSES(grid_fwd, good, first, -1, "elements [-1, 15) of a grid of 18");
        REFUSES(grid_fwd, good, first, 18, "elements [18, 34) of a grid of 18");
        REFUSES_SMALL(grid_fwd, good, row, 16);
        REFUSES_SMALL(grid_fwd, good, column, 24);
        REFUSES_SMALL(grid_fwd, good, channel, 24);
        REFUSES_SMALL(grid_fwd, good, out, 128);
        REFUSES_ABSENT(grid_fwd, good, out);
        struct ssa_grid_bwd good_bwd = {.dout = t, .drow = out, .count = 18, .rows = 2, .columns = 3, .channels = 3,
                                        .width = 8};
        OK(ssa_grid_bwd(dev, &good_bwd));
        REFUSES(grid_bwd, good_bwd, rows, -2, "rows is -2");
        REFUSES(grid_bwd, good_bwd, columns, 0, "columns is 0");
        REFUSES(grid_bwd, good_bwd, width, 0, "width is 0");
        REFUSES(grid_bwd, good_bwd, count, 0, "count is 0");
        REFUSES(grid_bwd, good_bwd, count, 19, "elements [0, 19) of a grid of 18");
        REFUSES_ABSENT(grid_bwd, good_bwd, dout);
        REFUSES_SMALL(grid_bwd, good_bwd, dout, 144);
        REFUSES_SMALL(grid_bwd, good_bwd, drow, 16);
        test_free(t, 256);
        test_free(out, 256);
    }
}
END_TEST

int main(void)
{
    return test_run("grid", (const TTest *const[]){matches_oracle, finite_differences, many_elements, not_a_number,
                                                   bad_arguments, NULL});
}

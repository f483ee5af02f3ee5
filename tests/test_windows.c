/* Windows of a grid, and the bias of attention in them: against the oracle, against numbers that were worked out
 * elsewhere, and as attention takes them. */
#include "harness.h"
#include "oracle/windows.h"

#include "ssacl/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- windows ---- */

static void check_windows(struct ssa_device *dev, const struct oracle_windows *s)
{
    const size_t n = (size_t)s->batch * (size_t)s->rows * (size_t)s->columns * (size_t)s->width;
    float *x = test_values(n, 1, -1, 1);
    double *xd = test_doubles(x, n), *want = malloc(n * sizeof *want);
    struct ssa_tensor tx = test_from(dev, x, n), out = test_new(dev, n), back = test_new(dev, n);
    struct ssa_windows a = {.x = tx, .out = out, .batch = s->batch, .rows = s->rows, .columns = s->columns,
        .width = s->width, .window = s->window, .shift = s->shift, .by_columns = s->by_columns, .inverse = s->inverse};
    oracle_windows(s, xd, want);
    OK(ssa_windows(dev, &a));
    test_compare("out", out, want, n, 0, 0, "%d grids of %d x %d x %d, windows of %d, shift %d, by columns %d, inverse "
                 "%d", s->batch, s->rows, s->columns, s->width, s->window, s->shift, s->by_columns, s->inverse);
    a.x = out;
    a.out = back;
    a.inverse = !s->inverse;
    OK(ssa_windows(dev, &a));
    test_compare("back", back, xd, n, 0, 0, "%d x %d, windows of %d, shift %d", s->rows, s->columns, s->window,
                 s->shift);
    test_free(tx, n);
    test_free(out, n);
    test_free(back, n);
    free(x);
    free(xd);
    free(want);
}

START_TEST(windows_match_oracle)
{
    static const struct oracle_windows shapes[] = {
        {.batch = 1, .rows = 1, .columns = 1, .width = 1, .window = 1}, {3, 4, 4, 1, 2, 1, 0, 0},
        {2, 14, 14, 31, 7, 3, 0, 0}, {2, 6, 9, 17, 3, 2, 0, 0}, {1, 8, 4, 65, 4, 0, 0, 0}, {5, 2, 2, 16, 2, 0, 1, 0},
        {2, 6, 10, 33, 2, 0, 1, 0}, {1, 15, 5, 7, 5, 4, 1, 0}, {1, 13, 13, 64, 13, 6, 0, 0},
        {2, 3, 5, 129, 1, 0, 0, 0}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
            struct oracle_windows s = shapes[i / 2];
            s.inverse = i % 2;
            check_windows(dev, &s);
        }
}
END_TEST

/* Tokens of a grid of 4, windows of 2, shift 1; and cells as patch merging joins them. */
START_TEST(windows_by_hand)
{
    static const double shifted[] = {5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0};
    static const double cells[] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
    float x[16];
    for (int i = 0; i < 16; i++)
        x[i] = (float)i;
    FOR_DEVICES (dev) {
        struct ssa_tensor tx = test_from(dev, x, 16), out = test_new(dev, 16);
        struct ssa_windows a = {.x = tx, .out = out, .batch = 1, .rows = 4, .columns = 4, .width = 1, .window = 2,
                                .shift = 1};
        OK(ssa_windows(dev, &a));
        test_compare("out", out, shifted, 16, 0, 0, "shifted");
        a.shift = 0;
        a.by_columns = 1;
        OK(ssa_windows(dev, &a));
        test_compare("out", out, cells, 16, 0, 0, "cells");
        test_free(tx, 16);
        test_free(out, 16);
    }
}
END_TEST

/* ---- bias ---- */

struct bias_sizes {
    size_t table, pairs, windows; /* windows: of `out` */
};
static struct bias_sizes sizes_of(const struct oracle_windows *s)
{
    const size_t p = (size_t)s->window, span = 2 * p - 1, heads = (size_t)s->width;
    return (struct bias_sizes){span * span * heads, heads * p * p * p * p,
                               s->shift ? (size_t)(s->rows * s->columns) / (p * p) : 1};
}

static void check_bias(struct ssa_device *dev, const struct oracle_windows *s, float apart)
{
    const struct bias_sizes size = sizes_of(s);
    const size_t n = size.windows * size.pairs;
    float *table = test_values(size.table, 1, -1, 1);
    double *exact = test_doubles(table, size.table), *want = malloc(n * sizeof *want);
    struct ssa_tensor t = test_from(dev, table, size.table), out = test_new(dev, n);
    oracle_window_bias_fwd(s, apart < 0 ? (double)apart : -100, exact, want);
    OK(ssa_window_bias_fwd(dev, &(struct ssa_window_bias_fwd){.table = t, .out = out, .rows = s->rows,
        .columns = s->columns, .window = s->window, .shift = s->shift, .heads = s->width, .apart = apart}));
    test_compare("out", out, want, n, 0, 1e-7, "%d x %d, windows of %d, shift %d, heads %d", s->rows, s->columns,
                 s->window, s->shift, s->width);
    test_free(t, size.table);
    test_free(out, n);
    free(table);
    free(exact);
    free(want);
}

static void check_bias_bwd(struct ssa_device *dev, const struct oracle_windows *s, int accumulate)
{
    const struct bias_sizes size = sizes_of(s);
    float *dout = test_values(size.pairs, 2, -1, 1), *start = test_values(size.table, 3, -1, 1);
    double *exact = test_doubles(dout, size.pairs), *want = test_doubles(start, size.table);
    struct ssa_tensor d = test_from(dev, dout, size.pairs);
    struct ssa_tensor dtable = accumulate ? test_from(dev, start, size.table) : test_new(dev, size.table);
    if (!accumulate)
        memset(want, 0, size.table * sizeof *want);
    oracle_window_bias_bwd(s, exact, want);
    OK(ssa_window_bias_bwd(dev, &(struct ssa_window_bias_bwd){.dout = d, .dtable = dtable, .window = s->window,
        .heads = s->width, .accumulate = accumulate}));
    test_compare("dtable", dtable, want, size.table, 1e-6 * s->window, 1e-6, "windows of %d, heads %d, accumulate %d",
                 s->window, s->width, accumulate);
    test_free(d, size.pairs);
    test_free(dtable, size.table);
    free(dout);
    free(start);
    free(exact);
    free(want);
}

START_TEST(bias_matches_oracle)
{
    static const struct oracle_windows shapes[] = { /* width: heads */
        {.rows = 1, .columns = 1, .width = 1, .window = 1}, {.rows = 4, .columns = 4, .width = 2, .window = 2},
        {.rows = 4, .columns = 4, .width = 2, .window = 2, .shift = 1},
        {.rows = 14, .columns = 7, .width = 3, .window = 7},
        {.rows = 21, .columns = 14, .width = 3, .window = 7, .shift = 3},
        {.rows = 3, .columns = 9, .width = 5, .window = 3, .shift = 2},
        {.rows = 17, .columns = 17, .width = 1, .window = 17, .shift = 8}};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            if (!test_fits(10 * sizes_of(&shapes[i]).windows * sizes_of(&shapes[i]).pairs))
                continue;
            check_bias(dev, &shapes[i], 0);
            check_bias(dev, &shapes[i], i % 2 ? -INFINITY : -3);
            check_bias_bwd(dev, &shapes[i], (int)i % 2);
            check_bias_bwd(dev, &shapes[i], 0);
        }
}
END_TEST

/* The index of windows of 2, whose rows are queries, and which positions of the four shifted windows of a grid of 4 see
 * each other. */
START_TEST(bias_by_hand)
{
    static const int index[16] = {4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4};
    static const int region[4][4] = {{0, 0, 0, 0}, {1, 2, 1, 2}, {3, 3, 6, 6}, {4, 5, 7, 8}};
    float table[9];
    double want[64];
    for (int i = 0; i < 9; i++)
        table[i] = (float)i;
    for (int i = 0; i < 64; i++)
        want[i] = index[i % 4 * 4 + i / 4 % 4] - (region[i / 16][i / 4 % 4] != region[i / 16][i % 4] ? 100 : 0);
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_from(dev, table, 9), out = test_new(dev, 64);
        OK(ssa_window_bias_fwd(dev, &(struct ssa_window_bias_fwd){.table = t, .out = out, .rows = 4, .columns = 4,
            .window = 2, .shift = 1, .heads = 1}));
        test_compare("out", out, want, 64, 0, 0, "by hand");
        test_free(t, 9);
        test_free(out, 64);
    }
}
END_TEST

/* The gradient is the adjoint: <fwd(t), d> = <t, bwd(d)>, along random directions. */
START_TEST(bias_adjoint)
{
    const struct oracle_windows s = {.rows = 15, .columns = 10, .width = 2, .window = 5};
    const struct bias_sizes size = sizes_of(&s);
    float *table = test_values(size.table, 4, -1, 1), *d = test_values(size.pairs, 5, -1, 1);
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_from(dev, table, size.table), out = test_new(dev, size.pairs);
        struct ssa_tensor td = test_from(dev, d, size.pairs), dt = test_new(dev, size.table);
        double left = 0, right = 0;
        OK(ssa_window_bias_fwd(dev, &(struct ssa_window_bias_fwd){.table = t, .out = out, .rows = 15, .columns = 10,
            .window = 5, .heads = 2}));
        OK(ssa_window_bias_bwd(dev, &(struct ssa_window_bias_bwd){.dout = td, .dtable = dt, .window = 5, .heads = 2}));
        float *y = test_read(out, size.pairs), *g = test_read(dt, size.table);
        for (size_t i = 0; i < size.pairs; i++)
            left += (double)y[i] * (double)d[i];
        for (size_t i = 0; i < size.table; i++)
            right += (double)table[i] * (double)g[i];
        ck_assert_double_eq_tol(left, right, 1e-4 * sqrt((double)size.pairs));
        free(y);
        free(g);
        test_free(t, size.table);
        test_free(out, size.pairs);
        test_free(td, size.pairs);
        test_free(dt, size.table);
    }
    free(table);
    free(d);
}
END_TEST

/* ---- attention in windows, against numbers worked out with numpy ---- */

enum { HEADS = 2, D = 4, MOST = 64 }; /* heads of 2, padded to the 4 that attention takes */

struct golden {
    int side, window, shift, count, keys[4]; /* of a window; count 0: all */
    double first[4], out, dq, dk, dv, dtable; /* of position 0, and checksums */
};
static const struct golden goldens[] = {
    {4, 2, 1, 0, {0}, {-.198669, .644218, .999574, .598472}, -4.779262, -1.347737, 0.278303, -4.326419, -0.102879},
    {4, 2, 1, 2, {0, 3}, {-.198669, .644218, .999574, .598472}, 0.680178, -0.218265, -1.031194, 2.951867, 0.058548},
    {8, 4, 2, 4, {1, 4, 10, 15}, {-.182168, .650589, .571936, -.250727}, -2.326691, -0.422212, -0.698892, 6.645951,
     0.426568}};

/* [positions, heads, 2] as c sin(a i + b), with zeros for the other two of a head. */
static void fill_heads(float *x, int positions, double a, double b, double c)
{
    memset(x, 0, (size_t)positions * HEADS * D * sizeof *x);
    for (int i = 0; i < positions * HEADS * 2; i++)
        x[i / 2 * D + i % 2] = (float)(c * sin(a * i + b));
}

static double checksum(const float *x, int count, int each)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += (double)x[i / each * (each == 2 ? D : each) + i % each] * sin(0.11 * i + 0.5);
    return sum;
}

struct golden_run {
    struct ssa_device *dev;
    const struct golden *g;
    int positions, area, windows;
    struct ssa_plan plan;
    struct ssa_tensor plan_data, table, bias, dbias, dtable;
    struct ssa_attention_bwd b;
};

/* A tensor of heads, in the order of windows or back. */
static struct ssa_tensor turned(const struct golden_run *r, struct ssa_tensor x, int inverse)
{
    const size_t count = (size_t)r->positions * HEADS * D;
    struct ssa_tensor out = test_new(r->dev, count);
    OK(ssa_windows(r->dev, &(struct ssa_windows){.x = x, .out = out, .batch = 1, .rows = r->g->side,
        .columns = r->g->side, .width = HEADS * D, .window = r->g->window, .shift = r->g->shift, .inverse = inverse}));
    return out;
}

static struct ssa_tensor heads_in_windows(const struct golden_run *r, double a, double b, double c)
{
    float x[MOST * HEADS * D];
    fill_heads(x, r->positions, a, b, c);
    struct ssa_tensor there = test_from(r->dev, x, (size_t)r->positions * HEADS * D), here = turned(r, there, 0);
    test_free(there, (size_t)r->positions * HEADS * D);
    return here;
}

static void draw_golden(struct golden_run *r)
{
    const struct golden *g = r->g;
    const int32_t starts[2] = {0, g->count}, first = 0, end = 1;
    int32_t order[4];
    for (int i = 0; i < g->count; i++)
        order[i] = g->keys[i];
    OK(g->count ? ssa_plan_from_layout(&r->plan, &(struct ssa_layout){.length = r->area, .block = r->area, .slices = 1,
                      .order = order, .slice_start = starts, .first = &first, .end = &end})
                : ssa_plan_draw(&r->plan, &(struct ssa_sample){.length = r->area}));
    OK(ssa_plan_upload(r->dev, &r->plan, &r->plan_data));
}

static void start_golden(struct golden_run *r)
{
    const struct golden *g = r->g;
    const size_t span = (size_t)(2 * g->window - 1), n = (size_t)r->area, pairs = HEADS * n * n;
    const size_t count = (size_t)r->positions * HEADS * D;
    float table[49 * HEADS];
    for (size_t i = 0; i < span * span * HEADS; i++)
        table[i] = (float)(0.5 * sin(0.37 * (double)i + 0.3));
    draw_golden(r);
    r->table = test_from(r->dev, table, span * span * HEADS);
    r->dtable = test_new(r->dev, span * span * HEADS);
    r->bias = test_new(r->dev, (size_t)r->windows * pairs);
    r->dbias = test_new(r->dev, pairs);
    r->b = (struct ssa_attention_bwd){.attention = {.q = heads_in_windows(r, 0.7, 0.1, 2),
        .k = heads_in_windows(r, 1.3, 0.4, 2), .v = heads_in_windows(r, 0.9, -0.2, 1), .out = test_new(r->dev, count),
        .lse = test_new(r->dev, (size_t)r->positions * HEADS), .plan = &r->plan, .plan_data = r->plan_data,
        .batch = r->windows, .keys = r->area, .heads = HEADS, .width = D, .scale = (float)(1 / sqrt(2)),
        .bias = {r->bias, pairs, n * n, 1, n, r->windows}}, .dout = heads_in_windows(r, 0.3, 0.2, 1),
        .dq = test_new(r->dev, count), .dk = test_new(r->dev, count), .dv = test_new(r->dev, count),
        .dbias = {r->dbias, 0, n * n, 1, n, 0}};
    OK(ssa_window_bias_fwd(r->dev, &(struct ssa_window_bias_fwd){.table = r->table, .out = r->bias, .rows = g->side,
        .columns = g->side, .window = g->window, .shift = g->shift, .heads = HEADS}));
}

static void check_turned(const struct golden_run *r, struct ssa_tensor x, double want, const char *name)
{
    const size_t count = (size_t)r->positions * HEADS * D;
    struct ssa_tensor back = turned(r, x, 1);
    float *values = test_read(back, count);
    const double got = checksum(values, r->positions * HEADS * 2, 2);
    ck_assert_msg(fabs(got - want) < 1e-4, "side %d, %d keys: checksum of %s %.6f, must be %.6f", r->g->side,
                  r->g->count, name, got, want);
    for (int i = 0; i < 4 && !strcmp(name, "out"); i++)
        ck_assert_double_eq_tol((double)values[i / 2 * D + i % 2], r->g->first[i], 2e-5);
    free(values);
    test_free(back, count);
    test_free(x, count);
}

static void check_golden(struct ssa_device *dev, const struct golden *g)
{
    struct golden_run r = {.dev = dev, .g = g, .positions = g->side * g->side, .area = g->window * g->window,
                           .windows = g->side * g->side / (g->window * g->window)};
    const size_t entries = (size_t)(2 * g->window - 1) * (size_t)(2 * g->window - 1) * HEADS;
    const size_t pairs = HEADS * (size_t)r.area * (size_t)r.area;
    start_golden(&r);
    OK(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){r.b.attention}));
    OK(ssa_attention_bwd(dev, &r.b));
    OK(ssa_window_bias_bwd(dev, &(struct ssa_window_bias_bwd){.dout = r.dbias, .dtable = r.dtable, .window = g->window,
                                                              .heads = HEADS}));
    float *dtable = test_read(r.dtable, entries);
    ck_assert_double_eq_tol(checksum(dtable, (int)entries, HEADS * 100), g->dtable, 1e-4);
    free(dtable);
    check_turned(&r, r.b.attention.out, g->out, "out");
    check_turned(&r, r.b.dq, g->dq, "dq");
    check_turned(&r, r.b.dk, g->dk, "dk");
    check_turned(&r, r.b.dv, g->dv, "dv");
    test_free(r.b.attention.q, (size_t)r.positions * HEADS * D);
    test_free(r.b.attention.k, (size_t)r.positions * HEADS * D);
    test_free(r.b.attention.v, (size_t)r.positions * HEADS * D);
    test_free(r.b.dout, (size_t)r.positions * HEADS * D);
    test_free(r.b.attention.lse, (size_t)r.positions * HEADS);
    test_free(r.table, entries);
    test_free(r.dtable, entries);
    test_free(r.bias, (size_t)r.windows * pairs);
    test_free(r.dbias, pairs);
    ssa_buffer_destroy(r.plan_data.buffer);
    ssa_plan_finish(&r.plan);
}

START_TEST(attention_in_windows)
{
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)
            check_golden(dev, &goldens[i]);
}
END_TEST

/* ---- bad arguments ---- */

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64), u = test_new(dev, 64);
        struct ssa_windows good = {.x = t, .out = u, .batch = 1, .rows = 4, .columns = 8, .width = 2, .window = 2,
                                   .shift = 1};
        OK(ssa_tensor_fill(t, 0, 64));
        OK(ssa_windows(dev, &good));
        REFUSES(windows, good, batch, 0, "batch is 0");
        REFUSES(windows, good, rows, -4, "rows is -4");
        REFUSES(windows, good, columns, 0, "columns is 0");
        REFUSES(windows, good, width, 0, "width is 0");
        REFUSES(windows, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(windows, good, window, 3, "windows of 3 do not divide a grid of 4 x 8");
        REFUSES(windows, good, shift, 2, "shift is 2, must be in [0, 2)");
        REFUSES(windows, good, shift, -1, "shift is -1");
        REFUSES(windows, good, columns, 1 << 30, "a grid of 4 x 1073741824");
        REFUSES_ABSENT(windows, good, x);
        REFUSES_ABSENT(windows, good, out);
        REFUSES_SMALL(windows, good, x, 64);
        REFUSES_SMALL(windows, good, out, 64);
        struct ssa_window_bias_fwd fwd = {.table = t, .out = u, .rows = 4, .columns = 4, .window = 2, .shift = 1,
                                          .heads = 1};
        OK(ssa_window_bias_fwd(dev, &fwd));
        REFUSES(window_bias_fwd, fwd, heads, 0, "heads is 0");
        REFUSES(window_bias_fwd, fwd, window, 0, "window is 0");
        REFUSES(window_bias_fwd, fwd, window, 129, "window is 129, must be at most 128");
        REFUSES(window_bias_fwd, fwd, heads, INT32_MAX, "heads is 2147483647, with windows of 2");
        REFUSES(window_bias_fwd, fwd, rows, 5, "windows of 2 do not divide a grid of 5 x 4");
        REFUSES(window_bias_fwd, fwd, apart, 1, "apart is 1, must not be positive");
        REFUSES(window_bias_fwd, fwd, apart, NAN, "apart is");
        REFUSES_ABSENT(window_bias_fwd, fwd, table);
        REFUSES_SMALL(window_bias_fwd, fwd, table, 9);
        REFUSES_SMALL(window_bias_fwd, fwd, out, 64);
        struct ssa_window_bias_bwd bwd = {.dout = t, .dtable = u, .window = 2, .heads = 1};
        OK(ssa_window_bias_bwd(dev, &bwd));
        REFUSES(window_bias_bwd, bwd, heads, -1, "heads is -1");
        REFUSES(window_bias_bwd, bwd, window, 0, "window is 0");
        REFUSES_ABSENT(window_bias_bwd, bwd, dout);
        REFUSES_SMALL(window_bias_bwd, bwd, dout, 16);
        REFUSES_SMALL(window_bias_bwd, bwd, dtable, 9);
        test_free(t, 64);
        test_free(u, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("windows", (const TTest *const[]){windows_match_oracle, windows_by_hand, bias_matches_oracle,
                                                      bias_by_hand, bias_adjoint, attention_in_windows, bad_arguments,
                                                      NULL});
}

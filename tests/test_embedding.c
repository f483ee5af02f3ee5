#include "harness.h"
#include "oracle/embedding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One shape; ids cover the vocabulary unevenly, with some outside it on both sides. */
struct embedding_case {
    struct oracle_embedding e;
    int32_t *ids;
    size_t ids_n, n, table_n, positions_n;
    float *table, *positions, *dout;
};

static struct embedding_case make_sum(int rows, int length, int width, int vocabulary, int each, double scale, int dead)
{
    const size_t w = (size_t)width, ids = (size_t)rows * (size_t)each;
    struct embedding_case c = {.ids_n = ids, .n = (size_t)rows * w, .table_n = (size_t)vocabulary * w,
                               .positions_n = (size_t)length * w, .ids = malloc(ids * sizeof *c.ids)};
    float *u = test_values(ids, 5, 0, 1);
    for (size_t i = 0; i < ids; i++)
        c.ids[i] = (int32_t)((float)(vocabulary + 2) * u[i] * u[i]) - 1;
    free(u);
    c.e = (struct oracle_embedding){.ids = c.ids, .rows = rows, .length = length, .width = width,
                                    .vocabulary = vocabulary, .each = each, .scale = scale, .dead = dead};
    c.table = test_values(c.table_n, 6, -1, 1);
    c.positions = test_values(c.positions_n, 7, -1, 1);
    c.dout = test_values(c.n, 8, -1, 1);
    return c;
}

static struct embedding_case make_case(int rows, int length, int width, int vocabulary)
{
    return make_sum(rows, length, width, vocabulary, 1, 1, 0);
}

/* As an argument: what 1 is the default of is left out. */
static int each_of(const struct oracle_embedding *e)
{
    return e->each > 1 ? e->each : 0;
}
static float scale_of(const struct oracle_embedding *e)
{
    return e->scale < 1 || e->scale > 1 ? (float)e->scale : 0;
}

static void free_case(struct embedding_case *c)
{
    free(c->ids);
    free(c->table);
    free(c->positions);
    free(c->dout);
}

static void check_fwd(struct ssa_device *dev, const struct embedding_case *c, bool positions)
{
    const struct oracle_embedding *e = &c->e;
    double *table = test_doubles(c->table, c->table_n), *pos = test_doubles(c->positions, c->positions_n);
    double *want = calloc(c->n, sizeof *want);
    oracle_embedding_fwd(e, table, positions ? pos : NULL, want);
    struct ssa_embedding_fwd a = {
        .ids = test_from_ints(dev, c->ids, c->ids_n), .table = test_from(dev, c->table, c->table_n),
        .out = test_new(dev, c->n), .rows = e->rows, .length = e->length, .width = e->width,
        .vocabulary = e->vocabulary, .each = each_of(e), .scale = scale_of(e), .dead = e->dead,
    };
    if (positions)
        a.positions = test_from(dev, c->positions, c->positions_n);
    OK(ssa_embedding_fwd(dev, &a));
    test_compare("out", a.out, want, c->n, 1e-7 * e->each * fmax(1, fabs(e->scale)), 1e-7,
                 "%d of %d x %d, vocabulary %d, scale %g, dead %d", e->rows, e->each, e->width, e->vocabulary, e->scale,
                 e->dead);
    test_free(a.ids, c->ids_n);
    test_free(a.table, c->table_n);
    test_free(a.positions, c->positions_n);
    test_free(a.out, c->n);
    free(table);
    free(pos);
    free(want);
}

/* Compares dtable and dpositions with the oracle's, which starts from what the tensors held. */
static void check_bwd(struct ssa_device *dev, const struct embedding_case *c, int accumulate)
{
    const struct oracle_embedding *e = &c->e;
    double *dout = test_doubles(c->dout, c->n);
    double *dtable = calloc(c->table_n, sizeof *dtable), *dpositions = calloc(c->positions_n, sizeof *dpositions);
    struct ssa_embedding_bwd a = {
        .ids = test_from_ints(dev, c->ids, c->ids_n), .dout = test_from(dev, c->dout, c->n),
        .dtable = test_new(dev, c->table_n), .dpositions = test_new(dev, c->positions_n), .rows = e->rows,
        .length = e->length, .width = e->width, .vocabulary = e->vocabulary, .accumulate = accumulate,
        .each = each_of(e), .scale = scale_of(e), .dead = e->dead,
    };
    for (size_t i = 0; accumulate && i < c->table_n; i++)
        dtable[i] = 1;
    for (size_t i = 0; accumulate && i < c->positions_n; i++)
        dpositions[i] = 2;
    if (accumulate) {
        OK(ssa_tensor_fill(a.dtable, 1, c->table_n));
        OK(ssa_tensor_fill(a.dpositions, 2, c->positions_n));
    }
    oracle_embedding_bwd(e, dout, dtable, dpositions);
    OK(ssa_embedding_bwd(dev, &a));
    test_compare("dtable", a.dtable, dtable, c->table_n, 2e-5, 1e-5,
                 "%d of %d x %d, vocabulary %d, accumulate %d, scale %g, dead %d", e->rows, e->each, e->width,
                 e->vocabulary, accumulate, e->scale, e->dead);
    test_compare("dpositions", a.dpositions, dpositions, c->positions_n, 2e-5, 1e-5, "%d x %d, length %d", e->rows,
                 e->width, e->length);
    if (!accumulate) { /* one at a time, the same bits */
        struct ssa_tensor dtable1 = test_new(dev, c->table_n), dpositions1 = test_new(dev, c->positions_n);
        struct ssa_embedding_bwd one = a;
        one.dtable = dtable1;
        one.dpositions = (struct ssa_tensor){0};
        OK(ssa_embedding_bwd(dev, &one));
        one.ids = one.dtable = (struct ssa_tensor){0};
        one.dpositions = dpositions1;
        OK(ssa_embedding_bwd(dev, &one));
        test_same_bits("dtable", dtable1, a.dtable, c->table_n);
        test_same_bits("dpositions", dpositions1, a.dpositions, c->positions_n);
        test_free(dtable1, c->table_n);
        test_free(dpositions1, c->positions_n);
    }
    test_free(a.ids, c->ids_n);
    test_free(a.dout, c->n);
    test_free(a.dtable, c->table_n);
    test_free(a.dpositions, c->positions_n);
    free(dout);
    free(dtable);
    free(dpositions);
}

START_TEST(matches_oracle)
{
    static const int shapes[][4] = {{1, 1, 1, 1},     {17, 5, 15, 3},   {64, 16, 16, 65},   {63, 64, 17, 256},
                                    {1009, 100, 64, 37}, {40, 7, 1009, 9}, {300, 300, 65, 1000}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!test_fits((size_t)shapes[i][0] * (size_t)shapes[i][2] * 10))
            continue;
        struct embedding_case c = make_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
        FOR_DEVICES (dev) {
            check_fwd(dev, &c, true);
            check_fwd(dev, &c, false);
            check_bwd(dev, &c, 0);
            check_bwd(dev, &c, 1);
        }
        free_case(&c);
    }
}
END_TEST

/* Several ids a row, some of them twice in it; scaled; with id 0 as padding; and all of these at once. */
START_TEST(sums)
{
    static const struct {
        int rows, length, width, vocabulary, each;
        double scale;
        int dead;
    } shapes[] = {{1, 1, 1, 1, 2, 1, 1},      {1, 1, 1, 1, 1, 1, 1},    {17, 5, 15, 3, 7, 1, 0},
                  {64, 16, 16, 65, 1, 27, 0}, {63, 9, 17, 256, 3, -0.5, 1}, {211, 100, 65, 1153, 9, 1, 1},
                  {37, 7, 257, 25, 3, 0.125, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!test_fits((size_t)(shapes[i].rows * shapes[i].each * shapes[i].width) * 10))
            continue;
        struct embedding_case c = make_sum(shapes[i].rows, shapes[i].length, shapes[i].width, shapes[i].vocabulary,
                                           shapes[i].each, shapes[i].scale, shapes[i].dead);
        FOR_DEVICES (dev) {
            check_fwd(dev, &c, i % 2);
            check_bwd(dev, &c, 0);
            check_bwd(dev, &c, 1);
        }
        free_case(&c);
    }
}
END_TEST

/* dtable against central differences of the loss sum(dout o out) of the double-precision forward. */
START_TEST(finite_differences)
{
    enum { ROWS = 7, WIDTH = 3, VOCABULARY = 5, N = ROWS * WIDTH, TABLE = VOCABULARY * WIDTH };
    const double h = 1e-3;
    struct embedding_case c = make_sum(ROWS, 2, WIDTH, VOCABULARY, 4, 1.5, 1);
    double *table = test_doubles(c.table, TABLE), out[N], dtable[TABLE];
    SLOPES(dtable, table, TABLE, h, oracle_embedding_fwd(&c.e, table, NULL, out), N, out[j] * (double)c.dout[j])
    FOR_DEVICES (dev) {
        struct ssa_embedding_bwd a = {
            .ids = test_from_ints(dev, c.ids, c.ids_n), .dout = test_from(dev, c.dout, N),
            .dtable = test_new(dev, TABLE), .rows = ROWS, .width = WIDTH, .vocabulary = VOCABULARY, .each = 4, .scale = 1.5f, .dead = 1};
        OK(ssa_embedding_bwd(dev, &a));
        test_compare("dtable", a.dtable, dtable, TABLE, 5e-6, 1e-6, "finite differences");
        test_free(a.ids, c.ids_n);
        test_free(a.dout, N);
        test_free(a.dtable, TABLE);
    }
    free(table);
    free_case(&c);
}
END_TEST

/* What a dead row holds, NaN as much as any number, goes nowhere, and its gradient stays what it was. */
START_TEST(dead_row)
{
    enum { ROWS = 5, WIDTH = 19, VOCABULARY = 3, EACH = 2, TABLE = VOCABULARY * WIDTH, N = ROWS * WIDTH };
    static const int32_t ids[ROWS * EACH] = {0, 0, 0, 1, 2, 0, 1, 2, 2, 2};
    float table[TABLE], want[N];
    for (int i = 0; i < TABLE; i++)
        table[i] = i < WIDTH ? NAN : (float)(i / WIDTH);
    for (int i = 0; i < N; i++)
        want[i] = (float)(ids[i / WIDTH * EACH] + ids[i / WIDTH * EACH + 1]);
    FOR_DEVICES (dev) {
        struct ssa_tensor numbers = test_from_ints(dev, ids, ROWS * EACH), t = test_from(dev, table, TABLE);
        struct ssa_tensor out = test_new(dev, N), expected = test_from(dev, want, N), dtable = test_new(dev, TABLE);
        OK(ssa_embedding_fwd(dev, &(struct ssa_embedding_fwd){.ids = numbers, .table = t, .out = out, .rows = ROWS,
                                                              .width = WIDTH, .vocabulary = VOCABULARY, .each = EACH,
                                                              .dead = 1}));
        test_same_bits("out", out, expected, N);
        OK(ssa_tensor_fill(dtable, 3, TABLE));
        OK(ssa_embedding_bwd(dev, &(struct ssa_embedding_bwd){.ids = numbers, .dout = out, .dtable = dtable,
                                                              .rows = ROWS, .width = WIDTH, .vocabulary = VOCABULARY,
                                                              .each = EACH, .dead = 1, .accumulate = 1}));
        float *got = test_read(dtable, TABLE);
        for (int i = 0; i < TABLE; i++) /* id 1: rows of 1 and 3; id 2: of 2, of 3, and twice of 4 */
            ck_assert_float_eq(got[i], 3 + (i < WIDTH ? 0 : i < 2 * WIDTH ? 1 + 3 : 2 + 3 + 4 + 4));
        free(got);
        test_free(numbers, ROWS * EACH);
        test_free(t, TABLE);
        test_free(out, N);
        test_free(expected, N);
        test_free(dtable, TABLE);
    }
}
END_TEST

/* Every row is counted, however many: a device whose driver ends loops early refuses (llvmpipe, after 65535). */
START_TEST(many_rows)
{
    enum { ROWS = 70000 };
    const double want = ROWS;
    FOR_DEVICES (dev) {
        struct ssa_tensor ids = ssa_tensor_as(test_new(dev, ROWS), SSA_I32), dout = test_new(dev, ROWS), table = test_new(dev, 1);
        OK(ssa_tensor_fill(ssa_tensor_as(ids, SSA_F32), 0, ROWS)); /* the same bits as the id 0 */
        OK(ssa_tensor_fill(dout, 1, ROWS));
        struct ssa_embedding_bwd a = {.ids = ids, .dout = dout, .dtable = table, .rows = ROWS, .width = 1,
                                      .vocabulary = 1};
        if (dev->loop_limit) {
            FAILS(ssa_embedding_bwd(dev, &a), SSA_EUNSUPPORTED, "ends a kernel's loops after 65535 iterations");
        } else if (test_fits((size_t)ROWS * 10)) {
            OK(ssa_embedding_bwd(dev, &a));
            test_compare("dtable", table, &want, 1, 0, 0, "%d rows", ROWS);
        }
        test_free(ids, ROWS);
        test_free(dout, ROWS);
        test_free(table, 1);
    }
}
END_TEST

/* Ids at the ends of int32 must not reach memory. */
START_TEST(hostile_ids)
{
    static const int32_t ids[] = {INT32_MIN, -1, 0, 4, 5, INT32_MAX};
    enum { ROWS = 6, WIDTH = 3, VOCABULARY = 5, N = ROWS * WIDTH };
    struct embedding_case c = make_case(ROWS, 2, WIDTH, VOCABULARY);
    memcpy(c.ids, ids, sizeof ids);
    FOR_DEVICES (dev) {
        check_fwd(dev, &c, false);
        check_bwd(dev, &c, 0);
    }
    free_case(&c);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 64);
        struct ssa_embedding_fwd good = {.ids = ssa_tensor_as(t, SSA_I32), .table = t, .positions = t, .out = t, .rows = 4, .length = 2,
                                         .width = 8, .vocabulary = 5};
        REFUSES(embedding_fwd, good, rows, 0, "rows is 0");
        REFUSES(embedding_fwd, good, width, -8, "width is -8");
        REFUSES(embedding_fwd, good, width, INT32_MAX, "width is 2147483647");
        REFUSES(embedding_fwd, good, vocabulary, 0, "vocabulary is 0");
        REFUSES(embedding_fwd, good, vocabulary, INT32_MAX, "vocabulary is 2147483647");
        REFUSES(embedding_fwd, good, length, 0, "length is 0");
        REFUSES(embedding_fwd, good, each, -1, "each is -1");
        REFUSES(embedding_fwd, good, each, INT32_MAX, "each is 2147483647");
        REFUSES(embedding_fwd, good, each, 30, "ids needs 120");
        REFUSES(embedding_fwd, good, scale, NAN, "scale is nan");
        REFUSES(embedding_fwd, good, scale, INFINITY, "scale is inf");
        REFUSES(embedding_fwd, good, dead, 2, "dead is 2");
        REFUSES_SMALL(embedding_fwd, good, ids, 4);
        REFUSES_SMALL(embedding_fwd, good, table, 40);
        REFUSES_ABSENT(embedding_fwd, good, table);
        REFUSES_SMALL(embedding_fwd, good, positions, 16);
        REFUSES_SMALL(embedding_fwd, good, out, 32);
        struct ssa_embedding_bwd good_bwd = {.ids = ssa_tensor_as(t, SSA_I32), .dout = t, .dtable = t, .dpositions = t, .rows = 4,
                                             .length = 2, .width = 8, .vocabulary = 5};
        REFUSES(embedding_bwd, good_bwd, rows, -1, "rows is -1");
        REFUSES(embedding_bwd, good_bwd, width, 0, "width is 0");
        REFUSES(embedding_bwd, good_bwd, vocabulary, -2, "vocabulary is -2");
        REFUSES(embedding_bwd, good_bwd, length, -1, "length is -1");
        REFUSES(embedding_bwd, good_bwd, each, -1, "each is -1");
        REFUSES(embedding_bwd, good_bwd, each, 30, "ids needs 120");
        REFUSES(embedding_bwd, good_bwd, scale, -INFINITY, "scale is -inf");
        REFUSES(embedding_bwd, good_bwd, dead, -1, "dead is -1");
        REFUSES_ABSENT(embedding_bwd, good_bwd, ids);
        REFUSES_SMALL(embedding_bwd, good_bwd, dout, 32);
        REFUSES_SMALL(embedding_bwd, good_bwd, dtable, 40);
        REFUSES_SMALL(embedding_bwd, good_bwd, dpositions, 16);
        test_free(t, 64);
    }
}
END_TEST

int main(void)
{
    return test_run("embedding", (const TTest *const[]){matches_oracle, sums, finite_differences, dead_row, many_rows,
                                                        hostile_ids, bad_arguments, NULL});
}

#include "harness.h"
#include "oracle/embedding.h"

#include <stdlib.h>
#include <string.h>

/* One shape; ids cover the vocabulary unevenly, with some outside it on both sides. */
struct embedding_case {
    struct oracle_embedding e;
    int32_t *ids;
    size_t n, table_n, positions_n;
    float *table, *positions, *dout;
};

static struct embedding_case make_case(int rows, int length, int width, int vocabulary)
{
    const size_t w = (size_t)width;
    struct embedding_case c = {.n = (size_t)rows * w, .table_n = (size_t)vocabulary * w,
                               .positions_n = (size_t)length * w, .ids = malloc((size_t)rows * sizeof *c.ids)};
    float *u = test_values((size_t)rows, 5, 0, 1);
    for (int t = 0; t < rows; t++)
        c.ids[t] = (int32_t)((float)(vocabulary + 2) * u[t] * u[t]) - 1;
    free(u);
    c.e = (struct oracle_embedding){c.ids, rows, length, width, vocabulary};
    c.table = test_values(c.table_n, 6, -1, 1);
    c.positions = test_values(c.positions_n, 7, -1, 1);
    c.dout = test_values(c.n, 8, -1, 1);
    return c;
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
        .ids = test_from_ints(dev, c->ids, (size_t)e->rows), .table = test_from(dev, c->table, c->table_n),
        .out = test_new(dev, c->n), .rows = e->rows, .length = e->length, .width = e->width,
        .vocabulary = e->vocabulary,
    };
    if (positions)
        a.positions = test_from(dev, c->positions, c->positions_n);
    OK(ssa_embedding_fwd(dev, &a));
    test_compare("out", a.out, want, c->n, 1e-7, 1e-7, "%d x %d, vocabulary %d", e->rows, e->width, e->vocabulary);
    test_free(a.ids, (size_t)e->rows);
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
        .ids = test_from_ints(dev, c->ids, (size_t)e->rows), .dout = test_from(dev, c->dout, c->n),
        .dtable = test_new(dev, c->table_n), .dpositions = test_new(dev, c->positions_n), .rows = e->rows,
        .length = e->length, .width = e->width, .vocabulary = e->vocabulary, .accumulate = accumulate,
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
    test_compare("dtable", a.dtable, dtable, c->table_n, 2e-5, 1e-5, "%d x %d, vocabulary %d, accumulate %d", e->rows,
                 e->width, e->vocabulary, accumulate);
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
    test_free(a.ids, (size_t)e->rows);
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
    return test_run("embedding", (const TTest *const[]){matches_oracle, many_rows, hostile_ids, bad_arguments, NULL});
}

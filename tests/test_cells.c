/* Local sampling in two dimensions: the cells that a draw makes, what of a grid each query sees, and of models. */
#include "harness.h"
#include "ssacl/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the same bits everywhere ---- */

static const struct {
    int rows, columns, channels, high, wide;
    float sigma;
    uint64_t seed, step;
    uint32_t layer, example;
    int cell[36]; /* of each position, numbered row by row */
} known[] = { /* from tests/golden/sample.py */
    {4, 6, 1, 2, 3, 0.5, 7, 1, 3, 2,
     {0, 1, 0, 0, 0, 0, 0, 2, 3, 1, 3, 1, 2, 2, 1, 1, 3, 3, 2, 2, 2, 1, 3, 3}},
    {4, 4, 2, 2, 2, 1.0, 0xfedcba9876543210, 140737488355333, 32767, 4294967295,
     {0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 2, 0, 3, 0, 3, 1, 2, 1, 2, 0, 3, 2, 1, 2, 2, 2, 3, 3, 3, 3, 3, 2}},
    {6, 2, 3, 3, 1, 32.0, 1, 2, 0, 0,
     {0, 2, 2, 0, 3, 3, 1, 1, 2, 1, 0, 0, 2, 0, 0, 0, 1, 1, 1, 2, 2, 3, 0, 1, 3, 3, 2, 1, 3, 3, 2, 0, 3, 2, 1, 3}},
    {3, 4, 1, 1, 2, SSA_NONE, 0, 0, 0, 0,
     {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}},
};

START_TEST(known_cells)
{
    struct ssa_plan plan = {0};
    for (size_t n = 0; n < sizeof known / sizeof *known; n++) {
        const int columns = known[n].columns, channels = known[n].channels, across = columns / known[n].wide;
        struct ssa_sample how = {.kind = SSA_LOCAL, .length = known[n].rows * columns * channels,
                                 .keys = known[n].high * known[n].wide * channels, .rows = known[n].rows,
                                 .columns = columns, .channels = channels, .cell_rows = known[n].high,
                                 .sigma = known[n].sigma, .seed = known[n].seed, .step = known[n].step,
                                 .layer = known[n].layer, .first_example = known[n].example, .per_example = 1};
        int32_t keys[37];
        OK(ssa_plan_draw(&plan, &how));
        for (int i = 0; i < how.length; i++) {
            const int r = i / channels / columns, c = i / channels % columns;
            const int cell = r / known[n].high * across + c / known[n].wide;
            ck_assert_int_eq(ssa_plan_keys(&plan, 0, i, keys), how.keys);
            for (int k = 0; k < how.keys; k++)
                ck_assert_msg(known[n].cell[keys[k]] == cell, "case %zu: query %d, of cell %d, sees key %d, of cell %d",
                              n, i, cell, keys[k], known[n].cell[keys[k]]);
        }
    }
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- what a query sees ---- */

/* A grid of `rows` x `columns` points behind `lead` positions, cells of high x wide. */
static struct ssa_sample sample_of(int rows, int columns, int channels, int lead, int high, int wide, int back)
{
    return (struct ssa_sample){.kind = SSA_LOCAL, .length = lead + rows * columns * channels, .rows = rows,
                               .columns = columns, .channels = channels, .cell_rows = high, .look_back = back,
                               .keys = (1 + back) * high * wide * channels};
}

/* Without a shuffle: the cell of the query, that above it, and what comes before the grid. */
static bool sees(const struct ssa_sample *h, int query, int key)
{
    const int lead = h->length - h->rows * h->columns * h->channels, row = h->columns * h->channels;
    const int wide = h->keys / (1 + h->look_back) / h->cell_rows;
    if (query < lead || key < lead)
        return true;
    query -= lead;
    key -= lead;
    const int band = query / row / h->cell_rows, other = key / row / h->cell_rows;
    return query % row / wide == key % row / wide && (band == other || (h->look_back && band == other + 1));
}

START_TEST(windows_are_cells)
{
    static const struct ssa_sample none = {0};
    const struct ssa_sample how[] = {sample_of(4, 6, 1, 0, 2, 3, 0), sample_of(14, 14, 1, 1, 7, 7, 0),
                                     sample_of(6, 4, 3, 0, 2, 2, 1), sample_of(4, 4, 1, 7, 2, 2, 1),
                                     sample_of(3, 8, 1, 2, 1, 8, 1), sample_of(8, 3, 2, 3, 8, 1, 0), none};
    struct ssa_plan plan = {0};
    for (int n = 0; how[n].length; n++)
        for (int fixed = 0; fixed < 2; fixed++) {
            struct ssa_sample h = how[n];
            int32_t keys[200];
            h.fixed_windows = fixed;
            h.sigma = fixed ? 1 : SSA_NONE;
            OK(ssa_plan_draw(&plan, &h));
            for (int i = 0; i < h.length; i++) {
                int count = ssa_plan_keys(&plan, 0, i, keys), k = 0;
                for (int j = 0; j < h.length; j++)
                    if (sees(&h, i, j))
                        ck_assert_msg(k < count && keys[k++] == j, "grid %d: query %d misses key %d", n, i, j);
                ck_assert_int_eq(k, count);
            }
        }
    ssa_plan_finish(&plan);
}
END_TEST

/* Cells that are not said are those nearest to a square, of two the wider one. */
START_TEST(shapes)
{
    static const struct {
        int rows, columns, keys, high;
    } want[] = {{14, 14, 49, 7}, {14, 14, 28, 2}, {14, 14, 2, 1}, {32, 32, 128, 8}, {7, 7, 7, 1}, {8, 4, 8, 2},
                {8, 2, 8, 4}, {12, 12, 36, 6}, {12, 12, 24, 4}};
    struct ssa_plan chosen = {0}, said = {0};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const int high = want[i].high, wide = want[i].keys / high;
        struct ssa_sample h = sample_of(want[i].rows, want[i].columns, 1, 0, high, wide, 0);
        OK(ssa_plan_draw(&said, &h));
        h.cell_rows = 0;
        OK(ssa_plan_draw(&chosen, &h));
        ck_assert_int_eq(said.block, wide);
        ck_assert_uint_eq(chosen.stride, said.stride);
        ck_assert_mem_eq(chosen.data, said.data, said.stride * sizeof *said.data);
    }
    ssa_plan_finish(&chosen);
    ssa_plan_finish(&said);
}
END_TEST

START_TEST(one_cell_is_dense)
{
    struct ssa_plan dense = {0}, one = {0};
    struct ssa_sample all = {.kind = SSA_DENSE, .length = 37, .own_key = 1};
    OK(ssa_plan_draw(&dense, &all));
    for (int keys = 36; keys <= 37; keys++) { /* without and with what is before the grid */
        struct ssa_sample h = sample_of(6, 6, 1, 1, 0, 0, 0);
        h.own_key = 1;
        h.keys = keys;
        OK(ssa_plan_draw(&one, &h));
        ck_assert_uint_eq(one.stride, dense.stride);
        ck_assert_mem_eq(one.data, dense.data, dense.stride * sizeof *dense.data);
    }
    ssa_plan_finish(&dense);
    ssa_plan_finish(&one);
}
END_TEST

/* ---- frequencies; the seeds are fixed, so a bound once met stays met ---- */

enum { SIDE = 24, CELL = 6, DRAWS = 60 };

/* How often a query sees a key `rows` rows and `columns` columns away; one of many that there are. */
static void seen_by_distance(struct ssa_sample h, double share[SIDE][SIDE])
{
    struct ssa_plan plan = {0};
    int32_t keys[2 * CELL * CELL + 1];
    memset(share, 0, SIDE * sizeof *share);
    for (int t = 0; t < DRAWS; t++) {
        h.step = (uint64_t)t;
        OK(ssa_plan_draw(&plan, &h));
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int count = ssa_plan_keys(&plan, 0, i, keys);
            ck_assert_int_eq(count, h.keys);
            for (int k = 0; k < count; k++)
                share[abs(keys[k] / SIDE - i / SIDE)][abs(keys[k] % SIDE - i % SIDE)]++;
        }
    }
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) /* pairs that are so far from each other */
            share[r][c] /= DRAWS * (double)(SIDE - r) * (SIDE - c) * (r ? 2 : 1) * (c ? 2 : 1);
    ssa_plan_finish(&plan);
}

START_TEST(far_keys_are_rare)
{
    static double share[SIDE][SIDE];
    struct ssa_sample h = sample_of(SIDE, SIDE, 1, 0, CELL, CELL, 0);
    h.sigma = 0.5f;
    seen_by_distance(h, share);
    ck_assert_double_gt(share[0][0], 0.3); /* of as many as a sixteenth of all */
    for (int d = 3; d < SIDE - 3; d += 3) {
        const double rows = share[d][0], columns = share[0][d], nearer[2] = {share[d - 3][0], share[0][d - 3]};
        ck_assert_msg(rows < 0.9 * nearer[0] || nearer[0] < 1e-3, "%d rows away: %g, nearer: %g", d, rows, nearer[0]);
        ck_assert_msg(columns < 0.9 * nearer[1] || nearer[1] < 1e-3, "%d columns away: %g, nearer: %g", d, columns,
                      nearer[1]);
        ck_assert_msg(fabs(rows - columns) < 0.02, "%d away: %g of rows, %g of columns", d, rows, columns);
    }
    ck_assert_double_lt(share[12][0], 0.02);
    ck_assert_double_lt(share[0][12], 0.02);
    /* In one dimension columns are all alike, but for the slice's ends: */
    h.rows = h.columns = h.channels = h.cell_rows = 0;
    seen_by_distance(h, share);
    ck_assert_double_gt(share[0][12], 0.7 * share[0][3]);
}
END_TEST

START_TEST(wide_jitter_is_uniform)
{
    static double share[SIDE][SIDE];
    struct ssa_sample h = sample_of(SIDE, SIDE, 1, 0, CELL, CELL, 0);
    h.sigma = 16 * SIDE / CELL; /* the most */
    seen_by_distance(h, share);
    for (int r = 0; r < SIDE / 2; r++)
        for (int c = 0; c < SIDE / 2; c++)
            ck_assert_msg(fabs(share[r][c] - 1.0 / 16) < 0.008, "%d rows and %d columns away: %g", r, c, share[r][c]);
}
END_TEST

/* With look_back those of all rows but the first cells' see as many, more of them before the query. */
START_TEST(looking_back_looks_up)
{
    struct ssa_plan plan = {0};
    struct ssa_sample h = sample_of(SIDE, SIDE, 1, 0, CELL, CELL / 2, 1);
    double before = 0, after = 0;
    for (int t = 0; t < DRAWS; t++) {
        int32_t keys[CELL * CELL + 1];
        h.step = (uint64_t)t;
        h.sigma = 0.5f;
        OK(ssa_plan_draw(&plan, &h));
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int count = ssa_plan_keys(&plan, 0, i, keys);
            ck_assert_int_eq(count, i < SIDE * CELL ? h.keys / 2 : h.keys);
            for (int k = 0; k < count; k++)
                *(keys[k] <= i ? &before : &after) += 1;
        }
        ck_assert_double_eq(plan.pairs, (double)SIDE * SIDE * h.keys - SIDE * CELL * h.keys / 2);
    }
    ck_assert_double_gt(before, 2 * after);
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- of models ---- */

static const struct ssa_model_config vit = {.family = SSA_VIT, .vit = {.rows = 224, .channels = 3, .patch = 16,
                                            .layers = 2, .heads = 3, .width = 192, .classes = 10}},
    swin = {.family = SSA_SWIN, .swin = {.rows = 224, .channels = 3, .patch = 4, .width = 96, .layers = {2, 2, 6, 2},
                                         .heads = {3}, .window = 14, .classes = 1000}},
    pixels = {.family = SSA_PIXELS, .pixels = {.rows = 32, .columns = 32, .channels = 3, .layers = 2, .heads = 2,
                                               .width = 256}},
    gpt = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 256, .length = 64}};

START_TEST(grids_of_models)
{
    const struct ssa_pattern pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .grid = 1, .per_example = 1};
    struct ssa_pattern p = pattern;
    struct ssa_sample how;
    struct ssa_plan plan = {0};
    for (int l = 0; l < 12; l++) { /* of the last stage's 49 keys a quarter is nearest to a row */
        OK(ssa_model_sample(&swin, &pattern, l, 2, 0, &how));
        ck_assert(how.rows == (l < 10 ? 14 : 7) && how.columns == how.rows && how.channels == 1);
        ck_assert_int_eq(how.keys, l < 10 ? 49 : 7);
        OK(ssa_plan_draw(&plan, &how));
        ck_assert_int_eq(plan.block, 7);
        ck_assert_int_eq(plan.max_keys, how.keys);
    }
    p.ratio = (float)49 / 197;
    p.keep_first = 1;
    OK(ssa_model_sample(&vit, &p, 1, 2, 0, &how));
    ck_assert(how.length == 197 && how.rows == 14 && how.columns == 14 && how.channels == 1 && how.keys == 49);
    OK(ssa_plan_draw(&plan, &how)); /* a patch sees the class token, and maybe itself besides */
    ck_assert_double_ge(plan.pairs, 2 * (196 * 50 + 197));
    ck_assert_double_lt(plan.pairs, 2 * (196 * 51 + 197));
    p = (struct ssa_pattern){.kind = SSA_LOCAL, .ratio = 0.25f, .grid = 1, .look_back = 1, .sigma = 0.5f};
    OK(ssa_model_sample(&pixels, &p, 1, 2, 0, &how));
    ck_assert(how.rows == 32 && how.columns == 32 && how.channels == 3 && how.keys == 768);
    OK(ssa_plan_draw(&plan, &how)); /* cells of 8 x 16 */
    ck_assert_int_eq(plan.block, 48);
    ck_assert_int_eq(plan.slices, 8);
    FAILS(ssa_model_sample(&gpt, &p, 1, 2, 0, &how), SSA_EINVAL, "without grid");
    FAILS(ssa_pattern_sample(&p, 0, 2, 64, 2, &how), SSA_EINVAL, "without grid");
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- bad input ---- */

#define BAD(words, ...) \
    do { \
        struct ssa_sample s = {.kind = SSA_LOCAL, .length = 37, .keys = 12, .rows = 6, .columns = 6}; \
        __VA_ARGS__; \
        FAILS(ssa_plan_draw(&plan, &s), SSA_EINVAL, words); \
        ck_assert_uint_eq(ssa_plan_bound(&s), 0); \
    } while (0)

START_TEST(bad_grids)
{
    struct ssa_plan plan = {0};
    struct ssa_pattern p = {.kind = SSA_LOCAL, .ratio = 0.25f, .grid = 1};
    struct ssa_sample how;
    BAD("rows is 0, columns 6", s.rows = 0);
    BAD("rows is -1", s.rows = -1);
    BAD("rows is 6, columns 0", s.columns = 0);
    BAD("channels -1", s.channels = -1);
    BAD("channels 2: more than the length, 37", s.channels = 2);
    BAD("rows is 0, columns 0, channels 0, cell_rows 2", s.rows = s.columns = 0, s.cell_rows = 2);
    BAD("columns 7, channels 0: more than the length, 37", s.columns = 7);
    BAD("rows is 2147483647", s.rows = s.columns = INT32_MAX);
    BAD("lengths are of sequences in one dimension", s.lengths = (int[]){37});
    BAD("no cell of 10 keys divides a grid of 6 x 6 points of 1", s.keys = 10);
    BAD("no cell of 5 keys", s.keys = 10, s.look_back = 1);
    BAD("no cell of 7 keys divides a grid of 4 x 3 points of 3", s.rows = 4, s.columns = s.channels = 3, s.keys = 7);
    BAD("cells of 12 keys in 4 rows do not divide", s.cell_rows = 4);
    BAD("sigma is 17, must be SSA_NONE or 0 to 16 (16 times the grid, in cells of 2 x 6)", s.sigma = 17,
        s.cell_rows = 2);
    BAD("sigma is nan", s.sigma = NAN);
    ck_assert_ptr_null(plan.data);
    FAILS(ssa_model_sample(&vit, &p, 0, 1, 0, &how), SSA_EINVAL,
          "its cells must divide the grid, 14 x 14; 0.248730964 (49 keys) would do");
    p.grid = 2;
    FAILS(ssa_model_sample(&vit, &p, 0, 1, 0, &how), SSA_EINVAL, "grid is 2");
}
END_TEST

int main(void)
{
    setenv("SSA_TEST_DEVICES", "cpu", 1);
    return test_run("cells", (const TTest *const[]){
                                 known_cells, windows_are_cells, shapes, one_cell_is_dense, far_keys_are_rare,
                                 wide_jitter_is_uniform, looking_back_looks_up, grids_of_models, bad_grids, NULL});
}

/* Plans: what each kind draws, how often, and that every machine draws the same. Needs no OpenCL device. */
#include "harness.h"
#include "plan.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- golden cases of the definition ---- */

static void expect_keys(const struct ssa_plan *plan, int example, int query, int count, const int32_t *want)
{
    int32_t keys[64];
    ck_assert_int_eq(ssa_plan_keys(plan, example, query, keys), count);
    for (int i = 0; i < count; i++)
        ck_assert_msg(keys[i] == want[i], "query %d: key %d is %d, not %d", query, i, keys[i], want[i]);
}

/* A shuffled order of 8 in slices of w, slice b seen by block b; or only the first slice, by everybody. */
static void check_golden(const int32_t *order, int w, int slices, const int32_t *want)
{
    static const int32_t starts[2][5] = {{0, 4}, {0, 2, 4, 6, 8}}, first[4] = {0, 1, 2, 3}, end[4] = {1, 2, 3, 4};
    struct ssa_plan plan = {0};
    struct ssa_layout l = {.length = 8, .block = slices == 1 ? 8 : w, .slices = slices, .order = order,
                           .slice_start = starts[slices != 1], .first = first, .end = end};
    OK(ssa_plan_from_layout(&plan, &l));
    for (int i = 0; i < 8; i++)
        expect_keys(&plan, 0, i, w, want + (slices == 1 ? 0 : i / w * w));
    ck_assert_int_eq(plan.max_keys, w);
    ck_assert_double_eq(plan.pairs, 8.0 * w);
    ssa_plan_finish(&plan);
}

START_TEST(golden)
{
    check_golden((int32_t[]){3, 6, 1, 5, 2, 7, 0, 4}, 4, 1, (int32_t[]){1, 3, 5, 6});
    check_golden((int32_t[]){6, 7, 1, 2, 3, 0, 4, 5}, 4, 1, (int32_t[]){1, 2, 6, 7});
    check_golden((int32_t[]){1, 3, 0, 4, 2, 6, 7, 5}, 2, 4, (int32_t[]){1, 3, 0, 4, 2, 6, 5, 7});
    check_golden((int32_t[]){0, 1, 2, 6, 3, 5, 4, 7}, 2, 4, (int32_t[]){0, 1, 2, 6, 3, 5, 4, 7});
}
END_TEST

START_TEST(layout_of_ones_own)
{
    /* Queries 0-2 see slices 0 and 1, queries 3-5 nothing, query 6 slice 2; position 4 is in no slice. */
    struct ssa_layout l = {.length = 7, .block = 3, .slices = 3, .order = (int32_t[]){9, 5, 0, 3, 6, 2, 1},
                           .slice_start = (int32_t[]){1, 3, 3, 7}, .first = (int32_t[]){0, 2, 2},
                           .end = (int32_t[]){2, 2, 3}, .own_key = 1};
    struct ssa_plan plan = {0};
    OK(ssa_plan_from_layout(&plan, &l));
    expect_keys(&plan, 0, 0, 2, (int32_t[]){0, 5});
    expect_keys(&plan, 0, 1, 3, (int32_t[]){0, 1, 5});
    expect_keys(&plan, 0, 3, 1, (int32_t[]){3});
    expect_keys(&plan, 0, 6, 4, (int32_t[]){1, 2, 3, 6});
    ck_assert_int_eq(plan.max_keys, 4);
    ck_assert_double_eq(plan.pairs, 3 * 2 + 2 + 3 + 4);
    ck_assert_double_eq(plan.pairs_causal, 3 + 2 + 3 + 4);
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- the same bits everywhere ---- */

START_TEST(philox)
{
    static const struct {
        uint64_t key, low, high;
        uint32_t want[4];
    } known[] = { /* the authors' known answers */
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct ssa_philox r = ssa_philox(known[i].key, known[i].low, known[i].high);
        ck_assert_mem_eq(r.v, known[i].want, sizeof r.v);
    }
}
END_TEST

static const struct {
    int n;
    double sigma;
    uint64_t seed, step;
    uint32_t layer, example;
    int32_t order[16];
} known_orders[] = { /* from tests/golden/sample.py */
    {16, -1.0, 0, 0, 0, 0,
     {14, 10, 13, 12, 7, 1, 11, 4, 6, 5, 0, 9, 3, 2, 8, 15}},
    {16, -1.0, 7, 1, 0, 0,
     {4, 10, 0, 14, 12, 2, 13, 11, 1, 6, 9, 15, 5, 7, 8, 3}},
    {16, -1.0, 0xfedcba9876543210, 140737488355333, 32767, 4294967295,
     {2, 12, 6, 9, 10, 3, 4, 13, 1, 15, 14, 0, 11, 7, 8, 5}},
    {16, 2.0, 0, 0, 0, 0,
     {5, 0, 2, 1, 6, 8, 3, 4, 7, 12, 10, 11, 9, 13, 15, 14}},
    {16, 4.0, 7, 1, 0, 0,
     {0, 7, 2, 1, 6, 9, 10, 3, 8, 5, 12, 4, 11, 13, 15, 14}},
    {16, 0.75, 7, 1, 3, 2,
     {0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 11, 10, 12, 13, 14, 15}},
    {16, 256.0, 0xfedcba9876543210, 140737488355333, 32767, 4294967295,
     {6, 15, 5, 13, 7, 8, 1, 3, 2, 9, 0, 11, 4, 12, 10, 14}},
    {5, 1.5, 1, 2, 3, 4,
     {1, 0, 2, 3, 4}},
};

START_TEST(known_draws)
{
    for (size_t i = 0; i < sizeof known_orders / sizeof *known_orders; i++) {
        int32_t order[16];
        OK(ssa_shuffle(order, known_orders[i].n, known_orders[i].sigma, known_orders[i].seed, known_orders[i].step,
                       known_orders[i].layer, known_orders[i].example));
        for (int s = 0; s < known_orders[i].n; s++)
            ck_assert_msg(order[s] == known_orders[i].order[s], "case %zu: order[%d] is %d, not %d", i, s, order[s],
                          known_orders[i].order[s]);
    }
}
END_TEST

/* The plans are those shuffles, cut: known_orders 1 and 4. */
START_TEST(plans_are_cut_shuffles)
{
    struct ssa_plan plan = {0};
    struct ssa_sample how = {.kind = SSA_UNBIASED, .length = 16, .keys = 5, .seed = 7, .step = 1};
    OK(ssa_plan_draw(&plan, &how));
    expect_keys(&plan, 0, 3, 5, (int32_t[]){0, 4, 10, 12, 14});
    how = (struct ssa_sample){.kind = SSA_LOCAL, .length = 16, .keys = 4, .seed = 7, .step = 1};
    OK(ssa_plan_draw(&plan, &how));
    expect_keys(&plan, 0, 0, 4, (int32_t[]){0, 1, 2, 7});
    expect_keys(&plan, 0, 7, 4, (int32_t[]){3, 6, 9, 10});
    expect_keys(&plan, 0, 15, 4, (int32_t[]){11, 13, 14, 15});
    how.keys = 8;
    how.look_back = 1;
    OK(ssa_plan_draw(&plan, &how));
    expect_keys(&plan, 0, 3, 4, (int32_t[]){0, 1, 2, 7});
    expect_keys(&plan, 0, 4, 8, (int32_t[]){0, 1, 2, 3, 6, 7, 9, 10});
    ssa_plan_finish(&plan);
}
END_TEST

/* Sources that stay, each by its own draw (tests/golden/sample.py). */
static const struct {
    int n;
    float ratio;
    uint64_t seed, step;
    uint32_t layer, example;
    int count;
    int32_t keys[16];
} known_sources[] = {
    {23, 0.5f, 0, 0, 0, 0, 14, {1, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 19, 21, 22}},
    {23, 0.25f, 7, 1, 3, 2, 3, {4, 13, 22}},
    {23, 0.3125f, 0xfedcba9876543210, 140737488355333, 32767, 4294967295, 7, {2, 3, 6, 9, 10, 12, 22}},
    {23, 0.015625f, 7, 1, 3, 2, 0, {0}},
};

START_TEST(known_sources_stay)
{
    struct ssa_plan plan = {0};
    for (size_t i = 0; i < sizeof known_sources / sizeof *known_sources; i++) {
        const struct ssa_sample how = {.kind = SSA_UNBIASED, .length = known_sources[i].n, .ratio = known_sources[i].ratio,
            .independent = 1, .per_example = 1, .seed = known_sources[i].seed, .step = known_sources[i].step,
            .layer = known_sources[i].layer, .first_example = known_sources[i].example};
        OK(ssa_plan_draw(&plan, &how));
        for (int query = 0; query < how.length; query += how.length - 1)
            expect_keys(&plan, 0, query, known_sources[i].count, known_sources[i].keys);
    }
    ssa_plan_finish(&plan);
}
END_TEST

START_TEST(no_two_draws_collide)
{
    enum { N = 64, CASES = 6 };
    int32_t order[CASES][N];
    static const struct {
        uint64_t seed, step;
        uint32_t layer, example;
    } c[CASES] = {{1, 1, 1, 1}, {2, 1, 1, 1}, {1, 2, 1, 1}, {1, 1, 2, 1}, {1, 1, 1, 2},
                {1 | (uint64_t)1 << 40, 1, 1, 1}};
    for (double sigma = -1; sigma < 100; sigma += 65) {
        for (int i = 0; i < CASES; i++)
            OK(ssa_shuffle(order[i], N, sigma, c[i].seed, c[i].step, c[i].layer, c[i].example));
        for (int i = 0; i < CASES; i++)
            for (int j = 0; j < i; j++)
                ck_assert_mem_ne(order[i], order[j], sizeof order[i]);
    }
}
END_TEST

/* ---- a plan against its definition, key by key ---- */

struct grid {
    struct ssa_sample how;
    const char *name;
};

/* Positions before a grid, which see and are seen by all. */
static int lead(const struct ssa_sample *h)
{
    return h->rows ? h->length - h->rows * h->columns * (h->channels ? h->channels : 1) : 0;
}

static bool kept(const struct ssa_sample *h, int key)
{
    if (key < lead(h))
        return true;
    for (int i = 0; i < h->keep_count; i++)
        if (h->keep[i] == key)
            return true;
    return false;
}

/* No slice is seen by more runs of blocks than the plan says, but for a common one. */
static void check_runs(const struct ssa_plan *plan, const int32_t *p)
{
    const int32_t *range = p + p[PLAN_RANGE_AT];
    ck_assert(p[PLAN_CELLS] || plan->runs == 1);
    for (int s = p[PLAN_COMMON]; s < p[PLAN_SLICES]; s++) {
        int runs = 0, before = 0;
        for (int b = 0; b < p[PLAN_BLOCKS]; b++) {
            const int sees = range[2 * b] <= s && s < range[2 * b + 1];
            runs += sees && !before;
            before = sees;
        }
        ck_assert_int_le(runs, plan->runs);
    }
}

/* The layout keeps the promises of cl/plan.h. */
static void check_layout(const struct ssa_plan *plan, const int32_t *p, const char *name)
{
    const int32_t *start = p + p[PLAN_SLICE_AT], *source = p + p[PLAN_SOURCE_AT], *range = p + p[PLAN_RANGE_AT];
    const int positions = plan->queries > plan->length ? plan->queries : plan->length;
    char *listed = calloc((size_t)plan->length, 1);
    ck_assert_int_eq(p[PLAN_BLOCK], plan->block);
    ck_assert_int_eq(p[PLAN_BLOCKS], (positions + plan->lack + plan->block - 1) / plan->block);
    ck_assert_int_eq(p[PLAN_LACK], plan->lack);
    ck_assert(plan->lack >= 0 && plan->lack < plan->block);
    check_runs(plan, p);
    ck_assert_int_eq(p[PLAN_RANGE_AT], PLAN_HEADER);
    ck_assert_int_eq(p[PLAN_SLICE_AT], p[PLAN_RANGE_AT] + 2 * p[PLAN_BLOCKS]);
    ck_assert_int_eq(p[PLAN_SOURCE_AT], p[PLAN_SLICE_AT] + p[PLAN_SLICES] + 1);
    ck_assert_int_ge(p[PLAN_OWN_AT], p[PLAN_SOURCE_AT] + start[p[PLAN_SLICES]]);
    ck_assert_uint_eq((size_t)p[PLAN_OWN_AT] + (size_t)positions, plan->stride);
    ck_assert_int_eq(start[0], 0);
    for (int s = 0; s < p[PLAN_SLICES]; s++)
        for (int i = start[s]; i < start[s + 1]; i++) {
            ck_assert_msg(source[i] >= 0 && source[i] < p[PLAN_LENGTH] && source[i] < plan->length,
                          "%s: source %d", name, source[i]);
            ck_assert_msg(i == start[s] || source[i] > source[i - 1], "%s: slice %d is not sorted", name, s);
            ck_assert_msg(!listed[source[i]]++, "%s: %d is listed twice", name, source[i]);
        }
    for (int b = 0; b < p[PLAN_BLOCKS]; b++) {
        ck_assert_int_le(p[PLAN_COMMON], range[2 * b]);
        ck_assert_int_le(range[2 * b], range[2 * b + 1]);
        ck_assert_int_le(range[2 * b + 1], p[PLAN_SLICES]);
        ck_assert_msg(!b || p[PLAN_CELLS] || (range[2 * b] >= range[2 * b - 2] && range[2 * b + 1] >= range[2 * b - 1]),
                      "%s: block %d steps back", name, b);
        ck_assert_msg(b * plan->block - plan->lack < p[PLAN_LENGTH] || range[2 * b] == range[2 * b + 1],
                      "%s: block %d is padding and sees slices", name, b);
    }
    free(listed);
}

/* The least number that is no less than the ratio's part of `others`, by less than a float can tell. */
static int share(float ratio, int others)
{
    int k = 0;
    while (k < (double)ratio * others * (1 - 0x1p-24))
        k++;
    return k;
}

/* How many of the sampled (not kept) keys a query of this kind may see: exactly, or for LOCAL at most. */
static int sampled_keys(const struct ssa_sample *h, int real)
{
    int others = 0, k = h->keys, all = h->length - h->keep_count;
    for (int i = 0; i < real; i++)
        others += !kept(h, i);
    if (h->kind == SSA_DENSE)
        return others;
    if (h->kind == SSA_UNBIASED)
        k = h->ratio > 0 ? share(h->ratio, others) : all ? (h->keys * others + all - 1) / all : 0;
    return k < others ? k : others;
}

static void check_query(const struct grid *g, const int32_t *keys, int count, int query, int real, bool own)
{
    int others = 0, keepers = 0, wanted_keepers = 0;
    bool self = false;
    for (int i = 0; i < count; i++) {
        ck_assert_msg(keys[i] >= 0 && keys[i] < real && (!i || keys[i] > keys[i - 1]), "%s: query %d sees key %d",
                      g->name, query, keys[i]);
        self |= keys[i] == query;
        keepers += kept(&g->how, keys[i]);
        others += !kept(&g->how, keys[i]);
    }
    for (int i = 0; i < real; i++)
        wanted_keepers += kept(&g->how, i);
    if (own && !kept(&g->how, query))
        others--;
    ck_assert_msg(keepers == wanted_keepers, "%s: query %d sees %d of %d kept keys", g->name, query, keepers,
                  wanted_keepers);
    ck_assert_msg(self || !g->how.own_key, "%s: query %d misses its own key", g->name, query);
    int k = query < lead(&g->how) ? real - keepers : sampled_keys(&g->how, real);
    if (g->how.kind == SSA_UNBIASED && g->how.independent) /* any number; all queries have the one set that there is */
        return;
    ck_assert_msg(g->how.kind == SSA_LOCAL ? others <= k : others == k, "%s: query %d sees %d sampled keys, not %d",
                  g->name, query, others, k);
}

static void check_plan(const struct grid *g, const struct ssa_plan *plan)
{
    int32_t *keys = malloc((size_t)(plan->max_keys + 1) * sizeof *keys);
    double pairs = 0, causal = 0;
    const int queries = g->how.queries ? g->how.queries : g->how.length;
    const int first = queries < plan->length ? plan->length - queries : 0; /* the last of the sequence */
    int most = 0, largest = 0;
    ck_assert_int_eq(plan->queries, queries);
    for (int e = 0; e < plan->examples; e++) {
        const int32_t *p = plan->data + (size_t)e * plan->stride;
        int real = g->how.lengths ? g->how.lengths[e] : g->how.length;
        ck_assert_int_eq(p[PLAN_LENGTH], queries > real && !g->how.lengths ? queries : real);
        check_layout(plan, p, g->name);
        ck_assert(p[PLAN_BLOCKS] == plan->blocks && p[PLAN_SLICES] == plan->slices);
        for (int s = 0; s < plan->slices; s++) {
            int size = p[p[PLAN_SLICE_AT] + s + 1] - p[p[PLAN_SLICE_AT] + s];
            largest = size > largest ? size : largest;
        }
        for (int i = 0; i < queries; i++) {
            int at = first + i, own = p[p[PLAN_OWN_AT] + at], count = ssa_plan_keys(plan, e, i, keys);
            ck_assert(own == 0 || (own == 1 && g->how.own_key && at < real));
            if (g->how.lengths && at >= real) {
                ck_assert_int_eq(count, 0);
                continue;
            }
            check_query(g, keys, count, at, real, own);
            pairs += count;
            for (int j = 0; j < count; j++)
                causal += keys[j] <= at;
            most = count - own > most ? count - own : most;
        }
    }
    ck_assert_double_eq(plan->pairs, pairs);
    ck_assert_double_eq(plan->pairs_causal, causal);
    ck_assert_int_eq(plan->max_keys, most);
    ck_assert_int_eq(plan->max_slice, largest);
    ck_assert_uint_eq(plan->stride * (size_t)plan->examples, ssa_plan_bound(&g->how));
    free(keys);
}

static const int some_lengths[] = {37, 0, 1, 100, 64}, some_keep[] = {0, 17, 99}, first_four[] = {0, 1, 2, 3};

static const struct grid grids[] = {
    {{.kind = SSA_DENSE, .length = 100}, "dense"},
    {{.kind = SSA_DENSE, .length = 1}, "dense of one"},
    {{.kind = SSA_DENSE, .length = 100, .batch = 5, .lengths = some_lengths, .own_key = 1}, "dense, lengths"},
    {{.kind = SSA_DENSE, .length = 100, .keep = some_keep, .keep_count = 3}, "dense, keep"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 25}, "unbiased"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 25, .own_key = 1}, "unbiased, own"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 1, .own_key = 1}, "unbiased, one key"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 100, .own_key = 1}, "unbiased, all keys"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 25, .batch = 3, .per_example = 1}, "unbiased, per example"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 25, .batch = 5, .lengths = some_lengths, .own_key = 1,
      .keep = some_keep, .keep_count = 3}, "unbiased, lengths and keep"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 99, .keep = some_keep, .keep_count = 3},
     "unbiased, nearly all, keep"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 0.33f}, "by ratio"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 1, .keep = some_keep, .keep_count = 3}, "all by ratio, keep"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 0.5f, .batch = 5, .lengths = some_lengths, .own_key = 1,
      .per_example = 1, .keep = some_keep, .keep_count = 3}, "by ratio, lengths and keep, per example"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 0.1f, .batch = 5, .lengths = some_lengths, .keep = first_four,
      .keep_count = 4}, "by ratio, lengths, the first are kept"},
    {{.kind = SSA_UNBIASED, .length = 4, .ratio = 0.5f, .keep = first_four, .keep_count = 4}, "by ratio, all kept"},
    {{.kind = SSA_UNBIASED, .length = 4, .keys = 2, .keep = first_four, .keep_count = 4}, "all kept"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 25, .independent = 1}, "sources drop out"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 0.3f, .independent = 1, .batch = 3, .per_example = 1, .own_key = 1},
     "sources drop out, per example, own"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 0.5f, .independent = 1, .batch = 5, .lengths = some_lengths,
      .own_key = 1, .per_example = 1, .keep = some_keep, .keep_count = 3}, "sources drop out, lengths and keep"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 1e-9f, .independent = 1, .own_key = 1}, "no sources, own"},
    {{.kind = SSA_UNBIASED, .length = 100, .ratio = 1e-9f, .independent = 1}, "no sources"},
    {{.kind = SSA_UNBIASED, .length = 100, .keys = 97, .independent = 1, .keep = some_keep, .keep_count = 3}, "all sources"},
    {{.kind = SSA_UNBIASED, .length = 4, .keys = 2, .independent = 1, .keep = first_four, .keep_count = 4},
     "sources, all kept"},
    {{.kind = SSA_UNBIASED, .length = 100, .queries = 37, .ratio = 0.3f, .independent = 1, .own_key = 1},
     "sources drop out, the last queries"},
    {{.kind = SSA_UNBIASED, .length = 100, .queries = 130, .ratio = 0.3f, .independent = 1},
     "sources drop out, more queries than keys"},
    {{.kind = SSA_LOCAL, .length = 96, .keys = 24, .independent = 1}, "local"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 24, .own_key = 1}, "local, short last block"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 100, .own_key = 1}, "local, one slice"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 1, .sigma = 4, .own_key = 1}, "local, slices of one"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 24, .look_back = 1, .own_key = 1}, "look-back"},
    {{.kind = SSA_LOCAL, .length = 101, .keys = 2, .look_back = 1, .sigma = 0.5f}, "look-back, slices of one"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 100, .look_back = 1}, "look-back, two slices"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 24, .look_back = 1, .own_key = 1, .keep = some_keep, .keep_count = 3},
     "look-back, keep"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 24, .look_back = 1, .own_key = 1, .batch = 5, .lengths = some_lengths,
      .keep = some_keep, .keep_count = 3}, "look-back, lengths and keep"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 25, .fixed_windows = 1, .own_key = 1, .batch = 5,
      .lengths = some_lengths, .per_example = 1}, "windows, lengths"},
    {{.kind = SSA_DENSE, .length = 100, .queries = 1}, "dense, the last query"},
    {{.kind = SSA_DENSE, .length = 100, .queries = 100}, "dense, as many queries"},
    {{.kind = SSA_DENSE, .length = 100, .queries = 130}, "dense, more queries than keys"},
    {{.kind = SSA_UNBIASED, .length = 100, .queries = 37, .keys = 25, .own_key = 1}, "unbiased, the last queries"},
    {{.kind = SSA_UNBIASED, .length = 100, .queries = 101, .keys = 25, .batch = 3, .per_example = 1,
      .keep = some_keep, .keep_count = 3}, "unbiased, more queries than keys"},
    {{.kind = SSA_LOCAL, .length = 100, .queries = 37, .keys = 24, .own_key = 1}, "local, the last queries"},
    {{.kind = SSA_LOCAL, .length = 100, .queries = 1, .keys = 24, .look_back = 1, .own_key = 1, .keep = some_keep,
      .keep_count = 3}, "look-back, keep, the last query"},
    {{.kind = SSA_LOCAL, .length = 96, .keys = 24, .rows = 8, .columns = 12}, "cells"},
    {{.kind = SSA_LOCAL, .length = 97, .keys = 24, .rows = 8, .columns = 12, .own_key = 1, .batch = 3,
      .per_example = 1}, "cells behind a class token, per example"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 24, .rows = 8, .columns = 4, .channels = 3, .look_back = 1,
      .own_key = 1, .keep = some_keep, .keep_count = 3}, "cells of pixels, look-back, keep"},
    {{.kind = SSA_LOCAL, .length = 100, .queries = 37, .keys = 12, .rows = 8, .columns = 12, .own_key = 1},
     "cells, the last queries"},
    {{.kind = SSA_LOCAL, .length = 97, .keys = 96, .rows = 8, .columns = 12, .own_key = 1}, "one cell"},
    {{.kind = SSA_LOCAL, .length = 96, .keys = 24, .permute_queries = 1}, "permuted"},
    {{.kind = SSA_LOCAL, .length = 97, .keys = 24, .permute_queries = 1, .own_key = 1, .batch = 3, .per_example = 1},
     "permuted, a slice of one, per example"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 1, .permute_queries = 1}, "permuted, slices of one"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 99, .permute_queries = 1}, "permuted, two slices"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 100, .permute_queries = 1}, "permuted, one slice"},
    {{.kind = SSA_LOCAL, .length = 1, .keys = 1, .permute_queries = 1}, "permuted, one position"},
    {{.kind = SSA_LOCAL, .length = 100, .queries = 37, .keys = 25, .permute_queries = 1}, "permuted, the last queries"},
    {{.kind = SSA_LOCAL, .length = 100, .keys = 24, .permute_queries = 1, .batch = 5, .lengths = some_lengths},
     "permuted, lengths"},
};

START_TEST(follows_the_definition)
{
    struct ssa_plan plan = {0}; /* one plan for all: its memory is reused */
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
        for (int draws = 0; draws < 5; draws++) {
            struct grid grid = grids[g];
            grid.how.seed = 11;
            grid.how.step = (uint64_t)draws;
            OK(ssa_plan_draw(&plan, &grid.how));
            check_plan(&grid, &plan);
        }
    ssa_plan_finish(&plan);
    ssa_plan_finish(&plan);
}
END_TEST

START_TEST(all_keys_is_dense)
{
    struct ssa_plan dense = {0}, all = {0};
    struct ssa_sample how = {.kind = SSA_DENSE, .length = 77, .own_key = 1};
    OK(ssa_plan_draw(&dense, &how));
    how.kind = SSA_UNBIASED;
    how.keys = 77;
    OK(ssa_plan_draw(&all, &how));
    ck_assert_uint_eq(dense.stride, all.stride);
    ck_assert_mem_eq(dense.data, all.data, dense.stride * sizeof *dense.data);
    how.independent = 1;
    OK(ssa_plan_draw(&all, &how));
    ck_assert_mem_eq(dense.data, all.data, dense.stride * sizeof *dense.data);
    how.ratio = 1;
    OK(ssa_plan_draw(&all, &how));
    ck_assert_mem_eq(dense.data, all.data, dense.stride * sizeof *dense.data);
    how.kind = SSA_LOCAL;
    for (how.permute_queries = 0; how.permute_queries < 2; how.permute_queries++) {
        OK(ssa_plan_draw(&all, &how));
        ck_assert_mem_eq(dense.data, all.data, dense.stride * sizeof *dense.data);
        ck_assert_int_eq(all.window, 0);
    }
    ssa_plan_finish(&dense);
    ssa_plan_finish(&all);
}
END_TEST

/* Of permuted queries: slices are those of the same draw without it, and a query sees the one that its own key is in. */
static void check_slices(const struct ssa_sample *h, const struct ssa_plan *local, const struct ssa_plan *plan)
{
    int32_t *keys = malloc(((size_t)plan->max_keys + 1) * sizeof *keys);
    for (int e = 0; e < local->examples; e++) {
        const int32_t *p = local->data + (size_t)e * local->stride, *start = p + p[PLAN_SLICE_AT];
        for (int s = 0; s < p[PLAN_SLICES]; s++)
            for (int i = start[s]; i < start[s + 1]; i++) {
                const int query = p[p[PLAN_SOURCE_AT] + i], count = start[s + 1] - start[s];
                ck_assert_int_eq(ssa_plan_keys(plan, e, query, keys), count);
                ck_assert_mem_eq(keys, p + p[PLAN_SOURCE_AT] + start[s], (size_t)count * sizeof *keys);
            }
    }
    ck_assert_int_eq(plan->window, h->length % h->keys || h->keys == h->length || h->lengths ? 0 : h->keys);
    free(keys);
}

START_TEST(permuted_queries_see_their_own_slice)
{
    struct ssa_plan local = {0}, plan = {0};
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
        struct ssa_sample how = grids[g].how;
        if (!how.permute_queries || how.queries)
            continue;
        how.own_key = 0;
        OK(ssa_plan_draw(&plan, &how));
        how.permute_queries = 0;
        OK(ssa_plan_draw(&local, &how));
        ck_assert_int_eq(local.window, 0);
        check_slices(&how, &local, &plan);
    }
    struct ssa_sample how = {.kind = SSA_LOCAL, .length = 16, .keys = 4, .seed = 7, .step = 1, .permute_queries = 1};
    OK(ssa_plan_draw(&plan, &how)); /* known_orders 4, cut */
    expect_keys(&plan, 0, 7, 4, (int32_t[]){0, 1, 2, 7});
    expect_keys(&plan, 0, 0, 4, (int32_t[]){0, 1, 2, 7});
    expect_keys(&plan, 0, 10, 4, (int32_t[]){3, 6, 9, 10});
    expect_keys(&plan, 0, 4, 4, (int32_t[]){4, 5, 8, 12});
    ck_assert_double_eq(plan.pairs, 64);
    ck_assert_double_eq(plan.pairs_causal, 40);
    ck_assert_int_eq(plan.window, 4);
    OK(ssa_plan_head(&local, &plan, 9, 2)); /* queries 7 and 8 of nine keys */
    expect_keys(&local, 0, 0, 4, (int32_t[]){0, 1, 2, 7});
    expect_keys(&local, 0, 1, 3, (int32_t[]){4, 5, 8});
    ck_assert_int_eq(local.window, 0);
    ssa_plan_finish(&local);
    ssa_plan_finish(&plan);
}
END_TEST

/* With the largest sigma any two positions share a slice as often as in a uniform permutation; with a small one those
 * that are near do. */
START_TEST(permuted_uniformly_or_locally)
{
    enum { N = 64, W = 16, DRAWS = 4000 };
    struct ssa_plan plan = {0};
    int far[2] = {0}, near[2] = {0}, keys[W];
    for (int t = 0; t < 2 * DRAWS; t++) {
        const int local = t % 2;
        OK(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_LOCAL, .length = N, .keys = W, .permute_queries = 1,
            .sigma = local ? 0.25f : 16.0f * N / W, .seed = 5, .step = (uint64_t)t / 2}));
        const int count = ssa_plan_keys(&plan, 0, 0, keys);
        for (int i = 0; i < count; i++) {
            near[local] += keys[i] == 1;
            far[local] += keys[i] == N - 1;
        }
    }
    const double uniform = (double)(W - 1) / (N - 1); /* of 4000 draws a deviation is 0.007 */
    ck_assert_double_eq_tol((double)near[0] / DRAWS, uniform, 0.03);
    ck_assert_double_eq_tol((double)far[0] / DRAWS, uniform, 0.03);
    ck_assert_int_eq(far[1], 0);
    ck_assert_int_gt(near[1], DRAWS * 3 / 4);
    ssa_plan_finish(&plan);
}
END_TEST

/* Whoever asks for the last queries alone sees what they see among all. */
START_TEST(fewer_queries_are_the_last)
{
    struct ssa_plan all = {0}, last = {0};
    int32_t want[102], got[102]; /* of the longest, and an own key */
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
        struct ssa_sample how = grids[g].how;
        if (how.queries || how.lengths)
            continue;
        OK(ssa_plan_draw(&all, &how));
        how.queries = (how.length + 2) / 3;
        OK(ssa_plan_draw(&last, &how));
        for (int i = 0; i < how.queries; i++) {
            const int count = ssa_plan_keys(&all, 0, how.length - how.queries + i, want);
            ck_assert_int_eq(ssa_plan_keys(&last, 0, i, got), count);
            ck_assert_mem_eq(got, want, (size_t)count * sizeof *want);
        }
        ck_assert_int_lt(ssa_plan_keys(&last, 0, how.queries, got), 0);
    }
    ssa_plan_finish(&all);
    ssa_plan_finish(&last);
}
END_TEST

/* What a query sees of what is there, and how much that is in all. */
static void check_head(const struct ssa_plan *whole, const struct ssa_plan *head, int keys, int queries)
{
    int32_t want[102], got[102];
    double pairs = 0;
    for (int e = 0; e < whole->examples; e++)
        for (int i = 0; i < queries; i++) {
            const int query = keys - queries + i, all = ssa_plan_keys(whole, e, query, want);
            int count = 0, causal = 0;
            for (int k = 0; k < all; k++) {
                want[count] = want[k];
                causal += want[k] <= query;
                count += want[k] < keys;
            }
            ck_assert_int_eq(ssa_plan_keys(head, e, i, got), count);
            ck_assert_mem_eq(got, want, (size_t)count * sizeof *want);
            pairs += causal;
        }
    ck_assert_double_eq(head->pairs_causal, pairs);
    ck_assert_int_eq(head->length, keys);
    ck_assert_int_eq(head->queries, queries);
}

START_TEST(a_head_is_the_beginning)
{
    struct ssa_plan whole = {0}, head = {0};
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
        const struct ssa_sample how = grids[g].how;
        OK(ssa_plan_draw(&whole, &how));
        if (how.queries && how.queries != how.length) {
            FAILS(ssa_plan_head(&head, &whole, 1, 1), SSA_EINVAL, "plan_head: whole is not drawn");
            continue;
        }
        for (int keys = 1; keys <= how.length; keys++)
            for (int queries = keys; queries; queries = queries > 1 ? queries / 2 : 0) {
                OK(ssa_plan_head(&head, &whole, keys, queries));
                ck_assert_uint_le(head.stride, whole.stride + 2);
                check_head(&whole, &head, keys, queries);
            }
        FAILS(ssa_plan_head(&head, &whole, how.length + 1, 1), SSA_EINVAL, "plan_head: keys is");
        FAILS(ssa_plan_head(&head, &whole, 1, 2), SSA_EINVAL, "plan_head: queries is 2");
        FAILS(ssa_plan_head(&whole, &whole, 1, 1), SSA_EINVAL, "plan_head: plan and whole");
    }
    ssa_plan_finish(&whole);
    ssa_plan_finish(&head);
}
END_TEST

static int drawn(float ratio, int length)
{
    struct ssa_plan plan = {0};
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = length, .ratio = ratio}));
    const int keys = plan.max_keys;
    ssa_plan_finish(&plan);
    return keys;
}

/* As of the fraction that the ratio is, not of the float that it was rounded to. */
START_TEST(ratios_are_fractions)
{
    static const float some[] = {0x1p-24f, 1e-30f, 0.9999999f, 0x1.fffffep-1f};
    for (int q = 1; q <= 24; q++)
        for (int p = 1; p <= q; p++)
            for (int length = 1; length <= 60; length++)
                ck_assert_msg(drawn((float)p / (float)q, length) == (p * length + q - 1) / q, "%d/%d of %d: %d", p, q,
                              length, drawn((float)p / (float)q, length));
    ck_assert_int_eq(drawn(0.7f, 10), 7); /* a little below seven tenths */
    ck_assert_int_eq(drawn(0.1f, 10), 1); /* and above a tenth */
    ck_assert_int_eq(drawn(0.5f, 9), 5);
    ck_assert_int_eq(drawn(0.3f, 1000000), 300000);
    ck_assert_int_eq(drawn(0.3f, 1000001), 300001);
    ck_assert_int_eq(drawn(1, SSA_MAX_LENGTH), SSA_MAX_LENGTH);
    ck_assert_int_eq(drawn(0.75f, SSA_MAX_LENGTH - 1), 3 * (SSA_MAX_LENGTH / 4)); /* of 4 n + 3: 3 n + 3 */
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        ck_assert_int_eq(drawn(some[i], 7), some[i] < 0.5f ? 1 : 7);
}
END_TEST

/* The same example is drawn alike, however long others of the batch are. */
static void check_padding(int independent)
{
    struct ssa_plan alone = {0}, together = {0};
    int32_t keys[2][64];
    for (int e = 0; e < 5; e++) {
        struct ssa_sample how = {.kind = SSA_UNBIASED, .length = 41, .ratio = 0.3f, .batch = 1, .per_example = 1,
            .lengths = (const int[]){41}, .keep = first_four, .keep_count = 4, .seed = 2, .step = 9,
            .first_example = 100 + (uint32_t)e, .independent = independent};
        const int lengths[] = {4, 5, 8, 9, 41}, all[] = {50, 60, 60, 60, 60, 60};
        int others[6];
        memcpy(others, all, sizeof others);
        others[e] = how.length = lengths[e];
        how.lengths = &lengths[e];
        OK(ssa_plan_draw(&alone, &how));
        how.length = 60;
        how.batch = 6;
        how.lengths = others;
        how.first_example = 100;
        OK(ssa_plan_draw(&together, &how));
        for (int q = 0; q < 60; q++) {
            const int got = ssa_plan_keys(&together, e, q, keys[0]);
            ck_assert_int_eq(got, q < lengths[e] ? ssa_plan_keys(&alone, 0, q, keys[1]) : 0);
            ck_assert_mem_eq(keys[0], keys[1], (size_t)got * sizeof **keys);
        }
    }
    ssa_plan_finish(&alone);
    ssa_plan_finish(&together);
}

START_TEST(padding_draws_the_same)
{
    check_padding(0);
    check_padding(1);
}
END_TEST

/* Seeds of a batch's examples: each has the plan of a batch of one. */
START_TEST(seeds_of_examples)
{
    enum { BATCH = 3 };
    static const uint64_t seeds[BATCH] = {7, 1, UINT64_MAX};
    const struct ssa_sample kinds[] = {
        {.kind = SSA_UNBIASED, .length = 40, .keys = 11, .own_key = 1, .layer = 2, .step = 5},
        {.kind = SSA_UNBIASED, .length = 40, .keys = 11, .per_example = 1, .first_example = 6},
        {.kind = SSA_UNBIASED, .length = 40, .keys = 11, .per_example = 1, .first_example = 6, .independent = 1},
        {.kind = SSA_LOCAL, .length = 40, .keys = 16, .look_back = 1, .sigma = 0.5f},
        {.kind = SSA_LOCAL, .length = 37, .keys = 6, .rows = 6, .columns = 6}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct ssa_plan all = {0}, one = {0};
        struct ssa_sample how = kinds[i], alone = kinds[i];
        how.batch = BATCH;
        how.seeds = seeds;
        alone.batch = 1;
        OK(ssa_plan_draw(&all, &how));
        ck_assert_int_eq(all.examples, BATCH);
        ck_assert_uint_eq(ssa_plan_bound(&how), all.stride * BATCH);
        for (int e = 0; e < BATCH; e++) {
            alone.seed = seeds[e];
            OK(ssa_plan_draw(&one, &alone));
            ck_assert_uint_eq(one.stride, all.stride);
            ck_assert_mem_eq(one.data, all.data + (size_t)e * all.stride, one.stride * sizeof *one.data);
        }
        how.batch = 0;
        FAILS(ssa_plan_draw(&all, &how), SSA_EINVAL, "plan: seeds are of a batch's examples");
        ssa_plan_finish(&all);
        ssa_plan_finish(&one);
    }
}
END_TEST

START_TEST(windows_are_block_local)
{
    int32_t keys[32];
    struct ssa_plan plan = {0};
    for (int back = 0; back < 2; back++) {
        struct ssa_sample how = {.kind = SSA_LOCAL, .length = 50, .keys = 12 << back, .fixed_windows = !back,
                                 .sigma = back ? SSA_NONE : 0, .look_back = back, .keep = (int[]){5}, .keep_count = 1, .seed = 3};
        OK(ssa_plan_draw(&plan, &how));
        for (int i = 0; i < 50; i++) {
            int n = 0, begin = i / 12 * 12, first = back && begin ? begin - 12 : begin;
            int32_t want[25];
            if (first > 5)
                want[n++] = 5;
            for (int j = first; j < begin + 12 && j < 50; j++)
                want[n++] = j;
            ck_assert_int_eq(ssa_plan_keys(&plan, 0, i, keys), n);
            ck_assert_mem_eq(keys, want, (size_t)n * sizeof *keys);
        }
    }
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- frequencies; the seeds are fixed, so a bound once met stays met ---- */

static double chi_square(const int *counts, int n, double expected)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

START_TEST(unbiased_frequencies)
{
    enum { N = 16, K = 4, DRAWS = 12000 };
    int single[N] = {0}, pair[N * N] = {0}, pairs[N * (N - 1) / 2], n = 0;
    int32_t keys[K + 1];
    struct ssa_plan plan = {0};
    for (int t = 0; t < DRAWS; t++) {
        struct ssa_sample how = {.kind = SSA_UNBIASED, .length = N, .keys = K, .seed = 99, .step = (uint64_t)t / 3,
                                 .layer = (uint32_t)t % 3};
        OK(ssa_plan_draw(&plan, &how));
        ck_assert_int_eq(ssa_plan_keys(&plan, 0, 0, keys), K);
        for (int a = 0; a < K; a++) {
            single[keys[a]]++;
            for (int b = 0; b < a; b++)
                pair[keys[b] * N + keys[a]]++;
        }
    }
    ssa_plan_finish(&plan);
    for (int a = 0; a < N; a++)
        for (int b = a + 1; b < N; b++)
            pairs[n++] = pair[a * N + b];
    /* Counts without replacement scatter less, by 1 - (K-1)/(N-1): 15 degrees of freedom; 44.3 is 1 in 10^4. */
    ck_assert_double_lt(chi_square(single, N, DRAWS * K / (double)N) / (1 - (K - 1.0) / (N - 1)), 44.3);
    ck_assert_double_lt(chi_square(pairs, n, DRAWS * 6 / (double)n), 180); /* 119 degrees, without their correlation */
    ck_assert_double_gt(chi_square(pairs, n, DRAWS * 6 / (double)n), 70);
}
END_TEST

/* Each position stays with the same probability, whatever others do: how many do is binomial. */
static void check_sources(struct ssa_sample how, double p, int others)
{
    enum { DRAWS = 12000, MOST = 16 };
    const int real = how.lengths ? *how.lengths : how.length;
    int single[MOST] = {0}, counts[MOST + 1] = {0}, seen[MOST], beside = 0;
    double mean = 0, square = 0, chi = 0, all = 0, pmf = 1;
    int32_t keys[MOST];
    struct ssa_plan plan = {0};
    how.independent = 1;
    for (int t = 0; t < DRAWS; t++) {
        how.step = (uint64_t)t / 3;
        how.layer = (uint32_t)t % 3;
        OK(ssa_plan_draw(&plan, &how));
        const int count = ssa_plan_keys(&plan, 0, 0, keys), n = count - how.keep_count;
        memset(seen, 0, sizeof seen);
        for (int k = 0; k < count; k++)
            seen[keys[k]] = 1;
        for (int i = 0; i < real; i++)
            single[i] += seen[i];
        beside += seen[real - 2] && seen[real - 1]; /* of one call of the generator, where both are there */
        counts[n]++;
        mean += (double)n / DRAWS;
        square += (double)n * n / DRAWS;
    }
    ssa_plan_finish(&plan);
    for (int i = 0; i < real; i++) {
        const bool is_kept = kept(&how, i);
        const double want = is_kept ? DRAWS : DRAWS * p, off = is_kept ? 0.5 : 4.5 * sqrt(DRAWS * p * (1 - p));
        ck_assert_double_eq_tol(single[i], want, off);
        chi += is_kept ? 0 : (single[i] - DRAWS * p) * (single[i] - DRAWS * p) / (DRAWS * p * (1 - p));
    }
    ck_assert_double_lt(chi, 44.3); /* at most 16 degrees of freedom */
    ck_assert_double_eq_tol(beside, DRAWS * p * p, 4.5 * sqrt(DRAWS * p * p * (1 - p * p)));
    ck_assert_double_eq_tol(mean, others * p, 4.5 * sqrt(others * p * (1 - p) / DRAWS));
    ck_assert_double_eq_tol(square - mean * mean, others * p * (1 - p), 0.06 * others * p * (1 - p));
    for (int n = 0; n < others; n++)
        pmf *= 1 - p;
    for (int n = 0; n <= others; n++) { /* rare ones apart */
        if (DRAWS * pmf > 5)
            all += (counts[n] - DRAWS * pmf) * (counts[n] - DRAWS * pmf) / (DRAWS * pmf);
        pmf *= (others - n) * p / ((n + 1) * (1 - p));
    }
    ck_assert_double_lt(all, 44.3);
}

START_TEST(sources_drop_out_apart)
{
    static const int keep[] = {1, 4, 5};
    check_sources((struct ssa_sample){.kind = SSA_UNBIASED, .length = 16, .ratio = 0.3f, .seed = 99}, 0.3, 16);
    check_sources((struct ssa_sample){.kind = SSA_UNBIASED, .length = 16, .keys = 12, .seed = 98}, 0.75, 16);
    check_sources((struct ssa_sample){.kind = SSA_UNBIASED, .length = 13, .keys = 5, .seed = 97, .keep = keep,
                                      .keep_count = 3}, 0.5, 10);
    check_sources((struct ssa_sample){.kind = SSA_UNBIASED, .length = 16, .ratio = 0.2f, .seed = 96, .batch = 2,
                                      .lengths = (const int[]){12, 16}}, 0.2, 12);
}
END_TEST

/* None, one, or all, of which plans have no room less. */
START_TEST(any_number_of_sources)
{
    enum { N = 3 };
    struct ssa_plan plan = {0};
    int met[N + 1] = {0};
    for (uint64_t step = 0; step < 60; step++) {
        const struct ssa_sample how = {.kind = SSA_UNBIASED, .length = N, .ratio = 0.5f, .independent = 1, .step = step};
        OK(ssa_plan_draw(&plan, &how));
        ck_assert_uint_eq(plan.stride, ssa_plan_bound(&how));
        ck_assert(plan.max_keys == plan.max_slice && plan.pairs == N * (double)plan.max_keys);
        met[plan.max_keys]++;
    }
    for (int n = 0; n <= N; n++)
        ck_assert_int_gt(met[n], 0);
    ssa_plan_finish(&plan);
}
END_TEST

START_TEST(every_permutation_alike)
{
    enum { DRAWS = 24000 };
    int counts[24] = {0};
    for (int t = 0; t < DRAWS; t++) {
        int32_t o[4];
        OK(ssa_shuffle(o, 4, -1, 5, (uint64_t)t, 0, 0));
        int rank = o[0] * 6 + (o[1] - (o[1] > o[0])) * 2 + (o[2] > o[3]);
        counts[rank]++;
    }
    ck_assert_double_lt(chi_square(counts, 24, DRAWS / 24.0), 56.0); /* 23 degrees of freedom, 1 in 10^4 */
}
END_TEST

/* Root of the mean squared displacement of a draw, averaged over draws. */
static double displacement(int n, double sigma, int draws)
{
    int32_t *order = malloc((size_t)n * sizeof *order);
    double sum = 0;
    for (int t = 0; t < draws; t++) {
        double squares = 0;
        OK(ssa_shuffle(order, n, sigma, 21, (uint64_t)t, 0, 0));
        for (int s = 0; s < n; s++)
            squares += (double)(order[s] - s) * (order[s] - s);
        sum += sqrt(squares / n);
    }
    free(order);
    return sum / draws;
}

START_TEST(local_displacement)
{
    ck_assert_double_eq_tol(displacement(8, 2, 2000), 1.46, 0.06);
    ck_assert_double_eq(displacement(100, 0, 3), 0);
    /* Far from the ends, slot s holds i with i + sigma n_i about s: the deviation is sigma. */
    ck_assert_double_eq_tol(displacement(4096, 10, 20) / 10, 1, 0.02);
    /* Uniform: E (i - s)^2 = (n^2 - 1) / 6. */
    ck_assert_double_eq_tol(displacement(1000, -1, 50), 1000 / sqrt(6), 6);
    ck_assert_double_eq_tol(displacement(1000, 16000, 50), 1000 / sqrt(6), 6);
}
END_TEST

/* Of N = 1024 causal: the share of queries that have their own key, and the mean number of keys they see. */
static void statistics(struct ssa_sample how, double own_share, double visible)
{
    enum { DRAWS = 40 };
    double own = 0, seen = 0;
    struct ssa_plan plan = {0};
    how.length = 1024;
    how.own_key = 1;
    for (int t = 0; t < DRAWS; t++) {
        how.step = (uint64_t)t;
        OK(ssa_plan_draw(&plan, &how));
        double added = 0;
        for (int i = 0; i < 1024; i++)
            added += plan.data[plan.data[PLAN_OWN_AT] + i];
        own += 1 - added / 1024;
        seen += (plan.pairs_causal - added) / 1024;
    }
    ssa_plan_finish(&plan);
    ck_assert_double_eq_tol(own / DRAWS, own_share, 0.015);
    ck_assert_double_eq_tol(seen / DRAWS, visible, 1.5);
}

START_TEST(causal_statistics)
{
    statistics((struct ssa_sample){.kind = SSA_UNBIASED, .keys = 256}, 0.25, 128);
    statistics((struct ssa_sample){.kind = SSA_LOCAL, .keys = 128}, 0.45, 64);
    statistics((struct ssa_sample){.kind = SSA_LOCAL, .keys = 128, .sigma = 128}, 0.13, 64);
    statistics((struct ssa_sample){.kind = SSA_LOCAL, .keys = 128, .look_back = 1, .sigma = 0.5f}, 0.81, 89);
    statistics((struct ssa_sample){.kind = SSA_LOCAL, .keys = 128, .look_back = 1}, 0.64, 82);
}
END_TEST

/* ---- batches ---- */

START_TEST(examples_are_numbered)
{
    struct ssa_plan batch = {0}, one = {0};
    for (int kind = SSA_UNBIASED; kind <= SSA_LOCAL; kind++) {
        struct ssa_sample how = {.kind = kind, .length = 100, .keys = 20, .batch = 4, .per_example = 1, .seed = 8,
                                 .first_example = 12};
        OK(ssa_plan_draw(&batch, &how));
        ck_assert_int_eq(batch.examples, 4);
        how.batch = 1;
        for (uint32_t e = 0; e < 4; e++) {
            how.first_example = 12 + e;
            OK(ssa_plan_draw(&one, &how));
            ck_assert_mem_eq(batch.data + e * batch.stride, one.data, one.stride * sizeof *one.data);
            ck_assert(!e || memcmp(batch.data, one.data, one.stride * sizeof *one.data));
        }
    }
    struct ssa_sample shared = {.kind = SSA_UNBIASED, .length = 100, .keys = 20, .batch = 4, .first_example = 12};
    OK(ssa_plan_draw(&batch, &shared));
    ck_assert_int_eq(batch.examples, 1);
    shared.first_example = shared.batch = 0;
    OK(ssa_plan_draw(&one, &shared));
    ck_assert_mem_eq(batch.data, one.data, one.stride * sizeof *one.data);
    ssa_plan_finish(&batch);
    ssa_plan_finish(&one);
}
END_TEST

/* ---- bad input ---- */

#define BAD(words, ...) \
    do { \
        struct ssa_sample s = {.kind = SSA_LOCAL, .length = 32, .keys = 8}; \
        __VA_ARGS__; \
        FAILS(ssa_plan_draw(&plan, &s), SSA_EINVAL, words); \
        ck_assert_uint_eq(ssa_plan_bound(&s), 0); \
    } while (0)

START_TEST(bad_samples)
{
    struct ssa_plan plan = {0};
    BAD("kind is 3", s.kind = 3);
    BAD("kind is -1", s.kind = -1);
    BAD("length is 0", s.length = 0);
    BAD("length is 4194305", s.length = SSA_MAX_LENGTH + 1);
    BAD("batch is -1", s.batch = -1);
    BAD("keys is 0", s.keys = 0);
    BAD("keys is 33", s.keys = 33);
    BAD("keys is 33", s.kind = SSA_UNBIASED, s.keys = 33);
    BAD("keys is 7, must be even", s.keys = 7, s.look_back = 1);
    BAD("ratio is 1.5, must be 0 or in (0, 1]", s.kind = SSA_UNBIASED, s.ratio = 1.5f);
    BAD("ratio is -0.5", s.kind = SSA_UNBIASED, s.ratio = -0.5f);
    BAD("ratio is nan", s.kind = SSA_UNBIASED, s.ratio = NAN);
    BAD("keys is 0", s.ratio = 0.5f, s.keys = 0);
    BAD("sigma is -2", s.sigma = -2);
    BAD("sigma is nan", s.sigma = NAN);
    BAD("sigma is inf", s.sigma = INFINITY);
    BAD("sigma is 65, must be SSA_NONE or 0 to 64", s.sigma = 65);
    BAD("fixed_windows is 2", s.fixed_windows = 2);
    BAD("look_back is -1", s.look_back = -1);
    BAD("own_key is 2", s.own_key = 2);
    BAD("per_example is 2", s.per_example = 2);
    BAD("independent is 2", s.independent = 2);
    BAD("independent is -1", s.kind = SSA_UNBIASED, s.independent = -1);
    BAD("lengths[1] is 33", s.batch = 2, s.lengths = (int[]){32, 33});
    BAD("lengths[0] is -1", s.lengths = (int[]){-1});
    BAD("queries is -1", s.queries = -1);
    BAD("queries is 4194305", s.queries = SSA_MAX_LENGTH + 1);
    BAD("queries is 16, the length 32: lengths", s.queries = 16, s.lengths = (int[]){32});
    BAD("queries is 33, the length 32: lengths", s.kind = SSA_DENSE, s.queries = 33, s.lengths = (int[]){32});
    BAD("queries is 33, the length 32: more queries than keys", s.queries = 33);
    BAD("queries is 33, the length 32: more queries than keys", s.kind = SSA_UNBIASED, s.queries = 33, s.own_key = 1);
    BAD("keep_count is -1", s.keep_count = -1);
    BAD("keep_count is 33", s.keep_count = 33, s.keep = (int[]){0});
    BAD("keep is NULL", s.keep_count = 1);
    BAD("keep[0] is 32", s.keep_count = 1, s.keep = (int[]){32});
    BAD("keep[1] is 3 after 3", s.keep_count = 2, s.keep = (int[]){3, 3});
    BAD("step is 281474976710656", s.step = (uint64_t)1 << 48);
    BAD("layer is 32768", s.layer = 1 << 15);
    BAD("first_example is 4294967295", s.batch = 2, s.per_example = 1, s.first_example = UINT32_MAX);
    BAD("permute_queries is 2", s.permute_queries = 2);
    BAD("the slice of its own key alone: look_back is 1", s.permute_queries = s.look_back = 1);
    BAD("keep_count 1, must be 0", s.permute_queries = s.keep_count = 1, s.keep = (int[]){0});
    BAD("rows 4, keep_count 0, must be 0", s.permute_queries = 1, s.rows = 4, s.columns = 8);
    BAD("sigma is 65, must be SSA_NONE or 0 to 64", s.permute_queries = 1, s.sigma = 65);
    BAD("queries is 33, the length 32", s.permute_queries = 1, s.queries = 33);
    BAD("reserved", s.reserved[0] = 1);
    ck_assert_ptr_null(plan.data);
}
END_TEST

#define BAD_LAYOUT(words, ...) \
    do { \
        struct ssa_layout l = {.length = 4, .block = 2, .slices = 2, .order = (int32_t[]){3, 1, 0, 2}, \
                              .slice_start = (int32_t[]){0, 2, 4}, .first = (int32_t[]){0, 1}, \
                              .end = (int32_t[]){1, 2}}; \
        __VA_ARGS__; \
        FAILS(ssa_plan_from_layout(&plan, &l), SSA_EINVAL, words); \
    } while (0)

START_TEST(bad_layouts)
{
    struct ssa_plan plan = {0};
    BAD_LAYOUT("length is 0", l.length = 0);
    BAD_LAYOUT("block is 0", l.block = 0);
    BAD_LAYOUT("block is 5", l.block = 5);
    BAD_LAYOUT("slices is 0", l.slices = 0);
    BAD_LAYOUT("must not be NULL", l.order = NULL);
    BAD_LAYOUT("must not be NULL", l.slice_start = NULL);
    BAD_LAYOUT("must not be NULL", l.first = NULL);
    BAD_LAYOUT("must not be NULL", l.end = NULL);
    BAD_LAYOUT("own_key is 2", l.own_key = 2);
    BAD_LAYOUT("slice_start[0] is -1", l.slice_start = (int32_t[]){-1, 2, 3});
    BAD_LAYOUT("slice_start[2] is 1 after 2", l.slice_start = (int32_t[]){0, 2, 1});
    BAD_LAYOUT("slice_start[2] is 5", l.slice_start = (int32_t[]){0, 2, 5});
    BAD_LAYOUT("order[2] is 4", l.order = (int32_t[]){3, 1, 4, 2});
    BAD_LAYOUT("order[0] is -1", l.order = (int32_t[]){-1, 1, 0, 2});
    BAD_LAYOUT("order[3] is 3, which slice 0 has", l.order = (int32_t[]){3, 1, 0, 3});
    BAD_LAYOUT("block 1 sees slices [0, 1)", l.first = (int32_t[]){1, 0}, l.end = (int32_t[]){1, 1});
    BAD_LAYOUT("block 1 sees slices [0, 1)", l.first = (int32_t[]){0, 0}, l.end = (int32_t[]){2, 1});
    BAD_LAYOUT("block 1 sees slices [1, 3)", l.end = (int32_t[]){1, 3});
    BAD_LAYOUT("block 0 sees slices [-1, 1)", l.first = (int32_t[]){-1, 1});
    BAD_LAYOUT("block 1 sees slices [2, 1)", l.first = (int32_t[]){0, 2}, l.end = (int32_t[]){1, 1});
    BAD_LAYOUT("reserved", l.reserved[0] = 1);
    ck_assert_ptr_null(plan.data);
}
END_TEST

START_TEST(bad_shuffles_and_looks)
{
    int32_t order[8];
    struct ssa_plan plan = {0};
    FAILS(ssa_shuffle(NULL, 8, -1, 0, 0, 0, 0), SSA_EINVAL, "order is NULL");
    FAILS(ssa_shuffle(order, 0, -1, 0, 0, 0, 0), SSA_EINVAL, "n is 0");
    FAILS(ssa_shuffle(order, 8, NAN, 0, 0, 0, 0), SSA_EINVAL, "sigma is");
    FAILS(ssa_shuffle(order, 8, 129, 0, 0, 0, 0), SSA_EINVAL, "sigma is 129");
    FAILS(ssa_shuffle(order, 8, 1, 0, UINT64_MAX, 0, 0), SSA_EINVAL, "step");
    FAILS(ssa_shuffle(order, 8, 1, 0, 0, UINT32_MAX, 0), SSA_EINVAL, "layer");
    FAILS(ssa_plan_keys(&plan, 0, 0, order), SSA_EINVAL, "plan_keys");
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.length = 8}));
    FAILS(ssa_plan_keys(&plan, 1, 0, order), SSA_EINVAL, "example 1");
    FAILS(ssa_plan_keys(&plan, 0, 8, order), SSA_EINVAL, "query 8");
    FAILS(ssa_plan_keys(&plan, 0, -1, order), SSA_EINVAL, "query -1");
    ssa_plan_finish(&plan);
    ssa_plan_finish(NULL);
}
END_TEST

/* ---- plans drawn ahead ---- */

enum { LAYERS = 3, LAST_STEP = 1000 };

/* Stages: unbiased, from step 10 local, from step 20 dense; steps at and past LAST_STEP are refused. */
static int stage_settings(void *cookie, uint64_t step, int index, struct ssa_sample *how)
{
    how->length = 64 + (int)step % 3;
    how->kind = step < 10 ? SSA_UNBIASED : step < 20 ? SSA_LOCAL : SSA_DENSE;
    how->keys = step < LAST_STEP ? 16 + index : 0;
    how->seed = *(uint64_t *)cookie;
    how->layer = (uint32_t)index;
    if (step >= LAST_STEP)
        how->kind = SSA_UNBIASED;
    return SSA_OK;
}

static void check_taken(struct ssa_plan_queue *queue, uint64_t seed, uint64_t step, int index)
{
    struct ssa_sample how = {.step = step};
    struct ssa_plan direct = {0};
    const struct ssa_plan *taken = ssa_plan_queue_take(queue, step, index);
    ck_assert_msg(taken, "%s", ssa_last_error());
    OK(stage_settings(&seed, step, index, &how));
    OK(ssa_plan_draw(&direct, &how));
    ck_assert_uint_eq(taken->stride, direct.stride);
    ck_assert_int_eq(taken->examples, direct.examples);
    ck_assert_int_eq(taken->block, direct.block);
    ck_assert_double_eq(taken->pairs, direct.pairs);
    ck_assert_mem_eq(taken->data, direct.data, direct.stride * sizeof *direct.data);
    ssa_plan_finish(&direct);
}

START_TEST(queue_draws_the_same)
{
    static const uint64_t steps[] = {0, 1, 2, 3, 8, 9, 10, 11, 5, 5, 6, 18, 19, 20, 21, 700, 699, 700, 701, 0};
    uint64_t seed = 77;
    struct ssa_plan_queue *queue;
    OK(ssa_plan_queue_create(&queue, LAYERS, stage_settings, &seed));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct ssa_plan *first = ssa_plan_queue_take(queue, steps[i], 0);
        int32_t *data = first->data;
        for (int repeat = 0; repeat < 2; repeat++)
            for (int index = LAYERS - 1; index >= 0; index--)
                check_taken(queue, seed, steps[i], index);
        ck_assert(ssa_plan_queue_take(queue, steps[i], 0) == first && first->data == data);
    }
    ssa_plan_queue_destroy(queue);
}
END_TEST

START_TEST(queue_reports_errors)
{
    uint64_t seed = 1;
    struct ssa_plan_queue *queue;
    FAILS(ssa_plan_queue_create(&queue, 0, stage_settings, &seed), SSA_EINVAL, "count is 0");
    ck_assert_ptr_null(queue);
    FAILS(ssa_plan_queue_create(&queue, 1, NULL, NULL), SSA_EINVAL, "settings");
    OK(ssa_plan_queue_create(&queue, LAYERS, stage_settings, &seed));
    check_taken(queue, seed, LAST_STEP - 1, 0); /* what is drawn ahead fails, unseen */
    check_taken(queue, seed, LAST_STEP - 1, 1);
    ck_assert_ptr_null(ssa_plan_queue_take(queue, LAST_STEP, 1));
    ck_assert_ptr_nonnull(strstr(ssa_last_error(), "step 1000: plan: keys is 0"));
    ck_assert_ptr_null(ssa_plan_queue_take(queue, LAST_STEP + 5, 1));
    check_taken(queue, seed, 3, 2);
    ck_assert_ptr_null(ssa_plan_queue_take(queue, 3, LAYERS));
    ck_assert_ptr_nonnull(strstr(ssa_last_error(), "index is 3"));
    ck_assert_ptr_null(ssa_plan_queue_take(queue, 3, -1));
    ssa_plan_queue_destroy(queue);
    OK(ssa_plan_queue_create(&queue, LAYERS, stage_settings, &seed));
    ssa_plan_queue_destroy(queue); /* nothing taken */
    ssa_plan_queue_destroy(NULL);
}
END_TEST

int main(void)
{
    setenv("SSA_TEST_DEVICES", "cpu", 1);
    return test_run("sample", (const TTest *const[]){
                                  golden, layout_of_ones_own, philox, known_draws, plans_are_cut_shuffles,
                                  no_two_draws_collide, follows_the_definition, permuted_queries_see_their_own_slice,
                                  permuted_uniformly_or_locally, all_keys_is_dense,
                                  fewer_queries_are_the_last, a_head_is_the_beginning,
                                  ratios_are_fractions, padding_draws_the_same, windows_are_block_local, unbiased_frequencies,
                                  known_sources_stay, sources_drop_out_apart, any_number_of_sources,
                                  every_permutation_alike,
                                  local_displacement, causal_statistics, examples_are_numbered, bad_samples,
                                  bad_layouts, bad_shuffles_and_looks, queue_draws_the_same, queue_reports_errors,
                                  seeds_of_examples, NULL});
}

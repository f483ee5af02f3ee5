/* Sampling: plans, drawn in integers.
 *
 * Every kind of plan is said in two parts: which slice each position is in (`slice_of`, -1 where none), and which
 * slices each query block sees. One function writes any of them in the layout of cl/plan.h: walking the positions in
 * order leaves every slice sorted without a second sort. */
#include "cells.h"
#include "impl.h"
#include "plan.h"
#include "rng.h"
#include "share.h"

#include <stdlib.h>
#include <string.h>

/* ---- the draw ---- */

/* A sort key is 64 bits: what is sorted, then the position, which breaks ties. */
enum { INDEX_BITS = 22, FRACTION_BITS = 12, GAIN_BITS = 20 };
#define INDEX_MASK (((uint64_t)1 << INDEX_BITS) - 1)
#define MAX_SIGMA 16 /* in sequence lengths: more would be uniform in all but name, and overflow the keys */

struct stream {
    uint64_t seed, high;
    uint32_t example;
};

/* The counter's 128 bits: 1, layer (15), step (48), example (32), index (32): no two draws share one, and the leading
 * bit keeps them apart from other uses of the seed, whose counters stay below it. */
static struct stream make_stream(uint64_t seed, uint64_t step, uint32_t layer, uint32_t example)
{
    return (struct stream){seed, (uint64_t)1 << 63 | (uint64_t)layer << 48 | step, example};
}

static struct ssa_philox draw(const struct stream *s, uint32_t index)
{
    return ssa_philox(s->seed, (uint64_t)s->example << 32 | index, s->high);
}

static void uniform_keys(uint64_t *keys, int n, const struct stream *s)
{
    for (int i = 0; i < n; i += 2) {
        struct ssa_philox r = draw(s, (uint32_t)i / 2);
        keys[i] = (((uint64_t)r.v[1] << 32 | r.v[0]) & ~INDEX_MASK) | (uint64_t)i;
        if (i + 1 < n)
            keys[i + 1] = (((uint64_t)r.v[3] << 32 | r.v[2]) & ~INDEX_MASK) | (uint64_t)(i + 1);
    }
}

/* Eight 16-bit uniforms add up to a Gaussian but for its far tails (it ends at 4.9 deviations). Their mean is the
 * same for every position, so it need not be taken off before sorting. */
static uint64_t jitter_sum(struct ssa_philox r)
{
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (r.v[i] & 0xffff) + (r.v[i] >> 16);
    return sum;
}

/* What a jitter of `sigma` positions is multiplied by: 2^32 / sqrt(8 (2^32 - 1) / 12). One product and a truncation:
 * nothing that a compiler could fuse. */
static uint64_t gain_of(double sigma)
{
    return (uint64_t)(sigma * 80264.87990086325);
}

/* The sort key of position i, which is at `place`: draw `number` jitters it. */
static uint64_t jitter_key(int i, int place, uint64_t gain, const struct stream *s, uint32_t number)
{
    uint64_t at = (uint64_t)place << FRACTION_BITS;
    if (gain)
        at += gain * jitter_sum(draw(s, number)) >> GAIN_BITS;
    return at << INDEX_BITS | (uint64_t)i;
}

static void jitter_keys(uint64_t *keys, int n, double sigma, const struct stream *s)
{
    const uint64_t gain = gain_of(sigma);
    for (int i = 0; i < n; i++)
        keys[i] = jitter_key(i, i, gain, s, (uint32_t)i);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Leaves the shuffled positions in keys' index bits. sigma < 0: uniform. */
static void shuffle(uint64_t *keys, int n, double sigma, const struct stream *s)
{
    if (sigma < 0)
        uniform_keys(keys, n, s);
    else
        jitter_keys(keys, n, sigma, s);
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
}

/* Leaves the positions of a grid in keys' index bits, cell by cell along a band of rows, band by band. Rows and columns
 * of a position are jittered by two draws, which are numbered apart. */
static void shuffle_cells(uint64_t *keys, const struct ssa_cells *c, double sigma, const struct stream *s)
{
    const int n = ssa_cells_positions(c), row = c->columns * c->channels, band = c->high * row;
    const uint64_t down = gain_of(sigma * c->high), across = gain_of(sigma * c->wide);
    for (int i = 0; i < n; i++)
        keys[i] = jitter_key(i, i / row, down, s, (uint32_t)i);
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    for (int first = 0; first < n; first += band) {
        for (int k = first; k < first + band; k++) {
            const int i = (int)(keys[k] & INDEX_MASK);
            keys[k] = jitter_key(i, i % row / c->channels, across, s, SSA_MAX_LENGTH + (uint32_t)i);
        }
        qsort(keys + first, (size_t)band, sizeof *keys, compare_keys);
    }
}

static int check_counter(const char *op, uint64_t step, uint32_t layer)
{
    if (step >> 48)
        return ssa_fail(SSA_EINVAL, "%s: step is %llu, must be below 2^48", op, (unsigned long long)step);
    if (layer >> 15)
        return ssa_fail(SSA_EINVAL, "%s: layer is %u, must be below 32768", op, layer);
    return SSA_OK;
}

static int check_length(const char *op, const char *name, int length)
{
    return length >= 1 && length <= SSA_MAX_LENGTH
               ? SSA_OK
               : ssa_fail(SSA_EINVAL, "%s: %s is %d, must be 1 to %d", op, name, length, SSA_MAX_LENGTH);
}

int ssa_shuffle(int32_t *order, int n, double sigma, uint64_t seed, uint64_t step, uint32_t layer, uint32_t example)
{
    struct stream s = make_stream(seed, step, layer, example);
    uint64_t *keys = NULL;
    int err;
    REQUIRE(order, "shuffle: order is NULL");
    TRY(check_length("shuffle", "n", n));
    REQUIRE(sigma <= (double)MAX_SIGMA * n, "shuffle: sigma is %g, must be at most %d n, %d (negative: uniform)",
            sigma, MAX_SIGMA, MAX_SIGMA * n);
    TRY(check_counter("shuffle", step, layer));
    keys = malloc((size_t)n * sizeof *keys);
    if (!keys)
        TRY(ssa_fail(SSA_ENOMEM, "shuffle: out of host memory for %d keys", n));
    shuffle(keys, n, sigma, &s);
    for (int i = 0; i < n; i++)
        order[i] = (int32_t)(keys[i] & INDEX_MASK);
done:
    free(keys);
    return err;
}

/* ---- how many keys ---- */

/* UNBIASED: of an example with `others` real positions that are not kept. */
static int unbiased_keys(const struct ssa_sample *h, int others)
{
    const int64_t all = h->length - h->keep_count;
    if (h->ratio > 0)
        return ssa_share(h->ratio, others);
    return others ? (int)((h->keys * (int64_t)others + all - 1) / all) : 0;
}

/* `independent`: how probable it is for a position, in 2^DRAW_BITS ths; of sort keys that is what lies over the index. */
enum { DRAW_BITS = 64 - INDEX_BITS };
static uint64_t unbiased_share(const struct ssa_sample *h)
{
    const uint64_t one = (uint64_t)1 << DRAW_BITS;
    const int others = h->length - h->keep_count;
    if (h->ratio > 0)
        return (uint64_t)((double)h->ratio * (double)one);
    return h->keys < others ? (uint64_t)h->keys * one / (uint64_t)others : one;
}

/* ---- the shape of a plan: all that does not depend on the draw ---- */

struct shape {
    int length, queries, block, blocks, slices, examples;
    int slice;      /* keys of a slice, where they are cut out of one order */
    bool permuted;  /* queries, too: a block is one of them, and sees the slice of its own key */
    int positions;  /* of keys and queries: the more of the two */
    int lack;       /* positions by which the first block is shorter */
    int runs;       /* of blocks that see one slice; 0: 1 */
    int back;       /* slices a block sees before its own */
    bool common;
    struct ssa_cells cells; /* rows 0: slices and blocks are in one order */
    size_t sources; /* room for them */
    size_t stride;
};

static void finish_shape(struct shape *s)
{
    s->positions = s->queries > s->length ? s->queries : s->length;
    s->block = s->block ? s->block : s->positions;
    s->blocks = (s->positions + s->lack - 1) / s->block + 1;
    s->stride = PLAN_HEADER + 2 * (size_t)s->blocks + (size_t)s->slices + 1 + s->sources + (size_t)s->positions;
}

static struct shape shape_of(const struct ssa_sample *h)
{
    struct shape s = {.length = h->length, .queries = h->queries ? h->queries : h->length, .slices = 1,
                      .sources = (size_t)h->length};
    s.examples = (h->per_example || h->lengths || h->seeds) && h->batch ? h->batch : 1;
    const bool some = h->kind == SSA_UNBIASED && !h->independent;
    const int others = h->length - h->keep_count, keys = some ? unbiased_keys(h, others) : others;
    if (keys < others)
        s.sources = (size_t)keys + (size_t)h->keep_count;
    if (h->kind == SSA_LOCAL && h->rows) {
        const struct ssa_cells cells = ssa_cells_of(h);
        if (!ssa_cells_one(&cells)) {
            s.cells = cells;
            s.block = ssa_cells_block(&cells);
            s.lack = ssa_cells_lack(&cells);
            s.runs = ssa_cells_runs(&cells);
            s.common = cells.lead > 0 || h->keep_count > 0;
            s.slices = ssa_cells_slices(&cells) + s.common;
        }
    } else if (h->kind == SSA_LOCAL) {
        s.slice = h->look_back ? h->keys / 2 : h->keys;
        s.permuted = h->permute_queries && h->keys < h->length; /* else all see the one slice that there is */
        s.block = s.permuted ? 1 : s.slice;
        s.runs = s.permuted ? s.slice : 0;
        s.back = h->look_back != 0;
        s.common = h->keep_count > 0;
        s.slices = (h->length - 1) / s.slice + 1 + s.common;
    }
    finish_shape(&s);
    return s;
}

static int check_cells(const struct ssa_sample *h)
{
    const struct ssa_cells c = ssa_cells_of(h);
    int err = SSA_OK;
    REQUIRE(c.high || !h->cell_rows, "plan: cells of %d keys in %d rows do not divide a grid of %d x %d points of %d",
            h->look_back ? h->keys / 2 : h->keys, h->cell_rows, c.rows, c.columns, c.channels);
    REQUIRE(c.high, "plan: no cell of %d keys divides a grid of %d x %d points of %d: its rows must divide the grid's, "
            "and its columns", h->look_back ? h->keys / 2 : h->keys, c.rows, c.columns, c.channels);
    const double down = (double)MAX_SIGMA * c.rows / c.high, across = (double)MAX_SIGMA * c.columns / c.wide;
    REQUIRE((h->sigma >= 0 || h->sigma == SSA_NONE) && h->sigma <= down && h->sigma <= across,
            "plan: sigma is %g, must be SSA_NONE or 0 to %g (%d times the grid, in cells of %d x %d)", (double)h->sigma,
            down < across ? down : across, MAX_SIGMA, c.high, c.wide);
done:
    return err;
}

static int check_grid(const struct ssa_sample *h)
{
    int err = SSA_OK;
    REQUIRE(h->rows > 0 && h->columns > 0 && h->channels >= 0 && h->cell_rows >= 0, "plan: rows is %d, columns %d, "
            "channels %d, cell_rows %d: a grid has rows and columns, and none of them is negative", h->rows, h->columns,
            h->channels, h->cell_rows);
    REQUIRE(h->columns <= h->length / h->rows && (!h->channels || h->channels <= h->length / h->rows / h->columns),
            "plan: rows is %d, columns %d, channels %d: more than the length, %d", h->rows, h->columns, h->channels,
            h->length);
    REQUIRE(!h->lengths, "plan: lengths are of sequences in one dimension, and rows is %d", h->rows);
    TRY(check_cells(h));
done:
    return err;
}

static int check_permuted(const struct ssa_sample *h)
{
    int err = SSA_OK;
    if (h->kind != SSA_LOCAL || !h->permute_queries)
        return SSA_OK;
    REQUIRE(!h->look_back && !h->rows && !h->keep_count, "plan: permute_queries: a query sees the slice of its own key "
            "alone: look_back is %d, rows %d, keep_count %d, must be 0", h->look_back, h->rows, h->keep_count);
done:
    return err;
}

static int check_kind(const struct ssa_sample *h)
{
    int err;
    REQUIRE(h->kind == SSA_DENSE || h->kind == SSA_UNBIASED || h->kind == SSA_LOCAL,
            "plan: kind is %d, must be SSA_DENSE, SSA_UNBIASED or SSA_LOCAL", h->kind);
    REQUIRE(h->kind != SSA_UNBIASED || (h->ratio >= 0 && h->ratio <= 1), "plan: ratio is %g, must be 0 or in (0, 1]",
            (double)h->ratio);
    const bool by_keys = h->kind == SSA_LOCAL || (h->kind == SSA_UNBIASED && h->ratio <= 0);
    REQUIRE(!by_keys || (h->keys >= 1 && h->keys <= h->length), "plan: keys is %d, must be 1 to the length, %d", h->keys,
            h->length);
    if (h->kind == SSA_LOCAL) {
        int slice = h->look_back ? h->keys / 2 : h->keys;
        REQUIRE(!h->look_back || h->keys % 2 == 0, "plan: keys is %d, must be even with look_back (two slices)",
                h->keys);
        if (h->rows || h->columns || h->channels || h->cell_rows)
            return check_grid(h);
        REQUIRE((h->sigma >= 0 || h->sigma == SSA_NONE) && (double)h->sigma * slice <= (double)MAX_SIGMA * h->length,
                "plan: sigma is %g, must be SSA_NONE or 0 to %g (%d sequence lengths, in slices of %d)", (double)h->sigma,
                (double)MAX_SIGMA * h->length / slice, MAX_SIGMA, slice);
    }
    err = SSA_OK;
done:
    return err;
}

static int check_flag(const char *name, int value)
{
    return value == 0 || value == 1 ? SSA_OK : ssa_fail(SSA_EINVAL, "plan: %s is %d, must be 0 or 1", name, value);
}

static int check_lengths(const struct ssa_sample *h)
{
    for (int e = 0; h->lengths && e < (h->batch ? h->batch : 1); e++)
        if (h->lengths[e] < 0 || h->lengths[e] > h->length)
            return ssa_fail(SSA_EINVAL, "plan: lengths[%d] is %d, must be 0 to the length, %d", e, h->lengths[e],
                            h->length);
    return SSA_OK;
}

static int check_queries(const struct ssa_sample *h)
{
    int err = SSA_OK;
    if (!h->queries || h->queries == h->length)
        return SSA_OK;
    TRY(check_length("plan", "queries", h->queries));
    REQUIRE(!h->lengths, "plan: queries is %d, the length %d: lengths are of both, which must be the same then", h->queries,
            h->length);
    REQUIRE(h->queries < h->length || (h->kind != SSA_LOCAL && !h->own_key),
            "plan: queries is %d, the length %d: more queries than keys have no positions among them, so that neither "
            "SSA_LOCAL nor own_key can be", h->queries, h->length);
done:
    return err;
}

static int check_keep(const struct ssa_sample *h)
{
    int err;
    REQUIRE(h->keep_count >= 0 && h->keep_count <= h->length, "plan: keep_count is %d, must be 0 to the length, %d",
            h->keep_count, h->length);
    REQUIRE(h->keep || !h->keep_count, "plan: keep is NULL, keep_count %d", h->keep_count);
    for (int i = 0; i < h->keep_count; i++) {
        REQUIRE(h->keep[i] >= 0 && h->keep[i] < h->length, "plan: keep[%d] is %d, must be in [0, %d)", i, h->keep[i],
                h->length);
        REQUIRE(!i || h->keep[i] > h->keep[i - 1], "plan: keep[%d] is %d after %d, must increase", i, h->keep[i],
                h->keep[i - 1]);
    }
    err = SSA_OK;
done:
    return err;
}

static int check_sample(const struct ssa_sample *h)
{
    int err;
    TRY(ssa_check_reserved("plan", h->reserved, 1));
    TRY(check_length("plan", "length", h->length));
    REQUIRE(h->batch >= 0, "plan: batch is %d, must not be negative", h->batch);
    TRY(check_kind(h));
    TRY(check_flag("fixed_windows", h->fixed_windows));
    TRY(check_flag("look_back", h->look_back));
    TRY(check_flag("own_key", h->own_key));
    TRY(check_flag("permute_queries", h->permute_queries));
    TRY(check_permuted(h));
    TRY(check_flag("per_example", h->per_example));
    TRY(check_flag("independent", h->independent));
    TRY(check_lengths(h));
    TRY(check_queries(h));
    TRY(check_keep(h));
    REQUIRE(!h->seeds || (h->batch && !h->lengths),
            "plan: seeds are of a batch's examples: batch is %d, and there must be no lengths", h->batch);
    TRY(check_counter("plan", h->step, h->layer));
    REQUIRE(h->first_example <= UINT32_MAX - (uint32_t)h->batch, "plan: first_example is %u, with batch %d past 2^32",
            h->first_example, h->batch);
done:
    return err;
}

size_t ssa_plan_bound(const struct ssa_sample *how)
{
    if (check_sample(how))
        return 0;
    struct shape s = shape_of(how);
    return (size_t)s.examples * s.stride;
}

/* ---- writing one example's block ---- */

static int32_t *range_of(int32_t *p, int block)
{
    return p + p[PLAN_RANGE_AT] + 2 * block;
}

static void write_header(int32_t *p, const struct shape *s, int real)
{
    memset(p, 0, s->stride * sizeof *p);
    p[PLAN_LENGTH] = real;
    p[PLAN_BLOCK] = s->block;
    p[PLAN_BLOCKS] = s->blocks;
    p[PLAN_COMMON] = s->common;
    p[PLAN_SLICES] = s->slices;
    p[PLAN_RANGE_AT] = PLAN_HEADER;
    p[PLAN_SLICE_AT] = p[PLAN_RANGE_AT] + 2 * s->blocks;
    p[PLAN_SOURCE_AT] = p[PLAN_SLICE_AT] + s->slices + 1;
    p[PLAN_OWN_AT] = p[PLAN_SOURCE_AT] + (int32_t)s->sources;
    p[PLAN_LACK] = s->lack;
    p[PLAN_CELLS] = s->cells.rows > 0 || s->permuted;
}

/* Block b sees slices b - back .. b; with a single slice, that one. */
static void write_ranges(int32_t *p, const struct shape *s, int real)
{
    for (int b = 0; b < s->blocks; b++) {
        int32_t *range = range_of(p, b);
        bool padding = b * s->block >= real;
        if (s->cells.rows) {
            ssa_cells_range(&s->cells, b, range);
            range[0] += s->common;
            range[1] += s->common;
            continue;
        }
        range[0] = padding ? s->slices : (b > s->back ? b - s->back : 0) + s->common;
        range[1] = padding ? s->slices : b + 1 + s->common;
    }
}

/* Blocks of one query each: padding, which is in no slice, sees none. */
static void write_permuted_ranges(int32_t *p, const struct shape *s, const int32_t *slice_of)
{
    for (int i = 0; i < s->blocks; i++) {
        int32_t *range = range_of(p, i);
        range[0] = slice_of[i] < 0 ? s->slices : slice_of[i];
        range[1] = slice_of[i] < 0 ? s->slices : slice_of[i] + 1;
    }
}

static void write_sources(int32_t *p, const int32_t *slice_of, int length)
{
    int32_t *start = p + p[PLAN_SLICE_AT], *source = p + p[PLAN_SOURCE_AT];
    for (int i = 0; i < length; i++)
        if (slice_of[i] >= 0)
            start[slice_of[i] + 1]++;
    for (int s = 0; s < p[PLAN_SLICES]; s++)
        start[s + 1] += start[s];
    for (int i = 0; i < length; i++)
        if (slice_of[i] >= 0)
            source[start[slice_of[i]]++] = i;
    memmove(start + 1, start, (size_t)p[PLAN_SLICES] * sizeof *start); /* each start went to its slice's end */
    start[0] = 0;
}

static void write_own(int32_t *p, const int32_t *slice_of)
{
    for (int i = 0; i < p[PLAN_LENGTH]; i++) {
        const int32_t *range = range_of(p, (i + p[PLAN_LACK]) / p[PLAN_BLOCK]);
        int s = slice_of[i];
        bool seen = (s >= range[0] && s < range[1]) || (p[PLAN_COMMON] && s == 0);
        p[p[PLAN_OWN_AT] + i] = !seen;
    }
}

/* The sources of block b: their count, and where they begin. */
static int sources_of(const int32_t *p, int block, const int32_t **source)
{
    const int32_t *range = p + p[PLAN_RANGE_AT] + 2 * block, *start = p + p[PLAN_SLICE_AT];
    *source = p + p[PLAN_SOURCE_AT] + start[range[0]];
    return start[range[1]] - start[range[0]];
}

static int common_of(const int32_t *p)
{
    return p[PLAN_COMMON] ? p[p[PLAN_SLICE_AT] + 1] : 0;
}

/* Pairs whose query is at or after the source, over queries [begin, end). */
static double causal_pairs(const int32_t *source, int count, int begin, int end)
{
    double pairs = 0;
    for (int s = 0; s < count; s++)
        if (source[s] < end)
            pairs += end - (source[s] > begin ? source[s] : begin);
    return pairs;
}

/* The position of the first query. */
static int first_query(const struct ssa_plan *plan)
{
    return plan->queries < plan->length ? plan->length - plan->queries : 0;
}

/* Adds one example's block to what the plan says of its work. */
static void add_up(struct ssa_plan *plan, const int32_t *p)
{
    int real = p[PLAN_LENGTH], block = p[PLAN_BLOCK], common = common_of(p), first = first_query(plan);
    double own = 0;
    for (int b = 0; b < p[PLAN_BLOCKS]; b++) {
        const int32_t *source;
        int count = sources_of(p, b, &source), begin = b * block - p[PLAN_LACK];
        int end = real - begin < block ? real : begin + block;
        begin = begin > first ? begin : first;
        if (end <= begin)
            continue;
        plan->pairs += (double)(end - begin) * (count + common);
        plan->pairs_causal += causal_pairs(source, count, begin, end);
        if (count + common > plan->max_keys)
            plan->max_keys = count + common;
    }
    for (int i = first; i < real; i++)
        own += p[p[PLAN_OWN_AT] + i];
    for (int s = 0; s < p[PLAN_SLICES]; s++) {
        const int32_t *start = p + p[PLAN_SLICE_AT] + s;
        plan->max_slice = start[1] - start[0] > plan->max_slice ? start[1] - start[0] : plan->max_slice;
    }
    plan->pairs += own;
    plan->pairs_causal += own;
    if (real > first)
        plan->pairs_causal += causal_pairs(p + p[PLAN_SOURCE_AT], common, first, real);
}

/* The same by slices, where their own keys' queries see them: in order, the i-th sees i + 1 that are no later. */
static void add_up_permuted(struct ssa_plan *plan, const int32_t *p)
{
    const int32_t *start = p + p[PLAN_SLICE_AT], *source = p + p[PLAN_SOURCE_AT];
    for (int s = 0; s < p[PLAN_SLICES]; s++) {
        const int count = start[s + 1] - start[s];
        int first = start[s];
        while (first < start[s + 1] && source[first] < first_query(plan))
            first++;
        for (int i = first; i < start[s + 1]; i++)
            plan->pairs_causal += i - start[s] + 1;
        plan->pairs += (double)(start[s + 1] - first) * count;
        plan->max_slice = count > plan->max_slice ? count : plan->max_slice;
        if (first < start[s + 1] && count > plan->max_keys)
            plan->max_keys = count;
    }
}

static int prepare(struct ssa_plan *plan, const struct shape *s)
{
    size_t count = (size_t)s->examples * s->stride;
    if (count > plan->capacity) {
        int32_t *data = count > SIZE_MAX / sizeof *data ? NULL : realloc(plan->data, count * sizeof *data);
        if (!data)
            return ssa_fail(SSA_ENOMEM, "plan: out of host memory for %zu int32", count);
        plan->data = data;
        plan->capacity = count;
    }
    plan->stride = s->stride;
    plan->examples = s->examples;
    plan->length = s->length;
    plan->queries = s->queries;
    plan->block = s->block;
    plan->lack = s->lack;
    plan->runs = s->runs ? s->runs : 1;
    plan->blocks = s->blocks;
    plan->slices = s->slices;
    plan->max_slice = 0;
    plan->max_keys = 0;
    plan->window = 0;
    plan->pairs = plan->pairs_causal = 0;
    return SSA_OK;
}

/* ---- drawing a plan ---- */

/* The first k of the shuffled positions that are not kept anyway, and those. */
static void choose_unbiased(const struct ssa_sample *h, int real, const uint64_t *keys, int32_t *slice_of)
{
    int kept = 0;
    for (; kept < h->keep_count && h->keep[kept] < real; kept++)
        slice_of[h->keep[kept]] = 0;
    for (int r = 0, left = unbiased_keys(h, real - kept); r < real && left; r++) {
        int32_t *slice = &slice_of[keys[r] & INDEX_MASK];
        left -= *slice < 0;
        *slice = 0;
    }
}

/* Each by its own draw, and those that are kept. */
static void choose_independent(const struct ssa_sample *h, int real, const uint64_t *keys, int32_t *slice_of)
{
    const uint64_t share = unbiased_share(h);
    for (int i = 0; i < real; i++)
        slice_of[i] = keys[i] >> INDEX_BITS < share ? 0 : -1;
    for (int i = 0; i < h->keep_count && h->keep[i] < real; i++)
        slice_of[h->keep[i]] = 0;
}

static void choose_local(const struct ssa_sample *h, const struct shape *s, int real, const uint64_t *keys,
                         int32_t *slice_of)
{
    for (int r = 0; r < real; r++)
        slice_of[keys[r] & INDEX_MASK] = r / s->slice + s->common;
    for (int i = 0; i < h->keep_count && h->keep[i] < real; i++)
        slice_of[h->keep[i]] = 0;
}

static void choose_cells(const struct ssa_sample *h, const struct shape *s, const uint64_t *keys, int32_t *slice_of)
{
    const struct ssa_cells *c = &s->cells;
    const int each = ssa_cells_each(c), across = c->columns / c->wide;
    for (int r = 0; r < ssa_cells_positions(c); r++)
        slice_of[c->lead + (int)(keys[r] & INDEX_MASK)] =
            ssa_cells_slice(c, r / each / across, r / each % across) + s->common;
    for (int i = 0; i < c->lead; i++)
        slice_of[i] = 0;
    for (int i = 0; i < h->keep_count; i++)
        slice_of[h->keep[i]] = 0;
}

/* Padding is never shuffled: only the `real` first positions are. */
static void choose(const struct ssa_sample *h, const struct shape *s, int example, int real, uint64_t *keys,
                   int32_t *slice_of)
{
    struct stream stream =
        h->seeds ? make_stream(h->seeds[example], h->step, h->layer, h->per_example ? h->first_example : 0)
                 : make_stream(h->seed, h->step, h->layer, h->per_example ? h->first_example + (uint32_t)example : 0);
    const double slices = h->fixed_windows || h->sigma < 0 ? 0 : h->sigma > 0 ? (double)h->sigma : 1.0;
    const bool all = h->kind == SSA_DENSE || (h->kind == SSA_LOCAL && h->rows && !s->cells.rows); /* or one cell */
    for (int i = 0; i < h->length; i++)
        slice_of[i] = all && i < real ? 0 : -1;
    if (all)
        return;
    if (s->cells.rows) {
        shuffle_cells(keys, &s->cells, slices, &stream);
        choose_cells(h, s, keys, slice_of);
        return;
    }
    if (h->kind == SSA_UNBIASED && h->independent) {
        uniform_keys(keys, real, &stream);
        choose_independent(h, real, keys, slice_of);
        return;
    }
    shuffle(keys, real, h->kind == SSA_UNBIASED ? -1 : slices * s->slice, &stream);
    if (h->kind == SSA_UNBIASED)
        choose_unbiased(h, real, keys, slice_of);
    else
        choose_local(h, s, real, keys, slice_of);
}

static int window_of(const struct ssa_sample *h, const struct shape *s)
{
    return s->permuted && s->queries == s->length && !h->lengths && s->length % s->slice == 0 ? s->slice : 0;
}

int ssa_plan_draw(struct ssa_plan *plan, const struct ssa_sample *how)
{
    uint64_t *keys = NULL;
    int32_t *slice_of = NULL;
    struct shape s;
    int err;

    TRY(check_sample(how));
    s = shape_of(how);
    keys = malloc((size_t)how->length * sizeof *keys);
    slice_of = malloc((size_t)how->length * sizeof *slice_of);
    if (!keys || !slice_of)
        TRY(ssa_fail(SSA_ENOMEM, "plan: out of host memory for %d keys", how->length));
    TRY(prepare(plan, &s));
    plan->window = window_of(how, &s);
    for (int e = 0; e < s.examples; e++) {
        int32_t *p = plan->data + (size_t)e * s.stride;
        int real = how->lengths ? how->lengths[e] : how->length, answered = how->lengths ? real : s.positions;
        choose(how, &s, e, real, keys, slice_of);
        write_header(p, &s, answered);
        if (s.permuted)
            write_permuted_ranges(p, &s, slice_of);
        else
            write_ranges(p, &s, answered);
        write_sources(p, slice_of, s.length);
        if (how->own_key)
            write_own(p, slice_of);
        (s.permuted ? add_up_permuted : add_up)(plan, p);
    }
done:
    free(keys);
    free(slice_of);
    return err;
}

int ssa_plan_upload(struct ssa_device *device, const struct ssa_plan *plan, struct ssa_tensor *data)
{
    int err;
    TRY(ssa_check_device(device, "plan_upload"));
    REQUIRE(plan && plan->data, "plan_upload: plan is absent or not drawn (ssa_plan_draw)");
    REQUIRE(data, "plan_upload: data is NULL");
    const size_t count = plan->stride * (size_t)plan->examples;
    if (!data->buffer) {
        const size_t room = plan->capacity > count ? plan->capacity : count;
        TRY(ssa_buffer_create(&data->buffer, device, room * sizeof *plan->data));
        data->offset = 0;
        data->type = SSA_I32;
    }
    TRY(ssa_check_tensor(device, "plan_upload", "data", *data, SSA_I32, count, false));
    TRY(ssa_tensor_write(*data, plan->data, count));
done:
    return err;
}

void ssa_plan_finish(struct ssa_plan *plan)
{
    if (!plan)
        return;
    free(plan->data);
    *plan = (struct ssa_plan){0};
}

/* ---- a plan from a layout ---- */

static int check_layout(const struct ssa_layout *l)
{
    int err;
    TRY(ssa_check_reserved("layout", l->reserved, 4));
    TRY(check_length("layout", "length", l->length));
    REQUIRE(l->block >= 1 && l->block <= l->length, "layout: block is %d, must be 1 to the length, %d", l->block,
            l->length);
    REQUIRE(l->slices >= 1 && l->slices <= SSA_MAX_LENGTH, "layout: slices is %d, must be 1 to %d", l->slices,
            SSA_MAX_LENGTH);
    REQUIRE(l->order && l->slice_start && l->first && l->end,
            "layout: order, slice_start, first and end must not be NULL");
    REQUIRE(l->own_key == 0 || l->own_key == 1, "layout: own_key is %d, must be 0 or 1", l->own_key);
    REQUIRE(l->slice_start[0] >= 0, "layout: slice_start[0] is %d, must not be negative", l->slice_start[0]);
    for (int s = 0; s < l->slices; s++)
        REQUIRE(l->slice_start[s + 1] >= l->slice_start[s] &&
                    l->slice_start[s + 1] - l->slice_start[0] <= l->length,
                "layout: slice_start[%d] is %d after %d, must not decrease, nor pass the length, %d", s + 1,
                l->slice_start[s + 1], l->slice_start[s], l->length);
    for (int b = 0; b <= (l->length - 1) / l->block; b++)
        REQUIRE(l->first[b] >= (b ? l->first[b - 1] : 0) && l->end[b] >= (b ? l->end[b - 1] : 0) &&
                    l->first[b] <= l->end[b] && l->end[b] <= l->slices,
                "layout: block %d sees slices [%d, %d): must be within [0, %d) and never step back", b, l->first[b],
                l->end[b], l->slices);
done:
    return err;
}

static int assign_slices(const struct ssa_layout *l, int32_t *slice_of)
{
    for (int i = 0; i < l->length; i++)
        slice_of[i] = -1;
    for (int s = 0; s < l->slices; s++)
        for (int i = l->slice_start[s]; i < l->slice_start[s + 1]; i++) {
            int source = l->order[i];
            if (source < 0 || source >= l->length)
                return ssa_fail(SSA_EINVAL, "layout: order[%d] is %d, must be in [0, %d)", i, source, l->length);
            if (slice_of[source] >= 0)
                return ssa_fail(SSA_EINVAL, "layout: order[%d] is %d, which slice %d has already", i, source,
                                slice_of[source]);
            slice_of[source] = s;
        }
    return SSA_OK;
}

int ssa_plan_from_layout(struct ssa_plan *plan, const struct ssa_layout *l)
{
    int32_t *slice_of = NULL;
    struct shape s;
    int err;

    TRY(check_layout(l));
    s = (struct shape){.length = l->length, .queries = l->length, .block = l->block, .slices = l->slices, .examples = 1};
    s.sources = (size_t)(l->slice_start[l->slices] - l->slice_start[0]);
    finish_shape(&s);
    slice_of = malloc((size_t)l->length * sizeof *slice_of);
    if (!slice_of)
        TRY(ssa_fail(SSA_ENOMEM, "layout: out of host memory for %d sources", l->length));
    TRY(assign_slices(l, slice_of));
    TRY(prepare(plan, &s));
    write_header(plan->data, &s, l->length);
    for (int b = 0; b < s.blocks; b++) {
        range_of(plan->data, b)[0] = l->first[b];
        range_of(plan->data, b)[1] = l->end[b];
    }
    write_sources(plan->data, slice_of, l->length);
    if (l->own_key)
        write_own(plan->data, slice_of);
    add_up(plan, plan->data);
done:
    free(slice_of);
    return err;
}

/* ---- the beginning of a plan ---- */

static int check_head(const struct ssa_plan *plan, const struct ssa_plan *whole, int keys, int queries)
{
    int err = SSA_OK;
    REQUIRE(plan && whole && plan != whole, "plan_head: plan and whole must be two plans");
    REQUIRE(whole->data && whole->queries == whole->length, "plan_head: whole is not drawn, or has %d queries of %d "
            "positions, and must have all", whole->queries, whole->length);
    REQUIRE(keys >= 1 && keys <= whole->length, "plan_head: keys is %d, must be 1 to the length, %d", keys,
            whole->length);
    REQUIRE(queries >= 1 && queries <= keys, "plan_head: queries is %d, must be 1 to the keys, %d", queries, keys);
done:
    return err;
}

/* The slices that the queries at positions [first, end) see, in addition to a common one: these and maybe others
 * between. */
static void slices_seen(const int32_t *p, int first, int end, int seen[2])
{
    const int last = (end - 1 + p[PLAN_LACK]) / p[PLAN_BLOCK];
    seen[0] = p[PLAN_SLICES];
    seen[1] = 0;
    for (int b = (first + p[PLAN_LACK]) / p[PLAN_BLOCK]; b <= last; b++) {
        const int32_t *range = p + p[PLAN_RANGE_AT] + 2 * b;
        seen[0] = range[0] < seen[0] ? range[0] : seen[0];
        seen[1] = range[1] > seen[1] ? range[1] : seen[1];
    }
    seen[0] = seen[0] < seen[1] ? seen[0] : seen[1];
}

static struct shape shape_of_head(const struct ssa_plan *whole, int keys, int queries)
{
    struct shape s = {.length = keys, .queries = queries, .lack = whole->lack, .runs = whole->runs,
                      .slices = whole->slices,
                      .block = whole->block < keys || whole->lack ? whole->block : keys, .examples = whole->examples,
                      .common = whole->data[PLAN_COMMON]};
    for (int e = 0; e < whole->examples; e++) {
        const int32_t *p = whole->data + (size_t)e * whole->stride, *start = p + p[PLAN_SLICE_AT];
        int seen[2];
        slices_seen(p, keys - queries, keys, seen);
        size_t sources = (size_t)(start[seen[1]] - start[seen[0]] + common_of(p));
        s.sources = sources > s.sources ? sources : s.sources;
    }
    s.sources = s.sources < (size_t)keys ? s.sources : (size_t)keys;
    finish_shape(&s);
    return s;
}

/* Slices that nobody sees any more are left empty. */
static void write_head_sources(int32_t *p, const int32_t *whole, int keys, const int seen[2])
{
    const int32_t *from = whole + whole[PLAN_SOURCE_AT], *bound = whole + whole[PLAN_SLICE_AT];
    int32_t *start = p + p[PLAN_SLICE_AT], *source = p + p[PLAN_SOURCE_AT], count = 0;
    for (int s = 0; s < p[PLAN_SLICES]; s++) {
        const bool is_seen = (s >= seen[0] && s < seen[1]) || (p[PLAN_COMMON] && s == 0);
        start[s] = count;
        for (int i = bound[s]; is_seen && i < bound[s + 1] && from[i] < keys; i++)
            source[count++] = from[i];
    }
    start[p[PLAN_SLICES]] = count;
}

int ssa_plan_head(struct ssa_plan *plan, const struct ssa_plan *whole, int keys, int queries)
{
    int err;
    TRY(check_head(plan, whole, keys, queries));
    struct shape s = shape_of_head(whole, keys, queries);
    TRY(prepare(plan, &s));
    for (int e = 0; e < s.examples; e++) {
        int32_t *p = plan->data + (size_t)e * s.stride;
        const int32_t *from = whole->data + (size_t)e * whole->stride;
        int seen[2];
        slices_seen(from, keys - queries, keys, seen);
        write_header(p, &s, from[PLAN_LENGTH] < keys ? from[PLAN_LENGTH] : keys);
        p[PLAN_CELLS] = from[PLAN_CELLS];
        memcpy(p + p[PLAN_RANGE_AT], from + from[PLAN_RANGE_AT], 2 * (size_t)s.blocks * sizeof *p);
        write_head_sources(p, from, keys, seen);
        memcpy(p + p[PLAN_OWN_AT], from + from[PLAN_OWN_AT], (size_t)keys * sizeof *p);
        add_up(plan, p);
    }
done:
    return err;
}

/* ---- looking at a plan ---- */

static int compare_positions(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int ssa_plan_keys(const struct ssa_plan *plan, int example, int query, int32_t *keys)
{
    const int32_t *source;
    if (!plan->data || example < 0 || example >= plan->examples || query < 0 || query >= plan->queries)
        return ssa_fail(SSA_EINVAL, "plan_keys: query %d of example %d: the plan has %d examples of %d", query, example,
                        plan->examples, plan->queries);
    const int32_t *p = plan->data + (size_t)example * plan->stride;
    query += first_query(plan);
    if (query >= p[PLAN_LENGTH])
        return 0;
    int common = common_of(p), count = sources_of(p, (query + p[PLAN_LACK]) / p[PLAN_BLOCK], &source);
    memcpy(keys, p + p[PLAN_SOURCE_AT], (size_t)common * sizeof *keys);
    memcpy(keys + common, source, (size_t)count * sizeof *keys);
    count += common;
    if (p[p[PLAN_OWN_AT] + query])
        keys[count++] = query;
    qsort(keys, (size_t)count, sizeof *keys, compare_positions);
    return count;
}

/* What attention's kernels of CPU shape are made of: tiles of queries, packed rows, and a product in registers.
 *
 * A tile is TILE queries of one head; it meets its keys in blocks of KEYS. Scores are held transposed, [key][query],
 * so that softmax runs lane by lane, without a horizontal sum. Every product of a tile has the form
 *     c[r][:] (+)= sum over t of a[r][t] b[t][:]
 * with a few rows r and a few vectors of columns in registers, a broadcast, b loaded. All operands are private and
 * contiguous: rows of q, k, v are often 2 to 8 KiB apart, which in place would meet in a few sets of the caches.
 */
#ifndef SSA_ATTENTION_TILE_H
#define SSA_ATTENTION_TILE_H

#if !defined(__OPENCL_C_VERSION__) && !defined(__AVX512F__)
#ifdef __AVX__
#define VW 8
#else
#define VW 4
#endif
#endif
#include "attention_queries.h"

#ifndef TILE
#define TILE 64 /* queries of a tile */
#endif
#ifdef PARTS /* products on a matrix engine */
#include "parts.h"
#define GROUP PANEL
#else
#define MATRIX_BEGIN
#define MATRIX_END
#define GROUP (2 * VW) /* queries whose scores are made at once; divides TILE */
#endif

/* D: the head width of keys and of values, where the build is specialised for it. Else what packs and multiplies rows
 * is told their width. PITCH: floats of a packed row, whole vectors. */
#ifdef D
#define WIDTH D
#define WIDTH_MAX ((D + VW - 1) / VW * VW)
#define ROWS (VW == 16 && WIDTH_MAX / VW % 4 ? 8 : 4)
#else
#define WIDTH width
#define WIDTH_MAX 256
#define ROWS 4
#endif
#define WIDE (VW == 16 ? ROWS == 4 : 0) /* 4 x 4 vectors fit the registers */
#define PITCH ((WIDTH + VW - 1) / VW * VW)
#ifdef D
#define VALUE_PITCH PITCH
#else
#define VALUE_PITCH ((value_width + VW - 1) / VW * VW)
#endif
#if !defined(KEYS) || KEYS == 0
#undef KEYS
#if WIDTH_MAX <= 128
#define KEYS 64 /* keys of a block */
#else
#define KEYS 32
#endif
#endif
#define STRIP 8 /* keys of a block whose scores are made at once; divides KEYS; ROWS divides it */

#define ALIGNED __attribute__((aligned(64)))

enum { REPLACE, ADD, RESCALE }; /* c = ab, c = c + ab, c[r] = c[r] factor[r] + ab */

/* Of the steps [0, count) of a product, those in [begin, end) count for all its rows. In the others, at the edge of
 * what is masked, an `a` of 0 adds nothing, whatever b is: 0 times NaN would be NaN, in rows that must not see it. Where b
 * is finite, which is cheaper to know (all_finite()), all steps may count for all rows. */
struct steps {
    int begin, end, count;
};
INLINE struct steps all_steps(int count)
{
    struct steps s = {0, count, count};
    return s;
}

#define PRODUCT_STEPS(R, V, from, to, masked) \
    for (int t = from; t < to; t++) { \
        vec x[V]; \
        UNROLL for (int v = 0; v < V; v++) x[v] = vec_load(b + t * b_pitch + v * VW); \
        UNROLL for (int r = 0; r < R; r++) \
        { \
            float f = a[r * a_row + t * a_step]; \
            vec y = vec_set(f); \
            if (!(masked) || f != 0.0f) \
                UNROLL for (int v = 0; v < V; v++) sum[r][v] += y * x[v]; \
        } \
    }

/* c [R rows of V vectors, c_pitch apart]; a(r, t) is a[r * a_row + t * a_step]; row t of b is b + t * b_pitch. */
#define DEFINE_PRODUCT(name, R, V) \
    INLINE void name(float *c, int c_pitch, const float *a, int a_row, int a_step, const float *b, int b_pitch, \
                     struct steps steps, int mode, const float *factor) \
    { \
        vec sum[R][V]; \
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++) \
        { \
            if (mode == REPLACE) \
                sum[r][v] = vec_set(0.0f); \
            else if (mode == ADD) \
                sum[r][v] = vec_load(c + r * c_pitch + v * VW); \
            else \
                sum[r][v] = vec_load(c + r * c_pitch + v * VW) * factor[r]; \
        } \
        PRODUCT_STEPS(R, V, 0, steps.begin, 1) \
        PRODUCT_STEPS(R, V, steps.begin, steps.end, 0) \
        PRODUCT_STEPS(R, V, steps.end, steps.count, 1) \
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++) \
            vec_store(c + r * c_pitch + v * VW, sum[r][v]); \
    }
DEFINE_PRODUCT(product_8x2, 8, 2)
DEFINE_PRODUCT(product_8x1, 8, 1)
DEFINE_PRODUCT(product_4x4, 4, 4)
DEFINE_PRODUCT(product_4x2, 4, 2)
DEFINE_PRODUCT(product_4x1, 4, 1)

/* The product for ROWS rows and all columns of a head: 16 sums in the 32 registers of AVX-512, 8 in 16. */
INLINE void product_rows(float *c, const float *a, int a_row, int a_step, const float *b, struct steps steps,
                         int mode, const float *factor, int width)
{
    int column = 0;
    if (WIDE)
        for (; column + 4 * VW <= PITCH; column += 4 * VW)
            product_4x4(c + column, PITCH, a, a_row, a_step, b + column, PITCH, steps, mode, factor);
    for (; column + 2 * VW <= PITCH; column += 2 * VW) {
        if (ROWS == 4)
            product_4x2(c + column, PITCH, a, a_row, a_step, b + column, PITCH, steps, mode, factor);
        else
            product_8x2(c + column, PITCH, a, a_row, a_step, b + column, PITCH, steps, mode, factor);
    }
    for (; column < PITCH; column += VW) {
        if (ROWS == 4)
            product_4x1(c + column, PITCH, a, a_row, a_step, b + column, PITCH, steps, mode, factor);
        else
            product_8x1(c + column, PITCH, a, a_row, a_step, b + column, PITCH, steps, mode, factor);
    }
}

/* scores[key][GROUP queries] = keys . queries, for `count` keys, rounded up to whole strips. */
INLINE void product_scores(float *scores, const float *keys, const float *queries_t, int count, int width)
{
    for (int j = 0; j < count; j += STRIP) {
        if (VW == 16) {
            product_8x2(scores + j * TILE, TILE, keys + j * PITCH, PITCH, 1, queries_t, TILE, all_steps(WIDTH), REPLACE,
                        scores);
            continue;
        }
        for (int i = j; i < j + STRIP; i += 4)
            product_4x2(scores + i * TILE, TILE, keys + i * PITCH, PITCH, 1, queries_t, TILE, all_steps(WIDTH), REPLACE,
                        scores);
    }
}

/* Columns from c of a row in global memory, whose last vec may not be whole: zeros then. */
INLINE vec row_load(__global const float *row, int c, int width)
{
    return c + VW <= WIDTH ? vec_load(row + c) : vec_load_part(row + c, WIDTH - c);
}

INLINE void row_store(__global float *row, int c, vec x, int width)
{
    if (c + VW <= WIDTH)
        vec_store(row + c, x);
    else
        vec_store_part(row + c, x, WIDTH - c);
}

/* One row, times factor, the padding zeroed. */
INLINE void pack_row(float *to, __global const float *from, float factor, int width)
{
    for (int c = 0; c < PITCH; c += VW)
        vec_store(to + c, row_load(from, c, width) * factor);
}

INLINE void prefetch_row(__global const float *row, int width)
{
    for (int c = 0; c < WIDTH; c += 16) /* a line of 64 bytes */
        PREFETCH(row + c);
}

/* Row `at` of two tensors: of k and v, or of their gradients. */
INLINE void prefetch_pair(__global const float *a, ulong a_stride, int width, __global const float *b, ulong b_stride,
                          int value_width, ulong at)
{
    prefetch_row(a + at * a_stride, width);
    prefetch_row(b + at * b_stride, value_width);
}

INLINE void clear_rows(float *to, int first, int end, int width)
{
    for (int i = first * PITCH; i < end * PITCH; i += VW)
        vec_store(to + i, vec_set(0.0f));
}

/* `count` consecutive rows; zeros up to a whole group. */
INLINE void pack_tile(float *to, __global const float *from, ulong stride, int count, float factor, int width)
{
    for (int r = 0; r < count; r++)
        pack_row(to + r * PITCH, from + r * stride, factor, width);
    clear_rows(to, count, (count + GROUP - 1) / GROUP * GROUP, width);
}

/* Whether packed rows, and what fills them up to a whole strip, have neither NaN nor infinity. */
INLINE int all_finite(const float *rows, int count, int width)
{
    vec zero[STRIP];
    UNROLL for (int i = 0; i < STRIP; i++) zero[i] = vec_set(0.0f);
    for (int r = 0; r < count; r += STRIP)
        for (int c = 0; c < PITCH; c += VW)
            UNROLL for (int i = 0; i < STRIP; i++) zero[i] += vec_load(rows + (r + i) * PITCH + c) * 0.0f;
    UNROLL for (int i = 1; i < STRIP; i++) zero[0] += zero[i];
    return vec_sum(zero[0]) == 0.0f;
}

/* The rows that `source` names; zeros up to a whole strip. */
INLINE void pack_keys(float *to, __global const float *from, ulong stride, __global const int *source, int count,
                      int width)
{
    for (int j = 0; j < count; j++)
        pack_row(to + j * PITCH, from + source[j] * stride, 1.0f, width);
    clear_rows(to, count, (count + STRIP - 1) / STRIP * STRIP, width);
}

/* to[d][query] = from[query][d] * factor, in squares of VW by log2(VW) rounds of a perfect shuffle of their rows, for
 * the `count` queries and the zeros up to a whole group: what scores are made of. */
INLINE void transpose_tile(float *to, const float *from, int count, float factor, int width)
{
    for (int d = 0; d < PITCH; d += VW)
        for (int r = 0; r < (count + GROUP - 1) / GROUP * GROUP; r += VW) {
            vec x[VW], y[VW];
            UNROLL for (int i = 0; i < VW; i++) x[i] = vec_load(from + (r + i) * PITCH + d) * factor;
            UNROLL for (int round = 1; round < VW; round *= 2)
            {
                UNROLL for (int i = 0; i < VW / 2; i++)
                {
                    y[2 * i] = vec_zip_low(x[i], x[i + VW / 2]);
                    y[2 * i + 1] = vec_zip_high(x[i], x[i + VW / 2]);
                }
                UNROLL for (int i = 0; i < VW; i++) x[i] = y[i];
            }
            UNROLL for (int i = 0; i < VW; i++) vec_store(to + (d + i) * TILE + r, x[i]);
        }
}

/* Lane r: row r of x times row r of y, for the first `rows` of VW. */
INLINE vec dot_rows(__global const float *x, ulong x_stride, const float *y, int rows, int width)
{
    vec sum[VW];
    for (int i = 0; i < VW; i++, x += x_stride, y += PITCH) {
        sum[i] = vec_set(0.0f);
        if (i >= rows)
            continue;
        for (int c = 0; c < PITCH; c += VW)
            sum[i] += row_load(x, c, width) * vec_load(y + c);
    }
    return vec_sums(sum);
}

/* to[:] += from[:] factor */
INLINE void add_row(__global float *to, const float *from, float factor, int width)
{
    for (int c = 0; c < PITCH; c += VW)
        row_store(to, c, row_load(to, c, width) + vec_load(from + c) * factor, width);
}

INLINE void clear_row(__global float *to, int width)
{
    for (int c = 0; c < PITCH; c += VW)
        row_store(to, c, vec_set(0.0f), width);
}

INLINE void store_row(__global float *to, const float *from, float factor, int width)
{
    for (int c = 0; c < PITCH; c += VW)
        row_store(to, c, vec_load(from + c) * factor, width);
}

/* How many of sorted source[0..count) are at or before `position`. */
INLINE int visible(__global const int *source, int count, int position)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (source[middle] <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of a causal block's keys: how many a group of queries from `first` on sees at all, and how many each of them sees. */
struct edge {
    int seen, certain;
};
INLINE struct edge edge_of(__global const int *source, int count, int masked, int first)
{
    struct edge e = {count, count};
    if (masked) {
        e.seen = visible(source, count, first + GROUP - 1);
        e.certain = visible(source, e.seen, first);
    }
    return e;
}

/* Moves the steps of a product over a causal block's keys on to the ROWS queries from `first`. */
INLINE struct steps see_more(struct steps s, __global const int *source, int count, int first, int finite)
{
    while (s.count < count && source[s.count] <= first + ROWS - 1)
        s.count++;
    while (!finite && s.end < s.count && source[s.end] <= first)
        s.end++;
    s.end = finite ? s.count : s.end;
    return s;
}

/* Tile `id` of a plan, empty where there is none: `count` rows from position `first`, of which the first `answered` are
 * not padding; its block's slices. */
struct tile {
    int first, count, answered;
    int slice, slice_end;
};
INLINE struct tile tile_of(__global const int *plan, int id, int query_begin, int query_end)
{
    struct tile t;
    int block = plan[PLAN_BLOCK], tiles = (block + TILE - 1) / TILE, b = id / tiles;
    if (id < 0 || b >= plan[PLAN_BLOCKS]) {
        t.first = query_begin;
        t.count = t.answered = t.slice = t.slice_end = 0;
        return t;
    }
    const int begin = b * block - plan[PLAN_LACK], at = begin + id % tiles * TILE;
    const int stop = min(min(begin + block, query_end), at + TILE);
    t.first = max(at, query_begin);
    t.count = max(stop - t.first, 0);
    t.answered = max(min(plan[PLAN_LENGTH] - t.first, t.count), 0);
    t.slice = plan[plan[PLAN_RANGE_AT] + 2 * b];
    t.slice_end = plan[plan[PLAN_RANGE_AT] + 2 * b + 1];
    return t;
}

/* The tile's runs of sources: slice 0 where every block sees it, then each slice of its own, sorted, or, where order
 * does not matter, all of them as one. `run` counts from 0; false past the last. Indices into source[]. */
INLINE int run_of(__global const int *plan, struct tile t, int run, int sorted, int *begin, int *end)
{
    __global const int *start = plan + plan[PLAN_SLICE_AT];
    int slice = t.slice + run - plan[PLAN_COMMON];
    if (slice < t.slice) {
        *begin = start[0];
        *end = start[1];
        return 1;
    }
    if (slice >= t.slice_end || (!sorted && slice > t.slice))
        return 0;
    *begin = start[slice];
    *end = start[sorted ? slice + 1 : t.slice_end];
    return 1;
}

/* At most KEYS keys, the first of the `left` that a run has yet to meet; masked: some query of the tile, whose first is
 * at `first`, does not see them all. */
struct block {
    __global const int *source;
    int count, left, masked;
};
INLINE struct block block_of(__global const int *source, int left, int causal, int first)
{
    struct block b = {source, min(KEYS, left), left, 0};
    b.masked = causal && source[b.count - 1] > first;
    return b;
}

/* ---- what is fetched while a tile's products run, so that none waits for memory ---- */

/* Rows of one head, one a position or query. */
struct head_rows {
    __global const float *at;
    ulong stride;
    int width;
};
/* Keys and values of one head, or their gradients, one of each a position. */
struct kv {
    __global const float *k, *v;
    ulong k_stride, v_stride;
    int width, value_width;
};

INLINE void prefetch_head(struct head_rows x, int row)
{
    prefetch_row(x.at + row * x.stride, x.width);
}

INLINE void prefetch_kv(struct kv x, ulong at)
{
    prefetch_pair(x.k, x.k_stride, x.width, x.v, x.v_stride, x.value_width, at);
}

/* Keys source[from .. end). */
INLINE void prefetch_keys(struct kv x, __global const int *source, int from, int end)
{
    for (int i = from; i < end; i++)
        prefetch_kv(x, source[i]);
}

/* The rows of a tile's result, written last, and what the next tile starts from: its queries, its first keys unless it
 * has this tile's, and its queries' own keys. Backward alone has out, dout and gradients of keys. */
struct ahead {
    struct tile next;
    struct head_rows result, q, out, dout; /* result: from this tile's first row; the others: from the next one's */
    struct kv kv, gradients;
    __global const int *keys, *own; /* the next tile's first keys; which of its queries see their own, null: none */
    int key_count, result_count;
    int clears; /* the next tile begins by clearing the gradients at its own positions */
    int turn;   /* of TILE, the one to come */
    int pace;   /* turns with each product, so that TILE are done with a run's last one */
};

/* Begins the turns of tile t. The caller names the rows. */
INLINE void look_ahead(struct ahead *a, __global const int *plan, struct tile t, struct tile next, int causal)
{
    int begin = 0, end = 0;
    if (next.slice != t.slice)
        run_of(plan, next, 0, causal, &begin, &end);
    a->next = next;
    a->keys = plan + plan[PLAN_SOURCE_AT] + begin;
    a->key_count = min(end - begin, KEYS);
    a->result_count = t.count;
    a->turn = 0;
}

/* With one product: a row of everything each turn. */
INLINE void prefetch_ahead(struct ahead *a)
{
    for (const int end = min(a->turn + a->pace, TILE); a->turn < end; a->turn++) {
        const int i = a->turn;
        prefetch_head(a->result, min(i, a->result_count - 1));
        if (i < a->key_count) {
            prefetch_kv(a->kv, a->keys[i]);
            if (a->gradients.k)
                prefetch_kv(a->gradients, a->keys[i]);
        }
        if (i >= a->next.answered)
            continue;
        prefetch_head(a->q, i);
        if (a->dout.at) {
            prefetch_head(a->out, i);
            prefetch_head(a->dout, i);
        }
        const int own = a->own && a->own[i];
        if (own)
            prefetch_kv(a->kv, a->next.first + i);
        if (a->gradients.k && (own || a->clears))
            prefetch_kv(a->gradients, a->next.first + i);
    }
}

#endif

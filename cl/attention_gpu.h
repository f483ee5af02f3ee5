/* What the attention kernels of GPU shape share: two products of tiles, and the walk over the keys of a plan.
 *
 * A work-group of SIDE x SIDE work-items owns a tile of TILE rows. Work-item (x, y) holds, of TILE x TILE scores, the
 * 4 x 4 at rows 4y.. and columns 4x..; of the TILE x D sums, 4 rows and COLUMNS vectors of CW columns.
 *   scores()  s = A B^T over the width, A and B staged DEPTH columns at a time, transposed
 *   gather()  sum += W X for a TILE x TILE matrix W in local memory, X staged CHUNK rows at a time
 * Rows come through lists of positions in local memory, so that gathering sampled keys costs nothing extra.
 *
 * Local memory, in floats: `stage` for the two transposed chunks, and once they are used up for W (PITCH = TILE + 4
 * makes the transposing stores and the reads of 4 rows free of bank conflicts); `values` for X and for reductions.
 * At most 26 KiB at TILE 64, for every D: what OpenCL promises (32 KiB) does.
 *
 * Lab book. Never timed on a GPU: correct on CPU stacks in this shape, and compiled for GPUs offline (clang 15).
 *   Registers of a work-item, TILE 64, forward / dq / dk+dv, no spills or stack anywhere:
 *            D 64             D 128            D 256
 *   gfx90a   162 / 220 / 168  204 / 228 / 206  244 / 248 / 246
 *   gfx1030  151 / 170 / 165  195 / 206 / 202  227 / 238 / 240
 *   sm_86    128 / 133 / 143  167 / 168 / 168  253 / 254 / 255
 *   Unrolling the reductions over SIDE work-items whole took 146 / 188 at D 64 on sm_86 (64 registers for one max):
 *   by 4.
 *   Unrolling less in staging or in own_dot() changed nothing. More than 128 registers leave one group of 256
 *   work-items at a time on sm_86: the first thing to try on a device is fewer in the two gradients.
 *   A return before the first barrier, though all items took it, corrupted PoCL 3.1's heap: tiles without work run
 *   through with empty loops instead. Slices shorter than TILE waste the rest of a tile in dk and dv.
 */
#ifndef SSA_ATTENTION_GPU_H
#define SSA_ATTENTION_GPU_H

#include "common.h"
#include "plan.h"

#ifndef D
#define D 64 /* head width, a multiple of 8 up to 256 */
#endif
#ifndef TILE
#define TILE 64 /* rows of a tile: 64 takes 256 work-items, 32 takes 64 */
#endif
#define SIDE (TILE / 4)
#define ITEMS (SIDE * SIDE)
#define PITCH (TILE + 4)

#if D % (4 * SIDE) == 0
#define CW 4
#elif D % (2 * SIDE) == 0
#define CW 2
#else
#define CW 1
#endif
#define COLUMNS ((D + SIDE * CW - 1) / (SIDE * CW))
#define PADDED (COLUMNS * SIDE * CW) /* D and the columns that only CW 1 leaves over */

#if D % 32 == 0
#define DEPTH 32
#elif D % 24 == 0
#define DEPTH 24
#elif D % 16 == 0
#define DEPTH 16
#else
#define DEPTH 8
#endif

#if TILE * PADDED <= 2048
#define CHUNK_ROWS TILE
#elif 32 * PADDED <= 2048
#define CHUNK_ROWS 32
#elif 16 * PADDED <= 2048
#define CHUNK_ROWS 16
#else
#define CHUNK_ROWS 8
#endif

#if 2 * DEPTH > TILE
#define STAGE_FLOATS (2 * DEPTH * PITCH)
#else
#define STAGE_FLOATS (TILE * PITCH)
#endif
#define VALUE_FLOATS (CHUNK_ROWS * PADDED) /* never below 4 * ITEMS, which reductions take */

#if CW == 4
typedef float4 columns;
#elif CW == 2
typedef float2 columns;
#else
typedef float columns;
#endif

#define ITEM ((int)get_local_id(0))
#define X (ITEM % SIDE)
#define Y (ITEM / SIDE)
#define LOG2_E 1.44269504f
#define SYNC barrier(CLK_LOCAL_MEM_FENCE)
#define COLUMN(c) (((c)*SIDE + X) * CW) /* the first column of vector c of this work-item */

/* to[d][r] = factor * from[at[r]][d], zero where at[r] < 0. Eight work-items read 32 bytes of a row: whole sectors,
 * and stores of 32 neighbours fall into 32 banks. Global loads are scalar: tensors are aligned to 4 bytes only. */
inline void stage_transposed(__local float *to, __global const float *from, int stride, __local const int *at,
                             float factor)
{
    for (int r = ITEM / 8; r < TILE; r += ITEMS / 8) {
        int row = at[r];
        __global const float *p = from + (size_t)max(row, 0) * stride;
        UNROLL
        for (int i = 0; i < DEPTH / 8; i++) {
            int d = 8 * i + ITEM % 8;
            to[d * PITCH + r] = row < 0 ? 0.0f : factor * p[d];
        }
    }
}

/* s[i] = rows 4y + i of A, columns 4x.. of B^T. Returns with `stage` still being read by others. */
inline void scores(float4 *s, __global const float *a, int a_stride, __local const int *a_at, float factor,
                   __global const float *b, int b_stride, __local const int *b_at, __local float4 *stage)
{
    __local float *const to = (__local float *)stage;
    __local const float4 *const left = stage + Y, *const right = stage + DEPTH * (PITCH / 4) + X;
    s[0] = s[1] = s[2] = s[3] = (float4)(0.0f);
    for (int d0 = 0; d0 < D; d0 += DEPTH) {
        SYNC;
        stage_transposed(to, a + d0, a_stride, a_at, factor);
        stage_transposed(to + DEPTH * PITCH, b + d0, b_stride, b_at, 1.0f);
        SYNC;
        _Pragma("unroll 4")
        for (int d = 0; d < DEPTH; d++) {
            float4 x = left[d * (PITCH / 4)], y = right[d * (PITCH / 4)];
            s[0] += x.x * y;
            s[1] += x.y * y;
            s[2] += x.z * y;
            s[3] += x.w * y;
        }
    }
}

inline void gather_row(columns sum[4][COLUMNS], float4 w, __local const columns *x)
{
    UNROLL
    for (int c = 0; c < COLUMNS; c++) {
        columns value = x[c * SIDE];
        sum[0][c] += w.x * value;
        sum[1][c] += w.y * value;
        sum[2][c] += w.z * value;
        sum[3][c] += w.w * value;
    }
}

/* sum[i] += sum over j < n of W[4y + i][j] * from[at[j]]; w is W with PITCH floats a row. */
inline void gather(columns sum[4][COLUMNS], __local const float4 *w, __global const float *from, int stride,
                   __local const int *at, int n, __local float4 *values)
{
    __local float *const to = (__local float *)values;
    __local const columns *const x = (__local const columns *)values + X;
    for (int j0 = 0; j0 < n; j0 += CHUNK_ROWS) {
        SYNC;
        for (int i = ITEM; i < CHUNK_ROWS * PADDED; i += ITEMS) {
            int row = at[j0 + i / PADDED], c = i % PADDED;
            to[i] = row < 0 || c >= D ? 0.0f : from[(size_t)row * stride + c];
        }
        SYNC;
        _Pragma("unroll 1")
        for (int j = 0; j < CHUNK_ROWS; j += 4) {
            __local const float4 *p = w + 4 * Y * (PITCH / 4) + (j0 + j) / 4;
            float4 w0 = p[0], w1 = p[PITCH / 4], w2 = p[2 * (PITCH / 4)], w3 = p[3 * (PITCH / 4)];
            __local const columns *xj = x + j * (PADDED / CW);
            gather_row(sum, (float4)(w0.x, w1.x, w2.x, w3.x), xj);
            gather_row(sum, (float4)(w0.y, w1.y, w2.y, w3.y), xj + PADDED / CW);
            gather_row(sum, (float4)(w0.z, w1.z, w2.z, w3.z), xj + 2 * (PADDED / CW));
            gather_row(sum, (float4)(w0.w, w1.w, w2.w, w3.w), xj + 3 * (PADDED / CW));
        }
    }
}

/* This work-item's rows of W. */
inline void write_weights(__local float4 *w, const float4 *s)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        w[(4 * Y + i) * (PITCH / 4) + X] = s[i];
}

/* Over the SIDE work-items of a row, the same bits in each of them. */
inline float4 row_sum(float4 x, __local float4 *values)
{
    SYNC;
    values[ITEM] = x;
    SYNC;
    x = values[Y * SIDE];
    _Pragma("unroll 4")
    for (int i = 1; i < SIDE; i++)
        x += values[Y * SIDE + i];
    return x;
}
inline float4 row_max(float4 x, __local float4 *values)
{
    SYNC;
    values[ITEM] = x;
    SYNC;
    _Pragma("unroll 4")
    for (int i = 0; i < SIDE; i++)
        x = vec_max(x, values[Y * SIDE + i]);
    return x;
}

inline columns load_columns(__global const float *row, int c)
{
#if CW == 4
    return vload4(0, row + COLUMN(c));
#elif CW == 2
    return vload2(0, row + COLUMN(c));
#else
    return COLUMN(c) < D ? row[COLUMN(c)] : 0.0f;
#endif
}
inline void store_columns(__global float *row, int c, columns x)
{
#if CW == 4
    vstore4(x, 0, row + COLUMN(c));
#elif CW == 2
    vstore2(x, 0, row + COLUMN(c));
#else
    if (COLUMN(c) < D)
        row[COLUMN(c)] = x;
#endif
}

/* a[row] . b[row] of this work-item's four rows from `first`, for those that `own` names: a row's own key. */
inline float4 own_dot(__global const float *a, int a_stride, __global const float *b, int b_stride, int first, int4 own,
                      __local float4 *values)
{
    float sum[4];
    const int wanted[4] = {own.x, own.y, own.z, own.w};
    UNROLL
    for (int i = 0; i < 4; i++) {
        size_t row = (size_t)(first + i);
        sum[i] = 0.0f;
        for (int d = X; wanted[i] && d < D; d += SIDE)
            sum[i] += a[row * a_stride + d] * b[row * b_stride + d];
    }
    return row_sum((float4)(sum[0], sum[1], sum[2], sum[3]), values);
}

/* Where a walk over the keys of a query tile stands; every work-item walks alike. */
struct walk {
    __global const int *start, *source;
    int slice, first, end; /* the slice to come next; the range of the query block */
    int at, stop;          /* within source[] */
    int last;              /* no key past this position is seen */
};
#define EVERYWHERE 0x7fffffff

inline struct walk walk_begin(__global const int *plan, int block, int last)
{
    struct walk w;
    __global const int *range = plan + plan[PLAN_RANGE_AT] + 2 * block;
    w.start = plan + plan[PLAN_SLICE_AT];
    w.source = plan + plan[PLAN_SOURCE_AT];
    w.first = range[0];
    w.end = range[1];
    w.slice = plan[PLAN_COMMON] ? 0 : w.first;
    w.at = w.stop = 0;
    w.last = last;
    return w;
}

/* The end of the part of the sorted source[at..stop) that lies at or before `last`. */
inline int visible_end(__global const int *source, int at, int stop, int last)
{
    if (at == stop || source[stop - 1] <= last)
        return stop;
    while (at < stop) {
        int middle = (at + stop) / 2;
        if (source[middle] <= last)
            at = middle + 1;
        else
            stop = middle;
    }
    return at;
}

/* Writes the next TILE keys to `keys`, -1 past the last, and returns how many. Keys that no query of the tile may see
 * are left out, so that tiles stay full where causality or the ends of slices cut. */
inline int next_keys(struct walk *w, __local int *keys)
{
    int n = 0;
    while (n < TILE && (w->at < w->stop || w->slice < w->end || w->slice < w->first)) {
        if (w->at == w->stop) {
            int next = w->slice < w->first ? w->slice + 1 : w->last == EVERYWHERE ? w->end : w->slice + 1;
            w->at = w->start[w->slice];
            w->stop = visible_end(w->source, w->at, w->start[next], w->last);
            w->slice = max(next, w->first);
        }
        int take = min(TILE - n, w->stop - w->at);
        if (ITEM < take)
            keys[n + ITEM] = w->source[w->at + ITEM];
        n += take;
        w->at += take;
    }
    if (n + ITEM < TILE)
        keys[n + ITEM] = -1;
    return n;
}

/* -inf where the key is absent or later than the row may see: limit[i] is the last position of row i. */
inline void mask_keys(float4 *s, int4 key, int first, int causal)
{
    UNROLL
    for (int i = 0; i < 4; i++) {
        uint limit = causal ? (uint)(first + i) : (uint)EVERYWHERE;
        s[i] = (as_uint4(key) <= (uint4)(limit)) ? s[i] : (float4)(-INFINITY);
    }
}

#endif

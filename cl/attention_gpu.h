/* What the attention kernels of GPU shape share: their parameters, two products of tiles, the walk over the keys of a
 * plan.
 *
 * A work-group of SIDE x TALL work-items owns a tile of ROWS rows and walks over tiles of COLS columns. Work-item
 * (x, y) holds, of ROWS x COLS scores, the EACH x 4 at rows EACH y.. and columns 4 x..; of the ROWS x D sums, EACH rows
 * and VECS vectors of CW columns.
 *   scores()  s = A B^T over the width, A and B staged DEPTH columns at a time, transposed
 *   gather()  sum += W X for a ROWS x COLS matrix W and X [COLS, D], CHUNK rows of X and columns of W at a time
 * Rows come through lists of positions in local memory, so that gathering sampled keys costs nothing extra. While a
 * piece is multiplied, the next one is on its way from global memory into registers, unless those are few (REGISTERS).
 *
 * Local memory: one pool, which the pieces of both products and the reductions take in turn; 12 KiB at the largest
 * tile and D 64, 20 at D 256, where OpenCL promises 32. Matrices in it are swizzled (SWIZZLE) instead of padded: stores
 * that transpose and reads of vectors both touch every bank once.
 *
 * Lab book. Never timed on a GPU: right on CPU stacks in this shape; compiled for GPUs (tests/isa/table.md, with
 * tests/isa.sh --loops for what the inner loops are made of).
 *   EACH 4, padded and unswizzled, 26 KiB: sm_80 64 multiply-adds of 76 instructions in the loop over the width, 149
 *   registers. EACH 8, swizzled, 13 KiB: 128 of 150 there, 82% on gfx906 and 225 to 249 registers: a row of A and a
 *   column of B feed 32 multiply-adds with 48 bytes of local memory instead of 16 with 32. Heads past 64 take EACH 4.
 *   Until operations were counted in what is compiled (tests/isa/source.py) it had one exponential of four: with all,
 *   backward takes up to 50 registers more (sm_90, dk and dv at D 64 by 8 x 8: 172, then 222).
 *   Groups of 256 with 129 registers or more: one on a multiprocessor of NVIDIA's, 12%; with 128 two, 25%. Its
 *   assembler spills a few bytes to come down to that, or to 168 in small groups: no more where nothing is kept through
 *   the products that can be had again: a walk's ranges and pointers to lists, results' pointers, sources' positions.
 *   Wide heads with D / 2 sums a work-item (short blocks by 8 x 8) or D / 4, and dk beside dv: spills past D 128 (at D
 *   256 411 registers on gfx906, 2068 bytes on sm_90), and past D 192 beside what masks. At most 32 sums, by 16 x 4 or
 *   32 x 8: none. A key that is staged serves 16 or 32 queries then, not 32 or 64.
 *   Rows addressed by 32 bits, the loop over the width by a count that compilers do not know, the causal mask without a
 *   branch: up to 58 registers fewer (gfx906, backward), where some 60 had been addresses kept through all loops.
 *   REGISTERS 128, with which the tiles above reached memory in all kernels past D 32 (up to 16 KiB a hardware thread):
 *   one piece at a time from global to local memory, one value of the width a turn, dk and dv apart, and for wide heads
 *   SIDE 32 or 64, so that 16 sums are left to a work-item. Nothing reaches memory then, for any width.
 *   exp2 of a library: 36 instructions with branches, and 20 registers more than native_exp2 (one instruction in
 *   hardware, 2^-22 relative).
 *   Not unrolled loops over 4 of the width or of keys: 128 multiply-adds a turn are enough, and cost fewer registers.
 *   NaN of masked keys, in tiles at the edge of the causal mask: a second gather() that selects for each sum reached
 *   memory in a third of the variants. Cleaned values, and NaN as the weight of what was not clean, take no registers,
 *   but a look at all rows of the tile by one work-item each. A branch for each row of sums takes neither: a step of
 *   such tiles has 48 instructions for 32 multiply-adds, all others have 149 for 128 as before.
 *   Pairs (bias, gate, clip, dropout) unrolled, their settings in registers: spills in most variants, 66 registers on
 *   gfx906 and 412 bytes on sm_90 at D 64 by 8 rows, 4 KiB a thread on pvc. Settings in local memory, read where used;
 *   one pair's code in loops: 15 registers left on gfx906, and Intel's compiler unrolled what it could count. Numbers
 *   of work-items taken anew for each tile: none left up to D 64, in fewer registers than without pairs (fwd, D 64 by 8
 *   rows: gfx906 209 for 234, sm_80 182 for 200), where 37 registers of a thread on acm-g10 had been addresses of local
 *   memory. Without pairs they fit.
 *   A return before the first barrier, though all items took it, corrupted PoCL 3.1's heap: tiles without work run
 *   through with empty loops instead. Slices shorter than ROWS waste the rest of a tile in dk and dv. */
#ifndef SSA_ATTENTION_GPU_H
#define SSA_ATTENTION_GPU_H

#ifndef PAIRS
#define PAIRS 0
#endif
#define PAIRS_LOCAL 1
#define PAIRS_COUNT uint /* which the host has checked to be enough */
#include "attention.h"
#include "group.h"

#ifndef D
#define D 64 /* the most that heads are wide, a multiple of 8 up to 256 */
#endif
#ifndef EXACT
#define EXACT 1 /* keys and values both are D wide; else the parameters say how wide each of them is */
#endif
#if EXACT
#define WIDTH D
#define VALUE_WIDTH D
#else
#define WIDTH width
#define VALUE_WIDTH value_width
#endif
#ifndef SIDE
#define SIDE 16 /* work-items that share a row: 8 to 64; SIDE x TALL is 256 or 64 */
#endif
#ifndef TALL
#define TALL SIDE /* at least 4 */
#endif
#ifndef EACH
#define EACH 8 /* rows of a work-item: 4, or 8 where registers allow it */
#endif
#ifndef REGISTERS
#define REGISTERS 256 /* that a work-item has, at least: 128 or 256 */
#endif
#ifndef DEPTH /* columns staged at a time for scores(): 8, 16 or 32, divides D */
#define DEPTH (D % 16 || (!EARLY && COLS * 4 > ITEMS) ? 8 : 16)
#endif
#ifndef CHUNK /* rows staged at a time for gather(): 4, 8, 16 or 32; up to 16 as long as no work-item moves two pieces */
#define CHUNK (16 * D / 4 <= ITEMS ? 16 : 8 * D / 4 <= ITEMS ? 8 : 4)
#endif
#define ITEMS (SIDE * TALL)
#define ROWS (TALL * EACH)
#define COLS (SIDE * 4)
#define HALF (EACH / 4) /* vectors that hold a value for each of a work-item's rows */
#define RUNS (SIDE / EACH) /* parts of a reduction over SIDE work-items */

/* With pairs there is more to do between the products, and then addresses of local memory that are the same for all
 * tiles fill the registers, for compilers keep them through all loops: so a work-item takes its number anew for each
 * tile, by a zero that compilers cannot know. And loops that turn so often more are unrolled by none. */
#if PAIRS
#define ZERO_OF(p) (((PAIRS_SPACE const struct pairs *)(p))->zero)
#define NUMBER_ANEW item = (item + ZERO_OF(&pairs)) & (ITEMS - 1)
#define ROWS_ANEW NUMBER_ANEW, first = t.q0 + EACH * Y /* of a tile of queries */
#define SOURCES_ANEW NUMBER_ANEW
#define FOR_TURNS(i, count) \
    _Pragma("unroll 1") for (int i = 0, turns_##i = (count) + ZERO_OF(p); i < turns_##i; i++)
#else
#define NUMBER_ANEW ((void)0)
#define ROWS_ANEW ((void)0)
#if EXACT
#define SOURCES_ANEW ((void)0)
#else /* sm_80 spills at D 32 otherwise; `keys` is the same for all tiles */
#define LIST_ZERO(list) (((__local volatile const int *)(list))[0] - ((__local volatile const int *)(list))[0])
#define SOURCES_ANEW item = (item + LIST_ZERO(keys)) & (ITEMS - 1)
#endif
#endif

#if D % (4 * SIDE) == 0
#define CW 4
#elif D % (2 * SIDE) == 0
#define CW 2
#else
#define CW 1
#endif
#define VECS ((D + SIDE * CW - 1) / (SIDE * CW))
#define PADDED (VECS * SIDE * CW) /* D and the columns that only CW 1 leaves over */
#if CW == 4
typedef float4 columns;
#elif CW == 2
typedef float2 columns;
#else
typedef float columns;
#endif

/* Few registers: nothing is on its way while a piece is multiplied, and one value of the width or one key at a time. */
#define EARLY (REGISTERS >= 256)
#if EARLY
#define STEPS UNROLL
#else
#define STEPS _Pragma("unroll 1")
#endif

#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define POOL_FLOATS \
    LARGER(LARGER(DEPTH * (ROWS + COLS), CHUNK * (ROWS + PADDED)), ITEMS * EACH + ROWS * RUNS)

/* A work-item's number: all functions are given it, and use it with pairs and where KEEP_ITEM says so. */
#if PAIRS || !EXACT || defined(KEEP_ITEM)
#define ITEM item
#define FIRST_ITEM ((int)get_local_id(0))
#else
#define ITEM ((int)get_local_id(0))
#define FIRST_ITEM 0
#endif
#define X (ITEM % SIDE)
#define Y (ITEM / SIDE)
#define SYNC barrier(CLK_LOCAL_MEM_FENCE)
#define COLUMN(c) (((c)*SIDE + X) * CW) /* the first column of vector c of this work-item */
/* Row r of a staged matrix of rows of a power of two `n` has its elements at i ^ SWIZZLE(r, n). */
#define SWIZZLE(r, n) (((r) / 4 & 3) * 8 & ((n) - 1))

/* What every kernel here takes first. */
#define OPERANDS \
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const int, plan), TENSOR(float, lse), \
        ATTENTION_SIZES, const int kv_heads, STRIDES(q), STRIDES(k), STRIDES(v), ATTENTION_PAIRS
#define BIND_OPERANDS \
    BIND(const float, q); \
    BIND(const float, k); \
    BIND(const float, v); \
    BIND(const int, plan); \
    BIND(float, lse); \
    BIND_PAIRS
/* The local memory of a tile; positions are -1 where there is none. */
#define TILE_MEMORY \
    __local float4 pool[POOL_FLOATS / 4]; \
    int item = FIRST_ITEM; \
    __local int4 keys4[LARGER(ROWS, COLS) / 4], queries4[LARGER(ROWS, COLS) / 4]; \
    __local int *const keys = (__local int *)keys4, *const queries = (__local int *)queries4

/* ---- from global to local memory, by way of registers ---- */

/* Pieces of four floats that a work-item moves of `count` in all. */
#define PIECES(count) (((count) + ITEMS - 1) / ITEMS)

/* Where a row begins. 32 bits, which the host has checked to be enough: compilers keep 64 of them in registers. */
#define AT(row, stride) ((uint)(row) * (uint)(stride))

/* Piece p of columns [0, DEPTH) of the rows at from[at[r]], which are `left` wide. Eight bytes and more of a row by
 * neighbours: whole sectors. Tensors are aligned to 4 bytes only: vload4 is one load where the device can, else four. */
GROUP_INLINE float4 piece_of_rows(int item, int p, int rows, __global const float *from, ulong stride, int left,
                                  __local const int *at)
{
    const int i = p * ITEMS + ITEM, row = i < rows * DEPTH / 4 ? at[i / (DEPTH / 4)] : -1;
    const int column = i % (DEPTH / 4) * 4;
    if (row < 0 || column >= (EXACT ? D : left))
        return (float4)(0.0f);
    return vload4(0, from + (AT(row, stride) + (uint)column));
}

/* to[d][r] = factor * from[at[r]][d]. */
GROUP_INLINE void transpose_piece(int item, int p, __local float *to, float4 piece, int rows, float factor)
{
    const int i = p * ITEMS + ITEM, d = i % (DEPTH / 4) * 4, r = i / (DEPTH / 4) ^ SWIZZLE(d, rows);
    if (rows * DEPTH / 4 % ITEMS == 0 || i < rows * DEPTH / 4) {
        to[d * rows + r] = factor * piece.x;
        to[(d + 1) * rows + r] = factor * piece.y;
        to[(d + 2) * rows + r] = factor * piece.z;
        to[(d + 3) * rows + r] = factor * piece.w;
    }
}

GROUP_INLINE void fetch_rows(int item, float4 *pieces, int rows, __global const float *from, ulong stride, int left,
                             __local const int *at)
{
    UNROLL
    for (int p = 0; p < PIECES(rows * DEPTH / 4); p++)
        pieces[p] = piece_of_rows(item, p, rows, from, stride, left, at);
}

GROUP_INLINE void place_rows(int item, __local float *to, const float4 *pieces, int rows, float factor)
{
    UNROLL
    for (int p = 0; p < PIECES(rows * DEPTH / 4); p++)
        transpose_piece(item, p, to, pieces[p], rows, factor);
}

/* Both at once, with one piece in registers at a time. */
GROUP_INLINE void move_rows(int item, __local float *to, int rows, float factor, __global const float *from,
                            ulong stride, int left, __local const int *at)
{
    _Pragma("unroll 1")
    for (int p = 0; p < PIECES(rows * DEPTH / 4); p++)
        transpose_piece(item, p, to, piece_of_rows(item, p, rows, from, stride, left, at), rows, factor);
}

/* The same for CHUNK whole rows, as they lie. */
GROUP_INLINE float4 piece_of_chunk(int item, int p, __global const float *from, ulong stride, int width,
                                   __local const int *at)
{
    const int i = p * ITEMS + ITEM, c = i % (PADDED / 4) * 4;
    const int row = i < CHUNK * PADDED / 4 ? at[i / (PADDED / 4)] : -1;
    if (row < 0 || c >= (EXACT ? D : width))
        return (float4)(0.0f);
    return vload4(0, from + (AT(row, stride) + (uint)c));
}

GROUP_INLINE void place_piece(int item, int p, __local float4 *to, float4 piece)
{
    if (CHUNK * PADDED / 4 % ITEMS == 0 || p * ITEMS + ITEM < CHUNK * PADDED / 4)
        to[p * ITEMS + ITEM] = piece;
}

GROUP_INLINE void fetch_chunk(int item, float4 *pieces, __global const float *from, ulong stride, int width,
                              __local const int *at)
{
    UNROLL
    for (int p = 0; p < PIECES(CHUNK * PADDED / 4); p++)
        pieces[p] = piece_of_chunk(item, p, from, stride, width, at);
}

GROUP_INLINE void place_chunk(int item, __local float4 *to, const float4 *pieces)
{
    UNROLL
    for (int p = 0; p < PIECES(CHUNK * PADDED / 4); p++)
        place_piece(item, p, to, pieces[p]);
}

GROUP_INLINE void move_chunk(int item, __local float4 *to, __global const float *from, ulong stride, int width,
                             __local const int *at)
{
    _Pragma("unroll 1")
    for (int p = 0; p < PIECES(CHUNK * PADDED / 4); p++)
        place_piece(item, p, to, piece_of_chunk(item, p, from, stride, width, at));
}

/* ---- the two products ---- */

/* s[c][h]: column 4x + c, rows EACH y + 4h... Begins with a barrier: the lists may just have been written. */
GROUP_INLINE void scores(int item, float4 s[4][HALF], __global const float *a, ulong a_stride, __local const int *a_at,
                         float factor, __global const float *b, ulong b_stride, __local const int *b_at, int width,
                         __local float4 *pool)
{
    float4 left[PIECES(ROWS * DEPTH / 4)], right[PIECES(COLS * DEPTH / 4)];
    __local float *const to = (__local float *)pool;
    SYNC;
    if (EARLY) {
        fetch_rows(item, left, ROWS, a, a_stride, width, a_at);
        fetch_rows(item, right, COLS, b, b_stride, width, b_at);
    }
    UNROLL
    for (int c = 0; c < 4; c++)
        UNROLL
        for (int h = 0; h < HALF; h++)
            s[c][h] = (float4)(0.0f);
    _Pragma("unroll 1") /* to `width`, a parameter: some compilers unroll what they can count, whatever they are told */
    for (int d0 = 0; d0 < width; d0 += DEPTH) {
        SYNC;
        if (EARLY) {
            place_rows(item, to, left, ROWS, factor);
            place_rows(item, to + DEPTH * ROWS, right, COLS, 1.0f);
        } else {
            move_rows(item, to, ROWS, factor, a + d0, a_stride, width - d0, a_at);
            move_rows(item, to + DEPTH * ROWS, COLS, 1.0f, b + d0, b_stride, width - d0, b_at);
        }
        SYNC;
        if (EARLY && d0 + DEPTH < width) {
            fetch_rows(item, left, ROWS, a + d0 + DEPTH, a_stride, width - d0 - DEPTH, a_at);
            fetch_rows(item, right, COLS, b + d0 + DEPTH, b_stride, width - d0 - DEPTH, b_at);
        }
        _Pragma("unroll 1")
        for (int d = 0; d < DEPTH; d += 4) {
            __local const float4 *x = pool + d * (ROWS / 4) + (EACH * Y ^ SWIZZLE(d, ROWS)) / 4;
            __local const float4 *y = pool + DEPTH * (ROWS / 4) + d * (COLS / 4) + (4 * X ^ SWIZZLE(d, COLS)) / 4;
            STEPS
            for (int e = 0; e < 4; e++) {
                const float4 column = y[e * (COLS / 4)];
                UNROLL
                for (int h = 0; h < HALF; h++) {
                    const float4 row = x[e * (ROWS / 4) + h];
                    s[0][h] += column.x * row;
                    s[1][h] += column.y * row;
                    s[2][h] += column.z * row;
                    s[3][h] += column.w * row;
                }
            }
        }
    }
}

/* One step of it: a row of X for each of the work-item's rows of W. Where `masked`, a weight of 0 adds nothing,
 * whatever it would multiply: 0 times NaN would be NaN, in rows that must not see it. A branch for each row: with
 * selects instead, compilers hold all their results at once. */
GROUP_INLINE void gather_step(columns sum[EACH][VECS], __local const float4 *w, __local const columns *x, int masked)
{
    columns values[VECS];
    UNROLL
    for (int c = 0; c < VECS; c++)
        values[c] = x[c * SIDE];
    UNROLL
    for (int h = 0; h < HALF; h++) {
        const float weights[4] = {w[h].x, w[h].y, w[h].z, w[h].w};
        UNROLL
        for (int i = 0; i < 4; i++)
            if (!masked || weights[i] != 0.0f) {
                UNROLL
                for (int c = 0; c < VECS; c++)
                    sum[4 * h + i][c] += weights[i] * values[c];
            }
    }
}

/* sum[i] += sum over j < n of W[EACH y + i][j] * from[at[j]], where s has W as scores() leaves it. `masked`: some of W
 * are 0 because their rows do not see j. */
GROUP_INLINE void gather(int item, columns sum[EACH][VECS], const float4 s[4][HALF], __global const float *from,
                         ulong stride, int width, __local const int *at, int n, int masked, __local float4 *pool)
{
    float4 pieces[PIECES(CHUNK * PADDED / 4)];
    if (EARLY)
        fetch_chunk(item, pieces, from, stride, width, at);
    for (int j0 = 0; j0 < n; j0 += CHUNK) {
        SYNC;
        if (4 * X / CHUNK == j0 / CHUNK) {
            const int j = 4 * X % CHUNK;
            UNROLL
            for (int c = 0; c < 4; c++)
                UNROLL
                for (int h = 0; h < HALF; h++)
                    pool[(j + c) * (ROWS / 4) + (EACH * Y ^ SWIZZLE(j, ROWS)) / 4 + h] = s[c][h];
        }
        if (EARLY)
            place_chunk(item, pool + CHUNK * (ROWS / 4), pieces);
        else
            move_chunk(item, pool + CHUNK * (ROWS / 4), from, stride, width, at + j0);
        SYNC;
        if (EARLY && j0 + CHUNK < n)
            fetch_chunk(item, pieces, from, stride, width, at + j0 + CHUNK);
        _Pragma("unroll 1")
        for (int j = 0; j < CHUNK; j += 4) {
            __local const float4 *w = pool + j * (ROWS / 4) + (EACH * Y ^ SWIZZLE(j, ROWS)) / 4;
            __local const columns *x = (__local const columns *)(pool + CHUNK * (ROWS / 4)) + j * (PADDED / CW) + X;
            if (masked) {
                _Pragma("unroll 1")
                for (int e = 0; e < 4; e++)
                    gather_step(sum, w + e * (ROWS / 4), x + e * (PADDED / CW), 1);
                continue;
            }
            STEPS
            for (int e = 0; e < 4; e++)
                gather_step(sum, w + e * (ROWS / 4), x + e * (PADDED / CW), 0);
        }
    }
}

/* ---- rows: reductions over the SIDE work-items of a row, a row's vectors of columns ---- */

/* The sum or the maximum, the same bits in each of them. In two steps, of EACH values and of RUNS: 24 reads instead of
 * 128; the order of the first differs between neighbours, who would meet in one bank. */
GROUP_INLINE void reduce_rows(int item, float4 x[HALF], int sum, __local float4 *pool)
{
    __local float *const all = (__local float *)pool;
    const int row = X % EACH, run = X / EACH, result = ITEMS * EACH + (Y * RUNS + run) * EACH + row;
    SYNC;
    UNROLL
    for (int h = 0; h < HALF; h++)
        pool[ITEM * HALF + h] = x[h];
    SYNC;
    float r = sum ? 0.0f : -INFINITY;
    UNROLL
    for (int i = 0; i < EACH; i++) {
        float other = all[(Y * SIDE + run * EACH + (i + run + RUNS * Y) % EACH) * EACH + row];
        r = sum ? r + other : vec_max(r, other);
    }
    all[result] = r;
    SYNC;
    UNROLL
    for (int h = 0; h < HALF; h++) {
        x[h] = pool[(ITEMS * EACH + Y * RUNS * EACH) / 4 + h];
        STEPS
        for (int p = 1; p < RUNS; p++) {
            float4 other = pool[(ITEMS * EACH + (Y * RUNS + p) * EACH) / 4 + h];
            x[h] = sum ? x[h] + other : vec_max(x[h], other);
        }
    }
}

/* Vector c of this work-item in a row that is `width` wide. */
#define INSIDE(c, width) ((EXACT && CW > 1) || COLUMN(c) < (EXACT ? D : width))
GROUP_INLINE columns load_columns(int item, __global const float *row, int c, int width)
{
    if (!INSIDE(c, width))
        return (columns)(0.0f);
#if CW == 4
    return vload4(0, row + COLUMN(c));
#elif CW == 2
    return vload2(0, row + COLUMN(c));
#else
    return row[COLUMN(c)];
#endif
}
GROUP_INLINE void store_columns(int item, __global float *row, int c, int width, columns x)
{
    if (!INSIDE(c, width))
        return;
#if CW == 4
    vstore4(x, 0, row + COLUMN(c));
#elif CW == 2
    vstore2(x, 0, row + COLUMN(c));
#else
    row[COLUMN(c)] = x;
#endif
}

/* A query that sees nothing has lse = -inf: with inf instead its probabilities exp2(s - lse) are 0. */
GROUP_INLINE float seen(float lse)
{
    return lse == -INFINITY ? INFINITY : lse;
}

/* x[h] = a[row - shift] . b[row], `width` wide, of this work-item's rows from `first` whose bit is set in `own`: a row's
 * own key. */
GROUP_INLINE void own_dot(int item, float4 x[HALF], __global const float *a, ulong a_stride, int shift,
                          __global const float *b, ulong b_stride, int width, int first, uint own,
                          __local float4 *pool)
{
    float sum[EACH];
    UNROLL
    for (int i = 0; i < EACH; i++) {
        sum[i] = 0.0f;
        for (int d = X; own >> i & 1 && d < width; d += SIDE)
            sum[i] += a[AT(first + i - shift, a_stride) + (uint)d] * b[AT(first + i, b_stride) + (uint)d];
    }
    UNROLL
    for (int h = 0; h < HALF; h++)
        x[h] = (float4)(sum[4 * h], sum[4 * h + 1], sum[4 * h + 2], sum[4 * h + 3]);
    reduce_rows(item, x, 1, pool);
}

/* Bit i: row first + i is no padding and sees its own key as one more column. */
GROUP_INLINE uint own_rows(__global const int *own_key, int first, int real)
{
    uint own = 0;
    UNROLL
    for (int i = 0; i < EACH; i++)
        if (first + i < real && own_key[first + i])
            own |= 1u << i;
    return own;
}
#define OWN4(own, h) (((int4)(1, 2, 4, 8) << 4 * (h) & (int4)((int)(own))) != 0) /* -1 where the bit is set */

/* ---- the keys of a tile of queries ---- */

/* Where a walk over the keys of a query tile stands; every work-item walks alike. What else it needs is read from the
 * plan for each tile of keys: kept, it would cost registers through both products. */
struct walk {
    __global const int *plan;
    int slice, block; /* the slice to come next; the query block */
    int at, stop;     /* within source[] */
    int last;         /* no key past this position is seen */
    int latest;       /* position, of those written last */
};
#define EVERYWHERE 0x7fffffff

GROUP_INLINE struct walk walk_begin(__global const int *plan, int block, int last)
{
    struct walk w;
    w.plan = plan;
    w.block = block;
    w.slice = plan[PLAN_COMMON] ? 0 : plan[plan[PLAN_RANGE_AT] + 2 * block];
    w.at = w.stop = 0;
    w.last = last;
    w.latest = 0;
    return w;
}

/* The end of the part of the sorted source[at..stop) that lies at or before `last`. */
GROUP_INLINE int visible_end(__global const int *source, int at, int stop, int last)
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

/* Writes the next COLS keys to `keys`, -1 past the last, and returns how many. Keys that no query of the tile may see
 * are left out, so that tiles stay full where causality or the ends of slices cut. */
GROUP_INLINE int next_keys(int item, struct walk *w, __local int *keys)
{
    __global const int *start = w->plan + w->plan[PLAN_SLICE_AT], *source = w->plan + w->plan[PLAN_SOURCE_AT];
    const int range = w->plan[PLAN_RANGE_AT] + 2 * w->block, first = w->plan[range], end = w->plan[range + 1];
    int n = 0;
    w->latest = 0;
    while (n < COLS && (w->at < w->stop || w->slice < end || w->slice < first)) {
        if (w->at == w->stop) {
            int next = w->slice < first ? w->slice + 1 : w->last == EVERYWHERE ? end : w->slice + 1;
            w->at = start[w->slice];
            w->stop = visible_end(source, w->at, start[next], w->last);
            w->slice = max(next, first);
        }
        int take = min(COLS - n, w->stop - w->at);
        if (take > 0)
            w->latest = max(w->latest, source[w->at + take - 1]);
        if (ITEM < take)
            keys[n + ITEM] = source[w->at + ITEM];
        n += take;
        w->at += take;
    }
    if (n + ITEM < COLS)
        keys[n + ITEM] = -1;
    return n;
}

/* A tile of queries of one block: ROWS of them from position q0, those at `real` and past it padding, those at `stop`
 * and past it another tile's. */
struct query_tile {
    int block, q0, real, stop;
};

/* That of this work-group. Tiles of later queries come first: with causality they are the long ones. */
GROUP_INLINE struct query_tile query_tile(__global const int *plan, int block, int block_tiles, int query_begin,
                                          int query_end)
{
    struct query_tile t;
    const int tile = (int)(get_num_groups(0) - 1 - get_group_id(0));
    t.block = tile / block_tiles;
    const int block_at = t.block * block - plan[PLAN_LACK], begin = block_at + tile % block_tiles * ROWS;
    t.q0 = max(begin, query_begin);
    t.stop = min(min(block_at + block, query_end), begin + ROWS);
    t.real = min(plan[PLAN_LENGTH], t.stop);
    return t;
}

/* Writes the rows of its queries to `queries`, -1 for padding. */
GROUP_INLINE void list_queries(int item, __local int *queries, struct query_tile t, int query_begin)
{
    if (ITEM < ROWS)
        queries[ITEM] = t.q0 + ITEM < t.real ? t.q0 + ITEM - query_begin : -1;
}

/* The walk over its keys; padding sees none. */
GROUP_INLINE struct walk walk_of(__global const int *plan, struct query_tile t, int causal)
{
    struct walk w = walk_begin(plan, t.block, causal ? min(t.real, t.q0 + ROWS) - 1 : EVERYWHERE);
    if (t.q0 >= t.real)
        w.slice = EVERYWHERE;
    return w;
}

/* -inf where the key is absent or later than the row may see, and 0 in `other`, which may be NaN there. */
GROUP_INLINE void mask_keys(int item, float4 s[4][HALF], float4 (*other)[HALF], __local const int *keys, int first,
                            int causal)
{
    const uint all = causal ? 0 : EVERYWHERE; /* no branch: compilers make two loops of one that has it */
    UNROLL
    for (int c = 0; c < 4; c++) {
        const uint key = (uint)keys[4 * X + c];
        UNROLL
        for (int h = 0; h < HALF; h++) {
            const uint4 last = ((uint4)(0, 1, 2, 3) + (uint)(first + 4 * h)) | all;
            const int4 sees = (uint4)(key) <= last;
            s[c][h] = sees ? s[c][h] : (float4)(-INFINITY);
            if (other)
                other[c][h] = sees ? other[c][h] : (float4)(0.0f);
        }
    }
}

#if PAIRS
/* One pair's code serves all pairs of a work-item, in loops: unrolled, generators and gates of 16 or 32 pairs take more
 * registers than there are. Registers have no index, so that a column's rows take turns at the first place instead. */

/* Row i + 1 comes to where row i was, the first one to the end. */
GROUP_INLINE void turn_rows(float4 x[HALF])
{
    const float first = x[0].x;
    UNROLL
    for (int h = 0; h < HALF; h++)
        x[h] = (float4)(x[h].yzw, h + 1 < HALF ? x[(h + 1) % HALF].x : first);
}

/* Column c of a tile, and back to its place: all of a tile in turns would take as many registers again. */
GROUP_INLINE void take_column(float4 x[HALF], const float4 s[4][HALF], int c)
{
    UNROLL
    for (int h = 0; h < HALF; h++) {
        x[h] = s[0][h];
        UNROLL
        for (int k = 1; k < 4; k++)
            x[h] = (int4)(c) == k ? s[k][h] : x[h]; /* lane by lane: of one condition compilers make an index */
    }
}

GROUP_INLINE void put_column(float4 s[4][HALF], const float4 x[HALF], int c)
{
    UNROLL
    for (int k = 0; k < 4; k++)
        UNROLL
        for (int h = 0; h < HALF; h++)
            s[k][h] = (int4)(c) == k ? x[h] : s[k][h];
}

/* Logits of the scores of a tile of queries (rows from position `first`, those at `real` and past it padding). */
GROUP_INLINE void logits_of(int item, float4 s[4][HALF], PAIRS_SPACE const struct pairs *p, __local const int *keys,
                            int first, int real)
{
    FOR_TURNS(c, 4) {
        const int key = keys[4 * X + c];
        float4 x[HALF];
        take_column(x, s, c);
        FOR_TURNS(i, EACH) {
            if (key >= 0 && first + i < real)
                x[0].x = pair_logit(p, x[0].x, first + i, key);
            turn_rows(x);
        }
        put_column(s, x, c);
    }
}

/* Probabilities become weights; `gates` grows by the gates of what is seen: what mask_keys() left. */
GROUP_INLINE void weights_of(int item, float4 s[4][HALF], float4 gates[HALF], PAIRS_SPACE const struct pairs *p,
                             __local const int *keys, int first, int real, int causal)
{
    FOR_TURNS(c, 4) {
        const int key = keys[4 * X + c];
        float4 x[HALF];
        take_column(x, s, c);
        FOR_TURNS(i, EACH) {
            const int query = first + i;
            const int sees = key >= 0 && query < real && (!causal || key <= query);
            const float gate = sees ? pair_gate(p, query, key) : 0.0f;
            x[0].x = sees ? x[0].x * gate * pair_keep(p, query, key) : 0.0f;
            gates[0].x += gate;
            turn_rows(x);
            turn_rows(gates);
        }
        put_column(s, x, c);
    }
}

/* Of the queries' own keys, those whose bit is set in `own`: scores become logits; gates, and what values weigh. */
GROUP_INLINE void weights_of_own(float4 s[HALF], float4 gates[HALF], float4 weights[HALF],
                                 PAIRS_SPACE const struct pairs *p, int first, uint own)
{
    UNROLL
    for (int h = 0; h < HALF; h++)
        gates[h] = weights[h] = (float4)(0.0f);
    FOR_TURNS(i, EACH) {
        if (own >> i & 1) {
            s[0].x = pair_logit(p, s[0].x, first + i, first + i);
            gates[0].x = pair_gate(p, first + i, first + i);
            weights[0].x = gates[0].x * pair_keep(p, first + i, first + i);
        }
        turn_rows(s);
        turn_rows(gates);
        turn_rows(weights);
    }
}

/* The same for the gradients of one pair: `s`, scale q.k to base 2, becomes what the value is weighed with, w = P g u,
 * and `b`, dout.v, becomes dA = w b - P delta, 0 where the logit was clipped. */
GROUP_INLINE void slope_of(float *s, float *b, PAIRS_SPACE const struct pairs *p, float lse, float delta, int query,
                           int key)
{
    const float probable = EXP2(pair_logit(p, *s, query, key) - lse);
    const float weight = probable * pair_gate(p, query, key) * pair_keep(p, query, key);
    *b = fabs(*s) > p->clip ? 0.0f : weight * *b - probable * delta;
    *s = weight;
}

/* Of the pair that has its turn; nothing where it is not `there`. */
GROUP_INLINE void take_slope(float4 s[HALF], float4 b[HALF], PAIRS_SPACE const struct pairs *p, float lse, float delta,
                             int query, int key, int there)
{
    float x = s[0].x, y = b[0].x;
    if (there)
        slope_of(&x, &y, p, lse, delta, query, key);
    s[0].x = there ? x : 0.0f;
    b[0].x = there ? y : 0.0f;
    turn_rows(s);
    turn_rows(b);
}

/* Of a tile of queries (rows from position `first`, those at `real` and past it padding, with lse and delta of each)
 * and keys; there is nothing where mask_keys() left -inf. */
GROUP_INLINE void slopes_of_queries(int item, float4 s[4][HALF], float4 b[4][HALF], PAIRS_SPACE const struct pairs *p,
                                    __local const int *keys, __local const float *lse, __local const float *delta,
                                    int first, int real)
{
    FOR_TURNS(c, 4) {
        const int key = keys[4 * X + c];
        float4 x[HALF], y[HALF];
        take_column(x, s, c);
        take_column(y, b, c);
        FOR_TURNS(i, EACH)
            take_slope(x, y, p, lse[i], delta[i], first + i, key,
                       key >= 0 && first + i < real && x[0].x != -INFINITY);
        put_column(s, x, c);
        put_column(b, y, c);
    }
}

/* Of queries' own keys, those whose bit is set in `own`. */
GROUP_INLINE void slopes_of_own(float4 s[HALF], float4 b[HALF], PAIRS_SPACE const struct pairs *p,
                                __local const float *lse, __local const float *delta, int first, uint own)
{
    FOR_TURNS(i, EACH)
        take_slope(s, b, p, lse[i], delta[i], first + i, first + i, own >> i & 1);
}

/* Of a tile of keys, -1 where there is none, and queries, columns from position `first`, those before `stop`, with lse
 * and delta of each. */
GROUP_INLINE void slopes_of_keys(float4 s[4][HALF], float4 b[4][HALF], PAIRS_SPACE const struct pairs *p,
                                 __local const int *keys, __local const float *lse, __local const float *delta,
                                 int first, int stop, int causal)
{
    FOR_TURNS(c, 4) {
        const int query = first + c;
        float4 x[HALF], y[HALF];
        take_column(x, s, c);
        take_column(y, b, c);
        FOR_TURNS(i, EACH)
            take_slope(x, y, p, lse[c], delta[c], query, keys[i],
                       keys[i] >= 0 && query < stop && (!causal || keys[i] <= query));
        put_column(s, x, c);
        put_column(b, y, c);
    }
}
#endif

#endif

/* Matrix multiplication for CPUs.   c = act(a b + bias) ..., fused (cl/epilogue.h), and c (+)= a^T b.
 *
 * Shapes  gemm: a [m, k], rows lda apart; b packed by gemm_pack_b as [ceil(n/NR)][k][NR], zeros past n; c [m, n], ldc.
 *         gemm_ta: a [k, m], rows lda apart; b [k, n] (or [n, k] with trans_b), ldb; c [m, n], ldc, a plane of its own
 *         for every split of k, `plane` elements apart; sums [splits, m] or absent: the column sums of a.
 * Grid    gemm: (ceil(m/mb), ceil(n/nb)), a work-item owns mb rows x nb columns, nb a multiple of PANEL_COLUMNS.
 *         gemm_pack_b: (ceil(n/PANEL_COLUMNS), ceil(k/PACK_K)), PANEL_COLUMNS x PACK_K.
 *         gemm_ta: (ceil(m/MB), ceil(n/NB), splits), MB rows x NB columns x ks of k.
 * Macros  below: VW, MR, NV the register tile (MR x NV*VW), KC, MB, NB the block that gemm_ta packs, PW its panels.
 *
 * Lab book (Zen 4, AVX-512, one core; % of the measured FMA peak; rows 4096, widths 256 to 2048; PoCL)
 *   gemm: tile 8x32 90-94%. Rows 10, 12, 14: 89, 87, 82%, for the rows of a, a power of two apart, meet in one set of
 *     the L1. Column panels outside, row tiles inside: 3-4% less than this order, in which panels and c are walked
 *     along memory. Cutting b into blocks of 512 KiB that stay in L2: 4-8% less at k >= 512. Sums through a private tile
 *     before the epilogue: 2% less than straight from registers, hence the plain path. Packing w^T by scalars: 3% less
 *     than by transposed blocks. Unrolling the loop over k by 2 or 4: nothing. Prefetching the next rows of a: -1%.
 *   gemm on another machine (Intel Xeon with AMX, 2 MiB of L2 and a slow L3): all columns at once 43% where panels of b
 *     take 3 MiB, in blocks that stay in L2 (PANELS, 1 MiB) 73-81%, 512 KiB the same, 256 KiB 2% less. There, too,
 *     prefetching a or c gains nothing, nor do 12 rows, within the 5% by which that machine changes its speed.
 *   gemm_ta: reading a and b, not multiplying, decides it. Blocks of 128x256, k 256: 70-77% (C 256), 60-70% (C 512);
 *     with panels a power of two apart 10% less; with the next block prefetched +8%; blocks of 256x512 and half as many
 *     splits +6%; the tile of c prefetched +2%: 81-86%. KC 256 the same, 64 3% less. All of the next block prefetched
 *     at once instead of bit by bit: 4% less. Buffers in huge pages would give +4%.
 *   Zen 5 (512-bit FMAs in one pass, 257 GFLOP/s; layers of width 256 of 2048 rows, one thread, processor time, busy):
 *     gemm 93-98%, gemm_ta 80-86%, of which a's panels take 7%, b's 5%, the sums of a 4%; the products are at the peak.
 *     ReLU and its slope in registers instead of through the tile: 85 -> 90%, 80-85 -> 85-89%. Panels packed one by
 *     one, the sums of a's columns with them: gemm_ta +2%. MB 512, alone or with NB 256: the same; KC 256 with NB 256:
 *     4% less. The rows of b prefetched by gemm_pack_b: +0.5%, within the noise.
 *   Outputs of one vector (Zen 5, AVX-512; edges of EGT 4/64/16, 20736 rows of 16 and 8): gemm made the zeros past n
 *     too, gemm_ta packed more than it multiplied. A tile of one vector, and no packing: 16% of a training step of 22
 *     ms, which had a third in both; the same bits.
 */
#define STACK (512 << 10) /* bytes that a native build takes of a thread's stack, for its tiles */
#ifndef MR
#if defined(__AVX512F__)
#define MR 8 /* rows of the register tile; of 32 registers 16 hold sums */
#else
#define MR 6 /* of 16 registers 12 hold sums */
#endif
#endif
/* gemm_ta: rows of a packed panel, a multiple of MR and VW. */
#if MR == 6
#define PW (3 * VW)
#elif MR == 8
#define PW (VW > 8 ? VW : 8)
#else
#define PW VW
#endif
#ifndef NV
#define NV 2 /* vectors of a row of the register tile */
#endif
#ifndef KC
#define KC 128 /* gemm_ta: depth of a packed block */
#endif
#ifndef MB
#define MB 256 /* gemm_ta: rows of a packed block */
#endif
#ifndef NB
#define NB 512 /* and columns */
#endif
#define NARROW 32 /* gemm_ta: rows, at most, where columns are one vector, that are not packed */
#include "common.h"
#include "epilogue.h"
#include "transpose.h"

#define NR (NV * VW)
#define LINE 16 /* floats of a cache line */
#define PANELS ((MB + PW - 1) / PW)
/* Panels lie a little apart: at a power of two they would meet in the same sets of the cache. */
#define A_PANEL (KC * PW + VW)
#define B_PANEL (KC * NR + NR)

/* sum[MR][NV] += a's element of row r times the packed row of b, for each of `depth` k. */
#define MULTIPLY(sum, a_element, panel, depth) \
    for (int q = 0; q < (depth); q++) { \
        vec b_[NV]; \
        UNROLL for (int v = 0; v < NV; v++) b_[v] = vec_load((panel) + (size_t)q * NR + v * VW); \
        UNROLL for (int r = 0; r < MR; r++) \
        { \
            float a_ = (a_element); \
            UNROLL for (int v = 0; v < NV; v++) sum[r][v] += a_ * b_[v]; \
        } \
    }
/* The same where the columns that are there are one vector: half of the panel is zeros, which no sum needs. */
#define MULTIPLY_NARROW(sum, a_element, b_row, depth) \
    for (int q = 0; q < (depth); q++) { \
        const vec b_ = (b_row); \
        UNROLL for (int r = 0; r < MR; r++) sum[r] += (a_element) * b_; \
    }
#define ZERO(sum) \
    UNROLL for (int r = 0; r < MR; r++) \
    { \
        UNROLL for (int v = 0; v < NV; v++) sum[r][v] = vec_set(0.0f); \
    }
/* ReLU, or with slope_of its slope there, from element `at` on: as EPILOGUE has it, but in registers. */
#define RECTIFY(sum, slope_of, at, ld) \
    UNROLL for (int r = 0; r < MR; r++) \
    { \
        UNROLL for (int v = 0; v < NV; v++) \
        { \
            if (slope_of) \
                sum[r][v] *= vec_relu_slope(vec_load((slope_of) + (at) + (size_t)r * (ld) + v * VW)); \
            else \
                sum[r][v] = vec_relu(sum[r][v]); \
        } \
    }
#define KEEP(to, sum) \
    UNROLL for (int r = 0; r < MR; r++) \
    { \
        UNROLL for (int v = 0; v < NV; v++) vec_store((to) + r * NR + v * VW, sum[r][v]); \
    }

/* Packing `depth` rows of a panel, from row `first` and column j of op(b) on, zeros past column n. Macros, for `to` is
 * private here and global there. PACK_ROWS: op(b)[k][n] is b[k * ldb + n]; PACK_COLUMNS: b[n * ldb + k]. */
#define PACK_ROWS(to, b, ldb, first, depth, j, n) \
    for (int q = 0; q < (depth); q++) \
        for (int v = 0; v < NR; v += VW) { \
            int part_ = min(VW, (n) - (j)-v); \
            vec_store((to) + (size_t)q * NR + v, LOAD((b) + (size_t)((first) + q) * (ldb) + (j) + v, part_)); \
        }
#define PACK_COLUMNS(to, b, ldb, first, depth, j, n) \
    for (int q = 0; q < (depth); q += VW) \
        for (int v = 0; v < NR; v += VW) { \
            int rows_ = min(VW, (depth)-q), part_ = min(VW, (n) - (j)-v); \
            vec block_[VW]; \
            UNROLL for (int i_ = 0; i_ < VW; i_++) \
                block_[i_] = LOAD((b) + (size_t)((j) + v + i_) * (ldb) + (first) + q, i_ < part_ ? rows_ : 0); \
            transpose(block_); \
            UNROLL for (int i_ = 0; i_ < VW; i_++) \
            { \
                if (i_ < rows_) \
                    vec_store((to) + (size_t)(q + i_) * NR + v, block_[i_]); \
            } \
        }

__kernel void gemm_pack_b(TENSOR(const float, b), TENSOR(float, packed), const int ldb, const int trans, const int n,
                          const int k)
{
    BIND(const float, b);
    BIND(float, packed);
    int first = (int)get_global_id(1) * PACK_K, depth = min(PACK_K, k - first);
    int end = min(((int)get_global_id(0) + 1) * PANEL_COLUMNS, n);
    for (int j = (int)get_global_id(0) * PANEL_COLUMNS; j < end; j += NR) {
        __global float *to = packed + ((size_t)(j / NR) * k + first) * NR;
        if (trans)
            PACK_COLUMNS(to, b, ldb, first, depth, j, n)
        else
            PACK_ROWS(to, b, ldb, first, depth, j, n)
    }
}

__kernel void gemm(TENSOR(const float, a), TENSOR(const float, packed), TENSOR(float, c), TENSOR(const float, bias),
                   TENSOR(float, pre), TENSOR(const float, slope_of), TENSOR(const float, addend),
                   const int lda, const int ldc, const int m, const int n, const int k, const int mb, const int nb,
                   const int activation)
{
    BIND(const float, a);
    BIND(const float, packed);
    BIND_SHARED(float, c);
    BIND(const float, bias);
    BIND(float, pre);
    BIND(const float, slope_of);
    BIND_SHARED(const float, addend);
    float tile[MR * NR] __attribute__((aligned(64)));
    int plain = !pre && (!activation || activation == ACT_RELU);
    int first_row = (int)get_global_id(0) * mb, end_row = min(first_row + mb, m);
    int first_column = (int)get_global_id(1) * nb, end_column = min(first_column + nb, n);
    for (int i = first_row; i < end_row; i += MR) {
        __global const float *row[MR];
        UNROLL for (int r = 0; r < MR; r++) row[r] = a + (size_t)min(i + r, end_row - 1) * lda;
        for (int j = first_column; j < end_column; j += NR) {
            __global const float *panel = packed + (size_t)(j / NR) * k * NR;
            if (NV > 1 && n - j <= VW) {
                const int part = n - j;
                vec one[MR], first = vec_set(0.0f);
                if (bias)
                    first = LOAD(bias + j, part);
                UNROLL for (int r = 0; r < MR; r++) one[r] = first;
                MULTIPLY_NARROW(one, row[r][q], vec_load(panel + (size_t)q * NR), k)
                UNROLL for (int r = 0; r < MR; r++) vec_store(tile + r * VW, one[r]);
                for (int r = 0; r < min(MR, end_row - i); r++) {
                    size_t at = (size_t)(i + r) * ldc + j;
                    EPILOGUE(c, vec_load(tile + r * VW), at, part, activation);
                }
                continue;
            }
            vec sum[MR][NV];
            UNROLL for (int v = 0; v < NV; v++)
            {
                vec first = vec_set(0.0f);
                if (bias)
                    first = LOAD(bias + j + v * VW, min(VW, n - j - v * VW));
                UNROLL for (int r = 0; r < MR; r++) sum[r][v] = first;
            }
            MULTIPLY(sum, row[r][q], panel, k)
            if (plain && i + MR <= end_row && j + NR <= n) {
                if (activation)
                    RECTIFY(sum, slope_of, (size_t)i * ldc + j, ldc)
                UNROLL for (int r = 0; r < MR; r++)
                {
                    UNROLL for (int v = 0; v < NV; v++)
                    {
                        size_t at = (size_t)(i + r) * ldc + j + v * VW;
                        vec x = sum[r][v];
                        if (addend)
                            x += vec_load(addend + at);
                        vec_store(c + at, x);
                    }
                }
                continue;
            }
            KEEP(tile, sum)
            for (int r = 0; r < min(MR, end_row - i); r++)
                for (int v = 0; v < NR && j + v < n; v += VW) {
                    size_t at = (size_t)(i + r) * ldc + j + v;
                    int part = min(VW, n - j - v);
                    EPILOGUE(c, vec_load(tile + r * NR + v), at, part, activation);
                }
        }
    }
}

/* Packs [depth, width] of `from`, rows ld apart, as panels of `panel` columns, zeros past width. Where there are `sums`,
 * they become those of the columns, or with `add` that is added to them. */
SSA_INLINE void pack_block(float *to, __global const float *from, int ld, int depth, int width, int panel, int stride,
                           __global float *sums, int add)
{
    for (int j = 0; j < width; j += panel, to += stride)
        for (int v = 0; v < panel; v += VW) {
            int part = min(VW, width - j - v);
            vec sum = vec_set(0.0f);
            if (sums && add)
                sum = LOAD(sums + j + v, part);
            if (part == VW) {
                for (int q = 0; q < depth; q++) {
                    vec x = vec_load(from + (size_t)q * ld + j + v);
                    sum += x;
                    vec_store(to + q * panel + v, x);
                }
            } else {
                for (int q = 0; q < depth; q++) {
                    vec x = LOAD(from + (size_t)q * ld + j + v, part);
                    sum += x;
                    vec_store(to + q * panel + v, x);
                }
            }
            if (sums)
                STORE(sums + j + v, sum, part);
        }
}

/* to (+)= the sum of [depth, width]'s rows. */
SSA_INLINE void sum_block(__global float *to, __global const float *from, int ld, int depth, int width, int add)
{
    for (int i = 0; i < width; i += VW) {
        int part = min(VW, width - i);
        vec sum = vec_set(0.0f);
        if (add)
            sum = LOAD(to + i, part);
        for (int q = 0; q < depth; q++)
            sum += LOAD(from + (size_t)q * ld + i, part);
        STORE(to + i, sum, part);
    }
}

SSA_INLINE void prefetch_row(__global const float *row, int width)
{
    for (int i = 0; i < width; i += LINE)
        PREFETCH(row + i);
}

/* c[height][width] (+)= a^T b of a few rows and at most VW columns, which are read where they lie: packing them would
 * take longer than the product. */
SSA_INLINE void multiply_narrow(__global float *c, int ldc, __global const float *a, int lda, __global const float *b,
                                int ldb, int depth, int height, int width, int add)
{
    float rows[MR * VW] __attribute__((aligned(64)));
    for (int i = 0; i < height; i += MR) {
        __global const float *column[MR];
        vec sum[MR];
        UNROLL for (int r = 0; r < MR; r++)
        {
            column[r] = a + min(i + r, height - 1);
            sum[r] = vec_set(0.0f);
        }
        if (i + MR <= height && width == VW) {
            MULTIPLY_NARROW(sum, a[(size_t)q * lda + i + r], vec_load(b + (size_t)q * ldb), depth)
        } else {
            MULTIPLY_NARROW(sum, column[r][(size_t)q * lda], LOAD(b + (size_t)q * ldb, width), depth)
        }
        UNROLL for (int r = 0; r < MR; r++) vec_store(rows + r * VW, sum[r]);
        for (int r = 0; r < min(MR, height - i); r++) {
            __global float *at = c + (size_t)(i + r) * ldc;
            vec x = vec_load(rows + r * VW);
            if (add)
                x += LOAD(at, width);
            STORE(at, x, width);
        }
    }
}

__kernel void gemm_ta(TENSOR(const float, a), TENSOR(const float, b), TENSOR(float, c), TENSOR(float, sums),
                      const int lda, const int ldb, const int ldc, const int trans_b, const int m, const int n,
                      const int k, const int ks, const ulong plane, const int accumulate)
{
    BIND(const float, a);
    BIND(const float, b);
    BIND(float, c);
    BIND(float, sums);
    float packed_a[PANELS * A_PANEL] __attribute__((aligned(64)));
    float packed_b[NB / NR * B_PANEL] __attribute__((aligned(64)));
    float edge[MR * NR] __attribute__((aligned(64)));
    int row = (int)get_global_id(0) * MB, height = min(MB, m - row);
    int column = (int)get_global_id(1) * NB, width = min(NB, n - column);
    int first_k = (int)get_global_id(2) * ks, end_k = min(first_k + ks, k);
    int tiles = (height + MR - 1) / MR * ((width + NR - 1) / NR);
    __global float *sums_to = sums && column == 0 ? sums + get_global_id(2) * (ulong)m + row : 0;
    c += get_global_id(2) * plane + (size_t)row * ldc + column;
    for (int kk = first_k; kk < end_k; kk += KC) {
        int depth = min(KC, end_k - kk), add = accumulate || kk > first_k, ahead = kk + KC, tile = 0;
        __global const float *block_a = a + (size_t)kk * lda + row;
        if (width <= VW && height <= NARROW && !trans_b) {
            if (sums_to)
                sum_block(sums_to, block_a, lda, depth, height, add);
            multiply_narrow(c, ldc, block_a, lda, b + (size_t)kk * ldb + column, ldb, depth, height, width, add);
            continue;
        }
        pack_block(packed_a, block_a, lda, depth, height, PW, A_PANEL, sums_to, add);
        if (!trans_b)
            pack_block(packed_b, b + (size_t)kk * ldb + column, ldb, depth, width, NR, B_PANEL, 0, 0);
        for (int j = 0; j < width; j += NR) {
            float *panel_b = packed_b + j / NR * B_PANEL;
            if (trans_b)
                PACK_COLUMNS(panel_b, b, ldb, kk, depth, column + j, n)
            for (int i = 0; i < height; i += MR) {
                const float *panel_a = packed_a + i / PW * A_PANEL + i % PW;
                __global float *to = c + (size_t)i * ldc + j;
                tile++; /* the next block comes into the cache bit by bit */
                for (int due = min(kk + KC + tile * KC / tiles, end_k); !trans_b && ahead < due; ahead++) {
                    prefetch_row(a + (size_t)ahead * lda + row, height);
                    prefetch_row(b + (size_t)ahead * ldb + column, width);
                }
                for (int r = 0; add && r < MR; r++)
                    prefetch_row(to + (size_t)r * ldc, NR);
                vec sum[MR][NV];
                ZERO(sum)
                MULTIPLY(sum, panel_a[q * PW + r], panel_b, depth)
                if (i + MR <= height && j + NR <= width) {
                    UNROLL for (int r = 0; r < MR; r++)
                    {
                        UNROLL for (int v = 0; v < NV; v++)
                        {
                            __global float *at = to + (size_t)r * ldc + v * VW;
                            vec x = sum[r][v];
                            if (add)
                                x += vec_load(at);
                            vec_store(at, x);
                        }
                    }
                    continue;
                }
                KEEP(edge, sum)
                for (int r = 0; r < min(MR, height - i); r++)
                    for (int v = 0; v < NR && j + v < width; v += VW) {
                        __global float *at = to + (size_t)r * ldc + v;
                        int part = min(VW, width - j - v);
                        vec x = vec_load(edge + r * NR + v);
                        if (add)
                            x += LOAD(at, part);
                        STORE(at, x, part);
                    }
            }
        }
    }
}

/* Matrix multiplication for CPUs.   c = a b with a fused epilogue (cl/epilogue.h), and c (+)= a^T b.
 *
 * Shapes  gemm: a [m, k], rows lda apart; b packed by gemm_pack_b as [ceil(n/NR)][k][NR], zeros past n; c [m, n], ldc.
 *         gemm_ta: a [k, m], rows lda apart; b [k, n] (or [n, k] with trans_b), ldb; c [m, n], ldc, one plane for
 *         every split of k; sums [m] (one for every split): the column sums of a.
 * Grid    gemm: (ceil(m/mb), ceil(n/nb)), a work-item owns mb rows x nb columns, nb a multiple of 32.
 *         gemm_pack_b: (ceil(n/32), ceil(k/PACK_K)), 32 columns x PACK_K.
 *         gemm_ta: (ceil(m/MB), ceil(n/nb), splits), MB rows x nb columns x ks of k.
 */
#ifndef MR
#if defined(__AVX512F__)
#define MR 8 /* rows of the register tile; of 32 registers 16 hold sums */
#else
#define MR 6 /* of 16 registers 12 hold sums */
#endif
#endif
#ifndef NV
#define NV 2 /* vectors of a row of the register tile */
#endif
#ifndef KC
#define KC 256 /* gemm_ta: depth of a packed block */
#endif
#ifndef MB
#define MB 128 /* gemm_ta: rows of a packed block */
#endif
#ifndef PACK_K
#define PACK_K 64
#endif
#include "common.h"
#include "epilogue.h"

#define NR (NV * VW)
#define PANEL (KC * MR + VW) /* of packed a; its last store reaches past its end */
#define PANELS ((MB + MR - 1) / MR)

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
#define ZERO(sum) \
    UNROLL for (int r = 0; r < MR; r++) \
    { \
        UNROLL for (int v = 0; v < NV; v++) sum[r][v] = vec_set(0.0f); \
    }


/* What becomes a packed panel: op(b)[k, n] is b[k * ldb + n], or b[n * ldb + k] with `trans`. Rows of a panel from k = `first` on. */
#define PACK_B(to, b, ldb, trans, first, depth, j, n) \
    for (int q = 0; q < (depth); q++) \
        for (int v = 0; v < NR; v += VW) { \
            int part_ = max(0, min(VW, (n) - (j)-v)); \
            if (!(trans)) { \
                vec_store((to) + (size_t)q * NR + v, LOAD((b) + (size_t)((first) + q) * (ldb) + (j) + v, part_)); \
                continue; \
            } \
            for (int i_ = 0; i_ < VW; i_++) \
                (to)[(size_t)q * NR + v + i_] = i_ < part_ ? (b)[(size_t)((j) + v + i_) * (ldb) + (first) + q] : 0.0f; \
        }

__kernel void gemm_pack_b(TENSOR(const float, b), TENSOR(float, packed), const int ldb, const int trans, const int n,
                          const int k)
{
    BIND(const float, b);
    BIND(float, packed);
    int first = (int)get_global_id(1) * PACK_K, depth = min(PACK_K, k - first);
    int end = min(((int)get_global_id(0) + 1) * 32, n);
    for (int j = (int)get_global_id(0) * 32; j < end; j += NR) {
        __global float *to = packed + ((size_t)(j / NR) * k + first) * NR;
        PACK_B(to, b, ldb, trans, first, depth, j, n)
    }
}

__kernel void gemm(TENSOR(const float, a), TENSOR(const float, packed), TENSOR(float, c), TENSOR(const float, bias),
                   TENSOR(float, pre), TENSOR(const float, slope_of), TENSOR(const float, addend),
                   const int lda, const int ldc, const int m, const int n, const int k, const int mb, const int nb,
                   const int activation)
{
    BIND(const float, a);
    BIND(const float, packed);
    BIND(float, c);
    BIND(const float, bias);
    BIND(float, pre);
    BIND(const float, slope_of);
    BIND(const float, addend);
    float tile[MR * NR] __attribute__((aligned(64)));
    int first_row = (int)get_global_id(0) * mb, end_row = min(first_row + mb, m);
    int first_column = (int)get_global_id(1) * nb, end_column = min(first_column + nb, n);
    for (int j = first_column; j < end_column; j += NR) {
        __global const float *panel = packed + (size_t)(j / NR) * k * NR;
        for (int i = first_row; i < end_row; i += MR) {
            __global const float *row[MR];
            UNROLL for (int r = 0; r < MR; r++) row[r] = a + (size_t)min(i + r, end_row - 1) * lda;
            vec sum[MR][NV];
            ZERO(sum)
            MULTIPLY(sum, row[r][q], panel, k)
            UNROLL for (int r = 0; r < MR; r++)
            {
                UNROLL for (int v = 0; v < NV; v++) vec_store(tile + r * NR + v * VW, sum[r][v]);
            }
            for (int r = 0; r < min(MR, end_row - i); r++)
                for (int v = 0; v < NR && j + v < n; v += VW) {
                    int part = min(VW, n - j - v);
                    size_t at = (size_t)(i + r) * ldc + j + v;
                    EPILOGUE(c, vec_load(tile + r * NR + v), at, j + v, part, activation);
                }
        }
    }
}

__kernel void gemm_ta(TENSOR(const float, a), TENSOR(const float, b), TENSOR(float, c), TENSOR(float, sums),
                      const int lda, const int ldb, const int ldc, const int trans_b, const int m, const int n,
                      const int k, const int nb, const int ks, const ulong plane, const int accumulate)
{
    BIND(const float, a);
    BIND(const float, b);
    BIND(float, c);
    BIND(float, sums);
    float packed_a[PANELS * PANEL] __attribute__((aligned(64)));
    float packed_b[KC * NR] __attribute__((aligned(64)));
    int first_row = (int)get_global_id(0) * MB, end_row = min(first_row + MB, m);
    int first_column = (int)get_global_id(1) * nb, end_column = min(first_column + nb, n);
    int first_k = (int)get_global_id(2) * ks, end_k = min(first_k + ks, k);
    c += get_global_id(2) * plane;
    for (int kk = first_k; kk < end_k; kk += KC) {
        int depth = min(KC, end_k - kk), add = accumulate || kk > first_k;
        for (int q = 0; q < depth; q++) {
            __global const float *from = a + (size_t)(kk + q) * lda;
            float *to = packed_a + q * MR;
            for (int i = first_row; i < end_row; i += MR, to += PANEL)
                for (int v = 0; v < MR; v += VW) { /* a store reaches past its MR; the next q's covers that */
                    int part = min(VW, end_row - i - v);
                    vec_store(to + v, LOAD(from + i + v, part));
                }
        }
        if (sums && first_column == 0)
            for (int i = first_row; i < end_row; i += VW) {
                int part = min(VW, end_row - i);
                __global float *to = sums + get_global_id(2) * (ulong)m + i;
                vec s = vec_set(0.0f);
                if (add)
                    s = LOAD(to, part);
                for (int q = 0; q < depth; q++)
                    s += LOAD(a + (size_t)(kk + q) * lda + i, part);
                STORE(to, s, part);
            }
        for (int j = first_column; j < end_column; j += NR) {
            PACK_B(packed_b, b, ldb, trans_b, kk, depth, j, n)
            const float *panel = packed_a;
            for (int i = first_row; i < end_row; i += MR, panel += PANEL) {
                vec sum[MR][NV];
                ZERO(sum)
                MULTIPLY(sum, panel[q * MR + r], packed_b, depth)
                __global float *to = c + (size_t)i * ldc + j;
                if (i + MR <= end_row && j + NR <= n) {
                    UNROLL for (int r = 0; r < MR; r++)
                    {
                        UNROLL for (int v = 0; v < NV; v++)
                        {
                            __global float *p = to + (size_t)r * ldc + v * VW;
                            vec x = sum[r][v];
                            if (add)
                                x += vec_load(p);
                            vec_store(p, x);
                        }
                    }
                    continue;
                }
                UNROLL for (int r = 0; r < MR; r++)
                {
                    UNROLL for (int v = 0; v < NV; v++)
                    {
                        __global float *p = to + (size_t)r * ldc + v * VW;
                        int part = min(VW, n - j - v * VW);
                        if (i + r < end_row && part > 0) {
                            vec old = vec_set(0.0f);
                            if (add)
                                old = LOAD(p, part);
                            STORE(p, old + sum[r][v], part);
                        }
                    }
                }
            }
        }
    }
}

/* Matrix multiplication for GPUs without a tuned library.   c (+)= op(a) op(b).
 *
 * Shapes  op(a) [m, k]: a[i * lda + q], or a[q * lda + i] with trans_a; op(b) [k, n] likewise;
 *         c [m, n], rows ldc apart.
 * Grid    (ceil(n/TILE) * SIDE, ceil(m/TILE) * SIDE) in work-groups of SIDE x SIDE: a group owns TILE x TILE of c, a
 *         work-item EACH x EACH of it, SIDE apart, so that neighbours read neighbouring banks and write neighbouring
 *         elements.
 * Macros  SIDE, TILE, DEPTH below: tuned parameters, lib/tuning.c.
 */
#include "common.h"

#ifndef SIDE
#define SIDE 16 /* of the work-group */
#endif
#ifndef TILE
#define TILE 64 /* of c, a multiple of SIDE */
#endif
#ifndef DEPTH
#define DEPTH 16 /* of a staged block */
#endif
#define EACH (TILE / SIDE)

__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void gemm_gpu(
    TENSOR(const float, a), TENSOR(const float, b), TENSOR(float, c), const int lda, const int ldb, const int ldc,
    const int trans_a, const int trans_b, const int m, const int n, const int k, const int accumulate)
{
    BIND(const float, a);
    BIND(const float, b);
    BIND(float, c);
    __local float stage_a[DEPTH][TILE + 1], stage_b[DEPTH][TILE + 1]; /* + 1: no bank conflicts when transposing */
    int x = (int)get_local_id(0), y = (int)get_local_id(1), item = y * SIDE + x;
    int first_row = (int)get_group_id(1) * TILE, first_column = (int)get_group_id(0) * TILE;
    float sum[EACH][EACH];
    for (int r = 0; r < EACH; r++)
        for (int v = 0; v < EACH; v++)
            sum[r][v] = 0.0f;
    for (int kk = 0; kk < k; kk += DEPTH) {
        for (int t = item; t < DEPTH * TILE; t += SIDE * SIDE) { /* along the rows of memory, whichever way they lie */
            int qa = trans_a ? t / TILE : t % DEPTH, i = trans_a ? t % TILE : t / DEPTH;
            int qb = trans_b ? t % DEPTH : t / TILE, j = trans_b ? t / DEPTH : t % TILE;
            bool in_a = kk + qa < k && first_row + i < m, in_b = kk + qb < k && first_column + j < n;
            size_t at_a = trans_a ? (size_t)(kk + qa) * lda + first_row + i : (size_t)(first_row + i) * lda + kk + qa;
            size_t at_b =
                trans_b ? (size_t)(first_column + j) * ldb + kk + qb : (size_t)(kk + qb) * ldb + first_column + j;
            stage_a[qa][i] = in_a ? a[at_a] : 0.0f;
            stage_b[qb][j] = in_b ? b[at_b] : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int q = 0; q < DEPTH; q++)
            for (int r = 0; r < EACH; r++)
                for (int v = 0; v < EACH; v++)
                    sum[r][v] += stage_a[q][y + r * SIDE] * stage_b[q][x + v * SIDE];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int r = 0; r < EACH; r++)
        for (int v = 0; v < EACH; v++) {
            int i = first_row + y + r * SIDE, j = first_column + x + v * SIDE;
            if (i < m && j < n) {
                __global float *to = c + (size_t)i * ldc + j;
                *to = accumulate ? *to + sum[r][v] : sum[r][v];
            }
        }
}

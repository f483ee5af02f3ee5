/* Matrix multiplication for GPUs without a tuned library, epilogue fused.   c = epilogue(op(a) op(b) + bias)
 *
 * Shapes  op(a) [m, k]: a[i * lda + q], or a[q * lda + i] with trans_a; op(b) [k, n] likewise;
 *         c and what the epilogue names [m, n], rows ldc apart; see cl/epilogue.h. Bias [n].
 *         With more than one group along z, each has `span` of k, and c one plane for each, `plane` elements apart.
 * Grid    (ceil(n/TILE) * SIDE, ceil(m/TILE) * SIDE, ceil(k/span)) in work-groups of SIDE x SIDE: a group owns TILE x
 *         TILE of c, a work-item EACH x EACH of it, in quads that lie 4 SIDE apart.
 * Macros  SIDE, TILE, DEPTH below: tuned parameters, lib/tune/tuning.c.
 *
 * Both operands are staged DEPTH of k at a time, k the slower index, swizzled so that neither stores that transpose nor
 * reads of quads meet in a bank; the next block is on its way into registers while one is multiplied.
 *
 * Lab book. Never timed on a GPU; from tests/isa.sh --loops, multiply-adds of all instructions in the inner loop:
 *   single floats staged with a column of padding   gfx90a 39%, gfx1100 59%, sm_80 61%
 *   swizzled quads, TILE 64                         gfx906 75%, gfx1100 62% (counting pairs once), sm_80 77%
 */
#include "common.h"
#include "group.h"
#include "epilogue.h"

#ifndef SIDE
#define SIDE 16 /* of the work-group */
#endif
#ifndef TILE
#define TILE 64 /* of c: 4 SIDE or 8 SIDE */
#endif
#ifndef DEPTH
#define DEPTH 16 /* of a staged block: 8, 16 or 32 */
#endif
#define ITEMS (SIDE * SIDE)
#define EACH (TILE / SIDE)
#define QUADS (EACH / 4)
#define PIECES ((TILE * DEPTH / 4 + ITEMS - 1) / ITEMS) /* quads of an operand that a work-item stages */
/* Row q of a staged block has its elements at i ^ SWIZZLE(q). */
#define SWIZZLE(q) (((q) / 4 & 3) * 8)

/* The quad of (row r, depth q) that piece p is: along the depth, or along the rows. */
#define PIECE_ITEM(p) ((p) * ITEMS + item)
#define ROW_OF(p, deep) ((deep) ? PIECE_ITEM(p) / (DEPTH / 4) : PIECE_ITEM(p) % (TILE / 4) * 4)
#define DEPTH_OF(p, deep) ((deep) ? PIECE_ITEM(p) % (DEPTH / 4) * 4 : PIECE_ITEM(p) / (TILE / 4))

/* Rows from `first` on, of `rows`, and depths from q0 to `end`; zero outside. `deep`: memory runs along depth. */
GROUP_INLINE void fetch(float4 *piece, __global const float *from, int ld, int deep, int first, int rows, int q0,
                        int end, int item)
{
    UNROLL
    for (int p = 0; p < PIECES; p++) {
        const int i = first + ROW_OF(p, deep), q = q0 + DEPTH_OF(p, deep);
        const int part = i < rows && q < end ? deep ? end - q : rows - i : 0;
        __global const float *at = from + (deep ? (size_t)i * ld + q : (size_t)q * ld + i);
        piece[p] = load_quad(at, part);
    }
}

GROUP_INLINE void place(__local float *to, const float4 *piece, int deep, int item)
{
    UNROLL
    for (int p = 0; p < PIECES; p++) {
        const int q = DEPTH_OF(p, deep), at = q * TILE + (ROW_OF(p, deep) ^ SWIZZLE(q));
        if (TILE * DEPTH / 4 % ITEMS && PIECE_ITEM(p) >= TILE * DEPTH / 4)
            break;
        if (deep) {
            to[at] = piece[p].x;
            to[at + TILE] = piece[p].y;
            to[at + 2 * TILE] = piece[p].z;
            to[at + 3 * TILE] = piece[p].w;
        } else
            vstore4(piece[p], 0, to + at);
    }
}

__kernel GROUP_OF(SIDE, SIDE) void gemm_gpu(
    TENSOR(const float, a), TENSOR(const float, b), TENSOR(float, c), TENSOR(const float, bias), TENSOR(float, pre),
    TENSOR(const float, slope_of), TENSOR(const float, addend), const int lda, const int ldb, const int ldc,
    const int trans_a, const int trans_b, const int m, const int n, const int k, const int span, const ulong plane,
    const int activation)
{
    BIND(const float, a);
    BIND(const float, b);
    BIND_SHARED(float, c);
    BIND(const float, bias);
    BIND_SHARED(float, pre);
    BIND(const float, slope_of);
    BIND_SHARED(const float, addend);
    __local float4 stage[2 * DEPTH * TILE / 4];
    __local float *const stage_a = (__local float *)stage, *const stage_b = stage_a + DEPTH * TILE;
    const int x = (int)get_local_id(0), y = (int)get_local_id(1), item = y * SIDE + x;
    const int first_row = (int)get_group_id(1) * TILE, first_column = (int)get_group_id(0) * TILE;
    const int begin = (int)get_group_id(2) * span, end = min(k, begin + span);
    float4 sum[EACH][QUADS], next_a[PIECES], next_b[PIECES];
    UNROLL
    for (int r = 0; r < EACH; r++)
        UNROLL
        for (int v = 0; v < QUADS; v++)
            sum[r][v] = (float4)(0.0f);

    fetch(next_a, a, lda, !trans_a, first_row, m, begin, end, item);
    fetch(next_b, b, ldb, trans_b, first_column, n, begin, end, item);
    for (int kk = begin; kk < end; kk += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        place(stage_a, next_a, !trans_a, item);
        place(stage_b, next_b, trans_b, item);
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(next_a, a, lda, !trans_a, first_row, m, kk + DEPTH, end, item);
        fetch(next_b, b, ldb, trans_b, first_column, n, kk + DEPTH, end, item);
        _Pragma("unroll 1")
        for (int q = 0; q < DEPTH; q += 4) {
            __local const float4 *from_a = stage + q * (TILE / 4) + (4 * y ^ SWIZZLE(q)) / 4;
            __local const float4 *from_b = stage + (DEPTH + q) * (TILE / 4) + (4 * x ^ SWIZZLE(q)) / 4;
            UNROLL
            for (int e = 0; e < 4; e++)
                UNROLL
                for (int g = 0; g < QUADS; g++) {
                    const float4 rows = from_a[e * (TILE / 4) + g * SIDE];
                    UNROLL
                    for (int v = 0; v < QUADS; v++) {
                        const float4 columns = from_b[e * (TILE / 4) + v * SIDE];
                        sum[4 * g][v] += rows.x * columns;
                        sum[4 * g + 1][v] += rows.y * columns;
                        sum[4 * g + 2][v] += rows.z * columns;
                        sum[4 * g + 3][v] += rows.w * columns;
                    }
                }
        }
    }

    c += get_group_id(2) * plane;
    UNROLL
    for (int r = 0; r < EACH; r++)
        UNROLL
        for (int v = 0; v < QUADS; v++) {
            const int i = first_row + r / 4 * 4 * SIDE + 4 * y + r % 4, j = first_column + 4 * (v * SIDE + x);
            const int part = min(4, n - j);
            if (i < m && part > 0) {
                float4 g = sum[r][v];
                if (bias)
                    g += LOAD(bias + j, part);
                EPILOGUE(c, g, (size_t)i * ldc + j, part, activation);
            }
        }
}

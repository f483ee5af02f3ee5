/* Matrix multiplication on a matrix engine of bf16 (cl/matrix.h), of float32 operands taken apart.
 * c = act(a b + bias) ..., fused (cl/epilogue.h); with `splits` planes of c, each of a share of k.
 *
 * Macros  PARTS: parts.h, which has how operands are packed: b first, a's share by the work-item that reads it.
 * Shapes  gemm_parts_pack: b [k, n] or with trans_b [n, k], rows ldb apart; packed as above.
 *         gemm_parts: a [m, k] or with trans_a [k, m], rows lda apart; c [m, n], ldc, planes `plane` elements apart.
 * Grid    gemm_parts_pack: (ceil(k/span), ceil(n/(32 panels))), span a multiple of 32.
 *         gemm_parts: (ceil(m/mb), ceil(n/nb), splits): mb rows, nb columns, both multiples of 32, ks of k; of k kb at
 *         a time: of ks all, but where c is the product and a bias. ks and kb are multiples of 32, and mb kb PARTS bf16
 *         are at most PARTS_SHARE bytes. With `accumulate` c is added to, which no epilogue may then follow.
 *
 * Lab book (Xeon with AMX, one core beside other work; GFLOP/s of the float32 problem, where cl/gemm.cl makes 200 and
 *   170 of a^T b; rows 2048, k and n from 256 to 1024)
 *   The engine alone, warm: 560 to 620 of 880 possible. a packed first, as b is: 390 to 490 once its inputs come from
 *     memory; by the work-item that reads it, into a buffer that stays in its second cache: 430 to 570, a^T b 360 to
 *     440. Work-items of 64, 128, 256 rows: the same within 5%. a^T b with all of k (8192) at once 160 to 180, for a's
 *     share left the second cache; k in blocks of 1024: 290 to 370. Packing b across k, 64 of k by 32 panels at a time:
 *     a third faster than panel by panel. A bias as the start of the sums, loaded with a stride of 0, instead of an
 *     epilogue: +3%.
 *   c past the caches where it is larger than the second: a whole step -4%, bf16.
 *   What is left: a warm product spends a quarter of its time packing; a cold one waits for memory.
 */
#define STACK (576 << 10) /* PARTS_SHARE, and room */
#include "parts.h"
#define EPILOGUE_STORE(to, x, part) \
    do { \
        if (stream && (part) == VW) \
            vec_stream(to, x); \
        else \
            STORE(to, x, part); \
    } while (0)
#include "epilogue.h"

/* Whether rows of c are whole lines, and more than stays in a cache until it is read. */
#define LEAST_STREAM (2 << 20)
static inline int streams(const float *c, const float *pre, int ldc, int m, int n)
{
    return (((uintptr_t)c | (uintptr_t)pre) & 63) == 0 && ldc % 16 == 0 && (size_t)m * n * sizeof *c >= LEAST_STREAM;
}

/* Of what the epilogue reads: while the product is made. */
static inline void prefetch_block(const float *x, int ld, int row, int column, int rows)
{
    for (int r = 0; x && r < rows; r++)
        for (int v = 0; v < PANEL; v += 16) /* a line of 64 bytes */
            PREFETCH(x + (size_t)(row + r) * ld + column + v);
}

__kernel void gemm_parts_pack(TENSOR(const float, b), TENSOR(float, packed), const int ldb, const int trans_b,
                              const int n, const int k, const int span, const int panels)
{
    BIND(const float, b);
    BIND(float, packed);
    const int first = (int)get_global_id(0) * span, first_column = (int)get_global_id(1) * panels * PANEL;
    const int steps = PARTS_STEPS(k);
    const size_t step = (size_t)(first_column / PANEL) * steps + first / TILE_DEPTH;
    pack_parts((uint *)packed + step * (STEP / 2), steps, b, ldb, !trans_b, trans_b, first, min(first + span, k),
         first_column, min(first_column + panels * PANEL, n));
}

__kernel void gemm_parts(TENSOR(const float, a), TENSOR(const float, packed), TENSOR(float, c),
                         TENSOR(const float, bias), TENSOR(float, pre), TENSOR(const float, slope_of),
                         TENSOR(const float, addend), const int lda, const int trans_a, const int ldc, const int m,
                         const int n, const int k, const int mb, const int nb, const int ks, const int kb,
                         const ulong plane, const int accumulate, const int activation)
{
    BIND(const float, a);
    BIND(const float, packed);
    BIND_SHARED(float, c);
    BIND(const float, bias);
    BIND(float, pre);
    BIND(const float, slope_of);
    BIND_SHARED(const float, addend);
    bf16 share[PARTS_SHARE / sizeof(bf16)] __attribute__((aligned(64)));
    float block[PANEL * PANEL] __attribute__((aligned(64))), start[PANEL] = {0};
    const int first_row = (int)get_global_id(0) * mb, end_row = min(first_row + mb, m);
    const int first_column = (int)get_global_id(1) * nb, end_column = min(first_column + nb, n);
    const int first_k = (int)get_global_id(2) * ks, end_k = min(first_k + ks, k);
    const int all_steps = PARTS_STEPS(k);
    const int plain = !pre && !activation && !addend;
    c += get_global_id(2) * plane;
    const int stream = !accumulate && kb >= end_k - first_k && streams(c, pre, ldc, m, n);
    MATRIX_TILES
    MATRIX_BEGIN
    for (int kk = first_k; kk < end_k; kk += kb) {
        const int depth = min(kb, end_k - kk), steps = PARTS_STEPS(depth);
        pack_parts((uint *)share, steps, a, lda, trans_a, trans_a, kk, kk + depth, first_row, end_row);
        for (int j = first_column; j < end_column; j += PANEL) {
            for (int v = 0; bias && v < min(PANEL, n - j); v += VW)
                vec_store(start + v, LOAD(bias + j + v, min(VW, n - j - v)));
            for (int i = first_row; i < end_row; i += PANEL) {
                const bf16 *x = share + (size_t)((i - first_row) / PANEL) * steps * STEP;
                const bf16 *y = (const bf16 *)packed + ((size_t)(j / PANEL) * all_steps + kk / TILE_DEPTH) * STEP;
                const int rows = min(PANEL, m - i), columns = min(PANEL, n - j);
                const int whole = plain && !stream && rows == PANEL && columns == PANEL, stride = whole ? ldc : PANEL;
                float *corner = c + (size_t)i * ldc + j, *to = whole ? corner : block;
                if (accumulate || kk > first_k) {
                    for (int r = 0; !whole && r < rows; r++)
                        for (int v = 0; v < columns; v += VW)
                            vec_store(block + r * PANEL + v, LOAD(corner + (size_t)r * ldc + v, min(VW, columns - v)));
                    FOR_QUARTERS(tile_load_sums, to, stride)
                } else { /* each row begins so */
                    FOR_QUARTERS(tile_load_sums, start, 0)
                }
                prefetch_block(slope_of, ldc, i, j, rows);
                prefetch_block(addend, ldc, i, j, rows);
                MULTIPLY_PANELS(x, y, steps)
                FOR_QUARTERS(tile_store_sums, to, stride)
                for (int r = 0; !whole && r < rows; r++)
                    for (int v = 0; v < columns; v += VW) {
                        const size_t at = (size_t)(i + r) * ldc + j + v;
                        EPILOGUE(c, vec_load(block + r * PANEL + v), at, min(VW, columns - v), activation);
                    }
            }
        }
    }
    MATRIX_END
    STREAM_END;
}

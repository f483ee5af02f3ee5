/* Matrix multiplication on a matrix engine of bf16 (cl/matrix.h), of float32 operands taken apart.
 * c = act(a b + bias) ..., fused (cl/epilogue.h); with `splits` planes of c, each of a share of k.
 *
 *   x = high + low + rest, high = bf16(x), low = bf16(x - high), |rest| <= 2^-16 |x|
 *   a b = high high + low high + high low + ..., of which what is left out is below 2^-16 |a| |b|
 *
 * Operands are packed by tiles, so that the engine reads memory in a row: [panel of 32 rows of a or columns of b]
 * [k / 32][part][half of the panel][tile], with zeros past their ends: b first, a's share by the work-item that reads
 * it.
 *
 * Macros  PARTS: 2, as above.
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
 *     memory; by the work-item that reads it, into a buffer that stays in its second cache: 430 to 570, a^T b 360 to 440.
 *   Work-items of 64, 128, 256 rows: the same within 5%. a^T b with all of k (8192) at once 160 to 180, for a's share
 *     left the second cache; k in blocks of 1024: 290 to 370. Packing b across k, 64 of k by 32 panels at a time: a third
 *     faster than panel by panel. A bias as the start of the sums, loaded with a stride of 0, instead of an epilogue: +3%.
 *   What is left: a warm product spends a quarter of its time packing; a cold one waits for memory.
 */
#define STACK (576 << 10) /* PARTS_SHARE, and room */
#include "gemm_parts.h"
#include "matrix.h"
#include "epilogue.h"
#include "transpose.h"

#define PANEL PARTS_PANEL /* 2 TILE_SIDE */
#define STEP (2 * PARTS * TILE_ELEMENTS) /* bf16 of a panel's TILE_DEPTH of k */

/* Words, each a pair of k of a row of a or of a column of b; a tile of them for each part, that far apart. */
#define TILE_WORDS (TILE_SIDE * TILE_SIDE)
#define PART_WORDS (2 * TILE_WORDS)

/* VW words of each part. */
static inline void split(uint *to, vec even, vec odd)
{
    UNROLL for (int p = 0; p < PARTS; p++)
    {
        const vec_uint first = bf16_bits(even), second = bf16_bits(odd);
        vec_store((float *)(to + p * PART_WORDS), vec_as_float(first >> 16 | second));
        even -= vec_as_float(first);
        odd -= vec_as_float(second);
    }
}

/* Rows of pairs: x[i] holds 32 elements of k, of which `depth` are there, in `height` rows. */
static inline void split_rows(uint *to, const float *x, int ld, int height, int depth)
{
    for (int i = 0; i < TILE_SIDE; i++)
        for (int j = 0; j < TILE_DEPTH; j += 2 * VW) {
            const int here = i < height ? depth - j : 0;
            const vec a = LOAD(x + (size_t)i * ld + j, max(0, min(VW, here)));
            const vec b = LOAD(x + (size_t)i * ld + j + VW, max(0, min(VW, here - VW)));
            split(to + i * TILE_SIDE + j / 2, vec_even(a, b), vec_odd(a, b));
        }
}

/* Columns of pairs: x[2 i] and x[2 i + 1] hold elements of 16 columns, of which `width` are there, in `depth` rows. */
static inline void split_columns(uint *to, const float *x, int ld, int depth, int width)
{
    for (int i = 0; i < TILE_SIDE; i++)
        for (int j = 0; j < TILE_SIDE; j += VW) {
            const int here = max(0, min(VW, width - j));
            const vec even = LOAD(x + (size_t)(2 * i) * ld + j, 2 * i < depth ? here : 0);
            const vec odd = LOAD(x + (size_t)(2 * i + 1) * ld + j, 2 * i + 1 < depth ? here : 0);
            split(to + i * TILE_SIDE + j, even, odd);
        }
}

/* Rows become columns, by blocks of VW. */
static inline void turn(uint *to, const uint *words)
{
    for (int i = 0; i < TILE_SIDE; i += VW)
        for (int j = 0; j < TILE_SIDE; j += VW) {
            vec block[VW];
            UNROLL for (int r = 0; r < VW; r++) block[r] = vec_load((const float *)(words + (i + r) * TILE_SIDE + j));
            transpose(block);
            UNROLL for (int r = 0; r < VW; r++) vec_store((float *)to + (j + r) * TILE_SIDE + i, block[r]);
        }
}

/* Of k from `first` to `end`, rows (or columns) from `first_row` to `end_row`, multiples of a panel or what is there;
 * `steps` of k apart in `packed`. */
static inline void pack(uint *packed, int steps, const float *x, int ld, int across, int turned, int first, int end,
                        int first_row, int end_row)
{
    for (int kk = first; kk < end; kk += TILE_DEPTH)
        for (int row = first_row; row < first_row + (end_row - first_row + PANEL - 1) / PANEL * PANEL; row += TILE_SIDE) {
            const int at = row - first_row;
            const size_t step = (size_t)(at / PANEL) * steps + (kk - first) / TILE_DEPTH;
            uint *to = packed + step * (STEP / 2) + at % PANEL / TILE_SIDE * TILE_WORDS;
            uint other_way[PARTS * PART_WORDS], *words = turned ? other_way : to;
            if (across)
                split_columns(words, x + (size_t)kk * ld + row, ld, end - kk, end_row - row);
            else
                split_rows(words, x + (size_t)row * ld + kk, ld, end_row - row, end - kk);
            for (int p = 0; turned && p < PARTS; p++)
                turn(to + p * PART_WORDS, words + p * PART_WORDS);
        }
}

__kernel void gemm_parts_pack(TENSOR(const float, b), TENSOR(float, packed), const int ldb, const int trans_b,
                              const int n, const int k, const int span, const int panels)
{
    BIND(const float, b);
    BIND(float, packed);
    const int first = (int)get_global_id(0) * span, first_column = (int)get_global_id(1) * panels * PANEL;
    const int steps = (k + TILE_DEPTH - 1) / TILE_DEPTH;
    const size_t step = (size_t)(first_column / PANEL) * steps + first / TILE_DEPTH;
    pack((uint *)packed + step * (STEP / 2), steps, b, ldb, !trans_b, trans_b, first, min(first + span, k),
         first_column, min(first_column + panels * PANEL, n));
}

/* Tiles 0 to 3 += 32 rows of a by 32 columns of b. */
#define MULTIPLY_QUARTERS(a, b) \
    tile_load(4, a); \
    tile_load(6, b); \
    tile_multiply(0, 4, 6); \
    tile_load(7, (b) + TILE_ELEMENTS); \
    tile_multiply(1, 4, 7); \
    tile_load(5, (a) + TILE_ELEMENTS); \
    tile_multiply(2, 5, 6); \
    tile_multiply(3, 5, 7);

/* Tiles 0 to 3 to or from 32 x 32 floats. */
#define FOR_QUARTERS(move, at, stride) \
    move(0, at, stride); \
    move(1, (at) + TILE_SIDE, stride); \
    move(2, (at) + (size_t)TILE_SIDE * (stride), stride); \
    move(3, (at) + (size_t)TILE_SIDE * (stride) + TILE_SIDE, stride);

__kernel void gemm_parts(TENSOR(const float, a), TENSOR(const float, packed), TENSOR(float, c),
                         TENSOR(const float, bias), TENSOR(float, pre), TENSOR(const float, slope_of), TENSOR(const float, addend), const int lda,
                         const int trans_a, const int ldc, const int m, const int n, const int k, const int mb,
                         const int nb, const int ks, const int kb, const ulong plane, const int accumulate,
                         const int activation)
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
    const int all_steps = (k + TILE_DEPTH - 1) / TILE_DEPTH;
    const int plain = !pre && !activation && !addend;
    c += get_global_id(2) * plane;
    MATRIX_BEGIN
    for (int kk = first_k; kk < end_k; kk += kb) {
        const int depth = min(kb, end_k - kk), steps = (depth + TILE_DEPTH - 1) / TILE_DEPTH;
        pack((uint *)share, steps, a, lda, trans_a, trans_a, kk, kk + depth, first_row, end_row);
        for (int j = first_column; j < end_column; j += PANEL) {
            for (int v = 0; bias && v < min(PANEL, n - j); v += VW)
                vec_store(start + v, LOAD(bias + j + v, min(VW, n - j - v)));
            for (int i = first_row; i < end_row; i += PANEL) {
                const bf16 *x = share + (size_t)((i - first_row) / PANEL) * steps * STEP;
                const bf16 *y = (const bf16 *)packed + ((size_t)(j / PANEL) * all_steps + kk / TILE_DEPTH) * STEP;
                const int rows = min(PANEL, m - i), columns = min(PANEL, n - j);
                const int whole = plain && rows == PANEL && columns == PANEL, stride = whole ? ldc : PANEL;
                float *corner = c + (size_t)i * ldc + j, *to = whole ? corner : block;
                if (accumulate || kk > first_k) {
                    for (int r = 0; !whole && r < rows; r++)
                        for (int v = 0; v < columns; v += VW)
                            vec_store(block + r * PANEL + v, LOAD(corner + (size_t)r * ldc + v, min(VW, columns - v)));
                    FOR_QUARTERS(tile_load_sums, to, stride)
                } else { /* each row begins so */
                    FOR_QUARTERS(tile_load_sums, start, 0)
                }
                for (int s = 0; s < steps; s++, x += STEP, y += STEP) {
                    MULTIPLY_QUARTERS(x, y)
#if PARTS == 2 /* low high while high is there, then high low */
                    tile_load(4, x + 2 * TILE_ELEMENTS);
                    tile_multiply(0, 4, 6);
                    tile_multiply(1, 4, 7);
                    tile_load(5, x + 3 * TILE_ELEMENTS);
                    tile_multiply(2, 5, 6);
                    tile_multiply(3, 5, 7);
                    MULTIPLY_QUARTERS(x, y + 2 * TILE_ELEMENTS)
#endif
                }
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
}

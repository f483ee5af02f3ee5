/* Operands of a matrix engine of bf16 (matrix.h) that are float32 taken apart.
 *
 *   x = high + low + rest, high = bf16(x), low = bf16(x - high), |rest| <= 2^-16 |x|
 *   a b = high high + low high + high low + ..., of which what is left out is below 2^-16 |a| |b|
 *
 * An operand is packed by tiles, so that the engine reads memory in a row: [panel of 32 rows of a or columns of b]
 * [k / 32][part][half of the panel][tile], with zeros past its ends. Macro PARTS: 2, as above.
 */
#ifndef SSA_PARTS_H
#define SSA_PARTS_H
#include "gemm_parts.h"
#include "matrix.h"
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
        const vec_uint pairs = bf16_pairs(even, odd);
        vec_store((float *)(to + p * PART_WORDS), vec_as_float(pairs));
        even -= vec_as_float(pairs << 16);
        odd -= vec_as_float(pairs & 0xffff0000);
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

/* Rows of TILE_SIDE become columns, by blocks of VW. */
static inline void turn_tile(float *to, int to_pitch, const float *from, int from_pitch)
{
    for (int i = 0; i < TILE_SIDE; i += VW)
        for (int j = 0; j < TILE_SIDE; j += VW) {
            vec block[VW];
            UNROLL for (int r = 0; r < VW; r++) block[r] = vec_load(from + (i + r) * from_pitch + j);
            transpose(block);
            UNROLL for (int r = 0; r < VW; r++) vec_store(to + (j + r) * to_pitch + i, block[r]);
        }
}
static inline void turn(uint *to, const uint *words)
{
    turn_tile((float *)to, TILE_SIDE, (const float *)words, TILE_SIDE);
}

/* Packs k from `first` to `end` of rows (or columns) from `first_row` to `end_row`, x being [row][k] or with `across`
 * [k][row], ld apart: as rows of a where turned == across, else as columns of b; panels are `steps` apart. */
static inline void pack_parts(uint *packed, int steps, const float *x, int ld, int across, int turned, int first,
                              int end, int first_row, int end_row)
{
    const int padded_row = first_row + (end_row - first_row + PANEL - 1) / PANEL * PANEL;
    for (int kk = first; kk < end; kk += TILE_DEPTH)
        for (int row = first_row; row < padded_row; row += TILE_SIDE) {
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
/* The same over `steps` of TILE_DEPTH, of all parts: low high while high is there, then high low. */
#if PARTS == 2
#define MULTIPLY_PARTS(a, b) \
    MULTIPLY_QUARTERS(a, b) \
    tile_load(4, (a) + 2 * TILE_ELEMENTS); \
    tile_multiply(0, 4, 6); \
    tile_multiply(1, 4, 7); \
    tile_load(5, (a) + 3 * TILE_ELEMENTS); \
    tile_multiply(2, 5, 6); \
    tile_multiply(3, 5, 7); \
    MULTIPLY_QUARTERS(a, (b) + 2 * TILE_ELEMENTS)
#else
#define MULTIPLY_PARTS(a, b) MULTIPLY_QUARTERS(a, b)
#endif
#define MULTIPLY_PANELS(a, b, steps) \
    for (int s_ = 0; s_ < (steps); s_++) { \
        MULTIPLY_PARTS((a) + s_ * STEP, (b) + s_ * STEP) \
    }

#define ZERO_QUARTERS \
    tile_zero(0); \
    tile_zero(1); \
    tile_zero(2); \
    tile_zero(3);
/* Tiles 0 to 3 to or from 32 x 32 floats. */
#define FOR_QUARTERS(move, at, stride) \
    move(0, at, stride); \
    move(1, (at) + TILE_SIDE, stride); \
    move(2, (at) + (size_t)TILE_SIDE * (stride), stride); \
    move(3, (at) + (size_t)TILE_SIDE * (stride) + TILE_SIDE, stride);

/* Words of a packed operand of so many rows and so much of k. */
#define PARTS_STEPS(k) (((k) + TILE_DEPTH - 1) / TILE_DEPTH)
#define PARTS_WORDS(rows, k) (((rows) + PANEL - 1) / PANEL * PARTS_STEPS(k) * (STEP / 2))

#endif

/* Matrix engines: tiles of 16 x 16 sums of products of bf16, 32 deep. C only, for the host backend.
 *
 * A kernel says MATRIX_BEGIN, then speaks of eight tiles by literal numbers, then MATRIX_END. An operand's tile is 1 KiB
 * of memory: of a, 16 rows of 32 elements of k; of b, 16 rows, one a pair of k, of the pairs of 16 columns. Sums are
 * 16 rows of 16 floats, `stride` floats apart.
 *
 * Engines  AMX where the build has it; else C, which adds in the same order, so that the same bits come out (of
 *          normal numbers: the engine takes denormal ones for 0): sums of even and of odd k apart, their sum added to
 *          the tile.
 */
#ifndef SSA_MATRIX_H
#define SSA_MATRIX_H
#include "common.h"

#define TILE_SIDE 16
#define TILE_DEPTH 32
#define TILE_ELEMENTS (TILE_SIDE * TILE_DEPTH) /* bf16 of an operand's tile */

typedef uint16_t bf16;

#ifdef __AMX_BF16__
#include <immintrin.h>

struct tile_settings {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
static const struct tile_settings whole_tiles = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};
#define MATRIX_BEGIN _tile_loadconfig(&whole_tiles);
#define MATRIX_END _tile_release();
#define tile_load(t, operand) _tile_loadd(t, operand, 64)
#define tile_multiply(sums, a, b) _tile_dpbf16ps(sums, a, b)
#define tile_load_sums(t, from, stride) _tile_loadd(t, from, (size_t)(stride) * 4)
#define tile_store_sums(t, to, stride) _tile_stored(t, to, (size_t)(stride) * 4)
#else
union tile {
    float sums[TILE_SIDE][TILE_SIDE];
    bf16 operand[TILE_SIDE][TILE_DEPTH];
};
#define MATRIX_BEGIN union tile tiles_[8];
#define MATRIX_END
#define tile_load(t, operand) memcpy(&tiles_[t], operand, sizeof tiles_[t])
#define tile_multiply(s, a, b) tile_multiply_(&tiles_[s], &tiles_[a], &tiles_[b])
#define tile_load_sums(t, from, stride) tile_move_(&tiles_[t].sums[0][0], TILE_SIDE, from, stride)
#define tile_store_sums(t, to, stride) tile_move_(to, stride, &tiles_[t].sums[0][0], TILE_SIDE)

static inline float bf16_value(bf16 h)
{
    const uint bits = (uint)h << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void tile_multiply_(union tile *s, const union tile *a, const union tile *b)
{
    for (int i = 0; i < TILE_SIDE; i++)
        for (int j = 0; j < TILE_SIDE; j++) {
            float even = 0, odd = 0;
            for (int q = 0; q < TILE_SIDE; q++) {
                even = fmaf(bf16_value(a->operand[i][2 * q]), bf16_value(b->operand[q][2 * j]), even);
                odd = fmaf(bf16_value(a->operand[i][2 * q + 1]), bf16_value(b->operand[q][2 * j + 1]), odd);
            }
            s->sums[i][j] += even + odd;
        }
}

static inline void tile_move_(float *to, size_t to_stride, const float *from, size_t from_stride)
{
    for (int i = 0; i < TILE_SIDE; i++)
        memcpy(to + (size_t)i * to_stride, from + (size_t)i * from_stride, TILE_SIDE * sizeof *to);
}
#endif

/* The bf16 nearest to x, ties to even, as the upper half of a float's bits; a NaN stays one. */
static inline vec_uint bf16_bits(vec x)
{
#if defined(__AVX512BF16__) && VW == 16
    return (vec_uint)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x)), 16);
#else
    const vec_uint bits = vec_as_uint(x), up = bits + 0x7fff + (bits >> 16 & 1), is_number = (vec_uint)(x == x);
    return ((up & is_number) | ((bits | 0x400000) & ~is_number)) & 0xffff0000;
#endif
}
#endif

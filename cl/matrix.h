/* Matrix engines: tiles of 16 x 16 sums of products of bf16, 32 deep. C only, for the host backend.
 *
 * A kernel says MATRIX_BEGIN and MATRIX_END; a function between that has MATRIX_TILES first speaks of eight tiles by
 * literal numbers, whose contents are its own; or they are those of a struct that has MATRIX_TILES, of which the function
 * first says MATRIX_TILES_OF. Nobody else speaks of tiles while those contents count. An operand's tile is 1 KiB
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

/* GCC's own intrinsics do not tell the compiler that tiles are loaded from memory, before which stores must be done. */
#define TILE_MOVE(move, operands, at, stride) \
    __asm__ volatile(move " " operands :: "r"(at), "r"((size_t)(stride)) : "memory")

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
#define MATRIX_TILES
#define MATRIX_TILES_OF(owner)
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, operand) TILE_MOVE("tileloadd", "(%0,%1,1), %%tmm" #t, operand, 64)
#define tile_multiply(sums, a, b) _tile_dpbf16ps(sums, a, b)
#define tile_load_sums(t, from, stride) TILE_MOVE("tileloadd", "(%0,%1,1), %%tmm" #t, from, (stride) * sizeof(float))
#define tile_store_sums(t, to, stride) TILE_MOVE("tilestored", "%%tmm" #t ", (%0,%1,1)", to, (stride) * sizeof(float))
#else
union matrix_tile {
    float sums[TILE_SIDE][TILE_SIDE];
    bf16 operand[TILE_SIDE][TILE_DEPTH];
};
#define MATRIX_BEGIN
#define MATRIX_END
#define MATRIX_TILES union matrix_tile tiles_[8];
#define MATRIX_TILES_OF(owner) union matrix_tile *const tiles_ = (owner)->tiles_;
#define tile_zero(t) memset(&tiles_[t], 0, sizeof tiles_[t])
#define tile_load(t, operand) memcpy(&tiles_[t], operand, sizeof tiles_[t])
#define tile_multiply(s, a, b) tile_multiply_(&tiles_[s], &tiles_[a], &tiles_[b])
#define tile_load_sums(t, from, stride) tile_move_(&tiles_[t].sums[0][0], TILE_SIDE, from, stride)
#define tile_store_sums(t, to, stride) tile_move_(to, stride, &tiles_[t].sums[0][0], TILE_SIDE)

/* Those of even and of odd k, as floats. */
static inline void tile_split_(const union matrix_tile *t, float even[][TILE_SIDE], float odd[][TILE_SIDE])
{
    for (int i = 0; i < TILE_SIDE; i++)
        for (int j = 0; j < TILE_SIDE; j++) {
            const uint pair[2] = {(uint)t->operand[i][2 * j] << 16, (uint)t->operand[i][2 * j + 1] << 16};
            memcpy(&even[i][j], &pair[0], sizeof even[i][j]);
            memcpy(&odd[i][j], &pair[1], sizeof odd[i][j]);
        }
}

/* A product of two bf16 is exact, so that adding it rounds as the engine's FMA does. Apart, for its tables take 4 KiB of
 * stack beside the caller's tiles. */
static __attribute__((noinline, unused)) void tile_multiply_(union matrix_tile *s, const union matrix_tile *a, const union matrix_tile *b)
{
    float a_even[TILE_SIDE][TILE_SIDE], a_odd[TILE_SIDE][TILE_SIDE];
    float b_even[TILE_SIDE][TILE_SIDE], b_odd[TILE_SIDE][TILE_SIDE];
    tile_split_(a, a_even, a_odd);
    tile_split_(b, b_even, b_odd);
    for (int i = 0; i < TILE_SIDE; i++) {
        float even[TILE_SIDE] = {0}, odd[TILE_SIDE] = {0};
        for (int q = 0; q < TILE_SIDE; q++)
            for (int j = 0; j < TILE_SIDE; j++) {
                even[j] += a_even[i][q] * b_even[q][j];
                odd[j] += a_odd[i][q] * b_odd[q][j];
            }
        for (int j = 0; j < TILE_SIDE; j++)
            s->sums[i][j] += even[j] + odd[j];
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
    const vec_uint bits = vec_as_uint(x), up = bits + 0x7fff + (bits >> 16 & 1), is_number = (vec_uint)(x == x);
    return ((up & is_number) | ((bits | 0x400000) & ~is_number)) & 0xffff0000;
}

/* Both as bf16, the first in the lower halves of words. */
static inline vec_uint bf16_pairs(vec first, vec second)
{
#if defined(__AVX512BF16__) && VW == 16
    static const uint16_t dealt[32] __attribute__((aligned(64))) = {
        0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    return (vec_uint)_mm512_permutexvar_epi16(_mm512_load_si512(dealt), both);
#else
    return bf16_bits(first) >> 16 | bf16_bits(second);
#endif
}
#endif

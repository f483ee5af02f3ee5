/* What attention's kernels of CPU shape are made of where products are on a matrix engine (parts.h): widths of keys and
 * values are D, a multiple of 32, and nothing is done to pairs.
 *
 * Scores are [key][query] as in attention_tile.h, of a GROUP of queries at a time: two keys side by side are the pairs
 * of a product over keys as they lie, so that probabilities become an operand in the registers in which they were made.
 * What is summed over keys therefore lies [column][query], a group's behind another's, and is turned when a tile ends.
 *
 * Lab book (a Xeon with AMX, one thread beside other work, N2048 H4 D64, milliseconds forward / backward, dense; float32
 *   takes 27.0 / 67.2)
 *   two parts as a variant of the tiles of float32: [query][key] packed from scores                20.5 / 55.1
 *   probabilities become operands in registers, sums [column][query], tiles of 256                 16.7 / 34.0
 *   maximum and minimum as the instructions that there are for them (vector.h)                     15.8 / 32.7
 *   the engine's steps between vectors, a step of a panel at a time                                13.0 / 29.5
 *     two panels, or a third of a step, at a time; no pause between them                           to 14.5 / to 34.4
 *   sums over queries after every second group, while its weights are in the first cache           12.8 / 29.1
 *   keys of a block 32 / 128 instead of 64; tiles of 128 / 512            14.3 / 13.0; 15.7 / 12.7 (36 / 34 backward)
 *   rows fetched ahead as in float32: k = N/4, causal (2.0 / 5.5 without)                          2.0 / 6.2
 *   one part                                                                                        8.7 / 19.6
 *   Where the time goes, two parts: 13.5 of backward's are vectors', 11 would be the engine's at its peak. Loading
 *   operands and storing sums, which are in the second cache, cost 7 and 6: what is held of a block and a group is five
 *   times the first cache.
 *   Against float32, forward and backward, two parts / one: dense 2.1 / 3.3, causal 2.0 / 3.1; k = N/4 1.8 / 2.8, causal
 *   1.6 / 2.3; D32 dense 1.8 / 2.7; D128 2.7 / 4.4.
 */
#ifndef SSA_ATTENTION_PARTS_H
#define SSA_ATTENTION_PARTS_H

#include "attention_tile.h"

#define WIDTH_STEPS PARTS_STEPS(D)
#define KEY_STEPS PARTS_STEPS(KEYS)

static const float no_row[D] ALIGNED = {0};

INLINE int row_is_finite(const float *row)
{
    vec zero = vec_set(0.0f);
    for (int c = 0; c < D; c += VW)
        zero += vec_load(row + c) * 0.0f;
    return vec_sum(zero) == 0.0f;
}

/* Where a block's rows are, and no_row up to a whole panel. `check`: rows that have NaN or infinity are no_row, too, for
 * products have all rows of both operands, and 0 times NaN is NaN in queries that do not see it: those that do are given
 * it for themselves. Returns whether there are any. */
INLINE int rows_of(const float **rows, const float *x, ulong stride, const int *source, int count, int check)
{
    int bad = 0;
    for (int j = 0; j < KEYS; j++) {
        rows[j] = j < count ? x + source[j] * stride : no_row;
        if (check && j < count && !row_is_finite(rows[j])) {
            rows[j] = no_row;
            bad = 1;
        }
    }
    return bad;
}

/* An operand a: rows as they are, k their columns. */
INLINE void pack_rows(uint *packed, const float *const *rows, int count)
{
    for (int j = 0; j < count; j += TILE_SIDE)
        for (int step = 0; step < WIDTH_STEPS; step++) {
            uint *to = packed + (j / PANEL * WIDTH_STEPS + step) * (STEP / 2) + j % PANEL / TILE_SIDE * TILE_WORDS;
            for (int i = 0; i < TILE_SIDE; i++)
                for (int c = 0; c < TILE_DEPTH; c += 2 * VW) {
                    const float *x = rows[j + i] + step * TILE_DEPTH + c;
                    const vec a = vec_load(x), b = vec_load(x + VW);
                    split(to + i * TILE_SIDE + c / 2, vec_even(a, b), vec_odd(a, b));
                }
        }
}

/* An operand a: columns become rows, k is the key. */
INLINE void pack_columns(uint *packed, const float *const *rows, int count)
{
    for (int j = 0; j < count; j += TILE_DEPTH)
        for (int column = 0; column < D; column += TILE_SIDE) {
            uint words[PARTS * PART_WORDS];
            uint *to = packed + (column / PANEL * KEY_STEPS + j / TILE_DEPTH) * (STEP / 2) +
                       column % PANEL / TILE_SIDE * TILE_WORDS;
            for (int i = 0; i < TILE_SIDE; i++)
                for (int c = 0; c < TILE_SIDE; c += VW)
                    split(words + i * TILE_SIDE + c, vec_load(rows[j + 2 * i] + column + c),
                          vec_load(rows[j + 2 * i + 1] + column + c));
            for (int p = 0; p < PARTS; p++)
                turn(to + p * PART_WORDS, words + p * PART_WORDS);
        }
}

/* Where the words of keys j and j + 1 and of queries from `query` on are in an operand b of a group, k the key. */
INLINE uint *pair_words(uint *packed, int j, int query)
{
    return packed + j / TILE_DEPTH * (STEP / 2) + query / TILE_SIDE * TILE_WORDS +
           j % TILE_DEPTH / 2 * TILE_SIDE + query % TILE_SIDE;
}

/* Zeros of keys from `first`, which is even, up to a whole step. */
INLINE void clear_pairs(uint *packed, int first)
{
    for (int j = first; j % TILE_DEPTH; j += 2)
        for (int query = 0; query < GROUP; query += VW)
            split(pair_words(packed, j, query), vec_set(0.0f), vec_set(0.0f));
}

/* What a group of the tile sees of a block. */
INLINE struct edge edge_of_group(struct block b, struct tile t, int group)
{
    return edge_of(b.source, b.count, b.masked, t.first + group * GROUP);
}

/* The first group that sees any of a block's keys: causal, those before it are before all of them. `groups`: none. */
INLINE int first_group(struct block b, struct tile t, int groups)
{
    int group = 0;
    while (group < groups && !edge_of_group(b, t, group).seen)
        group++;
    return group;
}

/* ---- products that the engine makes while others are softened ---- */

/* A core takes in some 500 instructions behind the oldest that has not ended, and one of the engine's lasts 16 cycles:
 * they run beside vectors if there are few of them in a row: a turn is one step of one panel. */
enum { PANELS_MOST = 32 };
struct engine {
    MATRIX_TILES
    struct panel {
        float *c; /* = or with `add` += a b over `steps`; 32 x 32, rows `pitch` apart */
        const bf16 *a, *b;
        int pitch, steps, add;
    } panels[PANELS_MOST];
    int count, at, step;
};

INLINE void engine_give(struct engine *e, float *c, int pitch, const uint *a, const uint *b, int steps, int add)
{
    e->panels[e->count++] = (struct panel){c, (const bf16 *)a, (const bf16 *)b, pitch, steps, add};
}

/* The panels of c [rows, GROUP]; those of a are `apart` steps from each other. */
INLINE void engine_give_rows(struct engine *e, float *c, int rows, const uint *a, int apart, const uint *b, int steps,
                             int add)
{
    for (int i = 0; i < rows; i += PANEL)
        engine_give(e, c + i * GROUP, GROUP, a + i / PANEL * apart * (STEP / 2), b, steps, add);
}

INLINE void engine_turn(struct engine *e)
{
    MATRIX_TILES_OF(e)
    if (e->at == e->count)
        return;
    const struct panel *p = &e->panels[e->at];
    const int at = e->step * STEP;
    if (!e->step) {
        if (p->add) {
            FOR_QUARTERS(tile_load_sums, p->c, p->pitch)
        } else {
            ZERO_QUARTERS
        }
    }
    MULTIPLY_PARTS(p->a + at, p->b + at)
    if (++e->step < p->steps)
        return;
    FOR_QUARTERS(tile_store_sums, p->c, p->pitch)
    e->step = 0;
    e->at++;
}

/* All that is left. */
INLINE void engine_finish(struct engine *e)
{
    while (e->at < e->count)
        engine_turn(e);
    e->at = e->count = 0;
}

/* sums[column][query] += row[column] factor[query] for the queries of a group that are at `key` or after it, the
 * group's first being at `first`. */
INLINE void add_outer(float *sums, const float *row, const float *factor, int key, int first)
{
    for (int v = 0; v < GROUP; v += VW) {
        const vec_int hidden = vec_set((float)(key - first - v)) > vec_iota();
        for (int c = 0; c < D; c++) {
            const vec x = vec_load(sums + c * GROUP + v);
            vec_store(sums + c * GROUP + v, vec_select(hidden, x, x + vec_load(factor + v) * row[c]));
        }
    }
}

/* rows[query][column], `pitch` apart, of the first `count` of a group = or with `add` += sums[column][query]
 * factor[query]. */
INLINE void turn_group(float *rows, ulong pitch, const float *sums, const float *factor, int count, int add)
{
    for (int c = 0; c < D; c += VW)
        for (int r = 0; r < count; r += VW) {
            vec block[VW];
            UNROLL for (int i = 0; i < VW; i++) block[i] = vec_load(sums + (c + i) * GROUP + r) * vec_load(factor + r);
            transpose(block);
            for (int i = 0; i < min(VW, count - r); i++) {
                float *to = rows + (r + i) * pitch + c;
                vec_store(to, add ? (vec)(vec_load(to) + block[i]) : block[i]);
            }
        }
}

/* The same of all groups of a tile, zeros of those whose sums are not `started`, and of padding. factor [TILE]. */
INLINE void turn_tile_groups(float *rows, ulong pitch, const float *sums, const float *factor, const int *started,
                             struct tile t, int add)
{
    for (int group = 0; group * GROUP < t.count; group++) {
        const int at = group * GROUP, count = min(GROUP, t.count - at);
        const int answered = started[group] ? max(0, min(count, t.answered - at)) : 0;
        turn_group(rows + at * pitch, pitch, sums + at * D, factor + at, answered, add);
        for (int r = answered; !add && r < count; r++)
            clear_row(rows + (at + r) * pitch, D);
    }
}

/* sums[column][query] of a group from rows [query][column]. */
INLINE void turn_rows(float *sums, const float *rows)
{
    for (int c = 0; c < D; c += TILE_SIDE)
        for (int r = 0; r < GROUP; r += TILE_SIDE)
            turn_tile(sums + c * GROUP + r, GROUP, rows + r * D + c, D);
}

#endif

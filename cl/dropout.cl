/* out = residual + (keep ? x * scale : 0), forward and backward (there residual is what dx held, or absent).
 *
 *   element i keeps where the 24 top bits of word n mod 4 of philox(seed, n / 4, stream), n = first + i, are not below
 *   threshold = ceil(p 2^24): integers, so every device drops the same elements
 *   runs: n = first + i / run, `first` counting runs
 *   parts: n = first + (i / (each rows) whole_rows + i / each mod rows) whole_each + i mod each
 *
 * Shapes  x, residual, out [count]; residual may be absent; out may be x or residual. lead = first mod 4.
 * Grid    dropout: a chunk each of the lead + count elements that begin on a whole counter. dropout_runs: DROPOUT_PIECE
 *         elements of a run each, of which it has so many `pieces`. dropout_parts: the same of rows of `each` elements,
 *         from the counter that a row begins in.
 * Macros  those of common.h.
 *
 * A counter's four words lie side by side in two lanes of 64 bits, (v0, v1) and (v2, v3): then a round is one
 * multiplication of the lanes' low halves, their four words reversed, and two exclusive-ors, with no transposition.
 *
 * Lab book (8192 x 256, one thread, AVX-512, machine shared with others; share of the GB/s of add in the same minute)
 *   vector Philox               21-57%: bound by its 10 rounds, some 55 instructions for 16 elements, not by memory
 *   the same on AVX2, SSE2      9-19%, 3-4%; before lanes_multiply 4-7%, 2-3%
 *   PoCL, two threads           21-34%
 * Zen 5, 2048 x 256, one thread, processor time, least of 25 or more in turns, the machine busy; the same bits. A round
 * waits for the one before, so those of several vectors take turns:
 *   2, 4, 8, 16 vectors on AVX-512      0.250 -> 0.231, 0.209, 0.179, 0.19 ms
 *   4, 8 on AVX2; on SSE2               0.547 -> 0.410, 0.301 ms; 1.108 -> 0.836, 0.598 ms
 *   8, PoCL                             0.383 -> 0.342 ms
 *   8, in dropout_parts                 rows of 1792 0.64 -> 0.52 to 0.60 ms, of 448 3.2 -> 4.0: left out
 */
#include "common.h"
#include "rng.h"
#include "rng_lanes.h"

/* Elements n - before to n - before + part of x: `words` are those of n on. What is before the first is passed by. */
SSA_INLINE void drop(__global const float *x, __global const float *residual, __global float *out, ulong n,
                     ulong before, int part, vec_int words, int threshold, float scale)
{
    const vec_int keep = ((words >> 8) & 0xffffff) >= threshold;
    if (n >= before && part == VW) {
        const ulong i = n - before;
        vec v = vec_select(keep, vec_load(x + i) * scale, vec_set(0.0f));
        if (residual)
            v = v + vec_load(residual + i);
        vec_store(out + i, v);
    } else {
        float kept[VW];
        vec_store(kept, vec_select(keep, vec_set(1.0f), vec_set(0.0f)));
        for (int l = n < before ? (int)(before - n) : 0; l < part; l++) {
            const ulong i = n + (ulong)l - before;
            const float v = kept[l] > 0.0f ? x[i] * scale : 0.0f;
            out[i] = residual ? v + residual[i] : v;
        }
    }
}

__kernel void dropout(TENSOR(const float, x), TENSOR(const float, residual), TENSOR(float, out), const ulong count,
                      const int lead, const ulong seed, const ulong stream, const ulong counter, const int threshold,
                      const float scale)
{
    BIND_SHARED(const float, x);
    BIND_SHARED(const float, residual);
    BIND_SHARED(float, out);
    const ulong before = (ulong)lead, total = before + count;
#if !SSA_GPU
    const ulong begin = get_global_id(0) * (ulong)ELEMENTS;
    if (begin >= before && begin + ELEMENTS <= total) { /* a whole chunk */
        for (ulong n = begin; n < begin + ELEMENTS; n += RANDOM_BATCH * VW) {
            vec_int words[RANDOM_BATCH];
            random_batch(seed, stream, counter + n / 4, words);
            UNROLL for (int i = 0; i < RANDOM_BATCH; i++)
                drop(x, residual, out, n + (ulong)(i * VW), before, VW, words[i], threshold, scale);
        }
        return;
    }
#endif
    FOR_CHUNK (n, part, total)
        drop(x, residual, out, n, before, (int)part, random_words(seed, stream, counter + n / 4), threshold, scale);
}

__kernel void dropout_parts(TENSOR(const float, x), TENSOR(const float, residual), TENSOR(float, out), const ulong each,
                            const ulong rows, const ulong whole_each, const ulong whole_rows, const ulong pieces,
                            const ulong seed, const ulong stream, const ulong first, const int threshold,
                            const float scale)
{
    BIND_SHARED(const float, x);
    BIND_SHARED(const float, residual);
    BIND_SHARED(float, out);
    const ulong row = ROW / pieces, from = ROW % pieces * (ulong)DROPOUT_PIECE;
    const ulong number = first + (row / rows * whole_rows + row % rows) * whole_each, before = number % 4;
    const int count = from < before + each ? (int)min((ulong)DROPOUT_PIECE, before + each - from) : 0;
    x += row * each;
    residual += residual ? row * each : 0;
    out += row * each;
    FOR_ROW (c, part, count) {
        const ulong n = from + (ulong)c;
        drop(x, residual, out, n, before, part, random_words(seed, stream, number / 4 + n / 4), threshold, scale);
    }
}

__kernel void dropout_runs(TENSOR(const float, x), TENSOR(const float, residual), TENSOR(float, out), const ulong run,
                           const ulong pieces, const ulong seed, const ulong stream, const ulong first,
                           const int threshold, const float scale)
{
    BIND_SHARED(const float, x);
    BIND_SHARED(const float, residual);
    BIND_SHARED(float, out);
    const ulong number = ROW / pieces, before = ROW % pieces * (ulong)DROPOUT_PIECE, n = first + number;
    const ulong begin = number * run + before;
    const int count = (int)min((ulong)DROPOUT_PIECE, run - before);
    const struct ssa_philox words = ssa_philox(seed, n / 4, stream);
    const uint word = n % 4 < 2 ? (n % 2 ? words.v[1] : words.v[0]) : n % 2 ? words.v[3] : words.v[2];
    const int keep = (int)(word >> 8) >= threshold;
    x += begin;
    residual += residual ? begin : 0;
    out += begin;
    FOR_ROW (c, part, count) {
        vec v = vec_set(0.0f);
        if (keep)
            v = LOAD(x + c, part) * scale;
        if (residual)
            v = v + LOAD(residual + c, part);
        STORE(out + c, v, part);
    }
}

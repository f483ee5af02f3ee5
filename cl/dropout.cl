/* out = residual + (keep ? x * scale : 0), forward and backward (there residual is what dx held, or absent).
 *
 *   element i keeps where the 24 top bits of word n mod 4 of philox(seed, n / 4, stream), n = first + i, are not below
 *   threshold = ceil(p 2^24): integers, so every device drops the same elements
 *   runs: n = first + i / run, `first` counting runs
 *
 * Shapes  x, residual, out [count]; residual may be absent; out may be x or residual. lead = first mod 4.
 * Grid    dropout: a chunk each of the lead + count elements that begin on a whole counter. dropout_runs: PIECE
 *         elements of a run each, of which it has so many `pieces`.
 * Macros  those of common.h.
 *
 * A counter's four words lie side by side in two lanes of 64 bits, (v0, v1) and (v2, v3): then a round is one
 * multiplication of the lanes' low halves, their four words reversed, and two exclusive-ors, with no transposition.
 *
 * Lab book (8192 x 256, one thread, AVX-512, machine shared with others; share of the GB/s of add in the same minute)
 *   vector Philox               21-57%: bound by its 10 rounds, some 55 instructions for 16 elements, not by memory
 *   the same on AVX2, SSE2      9-19%, 3-4%; before lanes_multiply 4-7%, 2-3%
 *   PoCL, two threads           21-34%
 */
#include "common.h"
#include "rng.h"

#ifndef PIECE
#define PIECE 4096 /* as in lib/op/dropout.c */
#endif

#if VW == 16
#define LANES_64 ulong8
#define PAIRS(a, b) a, b, a, b, a, b, a, b
#define COUNTERS(n) n, 0, n + 1, 0, n + 2, 0, n + 3, 0
#define REVERSED s32107654ba98fedc
#define REVERSE 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12
#elif VW == 8
#define LANES_64 ulong4
#define PAIRS(a, b) a, b, a, b
#define COUNTERS(n) n, 0, n + 1, 0
#define REVERSED s32107654
#define REVERSE 3, 2, 1, 0, 7, 6, 5, 4
#else
#define LANES_64 ulong2
#define PAIRS(a, b) a, b
#define COUNTERS(n) n, 0
#define REVERSED s3210
#define REVERSE 3, 2, 1, 0
#endif
#ifdef __OPENCL_C_VERSION__
typedef LANES_64 lanes;
#define LANE_PAIR(a, b) (lanes)(PAIRS(a, b))
#define LANE_COUNTER(n) (lanes)(COUNTERS(n))
#define LANE_REVERSE(v) SSA_CAT(as_, LANES_64)(vec_as_int(v).REVERSED)
#define lanes_as_int(v) SSA_CAT(as_int, VW)(v)
#else
typedef ulong lanes __attribute__((vector_size(4 * VW)));
#define LANE_PAIR(a, b) (lanes){PAIRS(a, b)}
#define LANE_COUNTER(n) (lanes){COUNTERS(n)}
#define LANE_REVERSE(v) (lanes)vec_shuffle(v, v, REVERSE)
#define lanes_as_int(v) ((vec_int)(v))
#endif
/* The product of the lanes' low halves: one instruction that GCC does not find in (a & 0xffffffff) * b; without it
 * AVX2 and SSE2 took 2 to 3 times as long. */
#if defined(__OPENCL_C_VERSION__) || !defined(__x86_64__)
#define lanes_multiply(a, b) (((a) & LANE_PAIR(0xffffffffu, 0xffffffffu)) * (b))
#else
#include <immintrin.h>
#if VW == 16
#define lanes_multiply(a, b) (lanes)_mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif VW == 8
#define lanes_multiply(a, b) (lanes)_mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#else
#define lanes_multiply(a, b) (lanes)_mm_mul_epu32((__m128i)(a), (__m128i)(b))
#endif
#endif

/* The VW words of the VW/4 counters from `counter` on: Philox4x32-10, cl/rng.h in lanes. */
SSA_INLINE vec_int random_words(ulong seed, ulong stream, ulong counter)
{
    const lanes factors = LANE_PAIR(0xD2511F53u, 0xCD9E8D57u);
    lanes state = LANE_COUNTER(counter) + LANE_PAIR(0, stream);
    uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
    UNROLL
    for (int round = 0; round < 10; round++) {
        lanes product = lanes_multiply(state, factors);
        state = LANE_REVERSE(product) ^ (state >> 32) ^ LANE_PAIR(k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return lanes_as_int(state);
}

__kernel void dropout(TENSOR(const float, x), TENSOR(const float, residual), TENSOR(float, out), const ulong count,
                      const int lead, const ulong seed, const ulong stream, const ulong counter, const int threshold,
                      const float scale)
{
    BIND_SHARED(const float, x);
    BIND_SHARED(const float, residual);
    BIND_SHARED(float, out);
    const ulong before = (ulong)lead, total = before + count;
    FOR_CHUNK (n, part, total) {
        const vec_int words = random_words(seed, stream, counter + n / 4);
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
            for (int l = n < before ? lead : 0; l < (int)part; l++) {
                const ulong i = n + (ulong)l - before;
                const float v = kept[l] > 0.0f ? x[i] * scale : 0.0f;
                out[i] = residual ? v + residual[i] : v;
            }
        }
    }
}

__kernel void dropout_runs(TENSOR(const float, x), TENSOR(const float, residual), TENSOR(float, out), const ulong run,
                           const ulong pieces, const ulong seed, const ulong stream, const ulong first,
                           const int threshold, const float scale)
{
    BIND_SHARED(const float, x);
    BIND_SHARED(const float, residual);
    BIND_SHARED(float, out);
    const ulong number = ROW / pieces, before = ROW % pieces * (ulong)PIECE, n = first + number;
    const ulong begin = number * run + before;
    const int count = (int)min((ulong)PIECE, run - before);
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

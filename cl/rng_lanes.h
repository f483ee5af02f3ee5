/* Philox4x32-10 (rng.h: the same bits) of several counters at once, in lanes of 64 bits. Those of one multiplication are
 * two words of 32 bits each, of which the low one counts. */
#ifndef SSA_RNG_LANES_H
#define SSA_RNG_LANES_H

#include "common.h"

#if VW == 16
#define LANES_64 ulong8
#define LANES_OF(a, b) a, b, a, b, a, b, a, b
#define COUNTERS(n) n, 0, n + 1, 0, n + 2, 0, n + 3, 0
#define REVERSED s32107654ba98fedc
#define REVERSE 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12
#elif VW == 8
#define LANES_64 ulong4
#define LANES_OF(a, b) a, b, a, b
#define COUNTERS(n) n, 0, n + 1, 0
#define REVERSED s32107654
#define REVERSE 3, 2, 1, 0, 7, 6, 5, 4
#else
#define LANES_64 ulong2
#define LANES_OF(a, b) a, b
#define COUNTERS(n) n, 0
#define REVERSED s3210
#define REVERSE 3, 2, 1, 0
#endif
#ifdef __OPENCL_C_VERSION__
typedef LANES_64 lanes;
#define LANE_PAIR(a, b) (lanes)(LANES_OF(a, b))
#define LANE_COUNTER(n) (lanes)(COUNTERS(n))
#define LANE_REVERSE(v) SSA_CAT(as_, LANES_64)(vec_as_int(v).REVERSED)
#define lanes_as_int(v) SSA_CAT(as_int, VW)(v)
#define lanes_of_int(v) SSA_CAT(as_, LANES_64)(v)
#else
typedef ulong lanes __attribute__((vector_size(4 * VW)));
#define LANE_PAIR(a, b) (lanes){LANES_OF(a, b)}
#define LANE_COUNTER(n) (lanes){COUNTERS(n)}
#define LANE_REVERSE(v) (lanes)vec_shuffle(v, v, REVERSE)
#define lanes_as_int(v) ((vec_int)(v))
#define lanes_of_int(v) ((lanes)(v))
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


/* The VW words of the VW/4 counters from `counter` on, and of those behind them, BATCH vectors: Philox4x32-10, cl/rng.h
 * in lanes. A round waits for the one before, so those of several vectors take turns. */
#define RANDOM_WORDS(name, BATCH) \
    SSA_INLINE void name(ulong seed, ulong stream, ulong counter, vec_int *words) \
    { \
        const lanes factors = LANE_PAIR(0xD2511F53u, 0xCD9E8D57u); \
        lanes state[BATCH]; \
        uint k0 = (uint)seed, k1 = (uint)(seed >> 32); \
        UNROLL for (int i = 0; i < BATCH; i++) \
            state[i] = LANE_COUNTER(counter + (ulong)(i * VW / 4)) + LANE_PAIR(0, stream); \
        UNROLL for (int round = 0; round < 10; round++) \
        { \
            UNROLL for (int i = 0; i < BATCH; i++) \
            { \
                lanes product = lanes_multiply(state[i], factors); \
                state[i] = LANE_REVERSE(product) ^ (state[i] >> 32) ^ LANE_PAIR(k0, k1); \
            } \
            k0 += 0x9E3779B9u; \
            k1 += 0xBB67AE85u; \
        } \
        UNROLL for (int i = 0; i < BATCH; i++) words[i] = lanes_as_int(state[i]); \
    }
RANDOM_WORDS(random_batch_1, 1)
#define RANDOM_BATCH 8
RANDOM_WORDS(random_batch, RANDOM_BATCH)
SSA_INLINE vec_int random_words(ulong seed, ulong stream, ulong counter)
{
    vec_int words;
    random_batch_1(seed, stream, counter, &words);
    return words;
}

/* The product of each of VW words and `factor`: its low and its high word. */
SSA_INLINE void multiply_words(lanes x, ulong factor, lanes *low, lanes *high)
{
    const lanes mask = LANE_PAIR(0xffffffffu, 0xffffffffu), f = LANE_PAIR(factor, factor);
    const lanes even = lanes_multiply(x, f), odd = lanes_multiply(x >> 32, f);
    *low = (even & mask) | (odd << 32);
    *high = (even >> 32) | (odd & ~mask);
}

/* The four words of VW counters, which are low + high 2^32 + stream 2^64: word w of counter i is lane i of words[w]. */
SSA_INLINE void random_columns(ulong seed, ulong stream, vec_int low, vec_int high, vec_int *words)
{
    const ulong twice = 0x100000001u; /* times a word: both words of a lane */
    const ulong s2 = twice * (uint)stream, s3 = twice * (uint)(stream >> 32);
    lanes x0 = lanes_of_int(low), x1 = lanes_of_int(high), x2 = LANE_PAIR(s2, s2), x3 = LANE_PAIR(s3, s3);
    uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
    UNROLL
    for (int round = 0; round < 10; round++) {
        lanes low0, high0, low2, high2;
        multiply_words(x0, 0xD2511F53u, &low0, &high0);
        multiply_words(x2, 0xCD9E8D57u, &low2, &high2);
        x0 = high2 ^ x1 ^ LANE_PAIR(twice * k0, twice * k0);
        x1 = low2;
        x2 = high0 ^ x3 ^ LANE_PAIR(twice * k1, twice * k1);
        x3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = lanes_as_int(x0);
    words[1] = lanes_as_int(x1);
    words[2] = lanes_as_int(x2);
    words[3] = lanes_as_int(x3);
}

#endif

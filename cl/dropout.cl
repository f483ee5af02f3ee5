/* out = residual + (keep ? x * scale : 0), forward and backward (there residual is what dx held, or absent).
 *
 *   element i keeps where the 24 top bits of word n mod 4 of philox(seed, n / 4, stream), n = first + i, are not below
 *   threshold = ceil(p 2^24): integers, so every device drops the same elements
 *
 * Shapes  x, residual, out [count]; residual may be absent; out may be x or residual. lead = first mod 4.
 * Grid    a chunk each of the lead + count elements that begin on a whole counter.
 * Macros  those of common.h.
 *
 * A counter's four words lie side by side in two lanes of 64 bits, (v0, v1) and (v2, v3): then a round is one
 * multiplication of the lanes' low halves, a swap of 32-bit words, and two exclusive-ors, with no transposition.
 */
#include "common.h"

#ifdef __OPENCL_C_VERSION__
#if VW == 16
typedef ulong8 lanes;
#define LANE_PAIR(a, b) (lanes)(a, b, a, b, a, b, a, b)
#define LANE_COUNTER(n) (lanes)(n, 0, n + 1, 0, n + 2, 0, n + 3, 0)
#define LANE_SWAP(v) (v).s10325476
#elif VW == 8
typedef ulong4 lanes;
#define LANE_PAIR(a, b) (lanes)(a, b, a, b)
#define LANE_COUNTER(n) (lanes)(n, 0, n + 1, 0)
#define LANE_SWAP(v) (v).s1032
#else
typedef ulong2 lanes;
#define LANE_PAIR(a, b) (lanes)(a, b)
#define LANE_COUNTER(n) (lanes)(n, 0)
#define LANE_SWAP(v) (v).s10
#endif
#define lanes_as_int(v) SSA_CAT(as_int, VW)(v)
#else
typedef ulong lanes __attribute__((vector_size(4 * VW)));
#define LANE_PAIR(a, b) (lanes){a, b, a, b, a, b, a, b}
#define LANE_COUNTER(n) (lanes){n, 0, n + 1, 0, n + 2, 0, n + 3, 0}
#define LANE_SWAP(v) __builtin_shuffle(v, (lanes){1, 0, 3, 2, 5, 4, 7, 6})
#define lanes_as_int(v) ((vec_int)(v))
#endif

/* The VW words of the VW/4 counters from `counter` on: Philox4x32-10, cl/rng.h in lanes. */
SSA_INLINE vec_int random_words(ulong seed, ulong stream, ulong counter)
{
    const lanes factors = LANE_PAIR(0xD2511F53u, 0xCD9E8D57u), low = LANE_PAIR(0xffffffffu, 0xffffffffu);
    lanes state = LANE_COUNTER(counter) + LANE_PAIR(0, stream);
    uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
    UNROLL
    for (int round = 0; round < 10; round++) {
        lanes product = (state & low) * factors;
        product = LANE_SWAP(product);
        state = ((product >> 32) | (product << 32)) ^ (state >> 32) ^ LANE_PAIR(k0, k1);
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

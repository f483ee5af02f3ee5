/* Heads of positions scaled by how much they have listened to, and the gradients, t = sums[b,h,n]:
 *
 *   out[b,n,h,:] = f x[b,n,h,:],  f = n < lead ? 1 : log(1 + ratio t)
 *   dx = f dout;  dsums[b,h,n] = n < lead ? 0 : ratio/(1 + ratio t) dout . x
 *
 * Shapes  x, out, dout, dx [batch, length, heads, width]; sums, dsums [batch, heads, length]. out may be x, dx may be
 *         dout.
 * Grid    a position (b, n) each. GPU: head after head. CPU: the elements of SOME heads as one row, as a head is seldom
 *         whole vectors wide (EGT's are of 8, 20 and 24), and their logarithms at once.
 * Macros  those of common.h.
 *
 * Lab book (64 x 22 positions, 32 heads of 24, one thread, AVX-512, machine shared with others; add: 0.16 ms)
 *   head after head, log1pf()                    host 0.79 ms forward, 1.53 backward: half of it ends of heads
 *   the same, their ends as whole vectors        host 0.42, 0.75: a logarithm takes 8 ns
 *   SOME heads as one row                        host 0.15, 0.40
 */
#include "common.h"

#define SOME 32 /* heads that CPUs take at a time: a multiple of VW */

/* log(1 + z) for z >= 0: z/(u - 1) gives back what rounding u = 1 + z takes from a small z. */
SSA_INLINE vec vec_log1p(vec z)
{
    const vec u = z + 1.0f;
    vec l = vec_log2(u) * 0.693147181f * (z / (u - 1.0f));
    l = vec_select(u < 3e38f, l, u); /* infinity and NaN stay what they are */
    return vec_select(u <= 1.0f, z, l);
}

/* f, from z = ratio t. */
SSA_INLINE vec factor(vec z, int scaled)
{
    vec f = vec_set(1.0f);
    if (scaled)
        f = vec_log1p(z);
    return f;
}

#if !SSA_GPU
/* The same of `count` heads. */
SSA_INLINE void factors(float *f, __global const float *sums, int count, int length, float ratio, int scaled)
{
    for (int h = 0; h < SOME; h++)
        f[h] = h < count ? sums[h * (size_t)length] * ratio : 0.0f;
    for (int h = 0; h < SOME; h += VW)
        vec_store(f + h, factor(vec_load(f + h), scaled));
}
#endif

__kernel void centrality_fwd(TENSOR(const float, x), TENSOR(const float, sums), TENSOR(float, out), const int length,
                             const int heads, const int width, const int lead, const float ratio)
{
    BIND_SHARED(const float, x);
    BIND(const float, sums);
    BIND_SHARED(float, out);
    const size_t b = ROW / (size_t)length, n = ROW % (size_t)length, all = (size_t)heads * (size_t)width;
    const int scaled = n >= (size_t)lead;
    sums += b * (size_t)heads * (size_t)length + n;
    x += ROW * all;
    out += ROW * all;
#if SSA_GPU
    for (int h = 0; h < heads; h++, sums += length, x += width, out += width) {
        const vec f = factor(vec_set(ratio * sums[0]), scaled);
        FOR_ROW (c, part, width)
            STORE(out + c, LOAD(x + c, part) * f, part);
    }
#else
    for (int first = 0; first < heads; first += SOME, sums += SOME * (size_t)length) {
        const int count = min(SOME, heads - first), end = count * width;
        float f[SOME];
        factors(f, sums, count, length, ratio, scaled);
        for (int c = 0, h = 0, left = width; c < end; c += VW) { /* left: elements of head h from c on */
            const int part = min(VW, end - c);
            vec scale = vec_set(f[h]);
            for (; left < part; left += width) /* it ends in this vector */
                scale = vec_select(vec_iota() < vec_set((float)left), scale, vec_set(f[++h]));
            STORE(out + c, LOAD(x + c, part) * scale, part);
            h += left == part;
            left = left == part ? width : left - part;
        }
        x += end;
        out += end;
    }
#endif
}

__kernel ROW_GROUP void centrality_bwd(TENSOR(const float, x), TENSOR(const float, sums), TENSOR(const float, dout),
                                       TENSOR(float, dx), TENSOR(float, dsums), const int length, const int heads,
                                       const int width, const int lead, const float ratio)
{
    BIND(const float, x);
    BIND(const float, sums);
    BIND_SHARED(const float, dout);
    BIND_SHARED(float, dx);
    BIND(float, dsums);
    GROUP_SCRATCH;
    const size_t b = ROW / (size_t)length, n = ROW % (size_t)length, all = (size_t)heads * (size_t)width;
    const size_t head = b * (size_t)heads * (size_t)length + n;
    const int scaled = n >= (size_t)lead;
    const vec none = vec_set(0.0f);
    sums += head;
    dsums += head;
    x += ROW * all;
    dout += ROW * all;
    dx += ROW * all;
#if SSA_GPU
    for (int h = 0; h < heads; h++, sums += length, dsums += length, x += width, dout += width, dx += width) {
        const float z = ratio * sums[0];
        const vec f = factor(vec_set(z), scaled);
        vec product = none;
        FOR_ROW (c, part, width) {
            const vec d = LOAD(dout + c, part);
            product += d * LOAD(x + c, part);
            STORE(dx + c, d * f, part);
        }
        const float total = group_sum(vec_sum(product));
        if (LANE == 0)
            dsums[0] = scaled ? ratio / (1.0f + z) * total : 0.0f;
    }
#else
    for (int first = 0; first < heads; first += SOME, sums += SOME * (size_t)length, dsums += SOME * (size_t)length) {
        const int count = min(SOME, heads - first), end = count * width;
        float f[SOME], products[SOME];
        vec product = none;
        factors(f, sums, count, length, ratio, scaled);
        for (int c = 0, h = 0, left = width; c < end; c += VW) {
            const int part = min(VW, end - c);
            const vec d = LOAD(dout + c, part);
            vec scale = vec_set(f[h]), more = d * LOAD(x + c, part);
            for (; left < part; left += width) {
                const vec place = vec_iota() - (float)left;
                products[h] = vec_sum(product + vec_select(place < 0.0f, more, none));
                product = none;
                more = vec_select(place < 0.0f, none, more);
                scale = vec_select(place < 0.0f, scale, vec_set(f[++h]));
            }
            product += more;
            STORE(dx + c, d * scale, part);
            left -= part;
            if (left)
                continue;
            products[h++] = vec_sum(product);
            product = none;
            left = width;
        }
        for (int h = 0; h < count; h++)
            dsums[h * (size_t)length] =
                scaled ? ratio / (1.0f + ratio * sums[h * (size_t)length]) * products[h] : 0.0f;
        x += end;
        dout += end;
        dx += end;
    }
#endif
}

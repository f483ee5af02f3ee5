/* The mean over some positions of each sequence, and its gradient.
 *
 *   out[b,:] = scale * sum of x[b,n,:] over n in [first, first + count),  scale = 1/count
 *   dx[b,n,:] (+)= scale * dout[b,:] for those n; for others 0, or as it was
 *   With lengths as many of them count as are below lengths[b], and scale is one over that many.
 *
 * Shapes  x, dx [batch, length, width]; out, dout [batch, width]; lengths int [batch] or absent.
 * Grid    mean_fwd: a row of out each, positions in order. mean_bwd: a row of dx each.
 * Macros  those of common.h.
 */
#include "common.h"

/* Of `count` positions from `first` on, those below `end`. */
SSA_INLINE int below(int end, int first, int count)
{
    return end <= first ? 0 : min(count, end - first);
}

__kernel void mean_fwd(TENSOR(const float, x), TENSOR(float, out), TENSOR(const int, lengths), const int length,
                       const int first, const int count, const int width, const float scale)
{
    BIND(const float, x);
    BIND(float, out);
    BIND(const int, lengths);
    const int counted = lengths ? below(lengths[ROW], first, count) : count;
    const float share = counted < count ? 1.0f / (float)max(counted, 1) : scale;
    x += (ROW * (size_t)length + (size_t)first) * (size_t)width;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec sum = vec_set(0.0f);
        for (int n = 0; n < counted; n++)
            sum += LOAD(x + (size_t)n * (size_t)width + c, part);
        STORE(out + c, sum * share, part);
    }
}

__kernel void mean_bwd(TENSOR(const float, dout), TENSOR(float, dx), TENSOR(const int, lengths), const int length,
                       const int first, const int count, const int width, const float scale, const int accumulate)
{
    BIND(const float, dout);
    BIND(float, dx);
    BIND(const int, lengths);
    const int counted = lengths ? below(lengths[ROW / (size_t)length], first, count) : count;
    const float share = counted < count ? 1.0f / (float)max(counted, 1) : scale;
    const int n = (int)(ROW % (size_t)length), among = n >= first && n - first < counted;
    const int end = among || !accumulate ? width : 0;
    dout += ROW / (size_t)length * (size_t)width;
    dx += ROW * (size_t)width;
    FOR_ROW (c, part, end) {
        vec v = vec_set(0.0f);
        if (among)
            v = LOAD(dout + c, part) * share;
        if (accumulate)
            v = v + LOAD(dx + c, part);
        STORE(dx + c, v, part);
    }
}

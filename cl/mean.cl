/* The mean over some positions of each sequence, and its gradient.
 *
 *   out[b,:] = scale * sum of x[b,n,:] over n in [first, first + count),  scale = 1/count
 *   dx[b,n,:] (+)= scale * dout[b,:] for those n; for others 0, or as it was
 *
 * Shapes  x, dx [batch, length, width]; out, dout [batch, width].
 * Grid    mean_fwd: a row of out each, positions in order. mean_bwd: a row of dx each.
 * Macros  those of common.h.
 */
#include "common.h"

__kernel void mean_fwd(TENSOR(const float, x), TENSOR(float, out), const int length, const int first, const int count,
                       const int width, const float scale)
{
    BIND(const float, x);
    BIND(float, out);
    x += (ROW * (size_t)length + (size_t)first) * (size_t)width;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec sum = vec_set(0.0f);
        for (int n = 0; n < count; n++)
            sum += LOAD(x + (size_t)n * (size_t)width + c, part);
        STORE(out + c, sum * scale, part);
    }
}

__kernel void mean_bwd(TENSOR(const float, dout), TENSOR(float, dx), const int length, const int first, const int count,
                       const int width, const float scale, const int accumulate)
{
    BIND(const float, dout);
    BIND(float, dx);
    const int n = (int)(ROW % (size_t)length), among = n >= first && n - first < count;
    const int end = among || !accumulate ? width : 0;
    dout += ROW / (size_t)length * (size_t)width;
    dx += ROW * (size_t)width;
    FOR_ROW (c, part, end) {
        vec v = vec_set(0.0f);
        if (among)
            v = LOAD(dout + c, part) * scale;
        if (accumulate)
            v = v + LOAD(dx + c, part);
        STORE(dx + c, v, part);
    }
}

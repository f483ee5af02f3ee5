/* Rows put before every sequence, and what is added to every position; and the part of its gradient that goes on.
 *
 *   out[b,n,:] = (n < lead ? first[n,:] : x[b,n-lead,:]) + positions[n,:]
 *   dx[b,i,:] = dout[b,lead+i,:]
 *
 * Shapes  first [lead, width]; x, dx [batch, length, width]; positions [lead+length, width] or absent; out, dout
 *         [batch, lead+length, width].
 * Grid    a row of out, or of dx, each. The gradients of first and positions are sums over the batch:
 *         embedding_bwd_positions().
 * Macros  those of common.h.
 */
#include "common.h"

__kernel void prepend_fwd(TENSOR(const float, first), TENSOR(const float, x), TENSOR(const float, positions),
                          TENSOR(float, out), const int lead, const int length, const int width)
{
    BIND(const float, first);
    BIND_SHARED(const float, x);
    BIND(const float, positions);
    BIND_SHARED(float, out);
    const size_t all = (size_t)lead + (size_t)length, b = ROW / all, n = ROW % all;
    __global const float *from = n < (size_t)lead ? first + n * (size_t)width
                                                  : x + (b * (size_t)length + n - (size_t)lead) * (size_t)width;
    positions += positions ? n * (size_t)width : 0;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = LOAD(from + c, part);
        if (positions)
            v = v + LOAD(positions + c, part);
        STORE(out + c, v, part);
    }
}

__kernel void prepend_bwd(TENSOR(const float, dout), TENSOR(float, dx), const int lead, const int length,
                          const int width)
{
    BIND(const float, dout);
    BIND(float, dx);
    const size_t b = ROW / (size_t)length, all = (size_t)lead + (size_t)length;
    dout += (b * all + (size_t)lead + ROW % (size_t)length) * (size_t)width;
    dx += ROW * (size_t)width;
    FOR_ROW (c, part, width)
        STORE(dx + c, LOAD(dout + c, part), part);
}

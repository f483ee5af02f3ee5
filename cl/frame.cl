/* Learned rows and columns before pairs of positions, and the gradients: for a < lead <= i, j and a, c < lead
 *
 *   out[b,i,j,:] = x[b,i-lead,j-lead,:];  out[b,a,j,:] = out[b,j,a,:] = vectors[a,:]
 *   out[b,a,c,:] = (vectors[a,:] + vectors[c,:])/2
 *   dx[b,i,j,:] = dout[b,lead+i,lead+j,:]
 *   partial[b,a,:] = sum over n of w_n (dout[b,a,n,:] + dout[b,n,a,:]),  w_n = n < lead ? 1/2 : 1
 *
 * Shapes  x, dx [batch, length, length, width]; vectors [lead, width]; out, dout [batch, lead+length, lead+length,
 *         width]; partial [batch, lead, width], whose sum over the batch, dvectors, is embedding_bwd_positions().
 * Grid    frame_fwd: all pairs (b, i) of out each: behind the lead they are vectors, then a row of x, end to end.
 *         frame_bwd: all pairs (b, i) of dx each. frame_bwd_vectors: a row of partial each.
 * Macros  those of common.h.
 *
 * Lab book: 64 x (4 + 18)^2 x 64 on the host, one thread, 72 GB/s forward, 69 backward where add had 70 beside.
 */
#include "common.h"

SSA_INLINE void copy(__global float *to, __global const float *from, int count)
{
    FOR_ROW (c, part, count)
        STORE(to + c, LOAD(from + c, part), part);
}

__kernel void frame_fwd(TENSOR(const float, x), TENSOR(const float, vectors), TENSOR(float, out), const int lead,
                        const int length, const int width)
{
    BIND_SHARED(const float, x);
    BIND(const float, vectors);
    BIND_SHARED(float, out);
    const size_t all = (size_t)lead + (size_t)length, b = ROW / all, i = ROW % all;
    out += ROW * all * (size_t)width;
    if (i >= (size_t)lead) {
        copy(out, vectors, lead * width);
        copy(out + lead * (size_t)width, x + (b * (size_t)length + i - (size_t)lead) * (size_t)length * (size_t)width,
             length * width);
        return;
    }
    __global const float *own = vectors + i * (size_t)width;
    for (size_t j = 0; j < all; j++, out += width)
        FOR_ROW (c, part, width) {
            vec v = LOAD(own + c, part);
            if (j < (size_t)lead)
                v = (v + LOAD(vectors + j * (size_t)width + c, part)) * 0.5f;
            STORE(out + c, v, part);
        }
}

__kernel void frame_bwd(TENSOR(const float, dout), TENSOR(float, dx), const int lead, const int length, const int width)
{
    BIND(const float, dout);
    BIND(float, dx);
    const size_t all = (size_t)lead + (size_t)length, b = ROW / (size_t)length, i = ROW % (size_t)length;
    copy(dx + ROW * (size_t)length * (size_t)width,
         dout + ((b * all + (size_t)lead + i) * all + (size_t)lead) * (size_t)width, length * width);
}

__kernel void frame_bwd_vectors(TENSOR(const float, dout), TENSOR(float, partial), const int lead, const int length,
                                const int width)
{
    BIND(const float, dout);
    BIND(float, partial);
    const size_t all = (size_t)lead + (size_t)length, b = ROW / (size_t)lead, a = ROW % (size_t)lead;
    dout += b * all * all * (size_t)width;
    partial += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec half_sum = vec_set(0.0f), sum = vec_set(0.0f);
        for (size_t n = 0; n < all; n++) {
            const vec both = LOAD(dout + (a * all + n) * (size_t)width + c, part) +
                             LOAD(dout + (n * all + a) * (size_t)width + c, part);
            if (n < (size_t)lead)
                half_sum += both;
            else
                sum += both;
        }
        STORE(partial + c, half_sum * 0.5f + sum, part);
    }
}

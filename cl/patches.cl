/* The patches of images as rows, channel by channel.
 *
 *   out[b, u (columns/p) + v, (c p + i) p + j] = x[b, u p + i, v p + j, c],  p = patch
 *
 * Shapes  x [batch, rows, columns, channels]; out [batch * rows/p * columns/p, channels p^2].
 * Grid    a row of out, a patch, each; its work-items share the channels p runs of p elements.
 * Macros  those of common.h.
 */
#include "common.h"

__kernel void patches(TENSOR(const float, x), TENSOR(float, out), const int rows, const int columns, const int channels,
                      const int patch)
{
    BIND(const float, x);
    BIND(float, out);
    const size_t across = (size_t)(columns / patch), each = across * (size_t)(rows / patch);
    const size_t image = ROW / each, at = ROW % each, u = at / across * (size_t)patch, v = at % across * (size_t)patch;
    const int runs = channels * patch;
    x += ((image * (size_t)rows + u) * (size_t)columns + v) * (size_t)channels;
    out += ROW * (size_t)runs * (size_t)patch;
    for (int run = LANE; run < runs; run += LANES) {
        const int channel = run / patch, row = run - channel * patch;
        __global const float *from = x + (size_t)row * (size_t)columns * (size_t)channels + channel;
        __global float *to = out + (size_t)run * (size_t)patch;
        for (int j = 0; j < patch; j++)
            to[j] = from[(size_t)j * (size_t)channels];
    }
}

/* Learned positions of a grid, a table an axis, forward and backward. Element n = (r columns + c) channels + k.
 *
 *   out[i,:] = row[r,:] + column[c,:] + channel[k,:] of element first + i
 *   dtable[i,:] (+)= sum of dout[n,:] over the n whose entry on the axis is i = n / step mod size
 *
 * Shapes  row [rows, width], column [columns, width], channel [channels, width], absent ones count nothing; out, dout
 *         [count, width]; dtable [size, width], of any axis.
 * Grid    grid_fwd: a row of out each. grid_bwd: a row of dtable each, which reads the rows of dout that are its own in
 *         order: no atomics, a fixed order.
 * Macros  those of common.h.
 */
#include "common.h"

__kernel void grid_fwd(TENSOR(const float, row), TENSOR(const float, column), TENSOR(const float, channel),
                       TENSOR(float, out), const int first, const int columns, const int channels, const int width)
{
    BIND(const float, row);
    BIND(const float, column);
    BIND(const float, channel);
    BIND(float, out);
    const int n = first + (int)ROW, at_row = n / channels / columns;
    if (row)
        row += at_row * (size_t)width;
    if (column)
        column += (n / channels - at_row * columns) * (size_t)width;
    if (channel)
        channel += n % channels * (size_t)width;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = vec_set(0.0f);
        if (row)
            v = LOAD(row + c, part);
        if (column)
            v = v + LOAD(column + c, part);
        if (channel)
            v = v + LOAD(channel + c, part);
        STORE(out + c, v, part);
    }
}

__kernel void grid_bwd(TENSOR(const float, dout), TENSOR(float, dtable), const int count, const int size,
                       const int step, const int width, const int accumulate)
{
    BIND(const float, dout);
    BIND(float, dtable);
    dtable += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec sum = vec_set(0.0f);
        if (accumulate)
            sum = LOAD(dtable + c, part);
        for (size_t from = ROW * (size_t)step; from < (size_t)count; from += (size_t)size * (size_t)step)
            for (size_t n = from; n < min(from + (size_t)step, (size_t)count); n++)
                sum += LOAD(dout + n * (size_t)width + c, part);
        STORE(dtable + c, sum, part);
    }
}

/* The positions of a grid, window by window, and what attention in a window adds to its logits.
 *
 *   windows           out[b, window of (u, v), place in it, :] = x[b, (u + s) mod rows, (v + s) mod columns, :]
 *                     or the other way
 *   window_bias_fwd   out[w,h,j,i] = table[distance of query i from key j, h] + (their regions differ ? apart : 0)
 *   window_bias_bwd   dtable[d,h] (+)= sum of dout[h,j,i] over the pairs at distance d, in the order of j
 *
 * Shapes  x, out [batch, rows * columns, width]; table, dtable [(2p-1)^2, heads], p = window; out [windows, heads, p^2,
 *         p^2]; dout [heads, p^2, p^2].
 * Grid    windows: a row each, in the order of windows. window_bias_fwd: a row of out, a key, each; its work-items
 *         share the queries. window_bias_bwd: (heads, distances).
 * Macros  those of common.h.
 */
#include "common.h"

__kernel void windows(TENSOR(const float, x), TENSOR(float, out), const int rows, const int columns, const int width,
                      const int window, const int shift, const int by_columns, const int inverse)
{
    BIND(const float, x);
    BIND(float, out);
    const int area = window * window, across = columns / window, all = rows * columns;
    const size_t image = ROW / (size_t)all;
    const int at = (int)(ROW % (size_t)all), in = at % area, w = at / area;
    const int major = in / window, minor = in % window;
    const int u = w / across * window + (by_columns ? minor : major) + shift;
    const int v = w % across * window + (by_columns ? major : minor) + shift;
    const size_t there = image * (size_t)all + (size_t)(u % rows) * (size_t)columns + (size_t)(v % columns);
    x += (inverse ? ROW : there) * (size_t)width;
    out += (inverse ? there : ROW) * (size_t)width;
    FOR_ROW (c, part, width)
        STORE(out + c, LOAD(x + c, part), part);
}

__kernel void window_bias_fwd(TENSOR(const float, table), TENSOR(float, out), const int rows, const int columns,
                              const int window, const int shift, const int heads, const float apart)
{
    BIND(const float, table);
    BIND(float, out);
    const int area = window * window, across = columns / window, span = 2 * window - 1;
    const int key = (int)(ROW % (size_t)area), h = (int)(ROW / (size_t)area % (size_t)heads);
    const int w = (int)(ROW / (size_t)area / (size_t)heads);
    const int row = key / window, column = key % window;
    /* In the last windows the ring of rows was cut there, and that of columns; in others past their ends. */
    const int low = rows - shift - w / across * window, right = columns - shift - w % across * window;
    const int is_low = row >= low, is_right = column >= right;
    out += ROW * (size_t)area;
#if !SSA_GPU
    /* Line by line of queries, each in two parts, without a choice between them: twice as fast on one thread. */
    const int cut = max(0, min(right, window));
    for (int r = 0; r < window; r++, out += window) {
        const int other = (r >= low) != is_low;
        const float before = other || is_right ? apart : 0.0f, behind = other || !is_right ? apart : 0.0f;
        __global const float *line = table + ((r - row + window - 1) * span + window - 1 - column) * heads + h;
        for (int c = 0; c < cut; c++)
            out[c] = line[c * heads] + before;
        for (int c = cut; c < window; c++)
            out[c] = line[c * heads] + behind;
    }
#else
    for (int i = LANE, r = LANE / window, c = LANE % window; i < area; i += LANES) {
        const int entry = (r - row + window - 1) * span + c - column + window - 1;
        const int together = (r >= low) == is_low && (c >= right) == is_right;
        out[i] = table[entry * heads + h] + (together ? 0.0f : apart);
        r += LANES / window; /* to i + LANES */
        c += LANES % window;
        r += c >= window;
        c -= c >= window ? window : 0;
    }
#endif
}

__kernel void window_bias_bwd(TENSOR(const float, dout), TENSOR(float, dtable), const int window, const int heads,
                              const int accumulate)
{
    BIND(const float, dout);
    BIND(float, dtable);
    const int h = (int)get_global_id(0), entry = (int)get_global_id(1), span = 2 * window - 1, area = window * window;
    const int down = entry / span - window + 1, right = entry % span - window + 1; /* from key to query */
    float sum = 0.0f;
    dout += (size_t)h * (size_t)area * (size_t)area;
    for (int r = max(0, -down); r < min(window, window - down); r++)
        for (int c = max(0, -right); c < min(window, window - right); c++)
            sum += dout[(size_t)(r * window + c) * (size_t)area + (size_t)((r + down) * window + c + right)];
    dtable += (size_t)entry * (size_t)heads + (size_t)h;
    *dtable = accumulate ? *dtable + sum : sum;
}

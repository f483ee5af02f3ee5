/* Gather and scatter of whole rows.
 *
 *   gather   out[r,:] = x[rows[r],:], zeros where rows[r] is outside [0, source_rows)
 *   scatter  out[rows[r],:] (+)= x[r,:], nothing where rows[r] is outside [0, target_rows); no row is named twice
 *
 * Shapes  gather: x [source_rows, width], out [count, width]; scatter: x [count, width], out [target_rows, width];
 *         rows int [count].
 * Grid    one r each.
 * Macros  those of common.h.
 */
#include "common.h"

__kernel void gather_rows(TENSOR(const float, x), TENSOR(const int, rows), TENSOR(float, out), const int source_rows,
                          const int width)
{
    BIND(const float, x);
    BIND(const int, rows);
    BIND(float, out);
    const int row = rows[ROW], known = row >= 0 && row < source_rows;
    x += known ? row * (size_t)width : 0;
    out += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = vec_set(0.0f);
        if (known)
            v = LOAD(x + c, part);
        STORE(out + c, v, part);
    }
}

__kernel void scatter_rows(TENSOR(const float, x), TENSOR(const int, rows), TENSOR(float, out), const int target_rows,
                           const int width, const int accumulate)
{
    BIND(const float, x);
    BIND(const int, rows);
    BIND(float, out);
    const int row = rows[ROW], end = row >= 0 && row < target_rows ? width : 0;
    x += ROW * (size_t)width;
    out += end ? row * (size_t)width : 0;
    FOR_ROW (c, part, end) {
        vec v = LOAD(x + c, part);
        if (accumulate)
            v = v + LOAD(out + c, part);
        STORE(out + c, v, part);
    }
}

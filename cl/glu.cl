/* y = act(gate) o up, and its gradients dgate = dy o up o act'(gate), dup = dy o act(gate), element-wise; the functions
 * are in gelu.h. A row of x is its gate, then its up, as one linear layer makes them; a row of dx likewise.
 *
 * Shapes  x, dx [rows, 2 width]; y, dy [rows, width]; dx may be x.
 * Grid    a row each.
 * Macros  those of common.h.
 */
#include "common.h"
#include "gelu.h"

__kernel void glu_fwd(TENSOR(const float, x), TENSOR(float, y), const int width, const int activation)
{
    BIND(const float, x);
    BIND(float, y);
    x += ROW * 2 * (size_t)width;
    y += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        const vec gate = LOAD(x + c, part), up = LOAD(x + width + c, part);
        STORE(y + c, vec_activate(gate, activation) * up, part);
    }
}

__kernel void glu_bwd(TENSOR(const float, x), TENSOR(const float, dy), TENSOR(float, dx), const int width,
                      const int activation)
{
    BIND_SHARED(const float, x);
    BIND(const float, dy);
    BIND_SHARED(float, dx);
    x += ROW * 2 * (size_t)width;
    dy += ROW * (size_t)width;
    dx += ROW * 2 * (size_t)width;
    FOR_ROW (c, part, width) {
        const vec gate = LOAD(x + c, part), up = LOAD(x + width + c, part), d = LOAD(dy + c, part);
        /* up and slope first: dy o up may leave the floats where the slope is 0 */
        STORE(dx + c, d * (up * vec_activate_slope(gate, activation)), part);
        STORE(dx + width + c, d * vec_activate(gate, activation), part);
    }
}

/* y = act(x + bias) and dx = dy o act'(x + bias), element-wise; the functions are in gelu.h.
 *
 * Shapes  x, y, dy, dx [rows, width]; bias [width] or absent; y may be x, dx may be dy.
 * Grid    a row each.
 * Macros  those of common.h.
 *
 * Lab book (8192 x 256; share of the GB/s of add in the same minute, machine shared with others)
 *   host, one thread     exact 62% forward, 51% backward; tanh 77%, 81%: bound by division and exponential
 *   PoCL, two threads    exact 36%, 51%; tanh 70%, 87%
 */
#include "common.h"
#include "gelu.h"

__kernel void gelu_fwd(TENSOR(const float, x), TENSOR(const float, bias), TENSOR(float, y), const int width,
                       const int activation)
{
    BIND_SHARED(const float, x);
    BIND(const float, bias);
    BIND_SHARED(float, y);
    x += ROW * (size_t)width;
    y += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = LOAD(x + c, part);
        if (bias)
            v = v + LOAD(bias + c, part);
        v = vec_activate(v, activation);
        STORE(y + c, v, part);
    }
}

__kernel void gelu_bwd(TENSOR(const float, x), TENSOR(const float, bias), TENSOR(const float, dy), TENSOR(float, dx),
                       const int width, const int activation)
{
    BIND(const float, x);
    BIND(const float, bias);
    BIND_SHARED(const float, dy);
    BIND_SHARED(float, dx);
    x += ROW * (size_t)width;
    dy += ROW * (size_t)width;
    dx += ROW * (size_t)width;
    FOR_ROW (c, part, width) {
        vec v = LOAD(x + c, part);
        if (bias)
            v = v + LOAD(bias + c, part);
        v = LOAD(dy + c, part) * vec_activate_slope(v, activation);
        STORE(dx + c, v, part);
    }
}

/* The loss of values and its gradient, element-wise, with d = x - t:
 *
 *   L1  loss = |d|, dx = scale sign(d);   L2  loss = d^2, dx = scale 2 d;   both 0 where t is NaN
 *
 * Shapes  x, targets [count]; loss, dx [count] or absent; dx may be x.
 * Grid    a chunk each.
 * Macros  those of common.h.
 *
 * Lab book: 64 x 18^2 x 64 on the host, one thread, 97 GB/s where add had 70 beside.
 *
 * NaN is told by its bits: compilers for GPUs may take for granted that t = t.
 */
#include "common.h"

#define LOSS_L1 0 /* enum ssa_loss */

__kernel void value_loss(TENSOR(const float, x), TENSOR(const float, targets), TENSOR(float, loss), TENSOR(float, dx),
                         const ulong count, const int kind, const float grad_scale)
{
    BIND_SHARED(const float, x);
    BIND(const float, targets);
    BIND(float, loss);
    BIND_SHARED(float, dx);
    const vec none = vec_set(0.0f);
    FOR_CHUNK (i, part, count) {
        const vec t = LOAD(targets + i, part), d = LOAD(x + i, part) - t;
        const vec_int unknown = (vec_as_int(t) & 0x7fffffff) > 0x7f800000;
        vec value, slope;
        if (kind == LOSS_L1) {
            value = vec_as_float(vec_as_int(d) & 0x7fffffff);
            slope = vec_select(d > 0.0f, vec_set(1.0f), vec_select(d < 0.0f, vec_set(-1.0f), d)); /* keeps 0 and NaN */
        } else {
            value = d * d;
            slope = d + d;
        }
        if (loss)
            STORE(loss + i, vec_select(unknown, none, value), part);
        if (dx)
            STORE(dx + i, vec_select(unknown, none, slope * grad_scale), part);
    }
}

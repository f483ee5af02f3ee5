/* AdamW with decoupled decay and clipping by the global norm.
 *
 *   c = norm > clip > 0 ? grad_scale clip / norm : grad_scale,  norm = grad_scale sqrt(sumsq)
 *   m = beta1 m + rest1 c g;  v = beta2 v + rest2 (c g)^2
 *   w = keep w - rate m / (sqrt(v correct2) + eps)
 *   average = average + (1 - ema) (w - average), where it is given: exactly w as long as w stays the same
 *   nothing at all where sumsq is not finite
 *   keep = 1 - lr decay;  rate = lr/(1 - beta1^step);  correct2 = 1/(1 - beta2^step);  rest = 1 - beta: all from the
 *   host in double, as 1 - 0.999f has four digits only
 *
 * Shapes  w, g, m, v [count], average [count] or absent; sumsq [1] or absent: it stays on the device, so that clipping waits for nothing.
 * Grid    a chunk each.
 * Macros  those of common.h; AVERAGE 1 or 0: there is one, or not (unset: whatever is given).
 *
 * Lab book: 8192 x 256 on PoCL, two threads, 82 GB/s where add had 53 in the same minute.
 */
#include "common.h"

#ifndef AVERAGE
#define AVERAGE (average != 0)
#endif

__kernel void adamw(TENSOR(float, w), TENSOR(const float, g), TENSOR(float, m), TENSOR(float, v),
                    TENSOR(const float, sumsq), TENSOR(float, average), const ulong count, const float beta1,
                    const float rest1, const float beta2, const float rest2, const float rate, const float correct2,
                    const float eps, const float keep, const float clip, const float grad_scale, const float rest_ema)
{
    BIND(float, w);
    BIND(const float, g);
    BIND(float, m);
    BIND(float, v);
    BIND(const float, sumsq);
    BIND(float, average);
    float scale = grad_scale;
    if (sumsq && !is_finite(sumsq[0]))
        return;
    if (sumsq && clip > 0.0f) {
        const float norm = grad_scale * sqrtf(sumsq[0]);
        scale = norm > clip ? grad_scale * (clip / norm) : grad_scale;
    }
    FOR_CHUNK (i, part, count) {
        vec gi = LOAD(g + i, part) * scale;
        vec mi = LOAD(m + i, part) * beta1 + gi * rest1;
        vec vi = LOAD(v + i, part) * beta2 + gi * gi * rest2;
        vec wi = LOAD(w + i, part) * keep - mi * rate / (vec_sqrt(vi * correct2) + eps);
        STORE(m + i, mi, part);
        STORE(v + i, vi, part);
        STORE(w + i, wi, part);
        if (AVERAGE) {
            const vec ai = LOAD(average + i, part);
            STORE(average + i, ai + (wi - ai) * rest_ema, part);
        }
    }
}

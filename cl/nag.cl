/* Nesterov's accelerated gradient, with decoupled decay and clipping by the global norm.
 *
 *   c = norm > clip > 0 ? grad_scale clip / norm : grad_scale,  norm = grad_scale sqrt(sumsq)
 *   m = carry m - lr c g;  w = keep w + momentum m - lr c g  (of the new m)
 *   average = average + (1 - ema) (w - average), where it is given: exactly w as long as w stays the same
 *   nothing at all where sumsq is not finite
 *   carry = momentum lr/last_lr;  keep = 1 - lr decay;  rest_ema = 1 - ema: from the host in double
 *
 * Shapes  w, g, m [count], average [count] or absent; sumsq [1] or absent.
 * Grid    a chunk each.
 * Macros  those of common.h.
 *
 * Lab book: 2^21 elements on the host, one thread, 64-68 GB/s where adamw had 60-63 beside.
 */
#include "common.h"

__kernel void nag(TENSOR(float, w), TENSOR(const float, g), TENSOR(float, m), TENSOR(const float, sumsq),
                  TENSOR(float, average), const ulong count, const float lr, const float carry, const float momentum,
                  const float keep, const float clip, const float grad_scale, const float rest_ema)
{
    BIND(float, w);
    BIND(const float, g);
    BIND(float, m);
    BIND(const float, sumsq);
    BIND(float, average);
    float scale = grad_scale;
    if (sumsq && !is_finite(sumsq[0]))
        return;
    if (sumsq && clip > 0.0f) {
        const float norm = grad_scale * sqrtf(sumsq[0]);
        scale = norm > clip ? grad_scale * (clip / norm) : grad_scale;
    }
    const float rate = lr * scale;
    FOR_CHUNK (i, part, count) {
        const vec step = LOAD(g + i, part) * rate;
        const vec mi = LOAD(m + i, part) * carry - step;
        const vec wi = LOAD(w + i, part) * keep + (mi * momentum - step);
        STORE(m + i, mi, part);
        STORE(w + i, wi, part);
        if (average) {
            const vec ai = LOAD(average + i, part);
            STORE(average + i, ai + (wi - ai) * rest_ema, part);
        }
    }
}

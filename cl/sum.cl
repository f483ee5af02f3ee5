/* out[0] (+)= sum of x, or of its squares; not a number where `before` is not finite.
 *
 * Shapes  x [count]; partial [parts]: the sum of SUM_SPAN elements each; out [1]; before [1] or absent.
 * Grid    sum_parts: SUM_SPAN elements each. sum_total: one work-item (or group) adds the partial sums.
 * Macros  those of common.h.
 *
 * Lab book: 8192 x 256 on PoCL, two threads, 61-66 GB/s where add had 63-75 in the same minute.
 */
#include "common.h"

__kernel ROW_GROUP void sum_parts(TENSOR(const float, x), TENSOR(float, partial), const ulong count, const int squares)
{
    BIND(const float, x);
    BIND(float, partial);
    GROUP_SCRATCH;
    const ulong first = ROW * (ulong)SUM_SPAN;
    const int n = (int)min((ulong)SUM_SPAN, count - first);
    vec sum = vec_set(0.0f);
    x += first;
    FOR_ROW (c, part, n) {
        vec v = LOAD(x + c, part);
        if (squares)
            v = v * v;
        sum += v;
    }
    const float total = group_sum(vec_sum(sum));
    if (LANE == 0)
        partial[ROW] = total;
}

__kernel ROW_GROUP void sum_total(TENSOR(const float, partial), TENSOR(float, out), TENSOR(const float, before),
                                  const int parts, const int accumulate)
{
    BIND(const float, partial);
    BIND(float, out);
    BIND(const float, before);
    GROUP_SCRATCH;
    vec sum = vec_set(0.0f);
    FOR_ROW (c, part, parts)
        sum += LOAD(partial + c, part);
    float total = group_sum(vec_sum(sum));
    if (before && !is_finite(before[0]))
        total = before[0] - before[0];
    if (LANE == 0)
        out[0] = accumulate ? out[0] + total : total;
}

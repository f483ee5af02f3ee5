/* What surrounds a GEMM in a linear layer where it is not fused.
 *
 * linear_epilogue: c = the epilogue of `product` (cl/epilogue.h), which may be c or pre.
 *   Shapes: rows x width, rows `product_stride` and `stride` apart. Grid: a row each.
 * column_sum: out[s, j] = sum of x[i, j] over rows [s*span, (s+1)*span).
 *   Shapes: x [rows, width], rows `stride` apart; out [ceil(rows/span), width]. Grid: (ceil(width/VW), splits).
 * sum_planes: out[i] (+)= planes[0][i] + planes[1][i] + ..., in that order.
 *   Shapes: planes [count] each, `plane` elements apart; out [count]. Grid: a chunk each.
 */
#include "common.h"
#include "epilogue.h"

__kernel void linear_epilogue(TENSOR(const float, product), TENSOR(float, c), TENSOR(const float, bias),
                   TENSOR(float, pre), TENSOR(const float, slope_of), TENSOR(const float, addend), const int width,
                              const int product_stride, const int stride, const int activation)
{
    BIND_SHARED(const float, product);
    BIND_SHARED(float, c);
    BIND(const float, bias);
    BIND_SHARED(float, pre);
    BIND(const float, slope_of);
    BIND_SHARED(const float, addend);
    size_t from = ROW * (size_t)product_stride, to = ROW * (size_t)stride;
    FOR_ROW (j, part, width) {
        vec g = LOAD(product + from + j, part);
        if (bias)
            g += LOAD(bias + j, part);
        EPILOGUE(c, g, to + j, part, activation);
    }
}

__kernel void column_sum(TENSOR(const float, x), TENSOR(float, out), const int rows, const int width, const int stride,
                         const int span)
{
    BIND(const float, x);
    BIND(float, out);
    int j = (int)get_global_id(0) * VW, part = min(VW, width - j);
    int first = (int)get_global_id(1) * span, end = min(first + span, rows);
    if (part <= 0)
        return;
    vec sum = vec_set(0.0f);
    for (int i = first; i < end; i++)
        sum += LOAD(x + (size_t)i * stride + j, part);
    STORE(out + get_global_id(1) * (ulong)width + j, sum, part);
}

__kernel void sum_planes(TENSOR(const float, planes), TENSOR(float, out), const ulong plane, const ulong count,
                         const int splits, const int accumulate)
{
    BIND(const float, planes);
    BIND(float, out);
    FOR_CHUNK (i, part, count) {
        vec sum = vec_set(0.0f);
        if (accumulate)
            sum = LOAD(out + i, part);
        for (int s = 0; s < splits; s++)
            sum += LOAD(planes + (size_t)s * plane + i, part);
        STORE(out + i, sum, part);
    }
}

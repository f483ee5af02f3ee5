/* What surrounds a GEMM in a linear layer where it is not fused, and what serves instead of one for few rows.
 *
 * linear_few: c = the epilogue of a w^T + bias (cl/epilogue.h), for a few rows of a, whose product takes as long as w
 *   takes to be read: once, where it lies, and nothing is packed.
 *   A row's sums are in the same order whatever other rows there are; on CPUs two rows at once load w once (16 rows of
 *   1024 to 1024, one thread: 29 instead of 14 thousand million multiply-adds a second, of 128 to 384 both 31).
 *   Shapes: a [rows, k], rows lda apart; w [n, k]; bias [n]; c and what the epilogue names [rows, n],
 *   rows ldc apart. Grid: a row each of w, which the lanes of a group share; CPU: FEW_COLUMNS rows of w each.
 * linear_epilogue: c = the epilogue of `product` (cl/epilogue.h), which may be c or pre.
 *   Shapes: rows x width, rows `product_stride` and `stride` apart. Grid: a row each.
 * column_sum: out[s, j] = sum of x[i, j] over rows [s*span, (s+1)*span).
 *   Shapes: x [rows, width], rows `stride` apart; out [ceil(rows/span), width]. Grid: (ceil(width/VW), splits).
 * sum_planes: out[i] (+)= planes[0][i] + planes[1][i] + ..., in that order.
 *   Shapes: planes [count] each, `plane` elements apart; out [count]. Grid: a chunk each.
 */
#include "common.h"
#include "epilogue.h"

#if !SSA_GPU
/* Lane i: row i of w times x, for the first `rows` of VW; the last row again in the others. */
SSA_INLINE vec dot_rows(__global const float *x, __global const float *w, int k, int rows)
{
    vec sum[VW];
    int q = 0;
    UNROLL for (int i = 0; i < VW; i++) sum[i] = vec_set(0.0f);
    for (; q + VW <= k; q += VW) {
        const vec a = vec_load(x + q);
        UNROLL for (int i = 0; i < VW; i++) sum[i] += a * vec_load(w + (size_t)min(i, rows - 1) * k + q);
    }
    if (q < k) {
        const vec a = vec_load_part(x + q, k - q);
        for (int i = 0; i < rows; i++)
            sum[i] += a * vec_load_part(w + (size_t)i * k + q, k - q);
    }
    return vec_sums(sum);
}

/* The same of two rows of x, in g and h, of which each value is the same sum in the same order: w is loaded once. */
SSA_INLINE void dot_rows_twice(__global const float *x, __global const float *y, __global const float *w, int k,
                               int rows, vec *g, vec *h)
{
    float sums[2][VW];
    UNROLL for (int side = 0; side < 2; side++)
    {
        vec sum[VW];
        float values[VW];
        int q = 0;
        UNROLL for (int i = 0; i < VW; i++) sum[i] = vec_set(0.0f);
        for (; q < k; q += VW) {
            const int part = min(VW, k - q);
            const vec a = LOAD(x + q, part), b = LOAD(y + q, part);
            UNROLL for (int i = 0; i < VW / 2; i++)
            {
                const vec column = LOAD(w + (size_t)min(side * VW / 2 + i, rows - 1) * k + q, part);
                sum[i] += a * column;
                sum[VW / 2 + i] += b * column;
            }
        }
        vec_store(values, vec_sums(sum));
        for (int i = 0; i < VW / 2; i++) {
            sums[0][side * VW / 2 + i] = values[i];
            sums[1][side * VW / 2 + i] = values[VW / 2 + i];
        }
    }
    *g = vec_load(sums[0]);
    *h = vec_load(sums[1]);
}
#endif

__kernel ROW_GROUP void linear_few(TENSOR(const float, a), TENSOR(const float, w), TENSOR(float, c),
                                   TENSOR(const float, bias), TENSOR(float, pre), TENSOR(const float, slope_of),
                                   TENSOR(const float, addend), const int lda, const int ldc, const int rows,
                                   const int n, const int k, const int activation)
{
    BIND(const float, a);
    BIND(const float, w);
    BIND_SHARED(float, c);
    BIND(const float, bias);
    BIND(float, pre);
    BIND(const float, slope_of);
    BIND_SHARED(const float, addend);
#if SSA_GPU
    GROUP_SCRATCH;
    const int j = (int)ROW;
    for (int r = 0; r < rows; r++) { /* from the second on w's row is in a cache */
        vec sum = vec_set(0.0f);
        FOR_ROW (q, part, k)
            sum += LOAD(w + j * (size_t)k + q, part) * LOAD(a + r * (size_t)lda + q, part);
        const float product = group_sum(vec_sum(sum));
        if (LANE == 0)
            EPILOGUE(c, vec_set(bias ? product + bias[j] : product), r * (size_t)ldc + j, 1, activation);
    }
#else
    const int first = (int)ROW * FEW_COLUMNS, end = min(first + FEW_COLUMNS, n);
    for (int r = 0; r < rows; r += 2)
        for (int j = first; j < end; j += VW) {
            const int part = min(VW, end - j);
            vec g[2];
            if (r + 1 < rows)
                dot_rows_twice(a + r * (size_t)lda, a + (r + 1) * (size_t)lda, w + j * (size_t)k, k, part, g, g + 1);
            else
                g[0] = dot_rows(a + r * (size_t)lda, w + j * (size_t)k, k, part);
            for (int i = 0; i < min(2, rows - r); i++) {
                if (bias)
                    g[i] += LOAD(bias + j, part);
                EPILOGUE(c, g[i], (r + i) * (size_t)ldc + j, part, activation);
            }
        }
#endif
}

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

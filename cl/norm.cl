/* Layer norm and RMS norm by row, forward and backward.
 *
 *   y = (x - mean) * inverse * gain + bias,  inverse = 1/sqrt(var + eps)        (RMS: mean 0, var = mean(x^2))
 *   dx = (g - mean(g) - n mean(g o n)) * inverse,  g = dy o gain, n = (x - mean) * inverse   (RMS: no mean(g))
 *   dgain = column sums of dy o n, dbias = column sums of dy
 *
 * Shapes  x, y, dy, dx [rows, width]; gain, bias, dgain, dbias [width]; stats [rows, 2] = mean, inverse;
 *         partial [parts, 2, padded]: the column sums of a part of `span` rows, dgain then dbias; padded is width
 *         rounded up to a multiple of 16, so that partial sums move in whole vectors.
 * Grid    norm_fwd: a row each. norm_fwd_narrow: NARROW_ROWS rows each, of NARROW_COLUMNS at most, in the CPU shape:
 *         VW of them at once, so that sums, roots and divisions are of whole vectors. norm_bwd: `span` rows each, one
 *         after the other, so that the column sums cost no second pass over x and dy; rows of few columns as in
 *         norm_fwd_narrow. norm_bwd_columns: a chunk of the 2*padded columns each.
 * Macros  those of common.h.
 *
 * Lab book (8192 x 256, one thread, AVX-512, machine shared with others; share of the GB/s of add in the same minute)
 *   host    forward 78% (RMS 98%), bound by the latency of its two sums; backward 87%, 99% without column sums
 *   PoCL    forward 36-46% (RMS 45-62%), backward 49-72%, two threads
 *   column sums inside norm_bwd   18% of its time on the host, 27% on PoCL
 * Edges of EGT 4/64/16 (20736 x 16) and its nodes, host, AVX-512: norms were 21% of a step's processor time.
 *   VW rows at once               16% of the step, forward and backward; the same bits
 */
#include "common.h"

#if !SSA_GPU

/* The first `rows` of VW rows, whose sums of squares are from `mean` on. */
SSA_INLINE vec narrow_squares(__global const float *x, const float *mean, int rows, int width)
{
    vec squares[VW];
    for (int i = 0; i < VW; i++) {
        const int r = min(i, rows - 1);
        squares[i] = vec_set(0.0f);
        for (int c = 0; c < width; c += VW) {
            const int part = min(VW, width - c);
            vec d = FIRST(LOAD(x + r * (size_t)width + c, part) - mean[r], part);
            squares[i] += d * d;
        }
    }
    return vec_sums(squares);
}

SSA_INLINE vec narrow_sums(__global const float *x, int rows, int width)
{
    vec sum[VW];
    for (int i = 0; i < VW; i++) {
        const int r = min(i, rows - 1);
        sum[i] = vec_set(0.0f);
        for (int c = 0; c < width; c += VW)
            sum[i] += LOAD(x + r * (size_t)width + c, min(VW, width - c));
    }
    return vec_sums(sum);
}

__kernel void norm_fwd_narrow(TENSOR(const float, x), TENSOR(const float, gain), TENSOR(const float, bias),
                              TENSOR(float, y), TENSOR(float, stats), const int rows, const int width, const int rms,
                              const float eps)
{
    BIND_SHARED(const float, x);
    BIND(const float, gain);
    BIND(const float, bias);
    BIND_SHARED(float, y);
    BIND(float, stats);
    const int first = (int)get_global_id(0) * NARROW_ROWS, end = min(first + NARROW_ROWS, rows);
    for (int r = first; r < end; r += VW) {
        __global const float *from = x + r * (size_t)width;
        __global float *to = y + r * (size_t)width;
        const int count = min(VW, end - r);
        float mean[VW], inverse[VW];
        vec_store(mean, vec_set(0.0f));
        if (!rms)
            vec_store(mean, narrow_sums(from, count, width) / (float)width);
        vec_store(inverse, 1.0f / vec_sqrt(narrow_squares(from, mean, count, width) / (float)width + eps));
        for (int c = 0; c < width; c += VW) {
            const int part = min(VW, width - c);
            vec scale = vec_set(1.0f), shift = vec_set(0.0f);
            if (gain)
                scale = LOAD(gain + c, part);
            if (bias)
                shift = LOAD(bias + c, part);
            for (int i = 0; i < count; i++) {
                const size_t at = i * (size_t)width + c;
                vec v = (LOAD(from + at, part) - mean[i]) * inverse[i];
                if (gain)
                    v = v * scale;
                if (bias)
                    v = v + shift;
                STORE(to + at, v, part);
            }
        }
        for (int i = 0; stats && i < count; i++) {
            stats[2 * (size_t)(r + i)] = mean[i];
            stats[2 * (size_t)(r + i) + 1] = inverse[i];
        }
    }
}
#endif

__kernel ROW_GROUP void norm_fwd(TENSOR(const float, x), TENSOR(const float, gain), TENSOR(const float, bias),
                                 TENSOR(float, y), TENSOR(float, stats), const int width, const int rms,
                                 const float eps)
{
    BIND_SHARED(const float, x);
    BIND(const float, gain);
    BIND(const float, bias);
    BIND_SHARED(float, y);
    BIND(float, stats);
    GROUP_SCRATCH;
    vec sum = vec_set(0.0f), squares = vec_set(0.0f);
    float mean = 0.0f;

    x += ROW * (size_t)width;
    y += ROW * (size_t)width;
    if (!rms) {
        FOR_ROW (c, part, width)
            sum += LOAD(x + c, part);
        mean = group_sum(vec_sum(sum)) / (float)width;
    }
    FOR_ROW (c, part, width) {
        vec d = FIRST(LOAD(x + c, part) - mean, part);
        squares += d * d;
    }
    const float inverse = 1.0f / sqrtf(group_sum(vec_sum(squares)) / (float)width + eps);
    FOR_ROW (c, part, width) {
        vec v = (LOAD(x + c, part) - mean) * inverse;
        if (gain)
            v = v * LOAD(gain + c, part);
        if (bias)
            v = v + LOAD(bias + c, part);
        STORE(y + c, v, part);
    }
    if (stats && LANE == 0) {
        stats[2 * ROW] = mean;
        stats[2 * ROW + 1] = inverse;
    }
}

#if !SSA_GPU
/* norm_bwd() of `rows` rows, VW at once; `sums`: their column sums, or none. */
SSA_INLINE void norm_bwd_narrow(__global const float *x, __global const float *gain, __global const float *stats,
                                __global const float *dy, __global float *dx, __global float *sums, int rows, int width,
                                int padded, int rms, int accumulate)
{
    for (int first = 0; first < rows; first += VW) {
        const int count = min(VW, rows - first);
        const size_t begin = first * (size_t)width;
        float mean_g[VW], mean_gn[VW];
        vec sum_g[VW], sum_gn[VW];
        for (int i = 0; i < VW; i++) {
            const int r = min(i, count - 1);
            const float mean = stats[2 * (size_t)(first + r)], inverse = stats[2 * (size_t)(first + r) + 1];
            sum_g[i] = sum_gn[i] = vec_set(0.0f);
            for (int c = 0; c < width; c += VW) {
                const int part = min(VW, width - c);
                const size_t at = begin + r * (size_t)width + c;
                vec g = LOAD(dy + at, part), n = (LOAD(x + at, part) - mean) * inverse;
                if (gain)
                    g = g * LOAD(gain + c, part);
                sum_g[i] += g;
                sum_gn[i] += g * n;
            }
        }
        vec_store(mean_g, vec_set(0.0f));
        if (!rms)
            vec_store(mean_g, vec_sums(sum_g) / (float)width);
        vec_store(mean_gn, vec_sums(sum_gn) / (float)width);
        for (int c = 0; c < width; c += VW) {
            const int part = min(VW, width - c);
            vec scale = vec_set(1.0f), by_gain = vec_set(0.0f), by_bias = vec_set(0.0f);
            if (gain)
                scale = LOAD(gain + c, part);
            if (sums) {
                by_gain = vec_load(sums + c);
                by_bias = vec_load(sums + padded + c);
            }
            for (int i = 0; i < count; i++) {
                const float mean = stats[2 * (size_t)(first + i)], inverse = stats[2 * (size_t)(first + i) + 1];
                const size_t at = begin + i * (size_t)width + c;
                vec d = LOAD(dy + at, part), n = (LOAD(x + at, part) - mean) * inverse, g = d;
                if (gain)
                    g = g * scale;
                by_gain += d * n;
                by_bias += d;
                g = (g - mean_g[i] - n * mean_gn[i]) * inverse;
                if (accumulate)
                    g = g + LOAD(dx + at, part);
                STORE(dx + at, g, part);
            }
            if (sums) {
                vec_store(sums + c, by_gain);
                vec_store(sums + padded + c, by_bias);
            }
        }
    }
}
#endif

__kernel ROW_GROUP void norm_bwd(TENSOR(const float, x), TENSOR(const float, gain), TENSOR(const float, stats),
                                 TENSOR(const float, dy), TENSOR(float, dx), TENSOR(float, partial), const int rows,
                                 const int width, const int padded, const int span, const int rms,
                                 const int accumulate)
{
    BIND(const float, x);
    BIND(const float, gain);
    BIND(const float, stats);
    BIND_SHARED(const float, dy);
    BIND_SHARED(float, dx);
    BIND(float, partial);
    GROUP_SCRATCH;
    const int first = (int)ROW * span, end = min(first + span, rows);
    __global float *sums = partial + (partial ? ROW * 2 * (size_t)padded : 0);

    if (partial)
        for (int c = LANE * VW; c < padded; c += LANES * VW) { /* what FOR_ROW gives this work-item, of both sums */
            vec_store(sums + c, vec_set(0.0f));
            vec_store(sums + padded + c, vec_set(0.0f));
        }
#if !SSA_GPU
    if (width <= NARROW_COLUMNS) {
        norm_bwd_narrow(x + first * (size_t)width, gain, stats + 2 * (size_t)first, dy + first * (size_t)width,
                        dx + first * (size_t)width, partial ? sums : partial, end - first, width, padded, rms,
                        accumulate);
        return;
    }
#endif
    for (int r = first; r < end; r++) {
        __global const float *xr = x + r * (size_t)width, *dyr = dy + r * (size_t)width;
        __global float *dxr = dx + r * (size_t)width;
        const float mean = stats[2 * (size_t)r], inverse = stats[2 * (size_t)r + 1];
        vec sum_g = vec_set(0.0f), sum_gn = vec_set(0.0f);
        FOR_ROW (c, part, width) {
            vec g = LOAD(dyr + c, part), n = (LOAD(xr + c, part) - mean) * inverse;
            if (gain)
                g = g * LOAD(gain + c, part);
            sum_g += g;
            sum_gn += g * n;
        }
        const float mean_g = rms ? 0.0f : group_sum(vec_sum(sum_g)) / (float)width;
        const float mean_gn = group_sum(vec_sum(sum_gn)) / (float)width;
        FOR_ROW (c, part, width) {
            vec d = LOAD(dyr + c, part), n = (LOAD(xr + c, part) - mean) * inverse, g = d;
            if (gain)
                g = g * LOAD(gain + c, part);
            if (partial) {
                vec_store(sums + c, vec_load(sums + c) + d * n);
                vec_store(sums + padded + c, vec_load(sums + padded + c) + d);
            }
            g = (g - mean_g - n * mean_gn) * inverse;
            if (accumulate)
                g = g + LOAD(dxr + c, part);
            STORE(dxr + c, g, part);
        }
    }
}

__kernel void norm_bwd_columns(TENSOR(const float, partial), TENSOR(float, dgain), TENSOR(float, dbias),
                               const int parts, const int width, const int padded, const int accumulate)
{
    BIND(const float, partial);
    BIND(float, dgain);
    BIND(float, dbias);
    FOR_CHUNK (i, inside, 2 * padded) {
        const int c = (int)i % padded, part = min((int)inside, width - c);
        __global float *target = (int)i < padded ? dgain : dbias;
        vec sum = vec_set(0.0f);
        if (!target || part <= 0)
            continue;
        for (int p = 0; p < parts; p++)
            sum += vec_load(partial + p * 2 * (size_t)padded + i);
        if (accumulate)
            sum += LOAD(target + c, part);
        STORE(target + c, sum, part);
    }
}

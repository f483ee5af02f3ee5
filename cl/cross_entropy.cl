/* Softmax cross-entropy by row and its gradient.
 *
 *   t = (1-smoothing) onehot + smoothing/V;  loss = log(sum) - sum_v t_v (x_v - top),  sum = sum_v exp(x_v - top)
 *   dlogits = grad_scale (exp(x - top)/sum - t)
 *
 *   soft: t = (1-smoothing) s + w smoothing/V;  loss = w log(sum) - sum_v t_v (x_v - top),  w = sum_v s_v
 *   dlogits = grad_scale (w exp(x - top)/sum - t)
 *
 * Shapes  logits, dlogits [rows, vocabulary], dlogits may be logits; targets int [rows], outside [0, vocabulary): the
 *         row is ignored; soft_targets [rows, vocabulary]; loss [rows].
 * Grid    a row each, three passes: the row's maximum; the exponentials and their sum; the gradient from the
 *         exponentials, which dlogits has held meanwhile. A row stays in cache between passes.
 * Macros  those of common.h.
 *
 * Lab book (8192 x 256, machine shared with others; share of the GB/s of add in the same minute)
 *   exponentials computed anew for the gradient   host 19%, PoCL 28%: an exponential is some 13 instructions
 *   kept in dlogits                               host 50-63%, PoCL 32-45%
 *
 * No NaN from infinities: top is kept finite, and vec_exp2 is cut at 2^-126, so that a row of -inf is uniform.
 */
#include "common.h"

#define LOG2E 1.44269504f
#define LARGEST 3.4028234e38f

/* The largest of this work-item's share of a row. */
SSA_INLINE float row_top(__global const float *x, int vocabulary)
{
    vec tops = vec_set(-LARGEST);
    FOR_ROW (c, part, vocabulary) {
        vec v = LOAD(x + c, part);
        if (part < VW)
            v = vec_select(vec_iota() < vec_set((float)part), v, tops);
        tops = vec_max(tops, v);
    }
    return vec_top(tops);
}

__kernel ROW_GROUP void cross_entropy(TENSOR(const float, logits), TENSOR(const int, targets), TENSOR(float, loss),
                                      TENSOR(float, dlogits), const int vocabulary, const float smoothing,
                                      const float grad_scale)
{
    BIND_SHARED(const float, logits);
    BIND(const int, targets);
    BIND(float, loss);
    BIND_SHARED(float, dlogits);
    GROUP_SCRATCH;
    const int target = targets[ROW];
    __global const float *x = logits + ROW * (size_t)vocabulary;
    __global float *dx = dlogits + (dlogits ? ROW * (size_t)vocabulary : 0);

    if (target < 0 || target >= vocabulary) {
        if (loss && LANE == 0)
            loss[ROW] = 0.0f;
        if (dlogits)
            FOR_ROW (c, part, vocabulary)
                STORE(dx + c, vec_set(0.0f), part);
    } else {
        /* Whoever walks over that column: no other may read what dlogits overwrites. */
        const int owner = target / VW % LANES == LANE;
        const float own = owner ? x[target] : 0.0f;
        vec sums = vec_set(0.0f), shifts = vec_set(0.0f);
        float top = group_max(row_top(x, vocabulary));
        top = top < LARGEST ? top : LARGEST;
        FOR_ROW (c, part, vocabulary) {
            vec v = LOAD(x + c, part) - top, e = vec_exp2(v * LOG2E);
            sums += FIRST(e, part);
            if (dlogits)
                STORE(dx + c, e, part);
            if (smoothing > 0.0f)
                shifts += FIRST(v, part);
        }
        const float sum = group_sum(vec_sum(sums)), spread = smoothing / (float)vocabulary;
        if (loss) {
            float expected = owner ? (1.0f - smoothing) * (own - top) : 0.0f;
            if (smoothing > 0.0f)
                expected += spread * vec_sum(shifts);
            expected = group_sum(expected);
            if (LANE == 0)
                loss[ROW] = logf(sum) - expected;
        }
        if (dlogits) {
            const float scale = grad_scale / sum, below = grad_scale * spread;
            FOR_ROW (c, part, vocabulary)
                STORE(dx + c, LOAD(dx + c, part) * scale - below, part);
            if (owner)
                dx[target] -= grad_scale * (1.0f - smoothing);
        }
    }
}

__kernel ROW_GROUP void cross_entropy_soft(TENSOR(const float, logits), TENSOR(const float, soft_targets),
                                           TENSOR(float, loss), TENSOR(float, dlogits), const int vocabulary,
                                           const float smoothing, const float grad_scale)
{
    BIND_SHARED(const float, logits);
    BIND(const float, soft_targets);
    BIND(float, loss);
    BIND_SHARED(float, dlogits);
    GROUP_SCRATCH;
    __global const float *x = logits + ROW * (size_t)vocabulary, *s = soft_targets + ROW * (size_t)vocabulary;
    __global float *dx = dlogits + (dlogits ? ROW * (size_t)vocabulary : 0);
    vec sums = vec_set(0.0f), shifts = vec_set(0.0f), weights = vec_set(0.0f), matches = vec_set(0.0f);
    float top = group_max(row_top(x, vocabulary));
    top = top < LARGEST ? top : LARGEST;
    FOR_ROW (c, part, vocabulary) {
        vec v = LOAD(x + c, part) - top, e = vec_exp2(v * LOG2E), t = LOAD(s + c, part);
        sums += FIRST(e, part);
        weights += FIRST(t, part);
        matches += FIRST(vec_select(t != vec_set(0.0f), t * v, vec_set(0.0f)), part); /* 0 of -inf too */
        if (dlogits)
            STORE(dx + c, e, part);
        if (smoothing > 0.0f)
            shifts += FIRST(v, part);
    }
    const float sum = group_sum(vec_sum(sums)), weight = group_sum(vec_sum(weights));
    const float spread = weight * smoothing / (float)vocabulary;
    if (loss) {
        float expected = (1.0f - smoothing) * vec_sum(matches);
        if (smoothing > 0.0f)
            expected += spread * vec_sum(shifts);
        expected = group_sum(expected);
        if (LANE == 0)
            loss[ROW] = weight != 0.0f ? weight * logf(sum) - expected : 0.0f;
    }
    if (dlogits) {
        const float scale = grad_scale * weight / sum, below = grad_scale * spread;
        const float share = grad_scale * (1.0f - smoothing);
        FOR_ROW (c, part, vocabulary)
            STORE(dx + c, LOAD(dx + c, part) * scale - (LOAD(s + c, part) * share + below), part);
    }
}

/* Attention and matrix multiplication in the plainest way: what serves a device that gets the tiled kernels wrong.
 * Scalars, global memory, no work-groups, nothing to choose: ten to a hundred times slower, and hard to miscompile.
 *
 * attention_fwd_plain   out = softmax(scale q k^T) v over the plan's keys (cl/plan.h), lse to base 2
 * attention_dq_plain    dS = P o (dout v^T - dout . out);  dq = scale dS k
 * attention_dkv_plain   dk = scale dS^T q, dv = P^T dout, summed over the heads of a group
 * gemm_plain            c (+)= op(a) op(b)
 *
 * With bias, gate, clip, dropout: ops.h.
 * Shapes  q, dq [B,T,H,D], out, dout [B,T,H,E], k, dk [B,N,kv_heads,D], v, dv [B,N,kv_heads,E], strides of each; lse,
 *         gate_sum [B,H,T]; matrices as in gemm_gpu.cl.
 * Grid    (query, head, example); for dk, dv (key, head of keys, example); an element of c each: (column, row).
 * Macros  none.
 */
#include "attention.h"

/* What every direction is given; what the gradients are given in addition. */
#define INPUTS \
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const int, plan), ATTENTION_SIZES, \
        const int kv_heads, STRIDES(q), STRIDES(k), STRIDES(v), ATTENTION_PAIRS
#define GRADIENTS \
    INPUTS, TENSOR(const float, out), STRIDES(out), TENSOR(const float, lse), TENSOR(const float, dout), STRIDES(dout)
#define BIND_INPUTS \
    BIND(const float, q); \
    BIND(const float, k); \
    BIND(const float, v); \
    BIND(const int, plan); \
    BIND_PAIRS
#define BIND_GRADIENTS \
    BIND_INPUTS; \
    BIND(const float, out); \
    BIND(const float, lse); \
    BIND(const float, dout)
/* From the tensor's start to a row of a head. */
#define TO_ROW(t, row, head) t += b * t##_batch + (row) * t##_stride + (head) * t##_head
#define ROW_OF(i, h) ((b * heads + (h)) * (query_end - query_begin) + ((i) - query_begin)) /* in lse and gate_sum */

SSA_INLINE float dot_plain(__global const float *a, __global const float *b, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

__kernel void attention_fwd_plain(INPUTS, TENSOR(float, out), STRIDES(out), TENSOR(float, lse), TENSOR(float, gate_sum))
{
    BIND_INPUTS;
    BIND(float, out);
    BIND(float, lse);
    BIND(float, gate_sum);
    const int i = query_begin + (int)get_global_id(0), h = (int)get_global_id(1), g = h / (heads / kv_heads);
    const size_t b = get_global_id(2);
    const struct seen s = see(plan + b * plan_stride, i);
    PAIRS_MEMORY;
    SET_PAIRS(b, h);
    const int keys = s.common + s.count + s.own;
    TO_ROW(q, i - query_begin, h);
    TO_ROW(k, 0, g);
    TO_ROW(v, 0, g);
    TO_ROW(out, i - query_begin, h);

    float top = -INFINITY, sum = 0.0f, gates = 0.0f;
    for (int d = 0; d < value_width; d++)
        out[d] = 0.0f;
    for (int t = 0; t < keys; t++) {
        const int j = key_at(&s, t, i);
        if (causal && j > i)
            continue;
        const float score = pair_logit(&pairs, scale * LOG2E * dot_plain(q, k + j * k_stride, width), i, j);
        const float gate = pair_gate(&pairs, i, j);
        gates += gate;
        if (score == -INFINITY)
            continue;
        const float next = score > top ? score : top;
        const float shrink = exp2(top - next), p = exp2(score - next), w = p * gate * pair_keep(&pairs, i, j);
        for (int d = 0; d < value_width; d++)
            out[d] = out[d] * shrink + w * v[j * v_stride + d];
        sum = sum * shrink + p;
        top = next;
    }
    if (sum > 0.0f)
        for (int d = 0; d < value_width; d++)
            out[d] /= sum;
    lse[ROW_OF(i, h)] = sum > 0.0f ? top + log2(sum) : -INFINITY;
    if (gate_sum)
        gate_sum[ROW_OF(i, h)] = gates;
}

/* Of one pair: what its value is weighed with, and the gradient of scale q.k. */
struct slope {
    float weight, slope;
};
SSA_INLINE struct slope slope_of(const struct pairs *p, float score, float product, float log_sum, float mean, int query,
                                 int key)
{
    const float logit = pair_logit(p, score, query, key);
    const float probable = logit == -INFINITY ? 0.0f : exp2(logit - log_sum);
    struct slope s;
    s.weight = probable * pair_gate(p, query, key) * pair_keep(p, query, key);
    s.slope = fabs(score) > p->clip ? 0.0f : s.weight * product - probable * mean;
    return s;
}

__kernel void attention_dq_plain(GRADIENTS, TENSOR(float, dq), STRIDES(dq))
{
    BIND_GRADIENTS;
    BIND(float, dq);
    const int i = query_begin + (int)get_global_id(0), h = (int)get_global_id(1), g = h / (heads / kv_heads);
    const size_t b = get_global_id(2);
    const struct seen s = see(plan + b * plan_stride, i);
    PAIRS_MEMORY;
    SET_PAIRS(b, h);
    const int keys = s.common + s.count + s.own;
    const float log_sum = lse[ROW_OF(i, h)];
    TO_ROW(q, i - query_begin, h);
    TO_ROW(k, 0, g);
    TO_ROW(v, 0, g);
    TO_ROW(out, i - query_begin, h);
    TO_ROW(dout, i - query_begin, h);
    TO_ROW(dq, i - query_begin, h);

    const float mean = dot_plain(dout, out, value_width);
    for (int d = 0; d < width; d++)
        dq[d] = 0.0f;
    for (int t = 0; t < keys; t++) {
        const int j = key_at(&s, t, i);
        if (causal && j > i)
            continue;
        __global const float *kj = k + j * k_stride;
        const float score = scale * LOG2E * dot_plain(q, kj, width);
        const float product = dot_plain(dout, v + j * v_stride, value_width);
        const float ds = scale * slope_of(&pairs, score, product, log_sum, mean, i, j).slope;
        for (int d = 0; d < width; d++)
            dq[d] += ds * kj[d];
    }
}

/* Slot of key j in source[], or -1. */
SSA_INLINE int find_slot(__global const int *plan, int j)
{
    __global const int *source = plan + plan[PLAN_SOURCE_AT];
    const int slots = plan[plan[PLAN_SLICE_AT] + plan[PLAN_SLICES]];
    for (int t = 0; t < slots; t++)
        if (source[t] == j)
            return t;
    return -1;
}

__kernel void attention_dkv_plain(GRADIENTS, TENSOR(float, dk), STRIDES(dk), TENSOR(float, dv), STRIDES(dv))
{
    BIND_GRADIENTS;
    BIND(float, dk);
    BIND(float, dv);
    const int j = (int)get_global_id(0), g = (int)get_global_id(1), group = heads / kv_heads;
    const size_t b = get_global_id(2);
    TO_ROW(k, j, g);
    TO_ROW(v, j, g);
    TO_ROW(dk, j, g);
    TO_ROW(dv, j, g);
    plan += b * plan_stride;

    for (int d = 0; d < width; d++)
        dk[d] = 0.0f;
    for (int d = 0; d < value_width; d++)
        dv[d] = 0.0f;
    const int slot = find_slot(plan, j), first = causal && j > query_begin ? j : query_begin;
    const int end = min(plan[PLAN_LENGTH], query_end);
    PAIRS_MEMORY;
    SET_PAIRS(b, g * group);
    TO_ROW(q, 0, g * group); /* heads take turns at the same pointers: strides would fill what registers there are */
    TO_ROW(out, 0, g * group);
    TO_ROW(dout, 0, g * group);
    lse += ROW_OF(query_begin, g * group);
    for (int h = 0; h < group; h++) {
        for (int i = first; i < end; i++) {
            const struct seen s = see(plan, i);
            const int common = slot >= s.common_from && slot < s.common_from + s.common;
            const int listed = slot >= s.from && slot < s.from + s.count;
            if (!common && !listed && !(s.own && i == j))
                continue;
            const size_t row = i - query_begin;
            __global const float *qi = q + row * q_stride, *dy = dout + row * dout_stride;
            const struct slope x = slope_of(&pairs, scale * LOG2E * dot_plain(qi, k, width),
                                            dot_plain(dy, v, value_width), lse[row],
                                            dot_plain(dy, out + row * out_stride, value_width), i, j);
            for (int d = 0; d < width; d++)
                dk[d] += scale * x.slope * qi[d];
            for (int d = 0; d < value_width; d++)
                dv[d] += x.weight * dy[d];
        }
        NEXT_HEAD;
        q += q_head;
        out += out_head;
        dout += dout_head;
        lse += query_end - query_begin;
    }
}

__kernel void gemm_plain(TENSOR(const float, a), TENSOR(const float, b), TENSOR(float, c), const int lda,
                         const int ldb, const int ldc, const int trans_a, const int trans_b, const int k,
                         const int accumulate)
{
    BIND(const float, a);
    BIND(const float, b);
    BIND(float, c);
    const size_t j = get_global_id(0), i = get_global_id(1);
    const size_t step_a = trans_a ? lda : 1, step_b = trans_b ? 1 : ldb;
    a += trans_a ? i : i * lda;
    b += trans_b ? j * ldb : j;
    c += i * ldc + j;
    float sum = 0.0f;
    for (int t = 0; t < k; t++)
        sum += a[t * step_a] * b[t * step_b];
    *c = accumulate ? *c + sum : sum;
}

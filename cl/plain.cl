/* Attention and matrix multiplication in the plainest way: what serves a device that gets the tiled kernels wrong.
 * Scalars, global memory, no work-groups, nothing to choose: ten to a hundred times slower, and hard to miscompile.
 *
 * attention_fwd_plain   out = softmax(scale q k^T) v over the plan's keys (cl/plan.h), lse to base 2
 * attention_dq_plain    dS = P o (dout v^T - dout . out);  dq = scale dS k
 * attention_dkv_plain   dk = scale dS^T q, dv = P^T dout, summed over the heads of a group
 * gemm_plain            c (+)= op(a) op(b)
 *
 * Shapes  q, out, dout, dq [B,N,H,D], k, v, dk, dv [B,N,kv_heads,D], strides between positions; lse [B,H,N];
 *         matrices as in gemm_gpu.cl.
 * Grid    (query, head, example); for dk, dv (key, head of keys, example); an element of c each: (column, row).
 * Macros  none.
 */
#include "common.h"
#include "plan.h"

#define LOG2_E 1.44269504f

/* What every direction is given; what the gradients are given besides. */
#define BIND_INPUTS \
    BIND(const float, q); \
    BIND(const float, k); \
    BIND(const float, v); \
    BIND(const int, plan)
#define BIND_GRADIENTS \
    BIND_INPUTS; \
    BIND(const float, out); \
    BIND(const float, lse); \
    BIND(const float, dout)
/* From the tensor's start to the row of a position and head. */
#define TO_ROW(t, position, head) t += (b * length + (position)) * t##_stride + (head) * width

/* The keys of one query: source[from .. from + count), source[common_from .. + common), and itself if `own`. */
struct seen {
    __global const int *source;
    int common_from, common, from, count, own;
};

SSA_INLINE struct seen see(__global const int *plan, int query)
{
    __global const int *range = plan + plan[PLAN_RANGE_AT] + 2 * (query / plan[PLAN_BLOCK]);
    __global const int *start = plan + plan[PLAN_SLICE_AT];
    struct seen s = {plan + plan[PLAN_SOURCE_AT], 0, 0, 0, 0, 0};
    if (query >= plan[PLAN_LENGTH])
        return s;
    if (plan[PLAN_COMMON]) {
        s.common_from = start[0];
        s.common = start[1] - start[0];
    }
    s.from = start[range[0]];
    s.count = start[range[1]] - s.from;
    s.own = plan[plan[PLAN_OWN_AT] + query];
    return s;
}

/* Position of the t-th of them. */
SSA_INLINE int key_at(const struct seen *s, int t, int query)
{
    if (t < s->common)
        return s->source[s->common_from + t];
    t -= s->common;
    return t < s->count ? s->source[s->from + t] : query;
}

SSA_INLINE float dot_plain(__global const float *a, __global const float *b, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

__kernel void attention_fwd_plain(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(float, out), TENSOR(float, lse),
    TENSOR(const int, plan), const ulong plan_stride, const int length, const int heads, const int kv_heads,
    const int width, const int q_stride, const int k_stride, const int v_stride, const int out_stride,
    const int causal, const float scale)
{
    BIND_INPUTS;
    BIND(float, out);
    BIND(float, lse);
    const int i = (int)get_global_id(0), h = (int)get_global_id(1), g = h / (heads / kv_heads);
    const size_t b = get_global_id(2);
    const struct seen s = see(plan + b * plan_stride, i);
    const int keys = s.common + s.count + s.own;
    TO_ROW(q, i, h);
    TO_ROW(k, 0, g);
    TO_ROW(v, 0, g);
    TO_ROW(out, i, h);

    float top = -INFINITY, sum = 0.0f;
    for (int d = 0; d < width; d++)
        out[d] = 0.0f;
    for (int t = 0; t < keys; t++) {
        const int j = key_at(&s, t, i);
        if (causal && j > i)
            continue;
        const float score = scale * LOG2_E * dot_plain(q, k + (size_t)j * k_stride, width);
        const float next = score > top ? score : top;
        const float shrink = exp2(top - next), p = exp2(score - next);
        for (int d = 0; d < width; d++)
            out[d] = out[d] * shrink + p * v[(size_t)j * v_stride + d];
        sum = sum * shrink + p;
        top = next;
    }
    if (sum > 0.0f)
        for (int d = 0; d < width; d++)
            out[d] /= sum;
    lse[(b * heads + h) * length + i] = sum > 0.0f ? top + log2(sum) : -INFINITY;
}

__kernel void attention_dq_plain(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const float, out),
    TENSOR(const float, lse), TENSOR(const float, dout), TENSOR(float, dq), TENSOR(const int, plan),
    const ulong plan_stride, const int length, const int heads, const int kv_heads, const int width,
    const int q_stride, const int k_stride, const int v_stride, const int out_stride, const int dq_stride,
    const int causal, const float scale)
{
    BIND_GRADIENTS;
    BIND(float, dq);
    const int i = (int)get_global_id(0), h = (int)get_global_id(1), g = h / (heads / kv_heads);
    const size_t b = get_global_id(2);
    const struct seen s = see(plan + b * plan_stride, i);
    const int keys = s.common + s.count + s.own;
    const float log_sum = lse[(b * heads + h) * length + i];
    TO_ROW(q, i, h);
    TO_ROW(k, 0, g);
    TO_ROW(v, 0, g);
    TO_ROW(out, i, h);
    dout += (b * length + i) * out_stride + h * width;
    TO_ROW(dq, i, h);

    const float mean = dot_plain(dout, out, width);
    for (int d = 0; d < width; d++)
        dq[d] = 0.0f;
    for (int t = 0; t < keys; t++) {
        const int j = key_at(&s, t, i);
        if (causal && j > i)
            continue;
        __global const float *kj = k + (size_t)j * k_stride;
        const float p = exp2(scale * LOG2_E * dot_plain(q, kj, width) - log_sum);
        const float ds = scale * p * (dot_plain(dout, v + (size_t)j * v_stride, width) - mean);
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

__kernel void attention_dkv_plain(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const float, out),
    TENSOR(const float, lse), TENSOR(const float, dout), TENSOR(float, dk), TENSOR(float, dv),
    TENSOR(const int, plan), const ulong plan_stride, const int length, const int heads, const int kv_heads,
    const int width, const int q_stride, const int k_stride, const int v_stride, const int out_stride,
    const int dk_stride, const int dv_stride, const int causal, const float scale)
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
        dk[d] = dv[d] = 0.0f;
    const int slot = find_slot(plan, j);
    for (int i = causal ? j : 0; i < plan[PLAN_LENGTH]; i++) {
        const struct seen s = see(plan, i);
        const int common = slot >= s.common_from && slot < s.common_from + s.common;
        const int listed = slot >= s.from && slot < s.from + s.count;
        if (!common && !listed && !(s.own && i == j))
            continue;
        for (int h = g * group; h < (g + 1) * group; h++) {
            __global const float *qi = q + (b * length + i) * q_stride + h * width;
            __global const float *o = out + (b * length + i) * out_stride + h * width;
            __global const float *dy = dout + (b * length + i) * out_stride + h * width;
            const float p = exp2(scale * LOG2_E * dot_plain(qi, k, width) - lse[(b * heads + h) * length + i]);
            const float ds = scale * p * (dot_plain(dy, v, width) - dot_plain(dy, o, width));
            for (int d = 0; d < width; d++) {
                dk[d] += ds * qi[d];
                dv[d] += p * dy[d];
            }
        }
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

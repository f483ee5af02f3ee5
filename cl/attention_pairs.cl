/* What attention writes for every pair of query and key, and the gradients of it, where somebody asks for them: scores,
 * the bias's and the gate's gradients, and what a gradient of the scores adds to those of q and k.
 *     score_ij = clip(scale q_i . k_j) + bias_ij                        of all pairs, 0 for padding
 *     dbias_ij = w_ij b_ij - P_ij delta_i + dscore_ij;   dgate_ij = (P_ij u_ij b_ij + dgate_sum_i) g_ij (1 - g_ij)
 *     dq_i += scale sum_j dscore_ij k_j;   dk_j += scale sum_i dscore_ij q_i      where scale q.k is not clipped
 * with P, w, u, g, b, delta of attention_bwd.cl, recomputed; 0 but for dscore where the plan gives no pair.
 *
 * Grid     attention_scores: (lanes, queries, batch * heads), the keys shared out by turns.
 *          attention_pairs_bwd: (lanes * queries, heads, examples with values of their own), 1 where its stride is 0: a
 *          work-item owns each lanes-th key of what it adds up, over all that share the value, in order.
 *          attention_scores_dq: (queries, heads, batch);  attention_scores_dk: (keys, kv_heads, batch)
 * Macros   none. Not tuned: of molecules and windows these pairs are few beside the rest (the paper's EGT: under 1%). */
#define PAIRS_LOCAL SSA_GPU
#include "attention.h"

#define OPERANDS \
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const int, plan), ATTENTION_SIZES, const int keys, \
        const int kv_heads, STRIDES(q), STRIDES(k), ATTENTION_PAIRS
#define BIND_OPERANDS \
    BIND(const float, q); \
    BIND(const float, k); \
    BIND(const int, plan); \
    BIND_PAIRS

SSA_INLINE float dot_of(__global const float *a, __global const float *b, int width)
{
    vec sum = vec_set(0.0f);
    for (int c = 0; c < width; c += VW)
        sum += LOAD(a + c, min(VW, width - c)) * LOAD(b + c, min(VW, width - c));
    return vec_sum(sum);
}

/* to += x from */
SSA_INLINE void add_scaled(__global float *to, __global const float *from, float x, int width)
{
    for (int c = 0; c < width; c += VW) {
        const int part = min(VW, width - c);
        STORE(to + c, LOAD(to + c, part) + LOAD(from + c, part) * x, part);
    }
}

__kernel void attention_scores(OPERANDS, TENSOR(float, scores), PAIR_STRIDES(scores), const int lanes)
{
    PAIRS_MEMORY;
    BIND_OPERANDS;
    BIND(float, scores);
    const int i = (int)get_global_id(1), at = query_begin + i, h = (int)(get_global_id(2) % heads);
    const ulong b = get_global_id(2) / heads;
    SET_PAIRS(b, h);
    const int real = plan[plan_stride * b + PLAN_LENGTH];
    q += b * q_batch + i * q_stride + h * q_head;
    k += b * k_batch + h / (heads / kv_heads) * k_head;
    scores += b * scores_batch + h * scores_head + i * scores_query;
    for (int j = (int)get_global_id(0); j < keys; j += lanes)
        scores[j * scores_key] = at < real && j < real
            ? pair_logit(&pairs, scale * LOG2E * dot_of(q, k + j * k_stride, width), at, j) * 0.693147181f
            : 0.0f;
}

/* What a gradient of pairs is made of, and where it goes. */
#define GRADIENT_OF_PAIRS \
    TENSOR(const float, v), STRIDES(v), TENSOR(const float, out), STRIDES(out), TENSOR(const float, lse), \
        TENSOR(const float, dout), STRIDES(dout), TENSOR(const float, dscores), PAIR_STRIDES(dscores), \
        TENSOR(const float, dgate_sum), TENSOR(float, to), PAIR_STRIDES(to), const int to_repeat, const int of_gate, \
        const int batch, const int lanes

/* Its strides. On GPUs in local memory: with the operands they are more than there are scalar registers. */
#if SSA_GPU
enum {
    q_batch_at, q_stride_at, q_head_at, k_batch_at, k_stride_at, k_head_at, v_batch_at, v_stride_at, v_head_at,
    out_batch_at, out_stride_at, out_head_at, dout_batch_at, dout_stride_at, dout_head_at, dscores_batch_at,
    dscores_head_at, dscores_query_at, dscores_key_at, to_batch_at, to_head_at, to_query_at, to_key_at,
    STRIDES_KEPT
};
#define STRIDE(tensor, dimension) kept[tensor##_##dimension##_at]
#define KEEP_STRIDES \
    __local volatile ulong kept[STRIDES_KEPT]; \
    if (get_local_id(0) == 0) { \
        kept[q_batch_at] = q_batch; kept[q_stride_at] = q_stride; kept[q_head_at] = q_head; \
        kept[k_batch_at] = k_batch; kept[k_stride_at] = k_stride; kept[k_head_at] = k_head; \
        kept[v_batch_at] = v_batch; kept[v_stride_at] = v_stride; kept[v_head_at] = v_head; \
        kept[out_batch_at] = out_batch; kept[out_stride_at] = out_stride; kept[out_head_at] = out_head; \
        kept[dout_batch_at] = dout_batch; kept[dout_stride_at] = dout_stride; kept[dout_head_at] = dout_head; \
        kept[dscores_batch_at] = dscores_batch; kept[dscores_head_at] = dscores_head; \
        kept[dscores_query_at] = dscores_query; kept[dscores_key_at] = dscores_key; kept[to_batch_at] = to_batch; \
        kept[to_head_at] = to_head; kept[to_query_at] = to_query; kept[to_key_at] = to_key; \
    } \
    barrier(CLK_LOCAL_MEM_FENCE)
#else
#define STRIDE(tensor, dimension) tensor##_##dimension
#define KEEP_STRIDES
#endif

__kernel FEW_TOGETHER void attention_pairs_bwd(OPERANDS, GRADIENT_OF_PAIRS)
{
    PAIRS_MEMORY;
    BIND_OPERANDS;
    BIND(const float, v);
    BIND(const float, out);
    BIND(const float, lse);
    BIND(const float, dout);
    BIND(const float, dscores);
    BIND(const float, dgate_sum);
    BIND(float, to);
    KEEP_STRIDES;
    const int lane = (int)(get_global_id(0) % lanes), row = (int)(get_global_id(0) / lanes);
    const int queries = query_end - query_begin;
    const int i_begin = STRIDE(to, query) ? row : 0, i_end = STRIDE(to, query) ? row + 1 : queries;
    const int h_begin = STRIDE(to, head) ? (int)get_global_id(1) : 0, h_end = STRIDE(to, head) ? h_begin + 1 : heads;
    const int b_begin = STRIDE(to, batch) ? (int)get_global_id(2) : 0; /* every to_repeat-th example from there on */
    to += b_begin * STRIDE(to, batch) + h_begin * STRIDE(to, head);

    for (int i = i_begin; i < i_end; i++)
        for (int j = lane; j < keys; j += lanes)
            to[i * STRIDE(to, query) + j * STRIDE(to, key)] = 0.0f;
    for (int b = b_begin; b < batch; b += to_repeat)
        for (int h = h_begin; h < h_end; h++) {
            __global const int *p = plan + plan_stride * b;
            SET_PAIRS((ulong)b, h);
            const int g = h / (heads / kv_heads), real = p[PLAN_LENGTH];
            for (int i = i_begin; i < min(i_end, real - query_begin); i++) {
                const int at = query_begin + i;
                const struct seen s = see(p, at);
                const ulong place = ((ulong)b * heads + h) * queries + i;
                __global const float *q_row = q + (b * STRIDE(q, batch) + i * STRIDE(q, stride) + h * STRIDE(q, head));
                __global const float *dout_row = dout + (b * STRIDE(dout, batch) + i * STRIDE(dout, stride) + h * STRIDE(dout, head));
                const float delta = dot_of(dout_row, out + (b * STRIDE(out, batch) + i * STRIDE(out, stride) + h * STRIDE(out, head)), value_width);
                __global float *row_to = to + i * STRIDE(to, query);
                if (dscores && !of_gate)
                    for (int j = lane; j < min(keys, real); j += lanes)
                        row_to[j * STRIDE(to, key)] += dscores[b * STRIDE(dscores, batch) + h * STRIDE(dscores, head) + i * STRIDE(dscores, query) +
                                                      j * STRIDE(dscores, key)];
                for (int t = 0; t < s.common + s.count + s.own; t++) {
                    const int j = key_at(&s, t, at);
                    if (j % lanes != lane || (causal && j > at))
                        continue;
                    const float score = scale * LOG2E * dot_of(q_row, k + (b * STRIDE(k, batch) + j * STRIDE(k, stride) + g * STRIDE(k, head)), width);
                    const float logit = pair_logit(&pairs, score, at, j);
                    const float probable = logit == -INFINITY ? 0.0f : EXP2(logit - lse[place]);
                    const float gate = pair_gate(&pairs, at, j), keep = pair_keep(&pairs, at, j);
                    const float product = dot_of(dout_row, v + (b * STRIDE(v, batch) + j * STRIDE(v, stride) + g * STRIDE(v, head)), value_width);
                    const float sum = dgate_sum ? dgate_sum[place] : 0.0f;
                    row_to[j * STRIDE(to, key)] += of_gate ? (probable * keep * product + sum) * gate * (1.0f - gate)
                                                  : probable * gate * keep * product - probable * delta;
                }
            }
        }
}

/* The gradient of scale q.k by way of the scores: 0 where it was clipped. */
SSA_INLINE float slope_of_score(PAIRS_SPACE const struct pairs *p, float dscore, __global const float *q, __global const float *k,
                                float scale, int width)
{
    return p->clip < INFINITY && fabs(scale * LOG2E * dot_of(q, k, width)) > p->clip ? 0.0f : scale * dscore;
}

__kernel void attention_scores_dq(OPERANDS, TENSOR(const float, dscores), PAIR_STRIDES(dscores), TENSOR(float, dq),
                                  STRIDES(dq))
{
    PAIRS_MEMORY;
    BIND_OPERANDS;
    BIND(const float, dscores);
    BIND(float, dq);
    const int i = (int)get_global_id(0), h = (int)get_global_id(1);
    const ulong b = get_global_id(2);
    SET_PAIRS(b, h);
    const int real = plan[plan_stride * b + PLAN_LENGTH];
    q += b * q_batch + i * q_stride + h * q_head;
    k += b * k_batch + h / (heads / kv_heads) * k_head;
    dq += b * dq_batch + i * dq_stride + h * dq_head;
    dscores += b * dscores_batch + h * dscores_head + i * dscores_query;
    for (int j = 0; query_begin + i < real && j < min(keys, real); j++)
        add_scaled(dq, k + j * k_stride,
                   slope_of_score(&pairs, dscores[j * dscores_key], q, k + j * k_stride, scale, width), width);
}

__kernel void attention_scores_dk(OPERANDS, TENSOR(const float, dscores), PAIR_STRIDES(dscores), TENSOR(float, dk),
                                  STRIDES(dk))
{
    PAIRS_MEMORY;
    BIND_OPERANDS;
    BIND(const float, dscores);
    BIND(float, dk);
    const int j = (int)get_global_id(0), g = (int)get_global_id(1), group = heads / kv_heads;
    const ulong b = get_global_id(2);
    const int real = plan[plan_stride * b + PLAN_LENGTH];
    k += b * k_batch + j * k_stride + g * k_head;
    dk += b * dk_batch + j * dk_stride + g * dk_head;
    for (int h = g * group; h < (g + 1) * group; h++) {
        SET_PAIRS(b, h);
        for (int i = 0; j < real && i < min(query_end, real) - query_begin; i++) {
            __global const float *q_row = q + (b * q_batch + i * q_stride + h * q_head);
            const float d = dscores[b * dscores_batch + h * dscores_head + i * dscores_query + j * dscores_key];
            add_scaled(dk, q_row, slope_of_score(&pairs, d, q_row, k, scale, width), width);
        }
    }
}

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
 *          attention_pairs_bwd_tiles: the same of TILE queries a work-item, in the CPU shape, where queries and keys
 *          have values of their own and a block of the plan begins at a tile only; of the keys it owns the lane-th of
 *          `lanes` ranges, one where the plan has several slices, whose keys are not sorted.
 *          attention_scores_dq: (queries, heads, batch);  attention_scores_dk: (keys, kv_heads, batch)
 *          attention_scores_tiles: (tiles of queries, heads, batch); attention_scores_bwd_tiles: (kv_heads, batch), dq
 *          and dk of a head, or of those that share it: the same in the CPU shape, the latter where there are such
 *          heads enough to share out.
 *          Where the pairs lie head by head, in the CPU shape, attention_heads.cl takes most of them instead.
 * Macros   D, in the CPU shape: the width of keys and values, else the parameters. Not tuned on GPUs: of molecules
 *          these pairs are few beside the rest (the paper's EGT: under 1%).
 *
 * Lab book. Windows of images on the CPU: one by one they were 60% of a training step, by vectors of 16 queries less
 * than the rest of attention's backward. Swin-T in windows of 14 x 14, dense / 49 keys, host backend, AVX-512, one thread,
 * processor time of the kernel:
 *   tiles of 32 queries, products as in attention_bwd.cl, a build for the width          -44 / -41%
 *   rows of the next example prefetched                                                  -9 / -20%
 * Scores of all pairs in molecules and their gradients, host backend, AVX-512: share of a step's processor time, of EGT
 * 6/128/32 with 16 heads (64 molecules of 9 atoms) / EGT-90M (of 15):
 *   one by one                                                                           40 / 17%
 *   by tiles                                                                             6 / 2.5% */
#define STACK (256 << 10) /* bytes that a native build takes of a thread's stack, for its tiles */
#define PAIRS_LOCAL SSA_GPU
#include "attention.h"
#if !SSA_GPU
#define TILE PAIRS_TILE
#include "attention_tile.h"
#endif

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
            ? pair_score(&pairs, scale * LOG2E * dot_of(q, k + j * k_stride, width), at, j) * 0.693147181f
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

/* What one pair adds to the bias's gradient, or the gate's: of score scale q.k to base 2, product dout.v. */
SSA_INLINE float pair_gradient(PAIRS_SPACE const struct pairs *p, float score, float product, float lse, float delta,
                               float dgate_sum, int at, int j, int of_gate)
{
    const float logit = pair_logit(p, score, at, j);
    const float probable = logit == -INFINITY ? 0.0f : EXP2(logit - lse);
    const float gate = pair_gate(p, at, j), keep = pair_keep(p, at, j);
    return of_gate ? (probable * keep * product + dgate_sum) * gate * (1.0f - gate)
                   : probable * gate * keep * product - probable * delta;
}

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
                    const float product = dot_of(dout_row, v + (b * STRIDE(v, batch) + j * STRIDE(v, stride) + g * STRIDE(v, head)), value_width);
                    row_to[j * STRIDE(to, key)] += pair_gradient(&pairs, score, product, lse[place], delta,
                                                                 dgate_sum ? dgate_sum[place] : 0.0f, at, j, of_gate);
                }
            }
        }
}

#if !SSA_GPU
__kernel void attention_scores_tiles(OPERANDS, TENSOR(float, scores), PAIR_STRIDES(scores))
{
    PAIRS_MEMORY;
    BIND_OPERANDS;
    BIND(float, scores);
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED, key_rows[KEYS * WIDTH_MAX] ALIGNED;
    float products[KEYS * TILE] ALIGNED, logits[VW] ALIGNED;
    const int begin = (int)get_global_id(0) * TILE, h = (int)get_global_id(1), at = query_begin + begin;
    const int count = min(TILE, query_end - at);
    const ulong b = get_global_id(2);
    SET_PAIRS(b, h);
    const int real = plan[plan_stride * b + PLAN_LENGTH], there = min(at + count, real) - at;
    q += b * q_batch + begin * q_stride + h * q_head;
    k += b * k_batch + h / (heads / kv_heads) * k_head;
    scores += b * scores_batch + h * scores_head + begin * scores_query;
    for (int j = 0; j < keys; j++)
        for (int r = j < real ? max(there, 0) : 0; r < count; r++)
            scores[r * scores_query + j * scores_key] = 0.0f;
    if (there <= 0)
        return;
    pack_tile(queries, q, q_stride, there, scale * LOG2E, width);
    transpose_tile(queries_t, queries, there, 1.0f, width);
    for (int n = 0; n < min(keys, real); n += KEYS) {
        const int some = min(KEYS, min(keys, real) - n);
        pack_tile(key_rows, k + n * k_stride, k_stride, some, 1.0f, width);
        for (int r = 0; r < there; r += GROUP)
            product_scores(products + r, key_rows, queries_t + r, some, width);
        for (int j = 0; j < some; j++)
            for (int r = 0; r < there; r += VW) {
                vec_store(logits, pair_scores(&pairs, vec_load(products + j * TILE + r), at + r, there - r, n + j) *
                                      0.693147181f);
                for (int l = 0; l < min(VW, there - r); l++)
                    scores[(r + l) * scores_query + (n + j) * scores_key] = logits[l];
            }
    }
}

/* What each query of a tile has of its own. */
struct rows {
    float lse[TILE], delta[TILE], gate_sum[TILE];
};

/* pair_gradient() of VW queries and one key: those from row r of the tile, which are at `query` and after it. */
INLINE vec pairs_gradient(const struct pairs *p, struct draws *draws, const struct rows *of, int r, vec score,
                          vec product, int query, int left, int key, int of_gate)
{
    const vec probable = probability(pair_logits(p, draws, score, query, left, key), vec_load(of->lse + r));
    const vec gate = pair_gates(p, query, left, key), keep = pair_keeps(p, draws, query, key);
    if (of_gate)
        return (probable * keep * product + vec_load(of->gate_sum + r)) * gate * (1.0f - gate);
    return probable * gate * keep * product - probable * vec_load(of->delta + r);
}

INLINE void add_to_rows(__global float *to, ulong stride, vec x, int rows)
{
    float t[VW];
    if (stride == 1 && rows >= VW) {
        vec_store(to, vec_load(to) + x);
        return;
    }
    vec_store(t, x);
    for (int r = 0; r < min(rows, VW); r++)
        to[r * stride] += t[r];
}

__kernel void attention_pairs_bwd_tiles(OPERANDS, GRADIENT_OF_PAIRS)
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
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED;
    float grads[TILE * WIDTH_MAX] ALIGNED, grads_t[TILE * WIDTH_MAX] ALIGNED;
    float key_rows[KEYS * WIDTH_MAX] ALIGNED, value_rows[KEYS * WIDTH_MAX] ALIGNED;
    float scores[KEYS * TILE] ALIGNED, products[KEYS * TILE] ALIGNED;
    struct rows of;
    struct draws draws[TILE / VW];
    const int count = query_end - query_begin, i_begin = (int)(get_global_id(0) / lanes) * TILE;
    const int i_end = min(i_begin + TILE, count), at = query_begin + i_begin;
    const int lane = (int)(get_global_id(0) % lanes), key_begin = (int)((long)keys * lane / lanes);
    const int key_end = (int)((long)keys * (lane + 1) / lanes);
    const int b_begin = to_batch ? (int)get_global_id(2) : 0;
    const int h_begin = to_head ? (int)get_global_id(1) : 0, h_end = to_head ? h_begin + 1 : heads;
    to += b_begin * to_batch + h_begin * to_head + i_begin * to_query;

    for (int j = key_begin; j < key_end; j++)
        for (int i = 0; i < i_end - i_begin; i++)
            to[i * to_query + j * to_key] = 0.0f;
    for (int b = b_begin; b < batch; b += to_repeat)
        for (int h = h_begin; h < h_end; h++) {
            __global const int *p = plan + plan_stride * b, *own = p + p[PLAN_OWN_AT] + at;
            const int g = h / (heads / kv_heads), real = p[PLAN_LENGTH];
            const int there = min(i_end, real - query_begin) - i_begin;
            __global const float *q_rows = q + (b * q_batch + i_begin * q_stride + h * q_head);
            __global const float *out_rows = out + (b * out_batch + i_begin * out_stride + h * out_head);
            __global const float *dout_rows = dout + (b * dout_batch + i_begin * dout_stride + h * dout_head);
            __global const float *k_rows = k + (b * k_batch + g * k_head), *v_rows = v + (b * v_batch + g * v_head);
            const ulong place = ((ulong)b * heads + h) * count + i_begin;
            const struct seen s = see(p, at);
            /* What comes next is fetched meanwhile: of the next example, or the next head, a row with each key. */
            const int last = h + 1 == h_end, more = !last || b + to_repeat < batch;
            const int b_next = more && last ? b + to_repeat : b, h_next = last ? (more ? h_begin : h) : h + 1;
            const struct seen next = see(plan + plan_stride * b_next, at);
            int ahead = more ? 0 : TILE;
            SET_PAIRS((ulong)b, h);
            if (there <= 0)
                continue;
            for (int r = 0; r < TILE / VW; r++)
                draws[r].quad = -1;
            pack_tile(queries, q_rows, q_stride, there, scale * LOG2E, width);
            pack_tile(grads, dout_rows, dout_stride, there, 1.0f, value_width);
            transpose_tile(queries_t, queries, there, 1.0f, width);
            transpose_tile(grads_t, grads, there, 1.0f, value_width);
            for (int r = 0; r < TILE; r++) {
                of.lse[r] = r < there ? lse[place + r] : 0.0f;
                of.gate_sum[r] = r < there && dgate_sum ? dgate_sum[place + r] : 0.0f;
            }
            for (int r = 0; r < TILE; r += VW)
                vec_store(of.delta + r, dot_rows(out_rows + r * out_stride, out_stride, grads + r * VALUE_PITCH,
                                                 there - r, value_width));
            for (int j = key_begin; dscores && !of_gate && j < min(key_end, real); j++)
                for (int r = 0; r < there; r++)
                    to[r * to_query + j * to_key] += dscores[b * dscores_batch + h * dscores_head +
                                                             (i_begin + r) * dscores_query + j * dscores_key];
            for (int run = 0; run < 2; run++) {
                __global const int *source = s.source + (run ? s.from : s.common_from);
                const int all = run ? s.count : s.common;
                const int end = lanes > 1 ? visible(source, all, key_end - 1) : all;
                for (int n = lanes > 1 ? visible(source, all, key_begin - 1) : 0; n < end; n += KEYS) {
                    const int some = min(KEYS, end - n);
                    pack_keys(key_rows, k_rows, k_stride, source + n, some, width);
                    pack_keys(value_rows, v_rows, v_stride, source + n, some, value_width);
                    for (int r = 0; r < there; r += GROUP) {
                        product_scores(scores + r, key_rows, queries_t + r, some, width);
                        product_scores(products + r, value_rows, grads_t + r, some, value_width);
                    }
                    for (int j = 0; j < some; j++, ahead++) {
                        const int key = source[n + j];
                        if (n + KEYS + j < end)
                            prefetch_pair(k_rows, k_stride, width, v_rows, v_stride, value_width, source[n + KEYS + j]);
                        if (ahead < i_end - i_begin) {
                            const ulong row = i_begin + ahead, e = b_next, f = h_next;
                            prefetch_row(q + (e * q_batch + row * q_stride + f * q_head), width);
                            prefetch_row(out + (e * out_batch + row * out_stride + f * out_head), value_width);
                            prefetch_row(dout + (e * dout_batch + row * dout_stride + f * dout_head), value_width);
                        }
                        if (ahead < min(next.count, KEYS))
                            prefetch_pair(k + (b_next * k_batch + g * k_head), k_stride, width,
                                          v + (b_next * v_batch + g * v_head), v_stride, value_width,
                                          next.source[next.from + ahead]);
                        for (int r = 0; r < there; r += VW) {
                            vec x = pairs_gradient(&pairs, &draws[r / VW], &of, r, vec_load(scores + j * TILE + r),
                                                   vec_load(products + j * TILE + r), at + r, there - r, key, of_gate);
                            if (causal)
                                x = vec_select(vec_set((float)(key - at - r)) > vec_iota(), vec_set(0.0f), x);
                            add_to_rows(to + (r * to_query + key * to_key), to_query, x, there - r);
                        }
                    }
                }
            }
            for (int r = 0; r < there; r += VW) {
                float score[VW], product[VW];
                int any = 0;
                for (int i = r; i < min(r + VW, there); i++)
                    any |= own[i] && at + i >= key_begin && at + i < key_end;
                if (!any)
                    continue;
                vec_store(score, dot_rows(k_rows + (at + r) * k_stride, k_stride, queries + r * PITCH, there - r,
                                          width));
                vec_store(product, dot_rows(v_rows + (at + r) * v_stride, v_stride, grads + r * VALUE_PITCH, there - r,
                                            value_width));
                for (int i = r; i < min(r + VW, there); i++)
                    if (own[i] && at + i >= key_begin && at + i < key_end)
                        to[i * to_query + (at + i) * to_key] +=
                            pair_gradient(&pairs, score[i - r], product[i - r], of.lse[i], of.delta[i], of.gate_sum[i],
                                          at + i, at + i, of_gate);
            }
        }
}
#endif

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

#if !SSA_GPU
/* slopes[key][query] of a block of keys and the tile's first `there` queries: scale dscore, 0 where q.k was clipped, and
 * for what is past them. */
INLINE void slopes_of_scores(const struct pairs *p, float *slopes, const float *products, __global const float *dscores,
                             ulong by_query, ulong by_key, int some, int there, float scale)
{
    float d[VW] ALIGNED;
    for (int j = 0; j < some; j++)
        for (int r = 0; r < (there + GROUP - 1) / GROUP * GROUP; r += VW) {
            for (int l = 0; l < VW; l++)
                d[l] = r + l < there ? scale * dscores[(r + l) * by_query + j * by_key] : 0.0f;
            vec x = vec_load(d);
            if (p->clip < INFINITY) {
                const vec product = vec_load(products + j * TILE + r);
                x = vec_select(vec_max(product, -product) > vec_set(p->clip), vec_set(0.0f), x);
            }
            vec_store(slopes + j * TILE + r, x);
        }
}

__kernel void attention_scores_bwd_tiles(OPERANDS, TENSOR(const float, dscores), PAIR_STRIDES(dscores),
                                         TENSOR(float, dq), STRIDES(dq), TENSOR(float, dk), STRIDES(dk))
{
    PAIRS_MEMORY;
    BIND_OPERANDS;
    BIND(const float, dscores);
    BIND(float, dq);
    BIND(float, dk);
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED, dqueries[TILE * WIDTH_MAX] ALIGNED;
    float key_rows[KEYS * WIDTH_MAX] ALIGNED, rows[ROWS * WIDTH_MAX] ALIGNED;
    float products[KEYS * TILE] ALIGNED, slopes[KEYS * TILE] ALIGNED;
    const int g = (int)get_global_id(0), group = heads / kv_heads;
    const ulong b = get_global_id(1);
    const int real = plan[plan_stride * b + PLAN_LENGTH], all = min(keys, real);
    const int queries_there = min(query_end, real) - query_begin, tiles = (max(queries_there, 0) + TILE - 1) / TILE;
    k += b * k_batch + g * k_head;
    dk += b * dk_batch + g * dk_head;
    for (int i = 0; i < tiles * group; i++) {
        const int h = g * group + i % group, begin = i / group * TILE, there = min(TILE, queries_there - begin);
        __global const float *d = dscores + (b * dscores_batch + h * dscores_head + begin * dscores_query);
        __global float *dq_rows = dq + (b * dq_batch + begin * dq_stride + h * dq_head);
        SET_PAIRS(b, h);
        pack_tile(queries, q + (b * q_batch + begin * q_stride + h * q_head), q_stride, there, 1.0f, width);
        transpose_tile(queries_t, queries, there, scale * LOG2E, width);
        for (int n = 0; n < all; n += KEYS) {
            const int some = min(KEYS, all - n);
            pack_tile(key_rows, k + n * k_stride, k_stride, some, 1.0f, width);
            for (int r = 0; r < there && pairs.clip < INFINITY; r += GROUP)
                product_scores(products + r, key_rows, queries_t + r, some, width);
            slopes_of_scores(&pairs, slopes, products, d + n * dscores_key, dscores_query, dscores_key, some, there,
                             scale);
            for (int j = 0; j < some; j += ROWS) {
                product_rows(rows, slopes + j * TILE, TILE, 1, queries, all_steps(there), REPLACE, rows, width);
                for (int r = 0; r < ROWS && j + r < some; r++)
                    add_row(dk + (n + j + r) * dk_stride, rows + r * PITCH, 1.0f, width);
            }
            for (int r = 0; r < there; r += ROWS)
                product_rows(dqueries + r * PITCH, slopes + r, 1, TILE, key_rows, all_steps(some), n ? ADD : REPLACE,
                             rows, width);
        }
        for (int r = 0; r < there && all > 0; r++)
            add_row(dq_rows + r * dq_stride, dqueries + r * PITCH, 1.0f, width);
    }
}
#endif

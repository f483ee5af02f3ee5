/* Attention over a plan, forward, GPU shape: out = softmax(scale q k^T) v over the keys that the plan gives a query.
 *
 * Shapes  q, out [B,T,H,D or E], k, v [B,N,kv_heads,D or E], strides of each; lse, gate_sum [B,H,T]; plan: cl/plan.h.
 * Grid    work-group (tile, head, example): ROWS queries of one query block.
 * Macros  D, EXACT, SIDE, EACH, DEPTH, CHUNK: see attention_gpu.h; PAIRS: attention.h.
 *
 * Per tile of keys: scores in registers, row maxima through local memory, probabilities to local memory as values are
 * staged and summed up. Sums of exponentials stay apart by work-item and are added once, at the end.
 */
#define KEEP_ITEM /* where it is asked for again and again, sm_80 spills at D 128 */
#include "attention_gpu.h"

__kernel GROUP_OF(ITEMS, 1) void attention_fwd_gpu(
    OPERANDS, TENSOR(float, out), STRIDES(out), TENSOR(float, gate_sum), const int block, const int block_tiles)
{
    BIND_OPERANDS;
    BIND(float, out);
#if PAIRS
    BIND(float, gate_sum);
    PAIRS_MEMORY;
#endif
    TILE_MEMORY;
    const int h = (int)get_group_id(1), g = h / (heads / kv_heads);
    const size_t b = get_group_id(2);
    plan += b * plan_stride;
    const struct query_tile t = query_tile(plan, block, block_tiles, query_begin, query_end);
    int first = t.q0 + EACH * Y;
    q += b * q_batch + h * q_head;
    k += b * k_batch + g * k_head;
    v += b * v_batch + g * v_head;
    lse += (b * heads + h) * (query_end - query_begin);
    struct walk w = walk_of(plan, t, causal);
    list_queries(item, queries, t, query_begin);
    const uint own = own_rows(plan + plan[PLAN_OWN_AT], first, t.real);
#if PAIRS
    SET_PAIRS(b, h);
#endif
    columns sum[EACH][VECS];
    float4 top[HALF], total[HALF];
    UNROLL
    for (int i = 0; i < EACH; i++)
        UNROLL
        for (int c = 0; c < VECS; c++)
            sum[i][c] = own >> i & 1 ? load_columns(item, v + AT(first + i, v_stride), c, VALUE_WIDTH)
                                     : (columns)(0.0f);
    own_dot(item, top, q, q_stride, query_begin, k, k_stride, WIDTH, first, own, pool);
    UNROLL
    for (int i = 0; i < HALF; i++) {
        top[i] = OWN4(own, i) ? scale * LOG2E * top[i] : (float4)(-INFINITY);
        total[i] = OWN4(own, i) && X == 0 ? (float4)(1.0f) : (float4)(0.0f);
    }
#if PAIRS
    float4 gates[HALF], weights[HALF];
    weights_of_own(top, gates, weights, &pairs, first, own);
    UNROLL
    for (int i = 0; i < HALF; i++) {
        const float all[4] = {weights[i].x, weights[i].y, weights[i].z, weights[i].w};
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
            for (int c = 0; c < VECS; c++)
                sum[4 * i + j][c] *= all[j];
        total[i] = top[i] == -INFINITY ? (float4)(0.0f) : total[i];
        gates[i] = X == 0 ? gates[i] : (float4)(0.0f);
    }
#endif

    for (int n; (n = next_keys(item, &w, keys)) > 0;) {
        float4 s[4][HALF], next[HALF];
        ROWS_ANEW;
        scores(item, s, q, q_stride, queries, scale * LOG2E, k, k_stride, keys, width, pool);
#if PAIRS
        logits_of(item, s, &pairs, keys, first, t.real);
#endif
        mask_keys(item, s, NULL, keys, first, causal);
        UNROLL
        for (int i = 0; i < HALF; i++)
            next[i] = vec_max(vec_max(s[0][i], s[1][i]), vec_max(s[2][i], s[3][i]));
        reduce_rows(item, next, 0, pool);
        UNROLL
        for (int i = 0; i < HALF; i++) {
            next[i] = vec_max(next[i], top[i]);
            const float4 base = next[i] == -INFINITY ? (float4)(0.0f) : next[i]; /* nothing yet: exp2(-inf - 0) = 0 */
            const float4 shrink = EXP2(top[i] - base);
            top[i] = next[i];
            total[i] *= shrink;
            UNROLL
            for (int c = 0; c < 4; c++) {
                s[c][i] = EXP2(s[c][i] - base);
                total[i] += s[c][i];
            }
            UNROLL
            for (int c = 0; c < VECS; c++) {
                sum[4 * i][c] *= shrink.x;
                sum[4 * i + 1][c] *= shrink.y;
                sum[4 * i + 2][c] *= shrink.z;
                sum[4 * i + 3][c] *= shrink.w;
            }
        }
#if PAIRS
        weights_of(item, s, gates, &pairs, keys, first, t.real, causal);
#endif
        gather(item, sum, s, v, v_stride, VALUE_WIDTH, keys, n, causal && w.latest > first - EACH * Y, pool);
    }

    ROWS_ANEW;
    reduce_rows(item, total, 1, pool);
#if PAIRS
    reduce_rows(item, gates, 1, pool);
    if (gate_sum)
        gate_sum += (b * heads + h) * (query_end - query_begin);
#endif
    out += b * out_batch + h * out_head; /* not before: it would stay in registers */
    const int at = first - query_begin;
    UNROLL
    for (int i = 0; i < HALF; i++) {
        const int4 row = first + 4 * i + (int4)(0, 1, 2, 3);
        const int4 answers = row < t.real && total[i] > 0.0f; /* neither padding, whose sums may be NaN, nor blind */
        const float4 share = answers ? 1.0f / total[i] : (float4)(0.0f);
        const float4 log_sum = answers ? top[i] + log2(total[i]) : (float4)(-INFINITY);
        const float shares[4] = {share.x, share.y, share.z, share.w};
        const float log_sums[4] = {log_sum.x, log_sum.y, log_sum.z, log_sum.w};
        UNROLL
        for (int j = 0; j < 4; j++)
            if (first + 4 * i + j < t.stop) {
                UNROLL
                for (int c = 0; c < VECS; c++)
                    store_columns(item, out + AT(at + 4 * i + j, out_stride), c, VALUE_WIDTH,
                                  first + 4 * i + j < t.real ? sum[4 * i + j][c] * shares[j] : (columns)(0.0f));
                if (X == 0)
                    lse[at + 4 * i + j] = log_sums[j];
            }
#if PAIRS
        const float sums[4] = {gates[i].x, gates[i].y, gates[i].z, gates[i].w};
        UNROLL
        for (int j = 0; j < 4; j++)
            if (gate_sum && X == 0 && first + 4 * i + j < t.stop)
                gate_sum[at + 4 * i + j] = sums[j];
#endif
    }
}

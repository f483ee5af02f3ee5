/* Attention over a plan, forward, GPU shape: out = softmax(scale q k^T) v over the keys that the plan gives a query.
 *
 * Shapes  q, out [B,N,H,D], k, v [B,N,kv_heads,D], strides between positions; lse [B,H,N], base 2; plan: cl/plan.h.
 * Grid    work-group (tile, head, example): TILE queries of one query block. Tiles of later queries come first, since
 *         with causality they are the long ones.
 * Macros  D, TILE: see attention_gpu.h.
 *
 * Per tile of keys: scores in registers, row maxima through local memory, probabilities to local memory, values
 * staged and summed up. Sums of exponentials stay apart by work-item and are added once, at the end.
 */
#include "attention_gpu.h"

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void attention_fwd_gpu(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const int, plan),
    TENSOR(float, out), TENSOR(float, lse), const ulong plan_stride, const int length, const int block,
    const int block_tiles, const int heads, const int kv_heads, const int q_stride, const int k_stride,
    const int v_stride, const int out_stride, const int causal, const float scale)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(const int, plan);
    BIND(float, out);
    BIND(float, lse);
    __local float4 stage[STAGE_FLOATS / 4], values[VALUE_FLOATS / 4];
    __local int4 keys4[SIDE], queries4[SIDE]; /* positions, -1 where there is none */
    __local int *const keys = (__local int *)keys4, *const queries = (__local int *)queries4;

    const int tile = (int)(get_num_groups(0) - 1 - get_group_id(0)), h = (int)get_group_id(1);
    const size_t b = get_group_id(2);
    const int g = h / (heads / kv_heads), this_block = tile / block_tiles;
    const int q0 = this_block * block + tile % block_tiles * TILE;
    const int stop = min((this_block + 1) * block, length);
    plan += b * plan_stride;
    q += b * length * q_stride + h * D;
    k += b * length * k_stride + g * D;
    v += b * length * v_stride + g * D;
    out += b * length * out_stride + h * D;
    lse += (b * heads + h) * length;

    const int real = min(plan[PLAN_LENGTH], stop), first = q0 + 4 * Y;
    __global const int *own_key = plan + plan[PLAN_OWN_AT];
    struct walk w = walk_begin(plan, this_block, causal ? min(real, q0 + TILE) - 1 : EVERYWHERE);
    if (q0 >= real)
        w.slice = w.first = w.end; /* padding sees nothing */
    if (ITEM < TILE)
        queries[ITEM] = q0 + ITEM < real ? q0 + ITEM : -1;

    int own[4];
    columns sum[4][COLUMNS];
    float4 top, total = (float4)(0.0f);
    UNROLL
    for (int i = 0; i < 4; i++) {
        own[i] = first + i < real && own_key[first + i];
        UNROLL
        for (int c = 0; c < COLUMNS; c++)
            sum[i][c] = own[i] ? load_columns(v + (size_t)(first + i) * v_stride, c) : (columns)(0.0f);
    }
    const int4 owns = (int4)(own[0], own[1], own[2], own[3]);
    top = scale * LOG2_E * own_dot(q, q_stride, k, k_stride, first, owns, values);
    top = owns != 0 ? top : (float4)(-INFINITY);
    if (X == 0)
        total = owns != 0 ? (float4)(1.0f) : (float4)(0.0f);

    for (int n; (n = next_keys(&w, keys)) > 0;) {
        float4 s[4];
        scores(s, q, q_stride, queries, scale * LOG2_E, k, k_stride, keys, stage);
        mask_keys(s, keys4[X], first, causal);
        float most[4];
        UNROLL
        for (int i = 0; i < 4; i++) {
            float2 m = vec_max(s[i].lo, s[i].hi);
            most[i] = vec_max(m.x, m.y);
        }
        float4 next = row_max(vec_max((float4)(most[0], most[1], most[2], most[3]), top), values);
        float4 base = next == -INFINITY ? (float4)(0.0f) : next; /* nothing seen yet: exp2(-inf - 0) = 0 */
        float4 shrink = exp2(top - base);
        s[0] = exp2(s[0] - base.x);
        s[1] = exp2(s[1] - base.y);
        s[2] = exp2(s[2] - base.z);
        s[3] = exp2(s[3] - base.w);
        total = total * shrink + (float4)(vec_sum(s[0]), vec_sum(s[1]), vec_sum(s[2]), vec_sum(s[3]));
        UNROLL
        for (int c = 0; c < COLUMNS; c++) {
            sum[0][c] *= shrink.x;
            sum[1][c] *= shrink.y;
            sum[2][c] *= shrink.z;
            sum[3][c] *= shrink.w;
        }
        top = next;
        write_weights(stage, s);
        gather(sum, stage, v, v_stride, keys, n, values);
    }

    total = row_sum(total, values);
    const int4 answers = first + (int4)(0, 1, 2, 3) < real && total > 0.0f; /* neither padding nor blind */
    const float4 share = answers ? 1.0f / total : (float4)(0.0f);
    const float4 log_sum = answers ? top + log2(total) : (float4)(-INFINITY);
    const float shares[4] = {share.x, share.y, share.z, share.w};
    const float log_sums[4] = {log_sum.x, log_sum.y, log_sum.z, log_sum.w};
    UNROLL
    for (int i = 0; i < 4; i++) {
        if (first + i >= stop)
            break;
        UNROLL
        for (int c = 0; c < COLUMNS; c++)
            store_columns(out + (size_t)(first + i) * out_stride, c, sum[i][c] * shares[i]);
        if (X == 0)
            lse[first + i] = log_sums[i];
    }
}

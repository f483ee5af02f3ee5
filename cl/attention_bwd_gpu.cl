/* Gradients of attention over a plan, GPU shape, without atomics: every row of dq, dk, dv has one owner at a time.
 *   P = exp2(scale log2(e) q.k - lse);  delta = dout.out;  dS = P o (dout v^T - delta)
 *   dq = scale dS k;  dk = scale dS^T q;  dv = P^T dout
 *
 * Shapes  as forward; delta [B,H,N] is scratch.
 * Grid    attention_bwd_prepare  8 work-items a row (example, position, kv head) of dk and dv: delta, and what a
 *                                query's own key gets from it (zero where it has none: so unseen rows become zero)
 *         attention_bwd_queries  work-group (tile, head, example): TILE queries of one query block -> dq
 *         attention_bwd_sources  work-group (tile, kv head, example): TILE sources of one slice. The query blocks
 *                                that see a slice lie side by side, since ranges never step back; adds to dk, dv
 * Macros  D, TILE: see attention_gpu.h.
 */
#include "attention_gpu.h"

#define PREPARE_ITEMS 64

__kernel __attribute__((reqd_work_group_size(PREPARE_ITEMS, 1, 1))) void attention_bwd_prepare(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const float, out),
    TENSOR(const float, lse), TENSOR(const float, dout), TENSOR(const int, plan), TENSOR(float, delta),
    TENSOR(float, dk), TENSOR(float, dv), const ulong plan_stride, const int length, const int heads,
    const int kv_heads, const int q_stride, const int k_stride, const int v_stride, const int out_stride,
    const int dk_stride, const int dv_stride, const float scale)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(const float, out);
    BIND(const float, lse);
    BIND(const float, dout);
    BIND(const int, plan);
    BIND(float, delta);
    BIND(float, dk);
    BIND(float, dv);
    __local float parts[3][PREPARE_ITEMS];

    const int i = (int)(get_global_id(0) / 8), lane = ITEM % 8, g = (int)get_group_id(1), group = heads / kv_heads;
    const size_t b = get_group_id(2), row = b * length + i;
    plan += b * plan_stride;
    const int real = i < min(plan[PLAN_LENGTH], length), own = real && plan[plan[PLAN_OWN_AT] + i];
    float dk_sum[D / 8], dv_sum[D / 8];
    UNROLL
    for (int c = 0; c < D / 8; c++)
        dk_sum[c] = dv_sum[c] = 0.0f;
    for (int h = g * group; h < (g + 1) * group; h++) {
        float sums[3] = {0.0f, 0.0f, 0.0f};
        for (int d = lane; real && d < D; d += 8) {
            float dout_d = dout[row * out_stride + h * D + d];
            sums[0] += dout_d * out[row * out_stride + h * D + d];
            if (own) {
                sums[1] += q[row * q_stride + h * D + d] * k[row * k_stride + g * D + d];
                sums[2] += dout_d * v[row * v_stride + g * D + d];
            }
        }
        SYNC;
        for (int s = 0; s < 3; s++)
            parts[s][ITEM] = sums[s];
        SYNC;
        for (int s = 0; s < 3; s++) {
            sums[s] = 0.0f;
            for (int l = 0; l < 8; l++)
                sums[s] += parts[s][ITEM - lane + l];
        }
        if (lane == 0 && i < length)
            delta[(b * heads + h) * length + i] = sums[0];
        if (own) {
            float p = exp2(scale * LOG2_E * sums[1] - lse[(b * heads + h) * length + i]);
            float ds = scale * p * (sums[2] - sums[0]);
            UNROLL
            for (int c = 0; c < D / 8; c++) {
                dk_sum[c] += ds * q[row * q_stride + h * D + lane + 8 * c];
                dv_sum[c] += p * dout[row * out_stride + h * D + lane + 8 * c];
            }
        }
    }
    UNROLL
    for (int c = 0; c < D / 8 && i < length; c++) {
        dk[row * dk_stride + g * D + lane + 8 * c] = dk_sum[c];
        dv[row * dv_stride + g * D + lane + 8 * c] = dv_sum[c];
    }
}

/* s = P, dp = dS for one row or column of four. Absent queries have lse = inf, so P = 0. */
inline void soften(float4 *s, float4 *dp, float4 lse, float4 delta)
{
    *s = exp2(*s - lse);
    *dp = *s * (*dp - delta);
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void attention_bwd_queries(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const float, lse),
    TENSOR(const float, dout), TENSOR(const float, delta), TENSOR(const int, plan), TENSOR(float, dq),
    const ulong plan_stride, const int length, const int block, const int block_tiles, const int heads,
    const int kv_heads, const int q_stride, const int k_stride, const int v_stride, const int out_stride,
    const int dq_stride, const int causal, const float scale)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(const float, lse);
    BIND(const float, dout);
    BIND(const float, delta);
    BIND(const int, plan);
    BIND(float, dq);
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
    dout += b * length * out_stride + h * D;
    dq += b * length * dq_stride + h * D;
    lse += (b * heads + h) * length;
    delta += (b * heads + h) * length;

    const int real = min(plan[PLAN_LENGTH], stop), first = q0 + 4 * Y;
    __global const int *own_key = plan + plan[PLAN_OWN_AT];
    struct walk w = walk_begin(plan, this_block, causal ? min(real, q0 + TILE) - 1 : EVERYWHERE);
    if (q0 >= real)
        w.slice = w.first = w.end; /* padding sees nothing */
    if (ITEM < TILE)
        queries[ITEM] = q0 + ITEM < real ? q0 + ITEM : -1;

    int own[4];
    float lses[4], deltas[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        own[i] = first + i < real && own_key[first + i];
        lses[i] = first + i < real ? lse[first + i] : INFINITY;
        lses[i] = lses[i] == -INFINITY ? INFINITY : lses[i]; /* sees nothing: P = 0 */
        deltas[i] = first + i < real ? delta[first + i] : 0.0f;
    }
    const int4 owns = (int4)(own[0], own[1], own[2], own[3]);
    float4 s_own = scale * LOG2_E * own_dot(q, q_stride, k, k_stride, first, owns, values);
    float4 ds_own = own_dot(dout, out_stride, v, v_stride, first, owns, values);
    soften(&s_own, &ds_own, (float4)(lses[0], lses[1], lses[2], lses[3]),
           (float4)(deltas[0], deltas[1], deltas[2], deltas[3]));
    const float ds_owns[4] = {ds_own.x, ds_own.y, ds_own.z, ds_own.w};
    columns sum[4][COLUMNS];
    UNROLL
    for (int i = 0; i < 4; i++)
        UNROLL
        for (int c = 0; c < COLUMNS; c++)
            sum[i][c] = own[i] ? ds_owns[i] * load_columns(k + (size_t)(first + i) * k_stride, c) : (columns)(0.0f);

    for (int n; (n = next_keys(&w, keys)) > 0;) {
        float4 s[4], dp[4];
        scores(s, q, q_stride, queries, scale * LOG2_E, k, k_stride, keys, stage);
        mask_keys(s, keys4[X], first, causal);
        scores(dp, dout, out_stride, queries, 1.0f, v, v_stride, keys, stage);
        UNROLL
        for (int i = 0; i < 4; i++)
            soften(&s[i], &dp[i], (float4)(lses[i]), (float4)(deltas[i]));
        SYNC;
        write_weights(stage, dp);
        gather(sum, stage, k, k_stride, keys, n, values);
    }

    UNROLL
    for (int i = 0; i < 4; i++) {
        if (first + i >= stop)
            break;
        UNROLL
        for (int c = 0; c < COLUMNS; c++)
            store_columns(dq + (size_t)(first + i) * dq_stride, c, scale * sum[i][c]);
    }
}

/* The first block whose range[side] exceeds `slice`: ranges never step back. */
inline int first_block_past(__global const int *range, int side, int blocks, int slice)
{
    int low = 0, high = blocks;
    while (low < high) {
        int middle = (low + high) / 2;
        if (range[2 * middle + side] > slice)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void attention_bwd_sources(
    TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(const float, lse),
    TENSOR(const float, dout), TENSOR(const float, delta), TENSOR(const int, plan), TENSOR(float, dk),
    TENSOR(float, dv), const ulong plan_stride, const int length, const int slice_tiles, const int heads,
    const int kv_heads, const int q_stride, const int k_stride, const int v_stride, const int out_stride,
    const int dk_stride, const int dv_stride, const int causal, const float scale)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(const float, lse);
    BIND(const float, dout);
    BIND(const float, delta);
    BIND(const int, plan);
    BIND(float, dk);
    BIND(float, dv);
    __local float4 stage[STAGE_FLOATS / 4], values[VALUE_FLOATS / 4];
    __local int4 keys4[SIDE], queries4[SIDE]; /* positions, -1 where there is none */
    __local int *const keys = (__local int *)keys4, *const queries = (__local int *)queries4;
    __local float4 lses[SIDE], deltas[SIDE];

    const int slice = (int)get_group_id(0) / slice_tiles, g = (int)get_group_id(1), group = heads / kv_heads;
    const size_t b = get_group_id(2);
    plan += b * plan_stride;
    __global const int *start = plan + plan[PLAN_SLICE_AT] + min(slice, plan[PLAN_SLICES] - 1);
    const int at = start[0] + (int)get_group_id(0) % slice_tiles * TILE;
    const int count = slice < plan[PLAN_SLICES] ? min(TILE, start[1] - at) : 0;
    __global const int *source = plan + plan[PLAN_SOURCE_AT] + at, *range = plan + plan[PLAN_RANGE_AT];
    int q0 = 0, stop = min(plan[PLAN_LENGTH], length);
    if (!plan[PLAN_COMMON] || slice > 0) {
        q0 = first_block_past(range, 1, plan[PLAN_BLOCKS], slice) * plan[PLAN_BLOCK];
        stop = min(stop, first_block_past(range, 0, plan[PLAN_BLOCKS], slice) * plan[PLAN_BLOCK]);
    }
    if (count <= 0)
        stop = 0; /* past the end of a slice shorter than others: no early return, some compilers mind barriers after */
    else if (causal)
        q0 = max(q0, source[0]); /* the earliest of the tile's sources */
    q += b * length * q_stride;
    k += b * length * k_stride + g * D;
    v += b * length * v_stride + g * D;
    dout += b * length * out_stride;
    dk += b * length * dk_stride + g * D;
    dv += b * length * dv_stride + g * D;

    if (ITEM < TILE)
        keys[ITEM] = ITEM < count ? source[ITEM] : -1;
    columns dk_sum[4][COLUMNS], dv_sum[4][COLUMNS];
    UNROLL
    for (int i = 0; i < 4; i++)
        UNROLL
        for (int c = 0; c < COLUMNS; c++)
            dk_sum[i][c] = dv_sum[i][c] = (columns)(0.0f);

    for (int h = g * group; h < (g + 1) * group; h++)
        for (int t0 = q0; t0 < stop; t0 += TILE) {
            const size_t rows = (b * heads + h) * length;
            if (ITEM < TILE) {
                const int t = t0 + ITEM;
                const float l = t < stop ? lse[rows + t] : INFINITY;
                queries[ITEM] = t < stop ? t : -1;
                ((__local float *)lses)[ITEM] = l == -INFINITY ? INFINITY : l; /* sees nothing: P = 0 */
                ((__local float *)deltas)[ITEM] = t < stop ? delta[rows + t] : 0.0f;
            }
            float4 s[4], dp[4];
            scores(s, k, k_stride, keys, scale * LOG2_E, q + h * D, q_stride, queries, stage);
            scores(dp, v, v_stride, keys, 1.0f, dout + h * D, out_stride, queries, stage);
            UNROLL
            for (int i = 0; i < 4; i++) {
                const int4 query = t0 + 4 * X + (int4)(0, 1, 2, 3);
                if (causal)
                    s[i] = query >= keys[4 * Y + i] ? s[i] : (float4)(-INFINITY);
                soften(&s[i], &dp[i], lses[X], deltas[X]);
            }
            SYNC;
            write_weights(stage, s);
            gather(dv_sum, stage, dout + h * D, out_stride, queries, min(TILE, stop - t0), values);
            SYNC;
            write_weights(stage, dp);
            gather(dk_sum, stage, q + h * D, q_stride, queries, min(TILE, stop - t0), values);
        }

    UNROLL
    for (int i = 0; i < 4; i++) {
        const int row = 4 * Y + i < count ? source[4 * Y + i] : -1;
        if (row < 0)
            break;
        UNROLL
        for (int c = 0; c < COLUMNS; c++) {
            __global float *dk_row = dk + (size_t)row * dk_stride, *dv_row = dv + (size_t)row * dv_stride;
            store_columns(dk_row, c, load_columns(dk_row, c) + scale * dk_sum[i][c]);
            store_columns(dv_row, c, load_columns(dv_row, c) + dv_sum[i][c]);
        }
    }
}

/* Gradients of attention over a plan, GPU shape, without atomics: every row of dq, dk, dv has one owner at a time.
 *   P = exp2(scale log2(e) q.k - lse);  delta = dout.out;  dS = P o (dout v^T - delta)
 *   dq = scale dS k;  dk = scale dS^T q;  dv = P^T dout
 *
 * Shapes  as forward; delta [B,H,T] is scratch. With bias, gate, clip, dropout: ops.h.
 * Grid    attention_bwd_prepare  8 to 32 work-items a row (example, position, kv head) of dk and dv: delta, and what a
 *                                query's own key gets from it (zero where it has none: so unseen rows become zero)
 *         attention_bwd_queries  work-group (tile, head, example): ROWS queries of one query block -> dq
 *         attention_bwd_sources  work-group (tile, kv head, example): ROWS sources of one slice. The query blocks
 *                                that see a slice lie side by side where ranges never step back; else each run of
 *                                them has a launch, its `turn`: to go from one to the next within a launch takes
 *                                registers that there are not. Adds to dk, dv
 * Macros  D, EXACT, SIDE, EACH, DEPTH, CHUNK: see attention_gpu.h; PAIRS: attention.h.
 */
#include "attention_gpu.h"

#define LANES_OF_ROW PREPARE_LANES(D)
#define SHARE ((D + LANES_OF_ROW - 1) / LANES_OF_ROW)

__kernel GROUP_OF(PREPARE_ITEMS, 1) void attention_bwd_prepare(
    OPERANDS, TENSOR(const float, out), STRIDES(out), TENSOR(const float, dout), STRIDES(dout), TENSOR(float, delta),
    TENSOR(float, dk), STRIDES(dk), TENSOR(float, dv), STRIDES(dv), const int keys)
{
    BIND_OPERANDS;
    BIND(const float, out);
    BIND(const float, dout);
    BIND(float, delta);
    BIND(float, dk);
    BIND(float, dv);
    __local float parts[3][PREPARE_ITEMS];
#if PAIRS
    PAIRS_MEMORY;
#endif

    const int i = (int)(get_global_id(0) / LANES_OF_ROW); /* the position */
    int item = (int)get_local_id(0), lane = item % LANES_OF_ROW;
    const int g = (int)get_group_id(1), group = heads / kv_heads;
    const size_t b = get_group_id(2), row = max(i - query_begin, 0);
    plan += b * plan_stride;
    k += b * k_batch + i * k_stride + g * k_head;
    v += b * v_batch + i * v_stride + g * v_head;
    const int real = i >= query_begin && i < min(plan[PLAN_LENGTH], query_end), own = real && plan[plan[PLAN_OWN_AT] + i];
    float dk_sum[SHARE], dv_sum[SHARE];
    UNROLL
    for (int c = 0; c < SHARE; c++)
        dk_sum[c] = dv_sum[c] = 0.0f;
#if PAIRS
    SET_PAIRS(b, g * group);
#endif
    for (int h = g * group; h < (g + 1) * group; h++) {
        const size_t at = (b * heads + h) * (query_end - query_begin) + row;
        __global const float *q_row = q + (b * q_batch + row * q_stride + h * q_head);
        __global const float *dout_row = dout + (b * dout_batch + row * dout_stride + h * dout_head);
        __global const float *out_row = out + (b * out_batch + row * out_stride + h * out_head);
        float sums[3] = {0.0f, 0.0f, 0.0f};
        NUMBER_ANEW;
        lane = item % LANES_OF_ROW;
        for (int d = lane; real && d < D; d += LANES_OF_ROW) {
            const float dout_d = d < VALUE_WIDTH ? dout_row[d] : 0.0f;
            if (d < VALUE_WIDTH)
                sums[0] += dout_d * out_row[d];
            if (own && d < WIDTH)
                sums[1] += q_row[d] * k[d];
            if (own && d < VALUE_WIDTH)
                sums[2] += dout_d * v[d];
        }
        SYNC;
        for (int s = 0; s < 3; s++)
            parts[s][item] = sums[s];
        SYNC;
        for (int s = 0; s < 3; s++) {
            sums[s] = 0.0f;
            for (int l = 0; l < LANES_OF_ROW; l++)
                sums[s] += parts[s][item - lane + l];
        }
        if (lane == 0 && i >= query_begin && i < query_end)
            delta[at] = sums[0];
        if (own) {
#if PAIRS
            float p = scale * LOG2E * sums[1], ds = sums[2];
            slope_of(&p, &ds, &pairs, seen(lse[at]), sums[0], i, i);
            ds *= scale;
#else
            float p = EXP2(scale * LOG2E * sums[1] - lse[at]);
            float ds = scale * p * (sums[2] - sums[0]);
#endif
            UNROLL
            for (int c = 0; c < SHARE; c++) {
                const int d = lane + LANES_OF_ROW * c;
                if (d < WIDTH)
                    dk_sum[c] += ds * q_row[d];
                if (d < VALUE_WIDTH)
                    dv_sum[c] += p * dout_row[d];
            }
        }
#if PAIRS
        NEXT_HEAD;
#endif
    }
    dk += b * dk_batch + i * dk_stride + g * dk_head;
    dv += b * dv_batch + i * dv_stride + g * dv_head;
    UNROLL
    for (int c = 0; c < SHARE; c++) {
        const int d = lane + LANES_OF_ROW * c;
        if (i < keys && d < WIDTH)
            dk[d] = dk_sum[c];
        if (i < keys && d < VALUE_WIDTH)
            dv[d] = dv_sum[c];
    }
}

__kernel GROUP_OF(ITEMS, 1) void attention_bwd_queries(
    OPERANDS, TENSOR(const float, dout), STRIDES(dout), TENSOR(const float, delta), TENSOR(float, dq), STRIDES(dq),
    const int block, const int block_tiles)
{
    BIND_OPERANDS;
    BIND(const float, dout);
    BIND(const float, delta);
    BIND(float, dq);
    TILE_MEMORY;
    __local float4 lses4[ROWS / 4], deltas4[ROWS / 4];
    __local float *const lses = (__local float *)lses4, *const deltas = (__local float *)deltas4;
#if PAIRS
    PAIRS_MEMORY;
#else
    __local const float4 *const row_lses = lses4 + HALF * Y, *const row_deltas = deltas4 + HALF * Y;
#endif
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
    dout += b * dout_batch + h * dout_head;
    delta += (b * heads + h) * (query_end - query_begin);

    if (ITEM < ROWS) { /* read after barriers of what comes next */
        lses[ITEM] = t.q0 + ITEM < t.real ? seen(lse[t.q0 + ITEM - query_begin]) : INFINITY; /* P = 0 */
        deltas[ITEM] = t.q0 + ITEM < t.real ? delta[t.q0 + ITEM - query_begin] : 0.0f;
    }
    float4 own_s[HALF], own_dp[HALF];
    own_dot(item, own_s, q, q_stride, query_begin, k, k_stride, WIDTH, first, own, pool);
    own_dot(item, own_dp, dout, dout_stride, query_begin, v, v_stride, VALUE_WIDTH, first, own, pool);
#if PAIRS
    UNROLL
    for (int i = 0; i < HALF; i++)
        own_s[i] *= scale * LOG2E;
    slopes_of_own(own_s, own_dp, &pairs, lses + EACH * Y, deltas + EACH * Y, first, own);
#endif
    columns sum[EACH][VECS];
    UNROLL
    for (int i = 0; i < HALF; i++) {
#if PAIRS
        const float4 ds = own_dp[i];
#else
        const float4 ds = EXP2(scale * LOG2E * own_s[i] - row_lses[i]) * (own_dp[i] - row_deltas[i]);
#endif
        const float all[4] = {ds.x, ds.y, ds.z, ds.w};
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
            for (int c = 0; c < VECS; c++)
                sum[4 * i + j][c] = own >> (4 * i + j) & 1
                                        ? all[j] * load_columns(item, k + AT(first + 4 * i + j, k_stride), c, WIDTH)
                                        : (columns)(0.0f);
    }

    for (int n; (n = next_keys(item, &w, keys)) > 0;) {
        float4 s[4][HALF], ds[4][HALF];
        ROWS_ANEW;
        scores(item, s, q, q_stride, queries, scale * LOG2E, k, k_stride, keys, width, pool);
        scores(item, ds, dout, dout_stride, queries, 1.0f, v, v_stride, keys, value_width, pool);
        mask_keys(item, s, ds, keys, first, causal);
#if PAIRS
        slopes_of_queries(item, s, ds, &pairs, keys, lses + EACH * Y, deltas + EACH * Y, first, t.real);
#else
        UNROLL
        for (int c = 0; c < 4; c++)
            UNROLL
            for (int i = 0; i < HALF; i++)
                ds[c][i] = EXP2(s[c][i] - row_lses[i]) * (ds[c][i] - row_deltas[i]);
#endif
        gather(item, sum, ds, k, k_stride, WIDTH, keys, n, causal && w.latest > first - EACH * Y, pool);
    }

    ROWS_ANEW;
    dq += b * dq_batch + h * dq_head; /* not before: it would stay in registers */
    UNROLL
    for (int i = 0; i < EACH; i++)
        if (first + i < t.stop) {
            UNROLL
            for (int c = 0; c < VECS; c++) /* 0 for padding: its sum may be NaN, of keys times a probability of 0 */
                store_columns(item, dq + AT(first + i - query_begin, dq_stride), c, WIDTH,
                              first + i < t.real ? scale * sum[i][c] : (columns)(0.0f));
        }
}

/* The first block whose range[side] exceeds `slice`, where ranges never step back. */
GROUP_INLINE int first_block_past(__global const int *range, int side, int blocks, int slice)
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

/* Of queries [from, stop) the first whose block sees `slice`, or with `sees` 0 does not; else `stop`. */
GROUP_INLINE int next_query(__global const int *plan, int slice, int from, int stop, int sees)
{
    const int block = plan[PLAN_BLOCK], lack = plan[PLAN_LACK];
    __global const int *range = plan + plan[PLAN_RANGE_AT];
    int b = (from + lack) / block;
    while (from < stop && (range[2 * b] <= slice && slice < range[2 * b + 1]) != sees)
        from = ++b * block - lack;
    return min(from, stop);
}

/* dk and dv by one work-group, or by one each where registers do not hold both: a product of tiles in five is done
 * twice then. */
#if REGISTERS >= 256
#define SUMS 2
#define SLOPES ds
#else
#define SUMS 1
#define SLOPES s /* in the place of probabilities */
#endif

__kernel GROUP_OF(ITEMS, 1) void attention_bwd_sources(
    OPERANDS, TENSOR(const float, dout), STRIDES(dout), TENSOR(const float, delta), TENSOR(float, dk), STRIDES(dk),
    TENSOR(float, dv), STRIDES(dv), const int slice_tiles, const int turn)
{
    BIND_OPERANDS;
    BIND(const float, dout);
    BIND(const float, delta);
    BIND(float, dk);
    BIND(float, dv);
    TILE_MEMORY;
    __local float4 lses[SIDE], deltas[SIDE];
#if PAIRS
    PAIRS_MEMORY;
#endif

    const int slice = (int)get_group_id(0) / slice_tiles, group = heads / kv_heads;
    const int g = (int)get_group_id(1) * SUMS / 2;
    const int for_dv = SUMS == 2 || get_group_id(1) % 2 == 0, for_dk = SUMS == 2 || get_group_id(1) % 2;
    const size_t b = get_group_id(2);
    plan += b * plan_stride;
    __global const int *start = plan + plan[PLAN_SLICE_AT] + min(slice, plan[PLAN_SLICES] - 1);
    const int at = start[0] + (int)get_group_id(0) % slice_tiles * ROWS;
    const int count = slice < plan[PLAN_SLICES] ? min(ROWS, start[1] - at) : 0;
    __global const int *source = plan + plan[PLAN_SOURCE_AT] + at, *range = plan + plan[PLAN_RANGE_AT];
    int q0 = 0, stop = min(plan[PLAN_LENGTH], query_end);
    if (plan[PLAN_COMMON] && slice == 0) {
        stop = turn ? 0 : stop;
    } else if (plan[PLAN_CELLS]) {
        int until = 0;
        for (int t = 0; t <= turn; t++) {
            q0 = next_query(plan, slice, until, stop, 1);
            until = next_query(plan, slice, q0, stop, 0);
        }
        stop = until;
    } else {
        q0 = first_block_past(range, 1, plan[PLAN_BLOCKS], slice) * plan[PLAN_BLOCK];
        stop = min(stop, first_block_past(range, 0, plan[PLAN_BLOCKS], slice) * plan[PLAN_BLOCK]);
    }
    if (count <= 0)
        stop = 0; /* past the end of a slice shorter than others: no early return, some compilers mind barriers after */
    else if (causal)
        q0 = max(q0, source[0]); /* the earliest of the tile's sources */
    q0 = max(q0, query_begin);
    q += b * q_batch;
    k += b * k_batch + g * k_head;
    v += b * v_batch + g * v_head;
    dout += b * dout_batch;

#if !PAIRS
    const int all = causal ? 0 : EVERYWHERE;
#endif
    const int latest = causal && count > 0 ? source[count - 1] : 0;
    if (ITEM < ROWS)
        keys[ITEM] = ITEM < count ? source[ITEM] : -1;
    columns sum[SUMS][EACH][VECS]; /* of dv and dk, or of the one of them */
    UNROLL
    for (int n = 0; n < SUMS; n++)
        UNROLL
        for (int i = 0; i < EACH; i++)
            UNROLL
            for (int c = 0; c < VECS; c++)
                sum[n][i][c] = (columns)(0.0f);

#if PAIRS
    SET_PAIRS(b, g * group);
#endif
    for (int h = g * group; h < (g + 1) * group; h++) {
        for (int t0 = q0; t0 < stop; t0 += COLS) {
            const size_t rows = (b * heads + h) * (query_end - query_begin);
            SYNC; /* the last tile's lists are read to its end */
            if (ITEM < COLS) {
                const int t = t0 + ITEM;
                queries[ITEM] = t < stop ? t - query_begin : -1;
                ((__local float *)lses)[ITEM] = t < stop ? seen(lse[rows + t - query_begin]) : INFINITY; /* P = 0 */
                ((__local float *)deltas)[ITEM] = t < stop ? delta[rows + t - query_begin] : 0.0f;
            }
            float4 s[4][HALF], ds[4][HALF];
            SOURCES_ANEW;
            scores(item, s, k, k_stride, keys, scale * LOG2E, q + h * q_head, q_stride, queries, width, pool);
            if (for_dk)
                scores(item, ds, v, v_stride, keys, 1.0f, dout + h * dout_head, dout_stride, queries, value_width,
                       pool);
#if PAIRS
            slopes_of_keys(s, ds, &pairs, keys + EACH * Y, (__local float *)(lses + X), (__local float *)(deltas + X),
                           t0 + 4 * X, stop, causal);
            UNROLL
            for (int c = 0; c < 4; c++)
                UNROLL
                for (int i = 0; i < HALF; i++)
                    SLOPES[c][i] = for_dk ? ds[c][i] : s[c][i];
#else
            const float l[4] = {lses[X].x, lses[X].y, lses[X].z, lses[X].w};
            const float d[4] = {deltas[X].x, deltas[X].y, deltas[X].z, deltas[X].w};
            UNROLL
            for (int c = 0; c < 4; c++)
                UNROLL
                for (int i = 0; i < HALF; i++) {
                    const int4 sees = (int4)(t0 + 4 * X + c | all) >= keys4[HALF * Y + i];
                    s[c][i] = sees ? EXP2(s[c][i] - l[c]) : (float4)(0.0f);
                    if (for_dk)
                        SLOPES[c][i] = s[c][i] != 0.0f ? s[c][i] * (ds[c][i] - d[c]) : s[c][i]; /* of NaN nothing too */
                }
#endif
            const int masked = t0 < latest; /* for some query some source */
#if SUMS == 2
            gather(item, sum[0], s, dout + h * dout_head, dout_stride, VALUE_WIDTH, queries, min(COLS, stop - t0),
                   masked, pool);
            gather(item, sum[1], ds, q + h * q_head, q_stride, WIDTH, queries, min(COLS, stop - t0), masked, pool);
#else
            gather(item, sum[0], s, for_dk ? q + h * q_head : dout + h * dout_head, for_dk ? q_stride : dout_stride,
                   for_dk ? WIDTH : VALUE_WIDTH, queries, min(COLS, stop - t0), masked, pool);
#endif
        }
#if PAIRS
        NEXT_HEAD;
#endif
    }

    SYNC; /* `keys`, where no tile was walked */
    SOURCES_ANEW;
    dk += b * dk_batch + g * dk_head; /* not before: they would stay in registers */
    dv += b * dv_batch + g * dv_head;
    UNROLL
    for (int i = 0; i < EACH; i++) {
        const int row = keys[EACH * Y + i];
        UNROLL
        for (int c = 0; c < VECS && row >= 0; c++) {
            __global float *dk_row = dk + AT(row, dk_stride), *dv_row = dv + AT(row, dv_stride);
            if (for_dv)
                store_columns(item, dv_row, c, VALUE_WIDTH, load_columns(item, dv_row, c, VALUE_WIDTH) + sum[0][i][c]);
            if (for_dk)
                store_columns(item, dk_row, c, WIDTH,
                              load_columns(item, dk_row, c, WIDTH) + scale * sum[SUMS - 1][i][c]);
        }
    }
}

/* Gradients of attention over a plan, CPU shape. Scores are made again from lse.
 *     P = exp2(scale log2(e) q k^T - lse), 0 where not seen;  delta_i = dout_i . out_i;  dS = P o (dout v^T - delta)
 *     dq = scale dS k;  dk = scale dS^T q;  dv = P^T dout
 *
 * Shapes   as attention_fwd.cl; dq like q; dk, dv like k, v.
 * Grid     attention_clear: (batch * length), a row of dk and dv each.
 *          attention_bwd: (parts, batch * kv_heads). The tiles of a head are cut into `parts` ranges and its sources
 *          too; a work-item owns one range of each, (part, (part + phase) mod parts), and walks the tiles in order.
 *          So the work-items of one launch touch different rows of dq and different rows of dk and dv, `parts`
 *          launches do everything, and the order of every sum is fixed. own: this launch also adds the queries' own
 *          keys, whose rows of dk and dv lie anywhere: phase -1 is a launch of these alone. clear: tiles clear the rows
 *          of dk and dv at their own positions before anything is added there, which takes one part and causality, by
 *          which no earlier tile sees them; else attention_clear has run before.
 * Macros   D: the head width, else the parameter `width`; TILE, KEYS: below and attention_tile.h.
 *
 * Lab book. As in attention_fwd.cl: PoCL, H8 D64 N2048 k512, backward, not causal / causal.
 *   five products a pair of tile and block, dk and dv added to in place                63 / 59
 *   a vec as one load: adding a row had become 23 moves of 8 bytes                     75 / 67
 *   buffers in huge pages                                                              79 / 74
 *   tiles transposed by shuffles                                                       79 / 74
 *   rows of dk, dv and of the next block prefetched                                    80 / 75
 *   KEYS 32 or 128 instead of 64                                                       -3 / 0
 *   AVX2: vec of 8, 4 x 2 sums; with vec of 16 gcc kept them in memory          93% of peak instead of 2 in a product
 * A causal block's products skip what no query sees: scores by groups of queries, dk and dv from the first query that
 * sees the row, dq up to the last key. The five products run at 98% of peak and take 75% of the time; adding to dk and
 * dv 5%, packing 4%, exp2 and dS 3%, the tile's own rows 6%.
 * Few keys a tile, as in attention_fwd.cl (k256 causal; with own keys; D32 local): of the time 7% were reading q and
 * dout, 6% delta, 3% writing dq, 3% attention_clear, packing keys and adding to dk and dv together 5%.
 *   the next tile's rows prefetched, row sums of VW rows together                        -9% / -12% / -14%
 *   tiles clear dk and dv as they go, instead of a pass before                           -3% of k256
 *   dq's first block replaces instead of adding to a cleared tile (N1024 k128)           -2%
 * In N1024 k128 reading `out` for delta costs 0.5%, clearing dk and dv 3%; without prefetching it takes 20% longer.
 * No scratch: what splitting by queries would need, partial sums of dk and dv, the phases do without. */
#define STACK (512 << 10) /* bytes that a native build takes of a thread's stack, for its tiles */
#ifndef TILE
#define TILE 64 /* queries of a tile; this and KEYS may be tuned: lib/tuning.c */
#endif
#include "attention_tile.h"

__kernel void attention_clear(TENSOR(float, dk), TENSOR(float, dv), const int columns, const int dk_stride,
                              const int dv_stride)
{
    BIND(float, dk);
    BIND(float, dv);
    dk += get_global_id(0) * dk_stride;
    dv += get_global_id(0) * dv_stride;
    for (int c = 0; c < columns; c += VW) {
        int part = min(VW, columns - c);
        STORE(dk + c, vec_set(0.0f), part);
        STORE(dv + c, vec_set(0.0f), part);
    }
}

/* P, in scores, and dS, in slopes, of one group; `certain` as in forward. The rest of the last strip becomes 0. */
INLINE void slopes_of(float *scores, float *slopes, int count, int certain, __global const int *source, int first,
                      const float *lse, const float *delta)
{
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        vec base = vec_load(lse + v * VW), less = vec_load(delta + v * VW), position = vec_iota() + (float)(v * VW);
        float *s = scores + v * VW, *d = slopes + v * VW;
        for (int j = 0; j < certain; j++) {
            vec p = vec_exp2(vec_load(s + j * TILE) - base);
            vec_store(s + j * TILE, p);
            vec_store(d + j * TILE, p * (vec_load(d + j * TILE) - less));
        }
        for (int j = certain; j < count; j++) {
            vec p = vec_exp2(vec_load(s + j * TILE) - base);
            vec slope = p * (vec_load(d + j * TILE) - less);
            vec_int masked = vec_set((float)(source[j] - first)) > position;
            vec_store(s + j * TILE, vec_select(masked, vec_set(0.0f), p));
            vec_store(d + j * TILE, vec_select(masked, vec_set(0.0f), slope));
        }
        for (int j = count; j < (count + STRIP - 1) / STRIP * STRIP; j++) {
            vec_store(s + j * TILE, vec_set(0.0f));
            vec_store(d + j * TILE, vec_set(0.0f));
        }
    }
}

__kernel void attention_bwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v),
                            TENSOR(const float, out), TENSOR(const float, lse), TENSOR(const float, dout),
                            TENSOR(float, dq), TENSOR(float, dk), TENSOR(float, dv), TENSOR(const int, plan),
                            const ulong plan_stride, const int length, const int heads, const int group,
                            const int width, const int q_stride, const int k_stride, const int v_stride,
                            const int out_stride, const int dq_stride, const int dk_stride, const int dv_stride,
                            const int causal, const float scale, const int parts, const int phase, const int own,
                            const int clear)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(const float, out);
    BIND(const float, lse);
    BIND(const float, dout);
    BIND(float, dq);
    BIND(float, dk);
    BIND(float, dv);
    BIND(const int, plan);
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED;
    float grads[TILE * WIDTH_MAX] ALIGNED, grads_t[TILE * WIDTH_MAX] ALIGNED, dqueries[TILE * WIDTH_MAX] ALIGNED;
    float keys[KEYS * WIDTH_MAX] ALIGNED, values[KEYS * WIDTH_MAX] ALIGNED, rows[ROWS * WIDTH_MAX] ALIGNED;
    float scores[KEYS * TILE] ALIGNED, slopes[KEYS * TILE] ALIGNED, base[TILE] ALIGNED, delta[TILE] ALIGNED;
    float own_score[TILE] ALIGNED, own_slope[TILE] ALIGNED;

    const int part = (int)get_global_id(0), kv_heads = heads / group;
    const int kv_head = (int)(get_global_id(1) % kv_heads), example = (int)(get_global_id(1) / kv_heads);
    plan += plan_stride * example;
    const ulong row0 = (ulong)example * length;
    k += row0 * k_stride + kv_head * WIDTH;
    v += row0 * v_stride + kv_head * WIDTH;
    dk += row0 * dk_stride + kv_head * WIDTH;
    dv += row0 * dv_stride + kv_head * WIDTH;
    __global const int *source_all = plan + plan[PLAN_SOURCE_AT], *own_all = plan + plan[PLAN_OWN_AT];
    const int tiles = plan[PLAN_BLOCKS] * ((plan[PLAN_BLOCK] + TILE - 1) / TILE);
    const int sources = plan[plan[PLAN_SLICE_AT] + plan[PLAN_SLICES]];
    const int tile_first = (int)((ulong)tiles * part / parts), tile_end = (int)((ulong)tiles * (part + 1) / parts);
    const int key_part = (part + max(phase, 0)) % parts;
    const int key_first = (int)((ulong)sources * key_part / parts);
    const int key_end = phase < 0 ? 0 : (int)((ulong)sources * (key_part + 1) / parts);

    for (int i = tile_first * group; i < tile_end * group; i++) {
        const struct tile t = tile_of(plan, i / group, length);
        const struct tile next = tile_of(plan, (i + 1) / group, length);
        const int head = kv_head * group + i % group, next_head = kv_head * group + (i + 1) % group;
        __global const float *q_rows = q + (row0 + t.first) * q_stride + head * WIDTH;
        __global const float *out_rows = out + (row0 + t.first) * out_stride + head * WIDTH;
        __global const float *dout_rows = dout + (row0 + t.first) * out_stride + head * WIDTH;
        __global float *dq_rows = dq + (row0 + t.first) * dq_stride + head * WIDTH;
        __global const float *lse_rows = lse + ((ulong)example * heads + head) * length + t.first;
        __global const int *own_flags = own_all + t.first;
        for (int r = 0; clear && i % group == 0 && r < t.count; r++) {
            clear_row(dk + (ulong)(t.first + r) * dk_stride, width);
            clear_row(dv + (ulong)(t.first + r) * dv_stride, width);
        }
        int any_own = 0, ahead = 0, next_key = 0, next_key_end = 0;
        if (next.slice != t.slice)
            run_of(plan, next, 0, causal, &next_key, &next_key_end);

        pack_tile(queries, q_rows, q_stride, t.answered, scale, width);
        pack_tile(grads, dout_rows, out_stride, t.answered, 1.0f, width);
        transpose_tile(queries_t, queries, t.answered, LOG2E, width);
        transpose_tile(grads_t, grads, t.answered, 1.0f, width);
        for (int r = 0; r < TILE; r++) {
            /* A row that sees nothing has lse -inf: anything large keeps exp2 from overflowing. */
            base[r] = r < t.answered && lse_rows[r] > -INFINITY ? lse_rows[r] : 1e30f;
            any_own |= own && r < t.answered && own_flags[r];
        }
        for (int r = 0; r < TILE; r += VW)
            vec_store(delta + r, dot_rows(out_rows + (ulong)r * out_stride, out_stride, grads + r * PITCH,
                                          t.answered - r, width));
        const int finite = !causal || (all_finite(queries, t.answered, width) && all_finite(grads, t.answered, width));
        int mode = any_own ? ADD : REPLACE; /* of the tile's first block, as in forward */
        if (any_own) {
            clear_rows(dqueries, 0, TILE, width);
            for (int r = 0; r < t.answered; r += VW) {
                __global const float *own_k = k + (ulong)(t.first + r) * k_stride;
                __global const float *own_v = v + (ulong)(t.first + r) * v_stride;
                vec s = dot_rows(own_k, k_stride, queries + r * PITCH, t.answered - r, width) * LOG2E;
                vec d = dot_rows(own_v, v_stride, grads + r * PITCH, t.answered - r, width);
                vec p = vec_exp2(s - vec_load(base + r));
                vec_store(own_score + r, p);
                vec_store(own_slope + r, p * (d - vec_load(delta + r)));
            }
            for (int r = 0; r < t.answered; r++) {
                const ulong at = t.first + r;
                if (!own_flags[r])
                    continue;
                pack_row(dqueries + r * PITCH, k + at * k_stride, own_slope[r], width);
                add_row(dk + at * dk_stride, queries + r * PITCH, own_slope[r], width);
                add_row(dv + at * dv_stride, grads + r * PITCH, own_score[r], width);
            }
        }

        for (int run = 0, begin, end; run_of(plan, t, run, causal, &begin, &end); run++) {
            begin = max(begin, key_first);
            end = min(end, key_end);
            if (causal && begin < end)
                end = begin + visible(source_all + begin, end - begin, t.first + t.answered - 1);
            /* Rows to prefetch with each product: the tile's own of dq, and what the next tile starts from. */
            const int pace = (TILE * ROWS + end - begin) / max(end - begin, 1);
            for (; begin < end; begin += KEYS) {
                __global const int *source = source_all + begin;
                const int count = min(KEYS, end - begin), masked = causal && source[count - 1] > t.first;
                pack_keys(keys, k, k_stride, source, count, width);
                pack_keys(values, v, v_stride, source, count, width);
                const int keys_finite = !masked || all_finite(keys, count, width);
                for (int g = 0; g < t.answered; g += GROUP) {
                    const struct edge e = edge_of(source, count, masked, t.first + g);
                    product_scores(scores + g, keys, queries_t + g, e.seen, width);
                    product_scores(slopes + g, values, grads_t + g, e.seen, width);
                    slopes_of(scores + g, slopes + g, e.seen, e.certain, source, t.first + g, base + g, delta + g);
                }
                for (int j = 0; j < count; j += ROWS) {
                    for (int r = j + ROWS; r < min(j + 2 * ROWS, count); r++)
                        prefetch_pair(dv, dv_stride, dk, dk_stride, source[r], width);
                    for (int r = j + KEYS; r < min(j + KEYS + ROWS, end - begin); r++)
                        prefetch_pair(k, k_stride, v, v_stride, source[r], width);
                    for (int due = min(ahead + pace, TILE); ahead < due; ahead++) {
                        prefetch_row(dq_rows + (ulong)min(ahead, t.count - 1) * dq_stride, width);
                        if (ahead < min(next_key_end - next_key, KEYS)) {
                            const ulong at = source_all[next_key + ahead];
                            prefetch_pair(k, k_stride, v, v_stride, at, width);
                            prefetch_pair(dk, dk_stride, dv, dv_stride, at, width);
                        }
                        if (ahead >= next.answered)
                            continue;
                        const ulong at = next.first + ahead;
                        prefetch_row(q + (row0 + at) * q_stride + next_head * WIDTH, width);
                        prefetch_row(out + (row0 + at) * out_stride + next_head * WIDTH, width);
                        prefetch_row(dout + (row0 + at) * out_stride + next_head * WIDTH, width);
                        if (own && own_all[at])
                            prefetch_pair(k, k_stride, v, v_stride, at, width);
                        if (clear || (own && own_all[at]))
                            prefetch_pair(dk, dk_stride, dv, dv_stride, at, width);
                    }
                    const int from = masked ? max(source[j] - t.first, 0) : 0;
                    const int all = masked && !finite ? max(source[min(j + ROWS, count) - 1] - t.first, 0) : from;
                    const struct steps left = {all - from, t.answered - from, t.answered - from};
                    product_rows(rows, scores + j * TILE + from, TILE, 1, grads + from * PITCH, left, REPLACE, rows,
                                 width);
                    for (int r = 0; r < ROWS && j + r < count; r++)
                        add_row(dv + (ulong)source[j + r] * dv_stride, rows + r * PITCH, 1.0f, width);
                    product_rows(rows, slopes + j * TILE + from, TILE, 1, queries + from * PITCH, left, REPLACE, rows,
                                 width);
                    for (int r = 0; r < ROWS && j + r < count; r++)
                        add_row(dk + (ulong)source[j + r] * dk_stride, rows + r * PITCH, 1.0f, width);
                }
                struct steps seen = {0, masked ? 0 : count, masked ? 0 : count};
                for (int r = 0; r < t.answered; r += ROWS) {
                    seen = see_more(seen, source, count, t.first + r, keys_finite);
                    product_rows(dqueries + r * PITCH, slopes + r, 1, TILE, keys, seen, mode, rows, width);
                }
                mode = ADD;
            }
        }
        if (mode == REPLACE)
            clear_rows(dqueries, 0, t.answered, width);
        clear_rows(dqueries, t.answered, t.count, width);
        for (int r = 0; r < t.count; r++) {
            if (phase != 0)
                add_row(dq_rows + (ulong)r * dq_stride, dqueries + r * PITCH, scale, width);
            else
                store_row(dq_rows + (ulong)r * dq_stride, dqueries + r * PITCH, scale, width);
        }
    }
}

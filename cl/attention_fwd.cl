/* Attention over a plan, forward, CPU shape.
 *     out_i = sum_j p_ij v_j,  p_i = softmax_j(scale q_i . k_j),  lse_i = log2 sum_j exp(scale q_i . k_j)
 * over the j that the plan gives query i (j <= i if causal), its own key as one more where the plan says so.
 *
 *     a_ij = clip(scale q_i . k_j) + bias_ij instead of scale q_i . k_j, p_ij g_ij u_ij instead of p_ij, gate_sum: ops.h
 *
 * Shapes   q [batch, queries, heads, width]; out [batch, queries, heads, value_width]; k, v [batch, keys, heads / group,
 *          width and value_width]; strides of each; lse, gate_sum [batch, heads, queries]; plan: see plan.h, examples
 *          plan_stride apart (0: one for all).
 * Grid     (items, batch * heads): a work-item owns every items-th tile of TILE queries of one head, there and back so
 *          that all items of a causal head cost the same, walks each one's keys in blocks with a running maximum, and
 *          answers its rows, padding included.
 * Macros   D: the width of keys and values, else the parameters; PAIRS: attention.h; TILE, KEYS: below and
 *          attention_tile.h.
 *
 * Lab book. Percent of the FMA peak (117 GFLOP/s a core), PoCL 3.1 on two cores with AVX-512, H8 D64 N2048 k512 in rows
 * of 3 * 512 floats, forward, not causal / causal. The machine was busy: processor time, best of several, +-1.5.
 *   K and V packed by block into private memory, scores [key][query], tile of 64       70 / 62
 *   a vec as one load instead of vload16 (see vector.h)                                75 / 69
 *   buffers in huge pages: each row of a head lies on a page of its own                76 / 71
 *   tiles transposed by shuffles instead of scalar copies (3 times faster, 2% of all)  76 / 71
 *   the next block's rows prefetched during this one's second product                  78 / 73
 *   tile of 128 instead of 64: each block is packed half as often                      80 / 75
 *   KEYS 32 or 128 instead of 64                                                       the same
 *   heads instead of tiles innermost in the grid, for local plans                      the same
 * The two products run at 98% of peak and take 75% of the time; packing 8%, exp2 and maximum 7%, the tile's own rows
 * 8%.
 * Few keys a tile, host backend, one thread, time against the version above in turn (k256 causal; the same with own
 * keys; B4 N1024 D32 in local slices of 128 with own keys). Where the time went (k256): reading the tile's own rows of
 * q 7% and writing those of out 8%, at 10 GB/s, for nothing had fetched them; packing keys only 3%.
 *   an item owns several tiles and prefetches the next one's rows, and its own of out    -6% / -7% / -11%
 *   own scores of VW rows summed across lanes together                                   in the above
 *   first keys of the next block's slices prefetched                                     0 / 0 / -5%
 *   prefetching spread over all blocks instead of the first                              the same
 *   scores and turned queries by groups of GROUP columns instead of rows of TILE         the same
 * The same at N1024, where a causal tile sees 8 to 128 of k128 (PoCL, one thread, processor time, alternated; dense 95,
 * k256 86, k128 81 GFLOP/s before). It is not memory: one head alone, all of it in the second cache, is as slow. The
 * masked edge costs 5% (scores for 32 queries and 8 keys at a time), blocks that are not full and the tile's own rows
 * the rest. With two threads PoCL wakes the second 20 to 100 us late at each launch, 2 to 5% of these short ones.
 *   a tile's first block replaces instead of adding to a cleared answer                  -2% / -4% of k256 / k128
 *   queries turned from where they lie, without packing them first                       the same
 *   scores of the last 4 keys for themselves instead of 8                                the same
 *   KEYS 96 or 128 (one block instead of two)                                            -1 to 0, dense +3
 * On an Intel Xeon (two 512-bit FMAs a cycle, so 468 GFLOP/s by two cores; H8 D64 N1024 to N2048, host backend and
 * PoCL): 50 to 60%. Products take 62% of the time, at 77% of peak (83% out of the first cache), exp2 and maximum 12%,
 * packing 10%, prefetching 10%. Time against the version above in turn, forward / backward:
 *   12 x 2 and 6 x 4 sums instead of 8 x 2 and 4 x 4, tiles of 96, KEYS 72     -4% / -4%; gcc spills unless out of line
 *   the same, tiles of 192                     dense -6% / -14%, k = N/8 0 / +5%; AVX2 with its 4 x 2 sums +2% / +5%
 *   prefetching slower, faster, or into the first cache                                  0 to +5%
 *   scores and turned queries by groups of GROUP columns                                 +2%
 * NaN of masked keys: a masked probability is 0, and 0 times NaN reached the other rows of a register tile. Causal, the
 * host backend on one thread, processor time against the version before, alternated, 100 rounds, forward / backward:
 *   steps at the edge of the mask by row, with a branch on 0    k128 +1 / 0, D32 in local slices of 256 +3 / +3%
 *   the same, only where what they multiply is not finite (looked at once a masked block; once a tile for q and dout)
 *                                                               k128 +1 / 0, D32 local +1 / 0, dense -1 / +1%
 * One query of each of many sequences, whose keys and values (batch 16, H4 D32, 392 keys, four layers) are past the
 * last cache, host backend, one thread, processor time a head, busy machine, against the version before in turn:
 *   rows of the next KEYS keys prefetched                 11.5 -> 8.7 us; in a cache 2.7 -> 3.1 (only values: 9.9; 3.0)
 *   values weighed into four sums instead of one          the same */
#define STACK (512 << 10) /* bytes that a native build takes of a thread's stack, for its tiles */
#ifndef TILE
#define TILE 128 /* queries of a tile; this and KEYS may be tuned: lib/tune/tuning.c */
#endif
#include "attention_tile.h"

/* Scores of one group against `count` keys become probabilities: `certain` keys are at or before every query of the
 * group, the rest are masked one by one. m, l: running maximum and sum; change: what earlier output is scaled by. */
INLINE void soften(float *scores, int count, int certain, __global const int *source, int first, float *m, float *l,
                   float *change)
{
    vec top[GROUP / VW], sum[GROUP / VW], position[GROUP / VW];
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        top[v] = vec_load(m + v * VW);
        position[v] = vec_iota() + (float)(v * VW);
    }
    for (int j = certain; j < count; j++) {
        vec p = vec_set((float)(source[j] - first));
        UNROLL for (int v = 0; v < GROUP / VW; v++)
            vec_store(scores + j * TILE + v * VW, vec_select(p > position[v], vec_set(LEAST),
                                                             vec_load(scores + j * TILE + v * VW)));
    }
    for (int j = 0; j < count; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++) top[v] = vec_max(vec_load(scores + j * TILE + v * VW), top[v]);
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        vec c = vec_exp2(vec_load(m + v * VW) - top[v]);
        sum[v] = vec_load(l + v * VW) * c;
        vec_store(change + v * VW, c);
        vec_store(m + v * VW, top[v]);
    }
    for (int j = 0; j < certain; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            vec p = probability(vec_load(scores + j * TILE + v * VW), top[v]);
            sum[v] += p;
            vec_store(scores + j * TILE + v * VW, p);
        }
    for (int j = certain; j < count; j++) {
        vec at = vec_set((float)(source[j] - first));
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            vec p = probability(vec_load(scores + j * TILE + v * VW), top[v]);
            p = vec_select(at > position[v], vec_set(0.0f), p);
            sum[v] += p;
            vec_store(scores + j * TILE + v * VW, p);
        }
    }
    UNROLL for (int v = 0; v < GROUP / VW; v++) vec_store(l + v * VW, sum[v]);
}

#if PAIRS
/* Scores of one group become logits. */
INLINE void logits_of(const struct pairs *p, float *scores, int count, __global const int *source, int first, int rows)
{
    for (int j = 0; j < count; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++)
            vec_store(scores + j * TILE + v * VW, pair_logits(p, vec_load(scores + j * TILE + v * VW), first + v * VW,
                                                              rows - v * VW, source[j]));
}

/* Probabilities of one group become weights; the gates of what is seen are added to `sums`. Certain: as in soften(). */
INLINE void weights_of(const struct pairs *p, float *scores, int count, int certain, __global const int *source,
                       int first, int rows, float *sums)
{
    struct draws draws[GROUP / VW];
    for (int v = 0; v < GROUP / VW; v++)
        draws[v].quad = -1;
    for (int j = 0; j < count; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            const int query = first + v * VW;
            vec gate = pair_gates(p, query, rows - v * VW, source[j]);
            vec seen = gate, x = vec_load(scores + j * TILE + v * VW);
            if (j >= certain) {
                const vec_int hidden = vec_set((float)(source[j] - query)) > vec_iota();
                seen = vec_select(hidden, vec_set(0.0f), seen);
                gate = vec_select(hidden, vec_set(0.0f), gate);
            }
            vec_store(sums + v * VW, vec_load(sums + v * VW) + seen);
            vec_store(scores + j * TILE + v * VW, x * gate * pair_keeps(p, &draws[v], query, source[j]));
        }
}
#endif

#if PAIRS
/* The own keys of VW queries, those of them whose `sum` is 1: their logits; what they answer so far, their values, is
 * weighed, and `gates` are their gates. */
INLINE vec own_pairs(const struct pairs *p, vec score, float *sum, float *gates, float *answer, int query, int rows,
                     int value_width)
{
    float logit[VW];
    vec_store(logit, score);
    for (int i = 0; i < min(rows, VW); i++) {
        const int at = query + i;
        if (sum[i] <= 0.0f)
            continue;
        logit[i] = pair_logit(p, logit[i], at, at);
        gates[i] = pair_gate(p, at, at);
        sum[i] = logit[i] < LEAST ? 0.0f : 1.0f;
        const float weight = gates[i] * pair_keep(p, at, at);
        for (int c = 0; c < VALUE_PITCH; c += VW)
            vec_store(answer + i * VALUE_PITCH + c, vec_load(answer + i * VALUE_PITCH + c) * weight);
        if (sum[i] <= 0.0f)
            clear_rows(answer, i, i + 1, value_width);
    }
    return vec_load(logit);
}
#endif

#if !PAIRS
/* One query, and at most KEYS keys that it sees: their values, weighed, are added to `answer`. Keys and values are read
 * where they lie, and lanes are columns: a tile would pack each row for one use, and make GROUP times the scores. m, l:
 * running maximum and sum. */
INLINE void meet_one(const float *query, float *answer, float *weights, __global const float *k, ulong k_stride,
                     __global const float *v, ulong v_stride, __global const int *source, int count, float *m, float *l,
                     int width, int value_width)
{
    float top = *m;
    for (int j = 0; j < count; j += VW) {
        vec sum[VW];
        UNROLL for (int i = 0; i < VW; i++)
        {
            __global const float *row = k + source[min(j + i, count - 1)] * k_stride;
            vec product = vec_set(0.0f);
            for (int c = 0; c < PITCH; c += VW)
                product += row_load(row, c, width) * vec_load(query + c);
            sum[i] = product;
        }
        vec score = vec_sums(sum);
        score = vec_select(vec_iota() < vec_set((float)(count - j)), score, vec_set(LEAST));
        vec_store(weights + j, score);
        const float most = vec_top(score);
        top = most > top ? most : top;
    }
    const vec change = vec_exp2(vec_set(*m - top));
    vec sum = vec_set(0.0f);
    for (int j = 0; j < count; j += VW) {
        vec p = probability(vec_load(weights + j), vec_set(top));
        p = vec_select(vec_iota() < vec_set((float)(count - j)), p, vec_set(0.0f));
        sum += p;
        vec_store(weights + j, p);
    }
    for (int c = 0; c < VALUE_PITCH; c += VW) {
        vec x = vec_load(answer + c) * change;
        for (int j = 0; j < count; j++)
            x += row_load(v + source[j] * v_stride, c, value_width) * weights[j];
        vec_store(answer + c, x);
    }
    float first[VW];
    vec_store(first, change);
    *l = *l * first[0] + vec_sum(sum);
    *m = top;
}
#endif

__kernel void attention_fwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(float, out),
                            TENSOR(float, lse), TENSOR(const int, plan), ATTENTION_SIZES, const int group, STRIDES(q),
                            STRIDES(k), STRIDES(v), STRIDES(out), ATTENTION_PAIRS, TENSOR(float, gate_sum),
                            const int tiles, const int items)
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(float, out);
    BIND(float, lse);
    BIND(const int, plan);
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED, answer[TILE * WIDTH_MAX] ALIGNED;
    float keys[KEYS * WIDTH_MAX] ALIGNED, values[KEYS * WIDTH_MAX] ALIGNED, scores[KEYS * TILE] ALIGNED;
    float m[TILE] ALIGNED, l[TILE] ALIGNED, change[TILE] ALIGNED;

    const int head = (int)(get_global_id(1) % heads), example = (int)(get_global_id(1) / heads);
    plan += plan_stride * example;
    q += example * q_batch + head * q_head;
    out += example * out_batch + head * out_head;
    lse += ((ulong)example * heads + head) * (query_end - query_begin);
    k += example * k_batch + head / group * k_head;
    v += example * v_batch + head / group * v_head;
#if PAIRS
    BIND_PAIRS;
    BIND(float, gate_sum);
    PAIRS_MEMORY;
    SET_PAIRS(example, head);
    float gates[TILE] ALIGNED;
    if (gate_sum)
        gate_sum += ((ulong)example * heads + head) * (query_end - query_begin);
#endif
    __global const int *source_all = plan + plan[PLAN_SOURCE_AT], *own_all = plan + plan[PLAN_OWN_AT];

    for (int turn = 0, tile = (int)get_global_id(0); tile < tiles; turn++) {
        const struct tile t = tile_of(plan, causal ? tiles - 1 - tile : tile, query_begin, query_end);
        const int row = t.first - query_begin; /* of the tile's first query */
        __global const float *q_rows = q + row * q_stride;
        __global float *out_rows = out + row * out_stride, *lse_rows = lse + row;
        __global const int *own = own_all + t.first;
        tile = (turn + 1) * items + (turn % 2 ? (int)get_global_id(0) : items - 1 - (int)get_global_id(0));
        const struct tile next = tile_of(plan, causal ? tiles - 1 - tile : tile, query_begin, query_end);
        int ahead = 0, any_own = 0, next_key = 0, next_key_end = 0;
        if (!t.count)
            continue; /* before the first query, or past the last */
        if (next.slice != t.slice)
            run_of(plan, next, 0, causal, &next_key, &next_key_end);

        pack_tile(queries, q_rows, q_stride, t.answered, scale * LOG2E, width);
        transpose_tile(queries_t, queries, t.answered, 1.0f, width);
        for (int r = 0; r < TILE; r++) {
            int seen = r < t.answered && own[r];
            any_own |= seen;
            m[r] = LEAST;
            l[r] = (float)seen;
#if PAIRS
            gates[r] = 0.0f;
#endif
            if (seen)
                pack_row(answer + r * VALUE_PITCH, v + (t.first + r) * v_stride, 1.0f, value_width);
        }
        int mode = any_own ? RESCALE : REPLACE; /* of the tile's first block: what it replaces need not be cleared */
#if !PAIRS
        const int alone = query_end - query_begin == 1 && t.answered; /* the only query of all */
        if (alone && !any_own) {
            clear_rows(answer, 0, 1, value_width);
            mode = RESCALE;
        }
#endif
        for (int r = 0; any_own && r < t.count; r++)
            if (l[r] == 0.0f)
                clear_rows(answer, r, r + 1, value_width);
        for (int r = 0; any_own && r < t.answered; r += VW) {
            vec score = dot_rows(k + (t.first + r) * k_stride, k_stride, queries + r * PITCH, t.answered - r,
                                 width);
#if PAIRS
            score = own_pairs(&pairs, score, l + r, gates + r, answer + r * VALUE_PITCH, t.first + r, t.answered - r,
                              value_width);
#endif
            vec_store(m + r, vec_select(vec_load(l + r) > vec_set(0.0f), score, vec_set(LEAST)));
        }

        for (int run = 0, begin, end; run_of(plan, t, run, causal, &begin, &end); run++) {
            if (causal)
                end = begin + visible(source_all + begin, end - begin, t.first + t.answered - 1);
#if !PAIRS
            if (alone) {
                for (int r = begin; r < min(begin + KEYS, end); r++)
                    prefetch_pair(k, k_stride, width, v, v_stride, value_width, source_all[r]);
                for (; begin < end; begin += KEYS) {
                    for (int r = begin + KEYS; r < min(begin + 2 * KEYS, end); r++)
                        prefetch_pair(k, k_stride, width, v, v_stride, value_width, source_all[r]);
                    meet_one(queries, answer, scores, k, k_stride, v, v_stride, source_all + begin,
                             min(KEYS, end - begin), m, l, width, value_width);
                }
                continue;
            }
#endif
            /* Rows to prefetch with each product: the tile's own of out, and what the next tile starts from. */
            const int pace = (KEYS * ROWS + end - begin) / max(end - begin, 1);
            for (; begin < end; begin += KEYS) {
                __global const int *source = source_all + begin;
                const int count = min(KEYS, end - begin), masked = causal && source[count - 1] > t.first;
                pack_keys(keys, k, k_stride, source, count, width);
                pack_keys(values, v, v_stride, source, count, value_width);
                const int finite = !masked || all_finite(values, count, value_width);
                for (int g = 0; g < t.answered; g += GROUP) {
                    const struct edge e = edge_of(source, count, masked, t.first + g);
                    product_scores(scores + g, keys, queries_t + g, e.seen, width);
#if PAIRS
                    logits_of(&pairs, scores + g, e.seen, source, t.first + g, t.answered - g);
#endif
                    soften(scores + g, e.seen, e.certain, source, t.first + g, m + g, l + g, change + g);
#if PAIRS
                    weights_of(&pairs, scores + g, e.seen, e.certain, source, t.first + g, t.answered - g, gates + g);
#endif
                }
                struct steps seen = {0, masked ? 0 : count, masked ? 0 : count};
                for (int r = 0; r < t.answered; r += ROWS) {
                    seen = see_more(seen, source, count, t.first + r, finite);
                    for (int i = r + KEYS; i < min(r + KEYS + ROWS, end - begin); i++)
                        prefetch_pair(k, k_stride, width, v, v_stride, value_width, source[i]);
                    for (int due = min(ahead + pace, TILE); ahead < due; ahead++) {
                        prefetch_row(out_rows + min(ahead, t.count - 1) * out_stride, value_width);
                        if (ahead < min(next_key_end - next_key, KEYS))
                            prefetch_pair(k, k_stride, width, v, v_stride, value_width, source_all[next_key + ahead]);
                        if (ahead >= next.answered)
                            continue;
                        const ulong at = next.first + ahead;
                        prefetch_row(q + (at - query_begin) * q_stride, width);
                        if (own_all[at])
                            prefetch_pair(k, k_stride, width, v, v_stride, value_width, at);
                    }
                    product_rows(answer + r * VALUE_PITCH, scores + r, 1, TILE, values, seen, mode, change + r,
                                 value_width);
                }
                mode = RESCALE;
            }
        }

        if (mode == REPLACE)
            clear_rows(answer, 0, t.answered, value_width);
        clear_rows(answer, t.answered, t.count, value_width); /* products of whole ROWS wrote to the first of them */
        for (int r = t.answered; r < t.count; r++)
            l[r] = 0.0f;
        for (int r = 0; r < t.count; r += VW) {
            vec sum = vec_load(l + r), none = vec_set(-INFINITY);
            vec_int seen = sum > vec_set(0.0f);
            vec_store(change + r, vec_select(seen, 1.0f / sum, vec_set(0.0f)));
            sum = vec_select(seen, vec_load(m + r) + vec_log2(sum), none);
            STORE(lse_rows + r, sum, min(VW, t.count - r));
        }
        for (int r = 0; r < t.count; r++)
            store_row(out_rows + r * out_stride, answer + r * VALUE_PITCH, change[r], value_width);
#if PAIRS
        for (int r = 0; gate_sum && r < t.count; r++)
            gate_sum[row + r] = r < t.answered ? gates[r] : 0.0f;
#endif
    }
}

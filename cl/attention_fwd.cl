/* Attention over a plan, forward, CPU shape.
 *     out_i = sum_j p_ij v_j,  p_i = softmax_j(scale q_i . k_j),  lse_i = log2 sum_j exp(scale q_i . k_j)
 * over the j that the plan gives query i (j <= i if causal), its own key as one more where the plan says so.
 *
 * Shapes   q, out [batch, length, heads, D]; k, v [batch, length, heads / group, D], rows *_stride apart;
 *          lse [batch, heads, length]; plan: see plan.h, examples plan_stride apart (0: one for all).
 * Grid     (items, batch * heads): a work-item owns every items-th tile of TILE queries of one head, there and back so
 *          that all items of a causal head cost the same, walks each one's keys in blocks with a running maximum, and
 *          answers its rows, padding included.
 * Macros   D: the head width, else the parameter `width`; TILE, KEYS: below and attention_tile.h.
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
 *                                                               k128 +1 / 0, D32 local +1 / 0, dense -1 / +1% */
#define STACK (512 << 10) /* bytes that a native build takes of a thread's stack, for its tiles */
#ifndef TILE
#define TILE 128 /* queries of a tile; this and KEYS may be tuned: lib/tuning.c */
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
            vec_store(scores + j * TILE + v * VW, vec_select(p > position[v], vec_set(-1e30f),
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
            vec p = vec_exp2(vec_load(scores + j * TILE + v * VW) - top[v]);
            sum[v] += p;
            vec_store(scores + j * TILE + v * VW, p);
        }
    for (int j = certain; j < count; j++) {
        vec at = vec_set((float)(source[j] - first));
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            vec p = vec_exp2(vec_load(scores + j * TILE + v * VW) - top[v]);
            p = vec_select(at > position[v], vec_set(0.0f), p);
            sum[v] += p;
            vec_store(scores + j * TILE + v * VW, p);
        }
    }
    UNROLL for (int v = 0; v < GROUP / VW; v++) vec_store(l + v * VW, sum[v]);
}

__kernel void attention_fwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v), TENSOR(float, out),
                            TENSOR(float, lse), TENSOR(const int, plan), const ulong plan_stride, const int length,
                            const int heads, const int group, const int width, const int q_stride, const int k_stride,
                            const int v_stride, const int out_stride, const int causal, const float scale,
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
    const ulong row0 = (ulong)example * length;
    plan += plan_stride * example;
    q += row0 * q_stride + head * WIDTH;
    out += row0 * out_stride + head * WIDTH;
    lse += ((ulong)example * heads + head) * length;
    k += row0 * k_stride + head / group * WIDTH;
    v += row0 * v_stride + head / group * WIDTH;
    __global const int *source_all = plan + plan[PLAN_SOURCE_AT], *own_all = plan + plan[PLAN_OWN_AT];

    for (int turn = 0, tile = (int)get_global_id(0); tile < tiles; turn++) {
        const struct tile t = tile_of(plan, causal ? tiles - 1 - tile : tile, length);
        __global const float *q_rows = q + (ulong)t.first * q_stride;
        __global float *out_rows = out + (ulong)t.first * out_stride, *lse_rows = lse + t.first;
        __global const int *own = own_all + t.first;
        tile = (turn + 1) * items + (turn % 2 ? (int)get_global_id(0) : items - 1 - (int)get_global_id(0));
        const struct tile next = tile_of(plan, causal ? tiles - 1 - tile : tile, length);
        int ahead = 0, any_own = 0, next_key = 0, next_key_end = 0;
        if (next.slice != t.slice)
            run_of(plan, next, 0, causal, &next_key, &next_key_end);

        pack_tile(queries, q_rows, q_stride, t.answered, scale * LOG2E, width);
        transpose_tile(queries_t, queries, t.answered, 1.0f, width);
        for (int r = 0; r < TILE; r++) {
            int seen = r < t.answered && own[r];
            any_own |= seen;
            m[r] = -1e30f;
            l[r] = (float)seen;
            if (seen)
                pack_row(answer + r * PITCH, v + (ulong)(t.first + r) * v_stride, 1.0f, width);
        }
        int mode = any_own ? RESCALE : REPLACE; /* of the tile's first block: what it replaces need not be cleared */
        for (int r = 0; any_own && r < t.count; r++)
            if (l[r] == 0.0f)
                clear_rows(answer, r, r + 1, width);
        for (int r = 0; any_own && r < t.answered; r += VW) {
            vec score = dot_rows(k + (ulong)(t.first + r) * k_stride, k_stride, queries + r * PITCH, t.answered - r,
                                 width);
            vec_store(m + r, vec_select(vec_load(l + r) > vec_set(0.0f), score, vec_set(-1e30f)));
        }

        for (int run = 0, begin, end; run_of(plan, t, run, causal, &begin, &end); run++) {
            if (causal)
                end = begin + visible(source_all + begin, end - begin, t.first + t.answered - 1);
            /* Rows to prefetch with each product: the tile's own of out, and what the next tile starts from. */
            const int pace = (KEYS * ROWS + end - begin) / max(end - begin, 1);
            for (; begin < end; begin += KEYS) {
                __global const int *source = source_all + begin;
                const int count = min(KEYS, end - begin), masked = causal && source[count - 1] > t.first;
                pack_keys(keys, k, k_stride, source, count, width);
                pack_keys(values, v, v_stride, source, count, width);
                const int finite = !masked || all_finite(values, count, width);
                for (int g = 0; g < t.answered; g += GROUP) {
                    const struct edge e = edge_of(source, count, masked, t.first + g);
                    product_scores(scores + g, keys, queries_t + g, e.seen, width);
                    soften(scores + g, e.seen, e.certain, source, t.first + g, m + g, l + g, change + g);
                }
                struct steps seen = {0, masked ? 0 : count, masked ? 0 : count};
                for (int r = 0; r < t.answered; r += ROWS) {
                    seen = see_more(seen, source, count, t.first + r, finite);
                    for (int i = r + KEYS; i < min(r + KEYS + ROWS, end - begin); i++)
                        prefetch_pair(k, k_stride, v, v_stride, source[i], width);
                    for (int due = min(ahead + pace, TILE); ahead < due; ahead++) {
                        prefetch_row(out_rows + (ulong)min(ahead, t.count - 1) * out_stride, width);
                        if (ahead < min(next_key_end - next_key, KEYS))
                            prefetch_pair(k, k_stride, v, v_stride, source_all[next_key + ahead], width);
                        if (ahead >= next.answered)
                            continue;
                        const ulong at = next.first + ahead;
                        prefetch_row(q + at * q_stride, width);
                        if (own_all[at])
                            prefetch_pair(k, k_stride, v, v_stride, at, width);
                    }
                    product_rows(answer + r * PITCH, scores + r, 1, TILE, values, seen, mode, change + r, width);
                }
                mode = RESCALE;
            }
        }

        if (mode == REPLACE)
            clear_rows(answer, 0, t.answered, width);
        clear_rows(answer, t.answered, t.count, width); /* products of whole ROWS wrote to the first of them */
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
            store_row(out_rows + (ulong)r * out_stride, answer + r * PITCH, change[r], width);
    }
}

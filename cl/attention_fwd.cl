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
 *          attention_tile.h; PARTS: where set, products are on a matrix engine (attention_parts.h), D 32, 64 or 128,
 *          PAIRS 0.
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
 *   values weighed into four sums instead of one          the same
 * Cut into stages that share one struct of tiles, prefetching by attention_tile.h: the same bits, time within 1%.
 * On a matrix engine, whose stages are attention_fwd_parts.h's and have a lab book of their own: attention_parts.h. */
/* STACK: bytes that a native build takes of a thread's stack, for its tiles. */
#ifdef PARTS
#define STACK (576 << 10)
#define TILE ATTENTION_PARTS_TILE
#else
#define STACK (512 << 10)
#ifndef TILE
#define TILE 128 /* queries of a tile; this and KEYS may be tuned: lib/tune/tuning.c */
#endif
#endif
#include "attention_tile.h"

#ifdef PARTS
#include "attention_fwd_parts.h"
#else
/* What a work-item has of its tile of queries: [query][column], queries_t [column][query]; a block's [key][column] and
 * scores [key][query]; of each query running maximum and sum, what earlier output is scaled by, sum of gates. */
struct work {
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED, answer[TILE * WIDTH_MAX] ALIGNED;
    float keys[KEYS * WIDTH_MAX] ALIGNED, values[KEYS * WIDTH_MAX] ALIGNED, scores[KEYS * TILE] ALIGNED;
    float m[TILE] ALIGNED, l[TILE] ALIGNED, change[TILE] ALIGNED, gates[TILE] ALIGNED;
    int mode, alone; /* how the next block's answer joins the earlier one; the tile is one query, the only one of all */
};

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
    struct draws draws[GROUP / VW];
    for (int v = 0; v < GROUP / VW; v++)
        draws[v].quad = -1;
    for (int j = 0; j < count; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++)
            vec_store(scores + j * TILE + v * VW, pair_logits(p, &draws[v], vec_load(scores + j * TILE + v * VW),
                                                              first + v * VW, rows - v * VW, source[j]));
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

/* Queries that see their own key meet it, the others nothing. Returns whether any does; else `answer` is not
 * cleared. */
INLINE int meet_own(struct work *w, const struct pairs *p, struct tile t, struct kv x, __global const int *own,
                    int width, int value_width)
{
    int any = 0;
    for (int r = 0; r < TILE; r++) {
        const int sees = r < t.answered && own[r];
        any |= sees;
        w->m[r] = LEAST;
        w->l[r] = (float)sees;
        if (PAIRS)
            w->gates[r] = 0.0f;
        if (sees)
            pack_row(w->answer + r * VALUE_PITCH, x.v + (t.first + r) * x.v_stride, 1.0f, value_width);
    }
    for (int r = 0; any && r < t.count; r++)
        if (w->l[r] == 0.0f)
            clear_rows(w->answer, r, r + 1, value_width);
    for (int r = 0; any && r < t.answered; r += VW) {
        vec score = dot_rows(x.k + (t.first + r) * x.k_stride, x.k_stride, w->queries + r * PITCH, t.answered - r,
                             width);
#if PAIRS
        score = own_pairs(p, score, w->l + r, w->gates + r, w->answer + r * VALUE_PITCH, t.first + r, t.answered - r,
                          value_width);
#endif
        vec_store(w->m + r, vec_select(vec_load(w->l + r) > vec_set(0.0f), score, vec_set(LEAST)));
    }
    return any;
}

/* Packs a tile's queries, which meet their own keys. `only`: of all queries. */
INLINE void begin_tile(struct work *w, const struct pairs *p, struct tile t, struct head_rows q, struct kv x,
                       __global const int *own, float scale, int only, int width, int value_width)
{
    pack_tile(w->queries, q.at, q.stride, t.answered, scale * LOG2E, width);
    transpose_tile(w->queries_t, w->queries, t.answered, 1.0f, width);
    w->mode = meet_own(w, p, t, x, own, width, value_width) ? RESCALE : REPLACE;
    w->alone = !PAIRS && only && t.answered;
    if (w->alone && w->mode == REPLACE) {
        clear_rows(w->answer, 0, 1, value_width);
        w->mode = RESCALE;
    }
}

/* The block's scores become what its values are weighed with. */
INLINE void weigh_block(struct work *w, const struct pairs *p, struct tile t, struct block b, int width)
{
    for (int g = 0; g < t.answered; g += GROUP) {
        const struct edge e = edge_of(b.source, b.count, b.masked, t.first + g);
        product_scores(w->scores + g, w->keys, w->queries_t + g, e.seen, width);
#if PAIRS
        logits_of(p, w->scores + g, e.seen, b.source, t.first + g, t.answered - g);
#endif
        soften(w->scores + g, e.seen, e.certain, b.source, t.first + g, w->m + g, w->l + g, w->change + g);
#if PAIRS
        weights_of(p, w->scores + g, e.seen, e.certain, b.source, t.first + g, t.answered - g, w->gates + g);
#endif
    }
}

/* answer = weights . values (+ change o answer), and meanwhile fetches the next block's rows, and ahead. */
INLINE void add_values(struct work *w, struct tile t, struct block b, struct ahead *ahead, int value_width)
{
    const int finite = !b.masked || all_finite(w->values, b.count, value_width);
    struct steps seen = {0, b.masked ? 0 : b.count, b.masked ? 0 : b.count};
    for (int r = 0; r < t.answered; r += ROWS) {
        seen = see_more(seen, b.source, b.count, t.first + r, finite);
        prefetch_keys(ahead->kv, b.source, r + KEYS, min(r + KEYS + ROWS, b.left));
        prefetch_ahead(ahead);
        product_rows(w->answer + r * VALUE_PITCH, w->scores + r, 1, TILE, w->values, seen, w->mode, w->change + r,
                     value_width);
    }
}

#if !PAIRS
/* The only query of all meets a run of keys. */
INLINE void meet_run_alone(struct work *w, struct kv x, __global const int *source, int count, int width,
                           int value_width)
{
    prefetch_keys(x, source, 0, min(KEYS, count));
    for (int at = 0; at < count; at += KEYS) {
        prefetch_keys(x, source, at + KEYS, min(at + 2 * KEYS, count));
        meet_one(w->queries, w->answer, w->scores, x.k, x.k_stride, x.v, x.v_stride, source + at,
                 min(KEYS, count - at), w->m, w->l, width, value_width);
    }
}
#endif

/* The tile meets a run of keys, source[0 .. count). */
INLINE void meet_run(struct work *w, const struct pairs *p, struct tile t, __global const int *source, int count,
                     int causal, struct kv x, struct ahead *ahead, int width, int value_width)
{
#if !PAIRS
    if (w->alone) {
        meet_run_alone(w, x, source, count, width, value_width);
        return;
    }
#endif
    ahead->pace = (KEYS * ROWS + count) / max(count, 1);
    for (int at = 0; at < count; at += KEYS) {
        const struct block b = block_of(source + at, count - at, causal, t.first);
        pack_keys(w->keys, x.k, x.k_stride, b.source, b.count, width);
        pack_keys(w->values, x.v, x.v_stride, b.source, b.count, value_width);
        weigh_block(w, p, t, b, width);
        add_values(w, t, b, ahead, value_width);
        w->mode = RESCALE;
    }
}

/* Ends a tile: out and lse of its rows, 0 and -inf where nothing was seen or is padding. */
INLINE void end_tile(struct work *w, struct tile t, __global float *out, ulong out_stride, __global float *lse,
                     int value_width)
{
    if (w->mode == REPLACE)
        clear_rows(w->answer, 0, t.answered, value_width);
    clear_rows(w->answer, t.answered, t.count, value_width); /* products of whole ROWS wrote to the first of them */
    for (int r = t.answered; r < t.count; r++)
        w->l[r] = 0.0f;
    for (int r = 0; r < t.count; r += VW) {
        vec sum = vec_load(w->l + r), none = vec_set(-INFINITY);
        vec_int seen = sum > vec_set(0.0f);
        vec_store(w->change + r, vec_select(seen, 1.0f / sum, vec_set(0.0f)));
        sum = vec_select(seen, vec_load(w->m + r) + vec_log2(sum), none);
        STORE(lse + r, sum, min(VW, t.count - r));
    }
    for (int r = 0; r < t.count; r++)
        store_row(out + r * out_stride, w->answer + r * VALUE_PITCH, w->change[r], value_width);
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
    struct work w;

    const int head = (int)(get_global_id(1) % heads), example = (int)(get_global_id(1) / heads);
    const ulong answers = ((ulong)example * heads + head) * (query_end - query_begin); /* in lse and gate_sum */
    plan += plan_stride * example;
    q += example * q_batch + head * q_head;
    out += example * out_batch + head * out_head;
    k += example * k_batch + head / group * k_head;
    v += example * v_batch + head / group * v_head;
    const struct kv kv = {k, v, k_stride, v_stride, width, value_width};
#if PAIRS
    BIND(float, gate_sum);
    BIND_PAIRS;
    PAIRS_MEMORY;
    SET_PAIRS(example, head);
    const struct pairs *const p = &pairs;
#else
    const struct pairs *const p = NULL;
#endif
    __global const int *source = plan + plan[PLAN_SOURCE_AT], *own = plan + plan[PLAN_OWN_AT];
    MATRIX_BEGIN

    for (int turn = 0, tile = (int)get_global_id(0); tile < tiles; turn++) {
        const struct tile t = tile_of(plan, causal ? tiles - 1 - tile : tile, query_begin, query_end);
        tile = (turn + 1) * items + (turn % 2 ? (int)get_global_id(0) : items - 1 - (int)get_global_id(0));
        const struct tile next = tile_of(plan, causal ? tiles - 1 - tile : tile, query_begin, query_end);
        if (!t.count)
            continue; /* before the first query, or past the last */
        const int row = t.first - query_begin; /* of the tile's first query */
        struct ahead ahead = {.result = {out + row * out_stride, out_stride, value_width},
                              .q = {q + (next.first - query_begin) * q_stride, q_stride, width},
                              .kv = kv,
                              .own = own + next.first};
        look_ahead(&ahead, plan, t, next, causal);

        const struct head_rows queries = {q + row * q_stride, q_stride, width};
        begin_tile(&w, p, t, queries, kv, own + t.first, scale, query_end - query_begin == 1, width, value_width);
        for (int run = 0, begin, end; run_of(plan, t, run, causal, &begin, &end); run++) {
            if (causal)
                end = begin + visible(source + begin, end - begin, t.first + t.answered - 1);
            meet_run(&w, p, t, source + begin, end - begin, causal, kv, &ahead, width, value_width);
        }
        end_tile(&w, t, out + row * out_stride, out_stride, lse + answers + row, value_width);
#if PAIRS
        for (int r = 0; gate_sum && r < t.count; r++)
            gate_sum[answers + row + r] = r < t.answered ? w.gates[r] : 0.0f;
#endif
    }
    MATRIX_END
}

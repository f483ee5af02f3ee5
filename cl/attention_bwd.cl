/* Gradients of attention over a plan, CPU shape. Scores are made again from lse.
 *     P = exp2(scale log2(e) q k^T - lse), 0 where not seen;  delta_i = dout_i . out_i;  dS = P o (dout v^T - delta)
 *     dq = scale dS k;  dk = scale dS^T q;  dv = P^T dout
 * and with bias, gate, clip, dropout what ops.h has.
 *
 * Shapes   as attention_fwd.cl; dout like out; dq like q; dk, dv like k, v; strides of each.
 * Grid     attention_clear: (batch * keys), a row of dk and dv each.
 *          attention_bwd: (parts, batch * kv_heads). The tiles of a head are cut into `parts` ranges and its sources
 *          too; a work-item owns one range of each, (part, (part + phase) mod parts), and walks the tiles in order.
 *          So the work-items of one launch touch different rows of dq and different rows of dk and dv, `parts`
 *          launches do everything, and the order of every sum is fixed. own: this launch also adds the queries' own
 *          keys, whose rows of dk and dv lie anywhere: phase -1 is a launch of these alone. clear: tiles clear the rows
 *          of dk and dv at their own positions before anything is added there, which takes one part and causality, by
 *          which no earlier tile sees them; else attention_clear has run before.
 * Macros   D: the width of keys and values, else the parameters; PAIRS: attention.h; TILE, KEYS: below and
 *          attention_tile.h; PARTS: as in forward.
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
 * Cut into stages that share one struct of tiles, prefetching by attention_tile.h: the same bits, time within 1%.
 * No scratch: what splitting by queries would need, partial sums of dk and dv, the phases do without. */
/* STACK: bytes that a native build takes of a thread's stack, for its tiles. */
#ifdef PARTS
#define STACK (1216 << 10)
#define TILE ATTENTION_PARTS_TILE
#else
#define STACK (512 << 10)
#ifndef TILE
#define TILE 64 /* queries of a tile; this and KEYS may be tuned: lib/tune/tuning.c */
#endif
#endif
#include "attention_tile.h"

/* Rows of dk and dv of one head, one of each a position. */
struct sums {
    __global float *dk, *dv;
    ulong dk_stride, dv_stride;
};

#ifdef PARTS
#include "attention_bwd_parts.h"
#else
/* What a work-item has of its tile of queries: rows of q and dout and sums of dq [query][column], _t [column][query];
 * of a block's keys and of ROWS of its gradients [key][column]; scores (P) and slopes (dS) [key][query]; of each query
 * lse and delta, and P and dS of its own key. */
struct work {
    float queries[TILE * WIDTH_MAX] ALIGNED, queries_t[TILE * WIDTH_MAX] ALIGNED;
    float grads[TILE * WIDTH_MAX] ALIGNED, grads_t[TILE * WIDTH_MAX] ALIGNED, dqueries[TILE * WIDTH_MAX] ALIGNED;
    float keys[KEYS * WIDTH_MAX] ALIGNED, values[KEYS * WIDTH_MAX] ALIGNED;
    float scores[KEYS * TILE] ALIGNED, slopes[KEYS * TILE] ALIGNED, rows[ROWS * WIDTH_MAX] ALIGNED;
    float base[TILE] ALIGNED, delta[TILE] ALIGNED, own_score[TILE] ALIGNED, own_slope[TILE] ALIGNED;
    int finite; /* rows of q and dout are, or no key is masked */
    int mode; /* how the next block's sums of dq join the earlier ones */
};

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

#if PAIRS
/* Of VW pairs: w = P g u, and dA = w b - P delta where the logit is not clipped. `s` is scale q.k to base 2, b dout.v. */
struct slope {
    vec weight, slope;
};
INLINE struct slope pair_slope(const struct pairs *p, struct draws *draws, vec s, vec b, vec base, vec delta, vec keep,
                               int query, int rows, int key)
{
    const vec limit = vec_set(p->clip), past = vec_max(s, -s);
    const vec probable = probability(pair_logits(p, draws, s, query, rows, key), base);
    struct slope x;
    x.weight = probable * pair_gates(p, query, rows, key) * keep;
    x.slope = vec_select(past > limit, vec_set(0.0f), x.weight * b - probable * delta);
    return x;
}

/* The same for own keys: of VW queries from `query`, each with the key at its position. */
INLINE void own_pairs(const struct pairs *p, vec s, vec b, const float *base, const float *delta, float *weight,
                      float *slope, int query, int rows)
{
    float score[VW], product[VW], one[VW];
    struct draws draws;
    vec_store(score, s);
    vec_store(product, b);
    for (int i = 0; i < min(rows, VW); i++) {
        const vec keep = vec_set(pair_keep(p, query + i, query + i));
        draws.quad = -1;
        const struct slope x = pair_slope(p, &draws, vec_set(score[i]), vec_set(product[i]), vec_set(base[i]),
                                          vec_set(delta[i]), keep, query + i, 1, query + i);
        vec_store(one, x.weight);
        weight[i] = one[0];
        vec_store(one, x.slope);
        slope[i] = one[0];
    }
}

/* The same where there is more to a pair. `scores` become what values are weighed with. */
INLINE void slopes_of_pairs(const struct pairs *p, float *scores, float *slopes, int count, int certain,
                            __global const int *source, int first, int rows, const float *lse, const float *delta)
{
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        const vec base = vec_load(lse + v * VW), less = vec_load(delta + v * VW);
        float *s = scores + v * VW, *d = slopes + v * VW;
        const int query = first + v * VW, left = rows - v * VW;
        struct draws draws;
        draws.quad = -1;
        for (int j = 0; j < count; j++) {
            const vec product = vec_load(s + j * TILE), keep = pair_keeps(p, &draws, query, source[j]);
            const struct slope x = pair_slope(p, &draws, product, vec_load(d + j * TILE), base, less, keep, query, left,
                                              source[j]);
            const vec_int masked = vec_set((float)(source[j] - query)) > vec_iota();
            vec_store(s + j * TILE, j < certain ? x.weight : vec_select(masked, vec_set(0.0f), x.weight));
            vec_store(d + j * TILE, j < certain ? x.slope : vec_select(masked, vec_set(0.0f), x.slope));
        }
        for (int j = count; j < (count + STRIP - 1) / STRIP * STRIP; j++) {
            vec_store(s + j * TILE, vec_set(0.0f));
            vec_store(d + j * TILE, vec_set(0.0f));
        }
    }
}
#endif

/* Begins a tile: packs its rows of q and dout, makes delta of those of out. */
INLINE void begin_tile(struct work *w, struct tile t, struct head_rows q, struct head_rows out, struct head_rows dout,
                       __global const float *lse, int causal, float scale, int width, int value_width)
{
    pack_tile(w->queries, q.at, q.stride, t.answered, scale, width);
    pack_tile(w->grads, dout.at, dout.stride, t.answered, 1.0f, value_width);
    transpose_tile(w->queries_t, w->queries, t.answered, LOG2E, width);
    transpose_tile(w->grads_t, w->grads, t.answered, 1.0f, value_width);
    for (int r = 0; r < TILE; r++) /* a row that sees nothing has lse -inf: anything large keeps exp2 from overflow */
        w->base[r] = r < t.answered && lse[r] > -INFINITY ? lse[r] : 1e30f;
    for (int r = 0; r < TILE; r += VW)
        vec_store(w->delta + r, dot_rows(out.at + r * out.stride, out.stride, w->grads + r * VALUE_PITCH,
                                         t.answered - r, value_width));
    w->finite = !causal || (all_finite(w->queries, t.answered, width) && all_finite(w->grads, t.answered, value_width));
    w->mode = REPLACE;
}

/* dq, dk, dv of the queries' own keys, where they see them; if any does these begin the sums of dq. */
INLINE void meet_own(struct work *w, const struct pairs *p, struct tile t, struct kv x, struct sums to,
                     __global const int *own, int width, int value_width)
{
    for (int r = 0; r < t.answered; r++)
        if (own[r])
            w->mode = ADD;
    if (w->mode == REPLACE)
        return;
    clear_rows(w->dqueries, 0, TILE, width);
    for (int r = 0; r < t.answered; r += VW) {
        __global const float *k = x.k + (t.first + r) * x.k_stride, *v = x.v + (t.first + r) * x.v_stride;
        vec s = dot_rows(k, x.k_stride, w->queries + r * PITCH, t.answered - r, width) * LOG2E;
        vec d = dot_rows(v, x.v_stride, w->grads + r * VALUE_PITCH, t.answered - r, value_width);
#if PAIRS
        own_pairs(p, s, d, w->base + r, w->delta + r, w->own_score + r, w->own_slope + r, t.first + r, t.answered - r);
#else
        vec probable = vec_exp2(s - vec_load(w->base + r));
        vec_store(w->own_score + r, probable);
        vec_store(w->own_slope + r, probable * (d - vec_load(w->delta + r)));
#endif
    }
    for (int r = 0; r < t.answered; r++) {
        const ulong at = t.first + r;
        if (!own[r])
            continue;
        pack_row(w->dqueries + r * PITCH, x.k + at * x.k_stride, w->own_slope[r], width);
        add_row(to.dk + at * to.dk_stride, w->queries + r * PITCH, w->own_slope[r], width);
        add_row(to.dv + at * to.dv_stride, w->grads + r * VALUE_PITCH, w->own_score[r], value_width);
    }
}

/* P and dS of the tile and a block. */
INLINE void weigh_block(struct work *w, const struct pairs *p, struct tile t, struct block b, int width,
                        int value_width)
{
    for (int g = 0; g < t.answered; g += GROUP) {
        const struct edge e = edge_of(b.source, b.count, b.masked, t.first + g);
        product_scores(w->scores + g, w->keys, w->queries_t + g, e.seen, width);
        product_scores(w->slopes + g, w->values, w->grads_t + g, e.seen, value_width);
#if PAIRS
        slopes_of_pairs(p, w->scores + g, w->slopes + g, e.seen, e.certain, b.source, t.first + g, t.answered - g,
                        w->base + g, w->delta + g);
#else
        slopes_of(w->scores + g, w->slopes + g, e.seen, e.certain, b.source, t.first + g, w->base + g, w->delta + g);
#endif
    }
}

/* dv += P^T dout, dk += dS^T q; meanwhile fetches the rows of these that come next, the next block's, and ahead. */
INLINE void add_to_keys(struct work *w, struct tile t, struct block b, struct sums to, struct ahead *ahead, int width,
                        int value_width)
{
    for (int j = 0; j < b.count; j += ROWS) {
        prefetch_keys(ahead->gradients, b.source, j + ROWS, min(j + 2 * ROWS, b.count));
        prefetch_keys(ahead->kv, b.source, j + KEYS, min(j + KEYS + ROWS, b.left));
        prefetch_ahead(ahead);
        const int from = b.masked ? max(b.source[j] - t.first, 0) : 0;
        const int all = b.masked && !w->finite ? max(b.source[min(j + ROWS, b.count) - 1] - t.first, 0) : from;
        const struct steps left = {all - from, t.answered - from, t.answered - from};
        product_rows(w->rows, w->scores + j * TILE + from, TILE, 1, w->grads + from * VALUE_PITCH, left, REPLACE,
                     w->rows, value_width);
        for (int r = 0; r < ROWS && j + r < b.count; r++)
            add_row(to.dv + b.source[j + r] * to.dv_stride, w->rows + r * VALUE_PITCH, 1.0f, value_width);
        product_rows(w->rows, w->slopes + j * TILE + from, TILE, 1, w->queries + from * PITCH, left, REPLACE, w->rows,
                     width);
        for (int r = 0; r < ROWS && j + r < b.count; r++)
            add_row(to.dk + b.source[j + r] * to.dk_stride, w->rows + r * PITCH, 1.0f, width);
    }
}

/* dq (+)= dS k, but for `scale`. */
INLINE void add_to_queries(struct work *w, struct tile t, struct block b, int width)
{
    const int finite = !b.masked || all_finite(w->keys, b.count, width);
    struct steps seen = {0, b.masked ? 0 : b.count, b.masked ? 0 : b.count};
    for (int r = 0; r < t.answered; r += ROWS) {
        seen = see_more(seen, b.source, b.count, t.first + r, finite);
        product_rows(w->dqueries + r * PITCH, w->slopes + r, 1, TILE, w->keys, seen, w->mode, w->rows, width);
    }
}

/* dq, dk, dv of the tile and a run of keys, source[0 .. count). */
INLINE void meet_run(struct work *w, const struct pairs *p, struct tile t, __global const int *source, int count,
                     int causal, struct kv x, struct sums to, struct ahead *ahead, int width, int value_width)
{
    ahead->pace = (TILE * ROWS + count) / max(count, 1);
    for (int at = 0; at < count; at += KEYS) {
        const struct block b = block_of(source + at, count - at, causal, t.first);
        pack_keys(w->keys, x.k, x.k_stride, b.source, b.count, width);
        pack_keys(w->values, x.v, x.v_stride, b.source, b.count, value_width);
        weigh_block(w, p, t, b, width, value_width);
        add_to_keys(w, t, b, to, ahead, width, value_width);
        add_to_queries(w, t, b, width);
        w->mode = ADD;
    }
}

/* Ends a tile: dq of its rows, added where an earlier launch has begun it. */
INLINE void end_tile(struct work *w, struct tile t, __global float *dq, ulong dq_stride, int add, float scale,
                     int width)
{
    if (w->mode == REPLACE)
        clear_rows(w->dqueries, 0, t.answered, width);
    clear_rows(w->dqueries, t.answered, t.count, width);
    for (int r = 0; r < t.count; r++) {
        if (add)
            add_row(dq + r * dq_stride, w->dqueries + r * PITCH, scale, width);
        else
            store_row(dq + r * dq_stride, w->dqueries + r * PITCH, scale, width);
    }
}
#endif

__kernel void attention_clear(TENSOR(float, dk), TENSOR(float, dv), const int keys, const int kv_heads, const int width,
                              const int value_width, STRIDES(dk), STRIDES(dv))
{
    BIND(float, dk);
    BIND(float, dv);
    const ulong key = get_global_id(0) % keys, example = get_global_id(0) / keys;
    for (int g = 0; g < kv_heads; g++) {
        clear_row(dk + (example * dk_batch + key * dk_stride + g * dk_head), width);
        clear_row(dv + (example * dv_batch + key * dv_stride + g * dv_head), value_width);
    }
}

__kernel void attention_bwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v),
                            TENSOR(const float, out), TENSOR(const float, lse), TENSOR(const float, dout),
                            TENSOR(float, dq), TENSOR(float, dk), TENSOR(float, dv), TENSOR(const int, plan),
                            ATTENTION_SIZES, const int group, STRIDES(q), STRIDES(k), STRIDES(v), STRIDES(out),
                            STRIDES(dout), STRIDES(dq), STRIDES(dk), STRIDES(dv), ATTENTION_PAIRS, const int parts,
                            const int phase, const int own, const int clear)
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
#if PAIRS
    BIND_PAIRS;
#endif
    struct work w;

    const int part = (int)get_global_id(0), kv_heads = heads / group;
    const int kv_head = (int)(get_global_id(1) % kv_heads), example = (int)(get_global_id(1) / kv_heads);
    plan += plan_stride * example;
    q += example * q_batch;
    k += example * k_batch + kv_head * k_head;
    v += example * v_batch + kv_head * v_head;
    out += example * out_batch;
    lse += (ulong)example * heads * (query_end - query_begin);
    dout += example * dout_batch;
    dq += example * dq_batch;
    dk += example * dk_batch + kv_head * dk_head;
    dv += example * dv_batch + kv_head * dv_head;
    const struct kv kv = {k, v, k_stride, v_stride, width, value_width};
    const struct kv gradients = {dk, dv, dk_stride, dv_stride, width, value_width};
    const struct sums sums = {dk, dv, dk_stride, dv_stride};
    __global const int *source = plan + plan[PLAN_SOURCE_AT], *own_all = plan + plan[PLAN_OWN_AT];
    const int tiles = plan[PLAN_BLOCKS] * ((plan[PLAN_BLOCK] + TILE - 1) / TILE);
    const int sources = plan[plan[PLAN_SLICE_AT] + plan[PLAN_SLICES]];
    const int tile_first = (int)((ulong)tiles * part / parts), tile_end = (int)((ulong)tiles * (part + 1) / parts);
    const int key_part = (part + max(phase, 0)) % parts;
    const int key_first = (int)((ulong)sources * key_part / parts);
    const int key_end = phase < 0 ? 0 : (int)((ulong)sources * (key_part + 1) / parts);
    MATRIX_BEGIN

    for (int i = tile_first * group; i < tile_end * group; i++) {
        const struct tile t = tile_of(plan, i / group, query_begin, query_end);
        const struct tile next = tile_of(plan, (i + 1) / group, query_begin, query_end);
        const int head = kv_head * group + i % group, next_head = kv_head * group + (i + 1) % group;
        const int row = t.first - query_begin, next_row = next.first - query_begin; /* of the first query */
        const struct head_rows q_rows = {q + (row * q_stride + head * q_head), q_stride, width};
        const struct head_rows out_rows = {out + (row * out_stride + head * out_head), out_stride, value_width};
        const struct head_rows dout_rows = {dout + (row * dout_stride + head * dout_head), dout_stride, value_width};
        __global float *dq_rows = dq + (row * dq_stride + head * dq_head);
        struct ahead ahead = {
            .result = {dq_rows, dq_stride, width},
            .q = {q + (next_row * q_stride + next_head * q_head), q_stride, width},
            .out = {out + (next_row * out_stride + next_head * out_head), out_stride, value_width},
            .dout = {dout + (next_row * dout_stride + next_head * dout_head), dout_stride, value_width},
            .kv = kv,
            .gradients = gradients,
            .own = own ? own_all + next.first : NULL,
            .clears = clear};
        look_ahead(&ahead, plan, t, next, causal);
#if PAIRS
        PAIRS_MEMORY;
        SET_PAIRS(example, head);
        const struct pairs *const p = &pairs;
#else
        const struct pairs *const p = NULL;
#endif
        for (int r = 0; clear && i % group == 0 && r < t.count; r++) {
            clear_row(dk + (t.first + r) * dk_stride, width);
            clear_row(dv + (t.first + r) * dv_stride, value_width);
        }
        begin_tile(&w, t, q_rows, out_rows, dout_rows, lse + ((ulong)head * (query_end - query_begin) + row), causal,
                   scale, width, value_width);
        if (own)
            meet_own(&w, p, t, kv, sums, own_all + t.first, width, value_width);

        for (int run = 0, begin, end; run_of(plan, t, run, causal, &begin, &end); run++) {
            begin = max(begin, key_first);
            end = min(end, key_end);
            if (causal && begin < end)
                end = begin + visible(source + begin, end - begin, t.first + t.answered - 1);
            meet_run(&w, p, t, source + begin, end - begin, causal, kv, sums, &ahead, width, value_width);
        }
        end_tile(&w, t, dq_rows, dq_stride, phase != 0, scale, width);
    }
    MATRIX_END
}

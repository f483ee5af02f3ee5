/* The stages of attention_bwd.cl with products on a matrix engine. */
#ifndef SSA_ATTENTION_BWD_PARTS_H
#define SSA_ATTENTION_BWD_PARTS_H

#include "attention_parts.h"

#define TILE_STEPS PARTS_STEPS(TILE)
#define PAIR (2 * GROUP) /* queries over which is summed at once: of two groups, while they are in the first cache */
#define PAIR_STEPS PARTS_STEPS(PAIR)
#define KEY_PANELS ((KEYS + PANEL - 1) / PANEL)

/* Given to the engine at once: scores of both kinds, sums over a block's keys, and over the queries of a pair twice. */
_Static_assert((2 + 2 * (D / PANEL)) * KEY_PANELS + D / PANEL <= PANELS_MOST, "");

/* What a work-item has of its tile of queries: rows of q and dout [query][column]; lse and delta of each, and P and dS of
 * its own key; sums of dq, a group [column][query] behind another. Of a block and a group, of two groups in turn, what
 * becomes P and dS, [key][query]. Gradients of a block's keys [key][column]. */
struct work {
    float queries[TILE * D] ALIGNED, grads[TILE * D] ALIGNED, dqueries[TILE * D] ALIGNED;
    float base[TILE] ALIGNED, delta[TILE] ALIGNED, own_score[TILE] ALIGNED, own_slope[TILE] ALIGNED;
    float scores[2][KEYS * GROUP] ALIGNED, slopes[2][KEYS * GROUP] ALIGNED;
    float dkeys[KEYS * D] ALIGNED, dvalues[KEYS * D] ALIGNED;
    /* Packed: queries as columns, k their width; the same, k the query; keys as rows, and their columns as rows; P and dS
     * of a pair, keys as rows, of two in turn; dS of a group, queries as columns, likewise. */
    uint queries_p[PARTS_WORDS(TILE, D)] ALIGNED, grads_p[PARTS_WORDS(TILE, D)] ALIGNED;
    uint queries_sum[PARTS_WORDS(D, TILE)] ALIGNED, grads_sum[PARTS_WORDS(D, TILE)] ALIGNED;
    uint keys_p[PARTS_WORDS(KEYS, D)] ALIGNED, values_p[PARTS_WORDS(KEYS, D)] ALIGNED;
    uint keys_sum[PARTS_WORDS(D, KEYS)] ALIGNED, slopes_sum[2][PARTS_WORDS(GROUP, KEYS)] ALIGNED;
    uint weights_p[2][PARTS_WORDS(KEYS, PAIR)] ALIGNED, slopes_p[2][PARTS_WORDS(KEYS, PAIR)] ALIGNED;
    struct engine engine;
    int started[TILE / GROUP]; /* something is in the group's part of `dqueries` */
    int finite;                /* rows of q and dout are, or no key is masked; else which are not: */
    int bad[TILE];
};

/* The tile's rows, those that are bad as 0: a copy in `to`, if there are any. */
INLINE const float *without_bad(const struct work *w, const float *rows, float *to, int count)
{
    if (w->finite)
        return rows;
    for (int i = 0; i < count * D; i += VW)
        vec_store(to + i, w->bad[i / D] ? (vec)vec_set(0.0f) : (vec)vec_load(rows + i));
    return to;
}

/* Begins a tile: packs its rows of q and dout, makes delta of those of out. */
INLINE void begin_tile(struct work *w, struct tile t, struct head_rows q, struct head_rows out, struct head_rows dout,
                       const float *lse, int causal, float scale, int width, int value_width)
{
    (void)value_width;
    w->engine.at = w->engine.count = w->engine.step = 0;
    pack_tile(w->queries, q.at, q.stride, t.answered, scale, width);
    pack_tile(w->grads, dout.at, dout.stride, t.answered, 1.0f, width);
    w->finite = 1;
    for (int r = 0; causal && r < t.answered; r++) {
        w->bad[r] = !(row_is_finite(w->queries + r * D) && row_is_finite(w->grads + r * D));
        w->finite &= !w->bad[r];
    }
    pack_parts(w->queries_p, WIDTH_STEPS, w->queries, D, 0, 1, 0, D, 0, t.answered);
    pack_parts(w->grads_p, WIDTH_STEPS, w->grads, D, 0, 1, 0, D, 0, t.answered);
    pack_parts(w->queries_sum, TILE_STEPS, without_bad(w, w->queries, w->dqueries, t.answered), D, 1, 0, 0, t.answered,
               0, D);
    pack_parts(w->grads_sum, TILE_STEPS, without_bad(w, w->grads, w->dqueries, t.answered), D, 1, 0, 0, t.answered, 0,
               D);
    for (int r = 0; r < TILE; r++) /* a row that sees nothing has lse -inf: anything large keeps exp2 from overflow */
        w->base[r] = r < t.answered && lse[r] > -INFINITY ? lse[r] : 1e30f;
    for (int r = 0; r < TILE; r += VW)
        vec_store(w->delta + r, dot_rows(out.at + r * out.stride, out.stride, w->grads + r * D, t.answered - r, D));
    for (int group = 0; group < TILE / GROUP; group++)
        w->started[group] = 0;
}

/* dq, dk, dv of the queries' own keys, where they see them. */
INLINE void meet_own(struct work *w, const struct pairs *p, struct tile t, struct kv x, struct sums to, const int *own,
                     int width, int value_width)
{
    (void)p, (void)width, (void)value_width;
    float rows[GROUP * D] ALIGNED;
    for (int r = 0; r < t.answered; r += VW) {
        const float *k = x.k + (t.first + r) * x.k_stride, *v = x.v + (t.first + r) * x.v_stride;
        const vec s = dot_rows(k, x.k_stride, w->queries + r * D, t.answered - r, D) * LOG2E;
        const vec d = dot_rows(v, x.v_stride, w->grads + r * D, t.answered - r, D);
        const vec probable = vec_exp2(s - vec_load(w->base + r));
        vec_store(w->own_score + r, probable);
        vec_store(w->own_slope + r, probable * (d - vec_load(w->delta + r)));
    }
    for (int r = 0; r < t.answered; r++) {
        const ulong at = t.first + r;
        if (r % GROUP == 0)
            clear_rows(rows, 0, GROUP, D);
        if (own[r]) {
            w->started[r / GROUP] = 1;
            pack_row(rows + r % GROUP * D, x.k + at * x.k_stride, w->own_slope[r], D);
            add_row(to.dk + at * to.dk_stride, w->queries + r * D, w->own_slope[r], D);
            add_row(to.dv + at * to.dv_stride, w->grads + r * D, w->own_score[r], D);
        }
        if (w->started[r / GROUP] && (r % GROUP == GROUP - 1 || r == t.answered - 1))
            turn_rows(w->dqueries + r / GROUP * GROUP * D, rows);
    }
}

/* P and dS of one key and a group. */
struct slopes {
    vec p[GROUP / VW], d[GROUP / VW];
};
INLINE struct slopes slopes_of(const float *scores, const float *slopes, const float *base, const float *delta, int key,
                               int first, int masked)
{
    struct slopes s;
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        s.p[v] = vec_exp2(vec_load(scores + v * VW) * LOG2E - vec_load(base + v * VW));
        s.d[v] = s.p[v] * (vec_load(slopes + v * VW) - vec_load(delta + v * VW));
        if (masked) {
            const vec_int hidden = vec_set((float)(key - first - v * VW)) > vec_iota();
            s.p[v] = vec_select(hidden, vec_set(0.0f), s.p[v]);
            s.d[v] = vec_select(hidden, vec_set(0.0f), s.d[v]);
        }
    }
    return s;
}

/* Words of a key and a group in an operand a of keys by a pair's queries. */
INLINE void split_row(uint *packed, int j, int group, const vec *x)
{
    uint *to = packed + (j / PANEL * PAIR_STEPS + group % 2) * (STEP / 2) + j % PANEL / TILE_SIDE * TILE_WORDS +
               j % TILE_SIDE * TILE_SIDE;
    UNROLL for (int v = 0; v < GROUP / VW; v += 2)
        split(to + v * VW / 2, vec_even(x[v], x[v + 1]), vec_odd(x[v], x[v + 1]));
}

/* Scores and slopes of a group become P and dS, as operands; what products leave out needs them as they are, too. */
INLINE void weigh_group(struct work *w, int group, struct edge e, const int *source, int first, int keep)
{
    float *scores = w->scores[group % 2], *slopes = w->slopes[group % 2];
    const struct slopes none = {0};
    for (int j = 0; j < PARTS_STEPS(e.seen) * TILE_DEPTH; j += 2) {
        struct slopes pair[2];
        if (j % 4 == 0)
            engine_turn(&w->engine);
        UNROLL for (int i = 0; i < 2; i++)
        {
            const int at = (j + i) * GROUP;
            pair[i] = j + i >= e.seen ? none
                                      : slopes_of(scores + at, slopes + at, w->base + group * GROUP,
                                                  w->delta + group * GROUP, source[j + i], first, j + i >= e.certain);
            for (int v = 0; keep && v < GROUP / VW; v++) {
                vec_store(scores + at + v * VW, pair[i].p[v]);
                vec_store(slopes + at + v * VW, pair[i].d[v]);
            }
            split_row(w->weights_p[group / 2 % 2], j + i, group, pair[i].p);
            split_row(w->slopes_p[group / 2 % 2], j + i, group, pair[i].d);
        }
        UNROLL for (int v = 0; v < GROUP / VW; v++)
            split(pair_words(w->slopes_sum[group % 2], j, v * VW), pair[0].d[v], pair[1].d[v]);
    }
}

INLINE void give_scores(struct work *w, int group, int seen)
{
    const size_t at = PARTS_WORDS(group * GROUP, D);
    engine_give_rows(&w->engine, w->scores[group % 2], seen, w->keys_p, WIDTH_STEPS, w->queries_p + at, WIDTH_STEPS, 0);
    engine_give_rows(&w->engine, w->slopes[group % 2], seen, w->values_p, WIDTH_STEPS, w->grads_p + at, WIDTH_STEPS, 0);
}

/* What products left out of a group, in float32: of keys that have NaN or infinity to dq, and of queries to dk and dv. */
INLINE void add_bad(struct work *w, struct tile t, struct block b, const float **rows, struct kv x, struct sums to,
                    int group, int seen)
{
    const float *scores = w->scores[group % 2], *slopes = w->slopes[group % 2];
    const int first = group * GROUP, end = min(first + GROUP, t.answered);
    for (int j = 0; j < seen; j++)
        if (rows[j] == no_row)
            add_outer(w->dqueries + first * D, x.k + b.source[j] * x.k_stride, slopes + j * GROUP, b.source[j],
                      t.first + first);
    for (int r = first; !w->finite && r < end; r++)
        for (int j = 0; w->bad[r] && j < seen && (!b.masked || b.source[j] <= t.first + r); j++) {
            add_row(to.dv + b.source[j] * to.dv_stride, w->grads + r * D, scores[j * GROUP + r - first], D);
            add_row(to.dk + b.source[j] * to.dk_stride, w->queries + r * D, slopes[j * GROUP + r - first], D);
        }
}

/* Gives the engine sums [key][column] += of a block's keys weights . rows over the queries of a pair, the last of whose
 * groups is `group`; group begun[panel] is the first that sees any of the panel's keys. */
INLINE void give_keys(struct work *w, float *sums, int seen, const int *begun, int group, const uint *weights,
                      const uint *rows)
{
    const int first = group / 2 * 2;
    for (int j = 0; j < seen; j += PANEL) {
        const int begin = max(begun[j / PANEL], first);
        const uint *a = weights + (j / PANEL * PAIR_STEPS + begin - first) * (STEP / 2);
        for (int c = 0; c < D; c += PANEL)
            engine_give(&w->engine, sums + j * D + c, D, a, rows + (c / PANEL * TILE_STEPS + begin) * (STEP / 2),
                        group + 1 - begin, begun[j / PANEL] < first);
    }
}

INLINE void meet_block(struct work *w, struct tile t, struct block b, struct kv x, struct sums to)
{
    const float *rows[KEYS];
    const int groups = (t.answered + GROUP - 1) / GROUP;
    int group = first_group(b, t, groups), begun[KEY_PANELS], panels = 0;
    rows_of(rows, x.v, x.v_stride, b.source, b.count, 0);
    pack_rows(w->values_p, rows, b.count);
    rows_of(rows, x.k, x.k_stride, b.source, b.count, 0);
    pack_rows(w->keys_p, rows, b.count);
    const int bad = b.masked && rows_of(rows, x.k, x.k_stride, b.source, b.count, 1);
    pack_columns(w->keys_sum, rows, b.count);
    struct edge e = edge_of_group(b, t, group), next;
    if (group < groups)
        give_scores(w, group, e.seen);
    engine_finish(&w->engine);
    for (; group < groups; group++, e = next) {
        const int at = group * GROUP;
        while (panels * PANEL < e.seen)
            begun[panels++] = group;
        next = e;
        if (group + 1 < groups) {
            next = edge_of_group(b, t, group + 1);
            give_scores(w, group + 1, next.seen);
        }
        weigh_group(w, group, e, b.source, t.first + at, bad || !w->finite);
        engine_finish(&w->engine);
        engine_give_rows(&w->engine, w->dqueries + at * D, D, w->keys_sum, KEY_STEPS, w->slopes_sum[group % 2],
                         PARTS_STEPS(e.seen), w->started[group]);
        w->started[group] = 1;
        if (group % 2 || group == groups - 1) {
            give_keys(w, w->dvalues, e.seen, begun, group, w->weights_p[group / 2 % 2], w->grads_sum);
            give_keys(w, w->dkeys, e.seen, begun, group, w->slopes_p[group / 2 % 2], w->queries_sum);
        }
        if (bad || !w->finite) {
            engine_finish(&w->engine);
            add_bad(w, t, b, rows, x, to, group, e.seen);
        }
    }
    engine_finish(&w->engine);
    for (int j = 0; j < panels * PANEL && j < b.count; j++) {
        add_row(to.dv + b.source[j] * to.dv_stride, w->dvalues + j * D, 1.0f, D);
        add_row(to.dk + b.source[j] * to.dk_stride, w->dkeys + j * D, 1.0f, D);
    }
}

/* dq, dk, dv of the tile and a run of keys, source[0 .. count). */
INLINE void meet_run(struct work *w, const struct pairs *p, struct tile t, const int *source, int count, int causal,
                     struct kv x, struct sums to, struct ahead *ahead, int width, int value_width)
{
    (void)p, (void)ahead, (void)width, (void)value_width;
    for (int at = 0; at < count; at += KEYS)
        meet_block(w, t, block_of(source + at, count - at, causal, t.first), x, to);
}

/* Ends a tile: dq of its rows, added where an earlier launch has begun it. */
INLINE void end_tile(struct work *w, struct tile t, float *dq, ulong dq_stride, int add, float scale, int width)
{
    float factor[TILE];
    (void)width;
    for (int r = 0; r < TILE; r += VW)
        vec_store(factor + r, vec_set(scale));
    turn_tile_groups(dq, dq_stride, w->dqueries, factor, w->started, t, add);
}

#endif

/* The stages of attention_fwd.cl with products on a matrix engine. */
#ifndef SSA_ATTENTION_FWD_PARTS_H
#define SSA_ATTENTION_FWD_PARTS_H

#include "attention_parts.h"

/* What a work-item has of its tile of queries: rows; running maximum and sum of each; what is answered, a group
 * [column][query] behind another. Scores [key][query] and probabilities of two groups: while one's scores become
 * probabilities, the engine makes the next one's scores, and the last one's answers. Packed: queries as columns, a block's keys as rows, its values' columns as rows, a group's
 * probabilities as columns. */
struct work {
    float queries[TILE * D] ALIGNED, answer[TILE * D] ALIGNED, scores[2][KEYS * GROUP] ALIGNED;
    float m[TILE] ALIGNED, l[TILE] ALIGNED;
    uint queries_p[PARTS_WORDS(TILE, D)] ALIGNED, keys_p[PARTS_WORDS(KEYS, D)] ALIGNED;
    uint values_p[PARTS_WORDS(D, KEYS)] ALIGNED, weights_p[2][PARTS_WORDS(GROUP, KEYS)] ALIGNED;
    struct engine engine;
    int started[TILE / GROUP]; /* something is in the group's part of `answer` */
};

/* Scores of a group against the keys that it sees. Those of keys past `certain` become LEAST where a query is before
 * the key. Then probabilities, as an operand; m, l: running maximum and sum. `change`: what earlier answers are scaled
 * by; returns whether any. */
INLINE int soften(float *scores, uint *weights, struct edge e, const int *source, int first, float *m, float *l,
                  float *change, struct engine *engine)
{
    vec top[GROUP / VW], base[GROUP / VW], sum[GROUP / VW];
    int any = 0;
    for (int j = e.certain; j < e.seen; j++)
        for (int v = 0; v < GROUP; v += VW) {
            const vec_int hidden = vec_set((float)(source[j] - first - v)) > vec_iota();
            float *at = scores + j * GROUP + v;
            vec_store(at, vec_select(hidden, vec_set(LEAST), vec_load(at)));
        }
    UNROLL for (int v = 0; v < GROUP / VW; v++) top[v] = vec_load(m + v * VW);
    for (int j = 0; j < e.seen; j++)
        UNROLL for (int v = 0; v < GROUP / VW; v++) top[v] = vec_max(vec_load(scores + j * GROUP + v * VW), top[v]);
    UNROLL for (int v = 0; v < GROUP / VW; v++)
    {
        const vec less = vec_load(m + v * VW) - top[v], c = vec_exp2(less * LOG2E);
        any |= vec_sum(vec_select(less < vec_set(0.0f), vec_set(1.0f), vec_set(0.0f))) != 0.0f;
        sum[v] = vec_load(l + v * VW) * c;
        vec_store(change + v * VW, c);
        vec_store(m + v * VW, top[v]);
        base[v] = top[v] * LOG2E;
    }
    for (int j = 0; j < e.seen; j += 2) {
        const int pair = j + 1 < e.seen; /* else the second is nobody's */
        if (j % 8 == 0)
            engine_turn(engine);
        UNROLL for (int v = 0; v < GROUP / VW; v++)
        {
            const float *at = scores + j * GROUP + v * VW;
            vec p = vec_exp2(vec_load(at) * LOG2E - base[v]), q = vec_set(0.0f);
            if (pair)
                q = vec_exp2(vec_load(at + GROUP) * LOG2E - base[v]);
            if (j + pair >= e.certain) { /* where all of a query's scores are LEAST, its probabilities are not 0 */
                const vec position = vec_iota() + (float)(first + v * VW);
                p = vec_select(vec_set((float)source[j]) > position, vec_set(0.0f), p);
                if (pair)
                    q = vec_select(vec_set((float)source[j + 1]) > position, vec_set(0.0f), q);
            }
            sum[v] += p + q;
            split(pair_words(weights, j, v * VW), p, q);
        }
    }
    clear_pairs(weights, (e.seen + 1) / 2 * 2);
    UNROLL for (int v = 0; v < GROUP / VW; v++) vec_store(l + v * VW, sum[v]);
    return any;
}

/* Packs a tile's queries. Those that see their own key have met it, the others nothing. */
INLINE void begin_tile(struct work *w, const struct pairs *p, struct tile t, struct head_rows q, struct kv x,
                       const int *own, float scale, int alone, int width, int value_width)
{
    (void)p, (void)alone, (void)value_width;
    w->engine.at = w->engine.count = w->engine.step = 0;
    pack_tile(w->queries, q.at, q.stride, t.answered, scale, width); /* as backward: what is rounded is the same */
    pack_parts(w->queries_p, WIDTH_STEPS, w->queries, D, 0, 1, 0, D, 0, t.answered);
    for (int r = 0; r < TILE; r++) {
        const int sees = r < t.answered && own[r];
        w->m[r] = LEAST;
        w->l[r] = (float)sees;
        w->started[r / GROUP] = (r % GROUP && w->started[r / GROUP]) || sees;
    }
    for (int r = 0; r < t.answered; r += VW) {
        if (!w->started[r / GROUP])
            continue;
        const vec score = dot_rows(x.k + (t.first + r) * x.k_stride, x.k_stride, w->queries + r * D, t.answered - r, D);
        vec_store(w->m + r, vec_select(vec_load(w->l + r) > vec_set(0.0f), score, vec_set(LEAST)));
    }
    for (int r = 0; r < TILE; r++) { /* queries are packed by now */
        if (!w->started[r / GROUP])
            continue;
        if (r < t.answered && own[r])
            pack_row(w->queries + r * D, x.v + (t.first + r) * x.v_stride, 1.0f, D);
        else
            clear_rows(w->queries, r, r + 1, D);
        if (r % GROUP == GROUP - 1)
            turn_rows(w->answer + r / GROUP * GROUP * D, w->queries + r / GROUP * GROUP * D);
    }
}

/* Gives the engine answer += values . probabilities of a group, after the former is scaled by `change` where there is
 * any. */
INLINE void give_values(struct work *w, int group, int seen, const float *change)
{
    float *answer = w->answer + group * GROUP * D;
    for (int c = 0; change && w->started[group] && c < D; c++)
        for (int v = 0; v < GROUP; v += VW)
            vec_store(answer + c * GROUP + v, vec_load(answer + c * GROUP + v) * vec_load(change + v));
    engine_give_rows(&w->engine, answer, D, w->values_p, KEY_STEPS, w->weights_p[group % 2], PARTS_STEPS(seen),
                     w->started[group]);
    w->started[group] = 1;
}

/* What products left out: keys whose values have NaN or infinity, in float32. */
INLINE void add_bad_values(struct work *w, struct tile t, struct block b, const float **rows, struct kv x, int group,
                           int seen, const float *scores)
{
    float weights[GROUP];
    for (int j = 0; j < seen; j++) {
        if (rows[j] != no_row)
            continue;
        for (int v = 0; v < GROUP; v += VW)
            vec_store(weights + v,
                      vec_exp2((vec_load(scores + j * GROUP + v) - vec_load(w->m + group * GROUP + v)) * LOG2E));
        add_outer(w->answer + group * GROUP * D, x.v + b.source[j] * x.v_stride, weights, b.source[j],
                  t.first + group * GROUP);
    }
}

INLINE void give_scores(struct work *w, int group, int seen)
{
    engine_give_rows(&w->engine, w->scores[group % 2], seen, w->keys_p, WIDTH_STEPS,
                     w->queries_p + PARTS_WORDS(group * GROUP, D), WIDTH_STEPS, 0);
}

INLINE void meet_block(struct work *w, struct tile t, struct block b, struct kv x)
{
    const float *rows[KEYS];
    const int groups = (t.answered + GROUP - 1) / GROUP;
    int group = first_group(b, t, groups);
    rows_of(rows, x.k, x.k_stride, b.source, b.count, 0);
    pack_rows(w->keys_p, rows, b.count);
    const int bad = rows_of(rows, x.v, x.v_stride, b.source, b.count, b.masked);
    pack_columns(w->values_p, rows, b.count);
    struct edge e = edge_of_group(b, t, group), next;
    if (group < groups)
        give_scores(w, group, e.seen);
    engine_finish(&w->engine);
    for (; group < groups; group++, e = next) {
        float change[GROUP];
        const int at = group * GROUP;
        next = e;
        if (group + 1 < groups) {
            next = edge_of_group(b, t, group + 1);
            give_scores(w, group + 1, next.seen);
        }
        const int any = soften(w->scores[group % 2], w->weights_p[group % 2], e, b.source, t.first + at, w->m + at,
                               w->l + at, change, &w->engine);
        engine_finish(&w->engine);
        give_values(w, group, e.seen, any ? change : NULL);
        if (bad) {
            engine_finish(&w->engine);
            add_bad_values(w, t, b, rows, x, group, e.seen, w->scores[group % 2]);
        }
    }
    engine_finish(&w->engine);
}

/* The tile meets a run of keys, source[0 .. count). Nothing is fetched ahead: that takes longer here than it saves. */
INLINE void meet_run(struct work *w, const struct pairs *p, struct tile t, const int *source, int count, int causal,
                     struct kv x, struct ahead *ahead, int width, int value_width)
{
    (void)p, (void)ahead, (void)width, (void)value_width;
    for (int at = 0; at < count; at += KEYS)
        meet_block(w, t, block_of(source + at, count - at, causal, t.first), x);
}

/* Ends a tile: out and lse of its rows, 0 and -inf where nothing was seen or is padding. */
INLINE void end_tile(struct work *w, struct tile t, float *out, ulong out_stride, float *lse, int value_width)
{
    float part[TILE];
    (void)value_width;
    for (int r = t.answered; r < TILE; r++)
        w->l[r] = 0.0f;
    for (int r = 0; r < t.count; r += VW) {
        const vec sum = vec_load(w->l + r);
        const vec_int seen = sum > vec_set(0.0f);
        vec_store(part + r, vec_select(seen, 1.0f / sum, vec_set(0.0f)));
        const vec total = vec_load(w->m + r) * LOG2E + vec_log2(sum);
        STORE(lse + r, vec_select(seen, total, vec_set(-INFINITY)), min(VW, t.count - r));
    }
    turn_tile_groups(out, out_stride, w->answer, part, w->started, t, 0);
}

#endif

/* What happens between the two products to VW pairs at once, in the CPU shape: those of one key and the first `rows` of
 * VW queries from position `query` on. attention.h has the same of one pair. */
#ifndef SSA_ATTENTION_QUERIES_H
#define SSA_ATTENTION_QUERIES_H

#include "attention.h"
#include "rng_lanes.h"

#ifdef __OPENCL_C_VERSION__
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE static inline __attribute__((always_inline))
#endif

/* exp2(logit - base). A logit of -inf, by a bias, is of a key that is not seen; vec_exp2() alone would make it 2^-126.
 * The least other logit is also where running maxima start: of infinities there would be differences that are NaN. */
#define LEAST -0x1.fffffep127f
INLINE vec probability(vec logit, vec base)
{
    vec p = vec_exp2(logit - base);
#if PAIRS
    p = vec_select(logit < vec_set(LEAST), vec_set(0.0f), p);
#endif
    return p;
}

INLINE vec pair_load(__global const float *at, ulong stride, int rows)
{
    float t[VW];
    if (stride == 1 && rows >= VW)
        return vec_load(at);
    for (int i = 0; i < VW; i++)
        t[i] = i < rows ? at[i * stride] : 0.0f;
    return vec_load(t);
}

INLINE vec pair_scores(const struct pairs *p, vec s, int query, int rows, int key)
{
    const vec limit = vec_set(p->clip);
    s = vec_select(s > limit, limit, s);
    s = vec_select(s < -limit, -limit, s);
    if (p->bias)
        s += pair_load(PAIR_AT(p, bias, query, key), p->bias_query, rows) * LOG2E;
    return s;
}

INLINE vec pair_gates(const struct pairs *p, int query, int rows, int key)
{
    if (!p->gate)
        return vec_set(1.0f);
    return 1.0f / (1.0f + vec_exp2(pair_load(PAIR_AT(p, gate, query, key), p->gate_query, rows) * -LOG2E));
}

/* What dropout last drew for VW queries: a counter gives the words of four keys, so keys side by side share them. */
struct draws {
    int quad; /* key / 4; -1: nothing yet */
    vec_int words[4];
};

/* Of the words drawn last, those of a key as numbers in [0, 1). */
INLINE vec uniform_of(const struct draws *draws, int key)
{
    const vec_int word = key % 4 < 2 ? draws->words[key % 2] : draws->words[2 + key % 2];
    return vec_from_int((word >> 8) & 0xffffff) * (1.0f / 16777216.0f);
}

/* What `dropout`, of probabilities where above 0, makes of them; and of scores, where it is of keys. */
INLINE vec keeps_of(float dropout, vec uniform)
{
    return vec_select(uniform < vec_set(dropout), vec_set(0.0f), vec_set(1.0f / (1.0f - dropout)));
}
INLINE vec seen_of(float dropout, vec uniform, vec scores)
{
    return vec_select(uniform < vec_set(-dropout), vec_set(-INFINITY), scores);
}

INLINE vec pair_draws(const struct pairs *p, struct draws *draws, int query, int key)
{
    if (draws->quad != key / 4) {
        const vec_int at = vec_to_int(vec_iota()) + query; /* the counter is that of pair_keep() */
        draws->quad = key / 4;
        random_columns(p->seed, p->stream, (at << 20) | (key / 4), (at >> 12) | (int)(uint)(p->number << 10),
                       draws->words);
    }
    return uniform_of(draws, key);
}

INLINE vec pair_keeps(const struct pairs *p, struct draws *draws, int query, int key)
{
    if (!(PAIRS & 1) || p->dropout <= 0.0f)
        return vec_set(1.0f);
    return keeps_of(p->dropout, pair_draws(p, draws, query, key));
}

INLINE vec pair_logits(const struct pairs *p, struct draws *draws, vec s, int query, int rows, int key)
{
    const vec scores = pair_scores(p, s, query, rows, key);
    if (!(PAIRS & 2) || p->dropout >= 0.0f)
        return scores;
    return seen_of(p->dropout, pair_draws(p, draws, query, key), scores);
}

#endif

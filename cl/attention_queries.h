/* What happens between the two products to VW pairs at once, in the CPU shape: those of one key and the first `rows` of
 * VW queries from position `query` on. attention.h has the same of one pair. */
#ifndef SSA_ATTENTION_QUERIES_H
#define SSA_ATTENTION_QUERIES_H

#include "attention.h"

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

INLINE vec pair_logits(const struct pairs *p, vec s, int query, int rows, int key)
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

INLINE vec pair_keeps(const struct pairs *p, int query, int rows, int key)
{
    float keep[VW];
    if (p->dropout <= 0.0f)
        return vec_set(1.0f);
    for (int i = 0; i < VW; i++)
        keep[i] = i < rows ? pair_keep(p, query + i, key) : 0.0f;
    return vec_load(keep);
}

#endif

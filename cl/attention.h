/* What the attention kernels of every shape are given, beside their operands, and what happens to a pair of query and
 * key between the two products.
 *
 * Queries are named by their positions in the sequence of keys, of which they are the last: [query_begin, query_end).
 * Macro  PAIRS: 0 where there is neither bias nor gate, clip or dropout, so that nothing is asked for each pair; 1 where
 *        dropout, if any, is of probabilities; 2 where keys are dropped; 3 where that is asked.
 */
#ifndef SSA_ATTENTION_PAIRS_H
#define SSA_ATTENTION_PAIRS_H

#include "common.h"
#include "plan.h"
#include "rng.h"

#ifndef PAIRS
#ifdef __OPENCL_C_VERSION__
#define PAIRS 1
#else
#define PAIRS 3 /* natively there is one build for both */
#endif
#endif
#define LOG2E 1.44269504f
#ifndef __OPENCL_C_VERSION__
#define EXP2 exp2f
#elif SSA_GPU && !defined(COARSE_EXP2) /* where the device's native one is off by more than attention bears */
#define EXP2 native_exp2
#else
#define EXP2 exp2
#endif

/* Elements between neighbours, of [batch, position, head, width] and of [batch, head, query, key]. */
#define STRIDES(x) const ulong x##_batch, const ulong x##_stride, const ulong x##_head
#define PAIR_STRIDES(x) const ulong x##_batch, const ulong x##_head, const ulong x##_query, const ulong x##_key
#define ATTENTION_SIZES \
    const ulong plan_stride, const int query_begin, const int query_end, const int heads, const int width, \
        const int value_width, const int causal, const float scale
#define ATTENTION_PAIRS \
    TENSOR(const float, bias), PAIR_STRIDES(bias), TENSOR(const float, gate), PAIR_STRIDES(gate), \
        const int bias_repeat, const int gate_repeat, const float clip, const float dropout, const ulong seed, \
        const ulong stream, const int first_example
#if PAIRS
#define BIND_PAIRS \
    BIND(const float, bias); \
    BIND(const float, gate)
#else
#define BIND_PAIRS
#endif

#ifndef PAIRS_COUNT
#define PAIRS_COUNT ulong /* counts the values of a head */
#endif
#ifndef PAIRS_LOCAL
#define PAIRS_LOCAL 0 /* 1: what follows lies in local memory, read where needed: there are too few registers for it */
#endif
#if PAIRS_LOCAL
#define PAIRS_SPACE __local volatile
#else
#define PAIRS_SPACE
#endif

/* Of one head of one example: where its values begin, and what its draws are numbered by. */
struct pairs {
    __global const float *bias, *gate; /* of the first query and key; or none */
    PAIRS_COUNT bias_query, bias_key, gate_query, gate_key;
    float clip, dropout; /* clip: to base 2, infinity where there is none; dropout: of so many keys where below 0 */
    ulong seed, stream, number;
    int query_begin, zero; /* zero: 0, for what compilers must not know (attention_gpu.h) */
};
/* The example whose values b takes. */
#define EXAMPLE_OF(b, t) ((uint)(b) % (uint)t##_repeat)
#define FILL_PAIRS(b, h) \
    pairs.bias = bias ? bias + (EXAMPLE_OF(b, bias) * bias_batch + (h) * bias_head) : bias; \
    pairs.gate = gate ? gate + (EXAMPLE_OF(b, gate) * gate_batch + (h) * gate_head) : gate; \
    pairs.bias_query = (PAIRS_COUNT)bias_query; \
    pairs.bias_key = (PAIRS_COUNT)bias_key; \
    pairs.gate_query = (PAIRS_COUNT)gate_query; \
    pairs.gate_key = (PAIRS_COUNT)gate_key; \
    pairs.clip = clip > 0.0f ? clip * LOG2E : INFINITY; \
    pairs.dropout = dropout; \
    pairs.seed = seed; \
    pairs.stream = stream; \
    pairs.number = ((ulong)(uint)first_example + (b)) * heads + (h); \
    pairs.query_begin = query_begin; \
    pairs.zero = 0
/* From one head to the next. */
#define ADVANCE_PAIRS \
    pairs.bias = pairs.bias ? pairs.bias + bias_head : pairs.bias; \
    pairs.gate = pairs.gate ? pairs.gate + gate_head : pairs.gate; \
    pairs.number++
#if PAIRS_LOCAL
#define PAIRS_MEMORY __local struct pairs pairs
#define CHANGE_PAIRS(change) /* by all work-items of a group together */ \
    do { \
        barrier(CLK_LOCAL_MEM_FENCE); /* the last ones are read */ \
        if (get_local_id(0) == 0) { \
            change; \
        } \
        barrier(CLK_LOCAL_MEM_FENCE); \
    } while (0)
#else
#define PAIRS_MEMORY struct pairs pairs
#define CHANGE_PAIRS(change) \
    do { \
        change; \
    } while (0)
#endif
#define SET_PAIRS(b, h) CHANGE_PAIRS(FILL_PAIRS(b, h))
#define NEXT_HEAD CHANGE_PAIRS(ADVANCE_PAIRS)

/* Where the values of a query at a position, and of a key, are. */
#define PAIR_AT(p, t, query, key) \
    ((p)->t + ((PAIRS_COUNT)((query) - (p)->query_begin) * (p)->t##_query + (PAIRS_COUNT)(key) * (p)->t##_key))

/* The score of scale q.k, both to base 2. */
SSA_INLINE float pair_score(PAIRS_SPACE const struct pairs *p, float s, int query, int key)
{
    const float clip = p->clip;
    s = s > clip ? clip : s; /* NaN stays NaN */
    s = s < -clip ? -clip : s;
    return p->bias ? s + LOG2E * *PAIR_AT(p, bias, query, key) : s;
}

/* sigmoid(gate), 1 where there is none. */
SSA_INLINE float pair_gate(PAIRS_SPACE const struct pairs *p, int query, int key)
{
    return p->gate ? 1.0f / (1.0f + EXP2(-LOG2E * *PAIR_AT(p, gate, query, key))) : 1.0f;
}

/* What a pair draws, in [0, 1). */
SSA_INLINE float pair_draw(PAIRS_SPACE const struct pairs *p, int query, int key)
{
    const struct ssa_philox r =
        ssa_philox(p->seed, p->number << 42 | (ulong)query << 20 | (ulong)(key / 4), p->stream);
    const uint word = key % 4 == 0 ? r.v[0] : key % 4 == 1 ? r.v[1] : key % 4 == 2 ? r.v[2] : r.v[3];
    return ssa_uniform(word);
}

/* What a probability is multiplied by for dropout: 0 or 1/(1 - dropout). */
SSA_INLINE float pair_keep(PAIRS_SPACE const struct pairs *p, int query, int key)
{
    const float dropout = p->dropout;
    if (!(PAIRS & 1) || dropout <= 0.0f)
        return 1.0f;
    return pair_draw(p, query, key) < dropout ? 0.0f : 1.0f / (1.0f - dropout);
}

/* The logit that a probability is made of: the score, -inf where the key is dropped. */
SSA_INLINE float pair_logit(PAIRS_SPACE const struct pairs *p, float s, int query, int key)
{
#if PAIRS & 2
    const float dropout = p->dropout;
    if (dropout < 0.0f && pair_draw(p, query, key) < -dropout)
        return -INFINITY;
#endif
    return pair_score(p, s, query, key);
}

/* ---- the keys of one query, for kernels that take them one by one ---- */

/* The keys of one query: source[from .. from + count), source[common_from .. + common), and itself if `own`. */
struct seen {
    __global const int *source;
    int common_from, common, from, count, own;
};

SSA_INLINE struct seen see(__global const int *plan, int query)
{
    __global const int *range = plan + plan[PLAN_RANGE_AT] + 2 * ((query + plan[PLAN_LACK]) / plan[PLAN_BLOCK]);
    __global const int *start = plan + plan[PLAN_SLICE_AT];
    struct seen s = {plan + plan[PLAN_SOURCE_AT], 0, 0, 0, 0, 0};
    if (query >= plan[PLAN_LENGTH])
        return s;
    if (plan[PLAN_COMMON]) {
        s.common_from = start[0];
        s.common = start[1] - start[0];
    }
    s.from = start[range[0]];
    s.count = start[range[1]] - s.from;
    s.own = plan[plan[PLAN_OWN_AT] + query];
    return s;
}

/* Position of the t-th of them. */
SSA_INLINE int key_at(const struct seen *s, int t, int query)
{
    if (t < s->common)
        return s->source[s->common_from + t];
    t -= s->common;
    return t < s->count ? s->source[s->from + t] : query;
}

#endif

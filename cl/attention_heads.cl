/* Attention whose biases and gates lie head by head, as EGT's edges do: [batch, query, key, head]. Lanes of a vec are
 * the heads of a query, and where there are few, of several queries side by side: so what a pair has is loaded and
 * stored as it lies, softmax runs lane by lane, and nothing is packed for each head alone. Forward writes scores too,
 * backward gives the gradients of all operands in one walk over the pairs.
 *     formulas: include/ssacl/ops.h, struct ssa_attention and struct ssa_attention_bwd
 *
 * Shapes   as attention_fwd.cl, attention_bwd.cl and attention_pairs.cl; the heads of every tensor of pairs side by
 *          side. Heads of up to WIDTH_MAX elements, values as wide; as many of keys as of queries. Not causal; the plan
 *          has one block and one slice and no own keys. CPU shape only.
 * Grid     attention_heads_fwd: (tiles of TILE queries, batch); attention_heads_bwd: (batch).
 * Macros   D: the width of heads, else a parameter.
 *
 * Keys are met in blocks. Where scores are wanted, or have gradients, those that the plan does not give stand behind
 * those that it gives in each block. How far a sequence is padded changes neither blocks nor any sum; but whether this
 * kernel serves follows from the batch and the device's units too (lib/op/attention_heads.c), so that a short batch on
 * many units may be rounded otherwise.
 *
 * Lab book. EGT 4/64/16 with 8 heads, 64 molecules of 14 + 4 nodes, host backend, AVX-512, one thread, processor time
 * of a training step against attention_fwd.cl, attention_bwd.cl and attention_pairs.cl, dense / half of the keys, all
 * edges updated / half of them, edges fixed:
 *   lanes are heads                                                                      -44 / -39 / -46%
 *   halves of a vec put together by a shuffle, not in memory; stored so: nothing         -7 / -4 / -1%
 * Biases and gates of a head alone lie 2 heads apart: of the tiles' time most was in gathering them lane by lane, and
 * backward did so three times. */
#define STACK (512 << 10) /* bytes that a native build takes of a thread's stack, for its tiles */
#include "attention_queries.h"

#if !SSA_GPU
#define TILE HEADS_TILE
#ifdef D
#define WIDTH D
#define WIDTH_MAX D
#else
#define WIDTH width
#define WIDTH_MAX HEADS_WIDTH
#endif
#if WIDTH_MAX > 16
#define KEYS 32 /* keys of a block */
#else
#define KEYS 64
#endif
#if WIDTH_MAX % 8 == 0 && defined(D)
#define PART 8 /* elements of a head whose sums are in registers at once */
#else
#define PART 4
#endif
#define TOGETHER 4 /* vecs of queries whose parts of the keys' gradients are added at once */
#define ALIGNED __attribute__((aligned(64)))

/* ---- lanes ---- */

/* Lane l: head first + l % heads of query l / heads, of `queries` side by side; lanes past them are idle. */
struct lanes {
    int first, heads, queries;
};
INLINE struct lanes lanes_of(int first, int heads)
{
    struct lanes l = {first, min(VW, heads - first), heads <= VW ? VW / heads : 1};
    return l;
}

#ifdef __OPENCL_C_VERSION__
#if VW == 16
#define HALF 8
#elif VW == 8
#define HALF 4
#else
#define HALF 2
#endif
#define load_halves(a, b) (vec)(SSA_CAT(vload, HALF)(0, a), SSA_CAT(vload, HALF)(0, b))
#define store_low(p, v) SSA_CAT(vstore, HALF)((v).lo, 0, p)
#define store_high(p, v) SSA_CAT(vstore, HALF)((v).hi, 0, p)
#else
#if VW > 4 && (defined(__clang__) || __GNUC__ >= 12)
typedef float vec_half __attribute__((vector_size(2 * VW), aligned(4), may_alias));
#if VW == 16
#define ALL 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#else
#define ALL 0, 1, 2, 3, 4, 5, 6, 7
#endif
static inline vec load_halves(const float *a, const float *b)
{
    return __builtin_shufflevector(*(const vec_half *)a, *(const vec_half *)b, ALL);
}
#else
static inline vec load_halves(const float *a, const float *b)
{
    vec v;
    memcpy(&v, a, sizeof v / 2);
    memcpy((char *)&v + sizeof v / 2, b, sizeof v / 2);
    return v;
}
#endif
#define store_low(p, v) memcpy(p, &(v), sizeof(vec) / 2)
#define store_high(p, v) memcpy(p, (const char *)&(v) + sizeof(vec) / 2, sizeof(vec) / 2)
#endif

INLINE int are_halves(struct lanes l)
{
    return 2 * l.heads == VW && l.queries == 2;
}

/* What the pairs of a key and the next `left` queries have, from those of the first; idle lanes and those of no query
 * have anything that is a number, or what others have. */
INLINE vec lanes_load(__global const float *p, ulong by_query, struct lanes l, int left)
{
    float t[VW];
    if (l.heads == VW)
        return vec_load(p);
    if (are_halves(l))
        return load_halves(p, left > 1 ? p + by_query : p);
    for (int i = 0; i < VW; i++)
        t[i] = 0.0f;
    for (int q = 0; q < min(l.queries, left); q++)
        for (int h = 0; h < l.heads; h++)
            t[q * l.heads + h] = p[q * by_query + h];
    return vec_load(t);
}

INLINE void lanes_store(__global float *p, ulong by_query, vec x, struct lanes l, int left)
{
    float t[VW];
    if (l.heads == VW) {
        vec_store(p, x);
        return;
    }
    if (are_halves(l)) {
        store_low(p, x);
        if (left > 1)
            store_high(p + by_query, x);
        return;
    }
    vec_store(t, x);
    for (int q = 0; q < min(l.queries, left); q++)
        for (int h = 0; h < l.heads; h++)
            p[q * by_query + h] = t[q * l.heads + h];
}

/* The same of what queries have, [heads, queries]. */
INLINE vec lanes_of_rows(__global const float *p, int queries, struct lanes l, int left)
{
    float t[VW];
    for (int i = 0; i < VW; i++)
        t[i] = 0.0f;
    for (int q = 0; q < min(l.queries, left); q++)
        for (int h = 0; h < l.heads; h++)
            t[q * l.heads + h] = p[(ulong)h * queries + q];
    return vec_load(t);
}

INLINE void lanes_to_rows(__global float *p, int queries, vec x, struct lanes l, int left)
{
    float t[VW];
    vec_store(t, x);
    for (int q = 0; q < min(l.queries, left); q++)
        for (int h = 0; h < l.heads; h++)
            p[(ulong)h * queries + q] = t[q * l.heads + h];
}

/* ---- rows of heads, in lanes: [element of a head][lane] ---- */

/* Whether a row's heads are whole vecs side by side. */
INLINE int in_line(struct lanes l, ulong by_head, int width)
{
    return (l.heads == VW || are_halves(l)) && by_head == (ulong)WIDTH;
}

/* [lane][element] becomes [element][lane]: log2(VW) rounds of a perfect shuffle of all of it. And back again. */
INLINE void to_lanes(vec *x, int width)
{
    vec y[WIDTH_MAX];
    UNROLL for (int round = 1; round < VW; round *= 2)
    {
        UNROLL for (int i = 0; i < WIDTH / 2; i++)
        {
            y[2 * i] = vec_zip_low(x[i], x[i + WIDTH / 2]);
            y[2 * i + 1] = vec_zip_high(x[i], x[i + WIDTH / 2]);
        }
        UNROLL for (int i = 0; i < WIDTH; i++) x[i] = y[i];
    }
}

INLINE void from_lanes(vec *x, int width)
{
    vec y[WIDTH_MAX];
    UNROLL for (int round = 1; round < VW; round *= 2)
    {
        UNROLL for (int i = 0; i < WIDTH / 2; i++)
        {
            y[i] = vec_even(x[2 * i], x[2 * i + 1]);
            y[i + WIDTH / 2] = vec_odd(x[2 * i], x[2 * i + 1]);
        }
        UNROLL for (int i = 0; i < WIDTH; i++) x[i] = y[i];
    }
}

/* Rows at a and b: of a vec's queries, the second one where there are two and it is there; else zeros. */
INLINE void load_lanes(vec *x, __global const float *a, __global const float *b, int there, struct lanes l, int width)
{
    if (l.heads == VW)
        UNROLL for (int i = 0; i < WIDTH; i++) x[i] = vec_load(a + i * VW);
    else
        UNROLL for (int i = 0; i < WIDTH / 2; i++)
        {
            x[i] = vec_load(a + i * VW);
            x[i + WIDTH / 2] = vec_set(0.0f);
            if (there > 1)
                x[i + WIDTH / 2] = vec_load(b + i * VW);
        }
    to_lanes(x, width);
}

INLINE void store_lanes(vec *x, __global float *a, __global float *b, int there, struct lanes l, int width)
{
    from_lanes(x, width);
    if (l.heads == VW)
        UNROLL for (int i = 0; i < WIDTH; i++) vec_store(a + i * VW, x[i]);
    else
        UNROLL for (int i = 0; i < WIDTH / 2; i++)
        {
            vec_store(a + i * VW, x[i]);
            if (there > 1)
                vec_store(b + i * VW, x[i + WIDTH / 2]);
        }
}

/* The rows of the next `left` queries, from the first one's, times factor; zeros where there is none. */
INLINE void pack_queries(float *to, __global const float *from, ulong by_query, ulong by_head, struct lanes l, int left,
                         float factor, int width)
{
    if (in_line(l, by_head, width)) {
        vec x[WIDTH_MAX];
        load_lanes(x, from, from + by_query, left, l, width);
        UNROLL for (int d = 0; d < WIDTH; d++) vec_store(to + d * VW, x[d] * factor);
        return;
    }
    for (int i = 0; i < WIDTH * VW; i++)
        to[i] = 0.0f;
    for (int q = 0; q < min(l.queries, left); q++)
        for (int h = 0; h < l.heads; h++)
            for (int d = 0; d < WIDTH; d++)
                to[d * VW + q * l.heads + h] = from[q * by_query + h * by_head + d] * factor;
}

/* to = from factor, or to + from factor. */
INLINE void unpack_queries(__global float *to, ulong by_query, ulong by_head, struct lanes l, int left,
                           const float *from, vec factor, int add, int width)
{
    if (in_line(l, by_head, width) && !add) {
        vec x[WIDTH_MAX];
        UNROLL for (int d = 0; d < WIDTH; d++) x[d] = vec_load(from + d * VW) * factor;
        store_lanes(x, to, to + by_query, left, l, width);
        return;
    }
    for (int d = 0; d < WIDTH; d++) {
        float t[VW];
        vec_store(t, vec_load(from + d * VW) * factor);
        for (int q = 0; q < min(l.queries, left); q++)
            for (int h = 0; h < l.heads; h++) {
                __global float *x = to + (q * by_query + h * by_head + d);
                *x = add ? *x + t[q * l.heads + h] : t[q * l.heads + h];
            }
    }
}

/* [key][element][lane] of the rows that `at` names, the same for each of a vec's queries. */
INLINE void pack_keys(float *to, __global const float *from, ulong by_key, ulong by_head, struct lanes l, const int *at,
                      int count, int width)
{
    if (!in_line(l, by_head, width)) {
        for (int j = 0; j < count; j++)
            for (int d = 0; d < WIDTH; d++) {
                float *t = to + (j * WIDTH + d) * VW;
                for (int i = 0; i < VW; i++)
                    t[i] = i < l.queries * l.heads ? from[at[j] * by_key + i % l.heads * by_head + d] : 0.0f;
            }
        return;
    }
    for (int j = 0; j < count; j += l.queries) {
        vec x[WIDTH_MAX];
        const int last = min(j + 1, count - 1);
        float *t = to + j * WIDTH * VW;
        load_lanes(x, from + at[j] * by_key, from + at[last] * by_key, l.queries, l, width);
        if (l.queries == 1) {
            UNROLL for (int d = 0; d < WIDTH; d++) vec_store(t + d * VW, x[d]);
            continue;
        }
        UNROLL for (int d = 0; d < WIDTH; d++)
        {
            vec_store(t + d * VW, vec_lows(x[d], x[d]));
            vec_store(t + (WIDTH + d) * VW, vec_highs(x[d], x[d])); /* the last one again where their number is odd */
        }
    }
}

/* Sums over a vec's queries, times factor, to the rows that `at` names. */
INLINE void unpack_keys(__global float *to, ulong by_key, ulong by_head, struct lanes l, const int *at, int count,
                        const float *from, float factor, int width)
{
    if (!in_line(l, by_head, width)) {
        for (int j = 0; j < count; j++)
            for (int d = 0; d < WIDTH; d++)
                for (int h = 0; h < l.heads; h++) {
                    float sum = 0.0f;
                    for (int q = 0; q < l.queries; q++)
                        sum += from[(j * WIDTH + d) * VW + q * l.heads + h];
                    to[at[j] * by_key + h * by_head + d] = sum * factor;
                }
        return;
    }
    for (int j = 0; j < count; j += l.queries) {
        vec x[WIDTH_MAX];
        const int there = min(l.queries, count - j);
        const float *t = from + j * WIDTH * VW, *u = there > 1 ? t + WIDTH * VW : t;
        UNROLL for (int d = 0; d < WIDTH; d++)
        {
            const vec a = vec_load(t + d * VW), b = vec_load(u + d * VW);
            x[d] = a * factor;
            if (l.queries == 2)
                x[d] = (vec_lows(a, b) + vec_highs(a, b)) * factor;
        }
        store_lanes(x, to + at[j] * by_key, to + at[j + there - 1] * by_key, there, l, width);
    }
}

INLINE void clear_heads(__global float *to, ulong by_head, struct lanes l, int width)
{
    for (int h = 0; h < l.heads; h++)
        for (int d = 0; d < WIDTH; d++)
            to[h * by_head + d] = 0.0f;
}

INLINE void clear_vecs(float *to, int count)
{
    for (int i = 0; i < count; i++)
        vec_store(to + i * VW, vec_set(0.0f));
}

/* ---- the keys of a sequence, block by block ---- */

struct list {
    __global const int *source;
    int sources, real;   /* keys that the plan gives, and all that are no padding */
    int every;           /* those that it does not give too */
    int source_at, key_at;
};
INLINE struct list list_of(__global const int *plan, int keys, int every)
{
    __global const int *start = plan + plan[PLAN_SLICE_AT], *range = plan + plan[PLAN_RANGE_AT];
    const int from = start[range[0]];
    struct list l = {plan + plan[PLAN_SOURCE_AT] + from, start[range[1]] - from, min(keys, plan[PLAN_LENGTH]), every, 0,
                     0};
    return l;
}

/* Positions of the next block, the first `seen` of them the plan's; how many, 0 past the last. */
INLINE int next_keys(struct list *l, int *at, int *seen)
{
    const int begin = l->key_at, end = l->every ? min(begin + KEYS, l->real) : l->real;
    int count = 0;
    while (count < KEYS && l->source_at < l->sources && l->source[l->source_at] < end)
        at[count++] = l->source[l->source_at++];
    *seen = count;
    if (!l->every)
        return count;
    for (int j = begin, given = 0; j < end; j++)
        if (given < *seen && at[given] == j)
            given++;
        else
            at[count++] = j;
    l->key_at = end;
    return count;
}

/* Zeros for the pairs of `rows` queries with keys that no block has. */
INLINE void clear_unmet(__global float *to, ulong by_query, ulong by_key, struct lanes l, const struct list *list,
                        int rows, int keys)
{
    for (int j = 0, given = 0; j < keys; j++) {
        if (list->every ? j < list->real : given < list->sources && list->source[given] == j) {
            given++;
            continue;
        }
        for (int i = 0; i < rows; i++)
            for (int h = 0; h < l.heads; h++)
                to[i * by_query + j * by_key + h] = 0.0f;
    }
}

INLINE void clear_pairs(__global float *to, ulong by_query, ulong by_key, struct lanes l, int begin, int end, int keys)
{
    for (int i = begin; i < end; i++)
        for (int j = 0; j < keys; j++)
            for (int h = 0; h < l.heads; h++)
                to[i * by_query + j * by_key + h] = 0.0f;
}

/* ---- pairs ---- */

/* pair_score() of a key and the `left` queries from row i on. */
INLINE vec lanes_score(const struct pairs *p, vec s, struct lanes l, int i, int left, int key)
{
    const vec limit = vec_set(p->clip);
    s = vec_select(s > limit, limit, s);
    s = vec_select(s < -limit, -limit, s);
    if (p->bias)
        s += lanes_load(p->bias + (i * p->bias_query + key * p->bias_key), p->bias_query, l, left) * LOG2E;
    return s;
}

INLINE vec lanes_gate(const struct pairs *p, struct lanes l, int i, int left, int key)
{
    if (!p->gate)
        return vec_set(1.0f);
    const vec x = lanes_load(p->gate + (i * p->gate_query + key * p->gate_key), p->gate_query, l, left);
    return 1.0f / (1.0f + vec_exp2(x * -LOG2E));
}

/* pair_draw(), whose counter is of head and query; see pair_draws() of attention_queries.h. */
INLINE vec lanes_draw(const struct pairs *p, struct draws *draws, struct lanes l, int query, int key)
{
    if (draws->quad != key / 4) {
        float head[VW], row[VW];
        for (int i = 0; i < VW; i++) {
            head[i] = (float)(i % l.heads);
            row[i] = (float)(i / l.heads);
        }
        const vec_int at = vec_to_int(vec_load(row)) + query, number = vec_to_int(vec_load(head)) + (int)p->number;
        draws->quad = key / 4;
        random_columns(p->seed, p->stream, (at << 20) | (key / 4), (at >> 12) | (number << 10), draws->words);
    }
    return uniform_of(draws, key);
}

INLINE vec lanes_keep(const struct pairs *p, struct draws *draws, struct lanes l, int query, int key)
{
    if (!(PAIRS & 1) || p->dropout <= 0.0f)
        return vec_set(1.0f);
    return keeps_of(p->dropout, lanes_draw(p, draws, l, query, key));
}

/* The logits of scores. */
INLINE vec lanes_logit(const struct pairs *p, struct draws *draws, struct lanes l, vec scores, int query, int key)
{
    if (!(PAIRS & 2) || p->dropout >= 0.0f)
        return scores;
    return seen_of(p->dropout, lanes_draw(p, draws, l, query, key), scores);
}

/* Lane by lane, the product of a head of x and of y. */
INLINE vec lanes_product(const float *x, const float *y, int width)
{
    vec sum = vec_set(0.0f);
    UNROLL for (int d = 0; d < WIDTH; d++) sum += vec_load(x + d * VW) * vec_load(y + d * VW);
    return sum;
}

/* to[d] = to[d] change + sum over `count` j of weights[j] rows[j][d] */
INLINE void add_weighed(float *to, vec change, const float *weights, const float *rows, int count, int width)
{
    for (int c = 0; c < WIDTH; c += PART) {
        vec sum[PART];
        UNROLL for (int d = 0; d < PART; d++) sum[d] = vec_load(to + (c + d) * VW) * change;
        for (int j = 0; j < count; j++) {
            const vec w = vec_load(weights + j * VW);
            UNROLL for (int d = 0; d < PART; d++) sum[d] += w * vec_load(rows + (j * WIDTH + c + d) * VW);
        }
        UNROLL for (int d = 0; d < PART; d++) vec_store(to + (c + d) * VW, sum[d]);
    }
}

/* ---- forward ---- */

/* Of a vec of queries: running maxima and sums, and sums of gates. */
struct soft {
    vec top, sum, gates;
};

/* A vec of queries, those from row i on, which are `left`, meets a block of keys. */
INLINE void meet(const struct pairs *p, struct lanes l, int i, int left, const float *query, const float *keys,
                 const float *values, const int *at, int count, int seen, float *answer, struct soft *soft,
                 __global float *scores, ulong by_query, ulong by_key, int width)
{
    float weights[KEYS * VW] ALIGNED;
    struct soft s = *soft;
    struct draws draws;
    vec top = s.top;
    draws.quad = -1;
    for (int j = 0; j < count; j++) {
        const vec score = lanes_score(p, lanes_product(query, keys + j * WIDTH * VW, width), l, i, left, at[j]);
        if (j < seen) {
            const vec logit = lanes_logit(p, &draws, l, score, p->query_begin + i, at[j]);
            vec_store(weights + j * VW, logit);
            top = vec_max(logit, top);
        }
        if (scores)
            lanes_store(scores + (i * by_query + at[j] * by_key), by_query, score * 0.693147181f, l, left);
    }
    const vec change = vec_exp2(s.top - top);
    s.top = top;
    s.sum *= change;
    for (int j = 0; j < seen; j++) {
        const vec probable = probability(vec_load(weights + j * VW), top);
        const vec gate = lanes_gate(p, l, i, left, at[j]);
        s.sum += probable;
        s.gates += gate;
        vec_store(weights + j * VW, probable * gate * lanes_keep(p, &draws, l, p->query_begin + i, at[j]));
    }
    add_weighed(answer, change, weights, values, seen, width);
    *soft = s;
}

/* Of queries that are padding. */
INLINE void answer_nothing(__global float *out, ulong by_query, ulong by_head, __global float *lse,
                           __global float *gate_sum, struct lanes l, int begin, int end, int all, int width)
{
    for (int i = begin; i < end; i++) {
        clear_heads(out + i * by_query, by_head, l, width);
        for (int h = 0; h < l.heads; h++) {
            lse[(ulong)h * all + i] = -INFINITY;
            if (gate_sum)
                gate_sum[(ulong)h * all + i] = 0.0f;
        }
    }
}

__kernel void attention_heads_fwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v),
                                  TENSOR(float, out), TENSOR(float, lse), TENSOR(const int, plan), ATTENTION_SIZES,
                                  const int keys, STRIDES(q), STRIDES(k), STRIDES(v), STRIDES(out), ATTENTION_PAIRS,
                                  TENSOR(float, gate_sum), TENSOR(float, scores), PAIR_STRIDES(scores))
{
    BIND(const float, q);
    BIND(const float, k);
    BIND(const float, v);
    BIND(float, out);
    BIND(float, lse);
    BIND(const int, plan);
    BIND_PAIRS;
    BIND(float, gate_sum);
    BIND(float, scores);
    PAIRS_MEMORY;
    float queries[TILE * WIDTH_MAX * VW] ALIGNED, answer[TILE * WIDTH_MAX * VW] ALIGNED;
    float key_rows[(KEYS + 1) * WIDTH_MAX * VW] ALIGNED, value_rows[(KEYS + 1) * WIDTH_MAX * VW] ALIGNED;
    struct soft soft[TILE];
    int at[KEYS];
    const ulong b = get_global_id(1);
    const int all = query_end - query_begin, begin = (int)get_global_id(0) * TILE, end = min(begin + TILE, all);
    plan += plan_stride * b;
    const int there = max(min(end, plan[PLAN_LENGTH] - query_begin), begin);
    q += b * q_batch;
    k += b * k_batch;
    v += b * v_batch;
    out += b * out_batch;
    lse += b * heads * all;
    gate_sum = gate_sum ? gate_sum + b * heads * all : gate_sum;
    scores = scores ? scores + b * scores_batch : scores;

    for (int first = 0; first < heads; first += VW) {
        const struct lanes l = lanes_of(first, heads);
        struct list list = list_of(plan, keys, scores != 0);
        SET_PAIRS(b, first);
        for (int i = begin, n = 0; i < there; i += l.queries, n++) {
            pack_queries(queries + n * WIDTH * VW, q + i * q_stride, q_stride, q_head, l, there - i, scale * LOG2E,
                         width);
            clear_vecs(answer + n * WIDTH * VW, WIDTH);
            soft[n].top = vec_set(LEAST);
            soft[n].sum = soft[n].gates = vec_set(0.0f);
        }
        for (int seen, count; begin < there && (count = next_keys(&list, at, &seen));) {
            pack_keys(key_rows, k, k_stride, k_head, l, at, count, width);
            pack_keys(value_rows, v, v_stride, v_head, l, at, seen, width);
            for (int i = begin, n = 0; i < there; i += l.queries, n++)
                meet(&pairs, l, i, there - i, queries + n * WIDTH * VW, key_rows, value_rows, at, count, seen,
                     answer + n * WIDTH * VW, &soft[n], scores, scores_query, scores_key, width);
        }
        for (int i = begin, n = 0; i < there; i += l.queries, n++) {
            const vec_int seen = soft[n].sum > vec_set(0.0f);
            const vec inverse = vec_select(seen, 1.0f / soft[n].sum, vec_set(0.0f));
            const vec sum = vec_select(seen, soft[n].top + vec_log2(soft[n].sum), vec_set(-INFINITY));
            unpack_queries(out + i * out_stride, out_stride, out_head, l, there - i, answer + n * WIDTH * VW, inverse,
                           0, width);
            lanes_to_rows(lse + i, all, sum, l, there - i);
            if (gate_sum)
                lanes_to_rows(gate_sum + i, all, soft[n].gates, l, there - i);
        }
        answer_nothing(out, out_stride, out_head, lse, gate_sum, l, there, end, all, width);
        if (scores) {
            clear_unmet(scores + begin * scores_query, scores_query, scores_key, l, &list, there - begin, keys);
            clear_pairs(scores, scores_query, scores_key, l, there, end, keys);
            scores += VW * scores_head;
        }
        q += VW * q_head;
        k += VW * k_head;
        v += VW * v_head;
        out += VW * out_head;
        lse += VW * all;
        gate_sum = gate_sum ? gate_sum + VW * all : gate_sum;
    }
}

/* ---- backward ---- */

/* Of a vec of queries: what probabilities are made of, and what goes into slopes. */
struct of_rows {
    vec lse, delta, gate_sum;
};

/* Where the pairs of a group of heads lie; absent ones are NULL. */
struct pairs_of_heads {
    __global const float *dscores;
    __global float *dbias, *dgate;
    ulong dscores_query, dscores_key, dbias_query, dbias_key, dgate_query, dgate_key;
};

/* w and dS of a vec of queries, those from row i on, which are `left`, and a block of keys; their pairs' gradients. */
INLINE void slopes_of_lanes(const struct pairs *p, const struct pairs_of_heads *g, struct lanes l, int i, int left,
                            struct of_rows of, const float *query, const float *grad, const float *keys,
                            const float *values, const int *at, int count, int seen, float *weights, float *slopes,
                            int width)
{
    const vec_int answered = vec_iota() < vec_set((float)(l.heads * min(l.queries, left)));
    struct draws draws;
    draws.quad = -1;
    for (int j = 0; j < count; j++) {
        const int key = at[j];
        vec s = vec_set(0.0f), change = vec_set(0.0f), by_gate = vec_set(0.0f);
        if (j < seen || p->clip < INFINITY)
            s = lanes_product(query, keys + j * WIDTH * VW, width);
        if (j < seen) {
            const vec product = lanes_product(grad, values + j * WIDTH * VW, width);
            const vec score = lanes_score(p, s, l, i, left, key);
            const vec probable = probability(lanes_logit(p, &draws, l, score, p->query_begin + i, key), of.lse);
            const vec gate = lanes_gate(p, l, i, left, key);
            const vec kept = probable * lanes_keep(p, &draws, l, p->query_begin + i, key), w = kept * gate;
            change = w * product - probable * of.delta;
            by_gate = (kept * product + of.gate_sum) * gate * (1.0f - gate);
            vec_store(weights + j * VW, vec_select(answered, w, vec_set(0.0f)));
        }
        if (g->dscores)
            change += lanes_load(g->dscores + (i * g->dscores_query + key * g->dscores_key), g->dscores_query, l, left);
        if (g->dbias)
            lanes_store(g->dbias + (i * g->dbias_query + key * g->dbias_key), g->dbias_query, change, l, left);
        if (g->dgate)
            lanes_store(g->dgate + (i * g->dgate_query + key * g->dgate_key), g->dgate_query, by_gate, l, left);
        change = vec_select(answered, change, vec_set(0.0f));
        vec_store(slopes + j * VW, vec_select(vec_max(s, -s) > vec_set(p->clip), vec_set(0.0f), change));
    }
}

/* to[key][d] += sum over `groups` vecs of queries of weights[group][key] rows[group][d]: of `count` keys. */
INLINE void add_to_keys(float *to, const float *weights, const float *rows, int groups, int count, int width)
{
    for (int j = 0; j < count; j++)
        for (int c = 0; c < WIDTH; c += PART) {
            float *at = to + (j * WIDTH + c) * VW;
            vec sum[PART];
            UNROLL for (int d = 0; d < PART; d++) sum[d] = vec_load(at + d * VW);
            for (int n = 0; n < groups; n++) {
                const vec w = vec_load(weights + (n * KEYS + j) * VW);
                UNROLL for (int d = 0; d < PART; d++) sum[d] += w * vec_load(rows + (n * WIDTH + c + d) * VW);
            }
            UNROLL for (int d = 0; d < PART; d++) vec_store(at + d * VW, sum[d]);
        }
}

/* Zeros for the rows of keys that no query meets: `given` are the plan's alone met, else those of all blocks. */
INLINE void clear_keys(__global float *to, ulong by_key, ulong by_head, struct lanes l, const struct list *list,
                       int given, int queries, int keys, int width)
{
    for (int j = 0, n = 0; j < keys; j++) {
        const int is_given = n < list->sources && list->source[n] == j;
        n += is_given;
        if (!queries || !(is_given || (!given && list->every && j < list->real)))
            clear_heads(to + j * by_key, by_head, l, width);
    }
}

__kernel void attention_heads_bwd(TENSOR(const float, q), TENSOR(const float, k), TENSOR(const float, v),
                                  TENSOR(const float, out), TENSOR(const float, lse), TENSOR(const float, dout),
                                  TENSOR(float, dq), TENSOR(float, dk), TENSOR(float, dv), TENSOR(const int, plan),
                                  ATTENTION_SIZES, const int keys, STRIDES(q), STRIDES(k), STRIDES(v), STRIDES(out),
                                  STRIDES(dout), STRIDES(dq), STRIDES(dk), STRIDES(dv), ATTENTION_PAIRS,
                                  TENSOR(const float, dgate_sum), TENSOR(const float, dscores), PAIR_STRIDES(dscores),
                                  TENSOR(float, dbias), PAIR_STRIDES(dbias), TENSOR(float, dgate), PAIR_STRIDES(dgate))
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
    BIND_PAIRS;
    BIND(const float, dgate_sum);
    BIND(const float, dscores);
    BIND(float, dbias);
    BIND(float, dgate);
    PAIRS_MEMORY;
    float queries[TOGETHER * WIDTH_MAX * VW] ALIGNED, grads[TOGETHER * WIDTH_MAX * VW] ALIGNED;
    float key_rows[(KEYS + 1) * WIDTH_MAX * VW] ALIGNED, value_rows[(KEYS + 1) * WIDTH_MAX * VW] ALIGNED;
    float dkeys[KEYS * WIDTH_MAX * VW] ALIGNED, dvalues[KEYS * WIDTH_MAX * VW] ALIGNED, row[WIDTH_MAX * VW] ALIGNED;
    float weights[TOGETHER * KEYS * VW] ALIGNED, slopes[TOGETHER * KEYS * VW] ALIGNED;
    int at[KEYS];
    const ulong b = get_global_id(0);
    const int all = query_end - query_begin;
    plan += plan_stride * b;
    const int there = max(min(all, plan[PLAN_LENGTH] - query_begin), 0);

    for (int first = 0; first < heads; first += VW) {
        const struct lanes l = lanes_of(first, heads);
        struct list list = list_of(plan, keys, dscores != 0);
        __global const float *q_rows = q + (b * q_batch + first * q_head), *k_rows = k + (b * k_batch + first * k_head);
        __global const float *v_rows = v + (b * v_batch + first * v_head);
        __global const float *out_rows = out + (b * out_batch + first * out_head);
        __global const float *dout_rows = dout + (b * dout_batch + first * dout_head);
        __global float *dq_rows = dq + (b * dq_batch + first * dq_head);
        __global float *dk_rows = dk + (b * dk_batch + first * dk_head);
        __global float *dv_rows = dv + (b * dv_batch + first * dv_head);
        const ulong rows_at = (b * heads + first) * all;
        const struct pairs_of_heads g = {
            dscores ? dscores + (b * dscores_batch + first * dscores_head) : dscores,
            dbias ? dbias + (b * dbias_batch + first * dbias_head) : dbias,
            dgate ? dgate + (b * dgate_batch + first * dgate_head) : dgate,
            dscores_query, dscores_key, dbias_query, dbias_key, dgate_query, dgate_key};
        int add = 0; /* to what the blocks before gave queries */
        SET_PAIRS(b, first);
        clear_keys(dk_rows, dk_stride, dk_head, l, &list, 0, there, keys, width);
        clear_keys(dv_rows, dv_stride, dv_head, l, &list, 1, there, keys, width);
        for (int seen, count; there > 0 && (count = next_keys(&list, at, &seen)); add = 1) {
            pack_keys(key_rows, k_rows, k_stride, k_head, l, at, count, width);
            pack_keys(value_rows, v_rows, v_stride, v_head, l, at, seen, width);
            clear_vecs(dkeys, count * WIDTH);
            clear_vecs(dvalues, seen * WIDTH);
            for (int i = 0, n = 0; i < there; i += l.queries) {
                float *query = queries + n * WIDTH * VW, *grad = grads + n * WIDTH * VW;
                float *slope = slopes + n * KEYS * VW;
                const int left = there - i;
                struct of_rows of;
                pack_queries(query, q_rows + i * q_stride, q_stride, q_head, l, left, scale * LOG2E, width);
                pack_queries(grad, dout_rows + i * dout_stride, dout_stride, dout_head, l, left, 1.0f, width);
                pack_queries(row, out_rows + i * out_stride, out_stride, out_head, l, left, 1.0f, width);
                of.delta = lanes_product(grad, row, width);
                of.lse = lanes_of_rows(lse + (rows_at + i), all, l, left);
                of.lse = vec_select(of.lse > vec_set(-INFINITY), of.lse, vec_set(1e30f)); /* as in attention_bwd.cl */
                of.gate_sum = vec_set(0.0f);
                if (dgate_sum)
                    of.gate_sum = lanes_of_rows(dgate_sum + (rows_at + i), all, l, left);
                slopes_of_lanes(&pairs, &g, l, i, left, of, query, grad, key_rows, value_rows, at, count, seen,
                                weights + n * KEYS * VW, slope, width);
                clear_vecs(row, WIDTH);
                add_weighed(row, vec_set(1.0f), slope, key_rows, count, width);
                unpack_queries(dq_rows + i * dq_stride, dq_stride, dq_head, l, left, row, vec_set(scale), add, width);
                if (++n == TOGETHER || left <= l.queries) {
                    add_to_keys(dkeys, slopes, queries, n, count, width);
                    add_to_keys(dvalues, weights, grads, n, seen, width);
                    n = 0;
                }
            }
            unpack_keys(dk_rows, dk_stride, dk_head, l, at, count, dkeys, 0.693147181f, width);
            unpack_keys(dv_rows, dv_stride, dv_head, l, at, seen, dvalues, 1.0f, width);
        }
        for (int i = add ? there : 0; i < all; i++)
            clear_heads(dq_rows + i * dq_stride, dq_head, l, width);
        if (g.dbias) {
            clear_unmet(g.dbias, dbias_query, dbias_key, l, &list, there, keys);
            clear_pairs(g.dbias, dbias_query, dbias_key, l, there, all, keys);
        }
        if (g.dgate) {
            clear_unmet(g.dgate, dgate_query, dgate_key, l, &list, there, keys);
            clear_pairs(g.dgate, dgate_query, dgate_key, l, there, all, keys);
        }
    }
}
#endif

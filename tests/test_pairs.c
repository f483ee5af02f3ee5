/* Attention with bias, gate, clip, dropout, scores and their gradients, queries and values of their own, tensors that
 * lie in any way, against the oracle. Plain attention: test_attention.c. */
#include "pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct shape small = {.batch = 2, .keys = 37, .queries = 37, .heads = 2, .kv_heads = 1, .width = 16,
                                   .value_width = 16};

/* A case has some eight passes over its pairs. */
static bool fits(const struct shape *s)
{
    return test_fits((size_t)8 * s->batch * s->heads * s->keys * s->queries * s->width);
}

static int at_most(int value, int most)
{
    return value < most ? value : most;
}

/* For an interpreter: one sequence, and a little more than the smallest tile of it. */
static struct shape cut(struct shape s)
{
    const int away = s.queries - s.keys;
    s.batch = 1;
    s.keys = at_most(s.keys, 11);
    s.queries = away ? at_most(s.queries, away < 0 ? s.keys - 1 : 13) : s.keys;
    s.queries = s.queries > 0 ? s.queries : 1;
    return s;
}

/* `where`: the turns of PoCL and llvmpipe. */
static void check_where(const struct shape *whole, int where)
{
    const struct shape shape = fits(whole) ? *whole : cut(*whole), *s = &shape;
    struct problem p;
    if (!fits(s))
        return;
    pairs_make(&p, s);
    test_draw(&p.plan, s->kind, s->batch, s->keys, s->queries);
    pairs_solve(&p);
    FOR_TESTED (dev)
        if (test_has_turn(dev, where))
            pairs_check_on(dev, &p);
    pairs_free(&p);
}

/* One head width: each is a program to compile. */
enum { TURNS = POCL_CPU | POCL_GPU | LLVMPIPE };
static void check(const struct shape *s)
{
    check_where(s, TURNS);
}

/* ---- against the oracle ---- */

START_TEST(features_match_oracle)
{
    static const unsigned has[] = {BIAS, GATE, CLIP, DROPOUT, GATE | GATE_SUM, SCORES, BIAS | HIDING,
                                   BIAS | CLIP | SCORES, GATE | DROPOUT, ALL, DROP_KEYS, GATE_SUM | DROP_KEYS,
                                   BIAS | CLIP | SCORES | DROP_KEYS, ALL | DROP_KEYS};
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        for (int causal = 0; causal < 2; causal++) {
            struct shape s = small;
            s.has = has[i];
            s.causal = causal;
            check(&s);
        }
}
END_TEST

/* Lengths around the tiles of the kernels. */
START_TEST(plans_match_oracle)
{
    static const int lengths[] = {1, 31, 65, 96, 129};
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct shape s = small;
            s.kind = kind;
            s.batch = lengths[i] > 100 ? 2 : 3;
            s.keys = s.queries = lengths[i];
            s.kv_heads = 1 + kind % 2;
            s.causal = (kind + (int)i) % 2;
            s.has = ALL;
            check(&s);
        }
}
END_TEST

START_TEST(dropped_keys_match_oracle)
{
    static const int lengths[] = {1, 29, 65, 96};
    for (int kind = 0; kind < PLAN_KINDS; kind++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct shape s = small;
            s.kind = kind;
            s.keys = s.queries = lengths[i];
            s.kv_heads = 2 - kind % 2;
            s.causal = (kind + (int)i) % 2;
            s.has = DROP_KEYS | (i % 2 ? ALL : 0);
            check(&s);
        }
}
END_TEST

/* Of queries that see few keys most are left with none. */
START_TEST(all_keys_of_a_query_may_be_dropped)
{
    static const enum plan_kind kinds[] = {DENSE, UNBIASED_OWN, LOOK_BACK};
    for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++) {
        struct problem p;
        struct shape s = small;
        size_t none = 0, some = 0;
        s.kind = kinds[n];
        s.keys = s.queries = 19;
        s.causal = 1;
        s.has = DROP_KEYS | (n % 2 ? GATE | GATE_SUM : 0);
        pairs_make(&p, &s);
        p.drop_keys = 0.9f;
        test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
        pairs_solve(&p);
        for (size_t i = 0; i < pairs_count(&p.o[LSE]); i++)
            *(p.o[LSE].exact[i] == -INFINITY ? &none : &some) += 1;
        ck_assert(none > 10 && some > 10); /* the oracle agrees it is so */
        FOR_TESTED (dev)
            if (test_has_turn(dev, TURNS))
                pairs_check_on(dev, &p);
        pairs_free(&p);
    }
}
END_TEST

START_TEST(any_layout_matches_oracle)
{
    for (int lie = 0; lie < PAIRS_LIES; lie++)
        for (int heads_lie = BY_POSITION; heads_lie <= APART; heads_lie++) {
            struct shape s = small;
            s.kind = lie % 2 ? LOOK_BACK : UNBIASED_OWN;
            s.causal = heads_lie % 2;
            s.kv_heads = 2 - heads_lie % 2;
            s.has = lie < OF_TABLE ? ALL : ALL & ~HIDING; /* of few values one would hide all */
            s.heads_lie = heads_lie;
            s.bias_lie = lie;
            s.gate_lie = (lie + heads_lie) % PAIRS_LIES;
            s.scores_lie = lie % OF_TABLE;
            if (s.bias_lie == OF_WINDOWS || s.gate_lie == OF_WINDOWS)
                s.batch = 5;
            check(&s);
        }
}
END_TEST

/* Pairs that lie head by head are the CPU shape's cl/attention_heads.cl: heads that fill its lanes, halves of them, and
 * less; queries past a tile, keys past a block, as many as both and one more; and what sends it elsewhere. */
START_TEST(pairs_by_heads_match_oracle)
{
    static const struct {
        int heads, width, keys, queries, where;
    } sizes[] = {{8, 8, 18, 18, POCL_CPU}, {8, 8, 65, 65, 0}, {8, 8, 129, 129, 0}, {16, 8, 33, 33, POCL_CPU},
                 {4, 8, 31, 31, 0}, {5, 12, 20, 20, 0}, {12, 8, 17, 17, 0}, {17, 4, 19, 19, 0},
                 {32, 24, 9, 9, POCL_CPU},
                 {16, 32, 33, 33, 0}, {8, 20, 1, 1, 0}, {8, 8, 40, 7, 0}, {8, 8, 9, 70, 0}, {3, 8, 11, 11, 0},
                 {8, 36, 11, 11, 0}, {40, 8, 5, 5, 0}};
    static const enum plan_kind kinds[] = {DENSE, UNBIASED, KEEP, RATIO_LENGTHS_KEEP, DENSE, UNBIASED_OWN, LOCAL};
    static const unsigned has[] = {ALL, ALL & ~SCORES, ALL & ~(DROPOUT | HIDING | CLIP), GATE | SCORES, BIAS | GATE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
            for (int scores = 0; scores < 2; scores++) {
                struct shape s = {.kind = kinds[n], .batch = 4, .keys = sizes[i].keys, .queries = sizes[i].queries,
                                  .heads = sizes[i].heads, .kv_heads = sizes[i].heads, .width = sizes[i].width,
                                  .value_width = sizes[i].width, .bias_lie = OF_EDGES, .gate_lie = OF_EDGES,
                                  .scores_lie = OF_EDGES, .heads_lie = (enum heads_lie)((i + n) % 3)};
                s.has = n < 5 ? has[(n + (size_t)scores) % 5] : ALL;
                s.has |= scores ? SCORES : 0;
                s.has |= s.has & DROPOUT && (i + n) % 3 == 0 ? DROP_KEYS : 0;
                s.has &= scores ? ~0u : ~(unsigned)SCORES;
                if (s.queries == s.keys || n < 3)
                    check_where(&s, sizes[i].where);
            }
}
END_TEST

START_TEST(queries_of_their_own)
{
    static const struct {
        int keys, queries;
    } sizes[] = {{37, 1}, {67, 66}, {133, 31}, {1, 1}, {5, 40}, {33, 70}};
    static const enum plan_kind kinds[] = {DENSE, UNBIASED, KEEP, PER_EXAMPLE, LOCAL, LOOK_BACK, LOCAL_KEEP};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
            for (int pairs = 0; pairs < 3; pairs++) {
                struct shape s = small;
                const bool more = sizes[i].queries > sizes[i].keys;
                s.kind = kinds[n];
                s.keys = sizes[i].keys;
                s.queries = sizes[i].queries;
                s.causal = !more && (n + i) % 2;
                s.kv_heads = 1 + (int)n % 2;
                s.has = pairs == 2 ? DROP_KEYS : pairs ? ALL : 0;
                s.heads_lie = (enum heads_lie)(n % 3);
                if (!more || n < 3)
                    check(&s);
            }
}
END_TEST

/* Where kernels of GPU shape are built for, the wider of the two, rounded up to 8, is 16 for the first of them. */
START_TEST(widths_match_oracle)
{
    static const struct {
        int width, value_width, where;
    } widths[] = {{12, 16, TURNS}, {16, 4, TURNS}, {12, 12, LLVMPIPE}, {4, 4, 0}, {20, 20, 0}, {20, 4, 0}, {8, 64, 0},
                  {256, 128, 0}, {36, 100, 0}, {72, 72, POCL_GPU}}; /* past 64 gradients have a tile of their own */
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int pairs = 0; pairs < 3; pairs++) {
            struct shape s = small;
            s.kind = i % 2 ? UNBIASED_OWN : LOOK_BACK;
            s.keys = s.queries = 45;
            s.width = widths[i].width;
            s.value_width = widths[i].value_width;
            s.causal = i % 2 == 0;
            s.has = pairs == 2 ? ALL | DROP_KEYS : pairs ? ALL : 0;
            s.heads_lie = (enum heads_lie)(i % 3);
            check_where(&s, pairs == 1 ? widths[i].where : 0);
        }
}
END_TEST

/* ---- rows that see nothing, gates that are shut ---- */

static void set_row(struct operand *o, int query, double value)
{
    for (size_t b = 0; b < o->size[0] * o->size[1]; b++)
        for (size_t j = 0; j < o->size[3]; j++)
            o->exact[(b * o->size[2] + (size_t)query) * o->size[3] + j] = value;
}

START_TEST(hidden_keys_are_no_nan)
{
    for (int causal = 0; causal < 2; causal++) {
        struct problem p;
        struct shape s = small;
        s.kind = UNBIASED_OWN;
        s.has = BIAS | GATE | GATE_SUM;
        s.causal = causal;
        pairs_make(&p, &s);
        for (int i = 0; i < s.queries; i++) /* first all own keys */
            for (int h = 0; h < s.batch * s.heads; h++)
                p.o[BIASES].exact[(h * s.queries + i) * s.keys + i] = -INFINITY;
        set_row(&p.o[BIASES], 3, -INFINITY);
        set_row(&p.o[BIASES], 36, -INFINITY);
        set_row(&p.o[GATES], 20, -INFINITY);
        set_row(&p.o[GATES], 21, INFINITY);
        test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
        pairs_solve(&p);
        ck_assert(p.o[LSE].exact[3] == -INFINITY && p.o[LSE].exact[4] > -INFINITY); /* the oracle agrees it is so */
        ck_assert(p.o[OUT].exact[3 * 32] == 0 && p.o[DQ].exact[3 * 32] == 0 && p.o[SUMS].exact[3] > 0);
        FOR_TESTED (dev)
            if (test_has_turn(dev, TURNS))
                pairs_check_on(dev, &p);
        pairs_free(&p);
    }
}
END_TEST

/* A key is hidden by an infinite bias alone: a row of others, however large, has its probabilities. Not of backward,
 * whose lse is too coarse for them: nothing comes back to that row here. */
START_TEST(keys_far_down_are_seen)
{
    static const enum plan_kind kinds[] = {DENSE, UNBIASED_OWN};
    enum { ROW = 3 };
    for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++) {
        struct problem p;
        struct shape s = small;
        s.kind = kinds[n];
        s.has = BIAS;
        s.causal = 1;
        pairs_make(&p, &s);
        set_row(&p.o[BIASES], ROW, (double)-1e38f);
        for (size_t i = 0; i < pairs_count(&p.o[DOUT]); i++) /* [B,N,H,D] */
            if (i / (size_t)(s.heads * s.value_width) % (size_t)s.queries == ROW)
                p.o[DOUT].exact[i] = 0;
        test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
        pairs_solve(&p);
        FOR_TESTED (dev)
            if (test_has_turn(dev, TURNS))
                pairs_check_on(dev, &p);
        pairs_free(&p);
    }
}
END_TEST

/* ---- the same twice ---- */

START_TEST(repeats_bit_for_bit)
{
    static const enum plan_kind kinds[] = {DENSE, LOOK_BACK, LENGTHS_LOCAL};
    for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++) {
        struct problem p;
        struct shape s = small;
        s.kind = kinds[n];
        s.keys = s.queries = 131;
        s.heads = 4;
        s.kv_heads = 2;
        s.has = ALL & ~HIDING;
        s.bias_lie = OF_TABLE;
        s.gate_lie = OF_KEYS;
        if (!fits(&s))
            continue;
        pairs_make(&p, &s);
        test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
        FOR_TESTED (dev) {
            struct run r;
            float *first[OPERANDS];
            if (!test_has_turn(dev, TURNS))
                continue;
            pairs_start(&r, dev, &p);
            for (int turn = 0; turn < 2; turn++) {
                OK(ssa_attention_fwd(dev, &r.fwd));
                OK(ssa_attention_bwd(dev, &r.bwd));
                for (int i = OUT; i < OPERANDS; i++) {
                    const size_t count = pairs_count(&p.o[i]);
                    float *x = pairs_read(&p.o[i]);
                    ck_assert_msg(!turn || !memcmp(first[i], x, count * sizeof *x), "%s differs on %s", pairs_names[i],
                                  dev->info.id);
                    if (turn)
                        free(first[i]);
                    first[i] = x;
                }
            }
            for (int i = OUT; i < OPERANDS; i++)
                free(first[i]);
            pairs_finish(&r);
        }
        pairs_free(&p);
    }
}
END_TEST

/* ---- bad arguments ---- */

#define FWD_FAILS(words, change) \
    do { \
        struct ssa_attention a = r.fwd.attention; \
        change; \
        FAILS(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){a}), SSA_EINVAL, "attention_fwd: " words); \
    } while (0)
#define BWD_FAILS(words, change) \
    do { \
        struct ssa_attention_bwd b = r.bwd; \
        struct ssa_attention a = b.attention; \
        change; \
        b.attention = a; \
        FAILS(ssa_attention_bwd(dev, &b), SSA_EINVAL, "attention_bwd: " words); \
    } while (0)
#define BOTH_FAIL(words, change) \
    do { \
        FWD_FAILS(words, change); \
        BWD_FAILS(words, change); \
    } while (0)

START_TEST(bad_arguments)
{
    struct problem p;
    struct shape s = small;
    s.has = ALL;
    pairs_make(&p, &s);
    test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
    FOR_TESTED (dev) {
        struct run r;
        const struct ssa_tensor absent = {0};
        pairs_start(&r, dev, &p);
        BOTH_FAIL("clip is -1", a.clip = -1);
        BOTH_FAIL("clip is nan", a.clip = NAN);
        BOTH_FAIL("clip is inf", a.clip = INFINITY);
        BOTH_FAIL("dropout is 1", a.dropout = 1);
        BOTH_FAIL("dropout is -0.5", a.dropout = -0.5f);
        BOTH_FAIL("dropout is nan", a.dropout = NAN);
        BOTH_FAIL("drop_keys is 1", a.drop_keys = 1);
        BOTH_FAIL("drop_keys is -0.5", (a.dropout = 0, a.drop_keys = -0.5f));
        BOTH_FAIL("drop_keys is nan", a.drop_keys = NAN);
        BOTH_FAIL("dropout is 0.3 and drop_keys 0.1", a.drop_keys = 0.1f);
        BOTH_FAIL("stream must be below 2^63", a.stream |= (uint64_t)1 << 63);
        BOTH_FAIL("first_example + batch is 2097153, times heads, 2, past 2^22", a.first_example = (1u << 21) - 1);
        BOTH_FAIL("first_example + batch is 4294967297", a.first_example = UINT32_MAX);
        BOTH_FAIL("queries is 38, keys 37: where causal", (a.queries = 38, a.causal = 1));
        BOTH_FAIL("queries is -1", a.queries = -1);
        BOTH_FAIL("plan is for 37 queries, not 36", a.queries = 36);
        BOTH_FAIL("gate_sum is of gate, which is absent", a.gate.tensor = absent);
        BOTH_FAIL("bias needs 5476 elements", a.bias.tensor = test_too_small(a.bias.tensor));
        BOTH_FAIL("gate needs 5476 elements", a.gate.tensor = test_too_small(a.gate.tensor));
        BOTH_FAIL("bias needs", a.bias.batch = (size_t)-1);
        FWD_FAILS("gate_sum needs 148 elements", a.gate_sum = test_too_small(a.gate_sum));
        FWD_FAILS("scores needs 5476 elements", a.scores.tensor = test_too_small(a.scores.tensor));
        BOTH_FAIL("bias: repeat is -1", a.bias.repeat = -1);
        BOTH_FAIL("gate: repeat is -2", a.gate.repeat = -2);
        FWD_FAILS("scores: repeat is 1", a.scores.repeat = 1);
        BWD_FAILS("dscores: repeat is 1", b.dscores.repeat = 1);
        BWD_FAILS("dbias: repeat is -1", b.dbias.repeat = -1);
        FWD_FAILS("scores: the stride of batch is 0", a.scores.batch = 0);
        FWD_FAILS("scores: the stride of head is 0", a.scores.head = 0);
        FWD_FAILS("scores: the stride of query is 0", a.scores.query = 0);
        FWD_FAILS("scores: the stride of key is 0", a.scores.key = 0);
        FWD_FAILS("scores's stride is 36, its rows are 37 wide", a.scores.query = 36);
        FWD_FAILS("scores's strides make elements of it overlap", (a.scores.query = 40, a.scores.head = 100));
        FWD_FAILS("scores overlaps bias", a.scores.tensor = a.bias.tensor);
        FWD_FAILS("gate_sum overlaps lse", a.gate_sum = a.lse);
        FWD_FAILS("out's stride is 17, its rows are 32 wide", a.out_strides.position = 17);
        FWD_FAILS("out's strides make elements of it overlap", (a.out_strides.position = 24, a.out_strides.head = 20));
        BWD_FAILS("dq's strides make elements of it overlap", (b.dq_strides.position = 40, b.dq_strides.head = 20,
                                                               b.dq_strides.batch = 30));
        BWD_FAILS("dbias is of bias, which is absent", a.bias.tensor = absent);
        BWD_FAILS("dgate is of gate, which is absent", (a.gate.tensor = absent, a.gate_sum = absent));
        BWD_FAILS("dgate_sum goes to dgate, which is absent", b.dgate.tensor = absent);
        BWD_FAILS("dgate_sum needs 148 elements", b.dgate_sum = test_too_small(b.dgate_sum));
        BWD_FAILS("dscores needs 5476 elements", b.dscores.tensor = test_too_small(b.dscores.tensor));
        BWD_FAILS("dbias needs 5476 elements", b.dbias.tensor = test_too_small(b.dbias.tensor));
        BWD_FAILS("dbias's stride is 5, its rows are 37 wide", b.dbias.query = 5);
        BWD_FAILS("dbias's stride is 1, its rows are 37 wide", (b.dbias.query = 1, b.dbias.key = 1));
        BWD_FAILS("dbias overlaps bias", b.dbias.tensor = a.bias.tensor);
        BWD_FAILS("dgate overlaps dbias", b.dgate.tensor = b.dbias.tensor);
        pairs_finish(&r);
    }
    pairs_free(&p);
}
END_TEST

int main(void)
{
    return test_run("pairs", (const TTest *const[]){
        features_match_oracle, plans_match_oracle, dropped_keys_match_oracle, all_keys_of_a_query_may_be_dropped,
        any_layout_matches_oracle, pairs_by_heads_match_oracle,
        queries_of_their_own, widths_match_oracle,
        hidden_keys_are_no_nan, keys_far_down_are_seen, repeats_bit_for_bit, bad_arguments, NULL});
}

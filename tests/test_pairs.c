/* Attention with all that it takes beside q, k and v: bias, gate, clip, dropout, scores and their gradients, queries and
 * values of their own, tensors that lie in any way. Plain attention: test_attention.c. */
#include "oracle/attention.h"
#include "plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a case ---- */

enum { BIAS = 1, GATE = 2, CLIP = 4, DROPOUT = 8, GATE_SUM = 16, SCORES = 32, HIDING = 64, /* some biases are -inf */
       ALL = 127 };

/* How tensors of heads lie: [B,N,H,D]; [B,H,N,D]; rows and heads apart, the gradients in another way. */
enum heads_lie { BY_POSITION, BY_HEAD, APART };
/* Pairs: [B,H,T,N]; [B,T,N,H], as of EGT's edges; [B,H,N,T]; and those that share values: Swin's table, a head's, a
 * key's, a query's, one for all. */
enum pairs_lie { OF_PAIRS, OF_EDGES, TURNED, OF_TABLE, OF_HEADS, OF_KEYS, OF_QUERIES, OF_ALL, PAIRS_LIES };

struct shape {
    enum plan_kind kind;
    int batch, keys, queries, heads, kv_heads, width, value_width, causal;
    unsigned has;
    enum heads_lie heads_lie;
    enum pairs_lie bias_lie, gate_lie, scores_lie;
};

static const struct shape small = {.batch = 2, .keys = 37, .queries = 37, .heads = 2, .kv_heads = 1, .width = 16,
                                   .value_width = 16};

/* ---- operands ---- */

enum { Q, K, V, DOUT, BIASES, GATES, DSCORES, DGATE_SUM, INPUTS, OUT = INPUTS, LSE, SUMS, LOGITS, DQ, DK, DV, DBIAS, DGATE,
       OPERANDS };
static const char *const names[] = {"q", "k", "v", "dout", "bias", "gate", "dscores", "dgate_sum", "out", "lse",
                                    "gate_sum", "scores", "dq", "dk", "dv", "dbias", "dgate"};

/* [batch, position, head, width] or [batch, head, query, key]. Of stride 0: one for all. */
struct operand {
    bool there;
    size_t size[4], stride[4];
    double *exact; /* dense: inputs, which are floats, and what outputs must be */
    struct ssa_tensor tensor; /* on the device under test */
};

struct problem {
    struct shape s;
    struct ssa_plan plan;
    struct operand o[OPERANDS];
    float clip, dropout, scale;
    const double *keep, *hidden; /* the oracle's */
};

static size_t dense_count(const struct operand *o)
{
    return o->size[0] * o->size[1] * o->size[2] * o->size[3];
}

static size_t memory_count(const struct operand *o)
{
    size_t last = 0;
    for (int i = 0; i < 4; i++)
        last += (o->size[i] - 1) * o->stride[i];
    return last + 1;
}

/* Where the dense element i lies. */
static size_t place_of(const struct operand *o, size_t i)
{
    size_t at = 0;
    for (int d = 3; d >= 0; d--) {
        at += i % o->size[d] * o->stride[d];
        i /= o->size[d];
    }
    return at;
}

static void set_heads(struct operand *o, int batch, int positions, int heads, int width, enum heads_lie lie)
{
    const size_t n = (size_t)positions, h = (size_t)heads, w = (size_t)width;
    const size_t strides[][4] = {{n * h * w, h * w, w, 1}, {n * h * w, w, n * w, 1},
                                 {n * (h * (w + 3) + 5) + 2, h * (w + 3) + 5, w + 3, 1}};
    *o = (struct operand){.there = true, .size = {(size_t)batch, n, h, w}};
    memcpy(o->stride, strides[lie], sizeof o->stride);
}

static void set_pairs(struct operand *o, const struct shape *s, enum pairs_lie lie)
{
    const size_t h = (size_t)s->heads, t = (size_t)s->queries, n = (size_t)s->keys;
    const size_t strides[][4] = {
        [OF_PAIRS] = {h * t * n, t * n, n, 1}, [OF_EDGES] = {t * n * h, 1, n * h, h},
        [TURNED] = {h * n * t, n * t, 1, t},   [OF_TABLE] = {0, t * n, n, 1},
        [OF_HEADS] = {0, 1, 0, 0},             [OF_KEYS] = {n, 0, 0, 1},
        [OF_QUERIES] = {h * t, t, 1, 0},       [OF_ALL] = {0, 0, 0, 0}};
    *o = (struct operand){.there = true, .size = {(size_t)s->batch, h, t, n}};
    memcpy(o->stride, strides[lie], sizeof o->stride);
}

static void set_rows(struct operand *o, const struct shape *s)
{
    const size_t h = (size_t)s->heads, t = (size_t)s->queries;
    *o = (struct operand){.there = true, .size = {(size_t)s->batch, h, t, 1}, .stride = {h * t, t, 1, 1}};
}

/* What shares a place has one value. */
static void fill(struct operand *o, uint64_t seed, float low, float high)
{
    const size_t count = dense_count(o);
    float *x = test_values(memory_count(o), seed, low, high);
    for (size_t i = 0; i < count; i++)
        o->exact[i] = (double)x[place_of(o, i)];
    free(x);
}

/* The gradient of what shares a place is the sum over it. */
static void add_shared(struct operand *o)
{
    const size_t count = dense_count(o);
    double *sum = calloc(memory_count(o), sizeof *sum);
    for (size_t i = 0; i < count; i++)
        sum[place_of(o, i)] += o->exact[i];
    for (size_t i = 0; i < count; i++)
        o->exact[i] = sum[place_of(o, i)];
    free(sum);
}

static void set_operands(struct problem *p)
{
    const struct shape *s = &p->s;
    const enum heads_lie lie = s->heads_lie, of_gradients = lie == APART ? BY_HEAD : lie;
    struct operand *o = p->o;
    set_heads(&o[Q], s->batch, s->queries, s->heads, s->width, lie);
    set_heads(&o[K], s->batch, s->keys, s->kv_heads, s->width, lie);
    set_heads(&o[V], s->batch, s->keys, s->kv_heads, s->value_width, lie);
    set_heads(&o[OUT], s->batch, s->queries, s->heads, s->value_width, lie);
    set_heads(&o[DOUT], s->batch, s->queries, s->heads, s->value_width, of_gradients);
    set_heads(&o[DQ], s->batch, s->queries, s->heads, s->width, of_gradients);
    set_heads(&o[DK], s->batch, s->keys, s->kv_heads, s->width, of_gradients);
    set_heads(&o[DV], s->batch, s->keys, s->kv_heads, s->value_width, of_gradients);
    set_rows(&o[LSE], s);
    for (int i = 0; s->has & GATE_SUM && i < 2; i++)
        set_rows(&o[i ? DGATE_SUM : SUMS], s);
    for (int i = 0; s->has & (BIAS | HIDING) && i < 2; i++)
        set_pairs(&o[i ? DBIAS : BIASES], s, s->bias_lie);
    for (int i = 0; s->has & (GATE | GATE_SUM) && i < 2; i++)
        set_pairs(&o[i ? DGATE : GATES], s, s->gate_lie);
    for (int i = 0; s->has & SCORES && i < 2; i++)
        set_pairs(&o[i ? DSCORES : LOGITS], s, s->scores_lie);
    for (int i = 0; i < OPERANDS; i++)
        if (o[i].there)
            o[i].exact = calloc(dense_count(&o[i]), sizeof(double));
}

/* Every seventh value. */
static void hide_some(struct operand *bias)
{
    const size_t count = dense_count(bias);
    for (size_t i = 0; i < count; i++)
        if (place_of(bias, i) % 7 == 2)
            bias->exact[i] = -INFINITY;
}

static void make_problem(struct problem *p, const struct shape *s)
{
    static const float limit[INPUTS] = {2, 2, 2, 1, 2, 3, 1, 1};
    *p = (struct problem){.s = *s, .clip = s->has & CLIP ? 1.5f : 0, .dropout = s->has & DROPOUT ? 0.3f : 0};
    set_operands(p);
    for (int i = 0; i < INPUTS; i++)
        if (p->o[i].there)
            fill(&p->o[i], 31 + (uint64_t)i, -limit[i], limit[i]);
    if (s->has & HIDING)
        hide_some(&p->o[BIASES]);
}

enum { FIRST_EXAMPLE = 3 };
static const uint64_t seed = 0x123456789abcdef0, stream = 0x7edcba9876543210;

static struct oracle_attention oracle_of(struct problem *p)
{
    const struct shape *s = &p->s;
    struct operand *o = p->o;
    return (struct oracle_attention){
        .q = o[Q].exact, .k = o[K].exact, .v = o[V].exact, .dout = o[DOUT].exact, .out = o[OUT].exact,
        .lse = o[LSE].exact, .dq = o[DQ].exact, .dk = o[DK].exact, .dv = o[DV].exact, .plan = &p->plan,
        .batch = s->batch, .keys = s->keys, .queries = s->queries, .heads = s->heads, .kv_heads = s->kv_heads,
        .width = s->width, .value_width = s->value_width, .causal = s->causal, .scale = (double)p->scale,
        .clip = (double)p->clip, .bias = o[BIASES].exact, .gate = o[GATES].exact, .scores = o[LOGITS].exact,
        .gate_sum = o[SUMS].exact, .dscores = o[DSCORES].exact, .dgate_sum = o[DGATE_SUM].exact,
        .dbias = o[DBIAS].exact, .dgate = o[DGATE].exact, .dropout = p->dropout, .seed = seed, .stream = stream,
        .first_example = FIRST_EXAMPLE, .keep = p->keep, .hidden = p->hidden};
}

static void solve(struct problem *p)
{
    const struct oracle_attention o = oracle_of(p);
    oracle_attention_fwd(&o);
    oracle_attention_bwd(&o);
    for (int i = DBIAS; i <= DGATE; i++)
        if (p->o[i].there)
            add_shared(&p->o[i]);
}

static void free_problem(struct problem *p)
{
    ssa_plan_finish(&p->plan);
    for (int i = 0; i < OPERANDS; i++)
        free(p->o[i].exact);
}

/* ---- a run of it on a device ---- */

struct run {
    struct problem *p;
    struct ssa_tensor plan;
    struct ssa_attention_fwd fwd;
    struct ssa_attention_bwd bwd;
};

static void upload(struct ssa_device *dev, struct operand *o, bool input)
{
    const size_t count = memory_count(o), dense = dense_count(o);
    float *all = malloc(count * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = NAN;
    for (size_t i = 0; input && i < dense; i++)
        all[place_of(o, i)] = (float)o->exact[i];
    o->tensor = test_from(dev, all, count);
    free(all);
}

/* Dense; free() it. What lies between must still be NaN. */
static float *read_dense(const struct operand *o)
{
    const size_t count = memory_count(o), dense = dense_count(o);
    float *all = test_read(o->tensor, count), *x = malloc(dense * sizeof *x);
    for (size_t i = 0; i < dense; i++)
        x[i] = all[place_of(o, i)];
    for (size_t i = 0; i < dense; i++)
        all[place_of(o, i)] = NAN;
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(isnan(all[i]), "element %zu, between the rows, was written", i);
    free(all);
    return x;
}

/* Zero where that is the default. */
static struct ssa_strides strides_of(const struct operand *o, enum heads_lie lie)
{
    if (lie == BY_POSITION)
        return (struct ssa_strides){0};
    return (struct ssa_strides){.batch = lie == APART ? o->stride[0] : 0, .position = o->stride[1], .head = o->stride[2]};
}

static struct ssa_pairs pairs_of(const struct operand *o)
{
    return (struct ssa_pairs){o->tensor, o->stride[0], o->stride[1], o->stride[2], o->stride[3]};
}

static void start(struct run *r, struct ssa_device *dev, struct problem *p)
{
    const struct shape *s = &p->s;
    struct operand *o = p->o;
    for (int i = 0; i < OPERANDS; i++)
        if (o[i].there)
            upload(dev, &o[i], i < INPUTS);
    r->p = p;
    r->plan = test_plan(dev, &p->plan);
    r->fwd.attention = (struct ssa_attention){
        .q = o[Q].tensor, .k = o[K].tensor, .v = o[V].tensor, .out = o[OUT].tensor, .lse = o[LSE].tensor,
        .plan = &p->plan, .plan_data = r->plan, .batch = s->batch, .keys = s->keys,
        .queries = s->queries == s->keys ? 0 : s->queries, .heads = s->heads,
        .kv_heads = s->kv_heads == s->heads ? 0 : s->kv_heads, .width = s->width,
        .value_width = s->value_width == s->width ? 0 : s->value_width,
        .q_strides = strides_of(&o[Q], s->heads_lie), .k_strides = strides_of(&o[K], s->heads_lie),
        .v_strides = strides_of(&o[V], s->heads_lie), .out_strides = strides_of(&o[OUT], s->heads_lie),
        .causal = s->causal, .scale = p->scale, .clip = p->clip, .bias = pairs_of(&o[BIASES]), .gate = pairs_of(&o[GATES]),
        .scores = pairs_of(&o[LOGITS]), .gate_sum = o[SUMS].tensor, .dropout = p->dropout, .seed = seed,
        .stream = stream, .first_example = FIRST_EXAMPLE};
    r->bwd = (struct ssa_attention_bwd){
        .attention = r->fwd.attention, .dout = o[DOUT].tensor, .dq = o[DQ].tensor, .dk = o[DK].tensor,
        .dv = o[DV].tensor, .dgate_sum = o[DGATE_SUM].tensor, .dbias = pairs_of(&o[DBIAS]),
        .dgate = pairs_of(&o[DGATE]), .dscores = pairs_of(&o[DSCORES])};
    if (s->heads_lie == APART) {
        r->bwd.dout_strides = strides_of(&o[DOUT], BY_HEAD);
        r->bwd.dq_strides = strides_of(&o[DQ], BY_HEAD);
        r->bwd.dk_strides = strides_of(&o[DK], BY_HEAD);
        r->bwd.dv_strides = strides_of(&o[DV], BY_HEAD);
    }
}

static void finish(struct run *r)
{
    for (int i = 0; i < OPERANDS; i++)
        if (r->p->o[i].there)
            test_free(r->p->o[i].tensor, memory_count(&r->p->o[i]));
    test_free(r->plan, r->p->plan.stride * (size_t)r->p->plan.examples);
}

static void describe(const struct shape *s, const struct ssa_device *dev, char *text, size_t size)
{
    snprintf(text, size, "%s, B%d N%d T%d H%d/%d D%d E%d%s has %#x, lies %d %d %d %d, on %s%s", test_plan_names[s->kind],
             s->batch, s->keys, s->queries, s->heads, s->kv_heads, s->width, s->value_width, s->causal ? " causal" : "",
             s->has, s->heads_lie, s->bias_lie, s->gate_lie, s->scores_lie, dev->info.id,
             dev->info.gpu_shape ? ", GPU shape" : "");
}

/* As in test_attention.c: 1e-5, and of gradients that are sums of many terms, 1e-5 of what they may sum to. */
static void compare(const struct problem *p, int operand, struct ssa_device *dev)
{
    const struct operand *o = &p->o[operand];
    const size_t shared = dense_count(o) / memory_count(o); /* values that a place is the gradient of */
    const int terms = operand == DK || operand == DV                     ? p->s.queries
                      : operand == DQ && p->s.has & SCORES               ? p->s.keys
                      : (operand == DBIAS || operand == DGATE) && shared ? (int)shared
                                                                         : 0;
    char message[512], what[256];
    float *x = read_dense(o);
    const bool good = test_close_to(names[operand], x, o->exact, dense_count(o), 1e-5 * (1 + 0.1 * terms), 1e-5, message,
                                    sizeof message);
    free(x);
    describe(&p->s, dev, what, sizeof what);
    ck_assert_msg(good, "%s (%s)", message, what);
}

/* None serves in the place of another that failed its self-test. */
static void check_path(struct ssa_device *dev, const char *op)
{
    char path[256];
    OK(ssa_device_path(dev, op, path, sizeof path));
    ck_assert_msg(!strstr(path, "quarantined"), "%s: %s", op, path);
    ck_assert_msg(!dev->info.gpu_shape || getenv("SSACL_PORTABLE") || strstr(path, "SIDE="), "%s: %s", op, path);
}

static void check_on(struct ssa_device *dev, struct problem *p)
{
    struct run r;
    start(&r, dev, p);
    OK(ssa_attention_fwd(dev, &r.fwd));
    check_path(dev, "attention_fwd");
    for (int i = OUT; i < DQ; i++)
        if (p->o[i].there)
            compare(p, i, dev);
    OK(ssa_attention_bwd(dev, &r.bwd));
    check_path(dev, "attention_bwd");
    for (int i = DQ; i < OPERANDS; i++)
        if (p->o[i].there)
            compare(p, i, dev);
    finish(&r);
}

static bool fits(const struct shape *s)
{
    return test_fits((size_t)s->batch * s->heads * s->keys * s->queries * s->width);
}

/* `where`: the turns of PoCL and llvmpipe. */
static void check_where(const struct shape *s, int where)
{
    struct problem p;
    if (!fits(s))
        return;
    make_problem(&p, s);
    test_draw(&p.plan, s->kind, s->batch, s->keys, s->queries);
    solve(&p);
    FOR_TESTED (dev)
        if (test_has_turn(dev, where))
            check_on(dev, &p);
    free_problem(&p);
}

static void check(const struct shape *s)
{
    check_where(s, POCL_CPU | POCL_GPU | LLVMPIPE);
}

/* ---- against the oracle ---- */

START_TEST(features_match_oracle)
{
    static const unsigned has[] = {BIAS, GATE, CLIP, DROPOUT, GATE | GATE_SUM, SCORES, BIAS | HIDING,
                                   BIAS | CLIP | SCORES, GATE | DROPOUT, ALL};
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
    static const int lengths[] = {1, 31, 65, 129};
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
            check(&s);
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
            for (int pairs = 0; pairs < 2; pairs++) {
                struct shape s = small;
                const bool more = sizes[i].queries > sizes[i].keys;
                s.kind = kinds[n];
                s.keys = sizes[i].keys;
                s.queries = sizes[i].queries;
                s.causal = !more && (n + i) % 2;
                s.kv_heads = 1 + (int)n % 2;
                s.has = pairs ? ALL : 0;
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
    } widths[] = {{12, 16, POCL_CPU | POCL_GPU | LLVMPIPE}, {16, 4, POCL_CPU | POCL_GPU | LLVMPIPE},
                  {12, 12, POCL_GPU | LLVMPIPE}, {4, 4, 0}, {20, 20, 0}, {20, 4, 0}, {8, 64, 0}, {256, 128, 0}, {36, 100, 0}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int pairs = 0; pairs < 2; pairs++) {
            struct shape s = small;
            s.kind = i % 2 ? UNBIASED_OWN : LOOK_BACK;
            s.keys = s.queries = 45;
            s.width = widths[i].width;
            s.value_width = widths[i].value_width;
            s.causal = i % 2 == 0;
            s.has = pairs ? ALL : 0;
            s.heads_lie = (enum heads_lie)(i % 3);
            check_where(&s, widths[i].where);
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
        make_problem(&p, &s);
        for (int i = 0; i < s.queries; i++) /* first all own keys */
            for (int h = 0; h < s.batch * s.heads; h++)
                p.o[BIASES].exact[(h * s.queries + i) * s.keys + i] = -INFINITY;
        set_row(&p.o[BIASES], 3, -INFINITY);
        set_row(&p.o[BIASES], 36, -INFINITY);
        set_row(&p.o[GATES], 20, -INFINITY);
        set_row(&p.o[GATES], 21, INFINITY);
        test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
        solve(&p);
        ck_assert(p.o[LSE].exact[3] == -INFINITY && p.o[LSE].exact[4] > -INFINITY); /* the oracle agrees it is so */
        ck_assert(p.o[OUT].exact[3 * 32] == 0 && p.o[DQ].exact[3 * 32] == 0 && p.o[SUMS].exact[3] > 0);
        FOR_TESTED (dev)
            check_on(dev, &p);
        free_problem(&p);
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
        make_problem(&p, &s);
        test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
        FOR_TESTED (dev) {
            struct run r;
            float *first[OPERANDS];
            start(&r, dev, &p);
            for (int turn = 0; turn < 2; turn++) {
                OK(ssa_attention_fwd(dev, &r.fwd));
                OK(ssa_attention_bwd(dev, &r.bwd));
                for (int i = OUT; i < OPERANDS; i++) {
                    const size_t count = dense_count(&p.o[i]);
                    float *x = read_dense(&p.o[i]);
                    ck_assert_msg(!turn || !memcmp(first[i], x, count * sizeof *x), "%s differs on %s", names[i],
                                  dev->info.id);
                    if (turn)
                        free(first[i]);
                    first[i] = x;
                }
            }
            for (int i = OUT; i < OPERANDS; i++)
                free(first[i]);
            finish(&r);
        }
        free_problem(&p);
    }
}
END_TEST

/* ---- the oracle against finite differences ---- */

static double product(const struct operand *a, const struct operand *b)
{
    double sum = 0;
    for (size_t i = 0; a->there && i < dense_count(a); i++)
        sum += a->exact[i] * b->exact[i];
    return sum;
}

static double loss_of(struct problem *p)
{
    const struct oracle_attention o = oracle_of(p);
    oracle_attention_fwd(&o);
    return product(&p->o[OUT], &p->o[DOUT]) + product(&p->o[SUMS], &p->o[DGATE_SUM]) +
           product(&p->o[LOGITS], &p->o[DSCORES]);
}

static void check_differences(struct problem *p, int input, int gradient)
{
    const double h = 1e-6;
    for (size_t i = 0; i < dense_count(&p->o[input]); i++) {
        double *x = p->o[input].exact + i, saved = *x;
        *x = saved + h;
        double up = loss_of(p);
        *x = saved - h;
        double down = loss_of(p), got = p->o[gradient].exact[i], want = (up - down) / (2 * h);
        *x = saved;
        ck_assert_msg(fabs(got - want) < 1e-6, "%s[%zu] is %g, the loss says %g (%s)", names[gradient], i, got, want,
                      test_plan_names[p->s.kind]);
    }
}

START_TEST(finite_differences)
{
    static const struct shape shapes[] = {
        {.kind = UNBIASED_OWN, .batch = 1, .keys = 7, .queries = 5, .heads = 2, .kv_heads = 1, .width = 4,
         .value_width = 8, .causal = 1, .has = ALL & ~HIDING},
        {.kind = LENGTHS_LOCAL, .batch = 2, .keys = 6, .queries = 6, .heads = 2, .kv_heads = 2, .width = 8,
         .value_width = 4, .has = ALL & ~HIDING},
        {.kind = UNBIASED, .batch = 1, .keys = 4, .queries = 9, .heads = 1, .kv_heads = 1, .width = 4,
         .value_width = 4, .has = ALL & ~HIDING}};
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        struct problem p;
        make_problem(&p, &shapes[n]);
        test_draw(&p.plan, p.s.kind, p.s.batch, p.s.keys, p.s.queries);
        solve(&p);
        check_differences(&p, Q, DQ);
        check_differences(&p, K, DK);
        check_differences(&p, V, DV);
        check_differences(&p, BIASES, DBIAS);
        check_differences(&p, GATES, DGATE);
        free_problem(&p);
    }
}
END_TEST

/* ---- the oracle against numbers made elsewhere ---- */

static double wave(size_t i, double a, double b, double c)
{
    return c * sin(a * (double)i + b);
}

static void expect(const char *what, size_t n, double got, double want)
{
    ck_assert_msg(fabs(got - want) < 1.5e-6, "case %zu: %s is %.7f, not %.6f", n + 1, what, got, want);
}

/* All of these sources for all queries. */
static void draw_sources(struct ssa_plan *plan, int length, const int32_t *sources, int count)
{
    const int32_t starts[] = {0, count}, first = 0, end = 1;
    OK(ssa_plan_from_layout(plan, &(struct ssa_layout){.length = length, .block = length, .slices = 1, .order = sources,
                                                       .slice_start = starts, .first = &first, .end = &end}));
}

/* EGT's layer: rows before `nodes` are virtual nodes, all others are scaled by z = log(1 + r t), t the sum of gates. In
 * cases 4 and 5 a row does not see a key of the plan, in 4 dropout has a rule of its own. */
enum { EGT_N = 6, EGT_H = 2, EGT_D = 4 };
static const struct {
    int nodes, sources, rule, row, key; /* row -1: all see all */
    int32_t source[EGT_N];
    double r, objective, o[4], sum_o, t[2], lse[2], dq, dk, dv, dbias, dgate;
} egt[] = {
    {0, 6, 0, -1, 0, {0, 1, 2, 3, 4, 5}, 1, 1.636623, {.583218, .845915, .468440, -.263541}, 2.021586,
     {2.973821, 2.980114}, {5.566870, 5.997939}, 0.064180, -1.504882, 4.377067, -0.582827, 0.111568},
    {2, 6, 0, -1, 0, {0, 1, 2, 3, 4, 5}, 1, 1.519480, {.583218, .845915, .468440, -.263541}, 1.628333,
     {2.973821, 2.980114}, {5.566870, 5.997939}, 0.054187, -1.873877, 3.680746, -0.528577, 0.013571},
    {1, 4, 0, -1, 0, {0, 2, 3, 5}, 1, -0.301007, {.906385, .517160, -.263442, -.844676}, -0.244490,
     {1.987696, 1.985484}, {2.704306, 5.992956}, 0.267762, -0.121854, 1.425514, -0.288591, 0.306019},
    {1, 4, 1, 4, 3, {0, 2, 3, 5}, 1.5, 2.796148, {1.634680, .932706, -.475121, -1.523387}, 1.613140,
     {1.987696, 1.985484}, {2.704306, 5.992956}, 0.187919, 0.970497, 0.645880, 0.007421, 0.736700},
    {1, 1, 0, 3, 2, {2}, 1, 0.582549, {0, 0, 0, 0}, 0.471090, {0.880526, 0.855044}, {-4.021803, 5.836899}, -0.168881,
     0.945603, -0.027017, 0.098974, -0.023841}};

/* Dense [head, query, key], golden [query, key, head]. */
static size_t golden_pair(size_t i)
{
    return (i % (EGT_N * EGT_N)) * EGT_H + i / (EGT_N * EGT_N);
}

static double checksum(const double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] * sin(0.11 * (double)i + 0.5);
    return sum;
}

static double checksum_of_pairs(const struct operand *o)
{
    double sum = 0;
    for (size_t i = 0; i < dense_count(o); i++)
        sum += o->exact[i] * sin(0.11 * (double)golden_pair(i) + 0.5);
    return sum;
}

static void fill_egt(struct problem *p, size_t n, double *keep, double *hidden)
{
    static const struct shape s = {.batch = 1, .keys = EGT_N, .queries = EGT_N, .heads = EGT_H, .kv_heads = EGT_H,
                                   .width = EGT_D, .value_width = EGT_D, .has = BIAS | GATE | GATE_SUM | SCORES,
                                   .bias_lie = OF_EDGES, .gate_lie = OF_EDGES, .scores_lie = OF_EDGES};
    make_problem(p, &s);
    p->clip = 5;
    p->keep = keep;
    p->hidden = hidden;
    draw_sources(&p->plan, EGT_N, egt[n].source, egt[n].sources);
    for (size_t i = 0; i < EGT_N * EGT_H * EGT_D; i++) {
        p->o[Q].exact[i] = wave(i, 0.7, 0.1, 3);
        p->o[K].exact[i] = wave(i, 1.3, 0.4, 3);
        p->o[V].exact[i] = wave(i, 0.9, -0.2, 1);
    }
    for (size_t i = 0; i < EGT_N * EGT_N * EGT_H; i++) {
        const size_t at = golden_pair(i), row = at / EGT_H / EGT_N, key = at / EGT_H % EGT_N, head = at % EGT_H;
        p->o[BIASES].exact[i] = wave(at, 0.37, 0.3, 1);
        p->o[GATES].exact[i] = wave(at, 0.53, -0.6, 2);
        p->o[DSCORES].exact[i] = wave(at, 0.23, 0.9, 0.1);
        keep[i] = !egt[n].rule ? 1 : (5 * row + 3 * key + 2 * head) % 7 < 5 ? 1 / 0.7 : 0;
        hidden[i] = (int)row == egt[n].row && (int)key == egt[n].key;
    }
}

/* o and the objective, from what forward answered; then what backward is given. */
static double scale_rows(struct problem *p, size_t n, double *o)
{
    double objective = product(&p->o[LOGITS], &p->o[DSCORES]);
    for (size_t i = 0; i < EGT_N; i++)
        for (size_t h = 0; h < EGT_H; h++) {
            const bool node = (int)i < egt[n].nodes;
            const double t = p->o[SUMS].exact[h * EGT_N + i], z = node ? 1 : log1p(egt[n].r * t);
            double dz = 0;
            for (size_t at = (i * EGT_H + h) * EGT_D; at < (i * EGT_H + h + 1) * EGT_D; at++) {
                const double given = wave(at, 0.3, 0.2, 1);
                o[at] = z * p->o[OUT].exact[at];
                objective += o[at] * given;
                dz += given * p->o[OUT].exact[at];
                p->o[DOUT].exact[at] = z * given;
            }
            p->o[DGATE_SUM].exact[h * EGT_N + i] = node ? 0 : dz * egt[n].r / (1 + egt[n].r * t);
        }
    return objective;
}

START_TEST(edges_of_molecules)
{
    for (size_t n = 0; n < sizeof egt / sizeof *egt; n++) {
        double keep[EGT_N * EGT_N * EGT_H], hidden[EGT_N * EGT_N * EGT_H], o[EGT_N * EGT_H * EGT_D];
        struct problem p;
        fill_egt(&p, n, keep, hidden);
        solve(&p);
        expect("objective", n, scale_rows(&p, n, o), egt[n].objective);
        solve(&p);
        expect("a", n, p.o[LOGITS].exact[2] - p.o[BIASES].exact[2], -5);
        expect("scores", n, checksum_of_pairs(&p.o[LOGITS]), -4.779844);
        for (size_t d = 0; d < EGT_D; d++)
            expect("o", n, o[3 * EGT_H * EGT_D + d], egt[n].o[d]);
        expect("sum of o", n, checksum(o, EGT_N * EGT_H * EGT_D), egt[n].sum_o);
        for (size_t h = 0; h < EGT_H; h++) {
            expect("t", n, p.o[SUMS].exact[h * EGT_N], egt[n].t[h]);
            expect("lse", n, p.o[LSE].exact[h * EGT_N] * log(2), egt[n].lse[h]);
        }
        expect("dq", n, checksum(p.o[DQ].exact, EGT_N * EGT_H * EGT_D), egt[n].dq);
        expect("dk", n, checksum(p.o[DK].exact, EGT_N * EGT_H * EGT_D), egt[n].dk);
        expect("dv", n, checksum(p.o[DV].exact, EGT_N * EGT_H * EGT_D), egt[n].dv);
        expect("dbias", n, checksum_of_pairs(&p.o[DBIAS]), egt[n].dbias);
        expect("dgate", n, checksum_of_pairs(&p.o[DGATE]), egt[n].dgate);
        FOR_TESTED (dev) /* what the operator takes of it: no pairs are hidden but by the plan */
            if (egt[n].row < 0 && test_has_turn(dev, 0))
                check_on(dev, &p);
        free_problem(&p);
    }
}
END_TEST

/* Swin's windows, shifted: a window is an example. Tokens of another region get -100, and biases are of a table. */
enum { MOST = 8 * 8 * 4, TABLE = 7 * 7 * 2 };
static const struct {
    int grid, window, shift, sources;
    int32_t source[16];
    double o[4], sum_o, dq, dk, dv, dtable;
} swin[] = {
    {4, 2, 1, 4, {0, 1, 2, 3}, {-.198669, .644218, .999574, .598472}, -4.779262, -1.347737, 0.278303, -4.326419,
     -0.102879},
    {4, 2, 1, 2, {0, 3}, {-.198669, .644218, .999574, .598472}, 0.680178, -0.218265, -1.031194, 2.951867, 0.058548},
    {8, 4, 2, 4, {1, 4, 10, 15}, {-.182168, .650589, .571936, -.250727}, -2.326691, -0.422212, -0.698892, 6.645951,
     0.426568}};

/* Of token t of window w: its row and column once shifted. */
static void shifted(size_t n, int w, int t, int *row, int *column)
{
    const int across = swin[n].grid / swin[n].window;
    *row = w / across * swin[n].window + t / swin[n].window;
    *column = w % across * swin[n].window + t % swin[n].window;
}

static int token_of(size_t n, int w, int t)
{
    int row, column;
    shifted(n, w, t, &row, &column);
    return (row + swin[n].shift) % swin[n].grid * swin[n].grid + (column + swin[n].shift) % swin[n].grid;
}

static int region_of(size_t n, int w, int t)
{
    int row, column;
    shifted(n, w, t, &row, &column);
    const int near = swin[n].grid - swin[n].window, far = swin[n].grid - swin[n].shift;
    return ((row >= near) + (row >= far)) * 3 + (column >= near) + (column >= far);
}

/* The table's row for query i and key j of a window. */
static int relative(size_t n, int i, int j)
{
    const int w = swin[n].window;
    return (i / w - j / w + w - 1) * (2 * w - 1) + i % w - j % w + w - 1;
}

static void fill_swin(struct problem *p, size_t n)
{
    const int across = swin[n].grid / swin[n].window, tokens = swin[n].window * swin[n].window;
    const struct shape s = {.batch = across * across, .keys = tokens, .queries = tokens, .heads = 2, .kv_heads = 2,
                            .width = 2, .value_width = 2, .has = BIAS};
    make_problem(p, &s);
    draw_sources(&p->plan, tokens, swin[n].source, swin[n].sources);
    for (int i = 0; i < s.batch * tokens * 4; i++) {
        const size_t at = (size_t)token_of(n, i / 4 / tokens, i / 4 % tokens) * 4 + (size_t)i % 4;
        p->o[Q].exact[i] = wave(at, 0.7, 0.1, 2);
        p->o[K].exact[i] = wave(at, 1.3, 0.4, 2);
        p->o[V].exact[i] = wave(at, 0.9, -0.2, 1);
        p->o[DOUT].exact[i] = wave(at, 0.3, 0.2, 1);
    }
    for (int b = 0; b < s.batch * 2; b++)
        for (int i = 0; i < tokens * tokens; i++) {
            const int query = i / tokens, key = i % tokens;
            const bool other = region_of(n, b / 2, query) != region_of(n, b / 2, key);
            p->o[BIASES].exact[b * tokens * tokens + i] =
                wave((size_t)relative(n, query, key) * 2 + (size_t)b % 2, 0.37, 0.3, 0.5) - (other ? 100 : 0);
        }
}

static double checksum_of_tokens(const struct problem *p, size_t n, int operand)
{
    double x[MOST] = {0};
    const int tokens = p->s.keys;
    for (int i = 0; i < p->s.batch * tokens * 4; i++)
        x[token_of(n, i / 4 / tokens, i / 4 % tokens) * 4 + i % 4] = p->o[operand].exact[i];
    return checksum(x, (size_t)(p->s.batch * tokens * 4));
}

START_TEST(windows_of_pictures)
{
    for (size_t n = 0; n < sizeof swin / sizeof *swin; n++) {
        double table[TABLE] = {0};
        struct problem p;
        fill_swin(&p, n);
        solve(&p);
        const int tokens = p.s.keys, rows = (2 * swin[n].window - 1) * (2 * swin[n].window - 1);
        for (int i = 0; i < p.s.batch * tokens; i++)
            for (int d = 0; d < 4 && token_of(n, i / tokens, i % tokens) == 0; d++)
                expect("o", n, p.o[OUT].exact[i * 4 + d], swin[n].o[d]);
        for (int i = 0; i < p.s.batch * 2 * tokens * tokens; i++)
            table[relative(n, i / tokens % tokens, i % tokens) * 2 + i / tokens / tokens % 2] += p.o[DBIAS].exact[i];
        expect("sum of o", n, checksum_of_tokens(&p, n, OUT), swin[n].sum_o);
        expect("dq", n, checksum_of_tokens(&p, n, DQ), swin[n].dq);
        expect("dk", n, checksum_of_tokens(&p, n, DK), swin[n].dk);
        expect("dv", n, checksum_of_tokens(&p, n, DV), swin[n].dv);
        expect("dtable", n, checksum(table, (size_t)rows * 2), swin[n].dtable);
        free_problem(&p);
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
    make_problem(&p, &s);
    test_draw(&p.plan, s.kind, s.batch, s.keys, s.queries);
    FOR_TESTED (dev) {
        struct run r;
        const struct ssa_tensor absent = {0};
        start(&r, dev, &p);
        BOTH_FAIL("clip is -1", a.clip = -1);
        BOTH_FAIL("clip is nan", a.clip = NAN);
        BOTH_FAIL("clip is inf", a.clip = INFINITY);
        BOTH_FAIL("dropout is 1", a.dropout = 1);
        BOTH_FAIL("dropout is -0.5", a.dropout = -0.5f);
        BOTH_FAIL("dropout is nan", a.dropout = NAN);
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
        finish(&r);
    }
    free_problem(&p);
}
END_TEST

int main(void)
{
    return test_run("pairs", (const TTest *const[]){
        features_match_oracle, plans_match_oracle, any_layout_matches_oracle, queries_of_their_own, widths_match_oracle,
        hidden_keys_are_no_nan, repeats_bit_for_bit, finite_differences, edges_of_molecules, windows_of_pictures,
        bad_arguments, NULL});
}

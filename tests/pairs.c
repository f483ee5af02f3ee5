#include "pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pairs_names[OPERANDS] = {"q", "k", "v", "dout", "bias", "gate", "dscores", "dgate_sum", "out", "lse",
                                    "gate_sum", "scores", "dq", "dk", "dv", "dbias", "dgate"};

/* ---- operands ---- */

size_t pairs_count(const struct operand *o)
{
    return o->size[0] * o->size[1] * o->size[2] * o->size[3];
}

static size_t memory_count(const struct operand *o)
{
    size_t last = 0;
    for (int i = 0; i < 4; i++)
        last += ((!i && o->repeat ? o->repeat : o->size[i]) - 1) * o->stride[i];
    return last + 1;
}

/* Where the dense element i lies. */
static size_t place_of(const struct operand *o, size_t i)
{
    size_t at = 0;
    for (int d = 3; d >= 0; d--) {
        at += (!d && o->repeat ? i % o->repeat : i % o->size[d]) * o->stride[d];
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
        [OF_QUERIES] = {h * t, t, 1, 0},       [OF_ALL] = {0, 0, 0, 0},
        [OF_WINDOWS] = {h * t * n, t * n, n, 1}};
    *o = (struct operand){.there = true, .size = {(size_t)s->batch, h, t, n}, .repeat = lie == OF_WINDOWS ? 2 : 0};
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
    const size_t count = pairs_count(o);
    float *x = test_values(memory_count(o), seed, low, high);
    for (size_t i = 0; i < count; i++)
        o->exact[i] = (double)x[place_of(o, i)];
    free(x);
}

/* The gradient of what shares a place is the sum over it. */
static void add_shared(struct operand *o)
{
    const size_t count = pairs_count(o);
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
            o[i].exact = calloc(pairs_count(&o[i]), sizeof(double));
}

/* Every seventh value. */
static void hide_some(struct operand *bias)
{
    const size_t count = pairs_count(bias);
    for (size_t i = 0; i < count; i++)
        if (place_of(bias, i) % 7 == 2)
            bias->exact[i] = -INFINITY;
}

void pairs_make(struct problem *p, const struct shape *s)
{
    static const float limit[INPUTS] = {2, 2, 2, 1, 2, 3, 1, 1};
    *p = (struct problem){.s = *s, .clip = s->has & CLIP ? 1.5f : 0};
    *(s->has & DROP_KEYS ? &p->drop_keys : &p->dropout) = s->has & (DROPOUT | DROP_KEYS) ? 0.3f : 0;
    set_operands(p);
    for (int i = 0; i < INPUTS; i++)
        if (p->o[i].there)
            fill(&p->o[i], 31 + (uint64_t)i, -limit[i], limit[i]);
    if (s->has & HIDING)
        hide_some(&p->o[BIASES]);
}

enum { FIRST_EXAMPLE = 3 };
static const uint64_t seed = 0x123456789abcdef0, stream = 0x7edcba9876543210;

struct oracle_attention pairs_oracle(struct problem *p)
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
        .dbias = o[DBIAS].exact, .dgate = o[DGATE].exact, .dropout = p->dropout, .drop_keys = p->drop_keys, .seed = seed,
        .stream = stream, .first_example = FIRST_EXAMPLE, .keep = p->keep, .hidden = p->hidden};
}

void pairs_solve(struct problem *p)
{
    const struct oracle_attention o = pairs_oracle(p);
    oracle_attention_fwd(&o);
    oracle_attention_bwd(&o);
    for (int i = DBIAS; i <= DGATE; i++)
        if (p->o[i].there)
            add_shared(&p->o[i]);
}

void pairs_free(struct problem *p)
{
    ssa_plan_finish(&p->plan);
    for (int i = 0; i < OPERANDS; i++)
        free(p->o[i].exact);
}

/* ---- a run of it on a device ---- */

static void upload(struct ssa_device *dev, struct operand *o, bool input)
{
    const size_t count = memory_count(o), dense = pairs_count(o);
    float *all = malloc(count * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = NAN;
    for (size_t i = 0; input && i < dense; i++)
        all[place_of(o, i)] = (float)o->exact[i];
    o->tensor = test_from(dev, all, count);
    free(all);
}

float *pairs_read(const struct operand *o)
{
    const size_t count = memory_count(o), dense = pairs_count(o);
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
    return (struct ssa_strides){.batch = lie == APART ? o->stride[0] : 0, .position = o->stride[1],
                                .head = o->stride[2]};
}

static struct ssa_pairs pairs_of(const struct operand *o)
{
    return (struct ssa_pairs){o->tensor, o->stride[0], o->stride[1], o->stride[2], o->stride[3], (int)o->repeat};
}

void pairs_start(struct run *r, struct ssa_device *dev, struct problem *p)
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
        .causal = s->causal, .scale = p->scale, .clip = p->clip, .bias = pairs_of(&o[BIASES]),
        .gate = pairs_of(&o[GATES]), .scores = pairs_of(&o[LOGITS]), .gate_sum = o[SUMS].tensor,
        .dropout = p->dropout, .drop_keys = p->drop_keys, .seed = seed, .stream = stream,
        .first_example = FIRST_EXAMPLE};
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

void pairs_finish(struct run *r)
{
    for (int i = 0; i < OPERANDS; i++)
        if (r->p->o[i].there)
            test_free(r->p->o[i].tensor, memory_count(&r->p->o[i]));
    test_free(r->plan, r->p->plan.stride * (size_t)r->p->plan.examples);
}

static void describe(const struct shape *s, const struct ssa_device *dev, char *text, size_t size)
{
    snprintf(text, size, "%s, B%d N%d T%d H%d/%d D%d E%d%s has %#x, lies %d %d %d %d, on %s%s",
             test_plan_names[s->kind], s->batch, s->keys, s->queries, s->heads, s->kv_heads, s->width, s->value_width, s->causal ? " causal" : "",
             s->has, s->heads_lie, s->bias_lie, s->gate_lie, s->scores_lie, dev->info.id,
             dev->info.gpu_shape ? ", GPU shape" : "");
}

/* As in test_attention.c: 1e-5, and of gradients that are sums of many terms, 1e-5 of what they may sum to. */
static void compare(const struct problem *p, int operand, struct ssa_device *dev)
{
    const struct operand *o = &p->o[operand];
    const size_t shared = (pairs_count(o) - 1) / memory_count(o) + 1; /* values that a place is the gradient of */
    const int terms = operand == DK || operand == DV         ? p->s.queries
                      : operand == DQ && p->s.has & SCORES   ? p->s.keys
                      : operand == DBIAS || operand == DGATE ? (int)shared - 1
                                                             : 0;
    char message[512], what[256];
    float *x = pairs_read(o);
    const bool good = test_close_to(pairs_names[operand], x, o->exact, pairs_count(o), 1e-5 * (1 + 0.1 * terms), 1e-5,
                                    message, sizeof message);
    free(x);
    describe(&p->s, dev, what, sizeof what);
    ck_assert_msg(good, "%s (%s)", message, what);
}

/* None serves in the place of another that failed its self-test. */
static void check_path(struct ssa_device *dev, const char *op)
{
    char path[256];
    if (getenv("SSACL_PORTABLE"))
        return;
    OK(ssa_device_path(dev, op, path, sizeof path));
    ck_assert_msg(!strstr(path, "quarantined"), "%s: %s", op, path);
    ck_assert_msg(!dev->info.gpu_shape || strstr(path, "SIDE="), "%s: %s", op, path);
}

void pairs_check_on(struct ssa_device *dev, struct problem *p)
{
    struct run r;
    pairs_start(&r, dev, p);
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
    pairs_finish(&r);
}


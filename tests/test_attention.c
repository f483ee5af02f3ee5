#include "oracle/attention.h"
#include "plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On a matrix engine that of which it has builds. */
static int usual_width(void)
{
    return getenv("SSA_TEST_PRECISION") ? 64 : 16;
}

/* ---- operands: several in one buffer, side by side or as views of one wide row ---- */

struct operands {
    struct ssa_tensor buffer, part[3];
    size_t count, rows;
    int parts, width[3], stride[3]; /* stride 0: contiguous */
};

static int row_step(const struct operands *o, int p)
{
    return o->stride[p] ? o->stride[p] : o->width[p];
}

static struct operands make_operands(struct ssa_device *dev, size_t rows, int parts, const int *width,
                                     bool interleaved, const float *const *values)
{
    struct operands o = {.rows = rows, .parts = parts};
    int wide = 5; /* a gap that nobody may touch; odd offsets on purpose */
    size_t at = 3;
    for (int p = 0; p < parts; p++)
        wide += o.width[p] = width[p];
    for (int p = 0; p < parts; p++) {
        o.part[p].offset = at;
        o.stride[p] = interleaved ? wide : 0;
        at += interleaved ? (size_t)width[p] : rows * width[p] + 2;
    }
    o.count = interleaved ? rows * wide + 3 : at;
    float *all = malloc(o.count * sizeof *all);
    for (size_t i = 0; i < o.count; i++)
        all[i] = NAN;
    for (int p = 0; p < parts; p++)
        for (size_t r = 0; values[p] && r < rows; r++)
            memcpy(all + o.part[p].offset + r * row_step(&o, p), values[p] + r * width[p], width[p] * sizeof *all);
    o.buffer = test_from(dev, all, o.count);
    for (int p = 0; p < parts; p++)
        o.part[p] = ssa_tensor_add(o.buffer, o.part[p].offset);
    free(all);
    return o;
}

static float *read_part(const struct operands *o, int p) /* contiguous; free() it */
{
    float *all = test_read(o->buffer, o->count), *x = malloc(o->rows * o->width[p] * sizeof *x + 1);
    for (size_t r = 0; r < o->rows; r++)
        memcpy(x + r * o->width[p], all + (o->part[p].offset - o->buffer.offset) + r * row_step(o, p),
               o->width[p] * sizeof *x);
    free(all);
    return x;
}

static void free_operands(struct operands *o) /* what lies between the parts must still be NaN */
{
    float *all = test_read(o->buffer, o->count);
    for (int p = 0; p < o->parts; p++)
        for (size_t r = 0; r < o->rows; r++)
            for (int d = 0; d < o->width[p]; d++)
                all[o->part[p].offset - o->buffer.offset + r * row_step(o, p) + d] = NAN;
    for (size_t i = 0; i < o->count; i++)
        ck_assert_msg(isnan(all[i]), "element %zu, between the operands, was written", i);
    free(all);
    test_free(o->buffer, o->count);
}

/* ---- a case: inputs, and what the oracle makes of them ---- */

struct shape {
    int batch, length, heads, kv_heads, width, causal;
    float scale;
    bool views; /* q, k, v are views of one buffer, and their gradients too */
};

struct problem {
    struct shape s;
    const char *name;
    struct ssa_plan plan;
    size_t q_count, k_count, lse_count;
    float *q, *k, *v, *dout;
    double *out, *lse, *dq, *dk, *dv;
};

static void fill_problem(struct problem *p, struct shape s, float low, float high)
{
    size_t rows = (size_t)s.batch * s.length;
    p->s = s;
    p->q_count = rows * s.heads * s.width;
    p->k_count = rows * s.kv_heads * s.width;
    p->lse_count = rows * s.heads;
    p->q = test_values(p->q_count, 1, low, high);
    p->k = test_values(p->k_count, 2, low, high);
    p->v = test_values(p->k_count, 3, -2, 2);
    p->dout = test_values(p->q_count, 4, -1, 1);
    p->out = calloc(p->q_count, sizeof(double));
    p->lse = calloc(p->lse_count, sizeof(double));
    p->dq = calloc(p->q_count, sizeof(double));
    p->dk = calloc(p->k_count, sizeof(double));
    p->dv = calloc(p->k_count, sizeof(double));
}

static void solve(struct problem *p)
{
    double *q = test_doubles(p->q, p->q_count), *k = test_doubles(p->k, p->k_count);
    double *v = test_doubles(p->v, p->k_count), *dout = test_doubles(p->dout, p->q_count);
    struct oracle_attention o = {
        .q = q, .k = k, .v = v, .dout = dout, .out = p->out, .lse = p->lse, .dq = p->dq, .dk = p->dk, .dv = p->dv,
        .plan = &p->plan, .batch = p->s.batch, .keys = p->s.length, .heads = p->s.heads,
        .kv_heads = p->s.kv_heads, .width = p->s.width, .causal = p->s.causal, .scale = (double)p->s.scale};
    oracle_attention_fwd(&o);
    oracle_attention_bwd(&o);
    free(q);
    free(k);
    free(v);
    free(dout);
}

static void free_problem(struct problem *p)
{
    ssa_plan_finish(&p->plan);
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->dout);
    free(p->out);
    free(p->lse);
    free(p->dq);
    free(p->dk);
    free(p->dv);
}

/* ---- a run of it on a device ---- */

struct run {
    struct operands in, grad, o; /* q k v; dq dk dv; out dout */
    struct ssa_tensor lse, plan;
    struct ssa_attention_fwd fwd;
    struct ssa_attention_bwd bwd;
};

static void start(struct run *r, struct ssa_device *dev, const struct problem *p)
{
    struct shape s = p->s;
    int c = s.heads * s.width, g = s.kv_heads * s.width;
    size_t rows = (size_t)s.batch * s.length;
    r->in = make_operands(dev, rows, 3, (int[]){c, g, g}, s.views, (const float *[]){p->q, p->k, p->v});
    r->grad = make_operands(dev, rows, 3, (int[]){c, g, g}, s.views, (const float *[]){NULL, NULL, NULL});
    r->o = make_operands(dev, rows, 2, (int[]){c, c}, s.views, (const float *[]){NULL, p->dout});
    r->lse = test_new(dev, p->lse_count);
    r->plan = test_plan(dev, &p->plan);
    int kv_heads = s.kv_heads == s.heads ? 0 : s.kv_heads; /* 0 says the same */
    r->fwd = (struct ssa_attention_fwd){{
        .q = r->in.part[0], .k = r->in.part[1], .v = r->in.part[2], .out = r->o.part[0], .lse = r->lse,
        .plan = &p->plan, .plan_data = r->plan, .batch = s.batch, .keys = s.length, .heads = s.heads,
        .kv_heads = kv_heads, .width = s.width, .q_strides = {.position = (size_t)r->in.stride[0]},
        .k_strides = {.position = (size_t)r->in.stride[1]}, .v_strides = {.position = (size_t)r->in.stride[2]},
        .out_strides = {.position = (size_t)r->o.stride[0]}, .causal = s.causal, .scale = s.scale}};
    r->bwd = (struct ssa_attention_bwd){
        .attention = {.q = r->in.part[0], .k = r->in.part[1], .v = r->in.part[2], .out = r->o.part[0], .lse = r->lse,
        .plan = &p->plan, .plan_data = r->plan, .batch = s.batch, .keys = s.length, .heads = s.heads,
        .kv_heads = kv_heads, .width = s.width, .q_strides = {.position = (size_t)r->in.stride[0]},
        .k_strides = {.position = (size_t)r->in.stride[1]}, .v_strides = {.position = (size_t)r->in.stride[2]},
        .out_strides = {.position = (size_t)r->o.stride[0]}, .causal = s.causal, .scale = s.scale},
        .dout = r->o.part[1], .dq = r->grad.part[0], .dk = r->grad.part[1], .dv = r->grad.part[2],
        .dq_strides = {.position = (size_t)r->grad.stride[0]}, .dk_strides = {.position = (size_t)r->grad.stride[1]},
        .dv_strides = {.position = (size_t)r->grad.stride[2]}};
}

static void finish(struct run *r, const struct problem *p)
{
    free_operands(&r->in);
    free_operands(&r->grad);
    free_operands(&r->o);
    test_free(r->lse, p->lse_count);
    test_free(r->plan, p->plan.stride * (size_t)p->plan.examples);
}

static void compare(const char *what, float *got, const double *want, size_t count, double atol, double rtol,
                    struct ssa_device *dev, const struct problem *p)
{
    char message[512];
    const struct shape *s = &p->s;
    if (!test_close_to(what, got, want, count, atol, rtol, message, sizeof message))
        ck_abort_msg("%s (%s, B%d N%d H%d/%d D%d%s%s scale %g, on %s%s)", message, p->name, s->batch, s->length,
                     s->heads, s->kv_heads, s->width, s->causal ? " causal" : "", s->views ? " views" : "",
                     (double)s->scale, dev->info.id, dev->info.gpu_shape ? ", GPU shape" : "");
    free(got);
}

/* Outputs are means of values below 2, logits are below 10 or so: a few units in the last place of each, 1e-5.
 * Gradients are sums over up to N pairs of such terms, in another order: 1e-5 of what a column may sum to. */
static void check_on(struct ssa_device *dev, const struct problem *p, double tolerance)
{
    tolerance *= test_looser(dev, 5, 4000); /* a logit is a sum of products of operands that were rounded */
    struct run r;
    start(&r, dev, p);
    OK(ssa_attention_fwd(dev, &r.fwd));
    compare("out", read_part(&r.o, 0), p->out, p->q_count, tolerance, tolerance, dev, p);
    compare("lse", test_read(r.lse, p->lse_count), p->lse, p->lse_count, tolerance, tolerance, dev, p);
    OK(ssa_attention_bwd(dev, &r.bwd));
    double sum = tolerance * (1 + 0.1 * p->s.length);
    compare("dq", read_part(&r.grad, 0), p->dq, p->q_count, tolerance, tolerance, dev, p);
    compare("dk", read_part(&r.grad, 1), p->dk, p->k_count, sum, tolerance, dev, p);
    compare("dv", read_part(&r.grad, 2), p->dv, p->k_count, sum, tolerance, dev, p);
    finish(&r, p);
}

static bool fits(struct shape s)
{
    return test_fits((size_t)s.batch * s.heads * s.length * s.length * s.width);
}

/* `everywhere` false: not where launches are slow. */
static void check(enum plan_kind kind, struct shape s, bool everywhere)
{
    struct problem p = {.name = test_plan_names[kind]};
    if (!fits(s))
        return;
    fill_problem(&p, s, -2, 2);
    test_draw(&p.plan, kind, s.batch, s.length, 0);
    solve(&p);
    FOR_TESTED (dev)
        if (everywhere || !test_launches_slowly(dev))
            check_on(dev, &p, 1e-5);
    free_problem(&p);
}

/* ---- against the oracle ---- */

/* Every plan, on lengths around the tiles of the kernels. One head width: each is a program to compile. */
START_TEST(plans_match_oracle)
{
    static const int lengths[] = {1, 2, 31, 33, 64, 127};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int kind = 0; kind < PLAN_KINDS; kind++)
            check(kind, (struct shape){.batch = 3, .length = lengths[i], .heads = 2, .kv_heads = 1 + kind % 2,
                                       .width = usual_width(), .causal = (int)i % 2, .views = kind % 3 == 0},
                  lengths[i] <= 33);
    for (int kind = 0; kind < PLAN_KINDS; kind++) /* the other causality, on a length of several tiles */
        for (int causal = 0; causal < 2; causal++)
            check(kind, (struct shape){.batch = 2, .length = 197 - kind, .heads = 1, .kv_heads = 1,
                                       .width = usual_width(), .causal = causal}, kind % 3 == 0);
}
END_TEST

/* Each head width is a program to compile, in the GPU shape one more for short blocks and one for long ones. 64 has the
 * tile of 32 there, and is what test_masked.c needs too. */
static const struct {
    enum plan_kind kind; /* look-back: short blocks */
    int width, where;
} head_widths[] = {{LOOK_BACK, 8, POCL_CPU | LLVMPIPE}, {LOOK_BACK, 128, POCL_CPU},
                   {LOOK_BACK, 72, POCL_GPU}, /* past 64 short blocks have a cut of their own */
                   {UNBIASED_OWN, 24, 0}, {UNBIASED_OWN, 32, 0}, {UNBIASED_OWN, 40, POCL_CPU},
                   {UNBIASED_OWN, 64, POCL_GPU}, {UNBIASED_OWN, 256, POCL_CPU | POCL_GPU}};

START_TEST(widths_match_oracle)
{
    for (size_t i = 0; i < sizeof head_widths / sizeof *head_widths; i++) {
        int width = head_widths[i].width;
        struct problem p = {.name = test_plan_names[head_widths[i].kind]};
        struct shape s = {.batch = 1, .length = 131, .heads = 3, .kv_heads = 3, .width = width, .scale = 0.1f};
        if (head_widths[i].kind == LOOK_BACK)
            s = (struct shape){.batch = 2, .length = 65, .heads = 4, .kv_heads = 2, .width = width, .causal = 1,
                               .views = true};
        if (!fits(s))
            continue;
        fill_problem(&p, s, -2, 2);
        test_draw(&p.plan, head_widths[i].kind, s.batch, s.length, 0);
        solve(&p);
        FOR_TESTED (dev)
            if (test_has_turn(dev, head_widths[i].where))
                check_on(dev, &p, 1e-5);
        free_problem(&p);
    }
}
END_TEST

START_TEST(long_sequence_matches_oracle)
{
    struct shape s = {.batch = 1, .length = 521, .heads = 1, .kv_heads = 1, .width = usual_width(), .causal = 1};
    check(UNBIASED_OWN, s, false);
    s.length = 512;
    check(LOOK_BACK, s, false);
}
END_TEST

/* Where the tiles are those of an engine, 256 queries: one and a part of a group; every width of which it has builds. */
START_TEST(engine_tiles_match_oracle)
{
    static const int widths[] = {32, 64, 128}, lengths[] = {64, 257, 301};
    for (int i = 0; i < 9 && getenv("SSA_TEST_PRECISION"); i++)
        for (int causal = 0; causal < 2; causal++)
            check(i % 2 ? UNBIASED_OWN : DENSE, (struct shape){.batch = 1, .length = lengths[i / 3], .heads = 2,
                                                               .kv_heads = 1, .width = widths[i % 3], .causal = causal},
                  false);
}
END_TEST

/* ---- finite differences ---- */

static const struct shape tiny = {.batch = 1, .length = 7, .heads = 2, .kv_heads = 1, .width = 8, .causal = 1};

static double oracle_loss(struct problem *p)
{
    double loss = 0;
    solve(p);
    for (size_t i = 0; i < p->q_count; i++)
        loss += p->out[i] * (double)p->dout[i];
    return loss;
}

static double device_loss(struct problem *p, struct ssa_device *dev)
{
    struct run r;
    double loss = 0;
    start(&r, dev, p);
    OK(ssa_attention_fwd(dev, &r.fwd));
    float *out = read_part(&r.o, 0);
    for (size_t i = 0; i < p->q_count; i++)
        loss += (double)out[i] * (double)p->dout[i];
    free(out);
    finish(&r, p);
    return loss;
}

/* The derivative of the loss by x[i], dev NULL for the oracle. The step is the power of two that balances the error
 * of the formula (h^2) with rounding (eps / h in the device's floats). */
static double difference(struct problem *p, struct ssa_device *dev, float *x)
{
    const float h = 1.0f / 64, saved = *x;
    *x = saved + h;
    double up = dev ? device_loss(p, dev) : oracle_loss(p), step = (double)*x;
    *x = saved - h;
    double down = dev ? device_loss(p, dev) : oracle_loss(p);
    step -= (double)*x;
    *x = saved;
    return (up - down) / step;
}

static void check_differences(struct problem *p, struct ssa_device *dev, const char *what, float *x, const double *dx,
                              size_t count)
{
    for (size_t i = 0; i < count; i += dev ? 5 : 1) {
        double d = difference(p, dev, x + i);
        if (!dev)
            solve(p);
        ck_assert_msg(fabs(d - dx[i]) < 2e-3, "%s[%zu] is %g, the loss says %g (%s)", what, i, dx[i], d,
                      dev ? dev->info.id : "oracle");
    }
}

START_TEST(finite_differences)
{
    static const enum plan_kind kinds[] = {DENSE, LOOK_BACK};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct problem p = {.name = test_plan_names[kinds[i]]};
        fill_problem(&p, tiny, -1, 1);
        test_draw(&p.plan, kinds[i], tiny.batch, tiny.length, 0);
        solve(&p);
        for (int d = -1; d < test_device_count(); d++) { /* device gradients are held to the oracle's elsewhere */
            struct ssa_device *dev = d < 0 ? NULL : test_device(d);
            if (dev && test_left_out(dev))
                continue;
            check_differences(&p, dev, "dq", p.q, p.dq, p.q_count);
            check_differences(&p, dev, "dk", p.k, p.dk, p.k_count);
            check_differences(&p, dev, "dv", p.v, p.dv, p.k_count);
        }
        free_problem(&p);
    }
}
END_TEST

/* ---- properties ---- */

static struct shape small(void)
{
    return (struct shape){.batch = 1, .length = 67, .heads = 2, .kv_heads = 2, .width = usual_width()};
}

static float *forward(struct ssa_device *dev, struct problem *p) /* free() it */
{
    struct run r;
    start(&r, dev, p);
    OK(ssa_attention_fwd(dev, &r.fwd));
    float *out = read_part(&r.o, 0);
    finish(&r, p);
    return out;
}

START_TEST(all_keys_are_dense)
{
    struct ssa_sample all[] = {
        {.kind = SSA_UNBIASED, .length = small().length, .keys = small().length, .own_key = 1},
        {.kind = SSA_LOCAL, .length = small().length, .keys = small().length}};
    FOR_TESTED (dev)
        for (int i = 0; i < 2; i++) {
            struct problem p = {.name = "k = N"}, dense = {.name = "dense"};
            fill_problem(&p, small(), -2, 2);
            fill_problem(&dense, small(), -2, 2);
            OK(ssa_plan_draw(&p.plan, &all[i]));
            test_draw(&dense.plan, DENSE, 1, small().length, 0);
            float *x = forward(dev, &p), *want = forward(dev, &dense);
            double *y = test_doubles(want, p.q_count);
            compare("out", x, y, p.q_count, 1e-6, 1e-6, dev, &p); /* the same sums */
            free(want);
            free(y);
            free_problem(&p);
            free_problem(&dense);
        }
}
END_TEST

static void change_token(struct problem *p, int t)
{
    for (int h = 0; h < p->s.heads * p->s.width; h++) {
        size_t at = (size_t)t * p->s.heads * p->s.width + h;
        p->q[at] += 1;
        p->k[at] -= 1;
        p->v[at] += 3;
    }
}

START_TEST(causal_never_looks_ahead)
{
    struct shape s = small();
    s.causal = 1;
    FOR_TESTED (dev)
        for (int kind = 0; kind < PLAN_KINDS; kind++)
            for (int t = 1; t < s.length; t += 22) {
                struct problem p = {.name = test_plan_names[kind]};
                fill_problem(&p, s, -2, 2);
                test_draw(&p.plan, kind, 1, s.length, 0);
                float *before = forward(dev, &p);
                change_token(&p, t);
                float *after = forward(dev, &p);
                size_t earlier = (size_t)t * s.heads * s.width;
                ck_assert_msg(!memcmp(before, after, earlier * sizeof *after),
                              "%s: token %d changes an earlier output on %s", p.name, t, dev->info.id);
                free(before);
                free(after);
                free_problem(&p);
            }
}
END_TEST

/* The same keys dealt to two slices in another way, all blocks seeing both. */
static float *forward_dealt(struct ssa_device *dev, struct problem *p, int stride)
{
    enum { N = 67, BLOCKS = 3 };
    int32_t order[N - 4], starts[] = {0, 30, N - 4}, first[BLOCKS] = {0, 0, 0}, end[BLOCKS] = {2, 2, 2};
    for (int i = 0; i < N - 4; i++)
        order[i] = i * stride % (N - 4);
    OK(ssa_plan_from_layout(&p->plan, &(struct ssa_layout){.length = N, .block = 27, .slices = 2, .order = order,
                                                           .slice_start = starts, .first = first, .end = end,
                                                           .own_key = 1}));
    return forward(dev, p);
}

START_TEST(order_of_sources_does_not_matter)
{
    FOR_TESTED (dev)
        for (int causal = 0; causal < 2; causal++) {
            struct problem p = {.name = "dealt"};
            struct shape s = small();
            s.causal = causal;
            fill_problem(&p, s, -2, 2);
            float *x = forward_dealt(dev, &p, 1), *y = forward_dealt(dev, &p, 5);
            double *want = test_doubles(y, p.q_count);
            const double order = 1e-5 * test_looser(dev, 1, 1000); /* rounding of another one */
            compare("out", x, want, p.q_count, order, order, dev, &p);
            free(y);
            free(want);
            free_problem(&p);
        }
}
END_TEST

/* Block 0 sees an empty slice, block 1 only later keys, positions 0..39 are seen by nobody. */
static void draw_blind(struct ssa_plan *plan)
{
    int32_t order[27], starts[] = {0, 0, 27}, first[] = {0, 1, 1}, end[] = {1, 2, 2};
    for (int i = 0; i < 27; i++)
        order[i] = 66 - i;
    OK(ssa_plan_from_layout(plan, &(struct ssa_layout){.length = 67, .block = 25, .slices = 2, .order = order,
                                                       .slice_start = starts, .first = first, .end = end}));
}

START_TEST(seeing_nothing_is_no_nan)
{
    for (int causal = 0; causal < 2; causal++) {
        struct problem p = {.name = "blind"};
        struct shape s = small();
        s.causal = causal;
        fill_problem(&p, s, -2, 2);
        draw_blind(&p.plan);
        solve(&p);
        ck_assert(isinf(p.lse[3]) && p.lse[3] < 0 && p.out[0] == 0 && p.dk[0] == 0); /* the oracle agrees it is so */
        FOR_TESTED (dev)
            check_on(dev, &p, 1e-5);
        free_problem(&p);
    }
}
END_TEST

START_TEST(backward_repeats_bit_for_bit)
{
    FOR_TESTED (dev)
        for (int kind = 0; kind < PLAN_KINDS; kind++) {
            struct problem p = {.name = test_plan_names[kind]};
            struct shape s = {.batch = 2, .length = 131, .heads = 4, .kv_heads = 2, .width = usual_width(), .causal = 1};
            struct run r;
            if (!fits(s))
                return;
            fill_problem(&p, s, -2, 2);
            test_draw(&p.plan, kind, s.batch, s.length, 0);
            start(&r, dev, &p);
            OK(ssa_attention_fwd(dev, &r.fwd));
            OK(ssa_attention_bwd(dev, &r.bwd));
            float *first = test_read(r.grad.buffer, r.grad.count);
            OK(ssa_attention_bwd(dev, &r.bwd));
            float *second = test_read(r.grad.buffer, r.grad.count);
            ck_assert_msg(!memcmp(first, second, r.grad.count * sizeof *first), "%s: gradients differ on %s", p.name,
                          dev->info.id);
            free(first);
            free(second);
            finish(&r, &p);
            free_problem(&p);
        }
}
END_TEST

/* Logits to +-1e4: a unit in the last place of one is 1e-3, and so are the probabilities' errors. */
START_TEST(large_logits_do_not_overflow)
{
    struct problem p = {.name = "large logits"};
    struct shape s = small();
    s.causal = 1;
    s.scale = 8;
    fill_problem(&p, s, -9, 9);
    for (size_t i = 0; i < p.q_count; i++)
        p.q[i] = rintf(p.q[i]);
    for (size_t i = 0; i < p.k_count; i++) /* integers: products are exact, whatever the order of the sum */
        p.k[i] = rintf(p.k[i]);
    for (int d = 0; d < s.width; d++)
        p.q[d] = p.k[d] = 9; /* the first token: 8 * 16 * 81 = 10368 */
    test_draw(&p.plan, UNBIASED_OWN, 1, s.length, 0);
    solve(&p);
    FOR_TESTED (dev) {
        struct run r;
        start(&r, dev, &p);
        OK(ssa_attention_fwd(dev, &r.fwd));
        OK(ssa_attention_bwd(dev, &r.bwd));
        const double x = test_looser(dev, 10, 100); /* integers are exact: of probabilities and values alone */
        compare("out", read_part(&r.o, 0), p.out, p.q_count, 5e-3 * x, 0, dev, &p);
        compare("lse", test_read(r.lse, p.lse_count), p.lse, p.lse_count, 5e-3 * x, 1e-6, dev, &p);
        compare("dv", read_part(&r.grad, 2), p.dv, p.k_count, 2e-2 * x, 5e-3, dev, &p);
        /* scale * keys = 72 times as much */
        compare("dq", read_part(&r.grad, 0), p.dq, p.q_count, 5 * x, 2e-2, dev, &p);
        compare("dk", read_part(&r.grad, 1), p.dk, p.k_count, 5 * x, 2e-2, dev, &p);
        finish(&r, &p);
    }
    free_problem(&p);
}
END_TEST

/* ---- bad arguments ---- */

#define FWD_FAILS(words, change) \
    do { \
        struct ssa_attention a = r.fwd.attention; \
        change; \
        FAILS(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){a}), SSA_EINVAL, words); \
    } while (0)
#define BWD_FAILS(words, change) \
    do { \
        struct ssa_attention_bwd b = r.bwd; \
        struct ssa_attention a = b.attention; \
        change; \
        b.attention = a; \
        FAILS(ssa_attention_bwd(dev, &b), SSA_EINVAL, words); \
    } while (0)
#define BOTH_FAIL(words, change) \
    do { \
        FWD_FAILS(words, change); \
        BWD_FAILS(words, change); \
    } while (0)

START_TEST(bad_arguments)
{
    struct problem p = {.name = "bad"};
    struct ssa_plan two = {0};
    fill_problem(&p, small(), -2, 2);
    test_draw(&p.plan, DENSE, 1, small().length, 0);
    test_draw(&two, PER_EXAMPLE, 2, small().length, 0);
    FOR_TESTED (dev) {
        struct run r;
        const struct ssa_tensor absent = {0};
        start(&r, dev, &p);
        BOTH_FAIL("q is absent", a.q = absent);
        BOTH_FAIL("k is absent", a.k = absent);
        BOTH_FAIL("v is absent", a.v = absent);
        BOTH_FAIL("out is absent", a.out = absent);
        BOTH_FAIL("lse is absent", a.lse = absent);
        BOTH_FAIL("plan_data is absent", a.plan_data = absent);
        BWD_FAILS("dout is absent", b.dout = absent);
        BWD_FAILS("dq is absent", b.dq = absent);
        BWD_FAILS("dk is absent", b.dk = absent);
        BWD_FAILS("dv is absent", b.dv = absent);
        BOTH_FAIL("plan", a.plan = NULL);
        BOTH_FAIL("plan", a.plan = &two); /* two examples, a batch of one */
        BOTH_FAIL("length", a.keys = 66);
        BOTH_FAIL("queries, not 64", a.queries = 64);
        BOTH_FAIL("queries is 68", (a.queries = 68, a.causal = 1));
        BOTH_FAIL("batch", a.batch = 0);
        BOTH_FAIL("heads", a.heads = 0);
        BOTH_FAIL("kv_heads", a.kv_heads = 3);
        BOTH_FAIL("kv_heads", a.kv_heads = -1);
        BOTH_FAIL("width", a.width = 10);
        BOTH_FAIL("value_width", a.value_width = 6);
        BOTH_FAIL("width", a.width = 264);
        BOTH_FAIL("scale", a.scale = NAN);
        BOTH_FAIL("q's stride", a.q_strides.position = 8);
        BOTH_FAIL("k's stride", a.k_strides.position = 8);
        BOTH_FAIL("v needs", a.v_strides.position = (size_t)-1);
        BOTH_FAIL("out's stride", a.out_strides.position = 15);
        BWD_FAILS("dq's stride", b.dq_strides.position = 8);
        BWD_FAILS("dk's stride", b.dk_strides.position = 8);
        BWD_FAILS("dv's stride", b.dv_strides.position = 8);
        BOTH_FAIL("q needs", a.q.offset = r.in.buffer.offset + r.in.count);
        finish(&r, &p);
    }
    ssa_plan_finish(&two);
    free_problem(&p);
}
END_TEST

int main(void)
{
    return test_run("attention", (const TTest *const[]){
        plans_match_oracle, widths_match_oracle, long_sequence_matches_oracle, engine_tiles_match_oracle,
        finite_differences, all_keys_are_dense, causal_never_looks_ahead, order_of_sources_does_not_matter,
        seeing_nothing_is_no_nan, backward_repeats_bit_for_bit, large_logits_do_not_overflow, bad_arguments, NULL});
}

/* Every operator on one device, on small shapes that fill no tile, held against the double-precision references of the
 * tests. SSA_OPS makes the table: an operator without a try_NAME() does not compile. */
#include "doctor.h"

#include "numbers.h"
#include "progress.h"

#include "oracle/adamw.h"
#include "oracle/attention.h"
#include "oracle/cross_entropy.h"
#include "oracle/dropout.h"
#include "oracle/embedding.h"
#include "oracle/gelu.h"
#include "oracle/glu.h"
#include "oracle/linear.h"
#include "oracle/norm.h"
#include "oracle/rope.h"
#include "oracle/rows.h"
#include "oracle/sum.h"

#include <ssacl/ssacl.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPERANDS = 16, GUARD = 5, WIDTH_OF_ROWS = 77, ROWS = 37, COUNT = ROWS * WIDTH_OF_ROWS };

struct operand {
    struct ssa_tensor t;
    size_t count;
    float *values;
    double *exact; /* of inputs their values, of outputs what they must become */
};

/* One operator on one device. */
struct trial {
    struct ssa_device *device;
    int width; /* of attention's heads */
    struct operand operands[MAX_OPERANDS];
    int used, cases;
    double error; /* the largest so far, relative to what is above 1 */
    char worst[160];
    int status;
};

/* ---- operands: with NaN before, behind, and in outputs ---- */

static uint32_t state;

static float draw(void) /* [-1, 1) */
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static struct operand *add_operand(struct trial *t, size_t count, const void *values)
{
    struct operand *o = &t->operands[t->used++];
    size_t total = count + 2 * GUARD;
    o->count = count;
    o->values = malloc(total * sizeof *o->values);
    o->exact = calloc(count, sizeof *o->exact);
    if (!o->values || !o->exact)
        abort(); /* a child with a few kilobytes to ask for */
    for (size_t i = 0; i < total; i++)
        o->values[i] = NAN;
    if (values)
        memcpy(o->values + GUARD, values, count * sizeof *o->values);
    struct ssa_buffer *b;
    if (!t->status && !(t->status = ssa_buffer_create(&b, t->device, total * sizeof(float)))) {
        o->t = ssa_tensor_at(b, GUARD);
        t->status = ssa_tensor_write(ssa_tensor_at(b, 0), o->values, total);
    }
    return o;
}

static struct operand *add_integers(struct trial *t, size_t count, const int32_t *values)
{
    struct operand *o = add_operand(t, count, values);
    o->t.type = SSA_I32;
    return o;
}

static struct operand *random_between(struct trial *t, size_t count, float low, float high)
{
    float *values = calloc(count, sizeof *values);
    if (!values)
        abort();
    for (size_t i = 0; i < count; i++)
        values[i] = low + (high - low) * 0.5f * (draw() + 1);
    struct operand *o = add_operand(t, count, values);
    for (size_t i = 0; i < count; i++)
        o->exact[i] = (double)values[i];
    free(values);
    return o;
}

static struct operand *random_operand(struct trial *t, size_t count)
{
    return random_between(t, count, -1, 1);
}

static struct operand *output(struct trial *t, size_t count)
{
    return add_operand(t, count, NULL);
}

static struct operand *from_doubles(struct trial *t, size_t count, const double *exact)
{
    float *values = calloc(count, sizeof *values);
    if (!values)
        abort();
    for (size_t i = 0; i < count; i++)
        values[i] = (float)exact[i];
    struct operand *o = add_operand(t, count, values);
    memcpy(o->exact, exact, count * sizeof *exact);
    free(values);
    return o;
}

static double difference(float got, double want)
{
    if (isinf(want))
        return (double)got == want ? 0 : INFINITY;
    double d = fabs((double)got - want) / fmax(1, fabs(want));
    return isnan(d) ? INFINITY : d;
}

/* `scale`: what the sums of an output may cancel from. */
static void compare(struct trial *t, const struct operand *o, double scale, const char *what)
{
    size_t total = o->count + 2 * GUARD;
    if (t->status || (t->status = ssa_tensor_read(ssa_tensor_at(o->t.buffer, 0), o->values, total)))
        return;
    double worst = 0;
    for (size_t i = 0; i < total; i++) {
        bool guard = i < GUARD || i >= GUARD + o->count;
        double d = guard ? (isnan(o->values[i]) ? 0 : INFINITY) : difference(o->values[i], o->exact[i - GUARD]) / scale;
        worst = d > worst ? d : worst;
    }
    if (worst > t->error || !*t->worst) {
        t->error = worst > t->error ? worst : t->error;
        snprintf(t->worst, sizeof t->worst, "%s", what);
    }
}

/* A call, if all went well so far. */
static bool run(struct trial *t, int status)
{
    t->cases++;
    t->status = t->status ? t->status : status;
    return !t->status;
}

static void free_operands(struct trial *t)
{
    for (int i = 0; i < t->used; i++) {
        ssa_buffer_destroy(t->operands[i].t.buffer);
        free(t->operands[i].values);
        free(t->operands[i].exact);
    }
    memset(t->operands, 0, sizeof t->operands);
    t->used = 0;
}

/* ---- attention, over every kind of plan ---- */

enum { BATCH = 2, LENGTH = 75, HEADS = 2 };

static const struct {
    const char *name;
    struct ssa_sample how;
} plans[] = {
    {"dense", {.kind = SSA_DENSE}},
    {"unbiased", {.kind = SSA_UNBIASED, .keys = 23}},
    {"unbiased, own key, per example", {.kind = SSA_UNBIASED, .keys = 40, .own_key = 1, .per_example = 1}},
    {"unbiased, positions kept", {.kind = SSA_UNBIASED, .keys = 20, .keep = (const int[]){0, 31}, .keep_count = 2}},
    {"unbiased, padding", {.kind = SSA_UNBIASED, .keys = 30, .lengths = (const int[]){LENGTH, 41}}},
    {"local", {.kind = SSA_LOCAL, .keys = 19}},
    {"local, own key", {.kind = SSA_LOCAL, .keys = 19, .own_key = 1}},
    {"local, look-back", {.kind = SSA_LOCAL, .keys = 20, .look_back = 1}},
    {"local, fixed windows", {.kind = SSA_LOCAL, .keys = 25, .fixed_windows = 1}},
    {"local, positions kept", {.kind = SSA_LOCAL, .keys = 16, .keep = (const int[]){0, 31}, .keep_count = 2}},
};
enum { PLANS = sizeof plans / sizeof *plans };

static void attend(struct trial *t, struct ssa_plan *plan, const char *name, int causal, bool backward)
{
    const size_t rows = BATCH * LENGTH, wide = rows * HEADS * (size_t)t->width, narrow = rows * (size_t)t->width;
    struct operand *q = random_operand(t, wide), *k = random_operand(t, narrow), *v = random_operand(t, narrow);
    struct operand *data = add_integers(t, plan->stride * (size_t)plan->examples, plan->data);
    struct operand *dout = random_operand(t, wide), *dq = output(t, wide), *dk = output(t, narrow), *dv = output(t, narrow);
    double *out = calloc(wide, sizeof *out), *lse = calloc(rows * HEADS, sizeof *lse);
    struct oracle_attention o = {.q = q->exact, .k = k->exact, .v = v->exact, .dout = dout->exact, .out = out,
                                 .lse = lse, .dq = dq->exact, .dk = dk->exact, .dv = dv->exact, .plan = plan,
                                 .batch = BATCH, .keys = LENGTH, .heads = HEADS, .kv_heads = 1, .width = t->width,
                                 .causal = causal};
    if (!out || !lse)
        abort();
    oracle_attention_fwd(&o);
    struct operand *given = backward ? from_doubles(t, wide, out) : output(t, wide);
    struct operand *sums = backward ? from_doubles(t, rows * HEADS, lse) : output(t, rows * HEADS);
    memcpy(given->exact, out, wide * sizeof *out);
    memcpy(sums->exact, lse, rows * HEADS * sizeof *lse);
    if (!backward && run(t, ssa_attention_fwd(t->device, &(struct ssa_attention_fwd){{
        .q = q->t, .k = k->t, .v = v->t, .out = given->t, .lse = sums->t, .plan = plan, .plan_data = data->t,
        .batch = BATCH, .keys = LENGTH, .heads = HEADS, .kv_heads = 1, .width = t->width, .causal = causal}}))) {
        compare(t, given, 1, name);
        compare(t, sums, 1, name);
    }
    if (backward) {
        oracle_attention_bwd(&o);
        if (run(t, ssa_attention_bwd(t->device, &(struct ssa_attention_bwd){
            .attention = {.q = q->t, .k = k->t, .v = v->t, .out = given->t, .lse = sums->t, .plan = plan,
            .plan_data = data->t, .batch = BATCH, .keys = LENGTH, .heads = HEADS, .kv_heads = 1, .width = t->width,
            .causal = causal}, .dout = dout->t, .dq = dq->t, .dk = dk->t, .dv = dv->t}))) {
            compare(t, dq, 1, name);
            compare(t, dk, 3, name); /* sums over as many queries as see the key, and over two heads */
            compare(t, dv, 3, name);
        }
    }
    free(out);
    free(lse);
    free_operands(t);
}

static void try_attention(struct trial *t, bool backward)
{
    struct ssa_plan plan = {0};
    for (int i = 0; i < PLANS && !t->status; i++) {
        struct ssa_sample how = plans[i].how;
        how.length = LENGTH;
        how.batch = BATCH;
        how.seed = 3;
        t->status = ssa_plan_draw(&plan, &how);
        for (int causal = 0; causal < 2 && !t->status; causal++) {
            char name[96];
            snprintf(name, sizeof name, "%s%s", plans[i].name, causal ? ", causal" : "");
            attend(t, &plan, name, causal, backward);
        }
    }
    ssa_plan_finish(&plan);
}

static void try_attention_fwd(struct trial *t)
{
    try_attention(t, false);
}

static void try_attention_bwd(struct trial *t)
{
    try_attention(t, true);
}

/* ---- the other operators ---- */

/* Rows, inputs, outputs: with edges on every side, and one of more rows and depth than a block has. */
static const int products[][3] = {{37, 77, 53}, {301, 131, 97}, {3, 260, 5}};
enum { PRODUCTS = sizeof products / sizeof *products };

static void try_linear_fwd(struct trial *t)
{
    for (int i = 0; i < 2 * PRODUCTS; i++) {
        const int *s = products[i / 2], activation = i % 2 ? SSA_ACT_GELU : SSA_ACT_NONE;
        const size_t rows = (size_t)s[0], in = (size_t)s[1], out = (size_t)s[2];
        struct operand *x = random_operand(t, rows * in), *w = random_operand(t, out * in);
        struct operand *bias = random_operand(t, out), *residual = random_operand(t, rows * out);
        struct operand *pre = output(t, rows * out), *y = output(t, rows * out);
        oracle_linear_fwd(x->exact, w->exact, bias->exact, residual->exact, pre->exact, y->exact, rows, in, out,
                          activation);
        if (run(t, ssa_linear_fwd(t->device, &(struct ssa_linear_fwd){
                .x = x->t, .w = w->t, .bias = bias->t, .residual = residual->t, .pre = pre->t, .y = y->t,
                .rows = s[0], .in = s[1], .out = s[2], .activation = activation}))) {
            compare(t, pre, 1, "pre");
            compare(t, y, 1, "y");
        }
        free_operands(t);
    }
}

static void try_linear_bwd(struct trial *t)
{
    for (int i = 0; i < 2 * PRODUCTS; i++) {
        const int *s = products[i / 2], activation = i % 2 ? SSA_ACT_GELU_TANH : SSA_ACT_NONE;
        const size_t rows = (size_t)s[0], in = (size_t)s[1], out = (size_t)s[2];
        struct operand *x = random_operand(t, rows * in), *w = random_operand(t, out * in);
        struct operand *dy = random_operand(t, rows * out), *pre = random_operand(t, rows * in);
        struct operand *dx = output(t, rows * in), *dw = output(t, out * in), *dbias = output(t, out);
        oracle_linear_bwd(x->exact, w->exact, dy->exact, activation ? pre->exact : NULL, dx->exact, dw->exact,
                          dbias->exact, rows, in, out, activation);
        struct ssa_linear_bwd a = {.x = x->t, .w = w->t, .dy = dy->t, .dx = dx->t, .dw = dw->t, .dbias = dbias->t,
                                   .rows = s[0], .in = s[1], .out = s[2], .activation = activation};
        if (activation)
            a.x_pre = pre->t;
        if (run(t, ssa_linear_bwd(t->device, &a))) {
            compare(t, dx, 1, "dx");
            compare(t, dw, 1, "dw");
            compare(t, dbias, 1, "dbias");
        }
        free_operands(t);
    }
}

static void try_norm(struct trial *t, bool backward)
{
    for (int kind = SSA_NORM_LAYER; kind <= SSA_NORM_RMS; kind++) {
        const size_t n = COUNT, w = WIDTH_OF_ROWS;
        const double eps = (double)1e-5f;
        struct operand *x = random_operand(t, n), *gain = random_between(t, w, 0.5f, 1.5f), *bias = random_operand(t, w);
        struct operand *dy = random_operand(t, n), *dx = output(t, n), *dgain = output(t, w), *dbias = output(t, w);
        double y[COUNT], stats[2 * ROWS];
        const bool rms = kind == SSA_NORM_RMS;
        oracle_norm_fwd(x->exact, gain->exact, rms ? NULL : bias->exact, ROWS, w, rms, eps, y, stats);
        struct operand *s = backward ? from_doubles(t, 2 * ROWS, stats) : output(t, 2 * ROWS), *out = output(t, n);
        memcpy(out->exact, y, sizeof y);
        memcpy(s->exact, stats, sizeof stats);
        struct ssa_norm_fwd f = {.x = x->t, .gain = gain->t, .y = out->t, .stats = s->t, .rows = ROWS,
                                 .width = WIDTH_OF_ROWS, .kind = kind};
        if (!rms)
            f.bias = bias->t;
        if (!backward && run(t, ssa_norm_fwd(t->device, &f))) {
            compare(t, out, 1, rms ? "rms" : "layer");
            compare(t, s, 1, "stats");
        }
        oracle_norm_bwd(x->exact, gain->exact, dy->exact, ROWS, w, rms, eps, dx->exact, dgain->exact, dbias->exact);
        if (backward && run(t, ssa_norm_bwd(t->device, &(struct ssa_norm_bwd){
                .x = x->t, .gain = gain->t, .stats = s->t, .dy = dy->t, .dx = dx->t, .dgain = dgain->t,
                .dbias = dbias->t, .rows = ROWS, .width = WIDTH_OF_ROWS, .kind = kind}))) {
            compare(t, dx, 1, rms ? "rms, dx" : "layer, dx");
            compare(t, dgain, 1, "dgain");
            compare(t, dbias, 1, "dbias");
        }
        free_operands(t);
    }
}

static void try_norm_fwd(struct trial *t)
{
    try_norm(t, false);
}

static void try_norm_bwd(struct trial *t)
{
    try_norm(t, true);
}

static const char *const activations[] = {"none", "exact", "tanh", "silu"};

static void try_gelu(struct trial *t, bool backward)
{
    for (int form = SSA_ACT_GELU; form <= SSA_ACT_SILU; form++) {
        struct operand *x = random_between(t, COUNT, -6, 6), *bias = random_operand(t, WIDTH_OF_ROWS);
        struct operand *dy = random_operand(t, COUNT), *y = output(t, COUNT);
        for (int i = 0; i < COUNT; i++) {
            double z = x->exact[i] + bias->exact[i % WIDTH_OF_ROWS];
            y->exact[i] = backward ? dy->exact[i] * oracle_activate_slope(z, form) : oracle_activate(z, form);
        }
        int status = backward
                         ? ssa_gelu_bwd(t->device, &(struct ssa_gelu_bwd){.x = x->t, .bias = bias->t, .dy = dy->t,
                                                                          .dx = y->t, .rows = ROWS,
                                                                          .width = WIDTH_OF_ROWS, .activation = form})
                         : ssa_gelu_fwd(t->device, &(struct ssa_gelu_fwd){.x = x->t, .bias = bias->t, .y = y->t,
                                                                          .rows = ROWS, .width = WIDTH_OF_ROWS,
                                                                          .activation = form});
        if (run(t, status))
            compare(t, y, 1, activations[form]);
        free_operands(t);
    }
}

static void try_gelu_fwd(struct trial *t)
{
    try_gelu(t, false);
}

static void try_gelu_bwd(struct trial *t)
{
    try_gelu(t, true);
}

static void try_glu(struct trial *t, bool backward)
{
    for (int form = SSA_ACT_GELU; form <= SSA_ACT_SILU; form++) {
        struct operand *x = random_between(t, 2 * COUNT, -6, 6), *dy = random_operand(t, COUNT);
        struct operand *y = output(t, COUNT), *dx = output(t, 2 * COUNT);
        oracle_glu_fwd(x->exact, ROWS, WIDTH_OF_ROWS, form, y->exact);
        oracle_glu_bwd(x->exact, dy->exact, ROWS, WIDTH_OF_ROWS, form, dx->exact);
        if (!backward && run(t, ssa_glu_fwd(t->device, &(struct ssa_glu_fwd){
                .x = x->t, .y = y->t, .rows = ROWS, .width = WIDTH_OF_ROWS, .activation = form})))
            compare(t, y, 1, activations[form]);
        if (backward && run(t, ssa_glu_bwd(t->device, &(struct ssa_glu_bwd){
                .x = x->t, .dy = dy->t, .dx = dx->t, .rows = ROWS, .width = WIDTH_OF_ROWS, .activation = form})))
            compare(t, dx, 1, activations[form]);
        free_operands(t);
    }
}

static void try_glu_fwd(struct trial *t)
{
    try_glu(t, false);
}

static void try_glu_bwd(struct trial *t)
{
    try_glu(t, true);
}

static void try_add(struct trial *t)
{
    struct operand *x = random_operand(t, COUNT), *y = random_operand(t, COUNT), *out = output(t, COUNT);
    for (int i = 0; i < COUNT; i++)
        out->exact[i] = x->exact[i] + y->exact[i];
    if (run(t, ssa_add(t->device, &(struct ssa_add){.x = x->t, .y = y->t, .out = out->t, .count = COUNT})))
        compare(t, out, 1, "out");
    free_operands(t);
}

static void try_dropout(struct trial *t, bool backward)
{
    const float p = 0.3f;
    const uint64_t seed = 12345, stream = 67, first = 3;
    struct operand *x = random_operand(t, COUNT), *residual = random_operand(t, COUNT), *out = output(t, COUNT);
    oracle_dropout(x->exact, backward ? NULL : residual->exact, COUNT, p, seed, stream, first, out->exact);
    int status = backward ? ssa_dropout_bwd(t->device, &(struct ssa_dropout_bwd){.dy = x->t, .dx = out->t,
                                                                                .count = COUNT, .p = p, .seed = seed,
                                                                                .stream = stream, .first = first})
                          : ssa_dropout_fwd(t->device, &(struct ssa_dropout_fwd){.x = x->t, .residual = residual->t,
                                                                                .out = out->t, .count = COUNT, .p = p,
                                                                                .seed = seed, .stream = stream,
                                                                                .first = first});
    if (run(t, status))
        compare(t, out, 1, "the mask");
    free_operands(t);
}

static void try_dropout_fwd(struct trial *t)
{
    try_dropout(t, false);
}

static void try_dropout_bwd(struct trial *t)
{
    try_dropout(t, true);
}

/* Whole numbers in [-1, below]: indices, with some that are out of range. */
static struct operand *indices(struct trial *t, int32_t *values, int count, int below)
{
    for (int i = 0; i < count; i++)
        values[i] = (int32_t)((double)(draw() + 1) * 0.5 * (below + 1)) - 1;
    return add_integers(t, (size_t)count, values);
}

static void try_embedding(struct trial *t, bool backward)
{
    enum { VOCABULARY = 19, PERIOD = 10 };
    int32_t ids[ROWS];
    struct operand *i = indices(t, ids, ROWS, VOCABULARY);
    struct operand *table = random_operand(t, VOCABULARY * WIDTH_OF_ROWS), *at = random_operand(t, PERIOD * WIDTH_OF_ROWS);
    struct operand *out = output(t, COUNT), *dout = random_operand(t, COUNT);
    struct operand *dtable = output(t, VOCABULARY * WIDTH_OF_ROWS), *dat = output(t, PERIOD * WIDTH_OF_ROWS);
    const struct oracle_embedding e = {.ids = ids, .rows = ROWS, .length = PERIOD, .width = WIDTH_OF_ROWS,
                                       .vocabulary = VOCABULARY};
    oracle_embedding_fwd(&e, table->exact, at->exact, out->exact);
    oracle_embedding_bwd(&e, dout->exact, dtable->exact, dat->exact);
    if (!backward && run(t, ssa_embedding_fwd(t->device, &(struct ssa_embedding_fwd){
            .ids = i->t, .table = table->t, .positions = at->t, .out = out->t, .rows = ROWS, .length = PERIOD,
            .width = WIDTH_OF_ROWS, .vocabulary = VOCABULARY})))
        compare(t, out, 1, "out");
    if (backward && run(t, ssa_embedding_bwd(t->device, &(struct ssa_embedding_bwd){
            .ids = i->t, .dout = dout->t, .dtable = dtable->t, .dpositions = dat->t, .rows = ROWS, .length = PERIOD,
            .width = WIDTH_OF_ROWS, .vocabulary = VOCABULARY}))) {
        compare(t, dtable, 1, "dtable");
        compare(t, dat, 1, "dpositions");
    }
    free_operands(t);
}

static void try_embedding_fwd(struct trial *t)
{
    try_embedding(t, false);
}

static void try_embedding_bwd(struct trial *t)
{
    try_embedding(t, true);
}

static void try_rope(struct trial *t)
{
    enum { TURNED = 20, PERIOD = 9, FIRST = 100000 };
    for (int inverse = 0; inverse < 2; inverse++) {
        struct operand *x = random_operand(t, ROWS * HEADS * TURNED);
        oracle_rope(&(struct oracle_rope){.rows = ROWS, .length = PERIOD, .heads = HEADS, .width = TURNED,
                                          .first_position = FIRST, .stride = HEADS * TURNED, .base = 10000,
                                          .inverse = inverse}, x->exact);
        if (run(t, ssa_rope(t->device, &(struct ssa_rope){.x = x->t, .rows = ROWS, .length = PERIOD, .heads = HEADS,
                                                         .width = TURNED, .first_position = FIRST,
                                                         .inverse = inverse})))
            compare(t, x, 1, inverse ? "inverse" : "forward");
        free_operands(t);
    }
}

static void try_cross_entropy(struct trial *t)
{
    int32_t ids[ROWS];
    struct operand *logits = random_between(t, COUNT, -8, 8), *targets = indices(t, ids, ROWS, WIDTH_OF_ROWS);
    struct operand *loss = output(t, ROWS), *dlogits = output(t, COUNT);
    oracle_cross_entropy(logits->exact, ids, ROWS, WIDTH_OF_ROWS, (double)0.1f, 0.5, loss->exact, dlogits->exact);
    if (run(t, ssa_cross_entropy(t->device, &(struct ssa_cross_entropy){
            .logits = logits->t, .targets = targets->t, .loss = loss->t, .dlogits = dlogits->t, .rows = ROWS,
            .vocabulary = WIDTH_OF_ROWS, .smoothing = 0.1f, .grad_scale = 0.5f}))) {
        compare(t, loss, 1, "loss");
        compare(t, dlogits, 1, "dlogits");
    }
    free_operands(t);
}

static void try_sum(struct trial *t)
{
    enum { MANY = 40001 }; /* more than one part of the sum */
    for (int squares = 0; squares < 2; squares++) {
        struct operand *x = random_operand(t, MANY), *out = output(t, 1);
        out->exact[0] = oracle_sum(x->values + GUARD, MANY, squares);
        if (run(t, ssa_sum(t->device, &(struct ssa_sum){.x = x->t, .out = out->t, .count = MANY, .squares = squares})))
            compare(t, out, 10, squares ? "squares" : "sum"); /* it cancels from 20000 to 100 */
        free_operands(t);
    }
}

static void try_adamw(struct trial *t)
{
    struct operand *w = random_operand(t, COUNT), *g = random_operand(t, COUNT), *m = random_operand(t, COUNT);
    struct operand *v = random_between(t, COUNT, 0, 1), *sumsq = add_operand(t, 1, (float[]){900.0f});
    oracle_adamw(&(struct oracle_adamw){.lr = (double)0.01f, .beta1 = 0.9, .beta2 = 0.999, .eps = (double)1e-8f,
                                        .decay = (double)0.1f, .grad_scale = 0.5, .clip = 1, .sumsq = 900, .step = 3},
                 w->exact, g->exact, m->exact, v->exact, COUNT);
    if (run(t, ssa_adamw(t->device, &(struct ssa_adamw){.w = w->t, .g = g->t, .m = m->t, .v = v->t, .sumsq = sumsq->t,
                                                       .count = COUNT, .lr = 0.01f, .decay = 0.1f, .clip = 1,
                                                       .grad_scale = 0.5f, .step = 3}))) {
        compare(t, w, 1, "w");
        compare(t, m, 1, "m");
        compare(t, v, 1, "v");
    }
    free_operands(t);
}

static void try_gather_rows(struct trial *t)
{
    enum { SOURCE = 11 };
    int32_t ids[ROWS];
    struct operand *x = random_operand(t, SOURCE * WIDTH_OF_ROWS), *rows = indices(t, ids, ROWS, SOURCE);
    struct operand *out = output(t, COUNT);
    oracle_gather_rows(x->exact, ids, ROWS, SOURCE, WIDTH_OF_ROWS, out->exact);
    if (run(t, ssa_gather_rows(t->device, &(struct ssa_gather_rows){.x = x->t, .rows = rows->t, .out = out->t,
                                                                   .count = ROWS, .source_rows = SOURCE,
                                                                   .width = WIDTH_OF_ROWS})))
        compare(t, out, 1, "out");
    free_operands(t);
}

static void try_scatter_rows(struct trial *t)
{
    enum { TARGET = ROWS + 5 };
    int32_t ids[ROWS];
    for (int i = 0; i < ROWS; i++) /* distinct; one out of range */
        ids[i] = i ? (i * 5) % TARGET : TARGET;
    struct operand *x = random_operand(t, COUNT), *rows = add_integers(t, ROWS, ids);
    struct operand *out = random_operand(t, TARGET * WIDTH_OF_ROWS);
    oracle_scatter_rows(x->exact, ids, ROWS, TARGET, WIDTH_OF_ROWS, 1, out->exact);
    if (run(t, ssa_scatter_rows(t->device, &(struct ssa_scatter_rows){.x = x->t, .rows = rows->t, .out = out->t,
                                                                     .count = ROWS, .target_rows = TARGET,
                                                                     .width = WIDTH_OF_ROWS, .accumulate = 1})))
        compare(t, out, 1, "out");
    free_operands(t);
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    void (*run)(struct trial *);
} operators[] = {
#define OPERATOR(op) {#op, try_##op},
    SSA_OPS(OPERATOR)
#undef OPERATOR
};
/* What float32 sums in any order stay a tenth below; a wrong answer is far beyond. */
static const double allowed = 2e-4;

static json_t *try_operator(struct ssa_device *device, size_t i, int width)
{
    struct trial t = {.device = device, .width = width};
    char path[512] = "";
    double start = now_seconds();
    state = 2463534242u;
    operators[i].run(&t);
    free_operands(&t);
    ssa_device_path(device, operators[i].name, path, sizeof path);
    bool right = !t.status && t.error <= allowed;
    json_t *answer = json_pack("{ss sb so si ss ss ss so}", "op", operators[i].name, "right", right, "allowed",
                               number_json(allowed), "cases", t.cases, "worst_case", t.worst, "path", path, "failure",
                               t.status ? ssa_last_error() : "", "seconds", number_json(now_seconds() - start));
    json_object_set_new(answer, "error", number_json(t.error)); /* null: endless */
    return answer;
}

static json_t *warnings;

static void keep_warning(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level <= SSA_LOG_WARNING)
        json_array_append_new(warnings, json_string(line));
}

json_t *probe_device(const char *id, int width)
{
    struct ssa_device *device = NULL;
    json_t *answer = json_object(), *tests = json_array();
    bool all_right = true;
    warnings = json_array();
    ssa_set_log(keep_warning, NULL);
    json_object_set_new(answer, "tests", tests);
    json_object_set_new(answer, "warnings", warnings);
    int err = ssa_device_open(&device, id);
    json_object_set_new(answer, "opens", json_boolean(!err));
    if (err) {
        json_object_set_new(answer, "failure", json_string(ssa_last_error()));
        return answer;
    }
    json_object_set_new(answer, "tuning", json_text(ssa_tuning_origin(device)));
    for (size_t i = 0; width && i < sizeof operators / sizeof *operators; i++) {
        json_t *test = try_operator(device, i, width);
        all_right = all_right && json_is_true(json_object_get(test, "right"));
        json_array_append_new(tests, test);
    }
    if (width)
        json_object_set_new(answer, "right", json_boolean(all_right));
    ssa_device_close(device);
    return answer;
}

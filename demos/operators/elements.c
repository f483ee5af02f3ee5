/* Operators that go through elements one by one. */
#include "operators.h"

#include "oracle/adamw.h"
#include "oracle/dropout.h"
#include "oracle/gelu.h"
#include "oracle/glu.h"
#include "oracle/nag.h"
#include "oracle/patches.h"
#include "oracle/value_loss.h"

#include <math.h>
#include <stdio.h>

/* ---- add: a residual branch ---- */

void describe_add(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->width;
    add_operand(c, READ, "x", count);
    add_operand(c, READ, "y", count);
    add_operand(c, WRITTEN, "out", count);
    c->flops = (double)count;
}
int call_add(struct op_case *c)
{
    return ssa_add(c->device, &(struct ssa_add){.x = tensor(c, 0), .y = tensor(c, 1), .out = tensor(c, 2),
                                                .count = c->operands[0].count});
}
void want_add(const struct op_case *c)
{
    for (size_t i = 0; i < c->operands[0].count; i++)
        exact(c, 2)[i] = exact(c, 0)[i] + exact(c, 1)[i];
}

/* ---- gelu: with its bias, as an MLP whose linear layer does not fuse it ---- */

static const char *const forms[] = {"exact", "tanh", "silu", "quick", "relu", "elu"}; /* from SSA_ACT_GELU on */

static int form(const struct op_case *c)
{
    return c->thorough ? SSA_ACT_GELU + c->variant : SSA_ACT_GELU_TANH;
}

/* Thorough: each of them. */
static void describe_forms(struct op_case *c)
{
    c->variants = (int)(sizeof forms / sizeof *forms);
    snprintf(c->name, sizeof c->name, "%s", forms[c->variant]);
}

static void describe_gelu(struct op_case *c)
{
    describe_forms(c);
    struct operand *x = add_operand(c, READ, "x", (size_t)c->rows * (size_t)c->hidden);
    x->low = -6;
    x->high = 6;
    add_operand(c, READ, "bias", (size_t)c->hidden);
}

void describe_gelu_fwd(struct op_case *c)
{
    describe_gelu(c);
    add_operand(c, WRITTEN, "y", c->operands[0].count);
    c->flops = 10.0 * (double)c->operands[0].count;
}
int call_gelu_fwd(struct op_case *c)
{
    return ssa_gelu_fwd(c->device, &(struct ssa_gelu_fwd){.x = tensor(c, 0), .bias = tensor(c, 1), .y = tensor(c, 2),
                                                          .rows = c->rows, .width = c->hidden, .activation = form(c)});
}
void want_gelu_fwd(const struct op_case *c)
{
    for (size_t i = 0; i < c->operands[0].count; i++)
        exact(c, 2)[i] = oracle_activate(exact(c, 0)[i] + exact(c, 1)[i % (size_t)c->hidden], form(c));
}

void describe_gelu_bwd(struct op_case *c)
{
    describe_gelu(c);
    add_operand(c, READ, "dy", c->operands[0].count);
    add_operand(c, WRITTEN, "dx", c->operands[0].count);
    c->flops = 16.0 * (double)c->operands[0].count;
}
int call_gelu_bwd(struct op_case *c)
{
    return ssa_gelu_bwd(c->device, &(struct ssa_gelu_bwd){.x = tensor(c, 0), .bias = tensor(c, 1), .dy = tensor(c, 2),
                                                          .dx = tensor(c, 3), .rows = c->rows, .width = c->hidden,
                                                          .activation = form(c)});
}
void want_gelu_bwd(const struct op_case *c)
{
    for (size_t i = 0; i < c->operands[0].count; i++)
        exact(c, 3)[i] = exact(c, 2)[i] * oracle_activate_slope(exact(c, 0)[i] + exact(c, 1)[i % (size_t)c->hidden],
                                                                form(c));
}

/* ---- glu: the gate of an MLP whose linear layer made both halves; SiLU unless thorough ---- */

static int gate(const struct op_case *c)
{
    return c->thorough ? form(c) : SSA_ACT_SILU;
}

static void describe_glu(struct op_case *c)
{
    describe_forms(c);
    struct operand *x = add_operand(c, READ, "x", 2 * (size_t)c->rows * (size_t)c->hidden);
    x->low = -6;
    x->high = 6;
}

void describe_glu_fwd(struct op_case *c)
{
    describe_glu(c);
    add_operand(c, WRITTEN, "y", c->operands[0].count / 2);
    c->flops = 5.0 * (double)c->operands[1].count;
}
int call_glu_fwd(struct op_case *c)
{
    return ssa_glu_fwd(c->device, &(struct ssa_glu_fwd){.x = tensor(c, 0), .y = tensor(c, 1), .rows = c->rows,
                                                        .width = c->hidden, .activation = gate(c)});
}
void want_glu_fwd(const struct op_case *c)
{
    oracle_glu_fwd(exact(c, 0), (size_t)c->rows, (size_t)c->hidden, gate(c), exact(c, 1));
}

void describe_glu_bwd(struct op_case *c)
{
    describe_glu(c);
    add_operand(c, READ, "dy", c->operands[0].count / 2);
    add_operand(c, WRITTEN, "dx", c->operands[0].count);
    c->flops = 12.0 * (double)c->operands[1].count;
}
int call_glu_bwd(struct op_case *c)
{
    return ssa_glu_bwd(c->device, &(struct ssa_glu_bwd){.x = tensor(c, 0), .dy = tensor(c, 1), .dx = tensor(c, 2),
                                                        .rows = c->rows, .width = c->hidden, .activation = gate(c)});
}
void want_glu_bwd(const struct op_case *c)
{
    oracle_glu_bwd(exact(c, 0), exact(c, 1), (size_t)c->rows, (size_t)c->hidden, gate(c), exact(c, 2));
}

/* ---- dropout: after a branch, onto the residual ---- */

static const uint64_t seed = 7, stream = 3;
static const float drop = 0.1f;

static uint64_t first(const struct op_case *c)
{
    return c->thorough ? 3 : 0;
}

/* Thorough: in runs of rows, and as rows of something wider, too. */
enum { ELEMENTS, RUNS, PARTS };

static size_t run(const struct op_case *c)
{
    return c->variant == RUNS ? (size_t)c->width : 1;
}
static struct ssa_within within(const struct op_case *c)
{
    const size_t width = (size_t)c->width;
    return c->variant == PARTS ? (struct ssa_within){width, 1, width + 3, 2} : (struct ssa_within){0};
}
static void describe_runs(struct op_case *c)
{
    static const char *const names[] = {"elements", "runs", "parts"};
    c->variants = 3;
    snprintf(c->name, sizeof c->name, "%s", names[c->variant]);
}

/* residual may be NULL. */
static void want_dropout(const struct op_case *c, const double *x, const double *residual, double *out)
{
    const size_t count = c->operands[0].count, width = (size_t)c->width;
    if (c->variant != PARTS)
        oracle_dropout_runs(x, residual, count, drop, seed, stream, first(c) * run(c), run(c), out);
    else
        for (size_t i = 0; i < count; i += width)
            oracle_dropout(x + i, residual ? residual + i : NULL, width, drop, seed, stream,
                           first(c) + i / width * 2 * (width + 3), out + i);
}

void describe_dropout_fwd(struct op_case *c)
{
    describe_add(c);
    describe_runs(c);
    c->operands[1].name = "residual";
    c->flops *= 2;
}
int call_dropout_fwd(struct op_case *c)
{
    return ssa_dropout_fwd(c->device, &(struct ssa_dropout_fwd){.x = tensor(c, 0), .residual = tensor(c, 1),
        .out = tensor(c, 2), .count = c->operands[0].count, .p = drop, .seed = seed, .stream = stream,
        .first = first(c) * run(c), .run = run(c), .within = within(c)});
}
void want_dropout_fwd(const struct op_case *c)
{
    want_dropout(c, exact(c, 0), exact(c, 1), exact(c, 2));
}

void describe_dropout_bwd(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->width;
    add_operand(c, READ, "dy", count);
    add_operand(c, WRITTEN, "dx", count);
    describe_runs(c);
    c->flops = (double)count;
}
int call_dropout_bwd(struct op_case *c)
{
    return ssa_dropout_bwd(c->device, &(struct ssa_dropout_bwd){.dy = tensor(c, 0), .dx = tensor(c, 1),
        .count = c->operands[0].count, .p = drop, .seed = seed, .stream = stream, .first = first(c) * run(c),
        .run = run(c), .within = within(c)});
}
void want_dropout_bwd(const struct op_case *c)
{
    want_dropout(c, exact(c, 0), NULL, exact(c, 1));
}

/* ---- patches: of 4 x 4 pixels, of images of as many elements as the stream has ---- */

static struct oracle_images images(const struct op_case *c)
{
    return c->thorough ? (struct oracle_images){2, 12, 9, 5, 3}
                       : (struct oracle_images){c->rows, 4, 4 * c->width / 16, 1, 4};
}
void describe_patches(struct op_case *c)
{
    const struct oracle_images s = images(c);
    const size_t count = (size_t)s.batch * (size_t)s.rows * (size_t)s.columns * (size_t)s.channels;
    add_operand(c, READ, "x", count);
    add_operand(c, WRITTEN, "out", count);
}
int call_patches(struct op_case *c)
{
    const struct oracle_images s = images(c);
    return ssa_patches(c->device, &(struct ssa_patches){.x = tensor(c, 0), .out = tensor(c, 1), .batch = s.batch,
        .rows = s.rows, .columns = s.columns, .channels = s.channels, .patch = s.patch});
}
void want_patches(const struct op_case *c)
{
    const struct oracle_images s = images(c);
    oracle_patches(&s, exact(c, 0), exact(c, 1));
}

/* ---- value_loss: of as many values as there are positions; thorough, with targets that are not there ---- */

static int prepare_value_loss(struct op_case *c)
{
    for (size_t i = 0; c->thorough && i < c->operands[1].count; i += 3)
        exact(c, 1)[i] = NAN;
    return put_exact(c, 1);
}
void describe_value_loss(struct op_case *c)
{
    const size_t count = (size_t)c->rows * (size_t)(c->thorough ? c->width : 1);
    add_operand(c, READ, "x", count);
    add_operand(c, READ, "targets", count);
    add_operand(c, WRITTEN, "loss", count);
    add_operand(c, WRITTEN, "dx", count);
    c->variants = 2;
    snprintf(c->name, sizeof c->name, c->variant == SSA_LOSS_L1 ? "L1" : "L2");
    c->flops = 4.0 * (double)count;
    c->prepare = prepare_value_loss;
}
int call_value_loss(struct op_case *c)
{
    return ssa_value_loss(c->device, &(struct ssa_value_loss){.x = tensor(c, 0), .targets = tensor(c, 1),
        .loss = tensor(c, 2), .dx = tensor(c, 3), .count = c->operands[0].count, .kind = c->variant,
        .grad_scale = 0.25f});
}
void want_value_loss(const struct op_case *c)
{
    oracle_value_loss(exact(c, 0), exact(c, 1), c->operands[0].count, c->variant, 0.25, exact(c, 2), exact(c, 3));
}

/* ---- sum and adamw: over all parameters ---- */

static bool squares(const struct op_case *c)
{
    return !c->thorough || c->variant;
}

void describe_sum(struct op_case *c)
{
    if (c->thorough)
        c->parameters = 40001; /* more than one part of the sum */
    add_operand(c, READ, "x", c->parameters);
    add_operand(c, WRITTEN, "out", 1)->cancels = 10; /* from 20000 to 100 */
    c->variants = 2;
    snprintf(c->name, sizeof c->name, squares(c) ? "squares" : "sum");
    c->flops = 2.0 * (double)c->parameters;
}
int call_sum(struct op_case *c)
{
    return ssa_sum(c->device, &(struct ssa_sum){.x = tensor(c, 0), .out = tensor(c, 1), .count = c->parameters,
                                                .squares = squares(c)});
}
void want_sum(const struct op_case *c)
{
    double sum = 0;
    for (size_t i = 0; i < c->parameters; i++)
        sum += squares(c) ? exact(c, 0)[i] * exact(c, 0)[i] : exact(c, 0)[i];
    exact(c, 1)[0] = sum;
}

enum { WEIGHT, GRADIENT, MOMENT1, MOMENT2, SUMSQ, AVERAGE };

/* Thorough: with the defaults; the second variant keeps an average. */
static struct ssa_adamw adamw(const struct op_case *c)
{
    return c->thorough ? (struct ssa_adamw){.lr = 0.01f, .decay = 0.1f, .clip = 1, .grad_scale = 0.5f, .step = 3}
                       : (struct ssa_adamw){.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-3f, .decay = 0.1f,
                                            .clip = 0.5f, .step = 3};
}

/* The second moments are squares. */
static int prepare_adamw(struct op_case *c)
{
    double *v = exact(c, MOMENT2);
    for (size_t i = 0; i < c->parameters; i++)
        v[i] *= v[i];
    exact(c, SUMSQ)[0] = c->thorough ? 900 : 2;
    int err = put_exact(c, MOMENT2);
    return err ? err : put_exact(c, SUMSQ);
}

void describe_adamw(struct op_case *c)
{
    add_operand(c, UPDATED, "w", c->parameters);
    add_operand(c, READ, "g", c->parameters);
    add_operand(c, UPDATED, "m", c->parameters);
    add_operand(c, UPDATED, "v", c->parameters);
    add_operand(c, READ, "sumsq", 1);
    if (c->variant)
        add_operand(c, UPDATED, "average", c->parameters);
    c->variants = 2;
    snprintf(c->name, sizeof c->name, "%s", c->variant ? "average" : "");
    c->flops = 14.0 * (double)c->parameters;
    c->prepare = prepare_adamw;
}
int call_adamw(struct op_case *c)
{
    struct ssa_adamw a = adamw(c);
    a.w = tensor(c, WEIGHT);
    a.g = tensor(c, GRADIENT);
    a.m = tensor(c, MOMENT1);
    a.v = tensor(c, MOMENT2);
    a.sumsq = tensor(c, SUMSQ);
    if (c->variant) {
        a.average = tensor(c, AVERAGE);
        a.ema = 0.75f;
    }
    a.count = c->parameters;
    return ssa_adamw(c->device, &a);
}
void want_adamw(const struct op_case *c)
{
    const struct ssa_adamw a = adamw(c);
    const struct oracle_adamw o = {.lr = (double)a.lr, .beta1 = c->thorough ? 0.9 : (double)a.beta1,
                                   .beta2 = c->thorough ? 0.999 : (double)a.beta2,
                                   .eps = (double)(c->thorough ? 1e-8f : a.eps), .decay = (double)a.decay,
                                   .grad_scale = c->thorough ? 0.5 : 1, .clip = (double)a.clip,
                                   .sumsq = exact(c, SUMSQ)[0], .step = a.step, .ema = 0.75,
                                   .average = c->variant ? exact(c, AVERAGE) : NULL};
    oracle_adamw(&o, exact(c, WEIGHT), exact(c, GRADIENT), exact(c, MOMENT1), exact(c, MOMENT2), c->parameters);
}

/* ---- nag: over all parameters; thorough, with an average ---- */

enum { NAG_W, NAG_G, NAG_M, NAG_SUMSQ, NAG_AVERAGE };
static const struct ssa_nag nag = {.lr = 0.25f, .last_lr = 0.5f, .momentum = 0.875f, .decay = 0.125f, .clip = 0.5f,
                                   .grad_scale = 0.25f, .ema = 0.75f}; /* which doubles hold too */

static int prepare_nag(struct op_case *c)
{
    exact(c, NAG_SUMSQ)[0] = 16;
    return put_exact(c, NAG_SUMSQ);
}
void describe_nag(struct op_case *c)
{
    add_operand(c, UPDATED, "w", c->parameters);
    add_operand(c, READ, "g", c->parameters);
    add_operand(c, UPDATED, "m", c->parameters);
    add_operand(c, READ, "sumsq", 1);
    if (c->variant)
        add_operand(c, UPDATED, "average", c->parameters);
    c->variants = 2;
    snprintf(c->name, sizeof c->name, "%s", c->variant ? "average" : "");
    c->flops = 7.0 * (double)c->parameters;
    c->prepare = prepare_nag;
}
int call_nag(struct op_case *c)
{
    struct ssa_nag a = nag;
    a.w = tensor(c, NAG_W);
    a.g = tensor(c, NAG_G);
    a.m = tensor(c, NAG_M);
    a.sumsq = tensor(c, NAG_SUMSQ);
    if (c->variant)
        a.average = tensor(c, NAG_AVERAGE);
    else
        a.ema = 0;
    a.count = c->parameters;
    return ssa_nag(c->device, &a);
}
void want_nag(const struct op_case *c)
{
    const struct oracle_nag o = {.lr = (double)nag.lr, .last_lr = (double)nag.last_lr,
                                 .momentum = (double)nag.momentum, .decay = (double)nag.decay,
                                 .clip = (double)nag.clip, .grad_scale = (double)nag.grad_scale,
                                 .sumsq = exact(c, NAG_SUMSQ)[0], .ema = (double)nag.ema,
                                 .average = c->variant ? exact(c, NAG_AVERAGE) : NULL};
    oracle_nag(&o, exact(c, NAG_W), exact(c, NAG_G), exact(c, NAG_M), c->parameters);
}

/* The two operators that do the arithmetic: linear layers, fused as a step fuses them, and attention. Of what they
 * answer at the sizes of a step only some is worked out. */
#include "operators.h"

#include "oracle/attention.h"
#include "oracle/linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- linear: the MLP's first layer forward, its second backward ---- */

/* Thorough: with edges on every side, and one of more rows and depth than a block has. */
static void describe_linear(struct op_case *c, int in, int out)
{
    static const int products[][3] = {{37, 77, 53}, {301, 131, 97}, {3, 260, 5}};
    const int *small = products[c->variant / 2];
    c->variants = 2 * (int)(sizeof products / sizeof *products);
    c->rows = c->thorough ? small[0] : c->rows;
    c->in = c->thorough ? small[1] : in;
    c->out = c->thorough ? small[2] : out;
}

/* Thorough: none, and then `thorough`. */
static int activation(const struct op_case *c, int thorough)
{
    int other = c->variant % 2 ? thorough : SSA_ACT_NONE;
    return c->thorough ? other : SSA_ACT_GELU_TANH;
}

enum { FWD_X, FWD_W, FWD_BIAS, FWD_PRE, FWD_Y, FWD_RESIDUAL };

void describe_linear_fwd(struct op_case *c)
{
    describe_linear(c, c->width, c->hidden);
    size_t rows = (size_t)c->rows, in = (size_t)c->in, out = (size_t)c->out;
    add_operand(c, READ, "x", rows * in);
    add_operand(c, READ, "w", in * out);
    add_operand(c, READ, "bias", out);
    add_operand(c, WRITTEN, "pre", rows * out);
    add_operand(c, WRITTEN, "y", rows * out);
    if (c->thorough)
        add_operand(c, READ, "residual", rows * out);
    c->flops = 2.0 * (double)(rows * in * out);
    c->check_flops = 2.0 * (double)(judged_rows(c, rows) * in * out);
}
int call_linear_fwd(struct op_case *c)
{
    return ssa_linear_fwd(c->device, &(struct ssa_linear_fwd){.x = tensor(c, FWD_X), .w = tensor(c, FWD_W),
                                                              .bias = tensor(c, FWD_BIAS),
                                                              .residual = tensor(c, FWD_RESIDUAL),
                                                              .pre = tensor(c, FWD_PRE), .y = tensor(c, FWD_Y),
                                                              .rows = c->rows, .in = c->in, .out = c->out,
                                                              .activation = activation(c, SSA_ACT_GELU)});
}
void want_linear_fwd(const struct op_case *c)
{
    size_t rows = (size_t)c->rows, in = (size_t)c->in, out = (size_t)c->out;
    for (size_t i = 0; i < judged_rows(c, rows); i++) {
        size_t row = judged_row(c, i, rows);
        oracle_linear_fwd(exact(c, FWD_X) + row * in, exact(c, FWD_W), exact(c, FWD_BIAS),
                          c->thorough ? exact(c, FWD_RESIDUAL) + row * out : NULL, exact(c, FWD_PRE) + row * out,
                          exact(c, FWD_Y) + row * out, 1, in, out, activation(c, SSA_ACT_GELU));
    }
}

enum { BWD_X, BWD_W, BWD_DY, BWD_X_PRE, BWD_DX, BWD_DW, BWD_DBIAS };

void describe_linear_bwd(struct op_case *c)
{
    describe_linear(c, c->hidden, c->width);
    size_t rows = (size_t)c->rows, in = (size_t)c->in, out = (size_t)c->out;
    add_operand(c, READ, "x", rows * in);
    add_operand(c, READ, "w", in * out);
    add_operand(c, READ, "dy", rows * out);
    add_operand(c, READ, "x_pre", rows * in);
    add_operand(c, WRITTEN, "dx", rows * in);
    add_operand(c, WRITTEN, "dw", in * out);
    add_operand(c, WRITTEN, "dbias", out);
    c->flops = 4.0 * (double)(rows * in * out);
    c->check_flops = 2.0 * (double)(in * (judged_rows(c, rows) * out + rows * judged_rows(c, out)));
}
int call_linear_bwd(struct op_case *c)
{
    struct ssa_linear_bwd a = {.x = tensor(c, BWD_X), .w = tensor(c, BWD_W), .dy = tensor(c, BWD_DY),
                               .x_pre = tensor(c, BWD_X_PRE), .dx = tensor(c, BWD_DX), .dw = tensor(c, BWD_DW),
                               .dbias = tensor(c, BWD_DBIAS), .rows = c->rows, .in = c->in, .out = c->out,
                               .activation = activation(c, SSA_ACT_GELU_TANH)};
    if (!a.activation)
        a.x_pre = (struct ssa_tensor){0};
    return ssa_linear_bwd(c->device, &a);
}

/* A row of dw: the gradient of one output, whose column of dy is all that it takes. */
static void want_output(const struct op_case *c, size_t output)
{
    size_t rows = (size_t)c->rows, in = (size_t)c->in, out = (size_t)c->out;
    double *dw = exact(c, BWD_DW) + output * in, *dbias = exact(c, BWD_DBIAS) + output;
    memset(dw, 0, in * sizeof *dw);
    *dbias = 0;
    for (size_t r = 0; r < rows; r++)
        oracle_linear_bwd(exact(c, BWD_X) + r * in, NULL, exact(c, BWD_DY) + r * out + output, NULL, NULL, dw, dbias, 1,
                          in, 1, SSA_ACT_NONE);
}
void want_linear_bwd(const struct op_case *c)
{
    size_t rows = (size_t)c->rows, in = (size_t)c->in, out = (size_t)c->out;
    int act = activation(c, SSA_ACT_GELU_TANH);
    for (size_t i = 0; i < judged_rows(c, rows); i++) {
        size_t row = judged_row(c, i, rows);
        double *dx = exact(c, BWD_DX) + row * in;
        memset(dx, 0, in * sizeof *dx);
        oracle_linear_bwd(NULL, exact(c, BWD_W), exact(c, BWD_DY) + row * out,
                          act ? exact(c, BWD_X_PRE) + row * in : NULL, dx, NULL, NULL, 1, in, out, act);
    }
    for (size_t i = 0; i < judged_rows(c, out); i++)
        want_output(c, judged_row(c, i, out));
}

/* ---- attention: dense and causal, q, k, v apart; thorough, over every kind of plan ---- */

enum { Q, K, V, PLAN, OUT, LSE, FORWARD, DOUT = FORWARD, DQ, DK, DV, BACKWARD };
enum { THOROUGH_LENGTH = 75 };

static const struct {
    const char *name;
    struct ssa_sample how;
    bool bias; /* of every pair, as in windows of an image: one for all examples, of a key side by side */
} plans[] = {
    {"dense", {.kind = SSA_DENSE}},
    {"unbiased", {.kind = SSA_UNBIASED, .keys = 23}},
    {"unbiased, own key, per example", {.kind = SSA_UNBIASED, .keys = 40, .own_key = 1, .per_example = 1}},
    {"dense, bias", {.kind = SSA_DENSE}, .bias = true},
    {"unbiased, own key, per example, bias", {.kind = SSA_UNBIASED, .keys = 40, .own_key = 1, .per_example = 1},
     .bias = true},
    {"unbiased, positions kept", {.kind = SSA_UNBIASED, .keys = 20, .keep = (const int[]){0, 31}, .keep_count = 2}},
    {"unbiased, padding", {.kind = SSA_UNBIASED, .keys = 30, .lengths = (const int[]){THOROUGH_LENGTH, 41}}},
    {"local", {.kind = SSA_LOCAL, .keys = 19}},
    {"local, own key", {.kind = SSA_LOCAL, .keys = 19, .own_key = 1}},
    {"local, look-back", {.kind = SSA_LOCAL, .keys = 20, .look_back = 1}},
    {"local, fixed windows", {.kind = SSA_LOCAL, .keys = 25, .fixed_windows = 1}},
    {"local, positions kept", {.kind = SSA_LOCAL, .keys = 16, .keep = (const int[]){0, 31}, .keep_count = 2}},
};

static struct ssa_sample sample(const struct op_case *c)
{
    struct ssa_sample how = plans[c->thorough ? c->variant / 2 : 0].how;
    how.length = c->length;
    how.batch = c->thorough ? c->batch : 0;
    how.seed = 3;
    return how;
}

/* The plan's operand holds int32: whatever stands in it before is replaced. */
static int prepare_plan(struct op_case *c)
{
    const struct ssa_sample how = sample(c);
    struct ssa_tensor data = tensor(c, PLAN);
    int err = ssa_plan_draw(&c->plan, &how);
    return err ? err : ssa_plan_upload(c->device, &c->plan, &data);
}

static size_t wide(const struct op_case *c) /* of one example: q, out */
{
    return (size_t)c->length * (size_t)c->heads * (size_t)c->head;
}
static size_t narrow(const struct op_case *c) /* k, v */
{
    return (size_t)c->length * (size_t)c->kv_heads * (size_t)c->head;
}
static size_t sums(const struct op_case *c) /* lse */
{
    return (size_t)c->length * (size_t)c->heads;
}
static size_t pairs(const struct op_case *c) /* bias */
{
    return sums(c) * (size_t)c->length;
}
static bool is_biased(const struct op_case *c)
{
    return c->thorough && plans[c->variant / 2].bias;
}

static void describe_inputs(struct op_case *c, enum role outputs)
{
    const struct ssa_sample how = sample(c);
    size_t batch = (size_t)c->batch;
    c->variants = 2 * (int)(sizeof plans / sizeof *plans);
    c->causal = c->thorough ? c->variant % 2 : 1;
    snprintf(c->name, sizeof c->name, "%s%s", plans[c->variant / 2].name, c->causal ? ", causal" : "");
    add_operand(c, READ, "q", batch * wide(c));
    add_operand(c, READ, "k", batch * narrow(c));
    add_operand(c, READ, "v", batch * narrow(c));
    add_numbers(c, IDS, "plan", ssa_plan_bound(&how), 1);
    add_operand(c, outputs, "out", batch * wide(c));
    add_operand(c, outputs, "lse", batch * sums(c));
    double pairs = 0.5 * c->length * (c->length + 1.0) * c->batch;
    c->flops = 4.0 * c->heads * c->head * pairs;
    c->check_flops = c->flops * 2 / c->batch; /* two examples */
    c->prepare = prepare_plan;
}

static struct oracle_attention as_oracle(const struct op_case *c, size_t example, int batch)
{
    size_t w = example * wide(c), n = example * narrow(c);
    struct oracle_attention a = {.q = exact(c, Q) + w, .k = exact(c, K) + n, .v = exact(c, V) + n,
                                 .out = exact(c, OUT) + w, .lse = exact(c, LSE) + example * sums(c), .plan = &c->plan,
                                 .batch = batch, .keys = c->length, .heads = c->heads, .kv_heads = c->kv_heads,
                                 .width = c->head, .causal = c->causal};
    if (c->count >= BACKWARD) {
        a.dout = exact(c, DOUT) + w;
        a.dq = exact(c, DQ) + w;
        a.dk = exact(c, DK) + n;
        a.dv = exact(c, DV) + n;
    }
    return a;
}

/* The number of the bias, behind all that is there without one; its gradient's is the next. */
static int bias_of(const struct op_case *c)
{
    return c->count > BACKWARD ? BACKWARD : FORWARD;
}

/* Of the bias [heads, key, query] the element that the oracle has at i, [heads, query, key]. */
static size_t pair_at(const struct op_case *c, size_t i)
{
    const size_t n = (size_t)c->length, key = i % n, query = i / n % n;
    return i / (n * n) * n * n + key * n + query;
}

static void work_out_biased(const struct op_case *c, void (*oracle)(const struct oracle_attention *))
{
    struct oracle_attention a = as_oracle(c, 0, c->batch);
    const size_t count = pairs(c), all = count * (size_t)c->batch;
    double *bias = malloc(2 * all * sizeof *bias), *dbias = bias + all;
    for (size_t i = 0; bias && i < all; i++)
        bias[i] = exact(c, bias_of(c))[pair_at(c, i % count)];
    a.bias = bias;
    a.dbias = a.dout ? dbias : NULL;
    if (bias)
        oracle(&a);
    for (size_t i = 0; bias && a.dout && oracle == oracle_attention_bwd && i < all; i++) {
        double *to = &exact(c, BACKWARD + 1)[pair_at(c, i % count)];
        *to = i < count ? dbias[i] : *to + dbias[i];
    }
    free(bias);
}

/* At the sizes of a step the first example and the last, which share the plan. */
static void work_out(const struct op_case *c, void (*oracle)(const struct oracle_attention *))
{
    if (is_biased(c)) {
        work_out_biased(c, oracle);
        return;
    }
    struct oracle_attention first = as_oracle(c, 0, c->thorough ? c->batch : 1);
    struct oracle_attention last = as_oracle(c, (size_t)c->batch - 1, 1);
    oracle(&first);
    if (!c->thorough)
        oracle(&last);
}

static struct ssa_pairs pairs_of(const struct op_case *c, int operand)
{
    const size_t n = (size_t)c->length;
    return (struct ssa_pairs){.tensor = tensor(c, operand), .head = n * n, .query = 1, .key = n};
}

static struct ssa_attention as_call(const struct op_case *c)
{
    const struct ssa_pairs none = {0};
    return (struct ssa_attention){.q = tensor(c, Q), .k = tensor(c, K), .v = tensor(c, V), .out = tensor(c, OUT),
                                  .lse = tensor(c, LSE), .plan = &c->plan, .plan_data = tensor(c, PLAN),
                                  .batch = c->batch, .keys = c->length, .heads = c->heads, .kv_heads = c->kv_heads,
                                  .width = c->head, .causal = c->causal,
                                  .bias = is_biased(c) ? pairs_of(c, bias_of(c)) : none};
}

void describe_attention_fwd(struct op_case *c)
{
    describe_inputs(c, WRITTEN);
    if (is_biased(c))
        add_operand(c, READ, "bias", pairs(c));
}
int call_attention_fwd(struct op_case *c)
{
    return ssa_attention_fwd(c->device, &(struct ssa_attention_fwd){as_call(c)});
}
void want_attention_fwd(const struct op_case *c)
{
    work_out(c, oracle_attention_fwd);
}

/* Thorough: not by the kernel that is another operator's. */
static int prepare_bwd(struct op_case *c)
{
    int err = prepare_plan(c);
    if (err || !c->thorough)
        return err ? err : call_attention_fwd(c);
    work_out(c, oracle_attention_fwd);
    return (err = put_exact(c, OUT)) ? err : put_exact(c, LSE);
}
void describe_attention_bwd(struct op_case *c)
{
    size_t batch = (size_t)c->batch;
    describe_inputs(c, READ);
    add_operand(c, READ, "dout", batch * wide(c));
    add_operand(c, WRITTEN, "dq", batch * wide(c));
    add_operand(c, WRITTEN, "dk", batch * narrow(c))->cancels = 3; /* sums over the queries that see the key, and */
    add_operand(c, WRITTEN, "dv", batch * narrow(c))->cancels = 3; /* over two heads */
    if (is_biased(c)) {
        add_operand(c, READ, "bias", pairs(c));
        add_operand(c, WRITTEN, "dbias", pairs(c))->cancels = 2; /* sums over the batch */
    }
    c->flops *= 2.5;
    c->check_flops *= 3;
    c->prepare = prepare_bwd;
}
int call_attention_bwd(struct op_case *c)
{
    const struct ssa_pairs none = {0};
    return ssa_attention_bwd(c->device, &(struct ssa_attention_bwd){.attention = as_call(c), .dout = tensor(c, DOUT),
        .dq = tensor(c, DQ), .dk = tensor(c, DK), .dv = tensor(c, DV),
        .dbias = is_biased(c) ? pairs_of(c, BACKWARD + 1) : none});
}
void want_attention_bwd(const struct op_case *c)
{
    work_out(c, oracle_attention_bwd);
}

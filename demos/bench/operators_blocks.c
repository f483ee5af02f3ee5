/* The two operators that do the arithmetic: linear layers, fused as a step fuses them, and attention. */
#include "operators.h"

/* ---- linear: the MLP's first layer forward, its second backward ---- */

enum { FWD_X, FWD_W, FWD_BIAS, FWD_PRE, FWD_Y };

void describe_linear_fwd(struct op_case *c)
{
    size_t rows = (size_t)c->rows, in = (size_t)c->width, out = (size_t)c->hidden;
    add_operand(c, READ, rows * in);
    add_operand(c, READ, in * out);
    add_operand(c, READ, out);
    add_operand(c, WRITTEN, rows * out);
    add_operand(c, WRITTEN, rows * out);
    c->flops = 2.0 * (double)(rows * in * out);
    c->check_flops = 2.0 * c->width;
}
int call_linear_fwd(struct op_case *c)
{
    return ssa_linear_fwd(c->device, &(struct ssa_linear_fwd){.x = tensor(c, FWD_X), .w = tensor(c, FWD_W),
                                                              .bias = tensor(c, FWD_BIAS), .pre = tensor(c, FWD_PRE),
                                                              .y = tensor(c, FWD_Y), .rows = c->rows, .in = c->width,
                                                              .out = c->hidden, .activation = SSA_ACT_GELU_TANH});
}
double want_linear_fwd(const struct op_case *c, int operand, size_t i)
{
    size_t in = (size_t)c->width, out = (size_t)c->hidden, row = i / out, o = i % out;
    double sum = value(c, FWD_BIAS, o);
    for (size_t j = 0; j < in; j++)
        sum += value(c, FWD_X, row * in + j) * value(c, FWD_W, o * in + j);
    return operand == FWD_PRE ? sum : gelu(sum);
}

enum { BWD_X, BWD_W, BWD_DY, BWD_X_PRE, BWD_DX, BWD_DW, BWD_DBIAS };

void describe_linear_bwd(struct op_case *c)
{
    size_t rows = (size_t)c->rows, in = (size_t)c->hidden, out = (size_t)c->width;
    add_operand(c, READ, rows * in);
    add_operand(c, READ, in * out);
    add_operand(c, READ, rows * out);
    add_operand(c, READ, rows * in);
    add_operand(c, WRITTEN, rows * in);
    add_operand(c, WRITTEN, in * out);
    add_operand(c, WRITTEN, out);
    c->flops = 4.0 * (double)(rows * in * out);
    c->check_flops = 2.0 * (c->rows + c->width);
}
int call_linear_bwd(struct op_case *c)
{
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.x = tensor(c, BWD_X), .w = tensor(c, BWD_W),
                                                              .dy = tensor(c, BWD_DY), .x_pre = tensor(c, BWD_X_PRE),
                                                              .dx = tensor(c, BWD_DX), .dw = tensor(c, BWD_DW),
                                                              .dbias = tensor(c, BWD_DBIAS), .rows = c->rows,
                                                              .in = c->hidden, .out = c->width,
                                                              .activation = SSA_ACT_GELU_TANH});
}
double want_linear_bwd(const struct op_case *c, int operand, size_t i)
{
    size_t in = (size_t)c->hidden, out = (size_t)c->width, rows = (size_t)c->rows;
    double sum = 0;
    if (operand == BWD_DX) {
        for (size_t o = 0; o < out; o++)
            sum += value(c, BWD_DY, i / in * out + o) * value(c, BWD_W, o * in + i % in);
        return sum * gelu_slope(value(c, BWD_X_PRE, i));
    }
    for (size_t r = 0; r < rows; r++)
        sum += value(c, BWD_DY, r * out + (operand == BWD_DW ? i / in : i)) *
               (operand == BWD_DW ? value(c, BWD_X, r * in + i % in) : 1);
    return sum;
}

/* ---- attention: dense and causal, q, k, v apart ---- */

enum { Q, K, V, PLAN, OUT, LSE, DOUT, DQ, DK, DV };

static size_t elements(const struct op_case *c)
{
    return (size_t)c->rows * (size_t)c->width;
}

/* The plan's operand holds int32: whatever stands in it before is replaced. */
static int prepare_plan(struct op_case *c)
{
    int err = ssa_plan_draw(&c->plan, &(struct ssa_sample){.kind = SSA_DENSE, .length = c->length});
    return err ? err : ssa_tensor_write(tensor(c, PLAN), c->plan.data, c->operands[PLAN].count);
}

static void describe_inputs(struct op_case *c, enum role outputs)
{
    size_t plan = ssa_plan_bound(&(struct ssa_sample){.kind = SSA_DENSE, .length = c->length});
    for (int i = Q; i <= V; i++)
        add_operand(c, READ, elements(c));
    add_numbers(c, IDS, plan, 1);
    add_operand(c, outputs, elements(c));
    add_operand(c, outputs, (size_t)c->rows * (size_t)c->heads);
    double pairs = 0.5 * c->length * (c->length + 1.0) * c->batch;
    c->flops = 4.0 * c->width * pairs;
    c->check_flops = 4.0 * c->length * (c->width / c->heads);
    c->prepare = prepare_plan;
}
void describe_attention_fwd(struct op_case *c)
{
    describe_inputs(c, WRITTEN);
}
int call_attention_fwd(struct op_case *c)
{
    return ssa_attention_fwd(c->device, &(struct ssa_attention_fwd){{
        .q = tensor(c, Q), .k = tensor(c, K), .v = tensor(c, V), .out = tensor(c, OUT), .lse = tensor(c, LSE),
        .plan = &c->plan, .plan_data = tensor(c, PLAN), .batch = c->batch, .keys = c->length, .heads = c->heads,
        .width = c->width / c->heads, .causal = 1}});
}

/* Where a position's head begins: [batch, length, heads, head width]. */
static size_t at(const struct op_case *c, size_t batch, size_t position, size_t head)
{
    return ((batch * (size_t)c->length + position) * (size_t)c->heads + head) * (size_t)(c->width / c->heads);
}
static double dot(const struct op_case *c, int a, size_t a_at, int b, size_t b_at)
{
    double sum = 0;
    for (size_t i = 0; i < (size_t)(c->width / c->heads); i++)
        sum += value(c, a, a_at + i) * value(c, b, b_at + i);
    return sum;
}
static double scale(const struct op_case *c)
{
    return 1 / sqrt((double)c->width / c->heads);
}

/* Of values near 1 the exponentials need no care for overflow. `column` < 0: the logarithm of their sum, base 2. */
static double attend(const struct op_case *c, size_t batch, size_t query, size_t head, int column)
{
    double sum = 0, out = 0;
    for (size_t j = 0; j <= query; j++) {
        double p = exp(scale(c) * dot(c, Q, at(c, batch, query, head), K, at(c, batch, j, head)));
        sum += p;
        out += column < 0 ? 0 : p * value(c, V, at(c, batch, j, head) + (size_t)column);
    }
    return column < 0 ? log2(sum) : out / sum;
}
double want_attention_fwd(const struct op_case *c, int operand, size_t i)
{
    size_t n = (size_t)c->length, h = (size_t)c->heads, d = (size_t)(c->width / c->heads);
    if (operand == LSE)
        return attend(c, i / n / h, i % n, i / n % h, -1);
    return attend(c, i / d / h / n, i / d / h % n, i / d % h, (int)(i % d));
}

static int prepare_bwd(struct op_case *c)
{
    int err = prepare_plan(c);
    return err ? err : call_attention_fwd(c);
}
void describe_attention_bwd(struct op_case *c)
{
    describe_inputs(c, READ);
    add_operand(c, READ, elements(c));
    for (int i = DQ; i <= DV; i++)
        add_operand(c, WRITTEN, elements(c));
    c->flops *= 2.5;
    c->check_flops *= 2;
    c->prepare = prepare_bwd;
}
int call_attention_bwd(struct op_case *c)
{
    return ssa_attention_bwd(c->device, &(struct ssa_attention_bwd){
        .attention = {.q = tensor(c, Q), .k = tensor(c, K), .v = tensor(c, V), .out = tensor(c, OUT),
        .lse = tensor(c, LSE), .plan = &c->plan, .plan_data = tensor(c, PLAN), .batch = c->batch, .keys = c->length,
        .heads = c->heads, .width = c->width / c->heads, .causal = 1}, .dout = tensor(c, DOUT), .dq = tensor(c, DQ),
        .dk = tensor(c, DK), .dv = tensor(c, DV)});
}

/* Probability of a pair, from lse. */
static double probability(const struct op_case *c, size_t batch, size_t query, size_t key, size_t head)
{
    double logit = scale(c) * dot(c, Q, at(c, batch, query, head), K, at(c, batch, key, head));
    return exp(logit - log(2) * value(c, LSE, (batch * (size_t)c->heads + head) * (size_t)c->length + query));
}
/* Gradient of a pair's logit. */
static double logit_gradient(const struct op_case *c, size_t batch, size_t query, size_t key, size_t head)
{
    size_t q = at(c, batch, query, head);
    double delta = dot(c, DOUT, q, OUT, q), dp = dot(c, DOUT, q, V, at(c, batch, key, head));
    return probability(c, batch, query, key, head) * (dp - delta) * scale(c);
}
double want_attention_bwd(const struct op_case *c, int operand, size_t i)
{
    size_t n = (size_t)c->length, h = (size_t)c->heads, d = (size_t)(c->width / c->heads);
    size_t batch = i / d / h / n, position = i / d / h % n, head = i / d % h, column = i % d;
    double sum = 0;
    for (size_t j = 0; operand == DQ && j <= position; j++)
        sum += logit_gradient(c, batch, position, j, head) * value(c, K, at(c, batch, j, head) + column);
    for (size_t j = position; operand == DK && j < n; j++)
        sum += logit_gradient(c, batch, j, position, head) * value(c, Q, at(c, batch, j, head) + column);
    for (size_t j = position; operand == DV && j < n; j++)
        sum += probability(c, batch, j, position, head) * value(c, DOUT, at(c, batch, j, head) + column);
    return sum;
}

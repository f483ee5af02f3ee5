/* Operators that go through elements one by one. */
#include "operators.h"

/* ---- add: a residual branch ---- */

void describe_add(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->width;
    add_operand(c, READ, count);
    add_operand(c, READ, count);
    add_operand(c, WRITTEN, count);
    c->flops = (double)count;
}
int call_add(struct op_case *c)
{
    return ssa_add(c->device, &(struct ssa_add){.x = tensor(c, 0), .y = tensor(c, 1), .out = tensor(c, 2),
                                                .count = c->operands[0].count});
}
double want_add(const struct op_case *c, int operand, size_t i)
{
    (void)operand;
    return value(c, 0, i) + value(c, 1, i);
}

/* ---- gelu: with its bias, as an MLP whose linear layer does not fuse it ---- */

double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x)
{
    double t = tanh(0.79788456080286536 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.79788456080286536 * (1 + 3 * 0.044715 * x * x);
}

void describe_gelu_fwd(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->hidden;
    add_operand(c, READ, count);
    add_operand(c, READ, (size_t)c->hidden);
    add_operand(c, WRITTEN, count);
    c->flops = 10.0 * (double)count;
}
int call_gelu_fwd(struct op_case *c)
{
    return ssa_gelu_fwd(c->device, &(struct ssa_gelu_fwd){.x = tensor(c, 0), .bias = tensor(c, 1), .y = tensor(c, 2),
                                                          .rows = c->rows, .width = c->hidden,
                                                          .activation = SSA_ACT_GELU_TANH});
}
double want_gelu_fwd(const struct op_case *c, int operand, size_t i)
{
    (void)operand;
    return gelu(value(c, 0, i) + value(c, 1, i % (size_t)c->hidden));
}

void describe_gelu_bwd(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->hidden;
    add_operand(c, READ, count);
    add_operand(c, READ, (size_t)c->hidden);
    add_operand(c, READ, count);
    add_operand(c, WRITTEN, count);
    c->flops = 16.0 * (double)count;
}
int call_gelu_bwd(struct op_case *c)
{
    return ssa_gelu_bwd(c->device, &(struct ssa_gelu_bwd){.x = tensor(c, 0), .bias = tensor(c, 1), .dy = tensor(c, 2),
                                                          .dx = tensor(c, 3), .rows = c->rows, .width = c->hidden,
                                                          .activation = SSA_ACT_GELU_TANH});
}
double want_gelu_bwd(const struct op_case *c, int operand, size_t i)
{
    (void)operand;
    return value(c, 2, i) * gelu_slope(value(c, 0, i) + value(c, 1, i % (size_t)c->hidden));
}

/* ---- glu: the gate of an MLP whose linear layer made both halves ---- */

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

void describe_glu_fwd(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->hidden;
    add_operand(c, READ, 2 * count);
    add_operand(c, WRITTEN, count);
    c->flops = 5.0 * (double)count;
}
int call_glu_fwd(struct op_case *c)
{
    return ssa_glu_fwd(c->device, &(struct ssa_glu_fwd){.x = tensor(c, 0), .y = tensor(c, 1), .rows = c->rows,
                                                        .width = c->hidden});
}
double want_glu_fwd(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->hidden, gate = i / width * 2 * width + i % width;
    (void)operand;
    return value(c, 0, gate) * logistic(value(c, 0, gate)) * value(c, 0, gate + width);
}

void describe_glu_bwd(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->hidden;
    add_operand(c, READ, 2 * count);
    add_operand(c, READ, count);
    add_operand(c, WRITTEN, 2 * count);
    c->flops = 12.0 * (double)count;
}
int call_glu_bwd(struct op_case *c)
{
    return ssa_glu_bwd(c->device, &(struct ssa_glu_bwd){.x = tensor(c, 0), .dy = tensor(c, 1), .dx = tensor(c, 2),
                                                        .rows = c->rows, .width = c->hidden});
}
double want_glu_bwd(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->hidden, row = i / (2 * width), column = i % (2 * width) % width;
    double gate = value(c, 0, row * 2 * width + column), up = value(c, 0, (row * 2 + 1) * width + column);
    double dy = value(c, 1, row * width + column), s = logistic(gate);
    (void)operand;
    return i % (2 * width) < width ? dy * up * (s + gate * s * (1 - s)) : dy * gate * s;
}

/* ---- dropout: after a branch, onto the residual ---- */

static const uint64_t seed = 7, stream = 3;
static const float drop = 0.1f;

/* Word n mod 4 of Philox4x32-10, as a number in [0, 1). */
static double uniform(uint64_t n)
{
    uint32_t v[4] = {(uint32_t)(n / 4), (uint32_t)(n / 4 >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * v[0], b = (uint64_t)0xCD9E8D57u * v[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ v[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ v[3] ^ k[1],
                            (uint32_t)a};
        for (int i = 0; i < 4; i++)
            v[i] = next[i];
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return (v[n % 4] >> 8) * 0x1p-24;
}
static double dropped(double x, size_t i)
{
    return uniform(i) < (double)drop ? 0 : x / (1 - (double)drop);
}

void describe_dropout_fwd(struct op_case *c)
{
    describe_add(c);
    c->flops *= 2;
}
int call_dropout_fwd(struct op_case *c)
{
    return ssa_dropout_fwd(c->device, &(struct ssa_dropout_fwd){.x = tensor(c, 0), .residual = tensor(c, 1),
                                                                .out = tensor(c, 2), .count = c->operands[0].count,
                                                                .p = drop, .seed = seed, .stream = stream});
}
double want_dropout_fwd(const struct op_case *c, int operand, size_t i)
{
    (void)operand;
    return value(c, 1, i) + dropped(value(c, 0, i), i);
}

void describe_dropout_bwd(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->width;
    add_operand(c, READ, count);
    add_operand(c, WRITTEN, count);
    c->flops = (double)count;
}
int call_dropout_bwd(struct op_case *c)
{
    return ssa_dropout_bwd(c->device, &(struct ssa_dropout_bwd){.dy = tensor(c, 0), .dx = tensor(c, 1),
                                                                .count = c->operands[0].count, .p = drop,
                                                                .seed = seed, .stream = stream});
}
double want_dropout_bwd(const struct op_case *c, int operand, size_t i)
{
    (void)operand;
    return dropped(value(c, 0, i), i);
}

/* ---- sum and adamw: over all parameters ---- */

void describe_sum(struct op_case *c)
{
    add_operand(c, READ, c->parameters);
    add_operand(c, WRITTEN, 1);
    c->flops = 2.0 * (double)c->parameters;
    c->check_flops = c->flops / 256;
}
int call_sum(struct op_case *c)
{
    return ssa_sum(c->device, &(struct ssa_sum){.x = tensor(c, 0), .out = tensor(c, 1), .count = c->parameters,
                                                .squares = 1});
}
double want_sum(const struct op_case *c, int operand, size_t i)
{
    double sum = 0;
    (void)operand;
    for (i = 0; i < c->parameters; i++)
        sum += value(c, 0, i) * value(c, 0, i);
    return sum;
}

enum { WEIGHT, GRADIENT, MOMENT1, MOMENT2, SUMSQ };
static const struct ssa_adamw adamw = {.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-3f, .decay = 0.1f,
                                       .clip = 0.5f, .step = 3};

/* The second moments are squares. */
static int prepare_adamw(struct op_case *c)
{
    float *v = c->operands[MOMENT2].before, *sumsq = c->operands[SUMSQ].before;
    for (size_t i = 0; i < c->parameters; i++)
        v[i] *= v[i];
    *sumsq = 2;
    int err = ssa_tensor_write(tensor(c, MOMENT2), v, c->parameters);
    return err ? err : ssa_tensor_write(tensor(c, SUMSQ), sumsq, 1);
}

void describe_adamw(struct op_case *c)
{
    add_operand(c, UPDATED, c->parameters);
    add_operand(c, READ, c->parameters);
    add_operand(c, UPDATED, c->parameters);
    add_operand(c, UPDATED, c->parameters);
    add_operand(c, READ, 1);
    c->flops = 14.0 * (double)c->parameters;
    c->prepare = prepare_adamw;
}
int call_adamw(struct op_case *c)
{
    struct ssa_adamw a = adamw;
    a.w = tensor(c, WEIGHT);
    a.g = tensor(c, GRADIENT);
    a.m = tensor(c, MOMENT1);
    a.v = tensor(c, MOMENT2);
    a.sumsq = tensor(c, SUMSQ);
    a.count = c->parameters;
    return ssa_adamw(c->device, &a);
}
double want_adamw(const struct op_case *c, int operand, size_t i)
{
    double norm = sqrt(value(c, SUMSQ, 0)), b1 = (double)adamw.beta1, b2 = (double)adamw.beta2;
    double g = value(c, GRADIENT, i) * fmin(1, (double)adamw.clip / norm), w = value(c, WEIGHT, i);
    double m = b1 * value(c, MOMENT1, i) + (1 - b1) * g, v = b2 * value(c, MOMENT2, i) + (1 - b2) * g * g;
    double step = m / (1 - pow(b1, adamw.step)) / (sqrt(v / (1 - pow(b2, adamw.step))) + (double)adamw.eps);
    return operand == MOMENT1 ? m : operand == MOMENT2 ? v : w - (double)adamw.lr * (step + (double)adamw.decay * w);
}

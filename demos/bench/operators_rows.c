/* Operators that go through rows. */
#include "operators.h"

static size_t elements(const struct op_case *c)
{
    return (size_t)c->rows * (size_t)c->width;
}

/* ---- norm ---- */

/* Mean and 1/deviation of a row of operand 0. */
static void moments(const struct op_case *c, size_t row, double *mean, double *rstd)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < c->width; i++)
        sum += value(c, 0, row * (size_t)c->width + (size_t)i);
    *mean = sum / c->width;
    for (int i = 0; i < c->width; i++)
        squares += pow(value(c, 0, row * (size_t)c->width + (size_t)i) - *mean, 2);
    *rstd = 1 / sqrt(squares / c->width + 1e-5);
}

void describe_norm_fwd(struct op_case *c)
{
    add_operand(c, READ, elements(c));
    add_operand(c, READ, (size_t)c->width);
    add_operand(c, READ, (size_t)c->width);
    add_operand(c, WRITTEN, elements(c));
    add_operand(c, WRITTEN, 2 * (size_t)c->rows);
    c->flops = 8.0 * (double)elements(c);
    c->check_flops = 8.0 * c->width;
}
int call_norm_fwd(struct op_case *c)
{
    return ssa_norm_fwd(c->device, &(struct ssa_norm_fwd){.x = tensor(c, 0), .gain = tensor(c, 1),
                                                          .bias = tensor(c, 2), .y = tensor(c, 3),
                                                          .stats = tensor(c, 4), .rows = c->rows,
                                                          .width = c->width});
}
double want_norm_fwd(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->width;
    double mean, rstd;
    moments(c, operand == 4 ? i / 2 : i / width, &mean, &rstd);
    if (operand == 4)
        return i % 2 ? rstd : mean;
    return (value(c, 0, i) - mean) * rstd * value(c, 1, i % width) + value(c, 2, i % width);
}

enum { NORM_X, NORM_GAIN, NORM_STATS, NORM_DY, NORM_DX, NORM_DGAIN, NORM_DBIAS };

/* stats as the forward pass leaves them. */
static int prepare_norm_bwd(struct op_case *c)
{
    return ssa_norm_fwd(c->device, &(struct ssa_norm_fwd){.x = tensor(c, NORM_X), .y = tensor(c, NORM_DX),
                                                          .stats = tensor(c, NORM_STATS), .rows = c->rows,
                                                          .width = c->width});
}
void describe_norm_bwd(struct op_case *c)
{
    add_operand(c, READ, elements(c));
    add_operand(c, READ, (size_t)c->width);
    add_operand(c, READ, 2 * (size_t)c->rows);
    add_operand(c, READ, elements(c));
    add_operand(c, WRITTEN, elements(c));
    add_operand(c, WRITTEN, (size_t)c->width);
    add_operand(c, WRITTEN, (size_t)c->width);
    c->flops = 14.0 * (double)elements(c);
    c->check_flops = 12.0 * (c->width + c->rows);
    c->prepare = prepare_norm_bwd;
}
int call_norm_bwd(struct op_case *c)
{
    return ssa_norm_bwd(c->device, &(struct ssa_norm_bwd){.x = tensor(c, NORM_X), .gain = tensor(c, NORM_GAIN),
                                                          .stats = tensor(c, NORM_STATS), .dy = tensor(c, NORM_DY),
                                                          .dx = tensor(c, NORM_DX), .dgain = tensor(c, NORM_DGAIN),
                                                          .dbias = tensor(c, NORM_DBIAS), .rows = c->rows,
                                                          .width = c->width});
}
/* x, normed. */
static double normed(const struct op_case *c, size_t row, size_t column)
{
    return (value(c, NORM_X, row * (size_t)c->width + column) - value(c, NORM_STATS, 2 * row)) *
           value(c, NORM_STATS, 2 * row + 1);
}
static double want_norm_dx(const struct op_case *c, size_t row, size_t column)
{
    size_t width = (size_t)c->width;
    double mean = 0, product = 0;
    for (size_t j = 0; j < width; j++) {
        double g = value(c, NORM_DY, row * width + j) * value(c, NORM_GAIN, j) / c->width;
        mean += g;
        product += g * normed(c, row, j);
    }
    double g = value(c, NORM_DY, row * width + column) * value(c, NORM_GAIN, column);
    return (g - mean - normed(c, row, column) * product) * value(c, NORM_STATS, 2 * row + 1);
}
double want_norm_bwd(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->width;
    double sum = 0;
    if (operand == NORM_DX)
        return want_norm_dx(c, i / width, i % width);
    for (size_t row = 0; row < (size_t)c->rows; row++)
        sum += value(c, NORM_DY, row * width + i) * (operand == NORM_DGAIN ? normed(c, row, i) : 1);
    return sum;
}

/* ---- embedding ---- */

void describe_embedding_fwd(struct op_case *c)
{
    size_t table = (size_t)c->vocabulary * (size_t)c->width, positions = (size_t)c->length * (size_t)c->width;
    add_numbers(c, IDS, (size_t)c->rows, c->vocabulary);
    add_operand(c, READ, table);
    add_operand(c, READ, positions);
    add_operand(c, WRITTEN, elements(c));
    c->flops = (double)elements(c);
}
int call_embedding_fwd(struct op_case *c)
{
    return ssa_embedding_fwd(c->device, &(struct ssa_embedding_fwd){.ids = tensor(c, 0), .table = tensor(c, 1),
                                                                    .positions = tensor(c, 2), .out = tensor(c, 3),
                                                                    .rows = c->rows, .length = c->length,
                                                                    .width = c->width,
                                                                    .vocabulary = c->vocabulary});
}
double want_embedding_fwd(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->width, row = i / width, column = i % width;
    (void)operand;
    return value(c, 1, (size_t)number(c, 0, row) * width + column) +
           value(c, 2, row % (size_t)c->length * width + column);
}

void describe_embedding_bwd(struct op_case *c)
{
    add_numbers(c, IDS, (size_t)c->rows, c->vocabulary);
    add_operand(c, READ, elements(c));
    add_operand(c, WRITTEN, (size_t)c->vocabulary * (size_t)c->width);
    add_operand(c, WRITTEN, (size_t)c->length * (size_t)c->width);
    c->flops = 2.0 * (double)elements(c);
    c->check_flops = c->rows;
}
int call_embedding_bwd(struct op_case *c)
{
    return ssa_embedding_bwd(c->device, &(struct ssa_embedding_bwd){.ids = tensor(c, 0), .dout = tensor(c, 1),
                                                                    .dtable = tensor(c, 2),
                                                                    .dpositions = tensor(c, 3), .rows = c->rows,
                                                                    .length = c->length, .width = c->width,
                                                                    .vocabulary = c->vocabulary});
}
double want_embedding_bwd(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->width, row = i / width;
    double sum = 0;
    for (size_t t = 0; t < (size_t)c->rows; t++)
        if (operand == 2 ? (size_t)number(c, 0, t) == row : t % (size_t)c->length == row)
            sum += value(c, 1, t * width + i % width);
    return sum;
}

/* ---- rope: the queries, in place ---- */

void describe_rope(struct op_case *c)
{
    add_operand(c, UPDATED, elements(c));
    c->flops = 3.0 * (double)elements(c);
}
int call_rope(struct op_case *c)
{
    return ssa_rope(c->device, &(struct ssa_rope){.x = tensor(c, 0), .rows = c->rows, .length = c->length,
                                                  .heads = c->heads, .width = c->width / c->heads});
}
double want_rope(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)(c->width / c->heads), half = width / 2, j = i % width, row = i / (size_t)c->width;
    double angle = (double)(row % (size_t)c->length) * pow(10000, -2.0 * (double)(j % half) / (double)width);
    (void)operand;
    return j < half ? value(c, 0, i) * cos(angle) - value(c, 0, i + half) * sin(angle)
                    : value(c, 0, i) * cos(angle) + value(c, 0, i - half) * sin(angle);
}

/* ---- cross-entropy: loss and gradient of the logits ---- */

void describe_cross_entropy(struct op_case *c)
{
    size_t count = (size_t)c->rows * (size_t)c->vocabulary;
    add_operand(c, READ, count);
    add_numbers(c, IDS, (size_t)c->rows, c->vocabulary);
    add_operand(c, WRITTEN, (size_t)c->rows);
    add_operand(c, WRITTEN, count);
    c->flops = 5.0 * (double)count;
    c->check_flops = 10.0 * c->vocabulary;
}
int call_cross_entropy(struct op_case *c)
{
    return ssa_cross_entropy(c->device, &(struct ssa_cross_entropy){.logits = tensor(c, 0), .targets = tensor(c, 1),
                                                                    .loss = tensor(c, 2), .dlogits = tensor(c, 3),
                                                                    .rows = c->rows, .vocabulary = c->vocabulary});
}
double want_cross_entropy(const struct op_case *c, int operand, size_t i)
{
    size_t v = (size_t)c->vocabulary, row = operand == 2 ? i : i / v;
    double sum = 0;
    for (size_t j = 0; j < v; j++)
        sum += exp(value(c, 0, row * v + j));
    size_t target = (size_t)number(c, 1, row);
    return operand == 2 ? log(sum) - value(c, 0, row * v + target) : exp(value(c, 0, i)) / sum - (i % v == target);
}

/* ---- gather and scatter: the quarter of the rows that a plan's keys are ---- */

void describe_gather_rows(struct op_case *c)
{
    size_t taken = (size_t)c->rows / 4;
    add_operand(c, READ, elements(c));
    add_numbers(c, DISTINCT, taken, c->rows);
    add_operand(c, WRITTEN, taken * (size_t)c->width);
    set_moved(c, 0, taken * (size_t)c->width);
}
int call_gather_rows(struct op_case *c)
{
    return ssa_gather_rows(c->device, &(struct ssa_gather_rows){.x = tensor(c, 0), .rows = tensor(c, 1),
                                                                .out = tensor(c, 2), .count = c->rows / 4,
                                                                .source_rows = c->rows, .width = c->width});
}
double want_gather_rows(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->width;
    (void)operand;
    return value(c, 0, (size_t)number(c, 1, i / width) * width + i % width);
}

void describe_scatter_rows(struct op_case *c)
{
    size_t taken = (size_t)c->rows / 4;
    add_operand(c, READ, taken * (size_t)c->width);
    add_numbers(c, DISTINCT, taken, c->rows);
    add_operand(c, UPDATED, elements(c));
    set_moved(c, 2, taken * (size_t)c->width);
}
int call_scatter_rows(struct op_case *c)
{
    return ssa_scatter_rows(c->device, &(struct ssa_scatter_rows){.x = tensor(c, 0), .rows = tensor(c, 1),
                                                                  .out = tensor(c, 2), .count = c->rows / 4,
                                                                  .target_rows = c->rows, .width = c->width});
}
double want_scatter_rows(const struct op_case *c, int operand, size_t i)
{
    size_t width = (size_t)c->width;
    (void)operand;
    for (size_t r = 0; r < (size_t)c->rows / 4; r++)
        if ((size_t)number(c, 1, r) == i / width)
            return value(c, 0, r * width + i % width);
    return value(c, 2, i);
}

/* The operators of windows of a grid: those of a model's sequences, of 8 x 8 positions; thorough, of fewer. */
#include "operators.h"

#include "oracle/windows.h"

#include <string.h>

/* With by_columns and back where the variant says so. Windows are smaller where the sequences make no 8 x 8 of them. */
static struct oracle_windows windows(const struct op_case *c)
{
    const int window = c->length % 128 == 0 ? 8 : c->length % 16 == 0 ? 2 : 1;
    const int columns = window * (window > 2 ? 2 : window);
    if (c->thorough)
        return (struct oracle_windows){.batch = 3, .rows = 6, .columns = 9, .width = c->width, .window = 3,
            .shift = c->variant & 1, .by_columns = c->variant >> 1 & 1, .inverse = c->variant >> 2};
    return (struct oracle_windows){.batch = c->batch, .rows = c->length / columns, .columns = columns,
        .width = c->width, .window = window, .shift = window > 1};
}
void describe_windows(struct op_case *c)
{
    c->variants = 8;
    const struct oracle_windows s = windows(c);
    const size_t count = (size_t)s.batch * (size_t)s.rows * (size_t)s.columns * (size_t)s.width;
    add_operand(c, READ, "x", count);
    add_operand(c, WRITTEN, "out", count);
}
int call_windows(struct op_case *c)
{
    const struct oracle_windows s = windows(c);
    return ssa_windows(c->device, &(struct ssa_windows){.x = tensor(c, 0), .out = tensor(c, 1), .batch = s.batch,
        .rows = s.rows, .columns = s.columns, .width = s.width, .window = s.window, .shift = s.shift,
        .by_columns = s.by_columns, .inverse = s.inverse});
}
void want_windows(const struct op_case *c)
{
    const struct oracle_windows s = windows(c);
    oracle_windows(&s, exact(c, 0), exact(c, 1));
}

/* Of 4 x 4 windows of 7 x 7 positions, shifted; thorough, without a shift too. */
static struct oracle_windows bias(const struct op_case *c)
{
    return c->thorough ? (struct oracle_windows){.rows = 6, .columns = 9, .width = c->heads, .window = 3,
                                                 .shift = c->variant & 1}
                       : (struct oracle_windows){.rows = 28, .columns = 28, .width = c->heads, .window = 7, .shift = 3};
}
static size_t table_count(const struct oracle_windows *s)
{
    return (size_t)(2 * s->window - 1) * (size_t)(2 * s->window - 1) * (size_t)s->width;
}
static size_t pairs_count(const struct oracle_windows *s)
{
    return (size_t)s->width * (size_t)s->window * (size_t)s->window * (size_t)s->window * (size_t)s->window;
}

void describe_window_bias_fwd(struct op_case *c)
{
    c->variants = 2;
    const struct oracle_windows s = bias(c);
    add_operand(c, READ, "table", table_count(&s));
    const size_t count = s.shift ? (size_t)(s.rows * s.columns / s.window / s.window) : 1;
    add_operand(c, WRITTEN, "out", count * pairs_count(&s));
}
int call_window_bias_fwd(struct op_case *c)
{
    const struct oracle_windows s = bias(c);
    return ssa_window_bias_fwd(c->device, &(struct ssa_window_bias_fwd){.table = tensor(c, 0), .out = tensor(c, 1),
        .rows = s.rows, .columns = s.columns, .window = s.window, .shift = s.shift, .heads = s.width});
}
void want_window_bias_fwd(const struct op_case *c)
{
    const struct oracle_windows s = bias(c);
    oracle_window_bias_fwd(&s, -100, exact(c, 0), exact(c, 1));
}

void describe_window_bias_bwd(struct op_case *c)
{
    const struct oracle_windows s = bias(c);
    add_operand(c, READ, "dout", pairs_count(&s));
    add_operand(c, WRITTEN, "dtable", table_count(&s))->cancels = s.window; /* sums of window^2 values */
    c->flops = (double)pairs_count(&s);
}
int call_window_bias_bwd(struct op_case *c)
{
    const struct oracle_windows s = bias(c);
    return ssa_window_bias_bwd(c->device, &(struct ssa_window_bias_bwd){.dout = tensor(c, 0), .dtable = tensor(c, 1),
        .window = s.window, .heads = s.width});
}
void want_window_bias_bwd(const struct op_case *c)
{
    const struct oracle_windows s = bias(c);
    memset(exact(c, 1), 0, c->operands[1].count * sizeof(double));
    oracle_window_bias_bwd(&s, exact(c, 0), exact(c, 1));
}

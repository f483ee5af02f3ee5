/* Operators that go through rows. */
#include "operators.h"

#include "oracle/cross_entropy.h"
#include "oracle/embedding.h"
#include "oracle/grid.h"
#include "oracle/mean.h"
#include "oracle/norm.h"
#include "oracle/prepend.h"
#include "oracle/rope.h"
#include "oracle/rows.h"

#include <stdio.h>
#include <string.h>

static size_t elements(const struct op_case *c)
{
    return (size_t)c->rows * (size_t)c->width;
}

/* ---- norm ---- */

static const double eps = (double)1e-5f; /* the default */

static bool rms(const struct op_case *c)
{
    return c->variant == SSA_NORM_RMS;
}

static void describe_norm(struct op_case *c)
{
    add_operand(c, READ, "x", elements(c));
    struct operand *gain = add_operand(c, READ, "gain", (size_t)c->width);
    gain->low = 0.5f;
    gain->high = 1.5f;
    c->variants = 2;
    snprintf(c->name, sizeof c->name, rms(c) ? "rms" : "layer");
}

void describe_norm_fwd(struct op_case *c)
{
    describe_norm(c);
    add_operand(c, READ, "bias", (size_t)c->width);
    add_operand(c, WRITTEN, "y", elements(c));
    add_operand(c, WRITTEN, "stats", 2 * (size_t)c->rows);
    c->flops = 8.0 * (double)elements(c);
}
int call_norm_fwd(struct op_case *c)
{
    struct ssa_norm_fwd a = {.x = tensor(c, 0), .gain = tensor(c, 1), .bias = tensor(c, 2), .y = tensor(c, 3),
                             .stats = tensor(c, 4), .rows = c->rows, .width = c->width, .kind = c->variant};
    if (rms(c))
        a.bias = (struct ssa_tensor){0};
    return ssa_norm_fwd(c->device, &a);
}
void want_norm_fwd(const struct op_case *c)
{
    oracle_norm_fwd(exact(c, 0), exact(c, 1), rms(c) ? NULL : exact(c, 2), c->rows, c->width, rms(c), eps, exact(c, 3),
                    exact(c, 4));
}

enum { NORM_X, NORM_GAIN, NORM_STATS, NORM_DY, NORM_DX, NORM_DGAIN, NORM_DBIAS };

/* stats as the forward pass leaves them. */
static int prepare_norm_bwd(struct op_case *c)
{
    oracle_norm_fwd(exact(c, NORM_X), NULL, NULL, c->rows, c->width, rms(c), eps, exact(c, NORM_DX),
                    exact(c, NORM_STATS));
    return put_exact(c, NORM_STATS);
}
void describe_norm_bwd(struct op_case *c)
{
    describe_norm(c);
    add_operand(c, READ, "stats", 2 * (size_t)c->rows);
    add_operand(c, READ, "dy", elements(c));
    add_operand(c, WRITTEN, "dx", elements(c));
    add_operand(c, WRITTEN, "dgain", (size_t)c->width);
    add_operand(c, WRITTEN, "dbias", (size_t)c->width);
    c->flops = 14.0 * (double)elements(c);
    c->prepare = prepare_norm_bwd;
}
int call_norm_bwd(struct op_case *c)
{
    return ssa_norm_bwd(c->device, &(struct ssa_norm_bwd){.x = tensor(c, NORM_X), .gain = tensor(c, NORM_GAIN),
                                                          .stats = tensor(c, NORM_STATS), .dy = tensor(c, NORM_DY),
                                                          .dx = tensor(c, NORM_DX), .dgain = tensor(c, NORM_DGAIN),
                                                          .dbias = tensor(c, NORM_DBIAS), .rows = c->rows,
                                                          .width = c->width, .kind = c->variant});
}
void want_norm_bwd(const struct op_case *c)
{
    oracle_norm_bwd(exact(c, NORM_X), exact(c, NORM_GAIN), exact(c, NORM_DY), c->rows, c->width, rms(c), eps,
                    exact(c, NORM_DX), exact(c, NORM_DGAIN), exact(c, NORM_DBIAS));
}

/* ---- embedding: a token a row; thorough, a node's features too, scaled, with id 0 as padding ---- */

static int ids_of_a_row(const struct op_case *c)
{
    return c->variant ? 3 : 1;
}

static void describe_embedding(struct op_case *c)
{
    if (c->thorough) {
        c->vocabulary = 19;
        c->length = 10;
    }
    c->variants = 2;
    snprintf(c->name, sizeof c->name, c->variant ? "sum" : "one");
    add_numbers(c, IDS, "ids", (size_t)(c->rows * ids_of_a_row(c)), c->vocabulary);
}

static struct oracle_embedding embedding(const struct op_case *c)
{
    return (struct oracle_embedding){.ids = numbers(c, 0), .rows = c->rows, .length = c->length, .width = c->width,
                                     .vocabulary = c->vocabulary, .each = ids_of_a_row(c), .dead = c->variant,
                                     .scale = c->variant ? 0.5 : 1};
}

void describe_embedding_fwd(struct op_case *c)
{
    describe_embedding(c);
    add_operand(c, READ, "table", (size_t)c->vocabulary * (size_t)c->width);
    add_operand(c, READ, "positions", (size_t)c->length * (size_t)c->width);
    add_operand(c, WRITTEN, "out", elements(c));
    c->flops = (double)elements(c);
}
int call_embedding_fwd(struct op_case *c)
{
    return ssa_embedding_fwd(c->device, &(struct ssa_embedding_fwd){.ids = tensor(c, 0), .table = tensor(c, 1),
                                                                    .positions = tensor(c, 2), .out = tensor(c, 3),
                                                                    .rows = c->rows, .length = c->length,
                                                                    .width = c->width, .vocabulary = c->vocabulary,
                                                                    .each = ids_of_a_row(c), .dead = c->variant,
                                                                    .scale = c->variant ? 0.5f : 0});
}
void want_embedding_fwd(const struct op_case *c)
{
    const struct oracle_embedding e = embedding(c);
    oracle_embedding_fwd(&e, exact(c, 1), exact(c, 2), exact(c, 3));
}

void describe_embedding_bwd(struct op_case *c)
{
    describe_embedding(c);
    add_operand(c, READ, "dout", elements(c));
    add_operand(c, WRITTEN, "dtable", (size_t)c->vocabulary * (size_t)c->width);
    add_operand(c, WRITTEN, "dpositions", (size_t)c->length * (size_t)c->width);
    c->flops = 2.0 * (double)elements(c);
}
int call_embedding_bwd(struct op_case *c)
{
    return ssa_embedding_bwd(c->device, &(struct ssa_embedding_bwd){.ids = tensor(c, 0), .dout = tensor(c, 1),
                                                                    .dtable = tensor(c, 2),
                                                                    .dpositions = tensor(c, 3), .rows = c->rows,
                                                                    .length = c->length, .width = c->width,
                                                                    .vocabulary = c->vocabulary,
                                                                    .each = ids_of_a_row(c), .dead = c->variant,
                                                                    .scale = c->variant ? 0.5f : 0});
}
void want_embedding_bwd(const struct op_case *c)
{
    const struct oracle_embedding e = embedding(c);
    for (int i = 2; i < 4; i++)
        memset(exact(c, i), 0, c->operands[i].count * sizeof(double));
    oracle_embedding_bwd(&e, exact(c, 1), exact(c, 2), exact(c, 3));
}

/* ---- grid: of square images of three channels, of about the length ---- */

enum { GRID_CHANNELS = 3 };

static struct oracle_grid grid(const struct op_case *c)
{
    int rows = 1;
    while ((rows + 1) * (rows + 1) * GRID_CHANNELS <= c->length)
        rows++;
    if (c->thorough)
        return (struct oracle_grid){.first = 5, .count = 60, .rows = 7, .columns = 4, .channels = GRID_CHANNELS,
                                    .width = c->width};
    return (struct oracle_grid){.count = rows * rows * GRID_CHANNELS, .rows = rows, .columns = rows,
                                .channels = GRID_CHANNELS, .width = c->width};
}

static size_t grid_elements(const struct op_case *c)
{
    const struct oracle_grid g = grid(c);
    return (size_t)g.count * (size_t)g.width;
}

/* The three tables, or their gradients. */
static void add_tables(struct op_case *c, enum role role, const char *const names[3])
{
    const struct oracle_grid g = grid(c);
    const int sizes[] = {g.rows, g.columns, g.channels};
    for (int axis = 0; axis < 3; axis++)
        add_operand(c, role, names[axis], (size_t)sizes[axis] * (size_t)g.width);
}

void describe_grid_fwd(struct op_case *c)
{
    add_tables(c, READ, (const char *const[]){"row", "column", "channel"});
    add_operand(c, WRITTEN, "out", grid_elements(c));
    c->flops = 2.0 * (double)grid_elements(c);
}
int call_grid_fwd(struct op_case *c)
{
    const struct oracle_grid g = grid(c);
    return ssa_grid_fwd(c->device, &(struct ssa_grid_fwd){.row = tensor(c, 0), .column = tensor(c, 1),
                                                          .channel = tensor(c, 2), .out = tensor(c, 3),
                                                          .first = g.first, .count = g.count, .rows = g.rows,
                                                          .columns = g.columns, .channels = g.channels,
                                                          .width = g.width});
}
void want_grid_fwd(const struct op_case *c)
{
    const struct oracle_grid g = grid(c);
    oracle_grid_fwd(&g, (const double *const[]){exact(c, 0), exact(c, 1), exact(c, 2)}, exact(c, 3));
}

void describe_grid_bwd(struct op_case *c)
{
    add_operand(c, READ, "dout", grid_elements(c));
    add_tables(c, WRITTEN, (const char *const[]){"drow", "dcolumn", "dchannel"});
    c->flops = 3.0 * (double)grid_elements(c);
}
int call_grid_bwd(struct op_case *c)
{
    const struct oracle_grid g = grid(c);
    return ssa_grid_bwd(c->device, &(struct ssa_grid_bwd){.dout = tensor(c, 0), .drow = tensor(c, 1),
                                                          .dcolumn = tensor(c, 2), .dchannel = tensor(c, 3),
                                                          .count = g.count, .rows = g.rows, .columns = g.columns,
                                                          .channels = g.channels, .width = g.width});
}
void want_grid_bwd(const struct op_case *c)
{
    struct oracle_grid g = grid(c);
    g.first = 0;
    for (int i = 1; i < 4; i++)
        memset(exact(c, i), 0, c->operands[i].count * sizeof(double));
    oracle_grid_bwd(&g, exact(c, 0), (double *const[]){exact(c, 1), exact(c, 2), exact(c, 3)});
}

/* ---- rope: the queries, in place ---- */

static int first_position(const struct op_case *c)
{
    return c->thorough ? 100000 : 0;
}

void describe_rope(struct op_case *c)
{
    if (c->thorough) {
        c->length = 9;
        c->head = 20;
    }
    size_t count = (size_t)c->rows * (size_t)c->heads * (size_t)c->head;
    add_operand(c, UPDATED, "x", count);
    c->variants = 2;
    snprintf(c->name, sizeof c->name, c->variant ? "inverse" : "forward");
    c->flops = 3.0 * (double)count;
    c->check_flops = 20.0 * (double)count;
}
int call_rope(struct op_case *c)
{
    return ssa_rope(c->device, &(struct ssa_rope){.x = tensor(c, 0), .rows = c->rows, .length = c->length,
                                                  .heads = c->heads, .width = c->head,
                                                  .first_position = first_position(c), .inverse = c->variant});
}
void want_rope(const struct op_case *c)
{
    oracle_rope(&(struct oracle_rope){.rows = c->rows, .length = c->length, .heads = c->heads, .width = c->head,
                                      .first_position = first_position(c), .stride = (size_t)(c->heads * c->head),
                                      .base = 10000, .inverse = c->variant}, exact(c, 0));
}

/* ---- cross-entropy: loss and gradient of the logits; thorough, of soft targets too ---- */

void describe_cross_entropy(struct op_case *c)
{
    const bool soft = c->variant;
    size_t count = (size_t)c->rows * (size_t)c->vocabulary;
    struct operand *logits = add_operand(c, READ, "logits", count);
    logits->low = -8;
    logits->high = 8;
    if (soft)
        add_operand(c, READ, "soft_targets", count)->low = 0;
    else
        add_numbers(c, IDS, "targets", (size_t)c->rows, c->vocabulary);
    add_operand(c, WRITTEN, "loss", (size_t)c->rows)->cancels = soft ? (double)c->vocabulary : 1;
    add_operand(c, WRITTEN, "dlogits", count)->cancels = soft ? 10 : 1;
    c->variants = 2;
    snprintf(c->name, sizeof c->name, soft ? "soft" : "hard");
    c->flops = 5.0 * (double)count;
}
int call_cross_entropy(struct op_case *c)
{
    struct ssa_cross_entropy a = {.logits = tensor(c, 0), .loss = tensor(c, 2), .dlogits = tensor(c, 3),
                                  .rows = c->rows, .vocabulary = c->vocabulary, .smoothing = c->thorough ? 0.1f : 0,
                                  .grad_scale = c->thorough ? 0.5f : 1};
    *(c->variant ? &a.soft_targets : &a.targets) = tensor(c, 1);
    return ssa_cross_entropy(c->device, &a);
}
void want_cross_entropy(const struct op_case *c)
{
    const double smoothing = c->thorough ? (double)0.1f : 0, scale = c->thorough ? 0.5 : 1;
    if (c->variant)
        oracle_cross_entropy_soft(exact(c, 0), exact(c, 1), c->rows, c->vocabulary, smoothing, scale, exact(c, 2),
                                  exact(c, 3));
    else
        oracle_cross_entropy(exact(c, 0), numbers(c, 1), c->rows, c->vocabulary, smoothing, scale, exact(c, 2),
                             exact(c, 3));
}

/* ---- gather and scatter: the quarter of the rows that a plan's keys are; thorough, all into or out of few ---- */

static int taken(const struct op_case *c)
{
    return c->thorough ? c->rows : c->rows / 4;
}
static int source_rows(const struct op_case *c)
{
    return c->thorough ? 11 : c->rows;
}
static int target_rows(const struct op_case *c)
{
    return c->thorough ? c->rows + 5 : c->rows;
}

void describe_gather_rows(struct op_case *c)
{
    size_t moved = (size_t)taken(c) * (size_t)c->width;
    add_operand(c, READ, "x", (size_t)source_rows(c) * (size_t)c->width)->moved = moved;
    add_numbers(c, c->thorough ? IDS : DISTINCT, "rows", (size_t)taken(c), source_rows(c));
    add_operand(c, WRITTEN, "out", moved);
}
int call_gather_rows(struct op_case *c)
{
    return ssa_gather_rows(c->device, &(struct ssa_gather_rows){.x = tensor(c, 0), .rows = tensor(c, 1),
                                                                .out = tensor(c, 2), .count = taken(c),
                                                                .source_rows = source_rows(c), .width = c->width});
}
void want_gather_rows(const struct op_case *c)
{
    oracle_gather_rows(exact(c, 0), numbers(c, 1), taken(c), source_rows(c), c->width, exact(c, 2));
}

void describe_scatter_rows(struct op_case *c)
{
    size_t moved = (size_t)taken(c) * (size_t)c->width;
    add_operand(c, READ, "x", moved);
    add_numbers(c, DISTINCT, "rows", (size_t)taken(c), target_rows(c));
    add_operand(c, UPDATED, "out", (size_t)target_rows(c) * (size_t)c->width)->moved = moved;
}
int call_scatter_rows(struct op_case *c)
{
    return ssa_scatter_rows(c->device, &(struct ssa_scatter_rows){.x = tensor(c, 0), .rows = tensor(c, 1),
                                                                  .out = tensor(c, 2), .count = taken(c),
                                                                  .target_rows = target_rows(c), .width = c->width,
                                                                  .accumulate = c->thorough});
}
void want_scatter_rows(const struct op_case *c)
{
    oracle_scatter_rows(exact(c, 0), numbers(c, 1), taken(c), target_rows(c), c->width, c->thorough, exact(c, 2));
}

/* ---- prepend: a class token before, and learned positions of, sequences ---- */

static struct oracle_prepend prepend(struct op_case *c)
{
    if (c->thorough)
        c->length = 10;
    return (struct oracle_prepend){c->thorough ? 3 : c->batch, c->thorough ? 2 : 1, c->length, c->width};
}
static size_t joined(const struct oracle_prepend *s)
{
    return (size_t)(s->lead + s->length) * (size_t)s->width;
}

void describe_prepend_fwd(struct op_case *c)
{
    const struct oracle_prepend s = prepend(c);
    add_operand(c, READ, "first", (size_t)s.lead * (size_t)s.width);
    add_operand(c, READ, "x", (size_t)s.batch * (size_t)s.length * (size_t)s.width);
    add_operand(c, READ, "positions", joined(&s));
    add_operand(c, WRITTEN, "out", (size_t)s.batch * joined(&s));
    c->flops = (double)((size_t)s.batch * joined(&s));
}
int call_prepend_fwd(struct op_case *c)
{
    const struct oracle_prepend s = prepend(c);
    return ssa_prepend_fwd(c->device, &(struct ssa_prepend_fwd){.first = tensor(c, 0), .x = tensor(c, 1),
        .positions = tensor(c, 2), .out = tensor(c, 3), .batch = s.batch, .lead = s.lead, .length = s.length,
        .width = s.width});
}
void want_prepend_fwd(const struct op_case *c)
{
    struct op_case copy = *c;
    const struct oracle_prepend s = prepend(&copy);
    oracle_prepend_fwd(&s, exact(c, 0), exact(c, 1), exact(c, 2), exact(c, 3));
}

void describe_prepend_bwd(struct op_case *c)
{
    const struct oracle_prepend s = prepend(c);
    add_operand(c, READ, "dout", (size_t)s.batch * joined(&s));
    add_operand(c, WRITTEN, "dfirst", (size_t)s.lead * (size_t)s.width);
    add_operand(c, WRITTEN, "dx", (size_t)s.batch * (size_t)s.length * (size_t)s.width);
    add_operand(c, WRITTEN, "dpositions", joined(&s));
    c->flops = (double)((size_t)s.batch * joined(&s));
}
int call_prepend_bwd(struct op_case *c)
{
    const struct oracle_prepend s = prepend(c);
    return ssa_prepend_bwd(c->device, &(struct ssa_prepend_bwd){.dout = tensor(c, 0), .dfirst = tensor(c, 1),
        .dx = tensor(c, 2), .dpositions = tensor(c, 3), .batch = s.batch, .lead = s.lead, .length = s.length,
        .width = s.width});
}
void want_prepend_bwd(const struct op_case *c)
{
    struct op_case copy = *c;
    const struct oracle_prepend s = prepend(&copy);
    memset(exact(c, 1), 0, c->operands[1].count * sizeof(double));
    memset(exact(c, 3), 0, c->operands[3].count * sizeof(double));
    oracle_prepend_bwd(&s, exact(c, 0), exact(c, 1), exact(c, 2), exact(c, 3));
}

/* ---- mean: over all positions; thorough, over some, and with lengths ---- */

static struct oracle_mean mean(const struct op_case *c)
{
    if (!c->thorough)
        return (struct oracle_mean){c->batch, c->length, 0, c->length, c->width, NULL};
    return (struct oracle_mean){c->variant ? 7 : c->batch, 10, 2, 5, c->width, c->variant ? numbers(c, 2) : NULL};
}
/* Absent where there are none. */
static struct ssa_tensor lengths(const struct op_case *c)
{
    return c->variant ? tensor(c, 2) : (struct ssa_tensor){0};
}

static void describe_mean(struct op_case *c, enum role few, enum role all, const char *names[2])
{
    const struct oracle_mean s = mean(c);
    const size_t count = (size_t)s.batch * (size_t)s.length * (size_t)s.width;
    struct operand *x = add_operand(c, all, names[0], count);
    if (all == READ)
        x->moved = (size_t)s.batch * (size_t)s.count * (size_t)s.width;
    add_operand(c, few, names[1], (size_t)s.batch * (size_t)s.width);
    if (c->variant)
        add_numbers(c, IDS, "lengths", (size_t)s.batch, s.length);
    c->variants = 2;
    snprintf(c->name, sizeof c->name, "%s", c->variant ? "lengths" : "");
    c->flops = (double)count;
}
void describe_mean_fwd(struct op_case *c)
{
    describe_mean(c, WRITTEN, READ, (const char *[]){"x", "out"});
}
int call_mean_fwd(struct op_case *c)
{
    const struct oracle_mean s = mean(c);
    return ssa_mean_fwd(c->device, &(struct ssa_mean_fwd){.x = tensor(c, 0), .out = tensor(c, 1),
        .lengths = lengths(c), .batch = s.batch, .length = s.length, .first = s.first, .count = s.count,
        .width = s.width});
}
void want_mean_fwd(const struct op_case *c)
{
    const struct oracle_mean s = mean(c);
    oracle_mean_fwd(&s, exact(c, 0), exact(c, 1));
}

void describe_mean_bwd(struct op_case *c)
{
    describe_mean(c, READ, WRITTEN, (const char *[]){"dx", "dout"});
}
int call_mean_bwd(struct op_case *c)
{
    const struct oracle_mean s = mean(c);
    return ssa_mean_bwd(c->device, &(struct ssa_mean_bwd){.dx = tensor(c, 0), .dout = tensor(c, 1),
        .lengths = lengths(c), .batch = s.batch, .length = s.length, .first = s.first, .count = s.count,
        .width = s.width});
}
void want_mean_bwd(const struct op_case *c)
{
    const struct oracle_mean s = mean(c);
    memset(exact(c, 0), 0, c->operands[0].count * sizeof(double));
    oracle_mean_bwd(&s, exact(c, 1), exact(c, 0));
}

/* Operators of models of graphs: what is done to pairs of nodes, and to what nodes gather; at the sizes of molecules,
 * of which there are so many as make the rows of a step. */
#include "operators.h"

#include "oracle/centrality.h"
#include "oracle/frame.h"

#include <string.h>

enum { NODES = 18, LEAD = 4, EDGE_WIDTH = 64 };

static int molecules(const struct op_case *c)
{
    return c->rows < NODES ? 1 : c->rows / NODES;
}

/* ---- centrality: of attention's heads ---- */

static struct oracle_centrality centrality(const struct op_case *c)
{
    if (c->thorough)
        return (struct oracle_centrality){.batch = 3, .length = 11, .heads = 5, .width = 77, .lead = 2, .ratio = 1.75};
    return (struct oracle_centrality){.batch = molecules(c), .length = NODES, .heads = c->heads, .width = c->head,
                                      .lead = LEAD, .ratio = 1};
}
static size_t centrality_sums(const struct oracle_centrality *s)
{
    return (size_t)s->batch * (size_t)s->length * (size_t)s->heads;
}

enum { CENTRALITY_X, CENTRALITY_SUMS };

/* Sums of gates are not negative: 0 to 18 here. */
static int prepare_centrality(struct op_case *c)
{
    for (size_t i = 0; i < c->operands[CENTRALITY_SUMS].count; i++)
        exact(c, CENTRALITY_SUMS)[i] *= NODES * exact(c, CENTRALITY_SUMS)[i];
    return put_exact(c, CENTRALITY_SUMS);
}
static void describe_centrality(struct op_case *c)
{
    const struct oracle_centrality s = centrality(c);
    add_operand(c, READ, "x", centrality_sums(&s) * (size_t)s.width);
    add_operand(c, READ, "sums", centrality_sums(&s));
    c->prepare = prepare_centrality;
}

void describe_centrality_fwd(struct op_case *c)
{
    describe_centrality(c);
    add_operand(c, WRITTEN, "out", c->operands[CENTRALITY_X].count);
    c->flops = (double)c->operands[CENTRALITY_X].count;
}
int call_centrality_fwd(struct op_case *c)
{
    const struct oracle_centrality s = centrality(c);
    return ssa_centrality_fwd(c->device, &(struct ssa_centrality_fwd){.x = tensor(c, CENTRALITY_X),
        .sums = tensor(c, CENTRALITY_SUMS), .out = tensor(c, 2), .batch = s.batch, .length = s.length,
        .heads = s.heads, .width = s.width, .lead = s.lead, .ratio = (float)s.ratio});
}
void want_centrality_fwd(const struct op_case *c)
{
    const struct oracle_centrality s = centrality(c);
    oracle_centrality_fwd(&s, exact(c, CENTRALITY_X), exact(c, CENTRALITY_SUMS), exact(c, 2));
}

void describe_centrality_bwd(struct op_case *c)
{
    describe_centrality(c);
    add_operand(c, READ, "dout", c->operands[CENTRALITY_X].count);
    add_operand(c, WRITTEN, "dx", c->operands[CENTRALITY_X].count);
    add_operand(c, WRITTEN, "dsums", c->operands[CENTRALITY_SUMS].count);
    c->flops = 3.0 * (double)c->operands[CENTRALITY_X].count;
}
int call_centrality_bwd(struct op_case *c)
{
    const struct oracle_centrality s = centrality(c);
    return ssa_centrality_bwd(c->device, &(struct ssa_centrality_bwd){.x = tensor(c, CENTRALITY_X),
        .sums = tensor(c, CENTRALITY_SUMS), .dout = tensor(c, 2), .dx = tensor(c, 3), .dsums = tensor(c, 4),
        .batch = s.batch, .length = s.length, .heads = s.heads, .width = s.width, .lead = s.lead,
        .ratio = (float)s.ratio});
}
void want_centrality_bwd(const struct op_case *c)
{
    const struct oracle_centrality s = centrality(c);
    oracle_centrality_bwd(&s, exact(c, CENTRALITY_X), exact(c, CENTRALITY_SUMS), exact(c, 2), exact(c, 3), exact(c, 4));
}

/* ---- frame: edges of virtual nodes before those of nodes ---- */

static struct oracle_frame frame(const struct op_case *c)
{
    return c->thorough ? (struct oracle_frame){.batch = 3, .lead = 3, .length = 5, .width = c->width}
                       : (struct oracle_frame){.batch = molecules(c), .lead = LEAD, .length = NODES,
                                               .width = EDGE_WIDTH};
}
static size_t frame_pairs(const struct oracle_frame *s, int positions)
{
    return (size_t)s->batch * (size_t)positions * (size_t)positions * (size_t)s->width;
}

void describe_frame_fwd(struct op_case *c)
{
    const struct oracle_frame s = frame(c);
    add_operand(c, READ, "x", frame_pairs(&s, s.length));
    add_operand(c, READ, "vectors", (size_t)s.lead * (size_t)s.width);
    add_operand(c, WRITTEN, "out", frame_pairs(&s, s.lead + s.length));
}
int call_frame_fwd(struct op_case *c)
{
    const struct oracle_frame s = frame(c);
    return ssa_frame_fwd(c->device, &(struct ssa_frame_fwd){.x = tensor(c, 0), .vectors = tensor(c, 1),
        .out = tensor(c, 2), .batch = s.batch, .lead = s.lead, .length = s.length, .width = s.width});
}
void want_frame_fwd(const struct op_case *c)
{
    const struct oracle_frame s = frame(c);
    oracle_frame_fwd(&s, exact(c, 0), exact(c, 1), exact(c, 2));
}

void describe_frame_bwd(struct op_case *c)
{
    const struct oracle_frame s = frame(c);
    add_operand(c, READ, "dout", frame_pairs(&s, s.lead + s.length));
    add_operand(c, WRITTEN, "dx", frame_pairs(&s, s.length));
    add_operand(c, WRITTEN, "dvectors", (size_t)s.lead * (size_t)s.width);
    c->flops = (double)(c->operands[0].count - c->operands[1].count);
}
int call_frame_bwd(struct op_case *c)
{
    const struct oracle_frame s = frame(c);
    return ssa_frame_bwd(c->device, &(struct ssa_frame_bwd){.dout = tensor(c, 0), .dx = tensor(c, 1),
        .dvectors = tensor(c, 2), .batch = s.batch, .lead = s.lead, .length = s.length, .width = s.width});
}
void want_frame_bwd(const struct op_case *c)
{
    const struct oracle_frame s = frame(c);
    memset(exact(c, 2), 0, c->operands[2].count * sizeof(double));
    oracle_frame_bwd(&s, exact(c, 0), exact(c, 1), exact(c, 2));
}

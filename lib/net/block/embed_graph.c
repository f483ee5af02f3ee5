/* x = [virtual; sum of node[id] + encodings w^T + bias],  e = frame(hop[distance] + sum of edge[id], virtual edges)
 *
 * Id 0 takes no row, so that what a graph lacks, or padding, adds nothing. What is framed or prepended lies in the NORM
 * slot, hops below the edges in the WIDE slot. */
#include "blocks.h"
#include "impl.h"

static void draft_nodes(struct ssa_embed_graph_block *b, struct ssa_draft *d)
{
    const struct ssa_start normal = {.deviation = 1};
    const struct ssa_start padded = {.deviation = 1, .zeroes = (size_t)b->width};
    d->width = b->width;
    b->node = ssa_draft_table(d, "node.weight", 1 + b->node_ids * b->node_values, b->width, padded);
    if (b->encodings) {
        b->encoding = ssa_draft_uniform(d, "encoding.weight", b->width, b->encodings, b->encodings);
        b->encoding_bias = ssa_draft_uniform(d, "encoding.bias", b->width, 0, b->encodings);
    }
    if (b->lead)
        b->first = ssa_draft_table(d, "virtual.weight", b->lead, b->width, normal);
    ssa_draft_scratch(d, SSA_SLOT_NORM, ssa_times(d->rows, (size_t)b->width), "embedded nodes");
}

static void draft_edges(struct ssa_embed_graph_block *b, struct ssa_draft *d)
{
    const struct ssa_start normal = {.deviation = 1};
    const struct ssa_start padded = {.deviation = 1, .zeroes = (size_t)b->edge_width};
    ssa_draft_turn(d, SSA_STREAM_EDGES);
    d->width = b->edge_width;
    const size_t count = ssa_times(d->rows, (size_t)d->width);
    b->hop = ssa_draft_table(d, "hop.weight", b->hops + 1, b->edge_width, normal);
    if (b->edge_ids)
        b->edge = ssa_draft_table(d, "edge.weight", 1 + b->edge_ids * b->edge_values, b->edge_width, padded);
    if (b->lead)
        b->frame = ssa_draft_table(d, "virtual_edge.weight", b->lead, b->edge_width, normal);
    b->edges_at = ssa_draft_leave(d);
    ssa_draft_scratch(d, SSA_SLOT_NORM, count, "embedded edges");
    if (b->edge_ids)
        ssa_draft_scratch(d, SSA_SLOT_WIDE, count, "embedded distances");
    ssa_draft_turn(d, SSA_STREAM_NODES);
}

static void draft_inputs(struct ssa_embed_graph_block *b, struct ssa_draft *d)
{
    struct ssa_input per_node = {.type = SSA_I32, .lead = b->lead}, per_edge = per_node;
    b->lengths = ssa_draft_input(d, SSA_INPUT_LENGTHS);
    per_node.name = "node";
    per_node.from = offsetof(struct ssa_pass, nodes);
    per_node.each = (size_t)b->node_ids;
    per_node.below = 1 + b->node_ids * b->node_values;
    b->node_in = ssa_draft_input(d, per_node);
    if (b->encodings)
        b->encoding_in = ssa_draft_input(d, (struct ssa_input){.name = "encoding", .type = SSA_F32, .lead = b->lead,
            .from = offsetof(struct ssa_pass, encodings), .each = (size_t)b->encodings});
    per_edge.per = SSA_PER_PAIR;
    per_edge.name = "hop";
    per_edge.from = offsetof(struct ssa_pass, hops);
    per_edge.below = b->hops + 1;
    b->hop_in = ssa_draft_input(d, per_edge);
    per_edge.name = "edge";
    per_edge.from = offsetof(struct ssa_pass, edges);
    per_edge.each = (size_t)b->edge_ids;
    per_edge.below = 1 + b->edge_ids * b->edge_values;
    if (b->edge_ids)
        b->edge_in = ssa_draft_input(d, per_edge);
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_embed_graph_block *b = (struct ssa_embed_graph_block *)block;
    draft_nodes(b, d);
    draft_edges(b, d);
    draft_inputs(b, d);
}

/* Nodes of a graph in this pass, padding included. */
static int nodes_of(const struct ssa_embed_graph_block *b, const struct ssa_run *r)
{
    return r->length - b->lead;
}

/* ---- forward ---- */

static int forward_nodes(const struct ssa_embed_graph_block *b, const struct ssa_run *r)
{
    const int n = nodes_of(b, r), rows = r->batch * n;
    const struct ssa_tensor out = ssa_kept(r, b->block.out), x = b->lead ? r->slots[SSA_SLOT_NORM] : out;
    int err;
    TRY(ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = ssa_input(r, b->node_in),
        .table = ssa_value(r, b->node), .out = x, .rows = rows, .length = n, .width = b->width,
        .vocabulary = 1 + b->node_ids * b->node_values, .each = b->node_ids, .dead = 1}));
    if (b->encodings)
        TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = ssa_input(r, b->encoding_in),
            .w = ssa_value(r, b->encoding), .bias = ssa_value(r, b->encoding_bias), .residual = x, .y = x,
            .rows = rows, .in = b->encodings, .out = b->width}));
    if (b->lead)
        TRY(ssa_prepend_fwd(r->device, &(struct ssa_prepend_fwd){.first = ssa_value(r, b->first), .x = x, .out = out,
            .batch = r->batch, .lead = b->lead, .length = n, .width = b->width}));
done:
    return err;
}

static int forward_edges(const struct ssa_embed_graph_block *b, const struct ssa_run *r)
{
    const int n = nodes_of(b, r), rows = r->batch * n * n;
    const struct ssa_tensor out = ssa_kept(r, b->edges_at), x = b->lead ? r->slots[SSA_SLOT_NORM] : out;
    const struct ssa_tensor hops = b->edge_ids ? r->slots[SSA_SLOT_WIDE] : x;
    int err;
    TRY(ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = ssa_input(r, b->hop_in),
        .table = ssa_value(r, b->hop), .out = hops, .rows = rows, .length = rows, .width = b->edge_width,
        .vocabulary = b->hops + 1}));
    if (b->edge_ids)
        TRY(ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = ssa_input(r, b->edge_in),
            .table = ssa_value(r, b->edge), .positions = hops, .out = x, .rows = rows, .length = rows,
            .width = b->edge_width, .vocabulary = 1 + b->edge_ids * b->edge_values, .each = b->edge_ids, .dead = 1}));
    if (b->lead)
        TRY(ssa_frame_fwd(r->device, &(struct ssa_frame_fwd){.x = x, .vectors = ssa_value(r, b->frame), .out = out,
            .batch = r->batch, .lead = b->lead, .length = n, .width = b->edge_width}));
done:
    return err;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_graph_block *b = (const struct ssa_embed_graph_block *)block;
    const int err = forward_nodes(b, r);
    return err ? err : forward_edges(b, r);
}

/* ---- backward ---- */

static int backward_nodes(const struct ssa_embed_graph_block *b, const struct ssa_run *r)
{
    const int n = nodes_of(b, r), rows = r->batch * n;
    const struct ssa_tensor dx = b->lead ? r->slots[SSA_SLOT_NORM] : r->dx;
    int err = SSA_OK;
    if (b->lead)
        TRY(ssa_prepend_bwd(r->device, &(struct ssa_prepend_bwd){.dout = r->dx, .dfirst = ssa_grad(r, b->first),
            .dx = dx, .batch = r->batch, .lead = b->lead, .length = n, .width = b->width,
            .accumulate = r->accumulate}));
    TRY(ssa_embedding_bwd(r->device, &(struct ssa_embedding_bwd){.ids = ssa_input(r, b->node_in), .dout = dx,
        .dtable = ssa_grad(r, b->node), .rows = rows, .length = n, .width = b->width,
        .vocabulary = 1 + b->node_ids * b->node_values, .accumulate = r->accumulate, .each = b->node_ids, .dead = 1}));
    if (b->encodings)
        TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = ssa_input(r, b->encoding_in),
            .w = ssa_value(r, b->encoding), .dy = dx, .dw = ssa_grad(r, b->encoding),
            .dbias = ssa_grad(r, b->encoding_bias), .rows = rows, .in = b->encodings, .out = b->width,
            .accumulate = r->accumulate}));
done:
    return err;
}

static int backward_edges(const struct ssa_embed_graph_block *b, const struct ssa_run *r)
{
    const struct ssa_tensor dout = ssa_run_turned(r, &b->block, SSA_STREAM_EDGES).dx;
    const struct ssa_tensor dx = b->lead ? r->slots[SSA_SLOT_NORM] : dout;
    const int n = nodes_of(b, r), rows = r->batch * n * n;
    int err = SSA_OK;
    if (b->lead)
        TRY(ssa_frame_bwd(r->device, &(struct ssa_frame_bwd){.dout = dout, .dx = dx, .dvectors = ssa_grad(r, b->frame),
            .batch = r->batch, .lead = b->lead, .length = n, .width = b->edge_width, .accumulate = r->accumulate}));
    TRY(ssa_embedding_bwd(r->device, &(struct ssa_embedding_bwd){.ids = ssa_input(r, b->hop_in), .dout = dx,
        .dtable = ssa_grad(r, b->hop), .rows = rows, .length = rows, .width = b->edge_width,
        .vocabulary = b->hops + 1, .accumulate = r->accumulate}));
    if (b->edge_ids)
        TRY(ssa_embedding_bwd(r->device, &(struct ssa_embedding_bwd){.ids = ssa_input(r, b->edge_in), .dout = dx,
            .dtable = ssa_grad(r, b->edge), .rows = rows, .length = rows, .width = b->edge_width,
            .vocabulary = 1 + b->edge_ids * b->edge_values, .accumulate = r->accumulate, .each = b->edge_ids,
            .dead = 1}));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_graph_block *b = (const struct ssa_embed_graph_block *)block;
    const int err = backward_nodes(b, r);
    return err ? err : backward_edges(b, r);
}

const struct ssa_block_kind ssa_embed_graph_kind = {"embed_graph", sizeof(struct ssa_embed_graph_block), draft, forward,
                                                    backward, NULL};

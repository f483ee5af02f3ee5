/* out = x + drop(proj(z)),  z = log(1 + ratio t) o att,  att, t = attention(q, k, v, E, G) and its sums of gates,
 * q, k, v = norm(x) w^T + bias;  edges: E, G = edge.norm(e) w^T + bias,  e' = e + drop(edge.proj(scores))
 *
 * E is added to clipped scores, the sigmoids of G are the gates; both are views of [batch, length, length, 2 heads] from
 * one product, and scores are [batch, length, length, heads]. Rows of virtual nodes have z = att.
 *
 * With `cells` norm, products and the edges' end are made for the edges alone that the layer's plan samples: these are
 * gathered, [batch, length, keys, .], and E and G are scattered to where attention looks for them; it does not look at
 * the others. Where edges are updated these cells are a stream of their own then, which ssa_write_cells_kind writes back;
 * e is then overwritten, and what was gathered is kept. Else it is gathered again.
 *
 * The PAIRS slot has, all of them for every pair: [scores, or their gradients | gradients of E and G | those of t]. */
#include "blocks.h"
#include "plan.h"
#include "impl.h"

enum { LINE = 16 }; /* elements of a cache line, at which the parts of a slot begin */

static size_t padded(size_t count)
{
    return ssa_times(LINE, (count + LINE - 1) / LINE);
}

/* Elements that an edge has of scores, and of E and G. */
static size_t score_width(const struct ssa_edge_attention_block *b)
{
    return (size_t)b->heads;
}

static size_t pair_width(const struct ssa_edge_attention_block *b)
{
    return 2 * (size_t)b->heads;
}

/* ---- draft ---- */

static void draft_edges(struct ssa_edge_attention_block *b, struct ssa_draft *d, size_t rows)
{
    const struct ssa_start in = {.bound = b->edges.in_bound}, out = {.bound = b->edges.out_bound};
    ssa_draft_turn(d, SSA_STREAM_EDGES);
    const size_t pairs = d->rows;
    b->edge_width = d->width;
    b->edges_in = ssa_draft_enter(d);
    ssa_branch_draft(&b->edges, d);
    b->pair = ssa_draft_matrix(d, "edge.pair.weight", 2 * b->heads, b->edge_width, ssa_branch_start_in(&b->edges));
    b->pair_bias = ssa_draft_vector(d, "edge.pair.bias", 2 * b->heads, in);
    b->pairs_at = ssa_draft_keep(d, ssa_times(pairs, pair_width(b)), "biases and gates");
    const size_t scores = ssa_times(pairs, score_width(b)), gradients = ssa_times(pairs, pair_width(b));
    ssa_draft_scratch(d, SSA_SLOT_PAIRS, d->training ? ssa_plus(ssa_plus(padded(scores), padded(gradients)), rows)
                                         : b->updates && b->cells ? scores : 0, "scores and their gradients");
    if (b->updates) {
        b->edge_proj = ssa_draft_matrix(d, "edge.proj.weight", b->edge_width, b->heads, ssa_branch_start_out(&b->edges));
        b->edge_proj_bias = ssa_draft_vector(d, "edge.proj.bias", b->edge_width, out);
        b->scores_at = ssa_draft_keep(d, scores, "scores");
    }
    if (b->updates && !b->cells)
        b->edges_out = ssa_draft_leave(d);
    ssa_draft_turn(d, SSA_STREAM_NODES);
}

static void draft_cells(struct ssa_edge_attention_block *b, struct ssa_draft *d)
{
    ssa_draft_cells(d);
    ssa_draft_turn(d, SSA_STREAM_CELLS);
    d->width = b->edge_width;
    const size_t count = ssa_times(d->rows, (size_t)d->width), pairs = ssa_times(d->rows, pair_width(b));
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_plus(padded(count), pairs), "sampled cells");
    if (b->updates) {
        b->cells_at = ssa_draft_keep(d, count, "sampled cells");
        b->edges_out = ssa_draft_leave(d);
    }
    ssa_draft_turn(d, SSA_STREAM_NODES);
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_edge_attention_block *b = (struct ssa_edge_attention_block *)block;
    const int all = 3 * d->width;
    const size_t wide = ssa_times(d->rows, (size_t)all), each = ssa_times(d->rows, (size_t)b->heads);
    b->layer = ssa_draft_layer(d);
    b->width = d->width;
    ssa_branch_draft(&b->branch, d);
    b->qkv = ssa_draft_matrix(d, "qkv.weight", all, b->width, ssa_branch_start_in(&b->branch));
    b->proj = ssa_draft_matrix(d, "proj.weight", b->width, b->width, ssa_branch_start_out(&b->branch));
    b->qkv_bias = ssa_draft_vector(d, "qkv.bias", all, (struct ssa_start){.bound = b->branch.in_bound});
    b->proj_bias = ssa_draft_vector(d, "proj.bias", b->width, (struct ssa_start){.bound = b->branch.out_bound});
    b->qkv_at = ssa_draft_keep(d, wide, "queries, keys and values");
    b->lse = ssa_draft_keep(d, each, "log-sum-exps");
    b->sums = ssa_draft_keep(d, each, "sums of gates");
    b->att = ssa_draft_keep(d, ssa_times(d->rows, (size_t)b->width), "attention's output");
    ssa_draft_scratch(d, SSA_SLOT_WIDE, wide, "gradients of queries, keys and values");
    draft_edges(b, d, d->rows * (size_t)b->heads);
    if (b->cells)
        draft_cells(b, d);
}

/* ---- edges as a run has them ---- */

/* The edges that norm and products take: all of them where they lie, or cells. */
struct edges {
    struct ssa_run run;
    struct ssa_tensor x;
    bool gathered;
};

static struct edges edges_of(const struct ssa_edge_attention_block *b, const struct ssa_run *r)
{
    struct edges e = {.gathered = b->cells && (b->updates || ssa_staged(r, b->layer)->cell_keys < r->length)};
    e.run = ssa_run_turned(r, &b->block, e.gathered ? SSA_STREAM_CELLS : SSA_STREAM_EDGES);
    e.x = !e.gathered  ? ssa_kept(r, b->edges_in)
          : b->updates ? ssa_kept(r, b->cells_at)
                       : r->slots[SSA_SLOT_WIDE];
    if (e.gathered && !b->updates) /* no stream of their own: their gradient is added to that of edges at once */
        e.run.dx = r->slots[SSA_SLOT_NORM];
    return e;
}

/* In the WIDE slot, behind cells. */
static struct ssa_tensor after_cells(const struct ssa_edge_attention_block *b, const struct edges *e)
{
    return ssa_tensor_add(e->run.slots[SSA_SLOT_WIDE], padded((size_t)e->run.rows * (size_t)b->edge_width));
}

/* Gathers cells of `full`, so many elements each, or scatters them. */
static int gather(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e,
                  struct ssa_tensor full, struct ssa_tensor few, size_t width)
{
    return ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = full, .rows = ssa_staged(r, b->layer)->cells,
        .out = few, .count = e->run.rows, .source_rows = r->rows * r->length, .width = (int)width});
}

static int scatter(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e,
                   struct ssa_tensor few, struct ssa_tensor full, size_t width, bool add)
{
    return ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = few, .rows = ssa_staged(r, b->layer)->cells,
        .out = full, .count = e->run.rows, .target_rows = r->rows * r->length, .width = (int)width,
        .accumulate = add});
}

static struct ssa_tensor score_gradients(const struct ssa_run *r)
{
    return r->slots[SSA_SLOT_PAIRS];
}

static struct ssa_tensor pair_gradients(const struct ssa_edge_attention_block *b, const struct ssa_run *r)
{
    const size_t pairs = (size_t)r->rows * (size_t)r->length;
    return ssa_tensor_add(r->slots[SSA_SLOT_PAIRS], padded(pairs * score_width(b)));
}

static struct ssa_tensor sum_gradients(const struct ssa_edge_attention_block *b, const struct ssa_run *r)
{
    const size_t pairs = (size_t)r->rows * (size_t)r->length;
    return ssa_tensor_add(pair_gradients(b, r), padded(pairs * pair_width(b)));
}

/* ---- attention ---- */

/* Of every pair `each` elements, the heads' from `first` on. */
static struct ssa_pairs pairs_at(const struct ssa_run *r, struct ssa_tensor at, size_t each, size_t first)
{
    const size_t n = (size_t)r->length;
    return (struct ssa_pairs){.tensor = ssa_tensor_add(at, first), .batch = n * n * each, .head = 1, .query = n * each,
                              .key = each};
}

/* Queries, keys and values from a tensor's start on. */
struct heads {
    struct ssa_tensor q, k, v;
};
static struct heads heads_at(const struct ssa_edge_attention_block *b, struct ssa_tensor base)
{
    return (struct heads){base, ssa_tensor_add(base, (size_t)b->width), ssa_tensor_add(base, 2 * (size_t)b->width)};
}

/* What both directions are given. */
static struct ssa_attention attention(const struct ssa_edge_attention_block *b, const struct ssa_run *r)
{
    const struct ssa_staged_plan *staged = ssa_staged(r, b->layer);
    const struct heads h = heads_at(b, ssa_kept(r, b->qkv_at));
    const struct ssa_strides strides = {.position = 3 * (size_t)b->width};
    const struct ssa_tensor pairs = ssa_kept(r, b->pairs_at);
    return (struct ssa_attention){.q = h.q, .k = h.k, .v = h.v, .out = ssa_kept(r, b->att), .lse = ssa_kept(r, b->lse),
        .plan = &staged->plan, .plan_data = staged->data, .batch = r->batch, .keys = r->length, .heads = b->heads,
        .width = b->width / b->heads, .q_strides = strides, .k_strides = strides, .v_strides = strides, .clip = b->clip,
        .bias = pairs_at(r, pairs, pair_width(b), 0), .gate = pairs_at(r, pairs, pair_width(b), score_width(b)),
        .gate_sum = ssa_kept(r, b->sums), .dropout = ssa_dropout_now(r, b->dropout),
        .drop_keys = ssa_dropout_now(r, b->drop_keys), .seed = r->pass->seed,
        .stream = ssa_stream_now(r, b->dropout_stream), .first_example = r->pass->first_example};
}

/* By how many times more a dense layer would see: what makes the sum over a sample that over all. Of plans that draw a
 * set for all queries of an example. */
static float degree_ratio(const struct ssa_plan *plan, int example)
{
    const int32_t *p = plan->data + plan->stride * (size_t)(plan->examples > 1 ? example : 0);
    const int32_t *slice = p + p[PLAN_SLICE_AT];
    const int seen = slice[p[PLAN_SLICES]] - slice[0];
    return p[PLAN_BLOCKS] == 1 && seen > 0 ? (float)p[PLAN_LENGTH] / (float)seen : 1;
}

/* Of all examples, or where each has a ratio of its own one after another. */
static int scale(const struct ssa_edge_attention_block *b, const struct ssa_run *r, struct ssa_tensor out)
{
    struct ssa_centrality_fwd f = {.x = ssa_kept(r, b->att), .sums = ssa_kept(r, b->sums), .out = out,
        .batch = r->batch, .length = r->length, .heads = b->heads, .width = b->width / b->heads, .lead = b->lead};
    int err = SSA_OK;
    if (!b->scale_degrees)
        return ssa_centrality_fwd(r->device, &f);
    f.batch = 1;
    for (int e = 0; e < r->batch; e++) {
        f.ratio = degree_ratio(&ssa_staged(r, b->layer)->plan, e);
        TRY(ssa_centrality_fwd(r->device, &f));
        f.x.offset += (size_t)r->length * (size_t)b->width;
        f.out.offset += (size_t)r->length * (size_t)b->width;
        f.sums.offset += (size_t)r->length * (size_t)b->heads;
    }
done:
    return err;
}

/* The gradient of what was scaled, in place, and of the sums. */
static int scale_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, struct ssa_tensor d)
{
    struct ssa_centrality_bwd a = {.x = ssa_kept(r, b->att), .sums = ssa_kept(r, b->sums), .dout = d, .dx = d,
        .dsums = sum_gradients(b, r), .batch = r->batch, .length = r->length, .heads = b->heads,
        .width = b->width / b->heads, .lead = b->lead};
    int err = SSA_OK;
    if (!b->scale_degrees)
        return ssa_centrality_bwd(r->device, &a);
    a.batch = 1;
    for (int e = 0; e < r->batch; e++) {
        a.ratio = degree_ratio(&ssa_staged(r, b->layer)->plan, e);
        TRY(ssa_centrality_bwd(r->device, &a));
        a.x.offset += (size_t)r->length * (size_t)b->width;
        a.dout.offset = a.dx.offset = a.dout.offset + (size_t)r->length * (size_t)b->width;
        a.sums.offset += (size_t)r->length * (size_t)b->heads;
        a.dsums.offset += (size_t)r->length * (size_t)b->heads;
    }
done:
    return err;
}

/* ---- forward ---- */

/* E and G, to where attention takes them. */
static int pairs_forward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e)
{
    const struct ssa_tensor pairs = ssa_kept(r, b->pairs_at), y = e->gathered ? after_cells(b, e) : pairs;
    int err;
    if (e->gathered)
        TRY(gather(b, r, e, ssa_kept(r, b->edges_in), e->x, (size_t)b->edge_width));
    TRY(ssa_norm_part_forward(&b->edges.norm, &e->run, e->x));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->pair),
        .bias = ssa_value(r, b->pair_bias), .y = y, .rows = e->run.rows, .in = b->edge_width,
        .out = (int)pair_width(b)}));
    if (e->gathered)
        TRY(scatter(b, r, e, y, pairs, pair_width(b), false));
done:
    return err;
}

static int edges_end(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e)
{
    const struct ssa_tensor scores = ssa_kept(r, b->scores_at);
    int err;
    if (e->gathered)
        TRY(gather(b, r, e, r->slots[SSA_SLOT_PAIRS], scores, score_width(b)));
    TRY(ssa_branch_forward_end(&b->edges, &e->run, (struct ssa_branch_end){.in = scores,
        .w = ssa_value(r, b->edge_proj), .bias = ssa_value(r, b->edge_proj_bias), .x = e->x,
        .out = ssa_kept(r, b->edges_out), .width = b->heads}));
done:
    return err;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_edge_attention_block *b = (const struct ssa_edge_attention_block *)block;
    const struct ssa_tensor x = ssa_kept(r, block->in), wide = r->slots[SSA_SLOT_WIDE];
    const struct edges e = edges_of(b, r);
    struct ssa_attention_fwd f;
    int err;
    TRY(ssa_norm_part_forward(&b->branch.norm, r, x));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->qkv),
        .bias = ssa_value(r, b->qkv_bias), .y = ssa_kept(r, b->qkv_at), .rows = r->rows, .in = b->width,
        .out = 3 * b->width}));
    TRY(pairs_forward(b, r, &e));
    f.attention = attention(b, r);
    if (b->updates)
        f.attention.scores = pairs_at(r, e.gathered ? r->slots[SSA_SLOT_PAIRS] : ssa_kept(r, b->scores_at),
                                      score_width(b), 0);
    TRY(ssa_attention_fwd(r->device, &f));
    TRY(scale(b, r, wide));
    TRY(ssa_branch_forward_end(&b->branch, r, (struct ssa_branch_end){.in = wide, .w = ssa_value(r, b->proj),
        .bias = ssa_value(r, b->proj_bias), .x = x, .out = ssa_kept(r, block->out), .width = b->width}));
    if (b->updates)
        TRY(edges_end(b, r, &e));
done:
    return err;
}

/* ---- backward ---- */

/* Of the edges' end: the gradient of scores, 0 for edges that were not gathered. */
static int edges_end_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e)
{
    const struct ssa_tensor dscores = score_gradients(r), few = e->gathered ? r->slots[SSA_SLOT_WIDE] : dscores;
    struct ssa_tensor d;
    int err;
    TRY(ssa_branch_backward_end(&b->edges, &e->run, &d));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = ssa_kept(r, b->scores_at),
        .w = ssa_value(r, b->edge_proj), .dy = d, .dx = few, .dw = ssa_grad(r, b->edge_proj),
        .dbias = ssa_grad(r, b->edge_proj_bias), .rows = e->run.rows, .in = b->heads, .out = b->edge_width,
        .accumulate = r->accumulate}));
    if (e->gathered) {
        TRY(ssa_tensor_fill(dscores, 0, (size_t)r->rows * (size_t)r->length * score_width(b)));
        TRY(scatter(b, r, e, few, dscores, score_width(b), false));
    }
done:
    return err;
}

/* From d, the gradient of proj's output, to that of attention's, in the NORM slot, and of the sums of gates. */
static int proj_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, struct ssa_tensor d)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], datt = r->slots[SSA_SLOT_NORM];
    int err;
    TRY(scale(b, r, wide));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = wide, .w = ssa_value(r, b->proj), .dy = d, .dx = datt,
        .dw = ssa_grad(r, b->proj), .dbias = ssa_grad(r, b->proj_bias), .rows = r->rows, .in = b->width,
        .out = b->width, .accumulate = r->accumulate}));
    TRY(scale_backward(b, r, datt));
done:
    return err;
}

/* Gradients of q, k, v into the WIDE slot, of E and G to theirs. */
static int attention_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r)
{
    const struct heads dh = heads_at(b, r->slots[SSA_SLOT_WIDE]);
    const struct ssa_tensor dpairs = pair_gradients(b, r);
    struct ssa_attention_bwd a = {.attention = attention(b, r), .dout = r->slots[SSA_SLOT_NORM], .dq = dh.q, .dk = dh.k,
        .dv = dh.v, .dgate_sum = sum_gradients(b, r), .dbias = pairs_at(r, dpairs, pair_width(b), 0),
        .dgate = pairs_at(r, dpairs, pair_width(b), score_width(b))};
    if (b->updates)
        a.dscores = pairs_at(r, score_gradients(r), score_width(b), 0);
    return ssa_attention_bwd(r->device, &a);
}

static int qkv_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, struct ssa_tensor x)
{
    int err;
    TRY(ssa_norm_part_again(&b->branch.norm, r, x));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->qkv),
        .dy = r->slots[SSA_SLOT_WIDE], .dx = r->slots[SSA_SLOT_BRANCH], .dw = ssa_grad(r, b->qkv),
        .dbias = ssa_grad(r, b->qkv_bias), .rows = r->rows, .in = b->width, .out = 3 * b->width,
        .accumulate = r->accumulate}));
    TRY(ssa_norm_part_backward(&b->branch.norm, r, x, true));
done:
    return err;
}

/* Cells' gradient to where they were taken from: all that there is of it, or, where they are no stream, a part. */
static int cells_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e)
{
    const struct ssa_tensor edges = ssa_run_turned(r, &b->block, SSA_STREAM_EDGES).dx;
    return scatter(b, r, e, e->run.dx, edges, (size_t)b->edge_width, !b->updates);
}

static int pairs_backward(const struct ssa_edge_attention_block *b, const struct ssa_run *r, const struct edges *e)
{
    const struct ssa_tensor dy = e->gathered ? after_cells(b, e) : pair_gradients(b, r);
    int err;
    if (e->gathered)
        TRY(gather(b, r, e, pair_gradients(b, r), dy, pair_width(b)));
    if (e->gathered && !b->updates)
        TRY(gather(b, r, e, ssa_kept(r, b->edges_in), e->x, (size_t)b->edge_width));
    TRY(ssa_norm_part_again(&b->edges.norm, &e->run, e->x));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->pair),
        .dy = dy, .dx = r->slots[SSA_SLOT_BRANCH], .dw = ssa_grad(r, b->pair), .dbias = ssa_grad(r, b->pair_bias),
        .rows = e->run.rows, .in = b->edge_width, .out = (int)pair_width(b), .accumulate = r->accumulate}));
    TRY(ssa_norm_part_backward(&b->edges.norm, &e->run, e->x, !e->gathered || b->updates));
    if (e->gathered)
        TRY(cells_backward(b, r, e));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_edge_attention_block *b = (const struct ssa_edge_attention_block *)block;
    const struct edges e = edges_of(b, r);
    struct ssa_tensor d;
    int err;
    if (b->updates)
        TRY(edges_end_backward(b, r, &e));
    TRY(ssa_branch_backward_end(&b->branch, r, &d));
    TRY(proj_backward(b, r, d));
    TRY(attention_backward(b, r));
    TRY(qkv_backward(b, r, ssa_kept(r, block->in)));
    TRY(pairs_backward(b, r, &e));
done:
    return err;
}

const struct ssa_block_kind ssa_edge_attention_kind = {"edge_attention", sizeof(struct ssa_edge_attention_block), draft,
                                                       forward, backward, NULL};

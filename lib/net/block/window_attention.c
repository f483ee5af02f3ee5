/* out = x + drop(proj(join(attention(q, k, v)))),  q, k, v = cut(norm(x)) w^T + bias
 *
 * cut() brings the positions of a grid into the order of its windows, which are the sequences of attention, and join()
 * back into their own; each is the other's adjoint. So queries, keys and values [R, 3 C] lie in the order of windows,
 * as does attention's output, and the stream never does. The bias, one for all windows or where the grid is shifted one
 * for each, is written out before every use: [windows, heads, key, query], in the PAIRS slot, its gradient after it. */
#include "blocks.h"
#include "impl.h"

#include <math.h>

enum { LINE = 16 }; /* elements of a cache line, at which the bias's gradient begins */

static int area(const struct ssa_window_attention_block *b)
{
    return b->window * b->window;
}

/* Of an image. */
static int windows(const struct ssa_window_attention_block *b)
{
    return b->rows / b->window * (b->columns / b->window);
}

/* Elements of the bias of one window, and of all that there are. */
static size_t pairs(const struct ssa_window_attention_block *b)
{
    return ssa_times(ssa_times((size_t)area(b), (size_t)area(b)), (size_t)b->heads);
}

static size_t all_pairs(const struct ssa_window_attention_block *b)
{
    const size_t all = ssa_times(pairs(b), b->shift ? (size_t)windows(b) : 1);
    return ssa_times(LINE, all / LINE + 1);
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_window_attention_block *b = (struct ssa_window_attention_block *)block;
    const int span = 2 * b->window - 1;
    b->layer = ssa_draft_layer(d);
    b->width = d->width;
    const size_t wide = ssa_times(d->rows, 3 * (size_t)b->width);
    ssa_branch_draft(&b->branch, d);
    b->qkv = ssa_draft_matrix(d, "qkv.weight", 3 * b->width, b->width, ssa_branch_start_in(&b->branch));
    b->proj = ssa_draft_matrix(d, "proj.weight", b->width, b->width, ssa_branch_start_out(&b->branch));
    b->qkv_bias = ssa_draft_vector(d, "qkv.bias", 3 * b->width, SSA_START_ZERO);
    b->proj_bias = ssa_draft_vector(d, "proj.bias", b->width, SSA_START_ZERO);
    b->table = ssa_draft_table(d, "relative.weight", span * span, b->heads, SSA_START_NORMAL);
    b->qkv_at = ssa_draft_keep(d, wide, "queries, keys and values");
    b->lse = ssa_draft_keep(d, ssa_times(d->rows, (size_t)b->heads), "log-sum-exps");
    b->att = ssa_draft_keep(d, ssa_times(d->rows, (size_t)b->width), "attention's output");
    ssa_draft_scratch(d, SSA_SLOT_WIDE, wide, "gradients of queries, keys and values");
    ssa_draft_scratch(d, SSA_SLOT_PAIRS, ssa_plus(all_pairs(b), d->training ? pairs(b) : 0), "biases of windows");
}

/* ---- forward ---- */

static int move(const struct ssa_window_attention_block *b, const struct ssa_run *r, struct ssa_tensor x,
                struct ssa_tensor out, int inverse)
{
    return ssa_windows(r->device, &(struct ssa_windows){.x = x, .out = out, .batch = r->batch, .rows = b->rows,
        .columns = b->columns, .width = b->width, .window = b->window, .shift = b->shift, .inverse = inverse});
}

static int cut(const struct ssa_window_attention_block *b, const struct ssa_run *r, struct ssa_tensor x,
               struct ssa_tensor out)
{
    return move(b, r, x, out, 0);
}

static int join(const struct ssa_window_attention_block *b, const struct ssa_run *r, struct ssa_tensor x,
                struct ssa_tensor out)
{
    return move(b, r, x, out, 1);
}

static int write_bias(const struct ssa_window_attention_block *b, const struct ssa_run *r)
{
    return ssa_window_bias_fwd(r->device, &(struct ssa_window_bias_fwd){.table = ssa_value(r, b->table),
        .out = r->slots[SSA_SLOT_PAIRS], .rows = b->rows, .columns = b->columns, .window = b->window, .shift = b->shift,
        .heads = b->heads, .apart = -INFINITY});
}

static struct ssa_pairs pairs_at(const struct ssa_window_attention_block *b, struct ssa_tensor at, bool of_all)
{
    const size_t n = (size_t)area(b);
    return (struct ssa_pairs){.tensor = at, .batch = of_all ? pairs(b) : 0, .head = n * n, .query = 1, .key = n,
                              .repeat = of_all ? windows(b) : 0};
}

/* Queries, keys and values from a tensor's start on. */
struct heads {
    struct ssa_tensor q, k, v;
};
static struct heads heads_at(const struct ssa_window_attention_block *b, struct ssa_tensor base)
{
    return (struct heads){base, ssa_tensor_add(base, (size_t)b->width), ssa_tensor_add(base, 2 * (size_t)b->width)};
}

/* What both directions are given. */
static struct ssa_attention attention(const struct ssa_window_attention_block *b, const struct ssa_run *r)
{
    const struct ssa_staged_plan *staged = ssa_staged(r, b->layer);
    const struct heads h = heads_at(b, ssa_kept(r, b->qkv_at));
    const struct ssa_strides strides = {.position = 3 * (size_t)b->width};
    return (struct ssa_attention){.q = h.q, .k = h.k, .v = h.v, .out = ssa_kept(r, b->att), .lse = ssa_kept(r, b->lse),
        .plan = &staged->plan, .plan_data = staged->data, .batch = r->batch * windows(b), .keys = area(b),
        .heads = b->heads, .width = b->width / b->heads, .q_strides = strides, .k_strides = strides,
        .v_strides = strides, .bias = pairs_at(b, r->slots[SSA_SLOT_PAIRS], b->shift),
        .dropout = ssa_dropout_now(r, b->dropout), .drop_keys = ssa_dropout_now(r, b->drop_keys),
        .seed = r->pass->seed, .stream = ssa_stream_now(r, b->dropout_stream),
        .first_example = r->pass->first_example * (uint32_t)windows(b)};
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_window_attention_block *b = (const struct ssa_window_attention_block *)block;
    const struct ssa_tensor x = ssa_kept(r, block->in), wide = r->slots[SSA_SLOT_WIDE];
    int err;
    TRY(ssa_norm_part_forward(&b->branch.norm, r, x));
    TRY(cut(b, r, r->slots[SSA_SLOT_NORM], wide));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = wide, .w = ssa_value(r, b->qkv),
        .bias = ssa_value(r, b->qkv_bias), .y = ssa_kept(r, b->qkv_at), .rows = r->rows, .in = b->width,
        .out = 3 * b->width}));
    TRY(write_bias(b, r));
    TRY(ssa_attention_fwd(r->device, &(struct ssa_attention_fwd){attention(b, r)}));
    TRY(join(b, r, ssa_kept(r, b->att), wide));
    TRY(ssa_branch_forward_end(&b->branch, r, (struct ssa_branch_end){.in = wide, .w = ssa_value(r, b->proj),
        .bias = ssa_value(r, b->proj_bias), .x = x, .out = ssa_kept(r, block->out), .width = b->width}));
done:
    return err;
}

/* ---- backward ---- */

/* From the gradient of proj's output, d, to that of attention's, in the order of windows: in the BRANCH slot, where d
 * may be as well. */
static int proj_backward(const struct ssa_window_attention_block *b, const struct ssa_run *r, struct ssa_tensor d)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], datt = r->slots[SSA_SLOT_NORM];
    int err;
    TRY(join(b, r, ssa_kept(r, b->att), wide));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = wide, .w = ssa_value(r, b->proj), .dy = d, .dx = datt,
        .dw = ssa_grad(r, b->proj), .dbias = ssa_grad(r, b->proj_bias), .rows = r->rows, .in = b->width,
        .out = b->width, .accumulate = r->accumulate}));
    TRY(cut(b, r, datt, r->slots[SSA_SLOT_BRANCH]));
done:
    return err;
}

/* Gradients of q, k, v into the WIDE slot, and that of the table. */
static int attention_backward(const struct ssa_window_attention_block *b, const struct ssa_run *r)
{
    const struct heads dh = heads_at(b, r->slots[SSA_SLOT_WIDE]);
    const struct ssa_tensor dbias = ssa_tensor_add(r->slots[SSA_SLOT_PAIRS], all_pairs(b));
    int err;
    TRY(write_bias(b, r));
    TRY(ssa_attention_bwd(r->device, &(struct ssa_attention_bwd){.attention = attention(b, r),
        .dout = r->slots[SSA_SLOT_BRANCH], .dq = dh.q, .dk = dh.k, .dv = dh.v, .dbias = pairs_at(b, dbias, false)}));
    TRY(ssa_window_bias_bwd(r->device, &(struct ssa_window_bias_bwd){.dout = dbias, .dtable = ssa_grad(r, b->table),
        .window = b->window, .heads = b->heads, .accumulate = r->accumulate}));
done:
    return err;
}

/* The gradients in the WIDE slot become that of norm, in the BRANCH slot, and of w and bias. */
static int qkv_backward(const struct ssa_window_attention_block *b, const struct ssa_run *r)
{
    const struct ssa_tensor norm = r->slots[SSA_SLOT_NORM], branch = r->slots[SSA_SLOT_BRANCH];
    int err;
    TRY(cut(b, r, norm, branch));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = branch, .w = ssa_value(r, b->qkv),
        .dy = r->slots[SSA_SLOT_WIDE], .dx = norm, .dw = ssa_grad(r, b->qkv), .dbias = ssa_grad(r, b->qkv_bias),
        .rows = r->rows, .in = b->width, .out = 3 * b->width, .accumulate = r->accumulate}));
    TRY(join(b, r, norm, branch));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_window_attention_block *b = (const struct ssa_window_attention_block *)block;
    const struct ssa_tensor x = ssa_kept(r, block->in);
    struct ssa_tensor d;
    int err;
    TRY(ssa_branch_backward_end(&b->branch, r, &d));
    TRY(proj_backward(b, r, d));
    TRY(attention_backward(b, r));
    TRY(ssa_norm_part_again(&b->branch.norm, r, x));
    TRY(qkv_backward(b, r));
    TRY(ssa_norm_part_backward(&b->branch.norm, r, x, true));
done:
    return err;
}

const struct ssa_block_kind ssa_window_attention_kind = {"window_attention", sizeof(struct ssa_window_attention_block),
                                                         draft, forward, backward, NULL};

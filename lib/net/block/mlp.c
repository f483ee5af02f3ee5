/* out = x + drop(down(y)),  y = drop(act(pre)),  pre = up(norm(x))
 *
 * Gated: y = drop(act(g) u), where pre = [g, u] is twice as wide. Of ReLU act(pre) is kept in the place of pre: its slope
 * is the same there, and nothing needs to be activated again. */
#include "blocks.h"
#include "impl.h"

/* Of `pre`. */
static int up_width(const struct ssa_mlp_block *b)
{
    return b->gated ? 2 * b->hidden : b->hidden;
}

static bool keeps_activations(const struct ssa_mlp_block *b)
{
    return !b->gated && b->activation == SSA_ACT_RELU;
}

static struct ssa_start bias_start(const struct ssa_mlp_block *b, double bound)
{
    return b->bound_bias ? (struct ssa_start){.bound = bound} : SSA_START_ZERO;
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_mlp_block *b = (struct ssa_mlp_block *)block;
    const size_t pre = ssa_times(d->rows, (size_t)up_width(b));
    b->width = d->width;
    ssa_branch_draft(&b->branch, d);
    b->up = ssa_draft_matrix(d, "up.weight", up_width(b), b->width, ssa_branch_start_in(&b->branch));
    b->down = ssa_draft_matrix(d, "down.weight", b->width, b->hidden, ssa_branch_start_out(&b->branch));
    b->up_bias = b->bias ? ssa_draft_vector(d, "up.bias", up_width(b), bias_start(b, b->branch.in_bound)) : 0;
    b->down_bias = b->bias ? ssa_draft_vector(d, "down.bias", b->width, bias_start(b, b->branch.out_bound)) : 0;
    b->pre = b->gated ? ssa_draft_keep(d, pre, "the MLP's gates")
                      : ssa_draft_keep_for_backward(d, pre, "the MLP's pre-activation");
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(d->rows, (size_t)b->hidden), "the MLP's activations");
}

/* Before dropout. */
static int activate(const struct ssa_mlp_block *b, const struct ssa_run *r, struct ssa_tensor pre, struct ssa_tensor y)
{
    return b->gated ? ssa_glu_fwd(r->device, &(struct ssa_glu_fwd){.x = pre, .y = y, .rows = r->rows,
                          .width = b->hidden, .activation = b->activation})
                    : ssa_gelu_fwd(r->device, &(struct ssa_gelu_fwd){.x = pre, .y = y, .rows = r->rows,
                          .width = b->hidden, .activation = b->activation});
}

/* y from what was activated, `from`, which it is itself where nothing drops. */
static int drop(const struct ssa_mlp_block *b, const struct ssa_run *r, struct ssa_tensor from, struct ssa_tensor *y)
{
    const float p = ssa_dropout_now(r, b->dropout);
    const struct ssa_tensor none = {0};
    *y = p > 0 ? r->slots[SSA_SLOT_WIDE] : from;
    return p > 0 ? ssa_drop_forward(r, p, b->dropout_stream, b->hidden, from, none, *y) : SSA_OK;
}

static int drop_backward(const struct ssa_mlp_block *b, const struct ssa_run *r, struct ssa_tensor dy)
{
    const float p = ssa_dropout_now(r, b->dropout);
    return p > 0 ? ssa_drop_backward(r, p, b->dropout_stream, b->hidden, dy, dy) : SSA_OK;
}

/* Without a gate the activation is the end of the product. */
static int up(const struct ssa_mlp_block *b, const struct ssa_run *r, struct ssa_tensor *y)
{
    const struct ssa_tensor pre = b->gated ? ssa_kept(r, b->pre) : ssa_kept_for_backward(r, b->pre);
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], none = {0};
    const bool in_place = b->gated || (keeps_activations(b) && ssa_present(pre));
    struct ssa_linear_fwd f = {.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->up), .bias = ssa_value(r, b->up_bias),
                               .y = in_place ? pre : wide, .pre = in_place ? none : pre, .rows = r->rows,
                               .in = b->width, .out = up_width(b), .apart = r->apart,
                               .activation = b->gated ? SSA_ACT_NONE : b->activation};
    int err;
    TRY(ssa_linear_fwd(r->device, &f));
    if (b->gated)
        TRY(activate(b, r, pre, wide));
    TRY(drop(b, r, b->gated ? wide : f.y, y));
done:
    return err;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_mlp_block *b = (const struct ssa_mlp_block *)block;
    struct ssa_tensor x = ssa_kept(r, block->in), y;
    int err;
    TRY(ssa_norm_part_forward(&b->branch.norm, r, x));
    TRY(up(b, r, &y));
    TRY(ssa_branch_forward_end(&b->branch, r, (struct ssa_branch_end){.in = y, .w = ssa_value(r, b->down),
        .bias = ssa_value(r, b->down_bias), .x = x, .out = ssa_kept(r, block->out), .width = b->hidden}));
done:
    return err;
}

/* y again. */
static int again(const struct ssa_mlp_block *b, const struct ssa_run *r, struct ssa_tensor *y)
{
    const struct ssa_tensor pre = ssa_kept(r, b->pre), wide = r->slots[SSA_SLOT_WIDE];
    const bool there = keeps_activations(b);
    int err = there ? SSA_OK : activate(b, r, pre, wide);
    return err ? err : drop(b, r, there ? pre : wide, y);
}

/* The gradient of pre from d, that of down's output: in the WIDE slot, where y may have been; gated, where pre was. An
 * activation's slope and dropout are both factors of an element, in either order. */
static int pre_backward(const struct ssa_mlp_block *b, const struct ssa_run *r, struct ssa_tensor d,
                        struct ssa_tensor *dpre)
{
    const struct ssa_tensor pre = ssa_kept(r, b->pre), wide = r->slots[SSA_SLOT_WIDE], none = {0};
    int err;
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.w = ssa_value(r, b->down), .dy = d,
        .x_pre = b->gated ? none : pre, .dx = wide, .rows = r->rows, .in = b->hidden, .out = b->width,
        .activation = b->gated ? SSA_ACT_NONE : b->activation}));
    TRY(drop_backward(b, r, wide));
    if (b->gated)
        TRY(ssa_glu_bwd(r->device, &(struct ssa_glu_bwd){.x = pre, .dy = wide, .dx = pre, .rows = r->rows,
            .width = b->hidden, .activation = b->activation}));
    *dpre = b->gated ? pre : wide;
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_mlp_block *b = (const struct ssa_mlp_block *)block;
    struct ssa_tensor x = ssa_kept(r, block->in), y, d, dpre;
    int err;
    TRY(ssa_branch_backward_end(&b->branch, r, &d));
    TRY(again(b, r, &y));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = y, .w = ssa_value(r, b->down), .dy = d,
        .dw = ssa_grad(r, b->down), .dbias = ssa_grad(r, b->down_bias), .rows = r->rows, .in = b->hidden,
        .out = b->width, .accumulate = r->accumulate}));
    TRY(pre_backward(b, r, d, &dpre));
    TRY(ssa_norm_part_again(&b->branch.norm, r, x));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->up),
        .dy = dpre, .dx = r->slots[SSA_SLOT_BRANCH], .dw = ssa_grad(r, b->up), .dbias = ssa_grad(r, b->up_bias),
        .rows = r->rows, .in = b->width, .out = up_width(b), .accumulate = r->accumulate}));
    TRY(ssa_norm_part_backward(&b->branch.norm, r, x, true));
done:
    return err;
}

const struct ssa_block_kind ssa_mlp_kind = {"mlp", sizeof(struct ssa_mlp_block), draft, forward, backward, NULL};

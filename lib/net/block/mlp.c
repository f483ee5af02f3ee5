/* out = x + drop(down(act(pre))),  pre = up(norm(x)) */
#include "blocks.h"
#include "impl.h"

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_mlp_block *b = (struct ssa_mlp_block *)block;
    const size_t hidden = ssa_times(d->rows, (size_t)b->hidden);
    b->width = d->width;
    ssa_branch_draft(&b->branch, d);
    b->up = ssa_draft_matrix(d, "up.weight", b->hidden, b->width, SSA_START_NORMAL);
    b->down = ssa_draft_matrix(d, "down.weight", b->width, b->hidden, SSA_START_BRANCH_END);
    b->up_bias = b->bias ? ssa_draft_vector(d, "up.bias", b->hidden, SSA_START_ZERO) : 0;
    b->down_bias = b->bias ? ssa_draft_vector(d, "down.bias", b->width, SSA_START_ZERO) : 0;
    b->pre = ssa_draft_keep_for_backward(d, hidden, "the MLP's pre-activation");
    ssa_draft_scratch(d, SSA_SLOT_WIDE, hidden, "the MLP's activations");
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_mlp_block *b = (const struct ssa_mlp_block *)block;
    struct ssa_tensor x = ssa_kept(r, block->in), wide = r->slots[SSA_SLOT_WIDE];
    int err;
    TRY(ssa_norm_part_forward(&b->branch.norm, r, x));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->up),
        .bias = ssa_value(r, b->up_bias), .pre = ssa_kept_for_backward(r, b->pre), .y = wide, .rows = r->rows,
        .in = b->width, .out = b->hidden, .activation = b->activation}));
    TRY(ssa_branch_forward_end(&b->branch, r, (struct ssa_branch_end){.in = wide, .w = ssa_value(r, b->down),
        .bias = ssa_value(r, b->down_bias), .x = x, .out = ssa_kept(r, block->out), .width = b->hidden}));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_mlp_block *b = (const struct ssa_mlp_block *)block;
    struct ssa_tensor x = ssa_kept(r, block->in), pre = ssa_kept(r, b->pre), wide = r->slots[SSA_SLOT_WIDE], d;
    int err;
    TRY(ssa_branch_backward_end(&b->branch, r, &d));
    TRY(ssa_gelu_fwd(r->device, &(struct ssa_gelu_fwd){.x = pre, .y = wide, .rows = r->rows, .width = b->hidden,
        .activation = b->activation}));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = wide, .w = ssa_value(r, b->down), .dy = d,
        .dw = ssa_grad(r, b->down), .dbias = ssa_grad(r, b->down_bias), .rows = r->rows, .in = b->hidden,
        .out = b->width, .accumulate = r->accumulate}));
    /* act(pre) has served: its place takes the gradient of pre */
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.w = ssa_value(r, b->down), .dy = d, .x_pre = pre,
        .dx = wide, .rows = r->rows, .in = b->hidden, .out = b->width, .activation = b->activation}));
    TRY(ssa_norm_part_again(&b->branch.norm, r, x));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->up),
        .dy = wide, .dx = r->slots[SSA_SLOT_BRANCH], .dw = ssa_grad(r, b->up), .dbias = ssa_grad(r, b->up_bias),
        .rows = r->rows, .in = b->width, .out = b->hidden, .accumulate = r->accumulate}));
    TRY(ssa_norm_part_backward(&b->branch.norm, r, x, true));
done:
    return err;
}

const struct ssa_block_kind ssa_mlp_kind = {"mlp", sizeof(struct ssa_mlp_block), draft, forward, backward, NULL};

/* logits = pool(norm(x)) w^T + bias, one row a sequence, and where there are targets, hard or soft, the loss of each.
 *
 * Pool is the mean over all positions, or the row of the first, a class token's. With backward to come, logits become
 * their gradient where they lie. */
#include "blocks.h"
#include "impl.h"

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_head_classes_block *b = (struct ssa_head_classes_block *)block;
    b->width = d->width;
    ssa_norm_part_draft(&b->norm, d);
    b->w = ssa_draft_matrix(d, "head.weight", b->classes, b->width, SSA_START_NORMAL);
    b->bias = ssa_draft_vector(d, "head.bias", b->classes, SSA_START_ZERO);
    b->targets = ssa_draft_input(d, (struct ssa_input){.name = "target", .from = offsetof(struct ssa_pass, targets),
        .type = SSA_I32, .per = SSA_PER_SEQUENCE, .limit = "classes", .below = b->classes, .any_below = true,
        .optional = true, .target = true});
    b->soft = ssa_draft_input(d, (struct ssa_input){.name = "soft target",
        .from = offsetof(struct ssa_pass, soft_targets), .type = SSA_F32, .per = SSA_PER_SEQUENCE,
        .each = (size_t)b->classes, .optional = true, .target = true});
    b->losses = ssa_draft_losses(d);
    b->pooled = ssa_draft_keep(d, ssa_times(d->batch, (size_t)b->width), "pooled rows");
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(d->batch, (size_t)b->classes), "logits");
}

static int logits(const struct ssa_head_classes_block *b, const struct ssa_run *r, size_t first, int rows)
{
    return ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){
        .x = ssa_tensor_add(ssa_kept(r, b->pooled), first * (size_t)b->width), .w = ssa_value(r, b->w),
        .bias = ssa_value(r, b->bias), .y = r->slots[SSA_SLOT_WIDE], .rows = rows, .in = b->width, .out = b->classes});
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_classes_block *b = (const struct ssa_head_classes_block *)block;
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], none = {0};
    int err;
    TRY(ssa_norm_part_forward(&b->norm, r, ssa_kept(r, block->in)));
    TRY(ssa_mean_fwd(r->device, &(struct ssa_mean_fwd){.x = r->slots[SSA_SLOT_NORM], .out = ssa_kept(r, b->pooled),
        .batch = r->batch, .length = r->length, .count = b->mean ? 0 : 1, .width = b->width}));
    if (!r->losses)
        return SSA_OK;
    TRY(logits(b, r, 0, r->batch));
    TRY(ssa_cross_entropy(r->device, &(struct ssa_cross_entropy){.logits = wide, .targets = ssa_input(r, b->targets),
        .soft_targets = ssa_input(r, b->soft), .loss = ssa_kept(r, b->losses), .dlogits = r->keep ? wide : none,
        .rows = r->batch, .vocabulary = b->classes, .smoothing = r->pass->smoothing,
        .grad_scale = r->pass->grad_scale}));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_classes_block *b = (const struct ssa_head_classes_block *)block;
    const struct ssa_tensor dpooled = r->slots[SSA_SLOT_NORM];
    int err;
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = ssa_kept(r, b->pooled), .w = ssa_value(r, b->w),
        .dy = r->slots[SSA_SLOT_WIDE], .dx = dpooled, .dw = ssa_grad(r, b->w), .dbias = ssa_grad(r, b->bias),
        .rows = r->batch, .in = b->width, .out = b->classes, .accumulate = r->accumulate}));
    TRY(ssa_mean_bwd(r->device, &(struct ssa_mean_bwd){.dout = dpooled, .dx = r->slots[SSA_SLOT_BRANCH],
        .batch = r->batch, .length = r->length, .count = b->mean ? 0 : 1, .width = b->width}));
    TRY(ssa_norm_part_backward(&b->norm, r, ssa_kept(r, block->in), false));
done:
    return err;
}

static int read(const struct ssa_block *block, struct ssa_run *r, size_t row, int rows, float *answers)
{
    const struct ssa_head_classes_block *b = (const struct ssa_head_classes_block *)block;
    int err;
    TRY(logits(b, r, row, rows));
    TRY(ssa_tensor_read(r->slots[SSA_SLOT_WIDE], answers, (size_t)rows * (size_t)b->classes));
done:
    return err;
}

const struct ssa_block_kind ssa_head_classes_kind = {"head_classes", sizeof(struct ssa_head_classes_block), draft,
                                                     forward, backward, read};

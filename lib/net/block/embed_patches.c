/* x = drop([class, patches(pixels) w^T + bias] + position), or x = drop(norm(patches(pixels) w^T + bias))
 *
 * Patches are cut again by backward, and embedded again for a norm, which is cheaper than to keep them. */
#include "blocks.h"
#include "impl.h"

static int lead(const struct ssa_embed_patches_block *b)
{
    return b->class_token ? 1 : 0;
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_embed_patches_block *b = (struct ssa_embed_patches_block *)block;
    b->count = (b->rows / b->patch) * (b->columns / b->patch);
    b->each = b->channels * b->patch * b->patch;
    d->width = b->width;
    const size_t rows = ssa_times(d->batch, (size_t)b->count), out = ssa_times(rows, (size_t)b->width);
    b->w = ssa_draft_uniform(d, "patch.weight", b->width, b->each, b->each);
    b->bias = ssa_draft_uniform(d, "patch.bias", b->width, 0, b->each);
    b->first = b->class_token ? ssa_draft_vector(d, "class.weight", b->width, SSA_START_NORMAL) : 0;
    if (b->norm.name)
        ssa_norm_part_draft(&b->norm, d);
    else
        b->position = ssa_draft_table(d, "position.weight", d->length, b->width, SSA_START_NORMAL);
    b->pixels = ssa_draft_input(d, (struct ssa_input){.name = "pixel", .from = offsetof(struct ssa_pass, pixels),
        .type = SSA_F32, .per = SSA_PER_SEQUENCE,
        .each = (size_t)b->rows * (size_t)b->columns * (size_t)b->channels});
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(rows, (size_t)b->each), "patches");
    if (b->class_token)
        ssa_draft_scratch(d, SSA_SLOT_NORM, out, "embedded patches");
    if (b->class_token && d->training)
        ssa_draft_scratch(d, SSA_SLOT_BRANCH, out, "the gradient of embedded patches");
}

static int cut(const struct ssa_embed_patches_block *b, const struct ssa_run *r)
{
    return ssa_patches(r->device, &(struct ssa_patches){.x = ssa_input(r, b->pixels), .out = r->slots[SSA_SLOT_WIDE],
        .batch = r->batch, .rows = b->rows, .columns = b->columns, .channels = b->channels, .patch = b->patch});
}

static int embed(const struct ssa_embed_patches_block *b, const struct ssa_run *r, struct ssa_tensor y)
{
    int err;
    TRY(cut(b, r));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->slots[SSA_SLOT_WIDE], .w = ssa_value(r, b->w),
        .bias = ssa_value(r, b->bias), .y = y, .rows = r->batch * b->count, .in = b->each, .out = b->width}));
done:
    return err;
}

/* From y to the stream. */
static int place(const struct ssa_embed_patches_block *b, const struct ssa_run *r, struct ssa_tensor y,
                 struct ssa_tensor x)
{
    if (b->norm.name)
        return ssa_norm_fwd(r->device, &(struct ssa_norm_fwd){.x = y, .gain = ssa_value(r, b->norm.gain),
            .bias = ssa_value(r, b->norm.shift), .y = x, .stats = ssa_kept_for_backward(r, b->norm.stats),
            .rows = r->rows, .width = b->width, .kind = b->norm.kind, .eps = b->norm.eps});
    return ssa_prepend_fwd(r->device, &(struct ssa_prepend_fwd){.first = ssa_value(r, b->first), .x = y,
        .positions = ssa_value(r, b->position), .out = x, .batch = r->batch, .lead = lead(b), .length = b->count,
        .width = b->width});
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_patches_block *b = (const struct ssa_embed_patches_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    const struct ssa_tensor x = ssa_kept(r, block->out), none = {0};
    const struct ssa_tensor y = b->class_token || b->norm.name ? r->slots[SSA_SLOT_NORM] : x;
    int err;
    TRY(embed(b, r, y));
    TRY(place(b, r, y, x));
    if (p > 0)
        TRY(ssa_drop_forward(r, p, 0, b->width, x, none, x));
done:
    return err;
}

/* Leaves the patches in the WIDE slot. */
static int norm_backward(const struct ssa_embed_patches_block *b, const struct ssa_run *r)
{
    const struct ssa_norm_part *n = &b->norm;
    int err;
    TRY(embed(b, r, r->slots[SSA_SLOT_NORM]));
    TRY(ssa_norm_bwd(r->device, &(struct ssa_norm_bwd){.x = r->slots[SSA_SLOT_NORM], .gain = ssa_value(r, n->gain),
        .stats = ssa_kept(r, n->stats), .dy = r->dx, .dx = r->dx, .dgain = ssa_grad(r, n->gain),
        .dbias = ssa_grad(r, n->shift), .rows = r->rows, .width = b->width, .kind = n->kind,
        .accumulate = r->accumulate}));
done:
    return err;
}

static int positions_backward(const struct ssa_embed_patches_block *b, const struct ssa_run *r)
{
    const struct ssa_tensor none = {0};
    int err;
    TRY(ssa_prepend_bwd(r->device, &(struct ssa_prepend_bwd){.dout = r->dx, .dfirst = ssa_grad(r, b->first),
        .dx = b->class_token ? r->slots[SSA_SLOT_BRANCH] : none, .dpositions = ssa_grad(r, b->position),
        .batch = r->batch, .lead = lead(b), .length = b->count, .width = b->width, .accumulate = r->accumulate}));
    TRY(cut(b, r));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_patches_block *b = (const struct ssa_embed_patches_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    const struct ssa_tensor dy = b->class_token ? r->slots[SSA_SLOT_BRANCH] : r->dx;
    int err;
    if (p > 0)
        TRY(ssa_drop_backward(r, p, 0, b->width, r->dx, r->dx));
    TRY(b->norm.name ? norm_backward(b, r) : positions_backward(b, r));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->slots[SSA_SLOT_WIDE], .w = ssa_value(r, b->w),
        .dy = dy, .dw = ssa_grad(r, b->w), .dbias = ssa_grad(r, b->bias), .rows = r->batch * b->count, .in = b->each,
        .out = b->width, .accumulate = r->accumulate}));
done:
    return err;
}

const struct ssa_block_kind ssa_embed_patches_kind = {"embed_patches", sizeof(struct ssa_embed_patches_block), draft,
                                                      forward, backward, NULL};

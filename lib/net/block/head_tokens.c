/* logits = head(norm(x)), and where there are targets the loss of each position.
 *
 * With backward to come, logits become their gradient where they lie. Those of many rows of a large vocabulary are
 * never all there: a chunk of rows at a time goes through the head, and back at once, before the next takes its place.
 * Backward then finds the gradient of norm(x) ready in the BRANCH slot. */
#include "blocks.h"
#include "impl.h"

enum { LOGITS = 1 << 24 }; /* at most, in elements: 64 MiB */

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_head_tokens_block *b = (struct ssa_head_tokens_block *)block;
    const size_t rows = (size_t)(b->vocabulary < LOGITS ? LOGITS / b->vocabulary : 1);
    b->width = d->width;
    b->chunk = (int)(rows < d->rows ? rows : d->rows);
    ssa_norm_part_draft(&b->norm, d);
    b->w = b->tied ? ssa_draft_shared(d, b->tied)
                   : ssa_draft_matrix(d, "head.weight", b->vocabulary, b->width,
                                        b->zero ? SSA_START_ZERO : SSA_START_NORMAL);
    b->targets = ssa_draft_input(d, (struct ssa_input){.name = "target", .from = offsetof(struct ssa_pass, targets),
        .type = SSA_I32, .limit = "vocabulary", .below = b->vocabulary, .any_below = true, .optional = true,
        .target = true});
    b->losses = ssa_draft_losses(d);
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times((size_t)b->chunk, (size_t)b->vocabulary), "logits");
}

static struct ssa_tensor norm_at(const struct ssa_head_tokens_block *b, const struct ssa_run *r, size_t row)
{
    return ssa_tensor_add(r->slots[SSA_SLOT_NORM], row * (size_t)b->width);
}

static int logits(const struct ssa_head_tokens_block *b, const struct ssa_run *r, size_t first, int rows)
{
    return ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = norm_at(b, r, first), .w = ssa_value(r, b->w),
        .y = r->slots[SSA_SLOT_WIDE], .rows = rows, .in = b->width, .out = b->vocabulary, .apart = r->apart});
}

static int losses(const struct ssa_head_tokens_block *b, const struct ssa_run *r, size_t first, int rows)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], none = {0};
    return ssa_cross_entropy(r->device, &(struct ssa_cross_entropy){.logits = wide,
        .targets = ssa_tensor_add(ssa_input(r, b->targets), first),
        .loss = ssa_tensor_add(ssa_kept(r, b->losses), first), .dlogits = r->keep ? wide : none, .rows = rows,
        .vocabulary = b->vocabulary, .smoothing = r->pass->smoothing, .grad_scale = r->pass->grad_scale});
}

/* logits = norm w^T */
static int logits_backward(const struct ssa_head_tokens_block *b, const struct ssa_run *r, size_t first, int rows)
{
    return ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = norm_at(b, r, first), .w = ssa_value(r, b->w),
        .dy = r->slots[SSA_SLOT_WIDE],
        .dx = ssa_tensor_add(r->slots[SSA_SLOT_BRANCH], first * (size_t)b->width), .dw = ssa_grad(r, b->w),
        .rows = rows, .in = b->width, .out = b->vocabulary, .accumulate = r->accumulate || first});
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_tokens_block *b = (const struct ssa_head_tokens_block *)block;
    int err;
    TRY(ssa_norm_part_forward(&b->norm, r, ssa_kept(r, block->in)));
    for (int first = 0; r->losses && first < r->rows; first += b->chunk) {
        const int rows = r->rows - first < b->chunk ? r->rows - first : b->chunk;
        TRY(logits(b, r, (size_t)first, rows));
        TRY(losses(b, r, (size_t)first, rows));
        if (r->keep && r->rows > b->chunk)
            TRY(logits_backward(b, r, (size_t)first, rows));
    }
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_tokens_block *b = (const struct ssa_head_tokens_block *)block;
    int err;
    if (r->rows <= b->chunk)
        TRY(logits_backward(b, r, 0, r->rows));
    TRY(ssa_norm_part_backward(&b->norm, r, ssa_kept(r, block->in), false));
done:
    return err;
}

static int read(const struct ssa_block *block, struct ssa_run *r, size_t row, int rows, float *answers)
{
    const struct ssa_head_tokens_block *b = (const struct ssa_head_tokens_block *)block;
    int err = SSA_OK;
    for (int first = 0; first < rows; first += b->chunk) {
        const int count = rows - first < b->chunk ? rows - first : b->chunk;
        TRY(logits(b, r, row + (size_t)first, count));
        TRY(ssa_tensor_read(r->slots[SSA_SLOT_WIDE], answers + (size_t)first * (size_t)b->vocabulary,
                            (size_t)count * (size_t)b->vocabulary));
    }
done:
    return err;
}

const struct ssa_block_kind ssa_head_tokens_kind = {"head_tokens", sizeof(struct ssa_head_tokens_block), draft, forward,
                                                    backward, read};

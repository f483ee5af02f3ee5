/* out = norm([x(0,0), x(1,0), x(0,1), x(1,1)]) w^T of the cells of 2 x 2 positions (row, column) of a grid
 *
 * The joined cells [R/4, 4 C] lie in the WIDE slot, and are joined again by backward. */
#include "blocks.h"
#include "impl.h"

enum { SIDE = 2, CELL = SIDE * SIDE };

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_merge_block *b = (struct ssa_merge_block *)block;
    b->width = d->width;
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(d->rows, (size_t)b->width), "joined cells");
    d->rows /= CELL;
    d->length /= CELL;
    d->width = CELL * b->width;
    ssa_norm_part_draft(&b->norm, d);
    d->width = 2 * b->width;
    b->w = ssa_draft_matrix(d, "weight", 2 * b->width, CELL * b->width, SSA_START_NORMAL);
}

static int join(const struct ssa_merge_block *b, const struct ssa_run *r, struct ssa_tensor x, struct ssa_tensor out,
                int inverse)
{
    return ssa_windows(r->device, &(struct ssa_windows){.x = x, .out = out, .batch = r->batch, .rows = b->rows,
        .columns = b->columns, .width = b->width, .window = SIDE, .by_columns = 1, .inverse = inverse});
}

/* The run as it is above. */
static struct ssa_run above(const struct ssa_run *r)
{
    struct ssa_run joined = *r;
    joined.rows /= CELL;
    joined.length /= CELL;
    return joined;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_merge_block *b = (const struct ssa_merge_block *)block;
    const struct ssa_run joined = above(r);
    int err;
    TRY(join(b, r, ssa_kept(r, block->in), r->slots[SSA_SLOT_WIDE], 0));
    TRY(ssa_norm_part_forward(&b->norm, &joined, r->slots[SSA_SLOT_WIDE]));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, b->w),
        .y = ssa_kept(r, block->out), .rows = joined.rows, .in = CELL * b->width, .out = 2 * b->width}));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_merge_block *b = (const struct ssa_merge_block *)block;
    const struct ssa_tensor cells = r->slots[SSA_SLOT_WIDE], norm = r->slots[SSA_SLOT_NORM];
    struct ssa_run joined = above(r);
    int err;
    TRY(join(b, r, ssa_kept(r, block->in), cells, 0));
    TRY(ssa_norm_part_again(&b->norm, &joined, cells));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = norm, .w = ssa_value(r, b->w), .dy = r->dx,
        .dx = r->slots[SSA_SLOT_BRANCH], .dw = ssa_grad(r, b->w), .rows = joined.rows, .in = CELL * b->width,
        .out = 2 * b->width, .accumulate = r->accumulate}));
    joined.dx = norm;
    TRY(ssa_norm_part_backward(&b->norm, &joined, cells, false));
    TRY(join(b, r, norm, r->dx, 1));
done:
    return err;
}

const struct ssa_block_kind ssa_merge_kind = {"merge", sizeof(struct ssa_merge_block), draft, forward, backward, NULL};

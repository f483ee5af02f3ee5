/* Sampled cells back into the stream of edges, in place: the others are as they were below.
 *
 * The block of attention that took them makes the gradient of all that it read, so that nothing is left to be cleared
 * here on the way down. */
#include "blocks.h"
#include "impl.h"

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_write_cells_block *b = (struct ssa_write_cells_block *)block;
    d->in_place = true;
    b->width = d->width;
    ssa_draft_turn(d, SSA_STREAM_CELLS);
    b->cells_at = ssa_draft_enter(d);
    ssa_draft_turn(d, SSA_STREAM_EDGES);
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_write_cells_block *b = (const struct ssa_write_cells_block *)block;
    const struct ssa_run cells = ssa_run_turned(r, block, SSA_STREAM_CELLS);
    return ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = ssa_kept(r, b->cells_at),
        .rows = ssa_staged(r, block->cells_layer)->cells, .out = ssa_kept(r, block->in), .count = cells.rows,
        .target_rows = r->rows, .width = b->width});
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_write_cells_block *b = (const struct ssa_write_cells_block *)block;
    const struct ssa_run cells = ssa_run_turned(r, block, SSA_STREAM_CELLS);
    return ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = r->dx,
        .rows = ssa_staged(r, block->cells_layer)->cells, .out = cells.dx, .count = cells.rows, .source_rows = r->rows,
        .width = b->width});
}

const struct ssa_block_kind ssa_write_cells_kind = {"write_cells", sizeof(struct ssa_write_cells_block), draft, forward,
                                                    backward, NULL};

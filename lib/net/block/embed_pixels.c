/* x = start (+ label[class]) at position 0, and at t that of element t - 1 of a grid:
 * embed[value] + row[r] + column[c] + channel[k]
 *
 * The input is late: position 0 has the id -1, for which the embedding adds no row. What it adds for positions, start
 * included, is the same for all sequences; it is made in the WIDE slot, [positions | starts of classes], and its
 * gradient, summed over the batch, lies there before it goes to the tables. */
#include "blocks.h"
#include "impl.h"

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_embed_pixels_block *b = (struct ssa_embed_pixels_block *)block;
    const struct ssa_start start = {.deviation = b->deviation};
    const struct ssa_start third = {.deviation = b->deviation / 1.7320508075688772}; /* three tables: its root */
    d->width = b->width;
    b->table = ssa_draft_matrix(d, "embed.weight", b->values, b->width, start);
    b->row = ssa_draft_matrix(d, "row.weight", b->rows, b->width, third);
    b->column = ssa_draft_matrix(d, "column.weight", b->columns, b->width, third);
    b->channel = b->channels > 1 ? ssa_draft_matrix(d, "channel.weight", b->channels, b->width, third) : 0;
    b->label_table = b->classes ? ssa_draft_matrix(d, "label.weight", b->classes, b->width, start) : 0;
    b->start = ssa_draft_vector(d, "start", b->width, start);
    b->tokens = ssa_draft_input(d, (struct ssa_input){.name = "token", .from = offsetof(struct ssa_pass, tokens),
        .type = SSA_I32, .limit = "values", .below = b->values, .late = true});
    if (b->classes)
        b->labels = ssa_draft_input(d, (struct ssa_input){.name = "label", .from = offsetof(struct ssa_pass, labels),
            .type = SSA_I32, .per = SSA_PER_SEQUENCE, .limit = "classes", .below = b->classes});
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(ssa_plus((size_t)d->length, d->batch), (size_t)b->width),
                      "positions of a grid");
}

/* Rows of a tensor of the stream's width. */
static struct ssa_tensor row_of(const struct ssa_embed_pixels_block *b, struct ssa_tensor t, int row)
{
    return ssa_tensor_add(t, (size_t)row * (size_t)b->width);
}

/* ---- forward ---- */

static int positions(const struct ssa_embed_pixels_block *b, const struct ssa_run *r)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE];
    struct ssa_grid_fwd g = {.row = ssa_value(r, b->row), .column = ssa_value(r, b->column),
                             .channel = ssa_value(r, b->channel), .out = wide, .first = r->first - 1,
                             .count = r->length, .rows = b->rows, .columns = b->columns, .channels = b->channels,
                             .width = b->width};
    int err = SSA_OK;
    if (!r->first) {
        TRY(ssa_tensor_copy(wide, ssa_value(r, b->start), (size_t)b->width));
        g.out = row_of(b, wide, 1);
        g.first = 0;
        g.count--;
    }
    if (g.count)
        TRY(ssa_grid_fwd(r->device, &g));
done:
    return err;
}

/* Where the classes' part of the scratch begins: a row a sequence. */
static struct ssa_tensor starts_at(const struct ssa_embed_pixels_block *b, const struct ssa_run *r)
{
    return row_of(b, r->slots[SSA_SLOT_WIDE], r->length);
}

static int start_classes(const struct ssa_embed_pixels_block *b, const struct ssa_run *r, struct ssa_tensor x)
{
    const struct ssa_tensor starts = starts_at(b, r);
    int err;
    TRY(ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = ssa_input(r, b->labels),
        .table = ssa_value(r, b->label_table), .positions = ssa_value(r, b->start), .out = starts, .rows = r->batch,
        .length = 1, .width = b->width, .vocabulary = b->classes}));
    for (int s = 0; s < r->batch; s++)
        TRY(ssa_tensor_copy(row_of(b, x, s * r->length), row_of(b, starts, s), (size_t)b->width));
done:
    return err;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_pixels_block *b = (const struct ssa_embed_pixels_block *)block;
    const struct ssa_tensor x = ssa_kept(r, block->out);
    int err;
    TRY(positions(b, r));
    TRY(ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = ssa_input(r, b->tokens),
        .table = ssa_value(r, b->table), .positions = r->slots[SSA_SLOT_WIDE], .out = x, .rows = r->rows,
        .length = r->length, .width = b->width, .vocabulary = b->values}));
    if (b->classes && !r->first)
        TRY(start_classes(b, r, x));
done:
    return err;
}

/* ---- backward ---- */

static int start_backward(const struct ssa_embed_pixels_block *b, const struct ssa_run *r)
{
    const struct ssa_tensor sum = r->slots[SSA_SLOT_WIDE], grad = ssa_grad(r, b->start);
    return r->accumulate
        ? ssa_add(r->device, &(struct ssa_add){.x = grad, .y = sum, .out = grad, .count = (size_t)b->width})
        : ssa_tensor_copy(grad, sum, (size_t)b->width);
}

/* A sequence of one position has no element before it. */
static int no_grid(const struct ssa_run *r, int table)
{
    return table && !r->accumulate ? ssa_tensor_fill(ssa_grad(r, table), 0, ssa_value_count(r, table)) : SSA_OK;
}

static int grid_backward(const struct ssa_embed_pixels_block *b, const struct ssa_run *r)
{
    int err;
    if (r->length > 1)
        return ssa_grid_bwd(r->device, &(struct ssa_grid_bwd){.dout = row_of(b, r->slots[SSA_SLOT_WIDE], 1),
            .drow = ssa_grad(r, b->row), .dcolumn = ssa_grad(r, b->column), .dchannel = ssa_grad(r, b->channel),
            .count = r->length - 1, .rows = b->rows, .columns = b->columns, .channels = b->channels,
            .width = b->width, .accumulate = r->accumulate});
    TRY(no_grid(r, b->row));
    TRY(no_grid(r, b->column));
    TRY(no_grid(r, b->channel));
done:
    return err;
}

static int classes_backward(const struct ssa_embed_pixels_block *b, const struct ssa_run *r)
{
    const struct ssa_tensor starts = starts_at(b, r);
    int err = SSA_OK;
    for (int s = 0; s < r->batch; s++)
        TRY(ssa_tensor_copy(row_of(b, starts, s), row_of(b, r->dx, s * r->length), (size_t)b->width));
    TRY(ssa_embedding_bwd(r->device, &(struct ssa_embedding_bwd){.ids = ssa_input(r, b->labels), .dout = starts,
        .dtable = ssa_grad(r, b->label_table), .rows = r->batch, .width = b->width, .vocabulary = b->classes,
        .accumulate = r->accumulate}));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_pixels_block *b = (const struct ssa_embed_pixels_block *)block;
    struct ssa_embedding_bwd e = {.ids = ssa_input(r, b->tokens), .dout = r->dx, .dtable = ssa_grad(r, b->table),
                                  .rows = r->rows, .length = r->length, .width = b->width, .vocabulary = b->values,
                                  .accumulate = r->accumulate};
    int err;
    TRY(ssa_embedding_bwd(r->device, &e));
    e.dtable = (struct ssa_tensor){0};
    e.dpositions = r->slots[SSA_SLOT_WIDE];
    e.accumulate = 0;
    TRY(ssa_embedding_bwd(r->device, &e));
    TRY(start_backward(b, r));
    TRY(grid_backward(b, r));
    if (b->classes)
        TRY(classes_backward(b, r));
done:
    return err;
}

const struct ssa_block_kind ssa_embed_pixels_kind = {"embed_pixels", sizeof(struct ssa_embed_pixels_block), draft,
                                                     forward, backward, NULL};

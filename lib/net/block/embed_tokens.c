/* x = drop(embed[id] (+ position[n])) */
#include "blocks.h"
#include "impl.h"

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_embed_tokens_block *b = (struct ssa_embed_tokens_block *)block;
    d->width = b->width;
    b->table = ssa_draft_matrix(d, "embed.weight", b->vocabulary, b->width, SSA_START_NORMAL);
    b->position = b->positions ? ssa_draft_matrix(d, "position.weight", d->length, b->width, SSA_START_NORMAL) : 0;
    b->tokens = ssa_draft_input(d, (struct ssa_input){.name = "token", .from = offsetof(struct ssa_pass, tokens),
        .type = SSA_I32, .limit = "vocabulary", .below = b->vocabulary});
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_tokens_block *b = (const struct ssa_embed_tokens_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    struct ssa_tensor x = ssa_kept(r, block->out), none = {0};
    struct ssa_tensor positions = ssa_tensor_add(ssa_value(r, b->position), (size_t)r->first * (size_t)b->width);
    int err = ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = ssa_input(r, b->tokens),
        .table = ssa_value(r, b->table), .positions = positions, .out = x, .rows = r->rows, .length = r->length,
        .width = b->width, .vocabulary = b->vocabulary});
    return err || p <= 0 ? err : ssa_drop_forward(r, p, 0, b->width, x, none, x);
}

/* Positions past the pass's have no gradient. */
static int positions_backward(const struct ssa_embed_tokens_block *b, struct ssa_run *r, struct ssa_embedding_bwd e)
{
    const size_t used = (size_t)r->length * (size_t)b->width, all = ssa_value_count(r, b->position);
    int err;
    e.dtable = (struct ssa_tensor){0};
    e.dpositions = ssa_grad(r, b->position);
    e.accumulate = r->accumulate;
    TRY(ssa_embedding_bwd(r->device, &e));
    if (!r->accumulate && all > used)
        TRY(ssa_tensor_fill(ssa_tensor_add(e.dpositions, used), 0, all - used));
done:
    return err;
}

/* A tied head has already put its share into the table's gradient. */
static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_tokens_block *b = (const struct ssa_embed_tokens_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    const struct ssa_embedding_bwd e = {.ids = ssa_input(r, b->tokens), .dout = r->dx, .dtable = ssa_grad(r, b->table),
        .rows = r->rows, .length = r->length, .width = b->width, .vocabulary = b->vocabulary,
        .accumulate = r->accumulate || ssa_shared(r, b->table)};
    int err;
    if (p > 0)
        TRY(ssa_drop_backward(r, p, 0, b->width, r->dx, r->dx));
    TRY(ssa_embedding_bwd(r->device, &e));
    if (b->position)
        TRY(positions_backward(b, r, e));
done:
    return err;
}

const struct ssa_block_kind ssa_embed_tokens_kind = {"embed_tokens", sizeof(struct ssa_embed_tokens_block), draft,
                                                     forward, backward, NULL};

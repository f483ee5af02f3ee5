/* x = drop(y + sinusoid(n)),  y = sqrt(C) P_b e,  e = E_b[id - where band b begins]
 *
 * Rows are taken band by band, one product each: e in the NORM slot, y in the WIDE one, then to its rows of the stream.
 * A sinusoid's first half is sin(p f_i), its second cos(p f_i), f_i = 10000^(-i / (C/2 - 1)), and p = 2 at the first
 * position of a sequence, for 0 and 1 are padding's in fairseq. */
#include "blocks.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>

enum { FIRST_POSITION = 2 };

static void fill_sinusoids(const struct ssa_block *block, float *values)
{
    const struct ssa_embed_words_block *b = (const struct ssa_embed_words_block *)block;
    const int half = b->width / 2;
    for (int n = 0; n < b->length; n++)
        for (int i = 0; i < half; i++) {
            const double angle = (n + FIRST_POSITION) * exp(-log(10000) * i / (half > 1 ? half - 1 : 1));
            float *row = values + (size_t)n * (size_t)b->width;
            row[i] = (float)sin(angle);
            row[half + i] = (float)cos(angle);
        }
}

static int most(const int *values, int count)
{
    int most = 0;
    for (int i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

static void draft_band(struct ssa_embed_words_block *b, struct ssa_draft *d, int band)
{
    const int width = b->widths[band];
    char name[32];
    snprintf(name, sizeof name, "embed.%d.weight", band);
    b->tables[band] = ssa_draft_matrix(d, name, ssa_band_size(&b->bands, band), width,
                                       (struct ssa_start){.deviation = 1 / sqrt(width)});
    snprintf(name, sizeof name, "embed.%d.proj.weight", band);
    b->projections[band] = ssa_draft_matrix(d, name, b->width, width, ssa_start_xavier(b->width, width, 1));
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_embed_words_block *b = (struct ssa_embed_words_block *)block;
    d->width = b->width;
    b->length = d->length;
    for (int band = 0; band < b->bands.count; band++)
        draft_band(b, d, band);
    b->sinusoids = ssa_draft_constant(d, ssa_times((size_t)d->length, (size_t)b->width), "sinusoids", fill_sinusoids);
    b->tokens = ssa_draft_input(d, (struct ssa_input){.name = "token", .from = offsetof(struct ssa_pass, tokens),
        .type = SSA_I32, .limit = "vocabulary", .below = b->bands.ends[b->bands.count - 1], .bands = b->bands});
    ssa_draft_scratch(d, SSA_SLOT_NORM, ssa_times(d->rows, (size_t)most(b->widths, b->bands.count)), "words of a band");
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(d->rows, (size_t)b->width), "projected words");
    if (d->training)
        ssa_draft_scratch(d, SSA_SLOT_BRANCH, ssa_times(d->rows, (size_t)b->width), "gradients of words");
}

/* The words of a pass that are of one band. */
struct words {
    int count, size, width; /* in the pass, in the band; C_b */
    struct ssa_tensor rows, ids;
};

static struct words words_of(const struct ssa_embed_words_block *b, const struct ssa_run *r, int band)
{
    const struct ssa_banded *in = ssa_banded(r, b->tokens);
    const size_t first = (size_t)in->first[band];
    return (struct words){.count = in->first[band + 1] - in->first[band], .width = b->widths[band],
                          .size = ssa_band_size(&b->bands, band),
                          .rows = ssa_tensor_add(in->rows, first), .ids = ssa_tensor_add(in->ids, first)};
}

/* sqrt(C) e, which is nobody's output and so is computed again by backward. */
static int look_up(const struct ssa_embed_words_block *b, const struct ssa_run *r, const struct words *w, int band)
{
    return ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = w->ids,
        .table = ssa_value(r, b->tables[band]), .out = r->slots[SSA_SLOT_NORM], .rows = w->count, .width = w->width,
        .vocabulary = w->size, .scale = sqrtf((float)b->width)});
}

/* ---- forward ---- */

static int band_forward(const struct ssa_embed_words_block *b, const struct ssa_run *r, int band, struct ssa_tensor x)
{
    const struct words w = words_of(b, r, band);
    const struct ssa_tensor y = r->slots[SSA_SLOT_WIDE];
    int err;
    if (!w.count)
        return SSA_OK;
    TRY(look_up(b, r, &w, band));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->slots[SSA_SLOT_NORM],
        .w = ssa_value(r, b->projections[band]), .y = y, .rows = w.count, .in = w.width, .out = b->width,
        .apart = r->apart}));
    TRY(ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = y, .rows = w.rows, .out = x, .count = w.count,
        .target_rows = r->rows, .width = b->width}));
done:
    return err;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_words_block *b = (const struct ssa_embed_words_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    const struct ssa_tensor x = ssa_kept(r, block->out), none = {0};
    const struct ssa_tensor sinusoids =
        ssa_tensor_add(ssa_kept(r, b->sinusoids), (size_t)r->first * (size_t)b->width);
    int err = SSA_OK;
    for (int band = 0; band < b->bands.count; band++)
        TRY(band_forward(b, r, band, x));
    TRY(ssa_prepend_fwd(r->device, &(struct ssa_prepend_fwd){.x = x, .positions = sinusoids, .out = x,
        .batch = r->batch, .length = r->length, .width = b->width}));
    if (p > 0)
        TRY(ssa_drop_forward(r, p, 0, b->width, x, none, x));
done:
    return err;
}

/* ---- backward ---- */

/* No word of the band is in the pass: gradients stay as they are, or become 0. */
static int no_words(const struct ssa_run *r, int parameter)
{
    return r->accumulate || ssa_shared(r, parameter)
        ? SSA_OK : ssa_tensor_fill(ssa_grad(r, parameter), 0, ssa_value_count(r, parameter));
}

/* A tied head has already put its share into gradients. */
static int band_backward(const struct ssa_embed_words_block *b, const struct ssa_run *r, int band)
{
    const struct words w = words_of(b, r, band);
    const int table = b->tables[band], projection = b->projections[band];
    const struct ssa_tensor dy = r->slots[SSA_SLOT_BRANCH], de = r->slots[SSA_SLOT_WIDE];
    int err;
    if (!w.count) {
        TRY(no_words(r, table));
        return no_words(r, projection);
    }
    TRY(ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = r->dx, .rows = w.rows, .out = dy, .count = w.count,
        .source_rows = r->rows, .width = b->width}));
    TRY(look_up(b, r, &w, band));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->slots[SSA_SLOT_NORM], .w = ssa_value(r, projection),
        .dy = dy, .dx = de, .dw = ssa_grad(r, projection), .rows = w.count, .in = w.width, .out = b->width,
        .accumulate = r->accumulate || ssa_shared(r, projection)}));
    TRY(ssa_embedding_bwd(r->device, &(struct ssa_embedding_bwd){.ids = w.ids, .dout = de, .dtable = ssa_grad(r, table),
        .rows = w.count, .width = w.width, .vocabulary = w.size, .scale = sqrtf((float)b->width),
        .accumulate = r->accumulate || ssa_shared(r, table)}));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_embed_words_block *b = (const struct ssa_embed_words_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    int err = SSA_OK;
    if (p > 0)
        TRY(ssa_drop_backward(r, p, 0, b->width, r->dx, r->dx));
    for (int band = 0; band < b->bands.count; band++)
        TRY(band_backward(b, r, band));
done:
    return err;
}

const struct ssa_block_kind ssa_embed_words_kind = {"embed_words", sizeof(struct ssa_embed_words_block), draft, forward,
                                                    backward, NULL};

/* -log p(word) = -log softmax([E_0 h; C h])[word or its band], and of a word of band b > 0
 *                -log softmax(E_b z)[word - where b begins] in addition;   h = drop(x),  z = drop(P_b^T h)
 *
 * Logits of many rows are never all there: a chunk of rows at a time goes through a softmax, and back at once, before
 * the next takes its place, so that forward leaves the gradient of h, and all of parameters. Of band b those rows alone
 * are gathered whose targets are in it.
 *
 * The gradients, dl being softmax - onehot: dE_0 += dl^T h, dC likewise, dh = dl [E_0; C]; dE_b += dl^T z, dz = dl E_b,
 * dP_b += h^T dz, dh += dz P_b^T. Embedding's P_b is [C, C_b], so z is the input's gradient of a linear layer with that
 * weight, whose output's gradient is h; and dh its output. */
#include "blocks.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOGITS = 1 << 24 }; /* at most, in elements: 64 MiB */

/* Of the BRANCH slot, of a band's rows: h; z; its gradient, or z before dropout; either at their rows of all; losses. */
enum piece { HIDDEN, Z, DZ, ALL, LOSSES, PIECES };

/* Classes of the softmax of band `b`: the first has one for each other band. */
static int classes_of(const struct ssa_head_words_block *b, int band)
{
    return ssa_band_size(&b->bands, band) + (band ? 0 : b->bands.count - 1);
}

/* ---- drafting ---- */

/* Of the rare words' z the widest. */
static int tail_width(const struct ssa_head_words_block *b)
{
    int most = 0;
    for (int band = 1; band < b->bands.count; band++)
        most = b->widths[band] > most ? b->widths[band] : most;
    return most;
}

static void draft_pieces(struct ssa_head_words_block *b, struct ssa_draft *d)
{
    const size_t tail = (size_t)tail_width(b), back = d->training;
    const size_t widths[PIECES] = {[HIDDEN] = (size_t)b->width, [Z] = tail, [DZ] = back * tail,
                                   [ALL] = b->dropout > 0 ? back * tail : 0, [LOSSES] = 1};
    size_t count = 0;
    for (int i = 0; i < PIECES; i++) {
        b->pieces[i] = count;
        count = ssa_plus(count, ssa_arena_padded(ssa_times(d->rows, widths[i])));
    }
    if (b->bands.count > 1)
        ssa_draft_scratch(d, SSA_SLOT_BRANCH, count, "rows of rare words");
}

static void draft_band(struct ssa_head_words_block *b, struct ssa_draft *d, int band)
{
    const size_t classes = (size_t)classes_of(b, band), rows = LOGITS / classes ? LOGITS / classes : 1;
    char name[32];
    b->chunks[band] = (int)(rows < d->rows ? rows : d->rows);
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times((size_t)b->chunks[band], classes), "logits");
    snprintf(name, sizeof name, "embed.%d.weight", band);
    b->tables[band] = ssa_draft_shared(d, name);
    snprintf(name, sizeof name, "embed.%d.proj.weight", band);
    b->projections[band] = band ? ssa_draft_shared(d, name) : 0;
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_head_words_block *b = (struct ssa_head_words_block *)block;
    const int tails = b->bands.count - 1;
    b->width = d->width;
    for (int band = 0; band < b->bands.count; band++)
        draft_band(b, d, band);
    b->tails = tails ? ssa_draft_matrix(d, "tails.weight", tails, b->width, ssa_start_xavier(b->width, tails, 1)) : 0;
    b->targets = ssa_draft_input(d, (struct ssa_input){.name = "target", .from = offsetof(struct ssa_pass, targets),
        .type = SSA_I32, .limit = "vocabulary", .below = b->bands.ends[tails], .any_below = true, .optional = true,
        .target = true, .bands = b->bands});
    b->losses = ssa_draft_losses(d);
    draft_pieces(b, d);
    if (d->training && b->dropout > 0)
        ssa_draft_scratch(d, SSA_SLOT_NORM, ssa_times(d->rows, (size_t)b->width), "the head's input");
}

/* ---- the first softmax: frequent words, and bands ---- */

static struct ssa_tensor row_of(const struct ssa_head_words_block *b, struct ssa_tensor t, size_t row)
{
    return ssa_tensor_add(t, row * (size_t)b->width);
}

/* The logits of `rows` rows of h. */
static int head_logits(const struct ssa_head_words_block *b, const struct ssa_run *r, struct ssa_tensor h, int rows)
{
    struct ssa_linear_fwd f = {.x = h, .w = ssa_value(r, b->tables[0]), .y = r->slots[SSA_SLOT_WIDE], .rows = rows,
                               .in = b->width, .out = b->bands.ends[0], .y_stride = classes_of(b, 0),
                               .apart = r->apart};
    int err;
    TRY(ssa_linear_fwd(r->device, &f));
    if (b->tails) {
        f.w = ssa_value(r, b->tails);
        f.y = ssa_tensor_add(f.y, (size_t)f.out);
        f.out = b->bands.count - 1;
        TRY(ssa_linear_fwd(r->device, &f));
    }
done:
    return err;
}

static int head_backward(const struct ssa_head_words_block *b, const struct ssa_run *r, struct ssa_tensor h,
                         int first, int rows)
{
    struct ssa_linear_bwd l = {.x = h, .w = ssa_value(r, b->tables[0]), .dy = r->slots[SSA_SLOT_WIDE],
                               .dx = row_of(b, r->dx, (size_t)first), .dw = ssa_grad(r, b->tables[0]), .rows = rows,
                               .in = b->width, .out = b->bands.ends[0], .dy_stride = classes_of(b, 0),
                               .accumulate = r->accumulate || first};
    int err;
    TRY(ssa_linear_bwd(r->device, &l));
    if (b->tails) {
        l.w = ssa_value(r, b->tails);
        l.dw = ssa_grad(r, b->tails);
        l.dy = ssa_tensor_add(l.dy, (size_t)l.out);
        l.out = b->bands.count - 1;
        l.accumulate_dx = 1;
        TRY(ssa_linear_bwd(r->device, &l));
    }
done:
    return err;
}

static int head(const struct ssa_head_words_block *b, const struct ssa_run *r, struct ssa_tensor h)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], none = {0};
    int err = SSA_OK;
    for (int first = 0; first < r->rows; first += b->chunks[0]) {
        const int rows = r->rows - first < b->chunks[0] ? r->rows - first : b->chunks[0];
        const struct ssa_tensor x = row_of(b, h, (size_t)first);
        TRY(head_logits(b, r, x, rows));
        TRY(ssa_cross_entropy(r->device, &(struct ssa_cross_entropy){.logits = wide,
            .targets = ssa_tensor_add(ssa_input(r, b->targets), (size_t)first),
            .loss = ssa_tensor_add(ssa_kept(r, b->losses), (size_t)first), .dlogits = r->keep ? wide : none,
            .rows = rows, .vocabulary = classes_of(b, 0), .grad_scale = r->pass->grad_scale}));
        if (r->keep)
            TRY(head_backward(b, r, x, first, rows));
    }
done:
    return err;
}

/* ---- a softmax of rare words ---- */

struct tail {
    int band, count, width;      /* rows whose targets are in it; of z */
    struct ssa_tensor rows, ids; /* which, and their targets in the band */
    struct ssa_tensor hidden, z, dz, all, losses;
};

static struct tail tail_of(const struct ssa_head_words_block *b, const struct ssa_run *r, int band)
{
    const struct ssa_banded *in = ssa_banded(r, b->targets);
    const struct ssa_tensor branch = r->slots[SSA_SLOT_BRANCH];
    const size_t first = (size_t)in->first[band];
    return (struct tail){.band = band, .count = in->first[band + 1] - in->first[band], .width = b->widths[band],
        .rows = ssa_tensor_add(in->rows, first), .ids = ssa_tensor_add(in->ids, first),
        .hidden = ssa_tensor_add(branch, b->pieces[HIDDEN]), .z = ssa_tensor_add(branch, b->pieces[Z]),
        .dz = ssa_tensor_add(branch, b->pieces[DZ]), .all = ssa_tensor_add(branch, b->pieces[ALL]),
        .losses = ssa_tensor_add(branch, b->pieces[LOSSES])};
}

/* Elements drop by their rows in the stream, whatever else is in the band, so they are dropped there. Both directions
 * are the same. */
static int drop(const struct ssa_head_words_block *b, const struct ssa_run *r, const struct tail *t,
                struct ssa_tensor from, struct ssa_tensor to)
{
    const struct ssa_tensor none = {0};
    int err;
    TRY(ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = from, .rows = t->rows, .out = t->all,
        .count = t->count, .target_rows = r->rows, .width = t->width}));
    TRY(ssa_drop_forward(r, b->dropout, b->dropout_stream + t->band, t->width, t->all, none, t->all));
    TRY(ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = t->all, .rows = t->rows, .out = to,
        .count = t->count, .source_rows = r->rows, .width = t->width}));
done:
    return err;
}

/* h P_b */
static int project(const struct ssa_head_words_block *b, const struct ssa_run *r, int band, struct ssa_tensor h,
                   struct ssa_tensor z, int rows)
{
    return ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.w = ssa_value(r, b->projections[band]), .dy = h, .dx = z,
        .rows = rows, .in = b->widths[band], .out = b->width});
}

static int tail_logits(const struct ssa_head_words_block *b, const struct ssa_run *r, int band, struct ssa_tensor z,
                       int rows)
{
    return ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = z, .w = ssa_value(r, b->tables[band]),
        .y = r->slots[SSA_SLOT_WIDE], .rows = rows, .in = b->widths[band], .out = classes_of(b, band),
        .apart = r->apart});
}

static int tail_chunk(const struct ssa_head_words_block *b, const struct ssa_run *r, const struct tail *t, int first,
                      int rows)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], none = {0};
    const size_t at = (size_t)first * (size_t)t->width;
    const struct ssa_tensor z = ssa_tensor_add(t->z, at);
    int err;
    TRY(tail_logits(b, r, t->band, z, rows));
    TRY(ssa_cross_entropy(r->device, &(struct ssa_cross_entropy){.logits = wide,
        .targets = ssa_tensor_add(t->ids, (size_t)first), .loss = ssa_tensor_add(t->losses, (size_t)first),
        .dlogits = r->keep ? wide : none, .rows = rows, .vocabulary = classes_of(b, t->band),
        .grad_scale = r->pass->grad_scale}));
    if (r->keep)
        TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = z, .w = ssa_value(r, b->tables[t->band]),
            .dy = wide, .dx = ssa_tensor_add(t->dz, at), .dw = ssa_grad(r, b->tables[t->band]), .rows = rows,
            .in = t->width, .out = classes_of(b, t->band), .accumulate = r->accumulate || first}));
done:
    return err;
}

/* From dz to P_b and h. */
static int tail_backward(const struct ssa_head_words_block *b, const struct ssa_run *r, const struct tail *t)
{
    const int projection = b->projections[t->band];
    int err;
    if (b->dropout > 0)
        TRY(drop(b, r, t, t->dz, t->dz));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = t->dz, .w = ssa_value(r, projection), .dy = t->hidden,
        .dw = ssa_grad(r, projection), .rows = t->count, .in = t->width, .out = b->width,
        .accumulate = r->accumulate}));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = t->dz, .w = ssa_value(r, projection), .y = t->hidden,
        .rows = t->count, .in = t->width, .out = b->width}));
    TRY(ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = t->hidden, .rows = t->rows, .out = r->dx,
        .count = t->count, .target_rows = r->rows, .width = b->width, .accumulate = 1}));
done:
    return err;
}

static int no_rows(const struct ssa_run *r, int parameter)
{
    return r->keep && !r->accumulate ? ssa_tensor_fill(ssa_grad(r, parameter), 0, ssa_value_count(r, parameter))
                                     : SSA_OK;
}

static int tail(const struct ssa_head_words_block *b, const struct ssa_run *r, int band, struct ssa_tensor h)
{
    const struct tail t = tail_of(b, r, band);
    const bool drops = ssa_dropout_now(r, b->dropout) > 0;
    int err;
    if (!t.count) {
        TRY(no_rows(r, b->tables[band]));
        return no_rows(r, b->projections[band]);
    }
    TRY(ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = h, .rows = t.rows, .out = t.hidden, .count = t.count,
        .source_rows = r->rows, .width = b->width}));
    TRY(project(b, r, band, t.hidden, drops ? t.dz : t.z, t.count));
    if (drops)
        TRY(drop(b, r, &t, t.dz, t.z));
    for (int first = 0; first < t.count; first += b->chunks[band])
        TRY(tail_chunk(b, r, &t, first, t.count - first < b->chunks[band] ? t.count - first : b->chunks[band]));
    TRY(ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = t.losses, .rows = t.rows,
        .out = ssa_kept(r, b->losses), .count = t.count, .target_rows = r->rows, .width = 1, .accumulate = 1}));
    if (r->keep)
        TRY(tail_backward(b, r, &t));
done:
    return err;
}

/* ---- the passes ---- */

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_words_block *b = (const struct ssa_head_words_block *)block;
    const float p = ssa_dropout_now(r, b->dropout);
    const struct ssa_tensor x = ssa_kept(r, block->in), none = {0}, h = p > 0 ? r->slots[SSA_SLOT_NORM] : x;
    int err = SSA_OK;
    if (!r->losses)
        return SSA_OK;
    if (p > 0)
        TRY(ssa_drop_forward(r, p, b->dropout_stream, b->width, x, none, h));
    TRY(head(b, r, h));
    for (int band = 1; band < b->bands.count; band++)
        TRY(tail(b, r, band, h));
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_words_block *b = (const struct ssa_head_words_block *)block;
    return b->dropout > 0 ? ssa_drop_backward(r, b->dropout, b->dropout_stream, b->width, r->dx, r->dx) : SSA_OK;
}

/* ---- answers ---- */

/* out = log softmax(logits) + more */
static void normalise(const float *logits, int count, double more, float *out)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < count; i++)
        most = (double)logits[i] > most ? (double)logits[i] : most;
    for (int i = 0; i < count; i++)
        sum += exp((double)logits[i] - most);
    for (int i = 0; i < count; i++)
        out[i] = (float)((double)logits[i] - most - log(sum) + more);
}

/* From the logits of the WIDE slot, in `logits`, to `answers`, rows of all V. What the first softmax says of band b
 * waits where the band's answers will be. */
static int read_chunk(const struct ssa_head_words_block *b, const struct ssa_run *r, int band, int rows, float *logits,
                      float *answers)
{
    const int classes = classes_of(b, band), frequent = b->bands.ends[0];
    int err;
    TRY(ssa_tensor_read(r->slots[SSA_SLOT_WIDE], logits, (size_t)rows * (size_t)classes));
    for (int i = 0; i < rows; i++, logits += classes, answers += b->bands.ends[b->bands.count - 1]) {
        float *to = answers + ssa_band_begin(&b->bands, band);
        normalise(logits, classes, band ? (double)*to : 0, band ? to : logits);
        for (int c = 0; !band && c < classes; c++)
            answers[c < frequent ? c : b->bands.ends[c - frequent]] = logits[c];
    }
done:
    return err;
}

static int read_band(const struct ssa_head_words_block *b, const struct ssa_run *r, int band, struct ssa_tensor x,
                     int rows, float *answers)
{
    const int most = b->chunks[band] < rows ? b->chunks[band] : rows;
    const struct ssa_tensor z = ssa_tensor_add(r->slots[SSA_SLOT_BRANCH], b->pieces[Z]);
    float *logits = malloc((size_t)most * (size_t)classes_of(b, band) * sizeof *logits);
    int err = SSA_OK;
    if (!logits)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory for logits");
    for (int first = 0; first < rows; first += most) {
        const struct ssa_tensor h = row_of(b, x, (size_t)first);
        const int count = rows - first < most ? rows - first : most;
        if (band)
            TRY(project(b, r, band, h, z, count));
        TRY(band ? tail_logits(b, r, band, z, count) : head_logits(b, r, h, count));
        TRY(read_chunk(b, r, band, count, logits,
                       answers + (size_t)first * (size_t)b->bands.ends[b->bands.count - 1]));
    }
done:
    free(logits);
    return err;
}

static int read(const struct ssa_block *block, struct ssa_run *r, size_t row, int rows, float *answers)
{
    const struct ssa_head_words_block *b = (const struct ssa_head_words_block *)block;
    int err = SSA_OK;
    for (int band = 0; band < b->bands.count; band++)
        TRY(read_band(b, r, band, row_of(b, ssa_kept(r, block->in), row), rows, answers));
done:
    return err;
}

const struct ssa_block_kind ssa_head_words_kind = {"head_words", sizeof(struct ssa_head_words_block), draft, forward,
                                                   backward, read};

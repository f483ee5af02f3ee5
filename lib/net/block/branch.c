#include "blocks.h"
#include "impl.h"

#include <stdio.h>

/* ---- norms ---- */

void ssa_norm_part_draft(struct ssa_norm_part *n, struct ssa_draft *d)
{
    const size_t count = ssa_times(d->rows, (size_t)d->width);
    char name[32];
    snprintf(name, sizeof name, "%s.gain", n->name);
    n->gain = ssa_draft_vector(d, name, d->width, SSA_START_ONE);
    snprintf(name, sizeof name, "%s.bias", n->name);
    n->shift = n->bias && n->kind == SSA_NORM_LAYER ? ssa_draft_vector(d, name, d->width, SSA_START_ZERO) : 0;
    n->width = d->width;
    n->stats = ssa_draft_keep_for_backward(d, d->rows * 2, "norm statistics");
    ssa_draft_scratch(d, SSA_SLOT_NORM, count, "a norm's output");
    if (d->training)
        ssa_draft_scratch(d, SSA_SLOT_BRANCH, count, "a branch's gradient");
}

static int forward(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x, struct ssa_tensor stats)
{
    return ssa_norm_fwd(r->device, &(struct ssa_norm_fwd){.x = x, .gain = ssa_value(r, n->gain),
        .bias = ssa_value(r, n->shift), .y = r->slots[SSA_SLOT_NORM], .stats = stats, .rows = r->rows,
        .width = n->width, .kind = n->kind, .eps = n->eps});
}

int ssa_norm_part_forward(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x)
{
    return forward(n, r, x, ssa_kept_for_backward(r, n->stats));
}

int ssa_norm_part_again(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x)
{
    return forward(n, r, x, (struct ssa_tensor){0});
}

int ssa_norm_part_backward(const struct ssa_norm_part *n, const struct ssa_run *r, struct ssa_tensor x,
                           bool accumulate_dx)
{
    return ssa_norm_bwd(r->device, &(struct ssa_norm_bwd){.x = x, .gain = ssa_value(r, n->gain),
        .stats = ssa_kept(r, n->stats), .dy = r->slots[SSA_SLOT_BRANCH], .dx = r->dx, .dgain = ssa_grad(r, n->gain),
        .dbias = ssa_grad(r, n->shift), .rows = r->rows, .width = n->width, .kind = n->kind,
        .accumulate = r->accumulate, .accumulate_dx = accumulate_dx});
}

/* ---- dropout ---- */

float ssa_dropout_now(const struct ssa_run *r, float p)
{
    return r->pass->training ? p : 0;
}

uint64_t ssa_stream_now(const struct ssa_run *r, int stream)
{
    return r->pass->step << 16 | (uint64_t)stream;
}

/* Elements are counted from the step's first sequence on, as if all were as long as the longest in any pass: so it does
 * not matter how a batch is cut, nor how far it is padded. */
static size_t first_of(const struct ssa_run *r, int width)
{
    return (size_t)r->pass->first_example * (size_t)r->longest * (size_t)width;
}

static struct ssa_within within(const struct ssa_run *r, int width)
{
    const size_t each = (size_t)width;
    return r->length == r->longest ? (struct ssa_within){0}
                                   : (struct ssa_within){.each = (size_t)r->across * each,
                                         .rows = (size_t)(r->length / r->across), .whole_each = (size_t)r->widest * each,
                                         .whole_rows = (size_t)(r->longest / r->widest)};
}

int ssa_drop_forward(const struct ssa_run *r, float p, int stream, int width, struct ssa_tensor x,
                     struct ssa_tensor residual, struct ssa_tensor out)
{
    return ssa_dropout_fwd(r->device, &(struct ssa_dropout_fwd){.x = x, .residual = residual, .out = out,
        .count = (size_t)r->rows * (size_t)width, .p = p, .seed = r->pass->seed, .stream = ssa_stream_now(r, stream),
        .first = first_of(r, width), .within = within(r, width)});
}

int ssa_drop_backward(const struct ssa_run *r, float p, int stream, int width, struct ssa_tensor dy,
                      struct ssa_tensor dx)
{
    return ssa_dropout_bwd(r->device, &(struct ssa_dropout_bwd){.dy = dy, .dx = dx,
        .count = (size_t)r->rows * (size_t)width, .p = p, .seed = r->pass->seed, .stream = ssa_stream_now(r, stream),
        .first = first_of(r, width), .within = within(r, width)});
}

/* ---- branches ---- */

struct ssa_start ssa_branch_start_in(const struct ssa_branch *b)
{
    return b->in_bound > 0       ? (struct ssa_start){.bound = b->in_bound}
           : b->in_deviation > 0 ? (struct ssa_start){.deviation = b->in_deviation}
                                 : SSA_START_NORMAL;
}

struct ssa_start ssa_branch_start_out(const struct ssa_branch *b)
{
    return b->out_bound > 0       ? (struct ssa_start){.bound = b->out_bound}
           : b->out_deviation > 0 ? (struct ssa_start){.deviation = b->out_deviation}
                                  : SSA_START_BRANCH_END;
}

void ssa_branch_draft(struct ssa_branch *b, struct ssa_draft *d)
{
    ssa_norm_part_draft(&b->norm, d);
}

/* Elements of a sequence, which drop path drops together. */
static size_t sequence(const struct ssa_branch *b, const struct ssa_run *r)
{
    return (size_t)r->length * (size_t)b->norm.width;
}

static size_t first_sequence(const struct ssa_branch *b, const struct ssa_run *r)
{
    return (size_t)r->pass->first_example * sequence(b, r);
}

static int path_forward(const struct ssa_branch *b, const struct ssa_run *r, float p, struct ssa_tensor x,
                        struct ssa_tensor residual, struct ssa_tensor out)
{
    const int width = b->norm.width;
    return ssa_dropout_fwd(r->device, &(struct ssa_dropout_fwd){.x = x, .residual = residual, .out = out,
        .count = (size_t)r->rows * (size_t)width, .p = p, .seed = r->pass->seed,
        .stream = ssa_stream_now(r, b->path_stream), .first = first_sequence(b, r), .run = sequence(b, r)});
}

static int path_backward(const struct ssa_branch *b, const struct ssa_run *r, float p, struct ssa_tensor dy,
                         struct ssa_tensor dx)
{
    const int width = b->norm.width;
    return ssa_dropout_bwd(r->device, &(struct ssa_dropout_bwd){.dy = dy, .dx = dx,
        .count = (size_t)r->rows * (size_t)width, .p = p, .seed = r->pass->seed,
        .stream = ssa_stream_now(r, b->path_stream), .first = first_sequence(b, r), .run = sequence(b, r)});
}

int ssa_branch_forward_end(const struct ssa_branch *b, const struct ssa_run *r, struct ssa_branch_end e)
{
    const float p = ssa_dropout_now(r, b->dropout), path = ssa_dropout_now(r, b->path);
    const int width = b->norm.width;
    const bool drops = p > 0 || path > 0;
    const struct ssa_tensor none = {0}, branch = drops ? r->slots[SSA_SLOT_NORM] : e.out;
    int err;
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = e.in, .w = e.w, .bias = e.bias,
        .residual = drops ? none : e.x, .y = branch, .rows = r->rows, .in = e.width, .out = width,
        .apart = r->apart}));
    if (p > 0)
        TRY(ssa_drop_forward(r, p, b->stream, width, branch, path > 0 ? none : e.x, path > 0 ? branch : e.out));
    if (path > 0)
        TRY(path_forward(b, r, path, branch, e.x, e.out));
done:
    return err;
}

int ssa_branch_backward_end(const struct ssa_branch *b, const struct ssa_run *r, struct ssa_tensor *d)
{
    const float p = ssa_dropout_now(r, b->dropout), path = ssa_dropout_now(r, b->path);
    int err = SSA_OK;
    *d = r->dx;
    if (path > 0) {
        TRY(path_backward(b, r, path, *d, r->slots[SSA_SLOT_BRANCH]));
        *d = r->slots[SSA_SLOT_BRANCH];
    }
    if (p > 0) {
        TRY(ssa_drop_backward(r, p, b->stream, b->norm.width, *d, r->slots[SSA_SLOT_BRANCH]));
        *d = r->slots[SSA_SLOT_BRANCH];
    }
done:
    return err;
}

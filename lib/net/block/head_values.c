/* values = linear(act(.. linear(pool(norm(x))))), so many a sequence, and where there are targets the loss of each.
 *
 * Pool is the first rows of a sequence, virtual nodes', side by side; or the mean over its positions. */
#include "blocks.h"
#include "impl.h"

#include <stdio.h>

/* Of layer `i`: what it takes, and what it gives. */
static int width_in(const struct ssa_head_values_block *b, int i)
{
    return i ? b->width : b->lead ? b->lead * b->width : b->width;
}

static int width_out(const struct ssa_head_values_block *b, int i)
{
    return i + 1 == b->layers ? b->values : b->width;
}

static void draft_layer(struct ssa_head_values_block *b, struct ssa_draft *d, int i)
{
    const bool last = i + 1 == b->layers;
    const size_t count = ssa_times(d->batch, (size_t)width_out(b, i));
    char name[32];
    snprintf(name, sizeof name, "head.%d.weight", i);
    b->w[i] = ssa_draft_uniform(d, name, width_out(b, i), width_in(b, i), width_in(b, i));
    snprintf(name, sizeof name, "head.%d.bias", i);
    b->bias[i] = last && b->start != 0
                     ? ssa_draft_vector(d, name, width_out(b, i), (struct ssa_start){.value = b->start})
                     : ssa_draft_uniform(d, name, width_out(b, i), 0, width_in(b, i));
    b->out[i] = ssa_draft_keep(d, count, last ? "values" : i ? "the head's second layer" : "the head's first layer");
    if (!last)
        b->pre[i] = ssa_draft_keep_for_backward(d, count, "the head's pre-activations");
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_head_values_block *b = (struct ssa_head_values_block *)block;
    b->width = d->width;
    ssa_norm_part_draft(&b->norm, d);
    for (int i = 0; i < b->layers; i++)
        draft_layer(b, d, i);
    b->lengths = ssa_draft_input(d, SSA_INPUT_LENGTHS);
    b->targets = ssa_draft_input(d, (struct ssa_input){.name = "value", .from = offsetof(struct ssa_pass, values),
        .type = SSA_F32, .per = SSA_PER_SEQUENCE, .each = (size_t)b->values, .or_nan = true, .optional = true,
        .target = true});
    b->losses = ssa_draft_losses(d);
    b->dvalues = ssa_draft_keep_for_backward(d, ssa_times(d->batch, (size_t)b->values), "the gradient of values");
    if (!b->lead)
        b->pooled = ssa_draft_keep(d, ssa_times(d->batch, (size_t)b->width), "pooled rows");
    if (d->training)
        ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(ssa_times(d->batch, (size_t)b->width), 2),
                          "gradients in the head");
}

/* What layer `i` takes. Rows that are joined lie in the NORM slot, a sequence apart. */
static struct ssa_tensor input_of(const struct ssa_head_values_block *b, const struct ssa_run *r, int i)
{
    return i         ? ssa_kept(r, b->out[i - 1])
           : b->lead ? r->slots[SSA_SLOT_NORM]
                     : ssa_kept(r, b->pooled);
}

static int stride_in(const struct ssa_head_values_block *b, const struct ssa_run *r, int i)
{
    return !i && b->lead ? r->length * b->width : 0;
}

/* ---- forward ---- */

static int layer_forward(const struct ssa_head_values_block *b, const struct ssa_run *r, int i)
{
    const bool last = i + 1 == b->layers;
    struct ssa_linear_fwd f = {.x = input_of(b, r, i), .w = ssa_value(r, b->w[i]), .bias = ssa_value(r, b->bias[i]),
        .y = ssa_kept(r, b->out[i]), .rows = r->batch, .in = width_in(b, i), .out = width_out(b, i),
        .x_stride = stride_in(b, r, i)};
    if (!last) {
        f.activation = b->activation;
        f.pre = ssa_kept_for_backward(r, b->pre[i]);
    }
    return ssa_linear_fwd(r->device, &f);
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_values_block *b = (const struct ssa_head_values_block *)block;
    int err;
    TRY(ssa_norm_part_forward(&b->norm, r, ssa_kept(r, block->in)));
    if (!b->lead)
        TRY(ssa_mean_fwd(r->device, &(struct ssa_mean_fwd){.x = r->slots[SSA_SLOT_NORM], .out = ssa_kept(r, b->pooled),
            .batch = r->batch, .length = r->length, .width = b->width, .lengths = ssa_input(r, b->lengths)}));
    for (int i = 0; i < b->layers; i++)
        TRY(layer_forward(b, r, i));
    if (!r->losses)
        return SSA_OK;
    TRY(ssa_value_loss(r->device, &(struct ssa_value_loss){.x = ssa_kept(r, b->out[b->layers - 1]),
        .targets = ssa_input(r, b->targets), .loss = ssa_kept(r, b->losses), .dx = ssa_kept_for_backward(r, b->dvalues),
        .count = (size_t)r->batch * (size_t)b->values, .kind = b->loss, .grad_scale = r->pass->grad_scale}));
done:
    return err;
}

/* ---- backward ---- */

/* From the gradient of layer `i`'s output to that of what it takes; below the first that is of norm's rows, or pooled
 * ones. */
static int layer_backward(const struct ssa_head_values_block *b, const struct ssa_run *r, int i, struct ssa_tensor dy,
                          struct ssa_tensor dx)
{
    struct ssa_linear_bwd l = {.x = input_of(b, r, i), .w = ssa_value(r, b->w[i]), .dy = dy,
        .dw = ssa_grad(r, b->w[i]), .dbias = ssa_grad(r, b->bias[i]), .rows = r->batch, .in = width_in(b, i),
        .out = width_out(b, i), .x_stride = stride_in(b, r, i), .accumulate = r->accumulate};
    l.dx = dx;
    if (i) {
        l.x_pre = ssa_kept(r, b->pre[i - 1]);
        l.activation = b->activation;
    }
    return ssa_linear_bwd(r->device, &l);
}

static int layers_backward(const struct ssa_head_values_block *b, const struct ssa_run *r, struct ssa_tensor first)
{
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE];
    struct ssa_tensor dy = ssa_kept(r, b->dvalues);
    int err = SSA_OK;
    for (int i = b->layers; i-- > 0;) {
        const size_t place = i % 2 ? (size_t)r->batch * (size_t)b->width : 0; /* one after the other, by turns */
        const struct ssa_tensor dx = i ? ssa_tensor_add(wide, place) : first;
        TRY(layer_backward(b, r, i, dy, dx));
        dy = dx;
    }
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_head_values_block *b = (const struct ssa_head_values_block *)block;
    const struct ssa_tensor dnorm = r->slots[SSA_SLOT_BRANCH], dpooled = r->slots[SSA_SLOT_NORM];
    int err;
    if (b->lead)
        TRY(ssa_tensor_fill(dnorm, 0, (size_t)r->rows * (size_t)b->width));
    TRY(layers_backward(b, r, b->lead ? dnorm : dpooled));
    if (!b->lead)
        TRY(ssa_mean_bwd(r->device, &(struct ssa_mean_bwd){.dout = dpooled, .dx = dnorm, .batch = r->batch,
            .length = r->length, .width = b->width, .lengths = ssa_input(r, b->lengths)}));
    TRY(ssa_norm_part_backward(&b->norm, r, ssa_kept(r, block->in), false));
done:
    return err;
}

static int read(const struct ssa_block *block, struct ssa_run *r, size_t row, int rows, float *answers)
{
    const struct ssa_head_values_block *b = (const struct ssa_head_values_block *)block;
    return ssa_tensor_read(ssa_tensor_add(ssa_kept(r, b->out[b->layers - 1]), row), answers, (size_t)rows);
}

const struct ssa_block_kind ssa_head_values_kind = {"head_values", sizeof(struct ssa_head_values_block), draft, forward,
                                                    backward, read};

/* out = x + drop(proj(att)),  att = attention(q, k, v),  q, k, v = rope(norm(x) w^T + bias)
 *
 * Queries, keys and values lie side by side, [R, H D + kv_heads (D + E)], from one product. Where all queries see the
 * same few keys and none its own in addition, keys and values are projected for those rows alone, (x[S])W = (xW)[S]:
 * at a quarter of the keys an eighth of a layer's GEMM work less. Then queries [R, H D] come first, keys and values
 * [R, kv_heads (D + E)] after them, each at its position; rows that were not sampled hold anything, and attention
 * does not read them. In generation they are apart as well: keys and values have their places in the cache.
 *
 * Where a plan permutes queries with their keys (ssa_plan.window), rows of [R, q k v], positions rotated, are brought into
 * the order of its slices, and attention is dense in as many sequences as there are slices: a slice is in order, so that
 * what is causal in it is causal. Its output [R, H E] lies in that order, too, and what goes to proj is brought back. A
 * permutation's adjoint is its inverse, so backward goes the same ways: gradients of q, k, v come back to where q, k, v
 * were, which nobody needs any more. */
#include "blocks.h"
#include "plan.h"
#include "impl.h"

#include <limits.h>

static int q_width(const struct ssa_attention_block *b)
{
    return b->heads * b->key_width;
}

static int kv_width(const struct ssa_attention_block *b)
{
    return b->kv_heads * (b->key_width + b->value_width);
}

/* Of what attention answers. */
static int out_width(const struct ssa_attention_block *b)
{
    return b->heads * b->value_width;
}

static void draft(struct ssa_block *block, struct ssa_draft *d)
{
    struct ssa_attention_block *b = (struct ssa_attention_block *)block;
    b->layer = ssa_draft_layer(d);
    b->width = d->width;
    b->key_width = b->key_width ? b->key_width : d->width / b->heads;
    b->value_width = b->value_width ? b->value_width : d->width / b->heads;
    const int all = q_width(b) + kv_width(b), wide = all > out_width(b) ? all : out_width(b);
    ssa_branch_draft(&b->branch, d);
    b->qkv = ssa_draft_matrix(d, "qkv.weight", all, b->width, ssa_branch_start_in(&b->branch));
    b->proj = ssa_draft_matrix(d, "proj.weight", b->width, out_width(b), ssa_branch_start_out(&b->branch));
    b->qkv_bias = b->bias ? ssa_draft_vector(d, "qkv.bias", all, SSA_START_ZERO) : 0;
    b->proj_bias = b->bias ? ssa_draft_vector(d, "proj.bias", b->width, SSA_START_ZERO) : 0;
    b->qkv_at = ssa_draft_keep(d, ssa_times(d->rows, (size_t)all), "queries, keys and values");
    b->lse = ssa_draft_keep(d, ssa_times(d->rows, (size_t)b->heads), "log-sum-exps");
    b->att = ssa_draft_keep(d, ssa_times(d->rows, (size_t)out_width(b)), "attention's output");
    if (b->causal) /* others generate nothing */
        b->cache = ssa_draft_cache(d, (size_t)kv_width(b));
    ssa_draft_scratch(d, SSA_SLOT_WIDE, ssa_times(d->rows, (size_t)wide), "gradients of queries, keys and values");
    if (!d->training)
        return;
    ssa_draft_scratch(d, SSA_SLOT_NORM, ssa_times(d->rows, (size_t)out_width(b)), "the gradient of attention");
    ssa_draft_scratch(d, SSA_SLOT_BRANCH, ssa_times(d->rows, (size_t)out_width(b)), "the gradient of attention, permuted");
}

/* ---- where queries, keys and values are ---- */

struct heads {
    struct ssa_tensor q, k, v;
    int q_width, kv_width, q_stride, kv_stride;
};
/* Values lie beside keys. */
static struct ssa_tensor values_after(const struct ssa_attention_block *b, struct ssa_tensor keys)
{
    return ssa_tensor_add(keys, (size_t)b->kv_heads * (size_t)b->key_width);
}

static struct heads heads_at(const struct ssa_attention_block *b, const struct ssa_run *r, struct ssa_tensor base,
                             bool apart)
{
    const int q = q_width(b), kv = kv_width(b);
    struct heads h = {.q = base, .q_width = q, .kv_width = kv, .q_stride = apart ? q : q + kv,
                      .kv_stride = apart ? kv : q + kv};
    h.k = ssa_tensor_add(base, (size_t)q * (size_t)(apart ? r->rows : 1));
    h.v = values_after(b, h.k);
    return h;
}

static struct ssa_tensor cached(const struct ssa_attention_block *b, const struct ssa_run *r, int first)
{
    return ssa_cached(r, b->cache, first, (size_t)kv_width(b));
}

/* How many rows of each sequence keys and values are projected for; 0: all. Gathered rows and their gradients must
 * find room in the WIDE slot. */
static int sampled_keys(const struct ssa_attention_block *b, const struct ssa_run *r)
{
    const long long q = q_width(b), kv = kv_width(b), keys = ssa_staged(r, b->layer)->common_keys;
    return keys * kv <= r->length * q && 2 * keys * b->width <= r->length * kv ? (int)keys : 0;
}

/* In generation queries see what they do in a plan of this kind, but one after another. */
static bool permutes(const struct ssa_attention_block *b, const struct ssa_run *r)
{
    return !r->cached && ssa_staged(r, b->layer)->plan.window;
}

enum move { GATHER, SCATTER, SCATTER_ADD };
/* All rows, into the order of the plan's slices or (SCATTER) back. */
static int permute(const struct ssa_attention_block *b, const struct ssa_run *r, enum move move, struct ssa_tensor from,
                   struct ssa_tensor to, int width)
{
    const struct ssa_tensor order = ssa_staged(r, b->layer)->order;
    return move == GATHER
        ? ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = from, .rows = order, .out = to, .count = r->rows,
              .source_rows = r->rows, .width = width})
        : ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = from, .rows = order, .out = to,
              .count = r->rows, .target_rows = r->rows, .width = width});
}

/* Between the sampled rows of `full` [R, width] and `few` [batch * keys, width]. */
static int move_sampled(const struct ssa_attention_block *b, const struct ssa_run *r, enum move move,
                        struct ssa_tensor full, struct ssa_tensor few, int width)
{
    const struct ssa_staged_plan *staged = ssa_staged(r, b->layer);
    struct ssa_tensor rows = ssa_tensor_add(staged->data, (size_t)staged->plan.data[PLAN_SOURCE_AT]);
    const int keys = sampled_keys(b, r);
    int err = SSA_OK;
    for (int e = 0; e < r->batch && !err; e++) {
        err = move == GATHER
            ? ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = full, .rows = rows, .out = few, .count = keys,
                  .source_rows = r->length, .width = width})
            : ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = few, .rows = rows, .out = full,
                  .count = keys, .target_rows = r->length, .width = width, .accumulate = move == SCATTER_ADD});
        full.offset += (size_t)r->length * (size_t)width;
        few.offset += (size_t)keys * (size_t)width;
        rows.offset += staged->plan.examples > 1 ? staged->plan.stride : 0;
    }
    return err;
}

static int rope(const struct ssa_attention_block *b, const struct ssa_run *r, struct heads h, int inverse)
{
    struct ssa_rope a = {.x = h.q, .rows = r->rows, .length = r->length, .heads = b->heads, .width = b->key_width,
                         .stride = h.q_stride, .inverse = inverse, .first_position = r->first, .base = b->rope_base};
    const bool apart = h.q_stride == h.q_width;
    if (b->rope_base <= 0)
        return SSA_OK;
    a.heads += apart ? 0 : b->kv_heads; /* queries and keys lie side by side */
    int err = ssa_rope(r->device, &a);
    if (err || !apart)
        return err;
    a.x = h.k;
    a.heads = b->kv_heads;
    a.stride = h.kv_stride;
    return ssa_rope(r->device, &a);
}

/* ---- forward ---- */

static int project(const struct ssa_attention_block *b, const struct ssa_run *r)
{
    const int keys = sampled_keys(b, r);
    const bool apart = keys || r->cached, permuted = permutes(b, r);
    const struct ssa_tensor norm = r->slots[SSA_SLOT_NORM], qkv = ssa_kept(r, b->qkv_at);
    struct heads h = heads_at(b, r, permuted ? r->slots[SSA_SLOT_WIDE] : qkv, apart);
    struct ssa_linear_fwd f = {.x = norm, .w = ssa_value(r, b->qkv), .bias = ssa_value(r, b->qkv_bias), .y = h.q,
                               .rows = r->rows, .in = b->width, .out = apart ? h.q_width : h.q_width + h.kv_width,
                               .apart = r->apart};
    int err;
    TRY(ssa_linear_fwd(r->device, &f));
    f.w = ssa_tensor_add(f.w, (size_t)h.q_width * (size_t)b->width);
    f.bias = ssa_tensor_add(f.bias, (size_t)h.q_width);
    f.out = h.kv_width;
    if (r->cached) {
        const size_t stride = r->batch > 1 ? ssa_cached_stride(r, (size_t)h.kv_width) : (size_t)h.kv_width;
        REQUIRE(stride <= INT_MAX, "generate: keys and values of so many positions are of one sequence at a time");
        f.y = h.k = cached(b, r, r->first);
        f.y_stride = h.kv_stride = (int)stride; /* of several sequences one position each */
        TRY(ssa_linear_fwd(r->device, &f));
    } else if (keys) {
        f.rows = r->batch * keys;
        f.x = r->slots[SSA_SLOT_WIDE];
        f.y = ssa_tensor_add(f.x, (size_t)f.rows * (size_t)b->width);
        TRY(move_sampled(b, r, GATHER, norm, f.x, b->width));
        TRY(ssa_linear_fwd(r->device, &f));
        TRY(move_sampled(b, r, SCATTER, h.k, f.y, h.kv_width));
    }
    TRY(rope(b, r, h, 0));
    if (permuted)
        TRY(permute(b, r, GATHER, h.q, qkv, h.q_stride));
done:
    return err;
}

/* Slices as sequences. */
static void cut_into_windows(const struct ssa_attention_block *b, const struct ssa_run *r, struct ssa_attention *a)
{
    const struct ssa_staged_plan *staged = ssa_staged(r, b->layer);
    const int slices = staged->plan.slices;
    a->plan = &staged->window;
    a->plan_data = staged->window_data;
    a->batch *= slices;
    a->keys = a->queries = staged->plan.window;
    a->first_example *= (uint32_t)slices;
}

/* What both directions are given. */
static struct ssa_attention attention(const struct ssa_attention_block *b, const struct ssa_run *r)
{
    const struct ssa_staged_plan *staged = ssa_staged(r, b->layer);
    struct heads h = heads_at(b, r, ssa_kept(r, b->qkv_at), r->cached || sampled_keys(b, r));
    const struct ssa_strides kv = {.position = (size_t)h.kv_stride,
                                   .batch = r->cached ? ssa_cached_stride(r, (size_t)h.kv_stride) : 0};
    if (r->cached) {
        h.k = cached(b, r, 0);
        h.v = values_after(b, h.k);
    }
    struct ssa_attention a = {.q = h.q, .k = h.k, .v = h.v, .out = ssa_kept(r, b->att), .lse = ssa_kept(r, b->lse),
        .plan = &staged->plan, .plan_data = staged->data, .batch = r->batch, .keys = r->keys, .queries = r->length,
        .heads = b->heads, .kv_heads = b->kv_heads, .width = b->key_width, .value_width = b->value_width,
        .q_strides = {.position = (size_t)h.q_stride}, .k_strides = kv, .v_strides = kv, .causal = b->causal,
        .dropout = ssa_dropout_now(r, b->dropout), .drop_keys = ssa_dropout_now(r, b->drop_keys),
        .seed = r->pass->seed, .stream = ssa_stream_now(r, b->dropout_stream),
        .first_example = r->pass->first_example};
    if (permutes(b, r))
        cut_into_windows(b, r, &a);
    return a;
}

/* Its output, as it is or brought back. */
static int output(const struct ssa_attention_block *b, const struct ssa_run *r, struct ssa_tensor *out)
{
    const struct ssa_tensor att = ssa_kept(r, b->att);
    *out = permutes(b, r) ? r->slots[SSA_SLOT_WIDE] : att;
    return permutes(b, r) ? permute(b, r, SCATTER, att, *out, out_width(b)) : SSA_OK;
}

static int forward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_attention_block *b = (const struct ssa_attention_block *)block;
    struct ssa_tensor x = ssa_kept(r, block->in), att;
    int err;
    TRY(ssa_norm_part_forward(&b->branch.norm, r, x));
    TRY(project(b, r));
    TRY(ssa_attention_fwd(r->device, &(struct ssa_attention_fwd){attention(b, r)}));
    TRY(output(b, r, &att));
    TRY(ssa_branch_forward_end(&b->branch, r, (struct ssa_branch_end){.in = att,
        .w = ssa_value(r, b->proj), .bias = ssa_value(r, b->proj_bias), .x = x, .out = ssa_kept(r, block->out),
        .width = out_width(b)}));
done:
    return err;
}

/* ---- backward ---- */

/* From the gradient of proj's output, d, to those of w and bias and to that of attention's output, in its order. */
static int proj_backward(const struct ssa_attention_block *b, const struct ssa_run *r, struct ssa_tensor d,
                         struct ssa_tensor *dout)
{
    const struct ssa_tensor datt = r->slots[SSA_SLOT_NORM];
    struct ssa_tensor att;
    int err;
    TRY(output(b, r, &att));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = att, .w = ssa_value(r, b->proj), .dy = d, .dx = datt,
        .dw = ssa_grad(r, b->proj), .dbias = ssa_grad(r, b->proj_bias), .rows = r->rows, .in = out_width(b),
        .out = b->width, .accumulate = r->accumulate}));
    *dout = permutes(b, r) ? r->slots[SSA_SLOT_BRANCH] : datt;
    if (permutes(b, r)) /* where d may have been */
        TRY(permute(b, r, GATHER, datt, *dout, out_width(b)));
done:
    return err;
}

/* The gradients of q, k, v in the WIDE slot become those of norm, in the BRANCH slot, and of w and bias. */
static int project_backward(const struct ssa_attention_block *b, const struct ssa_run *r)
{
    const int keys = sampled_keys(b, r);
    const struct ssa_tensor norm = r->slots[SSA_SLOT_NORM], dnorm = r->slots[SSA_SLOT_BRANCH];
    const struct ssa_tensor wide = r->slots[SSA_SLOT_WIDE], qkv = ssa_kept(r, b->qkv_at);
    const bool permuted = permutes(b, r);
    struct heads h = heads_at(b, r, permuted ? qkv : wide, keys);
    struct ssa_linear_bwd l = {.x = norm, .w = ssa_value(r, b->qkv), .dy = h.q, .dx = dnorm, .dw = ssa_grad(r, b->qkv),
                               .dbias = ssa_grad(r, b->qkv_bias), .rows = r->rows, .in = b->width,
                               .out = keys ? h.q_width : h.q_width + h.kv_width, .accumulate = r->accumulate};
    int err;
    if (permuted)
        TRY(permute(b, r, SCATTER, wide, qkv, h.q_stride));
    TRY(rope(b, r, h, 1));
    TRY(ssa_linear_bwd(r->device, &l));
    if (keys) { /* gradients of k, v are gathered to where those of q were, rows of norm to where they were */
        const size_t q = (size_t)h.q_width, in = (size_t)b->width;
        l.rows = r->batch * keys;
        l.out = h.kv_width;
        l.x = h.k;
        l.w = ssa_tensor_add(l.w, q * in);
        l.dx = ssa_tensor_add(l.x, (size_t)l.rows * in);
        l.dw = ssa_tensor_add(l.dw, q * in);
        l.dbias = ssa_tensor_add(l.dbias, q);
        TRY(move_sampled(b, r, GATHER, h.k, l.dy, h.kv_width));
        TRY(move_sampled(b, r, GATHER, norm, l.x, b->width));
        TRY(ssa_linear_bwd(r->device, &l));
        TRY(move_sampled(b, r, SCATTER_ADD, dnorm, l.dx, b->width));
    }
done:
    return err;
}

static int backward(const struct ssa_block *block, struct ssa_run *r)
{
    const struct ssa_attention_block *b = (const struct ssa_attention_block *)block;
    const struct heads dh = heads_at(b, r, r->slots[SSA_SLOT_WIDE], sampled_keys(b, r));
    struct ssa_tensor x = ssa_kept(r, block->in), d, dout;
    int err;
    TRY(ssa_branch_backward_end(&b->branch, r, &d));
    TRY(proj_backward(b, r, d, &dout));
    TRY(ssa_attention_bwd(r->device, &(struct ssa_attention_bwd){.attention = attention(b, r), .dout = dout,
        .dq = dh.q, .dk = dh.k, .dv = dh.v}));
    TRY(ssa_norm_part_again(&b->branch.norm, r, x));
    TRY(project_backward(b, r));
    TRY(ssa_norm_part_backward(&b->branch.norm, r, x, true));
done:
    return err;
}

const struct ssa_block_kind ssa_attention_kind = {"attention", sizeof(struct ssa_attention_block), draft, forward,
                                                  backward, NULL};

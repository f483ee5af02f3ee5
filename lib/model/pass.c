/* Forward and backward, written out. Every block of backward quotes the forward that it reverses.
 *
 * R = batch * length rows. `norm`, `wide` and `dt` are scratch that every layer uses again: what backward needs from
 * there is computed once more rather than kept. */
#include "group.h"
#include "internal.h"
#include "../../cl/plan.h"
#include "../impl.h"

#include <string.h>

/* One pass's view of a model: short names for what every line needs. */
struct run {
    struct ssa_model *m;
    struct ssa_device *device;
    struct ssa_shape s;
    int rows, length, batch, activation;
    bool keep; /* backward may follow */
    bool cached;     /* keys and values are rows of the cache, to which the pass adds its own */
    int first, keys; /* position of the first token; keys that attention sees */
    float p;   /* dropout; 0 when off */
    struct ssa_tensor norm, wide, dx, dt;
    int accumulate;
};

static struct ssa_tensor at(const struct run *r, struct ssa_place place)
{
    return ssa_arena_at(&r->m->activations.arena, place);
}

static struct ssa_tensor at_if(const struct run *r, bool wanted, struct ssa_place place)
{
    return wanted ? at(r, place) : (struct ssa_tensor){0};
}

static struct run begin(struct ssa_model *m)
{
    const struct ssa_pass *p = &m->pass;
    struct run r = {.m = m, .device = m->device, .s = m->shape, .length = p->length, .batch = p->batch};
    r.rows = p->batch * p->length;
    r.keys = p->length;
    r.activation = m->config.activation ? m->config.activation : SSA_ACT_GELU;
    r.keep = p->training;
    r.p = p->training ? m->config.dropout : 0;
    r.norm = at(&r, m->activations.norm);
    r.wide = at(&r, m->activations.wide);
    if (m->limits.training) {
        r.dx = at(&r, m->activations.dx);
        r.dt = at(&r, m->activations.dt);
    }
    return r;
}

#define VALUE(name) ssa_model_value(r->m, name)
#define GRAD(name) ssa_model_grad(r->m, name)

/* ---- operators with this model's arguments ---- */

static int norm_fwd(const struct run *r, struct ssa_tensor x, int gain, int bias, struct ssa_tensor stats)
{
    return ssa_norm_fwd(r->device, &(struct ssa_norm_fwd){.x = x, .gain = VALUE(gain), .bias = VALUE(bias),
        .y = r->norm, .stats = stats, .rows = r->rows, .width = r->s.width, .kind = r->m->config.norm,
        .eps = r->m->config.norm_eps});
}

/* dx (+)= what comes through the norm from dt. */
static int norm_bwd(const struct run *r, struct ssa_tensor x, int gain, int bias, struct ssa_tensor stats,
                    int accumulate_dx)
{
    return ssa_norm_bwd(r->device, &(struct ssa_norm_bwd){.x = x, .gain = VALUE(gain), .stats = stats, .dy = r->dt,
        .dx = r->dx, .dgain = GRAD(gain), .dbias = GRAD(bias), .rows = r->rows, .width = r->s.width,
        .kind = r->m->config.norm, .accumulate = r->accumulate, .accumulate_dx = accumulate_dx});
}

/* A stream of random numbers of its own for each (step, layer, place). */
enum { DROP_EMBED, DROP_ATTENTION, DROP_MLP };
static uint64_t dropout_stream(const struct run *r, int layer, int place)
{
    return r->m->pass.step << 16 | (uint64_t)layer << 2 | (uint64_t)place;
}

static size_t dropout_first(const struct run *r)
{
    return (size_t)r->m->pass.first_example * (size_t)r->length * (size_t)r->s.width;
}

static int dropout_fwd(const struct run *r, struct ssa_tensor x, struct ssa_tensor residual, struct ssa_tensor out,
                       int layer, int place)
{
    return ssa_dropout_fwd(r->device, &(struct ssa_dropout_fwd){.x = x, .residual = residual, .out = out,
        .count = (size_t)r->rows * (size_t)r->s.width, .p = r->p, .seed = r->m->pass.seed,
        .stream = dropout_stream(r, layer, place), .first = dropout_first(r)});
}

static int dropout_bwd(const struct run *r, struct ssa_tensor dy, struct ssa_tensor dx, int layer, int place)
{
    return ssa_dropout_bwd(r->device, &(struct ssa_dropout_bwd){.dy = dy, .dx = dx,
        .count = (size_t)r->rows * (size_t)r->s.width, .p = r->p, .seed = r->m->pass.seed,
        .stream = dropout_stream(r, layer, place), .first = dropout_first(r)});
}

/* out = x + drop(in w^T + bias), the end of both branches: one fused operator without dropout. */
static int branch_end(const struct run *r, struct ssa_tensor in, int in_width, int w, int bias, struct ssa_tensor x,
                      struct ssa_tensor out, int layer, int place)
{
    bool drop = r->p > 0;
    int err = ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = in, .w = VALUE(w), .bias = VALUE(bias),
        .residual = drop ? (struct ssa_tensor){0} : x, .y = drop ? r->norm : out, .rows = r->rows, .in = in_width,
        .out = r->s.width});
    return err || !drop ? err : dropout_fwd(r, r->norm, x, out, layer, place);
}

/* The gradient that enters a branch from its end: dx itself, or through dropout in dt. */
static int branch_begin_bwd(const struct run *r, int layer, int place, struct ssa_tensor *d)
{
    *d = r->p > 0 ? r->dt : r->dx;
    return r->p > 0 ? dropout_bwd(r, r->dx, r->dt, layer, place) : SSA_OK;
}

/* ---- queries, keys and values ----
 *
 * Side by side, [R, (H + 2 kv_heads) D], from one product. Where all queries see the same few keys and none its own
 * besides, keys and values are projected for those rows alone, (x[S])W = (xW)[S]: at a quarter of the keys an eighth of
 * a layer's GEMM work less. Then queries [R, H D] come first, keys and values [R, 2 kv_heads D] after them, each at
 * its position; rows that were not sampled hold anything, and attention does not read them. In generation they are
 * apart as well: keys and values have their places in the cache. */
struct heads {
    struct ssa_tensor q, k, v;
    int q_width, kv_width, q_stride, kv_stride;
};
static struct heads heads_at(const struct run *r, struct ssa_tensor base, int keys)
{
    int q = r->s.heads * r->s.head_width, kv = 2 * r->s.kv_heads * r->s.head_width;
    struct heads h = {.q = base, .q_width = q, .kv_width = kv, .q_stride = keys ? q : q + kv,
                      .kv_stride = keys ? kv : q + kv};
    h.k = ssa_tensor_add(base, (size_t)q * (size_t)(keys ? r->rows : 1));
    h.v = ssa_tensor_add(h.k, (size_t)kv / 2);
    return h;
}

/* The cache's rows of a layer, from the slot of position `first` on. */
static struct ssa_tensor cached(const struct run *r, int l, int first)
{
    const size_t width = 2 * (size_t)r->s.kv_heads * (size_t)r->s.head_width;
    const size_t slot = (size_t)(first % r->m->config.length);
    return ssa_tensor_add(ssa_arena_at(&r->m->cache.arena, r->m->cache.layers[l]), slot * width);
}

/* The one set of keys that all queries of an example see, or 0. */
static int common_keys(const int32_t *plan, int length)
{
    const int32_t *slice = plan + plan[PLAN_SLICE_AT], *own = plan + plan[PLAN_OWN_AT];
    if (plan[PLAN_LENGTH] != length || plan[PLAN_BLOCKS] != 1 || plan[PLAN_SLICES] != 1)
        return 0;
    for (int i = 0; i < length; i++)
        if (own[i])
            return 0;
    return slice[1] - slice[0];
}

/* How many rows of each sequence keys and values are projected for; 0: all. Gathered rows and their gradients must
 * find room in `wide`. */
static int sampled_keys(const struct run *r, int l)
{
    const struct ssa_plan *plan = &r->m->plans[l];
    long long q = r->s.heads * r->s.head_width, kv = 2 * r->s.kv_heads * r->s.head_width;
    int keys = common_keys(plan->data, r->length);
    for (int e = 1; e < plan->examples; e++)
        if (common_keys(plan->data + plan->stride * (size_t)e, r->length) != keys)
            return 0;
    return keys * kv <= r->length * q && 2 * keys * q <= r->length * kv ? keys : 0;
}

enum move { GATHER, SCATTER, SCATTER_ADD };
/* Between the sampled rows of `full` [R, width] and `few` [batch * keys, width]. */
static int move_sampled(const struct run *r, int l, enum move move, struct ssa_tensor full, struct ssa_tensor few,
                        int keys, int width)
{
    const struct ssa_plan *plan = &r->m->plans[l];
    struct ssa_tensor rows = ssa_tensor_add(r->m->plan_data[l], (size_t)plan->data[PLAN_SOURCE_AT]);
    int err = SSA_OK;
    for (int b = 0; b < r->batch && !err; b++) {
        err = move == GATHER
            ? ssa_gather_rows(r->device, &(struct ssa_gather_rows){.x = full, .rows = rows, .out = few, .count = keys,
                  .source_rows = r->length, .width = width})
            : ssa_scatter_rows(r->device, &(struct ssa_scatter_rows){.x = few, .rows = rows, .out = full,
                  .count = keys, .target_rows = r->length, .width = width, .accumulate = move == SCATTER_ADD});
        full.offset += (size_t)r->length * (size_t)width;
        few.offset += (size_t)keys * (size_t)width;
        rows.offset += plan->examples > 1 ? plan->stride : 0;
    }
    return err;
}

static int rope(const struct run *r, struct heads h, int inverse)
{
    struct ssa_rope a = {.x = h.q, .rows = r->rows, .length = r->length, .heads = r->s.heads,
                         .width = r->s.head_width, .stride = h.q_stride, .inverse = inverse,
                         .first_position = r->first, .base = r->m->config.rope_base};
    bool apart = h.q_stride == h.q_width;
    if (r->m->config.positions != SSA_POSITIONS_ROTARY)
        return SSA_OK;
    a.heads += apart ? 0 : r->s.kv_heads; /* queries and keys lie side by side */
    int err = ssa_rope(r->device, &a);
    if (err || !apart)
        return err;
    a.x = h.k;
    a.heads = r->s.kv_heads;
    a.stride = h.kv_stride;
    return ssa_rope(r->device, &a);
}

/* qkv = norm w^T + bias, turned by their positions */
static int project_fwd(const struct run *r, int l)
{
    const struct ssa_layer_parameters *p = &r->m->parameters.layers[l];
    int keys = sampled_keys(r, l), apart = keys || r->cached, err;
    struct heads h = heads_at(r, at(r, r->m->activations.layers[l].qkv), apart);
    struct ssa_linear_fwd f = {.x = r->norm, .w = VALUE(p->qkv), .bias = VALUE(p->qkv_bias), .y = h.q,
                               .rows = r->rows, .in = r->s.width, .out = apart ? h.q_width : r->s.qkv};
    TRY(ssa_linear_fwd(r->device, &f));
    f.w = ssa_tensor_add(f.w, (size_t)h.q_width * (size_t)r->s.width);
    f.bias = ssa_tensor_add(f.bias, (size_t)h.q_width);
    f.out = h.kv_width;
    if (r->cached) {
        f.y = h.k = cached(r, l, r->first);
        TRY(ssa_linear_fwd(r->device, &f));
    } else if (keys) {
        f.rows = r->batch * keys;
        f.x = r->wide;
        f.y = ssa_tensor_add(f.x, (size_t)f.rows * (size_t)r->s.width);
        TRY(move_sampled(r, l, GATHER, r->norm, f.x, keys, r->s.width));
        TRY(ssa_linear_fwd(r->device, &f));
        TRY(move_sampled(r, l, SCATTER, h.k, f.y, keys, h.kv_width));
    }
    TRY(rope(r, h, 0));
done:
    return err;
}

/* The gradients of q, k, v in `wide` become those of norm, in dt, and of w and bias. */
static int project_bwd(const struct run *r, int l)
{
    const struct ssa_layer_parameters *p = &r->m->parameters.layers[l];
    int keys = sampled_keys(r, l), err;
    struct heads h = heads_at(r, r->wide, keys);
    struct ssa_linear_bwd b = {.x = r->norm, .w = VALUE(p->qkv), .dy = h.q, .dx = r->dt, .dw = GRAD(p->qkv),
                               .dbias = GRAD(p->qkv_bias), .rows = r->rows, .in = r->s.width,
                               .out = keys ? h.q_width : r->s.qkv, .accumulate = r->accumulate};
    TRY(rope(r, h, 1));
    TRY(ssa_linear_bwd(r->device, &b));
    if (keys) { /* gradients of k, v are gathered to where those of q were, rows of norm to where they were */
        const size_t q = (size_t)h.q_width, in = (size_t)r->s.width;
        b.rows = r->batch * keys;
        b.out = h.kv_width;
        b.x = h.k;
        b.w = ssa_tensor_add(b.w, q * in);
        b.dx = ssa_tensor_add(b.x, (size_t)b.rows * in);
        b.dw = ssa_tensor_add(b.dw, q * in);
        b.dbias = ssa_tensor_add(b.dbias, q);
        TRY(move_sampled(r, l, GATHER, h.k, b.dy, keys, h.kv_width));
        TRY(move_sampled(r, l, GATHER, r->norm, b.x, keys, r->s.width));
        TRY(ssa_linear_bwd(r->device, &b));
        TRY(move_sampled(r, l, SCATTER_ADD, r->dt, b.dx, keys, r->s.width));
    }
done:
    return err;
}

/* ---- forward ---- */

static int embed_fwd(const struct run *r)
{
    const struct ssa_parameters *p = &r->m->parameters;
    struct ssa_tensor x = at(r, r->m->activations.layers[0].x);
    struct ssa_tensor positions = ssa_tensor_add(VALUE(p->position), (size_t)r->first * (size_t)r->s.width);
    int err = ssa_embedding_fwd(r->device, &(struct ssa_embedding_fwd){.ids = r->m->tokens, .table = VALUE(p->embed),
        .positions = positions, .out = x, .rows = r->rows, .length = r->length, .width = r->s.width,
        .vocabulary = r->s.vocabulary});
    return err || r->p <= 0 ? err : dropout_fwd(r, x, (struct ssa_tensor){0}, x, 0, DROP_EMBED);
}

/* What both directions of a layer's attention are given. */
static struct ssa_attention attention(const struct run *r, int l)
{
    const struct ssa_layer_activations *a = &r->m->activations.layers[l];
    struct heads h = heads_at(r, at(r, a->qkv), r->cached || sampled_keys(r, l));
    const struct ssa_strides kv = {.position = (size_t)h.kv_stride};
    if (r->cached) {
        h.k = cached(r, l, 0);
        h.v = ssa_tensor_add(h.k, (size_t)h.kv_width / 2);
    }
    return (struct ssa_attention){.q = h.q, .k = h.k, .v = h.v, .out = at(r, a->att), .lse = at(r, a->lse),
        .plan = &r->m->plans[l], .plan_data = r->m->plan_data[l], .batch = r->batch, .keys = r->keys,
        .queries = r->length, .heads = r->s.heads, .kv_heads = r->s.kv_heads, .width = r->s.head_width,
        .q_strides = {.position = (size_t)h.q_stride}, .k_strides = kv, .v_strides = kv,
        .causal = !r->m->config.bidirectional};
}

static int attention_fwd(const struct run *r, int l)
{
    return ssa_attention_fwd(r->device, &(struct ssa_attention_fwd){attention(r, l)});
}

/* x_{l+1} = mid + drop(down(gelu(up(norm2(mid))))),  mid = x_l + drop(proj(attention(norm1(x_l)))) */
static int layer_fwd(const struct run *r, int l, struct ssa_tensor out)
{
    const struct ssa_layer_activations *a = &r->m->activations.layers[l];
    const struct ssa_layer_parameters *p = &r->m->parameters.layers[l];
    struct ssa_tensor x = at(r, a->x), mid = at(r, a->mid);
    int err;
    TRY(norm_fwd(r, x, p->norm1_gain, p->norm1_bias, at_if(r, r->keep, a->stats1)));
    TRY(project_fwd(r, l));
    TRY(attention_fwd(r, l));
    TRY(branch_end(r, at(r, a->att), r->s.width, p->proj, p->proj_bias, x, mid, l, DROP_ATTENTION));
    TRY(norm_fwd(r, mid, p->norm2_gain, p->norm2_bias, at_if(r, r->keep, a->stats2)));
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->norm, .w = VALUE(p->up), .bias = VALUE(p->up_bias),
        .pre = at_if(r, r->keep, a->pre), .y = r->wide, .rows = r->rows, .in = r->s.width, .out = r->s.hidden,
        .activation = r->activation}));
    TRY(branch_end(r, r->wide, r->s.hidden, p->down, p->down_bias, mid, out, l, DROP_MLP));
done:
    return err;
}

/* logits = head(norm), and where there are targets the losses; with backward to come, logits become their gradient */
static int head_fwd(const struct run *r)
{
    const struct ssa_pass *pass = &r->m->pass;
    int err;
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){.x = r->norm, .w = VALUE(r->m->parameters.head),
        .y = r->wide, .rows = r->rows, .in = r->s.width, .out = r->s.vocabulary}));
    TRY(ssa_cross_entropy(r->device, &(struct ssa_cross_entropy){.logits = r->wide, .targets = r->m->targets,
        .loss = at(r, r->m->activations.loss), .dlogits = r->keep ? r->wide : (struct ssa_tensor){0}, .rows = r->rows,
        .vocabulary = r->s.vocabulary, .smoothing = pass->smoothing, .grad_scale = pass->grad_scale}));
done:
    return err;
}

/* From tokens to what the head takes. */
static int body_fwd(const struct run *r)
{
    const struct ssa_activations *a = &r->m->activations;
    const struct ssa_parameters *p = &r->m->parameters;
    int err;
    TRY(embed_fwd(r));
    for (int l = 0; l < r->s.layers; l++)
        TRY(layer_fwd(r, l, at(r, l + 1 < r->s.layers ? a->layers[l + 1].x : a->out)));
    TRY(norm_fwd(r, at(r, a->out), p->norm_gain, p->norm_bias, at_if(r, r->keep, a->stats)));
done:
    return err;
}

int ssa_model_forward(struct ssa_model *m, const struct ssa_pass *pass)
{
    int err;
    m = ssa_model_serving(m);
    m->state = SSA_MODEL_EMPTY;
    TRY(ssa_inputs_write(m, pass, 0));
    struct run run = begin(m), *r = &run;
    TRY(body_fwd(r));
    if (pass->targets)
        TRY(head_fwd(r));
    m->state = pass->targets && pass->training ? SSA_MODEL_BACKWARD_READY : SSA_MODEL_FORWARD;
done:
    return err;
}

/* ---- forward, from a cache of keys ---- */

static int open_cache(struct ssa_model *m)
{
    struct ssa_cache *cache = &m->cache;
    int err;
    if (cache->layers)
        return SSA_OK;
    err = ssa_cache_plan(cache, &m->config, m->parameters.arena.limit);
    err = err ? err : ssa_arena_allocate(&cache->arena, m->device);
    if (err == SSA_ENOMEM)
        ssa_fail(err, "generate: keys and values of %d positions take %.1f MiB: %s; make the model for a smaller batch",
                 m->config.length, (double)ssa_arena_bytes(&cache->arena) / 1048576.0, ssa_last_error());
    if (err)
        ssa_cache_finish(cache);
    return err;
}

/* Slots are in no order once the ring has turned, which does not matter to the one query that sees them all. */
static int pass_cached(struct ssa_model *m, const int32_t *tokens, int count)
{
    const int length = m->config.length, first = m->cache.position;
    int err;
    m->state = SSA_MODEL_EMPTY;
    struct ssa_pass pass = {.tokens = tokens, .batch = 1, .length = count};
    const int keys = first < length - count ? first + count : length;
    TRY(ssa_inputs_write(m, &pass, keys));
    struct run run = begin(m);
    run.cached = true;
    run.first = first;
    run.keys = keys;
    TRY(body_fwd(&run));
    m->cache.position = first + count;
    m->state = SSA_MODEL_FORWARD;
done:
    return err;
}

int ssa_model_begin(struct ssa_model *m, const int32_t *tokens, int count)
{
    int err = open_cache(m);
    m->cache.position = 0;
    return err ? err : pass_cached(m, tokens, count);
}

int ssa_model_continue(struct ssa_model *m, int32_t token)
{
    return pass_cached(m, &token, 1);
}

struct ssa_tensor ssa_model_losses(const struct ssa_model *m)
{
    m = ssa_model_serving(m);
    return ssa_arena_at(&m->activations.arena, m->activations.loss);
}

int ssa_model_read_logits(struct ssa_model *m, int sequence, int position, float *logits)
{
    int err;
    m = ssa_model_serving(m);
    REQUIRE(m->state == SSA_MODEL_FORWARD, "model: logits are read after a forward pass that is not for training");
    REQUIRE(sequence >= 0 && sequence < m->pass.batch && position >= 0 && position < m->pass.length,
            "model: no position %d of sequence %d in a pass of %d sequences of %d", position, sequence, m->pass.batch,
            m->pass.length);
    struct run run = begin(m), *r = &run;
    size_t row = (size_t)sequence * (size_t)r->length + (size_t)position;
    TRY(ssa_linear_fwd(r->device, &(struct ssa_linear_fwd){
        .x = ssa_tensor_add(r->norm, row * (size_t)r->s.width), .w = VALUE(m->parameters.head), .y = r->wide, .rows = 1,
        .in = r->s.width, .out = r->s.vocabulary}));
    TRY(ssa_tensor_read(r->wide, logits, (size_t)r->s.vocabulary));
done:
    return err;
}

/* ---- backward ---- */

/* logits = norm(x_L) head^T */
static int head_bwd(const struct run *r)
{
    const struct ssa_activations *a = &r->m->activations;
    const struct ssa_parameters *p = &r->m->parameters;
    int err;
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->norm, .w = VALUE(p->head), .dy = r->wide,
        .dx = r->dt, .dw = GRAD(p->head), .rows = r->rows, .in = r->s.width, .out = r->s.vocabulary,
        .accumulate = r->accumulate}));
    TRY(norm_bwd(r, at(r, a->out), p->norm_gain, p->norm_bias, at(r, a->stats), 0));
done:
    return err;
}

/* out = mid + drop(down(gelu(pre))),  pre = up(norm2(mid)) */
static int mlp_bwd(const struct run *r, int l)
{
    const struct ssa_layer_activations *a = &r->m->activations.layers[l];
    const struct ssa_layer_parameters *p = &r->m->parameters.layers[l];
    struct ssa_tensor mid = at(r, a->mid), pre = at(r, a->pre), d;
    int err;
    TRY(branch_begin_bwd(r, l, DROP_MLP, &d));
    TRY(ssa_gelu_fwd(r->device, &(struct ssa_gelu_fwd){.x = pre, .y = r->wide, .rows = r->rows, .width = r->s.hidden,
        .activation = r->activation}));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->wide, .w = VALUE(p->down), .dy = d,
        .dw = GRAD(p->down), .dbias = GRAD(p->down_bias), .rows = r->rows, .in = r->s.hidden, .out = r->s.width,
        .accumulate = r->accumulate}));
    /* gelu(pre) has served: its place takes the gradient of pre */
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.w = VALUE(p->down), .dy = d, .x_pre = pre, .dx = r->wide,
        .rows = r->rows, .in = r->s.hidden, .out = r->s.width, .activation = r->activation}));
    TRY(norm_fwd(r, mid, p->norm2_gain, p->norm2_bias, (struct ssa_tensor){0}));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = r->norm, .w = VALUE(p->up), .dy = r->wide, .dx = r->dt,
        .dw = GRAD(p->up), .dbias = GRAD(p->up_bias), .rows = r->rows, .in = r->s.width, .out = r->s.hidden,
        .accumulate = r->accumulate}));
    TRY(norm_bwd(r, mid, p->norm2_gain, p->norm2_bias, at(r, a->stats2), 1));
done:
    return err;
}

/* att = attention(q, k, v): gradients of q, k, v into `wide`, laid out as qkv */
static int attention_bwd(const struct run *r, int l, struct ssa_tensor datt)
{
    const struct heads d = heads_at(r, r->wide, sampled_keys(r, l));
    return ssa_attention_bwd(r->device, &(struct ssa_attention_bwd){.attention = attention(r, l), .dout = datt,
        .dq = d.q, .dk = d.k, .dv = d.v});
}

/* mid = x + drop(proj(att)),  att = attention(rope(qkv)),  qkv = norm1(x) w^T + bias */
static int attention_branch_bwd(const struct run *r, int l)
{
    const struct ssa_layer_activations *a = &r->m->activations.layers[l];
    const struct ssa_layer_parameters *p = &r->m->parameters.layers[l];
    struct ssa_tensor x = at(r, a->x), datt = r->norm, d;
    int err;
    TRY(branch_begin_bwd(r, l, DROP_ATTENTION, &d));
    TRY(ssa_linear_bwd(r->device, &(struct ssa_linear_bwd){.x = at(r, a->att), .w = VALUE(p->proj), .dy = d,
        .dx = datt, .dw = GRAD(p->proj), .dbias = GRAD(p->proj_bias), .rows = r->rows, .in = r->s.width,
        .out = r->s.width, .accumulate = r->accumulate}));
    TRY(attention_bwd(r, l, datt));
    TRY(norm_fwd(r, x, p->norm1_gain, p->norm1_bias, (struct ssa_tensor){0}));
    TRY(project_bwd(r, l));
    TRY(norm_bwd(r, x, p->norm1_gain, p->norm1_bias, at(r, a->stats1), 1));
done:
    return err;
}

/* x_0 = drop(embed[tokens] + position). A tied head has already put its share into the table's gradient. */
static int embed_bwd(const struct run *r)
{
    const struct ssa_parameters *p = &r->m->parameters;
    struct ssa_embedding_bwd e = {.ids = r->m->tokens, .dout = r->dx, .dtable = GRAD(p->embed), .rows = r->rows,
        .length = r->length, .width = r->s.width, .vocabulary = r->s.vocabulary,
        .accumulate = r->accumulate || p->head == p->embed};
    int err;
    if (r->p > 0)
        TRY(dropout_bwd(r, r->dx, r->dx, 0, DROP_EMBED));
    TRY(ssa_embedding_bwd(r->device, &e));
    if (p->position >= 0) {
        e.dtable = (struct ssa_tensor){0};
        e.dpositions = GRAD(p->position);
        e.accumulate = r->accumulate;
        TRY(ssa_embedding_bwd(r->device, &e));
        size_t used = (size_t)r->length * (size_t)r->s.width, all = r->m->parameters.table[p->position].count;
        if (!r->accumulate && all > used)
            TRY(ssa_tensor_fill(ssa_tensor_add(e.dpositions, used), 0, all - used));
    }
done:
    return err;
}

int ssa_model_backward_in_buckets(struct ssa_model *m, int accumulate, ssa_bucket_complete complete, void *cookie)
{
    int err, bucket = 0;
    m = ssa_model_serving(m);
    REQUIRE(m->state == SSA_MODEL_BACKWARD_READY,
            "model: backward needs a forward pass with `training` and targets just before it");
    m->state = SSA_MODEL_EMPTY;
    struct run run = begin(m), *r = &run;
    r->accumulate = accumulate != 0;
    TRY(head_bwd(r));
    for (int l = r->s.layers; l-- > 0;) {
        TRY(mlp_bwd(r, l));
        TRY(attention_branch_bwd(r, l));
        if (complete)
            TRY(complete(cookie, bucket++));
    }
    TRY(embed_bwd(r));
    if (complete)
        TRY(complete(cookie, bucket));
done:
    return err;
}

int ssa_model_backward(struct ssa_model *m, int accumulate)
{
    return ssa_model_backward_in_buckets(m, accumulate, NULL, NULL);
}

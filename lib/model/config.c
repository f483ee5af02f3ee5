/* Checking a config, and planning parameters and activations from it: no device is touched here. */
#include "internal.h"
#include "../impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ssa_shape ssa_model_shape(const struct ssa_model_config *c)
{
    struct ssa_shape s = {.layers = c->layers, .heads = c->heads, .width = c->width, .vocabulary = c->vocabulary};
    s.kv_heads = c->kv_heads ? c->kv_heads : c->heads;
    s.head_width = c->width / c->heads;
    s.hidden = c->hidden ? c->hidden : 4 * c->width;
    s.qkv = (s.heads + 2 * s.kv_heads) * s.head_width;
    return s;
}

/* Bounds that keep every product of two dimensions within an int. */
static int check_range(const char *name, int value, int low, int high)
{
    return value >= low && value <= high ? SSA_OK
                                         : ssa_fail(SSA_EINVAL, "model: %s is %d, must be in [%d, %d]", name, value,
                                                    low, high);
}

static int check_sizes(const struct ssa_model_config *c)
{
    int err;
    TRY(check_range("layers", c->layers, 1, 1024));
    TRY(check_range("heads", c->heads, 1, 1024));
    TRY(check_range("width", c->width, 8, 32768));
    TRY(check_range("kv_heads", c->kv_heads, 0, c->heads));
    TRY(check_range("hidden", c->hidden, 0, 1 << 18));
    TRY(check_range("vocabulary", c->vocabulary, 2, 1 << 20));
    TRY(check_range("length", c->length, 1, 1 << 20));
done:
    return err;
}

int ssa_model_check(const struct ssa_model_config *c)
{
    int err;
    TRY(ssa_check_reserved("model", c->reserved, 8));
    TRY(check_sizes(c));
    REQUIRE(c->width % c->heads == 0, "model: width %d does not divide by heads %d", c->width, c->heads);
    int d = c->width / c->heads;
    REQUIRE(d % 8 == 0 && d <= 256, "model: heads of width %d (%d/%d); must be a multiple of 8, at most 256", d,
            c->width, c->heads);
    REQUIRE(!c->kv_heads || c->heads % c->kv_heads == 0, "model: heads %d does not divide by kv_heads %d", c->heads,
            c->kv_heads);
    REQUIRE(c->positions == SSA_POSITIONS_ROTARY || c->positions == SSA_POSITIONS_LEARNED,
            "model: positions is %d, not one of enum ssa_positions", c->positions);
    REQUIRE(c->norm == SSA_NORM_LAYER || c->norm == SSA_NORM_RMS, "model: norm is %d, not one of enum ssa_norm_kind",
            c->norm);
    REQUIRE(c->activation >= SSA_ACT_NONE && c->activation <= SSA_ACT_GELU_TANH,
            "model: activation is %d, not one of enum ssa_activation", c->activation);
    REQUIRE(c->dropout >= 0 && c->dropout < 1, "model: dropout is %g, must be in [0, 1)", (double)c->dropout);
    REQUIRE(c->norm_eps >= 0 && c->rope_base >= 0 && isfinite(c->norm_eps) && isfinite(c->rope_base),
            "model: norm_eps is %g and rope_base %g, must be numbers and not negative", (double)c->norm_eps,
            (double)c->rope_base);
done:
    return err;
}

/* ---- parameters ---- */

static int add(struct ssa_parameters *p, int *index, int rows, int columns, const char *format, int layer)
{
    if (p->count == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 64;
        struct ssa_parameter *table = realloc(p->table, (size_t)capacity * sizeof *table);
        if (!table)
            return ssa_fail(SSA_ENOMEM, "model: out of host memory");
        p->table = table;
        p->capacity = capacity;
    }
    struct ssa_parameter *q = &p->table[p->count];
    *q = (struct ssa_parameter){.rows = rows, .columns = columns, .decayed = columns > 0};
    q->count = ssa_times((size_t)rows, (size_t)(columns ? columns : 1));
    snprintf(q->name, sizeof q->name, format, layer);
    *index = p->count++;
    return SSA_OK;
}

static int add_matrices(struct ssa_parameters *p, const struct ssa_model_config *c)
{
    struct ssa_shape s = ssa_model_shape(c);
    int err;
    TRY(add(p, &p->embed, s.vocabulary, s.width, "embed.weight", 0));
    if (c->positions == SSA_POSITIONS_LEARNED)
        TRY(add(p, &p->position, c->length, s.width, "position.weight", 0));
    for (int l = 0; l < s.layers; l++) {
        struct ssa_layer_parameters *q = &p->layers[l];
        TRY(add(p, &q->qkv, s.qkv, s.width, "layer.%d.qkv.weight", l));
        TRY(add(p, &q->proj, s.width, s.width, "layer.%d.proj.weight", l));
        TRY(add(p, &q->up, s.hidden, s.width, "layer.%d.up.weight", l));
        TRY(add(p, &q->down, s.width, s.hidden, "layer.%d.down.weight", l));
    }
    p->head = p->embed;
    if (c->untied)
        TRY(add(p, &p->head, s.vocabulary, s.width, "head.weight", 0));
done:
    return err;
}

static int add_norm(struct ssa_parameters *p, const struct ssa_model_config *c, int *gain, int *bias, const char *names[2],
                    int layer)
{
    int err;
    TRY(add(p, gain, c->width, 0, names[0], layer));
    if (c->norm == SSA_NORM_LAYER && !c->no_bias)
        TRY(add(p, bias, c->width, 0, names[1], layer));
done:
    return err;
}

static int add_vectors(struct ssa_parameters *p, const struct ssa_model_config *c)
{
    struct ssa_shape s = ssa_model_shape(c);
    int err;
    for (int l = 0; l < s.layers; l++) {
        struct ssa_layer_parameters *q = &p->layers[l];
        TRY(add_norm(p, c, &q->norm1_gain, &q->norm1_bias,
                     (const char *[]){"layer.%d.norm1.gain", "layer.%d.norm1.bias"}, l));
        TRY(add_norm(p, c, &q->norm2_gain, &q->norm2_bias,
                     (const char *[]){"layer.%d.norm2.gain", "layer.%d.norm2.bias"}, l));
        if (c->no_bias)
            continue;
        TRY(add(p, &q->qkv_bias, s.qkv, 0, "layer.%d.qkv.bias", l));
        TRY(add(p, &q->proj_bias, s.width, 0, "layer.%d.proj.bias", l));
        TRY(add(p, &q->up_bias, s.hidden, 0, "layer.%d.up.bias", l));
        TRY(add(p, &q->down_bias, s.width, 0, "layer.%d.down.bias", l));
    }
    TRY(add_norm(p, c, &p->norm_gain, &p->norm_bias, (const char *[]){"norm.gain", "norm.bias"}, 0));
done:
    return err;
}

/* Places each parameter, and opens a part where the buffer or the decay changes. */
static int place_parameters(struct ssa_parameters *p)
{
    int err = SSA_OK;
    p->places = calloc((size_t)p->count, sizeof *p->places);
    p->parts = calloc((size_t)p->count, sizeof *p->parts);
    p->part_places = calloc((size_t)p->count, sizeof *p->part_places);
    if (!p->places || !p->parts || !p->part_places)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int i = 0; i < p->count; i++) {
        struct ssa_parameter *q = &p->table[i];
        TRY(ssa_arena_place(&p->arena, q->count, q->name, &p->places[i]));
        struct ssa_place at = p->places[i];
        if (!i || q->decayed != p->table[i - 1].decayed || at.buffer != p->places[i - 1].buffer) {
            p->part_places[p->part_count] = at;
            p->parts[p->part_count++].decayed = q->decayed;
        }
        q->part = p->part_count - 1;
        q->offset = at.offset - p->part_places[q->part].offset;
        p->parts[q->part].count = q->offset + ssa_arena_padded(q->count); /* parts end to end: the same however cut */
    }
done:
    return err;
}

int ssa_parameters_plan(struct ssa_parameters *p, const struct ssa_model_config *c, size_t limit)
{
    int err;
    *p = (struct ssa_parameters){.embed = -1, .position = -1, .head = -1, .norm_gain = -1, .norm_bias = -1};
    p->arena.limit = limit;
    p->layers = malloc((size_t)c->layers * sizeof *p->layers);
    if (!p->layers)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    memset(p->layers, 0xff, (size_t)c->layers * sizeof *p->layers); /* every index -1 */
    TRY(add_matrices(p, c));
    TRY(add_vectors(p, c));
    TRY(place_parameters(p));
done:
    return err;
}

void ssa_parameters_finish(struct ssa_parameters *p)
{
    ssa_arena_finish(&p->arena);
    free(p->table);
    free(p->places);
    free(p->layers);
    free(p->parts);
    free(p->part_places);
    *p = (struct ssa_parameters){0};
}

size_t ssa_model_elements(const struct ssa_model_config *c)
{
    struct ssa_parameters p = {0};
    size_t count = 0;
    if (ssa_model_check(c) == SSA_OK && ssa_parameters_plan(&p, c, 0) == SSA_OK)
        for (int i = 0; i < p.count; i++)
            count = ssa_plus(count, p.table[i].count);
    ssa_parameters_finish(&p);
    return count;
}

/* ---- activations ---- */

struct request {
    struct ssa_place *place;
    size_t count;
    const char *what;
};

static int place_all(struct ssa_arena *arena, const struct request *requests)
{
    int err = SSA_OK;
    for (const struct request *r = requests; r->place; r++)
        TRY(ssa_arena_place(arena, r->count, r->what, r->place));
done:
    return err;
}

static int place_layer(struct ssa_arena *arena, struct ssa_layer_activations *a, struct ssa_shape s, size_t rows,
                       int training)
{
    size_t width = ssa_times(rows, (size_t)s.width);
    int err = place_all(arena, (const struct request[]){
        {&a->x, width, "a layer's input"},
        {&a->stats1, rows * 2, "norm statistics"},
        {&a->qkv, ssa_times(rows, (size_t)s.qkv), "queries, keys and values"},
        {&a->lse, ssa_times(rows, (size_t)s.heads), "log-sum-exps"},
        {&a->att, width, "attention's output"},
        {&a->stats2, rows * 2, "norm statistics"},
        {NULL, 0, NULL}});
    a->mid = a->x; /* without backward the stream is updated in place */
    if (!err && training)
        err = place_all(arena, (const struct request[]){
            {&a->mid, width, "the second residual"},
            {&a->pre, ssa_times(rows, (size_t)s.hidden), "the MLP's pre-activation"},
            {NULL, 0, NULL}});
    return err;
}

int ssa_activations_plan(struct ssa_activations *a, const struct ssa_model_config *c,
                         const struct ssa_model_limits *limits, size_t limit)
{
    struct ssa_shape s = ssa_model_shape(c);
    size_t rows = (size_t)limits->batch * (size_t)c->length, width = ssa_times(rows, (size_t)s.width);
    int wide = s.hidden > s.qkv ? s.hidden : s.qkv;
    wide = wide > s.vocabulary ? wide : s.vocabulary;
    int err;
    *a = (struct ssa_activations){.arena.limit = limit};
    a->layers = calloc((size_t)s.layers, sizeof *a->layers);
    if (!a->layers)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int l = 0; l < s.layers; l++) {
        if (limits->training || l == 0)
            TRY(place_layer(&a->arena, &a->layers[l], s, rows, limits->training));
        else
            a->layers[l] = a->layers[0];
    }
    a->out = a->layers[0].x;
    TRY(place_all(&a->arena, (const struct request[]){
        {&a->stats, rows * 2, "norm statistics"},
        {&a->loss, rows, "losses"},
        {&a->norm, width, "a norm's output"},
        {&a->wide, ssa_times(rows, (size_t)wide), s.vocabulary == wide ? "logits" : "the MLP's activations"},
        {NULL, 0, NULL}}));
    if (limits->training)
        TRY(place_all(&a->arena, (const struct request[]){
            {&a->out, width, "the last residual"},
            {&a->dx, width, "the residual's gradient"},
            {&a->dt, width, "a branch's gradient"},
            {NULL, 0, NULL}}));
done:
    return err;
}

void ssa_activations_finish(struct ssa_activations *a)
{
    ssa_arena_finish(&a->arena);
    free(a->layers);
    a->layers = NULL;
}

int ssa_cache_plan(struct ssa_cache *cache, const struct ssa_model_config *c, size_t limit)
{
    struct ssa_shape s = ssa_model_shape(c);
    size_t count = (size_t)c->length * 2 * (size_t)s.kv_heads * (size_t)s.head_width;
    int err = SSA_OK;
    *cache = (struct ssa_cache){.arena.limit = limit};
    cache->layers = calloc((size_t)s.layers, sizeof *cache->layers);
    if (!cache->layers)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int l = 0; l < s.layers; l++)
        TRY(ssa_arena_place(&cache->arena, count, "a layer's cache of keys and values", &cache->layers[l]));
done:
    return err;
}

void ssa_cache_finish(struct ssa_cache *cache)
{
    ssa_arena_finish(&cache->arena);
    free(cache->layers);
    *cache = (struct ssa_cache){0};
}

size_t ssa_inputs_count(const struct ssa_model_config *c, const struct ssa_model_limits *limits)
{
    size_t room = ssa_plan_room(c), rows = (size_t)limits->batch * (size_t)c->length;
    size_t plans = ssa_times(ssa_times((size_t)c->layers, (size_t)limits->batch), room);
    return ssa_plus(ssa_plus(room, 2 * rows), plans);
}

static int check_limits(const struct ssa_model_config *c, const struct ssa_model_limits *limits)
{
    int err;
    TRY(ssa_check_reserved("model: limits", limits->reserved, 4));
    TRY(check_range("batch", limits->batch, 1, 1 << 20));
    REQUIRE(ssa_times((size_t)limits->batch, (size_t)c->length) < (size_t)1 << 31,
            "model: batch %d of length %d is too many tokens for one pass", limits->batch, c->length);
done:
    return err;
}

int ssa_model_memory(const struct ssa_model_config *c, const struct ssa_model_limits *limits, struct ssa_memory *memory)
{
    struct ssa_parameters p = {0};
    struct ssa_activations a = {0};
    struct ssa_cache cache = {0};
    int err;
    *memory = (struct ssa_memory){0};
    TRY(ssa_model_check(c));
    TRY(check_limits(c, limits));
    TRY(ssa_parameters_plan(&p, c, limits->max_buffer));
    TRY(ssa_activations_plan(&a, c, limits, limits->max_buffer));
    TRY(ssa_cache_plan(&cache, c, limits->max_buffer));
    memory->parameters = ssa_arena_bytes(&p.arena);
    memory->gradients = limits->training ? memory->parameters : 0;
    memory->activations = ssa_arena_bytes(&a.arena);
    memory->inputs = ssa_times(ssa_inputs_count(c, limits), 4);
    memory->cache = ssa_arena_bytes(&cache.arena);
    memory->total = ssa_plus(ssa_plus(memory->parameters, memory->gradients),
                             ssa_plus(memory->activations, memory->inputs));
done:
    ssa_parameters_finish(&p);
    ssa_activations_finish(&a);
    ssa_cache_finish(&cache);
    return err;
}

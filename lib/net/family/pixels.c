/* Images, an element after the other: embedding of a grid, layers of attention and MLP, a head that starts at 0. */
#include "family.h"
#include "net/block/blocks.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>

#define FIELD(kind_, field, least_, most_, flags_, ...) \
    {.name = #field, .kind = (kind_), .at = offsetof(struct ssa_model_config, pixels.field), .least = (least_), \
     .most = (most_), .flags = (flags_), .about = __VA_ARGS__}
#define INT(...) FIELD(SSA_FIELD_INT, __VA_ARGS__)
#define FLOAT(...) FIELD(SSA_FIELD_FLOAT, __VA_ARGS__)

enum { MOST_ELEMENTS = 1 << 20 };

static const struct ssa_field fields[] = {
    INT(rows, 1, MOST_ELEMENTS, 0, "rows of an image"),
    INT(columns, 1, MOST_ELEMENTS, 0, "columns of it"),
    INT(channels, 1, MOST_ELEMENTS, 0, "channels of it, which lie side by side: 3 or 1"),
    INT(values, 0, 1 << 20, 0, "that an element may have; 0: 256"),
    INT(classes, 0, 1 << 20, 0, "of images, which passes name; 0: none"),
    INT(layers, 1, 1024, 0, "layers"),
    INT(heads, 1, 1024, 0, "heads of attention; width / heads is a multiple of 4, at most 256"),
    INT(key_width, 0, 256, 0, "of a head's queries and keys, a multiple of 4; 0: width / heads"),
    INT(width, 4, 32768, 0, "width of the residual stream"),
    INT(hidden, 0, 1 << 18, 0, "width of the MLP; 0: 4 x width"),
    INT(activation, SSA_ACT_NONE, SSA_ACT_QUICK_GELU, 0, "of the MLP; default: quick-gelu, x sigmoid(1.702 x)",
        .choices = "default|gelu|gelu-tanh|silu|quick-gelu"),
    FLOAT(dropout, 0, 1, SSA_FIELD_FREE, "of both branches of a layer, below 1"),
    FLOAT(drop_keys, 0, 1, SSA_FIELD_FREE | SSA_FIELD_LATER, SSA_DROP_KEYS_ABOUT),
    {0}};

static int check(const struct ssa_model_config *config)
{
    const struct ssa_pixels *c = &config->pixels;
    int err = SSA_OK;
    REQUIRE(ssa_times(ssa_times((size_t)c->rows, (size_t)c->columns), (size_t)c->channels) <= MOST_ELEMENTS,
            "model: an image of %d x %d x %d elements, must have at most %d", c->rows, c->columns, c->channels,
            MOST_ELEMENTS);
    TRY(ssa_family_check_heads(c->width, c->heads, 4));
    REQUIRE(c->key_width % 4 == 0, "model: key_width is %d, must be a multiple of 4", c->key_width);
    REQUIRE(c->dropout < 1, "model: dropout is %g, must be in [0, 1)", (double)c->dropout);
    TRY(ssa_family_check_drops(0, c->drop_keys));
done:
    return err;
}

static void settle(struct ssa_model_config *config)
{
    struct ssa_pixels *c = &config->pixels;
    c->values = c->values ? c->values : 256;
    c->key_width = c->key_width ? c->key_width : c->width / c->heads;
    c->hidden = c->hidden ? c->hidden : 4 * c->width;
    c->activation = c->activation ? c->activation : SSA_ACT_QUICK_GELU;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    const struct ssa_pixels *c = &config->pixels;
    return (struct ssa_facts){.layers = c->layers, .length = c->rows * c->columns * c->channels, .width = c->width,
                              .vocabulary = c->values ? c->values : 256, .causal = true, .absolute = true,
                              .starts = true, .classes = c->classes, .rows = c->rows, .columns = c->columns,
                              .channels = c->channels,
                              .answers = c->rows * c->columns * c->channels, .join = SSA_JOIN_PROBABILITIES};
}

static bool narrow(struct ssa_model_config *config)
{
    struct ssa_pixels *c = &config->pixels;
    return ssa_family_narrow(&c->width, &c->hidden, c->heads, 4);
}

/* Deviations at the start: sqrt(1/8 / C) of what enters a branch, sqrt(1/16 / (L inputs)) of what ends it. */
/* Streams of random numbers: up to four a layer. */
enum { OF_ATTENTION = 1, OF_MLP, OF_KEYS };

static void add_layer(struct ssa_net *net, const struct ssa_pixels *c, int l)
{
    const double in = sqrt(0.125 / c->width), end = 0.0625 / c->layers;
    struct ssa_attention_block attention = {
        .block.ends_bucket = true,
        .branch = {.stream = l << 2 | OF_ATTENTION, .norm = {"norm1", SSA_NORM_LAYER, 1e-5f, true},
                   .dropout = c->dropout, .in_deviation = in, .out_deviation = sqrt(end / c->width)},
        .heads = c->heads, .kv_heads = c->heads, .key_width = c->key_width, .causal = true, .bias = true,
        .drop_keys = c->drop_keys, .dropout_stream = l << 2 | OF_KEYS};
    struct ssa_mlp_block mlp = {
        .branch = {.stream = l << 2 | OF_MLP, .norm = {"norm2", SSA_NORM_LAYER, 1e-5f, true}, .dropout = c->dropout,
                   .in_deviation = in, .out_deviation = sqrt(end / c->hidden)},
        .hidden = c->hidden, .activation = c->activation, .bias = true};
    snprintf(attention.block.prefix, sizeof attention.block.prefix, "layer.%d.", l);
    snprintf(mlp.block.prefix, sizeof mlp.block.prefix, "layer.%d.", l);
    ssa_net_add(net, &ssa_attention_kind, &attention);
    ssa_net_add(net, &ssa_mlp_kind, &mlp);
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct ssa_pixels *c = &config->pixels;
    ssa_net_add(net, &ssa_embed_pixels_kind, &(struct ssa_embed_pixels_block){.block.ends_bucket = true,
        .rows = c->rows, .columns = c->columns, .channels = c->channels, .values = c->values, .classes = c->classes,
        .width = c->width, .deviation = 0.01});
    for (int l = 0; l < c->layers; l++)
        add_layer(net, c, l);
    ssa_net_add(net, &ssa_head_tokens_kind, &(struct ssa_head_tokens_block){.vocabulary = c->values, .zero = true,
        .norm = {"norm", SSA_NORM_LAYER, 1e-6f, true}});
}

const struct ssa_family ssa_pixels_family = {"pixels", fields, check, settle, facts, narrow, build, NULL};

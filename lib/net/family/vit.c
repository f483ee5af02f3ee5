/* The ViT: patches of an image embedded, layers of attention and MLP, a head of classes. */
#include "family.h"
#include "net/block/blocks.h"
#include "impl.h"

#include <float.h>
#include <stdio.h>

#define INT(field, least, most, flags, about) \
    {#field, SSA_FIELD_INT, offsetof(struct ssa_model_config, vit.field), least, most, flags, about}
#define FLOAT(field, least, most, flags, about) \
    {#field, SSA_FIELD_FLOAT, offsetof(struct ssa_model_config, vit.field), least, most, flags, about}

enum { LONGEST = 1 << 20 }; /* positions */

/* Bounds that keep every product of two dimensions within an int. */
static const struct ssa_field fields[] = {
    INT(rows, 1, 1 << 15, 0, "rows of an image"),
    INT(columns, 0, 1 << 15, 0, "columns of an image; 0: as many as rows"),
    INT(channels, 1, 1024, 0, "channels of a pixel: 1 grey, 3 colours"),
    INT(patch, 1, 1024, 0, "rows and columns of a patch, which divide those of the image"),
    INT(layers, 1, 1024, 0, "layers"),
    INT(heads, 1, 1024, 0, "heads of attention; width / heads is a multiple of 8, at most 256"),
    INT(width, 8, 32768, 0, "width of the residual stream"),
    INT(hidden, 0, 1 << 18, 0, "width of the MLP; 0: 4 x width"),
    INT(classes, 2, 1 << 20, 0, "classes that there are"),
    INT(mean_pool, 0, 1, 0, "1: the mean over all positions is classified, and there is no class token"),
    FLOAT(norm_eps, 0, FLT_MAX, 0, "added to a norm's variance; 0: 1e-6"),
    FLOAT(dropout, 0, 1, SSA_FIELD_FREE, "of the embedding and of both branches of a layer, below 1"),
    FLOAT(attention_dropout, 0, 1, SSA_FIELD_FREE, "of attention's probabilities, below 1"),
    FLOAT(drop_path, 0, 1, SSA_FIELD_FREE, "of whole branches, by image, in the last layer, 0 in the first; below 1"),
    FLOAT(drop_keys, 0, 1, SSA_FIELD_FREE | SSA_FIELD_LATER, SSA_DROP_KEYS_ABOUT),
    {0}};

static void settle(struct ssa_model_config *config)
{
    struct ssa_vit *c = &config->vit;
    c->columns = c->columns ? c->columns : c->rows;
    c->hidden = c->hidden ? c->hidden : 4 * c->width;
    c->norm_eps = c->norm_eps > 0 ? c->norm_eps : 1e-6f;
}

/* Patches of an image. */
static int patches(const struct ssa_vit *c)
{
    return (c->rows / c->patch) * ((c->columns ? c->columns : c->rows) / c->patch);
}

static int check(const struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    const struct ssa_vit *c = &settled.vit;
    int err = SSA_OK;
    settle(&settled);
    REQUIRE(c->rows % c->patch == 0 && c->columns % c->patch == 0, "model: patch %d does not divide images of %d x %d",
            c->patch, c->rows, c->columns);
    REQUIRE(patches(c) < LONGEST, "model: %d patches of an image, must be fewer than %d", patches(c), LONGEST);
    TRY(ssa_family_check_heads(c->width, c->heads, 8));
    REQUIRE(c->dropout < 1, "model: dropout is %g, must be in [0, 1)", (double)c->dropout);
    TRY(ssa_family_check_drops(c->attention_dropout, c->drop_keys));
    REQUIRE(c->drop_path < 1, "model: drop_path is %g, must be in [0, 1)", (double)c->drop_path);
done:
    return err;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    const struct ssa_vit *c = &config->vit;
    return (struct ssa_facts){.layers = c->layers, .length = patches(c) + !c->mean_pool, .width = c->width,
                              .vocabulary = c->classes, .absolute = true, .whole = true, .answers = 1,
                              .rows = c->rows / c->patch, .columns = (c->columns ? c->columns : c->rows) / c->patch,
                              .channels = 1, .join = SSA_JOIN_PROBABILITIES};
}

static bool narrow(struct ssa_model_config *config)
{
    struct ssa_vit *c = &config->vit;
    return ssa_family_narrow(&c->width, &c->hidden, c->heads, 8);
}

/* Streams of random numbers: 0 of the embedding, and up to eight a layer. */
enum { OF_ATTENTION = 1, OF_MLP, OF_PROBABILITIES, OF_ATTENTION_PATH, OF_MLP_PATH };

static void add_layer(struct ssa_net *net, const struct ssa_vit *c, int l)
{
    const float path = c->layers > 1 ? c->drop_path * (float)l / (float)(c->layers - 1) : 0;
    struct ssa_attention_block attention = {
        .block.ends_bucket = true,
        .branch = {.stream = l << 3 | OF_ATTENTION, .norm = {"norm1", SSA_NORM_LAYER, c->norm_eps, true},
                   .dropout = c->dropout, .path = path, .path_stream = l << 3 | OF_ATTENTION_PATH,
                   .out_deviation = 0.02},
        .heads = c->heads, .kv_heads = c->heads, .bias = true, .dropout = c->attention_dropout,
        .drop_keys = c->drop_keys, .dropout_stream = l << 3 | OF_PROBABILITIES};
    struct ssa_mlp_block mlp = {
        .branch = {.stream = l << 3 | OF_MLP, .norm = {"norm2", SSA_NORM_LAYER, c->norm_eps, true},
                   .dropout = c->dropout, .path = path, .path_stream = l << 3 | OF_MLP_PATH, .out_deviation = 0.02},
        .hidden = c->hidden, .activation = SSA_ACT_GELU, .bias = true};
    snprintf(attention.block.prefix, sizeof attention.block.prefix, "layer.%d.", l);
    snprintf(mlp.block.prefix, sizeof mlp.block.prefix, "layer.%d.", l);
    ssa_net_add(net, &ssa_attention_kind, &attention);
    ssa_net_add(net, &ssa_mlp_kind, &mlp);
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct ssa_vit *c = &config->vit;
    ssa_net_add(net, &ssa_embed_patches_kind, &(struct ssa_embed_patches_block){.block.ends_bucket = true,
        .rows = c->rows, .columns = c->columns, .channels = c->channels, .patch = c->patch, .width = c->width,
        .class_token = !c->mean_pool, .dropout = c->dropout});
    for (int l = 0; l < c->layers; l++)
        add_layer(net, c, l);
    ssa_net_add(net, &ssa_head_classes_kind, &(struct ssa_head_classes_block){.classes = c->classes,
        .mean = c->mean_pool, .norm = {"norm", SSA_NORM_LAYER, c->norm_eps, true}});
}

const struct ssa_family ssa_vit_family = {"vit", fields, check, settle, facts, narrow, build, NULL};

/* The arrays are the same, row by row: a convolution's weight [C, channels, patch, patch] is a matrix of as many
 * columns, cls_token [1, 1, C] and pos_embed [1, N, C] lose what is 1, and qkv has all heads of queries, then of keys,
 * then of values in both; Swin's tables of biases and the order in which cells are joined are the same, too. */
#include "timm_names.h"

#include "say.h"

#include <stdio.h>
#include <string.h>

struct name {
    const char *theirs, *ours;
};
static const struct name of_model[] = {
    {"cls_token", "class.weight"}, {"pos_embed", "position.weight"}, {"patch_embed.proj.weight", "patch.weight"},
    {"patch_embed.proj.bias", "patch.bias"}, {"patch_embed.norm.weight", "patch.norm.gain"},
    {"patch_embed.norm.bias", "patch.norm.bias"}, {"norm.weight", "norm.gain"}, {"norm.bias", "norm.bias"},
    {NULL, NULL}};
static const struct name of_layer[] = {
    {"norm1.weight", "norm1.gain"}, {"norm1.bias", "norm1.bias"}, {"attn.qkv.weight", "qkv.weight"},
    {"attn.qkv.bias", "qkv.bias"}, {"attn.relative_position_bias_table", "relative.weight"},
    {"attn.proj.weight", "proj.weight"}, {"attn.proj.bias", "proj.bias"}, {"norm2.weight", "norm2.gain"},
    {"norm2.bias", "norm2.bias"}, {"mlp.fc1.weight", "up.weight"}, {"mlp.fc1.bias", "up.bias"},
    {"mlp.fc2.weight", "down.weight"}, {"mlp.fc2.bias", "down.bias"}, {NULL, NULL}};
static const struct name of_merging[] = {
    {"norm.weight", "norm.gain"}, {"norm.bias", "norm.bias"}, {"reduction.weight", "weight"}, {NULL, NULL}};

/* ---- names ---- */

struct timm_names timm_names(const struct ssa_model_config *config)
{
    struct timm_names n = {.family = config->family, .head = config->family == SSA_SWIN ? "head.fc" : "head"};
    if (config->family == SSA_SWIN)
        memcpy(n.layers, config->swin.layers, sizeof n.layers);
    return n;
}

void timm_place(const int layers[4], int layer, int *stage, int *at)
{
    *stage = 0;
    while (*stage < 3 && layer >= layers[*stage])
        layer -= layers[(*stage)++];
    *at = layer;
}

static const char *look_up(const struct name *names, const char *ours)
{
    while (names->ours && strcmp(names->ours, ours))
        names++;
    return names->theirs ? names->theirs : "?";
}

static void name_in_layer(const struct timm_names *n, int layer, const char *ours, char name[TIMM_NAME])
{
    const char *theirs = look_up(of_layer, ours);
    int stage, at;
    timm_place(n->layers, layer, &stage, &at);
    if (n->family == SSA_SWIN)
        snprintf(name, TIMM_NAME, "layers.%d.blocks.%d.%s", stage, at, theirs);
    else
        snprintf(name, TIMM_NAME, "blocks.%d.%s", layer, theirs);
}

void timm_name(const struct timm_names *n, const char *ours, char name[TIMM_NAME])
{
    int i, used = 0;
    if (sscanf(ours, "layer.%d.%n", &i, &used) == 1 && used)
        name_in_layer(n, i, ours + used, name);
    else if (sscanf(ours, "merge.%d.%n", &i, &used) == 1 && used)
        snprintf(name, TIMM_NAME, "layers.%d.downsample.%s", i + !n->merging_ends, look_up(of_merging, ours + used));
    else if (!strncmp(ours, "head.", 5))
        snprintf(name, TIMM_NAME, "%s.%s", n->head, ours + 5);
    else
        snprintf(name, TIMM_NAME, "%s", look_up(of_model, ours));
}

/* ---- shapes ---- */

json_t *timm_shape(const struct ssa_model_config *config, const struct ssa_parameter *p)
{
    const bool swin = config->family == SSA_SWIN;
    const int patch = swin ? config->swin.patch : config->vit.patch;
    const int channels = swin ? config->swin.channels : config->vit.channels;
    if (!strcmp(p->name, "patch.weight"))
        return json_pack("[iiii]", p->rows, channels, patch, patch);
    if (!strcmp(p->name, "class.weight"))
        return json_pack("[iii]", 1, 1, p->rows);
    if (!strcmp(p->name, "position.weight"))
        return json_pack("[iii]", 1, p->rows, p->columns);
    return p->columns ? json_pack("[ii]", p->rows, p->columns) : json_pack("[i]", p->rows);
}

/* ---- what is another model ---- */

const char *timm_variant(int family, const char *name)
{
    static const struct {
        const char *part, *what;
        bool of_swin; /* has it */
    } variants[] = {
        {"fc_norm.", "a norm after the mean", false}, {"dist_token", "a second class token, as DeiT distilled", false},
        {"head_dist.", "a second head, as DeiT distilled", false}, {"gamma", "scales of its branches", false},
        {"logit_scale", "attention by cosines, as SwinV2", false}, {"cpb_mlp.", "biases from an MLP, as SwinV2", false},
        {"q_norm.", "norms of queries and keys", false}, {"q_bias", "biases of queries and values alone", false},
        {"reg_token", "registers", false}, {"norm_pre.", "a norm before its layers", false},
        {"absolute_pos_embed", "learned positions besides its windows", false},
        {"relative_position_bias_table", "biases by distance in a ViT", true},
        {"attn_pool.", "a pool of attention", false}, {"pre_logits.", "a layer before its head", false},
        {"mask_token", "a token for what is masked", false}};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strstr(name, variants[i].part) && !(variants[i].of_swin && family == SSA_SWIN))
            return variants[i].what;
    return NULL;
}

int timm_check_windows(const struct ssa_model_config *config, const char *name)
{
    struct ssa_model_config settled = *config;
    const struct ssa_swin *c = &settled.swin;
    ssa_model_settle(&settled);
    for (int i = 0; i < 4 && config->family == SSA_SWIN && c->layers[i]; i++) {
        const int rows = (c->rows / c->patch) >> i, columns = (c->columns / c->patch) >> i;
        if (rows != columns && (rows <= c->window || columns <= c->window))
            return say_error("%s: the grid of stage %d is of %d x %d positions, its windows of %d: timm's Swin cuts "
                             "and shifts along one side alone there, and ours does not", name, i, rows, columns,
                             c->window);
    }
    return 0;
}

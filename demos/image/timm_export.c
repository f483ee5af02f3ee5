/* From our names to timm's. */
#include "timm.h"

#include "safetensors.h"
#include "say.h"
#include "timm_names.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exported {
    const struct ssa_model *model;
    const char *name; /* what errors call it */
};

static int read_values(void *cookie, const struct tensor_new *tensor, float *x)
{
    const struct exported *of = cookie;
    return ssa_tensor_read(ssa_model_parameter(of->model, tensor->number)->value, x, tensor->count)
        ? say_error("%s: %s", of->name, ssa_last_error())
        : 0;
}

int timm_export(const struct ssa_model *model, const char *name, const char *to)
{
    const struct ssa_model_config *config = ssa_model_config(model);
    if (config->family != SSA_VIT && config->family != SSA_SWIN)
        return say_error("%s: holds a model of family %s, which timm has no names for: of vit and swin it has", name,
                         ssa_model_family(config->family));
    if (timm_check_windows(config, name))
        return EXIT_FAILED;
    const int count = ssa_model_tensors(model);
    const struct timm_names names = timm_names(config);
    struct tensor_new *tensors = calloc((size_t)count, sizeof *tensors);
    if (!tensors)
        return say_error("%s: no memory to write it", to);
    for (int i = 0; i < count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        tensors[i] = (struct tensor_new){.shape = timm_shape(config, p), .count = p->count, .number = i};
        timm_name(&names, p->name, tensors[i].name);
    }
    const int status = tensors_write(to, tensors, count, read_values, &(struct exported){model, name});
    free(tensors);
    return status;
}

/* ---- the call ---- */

/* timm's MLP is as wide as the whole part of width times this: where it is not exact, a little more. */
static double mlp_ratio(int hidden, int width)
{
    return (hidden + (64 * hidden % width ? 0.01 : 0)) / width;
}

static void vit_call(const struct ssa_vit *c, char *text, size_t size)
{
    snprintf(text, size, "timm.models.vision_transformer.VisionTransformer(img_size=(%d, %d), patch_size=%d, "
             "in_chans=%d, num_classes=%d, embed_dim=%d, depth=%d, num_heads=%d, mlp_ratio=%.7g, class_token=%s, "
             "global_pool='%s', fc_norm=False, norm_layer=functools.partial(torch.nn.LayerNorm, eps=%.7g))", c->rows,
             c->columns, c->patch, c->channels, c->classes, c->width, c->layers, c->heads,
             mlp_ratio(c->hidden, c->width), c->mean_pool ? "False" : "True", c->mean_pool ? "avg" : "token",
             (double)c->norm_eps);
}

static void swin_call(const struct ssa_swin *c, char *text, size_t size)
{
    char layers[64] = "", heads[64] = "", ratios[96] = "";
    for (int i = 0, width = c->width; i < 4 && c->layers[i]; i++, width *= 2) {
        const int hidden = (int)lround((double)c->hidden_ratio * width);
        snprintf(layers + strlen(layers), sizeof layers - strlen(layers), "%d, ", c->layers[i]);
        snprintf(heads + strlen(heads), sizeof heads - strlen(heads), "%d, ", c->heads[i]);
        snprintf(ratios + strlen(ratios), sizeof ratios - strlen(ratios), "%.7g, ", mlp_ratio(hidden, width));
    }
    snprintf(text, size, "timm.models.swin_transformer.SwinTransformer(img_size=(%d, %d), patch_size=%d, in_chans=%d, "
             "num_classes=%d, embed_dim=%d, depths=(%s), num_heads=(%s), window_size=%d, mlp_ratio=(%s), "
             "norm_layer=functools.partial(torch.nn.LayerNorm, eps=%.7g))", c->rows, c->columns, c->patch, c->channels,
             c->classes, c->width, layers, heads, c->window, ratios, (double)c->norm_eps);
}

void timm_call(const struct ssa_model_config *config, char *text, size_t size)
{
    struct ssa_model_config settled = *config;
    ssa_model_settle(&settled);
    if (config->family == SSA_SWIN)
        swin_call(&settled.swin, text, size);
    else
        vit_call(&settled.vit, text, size);
}

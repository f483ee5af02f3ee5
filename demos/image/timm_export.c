/* From our names to timm's. */
#include "timm.h"

#include "files.h"
#include "say.h"
#include "timm_names.h"

#include "disk/json.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tensor {
    const struct ssa_parameter *parameter;
    char name[TIMM_NAME];
};

/* ---- the header ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

/* In the order of their names, as Python's safetensors writes them. NULL: no memory. */
static struct tensor *tensors_of(const struct ssa_model *model)
{
    const size_t count = (size_t)ssa_model_tensors(model);
    const struct timm_names names = timm_names(ssa_model_config(model));
    struct tensor *t = calloc(count, sizeof *t);
    for (size_t i = 0; t && i < count; i++) {
        t[i].parameter = ssa_model_parameter(model, (int)i);
        timm_name(&names, t[i].parameter->name, t[i].name);
    }
    if (t)
        qsort(t, count, sizeof *t, by_name);
    return t;
}

/* To be freed; NULL: no memory. */
static char *header_of(const struct ssa_model *model, const struct tensor *tensors)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    json_int_t begin = 0;
    int status = !header;
    for (int i = 0; !status && i < ssa_model_tensors(model); i++) {
        const json_int_t end = begin + (json_int_t)(sizeof(float) * tensors[i].parameter->count);
        json_t *shape = timm_shape(ssa_model_config(model), tensors[i].parameter);
        status = json_object_set_new(header, tensors[i].name, json_pack("{s:s, s:o, s:[II]}", "dtype", "F32", "shape",
                                                                        shape, "data_offsets", begin, end));
        begin = end;
    }
    char *text = status ? NULL : ssa_json_text(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

/* ---- the file ---- */

/* What cannot be written is told when the file ends. */
static void write_header(FILE *to, const char *text)
{
    unsigned char length[8];
    const size_t size = strlen(text), padded = (size + 7) / 8 * 8;
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(padded >> 8 * i);
    fwrite(length, 1, sizeof length, to);
    fprintf(to, "%-*s", (int)padded, text);
}

static int write_tensor(FILE *to, const struct tensor *t, const char *name)
{
    const size_t count = t->parameter->count;
    float *x = malloc(count * sizeof *x);
    if (!x)
        return say_error("%s: no memory for %s", name, t->name);
    const int status = ssa_tensor_read(t->parameter->value, x, count) ? say_error("%s: %s", name, ssa_last_error()) : 0;
    if (!status)
        fwrite(x, sizeof *x, count, to);
    free(x);
    return status;
}

static int write_file(const struct ssa_model *model, const struct tensor *tensors, const char *header, const char *name,
                      const char *to)
{
    struct new_file file;
    int status = 0;
    if (new_file_begin(&file, to))
        return EXIT_FAILED;
    write_header(file.stream, header);
    for (int i = 0; !status && i < ssa_model_tensors(model); i++)
        status = write_tensor(file.stream, &tensors[i], name);
    return new_file_end(&file, !status) || status ? EXIT_FAILED : 0;
}

int timm_export(const struct ssa_model *model, const char *name, const char *to)
{
    const struct ssa_model_config *config = ssa_model_config(model);
    if (config->family != SSA_VIT && config->family != SSA_SWIN)
        return say_error("%s: holds a %s, which timm has no names for: a vit or a swin it has", name,
                         ssa_model_family(config->family));
    if (timm_check_windows(config, name))
        return EXIT_FAILED;
    struct tensor *tensors = tensors_of(model);
    char *header = tensors ? header_of(model, tensors) : NULL;
    const int status = header ? write_file(model, tensors, header, name, to)
                              : say_error("%s: no memory to write it", to);
    free(header);
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

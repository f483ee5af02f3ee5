/* timm's names and ours. The arrays are the same, row by row: a convolution's weight [C, channels, patch, patch] is a
 * matrix of as many columns, cls_token [1, 1, C] and pos_embed [1, N, C] lose what is 1, and qkv has all heads of
 * queries, then of keys, then of values in both. */
#include "timm.h"

#include "reader.h"
#include "say.h"

#include <ssacl/checkpoint.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct name {
    const char *theirs, *ours;
};
static const struct name whole[] = {
    {"cls_token", "class.weight"}, {"pos_embed", "position.weight"}, {"patch_embed.proj.weight", "patch.weight"},
    {"patch_embed.proj.bias", "patch.bias"}, {"norm.weight", "norm.gain"}, {"norm.bias", "norm.bias"},
    {"head.weight", "head.weight"}, {"head.bias", "head.bias"}, {NULL, NULL}};
static const struct name of_layer[] = {
    {"norm1.weight", "norm1.gain"}, {"norm1.bias", "norm1.bias"}, {"attn.qkv.weight", "qkv.weight"},
    {"attn.qkv.bias", "qkv.bias"}, {"attn.proj.weight", "proj.weight"}, {"attn.proj.bias", "proj.bias"},
    {"norm2.weight", "norm2.gain"}, {"norm2.bias", "norm2.bias"}, {"mlp.fc1.weight", "up.weight"},
    {"mlp.fc1.bias", "up.bias"}, {"mlp.fc2.weight", "down.weight"}, {"mlp.fc2.bias", "down.bias"}, {NULL, NULL}};

struct weights {
    const char *path;
    const struct timm_options *options;
    int file;
    uint64_t data, size; /* where tensors begin, and the bytes from there on */
    json_t *header;
};

/* ---- the file ---- */

static int read_header(struct weights *w)
{
    enum { MOST = 1 << 20 }; /* a hundred bytes a tensor: of 800 layers */
    unsigned char length[8] = {0};
    uint64_t n = 0, all = 0;
    w->file = file_open(w->path, &all);
    if (w->file < 0)
        return EXIT_FAILED;
    if (all < 8 || file_bytes(w->file, length, 8, 0))
        return say_error("%s: is no safetensors file: it has %llu bytes", w->path, (unsigned long long)all);
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)length[i] << 8 * i;
    if (n > all - 8 || n > MOST)
        return say_error("%s: is no safetensors file, or cut short: its header would have %llu bytes", w->path,
                         (unsigned long long)n);
    char *text = malloc((size_t)n + 1);
    if (!text)
        return say_error("%s: no memory for its header", w->path);
    if (!file_bytes(w->file, text, (size_t)n, 8))
        w->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    json_object_del(w->header, "__metadata__");
    w->data = 8 + n;
    w->size = all - w->data;
    return json_is_object(w->header) ? 0 : say_error("%s: is no safetensors file: its header is no JSON", w->path);
}

/* Dimension i of a tensor, or 0: it has no such tensor, or none of whole numbers that an int holds. */
static int dimension(const struct weights *w, const char *name, size_t i)
{
    const json_t *shape = json_object_get(json_object_get(w->header, name), "shape");
    const json_int_t n = json_integer_value(json_array_get(shape, i));
    return n > 0 && n <= 1 << 30 ? (int)n : 0;
}

/* ---- the config ---- */

static int count_layers(const struct weights *w)
{
    char name[64];
    for (int l = 0; l < 1024; l++) {
        snprintf(name, sizeof name, "blocks.%d.norm1.weight", l);
        if (!json_object_get(w->header, name))
            return l;
    }
    return 1024;
}

/* Rows and columns of `count` patches. */
static int image_of(const struct weights *w, int count, struct ssa_vit *c)
{
    int side = w->options->rows / (c->patch ? c->patch : 1);
    while (!w->options->rows && side * side < count && side < 1 << 15)
        side++;
    if (!c->patch || side < 1 || count < 1 || count % side || (!w->options->rows && side * side != count))
        return say_error("%s: is of images of %d patches of %d x %d, which are not %s", w->path, count, c->patch,
                         c->patch, w->options->rows ? "of as many rows as was said" : "a square: say how many rows");
    c->rows = side * c->patch;
    c->columns = count / side * c->patch;
    return 0;
}

static int config_of(const struct weights *w, struct ssa_model_config *config)
{
    struct ssa_vit *c = &config->vit;
    const int positions = dimension(w, "pos_embed", 1);
    *config = (struct ssa_model_config){.family = SSA_VIT, .vit = {
        .width = dimension(w, "patch_embed.proj.weight", 0), .channels = dimension(w, "patch_embed.proj.weight", 1),
        .patch = dimension(w, "patch_embed.proj.weight", 2), .hidden = dimension(w, "blocks.0.mlp.fc1.weight", 0),
        .classes = w->options->classes ? w->options->classes : dimension(w, "head.weight", 0),
        .mean_pool = !json_object_get(w->header, "cls_token"), .layers = count_layers(w)}};
    if (!c->width || !c->hidden || !c->classes || !positions)
        return say_error("%s: has no %s of timm's ViT", w->path, !c->width ? "patch_embed.proj.weight" : !positions ?
                         "pos_embed" : !c->classes ? "head.weight" : "blocks.0.mlp.fc1.weight");
    if (!w->options->heads && c->width % 64)
        return say_error("%s: is of width %d, not of heads of 64 each: say how many it has", w->path, c->width);
    c->heads = w->options->heads ? w->options->heads : c->width / 64;
    if (image_of(w, positions - !c->mean_pool, c))
        return EXIT_FAILED;
    return ssa_model_check(config) ? say_error("%s: %s", w->path, ssa_last_error()) : 0;
}

/* No more is allocated than the file is large, but for a head that was asked for. */
static int check_size(const struct weights *w, const struct ssa_model_config *config)
{
    const uint64_t head = ((uint64_t)config->vit.width + 1) * (uint64_t)config->vit.classes;
    const uint64_t needed = 4 * (ssa_model_elements(config) - (w->options->classes ? head : 0));
    return w->size < needed ? say_error("%s: has %llu bytes of weights, of such a model there are %llu: cut short?",
                                        w->path, (unsigned long long)w->size, (unsigned long long)needed) : 0;
}

/* ---- the parameters ---- */

/* What timm calls one of ours. */
static void their_name(const char *ours, char *name, size_t size)
{
    int layer, used = 0;
    const bool in_layer = sscanf(ours, "layer.%d.%n", &layer, &used) == 1 && used;
    const struct name *n = in_layer ? of_layer : whole;
    while (n->ours && strcmp(n->ours, ours + used))
        n++;
    if (in_layer)
        snprintf(name, size, "blocks.%d.%s", layer, n->theirs ? n->theirs : "?");
    else
        snprintf(name, size, "%s", n->theirs ? n->theirs : "?");
}

/* Ones in front are left out, and what follows the first of the others is one row. */
static bool has_shape(const json_t *shape, const struct ssa_parameter *p)
{
    const size_t count = json_array_size(shape), least = p->columns ? 2 : 1;
    uint64_t columns = 1;
    size_t first = 0;
    while (first + least < count && json_integer_value(json_array_get(shape, first)) == 1)
        first++;
    for (size_t i = first + 1; i < count; i++) {
        const json_int_t n = json_integer_value(json_array_get(shape, i));
        if (n < 1 || n > 1 << 30 || columns > 1 << 30)
            return false;
        columns *= (uint64_t)n;
    }
    return count >= least && json_integer_value(json_array_get(shape, first)) == p->rows &&
           columns == (uint64_t)(p->columns ? p->columns : 1);
}

static int read_parameter(const struct weights *w, const struct ssa_parameter *p, const char *name)
{
    const json_t *entry = json_object_get(w->header, name), *offsets = json_object_get(entry, "data_offsets");
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    const json_int_t end = json_integer_value(json_array_get(offsets, 1));
    const size_t bytes = p->count * sizeof(float);
    if (!entry)
        return say_error("%s: has no %s", w->path, name);
    if (!type || strcmp(type, "F32"))
        return say_error("%s: %s is of type %.20s, not F32", w->path, name, type ? type : "?");
    if (!has_shape(json_object_get(entry, "shape"), p))
        return say_error("%s: %s has not the shape of [%d, %d]", w->path, name, p->rows, p->columns);
    if (begin < 0 || end < begin || (uint64_t)end > w->size || (uint64_t)(end - begin) != bytes)
        return say_error("%s: %s is not where it should be: cut short?", w->path, name);
    float *x = malloc(bytes);
    if (!x)
        return say_error("%s: no memory for %s", w->path, name);
    int status = file_bytes(w->file, x, bytes, w->data + (uint64_t)begin)
                     ? say_error("%s: %s cannot be read", w->path, name) : 0;
    if (!status && ssa_tensor_write(p->value, x, p->count))
        status = say_error("%s: %s", w->path, ssa_last_error());
    free(x);
    return status;
}

/* Those that are ours leave the header: what stays is of another model. */
static int read_parameters(struct weights *w, struct ssa_model *model)
{
    char name[96];
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        their_name(p->name, name, sizeof name);
        const bool anew = w->options->classes && !strncmp(p->name, "head.", 5);
        if (!anew && read_parameter(w, p, name))
            return EXIT_FAILED;
        json_object_del(w->header, name);
    }
    void *other = json_object_iter(w->header);
    return other ? say_error("%s: has %.60s, which no vit of ours has: it is of another model", w->path,
                             json_object_iter_key(other)) : 0;
}

static int convert(struct weights *w, const char *to)
{
    struct ssa_model_config config;
    struct ssa_device *device = NULL;
    struct ssa_model *model = NULL;
    if (read_header(w) || config_of(w, &config) || check_size(w, &config))
        return EXIT_FAILED;
    int status = ssa_device_open(&device, "cpu") ||
                 ssa_model_create(&model, device, &config, &(struct ssa_model_limits){.batch = 1});
    if (status)
        status = say_error("%s: %s", w->path, ssa_last_error());
    else
        status = read_parameters(w, model);
    if (!status && ssa_checkpoint_save(to, model, NULL, w->options->note))
        status = say_error("%s", ssa_last_error());
    ssa_model_destroy(model);
    ssa_device_close(device);
    return status;
}

int timm_import(const char *from, const char *to, const struct timm_options *options)
{
    struct weights w = {.path = from, .options = options, .file = -1};
    const int status = convert(&w, to);
    json_decref(w.header);
    if (w.file >= 0)
        close(w.file);
    return status;
}

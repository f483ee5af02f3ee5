/* From timm's names to ours. */
#include "timm.h"

#include "import.h"
#include "say.h"
#include "timm_names.h"

#include <ssacl/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGES = 4, LAYERS = 1024 };

struct weights {
    struct import of; /* first */
    const struct timm_options *options;
    struct timm_names names;
    bool new_head;
};

/* ---- which file it is ---- */

static int family_of(const struct tensors *t)
{
    return !tensors_has(t, "patch_embed.proj.weight")          ? -1
           : tensors_has(t, "layers.0.blocks.0.norm1.weight") ? SSA_SWIN
                                                               : SSA_VIT;
}

int timm_family(const char *path)
{
    struct tensors t;
    const int family = tensors_look(&t, path) ? family_of(&t) : -1;
    tensors_close(&t);
    return family;
}

static int refuse_variants(const struct weights *w)
{
    const char *name;
    json_t *entry;
    json_object_foreach(w->of.file.entries, name, entry) {
        const char *what = timm_variant(w->names.family, name);
        if (what)
            return say_error("%s: has %.60s, of a model with %s, which no %s of ours has", w->of.file.path, name, what,
                             ssa_model_family(w->names.family));
    }
    return 0;
}

/* ---- the config ---- */

static int dimension(const struct weights *w, const char *name, size_t i)
{
    return tensors_dimension(&w->of.file, name, i);
}

/* How many there are, by the name of a tensor of each: what stands before their number and behind it. */
static int count_layers(const struct weights *w, const char *before, const char *after)
{
    char name[TIMM_NAME];
    for (int l = 0; l < LAYERS; l++) {
        snprintf(name, sizeof name, "%.40s%d%.40s", before, l, after);
        if (!tensors_has(&w->of.file, name))
            return l;
    }
    return LAYERS;
}

static int missing(const struct weights *w, const char *name)
{
    return say_error("%s: has no %s of timm's %s", w->of.file.path, name, w->names.family == SSA_SWIN ? "Swin" : "ViT");
}

static int classes_of(struct weights *w, int *classes)
{
    char name[TIMM_NAME];
    snprintf(name, sizeof name, "%s.weight", w->names.head);
    const int known = dimension(w, name, 0);
    *classes = w->options->classes ? w->options->classes : known;
    w->new_head = *classes != known;
    return *classes ? 0 : say_error("%s: has no %s of timm's %s: begin a new head, by import --classes",
                                    w->of.file.path, name, w->names.family == SSA_SWIN ? "Swin" : "ViT");
}

/* Rows and columns of `count` patches. */
static int vit_image(const struct weights *w, int count, struct ssa_vit *c)
{
    enum { LARGEST = 1024, LONGEST = 1 << 20 }; /* a patch, and how many: an int holds their product */
    const int rows = w->options->rows, columns = w->options->columns;
    int side = (rows ? rows : columns) / (c->patch ? c->patch : 1);
    while (!rows && !columns && side * side < count && side < 1 << 15)
        side++;
    if (c->patch && c->patch <= LARGEST && side > 0 && count > 0 && count < LONGEST && count % side == 0) {
        c->rows = (rows ? side : count / side) * c->patch;
        c->columns = (rows ? count / side : side) * c->patch;
    }
    if (!c->rows || (rows && rows != c->rows) || (columns && columns != c->columns) ||
        (!rows && !columns && c->rows != c->columns))
        return say_error("%s: is of images of %d patches of %d x %d, which are not %s", w->of.file.path, count,
                         c->patch, c->patch,
                         rows || columns ? "of as many rows and columns as was said"
                                         : "a square: say how many rows, by import --rows");
    return 0;
}

static int vit_config(struct weights *w)
{
    struct ssa_vit *c = &w->of.config.vit;
    const int positions = dimension(w, "pos_embed", 1);
    *c = (struct ssa_vit){
        .width = dimension(w, "patch_embed.proj.weight", 0), .channels = dimension(w, "patch_embed.proj.weight", 1),
        .patch = dimension(w, "patch_embed.proj.weight", 2), .hidden = dimension(w, "blocks.0.mlp.fc1.weight", 0),
        .mean_pool = !tensors_has(&w->of.file, "cls_token"), .layers = count_layers(w, "blocks.", ".norm1.weight")};
    w->names.head = "head";
    if (!c->width || !c->hidden || !positions)
        return missing(w, !c->width ? "patch_embed.proj.weight" : !positions ? "pos_embed" : "blocks.0.mlp.fc1.weight");
    if (classes_of(w, &c->classes))
        return EXIT_FAILED;
    if (!w->options->heads && (c->width % 64 || c->width > 1024))
        return say_error("%s: is of width %d, which timm has no heads of 64 for: say how many it has, by import "
                         "--heads", w->of.file.path, c->width);
    c->heads = w->options->heads ? w->options->heads : c->width / 64;
    return vit_image(w, positions - !c->mean_pool, c);
}

static int swin_stages(struct weights *w, struct ssa_swin *c)
{
    char before[TIMM_NAME], name[TIMM_NAME];
    int stages = 0;
    for (; stages < STAGES; stages++) {
        snprintf(before, sizeof before, "layers.%d.blocks.", stages);
        c->layers[stages] = w->names.layers[stages] = count_layers(w, before, ".norm1.weight");
        if (!c->layers[stages])
            break;
        snprintf(name, sizeof name, "%.60s0.attn.relative_position_bias_table", before);
        c->heads[stages] = dimension(w, name, 1);
        if (!c->heads[stages])
            return missing(w, name);
    }
    if (w->options->heads && w->options->heads != c->heads[0])
        return say_error("%s: has %d heads in its first stage, not %d", w->of.file.path, c->heads[0],
                         w->options->heads);
    return 0;
}

/* The side of a stage's windows, by its table of (2 side - 1)^2 distances; 0: of none. */
static int window_of(const struct weights *w, int stage)
{
    char name[TIMM_NAME];
    int side = 1;
    snprintf(name, sizeof name, "layers.%d.blocks.0.attn.relative_position_bias_table", stage);
    const int distances = dimension(w, name, 0);
    while (side < 128 && (2 * side - 1) * (2 * side - 1) < distances)
        side++;
    return (2 * side - 1) * (2 * side - 1) == distances ? side : 0;
}

/* A layer's grid, in positions, and its windows. */
struct cut {
    int rows, columns, window, shift;
};
static struct cut cut_of(const struct ssa_swin *c, int stage, int at)
{
    struct cut g = {(c->rows / c->patch) >> stage, (c->columns / c->patch) >> stage, c->window, c->window / 2};
    const int least = g.rows < g.columns ? g.rows : g.columns;
    if (least <= c->window)
        g.window = least;
    g.shift = least <= c->window || at % 2 == 0 ? 0 : g.shift;
    return g;
}

/* Windows are of one size, or as large as a grid that is smaller. */
static int check_stages(const struct weights *w)
{
    const struct ssa_swin *c = &w->of.config.swin;
    for (int i = 0; i < STAGES && c->layers[i]; i++) {
        const int side = window_of(w, i), ours = cut_of(c, i, 0).window;
        if (side != ours)
            return say_error("%s: stage %d has windows of %d; where the first has %d, and images are of %d x %d, no "
                             "swin of ours has other than %d there", w->of.file.path, i, side, c->window, c->rows,
                             c->columns, ours);
    }
    return 0;
}

static int swin_config(struct weights *w)
{
    struct ssa_swin *c = &w->of.config.swin;
    const int hidden = dimension(w, "layers.0.blocks.0.mlp.fc1.weight", 0);
    *c = (struct ssa_swin){
        .width = dimension(w, "patch_embed.proj.weight", 0), .channels = dimension(w, "patch_embed.proj.weight", 1),
        .patch = dimension(w, "patch_embed.proj.weight", 2), .window = window_of(w, 0)};
    w->names.merging_ends = tensors_has(&w->of.file, "layers.0.downsample.reduction.weight");
    w->names.head = tensors_has(&w->of.file, "head.weight") ? "head" : "head.fc";
    if (!c->width || !c->patch || !hidden)
        return missing(w, !hidden ? "layers.0.blocks.0.mlp.fc1.weight" : "patch_embed.proj.weight");
    if (swin_stages(w, c) || classes_of(w, &c->classes))
        return EXIT_FAILED;
    int last = 0;
    while (last + 1 < STAGES && c->layers[last + 1])
        last++;
    const int side = window_of(w, last);
    if (!c->window || !side || c->patch > 1024)
        return say_error("%s: the biases of stage %d are not those of square windows of up to 128 x 128",
                         w->of.file.path, c->window ? last : 0);
    c->hidden_ratio = (float)hidden / (float)c->width;
    c->rows = w->options->rows ? w->options->rows : (side * c->patch) << last;
    c->columns = w->options->columns ? w->options->columns : c->rows;
    return 0;
}

static uint64_t elements_of_head(const struct ssa_model_config *config)
{
    uint64_t width = (uint64_t)config->vit.width, classes = (uint64_t)config->vit.classes;
    if (config->family == SSA_SWIN) {
        width = (uint64_t)config->swin.width;
        classes = (uint64_t)config->swin.classes;
        for (int i = 1; i < STAGES && config->swin.layers[i]; i++)
            width *= 2;
    }
    return (width + 1) * classes;
}

static int settle(struct import *of)
{
    struct weights *w = (struct weights *)of;
    const int family = family_of(&w->of.file);
    w->of.config = (struct ssa_model_config){.family = family < 0 ? SSA_VIT : family};
    w->names = (struct timm_names){.family = w->of.config.family};
    if (refuse_variants(w) || (family == SSA_SWIN ? swin_config(w) : vit_config(w)))
        return EXIT_FAILED;
    if (ssa_model_check(&w->of.config))
        return say_error("%s: %s", w->of.file.path, ssa_last_error());
    of->called = ssa_model_family(w->names.family);
    of->begun = w->new_head ? elements_of_head(&of->config) : 0;
    return timm_check_windows(&of->config, of->file.path) || (family == SSA_SWIN && check_stages(w)) ? EXIT_FAILED : 0;
}

/* ---- the parameters ---- */

static int read_parameter(const struct weights *w, const struct ssa_parameter *p, const char *name)
{
    float *x = malloc(p->count * sizeof *x);
    int status = import_values(&w->of, name, x ? timm_shape(&w->of.config, p) : NULL, x, p->count);
    if (!status && ssa_tensor_write(p->value, x, p->count))
        status = say_error("%s: %s", w->of.file.path, ssa_last_error());
    free(x);
    return status;
}

/* Those that are ours leave the header. */
static int read_parameters(struct weights *w, struct ssa_model *model)
{
    char name[TIMM_NAME];
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        timm_name(&w->names, p->name, name);
        const bool anew = w->new_head && !strncmp(p->name, "head.", 5);
        if (!anew && read_parameter(w, p, name))
            return EXIT_FAILED;
        json_object_del(w->of.file.entries, name);
    }
    return 0;
}

/* ---- what Swin's files had besides, before timm 0.9 ---- */

/* Row `i` of relative_position_index: where in the table a query's biases lie. */
static bool index_is_right(const struct cut *g, int i, const void *row)
{
    const int p = g->window;
    const int64_t *index = row;
    for (int j = 0; j < p * p; j++)
        if (index[j] != (int64_t)(i / p - j / p + p - 1) * (2 * p - 1) + i % p - j % p + p - 1)
            return false;
    return true;
}

/* Of three, of positions along a side of the grid that was shifted. */
static int region(int at, int side, const struct cut *g)
{
    return (at >= side - g->window) + (at >= side - g->shift);
}

static int region_of(const struct cut *g, int window, int i)
{
    const int across = g->columns / g->window;
    return 3 * region(window / across * g->window + i / g->window, g->rows, g) +
           region(window % across * g->window + i % g->window, g->columns, g);
}

/* Row `i` of attn_mask, of all windows: which keys a query does not see. */
static bool mask_is_right(const struct cut *g, int i, const void *row)
{
    const int area = g->window * g->window;
    const float *mask = row;
    for (int j = 0; j < area; j++)
        if ((mask[j] < 0) != (region_of(g, i / area, i % area) != region_of(g, i / area, j)))
            return false;
    return true;
}

struct buffer {
    const char *end, *type;
    size_t each;
    bool (*is_right)(const struct cut *g, int i, const void *row);
};

static int check_rows(const struct weights *w, const struct buffer *b, const struct cut *g, const char *name, int count,
                      uint64_t at)
{
    const size_t area = (size_t)(g->window * g->window);
    void *row = malloc(area * b->each);
    int status = row ? 0 : say_error("%s: no memory for %s", w->of.file.path, name);
    for (int i = 0; !status && i < count; i++) {
        status = tensors_read(&w->of.file, name, row, area, b->each, at + (uint64_t)i * area * b->each);
        if (!status && !b->is_right(g, i, row))
            status = say_error("%s: %s is not that of windows of %d in a grid of %d x %d, of images of %d x %d",
                               w->of.file.path, name, g->window, g->rows, g->columns, w->of.config.swin.rows,
                               w->of.config.swin.columns);
    }
    free(row);
    return status;
}

/* Numbers that follow from the sizes: they must be those, and are not kept. Those that are leave the header. */
static int check_buffer(const struct weights *w, const struct buffer *b, int layer)
{
    char name[TIMM_NAME];
    int stage, at;
    uint64_t place = 0;
    timm_place(w->names.layers, layer, &stage, &at);
    const struct cut g = cut_of(&w->of.config.swin, stage, at);
    const int area = g.window * g.window, windows = g.rows * g.columns / area;
    const bool of_mask = b->is_right == mask_is_right;
    snprintf(name, sizeof name, "layers.%d.blocks.%d.%s", stage, at, b->end);
    if (!tensors_has(&w->of.file, name) || (of_mask && !g.shift))
        return 0;
    json_t *shape = of_mask ? json_pack("[iii]", windows, area, area) : json_pack("[ii]", area, area);
    const int status = !shape ? say_error("%s: no memory for %s", w->of.file.path, name)
                              : tensors_find(&w->of.file, name, b->type, shape, &place) ||
                                    check_rows(w, b, &g, name, of_mask ? windows * area : area, place);
    json_decref(shape);
    json_object_del(w->of.file.entries, name);
    return status;
}

static int check_buffers(const struct weights *w)
{
    static const struct buffer buffers[] = {
        {"attn.relative_position_index", "I64", sizeof(int64_t), index_is_right},
        {"attn_mask", "F32", sizeof(float), mask_is_right}};
    const int layers = w->names.family == SSA_SWIN ? ssa_model_layers(&w->of.config) : 0;
    for (int l = 0; l < 2 * layers; l++)
        if (check_buffer(w, &buffers[l % 2], l / 2))
            return EXIT_FAILED;
    return 0;
}

/* ---- all of it ---- */

static int read_all(struct import *of, struct ssa_model *model)
{
    struct weights *w = (struct weights *)of;
    return read_parameters(w, model) || check_buffers(w);
}

int timm_import(const char *from, const char *to, const struct timm_options *options)
{
    struct weights w = {.of = {.note = options->note, .passing = options->passing, .seed = options->seed},
                        .options = options};
    return import_weights(&w.of, from, to, settle, read_all);
}

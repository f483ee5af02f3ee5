/* From their names to ours. */
#include "egt.h"

#include "egt_names.h"
#include "import.h"
#include "say.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 1024, NODE_VALUES = 128, EDGE_VALUES = 8 };

bool egt_is(const char *path)
{
    struct tensors t;
    const bool is = tensors_look(&t, path) && tensors_has(&t, "nodef_embed.weight") &&
                    tensors_has(&t, "EGT_layers.0.lin_QKV.weight");
    tensors_close(&t);
    return is;
}

/* ---- the config ---- */

static int dimension(const struct import *w, const char *name, size_t i)
{
    return tensors_dimension(&w->file, name, i);
}

static int count_layers(const struct import *w)
{
    char name[TENSOR_NAME];
    for (int l = 0; l < LAYERS; l++) {
        snprintf(name, sizeof name, "EGT_layers.%d.mha_ln_h.weight", l);
        if (!tensors_has(&w->file, name))
            return l;
    }
    return LAYERS;
}

/* Ids of so many values each that a table of `rows` is of; 0: of none. */
static int ids_of(int rows, int values)
{
    return rows > 1 && (rows - 1) % values == 0 ? (rows - 1) / values : 0;
}

static float ratio_of(const struct import *w, const char *name, int width)
{
    return width ? (float)dimension(w, name, 0) / (float)width : 0;
}

static int settle(struct import *w)
{
    const struct egt_options *o = w->options;
    struct ssa_egt *c = &w->config.egt;
    w->config.family = SSA_EGT;
    *c = (struct ssa_egt){
        .nodes = o->nodes, .node_ids = ids_of(dimension(w, "nodef_embed.weight", 0), NODE_VALUES),
        .node_values = NODE_VALUES, .edge_ids = ids_of(dimension(w, "featm_embed.weight", 0), EDGE_VALUES),
        .edge_values = EDGE_VALUES, .hops = dimension(w, "dist_embed.weight", 0) - 1,
        .encodings = dimension(w, "svd_embed.weight", 1), .layers = count_layers(w),
        .heads = dimension(w, "EGT_layers.0.lin_E.weight", 0), .width = dimension(w, "nodef_embed.weight", 1),
        .edge_width = dimension(w, "dist_embed.weight", 1),
        .virtual_nodes = dimension(w, "vn_layer.vn_node_embeddings", 0),
        .targets = dimension(w, "mlp_layers.2.weight", 0), .attention_dropout = o->attention_dropout};
    c->hidden_ratio = ratio_of(w, "EGT_layers.0.lin_W_h_1.weight", c->width);
    c->edge_hidden_ratio = ratio_of(w, "EGT_layers.0.lin_W_e_1.weight", c->edge_width);
    if (c->layers > 1 && !tensors_has(&w->file, "EGT_layers.0.lin_O_e.weight"))
        c->edge_mode = SSA_EDGES_FIXED;
    c->virtual_see_padding = c->virtual_nodes && !o->mask_padding;
    if (!c->node_ids || !c->edge_ids)
        return say_error("%s: its tables of atoms and bonds are not of %d and %d values a feature, as OGB's are there",
                         w->file.path, NODE_VALUES, EDGE_VALUES);
    if (!c->targets)
        return say_error("%s: has no mlp_layers.2.weight: its head is not of three linear layers", w->file.path);
    return ssa_model_check(&w->config) ? say_error("%s: %s", w->file.path, ssa_last_error()) : 0;
}

/* ---- the parameters ---- */

static int check_padding(const struct import *w, const struct egt_place *p, const float *x)
{
    for (int i = 0; p->kind == EGT_PADDED && i < p->columns; i++)
        if (fabsf(x[i]) > 0)
            return say_error("%s: row 0 of %s is that of nothing, and must be zeroes", w->file.path, p->theirs);
    return 0;
}

static int write_values(const struct import *w, struct ssa_model *model, const struct egt_place *p, const float *x)
{
    const struct ssa_parameter *ours = ssa_model_find(model, p->ours);
    if (!ours)
        return say_error("%s: %s has no place in ours", w->file.path, p->theirs);
    const struct ssa_tensor to = ssa_tensor_add(ours->value, p->kind == EGT_SECOND ? egt_place_count(p) : 0);
    return ssa_tensor_write(to, x, egt_place_count(p)) ? say_error("%s: %s", w->file.path, ssa_last_error()) : 0;
}

static int read_place(const struct import *w, struct ssa_model *model, const struct egt_place *p)
{
    float *x = malloc(egt_place_count(p) * sizeof *x);
    json_t *shape = !x ? NULL : p->columns ? json_pack("[ii]", p->rows, p->columns) : json_pack("[i]", p->rows);
    int status = import_values(w, p->theirs, shape, x, egt_place_count(p)) || check_padding(w, p, x);
    if (!status && !egt_turn(p, x, w->config.egt.heads, true))
        status = say_error("%s: no memory for %s", w->file.path, p->theirs);
    status = status ? status : write_values(w, model, p, x);
    free(x);
    return status;
}

/* Those that are ours leave the header. */
static int read_all(struct import *w, struct ssa_model *model)
{
    int count, status = 0;
    struct egt_place *places = egt_places(&w->config, &count);
    if (!places)
        return say_error("%s: no memory for its names", w->file.path);
    for (int i = 0; i < count && !status; i++) {
        status = read_place(w, model, &places[i]);
        json_object_del(w->file.entries, places[i].theirs);
    }
    free(places);
    return status;
}

int egt_import(const char *from, const char *to, const struct egt_options *options)
{
    struct import w = {.options = options, .note = options->note, .passing = options->passing, .called = "egt"};
    return import_weights(&w, from, to, settle, read_all);
}

#include "egt_names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* Sizes of a row of a table: of a model (settled). */
enum size { NONE, WIDTH, THREE_WIDTHS, EDGE_WIDTH, HEADS, HIDDEN, EDGE_HIDDEN, NODES, EDGES, DISTANCES, ENCODINGS,
            VIRTUAL, JOINED, TARGETS };

struct name {
    const char *theirs, *ours;
    enum size rows, columns; /* of a matrix, or (columns NONE) a vector */
    enum egt_kind kind;
    bool linear; /* a matrix and its bias, of as many rows; of a norm, columns NONE, gain and bias */
};

static const struct name of_model[] = {
    {"nodef_embed.weight", "node.weight", NODES, WIDTH, EGT_PADDED, false},
    {"dist_embed.weight", "hop.weight", DISTANCES, EDGE_WIDTH, EGT_PLAIN, false},
    {"featm_embed.weight", "edge.weight", EDGES, EDGE_WIDTH, EGT_PADDED, false},
    {"svd_embed", "encoding", WIDTH, ENCODINGS, EGT_PLAIN, true},
    {"vn_layer.vn_node_embeddings", "virtual.weight", VIRTUAL, WIDTH, EGT_PLAIN, false},
    {"vn_layer.vn_edge_embeddings", "virtual_edge.weight", VIRTUAL, EDGE_WIDTH, EGT_PLAIN, false},
    {"final_ln_h", "norm", WIDTH, NONE, EGT_PLAIN, true},
    {"mlp_layers.0", "head.0", WIDTH, JOINED, EGT_PLAIN, true},
    {"mlp_layers.1", "head.1", WIDTH, WIDTH, EGT_PLAIN, true},
    {"mlp_layers.2", "head.2", TARGETS, WIDTH, EGT_PLAIN, true},
    {0}};
static const struct name of_layer[] = {
    {"mha_ln_h", "norm1", WIDTH, NONE, EGT_PLAIN, true},
    {"mha_ln_e", "edge.norm1", EDGE_WIDTH, NONE, EGT_PLAIN, true},
    {"lin_QKV", "qkv", THREE_WIDTHS, WIDTH, EGT_QKV, true},
    {"lin_E", "edge.pair", HEADS, EDGE_WIDTH, EGT_PLAIN, true},
    {"lin_G", "edge.pair", HEADS, EDGE_WIDTH, EGT_SECOND, true},
    {"lin_O_h", "proj", WIDTH, WIDTH, EGT_HEADS, true},
    {"ffn_ln_h", "norm2", WIDTH, NONE, EGT_PLAIN, true},
    {"lin_W_h_1", "up", HIDDEN, WIDTH, EGT_PLAIN, true},
    {"lin_W_h_2", "down", WIDTH, HIDDEN, EGT_PLAIN, true},
    {0}};
static const struct name of_edges[] = { /* of a layer that updates them */
    {"lin_O_e", "edge.proj", EDGE_WIDTH, HEADS, EGT_PLAIN, true},
    {"ffn_ln_e", "edge.norm2", EDGE_WIDTH, NONE, EGT_PLAIN, true},
    {"lin_W_e_1", "edge.up", EDGE_HIDDEN, EDGE_WIDTH, EGT_PLAIN, true},
    {"lin_W_e_2", "edge.down", EDGE_WIDTH, EDGE_HIDDEN, EGT_PLAIN, true},
    {0}};

static int size_of(const struct ssa_egt *c, enum size size)
{
    switch (size) {
    case WIDTH:
        return c->width;
    case THREE_WIDTHS:
        return 3 * c->width;
    case EDGE_WIDTH:
        return c->edge_width;
    case HEADS:
        return c->heads;
    case HIDDEN:
        return (int)rint((double)c->width * (double)c->hidden_ratio);
    case EDGE_HIDDEN:
        return (int)rint((double)c->edge_width * (double)c->edge_hidden_ratio);
    case NODES:
        return 1 + c->node_ids * c->node_values;
    case EDGES:
        return 1 + c->edge_ids * c->edge_values;
    case DISTANCES:
        return c->hops + 1;
    case ENCODINGS:
        return c->encodings;
    case VIRTUAL:
        return c->virtual_nodes;
    case JOINED:
        return c->width * (c->virtual_nodes ? c->virtual_nodes : 1);
    case TARGETS:
        return c->targets;
    case NONE:
        break;
    }
    return 0;
}

/* ---- places ---- */

struct list {
    struct egt_place *items;
    int count;
};

/* One tensor, or two. Of a matrix that a model has not, none. */
static void add(struct list *list, const struct ssa_egt *c, const struct name *n, const char *their_layer,
                const char *our_layer)
{
    const int rows = size_of(c, n->rows), columns = size_of(c, n->columns);
    const char *ours = n->linear && n->columns == NONE ? ".gain" : ".weight";
    if (!rows || (n->columns != NONE && !columns))
        return;
    struct egt_place *p = &list->items[list->count++];
    *p = (struct egt_place){.kind = n->kind, .rows = rows, .columns = columns};
    snprintf(p->theirs, sizeof p->theirs, "%.40s%.40s%s", their_layer, n->theirs, n->linear ? ".weight" : "");
    snprintf(p->ours, sizeof p->ours, "%.40s%.40s%s", our_layer, n->ours, n->linear ? ours : "");
    if (!n->linear)
        return;
    struct egt_place *bias = &list->items[list->count++];
    *bias = (struct egt_place){.kind = n->kind == EGT_HEADS ? EGT_PLAIN : n->kind, .rows = rows};
    snprintf(bias->theirs, sizeof bias->theirs, "%.40s%.40s.bias", their_layer, n->theirs);
    snprintf(bias->ours, sizeof bias->ours, "%.40s%.40s.bias", our_layer, n->ours);
}

static void add_all(struct list *list, const struct ssa_egt *c, const struct name *names, int layer)
{
    char theirs[40] = "", ours[40] = "";
    if (layer >= 0) {
        snprintf(theirs, sizeof theirs, "EGT_layers.%d.", layer);
        snprintf(ours, sizeof ours, "layer.%d.", layer);
    }
    for (; names->theirs; names++)
        add(list, c, names, theirs, ours);
}

struct egt_place *egt_places(const struct ssa_model_config *config, int *count)
{
    struct ssa_model_config settled = *config;
    const struct ssa_egt *c = &settled.egt;
    ssa_model_settle(&settled);
    const size_t most = sizeof of_model / sizeof *of_model +
                        (size_t)c->layers * (sizeof of_layer + sizeof of_edges) / sizeof *of_layer;
    struct list list = {.items = calloc(2 * most, sizeof *list.items)};
    if (!list.items)
        return NULL;
    add_all(&list, c, of_model, -1);
    for (int l = 0; l < c->layers; l++) {
        add_all(&list, c, of_layer, l);
        if (c->edge_mode != SSA_EDGES_FIXED && l + 1 < c->layers)
            add_all(&list, c, of_edges, l);
    }
    *count = list.count;
    return list.items;
}

size_t egt_place_count(const struct egt_place *p)
{
    return (size_t)p->rows * (size_t)(p->columns ? p->columns : 1);
}

/* ---- layouts ---- */

/* Where what is of (head, dimension) lies among theirs. */
static size_t theirs_of(size_t i, size_t heads, size_t width)
{
    const size_t each = width / heads;
    return i / width * width + i % width % each * heads + i % width / each;
}

static void turn_rows(const struct egt_place *p, float *to, const float *from, size_t heads, bool to_ours)
{
    const size_t columns = p->columns ? (size_t)p->columns : 1, rows = (size_t)p->rows, width = rows / 3;
    for (size_t r = 0; r < rows; r++) {
        const size_t theirs = theirs_of(r, heads, width), into = to_ours ? r : theirs, out_of = to_ours ? theirs : r;
        memcpy(to + into * columns, from + out_of * columns, columns * sizeof *to);
    }
}

static void turn_columns(const struct egt_place *p, float *to, const float *from, size_t heads, bool to_ours)
{
    const size_t columns = (size_t)p->columns;
    for (size_t r = 0; r < (size_t)p->rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const size_t theirs = theirs_of(c, heads, columns);
            to[r * columns + (to_ours ? c : theirs)] = from[r * columns + (to_ours ? theirs : c)];
        }
}

bool egt_turn(const struct egt_place *p, float *x, int heads, bool to_ours)
{
    const size_t bytes = egt_place_count(p) * sizeof *x;
    if (p->kind != EGT_QKV && p->kind != EGT_HEADS)
        return true;
    float *copy = malloc(bytes);
    if (!copy)
        return false;
    memcpy(copy, x, bytes);
    (p->kind == EGT_QKV ? turn_rows : turn_columns)(p, x, copy, (size_t)heads, to_ours);
    free(copy);
    return true;
}

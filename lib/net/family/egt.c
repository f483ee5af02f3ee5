/* Graphs with an edge channel: embedding of nodes and edges, layers of attention with edges and of MLPs of both, a head of
 * values. */
#include "family.h"
#include "net/block/blocks.h"
#include "impl.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIELD(kind_, field, least_, most_, flags_, ...) \
    {.name = #field, .kind = (kind_), .at = offsetof(struct ssa_model_config, egt.field), .least = (least_), \
     .most = (most_), .flags = (flags_), .about = __VA_ARGS__}
#define INT(...) FIELD(SSA_FIELD_INT, __VA_ARGS__)
#define FLOAT(...) FIELD(SSA_FIELD_FLOAT, __VA_ARGS__)
#define FREE SSA_FIELD_FREE

enum { MOST_NODES = 1 << 13, MOST_IDS = 1 << 20, MOST_HIDDEN = 1 << 18 };

/* Bounds that keep every product of two dimensions within an int. */
static const struct ssa_field fields[] = {
    INT(nodes, 1, MOST_NODES, FREE, "most nodes of a graph"),
    INT(node_ids, 1, 1024, 0, "ids of a node: features"),
    INT(node_values, 1, MOST_IDS, 0, "values that each of them may have"),
    INT(edge_ids, 0, 1024, 0, "ids of an edge; 0: none"),
    INT(edge_values, 0, MOST_IDS, 0, "values that each of them may have"),
    INT(hops, 1, MOST_IDS, 0, "the farthest distance that is told from farther ones"),
    INT(encodings, 0, 1 << 15, 0, "numbers that encode where a node is; 0: none"),
    INT(layers, 1, 1024, 0, "layers"),
    INT(heads, 1, 1024, 0, "heads of attention; width / heads is a multiple of 4, at most 256"),
    INT(width, 4, 32768, 0, "width of the stream of nodes"),
    INT(edge_width, 1, 32768, 0, "width of the stream of edges"),
    INT(virtual_nodes, 0, 1024, 0, "nodes that every graph has in addition"),
    FLOAT(hidden_ratio, 0, 1024, 0, "width of the MLP of nodes, in widths; 0: 1"),
    FLOAT(edge_hidden_ratio, 0, 1024, 0, "width of the MLP of edges, in edge widths; 0: 1"),
    INT(targets, 0, 1 << 16, 0, "values of a graph that are learned; 0: 1"),
    INT(loss, SSA_LOSS_L1, SSA_LOSS_L2, FREE, "of a value", .choices = "l1|l2"),
    INT(edge_mode, SSA_EDGES_ALL, SSA_EDGES_FIXED, FREE, "which edges a layer updates", .choices = "all|sampled|fixed"),
    INT(activation, SSA_ACT_NONE, SSA_ACT_ELU, 0, "of MLPs and the head; default: elu",
        .choices = "default|gelu|gelu-tanh|silu|quick-gelu|relu|elu"),
    INT(head_layers, 0, SSA_HEAD_LAYERS, 0, "linear layers of the head: 1 or 3; 0: 3"),
    FLOAT(head_start, -FLT_MAX, FLT_MAX, FREE, "bias of the head's last layer in a new model; 0: as others"),
    FLOAT(clip, SSA_NONE, FLT_MAX, 0, "largest absolute value of a score; 0: 5, -1: none", .option = "score-clip"),
    FLOAT(norm_eps, 0, FLT_MAX, 0, "added to a norm's variance; 0: 1e-5"),
    INT(scale_degrees, 0, 1, FREE, "1: sums of gates over a sample are scaled to all"),
    INT(virtual_see_padding, 0, 1, FREE, "1: virtual nodes see padding, as in the weights that the authors published"),
    FLOAT(dropout, 0, 1, FREE, "of both branches of nodes, below 1"),
    FLOAT(edge_dropout, 0, 1, FREE, "of both branches of edges, below 1"),
    FLOAT(attention_dropout, 0, 1, FREE, "of attention's probabilities, below 1"),
    FLOAT(activation_dropout, 0, 1, FREE, "of what the MLPs' activations give, below 1"),
    FLOAT(drop_path, 0, 1, FREE, "of whole branches, by graph, in the last layer, 0 in the first; below 1"),
    FLOAT(drop_keys, 0, 1, FREE | SSA_FIELD_LATER, SSA_DROP_KEYS_ABOUT),
    {0}};

static void settle(struct ssa_model_config *config)
{
    struct ssa_egt *c = &config->egt;
    c->hidden_ratio = c->hidden_ratio > 0 ? c->hidden_ratio : 1;
    c->edge_hidden_ratio = c->edge_hidden_ratio > 0 ? c->edge_hidden_ratio : 1;
    c->targets = c->targets ? c->targets : 1;
    c->activation = c->activation ? c->activation : SSA_ACT_ELU;
    c->head_layers = c->head_layers ? c->head_layers : SSA_HEAD_LAYERS;
    c->clip = c->clip != 0 ? c->clip : 5;
    c->norm_eps = c->norm_eps > 0 ? c->norm_eps : 1e-5f;
}

/* To the nearest, of two the even one. */
static double hidden(int width, float ratio)
{
    return rint((double)width * (double)ratio);
}

static int check_below_one(const struct ssa_egt *c)
{
    const struct {
        const char *name;
        float value;
    } of[] = {{"dropout", c->dropout}, {"edge_dropout", c->edge_dropout},
              {"activation_dropout", c->activation_dropout}, {"drop_path", c->drop_path}};
    int err = SSA_OK;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        REQUIRE(of[i].value < 1, "model: %s is %g, must be in [0, 1)", of[i].name, (double)of[i].value);
done:
    return err;
}

static int check(const struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    const struct ssa_egt *c = &settled.egt;
    int err;
    settle(&settled);
    TRY(ssa_family_check_heads(c->width, c->heads, 4));
    REQUIRE((long long)c->node_ids * c->node_values <= MOST_IDS, "model: node_ids %d of node_values %d, must together "
            "be at most %d", c->node_ids, c->node_values, MOST_IDS);
    REQUIRE(!c->edge_ids || c->edge_values, "model: edge_values is 0, must be at least 1 where there are edge_ids");
    REQUIRE((long long)c->edge_ids * c->edge_values <= MOST_IDS, "model: edge_ids %d of edge_values %d, must together "
            "be at most %d", c->edge_ids, c->edge_values, MOST_IDS);
    REQUIRE(hidden(c->width, c->hidden_ratio) >= 1 && hidden(c->width, c->hidden_ratio) <= MOST_HIDDEN,
            "model: hidden_ratio is %g, of width %d that is %g, must be in [1, %d]", (double)c->hidden_ratio, c->width,
            hidden(c->width, c->hidden_ratio), MOST_HIDDEN);
    REQUIRE(hidden(c->edge_width, c->edge_hidden_ratio) >= 1 &&
            hidden(c->edge_width, c->edge_hidden_ratio) <= MOST_HIDDEN,
            "model: edge_hidden_ratio is %g, of edge_width %d that is %g, must be in [1, %d]",
            (double)c->edge_hidden_ratio, c->edge_width, hidden(c->edge_width, c->edge_hidden_ratio), MOST_HIDDEN);
    REQUIRE(c->head_layers == 1 || c->head_layers == SSA_HEAD_LAYERS, "model: head_layers is %d, must be 1 or %d",
            c->head_layers, SSA_HEAD_LAYERS);
    REQUIRE(c->clip > 0 || c->clip == SSA_NONE, "model: clip is %g, must be positive or SSA_NONE (0 means 5)",
            (double)c->clip);
    TRY(check_below_one(c));
    TRY(ssa_family_check_drops(c->attention_dropout, c->drop_keys));
done:
    return err;
}

/* Products of layers: queries, keys, values, what is made of attention's output, and the MLP; of edges biases, gates,
 * and, where there is a next layer to see them updated, what scores and their MLP add. */
static void count_products(const struct ssa_egt *c, struct ssa_facts *f)
{
    const double layers = c->layers, width = c->width, edges = c->edge_width;
    const double updates = c->edge_mode == SSA_EDGES_FIXED ? 0 : layers - 1;
    const double updating = c->heads + 2 * hidden(c->edge_width, c->edge_hidden_ratio);
    f->per_position = layers * (4 * width * width + 2 * width * hidden(c->width, c->hidden_ratio));
    f->per_pair = edges * (layers * 2 * c->heads + updates * updating);
    f->per_seen = layers * 2 * width;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    const struct ssa_egt *c = &settled.egt;
    settle(&settled);
    struct ssa_facts f = {.layers = c->layers, .length = c->nodes + c->virtual_nodes, .width = c->width,
                          .vocabulary = 1, .unsmoothed = true, .mixed = true, .lead = c->virtual_nodes,
                          .sees_padding = c->virtual_see_padding, .answers = c->targets, .join = SSA_JOIN_VALUES,
                          .squares = c->loss == SSA_LOSS_L2};
    count_products(c, &f);
    return f;
}

static bool narrow(struct ssa_model_config *config)
{
    struct ssa_egt *c = &config->egt;
    const int narrower = c->width - 4 * c->heads;
    if (narrower < 4 * c->heads)
        return false;
    c->width = narrower;
    return true;
}

/* ---- the list ---- */

/* Streams of random numbers, sixteen a layer. */
enum { OF_ATTENTION, OF_ATTENTION_PATH, OF_PROBABILITIES, OF_SCORES, OF_SCORES_PATH, OF_MLP, OF_MLP_PATH, OF_ACTIVATION,
       OF_EDGE_MLP, OF_EDGE_MLP_PATH, OF_EDGE_ACTIVATION };

/* What the branches of layer `l` have in common. */
struct layer {
    const struct ssa_egt *c;
    int l;
    float path;
    bool updates; /* edges */
};

/* Of a layer's branch that maps `in` to `out` wide rows in the end, of a stream `width` wide. */
static struct ssa_branch branch_of(const struct layer *y, const char *norm, float dropout, int stream, int in, int out)
{
    return (struct ssa_branch){.norm = {norm, SSA_NORM_LAYER, y->c->norm_eps, true}, .dropout = dropout,
                               .stream = y->l << 4 | stream, .path = y->path, .path_stream = y->l << 4 | (stream + 1),
                               .in_bound = 1 / sqrt((double)in), .out_bound = 1 / sqrt((double)out)};
}

static void name(struct ssa_block *block, const struct layer *y, const char *part)
{
    snprintf(block->prefix, sizeof block->prefix, "layer.%d.%s", y->l, part);
}

static void add_attention(struct ssa_net *net, const struct layer *y)
{
    const struct ssa_egt *c = y->c;
    struct ssa_edge_attention_block b = {
        .block.ends_bucket = true,
        .branch = branch_of(y, "norm1", c->dropout, OF_ATTENTION, c->width, c->width),
        .edges = branch_of(y, "edge.norm1", c->edge_dropout, OF_SCORES, c->edge_width, c->heads),
        .heads = c->heads, .lead = c->virtual_nodes, .clip = c->clip > 0 ? c->clip : 0,
        .dropout = c->attention_dropout, .drop_keys = c->drop_keys, .dropout_stream = y->l << 4 | OF_PROBABILITIES,
        .updates = y->updates, .cells = c->edge_mode != SSA_EDGES_ALL,
        .scale_degrees = c->scale_degrees};
    name(&b.block, y, "");
    ssa_net_add(net, &ssa_edge_attention_kind, &b);
}

static void add_mlp(struct ssa_net *net, const struct layer *y)
{
    const struct ssa_egt *c = y->c;
    const int inner = (int)hidden(c->width, c->hidden_ratio);
    struct ssa_mlp_block b = {
        .branch = branch_of(y, "norm2", c->dropout, OF_MLP, c->width, inner), .hidden = inner,
        .activation = c->activation, .bias = true, .bound_bias = true, .dropout = c->activation_dropout,
        .dropout_stream = y->l << 4 | OF_ACTIVATION};
    name(&b.block, y, "");
    ssa_net_add(net, &ssa_mlp_kind, &b);
}

static void add_edge_mlp(struct ssa_net *net, const struct layer *y)
{
    const struct ssa_egt *c = y->c;
    const int inner = (int)hidden(c->edge_width, c->edge_hidden_ratio);
    const bool cells = c->edge_mode == SSA_EDGES_SAMPLED;
    struct ssa_mlp_block b = {
        .block.stream = cells ? SSA_STREAM_CELLS : SSA_STREAM_EDGES,
        .branch = branch_of(y, "norm2", c->edge_dropout, OF_EDGE_MLP, c->edge_width, inner), .hidden = inner,
        .activation = c->activation, .bias = true, .bound_bias = true, .dropout = c->activation_dropout,
        .dropout_stream = y->l << 4 | OF_EDGE_ACTIVATION};
    name(&b.block, y, "edge.");
    ssa_net_add(net, &ssa_mlp_kind, &b);
    if (cells)
        ssa_net_add(net, &ssa_write_cells_kind, &(struct ssa_write_cells_block){.block.stream = SSA_STREAM_EDGES});
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct ssa_egt *c = &config->egt;
    ssa_net_add(net, &ssa_embed_graph_kind, &(struct ssa_embed_graph_block){.block.ends_bucket = true,
        .width = c->width, .edge_width = c->edge_width, .lead = c->virtual_nodes, .node_ids = c->node_ids,
        .node_values = c->node_values, .edge_ids = c->edge_ids, .edge_values = c->edge_values, .hops = c->hops,
        .encodings = c->encodings});
    for (int l = 0; l < c->layers; l++) {
        const struct layer y = {c, l, c->layers > 1 ? c->drop_path * (float)l / (float)(c->layers - 1) : 0,
                                c->edge_mode != SSA_EDGES_FIXED && l + 1 < c->layers};
        add_attention(net, &y);
        add_mlp(net, &y);
        if (y.updates)
            add_edge_mlp(net, &y);
    }
    ssa_net_add(net, &ssa_head_values_kind, &(struct ssa_head_values_block){.lead = c->virtual_nodes,
        .layers = c->head_layers, .values = c->targets, .activation = c->activation, .loss = c->loss,
        .start = c->head_start, .norm = {"norm", SSA_NORM_LAYER, c->norm_eps, true}});
}

const struct ssa_family ssa_egt_family = {"egt", fields, check, settle, facts, narrow, build, NULL};

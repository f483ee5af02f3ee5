/* Blocks of graphs between an embedding of graphs and a head of values: gradients of all parameters, of both streams
 * and of sampled cells, against central differences of the summed losses. Graphs of a batch are of mixed size. */
#include "differences.h"
#include "golden.h"
#include "net/block/blocks.h"
#include "nets.h"
#include "ssacl/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, WIDTH = 12, EDGE_WIDTH = 7, HEADS = 3, MAX_LEAD = 2, MAX_LAYERS = 3 };

/* ---- a net ---- */

enum edges { ALL = SSA_EDGES_ALL, CELLS = SSA_EDGES_SAMPLED, FIXED = SSA_EDGES_FIXED };
struct graph_case {
    const char *name;
    int nodes, lead, layers; /* layers: of attention, all but the last of which update edges, unless they are fixed */
    enum edges edges;
    float ratio;             /* of nodes that are sampled; 0: dense */
    bool own_key;
    bool bare;               /* neither ids of edges nor encodings, and a head of one layer */
    bool scales;             /* degrees */
    bool drops;              /* wherever it can */
    float drop_keys;         /* in the place of probabilities */
    float clip;
    int values;              /* 0: 1 */
    bool everywhere;         /* also on devices that launch slowly */
};
static const struct graph_case *now;

static bool updates(const struct graph_case *c, int layer)
{
    return c->edges != FIXED && layer + 1 < c->layers;
}

static int values_of(const struct graph_case *c)
{
    return c->values ? c->values : 1;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    (void)config;
    return (struct ssa_facts){.layers = now->layers, .length = now->lead + now->nodes, .width = WIDTH, .vocabulary = 1,
                              .unsmoothed = true, .mixed = true, .lead = now->lead, .answers = values_of(now),
                              .join = SSA_JOIN_VALUES, .squares = true};
}

static struct ssa_branch branch_of(const char *norm, int layer, int stream)
{
    struct ssa_branch b = {.norm = {norm, SSA_NORM_LAYER, 1e-5f, true}, .stream = layer << 4 | stream,
                           .path_stream = layer << 4 | (stream + 1)};
    if (now->drops) {
        b.dropout = 0.2f;
        b.path = 0.3f;
    }
    return b;
}

static struct ssa_mlp_block mlp_of(int layer, int stream, int hidden)
{
    return (struct ssa_mlp_block){.branch = branch_of("norm2", layer, stream), .hidden = hidden,
                                  .activation = SSA_ACT_ELU, .bias = true, .dropout = now->drops ? 0.2f : 0,
                                  .dropout_stream = layer << 4 | (stream + 2)};
}

static void add_layer(struct ssa_net *net, int layer)
{
    struct ssa_edge_attention_block a = {.block.ends_bucket = true, .branch = branch_of("norm1", layer, 0),
        .edges = branch_of("edge.norm1", layer, 3), .heads = HEADS, .lead = now->lead, .clip = now->clip,
        .dropout = now->drops && !now->drop_keys ? 0.2f : 0, .drop_keys = now->drop_keys,
        .dropout_stream = layer << 4 | 2, .updates = updates(now, layer),
        .cells = now->edges != ALL, .scale_degrees = now->scales};
    struct ssa_mlp_block nodes = mlp_of(layer, 5, 10), edges = mlp_of(layer, 8, 5);
    snprintf(a.block.prefix, sizeof a.block.prefix, "layer.%d.", layer);
    snprintf(nodes.block.prefix, sizeof nodes.block.prefix, "layer.%d.", layer);
    snprintf(edges.block.prefix, sizeof edges.block.prefix, "layer.%d.edge.", layer);
    edges.block.stream = now->edges == CELLS ? SSA_STREAM_CELLS : SSA_STREAM_EDGES;
    ssa_net_add(net, &ssa_edge_attention_kind, &a);
    ssa_net_add(net, &ssa_mlp_kind, &nodes);
    if (!updates(now, layer))
        return;
    ssa_net_add(net, &ssa_mlp_kind, &edges);
    if (now->edges == CELLS)
        ssa_net_add(net, &ssa_write_cells_kind, &(struct ssa_write_cells_block){.block.stream = SSA_STREAM_EDGES});
}

enum { NODE_IDS = 2, NODE_VALUES = 3, EDGE_IDS = 2, EDGE_VALUES = 2, HOPS = 3, ENCODINGS = 3 };

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    (void)config;
    ssa_net_add(net, &ssa_embed_graph_kind, &(struct ssa_embed_graph_block){.block.ends_bucket = true, .width = WIDTH,
        .edge_width = EDGE_WIDTH, .lead = now->lead, .node_ids = NODE_IDS, .node_values = NODE_VALUES,
        .edge_ids = now->bare ? 0 : EDGE_IDS, .edge_values = now->bare ? 0 : EDGE_VALUES, .hops = HOPS,
        .encodings = now->bare ? 0 : ENCODINGS});
    for (int l = 0; l < now->layers; l++)
        add_layer(net, l);
    ssa_net_add(net, &ssa_head_values_kind, &(struct ssa_head_values_block){.lead = now->lead,
        .layers = now->bare ? 1 : SSA_HEAD_LAYERS, .values = values_of(now), .activation = SSA_ACT_ELU,
        .loss = SSA_LOSS_L2, .norm = {"norm", SSA_NORM_LAYER, 1e-5f, true}});
}

static const struct ssa_family around = NETS_FAMILY("around", facts, build, NULL);

/* ---- graphs ---- */

struct fixture {
    struct ssa_model *model;
    struct ssa_plan plan[MAX_LAYERS];
    const struct ssa_plan *plans[MAX_LAYERS];
    int32_t lengths[BATCH], *nodes, *edges, *hops;
    float *encodings, *values;
    struct ssa_pass pass;
};

/* One value of each feature, or none: of nodes and edges that are no padding, too. */
static int32_t *draw_ids(size_t count, int each, int values, uint32_t seed)
{
    int32_t *ids = malloc(count * (size_t)each * sizeof *ids);
    for (uint32_t i = 0; i < count * (size_t)each; i++) {
        const int value = (int)((golden_value(seed, i) + 1) / 2 * (values + 1));
        ids[i] = value ? 1 + (int)i % each * values + value - 1 : 0;
    }
    return ids;
}

/* The whole length, one node less than half of it, and a single node, where there are so many. */
static int length_of(const struct graph_case *c, int graph)
{
    const int sizes[BATCH] = {c->nodes, (c->nodes + 1) / 2, 1};
    return c->lead + sizes[graph];
}

static void draw(struct fixture *f, const struct graph_case *c)
{
    static const int lead[MAX_LEAD] = {0, 1};
    for (int l = 0; c->ratio > 0 && l < c->layers; l++) {
        OK(ssa_plan_draw(&f->plan[l], &(struct ssa_sample){.kind = SSA_UNBIASED, .length = f->pass.length,
            .batch = BATCH, .lengths = f->lengths, .ratio = c->ratio, .keep = c->lead ? lead : NULL,
            .keep_count = c->lead, .own_key = c->own_key, .per_example = 1, .seed = 9, .layer = (uint32_t)l}));
        f->plans[l] = &f->plan[l];
    }
}

static void fill_parameters(struct ssa_model *m)
{
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        float *x = test_values(p->count, (uint64_t)i + 1, -0.4f, 0.4f);
        for (size_t e = 0; strstr(p->name, "gain") && e < p->count; e++)
            x[e] += 1;
        OK(ssa_tensor_write(p->value, x, p->count));
        free(x);
    }
}

static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct graph_case *c)
{
    const struct ssa_model_config config = {.family = SSA_FAMILY_OF_TESTS};
    const size_t nodes = BATCH * (size_t)c->nodes, pairs = nodes * (size_t)c->nodes;
    *f = (struct fixture){.model = NULL};
    now = c;
    ssa_family_of_tests = &around;
    OK(ssa_model_create(&f->model, dev, &config, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    fill_parameters(f->model);
    for (int b = 0; b < BATCH; b++)
        f->lengths[b] = length_of(c, b);
    f->nodes = draw_ids(nodes, NODE_IDS, NODE_VALUES, 20);
    f->hops = draw_ids(pairs, 1, HOPS, 21);
    f->values = test_values((size_t)(BATCH * values_of(c)), 22, -2, 2);
    if (!c->bare) {
        f->edges = draw_ids(pairs, EDGE_IDS, EDGE_VALUES, 23);
        f->encodings = test_values(nodes * ENCODINGS, 24, -1, 1);
    }
    f->pass = (struct ssa_pass){.batch = BATCH, .length = c->lead + c->nodes, .lengths = f->lengths, .nodes = f->nodes,
        .encodings = f->encodings, .edges = f->edges, .hops = f->hops, .values = f->values, .plans = f->plans,
        .training = 1, .seed = 3, .step = 5, .first_example = 2};
    draw(f, c);
}

static void close_fixture(struct fixture *f)
{
    void *all[] = {f->nodes, f->edges, f->hops, f->encodings, f->values};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    for (int l = 0; l < MAX_LAYERS; l++)
        ssa_plan_finish(&f->plan[l]);
    ssa_model_destroy(f->model);
    ssa_family_of_tests = NULL;
}

/* ---- cases ---- */

static const struct graph_case cases[] = {
    {"embedding of nodes, values of their mean", 7},
    {"embedding of nodes alone, one layer of a head", 7, .bare = true, .values = 2},
    {"virtual nodes, whose rows are joined", 5, 2, .values = 3},
    {"attention reads edges", 7, 0, 1},
    {"attention, one node", 1, 0, 1},
    {"attention, one node beside a virtual one", 1, 1, 2},
    {"attention, no virtual nodes, bare", 11, 0, 2, .bare = true},
    {"edges that layers update", 7, 2, 2},
    {"all edges, sampled attention", 11, 1, 3, .ratio = 0.4f, .clip = 0.3f},
    {"all edges, what is dropped", 5, 2, 2, .ratio = 0.5f, .drops = true},
    {"all edges, keys dropped", 5, 2, 2, .drop_keys = 0.3f},
    {"fixed edges", 7, 1, 2, FIXED},
    {"fixed edges, sampled", 11, 2, 2, FIXED, .ratio = 0.4f},
    {"cells of dense layers", 5, 2, 2, CELLS},
    {"cells of samples", 7, 2, 2, CELLS, .ratio = 0.4f, .everywhere = true},
    {"cells of samples, one layer more", 11, 2, 3, CELLS, .ratio = 0.4f},
    {"cells of samples and own keys, no virtual nodes", 7, 0, 2, CELLS, .ratio = 0.3f, .own_key = true},
    {"cells, what is dropped, degrees to scale", 7, 2, 3, CELLS, .ratio = 0.5f, .scales = true, .drops = true},
    {"cells, what is dropped, keys", 7, 2, 3, CELLS, .ratio = 0.5f, .scales = true, .drops = true, .drop_keys = 0.3f},
    {"cells, one node", 1, 2, 2, CELLS, .ratio = 0.5f},
    {"one more than a tile of keys", 31, 2, 2, .ratio = 0.5f},
    {"one more than a tile of keys, cells", 33, 0, 2, CELLS, .ratio = 0.3f},
};

START_TEST(finite_differences)
{
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const struct graph_case *c = &cases[i];
            struct fixture f;
            if (!c->everywhere && test_launches_slowly(dev))
                continue;
            open_fixture(&f, dev, c);
            check_differences(&(struct differences){f.model, &f.pass, (size_t)(BATCH * values_of(c)), .what = c->name,
                .may_vanish = !c->layers || c->nodes == 1}); /* where edges count nowhere, or there is one key */
            close_fixture(&f);
        }
}
END_TEST

int main(void)
{
    return test_run("graph_blocks", (const TTest *const[]){finite_differences, NULL});
}

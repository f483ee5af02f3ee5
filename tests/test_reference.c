/* Whole models of every family against those of the oracles in double precision (demos/operators/reference_model.c): the
 * loss of a sequence, and gradients by difference quotients of the oracles alone. Of shapes that are awkward: one node,
 * primes, one more than a tile; dense and sampled. */
#include "harness.h"
#include "reference_model.h"

#define NAMED(name_, ...) {.name = (name_), .model = {__VA_ARGS__}}
#define GRAPH(name_, ...) \
    NAMED(name_, .family = SSA_EGT, .egt = {.node_ids = 2, .node_values = 5, .hops = 3, __VA_ARGS__})
#define SMALL .layers = 3, .heads = 2, .width = 24, .edge_width = 7, .edge_ids = 2, .edge_values = 3, .encodings = 4

static const struct model_case {
    const char *name;
    struct ssa_model_config model;
    bool everywhere; /* also on devices that launch slowly */
    bool dense;      /* alone */
    bool permutes;   /* queries, too */
} graphs[] = {
    GRAPH("one node", .nodes = 1, SMALL),
    GRAPH("one node, virtual nodes, one layer", .nodes = 1, .layers = 1, .heads = 1, .width = 4, .edge_width = 1,
          .virtual_nodes = 1),
    GRAPH("two nodes, edges by samples", .nodes = 2, SMALL, .virtual_nodes = 1, .edge_mode = SSA_EDGES_SAMPLED),
    {.name = "13 nodes, all edges", .everywhere = true, .model = {.family = SSA_EGT, .egt = {.node_ids = 2,
     .node_values = 5, .hops = 3, .nodes = 13, SMALL, .virtual_nodes = 4, .targets = 3}}},
    {.name = "13 nodes, edges by samples", .everywhere = true, .model = {.family = SSA_EGT, .egt = {.node_ids = 2,
     .node_values = 5, .hops = 3, .nodes = 13, SMALL, .virtual_nodes = 4, .edge_mode = SSA_EDGES_SAMPLED}}},
    GRAPH("13 nodes, fixed edges", .nodes = 13, SMALL, .virtual_nodes = 2, .edge_mode = SSA_EDGES_FIXED),
    GRAPH("no virtual nodes, as TGT", .nodes = 11, SMALL, .activation = SSA_ACT_GELU, .clip = SSA_NONE,
          .head_layers = 1, .head_start = 0.3f, .targets = 2),
    GRAPH("scores that are clipped, squares", .nodes = 11, SMALL, .virtual_nodes = 1, .clip = 0.05f,
          .loss = SSA_LOSS_L2, .targets = 2),
    GRAPH("degrees to scale, wider MLPs", .nodes = 17, SMALL, .virtual_nodes = 3, .scale_degrees = 1,
          .hidden_ratio = 1.5f, .edge_hidden_ratio = 2.3f, .edge_mode = SSA_EDGES_SAMPLED),
    GRAPH("neither ids of edges nor encodings", .nodes = 7, .layers = 2, .heads = 3, .width = 12, .edge_width = 5,
          .virtual_nodes = 2),
    GRAPH("one more than a tile", .nodes = 61, SMALL, .virtual_nodes = 4),
    GRAPH("one more than a tile, edges by samples", .nodes = 65, .layers = 2, .heads = 1, .width = 8, .edge_width = 9,
          .edge_mode = SSA_EDGES_SAMPLED),
    GRAPH("rows and widths of one more than tiles", .nodes = 33, .layers = 2, .heads = 5, .width = 100,
          .edge_width = 33, .edge_ids = 3, .edge_values = 4, .encodings = 6, .virtual_nodes = 1),
};

static const struct model_case others[] = {
    {.name = "gpt", .permutes = true, .model.gpt = {.layers = 2, .heads = 3, .width = 24, .vocabulary = 37,
     .length = 40}},
    {.name = "gpt of one position", .dense = true, .model.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 3,
     .length = 1, .positions = SSA_POSITIONS_LEARNED, .untied = 1}},
    {.name = "vit", .permutes = true, .model = {.family = SSA_VIT, .vit = {.rows = 6, .columns = 10, .channels = 2,
     .patch = 2, .layers = 2, .heads = 3, .width = 24, .classes = 5}}},
    {.name = "vit of an odd number of patches, mean", .permutes = true, .everywhere = true, .model = {.family = SSA_VIT,
     .vit = {.rows = 6, .columns = 28, .channels = 1, .patch = 2, .layers = 2, .heads = 3, .width = 24, .classes = 5,
     .mean_pool = 1}}},
    {.name = "vit of one patch, mean", .dense = true, .model = {.family = SSA_VIT, .vit = {.rows = 3, .columns = 3,
     .channels = 1, .patch = 3, .layers = 1, .heads = 1, .width = 8, .classes = 2, .mean_pool = 1}}},
    {.name = "pixels", .permutes = true, .model = {.family = SSA_PIXELS, .pixels = {.rows = 4, .columns = 5,
     .channels = 3, .layers = 2, .heads = 3, .width = 24}}},
    NAMED("swin", .family = SSA_SWIN, .swin = {.rows = 16, .columns = 32, .channels = 1, .patch = 2, .width = 24,
          .layers = {2, 1}, .heads = {3}, .window = 4, .classes = 3}),
    {.name = "words", .permutes = true, .model = {.family = SSA_WORDS, .words = {.vocabulary = 61, .length = 40,
     .layers = 2, .heads = 3, .width = 48, .cutoffs = {11, 12}}}},
    NAMED("words of one band", .family = SSA_WORDS, .words = {.vocabulary = 7, .length = 8, .layers = 1, .heads = 1,
          .width = 8}),
};

/* Relative: some ten times what the host's float32 has. */
static const double tolerance = 1e-5;

static void check_case(struct ssa_device *dev, const struct model_case *c, const struct ssa_pattern *pattern)
{
    struct ssa_model *m;
    double error = NAN;
    OK(ssa_model_create(&m, dev, &c->model, &(struct ssa_model_limits){.batch = 1, .training = 1}));
    OK(check_model(m, pattern, &error));
    ck_assert_msg(error <= tolerance, "\"%s\"%s: the error is %g", c->name,
                  pattern->permute_queries ? ", permuted" : pattern->kind ? ", sampled" : "", error);
    ssa_model_destroy(m);
}

static const struct ssa_pattern *permuted(const struct model_case *c)
{
    static const struct ssa_pattern halves = {.kind = SSA_LOCAL, .ratio = 0.5f, .permute_queries = 1, .per_example = 1},
                                    few = {.kind = SSA_LOCAL, .ratio = 1.0f / 14, .permute_queries = 1, .sigma = 3};
    return c->everywhere ? &few : &halves;
}

static void check_cases(struct ssa_device *dev, const struct model_case *cases, size_t count)
{
    static const struct ssa_pattern dense = {.kind = SSA_DENSE},
                                    sampled = {.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1};
    for (size_t i = 0; i < count; i++)
        if (cases[i].everywhere || !test_launches_slowly(dev)) {
            check_case(dev, &cases[i], &dense);
            if (!cases[i].dense)
                check_case(dev, &cases[i], &sampled);
            if (cases[i].permutes)
                check_case(dev, &cases[i], permuted(&cases[i]));
        }
}

START_TEST(models_of_graphs)
{
    FOR_DEVICES (dev)
        check_cases(dev, graphs, sizeof graphs / sizeof *graphs);
}
END_TEST

START_TEST(other_models)
{
    FOR_DEVICES (dev)
        check_cases(dev, others, sizeof others / sizeof *others);
}
END_TEST

int main(void)
{
    return test_run("reference", (const TTest *const[]){models_of_graphs, other_models, NULL});
}

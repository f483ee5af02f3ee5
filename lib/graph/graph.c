#include "graph.h"
#include "impl.h"

#include <stdlib.h>

enum { MOST_NODES = 1 << 15 };

int ssa_graph_check(const char *op, const struct ssa_graph *g, size_t least, size_t *stride)
{
    int err = SSA_OK;
    REQUIRE(g->nodes >= 1 && g->nodes <= MOST_NODES, "%s: nodes is %d, must be in [1, %d]", op, g->nodes, MOST_NODES);
    REQUIRE(g->edges || !g->edge_count, "%s: edges is NULL, and edge_count %zu", op, g->edge_count);
    REQUIRE(g->edge_count <= (size_t)1 << 30, "%s: edge_count is %zu, must be at most 2^30", op, g->edge_count);
    for (size_t e = 0; e < 2 * g->edge_count; e++)
        REQUIRE(g->edges[e] >= 0 && g->edges[e] < g->nodes, "%s: edge %zu is of node %d, must be in [0, %d)", op, e / 2,
                g->edges[e], g->nodes);
    REQUIRE(!*stride || *stride >= least, "%s: stride is %zu, must be at least %zu (0 means that)", op, *stride, least);
    *stride = *stride ? *stride : least;
done:
    return err;
}

/* Neighbours of i: to[first[i]] to to[first[i + 1] - 1]. */
struct neighbours {
    size_t *first;
    int32_t *to;
};

static int list_neighbours(const struct ssa_graph *g, struct neighbours *l)
{
    *l = (struct neighbours){calloc((size_t)g->nodes + 2, sizeof *l->first),
                             malloc((2 * g->edge_count + 1) * sizeof *l->to)};
    if (!l->first || !l->to)
        return ssa_fail(SSA_ENOMEM, "graph_hops: out of host memory");
    size_t *end = l->first + 1; /* of each node's, while they are filled */
    for (size_t e = 0; e < 2 * g->edge_count; e++)
        end[g->edges[e] + 1]++;
    for (int i = 0; i < g->nodes; i++)
        end[i + 1] += end[i];
    for (size_t e = 0; e < 2 * g->edge_count; e++)
        l->to[end[g->edges[e]]++] = g->edges[e ^ 1];
    return SSA_OK;
}

/* Breadth first, from one node. `reached` holds n. */
static void hops_from(int from, int nodes, int most, const struct neighbours *l, int32_t *reached, int32_t *hops)
{
    int count = 1;
    for (int j = 0; j < nodes; j++)
        hops[j] = most;
    hops[from] = 0;
    reached[0] = from;
    for (int at = 0; at < count; at++) {
        const int32_t i = reached[at];
        for (size_t n = l->first[i]; n < l->first[i + 1]; n++) {
            const int32_t j = l->to[n];
            if (hops[i] + 1 >= hops[j])
                continue;
            hops[j] = hops[i] + 1;
            reached[count++] = j;
        }
    }
}

int ssa_graph_hops(const struct ssa_graph *graph, int most, int32_t *hops, size_t stride)
{
    struct neighbours l = {0};
    int32_t *reached = NULL;
    int err;
    REQUIRE(most >= 1, "graph_hops: most is %d, must be at least 1", most);
    TRY(ssa_graph_check("graph_hops", graph, (size_t)graph->nodes, &stride));
    TRY(list_neighbours(graph, &l));
    reached = malloc((size_t)graph->nodes * sizeof *reached);
    if (!reached)
        TRY(ssa_fail(SSA_ENOMEM, "graph_hops: out of host memory"));
    for (int i = 0; i < graph->nodes; i++)
        hops_from(i, graph->nodes, most, &l, reached, hops + (size_t)i * stride);
done:
    free(l.first);
    free(l.to);
    free(reached);
    return err;
}

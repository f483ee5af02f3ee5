/* Models of graphs with a channel of edges, of the oracles: all that the reference model does of them. */
#include "reference_network.h"

#include "model.h"
#include "tensors.h"

#include "oracle/attention.h"
#include "oracle/centrality.h"
#include "oracle/embedding.h"
#include "oracle/frame.h"
#include "oracle/mean.h"
#include "oracle/prepend.h"
#include "oracle/value_loss.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pairs of positions, virtual nodes included. */
static size_t pairs_of(const struct network *n)
{
    return (size_t)n->positions * (size_t)n->positions;
}

/* ---- what it reads ---- */

static int nodes_of(const struct network *n)
{
    return n->positions - n->config.egt.virtual_nodes;
}

/* One value of each feature, of some none at all. */
static int32_t *draw_ids(size_t count, int each, int values, unsigned none)
{
    int32_t *ids = malloc((count * (size_t)each + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < count * (size_t)each; i++) {
        const unsigned drawn = (unsigned)i * 2654435761u >> 8;
        const int32_t value = (int32_t)(drawn % (unsigned)values), feature = (int32_t)(i % (size_t)each);
        ids[i] = drawn / 1024 % 4 < none ? 0 : 1 + feature * values + value;
    }
    return ids;
}

/* Far from what a new model says, so that no loss is at its kink. */
static float *draw_values(int count)
{
    float *values = make_values((size_t)count, 3);
    for (int t = 0; values && t < count; t++)
        values[t] += t % 2 ? -3 : 3;
    return values;
}

int graph_allocate(struct network *n)
{
    const struct ssa_egt *c = &n->config.egt;
    const size_t nodes = (size_t)nodes_of(n), edges = nodes * nodes;
    n->lengths[0] = n->positions - (nodes > 2);
    n->nodes = draw_ids(nodes, c->node_ids, c->node_values, 1);
    n->hops = draw_ids(edges, 1, c->hops, 1);
    n->values = draw_values(n->answers);
    bool all = n->nodes && n->hops && n->values;
    if (c->edge_ids)
        all &= (n->edges = draw_ids(edges, c->edge_ids, c->edge_values, 3)) != NULL;
    if (c->encodings)
        all &= (n->encodings = make_values(nodes * (size_t)c->encodings, 2)) != NULL;
    return all ? SSA_OK : SSA_ENOMEM;
}

size_t graph_room(const struct network *n)
{
    size_t widest = 2 * (size_t)n->config.egt.heads;
    for (int i = 0; i < n->count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(n->model, i);
        if (strstr(p->name, ".edge.") && (size_t)p->rows > widest)
            widest = (size_t)p->rows;
    }
    if ((size_t)n->config.egt.edge_width > widest)
        widest = (size_t)n->config.egt.edge_width;
    return pairs_of(n) * widest;
}

void graph_free(struct network *n)
{
    void *all[] = {n->nodes, n->edges, n->hops, n->encodings, n->values};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* ---- embeddings ---- */

static void embed_nodes(struct network *n)
{
    const struct ssa_egt *c = &n->config.egt;
    const struct ssa_parameter *table, *none;
    const double *nodes = network_value(n, "node", ".weight", &table);
    double *const *room = n->room;
    n->rows = nodes_of(n);
    oracle_embedding_fwd(&(struct oracle_embedding){.ids = n->nodes, .rows = n->rows, .length = n->rows,
        .width = n->width, .vocabulary = table->rows, .each = c->node_ids, .dead = 1, .scale = 1}, nodes, NULL,
        room[NORM]);
    for (int i = 0; i < n->rows * c->encodings; i++)
        room[Q][i] = (double)n->encodings[i];
    if (c->encodings)
        network_linear(n, "encoding", room[Q], SSA_ACT_NONE, room[NORM], room[NORM]);
    oracle_prepend_fwd(&(struct oracle_prepend){1, c->virtual_nodes, n->rows, n->width},
                       network_value(n, "virtual", ".weight", &none), room[NORM], NULL, room[X]);
}

static void embed_edges(const struct network *n)
{
    const struct ssa_egt *c = &n->config.egt;
    const struct ssa_parameter *table, *none;
    const int nodes = nodes_of(n), D = c->edge_width;
    struct oracle_embedding e = {.ids = n->hops, .rows = nodes * nodes, .length = nodes * nodes, .width = D,
                                 .vocabulary = c->hops + 1, .each = 1, .scale = 1};
    double *hops = n->room[WIDE], *edges = n->room[BIAS];
    oracle_embedding_fwd(&e, network_value(n, "hop", ".weight", &none), NULL, hops);
    if (c->edge_ids) {
        const double *ids = network_value(n, "edge", ".weight", &table);
        e.ids = n->edges;
        e.vocabulary = table->rows;
        e.each = c->edge_ids;
        e.dead = 1;
        oracle_embedding_fwd(&e, ids, hops, edges);
    }
    oracle_frame_fwd(&(struct oracle_frame){1, c->virtual_nodes, nodes, D},
                     c->edge_ids ? edges : hops, network_value(n, "virtual_edge", ".weight", &none), n->room[EDGES]);
}

/* ---- a layer ---- */

/* Rows of pairs, `width` wide, from column `first` on to [heads, query, key], or back. */
static void to_heads(const struct network *n, const double *rows, size_t width, size_t first, double *heads)
{
    const size_t pairs = pairs_of(n);
    for (size_t h = 0; h < (size_t)n->heads; h++)
        for (size_t p = 0; p < pairs; p++)
            heads[h * pairs + p] = rows[p * width + first + h];
}

static void from_heads(const struct network *n, const double *heads, double *rows)
{
    const size_t pairs = pairs_of(n), width = (size_t)n->heads;
    for (size_t h = 0; h < width; h++)
        for (size_t p = 0; p < pairs; p++)
            rows[p * width + h] = heads[h * pairs + p];
}

/* By how many times more a dense layer would see: of plans of one set for all queries, which see no more than it. */
static double degree_ratio(const struct network *n, int layer)
{
    int *keys = malloc(((size_t)n->positions + 1) * sizeof *keys);
    const int seen = keys ? oracle_attention_keys(&n->plans[layer], 0, 0, 0, keys) : 0;
    free(keys);
    return n->config.egt.scale_degrees && seen ? (double)n->lengths[0] / seen : 1;
}

/* Biases and gates, in front of attention. */
static void pairs_forward(struct network *n)
{
    double *const *room = n->room;
    const size_t width = 2 * (size_t)n->heads;
    n->rows = (int)pairs_of(n);
    network_norm(n, "edge.norm1", room[EDGES], room[NORM]);
    network_linear(n, "edge.pair", room[NORM], SSA_ACT_NONE, NULL, room[WIDE]);
    to_heads(n, room[WIDE], width, 0, room[BIAS]);
    to_heads(n, room[WIDE], width, (size_t)n->heads, room[GATES]);
    n->rows = n->positions;
}

static void attention(struct network *n, int layer)
{
    const struct ssa_egt *c = &n->config.egt;
    double *const *room = n->room;
    pairs_forward(n);
    network_norm(n, "norm1", room[X], room[NORM]);
    network_linear(n, "qkv", room[NORM], SSA_ACT_NONE, NULL, room[WIDE]);
    network_take_apart(n, (size_t)n->width, (size_t)n->width);
    oracle_attention_fwd(&(struct oracle_attention){.q = room[Q], .k = room[K], .v = room[V], .out = room[OUT],
        .lse = room[UNREAD], .plan = &n->plans[layer], .batch = 1, .keys = n->positions, .heads = n->heads,
        .kv_heads = n->heads, .width = n->width / n->heads, .clip = c->clip > 0 ? (double)c->clip : 0,
        .bias = room[BIAS], .gate = room[GATES], .scores = room[SCORES], .gate_sum = room[SUMS]});
    oracle_centrality_fwd(&(struct oracle_centrality){1, n->positions, n->heads, n->width / n->heads, c->virtual_nodes,
        degree_ratio(n, layer)}, room[OUT], room[SUMS], room[NORM]);
    network_linear(n, "proj", room[NORM], SSA_ACT_NONE, room[X], room[X]);
}

/* Edges that the layer does not sample become what they were. */
static void restore(const struct network *n, int layer, const double *before)
{
    const size_t N = (size_t)n->positions, D = (size_t)n->config.egt.edge_width;
    int *keys = malloc((N + 1) * sizeof *keys);
    bool *seen = malloc(N);
    for (size_t i = 0; keys && seen && i < N; i++) {
        const int count = oracle_attention_keys(&n->plans[layer], 0, (int)i, 0, keys);
        memset(seen, 0, N);
        for (int j = 0; j < count; j++)
            seen[keys[j]] = true;
        for (size_t j = 0; j < N; j++)
            if (!seen[j])
                memcpy(n->room[EDGES] + (i * N + j) * D, before + (i * N + j) * D, D * sizeof *before);
    }
    free(keys);
    free(seen);
}

static void edges_forward(struct network *n, int layer)
{
    const size_t size = pairs_of(n) * (size_t)n->config.egt.edge_width * sizeof(double);
    double *const *room = n->room;
    memcpy(room[PAIRS], room[EDGES], size);
    n->rows = (int)pairs_of(n);
    from_heads(n, room[SCORES], room[WIDE]);
    network_linear(n, "edge.proj", room[WIDE], SSA_ACT_NONE, room[EDGES], room[EDGES]);
    snprintf(n->prefix, sizeof n->prefix, "layer.%d.edge.", layer);
    network_mlp(n, room[EDGES]);
    n->rows = n->positions;
    if (n->config.egt.edge_mode == SSA_EDGES_SAMPLED)
        restore(n, layer, room[PAIRS]);
}

static void run_layer(struct network *n, int layer)
{
    snprintf(n->prefix, sizeof n->prefix, "layer.%d.", layer);
    attention(n, layer);
    network_mlp(n, n->room[X]);
    if (n->config.egt.edge_mode != SSA_EDGES_FIXED && layer + 1 < n->layers)
        edges_forward(n, layer);
    *n->prefix = 0;
}

/* ---- head ---- */

static double head(struct network *n)
{
    const struct ssa_egt *c = &n->config.egt;
    double *const *room = n->room, *from = room[NORM], *to = room[OUT], loss = 0;
    network_norm(n, "norm", room[X], from);
    if (!c->virtual_nodes) {
        oracle_mean_fwd(&(struct oracle_mean){1, n->rows, 0, n->rows, n->width, n->lengths}, room[NORM], room[Q]);
        from = room[Q];
    }
    n->rows = 1; /* the first rows of the stream, side by side as they lie */
    for (int i = 0; i < c->head_layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "head.%d", i);
        network_linear(n, name, from, i + 1 < c->head_layers ? c->activation : SSA_ACT_NONE, NULL, to);
        from = to;
        to = to == room[OUT] ? room[WIDE] : room[OUT];
    }
    for (int t = 0; t < n->answers; t++)
        room[K][t] = (double)n->values[t];
    oracle_value_loss(from, room[K], (size_t)n->answers, c->loss, 1, room[V], room[UNREAD]);
    for (int t = 0; t < n->answers; t++)
        loss += room[V][t] / n->answers;
    return loss;
}

double graph_forward(struct network *n)
{
    embed_nodes(n);
    embed_edges(n);
    n->rows = n->positions;
    for (int l = 0; l < n->layers; l++)
        run_layer(n, l);
    return head(n);
}

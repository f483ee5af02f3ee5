#include "source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what is kept of a graph ---- */

size_t source_room(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    const double bytes = pages > 0 && size > 0 ? (double)pages * (double)size / 4 : 0;
    return bytes < (double)(SIZE_MAX / 4) ? (size_t)bytes : SIZE_MAX / 4;
}

static size_t encodings_bytes(const struct source *s, int atoms)
{
    return (size_t)atoms * (size_t)s->shape.encodings * sizeof(float);
}

static size_t bytes_of(const struct source *s, int atoms)
{
    return encodings_bytes(s, atoms) + (size_t)atoms * (size_t)atoms * sizeof(uint16_t);
}

static int make_room(struct source *s)
{
    const size_t n = (size_t)s->data->most_atoms, bonds = (size_t)s->data->most_bonds;
    if (s->hops)
        return SSA_OK;
    s->kept = calloc(s->count, sizeof *s->kept);
    s->bonds = malloc((2 * bonds + 1) * sizeof *s->bonds);
    s->hops = malloc(n * n * sizeof *s->hops);
    if (s->kept && s->bonds && s->hops)
        return SSA_OK;
    source_close(s);
    return SSA_ENOMEM;
}

void source_close(struct source *s)
{
    for (size_t i = 0; s->kept && i < s->count; i++)
        free(s->kept[i]);
    free(s->kept);
    free(s->bonds);
    free(s->hops);
    order_free(&s->order);
    order_free(&s->of_sizes);
    s->kept = NULL;
    s->bonds = s->hops = NULL;
    s->used = 0;
}

static int compute(struct source *s, const struct graph *g, unsigned char *to)
{
    uint16_t *hops = (uint16_t *)(void *)(to + encodings_bytes(s, g->atoms));
    struct ssa_graph graph = {.nodes = g->atoms, .edges = s->bonds, .edge_count = (size_t)g->bonds};
    int status = SSA_OK;
    for (int b = 0; b < 2 * g->bonds; b++)
        s->bonds[b] = graph_end(g, b / 2, b % 2);
    if (s->shape.encodings)
        status = ssa_graph_encodings(&graph, s->shape.encodings / 2, (float *)(void *)to, 0);
    if (!status && s->shape.hops)
        status = ssa_graph_hops(&graph, s->shape.hops, s->hops, 0);
    for (int i = 0; !status && s->shape.hops && i < g->atoms * g->atoms; i++)
        hops[i] = (uint16_t)s->hops[i];
    return status;
}

/* Encodings and distances of graph `i` of the part; `*own` is to be freed where it is not NULL. */
static int find(struct source *s, size_t i, const struct graph *g, const unsigned char **found, unsigned char **own)
{
    const size_t bytes = bytes_of(s, g->atoms);
    *own = NULL;
    if (!s->kept[i]) {
        unsigned char *made = malloc(bytes);
        const int status = made ? compute(s, g, made) : SSA_ENOMEM;
        if (status) {
            free(made);
            return status;
        }
        if (s->used + bytes <= s->room) {
            s->kept[i] = made;
            s->used += bytes;
        } else {
            *own = made;
        }
        *found = made;
        return SSA_OK;
    }
    *found = s->kept[i];
    return SSA_OK;
}

/* ---- a batch ---- */

static void clear(const struct source *s, const struct ssa_batch *b, size_t count, size_t n)
{
    const size_t cells = count * n * n;
    memset(b->nodes, 0, count * n * (size_t)s->data->atom_ids * sizeof *b->nodes);
    memset(b->edges, 0, cells * (size_t)s->data->bond_ids * sizeof *b->edges);
    if (b->hops)
        memset(b->hops, 0, cells * sizeof *b->hops);
    if (b->encodings)
        memset(b->encodings, 0, count * n * (size_t)s->shape.encodings * sizeof *b->encodings);
}

/* Ids of atoms and bonds: 1 + feature * values + value. */
static void put_ids(const struct source *s, const struct graph *g, int32_t *nodes, int32_t *edges, size_t n)
{
    const struct graphs *d = s->data;
    for (int i = 0; i < g->atoms * d->atom_ids; i++)
        nodes[i] = 1 + i % d->atom_ids * d->atom_values + g->of_atoms[i];
    for (int b = 0; b < g->bonds; b++) {
        const size_t from = (size_t)graph_end(g, b, 0), to = (size_t)graph_end(g, b, 1);
        for (int f = 0; f < d->bond_ids; f++) {
            const int32_t id = 1 + f * d->bond_values + g->of_bonds[b * d->bond_ids + f];
            edges[(from * n + to) * (size_t)d->bond_ids + (size_t)f] = id;
            edges[(to * n + from) * (size_t)d->bond_ids + (size_t)f] = id;
        }
    }
}

static void put_hops(const uint16_t *from, int atoms, int32_t *to, size_t n)
{
    for (int i = 0; i < atoms; i++)
        for (int j = 0; j < atoms; j++)
            to[(size_t)i * n + (size_t)j] = from[i * atoms + j];
}

/* Graph `i` of the part as example `e` of the batch, of n nodes. */
static int put(struct source *s, const struct ssa_draw *draw, const struct ssa_batch *b, size_t i, int e, size_t n)
{
    const struct graph g = graphs_get(s->data, s->graphs[i]);
    const size_t at = (size_t)e, encodings = (size_t)s->shape.encodings;
    const unsigned char *found = NULL;
    unsigned char *own = NULL;
    const int status = find(s, i, &g, &found, &own);
    if (status)
        return status;
    put_ids(s, &g, b->nodes + at * n * (size_t)s->data->atom_ids, b->edges + at * n * n * (size_t)s->data->bond_ids, n);
    if (b->hops)
        put_hops((const uint16_t *)(const void *)(found + encodings_bytes(s, g.atoms)), g.atoms,
                 b->hops + at * n * n, n);
    if (b->encodings) {
        float *to = b->encodings + at * n * encodings;
        memcpy(to, found, encodings_bytes(s, g.atoms));
        if (draw->training && s->flip)
            ssa_graph_flip(to, g.atoms, s->shape.encodings / 2, 0, draw->seed, draw->step,
                           draw->first + (uint64_t)e);
    }
    b->lengths[e] = g.atoms + s->shape.virtual_nodes;
    if (b->values)
        b->values[e] = s->untold ? 0 : (float)(((double)g.target - s->mean) / s->deviation);
    free(own);
    return SSA_OK;
}

/* Those of a draw, of training in `order`, from its first on. NULL: they come as they lie; or there is no memory. */
static const uint32_t *choose(struct order *order, const struct ssa_draw *draw)
{
    const uint32_t *step = draw->training ? order_step(order, draw->seed, draw->step) : NULL;
    return step ? step + draw->first : NULL;
}

/* Of example `e` of a draw. */
static int atoms_of(const struct source *s, const struct ssa_draw *draw, const uint32_t *chosen, int e)
{
    const size_t i = chosen ? chosen[e] : (size_t)draw->first + (size_t)e;
    return graphs_get(s->data, s->graphs[i]).atoms;
}

int source_fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    struct source *s = cookie;
    int status = make_room(s), most = 1;
    const uint32_t *chosen = status ? NULL : choose(&s->order, draw);
    if (status || (draw->training && !chosen))
        return SSA_ENOMEM;
    for (int e = 0; e < draw->count; e++) {
        const int atoms = atoms_of(s, draw, chosen, e);
        most = atoms > most ? atoms : most;
    }
    batch->length = most + s->shape.virtual_nodes;
    clear(s, batch, (size_t)draw->count, (size_t)most);
    for (int e = 0; e < draw->count && !status; e++)
        status = put(s, draw, batch, chosen ? chosen[e] : (size_t)draw->first + (size_t)e, e, (size_t)most);
    return status;
}

/* From an order of its own: it may be asked for a step while another one's graphs are laid out. */
int source_sizes(void *cookie, const struct ssa_draw *draw, int32_t *lengths)
{
    struct source *s = cookie;
    const uint32_t *chosen = choose(&s->of_sizes, draw);
    if (draw->training && !chosen)
        return SSA_ENOMEM;
    for (int e = 0; e < draw->count; e++)
        lengths[e] = atoms_of(s, draw, chosen, e) + s->shape.virtual_nodes;
    return SSA_OK;
}

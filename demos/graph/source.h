/* Graphs of a part as the library asks for them (struct ssa_data): those that a draw names, laid out as tensors of the
 * size that the largest of them takes. How far atoms are apart, and their encodings, are computed once for each graph,
 * and kept while there is room. */
#ifndef GRAPH_SOURCE_H
#define GRAPH_SOURCE_H

#include "graphs.h"
#include "order.h"

#include <ssacl/ssacl.h>

/* What a model reads of a graph. */
struct graph_shape {
    int virtual_nodes, hops, encodings; /* encodings: values of a node, two a component */
};

struct source {
    const struct graphs *data;
    const uint32_t *graphs; /* those of the part, smaller ones first */
    size_t count;
    struct graph_shape shape;
    double mean, deviation; /* of targets: a model's are (target - mean) / deviation */
    bool flip;              /* signs of encodings, in training */
    bool untold;            /* targets are not asked for, and are 0 */
    struct order order;     /* of training */
    struct order of_sizes;  /* the same, as source_sizes() draws it: it works beside source_fill(), on another thread */
    size_t room;            /* bytes that may be kept */
    unsigned char **kept;   /* [count], each NULL, or encodings and distances of a graph */
    size_t used;
    int32_t *bonds, *hops;  /* of one graph */
};

/* struct ssa_data's, with a struct source. The fields down to `room` are set, the rest is zero at first. */
int source_fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch);
int source_sizes(void *cookie, const struct ssa_draw *draw, int32_t *lengths);
void source_close(struct source *s);

/* Bytes that all sources together may keep: a quarter of the machine's memory. */
size_t source_room(void);

#endif

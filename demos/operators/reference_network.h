/* A model's parameters in double precision and a pass over them where it stands: what the parts of the reference model
 * share. */
#ifndef REFERENCE_NETWORK_H
#define REFERENCE_NETWORK_H

#include <ssacl/model.h>
#include <ssacl/sample.h>

#include <stdbool.h>

/* The stream, a norm's output, what is wider, queries, keys, values, attention's output, what nobody reads; biases and
 * what else there is of pairs; the stream of edges, and as much again. */
enum { X, NORM, WIDE, Q, K, V, OUT, UNREAD, BIAS, PAIRS, EDGES, GATES, SCORES, SUMS, ROOMS };

/* Parameters by number. */
struct network {
    struct ssa_model *model;
    struct ssa_model_config config;
    struct ssa_plan *plans;     /* of the layers, for the positions looked at */
    double **value, **grad;
    int count, layers;          /* of parameters, of layers */
    int positions, answers;     /* that are looked at */
    int rows, width, heads;     /* of the stream at hand; */
    int grid_rows, grid_columns, window, shift; /* of its grid; window 0: attention is not in windows */
    char prefix[32];            /* of parameters' names */
    int32_t *tokens, *targets;
    float *pixels;
    int32_t lengths[1], *nodes, *edges, *hops; /* of a graph, */
    float *encodings, *values;                 /* and what is right of it */
    double *room[ROOMS];
};

/* NULL if there is none of the name. */
const double *network_value(const struct network *n, const char *name, const char *part,
                            const struct ssa_parameter **shape);
/* y = act(w x + bias) + residual of all rows; how wide that is. */
int network_linear(const struct network *n, const char *name, const double *x, int activation, const double *residual,
                   double *y);
void network_norm(const struct network *n, const char *name, const double *x, double *y);
/* Queries, keys and values out of the rows in WIDE that have all three. */
void network_take_apart(const struct network *n, size_t keys, size_t values);
/* The second branch of a layer, in place. */
void network_mlp(const struct network *n, double *x);

/* ---- models of graphs ---- */

/* What a graph of such a model has, and rooms that its edges need: SSA_ENOMEM. It is as large as may be but for a node
 * of padding, where there are several. */
int graph_allocate(struct network *n);
size_t graph_room(const struct network *n);
void graph_free(struct network *n);
/* The mean loss of the values. */
double graph_forward(struct network *n);

#endif

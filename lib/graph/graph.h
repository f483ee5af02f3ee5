/* What the files of lib/graph share. */
#ifndef SSA_GRAPH_GRAPH_H
#define SSA_GRAPH_GRAPH_H

#include "ssacl/graph.h"

/* `op` begins errors' texts. `stride` is given, or 0: `least`, and becomes what it means. */
int ssa_graph_check(const char *op, const struct ssa_graph *g, size_t least, size_t *stride);

/* Eigenvalues of a symmetric matrix [n, n], which ends up as nothing of use, and their vectors, a row each: unit ones,
 * at right angles. In no order. */
void ssa_jacobi(int n, double *matrix, double *values, double *vectors);

#endif

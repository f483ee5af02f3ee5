/**
 * @file graph.h
 * What a model of graphs (struct ssa_egt) reads in addition to the ids of nodes and edges, from a graph's edges: how
 * far nodes are apart, and encodings of where they are. On the host, for whoever fills batches (data.h).
 *
 *   struct ssa_graph g = {.nodes = atoms, .edges = bonds, .edge_count = count};
 *   ssa_graph_hops(&g, 17, batch->hops + i * n * n, n);
 *   ssa_graph_encodings(&g, 8, batch->encodings + i * n * 16, 16);
 *   if (draw->training)
 *       ssa_graph_flip(batch->encodings + i * n * 16, atoms, 8, 16, draw->seed, draw->step, draw->first + i);
 *
 * Threads: any number at once. Repeat: the same numbers for the same arguments. Rows and columns past a graph's nodes
 * are not written: a batch is cleared first.
 */
#ifndef SSACL_GRAPH_H
#define SSACL_GRAPH_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Edges have no direction: {i, j} is {j, i}. One that is named more than once counts once, one from a node to itself
 *  not at all. */
struct ssa_graph {
    int nodes;            /**< n, in [1, 32768] */
    const int32_t *edges; /**< [edge_count, 2], of nodes in [0, n); NULL where there are none */
    size_t edge_count;
};

/** hops[i stride + j] = the least number of edges on a way from i to j, 0 for i = j; `most` where they are more, or
 *  where there is no way.
 *  @param most   at least 1
 *  @param stride of rows, at least n; 0 means n
 *  SSA_EINVAL names what is wrong, SSA_ENOMEM. Cost O(n (n + edges)). */
SSA_API int ssa_graph_hops(const struct ssa_graph *graph, int most, int32_t *hops, size_t stride);

/** The largest components of the singular value decomposition of A + I, A the graph's adjacency:
 *    encodings[i stride + 2 c] = U_ic sqrt(S_c);  encodings[i stride + 2 c + 1] = V_ic sqrt(S_c)
 *  for c below `components`, S falling; 0 for c not below n. A + I is symmetric, of eigenvalues l and vectors x: S is
 *  |l|, U is x, and V is x, or -x where l is negative. Of the two signs of x that is taken in which the first of its
 *  elements that are within a thousandth of the one farthest from 0 is positive. Where several S are equal, any basis
 *  of their space is as good: do not compare such encodings between implementations.
 *  @param stride of rows, at least 2 components; 0 means that
 *  SSA_EINVAL, SSA_ENOMEM (16 n^2 bytes). Cost O(n^3): some 0.1 ms for molecules of 20 atoms, seconds for 600 nodes.
 *  Source   EGT (Hussain et al., KDD 2022), section 3.4; found by cyclic Jacobi rotations in double precision. */
SSA_API int ssa_graph_encodings(const struct ssa_graph *graph, int components, float *encodings, size_t stride);

/** Turns the signs of U and V of about half of the components, as training does, since a graph says nothing of them: of
 *  component c where bit c mod 32 of word c / 32 mod 4 of Philox4x32-10 is 1 (key seed xor 0x666c6970666c6970; low half
 *  of the counter example, high half 2^16 step + c / 128). For an example drawn in a step: always the same.
 *  @param encodings [nodes, stride], as above; stride 0 means 2 components */
SSA_API void ssa_graph_flip(float *encodings, int nodes, int components, size_t stride, uint64_t seed, uint64_t step,
                            uint64_t example);

#ifdef __cplusplus
}
#endif
#endif

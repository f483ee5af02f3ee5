/* The sum of a vector over ranks, along the binary tree of ranks.h: the order of additions is fixed, whatever the
 * messages do, so the bits are those that one rank would have made. Knows nothing of MPI. */
#ifndef SSA_MPI_ALL_REDUCE_H
#define SSA_MPI_ALL_REDUCE_H

#include <stddef.h>

#ifndef SSA_ALL_REDUCE_SEGMENT
#define SSA_ALL_REDUCE_SEGMENT ((size_t)1 << 22) /* floats at a time: bounds scratch, and what a message counts */
#endif

struct ssa_links {
    int rank, count;
    /* Sends to one rank while receiving from another, maybe the same; a count of 0: that half is left out. 0 or an
     * error, which the sum then returns. */
    int (*exchange)(struct ssa_links *, int to, const float *out, size_t out_count, int from, float *in,
                    size_t in_count);
    float *scratch; /* of ssa_all_reduce_scratch() floats */
};

size_t ssa_all_reduce_scratch(int ranks, size_t count);
int ssa_all_reduce(struct ssa_links *links, float *data, size_t count);

#endif

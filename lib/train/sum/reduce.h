/* The sum of a step's gradients on the host: of the workers' along the tree (tree.h), then over ranks. It is made
 * bucket by bucket (net/net.h), in the order in which backward completes them.
 *
 *   ssa_reduce_begin(t, w);
 *   ssa_reduce_expect(r, i);        // for every worker that is given a run; each says in its job:
 *   ssa_reduce_arrived(r, i, b, finite);
 *   ssa_reduce_hold(r);             // where something is wrong, before anything about the workers changes
 *   ssa_reduce_close(r, status);    // all that they have is there; or, with an error, nothing that makes sense
 *   ssa_reduce_await(r, b);         // in a worker's job: the sum, in host order
 *   ssa_reduce_finish(t, losses);
 *
 * Over ranks a thread makes the sums and all calls of the engine, of every bucket as soon as all workers have it,
 * while backward still runs; without ranks, or with $SSACL_OVERLAP=0, ssa_reduce_close() does that. A bucket that has
 * something in it that is not finite, and all after one that was held, wait for it, so that whoever is to blame is
 * found first. A rank whose devices fail still takes part in the sums of the step, so that all learn of it and end
 * together. */
#ifndef SSA_TRAIN_REDUCE_H
#define SSA_TRAIN_REDUCE_H

#include "train/internal.h"
#include "ssacl/ranks.h"

struct ssa_member;
struct ssa_worker;

/* Of a trainer that has its team. */
int ssa_reduce_create(struct ssa_trainer *t);
void ssa_reduce_destroy(struct ssa_reduce *r); /* NULL is fine */

/* Before a step. Ranks compare what they are about to do, if that was not done yet; `w` has the parameters; NULL: no
 * device is left. */
int ssa_reduce_begin(struct ssa_trainer *t, struct ssa_worker *w);
void ssa_reduce_expect(struct ssa_reduce *r, int i);
void ssa_reduce_arrived(struct ssa_reduce *r, int i, int bucket, bool finite);
/* Waits until nobody looks at the workers, which then stays so: until ssa_reduce_close(), or, after it, for good. */
void ssa_reduce_hold(struct ssa_reduce *r);
void ssa_reduce_close(struct ssa_reduce *r, int status); /* an error's text is ssa_last_error() */
/* From the bucket's first element on. */
const float *ssa_reduce_await(struct ssa_reduce *r, int bucket);
/* A worker that was given up may still read the sum. */
void ssa_reduce_part_with(struct ssa_reduce *r, struct ssa_member *m);
/* The end of the step's sums: a failure that is found after ssa_reduce_close() still counts. On every rank the same: an
 * error if any has failed, whether any wants to stop, and all `losses`, one a micro-batch. */
int ssa_reduce_finish(struct ssa_trainer *t, int status, float *losses);

/* After the update, where devices of ranks do not compute the same bits: the parameters of rank 0 to all. `w` NULL: no
 * device is left, and nobody gets any; all learn why by the next step's sums. */
bool ssa_reduce_same_bits(const struct ssa_reduce *r);
int ssa_reduce_share_parameters(struct ssa_reduce *r, struct ssa_worker *w);

/* compare.c: compares what the ranks are about to do with the parameters that `w` has (NULL: no device is left);
 * SSA_EINVAL, on every rank, names who differs and in what. `same_bits`: whether all devices compute the same bits. */
enum { SSA_IDENTITY = 512 };
void ssa_ranks_identify(const struct ssa_worker *w, char identity[SSA_IDENTITY]);
int ssa_ranks_compare(struct ssa_trainer *t, struct ssa_worker *w, bool *same_bits);
/* The lowest rank whose flag is set, or how many there are. */
int ssa_ranks_lowest(const struct ssa_ranks *ranks, const float *flags);

/* The run of a rank. */
static inline int ssa_rank_first(const struct ssa_ranks *ranks, int rank, int micros)
{
    return (int)((long long)rank * micros / ranks->count);
}

#endif

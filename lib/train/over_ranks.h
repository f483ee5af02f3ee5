/* A step over ranks: each computes its run of micro-batches; sums of gradients are added up over all of them bucket by
 * bucket (lib/model/bucket.c) while backward still runs, by a thread that makes all calls of the engine; then losses
 * and what must be agreed upon. A rank whose device fails still takes part in the sums of the step, so that all learn
 * of it and end together. */
#ifndef SSA_TRAIN_OVER_RANKS_H
#define SSA_TRAIN_OVER_RANKS_H

#include "internal.h"
#include "ssacl/ranks.h"

int ssa_over_ranks_create(struct ssa_trainer *t);
void ssa_over_ranks_destroy(struct ssa_over_ranks *o);
/* Gradients of all ranks into the model's, losses into `scalars`. */
int ssa_over_ranks_gradients(struct ssa_trainer *t);
/* After the update: the parameters of rank 0 to all, where devices do not compute alike. */
int ssa_over_ranks_share_parameters(struct ssa_trainer *t);

/* agree.c: compares what the ranks are about to do; SSA_EINVAL, on every rank, names who differs and in what. `alike`:
 * whether all devices compute the same bits. */
int ssa_ranks_agree(struct ssa_trainer *t, bool *alike);

/* The run of a rank. */
static inline int ssa_rank_first(const struct ssa_ranks *ranks, int rank, int micros)
{
    return (int)((long long)rank * micros / ranks->count);
}

#endif

/* A step over ranks: each computes its run of micro-batches; sums of gradients are added up over all of them bucket by
 * bucket (lib/model/bucket.c) while backward still runs, by a thread that makes all calls of the engine; then losses
 * and what must be agreed upon. A rank whose device fails still takes part in the sums of the step, so that all learn
 * of it and end together.
 *
 *   ssa_over_ranks_compute(o, t);     // on the device's thread; t: its trainer
 *   ssa_over_ranks_take(o, t);        // on the device's thread; before or after the next
 *   ssa_over_ranks_finish(o, front);  // on the caller's */
#ifndef SSA_TRAIN_OVER_RANKS_H
#define SSA_TRAIN_OVER_RANKS_H

#include "internal.h"
#include "ssacl/ranks.h"

/* Of a trainer of one device or of several; `model` is any of theirs. */
int ssa_over_ranks_create(struct ssa_trainer *front, const struct ssa_model *model);
void ssa_over_ranks_destroy(struct ssa_over_ranks *o);
/* Before a step; compares, if that was not done yet. `t` has the parameters. */
int ssa_over_ranks_begin(struct ssa_trainer *front, struct ssa_trainer *t);
/* The rank's sums and losses, on their way. */
int ssa_over_ranks_compute(struct ssa_over_ranks *o, struct ssa_trainer *t);
/* The sums of all ranks into the model's gradients, as they come; losses of all into `scalars`. */
int ssa_over_ranks_take(struct ssa_over_ranks *o, struct ssa_trainer *t);
/* Waits for the end of the step's sums. On every rank the same: an error if any has failed, and whether any wants to
 * stop. */
int ssa_over_ranks_finish(struct ssa_over_ranks *o, struct ssa_trainer *front);
const float *ssa_over_ranks_losses(const struct ssa_over_ranks *o); /* then: a micro-batch each */
/* After the update: the parameters of rank 0 to all, where devices do not compute alike. */
int ssa_over_ranks_share_parameters(struct ssa_over_ranks *o, struct ssa_trainer *t);
/* All of it: a step of one device, on one thread. */
int ssa_over_ranks_step(struct ssa_trainer *t);

/* agree.c: compares what the ranks are about to do; SSA_EINVAL, on every rank, names who differs and in what. `alike`:
 * whether all devices compute the same bits. */
int ssa_ranks_agree(struct ssa_ranks *ranks, struct ssa_trainer *t, bool *alike);

/* The run of a rank. */
static inline int ssa_rank_first(const struct ssa_ranks *ranks, int rank, int micros)
{
    return (int)((long long)rank * micros / ranks->count);
}

#endif

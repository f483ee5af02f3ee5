/* A step over ranks, each with a device or a crew of them: each computes its run of micro-batches; sums of gradients
 * are added up over all of them bucket by bucket (lib/net/net.h) while backward still runs, by a thread that makes
 * all calls of the engine; then losses and what must be agreed upon. A rank whose device fails still takes part in the
 * sums of the step, so that all learn of it and end together.
 *
 *   ssa_over_ranks_begin(front, t);
 *   ssa_over_ranks_compute(o, t);              // may be on the device's thread; t: its trainer
 *   ssa_over_ranks_take(o, t);                 // the same; before or after the next
 *   ssa_over_ranks_finish(o, front, &losses); */
#ifndef SSA_TRAIN_OVER_RANKS_H
#define SSA_TRAIN_OVER_RANKS_H

#include "train/internal.h"
#include "ssacl/ranks.h"

/* Of a trainer of one device or of several; `model` is any of theirs. */
int ssa_over_ranks_create(struct ssa_trainer *front, const struct ssa_model *model);
void ssa_over_ranks_destroy(struct ssa_over_ranks *o);
/* Before a step; compares, if that was not done yet. `t` has the parameters; NULL: no device is left. */
int ssa_over_ranks_begin(struct ssa_trainer *front, struct ssa_trainer *t);

/* The rank's sums and losses, on their way: from one device; from the host, where several devices made them, which has
 * the sums of all ranks in their place at the end of the step's; or none, since this rank has failed with
 * ssa_last_error(). */
int ssa_over_ranks_compute(struct ssa_over_ranks *o, struct ssa_trainer *t);
void ssa_over_ranks_offer(struct ssa_over_ranks *o, float *sums, const float *losses);
void ssa_over_ranks_fail(struct ssa_over_ranks *o, int status);

/* The sums of all ranks as they come, into the model's gradients. */
int ssa_over_ranks_take(struct ssa_over_ranks *o, struct ssa_trainer *t);

/* Waits for the end of the step's sums. On every rank the same: an error if any has failed, and whether any wants to
 * stop. `losses`: then, one a micro-batch. */
int ssa_over_ranks_finish(struct ssa_over_ranks *o, struct ssa_trainer *front, const float **losses);
/* The device's thread was given up and may still be at work in here: nothing can be freed. `computing`: the sums that
 * it may yet offer must not reach the engine, with which nothing more can be done. */
void ssa_over_ranks_desert(struct ssa_over_ranks *o, bool computing);

/* After the update, where devices do not compute alike: the parameters of rank 0 to all. `t` NULL: no device is left,
 * and nobody gets any; all learn why by the next step's sums. */
bool ssa_over_ranks_alike(const struct ssa_over_ranks *o);
int ssa_over_ranks_share_parameters(struct ssa_over_ranks *o, struct ssa_trainer *t);

/* All of it: a step of one device, on one thread. */
int ssa_over_ranks_step(struct ssa_trainer *t);

/* agree.c: compares what the ranks are about to do with the parameters that `t` has (NULL: no device is left);
 * SSA_EINVAL, on every rank, names who differs and in what. `alike`: whether all devices compute the same bits. */
enum { SSA_IDENTITY = 512 };
void ssa_ranks_identify(const struct ssa_trainer *t, char identity[SSA_IDENTITY]);
int ssa_ranks_agree(struct ssa_trainer *front, struct ssa_trainer *t, bool *alike);

/* The run of a rank. */
static inline int ssa_rank_first(const struct ssa_ranks *ranks, int rank, int micros)
{
    return (int)((long long)rank * micros / ranks->count);
}

#endif

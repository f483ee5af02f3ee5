/* How much work a micro-batch is, from the lengths of its sequences, and how a step's micro-batches are cut into a run
 * for each of those who compute it. Nothing here knows of devices. */
#ifndef SSA_TRAIN_WORK_H
#define SSA_TRAIN_WORK_H

#include "ssacl/data.h"
#include "net/net.h"

/* Work of a micro-batch of `count` sequences of these lengths, with virtual nodes: only its ratio to that of others has
 * a meaning. Of models whose sequences are all of one length, or lengths NULL, 1. */
double ssa_work_of(const struct ssa_facts *facts, const int32_t *lengths, int count);

/* Work of each of draw->count / micro_batch micro-batches, as the source says their sizes; all 1 where it does not. An
 * error is the source's. */
int ssa_work_draw(const struct ssa_data *data, const struct ssa_facts *facts, const struct ssa_draw *draw,
                  int micro_batch, double *work);

/* Cuts `count` micro-batches into a run for each worker: worker i has [ends[i - 1], ends[i]), the first from 0, so that
 * the largest (work of a run) / (share of its worker) is as small as can be. Shares are not negative, and add up to
 * `count`.
 *   Where all work is equal a run is as long as its worker's share. A worker whose share is 0 has none; every other has
 *   one micro-batch at least.
 * SSA_ENOMEM; O(workers count^2). */
int ssa_work_cut(const double *work, int count, const int *shares, int workers, int *ends);

#endif

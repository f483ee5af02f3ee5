/**
 * @file data.h
 * What a model learns from and is asked about: token ids in memory, or a source: a function of the program that fills
 * batches of whatever the model reads, loads, decodes and augments. The library calls it ahead of the step, on a thread
 * of its own, so that no device waits while there is time.
 *
 *   static int fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
 *   {
 *       for (int i = 0; i < draw->count; i++) {
 *           size_t number = draw->training ? pick(draw->seed, draw->step, draw->first + i) : draw->first + i;
 *           ... batch->tokens[i * draw->length + n] = ...; batch->targets[i * draw->answers + a] = ...;
 *       }
 *       return SSA_OK;
 *   }
 *   ssa_trainer_create(&trainer, model, &training, &(struct ssa_data){.fill = fill, .examples = n, .identity = hash});
 */
#ifndef SSACL_DATA_H
#define SSACL_DATA_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a source is to draw: `count` sequences.
 *    Training    sequence i, and all of its augmentation, must follow from (seed, step, first + i) alone: then a run
 *                that is resumed, or shared by several devices or ranks, gives the same bits. Any order, and the same
 *                more than once.
 *    Evaluation  sequence i is example first + i of an ordered list, the same each time it is asked for. */
struct ssa_draw {
    int training;   /**< 1; 0: evaluation */
    int count;      /**< sequences */
    int length;     /**< positions of a sequence: the model's N; of mixed size, the most there may be */
    int answers;    /**< of a sequence, each with a target and a loss: N where every position has one, 1 for a class */
    uint64_t seed;  /**< ssa_train_config.seed, or ssa_evaluate.seed */
    uint64_t step;  /**< training: from 0 */
    uint64_t first; /**< training: number of the first sequence in its step; evaluation: in the list */
};

/** Host memory of the library's for the sequences of a draw, one after another. NULL where the model reads no such
 *  thing. What is in it before is of no meaning: all of it is to be written. */
struct ssa_batch {
    int32_t *tokens;  /**< [count, length], in [0, V) */
    int32_t *targets; /**< [count, answers]; negative: no loss. A training's mean is over all answers nevertheless, an
                           evaluation's over those that are not negative */
    int32_t *labels;  /**< [count], in [0, classes): of pixels with classes */
    float *pixels;    /**< [count, rows, columns, channels], as the model is to see them */
    float *soft_targets; /**< [count, classes], where ssa_data.soft says so, and targets are NULL then */

    /* Of sequences of mixed size, as in struct ssa_pass; n = length - virtual nodes. Padding may hold whatever a pass
     * takes: zeroes do. */
    int32_t *lengths;   /**< [count], 0 or in [virtual nodes, length] */
    int32_t *nodes;     /**< [count, n, node_ids] */
    float *encodings;   /**< [count, n, encodings] */
    int32_t *edges;     /**< [count, n, n, edge_ids] */
    int32_t *hops;      /**< [count, n, n] */
    float *values;      /**< [count, answers]: of models whose answers are values; NaN: no loss, as a negative one of
                             targets */

    int length; /**< that of the arrays: the model's N. Of sequences of mixed size it may be lowered to what the longest
                     of these takes; arrays are then laid out by it, without gaps */
};

/** Token ids in host memory, bytes or 16- or 32-bit unsigned integers: a sequence is N of them from anywhere (or, with
 *  ssa_train_config.blocks, one of the text's blocks), its targets are those one later. Or, with `fill`, a source. */
struct ssa_data {
    const void *items;
    size_t count;
    int item_size; /**< 1 (also 0), 2 or 4 bytes */

    /** SSA_OK, or a status of enum ssa_status, which ends the run or the evaluation and is its status (over ranks
     *  SSA_EDEVICE on all of them). The step is then not taken, and its batch is asked for again by the next run. The
     *  text is that of the call of this library that failed in it, or what it gave to ssa_ranks_fail() (ranks.h);
     *  without either "fill returned" and the status.
     *    Threads   called on one thread of the library's, never on the caller's, never twice at once for one trainer
     *              or one evaluation; but an evaluation on the way of a training (struct ssa_watch) has a thread of its
     *              own beside the trainer's. At any time from the first step to the trainer's destruction, which waits
     *              for it. It must not call the trainer, its model or its device.
     *    Memory    three batches a device, whatever the number of micro-batches; where sequences are of mixed size with
     *              the plans of their layers, which are drawn on the same thread when a batch is filled. */
    int (*fill)(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch);
    void *cookie;

    /** May be NULL. Of sequences of mixed size: writes what fill() would give as ssa_batch.lengths for this draw,
     *  lengths[i] of sequence first + i, 0 or in [virtual nodes, draw->length]. On a pool each device's share of a step
     *  is then counted in work instead of sequences, so that none waits for one that got larger ones:
     *
     *    work of a micro-batch = (64 + B L) p + 4 B L^2 q + 6 (n_1^2 + ... + n_B^2) r
     *
     *  of B sequences of lengths n, padded to the longest, L; p, q and r are the multiplications of a forward pass for
     *  each position, each pair of positions, and each pair that is seen. NULL: not known, all count alike.
     *    Must be   NULL for token ids and for models whose sequences all have N positions. Out of range is SSA_EINVAL,
     *              which names the sequence; a status is as fill's. What is in range and not what fill() gives costs
     *              time, and changes nothing that is computed.
     *    Threads   called on the thread that calls the trainer, before a step, while fill() may be at work on another
     *              draw: what both change they must not share. Never twice at once for one trainer; in evaluations
     *              never.
     *    Cost      devices wait for it: it is to look sizes up, not to load or make anything. One draw may be all of a
     *              step's sequences. */
    int (*sizes)(void *cookie, const struct ssa_draw *draw, int32_t *lengths);

    size_t examples;   /**< in an epoch of training, in an evaluation; at least 1 */
    int soft;          /**< 1: fill gives soft_targets instead of targets: mixed or smoothed labels. Not in evaluations,
                            which count by targets */
    uint64_t identity; /**< a hash of all that decides what is drawn (files, their order, augmentation): ranks compare
                            it before the first step */
};

#ifdef __cplusplus
}
#endif
#endif

/**
 * @file ranks.h
 * Several processes, on one machine or many, that train one model: what the trainer needs of an engine, and MPI as one.
 *
 *   ssa_ranks_open(&ranks, "mpi");                  // under mpirun or srun
 *   training.ranks = ranks;                         // struct ssa_train_config
 *   ...
 *   ssa_ranks_close(ranks, failed);                 // after the trainer is destroyed
 *
 * ssa_train_config.batch is that of all ranks together; rank r of R computes micro-batches [r M/R, (r + 1) M/R) of the
 * step's M, on its own device or pool. Samples, dropout and data follow from (seed, step, number), so ranks agree on
 * them without talking. Sums are made along the same binary tree over the micro-batches as on one device, so where the
 * ranks' shares are equal powers of two the run is the same bit for bit as that of one rank, on devices that compute
 * alike. A checkpoint resumes with any number of ranks.
 *
 * Every rank makes the same calls of the trainer in the same order. All of them return the same losses. Only one rank
 * need write checkpoints and logs. Before the first step the ranks compare what they are about to do: one that differs
 * in config, data, seed, step or parameters is named, on every rank, and nothing is trained.
 */
#ifndef SSACL_RANKS_H
#define SSACL_RANKS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An engine: a table that anybody can fill. Threads: calls come from one thread at a time, though not always the same
 *  one, in the same order on every rank, on host memory. Each returns SSA_OK, or a negative status by
 *  ssa_ranks_fail(). */
struct ssa_ranks {
    int rank, count;
    int local_rank, local_count; /**< among those on this machine, which share its devices; 0, 0: not known */
    int unanimous; /**< set by the trainer when a call of it returns the same error on every rank */
    /** data[i] becomes the sum over all ranks: the same bits on every rank. Sums are to be made along the binary tree
     *  over the ranks: node (level l, index j) adds up ranks [j 2^l, (j + 1) 2^l) cut at the count, as its left half
     *  plus its right half, or as its left half where there is no right. */
    int (*all_reduce)(struct ssa_ranks *, float *data, size_t count);
    /** `bytes` from rank `from` to all. */
    int (*broadcast)(struct ssa_ranks *, void *data, size_t bytes, int from);
    /** Frees the table. `failed`: this rank will not go on; unless all have come to the same end, the others are
     *  stopped, for they would wait for it. */
    void (*finish)(struct ssa_ranks *, int failed);
    size_t reserved[4];
};

/** Starts an engine: "mpi", from the library's own module libssacl-mpi, which is loaded now and only now.
 *  SSA_EUNSUPPORTED: there is no such module (the library was built without MPI), or the processes were started by the
 *  launcher of another MPI than the module's; the text says what to do. */
SSA_API int ssa_ranks_open(struct ssa_ranks **ranks, const char *engine);

/** ranks->finish(); NULL is fine. */
SSA_API void ssa_ranks_close(struct ssa_ranks *ranks, int failed);

/** How many processes the launcher (mpirun, mpiexec, srun) that started this one has started, as far as its
 *  environment tells; 1 without a launcher, and where a rank of another program has started this one. */
SSA_API int ssa_ranks_launched(void);

/** For engines: sets ssa_last_error() and returns `status`. */
SSA_API int ssa_ranks_fail(int status, const char *text);

#ifdef __cplusplus
}
#endif
#endif

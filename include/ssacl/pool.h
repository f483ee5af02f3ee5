/**
 * @file pool.h
 * Several devices that train one model: of any vendors and platforms, the host backend included.
 *
 *   ssa_pool_open(&pool, "all", NULL);
 *   ssa_pool_model_create(&model, pool, &config, &limits);      // instead of ssa_model_create()
 *   ssa_trainer_create(&trainer, model, &training, &data);      // and all the rest as on one device
 *
 * A pool holds devices; a model made on a pool has a replica on each of them that it fits. Trainer, evaluation,
 * self-ensemble and checkpoints take such a model as they take any other. Each device has a thread, a context and a
 * queue of its own. A pool of one runs as the bare device does.
 *
 * A step's batch is cut into micro-batches (ssa_model_limits.batch sequences each) numbered from 0. Each device takes
 * a run of them, of as much work as its measured speed says: where sequences are of mixed size, by what their source
 * says of their lengths (ssa_data.sizes). A device that would only make the others wait has no share and rests: it
 * makes no updates and is not asked for parameters. It is tried again now and then, and is then given the run as it is
 * first (parameters and moments, through host memory). Where the run is never copied (copy_every) it does not rest, so
 * that it can go on when the others are lost. What a micro-batch draws (samples, dropout, data) follows from
 * (seed, step, layer, number), and gradients are summed along a binary tree over the numbers, so the sum is the same
 * whoever computed which part. Every device updates its replica from that sum; where devices do not compute alike
 * (another driver, another kind), the parameters of the first are given to the others. So one device, several, or one
 * lost in the middle train the same model: bit for bit among devices that compute alike, within rounding otherwise.
 *
 * A device that fails a call, passes its deadline, runs out of memory, gives NaN or infinity where another gives
 * finite numbers, or is caught computing wrongly is taken out for good; its micro-batches are done again elsewhere.
 * When the last one that does not rest goes, the run goes back to its copy in host memory, and those that rest, or
 * else the host backend, repeat the steps since: bit for bit the same run, if they compute as the device did.
 *
 * Beside what one device takes, each keeps log2(micro-batches of a step) sums of gradients. In host memory the copy of
 * the run takes 12 bytes a parameter, 16 with an average of the weights (twice that while it is renewed, if there is
 * room), a device's sums some 4 bytes a parameter each, and as much their sum. A pool and what is made on it are used
 * from one thread, as a device is.
 */
#ifndef SSACL_POOL_H
#define SSACL_POOL_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Threads: one at a time, for it and all that is made on it; its devices have threads of their own, and belong to
 *  it. */
struct ssa_pool;

/** What to do when the last device is lost. */
enum ssa_pool_last {
    SSA_POOL_HOST, /**< the host backend goes on from the latest copy of the run in host memory */
    SSA_POOL_STOP  /**< the step fails with SSA_EDEVICE; ssa_checkpoint_save() then writes that copy */
};

/** What has happened to a member. */
enum ssa_pool_change {
    SSA_POOL_LEFT_OUT, /**< the model does not fit it, or it could not be opened */
    SSA_POOL_SHARE,    /**< its share of a step is another */
    SSA_POOL_LOST,     /**< taken out */
    SSA_POOL_JOINED,   /**< the host backend, when the last device was lost and none rested */
    SSA_POOL_ROLLBACK  /**< the run went back to its copy in host memory: `step` is where it goes on */
};

struct ssa_pool_event {
    int change;             /**< enum ssa_pool_change */
    int member;             /**< number of the device in the pool */
    int step;               /**< steps done */
    int before, after;      /**< micro-batches a step */
    const char *device;     /**< its id */
    const char *reason;     /**< one sentence */
    size_t reserved[4];
};

/** Zero means the default. */
struct ssa_pool_config {
    int last;               /**< enum ssa_pool_last */
    double deadline;        /**< seconds beyond four times the expected that a device may be silent; 0: 60, SSA_NONE:
                                 for ever. Ten times as many where nothing is known to expect (kernels may have to be
                                 built), and once more for each micro-batch. The only device that is left has ten times
                                 all that, the host backend as the only one for ever. Time in which the process was
                                 stopped or its machine paused does not count. A device that passes its deadline is
                                 never waited for again: its thread and memory are given up */
    int copy_every;         /**< steps between copies of the run (parameters, moments, average) to host memory, from which
                                 it goes on if every device is lost; 0: 50; SSA_NONE: none */
    int check_every;        /**< spot check: every so many steps one micro-batch is computed by two devices; a
                                 difference beyond rounding is put to the host backend, and who is wrong is taken out.
                                 Costs those two a micro-batch and a transfer. 0 or SSA_NONE: never */
    void (*changed)(void *cookie, const struct ssa_pool_event *event); /**< called from the caller's thread */
    void *cookie;
    size_t precision;       /**< enum ssa_precision, of every device, as ssa_device_set_precision() */
    size_t reserved[7];
};

/** One device of a pool. */
struct ssa_pool_member {
    struct ssa_device_info info;
    int lost;               /**< 1: taken out, or never in; `reason` says why */
    int share;              /**< micro-batches of a step */
    double rate;            /**< tokens/s while it works, measured; 0: not known yet */
    char reason[256];
    size_t reserved[4];
};

/**
 * Opens devices.
 *
 * @param names NULL: "auto". "all": every device ssa_device_list() lists, the host backend only where there is no CPU
 *              under OpenCL (both would share the processors). Else names as of ssa_device_open(), separated by commas:
 *              "opencl:0:0,opencl:1:0,cpu". One that is listed twice is SSA_EINVAL, one that is missing
 *              SSA_ENODEVICE. With "all", devices that cannot be opened are left out.
 * @param config NULL: all defaults
 */
SSA_API int ssa_pool_open(struct ssa_pool **pool, const char *names, const struct ssa_pool_config *config);

/** Its model must be destroyed before. Does not wait for devices that passed their deadline. NULL is fine. */
SSA_API void ssa_pool_close(struct ssa_pool *pool);

/** Members, lost ones included. */
SSA_API int ssa_pool_count(const struct ssa_pool *pool);
SSA_API int ssa_pool_member(const struct ssa_pool *pool, int i, struct ssa_pool_member *member);

/** The device of a member; NULL if it is lost. */
SSA_API struct ssa_device *ssa_pool_device(const struct ssa_pool *pool, int i);

/** As ssa_model_create(), on each device of the pool; those it does not fit are left out, with an event that says
 *  "needs X MiB, device has Y". SSA_ENOMEM, of the largest, if it fits none. One model a pool at a time.
 *  Accessors of the model (parameters, device) serve the first member that is neither lost nor rests, passes run on
 *  it. To set parameters use ssa_model_initialise() or a checkpoint, which reach every device; what is written to those
 *  of the first one before the trainer's first step is given to the others then. */
SSA_API int ssa_pool_model_create(struct ssa_model **model, struct ssa_pool *pool,
                                  const struct ssa_model_config *config, const struct ssa_model_limits *limits);

#ifdef __cplusplus
}
#endif
#endif

/**
 * @file device.h
 * Devices: finding, choosing, opening, and what they hold.
 *
 * A device runs operators in the order of the calls (one in-order stream). Calls on one device come from one thread
 * at a time; different devices may be used from different threads.
 */
#ifndef SSACL_DEVICE_H
#define SSACL_DEVICE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Threads: calls on one device, and on its buffers, come from one thread at a time, which need not be the same one;
 *  different devices may be used from different threads at once. */
struct ssa_device;

enum ssa_device_kind { SSA_DEVICE_HOST, SSA_DEVICE_CPU, SSA_DEVICE_GPU, SSA_DEVICE_ACCELERATOR };

/** What a device is. Sizes in bytes. */
struct ssa_device_info {
    int kind;                /**< enum ssa_device_kind; HOST is the library's own CPU backend */
    int gpu_shape;           /**< 1 where kernels run in their GPU shape (work-groups, local memory) */
    int units;               /**< compute units, or threads of the host backend */
    size_t memory;           /**< global memory */
    size_t max_allocation;   /**< largest single buffer */
    size_t local_memory;     /**< per work-group */
    size_t max_group;        /**< work-items in a work-group */
    char id[32];             /**< what ssa_device_open() takes: "cpu", "opencl:0:1" */
    char name[128];
    char platform[128];      /**< "ssacl" for the host backend */
    char vendor[64];
    char driver[64];
    size_t unified;          /**< 1: an OpenCL device that works in the host's memory, as integrated GPUs do */
    size_t reserved[6];
};

/** Lists every device of this machine, the host backend last. Writes at most `capacity` entries and the number
 *  there are to `count`. No OpenCL at all (no loader, no platform, a platform without devices) is no error: the
 *  list then holds the host backend alone and the log says why. */
SSA_API int ssa_device_list(struct ssa_device_info *list, int capacity, int *count);

/** What "auto" goes by, the highest: 4e8 for a GPU with its own memory, 3e8 for one in the host's, 2e8 for other
 *  accelerators, 1e8 for CPUs under OpenCL, 0 for the host backend; and the memory in MiB. */
SSA_API double ssa_device_score(const struct ssa_device_info *info);

/** Which of a list ssa_device_open() would take by this name; SSA_ENODEVICE and -1 if none, or if it may be one of
 *  several. $SSACL_DEVICE is not looked at. */
SSA_API int ssa_device_find(const struct ssa_device_info *list, int count, const char *name, int *index);

/**
 * Opens a device.
 *
 * @param name "auto" or NULL: $SSACL_DEVICE if set, else the one with the highest ssa_device_score(); the choice and
 *             its reason are logged.
 *             "cpu": the host backend. "opencl": the best OpenCL device. "opencl:<platform>:<device>": by number,
 *             as listed. Anything else: the one device whose name or platform is that or, if there is none, contains it
 *             (case-insensitive; with a letter in it, since a number is in many names).
 * @return SSA_ENODEVICE if none matches, or several (the text lists those there are, or those several),
 *         SSA_EDEVICE if its driver fails.
 *
 * $SSACL_THREADS sets the number of threads of the host backend, 1 to 1024; anything else is ignored, with a warning in
 * the log. Default: the processors that the process may run on, of which a container's quota (control groups v1 and
 * v2) may leave fewer. `memory` of the host backend and of OpenCL devices in the host's memory is what the machine has,
 * or what a container's limit, RLIMIT_AS or RLIMIT_DATA leave.
 *
 * Open devices after fork(). In a child the parent's host devices go on with threads of the child's own; on its OpenCL
 * devices every call returns SSA_EDEVICE at once, and OpenCL is gone, since drivers do not survive a fork.
 * Pools and plan queues, which trainers that sample have, need threads of the parent's: what the parent made takes no
 * step in the child, and of a pool nothing is read but what is in host memory already. On a host device losses,
 * checkpoints, evaluation and generation work there. Closing any of it is fine.
 */
SSA_API int ssa_device_open(struct ssa_device **device, const char *name);

/** How a device computes the products of linear layers, and of attention whose heads are 32, 64 or 128 wide and which has
 *  no bias, gate, clip or dropout. Memory, sums, softmax, and all other operators are float32. */
enum ssa_precision {
    SSA_FLOAT32, /**< in float32 */
    SSA_FAST,    /**< in bf16, on a matrix engine, each operand as the sum of two: x = high + low + rest, |rest| below
                      2^-16 |x|; of a product high high + high low + low high, summed in float32. Relative error near
                      4e-6 of the root of the sum of squares, where float32 has 5e-7. What is above 3.39e38 becomes
                      infinite, denormal numbers 0 */
    SSA_BFLOAT16 /**< in bf16, on a matrix engine, operands rounded to the nearest: relative error near 2e-3. Weights,
                      activations, gradients and moments stay float32 in memory, and are rounded where they are
                      multiplied; losses need no scaling, for bf16 has float32's range */
};

/** Asks for a precision, from the next operator on; a device starts with SSA_FLOAT32. The others compute other bits than
 *  SSA_FLOAT32, the same each time on one kind of device. Where there is no matrix engine, or it is wrong in its
 *  self-test, float32 serves: one warning in the log says so, and why. The engines: AMX of the host's processor, where
 *  the system lets the process use it, which is asked once; of processors whose kernels it is `$SSACL_MATRIX=0` turns
 *  it off, `emulate` takes plain C that computes the same bits, slowly. SSA_EINVAL: no such precision. */
SSA_API int ssa_device_set_precision(struct ssa_device *device, int precision);

/** The matrix engine that was found for the device's precision: "AMX", "emulated". NULL: none, or none is asked for. */
SSA_API const char *ssa_device_engine(const struct ssa_device *device);

/** Waits for the device, then frees it. Its buffers must be destroyed before. NULL is fine. */
SSA_API void ssa_device_close(struct ssa_device *device);

/** Waits until everything enqueued is done. Errors of earlier, asynchronous work surface here. */
SSA_API int ssa_device_finish(struct ssa_device *device);

SSA_API int ssa_device_info(const struct ssa_device *device, struct ssa_device_info *info);

/** Bytes of device memory held now and the most held so far (buffers and scratch of the library; wrapped `cl_mem`
 *  do not count). Either pointer may be NULL. */
SSA_API void ssa_device_memory(const struct ssa_device *device, size_t *held, size_t *peak);

/** Sets the peak back to what is held now. */
SSA_API void ssa_device_reset_peak(struct ssa_device *device);

/** Turns the timing of operators on or off. While on, the device is waited for around every operator: use it to see
 *  where time goes, not to measure throughput. */
SSA_API void ssa_device_set_timing(struct ssa_device *device, int on);

/** Seconds spent in operators whose name starts with `prefix` ("attention", "linear_bwd", "" for all) while timing
 *  was on. */
SSA_API double ssa_device_seconds(const struct ssa_device *device, const char *prefix);

/** How operator `op` ("attention_fwd") ran the last time: "opencl cpu-shape D=64", "host AVX2 D=64", "CLBlast", or
 *  "portable: opencl gpu-shape (quarantined: CLBlast trans_b=1: wrong, largest error 0.31)". "" before its first run.
 *
 *  Every variant of an operator that is not the portable one (a specialised build, tuned parameters, a library) is
 *  tested on a small problem before its first use on a device. The verdict is kept with the cached programs, per
 *  device, driver and kernel source. What fails is quarantined: one warning in the log, and portable kernels serve.
 *  $SSACL_SELFTEST=0 trusts everything unseen, $SSACL_PORTABLE=1 runs portable kernels only. */
SSA_API int ssa_device_path(const struct ssa_device *device, const char *op, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif

/**
 * @file ocl.h
 * For programs that already have an OpenCL context, queue and buffers: call the operators on them.
 *
 *   ssa_ocl_device_wrap(&dev, context, device, queue);
 *   ssa_ocl_buffer_wrap(&x, dev, my_cl_mem);              // no copy; the cl_mem is retained
 *   ssa_ocl_wait(dev, n, events);                         // what the next operator must wait for
 *   ssa_norm_fwd(dev, &(struct ssa_norm_fwd){.x = {x}, ...});
 *   ssa_ocl_event(dev, &event);                           // complete when everything so far is; clReleaseEvent it
 */
#ifndef SSACL_OCL_H
#define SSACL_OCL_H

#include "tensor.h"
#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A device on the caller's context and queue, both retained until ssa_device_close(). An out-of-order queue works:
 *  the library puts a barrier between its own commands. SSA_EINVAL where the queue is of another context or device. */
SSA_API int ssa_ocl_device_wrap(struct ssa_device **device, cl_context context, cl_device_id id,
                                cl_command_queue queue);

/** A buffer around the caller's cl_mem (retained until ssa_buffer_destroy()); its size is asked of OpenCL. Sub-buffers
 *  are fine, and known to share memory, as are buffers over one host array (CL_MEM_USE_HOST_PTR). SSA_EINVAL for an
 *  image, for memory of another context, for less than 4 bytes.
 *  An operator refuses CL_MEM_READ_ONLY memory for what it writes and CL_MEM_WRITE_ONLY memory for what it reads: its
 *  inputs, what it adds to or changes in place, and outputs that kernels may complete in steps (out and the gradients
 *  of attention, dtable, dlogits; of a linear layer dw, dbias, pre, y where anything follows the product, and dx with
 *  an activation). */
SSA_API int ssa_ocl_buffer_wrap(struct ssa_buffer **buffer, struct ssa_device *device, cl_mem memory);

/** Whatever is called next on the device starts after these events. What waits for the device (ssa_tensor_read(), a
 *  write of more than 1 MiB, ssa_device_finish(), ssa_device_close()) then waits for them too; operators do not. */
SSA_API int ssa_ocl_wait(struct ssa_device *device, cl_uint count, const cl_event *events);

/** An event that completes when everything called so far has. The caller releases it. The queue is flushed. */
SSA_API int ssa_ocl_event(struct ssa_device *device, cl_event *event);

/** The device's own context, queue and the buffer's memory (not retained), for mixing with one's own kernels.
 *  SSA_EUNSUPPORTED on the host backend. */
SSA_API int ssa_ocl_objects(const struct ssa_device *device, cl_context *context, cl_device_id *id,
                        cl_command_queue *queue);
SSA_API int ssa_ocl_buffer_memory(const struct ssa_buffer *buffer, cl_mem *memory);

#ifdef __cplusplus
}
#endif
#endif

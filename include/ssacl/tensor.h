/**
 * @file tensor.h
 * Device memory. A buffer is bytes; a tensor is a buffer, where in it, and of what type its elements are; its shape is
 * said by the operator that uses it. Row-major, contiguous unless said.
 */
#ifndef SSACL_TENSOR_H
#define SSACL_TENSOR_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Threads: as its device, whose calls they are: one at a time. */
struct ssa_buffer;

/** The type of an element. Operators take float32, and int32 where they say so. SSA_BF16 and SSA_F16 are names for what
 *  is to come: memory may hold them, no operator takes them yet. */
enum ssa_type { SSA_F32, SSA_I32, SSA_BF16, SSA_F16 };

/** Bytes of an element: 4, 4, 2, 2; 0 of what is no type. */
SSA_API size_t ssa_type_size(int type);

/** `offset` counts elements of the tensor's own type, so that {buffer, offset} is float32. A zeroed tensor is "absent"
 *  where an operator allows it. */
struct ssa_tensor {
    struct ssa_buffer *buffer;
    size_t offset;
    int type; /**< enum ssa_type */
};

/** Allocates (uninitialised). SSA_ENOMEM past the device's limits, with the numbers in the text. */
SSA_API int ssa_buffer_create(struct ssa_buffer **buffer, struct ssa_device *device, size_t bytes);

/** Memory of the caller's as a buffer, without a copy, on the host backend (SSA_EUNSUPPORTED on others: ocl.h wraps a
 *  cl_mem). It must stay until the buffer is destroyed, which leaves it alone; aligned to 4 bytes, else SSA_EINVAL.
 *  What the caller reads of it is what the last call left: that backend is done when a call returns. Outputs that share
 *  memory with other operands are found whatever buffers it was wrapped in. */
SSA_API int ssa_buffer_wrap(struct ssa_buffer **buffer, struct ssa_device *device, void *memory, size_t bytes);

/** Frees it once the device no longer uses it. NULL is fine. */
SSA_API void ssa_buffer_destroy(struct ssa_buffer *buffer);

/** Bytes it holds. */
SSA_API size_t ssa_buffer_bytes(const struct ssa_buffer *buffer);

/** The float32 tensor that starts `offset` elements into the buffer. */
static inline struct ssa_tensor ssa_tensor_at(struct ssa_buffer *buffer, size_t offset)
{
    struct ssa_tensor t = {buffer, offset, SSA_F32};
    return t;
}

/** The tensor that starts `offset` elements after `t`. */
static inline struct ssa_tensor ssa_tensor_add(struct ssa_tensor t, size_t offset)
{
    t.offset += offset;
    return t;
}

/** The same memory as elements of another type. Its offset in bytes must be a multiple of what one takes. */
static inline struct ssa_tensor ssa_tensor_as(struct ssa_tensor t, int type)
{
    t.offset = t.offset * ssa_type_size(t.type) / ssa_type_size(type);
    t.type = type;
    return t;
}

/** Copies `count` elements from host memory; `source` may be reused when the call returns. */
SSA_API int ssa_tensor_write(struct ssa_tensor t, const void *source, size_t count);

/** Copies `count` elements to host memory; waits for everything enqueued before. */
SSA_API int ssa_tensor_read(struct ssa_tensor t, void *target, size_t count);

/** A read that was begun. Threads: ssa_tensor_await() may be called on any, beside calls on the device. */
struct ssa_ticket;

/** ssa_tensor_read() in two halves, so that the device and the caller go on in between: `target` has the elements when
 *  the second returns. What is enqueued after the first does not delay it, and must not write to `t` before the second.
 *  Each ticket must be awaited once, on any thread, before the device is closed; NULL is one that has nothing to wait
 *  for. */
SSA_API int ssa_tensor_fetch(struct ssa_tensor t, void *target, size_t count, struct ssa_ticket **ticket);
SSA_API int ssa_tensor_await(struct ssa_device *device, struct ssa_ticket *ticket);

/** Sets `count` elements of float32. Enqueued. */
SSA_API int ssa_tensor_fill(struct ssa_tensor t, float value, size_t count);

/** Copies between tensors of one device and type; they must not overlap. Enqueued. */
SSA_API int ssa_tensor_copy(struct ssa_tensor target, struct ssa_tensor source, size_t count);

#ifdef __cplusplus
}
#endif
#endif

/**
 * @file tensor.h
 * Device memory. A tensor is a buffer and an element offset; its shape is said by the operator that uses it.
 * All elements are 4 bytes: float32, or int32 where an operator says so. Row-major, contiguous unless said.
 */
#ifndef SSACL_TENSOR_H
#define SSACL_TENSOR_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ssa_buffer;

/** `offset` counts elements of 4 bytes. A zeroed tensor is "absent" where an operator allows it. */
struct ssa_tensor {
    struct ssa_buffer *buffer;
    size_t offset;
};

/** Allocates `count` elements (uninitialised). SSA_ENOMEM past the device's limits, with the numbers in the text. */
SSA_API int ssa_buffer_create(struct ssa_buffer **buffer, struct ssa_device *device, size_t count);

/** Frees it once the device no longer uses it. NULL is fine. */
SSA_API void ssa_buffer_destroy(struct ssa_buffer *buffer);

/** Elements it holds. */
SSA_API size_t ssa_buffer_count(const struct ssa_buffer *buffer);

/** The tensor that starts `offset` elements into the buffer. */
static inline struct ssa_tensor ssa_tensor_at(struct ssa_buffer *buffer, size_t offset)
{
    struct ssa_tensor t = {buffer, offset};
    return t;
}

/** The tensor that starts `offset` elements after `t`. */
static inline struct ssa_tensor ssa_tensor_add(struct ssa_tensor t, size_t offset)
{
    t.offset += offset;
    return t;
}

/** Copies `count` elements from host memory; `source` may be reused when the call returns. */
SSA_API int ssa_tensor_write(struct ssa_tensor t, const void *source, size_t count);

/** Copies `count` elements to host memory; waits for everything enqueued before. */
SSA_API int ssa_tensor_read(struct ssa_tensor t, void *target, size_t count);

/** Sets `count` float elements. Enqueued. */
SSA_API int ssa_tensor_fill(struct ssa_tensor t, float value, size_t count);

/** Copies between tensors of one device; they must not overlap. Enqueued. */
SSA_API int ssa_tensor_copy(struct ssa_tensor target, struct ssa_tensor source, size_t count);

#ifdef __cplusplus
}
#endif
#endif

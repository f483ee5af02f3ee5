#include "tensors.h"

#include <stdlib.h>

int make_tensor(struct ssa_tensor *t, struct ssa_device *device, size_t count, const void *values)
{
    struct ssa_buffer *buffer;
    int err = ssa_buffer_create(&buffer, device, count * sizeof(float));
    if (err)
        return err;
    *t = ssa_tensor_at(buffer, 0);
    return values ? ssa_tensor_write(*t, values, count) : ssa_tensor_fill(*t, 0, count);
}

float *make_values(size_t count, uint64_t seed)
{
    float *x = malloc(count * sizeof *x);
    uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; x && i < count; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        x[i] = (float)(int32_t)(s >> 32) * 0x1p-31f;
    }
    return x;
}

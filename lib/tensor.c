#include "impl.h"

#include <stdlib.h>

#define MIB(bytes) ((double)(bytes) / (1024.0 * 1024.0))

int ssa_buffer_create(struct ssa_buffer **buffer, struct ssa_device *device, size_t count)
{
    *buffer = NULL;
    int err = ssa_check_device(device, "buffer");
    if (err)
        return err;
    const struct ssa_device_info *d = &device->info;
    if (!count)
        return ssa_fail(SSA_EINVAL, "buffer: a buffer of 0 elements");
    size_t bytes = count * 4;
    if (count > SIZE_MAX / 4 || bytes > d->max_allocation)
        return ssa_fail(SSA_ENOMEM, "buffer: needs %.1f MiB, %s allows %.1f MiB in one allocation", MIB(count) * 4,
                        d->id, MIB(d->max_allocation));
    if (bytes > d->memory || device->held > d->memory - bytes)
        return ssa_fail(SSA_ENOMEM, "buffer: needs %.1f MiB more, %s has %.1f MiB of which %.1f are held", MIB(bytes),
                        d->id, MIB(d->memory), MIB(device->held));
    struct ssa_buffer *b = calloc(1, sizeof *b);
    if (!b)
        return ssa_fail(SSA_ENOMEM, "buffer: out of host memory");
    b->device = device;
    b->count = count;
    b->counted = true;
    err = device->backend->allocate(device, b);
    if (err) {
        free(b);
        return err;
    }
    b->root = b->memory;
    device->held += bytes;
    if (device->held > device->peak)
        device->peak = device->held;
    *buffer = b;
    return SSA_OK;
}

void ssa_buffer_destroy(struct ssa_buffer *buffer)
{
    if (!buffer)
        return;
    if (buffer->counted)
        buffer->device->held -= buffer->count * 4;
    if (!ssa_left_behind(buffer->device))
        buffer->device->backend->release(buffer->device, buffer);
    free(buffer);
}

size_t ssa_buffer_count(const struct ssa_buffer *buffer)
{
    return buffer->count;
}

static int check(const char *what, struct ssa_tensor t, size_t count)
{
    if (!t.buffer)
        return ssa_fail(SSA_EINVAL, "%s: the tensor is absent", what);
    if (t.offset > t.buffer->count || count > t.buffer->count - t.offset)
        return ssa_fail(SSA_EINVAL, "%s: %zu elements at offset %zu reach past the buffer's %zu", what, count,
                        t.offset, t.buffer->count);
    return ssa_check_device(t.buffer->device, what);
}

int ssa_tensor_write(struct ssa_tensor t, const void *source, size_t count)
{
    int err = check("tensor_write", t, count);
    return err || !count ? err : t.buffer->device->backend->write(t.buffer->device, t, source, count);
}

int ssa_tensor_read(struct ssa_tensor t, void *target, size_t count)
{
    int err = check("tensor_read", t, count);
    return err || !count ? err : t.buffer->device->backend->read(t.buffer->device, t, target, count);
}

int ssa_tensor_fetch(struct ssa_tensor t, void *target, size_t count, void **ticket)
{
    int err = check("tensor_fetch", t, count);
    *ticket = NULL;
    if (err || !count)
        return err;
    const struct ssa_backend *b = t.buffer->device->backend;
    return b->fetch ? b->fetch(t.buffer->device, t, target, count, ticket)
                    : b->read(t.buffer->device, t, target, count);
}

int ssa_tensor_await(struct ssa_device *device, void *ticket)
{
    return ticket ? device->backend->await(device, ticket) : SSA_OK;
}

int ssa_tensor_fill(struct ssa_tensor t, float value, size_t count)
{
    int err = check("tensor_fill", t, count);
    return err || !count ? err : t.buffer->device->backend->fill(t.buffer->device, t, value, count);
}

static size_t place(struct ssa_tensor t)
{
    return t.buffer->origin + t.offset;
}

int ssa_tensor_copy(struct ssa_tensor target, struct ssa_tensor source, size_t count)
{
    int err = check("tensor_copy: target", target, count);
    if (!err)
        err = check("tensor_copy: source", source, count);
    if (!err && target.buffer->device != source.buffer->device)
        err = ssa_fail(SSA_EINVAL, "tensor_copy: the tensors are on two devices; read and write through the host");
    if (!err && target.buffer->root == source.buffer->root && place(target) < place(source) + count &&
        place(source) < place(target) + count)
        err = ssa_fail(SSA_EINVAL, "tensor_copy: the tensors overlap");
    return err || !count ? err : target.buffer->device->backend->copy(target.buffer->device, target, source, count);
}

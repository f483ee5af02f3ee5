#include "impl.h"

#include <stdlib.h>

#define MIB(bytes) ((double)(bytes) / (1024.0 * 1024.0))

size_t ssa_type_size(int type)
{
    static const size_t sizes[] = {[SSA_F32] = 4, [SSA_I32] = 4, [SSA_BF16] = 2, [SSA_F16] = 2};
    return type >= 0 && (size_t)type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

const char *ssa_type_name(int type)
{
    static const char *const names[] = {"float32", "int32", "bfloat16", "float16"};
    return ssa_type_size(type) ? names[type] : "of no type";
}

static int check_room(const struct ssa_device *device, size_t bytes)
{
    const struct ssa_device_info *d = &device->info;
    if (!bytes)
        return ssa_fail(SSA_EINVAL, "buffer: a buffer of 0 bytes");
    if (bytes > d->max_allocation)
        return ssa_fail(SSA_ENOMEM, "buffer: needs %.1f MiB, %s allows %.1f MiB in one allocation", MIB(bytes), d->id,
                        MIB(d->max_allocation));
    if (bytes > d->memory || device->held > d->memory - bytes)
        return ssa_fail(SSA_ENOMEM, "buffer: needs %.1f MiB more, %s has %.1f MiB of which %.1f are held", MIB(bytes),
                        d->id, MIB(d->memory), MIB(device->held));
    return SSA_OK;
}

int ssa_buffer_create(struct ssa_buffer **buffer, struct ssa_device *device, size_t bytes)
{
    struct ssa_buffer *b = NULL;
    int err;
    *buffer = NULL;
    TRY(ssa_check_device(device, "buffer"));
    TRY(check_room(device, bytes));
    b = calloc(1, sizeof *b);
    if (!b)
        return ssa_fail(SSA_ENOMEM, "buffer: out of host memory");
    *b = (struct ssa_buffer){.device = device, .bytes = bytes, .counted = true};
    TRY(device->backend->allocate(device, b)); /* which says what root it is a part of, if not one of its own */
    b->root = b->root ? b->root : b->memory;
    device->held += bytes;
    if (device->held > device->peak)
        device->peak = device->held;
    *buffer = b;
    b = NULL;
done:
    free(b);
    return err;
}

int ssa_buffer_wrap(struct ssa_buffer **buffer, struct ssa_device *device, void *memory, size_t bytes)
{
    struct ssa_buffer *b;
    int err;
    *buffer = NULL;
    TRY(ssa_check_device(device, "buffer_wrap"));
    if (!device->backend->wrap)
        TRY(ssa_fail(SSA_EUNSUPPORTED, "buffer_wrap: %s does not work in the host's memory; ssa_ocl_buffer_wrap() takes a "
                     "cl_mem", device->info.id));
    REQUIRE(memory, "buffer_wrap: memory is NULL");
    REQUIRE(bytes, "buffer_wrap: 0 bytes");
    REQUIRE((uintptr_t)memory % 4 == 0, "buffer_wrap: memory is at %p, must be aligned to 4 bytes", memory);
    b = calloc(1, sizeof *b);
    if (!b)
        return ssa_fail(SSA_ENOMEM, "buffer_wrap: out of host memory");
    *b = (struct ssa_buffer){.device = device, .bytes = bytes, .memory = memory, .borrowed = true};
    device->backend->wrap(b);
    *buffer = b;
done:
    return err;
}

void ssa_buffer_destroy(struct ssa_buffer *buffer)
{
    if (!buffer)
        return;
    if (buffer->counted)
        buffer->device->held -= buffer->bytes;
    if (!buffer->borrowed && !ssa_left_behind(buffer->device))
        buffer->device->backend->release(buffer->device, buffer);
    free(buffer);
}

size_t ssa_buffer_bytes(const struct ssa_buffer *buffer)
{
    return buffer->bytes;
}

size_t ssa_tensor_room(struct ssa_tensor t)
{
    const size_t size = ssa_type_size(t.type), all = size ? t.buffer->bytes / size : 0;
    return t.offset < all ? all - t.offset : 0;
}

static int check(const char *what, struct ssa_tensor t, size_t count)
{
    if (!t.buffer)
        return ssa_fail(SSA_EINVAL, "%s: the tensor is absent", what);
    if (!ssa_type_size(t.type))
        return ssa_fail(SSA_EINVAL, "%s: %d is no type of a tensor", what, t.type);
    const size_t all = t.buffer->bytes / ssa_type_size(t.type);
    if (t.offset > all || count > all - t.offset)
        return ssa_fail(SSA_EINVAL, "%s: %zu elements at offset %zu reach past the buffer's %zu", what, count, t.offset,
                        all);
    return ssa_check_device(t.buffer->device, what);
}

int ssa_tensor_write(struct ssa_tensor t, const void *source, size_t count)
{
    int err = check("tensor_write", t, count);
    return err || !count ? err : t.buffer->device->backend->write(t.buffer->device, t, source, ssa_bytes(t, count));
}

int ssa_tensor_read(struct ssa_tensor t, void *target, size_t count)
{
    int err = check("tensor_read", t, count);
    return err || !count ? err : t.buffer->device->backend->read(t.buffer->device, t, target, ssa_bytes(t, count));
}

int ssa_tensor_fetch(struct ssa_tensor t, void *target, size_t count, struct ssa_ticket **ticket)
{
    int err = check("tensor_fetch", t, count);
    *ticket = NULL;
    if (err || !count)
        return err;
    const struct ssa_backend *b = t.buffer->device->backend;
    return b->fetch ? b->fetch(t.buffer->device, t, target, ssa_bytes(t, count), ticket)
                    : b->read(t.buffer->device, t, target, ssa_bytes(t, count));
}

int ssa_tensor_await(struct ssa_device *device, struct ssa_ticket *ticket)
{
    return ticket ? device->backend->await(device, ticket) : SSA_OK;
}

int ssa_tensor_fill(struct ssa_tensor t, float value, size_t count)
{
    int err;
    TRY(check("tensor_fill", t, count));
    REQUIRE(t.type == SSA_F32, "tensor_fill: the tensor is %s, must be float32", ssa_type_name(t.type));
    if (count)
        TRY(t.buffer->device->backend->fill(t.buffer->device, t, value, count));
done:
    return err;
}

int ssa_tensor_copy(struct ssa_tensor target, struct ssa_tensor source, size_t count)
{
    int err;
    TRY(check("tensor_copy: target", target, count));
    TRY(check("tensor_copy: source", source, count));
    REQUIRE(target.type == source.type, "tensor_copy: target is %s, source %s; they must be of one type",
            ssa_type_name(target.type), ssa_type_name(source.type));
    REQUIRE(target.buffer->device == source.buffer->device,
            "tensor_copy: the tensors are on two devices; read and write through the host");
    const size_t bytes = ssa_bytes(target, count), to = ssa_place_of(target), from = ssa_place_of(source);
    REQUIRE(target.buffer->root != source.buffer->root || to >= from + bytes || from >= to + bytes,
            "tensor_copy: the tensors overlap");
    if (count)
        TRY(target.buffer->device->backend->copy(target.buffer->device, target, source, bytes));
done:
    return err;
}

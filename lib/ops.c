/* The public operators: check, then run, timed if asked. And what their checks and launches share. */
#include "impl.h"
#include "launch.h"
#include "thread.h"

#include <stdio.h>
#include <string.h>

#define PUBLIC(op) \
    int ssa_##op(struct ssa_device *device, const struct ssa_##op *a) \
    { \
        double start = 0; \
        int err = ssa_check_device(device, #op); \
        if (!err) \
            err = a ? ssa_##op##_check(device, a) : ssa_fail(SSA_EINVAL, #op ": the arguments are NULL"); \
        if (err) \
            return err; \
        device->path = (struct ssa_path){0}; \
        if (device->timing) { \
            device->backend->finish(device); \
            start = ssa_seconds(); \
        } \
        err = ssa_##op##_run(device, a); \
        if (device->timing) { \
            device->backend->finish(device); \
            device->seconds[SSA_OP_##op] += ssa_seconds() - start; \
        } \
        device->paths[SSA_OP_##op] = device->path; \
        return err; \
    }
SSA_OPS(PUBLIC)

void ssa_device_set_timing(struct ssa_device *device, int on)
{
    device->timing = on != 0;
}

#define NAME(op) #op,
static const char *const op_names[] = {"", SSA_OPS(NAME)};

int ssa_device_path(const struct ssa_device *device, const char *op, char *text, size_t size)
{
    int i = 1;
    while (i < SSA_OP_COUNT && strcmp(op_names[i], op))
        i++;
    if (i == SSA_OP_COUNT)
        return ssa_fail(SSA_EINVAL, "device_path: there is no operator %s", op);
    const struct ssa_path *p = &device->paths[i];
    if (p->quarantined)
        snprintf(text, size, "portable: %s (quarantined: %s)", p->way, p->quarantined);
    else
        snprintf(text, size, "%s", p->way);
    ssa_plain_text(text, size ? strlen(text) : 0); /* a verdict that was kept has words of a driver */
    return SSA_OK;
}

double ssa_device_seconds(const struct ssa_device *device, const char *prefix)
{
    double sum = 0;
    for (int i = 1; i < SSA_OP_COUNT; i++)
        if (!strncmp(op_names[i], prefix, strlen(prefix)))
            sum += device->seconds[i];
    return sum;
}

bool ssa_left_behind(const struct ssa_device *device)
{
    return device->forks != ssa_forks() && !device->backend->survives_fork;
}

int ssa_check_device(const struct ssa_device *device, const char *op)
{
    if (!device)
        return ssa_fail(SSA_EINVAL, "%s: device is NULL", op);
    if (!ssa_left_behind(device))
        return SSA_OK;
    return ssa_fail(SSA_EDEVICE, "%s: device %s was opened before fork(), which its driver does not survive: fork "
                    "before OpenCL is used, or run another program in the child", op, device->info.id);
}

int ssa_check_tensor(const struct ssa_device *device, const char *op, const char *operand, struct ssa_tensor t, int type,
                     size_t count, bool optional)
{
    int err = SSA_OK;
    if (!t.buffer && optional)
        return SSA_OK;
    REQUIRE(t.buffer, "%s: %s is absent", op, operand);
    REQUIRE(t.buffer->device == device, "%s: %s is on another device (%s)", op, operand, t.buffer->device->info.id);
    REQUIRE(t.type == type, "%s: %s is %s, must be %s%s", op, operand, ssa_type_name(t.type), ssa_type_name(type),
            t.type == SSA_BF16 || t.type == SSA_F16 ? " (no operator takes half precision yet)" : "");
    REQUIRE(count <= ssa_tensor_room(t), "%s: %s needs %zu elements at offset %zu, its buffer holds %zu", op, operand,
            count, t.offset, t.buffer->bytes / ssa_type_size(type));
done:
    return err;
}

size_t ssa_extent(size_t rows, size_t width, size_t stride)
{
    return rows ? ssa_plus(ssa_times(rows - 1, stride), width) : 0;
}

int ssa_check_positive(const char *op, const char *name, int value)
{
    return value > 0 ? SSA_OK : ssa_fail(SSA_EINVAL, "%s: %s is %d, must be positive", op, name, value);
}

int ssa_check_countable(const char *op, const char *name, int value)
{
    if (value > 1 << 30)
        return ssa_fail(SSA_EINVAL, "%s: %s is %d, must be at most 2^30", op, name, value);
    return ssa_check_positive(op, name, value);
}

int ssa_check_activation(const char *op, int activation)
{
    if (activation < 0 || activation > SSA_ACT_ELU)
        return ssa_fail(SSA_EINVAL, "%s: activation is %d, must be one of enum ssa_activation", op, activation);
    return SSA_OK;
}

int ssa_check_activated(const char *op, int rows, int width, int activation)
{
    int err;
    TRY(ssa_check_positive(op, "rows", rows));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
    TRY(ssa_check_activation(op, activation));
done:
    return err;
}

int ssa_check_loops(const struct ssa_device *device, const char *op, size_t loops)
{
    if (!device->loop_limit || loops <= device->loop_limit)
        return SSA_OK;
    return ssa_fail(SSA_EUNSUPPORTED, "%s: %s ends a kernel's loops after %zu iterations, and this size may take %zu: "
                    "take another device, or a smaller batch or length", op, device->info.name, device->loop_limit,
                    loops);
}

int ssa_check_reserved(const char *op, const size_t *reserved, int count)
{
    for (int i = 0; i < count; i++)
        if (reserved[i])
            return ssa_fail(SSA_EINVAL, "%s: reserved fields must be zero (zero the whole struct first)", op);
    return SSA_OK;
}

void (*ssa_launch_witness)(const struct ssa_launch *launch);

/* With the parameters that the device's build of the file is tuned to. */
int ssa_launch(struct ssa_device *device, const struct ssa_launch *launch)
{
    struct ssa_constant tuned[SSA_MAX_CONSTANTS];
    int n = ssa_tuned_constants(device, launch->file ? launch->file : launch->kernel, tuned, SSA_MAX_CONSTANTS), at = 0;
    if (ssa_launch_witness)
        ssa_launch_witness(launch);
    if (!n)
        return device->backend->launch(device, launch);
    struct ssa_launch l = *launch;
    while (at < SSA_MAX_CONSTANTS && l.constants[at].name)
        at++;
    if (n > SSA_MAX_CONSTANTS - at)
        return ssa_fail(SSA_EUNSUPPORTED, "%s: more than %d constants", l.kernel, SSA_MAX_CONSTANTS);
    memcpy(&l.constants[at], tuned, (size_t)n * sizeof *tuned);
    return device->backend->launch(device, &l);
}

/* So few rows are long work: on CPUs a group each, since a driver would put 8 in one group, that is on one core. */
enum { FEW = 1024 };

int ssa_launch_rows(struct ssa_device *device, struct ssa_launch *launch, size_t rows)
{
    bool gpu = device->info.gpu_shape;
    launch->global[0] = gpu ? rows * ROW_LANES : rows;
    launch->local[0] = gpu ? ROW_LANES : rows <= FEW;
    return ssa_launch(device, launch);
}

int ssa_launch_chunks(struct ssa_device *device, struct ssa_launch *launch, size_t count)
{
    size_t chunk = device->info.gpu_shape ? GPU_ELEMENTS : CPU_ELEMENTS;
    size_t items = ssa_divide_up(count, chunk);
    launch->global[0] = device->info.gpu_shape ? ssa_divide_up(items, ROW_LANES) * ROW_LANES : items;
    launch->local[0] = device->info.gpu_shape ? ROW_LANES : 1;
    return ssa_launch(device, launch);
}

/* The parameters of kernels that may differ from device to device: a table of what list.h lists, with all that is
 * legal. An operator asks ssa_tuned() where it makes a grid; ssa_launch() passes those that a kernel is built with, so
 * that grid, local memory and build come from the same numbers. */
#include "tuning.h"

#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 6 };

/* Who has a parameter: devices that run kernels in the CPU shape (HOST_TOO: the host backend as well, whose kernels are
 * built already: what operators read, no constants), or those of GPU shape. */
enum shape { CPU_SHAPE, HOST_TOO, GPU_SHAPE };

struct parameter {
    const char *kernel, *name;
    enum shape shape;
    bool constant; /* of the build, passed where it differs from `standard`, the kernel file's own default */
    int standard;
    int (*trait)(const struct ssa_device *); /* or NULL: `standard` for every device */
    int values[MAX_VALUES];                       /* ends at the first 0 that is not the first; 0: the kernel's choice */
};

static int side(const struct ssa_device *d)
{
    return d->info.max_group >= 256 ? 16 : 8;
}

static int registers(const struct ssa_device *d)
{
    return d->few_registers ? 128 : 256;
}

static int gemm_tile(const struct ssa_device *d)
{
    return 4 * side(d);
}

static const struct parameter table[] = {
#define ROW(kernel_, name_, shape_, constant_, standard_, trait_, ...) \
    [SSA_TUNED(kernel_, name_)] = {#kernel_, #name_, shape_, constant_, standard_, trait_, {__VA_ARGS__}},
    SSA_TUNED_LIST(ROW)
#undef ROW
};
enum { PARAMETERS = sizeof table / sizeof *table };
_Static_assert((int)PARAMETERS == (int)SSA_TUNED_COUNT, "a row for each parameter");

static bool has(const struct ssa_device *device, const struct parameter *p)
{
    if (device->info.gpu_shape)
        return p->shape == GPU_SHAPE;
    return p->shape == HOST_TOO || (p->shape == CPU_SHAPE && device->info.kind != SSA_DEVICE_HOST);
}

static int standard(const struct ssa_device *device, const struct parameter *p)
{
    return p->trait ? p->trait(device) : p->standard;
}

/* A device holds value + 1, so that one full of zeros has the defaults. */
static int value_in(const struct ssa_device *device, const int *tuned, int which)
{
    return tuned[which] ? tuned[which] - 1 : standard(device, &table[which]);
}

static int find(const char *kernel, const char *name)
{
    for (int i = 0; i < PARAMETERS; i++)
        if (!strcmp(table[i].kernel, kernel) && !strcmp(table[i].name, name))
            return i;
    return -1;
}

int ssa_tuned(const struct ssa_device *device, enum ssa_tuned which)
{
    return value_in(device, device->tuned, which);
}

int ssa_tuned_constants(const struct ssa_device *device, const char *file, struct ssa_constant *constants, int capacity)
{
    int n = 0;
    for (int i = 0; i < PARAMETERS; i++) {
        const struct parameter *p = &table[i];
        if (!p->constant || !has(device, p) || strcmp(p->kernel, file))
            continue;
        int value = value_in(device, device->tuned, i);
        if (value != p->standard && n < capacity)
            constants[n++] = (struct ssa_constant){p->name, value};
    }
    return n;
}

/* ---- what fits ---- */

static int count_values(const struct parameter *p)
{
    int n = 1;
    while (n < MAX_VALUES && p->values[n])
        n++;
    return n;
}

static bool legal(const struct parameter *p, int value)
{
    for (int i = 0; i < count_values(p); i++)
        if (p->values[i] == value)
            return true;
    return false;
}

static int check_group(const struct ssa_device *device, const char *kernel, size_t items, size_t local)
{
    const struct ssa_device_info *d = &device->info;
    if (items > d->max_group)
        return ssa_fail(SSA_EINVAL, "tuning: %s would take work-groups of %zu, %s has at most %zu", kernel, items,
                        d->name, d->max_group);
    if (local > d->local_memory)
        return ssa_fail(SSA_EINVAL, "tuning: %s would take %zu bytes of local memory, %s has %zu", kernel, local,
                        d->name, d->local_memory);
    return SSA_OK;
}

static int check_gemm(const struct ssa_device *device, const int *tuned)
{
    int vw = value_in(device, tuned, SSA_TUNED(gemm, VW)), nv = value_in(device, tuned, SSA_TUNED(gemm, NV));
    return nv * vw <= 32 ? SSA_OK
                         : ssa_fail(SSA_EINVAL, "tuning: gemm's NV x VW is %d x %d, b is packed 32 columns at a time", nv,
                                    vw);
}

static int check_gemm_gpu(const struct ssa_device *device, const int *tuned)
{
    int tile = value_in(device, tuned, SSA_TUNED(gemm_gpu, TILE));
    int side = value_in(device, tuned, SSA_TUNED(gemm_gpu, SIDE));
    int depth = value_in(device, tuned, SSA_TUNED(gemm_gpu, DEPTH));
    int err = check_group(device, "gemm_gpu", (size_t)side * (size_t)side,
                          2 * sizeof(float) * (size_t)depth * (size_t)tile);
    if (!err && tile != 4 * side && tile != 8 * side)
        err = ssa_fail(SSA_EINVAL, "tuning: gemm_gpu's TILE is %d, must be 4 or 8 times SIDE, %d", tile, side);
    if (!err && tile == 8 * side && device->few_registers)
        err = ssa_fail(SSA_EINVAL, "tuning: gemm_gpu's TILE is %d, the registers of %s hold 4 times SIDE, %d", tile,
                       device->info.name, side);
    return err;
}

/* Local memory at the widest heads, in floats: the pool of cl/attention_gpu.h and what stands beside it. */
static int check_attention_gpu(const struct ssa_device *device, const int *tuned, const char *kernel,
                               enum ssa_tuned its_side, enum ssa_tuned its_chunk, enum ssa_tuned its_registers)
{
    size_t side = (size_t)value_in(device, tuned, its_side), chunk = (size_t)value_in(device, tuned, its_chunk);
    size_t rows = 8 * side, columns = value_in(device, tuned, its_registers) < 256 ? 256 : rows;
    size_t pool = (chunk ? chunk : 16) * (rows + 256), beside = 4 * (rows > columns ? rows : columns);
    return check_group(device, kernel, side * side, sizeof(float) * (pool + beside));
}

static int check_combination(const struct ssa_device *device, const int *tuned)
{
    int err;
    if (!device->info.gpu_shape)
        return check_gemm(device, tuned);
    TRY(check_attention_gpu(device, tuned, "attention_fwd_gpu", SSA_TUNED(attention_fwd_gpu, SIDE),
                            SSA_TUNED(attention_fwd_gpu, CHUNK), SSA_TUNED(attention_fwd_gpu, REGISTERS)));
    TRY(check_attention_gpu(device, tuned, "attention_bwd_gpu", SSA_TUNED(attention_bwd_gpu, SIDE),
                            SSA_TUNED(attention_bwd_gpu, CHUNK), SSA_TUNED(attention_bwd_gpu, REGISTERS)));
    TRY(check_gemm_gpu(device, tuned));
done:
    return err;
}

static int check_setting(const struct ssa_device *device, const struct ssa_tuning_setting *s, int *index)
{
    char list[96] = "";
    int i = find(s->kernel, s->name);
    if (i < 0 || !has(device, &table[i]))
        return ssa_fail(SSA_EINVAL, "tuning: %s has no parameter \"%.40s\" of a kernel \"%.40s\"", device->info.name,
                        s->name, s->kernel);
    const struct parameter *p = &table[i];
    for (int v = 0; v < count_values(p); v++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%d", v ? ", " : "", p->values[v]);
    if (!legal(p, s->value))
        return ssa_fail(SSA_EINVAL, "tuning: %s of %s is %d, must be one of %s", p->name, p->kernel, s->value, list);
    *index = i;
    return SSA_OK;
}

/* ---- the public calls ---- */

int ssa_tuning_set(struct ssa_device *device, const struct ssa_tuning_setting *settings, int count)
{
    int tuned[SSA_TUNED_COUNT], i = 0, err = SSA_OK;
    memcpy(tuned, device->tuned, sizeof tuned);
    for (int s = 0; s < count; s++) {
        TRY(check_setting(device, &settings[s], &i));
        tuned[i] = settings[s].value + 1;
    }
    TRY(check_combination(device, tuned));
    memcpy(device->tuned, tuned, sizeof tuned);
    memset(device->trusted, 0, sizeof device->trusted); /* with other parameters */
done:
    return err;
}

void ssa_tuning_reset(struct ssa_device *device, const char *kernel)
{
    memset(device->trusted, 0, sizeof device->trusted);
    for (int i = 0; i < PARAMETERS; i++)
        if (!kernel || !strcmp(table[i].kernel, kernel))
            device->tuned[i] = 0;
}

bool ssa_is_tuned(const struct ssa_device *device, const char *kernel)
{
    bool tuned = false;
    for (int i = 0; i < PARAMETERS; i++)
        tuned |= !strcmp(table[i].kernel, kernel) && device->tuned[i];
    return tuned;
}

int ssa_tuning_list(const struct ssa_device *device, struct ssa_tunable *list, int capacity, int *count)
{
    int n = 0;
    for (int i = 0; i < PARAMETERS; i++) {
        const struct parameter *p = &table[i];
        if (!has(device, p))
            continue;
        if (n < capacity) {
            list[n] = (struct ssa_tunable){.kernel = p->kernel, .name = p->name, .standard = standard(device, p),
                                           .value = value_in(device, device->tuned, i), .count = count_values(p)};
            memcpy(list[n].values, p->values, sizeof p->values);
        }
        n++;
    }
    *count = n;
    return SSA_OK;
}

bool ssa_tuning_has(const struct ssa_device *device, const char *kernel)
{
    for (int i = 0; i < PARAMETERS; i++)
        if (!strcmp(table[i].kernel, kernel) && has(device, &table[i]))
            return true;
    return false;
}

const char *ssa_tuning_origin(const struct ssa_device *device)
{
    return device->tuning_origin;
}

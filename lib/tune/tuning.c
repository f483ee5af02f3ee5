/* The parameters of kernels that may differ from device to device: one table, with all that is legal. An operator asks
 * ssa_tuned() where it makes a grid; ssa_launch() passes those that a kernel is built with, so that grid, local memory
 * and build come from the same numbers. */
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
    /* TILE: queries of a tile; KEYS: of a block; VW: floats of a vec; PARTS: work-items a unit, at least. */
    {"attention_fwd", "TILE", CPU_SHAPE, true, 128, NULL, {32, 64, 128, 256}},
    {"attention_fwd", "KEYS", CPU_SHAPE, true, 0, NULL, {0, 16, 32, 64, 128}},
    {"attention_fwd", "VW", CPU_SHAPE, true, 16, NULL, {8, 16}},
    {"attention_bwd", "TILE", CPU_SHAPE, true, 64, NULL, {32, 64, 128}},
    {"attention_bwd", "KEYS", CPU_SHAPE, true, 0, NULL, {0, 16, 32, 64, 128}},
    {"attention_bwd", "VW", CPU_SHAPE, true, 16, NULL, {8, 16}},
    {"attention_bwd", "PARTS", HOST_TOO, false, 4, NULL, {1, 2, 4, 8}},
    /* MR x NV: the register tile; KC, MB, NB: the block that gemm_ta packs; ITEMS: work-items a unit, at least; ROWS of
     * a work-item, at most; PANELS: KiB of b's packed panels that a work-item goes through, about. */
    {"gemm", "MR", CPU_SHAPE, true, 0, NULL, {0, 4, 6, 8}},
    {"gemm", "NV", CPU_SHAPE, true, 2, NULL, {1, 2, 4}},
    {"gemm", "VW", CPU_SHAPE, true, 16, NULL, {8, 16}},
    {"gemm", "KC", CPU_SHAPE, true, 128, NULL, {64, 128, 256}},
    {"gemm", "MB", CPU_SHAPE, true, 256, NULL, {128, 256, 512}},
    {"gemm", "NB", CPU_SHAPE, true, 512, NULL, {256, 512, 1024}},
    {"gemm", "ITEMS", HOST_TOO, false, 4, NULL, {2, 4, 8}},
    {"gemm", "ROWS", HOST_TOO, false, 144, NULL, {48, 96, 144, 192, 288}},
    {"gemm", "PANELS", HOST_TOO, false, 1024, NULL, {256, 512, 1024, 8192}},
    /* SIDE x SIDE work-items of EACH rows and four columns; CHUNK rows are staged at a time. Short blocks take less.
     * REGISTERS: what a work-item may count on. */
    {"attention_fwd_gpu", "SIDE", GPU_SHAPE, false, 16, side, {8, 16}},
    {"attention_fwd_gpu", "EACH", GPU_SHAPE, false, 0, NULL, {0, 4, 8}},
    {"attention_fwd_gpu", "CHUNK", GPU_SHAPE, true, 0, NULL, {0, 4, 8, 16, 32}},
    {"attention_fwd_gpu", "REGISTERS", GPU_SHAPE, true, 256, registers, {128, 256}},
    {"attention_bwd_gpu", "SIDE", GPU_SHAPE, false, 16, side, {8, 16}},
    {"attention_bwd_gpu", "EACH", GPU_SHAPE, false, 0, NULL, {0, 4, 8}},
    {"attention_bwd_gpu", "CHUNK", GPU_SHAPE, true, 0, NULL, {0, 4, 8, 16, 32}},
    {"attention_bwd_gpu", "REGISTERS", GPU_SHAPE, true, 256, registers, {128, 256}},
    /* A work-group of SIDE x SIDE owns TILE x TILE of c and stages DEPTH of k. */
    {"gemm_gpu", "TILE", GPU_SHAPE, true, 64, gemm_tile, {32, 64, 128}},
    {"gemm_gpu", "SIDE", GPU_SHAPE, true, 16, side, {8, 16}},
    {"gemm_gpu", "DEPTH", GPU_SHAPE, true, 16, NULL, {8, 16, 32}},
};
enum { PARAMETERS = sizeof table / sizeof *table };
_Static_assert((int)PARAMETERS <= (int)SSA_TUNED_MAX, "struct ssa_device has a place for each parameter");

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
static int value_in(const struct ssa_device *device, const int *tuned, int i)
{
    return tuned[i] ? tuned[i] - 1 : standard(device, &table[i]);
}

static int find(const char *kernel, const char *name)
{
    for (int i = 0; i < PARAMETERS; i++)
        if (!strcmp(table[i].kernel, kernel) && !strcmp(table[i].name, name))
            return i;
    return -1;
}

static int value_of(const struct ssa_device *device, const int *tuned, const char *kernel, const char *name)
{
    return value_in(device, tuned, find(kernel, name));
}

int ssa_tuned(const struct ssa_device *device, const char *kernel, const char *name)
{
    return value_of(device, device->tuned, kernel, name);
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
    int vw = value_of(device, tuned, "gemm", "VW"), nv = value_of(device, tuned, "gemm", "NV");
    return nv * vw <= 32 ? SSA_OK
                         : ssa_fail(SSA_EINVAL, "tuning: gemm's NV x VW is %d x %d, b is packed 32 columns at a time", nv,
                                    vw);
}

static int check_gemm_gpu(const struct ssa_device *device, const int *tuned)
{
    int tile = value_of(device, tuned, "gemm_gpu", "TILE"), side = value_of(device, tuned, "gemm_gpu", "SIDE"),
        depth = value_of(device, tuned, "gemm_gpu", "DEPTH");
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
static int check_attention_gpu(const struct ssa_device *device, const int *tuned, const char *kernel)
{
    size_t side = (size_t)value_of(device, tuned, kernel, "SIDE");
    size_t chunk = (size_t)value_of(device, tuned, kernel, "CHUNK"), rows = 8 * side;
    size_t columns = value_of(device, tuned, kernel, "REGISTERS") < 256 ? 256 : rows;
    size_t pool = (chunk ? chunk : 16) * (rows + 256), beside = 4 * (rows > columns ? rows : columns);
    return check_group(device, kernel, side * side, sizeof(float) * (pool + beside));
}

static int check_combination(const struct ssa_device *device, const int *tuned)
{
    int err;
    if (!device->info.gpu_shape)
        return check_gemm(device, tuned);
    TRY(check_attention_gpu(device, tuned, "attention_fwd_gpu"));
    TRY(check_attention_gpu(device, tuned, "attention_bwd_gpu"));
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
    int tuned[SSA_TUNED_MAX], i = 0, err = SSA_OK;
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

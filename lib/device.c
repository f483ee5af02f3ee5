/* Choosing and opening devices, and what every device does alike. */
#include "tuning.h"
#include "verify.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 64 };

int ssa_device_list(struct ssa_device_info *list, int capacity, int *count)
{
    char why[512] = "";
    int n = 0, err = ssa_ocl_list(list, capacity, &n, why, sizeof why);
    if (err)
        return err;
    if (!n)
        ssa_log(SSA_LOG_INFO, "no OpenCL device: %s", why);
    if (n < capacity)
        ssa_host_info(&list[n]);
    *count = n + 1;
    return SSA_OK;
}

/* Case-insensitive substring; not in ISO C. */
static bool contains(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

double ssa_device_score(const struct ssa_device_info *d)
{
    /* A GPU that shares the host's memory has the most of it, and is 6 to 10 times slower than one with its own. */
    static const double classes[] = {[SSA_DEVICE_HOST] = 0, [SSA_DEVICE_CPU] = 1e8, [SSA_DEVICE_ACCELERATOR] = 2e8,
                                     [SSA_DEVICE_GPU] = 4e8};
    const double memory = (double)d->memory / 1048576;
    return classes[d->kind] - (d->kind == SSA_DEVICE_GPU && d->unified ? 1e8 : 0) + (memory < 1e8 ? memory : 1e8 - 1);
}

static const struct ssa_device_info *best(const struct ssa_device_info *list, int n, bool host_too)
{
    const struct ssa_device_info *top = NULL;
    for (const struct ssa_device_info *d = list; d < list + n; d++) {
        if (!host_too && d->kind == SSA_DEVICE_HOST)
            continue;
        if (!top || ssa_device_score(d) > ssa_device_score(top))
            top = d;
    }
    return top;
}

static const struct ssa_device_info *find(const struct ssa_device_info *list, int n, const char *name)
{
    if (!strcmp(name, "auto"))
        return best(list, n, true);
    if (!strcmp(name, "opencl"))
        return best(list, n, false);
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].id, name))
            return &list[i];
    if (!strncmp(name, "opencl:", 7) || !*name)
        return NULL;
    for (int i = 0; i < n; i++)
        if (contains(list[i].name, name) || contains(list[i].platform, name))
            return &list[i];
    return NULL;
}

static int no_device(const struct ssa_device_info *list, int n, const char *name)
{
    char there[1024] = "none";
    for (int i = 0; i < n; i++) {
        size_t used = i ? strlen(there) : 0;
        snprintf(there + used, sizeof there - used, "%s%s (%.80s)", i ? ", " : "", list[i].id, list[i].name);
    }
    return ssa_fail(SSA_ENODEVICE, "no device \"%s\"; there are: %s", name, there);
}

int ssa_device_find(const struct ssa_device_info *list, int count, const char *name, int *index)
{
    const struct ssa_device_info *d = find(list, count, name);
    *index = d ? (int)(d - list) : -1;
    return d ? SSA_OK : no_device(list, count, name);
}

/* The list is no local array: callers may have little stack. */
static int open_listed(struct ssa_device **device, const char *name)
{
    struct ssa_device_info *list = calloc(MAX_DEVICES, sizeof *list);
    int n, err = list ? SSA_OK : ssa_fail(SSA_ENOMEM, "device %s: out of host memory", name);
    if (!err)
        err = ssa_device_list(list, MAX_DEVICES, &n);
    if (!err)
        err = ssa_device_find(list, n < MAX_DEVICES ? n : MAX_DEVICES, name, &n);
    if (!err)
        err = list[n].kind == SSA_DEVICE_HOST ? ssa_host_open(device) : ssa_ocl_open(device, list[n].id);
    free(list);
    return err;
}

int ssa_device_open(struct ssa_device **device, const char *name)
{
    const char *from = "asked for";
    int err;

    *device = NULL;
    if (!name || !strcmp(name, "auto")) {
        name = ssa_environment("SSACL_DEVICE");
        from = name && *name ? "$SSACL_DEVICE" : "auto: the highest score";
        if (!name || !*name)
            name = "auto";
    }
    if (!strcmp(name, "cpu")) { /* no need to wake OpenCL */
        err = ssa_host_open(device);
    } else {
        err = open_listed(device, name);
    }
    if (!err)
        ssa_log(SSA_LOG_INFO, "device %s: %s on %s, %d units, score %.0f (%s)", (*device)->info.id,
                (*device)->info.name, (*device)->info.platform, (*device)->info.units,
                ssa_device_score(&(*device)->info), from);
    if (!err)
        ssa_tuning_find(*device);
    return err;
}

void ssa_device_close(struct ssa_device *device)
{
    if (!device || ssa_left_behind(device))
        return;
    device->backend->finish(device);
    for (int i = 0; i < 2; i++)
        ssa_buffer_destroy(device->scratch[i]);
    if (device->held)
        ssa_log(SSA_LOG_WARNING, "device %s closed with %zu bytes still held", device->info.id, device->held);
    ssa_verdicts_free(device);
    device->backend->close(device);
}

int ssa_device_finish(struct ssa_device *device)
{
    int err = ssa_check_device(device, "device_finish");
    return err ? err : device->backend->finish(device);
}

int ssa_device_get_info(const struct ssa_device *device, struct ssa_device_info *info)
{
    *info = device->info;
    return SSA_OK;
}

void ssa_device_memory(const struct ssa_device *device, size_t *held, size_t *peak)
{
    if (held)
        *held = device->held;
    if (peak)
        *peak = device->peak;
}

void ssa_device_reset_peak(struct ssa_device *device)
{
    device->peak = device->held;
}

int ssa_scratch(struct ssa_device *device, int slot, size_t count, struct ssa_tensor *scratch)
{
    struct ssa_buffer **s = &device->scratch[slot];
    int err = SSA_OK;
    if (!*s || (*s)->count < count) {
        ssa_buffer_destroy(*s); /* enqueued work that uses it keeps it alive */
        *s = NULL;
        err = ssa_buffer_create(s, device, count);
    }
    *scratch = ssa_tensor_at(*s, 0);
    return err;
}

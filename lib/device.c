/* Choosing and opening devices, and what every device does alike. */
#include "tune/tuning.h"
#include "tune/verify.h"

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

/* ---- parts of names ---- */

static char lower(char c) /* tolower() hangs on the caller's locale */
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Case-insensitive; not in ISO C. */
static bool begins_with(const char *text, const char *part)
{
    while (*part && lower(*text) == lower(*part))
        text++, part++;
    return !*part;
}

enum fit { FITS_NOT, FITS_WITHIN, FITS_WHOLE };

static enum fit fit_of(const char *text, const char *part)
{
    enum fit fit = begins_with(text, part) && strlen(text) == strlen(part) ? FITS_WHOLE : FITS_NOT;
    for (; *text && !fit; text++)
        fit = begins_with(text, part) ? FITS_WITHIN : FITS_NOT;
    return fit;
}

static enum fit fits(const struct ssa_device_info *d, const char *part)
{
    enum fit name = fit_of(d->name, part), platform = fit_of(d->platform, part);
    return name > platform ? name : platform;
}

/* Of how many devices it is a part as good as of the one that it fits best. */
static int count_fitting(const struct ssa_device_info *list, int n, const char *part, enum fit *best_fit)
{
    int count = 0;
    *best_fit = FITS_NOT;
    for (int i = 0; i < n; i++) {
        enum fit fit = fits(&list[i], part);
        count = fit > *best_fit ? 1 : count + (fit && fit == *best_fit);
        *best_fit = fit > *best_fit ? fit : *best_fit;
    }
    return count;
}

/* A 1 is in the name of every second device: what is to mean one has a letter, and another sign. */
static bool means_something(const char *part)
{
    bool letter = false;
    for (const char *c = part; *c; c++)
        letter |= (lower(*c) >= 'a' && lower(*c) <= 'z') || (*c & 0x80);
    return letter && part[1];
}

/* ---- by name ---- */

/* Error texts name those that fit so well, of all. */
static int no_device(const struct ssa_device_info *list, int n, const char *part, enum fit fit, const char *words)
{
    char there[1024] = "";
    for (int i = 0; i < n; i++) {
        size_t used = strlen(there);
        if (!fit || fits(&list[i], part) == fit)
            snprintf(there + used, sizeof there - used, "%s%s (%.80s)", used ? ", " : "", list[i].id, list[i].name);
    }
    return ssa_fail(SSA_ENODEVICE, words, part, *there ? there : "none");
}

static int find_part(const struct ssa_device_info *list, int n, const char *part, const struct ssa_device_info **found)
{
    enum fit fit;
    if (*part && !means_something(part))
        return no_device(list, n, part, FITS_NOT,
                         "no device \"%s\", which is no part of a name that means one; there are: %s");
    int count = *part && strncmp(part, "opencl:", 7) ? count_fitting(list, n, part, &fit) : 0;
    if (!count)
        return no_device(list, n, part, FITS_NOT, "no device \"%s\"; there are: %s");
    if (count > 1)
        return no_device(list, n, part, fit,
                         "device \"%s\" may be one of several, give its id or more of its name: %s");
    for (int i = 0; i < n; i++)
        if (fits(&list[i], part) == fit)
            *found = &list[i];
    return SSA_OK;
}

int ssa_device_find(const struct ssa_device_info *list, int count, const char *name, int *index)
{
    const struct ssa_device_info *d = !strcmp(name, "auto")     ? best(list, count, true)
                                      : !strcmp(name, "opencl") ? best(list, count, false)
                                                                : NULL;
    int err = SSA_OK;
    for (int i = 0; i < count && !d; i++)
        if (!strcmp(list[i].id, name))
            d = &list[i];
    if (!d)
        err = find_part(list, count, name, &d);
    *index = d ? (int)(d - list) : -1;
    return err;
}

const char *ssa_device_wanted(const char *name, const char **from)
{
    const char *preferred = ssa_environment("SSACL_DEVICE");
    bool is_auto = !name || !strcmp(name, "auto");
    if (is_auto && preferred && *preferred) {
        *from = "$SSACL_DEVICE";
        return preferred;
    }
    *from = is_auto ? "auto: the highest score" : "asked for";
    return is_auto ? "auto" : name;
}

int ssa_device_choose(const struct ssa_device_info *list, int count, const char *name, int *index)
{
    const char *from;
    int err = ssa_device_find(list, count, ssa_device_wanted(name, &from), index);
    return err && *from == '$' ? ssa_fail(err, "%s: %s", from, ssa_last_error()) : err;
}

/* The list is no local array: callers may have little stack. */
static int open_listed(struct ssa_device **device, const char *name)
{
    struct ssa_device_info *list = calloc(MAX_DEVICES, sizeof *list);
    int n, err = list ? SSA_OK : ssa_fail(SSA_ENOMEM, "device: out of host memory");
    if (!err)
        err = ssa_device_list(list, MAX_DEVICES, &n);
    if (!err)
        err = ssa_device_choose(list, n < MAX_DEVICES ? n : MAX_DEVICES, name, &n);
    if (!err)
        err = list[n].kind == SSA_DEVICE_HOST ? ssa_host_open(device) : ssa_ocl_open(device, list[n].id);
    free(list);
    return err;
}

int ssa_device_open(struct ssa_device **device, const char *name)
{
    const char *from;
    int err;

    *device = NULL;
    if (!strcmp(ssa_device_wanted(name, &from), "cpu")) { /* no need to wake OpenCL */
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

int ssa_device_set_precision(struct ssa_device *device, int precision)
{
    const char *why = "there is none that this library knows";
    int err;
    TRY(ssa_check_device(device, "device_set_precision"));
    REQUIRE(ssa_is_precision((size_t)precision), "device_set_precision: %d is no precision", precision);
    device->precision = precision;
    device->engine = NULL;
    if (precision != SSA_FLOAT32 && device->backend->engine)
        device->engine = device->backend->engine(device, &why);
    if (precision != SSA_FLOAT32 && !device->engine)
        ssa_log(SSA_LOG_WARNING, "device %s: no matrix engine (%s): float32 serves", device->info.id, why);
done:
    return err;
}

const char *ssa_device_engine(const struct ssa_device *device)
{
    return device ? device->engine : NULL;
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

int ssa_device_info(const struct ssa_device *device, struct ssa_device_info *info)
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
    if (!*s || (*s)->bytes < count * sizeof(float)) {
        ssa_buffer_destroy(*s); /* enqueued work that uses it keeps it alive */
        *s = NULL;
        err = ssa_buffer_create(s, device, count * sizeof(float));
    }
    *scratch = ssa_tensor_at(*s, 0);
    return err;
}

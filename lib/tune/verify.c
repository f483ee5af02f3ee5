#include "verify.h"

#include "ssacl/tuning.h"
#include "disk/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* float32 sums in another order stay below a tenth of it; a wrong index, a lost tile or halves in place of floats go
 * far beyond. */
static const double tolerance = 3e-4, coarse = 2e-2; /* the latter of operands in bf16 */
enum { REVISION = 1 }; /* of the problems: a change asks every device anew */

struct ssa_verdict {
    struct ssa_verdict *next;
    const char *name;
    struct ssa_constant constants[SSA_MAX_CONSTANTS];
    bool good;
    char text[256]; /* "attention_fwd D=64: largest error 0.21": for a bad one */
};

/* ---- variants ---- */

static bool same_constants(const struct ssa_constant *a, const struct ssa_constant *b)
{
    int i = 0;
    while (i < SSA_MAX_CONSTANTS && a[i].name && b[i].name && a[i].value == b[i].value && !strcmp(a[i].name, b[i].name))
        i++;
    return i == SSA_MAX_CONSTANTS || (!a[i].name && !b[i].name);
}

int ssa_variant_constant(const struct ssa_variant *variant, const char *name, int otherwise)
{
    for (int i = 0; i < SSA_MAX_CONSTANTS && variant->constants[i].name; i++)
        if (!strcmp(variant->constants[i].name, name))
            return variant->constants[i].value;
    return otherwise;
}

/* "attention_fwd D=64". */
static void write_name(const struct ssa_variant *v, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s", v->name);
    for (int i = 0; i < SSA_MAX_CONSTANTS && v->constants[i].name && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, " %s=%d", v->constants[i].name, v->constants[i].value);
}

/* ---- problems ---- */

void ssa_problem_fill(float *values, size_t count, unsigned seed)
{
    uint32_t x = 2654435769u * (seed + 1);
    for (size_t i = 0; i < count; i++) { /* xorshift: any values do, if they are the same everywhere */
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        values[i] = (float)(x >> 8) / 8388608.0f - 1.0f;
    }
}

static int run_on(struct ssa_device *device, const struct ssa_problem *p, float *result)
{
    struct ssa_buffer *memory;
    int err;
    TRY(ssa_buffer_create(&memory, device, p->count * sizeof *p->image));
    TRY(ssa_tensor_write(ssa_tensor_at(memory, 0), p->image, p->count));
    TRY(p->run(device, memory, p->how));
    TRY(ssa_tensor_read(ssa_tensor_at(memory, 0), result, p->count));
done:
    ssa_buffer_destroy(memory);
    return err;
}

/* Relative to what is above 1. The same NaN (a gap) or infinity on both sides is no error, on one side it is endless. */
static double difference(float got, float want)
{
    if (isnan(want) || isinf(want))
        return isnan(want) ? (isnan(got) ? 0 : INFINITY) : got == want ? 0 : INFINITY;
    double d = fabs((double)got - (double)want) / fmax(1, fabs((double)want));
    return isnan(d) ? INFINITY : d;
}

int ssa_problem_compare(struct ssa_device *device, struct ssa_device *host, const struct ssa_problem *p, double *error)
{
    float *got = malloc(p->count * sizeof *got), *want = malloc(p->count * sizeof *want);
    int err;
    if (!got || !want)
        TRY(ssa_fail(SSA_ENOMEM, "self-test: out of host memory"));
    TRY(run_on(host, p, want));
    TRY(run_on(device, p, got));
    for (size_t i = 0; i < p->count; i++)
        *error = fmax(*error, difference(got[i], want[i]));
done:
    free(got);
    free(want);
    return err;
}

/* ---- a trial ---- */

/* The trial must leave no trace: scratch that the operator holds, its memory's peak, and on OpenCL the caller's queue,
 * which may be waiting for an event of his. */
static int run_trial(struct ssa_device *device, const struct ssa_variant *variant, double *error)
{
    struct ssa_device *host = NULL;
    struct ssa_buffer *scratch[2] = {device->scratch[0], device->scratch[1]};
    struct ssa_path path = device->path;
    size_t peak = device->peak;
    int err;
    TRY(ssa_host_open(&host));
    device->scratch[0] = device->scratch[1] = NULL;
    device->trial = variant;
    device->trial_taken = false;
    err = device->backend->aside ? device->backend->aside(device, true) : SSA_OK;
    if (!err) {
        err = variant->test(device, host, variant, error);
        if (device->backend->aside)
            device->backend->aside(device, false);
    }
    device->trial = NULL;
    for (int i = 0; i < 2; i++) {
        ssa_buffer_destroy(device->scratch[i]);
        device->scratch[i] = scratch[i];
    }
    device->path = path;
    device->peak = peak;
    if (!err && !device->trial_taken) /* then another way was tested: a mistake of ours, never to be taken for a pass */
        err = ssa_fail(SSA_EUNSUPPORTED, "its self-test does not reach it");
done:
    ssa_device_close(host);
    return err;
}

/* ---- the verdict, from the store or from a trial ---- */

/* All it hangs on; NULL where it cannot be kept. To be freed. */
static char *write_key(struct ssa_device *device, const struct ssa_variant *variant, const char *name)
{
    char *identity = NULL, *key = NULL;
    if (!ssa_store_enabled() || !device->backend->identity ||
        device->backend->identity(device, variant->identity ? NULL : variant->name, &identity))
        return NULL;
    const char *of_library = variant->identity ? variant->identity : "";
    size_t size = strlen(identity) + strlen(of_library) + strlen(name) + 64;
    key = malloc(size);
    if (key)
        snprintf(key, size, "self-test %d\n%s\n%s\n%s", REVISION, name, of_library, identity);
    free(identity);
    return key;
}

static bool recall(const char *key, struct ssa_verdict *v)
{
    size_t size = 0;
    char *blob = key ? ssa_store_get("verdict", key, &size) : NULL;
    if (!blob)
        return false;
    v->good = size == 0;
    snprintf(v->text, sizeof v->text, "%.*s", (int)(size < sizeof v->text ? size : sizeof v->text - 1), blob);
    free(blob);
    return true;
}

/* False where it could not be found out. Whether it may be kept: a device that failed a call may not fail the next. */
static bool find_out(struct ssa_device *device, const struct ssa_variant *variant, const char *name,
                     struct ssa_verdict *v, bool *keep)
{
    double error = 0;
    int err = run_trial(device, variant, &error);
    *keep = !err || err == SSA_EBUILD;
    if (err == SSA_ENOMEM)
        return false;
    v->good = !err && error <= (variant->parts == 1 ? coarse : tolerance);
    if (err == SSA_EBUILD)
        snprintf(v->text, sizeof v->text, "%s: does not build", name);
    else if (err)
        snprintf(v->text, sizeof v->text, "%s: %.180s", name, ssa_last_error());
    else if (!v->good)
        snprintf(v->text, sizeof v->text, "%s: wrong, largest error %.2g", name, error);
    return true;
}

static bool judge(struct ssa_device *device, const struct ssa_variant *variant, struct ssa_verdict *v)
{
    char name[160];
    write_name(variant, name, sizeof name);
    char *key = write_key(device, variant, name);
    bool known = recall(key, v), keep = false;
    if (!known) {
        if (!find_out(device, variant, name, v, &keep)) {
            free(key);
            return false;
        }
        if (key && keep)
            ssa_store_put("verdict", key, v->text, v->good ? 0 : strlen(v->text));
    }
    free(key);
    if (v->good)
        ssa_log(SSA_LOG_DEBUG, "self-test: %s is right on %s%s", name, device->info.name, known ? " (kept verdict)" : "");
    else
        ssa_log(SSA_LOG_WARNING, "%s on %s (driver %s) is quarantined after its self-test%s; %s serves", v->text,
                device->info.name, device->info.driver, known ? " in an earlier run" : "", variant->instead);
    return true;
}

static struct ssa_verdict *find(struct ssa_device *device, const struct ssa_variant *variant)
{
    struct ssa_verdict *v = device->verdicts;
    while (v && (strcmp(v->name, variant->name) || !same_constants(v->constants, variant->constants)))
        v = v->next;
    return v;
}

static bool set_by_user(const char *variable, const char *value)
{
    const char *set = ssa_environment(variable);
    return set && !strcmp(set, value);
}

/* NULL where it cannot be found out now, for want of memory: the portable way needs none, and it is asked again. */
static struct ssa_verdict *make(struct ssa_device *device, const struct ssa_variant *variant)
{
    struct ssa_verdict *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->name = variant->name;
    memcpy(v->constants, variant->constants, sizeof v->constants);
    if (set_by_user("SSACL_PORTABLE", "1")) {
        snprintf(v->text, sizeof v->text, "everything but portable kernels, by $SSACL_PORTABLE");
    } else if (set_by_user("SSACL_SELFTEST", "0")) {
        v->good = true;
    } else if (!judge(device, variant, v)) {
        free(v);
        return NULL;
    }
    v->next = device->verdicts;
    device->verdicts = v;
    return v;
}

/* Adds the constants that ssa_launch() will add: tuned ones, and standard ones that are not the kernel's own. */
static void add_tuned(const struct ssa_device *device, struct ssa_variant *v)
{
    int at = 0;
    while (at < SSA_MAX_CONSTANTS && v->constants[at].name)
        at++;
    if (!v->identity)
        ssa_tuned_constants(device, v->name, v->constants + at, SSA_MAX_CONSTANTS - at);
}

static bool on_trial(struct ssa_device *device, const struct ssa_variant *v)
{
    bool same = !strcmp(device->trial->name, v->name) && same_constants(device->trial->constants, v->constants);
    device->trial_taken |= same;
    return same;
}

/* Where the call would be remembered; NULL: it has too many constants. */
static struct ssa_trusted_call *place_of(struct ssa_device *device, const struct ssa_variant *v)
{
    size_t at = (uintptr_t)v->name / 16;
    for (int i = 0; i < SSA_TRUSTED_CONSTANTS; i++)
        at = 31 * at + (size_t)v->constants[i].value;
    return v->constants[SSA_TRUSTED_CONSTANTS].name ? NULL : &device->trusted[at % SSA_TRUSTED_CALLS];
}

static bool is_same_call(const struct ssa_trusted_call *c, const struct ssa_variant *v)
{
    bool same = c->name == v->name && c->identity == v->identity;
    for (int i = 0; i < SSA_TRUSTED_CONSTANTS; i++)
        same &= c->constants[i].name == v->constants[i].name && c->constants[i].value == v->constants[i].value;
    return same;
}

static void remember(struct ssa_trusted_call *c, const struct ssa_variant *v)
{
    c->name = v->name;
    c->identity = v->identity;
    memcpy(c->constants, v->constants, sizeof c->constants);
}

static bool ask(struct ssa_device *device, const struct ssa_variant *variant)
{
    struct ssa_variant full = *variant;
    const bool tuned = !full.identity && ssa_is_tuned(device, full.name);
    add_tuned(device, &full);
    if (!full.identity && !full.constants[0].name)
        return true;
    if (tuned)
        full.instead = "the kernel with standard parameters";
    if (device->trial)
        return on_trial(device, &full);
    struct ssa_verdict *v = find(device, &full);
    if (!v)
        v = make(device, &full);
    if (v && !v->good && !device->path.quarantined)
        device->path.quarantined = v->text;
    if (v && !v->good && tuned) {
        ssa_tuning_reset(device, variant->name);
        return ask(device, variant);
    }
    return v && v->good;
}

bool ssa_trusted(struct ssa_device *device, const struct ssa_variant *variant)
{
    if (!device->backend->identity && !variant->parts)
        return true;
    struct ssa_trusted_call *c = device->trial ? NULL : place_of(device, variant);
    if (c && is_same_call(c, variant))
        return true;
    bool yes = ask(device, variant);
    if (c && yes)
        remember(c, variant);
    return yes;
}

void ssa_verdicts_free(struct ssa_device *device)
{
    while (device->verdicts) {
        struct ssa_verdict *next = device->verdicts->next;
        free(device->verdicts);
        device->verdicts = next;
    }
}

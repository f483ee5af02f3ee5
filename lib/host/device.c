/* The host backend: memory is memory, and a kernel is a function that threads call for each of its work-items. The
 * shortest backend there is; read it first. */
#define _GNU_SOURCE
#include "impl.h"
#include "machine.h"
#include "thread.h"
#include "kernel.h"
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

struct host_device {
    struct ssa_device base;
    struct ssa_threads *threads;
    int isa;
    bool amx; /* asked for, and there */
};

enum { BASE, V3, V4, AMX }; /* ISAS in cl/embed.py */

_Thread_local size_t ssa_host_global_id[3];

/* The best instruction set of this processor; ISAS in cl/embed.py. $SSACL_ISA lowers it, to compare or to test. */
static int best_isa(void)
{
    int isa = BASE;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        isa = V3;
    if (isa == V3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        isa = V4;
#endif
    const char *limit = ssa_environment("SSACL_ISA");
    return limit && atoi(limit) >= 0 && atoi(limit) < isa ? atoi(limit) : isa;
}

/* The best that the kernels of this build were compiled for too. */
static int built_isa(void)
{
    int most = best_isa(), built = 0;
    for (const struct ssa_host_table *t = ssa_host_tables; t->kernels; t++)
        if (t->isa <= most && t->isa > built)
            built = t->isa;
    return built;
}

static void processor_name(char *name, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    snprintf(name, size, "host processor");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!strncmp(line, "model name", 10) && colon) {
            colon[strcspn(colon, "\n")] = 0;
            snprintf(name, size, "%s", colon + 1 + strspn(colon + 1, " "));
            ssa_plain_text(name, strlen(name));
            break;
        }
    }
    if (f)
        fclose(f);
}

void ssa_host_info(struct ssa_device_info *info)
{
    struct ssa_machine machine;
    const int wanted = ssa_threads_wanted();
    ssa_machine_read(&machine, "");
    *info = (struct ssa_device_info){.kind = SSA_DEVICE_HOST, .units = wanted > 0 ? wanted : machine.processors};
    info->memory = info->max_allocation = machine.memory;
    snprintf(info->id, sizeof info->id, "cpu");
    processor_name(info->name, sizeof info->name);
    snprintf(info->platform, sizeof info->platform, "ssacl");
    snprintf(info->vendor, sizeof info->vendor, "ssacl");
    snprintf(info->driver, sizeof info->driver, "%s", ssa_version());
}

static void host_close(struct ssa_device *device)
{
    struct host_device *h = (struct host_device *)device;
    ssa_threads_destroy(h->threads);
    free(h);
}

static int host_finish(struct ssa_device *device)
{
    (void)device;
    return SSA_OK;
}

enum { ALIGNMENT = 4096, SMALL = 64, HUGE = 1 << 20 };

void ssa_prefer_huge_pages(void *memory, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    uintptr_t first = ((uintptr_t)memory + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    uintptr_t end = ((uintptr_t)memory + bytes) / ALIGNMENT * ALIGNMENT;
    if (bytes >= HUGE && first < end)
        madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

/* All of the host's memory is one root, so that a buffer and memory that was wrapped may be found to overlap. */
static void host_wrap(struct ssa_buffer *b)
{
    static const char host_memory;
    b->root = &host_memory;
    b->origin = (uintptr_t)b->memory;
}

static int host_allocate(struct ssa_device *device, struct ssa_buffer *b)
{
    (void)device;
    size_t align = b->bytes < ALIGNMENT ? SMALL : ALIGNMENT;
    size_t bytes = (b->bytes + align - 1) / align * align;
    b->memory = aligned_alloc(align, bytes);
    if (b->memory)
        ssa_prefer_huge_pages(b->memory, bytes);
    host_wrap(b);
    return b->memory ? SSA_OK : ssa_fail(SSA_ENOMEM, "buffer: the host has no %zu bytes left", bytes);
}

static void host_release(struct ssa_device *device, struct ssa_buffer *b)
{
    (void)device;
    free(b->memory);
}

static char *at(struct ssa_tensor t)
{
    return (char *)t.buffer->memory + ssa_first_byte(t);
}

static int host_write(struct ssa_device *device, struct ssa_tensor t, const void *source, size_t bytes)
{
    (void)device;
    memcpy(at(t), source, bytes);
    return SSA_OK;
}

static int host_read(struct ssa_device *device, struct ssa_tensor t, void *target, size_t bytes)
{
    (void)device;
    memcpy(target, at(t), bytes);
    return SSA_OK;
}

static int host_fill(struct ssa_device *device, struct ssa_tensor t, float value, size_t count)
{
    (void)device;
    float *x = (float *)at(t);
    for (size_t i = 0; i < count; i++)
        x[i] = value;
    return SSA_OK;
}

static int host_copy(struct ssa_device *device, struct ssa_tensor to, struct ssa_tensor from, size_t bytes)
{
    (void)device;
    memcpy(at(to), at(from), bytes);
    return SSA_OK;
}

static bool has_parts(const struct ssa_host_kernel *k)
{
    return k->constants[0].name && !strcmp(k->constants[0].name, "PARTS");
}

/* How many of the kernel's constants the launch asks for; -1 if one of them differs, or if it is asked for a matrix
 * engine (PARTS, the first) and is not on one. */
static int match(const struct ssa_host_kernel *k, const struct ssa_launch *l)
{
    int matched = 0;
    if (l->constants[0].name && !strcmp(l->constants[0].name, "PARTS") && !has_parts(k))
        return -1;
    for (int i = 0; i < 4 && k->constants[i].name; i++, matched++) {
        int j = 0;
        while (j < SSA_MAX_CONSTANTS && l->constants[j].name && strcmp(l->constants[j].name, k->constants[i].name))
            j++;
        if (j == SSA_MAX_CONSTANTS || !l->constants[j].name || l->constants[j].value != k->constants[i].value)
            return -1;
    }
    return matched;
}

/* ---- the matrix engine ---- */

#if defined(__x86_64__) && defined(__linux__)
/* Whether the processor has it, and the system lets this process use it: to be asked for once, for every thread. */
static bool may_use_amx(const char **why)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    const unsigned tile_and_bf16 = 1u << 24 | 1u << 22, avx512_bf16 = 1u << 5;
    unsigned a, b, c, d;
    *why = "its processor has no AMX";
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tile_and_bf16) != tile_and_bf16)
        return false;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & avx512_bf16))
        return false;
    *why = "the system does not let this process use AMX";
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}
#else
static bool may_use_amx(const char **why)
{
    *why = "AMX is used on Linux on x86-64 alone";
    return false;
}
#endif

static bool built_for(int isa)
{
    const struct ssa_host_table *t = ssa_host_tables;
    while (t->kernels && t->isa != isa)
        t++;
    return t->kernels;
}

static const char *host_engine(struct ssa_device *device, const char **why)
{
    struct host_device *h = (struct host_device *)device;
    const char *asked = ssa_environment("SSACL_MATRIX");
    h->amx = false;
    if (asked && !strcmp(asked, "emulate"))
        return "emulated";
    *why = "turned off by $SSACL_MATRIX";
    if (asked && !strcmp(asked, "0"))
        return NULL;
    *why = "this build has no kernels for AMX";
    h->amx = h->isa == V4 && built_for(AMX) && may_use_amx(why);
    return h->amx ? "AMX" : NULL;
}

/* ---- launching ---- */

static const struct ssa_host_kernel *find(const struct host_device *h, const struct ssa_launch *l, int *isa)
{
    const struct ssa_host_kernel *best = NULL;
    int best_score = -1;
    for (const struct ssa_host_table *t = ssa_host_tables; t->kernels; t++) {
        if (t->isa > h->isa && !(t->isa == AMX && h->amx))
            continue;
        for (const struct ssa_host_kernel *k = t->kernels; k->name; k++) {
            if (strcmp(k->name, l->kernel))
                continue;
            int m = match(k, l), score = m < 0 ? -1 : 16 * t->isa + m;
            if (score > best_score) {
                best_score = score;
                best = k;
                *isa = t->isa;
            }
        }
    }
    return best;
}

struct host_run {
    void (*run)(const struct ssa_host_arg *);
    size_t size[2];
    struct ssa_host_arg args[SSA_MAX_ARGS];
};

static void run_items(const void *context, size_t first, size_t end)
{
    const struct host_run *r = context;
    size_t *id = ssa_host_global_id;
    for (size_t i = first; i < end; i++) {
        id[0] = i % r->size[0];
        id[1] = i / r->size[0] % r->size[1];
        id[2] = i / r->size[0] / r->size[1];
        r->run(r->args);
    }
}

/* "host AVX2 D=64": for ssa_device_path(). */
static void note_path(struct ssa_device *device, const struct ssa_host_kernel *k, int isa)
{
    char *way = device->path.way;
    size_t size = sizeof device->path.way;
    static const char *const isas[] = {"host", "host AVX2", "host AVX-512", "host AMX"};
    size_t used = (size_t)snprintf(way, size, "%s", isas[isa]);
    for (int i = 0; i < 4 && k->constants[i].name && used < size; i++)
        used += (size_t)snprintf(way + used, size - used, " %s=%d", k->constants[i].name, k->constants[i].value);
}

static int host_launch(struct ssa_device *device, const struct ssa_launch *l)
{
    struct host_device *h = (struct host_device *)device;
    int isa = BASE;
    const struct ssa_host_kernel *k = find(h, l, &isa);
    if (!k)
        return ssa_fail(SSA_EUNSUPPORTED, "%s: the host backend has no such kernel", l->kernel);
    if (!*device->path.way)
        note_path(device, k, isa);
    struct host_run r = {.run = k->run};
    size_t total = 1;
    for (int i = 0; i < 3; i++)
        total *= l->global[i] ? l->global[i] : 1;
    for (int i = 0; i < 2; i++)
        r.size[i] = l->global[i] ? l->global[i] : 1;
    for (int i = 0; i < SSA_MAX_ARGS && l->args[i].kind; i++) {
        const struct ssa_arg *a = &l->args[i];
        if (a->kind == SSA_ARG_TENSOR)
            r.args[i] = (struct ssa_host_arg){.memory = a->tensor.buffer ? a->tensor.buffer->memory : NULL,
                                              .at = a->tensor.buffer ? a->tensor.offset : UINT64_MAX};
        else
            r.args[i] = (struct ssa_host_arg){.i = a->i, .f = a->f, .u = a->u}; /* of which its kind is one */
    }
    return ssa_threads_run(h->threads, total, k->stack, run_items, &r)
               ? SSA_OK
               : ssa_fail(SSA_ENOMEM, "%s: cannot start a thread; lower $SSACL_THREADS", l->kernel);
}

static const struct ssa_backend host_backend = {
    .name = "host",
    .at_once = true,
    .survives_fork = true,
    .close = host_close,
    .finish = host_finish,
    .allocate = host_allocate,
    .release = host_release,
    .wrap = host_wrap,
    .write = host_write,
    .read = host_read,
    .fill = host_fill,
    .copy = host_copy,
    .launch = host_launch,
    .engine = host_engine,
};

int ssa_host_open(struct ssa_device **device)
{
    struct host_device *h = calloc(1, sizeof *h);
    *device = NULL;
    if (!h)
        return ssa_fail(SSA_ENOMEM, "device cpu: out of memory");
    h->base.backend = &host_backend;
    h->base.forks = ssa_forks();
    ssa_host_info(&h->base.info);
    if (ssa_threads_wanted() < 0)
        ssa_log(SSA_LOG_WARNING,
                "$SSACL_THREADS is \"%s\", must be a number from 1 to 1024: it is ignored, and %d taken",
                ssa_environment("SSACL_THREADS"), h->base.info.units);
    h->isa = built_isa();
    h->threads = ssa_threads_create(h->base.info.units);
    if (!h->threads) {
        free(h);
        return ssa_fail(SSA_ENOMEM, "device cpu: cannot start its threads; lower $SSACL_THREADS");
    }
    *device = &h->base;
    return SSA_OK;
}

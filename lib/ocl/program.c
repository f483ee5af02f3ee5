/* Kernels, built on first use per (file, constants), or taken from the cache of binary.c, and kept until the device
 * closes. */
#include "ocl.h"
#include "source.h"
#include "disk/files.h"
#include "disk/hash.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 512, MAX_KERNELS = 8, SOURCE_MOST = 1 << 24 };

struct ocl_program {
    struct ocl_program *next;
    char file[48], options[MAX_OPTIONS];
    char way[80]; /* for ssa_device_path() */
    cl_program program;
    bool cached; /* came from the cache */
    struct {
        char name[48];
        cl_kernel kernel;
    } kernels[MAX_KERNELS];
};

static void write_options(const struct ocl_device *d, const struct ssa_launch *l, char *options)
{
    size_t used = (size_t)snprintf(options, MAX_OPTIONS, "-cl-std=CL1.2 -DSSA_GPU=%d", d->base.info.gpu_shape);
    if (d->sub_group)
        used += (size_t)snprintf(options + used, MAX_OPTIONS - used, " -DSUB_GROUP=%d", d->sub_group);
    if (d->base.info.kind == SSA_DEVICE_CPU && strstr(d->base.info.platform, "Intel"))
        used += (size_t)snprintf(options + used, MAX_OPTIONS - used, " -DCOARSE_EXP2=1"); /* 1e-4 on AMD's processors */
    for (int i = 0; i < SSA_MAX_CONSTANTS && l->constants[i].name && used < MAX_OPTIONS; i++)
        used += (size_t)snprintf(options + used, MAX_OPTIONS - used, " -D%s=%d", l->constants[i].name,
                                 l->constants[i].value);
}

/* "opencl cpu-shape D=64". */
static void write_way(const struct ocl_device *d, const struct ssa_launch *l, struct ocl_program *p)
{
    size_t used = (size_t)snprintf(p->way, sizeof p->way, "opencl %s",
                                   !strcmp(p->file, "plain") ? "plain kernels"
                                   : d->base.info.gpu_shape  ? "gpu-shape"
                                                             : "cpu-shape");
    for (int i = 0; i < SSA_MAX_CONSTANTS && l->constants[i].name && used < sizeof p->way; i++)
        used += (size_t)snprintf(p->way + used, sizeof p->way - used, " %s=%d", l->constants[i].name,
                                 l->constants[i].value);
}

/* The source from $SSACL_CL_DIR, for edit-and-run; NULL with no error where the variable is not set. */
static int read_source(const char *directory, const char *file, char **text)
{
    char path[1024];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", directory, file);
    int why = ssa_file_load(path, SOURCE_MOST, text, &size);
    return why ? ssa_fail(SSA_EIO, "$SSACL_CL_DIR: cannot read %s: %s", path, ssa_file_reason(why)) : SSA_OK;
}

static const char *embedded_source(const char *file)
{
    for (const struct ssa_source *s = ssa_sources; s->name; s++)
        if (!strcmp(s->name, file))
            return s->text;
    return NULL;
}

/* The compiler's words, a line each. */
static void log_words(int level, const char *words)
{
    for (; *words; words += strcspn(words, "\n"), words += *words == '\n') {
        int length = (int)strcspn(words, "\n");
        if (length)
            ssa_log(level, "%.*s", length, words);
    }
}

static int build_error(struct ocl_device *d, cl_program program, const char *file, const char *options, cl_int code)
{
    int level = d->base.trial ? SSA_LOG_INFO : SSA_LOG_ERROR;
    char *words = calloc(1, 16384);
    if (words)
        clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 16383, words, NULL);
    ssa_log(level, "cl/%s.cl (%s) on %s does not build:", file, options, d->base.info.name);
    log_words(level, words ? words : "");
    int err = ssa_fail(SSA_EBUILD, "cl/%s.cl does not build on %s: clBuildProgram: %s (%d); options %s; it says: %.1200s",
                       file, d->base.info.name, ssa_ocl_code_name(code), code, options,
                       words && *words ? words : "nothing");
    free(words);
    return err;
}

cl_int ssa_ocl_build(struct ocl_device *d, const char *options, const char *text, cl_program *program)
{
    cl_int code;
    *program = clCreateProgramWithSource(d->context, 1, &text, NULL, &code);
    return code == CL_SUCCESS ? clBuildProgram(*program, 1, &d->id, options, NULL, NULL) : code;
}

static int build_source(struct ocl_device *d, const char *file, const char *text, const char *options,
                        cl_program *program)
{
    cl_int code = ssa_ocl_build(d, options, text, program);
    int err;
    if (!*program)
        TRY(ssa_ocl_check(code, "program: clCreateProgramWithSource"));
    if (code != CL_SUCCESS)
        TRY(build_error(d, *program, file, options, code));
    ssa_log(SSA_LOG_DEBUG, "built cl/%s.cl %s", file, options);
done:
    if (err && *program) {
        clReleaseProgram(*program);
        *program = NULL;
    }
    return err;
}

/* Never cached: the driver reads the files that are included. */
static int build_from_directory(struct ocl_device *d, const char *directory, struct ocl_program *p)
{
    char options[MAX_OPTIONS + 1100], name[64], *text;
    snprintf(name, sizeof name, "%s.cl", p->file);
    int err = read_source(directory, name, &text);
    snprintf(options, sizeof options, "%s -I%s", p->options, directory);
    if (!err)
        err = build_source(d, p->file, text, options, &p->program);
    free(text);
    return err;
}

/* `anew`: what is cached did not work. */
static int build(struct ocl_device *d, struct ocl_program *p, bool anew)
{
    const char *directory = ssa_environment("SSACL_CL_DIR");
    if (directory && *directory)
        return build_from_directory(d, directory, p);
    const char *text = embedded_source(p->file);
    if (!text)
        return ssa_fail(SSA_EUNSUPPORTED, "cl/%s.cl is not part of this library", p->file);
    p->program = anew ? NULL : ssa_ocl_binary_load(d, p->options, text);
    p->cached = p->program;
    if (p->cached) {
        ssa_log(SSA_LOG_DEBUG, "cl/%s.cl %s from the cache", p->file, p->options);
        return SSA_OK;
    }
    int err = build_source(d, p->file, text, p->options, &p->program);
    if (!err)
        ssa_ocl_binary_keep(d, p->options, text, p->program);
    return err;
}

static int find_program(struct ocl_device *d, const char *file, const char *options, struct ocl_program **found)
{
    struct ocl_program *p = d->programs;
    while (p && (strcmp(p->file, file) || strcmp(p->options, options)))
        p = p->next;
    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p)
            return ssa_fail(SSA_ENOMEM, "program: out of host memory");
        snprintf(p->file, sizeof p->file, "%s", file);
        snprintf(p->options, sizeof p->options, "%s", options);
        struct ocl_watch *watch = ssa_ocl_watch(d, "building cl/%s.cl, program %d,", file, ++d->program_count);
        int err = build(d, p, false);
        ssa_ocl_watch_end(watch);
        if (err) {
            free(p);
            return err;
        }
        p->next = d->programs;
        d->programs = p;
    }
    *found = p;
    return SSA_OK;
}

/* Some drivers take a binary and then have no kernel in it: the program is built from source after all. */
static int create_kernel(struct ocl_device *d, struct ocl_program *p, const char *name, cl_kernel *kernel)
{
    char what[96];
    cl_int code;
    *kernel = clCreateKernel(p->program, name, &code);
    if (code != CL_SUCCESS && p->cached) {
        struct ocl_program other = *p;
        int err = build(d, &other, true);
        if (err)
            return err;
        clReleaseProgram(p->program); /* kernels made of it keep it alive */
        p->program = other.program;
        p->cached = false;
        *kernel = clCreateKernel(p->program, name, &code);
    }
    snprintf(what, sizeof what, "cl/%s.cl: clCreateKernel(%s)", p->file, name);
    return ssa_ocl_check(code, what);
}

int ssa_ocl_kernel(struct ocl_device *d, const struct ssa_launch *l, cl_kernel *kernel)
{
    char options[MAX_OPTIONS];
    struct ocl_program *p = NULL;
    int i = 0;

    write_options(d, l, options);
    int err = find_program(d, l->file ? l->file : l->kernel, options, &p);
    if (err)
        return err;
    if (!*p->way)
        write_way(d, l, p);
    if (!*d->base.path.way)
        memcpy(d->base.path.way, p->way, sizeof p->way);
    while (i < MAX_KERNELS && p->kernels[i].kernel && strcmp(p->kernels[i].name, l->kernel))
        i++;
    if (i == MAX_KERNELS)
        return ssa_fail(SSA_EUNSUPPORTED, "cl/%s.cl has more than %d kernels", p->file, MAX_KERNELS);
    if (!p->kernels[i].kernel) {
        struct ocl_watch *watch = ssa_ocl_watch(d, "making kernel %s", l->kernel);
        err = create_kernel(d, p, l->kernel, &p->kernels[i].kernel);
        ssa_ocl_watch_end(watch);
        if (err)
            return err;
        atomic_fetch_add(&d->patience.fresh, 1);
        snprintf(p->kernels[i].name, sizeof p->kernels[i].name, "%s", l->kernel);
    }
    *kernel = p->kernels[i].kernel;
    return SSA_OK;
}

static uint64_t hash_text(const char *text)
{
    return ssa_hash(SSA_HASH_START, text, strlen(text));
}

/* Of a file in $SSACL_CL_DIR and of every header there, since compilers find those for themselves. */
static uint64_t hash_directory(const char *directory, const char *file)
{
    DIR *d = opendir(directory);
    char *text = NULL, name[64];
    uint64_t h = 0;
    snprintf(name, sizeof name, "%s.cl", file);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if ((strcmp(e->d_name, name) && (n < 2 || strcmp(e->d_name + n - 2, ".h"))) ||
            read_source(directory, e->d_name, &text))
            continue;
        h += hash_text(text); /* in whatever order the directory has them */
        free(text);
    }
    if (d)
        closedir(d);
    return h;
}

static uint64_t hash_source(const char *file)
{
    const char *directory = ssa_environment("SSACL_CL_DIR"), *text = embedded_source(file);
    return directory && *directory ? hash_directory(directory, file) : text ? hash_text(text) : 0;
}

int ssa_ocl_identity(struct ssa_device *device, const char *file, char **text)
{
    const struct ocl_device *d = ocl(device);
    char options[MAX_OPTIONS];
    size_t size = sizeof d->identity + MAX_OPTIONS + 128;
    *text = NULL;
    if (!*d->identity)
        return ssa_fail(SSA_EUNSUPPORTED, "self-test: the device does not say who it is");
    *text = calloc(1, size);
    if (!*text)
        return ssa_fail(SSA_ENOMEM, "self-test: out of host memory");
    write_options(d, &(struct ssa_launch){0}, options);
    snprintf(*text, size, "%s%s\n%s %016llx", d->identity, options, file ? file : "",
             (unsigned long long)(file ? hash_source(file) : 0));
    return SSA_OK;
}

void ssa_ocl_programs_release(struct ocl_device *d)
{
    while (d->programs) {
        struct ocl_program *p = d->programs;
        d->programs = p->next;
        for (int i = 0; i < MAX_KERNELS; i++)
            if (p->kernels[i].kernel)
                clReleaseKernel(p->kernels[i].kernel);
        clReleaseProgram(p->program);
        free(p);
    }
}

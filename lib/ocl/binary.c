/* Programs as the driver built them, kept on disk (../disk/store.h): a start of a program need not build them again.
 *
 * Nothing but what we stored ourselves reaches the driver: several drivers abort on a damaged binary, so the store's
 * checksum comes first. What the driver refuses all the same is built from source and stored anew.
 *
 * Lab book. Milliseconds of processor time, sums over the eleven programs of the model of demos/text.sh (its four
 * layers share them), Debian 12's stacks on one core of an AMD EPYC:
 *
 *                                          PoCL 3.1   rusticl 22.3 on llvmpipe
 *   from source, the driver's cache empty      (1)        930   (1: a whole run of two steps takes 12800)
 *   from source, found in the driver's cache   280        270
 *   taking the binaries out                   7000          1   (PoCL compiles all kernels anew for that)
 *   from our binaries                           30         37
 *
 * So on a driver that hands binaries out for nothing they are worth having even beside its own cache, and on one that
 * works for them it would take 28 starts to earn that back. No driver is known by name here: the first program that is
 * built on a device is timed in all three ways, the verdict is kept in the store, and the first binary that takes too
 * long to get turns it. PoCL with an empty cache of its own is left to that cache at the first program, rusticl is not.
 * Kernels of both origins run equally fast (four steps of that model on PoCL, 0.15 s each either way).
 *
 * The second start of a training run, all processor time before its first step but for the step itself (that
 * model: 4 layers, width 128, N 1024, batch 2; a program on public headers that asks for the time between the calls):
 * PoCL 0.35 s (text 0.00, device 0.03, model 0.04, programs from the driver's cache 0.25, first launches 0.03);
 * rusticl 0.45 s (device 0.20, model 0.07, programs from binaries and CLBlast's own 0.17), 0.61 s without binaries.
 * Where RUSTICL_ENABLE is set, looking for devices costs PoCL's users 0.17 s more: that is the loading of Mesa. */
#include "ocl.h"

#include "disk/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORTH_STARTS = 5 }; /* taking a binary out must be earned back within so many */
enum { UNDECIDED, USED, UNUSED };

/* ---- keys ---- */

void ssa_ocl_identify(struct ocl_device *d, cl_platform_id platform)
{
    static const cl_device_info texts[] = {CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DRIVER_VERSION, CL_DEVICE_VERSION};
    char *to = d->identity;
    size_t left = sizeof d->identity, used = 0;
    cl_device_id parent = NULL;
    cl_uint bits = 0;
    bool ok = !clGetPlatformInfo(platform, CL_PLATFORM_VERSION, left - 1, to, NULL) &&
              !clGetDeviceInfo(d->id, CL_DEVICE_PARENT_DEVICE, sizeof parent, &parent, NULL) &&
              !clGetDeviceInfo(d->id, CL_DEVICE_ADDRESS_BITS, sizeof bits, &bits, NULL);
    for (size_t i = 0; ok && i < sizeof texts / sizeof *texts; i++) {
        used += strlen(to + used);
        to[used++] = '\n';
        ok = used + 1 < left && !clGetDeviceInfo(d->id, texts[i], left - used - 1, to + used, NULL);
    }
    used += strlen(to + used);
    int n = snprintf(to + used, left - used, "\n%s\n%d units, local %zu, group %zu, %u bits%s\nssacl %s\n",
                     d->base.info.platform, d->base.info.units, d->base.info.local_memory, d->base.info.max_group, bits,
                     parent ? ", part of a device" : "", ssa_version());
    if (!ok || n < 0 || (size_t)n >= left - used)
        *to = 0;
}

/* All that a binary depends on, or NULL. The source has its includes resolved. */
static char *make_key(const struct ocl_device *d, const char *options, const char *text)
{
    size_t size = strlen(d->identity) + strlen(options) + strlen(text) + 2;
    char *key = malloc(size);
    if (key)
        snprintf(key, size, "%s%s\n%s", d->identity, options, text);
    return key;
}

/* ---- binaries ---- */

/* The program's binary, or NULL: some devices have none (size 0), and a program may be for several devices. */
static unsigned char *take_out(cl_program program, size_t *size)
{
    cl_uint devices = 0;
    unsigned char *binary = NULL;
    *size = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL) || devices != 1 ||
        clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof *size, size, NULL) || !*size ||
        !(binary = malloc(*size)))
        return NULL;
    if (!clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL))
        return binary;
    free(binary);
    return NULL;
}

static cl_program from_binary(struct ocl_device *d, const char *options, const unsigned char *binary, size_t size)
{
    cl_int status = CL_SUCCESS, code;
    cl_program program = clCreateProgramWithBinary(d->context, 1, &d->id, &size, &binary, &status, &code);
    if (code == CL_SUCCESS && status == CL_SUCCESS)
        code = clBuildProgram(program, 1, &d->id, options, NULL, NULL);
    if (code == CL_SUCCESS && status == CL_SUCCESS)
        return program;
    if (program)
        clReleaseProgram(program);
    ssa_log(SSA_LOG_DEBUG, "cache: %s refuses a binary (%s); it is built from source", d->base.info.name,
            ssa_ocl_code_name(code ? code : status));
    return NULL;
}

/* ---- are they worth it? ---- */

static const char kind[] = "program", verdict_kind[] = "binaries";

/* In whole numbers: what a caller's setlocale() makes of others must not be kept. */
static void recall(struct ocl_device *d)
{
    size_t size = 0;
    unsigned seconds, micros = 0;
    char *verdict = ssa_store_get(verdict_kind, d->identity, &size);
    if (verdict && size && !verdict[size - 1])
        d->binaries = sscanf(verdict, "yes: %u.%6u", &seconds, &micros) >= 1 ? USED : UNUSED;
    if (d->binaries == USED)
        d->binary_saves = seconds + 1e-6 * micros;
    free(verdict);
}

static void settle(struct ocl_device *d, double taking)
{
    char verdict[128];
    bool worth = taking < WORTH_STARTS * d->binary_saves;
    long saves = lround(1e6 * fmax(d->binary_saves, 0)), takes = lround(1e6 * taking);
    d->binaries = worth ? USED : UNUSED;
    int n = snprintf(verdict, sizeof verdict, "%s: %ld.%06ld seconds saved at each start, %ld.%06ld seconds to get it",
                     worth ? "yes" : "no", saves / 1000000, saves % 1000000, takes / 1000000, takes % 1000000);
    ssa_store_put(verdict_kind, d->identity, verdict, (size_t)n + 1);
    ssa_log(SSA_LOG_INFO, "programs for %s kept as binaries: %s", d->base.info.name, verdict);
}

/* Builds the program again from source (now from the driver's cache, if it has one) and from the binary. */
static void decide(struct ocl_device *d, const char *options, const char *text, const unsigned char *binary,
                   size_t size, double taking)
{
    cl_program again;
    double start = ssa_seconds();
    cl_int code = ssa_ocl_build(d, options, text, &again);
    double building = ssa_seconds() - start;
    if (again)
        clReleaseProgram(again);
    if (code != CL_SUCCESS)
        return; /* decided another time */
    start = ssa_seconds();
    cl_program loaded = binary ? from_binary(d, options, binary, size) : NULL;
    d->binary_saves = loaded ? building - (ssa_seconds() - start) : 0;
    if (loaded)
        clReleaseProgram(loaded);
    settle(d, taking);
}

/* ---- what program.c calls ---- */

cl_program ssa_ocl_binary_load(struct ocl_device *d, const char *options, const char *text)
{
    size_t size = 0;
    cl_program program = NULL;
    if (*d->identity && d->binaries == UNDECIDED)
        recall(d);
    if (d->binaries != USED)
        return NULL;
    char *key = make_key(d, options, text);
    unsigned char *binary = key ? ssa_store_get(kind, key, &size) : NULL;
    if (binary && size)
        program = from_binary(d, options, binary, size);
    free(binary);
    free(key);
    return program;
}

void ssa_ocl_binary_keep(struct ocl_device *d, const char *options, const char *text, cl_program program)
{
    size_t size = 0;
    if (!*d->identity || d->binaries == UNUSED || !ssa_store_enabled())
        return;
    double start = ssa_seconds();
    unsigned char *binary = take_out(program, &size);
    double taking = ssa_seconds() - start;
    if (d->binaries == UNDECIDED)
        decide(d, options, text, binary, size, taking);
    else if (taking >= WORTH_STARTS * d->binary_saves)
        settle(d, taking);
    char *key = binary && d->binaries == USED ? make_key(d, options, text) : NULL;
    if (key)
        ssa_store_put(kind, key, binary, size);
    free(key);
    free(binary);
}

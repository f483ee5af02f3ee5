/* The limits of an OpenCL device, by two kernels of our own: also an example of mixing them with the library's. */
#include "peak.h"

#ifdef BENCH_OPENCL
#include "opencl.h"

#include <ssacl/tensor.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* V is float16 on CPUs and float4 on GPUs. */
static const char source[] =
    "#define X8(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)\n"
    "#define START(i) V x##i = (V)(i + get_local_id(0));\n"
    "#define STEP(i) x##i = x##i * a + b;\n"
    "#define END(i) x += x##i;\n"
    "__kernel void fma_loop(__global float *out, int rounds, float factor, float term)\n"
    "{\n"
    "    V a = (V)(factor), b = (V)(term), x = (V)(0.0f);\n"
    "    X8(START)\n"
    "    for (int r = 0; r < rounds; r++) { X8(STEP) }\n"
    "    X8(END)\n"
    "    if (x.s0 == -1.0f) out[0] = x.s1 + x.s2 + x.s3;\n" /* never, but the compiler does not know */
    "}\n"
    /* On GPUs an item goes on to elements that another had, or only the nearest cache would be measured: whoever
     * writes an element writes the same. */
    "__kernel void triad(__global V *x, __global const V *y, __global const V *z, int each, int rounds, int turn)\n"
    "{\n"
    "    int all = (int)get_global_size(0) * each, first = (int)get_global_id(0) * each;\n"
    "    for (int r = 0; r < rounds; r++) {\n"
    "        for (int i = 0; i < each; i++) x[first + i] = y[first + i] + 3.0f * z[first + i];\n"
    "        first = (first + turn) % all;\n"
    "    }\n"
    "}\n";
enum { CHAINS = 8 };

struct loops {
    struct opencl cl;
    struct ssa_device *device;
    struct ssa_buffer *buffers[3];
    cl_mem memory[3];
    cl_command_queue queue;
    cl_program program;
    cl_kernel fma_loop, triad;
    size_t groups, group, units;
    int width;
    bool cpu;
};

static int build(struct loops *o)
{
    cl_context context;
    cl_device_id id;
    const char *text = source;
    char options[64];
    int err = ssa_ocl_objects(o->device, &context, &id, &o->queue);
    if (err)
        return err;
    snprintf(options, sizeof options, "-cl-std=CL1.2 -DV=float%d", o->width);
    o->program = o->cl.clCreateProgramWithSource(context, 1, &text, NULL, NULL);
    if (!o->program || o->cl.clBuildProgram(o->program, 1, &id, options, NULL, NULL))
        return SSA_EBUILD;
    o->fma_loop = o->cl.clCreateKernel(o->program, "fma_loop", NULL);
    o->triad = o->cl.clCreateKernel(o->program, "triad", NULL);
    return o->fma_loop && o->triad ? SSA_OK : SSA_EBUILD;
}

static int set_arguments(struct loops *o)
{
    const cl_float factor = 0.999f, term = 1e-3f;
    int code = o->cl.clSetKernelArg(o->fma_loop, 0, sizeof(cl_mem), &o->memory[0]) |
               o->cl.clSetKernelArg(o->fma_loop, 2, sizeof factor, &factor) |
               o->cl.clSetKernelArg(o->fma_loop, 3, sizeof term, &term);
    for (cl_uint i = 0; i < 3; i++)
        code |= o->cl.clSetKernelArg(o->triad, i, sizeof(cl_mem), &o->memory[i]);
    return code ? SSA_EDEVICE : SSA_OK;
}

static int run(struct loops *o, cl_kernel kernel, size_t global, size_t local)
{
    return o->cl.clEnqueueNDRangeKernel(o->queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL) ||
                   o->cl.clFinish(o->queue)
               ? SSA_EDEVICE
               : SSA_OK;
}

static void opencl_close(void *state)
{
    struct loops *o = state;
    if (o->triad)
        o->cl.clReleaseKernel(o->triad);
    if (o->fma_loop)
        o->cl.clReleaseKernel(o->fma_loop);
    if (o->program)
        o->cl.clReleaseProgram(o->program);
    for (int i = 0; i < 3; i++)
        ssa_buffer_destroy(o->buffers[i]);
    ssa_device_close(o->device);
    opencl_unload(&o->cl);
    free(o);
}

static int opencl_open(void **state, const struct ssa_device_info *info, size_t triad_count)
{
    struct loops *o = calloc(1, sizeof *o);
    int err;
    *state = o;
    if (!o)
        return SSA_ENOMEM;
    o->cpu = info->kind == SSA_DEVICE_CPU;
    o->units = (size_t)info->units;
    o->width = o->cpu ? 16 : 4;
    o->group = o->cpu ? 1 : 128;
    o->groups = o->units * (o->cpu ? 4 : 64);
    if ((err = opencl_load(&o->cl)) || (err = ssa_device_open(&o->device, info->id)))
        return err;
    for (int i = 0; i < 3; i++) {
        if ((err = ssa_buffer_create(&o->buffers[i], o->device, triad_count * sizeof(float))) ||
            (err = ssa_tensor_fill(ssa_tensor_at(o->buffers[i], 0), 1, triad_count)) ||
            (err = ssa_ocl_buffer_memory(o->buffers[i], &o->memory[i])))
            return err;
    }
    return (err = build(o)) ? err : set_arguments(o);
}

static int opencl_fma(void *state, int rounds, double *operations)
{
    struct loops *o = state;
    *operations = 2.0 * CHAINS * o->width * rounds * (double)(o->groups * o->group);
    return o->cl.clSetKernelArg(o->fma_loop, 1, sizeof rounds, &rounds)
               ? SSA_EDEVICE
               : run(o, o->fma_loop, o->groups * o->group, o->group);
}

/* On CPUs a core keeps to its own share of a set that goes through more than once, so that its caches are measured. */
static int opencl_triad(void *state, size_t count, int rounds, double *bytes)
{
    struct loops *o = state;
    size_t vectors = count / (size_t)o->width;
    cl_int each = !o->cpu ? 1 : rounds > 1 ? (cl_int)(vectors / o->units) : 1024;
    size_t items = vectors / (size_t)each / o->group * o->group;
    cl_int times = rounds, turn = o->cpu ? 0 : (cl_int)(items / 3 / o->group * o->group);
    *bytes = 12.0 * o->width * each * (double)items * rounds;
    return o->cl.clSetKernelArg(o->triad, 3, sizeof each, &each) |
                   o->cl.clSetKernelArg(o->triad, 4, sizeof times, &times) |
                   o->cl.clSetKernelArg(o->triad, 5, sizeof turn, &turn)
               ? SSA_EDEVICE
               : run(o, o->triad, items, o->group);
}

const struct peak_backend peak_opencl = {opencl_open, opencl_close, opencl_fma, opencl_triad};

#else
static int opencl_open(void **state, const struct ssa_device_info *info, size_t triad_count)
{
    (void)state, (void)info, (void)triad_count;
    return SSA_EUNSUPPORTED;
}
const struct peak_backend peak_opencl = {.open = opencl_open};
#endif

/* Every OpenCL call of a small piece of training fails once, and once from then on: each time an error in words or
 * the right result, and nothing leaked. */
#include "../harness.h"
#define SSA_CL_NO_NAMES /* the loader's own functions below */
#include "fault.h"
#include "ocl/ocl.h"
#include "ssacl/ocl.h"
#include "store.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 24, WIDTH = 16, HEADS = 2, OUT = 8, TRIES = 6, RESULTS = ROWS * OUT + ROWS * WIDTH + WIDTH * OUT + 1 };

static __typeof__(fault_arm) *arm;
static __typeof__(fault_count) *count;
static __typeof__(fault_alive) *alive;

/* The layer is in the process already if the loader took it from $OPENCL_LAYERS. */
static bool load_layer(void)
{
    const char *path = getenv("OPENCL_LAYERS");
    int n;
    ssa_device_list(NULL, 0, &n); /* loads the loader */
    void *layer = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (!layer)
        return false;
    *(void **)&arm = dlsym(layer, "fault_arm");
    *(void **)&count = dlsym(layer, "fault_count");
    *(void **)&alive = dlsym(layer, "fault_alive");
    return arm && count && alive;
}

/* ---- a small piece of training ---- */

enum { X, W, BIAS, GAIN, Y, LOGITS, LOSS, DLOGITS, DY, DX, STATS, DW, M, V, SUM, ATTENDED, LSE, DQ, DK, DV, PLAN,
       TARGETS, TENSORS };
static const size_t sizes[TENSORS] = {
    [X] = ROWS * WIDTH, [W] = WIDTH * OUT, [BIAS] = OUT,           [GAIN] = WIDTH,      [Y] = ROWS * WIDTH,
    [LOGITS] = ROWS * OUT, [LOSS] = ROWS,  [DLOGITS] = ROWS * OUT, [DY] = ROWS * WIDTH, [DX] = ROWS * WIDTH,
    [STATS] = ROWS * 2, [DW] = WIDTH * OUT, [M] = WIDTH * OUT,     [V] = WIDTH * OUT,   [SUM] = 1,
    [ATTENDED] = ROWS * WIDTH, [LSE] = HEADS * ROWS, [DQ] = ROWS * WIDTH, [DK] = ROWS * WIDTH, [DV] = ROWS * WIDTH,
    [PLAN] = 256, [TARGETS] = ROWS,
};

static int make_tensors(struct ssa_device *d, struct ssa_tensor *t)
{
    int32_t targets[ROWS];
    float *values = NULL;
    int err;
    for (int i = 0; i < TENSORS; i++) {
        TRY(ssa_buffer_create(&t[i].buffer, d, sizes[i]));
        TRY(ssa_tensor_fill(t[i], 0, sizes[i]));
    }
    for (int i = X; i <= GAIN; i++) {
        values = test_values(sizes[i], (uint64_t)i, -1, 1);
        err = ssa_tensor_write(t[i], values, sizes[i]);
        free(values);
        TRY(err);
    }
    for (int i = 0; i < ROWS; i++)
        targets[i] = i % OUT;
    TRY(ssa_tensor_write(t[TARGETS], targets, ROWS));
done:
    return err;
}

/* Self-attention over x, and its gradients for dy. */
static int attend(struct ssa_device *d, const struct ssa_tensor *t)
{
    struct ssa_plan plan = {0};
    int err;
    TRY(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_LOCAL, .length = ROWS, .keys = 8, .own_key = 1}));
    ck_assert_uint_le(plan.stride, sizes[PLAN]);
    TRY(ssa_tensor_write(t[PLAN], plan.data, plan.stride));
    TRY(ssa_attention_fwd(d, &(struct ssa_attention_fwd){
        .q = t[X], .k = t[X], .v = t[X], .out = t[ATTENDED], .lse = t[LSE], .plan = &plan, .plan_data = t[PLAN],
        .batch = 1, .length = ROWS, .heads = HEADS, .width = WIDTH / HEADS, .causal = 1}));
    TRY(ssa_attention_bwd(d, &(struct ssa_attention_bwd){
        .q = t[X], .k = t[X], .v = t[X], .out = t[ATTENDED], .lse = t[LSE], .dout = t[DY], .dq = t[DQ], .dk = t[DK],
        .dv = t[DV], .plan = &plan, .plan_data = t[PLAN], .batch = 1, .length = ROWS, .heads = HEADS,
        .width = WIDTH / HEADS, .causal = 1}));
    TRY(ssa_add(d, &(struct ssa_add){.x = t[DQ], .y = t[DK], .out = t[DQ], .count = ROWS * WIDTH}));
    TRY(ssa_add(d, &(struct ssa_add){.x = t[DQ], .y = t[DV], .out = t[DX], .count = ROWS * WIDTH}));
done:
    ssa_plan_finish(&plan);
    return err;
}

static int train(struct ssa_device *d, const struct ssa_tensor *t)
{
    int err;
    TRY(ssa_norm_fwd(d, &(struct ssa_norm_fwd){.x = t[X], .gain = t[GAIN], .y = t[Y], .stats = t[STATS], .rows = ROWS,
                                               .width = WIDTH}));
    TRY(ssa_linear_fwd(d, &(struct ssa_linear_fwd){.x = t[Y], .w = t[W], .bias = t[BIAS], .y = t[LOGITS], .rows = ROWS,
                                                   .in = WIDTH, .out = OUT}));
    TRY(ssa_cross_entropy(d, &(struct ssa_cross_entropy){.logits = t[LOGITS], .targets = t[TARGETS], .loss = t[LOSS],
                                                         .dlogits = t[DLOGITS], .rows = ROWS, .vocabulary = OUT}));
    TRY(ssa_linear_bwd(d, &(struct ssa_linear_bwd){.x = t[Y], .w = t[W], .dy = t[DLOGITS], .dx = t[DY], .dw = t[DW],
                                                   .rows = ROWS, .in = WIDTH, .out = OUT}));
    TRY(attend(d, t));
    TRY(ssa_norm_bwd(d, &(struct ssa_norm_bwd){.x = t[X], .gain = t[GAIN], .stats = t[STATS], .dy = t[DY], .dx = t[DX],
                                               .rows = ROWS, .width = WIDTH, .accumulate_dx = 1}));
    TRY(ssa_sum(d, &(struct ssa_sum){.x = t[DW], .out = t[SUM], .count = WIDTH * OUT, .squares = 1}));
    TRY(ssa_adamw(d, &(struct ssa_adamw){.w = t[W], .g = t[DW], .m = t[M], .v = t[V], .sumsq = t[SUM], .clip = 1,
                                         .count = WIDTH * OUT, .lr = 0.1f, .step = 1}));
    TRY(ssa_tensor_copy(t[DY], t[DX], ROWS * WIDTH));
done:
    return err;
}

static int read_results(const struct ssa_tensor *t, float *results)
{
    int err;
    TRY(ssa_tensor_read(t[LOGITS], results, ROWS * OUT));
    TRY(ssa_tensor_read(t[DY], results + ROWS * OUT, ROWS * WIDTH));
    TRY(ssa_tensor_read(t[W], results + ROWS * OUT + ROWS * WIDTH, WIDTH * OUT));
    TRY(ssa_tensor_read(t[SUM], results + RESULTS - 1, 1));
done:
    return err;
}

/* From opening the device to closing it. */
static int run(float *results)
{
    struct ssa_tensor t[TENSORS] = {0};
    struct ssa_device *d = NULL;
    int err;
    TRY(ssa_device_open(&d, "opencl:0:0"));
    TRY(make_tensors(d, t));
    TRY(train(d, t));
    TRY(read_results(t, results));
    TRY(ssa_device_finish(d));
done:
    for (int i = 0; i < TENSORS; i++)
        ssa_buffer_destroy(t[i].buffer);
    ssa_device_close(d);
    return err;
}

/* ---- the sweep ---- */

static const struct {
    const char *function;
    int code, status; /* what it answers, what the library must say; 0: it may do without */
    const char *words;
} faults[] = {
    {"clGetPlatformIDs", CL_OUT_OF_HOST_MEMORY, SSA_ENODEVICE, "opencl:0:0"},
    {"clGetDeviceIDs", CL_OUT_OF_RESOURCES, 0, "opencl:0:0"},
    {"clGetPlatformInfo", CL_OUT_OF_RESOURCES, 0, ""},
    {"clGetDeviceInfo", CL_OUT_OF_RESOURCES, 0, ""},
    {"clGetCommandQueueInfo", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clGetCommandQueueInfo: CL_OUT_OF_RESOURCES (-5)"},
    {"clCreateContext", CL_DEVICE_NOT_AVAILABLE, SSA_EDEVICE, "clCreateContext: CL_DEVICE_NOT_AVAILABLE (-2)"},
    {"clCreateCommandQueue", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clCreateCommandQueue: CL_OUT_OF_RESOURCES (-5)"},
    {"clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE, SSA_ENOMEM, "CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)"},
    {"clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY, SSA_ENOMEM, "clCreateProgramWithSource: CL_OUT_OF_HOST_"},
    {"clBuildProgram", CL_BUILD_PROGRAM_FAILURE, SSA_EBUILD, ".cl does not build on"},
    {"clCreateKernel", CL_OUT_OF_HOST_MEMORY, SSA_ENOMEM, "clCreateKernel("},
    {"clSetKernelArg", CL_INVALID_ARG_VALUE, SSA_EDEVICE, "clSetKernelArg("},
    {"clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clEnqueueNDRangeKernel("},
    {"clEnqueueWriteBuffer", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clEnqueueWriteBuffer: CL_OUT_OF_RESOURCES (-5)"},
    {"clEnqueueReadBuffer", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clEnqueueReadBuffer: CL_OUT_OF_RESOURCES (-5)"},
    {"clEnqueueCopyBuffer", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clEnqueueCopyBuffer: CL_OUT_OF_RESOURCES (-5)"},
    {"clEnqueueFillBuffer", CL_OUT_OF_RESOURCES, SSA_EDEVICE, "clEnqueueFillBuffer: CL_OUT_OF_RESOURCES (-5)"},
    {"clFinish", CL_OUT_OF_RESOURCES, 0, "clFinish: CL_OUT_OF_RESOURCES (-5)"},
};

static float expected[RESULTS];

static void check_fault(size_t f, unsigned long nth, bool onwards)
{
    float results[RESULTS];
    long before = alive();
    ck_assert(arm(faults[f].function, nth, onwards, faults[f].code));
    int err = run(results);
    ck_assert_msg(count(faults[f].function) >= nth, "%s: call %lu did not happen", faults[f].function, nth);
    ck_assert_msg(alive() == before, "%s, call %lu: %ld objects leaked", faults[f].function, nth, alive() - before);
    if (err)
        ck_assert_msg(strstr(ssa_last_error(), faults[f].words), "%s, call %lu: it says \"%s\"", faults[f].function,
                      nth, ssa_last_error());
    if (faults[f].status)
        ck_assert_msg(err == faults[f].status, "%s, call %lu: %s (%s), not %s", faults[f].function, nth,
                      ssa_status_name(err), ssa_last_error(), ssa_status_name(faults[f].status));
    else if (!err)
        ck_assert_msg(!memcmp(results, expected, sizeof results), "%s, call %lu: other results", faults[f].function,
                      nth);
}

START_TEST(sweep)
{
    arm(NULL, 0, false, 0);
    OK(run(expected));
    ck_assert_int_eq(alive(), 0);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        float results[RESULTS];
        arm(NULL, 0, false, 0);
        OK(run(results));
        ck_assert_mem_eq(results, expected, sizeof results);
        unsigned long n = count(faults[f].function), stride = n / TRIES + 1;
        ck_assert_msg(n, "%s is never called", faults[f].function);
        for (unsigned long nth = 1; nth <= n; nth += stride) {
            check_fault(f, nth, false);
            check_fault(f, nth, true);
        }
    }
    arm(NULL, 0, false, 0);
    OK(run(expected)); /* no fault outlives its run */
}
END_TEST

/* A fault while a variant is on trial: the portable kernels serve, or the call fails. Nothing is kept of it. */
static void check_trial(const char *function, int code, unsigned long nth)
{
    float results[RESULTS];
    long before = alive();
    ck_assert(arm(function, nth, false, code));
    int err = run(results);
    ck_assert_msg(alive() == before, "%s, call %lu: %ld objects leaked", function, nth, alive() - before);
    ck_assert_msg(!err || *ssa_last_error(), "%s, call %lu: no words", function, nth);
    for (int i = 0; !err && i < RESULTS; i++)
        ck_assert_msg(fabsf(results[i] - expected[i]) < 1e-4f, "%s, call %lu: result %d is %g, not %g", function, nth, i,
                      (double)results[i], (double)expected[i]);
}

START_TEST(self_test)
{
    static const struct {
        const char *function;
        int code;
    } trials[] = {{"clCreateCommandQueue", CL_OUT_OF_RESOURCES},
                  {"clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE},
                  {"clBuildProgram", CL_BUILD_PROGRAM_FAILURE},
                  {"clSetKernelArg", CL_INVALID_ARG_VALUE},
                  {"clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES},
                  {"clEnqueueReadBuffer", CL_OUT_OF_RESOURCES}};
    setenv("SSACL_SELFTEST", "1", 1);
    for (size_t f = 0; f < sizeof trials / sizeof *trials; f++) {
        float results[RESULTS];
        arm(NULL, 0, false, 0);
        OK(run(results));
        unsigned long n = count(trials[f].function), stride = n / TRIES + 1;
        for (unsigned long nth = 1; nth <= n; nth += stride)
            check_trial(trials[f].function, trials[f].code, nth);
    }
    arm(NULL, 0, false, 0);
    setenv("SSACL_SELFTEST", "0", 1);
}
END_TEST

/* ---- built programs from the cache ---- */

/* An empty cache, but for the verdict that binaries are worth keeping, whatever this driver is like. */
static void empty_cache(void)
{
    static const char verdict[] = "yes: 1000 seconds saved";
    struct ssa_device *d;
    ssa_store_trim(0);
    arm(NULL, 0, false, 0);
    OK(ssa_device_open(&d, "opencl:0:0"));
    ck_assert(ssa_store_put("binaries", ocl(d)->identity, verdict, sizeof verdict));
    ssa_device_close(d);
}

/* What fails on the way to a binary and back costs time, nothing else. */
static const struct {
    const char *function;
    int code;
} harmless[] = {
    {"clGetProgramInfo", CL_OUT_OF_HOST_MEMORY},
    {"clCreateProgramWithBinary", CL_INVALID_BINARY},
    {"clBuildProgram", CL_BUILD_PROGRAM_FAILURE},
    {"clCreateKernel", CL_INVALID_PROGRAM_EXECUTABLE},
};

static void check_harmless(size_t f, bool warm, unsigned long nth, bool onwards)
{
    float results[RESULTS];
    empty_cache();
    if (warm)
        OK(run(results));
    ck_assert(arm(harmless[f].function, nth, onwards, harmless[f].code));
    OK(run(results));
    ck_assert_mem_eq(results, expected, sizeof results);
    ck_assert_msg(!alive(), "%s, call %lu: %ld objects leaked", harmless[f].function, nth, alive());
    arm(NULL, 0, false, 0);
    OK(run(results)); /* what was made anew is there now */
    ck_assert_mem_eq(results, expected, sizeof results);
    if (warm && !onwards)
        ck_assert_uint_eq(count("clCreateProgramWithSource"), 0);
}

START_TEST(cached)
{
    char folder[] = "/tmp/ssacl-test-XXXXXX", *before = getenv("SSACL_CACHE_DIR");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("SSACL_CACHE_DIR", folder, 1);
    arm(NULL, 0, false, 0);
    OK(run(expected));
    unsetenv("SSACL_CACHE");
    for (size_t f = 0; f < sizeof harmless / sizeof *harmless; f++)
        for (unsigned long nth = 1; nth <= 4; nth += 3) {
            if (f > 1) { /* else a failure of its own, that of building from source */
                check_harmless(f, true, nth, false);
                continue;
            }
            check_harmless(f, f == 1, nth, false);
            check_harmless(f, f == 1, nth, true);
        }
    ssa_store_trim(0);
    ck_assert_int_eq(rmdir(folder), 0);
    setenv("SSACL_CACHE_DIR", before, 1);
    setenv("SSACL_CACHE", "0", 1);
}
END_TEST

/* ---- the caller's objects ---- */

/* Commands on an out-of-order queue are kept apart by barriers, one each at least. */
START_TEST(barriers)
{
    struct ssa_device *own, *device;
    struct ssa_buffer *b;
    cl_context context;
    cl_device_id id;
    cl_command_queue queue;
    cl_int code;
    arm(NULL, 0, false, 0);
    OK(ssa_device_open(&own, "opencl:0:0"));
    OK(ssa_ocl_get(own, &context, &id, NULL));
    queue = clCreateCommandQueue(context, id, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (code == CL_SUCCESS) {
        OK(ssa_ocl_device_wrap(&device, context, id, queue));
        OK(ssa_buffer_create(&b, device, 64));
        struct ssa_tensor x = ssa_tensor_at(b, 0), y = ssa_tensor_at(b, 32);
        arm(NULL, 0, false, 0);
        OK(ssa_tensor_fill(x, 1, 64));
        OK(ssa_add(device, &(struct ssa_add){.x = x, .y = x, .out = x, .count = 32}));
        OK(ssa_tensor_copy(y, x, 32));
        ck_assert_uint_ge(count("clEnqueueBarrierWithWaitList"), 3);
        arm("clEnqueueBarrierWithWaitList", 1, false, CL_OUT_OF_RESOURCES);
        FAILS(ssa_tensor_fill(x, 1, 64), SSA_EDEVICE, "CL_OUT_OF_RESOURCES");
        arm("clEnqueueMarkerWithWaitList", 1, false, CL_OUT_OF_RESOURCES);
        cl_event event;
        FAILS(ssa_ocl_event(device, &event), SSA_EDEVICE, "clEnqueueMarkerWithWaitList: CL_OUT_OF_RESOURCES");
        arm("clGetMemObjectInfo", 1, false, CL_INVALID_MEM_OBJECT);
        struct ssa_buffer *other;
        FAILS(ssa_ocl_buffer_wrap(&other, device, b->memory), SSA_EDEVICE, "clGetMemObjectInfo");
        arm(NULL, 0, false, 0);
        ssa_buffer_destroy(b);
        ssa_device_close(device);
        clReleaseCommandQueue(queue);
    }
    ssa_device_close(own);
    ck_assert_int_eq(alive(), 0);
}
END_TEST

int main(void)
{
    int n = 0;
    setenv("SSACL_CACHE", "0", 1);    /* every run makes the same calls */
    setenv("SSACL_SELFTEST", "0", 1); /* and a fault is the operator's, unless a case is about self-tests */
    if (!ssa_device_list(NULL, 0, &n) && n < 2) {
        fprintf(stderr, "no OpenCL device\n");
        return 77;
    }
    if (!load_layer()) {
        fprintf(stderr, "the loader did not take the layer of $OPENCL_LAYERS\n");
        return EXIT_FAILURE;
    }
    return test_run_alone("fault", (const TTest *const[]){sweep, cached, self_test, barriers, NULL});
}

/* Every OpenCL call of a small piece of training fails once, and once from then on: each time an error in words or
 * the right result, and nothing leaked. */
#include "../harness.h"
#include "../piece.h"
#define SSA_CL_NO_NAMES /* the loader's own functions below */
#include "faults.h"
#include "ocl/ocl.h"
#include "ssacl/ocl.h"
#include "disk/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 4 };

static struct faults faults;

/* The nth call of a function fails, and with `onwards` every later one. NULL: none. */
static void arm(const char *function, unsigned long nth, bool onwards, int code)
{
    char rule[128] = "";
    if (function)
        snprintf(rule, sizeof rule, "fail=%s,nth=%lu,code=%d%s", function, nth, code, onwards ? ",onwards" : "");
    ck_assert_int_eq(faults.set(rule), function != NULL);
}

static unsigned long count(const char *function)
{
    return faults.count(function, NULL);
}

static long alive(void)
{
    return faults.alive(NULL);
}

/* From opening the device to closing it. */
static int run(float *results)
{
    struct ssa_device *d = NULL;
    int err;
    TRY(ssa_device_open(&d, "opencl:0:0"));
    TRY(piece_run(d, results));
    TRY(ssa_device_finish(d));
done:
    ssa_device_close(d);
    return err;
}

/* ---- the sweep ---- */

static const struct {
    const char *function;
    int code, status; /* what it answers, what the library must say; 0: it may do without */
    const char *words;
} calls[] = {
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

static float expected[PIECE_RESULTS];

static void check_fault(size_t f, unsigned long nth, bool onwards)
{
    float results[PIECE_RESULTS];
    long before = alive();
    arm(calls[f].function, nth, onwards, calls[f].code);
    int err = run(results);
    ck_assert_msg(count(calls[f].function) >= nth, "%s: call %lu did not happen", calls[f].function, nth);
    ck_assert_msg(alive() == before, "%s, call %lu: %ld objects leaked", calls[f].function, nth, alive() - before);
    if (err)
        ck_assert_msg(strstr(ssa_last_error(), calls[f].words), "%s, call %lu: it says \"%s\"", calls[f].function,
                      nth, ssa_last_error());
    if (calls[f].status)
        ck_assert_msg(err == calls[f].status, "%s, call %lu: %s (%s), not %s", calls[f].function, nth,
                      ssa_status_name(err), ssa_last_error(), ssa_status_name(calls[f].status));
    else if (!err)
        ck_assert_msg(!memcmp(results, expected, sizeof results), "%s, call %lu: other results", calls[f].function,
                      nth);
}

START_TEST(sweep)
{
    arm(NULL, 0, false, 0);
    OK(run(expected));
    ck_assert_int_eq(alive(), 0);
    for (size_t f = 0; f < sizeof calls / sizeof *calls; f++) {
        float results[PIECE_RESULTS];
        arm(NULL, 0, false, 0);
        OK(run(results));
        ck_assert_mem_eq(results, expected, sizeof results);
        unsigned long n = count(calls[f].function), stride = n / TRIES + 1;
        ck_assert_msg(n, "%s is never called", calls[f].function);
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
    float results[PIECE_RESULTS];
    long before = alive();
    arm(function, nth, false, code);
    int err = run(results);
    ck_assert_msg(alive() == before, "%s, call %lu: %ld objects leaked", function, nth, alive() - before);
    ck_assert_msg(!err || *ssa_last_error(), "%s, call %lu: no words", function, nth);
    for (int i = 0; !err && i < PIECE_RESULTS; i++)
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
        float results[PIECE_RESULTS];
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
    float results[PIECE_RESULTS];
    empty_cache();
    if (warm)
        OK(run(results));
    arm(harmless[f].function, nth, onwards, harmless[f].code);
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
    OK(ssa_ocl_objects(own, &context, &id, NULL));
    queue = clCreateCommandQueue(context, id, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (code == CL_SUCCESS) {
        OK(ssa_ocl_device_wrap(&device, context, id, queue));
        OK(ssa_buffer_create(&b, device, 256));
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

/* Mapping a large buffer on a processor only makes it faster. */
START_TEST(huge_pages)
{
    static const char *const functions[] = {"clEnqueueMapBuffer", "clEnqueueUnmapMemObject"};
    for (int i = 0; i < 2; i++) {
        struct ssa_device *device;
        struct ssa_buffer *b;
        float x = 0;
        arm(functions[i], 1, true, CL_MAP_FAILURE);
        OK(ssa_device_open(&device, "opencl:0:0"));
        OK(ssa_buffer_create(&b, device, 1 << 20));
        OK(ssa_tensor_fill(ssa_tensor_at(b, 0), 3, 1 << 18));
        OK(ssa_tensor_read(ssa_tensor_at(b, 77), &x, 1));
        ck_assert(x == 3);
        ssa_buffer_destroy(b);
        ssa_device_close(device);
        ck_assert_int_eq(alive(), 0);
    }
    arm(NULL, 0, false, 0);
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
    if (!faults_find(&faults))
        return EXIT_FAILURE;
    return test_run_alone("fault", (const TTest *const[]){sweep, cached, self_test, barriers, huge_pages, NULL});
}

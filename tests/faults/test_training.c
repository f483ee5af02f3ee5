/* A training run on one device: every kind of OpenCL call it makes fails once, and for good, while the run is made, in
 * its first, a middle and its last step, and while results are read. Each time an error that names the call, nothing
 * leaked, and the next run on the same device gives the same bits. */
#include "../harness.h"
#include "faults.h"
#include "training.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4 };

static struct faults faults;
static struct training expected;

static const struct {
    const char *function;
    int code;
    bool cold; /* called by a new device alone: a device a run */
    const char *words;
} calls[] = {
    {"clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE, false, "clCreateBuffer"},
    {"clEnqueueFillBuffer", CL_OUT_OF_RESOURCES, false, "clEnqueueFillBuffer"},
    {"clEnqueueWriteBuffer", CL_OUT_OF_RESOURCES, false, "clEnqueueWriteBuffer"},
    {"clEnqueueReadBuffer", CL_OUT_OF_RESOURCES, false, "clEnqueueReadBuffer"},
    {"clEnqueueCopyBuffer", CL_OUT_OF_RESOURCES, false, "clEnqueueCopyBuffer"},
    {"clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES, false, "clEnqueueNDRangeKernel"},
    {"clFlush", CL_OUT_OF_RESOURCES, false, "clFlush"},
    {"clWaitForEvents", CL_OUT_OF_RESOURCES, false, "clWaitForEvents"},
    {"clFinish", CL_OUT_OF_RESOURCES, false, "clFinish"},
    {"clSetKernelArg", CL_OUT_OF_HOST_MEMORY, false, "clSetKernelArg"},
    {"clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY, true, "clCreateProgramWithSource"},
    {"clBuildProgram", CL_BUILD_PROGRAM_FAILURE, true, "clBuildProgram"},
    {"clCreateKernel", CL_OUT_OF_HOST_MEMORY, true, "clCreateKernel"},
    {"*", CL_DEVICE_NOT_AVAILABLE, false, ": CL_DEVICE_NOT_AVAILABLE (-2)"},
};
enum { CALLS = sizeof calls / sizeof *calls };

static unsigned long counted[CALLS][PHASES];

struct fault {
    size_t call;
    enum training_phase phase;
    unsigned long nth;
    bool onwards;
};

static void write_rule(const struct fault *f, char *rule, size_t size)
{
    snprintf(rule, size, "fail=%s,nth=%lu,code=%d%s", calls[f->call].function, f->nth, calls[f->call].code,
             f->onwards ? ",onwards" : "");
}

/* A run in which `fault` (NULL: none) happens; returns the status of the phase that ended it. */
static int run(struct ssa_device *device, const struct fault *fault, struct training *t)
{
    char rule[128];
    int err = SSA_OK;
    for (int p = CREATE; p < PHASES && !err; p++) {
        faults.set(NULL);
        if (fault && fault->phase == (enum training_phase)p) {
            write_rule(fault, rule, sizeof rule);
            ck_assert_int_eq(faults.set(rule), 1);
        }
        err = training_do(t, (enum training_phase)p, device, BATCH);
    }
    return err;
}

static void check_nothing_left(struct ssa_device *device, const char *rule, const char *phase)
{
    size_t held, scratch = 0;
    ssa_device_memory(device, &held, NULL);
    for (int s = 0; s < 2; s++)
        scratch += device->scratch[s] ? device->scratch[s]->bytes : 0;
    ck_assert_msg(held == scratch, "%s, %s: %zu bytes leaked", rule, phase, held - scratch);
}

/* One run with a fault, on a device that has run before or on one of its own. */
static void check_fault(struct ssa_device *warm, const struct fault *f)
{
    const bool cold = calls[f->call].cold;
    const char *phase = training_phases[f->phase];
    long before = faults.alive(NULL);
    char rule[128], alive[256];
    struct training t = {0};
    struct ssa_device *device = warm;
    if (cold)
        OK(ssa_device_open(&device, "opencl:0:0"));
    write_rule(f, rule, sizeof rule);
    int err = run(device, f, &t);
    ck_assert_msg(faults.struck(), "%s, %s: it was not called so often", rule, phase);
    ck_assert_msg(err, "%s, %s: no error", rule, phase);
    ck_assert_msg(strstr(ssa_last_error(), calls[f->call].words), "%s, %s: it says \"%s\"", rule, phase,
                  ssa_last_error());
    faults.set(NULL);
    training_forget(&t);
    check_nothing_left(device, rule, phase);
    if (cold)
        ssa_device_close(device);
    faults.describe(NULL, alive, sizeof alive);
    ck_assert_msg(!cold || faults.alive(NULL) == before, "%s, %s: %ld objects were alive, now %s", rule, phase, before, alive);
}

/* What a run without faults calls in each phase, on this device. */
static void count_calls(struct ssa_device *device, struct training *t, bool cold)
{
    for (int p = CREATE; p < PHASES; p++) {
        faults.set(NULL);
        OK(training_do(t, (enum training_phase)p, device, BATCH));
        for (size_t c = 0; c < CALLS; c++)
            if (calls[c].cold == cold)
                counted[c][p] = faults.count(calls[c].function, NULL);
    }
}

/* No call of a step is missing in the table. */
static void check_complete(void)
{
    for (int p = CREATE; p < PHASES; p++) {
        unsigned long sum = 0;
        for (size_t c = 0; c < CALLS - 1; c++)
            sum += calls[c].cold ? 0 : counted[c][p];
        ck_assert_msg(sum == counted[CALLS - 1][p], "%s: %lu calls, of which %lu are made to fail", training_phases[p],
                      counted[CALLS - 1][p], sum);
    }
}

/* The first call of the phase, one in its middle, its last. */
static void sweep_phase(struct ssa_device *device, size_t call, enum training_phase phase)
{
    const unsigned long n = counted[call][phase], which[] = {1, n / 2 + 1, n};
    for (int i = 0; i < 3 && n; i++)
        if (!i || which[i] > which[i - 1])
            check_fault(device, &(struct fault){call, phase, which[i], i == 1});
}

START_TEST(sweep)
{
    struct ssa_device *device;
    struct training t = {0};
    OK(ssa_device_open(&device, "opencl:0:0"));
    count_calls(device, &expected, true);
    training_end(&expected);
    count_calls(device, &t, false);
    ck_assert(training_same(&t, &expected));
    training_forget(&t);
    check_complete();
    for (size_t c = 0; c < CALLS; c++) {
        fprintf(stderr, "%-26s", calls[c].function);
        for (int p = CREATE; p < PHASES; p++) {
            fprintf(stderr, " %6lu", counted[c][p]);
            sweep_phase(device, c, (enum training_phase)p);
        }
        fprintf(stderr, "\n");
        OK(run(device, NULL, &t)); /* no fault outlives its run */
        ck_assert(training_same(&t, &expected));
        training_forget(&t);
    }
    training_forget(&expected);
    ssa_device_close(device);
    ck_assert_int_eq(faults.alive(NULL), 0);
}
END_TEST

int main(void)
{
    int n = 0;
    setenv("SSACL_CACHE", "0", 1);    /* every run makes the same calls */
    setenv("SSACL_SELFTEST", "0", 1); /* and none belongs to a self-test */
    if (!ssa_device_list(NULL, 0, &n) && n < 2) {
        fprintf(stderr, "no OpenCL device\n");
        return 77;
    }
    if (!faults_find(&faults))
        return EXIT_FAILURE;
    return test_run_alone("fault_training", (const TTest *const[]){sweep, NULL});
}

/* Attention and a linear layer on one device, forward and backward, against the host backend. Prints the library's
 * warnings, how each operator ran, whether all was right, and what the self-tests took; run.sh judges.
 * Usage: probe DEVICE [DRIVER], the latter some word to add to what tells drivers apart. */
#include "harness.h"
#include "ocl/ocl.h"
#include "ssacl/tuning.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LENGTH = 70, HEADS = 2, WIDTH = 16, C = HEADS * WIDTH, OUT = 24, COUNT = LENGTH * C };

static int failed;

static void print_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (level <= SSA_LOG_WARNING || !strncmp(line, "self-test", 9))
        printf("%s%s\n", level <= SSA_LOG_WARNING ? "warning: " : "", line);
}

static void check(const char *call, int err)
{
    if (err)
        printf("%s: %s\n", call, ssa_last_error());
    failed |= err;
}
#define DO(call) check(#call, call)

enum { Q, K, V, DY, W, PLAN, INPUTS, Y = INPUTS, LSE, DQ, DK, DV, Z, DX, DW, TENSORS };
static const size_t sizes[TENSORS] = {COUNT, COUNT, COUNT, COUNT, C * OUT, 1000, COUNT, LENGTH * HEADS,
                                      COUNT, COUNT, COUNT, LENGTH * OUT, COUNT, C * OUT};

static void run(struct ssa_device *d, float *results)
{
    struct ssa_plan plan = {0};
    struct ssa_tensor t[TENSORS];
    DO(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = LENGTH, .keys = 40, .own_key = 1}));
    for (int i = 0; i < TENSORS; i++) {
        float *values = test_values(sizes[i], (uint64_t)i, -1, 1);
        DO(ssa_buffer_create(&t[i].buffer, d, sizes[i] * sizeof(float)));
        t[i] = (struct ssa_tensor){t[i].buffer, 0, i == PLAN ? SSA_I32 : SSA_F32};
        DO(ssa_tensor_write(t[i], i == PLAN ? (void *)plan.data : values, i == PLAN ? plan.stride : sizes[i]));
        free(values);
    }
    DO(ssa_attention_fwd(d, &(struct ssa_attention_fwd){{
        .q = t[Q], .k = t[K], .v = t[V], .out = t[Y], .lse = t[LSE], .plan = &plan, .plan_data = t[PLAN], .batch = 1,
        .keys = LENGTH, .heads = HEADS, .width = WIDTH}}));
    DO(ssa_attention_bwd(d, &(struct ssa_attention_bwd){
        .attention = {.q = t[Q], .k = t[K], .v = t[V], .out = t[Y], .lse = t[LSE], .plan = &plan,
        .plan_data = t[PLAN], .batch = 1, .keys = LENGTH, .heads = HEADS, .width = WIDTH}, .dout = t[DY],
        .dq = t[DQ], .dk = t[DK], .dv = t[DV]}));
    DO(ssa_linear_fwd(d, &(struct ssa_linear_fwd){.x = t[Y], .w = t[W], .y = t[Z], .rows = LENGTH, .in = C,
                                                 .out = OUT}));
    DO(ssa_linear_bwd(d, &(struct ssa_linear_bwd){.x = t[Y], .w = t[W], .dy = t[Z], .dx = t[DX], .dw = t[DW],
                                                 .rows = LENGTH, .in = C, .out = OUT}));
    for (int i = INPUTS; i < TENSORS; i++) {
        DO(ssa_tensor_read(t[i], results, sizes[i]));
        results += sizes[i];
    }
    size_t held = 0, peak = 0, tensors = 0, scratch = 0;
    for (int i = 0; i < TENSORS; i++)
        tensors += 4 * sizes[i];
    for (int i = 0; i < 2; i++)
        scratch += d->scratch[i] ? d->scratch[i]->bytes : 0;
    ssa_device_memory(d, &held, &peak);
    if (held != tensors + scratch || peak > held + scratch)
        printf("a trace is left: %zu bytes held, not %zu; peak %zu\n", held, tensors + scratch, peak);
    for (int i = 0; i < TENSORS; i++)
        ssa_buffer_destroy(t[i].buffer);
    ssa_plan_finish(&plan);
}

int main(int argc, char **argv)
{
    struct ssa_device *device, *host;
    static float got[8 * COUNT], want[8 * COUNT];
    struct timespec start, end;
    int n = 0;
    ssa_set_log(print_log, NULL);
    if (ssa_device_list(NULL, 0, &n) || n < 2)
        return 77;
    DO(ssa_device_open(&device, argv[1]));
    DO(ssa_device_open(&host, "cpu"));
    if (failed)
        return 1;
    if (argc > 2)
        strcat(ocl(device)->identity, argv[2]);
    const char *tile = getenv("PROBE_TILE"); /* tuned parameters */
    if (tile)
        DO(ssa_tuning_set(device, &(struct ssa_tuning_setting){"attention_fwd", "TILE", atoi(tile)}, 1));
    run(host, want);
    timespec_get(&start, TIME_UTC);
    run(device, got);
    timespec_get(&end, TIME_UTC);
    double worst = 0;
    for (size_t i = 0; i < 8 * COUNT; i++)
        worst = fmax(worst, isnan(got[i]) ? INFINITY : fabs((double)got[i] - (double)want[i]));
    static const char *const ops[] = {"attention_fwd", "attention_bwd", "linear_fwd", "linear_bwd"};
    for (int i = 0; i < 4; i++) {
        char path[256];
        DO(ssa_device_path(device, ops[i], path, sizeof path));
        printf("%s by %s\n", ops[i], path);
    }
    printf("%s, largest error %.2g, %.3f s\n", failed ? "failed" : worst < 1e-3 ? "right" : "wrong", worst,
           (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
    ssa_device_close(device);
    ssa_device_close(host);
    return failed || worst >= 1e-3;
}

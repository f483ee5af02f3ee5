#include "bench.h"
#include "peak.h"

#include "progress.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_REPS = 1000 };

static const double shortest = 0.010; /* seconds a repetition should take, so that clocks and wake-ups do not show */

/* Processor time of this process, all threads. */
static double busy_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int call(struct ssa_device *device, bench_work work, void *context, int times, double *seconds)
{
    int err = SSA_OK;
    double start = now_seconds();
    for (int i = 0; i < times && !err; i++)
        err = work(context);
    if (!err)
        err = ssa_device_finish(device);
    *seconds = (now_seconds() - start) / times;
    return err;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int measure(const struct bench *b, struct ssa_device *device, bench_work work, void *context, struct timing *t)
{
    double seconds[MAX_REPS];
    int reps = b->reps < MAX_REPS ? b->reps : MAX_REPS, err;
    memset(t, 0, sizeof *t);
    /* The first call builds kernels, the second says how long one takes. */
    if ((err = peak_triad(b->peak)) || (err = call(device, work, context, 1, &seconds[0])) ||
        (err = call(device, work, context, 1, &seconds[0])))
        return err;
    int times = seconds[0] < shortest ? (int)(shortest / seconds[0]) + 1 : 1;
    double busy = 0, all = 0;
    for (int i = 0; i < reps; i++) {
        if ((err = peak_fma(b->peak)))
            return err;
        busy -= busy_seconds();
        if ((err = call(device, work, context, times, &seconds[i])))
            return err;
        busy += busy_seconds();
        all += seconds[i] * times;
    }
    t->peak = peak_gflops(b->peak);
    t->bandwidth = peak_bandwidth(b->peak);
    t->busy = busy / (all * b->info.units);
    t->processor_seconds = busy / (reps * times);
    qsort(seconds, (size_t)reps, sizeof *seconds, ascending);
    t->seconds = (seconds[(reps - 1) / 2] + seconds[reps / 2]) / 2;
    t->seconds_min = seconds[0];
    return SSA_OK;
}

int bench_tensor(struct ssa_tensor *t, struct ssa_device *device, size_t count, const void *values)
{
    struct ssa_buffer *buffer;
    int err = ssa_buffer_create(&buffer, device, count);
    if (err)
        return err;
    *t = ssa_tensor_at(buffer, 0);
    return values ? ssa_tensor_write(*t, values, count) : ssa_tensor_fill(*t, 0, count);
}

float *bench_values(size_t count, uint64_t seed)
{
    float *x = malloc(count * sizeof *x);
    uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; x && i < count; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        x[i] = (float)(int32_t)(s >> 32) * 0x1p-31f;
    }
    return x;
}

double bench_peak_bytes(const struct ssa_device *device, size_t base)
{
    size_t peak;
    ssa_device_memory(device, NULL, &peak);
    return (double)(peak - base);
}

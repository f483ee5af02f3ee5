#include "bench.h"
#include "peak.h"

#include "progress.h"
#include "say.h"
#include "statistics.h"

#include <stdlib.h>

/* Seconds a sample should take, so that clocks and wake-ups do not show: threads that sleep between samples start some
 * 0.1 ms late, of the 3 ms that attention takes at N 1024. */
static const double shortest = 0.040;

bool start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    enum { STACK = 8 << 20 };
    pthread_attr_t how;
    if (pthread_attr_init(&how))
        return false;
    bool started = !pthread_attr_setstacksize(&how, STACK) && !pthread_create(thread, &how, run, argument);
    pthread_attr_destroy(&how);
    return started;
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

int measure_first(struct ssa_device *device, bench_work work, void *context, struct timing *t)
{
    int err = call(device, work, context, 1, &t->first);
    ssa_device_reset_peak(device); /* variants are tested at first use, in memory that is given back */
    return err;
}

static bool enough(const struct bench *b, const struct timing *t, double spent)
{
    return t->count == b->reps || (t->count >= LEAST_REPS && b->seconds > 0 && spent > b->seconds);
}

void timing_summarise(struct timing *t)
{
    double sorted[MAX_REPS];
    sort_samples(sorted, t->samples, t->count);
    t->median = quantile(sorted, t->count, 0.5);
    t->q1 = quantile(sorted, t->count, 0.25);
    t->q3 = quantile(sorted, t->count, 0.75);
    t->least = sorted[0];
    t->most = sorted[t->count - 1];
}

int measure(const struct bench *b, struct ssa_device *device, bench_work work, void *context, double moved,
            struct timing *t)
{
    int set = peak_set(b->peak, moved), err;
    struct peak_sample sample;
    double once, busy = 0, all = 0, begin = now_seconds();
    if ((err = peak_triad(b->peak, set, &sample)) || (err = call(device, work, context, 1, &once)))
        return err;
    t->calls = once < shortest ? (int)(shortest / once) + 1 : 1;
    for (t->count = 0; !enough(b, t, now_seconds() - begin);) {
        double *seconds = &t->samples[t->count];
        if (interrupted)
            return SSA_ESTOPPED;
        if ((err = peak_fma(b->peak, &sample)) || (t->count % 4 == 0 && (err = peak_triad(b->peak, set, &sample))))
            return err;
        busy -= busy_seconds();
        if ((err = call(device, work, context, t->calls, seconds)))
            return err;
        busy += busy_seconds();
        all += *seconds * t->calls;
        t->count++;
    }
    t->peak = peak_gflops(b->peak);
    t->bandwidth = peak_bandwidth(b->peak, set);
    t->bandwidth_set = peak_set_bytes(b->peak, set);
    t->busy = busy / (all * b->info.units);
    t->processor_seconds = busy / ((double)t->count * t->calls);
    timing_summarise(t);
    return SSA_OK;
}

double bench_peak_bytes(const struct ssa_device *device, size_t base)
{
    size_t peak;
    ssa_device_memory(device, NULL, &peak);
    return (double)(peak - base);
}

int bench_out_of_memory(void)
{
    say_error("out of host memory: ask for a shorter --length or a smaller --batch");
    return SSA_ENOMEM;
}

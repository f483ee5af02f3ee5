/* The roofs by themselves: multiply-adds, and a triad over sets from what a cache holds to what none does. */
#include "bench.h"
#include "peak.h"

#include <math.h>
#include <stdio.h>

static const char *const fields[] = {"bytes", NULL};

static int list(const struct bench *b, struct case_list *list)
{
    struct bench_case c = {.name = "float32 multiply-adds", .fields = fields + 1, .directions = "fma", .kind = -1,
                           .flops = 0.008 * 1e9 * peak_gflops(b->peak)};
    int err = case_add(list, &c);
    for (int set = 0; set < PEAK_SETS && !err; set++) {
        double bytes = peak_set_bytes(b->peak, set);
        if (set && bytes == peak_set_bytes(b->peak, set - 1)) /* a small device */
            continue;
        c = (struct bench_case){.fields = fields, .shape = {(int)bytes}, .directions = "triad", .kind = set,
                                .moved = 96 << 20};
        snprintf(c.name, sizeof c.name, bytes < 1 << 20 ? "triad over %.0f KiB" : "triad over %.0f MiB",
                 bytes < 1 << 20 ? bytes / 1024 : bytes / (1 << 20));
        err = case_add(list, &c);
    }
    return err;
}

static int run(const struct bench *b, const struct bench_case *c)
{
    struct result r = {.direction = c->directions, .tolerance = INFINITY};
    struct peak_sample sample;
    int err = SSA_OK;
    for (int i = 0; i < b->reps && !err; i++) {
        if (interrupted)
            return SSA_ESTOPPED;
        err = c->kind < 0 ? peak_fma(b->peak, &sample) : peak_triad(b->peak, c->kind, &sample);
        r.time.samples[r.time.count++] = sample.seconds;
    }
    if (err)
        return err;
    *(c->kind < 0 ? &r.flops : &r.moved) = sample.amount;
    timing_summarise(&r.time);
    r.time.calls = 1;
    r.time.peak = peak_gflops(b->peak);
    int set = c->kind < 0 ? PEAK_SETS - 1 : c->kind;
    r.time.bandwidth = peak_bandwidth(b->peak, set);
    r.time.bandwidth_set = peak_set_bytes(b->peak, set);
    r.time.busy = NAN; /* not asked */
    emit(b, &peak_suite, c, &r);
    return SSA_OK;
}

const struct suite peak_suite = {"peak", 15, list, run};

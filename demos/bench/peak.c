#include "bench.h"
#include "peak.h"

#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TRIAD_COUNT = 1 << 24, /* three arrays of 64 MiB: past the caches of processors of today */
    FIRST_SAMPLES = 5,
    WORTH_A_SAMPLE = 96 << 20 /* bytes that a sample goes through at least: a millisecond or so */
};

struct peak {
    const struct peak_backend *backend;
    void *state;
    int rounds;
    size_t count;                        /* elements of each array */
    double gflops, bandwidth[PEAK_SETS]; /* best so far */
};

static const double sample_seconds = 0.008;

double peak_set_bytes(const struct peak *p, int set)
{
    double all = 12.0 * (double)p->count, bytes = 256 << 10;
    for (int i = 0; i < set; i++)
        bytes *= 4;
    return set == PEAK_SETS - 1 || bytes > all ? all : bytes;
}

int peak_set(const struct peak *p, double bytes)
{
    int set = 0;
    while (set < PEAK_SETS - 1 && peak_set_bytes(p, set) < bytes)
        set++;
    return set;
}

/* Doubles the rounds until a sample takes long enough. The first run of each loop builds its kernel. */
static int calibrate(struct peak *p)
{
    struct peak_sample sample;
    double seconds = 0, operations;
    int err = p->backend->triad(p->state, p->count, 1, &operations);
    if (err || (err = p->backend->fma(p->state, 1, &operations)))
        return err;
    for (p->rounds = 1000; seconds < sample_seconds && p->rounds < 1 << 29; p->rounds *= 2) {
        double start = now_seconds();
        if ((err = p->backend->fma(p->state, 2 * p->rounds, &operations)))
            return err;
        seconds = now_seconds() - start;
    }
    for (int i = 0; i < FIRST_SAMPLES && !err; i++)
        err = (err = peak_fma(p, &sample)) ? err : peak_triad(p, PEAK_SETS - 1, &sample);
    return err;
}

int peak_open(struct peak **peak, const struct ssa_device_info *info)
{
    struct peak *p = calloc(1, sizeof *p);
    *peak = p;
    if (!p)
        return SSA_ENOMEM;
    p->backend = info->kind == SSA_DEVICE_HOST ? &peak_host : &peak_opencl;
    size_t most = info->max_allocation < info->memory / 4 ? info->max_allocation : info->memory / 4;
    p->count = most / 8 < TRIAD_COUNT ? most / 8 : TRIAD_COUNT;
    int err = p->backend->open(&p->state, info, p->count);
    return err ? err : calibrate(p);
}

void peak_close(struct peak *p)
{
    if (p && p->state)
        p->backend->close(p->state);
    free(p);
}

static void keep(double *best, struct peak_sample *sample, double amount, double start)
{
    *sample = (struct peak_sample){amount, now_seconds() - start};
    double rate = amount / sample->seconds * 1e-9;
    *best = rate > *best ? rate : *best;
}

int peak_fma(struct peak *p, struct peak_sample *sample)
{
    double operations, start = now_seconds();
    int err = p->backend->fma(p->state, p->rounds, &operations);
    if (!err)
        keep(&p->gflops, sample, operations, start);
    return err;
}

int peak_triad(struct peak *p, int set, struct peak_sample *sample)
{
    double bytes = peak_set_bytes(p, set), start = now_seconds();
    int rounds = (int)(WORTH_A_SAMPLE / bytes) + 1;
    int err = p->backend->triad(p->state, (size_t)(bytes / 12), rounds, &bytes);
    if (!err)
        keep(&p->bandwidth[set], sample, bytes, start);
    return err;
}

double peak_gflops(const struct peak *p)
{
    return p->gflops;
}

double peak_bandwidth(const struct peak *p, int set)
{
    return p->bandwidth[set];
}

/* ---- the suite: the roofs by themselves, over sets from what a cache holds to what none does ---- */

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

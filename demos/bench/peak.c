#include "peak.h"

#include "progress.h"

#include <stdlib.h>

enum {
    TRIAD_COUNT = 1 << 24, /* three arrays of 64 MiB: past the caches of processors of today */
    FIRST_SAMPLES = 5
};

struct peak {
    const struct peak_backend *backend;
    void *state;
    int rounds;
    double gflops, bandwidth; /* best so far */
};

static const double sample_seconds = 0.008;

/* Doubles the rounds until a sample takes long enough. The first run of each loop builds its kernel. */
static int calibrate(struct peak *p)
{
    double seconds = 0, operations;
    int err = p->backend->triad(p->state, &operations);
    if (err || (err = p->backend->fma(p->state, 1, &operations)))
        return err;
    for (p->rounds = 1000; seconds < sample_seconds && p->rounds < 1 << 29; p->rounds *= 2) {
        double start = now_seconds();
        if ((err = p->backend->fma(p->state, 2 * p->rounds, &operations)))
            return err;
        seconds = now_seconds() - start;
    }
    for (int i = 0; i < FIRST_SAMPLES && !err; i++)
        err = (err = peak_fma(p)) ? err : peak_triad(p);
    return err;
}

int peak_open(struct peak **peak, const struct ssa_device_info *info)
{
    struct peak *p = calloc(1, sizeof *p);
    *peak = p;
    if (!p)
        return SSA_ENOMEM;
    p->backend = info->kind == SSA_DEVICE_HOST ? &peak_host : &peak_opencl;
    size_t count = info->max_allocation / 8 < TRIAD_COUNT ? info->max_allocation / 8 : TRIAD_COUNT;
    int err = p->backend->open(&p->state, info, count);
    return err ? err : calibrate(p);
}

void peak_close(struct peak *p)
{
    if (p && p->state)
        p->backend->close(p->state);
    free(p);
}

static void keep_best(double *best, double amount, double start)
{
    double rate = amount / (now_seconds() - start) * 1e-9;
    *best = rate > *best ? rate : *best;
}

int peak_fma(struct peak *p)
{
    double operations, start = now_seconds();
    int err = p->backend->fma(p->state, p->rounds, &operations);
    if (!err)
        keep_best(&p->gflops, operations, start);
    return err;
}

int peak_triad(struct peak *p)
{
    double bytes, start = now_seconds();
    int err = p->backend->triad(p->state, &bytes);
    if (!err)
        keep_best(&p->bandwidth, bytes, start);
    return err;
}

double peak_gflops(const struct peak *p)
{
    return p->gflops;
}

double peak_bandwidth(const struct peak *p)
{
    return p->bandwidth;
}

#include "estimate.h"

#include "peak.h"

#include <math.h>

/* Half of the nearer roof; a sample is at least 40 ms long and has one of the device's roofs beside it; the reference
 * makes half a GFLOP/s; a first call builds kernels where there is a compiler. */
double estimate_seconds(const struct bench *b, const struct suite *suite, const struct bench_case *c)
{
    double bandwidth = peak_bandwidth(b->peak, PEAK_SETS - 1);
    double call = 2e-9 * fmax(c->flops / peak_gflops(b->peak), c->moved / bandwidth);
    int reps = b->reps ? b->reps : suite->reps, directions = 1;
    for (const char *d = c->directions; *d; d++)
        directions += *d == '|';
    double sampling = reps * (fmax(call, 0.040 * directions) + 0.010 * directions);
    if (b->seconds > 0)
        sampling = fmax(fmin(sampling, b->seconds * directions), LEAST_REPS * call);
    double build = b->info.kind == SSA_DEVICE_HOST ? 0.01 : 0.5;
    return sampling + 3 * call + c->check_flops / 0.5e9 + build;
}

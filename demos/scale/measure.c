#include "measure.h"

#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "say.h"
#include "simulate.h"
#include "statistics.h"

#include <ssacl/ranks.h>
#include <ssacl/ssacl.h>

#include <math.h>
#include <stdlib.h>

enum { SMALL = 64, LARGE = 1 << 22, LARGE_TIMES = 9, SMALL_TIMES = 201 }; /* floats; times */

/* Median seconds of an all-reduce, after the first. */
static int time_all_reduce(struct ssa_ranks *ranks, float *data, size_t count, int times, double *seconds)
{
    double samples[SMALL_TIMES], sorted[SMALL_TIMES];
    int err = ranks->all_reduce(ranks, data, count);
    for (int i = 0; i < times && !err; i++) {
        double start = now_seconds();
        err = ranks->all_reduce(ranks, data, count);
        samples[i] = now_seconds() - start;
    }
    sort_samples(sorted, samples, times);
    *seconds = quantile(sorted, times, 0.5);
    return err;
}

/* Latency and bandwidth that scale_all_reduce() takes the same time with; summing is in the bandwidth. */
static int print_link(int ranks, double small, double large, int json)
{
    const struct scale_link unit = {.latency = 1, .bandwidth = INFINITY};
    double messages = scale_all_reduce(&unit, 4.0 * SMALL, ranks);
    double latency = small / messages, gbit = scale_sent(4.0 * LARGE, ranks) / (large - small) * 8e-9;
    if (json)
        return print_json(json_pack("{si so so so so}", "ranks", ranks, "small_seconds", number_json(small),
                                    "large_seconds", number_json(large), "latency_us", number_json(1e6 * latency),
                                    "gbit", number_json(gbit)));
    printf("%d ranks: %.1f us for %d bytes, %.2f ms for %.1f MB; as ssacl-scale takes it:\n"
           "--latency %.3g --gbit %.3g --sum 0\n", ranks, 1e6 * small, 4 * SMALL, 1e3 * large, 4e-6 * LARGE,
           1e6 * latency, gbit);
    return finish_stdout();
}

int scale_measure(int json)
{
    struct ssa_ranks *ranks = NULL;
    double small = 0, large = 0;
    int status = 0, rank;
    float *data = calloc(LARGE, sizeof *data);
    if (!data)
        return say_error("no memory");
    if (ssa_ranks_launched() < 2)
        status = say_error("start it on several ranks to measure their link: mpirun -n 2 ssacl-scale --measure");
    else if (ssa_ranks_open(&ranks, "mpi") != SSA_OK ||
             time_all_reduce(ranks, data, SMALL, SMALL_TIMES, &small) != SSA_OK ||
             time_all_reduce(ranks, data, LARGE, LARGE_TIMES, &large) != SSA_OK)
        status = say_error("%s", ssa_last_error());
    rank = ranks ? ranks->rank : 1;
    int count = ranks ? ranks->count : 0;
    ssa_ranks_close(ranks, status != 0);
    free(data);
    return status ? status : rank ? 0 : print_link(count, small, large, json);
}

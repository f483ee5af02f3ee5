/* What a step of a run takes on its devices, measured before the run. */
#ifndef RUN_TIMING_H
#define RUN_TIMING_H

#include "settings.h"

struct timing {
    double seconds;     /* a step of the run */
    int layers, passes; /* of the largest steps that were measured: those of the run, or fewer, extrapolated from */
    bool extrapolated;
    size_t scratch;     /* bytes that operators hold beside the model and its training, however many layers there are */
    size_t peak;        /* bytes of the device that held most; 0 where it was extrapolated */
};

/* Of this pattern: some steps of the run's own model where they take no more than about --measure seconds; else of one with
 * fewer of its layers and passes. On data that the program invents. The library's status, SSA_ESTOPPED after Ctrl-C. */
int timing_of_pattern(const struct settings *s, struct ssa_pool *pool, const struct ssa_pattern *pattern,
                      struct timing *timing);

#endif

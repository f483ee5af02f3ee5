/* A model's step as the simulation takes it. */
#ifndef SCALE_JOB_H
#define SCALE_JOB_H

#include "options.h"

/* Operations of a token, forward and backward, as `ssacl-bench step` counts them: 6 a matrix parameter, and 6 N C a
 * layer for attention over all keys, half of them as causal. */
double scale_flops(const struct ssa_model_config *model, double ratio);

/* Work of the rank that has most of it. Returns the sequences that all ranks train on; 0: fewer than ranks. */
double scale_make_job(const struct scale_options *options, const struct ssa_model_config *model, int ranks,
                      struct scale_job *job);

#endif

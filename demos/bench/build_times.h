/* How long a case's kernels take to build: cold, with every cache empty, and warm, with what the cold run left. Other
 * processes find out, since this one has built them already. */
#ifndef BENCH_BUILD_TIMES_H
#define BENCH_BUILD_TIMES_H

#include "bench.h"

/* {"fwd": {"cold": seconds, "warm": seconds}, ...} of each direction; NULL if it cannot be found out, which is said. */
json_t *build_times(const struct bench *b, const struct suite *suite, const struct bench_case *c);

#endif

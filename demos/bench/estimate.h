/* How long a case will take, roughly, before it runs: for the progress bar and the line up front. */
#ifndef BENCH_ESTIMATE_H
#define BENCH_ESTIMATE_H

#include "bench.h"

double estimate_seconds(const struct bench *b, const struct suite *suite, const struct bench_case *c);

#endif

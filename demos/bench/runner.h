/* Runs suites over devices: what is too large is skipped with its reason, what fails is said, and the rest goes on. */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include "bench.h"

enum { MAX_SUITES = 8 };
struct selection {
    const struct suite *suites[MAX_SUITES];
    int suite_count;
    const char *devices; /* names with commas between; "all" is every one */
    int list_only;
};

/* Returns an exit status: 0 if every row is right (skipped ones do not count), EXIT_INTERRUPTED after Ctrl-C. */
int run_selection(struct bench *b, const struct selection *s);

#endif

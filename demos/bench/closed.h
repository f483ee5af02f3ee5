/* The closed set: fixed work, so that results of two machines may be put side by side. */
#ifndef BENCH_CLOSED_H
#define BENCH_CLOSED_H

#include "bench.h"

/* Raised whenever a case, a shape, a seed, or the number of samples of the set changes. */
#define CLOSED_NAME "closed-1"
#define CLOSED_ABOUT \
    "--closed runs " CLOSED_NAME ", whose work nobody can change, so that what two machines print may be compared: " \
    "the roofs; four linear layers (4096 rows, C 256); attention H8 D64, N 1024 and 2048, dense, k=N/4, k=N/8 and " \
    "local w=N/4, causal and not; every operator; training steps L6 C256 H8 N512 B8, dense and k=N/4. Seeds are " \
    "fixed, 9 samples a case. Only --device, --build-times and where the output goes may be given."

/* Takes the set's settings; says what stands in its way: an option (`given` beside `table`), a suite, a variable of the
 * environment that changes which kernels run. Returns an exit status. */
int closed_begin(struct bench *b, const struct arg *table, const unsigned char *given, const struct arg_list *words);

#endif

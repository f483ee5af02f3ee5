/* Processor time of this process' threads, on Linux: what others on the machine change little. */
#ifndef POOL_THREADS_H
#define POOL_THREADS_H

#include <stdbool.h>

enum { MOST_THREADS = 256 };

/* [count], by number. */
struct threads {
    int count;
    long id[MOST_THREADS];
    double seconds[MOST_THREADS];
};

/* False: nobody says. */
bool threads_read(struct threads *t);
/* What the `most` threads that worked longest between two readings did: all of them, and the busiest. */
void threads_between(const struct threads *before, const struct threads *after, int most, double *all, double *busiest);

#endif

/* Ranks as threads of one process: an engine for tests, over the library's own all-reduce. */
#ifndef SSA_TEST_THREADS_H
#define SSA_TEST_THREADS_H

#include "ssacl/ranks.h"

enum { THREADS_MOST = 16 };

/* Calls run(ranks, cookie) on `count` threads, each with its engine, and waits for all of them. An assertion
 * that fails on one of them ends the program. */
void threads_run(int count, void (*run)(struct ssa_ranks *ranks, void *cookie), void *cookie);

/* The engine's calls so far, of this rank: floats summed, and bytes broadcast. */
struct threads_traffic {
    size_t calls, floats, bytes;
};
struct threads_traffic threads_traffic(const struct ssa_ranks *ranks);

#endif

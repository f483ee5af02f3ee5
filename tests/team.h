/* Ranks as threads of one process: an engine for tests, over the library's own all-reduce. */
#ifndef SSA_TEST_TEAM_H
#define SSA_TEST_TEAM_H

#include "ssacl/ranks.h"

enum { TEAM_MAX = 16 };

/* Calls run(ranks, cookie) on `count` threads, each with its engine, and waits for all of them. An assertion
 * that fails on one of them ends the program. */
void team_run(int count, void (*run)(struct ssa_ranks *ranks, void *cookie), void *cookie);

/* The engine's calls so far, of this rank: floats summed, and bytes broadcast. */
struct team_traffic {
    size_t calls, floats, bytes;
};
struct team_traffic team_traffic(const struct ssa_ranks *ranks);

#endif

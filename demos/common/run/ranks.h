/* Several processes that train one model (ssacl/ranks.h). Without a launcher the pointer is NULL, and all of these do
 * what there is to do for one. */
#ifndef RUN_RANKS_H
#define RUN_RANKS_H

#include <ssacl/ranks.h>

#include <stdbool.h>

/* Joins the others if a launcher started this process, unless it is to be `alone`. Only rank 0 then speaks, but for
 * errors. */
int ranks_join(struct ssa_ranks **ranks, bool alone);
void ranks_leave(struct ssa_ranks *ranks, bool failed);

/* Rank 0: it writes all there is to write. */
bool ranks_lead(const struct ssa_ranks *ranks);

/* While all do the same, an error of one is often that of all: it is said once. ranks_all() ends that; it returns
 * `status`, or that some other rank has failed. Others than rank 0 are PROGRAM, rank N in errors from then on. */
int ranks_all(struct ssa_ranks *ranks, const char *program, int status, int good);

/* --device of this rank: those on one machine deal out what there is; of "auto" the GPUs, where there are any. */
const char *ranks_devices(const struct ssa_ranks *ranks, const char *names, char *text, size_t size);

#endif

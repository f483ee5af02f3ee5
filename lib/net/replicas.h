/* A model on a pool: a replica on each device, behind one front that serves as a model wherever one is taken. */
#ifndef SSA_NET_REPLICAS_H
#define SSA_NET_REPLICAS_H

#include "pool/pool.h"

struct ssa_group {
    struct ssa_pool *pool;
    struct ssa_model *replicas[SSA_POOL_MOST]; /* by the member's number; NULL where there is none */
    int statuses[SSA_POOL_MOST]; /* of making them */
    int serving; /* the member whose replica stood for all when last asked */
    /* Set by a trainer, which has a copy of the run: goes on from it where no device is left. */
    int (*rescue)(void *rescuer);
    void *rescuer;
};

/* The replica that stands for the model: of the first member that is not lost, or of the last that was not. A model
 * that is no front stands for itself. */
struct ssa_model *ssa_model_serving(const struct ssa_model *m);

/* NULL: the model is no front. */
struct ssa_group *ssa_model_group(const struct ssa_model *m);

/* SSA_OK if a device is there to work on, brought in by the trainer if need be. */
int ssa_group_rescue(struct ssa_group *group);
/* A replica on a member that joined when all others were lost. */
int ssa_group_join(struct ssa_model *front, struct ssa_member *m);
int ssa_group_initialise(struct ssa_model *front, uint64_t seed);
void ssa_group_destroy(struct ssa_group *group);

#endif

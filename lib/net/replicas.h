/* A model on a pool: a replica on each device, and one model without a device that stands for them wherever a model
 * is taken. */
#ifndef SSA_NET_REPLICAS_H
#define SSA_NET_REPLICAS_H

#include "pool/pool.h"

struct ssa_replicas {
    struct ssa_pool *pool;
    struct ssa_model *models[SSA_POOL_MOST]; /* by the member's number; NULL where there is none */
    int statuses[SSA_POOL_MOST]; /* of making them */
    /* Set by a trainer, which has a copy of the run: goes on from it where no device is left. */
    int (*rescue)(void *rescuer);
    void *rescuer;
};

/* NULL: the model is on no pool. */
struct ssa_replicas *ssa_model_replicas(const struct ssa_model *m);

/* Whether member `i` can be asked: it has a replica, is not lost, and its parameters are the model's (it does not rest:
 * see train/team/team.h). */
bool ssa_replicas_has(const struct ssa_replicas *r, int i);
/* All were given the same parameters: none is behind, but for a trainer that there is, by its moments. */
void ssa_replicas_are_alike(struct ssa_replicas *r);
/* The member whose replica stands for the model: the first that can be asked, or where there is none the last that
 * could. */
int ssa_replicas_first_live(const struct ssa_replicas *r);
/* The replica of that one. A model that is on no pool stands for itself. */
struct ssa_model *ssa_model_first_live(const struct ssa_model *m);

/* SSA_OK if a device is there to work on, brought in by the trainer if need be. */
int ssa_replicas_rescue(struct ssa_replicas *r);
/* A replica on a member that joined when all others were lost. */
int ssa_replicas_join(struct ssa_model *model, struct ssa_member *m);
int ssa_replicas_initialise(struct ssa_model *model, uint64_t seed);
void ssa_replicas_destroy(struct ssa_replicas *r);

#endif

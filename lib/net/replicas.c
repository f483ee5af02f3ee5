#include "replicas.h"
#include "internal.h"
#include "impl.h"

#include <stdlib.h>

struct ssa_model *ssa_model_serving(const struct ssa_model *m)
{
    struct ssa_group *g = m->group;
    if (!g)
        return (struct ssa_model *)m;
    for (int i = 0; i < g->pool->count; i++)
        if (g->replicas[i] && !g->pool->members[i]->lost) {
            g->serving = i;
            break;
        }
    return g->replicas[g->serving];
}

struct ssa_group *ssa_model_group(const struct ssa_model *m)
{
    return m->group;
}

int ssa_group_rescue(struct ssa_group *g)
{
    const struct ssa_member *lost = g->pool->members[g->pool->last_lost];
    if (ssa_pool_live(g->pool))
        return SSA_OK;
    return g->rescue ? g->rescue(g->rescuer) : ssa_fail(SSA_EDEVICE, "pool: no device is left (%s: %s)", lost->info.id,
                                                        lost->reason);
}

/* ---- making replicas, each on its device's thread ---- */

struct making {
    struct ssa_device *device;
    struct ssa_model_config config;
    struct ssa_model_limits limits;
    struct ssa_model *model;
};

static int make(void *argument)
{
    struct making *m = argument;
    return ssa_model_create(&m->model, m->device, &m->config, &m->limits);
}

static void prepare(void *cookie, struct ssa_member *m, void *argument)
{
    const struct ssa_model *front = cookie;
    *(struct making *)argument = (struct making){m->device, front->config, front->limits, NULL};
}

/* Takes over what was made, or leaves the member out. */
static void made(void *cookie, struct ssa_member *m, void *argument, int status)
{
    const struct ssa_model *front = cookie;
    const struct making *making = argument;
    front->group->replicas[m->number] = status ? NULL : making->model;
    front->group->statuses[m->number] = status;
    if (status)
        ssa_member_lose(m, m->abandoned ? SSA_POOL_LOST : SSA_POOL_LEFT_OUT, ssa_last_error());
}

static int make_replicas(struct ssa_model *front)
{
    struct ssa_pool *pool = front->group->pool;
    return ssa_pool_all(pool, &(struct ssa_round){.job = make, .size = sizeof(struct making), .prepare = prepare,
        .ended = made, .cookie = front, .seconds = ssa_pool_first_patience(pool)});
}

int ssa_group_join(struct ssa_model *front, struct ssa_member *m)
{
    struct ssa_group *g = front->group;
    int err;
    TRY(make_replicas(front)); /* of all members it alone is not lost */
    err = g->statuses[m->number] ? ssa_fail(g->statuses[m->number], "%s", m->reason) : SSA_OK;
done:
    return err;
}

/* The status and the reason of the largest device. */
static int fits_none(const struct ssa_group *g)
{
    const struct ssa_pool *pool = g->pool;
    int largest = -1;
    for (int i = 0; i < pool->count; i++)
        if (g->statuses[i] && (largest < 0 || pool->members[i]->info.memory > pool->members[largest]->info.memory))
            largest = i;
    return largest < 0 ? ssa_fail(SSA_EDEVICE, "pool: no device is left")
                       : ssa_fail(g->statuses[largest], "%s", pool->members[largest]->reason);
}

int ssa_pool_model_create(struct ssa_model **model, struct ssa_pool *pool, const struct ssa_model_config *config,
                          const struct ssa_model_limits *limits)
{
    struct ssa_memory memory;
    struct ssa_model *front = NULL;
    int err;
    *model = NULL;
    REQUIRE(pool, "model: pool is NULL");
    REQUIRE(!pool->model, "pool: there is a model on it already; destroy that one first");
    TRY(ssa_model_memory(config, limits, &memory)); /* what is wrong for every device */
    front = calloc(1, sizeof *front);
    if (!front || !(front->group = calloc(1, sizeof *front->group))) {
        free(front);
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    }
    for (int i = 0; i < pool->count; i++) /* those that an earlier model did not fit */
        if (pool->members[i]->left_out && pool->members[i]->device)
            pool->members[i]->lost = pool->members[i]->left_out = false;
    front->group->pool = pool;
    front->config = *config;
    front->limits = *limits;
    TRY(make_replicas(front));
    if (!ssa_pool_live(pool))
        TRY(fits_none(front->group));
    pool->model = front;
    ssa_model_serving(front); /* it stands for all if every device is lost before anybody asks */
    *model = front;
    front = NULL;
done:
    ssa_model_destroy(front);
    return err;
}

static void destroy_replica(void *model)
{
    ssa_model_destroy(model);
}

void ssa_group_destroy(struct ssa_group *g)
{
    for (int i = 0; i < g->pool->count; i++)
        ssa_member_release(g->pool->members[i], g->replicas[i], destroy_replica);
    free(g);
}

/* ---- initialising, likewise ---- */

struct seeding {
    struct ssa_model *model;
    uint64_t seed;
};

static int seed_one(void *argument)
{
    const struct seeding *s = argument;
    return ssa_model_initialise(s->model, s->seed);
}

static void prepare_seeding(void *cookie, struct ssa_member *m, void *argument)
{
    struct seeding *s = argument;
    *s = *(const struct seeding *)cookie;
    s->model = s->model->group->replicas[m->number];
}

int ssa_group_initialise(struct ssa_model *front, uint64_t seed)
{
    struct ssa_pool *pool = front->group->pool;
    struct seeding seeding = {front, seed};
    int err = ssa_pool_all(pool, &(struct ssa_round){seed_one, sizeof seeding, ssa_pool_first_patience(pool),
        prepare_seeding, NULL, &seeding});
    return err || ssa_pool_live(pool) ? err : ssa_fail(SSA_EDEVICE, "pool: no device is left: %s", ssa_last_error());
}

#include "replicas.h"
#include "internal.h"
#include "impl.h"

#include <stdlib.h>

struct ssa_replicas *ssa_model_replicas(const struct ssa_model *m)
{
    return m->replicas;
}

bool ssa_replicas_has(const struct ssa_replicas *r, int i)
{
    return r->models[i] && !r->pool->members[i]->lost && !r->pool->members[i]->behind;
}

void ssa_replicas_are_alike(struct ssa_replicas *r)
{
    for (int i = 0; !r->rescue && i < r->pool->count; i++)
        r->pool->members[i]->behind = false;
}

int ssa_replicas_first_live(const struct ssa_replicas *r)
{
    int last = r->pool->last_lost;
    for (int i = 0; i < r->pool->count; i++)
        if (ssa_replicas_has(r, i))
            return i;
    for (int i = 0; !r->models[last] && i < r->pool->count; i++)
        last = i;
    return last;
}

struct ssa_model *ssa_model_first_live(const struct ssa_model *m)
{
    return m->replicas ? m->replicas->models[ssa_replicas_first_live(m->replicas)] : (struct ssa_model *)m;
}

int ssa_replicas_rescue(struct ssa_replicas *r)
{
    const struct ssa_member *lost = r->pool->members[r->pool->last_lost];
    if (ssa_replicas_has(r, ssa_replicas_first_live(r)))
        return SSA_OK;
    return r->rescue ? r->rescue(r->rescuer) : ssa_fail(SSA_EDEVICE, "pool: no device is left (%s: %s)", lost->info.id,
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
    const struct ssa_model *whole = cookie;
    *(struct making *)argument = (struct making){m->device, whole->config, whole->limits, NULL};
}

/* Takes over what was made, or leaves the member out. */
static void made(void *cookie, struct ssa_member *m, void *argument, int status)
{
    const struct ssa_model *whole = cookie;
    const struct making *making = argument;
    whole->replicas->models[m->number] = status ? NULL : making->model;
    whole->replicas->statuses[m->number] = status;
    if (status)
        ssa_member_lose(m, m->abandoned ? SSA_POOL_LOST : SSA_POOL_LEFT_OUT, ssa_last_error());
}

static int make_replicas(struct ssa_model *whole)
{
    struct ssa_pool *pool = whole->replicas->pool;
    return ssa_pool_all(pool, &(struct ssa_round){.job = make, .size = sizeof(struct making), .prepare = prepare,
        .ended = made, .cookie = whole, .seconds = ssa_pool_first_patience(pool)});
}

int ssa_replicas_join(struct ssa_model *whole, struct ssa_member *m)
{
    struct ssa_replicas *r = whole->replicas;
    int err;
    TRY(make_replicas(whole)); /* of all members it alone is not lost */
    err = r->statuses[m->number] ? ssa_fail(r->statuses[m->number], "%s", m->reason) : SSA_OK;
done:
    return err;
}

/* The status and the reason of the largest device. */
static int fits_none(const struct ssa_replicas *r)
{
    const struct ssa_pool *pool = r->pool;
    int largest = -1;
    for (int i = 0; i < pool->count; i++)
        if (r->statuses[i] && (largest < 0 || pool->members[i]->info.memory > pool->members[largest]->info.memory))
            largest = i;
    return largest < 0 ? ssa_fail(SSA_EDEVICE, "pool: no device is left")
                       : ssa_fail(r->statuses[largest], "%s", pool->members[largest]->reason);
}

int ssa_pool_model_create(struct ssa_model **model, struct ssa_pool *pool, const struct ssa_model_config *config,
                          const struct ssa_model_limits *limits)
{
    struct ssa_memory memory;
    struct ssa_model *whole = NULL;
    int err;
    *model = NULL;
    REQUIRE(pool, "model: pool is NULL");
    REQUIRE(!pool->model, "pool: there is a model on it already; destroy that one first");
    TRY(ssa_model_memory(config, limits, &memory)); /* what is wrong for every device */
    whole = calloc(1, sizeof *whole);
    if (!whole || !(whole->replicas = calloc(1, sizeof *whole->replicas))) {
        free(whole);
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    }
    for (int i = 0; i < pool->count; i++) /* those that an earlier model did not fit */
        if (pool->members[i]->left_out && pool->members[i]->device)
            pool->members[i]->lost = pool->members[i]->left_out = false;
    for (int i = 0; i < pool->count; i++)
        pool->members[i]->behind = false;
    whole->replicas->pool = pool;
    whole->config = *config;
    whole->limits = *limits;
    TRY(make_replicas(whole));
    if (!ssa_pool_live(pool))
        TRY(fits_none(whole->replicas));
    pool->model = whole;
    *model = whole;
    whole = NULL;
done:
    ssa_model_destroy(whole);
    return err;
}

static void destroy_replica(void *model)
{
    ssa_model_destroy(model);
}

void ssa_replicas_destroy(struct ssa_replicas *r)
{
    for (int i = 0; i < r->pool->count; i++)
        ssa_member_release(r->pool->members[i], r->models[i], destroy_replica);
    free(r);
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
    s->model = s->model->replicas->models[m->number];
}

int ssa_replicas_initialise(struct ssa_model *whole, uint64_t seed)
{
    struct ssa_pool *pool = whole->replicas->pool;
    struct seeding seeding = {whole, seed};
    int err = ssa_pool_all(pool, &(struct ssa_round){seed_one, sizeof seeding, ssa_pool_first_patience(pool),
        prepare_seeding, NULL, &seeding});
    ssa_replicas_are_alike(whole->replicas);
    return err || ssa_pool_live(pool) ? err : ssa_fail(SSA_EDEVICE, "pool: no device is left: %s", ssa_last_error());
}

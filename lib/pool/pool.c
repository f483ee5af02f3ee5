/* Pools: which devices are in one, and what becomes of them. */
#include "pool.h"
#include "impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_DEVICES = 64, NAME = 128, DEADLINE = 60, COPY_EVERY = 50 };

/* Pools with a member that was abandoned: its thread may still be at work in them. */
static struct ssa_pool *given_up;
static pthread_mutex_t given_up_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- events ---- */

void ssa_pool_tell(struct ssa_member *m, enum ssa_pool_change change, int before, int after, const char *reason)
{
    static const char *const words[] = {"left out", "has another share", "lost", "joined", "goes on from the copy"};
    const struct ssa_pool_config *c = &m->pool->config;
    int level = change == SSA_POOL_SHARE ? SSA_LOG_INFO : SSA_LOG_WARNING;
    if (change == SSA_POOL_SHARE)
        ssa_log(level, "pool: after step %d: %s computes %d micro-batches, not %d: %s", m->pool->step, m->info.id,
                after, before, reason);
    else
        ssa_log(level, "pool: after step %d: %s %s: %s", m->pool->step, m->info.id, words[change], reason);
    if (c->changed)
        c->changed(c->cookie, &(struct ssa_pool_event){.change = (int)change, .member = m->number,
            .step = m->pool->step, .before = before, .after = after, .device = m->info.id, .reason = reason});
}

void ssa_member_lose(struct ssa_member *m, enum ssa_pool_change how, const char *reason)
{
    int before = m->share;
    if (m->lost)
        return;
    m->lost = true;
    m->pool->last_lost = m->number;
    m->left_out = how == SSA_POOL_LEFT_OUT;
    m->share = 0;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    ssa_plain_text(m->reason, strlen(m->reason)); /* it may have been cut within a character */
    ssa_pool_tell(m, how, before, 0, m->reason);
}

/* ---- members ---- */

/* A lock, and a condition by the clock of ssa_awake(): both or neither. */
static bool make_lock(struct ssa_pool *p)
{
    pthread_condattr_t clock;
    if (pthread_mutex_init(&p->lock, NULL))
        return false;
    bool made = !pthread_condattr_init(&clock);
    if (made) {
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        made = !pthread_cond_init(&p->ended, &clock);
        pthread_condattr_destroy(&clock);
    }
    if (!made)
        pthread_mutex_destroy(&p->lock);
    return made;
}

static int make(struct ssa_pool **pool)
{
    struct ssa_pool *p = calloc(1, sizeof *p);
    *pool = NULL;
    if (!p || !make_lock(p)) {
        free(p);
        return ssa_fail(SSA_ENOMEM, "pool: out of host memory");
    }
    p->forks = ssa_forks();
    *pool = p;
    return SSA_OK;
}

int ssa_pool_create(struct ssa_pool **pool, const struct ssa_pool_config *config)
{
    struct ssa_pool *p;
    int err = SSA_OK;
    *pool = NULL;
    if (config) {
        TRY(ssa_check_reserved("pool", config->reserved, 7));
        REQUIRE(config->last == SSA_POOL_HOST || config->last == SSA_POOL_STOP,
                "pool: last is %d, not one of enum ssa_pool_last", config->last);
        REQUIRE(ssa_is_precision(config->precision),
                "pool: precision is %zu, not one of enum ssa_precision", config->precision);
        REQUIRE(config->deadline >= 0 || config->deadline == SSA_NONE, "pool: deadline is %g, must not be negative, or "
                "SSA_NONE", config->deadline);
        REQUIRE(config->copy_every >= SSA_NONE, "pool: copy_every is %d, must not be negative, or SSA_NONE",
                config->copy_every);
        REQUIRE(config->check_every >= SSA_NONE, "pool: check_every is %d, must not be negative, or SSA_NONE",
                config->check_every);
    }
    TRY(make(&p));
    if (config)
        p->config = *config;
    if (p->config.deadline == 0) /* exactly: unset */
        p->config.deadline = DEADLINE;
    if (!p->config.copy_every)
        p->config.copy_every = COPY_EVERY;
    *pool = p;
done:
    return err;
}

static int add(struct ssa_pool *pool, const struct ssa_device_info *info, struct ssa_member **member)
{
    int err;
    REQUIRE(pool->count < SSA_POOL_MOST, "pool: more than %d devices", SSA_POOL_MOST);
    TRY(ssa_member_create(pool, member));
    (*member)->info = *info;
done:
    return err;
}

int ssa_pool_add(struct ssa_pool *pool, struct ssa_device *device)
{
    struct ssa_member *m;
    int err = ssa_device_set_precision(device, (int)pool->config.precision);
    if (!err)
        err = add(pool, &device->info, &m);
    if (err)
        ssa_device_close(device);
    else
        m->device = device;
    return err;
}

int ssa_pool_create_bare(struct ssa_pool **pool, struct ssa_device *device)
{
    struct ssa_member *m;
    int err;
    TRY(make(pool));
    (*pool)->bare = true;
    (*pool)->config = (struct ssa_pool_config){.deadline = SSA_NONE, .copy_every = SSA_NONE, .check_every = SSA_NONE};
    TRY(add(*pool, &device->info, &m));
    m->device = device;
done:
    return err;
}

int ssa_pool_join_host(struct ssa_pool *pool, struct ssa_member **member)
{
    struct ssa_device *device;
    int err;
    if (pool->forks != ssa_forks())
        return ssa_fail(SSA_EDEVICE, SSA_POOL_FORKED);
    for (int i = 0; i < pool->count; i++)
        if (pool->members[i]->info.kind == SSA_DEVICE_HOST)
            return ssa_fail(SSA_EDEVICE, "pool: no device is left; the host backend was one of them");
    TRY(ssa_device_open(&device, "cpu"));
    TRY(ssa_pool_add(pool, device));
    *member = pool->members[pool->count - 1];
    pool->shares = NULL; /* there is none of it */
    ssa_pool_tell(*member, SSA_POOL_JOINED, 0, 0, "no other device is left");
done:
    return err;
}

int ssa_pool_live(const struct ssa_pool *pool)
{
    int live = 0;
    for (int i = 0; i < pool->count; i++)
        live += !pool->members[i]->lost;
    return live;
}

/* ---- opening ---- */

/* The devices of this machine, listed when first asked for: "cpu" alone need not wake OpenCL. */
struct listing {
    struct ssa_device_info devices[MAX_DEVICES];
    int count;
};

static int list_devices(struct listing *l)
{
    int err = l->count ? SSA_OK : ssa_device_list(l->devices, MAX_DEVICES, &l->count);
    l->count = l->count < MAX_DEVICES ? l->count : MAX_DEVICES;
    return err;
}

static bool has(const struct ssa_pool *pool, const char *id)
{
    for (int i = 0; i < pool->count; i++)
        if (!strcmp(pool->members[i]->info.id, id))
            return true;
    return false;
}

/* The id of the device that ssa_device_open() would take. */
static int resolve(struct listing *l, const char *name, const char **id)
{
    const char *from;
    int i, err = SSA_OK;
    *id = ssa_device_wanted(name, &from);
    if (strcmp(*id, "cpu")) {
        TRY(list_devices(l));
        TRY(ssa_device_choose(l->devices, l->count, name, &i));
        *id = l->devices[i].id;
    }
done:
    return err;
}

static int open_named(struct ssa_pool *pool, struct listing *l, const char *name)
{
    struct ssa_device *device;
    const char *id;
    int err;
    REQUIRE(*name, "pool: an empty name in the list of devices");
    REQUIRE(strcmp(name, "all") != 0, "pool: \"all\" is every device: name no other beside it");
    TRY(resolve(l, name, &id));
    REQUIRE(!has(pool, id), "pool: device %s is listed twice (\"%s\")", id, name);
    TRY(ssa_device_open(&device, id));
    TRY(ssa_pool_add(pool, device));
done:
    return err;
}

static int open_list(struct ssa_pool *pool, struct listing *l, const char *names)
{
    int err;
    do {
        char name[NAME];
        size_t length = strcspn(names, ",");
        REQUIRE(length < sizeof name, "pool: a device's name of %zu characters", length);
        memcpy(name, names, length);
        name[length] = 0;
        TRY(open_named(pool, l, name));
        names += length;
    } while (*names++ == ',');
done:
    return err;
}

static int open_all(struct ssa_pool *pool, struct listing *l)
{
    bool cpu = false;
    int err;
    TRY(list_devices(l));
    for (int i = 0; i < l->count; i++)
        cpu = cpu || l->devices[i].kind == SSA_DEVICE_CPU;
    for (int i = 0; i < l->count; i++) {
        const struct ssa_device_info *info = &l->devices[i];
        struct ssa_device *device;
        struct ssa_member *m;
        if (info->kind == SSA_DEVICE_HOST && cpu)
            continue;
        if (ssa_device_open(&device, info->id) == SSA_OK) {
            TRY(ssa_pool_add(pool, device));
        } else {
            char why[256];
            snprintf(why, sizeof why, "%s", ssa_last_error());
            TRY(add(pool, info, &m));
            ssa_member_lose(m, SSA_POOL_LEFT_OUT, why);
        }
    }
    if (!ssa_pool_live(pool))
        err = ssa_fail(SSA_ENODEVICE, "pool: none of %d devices could be opened; %s: %s", pool->count,
                       pool->count ? pool->members[0]->info.id : "", pool->count ? pool->members[0]->reason : "");
done:
    return err;
}

int ssa_pool_open(struct ssa_pool **pool, const char *names, const struct ssa_pool_config *config)
{
    struct listing *l = calloc(1, sizeof *l);
    struct ssa_pool *p = NULL;
    int err;
    *pool = NULL;
    if (!l)
        return ssa_fail(SSA_ENOMEM, "pool: out of host memory");
    names = names ? names : "auto";
    TRY(ssa_pool_create(&p, config));
    TRY(strcmp(names, "all") ? open_list(p, l, names) : open_all(p, l));
    *pool = p;
    p = NULL;
done:
    free(l);
    ssa_pool_close(p);
    return err;
}

void ssa_pool_close(struct ssa_pool *pool)
{
    if (!pool || (pool->forks != ssa_forks() && !pool->bare))
        return;
    for (int i = 0; i < pool->count; i++) {
        struct ssa_member *m = pool->members[i];
        struct ssa_device *device = m->abandoned || pool->bare ? NULL : m->device;
        ssa_member_destroy(m);
        ssa_device_close(device);
    }
    if (pool->abandoned) {
        pthread_mutex_lock(&given_up_lock);
        pool->next = given_up;
        given_up = pool;
        pthread_mutex_unlock(&given_up_lock);
        return;
    }
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* ---- asking ---- */

int ssa_pool_count(const struct ssa_pool *pool)
{
    return pool->count;
}

int ssa_pool_member(const struct ssa_pool *pool, int i, struct ssa_pool_member *member)
{
    int err = SSA_OK;
    *member = (struct ssa_pool_member){0};
    REQUIRE(i >= 0 && i < pool->count, "pool: no member %d of %d", i, pool->count);
    const struct ssa_member *m = pool->members[i];
    member->info = m->info;
    member->lost = m->lost;
    member->share = m->share;
    member->rate = m->rate;
    snprintf(member->reason, sizeof member->reason, "%s", m->reason);
done:
    return err;
}

struct ssa_device *ssa_pool_device(const struct ssa_pool *pool, int i)
{
    return i >= 0 && i < pool->count && !pool->members[i]->lost ? pool->members[i]->device : NULL;
}

/* Devices that work together: the members of a pool, each with a thread on which everything that its device does for
 * the pool is done.
 *
 * A pool is used from one thread, the caller's. It gives a member a job and goes on; ssa_pool_next() hands back members
 * as their jobs end, or as they pass their deadline. Such a member is abandoned: its thread sits in a driver and may
 * come back any time, so nothing that it can reach is ever freed. Jobs therefore work on memory of their own, which
 * whoever gave the job is rid of by ssa_member_release(); and what they need of memory that outlives them (the program's
 * data) they touch between ssa_member_enter() and ssa_member_leave().
 *
 *   for (each m that is not lost)
 *       ssa_member_start(m, job, argument[m->number], ssa_pool_patience(pool, expected));
 *   while ((m = ssa_pool_next(pool, &status)))
 *       if (status)
 *           ssa_member_lose(m, SSA_POOL_LOST, ssa_last_error());   // then ssa_member_release() what it was given
 */
#ifndef SSA_POOL_INTERNAL_H
#define SSA_POOL_INTERNAL_H

#include "ssacl/pool.h"
#include "thread.h"

#include <stdbool.h>

/* Returns a status; the text of ssa_last_error() goes with it to the caller's thread. */
typedef int (*ssa_job)(void *argument);

#define SSA_POOL_FORKED "pool: it was made before fork(), which took its threads: make it in the child"

enum { SSA_MEMBER_KEEPS = 8, SSA_POOL_MOST = 64 };

struct ssa_member {
    struct ssa_pool *pool;
    int number;
    struct ssa_device *device; /* NULL: could not be opened */
    struct ssa_device_info info;
    bool lost;                 /* for good, */
    bool left_out;             /* or for as long as there is a model that does not fit it */
    bool abandoned;            /* lost by its deadline */
    bool behind;               /* its replica is of an earlier step: it rests (train/team/team.h) */
    char reason[256];
    int share;                 /* micro-batches of a step */
    double rate;               /* tokens/s */
    /* Its thread. Guarded by the pool's lock. */
    pthread_t thread;
    pthread_cond_t wake;
    int state; /* enum member_state of member.c */
    bool quit;
    ssa_job job;
    void *argument;
    int status;
    char error[1024];
    double started, deadline; /* of ssa_awake() */
    bool extended;            /* the deadline, since no other device was left */
    pthread_mutex_t sharing; /* held while a job touches what it must not touch once abandoned: time that does not
                                count, as it may wait there for the program. Guards these: */
    double entered, inside;  /* when it last began to, and for how long it did before, not yet added to the deadline */
    void *kept[SSA_MEMBER_KEEPS];
};

struct ssa_pool {
    struct ssa_pool_config config; /* defaults filled in */
    bool bare;                /* one device, whose jobs run on the caller's thread and whose failures are the caller's */
    struct ssa_member *members[SSA_POOL_MOST];
    int count;
    struct ssa_model *model;  /* the one that was made on it */
    int last_lost;            /* its number */
    int step;                 /* steps done, for events; the trainer sets it */
    const int *shares;        /* for tests: one a member instead of the measured ones, as long as they are a step and none
                                 joins */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned forks;           /* when it was made: see thread.h */
    bool abandoned;           /* some member was: this struct is never freed */
    struct ssa_pool *next;    /* of those */
};

/* ---- pool.c ---- */

/* ssa_pool_open() without devices, and a device more, which the pool takes over also when it fails. */
int ssa_pool_create(struct ssa_pool **pool, const struct ssa_pool_config *config);
int ssa_pool_add(struct ssa_pool *pool, struct ssa_device *device);
/* Of one device that stays the caller's, without a thread: for whoever works on a device as on a pool. */
int ssa_pool_create_bare(struct ssa_pool **pool, struct ssa_device *device);
/* The host backend as last resort. SSA_EDEVICE where it was a member already. */
int ssa_pool_join_host(struct ssa_pool *pool, struct ssa_member **member);
int ssa_pool_live(const struct ssa_pool *pool); /* members not lost */
/* Tells the program and the log. */
void ssa_pool_tell(struct ssa_member *m, enum ssa_pool_change change, int before, int after, const char *reason);
/* Takes a member out: SSA_POOL_LOST or SSA_POOL_LEFT_OUT. */
void ssa_member_lose(struct ssa_member *m, enum ssa_pool_change how, const char *reason);

/* ---- member.c ---- */

int ssa_member_create(struct ssa_pool *pool, struct ssa_member **member);
void ssa_member_destroy(struct ssa_member *m); /* waits for its thread, unless it was abandoned */
/* Gives the member, which must be idle, a job that has so many seconds; 0: for ever. */
void ssa_member_start(struct ssa_member *m, ssa_job job, void *argument, double seconds);
/* Waits until some job ends or passes its deadline: the member, its status, and the text in ssa_last_error(). NULL: no
 * job is under way. */
struct ssa_member *ssa_pool_next(struct ssa_pool *pool, int *status);
/* Has a job under way, for which somebody waits. Under the pool's lock. */
bool ssa_member_is_busy(const struct ssa_member *m);
/* One job, waited for. */
int ssa_member_do(struct ssa_member *m, ssa_job job, void *argument, double seconds);
/* One job on every member that is not lost, at once, each with `size` bytes of its own that prepare() fills. ended()
 * has them again; NULL: whoever fails is lost. */
struct ssa_round {
    ssa_job job;
    size_t size;
    double seconds;
    void (*prepare)(void *cookie, struct ssa_member *m, void *argument);
    void (*ended)(void *cookie, struct ssa_member *m, void *argument, int status);
    void *cookie;
};
int ssa_pool_all(struct ssa_pool *pool, const struct ssa_round *round);
/* Seconds to give a job that should take `expected`. */
double ssa_pool_patience(const struct ssa_pool *pool, double expected);
/* For one whose time is unknown: it may have kernels to build. */
double ssa_pool_first_patience(const struct ssa_pool *pool);

/* In a job, around its use of the program's memory, or its waiting for the program. SSA_EDEVICE: it was abandoned, and
 * must end. */
int ssa_member_enter(struct ssa_member *m);
void ssa_member_leave(struct ssa_member *m);
/* What a job of the member was given is wanted no more: `release` (free(), say) has it, or, where the member was
 * abandoned, its thread, which may still use it. NULL: there is nothing. */
void ssa_member_release(struct ssa_member *m, void *memory, void (*release)(void *memory));

#endif

/* Pools for tests: several host devices in one, which names do not allow; what happened to them, in words; and devices
 * that fail on purpose, without OpenCL. */
#ifndef SSA_TEST_POOLS_H
#define SSA_TEST_POOLS_H

#include "harness.h"
#include "pool/pool.h"

extern char pools_events[8192];
void pools_note(void *cookie, const struct ssa_pool_event *event); /* ssa_pool_config.changed: adds to them */
/* A pool of `count` host devices; events are forgotten, and noted from now on; it is watched. */
struct ssa_pool *pools_hosts(int count, const struct ssa_pool_config *config);

/* malloc() of so many bytes or more fails; 0: none does. */
extern size_t pools_no_room;

/* Calls of a device's backend, one by one. */
enum pools_call { POOLS_LAUNCH, POOLS_WRITE, POOLS_READ, POOLS_FILL, POOLS_COPY, POOLS_FINISH, POOLS_ALLOCATE, POOLS_CALLS };
extern const char *const pools_calls[POOLS_CALLS];
enum pools_fault {
    POOLS_NONE,
    POOLS_FAIL,   /* SSA_EDEVICE, from then on */
    POOLS_MEMORY, /* SSA_ENOMEM, once */
    POOLS_HANG,   /* once, until pools_release() */
    POOLS_STOP,   /* the process is stopped for eight minutes, once */
    POOLS_SLOW,   /* every twentieth from then on takes five seconds of the clock below */
    POOLS_NAN,    /* what is read is NaN, once */
    POOLS_WRONG   /* what is read is off by a hundredth, from then on */
};
struct pools_plan {
    enum pools_call call;
    enum pools_fault fault;
    int at; /* the n-th call of the kind, from 1 */
};
/* Puts a spy between a device and its backend (before it is used); the plan may change while the device is idle. */
void pools_spy(struct ssa_device *device);
void pools_plan(struct ssa_device *device, struct pools_plan plan); /* starts counting anew */
int pools_count(const struct ssa_device *device, enum pools_call call);

/* A clock that runs on at once where the pool that is watched waits for nothing but devices that are slow or hang: their
 * time passes without sleeping, and nobody else's however slow the machine is. */
void pools_set_clock(void);
void pools_watch(const struct ssa_pool *pool);
void pools_skip(double seconds);    /* as if the process had been stopped for so long */
void pools_hang(void);              /* what a device that hangs does, until pools_release() */
void pools_be_slow(double seconds); /* and one that is only slow, until then or for so long; only with this clock */
void pools_release(void);
/* Releases, and waits until the thread of a member that was given up has ended. Its pool may be closed by then. */
void pools_join(const struct ssa_member *member);

#endif

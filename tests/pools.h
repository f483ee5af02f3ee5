/* Pools for tests: several host devices in one, which names do not allow; what happened to them, in words; and devices
 * that fail on purpose, without OpenCL. */
#ifndef SSA_TEST_POOLS_H
#define SSA_TEST_POOLS_H

#include "harness.h"
#include "pool/pool.h"

extern char pools_events[8192];
void pools_note(void *cookie, const struct ssa_pool_event *event); /* ssa_pool_config.changed: adds to them */
/* A pool of `count` host devices; events are forgotten, and noted from now on. */
struct ssa_pool *pools_hosts(int count, const struct ssa_pool_config *config);

/* malloc() of so many bytes or more fails; 0: none does. */
extern _Atomic size_t pools_no_room;

/* Calls of a device's backend, one by one. */
enum pools_call { POOLS_LAUNCH, POOLS_WRITE, POOLS_READ, POOLS_FILL, POOLS_COPY, POOLS_FINISH, POOLS_ALLOCATE, POOLS_CALLS };
enum pools_fault {
    POOLS_NONE,
    /* once */
    POOLS_MEMORY, /* SSA_ENOMEM */
    POOLS_INVALID, /* SSA_EINVAL */
    POOLS_HANG,   /* until pools_release() */
    POOLS_STOP,   /* the process is stopped for eight minutes */
    POOLS_LATE,   /* takes `seconds` of the clock below */
    POOLS_NAN,    /* what is read is NaN */
    /* from then on */
    POOLS_FAIL,   /* SSA_EDEVICE */
    POOLS_SLOW,   /* each takes `seconds` */
    POOLS_NANS,   /* what is read is NaN */
    POOLS_WRONG   /* what is read is off by a hundredth */
};
struct pools_plan {
    enum pools_call call;
    enum pools_fault fault;
    int at; /* the n-th call of the kind, from 1, */
    const char *kernel; /* of launches of this kernel; NULL: of any */
    int reads; /* of those after so many reads */
    double seconds;
};
/* Puts a spy between a device and its backend (before it is used); the plan may change while the device is idle. */
void pools_spy(struct ssa_device *device);
void pools_plan(struct ssa_device *device, struct pools_plan plan); /* starts counting anew */
int pools_count(const struct ssa_device *device, enum pools_call call);
int pools_met(const struct ssa_device *device); /* calls that met the plan's fault */
float pools_read(const struct ssa_device *device); /* the first number of what was read last */

/* A clock that stands still, but for a millionth of a second a look at it, while anybody works, and runs on at once
 * where a pool waits for nothing but devices that are slow or hang: what a test says of time comes out however slow the
 * machine is, and nothing sleeps. */
void pools_set_clock(void);
void pools_skip(double seconds);    /* as if the process had been stopped for so long */
void pools_hang(void);              /* what a device that hangs does, until pools_release() */
void pools_be_slow(double seconds); /* and one that is only slow, until then or for so long; only with this clock */
void pools_release(void);
/* Waits until it holds, which is looked at after every look of others at the clock. */
void pools_await(bool (*holds)(const void *cookie), const void *cookie);
/* Releases, and waits until the threads of all members that were given up, of which there must be one, have ended.
 * Their pools may be closed by then. */
void pools_join(void);

#endif

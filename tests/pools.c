#include "pools.h"
#include "clock.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char pools_events[8192];
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;

void pools_note(void *cookie, const struct ssa_pool_event *e)
{
    static const char *const names[] = {"left_out", "share", "lost", "joined", "rollback"};
    (void)cookie;
    pthread_mutex_lock(&events_lock); /* ranks that are threads */
    size_t used = strlen(pools_events);
    snprintf(pools_events + used, sizeof pools_events - used, "%s %d@%d %d>%d (%s); ", names[e->change], e->member,
             e->step, e->before, e->after, e->reason);
    pthread_mutex_unlock(&events_lock);
}

struct ssa_pool *pools_hosts(int count, const struct ssa_pool_config *config)
{
    struct ssa_pool_config c = config ? *config : (struct ssa_pool_config){0};
    struct ssa_pool *pool;
    c.changed = pools_note;
    pthread_mutex_lock(&events_lock);
    *pools_events = 0;
    pthread_mutex_unlock(&events_lock);
    OK(ssa_pool_create(&pool, &c));
    for (int i = 0; i < count; i++) {
        struct ssa_device *device;
        OK(ssa_device_open(&device, "cpu"));
        OK(ssa_pool_add(pool, device));
    }
    return pool;
}

/* ---- memory ---- */

_Atomic size_t pools_no_room;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size); /* by the linker's --wrap */

void *__wrap_malloc(size_t size)
{
    return pools_no_room && size >= pools_no_room ? NULL : __real_malloc(size);
}

/* ---- time ---- */

/* A thread that is slow or hangs. */
struct sleeper {
    pthread_t thread;
    double until;
    struct sleeper *next;
};

/* A thread that waits for members of a pool to get ready. */
struct waiter {
    pthread_cond_t *condition;
    pthread_mutex_t *lock;  /* the pool's */
    int callers;            /* that are about to wake it: until they have, the pool must stay */
    pthread_cond_t called;
    struct waiter *next;
};

/* Guards what follows; a pool's lock is taken before it. */
static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t skip = PTHREAD_COND_INITIALIZER;
static struct sleeper *sleepers;
static struct waiter *waiters;
static double now;
static const double look = 1e-6; /* what a look at the clock takes, so that no work takes no time */
static unsigned long looks;
static pthread_cond_t looked = PTHREAD_COND_INITIALIZER;

/* Has whoever waits look anew at who sleeps and how late it is. Under the clock's lock, which is let go of in
 * between. */
static void wake_waiters(void)
{
    struct waiter *next;
    for (struct waiter *w = waiters; w; w = w->next)
        w->callers++;
    for (struct waiter *w = waiters; w; w = next) { /* who comes in meanwhile is put before these, and has looked */
        pthread_mutex_unlock(&clock_lock);
        pthread_mutex_lock(w->lock);
        pthread_cond_broadcast(w->condition);
        pthread_mutex_lock(&clock_lock);
        next = w->next;
        w->callers--;
        pthread_cond_broadcast(&w->called);
        pthread_mutex_unlock(w->lock);
    }
}

/* Under the clock's lock. */
static void sleep_until(double until)
{
    struct sleeper s = {pthread_self(), until, sleepers}, **at = &sleepers;
    sleepers = &s;
    wake_waiters();
    while (s.until > now)
        pthread_cond_wait(&skip, &clock_lock);
    while (*at != &s)
        at = &(*at)->next;
    *at = s.next;
}

void pools_hang(void)
{
    pthread_mutex_lock(&clock_lock);
    sleep_until(INFINITY);
    pthread_mutex_unlock(&clock_lock);
}

void pools_be_slow(double seconds)
{
    pthread_mutex_lock(&clock_lock);
    sleep_until(now + seconds);
    pthread_mutex_unlock(&clock_lock);
}

void pools_release(void)
{
    pthread_mutex_lock(&clock_lock);
    for (struct sleeper *s = sleepers; s; s = s->next)
        s->until = now;
    pthread_cond_broadcast(&skip);
    pthread_mutex_unlock(&clock_lock);
}

void pools_skip(double seconds)
{
    pthread_mutex_lock(&clock_lock);
    now += seconds;
    pthread_cond_broadcast(&skip);
    wake_waiters();
    pthread_mutex_unlock(&clock_lock);
}

/* How far the clock may run on: until the first that sleeps wakes; 0 while a member works, or none does anything. Under
 * the pool's lock and the clock's. */
static double idle_seconds(const struct ssa_pool *pool, double most)
{
    bool busy = false, working = false;
    for (int i = 0; i < pool->count; i++) {
        const struct ssa_member *m = pool->members[i];
        const struct sleeper *s = sleepers;
        if (!ssa_member_is_busy(m))
            continue;
        while (s && !(pthread_equal(s->thread, m->thread) && s->until > now))
            s = s->next;
        busy = true;
        working = working || !s;
    }
    for (const struct sleeper *s = sleepers; s; s = s->next)
        if (s->until > now && s->until - now < most)
            most = s->until - now;
    return busy && !working ? most : 0;
}

static double still_seconds(void)
{
    pthread_mutex_lock(&clock_lock);
    double time = now += look;
    looks++;
    pthread_cond_broadcast(&looked);
    pthread_cond_broadcast(&skip);
    pthread_mutex_unlock(&clock_lock);
    return time;
}

void pools_await(bool (*holds)(const void *cookie), const void *cookie)
{
    pthread_mutex_lock(&clock_lock);
    for (unsigned long seen = looks;; seen = looks) {
        pthread_mutex_unlock(&clock_lock);
        if (holds(cookie))
            return;
        pthread_mutex_lock(&clock_lock);
        while (looks == seen)
            pthread_cond_wait(&looked, &clock_lock);
    }
}

/* Under the pool's lock: no member ends its job before the wait begins, and none falls asleep unseen, since that takes
 * the lock once more. */
static void skipping_wait(pthread_cond_t *condition, pthread_mutex_t *lock, double seconds)
{
    struct waiter w = {.condition = condition, .lock = lock, .called = PTHREAD_COND_INITIALIZER}, **at = &waiters;
    const struct ssa_pool *pool = (const struct ssa_pool *)((char *)lock - offsetof(struct ssa_pool, lock));
    pthread_mutex_lock(&clock_lock);
    const double idle = idle_seconds(pool, seconds);
    if (idle > 0) {
        now += idle;
        pthread_cond_broadcast(&skip);
        pthread_mutex_unlock(&clock_lock);
        return;
    }
    w.next = waiters;
    waiters = &w;
    pthread_mutex_unlock(&clock_lock);
    pthread_cond_wait(condition, lock);
    pthread_mutex_lock(&clock_lock);
    while (w.callers) { /* they need the pool's lock */
        pthread_mutex_unlock(&clock_lock);
        pthread_cond_wait(&w.called, lock);
        pthread_mutex_lock(&clock_lock);
    }
    while (*at != &w)
        at = &(*at)->next;
    *at = w.next;
    pthread_mutex_unlock(&clock_lock);
    pthread_cond_destroy(&w.called);
}

void pools_set_clock(void)
{
    ssa_clock = (struct ssa_clock){still_seconds, skipping_wait};
}

/* ---- threads that were given up ---- */

/* The library detaches them; here they stay, to be joined. */
static pthread_t given_up[SSA_POOL_MOST];
static int given_up_count;
static pthread_mutex_t given_up_lock = PTHREAD_MUTEX_INITIALIZER;
int __wrap_pthread_detach(pthread_t thread); /* by the linker's --wrap */

int __wrap_pthread_detach(pthread_t thread)
{
    pthread_mutex_lock(&given_up_lock);
    ck_assert_int_lt(given_up_count, SSA_POOL_MOST);
    given_up[given_up_count++] = thread;
    pthread_mutex_unlock(&given_up_lock);
    return 0;
}

void pools_join(void)
{
    pools_release();
    pthread_mutex_lock(&given_up_lock);
    ck_assert_int_gt(given_up_count, 0);
    while (given_up_count)
        pthread_join(given_up[--given_up_count], NULL);
    pthread_mutex_unlock(&given_up_lock);
}

/* ---- spies ---- */

/* Never freed: a thread that was given up may come back, and count on. */
struct spy {
    struct ssa_backend table; /* first: a device's backend is its spy */
    const struct ssa_backend *real;
    struct pools_plan plan;
    atomic_int counts[POOLS_CALLS], passed, met; /* of the plan: calls that may meet the fault, and that did */
    _Atomic float read;
    struct spy *next;
};
static struct spy *_Atomic spies; /* for tools that look for memory that nothing leads to */

static struct spy *spy_of(const struct ssa_device *device)
{
    return (struct spy *)device->backend;
}

/* What this call meets, and that it is the how manyth of those that may. */
static enum pools_fault fault_of(struct spy *s, enum pools_call call, const char *kernel, int *n)
{
    const struct pools_plan *p = &s->plan;
    s->counts[call]++;
    if (p->fault == POOLS_NONE || p->call != call || s->counts[POOLS_READ] < p->reads ||
        (p->kernel && strcmp(p->kernel, kernel)))
        return POOLS_NONE;
    *n = ++s->passed;
    return (p->fault >= POOLS_FAIL ? *n < p->at : *n != p->at) ? POOLS_NONE : p->fault;
}

/* Whether this call meets its fault; errors and waits happen here. */
static enum pools_fault meet(struct spy *s, enum pools_call call, const char *kernel, int *err)
{
    static const char *const calls[POOLS_CALLS] = {"launch", "write", "read", "fill", "copy", "finish", "allocate"};
    int n = 0;
    enum pools_fault fault = fault_of(s, call, kernel, &n);
    *err = SSA_OK;
    s->met += fault != POOLS_NONE;
    if (fault == POOLS_HANG)
        pools_hang();
    if (fault == POOLS_STOP)
        pools_skip(480);
    if (fault == POOLS_SLOW || fault == POOLS_LATE)
        pools_be_slow(s->plan.seconds);
    if (fault == POOLS_FAIL)
        *err = ssa_fail(SSA_EDEVICE, "%s %d fails", calls[call], n);
    if (fault == POOLS_MEMORY)
        *err = ssa_fail(SSA_ENOMEM, "%s %d: no memory", calls[call], n);
    if (fault == POOLS_INVALID)
        *err = ssa_fail(SSA_EINVAL, "%s %d is wrong", calls[call], n);
    return fault;
}

#define MEET(call, kernel) \
    struct spy *s = spy_of(device); \
    int err; \
    enum pools_fault fault = meet(s, call, kernel, &err); \
    (void)fault; \
    if (err) \
        return err

static int spy_launch(struct ssa_device *device, const struct ssa_launch *l)
{
    MEET(POOLS_LAUNCH, l->kernel);
    return s->real->launch(device, l);
}

static int spy_write(struct ssa_device *device, struct ssa_tensor t, const void *from, size_t bytes)
{
    MEET(POOLS_WRITE, "");
    return s->real->write(device, t, from, bytes);
}

static int spy_read(struct ssa_device *device, struct ssa_tensor t, void *to, size_t bytes)
{
    MEET(POOLS_READ, "");
    float *values = to;
    err = s->real->read(device, t, to, bytes);
    for (size_t i = 0; i < bytes / sizeof *values && fault == POOLS_WRONG; i++)
        values[i] *= 1.01f;
    for (size_t i = 0; i < bytes / sizeof *values && (fault == POOLS_NAN || fault == POOLS_NANS); i++)
        values[i] = NAN;
    if (bytes >= sizeof *values)
        s->read = *values;
    return err;
}

static int spy_fill(struct ssa_device *device, struct ssa_tensor t, float value, size_t count)
{
    MEET(POOLS_FILL, "");
    return s->real->fill(device, t, value, count);
}

static int spy_copy(struct ssa_device *device, struct ssa_tensor to, struct ssa_tensor from, size_t bytes)
{
    MEET(POOLS_COPY, "");
    return s->real->copy(device, to, from, bytes);
}

static int spy_finish(struct ssa_device *device)
{
    MEET(POOLS_FINISH, "");
    return s->real->finish(device);
}

static int spy_allocate(struct ssa_device *device, struct ssa_buffer *b)
{
    MEET(POOLS_ALLOCATE, "");
    return s->real->allocate(device, b);
}

void pools_spy(struct ssa_device *device)
{
    struct spy *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    s->real = device->backend;
    s->table = *device->backend;
    s->table.launch = spy_launch;
    s->table.write = spy_write;
    s->table.read = spy_read;
    s->table.fill = spy_fill;
    s->table.copy = spy_copy;
    s->table.finish = spy_finish;
    s->table.allocate = spy_allocate;
    s->next = spies;
    while (!atomic_compare_exchange_weak(&spies, &s->next, s)) /* ranks that are threads */
        ;
    device->backend = &s->table;
}

void pools_plan(struct ssa_device *device, struct pools_plan plan)
{
    struct spy *s = spy_of(device);
    s->plan = plan;
    for (int i = 0; i < POOLS_CALLS; i++)
        s->counts[i] = 0;
    s->passed = s->met = 0;
}

int pools_count(const struct ssa_device *device, enum pools_call call)
{
    return spy_of(device)->counts[call];
}

int pools_met(const struct ssa_device *device)
{
    return spy_of(device)->met;
}

float pools_read(const struct ssa_device *device)
{
    return spy_of(device)->read;
}

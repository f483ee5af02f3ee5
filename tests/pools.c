#define _GNU_SOURCE /* gettid() */
#include "pools.h"
#include "clock.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

char pools_events[8192];
const char *const pools_calls[POOLS_CALLS] = {"launch", "write", "read", "fill", "copy", "finish", "allocate"};

void pools_note(void *cookie, const struct ssa_pool_event *e)
{
    static const char *const names[] = {"left_out", "share", "lost", "joined", "rollback"};
    size_t used = strlen(pools_events);
    (void)cookie;
    snprintf(pools_events + used, sizeof pools_events - used, "%s %d@%d %d>%d (%s); ", names[e->change], e->member,
             e->step, e->before, e->after, e->reason);
}

struct ssa_pool *pools_hosts(int count, const struct ssa_pool_config *config)
{
    struct ssa_pool_config c = config ? *config : (struct ssa_pool_config){0};
    struct ssa_pool *pool;
    c.changed = pools_note;
    *pools_events = 0;
    OK(ssa_pool_create(&pool, &c));
    pools_watch(pool);
    for (int i = 0; i < count; i++) {
        struct ssa_device *device;
        OK(ssa_device_open(&device, "cpu"));
        OK(ssa_pool_add(pool, device));
    }
    return pool;
}

/* ---- memory ---- */

size_t pools_no_room;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size); /* by the linker's --wrap */

void *__wrap_malloc(size_t size)
{
    return pools_no_room && size >= pools_no_room ? NULL : __real_malloc(size);
}

/* ---- time ---- */

/* A thread that is slow or hangs. Its time is that of `skipped`. */
struct sleeper {
    pthread_t thread;
    pid_t id;
    double until;
    struct sleeper *next;
};

static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t skip = PTHREAD_COND_INITIALIZER;
static struct sleeper *sleepers; /* guarded by sleep_lock, as is what follows */
static double skipped;

static void sleep_until(double until)
{
    struct sleeper s = {pthread_self(), gettid(), until, sleepers}, **at = &sleepers;
    sleepers = &s;
    while (s.until > skipped)
        pthread_cond_wait(&skip, &sleep_lock);
    while (*at != &s)
        at = &(*at)->next;
    *at = s.next;
}

void pools_hang(void)
{
    pthread_mutex_lock(&sleep_lock);
    sleep_until(INFINITY);
    pthread_mutex_unlock(&sleep_lock);
}

void pools_be_slow(double seconds)
{
    pthread_mutex_lock(&sleep_lock);
    sleep_until(skipped + seconds);
    pthread_mutex_unlock(&sleep_lock);
}

void pools_release(void)
{
    pthread_mutex_lock(&sleep_lock);
    for (struct sleeper *s = sleepers; s; s = s->next)
        s->until = skipped;
    pthread_cond_broadcast(&skip);
    pthread_mutex_unlock(&sleep_lock);
}

void pools_skip(double seconds)
{
    pthread_mutex_lock(&sleep_lock);
    skipped += seconds;
    pthread_cond_broadcast(&skip);
    pthread_mutex_unlock(&sleep_lock);
}

/* A thread's own: ranks that are threads have a pool each, and another's may be gone. */
static _Thread_local const struct ssa_pool *watched;
static _Thread_local pid_t threads[SSA_POOL_MOST]; /* of its members, those that slept */

void pools_watch(const struct ssa_pool *pool)
{
    watched = pool;
    memset(threads, 0, sizeof threads);
}

/* The thread is detached: the kernel knows when it has ended. */
void pools_join(const struct ssa_member *m)
{
    pools_release();
    ck_assert(m->abandoned && threads[m->number] > 0);
    while (!syscall(SYS_tgkill, getpid(), threads[m->number], 0))
        usleep(1000);
}

/* How far the clock may run on: until the first that sleeps wakes; 0 while a member works, or none does anything. Under
 * the pool's lock. */
static double idle_seconds(double most)
{
    bool busy = false, working = false;
    pthread_mutex_lock(&sleep_lock);
    for (int i = 0; watched && i < watched->count; i++) {
        const struct ssa_member *m = watched->members[i];
        const struct sleeper *s = sleepers;
        if (!ssa_member_is_busy(m))
            continue;
        while (s && !(pthread_equal(s->thread, m->thread) && s->until > skipped))
            s = s->next;
        busy = true;
        working = working || !s;
        threads[i] = s ? s->id : threads[i];
    }
    for (const struct sleeper *s = sleepers; s; s = s->next)
        if (s->until > skipped && s->until - skipped < most)
            most = s->until - skipped;
    pthread_mutex_unlock(&sleep_lock);
    return busy && !working ? most : 0;
}

static struct ssa_clock true_clock;

static double shifted_seconds(void)
{
    pthread_mutex_lock(&sleep_lock);
    double now = true_clock.seconds() + skipped;
    pthread_mutex_unlock(&sleep_lock);
    return now;
}

/* Under the pool's lock. Nobody says when a thread falls asleep: that is looked for. */
static void skipping_wait(pthread_cond_t *condition, pthread_mutex_t *lock, double seconds)
{
    const double look = 0.001, idle = idle_seconds(seconds);
    if (idle > 0)
        pools_skip(idle);
    else
        true_clock.wait(condition, lock, seconds < look ? seconds : look);
}

void pools_set_clock(void)
{
    if (ssa_clock.wait == skipping_wait)
        return;
    true_clock = ssa_clock;
    ssa_clock = (struct ssa_clock){shifted_seconds, skipping_wait};
}

/* ---- spies ---- */

/* Never freed: a thread that was given up may come back. */
static struct spy {
    struct ssa_backend table; /* first: a device's backend is its spy */
    const struct ssa_backend *real;
    struct pools_plan plan;
    int counts[POOLS_CALLS];
    struct spy *next;
} *spies;

static struct spy *spy_of(const struct ssa_device *device)
{
    return (struct spy *)device->backend;
}

/* Whether this call meets its fault; errors and waits happen here. */
static enum pools_fault meet(struct spy *s, enum pools_call call, int *err)
{
    const struct pools_plan *p = &s->plan;
    int n = ++s->counts[call];
    bool lasts = p->fault == POOLS_FAIL || p->fault == POOLS_WRONG || p->fault == POOLS_SLOW;
    *err = SSA_OK;
    if (p->fault == POOLS_NONE || p->call != call || (lasts ? n < p->at : n != p->at))
        return POOLS_NONE;
    if (p->fault == POOLS_HANG)
        pools_hang();
    if (p->fault == POOLS_STOP)
        pools_skip(480);
    if (p->fault == POOLS_SLOW && n % 20 == 0)
        pools_be_slow(5);
    if (p->fault == POOLS_FAIL)
        *err = ssa_fail(SSA_EDEVICE, "%s %d fails", pools_calls[call], n);
    if (p->fault == POOLS_MEMORY)
        *err = ssa_fail(SSA_ENOMEM, "%s %d: no memory", pools_calls[call], n);
    return p->fault;
}

#define MEET(call) \
    struct spy *s = spy_of(device); \
    int err; \
    enum pools_fault fault = meet(s, call, &err); \
    (void)fault; \
    if (err) \
        return err

static int spy_launch(struct ssa_device *device, const struct ssa_launch *l)
{
    MEET(POOLS_LAUNCH);
    return s->real->launch(device, l);
}

static int spy_write(struct ssa_device *device, struct ssa_tensor t, const void *from, size_t bytes)
{
    MEET(POOLS_WRITE);
    return s->real->write(device, t, from, bytes);
}

static int spy_read(struct ssa_device *device, struct ssa_tensor t, void *to, size_t bytes)
{
    MEET(POOLS_READ);
    err = s->real->read(device, t, to, bytes);
    for (size_t i = 0; i < bytes / sizeof(float) && fault == POOLS_WRONG; i++)
        ((float *)to)[i] *= 1.01f;
    for (size_t i = 0; i < bytes / sizeof(float) && fault == POOLS_NAN; i++)
        ((float *)to)[i] = NAN;
    return err;
}

static int spy_fill(struct ssa_device *device, struct ssa_tensor t, float value, size_t count)
{
    MEET(POOLS_FILL);
    return s->real->fill(device, t, value, count);
}

static int spy_copy(struct ssa_device *device, struct ssa_tensor to, struct ssa_tensor from, size_t bytes)
{
    MEET(POOLS_COPY);
    return s->real->copy(device, to, from, bytes);
}

static int spy_finish(struct ssa_device *device)
{
    MEET(POOLS_FINISH);
    return s->real->finish(device);
}

static int spy_allocate(struct ssa_device *device, struct ssa_buffer *b)
{
    MEET(POOLS_ALLOCATE);
    return s->real->allocate(device, b);
}

void pools_spy(struct ssa_device *device)
{
    struct spy *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    *s = (struct spy){.real = device->backend, .table = *device->backend, .next = spies};
    spies = s;
    s->table.launch = spy_launch;
    s->table.write = spy_write;
    s->table.read = spy_read;
    s->table.fill = spy_fill;
    s->table.copy = spy_copy;
    s->table.finish = spy_finish;
    s->table.allocate = spy_allocate;
    device->backend = &s->table;
}

void pools_plan(struct ssa_device *device, struct pools_plan plan)
{
    struct spy *s = spy_of(device);
    s->plan = plan;
    memset(s->counts, 0, sizeof s->counts);
}

int pools_count(const struct ssa_device *device, enum pools_call call)
{
    return spy_of(device)->counts[call];
}

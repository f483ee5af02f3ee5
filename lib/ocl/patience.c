/* Drivers take minutes to build kernels on some stacks, and most build part of them only when they first run. While one
 * is at it the log says so: nothing else would.
 *
 * Lab book. Seconds of two steps of a small model on a busy machine, all caches empty, by where the caller waits:
 *
 *                      clBuildProgram   clCreateKernel   reading the first results
 *   PoCL 3.1                     14                0                          29
 *   rusticl, llvmpipe             4                5                          69 */
#include "ocl.h"

#include "thread.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FIRST = 2, AGAIN = 10, SELDOM = 60 }; /* seconds until the first line, until the second, between two at most */

struct ocl_watch {
    struct ocl_device *device;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
    double start;
    char what[128];
};

/* People wait by the clock on the wall, not by ssa_clock, which tests set. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static pthread_mutex_t lines = PTHREAD_MUTEX_INITIALIZER; /* two threads may wait for one device */

/* When there may be one. */
static double next_line(const struct ocl_watch *w)
{
    pthread_mutex_lock(&lines);
    double next = w->device->patience.next, first = w->start + FIRST;
    pthread_mutex_unlock(&lines);
    return next > first ? next : first;
}

/* Over all that is waited for on a device the lines become fewer. */
static void tell(struct ocl_watch *w)
{
    struct ocl_patience *p = &w->device->patience;
    ssa_log(SSA_LOG_NOTE, "device %s: %s takes long: %.0f s so far", w->device->base.info.id, w->what,
            now() - w->start);
    pthread_mutex_lock(&lines);
    p->interval = p->interval < 1 ? AGAIN : 2 * p->interval < SELDOM ? 2 * p->interval : SELDOM;
    p->next = now() + p->interval;
    pthread_mutex_unlock(&lines);
}

static void *watch(void *cookie)
{
    struct ocl_watch *w = cookie;
    pthread_mutex_lock(&w->lock);
    while (!w->over) {
        double next = next_line(w);
        struct timespec until = {.tv_sec = (time_t)next, .tv_nsec = (long)((next - (double)(time_t)next) * 1e9)};
        pthread_cond_timedwait(&w->ended, &w->lock, &until);
        if (!w->over && now() >= next)
            tell(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals are the program's: no handler of its runs here. */
static bool start_quietly(struct ocl_watch *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = ssa_thread_start(&w->thread, watch, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void release(struct ocl_watch *w)
{
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct ocl_watch *ssa_ocl_watch(struct ocl_device *device, const char *format, ...)
{
    struct ocl_watch *w = calloc(1, sizeof *w);
    pthread_condattr_t clock;
    va_list args;
    if (!w)
        return NULL; /* nothing is said, then */
    w->device = device;
    w->start = now();
    va_start(args, format);
    vsnprintf(w->what, sizeof w->what, format, args);
    va_end(args);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->ended, &clock);
    pthread_condattr_destroy(&clock);
    if (start_quietly(w))
        return w;
    release(w);
    return NULL;
}

void ssa_ocl_watch_end(struct ocl_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    release(w);
}

struct ocl_watch *ssa_ocl_watch_first_run(struct ocl_device *device)
{
    int fresh = atomic_exchange(&device->patience.fresh, 0);
    return fresh ? ssa_ocl_watch(device, "the first run of %d kernel%s, which drivers may build only then,", fresh,
                                 fresh == 1 ? "" : "s")
                 : NULL;
}

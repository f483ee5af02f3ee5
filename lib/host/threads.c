#include "threads.h"

#include "thread.h"

#include <stdatomic.h>
#include <stdlib.h>

struct ssa_threads {
    pthread_mutex_t lock;
    pthread_cond_t start, finish;
    atomic_uint generation; /* of the current launch; workers watch it */
    atomic_int busy;        /* workers that have not finished it */
    atomic_int stop;
    /* the launch */
    atomic_size_t next;
    size_t count, grain;
    ssa_part run;
    const void *context;
    int workers;
    unsigned forks; /* when they were started: see ../thread.h */
    pthread_t threads[];
};

enum { SPARE_STACK = 32 << 10 }; /* for what is called around a kernel, and signal handlers */
enum { SPINS = 2000 }; /* some 20 us: launches of a step follow each other faster than a sleeping thread wakes */

static void work(struct ssa_threads *p)
{
    size_t first;
    while ((first = atomic_fetch_add(&p->next, p->grain)) < p->count)
        p->run(p->context, first, first + p->grain < p->count ? first + p->grain : p->count);
}

static void wait_for_launch(struct ssa_threads *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->generation) != seen || atomic_load(&p->stop))
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->generation) == seen && !atomic_load(&p->stop))
        pthread_cond_wait(&p->start, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void *worker(void *arg)
{
    struct ssa_threads *p = arg;
    unsigned seen = 0;
    for (;;) {
        wait_for_launch(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        seen = atomic_load(&p->generation);
        work(p);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->finish);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

/* All three, or none. */
static bool make_lock(struct ssa_threads *p)
{
    if (!ssa_lock_create(&p->lock, &p->start))
        return false;
    if (!pthread_cond_init(&p->finish, NULL))
        return true;
    ssa_lock_destroy(&p->lock, &p->start);
    return false;
}

static bool start_workers(struct ssa_threads *p, int count)
{
    atomic_store(&p->generation, 0);
    atomic_store(&p->stop, 0);
    p->forks = ssa_forks();
    for (p->workers = 0; p->workers < count; p->workers++)
        if (!ssa_thread_start(&p->threads[p->workers], worker, p))
            return false;
    return true;
}

struct ssa_threads *ssa_threads_create(int threads)
{
    int workers = threads > 1 ? threads - 1 : 0;
    struct ssa_threads *p = calloc(1, sizeof *p + (size_t)workers * sizeof p->threads[0]);
    if (p && !make_lock(p)) {
        free(p);
        return NULL;
    }
    if (p && !start_workers(p, workers)) {
        ssa_threads_destroy(p);
        p = NULL;
    }
    return p;
}

void ssa_threads_destroy(struct ssa_threads *p)
{
    if (!p)
        return;
    if (p->forks != ssa_forks()) { /* they are the parent's */
        free(p);
        return;
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, 1);
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->finish);
    ssa_lock_destroy(&p->lock, &p->start);
    free(p);
}

static void run_here(struct ssa_threads *p, size_t count, ssa_part run, const void *context)
{
    size_t parts = 16 * ((size_t)p->workers + 1); /* so that an unequal last part costs little */
    if (!p->workers || count < 2) {
        run(context, 0, count);
        return;
    }
    p->count = count;
    p->grain = count < 2 * parts ? 1 : count / parts;
    p->run = run;
    p->context = context;
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->workers);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->generation, 1);
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    work(p);
    for (int i = 0; i < SPINS && atomic_load(&p->busy); i++)
        ;
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->busy))
        pthread_cond_wait(&p->finish, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

struct stand_in {
    struct ssa_threads *threads;
    size_t count;
    ssa_part run;
    const void *context;
};

static void *run_for_caller(void *argument)
{
    struct stand_in *s = argument;
    run_here(s->threads, s->count, s->run, s->context);
    return NULL;
}

bool ssa_threads_run(struct ssa_threads *p, size_t count, size_t stack, ssa_part run, const void *context)
{
    struct stand_in s = {p, count, run, context};
    pthread_t thread;
    /* A child of fork() has none, and locks in any state. */
    if (p->forks != ssa_forks() && !(make_lock(p) && start_workers(p, p->workers)))
        return false;
    if (!stack || ssa_stack_left() >= stack + SPARE_STACK) {
        run_here(p, count, run, context);
        return true;
    }
    if (!ssa_thread_start(&thread, run_for_caller, &s))
        return false;
    pthread_join(thread, NULL);
    return true;
}

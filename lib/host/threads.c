#define _GNU_SOURCE
#include "threads.h"

#include "../impl.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct ssa_threads {
    pthread_mutex_t lock;
    pthread_cond_t start, finish;
    atomic_uint generation; /* of the current launch; workers watch it */
    atomic_int busy;        /* workers that have not finished it */
    atomic_int stop;
    /* the launch */
    atomic_size_t next;
    size_t count, grain;
    void (*run)(const void *, size_t, size_t);
    const void *context;
    int workers;
    pthread_t threads[];
};

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

struct ssa_threads *ssa_threads_create(int threads)
{
    int workers = threads > 1 ? threads - 1 : 0;
    struct ssa_threads *p = calloc(1, sizeof *p + (size_t)workers * sizeof p->threads[0]);
    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->start, NULL);
    pthread_cond_init(&p->finish, NULL);
    for (; p->workers < workers; p->workers++) {
        if (pthread_create(&p->threads[p->workers], NULL, worker, p)) {
            ssa_threads_destroy(p);
            return NULL;
        }
    }
    return p;
}

void ssa_threads_destroy(struct ssa_threads *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, 1);
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->finish);
    pthread_cond_destroy(&p->start);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int ssa_threads_default(void)
{
    const char *s = ssa_environment("SSACL_THREADS");
    int n = s ? atoi(s) : 0;
#if defined(__linux__)
    cpu_set_t set;
    if (n <= 0 && !sched_getaffinity(0, sizeof set, &set))
        n = CPU_COUNT(&set);
#endif
    if (n <= 0)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 1024 ? 1024 : n;
}

void ssa_threads_run(struct ssa_threads *p, size_t count, void (*run)(const void *, size_t, size_t), const void *context)
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

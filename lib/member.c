/* A member of a pool: a thread that does the jobs of one device, one at a time. */
#include "pool.h"
#include "impl.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum member_state { IDLE, BUSY, ENDED };

static void *work(void *argument)
{
    struct ssa_member *m = argument;
    pthread_mutex_t *lock = &m->pool->lock;
    pthread_mutex_lock(lock);
    while (!m->quit && !m->abandoned) {
        if (m->state != BUSY) {
            pthread_cond_wait(&m->wake, lock);
            continue;
        }
        ssa_job job = m->job;
        void *job_argument = m->argument;
        pthread_mutex_unlock(lock);
        int status = job(job_argument);
        pthread_mutex_lock(lock);
        if (m->abandoned)
            break;
        m->status = status;
        snprintf(m->error, sizeof m->error, "%s", status ? ssa_last_error() : "");
        m->state = ENDED;
        pthread_cond_broadcast(&m->pool->ended);
    }
    pthread_mutex_unlock(lock);
    return NULL;
}

int ssa_member_create(struct ssa_pool *pool, struct ssa_member **member)
{
    struct ssa_member *m = calloc(1, sizeof *m);
    *member = NULL;
    if (!m)
        return ssa_fail(SSA_ENOMEM, "pool: out of host memory");
    m->pool = pool;
    m->number = pool->count;
    pthread_cond_init(&m->wake, NULL);
    pthread_mutex_init(&m->sharing, NULL);
    if (pthread_create(&m->thread, NULL, work, m)) {
        pthread_cond_destroy(&m->wake);
        pthread_mutex_destroy(&m->sharing);
        free(m);
        return ssa_fail(SSA_ENOMEM, "pool: cannot start a thread");
    }
    pool->members[pool->count++] = m;
    *member = m;
    return SSA_OK;
}

void ssa_member_destroy(struct ssa_member *m)
{
    if (!m || m->abandoned)
        return;
    pthread_mutex_lock(&m->pool->lock);
    m->quit = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->pool->lock);
    pthread_join(m->thread, NULL);
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->sharing);
    free(m);
}

void ssa_member_start(struct ssa_member *m, ssa_job job, void *argument, double seconds)
{
    pthread_mutex_lock(&m->pool->lock);
    m->job = job;
    m->argument = argument;
    m->started = ssa_seconds();
    m->deadline = seconds > 0 ? m->started + seconds : INFINITY;
    m->state = BUSY;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->pool->lock);
}

/* The thread is left to itself. The lock of `sharing` says that no job of it is using the program's memory now. */
static int abandon(struct ssa_member *m, double now)
{
    pthread_mutex_lock(&m->sharing);
    m->abandoned = true;
    pthread_mutex_unlock(&m->sharing);
    m->pool->abandoned = true;
    pthread_detach(m->thread);
    return ssa_fail(SSA_EDEVICE, "silent for %.3g s; its thread and memory are given up", now - m->started);
}

/* Waits on `ended` until a time of ssa_seconds(). */
static void wait_until(struct ssa_pool *pool, double time)
{
    struct timespec t = {.tv_sec = (time_t)time, .tv_nsec = (long)((time - floor(time)) * 1e9)};
    if (isinf(time))
        pthread_cond_wait(&pool->ended, &pool->lock);
    else
        pthread_cond_timedwait(&pool->ended, &pool->lock, &t);
}

struct ssa_member *ssa_pool_next(struct ssa_pool *pool, int *status)
{
    struct ssa_member *found = NULL;
    bool busy = true;
    *status = SSA_OK;
    pthread_mutex_lock(&pool->lock);
    while (!found && busy) {
        double now = ssa_seconds(), first = INFINITY;
        busy = false;
        for (int i = 0; i < pool->count && !found; i++) {
            struct ssa_member *m = pool->members[i];
            if (m->abandoned)
                continue;
            if (m->state == ENDED) {
                found = m;
                m->state = IDLE;
                *status = m->status ? ssa_fail(m->status, "%s", m->error) : SSA_OK;
            } else if (m->state == BUSY && now >= m->deadline) {
                found = m;
                *status = abandon(m, now);
            } else if (m->state == BUSY) {
                busy = true;
                first = m->deadline < first ? m->deadline : first;
            }
        }
        if (!found && busy)
            wait_until(pool, first);
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

int ssa_member_do(struct ssa_member *m, ssa_job job, void *argument, double seconds)
{
    int status;
    ssa_member_start(m, job, argument, seconds);
    ssa_pool_next(m->pool, &status);
    return status;
}

int ssa_pool_all(struct ssa_pool *pool, const struct ssa_round *round)
{
    void *arguments[SSA_POOL_MOST] = {NULL};
    struct ssa_member *m;
    int status, err = SSA_OK;
    for (int i = 0; i < pool->count && !err; i++) {
        m = pool->members[i];
        if (m->lost)
            continue;
        arguments[i] = calloc(1, round->size);
        if (!arguments[i]) {
            err = ssa_fail(SSA_ENOMEM, "pool: out of host memory");
            break;
        }
        round->prepare(round->cookie, m, arguments[i]);
        ssa_member_start(m, round->job, arguments[i], round->seconds);
    }
    while ((m = ssa_pool_next(pool, &status))) {
        if (round->ended)
            round->ended(round->cookie, m, arguments[m->number], status);
        else if (status)
            ssa_member_lose(m, SSA_POOL_LOST, ssa_last_error());
        if (m->abandoned)
            ssa_member_keep(m, arguments[m->number]);
        else
            free(arguments[m->number]);
    }
    return err;
}

double ssa_pool_patience(const struct ssa_pool *pool, double expected)
{
    return pool->config.deadline > 0 ? pool->config.deadline + 4 * expected : 0;
}

double ssa_pool_first_patience(const struct ssa_pool *pool)
{
    return pool->config.deadline > 0 ? 10 * pool->config.deadline : 0;
}

int ssa_member_enter(struct ssa_member *m)
{
    pthread_mutex_lock(&m->sharing);
    if (!m->abandoned)
        return SSA_OK;
    pthread_mutex_unlock(&m->sharing);
    return ssa_fail(SSA_EDEVICE, "abandoned");
}

void ssa_member_leave(struct ssa_member *m)
{
    pthread_mutex_unlock(&m->sharing);
}

void ssa_member_keep(struct ssa_member *m, void *memory)
{
    int i = 0;
    while (i < SSA_MEMBER_KEEPS - 1 && m->kept[i])
        i++;
    m->kept[i] = memory;
}

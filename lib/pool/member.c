/* A member of a pool: a thread that does the jobs of one device, one at a time. */
#include "pool.h"
#include "clock.h"
#include "impl.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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
    const bool locked = ssa_lock_create(&m->sharing, &m->wake);
    if (!locked || (!pool->bare && !ssa_thread_start(&m->thread, work, m))) {
        if (locked)
            ssa_lock_destroy(&m->sharing, &m->wake);
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
    if (!m->pool->bare) {
        pthread_mutex_lock(&m->pool->lock);
        m->quit = true;
        pthread_cond_signal(&m->wake);
        pthread_mutex_unlock(&m->pool->lock);
        pthread_join(m->thread, NULL);
    }
    ssa_lock_destroy(&m->sharing, &m->wake);
    free(m);
}

/* In a child of fork() no member has a thread, and the lock may be held for ever: jobs end at once. */
static void end_forked(struct ssa_member *m)
{
    m->status = SSA_EDEVICE;
    snprintf(m->error, sizeof m->error, "%s", SSA_POOL_FORKED);
    m->state = ENDED;
}

/* Here, on the caller's thread. */
static void do_now(struct ssa_member *m, ssa_job job, void *argument)
{
    m->status = job(argument);
    snprintf(m->error, sizeof m->error, "%s", m->status ? ssa_last_error() : "");
    m->state = ENDED;
}

/* Where nobody has a thread. */
static struct ssa_member *next_ended(struct ssa_pool *pool, int *status)
{
    for (int i = 0; i < pool->count; i++) {
        struct ssa_member *m = pool->members[i];
        if (m->state != ENDED)
            continue;
        m->state = IDLE;
        *status = m->status ? ssa_fail(m->status, "%s", m->error) : SSA_OK;
        return m;
    }
    return NULL;
}

void ssa_member_start(struct ssa_member *m, ssa_job job, void *argument, double seconds)
{
    if (m->pool->bare) {
        do_now(m, job, argument);
        return;
    }
    if (m->pool->forks != ssa_forks()) {
        end_forked(m);
        return;
    }
    pthread_mutex_lock(&m->pool->lock);
    m->job = job;
    m->argument = argument;
    m->started = ssa_awake();
    m->deadline = seconds > 0 ? m->started + seconds : INFINITY;
    m->extended = false;
    m->inside = 0;
    m->state = BUSY;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->pool->lock);
}

bool ssa_member_is_busy(const struct ssa_member *m)
{
    return m->state == BUSY && !m->abandoned;
}

/* The thread is left to itself. */
static int abandon(struct ssa_member *m, double now)
{
    m->pool->abandoned = true;
    pthread_detach(m->thread);
    return ssa_fail(SSA_EDEVICE, "silent for %.3g s; its thread and memory are given up", now - m->started);
}

/* Nobody would do the work of the only device sooner, so it is not given up for being slow: it has ten times as long. The
 * host backend, which has no driver to hang in, has all the time there is. */
static bool extend(struct ssa_member *m)
{
    if (m->extended || ssa_pool_live(m->pool) > 1)
        return false;
    m->extended = true;
    ssa_log(SSA_LOG_WARNING, "pool: %s has been silent for %.3g s; it is the only device, and is waited for", m->info.id,
            m->deadline - m->started);
    m->deadline = m->info.kind == SSA_DEVICE_HOST ? INFINITY : m->started + 10 * (m->deadline - m->started);
    return true;
}

/* Past its deadline? The lock of `sharing` says that no job of it is using the program's memory, or waiting for the
 * program, now. */
static bool is_late(struct ssa_member *m, double now)
{
    if (now < m->deadline || pthread_mutex_trylock(&m->sharing))
        return false;
    m->deadline += m->inside;
    m->inside = 0;
    m->abandoned = now >= m->deadline && !extend(m);
    pthread_mutex_unlock(&m->sharing);
    return m->abandoned;
}

struct ssa_member *ssa_pool_next(struct ssa_pool *pool, int *status)
{
    struct ssa_member *found = NULL;
    bool busy = true;
    *status = SSA_OK;
    if (pool->bare || pool->forks != ssa_forks())
        return next_ended(pool, status);
    pthread_mutex_lock(&pool->lock);
    while (!found && busy) {
        double now = ssa_awake(), first = now + SSA_TICK;
        busy = false;
        for (int i = 0; i < pool->count && !found; i++) {
            struct ssa_member *m = pool->members[i];
            if (m->state == ENDED && !m->abandoned) {
                found = m;
                m->state = IDLE;
                *status = m->status ? ssa_fail(m->status, "%s", m->error) : SSA_OK;
            } else if (ssa_member_is_busy(m) && is_late(m, now)) {
                found = m;
                *status = abandon(m, now);
            } else if (ssa_member_is_busy(m)) {
                busy = true;
                first = m->deadline > now && m->deadline < first ? m->deadline : first;
            }
        }
        if (!found && busy)
            ssa_clock.wait(&pool->ended, &pool->lock, first - now);
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
        ssa_member_release(m, arguments[m->number], free);
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
    m->entered = ssa_awake();
    if (!m->abandoned)
        return SSA_OK;
    pthread_mutex_unlock(&m->sharing);
    return ssa_fail(SSA_EDEVICE, "abandoned");
}

void ssa_member_leave(struct ssa_member *m)
{
    m->inside += ssa_awake() - m->entered;
    pthread_mutex_unlock(&m->sharing);
}

void ssa_member_release(struct ssa_member *m, void *memory, void (*release)(void *memory))
{
    int i = 0;
    if (memory && !m->abandoned)
        release(memory);
    if (!memory || !m->abandoned)
        return;
    while (i < SSA_MEMBER_KEEPS - 1 && m->kept[i])
        i++;
    m->kept[i] = memory;
}

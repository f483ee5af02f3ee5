/* Plans drawn ahead. Two sets of plans: one that the caller is using, one that the thread is filling. */
#include "impl.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

enum set_state { SET_EMPTY, SET_WANTED, SET_DRAWN };

struct plan_set {
    uint64_t step;
    enum set_state state;
    struct ssa_plan *plans;
    int status;       /* of the draw, */
    char error[512];  /* and its text: the last error belongs to a thread */
};

struct ssa_plan_queue {
    int count;
    ssa_plan_settings settings;
    void *cookie;
    pthread_t thread;
    unsigned forks; /* when it was started: see thread.h */
    pthread_mutex_t lock; /* guards what follows; a wanted set belongs to the thread, the others to the caller */
    pthread_cond_t changed;
    struct plan_set sets[2];
    int current; /* the set the caller uses */
    bool quit, lock_made, thread_made;
};

static int draw_set(struct ssa_plan_queue *q, struct plan_set *set)
{
    for (int i = 0; i < q->count; i++) {
        struct ssa_sample how = {.step = set->step};
        int err = q->settings(q->cookie, set->step, i, &how);
        if (!err)
            err = ssa_plan_draw(&set->plans[i], &how);
        if (err)
            return err;
    }
    return SSA_OK;
}

static struct plan_set *wanted_set(struct ssa_plan_queue *q)
{
    for (int i = 0; i < 2; i++)
        if (q->sets[i].state == SET_WANTED)
            return &q->sets[i];
    return NULL;
}

static void *draw_ahead(void *argument)
{
    struct ssa_plan_queue *q = argument;
    pthread_mutex_lock(&q->lock);
    while (!q->quit) {
        struct plan_set *set = wanted_set(q);
        if (!set) {
            pthread_cond_wait(&q->changed, &q->lock);
            continue;
        }
        pthread_mutex_unlock(&q->lock);
        set->status = draw_set(q, set);
        snprintf(set->error, sizeof set->error, "%s", set->status ? ssa_last_error() : "");
        pthread_mutex_lock(&q->lock);
        set->state = SET_DRAWN;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static void want(struct ssa_plan_queue *q, struct plan_set *set, uint64_t step)
{
    set->step = step;
    set->state = SET_WANTED;
    pthread_cond_broadcast(&q->changed);
}

static void wait_for(struct ssa_plan_queue *q, const struct plan_set *set)
{
    while (set->state == SET_WANTED)
        pthread_cond_wait(&q->changed, &q->lock);
}

/* Makes the set of `step` the current one and has the step after it drawn into the other. */
static void turn_to(struct ssa_plan_queue *q, uint64_t step)
{
    struct plan_set *next = &q->sets[!q->current];
    wait_for(q, next);
    if (next->state == SET_EMPTY || next->step != step) {
        want(q, next, step);
        wait_for(q, next);
    }
    want(q, &q->sets[q->current], step + 1);
    q->current = !q->current;
}

const struct ssa_plan *ssa_plan_queue_take(struct ssa_plan_queue *q, uint64_t step, int index)
{
    struct plan_set *set;
    if (index < 0 || index >= q->count) {
        ssa_fail(SSA_EINVAL, "plan_queue: index is %d, must be in [0, %d)", index, q->count);
        return NULL;
    }
    if (q->forks != ssa_forks()) {
        ssa_fail(SSA_EINVAL, "plan_queue: it was made before fork(), which took its thread: make it in the child");
        return NULL;
    }
    pthread_mutex_lock(&q->lock);
    if (q->sets[q->current].state != SET_DRAWN || q->sets[q->current].step != step)
        turn_to(q, step);
    set = &q->sets[q->current];
    pthread_mutex_unlock(&q->lock);
    if (set->status) {
        ssa_fail(set->status, "step %llu: %s", (unsigned long long)step, set->error);
        return NULL;
    }
    return &set->plans[index];
}

int ssa_plan_queue_create(struct ssa_plan_queue **queue, int count, ssa_plan_settings settings, void *cookie)
{
    struct ssa_plan_queue *q = NULL;
    int err;
    REQUIRE(count > 0, "plan_queue: count is %d, must be positive", count);
    REQUIRE(settings, "plan_queue: settings is NULL");
    q = calloc(1, sizeof *q);
    if (!q)
        TRY(ssa_fail(SSA_ENOMEM, "plan_queue: out of host memory"));
    q->count = count;
    q->settings = settings;
    q->cookie = cookie;
    for (int i = 0; i < 2; i++)
        if (!(q->sets[i].plans = calloc((size_t)count, sizeof *q->sets[i].plans)))
            TRY(ssa_fail(SSA_ENOMEM, "plan_queue: out of host memory for %d plans", count));
    q->forks = ssa_forks();
    q->lock_made = ssa_lock_create(&q->lock, &q->changed);
    q->thread_made = q->lock_made && ssa_thread_start(&q->thread, draw_ahead, q);
    if (!q->thread_made)
        TRY(ssa_fail(SSA_ENOMEM, "plan_queue: cannot start a thread"));
    err = SSA_OK;
done:
    if (err) {
        ssa_plan_queue_destroy(q);
        q = NULL;
    }
    *queue = q;
    return err;
}

static void stop(struct ssa_plan_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->quit = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
}

void ssa_plan_queue_destroy(struct ssa_plan_queue *q)
{
    if (!q || q->forks != ssa_forks())
        return;
    if (q->thread_made)
        stop(q);
    if (q->lock_made)
        ssa_lock_destroy(&q->lock, &q->changed);
    for (int set = 0; set < 2; set++) {
        for (int i = 0; q->sets[set].plans && i < q->count; i++)
            ssa_plan_finish(&q->sets[set].plans[i]);
        free(q->sets[set].plans);
    }
    free(q);
}

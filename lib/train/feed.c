#include "feed.h"
#include "impl.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

enum slot_state { SLOT_EMPTY, SLOT_WANTED, SLOT_FILLING, SLOT_FILLED, SLOT_TAKEN };

struct slot {
    enum slot_state state;
    struct ssa_feed_key key;
    int waiting;      /* so many wait for it */
    uint64_t age;     /* since when it is wanted */
    struct ssa_batch batch;
    struct ssa_feed_plans plans;
    int status;       /* of filling it, */
    char error[1024]; /* and its text: the last error belongs to a thread */
};

struct ssa_feed {
    struct ssa_feed_config config;
    pthread_t thread;
    unsigned forks;       /* when it was started: see thread.h */
    pthread_mutex_t lock; /* guards what follows; the batch of a slot that is filling is the thread's, of one that is
                             taken the taker's */
    pthread_cond_t changed;
    struct slot *slots;
    int slot_count;
    uint64_t wants;       /* so far */
    bool quit, lock_made, thread_made;
};

/* ---- slots, under the lock ---- */

/* The one that has this batch, or will have it. */
static struct slot *find(const struct ssa_feed *f, struct ssa_feed_key key)
{
    for (int i = 0; i < f->slot_count; i++) {
        struct slot *s = &f->slots[i];
        if (s->state != SLOT_EMPTY && s->state != SLOT_TAKEN && s->key.step == key.step && s->key.number == key.number)
            return s;
    }
    return NULL;
}

/* An empty slot, or the oldest that nobody waits for. There is one: a taker has one at most, the thread another, and
 * there are more than that. */
static struct slot *claim(struct ssa_feed *f, struct ssa_feed_key key)
{
    struct slot *best = NULL;
    for (int i = 0; i < f->slot_count; i++) {
        struct slot *s = &f->slots[i];
        bool idle = s->state == SLOT_WANTED || s->state == SLOT_FILLED;
        if (s->state == SLOT_EMPTY)
            best = s;
        else if (idle && !s->waiting && (!best || (best->state != SLOT_EMPTY && s->age < best->age)))
            best = s;
    }
    best->state = SLOT_WANTED;
    best->key = key;
    best->age = f->wants++;
    pthread_cond_broadcast(&f->changed);
    return best;
}

/* What to fill next: what somebody waits for, then what has been wanted for longest. */
static struct slot *next_wanted(const struct ssa_feed *f)
{
    struct slot *best = NULL;
    for (int i = 0; i < f->slot_count; i++) {
        struct slot *s = &f->slots[i];
        if (s->state != SLOT_WANTED)
            continue;
        bool more = best && (s->waiting > 0) != (best->waiting > 0);
        if (!best || (more ? s->waiting > 0 : s->age < best->age))
            best = s;
    }
    return best;
}

/* ---- plans ---- */

int ssa_feed_plans_create(struct ssa_feed_plans *p, int layers)
{
    *p = (struct ssa_feed_plans){.count = layers};
    if (!layers)
        return SSA_OK;
    p->plans = calloc((size_t)layers, sizeof *p->plans);
    p->given = calloc((size_t)layers, sizeof *p->given);
    return p->plans && p->given ? SSA_OK : ssa_fail(SSA_ENOMEM, "data: out of host memory for %d plans", layers);
}

void ssa_feed_plans_finish(struct ssa_feed_plans *p)
{
    for (int l = 0; p->plans && l < p->count; l++)
        ssa_plan_finish(&p->plans[l]);
    free(p->plans);
    free(p->given);
    *p = (struct ssa_feed_plans){.count = 0};
}

static int draw_plans(const struct ssa_feed *f, struct ssa_feed_key key, const struct ssa_batch *batch,
                      struct ssa_feed_plans *p)
{
    int err = SSA_OK;
    for (int l = 0; l < p->count; l++) {
        struct ssa_sample how = {.kind = SSA_DENSE};
        TRY(f->config.sample(f->config.cookie, key, l, &how));
        p->given[l] = how.kind == SSA_DENSE ? NULL : &p->plans[l];
        how.length = batch->length;
        how.lengths = batch->lengths;
        if (p->given[l])
            TRY(ssa_plan_draw(&p->plans[l], &how));
    }
done:
    return err;
}

/* ---- the thread ---- */

static int fill(const struct ssa_feed *f, struct slot *s)
{
    int err;
    s->batch.length = f->config.layout.length;
    TRY(f->config.fill(f->config.cookie, s->key, &s->batch));
    TRY(draw_plans(f, s->key, &s->batch, &s->plans));
done:
    return err;
}

static void *fill_ahead(void *argument)
{
    struct ssa_feed *f = argument;
    pthread_mutex_lock(&f->lock);
    while (!f->quit) {
        struct slot *s = next_wanted(f);
        if (!s) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        s->state = SLOT_FILLING;
        pthread_mutex_unlock(&f->lock);
        s->status = fill(f, s);
        snprintf(s->error, sizeof s->error, "%s", s->status ? ssa_last_error() : "");
        pthread_mutex_lock(&f->lock);
        s->state = s->status && !s->waiting ? SLOT_EMPTY : SLOT_FILLED; /* who comes to take it may have more luck */
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- takers ---- */

void ssa_feed_want(struct ssa_feed *f, struct ssa_feed_key key)
{
    if (f->forks != ssa_forks()) /* taking says so */
        return;
    pthread_mutex_lock(&f->lock);
    if (!find(f, key))
        claim(f, key);
    pthread_mutex_unlock(&f->lock);
}

/* Waits until there is a filled slot of this key, and takes it. */
static struct slot *await(struct ssa_feed *f, struct ssa_feed_key key)
{
    struct slot *s;
    pthread_mutex_lock(&f->lock);
    for (;;) {
        s = find(f, key);
        s = s ? s : claim(f, key);
        if (s->state == SLOT_FILLED)
            break;
        s->waiting++;
        pthread_cond_wait(&f->changed, &f->lock);
        s->waiting--;
    }
    s->state = SLOT_TAKEN;
    pthread_mutex_unlock(&f->lock);
    return s;
}

int ssa_feed_take(struct ssa_feed *f, struct ssa_feed_key key, struct ssa_batch *to, struct ssa_feed_plans *plans)
{
    const struct ssa_feed_plans before = *plans;
    int err = SSA_OK;
    if (f->forks != ssa_forks())
        return ssa_fail(SSA_EINVAL, "data: its thread was lost by fork(): make the trainer in the child");
    struct slot *s = await(f, key);
    if (s->status) {
        err = ssa_fail(s->status, "%s", s->error);
    } else {
        ssa_batch_copy(to, &s->batch, &f->config.layout, f->config.count);
        *plans = s->plans;
        s->plans = before;
    }
    pthread_mutex_lock(&f->lock);
    s->state = SLOT_EMPTY;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return err;
}

/* ---- create and destroy ---- */

static int make_slots(struct ssa_feed *f)
{
    const int count = f->config.takers * (1 + SSA_FEED_AHEAD);
    int err = SSA_OK;
    f->slots = calloc((size_t)count, sizeof *f->slots);
    if (!f->slots)
        return ssa_fail(SSA_ENOMEM, "data: out of host memory");
    while (f->slot_count < count) {
        struct slot *s = &f->slots[f->slot_count++];
        TRY(ssa_batch_create(&s->batch, &f->config.layout, f->config.count));
        TRY(ssa_feed_plans_create(&s->plans, f->config.layers));
    }
done:
    return err;
}

int ssa_feed_create(struct ssa_feed **feed, const struct ssa_feed_config *config)
{
    struct ssa_feed *f = calloc(1, sizeof *f);
    int err;
    if (!f)
        TRY(ssa_fail(SSA_ENOMEM, "data: out of host memory"));
    f->config = *config;
    f->forks = ssa_forks();
    TRY(make_slots(f));
    f->lock_made = ssa_lock_create(&f->lock, &f->changed);
    f->thread_made = f->lock_made && ssa_thread_start(&f->thread, fill_ahead, f);
    if (!f->thread_made)
        TRY(ssa_fail(SSA_ENOMEM, "data: cannot start a thread"));
done:
    if (err) {
        ssa_feed_destroy(f);
        f = NULL;
    }
    *feed = f;
    return err;
}

void ssa_feed_stop(struct ssa_feed *f)
{
    if (!f->thread_made || f->forks != ssa_forks())
        return;
    pthread_mutex_lock(&f->lock);
    f->quit = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    f->thread_made = false;
}

void ssa_feed_destroy(struct ssa_feed *f)
{
    if (!f || f->forks != ssa_forks())
        return;
    ssa_feed_stop(f);
    if (f->lock_made)
        ssa_lock_destroy(&f->lock, &f->changed);
    for (int i = 0; i < f->slot_count; i++) {
        ssa_batch_finish(&f->slots[i].batch);
        ssa_feed_plans_finish(&f->slots[i].plans);
    }
    free(f->slots);
    free(f);
}

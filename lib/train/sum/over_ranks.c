#include "over_ranks.h"
#include "impl.h"
#include "net/net.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 512 };

struct bucket {
    struct ssa_bucket b;
    struct ssa_tickets tickets;
};

struct ssa_over_ranks {
    struct ssa_ranks *ranks;
    int micros, first, end; /* of a step, and this rank's */
    struct ssa_device *device; /* of the step at hand */
    bool alike;     /* all devices compute the same bits, */
    char identity[SSA_IDENTITY]; /* this one as it was when that was found out; another may take its place */
    bool deserted;
    int count;
    struct bucket *buckets;
    size_t size;    /* elements of all buckets */
    float *sum;     /* of the rank's own, then of all, in the host's order (net.h); room for parameters, too */
    float *early;   /* the same, of the run's sums but the last, where there are some */
    float *values;  /* what is added up over ranks: `sum`, or what several devices made */
    int early_count;
    float *scalars; /* of the step: a loss a micro-batch, "stop", "not alike any more", and of each rank whether it
                       failed */

    /* Bucket by bucket from the caller to the thread and back; `count` is the scalars. Without a thread the caller does
     * the thread's work when it comes to wait. */
    bool threaded, quit, lock_made, changed_made;
    pthread_t thread;
    unsigned forks; /* when it was started: see thread.h */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int offered, done;
    int status;       /* of this rank's device, */
    bool broken;      /* or of the engine, for good: nothing can be agreed any more */
    char error[TEXT]; /* their text */
};

/* ---- the thread's work ---- */

static void note_failure(struct ssa_over_ranks *o, int status, bool broken)
{
    pthread_mutex_lock(&o->lock);
    if (!o->status)
        snprintf(o->error, sizeof o->error, "%s", ssa_last_error());
    o->status = o->status ? o->status : status;
    o->broken = o->broken || broken;
    pthread_mutex_unlock(&o->lock);
}

static int failure(struct ssa_over_ranks *o)
{
    pthread_mutex_lock(&o->lock);
    int status = o->status;
    pthread_mutex_unlock(&o->lock);
    return status;
}

static bool is_broken(struct ssa_over_ranks *o)
{
    pthread_mutex_lock(&o->lock);
    bool broken = o->broken;
    pthread_mutex_unlock(&o->lock);
    return broken;
}

static size_t scalar_count(const struct ssa_over_ranks *o)
{
    return (size_t)o->micros + 2 + (size_t)o->ranks->count;
}

static void sum_up(struct ssa_over_ranks *o, float *values, size_t count)
{
    int err = is_broken(o) ? SSA_OK : o->ranks->all_reduce(o->ranks, values, count);
    if (err)
        note_failure(o, err, true);
}

static void work_on(struct ssa_over_ranks *o, int i)
{
    if (i == o->count) {
        o->scalars[o->micros + 2 + o->ranks->rank] = failure(o) != SSA_OK;
        sum_up(o, o->scalars, scalar_count(o));
        return;
    }
    struct bucket *k = &o->buckets[i];
    float *values = o->values + k->b.first;
    const int err = ssa_tickets_await(&k->tickets, o->device);
    if (err)
        note_failure(o, err, false);
    for (size_t e = 0; o->early_count && e < k->b.count; e++)
        values[e] = o->early[k->b.first + e] + values[e];
    sum_up(o, values, k->b.count);
}

static void *thread(void *argument)
{
    struct ssa_over_ranks *o = argument;
    pthread_mutex_lock(&o->lock);
    while (!o->quit) {
        if (o->done == o->offered) {
            pthread_cond_wait(&o->changed, &o->lock);
            continue;
        }
        int i = o->done;
        pthread_mutex_unlock(&o->lock);
        work_on(o, i);
        pthread_mutex_lock(&o->lock);
        o->done++;
        pthread_cond_broadcast(&o->changed);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- the caller's ---- */

static void offer(struct ssa_over_ranks *o)
{
    pthread_mutex_lock(&o->lock);
    o->offered++;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

static void wait_for(struct ssa_over_ranks *o, int i)
{
    if (!o->threaded) {
        while (o->done <= i)
            work_on(o, o->done++);
        return;
    }
    pthread_mutex_lock(&o->lock);
    while (o->done <= i)
        pthread_cond_wait(&o->changed, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

/* A sum of the run that is not its last: it waits on the host. */
static int take_sum(void *cookie, struct ssa_trainer *t, struct ssa_node node)
{
    struct ssa_over_ranks *o = cookie;
    float *to = o->early_count ? o->sum : o->early;
    int err;
    (void)node;
    TRY(ssa_arena_read(ssa_model_gradients(t->model), 0, o->size, to));
    for (size_t e = 0; o->early_count && e < o->size; e++)
        o->early[e] += to[e];
    o->early_count++;
done:
    return err;
}

static int take_bucket(void *cookie, struct ssa_trainer *t, int bucket)
{
    struct ssa_over_ranks *o = cookie;
    struct bucket *k = &o->buckets[bucket];
    int err;
    TRY(ssa_arena_fetch(ssa_model_gradients(t->model), k->b.first, k->b.count, o->sum + k->b.first, &k->tickets));
    offer(o);
done:
    return err;
}

int ssa_over_ranks_begin(struct ssa_trainer *front, struct ssa_trainer *t)
{
    struct ssa_over_ranks *o = front->over_ranks;
    char identity[SSA_IDENTITY];
    int err = SSA_OK;
    if (is_broken(o))
        return ssa_fail(o->status, "%s", o->error);
    ssa_ranks_identify(t, identity);
    if (!front->agreed) {
        TRY(ssa_ranks_agree(front, t, &o->alike));
        memcpy(o->identity, identity, sizeof identity);
    }
    front->agreed = true;
    o->device = t ? t->device : NULL;
    o->values = o->sum;
    o->early_count = 0;
    pthread_mutex_lock(&o->lock);
    o->offered = o->done = 0;
    o->status = SSA_OK;
    pthread_mutex_unlock(&o->lock);
    memset(o->scalars, 0, scalar_count(o) * sizeof *o->scalars);
    o->scalars[o->micros + 1] = memcmp(o->identity, identity, sizeof identity) != 0;
done:
    return err;
}

int ssa_over_ranks_compute(struct ssa_over_ranks *o, struct ssa_trainer *t)
{
    int err;
    TRY(ssa_trainer_gradients_in_buckets(t, o->first, o->end, take_sum, take_bucket, o));
    TRY(ssa_tensor_read(ssa_tensor_at(t->scalars, ssa_trainer_loss_at(t, t->step, o->first)), o->scalars + o->first,
                        (size_t)(o->end - o->first)));
done:
    if (err)
        note_failure(o, err, false);
    return err;
}

void ssa_over_ranks_fail(struct ssa_over_ranks *o, int status)
{
    note_failure(o, status, false);
}

int ssa_over_ranks_take(struct ssa_over_ranks *o, struct ssa_trainer *t)
{
    int err = SSA_OK;
    for (int i = 0; i < o->count; i++) {
        const struct ssa_bucket b = o->buckets[i].b;
        wait_for(o, i);
        TRY(ssa_arena_write(ssa_model_gradients(t->model), b.first, b.count, o->sum + b.first));
    }
done:
    if (err)
        note_failure(o, err, false);
    return err;
}

void ssa_over_ranks_offer(struct ssa_over_ranks *o, float *sums, const float *losses)
{
    memcpy(o->scalars + o->first, losses + o->first, (size_t)(o->end - o->first) * sizeof *losses);
    o->values = sums;
    for (int i = 0; i < o->count; i++)
        offer(o);
}

/* The same error on every rank: that of the lowest that failed. */
static int share_failure(struct ssa_over_ranks *o)
{
    const float *failed = o->scalars + o->micros + 2;
    int rank = 0;
    char text[TEXT];
    while (rank < o->ranks->count && failed[rank] == 0)
        rank++;
    if (rank == o->ranks->count)
        return SSA_OK;
    memcpy(text, o->error, sizeof text);
    int err = o->ranks->broadcast(o->ranks, text, sizeof text, rank);
    if (err)
        return err;
    o->ranks->together = 1;
    return ssa_fail(SSA_EDEVICE, "train: rank %d failed: %.*s", rank, TEXT - 1, text);
}

int ssa_over_ranks_finish(struct ssa_over_ranks *o, struct ssa_trainer *front, const float **losses)
{
    int err;
    o->scalars[o->micros] = (front->stop && *front->stop) || front->out_of_patience;
    while (o->offered <= o->count) /* the scalars; more after a failure */
        offer(o);
    wait_for(o, o->count);
    *losses = o->scalars;
    if (is_broken(o))
        return ssa_fail(o->status, "%s", o->error);
    TRY(share_failure(o));
    front->stop_agreed = o->scalars[o->micros] != 0;
    o->alike = o->alike && o->scalars[o->micros + 1] == 0;
done:
    return err;
}

void ssa_over_ranks_desert(struct ssa_over_ranks *o, bool computing)
{
    o->deserted = true;
    if (computing)
        note_failure(o, SSA_EDEVICE, true);
}

bool ssa_over_ranks_alike(const struct ssa_over_ranks *o)
{
    return o->alike;
}

int ssa_over_ranks_share_parameters(struct ssa_over_ranks *o, struct ssa_trainer *t)
{
    float lost = !t;
    int err = SSA_OK;
    if (o->alike)
        return SSA_OK;
    TRY(o->ranks->all_reduce(o->ranks, &lost, 1));
    if (lost > 0)
        return SSA_OK;
    if (!o->ranks->rank)
        TRY(ssa_arena_read(ssa_model_values(t->model), 0, o->size, o->sum));
    TRY(o->ranks->broadcast(o->ranks, o->sum, o->size * sizeof *o->sum, 0));
    if (o->ranks->rank)
        TRY(ssa_arena_write(ssa_model_values(t->model), 0, o->size, o->sum));
done:
    return err;
}

int ssa_over_ranks_step(struct ssa_trainer *t)
{
    struct ssa_over_ranks *o = t->over_ranks;
    const float *losses;
    int err;
    TRY(ssa_over_ranks_begin(t, t));
    if (ssa_over_ranks_compute(o, t) == SSA_OK)
        ssa_over_ranks_take(o, t);
    TRY(ssa_over_ranks_finish(o, t, &losses));
    TRY(ssa_tensor_write(ssa_tensor_at(t->scalars, ssa_trainer_loss_at(t, t->step, 0)), losses, (size_t)o->micros));
    TRY(ssa_trainer_update(t));
    TRY(ssa_over_ranks_share_parameters(o, t));
done:
    return err;
}

/* ---- create and destroy ---- */

static int make_buckets(struct ssa_over_ranks *o, const struct ssa_model *model)
{
    const bool several = o->end - o->first > 1;
    o->count = ssa_model_bucket_count(model);
    o->size = ssa_arena_elements(ssa_model_values(model));
    o->buckets = calloc((size_t)o->count, sizeof *o->buckets);
    for (int i = 0; o->buckets && i < o->count; i++)
        o->buckets[i].b = ssa_model_bucket(model, i);
    o->sum = malloc(o->size * sizeof *o->sum);
    o->early = several ? malloc(o->size * sizeof *o->early) : NULL;
    o->scalars = malloc(scalar_count(o) * sizeof *o->scalars);
    return o->buckets && o->sum && (o->early || !several) && o->scalars
        ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory for the sums over ranks");
}

/* $SSACL_OVERLAP=0: sums wait for the end of backward, to compare. */
static int start_thread(struct ssa_over_ranks *o)
{
    const char *overlap = ssa_environment("SSACL_OVERLAP");
    o->forks = ssa_forks();
    o->lock_made = !pthread_mutex_init(&o->lock, NULL);
    o->changed_made = !pthread_cond_init(&o->changed, NULL);
    bool made = o->lock_made && o->changed_made;
    if (made && !(overlap && !strcmp(overlap, "0")))
        made = o->threaded = ssa_thread_start(&o->thread, thread, o);
    return made ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: cannot start a thread");
}

int ssa_over_ranks_create(struct ssa_trainer *front, const struct ssa_model *model)
{
    struct ssa_ranks *ranks = front->config.ranks;
    struct ssa_over_ranks *o = calloc(1, sizeof *o);
    int err;
    if (!o)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    front->over_ranks = o;
    o->ranks = ranks;
    o->micros = front->micros;
    o->first = ssa_rank_first(ranks, ranks->rank, front->micros);
    o->end = ssa_rank_first(ranks, ranks->rank + 1, front->micros);
    TRY(make_buckets(o, model));
    TRY(start_thread(o));
done:
    return err;
}

void ssa_over_ranks_destroy(struct ssa_over_ranks *o)
{
    if (!o || o->deserted || o->forks != ssa_forks())
        return;
    if (o->threaded) {
        pthread_mutex_lock(&o->lock);
        o->quit = true;
        pthread_cond_broadcast(&o->changed);
        pthread_mutex_unlock(&o->lock);
        pthread_join(o->thread, NULL);
    }
    if (o->changed_made)
        pthread_cond_destroy(&o->changed);
    if (o->lock_made)
        pthread_mutex_destroy(&o->lock);
    for (int i = 0; o->buckets && i < o->count; i++)
        ssa_tickets_finish(&o->buckets[i].tickets);
    free(o->buckets);
    free(o->sum);
    free(o->early);
    free(o->scalars);
    free(o);
}

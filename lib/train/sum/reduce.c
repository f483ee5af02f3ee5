#include "reduce.h"
#include "train/team/team.h"
#include "impl.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 512 };

struct ssa_reduce {
    struct ssa_ranks *ranks;     /* NULL: of this process alone */
    const struct ssa_team *team; /* whose sums are read while nothing is held */
    int micros, first, end;      /* of a step, and this rank's */
    bool same_bits;              /* devices of all ranks compute the same bits, */
    char identity[SSA_IDENTITY]; /* this one as it was when that was found out; another may take its place */
    int count;                   /* buckets; one more "bucket" is the scalars */
    struct ssa_bucket *buckets;
    size_t size;                 /* elements of all buckets */
    float *sum;                  /* of all workers and ranks, in host order; room for parameters, too. NULL: before the
                                    first step, and where it was left to a thread that was given up */
    struct ssa_gradients *sums;  /* of all workers: room for one a micro-batch */
    float *scalars; /* of the step: a loss a micro-batch, "stop", "no more the same bits", and of each rank whether it
                       failed */
    bool threaded, lock_made;
    pthread_t thread;
    unsigned forks;              /* when it was started: see thread.h */
    pthread_mutex_t lock;        /* guards what follows */
    pthread_cond_t changed;
    bool quit;
    bool expected[SSA_POOL_MOST];
    int arrived[SSA_POOL_MOST];  /* buckets of each worker */
    int workers;                 /* expected */
    bool held, closed, ends;     /* see reduce.h; ends: the scalars are there, too */
    bool working;                /* on bucket `done` */
    int done;                    /* buckets that are summed */
    int status;                  /* of this rank's devices, */
    bool broken;                 /* or of the engine, for good: nothing can be agreed any more */
    char error[TEXT];            /* their text */
};

/* ---- what is noted ---- */

static void note_failure(struct ssa_reduce *r, int status, bool broken)
{
    pthread_mutex_lock(&r->lock);
    if (!r->status)
        snprintf(r->error, sizeof r->error, "%s", ssa_last_error());
    r->status = r->status ? r->status : status;
    r->broken = r->broken || broken;
    pthread_mutex_unlock(&r->lock);
}

static int failure(struct ssa_reduce *r)
{
    pthread_mutex_lock(&r->lock);
    int status = r->status;
    pthread_mutex_unlock(&r->lock);
    return status;
}

static bool is_broken(struct ssa_reduce *r)
{
    pthread_mutex_lock(&r->lock);
    bool broken = r->broken;
    pthread_mutex_unlock(&r->lock);
    return broken;
}

static size_t scalar_count(const struct ssa_reduce *r)
{
    return (size_t)r->micros + 2 + (size_t)r->ranks->count;
}

/* ---- making sums ---- */

/* Under the lock: whether the next bucket's sum can be made. */
static bool is_ready(const struct ssa_reduce *r)
{
    if (r->done >= r->count)
        return r->done == r->count && r->ends;
    bool ready = r->closed || (!r->held && r->workers);
    for (int i = 0; ready && !r->closed && i < SSA_POOL_MOST; i++)
        ready = !r->expected[i] || r->arrived[i] > r->done;
    return ready;
}

/* Of those that rest there is nothing. */
static void sum_workers(struct ssa_reduce *r, struct ssa_bucket b)
{
    int count = 0;
    for (int i = ssa_team_next_live(r->team, -1); i >= 0; i = ssa_team_next_live(r->team, i)) {
        const struct ssa_worker *w = r->team->workers[i];
        for (int k = 0; k < w->count; k++) /* whether it is finite is still the worker's */
            r->sums[count++] = (struct ssa_gradients){.node = w->sums[k].node, .values = w->sums[k].values};
    }
    ssa_tree_merge(r->sums, count, ssa_tree_begin(r->micros, r->first, r->end), b.first, b.count, r->sum + b.first);
}

static void sum_ranks(struct ssa_reduce *r, float *values, size_t count)
{
    int err = is_broken(r) ? SSA_OK : r->ranks->all_reduce(r->ranks, values, count);
    if (err)
        note_failure(r, err, true);
}

/* After a failure what is summed makes no sense, but the other ranks wait for it. */
static void work_on(struct ssa_reduce *r, int i)
{
    const bool failed = failure(r) != SSA_OK;
    if (i == r->count) {
        r->scalars[r->micros + 2 + r->ranks->rank] = failed;
        sum_ranks(r, r->scalars, scalar_count(r));
        return;
    }
    const struct ssa_bucket b = r->buckets[i];
    if (!failed)
        sum_workers(r, b);
    if (r->ranks)
        sum_ranks(r, r->sum + b.first, b.count);
}

/* All that is ready; under the lock. */
static void work(struct ssa_reduce *r)
{
    while (is_ready(r)) {
        r->working = true;
        pthread_mutex_unlock(&r->lock);
        work_on(r, r->done);
        pthread_mutex_lock(&r->lock);
        r->working = false;
        r->done++;
        pthread_cond_broadcast(&r->changed);
    }
}

static void *thread(void *argument)
{
    struct ssa_reduce *r = argument;
    pthread_mutex_lock(&r->lock);
    while (!r->quit) {
        work(r);
        if (!r->quit)
            pthread_cond_wait(&r->changed, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- a step ---- */

static int ensure_sum(struct ssa_reduce *r)
{
    r->sum = r->sum ? r->sum : malloc(r->size * sizeof *r->sum);
    return r->sum ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory for the sum of gradients");
}

static void reset(struct ssa_reduce *r)
{
    pthread_mutex_lock(&r->lock);
    memset(r->expected, 0, sizeof r->expected);
    memset(r->arrived, 0, sizeof r->arrived);
    r->held = r->closed = r->ends = false;
    r->workers = r->done = 0;
    r->status = SSA_OK;
    pthread_mutex_unlock(&r->lock);
}

/* In a child of fork() its lock may be held for ever. */
static bool has_forked(const struct ssa_reduce *r)
{
    return r->threaded && r->forks != ssa_forks();
}

int ssa_reduce_begin(struct ssa_trainer *t, struct ssa_worker *w)
{
    struct ssa_reduce *r = t->reduce;
    char identity[SSA_IDENTITY];
    int err = SSA_OK;
    if (has_forked(r))
        return ssa_fail(SSA_EINVAL, "train: its thread was lost by fork(): make the trainer in the child");
    if (is_broken(r))
        return ssa_fail(r->status, "%s", r->error);
    if (r->ranks)
        ssa_ranks_identify(w, identity);
    if (r->ranks && !t->compared) {
        TRY(ssa_ranks_compare(t, w, &r->same_bits));
        memcpy(r->identity, identity, sizeof identity);
        t->compared = true;
    }
    TRY(ensure_sum(r));
    reset(r);
    if (r->ranks) {
        memset(r->scalars, 0, scalar_count(r) * sizeof *r->scalars);
        r->scalars[r->micros + 1] = memcmp(r->identity, identity, sizeof identity) != 0;
    }
done:
    return err;
}

void ssa_reduce_expect(struct ssa_reduce *r, int i)
{
    pthread_mutex_lock(&r->lock);
    r->workers += !r->expected[i];
    r->expected[i] = true;
    pthread_mutex_unlock(&r->lock);
}

void ssa_reduce_arrived(struct ssa_reduce *r, int i, int bucket, bool finite)
{
    pthread_mutex_lock(&r->lock);
    r->arrived[i] = bucket + 1;
    r->held = r->held || !finite;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ssa_reduce_hold(struct ssa_reduce *r)
{
    if (has_forked(r))
        return;
    pthread_mutex_lock(&r->lock);
    r->held = true;
    while (r->working || (r->closed && r->done < r->count))
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

/* Until `done` sums are made: by the thread, or where there is none here. Under the lock. */
static void finish_sums(struct ssa_reduce *r, int done)
{
    pthread_cond_broadcast(&r->changed);
    if (!r->threaded)
        work(r);
    while (r->done < done)
        pthread_cond_wait(&r->changed, &r->lock);
}

void ssa_reduce_close(struct ssa_reduce *r, int status)
{
    if (status)
        note_failure(r, status, false);
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    finish_sums(r, 0);
    pthread_mutex_unlock(&r->lock);
}

const float *ssa_reduce_await(struct ssa_reduce *r, int bucket)
{
    pthread_mutex_lock(&r->lock);
    while (r->done <= bucket)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return r->sum + r->buckets[bucket].first;
}

void ssa_reduce_part_with(struct ssa_reduce *r, struct ssa_member *m)
{
    ssa_reduce_hold(r);
    ssa_member_release(m, r->sum, free);
    r->sum = NULL;
}

int ssa_ranks_lowest(const struct ssa_ranks *ranks, const float *flags)
{
    int rank = 0;
    while (rank < ranks->count && flags[rank] == 0)
        rank++;
    return rank;
}

/* The same error on every rank: that of the lowest that failed. */
static int share_failure(struct ssa_reduce *r)
{
    int rank = ssa_ranks_lowest(r->ranks, r->scalars + r->micros + 2), err;
    char text[TEXT];
    if (rank == r->ranks->count)
        return SSA_OK;
    memcpy(text, r->error, sizeof text);
    TRY(r->ranks->broadcast(r->ranks, text, sizeof text, rank));
    r->ranks->unanimous = 1;
    err = ssa_fail(SSA_EDEVICE, "train: rank %d failed: %.*s", rank, TEXT - 1, text);
done:
    return err;
}

int ssa_reduce_finish(struct ssa_trainer *t, int status, float *losses)
{
    struct ssa_reduce *r = t->reduce;
    int err;
    if (!r->ranks)
        return status;
    if (status)
        note_failure(r, status, false);
    memcpy(r->scalars + r->first, losses + r->first, (size_t)(r->end - r->first) * sizeof *losses);
    r->scalars[r->micros] = (t->stop && *t->stop) || t->out_of_patience;
    pthread_mutex_lock(&r->lock);
    r->closed = r->ends = true;
    finish_sums(r, r->count + 1);
    pthread_mutex_unlock(&r->lock);
    memcpy(losses, r->scalars, (size_t)r->micros * sizeof *losses);
    if (is_broken(r))
        return ssa_fail(r->status, "%s", r->error);
    TRY(share_failure(r));
    t->stops = r->scalars[r->micros] != 0;
    r->same_bits = r->same_bits && r->scalars[r->micros + 1] == 0;
done:
    return err;
}

/* ---- parameters ---- */

bool ssa_reduce_same_bits(const struct ssa_reduce *r)
{
    return !r->ranks || r->same_bits;
}

int ssa_reduce_share_parameters(struct ssa_reduce *r, struct ssa_worker *w)
{
    float lost = !w;
    int err = SSA_OK;
    if (ssa_reduce_same_bits(r))
        return SSA_OK;
    TRY(ensure_sum(r));
    TRY(r->ranks->all_reduce(r->ranks, &lost, 1));
    if (lost > 0)
        return SSA_OK;
    if (!r->ranks->rank)
        TRY(ssa_arena_read(ssa_model_values(w->model), 0, r->size, r->sum));
    TRY(r->ranks->broadcast(r->ranks, r->sum, r->size * sizeof *r->sum, 0));
    if (r->ranks->rank)
        TRY(ssa_arena_write(ssa_model_values(w->model), 0, r->size, r->sum));
done:
    return err;
}

/* ---- create and destroy ---- */

/* Over ranks, unless $SSACL_OVERLAP=0: sums wait for the end of backward, to compare. */
static bool wants_thread(const struct ssa_reduce *r)
{
    const char *overlap = ssa_environment("SSACL_OVERLAP");
    return r->ranks && !(overlap && !strcmp(overlap, "0"));
}

static int start(struct ssa_reduce *r)
{
    r->forks = ssa_forks();
    bool made = r->lock_made = ssa_lock_create(&r->lock, &r->changed);
    if (made && wants_thread(r))
        made = r->threaded = ssa_thread_start(&r->thread, thread, r);
    return made ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: cannot start a thread");
}

int ssa_reduce_create(struct ssa_trainer *t)
{
    struct ssa_ranks *ranks = t->task.config.ranks;
    struct ssa_reduce *r = t->reduce = calloc(1, sizeof *r);
    int err;
    if (!r)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    r->team = t->team;
    r->micros = t->task.micros;
    r->first = t->team->first;
    r->end = t->team->end;
    r->ranks = ranks && ranks->count > 1 ? ranks : NULL;
    r->count = ssa_model_bucket_count(t->model);
    r->size = ssa_arena_elements(ssa_model_values(t->model));
    r->buckets = calloc((size_t)r->count, sizeof *r->buckets);
    for (int i = 0; r->buckets && i < r->count; i++)
        r->buckets[i] = ssa_model_bucket(t->model, i);
    r->sums = malloc((size_t)r->micros * sizeof *r->sums);
    r->scalars = r->ranks ? malloc(scalar_count(r) * sizeof *r->scalars) : NULL;
    if (!r->buckets || !r->sums || (r->ranks && !r->scalars))
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    r->done = r->count + 1; /* nothing is to be done */
    TRY(start(r));
done:
    return err;
}

void ssa_reduce_destroy(struct ssa_reduce *r)
{
    if (!r || has_forked(r))
        return;
    if (r->threaded) {
        pthread_mutex_lock(&r->lock);
        r->quit = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
    }
    if (r->lock_made)
        ssa_lock_destroy(&r->lock, &r->changed);
    free(r->buckets);
    free(r->sum);
    free(r->sums);
    free(r->scalars);
    free(r);
}

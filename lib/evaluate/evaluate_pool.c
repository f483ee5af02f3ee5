/* An evaluation on a pool: members take units as they become free. One that fails is taken out and what it had is done
 * again elsewhere; so is a unit whose losses are not numbers, and who gave numbers is believed. */
#include "evaluate.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <math.h>
#include <stdio.h>

/* By the member's number. Belongs to the caller's thread, but a taker to its job as long as that is under way. */
struct hand_out {
    struct ssa_evaluator *e;
    struct ssa_pool *pool;
    struct ssa_taker *takers[SSA_POOL_MOST];
    bool busy[SSA_POOL_MOST];
    double seconds[SSA_POOL_MOST]; /* a unit, when its last job ended; 0: not known yet */
    bool parked[SSA_POOL_MOST];    /* gets nothing until it is known whether another's losses of its */
    size_t question[SSA_POOL_MOST]; /* last unit are numbers */
    bool not_numbers;              /* they are not: the model is to blame */
    bool abandoned;
    int err;                       /* the first, and its text */
    char error[1024];
};

static void note(struct hand_out *h, int status)
{
    if (!status || h->err)
        return;
    h->err = status;
    snprintf(h->error, sizeof h->error, "%s", ssa_last_error());
    ssa_units_close(h->e->units);
}

/* ---- starting ---- */

static struct ssa_taker *live(const struct hand_out *h, int i)
{
    return h->pool->members[i]->lost ? NULL : h->takers[i];
}

/* Not if the others would have done all that is left before this one had done one. The fastest always is. */
static bool worth_it(const struct hand_out *h, int i, size_t left)
{
    double others = 0;
    for (int o = 0; o < h->pool->count; o++)
        if (o != i && live(h, o) && !h->parked[o] && h->seconds[o] > 0 && h->seconds[i] > h->seconds[o])
            others += floor(h->seconds[i] / h->seconds[o] - 0.5); /* on average half of the one at hand is done */
    return others < (double)left;
}

static void start(struct hand_out *h, int i)
{
    struct ssa_taker *w = h->takers[i];
    double patience = w->done ? ssa_pool_patience(h->pool, SSA_SLICE + w->seconds) : ssa_pool_first_patience(h->pool);
    w->suspect = false;
    h->busy[i] = true;
    ssa_member_start(h->pool->members[i], ssa_taker_job, w, patience);
}

static void start_all(struct hand_out *h)
{
    for (int i = 0; i < h->pool->count; i++) {
        if (!live(h, i) || h->busy[i] || h->parked[i])
            continue;
        size_t left = ssa_units_left(h->e->units);
        if (left && worth_it(h, i, left))
            start(h, i);
        else
            note(h, ssa_taker_flush(h->takers[i]));
    }
}

/* ---- trouble ---- */

/* A wrong argument is no fault of the device, nor is data that did not come. */
static void lose(struct hand_out *h, struct ssa_member *m, int status)
{
    struct ssa_taker *w = h->takers[m->number];
    if (status == SSA_EINVAL || (!m->abandoned && w->no_data))
        note(h, status);
    else
        ssa_member_lose(m, SSA_POOL_LOST, ssa_last_error());
    if (m->abandoned)
        h->abandoned = true;
    else
        note(h, ssa_taker_flush(w));
    for (int i = 0; i < w->out_count; i++)
        ssa_units_again(h->e->units, w->out[i]);
}

static void believe(struct hand_out *h)
{
    h->not_numbers = true;
    for (int i = 0; i < h->pool->count; i++)
        h->parked[i] = false;
}

/* Its last losses are not numbers: dropped, to be seen whether another's are. */
static void park(struct hand_out *h, int i)
{
    struct ssa_taker *w = h->takers[i];
    size_t number = w->out[0];
    for (int o = 0; o < h->pool->count; o++)
        if (h->parked[o] && h->question[o] == number) {
            believe(h);
            return;
        }
    h->parked[i] = true;
    h->question[i] = number;
    ssa_taker_drop(w);
    ssa_units_again(h->e->units, number);
}

static void judge(struct hand_out *h)
{
    int free = 0;
    for (int i = 0; i < h->pool->count; i++) {
        size_t number = h->question[i], batches = h->e->batches;
        if (h->parked[i] && ssa_ensemble_has(h->e->ensemble, (int)(number / batches), number % batches)) {
            ssa_member_lose(h->pool->members[i], SSA_POOL_LOST, "its loss is not a number where another device's is");
            h->parked[i] = false;
        }
        free += live(h, i) && !h->parked[i];
    }
    if (!free)
        believe(h);
}

/* ---- the whole ---- */

static int make_takers(struct hand_out *h, const struct ssa_replicas *r)
{
    int err = SSA_OK;
    for (int i = 0; i < r->pool->count; i++)
        if (ssa_replicas_has(r, i) && !h->takers[i]) {
            TRY(ssa_taker_create(&h->takers[i], h->e, r->models[i], r->pool->members[i]));
            h->seconds[i] = h->takers[i]->seconds;
        }
done:
    return err;
}

static void destroy_taker(void *taker)
{
    ssa_taker_destroy(taker);
}

static void finish(struct hand_out *h)
{
    for (int i = 0; i < h->pool->count; i++)
        ssa_member_release(h->pool->members[i], h->takers[i], destroy_taker);
    if (h->abandoned) {
        ssa_units_stop(h->e->units);
        ssa_feed_stop(h->e->feed);
    }
}

/* Until all is done, or nobody is left. */
static int hand_out(struct hand_out *h)
{
    struct ssa_member *m;
    int status;
    start_all(h);
    while ((m = ssa_pool_next(h->pool, &status))) {
        h->busy[m->number] = false;
        if (!m->abandoned)
            h->seconds[m->number] = h->takers[m->number]->seconds;
        if (status)
            lose(h, m, status);
        else if (h->takers[m->number]->suspect && !h->not_numbers)
            park(h, m->number);
        judge(h);
        note(h, h->err ? SSA_OK : ssa_evaluator_report(h->e));
        start_all(h);
    }
    return h->err ? ssa_fail(h->err, "%s", h->error) : SSA_OK;
}

int ssa_evaluate_pool(struct ssa_evaluator *e, struct ssa_model *model, bool *abandoned)
{
    struct hand_out h = {.e = e, .pool = ssa_model_replicas(model)->pool};
    int err = SSA_OK;
    while (!ssa_ensemble_complete(e->ensemble)) {
        TRY(ssa_replicas_rescue(ssa_model_replicas(model)));
        TRY(make_takers(&h, ssa_model_replicas(model)));
        TRY(hand_out(&h));
    }
done:
    *abandoned = h.abandoned;
    finish(&h);
    return err;
}

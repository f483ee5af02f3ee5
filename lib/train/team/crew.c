/* A crew's life, its steps one after another, and the losses. The step of several devices is in together.c. */
#include "crew.h"
#include "train/sum/over_ranks.h"
#include "clock.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- seats ---- */

struct ssa_seat *ssa_crew_seat(const struct ssa_crew *c, int i)
{
    return i >= 0 && i < c->pool->count && !c->pool->members[i]->lost ? c->seats[i] : NULL;
}

int ssa_crew_next(const struct ssa_crew *c, int i)
{
    for (i++; i < c->pool->count; i++)
        if (ssa_crew_seat(c, i))
            return i;
    return -1;
}

bool ssa_crew_excuses(const struct ssa_crew *c, int i, int status)
{
    bool no_data = !c->pool->members[i]->abandoned && c->seats[i]->trainer->no_data;
    if (no_data)
        c->seats[i]->trainer->no_data = false; /* of this job */
    return status == SSA_EINVAL || no_data;
}

static void free_seat(void *seat)
{
    ssa_seat_free(seat);
}

static void leave_seat(struct ssa_crew *c, int i)
{
    ssa_member_release(c->pool->members[i], c->seats[i], free_seat);
    c->seats[i] = NULL;
}

void ssa_crew_lose(struct ssa_crew *c, int i, const char *why)
{
    struct ssa_member *m = c->pool->members[i];
    if (m->abandoned)
        leave_seat(c, i);
    for (int micro = c->first; micro < c->end; micro++)
        if (c->owner[micro] == i)
            c->owner[micro] = -1;
    ssa_member_lose(m, SSA_POOL_LOST, why);
}

static int allocate(void *seat)
{
    return ssa_trainer_allocate(((struct ssa_seat *)seat)->trainer);
}

/* A seat on member `i`, whose memory on the device is allocated on its thread: not waited for here. */
static int start_seat(struct ssa_trainer *front, int i)
{
    struct ssa_crew *c = front->crew;
    struct ssa_member *m = c->pool->members[i];
    struct ssa_seat *s = c->seats[i] = calloc(1, sizeof *s);
    int err;
    if (!s)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    s->stage = s->measured = -1;
    TRY(ssa_trainer_prepare(&s->trainer, ssa_model_group(front->model)->replicas[i], &front->config, &front->data));
    s->trainer->member = m;
    s->trainer->feed = front->feed;
    ssa_member_start(m, allocate, s, ssa_pool_first_patience(c->pool));
done:
    return err;
}

/* Those that have no room for moments are left out. */
static void end_seats(struct ssa_crew *c, int *status)
{
    struct ssa_member *m;
    int s;
    while ((m = ssa_pool_next(c->pool, &s))) {
        char why[sizeof m->reason];
        if (!s)
            continue;
        *status = s;
        snprintf(why, sizeof why, "%s", ssa_last_error());
        leave_seat(c, m->number);
        ssa_member_lose(m, m->abandoned ? SSA_POOL_LOST : SSA_POOL_LEFT_OUT, why);
        ssa_fail(s, "%s", why);
    }
}

int ssa_crew_join(struct ssa_trainer *front, struct ssa_member *m)
{
    int status = SSA_OK, err;
    TRY(start_seat(front, m->number));
    end_seats(front->crew, &status);
    err = status;
done:
    return err;
}

/* For what is done with the model between steps. */
static int rescue(void *rescuer)
{
    struct ssa_trainer *front = rescuer;
    const bool averaged = front->averaged;
    int step = front->step, err;
    front->averaged = false; /* the copy has the weights in their own place */
    TRY(ssa_mirror_rollback(front));
    TRY(ssa_crew_settle(front, step));
    if (averaged)
        TRY(ssa_trainer_use_average(front, 1));
done:
    return err;
}

static int swap_average(void *seat)
{
    struct ssa_trainer *t = ((struct ssa_seat *)seat)->trainer;
    int err = ssa_average_swap(t);
    return err ? err : ssa_device_finish(t->device);
}

int ssa_crew_swap_average(struct ssa_trainer *front, bool on)
{
    struct ssa_crew *c = front->crew;
    int err = SSA_OK;
    do {
        if (ssa_crew_next(c, -1) < 0) {
            front->averaged = false;
            TRY(rescue(front));
            if (!on)
                break;
        }
        for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i))
            if (ssa_member_do(c->pool->members[i], swap_average, c->seats[i], ssa_pool_first_patience(c->pool)))
                ssa_crew_lose(c, i, ssa_last_error());
    } while (ssa_crew_next(c, -1) < 0);
done:
    return err;
}

int ssa_crew_create(struct ssa_trainer *front)
{
    struct ssa_pool *pool = ssa_model_group(front->model)->pool;
    const struct ssa_ranks *ranks = front->config.ranks;
    struct ssa_crew *c = front->crew = calloc(1, sizeof *c);
    size_t micros = (size_t)front->micros;
    int status = SSA_OK, err = SSA_OK;
    if (!c)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    c->pool = pool;
    c->end = front->micros;
    ssa_model_group(front->model)->rescue = rescue;
    ssa_model_group(front->model)->rescuer = front;
    if (ranks) {
        c->first = ssa_rank_first(ranks, ranks->rank, front->micros);
        c->end = ssa_rank_first(ranks, ranks->rank + 1, front->micros);
    }
    c->owner = calloc(micros, sizeof *c->owner);
    c->losses = calloc(micros, sizeof *c->losses);
    if (!c->owner || !c->losses)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (int i = 0; i < pool->count && !err; i++)
        if (!pool->members[i]->lost && ssa_model_group(front->model)->replicas[i])
            err = start_seat(front, i);
    end_seats(c, &status);
    if (!err && ssa_crew_next(c, -1) < 0)
        err = status ? status : ssa_fail(SSA_EDEVICE, "train: no device of the pool is left");
    if (!err && ranks && ranks->count > 1)
        err = ssa_over_ranks_create(front, ssa_model_serving(front->model));
    return err;
}

void ssa_crew_destroy(struct ssa_crew *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->pool->count; i++)
        leave_seat(c, i);
    if (c->pool->model)
        ssa_model_group(c->pool->model)->rescue = NULL;
    free(c->owner);
    free(c->losses);
    free(c->mirror.state);
    free(c);
}

/* ---- the only device ---- */

static int alone(struct ssa_trainer *front, int i)
{
    struct ssa_crew *c = front->crew;
    struct ssa_seat *s = c->seats[i];
    struct ssa_member *m = c->pool->members[i];
    int status;
    if (c->drained == front->step)
        c->drained_at = ssa_awake();
    s->stage = ssa_trainer_stage(front, (uint64_t)front->step);
    s->trainer->step = front->step;
    status = ssa_member_do(m, ssa_seat_step, s, /* it may wait for the step before */
                           ssa_shares_patience(c, s, 2 * front->micros));
    if (status) {
        if (ssa_crew_excuses(c, i, status))
            return status;
        ssa_crew_lose(c, i, ssa_last_error());
        return SSA_OK;
    }
    if (m->share != front->micros) {
        int before = m->share;
        m->share = front->micros;
        ssa_pool_tell(m, SSA_POOL_SHARE, before, m->share, "it is the only device");
    }
    front->step++;
    front->counted++;
    return SSA_OK;
}

/* Losses of the steps that the only device did since. It may be lost over this. */
static int drain(struct ssa_trainer *front, int i)
{
    struct ssa_crew *c = front->crew;
    struct ssa_seat *s = c->seats[i];
    int steps = front->step - c->drained;
    int status = ssa_member_do(c->pool->members[i], ssa_seat_read_scalars, s,
                               ssa_shares_patience(c, s, (steps + 1) * front->micros));
    if (status) {
        ssa_crew_lose(c, i, ssa_last_error());
        return SSA_OK;
    }
    for (; c->drained < front->step; c->drained++) {
        c->history[c->drained % SSA_LOSSES] =
            ssa_tree_sum(s->scalars + ssa_trainer_loss_at(front, c->drained, 0), front->micros);
        c->squares[c->drained % SSA_LOSSES] = s->scalars[ssa_trainer_squares_at(front, c->drained)];
    }
    s->timed = steps * front->micros;
    s->compute = ssa_awake() - c->drained_at;
    if (steps > 1) /* of one alone, what came between is no small part */
        ssa_shares_observe(front, i);
    return SSA_OK;
}

/* ---- steps ---- */

/* Not from where a gradient was not finite, since when steps are counted and change nothing. */
static bool copy_is_due(const struct ssa_trainer *front)
{
    const struct ssa_crew *c = front->crew;
    int every = c->pool->config.copy_every;
    bool turn = every > 0 && front->step % every == 0 && c->mirror.step != front->step;
    bool due = !c->alike || turn || (every > 0 && !c->mirror.valid);
    bool known = front->counted > 0 && c->drained == front->step;
    return due && !(known && !isfinite(c->squares[(front->step - 1) % SSA_LOSSES]));
}

/* A step forward; or back, if the last device is lost. */
static int one(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    int first = ssa_crew_next(c, -1), err = SSA_OK;
    c->pool->step = front->step;
    if (first < 0)
        return front->over_ranks ? ssa_crew_tell_ranks(front) : ssa_mirror_rollback(front);
    bool several = ssa_crew_next(c, first) >= 0;
    if (!several && front->step - c->drained == SSA_LOSSES)
        return drain(front, first);
    if (copy_is_due(front)) {
        if (c->drained < front->step)
            return drain(front, first);
        TRY(ssa_mirror_take(front));
        if (ssa_crew_next(c, -1) < 0 || !c->mirror.valid)
            return SSA_OK;
        if (!c->alike)
            TRY(ssa_mirror_give(front));
        c->alike = true;
        if (c->pool->config.copy_every < 0)
            ssa_mirror_drop(c);
        return SSA_OK; /* whoever is left goes on */
    }
    err = several || front->over_ranks ? ssa_crew_together(front) : alone(front, first);
done:
    return err;
}

int ssa_crew_step(struct ssa_trainer *front)
{
    int target = front->step + 1, err = SSA_OK;
    while (!err && front->step < target)
        err = one(front);
    front->crew->pool->step = front->step; /* for what happens between steps */
    return err;
}

int ssa_crew_settle(struct ssa_trainer *front, int step)
{
    struct ssa_crew *c = front->crew;
    int err = SSA_OK;
    while (!err && (front->step < step || c->drained < front->step)) {
        int i = ssa_crew_next(c, -1);
        err = i < 0 || front->step < step ? one(front) : drain(front, i);
    }
    return err;
}

int ssa_crew_history(struct ssa_trainer *front, int count, float *losses, float *squares)
{
    const struct ssa_crew *c = front->crew;
    int err;
    TRY(ssa_crew_settle(front, front->step));
    for (int i = 0; i < count; i++) {
        int step = front->step - count + i;
        losses[i] = c->history[step % SSA_LOSSES] / ssa_trainer_answers(front);
        squares[i] = c->squares[step % SSA_LOSSES];
    }
done:
    return err;
}

void ssa_crew_go_back(struct ssa_crew *c, int step)
{
    c->drained = c->drained < step ? c->drained : step;
    c->pool->step = step;
}

/* A team's life, its steps one after another, and the losses. */
#include "team.h"
#include "clock.h"
#include "impl.h"
#include "net/replicas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- workers ---- */

struct ssa_worker *ssa_team_worker(const struct ssa_team *team, int i)
{
    return i >= 0 && i < team->pool->count && !team->pool->members[i]->lost ? team->workers[i] : NULL;
}

int ssa_team_next_live(const struct ssa_team *team, int i)
{
    for (i++; i < team->pool->count; i++)
        if (ssa_team_worker(team, i))
            return i;
    return -1;
}

int ssa_team_next(const struct ssa_team *team, int i)
{
    do
        i = ssa_team_next_live(team, i);
    while (i >= 0 && team->pool->members[i]->behind);
    return i;
}

struct ssa_worker *ssa_team_bare(const struct ssa_team *team)
{
    return team->pool->bare ? team->workers[0] : NULL;
}

bool ssa_team_excuses(const struct ssa_team *team, int i, int status)
{
    bool no_data = !team->pool->members[i]->abandoned && team->workers[i]->no_data;
    if (no_data)
        team->workers[i]->no_data = false; /* of this job */
    return team->pool->bare || status == SSA_EINVAL || no_data;
}

static void leave_worker(struct ssa_team *team, int i)
{
    ssa_member_release(team->pool->members[i], team->workers[i], ssa_worker_destroy);
    team->workers[i] = NULL;
}

void ssa_team_lose(struct ssa_team *team, int i, const char *why)
{
    struct ssa_member *m = team->pool->members[i];
    ssa_reduce_hold(team->trainer->reduce);
    if (m->abandoned)
        leave_worker(team, i);
    for (int micro = team->first; micro < team->end; micro++)
        if (team->owner[micro] == i)
            team->owner[micro] = -1;
    ssa_member_lose(m, SSA_POOL_LOST, why);
}

/* ---- creating ---- */

/* Of a bare device the model is its own replica. */
static struct ssa_model *replica(const struct ssa_trainer *t, int i)
{
    const struct ssa_replicas *r = ssa_model_replicas(t->model);
    return r ? r->models[i] : t->model;
}

/* A worker on member `i`, whose memory on the device is allocated on its thread: not waited for here. */
static int start_worker(struct ssa_trainer *t, int i)
{
    struct ssa_team *team = t->team;
    struct ssa_member *m = team->pool->members[i];
    int err;
    TRY(ssa_worker_create(&team->workers[i], &t->task, replica(t, i), t->feed));
    team->workers[i]->member = m;
    team->workers[i]->reduce = t->reduce;
    ssa_member_start(m, ssa_worker_allocate, team->workers[i], ssa_pool_first_patience(team->pool));
done:
    return err;
}

/* Those that have no room for moments are left out. */
static void end_workers(struct ssa_team *team, int *status)
{
    struct ssa_member *m;
    int s;
    while ((m = ssa_pool_next(team->pool, &s))) {
        char why[sizeof m->reason];
        if (!s)
            continue;
        *status = s;
        snprintf(why, sizeof why, "%s", ssa_last_error());
        leave_worker(team, m->number);
        if (!team->pool->bare)
            ssa_member_lose(m, m->abandoned ? SSA_POOL_LOST : SSA_POOL_LEFT_OUT, why);
        ssa_fail(s, "%s", why);
    }
}

int ssa_team_join(struct ssa_trainer *t, struct ssa_member *m)
{
    int status = SSA_OK, err;
    TRY(start_worker(t, m->number));
    end_workers(t->team, &status);
    err = status;
done:
    return err;
}

/* For what is done with the model between steps. */
static int rescue(void *rescuer)
{
    struct ssa_trainer *t = rescuer;
    const bool averaged = t->averaged;
    int step = t->step, err;
    t->averaged = false; /* the copy has the weights in their own place */
    TRY(ssa_snapshot_roll_back(t));
    TRY(ssa_team_settle(t, step));
    if (averaged)
        TRY(ssa_trainer_use_average(t, 1));
done:
    return err;
}

static int find_pool(struct ssa_trainer *t)
{
    struct ssa_replicas *r = ssa_model_replicas(t->model);
    if (!r)
        return ssa_pool_create_bare(&t->team->pool, ssa_model_device(t->model));
    t->team->pool = r->pool;
    r->rescue = rescue;
    r->rescuer = t;
    return SSA_OK;
}

static void find_run(struct ssa_team *team, const struct ssa_task *task)
{
    const struct ssa_ranks *ranks = task->config.ranks;
    team->first = ranks ? ssa_rank_first(ranks, ranks->rank, task->micros) : 0;
    team->end = ranks ? ssa_rank_first(ranks, ranks->rank + 1, task->micros) : task->micros;
}

int ssa_team_create(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team = calloc(1, sizeof *team);
    const size_t micros = (size_t)t->task.micros;
    int status = SSA_OK, err;
    if (!team)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    team->trainer = t;
    team->planned = team->doubted = -1;
    find_run(team, &t->task);
    team->owner = calloc(micros, sizeof *team->owner);
    team->losses = calloc(micros, sizeof *team->losses);
    team->work = calloc(micros, sizeof *team->work);
    if (!team->owner || !team->losses || !team->work)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (size_t i = 0; i < micros; i++)
        team->work[i] = 1;
    TRY(find_pool(t));
    TRY(ssa_reduce_create(t));
    for (int i = 0; i < team->pool->count && !err; i++)
        if (!team->pool->members[i]->lost && replica(t, i))
            err = start_worker(t, i);
    end_workers(team, &status);
    TRY(err);
    int first = ssa_team_next(team, -1);
    if (first < 0)
        return status ? status : ssa_fail(SSA_EDEVICE, "train: no device of the pool is left");
    team->same_parameters = ssa_pool_live(team->pool) == 1;
    if (team->pool->bare)
        team->pool->members[first]->share = team->end - team->first;
done:
    return err;
}

void ssa_team_destroy(struct ssa_team *team)
{
    if (!team)
        return;
    for (int i = 0; team->pool && i < team->pool->count; i++)
        leave_worker(team, i);
    if (team->pool && team->pool->bare)
        ssa_pool_close(team->pool);
    else if (team->pool && team->pool->model && ssa_model_replicas(team->pool->model)->rescuer == team->trainer)
        ssa_model_replicas(team->pool->model)->rescue = NULL;
    free(team->owner);
    free(team->losses);
    free(team->work);
    free(team->snapshot.state);
    free(team);
}

int ssa_team_swap_average(struct ssa_trainer *t, bool on)
{
    struct ssa_team *team = t->team;
    int status, err = SSA_OK;
    do {
        if (ssa_team_next(team, -1) < 0) {
            t->averaged = false;
            TRY(rescue(t));
            if (!on)
                break;
        }
        for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i)) {
            status = ssa_member_do(team->pool->members[i], ssa_worker_swap_average, team->workers[i],
                                   ssa_pool_first_patience(team->pool));
            if (status && team->pool->bare)
                return status;
            if (status)
                ssa_team_lose(team, i, ssa_last_error());
        }
    } while (ssa_team_next(team, -1) < 0);
done:
    return err;
}

/* ---- losses of steps that stayed on a device ---- */

static void keep_history(struct ssa_trainer *t, const struct ssa_worker *w)
{
    struct ssa_team *team = t->team;
    for (; team->drained < t->step; team->drained++) {
        const int at = team->drained % SSA_LOSSES;
        team->history[at] = ssa_tree_sum(w->history + ssa_worker_loss_at(w, team->drained, 0), t->task.micros);
        team->squares[at] = w->history[ssa_worker_squares_at(w, team->drained)];
    }
}

static bool is_finite(const struct ssa_team *team, int step)
{
    return isfinite(team->history[step % SSA_LOSSES]) && isfinite(team->squares[step % SSA_LOSSES]);
}

/* The first of the steps from `from` on that is not finite, of which the one before was; or -1. */
static int first_doubtful(const struct ssa_trainer *t, int from)
{
    const struct ssa_team *team = t->team;
    int step = from;
    while (step < t->step && is_finite(team, step))
        step++;
    const bool was_so = step == from && from > 0 && t->counted > t->step - from && !is_finite(team, from - 1);
    return step == t->step || was_so ? -1 : step;
}

/* Worker `i` has done steps that are not finite, from the first of which on nothing was changed. Where somebody rests who
 * may see it differently that one is done again by all; unless it was only read wrongly. */
static void doubt(struct ssa_trainer *t, int i, int from)
{
    struct ssa_team *team = t->team;
    const struct ssa_worker *w = team->workers[i];
    const int step = first_doubtful(t, from);
    if (step < 0 || ssa_pool_live(team->pool) == 1)
        return;
    const char *why = NULL;
    if (ssa_member_do(team->pool->members[i], ssa_worker_read_history, team->workers[i],
                      ssa_shares_patience(team, w, t->task.micros)))
        why = ssa_last_error();
    else if (isfinite(w->history[ssa_worker_squares_at(w, step)]) &&
             ssa_all_finite(w->history + ssa_worker_loss_at(w, step, 0), (size_t)t->task.micros))
        why = "its losses are not numbers, and when they are read again they are";
    if (why) {
        team->drained = from;
        ssa_team_lose(team, i, why);
    } else {
        ssa_team_go_back(t, step);
        team->doubted = step;
    }
}

/* Of the only worker, which may be lost over this. */
static int drain(struct ssa_trainer *t, int i)
{
    struct ssa_team *team = t->team;
    struct ssa_worker *w = team->workers[i];
    const int steps = t->step - team->drained;
    int status = ssa_member_do(team->pool->members[i], ssa_worker_read_history, w,
                               ssa_shares_patience(team, w, (steps + 1) * t->task.micros));
    if (status && team->pool->bare)
        return status;
    if (status) {
        ssa_team_lose(team, i, ssa_last_error());
        return SSA_OK;
    }
    const int from = team->drained;
    keep_history(t, w);
    w->timed = team->stayed;
    w->compute = ssa_awake() - team->drained_at;
    w->transfer = w->fixed; /* there was none */
    if (steps > 1) /* of one alone, what came between is no small part */
        ssa_shares_observe(t, i);
    doubt(t, i, from);
    return SSA_OK;
}

/* ---- steps ---- */

/* Not from where a gradient was not finite, since when steps are counted and change nothing. */
static bool can_copy(const struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    bool known = t->counted > 0 && team->drained == t->step;
    return !(known && !isfinite(team->squares[(t->step - 1) % SSA_LOSSES]));
}

static bool copy_is_due(const struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    int every = team->pool->config.copy_every;
    bool turn = every > 0 && t->step % every == 0 && team->snapshot.step != t->step;
    return (!team->same_parameters || turn || (every > 0 && !team->snapshot.valid)) && can_copy(t);
}

/* Somebody rests that has a share again. */
static bool one_wakes(const struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i))
        if (team->pool->members[i]->behind && team->pool->members[i]->share)
            return can_copy(t);
    return false;
}

enum next { ROLL_BACK, DRAIN, COPY, STAY, SUM };

/* Of the step at hand; *i: who does it, where one does. Steps whose losses are still on a device are of the first
 * worker: all others rest then. */
static enum next what_next(struct ssa_trainer *t, int *i)
{
    struct ssa_team *team = t->team;
    const bool drained = team->drained == t->step;
    if ((*i = ssa_team_next(team, -1)) < 0)
        return ROLL_BACK;
    if (t->step - team->drained == SSA_LOSSES)
        return DRAIN;
    if (copy_is_due(t))
        return drained ? COPY : DRAIN;
    ssa_shares_plan(t);
    if (one_wakes(t))
        return drained ? COPY : DRAIN;
    const bool all_rest = ssa_team_rests(team) || ssa_team_next(team, *i) < 0;
    for (int k = *i; k >= 0 && all_rest; k = ssa_team_next(team, k))
        if (team->pool->members[k]->share == t->task.micros) {
            *i = k;
            return STAY;
        }
    return drained ? SUM : DRAIN;
}

/* To the host, and to those that have not got the run as it is. */
static int copy(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int err = SSA_OK;
    if (!ssa_snapshot_is_current(t))
        TRY(ssa_snapshot_take(t));
    if (!ssa_snapshot_is_current(t)) /* whose it was is lost: from another one, then */
        return SSA_OK;
    TRY(ssa_snapshot_give(t, !team->same_parameters));
    team->same_parameters = true;
    ssa_snapshot_used(team);
done:
    return err;
}

/* Towards the next step, or back, if the last device is lost. */
static int go_on(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int i;
    team->pool->step = t->step;
    switch (what_next(t, &i)) {
    case ROLL_BACK:
        return ssa_trainer_over_ranks(t) ? ssa_team_tell_ranks(t) : ssa_snapshot_roll_back(t);
    case DRAIN:
        return drain(t, i);
    case COPY:
        return copy(t);
    case STAY:
        return ssa_team_stay(t, i);
    default:
        return ssa_team_sum(t);
    }
}

int ssa_team_step(struct ssa_trainer *t)
{
    int target = t->step + 1, err = SSA_OK;
    while (!err && t->step < target)
        err = go_on(t);
    t->team->pool->step = t->step; /* for what happens between steps */
    return err;
}

int ssa_team_settle(struct ssa_trainer *t, int step)
{
    struct ssa_team *team = t->team;
    int err = SSA_OK;
    while (!err && (t->step < step || team->drained < t->step)) {
        int i = ssa_team_next(team, -1);
        err = i < 0 || t->step < step ? go_on(t) : drain(t, i);
    }
    return err;
}

int ssa_team_history(struct ssa_trainer *t, int count, float *losses, float *squares)
{
    const struct ssa_team *team = t->team;
    int err;
    TRY(ssa_team_settle(t, t->step));
    for (int i = 0; i < count; i++) {
        int step = t->step - count + i;
        losses[i] = team->history[step % SSA_LOSSES] / ssa_task_answers(&t->task);
        squares[i] = team->squares[step % SSA_LOSSES];
    }
done:
    return err;
}

void ssa_team_go_back(struct ssa_trainer *t, int step)
{
    struct ssa_team *team = t->team;
    t->counted -= t->step - step;
    t->step = step;
    t->judged = t->judged < step ? t->judged : step;
    team->drained = team->drained < step ? team->drained : step;
    team->pool->step = step;
    team->planned = -1;
}

/* A step, by either of its ways (team.h). */
#include "team.h"
#include "clock.h"
#include "impl.h"
#include "train/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Has a worker do the step at hand. */
static void begin(struct ssa_trainer *t, struct ssa_worker *w)
{
    const int stage = ssa_task_stage(&t->task, (uint64_t)t->step);
    const bool between = ssa_task_dense_between(&t->task, (uint64_t)t->step), same = w->stage == stage;
    w->fresh = !same || (between && !w->between);
    w->between = between || (same && w->between);
    w->stage = stage;
    w->step = t->step;
}

static void step_done(struct ssa_trainer *t)
{
    t->step++;
    t->counted++;
}

/* ---- it stays on the device ---- */

static void rest(struct ssa_team *team, int i)
{
    team->pool->members[i]->behind = true;
}

int ssa_team_stay(struct ssa_trainer *t, int i)
{
    struct ssa_team *team = t->team;
    struct ssa_worker *w = team->workers[i];
    int status = ssa_shares_draw_work(t);
    if (status)
        return status;
    if (team->drained == t->step) {
        team->drained_at = ssa_awake();
        team->stayed = 0;
    }
    begin(t, w);
    status = ssa_member_do(team->pool->members[i], ssa_worker_step, w, /* it may wait for the step before */
                           ssa_shares_patience(team, w, 2 * t->task.micros));
    if (status && ssa_team_excuses(team, i, status))
        return status;
    if (status) {
        ssa_team_lose(team, i, ssa_last_error());
        return SSA_OK;
    }
    for (int k = ssa_team_next(team, -1); k >= 0; k = ssa_team_next(team, k))
        if (k != i)
            rest(team, k);
    team->stayed += ssa_shares_work(team, team->first, team->end);
    step_done(t);
    return SSA_OK;
}

/* ---- sums ---- */

/* Waits for all jobs. Who failed is lost, unless the caller is to blame. ended() may be NULL. */
static int gather(struct ssa_trainer *t, void (*ended)(struct ssa_trainer *t, int i))
{
    struct ssa_team *team = t->team;
    struct ssa_member *m;
    int status, err = SSA_OK;
    char text[512] = "";
    while ((m = ssa_pool_next(team->pool, &status))) {
        if (status && ssa_team_excuses(team, m->number, status)) {
            err = status;
            snprintf(text, sizeof text, "%s", ssa_last_error());
        } else if (status) {
            ssa_team_lose(team, m->number, ssa_last_error());
        } else if (ended) {
            ended(t, m->number);
        }
    }
    return err ? ssa_fail(err, "%s", text) : SSA_OK;
}

/* The next run of micro-batches that nobody has computed. */
static bool next_missing(const struct ssa_team *team, int *first, int *end)
{
    *first = team->first;
    while (*first < team->end && team->owner[*first] >= 0)
        ++*first;
    *end = *first;
    while (*end < team->end && team->owner[*end] < 0)
        ++*end;
    return *end > *first;
}

/* A run cut into one for each worker that has a share of it. */
static int cut_run(struct ssa_trainer *t, int first, int end, const int *shares)
{
    struct ssa_team *team = t->team;
    int own[SSA_POOL_MOST], ends[SSA_POOL_MOST], n = 0, from = first, err;
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i))
        own[n++] = shares[i];
    TRY(ssa_work_cut(team->work + first, end - first, own, n, ends));
    n = 0;
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i)) {
        struct ssa_worker *w = team->workers[i];
        w->first = from;
        w->end = from = first + ends[n++];
        for (int micro = w->first; micro < w->end; micro++)
            team->owner[micro] = i;
    }
done:
    return err;
}

static int compute_run(struct ssa_trainer *t, int first, int end, const int *shares)
{
    struct ssa_team *team = t->team;
    int err;
    TRY(cut_run(t, first, end, shares));
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i))
        if (team->workers[i]->end > team->workers[i]->first)
            ssa_reduce_expect(t->reduce, i);
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i)) {
        struct ssa_worker *w = team->workers[i];
        if (w->end == w->first)
            continue;
        begin(t, w);
        w->timed = ssa_shares_work(team, w->first + w->fresh, w->end);
        ssa_member_start(team->pool->members[i], ssa_worker_compute, w,
                         ssa_shares_patience(team, w, w->end - w->first));
    }
    err = gather(t, ssa_shares_observe);
done:
    return err;
}

/* The planned shares; or others, where somebody who was to have one does not take part. */
static void find_shares(const struct ssa_team *team, int *shares)
{
    int sum = 0;
    for (int i = 0; i < SSA_POOL_MOST; i++)
        shares[i] = 0;
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i))
        sum += shares[i] = team->pool->members[i]->share;
    if (sum != team->end - team->first)
        ssa_shares(team, team->end - team->first, false, shares);
}

/* What nobody has computed, since somebody was lost; then what is not finite. */
static int compute_again(struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    int shares[SSA_POOL_MOST], first, end, err = SSA_OK;
    bool again = true;
    while (again && ssa_team_next(team, -1) >= 0) {
        if (next_missing(team, &first, &end)) {
            ssa_reduce_hold(t->reduce);
            ssa_shares(team, end - first, false, shares);
            TRY(compute_run(t, first, end, shares));
        } else {
            TRY(ssa_audit_finite(t, &again));
        }
    }
done:
    return err;
}

static int compute(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int shares[SSA_POOL_MOST], err;
    for (int micro = team->first; micro < team->end; micro++)
        team->owner[micro] = -1;
    TRY(ssa_shares_draw_work(t));
    find_shares(team, shares);
    TRY(compute_run(t, team->first, team->end, shares));
    TRY(compute_again(t));
    if (ssa_team_next(team, -1) < 0)
        return SSA_OK;
    for (int micro = team->first; micro < team->end; micro++)
        team->losses[micro] = team->workers[team->owner[micro]]->losses[micro];
done:
    return err;
}

/* ---- the update ---- */

/* `job` on every worker whose parameters are the run's. */
static int on_all(struct ssa_trainer *t, ssa_job job)
{
    struct ssa_team *team = t->team;
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i)) {
        struct ssa_worker *w = team->workers[i];
        ssa_member_start(team->pool->members[i], job, w, w->update > 0 ? ssa_pool_patience(team->pool, w->update)
                                                                       : ssa_pool_first_patience(team->pool));
    }
    return gather(t, NULL);
}

/* Brings the sum to the workers. Memory that a thread which was given up may still read is left to it. */
static int take(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    bool takes[SSA_POOL_MOST] = {false};
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i))
        takes[i] = true;
    int err = on_all(t, ssa_worker_take);
    for (int i = 0; i < team->pool->count; i++)
        if (takes[i] && team->pool->members[i]->abandoned)
            ssa_reduce_part_with(t->reduce, team->pool->members[i]);
    return err;
}

/* By all that is known of them. */
static bool same_bits(const struct ssa_member *x, const struct ssa_member *y)
{
    const struct ssa_device_info *a = &x->info, *b = &y->info;
    return a->kind == b->kind && a->gpu_shape == b->gpu_shape && a->units == b->units && !strcmp(a->name, b->name) &&
           !strcmp(a->platform, b->platform) && !strcmp(a->driver, b->driver);
}

/* The next worker after `i` that is to get the parameters of `first`: any other one, or one that computes other bits. */
static int next_unlike(const struct ssa_team *team, int first, int i, bool all)
{
    do
        i = ssa_team_next(team, i);
    while (i == first || (i >= 0 && !all && same_bits(team->pool->members[i], team->pool->members[first])));
    return i;
}

static int give_values(struct ssa_trainer *t, int first, bool all)
{
    struct ssa_team *team = t->team;
    struct ssa_worker *giver = team->workers[first];
    bool given[SSA_POOL_MOST] = {false};
    int err;
    for (int i = next_unlike(team, first, -1, all); i >= 0; i = next_unlike(team, first, i, all)) {
        struct ssa_worker *w = team->workers[i];
        w->given = giver->values;
        given[i] = true;
        ssa_member_start(team->pool->members[i], ssa_worker_write_values, w, ssa_pool_first_patience(team->pool));
    }
    err = gather(t, NULL);
    for (int i = 0; i < team->pool->count; i++)
        if (given[i] && team->pool->members[i]->abandoned) {
            ssa_member_release(team->pool->members[i], giver->values, free);
            giver->values = NULL;
        }
    return err;
}

/* Where devices do not compute the same bits, the first one's parameters are everybody's. `all`: they are in any case. */
static int equalise(struct ssa_trainer *t, bool all)
{
    struct ssa_team *team = t->team;
    int first, err = SSA_OK;
    while ((first = ssa_team_next(team, -1)) >= 0 && next_unlike(team, first, -1, all) >= 0) {
        ssa_member_start(team->pool->members[first], ssa_worker_read_values, team->workers[first],
                         ssa_pool_first_patience(team->pool));
        TRY(gather(t, NULL));
        if (ssa_team_next(team, -1) == first) /* else it was lost over it */
            return give_values(t, first, all);
    }
done:
    return err;
}

static int update(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    const bool all = !ssa_reduce_same_bits(t->reduce);
    int first, err;
    TRY(on_all(t, ssa_worker_update));
    first = ssa_team_next(team, -1);
    TRY(ssa_reduce_share_parameters(t->reduce, first < 0 ? NULL : team->workers[first]));
    TRY(equalise(t, all));
done:
    return err;
}

/* ---- all of it ---- */

/* Those that had no part in the step make no update. */
static void let_rest(struct ssa_team *team)
{
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i))
        if (!team->workers[i]->count && ssa_team_rests(team))
            rest(team, i);
}

static int no_device(const struct ssa_team *team)
{
    const struct ssa_member *lost = team->pool->members[team->pool->last_lost];
    return ssa_fail(SSA_EDEVICE, "no device is left (%s: %s)", lost->info.id, lost->reason);
}

int ssa_team_tell_ranks(struct ssa_trainer *t)
{
    int err;
    TRY(ssa_reduce_begin(t, NULL));
    TRY(ssa_reduce_finish(t, no_device(t->team), t->team->losses));
done:
    return err;
}

static void count_step(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    const int first = ssa_team_next(team, -1);
    team->history[t->step % SSA_LOSSES] = ssa_tree_sum(team->losses, t->task.micros);
    if (first >= 0) /* else other ranks have done the step, maybe the last, and wait for nobody: it counts here too */
        team->squares[t->step % SSA_LOSSES] = team->workers[first]->squares;
    step_done(t);
    team->drained = t->step;
}

/* The step's sum, in every worker's gradients and all losses in the team's. Ranks wait for each other: whatever fails,
 * they are told by ssa_reduce_finish(). */
static int sum_up(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int status = compute(t);
    if (!status && ssa_team_next(team, -1) < 0)
        status = no_device(team);
    ssa_reduce_close(t->reduce, status);
    if (!status) {
        let_rest(team);
        status = take(t);
    }
    if (!status && ssa_team_next(team, -1) < 0)
        status = no_device(team);
    return ssa_reduce_finish(t, status, t->team->losses);
}

int ssa_team_sum(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int first, err;
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i)) {
        team->workers[i]->step = t->step; /* of those without a share, too */
        team->workers[i]->count = 0;
    }
    err = ssa_audit_check(t);
    if (err && !ssa_trainer_over_ranks(t)) /* which must all hear of it: what is wrong comes up again in the step */
        return err;
    if ((first = ssa_team_next(team, -1)) < 0) /* all were lost over it */
        return SSA_OK;
    TRY(ssa_reduce_begin(t, team->workers[first]));
    err = sum_up(t);
    if (ssa_team_next(team, -1) < 0 && !ssa_trainer_over_ranks(t))
        return SSA_OK; /* it goes back */
    TRY(err);
    TRY(update(t));
    if (ssa_team_next(team, -1) < 0 && !ssa_trainer_over_ranks(t))
        return SSA_OK;
    count_step(t);
done:
    return err;
}

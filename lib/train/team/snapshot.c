/* The copy of a run in host memory, from which it goes on when every device is lost. */
#include "team.h"
#include "clock.h"
#include "impl.h"
#include "net/replicas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ssa_snapshot_drop(struct ssa_team *team)
{
    free(team->snapshot.state);
    team->snapshot = (struct ssa_snapshot){0};
}

void ssa_snapshot_used(struct ssa_team *team)
{
    if (team->pool->config.copy_every < 0)
        ssa_snapshot_drop(team);
}

bool ssa_snapshot_is_current(const struct ssa_trainer *t)
{
    return t->team->snapshot.valid && t->team->snapshot.step == t->step;
}

/* Where memory of a kind begins in the copy; of one past the last: its size. */
static size_t kind_at(const struct ssa_trainer *t, int kind)
{
    const size_t each = ssa_arena_elements(ssa_model_values(t->model));
    size_t at = 0;
    for (int k = SSA_KIND_VALUE; k < kind; k++)
        at += ssa_train_config_has(&t->task.config, k) ? each : 0;
    return at;
}

size_t ssa_snapshot_at(const struct ssa_trainer *t, int kind, int i)
{
    return kind_at(t, kind) + ssa_model_number(t->model, i);
}

static int allocate(const struct ssa_trainer *t, float **state)
{
    const size_t size = kind_at(t, SSA_KINDS);
    *state = malloc(size * sizeof **state);
    return *state ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory for a copy of the run (%.1f MiB)",
                                      (double)size * 4 / 1048576);
}

/* ---- jobs ---- */

static int each_kind(struct ssa_worker *w, bool read)
{
    const size_t count = ssa_worker_elements(w);
    float *at = w->state;
    int err = SSA_OK;
    if (read)
        TRY(ssa_average_begin(w));
    w->average_begun = true;
    for (int kind = SSA_KIND_VALUE; kind < SSA_KINDS; kind++) {
        const struct ssa_arena *arena = kind ? &w->kinds[kind] : ssa_model_values(w->model);
        if (!ssa_train_config_has(&w->task.config, kind))
            continue;
        TRY(read ? ssa_arena_read(arena, 0, count, at) : ssa_arena_write(arena, 0, count, at));
        at += count;
    }
    if (!read)
        TRY(ssa_worker_forgive(w));
    TRY(ssa_device_finish(w->device));
done:
    return err;
}

static int read_all(void *worker)
{
    return each_kind(worker, true);
}

static int write_all(void *worker)
{
    return each_kind(worker, false);
}

/* ---- taking and giving ---- */

/* Memory for a new copy: the old one is good until the new one is whole. Where there is no room for both, it is given
 * up. */
static int prepare_copy(struct ssa_trainer *t, float **state)
{
    struct ssa_team *team = t->team;
    int err = allocate(t, state);
    if (err && team->snapshot.valid) {
        ssa_log(SSA_LOG_WARNING, "%s beside the one there is, which is overwritten", ssa_last_error());
        *state = team->snapshot.state;
        team->snapshot = (struct ssa_snapshot){0};
        err = SSA_OK;
    }
    return err;
}

/* What was read of worker `i` is not finite, though no step is taken from gradients that are not. Somebody else's parameters
 * are; or all others rest, and there is an older copy, from which it is better to go on. */
static bool is_doubtful(struct ssa_trainer *t, int i, const float *state)
{
    struct ssa_team *team = t->team;
    const int other = ssa_team_next(team, i);
    if (ssa_all_finite(state, kind_at(t, SSA_KINDS)))
        return false;
    if (other < 0)
        return team->snapshot.valid && ssa_pool_live(team->pool) > 1;
    struct ssa_worker *w = team->workers[other];
    if (!ssa_member_do(team->pool->members[other], ssa_worker_read_values, w, ssa_pool_first_patience(team->pool)))
        return ssa_all_finite(w->values, ssa_worker_elements(w));
    ssa_team_lose(team, other, ssa_last_error());
    return false;
}

int ssa_snapshot_take(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int i = ssa_team_next(team, -1), status, err = SSA_OK;
    double patience = ssa_pool_first_patience(team->pool);
    float *state;
    if (i < 0)
        return SSA_OK;
    struct ssa_member *m = team->pool->members[i];
    struct ssa_worker *w = team->workers[i];
    TRY(prepare_copy(t, &state));
    w->state = state;
    status = ssa_member_do(m, read_all, w, patience);
    if (status && !team->snapshot.valid && !m->abandoned && ssa_team_next_live(team, i) < 0)
        status = ssa_member_do(m, read_all, w, patience); /* without it nothing is left of the run: once more */
    if (!status && is_doubtful(t, i, state))
        status = ssa_fail(SSA_EDEVICE, "its parameters or moments are not numbers");
    if (status)
        ssa_team_lose(team, i, ssa_last_error());
    if (!status) { /* the old copy is what goes */
        float *old = team->snapshot.state;
        team->snapshot = (struct ssa_snapshot){.valid = true, .step = t->step, .state = state};
        state = old;
    }
    ssa_member_release(m, state, free);
done:
    return err;
}

/* To all, or to those that rest and have a share. */
static bool gets(const struct ssa_member *m, bool all)
{
    return all || (m->behind && m->share);
}

int ssa_snapshot_give(struct ssa_trainer *t, bool all)
{
    struct ssa_team *team = t->team;
    struct ssa_member *m, *reader = NULL; /* one whose thread may still read the copy */
    const double start = ssa_awake();
    int status;
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i))
        if (gets(team->pool->members[i], all)) {
            team->workers[i]->state = team->snapshot.state;
            ssa_member_start(team->pool->members[i], write_all, team->workers[i], ssa_pool_first_patience(team->pool));
        }
    while ((m = ssa_pool_next(team->pool, &status))) {
        reader = m->abandoned ? m : reader;
        if (status) {
            ssa_team_lose(team, m->number, ssa_last_error());
            continue;
        }
        m->behind = false;
        team->workers[m->number]->waking = ssa_awake() - start;
    }
    if (reader) {
        ssa_member_release(reader, team->snapshot.state, free);
        team->snapshot = (struct ssa_snapshot){0};
    }
    return SSA_OK;
}

/* ---- going back ---- */

/* The host backend, where nobody rests. */
static int join_host(struct ssa_trainer *t)
{
    struct ssa_member *m;
    int err;
    if (ssa_team_next_live(t->team, -1) >= 0)
        return SSA_OK;
    TRY(ssa_pool_join_host(t->team->pool, &m));
    TRY(ssa_replicas_join(t->model, m));
    TRY(ssa_team_join(t, m));
done:
    return err;
}

/* May the run go on from its copy? Other ranks cannot go back. */
static bool goes_on(const struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    return !ssa_trainer_over_ranks(t) && (team->pool->config.last != SSA_POOL_STOP || ssa_team_next_live(team, -1) >= 0);
}

int ssa_snapshot_roll_back(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    const struct ssa_member *lost = team->pool->members[team->pool->last_lost];
    int before = t->step, first, err;
    char why[128];
    if (!team->snapshot.valid)
        return ssa_fail(SSA_EDEVICE, "train: no device of the pool is left (%s: %s), and there is no copy of the run "
                        "to go on from", lost->info.id, lost->reason);
    ssa_team_go_back(t, team->snapshot.step);
    if (!goes_on(t))
        return ssa_fail(SSA_EDEVICE, "train: no device of the pool is left (%s: %s); a checkpoint that is saved now is "
                        "of step %d", lost->info.id, lost->reason, t->step);
    TRY(join_host(t));
    TRY(ssa_snapshot_give(t, true));
    if ((first = ssa_team_next(team, -1)) < 0)
        return SSA_OK; /* lost over it: once more */
    snprintf(why, sizeof why, "%d steps are done again", before - t->step);
    ssa_pool_tell(team->pool->members[first], SSA_POOL_ROLLBACK, 0, t->task.micros, why);
done:
    return err;
}

/* ---- checkpoints ---- */

int ssa_snapshot_now(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    int target = t->step, err = SSA_OK;
    while (!err && !(team->snapshot.valid && team->snapshot.step == target)) {
        if (ssa_team_next(team, -1) < 0)
            err = ssa_snapshot_roll_back(t);
        else if (t->step < target || team->drained < t->step)
            err = ssa_team_settle(t, target);
        else if (!(err = ssa_trainer_settle(t)) && t->step < target)
            target = t->step; /* the steps after it were not taken */
        else if (!err)
            err = ssa_snapshot_take(t);
    }
    return err == SSA_EDEVICE && team->snapshot.valid ? SSA_OK : err; /* as it was, then */
}

int ssa_snapshot_set(struct ssa_trainer *t, int step, void (*fill)(const void *cookie, float *state),
                   const void *cookie)
{
    struct ssa_team *team = t->team;
    int err;
    ssa_snapshot_drop(team);
    TRY(allocate(t, &team->snapshot.state));
    memset(team->snapshot.state, 0, kind_at(t, SSA_KINDS) * sizeof *team->snapshot.state); /* between parameters, too */
    fill(cookie, team->snapshot.state);
    team->snapshot.valid = true;
    team->snapshot.step = team->drained = t->step = t->judged = step;
    t->counted = 0;
    TRY(ssa_snapshot_give(t, true));
    if (ssa_team_next(team, -1) < 0)
        TRY(ssa_snapshot_roll_back(t));
    team->same_parameters = true;
    ssa_snapshot_used(team);
done:
    return err;
}

/* The copy of a run in host memory, from which it goes on when every device is lost. */
#include "crew.h"
#include "checkpoint/checkpoint.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ssa_mirror_drop(struct ssa_crew *c)
{
    free(c->mirror.state);
    c->mirror = (struct ssa_mirror){0};
}

/* Where memory of a kind begins in the copy; of one past the last: its size. */
static size_t kind_at(const struct ssa_trainer *front, int kind)
{
    const size_t each = ssa_arena_elements(ssa_model_values(front->model));
    size_t at = 0;
    for (int k = SSA_KIND_VALUE; k < kind; k++)
        at += ssa_train_config_has(&front->config, k) ? each : 0;
    return at;
}

size_t ssa_mirror_at(const struct ssa_trainer *front, int kind, int i)
{
    return kind_at(front, kind) + ssa_model_number(front->model, i);
}

static int allocate(const struct ssa_trainer *front, float **state)
{
    const size_t size = kind_at(front, SSA_KINDS);
    *state = malloc(size * sizeof **state);
    return *state ? SSA_OK : ssa_fail(SSA_ENOMEM, "train: out of host memory for a copy of the run (%.1f MiB)",
                                      (double)size * 4 / 1048576);
}

/* ---- jobs ---- */

struct copying {
    struct ssa_trainer *trainer;
    float *state;
};

static int each_kind(const struct copying *w, bool read)
{
    struct ssa_trainer *t = w->trainer;
    const size_t count = ssa_gradients_size(t);
    float *at = w->state;
    int err = SSA_OK;
    if (read)
        TRY(ssa_average_begin(t));
    t->average_begun = true;
    for (int kind = SSA_KIND_VALUE; kind < SSA_KINDS; kind++) {
        const struct ssa_arena *arena = kind ? &t->kinds[kind] : ssa_model_values(t->model);
        if (!ssa_train_config_has(&t->config, kind))
            continue;
        TRY(read ? ssa_arena_read(arena, 0, count, at) : ssa_arena_write(arena, 0, count, at));
        at += count;
    }
    if (!read)
        TRY(ssa_trainer_forgive(t));
    TRY(ssa_device_finish(t->device));
done:
    return err;
}

static int read_all(void *argument)
{
    return each_kind(argument, true);
}

static int write_all(void *argument)
{
    return each_kind(argument, false);
}

/* ---- taking and giving ---- */

/* For a copy of the run of seat `i`, into new memory: the old copy is good until the new one is whole. Where there is no
 * room for both, it is given up. */
static int prepare_copy(struct ssa_trainer *front, int i, struct copying **copying)
{
    struct ssa_crew *c = front->crew;
    struct copying *w = *copying = malloc(sizeof *w);
    int err;
    if (!w)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory for a copy of the run");
    w->trainer = c->seats[i]->trainer;
    err = allocate(front, &w->state);
    if (err && c->mirror.valid) {
        ssa_log(SSA_LOG_WARNING, "%s beside the one there is, which is overwritten", ssa_last_error());
        w->state = c->mirror.state;
        c->mirror = (struct ssa_mirror){0};
        err = SSA_OK;
    }
    if (err)
        free(w);
    return err;
}

int ssa_mirror_take(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    struct copying *w;
    struct ssa_member *m;
    int i = ssa_crew_next(c, -1), status, err = SSA_OK;
    double patience = ssa_pool_first_patience(c->pool);
    if (i < 0)
        return SSA_OK;
    m = c->pool->members[i];
    TRY(prepare_copy(front, i, &w));
    status = ssa_member_do(m, read_all, w, patience);
    if (status && !c->mirror.valid && !m->abandoned && ssa_crew_next(c, i) < 0)
        status = ssa_member_do(m, read_all, w, patience); /* without it nothing is left of the run: once more */
    if (status)
        ssa_crew_lose(c, i, ssa_last_error());
    if (!status) { /* the old copy is what goes */
        float *old = c->mirror.state;
        c->mirror = (struct ssa_mirror){.valid = true, .step = front->step, .state = w->state};
        w->state = old;
    }
    ssa_member_release(m, w->state, free);
    ssa_member_release(m, w, free);
done:
    return err;
}

int ssa_mirror_give(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    struct copying *w[SSA_POOL_MOST] = {NULL};
    struct ssa_member *m, *reader = NULL; /* one whose thread may still read the copy */
    int status, err = SSA_OK;
    for (int i = ssa_crew_next(c, -1); i >= 0 && !err; i = ssa_crew_next(c, i)) {
        w[i] = malloc(sizeof *w[i]);
        if (!w[i]) {
            err = ssa_fail(SSA_ENOMEM, "train: out of host memory");
            break;
        }
        *w[i] = (struct copying){c->seats[i]->trainer, c->mirror.state};
        ssa_member_start(c->pool->members[i], write_all, w[i], ssa_pool_first_patience(c->pool));
    }
    while ((m = ssa_pool_next(c->pool, &status))) {
        ssa_member_release(m, w[m->number], free);
        reader = m->abandoned ? m : reader;
        if (status)
            ssa_crew_lose(c, m->number, ssa_last_error());
    }
    if (reader) {
        ssa_member_release(reader, c->mirror.state, free);
        c->mirror.state = NULL;
        c->mirror.valid = false;
    }
    return err;
}

/* ---- going back ---- */

static void rewind_to_copy(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    front->counted -= front->step - c->mirror.step;
    front->step = c->mirror.step;
    front->judged = front->judged < front->step ? front->judged : front->step;
    ssa_crew_go_back(c, front->step);
}

int ssa_mirror_rollback(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    const struct ssa_member *lost = c->pool->members[c->pool->last_lost];
    struct ssa_member *m;
    int before = front->step, err;
    char why[128];
    if (!c->mirror.valid)
        return ssa_fail(SSA_EDEVICE, "train: no device of the pool is left (%s: %s), and there is no copy of the run "
                        "to go on from", lost->info.id, lost->reason);
    rewind_to_copy(front);
    if (c->pool->config.last == SSA_POOL_STOP || front->over_ranks) /* the other ranks cannot go back */
        return ssa_fail(SSA_EDEVICE, "train: no device of the pool is left (%s: %s); a checkpoint that is saved now is "
                        "of step %d", lost->info.id, lost->reason, front->step);
    TRY(ssa_pool_join_host(c->pool, &m));
    TRY(ssa_group_join(front->model, m));
    TRY(ssa_crew_join(front, m));
    TRY(ssa_mirror_give(front));
    snprintf(why, sizeof why, "%d steps are done again", before - front->step);
    ssa_pool_tell(m, SSA_POOL_ROLLBACK, 0, front->micros, why);
done:
    return err;
}

/* ---- checkpoints ---- */

int ssa_mirror_now(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    int target = front->step, err = SSA_OK;
    while (!err && !(c->mirror.valid && c->mirror.step == target)) {
        if (ssa_crew_next(c, -1) < 0)
            err = ssa_mirror_rollback(front);
        else if (front->step < target || c->drained < front->step)
            err = ssa_crew_settle(front, target);
        else if (!(err = ssa_trainer_settle(front)) && front->step < target)
            target = front->step; /* the steps after it were not taken */
        else if (!err)
            err = ssa_mirror_take(front);
    }
    return err == SSA_EDEVICE && c->mirror.valid ? SSA_OK : err; /* as it was, then */
}

int ssa_mirror_set(struct ssa_trainer *front, int step, void (*fill)(const void *cookie, float *state),
                   const void *cookie)
{
    struct ssa_crew *c = front->crew;
    int err;
    ssa_mirror_drop(c);
    TRY(allocate(front, &c->mirror.state));
    memset(c->mirror.state, 0, kind_at(front, SSA_KINDS) * sizeof *c->mirror.state); /* between parameters, too */
    fill(cookie, c->mirror.state);
    c->mirror.valid = true;
    c->mirror.step = c->drained = front->step = front->judged = step;
    front->counted = 0;
    TRY(ssa_mirror_give(front));
    if (ssa_crew_next(c, -1) < 0)
        TRY(ssa_mirror_rollback(front));
    c->alike = true;
    if (c->pool->config.copy_every < 0)
        ssa_mirror_drop(c);
done:
    return err;
}

/* A step of several devices. */
#include "crew.h"
#include "train/sum/over_ranks.h"
#include "impl.h"
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Waits for all jobs. Who failed is lost, unless the caller is to blame. ended() may be NULL. */
static int gather(struct ssa_trainer *front, void (*ended)(struct ssa_trainer *front, int i))
{
    struct ssa_crew *c = front->crew;
    struct ssa_member *m;
    int status, err = SSA_OK;
    char text[512] = "";
    while ((m = ssa_pool_next(c->pool, &status))) {
        if (status && ssa_crew_excuses(c, m->number, status)) {
            err = status;
            snprintf(text, sizeof text, "%s", ssa_last_error());
        } else if (status) {
            ssa_crew_lose(c, m->number, ssa_last_error());
        } else if (ended) {
            ended(front, m->number);
        }
    }
    return err ? ssa_fail(err, "%s", text) : SSA_OK;
}

/* ---- 1: sums of gradients ---- */

/* The next run of micro-batches that nobody has computed. */
static bool next_missing(const struct ssa_crew *c, int *first, int *end)
{
    *first = c->first;
    while (*first < c->end && c->owner[*first] >= 0)
        ++*first;
    *end = *first;
    while (*end < c->end && c->owner[*end] < 0)
        ++*end;
    return *end > *first;
}

static void start_run(struct ssa_trainer *front, int i, int first, int end)
{
    struct ssa_crew *c = front->crew;
    struct ssa_seat *s = c->seats[i];
    int stage = ssa_trainer_stage(front, (uint64_t)front->step);
    s->fresh = s->stage != stage;
    s->stage = stage;
    s->first = first;
    s->end = end;
    for (int micro = first; micro < end; micro++)
        c->owner[micro] = i;
    ssa_member_start(c->pool->members[i], ssa_seat_compute, s, ssa_shares_patience(c, s, end - first));
}

/* A run cut into one for each seat that has a share of it. */
static int compute_run(struct ssa_trainer *front, int first, int end, const int *shares)
{
    const struct ssa_crew *c = front->crew;
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        int until = first + shares[i] < end ? first + shares[i] : end;
        if (until > first)
            start_run(front, i, first, until);
        first = until;
    }
    return gather(front, ssa_shares_observe);
}

static int compute(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    int shares[SSA_POOL_MOST], first, end, err = SSA_OK;
    bool again = true;
    for (int i = 0; i < c->pool->count; i++) {
        shares[i] = c->pool->members[i]->share;
        if (c->seats[i])
            c->seats[i]->count = 0;
    }
    for (int micro = c->first; micro < c->end; micro++)
        c->owner[micro] = -1;
    TRY(compute_run(front, c->first, c->end, shares));
    while (again && ssa_crew_next(c, -1) >= 0) {
        if (next_missing(c, &first, &end)) { /* somebody was lost */
            ssa_shares(c, end - first, shares);
            TRY(compute_run(front, first, end, shares));
        } else {
            TRY(ssa_suspect_finite(front, &again));
        }
    }
done:
    return err;
}

/* The sum of all, in the memory of one of the seats, whose number goes to `owner`. */
static int merge(struct ssa_trainer *front, struct ssa_gradients **sum, int *owner)
{
    const struct ssa_crew *c = front->crew;
    struct ssa_gradients **sums = NULL;
    size_t size = 0;
    int n = 0, count = 0;
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        count += c->seats[i]->count;
        size = ssa_gradients_size(c->seats[i]->trainer);
    }
    sums = calloc((size_t)count + 1, sizeof(struct ssa_gradients *));
    if (!sums)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i))
        for (int k = 0; k < c->seats[i]->count; k++)
            sums[n++] = &c->seats[i]->sums[k];
    count = ssa_gradients_merge(sums, count, size, ssa_tree_begin(front->micros, c->first, c->end));
    *sum = sums[0];
    for (int k = 1; k < count; k++) /* a rank's run is no node of the tree */
        for (size_t e = 0; e < size; e++)
            (*sum)->values[e] += sums[k]->values[e];
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i))
        if (*sum >= c->seats[i]->sums && *sum < c->seats[i]->sums + c->seats[i]->count)
            *owner = i;
    for (int micro = c->first; micro < c->end; micro++)
        c->losses[micro] = c->seats[c->owner[micro]]->losses[micro];
    free(sums);
    return SSA_OK;
}

/* ---- 2: the update ---- */

static bool compute_alike(const struct ssa_device_info *a, const struct ssa_device_info *b)
{
    return a->kind == b->kind && a->gpu_shape == b->gpu_shape && a->units == b->units && !strcmp(a->name, b->name) &&
           !strcmp(a->platform, b->platform) && !strcmp(a->driver, b->driver);
}

/* Memory that a thread which was given up may still read is left to it. */
static void part_with(struct ssa_crew *c, const int *given, float **memory)
{
    for (int i = 0; i < c->pool->count; i++)
        if (given[i] && c->pool->members[i]->abandoned) {
            ssa_member_release(c->pool->members[i], *memory, free);
            *memory = NULL;
        }
}

/* Every seat but `but` gets `memory` with a job. */
static int give_all(struct ssa_trainer *front, ssa_job job, float **memory, int but, bool unlike_only)
{
    struct ssa_crew *c = front->crew;
    int given[SSA_POOL_MOST] = {0}, err;
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        struct ssa_seat *s = c->seats[i];
        if (job == ssa_seat_write_values && i == but)
            continue;
        if (unlike_only && compute_alike(&c->pool->members[i]->info, &c->pool->members[but]->info))
            continue;
        s->given = i == but ? NULL : *memory;
        given[i] = i != but;
        ssa_member_start(c->pool->members[i], job, s,
                         s->update > 0 ? ssa_pool_patience(c->pool, s->update) : ssa_pool_first_patience(c->pool));
    }
    err = gather(front, NULL);
    part_with(c, given, memory);
    return err;
}

/* Where devices do not compute alike, the first one's parameters are everybody's. `all`: they are in any case. */
static int agree(struct ssa_trainer *front, bool all)
{
    struct ssa_crew *c = front->crew;
    int first, err = SSA_OK;
    while ((first = ssa_crew_next(c, -1)) >= 0) {
        bool unlike = all && ssa_crew_next(c, first) >= 0;
        for (int i = ssa_crew_next(c, first); i >= 0; i = ssa_crew_next(c, i))
            unlike = unlike || !compute_alike(&c->pool->members[i]->info, &c->pool->members[first]->info);
        if (!unlike)
            break;
        ssa_member_start(c->pool->members[first], ssa_seat_read_values, c->seats[first],
                         ssa_pool_first_patience(c->pool));
        TRY(gather(front, NULL));
        if (!ssa_crew_seat(c, first))
            continue;
        TRY(give_all(front, ssa_seat_write_values, &c->seats[first]->values, first, !all));
        break;
    }
done:
    return err;
}

/* ---- over ranks: over_ranks.h ---- */

/* Sums of the only seat leave while it computes. */
static int compute_alone(struct ssa_trainer *front, int i)
{
    struct ssa_crew *c = front->crew;
    struct ssa_seat *s = c->seats[i];
    struct ssa_member *m = c->pool->members[i];
    int stage = ssa_trainer_stage(front, (uint64_t)front->step), status;
    s->fresh = s->stage != stage;
    s->stage = stage;
    s->first = c->first;
    s->end = c->end;
    s->over_ranks = front->over_ranks;
    status = ssa_member_do(m, ssa_seat_compute_alone, s, ssa_shares_patience(c, s, c->end - c->first));
    if (m->abandoned)
        ssa_over_ranks_desert(front->over_ranks, true);
    else if (!status)
        ssa_shares_observe(front, i);
    if (status && !ssa_crew_excuses(c, i, status)) /* else all ranks are told by finishing */
        ssa_crew_lose(c, i, ssa_last_error());
    return m->abandoned ? ssa_fail(SSA_EDEVICE, "train: %s: %s", m->info.id, m->reason) : SSA_OK;
}

static int all_ranks_losses(struct ssa_trainer *front)
{
    const float *losses;
    int err = ssa_over_ranks_finish(front->over_ranks, front, &losses);
    if (!err)
        memcpy(front->crew->losses, losses, (size_t)front->micros * sizeof *losses);
    return err;
}

int ssa_crew_tell_ranks(struct ssa_trainer *front)
{
    const struct ssa_pool *pool = front->crew->pool;
    const struct ssa_member *lost = pool->members[pool->last_lost];
    int err;
    TRY(ssa_over_ranks_begin(front, NULL));
    ssa_over_ranks_fail(front->over_ranks, ssa_fail(SSA_EDEVICE, "no device is left (%s: %s)", lost->info.id,
                                                    lost->reason));
    TRY(all_ranks_losses(front));
done:
    return err;
}

/* The sum of all ranks: in `sum` where several devices made this one's, else on its way to the only one. */
static int sum_over_ranks(struct ssa_trainer *front, struct ssa_gradients **sum, int *owner)
{
    struct ssa_crew *c = front->crew;
    struct ssa_over_ranks *o = front->over_ranks;
    int first = ssa_crew_next(c, -1), err;
    bool several = ssa_crew_next(c, first) >= 0;
    int failed = SSA_OK;
    *sum = NULL;
    TRY(ssa_over_ranks_begin(front, c->seats[first]->trainer));
    if (several)
        failed = compute(front);
    else
        TRY(compute_alone(front, first));
    if (failed || ssa_crew_next(c, -1) < 0) { /* the others wait */
        ssa_over_ranks_fail(o, failed ? failed : SSA_EDEVICE);
    } else if (several) {
        TRY(merge(front, sum, owner));
        ssa_over_ranks_offer(o, (*sum)->values, c->losses);
    }
    TRY(all_ranks_losses(front));
done:
    return err;
}

/* ---- all of it ---- */

static int update(struct ssa_trainer *front, struct ssa_gradients *sum, int owner)
{
    struct ssa_crew *c = front->crew;
    bool there = sum && c->seats[owner]->holds_root, all = false;
    float *nothing = NULL;
    int first, err;
    TRY(sum ? give_all(front, ssa_seat_update, &sum->values, there ? owner : -1, false)
            : give_all(front, ssa_seat_update_alone, &nothing, -1, false));
    for (int i = 0; i < c->pool->count; i++)
        if (!sum && c->pool->members[i]->abandoned)
            ssa_over_ranks_desert(front->over_ranks, false);
    first = ssa_crew_next(c, -1);
    if (front->over_ranks) {
        all = !ssa_over_ranks_alike(front->over_ranks);
        TRY(ssa_over_ranks_share_parameters(front->over_ranks, first < 0 ? NULL : c->seats[first]->trainer));
    }
    TRY(agree(front, all));
done:
    return err;
}

int ssa_crew_together(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    struct ssa_gradients *sum;
    int owner = -1, first, err;
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i))
        c->seats[i]->trainer->step = front->step; /* of those without a share too: they update */
    err = ssa_suspect_check(front);
    if (err && !front->over_ranks) /* which must all hear of it: what is wrong comes up again in the step */
        return err;
    if (ssa_crew_next(c, -1) < 0) /* all were lost over it */
        return SSA_OK;
    ssa_shares_plan(front);
    if (front->over_ranks) {
        TRY(sum_over_ranks(front, &sum, &owner));
    } else {
        TRY(compute(front));
        if (ssa_crew_next(c, -1) < 0)
            return SSA_OK;
        TRY(merge(front, &sum, &owner));
    }
    TRY(update(front, sum, owner));
    first = ssa_crew_next(c, -1);
    if (first < 0 && !front->over_ranks)
        return SSA_OK;
    c->history[front->step % SSA_LOSSES] = ssa_tree_sum(c->losses, front->micros);
    if (first >= 0) /* else the other ranks have done the step, maybe the last, and wait for nobody: it counts here too */
        c->squares[front->step % SSA_LOSSES] = c->seats[first]->squares;
    front->step++;
    front->counted++;
    c->drained = front->step;
done:
    return err;
}

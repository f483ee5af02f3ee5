/* Devices that compute wrongly: NaN or infinity where another device gives finite numbers, and the spot check. */
#include "team.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The worker whose turn it is to give a second opinion on worker `i`; -1: there is no other. */
static int another(const struct ssa_team *team, int i)
{
    int k = ssa_team_next(team, i);
    return k >= 0 ? k : ssa_team_next(team, -1) != i ? ssa_team_next(team, -1) : -1;
}

/* Has worker `i` compute a run, a node of the tree, beside the step. *sum: what came of it, until the worker computes
 * again; NULL: it was lost over it. */
static int recompute(struct ssa_trainer *t, int i, int first, int end, const struct ssa_gradients **sum)
{
    struct ssa_team *team = t->team;
    struct ssa_worker *w = team->workers[i];
    const int count = w->count;
    *sum = NULL;
    ssa_reduce_hold(t->reduce);
    w->first = first;
    w->end = end;
    w->fresh = false;
    w->stage = ssa_task_stage(&t->task, (uint64_t)t->step);
    int status = ssa_member_do(team->pool->members[i], ssa_worker_compute, w,
                               ssa_shares_patience(team, w, end - first));
    if (status && ssa_team_excuses(team, i, status))
        return status;
    if (status) {
        ssa_team_lose(team, i, ssa_last_error());
        return SSA_OK;
    }
    w->count = count; /* it is none of the step's */
    *sum = &w->sums[count];
    return SSA_OK;
}

/* The first sum of anybody that is not finite. */
static bool find_suspect(const struct ssa_team *team, int micros, int *i, int *first, int *end)
{
    for (*i = ssa_team_next(team, -1); *i >= 0; *i = ssa_team_next(team, *i))
        for (int k = 0; k < team->workers[*i]->count; k++)
            if (!team->workers[*i]->sums[k].finite) {
                *first = ssa_node_first(team->workers[*i]->sums[k].node);
                *end = ssa_node_end(team->workers[*i]->sums[k].node, micros);
                return true;
            }
    return false;
}

int ssa_audit_finite(struct ssa_trainer *t, bool *again)
{
    struct ssa_team *team = t->team;
    int i, first, end, other, err = SSA_OK;
    char why[160];
    const struct ssa_gradients *sum;
    *again = false;
    if (!find_suspect(team, t->task.micros, &i, &first, &end) || (other = another(team, i)) < 0)
        return SSA_OK;
    TRY(recompute(t, other, first, end, &sum));
    *again = !sum;
    if (sum && sum->finite) {
        snprintf(why, sizeof why, "what it makes of micro-batches %d to %d is not a number, unlike on %s", first,
                 end - 1, team->pool->members[other]->info.id);
        ssa_team_lose(team, i, why);
        *again = true;
    }
done:
    return err;
}

/* ---- the spot check ---- */

/* By how much the gradients on two workers of one micro-batch may differ: of the largest in the same parameter, and of
 * the largest of all (a parameter whose gradient is zero but for rounding). The two shapes of the kernels differ by 1e-6
 * on a small model. */
#define NEAR 2e-3f
#define FLOOR 1e-5f

static float largest(const float *x, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* What somebody makes of a micro-batch. */
struct opinion {
    float loss;
    const float *gradients;
};

/* The first parameter in whose gradients they differ beyond rounding, or "loss"; NULL: none. */
static const char *difference(const struct ssa_trainer *t, struct opinion x, struct opinion y)
{
    float floor = FLOOR * largest(x.gradients, ssa_arena_elements(ssa_model_gradients(t->model)));
    if (!(fabsf(x.loss - y.loss) <= NEAR * fabsf(x.loss)))
        return "loss";
    for (int i = 0; i < ssa_model_tensors(t->model); i++) {
        const struct ssa_parameter *q = ssa_model_parameter(t->model, i);
        const size_t at = ssa_model_number(t->model, i);
        const float *a = x.gradients + at, *b = y.gradients + at;
        float most = NEAR * largest(a, q->count) + floor;
        for (size_t e = 0; e < q->count; e++)
            if (!(fabsf(a[e] - b[e]) <= most))
                return q->name;
    }
    return NULL;
}

static struct opinion opinion(const struct ssa_worker *w, int micro, const struct ssa_gradients *sum)
{
    return (struct opinion){w->losses[micro], sum->values};
}

/* A worker on the host backend, for once. */
struct judge {
    struct ssa_device *device;
    struct ssa_model *model;
    struct ssa_worker *worker;
};

static int open_judge(const struct ssa_trainer *t, struct judge *j)
{
    int err;
    TRY(ssa_device_open(&j->device, "cpu"));
    TRY(ssa_model_create(&j->model, j->device, ssa_model_config(t->model), ssa_model_limits(t->model)));
    TRY(ssa_worker_create(&j->worker, &t->task, j->model, t->feed));
    TRY(ssa_worker_allocate(j->worker));
    j->worker->step = t->step;
done:
    return err;
}

static void close_judge(struct judge *j)
{
    ssa_worker_destroy(j->worker);
    ssa_model_destroy(j->model);
    ssa_device_close(j->device);
}

static void lose_wrong(struct ssa_team *team, int i, int micro, const char *where)
{
    char why[192];
    snprintf(why, sizeof why, "spot check: its %s%s in micro-batch %d is not that of the host backend",
             strcmp(where, "loss") ? "gradient of " : "", where, micro);
    ssa_team_lose(team, i, why);
}

/* Holds what worker `i` made of a micro-batch, its `opinion`, against what the judge makes of it with the same
 * parameters. */
static int judge_one(struct ssa_trainer *t, struct judge *j, int i, int micro, struct opinion given)
{
    struct ssa_team *team = t->team;
    struct ssa_worker *w = team->workers[i];
    const char *where;
    int err;
    if (ssa_member_do(team->pool->members[i], ssa_worker_read_values, w, ssa_pool_first_patience(team->pool))) {
        ssa_team_lose(team, i, ssa_last_error());
        return SSA_OK;
    }
    j->worker->given = w->values;
    j->worker->first = micro;
    j->worker->end = micro + 1;
    j->worker->count = 0;
    TRY(ssa_worker_write_values(j->worker));
    TRY(ssa_worker_compute(j->worker));
    where = difference(t, opinion(j->worker, micro, &j->worker->sums[0]), given);
    if (where)
        lose_wrong(team, i, micro, where);
done:
    return err;
}

/* Both compute rightly, so it is their parameters that differ, which should be the same bits: somebody's updates went
 * wrong. The first member's are taken for right, as they are wherever parameters are given to others. */
static void lose_other(struct ssa_team *team, int a, int b)
{
    int first = a < b ? a : b, other = a < b ? b : a;
    const struct ssa_worker *x = ssa_team_worker(team, first), *y = ssa_team_worker(team, other);
    char why[192];
    if (!x || !y || !memcmp(x->values, y->values, ssa_worker_elements(x) * sizeof *x->values))
        return;
    snprintf(why, sizeof why, "spot check: its parameters are not those of %s", team->pool->members[first]->info.id);
    ssa_team_lose(team, other, why);
}

/* Two differ: the host backend computes it a third time. */
static int settle_difference(struct ssa_trainer *t, const int who[2], int micro, const struct opinion opinions[2],
                             const char *where)
{
    struct ssa_team *team = t->team;
    struct judge j = {0};
    int err = SSA_OK;
    for (int k = 0; k < 2; k++)
        if (team->pool->members[who[k]]->info.kind == SSA_DEVICE_HOST) {
            lose_wrong(team, who[1 - k], micro, where);
            return SSA_OK;
        }
    TRY(open_judge(t, &j));
    for (int k = 0; k < 2; k++)
        TRY(judge_one(t, &j, who[k], micro, opinions[k]));
    lose_other(team, who[0], who[1]);
done:
    close_judge(&j);
    return err;
}

/* The two whose turn it is. */
static bool choose_two(const struct ssa_team *team, int turn, int who[2])
{
    int live = 0;
    for (int i = ssa_team_next(team, -1); i >= 0; i = ssa_team_next(team, i))
        live++;
    who[0] = -1;
    for (turn %= live ? live : 1; turn >= 0; turn--)
        who[0] = ssa_team_next(team, who[0]);
    who[1] = live > 1 ? another(team, who[0]) : -1;
    return live > 1;
}

static int compare_two(struct ssa_trainer *t, const int who[2], int micro)
{
    const struct ssa_team *team = t->team;
    struct opinion opinions[2];
    const char *where;
    int err;
    for (int k = 0; k < 2; k++) {
        const struct ssa_gradients *sum;
        TRY(recompute(t, who[k], micro, micro + 1, &sum));
        if (!sum || !sum->finite) /* lost over it; or seen in the step itself */
            return SSA_OK;
        opinions[k] = opinion(team->workers[who[k]], micro, sum);
    }
    where = difference(t, opinions[0], opinions[1]);
    if (where && settle_difference(t, who, micro, opinions, where))
        ssa_log(SSA_LOG_WARNING, "pool: %s and %s differ in micro-batch %d of step %d, and nobody can say who is "
                "wrong: %s", team->pool->members[who[0]]->info.id, team->pool->members[who[1]]->info.id, micro,
                t->step + 1, ssa_last_error());
done:
    return err;
}

int ssa_audit_check(struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    const int every = team->pool->config.check_every;
    int who[2];
    if (every <= 0 || t->step % every || !choose_two(team, t->step / every, who))
        return SSA_OK;
    return compare_two(t, who, team->first + t->step / every % (team->end - team->first));
}

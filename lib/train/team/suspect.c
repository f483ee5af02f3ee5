/* Devices that compute wrongly: numbers that are none where another device gives some, and the spot check. */
#include "crew.h"
#include "impl.h"
#include "net/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The seat whose turn it is to give a second opinion on seat `i`; -1: there is no other. */
static int another(const struct ssa_crew *c, int i)
{
    int k = ssa_crew_next(c, i);
    return k >= 0 ? k : ssa_crew_next(c, -1) != i ? ssa_crew_next(c, -1) : -1;
}

/* Computes a run on seat `i` beside the step: its sums are forgotten. `finite` is what came of it. */
static int recompute(struct ssa_trainer *front, int i, int first, int end, bool *finite)
{
    struct ssa_crew *c = front->crew;
    struct ssa_seat *s = c->seats[i];
    int count = s->count, status;
    s->first = first;
    s->end = end;
    s->fresh = false;
    s->stage = ssa_trainer_stage(front, (uint64_t)front->step);
    status = ssa_member_do(c->pool->members[i], ssa_seat_compute, s, ssa_shares_patience(c, s, end - first));
    if (status && ssa_crew_excuses(c, i, status))
        return status;
    *finite = !status;
    if (status) {
        ssa_crew_lose(c, i, ssa_last_error());
        return SSA_OK;
    }
    for (int k = count; k < s->count; k++)
        *finite = *finite && s->sums[k].finite;
    s->count = count;
    s->holds_root = false;
    return SSA_OK;
}

/* The first sum of anybody that is not finite. */
static bool find_suspect(const struct ssa_crew *c, int micros, int *i, int *first, int *end)
{
    for (*i = ssa_crew_next(c, -1); *i >= 0; *i = ssa_crew_next(c, *i))
        for (int k = 0; k < c->seats[*i]->count; k++)
            if (!c->seats[*i]->sums[k].finite) {
                *first = ssa_node_first(c->seats[*i]->sums[k].node);
                *end = ssa_node_end(c->seats[*i]->sums[k].node, micros);
                return true;
            }
    return false;
}

int ssa_suspect_finite(struct ssa_trainer *front, bool *again)
{
    struct ssa_crew *c = front->crew;
    int i, first, end, other, err = SSA_OK;
    char why[160];
    bool finite;
    *again = false;
    if (!find_suspect(c, front->micros, &i, &first, &end) || (other = another(c, i)) < 0)
        return SSA_OK;
    TRY(recompute(front, other, first, end, &finite));
    if (!ssa_crew_seat(c, other)) {
        *again = true;
    } else if (finite) {
        snprintf(why, sizeof why, "what it makes of micro-batches %d to %d is not a number, unlike on %s", first,
                 end - 1, c->pool->members[other]->info.id);
        ssa_crew_lose(c, i, why);
        *again = true;
    }
done:
    return err;
}

/* ---- the spot check ---- */

/* By how much the gradients on two seats of one micro-batch may differ: of the largest in the same parameter, and of
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
    float floor = FLOOR * largest(x.gradients, ssa_gradients_size(t));
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

/* Of a seat that has just recomputed the micro-batch, its sums after `count` others. */
static struct opinion opinion(const struct ssa_seat *s, int micro, int count)
{
    return (struct opinion){s->losses[micro], s->sums[count].values};
}

static struct opinion redone(const struct ssa_seat *s, int micro)
{
    return opinion(s, micro, s->count);
}

/* A seat on the host backend, for once. */
struct judge {
    struct ssa_device *device;
    struct ssa_model *model;
    struct ssa_seat *seat;
};

static int open_judge(const struct ssa_trainer *front, struct judge *j)
{
    int err;
    TRY(ssa_device_open(&j->device, "cpu"));
    TRY(ssa_model_create(&j->model, j->device, ssa_model_config(front->model), ssa_model_limits(front->model)));
    j->seat = calloc(1, sizeof *j->seat);
    if (!j->seat)
        return ssa_fail(SSA_ENOMEM, "out of host memory");
    TRY(ssa_trainer_prepare(&j->seat->trainer, j->model, &front->config, &front->data));
    j->seat->trainer->feed = front->feed;
    TRY(ssa_trainer_allocate(j->seat->trainer));
    j->seat->trainer->step = front->step;
done:
    return err;
}

static void close_judge(struct judge *j)
{
    ssa_seat_free(j->seat);
    ssa_model_destroy(j->model);
    ssa_device_close(j->device);
}

static void lose_wrong(struct ssa_crew *c, int i, int micro, const char *where)
{
    char why[192];
    snprintf(why, sizeof why, "spot check: its %s%s in micro-batch %d is not that of the host backend",
             strcmp(where, "loss") ? "gradient of " : "", where, micro);
    ssa_crew_lose(c, i, why);
}

/* Holds what seat `i` made of a micro-batch against what the judge makes of it with the same parameters. */
static int judge_one(struct ssa_trainer *front, struct judge *j, int i, int micro)
{
    struct ssa_crew *c = front->crew;
    struct ssa_seat *s = c->seats[i];
    const char *where;
    int err;
    if (ssa_member_do(c->pool->members[i], ssa_seat_read_values, s, ssa_pool_first_patience(c->pool))) {
        ssa_crew_lose(c, i, ssa_last_error());
        return SSA_OK;
    }
    j->seat->given = s->values;
    j->seat->first = micro;
    j->seat->end = micro + 1;
    j->seat->count = 0;
    TRY(ssa_seat_write_values(j->seat));
    TRY(ssa_seat_compute(j->seat));
    where = difference(j->seat->trainer, opinion(j->seat, micro, 0), redone(s, micro));
    if (where)
        lose_wrong(c, i, micro, where);
done:
    return err;
}

/* Both compute rightly, so it is their parameters that differ, which should be the same bits: somebody's updates went
 * wrong. The first member's are taken for right, as they are wherever parameters are given to others. */
static void lose_other(struct ssa_crew *c, int a, int b)
{
    int first = a < b ? a : b, other = a < b ? b : a;
    const struct ssa_seat *x = ssa_crew_seat(c, first), *y = ssa_crew_seat(c, other);
    char why[192];
    if (!x || !y || !memcmp(x->values, y->values, ssa_gradients_size(x->trainer) * sizeof *x->values))
        return;
    snprintf(why, sizeof why, "spot check: its parameters are not those of %s", c->pool->members[first]->info.id);
    ssa_crew_lose(c, other, why);
}

/* Two seats differ: the host backend computes it a third time. */
static int settle_difference(struct ssa_trainer *front, int a, int b, int micro, const char *where)
{
    const struct ssa_crew *c = front->crew;
    struct judge j = {0};
    int err = SSA_OK;
    if (c->pool->members[a]->info.kind == SSA_DEVICE_HOST || c->pool->members[b]->info.kind == SSA_DEVICE_HOST) {
        lose_wrong(front->crew, c->pool->members[a]->info.kind == SSA_DEVICE_HOST ? b : a, micro, where);
        return SSA_OK;
    }
    TRY(open_judge(front, &j));
    TRY(judge_one(front, &j, a, micro));
    TRY(judge_one(front, &j, b, micro));
    lose_other(front->crew, a, b);
done:
    close_judge(&j);
    return err;
}

int ssa_suspect_check(struct ssa_trainer *front)
{
    struct ssa_crew *c = front->crew;
    int every = c->pool->config.check_every, a = -1, b, micro, err = SSA_OK;
    bool finite[2];
    const char *where;
    if (every <= 0 || front->step % every)
        return SSA_OK;
    for (int turn = front->step / every % ssa_pool_live(c->pool); turn >= 0; turn--)
        a = ssa_crew_next(c, a);
    if ((b = another(c, a)) < 0)
        return SSA_OK;
    micro = c->first + front->step / every % (c->end - c->first);
    TRY(recompute(front, a, micro, micro + 1, &finite[0]));
    TRY(recompute(front, b, micro, micro + 1, &finite[1]));
    if (!finite[0] || !finite[1]) /* lost over it; or seen in the step itself */
        return SSA_OK;
    where = difference(c->seats[a]->trainer, redone(c->seats[a], micro), redone(c->seats[b], micro));
    if (where && settle_difference(front, a, b, micro, where))
        ssa_log(SSA_LOG_WARNING, "pool: %s and %s differ in micro-batch %d of step %d, and nobody can say who is "
                "wrong: %s", c->pool->members[a]->info.id, c->pool->members[b]->info.id, micro, front->step + 1,
                ssa_last_error());
done:
    return err;
}

/* Devices that compute wrongly: numbers that are none where another device gives some, and the spot check. */
#include "crew.h"
#include "../impl.h"

#include <stdio.h>

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
    status = ssa_member_do(c->pool->members[i], ssa_seat_compute, s, ssa_pool_first_patience(c->pool));
    if (status == SSA_EINVAL)
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
        snprintf(why, sizeof why, "what it makes of micro-batches %d to %d is not a number, unlike on %s", first, end - 1,
                 c->pool->members[other]->info.id);
        ssa_crew_lose(c, i, why);
        *again = true;
    }
done:
    return err;
}

int ssa_suspect_check(struct ssa_trainer *front)
{
    (void)front;
    return SSA_OK;
}

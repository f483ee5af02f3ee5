/* Who computes how many micro-batches of a step: so many that the slowest is ready as early as can be, from seconds a
 * micro-batch and seconds a step (transfers), both means that forget by half at every step. */
#include "crew.h"
#include "impl.h"

#include <stdio.h>

#define KEEP 0.98 /* other shares must be faster by more than this */
#define RETRY 64  /* times a micro-batch's seconds that a device without a share is idle before it is tried again */

static double mean(double old, double now)
{
    return old > 0 ? 0.5 * old + 0.5 * now : now;
}

void ssa_shares_observe(struct ssa_trainer *front, int i)
{
    struct ssa_seat *s = front->crew->seats[i];
    if (s->timed <= 0 || s->compute <= 0)
        return;
    s->seconds = mean(s->seconds, s->compute / s->timed);
    s->fixed = mean(s->fixed, s->transfer);
    s->measured = s->stage;
    front->crew->pool->members[i]->rate = (double)front->micro_batch * front->length / s->seconds;
}

static double expect(const struct ssa_seat *s, int count)
{
    return s->seconds * count + s->fixed;
}

/* In a new stage kernels may have to be built, and dense attention takes several times as long as sampled. Where nothing
 * is known at all, no micro-batch is slower than the deadline. */
double ssa_shares_patience(const struct ssa_crew *c, const struct ssa_seat *s, int count)
{
    double first = ssa_pool_first_patience(c->pool);
    if (s->seconds > 0 && s->measured == s->stage)
        return ssa_pool_patience(c->pool, expect(s, count));
    if (first <= 0)
        return 0; /* for ever */
    return first + (s->seconds > 0 ? 16 * expect(s, count) : count * c->pool->config.deadline);
}

/* What a seat takes for `count`; one that was not measured yet is as fast as the mean of the others. */
static double time_of(const struct ssa_crew *c, int i, int count, double usual)
{
    const struct ssa_seat *s = c->seats[i];
    return s->seconds > 0 ? expect(s, count) : usual * count;
}

static double usual_seconds(const struct ssa_crew *c)
{
    double sum = 0;
    int n = 0;
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i))
        if (c->seats[i]->seconds > 0) {
            sum += c->seats[i]->seconds;
            n++;
        }
    return n ? sum / n : 1;
}

/* One after another to whoever would have done it first. */
void ssa_shares(const struct ssa_crew *c, int count, int *shares)
{
    double usual = usual_seconds(c);
    for (int i = 0; i < SSA_POOL_MOST; i++)
        shares[i] = 0;
    for (; count > 0; count--) {
        int best = ssa_crew_next(c, -1);
        for (int i = ssa_crew_next(c, best); i >= 0; i = ssa_crew_next(c, i))
            if (time_of(c, i, shares[i] + 1, usual) < time_of(c, best, shares[best] + 1, usual))
                best = i;
        shares[best]++;
    }
}

/* Seconds of a step with these shares. */
static double step_time(const struct ssa_crew *c, const int *shares)
{
    double usual = usual_seconds(c), slowest = 0;
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        double time = shares[i] ? time_of(c, i, shares[i], usual) : 0;
        slowest = time > slowest ? time : slowest;
    }
    return slowest;
}

/* One that is not known yet at once; else so seldom that however slow it is, the others wait a 64th of the time for it
 * at most. */
static bool is_due(const struct ssa_seat *s)
{
    return s->seconds <= 0 || s->idle >= RETRY * expect(s, 1);
}

/* Those without a share get one micro-batch when they are due, from whoever has most. */
static void try_again(const struct ssa_crew *c, int *shares)
{
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        int most = i;
        if (shares[i] || !is_due(c->seats[i]))
            continue;
        for (int k = ssa_crew_next(c, -1); k >= 0; k = ssa_crew_next(c, k))
            most = shares[k] > shares[most] ? k : most;
        shares[most]--;
        shares[i]++;
    }
}

static void choose(const struct ssa_crew *c, int *shares)
{
    int count = c->end - c->first, sum = 0, given = 0, old[SSA_POOL_MOST] = {0};
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        shares[i] = c->pool->shares ? c->pool->shares[i] : 0;
        given += shares[i];
        old[i] = c->pool->members[i]->share;
        sum += old[i];
    }
    if (given == count)
        return;
    ssa_shares(c, count, shares);
    if (sum == count && step_time(c, shares) > KEEP * step_time(c, old))
        for (int i = 0; i < SSA_POOL_MOST; i++)
            shares[i] = old[i];
    try_again(c, shares);
}

static void tell(struct ssa_member *m, const struct ssa_seat *s, int share)
{
    char why[128] = "its speed is not known yet";
    int before = m->share;
    if (s->seconds > 0)
        snprintf(why, sizeof why, "%.3g s a micro-batch, %.3g s a step besides%s", s->seconds, s->fixed,
                 !before && is_due(s) ? "; tried again" : "");
    m->share = share;
    if (before != share)
        ssa_pool_tell(m, SSA_POOL_SHARE, before, share, why);
}

void ssa_shares_plan(struct ssa_trainer *front)
{
    const struct ssa_crew *c = front->crew;
    int shares[SSA_POOL_MOST] = {0};
    double time;
    choose(c, shares);
    time = step_time(c, shares);
    for (int i = ssa_crew_next(c, -1); i >= 0; i = ssa_crew_next(c, i)) {
        struct ssa_seat *s = c->seats[i];
        tell(c->pool->members[i], s, shares[i]);
        s->idle = shares[i] ? 0 : s->idle + time;
    }
}

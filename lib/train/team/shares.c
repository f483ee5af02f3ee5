/* Who computes how much of a step: so many micro-batches that the slowest is ready as early as can be, from seconds a
 * micro-batch and seconds a step (transfers), both means that forget by half at every step. Where micro-batches are
 * not alike, a share is of their work: as much as so many usual ones are, and seconds are of a usual one. */
#include "team.h"
#include "train/work.h"
#include "impl.h"

#include <stdio.h>

#define KEEP 0.98 /* other shares must be faster by more than this */
#define RETRY 64  /* times a micro-batch's seconds that a device without a share is idle before it is tried again */

static double mean(double old, double now)
{
    return old > 0 ? 0.5 * old + 0.5 * now : now;
}

int ssa_shares_draw_work(struct ssa_trainer *t)
{
    struct ssa_team *team = t->team;
    const struct ssa_task *k = &t->task;
    const int count = team->end - team->first;
    const struct ssa_draw draw = {.training = 1, .count = count * k->micro_batch, .length = k->length,
        .answers = k->facts.answers, .seed = k->config.seed, .step = (uint64_t)t->step,
        .first = (uint64_t)team->first * (uint64_t)k->micro_batch};
    int err = SSA_OK;
    if (team->pool->bare || !k->data.sizes)
        return SSA_OK;
    TRY(ssa_work_draw(&k->data, &k->facts, &draw, k->micro_batch, team->work + team->first));
    team->usual = team->usual > 0 ? team->usual : ssa_shares_work(team, team->first, team->end) / count;
    for (int micro = team->first; micro < team->end; micro++)
        team->work[micro] /= team->usual > 0 ? team->usual : 1;
done:
    return err;
}

double ssa_shares_work(const struct ssa_team *team, int first, int end)
{
    double sum = 0;
    for (int micro = first; micro < end; micro++)
        sum += team->work[micro];
    return sum;
}

void ssa_shares_observe(struct ssa_trainer *t, int i)
{
    struct ssa_worker *w = t->team->workers[i];
    if (w->timed <= 0 || w->compute <= 0)
        return;
    w->seconds = mean(w->seconds, w->compute / w->timed);
    w->fixed = mean(w->fixed, w->transfer);
    w->measured = w->stage;
    t->team->pool->members[i]->rate = (double)t->task.micro_batch * t->task.length / w->seconds;
}

static double expect(const struct ssa_worker *w, int count)
{
    return w->seconds * count + w->fixed;
}

/* In a new stage kernels may have to be built, and dense attention takes several times as long as sampled. Where nothing
 * is known at all, no micro-batch is slower than the deadline. */
double ssa_shares_patience(const struct ssa_team *team, const struct ssa_worker *w, int count)
{
    double first = ssa_pool_first_patience(team->pool);
    if (w->seconds > 0 && w->measured == w->stage) {
        const bool alternates = team->trainer->task.config.stages[w->stage].dense_every;
        return ssa_pool_patience(team->pool, (alternates ? 4 : 1) * expect(w, count));
    }
    if (first <= 0)
        return 0; /* for ever */
    return first + (w->seconds > 0 ? 16 * expect(w, count) : count * team->pool->config.deadline);
}

/* What a worker takes for `count`; one that was not measured yet is as fast as the mean of the others. */
static double time_of(const struct ssa_team *team, int i, int count, double usual)
{
    const struct ssa_worker *w = team->workers[i];
    return w->seconds > 0 ? expect(w, count) : usual * count;
}

static double usual_seconds(const struct ssa_team *team)
{
    double sum = 0;
    int n = 0;
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i))
        if (team->workers[i]->seconds > 0) {
            sum += team->workers[i]->seconds;
            n++;
        }
    return n ? sum / n : 1;
}

static int next(const struct ssa_team *team, int i, bool all)
{
    return all ? ssa_team_next_live(team, i) : ssa_team_next(team, i);
}

/* One after another to whoever would have done it first. */
void ssa_shares(const struct ssa_team *team, int count, bool all, int *shares)
{
    double usual = usual_seconds(team);
    for (int i = 0; i < SSA_POOL_MOST; i++)
        shares[i] = 0;
    for (; count > 0; count--) {
        int best = next(team, -1, all);
        for (int i = next(team, best, all); i >= 0; i = next(team, i, all))
            if (time_of(team, i, shares[i] + 1, usual) < time_of(team, best, shares[best] + 1, usual))
                best = i;
        shares[best]++;
    }
}

/* Seconds of a step with these shares. */
static double step_time(const struct ssa_team *team, const int *shares)
{
    double usual = usual_seconds(team), slowest = 0;
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i)) {
        double time = shares[i] ? time_of(team, i, shares[i], usual) : 0;
        slowest = time > slowest ? time : slowest;
    }
    return slowest;
}

/* An unmeasured device is tried at once; others only so often that the rest wait at most 1/64 of their time for it and
 * for the run that it is given first. */
static bool is_due(const struct ssa_worker *w)
{
    return w->seconds <= 0 || w->idle >= RETRY * (expect(w, 1) + w->waking);
}

/* Whether the step needs a second opinion: it was not finite, or is to be checked. */
static bool needs_two(const struct ssa_team *team)
{
    const int step = team->trainer->step, every = team->pool->config.check_every;
    return team->doubted == step || (every > 0 && step % every == 0);
}

/* Those without a share get one micro-batch when they are due, or all have to be there, from whoever has most. */
static void try_again(const struct ssa_team *team, bool all, int *shares)
{
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i)) {
        int most = i;
        if (shares[i] || !(all || is_due(team->workers[i])))
            continue;
        for (int k = ssa_team_next_live(team, -1); k >= 0; k = ssa_team_next_live(team, k))
            most = shares[k] > shares[most] ? k : most;
        if (shares[most] < 2 && !is_due(team->workers[i])) /* one in the place of another is no second opinion */
            continue;
        shares[most]--;
        shares[i]++;
    }
}

static void choose(const struct ssa_team *team, int *shares)
{
    int count = team->end - team->first, sum = 0, given = 0, old[SSA_POOL_MOST] = {0};
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i)) {
        shares[i] = team->pool->shares ? team->pool->shares[i] : 0;
        given += shares[i];
        old[i] = team->pool->members[i]->share;
        sum += old[i];
    }
    if (given == count) {
        if (needs_two(team))
            try_again(team, true, shares);
        return;
    }
    ssa_shares(team, count, true, shares);
    if (sum == count && step_time(team, shares) > KEEP * step_time(team, old))
        for (int i = 0; i < SSA_POOL_MOST; i++)
            shares[i] = old[i];
    try_again(team, needs_two(team), shares);
}

static void tell(struct ssa_member *m, const struct ssa_worker *w, int share)
{
    char why[128] = "its speed is not known yet";
    int before = m->share;
    if (ssa_pool_live(m->pool) == 1)
        snprintf(why, sizeof why, "it is the only device");
    else if (w->seconds > 0)
        snprintf(why, sizeof why, "%.3g s a micro-batch, %.3g s a step in addition%s", w->seconds, w->fixed,
                 !before && is_due(w) ? "; tried again" : "");
    m->share = share;
    if (before != share)
        ssa_pool_tell(m, SSA_POOL_SHARE, before, share, why);
}

void ssa_shares_plan(struct ssa_trainer *t)
{
    const struct ssa_team *team = t->team;
    int shares[SSA_POOL_MOST] = {0};
    double time;
    if (team->planned == t->step)
        return;
    t->team->planned = t->step;
    choose(team, shares);
    time = step_time(team, shares);
    for (int i = ssa_team_next_live(team, -1); i >= 0; i = ssa_team_next_live(team, i)) {
        struct ssa_worker *w = team->workers[i];
        tell(team->pool->members[i], w, shares[i]);
        w->idle = shares[i] ? 0 : w->idle + time;
    }
}

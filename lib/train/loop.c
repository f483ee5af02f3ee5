/* The loop around a step: reports and stops. */
#include "train/team/team.h"
#include "impl.h"

#include <limits.h>
#include <math.h>

struct clock {
    double start, report, stage_start; /* seconds */
    int reported, stage_step, stage;   /* steps done at the last report and at the start of this stage */
};

/* Reads the losses since the last report, checks them, and tells the program. */
static int report(struct ssa_trainer *t, struct clock *c, const struct ssa_trainer_run *run)
{
    float losses[SSA_LOSSES], squares[SSA_LOSSES];
    int count = t->step - c->reported, err;
    double sum = 0;
    TRY(ssa_team_history(t, count, losses, squares));
    TRY(ssa_trainer_judge(t, count, losses, squares));
    for (int i = 0; i < count; i++)
        sum += (double)losses[i];
    double time = ssa_seconds(), tokens = (double)t->task.config.batch * t->task.length;
    int steps = ssa_trainer_total_steps(t);
    double seconds_a_step = (time - c->stage_start) / (t->step - c->stage_step);
    if (run->progress)
        run->progress(run->cookie, &(struct ssa_progress){.step = t->step, .steps = steps, .stage = c->stage,
            .loss = sum / count, .gradient_norm = sqrt((double)squares[count - 1]),
            .lr = (double)ssa_learning_rate(&t->task.config, t->step - 1), .tokens = tokens * t->step,
            .tokens_per_second = tokens * count / (time - c->report), .seconds = time - c->start,
            .seconds_left = seconds_a_step * (steps - t->step)});
    c->report = time;
    c->reported = t->step;
done:
    return err;
}

/* Time in which nothing was trained. */
static void leave_out(struct clock *c, double seconds)
{
    c->report += seconds;
    c->stage_start += seconds;
}

int ssa_trainer_run(struct ssa_trainer *t, int until, const struct ssa_trainer_run *run)
{
    static const struct ssa_trainer_run defaults;
    run = run ? run : &defaults;
    int steps = ssa_trainer_total_steps(t), every = run->every ? run->every : 10, err;
    double start = ssa_seconds();
    struct clock c = {.start = start, .report = start, .stage_start = start};
    bool stop = false;
    t->stop = run->stop;
    TRY(ssa_check_reserved("train: run", run->reserved, 3));
    REQUIRE(until >= 0 && until <= steps, "train: until step %d, there are %d", until, steps);
    REQUIRE(every >= SSA_NONE, "train: run: every is %d, must not be negative, or SSA_NONE", every);
    until = until ? until : steps;
    if (run->watch)
        TRY(ssa_watch_check(t, run->watch));
    TRY(ssa_trainer_settle(t)); /* the caller may have stepped */
    c.reported = c.stage_step = t->step;
    c.stage = ssa_task_stage(&t->task, (uint64_t)t->step);
    every = every > 0 && every < SSA_LOSSES ? every : SSA_LOSSES; /* as many as there are kept */
    int look = run->watch ? ssa_watch_next(t, run->watch) : INT_MAX;
    while (t->step < until && !stop) {
        int stage = ssa_task_stage(&t->task, (uint64_t)t->step);
        if (stage != c.stage) { /* its speed is another */
            c.stage = stage;
            c.stage_start = ssa_seconds();
            c.stage_step = t->step;
        }
        TRY(ssa_trainer_step(t));
        stop = ssa_trainer_over_ranks(t) ? t->stops : run->stop && *run->stop;
        bool ends_stage = ssa_task_stage(&t->task, (uint64_t)t->step) != stage;
        if (t->step - c.reported >= every || t->step == until || stop || ends_stage || t->step == look)
            TRY(report(t, &c, run));
        if (t->step == look && !stop) {
            double begin = ssa_seconds();
            TRY(ssa_watch_look(t, run->watch));
            leave_out(&c, ssa_seconds() - begin);
            look = ssa_watch_next(t, run->watch);
            stop = t->out_of_patience && !ssa_trainer_over_ranks(t) && t->step < steps; /* ranks agree in the next step */
        }
    }
    if (stop && t->out_of_patience)
        err = ssa_fail(SSA_ESTOPPED, "train: stopped after step %d of %d: the loss on held-out data was least at step "
                       "%d", t->step, steps, t->best.step);
    else if (stop)
        err = ssa_fail(SSA_ESTOPPED, "train: stopped after step %d of %d", t->step, steps);
    if (stop)
        t->out_of_patience = false; /* told: a run that is called again goes on to its next look */
done:
    t->stop = NULL;
    return err;
}

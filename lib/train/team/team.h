/* A team: the workers of a run, one a device. A trainer on a bare device has a team of one, whose jobs run on the
 * caller's thread.
 *
 * A step goes one of two ways (step.c):
 *
 *   stay   one worker has all of it: its sum stays on the device, the step is enqueued and not waited for;
 *   sum    several have it, or several ranks: each computes its run of micro-batches, and its sums come to the host bucket by
 *          bucket, where they are added up along the tree and over ranks (sum/reduce.h); each takes the sum and updates.
 *
 * A worker without a share rests: it makes no updates until it has one again, and is then given the run as it is. Not
 * where the run is never copied, nor over ranks, which cannot go back to a copy: then it goes on updating, to be there
 * when the others are lost.
 * Whatever a device of a pool fails at, it is lost and what it owed is done again: its micro-batches by the others;
 * the run since the last copy (snapshot.c) by one that rests, or by the host backend, if there are no others. */
#ifndef SSA_TRAIN_TEAM_H
#define SSA_TRAIN_TEAM_H

#include "train/team/worker.h"

/* A copy of the run on the host: parameters, first moments, second moments, and the average where one is kept; each in
 * the host's order (net/arena.h). */
struct ssa_snapshot {
    bool valid;
    int step;
    float *state;
};

struct ssa_team {
    struct ssa_trainer *trainer;
    struct ssa_pool *pool;     /* a bare one of the team's own, for a bare device */
    struct ssa_worker *workers[SSA_POOL_MOST]; /* by the member's number; NULL where there is none */
    int first, end;            /* micro-batches of a step that are this process's */
    int *owner;                /* who computed each of them in this step; -1: nobody yet */
    float *losses;             /* of them */
    double *work;              /* of them, in the step at hand: 1 is a usual one's, */
    double usual;              /* which is this by work.h; 0: not known yet */
    bool same_parameters;      /* all workers were given the same */
    int planned;               /* the step whose shares were planned last; -1: none was */
    int doubted;               /* a step that nobody rests in, since it was not finite; -1: none */
    struct ssa_snapshot snapshot;
    int drained;               /* steps whose losses are in the history; later ones are on the only worker's device */
    double drained_at;         /* ssa_awake() when the first of those began */
    double stayed;             /* work of those */
    float history[SSA_LOSSES]; /* sums over a step's answers */
    float squares[SSA_LOSSES]; /* the gradient's norm, squared */
};

/* ---- team.c ---- */
int ssa_team_create(struct ssa_trainer *t);
void ssa_team_destroy(struct ssa_team *team);
int ssa_team_step(struct ssa_trainer *t);
/* Loss and the gradient's squared norm of each of the last `count` steps. */
int ssa_team_history(struct ssa_trainer *t, int count, float *losses, float *squares);
void ssa_team_go_back(struct ssa_trainer *t, int step); /* later steps count for nothing */
/* Goes on until `step` steps are done and all their losses are here. */
int ssa_team_settle(struct ssa_trainer *t, int step);
/* A worker on a member that joined. */
int ssa_team_join(struct ssa_trainer *t, struct ssa_member *m);
/* Every worker's weights and their average change places; `on`: the average comes in. */
int ssa_team_swap_average(struct ssa_trainer *t, bool on);
/* The member and its worker are out; `why` goes into the event. */
void ssa_team_lose(struct ssa_team *team, int i, const char *why);
/* That the job of member `i` failed is no fault of its device, but of an argument, or of data that did not come; or
 * nobody could do it in its place, so that the caller hears of it. Asked once for each job that failed. */
bool ssa_team_excuses(const struct ssa_team *team, int i, int status);
/* The worker of a member that takes part, or NULL; the first such member after `i`, or -1: of all, resting ones too;
 * or of those whose parameters are the run's. */
struct ssa_worker *ssa_team_worker(const struct ssa_team *team, int i);
/* Whether a worker without a share rests: where there are copies from which the run could go on with it. Other ranks
 * could not go back with it. */
static inline bool ssa_team_rests(const struct ssa_team *team)
{
    return team->pool->config.copy_every > 0 && !ssa_trainer_over_ranks(team->trainer);
}
int ssa_team_next(const struct ssa_team *team, int i);
int ssa_team_next_live(const struct ssa_team *team, int i);

/* The only worker of a bare device, in whose memory the run may be read and written directly; NULL: on a pool. */
struct ssa_worker *ssa_team_bare(const struct ssa_team *team);

/* ---- step.c ---- */
int ssa_team_sum(struct ssa_trainer *t);       /* a step whose gradients are summed on the host */
int ssa_team_stay(struct ssa_trainer *t, int i); /* a step that worker `i` does alone */
int ssa_team_tell_ranks(struct ssa_trainer *t); /* that no device of this one is left: a step that fails on all */

/* ---- shares.c ---- */
/* `count` micro-batches over workers, of all or of those that do not rest: the slowest is as early as can be. */
void ssa_shares(const struct ssa_team *team, int count, bool all, int *shares);
/* Shares of the step at hand become the members', with events. Once a step. */
void ssa_shares_plan(struct ssa_trainer *t);
/* Work of the micro-batches of the step at hand, as far as its source says their sizes, and of a run of them. */
int ssa_shares_draw_work(struct ssa_trainer *t);
double ssa_shares_work(const struct ssa_team *team, int first, int end);
/* What the job at its end says of the worker's speed. */
void ssa_shares_observe(struct ssa_trainer *t, int i);
/* Seconds to give the worker for `count` micro-batches in the stage that it is at; 0: for ever. */
double ssa_shares_patience(const struct ssa_team *team, const struct ssa_worker *w, int count);

/* ---- snapshot.c ---- */
/* Copies the run of the first worker to the host. One that fails is lost; check ssa_team_next(). */
int ssa_snapshot_take(struct ssa_trainer *t);
/* Gives the copy to every worker, or to those only that rest and have a share. */
int ssa_snapshot_give(struct ssa_trainer *t, bool all);
/* Brings the copy up to the steps done. Where no device is left for that, it stays as it was, and the trainer's step
 * becomes its. */
int ssa_snapshot_now(struct ssa_trainer *t);
/* Has the run go on from what fill() puts into a copy, and from `step`. */
int ssa_snapshot_set(struct ssa_trainer *t, int step, void (*fill)(const void *cookie, float *state),
                     const void *cookie);
void ssa_snapshot_drop(struct ssa_team *team);
void ssa_snapshot_used(struct ssa_team *team); /* drops it where none is kept */
bool ssa_snapshot_is_current(const struct ssa_trainer *t); /* of the steps done */
size_t ssa_snapshot_at(const struct ssa_trainer *t, int kind, int i); /* where parameter `i` is in it, or its moment */
/* No worker is left whose parameters are the run's: goes back to the copy, and on with those that rest, or with the
 * host backend if the program wants that. */
int ssa_snapshot_roll_back(struct ssa_trainer *t);

/* ---- audit.c ---- */
/* Has what is not finite computed elsewhere. true: somebody was lost, and micro-batches have no owner. */
int ssa_audit_finite(struct ssa_trainer *t, bool *again);
/* The spot check. */
int ssa_audit_check(struct ssa_trainer *t);

#endif

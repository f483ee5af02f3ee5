/* The trainer of a model on a pool: a trainer a device (a seat), and the front that has them work together.
 *
 * A step: shares; every device computes its run of micro-batches and hands over sums (exchange.h); these are merged
 * on the host; every device takes the sum and updates. With one device left it is the step of a bare one, enqueued and
 * not waited for. Whatever a device fails at, it is lost and what it owed is done again: its micro-batches by the
 * others; the run since the last copy (mirror.c) by the host backend, if there are no others. */
#ifndef SSA_TRAIN_CREW_H
#define SSA_TRAIN_CREW_H

#include "train/sum/exchange.h"
#include "pool/pool.h"

/* A copy of the run on the host: parameters, first moments, second moments, and the average where one is kept; each in
 * the host's order (net.h). */
struct ssa_mirror {
    bool valid;
    int step;
    float *state;
};

struct ssa_crew {
    struct ssa_pool *pool;
    struct ssa_seat *seats[SSA_POOL_MOST]; /* by the member's number; NULL where there is none */
    int first, end;            /* micro-batches of a step that are this process's */
    int *owner;                /* who computed each of them in this step; -1: nobody yet */
    float *losses;             /* of them */
    bool alike;                /* all seats were given the same parameters */
    struct ssa_mirror mirror;
    int drained;               /* steps whose losses are in the history; later ones are on the only device */
    double drained_at;         /* ssa_awake() when the first of those began */
    float history[SSA_LOSSES]; /* sums over a step's tokens */
    float squares[SSA_LOSSES]; /* the gradient's norm, squared */
};

/* ---- crew.c ---- */
int ssa_crew_create(struct ssa_trainer *front);
void ssa_crew_destroy(struct ssa_crew *c);
int ssa_crew_step(struct ssa_trainer *front);
int ssa_crew_history(struct ssa_trainer *front, int count, float *losses, float *squares);
void ssa_crew_go_back(struct ssa_crew *c, int step); /* later steps count for nothing */
/* Goes on until `step` steps are done and all their losses are here. */
int ssa_crew_settle(struct ssa_trainer *front, int step);
/* A seat on a member that joined. */
int ssa_crew_join(struct ssa_trainer *front, struct ssa_member *m);
/* Every seat's weights and their average change places; `on`: the average comes in. */
int ssa_crew_swap_average(struct ssa_trainer *front, bool on);
/* The member and its seat are out; `why` goes into the event. */
void ssa_crew_lose(struct ssa_crew *c, int i, const char *why);
/* That the job of member `i` failed is no fault of its device, but of an argument, or of data that did not come. Asked
 * once for each job that failed. */
bool ssa_crew_excuses(const struct ssa_crew *c, int i, int status);
/* The seat of a member that takes part, or NULL; the first after `i` of them, or -1. */
struct ssa_seat *ssa_crew_seat(const struct ssa_crew *c, int i);
int ssa_crew_next(const struct ssa_crew *c, int i);

/* ---- together.c ---- */
int ssa_crew_together(struct ssa_trainer *front); /* a step of several devices, or ranks */
int ssa_crew_tell_ranks(struct ssa_trainer *front); /* that no device of this one is left: a step that fails on all */

/* ---- shares.c ---- */
/* `count` micro-batches over seats: the slowest is as early as can be. */
void ssa_shares(const struct ssa_crew *c, int count, int *shares);
/* Shares of the step at hand become the members', with events. */
void ssa_shares_plan(struct ssa_trainer *front);
/* What the job at its end says of the seat's speed. */
void ssa_shares_observe(struct ssa_trainer *front, int i);
/* Seconds to give the seat for so many in the stage that it is at. */
double ssa_shares_patience(const struct ssa_crew *c, const struct ssa_seat *s, int count);

/* ---- mirror.c ---- */
/* Copies the run of the first seat to the host. A seat that fails is lost; check ssa_pool_live(). */
int ssa_mirror_take(struct ssa_trainer *front);
/* Gives the copy to every seat. */
int ssa_mirror_give(struct ssa_trainer *front);
/* Has the copy be of the steps done; where no device is left for that, it is the one there was, and the front's step
 * its. */
int ssa_mirror_now(struct ssa_trainer *front);
/* Has the run go on from what fill() puts into a copy, and from `step`. */
int ssa_mirror_set(struct ssa_trainer *front, int step, void (*fill)(const void *cookie, float *state),
                   const void *cookie);
void ssa_mirror_drop(struct ssa_crew *c);
size_t ssa_mirror_at(const struct ssa_trainer *front, int kind, int i); /* where parameter `i` is in it, or its moment */
/* No seat is left: goes back to the copy, and on with the host backend if the program wants that. */
int ssa_mirror_rollback(struct ssa_trainer *front);

/* ---- suspect.c ---- */
/* Has what is not finite computed elsewhere. true: somebody was lost, and micro-batches have no owner. */
int ssa_suspect_finite(struct ssa_trainer *front, bool *again);
/* The spot check. */
int ssa_suspect_check(struct ssa_trainer *front);

#endif

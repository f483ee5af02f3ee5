/* Sums of gradients between devices and the host: what a device computes of a step, merging, and what it is given.
 *
 * The jobs work on a seat: one device's trainer and the memory that its job may write. They know nothing of pools or
 * threads; a trainer of a single device can run them on its caller's thread. */
#ifndef SSA_TRAIN_EXCHANGE_H
#define SSA_TRAIN_EXCHANGE_H

#include "train/internal.h"

/* A sum of gradients on the host. */
struct ssa_gradients {
    struct ssa_node node;
    float *values; /* in the host's order (net.h) */
    bool finite;   /* these, and the losses of the micro-batches beneath the node */
};

struct ssa_seat {
    struct ssa_trainer *trainer;
    /* What to do: */
    int first, end;    /* a run of micro-batches */
    bool fresh;        /* the first of them may build kernels: its time does not count */
    const float *given;
    struct ssa_over_ranks *over_ranks; /* its sums are only this rank's; NULL: without ranks */
    /* What was done: */
    struct ssa_gradients *sums; /* of this step, by whatever run; their memory serves again in the next */
    int count, capacity;
    struct ssa_tickets tickets;  /* of transfers under way */
    bool holds_root;   /* the last sum is the whole step's, and still in the model's gradients */
    float *losses;     /* a micro-batch each; those it computed are set */
    float squares;     /* of the gradient's norm */
    float *scalars;    /* a copy of the trainer's */
    float *values;     /* the parameters, in the host's order */
    int timed;         /* micro-batches that took */
    double start, compute, transfer, update; /* seconds */
    /* What follows from steps: see shares.c. */
    double seconds, fixed; /* a micro-batch, a step; 0: not known */
    double idle;           /* in all steps since it last had a share */
    int stage, measured;   /* of the last step it took part in; and of the last that these are from */
};

size_t ssa_gradients_size(const struct ssa_trainer *t); /* floats of all parameters, and what lies between them */

/* Jobs; the argument is the seat. */
int ssa_seat_compute(void *seat); /* the run's sums, appended; their losses; the time it took */
int ssa_seat_update(void *seat);  /* `given` (NULL: what is there) becomes the gradients; the optimiser; `squares` */
int ssa_seat_compute_alone(void *seat); /* the same for the only seat of a rank: sums go their way bucket by bucket, */
int ssa_seat_update_alone(void *seat);  /* and come back */
int ssa_seat_step(void *seat);    /* a whole step alone, which is enqueued and not waited for */
int ssa_seat_read_scalars(void *seat);
int ssa_seat_read_values(void *seat);
int ssa_seat_write_values(void *seat); /* from `given` */
void ssa_seat_free(struct ssa_seat *s); /* its trainer too */

/* Merges sums as a run over [tree.first, tree.end) does, into the leftmost's memory. Returns how many are left, in
 * order; one where the run is the whole step. */
int ssa_gradients_merge(struct ssa_gradients **sums, int count, size_t size, struct ssa_tree tree);

#endif

/* A worker: one device of a team, with its share of a run's memory, and the jobs that it does. A job's argument is the
 * worker; it touches nothing else but what it takes between ssa_member_enter() and ssa_member_leave() (pool/pool.h):
 * batches from the trainer's feed, and the sum on the host. */
#ifndef SSA_TRAIN_WORKER_H
#define SSA_TRAIN_WORKER_H

#include "net/arena.h"
#include "pool/pool.h"
#include "train/internal.h"
#include "train/sum/reduce.h"
#include "train/sum/tree.h"

struct ssa_worker {
    struct ssa_task task;
    struct ssa_member *member;
    struct ssa_model *model; /* its replica */
    struct ssa_device *device;
    /* Of the trainer: */
    struct ssa_feed *feed;
    struct ssa_reduce *reduce; /* where its sums go, too; NULL: they stay in `sums` */

    /* Memory of the run. */
    struct ssa_arena kinds[SSA_KINDS]; /* laid out as the parameters; empty of values, and of what there is none of */
    bool average_begun;               /* it is one of weights that there were */
    struct ssa_arena *partials;       /* sums that wait on the tree's stack (sum/tree.h); laid out likewise */
    struct ssa_buffer *scalars;       /* for SSA_LOSSES steps the losses of their micro-batches (sums over tokens), then
                                         for as many steps the gradient's squared norm: not finite from the first on
                                         that is not, since when nothing changes */
    struct ssa_plan_queue *queue;     /* NULL where every stage is dense, or plans are drawn with a batch */
    int groups;                       /* draws a layer and step: micros where a stage draws per example, else 1 */
    int first_group;                  /* micro-batch that the first of them is of */
    const struct ssa_plan **plans;    /* of the pass at hand */
    struct ssa_batch batch;           /* of the pass at hand, */
    struct ssa_feed_plans drawn;      /* and its plans, where sequences are of mixed size */

    /* What to do. */
    int step;            /* that is at hand, from 0 */
    int first, end;      /* the run: micro-batches [first, end) of it */
    bool fresh;          /* the first of them may build kernels: its time does not count */
    double timed;        /* work of those whose time does (shares.c) */
    const float *given;  /* parameters */
    float *state;        /* of a copy of the run (snapshot.c): to be read into, or from */

    /* What was done. */
    struct ssa_gradients *sums; /* of this step, by whatever run; their memory serves again in the next */
    int count, capacity;
    int coming;                 /* bucket of the last sum that is on its way; -1: none */
    struct ssa_tickets tickets; /* of it */
    float *losses;       /* a micro-batch each; those it computed are set */
    float squares;       /* of the gradient's norm */
    float *history;      /* a copy of `scalars` */
    float *values;       /* the parameters */
    bool no_data;        /* the last error was that of a batch: no fault of the device */
    double start, compute, transfer, update; /* seconds */
    double waited;       /* for batches */

    /* What follows from steps: see shares.c. */
    double seconds, fixed; /* a micro-batch, a step; 0: not known */
    double idle;           /* in all steps since it last had a share */
    double waking;         /* to be given the run, when that was last done */
    int stage, measured;   /* of the last step it took part in; and of the last that these are from */
    bool between;          /* it took part in one of that stage's that is dense between others */
};

/* Without and with the memory on the device: the latter on the thread that works with it. */
int ssa_worker_create(struct ssa_worker **worker, const struct ssa_task *task, struct ssa_model *model,
                      struct ssa_feed *feed);
int ssa_worker_allocate(void *worker); /* a job */
void ssa_worker_destroy(void *worker); /* NULL is fine */

/* ---- jobs ---- */
int ssa_worker_step(void *worker);    /* stays on the device: a whole step, which is enqueued and not waited for */
int ssa_worker_compute(void *worker); /* the run's sums to the host, appended; their losses; the time it took */
int ssa_worker_take(void *worker);    /* the sum on the host becomes the model's gradients, as it comes */
int ssa_worker_update(void *worker);  /* the optimiser; `squares` */
int ssa_worker_read_history(void *worker);
int ssa_worker_read_values(void *worker);
int ssa_worker_write_values(void *worker); /* from `given` */
int ssa_worker_swap_average(void *worker);

/* ---- gradients (../gradients.c) ---- */
/* Gradients of micro-batches [first, end) of the step at hand. `leave`: sums that the run carries no further go to the
 * host, the last of them bucket by bucket while backward goes on; else, of a run of all, the sum stays in the model's
 * gradients. */
int ssa_worker_gradients(struct ssa_worker *w, int first, int end, bool leave);
/* The optimiser, from the model's gradients. */
int ssa_worker_optimise(struct ssa_worker *w);
/* What becomes of a sum, as gradients.c has it: enqueued, in the model's gradients. */
int ssa_worker_leave_sum(struct ssa_worker *w, struct ssa_node node);
int ssa_worker_leave_bucket(struct ssa_worker *w, int bucket);
/* After a micro-batch. */
int ssa_worker_computed(struct ssa_worker *w, int micro);

/* ---- memory ---- */
size_t ssa_worker_elements(const struct ssa_worker *w); /* of all parameters, and what lies between them */
struct ssa_tensor ssa_worker_moment(const struct ssa_worker *w, const struct ssa_parameter *p, int kind);
/* Forgets that a gradient was not finite: parameters and moments are others now. */
int ssa_worker_forgive(struct ssa_worker *w);
/* Elements of `scalars`, and where the squares of a step and the loss of a micro-batch lie. */
static inline size_t ssa_worker_scalars(int micros)
{
    return (size_t)SSA_LOSSES * ((size_t)micros + 1);
}
static inline size_t ssa_worker_squares_at(const struct ssa_worker *w, int step)
{
    return (size_t)SSA_LOSSES * (size_t)w->task.micros + (size_t)(step % SSA_LOSSES);
}
static inline size_t ssa_worker_loss_at(const struct ssa_worker *w, int step, int micro)
{
    return (size_t)(step % SSA_LOSSES) * (size_t)w->task.micros + (size_t)micro;
}

/* ---- the average of the weights (../average.c) ---- */
struct ssa_tensor ssa_average_at(const struct ssa_worker *w, int part); /* absent where none is kept */
/* Has it begin at the weights there are, unless it has begun. */
int ssa_average_begin(struct ssa_worker *w);
/* It and the weights change places. Takes the gradients' memory for that. */
int ssa_average_swap(struct ssa_worker *w);

#endif

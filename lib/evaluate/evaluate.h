/* What the files of an evaluation share: evaluate.c cuts it into units of work and does them, evaluate_pool.c hands
 * them out to the devices of a pool. */
#ifndef SSA_EVALUATE_H
#define SSA_EVALUATE_H

#include "ensemble.h"
#include "train/feed.h"
#include "train/internal.h"
#include "net/net.h"
#include "units.h"
#include "pool/pool.h"
#include "ssacl/evaluate.h"

#include <stdatomic.h>

/* A unit is a pass over a batch of windows: number pass * batches + batch. Of a source a window is an example. */
struct ssa_evaluator {
    const struct ssa_model_config *config; /* the model's */
    struct ssa_facts facts;
    struct ssa_data data;
    struct ssa_evaluate how;
    int batch, passes;
    bool sampled;
    int layers;             /* whose plans are drawn for a unit; 0: it is dense */
    size_t stride;          /* from a window's start to the next's */
    size_t windows, chosen; /* in the data, evaluated */
    size_t batches;
    struct ssa_batch_layout layout;
    struct ssa_feed *feed;  /* of units' batches, by their numbers */
    int takers;
    atomic_size_t wanted;   /* units whose batches have been wanted ahead */
    struct ssa_units *units;
    struct ssa_ensemble *ensemble;
};

enum { SSA_TAKER_UNITS = 2 }; /* one on the device, one whose losses are to be added */

/* Who computes units, one after another. */
struct ssa_taker {
    struct ssa_evaluator *e;
    struct ssa_model *model;
    struct ssa_member *member; /* of a pool; NULL: the caller's own thread */
    struct ssa_batch batch;
    struct ssa_feed_plans drawn; /* of it, where sequences are of mixed size */
    float *read;               /* of a unit's answers the losses, or values */
    float *kept;               /* of those with a target, of a unit that is done but not added: the first of `out` */
    float *kept_targets;       /* of values */
    size_t kept_count;
    struct ssa_told *told;     /* and all answers of it, where the program wants them */
    size_t out[SSA_TAKER_UNITS]; /* units taken and not added, oldest first; changed after ssa_member_enter() only */
    int out_count;
    bool idle;                 /* found none to take */
    bool no_data;              /* the last error was that of a batch: no fault of the device */
    bool suspect;              /* of a pool: ended its job because the losses it keeps are not numbers */
    double seconds;            /* a unit; 0: not known yet */
    int done;                  /* units */
};

int ssa_taker_create(struct ssa_taker **taker, struct ssa_evaluator *e, struct ssa_model *model,
                      struct ssa_member *member);
void ssa_taker_destroy(struct ssa_taker *w); /* NULL is fine */

/* A job (pool.h): computes units for SSA_SLICE seconds, at least one, or until there are none. What a unit leaves to
 * the host is done while the device has the next. */
#define SSA_SLICE 0.1
int ssa_taker_job(void *taker);
/* Adds what the taker still keeps, or drops it, for when it has no job. */
int ssa_taker_flush(struct ssa_taker *w);
void ssa_taker_drop(struct ssa_taker *w);

/* Progress, for the caller's thread. SSA_ESTOPPED if the program wants a stop. */
int ssa_evaluator_report(struct ssa_evaluator *e);

/* All units on the devices of a model's pool. `abandoned`: a device may still be at work in what belongs to the
 * evaluator, which must stay where it is. */
int ssa_evaluate_pool(struct ssa_evaluator *e, struct ssa_model *model, bool *abandoned);

#endif

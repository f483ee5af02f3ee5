/* What the files of lib/train share. */
#ifndef SSA_TRAIN_INTERNAL_H
#define SSA_TRAIN_INTERNAL_H

#include "ssacl/train.h"
#include "net/arena.h"
#include "net/net.h"
#include "train/feed.h"
#include "train/sum/tree.h"

#include <stdbool.h>

enum { SSA_LOSSES = 1024 }; /* steps whose losses are kept on the device */

/* What a run has of every parameter, in the order of checkpoints: the value, the first moment, the second one where the
 * optimiser has two, and the average of the weights where one is kept. */
enum { SSA_KIND_VALUE, SSA_KIND_FIRST, SSA_KIND_SECOND, SSA_KIND_AVERAGE, SSA_KINDS };
bool ssa_train_config_has(const struct ssa_train_config *config, int kind);
int ssa_train_config_kinds(const struct ssa_train_config *config); /* how many of them */
const char *ssa_optimiser_name(int optimiser);

struct ssa_crew;
struct ssa_member;

/* The least loss that a look at held-out data gave; step 0: none was. */
struct ssa_best {
    int step, stale;
    double loss;
};

/* A trainer of one device; or the front of several, which has a crew (crew.h), and neither device nor memory on one. */
struct ssa_trainer {
    struct ssa_crew *crew;
    struct ssa_member *member; /* on whose thread it works; NULL: the caller's */
    struct ssa_model *model;
    struct ssa_device *device;
    struct ssa_train_config config; /* defaults filled in */
    struct ssa_data data;
    struct ssa_facts facts;
    int layers, length, micro_batch, micros;
    int step;    /* done */
    int counted; /* done since create or load: as many losses are kept, at most SSA_LOSSES */
    int judged;  /* steps up to here are known to have been taken */
    struct ssa_arena kinds[SSA_KINDS]; /* laid out as the parameters; empty of values, and of what there is none of */
    bool average_begun;               /* it is one of weights that there were */
    bool averaged;                    /* the model has it for its weights, and they are in its place */
    struct ssa_arena *partials;       /* sums that wait on the tree's stack (tree.h); laid out likewise */
    struct ssa_buffer *scalars;       /* for SSA_LOSSES steps the losses of their micro-batches (sums over tokens), then
                                         for as many steps the gradient's squared norm: not finite from the first on
                                         that is not, since when nothing changes */
    struct ssa_plan_queue *queue;     /* NULL where every stage is dense, or plans are drawn with a batch */
    int groups;                       /* draws a layer and step: micros where a stage draws per example, else 1 */
    int first_group;                  /* micro-batch that the first of them is of */
    const struct ssa_plan **plans;    /* of the pass at hand */
    struct ssa_batch_layout layout;
    struct ssa_batch batch;           /* of the pass at hand, */
    struct ssa_feed_plans drawn;      /* and its plans, where sequences are of mixed size */
    struct ssa_feed *feed;            /* where it comes from: that of the front */
    bool owns_feed;
    int run_first, run_end;           /* micro-batches at hand */
    double waited;                    /* seconds for batches; whoever measures sets it to 0 */
    bool no_data;                     /* the last error was that of a batch: no fault of the device */
    int (*each)(void *cookie, struct ssa_trainer *t, int micro); /* after each micro-batch that is taken; may be NULL */
    /* Over ranks (over_ranks.h): NULL without. */
    struct ssa_over_ranks *over_ranks;
    bool agreed;               /* on what to do, since create or load */
    const volatile int *stop;  /* of the run at hand: whether this rank wants to stop, */
    bool stop_agreed;          /* and whether some rank did when the last step was summed */
    struct ssa_best best;      /* of what has been looked at (watch.c) */
    bool out_of_patience;
};

/* ---- creating, in two: without and with the device ---- */
int ssa_trainer_prepare(struct ssa_trainer **trainer, struct ssa_model *model, const struct ssa_train_config *training,
                        const struct ssa_data *data);
int ssa_trainer_allocate(struct ssa_trainer *t);

/* ---- a step (micro.c, trainer.c) ---- */
int ssa_trainer_stage(const struct ssa_trainer *t, uint64_t step);
/* Computes micro-batches [first, end) of the step at hand. Sums of gradients that the run carries no further lie in the
 * model's gradients, one after another, when `take` is called with them; NULL: for a run of all. */
typedef int (*ssa_take)(void *cookie, struct ssa_trainer *t, struct ssa_node node);
int ssa_trainer_gradients(struct ssa_trainer *t, int first, int end, ssa_take take, void *cookie);
/* The same, but the last sum is taken bucket by bucket while backward goes on: `take_bucket` is called when all that
 * makes the bucket's sum (ssa_model_bucket()) in the model's gradients is enqueued. */
typedef int (*ssa_take_bucket)(void *cookie, struct ssa_trainer *t, int bucket);
int ssa_trainer_gradients_in_buckets(struct ssa_trainer *t, int first, int end, ssa_take take,
                                     ssa_take_bucket take_bucket, void *cookie);
/* The optimiser, from the model's gradients. */
int ssa_trainer_update(struct ssa_trainer *t);
/* Forgets that a gradient was not finite: parameters and moments are others now. */
int ssa_trainer_forgive(struct ssa_trainer *t);
/* Loss and the gradient's squared norm of each of the last `count` steps. */
int ssa_trainer_history(struct ssa_trainer *t, int count, float *losses, float *squares);
/* SSA_ENUMERIC if one of these is not finite, with the step. Then the trainer is back at the last that was taken. */
int ssa_trainer_judge(struct ssa_trainer *t, int count, const float *losses, const float *squares);
/* The same for gradients alone, of the steps that nobody has judged yet. */
int ssa_trainer_check(struct ssa_trainer *t);
/* The same, but steps that were not taken are a warning. */
int ssa_trainer_settle(struct ssa_trainer *t);
/* Elements of `scalars`, and where the squares of a step and the loss of a micro-batch lie. */
static inline size_t ssa_trainer_scalars(int micros)
{
    return (size_t)SSA_LOSSES * ((size_t)micros + 1);
}
static inline size_t ssa_trainer_squares_at(const struct ssa_trainer *t, int step)
{
    return (size_t)SSA_LOSSES * (size_t)t->micros + (size_t)(step % SSA_LOSSES);
}
/* What a step's sum of losses is divided by. */
static inline float ssa_trainer_answers(const struct ssa_trainer *t)
{
    return (float)t->config.batch * (float)t->facts.answers;
}
static inline size_t ssa_trainer_loss_at(const struct ssa_trainer *t, int step, int micro)
{
    return (size_t)(step % SSA_LOSSES) * (size_t)t->micros + (size_t)micro;
}

/* ---- the average of the weights, of a trainer of one device (average.c) ---- */
struct ssa_tensor ssa_average_at(const struct ssa_trainer *t, int part); /* absent where none is kept */
/* Has it begin at the weights there are, unless it has begun. */
int ssa_average_begin(struct ssa_trainer *t);
/* It and the weights change places. Takes the gradients' memory for that. */
int ssa_average_swap(struct ssa_trainer *t);

/* ---- looking at held-out data (watch.c) ---- */
int ssa_watch_check(const struct ssa_trainer *t, const struct ssa_watch *w);
/* The next step after this one at which something is looked at. */
int ssa_watch_next(const struct ssa_trainer *t, const struct ssa_watch *w);
/* Looks; the trainer has done the step. Afterwards out_of_patience is set where the run is to end. */
int ssa_watch_look(struct ssa_trainer *t, const struct ssa_watch *w);

bool ssa_all_finite(const float *x, size_t count);

/* ---- data (data.c) ---- */
/* `least`: token ids before the last that there must be. */
int ssa_data_check(const struct ssa_data *data, struct ssa_facts facts, int least);
int ssa_data_check_ids(size_t count, struct ssa_facts facts, int least); /* without looking at them */
/* Copies `count` ids. */
void ssa_data_copy(const struct ssa_data *data, size_t first, size_t count, int32_t *ids);
/* Of `count` token ids, where sequence `example` of a step begins, one of `length` (windows.c); config->batch is not 0. */
size_t ssa_window_start(const struct ssa_train_config *config, size_t count, size_t length, uint64_t step,
                        uint64_t example);
/* Calls a source for a batch of draw->length, which it may lower. Its errors have a text and a status of the library's. */
int ssa_data_fill(const struct ssa_data *data, const struct ssa_draw *draw, const struct ssa_facts *facts,
                  struct ssa_batch *batch);
/* Fills a micro-batch, and says what a layer of it samples; for the feed of the front `trainer`. */
int ssa_trainer_fill(void *trainer, struct ssa_feed_key key, struct ssa_batch *batch);
int ssa_trainer_sample(void *trainer, struct ssa_feed_key key, int layer, struct ssa_sample *how);

/* ---- configs ---- */
/* Defaults filled in, stages copied with all they point to. */
int ssa_train_config_copy(struct ssa_train_config *copy, const struct ssa_train_config *config, int micro_batch);
void ssa_train_config_finish(struct ssa_train_config *copy);
/* Everything about a config that does not need a device. */
int ssa_train_config_check(const struct ssa_train_config *config, const struct ssa_model_config *model,
                           int micro_batch);

/* ---- drawing plans ahead for a model ---- */
/* Any of the pattern's layers sampled? Does any draw per example? The pattern must have been checked. */
bool ssa_pattern_samples(const struct ssa_pattern *pattern, const struct ssa_model_config *model);
bool ssa_pattern_per_example(const struct ssa_pattern *pattern, const struct ssa_model_config *model);

#endif

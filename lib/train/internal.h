/* What the files of lib/train share. */
#ifndef SSA_TRAIN_INTERNAL_H
#define SSA_TRAIN_INTERNAL_H

#include "ssacl/ranks.h"
#include "ssacl/train.h"
#include "net/net.h"
#include "train/feed.h"

#include <stdbool.h>

enum { SSA_LOSSES = 1024 }; /* steps whose losses are kept */

/* What a run has of every parameter, in the order of checkpoints: the value, the first moment, the second one where the
 * optimiser has two, and the average of the weights where one is kept. */
enum { SSA_KIND_VALUE, SSA_KIND_FIRST, SSA_KIND_SECOND, SSA_KIND_AVERAGE, SSA_KINDS };
bool ssa_train_config_has(const struct ssa_train_config *config, int kind);
int ssa_train_config_kinds(const struct ssa_train_config *config); /* how many of them */
const char *ssa_optimiser_name(int optimiser);

/* What is learnt, and how. A worker (team/worker.h) has a copy of its own: its thread may be given up and read on. */
struct ssa_task {
    struct ssa_train_config config; /* defaults filled in */
    struct ssa_data data;
    struct ssa_facts facts;
    int layers, length, micro_batch, micros; /* micros: micro-batches of a step */
};
int ssa_task_create(struct ssa_task *task, const struct ssa_model *model, const struct ssa_train_config *training,
                    const struct ssa_data *data);
void ssa_task_finish(struct ssa_task *task);
/* The stage of a step, from 0. */
int ssa_task_stage(const struct ssa_task *task, uint64_t step);
/* How its layers sample, and whether it is dense by the stage's dense_every. */
const struct ssa_pattern *ssa_task_pattern(const struct ssa_task *task, uint64_t step);
bool ssa_task_dense_between(const struct ssa_task *task, uint64_t step);
/* What a layer samples in a micro-batch. */
int ssa_task_sample(const struct ssa_task *task, const struct ssa_model *model, struct ssa_feed_key key, int layer,
                    struct ssa_sample *how);
/* Is any layer sampled, in any stage? */
bool ssa_task_samples(const struct ssa_task *task, const struct ssa_model *model);
/* Plans that are drawn when a batch is filled. */
int ssa_task_layers_drawn(const struct ssa_task *task, const struct ssa_model *model);
/* Fills a micro-batch. */
int ssa_task_fill(const struct ssa_task *task, struct ssa_feed_key key, struct ssa_batch *batch);
/* What a step's sum of losses is divided by. */
float ssa_task_answers(const struct ssa_task *task);

/* The least loss that a look at held-out data gave; step 0: none was. */
struct ssa_best {
    int step, stale;
    double loss;
};

/* A run: what it is of, how far it is, and who does the work. */
struct ssa_trainer {
    struct ssa_task task;
    struct ssa_model *model;
    struct ssa_team *team;     /* team/team.h */
    struct ssa_feed *feed;     /* of batches */
    struct ssa_reduce *reduce; /* the sum on the host (sum/reduce.h) */
    int step;                  /* done */
    int counted;               /* done since create or load: as many losses are kept, at most SSA_LOSSES */
    int judged;                /* steps up to here are known to have been taken */
    bool averaged;             /* the model has the average of the weights in their place */
    /* Over ranks: */
    bool compared;             /* what they are about to do, since create or load */
    const volatile int *stop;  /* of the run at hand: whether this rank wants to stop, */
    bool stops;                /* and whether some rank did when the last step was summed */
    struct ssa_best best;      /* of what has been looked at (watch.c) */
    bool out_of_patience;
};

static inline bool ssa_trainer_over_ranks(const struct ssa_trainer *t)
{
    return t->task.config.ranks && t->task.config.ranks->count > 1;
}

/* ---- what came of the steps (trainer.c) ---- */

/* SSA_ENUMERIC if one of the last `count` steps' losses or squared norms is not finite, with the step. Then the
 * trainer is back at the last that was taken. */
int ssa_trainer_judge(struct ssa_trainer *t, int count, const float *losses, const float *squares);
/* The same for gradients alone, of the steps that nobody has judged yet. */
int ssa_trainer_check(struct ssa_trainer *t);
/* The same, but steps that were not taken are a warning. */
int ssa_trainer_settle(struct ssa_trainer *t);

bool ssa_all_finite(const float *x, size_t count);

/* ---- looking at held-out data (watch.c) ---- */
int ssa_watch_check(const struct ssa_trainer *t, const struct ssa_watch *w);
/* The next step after this one at which something is looked at. */
int ssa_watch_next(const struct ssa_trainer *t, const struct ssa_watch *w);
/* Looks; the trainer has done the step. Afterwards out_of_patience is set where the run is to end. */
int ssa_watch_look(struct ssa_trainer *t, const struct ssa_watch *w);

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
/* Calls a source's `sizes`, which is not NULL; its errors likewise. */
int ssa_data_sizes(const struct ssa_data *data, const struct ssa_draw *draw, const struct ssa_facts *facts,
                   int32_t *lengths);

/* ---- configs ---- */
/* Defaults filled in, stages copied with all they point to. */
int ssa_train_config_copy(struct ssa_train_config *copy, const struct ssa_train_config *config, int micro_batch);
void ssa_train_config_finish(struct ssa_train_config *copy);
int ssa_train_config_steps(const struct ssa_train_config *config); /* of all stages */
/* Everything about a config that does not need a device. */
int ssa_train_config_check(const struct ssa_train_config *config, const struct ssa_model_config *model,
                           int micro_batch);

/* ---- drawing plans ahead for a model ---- */
/* Any of the pattern's layers sampled? Does any draw per example? The pattern must have been checked. */
bool ssa_pattern_samples(const struct ssa_pattern *pattern, const struct ssa_model_config *model);
bool ssa_pattern_per_example(const struct ssa_pattern *pattern, const struct ssa_model_config *model);

#endif

/**
 * @file train.h
 * Training: stages of sampling, and the trainer. What it learns from is in data.h; what a model learnt is asked by
 * evaluate.h and kept by checkpoint.h.
 *
 *   ssa_model_create(&model, device, &config, &limits);            // limits.batch: the micro-batch
 *   ssa_trainer_create(&trainer, model, &training, &data);
 *   ssa_trainer_run(trainer, 0, &(struct ssa_trainer_run){.progress = print, .stop = &interrupted});
 *   ssa_checkpoint_save("run.safetensors", model, trainer, note);
 *
 * Everything a step does follows from (seed, step): the positions of its sequences in the data, its samples, its
 * dropout. So a run that was stopped and resumed gives the same bits as one that was not (on the same device).
 * Writing logs (JSONL or otherwise) is the program's: struct ssa_progress has what goes into a line.
 */
#ifndef SSACL_TRAIN_H
#define SSACL_TRAIN_H

#include "data.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what each layer samples ---- */

/** How the layers of a model sample, in ratios of the length. Zeroed: dense. */
struct ssa_pattern {
    int kind;           /**< enum ssa_sampling */
    float ratio;        /**< keys a query sees / N, in (0, 1]; ratio*N must be whole, and for SSA_LOCAL its slices
                             (ratio*N, with look_back half of it) must divide N; with `independent` any. Of models
                             whose sequences are of mixed size (ssa_model_layer()) any: the share of an example's real
                             positions that is drawn, as in struct ssa_sample, and virtual nodes, too; SSA_UNBIASED
                             only */
    int look_back;      /**< SSA_LOCAL: a query sees its own slice and the one before, each of half the keys */
    float sigma;        /**< SSA_LOCAL: jitter in slices; 0 means 1; SSA_NONE: none, as fixed_windows */
    int fixed_windows;  /**< SSA_LOCAL: no shuffle */
    int own_key;        /**< 1 (also 0): a query whose own key was not drawn sees it too, as in struct ssa_sample;
                             SSA_NONE: it does not. Of sequences of mixed size 0 means SSA_NONE. SSA_UNBIASED up to
                             half of the keys then projects K and V for the drawn rows only: an eighth of the linear
                             layers' work less at ratio 0.25. Causal: with keep_first 1, or early queries see nothing */
    int per_example;    /**< 1: each sequence has its own draw; of layers that see windows, each window */
    int keep_first;     /**< the first positions that every query sees in addition, 0..64 */
    int dense_first;    /**< this many of the first layers are dense */
    int dense_last;     /**< this many of the last layers are dense */
    float ratio_last;   /**< the ratio grows linearly over the sampled layers to this one in the last of them, each
                             rounded to the nearest that divides; 0: the same everywhere */
    int grid;           /**< SSA_LOCAL: 1: local in rows and columns of an image (sample.h): instead of slices, cells
                             that divide the grid, as nearly square as there are, have ratio*N keys, with look_back
                             half of it. A class token sees all and is seen by all, too. Of models whose positions
                             are a grid (ssa_model_layer()) */
    int permute_queries; /**< SSA_LOCAL: 1: a query sees the slice that its own key is in (sample.h: Stochastic
                              Attention; sigma 16/ratio, the largest, is its uniform permutation). Without look_back,
                              grid and keep_first: a class token is a position as any other. Not in Swin's windows */
    const struct ssa_pattern *layers; /**< NULL, or one pattern a layer that replaces all of this */
    int layer_count;                  /**< how many `layers` has: must be the model's */
    int independent;                  /**< SSA_UNBIASED: 1: each key stays with probability ratio, whatever others do, as
                                           in struct ssa_sample: source dropout. ratio may then be any, ratio_last grows
                                           without rounding, and ratio*N is the mean of how many there are; a layer has
                                           K and V projected for the drawn rows only where all examples of a pass have
                                           equally many, as where they share one draw */
    size_t reserved[3];
};

/** What layer `layer` of `layers` samples: fills kind, length, batch, keys, sigma, ... of `sample` and zeroes the
 *  rest. SSA_EINVAL names the ratio, the length and the nearest ratio that would do. It knows no grid: a pattern with
 *  `grid` is SSA_EINVAL. */
SSA_API int ssa_pattern_sample(const struct ssa_pattern *pattern, int layer, int layers, int length, int batch,
                               struct ssa_sample *sample);

/** What layer `layer` of such a model samples in a pass of `batch` of the model's sequences, the first of which has the
 *  number `first` in its step: as ssa_pattern_sample() for the layer's own length and sequences, and with first_example
 *  and own_key as these ask for, and its rows, columns and channels where the pattern has `grid`. Where a layer is of
 *  another length than the first, ratios need make no whole number of keys: it takes the nearest that divides.
 *  Sequences of mixed size: `ratio` is that of the layer, `keep` are the virtual nodes, `keys` is what is drawn of a
 *  sequence of the model's length. A pass of a batch is drawn with `length` its own and `lengths` the batch's; so are
 *  its dense layers, or have no plan. */
SSA_API int ssa_model_sample(const struct ssa_model_config *config, const struct ssa_pattern *pattern, int layer,
                             int batch, int first, struct ssa_sample *sample);

/* ---- training ---- */

struct ssa_ranks;

/** A stretch of training. */
struct ssa_stage {
    struct ssa_pattern pattern;
    int steps;
    float lr;       /**< peak learning rate */
    float lr_end;   /**< where the cosine ends; 0 means lr/10, SSA_NONE at 0 */
    int warmup;     /**< steps of linear warm-up */
    int dense_every; /**< n, 2 or more: every n-th step of the stage, counted from 1, is dense, whatever the pattern says,
                          and the others are as it says; 0: none is. Which step is depends on nothing else */
    size_t reserved[3];
};

enum ssa_optimiser { SSA_ADAMW, SSA_NAG };

/** Zero means the default. */
struct ssa_train_config {
    int batch;          /**< sequences a step; 0 means the model's limits.batch, of which it must be a multiple */
    float beta1, beta2; /**< of AdamW; 0 means 0.9, 0.95; SSA_NONE: no memory of the steps before */
    float eps;          /**< of AdamW; 0 means 1e-8 */
    float decay;        /**< 0 means 0.1, with SSA_NAG none; SSA_NONE: none. Never on gains and biases */
    float clip;         /**< of the gradient's norm; 0 means 1, with SSA_NAG 0.1; SSA_NONE: it is not clipped */
    float smoothing;    /**< of the labels; of models whose answers are values 0 */
    float ema;          /**< in (0, 1): after every step that is taken, average = ema average + (1 - ema) w of its new
                             weights w (0.999 in Sparse Transformers; Child et al. 2019), beside them on the device. It
                             begins as the weights are before the first step, without a correction for that. Held-out
                             data is looked at with it. 0: none is kept */
    int optimiser;      /**< enum ssa_optimiser; 0 means SSA_ADAMW. SSA_NAG, Nesterov's momentum (ssa_nag()), keeps one
                             moment instead of two; its learning rates are about 1, of large batches */
    float momentum;     /**< of SSA_NAG, and 0 without; 0 means 0.99; SSA_NONE: none */
    uint64_t seed;
    const struct ssa_stage *stages; /**< copied */
    int stage_count;
    int blocks; /**< of token ids: 1: the sequences are the text's blocks of N targets, from the first on, each once an
                     epoch in an order that is drawn for it; a rest of fewer is left out. 0: they are from anywhere */
    struct ssa_ranks *ranks; /**< NULL, or the processes that train this model together (ranks.h); must outlive the
                                  trainer. `batch` is that of all */
    size_t reserved[3];
};

/** Checks a whole run before anything is allocated: both configs, every stage's pattern on this model, the number of
 *  token ids, of which a causal model learns (0: not checked, or the data is a source), and memory. SSA_ENOMEM: "needs
 *  X MiB, device has Y" and the change that would fit (a smaller micro-batch with the same batch, or a smaller width).
 *  `memory` may be NULL. */
SSA_API int ssa_train_check(struct ssa_device *device, const struct ssa_model_config *model,
                            const struct ssa_model_limits *limits, const struct ssa_train_config *training,
                            size_t data_count, struct ssa_memory *memory);

/** Learning rate of a step (from 0) within the stages. */
SSA_API float ssa_learning_rate(const struct ssa_train_config *training, int step);

/** Threads: as its model: one at a time. It has a thread of its own that fills batches, and with plans to draw one for
 *  them. */
struct ssa_trainer;

/** `model` (made with limits.training) and the data's items, or what its source needs, must outlive the trainer. The
 *  model's parameters are taken as they are: call ssa_model_initialise() with the run's seed first. */
SSA_API int ssa_trainer_create(struct ssa_trainer **trainer, struct ssa_model *model,
                               const struct ssa_train_config *training, const struct ssa_data *data);
SSA_API void ssa_trainer_destroy(struct ssa_trainer *trainer);

SSA_API const struct ssa_train_config *ssa_trainer_config(const struct ssa_trainer *trainer);
SSA_API int ssa_trainer_steps_done(const struct ssa_trainer *trainer);       /**< steps done */
SSA_API int ssa_trainer_total_steps(const struct ssa_trainer *trainer);    /**< of all stages */

/** Enqueues one step; nothing is read back. SSA_EINVAL past the last; what a source failed with (data.h). From the
 *  first step on whose gradient has a norm that is not finite, none is taken: parameters, moments and average stay as
 *  they are, while ssa_trainer_steps_done() counts on and ssa_trainer_losses() gives that norm. ssa_trainer_run() and
 *  ssa_checkpoint_save() first go back to the last step that was taken, with a warning in the log; steps from there are
 *  taken again. If neither is called for 1023 steps, this call goes back, with SSA_ENUMERIC. */
SSA_API int ssa_trainer_step(struct ssa_trainer *trainer);

/** With `on`, the model has the average of the weights (struct ssa_train_config.ema) for its parameters, on every device
 *  of a pool, until this is called with 0: to evaluate it, generate with it or save it as a model alone. Nothing is read
 *  back; gradients of the step before are lost. Until then steps, and checkpoints of the trainer, are SSA_EINVAL; a
 *  checkpoint that is loaded into the trainer ends it. SSA_EINVAL: no average is kept. */
SSA_API int ssa_trainer_use_average(struct ssa_trainer *trainer, int on);

/** Loss (mean over a step's answers: nats a token, or of values as the model's loss says; before the update) of each of
 *  the last `count` steps, oldest first, and the gradient's norm before clipping of the last (may be NULL). Waits.
 *  count at most 1024 and at most the steps done since create. */
SSA_API int ssa_trainer_losses(struct ssa_trainer *trainer, int count, float *losses, float *norm);

/** What there is to say after a step. */
struct ssa_progress {
    int step, steps;          /**< steps done, of all */
    int stage;                /**< of the last step, from 0 */
    double loss;              /**< mean over the steps since the last report, nats a token */
    double gradient_norm;     /**< of the last step, before clipping */
    double lr;                /**< of the last step */
    double tokens;            /**< positions trained on so far, over resumes; of sequences of mixed size N each */
    double tokens_per_second; /**< since the last report */
    double seconds;           /**< since ssa_trainer_run() began */
    double seconds_left;      /**< to the end of all stages, at the mean speed of this stage so far */
};

struct ssa_watch;

/** Zero means the default. */
struct ssa_trainer_run {
    void (*progress)(void *cookie, const struct ssa_progress *progress);
    void *cookie;
    int every;               /**< steps between reports; 0 means 10; SSA_NONE: none in between. The last step of a stage
                                  always reports, and every 1024th */
    const volatile int *stop; /**< non-zero: return SSA_ESTOPPED after the step at hand (set it in a signal handler) */
    const struct ssa_watch *watch; /**< NULL, or held-out data to look at on the way (evaluate.h) */
    size_t reserved[3];
};

/** Runs until `until` steps are done (0: to the end of the last stage); `run` may be NULL. SSA_ENUMERIC where a loss or
 *  the norm of a gradient is not finite: the text says at which step. Parameters and moments are those of
 *  ssa_trainer_steps_done() then: where a norm was not finite, of the step before; where only a loss was not, that step and those up to the
 *  report that finds it were taken. Calling it again goes on from there. */
SSA_API int ssa_trainer_run(struct ssa_trainer *trainer, int until, const struct ssa_trainer_run *run);

#ifdef __cplusplus
}
#endif
#endif

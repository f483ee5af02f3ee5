/**
 * @file evaluate.h
 * What a model makes of data: its loss, in one pass or as a self-ensemble of sampled passes, and what it writes.
 */
#ifndef SSACL_EVALUATE_H
#define SSACL_EVALUATE_H

#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What one pass answers to one example, or window. */
struct ssa_answer {
    int pass;                /**< from 0 */
    size_t example;          /**< of a source: in its list; of token ids: the window, from the data's start on */
    int answers, vocabulary; /**< of a sequence; V */
    const int32_t *targets;  /**< [answers]; negative: none. NULL where answers are values */
    const float *values;     /**< [answers], where answers are values: their targets; NaN: none. Else NULL */
    const float *logits;     /**< [answers, V]; where answers are values these, and V is 1 */
};

/** Zero means the default. */
struct ssa_evaluate {
    const struct ssa_pattern *pattern; /**< NULL: dense */
    int passes;              /**< M of the self-ensemble, 1..1000; 0 means 1. Dense: 1 */
    size_t windows;          /**< at most so many windows, spread evenly over the data; 0: all. Of a source: examples */
    size_t stride;           /**< tokens from one window's start to the next's, up to the model's length N; 0: N. Where
                                  windows overlap, a token is predicted by the first that holds it, so all but the
                                  first N see at least N - stride before them; costs N/stride times as much. Of a
                                  source: 0 */
    uint64_t seed;           /**< of the samples */
    const volatile int *stop;
    void (*progress)(void *cookie, double done); /**< share done, 0..1 */
    void *cookie;
    double tolerance;        /**< of a loss, as ssa_scores has it: after 4 passes, no more once ssa_scores.unsettled is
                                  at most that; 0: all. An ensemble takes 8 bytes of host memory a token, and 16 a pass
                                  and batch */
    /** NULL, or called with all answers, of which the scores have the losses alone: for what else there is to count.
     *  What it is given is the library's, and only until it returns.
     *    Order    the passes of an example one after another; examples in any, on one device in that of their numbers.
     *             With a tolerance there may be some of a pass past ssa_scores.passes
     *    Threads  never twice at once, and never after the call has returned; on a pool on threads of the library's
     *    Cost     logits are read from the device: of B answers V B floats a pass, where else it is B */
    void (*answer)(void *cookie, const struct ssa_answer *answer);
    size_t reserved[1];
};

/** Losses in nats a token. For bytes, bits per byte are loss/ln 2. Of models whose answers are values they are the mean
 *  of the distances from the targets, or of their squares, as the model's loss says. All of it is set by every call; to
 *  zeroes where the call fails. */
struct ssa_scores {
    double loss;          /**< of the ensemble of all passes: of values, that of their mean over the passes */
    double single;        /**< mean over the single passes */
    double single_spread; /**< their standard deviation; 0 for one pass */
    size_t tokens;        /**< predicted: answers that had a target */
    double seconds;
    int passes;           /**< that were run: 1 for dense */
    double unsettled;     /**< how far `loss` may be from that of infinitely many passes: what the last doubling of the
                               passes gained, scaled to what is to come as 1/M, plus the standard error of `single`.
                               Infinite for fewer than 4 passes, 0 for dense */
};

/** Mean loss over windows of the model's length (the tail, shorter, included), each token predicted once; of a source
 *  over the answers of its examples that have a target. With M passes: the passes' probabilities of each token are
 *  averaged in log space, log(1/M sum_m p_m); values are averaged, 1/M sum_m y_m.
 *  @param ensemble NULL, or M values: ensemble[m-1] is the loss of the first m passes' ensemble
 *  @param singles  NULL, or M values: the loss of each pass alone. Passes that were not run (dense; tolerance) repeat
 *                  the last
 *  SSA_ESTOPPED if stopped; what a source failed with (data.h). Any model of the device serves, made for training or
 *  not. */
SSA_API int ssa_evaluate(struct ssa_model *model, const struct ssa_data *data, const struct ssa_evaluate *how,
                         struct ssa_scores *scores, double *ensemble, double *singles);

/** What a look at held-out data on the way of a training gave. */
struct ssa_watched {
    int step;                 /**< steps done */
    struct ssa_scores scores;
    int best_step;            /**< the step with the least loss so far, */
    double best_loss;
    int stale;                /**< and looks since then without a better one */
    int saved;                /**< 1: this is the best so far, and `best` has it */
    int ends;                 /**< 1: patience has run out */
};

/** Held-out data that a run of the trainer looks at on the way (struct ssa_trainer_run): the loss by the mode of use
 *  that counts in the end, the best parameters kept, and an end where nothing gets better. Zero means the default.
 *    Average     where the trainer keeps one (struct ssa_train_config.ema) it is what is looked at; `best` has it beside
 *                the weights (ssa_checkpoint_load_average()).
 *    Ranks       rank 0 looks; all end after the same step.
 *    Resumed     best_step, best_loss and stale go on: ssa_checkpoint_save() has them, as they are at that step. */
struct ssa_watch {
    const struct ssa_data *data;
    struct ssa_evaluate how; /**< dense, or passes of a pattern; its `stop` ends the run too, with SSA_ESTOPPED */
    int every;               /**< steps from one look to the next, counted from step 0; 0: an epoch: as many as take the
                                  tokens, or examples, that the training data has. The last step of all is always
                                  looked at */
    int patience;            /**< so many looks one after another without a better loss end the run with SSA_ESTOPPED,
                                  and `ends` told; 0: none do */
    double gain;             /**< a loss is better if it is lower by more than this, in what it is measured in */
    const char *best;        /**< NULL, or where the best is kept, with ssa_checkpoint_save(). Where that fails, a
                                  warning says why, the file is what it was, and the next better one is tried */
    const char *note;        /**< of that checkpoint */
    void (*watched)(void *cookie, const struct ssa_watched *watched);
    void *cookie;
    size_t reserved[4];
};

/** Zero means the default. */
struct ssa_generate {
    float temperature;  /**< 0 means 1; SSA_NONE: no chance, always the likeliest token */
    int top_k;          /**< 0: all */
    uint64_t seed;
    int (*token)(void *cookie, int32_t token); /**< called with each new one, of several sequences with that of each in
                             turn before the next of any; non-zero stops */
    void *cookie;
    int label;          /**< of a model with classes: which one */
    int sequences;      /**< B that are made side by side, up to the model's limits.batch; 0 means 1 */
    const int32_t *labels; /**< NULL, or [B] instead of label */
    const uint64_t *seeds; /**< NULL, or [B]; else that of sequence b is seed + b */
    int passes;         /**< M of the self-ensemble, 1..1000; 0 means 1. Dense: 1 */
    const struct ssa_pattern *pattern; /**< NULL: dense; else what each layer samples, of N positions. Pass m, from 0, is
                             drawn with this seed at step m: as pass m of ssa_evaluate() over its first example */
    float *logits;      /**< NULL, or [V]: when `token` is called it holds what that one was drawn from: logits, of
                             several passes the log of their mean probabilities */
    size_t reserved[3];
};

/** Continues `prompt` (at least one token; its end counts where it is longer than the model) by `count` tokens, each
 *  drawn with what a causal pass says comes next. Of pixels it may be empty, NULL, and the two together are at most N.
 *  `out` may be NULL. SSA_EINVAL also where logits are not finite.
 *    Sampled  a new token sees those of its keys in the plan of a whole pass over N positions that are there: its logits
 *             are that pass's, although nothing after it is known. With M passes, each with keys and values of its own,
 *             a token is drawn with log(1/M sum_m p_m), to which temperature and top_k are applied.
 *    Cost     the prompt is one pass, each token then one row of it, which reads every weight once, and the keys and
 *             values that it sees of the tokens before it: they stay on the device (ssa_memory.cache for each of the M
 *             passes; SSA_ENOMEM if they do not fit). M times that for M passes.
 *    Several  B sequences, prompts [B, prompt_count] and `out` [B, count], cost less than one after another, as a
 *             weight is read once for all of them; each is the same bits as alone, with its seed and label. Keys and
 *             values take B times the memory; prompts are passes of their own.
 *    Past N   dense and rotary: each token sees itself and the N - 1 before it, whose keys and values stay as they were
 *             computed when they were new. So tokens before the last N still count through the layers, up to L (N - 1)
 *             of them: another answer than that of one pass over the last N. Learned positions, or sampled: the last
 *             N/2 tokens begin anew at position 0, in one pass for every N/2 tokens.
 *    Pools    where a device is lost, the next one begins with a pass over the last N tokens (where they begin anew:
 *             those that the lost one held), as if they were the prompt.
 *  `how->token` may run other passes of the model, but must not change its parameters. */
SSA_API int ssa_generate(struct ssa_model *model, const int32_t *prompt, size_t prompt_count, size_t count,
                         int32_t *out, const struct ssa_generate *how);

#ifdef __cplusplus
}
#endif
#endif

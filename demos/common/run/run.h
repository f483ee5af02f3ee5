/* A run as its JSONL log tells it. Every line is an object with "event":
 *   start       what was run: "program" (since 0.2.0), "device" (the first of "devices"), "model", "stages",
 *               "parameters", "tokens_per_step", "memory", of a --from also "same_text"; "unit" of losses, where it is
 *               not bits per byte. A second one, if no resume follows, goes on with what the first has trained:
 *               `cat ssa.jsonl fine-tune.jsonl` is the log of a run and of its --from
 *   resume      a checkpoint was taken up at "step"; lines of later steps that stand before it do not count
 *   step        "step", "stage", "tokens", "seconds" (training only), "loss" (nats), "lr", "gradient_norm", and
 *               "bits" or "perplexity" where the unit has that;
 *               of several devices also "shares" (micro-batches of a step) and "rates" (tokens/s), an entry a device
 *   device      what became of one: "change" (left out, share, lost, joined, rollback), "member", "id", "step",
 *               "before" and "after" (its share), "reason". After a rollback the run goes on from "step": later ones do
 *               not count
 *   evaluation  "step", "tokens", "seconds", "dense" and, in a sampled stage, "sampled" (in the unit;
 *               validation)
 *   watch       a look of --best or --patience: "step", "loss" or "bits", "best_step", "stale", "saved"
 *   profile     where the time of a step goes, see profile.h
 *   end         "status", "step", "tokens", "seconds", "peak_bytes"
 *   test        what `eval` measured
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct series {
    double *step, *tokens, *seconds, *bits; /* in the unit of the run, or what else it is of */
    size_t count, capacity;
};

enum { RUN_DEVICES = 16 };
struct run {
    const char *name; /* for people; the caller's */
    struct series train, dense, sampled;
    struct series share[RUN_DEVICES]; /* of a step, 0..1, where there were several devices */
    char device[RUN_DEVICES][32];     /* their ids */
    int devices, lost, changes;       /* how many there were, were lost, and how often shares changed */
    int skipped;                      /* lines that are not records */
    json_t *start, *end, *profile, *test; /* the last of each, or NULL */
    json_t *tests;                        /* NULL, or all, as they came; one of a checkpoint, step and part */
    int looks;                            /* that --best and --patience took, */
    double best_step;                     /* and the best of them */
    double step0, tokens0, seconds0;      /* where the last start was, */
    bool started;                         /* that nothing has followed yet */
    char unit[32];                        /* that losses are in, "nats per token"; "": where the log names none */
};

/* Says what is wrong with the file and returns non-zero; a line that is no record is passed over. */
int run_read(struct run *run, const char *path);
void run_free(struct run *run);

/* Training seconds up to a step; 0 where the log does not say. */
double run_seconds_at(const struct run *run, double step);

/* What tells that two starts are of different runs: a field that stays the same however a run is continued, and is not
 * the same in both. NULL: nothing does. What only one of them has is not compared; either may be NULL. */
const char *run_other_field(const json_t *theirs, const json_t *ours);

/* A number inside nested objects, "dense.bits"; NAN if it is not there. `object` may be NULL. */
double json_number(const json_t *object, const char *path);

/* Of a test's ensemble "loss", "top1", ... of the first so many passes; NAN: it is not there. */
double json_of_first(const json_t *ensemble, const char *key, int passes);

/* Steps of a stage as "stages" of a start have it; NAN: it does not say. */
double run_stage_steps(const json_t *stage);
/* Loss in training, in the unit: the mean over the last twentieth of the run, since one step's is mostly noise. */
double run_trained(const struct run *run);

#endif

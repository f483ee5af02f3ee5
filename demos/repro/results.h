/* All results that there are, and what they say of each other: differences seed by seed. */
#ifndef REPRO_RESULTS_H
#define REPRO_RESULTS_H

#include "record.h"

struct arm_results {
    const struct task *task;
    const struct arm *arm;
    struct record *of; /* of each seed */
    int seeds, done, failed, other; /* other: of other settings, which are left out of everything */
};

struct task_results {
    const struct task *task;
    struct arm_results *arms;
    int count;
    const struct arm_results *control; /* the dense arm that validates best; or NULL */
};

struct results {
    struct task_results *tasks;
    int count, done, failed, runs;
};

int results_read(struct results *results, const struct table *table, const char *folder);
void results_free(struct results *results);

/* ---- figures of a run ---- */

/* Which one: of which weights, and of a dense pass or an ensemble of members[m]. */
enum { DENSE_PASS = -1, MODELS_ALONE = -2 /* of two models together the mean of each alone */ };
struct pick {
    enum place place;
    int member;
    bool right; /* the share that is right, instead of the loss */
};
double record_pick(const struct record *record, struct pick pick);
/* Over the seeds that have it; NAN: none. */
double mean_pick(const struct arm_results *arm, struct pick pick);
double mean_of(const struct arm_results *arm, double (*figure)(const struct record *record));
double valid_of(const struct record *record);
double best_step_of(const struct record *record);
double steps_of(const struct record *record);
double trained_of(const struct record *record);
const char *unit_of(const struct arm_results *arm);

/* ---- differences ---- */

struct gain {
    double mean, error; /* error: of the mean, s/sqrt(n); NAN of one seed */
    double share;       /* of what it is compared with, mean over mean */
    double own, theirs; /* means over the same seeds */
    int count;          /* seeds that both have */
};
/* By how much `a` is lower than `b`, seed by seed. */
struct gain gain_over(const struct arm_results *a, struct pick pick_a, const struct arm_results *b, struct pick pick_b);
/* "0.0769 +- 0.0081", "0.0769 (one seed)", "-" */
const char *gain_text(const struct gain *gain, double scale, int digits, char text[64]);
/* Beyond two standard errors "better", "worse"; else "within two standard errors", "one seed", "-". */
const char *gain_verdict(const struct gain *gain);

#endif

/* The sums of an evaluation: answers of (pass, batch) come in from any thread in any order and are added in a fixed
 * one, so that not a bit depends on who computed what or when.
 *
 * How passes are joined, with answers p_m or y_m of passes 1..M to one question, of target y:
 *   probabilities   loss of a pass -log p_m, of M together -log(1/M sum_m p_m); in log space
 *   values          loss of a pass |y_m - y|, of M together |1/M sum_m y_m - y|; or the squares of these
 * Fixed order: for each answer the passes' one after another; within a pass and batch the answers; then the batches.
 * Memory: 8 bytes an answer where there is more than one pass, 16 a pass and batch. */
#ifndef SSA_ENSEMBLE_H
#define SSA_ENSEMBLE_H

#include "net/net.h"

struct ssa_ensemble;

struct ssa_ensemble_config {
    enum ssa_join join;
    bool squares;        /* of values */
    int passes;
    size_t batches;
    const size_t *first; /* batch b has at most first[b + 1] - first[b] answers; copied */
    double tolerance;    /* 0: all passes are wanted */
    /* NULL, or told of what is added, before it is: a batch's passes in their order, by one thread at a time. */
    void (*added)(void *cookie, int pass, size_t batch, const void *more);
    void *cookie;
};
int ssa_ensemble_create(struct ssa_ensemble **ensemble, const struct ssa_ensemble_config *config);
void ssa_ensemble_destroy(struct ssa_ensemble *ensemble); /* NULL is fine */

/* What a pass makes of a batch; all is malloc()ed. */
struct ssa_answers {
    size_t count;   /* the same in each pass */
    float *values;  /* probabilities: losses, -log p; values: themselves, */
    float *targets; /* and their targets */
    void *more;     /* for `added` */
};
/* Takes over the arrays, also where it fails; once for each pass and batch. Waits for nobody: what comes before its
 * turn is added by whoever adds the one before it. SSA_EINVAL: another pass had another number of answers, or there are
 * too many. */
int ssa_ensemble_add(struct ssa_ensemble *ensemble, int pass, size_t batch, struct ssa_answers answers);
/* Has this pass of this batch been added? */
bool ssa_ensemble_has(struct ssa_ensemble *ensemble, int pass, size_t batch);
/* No more passes are wanted: all have been added, or the loss has settled. */
bool ssa_ensemble_complete(struct ssa_ensemble *ensemble);

/* What is known of the passes that count; for when nobody adds any more. */
struct ssa_ensemble_result {
    int passes;
    size_t answers;                   /* of all batches */
    const double *ensemble, *singles; /* loss an answer: of the first m + 1 passes together, of pass m alone */
    double single, spread;            /* mean and standard deviation of the singles */
    double unsettled;                 /* see struct ssa_scores; infinite for too few passes */
};
struct ssa_ensemble_result ssa_ensemble_result(const struct ssa_ensemble *ensemble);

#endif

/* The sums of an evaluation: losses of (pass, batch) come in from any thread in any order and are added in a fixed one,
 * so that not a bit depends on who computed what or when.
 *
 * Fixed order: for each token the passes' probabilities one after another; within a pass and batch the tokens; then the
 * batches. Memory: 8 bytes a token where there is more than one pass, 16 a pass and batch. */
#ifndef SSA_ENSEMBLE_H
#define SSA_ENSEMBLE_H

#include <stdbool.h>
#include <stddef.h>

struct ssa_ensemble;

/* Batch b has the tokens [first[b], first[b + 1]); `first` is copied. tolerance 0: all passes are wanted. */
int ssa_ensemble_create(struct ssa_ensemble **ensemble, int passes, size_t batches, const size_t *first,
                        double tolerance);
void ssa_ensemble_destroy(struct ssa_ensemble *ensemble); /* NULL is fine */

/* Takes over the malloc()ed losses of a batch's tokens; once for each pass and batch. Waits for nobody: what comes
 * before its turn is added by whoever adds the one before it. */
int ssa_ensemble_add(struct ssa_ensemble *ensemble, int pass, size_t batch, float *losses);
/* Has this pass of this batch been added? */
bool ssa_ensemble_has(struct ssa_ensemble *ensemble, int pass, size_t batch);
/* No more passes are wanted: all have been added, or the loss has settled. */
bool ssa_ensemble_complete(struct ssa_ensemble *ensemble);

/* What is known of the passes that count; for when nobody adds any more. */
struct ssa_ensemble_result {
    int passes;
    const double *ensemble, *singles; /* nats a token: of the first m + 1 passes together, of pass m alone */
    double single, spread;            /* mean and standard deviation of the singles */
    double unsettled;                 /* see struct ssa_scores; infinite for too few passes */
};
struct ssa_ensemble_result ssa_ensemble_result(const struct ssa_ensemble *ensemble);

#endif

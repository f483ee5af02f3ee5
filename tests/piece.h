/* A small piece of training, for tests of devices rather than of operators: norm, linear layer, loss, attention, and
 * back, a step of the optimiser. */
#ifndef SSA_TEST_PIECE_H
#define SSA_TEST_PIECE_H

#include "impl.h"

enum { PIECE_RESULTS = 705 }; /* logits, a gradient, the weights after the step, a sum */

/* From making its tensors to freeing them; a status. */
int piece_run(struct ssa_device *device, float *results);

#endif

/* The model of ssacl/model.h (biases, LayerNorm, all heads with keys of their own) in double precision, for the
 * first positions of a sequence: a causal model's losses there depend on nothing later, so that a large model can be
 * checked in a moment. */
#ifndef REFERENCE_MODEL_H
#define REFERENCE_MODEL_H

#include <ssacl/model.h>

/* Checks the losses of `positions` positions of one sequence, and the gradient of their mean along a direction (by a
 * difference quotient), with the layers' plans. Leaves the model's last pass overwritten. Errors are relative. */
int check_model(struct ssa_model *model, const struct ssa_plan *const *plans, int positions, double *error);

#endif

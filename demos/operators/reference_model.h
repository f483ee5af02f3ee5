/* The models of ssacl/model.h in double precision, of the oracles of their operators: layer norms and biases, all heads
 * with keys of their own, no dropout, no padding that is seen. Of a causal model just the first positions: their losses
 * depend on nothing later, so that a large one is checked in a moment. */
#ifndef REFERENCE_MODEL_H
#define REFERENCE_MODEL_H

#include <ssacl/train.h>

/* The positions that are looked at. */
int reference_positions(const struct ssa_model_config *config);

/* Checks the losses of one sequence, and the gradient of their mean along a direction, by a difference quotient, with
 * layers that sample so. The model must be made for training; its parameters are moved a little first. Errors are
 * relative. */
int check_model(struct ssa_model *model, const struct ssa_pattern *pattern, double *error);

#endif

/* The loss of values and its gradient in double precision. */
#ifndef SSA_ORACLE_VALUE_LOSS_H
#define SSA_ORACLE_VALUE_LOSS_H

#include <stddef.h>

/* kind as enum ssa_loss; a target of NaN is ignored. */
void oracle_value_loss(const double *x, const double *targets, size_t count, int kind, double grad_scale, double *loss,
                       double *dx);

#endif

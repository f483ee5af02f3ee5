/* Softmax cross-entropy and its gradient in double precision; targets outside [0, vocabulary) are ignored. */
#ifndef SSA_ORACLE_CROSS_ENTROPY_H
#define SSA_ORACLE_CROSS_ENTROPY_H

#include <stdint.h>

void oracle_cross_entropy(const double *logits, const int32_t *targets, int rows, int vocabulary, double smoothing,
                          double grad_scale, double *loss, double *dlogits);
/* The same with weights of all classes. */
void oracle_cross_entropy_soft(const double *logits, const double *soft_targets, int rows, int vocabulary,
                               double smoothing, double grad_scale, double *loss, double *dlogits);

#endif

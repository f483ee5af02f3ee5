/* What a model computes, by its definition in double precision: parameters, and what layers do with them. Names are of
 * layer `layer`, or where that is -1 of none. */
#ifndef SSA_TEST_EXACT_H
#define SSA_TEST_EXACT_H

#include "harness.h"
#include "ssacl/model.h"

/* All of a parameter; free() it. NULL: there is none of the name. */
double *exact_value(const struct ssa_model *m, int layer, const char *name);
/* y = x w^T (+ bias, where there is one) */
void exact_linear(const struct ssa_model *m, int layer, const char *name, int rows, int in, int out, const double *x,
                  double *y);
/* A layer norm with a bias. */
void exact_norm(const struct ssa_model *m, int layer, const char *name, int rows, int width, double eps,
                const double *x, double *y);
/* down(gelu(up(norm2(x)))) is added to x. */
void exact_mlp(const struct ssa_model *m, int layer, int rows, int width, int hidden, double eps, double *x);
/* The mean of rows. */
void exact_mean(int rows, int width, const double *x, double *y);
/* -log softmax(logits)[target] */
double exact_loss(const double *logits, int classes, int target);

#endif

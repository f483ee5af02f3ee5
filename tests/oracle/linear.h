/* The linear layer in double precision, by its definition. Rows are contiguous; absent operands are NULL. */
#ifndef SSA_ORACLE_LINEAR_H
#define SSA_ORACLE_LINEAR_H

#include "gelu.h"

#include <stddef.h>

/* pre = x w^T + bias (always written), y = act(pre) + residual. */
void oracle_linear_fwd(const double *x, const double *w, const double *bias, const double *residual, double *pre,
                       double *y, size_t rows, size_t in, size_t out, int activation);

/* dx += (dy w) o act'(x_pre) (no factor without x_pre), dw += dy^T x, dbias += sum of dy's rows. */
void oracle_linear_bwd(const double *x, const double *w, const double *dy, const double *x_pre, double *dx, double *dw,
                       double *dbias, size_t rows, size_t in, size_t out, int activation);

#endif

/* Layer norm (rms 0) and RMS norm in double precision. gain and bias may be NULL. stats is [rows, 2]. */
#ifndef SSA_ORACLE_NORM_H
#define SSA_ORACLE_NORM_H

#include <stdbool.h>

void oracle_norm_fwd(const double *x, const double *gain, const double *bias, int rows, int width, bool rms,
                     double eps, double *y, double *stats);
/* Gradients are written, not added. dgain and dbias may be NULL. */
void oracle_norm_bwd(const double *x, const double *gain, const double *dy, int rows, int width, bool rms, double eps,
                     double *dx, double *dgain, double *dbias);

#endif

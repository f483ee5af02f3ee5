/* The gated linear unit and its gradient in double precision; activation as enum ssa_activation. */
#ifndef SSA_ORACLE_GLU_H
#define SSA_ORACLE_GLU_H

#include <stddef.h>

/* y [rows, width] = act(gate) o up, of rows of x [rows, 2 width] that are gate and up. */
void oracle_glu_fwd(const double *x, size_t rows, size_t width, int activation, double *y);
void oracle_glu_bwd(const double *x, const double *dy, size_t rows, size_t width, int activation, double *dx);

#endif

/* Activations and their derivatives in double precision; activation as enum ssa_activation, SSA_ACT_NONE is x itself. */
#ifndef SSA_ORACLE_GELU_H
#define SSA_ORACLE_GELU_H

double oracle_activate(double x, int activation);
double oracle_activate_slope(double x, int activation);

#endif

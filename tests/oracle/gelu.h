/* GELU and its derivative in double precision: exact, or the tanh form. */
#ifndef SSA_ORACLE_GELU_H
#define SSA_ORACLE_GELU_H

#include <stdbool.h>

double oracle_gelu(double x, bool tanh_form);
double oracle_gelu_slope(double x, bool tanh_form);

#endif

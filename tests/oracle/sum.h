/* The sum of x, or of its squares, in double precision. */
#ifndef SSA_ORACLE_SUM_H
#define SSA_ORACLE_SUM_H

#include <stdbool.h>
#include <stddef.h>

double oracle_sum(const float *x, size_t count, bool squares);

#endif

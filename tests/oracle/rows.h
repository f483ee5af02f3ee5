/* Gather and scatter of rows, element by element; indices outside count nowhere. */
#ifndef SSA_ORACLE_ROWS_H
#define SSA_ORACLE_ROWS_H

#include <stdint.h>

void oracle_gather_rows(const double *x, const int32_t *rows, int count, int source_rows, int width, double *out);
void oracle_scatter_rows(const double *x, const int32_t *rows, int count, int target_rows, int width, int accumulate,
                         double *out);

#endif

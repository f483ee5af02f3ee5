/* Dropout in double precision, the mask from cl/rng.h element by element. residual may be NULL. */
#ifndef SSA_ORACLE_DROPOUT_H
#define SSA_ORACLE_DROPOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool oracle_dropout_keeps(uint64_t seed, uint64_t stream, uint64_t n, float p);
void oracle_dropout(const double *x, const double *residual, size_t count, float p, uint64_t seed, uint64_t stream,
                    uint64_t first, double *out);
/* The same with elements that are dropped in runs. */
void oracle_dropout_runs(const double *x, const double *residual, size_t count, float p, uint64_t seed, uint64_t stream,
                         uint64_t first, size_t run, double *out);
/* The same of rows of `each` elements, the first of which have the numbers `firsts`. */
void oracle_dropout_parts(const double *x, const double *residual, size_t count, float p, uint64_t seed,
                          uint64_t stream, size_t each, const uint64_t *firsts, double *out);

#endif

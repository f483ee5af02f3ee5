/* The mean over `count` positions from `first` on of each sequence, in double precision. */
#ifndef SSA_ORACLE_MEAN_H
#define SSA_ORACLE_MEAN_H

#include <stdint.h>

struct oracle_mean {
    int batch, length, first, count, width;
    const int32_t *lengths; /* NULL, or of each sequence: later positions do not count */
};
void oracle_mean_fwd(const struct oracle_mean *s, const double *x, double *out);
/* Adds to dx. */
void oracle_mean_bwd(const struct oracle_mean *s, const double *dout, double *dx);

#endif

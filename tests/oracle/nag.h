/* One step of Nesterov's accelerated gradient in double precision, on w and m in place. All values as they are: no
 * defaults. */
#ifndef SSA_ORACLE_NAG_H
#define SSA_ORACLE_NAG_H

#include <stddef.h>

struct oracle_nag {
    double lr, last_lr, momentum, decay, grad_scale;
    double clip, sumsq; /* clip 0: no clipping */
    double ema;
    double *average; /* NULL: none is kept */
};

void oracle_nag(const struct oracle_nag *a, double *w, const double *g, double *m, size_t count);

#endif

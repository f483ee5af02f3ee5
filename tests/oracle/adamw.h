/* One step of AdamW in double precision, on w, m and v in place. All values as they are: no defaults. */
#ifndef SSA_ORACLE_ADAMW_H
#define SSA_ORACLE_ADAMW_H

#include <stddef.h>

struct oracle_adamw {
    double lr, beta1, beta2, eps, decay, grad_scale;
    double clip, sumsq; /* clip 0: no clipping */
    int step;
    double ema;
    double *average; /* NULL: none is kept */
};

void oracle_adamw(const struct oracle_adamw *a, double *w, const double *g, double *m, double *v, size_t count);

#endif

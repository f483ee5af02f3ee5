#include "nag.h"

#include <math.h>

void oracle_nag(const struct oracle_nag *a, double *w, const double *g, double *m, size_t count)
{
    const double r = a->lr / a->last_lr, p = a->momentum;
    double c = a->grad_scale;
    if (a->clip > 0)
        c *= fmin(1, a->clip / (a->grad_scale * sqrt(a->sumsq)));
    for (size_t i = 0; i < count; i++) {
        w[i] *= 1 - a->lr * a->decay;
        w[i] += p * p * r * m[i] - (1 + p) * a->lr * c * g[i];
        m[i] = p * r * m[i] - a->lr * c * g[i];
        if (a->average)
            a->average[i] = a->ema * a->average[i] + (1 - a->ema) * w[i];
    }
}

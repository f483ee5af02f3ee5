#include "adamw.h"

#include <math.h>

void oracle_adamw(const struct oracle_adamw *a, double *w, const double *g, double *m, double *v, size_t count)
{
    double c = a->grad_scale;
    if (a->clip > 0)
        c *= fmin(1, a->clip / (a->grad_scale * sqrt(a->sumsq)));
    for (size_t i = 0; i < count; i++) {
        m[i] = a->beta1 * m[i] + (1 - a->beta1) * c * g[i];
        v[i] = a->beta2 * v[i] + (1 - a->beta2) * c * g[i] * c * g[i];
        double m_hat = m[i] / (1 - pow(a->beta1, a->step)), v_hat = v[i] / (1 - pow(a->beta2, a->step));
        w[i] -= a->lr * (m_hat / (sqrt(v_hat) + a->eps) + a->decay * w[i]);
        if (a->average)
            a->average[i] = a->ema * a->average[i] + (1 - a->ema) * w[i];
    }
}

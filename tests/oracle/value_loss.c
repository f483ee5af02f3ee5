#include "value_loss.h"

#include "ssacl/ops.h"

#include <math.h>

static double sign(double d)
{
    return d > 0 ? 1 : d < 0 ? -1 : d;
}

void oracle_value_loss(const double *x, const double *targets, size_t count, int kind, double grad_scale, double *loss,
                       double *dx)
{
    for (size_t i = 0; i < count; i++) {
        const double d = isnan(targets[i]) ? 0 : x[i] - targets[i];
        loss[i] = kind == SSA_LOSS_L1 ? fabs(d) : d * d;
        dx[i] = grad_scale * (kind == SSA_LOSS_L1 ? sign(d) : 2 * d);
    }
}

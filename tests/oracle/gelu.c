#include "gelu.h"

#include "ssacl/ops.h"

#include <math.h>

static const double sqrt_2_over_pi = 0.79788456080286535588, sqrt_half = 0.70710678118654752440;

double oracle_activate(double x, int activation)
{
    if (activation == SSA_ACT_GELU)
        return 0.5 * x * erfc(-x * sqrt_half);
    if (activation == SSA_ACT_GELU_TANH)
        return 0.5 * x * (1 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    if (activation == SSA_ACT_SILU)
        return x / (1 + exp(-x));
    if (activation == SSA_ACT_QUICK_GELU)
        return x / (1 + exp(-1.702 * x));
    if (activation == SSA_ACT_RELU)
        return x < 0 ? 0 : x;
    if (activation == SSA_ACT_ELU)
        return x > 0 ? x : expm1(x);
    return x;
}

double oracle_activate_slope(double x, int activation)
{
    if (activation == SSA_ACT_GELU)
        return 0.5 * erfc(-x * sqrt_half) + x * exp(-0.5 * x * x) * 0.5 * sqrt_2_over_pi;
    if (activation == SSA_ACT_GELU_TANH) {
        double t = tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt_2_over_pi * (1 + 3 * 0.044715 * x * x);
    }
    if (activation == SSA_ACT_SILU) {
        double s = 1 / (1 + exp(-x));
        return s + x * s * (1 - s);
    }
    if (activation == SSA_ACT_QUICK_GELU) {
        double s = 1 / (1 + exp(-1.702 * x));
        return s * (1 + 1.702 * x * (1 - s));
    }
    if (activation == SSA_ACT_RELU)
        return x > 0;
    if (activation == SSA_ACT_ELU)
        return x > 0 ? 1 : exp(x);
    return 1;
}

#include "gelu.h"

#include <math.h>

static const double sqrt_2_over_pi = 0.79788456080286535588;

double oracle_gelu(double x, bool tanh_form)
{
    if (tanh_form)
        return 0.5 * x * (1 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    return 0.5 * x * erfc(-x / sqrt(2));
}

double oracle_gelu_slope(double x, bool tanh_form)
{
    if (tanh_form) {
        double t = tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt_2_over_pi * (1 + 3 * 0.044715 * x * x);
    }
    return 0.5 * erfc(-x / sqrt(2)) + x * exp(-0.5 * x * x) * 0.5 * sqrt_2_over_pi;
}

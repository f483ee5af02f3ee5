#include "cross_entropy.h"

#include <math.h>
#include <stddef.h>

static double log_sum_exp(const double *x, int n)
{
    double top = x[0], sum = 0;
    for (int v = 1; v < n; v++)
        top = x[v] > top ? x[v] : top;
    for (int v = 0; v < n; v++)
        sum += exp(x[v] - top);
    return top + log(sum);
}

void oracle_cross_entropy(const double *logits, const int32_t *targets, int rows, int vocabulary, double smoothing,
                          double grad_scale, double *loss, double *dlogits)
{
    for (int r = 0; r < rows; r++) {
        const double *x = logits + (size_t)r * (size_t)vocabulary, lse = log_sum_exp(x, vocabulary);
        const int counts = targets[r] >= 0 && targets[r] < vocabulary;
        loss[r] = 0;
        for (int v = 0; v < vocabulary; v++) {
            double t = (1 - smoothing) * (v == targets[r]) + smoothing / vocabulary;
            if (counts && t > 0)
                loss[r] -= t * (x[v] - lse);
            dlogits[(size_t)r * (size_t)vocabulary + (size_t)v] = counts ? grad_scale * (exp(x[v] - lse) - t) : 0;
        }
    }
}

void oracle_cross_entropy_soft(const double *logits, const double *soft_targets, int rows, int vocabulary,
                               double smoothing, double grad_scale, double *loss, double *dlogits)
{
    for (int r = 0; r < rows; r++) {
        const size_t at = (size_t)r * (size_t)vocabulary;
        const double *x = logits + at, *s = soft_targets + at, lse = log_sum_exp(x, vocabulary);
        double weight = 0;
        for (int v = 0; v < vocabulary; v++)
            weight += s[v];
        loss[r] = 0;
        for (int v = 0; v < vocabulary; v++) {
            const double t = (1 - smoothing) * s[v] + weight * smoothing / vocabulary;
            if (t != 0)
                loss[r] -= t * (x[v] - lse);
            dlogits[at + (size_t)v] = grad_scale * (weight * exp(x[v] - lse) - t);
        }
    }
}

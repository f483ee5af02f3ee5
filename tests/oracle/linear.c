#include "linear.h"

void oracle_linear_fwd(const double *x, const double *w, const double *bias, const double *residual, double *pre,
                       double *y, size_t rows, size_t in, size_t out, int activation)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < out; j++) {
            double sum = bias ? bias[j] : 0;
            for (size_t k = 0; k < in; k++)
                sum += x[i * in + k] * w[j * in + k];
            pre[i * out + j] = sum;
            y[i * out + j] = oracle_activate(sum, activation) + (residual ? residual[i * out + j] : 0);
        }
}

static void input_gradient(const double *w, const double *dy, const double *x_pre, double *dx, size_t rows, size_t in,
                           size_t out, int activation)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < in; k++) {
            double sum = 0;
            for (size_t j = 0; j < out; j++)
                sum += dy[i * out + j] * w[j * in + k];
            dx[i * in + k] += x_pre ? sum * oracle_activate_slope(x_pre[i * in + k], activation) : sum;
        }
}

void oracle_linear_bwd(const double *x, const double *w, const double *dy, const double *x_pre, double *dx, double *dw,
                       double *dbias, size_t rows, size_t in, size_t out, int activation)
{
    if (dx)
        input_gradient(w, dy, x_pre, dx, rows, in, out, activation);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < out; j++) {
            if (dbias)
                dbias[j] += dy[i * out + j];
            for (size_t k = 0; dw && k < in; k++)
                dw[j * in + k] += dy[i * out + j] * x[i * in + k];
        }
}

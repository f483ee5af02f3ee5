#include "norm.h"

#include <math.h>
#include <stddef.h>

static void row_stats(const double *x, int width, bool rms, double eps, double *mean, double *inverse)
{
    double sum = 0, squares = 0;
    for (int c = 0; c < width; c++)
        sum += x[c];
    *mean = rms ? 0 : sum / width;
    for (int c = 0; c < width; c++)
        squares += (x[c] - *mean) * (x[c] - *mean);
    *inverse = 1 / sqrt(squares / width + eps);
}

void oracle_norm_fwd(const double *x, const double *gain, const double *bias, int rows, int width, bool rms,
                     double eps, double *y, double *stats)
{
    for (int r = 0; r < rows; r++) {
        const double *xr = x + (size_t)r * (size_t)width;
        double *yr = y + (size_t)r * (size_t)width;
        row_stats(xr, width, rms, eps, &stats[2 * r], &stats[2 * r + 1]);
        for (int c = 0; c < width; c++)
            yr[c] = (xr[c] - stats[2 * r]) * stats[2 * r + 1] * (gain ? gain[c] : 1) + (bias ? bias[c] : 0);
    }
}

void oracle_norm_bwd(const double *x, const double *gain, const double *dy, int rows, int width, bool rms, double eps,
                     double *dx, double *dgain, double *dbias)
{
    for (int c = 0; c < width; c++) {
        if (dgain)
            dgain[c] = 0;
        if (dbias)
            dbias[c] = 0;
    }
    for (int r = 0; r < rows; r++) {
        const double *xr = x + (size_t)r * (size_t)width, *dyr = dy + (size_t)r * (size_t)width;
        double mean, inverse, sum_g = 0, sum_gn = 0;
        row_stats(xr, width, rms, eps, &mean, &inverse);
        for (int c = 0; c < width; c++) {
            double n = (xr[c] - mean) * inverse, g = dyr[c] * (gain ? gain[c] : 1);
            sum_g += g;
            sum_gn += g * n;
            if (dgain)
                dgain[c] += dyr[c] * n;
            if (dbias)
                dbias[c] += dyr[c];
        }
        for (int c = 0; c < width; c++) {
            double n = (xr[c] - mean) * inverse, g = dyr[c] * (gain ? gain[c] : 1);
            dx[(size_t)r * (size_t)width + (size_t)c] =
                (g - (rms ? 0 : sum_g / width) - n * sum_gn / width) * inverse;
        }
    }
}

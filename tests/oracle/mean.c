#include "mean.h"

void oracle_mean_fwd(const struct oracle_mean *s, const double *x, double *out)
{
    for (int b = 0; b < s->batch; b++)
        for (int c = 0; c < s->width; c++) {
            double sum = 0;
            for (int n = s->first; n < s->first + s->count; n++)
                sum += x[(b * s->length + n) * s->width + c];
            out[b * s->width + c] = sum / s->count;
        }
}

void oracle_mean_bwd(const struct oracle_mean *s, const double *dout, double *dx)
{
    for (int b = 0; b < s->batch; b++)
        for (int c = 0; c < s->width; c++)
            for (int n = s->first; n < s->first + s->count; n++)
                dx[(b * s->length + n) * s->width + c] += dout[b * s->width + c] / s->count;
}

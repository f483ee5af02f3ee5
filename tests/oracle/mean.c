#include "mean.h"

#include <stdbool.h>

static bool counts(const struct oracle_mean *s, int b, int n)
{
    return n >= s->first && n < s->first + s->count && (!s->lengths || n < s->lengths[b]);
}

static int counted(const struct oracle_mean *s, int b)
{
    int sum = 0;
    for (int n = 0; n < s->length; n++)
        sum += counts(s, b, n);
    return sum;
}

void oracle_mean_fwd(const struct oracle_mean *s, const double *x, double *out)
{
    for (int b = 0; b < s->batch; b++)
        for (int c = 0; c < s->width; c++) {
            double sum = 0;
            for (int n = 0; n < s->length; n++)
                if (counts(s, b, n))
                    sum += x[(b * s->length + n) * s->width + c];
            out[b * s->width + c] = counted(s, b) ? sum / counted(s, b) : 0;
        }
}

void oracle_mean_bwd(const struct oracle_mean *s, const double *dout, double *dx)
{
    for (int b = 0; b < s->batch; b++)
        for (int n = 0; n < s->length; n++)
            for (int c = 0; c < s->width && counts(s, b, n); c++)
                dx[(b * s->length + n) * s->width + c] += dout[b * s->width + c] / counted(s, b);
}

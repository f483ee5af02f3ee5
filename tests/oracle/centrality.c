#include "centrality.h"

#include <math.h>
#include <stddef.h>

static size_t row(const struct oracle_centrality *s, int b, int n, int h)
{
    return (size_t)((b * s->length + n) * s->heads + h) * (size_t)s->width;
}
static size_t sum(const struct oracle_centrality *s, int b, int n, int h)
{
    return (size_t)((b * s->heads + h) * s->length + n);
}

void oracle_centrality_fwd(const struct oracle_centrality *s, const double *x, const double *sums, double *out)
{
    for (int b = 0; b < s->batch; b++)
        for (int n = 0; n < s->length; n++)
            for (int h = 0; h < s->heads; h++)
                for (int c = 0; c < s->width; c++) {
                    const size_t at = row(s, b, n, h) + (size_t)c;
                    out[at] = n < s->lead ? x[at] : log1p(s->ratio * sums[sum(s, b, n, h)]) * x[at];
                }
}

void oracle_centrality_bwd(const struct oracle_centrality *s, const double *x, const double *sums, const double *dout,
                           double *dx, double *dsums)
{
    for (int b = 0; b < s->batch; b++)
        for (int n = 0; n < s->length; n++)
            for (int h = 0; h < s->heads; h++) {
                const double t = sums[sum(s, b, n, h)];
                double product = 0;
                for (int c = 0; c < s->width; c++) {
                    const size_t at = row(s, b, n, h) + (size_t)c;
                    dx[at] = n < s->lead ? dout[at] : log1p(s->ratio * t) * dout[at];
                    product += dout[at] * x[at];
                }
                dsums[sum(s, b, n, h)] = n < s->lead ? 0 : s->ratio / (1 + s->ratio * t) * product;
            }
}

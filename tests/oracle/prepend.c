#include "prepend.h"

#include <stddef.h>

void oracle_prepend_fwd(const struct oracle_prepend *s, const double *first, const double *x, const double *positions,
                        double *out)
{
    for (int b = 0; b < s->batch; b++)
        for (int n = 0; n < s->lead + s->length; n++)
            for (int c = 0; c < s->width; c++) {
                const double v = n < s->lead ? first[n * s->width + c]
                                             : x[(b * s->length + n - s->lead) * s->width + c];
                *out++ = v + (positions ? positions[n * s->width + c] : 0);
            }
}

void oracle_prepend_bwd(const struct oracle_prepend *s, const double *dout, double *dfirst, double *dx,
                        double *dpositions)
{
    for (int b = 0; b < s->batch; b++)
        for (int n = 0; n < s->lead + s->length; n++)
            for (int c = 0; c < s->width; c++) {
                const double d = *dout++;
                dpositions[n * s->width + c] += d;
                if (n < s->lead)
                    dfirst[n * s->width + c] += d;
                else
                    dx[(b * s->length + n - s->lead) * s->width + c] = d;
            }
}

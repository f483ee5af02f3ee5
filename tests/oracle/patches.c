#include "patches.h"

#include <stddef.h>

static double pixel(const struct oracle_images *s, const double *x, int b, int row, int column, int channel)
{
    return x[(((size_t)b * (size_t)s->rows + (size_t)row) * (size_t)s->columns + (size_t)column) *
                 (size_t)s->channels + (size_t)channel];
}

/* Written one after another, in the order that they must have. */
void oracle_patches(const struct oracle_images *s, const double *x, double *out)
{
    for (int b = 0; b < s->batch; b++)
        for (int u = 0; u < s->rows; u += s->patch)
            for (int v = 0; v < s->columns; v += s->patch)
                for (int c = 0; c < s->channels; c++)
                    for (int i = 0; i < s->patch; i++)
                        for (int j = 0; j < s->patch; j++)
                            *out++ = pixel(s, x, b, u + i, v + j, c);
}

#include "frame.h"

#include <stddef.h>

/* Where pair (i, j), counted with the lead, is in x. */
static size_t inside(const struct oracle_frame *s, int b, int i, int j)
{
    return (size_t)((b * s->length + i - s->lead) * s->length + j - s->lead) * (size_t)s->width;
}

/* How much of vectors[a] pair (i, j) has. */
static double share(const struct oracle_frame *s, int i, int j, int a)
{
    if (i < s->lead && j < s->lead)
        return 0.5 * (i == a) + 0.5 * (j == a);
    return i == a || j == a;
}

void oracle_frame_fwd(const struct oracle_frame *s, const double *x, const double *vectors, double *out)
{
    const int all = s->lead + s->length;
    for (int b = 0; b < s->batch; b++)
        for (int i = 0; i < all; i++)
            for (int j = 0; j < all; j++)
                for (int c = 0; c < s->width; c++, out++) {
                    *out = i >= s->lead && j >= s->lead ? x[inside(s, b, i, j) + (size_t)c] : 0;
                    for (int a = 0; a < s->lead; a++)
                        *out += share(s, i, j, a) * vectors[a * s->width + c];
                }
}

void oracle_frame_bwd(const struct oracle_frame *s, const double *dout, double *dx, double *dvectors)
{
    const int all = s->lead + s->length;
    for (int b = 0; b < s->batch; b++)
        for (int i = 0; i < all; i++)
            for (int j = 0; j < all; j++)
                for (int c = 0; c < s->width; c++, dout++) {
                    if (i >= s->lead && j >= s->lead)
                        dx[inside(s, b, i, j) + (size_t)c] = *dout;
                    for (int a = 0; a < s->lead; a++)
                        dvectors[a * s->width + c] += share(s, i, j, a) * *dout;
                }
}

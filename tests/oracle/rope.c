#include "rope.h"

#include <math.h>

void oracle_rope(const struct oracle_rope *r, double *x)
{
    const int half = r->width / 2;
    for (int t = 0; t < r->rows; t++)
        for (int j = 0; j < half; j++) {
            double position = (double)r->first_position + t % r->length;
            double angle = position * pow(r->base, -2.0 * j / r->width) * (r->inverse ? -1 : 1);
            for (int h = 0; h < r->heads; h++) {
                double *a = x + (size_t)t * r->stride + (size_t)(h * r->width + j), *b = a + half, kept = *a;
                *a = kept * cos(angle) - *b * sin(angle);
                *b = kept * sin(angle) + *b * cos(angle);
            }
        }
}

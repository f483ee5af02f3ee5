/* Pictures in another size: bicubic, as PIL's resize() does it.
 *
 * Of n pixels m are made; s = n/m, f = max(s, 1). Output pixel o lies at c = (o + 0.5) s, and is the sum over input
 * pixels i from int(c - 2f + 0.5) to int(c + 2f + 0.5) - 1, those there are, of pixel i times w((i - c + 0.5)/f), the
 * weights divided by their sum; w(x) = 1.5|x|^3 - 2.5|x|^2 + 1 up to 1, -0.5|x|^3 + 2.5|x|^2 - 4|x| + 2 up to 2. So
 * where pixels become fewer, each is an average (antialias). Along rows first, then along columns; in between, and at
 * the end, values are bytes. Weights are whole numbers of 2^-22, rounded; sums are rounded and cut to 0..255. */
#ifndef IMAGE_RESAMPLE_H
#define IMAGE_RESAMPLE_H

#include "picture.h"

#include <stdint.h>

struct box {
    int row, column, rows, columns;
};

/* The memory of a thread that does it; zero it first. */
struct resampler {
    int32_t *weights[2];
    int *first[2];
    size_t capacity[2], firsts[2];
    unsigned char *between;
    size_t between_size;
};
/* What lies in the box `from` of a picture becomes rows x columns pixels (each at most 2^30), of which those in the box
 * `part` are made, to [part.rows, part.columns, channels]. Non-zero without memory. */
int resample(struct resampler *r, const struct picture *p, struct box from, int rows, int columns, struct box part,
             unsigned char *to);
void resampler_free(struct resampler *r);

#endif

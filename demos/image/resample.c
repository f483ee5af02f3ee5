#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 22, HALF = 1 << (BITS - 1) };

/* The weights of some outputs of an axis: `taps` each, of inputs from first[] on; those behind the last are 0. */
struct axis {
    const int32_t *weights;
    const int *first;
    int taps;
};

static double bicubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static int axis_room(struct resampler *r, int which, size_t outputs, size_t taps)
{
    if (outputs > r->firsts[which]) {
        free(r->first[which]);
        r->first[which] = malloc(outputs * sizeof *r->first[which]);
        r->firsts[which] = r->first[which] ? outputs : 0;
    }
    if (outputs * taps > r->capacity[which]) {
        free(r->weights[which]);
        r->weights[which] = malloc(outputs * taps * sizeof *r->weights[which]);
        r->capacity[which] = r->weights[which] ? outputs * taps : 0;
    }
    return !r->first[which] || !r->weights[which];
}

/* Those of one output; w has room for all taps. */
static int weigh(int32_t *to, int taps, int input, double scale, int output)
{
    double wide = scale > 1 ? scale : 1, centre = (output + 0.5) * scale, sum = 0;
    int first = (int)fmax(centre - 2 * wide + 0.5, 0), end = (int)fmin(centre + 2 * wide + 0.5, input);
    for (int i = first; i < end; i++)
        sum += bicubic((i - centre + 0.5) / wide);
    for (int t = 0; t < taps; t++) {
        double w = first + t < end ? bicubic((first + t - centre + 0.5) / wide) / sum : 0;
        to[t] = (int32_t)(w * (1 << BITS) + (w < 0 ? -0.5 : 0.5));
    }
    return first;
}

static int make_axis(struct axis *axis, struct resampler *r, int which, int input, int output, int from, int count)
{
    double scale = (double)input / output, reach = 4 * (scale > 1 ? scale : 1);
    axis->taps = (int)fmin(ceil(reach) + 1, input);
    if (axis_room(r, which, (size_t)count, (size_t)axis->taps))
        return 1;
    int32_t *w = r->weights[which];
    for (int o = 0; o < count; o++, w += axis->taps)
        r->first[which][o] = weigh(w, axis->taps, input, scale, from + o);
    axis->weights = r->weights[which];
    axis->first = r->first[which];
    return 0;
}

static inline unsigned char cut(int32_t sum)
{
    sum >>= BITS;
    return (unsigned char)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* A row of pixels becomes one of `count`; `width` pixels are there, and taps behind them have no weight. */
static inline void along_row(unsigned char *to, const unsigned char *from, int width, const struct axis *axis,
                             int count, int channels)
{
    for (int o = 0; o < count; o++) {
        const int32_t *w = axis->weights + (size_t)o * (size_t)axis->taps;
        int first = axis->first[o], taps = width - first < axis->taps ? width - first : axis->taps;
        int32_t sums[3] = {HALF, HALF, HALF};
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < channels; c++)
                sums[c] += w[t] * from[(first + t) * channels + c];
        for (int c = 0; c < channels; c++)
            *to++ = cut(sums[c]);
    }
}

/* Rows, `step` bytes apart, become one; blocks that the registers hold. */
static void along_columns(unsigned char *to, const unsigned char *from, size_t step, size_t size, const int32_t *w,
                          int taps)
{
    enum { BLOCK = 64 };
    for (size_t at = 0; at < size; at += BLOCK) {
        int32_t sums[BLOCK];
        size_t n = size - at < BLOCK ? size - at : BLOCK;
        for (int i = 0; i < BLOCK; i++)
            sums[i] = HALF;
        for (int t = 0; t < taps; t++) {
            const unsigned char *row = from + (size_t)t * step + at;
            if (n == BLOCK)
                for (int i = 0; i < BLOCK; i++)
                    sums[i] += w[t] * row[i];
            else
                for (size_t i = 0; i < n; i++)
                    sums[i] += w[t] * row[i];
        }
        for (size_t i = 0; i < n; i++)
            to[at + i] = cut(sums[i]);
    }
}

static int between_room(struct resampler *r, size_t size)
{
    if (size > r->between_size) {
        free(r->between);
        r->between = malloc(size);
        r->between_size = r->between ? size : 0;
    }
    return r->between == NULL;
}

int resample(struct resampler *r, const struct picture *p, struct box from, int rows, int columns, struct box part,
             unsigned char *to)
{
    struct axis x, y;
    if (make_axis(&x, r, 0, from.columns, columns, part.column, part.columns) ||
        make_axis(&y, r, 1, from.rows, rows, part.row, part.rows))
        return 1;
    size_t step = (size_t)part.columns * (size_t)p->channels;
    int first = y.first[0], last = y.first[part.rows - 1] + y.taps; /* input rows that are looked at */
    last = last < from.rows ? last : from.rows;
    if (between_room(r, step * (size_t)(last - first)))
        return 1;
    for (int i = first; i < last; i++) {
        const unsigned char *row =
            p->pixels + ((size_t)(from.row + i) * (size_t)p->columns + (size_t)from.column) * (size_t)p->channels;
        unsigned char *between = r->between + (size_t)(i - first) * step;
        if (p->channels == 3)
            along_row(between, row, from.columns, &x, part.columns, 3);
        else
            along_row(between, row, from.columns, &x, part.columns, 1);
    }
    for (int o = 0; o < part.rows; o++) {
        int taps = last - y.first[o] < y.taps ? last - y.first[o] : y.taps;
        along_columns(to + (size_t)o * step, r->between + (size_t)(y.first[o] - first) * step, step, step,
                      y.weights + (size_t)o * (size_t)y.taps, taps);
    }
    return 0;
}

void resampler_free(struct resampler *r)
{
    for (int i = 0; i < 2; i++) {
        free(r->weights[i]);
        free(r->first[i]);
    }
    free(r->between);
    *r = (struct resampler){0};
}

#include "operations.h"

#include "picture.h"

#include <math.h>
#include <string.h>

struct work {
    unsigned char *pixels, *aside;
    int rows, columns, channels;
    size_t size; /* bytes */
};

static unsigned char cut(double v)
{
    return (unsigned char)(v <= 0 ? 0 : v >= 255 ? 255 : v);
}

/* ---- values ---- */

/* A table for each channel. */
static void look_up(const struct work *w, unsigned char table[3][256])
{
    for (size_t i = 0; i < w->size; i += (size_t)w->channels)
        for (int c = 0; c < w->channels; c++)
            w->pixels[i + (size_t)c] = table[c][w->pixels[i + (size_t)c]];
}

static void count(const struct work *w, long counts[3][256])
{
    memset(counts, 0, 3 * 256 * sizeof **counts);
    for (size_t i = 0; i < w->size; i += (size_t)w->channels)
        for (int c = 0; c < w->channels; c++)
            counts[c][w->pixels[i + (size_t)c]]++;
}

static void autocontrast(const struct work *w)
{
    long counts[3][256];
    unsigned char table[3][256];
    count(w, counts);
    for (int c = 0; c < w->channels; c++) {
        int low = 0, high = 255;
        while (low < 255 && !counts[c][low])
            low++;
        while (high > 0 && !counts[c][high])
            high--;
        double scale = high > low ? 255.0 / (high - low) : 1, offset = high > low ? -low * scale : 0;
        for (int v = 0; v < 256; v++)
            table[c][v] = cut(trunc(v * scale + offset));
    }
    look_up(w, table);
}

static void equalise(const struct work *w)
{
    long counts[3][256];
    unsigned char table[3][256];
    count(w, counts);
    for (int c = 0; c < w->channels; c++) {
        int last = 255;
        while (last > 0 && !counts[c][last])
            last--;
        long step = ((long)(w->size / (size_t)w->channels) - counts[c][last]) / 255, sum = step / 2;
        for (int v = 0; v < 256; sum += counts[c][v++])
            table[c][v] = step ? cut((double)(sum / step)) : (unsigned char)v;
    }
    look_up(w, table);
}

/* One table for all channels: what a value becomes. */
static void map_values(const struct work *w, enum operation operation, double level)
{
    unsigned char table[3][256];
    int bits = 4 - (int)(level / 10 * 4), threshold = 256 - (int)(level / 10 * 256), more = (int)(level / 10 * 110);
    for (int v = 0; v < 256; v++) {
        int to = operation == OPERATION_INVERT      ? 255 - v
                 : operation == OPERATION_POSTERISE ? v & ~((1 << (8 - bits)) - 1)
                 : operation == OPERATION_SOLARISE  ? v < threshold ? v : 255 - v
                                                    : v < 128 ? v + more : v;
        for (int c = 0; c < 3; c++)
            table[c][v] = cut(to);
    }
    look_up(w, table);
}

/* ---- away from something, or towards it ---- */

static unsigned char blend(int base, int v, double factor)
{
    return cut((float)base + (float)factor * (float)(v - base)); /* in float, as PIL */
}

static unsigned char luma(const struct work *w, const unsigned char *pixel)
{
    return w->channels == 3 ? picture_luma(pixel) : *pixel;
}

static void colour(const struct work *w, double factor)
{
    for (size_t i = 0; i < w->size; i += (size_t)w->channels) {
        unsigned char *p = w->pixels + i, base = luma(w, p);
        for (int c = 0; c < w->channels; c++)
            p[c] = blend(base, p[c], factor);
    }
}

/* From one value: of contrast the mean, of brightness 0. */
static void spread(const struct work *w, double factor, bool contrast)
{
    unsigned char table[3][256];
    double sum = 0;
    int base = 0;
    for (size_t i = 0; contrast && i < w->size; i += (size_t)w->channels)
        sum += luma(w, w->pixels + i);
    if (contrast)
        base = (int)(sum / (double)(w->size / (size_t)w->channels) + 0.5);
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = blend(base, v, factor);
    look_up(w, table);
}

static void sharpness(const struct work *w, double factor)
{
    size_t row = (size_t)w->columns * (size_t)w->channels, one = (size_t)w->channels;
    memcpy(w->aside, w->pixels, w->size);
    for (size_t r = 1; r + 1 < (size_t)w->rows; r++)
        for (size_t i = r * row + one; i < (r + 1) * row - one; i++) {
            const unsigned char *p = w->aside + i, *lines[3] = {p - row, p, p + row};
            int sum = 4 * *p;
            for (int k = 0; k < 3; k++)
                sum += *(lines[k] - one) + *lines[k] + *(lines[k] + one);
            w->pixels[i] = blend((int)(sum / 13.0 + 0.5), *p, factor);
        }
}

/* ---- places ---- */

static double cubic(const double v[4], double d)
{
    return v[1] + d * (v[2] - v[0] + d * (2 * (v[0] - v[1]) + v[2] - v[3] + d * (v[1] - v[0] + v[3] - v[2])));
}

static int within(int i, int count)
{
    return i < 0 ? 0 : i < count ? i : count - 1;
}

/* The pixel at (x, y), of centres at halves. */
static void interpolate(const struct work *w, double x, double y, unsigned char *to)
{
    double column = floor(x - 0.5), row = floor(y - 0.5), dx = x - 0.5 - column, dy = y - 0.5 - row;
    size_t at[4], lines[4];
    for (int i = 0; i < 4; i++) {
        at[i] = (size_t)within((int)column - 1 + i, w->columns) * (size_t)w->channels;
        lines[i] = (size_t)within((int)row - 1 + i, w->rows) * (size_t)w->columns * (size_t)w->channels;
    }
    for (int c = 0; c < w->channels; c++) {
        double down[4];
        for (int i = 0; i < 4; i++) {
            const unsigned char *line = w->aside + lines[i] + c;
            down[i] = cubic((double[]){line[at[0]], line[at[1]], line[at[2]], line[at[3]]}, dx);
        }
        to[c] = cut(cubic(down, dy));
    }
}

/* The pixel at (x, y) comes from (m0 x + m1 y + m2, m3 x + m4 y + m5). */
static void transform(const struct work *w, const double m[6])
{
    static const unsigned char outside[3] = {124, 116, 104};
    unsigned char *to = w->pixels;
    memcpy(w->aside, w->pixels, w->size);
    for (int r = 0; r < w->rows; r++)
        for (int c = 0; c < w->columns; c++, to += w->channels) {
            double x = m[0] * (c + 0.5) + m[1] * (r + 0.5) + m[2], y = m[3] * (c + 0.5) + m[4] * (r + 0.5) + m[5];
            if (x >= 0 && y >= 0 && x < w->columns && y < w->rows)
                interpolate(w, x, y, to);
            else
                memcpy(to, outside, (size_t)w->channels);
        }
}

static void rotate(const struct work *w, double degrees)
{
    double angle = -degrees * 3.141592653589793 / 180, c = cos(angle), s = sin(angle);
    double x = w->columns / 2.0, y = w->rows / 2.0;
    transform(w, (double[]){c, s, x - c * x - s * y, -s, c, y + s * x - c * y});
}

static void move(const struct work *w, enum operation operation, double by)
{
    double m[6] = {1, 0, 0, 0, 1, 0};
    if (operation == OPERATION_SHEAR_X || operation == OPERATION_SHEAR_Y)
        m[operation == OPERATION_SHEAR_X ? 1 : 3] = by * 0.3;
    else if (operation == OPERATION_TRANSLATE_X)
        m[2] = by * 0.45 * w->columns;
    else
        m[5] = by * 0.45 * w->rows;
    transform(w, m);
}

void operation_apply(enum operation operation, double level, int sign, unsigned char *pixels, unsigned char *aside,
                     int rows, int columns, int channels)
{
    struct work w = {pixels, aside, rows, columns, channels, (size_t)rows * (size_t)columns * (size_t)channels};
    double by = sign * level / 10, factor = fmax(0.1, 1 + 0.9 * by);
    switch (operation) {
    case OPERATION_AUTOCONTRAST:
        autocontrast(&w);
        break;
    case OPERATION_EQUALISE:
        equalise(&w);
        break;
    case OPERATION_ROTATE:
        rotate(&w, 30 * by);
        break;
    case OPERATION_COLOUR:
        colour(&w, factor);
        break;
    case OPERATION_CONTRAST: case OPERATION_BRIGHTNESS:
        spread(&w, factor, operation == OPERATION_CONTRAST);
        break;
    case OPERATION_SHARPNESS:
        sharpness(&w, factor);
        break;
    case OPERATION_SHEAR_X: case OPERATION_SHEAR_Y: case OPERATION_TRANSLATE_X: case OPERATION_TRANSLATE_Y:
        move(&w, operation, by);
        break;
    default:
        map_values(&w, operation, level);
    }
}

#include "windows.h"

#include <stdbool.h>

/* For every position of the rolled grid: which window it is in, and where. */
static int window_of(const struct oracle_windows *s, int row, int column)
{
    return row / s->window * (s->columns / s->window) + column / s->window;
}

void oracle_windows(const struct oracle_windows *s, const double *x, double *out)
{
    const int all = s->rows * s->columns, p = s->window;
    for (int b = 0; b < s->batch; b++)
        for (int u = 0; u < s->rows; u++)
            for (int v = 0; v < s->columns; v++) {
                const int in = s->by_columns ? v % p * p + u % p : u % p * p + v % p;
                const int there = b * all + window_of(s, u, v) * p * p + in;
                const int here = b * all + (u + s->shift) % s->rows * s->columns + (v + s->shift) % s->columns;
                for (int c = 0; c < s->width; c++)
                    if (s->inverse)
                        out[here * s->width + c] = x[there * s->width + c];
                    else
                        out[there * s->width + c] = x[here * s->width + c];
            }
}

static int entry_of(int p, int i, int j)
{
    return (i / p - j / p + p - 1) * (2 * p - 1) + i % p - j % p + p - 1;
}

/* The numbers of the nine regions of the rolled grid, as they are painted there. */
static int region_of(const struct oracle_windows *s, int row, int column)
{
    const int rows[4] = {0, s->rows - s->window, s->rows - s->shift, s->rows};
    const int columns[4] = {0, s->columns - s->window, s->columns - s->shift, s->columns};
    int number = 0;
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++, number++)
            if (row >= rows[r] && row < rows[r + 1] && column >= columns[c] && column < columns[c + 1])
                return number;
    return -1;
}

void oracle_window_bias_fwd(const struct oracle_windows *s, double apart, const double *table, double *out)
{
    const int p = s->window, area = p * p, heads = s->width, across = s->columns / p;
    const int windows = s->shift ? s->rows / p * across : 1;
    for (int w = 0; w < windows; w++)
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < area; i++)
                for (int j = 0; j < area; j++) {
                    const int row = w / across * p, column = w % across * p;
                    const bool same = !s->shift || region_of(s, row + i / p, column + i % p) ==
                                                       region_of(s, row + j / p, column + j % p);
                    out[((w * heads + h) * area + j) * area + i] =
                        table[entry_of(p, i, j) * heads + h] + (same ? 0 : apart);
                }
}

void oracle_window_bias_bwd(const struct oracle_windows *s, const double *dout, double *dtable)
{
    const int p = s->window, area = p * p, heads = s->width;
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < area; i++)
            for (int j = 0; j < area; j++)
                dtable[entry_of(p, i, j) * heads + h] += dout[(h * area + j) * area + i];
}

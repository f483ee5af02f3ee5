#include "glu.h"

#include "gelu.h"

void oracle_glu_fwd(const double *x, size_t rows, size_t width, int activation, double *y)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++)
            y[r * width + i] = oracle_activate(x[2 * r * width + i], activation) * x[(2 * r + 1) * width + i];
}

void oracle_glu_bwd(const double *x, const double *dy, size_t rows, size_t width, int activation, double *dx)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            const size_t gate = 2 * r * width + i, up = gate + width;
            dx[gate] = dy[r * width + i] * x[up] * oracle_activate_slope(x[gate], activation);
            dx[up] = dy[r * width + i] * oracle_activate(x[gate], activation);
        }
}

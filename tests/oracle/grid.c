#include "grid.h"

#include <stddef.h>

/* Of the i-th element: where its entry in an axis's table begins. */
static int entry(const struct oracle_grid *g, int axis, int i)
{
    const int n = g->first + i, steps[] = {g->columns * g->channels, g->channels, 1};
    const int sizes[] = {g->rows, g->columns, g->channels};
    return n / steps[axis] % sizes[axis] * g->width;
}

void oracle_grid_fwd(const struct oracle_grid *g, const double *const tables[3], double *out)
{
    for (int i = 0; i < g->count; i++)
        for (int w = 0; w < g->width; w++) {
            double sum = 0;
            for (int axis = 0; axis < 3; axis++)
                sum += tables[axis] ? tables[axis][entry(g, axis, i) + w] : 0;
            out[i * g->width + w] = sum;
        }
}

void oracle_grid_bwd(const struct oracle_grid *g, const double *dout, double *const dtables[3])
{
    for (int i = 0; i < g->count; i++)
        for (int w = 0; w < g->width; w++)
            for (int axis = 0; axis < 3; axis++)
                if (dtables[axis])
                    dtables[axis][entry(g, axis, i) + w] += dout[i * g->width + w];
}

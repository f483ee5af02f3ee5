#include "rows.h"

void oracle_gather_rows(const double *x, const int32_t *rows, int count, int source_rows, int width, double *out)
{
    for (int r = 0; r < count; r++)
        for (int c = 0; c < width; c++)
            out[r * width + c] = rows[r] >= 0 && rows[r] < source_rows ? x[rows[r] * width + c] : 0;
}

void oracle_scatter_rows(const double *x, const int32_t *rows, int count, int target_rows, int width, int accumulate,
                         double *out)
{
    for (int r = 0; r < count; r++)
        for (int c = 0; c < width; c++)
            if (rows[r] >= 0 && rows[r] < target_rows)
                out[rows[r] * width + c] = x[r * width + c] + (accumulate ? out[rows[r] * width + c] : 0);
}

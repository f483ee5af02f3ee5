/* Cyclic Jacobi: every pair p < q in turn is rotated so that their element becomes 0, until all are. Squares of what is
 * left fall quadratically in the end: some ten sweeps.
 *
 * The matrix is kept whole, so that rows are rotated side by side in memory; columns are copied from them. */
#include "graph.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

enum { MOST_SWEEPS = 60 };

/* (x, y) = (c x - s y, s x + c y) */
static void rotate_rows(int n, double c, double s, double *x, double *y)
{
    for (int k = 0; k < n; k++) {
        const double was = x[k];
        x[k] = c * was - s * y[k];
        y[k] = s * was + c * y[k];
    }
}

static void rotate(int n, double *a, double *vectors, int p, int q)
{
    const size_t width = (size_t)n;
    double *rp = a + (size_t)p * width, *rq = a + (size_t)q * width;
    const double app = rp[p], aqq = rq[q], apq = rp[q], theta = (aqq - app) / (2 * apq);
    const double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
    rotate_rows(n, c, s, rp, rq);
    rotate_rows(n, c, s, vectors + (size_t)p * width, vectors + (size_t)q * width);
    for (int k = 0; k < n; k++) {
        a[(size_t)k * width + (size_t)p] = rp[k];
        a[(size_t)k * width + (size_t)q] = rq[k];
    }
    rp[p] = app - t * apq;
    rq[q] = aqq + t * apq;
    rp[q] = rq[p] = 0;
}

/* The sum of squares of what is not on the diagonal, and of all. */
static double off_diagonal(int n, const double *a, double *all)
{
    double off = 0;
    *all = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const double x = a[(size_t)i * (size_t)n + (size_t)j];
            off += i == j ? 0 : x * x;
            *all += x * x;
        }
    return off;
}

void ssa_jacobi(int n, double *matrix, double *values, double *vectors)
{
    const size_t width = (size_t)n;
    double all;
    for (size_t i = 0; i < width * width; i++)
        vectors[i] = i % (width + 1) == 0;
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        const double off = off_diagonal(n, matrix, &all), least = DBL_EPSILON * DBL_EPSILON * all;
        if (off <= least)
            break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                const double apq = matrix[(size_t)p * width + (size_t)q];
                if (apq * apq > least / (double)(width * width)) /* all that is less is together no more than that */
                    rotate(n, matrix, vectors, p, q);
            }
    }
    for (size_t i = 0; i < width; i++)
        values[i] = matrix[i * (width + 1)];
}

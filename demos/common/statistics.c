#include "statistics.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 2000, MOST = 1000 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sort_samples(double *sorted, const double *samples, int count)
{
    memcpy(sorted, samples, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
}

double quantile(const double *sorted, int count, double share)
{
    double at = share * (count - 1);
    int i = (int)at;
    return i + 1 < count ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[count - 1];
}

/* The median of as many samples, drawn with replacement. */
static double median_again(const double *samples, int count, uint64_t *state)
{
    double drawn[MOST];
    for (int i = 0; i < count; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        drawn[i] = samples[(*state >> 33) % (unsigned)count];
    }
    qsort(drawn, (size_t)count, sizeof *drawn, ascending);
    return quantile(drawn, count, 0.5);
}

struct ratio ratio_of_medians(const double *a, int a_count, const double *b, int b_count)
{
    static double sorted_a[MOST], sorted_b[MOST], draws[DRAWS];
    uint64_t state = 1;
    a_count = a_count < MOST ? a_count : MOST;
    b_count = b_count < MOST ? b_count : MOST;
    sort_samples(sorted_a, a, a_count);
    sort_samples(sorted_b, b, b_count);
    struct ratio r = {quantile(sorted_a, a_count, 0.5) / quantile(sorted_b, b_count, 0.5),
                      sorted_a[0] / sorted_b[b_count - 1], sorted_a[a_count - 1] / sorted_b[0]};
    if (a_count < LEAST_RESAMPLED || b_count < LEAST_RESAMPLED)
        return r;
    for (int i = 0; i < DRAWS; i++)
        draws[i] = median_again(a, a_count, &state) / median_again(b, b_count, &state);
    qsort(draws, DRAWS, sizeof *draws, ascending);
    r.low = quantile(draws, DRAWS, 0.025);
    r.high = quantile(draws, DRAWS, 0.975);
    return r;
}

/* Order statistics of samples, and how sure a ratio of two medians is. */
#ifndef DEMO_STATISTICS_H
#define DEMO_STATISTICS_H

void sort_samples(double *sorted, const double *samples, int count);
double quantile(const double *sorted, int count, double share); /* interpolated */

/* median(a) / median(b), and an interval of 95%. From LEAST_RESAMPLED samples on each side the interval is that of a
 * bootstrap (both sides drawn again with replacement, from a fixed seed); with fewer nothing can be said about what was
 * not seen, and it is the widest that the samples allow, least over most. */
enum { LEAST_RESAMPLED = 5 };
struct ratio {
    double value, low, high;
};
struct ratio ratio_of_medians(const double *a, int a_count, const double *b, int b_count);

#endif

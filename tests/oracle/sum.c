#include "sum.h"

double oracle_sum(const float *x, size_t count, bool squares)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += squares ? (double)x[i] * (double)x[i] : (double)x[i];
    return sum;
}

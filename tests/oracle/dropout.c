#include "dropout.h"

#include "rng.h"

bool oracle_dropout_keeps(uint64_t seed, uint64_t stream, uint64_t n, float p)
{
    return ssa_uniform(ssa_philox(seed, n / 4, stream).v[n % 4]) >= p;
}

void oracle_dropout_runs(const double *x, const double *residual, size_t count, float p, uint64_t seed, uint64_t stream,
                         uint64_t first, size_t run, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (oracle_dropout_keeps(seed, stream, (first + i) / run, p) ? x[i] / (1 - (double)p) : 0) +
                 (residual ? residual[i] : 0);
}

void oracle_dropout(const double *x, const double *residual, size_t count, float p, uint64_t seed, uint64_t stream,
                    uint64_t first, double *out)
{
    oracle_dropout_runs(x, residual, count, p, seed, stream, first, 1, out);
}

void oracle_dropout_parts(const double *x, const double *residual, size_t count, float p, uint64_t seed,
                          uint64_t stream, size_t each, const uint64_t *firsts, double *out)
{
    for (size_t row = 0; row < count / each; row++)
        oracle_dropout(x + row * each, residual ? residual + row * each : NULL, each, p, seed, stream, firsts[row],
                       out + row * each);
}

/* probe [MIB]: one rank of many. Sums along the tree, to the bit, broadcasts, and refuses; with MIB, how fast a sum of
 * that many mebibytes is. Prints "fine" on rank 0. */
#include "ssacl/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static float value(int rank, size_t i)
{
    uint32_t u = (uint32_t)i * 2654435761u + (uint32_t)rank * 2246822519u + 12345u;
    u ^= u >> 15;
    u *= 2246822519u;
    return (float)(u >> 8) / 16777216.0f * (float)(1 << (u & 7)) - 1;
}

static float tree(int begin, int end, size_t i)
{
    int half = 1;
    if (end - begin == 1)
        return value(begin, i);
    while (2 * half < end - begin)
        half *= 2;
    return tree(begin, begin + half, i) + tree(begin + half, end, i);
}

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ssa_last_error());
    return 1;
}

static int check_sum(struct ssa_ranks *ranks, size_t count)
{
    float *x = malloc((count + 1) * sizeof *x);
    int wrong = 0;
    for (size_t i = 0; x && i < count; i++)
        x[i] = value(ranks->rank, i);
    if (!x || ranks->all_reduce(ranks, x, count))
        wrong = failed("all_reduce");
    for (size_t i = 0; !wrong && i < count; i++) {
        float want = tree(0, ranks->count, i);
        if (memcmp(&x[i], &want, sizeof want)) {
            fprintf(stderr, "rank %d: sum %zu of %zu is %.9g, should be %.9g\n", ranks->rank, i, count, (double)x[i],
                    (double)want);
            wrong = 1;
        }
    }
    free(x);
    return wrong;
}

static int check_broadcast(struct ssa_ranks *ranks)
{
    int wrong = 0;
    for (int from = 0; from < ranks->count && !wrong; from++) {
        char text[1000] = "";
        if (from == ranks->rank)
            snprintf(text, sizeof text, "words of %d", from);
        wrong = ranks->broadcast(ranks, text, sizeof text, from) ? failed("broadcast") : 0;
        wrong = wrong || strncmp(text, "words of ", 9) || atoi(text + 9) != from;
    }
    return wrong;
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int measure(struct ssa_ranks *ranks, double mib)
{
    enum { TIMES = 5 };
    size_t count = (size_t)(mib * 262144);
    float *x = calloc(count, sizeof *x);
    double best = 1e9;
    for (int i = 0; x && i < TIMES; i++) {
        double begin = seconds();
        if (ranks->all_reduce(ranks, x, count))
            return failed("all_reduce");
        best = seconds() - begin < best ? seconds() - begin : best;
    }
    if (!ranks->rank)
        printf("%d ranks: %.1f MiB summed in %.3f ms, %.2f GB/s each way\n", ranks->count, mib, 1e3 * best,
               2.0 * (ranks->count - 1) / ranks->count * 4e-9 * (double)count / best);
    free(x);
    return !x;
}

int main(int argc, char **argv)
{
    static const size_t counts[] = {0, 1, 2, 3, 17, 1000, 65537, 5000001}; /* the last is more than a segment */
    struct ssa_ranks *ranks;
    int wrong = 0;
    if (ssa_ranks_open(&ranks, "mpi"))
        return failed("ranks_open");
    for (size_t i = 0; i < sizeof counts / sizeof *counts && !wrong; i++)
        wrong = check_sum(ranks, counts[i]);
    wrong = wrong || check_broadcast(ranks);
    if (argc > 1 && !wrong)
        wrong = measure(ranks, atof(argv[1]));
    if (!wrong && !ranks->rank)
        printf("fine: %d ranks, %d on this machine\n", ranks->count, ranks->local_count);
    ssa_ranks_close(ranks, wrong);
    return wrong;
}

/* Two ways, both in two phases of which each moves (R - 1)/R of the vector out of and into every rank, the least there
 * is:
 *
 * - R a power of two: recursive halving, then doubling. In round k a rank trades halves of what it still has with its
 *   partner at distance 2^k: after it, it has half as much, summed over its node of level k + 1. 2 log2 R messages.
 * - else: each rank collects its R-th of the vector from all the others, sums it along the tree, and hands it to all.
 *   2 (R - 1) messages. */
#include "all_reduce.h"

#include <string.h>

/* ---- any number of ranks ---- */

static size_t bound(size_t count, int rank, int ranks)
{
    return (size_t)((unsigned long long)count * (unsigned)rank / (unsigned)ranks); /* count is at most a segment */
}

/* Adds up x[0] .. x[ranks - 1], `stride` apart, along the tree; the sum is left in x[0]. */
static void sum_tree(float *x, size_t stride, size_t length, int ranks)
{
    for (int width = 1; width < ranks; width *= 2)
        for (int i = 0; i + width < ranks; i += 2 * width) {
            float *left = x + (size_t)i * stride;
            const float *right = x + (size_t)(i + width) * stride;
            for (size_t e = 0; e < length; e++)
                left[e] += right[e];
        }
}

static int collect(struct ssa_links *l, float *data, size_t count)
{
    int rank = l->rank, ranks = l->count, err = 0;
    size_t mine = bound(count, rank, ranks), length = bound(count, rank + 1, ranks) - mine;
    for (int i = 1; i < ranks && !err; i++) {
        int to = (rank + i) % ranks, from = (rank - i + ranks) % ranks;
        size_t begin = bound(count, to, ranks), end = bound(count, to + 1, ranks);
        err = l->exchange(l, to, data + begin, end - begin, from, l->scratch + (size_t)from * length, length);
    }
    if (err)
        return err;
    memcpy(l->scratch + (size_t)rank * length, data + mine, length * sizeof *data);
    sum_tree(l->scratch, length, length, ranks);
    memcpy(data + mine, l->scratch, length * sizeof *data);
    return 0;
}

static int hand_out(struct ssa_links *l, float *data, size_t count)
{
    int rank = l->rank, ranks = l->count, err = 0;
    size_t mine = bound(count, rank, ranks), length = bound(count, rank + 1, ranks) - mine;
    for (int i = 1; i < ranks && !err; i++) {
        int to = (rank + i) % ranks, from = (rank - i + ranks) % ranks;
        size_t begin = bound(count, from, ranks), end = bound(count, from + 1, ranks);
        err = l->exchange(l, to, data + mine, length, from, data + begin, end - begin);
    }
    return err;
}

/* ---- a power of two ---- */

struct range {
    size_t begin, count;
};

/* The half of `r` that `rank` keeps at distance `d`, and the other. */
static struct range halve(struct range r, int rank, int d, struct range *other)
{
    struct range low = {r.begin, r.count / 2}, high = {r.begin + r.count / 2, r.count - r.count / 2};
    *other = rank & d ? low : high;
    return rank & d ? high : low;
}

static int halve_and_double(struct ssa_links *l, float *data, size_t count)
{
    struct range kept[32] = {{0, count}}, other;
    int level = 0, err = 0;
    for (int d = 1; d < l->count && !err; d *= 2, level++) {
        struct range mine = kept[level + 1] = halve(kept[level], l->rank, d, &other);
        err = l->exchange(l, l->rank ^ d, data + other.begin, other.count, l->rank ^ d, l->scratch, mine.count);
        for (size_t e = 0; e < mine.count && !err; e++)
            data[mine.begin + e] += l->scratch[e]; /* a + b is b + a, to the bit */
    }
    for (int d = l->count / 2; d >= 1 && !err; d /= 2, level--) {
        struct range mine = halve(kept[level - 1], l->rank, d, &other);
        err = l->exchange(l, l->rank ^ d, data + mine.begin, mine.count, l->rank ^ d, data + other.begin, other.count);
    }
    return err;
}

/* ---- both ---- */

size_t ssa_all_reduce_scratch(int ranks, size_t count)
{
    size_t segment = count < SSA_ALL_REDUCE_SEGMENT ? count : SSA_ALL_REDUCE_SEGMENT;
    return segment + (size_t)ranks; /* an R-th, rounded up, from each of R */
}

int ssa_all_reduce(struct ssa_links *l, float *data, size_t count)
{
    int power_of_two = !(l->count & (l->count - 1)), err = 0;
    for (size_t at = 0; at < count && l->count > 1 && !err; at += SSA_ALL_REDUCE_SEGMENT) {
        size_t n = count - at < SSA_ALL_REDUCE_SEGMENT ? count - at : SSA_ALL_REDUCE_SEGMENT;
        if (power_of_two)
            err = halve_and_double(l, data + at, n);
        else if (!(err = collect(l, data + at, n)))
            err = hand_out(l, data + at, n);
    }
    return err;
}

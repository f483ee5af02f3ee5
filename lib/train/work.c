/* Work of micro-batches, and its sharing out.
 *
 * Lab book, an EGT forward and backward on the host backend, AVX-512, one thread, processor time, the least of seven
 * rounds; lengths 5 to 44 with virtual nodes, all alike, and one of 44 beside shorter ones; models of 2 to 6 layers,
 * width 64 to 768, edges 16 to 64 wide, 8 to 32 heads, batches of 4 to 64.
 *   - A batch is padded, and takes its time so: 15 sequences of 8 beside one of 44 take 0.90 of what 16 of 44 take.
 *     What is saved is attention, which looks at real nodes alone. All else, norms, products and activations of
 *     positions and of pairs, is of the longest sequence's.
 *   - Least squares give, per multiplication, 0.014 to 0.039 ns for positions; 0.07 to 0.16 for pairs, whose rows are
 *     narrow and wait for memory; 0.04 to 0.7 for pairs that attention sees; and for each pass mostly as much as 60 to
 *     140 positions take: gradients of all weights are read and written.
 *   - With the weights 1, 4, 6 and 64 below times are told within 5 to 20%, mostly 8, at the ends of that range, and
 *     within 5% in the middle; but for width 256 with 3 layers, where a pass takes as much as 4 positions: 35% at
 *     length 3, 7% from 10 on.
 *   - Sampling is not in it. It takes from attention alone; but where edges are computed only where they are sampled
 *     (edge_mode sampled) pairs take half the time with three tenths of the nodes, and batches of short sequences are
 *     told as 1.2 to 1.4 times cheaper than they are, beside long ones. */
#include "work.h"
#include "internal.h"
#include "impl.h"

#include <stdlib.h>

#define PAIR 4.0  /* a multiplication of a pair of positions, in those of a position, */
#define SEEN 6.0  /* one of a pair that attention sees, */
#define PASS 64.0 /* and what a pass takes whatever its size, in positions */

/* ---- of a micro-batch ---- */

/* A transformer of nodes alone: 12 products of width^2 a position, 2 of width a pair that is seen. */
static struct ssa_facts with_products(struct ssa_facts f)
{
    const double width = f.width;
    if (f.per_position > 0 || f.per_pair > 0 || f.per_seen > 0)
        return f;
    f.per_position = f.layers * 12 * width * width;
    f.per_seen = f.layers * 2 * width;
    return f;
}

double ssa_work_of(const struct ssa_facts *facts, const int32_t *lengths, int count)
{
    const struct ssa_facts f = with_products(*facts);
    double longest = f.lead + 1, seen = 0, positions;
    if (!f.mixed || !lengths)
        return 1;
    for (int i = 0; i < count; i++) {
        longest = lengths[i] > longest ? lengths[i] : longest;
        seen += (double)lengths[i] * lengths[i];
    }
    positions = count * longest;
    return (PASS + positions) * f.per_position + PAIR * positions * longest * f.per_pair + SEEN * seen * f.per_seen;
}

int ssa_work_draw(const struct ssa_data *data, const struct ssa_facts *facts, const struct ssa_draw *draw,
                  int micro_batch, double *work)
{
    const int count = draw->count / micro_batch;
    int32_t *lengths = NULL;
    int err = SSA_OK;
    if (data->sizes) {
        lengths = malloc((size_t)draw->count * sizeof *lengths);
        if (!lengths)
            return ssa_fail(SSA_ENOMEM, "data: out of host memory for %d lengths", draw->count);
        TRY(ssa_data_sizes(data, draw, facts, lengths));
    }
    for (int i = 0; i < count; i++)
        work[i] = ssa_work_of(facts, lengths ? lengths + (size_t)i * (size_t)micro_batch : NULL, micro_batch);
done:
    free(lengths);
    return err;
}

/* ---- cutting ---- */

static bool all_alike(const double *work, int count)
{
    int i = 1;
    while (i < count && work[i] == work[0])
        i++;
    return i >= count;
}

static void cut_by_number(const int *shares, int workers, int *ends)
{
    for (int i = 0, end = 0; i < workers; i++)
        ends[i] = end += shares[i];
}

/* What a table of cuts is made of: best[e] is the largest work for its share where those so far have the first e
 * micro-batches, negative where they cannot; begin[worker, e] is where the last of them begins then. */
struct cut {
    double *before; /* [count + 1]: work of those in front */
    double *best, *next;
    int *begin;
    int count;
};

/* One worker more, who has at least one micro-batch, or with a share of 0 none. */
static void add_worker(struct cut *c, int share, int *begin)
{
    double *next = c->next;
    for (int e = 0; e <= c->count; e++) {
        next[e] = share ? -1 : c->best[e];
        begin[e] = e;
        for (int s = e - 1; share && s >= 0; s--) {
            const double own = (c->before[e] - c->before[s]) / share, most = own > c->best[s] ? own : c->best[s];
            if (next[e] >= 0 && own >= next[e])
                break; /* earlier beginnings are more work still */
            if (c->best[s] < 0 || (next[e] >= 0 && most >= next[e]))
                continue;
            next[e] = most;
            begin[e] = s;
        }
    }
    c->next = c->best;
    c->best = next;
}

static void cut_by_work(struct cut *c, const double *work, const int *shares, int workers, int *ends)
{
    const size_t row = (size_t)c->count + 1;
    int end = c->count;
    c->before[0] = c->best[0] = 0;
    for (int e = 1; e <= c->count; e++) {
        c->before[e] = c->before[e - 1] + work[e - 1];
        c->best[e] = -1;
    }
    for (int i = 0; i < workers; i++)
        add_worker(c, shares[i], c->begin + (size_t)i * row);
    for (int i = workers - 1; i >= 0; i--) {
        ends[i] = end;
        end = c->begin[(size_t)i * row + (size_t)end];
    }
}

int ssa_work_cut(const double *work, int count, const int *shares, int workers, int *ends)
{
    const size_t row = (size_t)count + 1;
    struct cut c = {.count = count};
    int err = SSA_OK;
    if (all_alike(work, count)) {
        cut_by_number(shares, workers, ends);
        return SSA_OK;
    }
    c.before = malloc(3 * row * sizeof *c.before);
    c.begin = malloc((size_t)workers * row * sizeof *c.begin);
    if (!c.before || !c.begin)
        TRY(ssa_fail(SSA_ENOMEM, "train: out of host memory for shares of %d micro-batches", count));
    c.best = c.before + row;
    c.next = c.best + row;
    cut_by_work(&c, work, shares, workers, ends);
done:
    free(c.before);
    free(c.begin);
    return err;
}

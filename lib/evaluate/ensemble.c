/* Sums of losses over the passes of an ensemble, in a fixed order whatever the order of arrival. */
#include "ensemble.h"
#include "impl.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum { LEAST_PASSES = 4 }; /* a spread of fewer says little */

struct arrival {
    struct arrival *next;
    int pass;
    float *losses;
};

/* A batch's passes are added one after another: whoever takes the next out of `waiting` is alone with the batch's sums
 * until it counts it as added. */
struct batch {
    int added;
    struct arrival *waiting;
};

struct sums {
    double single, ensemble; /* over a batch's tokens */
};

struct ssa_ensemble {
    int passes;
    size_t count, *first;
    double tolerance;
    double *log_sum;   /* a token each: log of the sum of the passes' probabilities */
    struct sums *sums; /* [passes, batches] */
    pthread_mutex_t lock; /* guards what follows, and batches */
    bool lock_made, settled;
    struct batch *batches;
    size_t *added;     /* batches added of each pass */
    int done;          /* passes of which all are: their means are known */
    double *ensemble, *singles;
};

/* ---- a batch's tokens ---- */

/* log(exp(a) + exp(b)) */
static double log_add(double a, double b)
{
    double high = a > b ? a : b, low = a > b ? b : a;
    return high + log1p(exp(low - high));
}

static void add_losses(struct ssa_ensemble *e, size_t batch, const struct arrival *a)
{
    const size_t first = e->first[batch], count = e->first[batch + 1] - first;
    double *log_sum = e->log_sum ? e->log_sum + first : NULL;
    struct sums s = {0};
    for (size_t i = 0; i < count; i++) {
        double log_p = -(double)a->losses[i], together = log_p;
        if (a->pass)
            together = log_add(log_sum[i], log_p);
        if (log_sum)
            log_sum[i] = together;
        s.single -= log_p;
        s.ensemble -= together;
    }
    s.ensemble += (double)count * log(a->pass + 1.0);
    e->sums[(size_t)a->pass * e->count + batch] = s;
}

/* ---- passes ---- */

static double mean(const double *values, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += values[i];
    return sum / count;
}

static double deviation(const double *values, int count)
{
    double middle = mean(values, count), sum = 0;
    for (int i = 0; i < count; i++)
        sum += (values[i] - middle) * (values[i] - middle);
    return count > 1 ? sqrt(sum / (count - 1)) : 0;
}

/* How far the loss of m passes may be from that of infinitely many. It falls to that as c/m: c/m is what the last
 * doubling of the passes says. And it scatters with the draws, about as the mean of the single losses does. */
static double unsettled(const struct ssa_ensemble *e, int m)
{
    int half = m / 2;
    if (m < LEAST_PASSES)
        return INFINITY;
    double to_come = fabs(e->ensemble[half - 1] - e->ensemble[m - 1]) * half / (m - half);
    return to_come + deviation(e->singles, m) / sqrt(m);
}

static void complete_pass(struct ssa_ensemble *e)
{
    const struct sums *sums = e->sums + (size_t)e->done * e->count;
    const double tokens = (double)e->first[e->count];
    struct sums all = {0};
    for (size_t b = 0; b < e->count; b++) {
        all.single += sums[b].single;
        all.ensemble += sums[b].ensemble;
    }
    e->singles[e->done] = all.single / tokens;
    e->ensemble[e->done] = all.ensemble / tokens;
    e->done++;
    e->settled = e->done == e->passes || (e->tolerance > 0 && unsettled(e, e->done) <= e->tolerance);
}

/* ---- arrivals ---- */

static struct arrival *take_next(struct batch *b)
{
    for (struct arrival **at = &b->waiting; *at; at = &(*at)->next)
        if ((*at)->pass == b->added) {
            struct arrival *found = *at;
            *at = found->next;
            return found;
        }
    return NULL;
}

static void drop(struct arrival *a)
{
    free(a->losses);
    free(a);
}

/* Adds all whose turn it is. Holds the lock between them only. None if another thread is adding to the batch. */
static void add_waiting(struct ssa_ensemble *e, size_t number)
{
    struct batch *b = &e->batches[number];
    struct arrival *a;
    while (!e->settled && (a = take_next(b))) {
        pthread_mutex_unlock(&e->lock);
        add_losses(e, number, a);
        pthread_mutex_lock(&e->lock);
        b->added++;
        e->added[a->pass]++;
        while (!e->settled && e->added[e->done] == e->count)
            complete_pass(e);
        drop(a);
    }
}

int ssa_ensemble_add(struct ssa_ensemble *e, int pass, size_t batch, float *losses)
{
    struct arrival *a = malloc(sizeof *a);
    if (!a) {
        free(losses);
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    }
    pthread_mutex_lock(&e->lock);
    *a = (struct arrival){e->batches[batch].waiting, pass, losses};
    e->batches[batch].waiting = a;
    add_waiting(e, batch);
    pthread_mutex_unlock(&e->lock);
    return SSA_OK;
}

bool ssa_ensemble_has(struct ssa_ensemble *e, int pass, size_t batch)
{
    pthread_mutex_lock(&e->lock);
    bool has = e->batches[batch].added > pass;
    pthread_mutex_unlock(&e->lock);
    return has;
}

bool ssa_ensemble_complete(struct ssa_ensemble *e)
{
    pthread_mutex_lock(&e->lock);
    bool complete = e->settled;
    pthread_mutex_unlock(&e->lock);
    return complete;
}

struct ssa_ensemble_result ssa_ensemble_result(const struct ssa_ensemble *e)
{
    return (struct ssa_ensemble_result){.passes = e->done, .ensemble = e->ensemble, .singles = e->singles,
        .single = mean(e->singles, e->done), .spread = deviation(e->singles, e->done),
        .unsettled = unsettled(e, e->done)};
}

/* ---- create and destroy ---- */

int ssa_ensemble_create(struct ssa_ensemble **ensemble, int passes, size_t batches, const size_t *first,
                        double tolerance)
{
    struct ssa_ensemble *e = calloc(1, sizeof *e);
    size_t p = (size_t)passes;
    int err = SSA_OK;
    if (!e)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    e->passes = passes;
    e->count = batches;
    e->tolerance = tolerance;
    e->first = malloc((batches + 1) * sizeof *e->first);
    e->log_sum = passes > 1 ? malloc(first[batches] * sizeof *e->log_sum) : NULL;
    e->sums = calloc(batches, p * sizeof *e->sums);
    e->batches = calloc(batches, sizeof *e->batches);
    e->added = calloc(p, sizeof *e->added);
    e->ensemble = calloc(p, sizeof *e->ensemble);
    e->singles = calloc(p, sizeof *e->singles);
    e->lock_made = !pthread_mutex_init(&e->lock, NULL);
    if (!e->first || (passes > 1 && !e->log_sum) || !e->sums || !e->batches || !e->added || !e->ensemble ||
        !e->singles || !e->lock_made)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory: %zu tokens in %zu batches, %d passes take %zu bytes",
                     first[batches], batches, passes, 8 * first[batches] + 16 * p * batches));
    for (size_t b = 0; b <= batches; b++)
        e->first[b] = first[b];
done:
    if (err) {
        ssa_ensemble_destroy(e);
        e = NULL;
    }
    *ensemble = e;
    return err;
}

void ssa_ensemble_destroy(struct ssa_ensemble *e)
{
    if (!e)
        return;
    for (size_t b = 0; e->batches && b < e->count; b++)
        for (struct arrival *a = e->batches[b].waiting, *next; a; a = next) {
            next = a->next;
            drop(a);
        }
    if (e->lock_made)
        pthread_mutex_destroy(&e->lock);
    free(e->first);
    free(e->log_sum);
    free(e->sums);
    free(e->batches);
    free(e->added);
    free(e->ensemble);
    free(e->singles);
    free(e);
}

/* Sums over the passes of an ensemble, in a fixed order whatever the order of arrival. */
#include "ensemble.h"
#include "impl.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum { LEAST_PASSES = 4 }; /* a spread of fewer says little */

struct arrival {
    struct arrival *next;
    int pass;
    struct ssa_answers answers;
};

/* A batch's passes are added one after another: whoever takes the next out of `waiting` is alone with the batch's sums
 * until it counts it as added. */
struct batch {
    int added;
    bool counted; /* some pass has come, */
    size_t count; /* with so many answers */
    struct arrival *waiting;
};

struct sums {
    double single, ensemble; /* over a batch's answers */
};

struct ssa_ensemble {
    enum ssa_join join;
    bool squares;
    int passes;
    size_t count, *first;
    double tolerance;
    double *joined;    /* an answer each, of the passes so far: log of the sum of probabilities, or sum of values */
    struct sums *sums; /* [passes, batches] */
    void (*tell)(void *cookie, int pass, size_t batch, const void *more);
    void *cookie;
    pthread_mutex_t telling;
    pthread_mutex_t lock; /* guards what follows, and batches */
    bool locks_made, settled;
    struct batch *batches;
    size_t *added;     /* batches added of each pass */
    int done;          /* passes of which all are: their means are known */
    double *ensemble, *singles;
};

/* ---- a batch's answers ---- */

/* log(exp(a) + exp(b)) */
static double log_add(double a, double b)
{
    double high = a > b ? a : b, low = a > b ? b : a;
    return high + log1p(exp(low - high));
}

static struct sums join_probabilities(const struct arrival *a, double *log_sum)
{
    struct sums s = {0};
    for (size_t i = 0; i < a->answers.count; i++) {
        double log_p = -(double)a->answers.values[i], together = log_p;
        if (a->pass)
            together = log_add(log_sum[i], log_p);
        if (log_sum)
            log_sum[i] = together;
        s.single -= log_p;
        s.ensemble -= together;
    }
    s.ensemble += (double)a->answers.count * log(a->pass + 1.0);
    return s;
}

static double loss_of(double value, double target, bool squares)
{
    return squares ? (value - target) * (value - target) : fabs(value - target);
}

static struct sums join_values(const struct arrival *a, bool squares, double *sum)
{
    struct sums s = {0};
    for (size_t i = 0; i < a->answers.count; i++) {
        double value = (double)a->answers.values[i], target = (double)a->answers.targets[i], together = value;
        if (a->pass)
            together = sum[i] + value;
        if (sum)
            sum[i] = together;
        s.single += loss_of(value, target, squares);
        s.ensemble += loss_of(together / (a->pass + 1), target, squares);
    }
    return s;
}

static void add_answers(struct ssa_ensemble *e, size_t batch, const struct arrival *a)
{
    if (e->tell) {
        pthread_mutex_lock(&e->telling);
        e->tell(e->cookie, a->pass, batch, a->answers.more);
        pthread_mutex_unlock(&e->telling);
    }
    double *joined = e->joined ? e->joined + e->first[batch] : NULL;
    e->sums[(size_t)a->pass * e->count + batch] =
        e->join == SSA_JOIN_VALUES ? join_values(a, e->squares, joined) : join_probabilities(a, joined);
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

static size_t answers_of_all(const struct ssa_ensemble *e)
{
    size_t count = 0;
    for (size_t b = 0; b < e->count; b++)
        count += e->batches[b].count;
    return count;
}

static void complete_pass(struct ssa_ensemble *e)
{
    const struct sums *sums = e->sums + (size_t)e->done * e->count;
    const double answers = (double)answers_of_all(e);
    struct sums all = {0};
    for (size_t b = 0; b < e->count; b++) {
        all.single += sums[b].single;
        all.ensemble += sums[b].ensemble;
    }
    e->singles[e->done] = all.single / answers;
    e->ensemble[e->done] = all.ensemble / answers;
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

static void free_answers(const struct ssa_answers *answers)
{
    free(answers->values);
    free(answers->targets);
    free(answers->more);
}

static void drop(struct arrival *a)
{
    free_answers(&a->answers);
    free(a);
}

/* Adds all whose turn it is. Holds the lock between them only. None if another thread is adding to the batch. */
static void add_waiting(struct ssa_ensemble *e, size_t number)
{
    struct batch *b = &e->batches[number];
    struct arrival *a;
    while (!e->settled && (a = take_next(b))) {
        pthread_mutex_unlock(&e->lock);
        add_answers(e, number, a);
        pthread_mutex_lock(&e->lock);
        b->added++;
        e->added[a->pass]++;
        while (!e->settled && e->added[e->done] == e->count)
            complete_pass(e);
        drop(a);
    }
}

/* As many answers as in the passes before? */
static bool counts(const struct ssa_ensemble *e, size_t batch, size_t count)
{
    struct batch *b = &e->batches[batch];
    if (count > e->first[batch + 1] - e->first[batch] || (b->counted && count != b->count))
        return false;
    b->counted = true;
    b->count = count;
    return true;
}

int ssa_ensemble_add(struct ssa_ensemble *e, int pass, size_t batch, struct ssa_answers answers)
{
    struct arrival *a = malloc(sizeof *a);
    int err = SSA_OK;
    if (!a) {
        free_answers(&answers);
        return ssa_fail(SSA_ENOMEM, "evaluate: out of host memory");
    }
    pthread_mutex_lock(&e->lock);
    *a = (struct arrival){e->batches[batch].waiting, pass, answers};
    if (counts(e, batch, answers.count)) {
        e->batches[batch].waiting = a;
        add_waiting(e, batch);
    } else {
        drop(a);
        err = ssa_fail(SSA_EINVAL, "evaluate: pass %d has %zu targets in batch %zu: more than were asked for, or not "
                       "as many as another pass", pass + 1, answers.count, batch);
    }
    pthread_mutex_unlock(&e->lock);
    return err;
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
    return (struct ssa_ensemble_result){.passes = e->done, .answers = answers_of_all(e), .ensemble = e->ensemble,
        .singles = e->singles, .single = mean(e->singles, e->done), .spread = deviation(e->singles, e->done),
        .unsettled = unsettled(e, e->done)};
}

/* ---- create and destroy ---- */

int ssa_ensemble_create(struct ssa_ensemble **ensemble, const struct ssa_ensemble_config *config)
{
    struct ssa_ensemble *e = calloc(1, sizeof *e);
    const size_t p = (size_t)config->passes, batches = config->batches, *first = config->first;
    int err = SSA_OK;
    if (!e)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory"));
    e->join = config->join;
    e->squares = config->squares;
    e->passes = config->passes;
    e->count = batches;
    e->tolerance = config->tolerance;
    e->tell = config->added;
    e->cookie = config->cookie;
    e->first = malloc((batches + 1) * sizeof *e->first);
    e->joined = p > 1 ? malloc(first[batches] * sizeof *e->joined) : NULL;
    e->sums = calloc(batches, p * sizeof *e->sums);
    e->batches = calloc(batches, sizeof *e->batches);
    e->added = calloc(p, sizeof *e->added);
    e->ensemble = calloc(p, sizeof *e->ensemble);
    e->singles = calloc(p, sizeof *e->singles);
    e->locks_made = !pthread_mutex_init(&e->lock, NULL) && !pthread_mutex_init(&e->telling, NULL);
    if (!e->first || (p > 1 && !e->joined) || !e->sums || !e->batches || !e->added || !e->ensemble ||
        !e->singles || !e->locks_made)
        TRY(ssa_fail(SSA_ENOMEM, "evaluate: out of host memory: %zu answers in %zu batches, %zu passes take %zu bytes",
                     first[batches], batches, p, 8 * first[batches] + 16 * p * batches));
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
    if (e->locks_made) {
        pthread_mutex_destroy(&e->lock);
        pthread_mutex_destroy(&e->telling);
    }
    free(e->first);
    free(e->joined);
    free(e->sums);
    free(e->batches);
    free(e->added);
    free(e->ensemble);
    free(e->singles);
    free(e);
}

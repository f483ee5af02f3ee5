#include "together.h"

#include "model.h"
#include "say.h"

#include <math.h>
#include <stdlib.h>

/* Sums over models: of an answer the log of the sum of its target's probabilities, or its values. NAN: it is none. */
static struct {
    double *sum;
    float *target; /* of values */
    size_t count, room;
    int model, length;
    bool squared;
    const struct judge *judge;
} t;

static bool grow(size_t count)
{
    const size_t room = count + count / 2 + 1024;
    double *sum = realloc(t.sum, room * sizeof *sum);
    t.sum = sum ? sum : t.sum;
    float *target = sum ? realloc(t.target, room * sizeof *target) : NULL;
    t.target = target ? target : t.target;
    if (!target)
        return false;
    for (size_t i = t.room; i < room; i++)
        t.sum[i] = NAN;
    t.room = room;
    return true;
}

static double log_add(double a, double b)
{
    const double high = fmax(a, b);
    return high + log1p(exp(fmin(a, b) - high));
}

static double log_probability(const float *logits, int vocabulary, int target)
{
    double high = -INFINITY, sum = 0;
    for (int v = 0; v < vocabulary; v++)
        high = fmax(high, (double)logits[v]);
    for (int v = 0; v < vocabulary; v++)
        sum += exp((double)logits[v] - high);
    return (double)logits[target] - high - log(sum);
}

static void take(size_t i, const struct ssa_answer *a, int j)
{
    if (a->values) {
        t.target[i] = a->values[j];
        if (!isnan(a->values[j]))
            t.sum[i] = (t.model ? t.sum[i] : 0) + (double)a->logits[j];
    } else if (a->targets[j] >= 0) {
        const double p = log_probability(a->logits + (size_t)j * (size_t)a->vocabulary, a->vocabulary, a->targets[j]);
        t.sum[i] = t.model ? log_add(t.sum[i], p) : p;
    }
}

static void answer(void *cookie, const struct ssa_answer *a)
{
    const size_t first = a->example * (size_t)t.length, end = first + (size_t)a->answers;
    struct ssa_answer as_pass = *a;
    as_pass.pass = t.model;
    if (t.judge)
        t.judge->answer(cookie, &as_pass);
    if (end > t.room && !grow(end))
        return; /* is missing, and so found below */
    for (int j = 0; j < a->answers; j++)
        take(first + (size_t)j, a, j);
    t.count = end > t.count ? end : t.count;
}

static double loss_of(size_t i, int models, bool values)
{
    const double mean = t.sum[i] / models, off = values ? mean - (double)t.target[i] : 0;
    return values ? t.squared ? off * off : fabs(off) : log(models) - t.sum[i];
}

static int join(int models, bool values, size_t expected, double *loss)
{
    double sum = 0;
    size_t seen = 0;
    for (size_t i = 0; i < t.count; i++)
        if (!isnan(t.sum[i])) {
            sum += loss_of(i, models, values);
            seen++;
        }
    *loss = seen ? sum / (double)seen : NAN;
    return seen == expected ? 0
        : say_error("what %d models say together is no number for %zu of %zu answers: weights of one are not numbers, "
                    "or memory ran short", models, expected - seen, expected);
}

static int load(const struct loaded *loaded, const char *name, bool raw)
{
    struct ssa_checkpoint *c;
    int err = ssa_checkpoint_open(&c, name);
    if (!err) {
        err = !raw && ssa_checkpoint_has_average(c) ? ssa_checkpoint_load_average(c, loaded->model)
                                                    : ssa_checkpoint_load(c, loaded->model, NULL);
        ssa_checkpoint_close(c);
    }
    return err ? library_failed() : 0;
}

int together_check(const struct loaded *loaded, const struct arg_list *names)
{
    json_t *ours = model_json(ssa_checkpoint_model(loaded->checkpoint));
    int status = 0;
    for (int i = 0; i < names->count && !status; i++) {
        struct ssa_checkpoint *c;
        if (ssa_checkpoint_open(&c, names->items[i])) {
            status = library_failed();
            break;
        }
        json_t *theirs = model_json(ssa_checkpoint_model(c));
        if (!json_equal(ours, theirs))
            status = say_error("--with %s: is of another model than the checkpoint", names->items[i]);
        json_decref(theirs);
        ssa_checkpoint_close(c);
    }
    json_decref(ours);
    return status;
}

static int measure(const struct loaded *loaded, const struct settings *s, const struct ssa_evaluate *how,
                   double *single, size_t *expected)
{
    struct ssa_scores scores;
    const int err = ssa_evaluate(loaded->model, &s->data.part[s->measured], how, &scores, NULL, NULL);
    *single += scores.loss;
    *expected = scores.tokens;
    return err == SSA_ESTOPPED ? EXIT_INTERRUPTED : err ? library_failed() : 0;
}

int together_measure(const struct loaded *loaded, const struct settings *settings, const struct arg_list *names,
                     const struct judge *judge, const struct ssa_evaluate *how, bool raw, double *loss, double *single)
{
    const int models = names->count + 1;
    const bool values = settings->model.family == SSA_EGT;
    struct ssa_evaluate each = *how;
    size_t expected = 0;
    t.length = ssa_model_length(&settings->model);
    t.judge = judge;
    t.squared = values && settings->model.egt.loss == SSA_LOSS_L2;
    each.answer = answer;
    *single = 0;
    int status = judge ? judge->begin(settings, false, models) : 0;
    for (t.model = 0; t.model < models && !status; t.model++) {
        status = t.model ? load(loaded, names->items[t.model - 1], raw) : 0;
        if (!status)
            status = measure(loaded, settings, &each, single, &expected);
    }
    if (!status)
        status = join(models, values, expected, loss);
    *single /= models;
    free(t.sum);
    free(t.target);
    t.sum = NULL;
    t.target = NULL;
    t.count = t.room = 0;
    return status;
}

#include "results.h"

#include "say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static int read_arm(struct arm_results *r, const struct task *task, const struct arm *arm, const char *folder)
{
    *r = (struct arm_results){.task = task, .arm = arm, .of = calloc((size_t)arm->seeds + 1, sizeof *r->of)};
    if (!r->of)
        return say_error("no memory for results");
    for (r->seeds = 0; r->seeds < arm->seeds; r->seeds++) {
        struct record *record = &r->of[r->seeds];
        record_read(record, folder, &(struct run_key){task, arm, r->seeds + 1});
        r->done += record->state == RECORD_DONE;
        r->failed += record->state == RECORD_FAILED;
        r->other += record->state == RECORD_OTHER;
    }
    return 0;
}

/* On the seeds that both have: of few, good ones may be luck. */
static bool validates_better(const struct arm_results *a, const struct arm_results *b)
{
    double lower = 0;
    for (int i = 0; i < a->seeds && i < b->seeds; i++) {
        const double d = valid_of(&b->of[i]) - valid_of(&a->of[i]);
        lower += isfinite(d) ? d : 0;
    }
    return lower > 0;
}

static const struct arm_results *choose_control(const struct task_results *t)
{
    const struct arm_results *best = NULL;
    for (int a = 0; a < t->count; a++) {
        const struct arm_results *r = &t->arms[a];
        if (r->arm->kind != ARM_DENSE || !r->done || !isfinite(mean_of(r, valid_of)))
            continue;
        if (!best || validates_better(r, best))
            best = r;
    }
    return best;
}

static int read_task(struct results *all, struct task_results *t, const struct task *task, const char *folder)
{
    *t = (struct task_results){.task = task, .arms = calloc((size_t)task->arm_count, sizeof *t->arms)};
    if (!t->arms)
        return say_error("no memory for results");
    while (t->count < task->arm_count) {
        struct arm_results *r = &t->arms[t->count];
        const int status = read_arm(r, task, &task->arms[t->count], folder);
        t->count++;
        if (status)
            return status;
        all->done += r->done;
        all->failed += r->failed;
        all->runs += r->arm->seeds;
    }
    t->control = choose_control(t);
    return 0;
}

int results_read(struct results *results, const struct table *table, const char *folder)
{
    int status = 0;
    *results = (struct results){.tasks = calloc((size_t)table->count, sizeof *results->tasks)};
    if (!results->tasks)
        return say_error("no memory for results");
    while (results->count < table->count && !status) {
        status = read_task(results, &results->tasks[results->count], &table->tasks[results->count], folder);
        results->count++;
    }
    return status;
}

void results_free(struct results *results)
{
    for (int t = 0; t < results->count; t++) {
        struct task_results *task = &results->tasks[t];
        for (int a = 0; a < task->count; a++) {
            for (int i = 0; i < task->arms[a].seeds; i++)
                record_free(&task->arms[a].of[i]);
            free(task->arms[a].of);
        }
        free(task->arms);
    }
    free(results->tasks);
    *results = (struct results){0};
}

/* ---- figures of a run ---- */

double record_pick(const struct record *record, struct pick pick)
{
    const struct measured *m = &record->at[pick.place];
    if (record->state != RECORD_DONE)
        return NAN;
    if (pick.member == MODELS_ALONE)
        return pick.right ? m->single_right : m->single;
    if (pick.member == DENSE_PASS)
        return pick.right ? m->dense_right : m->dense;
    if (pick.member == 0 && !pick.right)
        return m->single; /* the mean of all passes, steadier than the first */
    return pick.right ? m->ensemble_right[pick.member] : m->ensemble[pick.member];
}

double valid_of(const struct record *record)
{
    return record->valid;
}

double best_step_of(const struct record *record)
{
    return record->best_step;
}

double steps_of(const struct record *record)
{
    return record->steps;
}

double trained_of(const struct record *record)
{
    return run_trained(&record->run);
}

static double mean_finite(const double *values, int count)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(values[i])) {
            sum += values[i];
            n++;
        }
    return n ? sum / n : NAN;
}

double mean_pick(const struct arm_results *arm, struct pick pick)
{
    double values[SEEDS_MOST];
    for (int i = 0; i < arm->seeds; i++)
        values[i] = record_pick(&arm->of[i], pick);
    return mean_finite(values, arm->seeds);
}

double mean_of(const struct arm_results *arm, double (*figure)(const struct record *record))
{
    double values[SEEDS_MOST];
    for (int i = 0; i < arm->seeds; i++)
        values[i] = arm->of[i].state == RECORD_DONE ? figure(&arm->of[i]) : NAN;
    return mean_finite(values, arm->seeds);
}

const char *unit_of(const struct arm_results *arm)
{
    for (int i = 0; i < arm->seeds; i++)
        if (arm->of[i].state == RECORD_DONE)
            return *arm->of[i].run.unit ? arm->of[i].run.unit : "bits per byte";
    return "";
}

/* ---- differences ---- */

struct gain gain_over(const struct arm_results *a, struct pick pick_a, const struct arm_results *b, struct pick pick_b)
{
    double sum = 0, squares = 0, whole = 0, own = 0;
    int n = 0;
    for (int i = 0; i < a->seeds && i < b->seeds; i++) {
        const double theirs = record_pick(&b->of[i], pick_b), d = theirs - record_pick(&a->of[i], pick_a);
        if (!isfinite(d))
            continue;
        sum += d;
        squares += d * d;
        whole += theirs;
        own += theirs - d;
        n++;
    }
    if (!n)
        return (struct gain){NAN, NAN, NAN, NAN, NAN, 0};
    const double spread = n > 1 ? sqrt(fmax(squares - sum * sum / n, 0) / (n - 1)) : NAN;
    return (struct gain){sum / n, spread / sqrt(n), sum / whole, own / n, whole / n, n};
}

const char *gain_text(const struct gain *gain, double scale, int digits, char text[64])
{
    if (!gain->count)
        snprintf(text, 64, "-");
    else if (gain->count == 1)
        snprintf(text, 64, "%+.*f", digits, scale * gain->mean);
    else
        snprintf(text, 64, "%+.*f ± %.*f", digits, scale * gain->mean, digits, scale * gain->error);
    return text;
}

const char *gain_verdict(const struct gain *gain)
{
    if (!gain->count)
        return "-";
    if (gain->count == 1)
        return "one seed";
    if (fabs(gain->mean) <= 2 * gain->error)
        return "within two standard errors";
    return gain->mean > 0 ? "better" : "worse";
}

#include "run.h"

#include "say.h"

#include <ssacl/base.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double json_number(const json_t *object, const char *path)
{
    char key[64];
    while (object && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        object = json_object_get(object, key);
        path += n + (path[n] == '.');
    }
    return json_is_number(object) ? json_number_value(object) : NAN;
}

double json_of_first(const json_t *ensemble, const char *key, int passes)
{
    char name[64];
    snprintf(name, sizeof name, "%s_of_first", key);
    const json_t *value = json_array_get(json_object_get(ensemble, name), (size_t)passes - 1);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double run_stage_steps(const json_t *stage)
{
    const char *text = json_string_value(stage), *found = text ? strstr(text, "steps=") : NULL;
    return found ? strtod(found + strlen("steps="), NULL) : NAN;
}

double run_trained(const struct run *run)
{
    const struct series *s = &run->train;
    const size_t count = s->count / 20 + 1;
    double sum = 0;
    for (size_t i = 0; i < count && count <= s->count; i++)
        sum += s->bits[s->count - 1 - i];
    return count <= s->count ? sum / (double)count : NAN;
}

/* ---- series ---- */

static int grow(double **values, size_t count)
{
    double *more = realloc(*values, count * sizeof **values);
    if (more)
        *values = more;
    return more ? 0 : say_error("no memory for the log");
}

static int add_value(const struct run *run, struct series *s, const json_t *record, double value)
{
    if (isnan(value))
        return 0;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        if (grow(&s->step, capacity) || grow(&s->tokens, capacity) || grow(&s->seconds, capacity) ||
            grow(&s->bits, capacity))
            return EXIT_FAILED;
        s->capacity = capacity;
    }
    s->step[s->count] = run->step0 + json_number(record, "step");
    s->tokens[s->count] = run->tokens0 + json_number(record, "tokens");
    s->seconds[s->count] = run->seconds0 + json_number(record, "seconds");
    s->bits[s->count++] = value;
    return 0;
}

static int add_point(const struct run *run, struct series *s, const json_t *record, const char *what)
{
    return add_value(run, s, record, json_number(record, what));
}

static void forget_after(struct series *s, double step)
{
    while (s->count && s->step[s->count - 1] > step)
        s->count--;
}

static void free_series(struct series *s)
{
    free(s->step);
    free(s->tokens);
    free(s->seconds);
    free(s->bits);
}

double run_seconds_at(const struct run *run, double step)
{
    double seconds = 0;
    for (size_t i = 0; i < run->train.count && run->train.step[i] <= step; i++)
        if (isfinite(run->train.seconds[i])) /* a line that somebody changed may lack them */
            seconds = run->train.seconds[i];
    return seconds;
}

/* ---- which run it is ---- */

/* As they are written: a number in a log has fewer digits than in memory. Of objects, as a model that has got a field
 * since, what only one of them has is not compared. */
static bool same_in_log(const json_t *a, const json_t *b)
{
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value)
        if (json_object_get(b, key) && !same_in_log(value, json_object_get(b, key)))
            return false;
    if (json_is_object(a))
        return json_is_object(b);
    char *text_a = json_dumps(a, flags), *text_b = json_dumps(b, flags);
    bool same = text_a && text_b && !strcmp(text_a, text_b);
    free(text_a);
    free(text_b);
    return same;
}

static bool differs(const json_t *theirs, const json_t *ours, const char *field)
{
    const json_t *a = json_object_get(theirs, field), *b = json_object_get(ours, field);
    return a && b && !same_in_log(a, b);
}

const char *run_other_field(const json_t *theirs, const json_t *ours)
{
    static const char *const first[] = {"seed", "batch", "parameters"}, *const last[] = {"unit", "model"};
    const char *key;
    json_t *value;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (differs(theirs, ours, first[i]))
            return first[i];
    json_object_foreach((json_t *)ours, key, value)
        if (!strncmp(key, "train_", 6) && differs(theirs, ours, key)) /* how much there is to train on */
            return key;
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (differs(theirs, ours, last[i]))
            return last[i];
    return NULL;
}

/* ---- devices ---- */

/* Makes room for one that was not there before, as the host backend when it takes over. */
static void name_device(struct run *run, int i, const char *id)
{
    if (i < 0 || i >= RUN_DEVICES || !id)
        return;
    snprintf(run->device[i], sizeof run->device[i], "%.31s", id);
    ssa_plain_text(run->device[i], strlen(run->device[i]));
    run->devices = i >= run->devices ? i + 1 : run->devices;
}

static void name_devices(struct run *run, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        name_device(run, (int)i, json_string_value(json_object_get(json_array_get(list, i), "id")));
}

static double micro_batches(const struct run *run)
{
    return json_number(run->start, "batch") / json_number(run->start, "micro_batch");
}

static int add_shares(struct run *run, const json_t *record)
{
    const json_t *list = json_object_get(record, "shares");
    for (size_t i = 0; i < json_array_size(list) && i < RUN_DEVICES; i++)
        if (add_value(run, &run->share[i], record, json_number_value(json_array_get(list, i)) / micro_batches(run)))
            return EXIT_FAILED;
    return 0;
}

static void go_back(struct run *run, double step)
{
    forget_after(&run->train, step);
    forget_after(&run->dense, step);
    forget_after(&run->sampled, step);
    for (int i = 0; i < RUN_DEVICES; i++)
        forget_after(&run->share[i], step);
}

/* Shares go on from there as they are now. */
static int roll_back(struct run *run, const json_t *record)
{
    double now[RUN_DEVICES];
    for (int i = 0; i < run->devices; i++)
        now[i] = run->share[i].count ? run->share[i].bits[run->share[i].count - 1] : NAN;
    go_back(run, run->step0 + json_number(record, "step"));
    for (int i = 0; i < run->devices; i++)
        if (add_value(run, &run->share[i], record, now[i]))
            return EXIT_FAILED;
    return 0;
}

static int take_change(struct run *run, const json_t *record)
{
    const char *change = json_string_value(json_object_get(record, "change"));
    double member = json_number(record, "member");
    if (!change || !(member >= 0 && member < RUN_DEVICES))
        return 0;
    int i = (int)member;
    name_device(run, i, json_string_value(json_object_get(record, "id")));
    run->lost += !strcmp(change, "lost");
    run->changes += !strcmp(change, "share");
    if (!strcmp(change, "rollback"))
        return roll_back(run, record);
    return add_value(run, &run->share[i], record, json_number(record, "after") / micro_batches(run));
}

/* ---- records ---- */

static void keep(json_t **slot, json_t *record)
{
    json_decref(*slot);
    *slot = json_incref(record);
}

static bool same_test(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"checkpoint", "step", "part"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])))
            return false;
    return true;
}

/* What is measured anew stands in the place of the first time. */
static void keep_test(struct run *run, json_t *record)
{
    keep(&run->test, record);
    if (!run->tests)
        run->tests = json_array();
    for (size_t i = 0; i < json_array_size(run->tests); i++)
        if (same_test(json_array_get(run->tests, i), record)) {
            json_object_update(json_array_get(run->tests, i), record);
            return;
        }
    json_array_append_new(run->tests, json_copy(record));
}

static void count_look(struct run *run, const json_t *record)
{
    run->looks++;
    run->best_step = run->step0 + json_number(record, "best_step");
}

/* What follows a start, unless it is a resume, counts from where the run before it ended. */
static void go_on(struct run *run)
{
    const struct series *s = &run->train;
    if (run->started && s->count) {
        run->step0 = s->step[s->count - 1];
        run->tokens0 = s->tokens[s->count - 1];
        run->seconds0 = s->seconds[s->count - 1];
    }
    run->started = false;
}

static void name_unit(struct run *run, const char *unit)
{
    snprintf(run->unit, sizeof run->unit, "%.31s", unit ? unit : "");
    ssa_plain_text(run->unit, strlen(run->unit));
}

/* Losses in bits have a key of their own; nats stand in every record. */
static const char *loss_key(const struct run *run)
{
    return !*run->unit || !strncmp(run->unit, "bits", 4) ? "bits" : "loss";
}

static int take(struct run *run, json_t *record)
{
    const char *event = json_string_value(json_object_get(record, "event"));
    if (!event)
        return -1;
    if (!strcmp(event, "step") || !strcmp(event, "evaluation"))
        go_on(run);
    if (!strcmp(event, "step"))
        return add_point(run, &run->train, record, loss_key(run)) || add_shares(run, record);
    if (!strcmp(event, "device"))
        return take_change(run, record);
    if (!strcmp(event, "evaluation"))
        return add_point(run, &run->dense, record, "dense") || add_point(run, &run->sampled, record, "sampled");
    if (!strcmp(event, "watch"))
        count_look(run, record);
    if (!strcmp(event, "test"))
        keep_test(run, record);
    if (!strcmp(event, "resume")) {
        run->started = false;
        go_back(run, run->step0 + json_number(record, "step"));
    }
    run->started |= !strcmp(event, "start");
    json_t **slot = !strcmp(event, "start")     ? &run->start
                    : !strcmp(event, "end")     ? &run->end
                    : !strcmp(event, "profile") ? &run->profile
                                                : NULL;
    if (slot)
        keep(slot, record);
    if (slot == &run->start) {
        name_devices(run, json_object_get(record, "devices"));
        name_unit(run, json_string_value(json_object_get(record, "unit")));
    }
    return 0;
}

/* A line that a run which was killed or a full disk left unfinished costs that line; so does one of another program. */
static int take_line(struct run *run, const char *line, size_t size, int *records)
{
    json_t *record = json_loadb(line, size, 0, NULL);
    int status = take(run, record);
    json_decref(record);
    *records += status >= 0;
    run->skipped += status < 0 && line[strspn(line, " \t\r\n")];
    return status < 0 ? 0 : status;
}

int run_read(struct run *run, const char *path)
{
    int status = 0, lines = 0, records = 0;
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    memset(run, 0, sizeof *run);
    if (!file)
        return say_error("%s: cannot be opened: %s", path, strerror(errno));
    errno = 0;
    for (ssize_t n; !status && (n = getline(&line, &size, file)) > 0; lines++)
        status = take_line(run, line, (size_t)n, &records);
    if (!status && (ferror(file) || !lines))
        status = say_error("%s: %s", path, ferror(file) ? strerror(errno) : "is empty; give a file that --log wrote");
    else if (!status && !records)
        status = say_error("%s: holds no record of a training log; give a file that --log wrote", path);
    if (!status && run->skipped)
        say_note("%s: %d of its %d lines %s passed over", path, run->skipped, lines,
                 run->skipped == 1 ? "is not a record and was" : "are not records and were");
    free(line);
    fclose(file);
    if (status)
        run_free(run);
    return status;
}

void run_free(struct run *run)
{
    free_series(&run->train);
    free_series(&run->dense);
    free_series(&run->sampled);
    for (int i = 0; i < RUN_DEVICES; i++)
        free_series(&run->share[i]);
    json_decref(run->start);
    json_decref(run->end);
    json_decref(run->profile);
    json_decref(run->test);
    json_decref(run->tests);
    memset(run, 0, sizeof *run);
}

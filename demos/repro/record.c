#include "record.h"

#include "times.h"

#include "files.h"
#include "say.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const place_endings[PLACES] = {".best", ".st.stage1", ".st"};
const int members[MEMBERS] = {1, 2, 5, 10, 25, 50};

void record_path(const char *results, const struct run_key *key, char path[512])
{
    char name[256];
    run_name(key, name);
    snprintf(path, 512, "%s/%s.jsonl", results, name);
}

static const char *stages_of(const char *results, const struct run_key *key, char text[STAGES_ROOM])
{
    struct arm_times times;
    if (!stages_timed(key->arm->stages))
        return key->arm->stages;
    times_read(&times, results, key->task, key->arm);
    say_hold_errors(); /* who runs it will hear of it */
    const int status = times.stages ? stages_in_steps(key->arm, &times, key->task, text) : -1;
    say_held_error(false);
    return status ? key->arm->stages : text;
}

void record_settings(const char *results, const struct run_key *key, char settings[SETTINGS_ROOM])
{
    const struct task *t = key->task;
    struct run_key pair[2];
    char other[256], stages[STAGES_ROOM];
    if (run_pair(key, pair)) {
        record_settings(results, &pair[0], settings);
        run_name(&pair[1], other);
        snprintf(settings + strlen(settings), SETTINGS_ROOM - strlen(settings), "; together with %s", other);
        return;
    }
    snprintf(settings, SETTINGS_ROOM, "%s --data %s %s %s --stages '%s' %s --seed %d; eval %s", t->program, t->data,
             t->options, key->arm->options, stages_of(results, key, stages), t->looks, key->seed, t->eval);
}

/* ---- a test ---- */

static void read_measured(struct measured *m, const json_t *test, const char *key)
{
    const json_t *ensemble = json_object_get(test, "ensemble"), *models = json_object_get(test, "models");
    const json_t *dense = models ? models : json_object_get(test, "dense"); /* of two models what they say together */
    char single[32];
    snprintf(single, sizeof single, "single_%s", key);
    if (dense) {
        m->dense = json_number(dense, key);
        m->dense_right = json_number(dense, "top1");
    }
    if (models) {
        m->single = json_number(models, single);
        m->single_right = json_number(models, "single_top1");
    }
    if (!ensemble)
        return;
    m->single = json_number(ensemble, single);
    for (int i = 0; i < MEMBERS; i++) {
        m->ensemble[i] = json_of_first(ensemble, key, members[i]);
        m->ensemble_right[i] = json_of_first(ensemble, "top1", members[i]);
    }
}

/* The key that losses have: bits, where they are told in those. */
static const char *key_of(const json_t *test)
{
    const json_t *dense = json_object_get(test, "dense");
    const json_t *scores = dense ? dense : json_object_get(test, "ensemble");
    return json_object_get(scores, "bits") ? "bits" : "loss";
}

bool is_of_place(const json_t *test, enum place place)
{
    const char *checkpoint = json_string_value(json_object_get(test, "checkpoint"));
    const size_t length = checkpoint ? strlen(checkpoint) : 0, ending = strlen(place_endings[place]);
    return length > ending && !strcmp(checkpoint + length - ending, place_endings[place]);
}

static void read_test(struct record *r, const json_t *test)
{
    for (int p = 0; p < PLACES; p++)
        if (is_of_place(test, (enum place)p))
            read_measured(&r->at[p], test, key_of(test));
}

/* ---- reading ---- */

static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strdup(text) : NULL;
}

static void read_first(struct record *r, const char *path, const struct run_key *key)
{
    char *text = NULL, name[256];
    size_t room = 0;
    FILE *file = fopen(path, "r");
    json_t *line = file && getline(&text, &room, file) > 0 ? json_loads(text, 0, NULL) : NULL;
    const char *event = json_string_value(json_object_get(line, "event"));
    const char *run = json_string_value(json_object_get(line, "run"));
    run_name(key, name);
    if (event && !strcmp(event, "run") && run && !strcmp(run, name)) {
        r->settings = text_of(line, "settings");
        r->commit = text_of(line, "commit");
        r->machine = text_of(line, "machine");
        r->why = text_of(line, "failed");
        r->state = r->why ? RECORD_FAILED : RECORD_DONE;
    } else {
        say_note("%s: is no result of this run: its first line says otherwise; it counts as open", path);
    }
    json_decref(line);
    free(text);
    if (file)
        fclose(file);
}

static void find_best(struct record *r)
{
    const struct series *s = &r->run.dense;
    for (size_t i = 0; i < s->count; i++)
        if (isfinite(s->bits[i]) && !(s->bits[i] >= r->valid)) {
            r->valid = s->bits[i];
            r->best_step = s->step[i];
        }
    if (r->run.train.count)
        r->steps = r->run.train.step[r->run.train.count - 1];
}

static void clear(struct record *r)
{
    *r = (struct record){.valid = NAN, .best_step = NAN, .steps = NAN};
    for (int p = 0; p < PLACES; p++) {
        struct measured *m = &r->at[p];
        m->dense = m->single = m->dense_right = m->single_right = NAN;
        for (int i = 0; i < MEMBERS; i++)
            m->ensemble[i] = m->ensemble_right[i] = NAN;
    }
}

/* All that is measured of such an arm. */
static bool is_whole(const struct record *r, const struct arm *arm)
{
    const struct measured *at = r->at;
    return isfinite(at[AT_BEST].dense) && (arm->of || (isfinite(at[AT_END].dense) &&
                                                       (!arm->sampled || isfinite(at[AT_END].single))));
}

static void read_log(struct record *r, const char *path, const struct arm *arm)
{
    if (run_read(&r->run, path)) {
        r->state = RECORD_NONE;
        return;
    }
    find_best(r);
    for (size_t i = 0; i < json_array_size(r->run.tests); i++)
        read_test(r, json_array_get(r->run.tests, i));
    if (!is_whole(r, arm)) {
        say_note("%s: is cut short, and counts as open", path);
        r->state = RECORD_NONE;
    }
}

void record_read(struct record *r, const char *results, const struct run_key *key)
{
    char path[512], settings[SETTINGS_ROOM];
    clear(r);
    record_path(results, key, path);
    if (access(path, F_OK))
        return;
    read_first(r, path, key);
    if (r->state == RECORD_DONE)
        read_log(r, path, key->arm);
    record_settings(results, key, settings);
    if (r->state != RECORD_NONE && (!r->settings || strcmp(r->settings, settings)))
        r->state = RECORD_OTHER;
}

void record_free(struct record *r)
{
    free(r->settings);
    free(r->commit);
    free(r->machine);
    free(r->why);
    run_free(&r->run);
    clear(r);
}

/* ---- writing ---- */

/* A path without its folders; anything else as it is. */
static json_t *without_folder(json_t *value)
{
    const char *path = json_string_value(value), *slash = path ? strrchr(path, '/') : NULL;
    return slash ? json_string(slash + 1) : json_incref(value);
}

static void drop_folders(json_t *line)
{
    json_t *checkpoint = json_object_get(line, "checkpoint");
    json_t *with = json_object_get(json_object_get(line, "models"), "with");
    if (checkpoint)
        json_object_set_new(line, "checkpoint", without_folder(checkpoint));
    for (size_t i = 0; i < json_array_size(with); i++)
        json_array_set_new(with, i, without_folder(json_array_get(with, i)));
}

static bool kept(const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    return event && strcmp(event, "device") && strcmp(event, "run");
}

static void write_line(FILE *out, json_t *line)
{
    drop_folders(line);
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
        fprintf(out, "%s\n", text);
    free(text);
}

static void copy_lines(FILE *out, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    while (getline(&text, &room, in) > 0) {
        json_t *line = json_loads(text, 0, NULL);
        if (kept(line))
            write_line(out, line);
        json_decref(line);
    }
    free(text);
}

int record_write(const char *path, json_t *first, const char *log)
{
    struct new_file file;
    FILE *in = log ? fopen(log, "r") : NULL;
    if ((log && !in) || new_file_begin(&file, path)) {
        json_decref(first);
        if (in)
            fclose(in);
        return log && !in ? say_error("%s: cannot be read: %s", log, strerror(errno)) : EXIT_FAILED;
    }
    write_line(file.stream, first);
    json_decref(first);
    bool good = true;
    if (in) {
        copy_lines(file.stream, in);
        good = !ferror(in) || say_error("%s: cannot be read", log) == 0;
        fclose(in);
    }
    return new_file_end(&file, good) || !good;
}

#include "perform.h"

#include "record.h"
#include "times.h"

#include "files.h"
#include "progress.h"
#include "say.h"
#include "signals.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct job {
    const struct session *s;
    const struct run_key *key;
    char base[768];           /* WORK/fashion/seed-1/ssa-4 */
    char stages[STAGES_ROOM];
    void (*share)(void *cookie, double done);
    void *cookie;
    double steps;             /* of the run; 0: not known yet */
    long at;                  /* how far its log was read */
    double begin, length;     /* the part of the whole that is at work */
};

static const char *path_of(const struct job *j, const char *ending)
{
    static char path[800];
    snprintf(path, sizeof path, "%s%s", j->base, ending);
    return path;
}

static void add_option(struct child *child, const char *option, const char *value)
{
    child_add(child, option);
    child_add(child, value);
}

/* ---- how far it is ---- */

static double steps_in(const json_t *start)
{
    const json_t *stages = json_object_get(start, "stages");
    double sum = 0;
    for (size_t i = 0; i < json_array_size(stages); i++)
        sum += run_stage_steps(json_array_get(stages, i));
    return sum;
}

static void look_at(struct job *j, const json_t *line)
{
    if (json_object_get(line, "stages") && !json_object_get(line, "passes"))
        j->steps = steps_in(line);
    const double step = json_number(line, "step");
    if (j->steps > 0 && isfinite(step) && j->share)
        j->share(j->cookie, j->begin + j->length * step / j->steps);
}

/* Lines that the log has got since. */
static void look(void *cookie)
{
    struct job *j = cookie;
    char *text = NULL;
    size_t room = 0;
    FILE *log = fopen(path_of(j, ".jsonl"), "r");
    if (!log)
        return;
    if (!fseek(log, j->at, SEEK_SET))
        for (ssize_t n; (n = getline(&text, &room, log)) > 0 && text[n - 1] == '\n';) {
            json_t *line = json_loads(text, 0, NULL);
            look_at(j, line);
            json_decref(line);
            j->at = ftell(log);
        }
    free(text);
    fclose(log);
}

/* ---- the parts of it ---- */

static int run_child(struct job *j, const struct child *child)
{
    return child_run(child, path_of(j, ".out"), j->s->deadline, look, j);
}

static int train(struct job *j)
{
    const struct task *t = j->key->task;
    const bool resumes = !access(path_of(j, ".st"), F_OK) && !access(path_of(j, ".jsonl"), F_OK);
    struct child c;
    char seed[16];
    snprintf(seed, sizeof seed, "%d", j->key->seed);
    session_program(j->s, t, "train", true, &c);
    session_data(j->s, t, &c);
    child_add_all(&c, t->looks);
    add_option(&c, "--log", path_of(j, ".jsonl"));
    add_option(&c, "--best", path_of(j, ".best"));
    if (resumes) {
        add_option(&c, "--resume", path_of(j, ".st"));
    } else {
        child_add_all(&c, t->options);
        child_add_all(&c, j->key->arm->options);
        add_option(&c, "--seed", seed);
        add_option(&c, "--stages", j->stages);
        add_option(&c, "--checkpoint", path_of(j, ".st"));
        child_add(&c, "--force");
    }
    child_add(&c, "--keep-stages");
    child_add(&c, "--quiet");
    return run_child(j, &c);
}

static void add_eval(const struct job *j, struct child *c)
{
    session_program(j->s, j->key->task, "eval", false, c);
    session_data(j->s, j->key->task, c);
    child_add_all(c, j->key->task->eval);
    add_option(c, "--log", path_of(j, ".jsonl"));
}

static int measure(struct job *j, enum place place)
{
    const bool dense = place == AT_BEST || !j->key->arm->sampled;
    struct child c;
    char passes[16];
    snprintf(passes, sizeof passes, "%d", j->key->arm->passes);
    add_eval(j, &c);
    add_option(&c, "--checkpoint", path_of(j, place_endings[place]));
    add_option(&c, dense ? "--mode" : "--passes", dense ? "dense" : passes);
    return run_child(j, &c);
}

/* ---- the result ---- */

static json_t *first_line(const struct job *j, const char *failed)
{
    char name[256], settings[SETTINGS_ROOM], date[32];
    const time_t now = time(NULL);
    struct tm utc;
    run_name(j->key, name);
    record_settings(j->s->results, j->key, settings);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime_r(&now, &utc));
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "event", "run", "run", name, "settings", settings,
                             "commit", session_commit(), "machine", session_machine(), "date", date);
    if (failed)
        json_object_set_new(line, "failed", json_text(failed)); /* which may be cut inside of a letter */
    return line;
}

/* What the program said last. */
static void last_words(const struct job *j, char words[512])
{
    char *text = NULL;
    size_t room = 0;
    FILE *out = fopen(path_of(j, ".out"), "r");
    snprintf(words, 512, "it said nothing");
    while (out && getline(&text, &room, out) > 0)
        if (text[strspn(text, " \t\r\n")])
            snprintf(words, 512, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
    if (out)
        fclose(out);
}

static int write_result(const struct job *j, const char *failed)
{
    char path[512];
    record_path(j->s->results, j->key, path);
    return make_folders(path) || record_write(path, first_line(j, failed), failed ? NULL : path_of(j, ".jsonl"));
}

/* That numbers ran away is a result of the arm, and written as one; anything else, as a full disk, is a matter of this
 * machine, and the run stays open. */
static enum performed give_up(const struct job *j, const char *what, int status)
{
    char name[256], words[512];
    run_name(j->key, name);
    last_words(j, words);
    say_error("%s: %s failed (exit status %d); all that it said: %s.out. Its last words: %s", name, what, status,
              j->base, words);
    const char *text = strstr(words, ": "); /* behind the program's name */
    if (text && strstr(text, "not finite"))
        write_result(j, text + 2);
    return PERFORM_FAILED;
}

/* Asked to stop, by a signal or since the time is over: what stands there is gone on with. */
static bool stopped(const struct job *j, int status)
{
    return status && (interrupted || (j->s->deadline > 0 && now_seconds() >= j->s->deadline));
}

/* As it may be where a run is stopped after it, or its result lost. */
static bool is_measured(const struct job *j, enum place place)
{
    struct run run;
    bool found = false;
    if (run_read(&run, path_of(j, ".jsonl")))
        return false;
    for (size_t i = 0; i < json_array_size(run.tests); i++)
        found |= is_of_place(json_array_get(run.tests, i), place);
    run_free(&run);
    return found;
}

static enum performed measure_all(struct job *j)
{
    const int places = j->key->arm->sampled ? PLACES : PLACES - 1;
    for (int p = 0, done = 0; p < PLACES; p++) {
        if (p == AT_STAGE && (!j->key->arm->sampled || access(path_of(j, place_endings[p]), F_OK)))
            continue;
        const int status = is_measured(j, (enum place)p) ? 0 : measure(j, (enum place)p);
        if (stopped(j, status))
            return PERFORM_STOPPED;
        if (status)
            return give_up(j, "measuring", status);
        if (j->share)
            j->share(j->cookie, 0.8 + 0.2 * ++done / places);
    }
    return write_result(j, NULL) ? PERFORM_FAILED : PERFORM_DONE;
}

/* ---- training ---- */

/* Trained to the end already, and only measuring was not. */
static bool trained(const struct job *j)
{
    struct run run;
    if (!file_holds_something(path_of(j, ".jsonl")) || run_read(&run, path_of(j, ".jsonl")))
        return false;
    const char *status = json_string_value(json_object_get(run.end, "status"));
    const bool finished = status && !strcmp(status, "finished");
    run_free(&run);
    return finished && !access(path_of(j, ".st"), F_OK) && !access(path_of(j, ".best"), F_OK);
}

/* What lies there of other settings is not gone on with: SETTINGS beside it tells. */
static int prepare(const struct job *j)
{
    static const char *const endings[] = {".jsonl", ".st", ".st.stage1", ".best", ".out"};
    char now[SETTINGS_ROOM], then[SETTINGS_ROOM] = "";
    record_settings(j->s->results, j->key, now);
    if (j->s->again) /* what failed would fail from its last checkpoint, too */
        remove(path_of(j, ".settings"));
    FILE *file = fopen(path_of(j, ".settings"), "r");
    const size_t size = file ? fread(then, 1, sizeof then - 1, file) : 0;
    if (file)
        fclose(file);
    if (size && !strcmp(then, now))
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        remove(path_of(j, endings[i]));
    file = fopen(path_of(j, ".settings"), "w");
    if (!file || fputs(now, file) < 0 || fclose(file))
        return say_error("%s.settings could not be written", j->base);
    return 0;
}

static enum performed train_all(struct job *j)
{
    struct arm_times times;
    times_read(&times, j->s->results, j->key->task, j->key->arm);
    if (stages_in_steps(j->key->arm, &times, j->key->task, j->stages) || prepare(j))
        return PERFORM_FAILED;
    if (trained(j))
        return PERFORM_DONE;
    const int status = train(j);
    if (stopped(j, status))
        return PERFORM_STOPPED;
    return status ? give_up(j, "training", status) : PERFORM_DONE;
}

static struct job job_of(const struct session *session, const struct run_key *key)
{
    struct job j = {.s = session, .key = key};
    char name[256];
    run_name(key, name);
    snprintf(j.base, sizeof j.base, "%s/%s", session->work, name);
    return j;
}

/* Nobody else may be at it: what lies there would be another's. */
static int begin_job(const struct job *j, struct file_lock *lock)
{
    return make_folders(j->base) || file_lock(lock, path_of(j, ".run"));
}

/* ---- two models together ---- */

static int copy_log(const struct job *from, const struct job *to)
{
    char path[800];
    snprintf(path, sizeof path, "%s", path_of(from, ".jsonl"));
    return record_write(path_of(to, ".jsonl"), json_pack("{s:s}", "event", "copy"), path);
}

static enum performed measure_pair(struct job *j, const struct job models[2])
{
    struct child c;
    if (copy_log(&models[0], j))
        return PERFORM_FAILED;
    add_eval(j, &c);
    add_option(&c, "--checkpoint", path_of(&models[0], ".best"));
    add_option(&c, "--with", path_of(&models[1], ".best"));
    add_option(&c, "--mode", "dense");
    const int status = run_child(j, &c);
    if (stopped(j, status))
        return PERFORM_STOPPED;
    if (status)
        return give_up(j, "measuring", status);
    return write_result(j, NULL) ? PERFORM_FAILED : PERFORM_DONE;
}

static bool has_failed(const struct job *j)
{
    struct record record;
    record_read(&record, j->s->results, j->key);
    const bool failed = record.state == RECORD_FAILED;
    record_free(&record);
    return failed;
}

/* Models that do not lie in the folder of work any more are trained again: the same bits. */
static enum performed perform_pair(struct job *j, const struct run_key pair[2])
{
    struct job models[2];
    for (int i = 0; i < 2; i++) {
        struct job *m = &models[i];
        *m = job_of(j->s, &pair[i]);
        m->share = j->share;
        m->cookie = j->cookie;
        m->begin = 0.45 * i;
        m->length = 0.45;
        if (has_failed(m))
            return write_result(j, "one of its models failed") ? PERFORM_FAILED : PERFORM_DONE;
        struct file_lock lock;
        if (begin_job(m, &lock))
            return PERFORM_FAILED;
        const enum performed done = train_all(m);
        file_unlock(&lock);
        if (done != PERFORM_DONE)
            return done;
    }
    return measure_pair(j, models);
}

/* ---- all of it ---- */

static enum performed perform_job(struct job *j)
{
    struct run_key pair[2];
    if (run_pair(j->key, pair))
        return perform_pair(j, pair);
    const enum performed done = train_all(j);
    return done == PERFORM_DONE ? measure_all(j) : done;
}

enum performed perform(const struct session *session, const struct run_key *key,
                       void (*share)(void *cookie, double done), void *cookie)
{
    struct job j = job_of(session, key);
    struct file_lock lock;
    j.share = share;
    j.cookie = cookie;
    j.length = 0.8;
    if (begin_job(&j, &lock))
        return PERFORM_FAILED;
    const enum performed done = perform_job(&j);
    file_unlock(&lock);
    return done;
}

#include "times.h"

#include "session.h"

#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "say.h"
#include "signals.h"
#include "statistics.h"

#include "run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MOST = 99 };

static void times_path(const char *results, const struct task *task, char path[512])
{
    snprintf(path, 512, "%s/%s/times.json", results, task->name);
}

/* ---- reading ---- */

void times_read(struct arm_times *times, const char *results, const struct task *task, const struct arm *arm)
{
    char path[512];
    *times = (struct arm_times){.stages = 0};
    for (int i = 0; i < STAGE_COUNT; i++)
        times->seconds[i] = times->low[i] = times->high[i] = NAN;
    times_path(results, task, path);
    json_t *all = access(path, F_OK) ? NULL : json_load_file(path, 0, NULL);
    const json_t *stages = json_object_get(json_object_get(all, "arms"), arm->name);
    for (size_t i = 0; i < json_array_size(stages) && i < STAGE_COUNT; i++) {
        const json_t *stage = json_array_get(stages, i);
        times->seconds[i] = json_number(stage, "median");
        times->low[i] = json_number(stage, "low");
        times->high[i] = json_number(stage, "high");
        times->stages++;
    }
    times->rounds = (int)json_integer_value(json_object_get(all, "rounds"));
    json_decref(all);
}

/* ---- stages ---- */

static const char timed[] = "seconds=";

bool stages_timed(const char *stages)
{
    return strstr(stages, timed) != NULL;
}

/* Copies, with `steps=` of what `steps_of` says instead of each seconds=N. What is no number, or no step, is said. */
static int replace(const char *stages, double (*steps_of)(void *cookie, int stage, double seconds), void *cookie,
                   char text[STAGES_ROOM])
{
    static const char blanks[] = " \t\n;"; /* between stages, as the programs read them */
    size_t used = 0;
    int stage = 0;
    for (const char *c = stages + strspn(stages, blanks); *c; c++) {
        if (used + 32 > STAGES_ROOM)
            return say_error("stages are longer than %d letters: '%.40s...'", STAGES_ROOM - 32, stages);
        if (!strncmp(c, timed, strlen(timed))) {
            char *end;
            const double seconds = strtod(c + strlen(timed), &end);
            if (end == c + strlen(timed) || !(seconds > 0 && seconds < 1e7))
                return say_error("'%.20s' is no number of seconds above 0", c);
            const double steps = steps_of(cookie, stage, seconds);
            if (!(steps >= 1 && steps < 1e9))
                return -1;
            used += (size_t)snprintf(text + used, 32, "steps=%.0f", steps);
            c = end;
        }
        const size_t gap = strspn(c, blanks);
        stage += gap && c[gap];
        c += gap ? gap - 1 : 0;
        if (!*c)
            break;
        text[used++] = gap ? ' ' : *c;
    }
    text[used] = '\0';
    return 0;
}

static double by_times(void *cookie, int stage, double seconds)
{
    const struct arm_times *times = cookie;
    return stage < STAGE_COUNT ? floor(seconds / times->seconds[stage]) : NAN;
}

static double two(void *cookie, int stage, double seconds)
{
    (void)cookie, (void)stage, (void)seconds;
    return 2;
}

int stages_in_steps(const struct arm *arm, const struct arm_times *times, const struct task *task,
                    char text[STAGES_ROOM])
{
    struct arm_times copy = *times;
    const int status = replace(arm->stages, by_times, &copy, text);
    if (status >= 0)
        return status;
    if (times->stages)
        return say_error("%s/%s: its seconds are less than a step of each of its %d stages takes", task->name,
                         arm->name, times->stages);
    return say_error("%s/%s lasts so many seconds, and how long a step takes is not known: run --time 9 --only %s "
                     "first, on a quiet machine", task->name, arm->name, task->name);
}

/* ---- measuring ---- */

struct samples {
    double of[STAGE_COUNT][ROUNDS_MOST];
    int stages, count;
};

static void take_plan(const json_t *plan, struct samples *s)
{
    const json_t *stages = json_object_get(plan, "stages");
    const size_t count = json_array_size(stages);
    s->stages = count < STAGE_COUNT ? (int)count : STAGE_COUNT;
    for (int i = 0; i < s->stages; i++)
        s->of[i][s->count] = json_number(json_array_get(stages, (size_t)i), "seconds_per_step");
    s->count++;
}

/* An arm that cannot be planned has no times; why has been said. */
static int measure_arm(const struct session *session, const struct task *task, const struct arm *arm,
                        struct samples *s)
{
    struct child c;
    char stages[STAGES_ROOM];
    if (arm->of)
        return 0;
    if (replace(arm->stages, two, NULL, stages))
        return EXIT_FAILED;
    session_program(session, task, "plan", false, &c);
    session_data(session, task, &c);
    child_add_all(&c, task->options);
    child_add_all(&c, arm->options);
    child_add(&c, "--stages");
    child_add(&c, stages);
    child_add(&c, "--json");
    char *text = child_read(&c);
    json_t *plan = text ? json_loads(text, 0, NULL) : NULL;
    if (plan)
        take_plan(plan, s);
    const int status = plan ? 0 : EXIT_FAILED;
    json_decref(plan);
    free(text);
    return status;
}

static json_t *summary(const struct samples *s)
{
    json_t *stages = json_array();
    double sorted[ROUNDS_MOST];
    for (int i = 0; i < s->stages && s->count; i++) {
        sort_samples(sorted, s->of[i], s->count);
        json_array_append_new(stages, json_pack("{s:o, s:o, s:o}", "median",
            number_json(quantile(sorted, s->count, 0.5)), "low", number_json(quantile(sorted, s->count, 0.25)), "high",
            number_json(quantile(sorted, s->count, 0.75))));
    }
    return stages;
}

static int write_times(const struct session *session, const struct task *task, json_t *all)
{
    char path[512];
    struct new_file file;
    times_path(session->results, task, path);
    if (make_folders(path) || new_file_begin(&file, path))
        return EXIT_FAILED;
    const int status = json_dumpf(all, file.stream, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    fputc('\n', file.stream);
    return new_file_end(&file, !status);
}

static int measure_rounds(const struct session *session, const struct task *task, struct samples *samples, int rounds)
{
    int status = 0;
    progress_begin(task->name, rounds * task->arm_count);
    for (int r = 0; r < rounds && !status; r++)
        for (int a = 0; a < task->arm_count && !status; a++) {
            progress_update(r * task->arm_count + a, -1, "round %d, %s", r + 1, task->arms[a].name);
            status = measure_arm(session, task, &task->arms[a], &samples[a]);
            status = interrupted ? EXIT_INTERRUPTED : status;
        }
    progress_end();
    if (status)
        say_error("%s: times stay as they were: an arm could not be timed", task->name);
    return status;
}

int times_measure(const struct session *session, const struct task *task, int rounds)
{
    struct samples *samples = calloc((size_t)task->arm_count, sizeof *samples);
    if (!samples)
        return say_error("no memory to measure %s", task->name);
    int status = measure_rounds(session, task, samples, rounds < ROUNDS_MOST ? rounds : ROUNDS_MOST);
    if (!status) {
        json_t *arms = json_object();
        for (int a = 0; a < task->arm_count; a++)
            json_object_set_new(arms, task->arms[a].name, summary(&samples[a]));
        json_t *all = json_pack("{s:s, s:s, s:i, s:o}", "machine", session_machine(), "commit", session_commit(),
                                "rounds", rounds, "arms", arms);
        status = write_times(session, task, all);
        json_decref(all);
    }
    free(samples);
    return status;
}

/* ---- attention ---- */

int times_attention(const struct session *session, const char *options, int rounds)
{
    static const struct task bench = {.program = "ssacl-bench"};
    char path[512], number[16];
    struct child c;
    snprintf(path, sizeof path, "%s/attention.json", session->results);
    snprintf(number, sizeof number, "%d", rounds);
    session_program(session, &bench, "attention", false, &c);
    child_add_all(&c, options);
    child_add(&c, "--reps");
    child_add(&c, number);
    child_add(&c, "--device");
    child_add(&c, session->device ? session->device : "auto");
    child_add(&c, "--output");
    child_add(&c, path);
    if (make_folders(path))
        return EXIT_FAILED;
    char *text = child_read(&c);
    free(text);
    return text ? 0 : EXIT_FAILED;
}

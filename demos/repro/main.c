/* ssacl-repro: the paper's claims, measured: a table of experiments, run in order, and pages of what came out. */
#include "pages.h"
#include "perform.h"
#include "record.h"
#include "times.h"

#include "args.h"
#include "files.h"
#include "progress.h"
#include "say.h"
#include "signals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct session o = {.table = "demos/repro/experiments.json", .results = "demos/repro/results",
                           .work = "build-quickstart/repro", .data = NULL, .programs = "build-quickstart/demos"};
static double hours;
static int list_only, data_names, pages_only, time_rounds, again, json;

static const struct arg table_of_arguments[] = {
    ARG_HEADING("what"),
    ARG_FLAG(0, "list", &list_only, "say what there is, and what of it has run; run nothing"),
    ARG_FLAG(0, "data-names", &data_names, "say which data the runs that are open need, a name a line; run nothing"),
    ARG_TEXT(0, "only", &o.only, "NAMES", "runs of these alone: TASK, or TASK/ARM, with * for any letters and commas "
                                          "between"),
    ARG_INT(0, "seeds", &o.seeds, 0, SEEDS_MOST, "N", "at most so many seeds of each arm; 0: as the table says"),
    ARG_REAL(0, "hours", &hours, 0, 10000, "H", "end after so long; what is at work is stopped, and goes on the next "
                                                "time; 0: when all has run"),
    ARG_INT(0, "time", &time_rounds, 0, 99, "N", "measure how long steps take instead, in N rounds over the arms of a "
                                                 "task, on a machine that does nothing else"),
    ARG_FLAG(0, "again", &again, "run what failed, and what stands in the results with other settings, anew"),
    ARG_FLAG(0, "pages", &pages_only, "write the pages anew; run nothing"),
    ARG_HEADING("where"),
    ARG_TEXT('d', "data", &o.data, "DIR", "folder that has the data, by the names of the table (run.sh fetches them)"),
    ARG_TEXT(0, "table", &o.table, "FILE", "the experiments"),
    ARG_TEXT(0, "results", &o.results, "DIR", "a file for each run that is done, and the pages"),
    ARG_TEXT(0, "work", &o.work, "DIR", "checkpoints and logs of runs at work"),
    ARG_TEXT(0, "programs", &o.programs, "DIR", "where ssacl's programs were built: DIR/image/ssacl-image"),
    ARG_HEADING("running"),
    ARG_TEXT(0, "device", &o.device, "NAMES", "of the programs: auto, cpu, all, or names with commas between"),
    ARG_TEXT(0, "launch", &o.launch, "WORDS", "what training is started by: 'mpirun -n 2'"),
    ARG_FLAG(0, "json", &json, "with --list: one object on stdout"),
    ARG_END};

static const struct args_page page = {
    .name = "ssacl-repro",
    .usage = "[options]",
    .about = "Runs the table of experiments: every task, arm and seed of it, in its order, each trained and measured "
             "by ssacl's programs; then writes a page of what came out, as Markdown and as HTML.\n"
             "A run that is done is a file among the results and is not done again. Ctrl-C stops after the step at "
             "hand; the next call goes on from there, and so it does after a crash.",
    .examples = "examples:\n"
                "  ssacl-repro --list\n"
                "  ssacl-repro --data ~/.cache/ssacl --only fashion --hours 2\n"
                "  ssacl-repro --data ~/.cache/ssacl --only 'fashion/ssa-*,qm9' --seeds 1 --device all\n"};

/* ---- counting ---- */

/* Whether a run is to be done. */
static bool is_open(const struct run_key *key)
{
    struct record record;
    if (!run_wanted(key, o.only, o.seeds))
        return false;
    record_read(&record, o.results, key);
    const bool open = record.state == RECORD_NONE || (again && record.state != RECORD_DONE);
    record_free(&record);
    return open;
}

struct work {
    int open, number, failed; /* runs that are to be done, how many were, and of these how many failed */
    const struct run_key *key;
};

static int count_run(void *cookie, const struct run_key *key)
{
    ((struct work *)cookie)->open += is_open(key);
    return 0;
}

/* ---- running ---- */

static void show_share(void *cookie, double share)
{
    const struct work *w = cookie;
    char name[256];
    run_name(w->key, name);
    progress_update(w->number + share, -1, "%s: %.0f%%", name, 100 * share);
}

static int do_run(void *cookie, const struct run_key *key)
{
    struct work *w = cookie;
    char name[256];
    if (interrupted || (o.deadline > 0 && now_seconds() > o.deadline))
        return EXIT_INTERRUPTED;
    if (!is_open(key))
        return 0;
    w->key = key;
    show_share(w, 0);
    const double begin = now_seconds();
    const enum performed done = perform(&o, key, show_share, w);
    if (done == PERFORM_STOPPED)
        return EXIT_INTERRUPTED;
    w->number++;
    w->failed += done == PERFORM_FAILED;
    run_name(key, name);
    char time[32];
    progress_hide();
    if (done == PERFORM_DONE)
        say_note("%s: done in %s (%d of %d)", name, format_seconds(now_seconds() - begin, time), w->number, w->open);
    return 0;
}

static int run_all(const struct table *table)
{
    struct work w = {.open = 0};
    table_each(table, count_run, &w);
    if (!w.open) {
        say_note("nothing to run: all that is asked for has");
        return 0;
    }
    o.deadline = hours > 0 ? now_seconds() + 3600 * hours : 0;
    progress_begin("runs", w.open);
    const int status = table_each(table, do_run, &w);
    progress_end();
    if (status && !interrupted && w.number < w.open)
        say_note("the time is over: %d of %d runs were done; the same command goes on", w.number - w.failed, w.open);
    if (interrupted)
        say_note("stopped: %d of %d runs were done; the same command goes on", w.number - w.failed, w.open);
    return interrupted ? EXIT_INTERRUPTED : w.failed ? EXIT_FAILED : 0;
}

/* ---- times ---- */

static bool any_wanted(const struct task *task)
{
    for (int a = 0; a < task->arm_count; a++)
        if (run_wanted(&(struct run_key){task, &task->arms[a], 1}, o.only, 0))
            return true;
    return false;
}

static int time_all(const struct table *table)
{
    int status = table->attention && name_wanted("attention", o.only)
        ? times_attention(&o, table->attention, time_rounds) : 0;
    for (int t = 0; t < table->count && !status && !interrupted; t++)
        if (any_wanted(&table->tasks[t]))
            status = times_measure(&o, &table->tasks[t], time_rounds);
    return status;
}

/* ---- listing ---- */

struct listing {
    json_t *array;
    const struct task *task;
};

static const char *const states[] = {[RECORD_NONE] = "open", [RECORD_DONE] = "done", [RECORD_FAILED] = "failed",
                                     [RECORD_OTHER] = "of other settings"};

static int list_run(void *cookie, const struct run_key *key)
{
    struct listing *l = cookie;
    struct record record;
    char name[256];
    if (!run_wanted(key, o.only, o.seeds))
        return 0;
    run_name(key, name);
    record_read(&record, o.results, key);
    const double loss = record.at[AT_BEST].dense;
    if (json) {
        json_array_append_new(l->array, json_pack("{s:s, s:s}", "run", name, "state", states[record.state]));
    } else {
        if (l->task != key->task)
            printf("%s%s: %s\n", l->task ? "\n" : "", key->task->name, key->task->title);
        l->task = key->task;
        printf("  %-40s %s", name, states[record.state]);
        printf(isfinite(loss) ? ", test %.4f\n" : "\n", loss);
    }
    record_free(&record);
    return 0;
}

static int list_all(const struct table *table)
{
    struct listing l = {.array = json_array()};
    const int status = table_each(table, list_run, &l);
    if (json && !status)
        return print_json(json_pack("{s:o}", "runs", l.array));
    json_decref(l.array);
    return status ? status : finish_stdout();
}

static int name_data(void *cookie, const struct run_key *key)
{
    const struct task **last = cookie;
    if (*last == key->task || !is_open(key))
        return 0;
    *last = key->task;
    puts(key->task->data);
    return 0;
}

static int name_all_data(const struct table *table)
{
    const struct task *last = NULL;
    return table_each(table, name_data, &last) || finish_stdout();
}

/* ---- all of it ---- */

static int count_wanted(void *cookie, const struct run_key *key)
{
    *(int *)cookie += run_wanted(key, o.only, o.seeds);
    return 0;
}

/* What was mistyped would else be all done. */
static int check_only(const struct table *table)
{
    int wanted = 0;
    table_each(table, count_wanted, &wanted);
    if (wanted || !o.only || (table->attention && name_wanted("attention", o.only)))
        return 0;
    return say_error("--only %s: there is no such run; --list says what there is", o.only);
}

/* Names of files are made of them; and what cannot be written there is better known before hours of training. */
static int check_folders(void)
{
    char path[512];
    if (strlen(o.results) > 200 || strlen(o.work) > 200 || strlen(o.programs) > 400 || (o.data && strlen(o.data) > 400))
        return say_error("a folder's name is too long: give --results and --work of at most 200 letters, others of "
                         "400");
    snprintf(path, sizeof path, "%s/README.md", o.results);
    return list_only || data_names ? 0 : make_folders(path) || file_check_target(path);
}

static int run(const struct table *table)
{
    if (!o.data && !list_only && !data_names && !pages_only)
        return say_error("give the folder of the data, --data DIR (run.sh fetches what is missing)");
    if (check_only(table) || check_folders())
        return EXIT_FAILED;
    if (list_only)
        return list_all(table);
    if (data_names)
        return name_all_data(table);
    if (pages_only)
        return pages_write(&o, table);
    signals_catch();
    signals_survive_writes();
    const int status = time_rounds ? time_all(table) : run_all(table);
    const int written = pages_write(&o, table);
    return status ? status : written;
}

int main(int argc, char **argv)
{
    struct table table;
    occupy_standard_files();
    say_set_program(page.name);
    int status = args_parse(table_of_arguments, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    o.again = again;
    status = table_read(&table, o.table);
    if (!status)
        status = run(&table);
    table_free(&table);
    return status ? status : finish_stdout();
}

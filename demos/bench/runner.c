/* Cases over devices: what was asked for of each, how long it will take, what does not fit. */
#include "bench.h"
#include "output.h"
#include "peak.h"

#include "progress.h"
#include "say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 32 };

/* A device that was asked for, its cases listed. */
struct target {
    struct ssa_device_info info;
    struct peak *peak;
    struct case_list cases[MAX_SUITES];
    double seconds; /* estimated */
};

struct run {
    struct bench *b;
    const struct selection *selection;
    struct target targets[MAX_DEVICES];
    int count;
    int failed; /* devices that could not be used, names that fit no device */
    double done; /* seconds of the estimate */
};

/* ---- devices ---- */

static int has(const struct run *r, const char *id)
{
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->targets[i].info.id, id))
            return 1;
    return 0;
}

/* Measures its roofs. A device that cannot even be opened is said, and the others go on. */
static void add_device(struct run *r, const char *name)
{
    struct target *t = &r->targets[r->count];
    struct ssa_device *device;
    int err = ssa_device_open(&device, name);
    if (!err) {
        ssa_device_info(device, &t->info);
        ssa_device_close(device);
        if (r->count == MAX_DEVICES || has(r, t->info.id))
            return;
        err = peak_open(&t->peak, &t->info);
    }
    if (err) {
        const char *why = *ssa_last_error() ? ssa_last_error() : "what it can do at most cannot be measured";
        say_error("device %s: %s (%s)", name, why, ssa_status_name(err));
        peak_close(t->peak);
        t->peak = NULL;
        r->failed++;
    } else {
        r->count++;
    }
}

static void add_all_devices(struct run *r)
{
    struct ssa_device_info list[MAX_DEVICES];
    int count;
    if (ssa_device_list(list, MAX_DEVICES, &count)) {
        say_error("the devices cannot be listed: %s", ssa_last_error());
        r->failed++;
        return;
    }
    for (int i = 0; i < count && i < MAX_DEVICES && !interrupted; i++)
        add_device(r, list[i].id);
}

static void add_devices(struct run *r)
{
    const char *names = r->selection->devices;
    do {
        char name[128];
        size_t length = strcspn(names, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, names);
        if (!strcmp(name, "all"))
            add_all_devices(r);
        else
            add_device(r, name);
        names += length;
    } while (*names++ == ',' && !interrupted);
}

/* ---- cases ---- */

int case_add(struct case_list *list, const struct bench_case *c)
{
    if (list->count == list->capacity) {
        int capacity = 2 * list->capacity + 16;
        struct bench_case *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items)
            return bench_out_of_memory();
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *c;
    return SSA_OK;
}

/* Every word of a filter must be somewhere in "suite name direction"; of several filters one must fit. */
static bool fits(const char *filter, const char *text)
{
    char words[256], *rest = words;
    snprintf(words, sizeof words, "%s", filter);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!strstr(text, word))
            return false;
    return true;
}

bool bench_wants(const struct bench *b, const char *suite, const char *name, const char *direction)
{
    char text[256];
    snprintf(text, sizeof text, " %s %s %s ", suite, name, direction);
    for (int i = 0; i < b->filters.count; i++)
        if (fits(b->filters.items[i], text))
            return true;
    return b->filters.count == 0;
}

/* Half of the nearer roof; a sample is at least 40 ms long and has one of the device's roofs beside it; the reference
 * makes half a GFLOP/s; a first call builds kernels where there is a compiler. */
static double estimate_seconds(const struct bench *b, const struct suite *suite, const struct bench_case *c)
{
    double bandwidth = peak_bandwidth(b->peak, PEAK_SETS - 1);
    double call = 2e-9 * fmax(c->flops / peak_gflops(b->peak), c->moved / bandwidth);
    int reps = b->reps ? b->reps : suite->reps, directions = 1;
    for (const char *d = c->directions; *d; d++)
        directions += *d == '|';
    double sampling = reps * (fmax(call, 0.040 * directions) + 0.010 * directions);
    if (b->seconds > 0)
        sampling = fmax(fmin(sampling, b->seconds * directions), LEAST_REPS * call);
    double build = b->info.kind == SSA_DEVICE_HOST ? 0.01 : 0.5;
    return sampling + 3 * call + c->check_flops / 0.5e9 + build;
}

/* Is one of the case's directions wanted? */
static bool is_wanted(const struct bench *b, const struct suite *suite, const struct bench_case *c)
{
    if (b->only)
        return !strcmp(b->only, c->name);
    char directions[64], *rest = directions;
    snprintf(directions, sizeof directions, "%s", c->directions);
    for (char *d = strtok_r(directions, "|", &rest); d; d = strtok_r(NULL, "|", &rest))
        if (bench_wants(b, suite->name, c->name, d))
            return true;
    return false;
}

static void use(struct run *r, const struct target *t)
{
    r->b->info = t->info;
    r->b->peak = t->peak;
}

static int list_cases(struct run *r, struct target *t)
{
    use(r, t);
    for (int s = 0; s < r->selection->suite_count; s++) {
        const struct suite *suite = r->selection->suites[s];
        struct case_list *list = &t->cases[s];
        int err = suite->list(r->b, list), kept = 0;
        if (err)
            return err;
        for (int i = 0; i < list->count; i++) {
            if (!is_wanted(r->b, suite, &list->items[i]))
                continue;
            list->items[kept] = list->items[i];
            t->seconds += estimate_seconds(r->b, suite, &list->items[kept++]);
        }
        list->count = kept;
    }
    return SSA_OK;
}

static int count_cases(const struct run *r)
{
    int count = 0;
    for (int i = 0; i < r->count; i++)
        for (int s = 0; s < r->selection->suite_count; s++)
            count += r->targets[i].cases[s].count;
    return count;
}

static bool is_too_large(const struct bench *b, const struct bench_case *c, char *why, size_t size)
{
    double memory = (double)b->info.memory, largest = (double)b->info.max_allocation;
    if (c->memory > memory)
        snprintf(why, size, "needs about %.0f MiB, %s has %.0f", c->memory / 1048576, b->info.id, memory / 1048576);
    else if (c->largest > largest)
        snprintf(why, size, "needs a buffer of %.0f MiB, %s allows %.0f", c->largest / 1048576, b->info.id,
                 largest / 1048576);
    return c->memory > memory || c->largest > largest;
}

static void run_case(struct run *r, const struct suite *suite, const struct bench_case *c)
{
    struct bench *b = r->b;
    int reps = b->reps;
    char why[512];
    if (is_too_large(b, c, why, sizeof why)) {
        emit_absence(b, suite, c, "skipped", why);
        return;
    }
    b->builds = b->build_times && strcmp(suite->name, "peak") ? build_times(b, suite, c) : NULL;
    b->reps = reps ? reps : suite->reps;
    int err = suite->run(b, c);
    b->reps = reps;
    json_decref(b->builds);
    b->builds = NULL;
    if (err == SSA_OK || err == SSA_ESTOPPED)
        return;
    snprintf(why, sizeof why, "%s (%s)", ssa_last_error(), ssa_status_name(err));
    emit_absence(b, suite, c, err == SSA_ENOMEM ? "skipped" : "failed", why);
}

static void run_target(struct run *r, struct target *t)
{
    use(r, t);
    output_use_device(r->b->output, &t->info);
    for (int s = 0; s < r->selection->suite_count; s++) {
        const struct suite *suite = r->selection->suites[s];
        for (int i = 0; i < t->cases[s].count && !interrupted; i++) {
            const struct bench_case *c = &t->cases[s].items[i];
            progress_update(r->done, -1, "%s: %s %s", t->info.id, suite->name, c->name);
            run_case(r, suite, c);
            r->done += estimate_seconds(r->b, suite, c);
        }
    }
}

static void print_cases(const struct run *r)
{
    for (int i = 0; i < r->count; i++)
        for (int s = 0; s < r->selection->suite_count; s++)
            for (int c = 0; c < r->targets[i].cases[s].count; c++)
                printf("%s\t%s\t%s\t%s\n", r->targets[i].info.id, r->selection->suites[s]->name,
                       r->targets[i].cases[s].items[c].name, r->targets[i].cases[s].items[c].directions);
}

/* ---- all of it ---- */

static void finish(struct run *r)
{
    for (int i = 0; i < r->count; i++) {
        peak_close(r->targets[i].peak);
        for (int s = 0; s < MAX_SUITES; s++)
            free(r->targets[i].cases[s].items);
    }
}

static int run_targets(struct run *r)
{
    char time[32];
    double seconds = 0;
    for (int i = 0; i < r->count; i++)
        seconds += r->targets[i].seconds;
    say_note("%d cases on %d device%s: about %s", count_cases(r), r->count, r->count == 1 ? "" : "s",
             format_seconds(seconds, time));
    progress_begin("bench", seconds);
    for (int i = 0; i < r->count && !interrupted; i++)
        run_target(r, &r->targets[i]);
    progress_end();
    if (interrupted)
        say_error("stopped: what was finished is kept");
    const struct output *o = r->b->output;
    return interrupted ? EXIT_INTERRUPTED : o->wrong || o->failed || r->failed ? EXIT_FAILED : 0;
}

int run_selection(struct bench *b, const struct selection *s)
{
    static struct run r;
    int status = EXIT_FAILED, err = SSA_OK;
    r = (struct run){.b = b, .selection = s};
    add_devices(&r);
    for (int i = 0; i < r.count && !err; i++)
        err = list_cases(&r, &r.targets[i]);
    if (interrupted)
        status = EXIT_INTERRUPTED;
    else if (err)
        say_error("the cases cannot be listed: %s (%s)", ssa_last_error(), ssa_status_name(err));
    else if (r.count && !count_cases(&r))
        say_error("no case fits the filter: --list shows what there is");
    else if (s->list_only)
        print_cases(&r), status = r.failed ? EXIT_FAILED : 0;
    else if (r.count)
        status = run_targets(&r);
    finish(&r);
    return status;
}

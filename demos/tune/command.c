/* ssacl-bench tune: finds the fastest tile sizes of this device's kernels and writes them where the library finds
 * them. */
#include "command.h"
#include "tune.h"

#include "args.h"
#include "files.h"
#include "progress.h"
#include "say.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 1024 };

struct command {
    struct search search;
    const char *output; /* as given, or NULL */
    char path[PATH_SIZE], state[PATH_SIZE + 16];
    int fresh;
    double seconds;
};

/* The user's folder may not be there yet. */
static int make_folders(const char *path)
{
    char part[PATH_SIZE];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return say_error("%s: the folder %s cannot be made: %s; give another file by --output", path, part,
                             strerror(errno));
        *p = '/';
    }
    return 0;
}

/* Said before the work, not after it. */
static int prepare_output(struct command *c, const struct ssa_device *device)
{
    if (c->output && snprintf(c->path, PATH_SIZE, "%s", c->output) >= PATH_SIZE)
        return say_error("%.64s...: the name is too long", c->output);
    if (!c->output && ssa_tuning_path(device, c->path, PATH_SIZE))
        return say_error("%s: give a file by --output", ssa_last_error());
    if (!c->output && make_folders(c->path))
        return EXIT_FAILED;
    snprintf(c->state, sizeof c->state, "%s.partial", c->path);
    c->search.output = c->path;
    c->search.state = c->state;
    return file_check_target(c->path) || file_check_target(c->state) ? EXIT_FAILED : 0;
}

static int check_output(struct command *c)
{
    struct ssa_device *device = NULL;
    int status, err = SSA_OK;
    if (!c->output && (err = ssa_device_open(&device, c->search.options.device)))
        return say_error("%s (%s)", ssa_last_error(), ssa_status_name(err));
    status = prepare_output(c, device);
    ssa_device_close(device);
    return status;
}

static void print_results(const struct search *s)
{
    double sum = 0;
    printf("%-36s %12s %12s %8s\n", "case", "before", "after", "");
    for (int i = 0; i < s->speed_count; i++) {
        const struct ssa_tuning_speed *v = &s->speeds[i];
        printf("%-36s %5.1f GFLOP/s %5.1f GFLOP/s %7.2fx\n", v->name, v->before, v->after, v->after / v->before);
        sum += log(v->after / v->before);
    }
    printf("%-36s %12s %12s %8.2fx\n", "geometric mean", "", "", exp(sum / s->speed_count));
    int changed = 0;
    for (int i = 0; i < s->count; i++)
        if (s->list[i].value != s->list[i].standard && ++changed)
            printf("%s: %s %d -> %d\n", s->list[i].kernel, s->list[i].name, s->list[i].standard, s->list[i].value);
    if (!changed)
        printf("nothing is faster than the defaults by more than %.0f%%\n", 100 * s->least_gain);
}

static int write_output(struct command *c, bool whole)
{
    struct search *s = &c->search;
    if (ssa_tuning_save(s->work.device, c->path, s->speeds, whole ? s->speed_count : 0))
        return say_error("%s", ssa_last_error());
    if (whole)
        unlink(c->state);
    say_result("%s: written; %s", c->path, c->output ? "taken when the device opens with SSACL_TUNING set to it"
                                                   : "taken when the device opens");
    return finish_stdout();
}

static int failed(const struct command *c, int err)
{
    const char *wrong = c->search.work.wrong;
    if (wrong)
        return say_error("%s: the untuned kernels compute wrong results on this device, which tuning cannot mend; ask "
                         "ssacl-doctor", wrong);
    return say_error("%s (%s)", *ssa_last_error() ? ssa_last_error() : "the search failed", ssa_status_name(err));
}

static int search(struct command *c)
{
    struct search *s = &c->search;
    bool resumed;
    int err = search_begin(s, c->fresh, &resumed);
    struct ssa_device_info info;
    ssa_device_info(s->work.device, &info);
    s->units = info.units;
    if (next_kernel(s, -1) >= s->count)
        return say_error("nothing to tune: no kernel of %s that is ours starts with \"%.40s\"", info.name,
                         s->options.kernel);
    if (err)
        return failed(c, err);
    if (resumed)
        say_note("goes on from %s, %zu candidates tried (--fresh begins anew)", c->state, json_object_size(s->tried));
    if (s->work.library)
        say_note("CLBlast multiplies matrices on this device: its tile sizes are its own, only attention is tuned "
                 "(SSACL_CLBLAST_LIBRARY= tunes our kernels)");
    ssa_set_log(NULL, NULL); /* candidates that do not build are no news */
    s->start = now_seconds();
    s->end = s->limit - 0.1 * c->seconds;
    progress_begin("tuning", fmax(s->end - s->start, 1));
    err = search_run(s);
    if (!err)
        err = search_confirm(s);
    progress_end();
    say_note("%d candidates tried, %d of them did not fit or were wrong", s->done, s->skipped);
    if (err && err != SSA_ESTOPPED)
        return failed(c, err);
    if (!err)
        print_results(s);
    search_apply(s);
    int status = write_output(c, !err);
    if (err == SSA_ESTOPPED && !status)
        say_note("stopped; the same command goes on where it was");
    return status ? status : err == SSA_ESTOPPED ? EXIT_INTERRUPTED : 0;
}

int tune_main(int argc, char **argv)
{
    static struct command c = {.seconds = 300, .search = {.options = {.device = "auto", .kernel = "", .width = 64}}};
    int quick = 0, busy = 0;
    double least_percent = 3;
    const struct arg table[] = {
        ARG_TEXT('d', "device", &c.search.options.device, "NAME",
                 "auto, cpu, opencl, opencl:0:0 or a part of a device's name"),
        ARG_REAL('s', "seconds", &c.seconds, 1, 86400, "N", "time limit; builds under way are waited for"),
        ARG_TEXT('o', "output", &c.output, "FILE", "default: where the library looks for it, ~/.config/ssacl/tuning"),
        ARG_REAL(0, "least-gain", &least_percent, 0, 100, "P", "percent that a change must gain"),
        ARG_TEXT('k', "kernel", &c.search.options.kernel, "NAME",
                 "only kernels whose names start so: attention_fwd, gemm"),
        ARG_INT(0, "width", &c.search.options.width, 8, 256, "D", "width of a head to tune for, a multiple of 8"),
        ARG_FLAG(0, "busy", &busy, "judge by processor time: for CPU devices, where others use the machine too"),
        ARG_FLAG(0, "fresh", &c.fresh,
                 "begin anew, neither where an earlier run was stopped nor from the file that there is"),
        ARG_FLAG('q', "quick", &quick, "small cases: to see that it works"),
        ARG_END};
    const struct args_page page = {
        .name = "ssacl-bench tune",
        .usage = "[options]",
        .about = "Searches the tile sizes of attention and matrix multiplication for this device. Every candidate is "
                 "first checked against the untuned kernels, themselves checked in double precision, then timed in "
                 "turns with the best so far. Ctrl-C writes the best so far; the same command then goes on.",
        .examples = "examples:\n  ssacl-bench tune --seconds 600\n"
                    "  ssacl-bench tune --device opencl:0:0 --output mine.json && SSACL_TUNING=mine.json ssacl-bench "
                    "attention\n"};
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    say_set_program("ssacl-bench tune");
    say_library_log(false);
    c.search.options.quick = quick;
    c.search.busy = busy;
    c.search.least_gain = least_percent / 100;
    if (c.search.options.width % 8)
        return say_error("--width is %d, must be a multiple of 8", c.search.options.width), EXIT_USAGE;
    if ((status = check_output(&c)))
        return status;
    signals_survive_writes();
    signals_catch();
    c.search.limit = now_seconds() + c.seconds;
    int err = work_open(&c.search.work, &c.search.options);
    status = err ? failed(&c, err) : search(&c);
    search_end(&c.search);
    return status;
}

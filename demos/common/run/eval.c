/* eval: a checkpoint on data held out, dense and as a self-ensemble. */
#include "devices.h"
#include "files.h"
#include "note.h"
#include "numbers.h"
#include "progress.h"
#include "run.h"
#include "signals.h"
#include "together.h"
#include "words.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MODE_BOTH, MODE_DENSE, MODE_ENSEMBLE, PASSES_MAX = 1000, OPTIONS_MAX = 64 };

static struct {
    const char *checkpoint, *pattern, *log;
    uint64_t seed;
    double tolerance;
    int part, mode, passes, windows, stride, context, batch, raw;
    struct arg_list with;
} options;
static struct train_options shared; /* those of it that eval has too */

static const struct unit *unit;   /* of losses */
static const struct judge *judge; /* NULL, or of answers */

/* Behind --checkpoint and what is said of the data. */
static const struct arg own_table[] = {
    ARG_CHOICE('p', "part", &options.part, "train|valid|test", "which part of it"),
    ARG_CHOICE('m', "mode", &options.mode, "both|dense|ensemble", "what to measure"),
    ARG_INT('M', "passes", &options.passes, 1, PASSES_MAX, "M", "passes of the ensemble"),
    ARG_REAL(0, "tolerance", &options.tolerance, 0, 8, "B",
             "end the ensemble sooner, once it is within B (in the unit of the losses) of where more passes would take "
             "it; 0: all passes"),
    ARG_TEXT(0, "pattern", &options.pattern, "STAGE",
             "how the ensemble samples, as a stage of `train` is written: local:ratio=0.25,look-back"),
    ARG_LIST(0, "with", &options.with, "FILE",
             "another checkpoint of such a model, and (repeated) more: what dense passes of all of them say together, "
             "their answers averaged as those of an ensemble's passes"),
    ARG_INT('w', "windows", &options.windows, 0, INT_MAX, "N", "at most so many windows, spread evenly; 0: all"),
    ARG_INT(0, "stride", &options.stride, 0, INT_MAX, "N",
            "from one window's start to the next's: below the model's length they overlap, and what is predicted has "
            "more before it; 0: no overlap"),
    ARG_INT(0, "context", &options.context, 0, INT_MAX, "N",
            "the same said by what overlaps: so much of a window is read and not counted, a stride of the length less "
            "N; only the first window has nothing before it"),
    ARG_INT('b', "batch", &options.batch, 1, 65536, "N", "windows in a pass"),
    ARG_U64('s', "seed", &options.seed, "N", "of the samples"),
    ARG_TEXT('l', "log", &options.log, "FILE", "add the result to the log of the run, for `report`"),
    ARG_FLAG('f', "force", &shared.force, "add it to the log of another run, too; replace files that are there"),
    ARG_NAMES(0, "device", &shared.device, "NAMES", DEVICES_HELP "; several share passes and windows"),
    ARG_CHOICE(0, "precision", &shared.precision, PRECISIONS, PRECISION_HELP),
    ARG_FLAG('v', "verbose", &shared.verbose, "what the library logs, too"),
    ARG_FLAG(0, "json", &shared.json, "one object on stdout"),
    ARG_END};

static void on_progress(void *cookie, double done)
{
    progress_update(done, -1, "%s", (const char *)cookie);
}

/* Of a pass; `words`: for people. */
static struct ssa_evaluate how_to(const char *words)
{
    return (struct ssa_evaluate){.windows = (size_t)options.windows, .stride = (size_t)options.stride,
                                 .seed = options.seed, .stop = &interrupted, .progress = on_progress,
                                 .cookie = (void *)(uintptr_t)words, .answer = judge ? judge->answer : NULL};
}

static int measure(struct ssa_model *model, const struct settings *s, const struct ssa_pattern *pattern, int passes,
                   struct ssa_scores *scores, double *ensemble)
{
    struct ssa_evaluate how = how_to(pattern ? "self-ensemble" : "dense");
    how.pattern = pattern;
    how.passes = passes;
    how.tolerance = pattern ? options.tolerance * unit->nats : 0;
    if (judge && judge->begin(s, pattern != NULL, passes))
        return EXIT_FAILED;
    progress_begin("evaluating", 1);
    int status = ssa_evaluate(model, &s->data.part[options.part], &how, scores, ensemble, NULL);
    progress_end();
    if (status)
        return status == SSA_ESTOPPED ? EXIT_INTERRUPTED : library_failed();
    return isfinite(scores->loss) ? 0
        : say_error("%s: its loss is %g: weights of it are not numbers, or far too large; train it anew with a smaller "
                    "--lr, from a checkpoint before this", options.checkpoint, scores->loss);
}

/* Of a loss an item what it is a byte of the text; 0: that is not told. */
static double bytes_an_item;
static double nats_per_byte(double loss)
{
    return loss / bytes_an_item;
}

static json_t *scores_json(const struct ssa_scores *s)
{
    char items[64];
    json_t *object = json_pack("{s:o, s:I, s:o}", "loss", number_json(s->loss),
                               unit_items(unit, "", items), (json_int_t)s->tokens, "seconds",
                               number_json(s->seconds));
    unit_record(unit, object, "", s->loss);
    if (bytes_an_item > 0) {
        json_object_set_new(object, "bits_per_byte", number_json(nats_per_byte(s->loss) / log(2)));
        json_object_set_new(object, "perplexity_per_byte", number_json(exp(nats_per_byte(s->loss))));
    }
    return object;
}

/* That were run. */
static int passes_of(const struct ssa_scores *s)
{
    return options.tolerance > 0 ? s->passes : options.passes;
}

static json_t *ensemble_json(const struct ssa_scores *s, const struct ssa_pattern *pattern, const double *ensemble)
{
    char text[STAGE_TEXT];
    json_t *object = scores_json(s), *curve = json_array();
    struct ssa_stage stage = {.pattern = *pattern};
    stage_format(&stage, 1, text, sizeof text);
    int passes = passes_of(s);
    for (int m = 0; m < passes; m++)
        json_array_append_new(curve, number_json(unit_loss(unit, ensemble[m])));
    json_object_set_new(object, "pattern", json_string(text));
    json_object_set_new(object, "passes", json_integer(passes));
    if (options.tolerance > 0)
        json_object_set_new(object, "unsettled", number_json(unit_loss(unit, s->unsettled)));
    unit_set(unit, object, "single_", "", number_json(unit_loss(unit, s->single)));
    json_object_set_new(object, "single_spread", number_json(unit_loss(unit, s->single_spread)));
    unit_set(unit, object, "", "_of_first", curve);
    return object;
}

/* ---- for people ---- */

/* `passes`: of which the judge has a row, if there is one. */
static void print_row(const char *name, int passes, double loss, const char *rest)
{
    char row[64];
    printf("  %-26s %s%8.4f %s\n", name, judge ? judge->row(passes, row) : "", unit_loss(unit, loss), rest);
}

/* The unit, and what this loss is as perplexity. */
static void print_first(const char *name, double loss)
{
    char rest[64];
    if (unit->perplexity)
        snprintf(rest, sizeof rest, "%s (perplexity %.2f)", unit->name, exp(loss));
    print_row(name, 1, loss, unit->perplexity ? rest : unit->name);
}

static void print_per_byte(double loss)
{
    if (bytes_an_item > 0)
        printf("  %-26s %8.4f bits per byte (perplexity %.3f), of %.3f bytes a %s\n", "", nats_per_byte(loss) / log(2),
               exp(nats_per_byte(loss)), bytes_an_item, unit->item);
}

static void print_ensemble(const struct ssa_scores *s, const double *ensemble)
{
    static const int at[] = {2, 5, 10, 25, 50, 100, 250, 500};
    char name[64], rest[64] = "";
    int passes = passes_of(s);
    if (passes > 1)
        snprintf(rest, sizeof rest, "+- %.4f over %d passes", unit_loss(unit, s->single_spread), passes);
    print_row("one sampled pass", 0, s->single, rest);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i] < passes) {
            snprintf(name, sizeof name, "self-ensemble of %d", at[i]);
            print_row(name, at[i], ensemble[at[i] - 1], "");
        }
    if (passes > 1) {
        snprintf(name, sizeof name, "self-ensemble of %d", passes);
        snprintf(rest, sizeof rest, "(perplexity %.2f)", exp(s->loss));
        print_row(name, passes, s->loss, unit->perplexity ? rest : "");
        print_per_byte(s->loss);
    }
    if (options.tolerance > 0 && isfinite(s->unsettled))
        printf("  %d of %d passes, %s: infinitely many would give that +- %.4f\n", passes, options.passes,
               unit_loss(unit, s->unsettled) <= options.tolerance ? "settled" : "not settled",
               unit_loss(unit, s->unsettled));
}

/* ---- the command ---- */

/* Of the ensemble, `said` where it is said; NULL if there is none. */
static int choose_pattern(const struct settings *s, struct ssa_pattern *said, const struct ssa_pattern **pattern)
{
    *pattern = options.pattern ? said : sampled_pattern(s->source);
    if (!*pattern && options.mode == MODE_ENSEMBLE)
        return say_error("%s: was trained without sampling; say how to sample with --pattern", options.checkpoint);
    return options.pattern ? settings_pattern(s, options.pattern, false, said) : 0;
}

static void add_judged(json_t *result, const char *name, int passes)
{
    if (judge)
        judge->record(json_object_get(result, name), "", passes);
}

static void print_judged(void)
{
    if (judge && judge->print && !shared.json)
        judge->print();
}

/* Last of all, as it leaves other weights in the model. */
static int evaluate_together(const struct loaded *loaded, const struct settings *s, json_t *result)
{
    const struct ssa_evaluate how = how_to("together");
    const int models = options.with.count + 1;
    double loss, single;
    char name[64];
    progress_begin("evaluating", 1);
    const int status = together_measure(loaded, s, &options.with, judge, &how, options.raw, &loss, &single);
    progress_end();
    if (status)
        return status;
    json_t *object = json_pack("{s:i, s:o}", "count", models, "loss", number_json(loss)), *with = json_array();
    for (int i = 0; i < options.with.count; i++)
        json_array_append_new(with, json_text(options.with.items[i]));
    json_object_set_new(object, "with", with);
    unit_record(unit, object, "", loss);
    unit_set(unit, object, "single_", "", number_json(unit_loss(unit, single)));
    json_object_set_new(result, "models", object);
    add_judged(result, "models", models);
    if (shared.json)
        return 0;
    snprintf(name, sizeof name, "one of %d models, dense", models);
    print_row(name, 0, single, "");
    snprintf(name, sizeof name, "%d models together", models);
    print_row(name, models, loss, "");
    return 0;
}

static int evaluate(const struct loaded *loaded, const struct settings *s, const struct ssa_pattern *pattern,
                    json_t *result)
{
    struct ssa_model *model = loaded->model;
    struct ssa_scores scores = {0};
    double ensemble[PASSES_MAX];
    int status = 0;
    if (judge && !shared.json)
        printf("  %-26s %s\n", "", judge->heads);
    if (options.mode != MODE_ENSEMBLE && (status = measure(model, s, NULL, 1, &scores, NULL)) == 0) {
        json_object_set_new(result, "dense", scores_json(&scores));
        add_judged(result, "dense", 1);
        if (!shared.json) {
            print_first("dense", scores.loss);
            print_per_byte(scores.loss);
        }
        print_judged();
    }
    if (!status && options.mode != MODE_DENSE && pattern &&
        (status = measure(model, s, pattern, options.passes, &scores, ensemble)) == 0) {
        json_object_set_new(result, "ensemble", ensemble_json(&scores, pattern, ensemble));
        add_judged(result, "ensemble", passes_of(&scores));
        if (!shared.json)
            print_ensemble(&scores, ensemble);
        print_judged();
    }
    if (!status && options.with.count)
        status = evaluate_together(loaded, s, result);
    return status || !judge || !judge->end ? status : judge->end();
}

/* What a start of the checkpoint's run says. */
static json_t *start_of(const struct ssa_checkpoint *checkpoint)
{
    const struct ssa_model_config *model = ssa_checkpoint_model(checkpoint);
    const struct ssa_train_config *training = ssa_checkpoint_training(checkpoint);
    json_t *start = json_pack("{s:o, s:I}", "model", model_json(model), "parameters",
                              (json_int_t)ssa_model_elements(model));
    if (training) {
        json_object_set_new(start, "seed", u64_json(training->seed));
        json_object_set_new(start, "batch", json_integer(training->batch));
    }
    return start;
}

/* The log must be of the checkpoint's run, unless --force. */
static int check_run(const struct ssa_checkpoint *checkpoint, const struct run *log)
{
    json_t *start = start_of(checkpoint);
    const char *other = shared.force ? NULL : run_other_field(log->start, start);
    int status = other ? say_error("%s: is the log of another run than %s (its \"%s\" is another); give another --log, "
                                   "or add to it with --force", options.log, options.checkpoint, other)
                       : 0;
    json_decref(start);
    return status;
}

static int write_log(json_t *result)
{
    struct log_file log;
    json_t *record = json_copy(result);
    json_object_set_new(record, "event", json_string("test"));
    int status = log_open(&log, options.log, LOG_ADD) || log_write(&log, record);
    return log_close(&log) || status ? EXIT_FAILED : 0;
}

/* Of the checkpoint, whose file stays the loaded model's. */
static int open_data(const struct program *p, struct ssa_checkpoint *checkpoint, struct settings *s)
{
    *s = (struct settings){.program = p, .o = &shared, .source_name = options.checkpoint, .source = checkpoint,
                           .model = *ssa_checkpoint_model(checkpoint), .micro_batch = options.batch,
                           .measured = (enum data_part)options.part};
    if (!shared.data.count)
        return say_error("no %s: give --data FILE (see --help)", p->what);
    if (p->open(s))
        return EXIT_FAILED;
    unit = s->data.unit;
    judge = s->data.judge;
    bytes_an_item = s->data.bytes[options.part];
    return settings_count(s, options.part)
        ? 0
        : say_error("%s: has no such part as --part says", shared.data.items[0]);
}

static json_t *begin_result(const struct loaded *loaded, const struct settings *s)
{
    static const char *const part_names[] = {"train", "valid", "test"};
    const int step = ssa_checkpoint_step(loaded->checkpoint);
    struct train_note note = note_read(s->program, loaded->checkpoint, s->data.fingerprint);
    const size_t all = settings_count(s, options.part);
    char of[32] = "";
    if (s->program->sequence && options.windows && (size_t)options.windows < all)
        snprintf(of, sizeof of, "%d of ", options.windows);
    json_t *result = json_pack("{s:o, s:b, s:s, s:i, s:i, s:i, s:o}", "checkpoint", json_text(options.checkpoint),
                               "averaged", loaded->averaged, "part", part_names[options.part], "step", step, "length",
                               ssa_model_length(&s->model), "stride", options.stride, "device",
                               device_json(ssa_model_device(loaded->model)));
    if (!shared.json)
        say_result("%s after step %d%s, on the %s part (%s%zu %s%s)", options.checkpoint, step,
                   loaded->averaged ? " (the average of its weights)" : "", part_names[options.part], of, all,
                   unit_datum(unit), all == 1 ? "" : "s");
    if (!unit->unnamed)
        json_object_set_new(result, "unit", json_string(unit->name));
    note_add_same(s->program, &note, result);
    if (note.known && !note.same)
        say_note("%s was trained on other %s (or in another order of --data): what is held out of this one may not "
                 "be new to it", options.checkpoint, s->program->what);
    return result;
}

static int run(struct loaded *loaded, struct settings *s, const struct program *p, const struct run *log,
               struct ssa_pattern *said)
{
    const struct ssa_pattern *pattern;
    if (load_model(loaded, p, shared.device, shared.precision, options.checkpoint, options.batch, !options.raw) ||
        check_run(loaded->checkpoint, log) || together_check(loaded, &options.with) ||
        open_data(p, loaded->checkpoint, s))
        return EXIT_FAILED;
    int status = choose_pattern(s, said, &pattern), length = ssa_model_length(&s->model);
    if (status)
        return status;
    if (options.stride > length)
        return say_error("--stride is %d, must be at most the model's length, %d", options.stride, length);
    if (options.context >= length)
        return say_error("--context is %d, must be below the model's length, %d", options.context, length);
    if (options.context && options.stride)
        return say_error("--stride and --context say the same: give one of them");
    options.stride = options.context ? length - options.context : options.stride;
    json_t *result = begin_result(loaded, s);
    signals_catch();
    status = evaluate(loaded, s, pattern, result);
    json_object_set_new(result, "precision", json_string(precision_name(shared.precision)));
    json_object_set_new(result, "devices", devices_json(loaded->pool)); /* with who was lost */
    if (!status && options.log)
        status = write_log(result);
    if (!status)
        status = shared.json ? print_json(json_incref(result)) : finish_stdout();
    json_decref(result);
    return status;
}

/* Reads the log that the result is added to. */
static int check_files(struct run *log)
{
    struct files files = {0};
    for (int i = 0; i < shared.data.count; i++)
        files_read(&files, "--data", shared.data.items[i]);
    files_read(&files, "--checkpoint", options.checkpoint);
    for (int i = 0; i < options.with.count; i++)
        files_read(&files, "--with", options.with.items[i]);
    files_write(&files, "--log", options.log);
    if (files_check(&files))
        return EXIT_FAILED;
    return options.log && file_holds_something(options.log) ? run_read(log, options.log) : 0;
}

static void make_table(const struct program *p, struct arg table[OPTIONS_MAX + 1])
{
    const struct arg first[] = {
        ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
        ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
        ARG_LIST('d', "data", &shared.data, p->sequence ? "PATH" : "FILE", p->eval.data), ARG_END};
    int count = args_append(table, 0, OPTIONS_MAX, first);
    count = args_append(table, count, OPTIONS_MAX, p->eval.options);
    args_append(table, count, OPTIONS_MAX, own_table);
    rename_options(p, table);
}

int eval_main(const struct program *p, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(p, "eval"), .about = p->eval.about,
                                   .usage = "--checkpoint FILE --data FILE [options]", .examples = p->eval.examples};
    static struct arg table[OPTIONS_MAX + 1];
    static struct settings s;
    struct ssa_pattern said = {0};
    struct loaded loaded = {0};
    struct run log = {0};
    p->defaults(&shared);
    make_table(p, table);
    options.part = PART_TEST;
    options.passes = 10;
    options.batch = shared.micro_batch ? shared.micro_batch : 8;
    shared.device = "auto";
    int status = parse_options(table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (options.log && access(options.log, W_OK) != 0)
        return say_error("%s: cannot be written: %s; --log names the log of the run", options.log, strerror(errno));
    if (check_files(&log))
        return EXIT_FAILED;
    say_set_quiet(shared.json);
    say_library_log(shared.verbose);
    status = run(&loaded, &s, p, &log, &said);
    free((void *)said.layers);
    run_free(&log);
    unload_model(&loaded);
    p->close(&s);
    return status;
}

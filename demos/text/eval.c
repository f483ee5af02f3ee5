/* ssacl-text eval: a checkpoint on held-out text, dense and as a self-ensemble. */
#include "command.h"

#include "devices.h"
#include "files.h"
#include "numbers.h"
#include "words.h"
#include "progress.h"
#include "run.h"
#include "stages.h"
#include "text.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { MODE_BOTH, MODE_DENSE, MODE_ENSEMBLE, PASSES_MAX = 1000 };

static struct {
    const char *checkpoint, *device, *pattern, *log;
    struct arg_list data;
    uint64_t seed;
    double tolerance;
    int part, mode, passes, windows, stride, batch, raw, force, json, verbose, tokens;
} options;

static const struct unit *unit; /* of losses */

static const char about[] =
    "Measures a checkpoint on text that it was not trained on: window after window, each byte predicted once; "
    "in bits a byte, or where tokens are no bytes, in nats a token and as perplexity.\n"
    "\n"
    "dense: one pass in which every query sees every key. ensemble: the self-ensemble of the paper, M passes that "
    "each sample anew, their probabilities averaged for every byte (token), log(1/M sum p). Beside it stand the "
    "mean and the standard deviation of the single passes. With --tolerance there are no more passes than it takes: it "
    "ends once the result is within that of what infinitely many passes would give, by what the last doubling of the passes "
    "changed and by the scatter of the single ones. The sample is that of the checkpoint's last sampled stage, or "
    "what --pattern says; a checkpoint without one is measured dense only.";

static const char examples[] =
    "examples:\n"
    "  ssacl-text eval --checkpoint ssa.safetensors --data enwik8 --passes 50\n"
    "  ssacl-text eval --checkpoint ssa.safetensors --data enwik8 --passes 200 --tolerance 0.002 --device all\n"
    "  ssacl-text eval --checkpoint dense.safetensors --data enwik8 --pattern unbiased:ratio=0.5\n";

static const struct arg table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_LIST('d', "data", &options.data, "FILE",
             "the text it was trained on, - for stdin; the part held out is found as `train` does. Of other text that "
             "is said, and with --json \"same_text\" is false"),
    ARG_CHOICE(0, "tokens", &options.tokens, TEXT_TOKEN_NAMES, TOKENS_HELP "; if not said, as it was trained on"),
    ARG_CHOICE('p', "part", &options.part, TEXT_PART_NAMES, "which part of it"),
    ARG_CHOICE('m', "mode", &options.mode, "both|dense|ensemble", "what to measure"),
    ARG_INT('M', "passes", &options.passes, 1, PASSES_MAX, "M", "passes of the ensemble"),
    ARG_REAL(0, "tolerance", &options.tolerance, 0, 8, "B",
             "end the ensemble sooner, once it is within B bits (nats, of tokens) of where more passes would take it; "
             "0: all passes"),
    ARG_TEXT(0, "pattern", &options.pattern, "STAGE",
             "how the ensemble samples, as a stage of `train` is written: local:ratio=0.25,look-back"),
    ARG_INT('w', "windows", &options.windows, 0, INT_MAX, "N", "at most so many windows, spread evenly; 0: all"),
    ARG_INT(0, "stride", &options.stride, 0, INT_MAX, "N",
            "bytes (tokens) from one window's start to the next's: below the model's length they overlap, and a byte "
            "sees more of what came before it; 0: no overlap"),
    ARG_INT('b', "batch", &options.batch, 1, 65536, "N", "windows in a pass"),
    ARG_U64('s', "seed", &options.seed, "N", "of the samples"),
    ARG_TEXT('l', "log", &options.log, "FILE", "add the result to the log of the run, for `report`"),
    ARG_FLAG('f', "force", &options.force, "add it to the log of another run, too"),
    ARG_NAMES(0, "device", &options.device, "NAMES", DEVICES_HELP "; several share passes and windows"),
    ARG_FLAG('v', "verbose", &options.verbose, "what the library logs, too"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static void on_progress(void *cookie, double done)
{
    progress_update(done, -1, "%s", (const char *)cookie);
}

static int measure(struct ssa_model *model, const struct ssa_data *data, const struct ssa_pattern *pattern, int passes,
                   struct ssa_scores *scores, double *ensemble)
{
    struct ssa_evaluate how = {.pattern = pattern, .passes = passes,
                                 .windows = (size_t)options.windows, .stride = (size_t)options.stride,
                                 .seed = options.seed, .stop = &interrupted, .progress = on_progress,
                                 .cookie = pattern ? "self-ensemble" : "dense",
                                 .tolerance = pattern ? options.tolerance * unit->nats : 0};
    progress_begin("evaluating", 1);
    int status = ssa_evaluate(model, data, &how, scores, ensemble, NULL);
    progress_end();
    if (status)
        return status == SSA_ESTOPPED ? EXIT_INTERRUPTED : library_failed();
    return isfinite(scores->loss) ? 0
        : say_error("%s: its loss is %g: weights of it are not numbers, or far too large; train it anew with a smaller "
                    "--lr, from a checkpoint before this", options.checkpoint, scores->loss);
}

static json_t *scores_json(const struct ssa_scores *s)
{
    json_t *object = json_pack("{s:o, s:I, s:o}", "loss", number_json(s->loss),
                               unit->perplexity ? "tokens" : "bytes", (json_int_t)s->tokens, "seconds",
                               number_json(s->seconds));
    unit_record(unit, object, "", s->loss);
    return object;
}

/* That were run. */
static int passes_of(const struct ssa_scores *s)
{
    return options.tolerance > 0 ? s->passes : options.passes;
}

/* "single_bits" of "single_", of tokens "single_loss". */
static void set_loss(json_t *object, const char *before, const char *behind, json_t *value)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s%s", before, unit->key, behind);
    json_object_set_new(object, key, value);
}

static json_t *ensemble_json(const struct ssa_scores *s, const struct ssa_pattern *pattern, const double *ensemble)
{
    char text[256];
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
    set_loss(object, "single_", "", number_json(unit_loss(unit, s->single)));
    json_object_set_new(object, "single_spread", number_json(unit_loss(unit, s->single_spread)));
    set_loss(object, "", "_of_first", curve);
    return object;
}

/* ---- for people ---- */

static void print_row(const char *name, double loss, const char *rest)
{
    printf("  %-26s %8.4f %s\n", name, unit_loss(unit, loss), rest);
}

/* The unit, and what this loss is as perplexity. */
static void print_first(const char *name, double loss)
{
    char rest[64];
    if (unit->perplexity)
        snprintf(rest, sizeof rest, "%s (perplexity %.2f)", unit->name, exp(loss));
    print_row(name, loss, unit->perplexity ? rest : unit->name);
}

static void print_ensemble(const struct ssa_scores *s, const double *ensemble)
{
    static const int at[] = {2, 5, 10, 25, 50, 100, 250, 500};
    char name[64], rest[64] = "";
    int passes = passes_of(s);
    if (passes > 1)
        snprintf(rest, sizeof rest, "+- %.4f over %d passes", unit_loss(unit, s->single_spread), passes);
    print_row("one sampled pass", s->single, rest);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i] < passes) {
            snprintf(name, sizeof name, "self-ensemble of %d", at[i]);
            print_row(name, ensemble[at[i] - 1], "");
        }
    if (passes > 1) {
        snprintf(name, sizeof name, "self-ensemble of %d", passes);
        snprintf(rest, sizeof rest, "(perplexity %.2f)", exp(s->loss));
        print_row(name, s->loss, unit->perplexity ? rest : "");
    }
    if (options.tolerance > 0 && isfinite(s->unsettled))
        printf("  %d of %d passes, %s: infinitely many would give that +- %.4f\n", passes, options.passes,
               unit_loss(unit, s->unsettled) <= options.tolerance ? "settled" : "not settled",
               unit_loss(unit, s->unsettled));
}

/* ---- the command ---- */

/* The pattern of the ensemble; NULL if there is none. */
static int choose_pattern(const struct ssa_checkpoint *checkpoint, struct ssa_stage stages[STAGES_MAX],
                          const struct ssa_pattern **pattern)
{
    const struct ssa_stage preset = {.pattern.ratio = 0.25f, .steps = 1};
    int count;
    *pattern = sampled_pattern(checkpoint);
    if (options.pattern) {
        int status = stages_parse(options.pattern, &preset, stages, &count);
        if (status)
            return status;
        *pattern = &stages[0].pattern;
        if (count != 1 || stages[0].pattern.kind == SSA_DENSE)
            return say_error("--pattern: '%s' is not one stage of unbiased or local sampling", options.pattern);
    }
    if (!*pattern && options.mode == MODE_ENSEMBLE)
        return say_error("%s: was trained without sampling; say how to sample with --pattern", options.checkpoint);
    return 0;
}

static int evaluate(struct ssa_model *model, const struct ssa_data *data, const struct ssa_pattern *pattern,
                    json_t *result)
{
    struct ssa_scores scores = {0};
    double ensemble[PASSES_MAX];
    int status = 0;
    if (options.mode != MODE_ENSEMBLE && (status = measure(model, data, NULL, 1, &scores, NULL)) == 0) {
        json_object_set_new(result, "dense", scores_json(&scores));
        if (!options.json)
            print_first("dense", scores.loss);
    }
    if (!status && options.mode != MODE_DENSE && pattern &&
        (status = measure(model, data, pattern, options.passes, &scores, ensemble)) == 0) {
        json_object_set_new(result, "ensemble", ensemble_json(&scores, pattern, ensemble));
        if (!options.json)
            print_ensemble(&scores, ensemble);
    }
    return status;
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
    const char *other = options.force ? NULL : run_other_field(log->start, start);
    json_decref(start);
    return other ? say_error("%s: is the log of another run than %s (its \"%s\" is another); give another --log, or "
                             "add to it with --force", options.log, options.checkpoint, other)
                 : 0;
}

static int write_log(json_t *result)
{
    struct log_file log;
    json_t *record = json_copy(result);
    json_object_set_new(record, "event", json_string("test"));
    int status = log_open(&log, options.log, LOG_ADD) || log_write(&log, record);
    return log_close(&log) || status ? EXIT_FAILED : 0;
}

static int load_text(struct text *text, const struct ssa_checkpoint *checkpoint)
{
    const struct ssa_model_config *model = ssa_checkpoint_model(checkpoint);
    int token_size = settle_tokens(options.tokens, checkpoint, options.checkpoint);
    unit = unit_of(token_size);
    return !token_size || text_load(text, &options.data, token_size, model->gpt.length) ||
           text_check_ids(text, model->gpt.vocabulary);
}

static int run(struct loaded *loaded, struct text *text, const struct run *log)
{
    static const char *const part_names[] = {"train", "valid", "test"};
    struct ssa_stage stages[STAGES_MAX];
    const struct ssa_pattern *pattern;
    if (load_model(loaded, options.device, options.checkpoint, options.batch, !options.raw) ||
        check_run(loaded->checkpoint, log) ||
        load_text(text, loaded->checkpoint))
        return EXIT_FAILED;
    int status = choose_pattern(loaded->checkpoint, stages, &pattern);
    int length = ssa_checkpoint_model(loaded->checkpoint)->gpt.length;
    if (status)
        return status;
    if (options.stride > length)
        return say_error("--stride is %d, must be at most the model's length, %d", options.stride, length);
    struct ssa_data data = text_data(text, (enum text_part)options.part);
    struct train_note note = read_train_note(loaded->checkpoint, text);
    json_t *result = json_pack("{s:o, s:b, s:s, s:i, s:i, s:i, s:o}", "checkpoint", json_text(options.checkpoint),
                               "averaged", loaded->averaged, "part", part_names[options.part], "step",
                               ssa_checkpoint_step(loaded->checkpoint), "length", length, "stride", options.stride,
                               "device", device_json(ssa_model_device(loaded->model)));
    if (!options.json)
        say_result("%s after step %d%s, on the %s part (%zu %ss)", options.checkpoint,
                   ssa_checkpoint_step(loaded->checkpoint), loaded->averaged ? " (the average of its weights)" : "",
                   part_names[options.part], data.count, unit->item);
    if (unit->perplexity)
        json_object_set_new(result, "unit", json_string(unit->name));
    json_object_set_new(result, "same_text", same_text_json(&note));
    if (note.known && !note.same)
        say_note("%s was trained on other text (or in another order of --data): what is held out of this one may not "
                 "be new to it", options.checkpoint);
    signals_catch();
    status = evaluate(loaded->model, &data, pattern, result);
    json_object_set_new(result, "devices", devices_json(loaded->pool)); /* with who was lost */
    if (!status && options.log)
        status = write_log(result);
    if (!status)
        status = options.json ? print_json(json_incref(result)) : finish_stdout();
    json_decref(result);
    return status;
}

/* Reads the log that the result is added to. */
static int check_files(struct run *log)
{
    struct files files = {0};
    for (int i = 0; i < options.data.count; i++)
        files_read(&files, "--data", options.data.items[i]);
    files_read(&files, "--checkpoint", options.checkpoint);
    files_write(&files, "--log", options.log);
    if (files_check(&files))
        return EXIT_FAILED;
    return options.log && file_holds_something(options.log) ? run_read(log, options.log) : 0;
}

static const struct args_page page = {.name = "ssacl-text eval", .usage = "--checkpoint FILE --data FILE [options]",
                                       .about = about, .examples = examples};

int eval_main(int argc, char **argv)
{
    struct loaded loaded = {0};
    struct text text = {0};
    struct run log = {0};
    options.part = TEXT_TEST;
    options.tokens = -1;
    options.passes = 10;
    options.batch = 8;
    options.device = "auto";
    int status = parse_options(table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (options.log && access(options.log, W_OK) != 0)
        return say_error("%s: cannot be written: %s; --log names the log of the run", options.log, strerror(errno));
    if (check_files(&log))
        return EXIT_FAILED;
    say_set_quiet(options.json);
    say_library_log(options.verbose);
    status = run(&loaded, &text, &log);
    run_free(&log);
    unload_model(&loaded);
    text_free(&text);
    return status;
}

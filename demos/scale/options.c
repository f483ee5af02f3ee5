#include "job.h"

#include "args.h"
#include "files.h"
#include "model.h"
#include "say.h"

#include <jansson.h>
#include <ssacl/ssacl.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct scale_options options;
static struct {
    struct ssa_model_config model;
    const char *bench, *pick, *ranks, *bandwidths;
    double gflops, tokens_per_second, memory, latency, sum, copy;
    int alone;
} raw;

static const char about[] =
    "Tells what training on many ranks would cost, before there are any: bytes that a rank sends in a step, the "
    "bandwidth at which the all-reduce of the gradients hides behind backward, and the efficiency at given bandwidths: "
    "the rate of R ranks over R times that of one.\n"
    "A step of alike ranks is simulated: forward, backward, from which each layer's gradients leave as soon as they "
    "are there, their all-reduce, the update. How fast a rank computes is measured, not guessed: --bench takes it from "
    "a file of `ssacl-bench step`; or say --gflops, or --tokens-per-second of the model. Without a model of your own: "
    "10 million, 250 million and 1 billion parameters.\n"
    "Nothing is said of ranks that wait for a slow one, nor of a network that others use.";

static const char examples[] =
    "examples:\n"
    "  ssacl-bench step --output mine.json && ssacl-scale --bench mine.json\n"
    "  ssacl-scale --gflops 12000 --memory 1500 --accumulate 4 --chart scale.svg\n"
    "  mpirun -n 4 ssacl-scale --measure\n"
    "  ssacl-scale --layers 6 --width 256 --length 512 --tokens-per-second 2900 --ranks 1,2,4 --gbit 20 --alone\n";

static const struct arg rank_table[] = {
    ARG_HEADING("how fast a rank is"),
    ARG_TEXT(0, "bench", &raw.bench, "FILE.json",
             "rates of forward and backward and of the update, as `ssacl-bench step` measured them"),
    ARG_TEXT(0, "case", &raw.pick, "WORDS", "of that file: the case with these words in its name; else the first"),
    ARG_REAL(0, "gflops", &raw.gflops, 1e-3, 1e9, "X", "rate of forward and backward; what ssacl-bench calls GFLOP/s"),
    ARG_REAL(0, "tokens-per-second", &raw.tokens_per_second, 1e-3, 1e12, "X", "the same, of the model given"),
    ARG_REAL(0, "memory", &raw.memory, 0, 1e6, "GB/S",
             "rate of the update, which moves 32 bytes a parameter; 0: counted as nothing"),
    ARG_REAL(0, "processors", &options.processors, 0, 1e6, "N",
             "so many ranks compute at once, more share; 0: each its own"),
    ARG_HEADING("model (the three, if none of --layers, --width)"),
    ARG_END};

/* What counts of a model here. */
static const struct model_option sizes[] = {
    {.field = "layers"}, {.field = "width"}, {"length", 'N', 8, "tokens in a sequence (default: 512, 1024 and 2048)"},
    {.field = "vocabulary"}, {.field = "untied"}, {0}};

static const struct arg step_table[] = {
    ARG_REAL('r', "ratio", &options.ratio, 1e-6, 1, "R", "keys that a query sees, of all"),
    ARG_HEADING("a step"),
    ARG_INT('b', "batch", &options.batch, 1, 65536, "N", "sequences in a micro-batch"),
    ARG_INT(0, "accumulate", &options.accumulate, 1, 65536, "N", "micro-batches of a rank in a step"),
    ARG_INT(0, "global-batch", &options.global_batch, 1, 1 << 28, "N",
            "sequences in a step of all ranks, however many there are, in place of --accumulate"),
    ARG_HEADING("network"),
    ARG_TEXT(0, "ranks", &raw.ranks, "LIST", "numbers of ranks"),
    ARG_TEXT(0, "gbit", &raw.bandwidths, "LIST", "bandwidths of a rank's link, Gbit/s, each way"),
    ARG_REAL(0, "latency", &raw.latency, 0, 1e6, "US", "microseconds a message"),
    ARG_CHOICE(0, "all-reduce", &options.link.algorithm, SCALE_ALGORITHMS, "its algorithm"),
    ARG_REAL(0, "sum", &raw.sum, 0, 1e6, "GB/S", "gradients that a rank adds to others' in a second; 0: no time"),
    ARG_REAL(0, "copy", &raw.copy, 0, 1e6, "GB/S", "between device and host memory, each way; 0: no time"),
    ARG_FLAG(0, "alone", &raw.alone,
             "the all-reduce waits for the end of backward: where one core does both, nothing hides"),
    ARG_FLAG(0, "measure", &options.measure,
             "under mpirun or srun: measure latency and bandwidth of the all-reduce, and nothing else"),
    ARG_HEADING("output"),
    ARG_TEXT(0, "chart", &options.chart, "FILE.svg", "also draw efficiency against ranks (needs gnuplot)"),
    ARG_TEXT(0, "title", &options.title, "TEXT", "of the chart"),
    ARG_FLAG(0, "markdown", &options.markdown, "tables for a README"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

enum { OPTIONS_MAX = 64 };

static int wrong(const char *why)
{
    say_error("%s", why);
    return EXIT_USAGE;
}

/* "1,2,4" */
static int parse_list(const char *option, const char *words, double low, double high, struct scale_list *list)
{
    char word[32];
    list->count = 0;
    while (words) {
        size_t n = strcspn(words, ",");
        snprintf(word, sizeof word, "%.*s", (int)(n < 31 ? n : 31), words);
        if (list->count == SCALE_LIST || parse_real(word, low, high, &list->items[list->count++])) {
            say_error("--%s: '%s' is not a list of up to %d numbers from %g to %.10g, as 1,2,4 is", option, words,
                      SCALE_LIST, low, high);
            return EXIT_USAGE;
        }
        words = words[n] ? words + n + 1 : NULL;
    }
    return 0;
}

static int parse_ranks(void)
{
    int status = parse_list("ranks", raw.ranks, 1, 1 << 20, &options.ranks);
    for (int i = 0; i < options.ranks.count && !status; i++)
        if (options.ranks.items[i] != floor(options.ranks.items[i]))
            status = wrong("--ranks: they are whole numbers");
    return status;
}

/* ---- models ---- */

static int choose_models(void)
{
    static const struct ssa_model_config presets[SCALE_MODELS] = {
        {.gpt.layers = 6, .gpt.width = 384, .gpt.length = 512},
        {.gpt.layers = 20, .gpt.width = 1024, .gpt.length = 1024},
        {.gpt.layers = 20, .gpt.width = 2048, .gpt.length = 2048}};
    bool own = raw.model.gpt.layers || raw.model.gpt.width;
    if (own && (!raw.model.gpt.layers || !raw.model.gpt.width))
        return wrong("a model of your own needs both --layers and --width");
    options.model_count = own ? 1 : SCALE_MODELS;
    for (int i = 0; i < options.model_count; i++) {
        struct ssa_model_config *m = &options.models[i];
        *m = own ? raw.model : presets[i];
        m->gpt.length = raw.model.gpt.length ? raw.model.gpt.length : presets[own ? 0 : i].gpt.length;
        m->gpt.vocabulary = raw.model.gpt.vocabulary;
        m->gpt.untied = raw.model.gpt.untied;
        m->gpt.heads = m->gpt.width % 64 ? 1 : m->gpt.width / 64; /* changes no count */
        if (m->gpt.heads == 1)
            m->gpt.heads = m->gpt.width > 256 ? m->gpt.width / 8 : 1;
        if (ssa_model_check(m) != SSA_OK)
            return wrong(ssa_last_error());
    }
    return 0;
}

/* ---- rates ---- */

static double number_of(const json_t *object, const char *name)
{
    const json_t *field = json_object_get(object, name);
    return json_is_number(field) ? json_number_value(field) : NAN;
}

/* 0 for what is absent or no size, which no model has. */
static int size_of(const json_t *object, const char *name)
{
    double number = number_of(object, name);
    return number >= 1 && number <= INT_MAX ? (int)number : 0;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* The update is timed by itself: what is left of the step is forward and backward. */
static int take_row(const json_t *row)
{
    const json_t *shape = json_object_get(row, "shape"), *operators = json_object_get(row, "operator_seconds");
    double update = number_of(operators, "adamw"), seconds = number_of(row, "seconds"), flops = number_of(row, "flops");
    struct ssa_model_config m = {.gpt = {.layers = size_of(shape, "layers"), .width = size_of(shape, "width"),
                                 .heads = size_of(shape, "heads"), .length = size_of(shape, "length"),
                                 .vocabulary = 256, .positions = SSA_POSITIONS_LEARNED, .untied = 1}};
    double parameters = (double)ssa_model_elements(&m);
    update = update > 0 && update < seconds ? update : 0;
    if (!(flops > 0 && seconds > 0))
        return -1;
    options.rate = flops / (seconds - update);
    if (!(raw.memory > 0) && update > 0)
        options.memory = 32 * parameters / update;
    say_note("%s: %s on %s: %.1f GFLOP/s of forward and backward, %.1f GB/s of the update", raw.bench,
             text_of(row, "case"), text_of(row, "device_id"), 1e-9 * options.rate, 1e-9 * options.memory);
    return 0;
}

static bool has_words(const char *words, const char *text)
{
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", words ? words : "");
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!strstr(text, word))
            return false;
    return true;
}

static int read_bench(void)
{
    char *line = NULL;
    size_t size = 0;
    int taken = -1;
    FILE *file = fopen(raw.bench, "r");
    if (!file)
        return say_error("%s: cannot be opened: %s", raw.bench, strerror(errno));
    while (taken && getline(&line, &size, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        if (!strcmp(text_of(row, "suite"), "step") && !strcmp(text_of(row, "status"), "ok") &&
            has_words(raw.pick, text_of(row, "case")))
            taken = take_row(row);
        json_decref(row);
    }
    free(line);
    fclose(file);
    return taken ? say_error("%s: holds no case of the suite 'step'%s%s; `ssacl-bench step --output %s` writes some",
                             raw.bench, raw.pick ? " with the words " : "", raw.pick ? raw.pick : "", raw.bench)
                 : 0;
}

static int choose_rate(void)
{
    int ways = (raw.bench != NULL) + (raw.gflops > 0) + (raw.tokens_per_second > 0);
    if (ways != 1)
        return wrong("say how fast a rank is, in one way: --bench FILE.json, --gflops X or --tokens-per-second X");
    if (raw.pick && !raw.bench)
        return wrong("--case chooses from the file of --bench: give that too");
    if (raw.tokens_per_second > 0 && options.model_count > 1)
        return wrong("--tokens-per-second is of one model: give --layers and --width");
    options.memory = 1e9 * raw.memory;
    if (raw.bench)
        return read_bench();
    options.rate = 1e9 * raw.gflops;
    if (raw.tokens_per_second > 0)
        options.rate = raw.tokens_per_second * scale_flops(&options.models[0], options.ratio);
    return 0;
}

static void default_options(void)
{
    options = (struct scale_options){.ratio = 1, .batch = 8, .accumulate = 1, .title = "Efficiency of many ranks"};
    memset(&raw, 0, sizeof raw);
    raw.model.gpt.vocabulary = 256;
    raw.ranks = "2,4,8,16,32,64,128,256,512,1024";
    raw.bandwidths = "1,10,25,100,400";
    raw.latency = 20;
    raw.sum = 5;
}

static int check_files(void)
{
    struct files files = {0};
    files_read(&files, "--bench", raw.bench);
    files_write(&files, "--chart", options.chart);
    return files_check(&files);
}

static void make_table(struct arg table[OPTIONS_MAX + 1])
{
    int count = args_append(table, 0, OPTIONS_MAX, rank_table);
    count += model_args(&raw.model, MODEL_OWN, sizes, table + count, OPTIONS_MAX - count);
    args_append(table, count, OPTIONS_MAX, step_table);
}

int scale_options_parse(const struct scale_options **parsed, int argc, char **argv)
{
    struct arg table[OPTIONS_MAX + 1];
    const struct args_page page = {.name = "ssacl-scale", .usage = "--bench FILE.json | --gflops X [options]",
                                   .about = about, .examples = examples};
    default_options();
    make_table(table);
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    say_set_quiet(options.json);
    *parsed = &options;
    if (options.measure)
        return ARGS_GO;
    if (check_files())
        return EXIT_FAILED;
    if ((status = parse_ranks()) || (status = parse_list("gbit", raw.bandwidths, 1e-6, 1e6, &options.bandwidths)) ||
        (status = choose_models()) || (status = choose_rate()))
        return status;
    options.link.latency = 1e-6 * raw.latency;
    options.link.sum = 1e9 * raw.sum;
    options.link.copy = 1e9 * raw.copy;
    options.link.alone = raw.alone;
    return ARGS_GO;
}

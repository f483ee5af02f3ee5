/* ssacl-image draw: pictures that a model of pixels makes, an element after the other. */
#include "draw.h"

#include "augment.h"
#include "dataset.h"
#include "files.h"
#include "grid.h"
#include "numbers.h"
#include "progress.h"
#include "run/devices.h"
#include "run/note.h"
#include "run/settings.h"
#include "signals.h"
#include "words.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 16, COUNT_TO_COMPLETE = 8, COMPLETIONS = 3, PASSES_MAX = 1000, COUNT_MAX = 10000, SCALE_MAX = 64,
       SEEN_WELL = 112,   /* pixels that a picture is wide on the page, at least */
       BATCH = 32 };      /* side by side, at most */
#define GIB 1073741824.0

static struct {
    const char *checkpoint, *device, *out, *pattern;
    struct arg_list complete;
    uint64_t seed;
    float temperature;
    int count, columns, scale, label, top_k, passes, batch, precision, raw, json, verbose;
} options;

static const char about[] =
    "Draws pictures with a model of pixels (`train` of a model that predicts each value from all before it), and writes "
    "them on one page. Of a model with classes they are of each in turn, or of --class.\n"
    "\n"
    "--pattern draws with sampled attention: a new value sees those keys that it would see in a sampled pass over the "
    "whole picture. --passes M draws with the self-ensemble: each value with the mean of the probabilities of M sampled "
    "passes, each with keys and values of its own, which takes M times as long.\n"
    "\n"
    "--complete takes pictures of a test part instead, gives the model the first half of their rows, and lets it draw "
    "the rest: in a row of the page stand the picture as it is, then three completions.";

static const char examples[] =
    "examples:\n"
    "  ssacl-image draw --checkpoint pixels.safetensors --out drawn.png\n"
    "  ssacl-image draw -c pixels.safetensors --class 7 --count 25 --temperature 0.9 -o sevens.png\n"
    "  ssacl-image draw -c pixels.safetensors --passes 10 --complete cifar-10-batches-bin -o halves.png\n";

static const struct arg table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_TEXT('o', "out", &options.out, "FILE",
             "the page: a PNG; where it ends in .ppm, .pgm or .pnm, or the build has no libpng, one of those"),
    ARG_INT('n', "count", &options.count, 0, COUNT_MAX, "N", "pictures; 0: 16, or 8 to complete"),
    ARG_INT(0, "columns", &options.columns, 0, COUNT_MAX, "N",
            "of pictures on the page; 0: about as many as rows, or one of those to complete"),
    ARG_INT(0, "scale", &options.scale, 0, SCALE_MAX, "N",
            "each pixel becomes N x N; 0: so many that a picture is at least 112 wide"),
    ARG_INT(0, "class", &options.label, -1, INT_MAX, "K", "pictures of class K, from 0; -1: of all of them"),
    ARG_FLOAT('t', "temperature", &options.temperature, 0, 100, "T",
              "below 1 what is more likely gets likelier; 0: always the likeliest"),
    ARG_INT('k', "top-k", &options.top_k, 0, 1 << 20, "K", "draw from the K likeliest values only; 0: from all"),
    ARG_TEXT(0, "pattern", &options.pattern, "STAGE",
             "how to sample, as a stage of `train` is written, local:ratio=0.25,look-back; trained: as it was in training. If "
             "not said, dense, or with several passes as in training"),
    ARG_INT('M', "passes", &options.passes, 1, PASSES_MAX, "M", "passes of the self-ensemble"),
    ARG_INT('b', "batch", &options.batch, 0, COUNT_MAX, "N",
            "so many are drawn side by side, which changes none of them; 0: up to 32, as take a GiB of memory"),
    ARG_LIST(0, "complete", &options.complete, "PATH",
             "complete pictures of the test part of this data set: a folder or files, as `train` takes them"),
    ARG_U64('s', "seed", &options.seed, "N", "of the draws"),
    ARG_NAMES(0, "device", &options.device, "NAMES", DEVICES_HELP "; one draws, another takes over where it is lost"),
    ARG_CHOICE(0, "precision", &options.precision, PRECISIONS, PRECISION_HELP),
    ARG_FLAG('v', "verbose", &options.verbose, "what the library logs, too"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

/* Pictures on the page, one after another. */
struct drawing {
    struct ssa_model *model;
    struct ssa_pixels as;               /* what the model is of */
    size_t elements;                    /* of a picture */
    const struct ssa_pattern *pattern;  /* NULL: dense */
    struct ssa_pattern said;
    size_t pictures, each, given;       /* `each` on the page for one; `given` elements to begin with */
    unsigned char *bytes;               /* [pictures * each, elements] */
    struct grid_cell *cells;
    int32_t *labels;                    /* [pictures] */
    size_t *numbers, count;             /* of cells that are drawn, */
    size_t drawn;                       /* and elements of all of them so far */
    int32_t *tokens, *values;           /* of those side by side: [batch, given], [batch, elements - given], */
    int32_t *labels_now;                /* [batch], */
    uint64_t *seeds;                    /* [batch] */
};

/* ---- values and bytes ---- */

static unsigned char byte_of(const struct drawing *d, int32_t value)
{
    const int most = d->as.values - 1;
    return (unsigned char)(most ? (255 * value + most / 2) / most : 0);
}

static int32_t value_of(const struct drawing *d, unsigned char byte)
{
    return byte * d->as.values / 256;
}

/* ---- pictures side by side ---- */

static size_t left_of(const struct drawing *d)
{
    return d->elements - d->given;
}

static int on_value(void *cookie, int32_t token)
{
    struct drawing *d = cookie;
    (void)token;
    d->drawn++;
    progress_update((double)d->drawn, -1, "%zu of %zu", d->drawn / left_of(d), d->count);
    return interrupted;
}

/* What each begins with, is of, and is drawn by; whoever is drawn beside it. */
static void take_cell(struct drawing *d, size_t at, size_t number)
{
    const unsigned char *bytes = d->bytes + number * d->elements;
    d->labels_now[at] = d->labels[number / d->each];
    d->seeds[at] = options.seed + number * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < d->given; i++)
        d->tokens[at * d->given + i] = value_of(d, bytes[i]);
}

/* The cells of these numbers, of which the beginning is there where there is one. */
static int draw_cells(struct drawing *d, const size_t *numbers, size_t count)
{
    const size_t left = left_of(d);
    const struct ssa_generate how = {.temperature = options.temperature > 0 ? options.temperature : SSA_NONE,
        .top_k = options.top_k, .token = on_value, .cookie = d, .pattern = d->pattern, .passes = options.passes,
        .sequences = (int)count, .labels = d->labels_now, .seeds = d->seeds};
    for (size_t i = 0; i < count; i++)
        take_cell(d, i, numbers[i]);
    if (ssa_generate(d->model, d->given ? d->tokens : NULL, d->given, left, d->values, &how) != SSA_OK)
        return interrupted ? EXIT_INTERRUPTED : library_failed();
    for (size_t i = 0; i < count; i++)
        for (size_t e = 0; e < left; e++)
            d->bytes[numbers[i] * d->elements + d->given + e] = byte_of(d, d->values[i * left + e]);
    return interrupted ? EXIT_INTERRUPTED : 0;
}

/* To complete: behind each picture so many copies of its first half. */
static void list_cells(struct drawing *d)
{
    d->count = 0;
    for (size_t i = 0; i < d->pictures * d->each; i++) {
        unsigned char *bytes = d->bytes + i * d->elements;
        d->cells[i].pixels = bytes;
        if (d->each > 1 && i % d->each == 0)
            continue;
        if (d->given)
            memcpy(bytes, d->bytes + i / d->each * d->each * d->elements, d->given);
        d->numbers[d->count++] = i;
    }
}

static int draw_all(struct drawing *d)
{
    const size_t batch = (size_t)ssa_model_limits(d->model)->batch;
    int status = 0;
    list_cells(d);
    progress_begin(d->given ? "completing" : "drawing", (double)(d->count * left_of(d)));
    for (size_t i = 0; i < d->count && !status; i += batch)
        status = draw_cells(d, d->numbers + i, d->count - i < batch ? d->count - i : batch);
    progress_end();
    return status;
}

/* ---- pictures to complete ---- */

static int check_dataset(const struct drawing *d, const struct dataset *data)
{
    if (data->channels != d->as.channels)
        return say_error("the pictures of --complete have %d channels, and those of %s have %d", data->channels,
                         options.checkpoint, d->as.channels);
    if (d->as.classes && data->classes != d->as.classes)
        return say_error("the data set of --complete has %d classes, and %s knows %d", data->classes,
                         options.checkpoint, d->as.classes);
    return data->part[DATASET_TEST].count ? 0 : say_error("the data set of --complete has no test part");
}

/* The first of the test part, or of the class; resized and cut as evaluation does. The number of those there are. */
static int read_pictures(struct drawing *d, const struct dataset *data, size_t *count)
{
    struct augment how = {.rows = d->as.rows, .columns = d->as.columns, .channels = d->as.channels};
    struct dataset_reader reader = {0};
    struct augment_room room = {0};
    char why[WHY], name[WHY];
    int status = 0;
    for (size_t i = 0; i < data->part[DATASET_TEST].count && *count < d->pictures && !status; i++) {
        const uint32_t image = data->part[DATASET_TEST].images[i];
        const int32_t label = data->labels[image];
        if (options.label >= 0 && label != options.label)
            continue;
        if (dataset_picture(data, &reader, image, why)) {
            say_note("%s %s", dataset_name(data, image, name), why);
            continue;
        }
        if (augment_picture(&how, &room, &reader.picture, 0, image, d->bytes + *count * d->each * d->elements))
            status = say_error("no memory for pictures");
        d->labels[(*count)++] = d->as.classes ? label : 0;
    }
    augment_room_free(&room);
    dataset_reader_free(&reader);
    return status ? status : *count ? 0 : say_error("--complete: there is no test picture of class %d", options.label);
}

/* A number of what the training made of its pictures; 0: not known. */
static size_t noted(const struct ssa_checkpoint *checkpoint, const char *key)
{
    const double number = note_number(checkpoint, key);
    return isfinite(number) && number > 0 && number <= INT_MAX ? (size_t)number : 0;
}

/* The parts are those of the training. */
static int open_pictures(struct drawing *d, const struct ssa_checkpoint *checkpoint)
{
    const struct dataset_options parts = {.seed = noted(checkpoint, "recipe.split_seed"),
        .coarse_labels = noted(checkpoint, "recipe.coarse") > 0, .valid_last = noted(checkpoint, "recipe.valid_last") > 0,
        .train = noted(checkpoint, "recipe.train"), .valid = noted(checkpoint, "recipe.valid"),
        .test = noted(checkpoint, "recipe.test")};
    struct dataset data;
    size_t count = 0;
    if (dataset_open(&data, options.complete.items, options.complete.count, &parts))
        return EXIT_FAILED;
    int status = check_dataset(d, &data) || read_pictures(d, &data, &count) ? EXIT_FAILED : 0;
    if (!status && count < d->pictures) {
        say_note("there are %zu such pictures to complete, not %zu", count, d->pictures);
        d->pictures = count;
    }
    dataset_free(&data);
    return status;
}

/* ---- the drawing ---- */

static int choose_pattern(struct drawing *d, const struct ssa_checkpoint *checkpoint)
{
    const bool trained = options.pattern ? !strcmp(options.pattern, "trained") : options.passes > 1;
    const struct settings of = {.model = *ssa_checkpoint_model(checkpoint)};
    d->pattern = trained ? sampled_pattern(checkpoint) : NULL;
    if (trained && !d->pattern)
        return say_error("%s: was trained without sampling; say how to sample with --pattern", options.checkpoint);
    if (options.pattern && !trained) {
        const int status = settings_pattern(&of, options.pattern, true, &d->said);
        if (status)
            return status;
        d->pattern = pattern_samples(&d->said) ? &d->said : NULL;
    }
    return d->pattern || options.passes == 1
               ? 0
               : say_error("--passes is %d, but dense passes are all the same; sample them", options.passes);
}

static int settle_model(struct drawing *d, const struct ssa_checkpoint *checkpoint)
{
    d->as = ssa_checkpoint_model(checkpoint)->pixels;
    if (ssa_checkpoint_model(checkpoint)->family != SSA_PIXELS)
        return say_error("%s: is no model of pixels, and draws nothing", options.checkpoint);
    if (d->as.channels != 1 && d->as.channels != 3)
        return say_error("%s: is of %d channels, which no picture has", options.checkpoint, d->as.channels);
    if (options.label >= 0 && options.label >= d->as.classes && (d->as.classes || !options.complete.count))
        return say_error("--class is %d, and %s knows %d", options.label, options.checkpoint, d->as.classes);
    d->as.values = d->as.values ? d->as.values : 256;
    d->elements = (size_t)d->as.rows * (size_t)d->as.columns * (size_t)d->as.channels;
    return 0;
}

/* For those side by side. */
static bool make_place(struct drawing *d, size_t batch)
{
    d->tokens = malloc(batch * d->elements * sizeof *d->tokens);
    d->values = malloc(batch * d->elements * sizeof *d->values);
    d->labels_now = malloc(batch * sizeof *d->labels_now);
    d->seeds = malloc(batch * sizeof *d->seeds);
    return !d->tokens || !d->values || !d->labels_now || !d->seeds;
}

/* The model's pictures, and room for them. */
static int settle(struct drawing *d, const struct ssa_checkpoint *checkpoint, size_t batch)
{
    const bool completes = options.complete.count;
    if (settle_model(d, checkpoint))
        return EXIT_FAILED;
    int status = choose_pattern(d, checkpoint);
    if (status)
        return status;
    d->pictures = options.count ? (size_t)options.count : completes ? COUNT_TO_COMPLETE : COUNT;
    d->each = completes ? 1 + COMPLETIONS : 1;
    d->given = completes ? d->elements / (size_t)d->as.rows * ((size_t)d->as.rows / 2) : 0;
    if (completes && !d->given)
        return say_error("%s: pictures of one row have no half to complete", options.checkpoint);
    const size_t cells = d->pictures * d->each;
    d->bytes = cells > SIZE_MAX / d->elements ? NULL : malloc(cells * d->elements);
    d->cells = calloc(cells, sizeof *d->cells);
    d->labels = calloc(d->pictures, sizeof *d->labels);
    d->numbers = calloc(cells, sizeof *d->numbers);
    if (!d->bytes || !d->cells || !d->labels || !d->numbers || make_place(d, batch))
        return say_error("no memory for %zu pictures", cells);
    for (size_t i = 0; i < d->pictures && d->as.classes; i++)
        d->labels[i] = options.label >= 0 ? options.label : (int32_t)(i % (size_t)d->as.classes);
    return completes ? open_pictures(d, checkpoint) : 0;
}

static void finish(struct drawing *d)
{
    free((void *)d->said.layers);
    free(d->bytes);
    free(d->cells);
    free(d->labels);
    free(d->numbers);
    free(d->tokens);
    free(d->values);
    free(d->labels_now);
    free(d->seeds);
}

static struct grid grid_of(const struct drawing *d)
{
    size_t across = options.columns ? (size_t)options.columns : 1;
    while (!options.columns && !d->given && across * across < d->pictures)
        across++;
    across = across < d->pictures ? across : d->pictures;
    const int scale = (SEEN_WELL + d->as.columns - 1) / d->as.columns;
    return (struct grid){.rows = d->as.rows, .columns = d->as.columns, .channels = d->as.channels,
                         .across = (int)(across * d->each), .scale = options.scale ? options.scale : scale};
}

static int print_result(const struct drawing *d, const struct loaded *loaded, const char *path, double seconds)
{
    struct ssa_stage stage = {0};
    char text[STAGE_TEXT] = "dense";
    if (d->pattern) {
        stage.pattern = *d->pattern;
        stage_format(&stage, 1, text, sizeof text);
    }
    if (!options.json) {
        say_result("%s: %zu picture%s%s, %s, in %.1f s", path, d->pictures, d->pictures == 1 ? "" : "s",
                   d->given ? " with three completions each" : "", text, seconds);
        return finish_stdout();
    }
    json_t *result = json_pack("{s:o, s:s, s:b, s:o, s:I, s:b, s:s, s:i, s:o, s:i, s:o, s:o, s:o}", "checkpoint",
        json_text(options.checkpoint), "precision", precision_name(options.precision), "averaged", loaded->averaged, "out", json_text(path), "pictures",
        (json_int_t)d->pictures, "completes", d->given > 0, "pattern", text, "passes", options.passes, "temperature",
        number_json((double)options.temperature), "top_k", options.top_k, "seed", u64_json(options.seed), "seconds",
        number_json(seconds), "devices", devices_json(loaded->pool));
    return print_json(result);
}

/* ---- the command ---- */

static int run(struct drawing *d, struct loaded *loaded, const char *path)
{
    struct picture page = {0};
    const double begin = now_seconds();
    int status = settle(d, loaded->checkpoint, (size_t)ssa_model_limits(loaded->model)->batch);
    if (status)
        return status;
    d->model = loaded->model;
    signals_catch();
    const struct grid grid = grid_of(d);
    if (grid_page(&page, &grid, d->cells, d->pictures * d->each)) /* a white one: is there room? */
        return EXIT_FAILED;
    status = draw_all(d);
    if (!status)
        status = grid_page(&page, &grid, d->cells, d->pictures * d->each) || grid_write(path, &page) ? EXIT_FAILED : 0;
    picture_free(&page);
    return status ? status : print_result(d, loaded, path, now_seconds() - begin);
}

static int check_files(const char *path)
{
    struct files files = {0};
    files_read(&files, "--checkpoint", options.checkpoint);
    for (int i = 0; i < options.complete.count; i++)
        files_read(&files, "--complete", options.complete.items[i]);
    files_write(&files, "--out", path);
    return files_check(&files) || file_check_output(path) ? EXIT_FAILED : 0;
}

/* How many are drawn side by side: with more a weight is read for more of them, but keys and values of each stay. */
static int choose_batch(const struct ssa_model_config *model)
{
    const size_t cells = (options.count ? (size_t)options.count : options.complete.count ? COUNT_TO_COMPLETE : COUNT) *
                         (options.complete.count ? COMPLETIONS : 1);
    struct ssa_model_limits limits = {.batch = options.batch ? options.batch : cells < BATCH ? (int)cells : BATCH};
    struct ssa_memory memory;
    for (; !options.batch && limits.batch > 1; limits.batch /= 2)
        if (!ssa_model_memory(model, &limits, &memory) &&
            (double)memory.total + (double)memory.cache * options.passes * limits.batch < GIB)
            break;
    return limits.batch;
}

/* What depends on what the model is of: the page's name, and how many are drawn side by side. */
static int look_at_model(const struct program *program, char **path, int *batch)
{
    struct ssa_checkpoint *checkpoint = NULL;
    if (open_checkpoint(&checkpoint, program, options.checkpoint)) {
        ssa_checkpoint_close(checkpoint);
        return EXIT_FAILED;
    }
    *batch = choose_batch(ssa_checkpoint_model(checkpoint));
    *path = grid_path(options.out, ssa_checkpoint_model(checkpoint)->pixels.channels);
    ssa_checkpoint_close(checkpoint);
    return *path ? 0 : EXIT_FAILED;
}

int draw_main(const struct program *program, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(program, "draw"), .about = about, .examples = examples,
                                   .usage = "--checkpoint FILE --out FILE [options]"};
    static struct drawing drawing;
    struct loaded loaded = {0};
    char *path = NULL;
    int batch = 1;
    options.label = -1;
    options.temperature = 1;
    options.passes = 1;
    options.device = "auto";
    int status = parse_options(table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (!options.out) {
        say_error("give --out FILE (see --help)");
        return EXIT_USAGE;
    }
    say_set_quiet(options.json);
    say_library_log(options.verbose);
    status = look_at_model(program, &path, &batch) || check_files(path) ||
                     load_model(&loaded, program, options.device, options.precision, options.checkpoint, batch, !options.raw)
                 ? EXIT_FAILED
                 : run(&drawing, &loaded, path);
    finish(&drawing);
    unload_model(&loaded);
    free(path);
    return status;
}

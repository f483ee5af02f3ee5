/* ssacl-image answers: test pictures on a page, with what classifiers take them for. */
#include "answers.h"

#include "classes.h"
#include "data.h"
#include "dataset.h"
#include "files.h"
#include "grid.h"
#include "numbers.h"
#include "progress.h"
#include "run/devices.h"
#include "signals.h"
#include "words.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MODELS_MAX = 8, COUNT_MAX = 10000, SCALE_MAX = 64, LINE_MAX_BYTES = 128,
       SEEN_WELL = 150 }; /* pixels that a picture and its words are wide on the page, at least */

static struct {
    struct arg_list checkpoints;
    const char *out;
    int count, columns, scale, images, batch, raw, json, verbose;
} options;
static struct train_options shared; /* --data, --device */

static const char about[] =
    "Shows pictures of the test part on one page, with what one or several classifiers take them for: below each "
    "picture its class, then a line for each checkpoint with its answer (one dense pass) and how sure it is. The "
    "frame's left half is of the first checkpoint, its right half of the last: green is right, red is wrong.\n"
    "\n"
    "Which pictures is not a matter of chance or taste. Half of the page are the first of the test part as they come; "
    "the other half the first of the rest on which the answers differ, or, where those do not suffice and for one "
    "checkpoint, which any of them gets wrong. Class names are those of the data set.";

static const char examples[] =
    "examples:\n"
    "  ssacl-image answers ssa.safetensors --data fashion-mnist --out page.png\n"
    "  ssacl-image answers dense.safetensors ssa.safetensors --data fashion-mnist --out page.png\n";

static const struct arg table[] = {
    ARG_LIST('d', "data", &shared.data, "PATH",
             "the pictures they were trained on; the test part is found as `train` does"),
    ARG_TEXT('o', "out", &options.out, "FILE",
             "the page: a PNG; where it ends in .ppm or .pnm, or the build has no libpng, one of those"),
    ARG_INT('n', "count", &options.count, 1, COUNT_MAX, "N", "pictures on the page"),
    ARG_INT('w', "images", &options.images, 0, INT_MAX, "N",
            "look at so many, spread evenly; 0: at all of the test part"),
    ARG_INT(0, "columns", &options.columns, 1, COUNT_MAX, "N", "of pictures"),
    ARG_INT(0, "scale", &options.scale, 0, SCALE_MAX, "N",
            "each pixel becomes N x N; 0: so many that the words below have room"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_INT('b', "batch", &options.batch, 1, 65536, "N", "images in a pass"),
    ARG_INT(0, "threads", &data_threads, 0, 64, "N", DATA_THREADS_HELP),
    ARG_NAMES(0, "device", &shared.device, "NAMES", DEVICES_HELP "; several share the pictures"),
    ARG_CHOICE(0, "precision", &shared.precision, PRECISIONS, PRECISION_HELP),
    ARG_FLAG('v', "verbose", &options.verbose, "what the library logs, too"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

struct answered {
    int class; /* -1: was not looked at */
    double p;
};

static struct {
    char names[MODELS_MAX][LABEL_MAX];
    struct answered *of[MODELS_MAX]; /* [examples of the test part] */
    size_t right[MODELS_MAX], looked_at, examples;
    uint32_t *images;                /* [examples]: their numbers in the data set, */
    int32_t *labels;                 /* and classes */
    size_t *chosen, plain;           /* examples on the page, of which `plain` as they come */
    size_t differing;                /* of all that were looked at */
    struct settings settings;        /* of the last checkpoint */
} s;

/* ---- answers ---- */

static void on_answer(void *cookie, const struct ssa_answer *a)
{
    struct answered *answered = (struct answered *)cookie + a->example;
    answered->class = classes_answer(a->logits, a->vocabulary, &answered->p);
}

/* Of the first checkpoint: what there is to look at. */
static int note_examples(void)
{
    const struct dataset *d = data_set();
    s.examples = d->part[DATASET_TEST].count;
    s.images = calloc(s.examples, sizeof *s.images);
    s.labels = calloc(s.examples, sizeof *s.labels);
    s.chosen = calloc(s.examples, sizeof *s.chosen);
    if (!s.images || !s.labels || !s.chosen)
        return say_error("no memory for %zu pictures", s.examples);
    for (size_t i = 0; i < s.examples; i++) {
        s.images[i] = d->part[DATASET_TEST].images[i];
        s.labels[i] = d->labels[s.images[i]];
    }
    return 0;
}

/* Another one must be asked the same. */
static int check_examples(const char *checkpoint)
{
    const struct dataset *d = data_set();
    bool same = d->part[DATASET_TEST].count == s.examples;
    for (size_t i = 0; i < s.examples && same; i++)
        same = d->part[DATASET_TEST].images[i] == s.images[i] && d->labels[s.images[i]] == s.labels[i];
    return same ? 0 : say_error("%s: has another test part than %s (by its --split-seed or --test-images); make a page "
                                "of each", checkpoint, options.checkpoints.items[0]);
}

static int open_data(struct ssa_checkpoint *checkpoint, const char *path)
{
    const int threads = data_threads;
    const char *device = shared.device;
    const int precision = shared.precision;
    s.settings.program->defaults(&shared); /* what the checkpoint before this had said is forgotten */
    data_threads = threads;
    shared.device = device;
    shared.precision = precision;
    s.settings = (struct settings){.program = s.settings.program, .o = &shared, .source_name = path,
                                   .source = checkpoint, .model = *ssa_checkpoint_model(checkpoint),
                                   .micro_batch = options.batch};
    if (data_open(&s.settings))
        return EXIT_FAILED;
    if (!s.settings.data.judge)
        return say_error("%s: is no classifier, and has no answers; `draw` shows what it makes", path);
    return s.images ? check_examples(path) : note_examples();
}

static void on_progress(void *cookie, double done)
{
    (void)cookie;
    progress_update(done, -1, "dense");
}

static int ask(struct ssa_model *model, int number)
{
    struct ssa_scores scores;
    s.of[number] = malloc(s.examples * sizeof **s.of);
    if (!s.of[number])
        return say_error("no memory for %zu answers", s.examples);
    for (size_t i = 0; i < s.examples; i++)
        s.of[number][i].class = -1;
    const struct ssa_evaluate how = {.windows = (size_t)options.images, .stop = &interrupted, .progress = on_progress,
                                     .cookie = s.of[number], .answer = on_answer};
    progress_begin("asking", 1);
    const int status = ssa_evaluate(model, &s.settings.data.part[PART_TEST], &how, &scores, NULL, NULL);
    progress_end();
    return status == SSA_OK ? 0 : status == SSA_ESTOPPED ? EXIT_INTERRUPTED : library_failed();
}

/* The last one's data stay open. */
static int ask_checkpoint(const struct program *program, int number)
{
    const char *path = options.checkpoints.items[number];
    struct loaded loaded = {0};
    if (number)
        data_close(&s.settings);
    int status = load_model(&loaded, program, shared.device, shared.precision, path, options.batch, !options.raw);
    status = status ? EXIT_FAILED : open_data(loaded.checkpoint, path);
    status = status ? status : ask(loaded.model, number);
    unload_model(&loaded);
    return status;
}

/* ---- which pictures ---- */

static bool is_right(int model, size_t example)
{
    return s.of[model][example].class == s.labels[example];
}

static bool differ(size_t example)
{
    for (int m = 1; m < options.checkpoints.count; m++)
        if (s.of[m][example].class != s.of[0][example].class)
            return true;
    return false;
}

/* Some model is wrong, and all are with the same answer. */
static bool wrong_alike(size_t example)
{
    return !differ(example) && !is_right(0, example);
}

static void count_right(void)
{
    for (size_t i = 0; i < s.examples; i++) {
        if (s.of[0][i].class < 0)
            continue;
        s.looked_at++;
        s.differing += differ(i);
        for (int m = 0; m < options.checkpoints.count; m++)
            s.right[m] += is_right(m, i);
    }
}

/* Of those from `first` on so many for which it holds; the number of all chosen so far. */
static size_t choose(size_t first, bool (*holds)(size_t example), size_t chosen, size_t most)
{
    for (size_t i = first; i < s.examples && chosen < most; i++)
        if (s.of[0][i].class >= 0 && (!holds || holds(i)))
            s.chosen[chosen++] = i;
    return chosen;
}

static size_t choose_all(void)
{
    const size_t count = (size_t)options.count < s.looked_at ? (size_t)options.count : s.looked_at;
    s.plain = choose(0, NULL, 0, (count + 1) / 2);
    const size_t rest = s.plain ? s.chosen[s.plain - 1] + 1 : 0;
    return choose(rest, wrong_alike, choose(rest, differ, s.plain, count), count);
}

/* ---- the page ---- */

struct sheet {
    int rows, columns, channels;
    unsigned char *bytes;         /* of all pictures */
    struct grid_cell *cells;
    struct grid_line *lines;      /* [pictures, lines] */
    char (*texts)[LINE_MAX_BYTES];
    int line_count;
    size_t count;
};

static const char *class_name(int class, char name[64])
{
    const struct dataset *d = data_set();
    snprintf(name, 64, "%d", class);
    if (d->class_names && class < d->classes)
        snprintf(name, 64, "%.60s", d->class_names[class]);
    ssa_plain_text(name, strlen(name));
    return name;
}

static struct grid grid_of(const struct sheet *sheet)
{
    const int across = options.columns < (int)s.plain ? options.columns : (int)s.plain;
    struct grid g = {.rows = sheet->rows, .columns = sheet->columns, .channels = sheet->channels, .across = across,
                     .frame = 1, .scale = options.scale, .lines = sheet->line_count};
    if (!g.scale)
        g.scale = (SEEN_WELL + sheet->columns + 1) / (sheet->columns + 2);
    return g;
}

/* "ssa ankle boot 87%", in which the class is cut where there is no room for all of it. */
static void write_answer(char text[LINE_MAX_BYTES], int model, size_t example, size_t signs)
{
    const struct answered *a = &s.of[model][example];
    char name[64], sure[16];
    snprintf(sure, sizeof sure, "%.0f%%", floor(100 * a->p));
    const size_t taken = (size_t)text_columns(s.names[model]) + strlen(sure) + 2;
    const int room = signs > taken ? (int)(signs - taken) : 1;
    snprintf(text, LINE_MAX_BYTES, "%.50s %.*s %s", s.names[model], room, class_name(a->class, name), sure);
}

static void fill_cell(struct sheet *sheet, size_t number, size_t signs)
{
    static const unsigned char green[3] = {0, 130, 0}, red[3] = {205, 0, 0};
    const size_t example = s.chosen[number], first = number * (size_t)sheet->line_count;
    const int models = options.checkpoints.count;
    struct grid_line *lines = sheet->lines + first;
    char name[64];
    for (int l = 0; l < sheet->line_count; l++)
        lines[l].text = sheet->texts[first + (size_t)l];
    snprintf(sheet->texts[first], LINE_MAX_BYTES, "%s", class_name(s.labels[example], name));
    for (int m = 0; m < models; m++) {
        write_answer(sheet->texts[first + 1 + (size_t)m], m, example, signs);
        lines[1 + m].colour = is_right(m, example) ? green : red;
    }
    sheet->cells[number] = (struct grid_cell){
        .pixels = sheet->bytes + number * (size_t)sheet->rows * (size_t)sheet->columns * (size_t)sheet->channels,
        .frame = {lines[1].colour, lines[models].colour}, .lines = lines};
}

/* Resized and cut as evaluation does; one that cannot be read stays white. */
static int read_pictures(struct sheet *sheet)
{
    const struct augment how = {.rows = sheet->rows, .columns = sheet->columns, .channels = sheet->channels};
    const size_t each = (size_t)sheet->rows * (size_t)sheet->columns * (size_t)sheet->channels;
    struct dataset_reader reader = {0};
    struct augment_room room = {0};
    char why[WHY], name[WHY];
    int status = 0;
    for (size_t i = 0; i < sheet->count && !status; i++) {
        const uint32_t image = s.images[s.chosen[i]];
        if (dataset_picture(data_set(), &reader, image, why))
            say_note("%s %s", dataset_name(data_set(), image, name), why);
        else if (augment_picture(&how, &room, &reader.picture, 0, image, sheet->bytes + i * each))
            status = say_error("no memory for pictures");
    }
    augment_room_free(&room);
    dataset_reader_free(&reader);
    return status;
}

static int make_sheet(struct sheet *sheet, size_t count)
{
    const struct ssa_model_config *model = &s.settings.model;
    *sheet = (struct sheet){.rows = model_int(model, "rows"), .columns = model_int(model, "columns"),
                            .channels = data_set()->channels, .line_count = 1 + options.checkpoints.count,
                            .count = count};
    sheet->columns = sheet->columns ? sheet->columns : sheet->rows;
    const size_t each = (size_t)sheet->rows * (size_t)sheet->columns * (size_t)sheet->channels;
    const size_t lines = count * (size_t)sheet->line_count;
    sheet->bytes = malloc(count * each);
    sheet->cells = calloc(count, sizeof *sheet->cells);
    sheet->lines = calloc(lines, sizeof *sheet->lines);
    sheet->texts = calloc(lines, sizeof *sheet->texts);
    if (!sheet->bytes || !sheet->cells || !sheet->lines || !sheet->texts)
        return say_error("no memory for a page of %zu pictures", count);
    memset(sheet->bytes, 255, count * each);
    if (read_pictures(sheet))
        return EXIT_FAILED;
    const struct grid g = grid_of(sheet);
    for (size_t i = 0; i < count; i++)
        fill_cell(sheet, i, grid_signs(&g));
    return 0;
}

static void free_sheet(struct sheet *sheet)
{
    free(sheet->bytes);
    free(sheet->cells);
    free(sheet->lines);
    free(sheet->texts);
}

static void write_headings(const struct sheet *sheet, char plain[1024], char rest[512])
{
    int n = snprintf(plain, 1024, "Below each picture its class, then answers; green is right, red is wrong. Right of "
                     "the %zu test pictures looked at:\n", s.looked_at);
    for (int m = 0; m < options.checkpoints.count; m++)
        n += snprintf(plain + n, 1024 - (size_t)n, "%s%.50s %zu", m ? ", " : "", s.names[m], s.right[m]);
    if (options.checkpoints.count > 1)
        n += snprintf(plain + n, 1024 - (size_t)n, "; answers differ on %zu. Frames: %s, left, and %s, right",
                      s.differing, s.names[0], s.names[options.checkpoints.count - 1]);
    snprintf(plain + n, 1024 - (size_t)n, ".\n\nOf those the first %zu, as they come:", s.plain);
    snprintf(rest, 512, "\nOf those behind them the first %zu %s:", sheet->count - s.plain,
             options.checkpoints.count > 1 ? "on which answers differ (or that are wrong)" : "that are wrong");
}

/* One page below another of the same width. */
static int stack(struct picture *page, const struct picture *below)
{
    struct picture both = {0};
    const size_t width = (size_t)page->columns * (size_t)page->channels;
    if (page->rows + below->rows > PICTURE_SIDE || picture_make(&both, page->rows + below->rows, page->columns,
                                                               page->channels))
        return say_error("no memory for a page of %d x %d pixels", page->columns, page->rows + below->rows);
    memcpy(both.own, page->own, (size_t)page->rows * width);
    memcpy(both.own + (size_t)page->rows * width, below->own, (size_t)below->rows * width);
    picture_free(page);
    *page = both;
    return 0;
}

static int make_page(struct picture *page, const struct sheet *sheet)
{
    char plain[1024], rest[512];
    struct grid g = grid_of(sheet);
    struct picture below = {0};
    write_headings(sheet, plain, rest);
    g.heading = plain;
    int status = grid_page(page, &g, sheet->cells, s.plain);
    g.heading = rest;
    if (!status && sheet->count > s.plain)
        status = grid_page(&below, &g, sheet->cells + s.plain, sheet->count - s.plain) || stack(page, &below);
    picture_free(&below);
    return status;
}

/* ---- the command ---- */

static json_t *picture_json(size_t number)
{
    const size_t example = s.chosen[number];
    char name[64], which[WHY];
    json_t *answers = json_array(), *sure = json_array();
    for (int m = 0; m < options.checkpoints.count; m++) {
        json_array_append_new(answers, json_text(class_name(s.of[m][example].class, name)));
        json_array_append_new(sure, number_json(s.of[m][example].p));
    }
    return json_pack("{s:o, s:b, s:o, s:o, s:o}", "picture",
                     json_text(dataset_name(data_set(), s.images[example], which)), "as_it_came", number < s.plain,
                     "class", json_text(class_name(s.labels[example], name)), "answers", answers, "probabilities",
                     sure);
}

static json_t *result_json(const struct sheet *sheet, const char *path)
{
    json_t *models = json_array(), *list = json_array();
    for (int m = 0; m < options.checkpoints.count; m++)
        json_array_append_new(models, json_pack("{s:o, s:I}", "checkpoint", json_text(options.checkpoints.items[m]),
                                                "right", (json_int_t)s.right[m]));
    for (size_t i = 0; i < sheet->count; i++)
        json_array_append_new(list, picture_json(i));
    return json_pack("{s:o, s:s, s:I, s:I, s:o, s:o}", "out", json_text(path), "precision",
                     precision_name(shared.precision), "looked_at", (json_int_t)s.looked_at,
                     "differ", (json_int_t)s.differing, "models", models, "pictures", list);
}

static int print_result(const struct sheet *sheet, const char *path)
{
    if (options.json)
        return print_json(result_json(sheet, path));
    for (int m = 0; m < options.checkpoints.count; m++)
        say_result("%s: %zu of %zu right (%.1f%%)", s.names[m], s.right[m], s.looked_at,
                   100.0 * (double)s.right[m] / (double)s.looked_at);
    say_result("%s: %zu picture%s", path, sheet->count, sheet->count == 1 ? "" : "s");
    return finish_stdout();
}

static int show(const char *path)
{
    struct sheet sheet = {0};
    struct picture page = {0};
    count_right();
    if (!s.looked_at)
        return say_error("the test part has no picture that can be read");
    int status = make_sheet(&sheet, choose_all()) || make_page(&page, &sheet) || grid_write(path, &page)
                     ? EXIT_FAILED
                     : print_result(&sheet, path);
    picture_free(&page);
    free_sheet(&sheet);
    return status;
}

static int check_files(const char *path)
{
    struct files files = {0};
    for (int i = 0; i < options.checkpoints.count; i++)
        files_read(&files, NULL, options.checkpoints.items[i]);
    for (int i = 0; i < shared.data.count; i++)
        files_read(&files, "--data", shared.data.items[i]);
    files_write(&files, "--out", path);
    return files_check(&files) || file_check_output(path) ? EXIT_FAILED : 0;
}

static int check_options(void)
{
    if (!options.checkpoints.count || options.checkpoints.count > MODELS_MAX)
        say_error("give one to %d checkpoints of classifiers (see --help)", MODELS_MAX);
    else if (!options.out || !shared.data.count)
        say_error("give %s (see --help)", options.out ? "--data PATH" : "--out FILE");
    else
        return 0;
    return EXIT_USAGE;
}

static void finish(void)
{
    for (int m = 0; m < MODELS_MAX; m++)
        free(s.of[m]);
    free(s.images);
    free(s.labels);
    free(s.chosen);
}

int answers_main(const struct program *program, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(program, "answers"), .about = about, .examples = examples,
                                   .usage = "CHECKPOINT... --data PATH --out FILE [options]",
                                   .rest = &options.checkpoints};
    program->defaults(&shared);
    s.settings.program = program;
    options.count = 40;
    options.columns = 10;
    options.batch = 50;
    shared.device = "auto";
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (check_options())
        return EXIT_USAGE;
    say_set_quiet(options.json);
    say_library_log(options.verbose);
    char *path = grid_path(options.out, 3);
    signals_catch();
    status = path && !check_files(path) ? 0 : EXIT_FAILED;
    label_files(options.checkpoints.items, options.checkpoints.count, ".safetensors", s.names);
    for (int m = 0; m < options.checkpoints.count && !status; m++)
        status = ask_checkpoint(program, m);
    status = status ? status : show(path);
    data_close(&s.settings);
    finish();
    free(path);
    return status;
}

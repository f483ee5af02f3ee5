#include "predict.h"

#include "converter.h"
#include "data.h"
#include "errors.h"

#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "run/devices.h"
#include "signals.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES_MAX = 1000 };

static struct {
    const char *checkpoint, *out, *pattern, *smiles, *target;
    uint64_t seed;
    int passes, dense, batch, raw, force;
} options;
static struct train_options shared; /* --data, --device, --json, --verbose */

static const char about[] =
    "What a checkpoint says of molecules: a csv with a line for each, its number, its line in the table that it came "
    "of, its SMILES, the target where the file has one, the prediction, and how far the passes were apart (their "
    "deviation). A model that was trained with sampling answers with the mean of --passes sampled passes, others, and"
    " with --dense all, with one dense pass. Numbers are in the target's unit.\n"
    "\n"
    "--data is a file of graphs, as `ssacl-graph convert` writes them, or a table (.csv, .csv.gz) of SMILES, which is"
    " converted first: for that Python must have RDKit (SSACL_PYTHON names another python than python3). Molecules "
    "that cannot become a graph, or are larger than the model takes, are left out, and it is said which.";

static const char examples[] =
    "examples:\n"
    "  ssacl-graph predict --checkpoint ssa.safetensors --data candidates.csv --out predictions.csv\n"
    "  ssacl-graph predict --checkpoint ssa.safetensors --data qm9.graphs --passes 50 --out predictions.csv\n";

static const struct arg table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_LIST('d', "data", &shared.data, "FILE", "molecules: graphs, or a table of SMILES"),
    ARG_TEXT('o', "out", &options.out, "FILE", "the csv; if not said, it goes to stdout"),
    ARG_TEXT(0, "smiles", &options.smiles, "NAME", "of a table: its column of SMILES"),
    ARG_TEXT(0, "target", &options.target, "NAME", "of a table: a column of numbers to stand beside the predictions"),
    ARG_INT('M', "passes", &options.passes, 1, PASSES_MAX, "M", "sampled passes, of which the mean is taken"),
    ARG_FLAG(0, "dense", &options.dense, "one dense pass, however it was trained"),
    ARG_TEXT(0, "pattern", &options.pattern, "STAGE", "how passes sample, as a stage of `train` is written"),
    ARG_INT('b', "batch", &options.batch, 1, 65536, "N", "molecules in a pass"),
    ARG_U64('s', "seed", &options.seed, "N", "of the samples"),
    ARG_FLAG('f', "force", &options.force, "replace a csv that is there"),
    ARG_NAMES(0, "device", &shared.device, "NAMES", DEVICES_HELP "; several share passes and molecules"),
    ARG_CHOICE(0, "precision", &shared.precision, PRECISIONS, PRECISION_HELP),
    ARG_FLAG('v', "verbose", &shared.verbose, "what the library logs, too"),
    ARG_FLAG(0, "json", &shared.json, "one object on stdout, of what was done; with --out"),
    ARG_END};

static struct {
    struct graphs graphs;
    uint32_t *list;         /* of those that the model takes, smaller ones first, */
    size_t count;           /* so many */
    struct answers *answers; /* [graphs] */
    struct source source;
    struct recipe recipe;
    struct settings settings;
    const struct ssa_pattern *pattern;
    struct ssa_pattern said; /* by --pattern */
    int passes;
} s;

/* ---- what is asked ---- */

static int by_size(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const int p = graphs_get(&s.graphs, x).atoms, q = graphs_get(&s.graphs, y).atoms;
    return p != q ? (p < q ? -1 : 1) : x < y ? -1 : x > y;
}

static int make_list(int most_atoms)
{
    size_t large = 0;
    uint32_t first = 0;
    s.list = malloc(s.graphs.count * sizeof *s.list);
    s.answers = calloc(s.graphs.count, sizeof *s.answers);
    if (!s.list || !s.answers)
        return say_error("no memory for %zu molecules", s.graphs.count);
    for (size_t i = 0; i < s.graphs.count; i++) {
        const struct graph g = graphs_get(&s.graphs, i);
        if (g.atoms <= most_atoms)
            s.list[s.count++] = (uint32_t)i;
        else if (!large++)
            first = g.line;
    }
    qsort(s.list, s.count, sizeof *s.list, by_size);
    if (large)
        say_note("%s: %zu molecule%s left out, of more than the %d atoms that the model takes; the first is of line %u",
                 shared.data.items[0], large, large == 1 ? "" : "s", most_atoms, first);
    return s.count ? 0 : say_error("%s: all of its molecules are larger than the %d atoms that the model takes",
                                   shared.data.items[0], most_atoms);
}

/* Before molecules are converted or read, which takes its time. */
static int settle(const struct program *p, const struct ssa_checkpoint *checkpoint)
{
    s.settings = (struct settings){.program = p, .o = &shared, .model = *ssa_checkpoint_model(checkpoint)};
    recipe_defaults(&s.recipe);
    recipe_take_scale(&s.recipe, checkpoint);
    s.pattern = options.pattern ? &s.said : options.dense ? NULL : sampled_pattern(checkpoint);
    s.passes = s.pattern ? options.passes : 1;
    return options.pattern ? settings_pattern(&s.settings, options.pattern, false, &s.said) : 0;
}

static int prepare(const char *path)
{
    if (graphs_open(&s.graphs, path))
        return EXIT_FAILED;
    s.graphs.path = shared.data.items[0];
    if (data_check_vocabulary(&s.graphs, &s.settings.model, options.checkpoint) ||
        make_list(s.settings.model.egt.nodes))
        return EXIT_FAILED;
    s.source = (struct source){.data = &s.graphs, .graphs = s.list, .count = s.count, .untold = true,
                               .shape = data_shape(&s.settings.model), .deviation = 1, .room = source_room()};
    return 0;
}

/* ---- asking ---- */

static void on_answer(void *cookie, const struct ssa_answer *a)
{
    (void)cookie;
    answers_add(&s.answers[s.list[a->example]], s.recipe.mean + s.recipe.deviation * (double)a->logits[0]);
}

static void on_progress(void *cookie, double done)
{
    (void)cookie;
    progress_update(done, -1, s.pattern ? "self-ensemble" : "dense");
}

static int ask(struct ssa_model *model)
{
    const struct ssa_data data = {.fill = source_fill, .cookie = &s.source, .examples = s.count};
    const struct ssa_evaluate how = {.pattern = s.pattern, .passes = s.passes, .seed = options.seed,
                                     .stop = &interrupted, .progress = on_progress, .answer = on_answer};
    struct ssa_scores scores;
    progress_begin("predicting", 1);
    const int status = ssa_evaluate(model, &data, &how, &scores, NULL, NULL);
    progress_end();
    return status == SSA_OK ? 0 : status == SSA_ESTOPPED ? EXIT_INTERRUPTED : library_failed();
}

/* ---- the csv ---- */

static void write_line(FILE *file, size_t i)
{
    const struct graph g = graphs_get(&s.graphs, i);
    const struct answers *a = &s.answers[i];
    if (!a->count)
        return;
    fprintf(file, "%llu,%u,", (unsigned long long)g.number, g.line);
    write_quoted(file, g.text, g.text_size);
    if (isnan(g.target))
        putc(',', file);
    else
        fprintf(file, ",%.9g", (double)g.target);
    fprintf(file, ",%.9g,", answers_mean(a));
    if (a->count > 1)
        fprintf(file, "%.9g", answers_spread(a));
    putc('\n', file);
}

static void write_all(FILE *file)
{
    fputs("number,line,smiles,target,prediction,spread\n", file);
    for (size_t i = 0; i < s.graphs.count; i++)
        write_line(file, i);
}

static int write_csv(long not_converted)
{
    const json_int_t left_out = (json_int_t)(s.graphs.count - s.count) + not_converted;
    struct new_file file;
    if (!options.out) {
        write_all(stdout);
        return finish_stdout();
    }
    if (new_file_begin(&file, options.out))
        return EXIT_FAILED;
    write_all(file.stream);
    if (new_file_end(&file, true))
        return EXIT_FAILED;
    if (shared.json)
        return print_json(json_pack("{s:o, s:o, s:s, s:I, s:I, s:i}", "out", json_text(options.out), "checkpoint",
                                    json_text(options.checkpoint), "precision", precision_name(shared.precision),
                                    "molecules", (json_int_t)s.count, "left_out",
                                    left_out, "passes", s.passes));
    say_note("%s: %zu molecules, %d pass%s, %lld left out", options.out, s.count, s.passes, s.passes == 1 ? "" : "es",
             (long long)left_out);
    return 0;
}

/* ---- the command ---- */

static int check_files(void)
{
    struct files files = {0};
    files_read(&files, "--data", shared.data.items[0]);
    files_read(&files, "--checkpoint", options.checkpoint);
    files_write(&files, "--out", options.out);
    return files_check(&files) || file_check_output(options.out) || file_check_new(options.out, options.force);
}

static int run(const struct program *p, struct loaded *loaded, struct converted *made)
{
    const char *path = shared.data.items[0];
    const bool is_table = converter_is_for(path);
    if (load_model(loaded, p, shared.device, shared.precision, options.checkpoint, options.batch, !options.raw))
        return EXIT_FAILED;
    int status = settle(p, loaded->checkpoint);
    if (!status && is_table)
        status = converter_make(made, path, options.smiles, options.target);
    status = status ? status : prepare(is_table ? made->file : path);
    return status ? status : ask(loaded->model);
}

static int check_options(const unsigned char *given)
{
    const char *why = shared.data.count != 1         ? "give one --data FILE (see --help)"
                      : shared.json && !options.out ? "--json goes with --out"
                      : options.dense && options.pattern ? "--dense and --pattern contradict: give one of them"
                      : options.dense && args_given(table, given, "passes")
                          ? "--dense is one pass, and --passes are of sampling: give one of them"
                          : NULL;
    if (why)
        say_error("%s", why);
    return why ? EXIT_USAGE : 0;
}

static void finish(struct loaded *loaded, struct converted *made)
{
    unload_model(loaded);
    source_close(&s.source);
    graphs_close(&s.graphs);
    free((void *)s.said.layers);
    free(s.list);
    free(s.answers);
    converter_remove(made);
}

int predict_main(const struct program *p, int argc, char **argv)
{
    static unsigned char given[sizeof table / sizeof *table];
    const struct args_page page = {.name = program_command(p, "predict"), .about = about, .examples = examples,
                                   .usage = "--checkpoint FILE --data FILE [options]",
                                   .given = given};
    struct loaded loaded = {0};
    static struct converted made;
    options.passes = 10;
    options.batch = 64;
    shared.device = "auto";
    int status = parse_options(table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if ((status = check_options(given)) || (status = check_files()))
        return status;
    say_set_quiet(shared.json);
    say_library_log(shared.verbose);
    signals_catch();
    status = run(p, &loaded, &made);
    status = status ? status : write_csv(made.left_out);
    finish(&loaded, &made);
    return status;
}

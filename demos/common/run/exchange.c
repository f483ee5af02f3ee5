#include "exchange.h"

#include "files.h"
#include "words.h"

enum { OPTIONS_MAX = 24 };

static struct {
    const char *from, *checkpoint, *to;
    struct arg_list rest;
    int raw, force, json;
} options;

static int check_files(const struct exchange *e, const char *reads, const char *from, const char *writes,
                       const char *to)
{
    struct files files = {0};
    files_read(&files, reads, from);
    if (e->reads)
        e->reads(&files);
    files_write(&files, writes, to);
    return files_check(&files) || file_check_target(to) || file_check_new(to, options.force) ? EXIT_FAILED : 0;
}

/* One line, or an object with `more` in it, a key and its text. */
static int print_result(const struct program *p, const struct ssa_model_config *model, const char *to, const char *key,
                        const char *more)
{
    const json_int_t count = (json_int_t)ssa_model_elements(model);
    char text[256];
    if (options.json)
        return print_json(json_pack("{s:o, s:o, s:s, s:o, s:I}", options.to ? "out" : "checkpoint", json_text(to), key,
                                    json_text(more), "family", ssa_model_family(model->family), "model",
                                    model_json(model), "parameters", count));
    p->describe_model(model, text, sizeof text);
    say_result("%s: %s of %.2f million parameters, %s", to, ssa_model_family(model->family), 1e-6 * (double)count,
               text);
    if (options.to)
        say_result("%s", more);
    return finish_stdout();
}

/* ---- import ---- */

static const struct arg import_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "where the model is written"), ARG_END};
static const struct arg import_rest[] = {
    ARG_FLAG('f', "force", &options.force, "replace a checkpoint that is there"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static int import(const struct program *p)
{
    struct ssa_checkpoint *checkpoint = NULL;
    if (check_files(p->exchange, NULL, options.from, "--checkpoint", options.checkpoint) ||
        p->exchange->take(p, options.from, options.checkpoint) || open_checkpoint(&checkpoint, p, options.checkpoint))
        return EXIT_FAILED;
    const int status = print_result(p, ssa_checkpoint_model(checkpoint), options.checkpoint, "from", options.from);
    ssa_checkpoint_close(checkpoint);
    return status;
}

int import_main(const struct program *p, int argc, char **argv)
{
    const struct page *own = &p->exchange->importing;
    const struct args_page page = {.name = program_command(p, "import"), .usage = "FROM --checkpoint FILE [options]",
                                   .about = own->about, .examples = own->examples, .rest = &options.rest};
    struct arg table[OPTIONS_MAX + 1];
    int count = args_append(table, 0, OPTIONS_MAX, import_table);
    count = args_append(table, count, OPTIONS_MAX, own->options);
    args_append(table, count, OPTIONS_MAX, import_rest);
    int status = parse_options(table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (options.rest.count != 1) {
        say_error("give one file to import from (see --help)");
        return EXIT_USAGE;
    }
    options.from = options.rest.items[0];
    say_set_quiet(options.json);
    return import(p);
}

/* ---- export ---- */

static const struct arg export_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_TEXT(0, "to", &options.to, "FILE", "where its weights are written"),
    ARG_FLAG('f', "force", &options.force, "replace a file that is there"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static int export(const struct program *p)
{
    const struct exchange *e = p->exchange;
    struct loaded loaded = {0};
    char said[1024];
    int status = check_files(e, "--checkpoint", options.checkpoint, "--to", options.to) ||
                 load_model(&loaded, p, "cpu", SSA_FLOAT32, options.checkpoint, 1, !options.raw) ||
                 e->write(&loaded, options.checkpoint, options.to) ? EXIT_FAILED : 0;
    if (!status) {
        e->describe(ssa_model_config(loaded.model), said, sizeof said);
        status = print_result(p, ssa_model_config(loaded.model), options.to, e->program, said);
    }
    unload_model(&loaded);
    return status;
}

int export_main(const struct program *p, int argc, char **argv)
{
    const struct page *own = &p->exchange->exporting;
    const struct args_page page = {.name = program_command(p, "export"), .about = own->about,
                                   .examples = own->examples, .usage = "--checkpoint FILE --to FILE [options]"};
    int status = parse_options(export_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (!options.to) {
        say_error("give --to FILE (see --help)");
        return EXIT_USAGE;
    }
    say_set_quiet(options.json);
    return export(p);
}

#include "weights.h"

#include "egt.h"
#include "files.h"
#include "numbers.h"
#include "recipe.h"
#include "run/adopt.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    const char *from, *checkpoint, *to;
    struct arg_list rest;
    struct egt_options how;
    int mask_padding, raw, force, json;
} options;

/* ---- as checkpoints ---- */

/* Of their molecules none has as many atoms. */
static const struct egt_options defaults = {.nodes = 64, .attention_dropout = 0.3f};

static int import_file(const char *path, const char *to, const char *folder, const void *how)
{
    struct egt_options with = *(const struct egt_options *)how;
    with.passing = folder;
    return egt_import(path, to, &with);
}

int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path)
{
    return egt_is(path) ? adopt_file(checkpoint, p, path, import_file, &defaults) : 0;
}

/* ---- import ---- */

static const char import_about[] =
    "Makes a checkpoint of a model of molecules that the authors of EGT trained: FROM is a safetensors file with the "
    "names of egt_pytorch, as `safetensors.torch.save_file(torch.load('model_state'), FROM)` writes it. Its settings "
    "must be scale_degree, clip_logits_value 5 and elu, as in all of their configurations of PCQM4Mv2; the rest the "
    "weights tell. Its answers are in the unit of what it learned: eV.\n"
    "\n"
    "In their code virtual nodes see the padding of their batch, and answers depend on it. Imported, they do so too "
    "(and cannot sample), unless --mask-padding says otherwise; training from it with --from masks padding.\n"
    "\n"
    "train --from, eval, predict and export take such a file as it is, too.";

static const char import_examples[] =
    "examples:\n"
    "  ssacl-graph import egt_90m.safetensors --checkpoint egt.safetensors\n"
    "  ssacl-graph eval --checkpoint egt.safetensors --data pcqm4mv2.graphs --part valid\n";

static const struct arg import_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "where the model is written"),
    ARG_INT(0, "nodes", &options.how.nodes, 1, 4096, "N", "atoms of the largest molecule that it is to take"),
    ARG_FLOAT(0, "attention-dropout", &options.how.attention_dropout, 0, 0.999, "P", "of a training from it"),
    ARG_FLAG(0, "mask-padding", &options.mask_padding,
             "virtual nodes see no padding: answers are others than theirs, and do not depend on the batch"),
    ARG_FLAG('f', "force", &options.force, "replace a checkpoint that is there"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static int check_files(const char *reads, const char *from, const char *writes, const char *to)
{
    struct files files = {0};
    files_read(&files, reads, from);
    files_write(&files, writes, to);
    if (files_check(&files) || file_check_target(to))
        return EXIT_FAILED;
    return !options.force && access(to, F_OK) == 0 ? say_error("%s: exists; replace it with --force", to) : 0;
}

/* One line, or an object with `more` in it, a key and its text. */
static int print_result(const struct program *p, const struct ssa_model_config *model, const char *to, const char *key,
                        const char *more)
{
    const json_int_t count = (json_int_t)ssa_model_elements(model);
    char text[256];
    if (options.json)
        return print_json(json_pack("{s:o, s:o, s:o, s:I}", options.to ? "out" : "checkpoint", json_text(to), key,
                                    json_text(more), "model", model_json(model), "parameters", count));
    p->describe_model(model, text, sizeof text);
    say_result("%s: egt of %.2f million parameters, %s", to, 1e-6 * (double)count, text);
    if (options.to)
        say_result("%s", more);
    return finish_stdout();
}

static int import(const struct program *p)
{
    struct ssa_checkpoint *checkpoint = NULL;
    if (check_files(NULL, options.from, "--checkpoint", options.checkpoint) ||
        egt_import(options.from, options.checkpoint, &options.how) ||
        open_checkpoint(&checkpoint, p, options.checkpoint))
        return EXIT_FAILED;
    const int status = print_result(p, ssa_checkpoint_model(checkpoint), options.checkpoint, "from", options.from);
    ssa_checkpoint_close(checkpoint);
    return status;
}

int import_main(const struct program *p, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(p, "import"), .usage = "FROM --checkpoint FILE [options]",
                                   .about = import_about, .examples = import_examples, .rest = &options.rest};
    options.how = defaults;
    int status = parse_options(import_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (options.rest.count != 1) {
        say_error("give one file to import from (see --help)");
        return EXIT_USAGE;
    }
    options.from = options.rest.items[0];
    options.how.mask_padding = options.mask_padding;
    options.how.note = "{\"recipe\": {\"raw_targets\": 1, \"mean\": 0, \"deviation\": 1}, \"unit\": \"eV\"}";
    return import(p);
}

/* ---- export ---- */

static const char export_about[] =
    "Writes the weights of a checkpoint with the names and layouts of the authors' code (egt_pytorch), as safetensors, "
    "and says which settings their model must have. What was imported gives what it was imported from, tensor for "
    "tensor. A target that was learned less its mean, divided by its deviation, is answered so: both are said. Their "
    "virtual nodes see a batch's padding: of a model that was not trained so they answer as here where none is padded.";

static const char export_examples[] =
    "examples:\n"
    "  ssacl-graph export --checkpoint egt.safetensors --to theirs.safetensors\n"
    "  python3 -c 'from safetensors.torch import load_file\n"
    "  model = EGT_MOL(...)                          # as export prints it\n"
    "  model.load_state_dict(load_file(\"theirs.safetensors\"))'\n";

static const struct arg export_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_TEXT(0, "to", &options.to, "FILE", "where its weights are written"),
    ARG_FLAG('f', "force", &options.force, "replace a file that is there"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static int print_exported(const struct program *p, const struct loaded *loaded)
{
    struct recipe recipe;
    char settings[1024];
    const struct ssa_model_config *model = ssa_model_config(loaded->model);
    recipe_defaults(&recipe);
    recipe_take_scale(&recipe, loaded->checkpoint);
    egt_settings(model, settings, sizeof settings);
    if (fabs(recipe.mean) > 0 || recipe.deviation < 1 || recipe.deviation > 1)
        say_note("the target is %.9g times its answer, and %.9g", recipe.deviation, recipe.mean);
    return print_result(p, model, options.to, "settings", settings);
}

int export_main(const struct program *p, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(p, "export"), .about = export_about,
                                   .examples = export_examples, .usage = "--checkpoint FILE --to FILE [options]"};
    struct loaded loaded = {0};
    int status = parse_options(export_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (!options.to) {
        say_error("give --to FILE (see --help)");
        return EXIT_USAGE;
    }
    say_set_quiet(options.json);
    status = check_files("--checkpoint", options.checkpoint, "--to", options.to) ||
             load_model(&loaded, p, "cpu", options.checkpoint, 1, !options.raw) ||
             egt_export(loaded.model, options.checkpoint, options.to) ? EXIT_FAILED : 0;
    status = status ? status : print_exported(p, &loaded);
    unload_model(&loaded);
    return status;
}

#include "weights.h"

#include "files.h"
#include "numbers.h"
#include "run/adopt.h"
#include "timm.h"
#include "words.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- as checkpoints ---- */

static int refuse_family(const struct program *p, const char *path, int family)
{
    return p->families >> family & 1 ? 0 : say_error("%s: holds a model of family %s, which %s does not know", path,
                                                     ssa_model_family(family), p->name);
}

static int import_file(const char *path, const char *to, const char *folder, const void *how)
{
    struct timm_options options = *(const struct timm_options *)how;
    options.passing = folder;
    return timm_import(path, to, &options);
}

int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path)
{
    const int family = timm_family(path);
    if (family < 0)
        return 0;
    return refuse_family(p, path, family) || adopt_file(checkpoint, p, path, import_file, &(struct timm_options){0});
}

int weights_new_head(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path, int classes,
                     uint64_t seed)
{
    struct ssa_checkpoint *other = NULL;
    if (timm_family(path) < 0)
        return 0;
    const struct ssa_model_config *model = ssa_checkpoint_model(*checkpoint);
    const struct timm_options options = {.classes = classes, .seed = seed, .heads = model_int(model, "heads")};
    if (adopt_file(&other, p, path, import_file, &options))
        return EXIT_FAILED;
    say_note("%s: knows %d classes; a new head begins, of %d", path, model_int(model, "classes"), classes);
    ssa_checkpoint_close(*checkpoint);
    *checkpoint = other;
    return 0;
}

/* ---- import ---- */

static struct {
    const char *from, *checkpoint, *to;
    struct arg_list rest;
    struct timm_options how;
    int scale, raw, force, json;
} options;

/* What a checkpoint notes of it (recipe.c); of data nothing, which is then measured. */
#define SCALE_NAMES "data|imagenet|half"
static const char *const scales[] = {NULL,
    "{\"recipe\": {\"mean_0\": 0.485, \"mean_1\": 0.456, \"mean_2\": 0.406, "
    "\"deviation_0\": 0.229, \"deviation_1\": 0.224, \"deviation_2\": 0.225}}",
    "{\"recipe\": {\"mean_0\": 0.5, \"mean_1\": 0.5, \"mean_2\": 0.5, "
    "\"deviation_0\": 0.5, \"deviation_1\": 0.5, \"deviation_2\": 0.5}}"};

static const char import_about[] =
    "Makes a checkpoint of a ViT, a DeiT or a Swin that timm (PyTorch Image Models) saved: FROM is a safetensors file "
    "with its names, as `safetensors.torch.save_file(model.state_dict(), FROM)` writes it, or the model.safetensors of "
    "a model in its collection. What makes it another model than ours is refused by name.\n"
    "\n"
    "train --from, eval and export take such a file as it is, too, where nothing need be said of it; with --from a new "
    "head is begun where the data have another number of classes.";

static const char import_examples[] =
    "examples:\n"
    "  ssacl-image import deit_tiny_patch16_224.safetensors --scale imagenet --checkpoint deit.safetensors\n"
    "  ssacl-image import vit_huge_patch14_224.safetensors --heads 16 --classes 10 --checkpoint vit.safetensors\n"
    "  ssacl-image train --from swin_tiny_patch4_window7_224.safetensors --data flowers\n";

static const struct arg import_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "where the model is written"),
    ARG_INT(0, "heads", &options.how.heads, 0, 1024, "N",
            "heads of a vit, which its weights do not tell; 0: of 64 each, as timm's have up to a width of 1024"),
    ARG_INT(0, "rows", &options.how.rows, 0, 1 << 15, "N",
            "rows of its pictures; 0: of a vit they are square, of a swin its last stage is one window"),
    ARG_INT(0, "columns", &options.how.columns, 0, 1 << 15, "N",
            "columns; 0: of a vit as there are positions, of a swin as many as rows"),
    ARG_INT(0, "classes", &options.how.classes, 0, 1 << 20, "N",
            "that the head knows; where the file's knows another number, a new one begins. 0: as in the file"),
    ARG_CHOICE(0, "scale", &options.scale, SCALE_NAMES,
               "what mean and deviation it takes pixels by, which its weights do not tell: those of the data that it "
               "is given; ImageNet's, as DeiT and Swin; 0.5 and 0.5, as most of timm's ViT"),
    ARG_U64('s', "seed", &options.how.seed, "N", "of such a new head"),
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

static int import(const struct program *p)
{
    struct ssa_checkpoint *checkpoint = NULL;
    const int family = timm_family(options.from);
    if (check_files(NULL, options.from, "--checkpoint", options.checkpoint) ||
        refuse_family(p, options.from, family < 0 ? SSA_VIT : family) ||
        timm_import(options.from, options.checkpoint, &options.how))
        return EXIT_FAILED;
    if (open_checkpoint(&checkpoint, p, options.checkpoint))
        return EXIT_FAILED;
    const int status = print_result(p, ssa_checkpoint_model(checkpoint), options.checkpoint, "from", options.from);
    ssa_checkpoint_close(checkpoint);
    return status;
}

int import_main(const struct program *p, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(p, "import"), .usage = "FROM --checkpoint FILE [options]",
                                   .about = import_about, .examples = import_examples, .rest = &options.rest};
    int status = parse_options(import_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (options.rest.count != 1) {
        say_error("give one file to import from (see --help)");
        return EXIT_USAGE;
    }
    options.from = options.rest.items[0];
    options.how.note = scales[options.scale];
    return import(p);
}

/* ---- export ---- */

static const char export_about[] =
    "Writes the weights of a vit or a swin with the names and shapes that timm 0.9 has for them, as safetensors, and "
    "says which of timm's models they are for. What was imported gives what it was imported from, tensor for tensor.";

static const char export_examples[] =
    "examples:\n"
    "  ssacl-image export --checkpoint swin.safetensors --to timm.safetensors\n"
    "  python3 -c 'import functools, timm, torch; from safetensors.torch import load_file\n"
    "  model = timm.models...                          # as export prints it\n"
    "  model.load_state_dict(load_file(\"timm.safetensors\"))'\n";

static const struct arg export_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_TEXT(0, "to", &options.to, "FILE", "where its weights are written"),
    ARG_FLAG('f', "force", &options.force, "replace a file that is there"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

int export_main(const struct program *p, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(p, "export"), .about = export_about,
                                   .examples = export_examples, .usage = "--checkpoint FILE --to FILE [options]"};
    struct loaded loaded = {0};
    char call[1024];
    int status = parse_options(export_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (!options.to) {
        say_error("give --to FILE (see --help)");
        return EXIT_USAGE;
    }
    status = check_files("--checkpoint", options.checkpoint, "--to", options.to) ||
             load_model(&loaded, p, "cpu", options.checkpoint, 1, !options.raw) ||
             timm_export(loaded.model, options.checkpoint, options.to) ? EXIT_FAILED : 0;
    if (!status) {
        timm_call(ssa_model_config(loaded.model), call, sizeof call);
        status = print_result(p, ssa_model_config(loaded.model), options.to, "timm", call);
    }
    unload_model(&loaded);
    return status;
}

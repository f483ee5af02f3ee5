#include "weights.h"

#include "fairseq.h"
#include "files.h"
#include "vocabulary.h"
#include "words.h"

#include "run/adopt.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of its recipe for WikiText-103. */
static const struct fairseq_options usual = {.dropout = 0.3f, .attention_dropout = 0.1f, .activation_dropout = 0.1f,
                                             .head_dropout = 0.2f};

static struct {
    const char *from, *checkpoint, *to, *dictionary;
    struct arg_list rest;
    struct fairseq_options how;
    int raw, force, json;
} options;

/* ---- as checkpoints ---- */

static int import_passing(const char *from, const char *to, const char *folder, const void *none)
{
    (void)none;
    struct fairseq_options how = usual;
    how.passing = folder;
    return fairseq_import(from, to, &how);
}

int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *p, const char *path)
{
    return fairseq_is(path) ? adopt_file(checkpoint, p, path, import_passing, NULL) : 0;
}

/* ---- import ---- */

static const char import_about[] =
    "Makes a checkpoint of fairseq's transformer_lm with adaptive input and adaptive softmax, tied, as that of "
    "WikiText-103: FROM is a safetensors file of the \"model\" in its checkpoint, as the example writes it. What makes "
    "it another model than ours is refused by name. --dictionary are its words.\n"
    "\n"
    "train --from and eval take such a file as it is, too, where heads are of 128 and windows of 3072 words; its words "
    "are then those of --dictionary, or of the text's part for training.";

static const char import_examples[] =
    "examples:\n"
    "  python3 -c 'import torch; from safetensors.torch import save_file\n"
    "  model = torch.load(\"model.pt\", map_location=\"cpu\")[\"model\"]\n"
    "  save_file({name: x.float().clone() for name, x in model.items()}, \"fairseq.safetensors\")'\n"
    "  ssacl-text import fairseq.safetensors --dictionary dict.txt --checkpoint words.safetensors\n"
    "  ssacl-text eval --checkpoint words.safetensors --data wikitext-103 --context 2560\n";

static const struct arg import_table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "where the model is written"),
    ARG_TEXT(0, "dictionary", &options.dictionary, "FILE", "its words, one a line: fairseq's dict.txt"),
    ARG_INT(0, "heads", &options.how.heads, 0, 1024, "N",
            "heads of attention, which its weights do not tell; 0: of 128 each, as the model of WikiText-103 has them"),
    ARG_INT('N', "length", &options.how.length, 0, 1 << 20, "N", "words in a sequence; 0: 3072"),
    ARG_FLOAT(0, "dropout", &options.how.dropout, 0, 0.999, "X", "of training that goes on"),
    ARG_FLOAT(0, "attention-dropout", &options.how.attention_dropout, 0, 0.999, "X", "of attention's probabilities"),
    ARG_FLOAT(0, "activation-dropout", &options.how.activation_dropout, 0, 0.999, "X", "in the MLP"),
    ARG_FLOAT(0, "head-dropout", &options.how.head_dropout, 0, 0.999, "X", "of the adaptive softmax"),
    ARG_FLAG('f', "force", &options.force, "replace a checkpoint that is there"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static int check_files(const char *reads, const char *from, const char *writes, const char *to)
{
    struct files files = {0};
    files_read(&files, reads, from);
    files_read(&files, "--dictionary", options.dictionary);
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

/* The note that has the words of --dictionary; "" without one. NULL: it was said why not. To be freed. */
static char *note_of_words(void)
{
    struct vocabulary words = {0};
    char *text = NULL, *note = NULL;
    if (!options.dictionary)
        return strdup("");
    if (!vocabulary_read_file(&words, options.dictionary) && (text = vocabulary_text(&words))) {
        json_t *object = json_pack("{s:s, s:s}", "program", "ssacl-text", "words", text);
        note = json_dumps(object, 0);
        json_decref(object);
        options.how.vocabulary = (int)vocabulary_size(&words);
        options.how.dictionary = options.dictionary;
        if (!note)
            say_error("no memory for the words of %s", options.dictionary);
    }
    vocabulary_free(&words);
    free(text);
    return note;
}

static int import(const struct program *p)
{
    struct ssa_checkpoint *checkpoint = NULL;
    if (fairseq_import(options.from, options.checkpoint, &options.how) ||
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
    options.how = usual;
    int status = parse_options(import_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (options.rest.count != 1) {
        say_error("give one file to import from (see --help)");
        return EXIT_USAGE;
    }
    options.from = options.rest.items[0];
    if (check_files(NULL, options.from, "--checkpoint", options.checkpoint))
        return EXIT_FAILED;
    char *note = note_of_words();
    options.how.note = note;
    status = note ? import(p) : EXIT_FAILED;
    free(note);
    return status;
}

/* ---- export ---- */

static const char export_about[] =
    "Writes the weights of a model of words with the names and shapes that fairseq's transformer_lm has for them, as "
    "safetensors, and says which of its options they are for. What was imported gives what it was imported from, "
    "tensor for tensor.";

static const char export_examples[] =
    "examples:\n"
    "  ssacl-text export --checkpoint words.safetensors --to fairseq.safetensors\n"
    "  python3 -c 'from safetensors.torch import load_file\n"
    "  model.load_state_dict(load_file(\"fairseq.safetensors\"), strict=False)'   # its buffers hold nothing\n";

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
    char said[512];
    int status = parse_options(export_table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (!options.to) {
        say_error("give --to FILE (see --help)");
        return EXIT_USAGE;
    }
    status = check_files("--checkpoint", options.checkpoint, "--to", options.to) ||
             load_model(&loaded, p, "cpu", options.checkpoint, 1, !options.raw) ||
             fairseq_export(loaded.model, options.checkpoint, options.to) ? EXIT_FAILED : 0;
    if (!status) {
        fairseq_arguments(ssa_model_config(loaded.model), said, sizeof said);
        status = print_result(p, ssa_model_config(loaded.model), options.to, "fairseq", said);
    }
    unload_model(&loaded);
    return status;
}

#include "weights.h"

#include "fairseq.h"
#include "files.h"
#include "vocabulary.h"

#include "run/adopt.h"

#include <stdlib.h>
#include <string.h>

/* If nothing is said, of its recipe for WikiText-103. */
static struct fairseq_options how = {.dropout = 0.3f, .attention_dropout = 0.1f, .activation_dropout = 0.1f,
                                     .head_dropout = 0.2f};
static const char *dictionary;

/* ---- as checkpoints ---- */

static int import_passing(const char *from, const char *to, const char *folder, const void *none)
{
    (void)none;
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

static const struct arg import_options[] = {
    ARG_TEXT(0, "dictionary", &dictionary, "FILE", "its words, one a line: fairseq's dict.txt"),
    ARG_INT(0, "heads", &how.heads, 0, 1024, "N",
            "heads of attention, which its weights do not tell; 0: of 128 each, as the model of WikiText-103 has them"),
    ARG_INT('N', "length", &how.length, 0, 1 << 20, "N", "words in a sequence; 0: 3072"),
    ARG_FLOAT(0, "dropout", &how.dropout, 0, 0.999, "X", "of training that goes on"),
    ARG_FLOAT(0, "attention-dropout", &how.attention_dropout, 0, 0.999, "X", "of attention's probabilities"),
    ARG_FLOAT(0, "activation-dropout", &how.activation_dropout, 0, 0.999, "X", "in the MLP"),
    ARG_FLOAT(0, "head-dropout", &how.head_dropout, 0, 0.999, "X", "of the adaptive softmax"),
    ARG_END};

/* The note that has the words of --dictionary; "" without one. NULL: it was said why not. To be freed. */
static char *note_of_words(void)
{
    struct vocabulary words = {0};
    char *text = NULL, *note = NULL;
    if (!dictionary)
        return strdup("");
    if (!vocabulary_read_file(&words, dictionary) && (text = vocabulary_text(&words))) {
        json_t *object = json_pack("{s:s, s:s}", "program", "ssacl-text", "words", text);
        note = json_dumps(object, 0);
        json_decref(object);
        how.vocabulary = (int)vocabulary_size(&words);
        how.dictionary = dictionary;
        if (!note)
            say_error("no memory for the words of %s", dictionary);
    }
    vocabulary_free(&words);
    free(text);
    return note;
}

static void reads(struct files *files)
{
    files_read(files, "--dictionary", dictionary);
}

static int take(const struct program *p, const char *from, const char *to)
{
    char *note = note_of_words();
    (void)p;
    how.note = note;
    const int status = note ? fairseq_import(from, to, &how) : EXIT_FAILED;
    free(note);
    how.note = NULL;
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

static int write(const struct loaded *loaded, const char *name, const char *to)
{
    return fairseq_export(loaded->model, name, to);
}

const struct exchange weights_exchange = {
    .importing = {.about = import_about, .examples = import_examples, .options = import_options},
    .exporting = {.about = export_about, .examples = export_examples},
    .reads = reads, .take = take, .write = write, .program = "fairseq", .describe = fairseq_arguments};

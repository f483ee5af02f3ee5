#include "data.h"

#include "corpus.h"
#include "presets.h"

#include "run/note.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OF_NOTE = 12 << 20 }; /* of 16 MiB that the head of a checkpoint may have */

int data_family, data_tokens, data_least;
const char *data_dictionary;

static const int families[] = {SSA_GPT, SSA_WORDS};
enum { FAMILIES = sizeof families / sizeof *families };
static int preset_vocabulary; /* that nobody asked for */
static int looked = -1;      /* --family, a number of these; -1: not said */

static int tokens;           /* of the text that is open */
static struct text text;     /* bytes, or token files */
static struct corpus corpus; /* or words */

/* ---- how losses are told ---- */

static const struct unit of_bytes = {.key = "bits", .name = "bits per byte", .brief = "bits/byte", .item = "byte",
                                     .nats = 0.69314718055994531, .unnamed = true};
static const struct unit of_tokens = {.key = "loss", .name = "nats per token", .brief = "nats/token", .item = "token",
                                      .nats = 1, .perplexity = true};
static const struct unit of_words = {.key = "loss", .name = "nats per word", .brief = "nats/word", .item = "word",
                                     .nats = 1, .perplexity = true};
const struct unit *const data_units[] = {&of_bytes, &of_tokens, &of_words, NULL};

/* ---- options ---- */

/* Of a run from a checkpoint, which says what family it is of: whether options are those of words. They are refused
 * then, by their names. */
static bool look_for_words(int argc, char **argv)
{
    static const char *const own[] = {"--cutoffs", "--factor", "--activation-dropout", "--head-dropout"};
    bool any = false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        any = any || args_look(argc, argv, own[i], strlen("--cu"));
    return any && (args_look(argc, argv, "--from", strlen("--fr")) ||
                   args_look(argc, argv, "--resume", strlen("--res")));
}

void data_look(int argc, char **argv)
{
    const char *word = args_look(argc, argv, "--family", strlen("--fa"));
    const char *preset = args_look(argc, argv, "--preset", strlen("--pre"));
    looked = word ? parse_choice(word, strlen(word), DATA_FAMILY_NAMES) : -1;
    data_family = looked;
    for (int f = 0; f < FAMILIES && data_family < 0; f++) /* each family has presets of its own */
        if (preset && preset_is_of(preset, families[f]))
            data_family = f;
    data_family = data_family < 0 ? look_for_words(argc, argv) : data_family;
}

void data_defaults(struct train_options *o)
{
    static const struct ssa_model_config models[] = {
        {.family = SSA_GPT, .gpt = {.layers = 4, .width = 128, .heads = 4, .length = 256}},
        {.family = SSA_WORDS, .words = {.layers = 4, .width = 256, .heads = 4, .length = 256}}};
    o->model = models[data_family];
    data_tokens = DATA_UNKNOWN;
    data_least = preset_vocabulary = 0;
    data_dictionary = NULL;
}

void data_adapt(struct train_options *o, const struct preset *preset)
{
    (void)preset;
    if (o->model.family == SSA_GPT && o->model.gpt.vocabulary == 256) /* unless of token files */
        o->model.gpt.vocabulary = 0;
    preset_vocabulary = model_int(&o->model, "vocabulary");
}

static int *vocabulary_of(struct ssa_model_config *model)
{
    return model->family == SSA_WORDS ? &model->words.vocabulary : &model->gpt.vocabulary;
}

/* ---- what text it is ---- */

int trained_tokens(const struct ssa_checkpoint *checkpoint)
{
    const double bits = note_number(checkpoint, "tokens");
    char *words = note_text(checkpoint, "words");
    const struct ssa_model_config *model = ssa_checkpoint_model(checkpoint);
    const int kind = words                                    ? DATA_WORDS
                     : bits == 16                             ? 1 /* exactly */
                     : bits == 32                             ? 2
                     : model->family == SSA_WORDS             ? DATA_WORDS
                     : model_int(model, "vocabulary") <= 256 ? DATA_BYTES
                                                              : DATA_UNKNOWN;
    free(words);
    return kind;
}

int trained_words(const struct ssa_checkpoint *checkpoint, const char *name, struct vocabulary *words)
{
    char *noted = note_text(checkpoint, "words");
    *words = (struct vocabulary){0};
    if (!noted)
        return 0;
    int status = vocabulary_read_text(words, noted) ? say_error("%s: its words are not as they were written", name) : 0;
    if (!status && words->count > (uint32_t)model_int(ssa_checkpoint_model(checkpoint), "vocabulary"))
        status = say_error("%s: has more words than its model's vocabulary of %d", name,
                           model_int(ssa_checkpoint_model(checkpoint), "vocabulary"));
    free(noted);
    return status;
}

/* Whether a checkpoint was trained on words, so that --tokens must not say other things. What was imported without its
 * words takes their ids from token files, but no bytes. */
static bool is_of_words(const struct ssa_checkpoint *checkpoint, int said)
{
    char *words = note_text(checkpoint, "words");
    const bool noted = words != NULL;
    free(words);
    return noted || (said == DATA_BYTES && ssa_checkpoint_model(checkpoint)->family == SSA_WORDS &&
                     isnan(note_number(checkpoint, "tokens")));
}

/* As --tokens says, or where it does not, as the checkpoint was trained. DATA_UNKNOWN: that was said. */
static int settle_tokens(const struct settings *s)
{
    if (data_tokens != DATA_UNKNOWN && data_tokens != DATA_WORDS && s->source && is_of_words(s->source, data_tokens)) {
        say_error("--tokens %d: %s was trained on words; leave it out", 8 << data_tokens, s->source_name);
        return DATA_UNKNOWN;
    }
    if (data_tokens != DATA_UNKNOWN)
        return data_tokens;
    if (!s->source)
        return s->model.family == SSA_WORDS ? DATA_WORDS : DATA_BYTES;
    const int kind = trained_tokens(s->source);
    if (kind == DATA_UNKNOWN)
        say_error("%s: predicts %d tokens, and is no model of bytes; give token files, with --tokens 16 or 32",
                  s->source_name, model_int(&s->model, "vocabulary"));
    return kind;
}

/* ---- bytes and token files ---- */

/* Of a new model: as said, or all bytes, or what the data has. */
static int settle_vocabulary(struct settings *s)
{
    int *vocabulary = vocabulary_of(&s->model);
    if (!*vocabulary && tokens != DATA_BYTES && !s->o->data.count)
        return say_error("without --data nobody knows how many tokens there are: give --vocabulary N");
    if (!*vocabulary && tokens != DATA_BYTES) {
        *vocabulary = text.largest.id < INT_MAX ? (int)text.largest.id + 1 : INT_MAX;
        say_note("a vocabulary of %d, by the largest id in the data; --vocabulary N makes it another", *vocabulary);
    }
    *vocabulary = *vocabulary ? *vocabulary : 256;
    return s->o->data.count ? text_check_ids(&text, *vocabulary) : 0;
}

/* It must hold a window. */
static int open_text(struct settings *s)
{
    if (s->o->data.count && text_load(&text, &s->o->data, 1 << tokens, model_int(&s->model, "length")))
        return EXIT_FAILED;
    s->data = (struct run_data){.unit = tokens == DATA_BYTES ? &of_bytes : &of_tokens, .fingerprint = text.fingerprint};
    for (int p = 0; p < DATA_PARTS; p++)
        s->data.part[p] = text_data(&text, (enum text_part)p);
    return settle_vocabulary(s);
}

/* ---- words ---- */

/* Of two, what differs. */
static int refuse_words(const char *name, const struct vocabulary *v, const char *other,
                        const struct vocabulary *theirs)
{
    const uint32_t id = vocabulary_difference(v, theirs);
    char ours[96], known[96];
    return id == WORD_NONE ? 0
                           : say_error("%s: has %s, and %s has %s; give the words that it was trained with, or none",
                                       name, vocabulary_describe(v, id, ours), other,
                                       vocabulary_describe(theirs, id, known));
}

/* The checkpoint's, or of --dictionary, which must be the same. */
static int take_words(const struct settings *s, struct vocabulary *words)
{
    struct vocabulary read = {0};
    *words = (struct vocabulary){0};
    int status = s->source ? trained_words(s->source, s->source_name, words) : 0;
    if (!status && words->count && data_least)
        status = say_error("--least does not go with %s, whose words are settled; leave it out", s->source_name);
    if (!status && data_dictionary && data_least)
        status = say_error("--least does not go with --dictionary, whose words are all known; leave it out");
    if (!status && data_dictionary && !s->source && model_int(&s->model, "vocabulary") != preset_vocabulary)
        status = say_error("--vocabulary does not go with --dictionary, whose words are all known; leave it out");
    if (!status && data_dictionary) {
        status = vocabulary_read_file(&read, data_dictionary);
        status = status || (words->count && refuse_words(data_dictionary, &read, s->source_name, words));
        vocabulary_free(words);
        *words = read;
    }
    return status;
}

/* The model's: a new one's is as large as it takes. */
static int settle_words(struct settings *s)
{
    int *vocabulary = vocabulary_of(&s->model);
    const uint64_t size = vocabulary_size(&corpus.vocabulary);
    if (s->source && (uint64_t)*vocabulary != size)
        return say_error("%s: is of a vocabulary of %d, and %s makes one of %" PRIu64 " (%" PRIu32 " words); give the "
                         "text that it was trained on, or its words with --dictionary", s->source_name, *vocabulary,
                         data_dictionary ? data_dictionary : s->o->data.items[0], size, corpus.vocabulary.count -
                         WORDS_SPECIAL);
    if (!s->source && (data_least || *vocabulary) && corpus.vocabulary.count == WORDS_SPECIAL)
        return say_error("no word is left to learn: give a larger --vocabulary or a smaller --least");
    if (!s->source)
        *vocabulary = (int)size;
    return 0;
}

static double share_unknown(int part)
{
    return (double)corpus.unknown[part] / ((double)corpus.count[part] - 1);
}

static void tell_words(const struct settings *s)
{
    static const char *const names[] = {"training", "validation", "test"};
    char unknown[128] = "";
    size_t used = 0;
    for (int p = 0; p < TEXT_PARTS && used < sizeof unknown; p++)
        if (corpus.count[p] > 1)
            used += (size_t)snprintf(unknown + used, sizeof unknown - used, "%s%.1f%% of %s", used ? ", " : "",
                                     100 * share_unknown(p), names[p]);
    say_note("%" PRIu32 " words and %d more ids, a vocabulary of %d; not in it: %s", corpus.vocabulary.count -
             WORDS_SPECIAL, WORDS_SPECIAL, model_int(&s->model, "vocabulary"), unknown);
}

/* Of a text that a checkpoint was trained on there may be less here: the part to be measured. */
static uint64_t fingerprint_of(const struct settings *s)
{
    char noted[TEXT_PARTS][17] = {""}, ours[17];
    uint64_t h = vocabulary_hash(&corpus.vocabulary), known = 0;
    char *parts = s->source ? note_text(s->source, "parts") : NULL;
    char *all = s->source ? note_text(s->source, s->program->what) : NULL;
    bool same = parts && all && sscanf(parts, "%16s %16s %16s", noted[0], noted[1], noted[2]) == TEXT_PARTS &&
                sscanf(all, "%" SCNx64, &known) == 1;
    for (int p = 0; p < TEXT_PARTS; p++) {
        snprintf(ours, sizeof ours, "%016" PRIx64, corpus.hash[p]);
        same = same && (!corpus.count[p] || !strcmp(ours, noted[p]));
        h = (h ^ corpus.hash[p]) * 0x100000001b3u;
    }
    free(parts);
    free(all);
    return same ? known : h;
}

static int check_lengths(const struct settings *s)
{
    static const char *const names[] = {"training", "validation", "the test"};
    const size_t length = (size_t)model_int(&s->model, "length");
    for (int p = 0; p < TEXT_PARTS; p++)
        if ((corpus.count[p] || !corpus.named) && corpus.count[p] <= (p == TEXT_TRAIN ? length : 1))
            return say_error("%s: too short: %zu words of it are for %s, and a window takes %zu; give more, or train "
                             "with a smaller --length", s->o->data.items[0], corpus.count[p] ? corpus.count[p] - 1 : 0,
                             names[p], p == TEXT_TRAIN ? length : 1);
    return 0;
}

/* They are kept in checkpoints. */
static int check_room(const struct settings *s)
{
    char *words = vocabulary_text(&corpus.vocabulary);
    const size_t size = words ? strlen(words) : 0;
    free(words);
    if (!words)
        return EXIT_FAILED;
    return size <= MOST_OF_NOTE ? 0
                                : say_error("%s: its %" PRIu32 " words take %zu MiB in a checkpoint, which has room "
                                            "for %d; give fewer with --vocabulary or --least", s->o->data.items[0],
                                            corpus.vocabulary.count - WORDS_SPECIAL, size >> 20, MOST_OF_NOTE >> 20);
}

static int load_words(struct settings *s, int most)
{
    const double named = s->source && !s->o->from ? note_number(s->source, "named") : NAN;
    const bool counted = !corpus.vocabulary.count;
    const struct corpus_options o = {.given = !counted, .least = (uint64_t)(data_least > 1 ? data_least : 1),
                                     .most = most ? (uint64_t)most : INT_MAX - 8,
                                     .named = isfinite(named) ? named > 0 : -1};
    if (corpus_load(&corpus, &s->o->data, &o))
        return EXIT_FAILED;
    if (counted && !corpus.count[TEXT_TRAIN])
        return say_error("%s: has no words in it, and those of the text are counted in its part for training: give "
                         "that, too", s->source_name ? s->source_name : s->o->data.items[0]);
    if (settle_words(s) || check_lengths(s) || check_room(s))
        return EXIT_FAILED;
    tell_words(s);
    for (int p = 0; p < DATA_PARTS; p++) {
        s->data.part[p] = corpus_data(&corpus, (enum text_part)p);
        s->data.bytes[p] = corpus_bytes_a_word(&corpus, (enum text_part)p);
    }
    s->data.fingerprint = fingerprint_of(s);
    return 0;
}

static int open_words(struct settings *s)
{
    const int most = s->source ? 0 : *vocabulary_of(&s->model);
    s->data = (struct run_data){.unit = &of_words, .lead = 1};
    if (take_words(s, &corpus.vocabulary))
        return EXIT_FAILED;
    if (s->o->data.count)
        return load_words(s, most);
    if (corpus.vocabulary.count || s->source)
        return corpus.vocabulary.count ? settle_words(s) : 0;
    *vocabulary_of(&s->model) = (most + 7) / 8 * 8;
    return most ? 0 : say_error("without --data nobody knows how many words there are: give --vocabulary N");
}

/* ---- all of them ---- */

int data_open(struct settings *s)
{
    if (looked >= 0 && s->model.family != families[looked])
        return say_error("--family %s: %s is of family %s", ssa_model_family(families[looked]),
                         s->source_name ? s->source_name : "the preset", ssa_model_family(s->model.family));
    tokens = settle_tokens(s);
    if (tokens == DATA_UNKNOWN)
        return EXIT_FAILED;
    if (tokens != DATA_WORDS && (data_least || data_dictionary))
        return say_error("--least and --dictionary are for words: give --tokens words, too");
    return tokens == DATA_WORDS ? open_words(s) : open_text(s);
}

void data_close(struct settings *s)
{
    (void)s;
    text_free(&text);
    corpus_free(&corpus);
}

/* ---- telling ---- */

void data_describe(const struct settings *s, json_t *start)
{
    (void)s;
    if (tokens == DATA_WORDS)
        json_object_set_new(start, "words", json_pack("{s:I, s:f}", "known", (json_int_t)corpus.vocabulary.count -
                                                      WORDS_SPECIAL, "unknown", share_unknown(TEXT_TRAIN)));
    else if (tokens != DATA_BYTES)
        json_object_set_new(start, "tokens_of_bits", json_integer(8 * text.token_size));
}

/* Words are in the checkpoint, and so wherever it goes. */
static void note_words(json_t *note)
{
    char parts[64];
    char *words = vocabulary_text(&corpus.vocabulary);
    snprintf(parts, sizeof parts, "%016" PRIx64 " %016" PRIx64 " %016" PRIx64, corpus.hash[0], corpus.hash[1],
             corpus.hash[2]);
    json_object_set_new(note, "words", json_string(words));
    json_object_set_new(note, "parts", json_string(parts));
    json_object_set_new(note, "named", json_integer(corpus.named));
    free(words);
}

void data_note(const struct settings *s, json_t *note)
{
    (void)s;
    if (tokens == DATA_WORDS)
        note_words(note);
    else
        json_object_set_new(note, "tokens", json_integer(8 * text.token_size));
}

void data_describe_model(const struct ssa_model_config *model, char *words, size_t size)
{
    char cutoffs[64] = "";
    const char *what = model_int(model, "cutoffs") ? ", cutoffs " : "";
    snprintf(words, size, "length %d, vocabulary %d%s%s", model_int(model, "length"), model_int(model, "vocabulary"),
             what, *what ? model_ints(model, "cutoffs", cutoffs) : "");
}

/* ---- tokens ---- */

/* Neighbouring windows from the start of the text. */
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory)
{
    const struct ssa_data *data = &s->data.part[PART_TRAIN];
    size_t count = (size_t)pass->batch * (size_t)pass->length;
    int32_t *ids = *memory = malloc(2 * count * sizeof *ids);
    pass->tokens = ids;
    pass->targets = ids + count;
    for (size_t i = 0; ids && i < count; i++) {
        ids[i] = (int32_t)text_token(data, i % (data->count - 1));
        ids[count + i] = (int32_t)text_token(data, i % (data->count - 1) + 1);
    }
    return ids ? SSA_OK : SSA_ENOMEM;
}

/* Random tokens; words as often as words are, the r-th of them 1/r times as often as the first. */
struct ssa_data data_invent(const struct settings *s)
{
    const size_t count = 64 * ((size_t)model_int(&s->model, "length") + 1);
    const int vocabulary = model_int(&s->model, "vocabulary");
    uint32_t *ids = malloc(count * sizeof *ids);
    uint64_t x = 1;
    for (size_t i = 0; ids && i < count; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        ids[i] = tokens == DATA_WORDS ? (uint32_t)(exp((double)(x >> 33) / 2147483648.0 * log(vocabulary)) - 0.5)
                                      : (uint32_t)(x >> 33) % (uint32_t)vocabulary;
    }
    return (struct ssa_data){.items = ids, .count = count, .item_size = sizeof *ids};
}

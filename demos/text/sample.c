/* ssacl-text sample: what a checkpoint writes. */
#include "sample.h"

#include "corpus.h"
#include "data.h"
#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "run/devices.h"
#include "signals.h"
#include "words.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *checkpoint, *device, *prompt, *prompt_tokens, *dictionary;
    uint64_t seed;
    float temperature;
    int count, top_k, precision, raw, json, verbose, tokens;
} options;

/* What is continued: ids of tokens, which may be bytes, or of words. */
struct prompt {
    uint32_t *ids;
    size_t count, capacity;
    bool of_bytes;
    struct vocabulary words; /* none: they are not of words */
    bool line_begins;        /* what is written next is the first word of its line */
};

static const char about[] =
    "Continues a prompt byte by byte with dense attention, and prints prompt and continuation as they come. On a "
    "terminal control characters are shown as '?'. A model of words continues the words of the prompt, which begin a "
    "line; those that it does not know are <unk>. A model of other tokens than bytes (`train --tokens 16`) continues "
    "the ids of --prompt-tokens, or of a token file, --prompt FILE --tokens 16, and prints ids.";

static const char examples[] =
    "examples:\n"
    "  ssacl-text sample --checkpoint ssa.safetensors --prompt 'The history of' --count 500\n"
    "  head -c 300 chapter.txt | ssacl-text sample -c ssa.safetensors --prompt - --temperature 0\n"
    "  ssacl-text sample -c gpt2.safetensors --prompt-tokens '464 2106 286' --count 50\n";

static const struct arg table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_FLAG(0, "raw-weights", &options.raw, RAW_WEIGHTS_HELP),
    ARG_TEXT('p', "prompt", &options.prompt, "TEXT",
             "what to continue; - reads it from stdin. With --tokens 16 or 32, a token file"),
    ARG_TEXT(0, "prompt-tokens", &options.prompt_tokens, "IDS", "the ids to continue, with blanks between"),
    ARG_CHOICE(0, "tokens", &options.tokens, TEXT_TOKEN_NAMES, "bits of a token in the file of --prompt"),
    ARG_TEXT(0, "dictionary", &options.dictionary, "FILE",
             "its words, where the checkpoint has none: one a line, as in fairseq's dict.txt"),
    ARG_INT('n', "count", &options.count, 1, INT_MAX, "N", "bytes, words, or tokens, to write"),
    ARG_FLOAT('t', "temperature", &options.temperature, 0, 100, "T",
              "below 1 what is more likely gets likelier; 0: always the likeliest"),
    ARG_INT('k', "top-k", &options.top_k, 0, 1 << 20, "K", "draw from the K likeliest only; 0: from all"),
    ARG_U64('s', "seed", &options.seed, "N", "of the draws"),
    ARG_TEXT(0, "device", &options.device, "NAME", "auto, cpu, opencl, opencl:PLATFORM:DEVICE, or a part of a name"),
    ARG_CHOICE(0, "precision", &options.precision, PRECISIONS, PRECISION_HELP),
    ARG_FLAG('v', "verbose", &options.verbose, "what the library logs, too, and tokens/s, which terminals get anyway"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout"),
    ARG_END};

static void put_byte(int byte)
{
    static int before;
    int control = (byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f ||
                  (before == 0xc2 && byte >= 0x80 && byte < 0xa0); /* C1, of which U+009B starts sequences as ESC [ does */
    before = byte;
    putchar(control && isatty(STDOUT_FILENO) ? '?' : byte);
}

static struct {
    int count;
    double first, last; /* when they came */
} came;

/* With blanks between those of a line. */
static void put_word(struct prompt *p, uint32_t id)
{
    size_t length;
    const unsigned char *word = vocabulary_word(&p->words, id, &length);
    if (id == WORD_END) {
        putchar('\n');
    } else {
        if (!p->line_begins)
            putchar(' ');
        for (size_t i = 0; i < length; i++)
            put_byte(word[i]);
    }
    p->line_begins = id == WORD_END;
}

/* Ids stand in a line, with blanks between. */
static void put_token(struct prompt *p, uint32_t token, bool first)
{
    if (p->words.count)
        put_word(p, token);
    else if (p->of_bytes)
        put_byte((int)token);
    else
        printf("%s%" PRIu32, first ? "" : " ", token);
}

static int on_token(void *cookie, int32_t token)
{
    struct prompt *prompt = cookie;
    came.last = now_seconds();
    came.first = came.count++ ? came.first : came.last;
    if (!options.json) {
        put_token(prompt, (uint32_t)token, false);
        fflush(stdout);
    }
    return interrupted;
}

/* The first is left out of the speed: it waits for the pass over the prompt. */
static void say_speed(void)
{
    if (!options.verbose && !isatty(STDERR_FILENO))
        return;
    fflush(stdout); /* which may go to the same place */
    if (came.last > came.first)
        say_note("%d tokens, %.1f tokens/s", came.count, (came.count - 1) / (came.last - came.first));
}

/* ---- JSON ---- */

static json_t *ids_json(const uint32_t *ids, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static json_t *text_json(const uint32_t *ids, size_t count)
{
    unsigned char *bytes = malloc(count + 1);
    for (size_t i = 0; bytes && i < count; i++)
        bytes[i] = (unsigned char)ids[i];
    json_t *text = bytes ? json_bytes(bytes, count) : NULL;
    free(bytes);
    return text;
}

static json_t *word_json(const struct vocabulary *words, uint32_t id)
{
    size_t length;
    const unsigned char *word = vocabulary_word(words, id, &length);
    return json_bytes(word, length);
}

static json_t *words_json(const struct vocabulary *words, const uint32_t *ids, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, word_json(words, ids[i]));
    return list;
}

static int print_result(const struct prompt *prompt, const uint32_t *ids, size_t count)
{
    json_t *result = json_pack("{s:o, s:s, s:o}", "checkpoint", json_text(options.checkpoint), "precision",
                               precision_name(options.precision), "seed", u64_json(options.seed));
    json_object_set_new(result, prompt->of_bytes ? "bytes" : "tokens", ids_json(ids, count));
    if (prompt->of_bytes)
        json_object_set_new(result, "text", text_json(ids, count));
    if (prompt->words.count)
        json_object_set_new(result, "words", words_json(&prompt->words, ids, count));
    json_object_set_new(result, "prompt", prompt->words.count ? words_json(&prompt->words, prompt->ids, prompt->count)
                                          : prompt->of_bytes  ? text_json(prompt->ids, prompt->count)
                                                              : ids_json(prompt->ids, prompt->count));
    return print_json(result);
}

/* ---- the command ---- */

static int add_id(struct prompt *p, uint32_t id)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 64;
        uint32_t *more = realloc(p->ids, capacity * sizeof *more);
        if (!more)
            return say_error("no memory for the prompt");
        p->ids = more;
        p->capacity = capacity;
    }
    p->ids[p->count++] = id;
    return 0;
}

/* --prompt-tokens */
static int parse_ids(struct prompt *p)
{
    static const char blanks[] = " \t\n,";
    char word[16];
    for (const char *at = options.prompt_tokens; *(at += strspn(at, blanks));) {
        size_t length = strcspn(at, blanks);
        uint64_t id = 0;
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), at);
        if (length >= sizeof word || parse_u64(word, &id) || id > INT32_MAX)
            return say_error("--prompt-tokens: '%s' is no id of a token, a whole number from 0", word);
        if (add_id(p, (uint32_t)id))
            return EXIT_FAILED;
        at += length;
    }
    return p->count ? 0 : say_error("--prompt-tokens: there is none");
}

/* The words of --prompt itself, or of stdin, behind the end of a line. */
static int read_words(struct prompt *p)
{
    unsigned char *own = NULL;
    size_t size = strlen(options.prompt), count = 0, unknown = 0;
    uint32_t *ids = NULL;
    const bool read = !strcmp(options.prompt, "-");
    int status = read ? text_read(options.prompt, &own, &size) : 0;
    status = status ? status : add_id(p, WORD_END);
    if (!status)
        status = corpus_split(&p->words, read ? own : (const unsigned char *)options.prompt, size, &ids, &count);
    for (size_t i = 0; i < count && !status; i++) {
        unknown += ids[i] == WORD_UNKNOWN;
        status = add_id(p, ids[i]);
    }
    if (unknown)
        say_note("%zu of the prompt's words %s not known, and <unk> to the model", unknown,
                 unknown == 1 ? "is" : "are");
    free(ids);
    free(own);
    return status;
}

/* The bytes of --prompt itself, or of stdin, or a token file. */
static int read_prompt(struct prompt *p, int token_size)
{
    unsigned char *own = NULL;
    size_t size = strlen(options.prompt);
    bool read = token_size > 1 || !strcmp(options.prompt, "-");
    int status = read ? text_read(options.prompt, &own, &size) : 0;
    if (!status && size % (size_t)token_size)
        status = say_error("%s: its %zu bytes are no whole number of tokens of %d bits", options.prompt, size,
                           8 * token_size);
    struct ssa_data data = {.items = read ? own : (const unsigned char *)options.prompt, .item_size = token_size};
    for (size_t i = 0; i < size / (size_t)token_size && !status; i++)
        status = add_id(p, text_token(&data, i));
    free(own);
    return status;
}

/* The checkpoint's, or of --dictionary. */
static int settle_words(struct prompt *p, const struct ssa_checkpoint *checkpoint)
{
    const int vocabulary = model_int(ssa_checkpoint_model(checkpoint), "vocabulary");
    if (trained_words(checkpoint, options.checkpoint, &p->words))
        return EXIT_FAILED;
    if (p->words.count || !options.dictionary)
        return !p->words.count || !options.dictionary ? 0
            : say_error("%s: has its words in it; leave --dictionary out", options.checkpoint);
    if (vocabulary_read_file(&p->words, options.dictionary))
        return EXIT_FAILED;
    return vocabulary_size(&p->words) == (uint64_t)vocabulary ? 0
        : say_error("%s: has %" PRIu32 " words, which make a vocabulary of %" PRIu64 ", and %s is of one of %d",
                    options.dictionary, p->words.count - WORDS_SPECIAL, vocabulary_size(&p->words), options.checkpoint,
                    vocabulary);
}

/* What is continued, and whether the model can. */
static int settle_prompt(struct prompt *p, const struct ssa_checkpoint *checkpoint)
{
    const uint32_t vocabulary = (uint32_t)model_int(ssa_checkpoint_model(checkpoint), "vocabulary");
    const int trained = trained_tokens(checkpoint);
    if (settle_words(p, checkpoint))
        return EXIT_FAILED;
    p->of_bytes = trained == DATA_BYTES && !p->words.count;
    if (!p->of_bytes && !p->words.count && !options.prompt_tokens && options.tokens <= 0)
        return say_error("%s: predicts %" PRIu32 " %s; give --prompt-tokens%s", options.checkpoint, vocabulary,
                         trained == DATA_WORDS ? "words, which are not in it" : "tokens, and is no model of bytes",
                         trained == DATA_WORDS ? ", or its words with --dictionary"
                                               : ", or --prompt FILE with --tokens 16 or 32");
    if (options.prompt_tokens                      ? parse_ids(p)
        : p->words.count && options.tokens <= 0 ? read_words(p)
                                                : read_prompt(p, options.tokens < 0 ? 1 : 1 << options.tokens))
        return EXIT_FAILED;
    for (size_t i = 0; i < p->count; i++)
        if (p->ids[i] >= vocabulary)
            return say_error("the prompt's token %zu (from 0) is %" PRIu32 ", and the vocabulary of %s has %" PRIu32, i,
                             p->ids[i], options.checkpoint, vocabulary);
    return 0;
}

static int generate(struct ssa_model *model, struct prompt *prompt)
{
    size_t seen = (size_t)model_int(ssa_model_config(model), "length"); /* it sees no more than the prompt's end */
    seen = seen < prompt->count ? seen : prompt->count;
    const int32_t *input = (const int32_t *)prompt->ids + (prompt->count - seen);
    int32_t *output = calloc((size_t)options.count, sizeof *output);
    struct ssa_generate how = {.temperature = options.temperature > 0 ? options.temperature : SSA_NONE,
                                 .top_k = options.top_k, .seed = options.seed, .token = on_token,
                                 .cookie = prompt};
    int status = output ? 0 : say_error("no memory for %d tokens", options.count);
    prompt->line_begins = true;
    for (size_t i = 0; i < prompt->count && !status && !options.json; i++)
        if (i || !prompt->words.count || prompt->ids[i] != WORD_END) /* the line that they begin */
            put_token(prompt, prompt->ids[i], i == 0);
    if (!status) {
        int outcome = ssa_generate(model, input, seen, (size_t)options.count, output, &how);
        if (outcome && !interrupted)
            status = library_failed();
    }
    if (!status && options.json && !interrupted)
        status = print_result(prompt, (const uint32_t *)output, (size_t)options.count);
    else if (!options.json)
        putchar('\n');
    if (!status)
        say_speed();
    free(output);
    return status ? status : interrupted ? EXIT_INTERRUPTED : finish_stdout();
}

/* What is written goes to stdout, which may be led to a file. */
static int check_files(void)
{
    struct files files = {0};
    files_read(&files, "--checkpoint", options.checkpoint);
    files_read(&files, "--prompt", options.tokens > 0 || !strcmp(options.prompt, "-") ? options.prompt : NULL);
    return files_check(&files);
}

int sample_main(const struct program *program, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(program, "sample"), .usage = "--checkpoint FILE [options]",
                                   .about = about, .examples = examples};
    struct loaded loaded = {0};
    struct prompt prompt = {0};
    options.prompt = "The ";
    options.tokens = -1;
    options.count = 400;
    options.temperature = 0.8f;
    options.device = "auto";
    int status = parse_options(table, &page, argc, argv, &options.checkpoint);
    if (status != ARGS_GO)
        return status;
    if (check_files())
        return EXIT_FAILED;
    say_set_quiet(options.json);
    say_library_log(options.verbose);
    status = load_model(&loaded, program, options.device, options.precision, options.checkpoint, 1, !options.raw);
    if (!status)
        status = settle_prompt(&prompt, loaded.checkpoint);
    signals_catch();
    if (!status)
        status = generate(loaded.model, &prompt);
    unload_model(&loaded);
    free(prompt.ids);
    vocabulary_free(&prompt.words);
    return status;
}

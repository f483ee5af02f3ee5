/* ssacl-text sample: what a checkpoint writes. */
#include "command.h"

#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "text.h"
#include "words.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *checkpoint, *device, *prompt;
    uint64_t seed;
    float temperature;
    int count, top_k, json, verbose;
} options;

static const char about[] =
    "Continues a prompt byte by byte with dense attention, and prints prompt and continuation as they come. On a "
    "terminal control characters are shown as '?'.";

static const char examples[] =
    "examples:\n"
    "  ssacl-text sample --checkpoint ssa.safetensors --prompt 'The history of' --count 500\n"
    "  head -c 300 chapter.txt | ssacl-text sample -c ssa.safetensors --prompt - --temperature 0\n";

static const struct arg table[] = {
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE", "the model"),
    ARG_TEXT('p', "prompt", &options.prompt, "TEXT", "what to continue; - reads it from stdin"),
    ARG_INT('n', "count", &options.count, 1, INT_MAX, "N", "bytes to write"),
    ARG_FLOAT('t', "temperature", &options.temperature, 0, 100, "T",
              "below 1 more likely bytes get likelier; 0: always the likeliest"),
    ARG_INT('k', "top-k", &options.top_k, 0, 256, "K", "draw from the K likeliest bytes only; 0: from all"),
    ARG_U64('s', "seed", &options.seed, "N", "of the draws"),
    ARG_TEXT(0, "device", &options.device, "NAME", "auto, cpu, opencl, opencl:PLATFORM:DEVICE, or a part of a name"),
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

static int on_token(void *cookie, int32_t token)
{
    (void)cookie;
    came.last = now_seconds();
    came.first = came.count++ ? came.first : came.last;
    if (!options.json) {
        put_byte(token);
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

static int print_result(const unsigned char *prompt, size_t prompt_size, const int32_t *tokens, size_t count)
{
    unsigned char *bytes = malloc(count + 1);
    json_t *list = json_array();
    for (size_t i = 0; bytes && i < count; i++) {
        bytes[i] = (unsigned char)tokens[i];
        json_array_append_new(list, json_integer(tokens[i]));
    }
    json_t *result = json_pack("{s:o, s:o, s:o, s:o, s:o}", "checkpoint", json_text(options.checkpoint), "prompt",
                               json_bytes(prompt, prompt_size), "text", bytes ? json_bytes(bytes, count) : NULL,
                               "bytes", list, "seed", u64_json(options.seed));
    free(bytes);
    return print_json(result);
}

/* ---- the command ---- */

/* `own` is to be freed. */
static int read_prompt(const unsigned char **prompt, size_t *size, unsigned char **own)
{
    *prompt = (const unsigned char *)options.prompt;
    *size = strlen(options.prompt);
    if (strcmp(options.prompt, "-"))
        return 0;
    if (text_read_stdin(own, size))
        return EXIT_FAILED;
    *prompt = *own;
    return *size ? 0 : say_error("--prompt -: stdin is empty; give at least one byte");
}

static int generate(struct ssa_model *model, const unsigned char *prompt, size_t prompt_size)
{
    size_t seen = (size_t)ssa_model_config(model)->gpt.length; /* the model sees no more than the prompt's end */
    seen = seen < prompt_size ? seen : prompt_size;
    int32_t *input = malloc(seen * sizeof *input), *output = calloc((size_t)options.count, sizeof *output);
    struct ssa_generate how = {.temperature = options.temperature > 0 ? options.temperature : SSA_NONE,
                                 .top_k = options.top_k, .seed = options.seed, .token = on_token};
    int status = input && output ? 0 : say_error("no memory for %d bytes of text", options.count);
    for (size_t i = 0; i < seen && !status; i++)
        input[i] = prompt[prompt_size - seen + i];
    for (size_t i = 0; i < prompt_size && !status && !options.json; i++)
        put_byte(prompt[i]);
    if (!status) {
        int outcome = ssa_generate(model, input, seen, (size_t)options.count, output, &how);
        if (outcome && !interrupted)
            status = library_failed();
    }
    if (!status && options.json && !interrupted)
        status = print_result(prompt, prompt_size, output, (size_t)options.count);
    else if (!options.json)
        putchar('\n');
    if (!status)
        say_speed();
    free(input);
    free(output);
    return status ? status : interrupted ? EXIT_INTERRUPTED : finish_stdout();
}

static const struct args_page page = {.name = "ssacl-text sample", .usage = "--checkpoint FILE [options]",
                                       .about = about, .examples = examples};

/* What is written goes to stdout, which may be led to a file. */
static int check_files(void)
{
    struct files files = {0};
    files_read(&files, "--checkpoint", options.checkpoint);
    files_read(&files, "--prompt", strcmp(options.prompt, "-") ? NULL : "-");
    return files_check(&files);
}

int sample_main(int argc, char **argv)
{
    struct loaded loaded = {0};
    const unsigned char *prompt;
    unsigned char *own = NULL;
    size_t size;
    options.prompt = "The ";
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
    status = read_prompt(&prompt, &size, &own);
    if (!status)
        status = load_model(&loaded, options.device, options.checkpoint, 1);
    signals_catch();
    if (!status)
        status = generate(loaded.model, prompt, size);
    unload_model(&loaded);
    free(own);
    return status;
}

/* The suites: options, and what of them runs. */
#include "bench.h"
#include "command.h"
#include "output.h"
#include "precision.h"

#include "args.h"
#include "presets.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>

/* The closed set: fixed work, so that results of two machines may be put side by side. Its name is raised whenever a
 * case, a shape, a seed, or the number of samples of the set changes. */
#define CLOSED_NAME "closed-3"
#define CLOSED_ABOUT \
    "--closed runs " CLOSED_NAME ", whose work nobody can change, so that what two machines print may be compared: " \
    "the roofs; four linear layers (4096 rows, C 256); attention H8 D64, N 1024 and 2048, dense, k=N/4, k=N/8 and " \
    "local w=N/4, causal and not; every operator; training steps, dense and sampled, of a GPT (L6 C256 H8 N512 B8), " \
    "a ViT, a model of pixels, a Swin, a model of words and one of graphs. Seeds are fixed, 9 samples a case. Only " \
    "--device, --build-times and where the output goes may be given."

static const struct suite *const suites[] = {&peak_suite, &gemm_suite, &attention_suite, &operators_suite,
                                             &step_suite};
enum { SUITES = sizeof suites / sizeof *suites };

static struct {
    struct bench bench;
    struct output_options output;
    struct arg_list words;
    const char *devices, *preset;
    int closed, list, compare;
} request;

static const struct arg table[] = {
    ARG_NAMES('d', "device", &request.devices, "NAMES",
              "all, or names with commas between (may be repeated): auto, cpu, opencl, opencl:PLATFORM:DEVICE, or a "
              "part of a name"),
    ARG_LIST('f', "filter", &request.bench.filters, "WORDS",
             "only cases and directions with all of these words in them: 'dense causal N2048 bwd'; may be repeated"),
    ARG_FLAG('l', "list", &request.list, "name the cases and run none"),
    ARG_INT('r', "reps", &request.bench.reps, 1, MAX_REPS, "N",
            "samples of each case (11 to 15; steps 7; quick 3), never fewer than 5 for want of time"),
    ARG_REAL('s', "seconds", &request.bench.seconds, 0.01, 3600, "S", "then no more samples of a case (default: 5)"),
    ARG_FLAG('q', "quick", &request.bench.quick, "small cases: to see that it works, not to judge speed"),
    ARG_TEXT(0, "only", &request.bench.only, "CASE", "the case of exactly that name, as --list has it"),
    ARG_FLAG(0, "build-times", &request.bench.build_times,
             "also how long kernels take to build, with every cache empty and again: two processes more a case"),
    ARG_FLAG(0, "closed", &request.closed, "fixed work, to be put side by side: see above"),
    ARG_HEADING("Output"),
    OUTPUT_ARGUMENTS(&request.output),
    ARG_FLAG(0, "compare", &request.compare, "A.json B.json: set two results side by side (see compare --help)"),
    ARG_HEADING("Of the attention suite"),
    ARG_INT('b', "batch", &request.bench.batch, 1, 1 << 16, "B",
            "examples (default: 1); with --preset the sequences of a step, in one pass (default: the preset's, in its "
            "passes)"),
    ARG_INT(0, "heads", &request.bench.heads, 1, 1 << 12, "H", "heads (default: 8)"),
    ARG_INT(0, "width", &request.bench.width, 8, 256, "D", "width of a head, a multiple of 8 (default: 64)"),
    ARG_INT('n', "length", &request.bench.length, 16, 1 << 22, "N", "sequence length (default: 1024, 2048 and 4096)"),
    ARG_REAL(0, "ratio", &request.bench.ratio, 1e-6, 1, "R",
             "share of the keys that a query sees, in place of the suite's"),
    ARG_FLAG(0, "own-key", &request.bench.own_key, "queries also see their own key"),
    ARG_HEADING("Of the gemm, the attention and the step suite"),
    ARG_CHOICE(0, "precision", &request.bench.precision, PRECISIONS,
               "fast: products on a matrix engine of bf16, operands in two parts; bf16: rounded. Peaks stay those of "
               "float32"),
    ARG_HEADING("Of the step suite"),
    ARG_TEXT(0, "preset", &request.preset, "NAME",
             "steps of this configuration (of `ssacl-text train`, `ssacl-image train` and `ssacl-graph train`) without "
             "dropout, sampled and dense, in place of the suite's. help: lists them"),
    ARG_END};
enum { ARGUMENTS = sizeof table / sizeof *table };

static const char about[] =
    "Times the library: peak (the two roofs), gemm (linear layers), attention, operators (every one), step (training "
    "steps). Each case is first checked against a reference in double precision: a wrong one is reported as wrong, "
    "without a speed, and the exit status is 1. Between the samples the bench measures what the device can do at most: "
    "float32 multiply-adds, and a triad over as many bytes as the case goes through.\n"
    "Columns: the median and the least time of a call; the spread between the quartiles; GFLOP/s on the work done and "
    "GB/s of the traffic that cannot be avoided; the share of the roof that binds, and which that is; busy, the share "
    "of the processors' time that was had, which others lower; the largest error, relative; the device memory that was "
    "needed. --json has more, every sample among it.\n"
    CLOSED_ABOUT;

static const char examples[] =
    "examples:\n  ssacl-bench all --device all --output mine.json --html mine.html\n"
    "  ssacl-bench attention --device cpu --length 4096 --ratio 0.125\n"
    "  ssacl-bench gemm --filter 'out 256 dw'\n"
    "  ssacl-bench --closed --output mine.json\n"
    "  ssacl-bench --compare theirs.json mine.json\n"
    "  ssacl-bench show theirs.json mine.json --html both.html\n\n"
    "exit status: 0 all right, 1 a wrong or failed case, 2 usage, 130 stopped (what was finished is written)\n";

enum { CLOSED_REPS = 9 };

static const char *const allowed[] = {"closed", "device", "json", "csv", "markdown", "output", "html", "charts",
                                      "list", "build-times"};
static const char *const variables[] = {"SSACL_SHAPE", "SSACL_ISA", "SSACL_CL_DIR", "SSACL_THREADS",
                                        "SSACL_PORTABLE"};

static bool is_allowed(const char *option)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!strcmp(option, allowed[i]))
            return true;
    return false;
}

/* Takes the set's settings; says what stands in its way: an option (`given` beside `table`), a suite, a variable of the
 * environment that changes which kernels run. Returns an exit status. */
static int closed_begin(struct bench *b, const unsigned char *given, const struct arg_list *words)
{
    for (int i = 0; table[i].kind; i++)
        if (given[i] && !is_allowed(table[i].name)) {
            say_error("--closed is fixed work: --%s would change it; leave out one of the two", table[i].name);
            return EXIT_USAGE;
        }
    if (words->count > 1 || (words->count && strcmp(words->items[0], "all"))) {
        say_error("--closed runs its own cases of every suite: name none");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i])) {
            say_error("--closed is fixed work: unset %s, which changes it", variables[i]);
            return EXIT_USAGE;
        }
    b->closed = CLOSED_NAME;
    b->reps = CLOSED_REPS;
    b->seconds = 0;
    return 0;
}

static int choose_suites(struct selection *s)
{
    const struct arg_list *words = &request.words;
    for (int i = 0; i < SUITES; i++) {
        bool chosen = request.closed;
        for (int w = 0; w < words->count; w++)
            chosen |= !strcmp(words->items[w], suites[i]->name) || !strcmp(words->items[w], "all");
        if (chosen)
            s->suites[s->suite_count++] = suites[i];
    }
    for (int w = 0; w < words->count; w++) {
        bool known = !strcmp(words->items[w], "all");
        for (int i = 0; i < SUITES; i++)
            known |= !strcmp(words->items[w], suites[i]->name);
        if (!known) {
            say_error("'%s' is no suite: peak, gemm, attention, operators, step or all (see --help)", words->items[w]);
            return EXIT_USAGE;
        }
    }
    if (s->suite_count)
        return 0;
    say_error("name a suite: peak, gemm, attention, operators, step or all; or --closed; see --help");
    return EXIT_USAGE;
}

static void set_defaults(struct bench *b)
{
    if (!b->reps && b->quick)
        b->reps = 3;
    else if (!b->reps && !(b->seconds > 0))
        b->seconds = 5;
}

int run_main(int argc, char **argv)
{
    static struct output output;
    unsigned char given[ARGUMENTS] = {0};
    struct selection selection = {0};
    struct bench *b = &request.bench;
    const struct args_page page = {.name = "ssacl-bench",
                                   .usage = "SUITE... [options]   (or: compare, show, tune, pool)",
                                   .about = about, .examples = examples, .rest = &request.words, .given = given};
    request.devices = "auto";
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (request.preset && !(b->preset = preset_find(request.preset, ~0u, &status)))
        return status;
    if (request.compare)
        return compare_words(&request.words, &request.output);
    say_set_quiet(request.output.json && !request.output.path);
    say_library_log(false);
    if ((request.closed && (status = closed_begin(b, given, &request.words)) > 0) ||
        (status = choose_suites(&selection)) > 0)
        return status;
    if (!request.closed)
        set_defaults(b);
    selection.devices = request.devices;
    selection.list_only = request.list;
    if (!request.list && (status = output_begin(&output, &request.output, argc, argv)) > 0)
        return output_abandon(&output), status;
    b->output = &output;
    signals_survive_writes();
    signals_catch();
    status = run_selection(b, &selection);
    return output_end(&output) ? EXIT_FAILED : status;
}

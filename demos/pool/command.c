/* ssacl-bench pool: what several devices do together against what each does alone. */
#include "command.h"
#include "output.h"
#include "pool.h"

#include "progress.h"
#include "say.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct pool_options pool;
    struct bench bench;
    struct output_options output;
    int list;
} request;

static const char about[] =
    "Trains a model, and evaluates a self-ensemble of it, on each device alone, on a pool of one, and on a pool of "
    "all. They take turns, one call each a round. Efficiency is the pool's rate over the sum of the single ones, round "
    "by round: the median, and the quartiles.\n"
    "Devices of one machine share more than a pool decides: the bandwidth of memory, caches, clocks. So each round "
    "also has all of them work at once without a pool, each on its own; what they lose then is no pool's fault.\n"
    "Two devices that are one processor are measured right only where each keeps to cores of its own: on PoCL "
    "POCL_DEVICES='basic basic' makes two of one core each.";

static const char examples[] =
    "examples:\n"
    "  ssacl-bench pool --device all --output pool.json\n"
    "  POCL_DEVICES='basic basic' ssacl-bench pool --device opencl:0:0,opencl:0:1\n"
    "  POCL_DEVICES='basic basic' ssacl-bench pool --device opencl:0:0,opencl:0:1 --molecules\n"
    "  SSACL_THREADS=1 POCL_DEVICES=basic ssacl-bench pool --device opencl:0:0,cpu --filter train\n";

static const struct arg table[] = {
    ARG_NAMES('d', "device", &request.pool.devices, "NAMES",
              "all, or devices with commas between; may be repeated"),
    ARG_FLAG(0, "molecules", &request.pool.molecules, "train a model of graphs, of mixed size, instead of one of text"),
    ARG_INT(0, "layers", &request.pool.model.layers, 1, 64, "N", "of the model: 6, of molecules 4"),
    ARG_INT(0, "width", &request.pool.model.width, 8, 65536, "C", "of the model: 256, of molecules 64"),
    ARG_INT(0, "heads", &request.pool.model.heads, 1, 1024, "H", "of the model: 8"),
    ARG_INT('n', "length", &request.pool.model.length, 16, 1 << 20, "N", "of the model: 512; most atoms: 40"),
    ARG_INT('b', "batch", &request.pool.model.batch, 1, 65536, "B", "sequences in a step: 16, of molecules 256"),
    ARG_INT(0, "micro-batch", &request.pool.micro_batch, 1, 65536, "N",
            "sequences in a pass, of one device: 1, of molecules 16"),
    ARG_INT(0, "sort-steps", &request.pool.sort_steps, 1, 1024, "N",
            "steps whose molecules are sorted by size and dealt out, as by ssacl-graph; 1: a step has all sizes"),
    ARG_CHOICE('a', "attention", &request.pool.kind, "dense|unbiased|unbiased-eighth|look-back",
               "of training: all keys, or a quarter, or an eighth of them"),
    ARG_INT('M', "passes", &request.pool.passes, 1, 1000, "M", "of the self-ensemble, each with a quarter of the keys"),
    ARG_INT(0, "windows", &request.pool.windows, 1, 1 << 20, "N", "that it is evaluated on"),
    ARG_LIST('f', "filter", &request.bench.filters, "WORDS", "only cases with all of these words: train, ensemble"),
    ARG_FLAG('l', "list", &request.list, "name the cases and run none"),
    ARG_INT('r', "reps", &request.bench.reps, 1, MAX_REPS, "N", "rounds"),
    ARG_REAL('s', "seconds", &request.bench.seconds, 0, 36000, "S", "then no more of them, after the third; 0: all"),
    ARG_FLAG('q', "quick", &request.bench.quick, "a small model: to see that it works, not to judge speed"),
    ARG_HEADING("Output"),
    OUTPUT_ARGUMENTS(&request.output),
    ARG_END};

static void run_case(const struct bench_case *c)
{
    static const struct ssa_device_info nobody = {.id = "pool", .name = "pool", .platform = "ssacl"};
    char why[512];
    progress_begin(c->name, request.bench.reps);
    int err = pool_run(&request.bench, &request.pool, c);
    progress_end();
    if (err == SSA_OK || err == SSA_ESTOPPED)
        return;
    snprintf(why, sizeof why, "%s (%s)", ssa_last_error(), ssa_status_name(err));
    output_use_device(request.bench.output, &nobody);
    emit_absence(&request.bench, &pool_suite, c, err == SSA_ENOMEM ? "skipped" : "failed", why);
    say_error("%s: %s", c->name, why);
}

static int run_cases(const struct case_list *list)
{
    int ran = 0;
    for (int i = 0; i < list->count && !interrupted; i++) {
        const struct bench_case *c = &list->items[i];
        if (!bench_wants(&request.bench, "pool", c->name, c->directions))
            continue;
        ran++;
        if (request.list)
            printf("pool\t%s\t%s\n", c->name, c->directions);
        else
            run_case(c);
    }
    if (interrupted)
        say_error("stopped: what was finished is kept");
    const struct output *o = request.bench.output;
    return interrupted ? EXIT_INTERRUPTED
           : !ran        ? say_error("no case fits the filter: --list shows what there is")
           : o && (o->wrong || o->failed) ? EXIT_FAILED : 0;
}

static const struct args_page page = {.name = "ssacl-bench pool", .usage = "[options]", .about = about,
                                      .examples = examples};

/* Fills in what is not said. */
static void settle(struct pool_options *o, bool quick)
{
    static const struct gpt text = {6, 256, 8, 512, 16}, molecules = {4, 64, 8, 40, 256}, small = {2, 64, 2, 128, 16},
                            few = {2, 32, 2, 16, 32};
    const struct gpt usual = o->molecules ? quick ? few : molecules : quick ? small : text;
    struct gpt *g = &o->model;
    if (quick)
        *g = (struct gpt){.batch = g->batch};
    g->layers = g->layers ? g->layers : usual.layers;
    g->width = g->width ? g->width : usual.width;
    g->heads = g->heads ? g->heads : usual.heads;
    g->length = g->length ? g->length : usual.length;
    g->batch = g->batch ? g->batch : usual.batch;
    o->micro_batch = o->micro_batch ? o->micro_batch : !o->molecules ? 1 : quick ? 2 : 16;
}

static int check(const struct pool_options *o)
{
    if (o->model.batch % o->micro_batch)
        return say_error("--batch is %d, must be a multiple of --micro-batch, %d", o->model.batch, o->micro_batch);
    if (o->molecules && o->model.width % 4)
        return say_error("--width is %d, must be a multiple of 4: edges are a quarter as wide", o->model.width);
    if (o->molecules && o->kind == GPT_LOOK_BACK)
        return say_error("--attention look-back is of text: atoms have no order");
    return 0;
}

int pool_main(int argc, char **argv)
{
    static struct output output;
    struct case_list list = {0};
    request.pool = (struct pool_options){.passes = 20, .windows = 4, .sort_steps = 1, .devices = "all"};
    request.bench.reps = pool_suite.reps;
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    say_set_quiet(request.output.json && !request.output.path);
    say_library_log(false);
    settle(&request.pool, request.bench.quick);
    if (check(&request.pool))
        return EXIT_USAGE;
    if (!request.list) {
        if ((status = output_begin(&output, &request.output, argc + 1, argv - 1)) > 0) /* main's own line */
            return output_abandon(&output), status;
        request.bench.output = &output;
    }
    signals_survive_writes();
    signals_catch();
    status = pool_list(&request.pool, &list) ? EXIT_FAILED : run_cases(&list);
    free(list.items);
    return output_end(&output) ? EXIT_FAILED : status;
}

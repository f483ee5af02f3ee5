#include "train_options.h"

#include "devices.h"
#include "model.h"
#include "presets.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What the command line says beyond what becomes an option as it is. */
struct raw {
    struct ssa_stage preset;
    const char *stages, *name; /* of a preset */
    int steps, fine_tune, accumulate;
    float fine_tune_lr;
};

static const char about[] =
    "Trains a model on the bytes of files (or with --tokens, on the tokens of token files): the first 90% of each file "
    "for training, the next 5% for validation, the last 5% left for `eval`. Without more "
    "options this is dense attention; --attention or --stages sample it.\n"
    "\n"
    "Ctrl-C (or SIGTERM, SIGQUIT) stops after the step at hand, writes the checkpoint and exits with 130; a second one "
    "ends at once. So do SIGHUP, SIGXCPU, SIGUSR1 and SIGUSR2, unless they are ignored (nohup). --resume continues such a run, or one that was killed, from its last checkpoint, as if it had never "
    "stopped.\n"
    "\n"
    "Under mpirun or srun the processes train one model together, each on a part of the passes of a step "
    "(--accumulate); devices of one machine are dealt out among them. Rank 0 speaks and writes all files. --alone: not so.";

static const char about_plan[] =
    "Says what `ssacl-text train` with the same options would take, before it starts: parameters, memory by kind, "
    "floating-point operations of a step (forward and backward, of products only; attention by the pairs of queries "
    "and keys that are drawn), seconds of a step, and the time of all of it, stage by stage. Seconds are measured: some "
    "steps of the run itself, or where those would take long (--measure) of fewer layers and passes, and that is said. "
    "Without --data none is checked, and --tokens needs --vocabulary. Nothing is written. A run that does not fit is "
    "planned too, with what would make it fit.";

static const char examples[] =
    STAGES_HELP
    "\n"
    "examples:\n"
    "  # dense\n"
    "  ssacl-text train --data enwik8 --layers 6 --width 256 --heads 8 --length 512 --steps 5000\n"
    "  # the recipe of the paper: sampled, then a short dense fine-tune\n"
    "  ssacl-text train --data enwik8 --attention local --look-back --ratio 0.25 --steps 4500 \\\n"
    "                   --fine-tune 500 --checkpoint ssa.safetensors --log ssa.jsonl\n"
    "  # tokens of GPT-2, as nanoGPT's data/openwebtext/prepare.py writes them\n"
    "  ssacl-text train --data train.bin --tokens 16 --vocabulary 50257 --layers 6 --width 384 --heads 6\n"
    "  # go on after Ctrl-C; make it longer\n"
    "  ssacl-text train --data enwik8 --resume ssa.safetensors --log ssa.jsonl\n"
    "  ssacl-text train --data enwik8 --resume ssa.safetensors --log ssa.jsonl --steps 8000\n";

/* Headings whose options a checkpoint answers already. */
#define MODEL_HEADING "model"
#define ATTENTION_HEADING "attention (of every stage that does not say otherwise)"
#define TRAINING_HEADING "training"

static struct train_options options;
static struct raw raw;

static const struct arg text_table[] = {
    ARG_HEADING("text"),
    ARG_LIST('d', "data", &options.data, "FILE", "text to train on, - for stdin; repeat it for several files"),
    ARG_CHOICE(0, "tokens", &options.tokens, TEXT_TOKEN_NAMES,
               TOKENS_HELP "; losses are then nats a token, and perplexity. If not said, 8, or as the checkpoint's"),
    ARG_HEADING(MODEL_HEADING),
    ARG_TEXT(0, "preset", &raw.name, "NAME", PRESET_HELP),
    ARG_END};

static const struct arg run_table[] = {
    ARG_HEADING(ATTENTION_HEADING),
    ARG_CHOICE('a', "attention", &raw.preset.pattern.kind, "dense|unbiased|local",
               "which keys a query sees: all, a uniform sample, or a slice of locally shuffled ones"),
    ARG_FLOAT('r', "ratio", &raw.preset.pattern.ratio, 0, 1, "R",
              "keys that a query sees, as a share of the length, over 0"),
    ARG_FLAG(0, "look-back", &raw.preset.pattern.look_back,
             "local: see the slice before one's own too, each half as long; best for text"),
    ARG_FLOAT(0, "sigma", &raw.preset.pattern.sigma, 0, 1e6, "S", "local: how far keys are shuffled, in slices; 0: 1"),
    ARG_FLAG(0, "fixed-windows", &raw.preset.pattern.fixed_windows, "local: no shuffle at all"),
    ARG_INT(0, "first-dense", &raw.preset.pattern.dense_first, 0, 1000, "N", "so many of the first layers stay dense"),
    ARG_INT(0, "last-dense", &raw.preset.pattern.dense_last, 0, 1000, "N", "so many of the last layers stay dense"),
    ARG_FLOAT(0, "ratio-last", &raw.preset.pattern.ratio_last, 0, 1, "R",
              "ratio of the last layer; those between grow evenly"),
    ARG_INT(0, "keep-first", &raw.preset.pattern.keep_first, 0, 64, "N", "so many first positions are seen by all"),
    ARG_FLAG(0, "per-example", &raw.preset.pattern.per_example, "a sample for each sequence of the batch"),
    ARG_TEXT(0, "stages", &raw.stages, "STAGES", "a sequence of stages, see below; replaces --steps and --fine-tune. With --resume: more of them"),
    ARG_HEADING(TRAINING_HEADING),
    ARG_INT('n', "steps", &raw.steps, 1, INT_MAX, "N", "optimiser steps. With --resume: of all, to make a run longer; they go on as the last "
            "stage does, at its --lr-end"),
    ARG_INT(0, "fine-tune", &raw.fine_tune, 0, INT_MAX, "N", "so many dense steps after them"),
    ARG_FLOAT(0, "fine-tune-lr", &raw.fine_tune_lr, 0, 100, "X", "their learning rate; 0: a quarter of --lr"),
    ARG_INT('b', "batch", &options.micro_batch, 1, 65536, "N", "sequences in a pass"),
    ARG_INT(0, "accumulate", &raw.accumulate, 1, 65536, "N", "passes in a step"),
    ARG_FLOAT(0, "lr", &raw.preset.lr, 1e-12, 100, "X", "peak learning rate"),
    ARG_FLOAT(0, "lr-end", &raw.preset.lr_end, 0, 100, "X", "where its cosine ends; 0: a tenth"),
    ARG_INT(0, "warm-up", &raw.preset.warmup, 0, INT_MAX, "N",
            "steps of linear warm-up; if not said, a twentieth of the stage"),
    ARG_FLOAT(0, "decay", &options.training.decay, 0, 10, "X", "weight decay, of matrices only; 0: none"),
    ARG_FLOAT(0, "clip", &options.training.clip, 0, 1e6, "X", "largest norm of the gradient; 0: none"),
    ARG_FLOAT(0, "smoothing", &options.training.smoothing, 0, 0.9, "X", "label smoothing"),
    ARG_FLOAT(0, "ema", &options.training.ema, 0, 0.999999, "X",
              "keep a moving average of the weights, of which each step leaves X and adds 1 - X of the new weights: "
              "0.999 say. Evaluations look at it, checkpoints have both; 0: none"),
    ARG_U64('s', "seed", &options.training.seed, "N", "of initial weights, data, samples and dropout"),
    ARG_HEADING("files"),
    ARG_TEXT('c', "checkpoint", &options.checkpoint, "FILE",
             "where the model is written, whole or not at all. FILE.lock beside it keeps other runs away meanwhile"),
    ARG_INT(0, "every", &options.every, 0, INT_MAX, "N",
            "write it every N steps too; 0: at the end only. If that fails, the run goes on and tries again"),
    ARG_FLAG(0, "keep-stages", &options.keep_stages,
             "keep a copy at the end of each stage but the last: FILE.stage1, ..."),
    ARG_TEXT(0, "resume", &options.resume, "FILE",
             "continue the run of this checkpoint (and write to it, without --checkpoint)"),
    ARG_TEXT(0, "from", &options.from, "FILE", "start with the weights of this checkpoint (not with an average of them)"),
    ARG_FLAG('f', "force", &options.force, "replace a checkpoint, its copies and a log that are there"),
    ARG_TEXT('l', "log", &options.log, "FILE",
             "write a JSON object a line: settings, steps, evaluations; for `report`"),
    ARG_HEADING("running"),
    ARG_NAMES(0, "device", &options.device, "NAMES",
              DEVICES_HELP "; several share the passes of a step (--accumulate)"),
    ARG_FLAG(0, "alone", &options.alone,
             "a run of this process alone, whatever launcher of many it was started under"),
    ARG_INT(0, "log-every", &options.log_every, 1, 1000, "N", "steps between lines of the log"),
    ARG_INT(0, "eval-every", &options.eval_every, 0, INT_MAX, "N", "steps between evaluations; 0: at the end only"),
    ARG_INT(0, "eval-windows", &options.eval_windows, 1, INT_MAX, "N",
            "sequences of the validation part used each time"),
    ARG_TEXT(0, "best", &options.best, "FILE",
             "keep the model of the least validation loss here, looked at every --eval-every steps, or (0) once an epoch"),
    ARG_INT(0, "patience", &options.patience, 0, INT_MAX, "N",
            "end the run after N such looks one after another that were no better; 0: go on"),
    ARG_FLAG(0, "best-sampled", &options.best_sampled,
             "for these two what counts is a sampled pass, as the first stage trains, not a dense one"),
    ARG_INT(0, "profile", &options.profile, 0, 1000, "N",
            "after training, time N passes of each stage operator by operator"),
    ARG_HEADING("devices that fail (are taken out; the others go on)"),
    ARG_CHOICE(0, "last-device", &options.pool.last, "host|stop",
               "when the last one is lost: go on on the cpu, or write the checkpoint and stop"),
    ARG_REAL(0, "deadline", &options.pool.deadline, 0, 1e6, "S",
             "seconds beyond four times the expected that a device may be silent; 0: for ever"),
    ARG_INT(0, "copy-every", &options.pool.copy_every, 0, INT_MAX, "N",
            "steps between copies of the run to host memory, to go on from if the last one is lost; 0: none"),
    ARG_INT(0, "check-every", &options.pool.check_every, 0, INT_MAX, "N",
            "every N steps two devices compute the same, and who is wrong is taken out; 0: never"),
    ARG_HEADING("output"),
    ARG_FLAG('q', "quiet", &options.quiet, "only errors"),
    ARG_FLAG('v', "verbose", &options.verbose, "what the library logs, too"),
    ARG_FLAG(0, "json", &options.json, "one object on stdout at the end, no notes"),
    ARG_END};

/* What `plan` has besides. */
static const struct arg plan_table[] = {
    ARG_HEADING("planning"),
    ARG_REAL(0, "measure", &options.measure, 0, 1e6, "S",
             "seconds to measure a stage, about: where a few steps take longer, steps of fewer layers and passes are "
             "measured; 0: nothing is"),
    ARG_END};

/* Between the first two are the fields of the model. */
static const struct model_option model_options[] = {
    {"vocabulary", 0, 0, "ids that the model knows, those of the data must be below; 0: 256, or of token files the "
                         "data's largest and one"},
    {"length", 'N', 8, "bytes, or tokens, in a sequence"},
    {"bidirectional", .help = NULL}, /* would see what it is to predict */
    {0}};

enum { OPTIONS_MAX = 120 };
static struct arg table[OPTIONS_MAX + 1];

static int append(int count, const struct arg *more)
{
    while (more->kind && count < OPTIONS_MAX)
        table[count++] = *more++;
    return count;
}

static void make_table(bool plan)
{
    int count = append(0, text_table);
    count += model_args(&options.model, model_options, table + count, OPTIONS_MAX - count);
    count = append(count, run_table);
    count = plan ? append(count, plan_table) : count;
    table[count] = (struct arg)ARG_END;
}

static int makes_longer(const char *option)
{
    return !strcmp(option, "steps") || !strcmp(option, "stages");
}

/* A checkpoint knows its model and run: options that say it again might say it differently. */
static int refuse_given(const unsigned char *given, const char *what, int whole_run)
{
    int known = 0;
    for (int i = 0; table[i].kind; i++) {
        if (table[i].kind == ARG_KIND_HEADING)
            known =
                !strcmp(table[i].help, MODEL_HEADING) ||
                (whole_run && (!strcmp(table[i].help, ATTENTION_HEADING) || !strcmp(table[i].help, TRAINING_HEADING)));
        else if (known && given[i] && !(whole_run && makes_longer(table[i].name))) {
            say_error("--%s does not go with %s: the checkpoint settles it; leave it out", table[i].name, what);
            return EXIT_USAGE;
        }
    }
    return ARGS_GO;
}

static void default_options(struct train_options *o, struct raw *r)
{
    *o = (struct train_options){.model = {.gpt = {.layers = 4, .width = 128, .heads = 4, .length = 256}},
                                .training = {.decay = 0.1f, .clip = 1}, .tokens = -1,
                                .pool = {.deadline = 60, .copy_every = 50},
                                .micro_batch = 16, .device = "auto",
                                .measure = 20, .log_every = 10, .eval_every = 200, .eval_windows = 32};
    *r = (struct raw){.preset = {.pattern = {.ratio = 0.25f}, .lr = 2e-3f, .warmup = -1},
                      .steps = 1000, .accumulate = 1};
}

/* Instead of the defaults. */
static void take_preset(struct train_options *o, struct raw *r, const struct preset *p)
{
    o->model = p->model;
    o->model.gpt.vocabulary = p->model.gpt.vocabulary == 256 ? 0 : p->model.gpt.vocabulary; /* unless of token files */
    o->micro_batch = p->batch;
    o->training = p->training;
    o->training.decay = p->training.decay > 0 ? p->training.decay : 0;
    o->training.clip = p->training.clip > 0 ? p->training.clip : 0;
    r->preset = p->stage;
    r->preset.warmup = -1;
    r->steps = p->stage.steps;
    r->accumulate = p->accumulate;
    r->fine_tune = p->fine_tune;
    r->fine_tune_lr = p->fine_tune_lr;
}

/* Where the library reads 0 as its default, people who say 0 mean none. */
static float none_if_zero(float said)
{
    return said > 0 ? said : SSA_NONE;
}

static void settle_defaults(struct train_options *o)
{
    for (int i = 0; i < o->training.stage_count; i++)
        if (o->stages[i].warmup < 0)
            o->stages[i].warmup = o->stages[i].steps / 20;
    o->training.decay = none_if_zero(o->training.decay);
    o->training.clip = none_if_zero(o->training.clip);
    o->pool.deadline = o->pool.deadline > 0 ? o->pool.deadline : SSA_NONE;
    o->pool.copy_every = o->pool.copy_every > 0 ? o->pool.copy_every : SSA_NONE;
    model_choose(&o->model);
}

static int settle_stages(struct train_options *o, const struct raw *r)
{
    struct ssa_stage *stages = o->stages;
    o->training.stages = stages;
    if (r->preset.pattern.ratio <= 0) {
        say_error("--ratio must be over 0 and at most 1");
        return EXIT_USAGE;
    }
    if (r->stages)
        return stages_parse(r->stages, &r->preset, stages, &o->training.stage_count);
    stages[0] = r->preset;
    stages[0].steps = r->steps;
    o->training.stage_count = r->fine_tune ? 2 : 1;
    stages[1] = (struct ssa_stage){.steps = r->fine_tune, .warmup = -1,
                                   .lr = r->fine_tune_lr > 0 ? r->fine_tune_lr : r->preset.lr / 4};
    return 0;
}

static int is_given(const unsigned char *given, const char *name)
{
    for (int i = 0; table[i].kind; i++)
        if (given[i] && table[i].name && !strcmp(table[i].name, name))
            return 1;
    return 0;
}

static int contradiction(const char *why)
{
    say_error("%s", why);
    return EXIT_USAGE;
}

static int check_combination(const struct train_options *o, const struct raw *r, const unsigned char *given, bool plan)
{
    if (!o->data.count && !plan)
        return contradiction("no text: give --data FILE (see --help)");
    if (o->resume && o->from)
        return contradiction("--resume continues a run and --from starts one: give one of them");
    if (r->stages && (is_given(given, "steps") || is_given(given, "fine-tune") || is_given(given, "fine-tune-lr")))
        return contradiction("--stages says how many steps there are: leave out --steps and --fine-tune");
    if (o->resume)
        return refuse_given(given, "--resume", 1);
    return o->from ? refuse_given(given, "--from", 0) : ARGS_GO;
}

bool train_is_alone(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--alone"))
            return true;
    return false;
}

int train_options_parse(const struct train_options **parsed, bool plan, int argc, char **argv)
{
    unsigned char given[OPTIONS_MAX] = {0};
    const struct args_page page = {.name = plan ? "ssacl-text plan" : "ssacl-text train",
                                   .usage = plan ? "[options of train]" : "--data FILE [options]",
                                   .about = plan ? about_plan : about, .examples = plan ? STAGES_HELP : examples,
                                   .given = given};
    default_options(&options, &raw);
    make_table(plan);
    int status = args_parse(table, &page, argc, argv);
    if (status == ARGS_GO && raw.name) { /* once more, over what it says */
        const struct preset *preset = preset_find(raw.name, &status);
        if (!preset)
            return status;
        free(options.data.items);
        default_options(&options, &raw);
        take_preset(&options, &raw, preset);
        make_table(plan);
        status = args_parse(table, &page, argc, argv);
    }
    if (status == ARGS_GO)
        status = check_combination(&options, &raw, given, plan);
    if (status != ARGS_GO || (status = settle_stages(&options, &raw)))
        return status;
    settle_defaults(&options);
    options.more_stages = options.resume && raw.stages;
    options.steps_in_all = options.resume && is_given(given, "steps") ? raw.steps : 0;
    if (!options.checkpoint)
        options.checkpoint = options.resume ? options.resume : "ssacl-text.safetensors";
    if (raw.accumulate > INT_MAX / options.micro_batch) {
        say_error("--batch %d and --accumulate %d make more than %d sequences a step; give fewer", options.micro_batch,
                  raw.accumulate, INT_MAX);
        return EXIT_USAGE;
    }
    options.training.batch = options.micro_batch * raw.accumulate;
    *parsed = &options;
    return ARGS_GO;
}

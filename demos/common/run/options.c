#include "options.h"

#include "devices.h"
#include "presets.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the command line says beyond what becomes an option as it is. */
struct raw {
    struct ssa_stage preset;
    const char *stages, *name; /* of a preset */
    int steps, fine_tune, accumulate, keys;
    double epochs, fine_tune_epochs;
    float fine_tune_lr;
};

static struct train_options options;
static struct raw raw;

static const struct arg model_table[] = {
    ARG_HEADING_OF(SETTLES_MODEL, "model"),
    ARG_TEXT(0, "preset", &raw.name, "NAME", PRESET_HELP),
    ARG_END};

/* Behind the fields of the model. */
static const struct arg run_table[] = {
    ARG_HEADING_OF(SETTLES_RUN, "attention (of every stage that does not say otherwise)"),
    ARG_CHOICE('a', "attention", &raw.preset.pattern.kind, "dense|unbiased|local",
               "which keys a query sees: all, a uniform sample, or a slice of locally shuffled ones"),
    ARG_FLOAT('r', "ratio", &raw.preset.pattern.ratio, 0, 1, "R",
              "keys that a query sees, as a share of the length, over 0"),
    ARG_INT(0, "keys", &raw.keys, 0, 1 << 20, "N", "instead of --ratio: so many keys; 0: as it says"),
    ARG_FLAG(0, "look-back", &raw.preset.pattern.look_back,
             "local: see the slice before one's own too, each half as long; best for text"),
    ARG_FLOAT(0, "sigma", &raw.preset.pattern.sigma, 0, 1e6, "S", "local: how far keys are shuffled, in slices; 0: 1"),
    ARG_FLAG(0, "fixed-windows", &raw.preset.pattern.fixed_windows, "local: no shuffle at all"),
    ARG_FLAG(0, "grid", &raw.preset.pattern.grid,
             "local: in rows and columns of images, not along them: nearly square cells instead of slices"),
    ARG_FLAG(0, "permute-queries", &raw.preset.pattern.permute_queries,
             "local: a query sees the slice that its own key is in: dense windows of what was shuffled"),
    ARG_INT(0, "first-dense", &raw.preset.pattern.dense_first, 0, 1000, "N", "so many of the first layers stay dense"),
    ARG_INT(0, "last-dense", &raw.preset.pattern.dense_last, 0, 1000, "N", "so many of the last layers stay dense"),
    ARG_FLOAT(0, "ratio-last", &raw.preset.pattern.ratio_last, 0, 1, "R",
              "ratio of the last layer; those between grow evenly"),
    ARG_INT(0, "keep-first", &raw.preset.pattern.keep_first, 0, 64, "N",
            "so many first positions are seen by all; if not said, a class token where there is one"),
    ARG_FLAG(0, "per-example", &raw.preset.pattern.per_example, "a sample for each sequence of the batch"),
    ARG_FLAG(0, "source-dropout", &raw.preset.pattern.independent,
             "unbiased: each key stays with probability --ratio, whatever others do, instead of exactly so many"),
    ARG_TEXT(0, "stages", &raw.stages, "STAGES",
             "a sequence of stages, see below; replaces --steps and --fine-tune. With --resume: more of them"),
    ARG_HEADING_OF(SETTLES_RUN, "training"),
    ARG_INT('n', "steps", &raw.steps, 1, INT_MAX, "N",
            "optimiser steps. With --resume: of all, to make a run longer; they go on as the last stage does, at its "
            "--lr-end"),
    ARG_REAL(0, "epochs", &raw.epochs, 0, EPOCHS_MOST, "X",
             "instead of --steps: so many times as many as take all that there is to train on; 0: as it says"),
    ARG_INT(0, "fine-tune", &raw.fine_tune, 0, INT_MAX, "N", "so many dense steps after them"),
    ARG_REAL(0, "fine-tune-epochs", &raw.fine_tune_epochs, 0, EPOCHS_MOST, "X", "instead of it, in epochs"),
    ARG_FLOAT(0, "fine-tune-lr", &raw.fine_tune_lr, 0, 100, "X", "their learning rate; 0: a quarter of --lr"),
    ARG_INT('b', "batch", &options.micro_batch, 1, 65536, "N", "sequences in a pass"),
    ARG_INT(0, "accumulate", &raw.accumulate, 1, 65536, "N", "passes in a step"),
    ARG_FLOAT(0, "lr", &raw.preset.lr, 1e-12, 100, "X", "peak learning rate"),
    ARG_FLOAT(0, "lr-end", &raw.preset.lr_end, 0, 100, "X", "where its cosine ends; 0: a tenth"),
    ARG_INT(0, "warm-up", &raw.preset.warmup, 0, INT_MAX, "N",
            "steps of linear warm-up; if not said, a twentieth of the stage"),
    ARG_CHOICE(0, "optimiser", &options.training.optimiser, "adamw|nag",
               "nag: Nesterov's momentum, for large batches; what is not said of it is --lr 1, --clip 0.1 and no "
               "--decay"),
    ARG_FLOAT(0, "momentum", &options.training.momentum, 0, 0.999999, "X", "of nag; 0: 0.99"),
    ARG_FLOAT(0, "decay", &options.training.decay, 0, 10, "X", "weight decay, of matrices only; 0: none"),
    ARG_FLOAT(0, "clip", &options.training.clip, 0, 1e6, "X", "largest norm of the gradient; 0: none"),
    ARG_FLOAT(0, "smoothing", &options.training.smoothing, 0, 0.9, "X", "label smoothing"),
    ARG_FLOAT(0, "ema", &options.training.ema, 0, 0.999999, "X",
              "keep a moving average of the weights, of which each step leaves X and adds 1 - X of the new weights: "
              "0.999 say. Evaluations look at it, checkpoints have both; 0: none"),
    ARG_FLAG(0, "blocks", &options.training.blocks,
             "the text is cut into blocks of --length, and each is learnt from once an epoch, in an order that is drawn "
             "for it; else from windows anywhere"),
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
    ARG_CHOICE(0, "precision", &options.precision, PRECISIONS,
               PRECISION_HELP ". If not said, float32, or with --resume as before"),
    ARG_FLAG(0, "alone", &options.alone,
             "a run of this process alone, whatever launcher of many it was started under"),
    ARG_INT(0, "log-every", &options.log_every, 1, 1000, "N", "steps between lines of the log"),
    ARG_INT(0, "eval-every", &options.eval_every, 0, INT_MAX, "N", "steps between evaluations; 0: at the end only"),
    ARG_INT(0, "eval-windows", &options.eval_windows, 1, INT_MAX, "N",
            "sequences of the validation part used each time"),
    ARG_TEXT(0, "best", &options.best, "FILE",
             "keep the model of the least validation loss here, looked at every --eval-every steps, or (0) once an "
             "epoch"),
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

/* What `plan` has in addition. */
static const struct arg plan_table[] = {
    ARG_HEADING("planning"),
    ARG_REAL(0, "measure", &options.measure, 0, 1e6, "S",
             "seconds to measure a stage, about: where a few steps take longer, steps of fewer layers and passes are "
             "measured; 0: nothing is"),
    ARG_END};

enum { OPTIONS_MAX = 140 };
static struct arg table[OPTIONS_MAX + 1];

static void make_table(const struct program *p, bool plan)
{
    const struct arg data[] = {
        ARG_HEADING(p->what),
        ARG_LIST('d', "data", &options.data, p->sequence ? "PATH" : "FILE", p->train.data), ARG_END};
    int count = args_append(table, 0, OPTIONS_MAX, data);
    count = args_append(table, count, OPTIONS_MAX, p->train.options);
    count = args_append(table, count, OPTIONS_MAX, model_table);
    count += model_args(&options.model, MODEL_ALL, p->model_options, table + count, OPTIONS_MAX - count);
    count = args_append(table, count, OPTIONS_MAX, run_table);
    args_append(table, count, OPTIONS_MAX, plan ? plan_table : NULL);
    rename_options(p, table);
}

static int makes_longer(const char *option)
{
    return !strcmp(option, "steps") || !strcmp(option, "stages");
}

/* A checkpoint knows its model and run: options that say it again might say it differently. */
static int refuse_given(const unsigned char *given, const char *what, const char *file,
                        int whole_run)
{
    int known = 0;
    for (int i = 0; table[i].kind; i++) {
        if (table[i].kind == ARG_KIND_HEADING)
            known = table[i].settles == SETTLES_MODEL || (whole_run && table[i].settles == SETTLES_RUN);
        else if (known && given[i] && !(whole_run && makes_longer(table[i].name))) {
            say_error("--%s does not go with %s %s: the checkpoint settles it; leave it out", table[i].name, what,
                      file);
            return EXIT_USAGE;
        }
    }
    return ARGS_GO;
}

static void default_options(const struct program *p, struct train_options *o, struct raw *r)
{
    *o = (struct train_options){.training = {.decay = 0.1f, .clip = 1},
                                .pool = {.deadline = 60, .copy_every = 50},
                                .micro_batch = 16, .precision = -1, .device = "auto",
                                .measure = 20, .log_every = 10, .eval_every = 200, .eval_windows = 32};
    *r = (struct raw){.preset = {.pattern = {.ratio = 0.25f, .keep_first = -1}, .lr = p->lr > 0 ? p->lr : 2e-3f,
                                 .warmup = -1},
                      .steps = 1000, .accumulate = 1};
    p->defaults(o);
}

/* Instead of the defaults. */
static void take_preset(struct train_options *o, struct raw *r, const struct preset *p)
{
    o->model = p->model;
    o->micro_batch = p->batch;
    o->training = p->training;
    o->training.decay = p->training.decay > 0 ? p->training.decay : 0;
    o->training.clip = p->training.clip > 0 ? p->training.clip : 0;
    const float ratio = r->preset.pattern.ratio;
    r->preset = p->stage;
    r->preset.pattern.ratio = p->stage.pattern.ratio > 0 ? p->stage.pattern.ratio : ratio;
    r->preset.warmup = p->stage.warmup ? p->stage.warmup : -1;
    r->preset.pattern.keep_first = p->stage.pattern.keep_first ? p->stage.pattern.keep_first : -1;
    r->preset.steps = 0;
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
    o->training.decay = none_if_zero(o->training.decay);
    o->training.clip = none_if_zero(o->training.clip);
    o->pool.deadline = o->pool.deadline > 0 ? o->pool.deadline : SSA_NONE;
    o->pool.copy_every = o->pool.copy_every > 0 ? o->pool.copy_every : SSA_NONE;
    model_choose(&o->model);
}

static int settle_stages(struct train_options *o, struct raw *r)
{
    struct stage *stages = o->stages;
    int fine_tune = r->fine_tune_epochs > 0 ? stage_epochs(r->fine_tune_epochs) : r->fine_tune;
    if (r->preset.pattern.ratio <= 0) {
        say_error("--ratio must be over 0 and at most 1");
        return EXIT_USAGE;
    }
    if (r->keys)
        r->preset.pattern.ratio = (float)-r->keys;
    if (r->stages)
        return stages_parse(r->stages, &r->preset, stages, &o->training.stage_count);
    stages[0] = (struct stage){.of = r->preset};
    stages[0].of.steps = r->epochs > 0 ? stage_epochs(r->epochs) : r->steps;
    o->training.stage_count = fine_tune ? 2 : 1;
    stages[1] = (struct stage){.of = {.steps = fine_tune, .warmup = -1,
                                      .lr = r->fine_tune_lr > 0 ? r->fine_tune_lr : r->preset.lr / 4}};
    return 0;
}

static int is_given(const unsigned char *given, const char *name)
{
    return args_given(table, given, name);
}

static int contradiction(const char *why)
{
    say_error("%s", why);
    return EXIT_USAGE;
}

static int check_combination(const struct train_options *o, const struct raw *r, const unsigned char *given)
{
    if (o->resume && o->from)
        return contradiction("--resume continues a run and --from starts one: give one of them");
    if (r->stages && (is_given(given, "steps") || is_given(given, "fine-tune") || is_given(given, "fine-tune-lr")))
        return contradiction("--stages says how many steps there are: leave out --steps and --fine-tune");
    if (r->stages && (is_given(given, "epochs") || is_given(given, "fine-tune-epochs")))
        return contradiction("--stages says how many epochs there are: leave out --epochs and --fine-tune-epochs");
    if ((r->epochs > 0 && is_given(given, "steps")) || (r->fine_tune_epochs > 0 && is_given(given, "fine-tune")))
        return contradiction("epochs say how many steps there are: leave out --steps and --fine-tune, or those");
    if (r->keys && is_given(given, "ratio"))
        return contradiction("--keys and --ratio say the same: give one of them");
    if (is_given(given, "momentum") && o->training.optimiser != SSA_NAG)
        return contradiction("--momentum is of --optimiser nag: leave it out, or say that");
    if (o->resume)
        return refuse_given(given, "--resume", o->resume, 1);
    return o->from ? refuse_given(given, "--from", o->from, 0) : ARGS_GO;
}

bool train_is_alone(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--alone"))
            return true;
    return false;
}

/* Which are read twice where there is a preset: the second time over what it says. */
static int read_options(const struct program *p, bool plan, unsigned char *given, int argc, char **argv)
{
    const struct page *of = plan ? &p->plan : &p->train;
    const struct args_page page = {.name = program_command(p, plan ? "plan" : "train"),
                                   .usage = plan ? "[options of train]" : "--data FILE [options]",
                                   .about = of->about, .examples = of->examples, .given = given};
    default_options(p, &options, &raw);
    make_table(p, plan);
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO || !raw.name)
        return status;
    const struct preset *preset = preset_find(raw.name, p->families, &status);
    if (!preset)
        return status;
    free(options.data.items);
    default_options(p, &options, &raw);
    take_preset(&options, &raw, preset);
    if (p->adapt)
        p->adapt(&options, preset);
    make_table(p, plan);
    return args_parse(table, &page, argc, argv);
}

/* The defaults above are AdamW's. */
static void default_optimiser(struct train_options *o, struct raw *r, const unsigned char *given)
{
    if (o->training.optimiser == SSA_ADAMW)
        return;
    r->preset.lr = is_given(given, "lr") ? r->preset.lr : 1;
    o->training.decay = is_given(given, "decay") ? o->training.decay : 0;
    o->training.clip = is_given(given, "clip") ? o->training.clip : 0.1f;
}

static const char *default_checkpoint(const struct program *p)
{
    static char name[64];
    snprintf(name, sizeof name, "%s.safetensors", p->name);
    return name;
}

static int settle_batch(struct train_options *o, const struct raw *r)
{
    if (r->accumulate > INT_MAX / o->micro_batch) {
        say_error("--batch %d and --accumulate %d make more than %d sequences a step; give fewer", o->micro_batch,
                  r->accumulate, INT_MAX);
        return EXIT_USAGE;
    }
    o->training.batch = o->micro_batch * r->accumulate;
    return ARGS_GO;
}

int train_options_parse(const struct train_options **parsed, const struct program *p, bool plan, int argc, char **argv)
{
    unsigned char given[OPTIONS_MAX] = {0};
    int status = read_options(p, plan, given, argc, argv);
    if (status == ARGS_GO && !options.data.count && !plan) {
        say_error("no %s: give --data FILE (see --help)", p->what);
        return EXIT_USAGE;
    }
    if (status == ARGS_GO)
        status = check_combination(&options, &raw, given);
    if (status == ARGS_GO && !raw.name)
        default_optimiser(&options, &raw, given);
    if (status != ARGS_GO || (status = settle_stages(&options, &raw)))
        return status;
    settle_defaults(&options);
    options.more_stages = options.resume && raw.stages;
    options.steps_in_all = options.resume && is_given(given, "steps") ? raw.steps : 0;
    if (!options.checkpoint)
        options.checkpoint = options.resume ? options.resume : default_checkpoint(p);
    *parsed = &options;
    return settle_batch(&options, &raw);
}

/* plan: what a run would take, before it starts. */
#include "program.h"

#include "cost.h"
#include "devices.h"
#include "files.h"
#include "numbers.h"
#include "progress.h"
#include "settings.h"
#include "signals.h"
#include "timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A step, of a stage whose steps are not all alike the mean. */
struct planned {
    const struct ssa_pattern *pattern;
    struct cost cost;
    struct timing timing; /* .seconds NAN: it was not measured */
};

struct planning {
    struct settings s;
    struct devices devices;
    struct ssa_memory memory;
    size_t scratch; /* beside it, once it was measured */
    bool fits;
    char why[512]; /* it does not */
    struct planned stages[STAGES_MAX];
    struct planned patterns[2 * STAGES_MAX]; /* that were measured */
    int pattern_count;
};

static double steps_seconds(const struct planning *p, int stage)
{
    return p->s.training.stages[stage].steps * p->stages[stage].timing.seconds;
}

static double all_seconds(const struct planning *p)
{
    double sum = 0;
    for (int i = 0; i < p->s.training.stage_count; i++)
        sum += steps_seconds(p, i);
    return sum;
}

static double flop_of(const struct planned *stage)
{
    return stage->cost.linear + stage->cost.attention;
}

/* Beside the devices' memory, the host's: copies of parameters, moments and their average, one that is kept where any
 * is, and another while it, or a checkpoint, is written. */
static size_t host_bytes(const struct planning *p)
{
    const size_t kinds = (size_t)settings_kinds(&p->s.training), copies = p->s.o->pool.copy_every > 0 ? 2 : 1;
    return copies * kinds * sizeof(float) * ssa_model_elements(&p->s.model);
}

/* Which steps the seconds are of. */
static const char *how_measured(const struct planning *p, const struct timing *t, char text[128])
{
    const int layers = ssa_model_layers(&p->s.model), least = model_stages(&p->s.model);
    const int passes = settings_passes(&p->s);
    if (!t->extrapolated)
        return "measured";
    if (t->layers < layers && t->passes < passes)
        snprintf(text, 128, "extrapolated from %d and %d of %d layers, 1 and %d of %d passes", least, t->layers, layers,
                 t->passes, passes);
    else if (t->layers < layers)
        snprintf(text, 128, "extrapolated from %d and %d of %d layers", least, t->layers, layers);
    else
        snprintf(text, 128, "extrapolated from 1 and %d of %d passes", t->passes, passes);
    return text;
}

/* ---- the work ---- */

/* Settings that are wrong end it; one that does not fit is still planned. */
static int check(struct planning *p)
{
    int status = settings_fit(&p->s, p->devices.pool, &p->memory, p->why);
    p->fits = status == SSA_OK;
    return status == SSA_OK || status == SSA_ENOMEM ? 0 : say_error("%s", p->why);
}

static int measure_pattern(struct planning *p, const struct ssa_pattern *pattern, struct planned *made)
{
    const struct ssa_train_config *t = &p->s.training;
    made->timing.seconds = NAN;
    if (cost_of_step(&made->cost, &p->s.model, pattern, t->batch, t->seed) != SSA_OK)
        return library_failed();
    for (struct planned *before = p->patterns; before < p->patterns + p->pattern_count; before++) /* the same again */
        if (pattern_same(before->pattern, pattern)) {
            made->timing = before->timing;
            return 0;
        }
    if (!p->fits || p->s.o->measure <= 0)
        return 0;
    int status = timing_of_pattern(&p->s, p->devices.pool, pattern, &made->timing);
    p->scratch = made->timing.scratch > p->scratch ? made->timing.scratch : p->scratch;
    made->pattern = pattern;
    p->patterns[p->pattern_count++] = *made;
    return status && !interrupted ? library_failed() : 0;
}

/* Of the stage's steps this share is dense. */
static void mix(struct planned *stage, const struct planned *dense, double share)
{
    struct timing *t = &stage->timing;
    stage->cost.linear += share * (dense->cost.linear - stage->cost.linear);
    stage->cost.attention += share * (dense->cost.attention - stage->cost.attention);
    t->seconds += share * (dense->timing.seconds - t->seconds);
    t->extrapolated = t->extrapolated || dense->timing.extrapolated;
    t->layers = dense->timing.layers < t->layers ? dense->timing.layers : t->layers;
    t->passes = dense->timing.passes < t->passes ? dense->timing.passes : t->passes;
    t->peak = dense->timing.peak > t->peak ? dense->timing.peak : t->peak;
}

static int measure_stage(struct planning *p, int i)
{
    static const struct ssa_pattern dense;
    const struct ssa_stage *of = &p->s.training.stages[i];
    struct planned between = {.pattern = &dense};
    int status = measure_pattern(p, &of->pattern, &p->stages[i]);
    if (!status && of->dense_every && !(status = measure_pattern(p, &dense, &between)))
        mix(&p->stages[i], &between, (double)(of->steps / of->dense_every) / of->steps);
    return status;
}

static int measure(struct planning *p)
{
    int count = p->s.training.stage_count, status = 0;
    progress_begin("measuring", count);
    for (int i = 0; i < count && !status && !interrupted; i++) {
        progress_update(i, -1, "stage %d of %d", i + 1, count);
        status = measure_stage(p, i);
    }
    progress_end();
    return status ? status : interrupted ? EXIT_INTERRUPTED : 0;
}

/* ---- for people ---- */

static void print_memory(const struct planning *p)
{
    const struct ssa_memory *m = &p->memory;
    const double mib = 1.0 / 1048576;
    struct ssa_pool_member of;
    say_result("memory   %.1f MiB: parameters %.1f, gradients %.1f, optimiser %.1f, activations %.1f, inputs %.1f, "
               "scratch %.1f%s", mib * (double)(m->total + p->scratch), mib * (double)m->parameters,
               mib * (double)m->gradients, mib * (double)m->moments, mib * (double)m->activations,
               mib * (double)m->inputs, mib * (double)p->scratch, p->scratch ? "" : " (not known)");
    say_result("         and of the host's, for copies of the run (--copy-every) and checkpoints, %.1f MiB",
               mib * (double)host_bytes(p));
    for (int i = 0; i < ssa_pool_count(p->devices.pool); i++)
        if (ssa_pool_member(p->devices.pool, i, &of) == SSA_OK && !of.lost)
            say_result("device   %s: %s (%s), %.0f MiB", of.info.id, of.info.name, of.info.platform,
                       mib * (double)of.info.memory);
    if (!p->fits)
        say_result("         does not fit: %s", p->why);
}

/* "82 days 4 h" where hours are many. */
static const char *format_time(double seconds, char text[32])
{
    long hours = (long)fmin(seconds / 3600 + 0.5, 1e9);
    if (seconds < 48 * 3600.0)
        return format_seconds(seconds, text);
    snprintf(text, 32, "%ld days %ld h", hours / 24, hours % 24);
    return text;
}

static void print_stage(const struct planning *p, int i)
{
    const struct planned *stage = &p->stages[i];
    char text[STAGE_TEXT], how[128], time[32], rate[64];
    stage_format(&p->s.training.stages[i], 0, text, sizeof text);
    say_result("stage %d  %s", i + 1, text);
    say_result("         %.4g GFLOP a step: GEMM %.4g, attention %.4g", 1e-9 * flop_of(stage),
               1e-9 * stage->cost.linear, 1e-9 * stage->cost.attention);
    if (!isfinite(stage->timing.seconds))
        return;
    say_result("         %.4g s a step (%s), %s, %.0f GFLOP/s", stage->timing.seconds,
               how_measured(p, &stage->timing, how),
               settings_rate(&p->s, settings_tokens(&p->s) / stage->timing.seconds, rate),
               1e-9 * flop_of(stage) / stage->timing.seconds);
    say_result("         %d steps: %s", p->s.training.stages[i].steps, format_time(steps_seconds(p, i), time));
}

static int print_all(const struct planning *p)
{
    const struct ssa_model_config *m = &p->s.model;
    const char *sequence = p->s.program->sequence;
    char time[32], more[256], layers[64], heads[64], hidden[32] = "";
    p->s.program->describe_model(m, more, sizeof more);
    if (model_int(m, "hidden"))
        snprintf(hidden, sizeof hidden, "MLP %d, ", model_int(m, "hidden"));
    say_result("model    %s layers, width %d, %s heads, %s%s: %zu parameters", model_ints(m, "layers", layers),
               model_int(m, "width"), model_ints(m, "heads", heads), hidden, more, ssa_model_elements(m));
    print_memory(p);
    say_result("step     %d %ss in passes of %d, %.0f %s", p->s.training.batch, sequence ? sequence : "sequence",
               p->s.micro_batch, settings_tokens(&p->s), sequence ? "positions" : "tokens");
    for (int i = 0; i < p->s.training.stage_count; i++)
        print_stage(p, i);
    if (isfinite(all_seconds(p)))
        say_result("in all   %s of training, without evaluations", format_time(all_seconds(p), time));
    return finish_stdout();
}

/* ---- JSON ---- */

static json_t *memory_json(const struct planning *p)
{
    const struct ssa_memory *m = &p->memory;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I}", "parameters", (json_int_t)m->parameters, "gradients",
                     (json_int_t)m->gradients, "optimiser", (json_int_t)m->moments, "activations",
                     (json_int_t)m->activations, "inputs", (json_int_t)m->inputs, "scratch",
                     p->scratch ? json_integer((json_int_t)p->scratch) : json_null(), "total",
                     (json_int_t)(m->total + p->scratch), "host", (json_int_t)host_bytes(p));
}

static json_t *stage_json(const struct planning *p, int i)
{
    const struct planned *stage = &p->stages[i];
    char text[STAGE_TEXT], how[128];
    stage_format(&p->s.training.stages[i], 0, text, sizeof text);
    json_t *object = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "stage", text, "steps", p->s.training.stages[i].steps,
                               "flop_linear", number_json(stage->cost.linear), "flop_attention",
                               number_json(stage->cost.attention), "seconds_per_step",
                               number_json(stage->timing.seconds), "seconds", number_json(steps_seconds(p, i)));
    if (!isfinite(stage->timing.seconds))
        return object;
    json_object_set_new(object, "how", json_string(how_measured(p, &stage->timing, how)));
    json_object_set_new(object, "extrapolated", json_boolean(stage->timing.extrapolated));
    json_object_set_new(object, "tokens_per_second", number_json(settings_tokens(&p->s) / stage->timing.seconds));
    if (!stage->timing.extrapolated)
        json_object_set_new(object, "peak_bytes", json_integer((json_int_t)stage->timing.peak));
    return object;
}

static int print_object(const struct planning *p)
{
    json_t *object = settings_json(&p->s), *stages = json_array();
    char key[64];
    for (int i = 0; i < p->s.training.stage_count; i++)
        json_array_append_new(stages, stage_json(p, i));
    json_object_set_new(object, "stages", stages);
    json_object_set_new(object, "memory", memory_json(p));
    json_object_set_new(object, "devices", devices_json(p->devices.pool));
    json_object_set_new(object, "precision", json_string(precision_name(p->s.precision)));
    json_object_set_new(object, "fits", json_boolean(p->fits));
    json_object_set_new(object, "advice", p->fits ? json_null() : json_string(p->why));
    json_object_set_new(object, "seconds", number_json(all_seconds(p)));
    if (p->s.o->data.count)
        json_object_set_new(object, unit_data(p->s.data.unit, "train_", key),
                            json_integer((json_int_t)settings_count(&p->s, PART_TRAIN)));
    return print_json(object);
}

int plan_main(const struct program *program, int argc, char **argv)
{
    static struct planning p;
    const struct train_options *o;
    int status = train_options_parse(&o, program, true, argc, argv);
    if (status != ARGS_GO)
        return status;
    say_set_quiet(o->quiet || o->json);
    say_library_log(o->verbose);
    signals_catch();
    struct ssa_pool_config config = o->pool;
    status = settings_make(&p.s, program, o);
    config.precision = (size_t)p.s.precision;
    status = status || devices_open(&p.devices, o->device, &config) || check(&p) ? EXIT_FAILED : measure(&p);
    if (!status)
        status = o->json ? print_object(&p) : print_all(&p);
    devices_close(&p.devices);
    settings_finish(&p.s);
    return status;
}

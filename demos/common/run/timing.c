#include "timing.h"

#include "cost.h"
#include "devices.h"
#include "progress.h"
#include "signals.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS_MOST = 1 << 20 };
static const double long_enough = 2, at_once = 0.2; /* of seconds to be timed */

struct job {
    const struct settings *s;
    struct ssa_pool *pool;
    const struct ssa_pattern *pattern; /* of the stage */
    double least, least_flop;          /* of a step of one pass, and of one layer of each stage */
    size_t peak, scratch;              /* of the latest measurement */
};

/* ---- a model of fewer layers ---- */

/* Those of the run; and so many that time of fewer is worth to be extrapolated: two of each stage and one more. */
static int all_layers(const struct job *j)
{
    return ssa_model_layers(&j->s->model);
}

static int few_layers(const struct job *j)
{
    const int least = model_stages(&j->s->model), few = 2 * least + 1, quarter = all_layers(j) / 4;
    const int layers = few > quarter ? few : quarter;
    return least + layers <= all_layers(j) ? layers : all_layers(j);
}

/* Leaves `config` so many, which lie evenly among those of the run, and makes the pattern of each. */
static int choose_layers(const struct job *j, int count, struct ssa_model_config *config, struct ssa_pattern *patterns)
{
    int *kept = calloc((size_t)count, sizeof *kept), err = kept ? SSA_OK : SSA_ENOMEM;
    if (!err)
        model_shorten(config, count, kept);
    for (int i = 0; i < count && !err; i++) {
        struct ssa_sample how;
        if ((err = ssa_model_sample(&j->s->model, j->pattern, kept[i], 1, 0, &how)))
            break;
        patterns[i] = j->pattern->layers ? j->pattern->layers[kept[i]] : *j->pattern;
        patterns[i].kind = how.kind;
        patterns[i].ratio = how.independent ? how.ratio : (float)how.keys / (float)how.length;
        patterns[i].ratio_last = 0;
        patterns[i].dense_first = patterns[i].dense_last = 0;
    }
    free(kept);
    return err;
}

/* ---- timing ---- */

static int run_to(struct ssa_trainer *trainer, int step)
{
    const struct ssa_trainer_run run = {.every = SSA_NONE, .stop = &interrupted};
    float loss;
    int err = ssa_trainer_run(trainer, step, &run);
    return err ? err : ssa_trainer_losses(trainer, 1, &loss, NULL);
}

/* The first step builds kernels. Then some at once, until all have taken long enough. The fastest of those counts: what
 * others on the machine take is not the run's. */
static int time_steps(struct ssa_trainer *trainer, double enough, double *seconds)
{
    int err = run_to(trainer, 1), done = 0;
    double elapsed = 0;
    *seconds = INFINITY;
    while (!err && (done < 2 || elapsed < enough)) {
        int more = (int)fmax(1, fmin(done, at_once / *seconds));
        double start = now_seconds();
        done += more;
        err = run_to(trainer, 1 + done);
        elapsed += now_seconds() - start;
        *seconds = fmin(*seconds, (now_seconds() - start) / more);
    }
    return err;
}

static int time_model(struct job *j, const struct ssa_model_config *config, const struct ssa_pattern *pattern,
                      int passes, const struct ssa_data *data, double *seconds)
{
    const struct ssa_model_limits limits = {.batch = j->s->micro_batch, .training = 1};
    const struct ssa_stage stage = {.pattern = *pattern, .steps = STEPS_MOST, .lr = 1e-6f};
    struct ssa_train_config training = j->s->training;
    struct ssa_model *model = NULL;
    struct ssa_trainer *trainer = NULL;
    struct ssa_memory planned = {0};
    training.batch = passes * j->s->micro_batch;
    training.stages = &stage;
    training.stage_count = 1;
    devices_reset_peak(j->pool);
    int err = ssa_pool_model_create(&model, j->pool, config, &limits);
    if (!err) /* what is said of room does not count: the model is in it already */
        ssa_train_check(ssa_model_device(model), config, &limits, &training, 0, &planned);
    err = err ? err : ssa_trainer_create(&trainer, model, &training, data);
    err = err ? err : time_steps(trainer, fmin(long_enough, j->s->o->measure / 10), seconds);
    j->peak = devices_peak(j->pool);
    j->scratch = j->peak > planned.total ? j->peak - planned.total : 0;
    ssa_trainer_destroy(trainer);
    ssa_model_destroy(model);
    return err;
}

/* Seconds of a step of so many layers and passes, and its operations. */
static int measure(struct job *j, int layers, int passes, double *seconds, double *flop)
{
    struct ssa_model_config config = j->s->model;
    struct ssa_pattern *patterns = calloc((size_t)layers, sizeof *patterns);
    struct ssa_pattern few = {.layers = patterns, .layer_count = layers};
    struct ssa_data data = j->s->program->invent(j->s);
    const struct ssa_pattern *pattern = layers < all_layers(j) ? &few : j->pattern;
    struct cost cost;
    int err = patterns && (data.items || data.fill) ? choose_layers(j, layers, &config, patterns) : SSA_ENOMEM;
    err = err ? err : cost_of_step(&cost, &config, pattern, (double)passes * j->s->micro_batch, j->s->training.seed);
    err = err ? err : time_model(j, &config, pattern, passes, &data, seconds);
    if (!err)
        *flop = cost.linear + cost.attention;
    free(patterns);
    free((void *)data.items);
    return err;
}

/* ---- from fewer layers and passes to those of the run ---- */

/* A difference of two measured times: on a machine that does other things besides it may come out as anything, but is
 * no less than a quarter of what it would be if time went with the work, nor more than all. */
static double likely(double difference, double by_work, double all)
{
    return fmin(fmax(difference, by_work / 4), all);
}

/* A step of `passes` passes and all layers, from one layer of each stage and from `layers`, of which those besides the
 * ones take time as they have work. */
static int extrapolate_layers(struct job *j, int layers, int passes, double *seconds)
{
    double few, many, few_flop, many_flop;
    struct cost all;
    int err = measure(j, layers, passes, &many, &many_flop);
    if (err || layers == all_layers(j)) {
        *seconds = many;
        return err;
    }
    few = j->least;
    few_flop = j->least_flop;
    if (passes > 1)
        err = measure(j, model_stages(&j->s->model), passes, &few, &few_flop);
    err = err ? err : cost_of_step(&all, &j->s->model, j->pattern, (double)passes * j->s->micro_batch,
                                   j->s->training.seed);
    double more = likely(many - few, many * (1 - few_flop / many_flop), many);
    if (!err)
        *seconds = many + more * (all.linear + all.attention - many_flop) / (many_flop - few_flop);
    return err;
}

/* One pass and two tell what a pass takes and what the rest of a step does. Several devices share passes out, so that
 * there all are needed. */
static int extrapolate(struct job *j, double ratio, struct timing *timing)
{
    int all = settings_passes(j->s);
    bool apart = all > 2 && devices_live(j->pool) == 1;
    double expected = 3 * j->least * ratio * (apart ? 3 : all), one, two;
    timing->layers = expected > j->s->o->measure ? few_layers(j) : all_layers(j);
    timing->passes = apart ? 2 : all;
    timing->extrapolated = true;
    if (!apart)
        return extrapolate_layers(j, timing->layers, all, &timing->seconds);
    int err = extrapolate_layers(j, timing->layers, 1, &one);
    err = err ? err : extrapolate_layers(j, timing->layers, 2, &two);
    if (!err)
        timing->seconds = two + (all - 2) * likely(two - one, two / 2, one);
    return err;
}

int timing_of_pattern(const struct settings *s, struct ssa_pool *pool, const struct ssa_pattern *pattern,
                      struct timing *timing)
{
    struct job j = {.s = s, .pool = pool, .pattern = pattern};
    struct cost all;
    double ignored;
    int passes = settings_passes(s), L = all_layers(&j);
    *timing = (struct timing){.layers = L, .passes = passes};
    int err = cost_of_step(&all, &s->model, j.pattern, s->micro_batch, s->training.seed);
    err = err ? err : measure(&j, model_stages(&s->model), 1, &j.least, &j.least_flop);
    if (err)
        return err;
    timing->scratch = j.scratch;
    double ratio = (all.linear + all.attention) / j.least_flop;
    if (3 * j.least * ratio * passes > s->o->measure && (few_layers(&j) < L || passes > 2))
        return extrapolate(&j, ratio, timing);
    err = measure(&j, L, passes, &timing->seconds, &ignored);
    timing->peak = j.peak;
    return err;
}

/* The trainer: what a step is, and the loop around it. */
#include "checkpoint.h"
#include "../../cl/rng.h"
#include "../impl.h"
#include "../model/internal.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* Draws of different purpose must not share a key. */
#define SEED_DATA 0x64617461ull    /* "data" */
#define SEED_DROPOUT 0x64726f70ull /* "drop" */

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int stage_of(const struct ssa_trainer *t, uint64_t step)
{
    int i = 0;
    while (i < t->config.stage_count - 1 && step >= (uint64_t)t->config.stages[i].steps)
        step -= (uint64_t)t->config.stages[i++].steps;
    return i;
}

/* ---- create and destroy ---- */

/* For the queue: layer and micro-batch of plan `index`. */
static int plan_settings(void *cookie, uint64_t step, int index, struct ssa_sample *how)
{
    const struct ssa_trainer *t = cookie;
    int layer = index % t->layers, micro = index / t->layers;
    int err = ssa_pattern_sample(&t->config.stages[stage_of(t, step)].pattern, layer, t->layers, t->length,
                                 t->micro_batch, how);
    how->seed = t->config.seed;
    how->step = step;
    how->first_example = (uint32_t)(micro * t->micro_batch);
    return err;
}

static int create_queue(struct ssa_trainer *t)
{
    bool sampled = false, per_example = false;
    for (int i = 0; i < t->config.stage_count; i++) {
        sampled = sampled || ssa_pattern_samples(&t->config.stages[i].pattern, t->layers, t->length);
        per_example = per_example || ssa_pattern_per_example(&t->config.stages[i].pattern, t->layers, t->length);
    }
    t->groups = per_example ? t->micros : 1;
    return sampled ? ssa_plan_queue_create(&t->queue, t->groups * t->layers, plan_settings, t) : SSA_OK;
}

static int create_moments(struct ssa_trainer *t)
{
    struct ssa_device_info info;
    size_t limit = ssa_model_get_limits(t->model)->max_buffer;
    int parts = ssa_model_part_count(t->model), err;
    TRY(ssa_device_get_info(t->device, &info));
    t->moments.limit = limit && limit < info.max_allocation / 4 ? limit : info.max_allocation / 4;
    t->first = calloc((size_t)parts, sizeof *t->first);
    t->second = calloc((size_t)parts, sizeof *t->second);
    if (!t->first || !t->second)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    for (int i = 0; i < parts; i++) {
        size_t count = ssa_model_part(t->model, i).count;
        TRY(ssa_arena_place(&t->moments, count, "a moment", &t->first[i]));
        TRY(ssa_arena_place(&t->moments, count, "a moment", &t->second[i]));
    }
    TRY(ssa_arena_allocate(&t->moments, t->device));
    TRY(ssa_arena_fill(&t->moments, 0));
done:
    return err;
}

static int allocate(struct ssa_trainer *t)
{
    size_t rows = (size_t)t->micro_batch * (size_t)t->length;
    int err;
    t->tokens = malloc(rows * sizeof *t->tokens);
    t->targets = malloc(rows * sizeof *t->targets);
    t->plans = calloc((size_t)t->layers, sizeof *t->plans);
    if (!t->tokens || !t->targets || !t->plans)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    TRY(create_moments(t));
    TRY(ssa_buffer_create(&t->scalars, t->device, SSA_LOSSES + 1));
    TRY(create_queue(t));
done:
    return err;
}

int ssa_trainer_create(struct ssa_trainer **trainer, struct ssa_model *model, const struct ssa_train_config *training,
                       const struct ssa_data *data)
{
    const struct ssa_model_config *m = ssa_model_get_config(model);
    const struct ssa_model_limits *limits = ssa_model_get_limits(model);
    struct ssa_trainer *t = NULL;
    int err;
    *trainer = NULL;
    REQUIRE(limits->training, "train: the model was made without limits.training");
    TRY(ssa_train_config_check(training, m, limits->batch));
    TRY(ssa_data_check(data, m->vocabulary, m->length));
    t = calloc(1, sizeof *t);
    if (!t)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    t->model = model;
    t->device = ssa_model_get_device(model);
    t->data = *data;
    t->layers = m->layers;
    t->length = m->length;
    t->vocabulary = m->vocabulary;
    t->micro_batch = limits->batch;
    TRY(ssa_train_config_copy(&t->config, training, limits->batch));
    t->micros = t->config.batch / t->micro_batch;
    TRY(allocate(t));
    *trainer = t;
    t = NULL;
done:
    ssa_trainer_destroy(t);
    return err;
}

void ssa_trainer_destroy(struct ssa_trainer *t)
{
    if (!t)
        return;
    ssa_plan_queue_destroy(t->queue);
    ssa_device_finish(t->device);
    ssa_buffer_destroy(t->scalars);
    ssa_arena_finish(&t->moments);
    ssa_train_config_finish(&t->config);
    free(t->first);
    free(t->second);
    free(t->tokens);
    free(t->targets);
    free(t->plans);
    free(t);
}

const struct ssa_train_config *ssa_trainer_get_config(const struct ssa_trainer *t)
{
    return &t->config;
}

int ssa_trainer_get_step(const struct ssa_trainer *t)
{
    return t->step;
}

int ssa_trainer_total_steps(const struct ssa_trainer *t)
{
    int sum = 0;
    for (int i = 0; i < t->config.stage_count; i++)
        sum += t->config.stages[i].steps;
    return sum;
}

struct ssa_tensor ssa_trainer_moment(const struct ssa_trainer *t, const struct ssa_parameter *p, int kind)
{
    struct ssa_place part = kind == SSA_KIND_FIRST ? t->first[p->part] : t->second[p->part];
    return ssa_tensor_add(ssa_arena_at(&t->moments, part), p->offset);
}

/* ---- a step ---- */

/* Where sequence `example` of the step lies in the data: from (seed, step, example) alone. */
static size_t sequence_start(const struct ssa_trainer *t, int example)
{
    struct ssa_philox r = ssa_philox(t->config.seed ^ SEED_DATA, (uint64_t)t->step, (uint64_t)example);
    return (size_t)(((uint64_t)r.v[1] << 32 | r.v[0]) % (t->data.count - (size_t)t->length));
}

static void fill_batch(struct ssa_trainer *t, int micro)
{
    for (int b = 0; b < t->micro_batch; b++) {
        size_t start = sequence_start(t, micro * t->micro_batch + b), at = (size_t)b * (size_t)t->length;
        ssa_data_copy(&t->data, start, (size_t)t->length, t->tokens + at);
        ssa_data_copy(&t->data, start + 1, (size_t)t->length, t->targets + at);
    }
}

/* Takes the plans of a micro-batch; dense layers get NULL. */
static int take_plans(struct ssa_trainer *t, int micro)
{
    const struct ssa_pattern *pattern = &t->config.stages[stage_of(t, (uint64_t)t->step)].pattern;
    int group = t->groups > 1 ? micro : 0, err = SSA_OK;
    for (int l = 0; l < t->layers; l++) {
        struct ssa_sample how;
        t->plans[l] = NULL;
        TRY(ssa_pattern_sample(pattern, l, t->layers, t->length, t->micro_batch, &how));
        if (how.kind == SSA_DENSE)
            continue;
        t->plans[l] = ssa_plan_queue_take(t->queue, (uint64_t)t->step, group * t->layers + l);
        if (!t->plans[l])
            return SSA_EINVAL; /* the queue has said why */
    }
done:
    return err;
}

static int micro_step(struct ssa_trainer *t, int micro)
{
    size_t rows = (size_t)t->micro_batch * (size_t)t->length;
    int err;
    fill_batch(t, micro);
    TRY(take_plans(t, micro));
    TRY(ssa_model_forward(t->model, &(struct ssa_pass){.tokens = t->tokens, .targets = t->targets, .plans = t->plans,
        .training = 1, .smoothing = t->config.smoothing,
        .grad_scale = 1.0f / ((float)t->config.batch * (float)t->length), .seed = t->config.seed ^ SEED_DROPOUT,
        .step = (uint64_t)t->step, .first_example = (uint32_t)(micro * t->micro_batch)}));
    TRY(ssa_sum(t->device, &(struct ssa_sum){.x = ssa_model_losses(t->model),
        .out = ssa_tensor_at(t->scalars, (size_t)(t->step % SSA_LOSSES)), .count = rows, .accumulate = micro > 0}));
    TRY(ssa_model_backward(t->model, micro > 0));
done:
    return err;
}

static int update(struct ssa_trainer *t)
{
    const struct ssa_train_config *c = &t->config;
    struct ssa_tensor sumsq = ssa_tensor_at(t->scalars, SSA_LOSSES);
    float lr = ssa_learning_rate(c, t->step);
    int parts = ssa_model_part_count(t->model), err = SSA_OK;
    for (int i = 0; i < parts; i++) {
        struct ssa_model_part p = ssa_model_part(t->model, i);
        TRY(ssa_sum(t->device, &(struct ssa_sum){.x = p.grad, .out = sumsq, .count = p.count, .squares = 1,
            .accumulate = i > 0}));
    }
    for (int i = 0; i < parts; i++) {
        struct ssa_model_part p = ssa_model_part(t->model, i);
        TRY(ssa_adamw(t->device, &(struct ssa_adamw){.w = p.value, .g = p.grad,
            .m = ssa_arena_at(&t->moments, t->first[i]), .v = ssa_arena_at(&t->moments, t->second[i]), .sumsq = sumsq,
            .count = p.count, .lr = lr, .beta1 = c->beta1, .beta2 = c->beta2, .eps = c->eps,
            .decay = p.decayed && c->decay > 0 ? c->decay : 0, .clip = c->clip > 0 ? c->clip : 0,
            .step = t->step + 1}));
    }
done:
    return err;
}

int ssa_trainer_step(struct ssa_trainer *t)
{
    int err;
    REQUIRE(t->step < ssa_trainer_total_steps(t), "train: all %d steps are done", t->step);
    for (int micro = 0; micro < t->micros; micro++)
        TRY(micro_step(t, micro));
    TRY(update(t));
    t->step++;
    t->counted++;
done:
    return err;
}

int ssa_trainer_losses(struct ssa_trainer *t, int count, float *losses, float *norm)
{
    int most = t->counted < SSA_LOSSES ? t->counted : SSA_LOSSES, err;
    float all[SSA_LOSSES + 1];
    REQUIRE(count > 0 && count <= most, "train: %d losses wanted, %d are kept", count, most);
    TRY(ssa_tensor_read(ssa_tensor_at(t->scalars, 0), all, SSA_LOSSES + 1));
    for (int i = 0; i < count; i++)
        losses[i] = all[(t->step - count + i) % SSA_LOSSES] / ((float)t->config.batch * (float)t->length);
    if (norm)
        *norm = sqrtf(all[SSA_LOSSES]);
done:
    return err;
}

/* ---- the loop ---- */

struct clock {
    double start, report, stage_start; /* seconds */
    int reported, stage_step, stage;   /* steps done at the last report and at the start of this stage */
};

/* Reads the losses since the last report, checks them, and tells the program. */
static int report(struct ssa_trainer *t, struct clock *c, const struct ssa_run *run)
{
    float losses[SSA_LOSSES], norm;
    int count = t->step - c->reported, err;
    double sum = 0;
    TRY(ssa_trainer_losses(t, count, losses, &norm));
    for (int i = 0; i < count; i++) {
        REQUIRE(isfinite(losses[i]), "train: the loss of step %d is not a number; lower the learning rate (now %g)",
                t->step - count + i + 1, (double)ssa_learning_rate(&t->config, t->step - count + i));
        sum += (double)losses[i];
    }
    double time = now(), tokens = (double)t->config.batch * t->length;
    int steps = ssa_trainer_total_steps(t);
    double seconds_a_step = (time - c->stage_start) / (t->step - c->stage_step);
    if (run->progress)
        run->progress(run->cookie, &(struct ssa_progress){.step = t->step, .steps = steps, .stage = c->stage,
            .loss = sum / count, .gradient_norm = (double)norm,
            .lr = (double)ssa_learning_rate(&t->config, t->step - 1), .tokens = tokens * t->step,
            .tokens_per_second = tokens * count / (time - c->report), .seconds = time - c->start,
            .seconds_left = seconds_a_step * (steps - t->step)});
    c->report = time;
    c->reported = t->step;
done:
    return err;
}

int ssa_trainer_run(struct ssa_trainer *t, int until, const struct ssa_run *run)
{
    int steps = ssa_trainer_total_steps(t), every = run->every > 0 ? run->every : 10, err;
    double start = now();
    struct clock c = {start, start, start, t->step, t->step, stage_of(t, (uint64_t)t->step)};
    bool stop = false;
    TRY(ssa_check_reserved("train: run", run->reserved, 4));
    REQUIRE(until >= 0 && until <= steps, "train: until step %d, there are %d", until, steps);
    until = until ? until : steps;
    every = every < SSA_LOSSES ? every : SSA_LOSSES;
    while (t->step < until && !stop) {
        int stage = stage_of(t, (uint64_t)t->step);
        if (stage != c.stage) { /* its speed is another */
            c.stage = stage;
            c.stage_start = now();
            c.stage_step = t->step;
        }
        TRY(ssa_trainer_step(t));
        stop = run->stop && *run->stop;
        bool ends_stage = stage_of(t, (uint64_t)t->step) != stage;
        if (t->step - c.reported >= every || t->step == until || stop || ends_stage)
            TRY(report(t, &c, run));
    }
    if (stop)
        err = ssa_fail(SSA_ESTOPPED, "train: stopped after step %d of %d", t->step, steps);
done:
    return err;
}

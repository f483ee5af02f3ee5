/* A task: what is learnt and how, and what follows for a step and its micro-batches. */
#include "internal.h"
#include "impl.h"

int ssa_task_create(struct ssa_task *task, const struct ssa_model *model, const struct ssa_train_config *training,
                    const struct ssa_data *data)
{
    const struct ssa_facts facts = ssa_model_facts(ssa_model_config(model));
    const int micro_batch = ssa_model_limits(model)->batch;
    *task = (struct ssa_task){.data = *data, .facts = facts, .layers = facts.layers, .length = facts.length,
                              .micro_batch = micro_batch};
    int err = ssa_train_config_copy(&task->config, training, micro_batch);
    task->micros = task->config.batch / micro_batch;
    return err;
}

void ssa_task_finish(struct ssa_task *task)
{
    ssa_train_config_finish(&task->config);
}

/* The stage, and *step within it. */
static int stage_at(const struct ssa_task *task, uint64_t *step)
{
    const struct ssa_train_config *c = &task->config;
    int i = 0;
    while (i < c->stage_count - 1 && *step >= (uint64_t)c->stages[i].steps)
        *step -= (uint64_t)c->stages[i++].steps;
    return i;
}

int ssa_task_stage(const struct ssa_task *task, uint64_t step)
{
    return stage_at(task, &step);
}

bool ssa_task_dense_between(const struct ssa_task *task, uint64_t step)
{
    const uint64_t every = (uint64_t)task->config.stages[stage_at(task, &step)].dense_every;
    return every && (step + 1) % every == 0;
}

const struct ssa_pattern *ssa_task_pattern(const struct ssa_task *task, uint64_t step)
{
    static const struct ssa_pattern dense;
    return ssa_task_dense_between(task, step) ? &dense : &task->config.stages[stage_at(task, &step)].pattern;
}

float ssa_task_answers(const struct ssa_task *task)
{
    return (float)task->config.batch * (float)task->facts.answers;
}

/* ---- what is sampled ---- */

int ssa_task_sample(const struct ssa_task *task, const struct ssa_model *model, struct ssa_feed_key key, int layer,
                    struct ssa_sample *how)
{
    int err = ssa_model_sample(ssa_model_config(model), ssa_task_pattern(task, key.step), layer, task->micro_batch,
                               (int)key.number * task->micro_batch, how);
    how->seed = task->config.seed;
    how->step = key.step;
    return err;
}

bool ssa_task_samples(const struct ssa_task *task, const struct ssa_model *model)
{
    bool sampled = false;
    for (int i = 0; i < task->config.stage_count; i++)
        sampled = sampled || ssa_pattern_samples(&task->config.stages[i].pattern, ssa_model_config(model));
    return sampled;
}

int ssa_task_layers_drawn(const struct ssa_task *task, const struct ssa_model *model)
{
    return task->facts.mixed && ssa_task_samples(task, model) ? task->layers : 0;
}

/* ---- batches ---- */

static void copy_sequences(const struct ssa_task *task, const struct ssa_draw *draw, const struct ssa_batch *batch)
{
    const size_t length = (size_t)task->length;
    for (int b = 0; b < draw->count; b++) {
        const size_t at = (size_t)b * length, start = ssa_window_start(&task->config, task->data.count, length,
                                                                       draw->step, draw->first + (uint64_t)b);
        ssa_data_copy(&task->data, start, length, batch->tokens + at);
        ssa_data_copy(&task->data, start + 1, length, batch->targets + at);
    }
}

int ssa_task_fill(const struct ssa_task *task, struct ssa_feed_key key, struct ssa_batch *batch)
{
    const struct ssa_draw draw = {.training = 1, .count = task->micro_batch, .length = task->length,
        .answers = task->facts.answers, .seed = task->config.seed, .step = key.step,
        .first = key.number * (uint64_t)task->micro_batch};
    if (task->data.fill)
        return ssa_data_fill(&task->data, &draw, &task->facts, batch);
    copy_sequences(task, &draw, batch);
    return SSA_OK;
}

#include "profile.h"

#include "numbers.h"

#include "signals.h"

#include <stdlib.h>

struct profile {
    struct ssa_model *model;
    struct ssa_pass pass;
    struct ssa_plan *plans;
    const struct ssa_plan **pointers;
    int layers, passes, micro_batches;
    double seconds, attention_seconds; /* of the whole run */
};

/* Draws every layer's plan; `pairs` becomes (query, key) pairs over all layers, their heads and the micro-batch. */
static int draw_plans(struct profile *p, const struct ssa_pattern *pattern, uint64_t step, double *pairs)
{
    const struct ssa_model_config *config = ssa_model_config(p->model);
    *pairs = 0;
    for (int l = 0; l < p->layers; l++) {
        struct ssa_layer of;
        struct ssa_sample how;
        int status = ssa_model_sample(config, pattern, l, p->pass.batch, 0, &how);
        how.step = step;
        status = status ? status : ssa_model_layer(config, l, &of);
        if (p->pass.lengths) { /* sequences of mixed size: as long as the longest here */
            how.length = p->pass.length;
            how.lengths = p->pass.lengths;
            how.batch = p->pass.batch;
        }
        if (status || (status = ssa_plan_draw(&p->plans[l], &how)))
            return status;
        p->pointers[l] = &p->plans[l];
        *pairs += p->plans[l].pairs * (p->plans[l].examples == 1 ? p->pass.batch * of.sequences : 1) *
                  model_int_at(config, "heads", model_stage(config, l));
    }
    return SSA_OK;
}

static int one_pass(struct profile *p, const struct ssa_pattern *pattern, uint64_t step, double *pairs)
{
    int status = draw_plans(p, pattern, step, pairs);
    p->pass.step = step;
    status = status ? status : ssa_model_forward(p->model, &p->pass);
    status = status ? status : ssa_model_backward(p->model);
    return status ? status : ssa_device_finish(ssa_model_device(p->model));
}

/* Seconds of a step, and pairs of a pass. */
struct profiled {
    double all, attention, pairs;
};

static int profile_pattern(struct profile *p, const struct ssa_pattern *pattern, struct profiled *made)
{
    struct ssa_device *device = ssa_model_device(p->model);
    int status = one_pass(p, pattern, 0, &made->pairs); /* kernels are built now, not while timed */
    double all = ssa_device_seconds(device, ""), attention = ssa_device_seconds(device, "attention");
    ssa_device_set_timing(device, 1);
    for (int i = 0; i < p->passes && !status && !interrupted; i++)
        status = one_pass(p, pattern, 1 + (uint64_t)i, &made->pairs);
    ssa_device_set_timing(device, 0);
    double scale = (double)p->micro_batches / p->passes;
    made->all = scale * (ssa_device_seconds(device, "") - all);
    made->attention = scale * (ssa_device_seconds(device, "attention") - attention);
    return status;
}

/* Where some of its steps are dense, the mean. */
static int profile_stage(struct profile *p, const struct ssa_stage *stage, json_t *list)
{
    static const struct ssa_pattern dense;
    char pattern[STAGE_TEXT];
    struct profiled step = {0}, between = {0};
    const double share = stage->dense_every ? (double)(stage->steps / stage->dense_every) / stage->steps : 0;
    int status = profile_pattern(p, &stage->pattern, &step);
    if (!status && share > 0)
        status = profile_pattern(p, &dense, &between);
    const double all = step.all + share * (between.all - step.all);
    const double attention = step.attention + share * (between.attention - step.attention);
    p->seconds += stage->steps * all;
    p->attention_seconds += stage->steps * attention;
    stage_format(stage, 1, pattern, sizeof pattern);
    double score_bytes = 4 * step.pairs / p->layers;
    json_array_append_new(list, json_pack("{s:s, s:i, s:o, s:o, s:o}", "pattern", pattern, "steps", stage->steps,
                                          "seconds", number_json(all), "attention_seconds", number_json(attention),
                                          "score_bytes", number_json(score_bytes)));
    return status;
}

int profile_run(const struct settings *s, struct ssa_model *model, int passes, json_t **profile)
{
    const struct ssa_train_config *training = &s->training;
    int batch = ssa_model_limits(model)->batch, layers = ssa_model_layers(&s->model);
    struct profile p = {.model = model, .layers = layers, .passes = passes, .micro_batches = settings_passes(s),
                        .pass = {.batch = batch, .length = ssa_model_length(&s->model), .training = 1}};
    json_t *list = json_array();
    void *inputs = NULL;
    p.plans = calloc((size_t)layers, sizeof *p.plans);
    p.pointers = calloc((size_t)layers, sizeof *p.pointers);
    p.pass.plans = p.pointers;
    int status = p.plans && p.pointers ? s->program->fill(s, &p.pass, &inputs) : SSA_ENOMEM;
    for (int i = 0; i < training->stage_count && !status && !interrupted; i++)
        status = profile_stage(&p, &training->stages[i], list);
    if (!status && interrupted)
        status = SSA_ESTOPPED;
    if (!status)
        *profile = json_pack("{s:i, s:i, s:O, s:o, s:o}", "passes", passes, "batch", batch, "stages", list,
                             "attention_seconds", number_json(p.attention_seconds), "seconds", number_json(p.seconds));
    json_decref(list);
    for (int l = 0; l < layers && p.plans; l++)
        ssa_plan_finish(&p.plans[l]);
    free(p.plans);
    free(p.pointers);
    free(inputs);
    return status;
}

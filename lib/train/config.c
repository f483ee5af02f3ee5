/* Training configs: checking, copying, the learning rate. */
#include "train/team/worker.h"
#include "impl.h"
#include "net/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- patterns of all layers ---- */

static bool any_layer(const struct ssa_pattern *p, const struct ssa_model_config *model, bool per_example)
{
    const int layers = ssa_model_facts(model).layers;
    struct ssa_sample s;
    for (int l = 0; l < layers; l++)
        if (ssa_model_sample(model, p, l, 1, 0, &s) == SSA_OK && s.kind != SSA_DENSE &&
            (!per_example || s.per_example))
            return true;
    return false;
}

bool ssa_pattern_samples(const struct ssa_pattern *p, const struct ssa_model_config *model)
{
    return any_layer(p, model, false);
}

bool ssa_pattern_per_example(const struct ssa_pattern *p, const struct ssa_model_config *model)
{
    return any_layer(p, model, true);
}

/* ---- checking ---- */

/* A number that may be SSA_NONE. */
static bool at_least_none(float value)
{
    return isfinite(value) && (value >= 0 || value == SSA_NONE);
}

static int check_stage(const struct ssa_stage *s, int number, const struct ssa_model_config *model, int batch)
{
    struct ssa_sample sample;
    int err;
    TRY(ssa_check_reserved("train: stage", s->reserved, 3));
    REQUIRE(s->steps > 0, "train: stage %d has %d steps, must be positive", number, s->steps);
    REQUIRE(s->warmup >= 0 && s->warmup <= s->steps, "train: stage %d: warmup is %d, must be in [0, %d]", number,
            s->warmup, s->steps);
    REQUIRE(s->lr > 0 && s->lr < 100, "train: stage %d: learning rate is %g, must be above 0 and below 100",
            number, (double)s->lr);
    REQUIRE(at_least_none(s->lr_end) && s->lr_end < 100, "train: stage %d: lr_end is %g, must be in [0, 100) or SSA_NONE",
            number, (double)s->lr_end);
    REQUIRE(s->dense_every == 0 || s->dense_every >= 2, "train: stage %d: dense_every is %d, must be 0 or 2 and more",
            number, s->dense_every);
    for (int l = 0; l < ssa_model_facts(model).layers; l++) {
        TRY(ssa_model_sample(model, &s->pattern, l, batch, 0, &sample));
        REQUIRE(ssa_plan_bound(&sample) > 0, "train: stage %d, layer %d: %s", number, l, ssa_last_error());
        REQUIRE(sample.kind == SSA_DENSE || !ssa_model_facts(model).sees_padding,
                "train: stage %d samples layer %d, but virtual nodes see padding (virtual_see_padding): all are dense "
                "then", number, l);
    }
done:
    return err;
}

static int check_numbers(const struct ssa_train_config *t)
{
    int err;
    TRY(ssa_check_reserved("train", t->reserved, 3));
    REQUIRE(at_least_none(t->beta1) && t->beta1 < 1, "train: beta1 is %g, must be in [0, 1) or SSA_NONE",
            (double)t->beta1);
    REQUIRE(at_least_none(t->beta2) && t->beta2 < 1, "train: beta2 is %g, must be in [0, 1) or SSA_NONE",
            (double)t->beta2);
    REQUIRE(t->eps >= 0 && isfinite(t->eps), "train: eps is %g, must not be negative", (double)t->eps);
    REQUIRE(at_least_none(t->decay), "train: decay is %g, must not be negative, or SSA_NONE", (double)t->decay);
    REQUIRE(at_least_none(t->clip), "train: clip is %g, must not be negative, or SSA_NONE", (double)t->clip);
    REQUIRE(t->optimiser == SSA_ADAMW || t->optimiser == SSA_NAG, "train: optimiser is %d, not one of enum "
            "ssa_optimiser", t->optimiser);
    REQUIRE(at_least_none(t->momentum) && t->momentum < 1, "train: momentum is %g, must be in [0, 1) or SSA_NONE",
            (double)t->momentum);
    REQUIRE(t->momentum == 0 || t->optimiser == SSA_NAG, "train: momentum is %g, which is of SSA_NAG: AdamW has beta1",
            (double)t->momentum);
    REQUIRE(t->smoothing >= 0 && t->smoothing < 1, "train: smoothing is %g, must be in [0, 1)", (double)t->smoothing);
    REQUIRE(t->ema >= 0 && t->ema < 1, "train: ema is %g, must be in [0, 1)", (double)t->ema);
    REQUIRE(t->blocks == 0 || t->blocks == 1, "train: blocks is %d, must be 0 or 1", t->blocks);
done:
    return err;
}

int ssa_train_config_check(const struct ssa_train_config *t, const struct ssa_model_config *m, int micro_batch)
{
    long long steps = 0;
    int err;
    TRY(ssa_model_check(m));
    TRY(check_numbers(t));
    REQUIRE(t->smoothing == 0 || !ssa_model_facts(m).unsmoothed, "train: smoothing is %g, of this kind of model labels "
            "are not smoothed", (double)t->smoothing);
    REQUIRE(micro_batch > 0, "train: limits.batch is %d, must be positive", micro_batch);
    REQUIRE(t->batch >= 0 && t->batch % micro_batch == 0,
            "train: batch %d does not divide into micro-batches of %d (limits.batch)", t->batch, micro_batch);
    REQUIRE(t->stages && t->stage_count > 0, "train: no stages");
    for (int i = 0; i < t->stage_count; i++) {
        TRY(check_stage(&t->stages[i], i + 1, m, micro_batch));
        steps += t->stages[i].steps;
    }
    REQUIRE(steps <= INT32_MAX, "train: %lld steps are too many", steps);
done:
    return err;
}

/* Losses and a norm. */
static size_t scalar_bytes(int micros)
{
    return ssa_worker_scalars(micros) * 4;
}

int ssa_train_check(struct ssa_device *device, const struct ssa_model_config *model,
                    const struct ssa_model_limits *limits, const struct ssa_train_config *training, size_t data_count,
                    struct ssa_memory *memory)
{
    struct ssa_memory ours;
    struct ssa_model_limits l = *limits;
    int err;
    l.training = 1;
    TRY(ssa_train_config_check(training, model, limits->batch));
    if (data_count)
        TRY(ssa_data_check_ids(data_count, ssa_model_facts(model), ssa_model_facts(model).length));
    struct ssa_extra extra = {training->batch ? training->batch : limits->batch,
                              ssa_train_config_kinds(training) - 1, ssa_tree_depth, scalar_bytes};
    TRY(ssa_model_fit(device, model, &l, extra, memory ? memory : &ours));
done:
    return err;
}

const char *ssa_optimiser_name(int optimiser)
{
    return optimiser == SSA_NAG ? "nag" : "adamw";
}

bool ssa_train_config_has(const struct ssa_train_config *t, int kind)
{
    return kind == SSA_KIND_SECOND ? t->optimiser == SSA_ADAMW : kind != SSA_KIND_AVERAGE || t->ema > 0;
}

int ssa_train_config_kinds(const struct ssa_train_config *t)
{
    int count = 0;
    for (int kind = 0; kind < SSA_KINDS; kind++)
        count += ssa_train_config_has(t, kind);
    return count;
}

/* ---- copying ---- */

static float or_default(float value, float fallback)
{
    return value == 0 ? fallback : value; /* exactly: unset */
}

static int copy_stage(struct ssa_stage *copy, const struct ssa_stage *stage)
{
    const struct ssa_pattern *layers = stage->pattern.layers;
    *copy = *stage;
    copy->lr_end = or_default(stage->lr_end, stage->lr / 10);
    copy->pattern.layers = NULL;
    if (!layers)
        return SSA_OK;
    size_t size = (size_t)stage->pattern.layer_count * sizeof *layers;
    struct ssa_pattern *p = malloc(size);
    if (!p)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    memcpy(p, layers, size);
    copy->pattern.layers = p;
    return SSA_OK;
}

int ssa_train_config_copy(struct ssa_train_config *copy, const struct ssa_train_config *config, int micro_batch)
{
    struct ssa_stage *stages = calloc((size_t)config->stage_count + 1, sizeof *stages);
    const bool nag = config->optimiser == SSA_NAG;
    int err = SSA_OK;
    *copy = *config;
    copy->stages = stages;
    if (!stages)
        return ssa_fail(SSA_ENOMEM, "train: out of host memory");
    copy->batch = config->batch ? config->batch : micro_batch;
    copy->beta1 = or_default(config->beta1, 0.9f);
    copy->beta2 = or_default(config->beta2, 0.95f);
    copy->eps = or_default(config->eps, 1e-8f);
    copy->decay = or_default(config->decay, nag ? SSA_NONE : 0.1f);
    copy->clip = or_default(config->clip, nag ? 0.1f : 1);
    copy->momentum = nag ? or_default(config->momentum, 0.99f) : 0;
    for (int i = 0; i < config->stage_count; i++)
        TRY(copy_stage(&stages[i], &config->stages[i]));
done:
    return err;
}

void ssa_train_config_finish(struct ssa_train_config *copy)
{
    for (int i = 0; copy->stages && i < copy->stage_count; i++)
        free((void *)copy->stages[i].pattern.layers);
    free((void *)copy->stages);
    copy->stages = NULL;
}

/* ---- schedule ---- */

int ssa_train_config_steps(const struct ssa_train_config *t)
{
    int sum = 0;
    for (int i = 0; i < t->stage_count; i++)
        sum += t->stages[i].steps;
    return sum;
}

float ssa_learning_rate(const struct ssa_train_config *t, int step)
{
    int i = 0;
    while (i < t->stage_count - 1 && step >= t->stages[i].steps)
        step -= t->stages[i++].steps;
    const struct ssa_stage *s = &t->stages[i];
    if (step < s->warmup)
        return s->lr * (float)(step + 1) / (float)s->warmup;
    float end = s->lr_end < 0 ? 0 : or_default(s->lr_end, s->lr / 10);
    int last = s->steps - 1 - s->warmup; /* steps of the cosine, after its first */
    double done = last > 0 ? (double)(step - s->warmup) / last : 0;
    done = done < 1 ? done : 1;
    return end + (s->lr - end) * (float)(0.5 * (1 + cos(3.14159265358979323846 * done)));
}

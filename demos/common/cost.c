#include "cost.h"

#include "model.h"

#include <stdbool.h>

/* What of a model costs operations. */
struct shape {
    int layers, length, heads, kv_heads, width, hidden, matrices; /* of an MLP */
    int query_width; /* of all heads; values are as wide as the stream */
    bool causal;
    double ends; /* products of the embedding and the head, a sequence */
};

static struct shape shape_of(const struct ssa_model_config *model)
{
    struct shape s = {.layers = model_int(model, "layers"), .length = ssa_model_length(model),
                      .heads = model_int(model, "heads"), .kv_heads = model_int(model, "kv_heads"),
                      .width = model_int(model, "width"), .hidden = model_int(model, "hidden"),
                      .matrices = model_int(model, "gated") ? 3 : 2};
    s.kv_heads = s.kv_heads ? s.kv_heads : s.heads; /* a family without such a field */
    s.query_width = s.width;
    switch (model->family) {
    case SSA_GPT:
        s.causal = !model->gpt.bidirectional;
        s.ends = (double)s.length * s.width * model->gpt.vocabulary;
        break;
    case SSA_VIT: { /* patches, and one row of classes */
        const double patch = (double)model->vit.channels * model->vit.patch * model->vit.patch;
        s.ends = s.width * ((s.length - model_has_class_token(model)) * patch + model->vit.classes);
        break;
    }
    case SSA_PIXELS:
        s.causal = true;
        s.ends = (double)s.length * s.width * model_int(model, "values");
        s.query_width = model_int(model, "key_width") ? s.heads * model_int(model, "key_width") : s.width;
        break;
    default:
        break;
    }
    return s;
}

/* Pairs of one sequence, and the rows that keys and values are projected for. */
static int count_pairs(const struct shape *s, struct ssa_sample how, double *pairs, double *kv_rows)
{
    struct ssa_plan plan = {0};
    double N = s->length, keys = how.keys + how.keep_count, groups = (double)s->heads / s->kv_heads;
    *kv_rows = N;
    *pairs = s->causal ? N * (N + 1) / 2 : N * N;
    if (how.kind == SSA_DENSE)
        return SSA_OK;
    if (how.kind == SSA_UNBIASED && !how.own_key && 2 * keys <= N * groups && keys * groups <= N)
        *kv_rows = keys;
    int err = ssa_plan_draw(&plan, &how);
    *pairs = s->causal ? plan.pairs_causal : plan.pairs;
    ssa_plan_finish(&plan);
    return err;
}

int cost_add_layers(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                    int first, int end, double sequences, uint64_t seed)
{
    const struct shape s = shape_of(model);
    double N = s.length, C = s.width, Q = s.query_width, hidden = s.hidden, share = (double)s.kv_heads / s.heads;
    for (int l = first; l < end; l++) {
        struct ssa_sample how;
        double pairs, kv_rows;
        int err = ssa_pattern_sample(pattern, l, s.layers, s.length, 1, &how);
        how.seed = seed;
        how.layer = (uint32_t)l;
        err = err ? err : count_pairs(&s, how, &pairs, &kv_rows);
        if (err)
            return err;
        cost->linear += 6 * sequences * (N * (C * Q + C * C + s.matrices * C * hidden) + kv_rows * C * (Q + C) * share);
        cost->attention += 6 * sequences * pairs * (Q + C);
    }
    return SSA_OK;
}

int cost_of_step(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                 double sequences, uint64_t seed)
{
    const struct shape s = shape_of(model);
    *cost = (struct cost){.linear = 6 * sequences * s.ends};
    return cost_add_layers(cost, model, pattern, 0, s.layers, sequences, seed);
}

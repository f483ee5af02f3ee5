#include "cost.h"

#include "model.h"

#include <math.h>
#include <stdbool.h>

/* What of a layer costs operations. */
struct shape {
    struct ssa_layer of;
    int heads, kv_heads, width, hidden, matrices; /* matrices: of an MLP */
    int query_width; /* of all heads; values are as wide as the stream */
    bool causal, gathers; /* gathers: keys and values are projected for sampled rows alone, where that is less */
};

static struct shape shape_of(const struct ssa_model_config *model, int layer)
{
    struct shape s = {.heads = model_int_at(model, "heads", model_stage(model, layer)),
                      .kv_heads = model_int(model, "kv_heads"), .width = model_int(model, "width"),
                      .hidden = model_int(model, "hidden"), .matrices = model_int(model, "gated") ? 3 : 2,
                      .causal = model_is_causal(model), .gathers = true};
    (void)ssa_model_layer(model, layer, &s.of); /* of a wrong model all is 0 */
    if (model->family == SSA_SWIN) {
        s.width <<= model_stage(model, layer);
        s.hidden = (int)lround((double)model->swin.hidden_ratio * s.width);
        s.gathers = false;
    }
    if (model->family == SSA_EGT) {
        s.hidden = (int)lround((double)model->egt.hidden_ratio * s.width);
        s.gathers = false;
    }
    s.kv_heads = s.kv_heads ? s.kv_heads : s.heads; /* a family without such a field */
    s.query_width = model_int(model, "key_width") ? s.heads * model_int(model, "key_width") : s.width;
    return s;
}

/* Products of a sequence outside of layers: patches, merging of 2 x 2 positions of a stage into one of twice the width,
 * one row of classes. */
static double swin_ends(const struct ssa_model_config *model)
{
    const struct ssa_swin *c = &model->swin;
    const int last = model_stages(model) - 1;
    double positions = ssa_model_length(model), width = c->width;
    double sum = positions * width * c->channels * c->patch * c->patch;
    for (int i = 0; i < last; i++) {
        positions /= 4;
        width *= 2;
        sum += positions * 2 * width * width;
    }
    return sum + width * c->classes;
}

/* Of a row's words what part is in ids below `id`, where the r-th word is 1/r times as frequent as the first. */
static double frequent(const struct ssa_words *c, int id)
{
    return log(id + 1) / log(c->vocabulary + 1);
}

/* A word's row becomes as wide as the stream, but for what the table has so wide; the first softmax is of all rows,
 * another of those whose words are in its band. */
static double words_ends(const struct ssa_words *c)
{
    const double length = c->length, width = c->width;
    double sum = 0, narrow = width;
    int begin = 0, bands = 1;
    while (bands < 4 && c->cutoffs[bands - 1])
        bands++;
    for (int b = 0; b < bands; b++, narrow /= c->factor) {
        const int end = b + 1 < bands ? c->cutoffs[b] : c->vocabulary;
        const double rows = length * (frequent(c, end) - frequent(c, begin));
        sum += rows * width * narrow;
        sum += b ? rows * narrow * (width + end - begin) : length * width * (end + bands - 1);
        begin = end;
    }
    return sum;
}

/* Of a graph's edges in a layer, which are as many as pairs of nodes, or as those that a sample has: biases and gates of
 * its heads; and, but in the last layer, what scores and an MLP make of each. */
static double edges_of(const struct ssa_egt *c, int layer, double length, double keys)
{
    const double cells = length * (c->edge_mode == SSA_EDGES_ALL ? length : keys), width = c->edge_width;
    const double hidden = lround((double)c->edge_hidden_ratio * width);
    const bool updates = c->edge_mode != SSA_EDGES_FIXED && layer + 1 < c->layers;
    return cells * width * (2.0 * c->heads + updates * (c->heads + 2 * hidden));
}

/* Encodings of nodes, and a head of as many rows as are joined to one. */
static double egt_ends(const struct ssa_egt *c)
{
    const double width = c->width, joined = width * (c->virtual_nodes ? c->virtual_nodes : 1);
    const double head = c->head_layers > 1 ? joined * width + width * width + width * c->targets : joined * c->targets;
    return (double)c->nodes * c->encodings * width + head;
}

/* Of embedding and head. */
static double ends_of(const struct ssa_model_config *model)
{
    const double length = ssa_model_length(model), width = model_int(model, "width");
    switch (model->family) {
    case SSA_VIT: { /* patches, and one row of classes */
        const double patch = (double)model->vit.channels * model->vit.patch * model->vit.patch;
        return width * ((length - model_has_class_token(model)) * patch + model->vit.classes);
    }
    case SSA_SWIN:
        return swin_ends(model);
    case SSA_WORDS:
        return words_ends(&model->words);
    case SSA_EGT:
        return egt_ends(&model->egt);
    default:
        return length * width * model_int(model, model->family == SSA_PIXELS ? "values" : "vocabulary");
    }
}

/* Where every key is drawn on its own: the mean of all draws, of which one may be anything. */
static double expected_pairs(const struct shape *s, const struct ssa_sample *how)
{
    double pairs = 0;
    for (int i = 0; i < how->length; i++) {
        const int there = s->causal ? i + 1 : how->length, kept = there < how->keep_count ? there : how->keep_count;
        const double own = how->own_key && i >= how->keep_count ? 1 - (double)how->ratio : 0;
        pairs += kept + (double)how->ratio * (there - kept) + own;
    }
    return pairs * s->of.sequences;
}

/* Pairs of one of the model's sequences, and the rows that keys and values are projected for. */
static int count_pairs(const struct shape *s, struct ssa_sample how, double *pairs, double *kv_rows)
{
    struct ssa_plan plan = {0};
    double N = s->of.length, keys = how.keys + how.keep_count, groups = (double)s->heads / s->kv_heads;
    *kv_rows = N * s->of.sequences;
    *pairs = (s->causal ? N * (N + 1) / 2 : N * N) * s->of.sequences;
    if (how.kind == SSA_DENSE)
        return SSA_OK;
    const bool alike = !how.independent || !how.per_example; /* equally many in every example */
    if (how.independent)
        keys = how.keep_count + (double)how.ratio * (N - how.keep_count);
    if (s->gathers && alike && how.kind == SSA_UNBIASED && !how.own_key && 2 * keys <= N * groups && keys * groups <= N)
        *kv_rows = keys;
    if (how.independent) {
        *pairs = expected_pairs(s, &how);
        return SSA_OK;
    }
    int err = ssa_plan_draw(&plan, &how);
    *pairs = (s->causal ? plan.pairs_causal : plan.pairs) * (plan.examples > 1 ? 1 : s->of.sequences);
    ssa_plan_finish(&plan);
    return err;
}

static int add_layers(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                      double sequences, uint64_t seed)
{
    const int layers = ssa_model_layers(model);
    for (int l = 0; l < layers; l++) {
        const struct shape s = shape_of(model, l);
        const double rows = (double)s.of.length * s.of.sequences, share = (double)s.kv_heads / s.heads;
        const double C = s.width, Q = s.query_width, hidden = s.hidden;
        struct ssa_sample how;
        double pairs, kv_rows;
        int err = ssa_model_sample(model, pattern, l, 1, 0, &how);
        how.seed = seed;
        err = err ? err : count_pairs(&s, how, &pairs, &kv_rows);
        if (err)
            return err;
        cost->linear += 6 * sequences * rows * (C * Q + C * C + s.matrices * C * hidden);
        cost->linear += 6 * sequences * kv_rows * C * (Q + C) * share;
        cost->attention += 6 * sequences * pairs * (Q + C);
        if (model->family == SSA_EGT)
            cost->linear += 6 * sequences * edges_of(&model->egt, l, s.of.length, pairs / s.of.length);
    }
    return SSA_OK;
}

int cost_of_step(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                 double sequences, uint64_t seed)
{
    struct ssa_model_config settled = *model;
    ssa_model_settle(&settled);
    *cost = (struct cost){.linear = 6 * sequences * ends_of(&settled)};
    return add_layers(cost, &settled, pattern, sequences, seed);
}

#include "cost.h"

/* Pairs of one sequence, and the rows that keys and values are projected for. */
static int count_pairs(const struct ssa_gpt *m, struct ssa_sample how, double *pairs, double *kv_rows)
{
    struct ssa_plan plan = {0};
    double N = m->length, keys = how.keys + how.keep_count, groups = (double)m->heads / m->kv_heads;
    *kv_rows = N;
    *pairs = m->bidirectional ? N * N : N * (N + 1) / 2;
    if (how.kind == SSA_DENSE)
        return SSA_OK;
    if (how.kind == SSA_UNBIASED && !how.own_key && 2 * keys <= N * groups && keys * groups <= N)
        *kv_rows = keys;
    int err = ssa_plan_draw(&plan, &how);
    *pairs = m->bidirectional ? plan.pairs : plan.pairs_causal;
    ssa_plan_finish(&plan);
    return err;
}

int cost_add_layers(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                    int first, int end, double sequences, uint64_t seed)
{
    struct ssa_model_config settled = *model;
    const struct ssa_gpt *m = &settled.gpt;
    ssa_model_settle(&settled);
    double N = m->length, C = m->width, kv = C * m->kv_heads / m->heads, hidden = m->hidden;
    const int mlp = m->gated ? 3 : 2; /* matrices */
    for (int l = first; l < end; l++) {
        struct ssa_sample how;
        double pairs, kv_rows;
        int err = ssa_pattern_sample(pattern, l, m->layers, m->length, 1, &how);
        how.seed = seed;
        how.layer = (uint32_t)l;
        err = err ? err : count_pairs(m, how, &pairs, &kv_rows);
        if (err)
            return err;
        cost->linear += 6 * sequences * (N * (2 * C * C + mlp * C * hidden) + kv_rows * 2 * C * kv);
        cost->attention += 12 * sequences * pairs * C;
    }
    return SSA_OK;
}

int cost_of_step(struct cost *cost, const struct ssa_model_config *model, const struct ssa_pattern *pattern,
                 double sequences, uint64_t seed)
{
    const struct ssa_gpt *m = &model->gpt;
    *cost = (struct cost){.linear = 6 * sequences * m->length * m->width * (double)m->vocabulary};
    return cost_add_layers(cost, model, pattern, 0, m->layers, sequences, seed);
}

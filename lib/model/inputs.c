/* What a pass is given: tokens, targets and plans, copied to the device in one write.
 *
 * The buffer holds [dense plan | tokens | targets | plans of layers that are not dense]. The dense plan changes with
 * the lengths only, so it is written apart. */
#include "internal.h"
#include "../impl.h"

#include <stdlib.h>
#include <string.h>

static struct ssa_tensor inputs_at(const struct ssa_model *m, size_t offset)
{
    return (struct ssa_tensor){m->inputs, offset, SSA_I32};
}

int ssa_inputs_create(struct ssa_model *m)
{
    size_t layers = (size_t)m->config.layers, count = ssa_inputs_count(&m->config, &m->limits);
    m->dense_room = ssa_plan_room(&m->config);
    m->staging_count = count - m->dense_room;
    m->staging = malloc(m->staging_count * sizeof *m->staging);
    m->plans = calloc(layers, sizeof *m->plans);
    m->plan_data = calloc(layers, sizeof *m->plan_data);
    if (!m->staging || !m->plans || !m->plan_data)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    return ssa_buffer_create(&m->inputs, m->device, count * sizeof(int32_t));
}

void ssa_inputs_destroy(struct ssa_model *m)
{
    ssa_buffer_destroy(m->inputs);
    ssa_plan_finish(&m->dense);
    free(m->staging);
    free(m->plans);
    free(m->plan_data);
}

static int write_dense(struct ssa_model *m, int keys, int queries)
{
    int err = SSA_OK;
    if (m->dense.length == keys && m->dense.queries == queries)
        return SSA_OK;
    TRY(ssa_plan_draw(&m->dense, &(struct ssa_sample){.kind = SSA_DENSE, .length = keys, .queries = queries}));
    size_t count = m->dense.stride;
    if (count > m->dense_room)
        return ssa_fail(SSA_EINVAL, "model: a dense plan of %zu int32 is larger than foreseen (%zu)", count,
                        m->dense_room);
    TRY(ssa_tensor_write(inputs_at(m, 0), m->dense.data, count));
done:
    if (err)
        m->dense.length = 0; /* what the device holds is unknown: write it again next time */
    return err;
}

static int check_pass(const struct ssa_model *m, const struct ssa_pass *p)
{
    const struct ssa_model_config *c = &m->config;
    int err;
    TRY(ssa_check_reserved("model: pass", p->reserved, 4));
    REQUIRE(p->tokens, "model: tokens is NULL");
    REQUIRE(p->batch > 0 && p->batch <= m->limits.batch, "model: batch %d, must be in [1, %d] (limits.batch)", p->batch,
            m->limits.batch);
    REQUIRE(p->length > 0 && p->length <= c->length, "model: length %d, must be in [1, %d]", p->length, c->length);
    REQUIRE(!p->training || m->limits.training, "model: a training pass of a model made without limits.training");
    REQUIRE(p->smoothing >= 0 && p->smoothing < 1, "model: smoothing is %g, must be in [0, 1)", (double)p->smoothing);
    size_t rows = (size_t)p->batch * (size_t)p->length;
    for (size_t i = 0; i < rows; i++)
        REQUIRE(p->tokens[i] >= 0 && p->tokens[i] < c->vocabulary, "model: token %zu is %d, vocabulary is %d", i,
                p->tokens[i], c->vocabulary);
    for (size_t i = 0; p->targets && i < rows; i++)
        REQUIRE(p->targets[i] < c->vocabulary, "model: target %zu is %d, vocabulary is %d", i, p->targets[i],
                c->vocabulary);
done:
    return err;
}

/* Copies a layer's plan into the staging memory, unless an earlier layer has the same. */
static int stage_plan(struct ssa_model *m, const struct ssa_pass *p, int layer, size_t *used)
{
    const struct ssa_plan *plan = p->plans ? p->plans[layer] : NULL;
    int err = SSA_OK;
    if (!plan) {
        m->plans[layer] = m->dense;
        m->plan_data[layer] = inputs_at(m, 0);
        return SSA_OK;
    }
    REQUIRE(plan->data && plan->length == p->length, "model: the plan of layer %d is of length %d, the pass of %d",
            layer, plan->length, p->length);
    REQUIRE(plan->examples == 1 || plan->examples == p->batch,
            "model: the plan of layer %d has %d examples, the pass has %d", layer, plan->examples, p->batch);
    for (int l = 0; l < layer; l++)
        if (p->plans[l] == plan) {
            m->plans[layer] = m->plans[l];
            m->plan_data[layer] = m->plan_data[l];
            return SSA_OK;
        }
    size_t count = plan->stride * (size_t)plan->examples;
    REQUIRE(count <= m->staging_count - *used, "model: the plan of layer %d takes %zu int32, %zu are left", layer,
            count, m->staging_count - *used);
    memcpy(m->staging + *used, plan->data, count * sizeof *plan->data);
    m->plans[layer] = *plan;
    m->plans[layer].data = m->staging + *used; /* the caller's is not ours past this call */
    m->plan_data[layer] = inputs_at(m, m->dense_room + *used);
    *used += count;
done:
    return err;
}

int ssa_inputs_write(struct ssa_model *m, const struct ssa_pass *pass, int keys)
{
    struct ssa_pass p = *pass;
    size_t used = 0;
    int err;
    p.batch = p.batch ? p.batch : m->limits.batch;
    p.length = p.length ? p.length : m->config.length;
    TRY(check_pass(m, &p));
    TRY(write_dense(m, keys ? keys : p.length, p.length));
    size_t rows = (size_t)p.batch * (size_t)p.length;
    m->tokens = inputs_at(m, m->dense_room);
    memcpy(m->staging, p.tokens, rows * sizeof *p.tokens);
    used = rows;
    if (p.targets) {
        m->targets = ssa_tensor_add(m->tokens, used);
        memcpy(m->staging + used, p.targets, rows * sizeof *p.targets);
        used += rows;
    }
    for (int l = 0; l < m->config.layers; l++)
        TRY(stage_plan(m, &p, l, &used));
    TRY(ssa_tensor_write(m->tokens, m->staging, used));
    m->pass = p;
done:
    return err;
}

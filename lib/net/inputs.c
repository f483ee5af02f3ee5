/* What a pass is given: the net's inputs and plans, copied to the device in one write.
 *
 * The buffer holds [dense plans | inputs | plans of layers that are not dense]. A dense plan, one for all layers of a
 * length, changes with the lengths only, so it is written apart; but where sequences are of mixed size it is another
 * one in every pass, and goes the way of the others. Behind a plan lie its cells, where the net asks for them, or where
 * it permutes queries their order, and the dense plan of a window. */
#include "internal.h"
#include "plan.h"
#include "impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t ssa_input_count(const struct ssa_input *input, int batch, int length)
{
    const size_t n = length > input->lead ? (size_t)(length - input->lead) : 0;
    const size_t of[] = {[SSA_PER_POSITION] = n, [SSA_PER_SEQUENCE] = 1, [SSA_PER_PAIR] = ssa_times(n, n)};
    return ssa_times((size_t)batch, ssa_times(of[input->per], input->each ? input->each : 1));
}

/* Where ids are cut into bands three arrays: classes, rows, and ids in their bands. */
static size_t staged_count(const struct ssa_input *input, int batch, int length)
{
    return ssa_times(ssa_input_count(input, batch, length), input->bands.count ? 3 : 1);
}

/* The lengths that layers have, which are few; returns how many. */
static int dense_plans(const struct ssa_model_config *config, struct ssa_dense *dense)
{
    const bool own = ssa_family(config->family)->layer;
    const int layers = own ? ssa_model_facts(config).layers : 0;
    int count = 0;
    if (!own)
        dense[count++] = (struct ssa_dense){.room = ssa_plan_room(ssa_model_facts(config).length)};
    for (int l = 0; l < layers; l++) {
        const int length = ssa_model_layer_facts(config, l).length;
        bool there = false;
        for (int i = 0; i < count; i++)
            there = there || dense[i].length == length;
        if (!there)
            dense[count++] = (struct ssa_dense){.length = length, .room = ssa_plan_room(length)};
    }
    for (int i = 1; i < count; i++)
        dense[i].at = dense[i - 1].at + dense[i - 1].room;
    return count;
}

size_t ssa_inputs_count(const struct ssa_net *net, const struct ssa_model_config *config, int batch)
{
    struct ssa_dense dense[SSA_LAYER_LENGTHS];
    const int dense_count = dense_plans(config, dense), length = ssa_model_facts(config).length;
    size_t count = dense_count ? dense[dense_count - 1].at + dense[dense_count - 1].room : 0;
    for (int l = 0; l < net->layers; l++) {
        const struct ssa_layer of = ssa_model_layer_facts(config, l);
        count = ssa_plus(count, ssa_times(ssa_times((size_t)of.sequences, (size_t)batch), ssa_plan_room(of.length)));
        if (net->cells)
            count = ssa_plus(count, ssa_times(ssa_times((size_t)batch, (size_t)length), (size_t)length));
    }
    for (int i = 0; i < net->input_count; i++)
        count = ssa_plus(count, staged_count(&net->inputs[i], batch, length));
    return count;
}

static struct ssa_tensor inputs_at(const struct ssa_model *m, size_t offset)
{
    return (struct ssa_tensor){m->inputs, offset, SSA_I32};
}

int ssa_inputs_create(struct ssa_model *m)
{
    const size_t count = ssa_inputs_count(&m->net, &m->config, m->limits.batch);
    m->dense_count = dense_plans(&m->config, m->dense);
    m->dense_room = m->dense_count ? m->dense[m->dense_count - 1].at + m->dense[m->dense_count - 1].room : 0;
    m->staging_count = count - m->dense_room;
    m->staging = malloc(m->staging_count * sizeof *m->staging);
    m->plans = calloc((size_t)m->net.layers, sizeof *m->plans);
    if (!m->staging || !m->plans)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    return ssa_buffer_create(&m->inputs, m->device, count * sizeof(int32_t));
}

void ssa_inputs_destroy(struct ssa_model *m)
{
    ssa_buffer_destroy(m->inputs);
    for (int i = 0; i < m->dense_count; i++)
        ssa_plan_finish(&m->dense[i].plan);
    free(m->staging);
    free(m->plans);
}

static int write_dense(struct ssa_model *m, struct ssa_dense *dense, int keys, int queries)
{
    struct ssa_plan *plan = &dense->plan;
    int err = SSA_OK;
    if (plan->length == keys && plan->queries == queries)
        return SSA_OK;
    TRY(ssa_plan_draw(plan, &(struct ssa_sample){.kind = SSA_DENSE, .length = keys, .queries = queries}));
    size_t count = plan->stride;
    if (count > dense->room)
        return ssa_fail(SSA_EINVAL, "model: a dense plan of %zu int32 is larger than foreseen (%zu)", count,
                        dense->room);
    TRY(ssa_tensor_write(inputs_at(m, dense->at), plan->data, count));
done:
    if (err)
        plan->length = 0; /* what the device holds is unknown: write it again next time */
    return err;
}

/* Of sequences of mixed size, for layers that are given none: over the real positions of each. Where padding is seen, for
 * all layers. */
static int draw_dense(struct ssa_model *m, const struct ssa_pass *p)
{
    if (m->facts.sees_padding)
        return ssa_plan_with_padding(&m->dense->plan, p->lengths, p->batch, p->length, m->facts.lead);
    return ssa_plan_draw(&m->dense->plan, &(struct ssa_sample){.kind = SSA_DENSE, .length = p->length,
        .batch = p->batch, .lengths = p->lengths});
}

/* Of layers without a length of their own: of `keys` positions, of which the pass has the last ones. */
static int write_all_dense(struct ssa_model *m, const struct ssa_pass *p, int keys)
{
    const int queries = p->length;
    int err = SSA_OK;
    if (m->facts.mixed)
        return draw_dense(m, p);
    for (int i = 0; i < m->dense_count; i++) {
        const int own = m->dense[i].length;
        TRY(write_dense(m, &m->dense[i], own ? own : keys, own ? own : queries));
    }
done:
    return err;
}

static const void *values_of(const struct ssa_pass *p, size_t from)
{
    const void *values;
    memcpy(&values, (const char *)p + from, sizeof values);
    return values;
}

static int refuse_id(const struct ssa_input *input, size_t i, int32_t value)
{
    return input->limit ? ssa_fail(SSA_EINVAL, "model: %s %zu is %d, %s is %d", input->name, i, value, input->limit,
                                   input->below)
                        : ssa_fail(SSA_EINVAL, "model: %s %zu is %d, must be in [0, %d]", input->name, i, value,
                                   input->below - 1);
}

static int check_ids(const struct ssa_input *input, const int32_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] >= input->below || (values[i] < 0 && !input->any_below))
            return refuse_id(input, i, values[i]);
    return SSA_OK;
}

/* Of no sequence 0; else the first `lead` positions are there. */
static int check_lengths(const struct ssa_input *input, const int32_t *values, size_t count, int lead, int length)
{
    int err = SSA_OK;
    for (size_t i = 0; i < count; i++) {
        REQUIRE(values[i] >= 0 && values[i] <= length, "model: %s %zu is %d, must be in [0, %d]", input->name, i,
                values[i], length);
        REQUIRE(!values[i] || values[i] >= lead, "model: %s %zu is %d, must be 0 or in [%d, %d]: the first %d "
                "positions are virtual nodes", input->name, i, values[i], lead, length, lead);
    }
done:
    return err;
}

static int check_numbers(const struct ssa_input *input, const float *values, size_t count)
{
    int err = SSA_OK;
    for (size_t i = 0; i < count; i++)
        REQUIRE(isfinite(values[i]) || (input->or_nan && isnan(values[i])), "model: %s %zu is %g, must be a number%s",
                input->name, i, (double)values[i], input->or_nan ? " or NaN" : "");
done:
    return err;
}

/* The last one of a sequence is not read. */
static int check_late(const struct ssa_input *input, const int32_t *values, const struct ssa_pass *p)
{
    int err = SSA_OK;
    for (size_t b = 0; b < (size_t)p->batch; b++)
        TRY(check_ids(input, values + b * (size_t)p->length, (size_t)p->length - 1));
done:
    return err;
}

static int check_input(const struct ssa_input *input, const struct ssa_pass *p, int lead, bool begins)
{
    const void *values = values_of(p, input->from);
    const size_t count = ssa_input_count(input, p->batch, p->length);
    int err = SSA_OK;
    REQUIRE(values || input->optional, "model: %ss is NULL", input->name);
    if (values && input->late && begins)
        TRY(check_late(input, values, p));
    else if (values && input->up_to_length)
        TRY(check_lengths(input, values, count, lead, p->length));
    else if (values)
        TRY(input->type == SSA_I32 ? check_ids(input, values, count) : check_numbers(input, values, count));
done:
    return err;
}

/* What is given must be taken: whoever gives the targets of another kind of model would see no loss, and no reason. */
static int check_taken(const struct ssa_net *net, const struct ssa_pass *p)
{
#define ARRAY(name) {#name, offsetof(struct ssa_pass, name)}
    static const struct {
        const char *name;
        size_t from;
    } all[] = {ARRAY(tokens), ARRAY(targets), ARRAY(pixels), ARRAY(soft_targets), ARRAY(labels), ARRAY(lengths),
               ARRAY(nodes), ARRAY(encodings), ARRAY(edges), ARRAY(hops), ARRAY(values)};
#undef ARRAY
    const struct ssa_input *target = NULL;
    int err = SSA_OK;
    for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
        bool taken = !values_of(p, all[f].from);
        for (int i = 0; i < net->input_count; i++)
            taken = taken || net->inputs[i].from == all[f].from;
        REQUIRE(taken, "model: this kind of model takes no %s", all[f].name);
    }
    for (int i = 0; i < net->input_count; i++) {
        if (!net->inputs[i].target || !values_of(p, net->inputs[i].from))
            continue;
        REQUIRE(!target, "model: both %ss and %ss are given, losses are of one of them", target->name,
                net->inputs[i].name);
        target = &net->inputs[i];
    }
done:
    return err;
}

static int check_pass(const struct ssa_model *m, const struct ssa_pass *p, bool begins)
{
    int err;
    TRY(ssa_check_reserved("model: pass", p->reserved, 4));
    REQUIRE(p->batch > 0 && p->batch <= m->limits.batch, "model: batch %d, must be in [1, %d] (limits.batch)", p->batch,
            m->limits.batch);
    REQUIRE(p->length > 0 && p->length <= m->facts.length, "model: length %d, must be in [1, %d]", p->length,
            m->facts.length);
    REQUIRE(p->length == m->facts.length || !m->facts.whole, "model: length %d, of this kind of model all sequences "
            "are of %d", p->length, m->facts.length);
    REQUIRE(p->length > m->facts.lead, "model: length %d, the first %d positions of all sequences are virtual nodes",
            p->length, m->facts.lead);
    REQUIRE(!p->training || m->limits.training, "model: a training pass of a model made without limits.training");
    REQUIRE(p->smoothing >= 0 && p->smoothing < 1, "model: smoothing is %g, must be in [0, 1)", (double)p->smoothing);
    REQUIRE(p->smoothing == 0 || !m->facts.unsmoothed, "model: smoothing is %g, of this kind of model labels are not "
            "smoothed", (double)p->smoothing);
    TRY(check_taken(&m->net, p));
    REQUIRE(!m->facts.mixed || p->lengths, "model: lengths is NULL, but sequences are of mixed size");
    for (int i = 0; i < m->net.input_count; i++)
        TRY(check_input(&m->net.inputs[i], p, m->facts.lead, begins));
done:
    return err;
}

static void stage_late(const int32_t *values, const struct ssa_pass *p, int32_t *to)
{
    const size_t length = (size_t)p->length;
    for (int b = 0; b < p->batch; b++, values += length, to += length) {
        to[0] = -1;
        memcpy(to + 1, values, (length - 1) * sizeof *to);
    }
}

static int band_of(const struct ssa_bands *bands, int32_t id)
{
    int b = 0;
    while (id >= bands->ends[b])
        b++;
    return b;
}

/* [classes | rows | ids in their bands] */
static void stage_bands(struct ssa_model *m, int i, const int32_t *ids, size_t count, size_t at)
{
    const struct ssa_bands *bands = &m->net.inputs[i].bands;
    int32_t *classes = m->staging + at, *rows = classes + count, *in_band = rows + count;
    struct ssa_banded *to = &m->banded[i];
    int next[SSA_BANDS + 1] = {0}; /* at first how many there are of the band before */
    to->rows = ssa_tensor_add(m->input[i], count);
    to->ids = ssa_tensor_add(m->input[i], 2 * count);
    for (size_t n = 0; n < count; n++)
        if (ids[n] >= 0)
            next[band_of(bands, ids[n]) + 1]++;
    for (int b = 0; b < SSA_BANDS; b++)
        to->first[b + 1] = next[b + 1] += next[b];
    for (size_t n = 0; n < count; n++) {
        const int b = ids[n] < 0 ? 0 : band_of(bands, ids[n]);
        classes[n] = b ? bands->ends[0] + b - 1 : ids[n];
        if (ids[n] < 0)
            continue;
        rows[next[b]] = (int32_t)n;
        in_band[next[b]++] = ids[n] - ssa_band_begin(bands, b);
    }
}

static void stage_inputs(struct ssa_model *m, const struct ssa_pass *p, bool begins, size_t *used)
{
    m->targets = false;
    for (int i = 0; i < m->net.input_count; i++) {
        const struct ssa_input *input = &m->net.inputs[i];
        const void *values = values_of(p, input->from);
        const size_t count = ssa_input_count(input, p->batch, p->length);
        m->input[i] = (struct ssa_tensor){0};
        if (!values)
            continue;
        m->input[i] = ssa_tensor_as(inputs_at(m, m->dense_room + *used), input->type);
        if (input->late && begins)
            stage_late(values, p, m->staging + *used);
        else if (input->bands.count)
            stage_bands(m, i, values, count, *used);
        else
            memcpy(m->staging + *used, values, count * sizeof *m->staging);
        *used += staged_count(input, p->batch, p->length);
        m->targets = m->targets || input->target;
    }
}

/* The one set of keys that all queries of an example see, or 0. */
static int common_keys_of(const int32_t *plan, int length)
{
    const int32_t *slice = plan + plan[PLAN_SLICE_AT], *own = plan + plan[PLAN_OWN_AT];
    if (plan[PLAN_LENGTH] != length || plan[PLAN_BLOCKS] != 1 || plan[PLAN_SLICES] != 1)
        return 0;
    for (int i = 0; i < length; i++)
        if (own[i])
            return 0;
    return slice[1] - slice[0];
}

static int common_keys(const struct ssa_plan *plan, int length)
{
    const int keys = common_keys_of(plan->data, length);
    for (int e = 1; e < plan->examples; e++)
        if (common_keys_of(plan->data + plan->stride * (size_t)e, length) != keys)
            return 0;
    return keys;
}

static struct ssa_staged_plan stage_dense(const struct ssa_model *m, int own, int length)
{
    const struct ssa_dense *dense = m->dense;
    while (dense->length != own)
        dense++;
    return (struct ssa_staged_plan){dense->plan, inputs_at(m, dense->at), common_keys(&dense->plan, length)};
}

static int stage_cells(struct ssa_model *m, const struct ssa_pass *p, const struct ssa_plan *plan,
                       struct ssa_staged_plan *staged, size_t *used)
{
    int32_t *keys = malloc(((size_t)p->length + 1) * sizeof *keys);
    int err = SSA_OK;
    if (!keys)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    staged->cell_keys = ssa_plan_cell_keys(plan, keys);
    const size_t count = (size_t)p->batch * (size_t)p->length * (size_t)staged->cell_keys;
    REQUIRE(count <= m->staging_count - *used, "model: cells take %zu int32, %zu are left", count,
            m->staging_count - *used);
    ssa_plan_cells(plan, p->batch, staged->cell_keys, keys, m->staging + *used);
    staged->cells = inputs_at(m, m->dense_room + *used);
    *used += count;
done:
    free(keys);
    return err;
}

/* ssa_plan_room() has room for it: such a plan and the order are five arrays and a number a slice, the plan of a window
 * is two arrays of a slice's keys. */
static int stage_windows(struct ssa_model *m, int batch, struct ssa_staged_plan *staged, size_t *used)
{
    const struct ssa_plan *plan = &staged->plan;
    const size_t length = (size_t)plan->length, rows = (size_t)batch * length;
    struct ssa_plan window = {0};
    int32_t *order = m->staging + *used;
    int err;
    TRY(ssa_plan_draw(&window, &(struct ssa_sample){.kind = SSA_DENSE, .length = plan->window}));
    REQUIRE(rows + window.stride <= m->staging_count - *used, "model: windows take %zu int32, %zu are left",
            rows + window.stride, m->staging_count - *used);
    for (size_t i = 0; i < rows; i++) {
        const int32_t *data = plan->data + (plan->examples > 1 ? i / length * plan->stride : 0);
        order[i] = (int32_t)(i / length * length) + data[data[PLAN_SOURCE_AT] + (int32_t)(i % length)];
    }
    memcpy(order + rows, window.data, window.stride * sizeof *order);
    staged->order = inputs_at(m, m->dense_room + *used);
    staged->window_data = ssa_tensor_add(staged->order, rows);
    staged->window = window;
    staged->window.data = order + rows;
    *used += rows + window.stride;
done:
    ssa_plan_finish(&window);
    return err;
}

/* What is staged for a layer; NULL: the dense plan that is on the device. */
static const struct ssa_plan *plan_of(const struct ssa_model *m, const struct ssa_pass *p, int layer)
{
    const struct ssa_plan *plan = p->plans ? p->plans[layer] : NULL;
    return (plan && !m->facts.sees_padding) || !m->facts.mixed ? plan : &m->dense->plan;
}

/* Copies a layer's plan into the staging memory, unless an earlier layer has the same. */
static int stage_plan(struct ssa_model *m, const struct ssa_pass *p, int layer, int keys, size_t *used)
{
    const struct ssa_layer of = ssa_model_layer_facts(&m->config, layer);
    const bool own = ssa_family(m->config.family)->layer;
    const int length = own ? of.length : p->length, examples = p->batch * of.sequences;
    const struct ssa_plan *plan = plan_of(m, p, layer), *given = p->plans ? p->plans[layer] : NULL;
    struct ssa_staged_plan *staged = &m->plans[layer];
    int err = SSA_OK;
    REQUIRE(plan == given || !given || (given->data && ssa_plan_is_dense(given)),
            "model: the plan of layer %d samples, but virtual nodes see padding (virtual_see_padding): all are dense then",
            layer);
    if (!plan) {
        *staged = stage_dense(m, own ? length : 0, length);
        return SSA_OK;
    }
    REQUIRE(plan->data && plan->length == (own ? length : keys), "model: the plan of layer %d is of length %d, the %s "
            "of %d", layer, plan->length, own ? "layer" : "pass", own ? length : keys);
    REQUIRE((plan->examples == 1 && !m->facts.mixed) || plan->examples == examples,
            "model: the plan of layer %d has %d examples, the pass has %d", layer, plan->examples, examples);
    for (int l = 0; l < layer; l++)
        if (plan_of(m, p, l) == plan) {
            *staged = m->plans[l];
            return SSA_OK;
        }
    size_t count = plan->stride * (size_t)plan->examples;
    REQUIRE(count <= m->staging_count - *used, "model: the plan of layer %d takes %zu int32, %zu are left", layer,
            count, m->staging_count - *used);
    memcpy(m->staging + *used, plan->data, count * sizeof *plan->data);
    *staged = (struct ssa_staged_plan){*plan, inputs_at(m, m->dense_room + *used), common_keys(plan, length)};
    staged->plan.data = m->staging + *used; /* the caller's is not ours past this call */
    *used += count;
    if (m->net.cells)
        TRY(stage_cells(m, p, plan, staged, used));
    if (plan->window)
        TRY(stage_windows(m, examples, staged, used));
done:
    return err;
}

int ssa_inputs_write(struct ssa_model *m, const struct ssa_pass *pass, int keys)
{
    struct ssa_pass p = *pass;
    size_t used = 0;
    int err;
    p.batch = p.batch ? p.batch : m->limits.batch;
    p.length = p.length ? p.length : m->facts.length;
    keys = keys ? keys : p.length;
    const bool begins = keys == p.length; /* its first positions are its sequences' */
    TRY(check_pass(m, &p, begins));
    TRY(write_all_dense(m, &p, keys));
    stage_inputs(m, &p, begins, &used);
    for (int l = 0; l < m->net.layers; l++)
        TRY(stage_plan(m, &p, l, keys, &used));
    TRY(ssa_tensor_write(inputs_at(m, m->dense_room), m->staging, used));
    m->pass = p;
done:
    return err;
}

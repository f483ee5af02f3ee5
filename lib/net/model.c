/* A model's life, its parameters, and the memory it needs. The passes are in net.c. */
#include "internal.h"
#include "replicas.h"
#include "rng.h"
#include "impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB(bytes) ((double)(bytes) / (1024.0 * 1024.0))

/* ---- what it takes ---- */

int ssa_model_list(const struct ssa_model_config *config, struct ssa_parameter_list *list)
{
    const struct ssa_model_limits one = {.batch = 1};
    struct ssa_net net = {0};
    int err;
    *list = (struct ssa_parameter_list){0};
    TRY(ssa_net_plan(&net, config, &one, 0));
    *list = (struct ssa_parameter_list){net.parameters.table, net.parameters.count};
    net.parameters.table = NULL;
done:
    ssa_net_finish(&net);
    return err;
}

size_t ssa_model_elements(const struct ssa_model_config *config)
{
    struct ssa_parameter_list list = {0};
    size_t sum = 0;
    if (ssa_model_check(config) == SSA_OK && ssa_model_list(config, &list) == SSA_OK)
        for (int i = 0; i < list.count; i++)
            sum = ssa_plus(sum, list.table[i].count);
    free(list.table);
    return sum;
}

static int check_limits(struct ssa_facts facts, const struct ssa_model_limits *limits)
{
    int err;
    TRY(ssa_check_reserved("model: limits", limits->reserved, 4));
    REQUIRE(limits->batch >= 1 && limits->batch <= 1 << 20, "model: batch is %d, must be in [1, %d]", limits->batch,
            1 << 20);
    REQUIRE(ssa_times((size_t)limits->batch, (size_t)facts.length) < (size_t)1 << 31,
            "model: batch %d of length %d is too many tokens for one pass", limits->batch, facts.length);
done:
    return err;
}

int ssa_model_memory(const struct ssa_model_config *config, const struct ssa_model_limits *limits,
                     struct ssa_memory *memory)
{
    struct ssa_net net = {0};
    int err;
    *memory = (struct ssa_memory){0};
    TRY(ssa_model_check(config));
    TRY(check_limits(ssa_model_facts(config), limits));
    TRY(ssa_net_plan(&net, config, limits, limits->max_buffer));
    memory->parameters = ssa_arena_bytes(&net.parameters.arena);
    memory->gradients = limits->training ? memory->parameters : 0;
    memory->activations = ssa_arena_bytes(&net.kept);
    memory->inputs = ssa_times(ssa_inputs_count(&net, config, limits->batch), 4);
    memory->cache = ssa_arena_bytes(&net.cache);
    memory->total = ssa_plus(ssa_plus(memory->parameters, memory->gradients),
                             ssa_plus(memory->activations, memory->inputs));
done:
    ssa_net_finish(&net);
    return err;
}

/* ---- does it fit ---- */

static size_t device_limit(const struct ssa_device *device, const struct ssa_model_limits *limits)
{
    struct ssa_device_info info;
    ssa_device_info(device, &info);
    size_t most = info.max_allocation / 4;
    return limits->max_buffer && limits->max_buffer < most ? limits->max_buffer : most;
}

static size_t device_free(const struct ssa_device *device)
{
    struct ssa_device_info info;
    size_t held;
    ssa_device_info(device, &info);
    ssa_device_memory(device, &held, NULL);
    return info.memory > held ? info.memory - held : 0;
}

static int needs(const struct ssa_model_config *c, const struct ssa_model_limits *limits, struct ssa_extra extra,
                 struct ssa_memory *memory)
{
    int err = ssa_model_memory(c, limits, memory);
    if (err)
        return err;
    if (extra.batch) {
        int micros = extra.batch / limits->batch;
        const size_t copies = (size_t)(extra.kept + extra.copies(micros));
        memory->moments = ssa_plus(ssa_times(copies, memory->parameters), extra.bytes(micros));
        memory->total = ssa_plus(memory->total, memory->moments);
    }
    return SSA_OK;
}

static bool would_fit(const struct ssa_model_config *c, const struct ssa_model_limits *limits, struct ssa_extra extra,
                      size_t room, struct ssa_memory *memory)
{
    return extra.batch % limits->batch == 0 && needs(c, limits, extra, memory) == SSA_OK && memory->total <= room;
}

/* Says what is missing and the least change that would do: a smaller batch, else a smaller width. */
static int refuse(const struct ssa_device *device, const struct ssa_model_config *config,
                  const struct ssa_model_limits *limits, struct ssa_extra extra, size_t room, size_t need)
{
    struct ssa_device_info info;
    struct ssa_model_config c = *config;
    struct ssa_model_limits l = *limits;
    struct ssa_memory m;
    ssa_device_info(device, &info);
    for (l.batch = limits->batch - 1; l.batch >= 1; l.batch = l.batch > 16 ? l.batch / 2 : l.batch - 1)
        if (would_fit(&c, &l, extra, room, &m))
            return ssa_fail(SSA_ENOMEM, "model: needs %.1f MiB, %s has %.1f MiB free; a (micro-)batch of %d instead of "
                            "%d needs %.1f MiB and fits", MIB(need), info.id, MIB(room), l.batch, limits->batch,
                            MIB(m.total));
    l.batch = 1;
    while (ssa_family(c.family)->narrow(&c))
        if (would_fit(&c, &l, extra, room, &m))
            return ssa_fail(SSA_ENOMEM, "model: needs %.1f MiB, %s has %.1f MiB free; a width of %d instead of %d with "
                            "a (micro-)batch of 1 needs %.1f MiB and fits", MIB(need), info.id, MIB(room),
                            ssa_model_facts(&c).width, ssa_model_facts(config).width, MIB(m.total));
    return ssa_fail(SSA_ENOMEM, "model: needs %.1f MiB, %s has %.1f MiB free; no smaller batch or width of it fits, "
                    "use fewer layers or a shorter length", MIB(need), info.id, MIB(room));
}

int ssa_model_fit(struct ssa_device *device, const struct ssa_model_config *config,
                  const struct ssa_model_limits *limits, struct ssa_extra extra, struct ssa_memory *memory)
{
    struct ssa_model_limits l = *limits;
    size_t room = device_free(device);
    int err = needs(config, limits, extra, memory);
    if (!err && memory->total > room)
        err = refuse(device, config, limits, extra, room, memory->total);
    l.max_buffer = device_limit(device, limits);
    return err ? err : needs(config, &l, extra, memory); /* does every tensor fit into one buffer */
}

/* ---- create and destroy ---- */

int ssa_model_arena(const struct ssa_model *m, struct ssa_arena *arena)
{
    int err = SSA_OK;
    TRY(ssa_arena_copy_layout(arena, &m->net.parameters.arena));
    TRY(ssa_arena_allocate(arena, m->device));
    TRY(ssa_arena_fill(arena, 0));
done:
    return err;
}

struct ssa_tensor ssa_model_part_at(const struct ssa_model *m, const struct ssa_arena *arena, int i)
{
    return ssa_arena_at(arena, m->net.parameters.part_places[i]);
}

const struct ssa_arena *ssa_model_values(const struct ssa_model *m)
{
    return &ssa_model_first_live(m)->net.parameters.arena;
}

const struct ssa_arena *ssa_model_gradients(const struct ssa_model *m)
{
    return &ssa_model_first_live(m)->gradients;
}

size_t ssa_model_number(const struct ssa_model *m, int i)
{
    const struct ssa_parameters *p = &ssa_model_first_live(m)->net.parameters;
    return ssa_arena_number(&p->arena, p->drafts[i].place);
}

static void bind_parameters(struct ssa_model *m)
{
    struct ssa_parameters *p = &m->net.parameters;
    for (int i = 0; i < p->count; i++) {
        p->table[i].value = ssa_arena_at(&p->arena, p->drafts[i].place);
        if (m->limits.training)
            p->table[i].grad = ssa_arena_at(&m->gradients, p->drafts[i].place);
    }
    for (int i = 0; i < p->part_count; i++) {
        p->parts[i].value = ssa_model_part_at(m, &p->arena, i);
        if (m->limits.training)
            p->parts[i].grad = ssa_model_part_at(m, &m->gradients, i);
    }
}

static int write_constants(const struct ssa_model *m)
{
    int err = SSA_OK;
    for (int i = 0; i < m->net.constant_count; i++) {
        const struct ssa_constant_table *c = &m->net.constants[i];
        float *values = malloc(c->count * sizeof *values);
        if (!values)
            return ssa_fail(SSA_ENOMEM, "model: out of host memory");
        c->fill(c->block, values);
        err = ssa_tensor_write(ssa_arena_at(&m->net.kept, c->place), values, c->count);
        free(values);
        TRY(err);
    }
done:
    return err;
}

static int allocate(struct ssa_model *m)
{
    int err;
    TRY(ssa_net_plan(&m->net, &m->config, &m->limits, device_limit(m->device, &m->limits)));
    TRY(ssa_arena_allocate(&m->net.parameters.arena, m->device));
    TRY(ssa_arena_fill(&m->net.parameters.arena, 0));
    if (m->limits.training)
        TRY(ssa_model_arena(m, &m->gradients));
    TRY(ssa_arena_allocate(&m->net.kept, m->device));
    TRY(write_constants(m));
    TRY(ssa_inputs_create(m));
    bind_parameters(m);
    TRY(ssa_model_initialise(m, 0));
done:
    return err;
}

int ssa_model_create(struct ssa_model **model, struct ssa_device *device, const struct ssa_model_config *config,
                     const struct ssa_model_limits *limits)
{
    struct ssa_memory memory;
    struct ssa_model *m = NULL;
    int err;
    *model = NULL;
    REQUIRE(device, "model: device is NULL");
    TRY(ssa_model_fit(device, config, limits, (struct ssa_extra){0}, &memory));
    m = calloc(1, sizeof *m);
    if (!m)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    m->device = device;
    m->config = *config;
    m->limits = *limits;
    m->facts = ssa_model_facts(config);
    TRY(allocate(m));
    *model = m;
    m = NULL;
done:
    ssa_model_destroy(m);
    return err;
}

void ssa_model_destroy(struct ssa_model *m)
{
    if (!m)
        return;
    if (m->replicas) {
        if (m->replicas->pool->model == m)
            m->replicas->pool->model = NULL;
        ssa_replicas_destroy(m->replicas);
        free(m);
        return;
    }
    ssa_device_finish(m->device);
    ssa_inputs_destroy(m);
    ssa_generation_finish(&m->generation);
    ssa_arena_finish(&m->gradients);
    ssa_net_finish(&m->net);
    free(m);
}

const struct ssa_model_config *ssa_model_config(const struct ssa_model *m)
{
    return &m->config;
}

const struct ssa_model_limits *ssa_model_limits(const struct ssa_model *m)
{
    return &m->limits;
}

struct ssa_device *ssa_model_device(const struct ssa_model *m)
{
    return ssa_model_first_live(m)->device;
}

/* ---- parameters ---- */

int ssa_model_tensors(const struct ssa_model *m)
{
    return ssa_model_first_live(m)->net.parameters.count;
}

const struct ssa_parameter *ssa_model_parameter(const struct ssa_model *m, int i)
{
    m = ssa_model_first_live(m);
    return i >= 0 && i < m->net.parameters.count ? &m->net.parameters.table[i] : NULL;
}

const struct ssa_parameter *ssa_model_find(const struct ssa_model *m, const char *name)
{
    m = ssa_model_first_live(m);
    for (int i = 0; i < m->net.parameters.count; i++)
        if (!strcmp(m->net.parameters.table[i].name, name))
            return &m->net.parameters.table[i];
    return NULL;
}

int ssa_model_part_count(const struct ssa_model *m)
{
    return ssa_model_first_live(m)->net.parameters.part_count;
}

struct ssa_model_part ssa_model_part(const struct ssa_model *m, int i)
{
    return ssa_model_first_live(m)->net.parameters.parts[i];
}

/* The sum of sixteen 16-bit uniforms, centred and scaled to variance 1: close to normal, and exact in integers up to
 * the last multiplication, so that it is the same on every machine. */
static double normal(uint64_t seed, uint64_t parameter, uint64_t element)
{
    int64_t sum = 0;
    for (uint64_t half = 0; half < 2; half++) {
        struct ssa_philox r = ssa_philox(seed, element, 0x696e6974ull << 32 | parameter << 1 | half); /* "init" */
        for (int j = 0; j < 4; j++)
            sum += (int64_t)(r.v[j] & 0xffff) + (int64_t)(r.v[j] >> 16);
    }
    return (double)(2 * sum - 16 * 65535) * (0.5 / (65536.0 * 1.1547005383792515)); /* sqrt(16/12) */
}

/* In (-1, 1), of 25 bits: no rounding. */
static double uniform(uint64_t seed, uint64_t parameter, uint64_t element)
{
    const struct ssa_philox r = ssa_philox(seed, element, 0x696e6974ull << 32 | parameter << 1);
    return ((double)(r.v[0] >> 8) + 0.5) / 8388608.0 - 1;
}

static int initialise_one(const struct ssa_model *m, int i, uint64_t seed, float *values)
{
    const struct ssa_parameter *p = &m->net.parameters.table[i];
    const struct ssa_start start = m->net.parameters.drafts[i].start;
    double scale = start.deviation;
    if (scale <= 0 && start.bound <= 0)
        return ssa_tensor_fill(p->value, start.value, p->count);
    if (start.branch_end)
        scale /= sqrt((double)m->net.parameters.branch_ends);
    for (size_t e = 0; e < p->count; e++)
        values[e] = (float)(start.bound > 0 ? start.bound * uniform(seed, (uint64_t)i, e)
                                            : scale * normal(seed, (uint64_t)i, e));
    for (size_t e = 0; e < start.zeroes; e++)
        values[e] = 0;
    return ssa_tensor_write(p->value, values, p->count);
}

int ssa_model_initialise(struct ssa_model *m, uint64_t seed)
{
    size_t most = 0;
    int err = SSA_OK;
    if (m->replicas)
        return ssa_replicas_initialise(m, seed);
    for (int i = 0; i < m->net.parameters.count; i++)
        most = m->net.parameters.table[i].count > most ? m->net.parameters.table[i].count : most;
    float *values = malloc(most * sizeof *values);
    if (!values)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int i = 0; i < m->net.parameters.count; i++)
        TRY(initialise_one(m, i, seed, values));
done:
    free(values);
    return err;
}

/* Recipes of training: stages whose steps are dense now and then, against the same by hand; layers with patterns of their
 * own; and what is resumed in the middle of either. Of tokens, of windows, and of graphs of several sizes; on a device and
 * on a pool. */
#include "golden.h"
#include "pools.h"
#include "saved.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MICRO = 2, MICROS = 3, STEPS = 8, LR_STEPS = 100000 };

/* ---- what is trained ---- */

/* A pattern has two layers at least. */
struct subject {
    const char *name;
    struct ssa_model_config config;
    struct ssa_data data;
    struct ssa_pattern pattern;
};

static unsigned char text[300];

static int fill_images(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    (void)cookie;
    for (int i = 0; i < draw->count; i++) {
        const uint32_t image = (uint32_t)(draw->step * 5 + draw->first) + (uint32_t)i;
        for (uint32_t k = 0; k < 64; k++)
            batch->pixels[(uint32_t)i * 64 + k] = (float)golden_value(7, 64 * image + k);
        batch->targets[i] = (int32_t)(image % 3);
    }
    return SSA_OK;
}

enum { NODES = 9, LEAD = 1 }; /* LEAD: virtual nodes, where there are any */

static int32_t whole(uint32_t stream, uint64_t at, int below)
{
    return (int32_t)((golden_value(stream, (uint32_t)at) + 1) / 2 * 0.999 * below);
}

/* Graphs of 0 to NODES nodes. */
static int fill_graphs(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const int lead = draw->length - NODES;
    int most = 1;
    (void)cookie;
    for (int i = 0; i < draw->count; i++) {
        const int nodes = whole(1, draw->step * 31 + draw->first + (uint64_t)i, NODES + 1);
        batch->lengths[i] = lead + nodes;
        most = nodes > most ? nodes : most;
    }
    batch->length = lead + most;
    for (int i = 0; i < draw->count; i++)
        batch->values[i] = (float)batch->lengths[i] / NODES;
    for (int i = 0; i < draw->count * most; i++)
        batch->nodes[i] = 1 + whole(2, draw->step * 977 + draw->first * 77 + (uint64_t)i, 3);
    for (int i = 0; i < draw->count * most * most; i++)
        batch->hops[i] = whole(3, (uint64_t)i, 4);
    return SSA_OK;
}

static const struct subject subjects[] = {
    {.name = "gpt", .config = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 40, .length = 16,
                                       .dropout = 0.1f}},
     .data = {.items = text, .count = sizeof text},
     .pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1, .per_example = 1}},
    {.name = "gpt, one draw for all", .config = {.gpt = {.layers = 3, .heads = 2, .width = 16, .vocabulary = 40,
                                                         .length = 16}},
     .data = {.items = text, .count = sizeof text},
     .pattern = {.kind = SSA_UNBIASED, .ratio = 0.25f, .own_key = SSA_NONE, .keep_first = 1}},
    {.name = "swin", .config = {.family = SSA_SWIN, .swin = {.rows = 8, .channels = 1, .patch = 1, .width = 8,
                                .layers = {2, 1}, .heads = {2}, .window = 4, .classes = 3, .drop_path = 0.1f}},
     .data = {.fill = fill_images, .examples = 32, .identity = 1},
     .pattern = {.kind = SSA_UNBIASED, .ratio = 0.25f, .per_example = 1, .dense_last = 1}},
    {.name = "egt", .config = {.family = SSA_EGT, .egt = {.nodes = NODES, .node_ids = 1, .node_values = 3, .hops = 3,
                               .layers = 2, .heads = 2, .width = 16, .edge_width = 8, .virtual_nodes = LEAD,
                               .targets = 1, .attention_dropout = 0.1f}},
     .data = {.fill = fill_graphs, .examples = 64, .identity = 2},
     .pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1}},
    {.name = "gpt, sources drop out", .config = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 40,
                                                         .length = 16}},
     .data = {.items = text, .count = sizeof text},
     .pattern = {.kind = SSA_UNBIASED, .ratio = 0.13f, .independent = 1, .own_key = SSA_NONE}},
    {.name = "swin, sources drop out", .config = {.family = SSA_SWIN, .swin = {.rows = 8, .channels = 1, .patch = 1,
        .width = 8, .layers = {2, 1}, .heads = {2}, .window = 4, .classes = 3}},
     .data = {.fill = fill_images, .examples = 32, .identity = 1},
     .pattern = {.kind = SSA_UNBIASED, .ratio = 0.05f, .independent = 1, .per_example = 1, .own_key = SSA_NONE}},
    {.name = "egt, sources drop out", .config = {.family = SSA_EGT, .egt = {.nodes = NODES, .node_ids = 1,
        .node_values = 3, .hops = 3, .layers = 2, .heads = 2, .width = 16, .edge_width = 8,
        .edge_mode = SSA_EDGES_SAMPLED, .scale_degrees = 1}},
     .data = {.fill = fill_graphs, .examples = 64, .identity = 2},
     .pattern = {.kind = SSA_UNBIASED, .ratio = 0.2f, .independent = 1, .per_example = 1}},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static void write_text(void)
{
    for (int i = 0; i < (int)sizeof text; i++)
        text[i] = (unsigned char)(i * i % 37);
}

/* ---- runs ---- */

struct outcome {
    float losses[STEPS], norm, *values;
    size_t count;
};

static void start(struct run *r, const struct subject *s, struct ssa_device *dev, struct ssa_pool *pool,
                  const struct ssa_stage *stages, int count)
{
    const struct ssa_model_limits limits = {.batch = MICRO, .training = 1};
    if (pool)
        OK(ssa_pool_model_create(&r->model, pool, &s->config, &limits));
    else
        OK(ssa_model_create(&r->model, dev, &s->config, &limits));
    OK(ssa_model_initialise(r->model, 3));
    OK(ssa_trainer_create(&r->trainer, r->model, &(struct ssa_train_config){.batch = MICRO * MICROS, .seed = 9,
        .stages = stages, .stage_count = count}, &s->data));
}

static struct outcome finish(struct run r, int before)
{
    struct outcome o = {0};
    OK(ssa_trainer_run(r.trainer, 0, NULL));
    OK(ssa_trainer_losses(r.trainer, STEPS - before, o.losses + before, &o.norm));
    for (int i = 0; i < ssa_model_tensors(r.model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(r.model, i);
        o.values = realloc(o.values, (o.count + p->count) * sizeof *o.values);
        OK(ssa_tensor_read(p->value, o.values + o.count, p->count));
        o.count += p->count;
    }
    run_end(r);
    return o;
}

static struct outcome run(const struct subject *s, struct ssa_device *dev, struct ssa_pool *pool,
                          const struct ssa_stage *stages, int count)
{
    struct run r;
    start(&r, s, dev, pool, stages, count);
    return finish(r, 0);
}

/* Saved after some steps, and gone on with by another trainer. */
static struct outcome run_resumed(const struct subject *s, struct ssa_device *dev, int steps,
                                  const struct ssa_stage *stages, int count)
{
    struct run first, second;
    char path[SAVED_PATH];
    saved_path(path, "recipe");
    start(&first, s, dev, NULL, stages, count);
    OK(ssa_trainer_run(first.trainer, steps, NULL));
    OK(ssa_checkpoint_save(path, first.model, first.trainer, NULL));
    run_end(first);
    start(&second, s, dev, NULL, stages, count);
    saved_load(path, second.model, second.trainer);
    remove(path);
    return finish(second, steps);
}

static void same(const struct outcome *want, struct outcome *got, int from, const char *name, const char *what)
{
    for (int i = from; i < STEPS; i++)
        ck_assert_msg(!memcmp(&want->losses[i], &got->losses[i], sizeof *want->losses), "%s, %s: step %d: %.9g, not %.9g",
                      name, what, i + 1, (double)got->losses[i], (double)want->losses[i]);
    ck_assert_msg(want->norm == got->norm && want->count == got->count &&
                      !memcmp(want->values, got->values, want->count * sizeof *want->values), "%s, %s", name, what);
    free(got->values);
}

static struct ssa_stage stage_of(const struct ssa_pattern *pattern, int steps)
{
    return (struct ssa_stage){.pattern = *pattern, .steps = steps, .lr = 0.01f, .lr_end = 0.01f};
}

/* ---- dense between ---- */

/* Of 8 steps in a stage of 2 and one of 6: sampled, sampled; sampled, sampled, dense, sampled, sampled, dense. */
static void check_alternating(struct ssa_device *dev, struct ssa_pool *pool, const struct subject *s)
{
    const struct ssa_pattern dense = {0}, *p = &s->pattern;
    struct ssa_stage every[] = {stage_of(p, 2), stage_of(p, STEPS - 2)};
    const struct ssa_stage by_hand[] = {stage_of(p, 4), stage_of(&dense, 1), stage_of(p, 2), stage_of(&dense, 1)};
    every[1].dense_every = 3;
    struct outcome want = run(s, dev, pool, by_hand, 4), got = run(s, dev, pool, every, 2);
    same(&want, &got, 0, s->name, "against stages by hand");
    for (int steps = 3; !pool && steps < STEPS; steps++) { /* before, at and after one that is dense */
        got = run_resumed(s, dev, steps, every, 2);
        same(&want, &got, steps, s->name, "resumed");
    }
    every[1].dense_every = 0;
    struct outcome other = run(s, dev, pool, every, 2);
    ck_assert(other.losses[4] != want.losses[4]);
    free(other.values);
    free(want.values);
}

START_TEST(dense_between)
{
    write_text();
    FOR_DEVICES (dev)
        for (int i = 0; i < SUBJECTS; i++)
            if (!test_launches_slowly(dev))
                check_alternating(dev, NULL, &subjects[i]);
    for (int i = 0; i < SUBJECTS; i++) {
        struct ssa_pool *pool = pools_hosts(3, &(struct ssa_pool_config){0});
        check_alternating(NULL, pool, &subjects[i]);
        ssa_pool_close(pool);
    }
}
END_TEST

/* Nothing of it depends on where a run begins, or on what comes after. */
START_TEST(which_steps_are_dense)
{
    struct ssa_stage stages[] = {{.steps = 5, .lr = 1}, {.steps = 7, .lr = 1, .dense_every = 3},
                                 {.steps = 1, .lr = 1, .dense_every = 2}, {.steps = LR_STEPS, .lr = 1, .dense_every = 2}};
    const struct ssa_task task = {.config = {.stages = stages, .stage_count = 4}};
    for (uint64_t step = 0; step < 40; step++) {
        const bool dense = step == 7 || step == 10 || (step >= 13 && step % 2 == 0);
        ck_assert_msg(ssa_task_dense_between(&task, step) == dense, "step %d", (int)step);
        ck_assert((ssa_task_pattern(&task, step) == &stages[ssa_task_stage(&task, step)].pattern) == !dense);
    }
}
END_TEST

START_TEST(bad_stages)
{
    struct ssa_stage stage = {.steps = 5, .lr = 1};
    const struct ssa_train_config training = {.batch = MICRO, .stages = &stage, .stage_count = 1};
    stage.dense_every = 1;
    FAILS(ssa_train_config_check(&training, &subjects[0].config, MICRO), SSA_EINVAL, "dense_every is 1, must be 0 or 2");
    stage.dense_every = -1;
    FAILS(ssa_train_config_check(&training, &subjects[0].config, MICRO), SSA_EINVAL, "dense_every is -1, must be 0 or 2");
    stage.dense_every = 2;
    OK(ssa_train_config_check(&training, &subjects[0].config, MICRO));
}
END_TEST

/* ---- layers ---- */

/* Each layer as the stage has it, but for one; in a stage that is resumed after each of its steps. */
static void check_layers(struct ssa_device *dev, const struct subject *s)
{
    enum { MOST = 3 };
    const int layers = ssa_model_layers(&s->config);
    struct ssa_pattern own[MOST];
    ck_assert_int_le(layers, MOST);
    for (int l = 0; l < layers; l++)
        own[l] = s->pattern;
    for (int l = 0; l < layers; l++)
        own[l].dense_last = 0;
    if (s->pattern.dense_last)
        own[layers - 1].kind = SSA_DENSE;
    struct ssa_stage stages[] = {stage_of(&s->pattern, STEPS)};
    struct outcome want = run(s, dev, NULL, stages, 1);
    stages[0].pattern = (struct ssa_pattern){.layers = own, .layer_count = layers};
    struct outcome got = run(s, dev, NULL, stages, 1);
    same(&want, &got, 0, s->name, "layers all alike");
    own[0] = (struct ssa_pattern){0};
    got = run(s, dev, NULL, stages, 1);
    ck_assert(got.losses[0] != want.losses[0]);
    free(want.values);
    want = got;
    for (int steps = 1; steps < STEPS; steps += 2) {
        got = run_resumed(s, dev, steps, stages, 1);
        same(&want, &got, steps, s->name, "layers, resumed");
    }
    free(want.values);
}

START_TEST(layers_of_their_own)
{
    write_text();
    FOR_DEVICES (dev)
        for (int i = 0; i < SUBJECTS; i++)
            if (!test_launches_slowly(dev))
                check_layers(dev, &subjects[i]);
}
END_TEST

int main(void)
{
    return test_run("recipes", (const TTest *const[]){dense_between, which_steps_are_dense, bad_stages,
                                                      layers_of_their_own, NULL});
}

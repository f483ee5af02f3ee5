/* Whole training steps of a GPT: forward, backward, clipping and AdamW, through the trainer. */
#include "bench.h"
#include "reference_model.h"

#include "progress.h"

#include <ssacl/train.h>

#include <stdio.h>
#include <stdlib.h>

enum { CHECKED_POSITIONS = 24, MAX_LAYERS = 64, MANY_STEPS = 1 << 20 };

static const struct {
    const char *name;
    struct ssa_pattern pattern;
    bool quick;
} kinds[] = {
    {"dense", {.kind = SSA_DENSE}, true},
    /* Position 0 is always kept, so that no query needs its own key: what the programs compared with do. */
    {"unbiased", {.kind = SSA_UNBIASED, .ratio = 0.25f, .no_own_key = 1, .keep_first = 1}, true},
    {"unbiased", {.kind = SSA_UNBIASED, .ratio = 0.125f, .no_own_key = 1, .keep_first = 1}, false},
    {"local look-back", {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1}, true},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct size {
    int layers, width, heads, length, batch;
};

struct bench_case {
    const struct bench *bench;
    struct size s;
    int kind;
    struct ssa_device *device;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    struct ssa_plan plan;
    unsigned char *text;
    size_t text_size;
};

static int step(void *context)
{
    return ssa_trainer_step(((struct bench_case *)context)->trainer);
}

static int make_data(struct bench_case *c)
{
    c->text_size = 64 * (size_t)c->s.length * (size_t)c->s.batch;
    c->text = malloc(c->text_size);
    uint64_t s = 1;
    for (size_t i = 0; c->text && i < c->text_size; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        c->text[i] = (unsigned char)(s >> 56);
    }
    return c->text ? SSA_OK : bench_out_of_memory();
}

static int create(struct bench_case *c)
{
    const struct ssa_model_config config = {.layers = c->s.layers, .heads = c->s.heads, .width = c->s.width,
                                            .hidden = 4 * c->s.width, .vocabulary = 256, .length = c->s.length,
                                            .positions = SSA_POSITIONS_LEARNED, .untied = 1,
                                            .activation = SSA_ACT_GELU_TANH};
    const struct ssa_model_limits limits = {.batch = c->s.batch, .training = 1};
    const struct ssa_stage stage = {.pattern = kinds[c->kind].pattern, .steps = MANY_STEPS, .lr = 3e-4f};
    const struct ssa_train_config training = {.seed = 1, .stages = &stage, .stage_count = 1};
    int err = make_data(c);
    if (err || (err = ssa_model_create(&c->model, c->device, &config, &limits)))
        return err;
    const struct ssa_data data = {.items = c->text, .count = c->text_size};
    return ssa_trainer_create(&c->trainer, c->model, &training, &data);
}

/* One draw for all layers is enough to check them. */
static int check(struct bench_case *c, double *error)
{
    const struct ssa_plan *plans[MAX_LAYERS];
    const struct ssa_pattern *pattern = &kinds[c->kind].pattern;
    struct ssa_sample how;
    if (pattern->kind == SSA_DENSE)
        return check_model(c->model, NULL, CHECKED_POSITIONS, error);
    int err = ssa_pattern_sample(pattern, 0, c->s.layers, c->s.length, 1, &how);
    if (err || (err = ssa_plan_draw(&c->plan, &how)))
        return err;
    for (int i = 0; i < c->s.layers && i < MAX_LAYERS; i++)
        plans[i] = &c->plan;
    return check_model(c->model, plans, CHECKED_POSITIONS, error);
}

/* Seconds of one step in attention and in the linear layers, timed apart. */
static int split(struct bench_case *c, json_t *more)
{
    ssa_device_set_timing(c->device, 1);
    double attention = ssa_device_seconds(c->device, "attention"), linear = ssa_device_seconds(c->device, "linear");
    int err = step(c);
    if (!err)
        err = ssa_device_finish(c->device);
    ssa_device_set_timing(c->device, 0);
    json_object_set_new(more, "attention_seconds", json_real(ssa_device_seconds(c->device, "attention") - attention));
    json_object_set_new(more, "linear_seconds", json_real(ssa_device_seconds(c->device, "linear") - linear));
    return err;
}

/* As programs usually count: 6 a matrix parameter and token, 12 N k C a layer in attention, half of it if causal. */
static double operations(const struct bench_case *c)
{
    double width = c->s.width, tokens = (double)c->s.length * c->s.batch, ratio = kinds[c->kind].pattern.ratio;
    double matrices = c->s.layers * 12 * width * width + 256 * width;
    return 6 * matrices * tokens + 6 * c->s.layers * tokens * width * c->s.length * (ratio > 0 ? ratio : 1);
}

static int run(struct bench_case *c)
{
    struct row r = {.suite = "step", .direction = "step", .flops = operations(c),
                    .tokens = (double)c->s.length * c->s.batch};
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = create(c)) || (err = measure(c->bench, c->device, step, c, &r.time)))
        return err;
    r.bytes = bench_peak_bytes(c->device, base);
    double ratio = kinds[c->kind].pattern.ratio;
    int keys = (int)((ratio > 0 ? ratio : 1) * c->s.length);
    snprintf(r.name, sizeof r.name, "%s k=%d L%d C%d H%d N%d B%d", kinds[c->kind].name, keys, c->s.layers, c->s.width,
             c->s.heads, c->s.length, c->s.batch);
    r.more = json_pack("{ss si si si si si si}", "kind", kinds[c->kind].name, "keys", keys, "layers", c->s.layers,
                       "width", c->s.width, "heads", c->s.heads, "length", c->s.length, "batch", c->s.batch);
    if ((err = split(c, r.more)) || (err = check(c, &r.error)))
        json_decref(r.more);
    else
        report_row(c->bench, &r);
    return err;
}

static int run_case(const struct bench *b, struct size s, int kind)
{
    struct bench_case c = {.bench = b, .s = s, .kind = kind};
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = run(&c);
    ssa_trainer_destroy(c.trainer);
    ssa_model_destroy(c.model);
    ssa_plan_finish(&c.plan);
    ssa_device_close(c.device);
    free(c.text);
    return err;
}

int bench_step(const struct bench *b)
{
    static const struct size full[] = {{6, 256, 8, 512, 8}, {6, 256, 8, 2048, 4}}, quick[] = {{2, 64, 2, 128, 2}};
    const struct size *sizes = b->quick ? quick : full;
    int count = b->quick ? 1 : 2, done = 0, err = SSA_OK;
    progress_begin("step", b->quick ? 3 : count * KINDS);
    for (int i = 0; i < count && !err; i++) {
        for (int k = 0; k < KINDS && !err; k++) {
            if (b->quick && !kinds[k].quick)
                continue;
            err = run_case(b, sizes[i], k);
            progress_update(++done, -1, "%s, N %d", kinds[k].name, sizes[i].length);
        }
    }
    progress_end();
    return err;
}

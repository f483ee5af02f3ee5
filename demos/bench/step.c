/* Whole training steps of a GPT: forward, backward, clipping and AdamW, through the trainer. */
#include "bench.h"
#include "gpt.h"
#include "reference_model.h"

#include "cost.h"
#include "numbers.h"
#include "presets.h"
#include "progress.h"

#include <ssacl/train.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKED_POSITIONS = 24, MAX_LAYERS = 64, MANY_STEPS = 1 << 20 };

/* Which of gpt_kinds[] also belong to that set. */
static const bool quick_kinds[GPT_KINDS] = {true, true, false, true}, closed_kinds[GPT_KINDS] = {true, true};

enum { LAYERS, WIDTH, HEADS, LENGTH, BATCH };
static const char *const fields[] = {"layers", "width", "heads", "length", "batch", NULL};
static const double tolerance = 1e-3; /* of a loss, and of a difference quotient of many */

struct state {
    const struct bench *bench;
    struct gpt s;
    int kind;
    struct ssa_device *device;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    struct ssa_plan plan;
    struct ssa_data data;
};

static int step(void *context)
{
    return ssa_trainer_step(((struct state *)context)->trainer);
}

/* ---- what is measured: a kind of the suite's model, or a preset, in its sampled stage or dense ---- */

enum { PRESET_STAGE = GPT_KINDS, PRESET_DENSE };

static struct ssa_model_config config_of(const struct bench *b, const struct gpt *s)
{
    if (!b->preset)
        return gpt_config(s);
    struct ssa_model_config config = b->preset->model;
    config.gpt.dropout = 0; /* the reference has none */
    return config;
}

static const struct gpt_kind *kind_of(const struct bench *b, int kind)
{
    static struct gpt_kind stage;
    static const char *const names[] = {"dense", "unbiased", "local"};
    if (!b->preset)
        return &gpt_kinds[kind];
    stage.pattern = kind == PRESET_STAGE ? b->preset->stage.pattern : (struct ssa_pattern){.kind = SSA_DENSE};
    stage.name = stage.pattern.look_back ? "local look-back" : names[stage.pattern.kind];
    return &stage;
}

static double ratio_of(const struct bench *b, int kind)
{
    const struct ssa_pattern *pattern = &kind_of(b, kind)->pattern;
    return pattern->kind == SSA_DENSE ? 1 : (double)pattern->ratio;
}

static int passes_of(const struct bench *b)
{
    return b->preset ? b->preset->accumulate : 1;
}

/* Of a preset by its pairs. */
static double operations(const struct bench *b, const struct gpt *s, const struct ssa_pattern *pattern)
{
    struct cost cost = {0};
    if (!b->preset)
        return gpt_operations(s, pattern->kind == SSA_DENSE ? 1 : (double)pattern->ratio);
    cost_of_step(&cost, &b->preset->model, pattern, (double)s->batch * passes_of(b), 1);
    return cost.linear + cost.attention;
}

static int create(struct state *c)
{
    const struct bench *b = c->bench;
    const struct ssa_model_config config = config_of(b, &c->s);
    const struct ssa_model_limits limits = {.batch = c->s.batch, .training = 1};
    const struct ssa_stage stage = {.pattern = kind_of(b, c->kind)->pattern, .steps = MANY_STEPS, .lr = 3e-4f};
    struct ssa_train_config training = {0};
    int err;
    if (b->preset)
        training = b->preset->training;
    training.seed = 1;
    training.batch = c->s.batch * passes_of(b);
    training.stages = &stage;
    training.stage_count = 1;
    c->data = gpt_text(&c->s);
    if (!c->data.count)
        return bench_out_of_memory();
    if ((err = ssa_model_create(&c->model, c->device, &config, &limits)))
        return err;
    return ssa_trainer_create(&c->trainer, c->model, &training, &c->data);
}

/* One draw for all layers is enough to check them. */
static int check(struct state *c, double *error)
{
    const struct ssa_plan *plans[MAX_LAYERS];
    const struct ssa_pattern *pattern = &kind_of(c->bench, c->kind)->pattern;
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

/* ---- where a step's time goes ---- */

enum { SPLIT_STEPS = 3 };
static const char *const operators[] = {
#define NAME(op) #op,
    SSA_OPS(NAME)
#undef NAME
};
enum { OPERATORS = sizeof operators / sizeof *operators };

/* ssa_device_seconds() takes prefixes: "add" is that of nothing else, "sum" neither, but to be sure. */
static double seconds_of(const struct state *c, int op)
{
    double s = ssa_device_seconds(c->device, operators[op]);
    for (int i = 0; i < OPERATORS; i++)
        if (i != op && !strncmp(operators[i], operators[op], strlen(operators[op])))
            s -= seconds_of(c, i);
    return s;
}

/* Times steps operator by operator: the device waits around each, so that their sum is less than such a step takes, and
 * the rest of it counts as outside of GEMM and attention too. */
static int split(struct state *c, struct result *r)
{
    double before[OPERATORS], gemm = 0, attention = 0, start;
    json_t *list = json_object();
    int err = SSA_OK;
    for (int i = 0; i < OPERATORS; i++)
        before[i] = seconds_of(c, i);
    ssa_device_set_timing(c->device, 1);
    start = now_seconds();
    for (int i = 0; i < SPLIT_STEPS && !err; i++)
        err = step(c);
    if (!err)
        err = ssa_device_finish(c->device);
    double all = (now_seconds() - start) / SPLIT_STEPS;
    ssa_device_set_timing(c->device, 0);
    for (int i = 0; i < OPERATORS; i++) {
        double each = (seconds_of(c, i) - before[i]) / SPLIT_STEPS;
        gemm += strncmp(operators[i], "linear", 6) ? 0 : each;
        attention += strncmp(operators[i], "attention", 9) ? 0 : each;
        if (each > 0)
            json_object_set_new(list, operators[i], number_json(each));
    }
    double outside = 1 - (gemm + attention) / all;
    r->more = json_pack("{so so so so so}", "attention_seconds", number_json(attention), "linear_seconds",
                        number_json(gemm), "timed_step_seconds", number_json(all), "outside_share",
                        number_json(outside), "operator_seconds", list);
    snprintf(r->note, sizeof r->note, "%.0f tokens/s; %.1f%% outside GEMM and attention", r->tokens / r->time.median,
             100 * outside);
    return err;
}

/* ---- a case ---- */

/* Checked first: its passes change no parameter. */
static int run_state(struct state *c, const struct bench_case *of)
{
    static const struct ssa_pattern dense = {.kind = SSA_DENSE};
    const struct gpt_kind *kind = kind_of(c->bench, c->kind);
    struct result r = {.direction = "step", .tolerance = tolerance,
                       .flops = operations(c->bench, &c->s, &kind->pattern),
                       .flops_dense = operations(c->bench, &c->s, &dense),
                       .tokens = (double)c->s.length * c->s.batch * passes_of(c->bench)};
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = create(c)) || (err = measure_first(c->device, step, c, &r.time)) || (err = check(c, &r.error)))
        return err;
    if (!is_wrong(&r) && ((err = measure(c->bench, c->device, step, c, 1e12, &r.time)) || (err = split(c, &r))))
        return err;
    r.held = bench_peak_bytes(c->device, base);
    result_path(&r, c->device, "linear_fwd"); /* where most of the time goes */
    r.plan = json_pack("{ss si sb}", "kind", kind->name, "keys",
                       (int)(ratio_of(c->bench, c->kind) * c->s.length), "causal", 1);
    emit(c->bench, &step_suite, of, &r);
    return SSA_OK;
}

static int run(const struct bench *b, const struct bench_case *of)
{
    const int *s = of->shape;
    struct state c = {.bench = b, .s = {s[LAYERS], s[WIDTH], s[HEADS], s[LENGTH], s[BATCH]}, .kind = of->kind};
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = run_state(&c, of);
    ssa_trainer_destroy(c.trainer);
    ssa_model_destroy(c.model);
    ssa_plan_finish(&c.plan);
    ssa_device_close(c.device);
    free((void *)c.data.items);
    return err;
}

/* ---- the list ---- */

static int add(const struct bench *b, struct case_list *list, const struct gpt *s, int kind)
{
    const struct ssa_model_config config = config_of(b, s);
    const struct gpt_kind *of = kind_of(b, kind);
    const struct ssa_model_limits limits = {.batch = s->batch, .training = 1};
    struct ssa_memory memory;
    int err = ssa_model_memory(&config, &limits, &memory);
    if (err)
        return err;
    double moments = 2.0 * (double)memory.parameters; /* the trainer's */
    struct bench_case c = {.fields = fields, .shape = {s->layers, s->width, s->heads, s->length, s->batch},
                           .kind = kind, .directions = "step", .flops = operations(b, s, &of->pattern),
                           .memory = (double)memory.total + moments,
                           .check_flops = 6.0 * CHECKED_POSITIONS * s->layers * 12 * s->width * s->width};
    snprintf(c.name, sizeof c.name, "%s%s%s k=%d L%d C%d H%d N%d B%d", b->preset ? b->preset->name : "",
             b->preset ? " " : "", of->name, (int)(ratio_of(b, kind) * s->length), s->layers, s->width, s->heads,
             s->length, s->batch);
    return case_add(list, &c);
}

static int list_preset(const struct bench *b, struct case_list *list)
{
    const struct ssa_gpt *m = &b->preset->model.gpt;
    const struct gpt s = {m->layers, m->width, m->heads, m->length, b->preset->batch};
    int err = b->preset->stage.pattern.kind == SSA_DENSE ? SSA_OK : add(b, list, &s, PRESET_STAGE);
    return err ? err : add(b, list, &s, PRESET_DENSE);
}

static int list(const struct bench *b, struct case_list *list)
{
    static const struct gpt full[] = {{6, 256, 8, 512, 8}, {6, 256, 8, 2048, 4}}, quick[] = {{2, 64, 2, 128, 2}};
    const struct gpt *sizes = b->quick ? quick : full;
    int err = SSA_OK;
    if (b->preset)
        return list_preset(b, list);
    for (int i = 0; i < (b->quick || b->closed ? 1 : 2); i++)
        for (int k = 0; k < GPT_KINDS && !err; k++)
            if ((!b->quick || quick_kinds[k]) && (!b->closed || closed_kinds[k]))
                err = add(b, list, &sizes[i], k);
    return err;
}

const struct suite step_suite = {"step", 7, list, run};

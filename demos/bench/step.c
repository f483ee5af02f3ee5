/* Whole training steps of every family of models: forward, backward, clipping and AdamW, through the trainer. */
#include "bench.h"
#include "gpt.h"
#include "reference_model.h"

#include "cost.h"
#include "model.h"
#include "numbers.h"
#include "presets.h"
#include "progress.h"

#include <ssacl/train.h>

#include <stdio.h>
#include <string.h>

enum { MANY_STEPS = 1 << 20 };
enum { LAYERS, WIDTH, HEADS, LENGTH, BATCH };
static const char *const fields[] = {"layers", "width", "heads", "length", "batch", NULL};
static const double tolerance = 1e-3, rounded = 2e-2; /* of a loss, and of a difference quotient of many */
static const struct ssa_pattern dense = {.kind = SSA_DENSE};

struct state {
    const struct bench *bench;
    struct preset of;
    struct ssa_device *device;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
};

static int step(void *context)
{
    return ssa_trainer_step(((struct state *)context)->trainer);
}

/* ---- what is measured: a GPT in each of gpt_kinds[], each of families[] sampled and dense, or a preset so ---- */

static const struct gpt sizes[] = {{6, 256, 8, 512, 8}, {6, 256, 8, 2048, 4}, {2, 64, 2, 128, 2}};
enum { QUICK_SIZE = 2, SIZES };
/* Which of gpt_kinds[] also belong to that set. */
static const bool quick_kinds[GPT_KINDS] = {true, true, false, true}, closed_kinds[GPT_KINDS] = {true, true};

/* For images of greys of the size of Fashion-MNIST's; or twice that, so that windows of 14 are shifted. All of these
 * belong to the closed set. */
#define IMAGES(size) .rows = (size), .columns = (size), .channels = 1
static const struct preset families[] = {
    {.name = "vit", .batch = 50, .accumulate = 1,
     .stage.pattern = {.kind = SSA_UNBIASED, .ratio = 0.24f, .per_example = 1},
     .model = {.family = SSA_VIT, .vit = {IMAGES(28), .patch = 4, .layers = 4, .heads = 6, .width = 96,
                                          .classes = 10}}},
    {.name = "pixels", .batch = 4, .accumulate = 1,
     .stage.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1},
     .model = {.family = SSA_PIXELS, .pixels = {IMAGES(28), .layers = 4, .heads = 4, .width = 128}}},
    {.name = "swin", .batch = 4, .accumulate = 1,
     .stage.pattern = {.kind = SSA_UNBIASED, .ratio = 0.25f, .per_example = 1},
     .model = {.family = SSA_SWIN, .swin = {IMAGES(56), .patch = 2, .width = 32, .layers = {2, 2}, .heads = {2},
                                            .window = 14, .classes = 10}}},
    {.name = "words", .batch = 4, .accumulate = 1,
     .stage.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1},
     .model = {.family = SSA_WORDS, .words = {.vocabulary = 13272, .length = 256, .layers = 4, .heads = 4, .width = 256,
                                              .cutoffs = {2000, 6000}}}},
    {.name = "egt", .batch = 32, .accumulate = 1,
     .stage.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1},
     .model = {.family = SSA_EGT, .egt = {.nodes = 18, .node_ids = 9, .node_values = 128, .edge_ids = 3,
                                          .edge_values = 8, .hops = 17, .encodings = 16, .layers = 4, .heads = 8,
                                          .width = 64, .edge_width = 16, .virtual_nodes = 4}}},
};
enum { FAMILIES = sizeof families / sizeof *families, OF_GPT = SIZES * GPT_KINDS, CASES = OF_GPT + 2 * FAMILIES };

static bool is_listed(const struct bench *b, int number)
{
    const int size = number / GPT_KINDS, kind = number % GPT_KINDS;
    if (b->preset)
        return number == 1 || (!number && b->preset->stage.pattern.kind != SSA_DENSE);
    if (number >= OF_GPT)
        return true;
    if (b->quick)
        return size == QUICK_SIZE && quick_kinds[kind];
    return b->closed ? !size && closed_kinds[kind] : size != QUICK_SIZE;
}

/* Those of a preset are 0, sampled, and 1, dense. Nothing is dropped, for the reference drops nothing. */
static struct preset work_of(const struct bench *b, int number)
{
    const struct gpt *g = &sizes[number / GPT_KINDS % SIZES];
    const int other = b->preset ? number : number - OF_GPT;
    if (!b->preset && number < OF_GPT)
        return (struct preset){.name = "", .model = gpt_config(g), .batch = g->batch, .accumulate = 1,
                               .stage.pattern = gpt_kinds[number % GPT_KINDS].pattern};
    struct preset p = b->preset ? *b->preset : families[other / 2];
    for (const struct ssa_field *f = ssa_model_fields(p.model.family); f->name; f++)
        if (strstr(f->name, "drop"))
            *(float *)((char *)&p.model + f->at) = 0;
    if (other % 2)
        p.stage.pattern = dense;
    if (b->quick && !b->preset) {
        p.batch = 1;
        if (p.model.family == SSA_PIXELS)
            p.model.pixels.rows = p.model.pixels.columns = 8;
    }
    if (b->preset && b->batch) {
        p.batch = b->batch;
        p.accumulate = 1;
    }
    return p;
}

static const char *plan_name(const struct ssa_pattern *p)
{
    static const char *const names[] = {"dense", "unbiased", "local"};
    return p->kind == SSA_LOCAL && p->look_back ? "local look-back" : names[p->kind];
}

/* Keys that a query of the first layer sees. */
static int keys_of(const struct preset *p)
{
    struct ssa_sample how;
    if (ssa_model_sample(&p->model, &p->stage.pattern, 0, 1, 0, &how))
        return 0;
    return how.kind == SSA_DENSE ? how.length : how.keys;
}

static double operations(const struct preset *p, const struct ssa_pattern *pattern, double sequences)
{
    struct cost cost = {0};
    cost_of_step(&cost, &p->model, pattern, sequences, 1);
    return cost.linear + cost.attention;
}

/* ---- what it learns from: noise ---- */

static uint32_t next(uint32_t *s)
{
    return (*s = *s * 1664525u + 1013904223u) >> 8;
}

static void draw_floats(float *to, size_t count, uint32_t *s)
{
    for (size_t i = 0; to && i < count; i++)
        to[i] = (float)next(s) / (float)(1 << 23) - 1;
}

static void draw_numbers(int32_t *to, size_t count, int below, uint32_t *s)
{
    for (size_t i = 0; to && i < count; i++)
        to[i] = (int32_t)(next(s) % (uint32_t)below);
}

/* Of a node or an edge: one value of each feature, or of all but every `some`-th none. */
static void draw_ids(int32_t *to, size_t count, int each, int values, int some, uint32_t *s)
{
    for (size_t i = 0; to && i < count; i++)
        for (int m = 0, none = next(s) % (uint32_t)some != 0; m < each; m++)
            *to++ = none ? 0 : 1 + m * values + (int32_t)(next(s) % (uint32_t)values);
}

/* Graphs of as many nodes as there may be, so that all steps do the same work, and about as many bonds as atoms have in
 * molecules. */
static int fill_graphs(const struct ssa_egt *c, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const size_t count = (size_t)draw->count, nodes = count * (size_t)c->nodes, pairs = nodes * (size_t)c->nodes;
    uint32_t s = (uint32_t)draw->step + (uint32_t)draw->first * 7919u;
    for (size_t i = 0; i < count; i++)
        batch->lengths[i] = draw->length;
    draw_ids(batch->nodes, nodes, c->node_ids, c->node_values, 1, &s);
    draw_ids(batch->edges, pairs, c->edge_ids, c->edge_values, c->nodes < 2 ? 1 : (c->nodes + 1) / 2, &s);
    draw_numbers(batch->hops, pairs, c->hops + 1, &s);
    draw_floats(batch->encodings, nodes * (size_t)c->encodings, &s);
    draw_floats(batch->values, count * (size_t)draw->answers, &s);
    return SSA_OK;
}

static int fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const struct ssa_model_config *m = &((const struct state *)cookie)->of.model;
    const int ids = model_int(m, "vocabulary") + model_int(m, "values"), classes = model_int(m, "classes");
    const size_t count = (size_t)draw->count, answers = count * (size_t)draw->answers;
    size_t image = count * (size_t)model_int(m, "rows") * (size_t)model_int(m, "columns");
    uint32_t s = (uint32_t)draw->step + (uint32_t)draw->first * 7919u;
    if (m->family == SSA_EGT)
        return fill_graphs(&m->egt, draw, batch);
    image *= (size_t)model_int(m, "channels");
    draw_floats(batch->pixels, image, &s);
    draw_numbers(batch->tokens, count * (size_t)draw->length, ids, &s);
    draw_numbers(batch->labels, count, classes, &s);
    draw_numbers(batch->targets, answers, ids ? ids : classes, &s);
    if (m->family == SSA_PIXELS)
        memcpy(batch->targets, batch->tokens, answers * sizeof *batch->targets);
    return SSA_OK;
}

static int create(struct state *c)
{
    const struct preset *p = &c->of;
    const struct ssa_model_limits limits = {.batch = p->batch, .training = 1};
    const struct ssa_stage stage = {.pattern = p->stage.pattern, .steps = MANY_STEPS, .lr = 3e-4f};
    const struct ssa_data data = {.fill = fill, .cookie = c, .examples = MANY_STEPS};
    struct ssa_train_config training = p->training;
    training.seed = 1;
    training.batch = p->batch * p->accumulate;
    training.stages = &stage;
    training.stage_count = 1;
    int err = ssa_model_create(&c->model, c->device, &p->model, &limits);
    return err ? err : ssa_trainer_create(&c->trainer, c->model, &training, &data);
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

/* Checked after the first step: later ones of wrong kernels are not worth the time. */
static int run_state(struct state *c, const struct bench_case *of)
{
    const struct preset *p = &c->of;
    const double sequences = (double)p->batch * p->accumulate;
    struct result r = {.direction = "step", .tolerance = tolerated(c->bench, tolerance, rounded),
                       .flops = operations(p, &p->stage.pattern, sequences),
                       .flops_dense = operations(p, &dense, sequences),
                       .tokens = ssa_model_length(&p->model) * sequences};
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = create(c)) || (err = measure_first(c->device, step, c, &r.time)) ||
        (err = check_model(c->model, &p->stage.pattern, &r.error)))
        return err;
    if (!is_wrong(&r) && ((err = measure(c->bench, c->device, step, c, 1e12, &r.time)) || (err = split(c, &r))))
        return err;
    r.held = bench_peak_bytes(c->device, base);
    result_path(&r, c->device, "linear_fwd"); /* where most of the time goes */
    r.plan = json_pack("{ss si sb}", "kind", plan_name(&p->stage.pattern), "keys", keys_of(p), "causal",
                       model_is_causal(&p->model));
    emit(c->bench, &step_suite, of, &r);
    return SSA_OK;
}

static int run(const struct bench *b, const struct bench_case *of)
{
    struct state c = {.bench = b, .of = work_of(b, of->kind)};
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = ssa_device_set_precision(c.device, b->precision);
    if (!err)
        err = run_state(&c, of);
    ssa_trainer_destroy(c.trainer);
    ssa_model_destroy(c.model);
    ssa_device_close(c.device);
    return err;
}

/* ---- the list ---- */

static int add(const struct bench *b, struct case_list *list, int number)
{
    const struct preset p = work_of(b, number);
    const struct ssa_model_config *m = &p.model;
    const struct ssa_model_limits limits = {.batch = p.batch, .training = 1};
    const int length = ssa_model_length(m), heads = model_int(m, "heads");
    struct ssa_memory memory;
    char passes[16] = "";
    int err = ssa_model_memory(m, &limits, &memory);
    if (err)
        return err;
    double moments = 2.0 * (double)memory.parameters; /* the trainer's */
    struct bench_case c = {.fields = fields, .directions = "step", .kind = number,
                           .shape = {ssa_model_layers(m), model_int(m, "width"), heads, length, p.batch},
                           .flops = operations(&p, &p.stage.pattern, (double)p.batch * p.accumulate),
                           .memory = (double)memory.total + moments,
                           .check_flops = operations(&p, &p.stage.pattern, 1) * reference_positions(m) / length};
    if (p.accumulate > 1)
        snprintf(passes, sizeof passes, "x%d", p.accumulate);
    snprintf(c.name, sizeof c.name, "%s%s%s k=%d L%d C%d H%d N%d B%d%s", p.name, *p.name ? " " : "",
             plan_name(&p.stage.pattern), keys_of(&p), c.shape[LAYERS], c.shape[WIDTH], heads, length, p.batch, passes);
    return case_add(list, &c);
}

static int list(const struct bench *b, struct case_list *list)
{
    int err = SSA_OK;
    for (int number = 0; number < CASES && !err; number++)
        if (is_listed(b, number))
            err = add(b, list, number);
    return err;
}

const struct suite step_suite = {"step", 7, list, run};

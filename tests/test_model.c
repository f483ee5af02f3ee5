/* The model: PyTorch's logits, losses and gradients; finite differences; accumulation, memory and bad input. */
#include "differences.h"
#include "golden.h"
#include "net/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ssa_model_config tiny = {.gpt = {.layers = 2, .heads = 2, .width = 16, .hidden = 24, .vocabulary = 11,
                                             .length = 8}};

/* ---- PyTorch ---- */

struct fixture {
    struct ssa_model_config config;
    struct ssa_model *model;
    struct ssa_plan plan;
    const struct ssa_plan *plans[8];
    int32_t *tokens, *targets;
    int batch;
};

static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct ssa_model_config *c, int batch,
                         int window)
{
    *f = (struct fixture){.config = *c, .batch = batch};
    size_t rows = (size_t)batch * (size_t)c->gpt.length;
    OK(ssa_model_create(&f->model, dev, c, &(struct ssa_model_limits){.batch = batch, .training = 1}));
    golden_parameters(f->model, 0.3);
    f->tokens = malloc(rows * sizeof *f->tokens);
    f->targets = malloc(rows * sizeof *f->targets);
    for (int b = 0; b < batch; b++)
        for (int n = 0; n <= c->gpt.length; n++) {
            int at = b * (c->gpt.length + 1) + n;
            int32_t id = (int32_t)((golden_value(1000, (uint32_t)at) + 1) / 2 * c->gpt.vocabulary);
            if (n < c->gpt.length)
                f->tokens[b * c->gpt.length + n] = id;
            if (n > 0)
                f->targets[b * c->gpt.length + n - 1] = id;
        }
    if (window)
        OK(ssa_plan_draw(&f->plan, &(struct ssa_sample){.kind = SSA_LOCAL, .length = c->gpt.length, .keys = window,
                                                        .look_back = 1, .fixed_windows = 1, .own_key = 1}));
    for (int l = 0; l < 8; l++)
        f->plans[l] = window ? &f->plan : NULL;
}

static void close_fixture(struct fixture *f)
{
    ssa_model_destroy(f->model);
    ssa_plan_finish(&f->plan);
    free(f->tokens);
    free(f->targets);
}

static void check_gradients(struct fixture *f, const json_t *gradients, const char *name)
{
    ck_assert_uint_eq(json_object_size(gradients), (size_t)ssa_model_tensors(f->model));
    for (int i = 0; i < ssa_model_tensors(f->model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f->model, i);
        double *want = golden_doubles(json_object_get(gradients, p->name), p->count);
        test_compare(p->name, p->grad, want, p->count, 1e-5, 1e-4, "%s", name);
        free(want);
    }
}

static void check_golden(struct ssa_device *dev, const char *name, const json_t *g)
{
    const json_t *config = json_object_get(g, "config");
    struct ssa_model_config c;
    golden_config(config, &c);
    struct fixture f;
    open_fixture(&f, dev, &c, golden_int(config, "batch"), golden_int(config, "window"));
    size_t rows = (size_t)f.batch * (size_t)c.gpt.length, v = (size_t)c.gpt.vocabulary;
    double *logits = golden_doubles(json_object_get(g, "logits"), rows * v);
    double *losses = golden_doubles(json_object_get(g, "losses"), rows);
    f.targets[c.gpt.length + 3] = -1;
    struct ssa_pass pass = {.tokens = f.tokens, .plans = f.plans};
    float got[16];
    char message[512];
    OK(ssa_model_forward(f.model, &pass));
    for (size_t r = 0; r < rows; r++) {
        OK(ssa_model_read_logits(f.model, (int)r / c.gpt.length, (int)r % c.gpt.length, got));
        ck_assert_msg(test_close_to("logits", got, logits + r * v, v, 2e-5, 2e-5, message, sizeof message),
                      "%s, row %zu: %s", name, r, message);
    }
    pass.targets = f.targets;
    pass.training = 1;
    pass.smoothing = 0.1f;
    pass.grad_scale = 0.25f;
    OK(ssa_model_forward(f.model, &pass));
    test_compare("losses", ssa_model_losses(f.model), losses, rows, 1e-5, 1e-5, "%s", name);
    OK(ssa_model_backward(f.model));
    check_gradients(&f, json_object_get(g, "gradients"), name);
    free(logits);
    free(losses);
    close_fixture(&f);
}

START_TEST(matches_pytorch)
{
    json_t *all = golden_read("model.json"), *g;
    const char *name;
    FOR_DEVICES (dev)
        json_object_foreach(all, name, g)
            check_golden(dev, name, g);
    json_decref(all);
}
END_TEST

/* ---- finite differences ---- */

static struct differences differences_of(const struct fixture *f, const struct ssa_pass *pass, const char *what)
{
    return (struct differences){f->model, pass, (size_t)f->batch * (size_t)f->config.gpt.length, .what = what};
}

static double objective(const struct fixture *f, const struct ssa_pass *pass)
{
    const struct differences d = differences_of(f, pass, NULL);
    return differences_objective(&d);
}

static void check_slopes(struct ssa_device *dev, const char *name, struct ssa_model_config c, int window)
{
    struct fixture f;
    open_fixture(&f, dev, &c, 2, window);
    const struct ssa_pass pass = {.tokens = f.tokens, .targets = f.targets, .plans = f.plans, .training = 1, .seed = 3,
                                  .step = 5, .first_example = 2};
    const struct differences d = differences_of(&f, &pass, name);
    check_differences(&d);
    close_fixture(&f);
}

START_TEST(finite_differences)
{
    FOR_DEVICES (dev) {
        struct ssa_model_config c = tiny;
        c.gpt.dropout = 0.2f;
        check_slopes(dev, "dropout, rotary, tied", c, 0);
        c.gpt.positions = SSA_POSITIONS_LEARNED;
        c.gpt.norm = SSA_NORM_RMS;
        c.gpt.untied = 1;
        c.gpt.kv_heads = 1;
        check_slopes(dev, "dropout, rms, learned, untied, grouped", c, 4);
        c.gpt.no_bias = 1;
        c.gpt.bidirectional = 1;
        c.gpt.activation = SSA_ACT_GELU_TANH;
        check_slopes(dev, "no bias, encoder, tanh", c, 0);
        c.gpt.bidirectional = 0;
        c.gpt.positions = SSA_POSITIONS_ROTARY;
        c.gpt.activation = 0;
        c.gpt.gated = 1;
        check_slopes(dev, "as Llama", c, 0);
        c.gpt.drop_keys = 0.3f;
        check_slopes(dev, "as Llama, keys dropped", c, 0);
    }
}
END_TEST

/* ---- passes ---- */

/* Two passes of one sequence each, accumulated, are one pass of two: dropout and all. */
static void check_accumulation(struct ssa_device *dev)
{
    struct ssa_model_config c = tiny;
    c.gpt.dropout = 0.3f;
    c.gpt.drop_keys = 0.2f;
    c.gpt.positions = SSA_POSITIONS_LEARNED;
    struct fixture f;
    open_fixture(&f, dev, &c, 2, 0);
    struct ssa_pass pass = {.tokens = f.tokens, .targets = f.targets, .training = 1, .seed = 9, .step = 4};
    int count = ssa_model_tensors(f.model);
    double **want = calloc((size_t)count, sizeof *want);
    objective(&f, &pass);
    OK(ssa_model_backward(f.model));
    for (int i = 0; i < count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f.model, i);
        float *g = test_read(p->grad, p->count);
        want[i] = test_doubles(g, p->count);
        free(g);
    }
    pass.batch = 1;
    for (int b = 0; b < 2; b++) {
        pass.tokens = f.tokens + b * c.gpt.length;
        pass.targets = f.targets + b * c.gpt.length;
        pass.first_example = (uint32_t)b;
        pass.accumulate = b;
        OK(ssa_model_forward(f.model, &pass));
        OK(ssa_model_backward(f.model));
    }
    for (int i = 0; i < count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f.model, i);
        test_compare(p->name, p->grad, want[i], p->count, 1e-5, 1e-4, "accumulated");
        free(want[i]);
    }
    free(want);
    close_fixture(&f);
}

START_TEST(accumulates)
{
    FOR_DEVICES (dev)
        check_accumulation(dev);
}
END_TEST

/* A later token changes no logits before it, whatever was sampled. And a model made for inference says the same. */
static void check_causal(struct ssa_device *dev, int kind)
{
    struct fixture f;
    open_fixture(&f, dev, &tiny, 1, 0);
    struct ssa_model *small;
    struct ssa_sample how = {.kind = kind, .length = tiny.gpt.length, .keys = 4, .own_key = 1, .seed = 2};
    float before[8][11], after[11], inference[11];
    OK(ssa_plan_draw(&f.plan, &how));
    OK(ssa_model_create(&small, dev, &tiny, &(struct ssa_model_limits){.batch = 1}));
    golden_parameters(small, 0.3);
    for (int l = 0; l < tiny.gpt.layers; l++)
        f.plans[l] = &f.plan;
    struct ssa_pass pass = {.tokens = f.tokens, .plans = f.plans};
    OK(ssa_model_forward(f.model, &pass));
    OK(ssa_model_forward(small, &pass));
    for (int n = 0; n < 8; n++) {
        OK(ssa_model_read_logits(f.model, 0, n, before[n]));
        OK(ssa_model_read_logits(small, 0, n, inference));
        for (int v = 0; v < 11; v++) /* not the same bits: a library's GEMM may choose its kernel by the batch */
            ck_assert_float_eq_tol(before[n][v], inference[v], 2e-6f);
    }
    f.tokens[5] = (f.tokens[5] + 1) % tiny.gpt.vocabulary;
    OK(ssa_model_forward(f.model, &pass));
    for (int n = 0; n < 8; n++) {
        OK(ssa_model_read_logits(f.model, 0, n, after));
        bool same = !memcmp(after, before[n], sizeof after);
        ck_assert_msg(n < 5 ? same : n > 5 || !same, "kind %d, position %d", kind, n);
    }
    pass.plans = NULL;
    OK(ssa_model_forward(f.model, &pass));
    OK(ssa_model_read_logits(f.model, 0, 2, before[2]));
    pass.length = 3; /* a shorter pass: the same answers */
    OK(ssa_model_forward(f.model, &pass));
    OK(ssa_model_read_logits(f.model, 0, 2, after));
    for (int v = 0; v < 11; v++)
        ck_assert_float_eq_tol(after[v], before[2][v], 2e-6f);
    ssa_model_destroy(small);
    close_fixture(&f);
}

START_TEST(looks_at_nothing_later)
{
    FOR_DEVICES (dev)
        for (int kind = SSA_DENSE; kind <= SSA_LOCAL; kind++)
            check_causal(dev, kind);
}
END_TEST

START_TEST(initialises_alike_everywhere)
{
    struct ssa_model_config c = {.gpt = {.layers = 8, .heads = 2, .width = 64, .vocabulary = 64, .length = 16}};
    uint32_t first = 0;
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        OK(ssa_model_initialise(m, 42));
        const struct ssa_parameter *up = ssa_model_find(m, "layer.3.up.weight"), *proj;
        float *x = test_read(up->value, up->count);
        double sum = 0, squares = 0, fourth = 0, n = (double)up->count;
        uint32_t bits = 0;
        for (size_t i = 0; i < up->count; i++) {
            double v = (double)x[i] / 0.02;
            sum += v;
            squares += v * v;
            fourth += v * v * v * v;
            uint32_t word;
            memcpy(&word, &x[i], 4);
            bits = bits * 31 + word;
        }
        ck_assert(fabs(sum / n) < 0.04 && fabs(squares / n - 1) < 0.05 && fabs(fourth / n - 3) < 0.3);
        first = first ? first : bits;
        ck_assert_uint_eq(bits, first);
        free(x);
        proj = ssa_model_find(m, "layer.3.proj.weight");
        x = test_read(proj->value, proj->count);
        squares = 0;
        for (size_t i = 0; i < proj->count; i++)
            squares += (double)x[i] * (double)x[i];
        ck_assert(fabs(sqrt(squares / (double)proj->count) - 0.02 / 4) < 5e-4);
        free(x);
        ck_assert_ptr_null(ssa_model_find(m, "layer.9.up.weight"));
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- keys and values projected for the sampled rows alone ---- */

/* The same keys as `plan`'s in two slices: a plan that the model takes the long way. */
static void cut_in_two(struct ssa_plan *cut, const struct ssa_plan *plan, int length)
{
    int32_t keys[64], first = 0, end = 2;
    int count = ssa_plan_keys(plan, 0, 0, keys);
    int32_t starts[] = {0, 1, count};
    OK(ssa_plan_from_layout(cut, &(struct ssa_layout){.length = length, .block = length, .slices = 2, .order = keys,
                                                      .slice_start = starts, .first = &first, .end = &end}));
}

static double **gradients_of(struct fixture *f, const struct ssa_pass *pass, double *loss)
{
    int count = ssa_model_tensors(f->model);
    double **all = calloc((size_t)count, sizeof *all);
    *loss = objective(f, pass);
    OK(ssa_model_backward(f->model));
    for (int i = 0; i < count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f->model, i);
        float *g = test_read(p->grad, p->count);
        all[i] = test_doubles(g, p->count);
        free(g);
    }
    return all;
}

/* Three of the others, or as many as come of it that each of them stays with half of that probability: `step` tells. */
static void check_sampled_rows(struct ssa_device *dev, const char *name, const struct ssa_model_config *c, int independent,
                               uint64_t step)
{
    static const int keep = 0;
    struct fixture f;
    struct ssa_plan cut = {0};
    double want, got;
    open_fixture(&f, dev, c, 3, 0);
    OK(ssa_plan_draw(&f.plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = c->gpt.length, 
        .keys = independent ? 2 : 3, .keep = &keep, .keep_count = 1, .seed = 5, .independent = independent, .step = step}));
    cut_in_two(&cut, &f.plan, c->gpt.length);
    struct ssa_pass pass = {.tokens = f.tokens, .targets = f.targets, .plans = f.plans, .training = 1};
    for (int l = 0; l < 8; l++)
        f.plans[l] = &cut;
    double **all = gradients_of(&f, &pass, &want);
    f.plans[0] = &f.plan; /* one layer each way */
    double **mixed = gradients_of(&f, &pass, &got);
    ck_assert_msg(fabs(got - want) < 1e-5 * want, "%s: loss %.9g instead of %.9g", name, got, want);
    f.plans[1] = &f.plan;
    objective(&f, &pass);
    OK(ssa_model_backward(f.model));
    for (int i = 0; i < ssa_model_tensors(f.model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f.model, i);
        test_compare(p->name, p->grad, all[i], p->count, 1e-5, 1e-4, "%s, sampled rows", name);
        for (size_t e = 0; e < p->count; e++)
            ck_assert_msg(fabs(mixed[i][e] - all[i][e]) <= 1e-5 + 1e-4 * fabs(all[i][e]), "%s, %s[%zu] in turn", name,
                          p->name, e);
        free(all[i]);
        free(mixed[i]);
    }
    free(all);
    free(mixed);
    const struct differences d = differences_of(&f, &pass, name);
    check_differences(&d);
    ssa_plan_finish(&cut);
    close_fixture(&f);
}

/* Each sequence its own keys: two sequences in one pass are two passes of one. */
static void check_sampled_examples(struct ssa_device *dev)
{
    struct fixture f;
    struct ssa_sample how = {.kind = SSA_UNBIASED, .length = tiny.gpt.length, .batch = 2, .keys = 4, .per_example = 1,
                             .seed = 8};
    float together[2][11], alone[11];
    open_fixture(&f, dev, &tiny, 2, 0);
    OK(ssa_plan_draw(&f.plan, &how));
    f.plans[0] = f.plans[1] = &f.plan;
    struct ssa_pass pass = {.tokens = f.tokens, .plans = f.plans};
    OK(ssa_model_forward(f.model, &pass));
    for (int b = 0; b < 2; b++)
        OK(ssa_model_read_logits(f.model, b, 7, together[b]));
    pass.batch = how.batch = 1;
    for (int b = 0; b < 2; b++) {
        how.first_example = (uint32_t)b;
        OK(ssa_plan_draw(&f.plan, &how));
        pass.tokens = f.tokens + b * tiny.gpt.length;
        OK(ssa_model_forward(f.model, &pass));
        OK(ssa_model_read_logits(f.model, 0, 7, alone));
        for (int v = 0; v < 11; v++)
            ck_assert_float_eq_tol(together[b][v], alone[v], 1e-5f);
    }
    close_fixture(&f);
}

START_TEST(projects_sampled_rows_alone)
{
    FOR_DEVICES (dev) {
        struct ssa_model_config c = tiny;
        check_sampled_rows(dev, "rotary, tied", &c, 0, 0);
        for (uint64_t step = 0; step < 3; step++)
            check_sampled_rows(dev, "each by its own draw", &c, 1, step);
        c.gpt.kv_heads = 1;
        c.gpt.no_bias = 1;
        c.gpt.positions = SSA_POSITIONS_LEARNED;
        c.gpt.bidirectional = 1;
        check_sampled_rows(dev, "grouped, no bias, learned, encoder", &c, 0, 0);
        check_sampled_examples(dev);
    }
}
END_TEST

/* ---- memory ---- */

static void check_memory(struct ssa_device *dev, struct ssa_model_limits limits)
{
    struct ssa_model_config c = {.gpt = {.layers = 3, .heads = 2, .width = 32, .vocabulary = 50, .length = 64}};
    struct ssa_memory memory;
    size_t peak;
    OK(ssa_model_memory(&c, &limits, &memory));
    const size_t before = test_held(dev);
    ssa_device_reset_peak(dev);
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, &c, &limits));
    size_t rows = (size_t)limits.batch * 64;
    int32_t *ids = calloc(rows, sizeof *ids);
    struct ssa_pass pass = {.tokens = ids, .targets = ids, .training = limits.training};
    OK(ssa_model_forward(m, &pass));
    if (limits.training)
        OK(ssa_model_backward(m));
    ssa_device_memory(dev, NULL, &peak);
    ck_assert_uint_eq(test_held(dev) - before, memory.total);
    ck_assert_uint_le(peak - before, memory.total + test_scratch(dev) + (size_t)64 * 1024 * 1024);
    free(ids);
    ssa_model_destroy(m);
}

START_TEST(memory_is_as_foreseen)
{
    FOR_DEVICES (dev) {
        check_memory(dev, (struct ssa_model_limits){.batch = 3});
        check_memory(dev, (struct ssa_model_limits){.batch = 3, .training = 1});
        check_memory(dev, (struct ssa_model_limits){.batch = 2, .training = 1, .max_buffer = 20000});
    }
}
END_TEST

/* The same end to end, wherever a range of it begins; what is written and fetched is where it was read. */
static void check_end_to_end(struct ssa_device *dev, const struct ssa_arena *one, const struct ssa_arena *many)
{
    enum { FIRST = 37 };
    const size_t count = ssa_arena_elements(one);
    float *x = malloc(count * sizeof *x), *y = malloc(count * sizeof *y);
    struct ssa_tickets tickets = {0};
    ck_assert_uint_eq(count, ssa_arena_elements(many));
    OK(ssa_arena_read(one, 0, count, x));
    OK(ssa_arena_read(many, 0, FIRST, y));
    OK(ssa_arena_fetch(many, FIRST, count - FIRST, y + FIRST, &tickets));
    ck_assert(dev->info.kind == SSA_DEVICE_HOST ? !tickets.count : tickets.count > 1); /* the host has read them */
    OK(ssa_tickets_await(&tickets, dev));
    ssa_tickets_finish(&tickets);
    ck_assert(!memcmp(x, y, count * sizeof *x));
    OK(ssa_arena_write(many, FIRST, count - FIRST - 1, x));
    OK(ssa_arena_read(many, FIRST, count - FIRST - 1, y));
    ck_assert(!memcmp(x, y, (count - FIRST - 1) * sizeof *x));
    OK(ssa_arena_write(many, 0, count, x));
    OK(ssa_arena_add(dev, many, many, FIRST, 100));
    OK(ssa_arena_read(many, 0, count, y));
    for (size_t i = 0; i < count; i++)
        ck_assert(y[i] == (i >= FIRST && i < FIRST + 100 ? 2 : 1) * x[i]);
    free(x);
    free(y);
}

/* Several buffers or one: the same gradients. */
static void check_parts(struct ssa_device *dev)
{
    struct fixture f;
    open_fixture(&f, dev, &tiny, 2, 0);
    struct ssa_model *cut;
    struct ssa_pass pass = {.tokens = f.tokens, .targets = f.targets, .training = 1};
    OK(ssa_model_create(&cut, dev, &tiny, &(struct ssa_model_limits){.batch = 2, .training = 1, .max_buffer = 1000}));
    golden_parameters(cut, 0.3);
    OK(ssa_model_forward(f.model, &pass));
    OK(ssa_model_backward(f.model));
    OK(ssa_model_forward(cut, &pass));
    OK(ssa_model_backward(cut));
    ck_assert_int_eq(ssa_model_values(f.model)->count, 1);
    ck_assert_int_gt(ssa_model_values(cut)->count, 3);
    ck_assert_int_gt(ssa_model_part_count(cut), ssa_model_part_count(f.model));
    for (int i = 0; i < ssa_model_tensors(cut); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(f.model, i), *q = ssa_model_parameter(cut, i);
        struct ssa_model_part part = ssa_model_part(cut, q->part);
        test_same_bits(p->name, p->grad, q->grad, p->count);
        ck_assert_uint_eq(ssa_model_number(cut, i), ssa_model_number(f.model, i));
        test_same_bits(p->name, q->value, ssa_tensor_add(part.value, q->offset), p->count);
        ck_assert_int_eq(part.decayed, q->decayed);
        ck_assert_uint_le(q->offset + q->count, part.count);
    }
    check_end_to_end(dev, ssa_model_gradients(f.model), ssa_model_gradients(cut));
    ssa_model_destroy(cut);
    close_fixture(&f);
}

START_TEST(one_buffer_or_many)
{
    FOR_DEVICES (dev)
        check_parts(dev);
}
END_TEST

/* ---- bad input ---- */

START_TEST(bad_configs)
{
    struct ssa_model_config c;
#define BAD(words, ...) \
    c = (struct ssa_model_config){.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 11, .length = 8, \
                                          __VA_ARGS__}}; \
    FAILS(ssa_model_check(&c), SSA_EINVAL, words); \
    ck_assert_uint_eq(ssa_model_elements(&c), 0)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    BAD("layers is 0", .layers = 0);
    BAD("width 20 does not divide", .width = 20, .heads = 3);
    BAD("multiple of 8", .width = 24, .heads = 2);
    BAD("kv_heads", .heads = 2, .kv_heads = 3);
    BAD("vocabulary is 1", .vocabulary = 1);
    BAD("length is -3", .length = -3);
    BAD("dropout is 1", .dropout = 1);
    BAD("drop_keys is 1", .drop_keys = 1);
    BAD("drop_keys is -0.5", .drop_keys = -0.5f);
    BAD("norm is 7", .norm = 7);
    BAD("positions is 2", .positions = 2);
    BAD("rope_base is -1", .rope_base = -1);
    BAD("norm_eps is nan", .norm_eps = NAN);
#pragma GCC diagnostic pop
    c = tiny;
    c.family = 9;
    FAILS(ssa_model_check(&c), SSA_EINVAL, "family is 9");
    ck_assert_ptr_null(ssa_model_fields(9));
}
END_TEST

static int count_words(const char *choices)
{
    int count = 1;
    for (; *choices; choices++)
        count += *choices == '|';
    return count;
}

/* What programs make options and JSON of; and what zero means. */
START_TEST(fields_have_words)
{
    struct ssa_model_config c = {.gpt = {.layers = 1, .width = 64, .heads = 4, .gated = 1}};
    int choices = 0;
    for (int family = 0; ssa_model_fields(family); family++)
        for (const struct ssa_field *f = ssa_model_fields(family); f->name; f++) {
            ck_assert_msg(f->about && *f->about, "%s", f->name);
            choices += f->choices != NULL;
            if (f->choices)
                ck_assert_msg(f->kind == SSA_FIELD_INT && count_words(f->choices) == f->most - f->least + 1, "%s: %s",
                              f->name, f->choices);
            ck_assert_msg(!f->contrary || (f->kind == SSA_FIELD_INT && f->least >= 0 && f->most <= 1), "%s", f->name);
        }
    ck_assert_int_ge(choices, 3);
    ssa_model_settle(&c);
    ck_assert_int_eq(c.gpt.kv_heads, 4);
    ck_assert_int_eq(c.gpt.hidden, 256);
    ck_assert_int_eq(c.gpt.activation, SSA_ACT_SILU);
    ck_assert_float_eq(c.gpt.rope_base, 10000);
    ck_assert_int_eq(ssa_model_length(&tiny), tiny.gpt.length);
    c = (struct ssa_model_config){.family = 9, .gpt.layers = 1};
    ssa_model_settle(&c);
    ck_assert_int_eq(c.gpt.hidden, 0);
    ck_assert_int_eq(ssa_model_length(&c), 0);
}
END_TEST

START_TEST(refuses_what_cannot_fit)
{
    FOR_DEVICES (dev) {
        struct ssa_model *m = NULL;
        struct ssa_model_config c = {.gpt = {.layers = 12, .heads = 8, .width = 512, .vocabulary = 256, .length = 2048}};
        size_t before, after, memory = dev->info.memory;
        ssa_device_memory(dev, &before, NULL);
        dev->info.memory = before + ((size_t)3 << 30);
        FAILS(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 64, .training = 1}), SSA_ENOMEM,
              "(micro-)batch of");
        dev->info.memory = before + ((size_t)300 << 20);
        FAILS(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 4, .training = 1}), SSA_ENOMEM,
              "a width of");
        dev->info.memory = before + 1000;
        FAILS(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 4, .training = 1}), SSA_ENOMEM,
              "fewer layers");
        dev->info.memory = memory;
        FAILS(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 0}), SSA_EINVAL, "batch is 0");
        FAILS(ssa_model_create(&m, dev, &tiny, &(struct ssa_model_limits){.batch = 1, .max_buffer = 100}), SSA_ENOMEM,
              "one allocation");
        ck_assert_ptr_null(m);
        ssa_device_memory(dev, &after, NULL);
        ck_assert_uint_eq(before, after);
    }
}
END_TEST

START_TEST(bad_passes)
{
    FOR_DEVICES (dev) {
        struct fixture f;
        open_fixture(&f, dev, &tiny, 2, 0);
        struct ssa_model *small;
        struct ssa_plan other = {0};
        const struct ssa_plan *plans[2] = {NULL, &other};
        float logits[11];
        OK(ssa_model_create(&small, dev, &tiny, &(struct ssa_model_limits){.batch = 1}));
        OK(ssa_plan_draw(&other, &(struct ssa_sample){.kind = SSA_DENSE, .length = 4}));
        struct ssa_pass p = {.tokens = f.tokens, .targets = f.targets};
#define BAD_PASS(model, words) FAILS(ssa_model_forward(model, &p), SSA_EINVAL, words)
        FAILS(ssa_model_backward(f.model), SSA_EINVAL, "needs a forward pass");
        FAILS(ssa_model_read_logits(f.model, 0, 0, logits), SSA_EINVAL, "after a forward pass");
        OK(ssa_model_forward(f.model, &p));
        FAILS(ssa_model_backward(f.model), SSA_EINVAL, "needs a forward pass");
        FAILS(ssa_model_read_logits(f.model, 2, 0, logits), SSA_EINVAL, "no position 0 of sequence 2");
        p.batch = 2;
        BAD_PASS(small, "batch 2");
        p.batch = 1;
        p.training = 1;
        BAD_PASS(small, "limits.training");
        p.training = 0;
        p.length = 9;
        BAD_PASS(f.model, "length 9");
        p.length = 0;
        p.plans = plans;
        BAD_PASS(f.model, "plan of layer 1 is of length 4");
        p.plans = NULL;
        f.tokens[3] = 11;
        BAD_PASS(f.model, "token 3 is 11");
        f.tokens[3] = 0;
        f.targets[2] = 99;
        BAD_PASS(f.model, "target 2 is 99");
        p.tokens = NULL;
        BAD_PASS(f.model, "tokens is NULL");
        ssa_plan_finish(&other);
        ssa_model_destroy(small);
        close_fixture(&f);
    }
}
END_TEST

int main(void)
{
    return test_run("model", (const TTest *const[]){matches_pytorch, finite_differences, accumulates,
        projects_sampled_rows_alone, looks_at_nothing_later, initialises_alike_everywhere, memory_is_as_foreseen,
        one_buffer_or_many, bad_configs, fields_have_words, refuses_what_cannot_fit, bad_passes, NULL});
}

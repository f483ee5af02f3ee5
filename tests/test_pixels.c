/* Images, an element after the other: against a forward in double precision, made of the operators' oracles; and what a
 * model of that kind must do. */
#include "drawn.h"
#include "exact.h"
#include "golden.h"
#include "saved.h"
#include "net/internal.h"
#include "oracle/attention.h"
#include "oracle/linear.h"
#include "oracle/norm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 3, COLUMNS = 4, CHANNELS = 3, N = ROWS * COLUMNS * CHANNELS, VALUES = 11, CLASSES = 5, BATCH = 2 };

static const struct ssa_model_config small = {.family = SSA_PIXELS, .pixels = {.rows = ROWS, .columns = COLUMNS,
    .channels = CHANNELS, .values = VALUES, .layers = 2, .heads = 2, .key_width = 4, .width = 24, .hidden = 20}};
static const struct ssa_model_config cifar = {.family = SSA_PIXELS, .pixels = {.rows = 32, .columns = 32, .channels = 3,
    .layers = 128, .heads = 2, .key_width = 64, .width = 256, .hidden = 512, .dropout = 0.25f}};

static struct ssa_model_config with_classes(void)
{
    struct ssa_model_config c = small;
    c.pixels.classes = CLASSES;
    return c;
}

/* Grey, and heads like a GPT's. */
static struct ssa_model_config grey(void)
{
    return (struct ssa_model_config){.family = SSA_PIXELS, .pixels = {.rows = 6, .columns = 6, .channels = 1,
        .values = VALUES, .layers = 1, .heads = 3, .width = 24, .activation = SSA_ACT_GELU}};
}

static struct ssa_model *make(struct ssa_device *dev, const struct ssa_model_config *c, int training)
{
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, c, &(struct ssa_model_limits){.batch = BATCH, .training = training}));
    golden_parameters(m, 0.25);
    return m;
}

struct images {
    int32_t x[BATCH * N], labels[BATCH];
};
static struct images make_images(uint32_t seed)
{
    struct images s = {.labels = {2, CLASSES - 1}};
    for (uint32_t i = 0; i < BATCH * N; i++)
        s.x[i] = (int32_t)((golden_value(seed, i) + 1) / 2 * VALUES);
    return s;
}

static struct ssa_pass pass_of(const struct images *s, const struct ssa_model *m)
{
    return (struct ssa_pass){.tokens = s->x, .labels = m->config.pixels.classes ? s->labels : NULL, .batch = BATCH};
}

/* The logits [BATCH * N, VALUES] of a pass. free() them. */
static float *logits_of(struct ssa_model *m, const struct ssa_pass *pass)
{
    float *all = malloc(BATCH * N * VALUES * sizeof *all);
    OK(ssa_model_forward(m, pass));
    for (int i = 0; i < BATCH * N; i++)
        OK(ssa_model_read_logits(m, i / N, i % N, all + i * VALUES));
    return all;
}

/* ---- size ---- */

static void count(size_t want, const struct ssa_pixels *pixels)
{
    struct ssa_model_config c = {.family = SSA_PIXELS, .pixels = *pixels};
    ck_assert_uint_eq(ssa_model_elements(&c), want);
}

START_TEST(parameters)
{
    struct ssa_model_config shorter = cifar;
    struct ssa_memory memory;
    count(59196928, &cifar.pixels);
    shorter.pixels.layers = 64;
    ck_assert_uint_eq(2 * (ssa_model_elements(&cifar) - ssa_model_elements(&shorter)), 59047936);
    struct ssa_pixels twin = {.rows = 28, .columns = 28, .channels = 1, .layers = 4, .heads = 2, .width = 128};
    count(866176, &twin);
    twin.rows = twin.columns = 16;
    twin.channels = 3;
    count(863488, &twin);
    OK(ssa_model_memory(&cifar, &(struct ssa_model_limits){.batch = 16, .training = 1}, &memory));
    ck_assert_uint_ge(memory.parameters, 4 * (size_t)59196928);
    ck_assert_uint_lt(memory.parameters, 4 * (size_t)59196928 + (1 << 20));
    ck_assert_uint_eq(memory.cache, 128ul * 3072 * (128 + 256) * 4);
}
END_TEST

/* ---- how it begins ---- */

/* Of zeros all values are alike: exactly 8 bits. */
START_TEST(eight_bits)
{
    static const struct ssa_model_config c = {.family = SSA_PIXELS, .pixels = {.rows = 5, .columns = 7, .channels = 3,
        .layers = 2, .heads = 2, .key_width = 8, .width = 32}};
    enum { ALL = 105 };
    int32_t x[ALL];
    char text[32];
    for (uint32_t i = 0; i < ALL; i++)
        x[i] = (int32_t)((golden_value(9, i) + 1) * 128);
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        double sum = 0;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = x, .targets = x, .batch = 1}));
        float *loss = test_read(ssa_model_losses(m), ALL);
        for (int i = 0; i < ALL; i++)
            sum += (double)loss[i] / log(2);
        snprintf(text, sizeof text, "%.6f", sum / ALL);
        ck_assert_str_eq(text, "8.000000");
        free(loss);
        ssa_model_destroy(m);
    }
}
END_TEST

static double deviation(const struct ssa_model *m, const char *name)
{
    const struct ssa_parameter *p = ssa_model_find(m, name);
    double squares = 0;
    ck_assert_ptr_nonnull(p);
    float *x = test_read(p->value, p->count);
    for (size_t i = 0; i < p->count; i++)
        squares += (double)x[i] * (double)x[i];
    free(x);
    return sqrt(squares / (double)p->count);
}

START_TEST(deviations)
{
    static const struct ssa_model_config c = {.family = SSA_PIXELS, .pixels = {.rows = 64, .columns = 48, .channels = 3,
        .classes = 99, .layers = 3, .heads = 2, .width = 96, .hidden = 160}};
    static const struct {
        const char *name;
        double variance;
    } want[] = {{"embed.weight", 1e-4}, {"label.weight", 1e-4}, {"start", 1e-4}, {"row.weight", 1e-4 / 3},
                {"column.weight", 1e-4 / 3}, {"channel.weight", 1e-4 / 3}, {"layer.1.qkv.weight", 0.125 / 96},
                {"layer.2.up.weight", 0.125 / 96}, {"layer.0.proj.weight", 0.0625 / (96 * 3)},
                {"layer.1.down.weight", 0.0625 / (160 * 3)}, {"head.weight", 0}, {"layer.1.qkv.bias", 0},
                {"norm.gain", 1}};
    struct ssa_device *dev;
    struct ssa_model *m;
    OK(ssa_device_open(&dev, "cpu"));
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const size_t n = ssa_model_find(m, want[i].name)->count;
        const double d = sqrt(want[i].variance);
        ck_assert_msg(fabs(deviation(m, want[i].name) - d) <= 3 * d / sqrt(2 * (double)n), "%s: %g, not %g",
                      want[i].name, deviation(m, want[i].name), d);
    }
    ssa_model_destroy(m);
    ssa_device_close(dev);
}
END_TEST

/* ---- against double precision ---- */

/* y = x w^T (+ bias) (+ residual), act. free() it. */
static double *linear(const struct ssa_model *m, int layer, const char *name, const double *x, const double *residual,
                      int in, int out, int activation)
{
    char bias_name[32], weight_name[32];
    double *pre = malloc(N * (size_t)out * sizeof *pre), *y = malloc(N * (size_t)out * sizeof *y);
    snprintf(weight_name, sizeof weight_name, "%s.weight", name);
    snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    double *w = exact_value(m, layer, weight_name), *bias = exact_value(m, layer, bias_name);
    ck_assert_msg(w && !bias == (layer < 0), "no %s", name);
    oracle_linear_fwd(x, w, bias, residual, pre, y, N, (size_t)in, (size_t)out, activation);
    free(w);
    free(bias);
    free(pre);
    return y;
}

static double *norm(const struct ssa_model *m, int layer, const char *name, const double *x, double eps)
{
    const int width = m->config.pixels.width;
    char gain_name[32], bias_name[32];
    double stats[2 * N], *y = malloc(N * (size_t)width * sizeof *y);
    snprintf(gain_name, sizeof gain_name, "%s.gain", name);
    snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    double *gain = exact_value(m, layer, gain_name), *bias = exact_value(m, layer, bias_name);
    oracle_norm_fwd(x, gain, bias, N, width, false, eps, y, stats);
    free(gain);
    free(bias);
    return y;
}

/* Position t: the start, or what element t - 1 is, and where. */
static double *embed(const struct ssa_model *m, const int32_t *x, int label)
{
    const struct ssa_pixels *c = &m->config.pixels;
    const int width = c->width;
    double *h = calloc(N * (size_t)width, sizeof *h), *start = exact_value(m, -1, "start");
    double *table = exact_value(m, -1, "embed.weight"), *row = exact_value(m, -1, "row.weight");
    double *column = exact_value(m, -1, "column.weight"), *channel = exact_value(m, -1, "channel.weight");
    ck_assert(!channel == (c->channels == 1));
    double *classes = c->classes ? exact_value(m, -1, "label.weight") : NULL;
    for (int w = 0; w < width; w++)
        h[w] = start[w] + (classes ? classes[label * width + w] : 0);
    for (int r = 0, t = 1; r < c->rows; r++)
        for (int i = 0; i < c->columns; i++)
            for (int k = 0; k < c->channels; k++, t++)
                for (int w = 0; w < width && t < N; w++)
                    h[t * width + w] = table[x[t - 1] * width + w] + row[r * width + w] + column[i * width + w] +
                                       (channel ? channel[k * width + w] : 0);
    free(start);
    free(table);
    free(row);
    free(column);
    free(channel);
    free(classes);
    return h;
}

static double *attend(const struct ssa_pixels *c, const double *qkv, const struct ssa_plan *plan)
{
    const int e = c->width / c->heads, d = c->key_width ? c->key_width : e;
    const int widths[] = {d * c->heads, d * c->heads, c->width};
    double *parts[3], *out = malloc(N * (size_t)c->width * sizeof *out), lse[N * 4];
    for (int i = 0, at = 0; i < 3; at += widths[i++]) {
        parts[i] = malloc(N * (size_t)widths[i] * sizeof **parts);
        for (int t = 0; t < N; t++)
            memcpy(parts[i] + t * widths[i], qkv + t * (2 * widths[0] + c->width) + at,
                   (size_t)widths[i] * sizeof **parts);
    }
    oracle_attention_fwd(&(struct oracle_attention){.q = parts[0], .k = parts[1], .v = parts[2], .out = out, .lse = lse,
        .plan = plan, .batch = 1, .keys = N, .heads = c->heads, .kv_heads = c->heads, .width = d, .value_width = e,
        .causal = 1});
    for (int i = 0; i < 3; i++)
        free(parts[i]);
    return out;
}

/* The layer's new stream; the old one is free()d. */
static double *layer_of(const struct ssa_model *m, int l, double *h, const struct ssa_plan *plan)
{
    const struct ssa_pixels *c = &m->config.pixels;
    const int keys = c->key_width ? c->key_width * c->heads : c->width, hidden = c->hidden ? c->hidden : 4 * c->width;
    const int activation = c->activation ? c->activation : SSA_ACT_QUICK_GELU;
    double *n1 = norm(m, l, "norm1", h, 1e-5), *qkv = linear(m, l, "qkv", n1, NULL, c->width, 2 * keys + c->width, 0);
    double *a = attend(c, qkv, plan), *h1 = linear(m, l, "proj", a, h, c->width, c->width, 0);
    double *n2 = norm(m, l, "norm2", h1, 1e-5), *up = linear(m, l, "up", n2, NULL, c->width, hidden, activation);
    double *h2 = linear(m, l, "down", up, h1, hidden, c->width, 0), *done[] = {h, n1, qkv, a, h1, n2, up};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++)
        free(done[i]);
    return h2;
}

/* Of one image; plans of its layers. */
static double *reference(const struct ssa_model *m, const int32_t *x, int label, const struct ssa_plan *const *plans)
{
    struct ssa_plan dense = {0};
    double *h = embed(m, x, label);
    OK(ssa_plan_draw(&dense, &(struct ssa_sample){.length = N}));
    for (int l = 0; l < m->config.pixels.layers; l++)
        h = layer_of(m, l, h, plans ? plans[l] : &dense);
    double *n = norm(m, -1, "norm", h, 1e-6);
    double *logits = linear(m, -1, "head", n, NULL, m->config.pixels.width, VALUES, 0);
    ssa_plan_finish(&dense);
    free(h);
    free(n);
    return logits;
}

static void check_reference(struct ssa_model *m, const struct ssa_plan *const *plans, const char *what)
{
    const struct images s = make_images(1);
    struct ssa_pass pass = pass_of(&s, m);
    char message[512];
    pass.plans = plans;
    float *got = logits_of(m, &pass);
    for (int b = 0; b < BATCH; b++) {
        double *want = reference(m, s.x + b * N, s.labels[b], plans);
        ck_assert_msg(test_close_to("logits", got + b * N * VALUES, want, N * VALUES, 1e-5, 1e-5, message,
                                    sizeof message), "%s, image %d, %s: %s", what, b, m->device->info.id, message);
        free(want);
    }
    free(got);
}

/* As it begins, but for the head: where the stream is small, so that eps counts. */
static void begin_anew(struct ssa_model *m)
{
    const struct ssa_parameter *head = ssa_model_find(m, "head.weight");
    OK(ssa_model_initialise(m, 3));
    float *w = test_values(head->count, 5, -1, 1);
    OK(ssa_tensor_write(head->value, w, head->count));
    free(w);
}

START_TEST(matches_double_precision)
{
    const struct ssa_model_config configs[] = {small, with_classes(), grey()};
    FOR_DEVICES (dev)
        for (int i = 0; i < 3; i++) {
            struct ssa_model *m = make(dev, &configs[i], i % 2);
            check_reference(m, NULL, "dense");
            begin_anew(m);
            check_reference(m, NULL, "a new model");
            ssa_model_destroy(m);
        }
}
END_TEST

/* Look-back, local, causal, with own key, another draw a layer; and few keys that all see. */
START_TEST(sampled)
{
    static const int first = 0;
    static const struct ssa_sample how[] = {
        {.kind = SSA_LOCAL, .length = N, .keys = N / 3, .look_back = 1, .sigma = 0.7f, .own_key = 1, .seed = 4},
        {.kind = SSA_UNBIASED, .length = N, .keys = N / 4, .keep = &first, .keep_count = 1, .seed = 4}};
    FOR_DEVICES (dev)
        for (int i = 0; i < 2; i++) {
            struct ssa_plan plans[2] = {{0}};
            const struct ssa_plan *const views[] = {&plans[0], &plans[1]};
            struct ssa_model *m = make(dev, &small, 0);
            for (int l = 0; l < 2; l++) {
                struct ssa_sample layer = how[i];
                layer.layer = (uint32_t)l;
                OK(ssa_plan_draw(&plans[l], &layer));
            }
            check_reference(m, views, i ? "unbiased" : "local");
            ssa_model_destroy(m);
            for (int l = 0; l < 2; l++)
                ssa_plan_finish(&plans[l]);
        }
}
END_TEST

/* The pattern of the paper's image model: at full size it can be drawn. */
START_TEST(patterns)
{
    const struct ssa_pattern pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1, .sigma = 0.5f};
    struct ssa_sample how;
    struct ssa_plan plan = {0};
    int keys[3073];
    OK(ssa_pattern_sample(&pattern, 5, 128, 3072, 1, &how));
    OK(ssa_plan_draw(&plan, &how));
    ck_assert_int_eq(how.keys, 768);
    for (int query = 0; query < 3072; query += 311) {
        const int n = oracle_attention_keys(&plan, 0, query, 1, keys);
        bool own = false;
        for (int i = 0; i < n; i++)
            own = own || keys[i] == query;
        ck_assert(own);
    }
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- what sees what ---- */

static int first_difference(const float *a, const float *b)
{
    int t = 0;
    while (t < N && !memcmp(a + t * VALUES, b + t * VALUES, VALUES * sizeof *a))
        t++;
    return t;
}

/* Changing x_t changes no logit at positions up to t, and those of the next one. */
START_TEST(nothing_ahead)
{
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &small, 0);
        struct images s = make_images(1);
        const struct ssa_pass pass = pass_of(&s, m);
        float *before = logits_of(m, &pass);
        const int step = test_fits((size_t)N * N * 100) ? 1 : 7;
        for (int t = 0; t < N; t += step) {
            const int32_t was = s.x[t];
            s.x[t] = (was + 1) % VALUES;
            float *after = logits_of(m, &pass);
            ck_assert_int_eq(first_difference(before, after), t + 1);
            s.x[t] = was;
            free(after);
        }
        free(before);
        ssa_model_destroy(m);
    }
}
END_TEST

static void change_entry(struct ssa_model *m, const char *name, int entry)
{
    const size_t width = (size_t)m->config.pixels.width;
    float *x = test_values(width, 77, -1, 1);
    OK(ssa_tensor_write(ssa_tensor_add(ssa_model_find(m, name)->value, (size_t)entry * width), x, width));
    free(x);
}

static void swap_entries(struct ssa_model *m, const char *name, int a, int b)
{
    const struct ssa_parameter *p = ssa_model_find(m, name);
    const size_t width = (size_t)m->config.pixels.width;
    float *x = test_read(p->value, p->count), kept[64];
    memcpy(kept, x + (size_t)a * width, width * sizeof *x);
    memcpy(x + (size_t)a * width, x + (size_t)b * width, width * sizeof *x);
    memcpy(x + (size_t)b * width, kept, width * sizeof *x);
    OK(ssa_tensor_write(p->value, x, p->count));
    free(x);
}

/* An entry counts from the position that reads its first element, which is one behind it. */
START_TEST(positions_are_of_what_is_read)
{
    static const struct {
        const char *name;
        int entry, element;
    } cases[] = {{"row.weight", 0, 0}, {"row.weight", 2, 2 * COLUMNS * CHANNELS}, {"column.weight", 3, 3 * CHANNELS},
                 {"channel.weight", 2, 2}};
    const struct images s = make_images(1);
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ssa_model *m = make(dev, &small, 0);
            const struct ssa_pass pass = pass_of(&s, m);
            float *before = logits_of(m, &pass);
            change_entry(m, cases[i].name, cases[i].entry);
            float *after = logits_of(m, &pass);
            ck_assert_msg(first_difference(before, after) == cases[i].element + 1, "%s[%d]: from position %d",
                          cases[i].name, cases[i].entry, first_difference(before, after));
            free(before);
            free(after);
            ssa_model_destroy(m);
        }
}
END_TEST

/* With one layer, what comes later sees a set of (value, position): two values and their positions swapped are the same
 * set. */
START_TEST(swapped)
{
    enum { A = 4, B = 21 };
    const struct ssa_model_config c = {.family = SSA_PIXELS, .pixels = {.rows = 1, .columns = N, .channels = 1,
        .values = VALUES, .layers = 1, .heads = 2, .key_width = 4, .width = 24}};
    struct images s = make_images(1);
    s.x[A] = 3;
    s.x[B] = 7;
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 0);
        const struct ssa_pass pass = pass_of(&s, m);
        float *before = logits_of(m, &pass);
        s.x[A] = 7;
        s.x[B] = 3;
        float *other = logits_of(m, &pass);
        swap_entries(m, "column.weight", A, B);
        float *after = logits_of(m, &pass);
        double most = 0;
        for (int i = (B + 2) * VALUES; i < N * VALUES; i++) {
            ck_assert_float_eq_tol(before[i], after[i], 1e-5f);
            most = fmax(most, fabs((double)before[i] - (double)other[i]));
        }
        ck_assert_double_gt(most, 1e-3); /* values alone make a difference */
        s.x[A] = 3;
        s.x[B] = 7;
        free(before);
        free(other);
        free(after);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- generation ---- */

/* All that follows a prompt, from a cache: the logits of a pass. */
static void check_generation(struct ssa_device *dev, const struct ssa_model_config *c, int prompt)
{
    struct ssa_model *m = make(dev, c, 0);
    struct drawn d = {.model = m, .vocabulary = VALUES};
    struct images s = make_images(6);
    const int label = c->pixels.classes ? s.labels[0] : 0;
    OK(ssa_generate(m, prompt ? s.x : NULL, (size_t)prompt, (size_t)(N - prompt), s.x + prompt,
                    &(struct ssa_generate){.seed = 2, .token = drawn_keep, .cookie = &d, .label = label}));
    ck_assert_int_eq(d.count, N - prompt);
    const struct ssa_pass pass = pass_of(&s, m);
    OK(ssa_model_forward(m, &pass));
    for (int t = prompt; t < N; t++)
        drawn_from_pass(&d, t - prompt, m, t, "after a prompt of %d, %s", prompt, dev->info.id);
    ssa_model_destroy(m);
}

START_TEST(generates_as_a_pass)
{
    const struct ssa_model_config classes = with_classes();
    FOR_DEVICES (dev) {
        check_generation(dev, &small, 0);
        check_generation(dev, &classes, 13);
        if (!strcmp(dev->info.platform, "rusticl")) /* llvmpipe takes its time */
            continue;
        check_generation(dev, &classes, 0);
        check_generation(dev, &small, 1);
        check_generation(dev, &small, N - 1);
    }
}
END_TEST

START_TEST(generation_ends_with_the_image)
{
    const struct ssa_model_config classes = with_classes();
    struct ssa_device *dev;
    int32_t x[2 * N] = {0};
    OK(ssa_device_open(&dev, "cpu"));
    struct ssa_model *m = make(dev, &small, 0), *of_classes = make(dev, &classes, 0);
    FAILS(ssa_generate(m, x, 3, N - 2, x + 3, &(struct ssa_generate){0}), SSA_EINVAL,
          "generate: a prompt of 3 and 34 more, a sequence of this model has 36");
    FAILS(ssa_generate(m, x, N + 1, 0, x, &(struct ssa_generate){0}), SSA_EINVAL,
          "generate: a prompt of 37 and 0 more");
    FAILS(ssa_generate(m, NULL, 1, 2, x, &(struct ssa_generate){0}), SSA_EINVAL, "generate: the prompt is NULL");
    FAILS(ssa_generate(m, NULL, 0, 2, x, &(struct ssa_generate){.label = 1}), SSA_EINVAL,
          "generate: label is 1, the model has 0 classes");
    FAILS(ssa_generate(of_classes, NULL, 0, 2, x, &(struct ssa_generate){.label = CLASSES}), SSA_EINVAL,
          "generate: label is 5, the model has 5 classes");
    x[0] = VALUES;
    FAILS(ssa_generate(m, x, 1, 2, x + 1, &(struct ssa_generate){0}), SSA_EINVAL, "model: token 0 is 11");
    ssa_model_destroy(m);
    ssa_model_destroy(of_classes);
    ssa_device_close(dev);
}
END_TEST

/* ---- training ---- */

static double mean_loss(struct ssa_model *m, const struct images *s, int accumulate)
{
    struct ssa_pass pass = pass_of(s, m);
    double sum = 0;
    pass.targets = s->x;
    pass.training = 1;
    pass.grad_scale = 1.0f / (BATCH * N);
    pass.accumulate = accumulate;
    OK(ssa_model_forward(m, &pass));
    float *loss = test_read(ssa_model_losses(m), BATCH * N);
    for (int i = 0; i < BATCH * N; i++)
        sum += (double)loss[i];
    free(loss);
    return sum / (BATCH * N);
}

struct moments {
    struct ssa_tensor m[8], v[8];
};

static void step(struct ssa_device *dev, struct ssa_model *m, struct moments *moments, int number)
{
    for (int i = 0; i < ssa_model_part_count(m); i++) {
        const struct ssa_model_part p = ssa_model_part(m, i);
        if (!number) {
            moments->m[i] = test_new(dev, p.count);
            moments->v[i] = test_new(dev, p.count);
            OK(ssa_tensor_fill(moments->m[i], 0, p.count));
            OK(ssa_tensor_fill(moments->v[i], 0, p.count));
        }
        OK(ssa_adamw(dev, &(struct ssa_adamw){.w = p.value, .g = p.grad, .m = moments->m[i], .v = moments->v[i],
            .count = p.count, .lr = 0.01f, .step = number + 1}));
    }
}

/* Two images, learned by heart, of two classes. */
START_TEST(learns)
{
    const struct images s = make_images(8);
    FOR_DEVICES (dev) {
        struct ssa_model_config c = with_classes();
        struct ssa_model *m;
        struct moments moments;
        c.pixels.dropout = 0.05f;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
        ck_assert_double_eq_tol(mean_loss(m, &s, 0), log(VALUES), 1e-6);
        const int steps = test_fits((size_t)1 << 22) ? 60 : 25;
        double loss = 0;
        for (int i = 0; i < steps; i++) {
            loss = mean_loss(m, &s, 0);
            OK(ssa_model_backward(m));
            step(dev, m, &moments, i);
        }
        ck_assert_double_lt(loss, steps == 60 ? 1 : 2);
        for (int i = 0; i < ssa_model_part_count(m); i++) {
            test_free(moments.m[i], ssa_model_part(m, i).count);
            test_free(moments.v[i], ssa_model_part(m, i).count);
        }
        ssa_model_destroy(m);
    }
}
END_TEST

/* The images of a list, of which class is told: training draws any, evaluation all in order. */
static int fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const struct images *s = cookie;
    for (int i = 0; i < draw->count; i++) {
        const size_t image = (size_t)(draw->first + (uint64_t)i + draw->step) % BATCH;
        memcpy(batch->tokens + i * draw->length, s->x + image * N, N * sizeof *s->x);
        memcpy(batch->targets + i * draw->answers, s->x + image * N, N * sizeof *s->x);
        batch->labels[i] = s->labels[image];
    }
    return SSA_OK;
}

START_TEST(trains_from_a_source)
{
    struct images s = make_images(8);
    const struct ssa_data data = {.fill = fill, .cookie = &s, .examples = BATCH};
    const struct ssa_pattern local = {.kind = SSA_LOCAL, .ratio = 1.0f / 3, .look_back = 1};
    const struct ssa_stage stages[] = {{.pattern = local, .steps = 30, .lr = 0.01f}, {.steps = 30, .lr = 0.01f}};
    const struct ssa_train_config training = {.stages = stages, .stage_count = 2};
    FOR_DEVICES (dev) {
        struct ssa_model_config c = with_classes();
        struct ssa_trainer *t;
        struct ssa_model *m;
        struct ssa_scores before, after;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){0}, &before, NULL, NULL));
        ck_assert_uint_eq(before.tokens, BATCH * N);
        ck_assert_double_eq_tol(before.loss, log(VALUES), 1e-6);
        OK(ssa_trainer_create(&t, m, &training, &data));
        OK(ssa_trainer_run(t, 0, &(struct ssa_trainer_run){0}));
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.pattern = &local, .passes = 4}, &after, NULL, NULL));
        ck_assert_double_lt(after.loss, 0.5 * before.loss);
        ssa_trainer_destroy(t);
        FAILS(ssa_trainer_create(&t, m, &training, &(struct ssa_data){.items = s.x, .count = N * 2, .item_size = 4}),
              SSA_EINVAL, "data: of token ids the next is predicted, of images that begin by themselves none");
        ssa_model_destroy(m);
    }
}
END_TEST

/* Twice added up is twice the gradient; a sequence of one position has none of a grid. */
START_TEST(gradients_add_up)
{
    const struct images s = make_images(8);
    const struct ssa_model_config c = with_classes();
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 1);
        float *once[64];
        mean_loss(m, &s, 0);
        OK(ssa_model_backward(m));
        for (int i = 0; i < ssa_model_tensors(m); i++)
            once[i] = test_read(ssa_model_parameter(m, i)->grad, ssa_model_parameter(m, i)->count);
        mean_loss(m, &s, 1);
        OK(ssa_model_backward(m));
        for (int i = 0; i < ssa_model_tensors(m); i++) {
            const struct ssa_parameter *p = ssa_model_parameter(m, i);
            double *want = test_doubles(once[i], p->count);
            for (size_t e = 0; e < p->count; e++)
                want[e] *= 2;
            test_compare(p->name, p->grad, want, p->count, 1e-6, 1e-5, "twice");
            free(want);
            free(once[i]);
        }
        OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = s.x, .targets = s.x, .labels = s.labels, .batch = BATCH,
                                                   .length = 1, .training = 1}));
        OK(ssa_model_backward(m));
        for (int i = 0; i < 4; i++) {
            static const char *const names[] = {"embed.weight", "row.weight", "column.weight", "channel.weight"};
            const struct ssa_parameter *p = ssa_model_find(m, names[i]);
            double *zero = calloc(p->count, sizeof *zero);
            test_compare(p->name, p->grad, zero, p->count, 0, 0, "one position");
            free(zero);
        }
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- memory, files, arguments ---- */

START_TEST(memory_is_as_foreseen)
{
    const struct ssa_model_config configs[] = {small, with_classes(), grey()};
    const struct images s = make_images(8);
    FOR_DEVICES (dev)
        for (int i = 0; i < 6; i++) {
            const struct ssa_model_config *c = &configs[i / 2];
            const struct ssa_model_limits limits = {.batch = BATCH, .training = i % 2};
            const size_t before = test_held(dev);
            struct ssa_memory memory;
            struct ssa_model *m;
            OK(ssa_model_memory(c, &limits, &memory));
            OK(ssa_model_create(&m, dev, c, &limits));
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            if (limits.training) {
                mean_loss(m, &s, 0);
                OK(ssa_model_backward(m));
            }
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            OK(ssa_generate(m, NULL, 0, 2, NULL, &(struct ssa_generate){0}));
            ck_assert_uint_eq(test_held(dev) - before, memory.total + memory.cache);
            ssa_model_destroy(m);
            ck_assert_uint_eq(test_held(dev), before);
        }
}
END_TEST

START_TEST(saved_and_loaded)
{
    const struct ssa_model_config c = with_classes();
    const struct images s = make_images(8);
    char path[SAVED_PATH];
    saved_path(path, "pixels");
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 0);
        struct ssa_checkpoint *file;
        const struct ssa_pass pass = pass_of(&s, m);
        struct ssa_model *again = saved_again(m, path, &file);
        const struct ssa_model_config *theirs = ssa_checkpoint_model(file);
        ck_assert_int_eq(theirs->pixels.key_width, 4);
        ck_assert_int_eq(theirs->pixels.classes, CLASSES);
        float *want = logits_of(m, &pass), *got = logits_of(again, &pass);
        ck_assert_mem_eq(want, got, BATCH * N * VALUES * sizeof *got);
        saved_refuses(file, dev, &small, "it is of another model: classes is 5, this model's is 0");
        free(want);
        free(got);
        ssa_checkpoint_close(file);
        ssa_model_destroy(m);
        ssa_model_destroy(again);
        unlink(path);
    }
}
END_TEST

#define BAD(field, value_, words) \
    do { \
        struct ssa_model_config bad_ = small; \
        bad_.pixels.field = (value_); \
        FAILS(ssa_model_check(&bad_), SSA_EINVAL, words); \
    } while (0)

START_TEST(bad_arguments)
{
    const struct ssa_model_config classes = with_classes();
    struct images s = make_images(8);
    struct ssa_device *dev;
    OK(ssa_device_open(&dev, "cpu"));
    struct ssa_model *m = make(dev, &small, 0), *of_classes = make(dev, &classes, 0);
    struct ssa_pass pass = pass_of(&s, of_classes);
    BAD(rows, 0, "model: rows is 0");
    BAD(columns, 1 << 20, "model: an image of 3 x 1048576 x 3 elements");
    BAD(heads, 5, "model: width 24 does not divide by heads 5");
    BAD(heads, 4, "model: heads of width 6 (24/4); must be a multiple of 4");
    BAD(key_width, 6, "model: key_width is 6, must be a multiple of 4");
    BAD(dropout, 1, "model: dropout is 1");
    BAD(drop_keys, 1, "model: drop_keys is 1");
    BAD(activation, SSA_ACT_QUICK_GELU + 1, "model: activation is 5");
    FAILS(ssa_model_forward(m, &pass), SSA_EINVAL, "model: this kind of model takes no labels");
    s.labels[1] = CLASSES;
    FAILS(ssa_model_forward(of_classes, &pass), SSA_EINVAL, "model: label 1 is 5");
    pass.labels = NULL;
    FAILS(ssa_model_forward(of_classes, &pass), SSA_EINVAL, "model: labels is NULL");
    s.x[N - 1] = VALUES; /* is not read */
    OK(ssa_model_forward(m, &pass));
    s.x[N - 2] = VALUES;
    FAILS(ssa_model_forward(m, &pass), SSA_EINVAL, "model: token 34 is 11");
    ssa_model_destroy(m);
    ssa_model_destroy(of_classes);
    ssa_device_close(dev);
}
END_TEST

int main(void)
{
    return test_run("pixels", (const TTest *const[]){parameters, eight_bits, deviations, matches_double_precision,
        sampled, patterns, nothing_ahead, positions_are_of_what_is_read, swapped, generates_as_a_pass,
        generation_ends_with_the_image, learns, trains_from_a_source, gradients_add_up, memory_is_as_foreseen, saved_and_loaded,
        bad_arguments, NULL});
}

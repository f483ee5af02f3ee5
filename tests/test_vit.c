/* The ViT: sizes as published, its forward pass against one in double precision, sampling with the class token kept,
 * soft targets, whatever is dropped, learning, files, memory, bad input. */
#include "differences.h"
#include "exact.h"
#include "golden.h"
#include "saved.h"

#include "ssacl/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Six patches of 2 x 2 pixels of two channels. */
enum { BATCH = 4, ROWS = 4, COLUMNS = 6, CHANNELS = 2, PATCH = 2, PATCHES = 6, EACH = CHANNELS * PATCH * PATCH,
       IMAGE = ROWS * COLUMNS * CHANNELS, HEADS = 2, WIDTH = 16, HIDDEN = 20, CLASSES = 5, LAYERS = 2,
       MOST = PATCHES + 1 };

static struct ssa_model_config small(int mean_pool)
{
    return (struct ssa_model_config){.family = SSA_VIT, .vit = {.rows = ROWS, .columns = COLUMNS, .channels = CHANNELS,
        .patch = PATCH, .layers = LAYERS, .heads = HEADS, .width = WIDTH, .hidden = HIDDEN, .classes = CLASSES,
        .mean_pool = mean_pool}};
}

/* ---- parameters ---- */

START_TEST(sizes)
{
    const struct ssa_model_config deit = {.family = SSA_VIT, .vit = {.rows = 224, .channels = 3, .patch = 16,
        .layers = 12, .heads = 3, .width = 192, .classes = 1000}};
    struct ssa_model_config c = {.family = SSA_VIT, .vit = {.rows = 28, .channels = 1, .patch = 4, .layers = 4,
        .heads = 6, .width = 96, .classes = 10, .mean_pool = 1}};
    ck_assert_uint_eq(ssa_model_elements(&deit), 5717416);
    ck_assert_uint_eq(ssa_model_elements(&c), 454858);
    c.vit.patch = 2;
    ck_assert_uint_eq(ssa_model_elements(&c), 467818);
    c.vit.patch = 4;
    c.vit.mean_pool = 0;
    ck_assert_uint_eq(ssa_model_elements(&c), 454858 + 2 * 96); /* a class token, and its position */
    c.vit = (struct ssa_vit){.rows = 8, .columns = 8, .channels = 1, .patch = 1, .layers = 3, .heads = 3, .width = 48,
                             .classes = 10, .mean_pool = 1};
    ck_assert_uint_eq(ssa_model_elements(&c), 88570);
}
END_TEST

/* Least, largest and mean square of what a parameter starts as. */
struct spread {
    double least, most, deviation;
};
static struct spread spread_of(const struct ssa_model *m, const char *name)
{
    const struct ssa_parameter *p = ssa_model_find(m, name);
    ck_assert_msg(p != NULL, "no %s", name);
    float *x = test_read(p->value, p->count);
    struct spread s = {(double)x[0], (double)x[0], 0};
    for (size_t i = 0; i < p->count; i++) {
        s.least = fmin(s.least, (double)x[i]);
        s.most = fmax(s.most, (double)x[i]);
        s.deviation += (double)x[i] * (double)x[i] / (double)p->count;
    }
    s.deviation = sqrt(s.deviation);
    free(x);
    return s;
}

START_TEST(starts_as_deit)
{
    const struct ssa_model_config c = {.family = SSA_VIT, .vit = {.rows = 32, .channels = 3, .patch = 4, .layers = 2,
        .heads = 3, .width = 96, .classes = 50}};
    static const char *const normal[] = {"class.weight", "position.weight", "layer.1.qkv.weight", "layer.0.proj.weight",
                                         "layer.1.down.weight", "head.weight"};
    const double bound = 1 / sqrt(48);
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        for (size_t i = 0; i < sizeof normal / sizeof *normal; i++)
            ck_assert_double_eq_tol(spread_of(m, normal[i]).deviation, 0.02, i ? 0.001 : 0.006);
        const struct spread w = spread_of(m, "patch.weight"), b = spread_of(m, "patch.bias");
        ck_assert(w.least >= -bound && w.most <= bound && w.least < -0.99 * bound && w.most > 0.99 * bound);
        ck_assert(b.least >= -bound && b.most <= bound && b.most - b.least > bound);
        ck_assert_double_eq_tol(w.deviation, bound / sqrt(3), 0.02 * bound);
        ck_assert(spread_of(m, "head.bias").deviation == 0 && spread_of(m, "norm.gain").least == 1);
        ck_assert(!ssa_model_find(m, "position.weight")->decayed && !ssa_model_find(m, "class.weight")->decayed);
        ck_assert(ssa_model_find(m, "patch.weight")->decayed && ssa_model_find(m, "head.weight")->decayed);
        ck_assert_int_eq(ssa_model_find(m, "position.weight")->rows, 65);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- a fixture ---- */

struct fixture {
    struct ssa_model *model;
    struct ssa_plan plan;
    const struct ssa_plan *plans[LAYERS];
    float pixels[BATCH * IMAGE], soft[BATCH * CLASSES];
    int32_t targets[BATCH];
    struct ssa_pass pass;
};

/* Sampled: half of the other positions for each image, in number or in the mean, and the first one always. */
enum sampled { DENSE, SAMPLED, SOURCES };
static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct ssa_model_config *c, enum sampled sampled)
{
    static const int first = 0;
    *f = (struct fixture){.model = NULL};
    OK(ssa_model_create(&f->model, dev, c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    golden_parameters(f->model, 0.3);
    for (int i = 0; i < BATCH * IMAGE; i++)
        f->pixels[i] = (float)golden_value(1000, (uint32_t)i);
    for (int b = 0; b < BATCH; b++)
        f->targets[b] = (3 * b + 1) % CLASSES;
    f->pass = (struct ssa_pass){.pixels = f->pixels, .seed = 3, .step = 5};
    if (sampled == DENSE)
        return;
    OK(ssa_plan_draw(&f->plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = PATCHES + !c->vit.mean_pool,
        .keys = 3, .keep = &first, .keep_count = 1, .batch = BATCH, .per_example = 1, .seed = 9,
        .independent = sampled == SOURCES}));
    for (int l = 0; l < LAYERS; l++)
        f->plans[l] = &f->plan;
    f->pass.plans = f->plans;
}

static void close_fixture(struct fixture *f)
{
    ssa_model_destroy(f->model);
    ssa_plan_finish(&f->plan);
}

static void train_on_targets(struct fixture *f)
{
    f->pass.targets = f->targets;
    f->pass.training = 1;
}

/* ---- in double precision ---- */

static const double eps = 1e-6;

/* One query of one head over `count` keys. */
static void attend(const double *qkv, int query, const int32_t *keys, int count, int head, double *out)
{
    enum { D = WIDTH / HEADS };
    double weights[MOST], sum = 0;
    for (int k = 0; k < count; k++) {
        double dot = 0;
        for (int d = 0; d < D; d++)
            dot += qkv[query * 3 * WIDTH + head * D + d] * qkv[keys[k] * 3 * WIDTH + WIDTH + head * D + d];
        sum += weights[k] = exp(dot / sqrt(D));
    }
    for (int d = 0; d < D; d++) {
        out[query * WIDTH + head * D + d] = 0;
        for (int k = 0; k < count; k++)
            out[query * WIDTH + head * D + d] +=
                weights[k] / sum * qkv[keys[k] * 3 * WIDTH + 2 * WIDTH + head * D + d];
    }
}

static void apply_attention(const struct fixture *f, int example, int length, const double *qkv, double *out)
{
    int32_t keys[MOST + 1];
    for (int n = 0; n < length; n++) {
        int count = length;
        for (int k = 0; k < length; k++)
            keys[k] = k;
        if (f->pass.plans)
            count = ssa_plan_keys(&f->plan, example, n, keys);
        for (int h = 0; h < HEADS; h++)
            attend(qkv, n, keys, count, h, out);
    }
}

static void apply_layer(const struct fixture *f, int example, int layer, int length, double *x)
{
    double y[MOST * WIDTH], qkv[MOST * 3 * WIDTH], att[MOST * WIDTH];
    exact_norm(f->model, layer, "norm1", length, WIDTH, eps, x, y);
    exact_linear(f->model, layer, "qkv", length, WIDTH, 3 * WIDTH, y, qkv);
    apply_attention(f, example, length, qkv, att);
    exact_linear(f->model, layer, "proj", length, WIDTH, WIDTH, att, y);
    for (int i = 0; i < length * WIDTH; i++)
        x[i] += y[i];
    exact_mlp(f->model, layer, length, WIDTH, HIDDEN, eps, x);
}

static void embed(const struct fixture *f, int example, int lead, double *x)
{
    double patches[PATCHES * EACH], *position = exact_value(f->model, -1, "position.weight");
    const float *pixels = f->pixels + example * IMAGE;
    for (int n = 0; n < PATCHES; n++)
        for (int e = 0; e < EACH; e++) {
            const int channel = e / (PATCH * PATCH), row = n / (COLUMNS / PATCH) * PATCH + e / PATCH % PATCH;
            const int column = n % (COLUMNS / PATCH) * PATCH + e % PATCH;
            patches[n * EACH + e] = (double)pixels[(row * COLUMNS + column) * CHANNELS + channel];
        }
    exact_linear(f->model, -1, "patch", PATCHES, EACH, WIDTH, patches, x + lead * WIDTH);
    if (lead) {
        double *token = exact_value(f->model, -1, "class.weight");
        memcpy(x, token, WIDTH * sizeof *x);
        free(token);
    }
    for (int i = 0; i < (PATCHES + lead) * WIDTH; i++)
        x[i] += position[i];
    free(position);
}

static void logits_of(const struct fixture *f, int example, int mean_pool, double *logits)
{
    const int length = PATCHES + !mean_pool;
    double x[MOST * WIDTH], y[MOST * WIDTH];
    embed(f, example, !mean_pool, x);
    for (int l = 0; l < LAYERS; l++)
        apply_layer(f, example, l, length, x);
    exact_norm(f->model, -1, "norm", length, WIDTH, eps, x, y);
    if (mean_pool)
        exact_mean(length, WIDTH, y, x);
    exact_linear(f->model, -1, "head", 1, WIDTH, CLASSES, mean_pool ? x : y, logits);
}

static void check_forward(struct ssa_device *dev, int mean_pool, enum sampled sampled)
{
    const struct ssa_model_config c = small(mean_pool);
    struct fixture f;
    double want[BATCH][CLASSES], losses[BATCH];
    char message[512];
    open_fixture(&f, dev, &c, sampled);
    OK(ssa_model_forward(f.model, &f.pass));
    for (int b = 0; b < BATCH; b++) {
        float got[CLASSES];
        logits_of(&f, b, mean_pool, want[b]);
        losses[b] = b == 2 ? 0 : exact_loss(want[b], CLASSES, f.targets[b]);
        OK(ssa_model_read_logits(f.model, b, 0, got));
        ck_assert_msg(test_close_to("logits", got, want[b], CLASSES, 1e-5, 1e-5, message, sizeof message),
                      "mean %d, sampled %d, image %d: %s", mean_pool, sampled, b, message);
    }
    f.targets[2] = -1;
    train_on_targets(&f);
    OK(ssa_model_forward(f.model, &f.pass));
    test_compare("losses", ssa_model_losses(f.model), losses, BATCH, 1e-5, 1e-5, "mean %d, sampled %d", mean_pool,
                 sampled);
    close_fixture(&f);
}

START_TEST(forward_in_double_precision)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 6; i++)
            check_forward(dev, i & 1, (enum sampled)(i >> 1));
}
END_TEST

/* ---- finite differences of the whole ---- */

/* Attention drops probabilities, or with mean_pool keys. */
static struct ssa_model_config dropping(int mean_pool)
{
    struct ssa_model_config c = small(mean_pool);
    c.vit.dropout = 0.1f;
    *(mean_pool ? &c.vit.drop_keys : &c.vit.attention_dropout) = 0.2f;
    c.vit.drop_path = 0.4f;
    return c;
}

START_TEST(finite_differences)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 4; i++) {
            const struct ssa_model_config c = dropping(i & 1);
            struct fixture f;
            open_fixture(&f, dev, &c, i & 2 ? SOURCES : SAMPLED);
            train_on_targets(&f);
            check_differences(&(struct differences){f.model, &f.pass, BATCH, .absolute = 1e-3});
            close_fixture(&f);
        }
}
END_TEST

/* ---- soft targets ---- */

/* Those with all weight on one class are that class; an ignored image has none. */
START_TEST(soft_as_hard)
{
    const struct ssa_model_config c = small(0);
    FOR_DEVICES (dev) {
        struct fixture hard, soft;
        open_fixture(&hard, dev, &c, true);
        open_fixture(&soft, dev, &c, true);
        hard.targets[1] = -1;
        train_on_targets(&hard);
        for (int b = 0; b < BATCH; b++)
            if (b != 1)
                soft.soft[b * CLASSES + soft.targets[b]] = 1;
        soft.pass.soft_targets = soft.soft;
        soft.pass.training = 1;
        OK(ssa_model_forward(hard.model, &hard.pass));
        OK(ssa_model_forward(soft.model, &soft.pass));
        float *losses = test_read(ssa_model_losses(hard.model), BATCH);
        double *want = test_doubles(losses, BATCH);
        test_compare("losses", ssa_model_losses(soft.model), want, BATCH, 1e-6, 1e-6, "soft");
        ck_assert(losses[1] == 0 && losses[0] > 0);
        free(losses);
        free(want);
        OK(ssa_model_backward(hard.model));
        OK(ssa_model_backward(soft.model));
        for (int i = 0; i < ssa_model_tensors(hard.model); i++) {
            const struct ssa_parameter *p = ssa_model_parameter(hard.model, i);
            float *g = test_read(p->grad, p->count);
            double *d = test_doubles(g, p->count);
            test_compare(p->name, ssa_model_parameter(soft.model, i)->grad, d, p->count, 1e-6, 1e-5, "soft");
            free(g);
            free(d);
        }
        close_fixture(&hard);
        close_fixture(&soft);
    }
}
END_TEST

/* ---- what is dropped ---- */

/* Losses of a batch, and of its halves as micro-batches: what is dropped goes by the number of the image. */
static void check_parts(struct ssa_device *dev, const struct ssa_model_config *c)
{
    struct fixture f;
    open_fixture(&f, dev, c, false);
    train_on_targets(&f);
    OK(ssa_model_forward(f.model, &f.pass));
    float *whole = test_read(ssa_model_losses(f.model), BATCH);
    for (int half = 0; half < 2; half++) {
        f.pass.batch = BATCH / 2;
        f.pass.pixels = f.pixels + half * BATCH / 2 * IMAGE;
        f.pass.targets = f.targets + half * BATCH / 2;
        f.pass.first_example = (uint32_t)(half * BATCH / 2);
        OK(ssa_model_forward(f.model, &f.pass));
        float *part = test_read(ssa_model_losses(f.model), BATCH / 2);
        for (int b = 0; b < BATCH / 2; b++)
            ck_assert_msg(fabsf(part[b] - whole[half * BATCH / 2 + b]) <= 2e-6f, "image %d of half %d: %g, in the "
                          "whole %g", b, half, (double)part[b], (double)whole[half * BATCH / 2 + b]);
        free(part);
    }
    free(whole);
    close_fixture(&f);
}

/* With one layer more than drops, and that one's branches nearly always dropped: the image is what it was before it. */
static void check_path(struct ssa_device *dev)
{
    struct ssa_model_config c = small(1), one = c;
    struct fixture f, g;
    c.vit.drop_path = 0.9999f;
    one.vit.layers = 1;
    open_fixture(&f, dev, &c, false);
    open_fixture(&g, dev, &one, false);
    for (int i = 0; i < ssa_model_tensors(g.model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(g.model, i);
        float *x = test_read(p->value, p->count);
        OK(ssa_tensor_write(ssa_model_find(f.model, p->name)->value, x, p->count));
        free(x);
    }
    train_on_targets(&f);
    train_on_targets(&g);
    OK(ssa_model_forward(f.model, &f.pass));
    OK(ssa_model_forward(g.model, &g.pass));
    test_same_bits("losses", ssa_model_losses(f.model), ssa_model_losses(g.model), BATCH);
    f.pass.training = 0; /* which drops nothing */
    OK(ssa_model_forward(f.model, &f.pass));
    float *a = test_read(ssa_model_losses(f.model), BATCH), *b = test_read(ssa_model_losses(g.model), BATCH);
    ck_assert(fabsf(a[0] - b[0]) > 1e-3f);
    free(a);
    free(b);
    close_fixture(&f);
    close_fixture(&g);
}

START_TEST(drops)
{
    FOR_DEVICES (dev) {
        const struct ssa_model_config c = dropping(0), none = small(0);
        struct fixture f, g;
        check_parts(dev, &c);
        check_path(dev);
        open_fixture(&f, dev, &c, false);
        open_fixture(&g, dev, &none, false);
        f.pass.targets = g.pass.targets = f.targets;
        OK(ssa_model_forward(f.model, &f.pass));
        OK(ssa_model_forward(g.model, &g.pass));
        test_same_bits("losses of evaluation", ssa_model_losses(f.model), ssa_model_losses(g.model), BATCH);
        close_fixture(&f);
        close_fixture(&g);
    }
}
END_TEST

/* ---- sampling ---- */

/* Of 50 positions every query of an image sees the class token, and 12 others that are drawn evenly. */
START_TEST(keeps_the_class_token)
{
    enum { N = 50, K = 12, EXAMPLES = 16, STeps = 250 };
    const struct ssa_pattern pattern = {.kind = SSA_UNBIASED, .ratio = 0.24f, .keep_first = 1, .per_example = 1,
                                        .own_key = SSA_NONE};
    int seen[N] = {0}, alike = 0;
    struct ssa_plan plan = {0};
    struct ssa_sample how;
    OK(ssa_pattern_sample(&pattern, 1, 4, N, EXAMPLES, &how));
    ck_assert_int_eq(how.keys, K);
    for (int step = 0; step < STeps; step++) {
        int32_t keys[N + 1], before[N + 1] = {0}, other[N + 1];
        how.step = (uint64_t)step;
        OK(ssa_plan_draw(&plan, &how));
        for (int e = 0; e < EXAMPLES; e++) {
            ck_assert_int_eq(ssa_plan_keys(&plan, e, 7, keys), K + 1);
            ck_assert_int_eq(ssa_plan_keys(&plan, e, 49, other), K + 1);
            ck_assert(!memcmp(keys, other, (K + 1) * sizeof *keys) && keys[0] == 0 && keys[1] > 0);
            alike += !memcmp(keys, before, (K + 1) * sizeof *keys);
            memcpy(before, keys, sizeof before);
            for (int k = 0; k <= K; k++)
                seen[keys[k]]++;
        }
    }
    const double draws = EXAMPLES * STeps, p = K / (N - 1.0);
    ck_assert_int_eq(alike, 0);
    ck_assert_int_eq(seen[0], (int)draws);
    for (int n = 1; n < N; n++)
        ck_assert_double_eq_tol(seen[n], draws * p, 5 * sqrt(draws * p * (1 - p)));
    ssa_plan_finish(&plan);
}
END_TEST

/* ---- learning ---- */

enum { SIDE = 8, IMAGES = 32, KINDS = 4 };

/* Noise with a bright quarter, whose number is the class. */
static void make_images(float *pixels, int32_t *classes)
{
    for (int b = 0; b < IMAGES; b++) {
        classes[b] = b % KINDS;
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int quarter = i / SIDE / (SIDE / 2) * 2 + i % SIDE / (SIDE / 2);
            pixels[b * SIDE * SIDE + i] = (float)(0.4 * golden_value(7, (uint32_t)(b * SIDE * SIDE + i))) +
                                          (quarter == classes[b] ? 0.5f : 0);
        }
    }
}

static double mean_loss(const struct ssa_model *m)
{
    double sum = 0;
    float *losses = test_read(ssa_model_losses(m), IMAGES);
    for (int b = 0; b < IMAGES; b++)
        sum += (double)losses[b] / IMAGES;
    free(losses);
    return sum;
}

static void update(struct ssa_device *dev, const struct ssa_model *m, struct ssa_tensor moments[2][8], int step)
{
    for (int i = 0; i < ssa_model_part_count(m); i++) {
        const struct ssa_model_part part = ssa_model_part(m, i);
        for (int j = 0; j < 2 && step == 1; j++) {
            OK(ssa_buffer_create(&moments[j][i].buffer, dev, part.count * sizeof(float)));
            OK(ssa_tensor_fill(moments[j][i], 0, part.count));
        }
        OK(ssa_adamw(dev, &(struct ssa_adamw){.w = part.value, .g = part.grad, .m = moments[0][i], .v = moments[1][i],
            .count = part.count, .lr = 3e-3f, .step = step}));
    }
}

static void check_learning(struct ssa_device *dev, struct ssa_vit how, bool sampled, int steps,
                           double below)
{
    const struct ssa_model_config c = {.family = SSA_VIT, .vit = how};
    const struct ssa_pattern pattern = {.kind = SSA_UNBIASED, .ratio = how.mean_pool ? 0.5f : 8.0f / 17,
        .keep_first = !how.mean_pool, .per_example = 1, .own_key = SSA_NONE};
    struct ssa_tensor moments[2][8] = {{{0}}};
    float pixels[IMAGES * SIDE * SIDE];
    int32_t classes[IMAGES];
    struct ssa_plan plan = {0};
    const struct ssa_plan *plans[2] = {&plan, &plan};
    struct ssa_model *m;
    double first = 0;
    make_images(pixels, classes);
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = IMAGES, .training = 1}));
    struct ssa_pass pass = {.pixels = pixels, .targets = classes, .training = 1, .grad_scale = 1.0f / IMAGES};
    for (int step = 1; step <= steps; step++) {
        pass.step = (uint64_t)step;
        if (sampled) {
            struct ssa_sample s;
            OK(ssa_pattern_sample(&pattern, 0, 2, 16 + !how.mean_pool, IMAGES, &s));
            s.step = (uint64_t)step;
            OK(ssa_plan_draw(&plan, &s));
            pass.plans = plans;
        }
        OK(ssa_model_forward(m, &pass));
        first = step == 1 ? mean_loss(m) : first;
        OK(ssa_model_backward(m));
        update(dev, m, moments, step);
    }
    pass.training = 0;
    OK(ssa_model_forward(m, &pass));
    ck_assert_double_eq_tol(first, log(KINDS), 0.2);
    ck_assert_msg(mean_loss(m) < below, "loss %g after %g; mean %d, sampled %d", mean_loss(m), first, how.mean_pool,
                  sampled);
    for (int i = 0; i < ssa_model_part_count(m); i++)
        for (int j = 0; j < 2; j++)
            ssa_buffer_destroy(moments[j][i].buffer);
    ssa_plan_finish(&plan);
    ssa_model_destroy(m);
}

START_TEST(learns)
{
    const struct ssa_vit how = {.rows = SIDE, .channels = 1, .patch = 2, .layers = 2, .heads = 2, .width = 16,
                                .classes = KINDS, .mean_pool = 1};
    struct ssa_vit token = how;
    token.mean_pool = 0;
    token.drop_path = 0.05f;
    FOR_DEVICES (dev) {
        if (!test_fits(100000000) || test_launches_slowly(dev))
            continue;
        check_learning(dev, how, true, 30, 1.2);
        if (strcmp(dev->backend->name, "host")) /* elsewhere kernels are built without optimisation */
            continue;
        check_learning(dev, how, false, 100, 0.5);
        check_learning(dev, token, true, 400, 0.5);
    }
}
END_TEST

/* ---- from a source ---- */

/* Half of the images, in the order of the step's examples; targets as classes, or as weights of 1. */
static int fill_images(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const int *soft = cookie;
    float pixels[IMAGES * SIDE * SIDE];
    int32_t classes[IMAGES];
    make_images(pixels, classes);
    ck_assert_int_eq(draw->answers, 1);
    ck_assert(!batch->tokens && !batch->labels);
    ck_assert(*soft ? !batch->targets && batch->soft_targets : batch->targets && !batch->soft_targets);
    for (int i = 0; i < draw->count; i++) {
        const size_t image = (size_t)(draw->step * 3 + draw->first + (uint64_t)i) % IMAGES;
        memcpy(batch->pixels + i * SIDE * SIDE, pixels + image * SIDE * SIDE, SIDE * SIDE * sizeof *pixels);
        for (int k = 0; *soft && k < KINDS; k++)
            batch->soft_targets[i * KINDS + k] = k == classes[image];
        if (!*soft)
            batch->targets[i] = classes[image];
    }
    return SSA_OK;
}

/* Sums of the probabilities of the right classes, of all passes. */
static void sum_right(void *cookie, const struct ssa_answer *a)
{
    double *right = cookie, logits[KINDS];
    ck_assert(a->answers == 1 && a->vocabulary == KINDS && a->example < IMAGES && a->targets[0] >= 0);
    for (int v = 0; v < KINDS; v++)
        logits[v] = (double)a->logits[v];
    double sum = 0;
    for (int v = 0; v < KINDS; v++)
        sum += exp(logits[v]);
    right[a->example] += exp(logits[a->targets[0]]) / sum;
}

static double train_from_source(struct ssa_device *dev, int soft, double *accuracy_loss)
{
    const struct ssa_model_config c = {.family = SSA_VIT, .vit = {.rows = SIDE, .channels = 1, .patch = 2, .layers = 2,
        .heads = 2, .width = 16, .classes = KINDS, .mean_pool = 1}};
    const struct ssa_stage stage = {.steps = 24, .lr = 1e-2f, .pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f,
        .per_example = 1}};
    const struct ssa_train_config training = {.batch = 8, .stages = &stage, .stage_count = 1};
    int hard = 0;
    double right[IMAGES] = {0}, loss_of_answers = 0;
    struct ssa_scores scores;
    struct ssa_trainer *t;
    struct ssa_model *m;
    float loss;
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 4, .training = 1}));
    OK(ssa_trainer_create(&t, m, &training, &(struct ssa_data){.fill = fill_images, .cookie = &soft, .soft = soft,
        .examples = IMAGES}));
    OK(ssa_trainer_run(t, 0, NULL));
    OK(ssa_trainer_losses(t, 1, &loss, NULL));
    OK(ssa_evaluate(m, &(struct ssa_data){.fill = fill_images, .cookie = &hard, .examples = IMAGES},
                    &(struct ssa_evaluate){.pattern = &stage.pattern, .passes = 3, .answer = sum_right, .cookie = right},
                    &scores, NULL, NULL));
    ck_assert_uint_eq(scores.tokens, IMAGES);
    for (int i = 0; i < IMAGES; i++)
        loss_of_answers -= log(right[i] / 3) / IMAGES;
    ck_assert_double_eq_tol(loss_of_answers, scores.loss, 1e-5);
    *accuracy_loss = scores.loss;
    FAILS(ssa_evaluate(m, &(struct ssa_data){.fill = fill_images, .cookie = &hard, .examples = IMAGES, .soft = 1},
                       &(struct ssa_evaluate){0}, &scores, NULL, NULL), SSA_EINVAL, "counted by targets");
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
    return (double)loss;
}

START_TEST(from_a_source)
{
    FOR_DEVICES (dev) {
        double hard, soft, of_hard, of_soft;
        if (!test_fits(100000000) || test_launches_slowly(dev))
            continue;
        hard = train_from_source(dev, 0, &of_hard);
        soft = train_from_source(dev, 1, &of_soft);
        ck_assert_double_eq_tol(hard, soft, 1e-4);
        ck_assert_double_eq_tol(of_hard, of_soft, 1e-4);
        ck_assert_msg(hard < 0.9 * log(KINDS) && of_hard < 0.9 * log(KINDS), "loss %g, of all %g", hard, of_hard);
    }
}
END_TEST

/* ---- files, memory ---- */

START_TEST(saved_and_loaded)
{
    char path[SAVED_PATH];
    saved_path(path, "vit");
    FOR_DEVICES (dev) {
        struct ssa_model_config c = dropping(0), other = c;
        struct ssa_checkpoint *checkpoint;
        struct fixture f;
        open_fixture(&f, dev, &c, false);
        struct ssa_model *loaded = saved_again(f.model, path, &checkpoint);
        ck_assert_float_eq(ssa_checkpoint_model(checkpoint)->vit.drop_path, 0.4f);
        f.pass.targets = f.targets;
        OK(ssa_model_forward(f.model, &f.pass));
        OK(ssa_model_forward(loaded, &f.pass));
        test_same_bits("losses", ssa_model_losses(f.model), ssa_model_losses(loaded), BATCH);
        other.vit.mean_pool = 1;
        saved_refuses(checkpoint, dev, &other, "mean_pool is 0, this model's is 1");
        other = (struct ssa_model_config){.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 9, .length = 4}};
        saved_refuses(checkpoint, dev, &other, "of family vit, this is of family gpt");
        ssa_model_destroy(loaded);
        ssa_checkpoint_close(checkpoint);
        close_fixture(&f);
    }
    remove(path);
}
END_TEST

START_TEST(memory_is_as_foreseen)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 4; i++) {
            const struct ssa_model_config c = dropping(i & 1);
            const struct ssa_model_limits limits = {.batch = BATCH, .training = 1, .max_buffer = i >> 1 ? 3000 : 0};
            struct ssa_memory memory;
            struct ssa_model *m;
            struct fixture f = {.model = NULL};
            OK(ssa_model_memory(&c, &limits, &memory));
            const size_t before = test_held(dev);
            OK(ssa_model_create(&m, dev, &c, &limits));
            f.pass = (struct ssa_pass){.pixels = f.pixels, .targets = f.targets, .training = 1};
            OK(ssa_model_forward(m, &f.pass));
            OK(ssa_model_backward(m));
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            ck_assert_uint_ge(memory.inputs, BATCH * (IMAGE + 1 + CLASSES) * sizeof(float));
            ck_assert_uint_eq(memory.cache, 0);
            ssa_model_destroy(m);
        }
}
END_TEST

/* ---- bad input ---- */

START_TEST(bad_configs)
{
    struct ssa_model_config c;
#define BAD(words, ...) \
    c = (struct ssa_model_config){.family = SSA_VIT, .vit = {.rows = 8, .channels = 1, .patch = 2, .layers = 2, \
                                  .heads = 2, .width = 16, .classes = 4, __VA_ARGS__}}; \
    FAILS(ssa_model_check(&c), SSA_EINVAL, words); \
    ck_assert_uint_eq(ssa_model_elements(&c), 0)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    BAD("rows is 0", .rows = 0);
    BAD("patch 3 does not divide images of 8 x 8", .patch = 3);
    BAD("patch 2 does not divide images of 8 x 7", .columns = 7);
    BAD("patch is 0", .patch = 0);
    BAD("channels is 0", .channels = 0);
    BAD("classes is 1", .classes = 1);
    BAD("patches of an image", .rows = 2048, .columns = 2048);
    BAD("width 20 does not divide", .width = 20, .heads = 3);
    BAD("multiple of 8", .width = 24);
    BAD("mean_pool is 2", .mean_pool = 2);
    BAD("dropout is 1", .dropout = 1);
    BAD("attention_dropout is 1", .attention_dropout = 1);
    BAD("drop_keys is 1", .drop_keys = 1);
    BAD("attention_dropout is 0.5 and drop_keys 0.25", .attention_dropout = 0.5f, .drop_keys = 0.25f);
    BAD("drop_path is 1", .drop_path = 1);
    BAD("drop_path is nan", .drop_path = NAN);
    BAD("norm_eps is -1", .norm_eps = -1);
#pragma GCC diagnostic pop
    ck_assert_str_eq(ssa_model_family(SSA_VIT), "vit");
}
END_TEST

START_TEST(bad_passes)
{
    const struct ssa_model_config c = small(0);
    FOR_DEVICES (dev) {
        struct fixture f;
        float logits[CLASSES];
        int32_t ids[BATCH * MOST] = {0};
        open_fixture(&f, dev, &c, false);
#define BAD_PASS(words, ...) \
    FAILS(ssa_model_forward(f.model, &(struct ssa_pass){.batch = 2, __VA_ARGS__}), SSA_EINVAL, words)
        BAD_PASS("pixels is NULL", .targets = f.targets);
        BAD_PASS("takes no tokens", .pixels = f.pixels, .tokens = ids);
        BAD_PASS("both targets and soft targets", .pixels = f.pixels, .targets = f.targets, .soft_targets = f.soft);
        BAD_PASS("all sequences are of 7", .pixels = f.pixels, .length = 6);
        f.targets[1] = CLASSES;
        BAD_PASS("model: target 1 is 5, classes is 5", .pixels = f.pixels, .targets = f.targets);
        f.soft[3] = INFINITY;
        BAD_PASS("soft target 3 is inf", .pixels = f.pixels, .soft_targets = f.soft);
        f.pixels[2 * IMAGE - 1] = NAN;
        BAD_PASS("pixel 95 is ", .pixels = f.pixels);
        OK(ssa_model_forward(f.model, &(struct ssa_pass){.batch = 1, .pixels = f.pixels, .length = MOST}));
        FAILS(ssa_model_backward(f.model), SSA_EINVAL, "needs a forward pass");
        FAILS(ssa_model_read_logits(f.model, 0, 1, logits), SSA_EINVAL, "no position 1 of sequence 0");
        FAILS(ssa_generate(f.model, ids, 1, 1, NULL, &(struct ssa_generate){.top_k = 0}), SSA_EINVAL, "causal");
        close_fixture(&f);
        struct ssa_model *gpt;
        OK(ssa_model_create(&gpt, dev, &(struct ssa_model_config){.gpt = {.layers = 1, .heads = 1, .width = 8,
            .vocabulary = 9, .length = 4}}, &(struct ssa_model_limits){.batch = 1}));
        FAILS(ssa_model_forward(gpt, &(struct ssa_pass){.tokens = ids, .soft_targets = f.soft}), SSA_EINVAL,
              "takes no soft_targets");
        FAILS(ssa_model_forward(gpt, &(struct ssa_pass){.tokens = ids, .pixels = f.pixels}), SSA_EINVAL,
              "takes no pixels");
        ssa_model_destroy(gpt);
    }
}
END_TEST

int main(void)
{
    return test_run("vit", (const TTest *const[]){sizes, starts_as_deit, forward_in_double_precision,
                                                  finite_differences, soft_as_hard, drops, keeps_the_class_token,
                                                  learns, from_a_source, saved_and_loaded, memory_is_as_foreseen,
                                                  bad_configs, bad_passes, NULL});
}

/* Swin: sizes as published, its forward pass against one in double precision that knows no windows, only which
 * positions see each other; sampling in windows, whatever is dropped, learning, files, memory, bad input. */
#include "differences.h"
#include "exact.h"
#include "golden.h"
#include "saved.h"
#include "net/internal.h"

#include "ssacl/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, CHANNELS = 2, PATCH = 2, EACH = CHANNELS * PATCH * PATCH, CLASSES = 5, LAYERS = 4,
       MOST = 64, WIDEST = 16, MOST_IMAGE = 16 * 16 * CHANNELS };

/* Two stages of two layers. Grids of 4 x 8 and 2 x 4 in windows of 2; or of 8 x 8 and 4 x 4 in windows of 4. */
static struct ssa_model_config small(bool wide)
{
    return (struct ssa_model_config){.family = SSA_SWIN, .swin = {.rows = wide ? 16 : 8, .columns = 16,
        .channels = CHANNELS, .patch = PATCH, .width = 8, .layers = {2, 2}, .heads = {2, wide ? 1 : 0},
        .window = wide ? 4 : 2, .hidden_ratio = 1.5f, .classes = CLASSES}};
}

/* Attention drops probabilities, or in wide windows keys. */
static struct ssa_model_config dropping(bool wide)
{
    struct ssa_model_config c = small(wide);
    c.swin.dropout = 0.1f;
    *(wide ? &c.swin.drop_keys : &c.swin.attention_dropout) = 0.2f;
    c.swin.drop_path = 0.4f;
    return c;
}

static struct ssa_model_config published(int window)
{
    return (struct ssa_model_config){.family = SSA_SWIN, .swin = {.rows = 224, .channels = 3, .patch = 4, .width = 96,
        .layers = {2, 2, 6, 2}, .heads = {3}, .window = window, .classes = 1000, .drop_path = 0.2f}};
}

/* ---- parameters, layers ---- */

START_TEST(sizes)
{
    struct ssa_model_config c = published(0);
    ck_assert_uint_eq(ssa_model_elements(&c), 28288354);
    c.swin.window = 14;
    ck_assert_uint_eq(ssa_model_elements(&c), 28338754);
    c.swin = (struct ssa_swin){.rows = 28, .channels = 1, .patch = 2, .width = 32, .layers = {2, 2}, .heads = {2, 4},
                               .window = 7, .classes = 10};
    ck_assert_uint_eq(ssa_model_elements(&c), 136854);
    c.swin.window = 14;
    ck_assert_uint_eq(ssa_model_elements(&c), 139094);
}
END_TEST

START_TEST(layers_of_windows)
{
    const struct ssa_model_config seven = published(7), fourteen = published(14);
    const struct ssa_model_config gpt = {.gpt = {.layers = 3, .heads = 1, .width = 8, .vocabulary = 9, .length = 40}};
    static const int sequences[] = {64, 64, 16, 16, 4, 4, 4, 4, 4, 4, 1, 1};
    struct ssa_layer of;
    ck_assert_int_eq(ssa_model_layers(&seven), 12);
    ck_assert_int_eq(ssa_model_length(&seven), 56 * 56);
    for (int l = 0; l < 12; l++) {
        OK(ssa_model_layer(&seven, l, &of));
        ck_assert(of.length == 49 && of.sequences == sequences[l] && of.own_key == (l < 10 && l % 2));
        OK(ssa_model_layer(&fourteen, l, &of)); /* from the third stage on the grid is one window */
        ck_assert_int_eq(of.length, l < 10 ? 196 : 49);
        ck_assert_int_eq(of.sequences, l < 2 ? 16 : l < 4 ? 4 : 1);
        ck_assert_int_eq(of.own_key, l < 4 && l % 2);
    }
    FAILS(ssa_model_layer(&seven, 12, &of), SSA_EINVAL, "no layer 12 of 12");
    FAILS(ssa_model_layer(&seven, -1, &of), SSA_EINVAL, "no layer -1");
    OK(ssa_model_layer(&gpt, 2, &of));
    ck_assert(of.length == 40 && of.sequences == 1 && !of.own_key);
    ck_assert_int_eq(ssa_model_layers(&gpt), 3);
}
END_TEST

static double deviation_of(const struct ssa_model *m, const char *name)
{
    const struct ssa_parameter *p = ssa_model_find(m, name);
    double sum = 0;
    ck_assert_msg(p != NULL, "no %s", name);
    float *x = test_read(p->value, p->count);
    for (size_t i = 0; i < p->count; i++)
        sum += (double)x[i] * (double)x[i] / (double)p->count;
    free(x);
    return sqrt(sum);
}

START_TEST(starts)
{
    const struct ssa_model_config c = {.family = SSA_SWIN, .swin = {.rows = 32, .channels = 3, .patch = 4, .width = 32,
        .layers = {1, 1}, .heads = {2}, .window = 8, .classes = 50}};
    static const char *const normal[] = {"layer.0.qkv.weight", "layer.0.proj.weight", "layer.1.down.weight",
                                         "head.weight", "merge.0.weight", "layer.0.relative.weight"};
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        for (size_t i = 0; i < sizeof normal / sizeof *normal; i++)
            ck_assert_double_eq_tol(deviation_of(m, normal[i]), 0.02, 0.0015);
        ck_assert_double_eq_tol(deviation_of(m, "patch.weight"), 1 / sqrt(48) / sqrt(3), 0.005);
        ck_assert(deviation_of(m, "patch.bias") > 0 && deviation_of(m, "head.bias") == 0);
        ck_assert(deviation_of(m, "merge.0.norm.gain") == 1 && deviation_of(m, "patch.norm.bias") == 0);
        const struct ssa_parameter *table = ssa_model_find(m, "layer.0.relative.weight");
        ck_assert(table->rows == 15 * 15 && table->columns == 2 && !table->decayed);
        ck_assert_int_eq(ssa_model_find(m, "layer.1.relative.weight")->rows, 7 * 7); /* a grid of 4 x 4 */
        ck_assert(ssa_model_find(m, "merge.0.weight")->decayed && !ssa_model_find(m, "merge.0.bias"));
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- a fixture ---- */

enum keys { DENSE, SHARED, EACH_WINDOW, SOURCES, ALL_KEYS };

struct fixture {
    struct ssa_model *model;
    struct ssa_model_config config;
    struct ssa_plan plan[LAYERS];
    const struct ssa_plan *plans[LAYERS];
    float pixels[BATCH * MOST_IMAGE], soft[BATCH * CLASSES];
    int32_t targets[BATCH];
    int image; /* elements of one */
    struct ssa_pass pass;
};

static void fill_parameters(struct ssa_model *m)
{
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        const bool gain = strstr(p->name, "gain");
        float *x = malloc(p->count * sizeof *x);
        for (size_t e = 0; e < p->count; e++)
            x[e] = (float)(gain + 0.3 * golden_value((uint32_t)i, (uint32_t)e));
        OK(ssa_tensor_write(p->value, x, p->count));
        free(x);
    }
}

static void draw_plans(struct fixture *f, const struct ssa_pattern *pattern, int batch, int first)
{
    for (int l = 0; l < LAYERS; l++) {
        struct ssa_sample how;
        OK(ssa_model_sample(&f->config, pattern, l, batch, first, &how));
        how.seed = 9;
        OK(ssa_plan_draw(&f->plan[l], &how));
        f->plans[l] = &f->plan[l];
    }
    f->pass.plans = f->plans;
}

static struct ssa_pattern pattern_of(enum keys keys)
{
    return (struct ssa_pattern){.kind = SSA_UNBIASED, .ratio = keys == ALL_KEYS ? 1 : 0.5f,
                                .per_example = keys == EACH_WINDOW || keys == SOURCES, .independent = keys == SOURCES,
                                .own_key = SSA_NONE};
}

static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct ssa_model_config *c, enum keys keys)
{
    *f = (struct fixture){.config = *c, .image = c->swin.rows * c->swin.columns * CHANNELS};
    OK(ssa_model_create(&f->model, dev, c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    fill_parameters(f->model);
    for (int i = 0; i < BATCH * f->image; i++)
        f->pixels[i] = (float)golden_value(1000, (uint32_t)i);
    for (int b = 0; b < BATCH; b++)
        f->targets[b] = (3 * b + 1) % CLASSES;
    f->pass = (struct ssa_pass){.pixels = f->pixels, .seed = 3, .step = 5};
    const struct ssa_pattern pattern = pattern_of(keys);
    if (keys != DENSE)
        draw_plans(f, &pattern, BATCH, 0);
}

static void close_fixture(struct fixture *f)
{
    ssa_model_destroy(f->model);
    for (int l = 0; l < LAYERS; l++)
        ssa_plan_finish(&f->plan[l]);
}

static void train_on_targets(struct fixture *f)
{
    f->pass.targets = f->targets;
    f->pass.training = 1;
}

/* ---- in double precision ---- */

static const double eps = 1e-5;

/* A layer's grid, and how its windows lie on it. */
struct grid {
    int rows, columns, width, heads, window, shift;
};

static struct grid grid_of(const struct ssa_swin *c, int layer)
{
    const int stage = layer / 2;
    struct grid g = {c->rows / PATCH >> stage, c->columns / PATCH >> stage, c->width << stage,
                     stage && c->heads[1] ? c->heads[1] : c->heads[0] << stage, c->window,
                     layer % 2 ? c->window / 2 : 0};
    if ((g.rows < g.columns ? g.rows : g.columns) <= c->window) {
        g.window = g.rows < g.columns ? g.rows : g.columns;
        g.shift = 0;
    }
    return g;
}

/* Where position n is: window, place in it, and its part of the ring of rows and of that of columns, which were cut. */
struct where {
    int window, row, column, part;
};
static struct where where_is(const struct grid *g, int n)
{
    const int row = n / g->columns, column = n % g->columns;
    const int u = (row - g->shift + g->rows) % g->rows, v = (column - g->shift + g->columns) % g->columns;
    return (struct where){u / g->window * (g->columns / g->window) + v / g->window, u % g->window, v % g->window,
                          2 * (row < g->shift) + (column < g->shift)};
}

static bool sees(const struct fixture *f, const struct grid *g, int layer, int example, struct where i, struct where j)
{
    int32_t keys[MOST + 1];
    const struct ssa_plan *plan = f->pass.plans ? f->pass.plans[layer] : NULL;
    const int windows = g->rows * g->columns / (g->window * g->window), at = j.row * g->window + j.column;
    if (i.window != j.window || i.part != j.part)
        return false;
    const int count = plan ? ssa_plan_keys(plan, plan->examples > 1 ? example * windows + i.window : 0,
                                           i.row * g->window + i.column, keys) : 0;
    bool drawn = !plan;
    for (int k = 0; k < count; k++)
        drawn = drawn || keys[k] == at;
    return drawn;
}

/* One query of one head over all keys that it sees. */
static void attend(const struct fixture *f, const struct grid *g, int layer, int example, const double *table,
                   const double *qkv, int query, int head, double *out)
{
    const int n = g->rows * g->columns, width = g->width, d = width / g->heads, span = 2 * g->window - 1;
    const struct where i = where_is(g, query);
    double weights[MOST], sum = 0;
    for (int k = 0; k < n; k++) {
        const struct where j = where_is(g, k);
        double dot = 0;
        weights[k] = 0;
        if (!sees(f, g, layer, example, i, j))
            continue;
        for (int e = 0; e < d; e++)
            dot += qkv[query * 3 * width + head * d + e] * qkv[k * 3 * width + width + head * d + e];
        dot = dot / sqrt(d) + table[((i.row - j.row + g->window - 1) * span + i.column - j.column + g->window - 1) *
                                    g->heads + head];
        sum += weights[k] = exp(dot);
    }
    for (int e = 0; e < d; e++) {
        double *to = &out[query * width + head * d + e];
        *to = 0;
        for (int k = 0; k < n; k++)
            *to += weights[k] / (sum > 0 ? sum : 1) * qkv[k * 3 * width + 2 * width + head * d + e];
    }
}

static void apply_layer(const struct fixture *f, int example, int layer, double *x)
{
    const struct grid g = grid_of(&f->config.swin, layer);
    const int n = g.rows * g.columns, width = g.width;
    static double y[MOST * WIDEST], qkv[MOST * 3 * WIDEST], att[MOST * WIDEST];
    double *table = exact_value(f->model, layer, "relative.weight");
    exact_norm(f->model, layer, "norm1", n, width, eps, x, y);
    exact_linear(f->model, layer, "qkv", n, width, 3 * width, y, qkv);
    for (int i = 0; i < n; i++)
        for (int h = 0; h < g.heads; h++)
            attend(f, &g, layer, example, table, qkv, i, h, att);
    exact_linear(f->model, layer, "proj", n, width, width, att, y);
    for (int i = 0; i < n * width; i++)
        x[i] += y[i];
    exact_mlp(f->model, layer, n, width, width * 3 / 2, eps, x);
    free(table);
}

static void embed(const struct fixture *f, int example, double *x)
{
    const struct ssa_swin *c = &f->config.swin;
    const int across = c->columns / PATCH, n = c->rows / PATCH * across;
    const float *pixels = f->pixels + example * f->image;
    static double patches[MOST * EACH], y[MOST * WIDEST];
    for (int i = 0; i < n; i++)
        for (int e = 0; e < EACH; e++) {
            const int row = i / across * PATCH + e / PATCH % PATCH, column = i % across * PATCH + e % PATCH;
            patches[i * EACH + e] = (double)pixels[(row * c->columns + column) * CHANNELS + e / (PATCH * PATCH)];
        }
    exact_linear(f->model, -1, "patch", n, EACH, c->width, patches, y);
    exact_norm(f->model, -1, "patch.norm", n, c->width, eps, y, x);
}

static void merge(const struct fixture *f, double *x)
{
    const struct grid g = grid_of(&f->config.swin, 0);
    const int across = g.columns / 2, n = g.rows / 2 * across, width = g.width;
    static double cells[MOST * WIDEST], y[MOST * WIDEST];
    for (int i = 0; i < n; i++)
        for (int e = 0; e < 4; e++) { /* (0,0), (1,0), (0,1), (1,1) */
            const int row = i / across * 2 + e % 2, column = i % across * 2 + e / 2;
            memcpy(&cells[(i * 4 + e) * width], &x[(row * g.columns + column) * width], (size_t)width * sizeof *x);
        }
    exact_norm(f->model, -1, "merge.0.norm", n, 4 * width, eps, cells, y);
    exact_linear(f->model, -1, "merge.0", n, 4 * width, 2 * width, y, x);
}

static void logits_of(const struct fixture *f, int example, double *logits)
{
    static double x[MOST * WIDEST], y[MOST * WIDEST];
    const struct grid last = grid_of(&f->config.swin, LAYERS - 1);
    const int n = last.rows * last.columns;
    embed(f, example, x);
    for (int l = 0; l < LAYERS; l++) {
        if (l == 2)
            merge(f, x);
        apply_layer(f, example, l, x);
    }
    exact_norm(f->model, -1, "norm", n, last.width, eps, x, y);
    exact_mean(n, last.width, y, x);
    exact_linear(f->model, -1, "head", 1, last.width, CLASSES, x, logits);
}

static void check_forward(struct ssa_device *dev, bool wide, enum keys keys)
{
    const struct ssa_model_config c = small(wide);
    struct fixture f;
    double want[BATCH][CLASSES], losses[BATCH];
    char message[512];
    open_fixture(&f, dev, &c, keys);
    OK(ssa_model_forward(f.model, &f.pass));
    for (int b = 0; b < BATCH; b++) {
        float got[CLASSES];
        logits_of(&f, b, want[b]);
        losses[b] = b == 2 ? 0 : exact_loss(want[b], CLASSES, f.targets[b]);
        OK(ssa_model_read_logits(f.model, b, 0, got));
        ck_assert_msg(test_close_to("logits", got, want[b], CLASSES, 1e-5, 1e-5, message, sizeof message),
                      "wide %d, keys %d, image %d: %s", wide, keys, b, message);
    }
    f.targets[2] = -1;
    train_on_targets(&f);
    OK(ssa_model_forward(f.model, &f.pass));
    test_compare("losses", ssa_model_losses(f.model), losses, BATCH, 1e-5, 1e-5, "wide %d, keys %d", wide, keys);
    close_fixture(&f);
}

START_TEST(forward_in_double_precision)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 8; i++)
            check_forward(dev, i & 1, (enum keys)(i >> 1));
}
END_TEST

/* ---- finite differences of the whole ---- */

START_TEST(finite_differences)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 3; i++) {
            static const enum keys keys[] = {EACH_WINDOW, SHARED, SOURCES};
            const struct ssa_model_config c = dropping(i == 1);
            struct fixture f;
            open_fixture(&f, dev, &c, keys[i]);
            train_on_targets(&f);
            check_differences(&(struct differences){f.model, &f.pass, BATCH, .absolute = 1e-3});
            close_fixture(&f);
        }
}
END_TEST

/* ---- what is drawn and dropped ---- */

/* Losses of a batch, and of its halves as micro-batches: what is drawn and dropped goes by the number of the image. */
START_TEST(parts_of_a_batch)
{
    const struct ssa_model_config c = dropping(false);
    const struct ssa_pattern pattern = pattern_of(EACH_WINDOW);
    FOR_DEVICES (dev) {
        struct fixture f;
        open_fixture(&f, dev, &c, EACH_WINDOW);
        train_on_targets(&f);
        OK(ssa_model_forward(f.model, &f.pass));
        float *whole = test_read(ssa_model_losses(f.model), BATCH);
        for (int half = 0; half < 2; half++) {
            const int first = half * BATCH / 2;
            f.pass.batch = BATCH / 2;
            f.pass.pixels = f.pixels + first * f.image;
            f.pass.targets = f.targets + first;
            f.pass.first_example = (uint32_t)first;
            draw_plans(&f, &pattern, BATCH / 2, first);
            OK(ssa_model_forward(f.model, &f.pass));
            float *part = test_read(ssa_model_losses(f.model), BATCH / 2);
            for (int b = 0; b < BATCH / 2; b++)
                ck_assert_msg(fabsf(part[b] - whole[first + b]) <= 2e-6f, "image %d of half %d: %g, in the whole %g", b,
                              half, (double)part[b], (double)whole[first + b]);
            free(part);
        }
        free(whole);
        close_fixture(&f);
    }
}
END_TEST

START_TEST(evaluation_drops_nothing)
{
    const struct ssa_model_config c = dropping(true), none = small(true);
    FOR_DEVICES (dev) {
        struct fixture f, g;
        open_fixture(&f, dev, &c, DENSE);
        open_fixture(&g, dev, &none, DENSE);
        f.pass.targets = g.pass.targets = f.targets;
        OK(ssa_model_forward(f.model, &f.pass));
        OK(ssa_model_forward(g.model, &g.pass));
        test_same_bits("losses", ssa_model_losses(f.model), ssa_model_losses(g.model), BATCH);
        f.pass.training = 1;
        OK(ssa_model_forward(f.model, &f.pass));
        float *a = test_read(ssa_model_losses(f.model), BATCH), *b = test_read(ssa_model_losses(g.model), BATCH);
        ck_assert(fabsf(a[0] - b[0]) > 1e-3f);
        free(a);
        free(b);
        close_fixture(&f);
        close_fixture(&g);
    }
}
END_TEST

/* ---- sampling ---- */

/* All keys of every window: the bits of dense windows, forward and back. */
START_TEST(all_keys_are_dense)
{
    FOR_DEVICES (dev)
        for (int wide = 0; wide < 2; wide++) {
            const struct ssa_model_config c = small(wide);
            struct fixture f, g;
            open_fixture(&f, dev, &c, DENSE);
            open_fixture(&g, dev, &c, ALL_KEYS);
            train_on_targets(&f);
            train_on_targets(&g);
            OK(ssa_model_forward(f.model, &f.pass));
            OK(ssa_model_forward(g.model, &g.pass));
            test_same_bits("losses", ssa_model_losses(f.model), ssa_model_losses(g.model), BATCH);
            OK(ssa_model_backward(f.model));
            OK(ssa_model_backward(g.model));
            for (int i = 0; i < ssa_model_part_count(f.model); i++)
                test_same_bits("gradients", ssa_model_part(f.model, i).grad, ssa_model_part(g.model, i).grad,
                               ssa_model_part(f.model, i).count);
            close_fixture(&f);
            close_fixture(&g);
        }
}
END_TEST

/* 49 of 196 keys, and what a quarter is of the 49 of the last stage; a draw for every image and window. */
START_TEST(samples_of_windows)
{
    const struct ssa_model_config c = published(14), small_windows = published(7);
    const struct ssa_pattern pattern = {.kind = SSA_UNBIASED, .ratio = 0.25f, .per_example = 1, .own_key = SSA_NONE};
    const struct ssa_pattern last = {.kind = SSA_UNBIASED, .ratio = 0.25f, .dense_last = 2};
    struct ssa_sample how;
    for (int l = 0; l < 12; l++) {
        OK(ssa_model_sample(&c, &pattern, l, 3, 5, &how));
        const int windows = l < 2 ? 16 : l < 4 ? 4 : 1;
        ck_assert_int_eq(how.length, l < 10 ? 196 : 49);
        ck_assert_int_eq(how.keys, l < 10 ? 49 : 12);
        ck_assert_int_eq(how.own_key, l < 4 && l % 2);
        ck_assert_int_eq(how.batch, 3 * windows);
        ck_assert_int_eq((int)how.first_example, 5 * windows);
        ck_assert_int_eq((int)how.layer, l);
    }
    OK(ssa_model_sample(&c, &last, 10, 3, 0, &how));
    ck_assert_int_eq(how.kind, SSA_DENSE);
    ck_assert_int_eq(how.own_key, 0);
    FAILS(ssa_model_sample(&small_windows, &pattern, 0, 1, 0, &how), SSA_EINVAL, "0.244897959 (12 keys) would do");
    FAILS(ssa_model_sample(&c, &pattern, 12, 1, 0, &how), SSA_EINVAL, "no layer 12");
}
END_TEST

/* ---- who sees whom ---- */

/* With nothing but the shifted layer's attention between positions, what a patch changes is its own part of its own
 * window. */
static void check_reach(struct fixture *f)
{
    const struct ssa_swin *c = &f->config.swin;
    const struct grid g = grid_of(c, 1);
    const struct ssa_net *net = &f->model->net;
    const struct ssa_tensor top = ssa_arena_at(&net->kept, net->blocks[net->count - 1]->in);
    const int n = g.rows * g.columns, count = n * g.width;
    f->pass.batch = 1;
    OK(ssa_model_forward(f->model, &f->pass));
    float *before = test_read(top, (size_t)count);
    for (int patch = 0; patch < n; patch++) {
        float *pixel = &f->pixels[(patch / g.columns * PATCH * c->columns + patch % g.columns * PATCH) * CHANNELS];
        const float was = *pixel;
        *pixel += 1;
        OK(ssa_model_forward(f->model, &f->pass));
        *pixel = was;
        float *after = test_read(top, (size_t)count);
        const struct where j = where_is(&g, patch);
        for (int i = 0; i < n; i++) {
            const struct where at = where_is(&g, i);
            const bool moved = memcmp(before + i * g.width, after + i * g.width, (size_t)g.width * sizeof *after);
            ck_assert_msg(moved == (at.window == j.window && at.part == j.part), "grid of %d x %d: position %d %s %d",
                          g.rows, g.columns, i, moved ? "sees" : "does not see", patch);
        }
        free(after);
    }
    free(before);
}

START_TEST(shifted_windows_see_their_part)
{
    FOR_DEVICES (dev)
        for (int wide = 0; wide < 2; wide++) {
            struct ssa_model_config c = small(wide);
            struct fixture f;
            c.swin.layers[1] = 0;
            c.swin.heads[1] = 0;
            open_fixture(&f, dev, &c, DENSE);
            const struct ssa_parameter *below = ssa_model_find(f.model, "layer.0.proj.weight");
            OK(ssa_tensor_fill(below->value, 0, below->count));
            check_reach(&f);
            close_fixture(&f);
        }
}
END_TEST

/* ---- learning, from a source ---- */

enum { SIDE = 16, IMAGES = 32, KINDS = 4 };

/* Noise with a bright quarter, whose number is the class. */
static void make_image(float *pixels, int number)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int quarter = i / SIDE / (SIDE / 2) * 2 + i % SIDE / (SIDE / 2);
        pixels[i] = (float)(0.4 * golden_value(7, (uint32_t)(number * SIDE * SIDE + i))) +
                    (quarter == number % KINDS ? 0.5f : 0);
    }
}

static int fill_images(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    (void)cookie;
    for (int i = 0; i < draw->count; i++) {
        const int image = (int)((draw->step * 3 + draw->first + (uint64_t)i) % IMAGES);
        make_image(batch->pixels + i * SIDE * SIDE, image);
        batch->targets[i] = image % KINDS;
    }
    return SSA_OK;
}

static void check_learning(struct ssa_device *dev, bool sampled, int steps, double below)
{
    const struct ssa_model_config c = {.family = SSA_SWIN, .swin = {.rows = SIDE, .channels = 1, .patch = 2,
        .width = 16, .layers = {2, 1}, .heads = {2}, .window = 4, .classes = KINDS, .drop_path = 0.05f}};
    const struct ssa_stage stage = {.steps = steps, .lr = 5e-3f, .warmup = 4,
        .pattern = {.kind = sampled ? SSA_UNBIASED : SSA_DENSE, .ratio = 0.25f, .per_example = 1}};
    const struct ssa_train_config training = {.batch = 16, .stages = &stage, .stage_count = 1};
    const struct ssa_data data = {.fill = fill_images, .examples = IMAGES};
    struct ssa_scores scores;
    struct ssa_trainer *t;
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 8, .training = 1}));
    OK(ssa_model_initialise(m, 1));
    OK(ssa_train_check(dev, &c, ssa_model_limits(m), &training, 0, NULL));
    OK(ssa_trainer_create(&t, m, &training, &data));
    OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.passes = 1}, &scores, NULL, NULL));
    const double first = scores.loss;
    OK(ssa_trainer_run(t, 0, NULL));
    OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.pattern = &stage.pattern, .passes = 3}, &scores, NULL, NULL));
    ck_assert_uint_eq(scores.tokens, IMAGES);
    ck_assert_int_eq(scores.passes, sampled ? 3 : 1);
    ck_assert_double_eq_tol(first, log(KINDS), 0.2);
    ck_assert_msg(scores.loss < below, "sampled %d: loss %g after %g", sampled, scores.loss, first);
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
}

START_TEST(learns)
{
    FOR_DEVICES (dev) {
        if (!test_fits(100000000) || test_launches_slowly(dev))
            continue;
        const bool host = !strcmp(dev->backend->name, "host"); /* elsewhere kernels are built without optimisation */
        check_learning(dev, true, host ? 120 : 12, host ? 0.5 : 1.35);
        check_learning(dev, false, host ? 120 : 12, host ? 0.3 : 1.35);
    }
}
END_TEST

/* ---- files, memory ---- */

START_TEST(saved_and_loaded)
{
    char path[SAVED_PATH];
    saved_path(path, "swin");
    FOR_DEVICES (dev) {
        struct ssa_model_config c = dropping(true), other = c;
        struct ssa_checkpoint *checkpoint;
        struct fixture f;
        open_fixture(&f, dev, &c, DENSE);
        struct ssa_model *loaded = saved_again(f.model, path, &checkpoint);
        ck_assert_int_eq(ssa_checkpoint_model(checkpoint)->swin.layers[1], 2);
        ck_assert_int_eq(ssa_checkpoint_model(checkpoint)->swin.window, 4);
        ck_assert_float_eq(ssa_checkpoint_model(checkpoint)->swin.hidden_ratio, 1.5f);
        f.pass.targets = f.targets;
        OK(ssa_model_forward(f.model, &f.pass));
        OK(ssa_model_forward(loaded, &f.pass));
        test_same_bits("losses", ssa_model_losses(f.model), ssa_model_losses(loaded), BATCH);
        other.swin.layers[1] = 3;
        saved_refuses(checkpoint, dev, &other, "layers[1] is 2, this model's is 3");
        other = c;
        other.swin.window = 2;
        saved_refuses(checkpoint, dev, &other, "window is 4, this model's is 2");
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
            const struct ssa_model_limits limits = {.batch = BATCH, .training = 1, .max_buffer = i >> 1 ? 9000 : 0};
            const struct ssa_pattern pattern = pattern_of(EACH_WINDOW);
            struct ssa_memory memory;
            struct fixture f = {.config = c};
            OK(ssa_model_memory(&c, &limits, &memory));
            const size_t before = test_held(dev);
            OK(ssa_model_create(&f.model, dev, &c, &limits));
            f.pass = (struct ssa_pass){.pixels = f.pixels, .targets = f.targets, .training = 1};
            draw_plans(&f, &pattern, BATCH, 0);
            OK(ssa_model_forward(f.model, &f.pass));
            OK(ssa_model_backward(f.model));
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            ck_assert_uint_eq(memory.cache, 0);
            close_fixture(&f);
        }
}
END_TEST

/* Without backward, layers of a stage share what they keep. */
START_TEST(memory_of_evaluation)
{
    const struct ssa_model_config c = published(7);
    struct ssa_memory memory;
    OK(ssa_model_memory(&c, &(struct ssa_model_limits){.batch = 1}, &memory));
    /* the stream 1 + 1/2 + 1/4 + 1/8, q k v and attention's output 4 times that, scratch 1 + 4, biases 1.5; not much
     * else */
    const double grid = 56.0 * 56 * 96 * 4;
    ck_assert_double_lt((double)memory.activations, grid * 16.2);
    ck_assert_double_gt((double)memory.activations, grid * 15.8);
}
END_TEST

/* ---- bad input ---- */

START_TEST(bad_configs)
{
    struct ssa_model_config c;
#define BAD(words, ...) \
    c = (struct ssa_model_config){.family = SSA_SWIN, .swin = {.rows = 16, .channels = 1, .patch = 2, \
                                  .layers = {2, 2}, .heads = {2}, .width = 16, .classes = 4, .window = 4, \
                                  __VA_ARGS__}}; \
    FAILS(ssa_model_check(&c), SSA_EINVAL, words); \
    ck_assert_uint_eq(ssa_model_elements(&c), 0); \
    ck_assert_int_eq(ssa_model_layers(&c), 0)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    BAD("rows is 0", .rows = 0);
    BAD("patch 3 does not divide images of 16 x 16", .patch = 3);
    BAD("patch 2 does not divide images of 16 x 7", .columns = 7);
    BAD("channels is 0", .channels = 0);
    BAD("classes is 1", .classes = 1);
    BAD("patches of an image", .rows = 2048, .columns = 2048);
    BAD("layers[0] is 0", .layers = {0, 2});
    BAD("layers[2] is 1, but stage 1 has none", .layers = {2, 0, 1});
    BAD("heads[0] is 0", .heads = {0});
    BAD("width 16 of stage 0 does not divide by heads 3", .heads = {3});
    BAD("width 32 of stage 1 does not divide by heads 5", .heads = {2, 5});
    BAD("heads of width 2 (16/8) in stage 0", .heads = {8});
    BAD("layers[3] is -1, must be in [0, 512]", .layers = {2, 2, 2, -1});
    BAD("heads[1] is 1025, must be in [0, 1024]", .heads = {2, 1025});
    BAD("windows of 3 do not divide the grid of stage 0, 8 x 8; of 2 do", .window = 3);
    BAD("windows of 7 do not divide the grid of stage 0, 8 x 12; of 4 do", .columns = 24, .window = 7);
    BAD("windows of 4 do not divide the grid of stage 0, 8 x 9", .columns = 18, .layers = {2, 0});
    BAD("stage 1 halves a grid of 7 x 7", .rows = 14, .window = 7);
    BAD("window is -1", .window = -1);
    BAD("hidden_ratio is -1", .hidden_ratio = -1);
    BAD("dropout is 1", .dropout = 1);
    BAD("attention_dropout is 1", .attention_dropout = 1);
    BAD("drop_keys is 1", .drop_keys = 1);
    BAD("attention_dropout is 0.5 and drop_keys 0.25", .attention_dropout = 0.5f, .drop_keys = 0.25f);
    BAD("drop_path is 1", .drop_path = 1);
    BAD("norm_eps is nan", .norm_eps = NAN);
#pragma GCC diagnostic pop
    ck_assert_str_eq(ssa_model_family(SSA_SWIN), "swin");
}
END_TEST

START_TEST(bad_passes)
{
    const struct ssa_model_config c = small(true);
    FOR_DEVICES (dev) {
        struct fixture f;
        struct ssa_plan other = {0};
        const struct ssa_plan *plans[LAYERS] = {NULL, &other};
        int32_t ids[BATCH * MOST] = {0};
        open_fixture(&f, dev, &c, EACH_WINDOW);
#define BAD_PASS(words, ...) \
    FAILS(ssa_model_forward(f.model, &(struct ssa_pass){.batch = 2, .pixels = f.pixels, __VA_ARGS__}), SSA_EINVAL, \
          words)
        BAD_PASS("takes no tokens", .tokens = ids);
        BAD_PASS("all sequences are of 64", .length = 16);
        BAD_PASS("the plan of layer 0 has 16 examples, the pass has 8", .plans = f.plans);
        OK(ssa_plan_draw(&other, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = 64, .keys = 5}));
        BAD_PASS("the plan of layer 1 is of length 64, the layer of 16", .plans = plans);
        OK(ssa_plan_draw(&other, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = 16, .keys = 5, .own_key = 1}));
        OK(ssa_model_forward(f.model, &(struct ssa_pass){.batch = 2, .pixels = f.pixels, .plans = plans}));
        FAILS(ssa_generate(f.model, ids, 1, 1, NULL, &(struct ssa_generate){.top_k = 0}), SSA_EINVAL, "causal");
        ssa_plan_finish(&other);
        close_fixture(&f);
    }
}
END_TEST

int main(void)
{
    return test_run("swin", (const TTest *const[]){
        sizes, layers_of_windows, starts, forward_in_double_precision, finite_differences, parts_of_a_batch,
        evaluation_drops_nothing, all_keys_are_dense, samples_of_windows, shifted_windows_see_their_part, learns,
        saved_and_loaded, memory_is_as_foreseen, memory_of_evaluation, bad_configs, bad_passes, NULL});
}

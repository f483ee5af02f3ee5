#include "reference_model.h"
#include "reference_network.h"

#include "model.h"
#include "tensors.h"

#include "oracle/attention.h"
#include "oracle/cross_entropy.h"
#include "oracle/embedding.h"
#include "oracle/grid.h"
#include "oracle/mean.h"
#include "oracle/norm.h"
#include "oracle/patches.h"
#include "oracle/prepend.h"
#include "oracle/rope.h"
#include "oracle/windows.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAUSAL_POSITIONS = 24 };

int reference_positions(const struct ssa_model_config *config)
{
    const int length = ssa_model_length(config);
    return model_is_causal(config) && length > CAUSAL_POSITIONS ? CAUSAL_POSITIONS : length;
}

/* ---- a layer ---- */

/* The biases of all windows [windows, heads, query, key]. */
static const double *window_bias(const struct network *n)
{
    const struct oracle_windows s = {.rows = n->grid_rows, .columns = n->grid_columns, .width = n->heads,
                                     .window = n->window, .shift = n->shift};
    const struct ssa_parameter *none;
    const int area = n->window * n->window, all = n->rows / area * n->heads, made = n->shift ? all : n->heads;
    double *bias = n->room[BIAS], *pairs = n->room[PAIRS];
    oracle_window_bias_fwd(&s, -100, network_value(n, "relative", ".weight", &none), bias);
    for (int h = 0; h < all; h++)
        for (int i = 0; i < area; i++)
            for (int j = 0; j < area; j++)
                *pairs++ = bias[((size_t)(h % made) * (size_t)area + (size_t)j) * (size_t)area + (size_t)i];
    return n->room[PAIRS];
}

/* Of the norm's output, into OUT. */
static void attention(const struct network *n, int layer)
{
    struct oracle_windows s = {1, n->grid_rows, n->grid_columns, n->width, n->window, n->shift, 0, 0};
    const int area = n->window ? n->window * n->window : n->rows;
    double *const *room = n->room;
    if (n->window)
        oracle_windows(&s, room[NORM], room[OUT]);
    const int wide = network_linear(n, "qkv", room[n->window ? OUT : NORM], SSA_ACT_NONE, NULL, room[WIDE]);
    const int keys = (wide - n->width) / 2;
    if (n->config.family == SSA_GPT && n->config.gpt.positions == SSA_POSITIONS_ROTARY)
        oracle_rope(&(struct oracle_rope){.rows = n->rows, .length = n->rows, .heads = 2 * n->heads,
            .width = keys / n->heads, .stride = (size_t)wide, .base = (double)n->config.gpt.rope_base}, room[WIDE]);
    network_take_apart(n, (size_t)keys, (size_t)n->width);
    oracle_attention_fwd(&(struct oracle_attention){.q = room[Q], .k = room[K], .v = room[V],
        .out = room[n->window ? NORM : OUT], .lse = room[UNREAD], .plan = &n->plans[layer], .batch = n->rows / area,
        .keys = area, .heads = n->heads, .kv_heads = n->heads, .width = keys / n->heads,
        .value_width = n->width / n->heads, .causal = model_is_causal(&n->config),
        .bias = n->window ? window_bias(n) : NULL});
    s.inverse = 1;
    if (n->window)
        oracle_windows(&s, room[NORM], room[OUT]);
}

static void run_layer(struct network *n, int layer)
{
    double *const *room = n->room;
    snprintf(n->prefix, sizeof n->prefix, "layer.%d.", layer);
    network_norm(n, "norm1", room[X], room[NORM]);
    attention(n, layer);
    network_linear(n, "proj", room[OUT], SSA_ACT_NONE, room[X], room[X]);
    network_mlp(n, room[X]);
    *n->prefix = 0;
}

/* Stages, and what is between them. */
static void run_stages(struct network *n)
{
    const struct ssa_swin *c = &n->config.swin;
    for (int i = 0, l = 0; i < 4 && c->layers[i]; i++) {
        const int least = n->grid_rows < n->grid_columns ? n->grid_rows : n->grid_columns;
        n->heads = c->heads[i];
        n->window = least < c->window ? least : c->window;
        for (int at = 0; at < c->layers[i]; at++) {
            n->shift = least > c->window && at % 2 ? c->window / 2 : 0;
            run_layer(n, l++);
        }
        if (i == 3 || !c->layers[i + 1])
            return;
        oracle_windows(&(struct oracle_windows){1, n->grid_rows, n->grid_columns, n->width, 2, 0, 1, 0}, n->room[X],
                       n->room[WIDE]);
        n->rows /= 4;
        n->grid_rows /= 2;
        n->grid_columns /= 2;
        snprintf(n->prefix, sizeof n->prefix, "merge.%d", i);
        network_norm(n, ".norm", n->room[WIDE], n->room[NORM]);
        n->width = network_linear(n, "", n->room[NORM], SSA_ACT_NONE, NULL, n->room[X]);
        *n->prefix = 0;
    }
}

/* ---- embeddings and heads ---- */

static void embed_tokens(const struct network *n)
{
    const struct ssa_parameter *table, *none;
    const double *tokens = network_value(n, "embed", ".weight", &table);
    const double *const axes[] = {network_value(n, "row", ".weight", &none),
                                  network_value(n, "column", ".weight", &none),
                                  network_value(n, "channel", ".weight", &none)};
    const struct ssa_pixels *c = &n->config.pixels;
    const int late = n->config.family == SSA_PIXELS;
    const struct oracle_embedding e = {.ids = n->tokens, .rows = n->positions - late, .length = n->positions,
                                       .width = n->width, .vocabulary = table->rows, .each = 1, .scale = 1};
    if (late) {
        oracle_grid_fwd(&(struct oracle_grid){0, e.rows, c->rows, c->columns, c->channels, n->width}, axes,
                        n->room[WIDE]);
        memcpy(n->room[X], network_value(n, "start", "", &none), (size_t)n->width * sizeof(double));
    }
    oracle_embedding_fwd(&e, tokens, late ? n->room[WIDE] : network_value(n, "position", ".weight", &none),
                         n->room[X] + late * n->width);
}

static void embed_patches(struct network *n)
{
    const struct ssa_parameter *none;
    const int lead = model_has_class_token(&n->config), patch = model_int(&n->config, "patch");
    struct oracle_images s = {1, model_int(&n->config, "rows"), model_int(&n->config, "columns"),
                              model_int(&n->config, "channels"), patch};
    for (int i = 0; i < s.rows * s.columns * s.channels; i++)
        n->room[Q][i] = (double)n->pixels[i];
    oracle_patches(&s, n->room[Q], n->room[WIDE]);
    n->grid_rows = s.rows / patch;
    n->grid_columns = s.columns / patch;
    n->rows = n->grid_rows * n->grid_columns;
    network_linear(n, "patch", n->room[WIDE], SSA_ACT_NONE, NULL, n->room[NORM]);
    if (n->config.family == SSA_SWIN)
        network_norm(n, "patch.norm", n->room[NORM], n->room[X]);
    else
        oracle_prepend_fwd(&(struct oracle_prepend){1, lead, n->rows, n->width},
                           network_value(n, "class", ".weight", &none), n->room[NORM],
                           network_value(n, "position", ".weight", &none), n->room[X]);
    n->rows += lead;
}

/* ---- words in bands ---- */

struct band {
    const double *table, *projection; /* [words, width], [width of the stream, width] */
    int begin, words, width;
};

/* That of a word. */
static struct band band_of(const struct network *n, int word, int *number)
{
    struct band b = {.begin = 0};
    for (*number = 0;; ++*number) {
        const struct ssa_parameter *table, *none;
        char name[32];
        snprintf(name, sizeof name, "embed.%d", *number);
        b.table = network_value(n, name, ".weight", &table);
        b.projection = network_value(n, name, ".proj.weight", &none);
        b.words = table->rows;
        b.width = table->columns;
        if (word < b.begin + b.words)
            return b;
        b.begin += b.words;
    }
}

static void embed_words(const struct network *n)
{
    const int width = n->width, half = width / 2;
    for (int t = 0; t < n->positions; t++) {
        int number;
        const struct band b = band_of(n, n->tokens[t], &number);
        const double *row = b.table + (size_t)(n->tokens[t] - b.begin) * (size_t)b.width;
        double *x = n->room[X] + (size_t)t * (size_t)width;
        for (int i = 0; i < width; i++) {
            const double angle = (t + 2) * pow(10000, -(double)(i % half) / (half - 1));
            x[i] = i < half ? sin(angle) : cos(angle);
            for (int j = 0; j < b.width; j++)
                x[i] += sqrt(width) * b.projection[(size_t)i * (size_t)b.width + (size_t)j] * row[j];
        }
    }
}

/* The sum of exp(row . x) over rows, added to `sum`. */
static double add_exponentials(double sum, const double *rows, int count, int width, const double *x)
{
    for (int r = 0; r < count; r++, rows += width) {
        double logit = 0;
        for (int i = 0; i < width; i++)
            logit += rows[i] * x[i];
        sum += exp(logit);
    }
    return sum;
}

/* -log p of a word behind `h`. */
static double loss_of_word(const struct network *n, int word, const double *h)
{
    const struct ssa_parameter *shape;
    const double *tails = network_value(n, "tails", ".weight", &shape);
    const int width = n->width;
    int number;
    const struct band first = band_of(n, 0, &number), b = band_of(n, word, &number);
    const double *target = (number ? tails : b.table) + (size_t)(number ? number - 1 : word) * (size_t)width;
    double *z = n->room[OUT], sum = add_exponentials(0, first.table, first.words, width, h);
    double loss = log(add_exponentials(sum, tails, tails ? shape->rows : 0, width, h) /
                      add_exponentials(0, target, 1, width, h));
    for (int j = 0; number && j < b.width; j++) {
        z[j] = 0;
        for (int i = 0; i < width; i++)
            z[j] += b.projection[(size_t)i * (size_t)b.width + (size_t)j] * h[i];
    }
    return number ? loss + log(add_exponentials(0, b.table, b.words, b.width, z) /
                               add_exponentials(0, b.table + (size_t)(word - b.begin) * (size_t)b.width, 1, b.width, z))
                  : loss;
}

static double head_of_words(const struct network *n)
{
    double loss = 0;
    for (int t = 0; t < n->answers; t++)
        loss += loss_of_word(n, n->targets[t], n->room[X] + (size_t)t * (size_t)n->width) / n->answers;
    return loss;
}

/* The mean loss of the answers. */
static double head(struct network *n)
{
    const bool tied = n->config.family == SSA_GPT && !n->config.gpt.untied;
    double *const *room = n->room, loss = 0;
    network_norm(n, "norm", room[X], room[NORM]);
    if (n->answers == 1 && !model_has_class_token(&n->config)) {
        oracle_mean_fwd(&(struct oracle_mean){1, n->rows, 0, n->rows, n->width, NULL}, room[NORM], room[OUT]);
        memcpy(room[NORM], room[OUT], (size_t)n->width * sizeof(double));
    }
    n->rows = n->answers;
    const int vocabulary = network_linear(n, tied ? "embed" : "head", room[NORM], SSA_ACT_NONE, NULL, room[WIDE]);
    oracle_cross_entropy(room[WIDE], n->targets, n->answers, vocabulary, 0, 1, room[OUT], room[UNREAD]);
    for (int i = 0; i < n->answers; i++)
        loss += room[OUT][i] / n->answers;
    return loss;
}

static double forward(struct network *n)
{
    const bool words = n->config.family == SSA_WORDS;
    n->rows = n->positions;
    n->width = model_int(&n->config, "width");
    n->heads = model_int(&n->config, "heads");
    if (n->config.family == SSA_EGT)
        return graph_forward(n);
    n->pixels ? embed_patches(n) : words ? embed_words(n) : embed_tokens(n);
    if (n->config.family == SSA_SWIN)
        run_stages(n);
    for (int l = 0; n->config.family != SSA_SWIN && l < n->layers; l++)
        run_layer(n, l);
    return words ? head_of_words(n) : head(n);
}

/* ---- the library's side ---- */

static int read_doubles(struct ssa_tensor t, size_t count, double **values)
{
    float *x = malloc(count * sizeof *x);
    *values = malloc(count * sizeof **values);
    int err = x && *values ? ssa_tensor_read(t, x, count) : SSA_ENOMEM;
    for (size_t i = 0; !err && i < count; i++)
        (*values)[i] = (double)x[i];
    free(x);
    return err;
}

/* Off where they began: what is 0 or 1 there, as biases and some heads, would hide mistakes. */
static int shake(const struct ssa_parameter *p, int number)
{
    float *x = malloc(p->count * sizeof *x), *noise = make_values(p->count, (uint64_t)number + 1);
    int err = x && noise ? ssa_tensor_read(p->value, x, p->count) : SSA_ENOMEM;
    for (size_t i = 0; !err && i < p->count; i++)
        x[i] += 0.03f * noise[i];
    err = err ? err : ssa_tensor_write(p->value, x, p->count);
    free(x);
    free(noise);
    return err;
}

/* Mean loss of the answers, and its gradients. */
static int library_pass(struct network *n, double *loss)
{
    const struct ssa_plan **plans = calloc((size_t)n->layers, sizeof(struct ssa_plan *));
    const struct ssa_pass pass = {.tokens = n->tokens, .targets = n->targets, .pixels = n->pixels, .batch = 1,
                                  .plans = plans, .training = 1, .grad_scale = 1.0f / (float)n->answers,
                                  .lengths = n->nodes ? n->lengths : NULL, .nodes = n->nodes, .edges = n->edges,
                                  .hops = n->hops, .encodings = n->encodings, .values = n->values};
    double *losses = NULL;
    int err = plans ? SSA_OK : SSA_ENOMEM;
    for (int l = 0; !err && l < n->layers; l++)
        plans[l] = &n->plans[l];
    for (int i = 0; !err && i < n->count; i++)
        err = shake(ssa_model_parameter(n->model, i), i);
    if (!err && !(err = ssa_model_forward(n->model, &pass)))
        err = read_doubles(ssa_model_losses(n->model), (size_t)n->answers, &losses);
    *loss = 0;
    for (int i = 0; !err && i < n->answers; i++)
        *loss += losses[i] / n->answers;
    free(losses);
    free(plans);
    err = err ? err : ssa_model_backward(n->model);
    for (int i = 0; !err && i < n->count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(n->model, i);
        if (!(err = read_doubles(p->value, p->count, &n->value[i])))
            err = read_doubles(p->grad, p->count, &n->grad[i]);
    }
    return err;
}

/* Moves every parameter along its gradient, each so far that the loss goes up by `step` or so whatever the size of its
 * gradient, with some elements left out, so that the rest must be right too. Returns by how much, over `step`, the
 * gradient promises that all of it goes up. */
static double move(struct network *n, double step)
{
    double slope = 0;
    for (int i = 0; i < n->count; i++) {
        const size_t count = ssa_model_parameter(n->model, i)->count;
        double square = 0;
        for (size_t j = 0; j < count; j++)
            square += n->grad[i][j] * n->grad[i][j];
        for (size_t j = 0; square > 1e-20 && j < count; j++) {
            double along = j % 3 ? n->grad[i][j] / square : 0;
            slope += along * n->grad[i][j];
            n->value[i][j] += step * along;
        }
    }
    return slope;
}

/* ---- all of it ---- */

/* How the layers sample; `cut` to the positions that are looked at. */
static int draw(struct network *n, const struct ssa_pattern *pattern, bool cut)
{
    int err = SSA_OK;
    for (int l = 0; l < n->layers && !err; l++) {
        struct ssa_plan whole = {0};
        struct ssa_sample how;
        err = ssa_model_sample(&n->config, pattern, l, 1, 0, &how);
        how.lengths = n->nodes ? n->lengths : NULL;
        if (!err)
            err = ssa_plan_draw(cut ? &whole : &n->plans[l], &how);
        if (cut && !err)
            err = ssa_plan_head(&n->plans[l], &whole, n->positions, n->positions);
        ssa_plan_finish(&whole);
    }
    return err;
}

static int allocate(struct network *n)
{
    const int length = ssa_model_length(&n->config), image = model_int(&n->config, "rows") *
                       model_int(&n->config, "columns") * model_int(&n->config, "channels");
    size_t widest = 1, room, pairs = 0;
    for (int i = 0; i < n->count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(n->model, i);
        widest = (size_t)p->rows > widest ? (size_t)p->rows : widest;
        widest = (size_t)p->columns > widest ? (size_t)p->columns : widest;
    }
    if (n->config.family == SSA_SWIN) /* the first stage has the most of them */
        pairs = (size_t)n->positions * (size_t)n->config.swin.window * (size_t)n->config.swin.window *
                (size_t)n->config.swin.heads[0];
    if (n->config.family == SSA_EGT)
        pairs = graph_room(n);
    room = (size_t)n->positions * widest + (size_t)image;
    n->value = calloc((size_t)n->count, sizeof *n->value);
    n->grad = calloc((size_t)n->count, sizeof *n->grad);
    n->plans = calloc((size_t)n->layers, sizeof *n->plans);
    bool all = n->value && n->grad && n->plans;
    if (n->config.family == SSA_EGT)
        all &= graph_allocate(n) == SSA_OK;
    else
        all &= (n->targets = malloc((size_t)length * sizeof *n->targets)) != NULL;
    if (n->config.family == SSA_VIT || n->config.family == SSA_SWIN)
        all &= (n->pixels = make_values((size_t)image, 1)) != NULL;
    else if (n->config.family != SSA_EGT)
        all &= (n->tokens = malloc((size_t)length * sizeof *n->tokens)) != NULL;
    for (int i = 0; i < ROOMS; i++)
        all &= (n->room[i] = malloc((room > pairs ? room : pairs) * sizeof(double))) != NULL;
    return all ? SSA_OK : SSA_ENOMEM;
}

static void finish(struct network *n)
{
    for (int i = 0; i < n->count; i++) {
        free(n->value ? n->value[i] : NULL);
        free(n->grad ? n->grad[i] : NULL);
    }
    for (int l = 0; n->plans && l < n->layers; l++)
        ssa_plan_finish(&n->plans[l]);
    for (int i = 0; i < ROOMS; i++)
        free(n->room[i]);
    void *all[] = {n->value, n->grad, n->plans, n->tokens, n->targets, n->pixels};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    graph_free(n);
}

/* Numbers that a model of these may be given, and answers. */
static void fill(struct network *n)
{
    const struct ssa_model_config *c = &n->config;
    const unsigned ids = (unsigned)(model_int(c, "vocabulary") + model_int(c, "values"));
    const unsigned classes = ids ? ids : (unsigned)model_int(c, "classes");
    for (int t = 0; n->targets && t < ssa_model_length(c); t++) {
        if (n->tokens)
            n->tokens[t] = (int32_t)(((unsigned)t * 2654435761u >> 16) % ids);
        n->targets[t] = t < n->answers ? (int32_t)((7 * (unsigned)t + 1) % classes) : -1;
    }
}

/* The errors, relative, of the loss and of the slope. */
static double judge(struct network *n, double got)
{
    double want = forward(n), slope = move(n, 0), step = 1e-7 / n->count;
    move(n, step);
    double up = forward(n);
    move(n, -2 * step);
    double quotient = (up - forward(n)) / (2 * step);
    return fmax(fabs(got - want) / want, fabs(slope - quotient) / fabs(slope));
}

int check_model(struct ssa_model *model, const struct ssa_pattern *pattern, double *error)
{
    struct network n = {.model = model, .config = *ssa_model_config(model), .count = ssa_model_tensors(model)};
    double got = 0;
    ssa_model_settle(&n.config);
    n.layers = ssa_model_layers(&n.config);
    n.positions = reference_positions(&n.config);
    n.answers = model_is_causal(&n.config)     ? n.positions
                : n.config.family == SSA_GPT ? ssa_model_length(&n.config)
                : n.config.family == SSA_EGT ? n.config.egt.targets
                                             : 1;
    int err = allocate(&n);
    if (!err) {
        fill(&n);
        if (!(err = draw(&n, pattern, false)))
            err = library_pass(&n, &got);
    }
    if (!err && n.positions < ssa_model_length(&n.config))
        err = draw(&n, pattern, true);
    if (!err)
        *error = judge(&n, got);
    finish(&n);
    return err;
}

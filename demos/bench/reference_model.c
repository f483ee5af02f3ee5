#include "reference_model.h"

#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Parameters in double precision, by number; the network as it runs over them. */
struct network {
    struct ssa_model *model;
    const struct ssa_model_config *config;
    const struct ssa_plan *const *plans;
    double **value, **grad;
    int count;           /* of parameters */
    int positions;
    int32_t *tokens, *targets, *keys;
    double *x, *h, *a, *u, *p; /* residual stream, normed, qkv, hidden, probabilities */
};

/* What a layer has, in the order of `layer_names`. */
enum { NORM1_GAIN, NORM1_BIAS, QKV, QKV_BIAS, PROJ, PROJ_BIAS, NORM2_GAIN, NORM2_BIAS, UP, UP_BIAS, DOWN, DOWN_BIAS,
       LAYER_PARAMETERS };
static const char *const layer_names[] = {"norm1.gain", "norm1.bias", "qkv.weight", "qkv.bias", "proj.weight",
                                          "proj.bias", "norm2.gain", "norm2.bias", "up.weight", "up.bias",
                                          "down.weight", "down.bias"};

static const double *parameter(const struct network *n, const char *name)
{
    const struct ssa_parameter *p = ssa_model_find(n->model, name);
    for (int i = 0; i < n->count; i++)
        if (ssa_model_parameter(n->model, i) == p)
            return n->value[i];
    return NULL;
}

/* y = w x + bias, added to y if `add`. */
static void linear(double *y, const double *w, const double *bias, const double *x, int in, int out, int add)
{
    for (int o = 0; o < out; o++) {
        double s[8] = {0}, sum = bias ? bias[o] : 0;
        for (int i = 0; i < in; i += 8)
            for (int j = 0; j < 8; j++)
                s[j] += w[(size_t)o * (size_t)in + (size_t)(i + j)] * x[i + j];
        for (int j = 0; j < 8; j++)
            sum += s[j];
        y[o] = add ? y[o] + sum : sum;
    }
}

static void layer_norm(double *y, const double *x, const double *gain, const double *bias, int width)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < width; i++)
        mean += x[i] / width;
    for (int i = 0; i < width; i++)
        variance += (x[i] - mean) * (x[i] - mean) / width;
    for (int i = 0; i < width; i++)
        y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * gain[i] + bias[i];
}

static double gelu(const struct network *n, double x)
{
    if (n->config->gpt.activation != SSA_ACT_GELU_TANH)
        return 0.5 * x * (1 + erf(x * 0.70710678118654752));
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

/* Rotary positions: every head of q and k, halves against each other. */
static void rotate(const struct network *n, int position, double *qk)
{
    int width = n->config->gpt.width / n->config->gpt.heads, half = width / 2;
    for (int head = 0; head < 2 * n->config->gpt.heads; head++)
        for (int i = 0; i < half; i++) {
            double angle = position * pow(1e4, -2.0 * i / width), *a = qk + head * width + i, *b = a + half, kept = *a;
            *a = kept * cos(angle) - *b * sin(angle);
            *b = kept * sin(angle) + *b * cos(angle);
        }
}

/* One head of one query: the keys are those of the plan (or all), at or before it. Result in out. */
static void attend(const struct network *n, int layer, int query, int head, double *out)
{
    const struct ssa_plan *plan = n->plans ? n->plans[layer] : NULL;
    int width = n->config->gpt.width, d = width / n->config->gpt.heads, keys = query + 1;
    const double *q = n->a + (size_t)query * 3 * (size_t)width + head * d;
    double sum = 0;
    if (plan)
        keys = ssa_plan_keys(plan, 0, query, n->keys);
    for (int i = 0; i < d; i++)
        out[i] = 0;
    for (int j = 0; j < keys; j++) {
        int key = plan ? n->keys[j] : j;
        if (key > query)
            continue;
        const double *k = n->a + (size_t)key * 3 * (size_t)width + width + head * d, *v = k + width;
        double s = 0;
        for (int i = 0; i < d; i++)
            s += q[i] * k[i];
        s = exp(s / sqrt(d));
        sum += s;
        for (int i = 0; i < d; i++)
            out[i] += s * v[i];
    }
    for (int i = 0; i < d && sum > 0; i++)
        out[i] /= sum;
}

static void run_layer(struct network *n, int layer)
{
    int c = n->config->gpt.width, d = c / n->config->gpt.heads, hidden = n->config->gpt.hidden;
    const double *w[LAYER_PARAMETERS];
    for (int i = 0; i < LAYER_PARAMETERS; i++) {
        char name[64];
        snprintf(name, sizeof name, "layer.%d.%s", layer, layer_names[i]);
        w[i] = parameter(n, name);
    }
    for (int t = 0; t < n->positions; t++) {
        layer_norm(n->h, n->x + t * c, w[NORM1_GAIN], w[NORM1_BIAS], c);
        linear(n->a + t * 3 * c, w[QKV], w[QKV_BIAS], n->h, c, 3 * c, 0);
        if (n->config->gpt.positions == SSA_POSITIONS_ROTARY)
            rotate(n, t, n->a + t * 3 * c);
    }
    for (int t = 0; t < n->positions; t++) {
        for (int head = 0; head < n->config->gpt.heads; head++)
            attend(n, layer, t, head, n->h + head * d);
        double *x = n->x + t * c;
        linear(x, w[PROJ], w[PROJ_BIAS], n->h, c, c, 1);
        layer_norm(n->h, x, w[NORM2_GAIN], w[NORM2_BIAS], c);
        linear(n->u, w[UP], w[UP_BIAS], n->h, c, hidden, 0);
        for (int i = 0; i < hidden; i++)
            n->u[i] = gelu(n, n->u[i]);
        linear(x, w[DOWN], w[DOWN_BIAS], n->u, hidden, c, 1);
    }
}

static double cross_entropy(const double *logits, int vocabulary, int target)
{
    double top = logits[0], sum = 0;
    for (int v = 1; v < vocabulary; v++)
        top = logits[v] > top ? logits[v] : top;
    for (int v = 0; v < vocabulary; v++)
        sum += exp(logits[v] - top);
    return log(sum) + top - logits[target];
}

/* The mean loss of the positions. */
static double forward(struct network *n)
{
    int c = n->config->gpt.width;
    const double *embed = parameter(n, "embed.weight"), *position = parameter(n, "position.weight");
    double loss = 0;
    for (int t = 0; t < n->positions; t++)
        for (int i = 0; i < c; i++)
            n->x[t * c + i] = embed[n->tokens[t] * c + i] + (position ? position[t * c + i] : 0);
    for (int layer = 0; layer < n->config->gpt.layers; layer++)
        run_layer(n, layer);
    const double *gain = parameter(n, "norm.gain"), *bias = parameter(n, "norm.bias");
    const double *head = n->config->gpt.untied ? parameter(n, "head.weight") : embed;
    for (int t = 0; t < n->positions; t++) {
        layer_norm(n->h, n->x + t * c, gain, bias, c);
        linear(n->p, head, NULL, n->h, c, n->config->gpt.vocabulary, 0);
        loss += cross_entropy(n->p, n->config->gpt.vocabulary, n->targets[t]) / n->positions;
    }
    return loss;
}

static int read_doubles(struct ssa_tensor t, size_t count, double **values)
{
    float *x = malloc(count * sizeof *x);
    *values = malloc(count * sizeof **values);
    int err = x && *values ? ssa_tensor_read(t, x, count) : bench_out_of_memory();
    for (size_t i = 0; !err && i < count; i++)
        (*values)[i] = (double)x[i];
    free(x);
    return err;
}

/* The library's answer: mean loss of the positions, and its gradients. */
static int library_pass(struct network *n, double *loss)
{
    struct ssa_pass pass = {.tokens = n->tokens, .targets = n->targets, .batch = 1, .length = n->config->gpt.length,
                            .plans = n->plans, .training = 1, .grad_scale = 1.0f / (float)n->positions};
    double *losses;
    int err;
    if ((err = ssa_model_forward(n->model, &pass)) ||
        (err = read_doubles(ssa_model_losses(n->model), (size_t)n->positions, &losses)))
        return err;
    *loss = 0;
    for (int t = 0; t < n->positions; t++)
        *loss += losses[t] / n->positions;
    free(losses);
    if ((err = ssa_model_backward(n->model)))
        return err;
    for (int i = 0; i < n->count; i++) {
        const struct ssa_parameter *p = ssa_model_parameter(n->model, i);
        if ((err = read_doubles(p->value, p->count, &n->value[i])) ||
            (err = read_doubles(p->grad, p->count, &n->grad[i])))
            return err;
    }
    return SSA_OK;
}

/* Moves every parameter `step` along its gradient with some elements left out, so that the rest must be right too.
 * Returns the slope that the gradient promises. */
static double move(struct network *n, double step)
{
    double slope = 0;
    for (int i = 0; i < n->count; i++) {
        for (size_t j = 0; j < ssa_model_parameter(n->model, i)->count; j++) {
            double g = n->grad[i][j], along = j % 3 ? g : 0;
            slope += along * g;
            n->value[i][j] += step * along;
        }
    }
    return slope;
}

static int allocate(struct network *n)
{
    size_t c = (size_t)n->config->gpt.width, t = (size_t)n->positions, all = (size_t)n->config->gpt.length;
    n->value = calloc((size_t)n->count, sizeof *n->value);
    n->grad = calloc((size_t)n->count, sizeof *n->grad);
    n->tokens = malloc(all * sizeof *n->tokens);
    n->targets = malloc(all * sizeof *n->targets);
    n->keys = malloc((all + 1) * sizeof *n->keys);
    n->x = malloc(t * c * sizeof *n->x);
    n->h = malloc(c * sizeof *n->h);
    n->a = malloc(3 * t * c * sizeof *n->a);
    n->u = malloc((size_t)n->config->gpt.hidden * sizeof *n->u);
    n->p = malloc((size_t)n->config->gpt.vocabulary * sizeof *n->p);
    return n->value && n->grad && n->tokens && n->targets && n->keys && n->x && n->h && n->a && n->u && n->p
               ? SSA_OK
               : bench_out_of_memory();
}

static void finish(struct network *n)
{
    for (int i = 0; i < n->count; i++) {
        if (n->value)
            free(n->value[i]);
        if (n->grad)
            free(n->grad[i]);
    }
    void *all[] = {n->value, n->grad, n->tokens, n->targets, n->keys, n->x, n->h, n->a, n->u, n->p};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int check_model(struct ssa_model *model, const struct ssa_plan *const *plans, int positions, double *error)
{
    struct network n = {.model = model, .config = ssa_model_config(model), .plans = plans,
                        .count = ssa_model_tensors(model), .positions = positions};
    double got = 0;
    int err = allocate(&n);
    for (int t = 0; !err && t < n.config->gpt.length; t++) {
        n.tokens[t] = (int32_t)((unsigned)t * 2654435761u >> 24) % n.config->gpt.vocabulary;
        n.targets[t] = t < positions ? (n.tokens[t] * 7 + 1) % n.config->gpt.vocabulary : -1;
    }
    if (!err)
        err = library_pass(&n, &got);
    if (!err) {
        double want = forward(&n), slope = move(&n, 0), step = 1e-4 / sqrt(slope > 0 ? slope : 1);
        move(&n, step);
        double up = forward(&n);
        move(&n, -2 * step);
        double quotient = (up - forward(&n)) / (2 * step);
        *error = fmax(fabs(got - want) / want, fabs(slope - quotient) / fabs(slope));
    }
    finish(&n);
    return err;
}

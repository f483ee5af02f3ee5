#include "exact.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

double *exact_value(const struct ssa_model *m, int layer, const char *name)
{
    char prefix[24] = "", whole[96];
    if (layer >= 0)
        snprintf(prefix, sizeof prefix, "layer.%d.", layer);
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    const struct ssa_parameter *p = ssa_model_find(m, whole);
    if (!p)
        return NULL;
    float *x = test_read(p->value, p->count);
    double *d = test_doubles(x, p->count);
    free(x);
    return d;
}

static double *part(const struct ssa_model *m, int layer, const char *name, const char *what)
{
    char whole[48];
    snprintf(whole, sizeof whole, "%s.%s", name, what);
    return exact_value(m, layer, whole);
}

void exact_linear(const struct ssa_model *m, int layer, const char *name, int rows, int in, int out, const double *x,
                  double *y)
{
    double *w = part(m, layer, name, "weight"), *bias = part(m, layer, name, "bias");
    ck_assert_msg(w != NULL, "no %s.weight", name);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < out; o++) {
            y[r * out + o] = bias ? bias[o] : 0;
            for (int i = 0; i < in; i++)
                y[r * out + o] += x[r * in + i] * w[o * in + i];
        }
    free(w);
    free(bias);
}

void exact_norm(const struct ssa_model *m, int layer, const char *name, int rows, int width, double eps,
                const double *x, double *y)
{
    double *gain = part(m, layer, name, "gain"), *bias = part(m, layer, name, "bias");
    ck_assert_msg(gain && bias, "no %s", name);
    for (int r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < width; c++)
            mean += x[r * width + c] / width;
        for (int c = 0; c < width; c++)
            variance += (x[r * width + c] - mean) * (x[r * width + c] - mean) / width;
        for (int c = 0; c < width; c++)
            y[r * width + c] = (x[r * width + c] - mean) / sqrt(variance + eps) * gain[c] + bias[c];
    }
    free(gain);
    free(bias);
}

void exact_mlp(const struct ssa_model *m, int layer, int rows, int width, int hidden, double eps, double *x)
{
    double *y = malloc((size_t)(rows * width) * sizeof *y), *wide = malloc((size_t)(rows * hidden) * sizeof *wide);
    exact_norm(m, layer, "norm2", rows, width, eps, x, y);
    exact_linear(m, layer, "up", rows, width, hidden, y, wide);
    for (int i = 0; i < rows * hidden; i++)
        wide[i] *= 0.5 * (1 + erf(wide[i] / sqrt(2)));
    exact_linear(m, layer, "down", rows, hidden, width, wide, y);
    for (int i = 0; i < rows * width; i++)
        x[i] += y[i];
    free(y);
    free(wide);
}

void exact_mean(int rows, int width, const double *x, double *y)
{
    for (int c = 0; c < width; c++) {
        y[c] = 0;
        for (int r = 0; r < rows; r++)
            y[c] += x[r * width + c] / rows;
    }
}

double exact_loss(const double *logits, int classes, int target)
{
    double sum = 0;
    for (int v = 0; v < classes; v++)
        sum += exp(logits[v]);
    return log(sum) - logits[target];
}

#include "reference_network.h"

#include "model.h"

#include "oracle/linear.h"
#include "oracle/norm.h"

#include <stdio.h>
#include <string.h>

const double *network_value(const struct network *n, const char *name, const char *part,
                            const struct ssa_parameter **shape)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s%s", n->prefix, name, part);
    *shape = ssa_model_find(n->model, full);
    for (int i = 0; i < n->count; i++)
        if (ssa_model_parameter(n->model, i) == *shape)
            return n->value[i];
    return NULL;
}

int network_linear(const struct network *n, const char *name, const double *x, int activation, const double *residual,
                   double *y)
{
    const struct ssa_parameter *w, *none;
    const double *matrix = network_value(n, name, ".weight", &w);
    oracle_linear_fwd(x, matrix, network_value(n, name, ".bias", &none), residual, n->room[UNREAD], y, (size_t)n->rows,
                      (size_t)w->columns, (size_t)w->rows, activation);
    return w->rows;
}

void network_norm(const struct network *n, const char *name, const double *x, double *y)
{
    const struct ssa_model_config *c = &n->config;
    const struct ssa_parameter *gain, *none;
    const double *gains = network_value(n, name, ".gain", &gain), pixels = *n->prefix ? 1e-5 : 1e-6;
    const double eps = c->family == SSA_GPT ? (double)c->gpt.norm_eps : c->family == SSA_VIT ? (double)c->vit.norm_eps
                     : c->family == SSA_SWIN ? (double)c->swin.norm_eps
                     : c->family == SSA_EGT ? (double)c->egt.norm_eps : pixels;
    const double *bias = network_value(n, name, ".bias", &none);
    oracle_norm_fwd(x, gains, bias, n->rows, gain->rows, false, eps, y, n->room[UNREAD]);
}

void network_take_apart(const struct network *n, size_t keys, size_t values)
{
    const double *from = n->room[WIDE];
    for (size_t t = 0; t < (size_t)n->rows; t++, from += 2 * keys + values) {
        memcpy(n->room[Q] + t * keys, from, keys * sizeof *from);
        memcpy(n->room[K] + t * keys, from + keys, keys * sizeof *from);
        memcpy(n->room[V] + t * values, from + 2 * keys, values * sizeof *from);
    }
}

void network_mlp(const struct network *n, double *x)
{
    const int activation = model_int(&n->config, "activation");
    network_norm(n, "norm2", x, n->room[NORM]);
    network_linear(n, "up", n->room[NORM], activation ? activation : SSA_ACT_GELU, NULL, n->room[WIDE]);
    network_linear(n, "down", n->room[WIDE], SSA_ACT_NONE, x, x);
}

#include "attention.h"
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int oracle_attention_keys(const struct ssa_plan *plan, int example, int query, int causal, int *keys)
{
    const int32_t *p = plan->data + plan->stride * (size_t)(plan->examples > 1 ? example : 0);
    const int32_t *range = p + p[PLAN_RANGE_AT] + 2 * (query / p[PLAN_BLOCK]);
    const int32_t *slice_start = p + p[PLAN_SLICE_AT], *source = p + p[PLAN_SOURCE_AT];
    int n = 0;
    if (query >= p[PLAN_LENGTH])
        return 0;
    if (p[PLAN_COMMON])
        for (int s = slice_start[0]; s < slice_start[1]; s++)
            keys[n++] = source[s];
    for (int s = slice_start[range[0]]; s < slice_start[range[1]]; s++)
        keys[n++] = source[s];
    if (p[p[PLAN_OWN_AT] + query])
        keys[n++] = query;
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (!causal || keys[i] <= query)
            keys[kept++] = keys[i];
    return kept;
}

struct row { /* one query of one head */
    int b, h, i, g, n;
    const int *keys;
    double *p; /* probabilities of the n keys */
};

static size_t query_at(const struct oracle_attention *a, int b, int i, int h)
{
    return (((size_t)b * a->length + i) * a->heads + h) * a->width;
}

static size_t key_at(const struct oracle_attention *a, int b, int j, int g)
{
    return (((size_t)b * a->length + j) * a->kv_heads + g) * a->width;
}

static double dot(const double *x, const double *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static double scale_of(const struct oracle_attention *a)
{
    return a->scale != 0 ? a->scale : 1 / sqrt(a->width);
}

/* Fills in the probabilities and returns the natural logarithm of the sum of exponentials. */
static double softmax(const struct oracle_attention *a, struct row *r)
{
    double top = -INFINITY, sum = 0;
    for (int t = 0; t < r->n; t++) {
        r->p[t] = scale_of(a) * dot(a->q + query_at(a, r->b, r->i, r->h), a->k + key_at(a, r->b, r->keys[t], r->g),
                                    a->width);
        top = fmax(top, r->p[t]);
    }
    if (!r->n)
        return -INFINITY;
    for (int t = 0; t < r->n; t++)
        sum += r->p[t] = exp(r->p[t] - top);
    for (int t = 0; t < r->n; t++)
        r->p[t] /= sum;
    return top + log(sum);
}

static void forward_row(const struct oracle_attention *a, struct row *r)
{
    double *out = a->out + query_at(a, r->b, r->i, r->h);
    a->lse[((size_t)r->b * a->heads + r->h) * a->length + r->i] = softmax(a, r) / log(2);
    for (int d = 0; d < a->width; d++) {
        out[d] = 0;
        for (int t = 0; t < r->n; t++)
            out[d] += r->p[t] * a->v[key_at(a, r->b, r->keys[t], r->g) + d];
    }
}

static void backward_row(const struct oracle_attention *a, struct row *r)
{
    const double *q = a->q + query_at(a, r->b, r->i, r->h), *dout = a->dout + query_at(a, r->b, r->i, r->h);
    double *dq = a->dq + query_at(a, r->b, r->i, r->h), mean = 0;
    softmax(a, r);
    for (int t = 0; t < r->n; t++) /* = dout . out */
        mean += r->p[t] * dot(dout, a->v + key_at(a, r->b, r->keys[t], r->g), a->width);
    for (int t = 0; t < r->n; t++) {
        size_t at = key_at(a, r->b, r->keys[t], r->g);
        double ds = scale_of(a) * r->p[t] * (dot(dout, a->v + at, a->width) - mean);
        for (int d = 0; d < a->width; d++) {
            dq[d] += ds * a->k[at + d];
            a->dk[at + d] += ds * q[d];
            a->dv[at + d] += r->p[t] * dout[d];
        }
    }
}

static void each_row(const struct oracle_attention *a, void (*visit)(const struct oracle_attention *, struct row *))
{
    int *keys = calloc((size_t)a->length + 1, sizeof *keys);
    struct row r = {.keys = keys, .p = calloc((size_t)a->length + 1, sizeof(double))};
    for (r.b = 0; r.b < a->batch; r.b++)
        for (r.i = 0; r.i < a->length; r.i++) {
            r.n = oracle_attention_keys(a->plan, r.b, r.i, a->causal, keys);
            for (r.h = 0; r.h < a->heads; r.h++) {
                r.g = r.h / (a->heads / a->kv_heads);
                visit(a, &r);
            }
        }
    free(keys);
    free(r.p);
}

void oracle_attention_fwd(const struct oracle_attention *a)
{
    each_row(a, forward_row);
}

void oracle_attention_bwd(const struct oracle_attention *a)
{
    size_t rows = (size_t)a->batch * a->length;
    memset(a->dq, 0, rows * a->heads * a->width * sizeof(double));
    memset(a->dk, 0, rows * a->kv_heads * a->width * sizeof(double));
    memset(a->dv, 0, rows * a->kv_heads * a->width * sizeof(double));
    each_row(a, backward_row);
}

#include "attention.h"
#include "plan.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int oracle_attention_keys(const struct ssa_plan *plan, int example, int query, int causal, int *keys)
{
    const int32_t *p = plan->data + plan->stride * (size_t)(plan->examples > 1 ? example : 0);
    const int32_t *range = p + p[PLAN_RANGE_AT] + 2 * ((query + p[PLAN_LACK]) / p[PLAN_BLOCK]);
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

/* One query of one head, and of its n keys: scale q.k, probability, gate, and what dropout multiplies by. */
struct row {
    int b, h, i, g, n;
    const int *keys;
    double *score, *p, *gate, *keep;
};

static int queries_of(const struct oracle_attention *a)
{
    return a->queries ? a->queries : a->keys;
}

static int value_width_of(const struct oracle_attention *a)
{
    return a->value_width ? a->value_width : a->width;
}

/* Fewer queries than keys are the last of the sequence. */
static int position_of(const struct oracle_attention *a, int i)
{
    return queries_of(a) < a->keys ? a->keys - queries_of(a) + i : i;
}

static int real_length(const struct oracle_attention *a, int b)
{
    return a->plan->data[a->plan->stride * (size_t)(a->plan->examples > 1 ? b : 0) + PLAN_LENGTH];
}

static size_t query_at(const struct oracle_attention *a, const struct row *r, int width)
{
    return (((size_t)r->b * queries_of(a) + r->i) * a->heads + r->h) * width;
}

static size_t key_at(const struct oracle_attention *a, const struct row *r, int j, int width)
{
    return (((size_t)r->b * a->keys + j) * a->kv_heads + r->g) * width;
}

static size_t row_at(const struct oracle_attention *a, const struct row *r)
{
    return ((size_t)r->b * a->heads + r->h) * queries_of(a) + r->i;
}

static size_t pair_at(const struct oracle_attention *a, const struct row *r, int j)
{
    return row_at(a, r) * a->keys + j;
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

static double score_of(const struct oracle_attention *a, const struct row *r, int j)
{
    return scale_of(a) *
           dot(a->q + query_at(a, r, a->width), a->k + key_at(a, r, j, a->width), a->width);
}

static double logit_of(const struct oracle_attention *a, const struct row *r, int j, double score)
{
    if (a->clip > 0)
        score = fmin(fmax(score, -a->clip), a->clip);
    return score + (a->bias ? a->bias[pair_at(a, r, j)] : 0);
}

static int clipped(const struct oracle_attention *a, double score)
{
    return a->clip > 0 && fabs(score) > a->clip;
}

static int is_drawn(const struct oracle_attention *a, const struct row *r, int j, float share)
{
    uint64_t number = (a->first_example + (uint64_t)r->b) * (uint64_t)a->heads + (uint64_t)r->h;
    uint64_t counter = (number << 42) + ((uint64_t)position_of(a, r->i) << 20) + (uint64_t)j / 4;
    return ssa_uniform(ssa_philox(a->seed, counter, a->stream).v[j % 4]) < share;
}

static double keep_of(const struct oracle_attention *a, const struct row *r, int j)
{
    if (a->keep)
        return a->keep[pair_at(a, r, j)];
    if (a->dropout <= 0)
        return 1;
    return is_drawn(a, r, j, a->dropout) ? 0 : 1 / (1 - (double)a->dropout);
}

/* Fills in the row and returns the natural logarithm of the sum of exponentials. */
static double softmax(const struct oracle_attention *a, struct row *r)
{
    double top = -INFINITY, sum = 0;
    for (int t = 0; t < r->n; t++) {
        int j = r->keys[t];
        r->score[t] = score_of(a, r, j);
        r->p[t] = a->drop_keys > 0 && is_drawn(a, r, j, a->drop_keys) ? -INFINITY : logit_of(a, r, j, r->score[t]);
        r->gate[t] = a->gate ? 1 / (1 + exp(-a->gate[pair_at(a, r, j)])) : 1;
        r->keep[t] = keep_of(a, r, j);
        top = fmax(top, r->p[t]);
    }
    if (top == -INFINITY) { /* there are no keys, or all are hidden by the bias or dropped */
        for (int t = 0; t < r->n; t++)
            r->p[t] = 0;
        return -INFINITY;
    }
    for (int t = 0; t < r->n; t++)
        sum += r->p[t] = exp(r->p[t] - top);
    for (int t = 0; t < r->n; t++)
        r->p[t] /= sum;
    return top + log(sum);
}

static void forward_row(const struct oracle_attention *a, struct row *r)
{
    int width = value_width_of(a), real = real_length(a, r->b);
    double *out = a->out + query_at(a, r, width), gates = 0;
    a->lse[row_at(a, r)] = softmax(a, r) / log(2);
    for (int d = 0; d < width; d++) {
        out[d] = 0;
        for (int t = 0; t < r->n; t++)
            out[d] += r->p[t] * r->gate[t] * r->keep[t] * a->v[key_at(a, r, r->keys[t], width) + d];
    }
    for (int t = 0; t < r->n; t++)
        gates += r->gate[t];
    if (a->gate_sum)
        a->gate_sum[row_at(a, r)] = gates;
    for (int j = 0; a->scores && j < a->keys; j++)
        a->scores[pair_at(a, r, j)] =
            j < real && position_of(a, r->i) < real ? logit_of(a, r, j, score_of(a, r, j)) : 0;
}

/* The gradient `da` of a logit goes to the bias, q and k. */
static void add_logit_gradient(const struct oracle_attention *a, const struct row *r, int j, double score, double da)
{
    size_t at_q = query_at(a, r, a->width), at_k = key_at(a, r, j, a->width);
    if (a->dbias)
        a->dbias[pair_at(a, r, j)] += da;
    for (int d = 0; !clipped(a, score) && d < a->width; d++) {
        a->dq[at_q + d] += scale_of(a) * da * a->k[at_k + d];
        a->dk[at_k + d] += scale_of(a) * da * a->q[at_q + d];
    }
}

static void backward_row(const struct oracle_attention *a, struct row *r)
{
    int width = value_width_of(a), real = real_length(a, r->b);
    const double *dout = a->dout + query_at(a, r, width);
    double delta = 0, sum = a->dgate_sum ? a->dgate_sum[row_at(a, r)] : 0;
    softmax(a, r);
    for (int t = 0; t < r->n; t++) /* = dout . out */
        delta += r->p[t] * r->gate[t] * r->keep[t] * dot(dout, a->v + key_at(a, r, r->keys[t], width), width);
    for (int t = 0; t < r->n; t++) {
        int j = r->keys[t];
        size_t at = key_at(a, r, j, width);
        double product = dot(dout, a->v + at, width), gate = r->gate[t], weight = r->p[t] * gate * r->keep[t];
        add_logit_gradient(a, r, j, r->score[t], weight * product - r->p[t] * delta);
        if (a->dgate)
            a->dgate[pair_at(a, r, j)] += (r->p[t] * r->keep[t] * product + sum) * gate * (1 - gate);
        for (int d = 0; d < width; d++)
            a->dv[at + d] += weight * dout[d];
    }
    for (int j = 0; a->dscores && position_of(a, r->i) < real && j < a->keys && j < real; j++)
        add_logit_gradient(a, r, j, score_of(a, r, j), a->dscores[pair_at(a, r, j)]);
}

/* Of a row's keys those that are not hidden; returns how many. */
static int leave_hidden(const struct oracle_attention *a, const struct row *r, const int *keys, int n, int *left)
{
    int count = 0;
    for (int t = 0; t < n; t++)
        if (!a->hidden || a->hidden[pair_at(a, r, keys[t])] == 0)
            left[count++] = keys[t];
    return count;
}

static void each_row(const struct oracle_attention *a, void (*visit)(const struct oracle_attention *, struct row *))
{
    size_t most = (size_t)a->keys + 1;
    int *keys = calloc(2 * most, sizeof *keys), *left = keys + most;
    double *values = calloc(4 * most, sizeof *values);
    struct row r = {.keys = left, .score = values, .p = values + most, .gate = values + 2 * most,
                    .keep = values + 3 * most};
    for (r.b = 0; r.b < a->batch; r.b++)
        for (r.i = 0; r.i < queries_of(a); r.i++) {
            int n = oracle_attention_keys(a->plan, r.b, position_of(a, r.i), a->causal, keys);
            for (r.h = 0; r.h < a->heads; r.h++) {
                r.g = r.h / (a->heads / a->kv_heads);
                r.n = leave_hidden(a, &r, keys, n, left);
                visit(a, &r);
            }
        }
    free(keys);
    free(values);
}

void oracle_attention_fwd(const struct oracle_attention *a)
{
    each_row(a, forward_row);
}

static void clear(double *x, size_t count)
{
    if (x)
        memset(x, 0, count * sizeof *x);
}

void oracle_attention_bwd(const struct oracle_attention *a)
{
    size_t queries = (size_t)a->batch * queries_of(a) * a->heads, keys = (size_t)a->batch * a->keys * a->kv_heads;
    clear(a->dq, queries * a->width);
    clear(a->dk, keys * a->width);
    clear(a->dv, keys * value_width_of(a));
    clear(a->dbias, queries * a->keys);
    clear(a->dgate, queries * a->keys);
    each_row(a, backward_row);
}

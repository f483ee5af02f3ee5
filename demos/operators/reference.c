#include "reference.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SAMPLES = 12, MAX_WIDTH = 256, LANES = 8 };

struct attention_work {
    const struct attention_check *c;
    int32_t *keys;       /* that one query sees */
    double *p, *dp;      /* by key of that query */
    double *row, *drow;  /* of the query: out, dq */
    double *dk, *dv;     /* of the sampled keys */
    double worst[4], largest[4]; /* out, dq, dk, dv */
};

/* Sampled positions are spread evenly and hold the first and the last. */
static int sampled(int slot, int length)
{
    return (int)((long)slot * (length - 1) / (SAMPLES - 1));
}

static int slot_of(int position, int length)
{
    int s = (int)((long)position * (SAMPLES - 1) / (length - 1 > 0 ? length - 1 : 1));
    for (int i = s; i <= s + 1 && i < SAMPLES; i++)
        if (sampled(i, length) == position)
            return i;
    return -1;
}

static size_t at(const struct attention_check *c, int position)
{
    return (((size_t)c->example * (size_t)c->length + (size_t)position) * (size_t)c->heads + (size_t)c->head) *
           (size_t)c->width;
}

static double dot(const float *x, const float *y, int n)
{
    double s[LANES] = {0}, sum = 0;
    for (int i = 0; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            s[j] += (double)x[i + j] * (double)y[i + j];
    for (int j = 0; j < LANES; j++)
        sum += s[j];
    return sum;
}

static void add_row(double *sum, double factor, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        sum[i] += factor * (double)x[i];
}

/* The larger error; one that is no number is as large as can be. */
static double worse(double a, double b)
{
    return !(b <= DBL_MAX) ? DBL_MAX : b > a ? b : a;
}

static void compare(struct attention_work *w, int which, const float *got, const double *want)
{
    for (int i = 0; got && i < w->c->width; i++) {
        w->worst[which] = worse(w->worst[which], fabs((double)got[i] - want[i]));
        if (fabs(want[i]) > w->largest[which])
            w->largest[which] = fabs(want[i]);
    }
}

/* Probabilities of the query's keys, and their gradients' products dout.v; returns how many there are. */
static int probabilities(struct attention_work *w, int query)
{
    const struct attention_check *c = w->c;
    int all = ssa_plan_keys(c->plan, c->plan->examples > 1 ? c->example : 0, query, w->keys), n = 0;
    double top = -INFINITY, sum = 0;
    for (int j = 0; j < all; j++) {
        if (c->causal && w->keys[j] > query)
            continue;
        w->keys[n] = w->keys[j];
        w->p[n] = dot(c->q + at(c, query), c->k + at(c, w->keys[n]), c->width) / sqrt(c->width);
        w->dp[n] = dot(c->dout + at(c, query), c->v + at(c, w->keys[n]), c->width);
        top = w->p[n] > top ? w->p[n] : top;
        n++;
    }
    for (int j = 0; j < n; j++)
        sum += w->p[j] = exp(w->p[j] - top);
    for (int j = 0; j < n; j++)
        w->p[j] /= sum;
    return n;
}

static void check_query(struct attention_work *w, int query)
{
    const struct attention_check *c = w->c;
    int n = probabilities(w, query), d = c->width;
    bool chosen = slot_of(query, c->length) >= 0;
    double delta = 0;
    for (int i = 0; i < d; i++)
        w->row[i] = w->drow[i] = 0;
    for (int j = 0; j < n; j++)
        delta += w->p[j] * w->dp[j];
    for (int j = 0; j < n; j++) {
        double ds = w->p[j] * (w->dp[j] - delta) / sqrt(d);
        int slot = slot_of(w->keys[j], c->length);
        if (slot >= 0) {
            add_row(w->dk + slot * d, ds, c->q + at(c, query), d);
            add_row(w->dv + slot * d, w->p[j], c->dout + at(c, query), d);
        }
        if (chosen) {
            add_row(w->row, w->p[j], c->v + at(c, w->keys[j]), d);
            add_row(w->drow, ds, c->k + at(c, w->keys[j]), d);
        }
    }
    if (chosen) {
        compare(w, 0, c->out ? c->out + at(c, query) : NULL, w->row);
        compare(w, 1, c->dq ? c->dq + at(c, query) : NULL, w->drow);
    }
}

static double relative(const struct attention_work *w, int which)
{
    return w->largest[which] > 0 ? w->worst[which] / w->largest[which] : w->worst[which];
}

int check_attention(const struct attention_check *c, struct attention_errors *errors)
{
    size_t keys = (size_t)c->plan->max_keys + 1;
    struct attention_work w = {.c = c};
    int err = SSA_ENOMEM;
    w.keys = malloc(keys * sizeof *w.keys);
    w.p = malloc(keys * sizeof *w.p);
    w.dp = malloc(keys * sizeof *w.dp);
    w.row = calloc(2 * (SAMPLES + 1) * (size_t)c->width, sizeof *w.row);
    if (!w.keys || !w.p || !w.dp || !w.row)
        goto done;
    w.drow = w.row + c->width;
    w.dk = w.drow + c->width;
    w.dv = w.dk + SAMPLES * c->width;
    for (int i = 0; i < c->length; i++)
        check_query(&w, i);
    for (int s = 0; s < SAMPLES; s++) {
        int position = sampled(s, c->length);
        if (slot_of(position, c->length) != s) /* short sequences: sampled twice */
            continue;
        compare(&w, 2, c->dk ? c->dk + at(c, position) : NULL, w.dk + s * c->width);
        compare(&w, 3, c->dv ? c->dv + at(c, position) : NULL, w.dv + s * c->width);
    }
    errors->forward = relative(&w, 0);
    errors->backward = fmax(relative(&w, 1), fmax(relative(&w, 2), relative(&w, 3)));
    err = SSA_OK;
done:
    free(w.keys);
    free(w.p);
    free(w.dp);
    free(w.row);
    return err;
}

double check_gemm(const struct gemm_check *c)
{
    enum { TRIES = 64 };
    double worst = 0, largest = 0;
    for (size_t s = 0; s < TRIES; s++) {
        size_t i = s * (c->rows - 1) / (TRIES - 1), j = (s * 37 % TRIES) * (c->columns - 1) / (TRIES - 1);
        double want = 0;
        for (size_t l = 0; l < c->inner; l++)
            want += (double)c->a[i * c->a_row + l * c->a_inner] * (double)c->b[j * c->b_column + l * c->b_inner];
        worst = worse(worst, fabs((double)c->c[i * c->columns + j] - want));
        largest = fabs(want) > largest ? fabs(want) : largest;
    }
    return largest > 0 ? worst / largest : worst;
}

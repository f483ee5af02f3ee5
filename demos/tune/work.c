#include "tune.h"

#include "bench.h"
#include "reference.h"
#include "tensors.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Attention uses all of them; a linear layer q as x, k as w, dout as dy, and out, dq, dk as y, dx, dw. */
enum { Q, K, V, DOUT, OUT, DQ, DK, DV, LSE, PLAN, ROLES };

struct work_data {
    struct ssa_device *device;
    struct ssa_tensor t[ROLES];
    size_t count[ROLES];
    float *host[DOUT + 1];
    struct ssa_plan plan;
    int batch, length, heads, width; /* of attention */
    int rows, in, out;               /* of a linear layer */
};

/* ---- what is run ---- */

static int attention_fwd(const struct work_case *c)
{
    const struct work_data *d = c->data;
    return ssa_attention_fwd(c->device, &(struct ssa_attention_fwd){{
        .q = d->t[Q], .k = d->t[K], .v = d->t[V], .out = d->t[OUT], .lse = d->t[LSE], .plan = &d->plan,
        .plan_data = d->t[PLAN], .batch = d->batch, .keys = d->length, .heads = d->heads, .width = d->width,
        .causal = 1}});
}

static int attention_bwd(const struct work_case *c)
{
    const struct work_data *d = c->data;
    return ssa_attention_bwd(c->device, &(struct ssa_attention_bwd){
        .attention = {.q = d->t[Q], .k = d->t[K], .v = d->t[V], .out = d->t[OUT], .lse = d->t[LSE], .plan = &d->plan,
        .plan_data = d->t[PLAN], .batch = d->batch, .keys = d->length, .heads = d->heads, .width = d->width,
        .causal = 1}, .dout = d->t[DOUT], .dq = d->t[DQ], .dk = d->t[DK], .dv = d->t[DV]});
}

static int linear_fwd(const struct work_case *c)
{
    const struct work_data *d = c->data;
    return ssa_linear_fwd(c->device, &(struct ssa_linear_fwd){.x = d->t[Q], .w = d->t[K], .y = d->t[OUT],
                                                              .rows = d->rows, .in = d->in, .out = d->out});
}

static int linear_dx(const struct work_case *c)
{
    const struct work_data *d = c->data;
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.w = d->t[K], .dy = d->t[DOUT], .dx = d->t[DQ],
                                                              .rows = d->rows, .in = d->in, .out = d->out});
}

static int linear_dw(const struct work_case *c)
{
    const struct work_data *d = c->data;
    return ssa_linear_bwd(c->device, &(struct ssa_linear_bwd){.x = d->t[Q], .dy = d->t[DOUT], .dw = d->t[DK],
                                                              .rows = d->rows, .in = d->in, .out = d->out});
}

/* ---- checking ---- */

static double largest_difference(const float *got, const float *want, size_t count)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        worst = !(d <= DBL_MAX) ? DBL_MAX : d > worst ? d : worst;
        largest = fabs((double)want[i]) > largest ? fabs((double)want[i]) : largest;
    }
    return largest > 0 ? worst / largest : worst;
}

/* What a kernel leaves unwritten stays NaN. */
static int run_on_blank(const struct work_case *c)
{
    int err = SSA_OK;
    for (int i = 0; i < c->outputs && !err; i++)
        err = ssa_tensor_fill(c->output[i], NAN, c->count[i]);
    return err ? err : c->run(c);
}

int work_check(const struct work_case *c, double *error)
{
    int err = run_on_blank(c);
    *error = 0;
    for (int i = 0; i < c->outputs && !err; i++) {
        float *got = malloc(c->count[i] * sizeof *got);
        if (!got)
            return bench_out_of_memory();
        err = ssa_tensor_read(c->output[i], got, c->count[i]);
        *error = err ? 0 : fmax(*error, largest_difference(got, c->want[i], c->count[i]));
        free(got);
    }
    return err;
}

static int reference_attention(const struct work_case *c, double *error)
{
    const struct work_data *d = c->data;
    bool backward = c->outputs == 3;
    struct attention_errors errors = {0, 0};
    struct attention_check a = {.plan = &d->plan, .batch = d->batch, .length = d->length, .heads = d->heads,
                                .width = d->width, .causal = 1, .example = d->batch - 1, .head = d->heads / 2,
                                .q = d->host[Q], .k = d->host[K], .v = d->host[V], .dout = d->host[DOUT]};
    if (backward)
        a.dq = c->want[0], a.dk = c->want[1], a.dv = c->want[2];
    else
        a.out = c->want[0];
    if (check_attention(&a, &errors))
        return bench_out_of_memory();
    *error = backward ? errors.backward : errors.forward;
    return SSA_OK;
}

static int reference_linear(const struct work_case *c, double *error)
{
    const struct work_data *d = c->data;
    size_t rows = (size_t)d->rows, in = (size_t)d->in, out = (size_t)d->out;
    struct gemm_check g = {d->host[Q], d->host[K], c->want[0], rows, out, in, in, 1, in, 1};
    if (c->run == linear_dx)
        g = (struct gemm_check){d->host[DOUT], d->host[K], c->want[0], rows, in, out, out, 1, 1, in};
    if (c->run == linear_dw)
        g = (struct gemm_check){d->host[DOUT], d->host[Q], c->want[0], out, in, rows, 1, out, 1, in};
    *error = check_gemm(&g);
    return SSA_OK;
}

/* ---- preparing ---- */

static int fill(struct work_data *d, const bool *input)
{
    int err = SSA_OK;
    for (int i = Q; i <= LSE && !err; i++) {
        if (!d->count[i])
            continue;
        if (i <= DOUT && input[i] && !(d->host[i] = make_values(d->count[i], (uint64_t)i + 1)))
            return bench_out_of_memory();
        err = make_tensor(&d->t[i], d->device, d->count[i], i <= DOUT ? d->host[i] : NULL);
    }
    return err;
}

static int make_attention(struct work_data *d, int length, int keys, const struct work_options *o, bool gpu)
{
    static const bool input[DOUT + 1] = {true, true, true, true};
    struct ssa_sample how = {.kind = keys ? SSA_UNBIASED : SSA_DENSE, .length = length, .keys = keys,
                             .own_key = keys != 0, .seed = 1};
    d->batch = gpu && !o->quick ? 4 : 1;
    d->heads = o->quick ? 2 : 8;
    d->width = o->width;
    d->length = length;
    size_t all = (size_t)d->batch * (size_t)length * (size_t)d->heads;
    for (int i = Q; i <= DV; i++)
        d->count[i] = all * (size_t)d->width;
    d->count[LSE] = all;
    int err = ssa_plan_draw(&d->plan, &how);
    if (err || (err = fill(d, input)))
        return err;
    return ssa_plan_upload(d->device, &d->plan, &d->t[PLAN]);
}

static int make_linear(struct work_data *d, const struct work_options *o)
{
    static const bool input[DOUT + 1] = {[Q] = true, [K] = true, [DOUT] = true};
    d->rows = o->quick ? 200 : 4096;
    d->in = o->quick ? 72 : 384;
    d->out = o->quick ? 100 : 1536;
    d->count[Q] = d->count[DQ] = (size_t)d->rows * (size_t)d->in;
    d->count[K] = d->count[DK] = (size_t)d->in * (size_t)d->out;
    d->count[DOUT] = d->count[OUT] = (size_t)d->rows * (size_t)d->out;
    return fill(d, input);
}

/* Runs the case untuned, keeps what it answers, and checks that in double precision. */
static int add_case(struct work *w, struct work_case c, int first, int outputs,
                    int (*reference)(const struct work_case *, double *))
{
    struct work_case *to = &w->cases[w->count++];
    double error = 0;
    *to = c;
    to->device = w->device;
    to->data = w->data[w->data_count - 1];
    to->outputs = outputs;
    for (int i = 0; i < outputs; i++) {
        to->output[i] = to->data->t[first + i];
        to->count[i] = to->data->count[first + i];
        if (!(to->want[i] = malloc(to->count[i] * sizeof(float))))
            return bench_out_of_memory();
    }
    int err = run_on_blank(to);
    for (int i = 0; i < outputs && !err; i++)
        err = ssa_tensor_read(to->output[i], to->want[i], to->count[i]);
    if (err || (err = reference(to, &error)))
        return err;
    if (error < 1e-4)
        return SSA_OK;
    w->wrong = to->name;
    return SSA_EDEVICE;
}

static struct work_data *add_data(struct work *w)
{
    struct work_data *d = calloc(1, sizeof *d);
    if (d) {
        d->device = w->device;
        w->data[w->data_count++] = d;
    }
    return d;
}

static int add_attention(struct work *w, const struct work_options *o, bool gpu, int length, int keys)
{
    struct work_data *d = add_data(w);
    struct work_case fwd = {.family = "attention_fwd", .run = attention_fwd}, bwd = {.family = "attention_bwd",
                                                                                      .run = attention_bwd};
    int err;
    if (!d)
        return bench_out_of_memory();
    if ((err = make_attention(d, length, keys, o, gpu)))
        return err;
    double unit = (double)d->plan.pairs_causal * d->batch * d->heads * d->width;
    fwd.flops = 4 * unit;
    bwd.flops = 10 * unit;
    snprintf(fwd.name, sizeof fwd.name, "attention fwd D%d N%d %s", d->width, length, keys ? "sampled" : "dense");
    snprintf(bwd.name, sizeof bwd.name, "attention bwd D%d N%d %s", d->width, length, keys ? "sampled" : "dense");
    if ((err = add_case(w, fwd, OUT, 1, reference_attention)))
        return err;
    return add_case(w, bwd, DQ, 3, reference_attention);
}

static int add_linear(struct work *w, const struct work_options *o)
{
    static const struct {
        const char *name;
        int (*run)(const struct work_case *);
        int output;
    } ways[] = {{"fwd", linear_fwd, OUT}, {"dx", linear_dx, DQ}, {"dw", linear_dw, DK}};
    struct work_data *d = add_data(w);
    int err;
    if (!d)
        return bench_out_of_memory();
    if ((err = make_linear(d, o)))
        return err;
    for (int i = 0; i < 3 && !err; i++) {
        struct work_case c = {.family = "gemm", .run = ways[i].run, .flops = 2.0 * d->rows * d->in * d->out};
        snprintf(c.name, sizeof c.name, "linear %s %dx%dx%d", ways[i].name, d->rows, d->in, d->out);
        err = add_case(w, c, ways[i].output, 1, reference_linear);
    }
    return err;
}

int work_open(struct work *w, const struct work_options *o)
{
    struct ssa_device_info info;
    memset(w, 0, sizeof *w);
    int err = ssa_device_open(&w->device, o->device);
    if (err)
        return err;
    ssa_device_info(w->device, &info);
    ssa_tuning_list(w->device, w->found, MAX_TUNABLES, &w->found_count);
    ssa_tuning_reset(w->device, NULL);
    if (strncmp(o->kernel, "gemm", 4) &&
        ((err = add_attention(w, o, info.gpu_shape, o->quick ? 96 : 1024, 0)) ||
         (err = add_attention(w, o, info.gpu_shape, o->quick ? 160 : 2048, o->quick ? 40 : 512))))
        return err;
    if (!strncmp(o->kernel, "attention", 9))
        return SSA_OK;
    err = add_linear(w, o);
    char path[160] = "";
    ssa_device_path(w->device, "linear_fwd", path, sizeof path);
    w->library = !strcmp(path, "CLBlast");
    return err;
}

static void free_data(struct work_data *d)
{
    for (int i = 0; i < ROLES; i++)
        ssa_buffer_destroy(d->t[i].buffer);
    for (int i = 0; i <= DOUT; i++)
        free(d->host[i]);
    ssa_plan_finish(&d->plan);
    free(d);
}

void work_close(struct work *w)
{
    if (w->device)
        ssa_device_finish(w->device);
    for (int i = 0; i < w->count; i++)
        for (int j = 0; j < w->cases[i].outputs; j++)
            free(w->cases[i].want[j]);
    for (int i = 0; i < w->data_count; i++)
        free_data(w->data[i]);
    ssa_device_close(w->device);
    memset(w, 0, sizeof *w);
}

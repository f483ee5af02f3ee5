/* Attention over plans of every kind: time, share of peak, error and memory of both directions. */
#include "bench.h"
#include "reference.h"

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { Q, K, V, DOUT, OUT, DQ, DK, DV, ROLES };

struct kind {
    const char *name;
    int kind, look_back;
    double ratio; /* of the keys; with --ratio the quarters are replaced, and other shares left out */
    bool quick;   /* also with --quick */
};
static const struct kind kinds[] = {
    {"dense", SSA_DENSE, 0, 1, true},
    {"unbiased", SSA_UNBIASED, 0, 0.5, false},
    {"unbiased", SSA_UNBIASED, 0, 0.25, true},
    {"unbiased", SSA_UNBIASED, 0, 0.125, false},
    {"local", SSA_LOCAL, 0, 0.25, true},
    {"look-back", SSA_LOCAL, 1, 0.25, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct bench_case {
    const struct bench *bench;
    const struct kind *kind;
    int batch, length, heads, width, causal, keys;
    struct ssa_device *device;
    struct ssa_plan plan;
    size_t count; /* of every tensor but lse and the plan */
    struct ssa_tensor t[ROLES], lse, plan_data;
    float *host[ROLES];
    double bytes[2]; /* forward, backward */
    double pairs;
};

static int forward(void *context)
{
    struct bench_case *c = context;
    struct ssa_attention_fwd a = {.q = c->t[Q], .k = c->t[K], .v = c->t[V], .out = c->t[OUT], .lse = c->lse,
                                  .plan = &c->plan, .plan_data = c->plan_data, .batch = c->batch,
                                  .length = c->length, .heads = c->heads, .width = c->width, .causal = c->causal};
    return ssa_attention_fwd(c->device, &a);
}

static int backward(void *context)
{
    struct bench_case *c = context;
    struct ssa_attention_bwd a = {.q = c->t[Q], .k = c->t[K], .v = c->t[V], .out = c->t[OUT], .lse = c->lse,
                                  .dout = c->t[DOUT], .dq = c->t[DQ], .dk = c->t[DK], .dv = c->t[DV],
                                  .plan = &c->plan, .plan_data = c->plan_data, .batch = c->batch,
                                  .length = c->length, .heads = c->heads, .width = c->width, .causal = c->causal};
    return ssa_attention_bwd(c->device, &a);
}

static int both(void *context)
{
    int err = forward(context);
    return err ? err : backward(context);
}

static int draw(struct bench_case *c)
{
    struct ssa_sample how = {.kind = c->kind->kind, .look_back = c->kind->look_back, .length = c->length,
                             .keys = c->kind->kind == SSA_DENSE ? 0 : c->keys, .own_key = c->bench->own_key,
                             .seed = 1};
    int err = ssa_plan_draw(&c->plan, &how);
    c->pairs = (c->causal ? c->plan.pairs_causal : c->plan.pairs) * c->batch; /* one draw for the batch */
    return err;
}

/* Inputs first, then the outputs of each direction, each run once: what the device holds more is the direction's. */
static int prepare(struct bench_case *c)
{
    size_t base;
    int err = draw(c);
    if (err || (err = bench_tensor(&c->plan_data, c->device, c->plan.stride * (size_t)c->plan.examples, c->plan.data)))
        return err;
    for (int i = Q; i <= DOUT; i++) {
        c->host[i] = bench_values(c->count, (uint64_t)i + 1);
        if (!c->host[i])
            return bench_out_of_memory();
        if ((err = bench_tensor(&c->t[i], c->device, c->count, c->host[i])))
            return err;
    }
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    size_t lse_count = (size_t)c->batch * (size_t)c->heads * (size_t)c->length;
    if ((err = bench_tensor(&c->t[OUT], c->device, c->count, NULL)) ||
        (err = bench_tensor(&c->lse, c->device, lse_count, NULL)) || (err = forward(c)) ||
        (err = ssa_device_finish(c->device)))
        return err;
    c->bytes[0] = bench_peak_bytes(c->device, base);
    for (int i = DQ; i <= DV; i++)
        if ((err = bench_tensor(&c->t[i], c->device, c->count, NULL)))
            return err;
    if ((err = backward(c)) || (err = ssa_device_finish(c->device)))
        return err;
    c->bytes[1] = bench_peak_bytes(c->device, base) - 4.0 * (double)(c->count + lse_count);
    return SSA_OK;
}

static int check(struct bench_case *c, struct attention_errors *errors)
{
    int err;
    for (int i = OUT; i <= DV; i++) {
        c->host[i] = malloc(c->count * sizeof(float));
        if (!c->host[i])
            return bench_out_of_memory();
        if ((err = ssa_tensor_read(c->t[i], c->host[i], c->count)))
            return err;
    }
    struct attention_check a = {.plan = &c->plan, .batch = c->batch, .length = c->length, .heads = c->heads,
                                .width = c->width, .causal = c->causal, .example = c->batch - 1,
                                .head = c->heads / 2, .q = c->host[Q], .k = c->host[K], .v = c->host[V],
                                .dout = c->host[DOUT], .out = c->host[OUT], .dq = c->host[DQ], .dk = c->host[DK],
                                .dv = c->host[DV]};
    return check_attention(&a, errors) ? bench_out_of_memory() : SSA_OK;
}

/* Seconds per pair of the dense case of the same length, causal or not: does time fall as the keys do? */
static double dense_seconds_per_pair[2];

/* `tensors`: how many tensors as large as q the direction writes. */
static void report(struct bench_case *c, const char *direction, struct timing t, double factor, double error,
                   double bytes, double tensors)
{
    struct row r = {.suite = "attention", .direction = direction, .time = t, .error = error, .bytes = bytes,
                    .flops = factor * c->heads * c->width * c->pairs};
    snprintf(r.name, sizeof r.name, "%s k=%d%s B%d H%d D%d N%d", c->kind->name, c->keys, c->causal ? " causal" : "",
             c->batch, c->heads, c->width, c->length);
    double share = bytes / (4.0 * tensors * (double)c->count);
    r.more = json_pack("{ss sb si si si si si sf}", "kind", c->kind->name, "causal", c->causal, "batch", c->batch,
                       "heads", c->heads, "width", c->width, "length", c->length, "keys", c->keys, "bytes_share",
                       share);
    snprintf(r.note, sizeof r.note, "memory %.2fx of what it writes", share);
    if (strcmp(direction, "fwd+bwd") == 0) {
        double each = t.seconds_min / c->pairs, *dense = &dense_seconds_per_pair[c->causal];
        if (c->kind->kind == SSA_DENSE)
            *dense = each;
        json_object_set_new(r.more, "of_proportional", json_real(*dense / each));
        snprintf(r.note + strlen(r.note), sizeof r.note - strlen(r.note), ", time %.2f of proportional",
                 *dense / each);
    }
    report_row(c->bench, &r);
}

static int run(struct bench_case *c)
{
    struct attention_errors errors = {0, 0};
    struct timing t[3];
    int err;
    if ((err = prepare(c)) || (err = measure(c->bench, c->device, forward, c, &t[0])) ||
        (err = measure(c->bench, c->device, backward, c, &t[1])) ||
        (err = measure(c->bench, c->device, both, c, &t[2])) || (err = check(c, &errors)))
        return err;
    report(c, "fwd", t[0], 4, errors.forward, c->bytes[0], 1);
    report(c, "bwd", t[1], 10, errors.backward, c->bytes[1], 3);
    report(c, "fwd+bwd", t[2], 14, errors.forward > errors.backward ? errors.forward : errors.backward,
           c->bytes[0] + c->bytes[1], 4);
    return SSA_OK;
}

/* Each case has a device of its own: scratch is kept by a device, and would hide what the next case needs. */
static int run_case(struct bench_case *c)
{
    int err = ssa_device_open(&c->device, c->bench->info.id);
    c->count = (size_t)c->batch * (size_t)c->length * (size_t)c->heads * (size_t)c->width;
    if (!err)
        err = run(c);
    for (int i = 0; i < ROLES; i++) {
        ssa_buffer_destroy(c->t[i].buffer);
        free(c->host[i]);
    }
    ssa_buffer_destroy(c->lse.buffer);
    ssa_buffer_destroy(c->plan_data.buffer);
    ssa_plan_finish(&c->plan);
    ssa_device_close(c->device);
    return err;
}

static bool taken(const struct bench *b, const struct kind *k)
{
    return (!b->quick || k->quick) && (!(b->ratio > 0) || k->ratio == 0.25 || k->kind == SSA_DENSE);
}

static int run_length(const struct bench *b, int length, int *done)
{
    for (int i = 0; i < KINDS; i++) {
        struct kind k = kinds[i];
        if (!taken(b, &k))
            continue;
        if (b->ratio > 0 && k.kind != SSA_DENSE)
            k.ratio = b->ratio;
        for (int causal = 0; causal < 2; causal++) {
            struct bench_case c = {.bench = b, .kind = &k, .batch = b->batch ? b->batch : 1, .length = length,
                                   .heads = b->heads ? b->heads : 8, .width = b->width ? b->width : 64,
                                   .causal = causal, .keys = (int)(k.ratio * length + 0.5)};
            int err = run_case(&c);
            if (err)
                return err;
            progress_update(++*done, -1, "%s, N %d", k.name, length);
        }
    }
    return SSA_OK;
}

int bench_attention(const struct bench *b)
{
    const int lengths[] = {b->length ? b->length : b->quick ? 256 : 1024, b->length || b->quick ? 0 : 2048};
    int done = 0, all = 0, err = SSA_OK;
    for (int i = 0; i < KINDS; i++)
        all += taken(b, &kinds[i]) ? 2 * (lengths[1] ? 2 : 1) : 0;
    progress_begin("attention", all);
    for (int i = 0; i < 2 && lengths[i] && !err; i++)
        err = run_length(b, lengths[i], &done);
    progress_end();
    return err;
}

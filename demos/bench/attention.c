/* Attention over plans of every kind: time, share of peak, error and memory of both directions. */
#include "bench.h"

#include "numbers.h"
#include "reference.h"
#include "tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { Q, K, V, DOUT, OUT, DQ, DK, DV, ROLES };

struct kind {
    const char *name;
    int kind, look_back;
    double ratio; /* of the keys; with --ratio the quarters are replaced, and other shares left out */
    bool quick, closed; /* also in that set */
};
static const struct kind kinds[] = {
    {"dense", SSA_DENSE, 0, 1, true, true},
    {"unbiased", SSA_UNBIASED, 0, 0.5, false, false},
    {"unbiased", SSA_UNBIASED, 0, 0.25, true, true},
    {"unbiased", SSA_UNBIASED, 0, 0.125, false, true},
    {"local", SSA_LOCAL, 0, 0.5, false, false},
    {"local", SSA_LOCAL, 0, 0.25, true, true},
    {"local", SSA_LOCAL, 0, 0.125, false, false},
    {"look-back", SSA_LOCAL, 1, 0.25, false, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

enum { BATCH, HEADS, WIDTH, LENGTH };
static const char *const fields[] = {"batch", "heads", "width", "length", NULL};

enum { FORWARD, BACKWARD, BOTH, DIRECTIONS };
static const char *const directions[] = {"fwd", "bwd", "fwd+bwd"};
static const double tolerance = 2e-5, rounded = 2e-2; /* relative to the largest value of a tensor */

struct state {
    const struct bench *bench;
    const struct kind *kind;
    int batch, length, heads, width, causal, keys;
    struct ssa_device *device;
    struct ssa_plan plan;
    size_t count, lse_count; /* elements of every tensor but lse and the plan; of lse */
    struct ssa_tensor t[ROLES], lse, plan_data;
    float *host[ROLES];
    double held[DIRECTIONS];
    double first[DIRECTIONS];
    double pairs;
};

static int forward(void *context)
{
    struct state *c = context;
    struct ssa_attention_fwd a = {{
        .q = c->t[Q], .k = c->t[K], .v = c->t[V], .out = c->t[OUT], .lse = c->lse, .plan = &c->plan,
        .plan_data = c->plan_data, .batch = c->batch, .keys = c->length, .heads = c->heads, .width = c->width,
        .causal = c->causal}};
    return ssa_attention_fwd(c->device, &a);
}

static int backward(void *context)
{
    struct state *c = context;
    struct ssa_attention_bwd a = {
        .attention = {.q = c->t[Q], .k = c->t[K], .v = c->t[V], .out = c->t[OUT], .lse = c->lse, .plan = &c->plan,
        .plan_data = c->plan_data, .batch = c->batch, .keys = c->length, .heads = c->heads, .width = c->width,
        .causal = c->causal}, .dout = c->t[DOUT], .dq = c->t[DQ], .dk = c->t[DK], .dv = c->t[DV]};
    return ssa_attention_bwd(c->device, &a);
}

static int both(void *context)
{
    int err = forward(context);
    return err ? err : backward(context);
}

static int draw(struct state *c)
{
    struct ssa_sample how = {.kind = c->kind->kind, .look_back = c->kind->look_back, .length = c->length,
                             .keys = c->kind->kind == SSA_DENSE ? 0 : c->keys, .own_key = c->bench->own_key,
                             .seed = 1};
    int err = ssa_plan_draw(&c->plan, &how);
    c->pairs = (c->causal ? c->plan.pairs_causal : c->plan.pairs) * c->batch; /* one draw for the batch */
    return err;
}

static int make_inputs(struct state *c)
{
    int err = draw(c);
    if (err || (err = ssa_plan_upload(c->device, &c->plan, &c->plan_data)))
        return err;
    for (int i = Q; i <= DOUT; i++) {
        c->host[i] = make_values(c->count, (uint64_t)i + 1);
        if (!c->host[i])
            return bench_out_of_memory();
        if ((err = make_tensor(&c->t[i], c->device, c->count, c->host[i])))
            return err;
    }
    return SSA_OK;
}

static int first_call(struct state *c, int direction, bench_work work)
{
    struct timing t;
    int err = measure_first(c->device, work, c, &t);
    c->first[direction] = t.first;
    return err;
}

/* The outputs of each direction, each run once: what the device holds more is the direction's. */
static int run_once(struct state *c)
{
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = make_tensor(&c->t[OUT], c->device, c->count, NULL)) ||
        (err = make_tensor(&c->lse, c->device, c->lse_count, NULL)) || (err = first_call(c, FORWARD, forward)))
        return err;
    c->held[FORWARD] = bench_peak_bytes(c->device, base);
    for (int i = DQ; i <= DV; i++)
        if ((err = make_tensor(&c->t[i], c->device, c->count, NULL)))
            return err;
    if ((err = first_call(c, BACKWARD, backward)))
        return err;
    c->held[BACKWARD] = bench_peak_bytes(c->device, base) - 4.0 * (double)(c->count + c->lse_count);
    c->held[BOTH] = c->held[FORWARD] + c->held[BACKWARD];
    c->first[BOTH] = c->first[FORWARD] + c->first[BACKWARD];
    return SSA_OK;
}

static int check(struct state *c, struct attention_errors *errors)
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

/* Every operand once: keys and values only where somebody sees them. lse is 4 bytes a row and head. */
static double bytes_moved(const struct state *c, int direction)
{
    double all = 4.0 * (double)c->count, lse = 4.0 * (double)c->lse_count;
    double seen = c->kind->kind == SSA_UNBIASED && !c->bench->own_key ? all * c->keys / c->length : all;
    double fwd = 2 * all + 2 * seen + lse, bwd = 4 * all + 2 * seen + 2 * all + lse;
    return direction == FORWARD ? fwd : direction == BACKWARD ? bwd : fwd + bwd;
}

/* Seconds per pair of the dense case of the same length, causal or not: does time fall as the keys do? */
static void add_proportion(const struct state *c, struct result *r)
{
    static double dense[2];
    static int length[2];
    double each = r->time.median / c->pairs;
    if (c->kind->kind == SSA_DENSE) {
        dense[c->causal] = each;
        length[c->causal] = c->length;
    } else if (length[c->causal] == c->length) {
        size_t used = strlen(r->note);
        json_object_set_new(r->more, "of_proportional", number_json(dense[c->causal] / each));
        snprintf(r->note + used, sizeof r->note - used, ", time %.2f of proportional", dense[c->causal] / each);
    }
}

/* Tensors as large as q that a direction writes. */
static const double written[] = {1, 3, 4};
static const double flops_per_pair[] = {4, 10, 14};

static int run_direction(struct state *c, const struct bench_case *of, int direction, double error)
{
    static const bench_work works[] = {forward, backward, both};
    double all_pairs = (c->causal ? 0.5 * (c->length + 1.0) : c->length) * c->length * c->batch;
    double share = c->held[direction] / (4.0 * written[direction] * (double)c->count);
    struct result r = {.direction = directions[direction], .error = error,
                       .tolerance = tolerated(c->bench, tolerance, rounded),
                       .flops = flops_per_pair[direction] * c->heads * c->width * c->pairs,
                       .flops_dense = flops_per_pair[direction] * c->heads * c->width * all_pairs,
                       .moved = bytes_moved(c, direction), .held = c->held[direction]};
    int err = is_wrong(&r) ? SSA_OK : measure(c->bench, c->device, works[direction], c, r.moved, &r.time);
    if (err)
        return err;
    r.time.first = c->first[direction];
    result_path(&r, c->device, direction == FORWARD ? "attention_fwd" : "attention_bwd");
    r.plan = json_pack("{ss si sb sb so}", "kind", c->kind->name, "keys", c->keys, "causal", c->causal, "own_key",
                       c->bench->own_key, "pairs", number_json(c->pairs));
    r.more = json_pack("{so}", "held_share", number_json(share));
    snprintf(r.note, sizeof r.note, "memory %.2fx of what it writes", share);
    if (direction == BOTH && !is_wrong(&r))
        add_proportion(c, &r);
    emit(c->bench, &attention_suite, of, &r);
    return SSA_OK;
}

static int run_state(struct state *c, const struct bench_case *of)
{
    struct attention_errors errors = {0, 0};
    int err;
    if ((err = make_inputs(c)) || (err = run_once(c)) || (err = check(c, &errors)))
        return err;
    const double error[] = {errors.forward, errors.backward,
                            errors.forward <= errors.backward ? errors.backward : errors.forward};
    for (int d = 0; d < DIRECTIONS && !err; d++)
        if (bench_wants(c->bench, "attention", of->name, directions[d]))
            err = run_direction(c, of, d, error[d]);
    return err;
}

/* Each case has a device of its own: scratch is kept by a device, and would hide what the next case needs. */
static int run(const struct bench *b, const struct bench_case *of)
{
    struct state c = {.bench = b, .kind = &kinds[of->kind / 2], .batch = of->shape[BATCH], .heads = of->shape[HEADS],
                      .width = of->shape[WIDTH], .length = of->shape[LENGTH], .causal = of->kind % 2,
                      .keys = of->shape[LENGTH + 1]};
    c.count = (size_t)c.batch * (size_t)c.length * (size_t)c.heads * (size_t)c.width;
    c.lse_count = (size_t)c.batch * (size_t)c.heads * (size_t)c.length;
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = ssa_device_set_precision(c.device, b->precision);
    if (!err)
        err = run_state(&c, of);
    for (int i = 0; i < ROLES; i++) {
        ssa_buffer_destroy(c.t[i].buffer);
        free(c.host[i]);
    }
    ssa_buffer_destroy(c.lse.buffer);
    ssa_buffer_destroy(c.plan_data.buffer);
    ssa_plan_finish(&c.plan);
    ssa_device_close(c.device);
    return err;
}

/* ---- the list ---- */

static bool is_taken(const struct bench *b, const struct kind *k)
{
    return (!b->quick || k->quick) && (!b->closed || k->closed) &&
           (!(b->ratio > 0) || k->ratio == 0.25 || k->kind == SSA_DENSE);
}

static int add(const struct bench *b, struct case_list *list, int kind, int length, int causal)
{
    const struct kind *k = &kinds[kind];
    double ratio = b->ratio > 0 && k->kind != SSA_DENSE ? b->ratio : k->ratio;
    int batch = b->batch ? b->batch : 1, heads = b->heads ? b->heads : 8, width = b->width ? b->width : 64;
    int keys = (int)(ratio * length + 0.5);
    double count = (double)batch * length * heads * width, pairs = (double)length * keys / (causal ? 2 : 1);
    struct bench_case c = {.fields = fields, .shape = {batch, heads, width, length, keys}, .kind = 2 * kind + causal,
                           .directions = "fwd|bwd|fwd+bwd", .flops = 28 * count * pairs / length,
                           .moved = 24 * 4 * count, .memory = 8.5 * 4 * count, .largest = 4 * count,
                           .check_flops = 4.0 * pairs * width};
    snprintf(c.name, sizeof c.name, "%s k=%d%s B%d H%d D%d N%d", k->name, keys, causal ? " causal" : "", batch, heads,
             width, length);
    return case_add(list, &c);
}

static int list(const struct bench *b, struct case_list *list)
{
    const int lengths[] = {b->length ? b->length : b->quick ? 256 : 1024, b->length || b->quick ? 0 : 2048,
                           b->length || b->quick || b->closed ? 0 : 4096};
    int err = SSA_OK;
    for (int n = 0; n < 3 && lengths[n]; n++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int causal = 0; causal < 2 && !err; causal++)
                err = is_taken(b, &kinds[kind]) ? add(b, list, kind, lengths[n], causal) : SSA_OK;
    return err;
}

const struct suite attention_suite = {"attention", 11, list, run};

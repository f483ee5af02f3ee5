/* Every operator at the sizes of a training step (L6 C256 H8, B8 N512), each element-wise sample checked. */
#include "operators.h"

#include "bench.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 256 };
static const double tolerance = 2e-5;

static const struct {
    const char *name;
    void (*describe)(struct op_case *);
    int (*call)(struct op_case *);
    double (*want)(const struct op_case *, int, size_t);
} operators[] = {
#define ENTRY(op) {#op, describe_##op, call_##op, want_##op},
    SSA_OPS(ENTRY)
#undef ENTRY
};
enum { OPERATORS = sizeof operators / sizeof *operators };

/* ---- operands ---- */

void add_numbers(struct op_case *c, enum role role, size_t count, int limit)
{
    c->operands[c->count++] = (struct operand){.role = role, .count = count, .limit = limit,
                                               .moved = role == UPDATED ? 2 * count : count};
}

void add_operand(struct op_case *c, enum role role, size_t count)
{
    add_numbers(c, role, count, 0);
}

void set_moved(struct op_case *c, int operand, size_t elements)
{
    c->operands[operand].moved = elements;
}

static int32_t *make_numbers(size_t count, int limit, bool distinct)
{
    int32_t *ids = malloc(count * sizeof *ids);
    uint32_t state = 1;
    for (size_t i = 0; ids && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        ids[i] = distinct ? (int32_t)(i * (unsigned)limit / count) : (int32_t)((state >> 8) % (unsigned)limit);
    }
    return ids;
}

static int make_operand(struct op_case *c, int i)
{
    struct operand *o = &c->operands[i];
    bool numbers = o->role == IDS || o->role == DISTINCT;
    o->before = numbers ? (void *)make_numbers(o->count, o->limit, o->role == DISTINCT)
                        : (void *)bench_values(o->count, (uint64_t)i + 1);
    o->after = malloc(o->count * sizeof *o->after);
    if (!o->before || !o->after)
        return bench_out_of_memory();
    int err = bench_tensor(&o->tensor, c->device, o->count, o->role == WRITTEN ? NULL : o->before);
    o->tensor.type = numbers ? SSA_I32 : SSA_F32;
    return err;
}

/* Operands that `prepare` changed are taken back, to be what the reference starts from. */
static int make_operands(struct op_case *c)
{
    int err = SSA_OK;
    for (int i = 0; i < c->count && !err; i++)
        err = make_operand(c, i);
    if (err || !c->prepare || (err = c->prepare(c)))
        return err;
    for (int i = 0; i < c->count && !err; i++)
        err = ssa_tensor_read(c->operands[i].tensor, c->operands[i].before, c->operands[i].count);
    return err;
}

static void free_operands(struct op_case *c)
{
    for (int i = 0; i < c->count; i++) {
        ssa_buffer_destroy(c->operands[i].tensor.buffer);
        free(c->operands[i].before);
        free(c->operands[i].after);
    }
    ssa_plan_finish(&c->plan);
}

/* ---- a case ---- */

static struct op_case describe(const struct bench *b, int op)
{
    struct op_case c = {.batch = 8, .length = 512, .width = 256, .heads = 8, .layers = 6, .vocabulary = 256};
    if (b->quick)
        c = (struct op_case){.batch = 2, .length = 48, .width = 32, .heads = 2, .layers = 1, .vocabulary = 64};
    c.rows = c.batch * c.length;
    c.hidden = 4 * c.width;
    c.parameters = (size_t)c.layers * 12 * (size_t)c.width * (size_t)c.width;
    operators[op].describe(&c);
    return c;
}

static double moved_bytes(const struct op_case *c)
{
    double elements = 0;
    for (int i = 0; i < c->count; i++)
        elements += (double)c->operands[i].moved;
    return 4 * elements;
}

/* The largest difference of a sample of every result, relative to the largest value of the reference in it. */
static int check(struct op_case *c, int op, double *error)
{
    *error = 0;
    for (int i = 0; i < c->count; i++) {
        struct operand *o = &c->operands[i];
        double worst = 0, largest = 0;
        int err = o->role < WRITTEN ? SSA_OK : ssa_tensor_read(o->tensor, o->after, o->count);
        if (err)
            return err;
        size_t samples = o->count < SAMPLES ? o->count : SAMPLES;
        for (size_t s = 0; o->role >= WRITTEN && s < samples; s++) {
            size_t at = samples > 1 ? s * (o->count - 1) / (samples - 1) : 0;
            double want = operators[op].want(c, i, at), off = fabs((double)o->after[at] - want);
            worst = !(off <= DBL_MAX) ? DBL_MAX : off > worst ? off : worst;
            largest = fmax(largest, fabs(want));
        }
        double relative = largest > 0 ? worst / largest : worst;
        *error = relative > *error ? relative : *error;
    }
    return SSA_OK;
}

struct bound_call {
    struct op_case *c;
    int op;
};
static int call_bound(void *context)
{
    struct bound_call *b = context;
    return operators[b->op].call(b->c);
}

static int run_op(const struct bench *b, const struct bench_case *of, struct op_case *c)
{
    struct bound_call bound = {c, of->kind};
    struct result r = {.direction = of->directions, .tolerance = tolerance, .flops = c->flops,
                       .moved = moved_bytes(c)};
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = make_operands(c)) || (err = measure_first(c->device, call_bound, &bound, &r.time)) ||
        (err = check(c, of->kind, &r.error)) ||
        (err = is_wrong(&r) ? SSA_OK : measure(b, c->device, call_bound, &bound, r.moved, &r.time)))
        return err;
    r.held = bench_peak_bytes(c->device, base);
    result_path(&r, c->device, operators[of->kind].name);
    emit(b, &operators_suite, of, &r);
    return SSA_OK;
}

static int run(const struct bench *b, const struct bench_case *of)
{
    struct op_case c = describe(b, of->kind);
    int err = ssa_device_open(&c.device, b->info.id);
    if (!err)
        err = run_op(b, of, &c);
    free_operands(&c);
    ssa_device_close(c.device);
    return err;
}

/* ---- the list ---- */

static const char *direction_of(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, "_bwd") ? "bwd" : n > 4 && !strcmp(name + n - 4, "_fwd") ? "fwd" : "call";
}

static int list(const struct bench *b, struct case_list *list)
{
    static const char *const fields[] = {"batch", "length", "width", "heads", "layers", "vocabulary", NULL};
    int err = SSA_OK;
    for (int op = 0; op < OPERATORS && !err; op++) {
        struct op_case o = describe(b, op);
        struct bench_case c = {.fields = fields, .kind = op, .directions = direction_of(operators[op].name),
                               .shape = {o.batch, o.length, o.width, o.heads, o.layers, o.vocabulary},
                               .flops = o.flops, .moved = moved_bytes(&o), .check_flops = SAMPLES * o.check_flops};
        for (int i = 0; i < o.count; i++) {
            c.memory += 4 * (double)o.operands[i].count;
            c.largest = fmax(c.largest, 4 * (double)o.operands[i].count);
        }
        snprintf(c.name, sizeof c.name, "%s B%d N%d C%d", operators[op].name, o.batch, o.length, o.width);
        err = case_add(list, &c);
    }
    return err;
}

const struct suite operators_suite = {"operators", 11, list, run};

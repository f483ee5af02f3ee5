/* Every operator at the sizes of a training step (L6 C256 H8, B8 N512), checked against its oracle. */
#include "operators.h"

#include "bench.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double tolerance = 2e-5;

static struct op_case describe(const struct bench *b, int op)
{
    struct op_case c = {.batch = 8, .length = 512, .width = 256, .heads = 8, .layers = 6, .vocabulary = 256};
    if (b->quick)
        c = (struct op_case){.batch = 2, .length = 48, .width = 32, .heads = 2, .layers = 1, .vocabulary = 64};
    op_describe(&c, op);
    return c;
}

static double moved_bytes(const struct op_case *c)
{
    double elements = 0;
    for (int i = 0; i < c->count; i++)
        elements += (double)c->operands[i].moved;
    return 4 * elements;
}

/* The largest difference of a result, relative to the largest value that it must have; of one of which nothing was
 * worked out it is as large as can be. */
static double error_of(const struct operand *o)
{
    double worst = 0, largest = 0;
    size_t judged = 0;
    for (size_t i = 0; i < o->count; i++) {
        double off = fabs((double)o->after[i] - o->exact[i]);
        if (isnan(o->exact[i]))
            continue;
        judged++;
        worst = off <= DBL_MAX ? fmax(worst, off) : DBL_MAX;
        largest = fmax(largest, fabs(o->exact[i]));
    }
    if (!judged)
        return DBL_MAX;
    return largest > 0 ? worst / largest : worst;
}

static int check(struct op_case *c, double *error)
{
    int err = op_judge(c);
    *error = 0;
    for (int i = 0; i < c->count && !err; i++)
        if (c->operands[i].role >= WRITTEN)
            *error = fmax(*error, error_of(&c->operands[i]));
    return err;
}

static int run_op(const struct bench *b, const struct bench_case *of, struct op_case *c)
{
    struct result r = {.direction = of->directions, .tolerance = tolerance, .flops = c->flops,
                       .moved = moved_bytes(c)};
    size_t base;
    int err;
    ssa_device_memory(c->device, &base, NULL);
    ssa_device_reset_peak(c->device);
    if ((err = op_make(c)) || (err = measure_first(c->device, op_call, c, &r.time)) || (err = check(c, &r.error)) ||
        (err = is_wrong(&r) ? SSA_OK : measure(b, c->device, op_call, c, r.moved, &r.time)))
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
    op_finish(&c);
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
    for (int op = 0; op < operator_count && !err; op++) {
        struct op_case o = describe(b, op);
        struct bench_case c = {.fields = fields, .kind = op, .directions = direction_of(operators[op].name),
                               .shape = {o.batch, o.length, o.width, o.heads, o.layers, o.vocabulary},
                               .flops = o.flops, .moved = moved_bytes(&o), .check_flops = o.check_flops};
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

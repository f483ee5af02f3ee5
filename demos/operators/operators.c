#include "operators.h"

#include "tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JUDGED = 16, GUARD = 5 };

const struct operator operators[] = {
#define ENTRY(op) {#op, describe_##op, call_##op, want_##op},
    SSA_OPS(ENTRY)
#undef ENTRY
};
const int operator_count = sizeof operators / sizeof *operators;

/* ---- describing ---- */

struct operand *add_numbers(struct op_case *c, enum role role, const char *name, size_t count, int limit)
{
    struct operand *o = &c->operands[c->count++];
    *o = (struct operand){.name = name, .role = role, .count = count, .limit = limit, .low = -1, .high = 1,
                          .cancels = 1, .moved = role == UPDATED ? 2 * count : count};
    return o;
}

struct operand *add_operand(struct op_case *c, enum role role, const char *name, size_t count)
{
    return add_numbers(c, role, name, count, 0);
}

static void describe(struct op_case *c, int op)
{
    c->op = op;
    c->variants = 1;
    operators[op].describe(c);
    c->check_flops = c->check_flops > 0 ? c->check_flops : c->flops;
}

void op_describe(struct op_case *c, int op)
{
    c->rows = c->batch * c->length;
    c->hidden = 4 * c->width;
    c->head = c->width / c->heads;
    c->kv_heads = c->heads;
    c->parameters = (size_t)c->layers * 12 * (size_t)c->width * (size_t)c->width;
    describe(c, op);
}

void op_describe_thorough(struct op_case *c, int op, int variant, int head)
{
    struct ssa_device *device = c->device;
    *c = (struct op_case){.device = device, .thorough = true, .variant = variant, .batch = 2, .length = 75, .heads = 2,
                          .kv_heads = 1, .head = head, .rows = 37, .width = 77, .hidden = 77, .vocabulary = 77,
                          .parameters = 37 * 77, .guard = GUARD};
    describe(c, op);
}

/* ---- making ---- */

static int32_t *make_numbers(const struct op_case *c, const struct operand *o)
{
    int32_t *ids = malloc(o->count * sizeof *ids);
    uint32_t state = 1;
    for (size_t i = 0; ids && i < o->count; i++) {
        state = state * 1664525u + 1013904223u;
        if (o->role == DISTINCT && c->thorough)
            ids[i] = i ? (int32_t)(5 * i % (unsigned)o->limit) : o->limit; /* one out of range */
        else if (o->role == DISTINCT)
            ids[i] = (int32_t)(i * (unsigned)o->limit / o->count);
        else /* thorough: from -1 to the limit */
            ids[i] = (int32_t)((state >> 8) % (unsigned)(o->limit + 2 * c->thorough)) - c->thorough;
    }
    return ids;
}

static float *make_floats(const struct op_case *c, const struct operand *o, int number)
{
    float *values = make_values(o->count, (uint64_t)number + 1 + 16 * (uint64_t)c->variant);
    for (size_t i = 0; values && i < o->count; i++)
        if (o->role == WRITTEN)
            values[i] = NAN;
        else if (c->thorough)
            values[i] = o->low + (o->high - o->low) * 0.5f * (values[i] + 1);
    return values;
}

static bool is_numbers(const struct operand *o)
{
    return o->role == IDS || o->role == DISTINCT;
}

static void set_exact(struct operand *o)
{
    for (size_t i = 0; i < o->count && !is_numbers(o); i++)
        o->exact[i] = o->role == WRITTEN ? NAN : (double)((const float *)o->before)[i];
}

static int make_operand(struct op_case *c, int i)
{
    struct operand *o = &c->operands[i];
    size_t all = o->count + 2 * c->guard;
    o->before = is_numbers(o) ? (void *)make_numbers(c, o) : (void *)make_floats(c, o, i);
    o->exact = malloc((is_numbers(o) ? 1 : o->count) * sizeof *o->exact);
    o->after = malloc(all * sizeof *o->after);
    if (!o->before || !o->exact || !o->after)
        return SSA_ENOMEM;
    set_exact(o);
    for (size_t j = 0; j < all; j++)
        o->after[j] = NAN;
    int err = make_tensor(&o->tensor, c->device, all, o->after);
    if (err)
        return err;
    o->tensor = ssa_tensor_as(ssa_tensor_add(o->tensor, c->guard), is_numbers(o) ? SSA_I32 : SSA_F32);
    return ssa_tensor_write(o->tensor, o->before, o->count);
}

/* What `prepare` changed is taken back, to be what the reference starts from. */
int op_make(struct op_case *c)
{
    int err = SSA_OK;
    for (int i = 0; i < c->count && !err; i++)
        err = make_operand(c, i);
    if (err || !c->prepare || (err = c->prepare(c)))
        return err;
    for (int i = 0; i < c->count && !err; i++) {
        err = ssa_tensor_read(c->operands[i].tensor, c->operands[i].before, c->operands[i].count);
        set_exact(&c->operands[i]);
    }
    return err;
}

int put_exact(struct op_case *c, int operand)
{
    struct operand *o = &c->operands[operand];
    float *values = o->before;
    for (size_t i = 0; i < o->count; i++)
        values[i] = (float)o->exact[i];
    return ssa_tensor_write(o->tensor, values, o->count);
}

void op_finish(struct op_case *c)
{
    for (int i = 0; i < c->count; i++) {
        ssa_buffer_destroy(c->operands[i].tensor.buffer);
        free(c->operands[i].before);
        free(c->operands[i].exact);
        free(c->operands[i].after);
    }
    ssa_plan_finish(&c->plan);
}

/* ---- running ---- */

int op_call(void *c)
{
    struct op_case *o = c;
    return operators[o->op].call(o);
}

int op_judge(struct op_case *c)
{
    int err = SSA_OK;
    for (int i = 0; i < c->count && !err; i++) {
        struct operand *o = &c->operands[i];
        if (o->role >= WRITTEN)
            err = ssa_tensor_read(ssa_tensor_at(o->tensor.buffer, 0), o->after, o->count + 2 * c->guard);
    }
    if (!err)
        operators[c->op].want(c);
    return err;
}

size_t judged_rows(const struct op_case *c, size_t rows)
{
    return c->thorough || rows < JUDGED ? rows : JUDGED;
}

size_t judged_row(const struct op_case *c, size_t i, size_t rows)
{
    size_t judged = judged_rows(c, rows);
    return judged > 1 ? i * (rows - 1) / (judged - 1) : 0;
}

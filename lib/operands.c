/* What is checked of an operator's operands, whichever it is: that they are there and large enough, that they may be
 * read and written, and that no output shares memory with another operand. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

/* Elements of a root, rows apart; contiguous ones are one row. */
struct region {
    size_t start, rows, width, stride;
};

static struct region region_of(const struct ssa_operand *o)
{
    struct region r = {o->tensor.buffer->origin + o->tensor.offset, o->rows, o->width, o->stride};
    if (r.rows == 1 || r.stride == r.width)
        r = (struct region){r.start, 1, r.rows * r.width, r.rows * r.width};
    return r;
}

static size_t end_of(struct region r)
{
    return r.start + ssa_extent(r.rows, r.width, r.stride);
}

/* Whether one row, [start, end), meets rows apart. */
static bool row_meets(size_t start, size_t end, struct region r)
{
    if (end <= r.start || start >= end_of(r))
        return false;
    size_t row = start <= r.start ? 0 : (start - r.start) / r.stride; /* the first that does not end before */
    if (row * r.stride + r.start + r.width <= start)
        row++;
    return row < r.rows && r.start + row * r.stride < end;
}

/* Rows of views of one wide row lie between each other: what counts is where in the wide row they are. */
static bool columns_meet(struct region a, struct region b)
{
    if (b.start < a.start)
        return columns_meet(b, a);
    size_t row = (b.start - a.start) / a.stride, column = (b.start - a.start) % a.stride;
    bool same = column < a.width && row < a.rows;                           /* b's row 0 and a's row `row` */
    bool next = column + b.width > a.stride && row + 1 < a.rows;            /* reaches into a's row after it */
    return same || next;
}

static bool meet(struct region a, struct region b)
{
    if (end_of(a) <= b.start || end_of(b) <= a.start)
        return false;
    if (a.rows == 1)
        return row_meets(a.start, end_of(a), b);
    if (b.rows == 1)
        return row_meets(b.start, end_of(b), a);
    if (a.stride == b.stride)
        return columns_meet(a, b);
    for (size_t row = 0; row < a.rows; row++)
        if (row_meets(a.start + row * a.stride, a.start + row * a.stride + a.width, b))
            return true;
    return false;
}

static bool takes_place(const struct ssa_operand *a, const struct ssa_operand *b)
{
    const struct region x = region_of(a), y = region_of(b);
    return (a->use & b->use & SSA_PLACE) && x.start == y.start && x.rows == y.rows && x.width == y.width &&
           x.stride == y.stride;
}

static bool used(const struct ssa_operand *o)
{
    return o->use & (SSA_READ | SSA_WRITE);
}

static int check_overlap(const char *op, const struct ssa_operand *out, const struct ssa_operand *other)
{
    if (!used(other) || !out->tensor.buffer || !other->tensor.buffer ||
        out->tensor.buffer->root != other->tensor.buffer->root || !meet(region_of(out), region_of(other)) ||
        takes_place(out, other))
        return SSA_OK;
    return ssa_fail(SSA_EINVAL, "%s: %s overlaps %s%s", op, out->name, other->name,
                    out->use & other->use & SSA_PLACE ? ": it may be in its place, but exactly" : "");
}

static int check_one(const struct ssa_device *device, const char *op, const struct ssa_operand *o)
{
    const struct ssa_buffer *b = o->tensor.buffer;
    size_t stride = o->rows == 1 ? o->width : o->stride;
    int err;
    if (!used(o))
        return SSA_OK;
    REQUIRE(stride >= o->width, "%s: %s's stride is %zu, its rows are %zu wide", op, o->name, stride, o->width);
    TRY(ssa_check_tensor(device, op, o->name, o->tensor, ssa_extent(o->rows, o->width, stride), o->use & SSA_OPTIONAL));
    REQUIRE(!b || !b->no_write || !(o->use & SSA_WRITE),
            "%s: %s is in memory that kernels may not write (CL_MEM_READ_ONLY)", op, o->name);
    REQUIRE(!b || !b->no_read || !(o->use & SSA_READ),
            "%s: %s is in memory that kernels may not read (CL_MEM_WRITE_ONLY)%s", op, o->name,
            o->use & SSA_WRITE ? ", and it is both read and written" : "");
done:
    return err;
}

int ssa_check_operands(const struct ssa_device *device, const char *op, const struct ssa_operand *operands)
{
    int err = SSA_OK;
    for (const struct ssa_operand *o = operands; o->name; o++)
        TRY(check_one(device, op, o));
    for (const struct ssa_operand *o = operands; o->name; o++)
        for (const struct ssa_operand *other = operands; o->use & SSA_WRITE && other->name; other++)
            if (other < o || (other > o && !(other->use & SSA_WRITE))) /* each pair once */
                TRY(check_overlap(op, o, other));
done:
    return err;
}

/* ---- plans ---- */

static const char never_uploaded[] = "does not hold the plan: upload it after every draw (ssa_plan_upload)";

int ssa_check_plan_data(struct ssa_device *device, const char *op, const struct ssa_plan *plan, struct ssa_tensor data)
{
    const size_t count = plan->stride * (size_t)plan->examples;
    const char *asked = ssa_environment("SSACL_CHECK");
    int32_t *there = NULL;
    bool same;
    int err;
    if (device->backend->at_once) {
        same = !memcmp((const int32_t *)data.buffer->memory + data.offset, plan->data, count * sizeof *plan->data);
        return same ? SSA_OK : ssa_fail(SSA_EINVAL, "%s: plan_data %s", op, never_uploaded);
    }
    if (!asked || strcmp(asked, "1"))
        return SSA_OK;
    there = malloc(count * sizeof *there);
    if (!there)
        return ssa_fail(SSA_ENOMEM, "%s: out of host memory for $SSACL_CHECK", op);
    TRY(ssa_tensor_read(data, there, count));
    REQUIRE(!memcmp(there, plan->data, count * sizeof *there), "%s: plan_data %s", op, never_uploaded);
done:
    free(there);
    return err;
}

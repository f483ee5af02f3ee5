/* What is checked of an operator's operands, whichever it is: that they are there and large enough, that they may be
 * read and written, and that no output shares memory with another operand. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

void ssa_set_dimensions(struct ssa_operand *o, const struct ssa_dimension *dimensions, int dims)
{
    struct ssa_dimension level[5] = {{1, 1}}; /* the first: elements side by side */
    int n = 1;
    for (int i = 0; i < dims; i++) { /* by stride, the smallest first */
        const struct ssa_dimension d = dimensions[i];
        int at = n;
        if (d.count <= 1 || !d.stride)
            continue;
        for (; at > 1 && level[at - 1].stride > d.stride; at--)
            level[at] = level[at - 1];
        level[at] = d;
        n++;
    }
    int last = 0;
    for (int i = 1; i < n; i++) { /* what lies side by side is one */
        size_t end, all;
        bool fits = !__builtin_mul_overflow(level[last].count, level[last].stride, &end) &&
                    !__builtin_mul_overflow(level[last].count, level[i].count, &all);
        if (fits && level[i].stride == end)
            level[last].count = all;
        else
            level[++last] = level[i];
    }
    o->width = level[0].count;
    o->rows = last ? level[1].count : 1;
    o->stride = last ? level[1].stride : level[0].count;
    for (int i = 0; i < 3; i++)
        o->outer[i] = i + 2 <= last ? level[i + 2] : (struct ssa_dimension){0};
}

/* Elements that an operand reaches over. */
static size_t reach(const struct ssa_operand *o)
{
    size_t all = ssa_extent(o->rows, o->width, o->rows == 1 ? o->width : o->stride);
    for (int i = 0; i < 3 && o->outer[i].count; i++)
        all = ssa_extent(o->outer[i].count, all, o->outer[i].stride);
    return all;
}

/* Bytes of a root, rows apart; contiguous ones are one row. */
struct region {
    size_t start, rows, width, stride;
};

/* The innermost rows of it. */
static struct region region_of(const struct ssa_operand *o)
{
    const size_t size = ssa_type_size(o->tensor.type);
    struct region r = {ssa_place_of(o->tensor), o->rows, o->width * size, o->stride * size};
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

/* The same for what lies in dimension `outer` and within of each of them. */
static bool meet_outer(const struct ssa_operand *a, struct region at, int outer, const struct ssa_operand *b,
                       struct region other)
{
    if (outer < 0)
        return b ? meet_outer(b, other, 2, NULL, at) : meet(at, other);
    if (!a->outer[outer].count)
        return meet_outer(a, at, outer - 1, b, other);
    const size_t step = a->outer[outer].stride * ssa_type_size(a->tensor.type);
    for (size_t i = 0; i < a->outer[outer].count; i++, at.start += step)
        if (meet_outer(a, at, outer - 1, b, other))
            return true;
    return false;
}

static bool operands_meet(const struct ssa_operand *a, const struct ssa_operand *b)
{
    const struct region x = region_of(a), y = region_of(b);
    if (x.start + ssa_bytes(a->tensor, reach(a)) <= y.start || y.start + ssa_bytes(b->tensor, reach(b)) <= x.start)
        return false;
    return meet_outer(a, x, 2, b, y);
}

static bool takes_place(const struct ssa_operand *a, const struct ssa_operand *b)
{
    const struct region x = region_of(a), y = region_of(b);
    return (a->use & b->use & SSA_PLACE) && x.start == y.start && x.rows == y.rows && x.width == y.width &&
           x.stride == y.stride && !a->outer[0].count && !b->outer[0].count;
}

static bool used(const struct ssa_operand *o)
{
    return o->use & (SSA_READ | SSA_WRITE);
}

static int check_overlap(const char *op, const struct ssa_operand *out, const struct ssa_operand *other)
{
    if (!used(other) || !out->tensor.buffer || !other->tensor.buffer ||
        out->tensor.buffer->root != other->tensor.buffer->root || !operands_meet(out, other) || takes_place(out, other))
        return SSA_OK;
    return ssa_fail(SSA_EINVAL, "%s: %s overlaps %s%s", op, out->name, other->name,
                    out->use & other->use & SSA_PLACE ? ": it may be in its place, but exactly" : "");
}

/* Of an output no element may be two. */
static bool overlaps_itself(const struct ssa_operand *o)
{
    size_t inner = ssa_extent(o->rows, o->width, o->rows == 1 ? o->width : o->stride);
    for (int i = 0; i < 3 && o->outer[i].count; i++) {
        if (o->outer[i].stride < inner)
            return true;
        inner = ssa_extent(o->outer[i].count, inner, o->outer[i].stride);
    }
    return false;
}

static int check_one(const struct ssa_device *device, const char *op, const struct ssa_operand *o)
{
    const struct ssa_buffer *b = o->tensor.buffer;
    size_t stride = o->rows == 1 ? o->width : o->stride;
    int err;
    if (!used(o))
        return SSA_OK;
    REQUIRE(stride >= o->width, "%s: %s's stride is %zu, its rows are %zu wide", op, o->name, stride, o->width);
    REQUIRE(!b || !(o->use & SSA_WRITE) || !overlaps_itself(o), "%s: %s's strides make elements of it overlap", op,
            o->name);
    TRY(ssa_check_tensor(device, op, o->name, o->tensor, o->use & SSA_INTS ? SSA_I32 : SSA_F32, reach(o),
                         o->use & SSA_OPTIONAL));
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
        same = !memcmp((const char *)data.buffer->memory + ssa_first_byte(data), plan->data, count * sizeof *plan->data);
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

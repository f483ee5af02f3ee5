#include "impl.h"
#include "launch.h"

#include <math.h>

static struct ssa_within with_defaults(struct ssa_within w)
{
    w.rows = w.rows ? w.rows : 1;
    w.whole_rows = w.whole_rows ? w.whole_rows : 1;
    return w;
}

/* The numbers that `count` elements take, gaps included. */
static size_t numbers(size_t count, struct ssa_within w)
{
    return ssa_times(ssa_times(count / w.each / w.rows, w.whole_rows), w.whole_each);
}

static int check_within(const char *op, size_t count, size_t first, struct ssa_within given)
{
    const struct ssa_within w = with_defaults(given);
    int err = SSA_OK;
    if (!w.each)
        return SSA_OK;
    REQUIRE(count % w.each == 0 && count / w.each % w.rows == 0, "%s: within: rows of %zu, %zu of them, must divide "
            "count %zu", op, w.each, w.rows, count);
    REQUIRE(w.each <= w.whole_each && w.rows <= w.whole_rows,
            "%s: within: %zu rows of %zu are more than the whole, %zu rows of %zu", op, w.rows, w.each, w.whole_rows,
            w.whole_each);
    REQUIRE(numbers(count, w) < SIZE_MAX && first <= SIZE_MAX - numbers(count, w),
            "%s: within: first is %zu, and numbers from there on overflow", op, first);
done:
    return err;
}

static int check(const char *op, const struct ssa_dropout_fwd *a)
{
    int err;
    REQUIRE(a->count > 0, "%s: count is 0", op);
    REQUIRE(a->p >= 0 && a->p < 1, "%s: p is %g, must be in [0, 1)", op, (double)a->p);
    REQUIRE(a->first <= SIZE_MAX - a->count, "%s: first is %zu, first + count overflows", op, a->first);
    REQUIRE(!a->run || (a->count % a->run == 0 && a->first % a->run == 0),
            "%s: run is %zu, must divide count %zu and first %zu", op, a->run, a->count, a->first);
    REQUIRE(a->run <= 1 || !a->within.each, "%s: run is %zu, and within is given: one of them", op, a->run);
    TRY(check_within(op, a->count, a->first, a->within));
done:
    return err;
}

int ssa_dropout_fwd_check(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    int err;
    TRY(check("dropout_fwd", a));
    TRY(ssa_check_operands(device, "dropout_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, a->count),
        VECTOR(residual, SSA_READ | SSA_OPTIONAL | SSA_PLACE, a->count),
        VECTOR(out, SSA_WRITE | SSA_PLACE, a->count),
        {0}}));
done:
    return err;
}

static bool same(struct ssa_tensor a, struct ssa_tensor b)
{
    return a.buffer == b.buffer && a.offset == b.offset;
}

/* p = 0: nothing to draw. */
static int keep_all(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    if (ssa_present(a->residual))
        return ssa_add_run(device, &(struct ssa_add){.x = a->x, .y = a->residual, .out = a->out, .count = a->count});
    return same(a->x, a->out) ? SSA_OK : ssa_tensor_copy(a->out, a->x, a->count);
}

static int threshold_of(float p)
{
    return (int)ceil((double)p * 16777216.0);
}

/* Runs are cut into pieces, so that there is work for a device that has few of them. */
static int drop_runs(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    const size_t pieces = (a->run - 1) / DROPOUT_PIECE + 1;
    struct ssa_launch l = {
        .file = "dropout",
        .kernel = "dropout_runs",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->residual), ARG_TENSOR(a->out), ARG_ULONG(a->run), ARG_ULONG(pieces),
                 ARG_ULONG(a->seed), ARG_ULONG(a->stream), ARG_ULONG_AS(first, a->first / a->run),
                 ARG_INT_AS(threshold, threshold_of(a->p)), ARG_FLOAT_AS(scale, (float)(1 / (1 - (double)a->p)))},
    };
    return ssa_launch_rows(device, &l, a->count / a->run * pieces);
}

/* Row by row, each from the counter of its first element on. */
static int drop_parts(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    const struct ssa_within w = with_defaults(a->within);
    /* up to three numbers before the first are of its counter */
    const size_t pieces = (w.each + 2) / DROPOUT_PIECE + 1;
    struct ssa_launch l = {
        .file = "dropout",
        .kernel = "dropout_parts",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->residual), ARG_TENSOR(a->out), ARG_ULONG_AS(each, w.each),
                 ARG_ULONG_AS(rows, w.rows), ARG_ULONG_AS(whole_each, w.whole_each),
                 ARG_ULONG_AS(whole_rows, w.whole_rows), ARG_ULONG(pieces), ARG_ULONG(a->seed), ARG_ULONG(a->stream),
                 ARG_ULONG(a->first), ARG_INT_AS(threshold, threshold_of(a->p)),
                 ARG_FLOAT_AS(scale, (float)(1 / (1 - (double)a->p)))},
    };
    return ssa_launch_rows(device, &l, a->count / w.each * pieces);
}

int ssa_dropout_fwd_run(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    const size_t lead = a->first % 4;
    struct ssa_launch l = {
        .kernel = "dropout",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->residual), ARG_TENSOR(a->out), ARG_ULONG(a->count),
                 ARG_INT((int)lead), ARG_ULONG(a->seed), ARG_ULONG(a->stream), ARG_ULONG_AS(counter, a->first / 4),
                 ARG_INT_AS(threshold, threshold_of(a->p)), ARG_FLOAT_AS(scale, (float)(1 / (1 - (double)a->p)))},
    };
    if (a->p > 0 && a->run > 1)
        return drop_runs(device, a);
    if (a->p > 0 && a->within.each)
        return drop_parts(device, a);
    return a->p > 0 ? ssa_launch_chunks(device, &l, lead + a->count) : keep_all(device, a);
}

/* Forward with the same mask. */
static struct ssa_dropout_fwd same_mask(const struct ssa_dropout_bwd *a)
{
    struct ssa_dropout_fwd f = {.x = a->dy, .out = a->dx, .count = a->count, .p = a->p, .seed = a->seed,
                                .stream = a->stream, .first = a->first, .run = a->run, .within = a->within};
    if (a->accumulate)
        f.residual = a->dx;
    return f;
}

int ssa_dropout_bwd_check(struct ssa_device *device, const struct ssa_dropout_bwd *a)
{
    const struct ssa_dropout_fwd f = same_mask(a);
    int err;
    TRY(check("dropout_bwd", &f));
    TRY(ssa_check_operands(device, "dropout_bwd", (const struct ssa_operand[]){
        VECTOR(dy, SSA_READ | SSA_PLACE, a->count),
        VECTOR(dx, ssa_output(a->accumulate) | SSA_PLACE, a->count),
        {0}}));
done:
    return err;
}

int ssa_dropout_bwd_run(struct ssa_device *device, const struct ssa_dropout_bwd *a)
{
    const struct ssa_dropout_fwd f = same_mask(a);
    return ssa_dropout_fwd_run(device, &f);
}

#include "impl.h"

static int check_shape(const char *op, int count, int width)
{
    int err;
    TRY(ssa_check_positive(op, "count", count));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
done:
    return err;
}

int ssa_gather_rows_check(struct ssa_device *device, const struct ssa_gather_rows *a)
{
    const size_t count = (size_t)a->count, width = (size_t)a->width;
    int err;
    TRY(check_shape("gather_rows", a->count, a->width));
    TRY(ssa_check_positive("gather_rows", "source_rows", a->source_rows));
    TRY(ssa_check_operands(device, "gather_rows", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, (size_t)a->source_rows * width),
        VECTOR(rows, SSA_READ | SSA_INTS, count),
        VECTOR(out, SSA_WRITE, count * width),
        {0}}));
done:
    return err;
}

int ssa_gather_rows_run(struct ssa_device *device, const struct ssa_gather_rows *a)
{
    struct ssa_launch l = {
        .file = "rows",
        .kernel = "gather_rows",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->rows), ARG_TENSOR(a->out), ARG_INT(a->source_rows),
                 ARG_INT(a->width)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->count);
}

int ssa_scatter_rows_check(struct ssa_device *device, const struct ssa_scatter_rows *a)
{
    const size_t count = (size_t)a->count, width = (size_t)a->width;
    int err;
    TRY(check_shape("scatter_rows", a->count, a->width));
    TRY(ssa_check_positive("scatter_rows", "target_rows", a->target_rows));
    TRY(ssa_check_operands(device, "scatter_rows", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, count * width),
        VECTOR(rows, SSA_READ | SSA_INTS, count),
        VECTOR(out, ssa_output(a->accumulate), (size_t)a->target_rows * width),
        {0}}));
done:
    return err;
}

int ssa_scatter_rows_run(struct ssa_device *device, const struct ssa_scatter_rows *a)
{
    struct ssa_launch l = {
        .file = "rows",
        .kernel = "scatter_rows",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->rows), ARG_TENSOR(a->out), ARG_INT(a->target_rows),
                 ARG_INT(a->width), ARG_INT(a->accumulate != 0)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->count);
}

#include "impl.h"

static int check_shape(const char *op, int rows, int columns, int channels, int width)
{
    int err;
    TRY(ssa_check_positive(op, "rows", rows));
    TRY(ssa_check_positive(op, "columns", columns));
    TRY(ssa_check_positive(op, "channels", channels));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
    REQUIRE(ssa_times(ssa_times((size_t)rows, (size_t)columns), (size_t)channels) <= (size_t)1 << 30,
            "%s: a grid of %d rows, %d columns and %d channels, must have at most 2^30 elements", op, rows, columns,
            channels);
done:
    return err;
}

static int check_elements(const char *op, int first, int count, int rows, int columns, int channels)
{
    const int all = rows * columns * channels;
    int err;
    TRY(ssa_check_positive(op, "count", count));
    REQUIRE(first >= 0 && first < all && count <= all - first,
            "%s: elements [%d, %lld) of a grid of %d", op, first, (long long)first + count, all);
done:
    return err;
}

int ssa_grid_fwd_check(struct ssa_device *device, const struct ssa_grid_fwd *a)
{
    const size_t width = (size_t)a->width;
    int err;
    TRY(check_shape("grid_fwd", a->rows, a->columns, a->channels, a->width));
    TRY(check_elements("grid_fwd", a->first, a->count, a->rows, a->columns, a->channels));
    TRY(ssa_check_operands(device, "grid_fwd", (const struct ssa_operand[]){
        VECTOR(row, SSA_READ | SSA_OPTIONAL, (size_t)a->rows * width),
        VECTOR(column, SSA_READ | SSA_OPTIONAL, (size_t)a->columns * width),
        VECTOR(channel, SSA_READ | SSA_OPTIONAL, (size_t)a->channels * width),
        VECTOR(out, SSA_WRITE, (size_t)a->count * width),
        {0}}));
done:
    return err;
}

int ssa_grid_fwd_run(struct ssa_device *device, const struct ssa_grid_fwd *a)
{
    struct ssa_launch l = {
        .file = "grid",
        .kernel = "grid_fwd",
        .args = {ARG_TENSOR(a->row), ARG_TENSOR(a->column), ARG_TENSOR(a->channel), ARG_TENSOR(a->out),
                 ARG_INT(a->first), ARG_INT(a->columns), ARG_INT(a->channels), ARG_INT(a->width)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->count);
}

/* The longest is what an axis of few entries sums; runs of elements, and the elements of a run, are counted alike. */
static size_t most_loops(const struct ssa_grid_bwd *a)
{
    const int sizes[] = {a->rows, a->columns, a->channels};
    size_t most = 0;
    for (int i = 0; i < 3; i++) {
        const size_t sums = 2 * (size_t)a->count / (size_t)sizes[i] + (size_t)a->columns * (size_t)a->channels + 2;
        most = sums > most ? sums : most;
    }
    return most * ((size_t)a->width / 256 + 1);
}

int ssa_grid_bwd_check(struct ssa_device *device, const struct ssa_grid_bwd *a)
{
    const size_t width = (size_t)a->width;
    const int use = ssa_output(a->accumulate) | SSA_OPTIONAL;
    int err;
    TRY(check_shape("grid_bwd", a->rows, a->columns, a->channels, a->width));
    TRY(check_elements("grid_bwd", 0, a->count, a->rows, a->columns, a->channels));
    TRY(ssa_check_loops(device, "grid_bwd", most_loops(a)));
    TRY(ssa_check_operands(device, "grid_bwd", (const struct ssa_operand[]){
        VECTOR(dout, SSA_READ, (size_t)a->count * width),
        VECTOR(drow, use, (size_t)a->rows * width),
        VECTOR(dcolumn, use, (size_t)a->columns * width),
        VECTOR(dchannel, use, (size_t)a->channels * width),
        {0}}));
done:
    return err;
}

/* Of the axis of `size` entries, each of `step` elements one behind the other. */
static int run_axis(struct ssa_device *device, const struct ssa_grid_bwd *a, struct ssa_tensor dtable, int size,
                    int step)
{
    struct ssa_launch l = {
        .file = "grid",
        .kernel = "grid_bwd",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(dtable), ARG_INT(a->count), ARG_INT(size), ARG_INT(step),
                 ARG_INT(a->width), ARG_INT_AS(accumulate, a->accumulate != 0)},
    };
    return ssa_present(dtable) ? ssa_launch_rows(device, &l, (size_t)size) : SSA_OK;
}

int ssa_grid_bwd_run(struct ssa_device *device, const struct ssa_grid_bwd *a)
{
    int err;
    TRY(run_axis(device, a, a->drow, a->rows, a->columns * a->channels));
    TRY(run_axis(device, a, a->dcolumn, a->columns, a->channels));
    TRY(run_axis(device, a, a->dchannel, a->channels, 1));
done:
    return err;
}

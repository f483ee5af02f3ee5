#include "impl.h"

static int count_of(int length, int first, int count)
{
    return count ? count : length - first;
}

static int check_shape(const char *op, int batch, int length, int first, int count, int width)
{
    int err;
    TRY(ssa_check_positive(op, "batch", batch));
    TRY(ssa_check_positive(op, "length", length));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
    REQUIRE(first >= 0 && first < length, "%s: first is %d, must be in [0, %d)", op, first, length);
    REQUIRE(count >= 0 && count <= length - first, "%s: count is %d from position %d, must be in [0, %d]", op, count,
            first, length - first);
done:
    return err;
}

int ssa_mean_fwd_check(struct ssa_device *device, const struct ssa_mean_fwd *a)
{
    const size_t batch = (size_t)a->batch, length = (size_t)a->length, width = (size_t)a->width;
    int err;
    TRY(check_shape("mean_fwd", a->batch, a->length, a->first, a->count, a->width));
    TRY(ssa_check_loops(device, "mean_fwd", (size_t)count_of(a->length, a->first, a->count) * (width / 256 + 1)));
    TRY(ssa_check_operands(device, "mean_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, ssa_times(batch * length, width)),
        VECTOR(lengths, SSA_READ | SSA_INTS | SSA_OPTIONAL, batch),
        VECTOR(out, SSA_WRITE, batch * width),
        {0}}));
done:
    return err;
}

int ssa_mean_fwd_run(struct ssa_device *device, const struct ssa_mean_fwd *a)
{
    const int count = count_of(a->length, a->first, a->count);
    struct ssa_launch l = {
        .file = "mean",
        .kernel = "mean_fwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->out), ARG_TENSOR(a->lengths), ARG_INT(a->length), ARG_INT(a->first),
                 ARG_INT(count), ARG_INT(a->width), ARG_FLOAT_AS(scale, (float)(1.0 / count))},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch);
}

int ssa_mean_bwd_check(struct ssa_device *device, const struct ssa_mean_bwd *a)
{
    const size_t batch = (size_t)a->batch, length = (size_t)a->length, width = (size_t)a->width;
    int err;
    TRY(check_shape("mean_bwd", a->batch, a->length, a->first, a->count, a->width));
    TRY(ssa_check_operands(device, "mean_bwd", (const struct ssa_operand[]){
        VECTOR(dout, SSA_READ, batch * width),
        VECTOR(lengths, SSA_READ | SSA_INTS | SSA_OPTIONAL, batch),
        VECTOR(dx, ssa_output(a->accumulate), ssa_times(batch * length, width)),
        {0}}));
done:
    return err;
}

int ssa_mean_bwd_run(struct ssa_device *device, const struct ssa_mean_bwd *a)
{
    const int count = count_of(a->length, a->first, a->count);
    struct ssa_launch l = {
        .file = "mean",
        .kernel = "mean_bwd",
        .args = {ARG_TENSOR(a->dout), ARG_TENSOR(a->dx), ARG_TENSOR(a->lengths), ARG_INT(a->length), ARG_INT(a->first),
                 ARG_INT(count), ARG_INT(a->width), ARG_FLOAT_AS(scale, (float)(1.0 / count)),
                 ARG_INT(a->accumulate != 0)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * (size_t)a->length);
}

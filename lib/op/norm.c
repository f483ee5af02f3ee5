#include "impl.h"
#include "launch.h"

static int check_shape(const char *op, int rows, int width, int kind)
{
    int err;
    TRY(ssa_check_countable(op, "rows", rows));
    TRY(ssa_check_positive(op, "width", width));
    REQUIRE(width <= 1 << 28, "%s: width is %d, must be at most 2^28", op, width);
    REQUIRE(kind == SSA_NORM_LAYER || kind == SSA_NORM_RMS, "%s: kind is %d, must be SSA_NORM_LAYER or SSA_NORM_RMS",
            op, kind);
done:
    return err;
}

int ssa_norm_fwd_check(struct ssa_device *device, const struct ssa_norm_fwd *a)
{
    const size_t rows = (size_t)a->rows, width = (size_t)a->width;
    int err;
    TRY(check_shape("norm_fwd", a->rows, a->width, a->kind));
    REQUIRE(a->eps >= 0, "norm_fwd: eps is %g, must not be negative", (double)a->eps);
    TRY(ssa_check_operands(device, "norm_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, rows * width),
        VECTOR(gain, SSA_READ | SSA_OPTIONAL, width),
        VECTOR(bias, SSA_READ | SSA_OPTIONAL, width),
        VECTOR(y, SSA_WRITE | SSA_PLACE, rows * width),
        VECTOR(stats, SSA_WRITE | SSA_OPTIONAL, 2 * rows),
        {0}}));
done:
    return err;
}

static int forward_narrow(struct ssa_device *device, const struct ssa_norm_fwd *a)
{
    struct ssa_launch l = {
        .file = "norm",
        .kernel = "norm_fwd_narrow",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->gain), ARG_TENSOR(a->bias), ARG_TENSOR(a->y), ARG_TENSOR(a->stats),
                 ARG_INT(a->rows), ARG_INT(a->width), ARG_INT_AS(rms, a->kind == SSA_NORM_RMS),
                 ARG_FLOAT(a->eps > 0 ? a->eps : 1e-5f)},
    };
    return ssa_launch_rows(device, &l, ((size_t)a->rows - 1) / NARROW_ROWS + 1);
}

int ssa_norm_fwd_run(struct ssa_device *device, const struct ssa_norm_fwd *a)
{
    if (!device->info.gpu_shape && a->width <= NARROW_COLUMNS)
        return forward_narrow(device, a);
    struct ssa_launch l = {
        .file = "norm",
        .kernel = "norm_fwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->gain), ARG_TENSOR(a->bias), ARG_TENSOR(a->y), ARG_TENSOR(a->stats),
                 ARG_INT(a->width), ARG_INT_AS(rms, a->kind == SSA_NORM_RMS), ARG_FLOAT(a->eps > 0 ? a->eps : 1e-5f)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->rows);
}

int ssa_norm_bwd_check(struct ssa_device *device, const struct ssa_norm_bwd *a)
{
    const size_t rows = (size_t)a->rows, width = (size_t)a->width;
    int err;
    TRY(check_shape("norm_bwd", a->rows, a->width, a->kind));
    TRY(ssa_check_operands(device, "norm_bwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, rows * width),
        VECTOR(gain, SSA_READ | SSA_OPTIONAL, width),
        VECTOR(stats, SSA_READ, 2 * rows),
        VECTOR(dy, SSA_READ | SSA_PLACE, rows * width),
        VECTOR(dx, ssa_output(a->accumulate_dx) | SSA_PLACE, rows * width),
        VECTOR(dgain, ssa_output(a->accumulate) | SSA_OPTIONAL, width),
        VECTOR(dbias, ssa_output(a->accumulate) | SSA_OPTIONAL, width),
        {0}}));
done:
    return err;
}

/* Rows whose column sums one work-item (or group) adds up: few enough parts that the second kernel is cheap, enough
 * of them to fill the device. */
static int rows_per_part(const struct ssa_device *device, int rows)
{
    const int least = device->info.gpu_shape ? 8 : 32, most_parts = device->info.gpu_shape ? 1024 : 256;
    const int span = (rows - 1) / most_parts + 1;
    return span > least ? span : least;
}

static int launch_columns(struct ssa_device *device, const struct ssa_norm_bwd *a, struct ssa_tensor partial,
                          int parts, int padded)
{
    struct ssa_launch l = {
        .file = "norm",
        .kernel = "norm_bwd_columns",
        .args = {ARG_TENSOR(partial), ARG_TENSOR(a->dgain), ARG_TENSOR(a->dbias), ARG_INT(parts), ARG_INT(a->width),
                 ARG_INT(padded), ARG_INT(a->accumulate != 0)},
    };
    return ssa_launch_chunks(device, &l, 2 * (size_t)padded);
}

int ssa_norm_bwd_run(struct ssa_device *device, const struct ssa_norm_bwd *a)
{
    const bool columns = ssa_present(a->dgain) || ssa_present(a->dbias);
    const int span = rows_per_part(device, a->rows), parts = (a->rows - 1) / span + 1;
    const int padded = (a->width + 15) / 16 * 16;
    struct ssa_tensor partial = {0};
    int err;
    if (columns)
        TRY(ssa_scratch(device, 0, 2 * (size_t)parts * (size_t)padded, &partial));
    struct ssa_launch l = {
        .file = "norm",
        .kernel = "norm_bwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->gain), ARG_TENSOR(a->stats), ARG_TENSOR(a->dy), ARG_TENSOR(a->dx),
                 ARG_TENSOR(partial), ARG_INT(a->rows), ARG_INT(a->width), ARG_INT(padded), ARG_INT(span),
                 ARG_INT_AS(rms, a->kind == SSA_NORM_RMS), ARG_INT(a->accumulate_dx != 0)},
    };
    TRY(ssa_launch_rows(device, &l, (size_t)parts));
    if (columns)
        TRY(launch_columns(device, a, partial, parts, padded));
done:
    return err;
}

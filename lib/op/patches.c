#include "impl.h"

int ssa_patches_check(struct ssa_device *device, const struct ssa_patches *a)
{
    const size_t image = ssa_times(ssa_times((size_t)a->rows, (size_t)a->columns), (size_t)a->channels);
    const size_t count = ssa_times((size_t)a->batch, image);
    int err;
    TRY(ssa_check_positive("patches", "batch", a->batch));
    TRY(ssa_check_positive("patches", "rows", a->rows));
    TRY(ssa_check_positive("patches", "columns", a->columns));
    TRY(ssa_check_positive("patches", "channels", a->channels));
    TRY(ssa_check_positive("patches", "patch", a->patch));
    REQUIRE(a->rows % a->patch == 0 && a->columns % a->patch == 0, "patches: patches of %d do not divide images of %d "
            "x %d", a->patch, a->rows, a->columns);
    REQUIRE(ssa_times(ssa_times((size_t)a->patch, (size_t)a->patch), (size_t)a->channels) <= 1 << 30,
            "patches: patch is %d with %d channels, must have at most 2^30 elements", a->patch, a->channels);
    TRY(ssa_check_loops(device, "patches", (size_t)a->channels * (size_t)a->patch * (size_t)(a->patch + 1)));
    TRY(ssa_check_operands(device, "patches", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, count),
        VECTOR(out, SSA_WRITE, count),
        {0}}));
done:
    return err;
}

int ssa_patches_run(struct ssa_device *device, const struct ssa_patches *a)
{
    const size_t each = (size_t)(a->rows / a->patch) * (size_t)(a->columns / a->patch);
    struct ssa_launch l = {
        .kernel = "patches",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->out), ARG_INT(a->rows), ARG_INT(a->columns), ARG_INT(a->channels),
                 ARG_INT(a->patch)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->batch * each);
}

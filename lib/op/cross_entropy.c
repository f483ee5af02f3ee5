#include "impl.h"

int ssa_cross_entropy_check(struct ssa_device *device, const struct ssa_cross_entropy *a)
{
    const size_t rows = (size_t)a->rows, count = rows * (size_t)a->vocabulary;
    int err;
    TRY(ssa_check_positive("cross_entropy", "rows", a->rows));
    TRY(ssa_check_positive("cross_entropy", "vocabulary", a->vocabulary));
    REQUIRE(a->vocabulary <= 1 << 28, "cross_entropy: vocabulary is %d, must be at most 2^28", a->vocabulary);
    REQUIRE(a->smoothing >= 0 && a->smoothing < 1, "cross_entropy: smoothing is %g, must be in [0, 1)",
            (double)a->smoothing);
    REQUIRE(a->grad_scale - a->grad_scale == 0, "cross_entropy: grad_scale is %g, must be finite",
            (double)a->grad_scale);
    TRY(ssa_check_operands(device, "cross_entropy", (const struct ssa_operand[]){
        VECTOR(logits, SSA_READ | SSA_PLACE, count),
        VECTOR(targets, ssa_present(a->soft_targets) ? SSA_UNUSED : SSA_READ | SSA_INTS, rows),
        VECTOR(soft_targets, SSA_READ | SSA_OPTIONAL, count),
        VECTOR(loss, SSA_WRITE | SSA_OPTIONAL, rows),
        VECTOR(dlogits, ssa_output(true) | SSA_OPTIONAL | SSA_PLACE, count),
        {0}}));
done:
    return err;
}

int ssa_cross_entropy_run(struct ssa_device *device, const struct ssa_cross_entropy *a)
{
    struct ssa_launch soft = {
        .file = "cross_entropy",
        .kernel = "cross_entropy_soft",
        .args = {ARG_TENSOR(a->logits), ARG_TENSOR(a->soft_targets), ARG_TENSOR(a->loss), ARG_TENSOR(a->dlogits),
                 ARG_INT(a->vocabulary), ARG_FLOAT(a->smoothing), ARG_FLOAT(a->grad_scale != 0 ? a->grad_scale : 1)},
    };
    struct ssa_launch hard = {
        .kernel = "cross_entropy",
        .args = {ARG_TENSOR(a->logits), ARG_TENSOR(a->targets), ARG_TENSOR(a->loss), ARG_TENSOR(a->dlogits),
                 ARG_INT(a->vocabulary), ARG_FLOAT(a->smoothing), ARG_FLOAT(a->grad_scale != 0 ? a->grad_scale : 1)},
    };
    return ssa_launch_rows(device, ssa_present(a->soft_targets) ? &soft : &hard, (size_t)a->rows);
}

#include "impl.h"

#include <math.h>

int ssa_value_loss_check(struct ssa_device *device, const struct ssa_value_loss *a)
{
    int err;
    REQUIRE(a->count > 0, "value_loss: count is 0");
    REQUIRE(a->kind == SSA_LOSS_L1 || a->kind == SSA_LOSS_L2, "value_loss: kind is %d, must be one of enum ssa_loss",
            a->kind);
    REQUIRE(isfinite(a->grad_scale), "value_loss: grad_scale is %g, must be finite", (double)a->grad_scale);
    TRY(ssa_check_operands(device, "value_loss", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, a->count),
        VECTOR(targets, SSA_READ, a->count),
        VECTOR(loss, SSA_WRITE | SSA_OPTIONAL, a->count),
        VECTOR(dx, SSA_WRITE | SSA_OPTIONAL | SSA_PLACE, a->count),
        {0}}));
done:
    return err;
}

int ssa_value_loss_run(struct ssa_device *device, const struct ssa_value_loss *a)
{
    struct ssa_launch l = {
        .kernel = "value_loss",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->targets), ARG_TENSOR(a->loss), ARG_TENSOR(a->dx), ARG_ULONG(a->count),
                 ARG_INT(a->kind), ARG_FLOAT(a->grad_scale < 0 || a->grad_scale > 0 ? a->grad_scale : 1)},
    };
    return ssa_launch_chunks(device, &l, a->count);
}

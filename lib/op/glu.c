#include "impl.h"

int ssa_glu_fwd_check(struct ssa_device *device, const struct ssa_glu_fwd *a)
{
    const size_t count = ssa_times((size_t)a->rows, (size_t)a->width);
    int err;
    TRY(ssa_check_activated("glu_fwd", a->rows, a->width, a->activation));
    TRY(ssa_check_operands(device, "glu_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, ssa_times(2, count)),
        VECTOR(y, SSA_WRITE, count),
        {0}}));
done:
    return err;
}

int ssa_glu_fwd_run(struct ssa_device *device, const struct ssa_glu_fwd *a)
{
    struct ssa_launch l = {
        .file = "glu",
        .kernel = "glu_fwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->y), ARG_INT(a->width),
                 ARG_INT(a->activation ? a->activation : SSA_ACT_SILU)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->rows);
}

int ssa_glu_bwd_check(struct ssa_device *device, const struct ssa_glu_bwd *a)
{
    const size_t count = ssa_times((size_t)a->rows, (size_t)a->width);
    int err;
    TRY(ssa_check_activated("glu_bwd", a->rows, a->width, a->activation));
    TRY(ssa_check_operands(device, "glu_bwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, ssa_times(2, count)),
        VECTOR(dy, SSA_READ, count),
        VECTOR(dx, SSA_WRITE | SSA_PLACE, ssa_times(2, count)),
        {0}}));
done:
    return err;
}

int ssa_glu_bwd_run(struct ssa_device *device, const struct ssa_glu_bwd *a)
{
    struct ssa_launch l = {
        .file = "glu",
        .kernel = "glu_bwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->dy), ARG_TENSOR(a->dx), ARG_INT(a->width),
                 ARG_INT(a->activation ? a->activation : SSA_ACT_SILU)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->rows);
}

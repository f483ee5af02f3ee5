#include "impl.h"

int ssa_gelu_fwd_check(struct ssa_device *device, const struct ssa_gelu_fwd *a)
{
    const size_t width = (size_t)a->width, count = (size_t)a->rows * width;
    int err;
    TRY(ssa_check_activated("gelu_fwd", a->rows, a->width, a->activation));
    TRY(ssa_check_operands(device, "gelu_fwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, count),
        VECTOR(bias, SSA_READ | SSA_OPTIONAL, width),
        VECTOR(y, SSA_WRITE | SSA_PLACE, count),
        {0}}));
done:
    return err;
}

int ssa_gelu_fwd_run(struct ssa_device *device, const struct ssa_gelu_fwd *a)
{
    struct ssa_launch l = {
        .file = "gelu",
        .kernel = "gelu_fwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->bias), ARG_TENSOR(a->y), ARG_INT(a->width),
                 ARG_INT(a->activation ? a->activation : SSA_ACT_GELU)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->rows);
}

int ssa_gelu_bwd_check(struct ssa_device *device, const struct ssa_gelu_bwd *a)
{
    const size_t width = (size_t)a->width, count = (size_t)a->rows * width;
    int err;
    TRY(ssa_check_activated("gelu_bwd", a->rows, a->width, a->activation));
    TRY(ssa_check_operands(device, "gelu_bwd", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, count),
        VECTOR(bias, SSA_READ | SSA_OPTIONAL, width),
        VECTOR(dy, SSA_READ | SSA_PLACE, count),
        VECTOR(dx, SSA_WRITE | SSA_PLACE, count),
        {0}}));
done:
    return err;
}

int ssa_gelu_bwd_run(struct ssa_device *device, const struct ssa_gelu_bwd *a)
{
    struct ssa_launch l = {
        .file = "gelu",
        .kernel = "gelu_bwd",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->bias), ARG_TENSOR(a->dy), ARG_TENSOR(a->dx), ARG_INT(a->width),
                 ARG_INT(a->activation ? a->activation : SSA_ACT_GELU)},
    };
    return ssa_launch_rows(device, &l, (size_t)a->rows);
}

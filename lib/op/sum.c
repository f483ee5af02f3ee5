#include "impl.h"
#include "launch.h"

int ssa_sum_check(struct ssa_device *device, const struct ssa_sum *a)
{
    int err;
    REQUIRE(a->count > 0, "sum: count is 0");
    TRY(ssa_check_operands(device, "sum", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ, a->count),
        VECTOR(out, ssa_output(a->accumulate), 1),
        VECTOR(before, SSA_READ | SSA_OPTIONAL, 1),
        {0}}));
    REQUIRE(a->count / SUM_SPAN < 1 << 28, "sum: count is %zu, must be below 2^42", a->count);
done:
    return err;
}

int ssa_sum_run(struct ssa_device *device, const struct ssa_sum *a)
{
    const size_t parts = ssa_divide_up(a->count, SUM_SPAN);
    struct ssa_tensor partial;
    int err;
    TRY(ssa_scratch(device, 0, parts, &partial));
    struct ssa_launch each = {
        .file = "sum",
        .kernel = "sum_parts",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(partial), ARG_ULONG(a->count), ARG_INT(a->squares != 0)},
    };
    struct ssa_launch total = {
        .file = "sum",
        .kernel = "sum_total",
        .args = {ARG_TENSOR(partial), ARG_TENSOR(a->out), ARG_TENSOR(a->before), ARG_INT((int)parts),
                 ARG_INT(a->accumulate != 0)},
    };
    TRY(ssa_launch_rows(device, &each, parts));
    TRY(ssa_launch_rows(device, &total, 1));
done:
    return err;
}

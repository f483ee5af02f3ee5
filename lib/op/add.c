#include "impl.h"

int ssa_add_check(struct ssa_device *device, const struct ssa_add *a)
{
    int err;
    REQUIRE(a->count > 0, "add: count is 0");
    TRY(ssa_check_operands(device, "add", (const struct ssa_operand[]){
        VECTOR(x, SSA_READ | SSA_PLACE, a->count),
        VECTOR(y, SSA_READ | SSA_PLACE, a->count),
        VECTOR(out, SSA_WRITE | SSA_PLACE, a->count),
        {0}}));
done:
    return err;
}

int ssa_add_run(struct ssa_device *device, const struct ssa_add *a)
{
    struct ssa_launch l = {
        .kernel = "add",
        .args = {ARG_TENSOR(a->x), ARG_TENSOR(a->y), ARG_TENSOR(a->out), ARG_ULONG(a->count)},
    };
    return ssa_launch_chunks(device, &l, a->count);
}

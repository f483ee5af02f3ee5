#include "../impl.h"

int ssa_sum_check(struct ssa_device *device, const struct ssa_sum *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "sum: not yet");
}

int ssa_sum_run(struct ssa_device *device, const struct ssa_sum *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

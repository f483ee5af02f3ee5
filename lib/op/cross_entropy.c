#include "../impl.h"

int ssa_cross_entropy_check(struct ssa_device *device, const struct ssa_cross_entropy *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "cross_entropy: not yet");
}

int ssa_cross_entropy_run(struct ssa_device *device, const struct ssa_cross_entropy *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

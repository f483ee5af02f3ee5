#include "../impl.h"

int ssa_adamw_check(struct ssa_device *device, const struct ssa_adamw *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "adamw: not yet");
}

int ssa_adamw_run(struct ssa_device *device, const struct ssa_adamw *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

#include "../impl.h"

int ssa_rope_check(struct ssa_device *device, const struct ssa_rope *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "rope: not yet");
}

int ssa_rope_run(struct ssa_device *device, const struct ssa_rope *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

#include "../impl.h"

int ssa_linear_fwd_check(struct ssa_device *device, const struct ssa_linear_fwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "linear_fwd: not yet");
}

int ssa_linear_fwd_run(struct ssa_device *device, const struct ssa_linear_fwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_linear_bwd_check(struct ssa_device *device, const struct ssa_linear_bwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "linear_bwd: not yet");
}

int ssa_linear_bwd_run(struct ssa_device *device, const struct ssa_linear_bwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

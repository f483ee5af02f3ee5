#include "../impl.h"

int ssa_norm_fwd_check(struct ssa_device *device, const struct ssa_norm_fwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "norm_fwd: not yet");
}

int ssa_norm_fwd_run(struct ssa_device *device, const struct ssa_norm_fwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_norm_bwd_check(struct ssa_device *device, const struct ssa_norm_bwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "norm_bwd: not yet");
}

int ssa_norm_bwd_run(struct ssa_device *device, const struct ssa_norm_bwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

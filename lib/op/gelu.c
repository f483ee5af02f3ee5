#include "../impl.h"

int ssa_gelu_fwd_check(struct ssa_device *device, const struct ssa_gelu_fwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "gelu_fwd: not yet");
}

int ssa_gelu_fwd_run(struct ssa_device *device, const struct ssa_gelu_fwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_gelu_bwd_check(struct ssa_device *device, const struct ssa_gelu_bwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "gelu_bwd: not yet");
}

int ssa_gelu_bwd_run(struct ssa_device *device, const struct ssa_gelu_bwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

#include "../impl.h"

int ssa_dropout_fwd_check(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "dropout_fwd: not yet");
}

int ssa_dropout_fwd_run(struct ssa_device *device, const struct ssa_dropout_fwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_dropout_bwd_check(struct ssa_device *device, const struct ssa_dropout_bwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "dropout_bwd: not yet");
}

int ssa_dropout_bwd_run(struct ssa_device *device, const struct ssa_dropout_bwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

#include "../impl.h"

int ssa_attention_fwd_check(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "attention_fwd: not yet");
}

int ssa_attention_fwd_run(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_attention_bwd_check(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "attention_bwd: not yet");
}

int ssa_attention_bwd_run(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

#include "attention.h"

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a)
{
    (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "attention_fwd: no kernel of GPU shape for %s", device->info.name);
}

int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *a)
{
    (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "attention_bwd: no kernel of GPU shape for %s", device->info.name);
}

#include "../impl.h"

int ssa_embedding_fwd_check(struct ssa_device *device, const struct ssa_embedding_fwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "embedding_fwd: not yet");
}

int ssa_embedding_fwd_run(struct ssa_device *device, const struct ssa_embedding_fwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_embedding_bwd_check(struct ssa_device *device, const struct ssa_embedding_bwd *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "embedding_bwd: not yet");
}

int ssa_embedding_bwd_run(struct ssa_device *device, const struct ssa_embedding_bwd *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

#include "../impl.h"

int ssa_gather_rows_check(struct ssa_device *device, const struct ssa_gather_rows *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "gather_rows: not yet");
}

int ssa_gather_rows_run(struct ssa_device *device, const struct ssa_gather_rows *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

int ssa_scatter_rows_check(struct ssa_device *device, const struct ssa_scatter_rows *a)
{
    (void)device, (void)a;
    return ssa_fail(SSA_EUNSUPPORTED, "scatter_rows: not yet");
}

int ssa_scatter_rows_run(struct ssa_device *device, const struct ssa_scatter_rows *a)
{
    (void)device, (void)a;
    return SSA_EUNSUPPORTED;
}

/* Whether a device ends loops early. Mesa's llvmpipe does after 65535 iterations of all loops of a work-item together,
 * and goes on as if nothing were amiss. It is not asked by name but made to count. */
#include "ocl.h"

#include "disk/store.h"

#include <stdlib.h>

enum { ENOUGH = 1 << 17 }; /* iterations; a limit above is taken for none */

static int count(struct ssa_device *device, struct ssa_buffer *b, int32_t *counted)
{
    int err;
    TRY(ssa_tensor_write(ssa_tensor_at(b, 0), (int32_t[]){0, 1, 1}, 3));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .kernel = "loops_gpu",
        .args = {ARG_TENSOR_AS(out, ssa_tensor_at(b, 0)), ARG_INT_AS(n, ENOUGH)},
        .global = {1},
        .local = {1, 1, 1},
    }));
    TRY(ssa_tensor_read(ssa_tensor_at(b, 0), counted, 1));
done:
    return err;
}

/* What was found is kept, since finding it out builds a program at every start. */
static const char kind[] = "loops";

static bool recall(const struct ocl_device *d, int32_t *counted)
{
    size_t size = 0;
    int32_t *kept = *d->identity ? ssa_store_get(kind, d->identity, &size) : NULL;
    bool known = kept && size == sizeof *counted;
    if (known)
        *counted = *kept;
    free(kept);
    return known;
}

static int find_out(struct ssa_device *device, int32_t *counted)
{
    struct ssa_buffer *b = NULL;
    int err;
    TRY(ssa_buffer_create(&b, device, 3 * sizeof(int32_t)));
    TRY(device->backend->aside(device, true));
    err = count(device, b, counted);
    device->backend->aside(device, false);
    if (!err && *ocl(device)->identity)
        ssa_store_put(kind, ocl(device)->identity, counted, sizeof *counted);
done:
    ssa_buffer_destroy(b);
    device->peak = device->held;
    return err;
}

int ssa_ocl_probe_loops(struct ssa_device *device)
{
    int32_t counted = 0;
    int err = recall(ocl(device), &counted) ? SSA_OK : find_out(device, &counted);
    if (!err && counted != ENOUGH) {
        device->loop_limit = counted > 0 ? (size_t)counted : 1;
        ssa_log(SSA_LOG_INFO, "%s ends a kernel's loops after %zu iterations: operators refuse what would take more",
                device->info.name, device->loop_limit);
    }
    return err;
}

/* Whether a device ends loops early. Mesa's llvmpipe does after 65535 iterations of all loops of a work-item together,
 * and goes on as if nothing were amiss. It is not asked by name but made to count. */
#include "ocl.h"

enum { ENOUGH = 1 << 17 }; /* iterations; a limit above is taken for none */

static int count(struct ssa_device *device, struct ssa_buffer *b, int32_t *counted)
{
    int err;
    TRY(ssa_tensor_write(ssa_tensor_at(b, 0), (int32_t[]){0, 1, 1}, 3));
    TRY(ssa_launch(device, &(struct ssa_launch){
        .kernel = "loops_gpu",
        .args = {ARG_TENSOR(ssa_tensor_at(b, 0)), ARG_INT(ENOUGH)},
        .global = {1},
        .local = {1, 1, 1},
    }));
    TRY(ssa_tensor_read(ssa_tensor_at(b, 0), counted, 1));
done:
    return err;
}

int ocl_probe_loops(struct ssa_device *device)
{
    struct ssa_buffer *b = NULL;
    int32_t counted = 0;
    int err;
    TRY(ssa_buffer_create(&b, device, 3));
    TRY(count(device, b, &counted));
    if (counted != ENOUGH) {
        device->loop_limit = counted > 0 ? (size_t)counted : 1;
        ssa_log(SSA_LOG_INFO, "%s ends a kernel's loops after %zu iterations: operators refuse what would take more",
                device->info.name, device->loop_limit);
    }
done:
    ssa_buffer_destroy(b);
    device->peak = device->held;
    return err;
}

/* Writing to the device without waiting for it. A blocking write waits for all that was enqueued before, so that each
 * micro-batch of a step would find an idle device and pay for launching its first kernels. Small values are therefore
 * copied, written when their turn comes, and their copy is used again once its event has come. As the copies take
 * turns, they also keep the caller from running more than OCL_UPLOADS writes ahead. Large values (parameters, a
 * checkpoint) are written at once: no second copy of them is wanted.
 *
 * Steps of 8 micro-batches of 128 tokens (4 layers, width 64) on PoCL, alternated: 44 ms instead of 52, 38 of 59, 49 of
 * 52 (a loaded machine). */
#include "ocl.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

/* Waits until the values may be overwritten, and makes room. */
static int await_turn(struct ocl_upload *u, size_t bytes)
{
    int err = SSA_OK;
    if (u->done)
        TRY(ssa_ocl_check(clWaitForEvents(1, &u->done), "tensor_write: an earlier one failed: clWaitForEvents"));
    if (u->room < bytes) {
        free(u->values);
        u->values = malloc(bytes);
        u->room = u->values ? bytes : 0;
        if (!u->values)
            TRY(ssa_fail(SSA_ENOMEM, "tensor_write: out of host memory"));
    }
done:
    return err;
}

int ssa_ocl_write(struct ssa_device *device, struct ssa_tensor t, const void *source, size_t bytes)
{
    static const char what[] = "tensor_write: clEnqueueWriteBuffer";
    struct ocl_device *d = ocl(device);
    struct ocl_upload *u = &d->uploads[d->upload_count % OCL_UPLOADS];
    cl_event event = NULL;
    int err;
    if (bytes > MOST_BYTES)
        return ssa_ocl_ordered(d, clEnqueueWriteBuffer(d->queue, ocl_memory(t), CL_TRUE, ssa_first_byte(t), bytes,
                                                       source, 0, NULL, NULL),
                           what);
    TRY(await_turn(u, bytes));
    memcpy(u->values, source, bytes);
    err = ssa_ocl_ordered(d, clEnqueueWriteBuffer(d->queue, ocl_memory(t), CL_FALSE, ssa_first_byte(t), bytes, u->values,
                                                  0, NULL, &event),
                      what);
    if (event) { /* enqueued, even if what keeps the order then failed */
        if (u->done)
            clReleaseEvent(u->done);
        u->done = event;
        d->upload_count++;
    }
    TRY(err);
    TRY(ssa_ocl_check(clFlush(d->queue), "tensor_write: clFlush"));
done:
    return err;
}

void ssa_ocl_uploads_release(struct ocl_device *d)
{
    for (int i = 0; i < OCL_UPLOADS; i++) {
        if (d->uploads[i].done) {
            clWaitForEvents(1, &d->uploads[i].done);
            clReleaseEvent(d->uploads[i].done);
        }
        free(d->uploads[i].values);
    }
}

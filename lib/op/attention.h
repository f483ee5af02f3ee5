/* Attention's two shapes: attention.c checks, fills in the defaults and launches the CPU shape; a device of GPU shape
 * gets the same arguments, checked and with nothing left at 0 that means a default, from here. */
#ifndef SSA_ATTENTION_H
#define SSA_ATTENTION_H

#include "../impl.h"

/* How a kernel is cut (cl/attention_gpu.h): side x tall work-items of each x 4 scores. Where the device's own shape is
 * the CPU's it has none, all 0. Short blocks and slices take a small tile, which does with 64 work-items. */
struct attention_tile {
    int side, tall, each, rows;
};
enum { ATTENTION_SMALL_ROWS = 32 };

/* Of the kernels of cl/<file>.cl for at most `rows` rows. */
struct attention_tile ssa_attention_tile(const struct ssa_device *device, const char *file, int rows, int width);

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a);
int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *a);
/* cl/plain.cl, where the device's own shape failed its self-test. */
int ssa_attention_fwd_plain(struct ssa_device *device, const struct ssa_attention_fwd *a);
int ssa_attention_bwd_plain(struct ssa_device *device, const struct ssa_attention_bwd *a);

/* Whether cl/<file>.cl may be built for this width and tile: see verify.h. Where a larger tile fails,
 * ssa_tuned() gives the small one from then on. */
bool ssa_attention_trusted(struct ssa_device *device, const char *file, bool backward, int width,
                           struct attention_tile tile);

#endif

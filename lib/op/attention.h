/* Attention's two shapes: attention.c checks, fills in the defaults and launches the CPU shape; a device of GPU shape
 * gets the same arguments, checked and with nothing left at 0 that means a default, from here. */
#ifndef SSA_ATTENTION_H
#define SSA_ATTENTION_H

#include "../impl.h"

/* Tiles of up to so many rows do with 64 work-items; short blocks and slices take them. */
enum { ATTENTION_SMALL_TILE = 32 };

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a);
int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *a);
/* cl/plain.cl, where the device's own shape failed its self-test. */
int ssa_attention_fwd_plain(struct ssa_device *device, const struct ssa_attention_fwd *a);
int ssa_attention_bwd_plain(struct ssa_device *device, const struct ssa_attention_bwd *a);

/* Whether cl/<file>.cl may be built for this width (and tile; 0: it has none): see verify.h. Where a larger tile fails,
 * ssa_tuned() gives the small one from then on. */
bool ssa_attention_trusted(struct ssa_device *device, const char *file, bool backward, int width, int tile);

#endif

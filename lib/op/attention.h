/* Attention's two shapes: attention.c checks, fills in the defaults and launches the CPU shape; a device of GPU shape
 * gets the same arguments, checked and with nothing left at 0 that means a default, from here. */
#ifndef SSA_ATTENTION_H
#define SSA_ATTENTION_H

#include "../impl.h"

int ssa_attention_fwd_gpu(struct ssa_device *device, const struct ssa_attention_fwd *a);
int ssa_attention_bwd_gpu(struct ssa_device *device, const struct ssa_attention_bwd *a);

#endif

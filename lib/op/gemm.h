/* What the ways of multiplying matrices share; linear.c chooses among them. */
#ifndef SSA_GEMM_H
#define SSA_GEMM_H

#include "launch.h"
#include "tune/verify.h"

/* What follows the product; see cl/epilogue.h. Absent tensors and no activation: nothing. */
struct epilogue {
    struct ssa_tensor bias, pre, slope_of, addend;
    int activation;
};

/* Work-items below which a launch is cut finer: enough that an unequal last one costs little. */
size_t ssa_gemm_enough_items(const struct ssa_device *device);

/* out (+)= the sum of `splits` planes, `plane` elements apart. */
int ssa_sum_planes(struct ssa_device *device, struct ssa_tensor planes, size_t plane, int splits, struct ssa_tensor out,
                   size_t count, bool accumulate);

/* gemm_parts.c: on a matrix engine of bf16, operands taken apart. Whether it serves a product: where the device's
 * precision asks for it, there is an engine, it is right, and the product is as large as a panel. */
bool ssa_gemm_parts_serves(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e);
int ssa_gemm_parts_run(struct ssa_device *device, const struct ssa_gemm *g, const struct epilogue *e);

#endif

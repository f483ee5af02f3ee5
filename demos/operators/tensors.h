/* Tensors with repeatable values in them. */
#ifndef DEMO_TENSORS_H
#define DEMO_TENSORS_H

#include <ssacl/tensor.h>

/* A buffer of `count` elements, filled from `values` if given, else with 0. */
int make_tensor(struct ssa_tensor *t, struct ssa_device *device, size_t count, const void *values);
/* Uniform in [-1, 1). free() it. */
float *make_values(size_t count, uint64_t seed);

#endif

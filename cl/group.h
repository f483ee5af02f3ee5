/* What kernels share that use work-groups and local memory themselves. */
#ifndef SSA_GROUP_H
#define SSA_GROUP_H

#include "common.h"

/* A kernel for groups of X x Y work-items that needs many registers. */
#define GROUP_OF(x, y) __attribute__((reqd_work_group_size(x, y, 1))) FEW_TOGETHER

/* Inlined in any case: PoCL 3.1 crashes while it inlines large functions by itself. */
#define GROUP_INLINE static inline __attribute__((always_inline))

/* The first n (any int) of four floats, the rest zero; no array, which would live in memory. */
GROUP_INLINE float4 load_quad(__global const float *p, int n)
{
    if (n >= 4)
        return vload4(0, p);
    return (float4)(n > 0 ? p[0] : 0.0f, n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, 0.0f);
}

#endif

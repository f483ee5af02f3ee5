/* What every kernel file starts from: tensors as (buffer, offset), and who owns which row or element.
 *
 * One kernel source has two shapes, chosen by SSA_GPU:
 *   CPU (SSA_GPU 0, also the host backend): a work-item owns a whole row or a long chunk and walks it in vectors.
 *   GPU (SSA_GPU 1): a work-group of LANES work-items shares a row; reductions go through local memory.
 */
#ifndef SSA_COMMON_H
#define SSA_COMMON_H

#ifndef SSA_GPU
#define SSA_GPU 0
#endif
#if SSA_GPU && !defined(VW)
#define VW 4
#endif

#include "launch.h"
#include "vector.h"

/* A kernel parameter `TENSOR(float, x)` and, in the body, `BIND(x);` give `x` as a pointer to its first element;
 * an absent tensor has the offset ABSENT and binds to a null pointer. `TENSOR(const float, x)` for inputs. */
#define ABSENT (~(ulong)0)
#define TENSOR(type, name) __global type *name##_buffer, const ulong name##_at
#ifdef __OPENCL_C_VERSION__
#define BIND(type, name) \
    __global type *restrict name = name##_at == ABSENT ? (__global type *)0 : name##_buffer + name##_at
#else
#define BIND(type, name) type *restrict name = name##_at == ABSENT ? NULL : name##_buffer + name##_at
#endif

/* The same where another operand may be the same memory: no load may then move past a store. */
#ifdef __OPENCL_C_VERSION__
#define BIND_SHARED(type, name) \
    __global type *name = name##_at == ABSENT ? (__global type *)0 : name##_buffer + name##_at
#else
#define BIND_SHARED(type, name) type *name = name##_at == ABSENT ? NULL : name##_buffer + name##_at
#endif

/* On GPUs, whose registers have no addresses, for loops over the elements of a private array: without, it would lie in
 * memory. */
#if SSA_GPU
#define UNROLL_ON_GPU UNROLL
#else
#define UNROLL_ON_GPU
#endif

#ifdef __OPENCL_C_VERSION__
#define SSA_INLINE inline
#else
#define SSA_INLINE static inline
#endif

SSA_INLINE int is_finite(float x)
{
    return x - x == 0.0f;
}

/* The first n (0..VW) floats of a vec; the rest zero on load, untouched on store. */
SSA_INLINE vec vec_load_part(__global const float *p, int n)
{
    float t[VW];
    UNROLL_ON_GPU
    for (int i = 0; i < VW; i++)
        t[i] = i < n ? p[i] : 0.0f;
    return vec_load(t);
}
SSA_INLINE void vec_store_part(__global float *p, vec v, int n)
{
    float t[VW];
    vec_store(t, v);
#if SSA_GPU
    UNROLL
    for (int i = 0; i < VW; i++)
        if (i < n)
            p[i] = t[i];
#else
    for (int i = 0; i < n; i++)
        p[i] = t[i];
#endif
}
SSA_INLINE vec vec_first(vec v, int n) /* zero past the first n */
{
    return vec_select(vec_iota() < vec_set((float)n), v, vec_set(0.0f));
}

/* Lane i: the sum of x[i], of VW vecs, which are used up. Halved together: 2 VW shuffles instead of VW sums. */
SSA_INLINE vec vec_sums(vec *x)
{
    UNROLL
    for (int left = VW / 2; left; left /= 2) {
        UNROLL
        for (int i = 0; i < left; i++)
            x[i] = vec_zip_low(x[i], x[i + left]) + vec_zip_high(x[i], x[i + left]);
    }
    return x[0];
}

/* Of a kernel that needs many registers: where the device lets us, few work-items in a hardware thread, SUB_GROUP, so
 * that each has more of the thread's registers. */
#if defined(SUB_GROUP) && defined(cl_intel_required_subgroup_size)
#define FEW_TOGETHER __attribute__((intel_reqd_sub_group_size(SUB_GROUP)))
#else
#define FEW_TOGETHER
#endif

#if SSA_GPU
#ifndef LANES
#define LANES ROW_LANES /* work-items that share a row: the work-group's size */
#endif
#define LANE ((int)get_local_id(0))
#define ROW ((size_t)get_group_id(0))
/* Reductions over a group in two steps, so with two barriers: in runs of RUN lanes, then over the runs. The second half
 * of the scratch is read while the next reduction writes the first. A run is a sub-group, whose work-items need no
 * memory for that, where the device has them and lets us say how large; the order of sums is fixed in any case. */
#if defined(SUB_GROUP) && defined(cl_intel_required_subgroup_size) && defined(cl_intel_subgroups)
#define BY_SUB_GROUPS 1
#define RUN SUB_GROUP
#define ROW_GROUP __attribute__((reqd_work_group_size(LANES, 1, 1))) FEW_TOGETHER
#else
#define BY_SUB_GROUPS 0
#define RUN 8
#define ROW_GROUP
#endif
#define RUNS_OF_GROUP (LANES / RUN)
#define GROUP_SCRATCH __local float group_scratch[LANES + RUNS_OF_GROUP]
inline float group_join(int sum, float a, float b)
{
    return sum ? a + b : a > b ? a : b;
}
inline float group_reduce(int sum, float x, __local float *s)
{
    __local float *runs = s + LANES;
#if BY_SUB_GROUPS
    barrier(CLK_LOCAL_MEM_FENCE); /* the last reduction's results are read */
    x = sum ? sub_group_reduce_add(x) : sub_group_reduce_max(x);
    if (LANE % RUN == 0)
        runs[LANE / RUN] = x;
#else
    s[LANE] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (LANE < RUNS_OF_GROUP) { /* lane i adds elements that lie RUNS_OF_GROUP apart: no two lanes meet in a bank */
        x = s[LANE];
        for (int i = 1; i < RUN; i++)
            x = group_join(sum, x, s[LANE + i * RUNS_OF_GROUP]);
        runs[LANE] = x;
    }
#endif
    barrier(CLK_LOCAL_MEM_FENCE);
    x = runs[0];
    for (int i = 1; i < RUNS_OF_GROUP; i++)
        x = group_join(sum, x, runs[i]);
    return x;
}
#define group_sum(x) group_reduce(1, x, group_scratch)
#define group_max(x) group_reduce(0, x, group_scratch)
#define ELEMENTS VW /* that a work-item owns in an element-wise kernel */
#else
#define LANES 1
#define LANE 0
#define ROW get_global_id(0)
#define GROUP_SCRATCH
#define ROW_GROUP
#define group_sum(x) (x)
#define group_max(x) (x)
#define ELEMENTS CPU_ELEMENTS
#endif

/* Walks this work-item's share of a row of width n: c = first column, part = how many of VW are inside the row. */
#define FOR_ROW(c, part, n) \
    for (int c = LANE * VW, part; c < (n) && (part = min(VW, (n)-c), 1); c += LANES * VW)
/* Walks this work-item's chunk of n elements: i = first element, part = how many of VW are inside. */
#define FOR_CHUNK(i, part, n) \
    for (ulong i = get_global_id(0) * (ulong)ELEMENTS, end_ = min(i + ELEMENTS, (ulong)(n)), part; \
         i < end_ && (part = min((ulong)VW, end_ - i), 1); i += VW)
#define LOAD(p, part) ((part) == VW ? vec_load(p) : vec_load_part(p, (int)(part)))
#define FIRST(v, part) ((part) == VW ? (vec)(v) : vec_first(v, (int)(part)))
#define STORE(p, v, part) \
    do { \
        if ((part) == VW) \
            vec_store(p, v); \
        else \
            vec_store_part(p, v, (int)(part)); \
    } while (0)

#endif

/* A vector of VW floats, in OpenCL C and in C (vector extension of GCC and clang): what lets one kernel file serve both.
 *
 * A kernel says `vec`, `vec_load`, `vec_sum`...; + - * and mixing with a float work natively in both languages.
 * OpenCL on CPUs wants VW 16 (whole AVX-512 registers, pairs of AVX2 ones: float16 reached 92% of peak where float8
 * gave 70 and float4 47), GPUs want VW 4, GCC what a register holds. Loads and stores need no alignment.
 */
#ifndef SSA_VECTOR_H
#define SSA_VECTOR_H

#ifdef __OPENCL_C_VERSION__ /* stand-alone clang does not define __OPENCL_VERSION__ */

#ifndef VW
#define VW 16 /* floats in a vec: 4, 8 or 16 */
#endif
#define SSA_CAT_(a, b) a##b
#define SSA_CAT(a, b) SSA_CAT_(a, b)
typedef SSA_CAT(float, VW) vec;
typedef SSA_CAT(int, VW) vec_int;
#define vec_set(x) ((vec)(x))
#if defined(__clang__) && VW == 16
/* One load each. PoCL's vload16 is made of loads of two, which the optimiser does not always put together again:
 * adding a row to a row became 23 moves of 8 bytes. */
typedef float vec_loose __attribute__((ext_vector_type(VW), aligned(4)));
inline vec __attribute__((overloadable)) vec_load(__private const float *p)
{
    return *(__private const vec_loose *)p;
}
inline vec __attribute__((overloadable)) vec_load(__global const float *p)
{
    return *(__global const vec_loose *)p;
}
inline void __attribute__((overloadable)) vec_store(__private float *p, vec v)
{
    *(__private vec_loose *)p = v;
}
inline void __attribute__((overloadable)) vec_store(__global float *p, vec v)
{
    *(__global vec_loose *)p = v;
}
#else
#define vec_load(p) SSA_CAT(vload, VW)(0, p)
#define vec_store(p, v) SSA_CAT(vstore, VW)(v, 0, p)
#endif
#define vec_as_int(v) SSA_CAT(as_int, VW)(v)
#define vec_as_uint(v) SSA_CAT(as_uint, VW)(v)
#define vec_as_float(v) SSA_CAT(as_float, VW)(v)
#define vec_from_int(v) SSA_CAT(convert_float, VW)(v)
/* Written with ?: because fmax and fmin must treat NaN, which costs several instructions on CPUs. */
#define vec_max(a, b) ((a) > (b) ? (a) : (b))
#define vec_min(a, b) ((a) < (b) ? (a) : (b))
#define vec_select(mask, yes, no) ((mask) ? (yes) : (no)) /* mask: a comparison of two vecs */
#define vec_sqrt(v) sqrt(v)
#define vec_to_int(v) SSA_CAT(convert_int, VW)(v)
/* Lanes of a and b in turn: the low halves' lanes, the high halves'. */
inline vec vec_zip_low(vec a, vec b)
{
    vec r;
    r.even = a.lo;
    r.odd = b.lo;
    return r;
}
inline vec vec_zip_high(vec a, vec b)
{
    vec r;
    r.even = a.hi;
    r.odd = b.hi;
    return r;
}
/* One behind the other: the low halves of a and b, the high halves, the even lanes, the odd ones. */
inline vec vec_lows(vec a, vec b)
{
    vec r;
    r.lo = a.lo;
    r.hi = b.lo;
    return r;
}
inline vec vec_highs(vec a, vec b)
{
    vec r;
    r.lo = a.hi;
    r.hi = b.hi;
    return r;
}
inline vec vec_even(vec a, vec b)
{
    vec r;
    r.lo = a.even;
    r.hi = b.even;
    return r;
}
inline vec vec_odd(vec a, vec b)
{
    vec r;
    r.lo = a.odd;
    r.hi = b.odd;
    return r;
}
#define sqrtf(x) sqrt((float)(x)) /* scalars under their names in C */
#define logf(x) log((float)(x))
#define UNROLL _Pragma("unroll")

inline float vec_sum(vec v)
{
#if VW == 16
    float8 a = v.lo + v.hi;
    float4 b = a.lo + a.hi;
#elif VW == 8
    float4 b = v.lo + v.hi;
#else
    float4 b = v;
#endif
    float2 c = b.lo + b.hi;
    return c.x + c.y;
}
inline float vec_top(vec v)
{
#if VW == 16
    float8 a = vec_max(v.lo, v.hi);
    float4 b = vec_max(a.lo, a.hi);
#elif VW == 8
    float4 b = vec_max(v.lo, v.hi);
#else
    float4 b = v;
#endif
    float2 c = vec_max(b.lo, b.hi);
    return c.x > c.y ? c.x : c.y;
}
inline vec vec_iota(void) /* 0, 1, 2, ... */
{
#if VW == 16
    return (vec)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif VW == 8
    return (vec)(0, 1, 2, 3, 4, 5, 6, 7);
#else
    return (vec)(0, 1, 2, 3);
#endif
}

#else /* C */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef VW /* what a register holds: GCC takes comparisons of wider ones apart: 6 to 30 times slower */
#if defined(__AVX512F__)
#define VW 16
#elif defined(__AVX__)
#define VW 8
#else
#define VW 4
#endif
#endif
#define __kernel static
#define __global
#define __constant const
#define __private
typedef uint64_t ulong;
typedef uint32_t uint;
typedef float vec __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef int32_t vec_int __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef uint32_t vec_uint __attribute__((vector_size(4 * VW), aligned(4), may_alias));
#define vec_set(x) ((float)(x) - (vec){0})
#define vec_load(p) (*(const vec *)(p))
#define vec_store(p, v) ((void)(*(vec *)(p) = (v)))
#define vec_as_int(v) ((vec_int)(v))
#define vec_as_uint(v) ((vec_uint)(v)) /* where a sum of bits may wrap around */
#define vec_as_float(v) ((vec)(v))
#define vec_from_int(v) __builtin_convertvector(v, vec)
#define vec_to_int(v) __builtin_convertvector(v, vec_int)
/* b where either is NaN, as the instructions have it, which GCC does not make of a comparison. */
#if !defined(__clang__) && defined(__x86_64__)
#if VW == 16
#define vec_max(a, b) ((vec)__builtin_ia32_maxps512_mask(a, b, b, (short)-1, 4))
#define vec_min(a, b) ((vec)__builtin_ia32_minps512_mask(a, b, b, (short)-1, 4))
#elif VW == 8
#define vec_max(a, b) ((vec)__builtin_ia32_maxps256(a, b))
#define vec_min(a, b) ((vec)__builtin_ia32_minps256(a, b))
#else
#define vec_max(a, b) ((vec)__builtin_ia32_maxps(a, b))
#define vec_min(a, b) ((vec)__builtin_ia32_minps(a, b))
#endif
#else
#define vec_max(a, b) vec_select((a) > (b), a, b)
#define vec_min(a, b) vec_select((a) < (b), a, b)
#endif
/* Past the caches, to a whole line; others see it after STREAM_END. */
#if VW == 16 && defined(__x86_64__)
#ifdef __clang__
#define vec_stream(p, v) __builtin_nontemporal_store(v, (__attribute__((aligned(64))) vec *)(p))
#else
#define vec_stream(p, v) __builtin_ia32_movntps512((float *)(p), v)
#endif
#define STREAM_END __builtin_ia32_sfence()
#else
#define vec_stream(p, v) vec_store(p, v)
#define STREAM_END ((void)0)
#endif
#ifdef __clang__
#define UNROLL _Pragma("unroll 16")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
/* The lanes of a and b (b's count from VW on) whose numbers follow, as a vec_int. */
#if defined(__clang__) || __GNUC__ >= 12
#define vec_shuffle(a, b, ...) __builtin_shufflevector((vec_int)(a), (vec_int)(b), __VA_ARGS__)
#else
#define vec_shuffle(a, b, ...) __builtin_shuffle((vec_int)(a), (vec_int)(b), (vec_int){__VA_ARGS__})
#endif
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

static inline vec vec_select(vec_int mask, vec yes, vec no)
{
    return (vec)((mask & (vec_int)yes) | (~mask & (vec_int)no));
}
#if VW == 16
#define SSA_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SSA_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define SSA_LOWS 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define SSA_HIGHS 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define SSA_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define SSA_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif VW == 8
#define SSA_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define SSA_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define SSA_LOWS 0, 1, 2, 3, 8, 9, 10, 11
#define SSA_HIGHS 4, 5, 6, 7, 12, 13, 14, 15
#define SSA_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define SSA_ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define SSA_ZIP_LOW 0, 4, 1, 5
#define SSA_ZIP_HIGH 2, 6, 3, 7
#define SSA_LOWS 0, 1, 4, 5
#define SSA_HIGHS 2, 3, 6, 7
#define SSA_EVEN 0, 2, 4, 6
#define SSA_ODD 1, 3, 5, 7
#endif
#define vec_zip_low(a, b) vec_as_float(vec_shuffle(a, b, SSA_ZIP_LOW))
#define vec_zip_high(a, b) vec_as_float(vec_shuffle(a, b, SSA_ZIP_HIGH))
#define vec_lows(a, b) vec_as_float(vec_shuffle(a, b, SSA_LOWS))
#define vec_highs(a, b) vec_as_float(vec_shuffle(a, b, SSA_HIGHS))
#define vec_even(a, b) vec_as_float(vec_shuffle(a, b, SSA_EVEN))
#define vec_odd(a, b) vec_as_float(vec_shuffle(a, b, SSA_ODD))
static inline float vec_sum(vec v)
{
    float s[VW / 2];
    for (int i = 0; i < VW / 2; i++) /* halves first: the order of the OpenCL version */
        s[i] = v[i] + v[i + VW / 2];
    for (int w = VW / 4; w; w /= 2)
        for (int i = 0; i < w; i++)
            s[i] += s[i + w];
    return s[0];
}
static inline float vec_top(vec v)
{
    float m = v[0];
    for (int i = 1; i < VW; i++)
        m = v[i] > m ? v[i] : m;
    return m;
}
static inline vec vec_iota(void)
{
    vec v;
    for (int i = 0; i < VW; i++)
        v[i] = (float)i;
    return v;
}
static inline vec vec_sqrt(vec v)
{
    for (int i = 0; i < VW; i++)
        v[i] = sqrtf(v[i]);
    return v;
}

/* Which work-item this is: set by the host backend before it calls a kernel. */
extern _Thread_local size_t ssa_host_global_id[3];
static inline size_t get_global_id(int axis)
{
    return ssa_host_global_id[axis];
}
static inline float rsqrt(float x)
{
    return 1.0f / sqrtf(x);
}

#endif /* language */

/* A hint that the line at p is needed soon: where the compiler makes code for a CPU at once. SPIR-V has no such
 * instruction, and its compilers are not to be told by their macros (Mesa takes __SPIR__ back). */
#if !defined(__OPENCL_C_VERSION__) || (defined(__clang__) && (defined(__x86_64__) || defined(__aarch64__)) && !SSA_GPU)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2)
#else
#define PREFETCH(p) ((void)0)
#endif

/* 2^x: round by a magic constant, then a minimax polynomial of degree 5 on [-0.5, 0.5], 1 at 0; 9e-8 relative.
 * Never build with -cl-fast-relaxed-math or -ffast-math: both fold the rounding away. x is cut to [-126, 126];
 * the bounds come first because vec_max(a, b) is b where either is NaN, and a NaN must come out again. */
#ifdef __OPENCL_C_VERSION__
inline vec vec_exp2(vec x)
#else
static inline vec vec_exp2(vec x)
#endif
{
    const vec magic = vec_set(12582912.0f);
    x = vec_max(vec_set(-126.0f), x);
    x = vec_min(vec_set(126.0f), x);
    vec t = x + magic, f = x - (t - magic);
    vec p = vec_set(1.32647271e-3f);
    p = p * f + 9.67151265e-3f;
    p = p * f + 5.55073374e-2f;
    p = p * f + 2.40222421e-1f;
    p = p * f + 6.93146978e-1f;
    p = p * f + 1.0f;
    return vec_as_float(vec_as_uint(p) + (vec_as_uint(t) << 23));
}

/* log2 of a positive, normal x: x = 2^e m with m in [sqrt(1/2), sqrt(2)), then the odd series of
 * log2 m = 2/ln 2 atanh((m - 1)/(m + 1)) to degree 9; 2e-7 absolute near 1. */
#ifdef __OPENCL_C_VERSION__
inline vec vec_log2(vec x)
#else
static inline vec vec_log2(vec x)
#endif
{
    vec_int e = (vec_as_int(x) - 0x3f3504f3) >> 23;
    vec m = vec_as_float(vec_as_int(x) - (e << 23));
    vec z = (m - 1.0f) / (m + 1.0f), w = z * z;
    vec p = vec_set(0.32059890f);
    p = p * w + 0.41219858f;
    p = p * w + 0.57707802f;
    p = p * w + 0.96179669f;
    p = p * w + 2.88539008f;
    return p * z + vec_from_int(e);
}

#endif

/* Philox4x32-10 (Salmon et al., SC 2011), valid C11 and OpenCL C: the same bits on every device.
 * A counter-based generator: the value depends on (key, counter) alone, so that backward and replay regenerate
 * what forward drew instead of storing it. Known answer: key 0, counter 0 gives 6627e8d5 e169c58d bc57ac4c 9b00dbd8. */
#ifndef SSA_RNG_H
#define SSA_RNG_H

#ifdef __OPENCL_C_VERSION__
#define SSA_RNG_U32 uint
#define SSA_RNG_U64 ulong
#define SSA_RNG_INLINE inline
#else
#include <stdint.h>
#define SSA_RNG_U32 uint32_t
#define SSA_RNG_U64 uint64_t
#define SSA_RNG_INLINE static inline
#endif

struct ssa_philox {
    SSA_RNG_U32 v[4];
};

SSA_RNG_INLINE struct ssa_philox ssa_philox(SSA_RNG_U64 key, SSA_RNG_U64 counter_low, SSA_RNG_U64 counter_high)
{
    struct ssa_philox c;
    SSA_RNG_U32 k0 = (SSA_RNG_U32)key, k1 = (SSA_RNG_U32)(key >> 32);
    c.v[0] = (SSA_RNG_U32)counter_low;
    c.v[1] = (SSA_RNG_U32)(counter_low >> 32);
    c.v[2] = (SSA_RNG_U32)counter_high;
    c.v[3] = (SSA_RNG_U32)(counter_high >> 32);
    for (int round = 0; round < 10; round++) {
        SSA_RNG_U64 a = (SSA_RNG_U64)0xD2511F53u * c.v[0], b = (SSA_RNG_U64)0xCD9E8D57u * c.v[2];
        SSA_RNG_U32 x1 = c.v[1], x3 = c.v[3];
        c.v[0] = (SSA_RNG_U32)(b >> 32) ^ x1 ^ k0;
        c.v[1] = (SSA_RNG_U32)b;
        c.v[2] = (SSA_RNG_U32)(a >> 32) ^ x3 ^ k1;
        c.v[3] = (SSA_RNG_U32)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

/* A uniform float in [0, 1) from the top 24 bits. */
SSA_RNG_INLINE float ssa_uniform(SSA_RNG_U32 x)
{
    return (float)(x >> 8) * (1.0f / 16777216.0f);
}

#endif

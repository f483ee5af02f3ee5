/* FNV-1a of 64 bits. A change within one byte always changes it, since every step is a bijection of the 64 bits. */
#ifndef SSA_DISK_HASH_H
#define SSA_DISK_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SSA_HASH_START UINT64_C(0xcbf29ce484222325)

/* The hash of what `h` is of, followed by `size` bytes. */
static inline uint64_t ssa_hash(uint64_t h, const void *bytes, size_t size)
{
    for (const unsigned char *p = bytes, *end = p + size; p < end; p++)
        h = (h ^ *p) * UINT64_C(0x100000001b3);
    return h;
}

#endif

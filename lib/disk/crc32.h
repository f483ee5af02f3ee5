/* CRC-32 (IEEE 802.3, as in zip and PNG): finds what a disk or a copy broke. */
#ifndef SSA_DISK_CRC32_H
#define SSA_DISK_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` was of, followed by `size` bytes. Begin with 0. */
uint32_t ssa_crc32(uint32_t crc, const void *bytes, size_t size);

#endif

/* Members of a zip file, as numpy writes them: stored or deflated, zip64 too. */
#ifndef IMAGE_ZIP_H
#define IMAGE_ZIP_H

#include <stddef.h>
#include <stdint.h>

struct zip_member {
    char name[64]; /* longer ones are cut, and are none of ours */
    int method;    /* 0 stored, 8 deflated */
    uint32_t crc;
    uint64_t packed, size, at; /* bytes, and where they begin */
};
struct zip {
    const char *path;
    int file;
    uint64_t size;
    struct zip_member *members;
    size_t count;
};
/* Each says what is wrong and returns non-zero; a zip that could not be opened need not be closed. */
int zip_open(struct zip *zip, const char *path);
void zip_close(struct zip *zip);
/* The first `size` bytes of a member (no more than it has). */
int zip_begin(const struct zip *zip, const struct zip_member *member, void *to, size_t size);
/* All of it, checked against its CRC where the build has zlib; to be freed. */
int zip_load(const struct zip *zip, const struct zip_member *member, unsigned char **bytes);

#endif

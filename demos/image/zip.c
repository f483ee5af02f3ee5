#include "zip.h"

#include "reader.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

enum { STORED, DEFLATED = 8 };
enum {
    END = 22, END64 = 56, LOCATOR = 20, CENTRAL = 46, LOCAL = 30, /* bytes of records, without what varies */
    COMMENT = 65535, MOST_MEMBERS = 4096, MOST_DIRECTORY = 1 << 20, MOST_OF_A_BYTE = 1032
};

static uint64_t number(const unsigned char *p, int bytes)
{
    uint64_t n = 0;
    for (int i = bytes - 1; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

static int broken(const struct zip *zip, const char *what)
{
    return say_error("%s: is no whole zip file: %s", zip->path, what);
}

struct directory {
    uint64_t at, size, count;
};

/* Where the 32 bits of the last record do not suffice, another one before it has 64. */
static int find_directory64(const struct zip *zip, uint64_t end, struct directory *d)
{
    unsigned char r[END64];
    if (end < LOCATOR || file_bytes(zip->file, r, LOCATOR, end - LOCATOR) || number(r, 4) != 0x07064b50)
        return 0;
    uint64_t at = number(r + 8, 8);
    if (at > zip->size || zip->size - at < END64 || file_bytes(zip->file, r, END64, at) || number(r, 4) != 0x06064b50)
        return broken(zip, "the end of its directory is not where it says");
    *d = (struct directory){.count = number(r + 32, 8), .size = number(r + 40, 8), .at = number(r + 48, 8)};
    return 0;
}

static int find_directory(const struct zip *zip, struct directory *d)
{
    size_t size = zip->size < END + COMMENT ? (size_t)zip->size : END + COMMENT;
    unsigned char *tail = malloc(size + 1);
    int status = tail ? 0 : say_error("no memory");
    bool found = false;
    if (!status && file_bytes(zip->file, tail, size, zip->size - size))
        status = say_error("%s: cannot be read", zip->path);
    for (size_t i = size >= END ? size - END + 1 : 0; !status && i-- && !found;) {
        const unsigned char *r = tail + i;
        found = number(r, 4) == 0x06054b50;
        if (!found)
            continue;
        *d = (struct directory){.count = number(r + 10, 2), .size = number(r + 12, 4), .at = number(r + 16, 4)};
        status = find_directory64(zip, zip->size - size + i, d);
    }
    free(tail);
    if (!status && !found)
        return broken(zip, "there is no directory at its end");
    if (!status && (d->at > zip->size || d->size > zip->size - d->at || d->size > MOST_DIRECTORY))
        return broken(zip, "its directory is not within it");
    return status;
}

/* Sizes of 64 bits stand in an extra field, only those that did not fit, in this order. */
static void read_extra(struct zip_member *m, const unsigned char *extra, size_t size)
{
    for (size_t n; size >= 4; extra += 4 + n, size -= 4 + n) {
        n = (size_t)number(extra + 2, 2);
        if (n > size - 4)
            return;
        if (number(extra, 2) != 1)
            continue;
        const unsigned char *at = extra + 4, *end = at + n;
        uint64_t *fields[] = {&m->size, &m->packed, &m->at};
        for (int i = 0; i < 3; i++)
            if (*fields[i] == UINT32_MAX && end - at >= 8) {
                *fields[i] = number(at, 8);
                at += 8;
            }
    }
}

/* m->at is of its local header, which says where the bytes begin. */
static int find_bytes(const struct zip *zip, struct zip_member *m)
{
    unsigned char r[LOCAL];
    if (m->at > zip->size || zip->size - m->at < LOCAL || file_bytes(zip->file, r, LOCAL, m->at) ||
        number(r, 4) != 0x04034b50)
        return broken(zip, "a member is not where its directory says");
    m->at += LOCAL + number(r + 26, 2) + number(r + 28, 2);
    if (m->at > zip->size || m->packed > zip->size - m->at)
        return broken(zip, "a member is not within it");
    if (m->method == STORED ? m->size != m->packed : m->size / MOST_OF_A_BYTE > m->packed)
        return broken(zip, "a member has not the size that it says");
    return 0;
}

static int read_directory(struct zip *zip, const unsigned char *p, size_t size, uint64_t count)
{
    const unsigned char *end = p + size;
    for (uint64_t i = 0; i < count; i++) {
        struct zip_member *m = &zip->members[zip->count++];
        if (end - p < CENTRAL || number(p, 4) != 0x02014b50)
            return broken(zip, "its directory is cut short");
        size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2), comment = (size_t)number(p + 32, 2);
        *m = (struct zip_member){.method = (int)number(p + 10, 2), .crc = (uint32_t)number(p + 16, 4),
                                 .packed = number(p + 20, 4), .size = number(p + 24, 4), .at = number(p + 42, 4)};
        if ((size_t)(end - p) < CENTRAL + name + extra + comment)
            return broken(zip, "its directory is cut short");
        memcpy(m->name, p + CENTRAL, name < sizeof m->name ? name : sizeof m->name - 1);
        read_extra(m, p + CENTRAL + name, extra);
        p += CENTRAL + name + extra + comment;
        if (find_bytes(zip, m))
            return EXIT_FAILED;
    }
    return 0;
}

static int read_members(struct zip *zip)
{
    struct directory d = {0};
    if (find_directory(zip, &d))
        return EXIT_FAILED;
    if (d.count > MOST_MEMBERS)
        return say_error("%s: has %llu members, too many for arrays", zip->path, (unsigned long long)d.count);
    unsigned char *bytes = malloc((size_t)d.size + 1);
    zip->members = calloc((size_t)d.count + 1, sizeof *zip->members);
    int status = bytes && zip->members ? 0 : say_error("no memory");
    if (!status && file_bytes(zip->file, bytes, (size_t)d.size, d.at))
        status = say_error("%s: cannot be read", zip->path);
    if (!status)
        status = read_directory(zip, bytes, (size_t)d.size, d.count);
    free(bytes);
    return status;
}

int zip_open(struct zip *zip, const char *path)
{
    *zip = (struct zip){.path = path};
    zip->file = file_open(path, &zip->size);
    if (zip->file < 0)
        return EXIT_FAILED;
    int status = read_members(zip);
    if (status)
        zip_close(zip);
    return status;
}

void zip_close(struct zip *zip)
{
    close(zip->file);
    free(zip->members);
    *zip = (struct zip){.file = -1};
}

/* ---- bytes of a member ---- */

#ifdef HAVE_ZLIB

/* `size` bytes, of all or of its beginning. */
static int inflate_member(const struct zip *zip, const struct zip_member *m, unsigned char *to, size_t size)
{
    unsigned char in[16384];
    z_stream z = {.next_out = to};
    uint64_t at = m->at, left = m->packed;
    int code = inflateInit2(&z, -MAX_WBITS); /* without a header */
    if (code != Z_OK)
        return say_error("no memory");
    for (size_t done = 0; code == Z_OK && done < size;) {
        size_t room = size - done < 1 << 30 ? size - done : 1 << 30, n = left < sizeof in ? (size_t)left : sizeof in;
        if (!z.avail_in && (!n || file_bytes(zip->file, in, n, at)))
            break;
        if (!z.avail_in) {
            z.next_in = in;
            z.avail_in = (uInt)n;
            at += n;
            left -= n;
        }
        z.avail_out = (uInt)room;
        code = inflate(&z, Z_NO_FLUSH);
        done += room - z.avail_out;
    }
    bool whole = z.total_out == size;
    inflateEnd(&z);
    return whole ? 0 : say_error("%s: %s is damaged", zip->path, m->name);
}

static bool is_right(const struct zip_member *m, const unsigned char *bytes)
{
    return crc32_z(crc32_z(0, NULL, 0), bytes, (size_t)m->size) == m->crc;
}

#else

static int inflate_member(const struct zip *zip, const struct zip_member *m, unsigned char *to, size_t size)
{
    (void)to, (void)size;
    return say_error("%s: %s is compressed, which this build does not read (it was built without zlib); save it by "
                     "numpy.savez, not savez_compressed", zip->path, m->name);
}

static bool is_right(const struct zip_member *m, const unsigned char *bytes)
{
    (void)m, (void)bytes;
    return true;
}

#endif

int zip_begin(const struct zip *zip, const struct zip_member *m, void *to, size_t size)
{
    if (m->method == DEFLATED)
        return inflate_member(zip, m, to, size);
    if (m->method != STORED)
        return say_error("%s: %s is compressed by method %d; stored and deflated ones are read", zip->path, m->name,
                         m->method);
    return file_bytes(zip->file, to, size, m->at) ? say_error("%s: cannot be read", zip->path) : 0;
}

int zip_load(const struct zip *zip, const struct zip_member *m, unsigned char **bytes)
{
    *bytes = m->size < SIZE_MAX ? malloc((size_t)m->size + 1) : NULL;
    if (!*bytes)
        return say_error("%s: no memory for the %llu bytes of %s", zip->path, (unsigned long long)m->size, m->name);
    int status = zip_begin(zip, m, *bytes, (size_t)m->size);
    if (!status && !is_right(m, *bytes))
        status = say_error("%s: %s is damaged", zip->path, m->name);
    if (!status)
        return 0;
    free(*bytes);
    *bytes = NULL;
    return status;
}

#include "picture.h"

#include <stdlib.h>
#include <string.h>

int picture_make(struct picture *p, int rows, int columns, int channels)
{
    size_t size = (size_t)rows * (size_t)columns * (size_t)channels;
    if (size > p->capacity) {
        free(p->own);
        p->own = malloc(size);
        p->capacity = p->own ? size : 0;
    }
    p->rows = rows;
    p->columns = columns;
    p->channels = channels;
    p->pixels = p->own;
    return p->own == NULL;
}

void picture_free(struct picture *p)
{
    free(p->own);
    *p = (struct picture){0};
}

static void to_grey(unsigned char *to, const unsigned char *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = picture_luma(from + 3 * i);
}

static void to_colour(unsigned char *to, const unsigned char *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = from[i];
}

int picture_set_channels(struct picture *p, int channels)
{
    struct picture q = {0};
    size_t count = (size_t)p->rows * (size_t)p->columns;
    if (p->channels == channels)
        return 0;
    if (picture_make(&q, p->rows, p->columns, channels))
        return 1;
    (channels == 1 ? to_grey : to_colour)(q.own, p->pixels, count);
    free(p->own);
    *p = q;
    return 0;
}

/* ---- files ---- */

enum picture_kind picture_kind(const unsigned char *bytes, size_t size)
{
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
        return PICTURE_JPEG;
    return size >= 8 && !memcmp(bytes, png, 8) ? PICTURE_PNG : PICTURE_UNKNOWN;
}

bool picture_kind_is_read(enum picture_kind kind)
{
#ifdef HAVE_JPEG
    if (kind == PICTURE_JPEG)
        return true;
#endif
#ifdef HAVE_PNG
    if (kind == PICTURE_PNG)
        return true;
#endif
    (void)kind;
    return false;
}

int picture_check_size(unsigned long rows, unsigned long columns, size_t bytes, size_t most, char why[WHY])
{
    if (!rows || !columns)
        return why_not(why, "has no pixels");
    if (rows > PICTURE_SIDE || columns > PICTURE_SIDE || (size_t)rows * columns > PICTURE_PIXELS)
        return why_not(why, "is of %lu x %lu pixels, more than a hundred million are refused", columns, rows);
    if ((size_t)rows * columns / most > bytes)
        return why_not(why, "says it has %lu x %lu pixels, which its %zu bytes cannot hold", columns, rows, bytes);
    return 0;
}

int picture_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY])
{
    switch (picture_kind(bytes, size)) {
    case PICTURE_JPEG:
        return jpeg_decode(p, bytes, size, header_only, why);
    case PICTURE_PNG:
        return png_decode(p, bytes, size, header_only, why);
    default:
        return why_not(why, size ? "is neither JPEG nor PNG" : "is empty");
    }
}

/* A picture: bytes [rows, columns, channels], channels 1 (grey) or 3 (red, green, blue). */
#ifndef IMAGE_PICTURE_H
#define IMAGE_PICTURE_H

#include "bytes.h" /* WHY: why a picture cannot be had */

#include <stdbool.h>
#include <stddef.h>

enum { PICTURE_SIDE = 65535, PICTURE_PIXELS = 100000000 }; /* what is larger is refused */

struct picture {
    int rows, columns, channels;
    const unsigned char *pixels; /* `own`, or of whoever has the picture */
    unsigned char *own;
    size_t capacity;
};
/* Makes room for a picture of that size, whose bytes are undefined; non-zero without memory. */
int picture_make(struct picture *p, int rows, int columns, int channels);
void picture_free(struct picture *p);
/* Grey is repeated; of colour there stays (19595 R + 38470 G + 7471 B + 32768) >> 16, the luma of ITU-R 601. Non-zero
 * without memory. */
int picture_set_channels(struct picture *p, int channels);
/* The same luma of one pixel. */
static inline unsigned char picture_luma(const unsigned char *rgb)
{
    return (unsigned char)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/* ---- files of pictures, as bytes in memory ---- */

enum picture_kind { PICTURE_UNKNOWN, PICTURE_JPEG, PICTURE_PNG };
/* By the first bytes: names lie. */
enum picture_kind picture_kind(const unsigned char *bytes, size_t size);
/* Whether this build reads them. */
bool picture_kind_is_read(enum picture_kind kind);

/* Decodes JPEG (grey, YCbCr, RGB, CMYK, YCCK; progressive too) and PNG (all types; of 16 bits the upper 8, rounded;
 * what is transparent shows white behind it). Neither gamma, profiles nor the orientation in EXIF are looked at. What
 * is cut short or damaged is refused: the rest would be grey. `header_only`: the sizes are set, and no pixels. */
int picture_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY]);

/* Each checks these, so that memory is in proportion to the file: pixels as above, and `most` times its bytes. */
int picture_check_size(unsigned long rows, unsigned long columns, size_t bytes, size_t most, char why[WHY]);
int jpeg_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY]);
int png_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY]);

#endif

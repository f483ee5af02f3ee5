/* PNG, by libpng. */
#include "picture.h"

#ifdef HAVE_PNG

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* Deflate makes at most 1032 bytes of one, and a byte may be eight pixels. */
enum { MOST_PIXELS_A_BYTE = 8 * 1040, MOST_OF_A_CHUNK = 1 << 24 };

struct decoding {
    png_structp png;
    png_infop info;
    const unsigned char *bytes, *end;
    unsigned char *pixels, **rows; /* with what is transparent still in it */
    char *why;
};

static void failed(png_structp png, const char *text)
{
    struct decoding *d = png_get_error_ptr(png);
    why_not(d->why, "is no whole PNG: %s", text);
    png_longjmp(png, 1);
}

static void warned(png_structp png, const char *text)
{
    (void)png, (void)text;
}

static void take(png_structp png, png_bytep to, png_size_t size)
{
    struct decoding *d = png_get_io_ptr(png);
    if (size > (size_t)(d->end - d->bytes))
        png_error(png, "it is cut short");
    memcpy(to, d->bytes, size);
    d->bytes += size;
}

/* On white, each channel rounded. */
static void lay_on_white(unsigned char *to, const unsigned char *from, size_t count, int channels)
{
    for (size_t i = 0; i < count; i++, from += channels + 1)
        for (int c = 0; c < channels; c++) {
            unsigned seen = from[channels];
            *to++ = (unsigned char)((seen * from[c] + (255 - seen) * 255 + 127) / 255);
        }
}

/* Everything becomes 8 bits, grey or colour, transparent or not. */
static void ask_for_bytes(struct decoding *d)
{
    png_set_expand(d->png);
    png_set_scale_16(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
}

static int read_rows(struct decoding *d, struct picture *p)
{
    size_t rows = (size_t)p->rows, channels = png_get_channels(d->png, d->info);
    size_t step = png_get_rowbytes(d->png, d->info), count = rows * (size_t)p->columns;
    bool transparent = channels == 2 || channels == 4;
    if (channels != (size_t)p->channels + transparent || step != channels * (size_t)p->columns)
        return why_not(d->why, "is a PNG of a kind that is not known");
    d->pixels = transparent ? malloc(rows * step) : NULL;
    d->rows = malloc(rows * sizeof *d->rows);
    if (!d->rows || (transparent && !d->pixels) || picture_make(p, p->rows, p->columns, p->channels))
        return why_not(d->why, "takes more memory than there is");
    for (size_t r = 0; r < rows; r++)
        d->rows[r] = (transparent ? d->pixels : p->own) + r * step;
    png_read_image(d->png, d->rows);
    png_read_end(d->png, NULL);
    if (transparent)
        lay_on_white(p->own, d->pixels, count, p->channels);
    return 0;
}

static int decode(struct decoding *d, struct picture *p, size_t size, bool header_only)
{
    png_read_info(d->png, d->info);
    unsigned long rows = png_get_image_height(d->png, d->info), columns = png_get_image_width(d->png, d->info);
    if (picture_check_size(rows, columns, size, MOST_PIXELS_A_BYTE, d->why))
        return 1;
    p->rows = (int)rows;
    p->columns = (int)columns;
    p->channels = png_get_color_type(d->png, d->info) & PNG_COLOR_MASK_COLOR ? 3 : 1;
    if (header_only)
        return 0;
    ask_for_bytes(d);
    return read_rows(d, p);
}

/* What libpng finds wrong comes back to here. */
static int guarded(struct decoding *d, struct picture *p, size_t size, bool header_only)
{
    if (setjmp(png_jmpbuf(d->png)))
        return 1;
    png_set_read_fn(d->png, d, take);
    png_set_user_limits(d->png, PICTURE_SIDE, PICTURE_SIDE);
    png_set_chunk_malloc_max(d->png, MOST_OF_A_CHUNK);
    return decode(d, p, size, header_only);
}

int png_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY])
{
    struct decoding d = {.bytes = bytes, .end = bytes + size, .why = why};
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, failed, warned);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    int status = d.info ? guarded(&d, p, size, header_only) : why_not(why, "takes more memory than there is");
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.pixels);
    free(d.rows);
    return status;
}

#else

int png_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY])
{
    (void)p, (void)bytes, (void)size, (void)header_only;
    return why_not(why, "is a PNG, which this build does not read (it was built without libpng)");
}

#endif

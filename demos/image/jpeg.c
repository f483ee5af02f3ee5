/* JPEG, by libjpeg. */
#include "picture.h"

#ifdef HAVE_JPEG

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include <jerror.h>

/* A byte holds at most eight blocks' first coefficients, each of 64 pixels of a component: at 4 x 4 sampling, less. */
enum { MOST_PIXELS_A_BYTE = 1024 };

struct decoding {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    unsigned char *row; /* of four inks */
    char *why;
};

static void failed(j_common_ptr jpeg)
{
    struct decoding *d = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    why_not(d->why, "is no whole JPEG: %s", text);
    longjmp(d->back, 1);
}

/* Of what libjpeg only warns of, what leaves pixels undone is an error. */
static void warned(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level >= 0)
        return;
    if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_ARITH_BAD_CODE ||
        code == JWRN_BOGUS_PROGRESSION)
        failed(jpeg);
}

static void silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

/* Adobe's programs write inks the other way round, 255 is none; others do not. */
static void from_inks(unsigned char *to, const unsigned char *from, size_t count, bool inverted)
{
    unsigned turn = inverted ? 0 : 255;
    for (size_t i = 0; i < count; i++, from += 4)
        for (int c = 0; c < 3; c++)
            *to++ = (unsigned char)(((from[c] ^ turn) * (from[3] ^ turn) + 127) / 255);
}

static int read_rows(struct decoding *d, struct picture *p)
{
    struct jpeg_decompress_struct *j = &d->jpeg;
    bool inks = j->out_color_space == JCS_CMYK;
    size_t width = j->output_width, step = width * (size_t)p->channels;
    if (inks && !(d->row = malloc(4 * width)))
        return why_not(d->why, "takes more memory than there is");
    while (j->output_scanline < j->output_height) {
        unsigned char *to = p->own + j->output_scanline * step, *row = inks ? d->row : to;
        if (jpeg_read_scanlines(j, &row, 1) && inks)
            from_inks(to, row, width, j->saw_Adobe_marker);
    }
    jpeg_finish_decompress(j);
    return 0;
}

static int decode(struct decoding *d, struct picture *p, size_t size, bool header_only)
{
    struct jpeg_decompress_struct *j = &d->jpeg;
    jpeg_read_header(j, TRUE);
    if (picture_check_size(j->image_height, j->image_width, size, MOST_PIXELS_A_BYTE, d->why))
        return 1;
    bool grey = j->jpeg_color_space == JCS_GRAYSCALE, inks = j->num_components == 4;
    j->out_color_space = grey ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
    p->rows = (int)j->image_height;
    p->columns = (int)j->image_width;
    p->channels = grey ? 1 : 3;
    if (header_only)
        return 0;
    if (picture_make(p, p->rows, p->columns, p->channels))
        return why_not(d->why, "takes more memory than there is");
    jpeg_start_decompress(j);
    return read_rows(d, p);
}

/* What libjpeg finds wrong comes back to here. */
static int guarded(struct decoding *d, struct picture *p, const unsigned char *bytes, size_t size, bool header_only)
{
    if (setjmp(d->back))
        return 1;
    jpeg_create_decompress(&d->jpeg);
    jpeg_mem_src(&d->jpeg, bytes, size);
    return decode(d, p, size, header_only);
}

int jpeg_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY])
{
    struct decoding d = {.why = why};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.jpeg.client_data = &d;
    d.errors.error_exit = failed;
    d.errors.emit_message = warned;
    d.errors.output_message = silent;
    int status = guarded(&d, p, bytes, size, header_only);
    jpeg_destroy_decompress(&d.jpeg);
    free(d.row);
    return status;
}

#else

int jpeg_decode(struct picture *p, const unsigned char *bytes, size_t size, bool header_only, char why[WHY])
{
    (void)p, (void)bytes, (void)size, (void)header_only;
    return why_not(why, "is a JPEG, which this build does not read (it was built without libjpeg)");
}

#endif

/* A page of pictures of one size, in rows, one white pixel between two: as PNG, or where the build has no libpng as PGM
 * or PPM. */
#ifndef IMAGE_GRID_H
#define IMAGE_GRID_H

#include "picture.h"

struct grid {
    int rows, columns, channels; /* of a picture */
    int across;                  /* pictures in a row of the page */
    int frame;                   /* pixels of a coloured frame around each; 0: none */
    int scale;                   /* each pixel of a picture becomes so many in both directions; 0 means 1 */
    int lines;                   /* of words below each picture, which are not scaled */
    const char *heading;         /* NULL, or words above all of it, in lines */
};

/* Words below a picture. */
struct grid_line {
    const char *text;
    const unsigned char *colour; /* red, green, blue; NULL: black */
};

/* A picture on a page. Where there are frames: the colours (red, green, blue) of its left and its right half, as those
 * of two answers; NULL on the right: as the left, on the left: white. */
struct grid_cell {
    const unsigned char *pixels; /* [rows, columns, channels]; NULL: white */
    const unsigned char *frame[2];
    const struct grid_line *lines; /* [grid.lines]; NULL: none */
};

/* Signs for which there is room in a line below a picture. */
size_t grid_signs(const struct grid *grid);

/* With frames or words a page is in colour, without as its pictures. What is left of the last row is white. Says what
 * is wrong and returns non-zero; picture_free() what it made. */
int grid_page(struct picture *page, const struct grid *grid, const struct grid_cell *cells, size_t count);

/* Where a page of so many channels will be written, to be freed: `path`, or where it ends in .png and this build has no
 * libpng, with .pgm or .ppm instead, which is said. NULL: no memory, it was said. */
char *grid_path(const char *path, int channels);

/* Writes a page at a path of grid_path(), whole or not at all: as PNG, or where it ends in .pgm, .ppm or .pnm or this
 * build has no libpng, as those. Says what is wrong and returns non-zero. */
int grid_write(const char *path, const struct picture *page);

#endif

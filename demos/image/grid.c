#include "grid.h"

#include "files.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- a page ---- */

/* In pixels of the page before it is scaled. */
struct layout {
    const struct grid *grid;
    int channels, scale, cell_rows, cell_columns;
};

static struct layout layout_of(const struct grid *g)
{
    return (struct layout){.grid = g, .channels = g->frame ? 3 : g->channels, .scale = g->scale ? g->scale : 1,
                           .cell_rows = g->rows + 2 * g->frame, .cell_columns = g->columns + 2 * g->frame};
}

/* Pixels of `count` cells with one between two, scaled. */
static size_t side(const struct layout *l, size_t count, int cell)
{
    return (count * ((size_t)cell + 1) - 1) * (size_t)l->scale;
}

static void put(const struct layout *l, struct picture *page, size_t row, size_t column, const unsigned char *pixel,
                int channels)
{
    for (size_t i = 0; i < (size_t)l->scale * (size_t)l->scale; i++) {
        const size_t r = row * (size_t)l->scale + i / (size_t)l->scale;
        const size_t c = column * (size_t)l->scale + i % (size_t)l->scale;
        unsigned char *to = page->own + (r * (size_t)page->columns + c) * (size_t)l->channels;
        for (int k = 0; k < l->channels; k++)
            to[k] = pixel[channels == 1 ? 0 : k];
    }
}

static void put_cell(const struct layout *l, struct picture *page, const struct grid_cell *cell, size_t number)
{
    static const unsigned char white[3] = {255, 255, 255};
    const struct grid *g = l->grid;
    const size_t top = number / (size_t)g->across * ((size_t)l->cell_rows + 1);
    const size_t left = number % (size_t)g->across * ((size_t)l->cell_columns + 1);
    for (int r = 0; r < l->cell_rows; r++)
        for (int c = 0; c < l->cell_columns; c++) {
            const int row = r - g->frame, column = c - g->frame;
            const bool inside = row >= 0 && row < g->rows && column >= 0 && column < g->columns;
            const bool right = 2 * c >= l->cell_columns && cell->frame[1];
            const unsigned char *from = inside ? cell->pixels : cell->frame[right];
            if (inside && from)
                from += ((size_t)row * (size_t)g->columns + (size_t)column) * (size_t)g->channels;
            put(l, page, top + (size_t)r, left + (size_t)c, from ? from : white, from && inside ? g->channels : 3);
        }
}

int grid_page(struct picture *page, const struct grid *g, const struct grid_cell *cells, size_t count)
{
    const struct layout l = layout_of(g);
    const size_t across = (size_t)g->across, down = (count + across - 1) / across;
    const size_t rows = side(&l, down, l.cell_rows), columns = side(&l, across, l.cell_columns);
    if (rows > PICTURE_SIDE || columns > PICTURE_SIDE || rows * columns > PICTURE_PIXELS)
        return say_error("a page of %zu x %zu pixels is too large; take fewer pictures, or scale them less", columns,
                         rows);
    if (picture_make(page, (int)rows, (int)columns, l.channels))
        return say_error("no memory for a page of %zu x %zu pixels", columns, rows);
    memset(page->own, 255, rows * columns * (size_t)l.channels);
    for (size_t i = 0; i < count; i++)
        put_cell(&l, page, &cells[i], i);
    return 0;
}

/* ---- files ---- */

static bool ends_in(const char *path, const char *ending)
{
    const size_t length = strlen(path), end = strlen(ending);
    return length >= end && !strcasecmp(path + length - end, ending);
}

static bool is_pnm(const char *path)
{
    return ends_in(path, ".pgm") || ends_in(path, ".ppm") || ends_in(path, ".pnm");
}

static bool write_pnm(FILE *stream, const struct picture *page)
{
    const size_t size = (size_t)page->rows * (size_t)page->columns * (size_t)page->channels;
    return fprintf(stream, "P%d\n%d %d\n255\n", page->channels == 1 ? 5 : 6, page->columns, page->rows) > 0 &&
           fwrite(page->pixels, 1, size, stream) == size;
}

#ifdef HAVE_PNG

#include <png.h>
#include <setjmp.h>

static const bool has_png = true;

/* What goes wrong with the file itself is said when it ends. */
static void failed(png_structp png, const char *text)
{
    (void)text;
    png_longjmp(png, 1);
}

static void warned(png_structp png, const char *text)
{
    (void)png, (void)text;
}

static bool encode(png_structp png, png_infop info, FILE *stream, const struct picture *page)
{
    const size_t step = (size_t)page->columns * (size_t)page->channels;
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)page->columns, (png_uint_32)page->rows, 8,
                 page->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int r = 0; r < page->rows; r++)
        png_write_row(png, page->pixels + (size_t)r * step);
    png_write_end(png, info);
    return true;
}

static bool write_png(FILE *stream, const struct picture *page)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, failed, warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    const bool good = info && encode(png, info, stream, page);
    png_destroy_write_struct(&png, &info);
    return good;
}

#else

static const bool has_png = false;
static bool write_png(FILE *stream, const struct picture *page)
{
    return write_pnm(stream, page);
}

#endif

char *grid_path(const char *path, int channels)
{
    char *own = strdup(path);
    if (!own) {
        say_error("no memory for the name of a file");
        return NULL;
    }
    if (has_png || is_pnm(path))
        return own;
    if (ends_in(path, ".png"))
        memcpy(own + strlen(own) - 3, channels == 1 ? "pgm" : "ppm", 3);
    say_note("%s: is written as %s, since this build has no libpng", own, channels == 1 ? "PGM" : "PPM");
    return own;
}

int grid_write(const char *path, const struct picture *page)
{
    struct new_file file;
    if (new_file_begin(&file, path))
        return EXIT_FAILED;
    const bool good = is_pnm(path) ? write_pnm(file.stream, page) : write_png(file.stream, page);
    if (new_file_end(&file, good))
        return EXIT_FAILED;
    return good ? 0 : say_error("%s: no PNG could be made; there is too little memory", path);
}

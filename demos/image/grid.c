#include "grid.h"

#include "files.h"
#include "letters.h"
#include "say.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- a page ---- */

enum { LINE = LETTER_ROWS + 1, ABOVE_WORDS = 2 };

/* In pixels of the page, but for cells and what is in them: those are scaled. */
struct layout {
    const struct grid *grid;
    int channels, cell_rows, cell_columns;
    size_t scale, words, heading; /* rows of words below each picture, and above all */
};

static size_t count_lines(const char *text)
{
    size_t lines = 1;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

static struct layout layout_of(const struct grid *g)
{
    struct layout l = {.grid = g, .channels = g->frame || g->lines || g->heading ? 3 : g->channels,
                       .scale = g->scale ? (size_t)g->scale : 1, .cell_rows = g->rows + 2 * g->frame,
                       .cell_columns = g->columns + 2 * g->frame};
    l.words = g->lines ? (size_t)g->lines * LINE + ABOVE_WORDS : 0;
    l.heading = g->heading ? count_lines(g->heading) * LINE + ABOVE_WORDS : 0;
    return l;
}

size_t grid_signs(const struct grid *g)
{
    const struct layout l = layout_of(g);
    return (size_t)l.cell_columns * l.scale / LETTER_COLUMNS;
}

/* From one cell's corner to the next one's, one white pixel between them. */
static size_t step_down(const struct layout *l)
{
    return ((size_t)l->cell_rows + 1) * l->scale + l->words;
}

static size_t step_right(const struct layout *l)
{
    return ((size_t)l->cell_columns + 1) * l->scale;
}

static void put(const struct layout *l, struct picture *page, size_t top, size_t left, const unsigned char *pixel,
                int channels)
{
    for (size_t i = 0; i < l->scale * l->scale; i++) {
        const size_t r = top + i / l->scale, c = left + i % l->scale;
        unsigned char *to = page->own + (r * (size_t)page->columns + c) * (size_t)l->channels;
        for (int k = 0; k < l->channels; k++)
            to[k] = pixel[channels == 1 ? 0 : k];
    }
}

static void put_words(const struct layout *l, struct picture *page, const struct grid_line *lines, size_t top,
                      size_t left)
{
    static const unsigned char black[3];
    for (int i = 0; i < l->grid->lines && lines; i++)
        letters_put(page, top + ABOVE_WORDS + (size_t)i * LINE, left, grid_signs(l->grid), lines[i].text,
                    lines[i].colour ? lines[i].colour : black);
}

static void put_heading(const struct layout *l, struct picture *page)
{
    static const unsigned char black[3];
    const char *text = l->grid->heading;
    for (size_t top = 0; text; top += LINE) {
        const size_t length = strcspn(text, "\n");
        char line[512];
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        letters_put(page, top, 0, SIZE_MAX, line, black);
        text = text[length] ? text + length + 1 : NULL;
    }
}

static void put_cell(const struct layout *l, struct picture *page, const struct grid_cell *cell, size_t number)
{
    static const unsigned char white[3] = {255, 255, 255};
    const struct grid *g = l->grid;
    const size_t top = l->heading + number / (size_t)g->across * step_down(l);
    const size_t left = number % (size_t)g->across * step_right(l);
    for (int r = 0; r < l->cell_rows; r++)
        for (int c = 0; c < l->cell_columns; c++) {
            const int row = r - g->frame, column = c - g->frame;
            const bool inside = row >= 0 && row < g->rows && column >= 0 && column < g->columns;
            const bool right = 2 * c >= l->cell_columns && cell->frame[1];
            const unsigned char *from = inside ? cell->pixels : cell->frame[right];
            if (inside && from)
                from += ((size_t)row * (size_t)g->columns + (size_t)column) * (size_t)g->channels;
            put(l, page, top + (size_t)r * l->scale, left + (size_t)c * l->scale, from ? from : white,
                from && inside ? g->channels : 3);
        }
    put_words(l, page, cell->lines, top + (size_t)l->cell_rows * l->scale, left);
}

int grid_page(struct picture *page, const struct grid *g, const struct grid_cell *cells, size_t count)
{
    const struct layout l = layout_of(g);
    const size_t across = (size_t)g->across, down = (count + across - 1) / across;
    const size_t rows = l.heading + down * step_down(&l) - l.scale, columns = across * step_right(&l) - l.scale;
    if (rows > PICTURE_SIDE || columns > PICTURE_SIDE || rows * columns > PICTURE_PIXELS)
        return say_error("a page of %zu x %zu pixels is too large; take fewer pictures, or scale them less", columns,
                         rows);
    if (picture_make(page, (int)rows, (int)columns, l.channels))
        return say_error("no memory for a page of %zu x %zu pixels", columns, rows);
    memset(page->own, 255, rows * columns * (size_t)l.channels);
    put_heading(&l, page);
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

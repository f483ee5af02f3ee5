/* A page as Markdown or as HTML, from the same calls. Texts are plain, and escaped. */
#ifndef REPRO_SHEET_H
#define REPRO_SHEET_H

#include <stdbool.h>
#include <stdio.h>

struct sheet {
    FILE *out;
    bool html;
    const char *folder; /* of Markdown's pictures: FOLDER/figures/NAME.svg; HTML has them inside */
    bool failed;        /* a picture could not be written, which was said */
    int columns, column;
};

void sheet_begin(struct sheet *sheet, const char *title);
void sheet_end(struct sheet *sheet);
void sheet_heading(struct sheet *sheet, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sheet_text(struct sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sheet_code(struct sheet *sheet, const char *text);

/* Heads with | between; then cells, row after row. */
void sheet_table(struct sheet *sheet, const char *heads);
void sheet_cell(struct sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sheet_number(struct sheet *sheet, double value, int digits); /* "-" where it is not finite */
void sheet_table_end(struct sheet *sheet);

/* A picture that `draw` puts out as SVG; nothing where it returns false. */
void sheet_picture(struct sheet *sheet, const char *name, const char *caption,
                   bool (*draw)(FILE *out, const void *cookie), const void *cookie);

#endif

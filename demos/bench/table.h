/* Rows as text: what their columns are called and how values are written; for people, as Markdown, as CSV. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <jansson.h>
#include <stdio.h>

enum { CELL_SIZE = 160 };
struct column {
    const char *title, *gloss;
    int width;   /* on a terminal; negative: to the left */
    void (*write)(const json_t *row, char cell[CELL_SIZE]);
};
extern const struct column columns[];
extern const int column_count;

/* Rows must come in the order of their devices: a heading is written where the device changes. */
void table_row(FILE *out, const json_t *row, const json_t *before); /* `before`: the row above, or NULL */
void markdown_row(FILE *out, const json_t *row, const json_t *before);
void csv_row(FILE *out, const json_t *row, const json_t *before);

/* Text within those. */
void markdown_text(FILE *out, const char *text);
void csv_text(FILE *out, const char *text);

/* Means over cases, and counts of what is not right, after all rows. */
void table_summary(FILE *out, const json_t *rows);

/* "name (platform, driver), id, 2 units, library 0.1.0" */
void device_title(const json_t *row, char *text, size_t size);

#endif

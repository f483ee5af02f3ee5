/* A row for people: what its columns are called and how their values are written, for every kind of table. */
#ifndef BENCH_COLUMNS_H
#define BENCH_COLUMNS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { CELL_SIZE = 160 };

struct column {
    const char *title, *gloss;
    int width;   /* on a terminal; negative: to the left */
    void (*write)(const json_t *row, char cell[CELL_SIZE]);
};
extern const struct column columns[];
extern const int column_count;

bool row_is_ok(const json_t *row);
/* Of a dotted path ("shape.length"): the text, "" if there is none; the number, NaN if there is none. */
const char *row_text(const json_t *row, const char *path);
double row_number(const json_t *row, const char *path);
const json_t *row_field(const json_t *row, const char *path);

#endif

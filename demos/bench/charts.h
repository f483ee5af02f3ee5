/* Pictures of rows. */
#ifndef BENCH_CHARTS_H
#define BENCH_CHARTS_H

#include "files.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Each draws an SVG if the rows have something for it, and says whether it did. */
struct chart {
    const char *name; /* of its file */
    const char *about;
    bool (*draw)(FILE *out, const json_t *rows);
};
extern const struct chart charts[];
extern const int chart_count;

bool chart_speed(FILE *out, const json_t *rows);
bool chart_length(FILE *out, const json_t *rows);
bool chart_keys(FILE *out, const json_t *rows);
bool chart_roofline(FILE *out, const json_t *rows);
bool chart_step(FILE *out, const json_t *rows);
bool chart_caches(FILE *out, const json_t *rows);

int charts_check(const char *name);
/* All of them, as what will be written. */
void charts_files(const char *name, struct files *files); /* can NAME-*.svg be made? NULL is fine */
int charts_write(const char *name, const json_t *rows);

/* ---- the devices of rows ---- */

enum { MAX_CHART_DEVICES = 6, LABEL_SIZE = 160 }; /* more would not be told apart */
struct chart_devices {
    int count;
    const json_t *row[MAX_CHART_DEVICES]; /* the first of each */
    char label[MAX_CHART_DEVICES][LABEL_SIZE];
};
void chart_find_devices(const json_t *rows, struct chart_devices *devices);
bool chart_is_of(const json_t *row, const json_t *device); /* of the same device, machine and version */

/* A line of the legend beside a chart: a mark (negative: none) and its text. */
void chart_legend(FILE *out, double x, double *y, int mark, const char *colour, const char *text);

#endif

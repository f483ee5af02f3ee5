/* Pictures of rows, and the page that they stand in. */
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

int charts_check(const char *name); /* can NAME-*.svg be made? NULL is fine */
void charts_files(const char *name, struct files *files); /* all of them, as what will be written */
int charts_write(const char *name, const json_t *rows);

/* One HTML page with everything in it: nothing is fetched from anywhere. `command`: how the rows came to be. */
void page_write(FILE *out, const json_t *rows, const char *command);

/* ---- the devices of rows ---- */

enum { MAX_CHART_DEVICES = 6, LABEL_SIZE = 160 }; /* more would not be told apart */
struct chart_devices {
    int count;
    const json_t *row[MAX_CHART_DEVICES]; /* the first of each */
    char label[MAX_CHART_DEVICES][LABEL_SIZE];
};
void chart_find_devices(const json_t *rows, struct chart_devices *devices);

#endif

/* Where rows go: a stream in one of the formats as they come, files that are drawn when all are there. */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include "args.h"
#include "files.h"

#include <ssacl/device.h>

#include <jansson.h>
#include <stdbool.h>

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV, OUTPUT_MARKDOWN };

struct output_options {
    int json, csv, markdown;
    const char *path, *html, *charts;
};
/* For the table of arguments of a program that has an output. */
#define OUTPUT_ARGUMENTS(o) \
    ARG_FLAG(0, "json", &(o)->json, "one JSON object a line: all there is to know, for --compare and show"), \
    ARG_FLAG(0, "csv", &(o)->csv, "comma-separated values"), \
    ARG_FLAG(0, "markdown", &(o)->markdown, "tables for a README or an issue"), \
    ARG_TEXT('o', "output", &(o)->path, "FILE", \
             "write there instead of on the terminal; .json, .csv and .md name the form, too"), \
    ARG_TEXT(0, "html", &(o)->html, "FILE", "also one page with tables and charts that needs nothing else"), \
    ARG_TEXT(0, "charts", &(o)->charts, "NAME", "also NAME-speed.svg, NAME-length.svg, NAME-keys.svg and so on")

struct output {
    struct output_options options;
    enum output_format format;
    struct new_file file, page;
    FILE *stream;
    json_t *rows, *machine, *device;
    char command[1024]; /* how to get the same again */
    int ok, wrong, skipped, failed;
    bool begun;
};

/* As the flags say, else as the name of the file ends. */
enum output_format output_format(const struct output_options *options);

/* Says which outputs are inputs (files of rows; NULL: none) or each other, or cannot be written. */
int output_check_files(const struct output_options *options, const struct arg_list *inputs);
/* Says what cannot be done, before any work. */
int output_begin(struct output *o, const struct output_options *options, int argc, char **argv);
void output_use_device(struct output *o, const struct ssa_device_info *info);
json_t *output_device(const struct output *o); /* facts that go into every row; borrowed */
void output_row(struct output *o, json_t *row); /* takes the reference */
/* Nothing is kept: files that were there stay as they are. */
void output_abandon(struct output *o);
/* A line for people after the rows. Files take their names now, with as many rows as there are. */
int output_end(struct output *o);

#endif

#include "output.h"

#include "charts.h"
#include "rows.h"
#include "table.h"

#include "progress.h"
#include "say.h"
#include "words.h"

#include <stdio.h>
#include <string.h>

static int check_formats(const struct output_options *o)
{
    if (o->json + o->csv + o->markdown > 1) {
        say_error("--json, --csv and --markdown are one each: choose");
        return EXIT_USAGE;
    }
    return 0;
}

static bool ends_with(const char *path, const char *end)
{
    size_t n = path ? strlen(path) : 0, m = strlen(end);
    return n > m && !strcmp(path + n - m, end);
}

enum output_format output_format(const struct output_options *o)
{
    if (o->json + o->csv + o->markdown)
        return o->json ? OUTPUT_JSON : o->csv ? OUTPUT_CSV : OUTPUT_MARKDOWN;
    return ends_with(o->path, ".json") || ends_with(o->path, ".jsonl") ? OUTPUT_JSON
           : ends_with(o->path, ".csv")                                ? OUTPUT_CSV
           : ends_with(o->path, ".md")                                 ? OUTPUT_MARKDOWN
                                                                       : OUTPUT_TABLE;
}

static void keep_command(struct output *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        size_t used = strlen(o->command);
        snprintf(o->command + used, sizeof o->command - used, strchr(argv[i], ' ') ? "%s'%s'" : "%s%s", i ? " " : "",
                 i ? argv[i] : "ssacl-bench");
    }
}

int output_check_files(const struct output_options *o, const struct arg_list *inputs)
{
    struct files files = {0};
    char path[4096];
    for (int i = 0; inputs && i < inputs->count; i++) {
        rows_path(inputs->items[i], path);
        files_read(&files, NULL, path);
    }
    files_write(&files, "--output", o->path);
    files_write(&files, "--html", o->html);
    charts_files(o->charts, &files);
    if (files_check(&files) || file_check_output(o->path) || file_check_output(o->html) || charts_check(o->charts))
        return EXIT_FAILED;
    return 0;
}

int output_begin(struct output *o, const struct output_options *options, int argc, char **argv)
{
    *o = (struct output){.options = *options, .stream = stdout};
    int status = check_formats(options);
    if (status)
        return status;
    o->format = output_format(options);
    keep_command(o, argc, argv);
    if (output_check_files(options, NULL) || (options->path && new_file_begin(&o->file, options->path)) ||
        (options->html && new_file_begin(&o->page, options->html)))
        status = EXIT_FAILED;
    if (options->path && !status)
        o->stream = o->file.stream;
    o->rows = json_array();
    o->machine = machine_facts();
    o->begun = true;
    return status;
}

void output_use_device(struct output *o, const struct ssa_device_info *info)
{
    json_decref(o->device);
    o->device = device_facts(info);
    json_object_set(o->device, "machine", o->machine);
}

json_t *output_device(const struct output *o)
{
    return o->device;
}

static void count_status(struct output *o, const char *status)
{
    o->ok += !strcmp(status, "ok");
    o->wrong += !strcmp(status, "wrong");
    o->skipped += !strcmp(status, "skipped");
    o->failed += !strcmp(status, "failed");
}

void output_row(struct output *o, json_t *row)
{
    static void (*const writers[])(FILE *, const json_t *, const json_t *) = {
        [OUTPUT_TABLE] = table_row, [OUTPUT_CSV] = csv_row, [OUTPUT_MARKDOWN] = markdown_row};
    size_t count = json_array_size(o->rows);
    json_make_plain(row);
    count_status(o, row_text(row, "status"));
    progress_hide();
    if (o->format == OUTPUT_JSON) {
        json_dumpf(row, o->stream, JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputc('\n', o->stream);
    } else {
        writers[o->format](o->stream, row, count ? json_array_get(o->rows, count - 1) : NULL);
    }
    fflush(o->stream);
    json_array_append_new(o->rows, row);
}

static int write_pictures(struct output *o)
{
    int status = 0;
    if (o->options.html) {
        page_write(o->page.stream, o->rows, o->command);
        status = new_file_end(&o->page, true);
    }
    return o->options.charts && charts_write(o->options.charts, o->rows) ? EXIT_FAILED : status;
}

static void release(struct output *o)
{
    json_decref(o->rows);
    json_decref(o->machine);
    json_decref(o->device);
}

void output_abandon(struct output *o)
{
    if (o->page.stream)
        new_file_end(&o->page, false);
    if (o->file.stream)
        new_file_end(&o->file, false);
    release(o);
}

int output_end(struct output *o)
{
    int status = 0, rows = (int)json_array_size(o->rows);
    if (!o->begun)
        return finish_stdout(); /* of --list */
    if (rows && o->format == OUTPUT_TABLE)
        table_summary(o->stream, o->rows);
    if (rows)
        status = write_pictures(o);
    else if (o->page.stream)
        new_file_end(&o->page, false); /* nothing to show: what was there stays */
    if (o->file.stream && new_file_end(&o->file, rows > 0))
        status = EXIT_FAILED;
    if (!o->options.path && finish_stdout())
        status = EXIT_FAILED;
    if (o->wrong + o->failed + o->skipped)
        say_note("%d right, %d wrong, %d failed, %d skipped", o->ok, o->wrong, o->failed, o->skipped);
    release(o);
    return status;
}

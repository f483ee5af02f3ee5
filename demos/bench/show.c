/* ssacl-bench show: results of earlier runs, of one or several machines, in any of the forms. */
#include "command.h"
#include "output.h"
#include "rows.h"

#include "say.h"
#include "words.h"

#include <stdlib.h>

static struct {
    struct output_options output;
    struct arg_list files;
} request;

static bool share_a_device(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < json_array_size(a); i++)
        for (size_t j = 0; j < json_array_size(b); j++)
            if (row_same_device(json_array_get(a, i), json_array_get(b, j)))
                return true;
    return false;
}

/* Where two files are of one device, rows say of which file they are, and nothing puts them together. */
static void name_files(json_t *files)
{
    const size_t count = json_array_size(files);
    char (*labels)[LABEL_MAX] = calloc(count, sizeof *labels);
    bool shared = false;
    size_t at;
    json_t *row;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i && !shared; j++)
            shared = share_a_device(json_array_get(files, i), json_array_get(files, j));
    if (labels && shared)
        label_files(request.files.items, (int)count, ".json", labels);
    for (size_t i = 0; labels && shared && i < count; i++)
        json_array_foreach(json_array_get(files, i), at, row)
            json_object_set_new(row, "file", json_text(labels[i]));
    free(labels);
}

static int show(struct output *o)
{
    json_t *files = json_array(), *rows, *row;
    size_t i, at;
    int status = 0;
    for (int f = 0; f < request.files.count && !status; f++) {
        rows = rows_load(request.files.items[f]);
        status = !rows || json_array_append_new(files, rows) ? EXIT_FAILED : 0;
    }
    if (!status)
        name_files(files);
    json_array_foreach(status ? NULL : files, i, rows)
        json_array_foreach(rows, at, row)
            output_row(o, json_incref(row));
    json_decref(files);
    return status;
}

int show_main(int argc, char **argv)
{
    static struct output output;
    const struct arg table[] = {OUTPUT_ARGUMENTS(&request.output), ARG_END};
    const struct args_page page = {
        .name = "ssacl-bench show", .usage = "FILE.json... [options]",
        .about = "Shows results of `ssacl-bench --json` again: as tables, CSV, Markdown, charts, or one HTML page. "
                 "Several files, of one machine or many, stand side by side; FILE@DEVICE takes one device of a file. "
                 "Where two files are of one device, their rows and charts go by the names of the files too.\n"
                 "A row has: schema (2; in 1, which is read too, peak_ was roof_), library, device, driver, platform "
                 "and machine; suite, case, direction, "
                 "shape, plan; path, how the operator ran, and tuning, the file of tile sizes it ran with; status "
                 "(ok, wrong, skipped, failed) and the reason; error and tolerance, relative to the largest value "
                 "of the reference; seconds of a call (median, min, q1, q3, max) and all samples; flops done and "
                 "flops_dense, what dense attention would take, with GFLOP/s of both; bytes_moved, the least "
                 "traffic, in GB/s; peak_gflops and peak_gbs, measured in between, the latter over "
                 "peak_gbs_set_bytes; the shares of both and the one that is bound; bytes_held on the device; "
                 "first_call_seconds and what of them was building: build_seconds in this run, build_cold_seconds "
                 "and build_warm_seconds with --build-times. A wrong, skipped or failed row has no speed.",
        .examples = "examples:\n  ssacl-bench show mine.json theirs.json --html both.html\n", .rest = &request.files};
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (!request.files.count) {
        say_error("name files that `ssacl-bench --json` wrote (see --help)");
        return EXIT_USAGE;
    }
    if (output_check_files(&request.output, &request.files))
        return EXIT_FAILED;
    if ((status = output_begin(&output, &request.output, argc, argv)) || (status = show(&output)))
        return output_abandon(&output), status;
    return output_end(&output);
}

/* ssacl-bench compare: two results side by side, case by case, with how sure each ratio is. */
#include "command.h"
#include "output.h"
#include "rows.h"
#include "table.h"

#include "numbers.h"
#include "say.h"
#include "statistics.h"
#include "words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SAMPLES = 1000 };

static struct {
    struct output_options output;
    struct arg_list files;
} request;

/* ---- pairs ---- */

/* Both files have the case, or one of them alone. */
struct pair {
    const json_t *a, *b; /* NULL: missing there */
    struct ratio ratio;  /* seconds of a over those of b: above 1 b is faster */
    const char *verdict, *why;
};

static bool same(const json_t *a, const json_t *b, const char *path)
{
    return !strcmp(row_text(a, path), row_text(b, path));
}

/* Rows that compare: several devices of one file are told apart by their ids, where both files have them. */
static const json_t *find(const json_t *rows, const json_t *like, bool by_device)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row)
        if (same(row, like, "suite") && same(row, like, "case") && same(row, like, "direction") &&
            (!by_device || same(row, like, "device_id")))
            return row;
    return NULL;
}

static bool has_several_devices(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row)
        if (!same(row, json_array_get(rows, 0), "device_id"))
            return true;
    return false;
}

static int samples_of(const json_t *row, double *samples)
{
    const json_t *list = row_field(row, "samples");
    int count = 0;
    for (size_t i = 0; i < json_array_size(list) && count < MAX_SAMPLES; i++) {
        double x = json_number_value(json_array_get(list, i));
        if (x > 0)
            samples[count++] = x;
    }
    return count;
}

static void judge(struct pair *p)
{
    static double a[MAX_SAMPLES], b[MAX_SAMPLES];
    p->ratio = (struct ratio){NAN, NAN, NAN};
    p->verdict = "-";
    p->why = !p->a ? "only in B" : !p->b ? "only in A" : "";
    if (!p->a || !p->b)
        return;
    int a_count = samples_of(p->a, a), b_count = samples_of(p->b, b);
    if (!row_is_ok(p->a) || !row_is_ok(p->b) || !a_count || !b_count) {
        p->why = row_is_ok(p->a) ? row_text(p->b, "status") : row_text(p->a, "status");
        return;
    }
    p->ratio = ratio_of_medians(a, a_count, b, b_count);
    p->verdict = p->ratio.low > 1 ? "B faster" : p->ratio.high < 1 ? "A faster" : "no difference seen";
}

static struct pair *make_pairs(const json_t *a, const json_t *b, int *count)
{
    bool by_device = has_several_devices(a) || has_several_devices(b);
    struct pair *pairs = calloc(json_array_size(a) + json_array_size(b), sizeof *pairs);
    size_t i;
    json_t *row;
    *count = 0;
    if (!pairs)
        return NULL;
    json_array_foreach((json_t *)a, i, row)
        if (strcmp(row_text(row, "suite"), "peak"))
            pairs[(*count)++] = (struct pair){.a = row, .b = find(b, row, by_device)};
    json_array_foreach((json_t *)b, i, row)
        if (strcmp(row_text(row, "suite"), "peak") && !find(a, row, by_device))
            pairs[(*count)++] = (struct pair){.b = row};
    for (int p = 0; p < *count; p++)
        judge(&pairs[p]);
    return pairs;
}

/* ---- writing ---- */

static const json_t *either(const struct pair *p)
{
    return p->a ? p->a : p->b;
}

static void put_json(FILE *out, const struct pair *p)
{
    const json_t *row = either(p);
    bool known = isfinite(p->ratio.value);
    json_t *o = json_pack("{ss ss ss ss ss so so so so so}", "suite", row_text(row, "suite"), "case",
                          row_text(row, "case"), "direction", row_text(row, "direction"), "verdict", p->verdict, "why",
                          p->why, "seconds_a", json_null(), "seconds_b", json_null(), "ratio", json_null(), "low",
                          json_null(), "high", json_null());
    if (known) {
        json_object_set_new(o, "seconds_a", number_json(row_number(p->a, "seconds")));
        json_object_set_new(o, "seconds_b", number_json(row_number(p->b, "seconds")));
        json_object_set_new(o, "ratio", number_json(p->ratio.value));
        json_object_set_new(o, "low", number_json(p->ratio.low));
        json_object_set_new(o, "high", number_json(p->ratio.high));
    }
    json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(o);
}

static void put_text(FILE *out, const char *text, int width, enum output_format format)
{
    if (format == OUTPUT_TABLE)
        fprintf(out, "%-*s ", width, text);
    else if (format == OUTPUT_CSV)
        csv_text(out, text);
    else
        markdown_text(out, text);
}

/* What the case is called, up to where its figures begin. */
static void put_names(FILE *out, const json_t *row, enum output_format format)
{
    static const char *const fields[] = {"suite", "case", "direction"};
    static const int widths[] = {10, 46, 9};
    for (int i = 0; i < 3; i++) {
        fputs(format == OUTPUT_MARKDOWN ? "| " : "", out);
        put_text(out, row_text(row, fields[i]), widths[i], format);
        fputs(format == OUTPUT_MARKDOWN ? " " : format == OUTPUT_CSV ? "," : "", out);
    }
}

static void put_line(FILE *out, const struct pair *p, enum output_format format)
{
    static const char *const known[] = {[OUTPUT_TABLE] = "%10.3f %10.3f %7.3f  %.3f to %.3f  %s\n",
                                        [OUTPUT_CSV] = "%.6f,%.6f,%.4f,%.4f,%.4f,%s\n",
                                        [OUTPUT_MARKDOWN] = "| %.3f | %.3f | %.3f | %.3f to %.3f | %s |\n"};
    put_names(out, either(p), format);
    if (isfinite(p->ratio.value)) {
        fprintf(out, known[format], 1e3 * row_number(p->a, "seconds"), 1e3 * row_number(p->b, "seconds"),
                p->ratio.value, p->ratio.low, p->ratio.high, p->verdict);
        return;
    }
    fputs(format == OUTPUT_MARKDOWN ? "| | | | | " : format == OUTPUT_CSV ? ",,,,," : "", out);
    put_text(out, p->why, 0, format);
    fputs(format == OUTPUT_MARKDOWN ? " |\n" : "\n", out);
}

static void put_markdown_heading(FILE *out, char title[2][512], const char *const more[2])
{
    for (int i = 0; i < 2; i++) {
        fputs(i ? "B: " : "A: ", out);
        markdown_text(out, title[i]);
        fprintf(out, "%s%s\n", more[i], i ? "" : "  ");
    }
    fputs("\n| suite | case | direction | A, ms | B, ms | A/B | interval of 95% | |\n"
          "|---|---|---|---:|---:|---:|---|---|\n", out);
}

/* By device, and where that is the same by file. */
static void put_heading(FILE *out, const json_t *a, const json_t *b, const struct arg_list *files,
                        enum output_format format)
{
    const char *more[] = {has_several_devices(a) ? " and others" : "", has_several_devices(b) ? " and others" : ""};
    char title[2][512], label[2][LABEL_MAX];
    device_title(json_array_get(a, 0), title[0], sizeof title[0]);
    device_title(json_array_get(b, 0), title[1], sizeof title[1]);
    label_files(files->items, 2, ".json", label);
    for (int i = 0, same = !strcmp(title[0], title[1]); same && i < 2; i++) {
        size_t used = strlen(title[i]);
        snprintf(title[i] + used, sizeof title[i] - used, ", %s", label[i]);
    }
    if (format == OUTPUT_TABLE)
        fprintf(out, "A: %s%s\nB: %s%s\n"
                     "ratio: time of A over time of B, medians; above 1 B is faster; interval of 95%%\n\n"
                     "%-10s %-46s %-9s %10s %10s %7s  %s\n",
                title[0], more[0], title[1], more[1], "suite", "case", "direction", "A, ms", "B, ms", "ratio",
                "interval");
    else if (format == OUTPUT_MARKDOWN)
        put_markdown_heading(out, title, more);
    else if (format == OUTPUT_CSV)
        fputs("suite,case,direction,ms_a,ms_b,ratio,low,high,verdict\n", out);
}

/* Geometric mean of a suite's ratios; and what could not be compared. */
static void put_summary(FILE *out, const struct pair *pairs, int count)
{
    int without = 0;
    for (int i = 0; i < count; i++) {
        double sum = 0;
        int n = 0;
        bool first = true;
        for (int j = 0; j < count; j++) {
            if (!same(either(&pairs[i]), either(&pairs[j]), "suite") || !isfinite(pairs[j].ratio.value))
                continue;
            first &= j >= i;
            sum += log(pairs[j].ratio.value);
            n++;
        }
        if (first && n && isfinite(pairs[i].ratio.value))
            fprintf(out, "\n%s: geometric mean of %d ratios: %.3f", row_text(either(&pairs[i]), "suite"), n,
                    exp(sum / n));
        without += !isfinite(pairs[i].ratio.value);
    }
    fprintf(out, without ? "\n%d of %d cases are missing on one side or have no speed.\n" : "\n", without, count);
}

static int compare(const json_t *a, const json_t *b, const struct arg_list *files,
                   const struct output_options *options)
{
    struct new_file file = {0};
    enum output_format format = output_format(options);
    int count;
    struct pair *pairs = make_pairs(a, b, &count);
    if (!pairs)
        return say_error("no memory");
    int status = options->path ? new_file_begin(&file, options->path) : 0;
    FILE *out = options->path ? file.stream : stdout;
    if (!status) {
        put_heading(out, a, b, files, format);
        for (int i = 0; i < count; i++)
            format == OUTPUT_JSON ? put_json(out, &pairs[i]) : put_line(out, &pairs[i], format);
        if (format == OUTPUT_TABLE || format == OUTPUT_MARKDOWN)
            put_summary(out, pairs, count);
        status = options->path ? new_file_end(&file, true) : finish_stdout();
    }
    free(pairs);
    return status;
}

/* ---- the command ---- */

int compare_words(const struct arg_list *files, const struct output_options *options)
{
    if (files->count != 2) {
        say_error("name two files that --json wrote, A and B (FILE@DEVICE takes one device of a file)");
        return EXIT_USAGE;
    }
    if (options->html || options->charts || options->json + options->csv + options->markdown > 1) {
        say_error("a comparison is a table, or one of --json, --csv, --markdown; `show A B --html FILE` draws both");
        return EXIT_USAGE;
    }
    if (output_check_files(options, files))
        return EXIT_FAILED;
    json_t *a = rows_load(files->items[0]), *b = a ? rows_load(files->items[1]) : NULL;
    int status = b ? compare(a, b, files, options) : EXIT_FAILED;
    json_decref(a);
    json_decref(b);
    return status;
}

int compare_main(int argc, char **argv)
{
    const struct arg table[] = {
        ARG_FLAG(0, "json", &request.output.json, "one JSON object a line"),
        ARG_FLAG(0, "csv", &request.output.csv, "comma-separated values"),
        ARG_FLAG(0, "markdown", &request.output.markdown, "a table for a README or an issue"),
        ARG_TEXT('o', "output", &request.output.path, "FILE", "write there instead of on the terminal"), ARG_END};
    const struct args_page page = {
        .name = "ssacl-bench compare", .usage = "A.json B.json [options]",
        .about = "Sets two results of `ssacl-bench --json` side by side: two machines, two versions, two devices. "
                 "Cases are matched by name; FILE@DEVICE takes one device of a file that has several.\n"
                 "The ratio is the time of A over that of B, of the medians: above 1 B is faster. Its interval of 95% "
                 "comes from drawing the samples of both again (bootstrap); with fewer than 5 samples it is the widest "
                 "that they allow. It knows the noise within each run and nothing of what differed between the runs: "
                 "look at `busy`.",
        .examples = "examples:\n  ssacl-bench compare before.json after.json\n"
                    "  ssacl-bench compare mine.json@cpu mine.json@opencl:0:0 --markdown\n",
        .rest = &request.files};
    int status = args_parse(table, &page, argc, argv);
    return status == ARGS_GO ? compare_words(&request.files, &request.output) : status;
}

#include "table.h"

#include "rows.h"

#include "say.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- cells ---- */

static void put(char cell[CELL_SIZE], const char *format, double value)
{
    if (isfinite(value))
        snprintf(cell, CELL_SIZE, format, value);
    else
        snprintf(cell, CELL_SIZE, "-");
}

static void case_name(const json_t *row, char cell[CELL_SIZE])
{
    snprintf(cell, CELL_SIZE, "%s", row_text(row, "case"));
}

static void direction(const json_t *row, char cell[CELL_SIZE])
{
    bool ran = row_is_ok(row) || !strcmp(row_text(row, "status"), "wrong");
    snprintf(cell, CELL_SIZE, "%s", ran ? row_text(row, "direction") : "");
}

static void seconds(double s, char cell[CELL_SIZE])
{
    put(cell, s < 1e-3 ? "%.1f us" : s < 1 ? "%.3f ms" : "%.3f s", s < 1e-3 ? s * 1e6 : s < 1 ? s * 1e3 : s);
}

static void median(const json_t *row, char cell[CELL_SIZE])
{
    seconds(row_number(row, "seconds"), cell);
}

static void least(const json_t *row, char cell[CELL_SIZE])
{
    seconds(row_number(row, "seconds_min"), cell);
}

static void spread(const json_t *row, char cell[CELL_SIZE])
{
    put(cell, "%.1f%%",
        100 * (row_number(row, "seconds_q3") - row_number(row, "seconds_q1")) / row_number(row, "seconds"));
}

static void gflops(const json_t *row, char cell[CELL_SIZE])
{
    double x = row_number(row, "gflops");
    put(cell, "%.1f", x > 0 ? x : NAN);
}

static void gbs(const json_t *row, char cell[CELL_SIZE])
{
    put(cell, "%.1f", row_number(row, "gbs"));
}

static void share(const json_t *row, char cell[CELL_SIZE])
{
    put(cell, "%.1f%%", 100 * row_number(row, "share"));
}

static void bound(const json_t *row, char cell[CELL_SIZE])
{
    snprintf(cell, CELL_SIZE, "%s", row_text(row, "bound"));
}

static void busy(const json_t *row, char cell[CELL_SIZE])
{
    bool processor = strcmp(row_text(row, "device_kind"), "gpu") && strcmp(row_text(row, "device_kind"), "accelerator");
    put(cell, "%.0f%%", processor ? 100 * row_number(row, "busy") : NAN);
}

static void error(const json_t *row, char cell[CELL_SIZE])
{
    put(cell, "%.1e", strcmp(row_text(row, "suite"), "peak") ? row_number(row, "error") : NAN);
}

static void held(const json_t *row, char cell[CELL_SIZE])
{
    double bytes = row_number(row, "bytes_held");
    put(cell, "%.2f", bytes > 0 ? bytes / 1048576 : NAN);
}

static void note(const json_t *row, char cell[CELL_SIZE])
{
    if (row_is_ok(row))
        snprintf(cell, CELL_SIZE, "%s", row_text(row, "note"));
    else
        snprintf(cell, CELL_SIZE, "%.12s: %.140s", row_text(row, "status"), row_text(row, "reason"));
    ssa_plain_text(cell, strlen(cell)); /* it may have been cut within a character */
}

const struct column columns[] = {
    {"case", "what was run; the same case has the same name everywhere", -46, case_name},
    {"direction", "forward, backward, or both", -9, direction},
    {"median", "of the samples, for one call", 11, median},
    {"least", "the fastest sample", 11, least},
    {"spread", "from the first to the third quartile, as a share of the median", 7, spread},
    {"GFLOP/s", "on the arithmetic done", 9, gflops},
    {"GB/s", "of the memory traffic that is needed at least: every operand once", 8, gbs},
    {"of roof", "share of what this device can do at most, measured between the samples, of the roof that binds", 8,
     share},
    {"bound", "which roof binds: arithmetic (an FMA loop) or bandwidth (a triad over as many bytes)", -10, bound},
    {"busy", "share of the processors' time that was had, which others lower: below 95% the machine was not quiet", 5,
     busy},
    {"error", "the largest against a reference in double precision, relative to the largest value of it", 8, error},
    {"MiB", "of device memory that the case needed", 9, held},
    {"note", "", -1, note},
};
const int column_count = sizeof columns / sizeof *columns;

/* ---- rows ---- */

static bool differs(const json_t *row, const json_t *before, const char *path)
{
    return !before || strcmp(row_text(row, path), row_text(before, path)) != 0;
}

static bool new_device(const json_t *row, const json_t *before)
{
    return !before || !row_same_device(row, before);
}

void device_title(const json_t *row, char *text, size_t size)
{
    const char *file = row_text(row, "file");
    snprintf(text, size, "%s (%s), %s, %.0f units, ssacl %s%s%s", row_text(row, "device"), row_text(row, "platform"),
             row_text(row, "device_id"), row_number(row, "units"), row_text(row, "library"), *file ? ", " : "", file);
    ssa_plain_text(text, strlen(text));
}

/* ---- for people ---- */

static const char *colour(FILE *out, const json_t *row)
{
    const char *plain = getenv("NO_COLOR"); /* no-color.org: set to anything but nothing */
    if (!say_on_terminal(fileno(out)) || (plain && *plain) || row_is_ok(row))
        return NULL;
    return strcmp(row_text(row, "status"), "skipped") ? "\033[31m" : "\033[2m";
}

static void put_cell(FILE *out, const char *text, const struct column *c)
{
    if (c->width == -1)
        fprintf(out, " %s", text);
    else
        fprintf(out, c->width < 0 ? "%-*s " : "%*s ", c->width < 0 ? -c->width : c->width, text);
}

void table_row(FILE *out, const json_t *row, const json_t *before)
{
    char cell[CELL_SIZE], title[512];
    if (new_device(row, before)) {
        device_title(row, title, sizeof title);
        fprintf(out, "%s%s\n", before ? "\n" : "", title);
    }
    if (new_device(row, before) || differs(row, before, "suite")) {
        fprintf(out, "\n%s%s%s\n", row_text(row, "suite"), *row_text(row, "closed") ? ", closed set " : "",
                row_text(row, "closed"));
        for (int i = 0; i < column_count - 1; i++)
            put_cell(out, columns[i].title, &columns[i]);
        fputc('\n', out);
    }
    const char *code = colour(out, row);
    fputs(code ? code : "", out);
    for (int i = 0; i < column_count; i++) {
        if (!row_is_ok(row) && i > 1 && i < column_count - 1) /* no figures to align with */
            continue;
        columns[i].write(row, cell);
        put_cell(out, cell, &columns[i]);
    }
    fputs(code ? "\033[0m\n" : "\n", out);
}

/* ---- Markdown ---- */

void markdown_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '\\' || *text == '<' || *text == '*' || *text == '_')
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

void markdown_row(FILE *out, const json_t *row, const json_t *before)
{
    char cell[CELL_SIZE], title[512];
    if (new_device(row, before)) {
        device_title(row, title, sizeof title);
        fprintf(out, "%s## ", before ? "\n" : "");
        markdown_text(out, title);
        fputc('\n', out);
    }
    if (new_device(row, before) || differs(row, before, "suite")) {
        fputs("\n### ", out);
        markdown_text(out, row_text(row, "suite"));
        fputs("\n\n", out);
        for (int i = 0; i < column_count; i++)
            fprintf(out, "| %s ", columns[i].title);
        fputs("|\n", out);
        for (int i = 0; i < column_count; i++)
            fputs(columns[i].width < 0 ? "|---" : "|---:", out);
        fputs("|\n", out);
    }
    for (int i = 0; i < column_count; i++) {
        columns[i].write(row, cell);
        fputs("| ", out);
        markdown_text(out, cell);
        fputc(' ', out);
    }
    fputs("|\n", out);
}

/* ---- CSV (RFC 4180, but with newlines alone) ---- */

static const char *const csv_fields[] = {
    "schema", "library", "suite", "case", "direction", "status", "reason", "closed", "time", "device", "device_id",
    "device_kind", "backend", "path", "tuning", "units", "device_memory", "vendor", "platform", "platform_version",
    "device_version", "driver", "machine.processor", "machine.system", "machine.processors", "shape.batch",
    "shape.heads", "shape.width", "shape.length", "shape.layers", "shape.rows", "shape.in", "shape.out",
    "shape.vocabulary", "shape.bytes", "plan.kind", "plan.keys", "plan.causal", "plan.own_key", "plan.pairs", "error",
    "tolerance", "seconds", "seconds_min", "seconds_q1", "seconds_q3", "seconds_max", "samples", "calls_per_sample",
    "busy", "processor_seconds", "flops", "flops_dense", "gflops", "gflops_dense", "bytes_moved", "gbs", "peak_gflops",
    "peak_gbs", "peak_gbs_set_bytes", "share_arithmetic", "share_bandwidth", "share", "bound", "bytes_held",
    "first_call_seconds", "build_seconds", "build_cold_seconds", "build_warm_seconds", "build_cache",
    "tokens_per_second", "outside_share", "note", "file"};
enum { CSV_FIELDS = sizeof csv_fields / sizeof *csv_fields };

void csv_text(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\n\r")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static void put_value(FILE *out, const json_t *value)
{
    if (json_is_string(value))
        csv_text(out, json_string_value(value));
    else if (json_is_integer(value))
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(out, "%.9g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "1" : "0", out);
    for (size_t i = 0; i < json_array_size(value); i++) /* samples, in one cell */
        fprintf(out, "%s%.9g", i ? " " : "", json_number_value(json_array_get(value, i)));
}

void csv_row(FILE *out, const json_t *row, const json_t *before)
{
    for (int i = 0; !before && i < CSV_FIELDS; i++)
        fprintf(out, "%s%c", csv_fields[i], i + 1 < CSV_FIELDS ? ',' : '\n');
    for (int i = 0; i < CSV_FIELDS; i++) {
        put_value(out, row_field(row, csv_fields[i]));
        fputc(i + 1 < CSV_FIELDS ? ',' : '\n', out);
    }
}

/* ---- summary ---- */

/* Geometric means of the shares of the roof, of each direction of the suite in turn. */
static void print_means(FILE *out, const json_t *rows, const json_t *of)
{
    double sum = 0;
    int count = 0;
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row) {
        if (new_device(row, of) || differs(row, of, "suite") || differs(row, of, "direction") || !row_is_ok(row))
            continue;
        sum += log(row_number(row, "share"));
        count++;
    }
    if (count > 1 && isfinite(sum))
        fprintf(out, "%-12s %-9s %5.1f%% of the roof (geometric mean of %d cases) on %s\n", row_text(of, "suite"),
                row_text(of, "direction"), 100 * exp(sum / count), count, row_text(of, "device_id"));
}

static bool is_first_of_its_kind(const json_t *rows, size_t at)
{
    const json_t *row = json_array_get(rows, at);
    for (size_t i = 0; i < at; i++) {
        const json_t *other = json_array_get(rows, i);
        if (row_is_ok(other) && !new_device(row, other) && !differs(row, other, "suite") &&
            !differs(row, other, "direction"))
            return false;
    }
    return row_is_ok(row) && strcmp(row_text(row, "suite"), "peak") != 0;
}

void table_summary(FILE *out, const json_t *rows)
{
    double least_busy = 1;
    fputc('\n', out);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        double busy = row_number(row, "busy");
        bool processor = !strcmp(row_text(row, "device_kind"), "host") || !strcmp(row_text(row, "device_kind"), "cpu");
        least_busy = processor && busy < least_busy && row_number(row, "seconds") > 1e-3 ? busy : least_busy;
        if (is_first_of_its_kind(rows, i))
            print_means(out, rows, row);
    }
    if (least_busy < 0.8)
        fprintf(out, "The machine was not quiet or a case kept few of its threads busy (%.0f%% at worst).\n",
                100 * least_busy);
}

#include "columns.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- fields ---- */

const json_t *row_field(const json_t *row, const char *path)
{
    char name[64];
    size_t n = strcspn(path, ".");
    snprintf(name, sizeof name, "%.*s", (int)n, path);
    const json_t *field = json_object_get(row, name);
    return path[n] ? row_field(field, path + n + 1) : field;
}

const char *row_text(const json_t *row, const char *path)
{
    const char *text = json_string_value(row_field(row, path));
    return text ? text : "";
}

double row_number(const json_t *row, const char *path)
{
    const json_t *field = row_field(row, path);
    return json_is_number(field) ? json_number_value(field) : NAN;
}

bool row_is_ok(const json_t *row)
{
    return !strcmp(row_text(row, "status"), "ok");
}

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

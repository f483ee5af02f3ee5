#include "rows.h"

#include "bench.h"

#include "say.h"
#include "words.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_LINE = 1 << 20 };

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

bool row_same_device(const json_t *a, const json_t *b)
{
    static const char *const fields[] = {"device", "device_id", "driver", "library", "machine.processor", "file"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(row_text(a, fields[i]), row_text(b, fields[i])))
            return false;
    return true;
}

/* ---- files ---- */

/* Rows of schema 1 differ in names alone. */
static void upgrade(json_t *row)
{
    static const char *const names[][2] = {{"roof_gflops", "peak_gflops"}, {"roof_gbs", "peak_gbs"},
                                           {"roof_gbs_set_bytes", "peak_gbs_set_bytes"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_object_get(row, names[i][0])) {
            json_object_set(row, names[i][1], json_object_get(row, names[i][0]));
            json_object_del(row, names[i][0]);
        }
    json_object_set_new(row, "schema", json_integer(BENCH_SCHEMA));
}

/* NULL after saying what is wrong with the line. */
static json_t *parse(const char *path, int number, const char *line)
{
    json_error_t error;
    json_t *row = json_loads(line, 0, &error);
    json_int_t schema = json_integer_value(json_object_get(row, "schema"));
    const char *wrong = NULL;
    if (!row)
        say_error("%s: line %d is no JSON (%s); --json of ssacl-bench writes what can be read here", path, number,
                  error.text);
    else if (!json_is_integer(json_object_get(row, "schema")) || !*row_text(row, "suite"))
        wrong = "is no row of ssacl-bench: it has no schema or suite";
    else if (!*row_text(row, "case") || !*row_text(row, "status") || !*row_text(row, "device_id"))
        wrong = "is no whole row of ssacl-bench: case, status or device_id is missing";
    else if (schema < 1 || schema > BENCH_SCHEMA)
        say_error("%s: line %d has schema %lld and this program reads schemas 1 to %d: measure again, or use the "
                  "ssacl-bench that wrote it", path, number, (long long)schema, BENCH_SCHEMA);
    else {
        upgrade(row);
        json_make_plain(row); /* another machine's words */
        return row;
    }
    if (wrong)
        say_error("%s: line %d %s", path, number, wrong);
    json_decref(row);
    return NULL;
}

/* By its id, "opencl" for any of those, or by a part of its name, which a number alone is not. */
static bool is_of(const json_t *row, const char *device)
{
    const char *id = row_text(row, "device_id");
    return !device || !strcmp(id, device) || (!strcmp(device, "opencl") && !strncmp(id, "opencl:", 7)) ||
           (device[strspn(device, "0123456789.: -")] && strstr(row_text(row, "device"), device));
}

/* Devices that were met, each once. */
struct devices {
    char names[1024];
    int count;
};

static void note_device(struct devices *d, const json_t *row)
{
    char entry[160];
    size_t used = strlen(d->names);
    snprintf(entry, sizeof entry, "%s (%s)", row_text(row, "device_id"), row_text(row, "device"));
    if (strstr(d->names, entry))
        return;
    snprintf(d->names + used, sizeof d->names - used, "%s%s", used ? ", " : "", entry);
    d->count++;
}

/* Adds the file's rows of the device to `rows`. */
static int read_rows(FILE *file, const char *path, const char *device, json_t *rows)
{
    struct devices there = {.count = 0}, taken = {.count = 0};
    char *line = malloc(MAX_LINE);
    int number = 0, read = 0, status = line ? 0 : say_error("no memory");
    while (!status && fgets(line, MAX_LINE, file)) {
        number++;
        if (!line[strspn(line, " \t\r\n")])
            continue;
        json_t *row = parse(path, number, line);
        if (!row)
            status = EXIT_FAILED;
        else
            note_device(&there, row);
        if (row && is_of(row, device)) {
            note_device(&taken, row);
            json_array_append_new(rows, row);
        } else {
            json_decref(row);
        }
        read++;
    }
    free(line);
    if (!status && ferror(file))
        status = say_error("%s: cannot be read: %s", path, strerror(errno));
    else if (!status && !read)
        status = say_error("%s: is empty: no row of ssacl-bench", path);
    else if (!status && !json_array_size(rows))
        status = say_error("%s: has no row of a device '%s'; it has %s", path, device, there.names);
    else if (!status && device && strcmp(device, "opencl") && taken.count > 1)
        status = say_error("%s: '%s' may be one of several devices, give its id: %s", path, device, taken.names);
    return status;
}

const char *rows_path(const char *name, char path[4096])
{
    struct stat s;
    const char *at = stat(name, &s) ? strrchr(name, '@') : NULL; /* a file may have an @ in its name */
    snprintf(path, 4096, "%.*s", at ? (int)(at - name) : (int)strlen(name), name);
    return at ? at + 1 : NULL;
}

json_t *rows_load(const char *name)
{
    char path[4096];
    const char *device = rows_path(name, path);
    FILE *file = fopen(path, "r");
    if (!file) {
        say_error("%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    json_t *rows = json_array();
    int status = read_rows(file, path, device, rows);
    fclose(file);
    if (!status)
        return rows;
    json_decref(rows);
    return NULL;
}

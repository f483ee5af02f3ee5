#include "charts.h"

#include "rows.h"

#include "files.h"
#include "say.h"

#include <stdio.h>
#include <string.h>

const struct chart charts[] = {
    {"speed", "Speed on the work done, geometric mean over the cases of a kind; in brackets the share of the roof.",
     chart_speed},
    {"length", "Attention, forward and backward, not causal: time against the sequence length N.", chart_length},
    {"keys", "The same at the longest N: time against the keys k that a query sees.", chart_keys},
    {"roofline",
     "Each case under the measured roofs: arithmetic, and bandwidth from memory and from the fastest cache.",
     chart_roofline},
    {"step", "Where the time of a training step goes, operator by operator.", chart_step},
    {"caches", "Bandwidth of a triad against the bytes it goes through: the steps are the caches.", chart_caches},
};
const int chart_count = sizeof charts / sizeof *charts;

/* ---- devices ---- */

/* Names are long: what stands in brackets and after "@" goes. "Intel(R) Arc(TM) A770 @ 2 GHz" is "Intel Arc A770". */
static void shorten(const char *full, char *name, size_t size)
{
    size_t n = 0;
    int depth = 0;
    for (; *full && *full != '@' && n + 1 < size; full++) {
        depth += *full == '(';
        if (!depth)
            name[n++] = *full;
        depth -= depth && *full == ')';
    }
    while (n && name[n - 1] == ' ')
        n--;
    name[n] = 0;
}

/* Is there another device of the same name and id, but not the same in this? */
static bool tells_apart(const struct chart_devices *devices, int d, const char *field)
{
    const json_t *row = devices->row[d];
    for (int i = 0; i < devices->count; i++) {
        const json_t *other = devices->row[i];
        if (!strcmp(row_text(row, "device"), row_text(other, "device")) &&
            !strcmp(row_text(row, "device_id"), row_text(other, "device_id")) &&
            strcmp(row_text(row, field), row_text(other, field)))
            return true;
    }
    return false;
}

static void make_label(const struct chart_devices *devices, int d, bool version, char label[LABEL_SIZE])
{
    const json_t *row = devices->row[d];
    char name[40];
    shorten(row_text(row, "device"), name, sizeof name);
    int n = snprintf(label, LABEL_SIZE, "%s, %.20s", name, row_text(row, "device_id"));
    if (version)
        n += snprintf(label + n, (size_t)(LABEL_SIZE - n), ", ssacl %.12s", row_text(row, "library"));
    if (tells_apart(devices, d, "driver"))
        n += snprintf(label + n, (size_t)(LABEL_SIZE - n), ", %.20s", row_text(row, "driver"));
    if (tells_apart(devices, d, "machine.processor")) {
        shorten(row_text(row, "machine.processor"), name, sizeof name);
        n += snprintf(label + n, (size_t)(LABEL_SIZE - n), ", on %s", name);
    }
    if (*row_text(row, "file"))
        snprintf(label + n, (size_t)(LABEL_SIZE - n), ", %s", row_text(row, "file"));
}

void chart_find_devices(const json_t *rows, struct chart_devices *devices)
{
    size_t i;
    json_t *row;
    bool version = false;
    devices->count = 0;
    json_array_foreach((json_t *)rows, i, row) {
        bool known = false;
        for (int d = 0; d < devices->count; d++)
            known |= row_same_device(row, devices->row[d]);
        if (!known && devices->count < MAX_CHART_DEVICES)
            devices->row[devices->count++] = row;
    }
    for (int d = 1; d < devices->count; d++)
        version |= strcmp(row_text(devices->row[d], "library"), row_text(devices->row[0], "library")) != 0;
    for (int d = 0; d < devices->count; d++)
        make_label(devices, d, version, devices->label[d]);
}

/* ---- files ---- */

static void path_of(char path[4096], const char *name, int chart)
{
    snprintf(path, 4096, "%s-%s.svg", name, charts[chart].name);
}

void charts_files(const char *name, struct files *files)
{
    char path[4096];
    for (int i = 0; name && i < chart_count; i++) {
        path_of(path, name, i);
        files_write(files, "--charts", path);
    }
}

int charts_check(const char *name)
{
    char path[4096];
    int status = 0;
    for (int i = 0; name && i < chart_count && !status; i++) {
        path_of(path, name, i);
        status = file_check_output(path);
    }
    return status;
}

int charts_write(const char *name, const json_t *rows)
{
    char path[4096];
    int status = 0;
    for (int i = 0; i < chart_count && !status; i++) {
        struct new_file file;
        path_of(path, name, i);
        if ((status = new_file_begin(&file, path)))
            break;
        bool drawn = charts[i].draw(file.stream, rows);
        status = new_file_end(&file, drawn);
        if (drawn && !status)
            say_note("%s: %s", path, charts[i].about);
    }
    return status;
}

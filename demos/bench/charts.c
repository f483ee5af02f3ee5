#include "charts.h"

#include "columns.h"
#include "svg.h"

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

bool chart_is_of(const json_t *row, const json_t *device)
{
    static const char *const fields[] = {"device", "device_id", "driver", "library", "machine.processor"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(row_text(row, fields[i]), row_text(device, fields[i])))
            return false;
    return true;
}

/* Names are long: what stands in brackets and after "@" goes. */
static void make_label(const json_t *row, bool version, char label[80])
{
    char name[48];
    snprintf(name, sizeof name, "%.40s", row_text(row, "device"));
    name[strcspn(name, "(@")] = 0;
    size_t n = strlen(name);
    while (n && name[n - 1] == ' ')
        name[--n] = 0;
    snprintf(label, 80, version ? "%.36s, %.20s, ssacl %.12s" : "%.36s, %.20s", name, row_text(row, "device_id"),
             row_text(row, "library"));
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
            known |= chart_is_of(row, devices->row[d]);
        if (!known && devices->count < MAX_CHART_DEVICES)
            devices->row[devices->count++] = row;
    }
    for (int d = 1; d < devices->count; d++)
        version |= strcmp(row_text(devices->row[d], "library"), row_text(devices->row[0], "library")) != 0;
    for (int d = 0; d < devices->count; d++)
        make_label(devices->row[d], version, devices->label[d]);
}

void chart_legend(FILE *out, double x, double *y, int mark, const char *colour, const char *text)
{
    if (mark >= 0)
        svg_mark(out, (enum svg_mark)mark, x, *y - 4, colour, NULL);
    svg_text(out, x + 10, *y, SVG_START, 12, svg_ink, text);
    *y += 18;
}

/* ---- files ---- */

static void path_of(char path[4096], const char *name, int chart)
{
    snprintf(path, 4096, "%s-%s.svg", name, charts[chart].name);
}

int charts_check(const char *name)
{
    char path[4096];
    int status = 0;
    for (int i = 0; name && i < chart_count && !status; i++) {
        path_of(path, name, i);
        status = file_check_target(path);
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

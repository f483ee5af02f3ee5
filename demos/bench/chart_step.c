/* Where a training step's time goes: one bar a step, cut by operator. */
#include "charts.h"
#include "columns.h"
#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEFT = 300, BARS = 520, BAR = 20, GAP = 8, TOP = 50, RIGHT = 90, MAX_BARS = 40 };

/* Operators that share a colour; the last takes what is left. */
static const struct {
    const char *name;
    const char *prefixes[8];
} parts[] = {
    {"linear layers", {"linear"}},
    {"attention", {"attention"}},
    {"norms", {"norm"}},
    {"gather, scatter, add, rope, dropout", {"gather", "scatter", "add", "rope", "dropout"}},
    {"embedding, loss", {"embedding", "cross_entropy"}},
    {"optimiser", {"adamw", "sum"}},
    {"the rest", {NULL}},
};
enum { PARTS = sizeof parts / sizeof *parts };

static int part_of(const char *name)
{
    if (!strcmp(name, "adamw")) /* "add" is no prefix of it, but near */
        return 5;
    for (int p = 0; p < PARTS - 1; p++)
        for (int i = 0; parts[p].prefixes[i]; i++)
            if (!strncmp(name, parts[p].prefixes[i], strlen(parts[p].prefixes[i])))
                return p;
    return PARTS - 1;
}

static void split(const json_t *row, double shares[PARTS])
{
    const char *name;
    json_t *seconds;
    double all = row_number(row, "timed_step_seconds"), sum = 0;
    memset(shares, 0, PARTS * sizeof *shares);
    json_object_foreach((json_t *)row_field(row, "operator_seconds"), name, seconds) {
        shares[part_of(name)] += json_number_value(seconds) / all;
        sum += json_number_value(seconds) / all;
    }
    shares[PARTS - 1] += fmax(0, 1 - sum);
}

static void draw_bar(FILE *out, const json_t *row, const char *device, double y)
{
    double shares[PARTS], x = LEFT;
    char text[160], label[160];
    split(row, shares);
    const char *name = strstr(row_text(row, "case"), " k=");
    snprintf(label, sizeof label, "%s%s", row_text(row, "plan.kind"), name ? name : "");
    svg_text(out, LEFT - 10, y + 14, SVG_END, 11, svg_ink, label);
    for (int p = 0; p < PARTS; p++) {
        snprintf(text, sizeof text, "%s, %s: %.1f%%", device, parts[p].name, 100 * shares[p]);
        svg_rect(out, x, y, shares[p] * BARS - 1, BAR, svg_colour(p), text);
        snprintf(text, sizeof text, "%.0f%%", 100 * shares[p]);
        if (shares[p] > 0.045)
            svg_text(out, x + shares[p] * BARS / 2, y + 14, SVG_MIDDLE, 11,
                     p == 4 || p == 5 ? svg_ink : "#ffffff", text);
        x += shares[p] * BARS;
    }
    snprintf(text, sizeof text, "%.3g ms", 1e3 * row_number(row, "seconds"));
    svg_text(out, LEFT + BARS + 8, y + 14, SVG_START, 11, svg_ink, text);
}

static bool has_split(const json_t *row, const json_t *device)
{
    return row_is_ok(row) && chart_is_of(row, device) && json_is_object(row_field(row, "operator_seconds"));
}

bool chart_step(FILE *out, const json_t *rows)
{
    struct chart_devices devices;
    int bars = 0;
    double y = TOP;
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++)
        for (size_t i = 0; i < json_array_size(rows); i++)
            bars += has_split(json_array_get(rows, i), devices.row[d]);
    if (!bars)
        return false;
    svg_begin(out, LEFT + BARS + RIGHT, TOP + bars * (BAR + GAP) + devices.count * 26 + 30 + 18 * PARTS,
              "Where the time of a training step goes");
    for (int d = 0; d < devices.count; d++) {
        svg_text(out, LEFT, y + 10, SVG_START, 12, svg_ink, devices.label[d]);
        y += 18;
        for (size_t i = 0; i < json_array_size(rows); i++)
            if (has_split(json_array_get(rows, i), devices.row[d])) {
                draw_bar(out, json_array_get(rows, i), devices.label[d], y);
                y += BAR + GAP;
            }
        y += 8;
    }
    y += 20;
    for (int p = 0; p < PARTS; p++)
        chart_legend(out, LEFT + 6, &y, SVG_SQUARE, svg_colour(p), parts[p].name);
    svg_end(out);
    return true;
}

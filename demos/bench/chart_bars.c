/* Bars: the speed of a group of cases, a bar a device; where the time of a training step goes, a bar a step. */
#include "charts.h"
#include "rows.h"

#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- speed: a group of cases each, a bar a device ---- */

static const struct group {
    const char *title, *suite, *direction, *kind; /* kind NULL: any */
    int part;                                     /* keys are 1/part of the length; 0: any */
} groups[] = {
    {"linear layers, forward", "gemm", "fwd", NULL, 0},
    {"linear layers, input gradient", "gemm", "dx", NULL, 0},
    {"linear layers, weight gradient", "gemm", "dw", NULL, 0},
    {"attention, dense, forward", "attention", "fwd", "dense", 0},
    {"attention, dense, fwd + bwd", "attention", "fwd+bwd", "dense", 0},
    {"attention, k = N/4, fwd + bwd", "attention", "fwd+bwd", "unbiased", 4},
    {"attention, k = N/8, fwd + bwd", "attention", "fwd+bwd", "unbiased", 8},
    {"attention, local w = N/4, fwd + bwd", "attention", "fwd+bwd", "local", 4},
    {"training step, dense", "step", "step", "dense", 0},
    {"training step, k = N/4", "step", "step", "unbiased", 4},
};
enum { GROUPS = sizeof groups / sizeof *groups, TOP = 50, LEFT = 240, BARS = 470, RIGHT = 130, BAR = 16, GAP = 12 };

static bool fits(const json_t *row, const struct group *g)
{
    double part = row_number(row, "shape.length") / row_number(row, "plan.keys");
    return row_is_ok(row) && !strcmp(row_text(row, "suite"), g->suite) &&
           !strcmp(row_text(row, "direction"), g->direction) &&
           (!g->kind || !strcmp(row_text(row, "plan.kind"), g->kind)) && (!g->part || lround(part) == g->part);
}

/* Geometric means; 0 if there is no such case. */
static double mean(const json_t *rows, const json_t *device, const struct group *g, const char *field)
{
    double sum = 0;
    int count = 0;
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row)
        if (row_same_device(row, device) && fits(row, g) && row_number(row, field) > 0) {
            sum += log(row_number(row, field));
            count++;
        }
    return count ? exp(sum / count) : 0;
}

static bool draw_speed(FILE *out, const json_t *rows, const struct chart_devices *devices, int d, const struct group *g,
                     const struct axis *x, double y)
{
    char text[64], number[32];
    double gflops = mean(rows, devices->row[d], g, "gflops");
    if (!(gflops > 0))
        return false;
    svg_number(gflops, number);
    snprintf(text, sizeof text, "%s (%.0f%%)", number, 100 * mean(rows, devices->row[d], g, "share"));
    svg_rect(out, x->from, y, axis_at(x, gflops) - x->from, BAR - 2, svg_colour(d), devices->label[d]);
    svg_text(out, axis_at(x, gflops) + 6, y + BAR - 5, SVG_START, 11, svg_ink, text);
    return true;
}

static int count_bars(const json_t *rows, const struct chart_devices *devices, const struct group *g, struct axis *x)
{
    int bars = 0;
    for (int d = 0; d < devices->count; d++) {
        double gflops = mean(rows, devices->row[d], g, "gflops");
        axis_hold(x, gflops);
        bars += gflops > 0;
    }
    return bars;
}

bool chart_speed(FILE *out, const json_t *rows)
{
    struct chart_devices devices;
    struct axis x = {.from = LEFT, .to = LEFT + BARS, .high = 1e-9};
    double height = 0, y = TOP;
    chart_find_devices(rows, &devices);
    for (int g = 0; g < GROUPS; g++) {
        int bars = count_bars(rows, &devices, &groups[g], &x);
        height += bars ? bars * BAR + GAP : 0;
    }
    if (!(height > 0))
        return false;
    axis_round(&x);
    svg_begin(out, LEFT + BARS + RIGHT, TOP + height + 30 + 18 * devices.count,
              "Speed on the work done, GFLOP/s (share of the roof)");
    for (int g = 0; g < GROUPS; g++) {
        double top = y;
        for (int d = 0; d < devices.count; d++)
            y += draw_speed(out, rows, &devices, d, &groups[g], &x, y) ? BAR : 0;
        if (y > top) {
            svg_text(out, LEFT - 10, (top + y) / 2 + 3, SVG_END, 12, svg_ink, groups[g].title);
            y += GAP;
        }
    }
    svg_line(out, LEFT, TOP - 6, LEFT, y - GAP + 4, svg_ink, 1, false);
    y += 12;
    for (int d = 0; d < devices.count; d++)
        svg_legend(out, LEFT, &y, SVG_SQUARE, svg_colour(d), devices.label[d]);
    svg_end(out);
    return true;
}

/* ---- steps: cut by operator ---- */

enum { STEP_LEFT = 300, STEP_WIDTH = 520, STEP_BAR = 20, STEP_GAP = 8, STEP_RIGHT = 90 };

/* Operators that share a colour; the last takes what is left. */
static const struct {
    const char *name;
    const char *prefixes[9];
} parts[] = {
    {"linear layers", {"linear"}},
    {"attention", {"attention", "centrality"}},
    {"norms", {"norm"}},
    {"gather, scatter, add, rope, dropout", {"gather", "scatter", "add", "rope", "dropout", "window"}},
    {"embedding, loss", {"embedding", "grid", "patches", "prepend", "mean", "cross_entropy", "value_loss", "frame"}},
    {"optimiser", {"adamw", "nag", "sum"}},
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

static void draw_step(FILE *out, const json_t *row, const char *device, double y)
{
    double shares[PARTS], x = STEP_LEFT;
    char text[160], label[160];
    split(row, shares);
    const char *name = strstr(row_text(row, "case"), " k=");
    snprintf(label, sizeof label, "%s%s", row_text(row, "plan.kind"), name ? name : "");
    svg_text(out, STEP_LEFT - 10, y + 14, SVG_END, 11, svg_ink, label);
    for (int p = 0; p < PARTS; p++) {
        snprintf(text, sizeof text, "%s, %s: %.1f%%", device, parts[p].name, 100 * shares[p]);
        svg_rect(out, x, y, shares[p] * STEP_WIDTH - 1, STEP_BAR, svg_colour(p), text);
        snprintf(text, sizeof text, "%.0f%%", 100 * shares[p]);
        if (shares[p] > 0.045)
            svg_text(out, x + shares[p] * STEP_WIDTH / 2, y + 14, SVG_MIDDLE, 11,
                     p == 4 || p == 5 ? svg_ink : "#ffffff", text);
        x += shares[p] * STEP_WIDTH;
    }
    snprintf(text, sizeof text, "%.3g ms", 1e3 * row_number(row, "seconds"));
    svg_text(out, STEP_LEFT + STEP_WIDTH + 8, y + 14, SVG_START, 11, svg_ink, text);
}

static bool has_split(const json_t *row, const json_t *device)
{
    return row_is_ok(row) && row_same_device(row, device) && json_is_object(row_field(row, "operator_seconds"));
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
    svg_begin(out, STEP_LEFT + STEP_WIDTH + STEP_RIGHT,
              TOP + bars * (STEP_BAR + STEP_GAP) + devices.count * 26 + 30 + 18 * PARTS,
              "Where the time of a training step goes");
    for (int d = 0; d < devices.count; d++) {
        svg_text(out, STEP_LEFT, y + 10, SVG_START, 12, svg_ink, devices.label[d]);
        y += 18;
        for (size_t i = 0; i < json_array_size(rows); i++)
            if (has_split(json_array_get(rows, i), devices.row[d])) {
                draw_step(out, json_array_get(rows, i), devices.label[d], y);
                y += STEP_BAR + STEP_GAP;
            }
        y += 8;
    }
    y += 20;
    for (int p = 0; p < PARTS; p++)
        svg_legend(out, STEP_LEFT + 6, &y, SVG_SQUARE, svg_colour(p), parts[p].name);
    svg_end(out);
    return true;
}

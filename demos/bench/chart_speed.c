/* Bars: a group of cases each, a bar a device. */
#include "charts.h"
#include "columns.h"
#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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
enum { GROUPS = sizeof groups / sizeof *groups, LEFT = 240, BARS = 470, RIGHT = 130, BAR = 16, GAP = 12, TOP = 50 };

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
        if (chart_is_of(row, device) && fits(row, g) && row_number(row, field) > 0) {
            sum += log(row_number(row, field));
            count++;
        }
    return count ? exp(sum / count) : 0;
}

static bool draw_bar(FILE *out, const json_t *rows, const struct chart_devices *devices, int d, const struct group *g,
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
            y += draw_bar(out, rows, &devices, d, &groups[g], &x, y) ? BAR : 0;
        if (y > top) {
            svg_text(out, LEFT - 10, (top + y) / 2 + 3, SVG_END, 12, svg_ink, groups[g].title);
            y += GAP;
        }
    }
    svg_line(out, LEFT, TOP - 6, LEFT, y - GAP + 4, svg_ink, 1, false);
    y += 12;
    for (int d = 0; d < devices.count; d++)
        chart_legend(out, LEFT, &y, SVG_SQUARE, svg_colour(d), devices.label[d]);
    svg_end(out);
    return true;
}

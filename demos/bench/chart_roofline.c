/* Cases under the roofs: GFLOP/s against the operations that a byte of traffic gives. */
#include "charts.h"
#include "rows.h"

#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 460, HEIGHT = 350, LEGEND = 150 };

static const struct {
    const char *suite;
    enum svg_mark mark;
    int colour;
} kinds[] = {{"gemm", SVG_DISC, 0}, {"attention", SVG_SQUARE, 1}, {"operators", SVG_TRIANGLE, 2}};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct roofs {
    double gflops, memory, memory_set, cache; /* GB/s: over the largest set, and the best */
};

static int kind_of(const json_t *row)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(row_text(row, "suite"), kinds[i].suite))
            return i;
    return -1;
}

static double intensity(const json_t *row)
{
    return row_number(row, "flops") / row_number(row, "bytes_moved");
}

static bool is_point(const json_t *row, const json_t *device)
{
    return row_is_ok(row) && kind_of(row) >= 0 && row_same_device(row, device) && intensity(row) > 0 &&
           row_number(row, "gflops") > 0;
}

static struct roofs find_roofs(const json_t *rows, const json_t *device)
{
    struct roofs r = {0, 0, 0, 0};
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        double gbs = row_number(row, "peak_gbs"), set = row_number(row, "peak_gbs_set_bytes");
        if (!row_is_ok(row) || !row_same_device(row, device))
            continue;
        r.gflops = fmax(r.gflops, row_number(row, "peak_gflops"));
        r.cache = fmax(r.cache, gbs);
        if (set > r.memory_set) {
            r.memory = 0;
            r.memory_set = set;
        }
        r.memory = set == r.memory_set ? fmax(r.memory, gbs) : r.memory;
    }
    return r;
}

/* The slope of a bandwidth, up to where arithmetic binds. */
static void draw_slope(FILE *out, const struct axis *x, const struct axis *y, double gbs, double gflops, bool dashed,
                       const char *name)
{
    double low = fmax(x->low, y->low / gbs), ridge = fmin(gflops / gbs, x->high);
    char text[64], number[32];
    if (!(gbs > 0) || low >= ridge)
        return;
    svg_line(out, axis_at(x, low), axis_at(y, low * gbs), axis_at(x, ridge), axis_at(y, ridge * gbs), svg_ink, 1.6,
             dashed);
    svg_number(gbs, number);
    snprintf(text, sizeof text, "%s %s GB/s", name, number);
    double at = low * pow(ridge / low, dashed ? 0.85 : 0.25); /* right of the line: the left may be no place for it */
    svg_text_over(out, axis_at(x, at) + 8, axis_at(y, at * gbs) + 12, SVG_START, 11, svg_ink, text);
}

static void draw_points(FILE *out, const json_t *rows, const json_t *device, const struct axis *x, const struct axis *y)
{
    char tip[256];
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!is_point(row, device))
            continue;
        int k = kind_of(row);
        snprintf(tip, sizeof tip, "%s %s %s: %.4g GFLOP/s, %.1f%% of the %s roof", row_text(row, "suite"),
                 row_text(row, "case"), row_text(row, "direction"), row_number(row, "gflops"),
                 100 * row_number(row, "share"), row_text(row, "bound"));
        svg_mark(out, kinds[k].mark, axis_at(x, intensity(row)), axis_at(y, row_number(row, "gflops")),
                 svg_colour(kinds[k].colour), tip);
    }
}

static void draw_panel(FILE *out, const json_t *rows, const struct chart_devices *devices, int d, int place,
                       struct axis x, struct axis y)
{
    struct roofs r = find_roofs(rows, devices->row[d]);
    char text[64], number[32];
    svg_place(place, WIDTH, HEIGHT, &x, &y);
    svg_axes(out, &x, &y, devices->label[d]);
    draw_points(out, rows, devices->row[d], &x, &y);
    double ridge = fmax(x.low, r.gflops / fmax(r.cache, r.memory));
    svg_line(out, axis_at(&x, ridge), axis_at(&y, r.gflops), x.to, axis_at(&y, r.gflops), svg_ink, 1.6, false);
    svg_number(r.gflops, number);
    snprintf(text, sizeof text, "%s GFLOP/s", number);
    svg_text_over(out, x.to, axis_at(&y, r.gflops) - 5, SVG_END, 11, svg_ink, text);
    draw_slope(out, &x, &y, r.memory, r.gflops, false, "memory");
    if (r.cache > 1.2 * r.memory)
        draw_slope(out, &x, &y, r.cache, r.gflops, true, "cache");
}

bool chart_roofline(FILE *out, const json_t *rows)
{
    struct chart_devices devices;
    struct axis x = {.logarithmic = true, .label = "FLOP per byte of traffic that cannot be avoided"};
    struct axis y = {.logarithmic = true, .label = "GFLOP/s"};
    int shown[MAX_CHART_DEVICES], count = 0;
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++) {
        bool any = false;
        for (size_t i = 0; i < json_array_size(rows); i++) {
            const json_t *row = json_array_get(rows, i);
            if (!is_point(row, devices.row[d]))
                continue;
            axis_hold(&x, intensity(row));
            axis_hold(&y, row_number(row, "gflops"));
            any = true;
        }
        if (any) {
            axis_hold(&y, find_roofs(rows, devices.row[d]).gflops);
            shown[count++] = d;
        }
    }
    if (!count)
        return false;
    axis_round(&x);
    axis_round(&y);
    int across = count > 1 ? 2 : 1;
    svg_begin(out, across * WIDTH + LEGEND, SVG_TOP + (count + 1) / 2 * (HEIGHT + SVG_GAP),
              "Cases under the roofs of their device");
    for (int i = 0; i < count; i++)
        draw_panel(out, rows, &devices, shown[i], i, x, y);
    double at = SVG_TOP + 14;
    for (int i = 0; i < KINDS; i++)
        svg_legend(out, across * WIDTH + 20, &at, kinds[i].mark, svg_colour(kinds[i].colour), kinds[i].suite);
    svg_end(out);
    return true;
}

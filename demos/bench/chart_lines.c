/* Time against N, time against k, bandwidth against the working set: lines through cases. */
#include "charts.h"
#include "columns.h"
#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 32, MAX_LINES = 12, PANEL = 430, TALL = 330, TOP = 70, MARGIN = 66, BOTTOM = 60 };

struct line {
    char name[80];
    int colour;
    bool dashed;
    int count;
    double x[MAX_POINTS], y[MAX_POINTS];
};
struct panel {
    const char *title;
    int count;
    struct line lines[MAX_LINES];
};
struct picture {
    const char *title, *x_label, *y_label;
    bool linear_y, binary_x;
    int count;
    struct panel panels[MAX_CHART_DEVICES];
};

/* The panel's line of that name, made if it is new; NULL if there are too many. */
static struct line *line_of(struct panel *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (!strcmp(p->lines[i].name, name))
            return &p->lines[i];
    if (p->count == MAX_LINES)
        return NULL;
    struct line *l = &p->lines[p->count];
    *l = (struct line){.colour = p->count++};
    snprintf(l->name, sizeof l->name, "%s", name);
    return l;
}

/* Kept in the order of x. */
static void add_point(struct line *l, double x, double y)
{
    if (!l || l->count == MAX_POINTS || !(x > 0) || !(y > 0))
        return;
    int i = l->count++;
    for (; i > 0 && l->x[i - 1] > x; i--) {
        l->x[i] = l->x[i - 1];
        l->y[i] = l->y[i - 1];
    }
    l->x[i] = x;
    l->y[i] = y;
}

/* ---- drawing ---- */

static void draw_line(FILE *out, const struct line *l, const struct axis *x, const struct axis *y)
{
    const char *colour = svg_colour(l->colour);
    for (int i = 1; i < l->count; i++)
        svg_line(out, axis_at(x, l->x[i - 1]), axis_at(y, l->y[i - 1]), axis_at(x, l->x[i]), axis_at(y, l->y[i]),
                 colour, l->dashed ? 1.4 : 2, l->dashed);
    for (int i = 0; i < l->count && !l->dashed; i++) {
        char tip[160];
        snprintf(tip, sizeof tip, "%s: %g, %.4g", l->name, l->x[i], l->y[i]);
        svg_mark(out, (enum svg_mark)(l->colour % SVG_MARKS), axis_at(x, l->x[i]), axis_at(y, l->y[i]), colour, tip);
    }
}

static void draw_panel(FILE *out, const struct picture *p, int number, struct axis x, struct axis y)
{
    double left = number % 2 * (double)PANEL, top = TOP + number / 2 * (double)(TALL + 20);
    x.from = left + MARGIN;
    x.to = left + PANEL - 16;
    y.from = top + TALL - BOTTOM;
    y.to = top;
    svg_axes(out, &x, &y, p->panels[number].title);
    for (int i = 0; i < p->panels[number].count; i++)
        draw_line(out, &p->panels[number].lines[i], &x, &y);
}

/* Names of all panels' lines, each once. */
static void draw_legend(FILE *out, const struct picture *p, double x)
{
    double y = TOP + 14;
    static struct panel all;
    all.count = 0;
    for (int i = 0; i < p->count; i++)
        for (int l = 0; l < p->panels[i].count; l++) {
            struct line *line = line_of(&all, p->panels[i].lines[l].name);
            if (line)
                *line = p->panels[i].lines[l];
        }
    for (int i = 0; i < all.count; i++) {
        const struct line *l = &all.lines[i];
        if (l->dashed)
            svg_line(out, x - 9, y - 4, x + 7, y - 4, svg_colour(l->colour), 1.4, true);
        chart_legend(out, x, &y, l->dashed ? -1 : l->colour % SVG_MARKS, svg_colour(l->colour), l->name);
    }
}

static int legend_width(const struct picture *p)
{
    size_t longest = 10;
    for (int i = 0; i < p->count; i++)
        for (int l = 0; l < p->panels[i].count; l++)
            longest = strlen(p->panels[i].lines[l].name) > longest ? strlen(p->panels[i].lines[l].name) : longest;
    return 50 + 7 * (int)longest;
}

static bool draw(FILE *out, const struct picture *p)
{
    struct axis x = {.logarithmic = true, .binary = p->binary_x, .label = p->x_label};
    struct axis y = {.logarithmic = !p->linear_y, .label = p->y_label};
    int points = 0;
    for (int i = 0; i < p->count; i++)
        for (int l = 0; l < p->panels[i].count; l++)
            for (int j = 0; j < p->panels[i].lines[l].count; j++, points++) {
                axis_hold(&x, p->panels[i].lines[l].x[j]);
                axis_hold(&y, p->panels[i].lines[l].y[j]);
            }
    if (points < 2 || x.low == x.high)
        return false;
    axis_round(&x);
    axis_round(&y);
    int across = p->count > 1 ? 2 : 1, down = (p->count + 1) / 2;
    svg_begin(out, across * PANEL + legend_width(p), TOP + down * (TALL + 20), p->title);
    for (int i = 0; i < p->count; i++)
        draw_panel(out, p, i, x, y);
    draw_legend(out, p, across * PANEL + 20);
    svg_end(out);
    return true;
}

/* ---- what is drawn ---- */

static bool is_attention(const json_t *row, const json_t *device, bool causal)
{
    return row_is_ok(row) && chart_is_of(row, device) && !strcmp(row_text(row, "suite"), "attention") &&
           !strcmp(row_text(row, "direction"), "fwd+bwd") && json_is_true(row_field(row, "plan.causal")) == causal;
}

static void plan_name(const json_t *row, char name[80])
{
    const char *kind = row_text(row, "plan.kind");
    if (!strcmp(kind, "dense"))
        snprintf(name, 80, "dense");
    else
        snprintf(name, 80, "%s, N/%.3g", kind, row_number(row, "shape.length") / row_number(row, "plan.keys"));
}

bool chart_length(FILE *out, const json_t *rows)
{
    static struct picture p;
    struct chart_devices devices;
    char name[80];
    p = (struct picture){.title = "Attention, forward and backward, not causal: time against the length",
                         .x_label = "N, sequence length", .y_label = "ms (median)", .binary_x = true};
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++) {
        struct panel *panel = &p.panels[p.count];
        size_t i;
        json_t *row;
        *panel = (struct panel){.title = devices.label[d]};
        json_array_foreach((json_t *)rows, i, row) {
            if (!is_attention(row, devices.row[d], false))
                continue;
            plan_name(row, name);
            add_point(line_of(panel, name), row_number(row, "shape.length"), 1e3 * row_number(row, "seconds"));
        }
        p.count += panel->count > 0;
    }
    return draw(out, &p);
}

static double longest(const json_t *rows, const json_t *device)
{
    double length = 0;
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row)
        if (is_attention(row, device, false) || is_attention(row, device, true))
            length = fmax(length, row_number(row, "shape.length"));
    return length;
}

/* A line through the dense case on which time is as the keys are. */
static void add_proportional(struct panel *p, const struct line *of)
{
    if (!of || of->count < 2)
        return;
    char name[80];
    snprintf(name, sizeof name, "%.60s, as k", of->name);
    struct line *l = line_of(p, name);
    if (!l)
        return;
    l->colour = 6;
    l->dashed = true;
    add_point(l, of->x[0], of->y[of->count - 1] * of->x[0] / of->x[of->count - 1]);
    add_point(l, of->x[of->count - 1], of->y[of->count - 1]);
}

bool chart_keys(FILE *out, const json_t *rows)
{
    static struct picture p;
    struct chart_devices devices;
    static char title[128];
    double length = 0;
    p = (struct picture){.title = title, .x_label = "k, keys that a query sees", .y_label = "ms (median)",
                         .binary_x = true};
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++)
        length = fmax(length, longest(rows, devices.row[d]));
    snprintf(title, sizeof title, "Attention, forward and backward, N = %.0f: time against the keys", length);
    for (int d = 0; d < devices.count; d++) {
        struct panel *panel = &p.panels[p.count];
        *panel = (struct panel){.title = devices.label[d]};
        for (size_t i = 0; i < json_array_size(rows); i++) {
            const json_t *row = json_array_get(rows, i);
            const char *kind = row_text(row, "plan.kind");
            for (int causal = 0; causal < 2; causal++)
                if (is_attention(row, devices.row[d], causal) && row_number(row, "shape.length") == length &&
                    (!strcmp(kind, "dense") || !strcmp(kind, "unbiased")))
                    add_point(line_of(panel, causal ? "causal" : "not causal"), row_number(row, "plan.keys"),
                              1e3 * row_number(row, "seconds"));
        }
        if (panel->count)
            add_proportional(panel, &panel->lines[0]);
        p.count += panel->count > 0;
    }
    return draw(out, &p);
}

bool chart_caches(FILE *out, const json_t *rows)
{
    static struct picture p;
    struct chart_devices devices;
    p = (struct picture){.title = "Bandwidth against the working set", .x_label = "MiB gone through",
                         .y_label = "GB/s (median)", .linear_y = true, .count = 1};
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++) {
        struct line *l = line_of(&p.panels[0], devices.label[d]);
        for (size_t i = 0; l && i < json_array_size(rows); i++) {
            const json_t *row = json_array_get(rows, i);
            if (row_is_ok(row) && chart_is_of(row, devices.row[d]) && !strcmp(row_text(row, "direction"), "triad"))
                add_point(l, row_number(row, "shape.bytes") / 1048576, row_number(row, "gbs"));
        }
    }
    return draw(out, &p);
}

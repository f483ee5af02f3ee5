/* Time against N, time against k, bandwidth against the working set: lines through cases. */
#include "charts.h"
#include "rows.h"

#include "plot.h"

#include <math.h>
#include <string.h>

enum { MAX_POINTS = 32, MAX_LINES = 12 };

/* Panels with their points. */
static struct picture {
    int count;
    struct plot_panel panels[MAX_CHART_DEVICES];
    struct plot_line lines[MAX_CHART_DEVICES][MAX_LINES];
    struct points {
        char name[80];
        double x[MAX_POINTS], y[MAX_POINTS];
    } points[MAX_CHART_DEVICES][MAX_LINES];
} picture;

static struct picture *new_picture(void)
{
    memset(&picture, 0, sizeof picture);
    return &picture;
}

/* The number of the line of that name in the panel at hand, made if it is new; -1 if there are too many. */
static int line_of(struct picture *p, const char *name)
{
    struct plot_panel *panel = &p->panels[p->count];
    struct plot_line *lines = p->lines[p->count];
    for (int i = 0; i < panel->count; i++)
        if (!strcmp(lines[i].name, name))
            return i;
    if (panel->count == MAX_LINES)
        return -1;
    struct points *points = &p->points[p->count][panel->count];
    snprintf(points->name, sizeof points->name, "%s", name);
    panel->lines = lines;
    lines[panel->count] = (struct plot_line){.name = points->name, .x = points->x, .y = points->y,
                                             .colour = panel->count};
    return panel->count++;
}

/* Kept in the order of x. */
static void add_point(struct picture *p, int line, double x, double y)
{
    if (line < 0 || p->lines[p->count][line].count == MAX_POINTS || !(x > 0) || !(y > 0))
        return;
    struct points *to = &p->points[p->count][line];
    size_t i = p->lines[p->count][line].count++;
    for (; i > 0 && to->x[i - 1] > x; i--) {
        to->x[i] = to->x[i - 1];
        to->y[i] = to->y[i - 1];
    }
    to->x[i] = x;
    to->y[i] = y;
}

static bool is_attention(const json_t *row, const json_t *device, bool causal)
{
    return row_is_ok(row) && row_same_device(row, device) && !strcmp(row_text(row, "suite"), "attention") &&
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
    struct picture *p = new_picture();
    struct chart_devices devices;
    char name[80];
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++) {
        size_t i;
        json_t *row;
        p->panels[p->count] = (struct plot_panel){.title = devices.label[d], .x_label = "N, sequence length",
                                                  .y_label = "ms (median)", .x_binary = true, .y_logarithmic = true};
        json_array_foreach((json_t *)rows, i, row) {
            if (!is_attention(row, devices.row[d], false))
                continue;
            plan_name(row, name);
            add_point(p, line_of(p, name), row_number(row, "shape.length"), 1e3 * row_number(row, "seconds"));
        }
        p->count += p->panels[p->count].count > 0;
    }
    return plot_svg(out, "Attention, forward and backward, not causal: time against the length", p->panels, p->count);
}

static double longest(const json_t *rows, const struct chart_devices *devices)
{
    double length = 0;
    size_t i;
    json_t *row;
    for (int d = 0; d < devices->count; d++)
        json_array_foreach((json_t *)rows, i, row)
            if (is_attention(row, devices->row[d], false) || is_attention(row, devices->row[d], true))
                length = fmax(length, row_number(row, "shape.length"));
    return length;
}

/* A line through the dense case on which time is as the keys are. */
static void add_proportional(struct picture *p)
{
    const struct plot_line *of = &p->lines[p->count][0];
    size_t last = of->count - 1;
    char name[80];
    if (!p->panels[p->count].count || of->count < 2)
        return;
    snprintf(name, sizeof name, "%.60s, as k", of->name);
    int line = line_of(p, name);
    p->lines[p->count][line].colour = 6;
    p->lines[p->count][line].style = PLOT_DASHED;
    add_point(p, line, of->x[0], of->y[last] * of->x[0] / of->x[last]);
    add_point(p, line, of->x[last], of->y[last]);
}

bool chart_keys(FILE *out, const json_t *rows)
{
    struct picture *p = new_picture();
    struct chart_devices devices;
    char title[128];
    chart_find_devices(rows, &devices);
    double length = longest(rows, &devices);
    snprintf(title, sizeof title, "Attention, forward and backward, N = %.0f: time against the keys", length);
    for (int d = 0; d < devices.count; d++) {
        size_t i;
        json_t *row;
        p->panels[p->count] = (struct plot_panel){.title = devices.label[d], .x_label = "k, keys that a query sees",
                                                  .y_label = "ms (median)", .x_binary = true, .y_logarithmic = true};
        json_array_foreach((json_t *)rows, i, row) {
            const char *kind = row_text(row, "plan.kind");
            bool causal = json_is_true(row_field(row, "plan.causal"));
            if (is_attention(row, devices.row[d], causal) && row_number(row, "shape.length") == length &&
                (!strcmp(kind, "dense") || !strcmp(kind, "unbiased")))
                add_point(p, line_of(p, causal ? "causal" : "not causal"), row_number(row, "plan.keys"),
                          1e3 * row_number(row, "seconds"));
        }
        add_proportional(p);
        p->count += p->panels[p->count].count > 0;
    }
    return plot_svg(out, title, p->panels, p->count);
}

bool chart_caches(FILE *out, const json_t *rows)
{
    struct picture *p = new_picture();
    struct chart_devices devices;
    p->panels[0] = (struct plot_panel){.x_label = "MiB gone through", .y_label = "GB/s (median)"};
    chart_find_devices(rows, &devices);
    for (int d = 0; d < devices.count; d++) {
        int line = line_of(p, devices.label[d]);
        size_t i;
        json_t *row;
        json_array_foreach((json_t *)rows, i, row)
            if (row_is_ok(row) && row_same_device(row, devices.row[d]) && !strcmp(row_text(row, "direction"), "triad"))
                add_point(p, line, row_number(row, "shape.bytes") / 1048576, row_number(row, "gbs"));
    }
    return plot_svg(out, "Bandwidth against the working set", p->panels, 1);
}

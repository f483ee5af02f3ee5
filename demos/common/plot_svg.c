#include "plot.h"

#include "svg.h"

#include <string.h>

enum { WIDTH = 430, HEIGHT = 330, MOST_NAMES = 12 };

/* Different names of the panels' lines, each with the last line of it. */
struct legend {
    const struct plot_line *lines[MOST_NAMES];
    int count;
};

static struct legend collect(const struct plot_panel *panels, int count)
{
    struct legend all = {.count = 0};
    for (int p = 0; p < count; p++)
        for (int l = 0; l < panels[p].count; l++) {
            const struct plot_line *line = &panels[p].lines[l];
            int at = 0;
            while (at < all.count && strcmp(all.lines[at]->name, line->name))
                at++;
            if (at == MOST_NAMES)
                continue;
            all.lines[at] = line;
            all.count += at == all.count;
        }
    return all;
}

static int legend_width(const struct plot_panel *panels, int count)
{
    size_t longest = 10;
    for (int p = 0; p < count; p++)
        for (int l = 0; l < panels[p].count; l++) {
            size_t length = strlen(panels[p].lines[l].name);
            longest = length > longest ? length : longest;
        }
    return 50 + 7 * (int)longest;
}

static void draw_legend(FILE *out, const struct legend *all, double x)
{
    double y = SVG_TOP + 14;
    for (int i = 0; i < all->count; i++) {
        const struct plot_line *l = all->lines[i];
        bool dashed = l->style == PLOT_DASHED;
        if (dashed)
            svg_line(out, x - 9, y - 4, x + 7, y - 4, svg_colour(l->colour), 1.4, true);
        svg_legend(out, x, &y, dashed ? -1 : l->colour % SVG_MARKS, svg_colour(l->colour), l->name);
    }
}

static void draw_line(FILE *out, const struct plot_line *l, const struct axis *x, const struct axis *y)
{
    const char *colour = svg_colour(l->colour);
    bool dashed = l->style == PLOT_DASHED;
    for (size_t i = 1; i < l->count; i++)
        svg_line(out, axis_at(x, l->x[i - 1]), axis_at(y, l->y[i - 1]), axis_at(x, l->x[i]), axis_at(y, l->y[i]),
                 colour, dashed ? 1.4 : 2, dashed);
    for (size_t i = 0; i < l->count && !dashed; i++) {
        char tip[160];
        snprintf(tip, sizeof tip, "%s: %g, %.4g", l->name, l->x[i], l->y[i]);
        svg_mark(out, (enum svg_mark)(l->colour % SVG_MARKS), axis_at(x, l->x[i]), axis_at(y, l->y[i]), colour, tip);
    }
}

bool plot_svg(FILE *out, const char *title, const struct plot_panel *panels, int count)
{
    struct axis x = {.logarithmic = true}, y = {.low = 0};
    int points = 0, across = count > 1 ? 2 : 1;
    if (count) {
        x.binary = panels[0].x_binary;
        x.label = panels[0].x_label;
        y.logarithmic = panels[0].y_logarithmic;
        y.label = panels[0].y_label;
    }
    for (int p = 0; p < count; p++)
        for (int l = 0; l < panels[p].count; l++)
            for (size_t i = 0; i < panels[p].lines[l].count; i++, points++) {
                axis_hold(&x, panels[p].lines[l].x[i]);
                axis_hold(&y, panels[p].lines[l].y[i]);
            }
    if (points < 2 || x.low == x.high)
        return false;
    axis_round(&x);
    axis_round(&y);
    svg_begin(out, across * WIDTH + legend_width(panels, count), SVG_TOP + (count + 1) / 2 * (HEIGHT + SVG_GAP), title);
    for (int p = 0; p < count; p++) {
        svg_place(p, WIDTH, HEIGHT, &x, &y);
        svg_axes(out, &x, &y, panels[p].title);
        for (int l = 0; l < panels[p].count; l++)
            draw_line(out, &panels[p].lines[l], &x, &y);
    }
    struct legend all = collect(panels, count);
    draw_legend(out, &all, across * WIDTH + 20);
    svg_end(out);
    return true;
}

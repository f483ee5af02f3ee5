/* Line charts, described once and drawn in two ways: by the gnuplot executable as SVG or PNG, or by ourselves as SVG
 * that may stand within a page. */
#ifndef DEMO_PLOT_H
#define DEMO_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct plot_line {
    const char *name;     /* NULL: not in the legend */
    const double *x, *y;
    size_t count;
    int colour;           /* lines of one colour belong together */
    enum { PLOT_SOLID, PLOT_DASHED, PLOT_FAINT, PLOT_POINTS, PLOT_STEPS } style;
};

struct plot_panel {
    const char *title;    /* plot_svg() alone */
    const char *x_label, *y_label;
    double x_scale;       /* x is multiplied by it; 0 means 1 */
    double y_low, y_high; /* equal: chosen by gnuplot */
    bool key_below;       /* the legend at the lower left, not the upper right */
    bool x_binary;        /* a logarithmic axis with ticks at powers of two */
    bool y_logarithmic;   /* plot_svg() alone */
    const struct plot_line *lines;
    int count;
};

enum plot_format { PLOT_SVG, PLOT_PNG };

/* 0 if gnuplot is there; else says how to get it. */
int plot_check(void);
/* Draws into `path`, which is replaced only when the picture is complete. */
int plot_draw(const char *path, enum plot_format format, const char *title, const struct plot_panel *panels, int count);

/* Two abreast, on the same axes, which are those of the first panel (x is logarithmic in any case) and hold every
 * point; lines are dashed, or solid with marks, and all have names, which stand once beside the panels. Draws nothing
 * and returns false where there are less than two points or all are above one another. */
bool plot_svg(FILE *out, const char *title, const struct plot_panel *panels, int count);

#endif

/* Shapes of an SVG picture, and axes to put them on. Text is escaped; coordinates are pixels from the top left. */
#ifndef DEMO_SVG_H
#define DEMO_SVG_H

#include <stdbool.h>
#include <stdio.h>

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };
enum svg_mark { SVG_DISC, SVG_SQUARE, SVG_TRIANGLE, SVG_DIAMOND, SVG_RING, SVG_MARKS };

void svg_escape(FILE *out, const char *text); /* for HTML too */

void svg_begin(FILE *out, double width, double height, const char *title); /* `title` is drawn, and read aloud */
void svg_end(FILE *out);
void svg_text(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour, const char *text);
/* With a rim of the background's colour, to be read on top of lines and marks. */
void svg_text_over(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour,
                   const char *text);
void svg_text_up(FILE *out, double x, double y, double size, const char *colour, const char *text);
void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *colour, double width, bool dashed);
void svg_rect(FILE *out, double x, double y, double width, double height, const char *colour, const char *tip);
/* `tip` (or NULL) is shown when the pointer rests on it. */
void svg_mark(FILE *out, enum svg_mark mark, double x, double y, const char *colour, const char *tip);

/* Okabe and Ito's colours, told apart by everybody; marks differ too. */
const char *svg_colour(int i);
extern const char *const svg_ink, *const svg_pale; /* of text, of grids */

/* ---- axes ---- */

struct axis {
    double low, high; /* values at its ends */
    double from, to;  /* pixels there */
    bool logarithmic, binary; /* binary: logarithmic, with ticks at powers of two */
    const char *label;
};
double axis_at(const struct axis *a, double value);
/* Widens to hold a value; start from a zeroed axis. */
void axis_hold(struct axis *a, double value);
/* Rounds the ends outwards: to decades' 1, 2, 5, or to whole ticks from 0. */
void axis_round(struct axis *a);

/* Three digits, without exponents as long as it can be. */
void svg_number(double value, char text[32]);

/* Frame, grid, ticks and labels, with the panel's title above. */
void svg_axes(FILE *out, const struct axis *x, const struct axis *y, const char *title);

/* Panels stand two abreast below SVG_TOP, each of that size: where the axes of the one of that number begin and end. */
enum { SVG_TOP = 70, SVG_GAP = 20 };
void svg_place(int number, int width, int height, struct axis *x, struct axis *y);

/* A line of a legend: a mark (negative: none) and its text; `y` moves down. */
void svg_legend(FILE *out, double x, double *y, int mark, const char *colour, const char *text);

#endif

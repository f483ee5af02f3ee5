#include "svg.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const svg_ink = "#222222", *const svg_pale = "#e3e3e3";

const char *svg_colour(int i)
{
    static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666",
                                          "#000000"};
    return colours[i % 8];
}

/* XML, as HTML, is well-formed UTF-8: a character cut in two or a byte of another encoding would end the picture
 * there. */
void svg_escape(FILE *out, const char *text)
{
    static const char special[] = "<>&\"'";
    static const char *const entities[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    char *plain = strdup(text);
    ssa_plain_text(plain, plain ? strlen(plain) : 0);
    for (const char *c = plain ? plain : ""; *c; c++) {
        const char *found = strchr(special, *c);
        fputs(found ? entities[found - special] : (char[]){*c, 0}, out);
    }
    free(plain);
}

void svg_begin(FILE *out, double width, double height, const char *title)
{
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
                 "font-family=\"Helvetica,Arial,sans-serif\" role=\"img\">\n<title>", width, height, width, height);
    svg_escape(out, title);
    fprintf(out, "</title>\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", width, height);
    svg_text(out, 16, 26, SVG_START, 16, svg_ink, title);
}

void svg_end(FILE *out)
{
    fputs("</svg>\n", out);
}

static void put_text(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour,
                     const char *rim, const char *text)
{
    static const char *const names[] = {"start", "middle", "end"};
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" text-anchor=\"%s\" fill=\"%s\"%s>", x, y, size,
            names[anchor], colour, rim);
    svg_escape(out, text);
    fputs("</text>\n", out);
}

void svg_text(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour, const char *text)
{
    put_text(out, x, y, anchor, size, colour, "", text);
}

void svg_text_over(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour,
                   const char *text)
{
    put_text(out, x, y, anchor, size, colour, " stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"", text);
}

void svg_text_up(FILE *out, double x, double y, double size, const char *colour, const char *text)
{
    fprintf(out, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" font-size=\"%.0f\" text-anchor=\"middle\" "
                 "fill=\"%s\">", x, y, size, colour);
    svg_escape(out, text);
    fputs("</text>\n", out);
}

void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *colour, double width, bool dashed)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.1f\"%s/>\n", x1,
            y1, x2, y2, colour, width, dashed ? " stroke-dasharray=\"6 4\"" : "");
}

static void end_with_tip(FILE *out, const char *element, const char *tip)
{
    if (!tip) {
        fputs("/>\n", out);
        return;
    }
    fputs("><title>", out);
    svg_escape(out, tip);
    fprintf(out, "</title></%s>\n", element);
}

void svg_rect(FILE *out, double x, double y, double width, double height, const char *colour, const char *tip)
{
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"", x, y, width > 0 ? width : 0,
            height, colour);
    end_with_tip(out, "rect", tip);
}

void svg_mark(FILE *out, enum svg_mark mark, double x, double y, const char *colour, const char *tip)
{
    if (mark == SVG_DISC || mark == SVG_RING) {
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.6\"", x, y,
                mark == SVG_RING ? "#ffffff" : colour, colour);
        end_with_tip(out, "circle", tip);
        return;
    }
    static const double corners[][8] = {[SVG_SQUARE] = {-3.5, -3.5, 3.5, -3.5, 3.5, 3.5, -3.5, 3.5},
                                        [SVG_TRIANGLE] = {0, -4.5, 4.5, 3.5, -4.5, 3.5, -4.5, 3.5},
                                        [SVG_DIAMOND] = {0, -5, 5, 0, 0, 5, -5, 0}};
    const double *c = corners[mark];
    fprintf(out, "<polygon points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f\" fill=\"%s\"", x + c[0], y + c[1],
            x + c[2], y + c[3], x + c[4], y + c[5], x + c[6], y + c[7], colour);
    end_with_tip(out, "polygon", tip);
}

/* ---- axes ---- */

double axis_at(const struct axis *a, double value)
{
    double share = a->logarithmic ? log(value / a->low) / log(a->high / a->low) : (value - a->low) / (a->high - a->low);
    return a->from + share * (a->to - a->from);
}

void axis_hold(struct axis *a, double value)
{
    if (!isfinite(value) || (a->logarithmic && value <= 0))
        return;
    bool empty = a->low == 0 && a->high == 0;
    a->low = empty || value < a->low ? value : a->low;
    a->high = empty || value > a->high ? value : a->high;
}

/* 1, 2 or 5 times a power of ten that is not below. */
static double nice(double x)
{
    double power = pow(10, floor(log10(x)));
    return x <= power * 1.0001 ? power : x <= 2.0001 * power ? 2 * power : x <= 5.0001 * power ? 5 * power : 10 * power;
}

static double tick_step(const struct axis *a)
{
    return nice((a->high - a->low) / 8);
}

void axis_round(struct axis *a)
{
    if (a->binary) {
        a->low = exp2(floor(log2(a->low) - 0.1));
        a->high = exp2(ceil(log2(a->high) + 0.1));
    } else if (a->logarithmic) {
        a->high = nice(a->high * 1.05);
        double below = nice(a->low * 0.95); /* not below: the next smaller one */
        a->low = nice(below / 2.6) < a->low ? nice(below / 2.6) : below / 10;
    } else {
        a->low = 0;
        a->high = a->high > 0 ? ceil(a->high / tick_step(a)) * tick_step(a) : 1;
    }
}

void svg_number(double value, char text[32])
{
    snprintf(text, 32, value >= 99.95 && value < 1e6 ? "%.0f" : "%.3g", value);
}

static void tick_text(double value, char text[32])
{
    if (value >= 1e4 || value < 1e-3)
        snprintf(text, 32, value > 0 && (value >= 1e6 || value < 1e-3) ? "%.0e" : "%.0f", value);
    else
        snprintf(text, 32, "%g", value);
}

/* 1, 2 and 5 of each decade; on many decades 1 alone. */
static double next_tick(const struct axis *a, double tick)
{
    if (a->binary)
        return 2 * tick;
    if (!a->logarithmic)
        return tick + tick_step(a);
    double power = pow(10, floor(log10(tick * 1.0001))), first = tick / power;
    if (a->high / a->low > 3000)
        return power * 10;
    return first < 1.5 ? 2 * power : first < 3 ? 5 * power : 10 * power;
}

static double first_tick(const struct axis *a)
{
    if (a->binary)
        return a->low;
    double tick = a->logarithmic ? nice(a->low * 0.9999) : a->low;
    return a->logarithmic && a->high / a->low > 3000 ? pow(10, ceil(log10(a->low) - 1e-9)) : tick;
}

void svg_axes(FILE *out, const struct axis *x, const struct axis *y, const char *title)
{
    char text[32];
    for (double t = first_tick(y); t <= y->high * 1.0001; t = next_tick(y, t)) {
        svg_line(out, x->from, axis_at(y, t), x->to, axis_at(y, t), svg_pale, 1, false);
        tick_text(t, text);
        svg_text(out, x->from - 6, axis_at(y, t) + 4, SVG_END, 11, svg_ink, text);
    }
    for (double t = first_tick(x); t <= x->high * 1.0001; t = next_tick(x, t)) {
        svg_line(out, axis_at(x, t), y->from, axis_at(x, t), y->to, svg_pale, 1, false);
        tick_text(t, text);
        svg_text(out, axis_at(x, t), y->from + 16, SVG_MIDDLE, 11, svg_ink, text);
    }
    svg_line(out, x->from, y->from, x->to, y->from, svg_ink, 1, false);
    svg_line(out, x->from, y->from, x->from, y->to, svg_ink, 1, false);
    svg_text(out, (x->from + x->to) / 2, y->from + 34, SVG_MIDDLE, 12, svg_ink, x->label);
    svg_text_up(out, x->from - 46, (y->from + y->to) / 2, 12, svg_ink, y->label);
    if (title)
        svg_text(out, x->from, y->to - 10, SVG_START, 12, svg_ink, title);
}

void svg_place(int number, int width, int height, struct axis *x, struct axis *y)
{
    double left = number % 2 * (double)width, top = SVG_TOP + number / 2 * (double)(height + SVG_GAP);
    x->from = left + 66;
    x->to = left + width - 16;
    y->from = top + height - 60;
    y->to = top;
}

void svg_legend(FILE *out, double x, double *y, int mark, const char *colour, const char *text)
{
    if (mark >= 0)
        svg_mark(out, (enum svg_mark)mark, x, *y - 4, colour, NULL);
    svg_text(out, x + 10, *y, SVG_START, 12, svg_ink, text);
    *y += 18;
}

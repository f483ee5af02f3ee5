#include "svg.h"

#include <math.h>
#include <stdio.h>

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

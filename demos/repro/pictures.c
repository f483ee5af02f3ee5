#include "pictures.h"

#include "svg.h"

#include <math.h>
#include <string.h>

static int colour_of(enum arm_kind kind)
{
    return kind == ARM_SSA ? 1 : kind == ARM_CONTROL ? 2 : 0;
}

/* ---- gains ---- */

void forest_add(struct forest *forest, const struct arm_results *arm, const char *behind, struct gain gain)
{
    if (forest->count == FOREST_ROWS || !gain.count)
        return;
    snprintf(forest->rows[forest->count].label, sizeof forest->rows->label, "%.28s, %.28s%.30s", arm->task->name,
             arm->arm->name, behind);
    forest->rows[forest->count].kind = arm->arm->kind;
    forest->rows[forest->count++].gain = gain;
}

/* Half of the interval, as a share; 0 of one seed. */
static double reach(const struct gain *g)
{
    return isfinite(g->error) && fabs(g->mean) > 0 ? 2 * g->error * fabs(g->share / g->mean) : 0;
}

static void forest_row(FILE *out, const struct axis *x, double y, const struct gain *g, const char *label, int kind)
{
    const double share = 100 * g->share, half = 100 * reach(g);
    const char *colour = svg_colour(colour_of((enum arm_kind)kind));
    char tip[128], text[64];
    snprintf(tip, sizeof tip, "%s: %+.2f%% of the loss, %s", label, share, gain_text(g, 1, 4, text));
    svg_text(out, x->from - 10, y + 4, SVG_END, 11, svg_ink, label);
    if (half > 0)
        svg_line(out, axis_at(x, share - half), y, axis_at(x, share + half), y, colour, 2, false);
    svg_mark(out, g->count > 1 ? SVG_DISC : SVG_RING, axis_at(x, share), y, colour, tip);
}

bool draw_forest(FILE *out, const void *cookie)
{
    const struct forest *f = cookie;
    const double height = 90 + 18.0 * f->count;
    struct axis x = {.from = 330, .to = 860}, y = {.low = 0, .high = 1, .from = height - 50, .to = 40};
    if (!f->count)
        return false;
    for (int i = 0; i < f->count; i++) {
        axis_hold(&x, 100 * (f->rows[i].gain.share - reach(&f->rows[i].gain)));
        axis_hold(&x, 100 * (f->rows[i].gain.share + reach(&f->rows[i].gain)));
    }
    axis_hold(&x, 1);
    axis_hold(&x, -1);
    const double rim = 0.04 * (x.high - x.low), tick = pow(10, floor(log10((x.high - x.low) / 3)));
    x.low -= rim;
    x.high += rim;
    svg_begin(out, 900, height, f->title);
    for (double t = ceil(x.low / tick) * tick; t <= x.high; t += tick * ((x.high - x.low) / tick > 12 ? 2 : 1)) {
        char text[32];
        snprintf(text, sizeof text, "%+g%%", fabs(t) < tick / 2 ? 0 : t);
        svg_line(out, axis_at(&x, t), y.from, axis_at(&x, t), y.to, svg_pale, 1, false);
        svg_text(out, axis_at(&x, t), y.from + 16, SVG_MIDDLE, 11, svg_ink, text);
    }
    svg_line(out, axis_at(&x, 0), y.from, axis_at(&x, 0), y.to, svg_ink, 1, false);
    svg_text(out, axis_at(&x, 0) + 6, y.from + 36, SVG_START, 11, svg_ink, "better →");
    svg_text(out, axis_at(&x, 0) - 6, y.from + 36, SVG_END, 11, svg_ink, "← worse");
    for (int i = 0; i < f->count; i++)
        forest_row(out, &x, 50 + 18.0 * i, &f->rows[i].gain, f->rows[i].label, f->rows[i].kind);
    svg_end(out);
    return true;
}

/* ---- curves ---- */

/* Of look i, over the seeds that have it. */
static double mean_at(const struct arm_results *arm, size_t i, double *step)
{
    double sum = 0;
    int n = 0;
    for (int s = 0; s < arm->seeds; s++)
        if (i < arm->of[s].run.dense.count) {
            sum += arm->of[s].run.dense.bits[i];
            *step = arm->of[s].run.dense.step[i];
            n++;
        }
    return n ? sum / n : NAN;
}

/* As many are drawn as there are colours; two models together have no curve of their own. */
enum { COLOURS = 8 };
static bool has_curve(const struct arm_results *arm, int drawn)
{
    return arm->done && !arm->arm->of && drawn < COLOURS;
}

static void hold_curve(const struct arm_results *arm, struct axis *x, struct axis *y)
{
    double step = 0, loss;
    for (size_t i = 0; isfinite(loss = mean_at(arm, i, &step)); i++) {
        axis_hold(x, step);
        axis_hold(y, loss);
    }
}

static void put_curve(FILE *out, const struct arm_results *arm, const struct axis *x, const struct axis *y, int number)
{
    double step = 0, before = 0, loss, last = NAN;
    const char *colour = svg_colour(number);
    for (size_t i = 0; isfinite(loss = mean_at(arm, i, &step)); i++) {
        const double seen = fmin(loss, y->high);
        if (isfinite(last))
            svg_line(out, axis_at(x, before), axis_at(y, last), axis_at(x, step), axis_at(y, seen), colour, 1.6,
                     arm->arm->kind != ARM_SSA);
        before = step;
        last = seen;
    }
}

/* The best loss of all, and how much of what is above it is shown: past that a curve runs along the edge. */
static void cut(struct axis *y)
{
    const double low = y->low, most = low + 1.2 * fabs(low);
    y->high = fmin(y->high, most);
    const double rim = 0.05 * (y->high - low);
    y->low = low - rim;
}

static void frame(FILE *out, const struct axis *x, const struct axis *y)
{
    char text[32];
    for (int i = 0; i <= 5; i++) {
        const double vx = x->low + i * (x->high - x->low) / 5, vy = y->low + i * (y->high - y->low) / 5;
        svg_line(out, x->from, axis_at(y, vy), x->to, axis_at(y, vy), svg_pale, 1, false);
        svg_number(vy, text);
        svg_text(out, x->from - 6, axis_at(y, vy) + 4, SVG_END, 11, svg_ink, text);
        svg_number(vx, text);
        if (!x->binary)
            svg_text(out, axis_at(x, vx), y->from + 16, SVG_MIDDLE, 11, svg_ink, text);
    }
    svg_text(out, (x->from + x->to) / 2, y->from + 34, SVG_MIDDLE, 12, svg_ink, x->label);
    svg_text_up(out, x->from - 50, (y->from + y->to) / 2, 12, svg_ink, y->label);
}

bool draw_curves(FILE *out, const void *cookie)
{
    const struct task_results *t = cookie;
    struct axis x = {.from = 80, .to = 620, .label = "steps"}, y = {.from = 370, .to = 50};
    double legend = 60;
    int drawn = 0;
    for (int a = 0; a < t->count; a++)
        if (has_curve(&t->arms[a], drawn)) {
            y.label = unit_of(&t->arms[a]);
            hold_curve(&t->arms[a], &x, &y);
            drawn++;
        }
    if (!(x.high > x.low) || !(y.high > y.low))
        return false;
    cut(&y);
    x.low = 0;
    svg_begin(out, 900, 420, "Validation, one dense pass (dashed: without SSA)");
    frame(out, &x, &y);
    drawn = 0;
    for (int a = 0; a < t->count; a++)
        if (has_curve(&t->arms[a], drawn)) {
            put_curve(out, &t->arms[a], &x, &y, drawn);
            svg_legend(out, 640, &legend, SVG_SQUARE, svg_colour(drawn++), t->arms[a].arm->name);
        }
    svg_end(out);
    return true;
}

/* ---- ensembles ---- */

static const enum place ensembles[] = {AT_STAGE, AT_END};

static void hold_ensemble(const struct arm_results *arm, enum place place, struct axis *x, struct axis *y)
{
    for (int m = 0; m < MEMBERS; m++) {
        const double loss = mean_pick(arm, (struct pick){place, m, false});
        if (isfinite(loss)) {
            axis_hold(x, members[m]);
            axis_hold(y, loss);
        }
    }
    axis_hold(y, mean_pick(arm, (struct pick){place, DENSE_PASS, false}));
}

static bool has_ensemble(const struct arm_results *arm, int drawn)
{
    const double before = mean_pick(arm, (struct pick){AT_STAGE, 1, false});
    const double after = mean_pick(arm, (struct pick){AT_END, 1, false});
    return arm->arm->kind == ARM_SSA && drawn < COLOURS && (isfinite(before) || isfinite(after));
}

static void put_ensemble(FILE *out, const struct arm_results *arm, enum place place, const struct axis *x,
                         const struct axis *y, int number)
{
    const char *colour = svg_colour(number);
    const double dense = mean_pick(arm, (struct pick){place, DENSE_PASS, false});
    double last = NAN, at = 0;
    char tip[96];
    for (int m = 0; m < MEMBERS; m++) {
        const double loss = mean_pick(arm, (struct pick){place, m, false});
        if (!isfinite(loss))
            continue;
        if (isfinite(last))
            svg_line(out, axis_at(x, at), axis_at(y, last), axis_at(x, members[m]), axis_at(y, loss), colour, 1.8,
                     false);
        snprintf(tip, sizeof tip, "%s, %d passes: %.4f", arm->arm->name, members[m], loss);
        svg_mark(out, place == AT_STAGE ? SVG_DISC : SVG_RING, axis_at(x, members[m]), axis_at(y, loss), colour, tip);
        last = loss;
        at = members[m];
    }
    if (isfinite(dense))
        svg_line(out, x->from, axis_at(y, dense), x->to, axis_at(y, dense), colour, 1, true);
}

static void put_sizes(FILE *out, const struct axis *x, double y)
{
    char text[32];
    for (int m = 0; m < MEMBERS; m++)
        if (members[m] <= x->high * 1.01) {
            snprintf(text, sizeof text, "%d", members[m]);
            svg_text(out, axis_at(x, members[m]), y + 16, SVG_MIDDLE, 11, svg_ink, text);
        }
}

static void put_control(FILE *out, double control, const struct axis *x, const struct axis *y, double *legend)
{
    if (!isfinite(control))
        return;
    svg_line(out, x->from, axis_at(y, control), x->to, axis_at(y, control), svg_ink, 2, false);
    svg_legend(out, 640, legend, SVG_SQUARE, svg_ink, "trained densely, best dropout");
}

bool draw_ensembles(FILE *out, const void *cookie)
{
    const struct task_results *t = cookie;
    const double control = t->control ? mean_pick(t->control, (struct pick){AT_BEST, DENSE_PASS, false}) : NAN;
    struct axis x = {.from = 80, .to = 620, .logarithmic = true, .binary = true, .label = "passes"},
                y = {.from = 370, .to = 50};
    double legend = 60;
    int drawn = 0;
    for (int a = 0; a < t->count; a++)
        if (has_ensemble(&t->arms[a], drawn)) {
            y.label = unit_of(&t->arms[a]);
            hold_ensemble(&t->arms[a], AT_STAGE, &x, &y);
            hold_ensemble(&t->arms[a], AT_END, &x, &y);
            drawn++;
        }
    axis_hold(&y, drawn ? control : NAN);
    if (!(x.high > x.low) || !(y.high > y.low))
        return false;
    const double rim = 0.06 * (y.high - y.low);
    y.low -= rim;
    y.high += rim;
    svg_begin(out, 900, 420, "Self-ensembles on the test part");
    frame(out, &x, &y);
    put_sizes(out, &x, y.from);
    put_control(out, control, &x, &y, &legend);
    drawn = 0;
    for (int a = 0; a < t->count; a++)
        if (has_ensemble(&t->arms[a], drawn)) {
            for (size_t p = 0; p < sizeof ensembles / sizeof *ensembles; p++)
                put_ensemble(out, &t->arms[a], ensembles[p], &x, &y, drawn);
            svg_legend(out, 640, &legend, SVG_SQUARE, svg_colour(drawn++), t->arms[a].arm->name);
        }
    svg_legend(out, 640, &legend, -1, svg_ink, "discs: before the fine-tune, rings: after");
    svg_legend(out, 640, &legend, -1, svg_ink, "dashed: a dense pass, same weights");
    svg_end(out);
    return true;
}

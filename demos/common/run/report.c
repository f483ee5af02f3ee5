/* report: runs side by side, as a table and as curves. */
#include "figures.h"
#include "files.h"
#include "plot.h"
#include "run.h"
#include "tests.h"
#include "words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 64, CURVE_POINTS = 150 };

static struct {
    struct arg_list logs;
    const char *out, *title;
    int tests, seeds, json;
} options;

static const struct program *program;
static const struct figure_line *figures; /* the lines of its table */
static int figure_count;

static const struct arg table[] = {
    ARG_TEXT('o', "out", &options.out, "NAME", "draw NAME.svg and NAME.png"),
    ARG_TEXT('t', "title", &options.title, "TEXT", "title of the picture"),
    ARG_FLAG(0, "tests", &options.tests,
             "instead of the table one of all that `eval --log` measured: a row a checkpoint, with self-ensembles of "
             "2, 5, 10, 25, 50, ... of its passes; then what is better or worse than the best of those that were "
             "trained densely"),
    ARG_FLAG(0, "seeds", &options.seeds,
             "the same of several seeds: logs of one name in different folders (1/dense.jsonl, 2/dense.jsonl) share a "
             "row, and are compared seed by seed"),
    ARG_FLAG(0, "json", &options.json, "the table as one object on stdout"),
    ARG_END};

/* ---- table ---- */

static int is_known(const struct run *runs, int count, const struct figure_line *f)
{
    for (int r = 0; r < count; r++)
        if (isfinite(figure_of(program, &runs[r], f)))
            return 1;
    return 0;
}

/* Names differ in any part of them: a column is as wide as the longest. */
static int column_width(const struct run *runs, int count)
{
    int width = 14;
    for (int r = 0; r < count; r++)
        width = text_columns(runs[r].name) > width ? text_columns(runs[r].name) : width;
    return width;
}

static void print_figure(const struct run *runs, int count, const struct figure_line *f)
{
    int width = column_width(runs, count);
    char cell[64];
    printf("%-30s", f->name);
    for (int r = 0; r < count; r++) {
        double value = figure_of(program, &runs[r], f);
        snprintf(cell, sizeof cell, f->format, value * f->scale);
        printf(" %*s", width, isfinite(value) ? cell : "-");
    }
    putchar('\n');
}

static void print_table(const struct run *runs, int count)
{
    printf("%-30s", "");
    for (int r = 0; r < count; r++)
        printf(" %*s%s", column_width(runs, count) - text_columns(runs[r].name), "", runs[r].name);
    putchar('\n');
    for (int f = 0; f < figure_count; f++)
        if (is_known(runs, count, &figures[f]))
            print_figure(runs, count, &figures[f]);
    for (int r = 0; r < count; r++)
        if (runs[r].profile) {
            puts("(1) forward and backward, of the whole run, estimated from timed passes of each stage\n"
                 "(2) keys x queries x heads of a pass and layer in the first stage: what attention that is not fused\n"
                 "    would store; here it is recomputed");
            break;
        }
}

static json_t *table_json(const struct run *runs, int count)
{
    json_t *list = json_array();
    for (int r = 0; r < count; r++) {
        json_t *row = json_pack("{s:s}", "run", runs[r].name);
        for (int f = 0; f < figure_count; f++) {
            double value = figure_of(program, &runs[r], &figures[f]);
            if (isfinite(value) || !json_object_get(row, figures[f].key)) /* which units may share */
                json_object_set_new(row, figures[f].key, isfinite(value) ? json_real(value) : json_null());
        }
        json_object_set(row, "stages", json_object_get(runs[r].start, "stages"));
        json_object_set(row, "device", json_object_get(runs[r].start, "device"));
        json_array_append_new(list, row);
    }
    return list;
}

/* ---- curves ---- */

/* Averages neighbouring points, so that a curve has at most CURVE_POINTS; a last, smaller group would be noise. */
static int thin(const struct series *s, struct series *thinned)
{
    size_t bin = (s->count + CURVE_POINTS - 1) / CURVE_POINTS, count = bin ? s->count / bin : 0;
    double *values = calloc(count * 3 + 1, sizeof *values);
    if (!values)
        return say_error("no memory for the curves");
    *thinned = (struct series){.tokens = values, .seconds = values + count, .bits = values + 2 * count, .count = count};
    for (size_t i = 0; i < count * bin; i++) {
        thinned->tokens[i / bin] += s->tokens[i] / (double)bin;
        thinned->seconds[i / bin] += s->seconds[i] / (double)bin;
        thinned->bits[i / bin] += s->bits[i] / (double)bin;
    }
    return 0;
}

static void hold(const struct series *s, double *low, double *high)
{
    for (size_t i = s->count / 20; i < s->count; i++) {
        *low = fmin(*low, s->bits[i]);
        *high = fmax(*high, s->bits[i]);
    }
}

/* The first losses of a run would squeeze all others to the floor: cut the axis where a twentieth of it is over. What
 * is learned by heart is lost again in validation. */
static void choose_range(const struct run *runs, const struct series *curves, int count, double *low, double *high)
{
    *low = INFINITY;
    *high = 0;
    for (int r = 0; r < count; r++) {
        hold(&curves[r], low, high);
        if (runs[r].dense.count > 1) /* not only at its end */
            hold(&runs[r].dense, low, high);
    }
    *low = *low < *high ? *low - 0.06 * (*high - *low) : *high;
}

static void add_line(struct plot_line *lines, int *count, const struct series *s, int seconds, int colour, int style,
                     const char *name)
{
    if (s->count)
        lines[(*count)++] = (struct plot_line){.name = name, .x = seconds ? s->seconds : s->tokens, .y = s->bits,
                                               .count = s->count, .colour = colour, .style = style};
}

static int make_lines(const struct run *runs, const struct series *curves, int count, int seconds,
                      char names[RUNS_MAX][96], struct plot_line *lines)
{
    int n = 0;
    for (int r = 0; r < count; r++)
        add_line(lines, &n, &curves[r], seconds, r, PLOT_FAINT, runs[r].dense.count ? NULL : runs[r].name);
    for (int r = 0; r < count; r++) {
        snprintf(names[r], sizeof names[r], "%.63s, sampled pass", runs[r].name);
        add_line(lines, &n, &runs[r].dense, seconds, r, PLOT_SOLID, runs[r].name);
        add_line(lines, &n, &runs[r].sampled, seconds, r, PLOT_DASHED, names[r]);
    }
    return n;
}

static const char *unit_name(const struct run *r)
{
    const struct unit *unit = figures_unit(program, r);
    return unit ? unit->name : *r->unit ? r->unit : "loss";
}

static int draw(const struct run *runs, const struct series *curves, int count, const char *svg, const char *png)
{
    static struct plot_line lines[2][3 * RUNS_MAX];
    static char names[RUNS_MAX][96];
    double low, high, longest = 0, most = 0;
    choose_range(runs, curves, count, &low, &high);
    for (int r = 0; r < count; r++) {
        longest = fmax(longest, figures_seconds(&runs[r]));
        most = fmax(most, runs[r].train.tokens[runs[r].train.count - 1]);
    }
    const bool minutes = longest > 600, millions = most >= 1e6;
    const struct unit *unit = figures_unit(program, &runs[0]);
    char items[96];
    snprintf(items, sizeof items, "%s %ss trained on", millions ? "million" : "thousand",
             program->sequence ? program->sequence : unit ? unit->item : "token");
    struct plot_panel panels[2] = {
        {.x_label = items, .y_label = unit_name(&runs[0]), .x_scale = millions ? 1e-6 : 1e-3},
        {.x_label = minutes ? "minutes of training" : "seconds of training", .y_label = unit_name(&runs[0]),
         .x_scale = minutes ? 1 / 60.0 : 1}};
    for (int p = 0; p < 2; p++) {
        panels[p].count = make_lines(runs, curves, count, p, names, lines[p]);
        panels[p].lines = lines[p];
        panels[p].y_low = low;
        panels[p].y_high = high;
    }
    return plot_draw(svg, PLOT_SVG, options.title, panels, 2) || plot_draw(png, PLOT_PNG, options.title, panels, 2);
}

static int draw_all(const struct run *runs, int count, const char *svg, const char *png)
{
    struct series curves[RUNS_MAX] = {0};
    int status = 0;
    for (int r = 0; r < count && !status; r++)
        status = thin(&runs[r].train, &curves[r]);
    status = status || draw(runs, curves, count, svg, png);
    for (int r = 0; r < count; r++)
        free(curves[r].tokens);
    return status ? EXIT_FAILED : 0;
}

/* ---- shares ---- */

static int has_shares(const struct run *runs, int count)
{
    for (int r = 0; r < count; r++)
        if (runs[r].devices > 1)
            return 1;
    return 0;
}

/* A panel for each run of several devices: what part of every step each computed. */
static int draw_shares(const struct run *runs, int count, const char *svg, const char *png)
{
    static struct plot_line lines[RUNS_MAX][RUN_DEVICES];
    struct plot_panel panels[RUNS_MAX];
    char labels[RUNS_MAX][96];
    int n = 0;
    for (int r = 0; r < count; r++) {
        if (runs[r].devices < 2)
            continue;
        for (int i = 0; i < runs[r].devices; i++)
            lines[n][i] = (struct plot_line){.name = runs[r].device[i], .x = runs[r].share[i].step,
                                             .y = runs[r].share[i].bits, .count = runs[r].share[i].count,
                                             .colour = i, .style = PLOT_STEPS};
        snprintf(labels[n], sizeof labels[n], "steps of %.63s", runs[r].name);
        panels[n] = (struct plot_panel){.x_label = labels[n], .y_label = "share of a step", .lines = lines[n],
                                        .count = runs[r].devices};
        panels[n].y_high = 1.05 + 0.07 * runs[r].devices; /* room for the legend */
        n++;
    }
    return plot_draw(svg, PLOT_SVG, "Shares of the devices", panels, n) ||
           plot_draw(png, PLOT_PNG, "Shares of the devices", panels, n);
}

/* ---- sequences ---- */

/* Logs count positions of sequences; makes them sequences, where the program counts those. */
static void count_sequences(struct run *run)
{
    const double length = json_number(run->start, "tokens_per_step") / json_number(run->start, "batch");
    struct series *all[] = {&run->train, &run->dense, &run->sampled};
    for (int i = 0; i < 3 && length > 0; i++)
        for (size_t n = 0; n < all[i]->count; n++)
            all[i]->tokens[n] /= length;
}

/* ---- the command ---- */

enum { CURVES_SVG, CURVES_PNG, SHARES_SVG, SHARES_PNG, PICTURES };

static int draw_pictures(const struct run *runs, int count, char names[PICTURES][4096], int pictures)
{
    static const char *const endings[PICTURES] = {".svg", ".png", "-shares.svg", "-shares.png"};
    struct files files = {0};
    for (int r = 1; r < count; r++)
        if (strcmp(unit_name(&runs[r]), unit_name(&runs[0])) != 0)
            return say_error("%s is of %s and %s of %s: draw them apart", runs[0].name, unit_name(&runs[0]),
                             runs[r].name, unit_name(&runs[r]));
    for (int i = 0; i < pictures; i++) {
        snprintf(names[i], 4096, "%s%s", options.out, endings[i]);
        files_write(&files, "--out", names[i]);
    }
    for (int i = 0; i < options.logs.count; i++)
        files_read(&files, NULL, options.logs.items[i]);
    if (files_check(&files))
        return EXIT_FAILED;
    for (int i = 0; i < pictures; i++)
        if (file_check_output(names[i]))
            return EXIT_FAILED;
    if (plot_check() || draw_all(runs, count, names[CURVES_SVG], names[CURVES_PNG]))
        return EXIT_FAILED;
    return pictures == PICTURES && draw_shares(runs, count, names[SHARES_SVG], names[SHARES_PNG]) ? EXIT_FAILED : 0;
}

/* With `object` as JSON in it, else printed. */
static int make_table(const struct run *runs, int count, json_t **object)
{
    const bool json = options.json;
    if (options.tests || options.seeds)
        return tests_report(program, runs, options.logs.items, count, options.seeds, json ? object : NULL);
    if (json)
        *object = json_pack("{s:o}", "runs", table_json(runs, count));
    else
        print_table(runs, count);
    return 0;
}

static int report(const struct run *runs, int count)
{
    char names[PICTURES][4096];
    int pictures = !options.out ? 0 : has_shares(runs, count) ? PICTURES : SHARES_SVG;
    json_t *object = NULL;
    if ((pictures && draw_pictures(runs, count, names, pictures)) || make_table(runs, count, &object))
        return EXIT_FAILED;
    if (options.json) {
        json_t *list = json_array();
        for (int i = 0; i < pictures; i++)
            json_array_append_new(list, json_text(names[i]));
        if (pictures)
            json_object_set(object, "pictures", list);
        json_decref(list);
        return print_json(object);
    }
    for (int i = 0; i < pictures; i += 2)
        say_result("%s: %s, %s", i ? "shares of the devices" : "curves", names[i], names[i + 1]);
    return finish_stdout();
}

/* Whether the program's runs count what they train on as this key says: "train_bytes". */
static bool counts_so(const char *key)
{
    char own[64];
    for (int u = 0; program->units[u]; u++)
        if (!strcmp(key, unit_data(program->units[u], "train_", own)))
            return true;
    return false;
}

/* Old logs do not say who wrote them. */
static int check_program(const struct run *run, const char *path)
{
    const char *wrote = json_string_value(json_object_get(run->start, "program")), *key;
    json_t *value;
    if (wrote)
        return !strcmp(wrote, program->name) ? 0 : say_error("%s: was written by %.32s; give it to that one's report",
                                                             path, wrote);
    json_object_foreach(run->start, key, value)
        if (!strncmp(key, "train_", 6) && !counts_so(key))
            return say_error("%s: is not of %s: it has \"%.32s\"", path, program->name, key);
    return 0;
}

int report_main(const struct program *p, int argc, char **argv)
{
    const struct args_page page = {.name = program_command(p, "report"), .usage = "LOG.jsonl... [options]",
                                   .about = p->report.about, .examples = p->report.examples, .rest = &options.logs};
    static struct run runs[RUNS_MAX];
    static char labels[RUNS_MAX][LABEL_MAX];
    int read = 0;
    program = p;
    figure_count = figures_make(p, &figures);
    options.title = "Loss in training";
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (options.logs.count == 0 || options.logs.count > RUNS_MAX) {
        say_error("give one to %d logs that `%s train --log` wrote (see --help)", RUNS_MAX, p->name);
        return EXIT_USAGE;
    }
    for (status = 0; read < options.logs.count && !status; read += !status)
        status = run_read(&runs[read], options.logs.items[read]);
    for (int r = 0; r < read && !status; r++)
        status = runs[r].train.count ? check_program(&runs[r], options.logs.items[r])
                                     : say_error("%s: holds no step of training", options.logs.items[r]);
    label_files(options.logs.items, read, ".jsonl", labels);
    for (int r = 0; r < read; r++)
        runs[r].name = labels[r];
    for (int r = 0; r < read && p->sequence; r++)
        count_sequences(&runs[r]);
    if (!status)
        status = report(runs, read);
    for (int r = 0; r < read; r++)
        run_free(&runs[r]);
    return status;
}

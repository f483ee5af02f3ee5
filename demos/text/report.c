/* ssacl-text report: runs side by side, as a table and as curves. */
#include "command.h"

#include "files.h"
#include "plot.h"
#include "run.h"
#include "words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 16, CURVE_POINTS = 150 };

static struct {
    struct arg_list logs;
    const char *out, *title;
    int json;
} options;

static const char about[] =
    "Reads the logs of one or several runs of `train` (and what `eval --log` added to them). Prints a table; with "
    "--out draws NAME.svg and NAME.png: bits per byte (nats per token, of token files) against bytes read and against "
    "seconds of training (without the time for evaluations). Faint: training, averaged. Full line: "
    "validation, dense. Dashed: validation, one sampled pass, while a stage samples. Of runs on several devices "
    "NAME-shares.svg and .png show which part of every "
    "step each device computed. Pictures need gnuplot. A run that went on from another's weights (--from) is "
    "drawn behind it from one file: cat FIRST.jsonl SECOND.jsonl.";

static const char examples[] = "examples:\n  ssacl-text report dense.jsonl ssa.jsonl --out curves\n";

static const struct arg table[] = {
    ARG_TEXT('o', "out", &options.out, "NAME", "draw NAME.svg and NAME.png"),
    ARG_TEXT('t', "title", &options.title, "TEXT", "title of the picture"),
    ARG_FLAG(0, "json", &options.json, "the table as one object on stdout"),
    ARG_END};

/* ---- figures of a run ---- */

static double last_of(const struct series *s, const double *values)
{
    return s->count ? values[s->count - 1] : NAN;
}

/* The mean over the last twentieth of a run, since one step's loss is mostly noise. */
static double train_loss(const struct run *r)
{
    const struct series *s = &r->train;
    double sum = 0;
    size_t count = s->count / 20 + 1;
    for (size_t i = 0; i < count && count <= s->count; i++)
        sum += s->bits[s->count - 1 - i];
    return count <= s->count ? sum / (double)count : NAN;
}

static double valid_loss(const struct run *r)
{
    return last_of(&r->dense, r->dense.bits);
}

static double valid_perplexity(const struct run *r)
{
    return exp(valid_loss(r));
}

static double tokens_of(const struct run *r)
{
    return last_of(&r->train, r->train.tokens);
}

static double seconds_of(const struct run *r)
{
    return last_of(&r->train, r->train.seconds);
}

static double speed(const struct run *r)
{
    return tokens_of(r) / seconds_of(r);
}

/* Of the scores of one layer and micro-batch, in the first stage: what fused attention does not store. */
static double score_bytes(const struct run *r)
{
    return json_number(json_array_get(json_object_get(r->profile, "stages"), 0), "score_bytes");
}

/* Of several devices. */
static double device_count(const struct run *r)
{
    return r->devices > 1 ? r->devices : NAN;
}

static double devices_lost(const struct run *r)
{
    return r->devices > 1 ? r->lost : NAN;
}

static double share_changes(const struct run *r)
{
    return r->devices > 1 ? r->changes : NAN;
}

/* A figure of the table: how it is called, computed and printed. What says in which unit a loss is, is of those runs
 * only. */
enum of { OF_ALL, OF_BYTES, OF_TOKENS };
static const struct figure {
    const char *key, *name, *format;
    double scale;
    const char *in_log; /* "event.path"; NULL: `compute` */
    double (*compute)(const struct run *r);
    enum of of;
} figures[] = {
    {"parameters", "parameters (millions)", "%.2f", 1e-6, "start.parameters", NULL},
    {"tokens", "tokens trained on (millions)", "%.2f", 1e-6, NULL, tokens_of},
    {"train_bits", "training, bits per byte", "%.3f", 1, NULL, train_loss, OF_BYTES},
    {"valid_bits", "validation, dense", "%.3f", 1, NULL, valid_loss, OF_BYTES},
    {"test_dense_bits", "test, dense", "%.4f", 1, "test.dense.bits", NULL, OF_BYTES},
    {"test_single_bits", "test, one sampled pass", "%.4f", 1, "test.ensemble.single_bits", NULL, OF_BYTES},
    {"test_ensemble_bits", "test, self-ensemble", "%.4f", 1, "test.ensemble.bits", NULL, OF_BYTES},
    {"train_loss", "training, nats per token", "%.3f", 1, NULL, train_loss, OF_TOKENS},
    {"valid_loss", "validation, dense", "%.3f", 1, NULL, valid_loss, OF_TOKENS},
    {"valid_perplexity", "  as perplexity", "%.2f", 1, NULL, valid_perplexity, OF_TOKENS},
    {"test_dense_loss", "test, dense", "%.4f", 1, "test.dense.loss", NULL, OF_TOKENS},
    {"test_dense_perplexity", "  as perplexity", "%.2f", 1, "test.dense.perplexity", NULL, OF_TOKENS},
    {"test_single_loss", "test, one sampled pass", "%.4f", 1, "test.ensemble.single_loss", NULL, OF_TOKENS},
    {"test_ensemble_loss", "test, self-ensemble", "%.4f", 1, "test.ensemble.loss", NULL, OF_TOKENS},
    {"test_ensemble_perplexity", "  as perplexity", "%.2f", 1, "test.ensemble.perplexity", NULL, OF_TOKENS},
    {"test_passes", "  of so many passes", "%.0f", 1, "test.ensemble.passes", NULL},
    {"seconds", "seconds of training", "%.1f", 1, NULL, seconds_of},
    {"tokens_per_second", "tokens per second", "%.0f", 1, NULL, speed},
    {"attention_seconds", "seconds in attention (1)", "%.1f", 1, "profile.attention_seconds", NULL},
    {"score_bytes", "scores not stored, MiB (2)", "%.1f", 1.0 / 1048576, NULL, score_bytes},
    {"devices", "devices", "%.0f", 1, NULL, device_count},
    {"devices_lost", "devices lost", "%.0f", 1, NULL, devices_lost},
    {"share_changes", "changes of shares", "%.0f", 1, NULL, share_changes},
    {"peak_bytes", "peak device memory, MiB", "%.0f", 1.0 / 1048576, "end.peak_bytes", NULL},
};
enum { FIGURES = sizeof figures / sizeof *figures };

static double figure_of(const struct run *r, const struct figure *f)
{
    if (f->of && (f->of == OF_TOKENS) != r->of_tokens)
        return NAN;
    if (f->compute)
        return f->compute(r);
    const json_t *event = !strncmp(f->in_log, "start.", 6)   ? r->start
                          : !strncmp(f->in_log, "test.", 5)  ? r->test
                          : !strncmp(f->in_log, "end.", 4)   ? r->end
                                                             : r->profile;
    return json_number(event, strchr(f->in_log, '.') + 1);
}

/* ---- table ---- */

static int is_known(const struct run *runs, int count, const struct figure *f)
{
    for (int r = 0; r < count; r++)
        if (isfinite(figure_of(&runs[r], f)))
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

static void print_figure(const struct run *runs, int count, const struct figure *f)
{
    int width = column_width(runs, count);
    char cell[64];
    printf("%-30s", f->name);
    for (int r = 0; r < count; r++) {
        double value = figure_of(&runs[r], f);
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
    for (int f = 0; f < FIGURES; f++)
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
        for (int f = 0; f < FIGURES; f++) {
            double value = figure_of(&runs[r], &figures[f]);
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

/* The first losses of a run would squeeze all others to the floor: cut the axis where a twentieth of it is over. */
static void choose_range(const struct series *curves, int count, double *low, double *high)
{
    *low = INFINITY;
    *high = 0;
    for (int r = 0; r < count; r++)
        for (size_t i = curves[r].count / 20; i < curves[r].count; i++) {
            *low = fmin(*low, curves[r].bits[i]);
            *high = fmax(*high, curves[r].bits[i]);
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

static int draw(const struct run *runs, const struct series *curves, int count, const char *svg, const char *png)
{
    struct plot_line lines[2][3 * RUNS_MAX];
    char names[RUNS_MAX][96];
    double low, high, longest = 0;
    choose_range(curves, count, &low, &high);
    for (int r = 0; r < count; r++)
        longest = fmax(longest, seconds_of(&runs[r]));
    int minutes = longest > 600;
    const char *unit = unit_of(1 + runs[0].of_tokens)->name;
    struct plot_panel panels[2] = {
        {.x_label = runs[0].of_tokens ? "million tokens trained on" : "million bytes trained on", .y_label = unit,
         .x_scale = 1e-6},
        {.x_label = minutes ? "minutes of training" : "seconds of training", .y_label = unit,
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

/* ---- the command ---- */

enum { CURVES_SVG, CURVES_PNG, SHARES_SVG, SHARES_PNG, PICTURES };

static int draw_pictures(const struct run *runs, int count, char names[PICTURES][4096], int pictures)
{
    static const char *const endings[PICTURES] = {".svg", ".png", "-shares.svg", "-shares.png"};
    struct files files = {0};
    for (int r = 1; r < count; r++)
        if (runs[r].of_tokens != runs[0].of_tokens)
            return say_error("%s is of %s and %s of %s: draw them apart", runs[0].name,
                             unit_of(1 + runs[0].of_tokens)->name, runs[r].name, unit_of(1 + runs[r].of_tokens)->name);
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

static int report(const struct run *runs, int count)
{
    char names[PICTURES][4096];
    int pictures = !options.out ? 0 : has_shares(runs, count) ? PICTURES : SHARES_SVG;
    if (pictures && draw_pictures(runs, count, names, pictures))
        return EXIT_FAILED;
    if (options.json) {
        json_t *object = json_pack("{s:o}", "runs", table_json(runs, count)), *list = json_array();
        for (int i = 0; i < pictures; i++)
            json_array_append_new(list, json_text(names[i]));
        if (pictures)
            json_object_set(object, "pictures", list);
        json_decref(list);
        return print_json(object);
    }
    print_table(runs, count);
    for (int i = 0; i < pictures; i += 2)
        say_result("%s: %s, %s", i ? "shares of the devices" : "curves", names[i], names[i + 1]);
    return finish_stdout();
}

static const struct args_page page = {.name = "ssacl-text report", .usage = "LOG.jsonl... [options]",
                                       .about = about, .examples = examples,
                                       .rest = &options.logs};

int report_main(int argc, char **argv)
{
    static struct run runs[RUNS_MAX];
    static char labels[RUNS_MAX][LABEL_MAX];
    int read = 0;
    options.title = "Loss in training";
    int status = args_parse(table, &page, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (options.logs.count == 0 || options.logs.count > RUNS_MAX) {
        say_error("give one to %d logs that `ssacl-text train --log` wrote (see --help)", RUNS_MAX);
        return EXIT_USAGE;
    }
    for (status = 0; read < options.logs.count && !status; read += !status)
        status = run_read(&runs[read], options.logs.items[read]);
    for (int r = 0; r < read && !status; r++)
        if (!runs[r].train.count)
            status = say_error("%s: holds no step of training", options.logs.items[r]);
    label_files(options.logs.items, read, ".jsonl", labels);
    for (int r = 0; r < read; r++)
        runs[r].name = labels[r];
    if (!status)
        status = report(runs, read);
    for (int r = 0; r < read; r++)
        run_free(&runs[r]);
    return status;
}

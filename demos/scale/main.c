/* ssacl-scale: what training on many ranks would cost, from what one rank measures. */
#include "job.h"
#include "measure.h"

#include "args.h"
#include "files.h"
#include "numbers.h"
#include "plot.h"
#include "say.h"

#include <ssacl/ssacl.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct scale_options *o;

/* A number of ranks, at every bandwidth. */
struct row {
    int ranks;
    double sequences; /* of a step; 0: fewer than there are ranks, nothing else is known */
    double hides;     /* Gbit/s */
    struct scale_step steps[SCALE_LIST];
    double efficiency[SCALE_LIST];
};

/* ---- figures ---- */

/* Sequences a second, over ranks times those of one rank by itself. */
static double efficiency_of(const struct ssa_model_config *m, const struct row *row, const struct scale_step *step)
{
    static struct scale_job one;
    struct scale_step alone;
    double sequences = scale_make_job(o, m, 1, &one);
    scale_simulate(&one, &o->link, 1, &alone);
    return row->sequences / step->seconds / (row->ranks * sequences / alone.seconds);
}

static void make_row(const struct ssa_model_config *m, int ranks, struct row *row)
{
    static struct scale_job job;
    struct scale_link link = o->link;
    *row = (struct row){.ranks = ranks, .sequences = scale_make_job(o, m, ranks, &job)};
    if (!(row->sequences > 0))
        return;
    row->hides = scale_hiding_bandwidth(&job, &link, ranks) * 8e-9;
    for (int i = 0; i < o->bandwidths.count; i++) {
        link.bandwidth = o->bandwidths.items[i] * 1e9 / 8;
        scale_simulate(&job, &link, ranks, &row->steps[i]);
        row->efficiency[i] = efficiency_of(m, row, &row->steps[i]);
    }
}

/* ---- for people ---- */

static void bytes_text(double bytes, char text[32])
{
    snprintf(text, 32, bytes < 1e9 ? "%.1f MB" : "%.2f GB", bytes < 1e9 ? bytes * 1e-6 : bytes * 1e-9);
}

static void print_heading(const struct ssa_model_config *m)
{
    static struct scale_job job;
    struct scale_step step;
    char bytes[32];
    double backward = 0;
    scale_make_job(o, m, 1, &job);
    scale_simulate(&job, &o->link, 1, &step);
    for (int i = 0; i < job.buckets; i++)
        backward += job.backward[i];
    bytes_text(4.0 * (double)ssa_model_elements(m), bytes);
    printf("%.1f million parameters (L%d C%d N%d, %.0f%% of the keys), %s of gradients\n",
           1e-6 * (double)ssa_model_elements(m), m->gpt.layers, m->gpt.width, m->gpt.length, 100 * o->ratio, bytes);
    double tokens = (double)job.micro_batches * o->batch * m->gpt.length;
    int places = step.seconds < 1 ? 4 : step.seconds < 100 ? 1 : 0;
    printf("one rank: %.0f tokens/s; a step of %.0f tokens takes %.*f s, the last backward %.*f s of it\n",
           tokens / step.seconds, tokens, places, step.seconds, places, backward);
}

static void print_titles(void)
{
    char title[32];
    printf(o->markdown ? "\n| ranks | sent a step | hides from |" : "%6s %12s %14s", "ranks", "sent a step",
           "hides from");
    for (int i = 0; i < o->bandwidths.count; i++) {
        snprintf(title, sizeof title, "%g Gbit/s", o->bandwidths.items[i]);
        printf(o->markdown ? " %s |" : " %11s", title);
    }
    putchar('\n');
    for (int i = 0; o->markdown && i < o->bandwidths.count + 3; i++)
        printf(i ? "---|" : "|---|");
    if (o->markdown)
        putchar('\n');
}

static void print_row(const struct row *row)
{
    char sent[32], hides[32], cell[32];
    if (!(row->sequences > 0)) {
        printf(o->markdown ? "| %d | too few sequences |\n" : "%6d too few sequences\n", row->ranks);
        return;
    }
    bytes_text(row->steps[0].sent, sent);
    snprintf(hides, sizeof hides, row->hides < 10 ? "%.2f Gbit/s" : "%.0f Gbit/s", row->hides);
    printf(o->markdown ? "| %d | %s | %s |" : "%6d %12s %14s", row->ranks, sent,
           isfinite(row->hides) ? hides : "never");
    for (int i = 0; i < o->bandwidths.count; i++) {
        snprintf(cell, sizeof cell, "%.1f%%", 100 * row->efficiency[i]);
        printf(o->markdown ? " %s |" : " %11s", cell);
    }
    putchar('\n');
}

static void print_table(const struct ssa_model_config *m, const struct row *rows)
{
    print_heading(m);
    print_titles();
    for (int i = 0; i < o->ranks.count; i++)
        print_row(&rows[i]);
    putchar('\n');
}

/* ---- for programs ---- */

static json_t *row_json(const struct row *row)
{
    json_t *steps = json_array();
    for (int i = 0; i < o->bandwidths.count && row->sequences > 0; i++) {
        const struct scale_step *s = &row->steps[i];
        json_array_append_new(steps, json_pack("{so so so so so so}", "gbit", number_json(o->bandwidths.items[i]),
                                               "seconds", number_json(s->seconds), "compute", number_json(s->compute),
                                               "reduce", number_json(s->reduce), "exposed", number_json(s->exposed),
                                               "efficiency", number_json(row->efficiency[i])));
    }
    return json_pack("{si so so so so}", "ranks", row->ranks, "sequences", number_json(row->sequences), "sent",
                     number_json(row->steps[0].sent), "hides_gbit", number_json(row->hides), "steps", steps);
}

static json_t *model_json(const struct ssa_model_config *m, const struct row *rows)
{
    json_t *list = json_array(), *buckets = json_array(), *backward = json_array();
    static struct scale_job job;
    scale_make_job(o, m, 1, &job);
    for (int i = 0; i < job.buckets; i++) {
        json_array_append_new(buckets, number_json(job.bytes[i]));
        json_array_append_new(backward, number_json(job.backward[i]));
    }
    for (int i = 0; i < o->ranks.count; i++)
        json_array_append_new(list, row_json(&rows[i]));
    return json_pack("{sI si si si so so si so so so}", "parameters", (json_int_t)ssa_model_elements(m), "layers",
                     m->gpt.layers, "width", m->gpt.width, "length", m->gpt.length, "forward", number_json(job.forward),
                     "update", number_json(job.update), "micro_batches", job.micro_batches, "bytes", buckets,
                     "backward", backward, "rows", list);
}

static int print_all_json(struct row rows[SCALE_MODELS][SCALE_LIST])
{
    json_t *models = json_array();
    for (int i = 0; i < o->model_count; i++)
        json_array_append_new(models, model_json(&o->models[i], rows[i]));
    return print_json(json_pack("{ss so so so}", "version", ssa_version(), "gflops", number_json(1e-9 * o->rate),
                                "memory_gbs", number_json(1e-9 * o->memory), "models", models));
}

/* ---- chart ---- */

static int draw(struct row rows[SCALE_MODELS][SCALE_LIST])
{
    static double y[SCALE_MODELS][SCALE_LIST][SCALE_LIST], x[SCALE_LIST];
    static struct plot_line lines[SCALE_MODELS][SCALE_LIST];
    static char names[SCALE_LIST][32], titles[SCALE_MODELS][64];
    struct plot_panel panels[SCALE_MODELS] = {0};
    for (int i = 0; i < o->ranks.count; i++)
        x[i] = o->ranks.items[i];
    for (int m = 0; m < o->model_count; m++) {
        for (int b = 0; b < o->bandwidths.count; b++) {
            for (int i = 0; i < o->ranks.count; i++)
                y[m][b][i] = rows[m][i].sequences > 0 ? rows[m][i].efficiency[b] : NAN;
            snprintf(names[b], sizeof names[b], "%g Gbit/s", o->bandwidths.items[b]);
            lines[m][b] = (struct plot_line){.name = m ? NULL : names[b], .x = x, .y = y[m][b], .colour = b,
                                             .count = (size_t)o->ranks.count};
        }
        snprintf(titles[m], sizeof titles[m], "ranks, %.0f million parameters",
                 1e-6 * (double)ssa_model_elements(&o->models[m]));
        panels[m] = (struct plot_panel){.x_label = titles[m], .y_label = "efficiency", .x_binary = true,
                                        .key_below = true, .y_high = 1.05, .lines = lines[m],
                                        .count = o->bandwidths.count};
    }
    return plot_draw(o->chart, PLOT_SVG, o->title, panels, o->model_count);
}

int main(int argc, char **argv)
{
    static struct row rows[SCALE_MODELS][SCALE_LIST];
    occupy_standard_files();
    int status = scale_options_parse(&o, argc, argv);
    if (status != ARGS_GO)
        return status;
    if (o->measure)
        return scale_measure(o->json);
    if (o->chart && (file_check_output(o->chart) || plot_check()))
        return EXIT_FAILED;
    for (int m = 0; m < o->model_count; m++)
        for (int i = 0; i < o->ranks.count; i++)
            make_row(&o->models[m], (int)o->ranks.items[i], &rows[m][i]);
    if (o->chart && draw(rows))
        return EXIT_FAILED;
    if (o->json)
        return print_all_json(rows);
    for (int m = 0; m < o->model_count; m++)
        print_table(&o->models[m], rows[m]);
    return finish_stdout();
}

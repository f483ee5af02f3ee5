#include "errors.h"

#include "data.h"
#include "files.h"
#include "numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *errors_csv;

/* Sums over molecules, of a number of passes. */
struct counts {
    size_t seen;
    double squares, spread; /* of errors; of deviations of passes */
};

static struct {
    int passes;
    bool of_sampled;
    size_t molecules;
    enum data_part part;
    struct answers *now, *dense, *sampled; /* [molecules]: of this measurement; for the csv of both kinds */
    struct counts *single, *together;      /* of pass m alone, of the first m + 1 */
} s;

void errors_finish(void)
{
    free(s.now);
    free(s.dense);
    free(s.sampled);
    free(s.single);
    free(s.together);
    memset(&s, 0, sizeof s);
}

/* ---- answers of one molecule ---- */

/* By Welford: the mean, and the sum of squares about it. */
void answers_add(struct answers *a, double value)
{
    const double mean = answers_mean(a);
    a->count++;
    a->sum += value;
    a->squares += (value - mean) * (value - answers_mean(a)) * (a->count > 1);
}

double answers_mean(const struct answers *a)
{
    return a->count ? a->sum / a->count : 0;
}

double answers_spread(const struct answers *a)
{
    return a->count > 1 ? sqrt(fmax(a->squares, 0) / (a->count - 1)) : 0;
}

/* ---- a measurement ---- */

/* What the one before it saw is kept for the csv. */
static void keep(void)
{
    struct answers **place = s.of_sampled ? &s.sampled : &s.dense;
    if (!s.now)
        return;
    free(*place);
    *place = s.now;
    s.now = NULL;
}

int errors_check(const struct settings *settings)
{
    struct files files = {0};
    if (!errors_csv)
        return 0;
    for (int i = 0; i < settings->o->data.count; i++)
        files_read(&files, "--data", settings->o->data.items[i]);
    files_read(&files, "--checkpoint", settings->source_name);
    files_write(&files, "--csv", errors_csv);
    return files_check(&files) || file_check_output(errors_csv) || file_check_new(errors_csv, settings->o->force);
}

static int begin(const struct settings *settings, bool sampled, int passes)
{
    keep();
    free(s.single);
    free(s.together);
    s.of_sampled = sampled;
    s.passes = passes;
    s.part = settings->measured;
    s.molecules = settings->data.part[s.part].examples;
    s.now = calloc(s.molecules, sizeof *s.now);
    s.single = calloc((size_t)passes, sizeof *s.single);
    s.together = calloc((size_t)passes, sizeof *s.together);
    if (s.now && s.single && s.together)
        return 0;
    errors_finish();
    return say_error("no memory for what %d passes say of %zu molecules", passes, settings->data.part[s.part].examples);
}

static void count(struct counts *c, double error, double spread)
{
    c->seen++;
    c->squares += error * error;
    c->spread += spread;
}

static void answer(void *cookie, const struct ssa_answer *a)
{
    const struct recipe *r = data_recipe();
    struct answers *of = &s.now[a->example];
    const double target = (double)graphs_get(data_graphs(), data_part(s.part)[a->example]).target;
    const double value = r->mean + r->deviation * (double)a->logits[0];
    (void)cookie;
    answers_add(of, value);
    count(&s.single[a->pass], value - target, 0);
    count(&s.together[a->pass], answers_mean(of) - target, answers_spread(of));
}

/* ---- telling ---- */

static double root(const struct counts *c)
{
    return c->seen ? sqrt(c->squares / (double)c->seen) : 0;
}

static double spread(const struct counts *c)
{
    return c->seen ? c->spread / (double)c->seen : 0;
}

/* Of single passes. */
static double mean_root(int passes)
{
    double sum = 0;
    for (int m = 0; m < passes; m++)
        sum += root(&s.single[m]);
    return sum / passes;
}

/* That were seen; an ensemble may have settled before all of them. */
static int passes_seen(void)
{
    int passes = 0;
    while (passes < s.passes && s.single[passes].seen == s.single[0].seen && s.single[0].seen)
        passes++;
    return passes ? passes : 1;
}

static const char *row(int passes, char text[64])
{
    const struct counts *c = &s.together[passes ? passes - 1 : 0];
    if (passes > 1)
        snprintf(text, 64, "%8.4f  %8.4f  ", root(c), spread(c));
    else
        snprintf(text, 64, "%8.4f  %8s  ", passes ? root(c) : mean_root(passes_seen()), "");
    return text;
}

static const char *brief(char text[64])
{
    snprintf(text, 64, "RMSE %.4f", root(&s.together[s.passes - 1]));
    return text;
}

static void set(json_t *object, const char *before, const char *name, double value)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s", before, name);
    json_object_set_new(object, key, number_json(value));
}

static void record(json_t *object, const char *before, int passes)
{
    set(object, before, "rmse", root(&s.together[passes - 1]));
    if (s.passes < 2)
        return;
    set(object, before, "single_rmse", mean_root(passes));
    set(object, before, "spread", spread(&s.together[passes - 1]));
}

/* ---- csv ---- */

void write_quoted(FILE *file, const char *text, size_t size)
{
    bool plain = true;
    for (size_t i = 0; i < size; i++)
        plain = plain && !strchr(",\"\r\n", text[i]);
    if (plain) {
        fwrite(text, 1, size, file);
        return;
    }
    putc('"', file);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            putc('"', file);
        putc(text[i], file);
    }
    putc('"', file);
}

static void write_cell(FILE *file, bool known, double value)
{
    if (known)
        fprintf(file, ",%.9g", value);
    else
        putc(',', file);
}

static void write_line(FILE *file, size_t i)
{
    const struct graph g = graphs_get(data_graphs(), data_part(s.part)[i]);
    const struct answers *dense = s.dense && s.dense[i].count ? &s.dense[i] : NULL;
    const struct answers *sampled = s.sampled && s.sampled[i].count ? &s.sampled[i] : NULL;
    if (!dense && !sampled)
        return;
    fprintf(file, "%llu,%u,", (unsigned long long)g.number, g.line);
    write_quoted(file, g.text, g.text_size);
    write_cell(file, true, (double)g.target);
    write_cell(file, dense, dense ? answers_mean(dense) : 0);
    write_cell(file, sampled, sampled ? answers_mean(sampled) : 0);
    write_cell(file, sampled && sampled->count > 1, sampled ? answers_spread(sampled) : 0);
    putc('\n', file);
}

static int end(void)
{
    struct new_file file;
    keep();
    if (!errors_csv)
        return 0;
    if (new_file_begin(&file, errors_csv))
        return EXIT_FAILED;
    fputs("number,line,smiles,target,dense,ensemble,spread\n", file.stream);
    for (size_t i = 0; i < s.molecules; i++)
        write_line(file.stream, i);
    return new_file_end(&file, true);
}

const struct judge errors_judge = {.begin = begin, .answer = answer, .heads = "    RMSE    spread       MAE",
                                   .row = row, .brief = brief, .record = record, .end = end};

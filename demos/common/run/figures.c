#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- figures of a run ---- */

static double last_of(const struct series *s, const double *values)
{
    return s->count ? values[s->count - 1] : NAN;
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

double figures_seconds(const struct run *r)
{
    return last_of(&r->train, r->train.seconds);
}

/* In sequences, of which a program makes its tokens before (report.c). */
static double speed(const struct run *r)
{
    return tokens_of(r) / figures_seconds(r);
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

/* ---- lines ---- */

static const struct figure_line first_lines[] = {
    {.key = "parameters", .name = "parameters (millions)", .format = "%.2f", .scale = 1e-6,
     .in_log = "start.parameters"},
    {.key = "tokens", .name = "tokens trained on (millions)", .format = "%.2f", .scale = 1e-6, .compute = tokens_of},
    {.key = ""}};

/* Of each unit: where there is a %s stands its key in keys and logs, its name in names. */
static const struct unit_line {
    const char *key, *name, *format, *in_log;
    double (*compute)(const struct run *r);
    bool perplexity; /* of units that have one */
} unit_lines[] = {
    {"train_%s", "training, %s", "%.3f", "", run_trained, false},
    {"valid_%s", "validation, dense", "%.3f", "", valid_loss, false},
    {"valid_perplexity", "  as perplexity", "%.2f", "", valid_perplexity, true},
    {"test_dense_%s", "test, dense", "%.4f", "test.dense.%s", NULL, false},
    {"test_dense_perplexity", "  as perplexity", "%.2f", "test.dense.perplexity", NULL, true},
    {"test_single_%s", "test, one sampled pass", "%.4f", "test.ensemble.single_%s", NULL, false},
    {"test_ensemble_%s", "test, self-ensemble", "%.4f", "test.ensemble.%s", NULL, false},
    {"test_ensemble_perplexity", "  as perplexity", "%.2f", "test.ensemble.perplexity", NULL, true},
};

static const struct figure_line ensemble_lines[] = {
    {.key = "test_passes", .name = "  of so many passes", .format = "%.0f", .scale = 1,
     .in_log = "test.ensemble.passes"},
    {.key = ""}};

static const struct figure_line last_lines[] = {
    {.key = "seconds", .name = "seconds of training", .format = "%.1f", .scale = 1, .compute = figures_seconds},
    {.key = "tokens_per_second", .name = "tokens per second", .format = "%.0f", .scale = 1, .compute = speed},
    {.key = "attention_seconds", .name = "seconds in attention (1)", .format = "%.1f", .scale = 1,
     .in_log = "profile.attention_seconds"},
    {.key = "score_bytes", .name = "scores not stored, MiB (2)", .format = "%.1f", .scale = 1.0 / 1048576,
     .compute = score_bytes},
    {.key = "devices", .name = "devices", .format = "%.0f", .scale = 1, .compute = device_count},
    {.key = "devices_lost", .name = "devices lost", .format = "%.0f", .scale = 1, .compute = devices_lost},
    {.key = "share_changes", .name = "changes of shares", .format = "%.0f", .scale = 1, .compute = share_changes},
    {.key = "peak_bytes", .name = "peak device memory, MiB", .format = "%.0f", .scale = 1.0 / 1048576,
     .in_log = "end.peak_bytes"},
    {.key = ""}};

/* Instead of those of tokens, where a program counts sequences. */
static void name_sequences(struct figure_line *line, const char *sequence)
{
    if (!strcmp(line->key, "tokens")) {
        snprintf(line->key, sizeof line->key, "%ss", sequence);
        snprintf(line->name, sizeof line->name, "%ss trained on (millions)", sequence);
    } else if (!strcmp(line->key, "tokens_per_second")) {
        snprintf(line->key, sizeof line->key, "%ss_per_second", sequence);
        snprintf(line->name, sizeof line->name, "%ss per second", sequence);
        line->format = "%.1f";
    }
}

enum { LINES_MAX = 96 };
static struct figure_line all[LINES_MAX];
static int count;

static void add(const struct figure_line *lines)
{
    while (*lines->key && count < LINES_MAX)
        all[count++] = *lines++;
}

static void add_of_unit(const struct unit *unit)
{
    for (size_t i = 0; i < sizeof unit_lines / sizeof *unit_lines && count < LINES_MAX; i++) {
        const struct unit_line *u = &unit_lines[i];
        if (u->perplexity && !unit->perplexity)
            continue;
        struct figure_line *line = &all[count++];
        *line = (struct figure_line){.format = u->format, .scale = 1, .compute = u->compute, .unit = unit};
        snprintf(line->key, sizeof line->key, u->key, unit->key);
        snprintf(line->name, sizeof line->name, u->name, unit->name);
        snprintf(line->in_log, sizeof line->in_log, u->in_log, unit->key);
    }
}

static void add_own(const struct figure *f)
{
    for (; f && f->key && count < LINES_MAX; f++) {
        struct figure_line *line = &all[count++];
        *line = (struct figure_line){.format = f->format, .scale = f->scale};
        snprintf(line->key, sizeof line->key, "%s", f->key);
        snprintf(line->name, sizeof line->name, "%s", f->name);
        snprintf(line->in_log, sizeof line->in_log, "%s", f->in_log);
    }
}

int figures_make(const struct program *program, const struct figure_line **lines)
{
    count = 0;
    add(first_lines);
    for (const struct unit *const *u = program->units; *u; u++)
        add_of_unit(*u);
    add(ensemble_lines);
    add_own(program->figures);
    add(last_lines);
    for (int i = 0; i < count && program->sequence; i++)
        name_sequences(&all[i], program->sequence);
    *lines = all;
    return count;
}

/* ---- of a run ---- */

const struct unit *figures_unit(const struct program *program, const struct run *r)
{
    for (const struct unit *const *u = program->units; *u; u++)
        if (*r->unit ? !strcmp((*u)->name, r->unit) : (*u)->unnamed)
            return *u;
    return NULL;
}

double figure_of(const struct program *program, const struct run *r, const struct figure_line *line)
{
    if (line->unit && line->unit != figures_unit(program, r))
        return NAN;
    if (line->compute)
        return line->compute(r);
    const json_t *event = !strncmp(line->in_log, "start.", 6)  ? r->start
                          : !strncmp(line->in_log, "test.", 5) ? r->test
                          : !strncmp(line->in_log, "end.", 4)  ? r->end
                                                               : r->profile;
    return json_number(event, strchr(line->in_log, '.') + 1);
}

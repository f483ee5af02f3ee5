#include "settings.h"

#include "devices.h"
#include "longer.h"
#include "note.h"
#include "numbers.h"
#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_source(struct settings *s)
{
    if (!s->source_name)
        return 0;
    if (open_checkpoint(&s->source, s->program, s->source_name))
        return EXIT_FAILED;
    if (s->o->resume && !ssa_checkpoint_training(s->source))
        return say_error("%s: holds a model but no run to continue; use --from", s->source_name);
    s->model = *ssa_checkpoint_model(s->source);
    return 0;
}

static int check_model(const struct settings *s)
{
    return ssa_model_check(&s->model) ? say_error("%s", ssa_last_error()) : 0;
}

size_t settings_count(const struct settings *s, int part)
{
    const struct ssa_data *data = &s->data.part[part];
    const size_t lead = (size_t)s->data.lead;
    return data->fill ? data->examples : data->count > lead ? data->count - lead : 0;
}

const char *settings_rate(const struct settings *s, double tokens_per_second, char text[64])
{
    if (s->program->sequence)
        snprintf(text, 64, "%.*f %ss/s", tokens_per_second < 10.0 * ssa_model_length(&s->model),
                 tokens_per_second / ssa_model_length(&s->model), s->program->sequence);
    else
        snprintf(text, 64, "%.0f tokens/s", tokens_per_second);
    return text;
}

struct stage_terms settings_terms(const struct settings *s)
{
    const struct ssa_data *d = &s->data.part[PART_TRAIN];
    const double step = (double)s->training.batch * (d->fill ? 1 : ssa_model_length(&s->model));
    return (struct stage_terms){.model = &s->model,
                                .epoch = step > 0 ? (double)settings_count(s, PART_TRAIN) / step : 0,
                                .keep_first = model_has_class_token(&s->model)};
}

int settings_pattern(const struct settings *s, const char *text, bool or_dense, struct ssa_pattern *pattern)
{
    const struct stage_terms terms = settings_terms(s);
    struct ssa_sample sample;
    int status = stages_pattern(text, &terms, or_dense, pattern);
    if (status)
        return status;
    for (int l = 0; l < ssa_model_layers(&s->model) && !status; l++)
        if (ssa_model_sample(&s->model, pattern, l, 1, 0, &sample))
            status = library_failed();
        else if (sample.kind != SSA_DENSE && s->model.family == SSA_EGT && s->model.egt.virtual_see_padding)
            status = say_error("--pattern: '%s' samples, but virtual nodes of this model see padding, with which all is "
                               "dense: import it with --mask-padding", text);
    if (status) {
        free((void *)pattern->layers);
        *pattern = (struct ssa_pattern){0};
    }
    return status;
}

/* A new run's. */
static int take_stages(struct settings *s)
{
    const struct stage_terms terms = settings_terms(s);
    s->training.stages = s->stages;
    return stages_settle(s->o->stages, s->training.stage_count, &terms, s->stages, &s->layers);
}

/* A run that goes on does so as it was. */
static int take_run(struct settings *s)
{
    const struct program *p = s->program;
    struct train_note note = note_read(p, s->source, s->data.fingerprint);
    if (!note.micro_batch)
        return say_error("%s: was not written by %s train; start from it with --from instead", s->source_name, p->name);
    if (s->o->data.count && !note.same)
        return say_error("%s: was trained on other %s; give the same --data in the same order, or start a new run "
                         "with --from", s->source_name, p->what);
    s->micro_batch = note.micro_batch;
    s->training = *ssa_checkpoint_training(s->source);
    struct ssa_stage more[STAGES_MAX];
    const struct stage_terms terms = settings_terms(s);
    if (s->o->more_stages && stages_settle(s->o->stages, s->o->training.stage_count, &terms, more, &s->layers))
        return EXIT_FAILED;
    return make_longer(s->o, more, &s->training, s->stages);
}

/* Where nobody says, a run goes on in the precision that it was in. */
static int settle_precision(struct settings *s)
{
    char *noted = s->o->resume ? note_text(s->source, "precision") : NULL;
    const int before = noted ? parse_choice(noted, strlen(noted), PRECISIONS) : SSA_FLOAT32;
    int status = 0;
    s->precision = s->o->precision >= 0 ? s->o->precision : before;
    if (s->precision < 0)
        status = say_error("%s: was trained in a precision that this version does not know; say in which to go on: "
                           "--precision %s", s->source_name, PRECISIONS);
    else if (s->o->resume && s->precision != before)
        say_note("%s was trained in precision %s; it goes on in %s", s->source_name, noted ? noted : "float32",
                 precision_name(s->precision));
    free(noted);
    return status;
}

int settings_make(struct settings *s, const struct program *program, const struct train_options *o)
{
    *s = (struct settings){.program = program, .o = o, .source_name = o->resume ? o->resume : o->from,
                           .model = o->model, .training = o->training, .micro_batch = o->micro_batch,
                           .measured = PART_VALID};
    return open_source(s) || program->open(s) || check_model(s) || (o->resume ? take_run(s) : take_stages(s)) ||
            settle_precision(s)
        ? EXIT_FAILED
        : 0;
}

void settings_finish(struct settings *s)
{
    ssa_checkpoint_close(s->source);
    s->source = NULL;
    free(s->layers);
    s->layers = NULL;
    if (s->program)
        s->program->close(s);
}

double settings_tokens(const struct settings *s)
{
    return (double)s->training.batch * ssa_model_length(&s->model);
}

int settings_passes(const struct settings *s)
{
    return s->training.batch ? s->training.batch / s->micro_batch : 1;
}

int settings_fit(const struct settings *s, const struct ssa_pool *pool, struct ssa_memory *memory, char why[512])
{
    const struct ssa_model_limits limits = {.batch = s->micro_batch, .training = 1};
    struct ssa_pool_member m;
    size_t largest = 0;
    int status = SSA_ENODEVICE;
    snprintf(why, 512, "no device can be used");
    for (int i = 0; i < ssa_pool_count(pool); i++) {
        struct ssa_device *device = ssa_pool_device(pool, i);
        if (!device || ssa_pool_member(pool, i, &m) != SSA_OK)
            continue;
        int err = ssa_train_check(device, &s->model, &limits, &s->training, s->data.part[PART_TRAIN].count, memory);
        if (err == SSA_OK)
            return SSA_OK;
        if (m.info.memory > largest) {
            snprintf(why, 512, "%s", ssa_last_error());
            status = err;
            largest = m.info.memory;
        }
    }
    return status;
}

int settings_kinds(const struct ssa_train_config *training)
{
    return (training->optimiser == SSA_NAG ? 2 : 3) + (training->ema > 0);
}

json_t *settings_json(const struct settings *s)
{
    const struct ssa_train_config *t = &s->training;
    json_t *stages = json_array();
    for (int i = 0; i < t->stage_count; i++) {
        char text[STAGE_TEXT];
        stage_format(&t->stages[i], 0, text, sizeof text);
        json_array_append_new(stages, json_string(text));
    }
    return json_pack("{s:o, s:o, s:i, s:i, s:f, s:s, s:o, s:o, s:I}", "model", model_json(&s->model), "stages", stages,
                     "batch", t->batch, "micro_batch", s->micro_batch, "tokens_per_step", settings_tokens(s),
                     "optimiser", t->optimiser == SSA_NAG ? "nag" : "adamw", "ema", number_json((double)t->ema), "seed",
                     u64_json(t->seed), "parameters", (json_int_t)ssa_model_elements(&s->model));
}

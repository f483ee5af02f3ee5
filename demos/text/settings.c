#include "settings.h"

#include "longer.h"
#include "numbers.h"

#include <limits.h>
#include <stdio.h>

static const char *source_of(const struct train_options *o)
{
    return o->resume ? o->resume : o->from;
}

static int open_source(struct settings *s)
{
    const char *source = source_of(s->o);
    if (!source)
        return 0;
    if (ssa_checkpoint_open(&s->source, source) != SSA_OK)
        return library_failed();
    if (s->o->resume && !ssa_checkpoint_training(s->source))
        return say_error("%s: holds a model but no run to continue; use --from", source);
    return 0;
}

/* It must hold a window. */
static int load_text(struct settings *s)
{
    const struct train_options *o = s->o;
    const struct ssa_model_config *model = s->source ? ssa_checkpoint_model(s->source) : &o->model;
    s->token_size = settle_tokens(o->tokens, s->source, source_of(o));
    if (!s->token_size || (o->data.count && text_load(&s->text, &o->data, s->token_size, model->gpt.length)))
        return EXIT_FAILED;
    s->unit = unit_of(s->token_size);
    s->train_count = s->text.size[TEXT_TRAIN];
    return 0;
}

/* Of a new model: as said, or all bytes, or what the data has. */
static int settle_vocabulary(struct settings *s)
{
    int *vocabulary = &s->model.gpt.vocabulary;
    if (!*vocabulary && s->token_size > 1 && !s->o->data.count)
        return say_error("without --data nobody knows how many tokens there are: give --vocabulary N");
    if (!*vocabulary && s->token_size > 1) {
        *vocabulary = s->text.largest.id < INT_MAX ? (int)s->text.largest.id + 1 : INT_MAX;
        say_note("a vocabulary of %d, by the largest id in the data; --vocabulary N makes it another", *vocabulary);
    }
    *vocabulary = *vocabulary ? *vocabulary : 256;
    return s->o->data.count ? text_check_ids(&s->text, *vocabulary) : 0;
}

/* A run that goes on does so as it was. */
static int take_run(struct settings *s)
{
    const char *source = s->o->resume;
    struct train_note note = read_train_note(s->source, &s->text);
    if (!note.micro_batch)
        return say_error("%s: was not written by ssacl-text train; start from it with --from instead", source);
    if (s->o->data.count && !note.same)
        return say_error("%s: was trained on other text; give the same --data in the same order, or start a new run "
                         "with --from", source);
    s->micro_batch = note.micro_batch;
    s->training = *ssa_checkpoint_training(s->source);
    return make_longer(s->o, &s->training, s->stages);
}

int settings_make(struct settings *s, const struct train_options *o)
{
    *s = (struct settings){.o = o, .training = o->training, .micro_batch = o->micro_batch};
    if (open_source(s) || load_text(s))
        return EXIT_FAILED;
    s->model = s->source ? *ssa_checkpoint_model(s->source) : o->model;
    return settle_vocabulary(s) || (o->resume && take_run(s)) ? EXIT_FAILED : 0;
}

void settings_finish(struct settings *s)
{
    ssa_checkpoint_close(s->source);
    text_free(&s->text);
    s->source = NULL;
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
        int err = ssa_train_check(device, &s->model, &limits, &s->training, s->train_count, memory);
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

json_t *settings_json(const struct settings *s)
{
    const struct ssa_train_config *t = &s->training;
    json_t *stages = json_array();
    for (int i = 0; i < t->stage_count; i++) {
        char text[256];
        stage_format(&t->stages[i], 0, text, sizeof text);
        json_array_append_new(stages, json_string(text));
    }
    return json_pack("{s:o, s:o, s:i, s:i, s:f, s:o, s:o, s:I}", "model", model_json(&s->model), "stages", stages,
                     "batch", t->batch, "micro_batch", s->micro_batch, "tokens_per_step",
                     (double)t->batch * s->model.gpt.length, "ema", number_json((double)t->ema), "seed",
                     u64_json(t->seed), "parameters", (json_int_t)ssa_model_elements(&s->model));
}

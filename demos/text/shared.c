#include "command.h"

#include "numbers.h"
#include "run.h"

#include <ssacl/pool.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

int library_failed(void)
{
    return say_error("%s", ssa_last_error());
}

/* ---- how losses are told ---- */

static const struct unit of_bytes = {.key = "bits", .name = "bits per byte", .item = "byte",
                                     .nats = 0.69314718055994531};
static const struct unit of_tokens = {.key = "loss", .name = "nats per token", .item = "token", .nats = 1,
                                      .perplexity = true};

const struct unit *unit_of(int token_size)
{
    return token_size > 1 ? &of_tokens : &of_bytes;
}

double unit_loss(const struct unit *unit, double nats)
{
    return nats / unit->nats;
}

const char *unit_text(const struct unit *unit, double nats, char text[64])
{
    if (unit->perplexity)
        snprintf(text, 64, "%.3f nats/token (perplexity %.1f)", nats, exp(nats));
    else
        snprintf(text, 64, "%.3f bits/byte", unit_loss(unit, nats));
    return text;
}

void unit_record(const struct unit *unit, json_t *object, const char *prefix, double nats)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s", prefix, unit->key);
    json_object_set_new(object, key, number_json(unit_loss(unit, nats)));
    snprintf(key, sizeof key, "%sperplexity", prefix);
    if (unit->perplexity)
        json_object_set_new(object, key, number_json(exp(nats)));
}

/* ---- options ---- */

int parse_options(const struct arg *table, const struct args_page *page, int argc, char **argv,
                  const char **checkpoint)
{
    int status = args_parse(table, page, argc, argv);
    if (status != ARGS_GO || *checkpoint)
        return status;
    say_error("give --checkpoint FILE (see --help)");
    return EXIT_USAGE;
}

/* ---- checkpoints ---- */

static int load_weights(struct loaded *loaded, bool average)
{
    loaded->averaged = average && ssa_checkpoint_has_average(loaded->checkpoint);
    return loaded->averaged ? ssa_checkpoint_load_average(loaded->checkpoint, loaded->model)
                            : ssa_checkpoint_load(loaded->checkpoint, loaded->model, NULL);
}

int load_model(struct loaded *loaded, const char *devices, const char *checkpoint, int batch, bool average)
{
    struct ssa_model_limits limits = {.batch = batch};
    *loaded = (struct loaded){0};
    if (ssa_checkpoint_open(&loaded->checkpoint, checkpoint) == SSA_OK &&
        ssa_pool_open(&loaded->pool, devices, NULL) == SSA_OK &&
        ssa_pool_model_create(&loaded->model, loaded->pool, ssa_checkpoint_model(loaded->checkpoint), &limits) ==
            SSA_OK &&
        load_weights(loaded, average) == SSA_OK)
        return 0;
    library_failed();
    unload_model(loaded);
    return EXIT_FAILED;
}

struct train_note read_train_note(const struct ssa_checkpoint *checkpoint, const struct text *text)
{
    struct train_note result = {0};
    json_t *note = json_loads(ssa_checkpoint_note(checkpoint), 0, NULL);
    double micro_batch = json_number(note, "micro_batch");
    const char *fingerprint = json_string_value(json_object_get(note, "text"));
    char ours[17];
    snprintf(ours, sizeof ours, "%016" PRIx64, text->fingerprint);
    result.known = fingerprint;
    result.same = fingerprint && !strcmp(fingerprint, ours);
    if (fingerprint && micro_batch >= 1 && micro_batch <= 65536)
        result.micro_batch = (int)micro_batch;
    json_decref(note);
    return result;
}

int trained_token_size(const struct ssa_checkpoint *checkpoint)
{
    json_t *note = json_loads(ssa_checkpoint_note(checkpoint), 0, NULL);
    double bits = json_number(note, "tokens");
    json_decref(note);
    if (bits == 16 || bits == 32) /* exactly */
        return (int)bits / 8;
    return ssa_checkpoint_model(checkpoint)->gpt.vocabulary <= 256;
}

int settle_tokens(int said, const struct ssa_checkpoint *checkpoint, const char *name)
{
    if (said >= 0 || !checkpoint)
        return said >= 0 ? 1 << said : 1;
    int size = trained_token_size(checkpoint);
    if (!size)
        say_error("%s: predicts %d tokens, and is no model of bytes; give token files, with --tokens 16 or 32", name,
                  ssa_checkpoint_model(checkpoint)->gpt.vocabulary);
    return size;
}

json_t *same_text_json(const struct train_note *note)
{
    return note->known ? json_boolean(note->same) : json_null();
}

void unload_model(struct loaded *loaded)
{
    ssa_model_destroy(loaded->model);
    ssa_pool_close(loaded->pool);
    ssa_checkpoint_close(loaded->checkpoint);
    *loaded = (struct loaded){0};
}

json_t *device_json(const struct ssa_device *device)
{
    struct ssa_device_info info = {0};
    ssa_device_info(device, &info);
    return json_pack("{s:s, s:s, s:s, s:s, s:i}", "id", info.id, "name", info.name, "platform", info.platform, "driver",
                     info.driver, "units", info.units);
}

const struct ssa_pattern *sampled_pattern(const struct ssa_checkpoint *checkpoint)
{
    const struct ssa_train_config *training = ssa_checkpoint_training(checkpoint);
    for (int i = training ? training->stage_count - 1 : -1; i >= 0; i--)
        if (training->stages[i].pattern.kind != SSA_DENSE)
            return &training->stages[i].pattern;
    return NULL;
}

/* Configs as JSON: one list of fields a struct serves writing, reading and comparing. */
#include "checkpoint.h"
#include "impl.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum field_kind { FIELD_INT, FIELD_FLOAT, FIELD_U64, FIELD_NONE /* an int, 1 for SSA_NONE and 0 for the rest */ };

struct field {
    const char *name;
    enum field_kind kind;
    size_t at;
    bool later; /* 0 in files that were written before there was such a field */
    int count;  /* 0: one value; else a list of so many */
};

#define INT(type, name) {#name, FIELD_INT, offsetof(struct type, name), false}
#define INT_LATER(type, name) {#name, FIELD_INT, offsetof(struct type, name), true}
#define FLOAT(type, name) {#name, FIELD_FLOAT, offsetof(struct type, name), false}
#define FLOAT_LATER(type, name) {#name, FIELD_FLOAT, offsetof(struct type, name), true}
#define U64(type, name) {#name, FIELD_U64, offsetof(struct type, name), false}
#define END {NULL, FIELD_INT, 0, false}

static const struct field training_fields[] = {
    INT(ssa_train_config, batch), FLOAT(ssa_train_config, beta1), FLOAT(ssa_train_config, beta2),
    FLOAT(ssa_train_config, eps), FLOAT(ssa_train_config, decay), FLOAT(ssa_train_config, clip),
    FLOAT(ssa_train_config, smoothing), FLOAT_LATER(ssa_train_config, ema), INT_LATER(ssa_train_config, optimiser),
    FLOAT_LATER(ssa_train_config, momentum), INT_LATER(ssa_train_config, blocks), U64(ssa_train_config, seed), END};

static const struct field stage_fields[] = {INT(ssa_stage, steps), FLOAT(ssa_stage, lr), FLOAT(ssa_stage, lr_end),
                                            INT(ssa_stage, warmup), INT_LATER(ssa_stage, dense_every), END};

static const struct field pattern_fields[] = {
    INT(ssa_pattern, kind), FLOAT(ssa_pattern, ratio), INT(ssa_pattern, look_back), FLOAT(ssa_pattern, sigma),
    INT(ssa_pattern, fixed_windows), {"no_own_key", FIELD_NONE, offsetof(struct ssa_pattern, own_key), false},
    INT(ssa_pattern, per_example),
    INT(ssa_pattern, keep_first), INT(ssa_pattern, dense_first), INT(ssa_pattern, dense_last),
    FLOAT(ssa_pattern, ratio_last), INT_LATER(ssa_pattern, grid), INT_LATER(ssa_pattern, independent),
    INT_LATER(ssa_pattern, permute_queries), END};

/* ---- writing ---- */

static json_t *value_to_json(enum field_kind kind, const void *at)
{
    char text[32];
    switch (kind) {
    case FIELD_INT:
        return json_integer(*(const int *)at);
    case FIELD_NONE:
        return json_integer(*(const int *)at == SSA_NONE);
    case FIELD_FLOAT:
        return json_real((double)*(const float *)at);
    default: /* JSON's integers are signed: a string */
        snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)at);
        return json_string(text);
    }
}

static size_t size_of(enum field_kind kind)
{
    return kind == FIELD_U64 ? sizeof(uint64_t) : kind == FIELD_FLOAT ? sizeof(float) : sizeof(int);
}

static json_t *field_to_json(const struct field *f, const void *from)
{
    const char *at = (const char *)from + f->at;
    json_t *list = f->count ? json_array() : NULL;
    int err = f->count && !list;
    for (int i = 0; i < f->count && !err; i++)
        err = json_array_append_new(list, value_to_json(f->kind, at + (size_t)i * size_of(f->kind)));
    if (!err)
        return f->count ? list : value_to_json(f->kind, at);
    json_decref(list);
    return NULL;
}

static json_t *to_json(const struct field *fields, const void *from)
{
    json_t *o = json_object();
    for (const struct field *f = fields; o && f->name; f++)
        if (json_object_set_new(o, f->name, field_to_json(f, from))) {
            json_decref(o);
            return NULL;
        }
    return o;
}

/* A field of a model in this file's terms. */
static struct field model_field(const struct ssa_field *f)
{
    return (struct field){f->name, f->kind == SSA_FIELD_INT ? FIELD_INT : FIELD_FLOAT, f->at,
                          f->flags & SSA_FIELD_LATER, f->count};
}

json_t *ssa_model_to_json(const struct ssa_model_config *config)
{
    json_t *o = json_object();
    int err = !o || json_object_set_new(o, "family", json_string(ssa_model_family(config->family)));
    for (const struct ssa_field *f = ssa_model_fields(config->family); !err && f->name; f++) {
        const struct field field = model_field(f);
        err = json_object_set_new(o, f->name, field_to_json(&field, config));
    }
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *pattern_to_json(const struct ssa_pattern *p)
{
    json_t *o = to_json(pattern_fields, p);
    if (!o || !p->layers)
        return o;
    json_t *layers = json_array();
    int err = json_object_set_new(o, "layers", layers);
    for (int l = 0; !err && l < p->layer_count; l++)
        err = json_array_append_new(layers, to_json(pattern_fields, &p->layers[l]));
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *ssa_training_to_json(const struct ssa_train_config *config)
{
    json_t *o = to_json(training_fields, config), *stages = o ? json_array() : NULL;
    int err = !o || json_object_set_new(o, "stages", stages);
    for (int i = 0; !err && i < config->stage_count; i++) {
        json_t *s = to_json(stage_fields, &config->stages[i]);
        err = json_array_append_new(stages, s) ||
              json_object_set_new(s, "pattern", pattern_to_json(&config->stages[i].pattern));
    }
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* ---- reading ---- */

static bool int_from_json(const json_t *value, int *to)
{
    if (!json_is_integer(value) || json_integer_value(value) < INT_MIN || json_integer_value(value) > INT_MAX)
        return false;
    *to = (int)json_integer_value(value);
    return true;
}

static bool float_from_json(const json_t *value, float *to)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= -FLT_MAX && number <= FLT_MAX))
        return false;
    *to = (float)number;
    return true;
}

static bool u64_from_json(const json_t *value, uint64_t *to)
{
    const char *text = json_string_value(value);
    char *end;
    if (!text || *text < '0' || *text > '9') /* strtoull() takes signs and blanks */
        return false;
    errno = 0;
    *to = strtoull(text, &end, 10);
    return !*end && !errno;
}

static bool none_from_json(const json_t *value, int *to)
{
    if (!int_from_json(value, to))
        return false;
    *to = *to ? SSA_NONE : 0;
    return true;
}

static bool value_from_json(enum field_kind kind, const json_t *value, void *at)
{
    return kind == FIELD_INT     ? int_from_json(value, at)
           : kind == FIELD_NONE  ? none_from_json(value, at)
           : kind == FIELD_FLOAT ? float_from_json(value, at)
                                 : u64_from_json(value, at);
}

/* What a list has not is 0. */
static bool list_from_json(const struct field *f, const json_t *list, char *at)
{
    bool good = json_is_array(list) && json_array_size(list) <= (size_t)f->count;
    for (size_t i = 0; i < json_array_size(list) && good; i++)
        good = value_from_json(f->kind, json_array_get(list, i), at + i * size_of(f->kind));
    return good;
}

static int field_from_json(const struct field *f, const json_t *value, void *to)
{
    char *at = (char *)to + f->at;
    if (!value && f->later)
        return SSA_OK;
    bool good = f->count ? list_from_json(f, value, at) : value_from_json(f->kind, value, at);
    return good ? SSA_OK : ssa_fail(SSA_EFORMAT, "its config lacks a good \"%s\"", f->name);
}

static int from_json(const struct field *fields, const json_t *object, void *to)
{
    int err = SSA_OK;
    for (const struct field *f = fields; f->name; f++)
        TRY(field_from_json(f, json_object_get(object, f->name), to));
done:
    return err;
}

/* Files from before there were families are of GPTs. */
static int family_from_json(const json_t *name, int *family)
{
    *family = SSA_GPT;
    if (!name)
        return SSA_OK;
    if (!json_is_string(name))
        return ssa_fail(SSA_EFORMAT, "its config lacks a good \"family\"");
    return ssa_model_named(json_string_value(name), family)
               ? SSA_OK
               : ssa_fail(SSA_EFORMAT, "its model is a \"%s\", which this version does not know",
                          json_string_value(name));
}

int ssa_model_from_json(const json_t *json, struct ssa_model_config *config)
{
    int err;
    *config = (struct ssa_model_config){0};
    TRY(family_from_json(json_object_get(json, "family"), &config->family));
    for (const struct ssa_field *f = ssa_model_fields(config->family); f->name; f++) {
        const struct field field = model_field(f);
        TRY(field_from_json(&field, json_object_get(json, f->name), config));
    }
    if (ssa_model_check(config))
        err = ssa_fail(SSA_EFORMAT, "its config is wrong: %s", ssa_last_error());
done:
    return err;
}

/* What else must hold of it is checked where it is used, and the model is known. */
static int pattern_fields_from_json(const json_t *json, struct ssa_pattern *p)
{
    int err;
    TRY(from_json(pattern_fields, json, p));
    if (p->kind < SSA_DENSE || p->kind > SSA_LOCAL)
        err = ssa_fail(SSA_EFORMAT, "its config lacks a good \"kind\" of pattern");
done:
    return err;
}

static int pattern_from_json(const json_t *json, struct ssa_pattern *p)
{
    const json_t *layers = json_object_get(json, "layers");
    struct ssa_pattern *all = NULL;
    int err;
    TRY(pattern_fields_from_json(json, p));
    if (!layers)
        return SSA_OK;
    size_t count = json_array_size(layers);
    all = calloc(count + 1, sizeof *all);
    if (!all)
        TRY(ssa_fail(SSA_ENOMEM, "out of host memory"));
    p->layers = all; /* freed with the config */
    p->layer_count = (int)count;
    for (size_t i = 0; i < count; i++)
        TRY(pattern_fields_from_json(json_array_get(layers, i), &all[i]));
done:
    return err;
}

int ssa_training_from_json(const json_t *json, struct ssa_train_config *config)
{
    const json_t *stages = json_object_get(json, "stages");
    size_t count = json_array_size(stages);
    struct ssa_stage *all = calloc(count + 1, sizeof *all);
    int err;
    *config = (struct ssa_train_config){.stages = all, .stage_count = (int)count};
    if (!all)
        return ssa_fail(SSA_ENOMEM, "out of host memory");
    TRY(from_json(training_fields, json, config));
    config->decay = config->decay < 0 ? SSA_NONE : config->decay; /* to 0.1 any negative number was none */
    config->clip = config->clip < 0 ? SSA_NONE : config->clip;
    if (config->optimiser != SSA_ADAMW && config->optimiser != SSA_NAG)
        TRY(ssa_fail(SSA_EFORMAT, "its config lacks a good \"optimiser\""));
    if (!count)
        TRY(ssa_fail(SSA_EFORMAT, "its config has no stages"));
    for (size_t i = 0; i < count; i++) {
        const json_t *stage = json_array_get(stages, i);
        TRY(from_json(stage_fields, stage, &all[i]));
        TRY(pattern_from_json(json_object_get(stage, "pattern"), &all[i].pattern));
    }
done:
    return err;
}

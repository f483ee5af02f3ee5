#include "model.h"

#include "numbers.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 64, NAME_ROOM = 32 };

static void *place(struct ssa_model_config *config, const struct ssa_field *f)
{
    return (char *)config + f->at;
}

static bool is_yes_or_no(const struct ssa_field *f)
{
    return f->kind == SSA_FIELD_INT && f->least >= 0 && f->most <= 1 && !f->choices;
}

/* ---- options ---- */

static const struct model_option *find_own(const struct model_option *own, const char *field)
{
    while (own && own->field && strcmp(own->field, field))
        own++;
    return own && own->field ? own : NULL;
}

static const char *name_option(const struct ssa_field *f, char name[NAME_ROOM])
{
    if (f->option)
        return f->option;
    snprintf(name, NAME_ROOM, "%s", f->name);
    for (char *c = name; *c; c++)
        *c = *c == '_' ? '-' : *c;
    return name;
}

static struct arg make_arg(const struct ssa_field *f, void *target)
{
    int chosen = f->choices && f->option ? parse_choice(f->option, strlen(f->option), f->choices) : -1;
    struct arg a = {.target = target, .help = f->about, .low = f->least, .high = f->most, .count = f->count};
    if (chosen >= 0)
        return (struct arg)ARG_CHOSEN(0, NULL, target, (int)f->least + chosen, f->about);
    a.kind = f->choices                 ? ARG_KIND_CHOICE
             : f->count                 ? ARG_KIND_INTS
             : is_yes_or_no(f)          ? ARG_KIND_FLAG
             : f->kind == SSA_FIELD_INT ? ARG_KIND_INT
                                        : ARG_KIND_FLOAT;
    a.value = f->choices                ? f->choices
              : a.kind == ARG_KIND_FLAG ? NULL
              : a.kind == ARG_KIND_INTS ? "N,N,..."
              : a.kind == ARG_KIND_INT  ? "N"
                                        : "X";
    if (a.kind == ARG_KIND_FLAG)
        a.low = 1;
    return a;
}

static void set_own(struct arg *a, const struct model_option *own)
{
    a->letter = own->letter;
    if (own->help) {
        a->low = own->least;
        a->help = own->help;
    }
}

int model_args(struct ssa_model_config *config, enum model_choice choice, const struct model_option *own,
               struct arg *args, int room)
{
    static char names[FIELDS_MAX][NAME_ROOM];
    int count = 0;
    room = room < FIELDS_MAX ? room : FIELDS_MAX;
    for (const struct ssa_field *f = ssa_model_fields(config->family); f && f->name && count < room; f++) {
        const struct model_option *ours = find_own(own, f->name);
        if (ours ? ours->hidden : choice == MODEL_OWN)
            continue;
        args[count] = make_arg(f, place(config, f));
        args[count].name = name_option(f, names[count]);
        if (ours)
            set_own(&args[count], ours);
        count++;
    }
    return count;
}

void model_choose(struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    ssa_model_settle(&settled);
    for (const struct ssa_field *f = ssa_model_fields(config->family); f && f->name; f++)
        if (f->choices)
            *(int *)place(config, f) = *(int *)place(&settled, f);
}

/* ---- JSON ---- */

static json_t *choice_json(const char *choices, int number)
{
    for (; number > 0 && *choices; number--)
        choices += strcspn(choices, "|") + (choices[strcspn(choices, "|")] != 0);
    return json_stringn(choices, strcspn(choices, "|"));
}

/* Without zeros behind the last. */
static json_t *ints_json(const int *values, int count)
{
    json_t *list = json_array();
    while (count && !values[count - 1])
        count--;
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_integer(values[i]));
    return list;
}

static void set_field(json_t *object, const struct ssa_field *f, void *at)
{
    json_t *value = f->count                   ? ints_json(at, f->count)
                    : f->kind != SSA_FIELD_INT ? number_json((double)*(float *)at)
                    : f->choices               ? choice_json(f->choices, *(int *)at - (int)f->least)
                    : !is_yes_or_no(f)         ? json_integer(*(int *)at)
                    : f->contrary              ? json_boolean(!*(int *)at)
                                               : json_boolean(*(int *)at);
    json_object_set_new(object, f->contrary ? f->contrary : f->name, value);
}

json_t *model_json(const struct ssa_model_config *config)
{
    struct ssa_model_config settled = *config;
    json_t *object = json_object();
    ssa_model_settle(&settled);
    for (const struct ssa_field *f = ssa_model_fields(config->family); f && f->name; f++)
        set_field(object, f, place(&settled, f));
    return object;
}

static const struct ssa_field *find_int(const struct ssa_model_config *config, const char *name)
{
    for (const struct ssa_field *f = ssa_model_fields(config->family); f && f->name; f++)
        if (f->kind == SSA_FIELD_INT && !strcmp(f->name, name))
            return f;
    return NULL;
}

static int count_of(const struct ssa_field *f)
{
    return f->count ? f->count : 1;
}

int model_int_at(const struct ssa_model_config *config, const char *field, int at)
{
    struct ssa_model_config settled = *config;
    const struct ssa_field *f = find_int(config, field);
    ssa_model_settle(&settled);
    return f && at < count_of(f) ? ((int *)place(&settled, f))[at] : 0;
}

int model_int(const struct ssa_model_config *config, const char *field)
{
    return model_int_at(config, field, 0);
}

const char *model_ints(const struct ssa_model_config *config, const char *field, char text[64])
{
    size_t used = (size_t)snprintf(text, 64, "%d", model_int(config, field));
    for (int i = 1; model_int_at(config, field, i) && used < 64; i++)
        used += (size_t)snprintf(text + used, 64 - used, ",%d", model_int_at(config, field, i));
    return text;
}

bool model_has_class_token(const struct ssa_model_config *config)
{
    return config->family == SSA_VIT && !config->vit.mean_pool;
}

bool model_is_causal(const struct ssa_model_config *config)
{
    return config->family == SSA_PIXELS || config->family == SSA_WORDS ||
           (config->family == SSA_GPT && !config->gpt.bidirectional);
}

/* ---- layers ---- */

int model_stages(const struct ssa_model_config *config)
{
    int count = 0;
    while (model_int_at(config, "layers", count))
        count++;
    return count;
}

int model_stage(const struct ssa_model_config *config, int layer)
{
    int stage = 0;
    while (layer >= model_int_at(config, "layers", stage) && model_int_at(config, "layers", stage + 1))
        layer -= model_int_at(config, "layers", stage++);
    return stage;
}

void model_shorten(struct ssa_model_config *config, int layers, int *kept)
{
    const struct ssa_model_config whole = *config;
    const int stages = model_stages(config);
    int *counts = place(config, find_int(config, "layers")), before = 0;
    memset(counts, 0, (size_t)stages * sizeof *counts);
    for (int s = 0; layers; s = (s + 1) % stages) /* one for each stage in turn that has more */
        if (counts[s] < model_int_at(&whole, "layers", s)) {
            counts[s]++;
            layers--;
        }
    for (int s = 0; s < stages; before += model_int_at(&whole, "layers", s++))
        for (int i = 0; i < counts[s]; i++) {
            const long long last = model_int_at(&whole, "layers", s) - 1;
            *kept++ = before + (int)(counts[s] > 1 ? i * last / (counts[s] - 1) : (last + 1) / 2);
        }
}

/* Configs by the tables of their families: checking, comparing, and what follows from one. */
#include "family.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ssa_family *const families[] = {
    [SSA_GPT] = &ssa_gpt_family, [SSA_VIT] = &ssa_vit_family, [SSA_PIXELS] = &ssa_pixels_family,
    [SSA_SWIN] = &ssa_swin_family, [SSA_WORDS] = &ssa_words_family, [SSA_EGT] = &ssa_egt_family};

const struct ssa_family *ssa_family_of_tests;

const struct ssa_family *ssa_family(int number)
{
    if (number == SSA_FAMILY_OF_TESTS)
        return ssa_family_of_tests;
    return number >= 0 && (size_t)number < sizeof families / sizeof *families ? families[number] : NULL;
}

const struct ssa_field *ssa_model_fields(int number)
{
    const struct ssa_family *family = ssa_family(number);
    return family ? family->fields : NULL;
}

const char *ssa_model_family(int number)
{
    const struct ssa_family *family = ssa_family(number);
    return family ? family->name : NULL;
}

static int values_of(const struct ssa_field *f)
{
    return f->count ? f->count : 1;
}

static double value_of(const struct ssa_model_config *c, const struct ssa_field *f, int i)
{
    const char *at = (const char *)c + f->at;
    return f->kind == SSA_FIELD_INT ? ((const int *)at)[i] : (double)((const float *)at)[i];
}

bool ssa_model_named(const char *name, int *number)
{
    *number = ssa_family_of_tests && !strcmp(name, ssa_family_of_tests->name) ? SSA_FAMILY_OF_TESTS : 0;
    while (ssa_family(*number) && strcmp(name, ssa_family(*number)->name))
        ++*number;
    return ssa_family(*number);
}

enum { NAME_ROOM = 32 };

/* Of its value `i`: "width", or "layers[2]". */
static const char *name_of(const struct ssa_field *f, int i, char text[NAME_ROOM])
{
    snprintf(text, NAME_ROOM, f->count ? "%s[%d]" : "%s", f->name, i);
    return text;
}

void ssa_model_settle(struct ssa_model_config *config)
{
    const struct ssa_family *family = ssa_family(config->family);
    if (family)
        family->settle(config);
}

static int check_value(const struct ssa_model_config *c, const struct ssa_field *f, int i)
{
    const double value = value_of(c, f, i), least = i && f->least > 0 ? 0 : f->least;
    char name[NAME_ROOM];
    int err = SSA_OK;
    REQUIRE(isfinite(value), "model: %s is %g, must be a number", name_of(f, i, name), value);
    REQUIRE(value >= least && value <= f->most, "model: %s is %.10g, must be in [%.10g, %.10g]", name_of(f, i, name),
            value, least, f->most);
done:
    return err;
}

int ssa_model_check(const struct ssa_model_config *c)
{
    const struct ssa_family *family = ssa_family(c->family);
    int err = SSA_OK;
    REQUIRE(family, "model: family is %d, not one of enum ssa_family_number", c->family);
    for (const struct ssa_field *f = family->fields; f->name; f++)
        for (int i = 0; i < values_of(f); i++)
            TRY(check_value(c, f, i));
    TRY(family->check(c));
done:
    return err;
}

struct ssa_facts ssa_model_facts(const struct ssa_model_config *c)
{
    return ssa_family(c->family)->facts(c);
}

int ssa_model_length(const struct ssa_model_config *c)
{
    return ssa_model_check(c) ? 0 : ssa_model_facts(c).length;
}

int ssa_model_layers(const struct ssa_model_config *c)
{
    return ssa_model_check(c) ? 0 : ssa_model_facts(c).layers;
}

struct ssa_layer ssa_model_layer_facts(const struct ssa_model_config *c, int layer)
{
    const struct ssa_family *family = ssa_family(c->family);
    const struct ssa_facts f = family->facts(c);
    return family->layer ? family->layer(c, layer)
                         : (struct ssa_layer){.length = f.length, .sequences = 1, .rows = f.rows, .columns = f.columns,
                                              .channels = f.channels, .mixed = f.mixed, .lead = f.lead};
}

int ssa_model_layer(const struct ssa_model_config *c, int layer, struct ssa_layer *of)
{
    int err;
    *of = (struct ssa_layer){0};
    TRY(ssa_model_check(c));
    const int layers = ssa_model_facts(c).layers;
    REQUIRE(layer >= 0 && layer < layers, "model: no layer %d of %d", layer, layers);
    *of = ssa_model_layer_facts(c, layer);
done:
    return err;
}

/* ---- what families of heads share ---- */

int ssa_family_check_heads(int width, int heads, int step)
{
    const int each = width / heads;
    int err = SSA_OK;
    REQUIRE(width % heads == 0, "model: width %d does not divide by heads %d", width, heads);
    REQUIRE(each % step == 0 && each <= 256, "model: heads of width %d (%d/%d); must be a multiple of %d, at most 256",
            each, width, heads, step);
done:
    return err;
}

int ssa_family_check_drops(float attention_dropout, float drop_keys)
{
    int err = SSA_OK;
    REQUIRE(attention_dropout < 1, "model: attention_dropout is %g, must be in [0, 1)", (double)attention_dropout);
    REQUIRE(drop_keys < 1, "model: drop_keys is %g, must be in [0, 1)", (double)drop_keys);
    REQUIRE(attention_dropout == 0 || drop_keys == 0,
            "model: attention_dropout is %g and drop_keys %g: one of them must be 0", (double)attention_dropout,
            (double)drop_keys);
done:
    return err;
}

bool ssa_family_narrow(int *width, int *hidden, int heads, int step)
{
    const int narrower = *width - step * heads;
    if (narrower < step * heads)
        return false;
    *hidden = (int)((double)*hidden * narrower / *width);
    *width = narrower;
    return true;
}

/* ---- comparing ---- */

static int same_fields(const struct ssa_family *family, const struct ssa_model_config *theirs,
                       const struct ssa_model_config *ours)
{
    char name[NAME_ROOM];
    for (const struct ssa_field *f = family->fields; f->name; f++)
        for (int i = 0; i < values_of(f); i++) {
            const double a = value_of(theirs, f, i), b = value_of(ours, f, i);
            if (a != b && !(f->flags & SSA_FIELD_FREE))
                return ssa_fail(SSA_EFORMAT, "it is of another model: %s is %g, this model's is %g",
                                name_of(f, i, name), a, b);
        }
    return SSA_OK;
}

/* What no field says: a table of positions of another length. */
static int same_parameters(const struct ssa_parameter_list *theirs, const struct ssa_parameter_list *ours)
{
    for (int i = 0; i < theirs->count && i < ours->count; i++) {
        const struct ssa_parameter *a = &theirs->table[i], *b = &ours->table[i];
        if (strcmp(a->name, b->name) || a->rows != b->rows || a->columns != b->columns)
            return ssa_fail(SSA_EFORMAT, "it is of another model: %s is [%d, %d], this model's %s [%d, %d]", a->name,
                            a->rows, a->columns, b->name, b->rows, b->columns);
    }
    return theirs->count == ours->count ? SSA_OK
                                        : ssa_fail(SSA_EFORMAT, "it is of another model: it has %d parameters, this "
                                                   "model %d", theirs->count, ours->count);
}

int ssa_model_same(const struct ssa_model_config *theirs, const struct ssa_model_config *ours)
{
    const struct ssa_family *family = ssa_family(ours->family);
    struct ssa_model_config a = *theirs, b = *ours;
    struct ssa_parameter_list their_list = {0}, our_list = {0};
    int err = SSA_OK;
    if (theirs->family != ours->family)
        return ssa_fail(SSA_EFORMAT, "it is of another model: of family %s, this is of family %s",
                        ssa_model_family(theirs->family), family->name);
    ssa_model_settle(&a);
    ssa_model_settle(&b);
    TRY(same_fields(family, &a, &b));
    TRY(ssa_model_list(theirs, &their_list));
    TRY(ssa_model_list(ours, &our_list));
    TRY(same_parameters(&their_list, &our_list));
done:
    free(their_list.table);
    free(our_list.table);
    return err;
}

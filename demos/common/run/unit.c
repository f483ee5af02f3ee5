#include "unit.h"

#include "numbers.h"

#include <math.h>
#include <stdio.h>

double unit_loss(const struct unit *unit, double nats)
{
    return nats / unit->nats;
}

const char *unit_text(const struct unit *unit, double nats, char text[64])
{
    if (unit->perplexity)
        snprintf(text, 64, "%.3f %s (perplexity %.1f)", unit_loss(unit, nats), unit->brief, exp(nats));
    else
        snprintf(text, 64, "%.3f %s", unit_loss(unit, nats), unit->brief);
    return text;
}

void unit_set(const struct unit *unit, json_t *object, const char *before, const char *behind, json_t *value)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s%s", before, unit->key, behind);
    json_object_set_new(object, key, value);
}

void unit_record(const struct unit *unit, json_t *object, const char *prefix, double nats)
{
    char key[64];
    unit_set(unit, object, prefix, "", number_json(unit_loss(unit, nats)));
    snprintf(key, sizeof key, "%sperplexity", prefix);
    if (unit->perplexity)
        json_object_set_new(object, key, number_json(exp(nats)));
}

const char *unit_datum(const struct unit *unit)
{
    return unit->datum ? unit->datum : unit->item;
}

const char *unit_data(const struct unit *unit, const char *before, char key[64])
{
    snprintf(key, 64, "%s%ss", before, unit_datum(unit));
    return key;
}

const char *unit_items(const struct unit *unit, const char *before, char key[64])
{
    snprintf(key, 64, "%s%ss", before, unit->item);
    return key;
}

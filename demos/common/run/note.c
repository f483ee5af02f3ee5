#include "note.h"

#include "devices.h"
#include "run.h"

#include "disk/hash.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct train_note note_read(const struct program *p, const struct ssa_checkpoint *checkpoint, uint64_t fingerprint)
{
    struct train_note result = {0};
    json_t *note = json_loads(ssa_checkpoint_note(checkpoint), 0, NULL);
    double micro_batch = json_number(note, "micro_batch");
    const char *theirs = json_string_value(json_object_get(note, p->what));
    char ours[17];
    snprintf(ours, sizeof ours, "%016" PRIx64, fingerprint);
    result.known = theirs;
    result.same = theirs && !strcmp(theirs, ours);
    if (theirs && micro_batch >= 1 && micro_batch <= 65536)
        result.micro_batch = (int)micro_batch;
    json_decref(note);
    return result;
}

double note_number(const struct ssa_checkpoint *checkpoint, const char *key)
{
    json_t *note = json_loads(ssa_checkpoint_note(checkpoint), 0, NULL);
    double number = json_number(note, key);
    json_decref(note);
    return number;
}

char *note_text(const struct ssa_checkpoint *checkpoint, const char *key)
{
    json_t *note = json_loads(ssa_checkpoint_note(checkpoint), 0, NULL);
    const char *text = json_string_value(json_object_get(note, key));
    char *copy = text ? strdup(text) : NULL;
    json_decref(note);
    return copy;
}

char *note_make(const struct settings *s)
{
    char fingerprint[17];
    json_t *note = json_pack("{s:s, s:i}", "program", s->program->name, "micro_batch", s->micro_batch);
    if (s->precision != SSA_FLOAT32)
        json_object_set_new(note, "precision", json_string(precision_name(s->precision)));
    s->program->note(s, note);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, s->data.fingerprint);
    json_object_set_new(note, s->program->what, json_string(fingerprint));
    char *text = json_dumps(note, 0);
    json_decref(note);
    return text;
}

void note_add_same(const struct program *p, const struct train_note *note, json_t *record)
{
    char key[64];
    snprintf(key, sizeof key, "same_%s", p->what);
    json_object_set_new(record, key, note->known ? json_boolean(note->same) : json_null());
}

/* ---- recipes ---- */

double note_get(const void *recipe, const struct note_field *f)
{
    const void *at = (const char *)recipe + f->at;
    return f->kind == NOTE_WHOLE ? (double)*(const int *)at : *(const double *)at;
}

bool note_take(void *recipe, const struct ssa_checkpoint *checkpoint, const struct note_field *f)
{
    void *at = (char *)recipe + f->at;
    char key[64];
    snprintf(key, sizeof key, "recipe.%s", f->name);
    const double value = note_number(checkpoint, key);
    if (!isfinite(value) || (f->kind == NOTE_WHOLE && fabs(value) > INT_MAX))
        return false;
    if (f->kind == NOTE_WHOLE)
        *(int *)at = (int)value;
    else
        *(double *)at = value;
    return true;
}

bool note_take_group(void *recipe, const struct ssa_checkpoint *checkpoint, const struct note_field *fields, int count,
                     int group)
{
    bool all = true;
    for (int i = 0; i < count; i++)
        all = (fields[i].group != group || note_take(recipe, checkpoint, &fields[i])) && all;
    return all;
}

json_t *note_json(const void *recipe, const struct note_field *fields, int count)
{
    json_t *object = json_object();
    for (int i = 0; i < count; i++) {
        const double value = note_get(recipe, &fields[i]);
        json_object_set_new(object, fields[i].name, fields[i].kind == NOTE_WHOLE ? json_integer((json_int_t)value)
                                                                                 : json_real(value));
    }
    return object;
}

uint64_t note_hash(const void *recipe, const struct note_field *fields, int count)
{
    uint64_t h = SSA_HASH_START;
    for (int i = 0; i < count; i++) {
        const double value = note_get(recipe, &fields[i]);
        h = ssa_hash(h, &value, sizeof value);
    }
    return h;
}

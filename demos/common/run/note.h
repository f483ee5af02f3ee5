/* What a checkpoint notes besides what the library keeps in it, so that a run can go on as it was. */
#ifndef RUN_NOTE_H
#define RUN_NOTE_H

#include "settings.h"

struct train_note {
    int micro_batch;  /* 0: the checkpoint is of another program */
    bool known, same; /* of which data it is, and whether that is those with this fingerprint */
};
struct train_note note_read(const struct program *program, const struct ssa_checkpoint *checkpoint,
                            uint64_t fingerprint);
/* A number of the program's own in it; NAN if there is none. */
double note_number(const struct ssa_checkpoint *checkpoint, const char *key);
/* Words, to be freed; NULL if there are none. */
char *note_text(const struct ssa_checkpoint *checkpoint, const char *key);
/* To be freed; NULL: no memory. */
char *note_make(const struct settings *s);

/* Numbers of a struct of the program's, its recipe, which a checkpoint notes as {"recipe": {"NAME": 1, ...}}. */
struct note_field {
    const char *name;
    int group; /* a number of the program's */
    enum note_kind { NOTE_WHOLE, NOTE_REAL } kind; /* int or double */
    size_t at;
};
double note_get(const void *recipe, const struct note_field *field);
/* False: the checkpoint has none, and nothing is taken. */
bool note_take(void *recipe, const struct ssa_checkpoint *checkpoint, const struct note_field *field);
/* All of a group; false: not all were there. */
bool note_take_group(void *recipe, const struct ssa_checkpoint *checkpoint, const struct note_field *fields, int count,
                     int group);
json_t *note_json(const void *recipe, const struct note_field *fields, int count);
/* A number that other recipes would hardly have. */
uint64_t note_hash(const void *recipe, const struct note_field *fields, int count);

/* Adds "same_text" to a record: true, false, or null where it is not known. */
void note_add_same(const struct program *program, const struct train_note *note, json_t *record);

#endif

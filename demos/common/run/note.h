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
/* And words, to be freed; NULL if there are none. */
char *note_text(const struct ssa_checkpoint *checkpoint, const char *key);
/* To be freed; NULL: no memory. */
char *note_make(const struct settings *s);

/* Adds "same_text" to a record: true, false, or null where it is not known. */
void note_add_same(const struct program *program, const struct train_note *note, json_t *record);

#endif

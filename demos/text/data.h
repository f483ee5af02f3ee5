/* The text of a run: what struct program (../common/run/program.h) asks of data. */
#ifndef TEXT_DATA_H
#define TEXT_DATA_H

#include "text.h"
#include "vocabulary.h"

#include "run/settings.h"

/* What --tokens names: bytes, ids of token files of 16 and 32 bits, words. */
#define DATA_TOKEN_NAMES TEXT_TOKEN_NAMES "|words"
enum { DATA_BYTES, DATA_WORDS = 3, DATA_UNKNOWN = -1 };

#define DATA_FAMILY_NAMES "gpt|words"
extern int data_family; /* --family, its number */

/* Options: --tokens (DATA_UNKNOWN: not said), --least, --dictionary. */
extern int data_tokens, data_least;
extern const char *data_dictionary;
extern const struct unit *const data_units[];

/* --family and --preset, by which there are others; once, before all else. */
void data_look(int argc, char **argv);

void data_defaults(struct train_options *o);
void data_adapt(struct train_options *o, const struct preset *preset);
int data_open(struct settings *s);
void data_close(struct settings *s);
void data_describe(const struct settings *s, json_t *start);
void data_note(const struct settings *s, json_t *note);
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory);
struct ssa_data data_invent(const struct settings *s);
void data_describe_model(const struct ssa_model_config *model, char *text, size_t size);

/* What the checkpoint was trained on; where its note does not say, bytes if it can be. */
int trained_tokens(const struct ssa_checkpoint *checkpoint);
/* Its words, and none with 0: it has none. Says what is wrong with them and returns non-zero. */
int trained_words(const struct ssa_checkpoint *checkpoint, const char *name, struct vocabulary *words);

#endif

/* The text of a run: what struct program (../common/run/program.h) asks of data. */
#ifndef TEXT_DATA_H
#define TEXT_DATA_H

#include "text.h"

#include "run/settings.h"

/* --tokens: a number of TEXT_TOKEN_NAMES; -1: not said. */
extern int data_tokens;
extern const struct unit *const data_units[];

void data_defaults(struct train_options *o);
void data_adapt(struct train_options *o, const struct preset *preset);
int data_open(struct settings *s);
void data_close(struct settings *s);
void data_describe(const struct settings *s, json_t *start);
void data_note(const struct settings *s, json_t *note);
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory);
struct ssa_data data_invent(const struct settings *s);
void data_describe_model(const struct ssa_model_config *model, char *text, size_t size);

/* Bytes of a token that the checkpoint was trained on: 1, 2, 4. Where the note does not say, 1 if it can be, else 0. */
int trained_token_size(const struct ssa_checkpoint *checkpoint);

#endif

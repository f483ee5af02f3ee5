/* The pictures of a run: what struct program (../common/run/program.h) asks of data. */
#ifndef IMAGE_DATA_H
#define IMAGE_DATA_H

#include "recipe.h"

#include "run/settings.h"

/* Of the command line, before its options are read: which family, by --family, or that of --preset; and which kind of
 * augmentation. */
void data_look(int argc, char **argv);

/* The options of `train`, and those of `eval`. */
const struct arg *data_train_options(void);
extern int data_threads;
#define DATA_THREADS_HELP "threads that prepare pictures ahead; 0: a step's are prepared when they are wanted"

extern const struct unit *const data_units[];

void data_defaults(struct train_options *o);
void data_adapt(struct train_options *o, const struct preset *preset);
int data_open(struct settings *s);
void data_close(struct settings *s);
void data_describe(const struct settings *s, json_t *start);
void data_note(const struct settings *s, json_t *note);
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory);
struct ssa_data data_invent(const struct settings *s);
void data_account(const struct settings *s, json_t *record, double seconds, bool ends);
void data_describe_model(const struct ssa_model_config *model, char *text, size_t size);

/* The data set that was opened. */
const struct dataset *data_set(void);

#endif

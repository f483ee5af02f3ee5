/* The molecules of a run: what struct program (../common/run/program.h) asks of data. */
#ifndef GRAPH_DATA_H
#define GRAPH_DATA_H

#include "parts.h"
#include "recipe.h"
#include "source.h"

#include "run/settings.h"

/* The options of `train`. */
const struct arg *data_train_options(void);

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

/* What was opened: all graphs, those of a part, and what makes the target of what a model answers. */
const struct graphs *data_graphs(void);
const uint32_t *data_part(enum data_part part);
const struct recipe *data_recipe(void);
/* What the model reads of a graph. */
struct graph_shape data_shape(const struct ssa_model_config *model);
/* Whether the graphs are of the ids and values that the model knows; says if not. `name` is what it is called. */
int data_check_vocabulary(const struct graphs *g, const struct ssa_model_config *model, const char *name);
/* "gap, in eV" */
const char *data_target(const struct graphs *g, char text[64]);

#endif

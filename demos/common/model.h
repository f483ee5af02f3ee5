/* Models by the tables of their families (ssa_model_fields()): their fields as options and as JSON. */
#ifndef DEMO_MODEL_H
#define DEMO_MODEL_H

#include "args.h"

#include <jansson.h>
#include <ssacl/model.h>

#include <stdbool.h>

/* What a program has to say of a field that its family has not. A list of them ends with a field of NULL. */
struct model_option {
    const char *field;
    int letter;
    double least;     /* in place of the table's, with: */
    const char *help; /* NULL: both are the table's */
    bool hidden;      /* the program has no such option */
};
/* Which fields are options: all but what `own` hides, or those of `own` alone. */
enum model_choice { MODEL_ALL, MODEL_OWN };

/* An option for each such field of the config's family, which sets it there: into `args`, of which there are no more than
 * `room`. Returns how many they are. Their names live until the next call. `own` may be NULL. */
int model_args(struct ssa_model_config *config, enum model_choice choice, const struct model_option *own,
               struct arg *args, int room);
/* Where zero is a word of its own (default|gelu|...), what it stands for. */
void model_choose(struct ssa_model_config *config);
/* All fields, with what zero means filled in: choices are words, yes or no is true or false. */
json_t *model_json(const struct ssa_model_config *config);

/* A whole number of the config by the name of its field; 0 if its family has none of the name. Zero is filled in. Of a
 * field that is an array the first, or the one at `at`. */
int model_int(const struct ssa_model_config *config, const char *field);
int model_int_at(const struct ssa_model_config *config, const char *field, int at);
/* "4", or "2,2,6,2". */
const char *model_ints(const struct ssa_model_config *config, const char *field, char text[64]);
/* Whether the first position is a class token. */
bool model_has_class_token(const struct ssa_model_config *config);
/* Whether a query sees no later keys. */
bool model_is_causal(const struct ssa_model_config *config);

/* Stages of layers, of which a family whose layers are all alike has one; and the one that a layer is in. */
int model_stages(const struct ssa_model_config *config);
int model_stage(const struct ssa_model_config *config, int layer);
/* Leaves it so many of its layers, at least one of each stage, as many of one as of another while these have them, and
 * evenly spread: kept[i] is which layer i was. */
void model_shorten(struct ssa_model_config *config, int layers, int *kept);

#endif

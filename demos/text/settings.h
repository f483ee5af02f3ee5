/* What a run is of, its text, its model, its training: from the command line, and what a checkpoint knows, from it. */
#ifndef TEXT_SETTINGS_H
#define TEXT_SETTINGS_H

#include "train_options.h"

struct settings {
    const struct train_options *o;
    struct ssa_checkpoint *source; /* of --resume or --from, or NULL */
    int token_size;                /* bytes */
    struct text text;              /* empty where no --data was given, */
    size_t train_count;            /* and how many tokens of it are trained on */
    const struct unit *unit;       /* of losses */
    struct ssa_model_config model;
    struct ssa_train_config training;
    struct ssa_stage stages[STAGES_MAX]; /* of a run that is made longer */
    int micro_batch;
};

/* Says what is wrong and returns non-zero. */
int settings_make(struct settings *s, const struct train_options *o);
void settings_finish(struct settings *s);

/* Whether it fits one of the devices: those that it does not fit are left out of a run. Of none, the largest's reason;
 * with SSA_ENOMEM `memory` is what it would take. */
int settings_fit(const struct settings *s, const struct ssa_pool *pool, struct ssa_memory *memory, char why[512]);

/* {"batch", "micro_batch", "tokens_per_step", "seed", "parameters", "model", "stages"} */
json_t *settings_json(const struct settings *s);

#endif

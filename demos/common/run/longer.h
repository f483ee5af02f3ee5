/* A run that is resumed and made longer. */
#ifndef RUN_LONGER_H
#define RUN_LONGER_H

#include "options.h"

/* Puts `config`'s stages (those of the checkpoint) into `stages`, then what the options add to them: `more`, which
 * --stages said, or one stage more up to --steps in all, which goes on as the last one ended. Says why not, or returns
 * 0. */
int make_longer(const struct train_options *o, const struct ssa_stage *more, struct ssa_train_config *config,
                struct ssa_stage stages[STAGES_MAX]);

#endif

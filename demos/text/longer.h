/* A run that is resumed and made longer. */
#ifndef TEXT_LONGER_H
#define TEXT_LONGER_H

#include "train_options.h"

/* Puts `config`'s stages (those of the checkpoint) into `stages`, then what the options add to them: --stages, or one
 * stage more up to --steps in all, which goes on as the last one ended. Says why not, or returns 0. */
int make_longer(const struct train_options *o, struct ssa_train_config *config, struct ssa_stage stages[STAGES_MAX]);

#endif

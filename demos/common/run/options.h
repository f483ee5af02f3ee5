/* What `train` is told, and `plan`. */
#ifndef RUN_OPTIONS_H
#define RUN_OPTIONS_H

#include "program.h"
#include "stages.h"

#include <ssacl/pool.h>
#include <stdbool.h>

struct train_options {
    struct arg_list data;
    struct ssa_model_config model;
    struct ssa_train_config training; /* with as many stages as there are `stages` */
    struct stage stages[STAGES_MAX];
    int steps_in_all, more_stages; /* of a run that is resumed: how long it is to be, 0: as before; `stages` are added */
    int micro_batch;
    int precision; /* enum ssa_precision; -1: not said */
    struct ssa_pool_config pool; /* but for that */
    const char *checkpoint, *resume, *from, *log, *device;
    const char *best; /* where the parameters of the least validation loss are kept, or NULL */
    int patience, best_sampled;
    int every, log_every, eval_every, eval_windows, profile, keep_stages;
    double measure; /* seconds that `plan` may take for a stage, about; 0: it does not measure */
    int alone, force, json, quiet, verbose;
};

/* Whether --alone is among them: known before the others are read, since ranks join before anything is said. */
bool train_is_alone(int argc, char **argv);
/* ARGS_GO, or the exit status. To `plan` a run there need be no data. The options live as long as the program. */
int train_options_parse(const struct train_options **parsed, const struct program *program, bool plan, int argc,
                        char **argv);

#endif

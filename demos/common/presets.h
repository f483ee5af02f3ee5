/* Whole configurations by name: a model and how it is trained. One table, in presets.c. */
#ifndef DEMO_PRESETS_H
#define DEMO_PRESETS_H

#include <ssacl/train.h>

struct preset {
    const char *name, *about; /* a line for people */
    struct ssa_model_config model;
    int batch, accumulate;            /* sequences in a pass, passes in a step */
    struct ssa_train_config training; /* without stages and batch */
    struct ssa_stage stage;           /* its warm-up is a twentieth of it; then: */
    int fine_tune;                    /* so many dense steps, */
    float fine_tune_lr;
};

#define PRESET_HELP \
    "a whole configuration, model and training, by name; options beside it count over it. help: lists them"

/* What --preset names; for "help", and for a name of none, all are listed and NULL is returned: `status` is how the
 * program ends then. */
const struct preset *preset_find(const char *name, int *status);

#endif

/* Whole configurations by name: a model and how it is trained. One table, in presets.c. */
#ifndef DEMO_PRESETS_H
#define DEMO_PRESETS_H

#include <ssacl/train.h>

#include <stdbool.h>

struct preset {
    const char *name, *about; /* a line for people */
    struct ssa_model_config model;
    int batch, accumulate;            /* sequences in a pass, passes in a step */
    struct ssa_train_config training; /* without stages and batch */
    struct ssa_stage stage;           /* its warm-up is a twentieth of it; then: */
    int fine_tune;                    /* so many dense steps, */
    float fine_tune_lr;
    const char *augmentation; /* of pictures, or how else data are learned: a word of the program's, or NULL */
};

/* Whether it names one of a model of this family. */
bool preset_is_of(const char *name, int family);

#define PRESET_HELP \
    "a whole configuration, model and training, by name; options beside it count over it. help: lists them"

/* What --preset names, of a model of these families (1 << SSA_GPT | ...); for "help", and for a name of none, all of
 * them are listed and NULL is returned: `status` is how the program ends then. */
const struct preset *preset_find(const char *name, unsigned families, int *status);

#endif

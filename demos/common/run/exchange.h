/* Commands import and export: weights that another program saved become a checkpoint, and a model is written with that
 * program's names. What a program has of its own for them. */
#ifndef RUN_EXCHANGE_H
#define RUN_EXCHANGE_H

#include "program.h"

struct files;

struct exchange {
    struct page importing, exporting; /* of --help, and options of import besides those that all have */
    void (*reads)(struct files *files); /* NULL, or adds files that those name */
    /* Makes the checkpoint `to` of the weights in `from`. Both say what is wrong and return non-zero. */
    int (*take)(const struct program *program, const char *from, const char *to);
    /* Writes those of a model, which errors call `name`. */
    int (*write)(const struct loaded *loaded, const char *name, const char *to);
    /* What makes such a model in that program, as which people and JSON are told it: "timm". */
    const char *program;
    void (*describe)(const struct ssa_model_config *config, char *text, size_t size);
};

#endif

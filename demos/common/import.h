/* Weights of another program, tensors of a safetensors file of float32, made a checkpoint of ours. */
#ifndef DEMO_IMPORT_H
#define DEMO_IMPORT_H

#include "safetensors.h"

#include <ssacl/model.h>

struct import {
    const void *options; /* the caller's */
    const char *note;    /* of the checkpoint, or NULL */
    const char *passing; /* NULL, or the folder of $TMPDIR where it lies for a while: where it cannot be written that is
                            said, not the name of a file that nobody knows */
    struct tensors file;
    struct ssa_model_config config;
    const char *called;   /* "vit": models that have such tensors */
    uint64_t begun, seed; /* values that the file need not have, and what they begin by */
};

/* `settle` makes the config, and checks it; `read` writes the parameters, and takes out of the header what the model
 * has: what is left there is of another model. No more is allocated than the file is large. Nothing in the file is
 * believed. Each says what is wrong and returns non-zero, as this does; `to` is what it was then. */
int import_weights(struct import *w, const char *from, const char *to, int (*settle)(struct import *w),
                   int (*read)(struct import *w, struct ssa_model *model));

/* The `count` values of a tensor, of this shape, which it takes (NULL: no memory); all must be finite. Says what is
 * wrong and returns non-zero. */
int import_values(const struct import *w, const char *name, json_t *shape, float *x, size_t count);

#endif

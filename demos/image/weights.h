/* ssacl-image import and export: weights from and to timm; and files of timm's wherever a checkpoint is taken. */
#ifndef IMAGE_WEIGHTS_H
#define IMAGE_WEIGHTS_H

#include "run/exchange.h"

extern const struct exchange weights_exchange;

/* struct program's adopt(): opens weights of timm's as a checkpoint. */
int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path);
/* In place of one that it opened: with a new head, of `classes`, begun by `seed`. A checkpoint of ours stays what it
 * is. */
int weights_new_head(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path, int classes,
                     uint64_t seed);

#endif

/* ssacl-text import and export: weights from and to fairseq; and files of fairseq's wherever a checkpoint is taken. */
#ifndef TEXT_WEIGHTS_H
#define TEXT_WEIGHTS_H

#include "run/exchange.h"

extern const struct exchange weights_exchange;

/* struct program's adopt(): opens weights of fairseq's as a checkpoint. */
int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path);

#endif

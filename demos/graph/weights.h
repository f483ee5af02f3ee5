/* Weights of the authors' EGT (egt_pytorch): as a checkpoint, and written again. */
#ifndef GRAPH_WEIGHTS_H
#define GRAPH_WEIGHTS_H

#include "run/exchange.h"

/* struct program's: a file of such weights becomes a checkpoint as `import` makes one. */
int weights_adopt(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path);

extern const struct exchange weights_exchange;

#endif

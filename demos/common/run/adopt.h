/* What another program wrote, opened as a checkpoint: by way of a file that nobody else sees, since what reads checkpoints
 * reads files. */
#ifndef RUN_ADOPT_H
#define RUN_ADOPT_H

#include "program.h"

/* `import` makes the checkpoint `to`, which lies in `folder` for a while, of `path`; or it says what is wrong and returns
 * non-zero, as this does. */
typedef int (*adopt_import)(const char *path, const char *to, const char *folder, const void *options);
int adopt_file(struct ssa_checkpoint **checkpoint, const struct program *program, const char *path,
               adopt_import import, const void *options);

#endif

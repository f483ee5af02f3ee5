/* A part of a data set as the library asks for it (struct ssa_data): batches from loaders, one for training, one in
 * order for evaluations. */
#ifndef IMAGE_SOURCE_H
#define IMAGE_SOURCE_H

#include "loader.h"

#include <ssacl/data.h>

struct source {
    const struct dataset *data;
    enum dataset_part part;
    struct augment augment; /* of training; evaluation has its augment_evaluation() */
    int batch, micro_batch; /* of a training step; that evaluations ask for at once, at most */
    int threads;
    bool tokens;            /* the model reads pixels as tokens, with labels perhaps */
    int classes;            /* of the model */
    struct loader *training, *in_order; /* NULL: not made yet */
    unsigned char *bytes;   /* of a batch, as tokens */
    size_t capacity;
};

/* ssa_data.fill; the cookie is a struct source, of one thread. */
int source_fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch);
void source_close(struct source *source);

#endif

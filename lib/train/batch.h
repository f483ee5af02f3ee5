/* Host memory for what a pass is given (struct ssa_batch): which of its arrays there are, and how much of each a
 * sequence takes, follows from the net's inputs. */
#ifndef SSA_TRAIN_BATCH_H
#define SSA_TRAIN_BATCH_H

#include "ssacl/data.h"
#include "ssacl/model.h"

#include <stdbool.h>

enum { SSA_BATCH_ARRAYS = 5 }; /* of struct ssa_batch */

/* Bytes of a sequence in each of a batch's arrays, in their order; 0: the net reads no such thing. */
struct ssa_batch_layout {
    size_t bytes[SSA_BATCH_ARRAYS];
};
struct ssa_batch_layout ssa_batch_layout(const struct ssa_model *m, bool soft); /* of targets only one kind */
bool ssa_batch_has_soft(const struct ssa_batch_layout *layout);

/* Zeroed. */
int ssa_batch_create(struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count);
void ssa_batch_finish(struct ssa_batch *batch);
/* The batch from sequence `first` on: the same memory. */
struct ssa_batch ssa_batch_from(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int first);
void ssa_batch_copy(const struct ssa_batch *to, const struct ssa_batch *from, const struct ssa_batch_layout *layout,
                    int count);
/* `count` sequences of which nothing is asked: zeroes, and no targets. */
void ssa_batch_clear(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count);
/* Gives a pass the batch's arrays. */
void ssa_batch_give(const struct ssa_batch *batch, struct ssa_pass *pass);

#endif

/* Host memory for what a pass is given (struct ssa_batch): which of its arrays there are, and how much of each a
 * sequence takes, follows from the net's inputs. */
#ifndef SSA_TRAIN_BATCH_H
#define SSA_TRAIN_BATCH_H

#include "ssacl/data.h"
#include "ssacl/model.h"
#include "net/net.h"

#include <stdbool.h>

enum { SSA_BATCH_ARRAYS = 11 }; /* of struct ssa_batch */

/* What a sequence takes in each of a batch's arrays, in their order, zeroes where the net reads no such thing; and the
 * model's length. A batch is laid out by its own. */
struct ssa_batch_layout {
    struct ssa_given given[SSA_BATCH_ARRAYS];
    int length;
};
struct ssa_batch_layout ssa_batch_layout(const struct ssa_model *m, bool soft); /* of targets only one kind */
bool ssa_batch_has_soft(const struct ssa_batch_layout *layout);

/* Zeroed, of the model's length: there is room for any. */
int ssa_batch_create(struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count);
void ssa_batch_finish(struct ssa_batch *batch);
/* The batch from sequence `first` on: the same memory. */
struct ssa_batch ssa_batch_from(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int first);
void ssa_batch_copy(struct ssa_batch *to, const struct ssa_batch *from, const struct ssa_batch_layout *layout,
                    int count);
/* `count` sequences of which nothing is asked: zeroes, and no targets. */
void ssa_batch_clear(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count);
/* The same sequences in a batch of more positions: what is added is zeroes. */
void ssa_batch_widen(const struct ssa_batch *to, const struct ssa_batch *from, const struct ssa_batch_layout *layout,
                     int count);
/* Gives a pass the batch's arrays and length. */
void ssa_batch_give(const struct ssa_batch *batch, struct ssa_pass *pass);

#endif

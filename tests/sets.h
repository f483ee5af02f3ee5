/* A family of tests whose sequences are of mixed size: small sets of nodes behind virtual nodes, whose embedding and head
 * of values are computed on the host. And where such sets come from. */
#ifndef SSA_TEST_SETS_H
#define SSA_TEST_SETS_H

#include "harness.h"
#include "ssacl/train.h"

enum { SETS_NODES = 13, SETS_LEAD = 2, SETS_LENGTH = SETS_LEAD + SETS_NODES, SETS_WIDTH = 16, SETS_LAYERS = 3,
       SETS_IDS = 2, SETS_VALUES = 5, SETS_NODE_IDS = 1 + SETS_IDS * SETS_VALUES, SETS_ENCODINGS = 3, SETS_EDGE_IDS = 2,
       SETS_HOPS = 4, SETS_TARGETS = 2, SETS_CLASSES = 4 };

/* What the head says: values of a set, whose loss is |x - t| or its square; or a class at every position. */
enum sets_head { SETS_OF_VALUES, SETS_OF_SQUARES, SETS_OF_CLASSES };
struct ssa_model_config sets_model(enum sets_head head, float dropout); /* until the next call */

/* Set `number`: its nodes, 0 to SETS_NODES. */
int sets_size(size_t number);
/* Fills arrays of a batch of batch->length with these sets. */
enum sets_padding { SETS_ZEROES, SETS_JUNK };
void sets_fill(const struct ssa_batch *batch, const size_t *numbers, int count, enum sets_padding padding);
/* The least length that they take. */
int sets_length(const size_t *numbers, int count);

/* Which set is number `i` of a draw, of the first `sets`: anything in training, in evaluations as they lie. */
size_t sets_drawn(const struct ssa_draw *draw, int i, int sets);

/* Memory for a batch of up to `count` sets of up to SETS_LENGTH; free it with the same. */
struct ssa_batch sets_batch(int count);
void sets_free(struct ssa_batch *batch);
struct ssa_pass sets_pass(const struct ssa_batch *batch, int count, enum sets_head head);

#endif

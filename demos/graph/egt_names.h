/* Which of their tensors are what of our parameters. */
#ifndef GRAPH_EGT_NAMES_H
#define GRAPH_EGT_NAMES_H

#include "safetensors.h"

#include <ssacl/model.h>

#include <stdbool.h>

enum egt_kind {
    EGT_PLAIN,   /* the same array */
    EGT_PADDED,  /* a table whose row 0 is nothing: zeroes */
    EGT_QKV,     /* of its thirds q, k and v, row c is of head c mod H there, of head c div (C/H) here */
    EGT_HEADS,   /* so are its columns */
    EGT_SECOND   /* the second half of rows; that of the first is plain */
};
struct egt_place {
    char theirs[TENSOR_NAME], ours[TENSOR_NAME];
    enum egt_kind kind;
    int rows, columns; /* columns 0: a vector */
};

/* All of their tensors of such a model: to be freed. NULL: no memory. */
struct egt_place *egt_places(const struct ssa_model_config *config, int *count);
size_t egt_place_count(const struct egt_place *place);

/* From their layout to ours, or back: [rows, columns] in place. False: no memory. */
bool egt_turn(const struct egt_place *place, float *x, int heads, bool to_ours);

#endif

/* What fairseq calls our parameters, and what shapes they have there. */
#ifndef TEXT_FAIRSEQ_NAMES_H
#define TEXT_FAIRSEQ_NAMES_H

#include "safetensors.h"

#include <ssacl/model.h>

/* One of its tensors: rows of a parameter of ours, from `first` on: queries, keys and values have one each there. */
struct fairseq_tensor {
    char name[TENSOR_NAME];
    int first, rows, columns; /* columns 0: a vector */
};
enum { FAIRSEQ_PIECES = 3 };
/* Those of the parameter, of which there are so many. */
int fairseq_pieces(const struct ssa_parameter *p, struct fairseq_tensor pieces[FAIRSEQ_PIECES]);
/* Where the softmax has the same once more: false, it has not. */
bool fairseq_tied(const struct ssa_parameter *p, char name[TENSOR_NAME]);

/* What models of fairseq's have that ours have not: NULL, or what it is that a tensor of this name says. */
const char *fairseq_variant(const char *name);
/* Whether it is a buffer that holds nothing. */
bool fairseq_is_buffer(const char *name);

#endif

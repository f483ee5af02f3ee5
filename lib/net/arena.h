/* Memory planned ahead: tensors are placed one after another, the sum is known before anything is allocated, and one
 * buffer holds all of it unless the device (or the caller) limits a single one. */
#ifndef SSA_NET_ARENA_H
#define SSA_NET_ARENA_H

#include "ssacl/tensor.h"

struct ssa_place {
    int buffer;    /* counts from 0 */
    size_t offset; /* elements */
};

struct ssa_arena {
    size_t limit; /* elements of the largest buffer; 0 means no limit */
    size_t *sizes;
    struct ssa_buffer **buffers; /* NULL until allocated */
    int count;
};

/* `count` elements with what is left of their last cache line: where the next tensor is placed. */
size_t ssa_arena_padded(size_t count);
/* Places a tensor of `count` elements, aligned to a cache line. `what` names it in errors. */
int ssa_arena_place(struct ssa_arena *arena, size_t count, const char *what, struct ssa_place *place);
/* An arena, not yet allocated, in which everything that was placed in `of` has the same place. */
int ssa_arena_copy_layout(struct ssa_arena *arena, const struct ssa_arena *of);
/* SIZE_MAX where it is more than can be addressed. */
size_t ssa_arena_bytes(const struct ssa_arena *arena);
int ssa_arena_allocate(struct ssa_arena *arena, struct ssa_device *device);
int ssa_arena_fill(const struct ssa_arena *arena, float value);
struct ssa_tensor ssa_arena_at(const struct ssa_arena *arena, struct ssa_place place);
/* Frees what was allocated; what was placed stays so. */
void ssa_arena_release(struct ssa_arena *arena);
void ssa_arena_finish(struct ssa_arena *arena);

#endif

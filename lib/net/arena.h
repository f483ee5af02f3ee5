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

/* On the host an arena is its buffers end to end, and so the same however they are cut: element `number` of all of them.
 * What is between tensors is zeroes. */
size_t ssa_arena_elements(const struct ssa_arena *arena);
size_t ssa_arena_number(const struct ssa_arena *arena, struct ssa_place place);
int ssa_arena_read(const struct ssa_arena *arena, size_t first, size_t count, float *to);
int ssa_arena_write(const struct ssa_arena *arena, size_t first, size_t count, const float *from);
/* A read that is enqueued, and what is waited for then: all of them, whatever became of them. No ticket is added where
 * it is done at once. */
struct ssa_tickets {
    struct ssa_ticket **list;
    int count, capacity;
};
int ssa_arena_fetch(const struct ssa_arena *arena, size_t first, size_t count, float *to, struct ssa_tickets *tickets);
int ssa_tickets_await(struct ssa_tickets *tickets, struct ssa_device *device);
void ssa_tickets_finish(struct ssa_tickets *tickets);
/* What of `count` elements from `first` on lies in one buffer: so many, in *tensor. */
size_t ssa_arena_piece(const struct ssa_arena *arena, size_t first, size_t count, struct ssa_tensor *tensor);
/* All of an arena into another of its layout. Enqueued. */
int ssa_arena_copy(const struct ssa_arena *to, const struct ssa_arena *from);
/* `count` elements from `first` on: to += x, in arenas of one layout. Enqueued. */
int ssa_arena_add(struct ssa_device *device, const struct ssa_arena *to, const struct ssa_arena *x, size_t first,
                  size_t count);
/* Frees what was allocated; what was placed stays so. */
void ssa_arena_release(struct ssa_arena *arena);
void ssa_arena_finish(struct ssa_arena *arena);

#endif

#include "arena.h"
#include "impl.h"
#include "ssacl/ops.h"

#include <stdlib.h>

enum { LINE = 16 }; /* elements of a cache line */

size_t ssa_arena_padded(size_t count)
{
    return (count + LINE - 1) / LINE * LINE;
}

static int add_buffer(struct ssa_arena *arena)
{
    size_t *sizes = realloc(arena->sizes, ((size_t)arena->count + 1) * sizeof *sizes);
    if (!sizes)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    arena->sizes = sizes;
    sizes[arena->count++] = 0;
    return SSA_OK;
}

int ssa_arena_place(struct ssa_arena *arena, size_t count, const char *what, struct ssa_place *place)
{
    int err = SSA_OK;
    size_t limit = arena->limit ? arena->limit : SIZE_MAX / 8;
    if (count > limit - LINE)
        return ssa_fail(SSA_ENOMEM, "model: %s takes %.1f MiB, one allocation may be at most %.1f MiB; use a smaller "
                        "batch, length or width", what, (double)count * 4 / 1048576.0, (double)limit * 4 / 1048576.0);
    count = ssa_arena_padded(count);
    if (!arena->count || count > limit - arena->sizes[arena->count - 1])
        TRY(add_buffer(arena));
    *place = (struct ssa_place){arena->count - 1, arena->sizes[arena->count - 1]};
    arena->sizes[place->buffer] += count;
done:
    return err;
}

size_t ssa_arena_bytes(const struct ssa_arena *arena)
{
    size_t sum = 0;
    for (int i = 0; i < arena->count; i++)
        sum = ssa_plus(sum, ssa_times(arena->sizes[i], 4));
    return sum;
}

int ssa_arena_allocate(struct ssa_arena *arena, struct ssa_device *device)
{
    int err = SSA_OK;
    arena->buffers = calloc((size_t)arena->count + 1, sizeof(struct ssa_buffer *));
    if (!arena->buffers)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int i = 0; i < arena->count; i++)
        TRY(ssa_buffer_create(&arena->buffers[i], device, arena->sizes[i] * sizeof(float)));
done:
    return err;
}

int ssa_arena_fill(const struct ssa_arena *arena, float value)
{
    int err = SSA_OK;
    for (int i = 0; i < arena->count; i++)
        TRY(ssa_tensor_fill(ssa_tensor_at(arena->buffers[i], 0), value, arena->sizes[i]));
done:
    return err;
}

struct ssa_tensor ssa_arena_at(const struct ssa_arena *arena, struct ssa_place place)
{
    return ssa_tensor_at(arena->buffers[place.buffer], place.offset);
}

/* ---- end to end ---- */

size_t ssa_arena_number(const struct ssa_arena *arena, struct ssa_place place)
{
    size_t number = place.offset;
    for (int i = 0; i < place.buffer; i++)
        number += arena->sizes[i];
    return number;
}

size_t ssa_arena_elements(const struct ssa_arena *arena)
{
    return ssa_arena_number(arena, (struct ssa_place){arena->count, 0});
}

size_t ssa_arena_piece(const struct ssa_arena *arena, size_t first, size_t count, struct ssa_tensor *tensor)
{
    int i = 0;
    while (first >= arena->sizes[i])
        first -= arena->sizes[i++];
    *tensor = ssa_tensor_at(arena->buffers[i], first);
    return count < arena->sizes[i] - first ? count : arena->sizes[i] - first;
}

/* To the host, or where `to` is NULL from it. */
static int move(const struct ssa_arena *arena, size_t first, size_t count, float *to, const float *from)
{
    int err = SSA_OK;
    for (size_t at = 0, n; at < count; at += n) {
        struct ssa_tensor piece;
        n = ssa_arena_piece(arena, first + at, count - at, &piece);
        TRY(to ? ssa_tensor_read(piece, to + at, n) : ssa_tensor_write(piece, from + at, n));
    }
done:
    return err;
}

int ssa_arena_read(const struct ssa_arena *arena, size_t first, size_t count, float *to)
{
    return move(arena, first, count, to, NULL);
}

int ssa_arena_write(const struct ssa_arena *arena, size_t first, size_t count, const float *from)
{
    return move(arena, first, count, NULL, from);
}

static int make_room(struct ssa_tickets *t)
{
    const int capacity = t->capacity ? 2 * t->capacity : 4;
    struct ssa_ticket **list;
    if (t->count < t->capacity)
        return SSA_OK;
    list = realloc(t->list, (size_t)capacity * sizeof(struct ssa_ticket *));
    if (!list)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    t->list = list;
    t->capacity = capacity;
    return SSA_OK;
}

int ssa_arena_fetch(const struct ssa_arena *arena, size_t first, size_t count, float *to, struct ssa_tickets *tickets)
{
    int err = SSA_OK;
    for (size_t at = 0, n; at < count; at += n) {
        struct ssa_tensor piece;
        n = ssa_arena_piece(arena, first + at, count - at, &piece);
        TRY(make_room(tickets));
        TRY(ssa_tensor_fetch(piece, to + at, n, &tickets->list[tickets->count]));
        tickets->count += tickets->list[tickets->count] != NULL;
    }
done:
    return err;
}

int ssa_tickets_await(struct ssa_tickets *t, struct ssa_device *device)
{
    int err = SSA_OK;
    for (int i = 0; i < t->count; i++) {
        const int status = ssa_tensor_await(device, t->list[i]);
        err = err ? err : status;
    }
    t->count = 0;
    return err;
}

void ssa_tickets_finish(struct ssa_tickets *t)
{
    free(t->list);
    *t = (struct ssa_tickets){0};
}

int ssa_arena_copy(const struct ssa_arena *to, const struct ssa_arena *from)
{
    int err = SSA_OK;
    for (int i = 0; i < to->count; i++)
        TRY(ssa_tensor_copy(ssa_tensor_at(to->buffers[i], 0), ssa_tensor_at(from->buffers[i], 0), to->sizes[i]));
done:
    return err;
}

int ssa_arena_add(struct ssa_device *device, const struct ssa_arena *to, const struct ssa_arena *x, size_t first,
                  size_t count)
{
    int err = SSA_OK;
    for (size_t at = 0, n; at < count; at += n) {
        struct ssa_add add = {.count = 0};
        add.count = n = ssa_arena_piece(to, first + at, count - at, &add.y);
        ssa_arena_piece(x, first + at, n, &add.x);
        add.out = add.y;
        TRY(ssa_add(device, &add));
    }
done:
    return err;
}

int ssa_arena_copy_layout(struct ssa_arena *arena, const struct ssa_arena *of)
{
    *arena = (struct ssa_arena){.limit = of->limit};
    for (int i = 0; i < of->count; i++) {
        int err = add_buffer(arena);
        if (err)
            return err;
        arena->sizes[i] = of->sizes[i];
    }
    return SSA_OK;
}

void ssa_arena_release(struct ssa_arena *arena)
{
    for (int i = 0; arena->buffers && i < arena->count; i++)
        ssa_buffer_destroy(arena->buffers[i]);
    free(arena->buffers);
    arena->buffers = NULL;
}

void ssa_arena_finish(struct ssa_arena *arena)
{
    ssa_arena_release(arena);
    free(arena->sizes);
    *arena = (struct ssa_arena){0};
}

#include "batch.h"
#include "impl.h"
#include "net/net.h"

#include <stdlib.h>
#include <string.h>

/* Where a batch and a pass have the address of the same array. */
static const struct {
    size_t batch, pass;
} arrays[SSA_BATCH_ARRAYS] = {
    {offsetof(struct ssa_batch, tokens), offsetof(struct ssa_pass, tokens)},
    {offsetof(struct ssa_batch, targets), offsetof(struct ssa_pass, targets)},
    {offsetof(struct ssa_batch, labels), offsetof(struct ssa_pass, labels)},
    {offsetof(struct ssa_batch, pixels), offsetof(struct ssa_pass, pixels)},
    {offsetof(struct ssa_batch, soft_targets), offsetof(struct ssa_pass, soft_targets)},
    {offsetof(struct ssa_batch, lengths), offsetof(struct ssa_pass, lengths)},
    {offsetof(struct ssa_batch, nodes), offsetof(struct ssa_pass, nodes)},
    {offsetof(struct ssa_batch, encodings), offsetof(struct ssa_pass, encodings)},
    {offsetof(struct ssa_batch, edges), offsetof(struct ssa_pass, edges)},
    {offsetof(struct ssa_batch, hops), offsetof(struct ssa_pass, hops)},
    {offsetof(struct ssa_batch, values), offsetof(struct ssa_pass, values)},
};

static void *get(const struct ssa_batch *batch, int i)
{
    void *memory;
    memcpy(&memory, (const char *)batch + arrays[i].batch, sizeof memory);
    return memory;
}

static void set(struct ssa_batch *batch, int i, void *memory)
{
    memcpy((char *)batch + arrays[i].batch, &memory, sizeof memory);
}

struct ssa_batch_layout ssa_batch_layout(const struct ssa_model *m, bool soft)
{
    const size_t left_out = soft ? offsetof(struct ssa_pass, targets) : offsetof(struct ssa_pass, soft_targets);
    struct ssa_batch_layout layout = {.length = 0};
    struct ssa_given given;
    for (int input = 0; ssa_model_given(m, input, &given); input++)
        for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
            if (arrays[i].pass == given.from && given.from != left_out)
                layout.given[i] = given;
    layout.length = ssa_model_facts(ssa_model_config(m)).length;
    return layout;
}

static size_t positions(const struct ssa_given *given, int length)
{
    return length > given->lead ? (size_t)(length - given->lead) : 0;
}

/* Of a sequence of `length` positions in array `i`; 0: there is no such array. */
static size_t bytes(const struct ssa_batch_layout *layout, int i, int length)
{
    const struct ssa_given *given = &layout->given[i];
    const size_t n = positions(given, length);
    return given->sequence + n * given->position + n * n * given->pair;
}

static bool has(const struct ssa_batch_layout *layout, int i)
{
    return bytes(layout, i, layout->length) > 0;
}

bool ssa_batch_has_soft(const struct ssa_batch_layout *layout)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (arrays[i].pass == offsetof(struct ssa_pass, soft_targets))
            return has(layout, i);
    return false;
}

int ssa_batch_create(struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count)
{
    *batch = (struct ssa_batch){.length = layout->length};
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++) {
        const size_t each = bytes(layout, i, layout->length);
        void *memory = each ? calloc((size_t)count, each) : NULL;
        if (each && !memory) {
            ssa_batch_finish(batch);
            return ssa_fail(SSA_ENOMEM, "data: out of host memory for %d sequences of %zu bytes", count, each);
        }
        set(batch, i, memory);
    }
    return SSA_OK;
}

void ssa_batch_finish(struct ssa_batch *batch)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        free(get(batch, i));
    *batch = (struct ssa_batch){0};
}

struct ssa_batch ssa_batch_from(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int first)
{
    struct ssa_batch from = {.length = batch->length};
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (has(layout, i))
            set(&from, i, (char *)get(batch, i) + (size_t)first * bytes(layout, i, batch->length));
    return from;
}

void ssa_batch_copy(struct ssa_batch *to, const struct ssa_batch *from, const struct ssa_batch_layout *layout,
                    int count)
{
    to->length = from->length;
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (has(layout, i))
            memcpy(get(to, i), get(from, i), (size_t)count * bytes(layout, i, from->length));
}

void ssa_batch_clear(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++) {
        const bool asks = arrays[i].batch == offsetof(struct ssa_batch, targets) ||
                          arrays[i].batch == offsetof(struct ssa_batch, values); /* all ones: -1, or no number */
        if (has(layout, i))
            memset(get(batch, i), asks ? 0xff : 0, (size_t)count * bytes(layout, i, batch->length));
    }
}

/* In rows as the sequence's array has them, of the shorter one's positions. */
static void widen(const struct ssa_given *given, char *to, int wide, const char *from, int length)
{
    const size_t n = positions(given, length), all = positions(given, wide), rows = given->pair ? n : 1;
    const size_t row = given->sequence + n * (given->position + given->pair);
    const size_t stride = given->sequence + all * (given->position + given->pair);
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * stride, from + i * row, row);
}

void ssa_batch_widen(const struct ssa_batch *to, const struct ssa_batch *from, const struct ssa_batch_layout *layout,
                     int count)
{
    ssa_batch_clear(to, layout, count);
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        for (int s = 0; s < count && has(layout, i); s++)
            widen(&layout->given[i], (char *)get(to, i) + (size_t)s * bytes(layout, i, to->length), to->length,
                  (const char *)get(from, i) + (size_t)s * bytes(layout, i, from->length), from->length);
}

void ssa_batch_give(const struct ssa_batch *batch, struct ssa_pass *pass)
{
    pass->length = batch->length;
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++) {
        const void *memory = get(batch, i);
        memcpy((char *)pass + arrays[i].pass, &memory, sizeof memory);
    }
}

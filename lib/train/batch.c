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
    struct ssa_batch_layout layout = {{0}};
    struct ssa_given given;
    for (int input = 0; ssa_model_given(m, input, &given); input++)
        for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
            if (arrays[i].pass == given.from && given.from != left_out)
                layout.bytes[i] = given.bytes;
    return layout;
}

bool ssa_batch_has_soft(const struct ssa_batch_layout *layout)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (arrays[i].pass == offsetof(struct ssa_pass, soft_targets))
            return layout->bytes[i];
    return false;
}

int ssa_batch_create(struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count)
{
    *batch = (struct ssa_batch){0};
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++) {
        void *memory = layout->bytes[i] ? calloc((size_t)count, layout->bytes[i]) : NULL;
        if (layout->bytes[i] && !memory) {
            ssa_batch_finish(batch);
            return ssa_fail(SSA_ENOMEM, "data: out of host memory for %d sequences of %zu bytes", count,
                            layout->bytes[i]);
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
    struct ssa_batch from = {0};
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (layout->bytes[i])
            set(&from, i, (char *)get(batch, i) + (size_t)first * layout->bytes[i]);
    return from;
}

void ssa_batch_copy(const struct ssa_batch *to, const struct ssa_batch *from, const struct ssa_batch_layout *layout,
                    int count)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (layout->bytes[i])
            memcpy(get(to, i), get(from, i), (size_t)count * layout->bytes[i]);
}

void ssa_batch_clear(const struct ssa_batch *batch, const struct ssa_batch_layout *layout, int count)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++)
        if (layout->bytes[i])
            memset(get(batch, i), arrays[i].batch == offsetof(struct ssa_batch, targets) ? 0xff : 0,
                   (size_t)count * layout->bytes[i]);
}

void ssa_batch_give(const struct ssa_batch *batch, struct ssa_pass *pass)
{
    for (int i = 0; i < SSA_BATCH_ARRAYS; i++) {
        const void *memory = get(batch, i);
        memcpy((char *)pass + arrays[i].pass, &memory, sizeof memory);
    }
}

#include "source.h"

#include <ssacl/base.h>

#include <stdlib.h>

enum { AHEAD = 2 };

static int make_loader(struct source *s, bool training)
{
    struct loader **loader = training ? &s->training : &s->in_order;
    const struct loader_options o = {.data = s->data, .part = s->part,
                                     .augment = training ? s->augment : augment_evaluation(&s->augment),
                                     .batch = training ? s->batch : s->micro_batch, .in_order = !training,
                                     .threads = s->threads, .ahead = AHEAD,
                                     .steps = training ? 0 : (int64_t)(s->data->part[s->part].count /
                                                                       (size_t)s->micro_batch + 1)};
    return *loader || !loader_create(loader, &o) ? SSA_OK : SSA_ENOMEM; /* it was said what is wrong */
}

static bool make_room(struct source *s, size_t size)
{
    if (size <= s->capacity)
        return true;
    free(s->bytes);
    s->bytes = malloc(size);
    s->capacity = s->bytes ? size : 0;
    return s->bytes != NULL;
}

/* Pixels as tokens, which are what they are to predict, too. */
static int fill_tokens(struct source *s, struct loader *l, int64_t step, int first, int count, int length,
                       const struct ssa_batch *to)
{
    if (!make_room(s, (size_t)count * ((size_t)length + sizeof(int32_t))))
        return SSA_ENOMEM;
    int32_t *labels = (int32_t *)(void *)s->bytes;
    unsigned char *bytes = s->bytes + (size_t)count * sizeof *labels;
    if (loader_fill_bytes(l, step, first, count, bytes, labels))
        return SSA_ENOMEM;
    for (int i = 0; i < count; i++) {
        const bool lost = loader_lost(l, step, first + i);
        for (size_t n = (size_t)i * (size_t)length; n < (size_t)(i + 1) * (size_t)length; n++) {
            to->tokens[n] = bytes[n];
            to->targets[n] = lost ? -1 : bytes[n];
        }
        if (to->labels)
            to->labels[i] = labels[i] < 0 ? 0 : labels[i];
    }
    return SSA_OK;
}

static int fill_from(struct source *s, struct loader *l, int64_t step, int first, int count, int length,
                     const struct ssa_batch *to)
{
    if (s->tokens)
        return fill_tokens(s, l, step, first, count, length, to);
    return loader_fill(l, step, first, count, to->pixels, to->targets, to->soft_targets) ? SSA_ENOMEM : SSA_OK;
}

static struct ssa_batch batch_from(const struct source *s, const struct ssa_batch *b, size_t i, int length)
{
    const size_t each = (size_t)s->augment.rows * (size_t)s->augment.columns * (size_t)s->augment.channels;
    const size_t answers = s->tokens ? (size_t)length : 1;
    return (struct ssa_batch){.tokens = b->tokens ? b->tokens + i * (size_t)length : NULL,
                              .targets = b->targets ? b->targets + i * answers : NULL,
                              .labels = b->labels ? b->labels + i : NULL,
                              .pixels = b->pixels ? b->pixels + i * each : NULL,
                              .soft_targets = b->soft_targets ? b->soft_targets + i * (size_t)s->classes : NULL};
}

int source_fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    struct source *s = cookie;
    int status = make_loader(s, draw->training);
    if (status || draw->training)
        return status ? status : fill_from(s, s->training, (int64_t)draw->step, (int)draw->first, draw->count,
                                           draw->length, batch);
    for (int i = 0, count; i < draw->count && !status; i += count) {
        const uint64_t number = draw->first + (uint64_t)i, size = (uint64_t)s->micro_batch;
        const int at = (int)(number % size), left = s->micro_batch - at;
        const struct ssa_batch to = batch_from(s, batch, (size_t)i, draw->length);
        count = left < draw->count - i ? left : draw->count - i;
        status = fill_from(s, s->in_order, (int64_t)(number / size), at, count, draw->length, &to);
    }
    return status;
}

void source_close(struct source *s)
{
    loader_destroy(s->training);
    loader_destroy(s->in_order);
    free(s->bytes);
    *s = (struct source){0};
}

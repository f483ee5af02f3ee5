/* What a trainer or an evaluation is given: token ids in memory, or a source. */
#include "internal.h"
#include "impl.h"

#include <stdio.h>
#include <string.h>

/* ---- token ids ---- */

static int32_t item(const struct ssa_data *d, size_t i)
{
    uint16_t two;
    uint32_t four;
    switch (d->item_size) {
    case 2:
        memcpy(&two, (const char *)d->items + 2 * i, 2);
        return two;
    case 4:
        memcpy(&four, (const char *)d->items + 4 * i, 4);
        return four > INT32_MAX ? INT32_MAX : (int32_t)four;
    default:
        return ((const unsigned char *)d->items)[i];
    }
}

void ssa_data_copy(const struct ssa_data *data, size_t first, size_t count, int32_t *ids)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = item(data, first + i);
}

/* ---- checking ---- */

int ssa_data_check_ids(size_t count, struct ssa_facts facts, int least)
{
    int err = SSA_OK;
    REQUIRE(!facts.mixed, "data: sequences of mixed size come from a source, not from token ids");
    REQUIRE(facts.causal, "data: of token ids the next is predicted, which needs a causal model");
    REQUIRE(!facts.starts, "data: of token ids the next is predicted, of images that begin by themselves none; give a "
            "source");
    REQUIRE(count > (size_t)least, "data: %zu tokens; at least %d are needed for sequences of %d", count, least + 1,
            least);
done:
    return err;
}

static int check_source(const struct ssa_data *d, struct ssa_facts facts)
{
    int err = SSA_OK;
    REQUIRE(!d->items, "data: items and fill are given; only one can be");
    REQUIRE(!d->sizes || facts.mixed, "data: sizes is given, but all sequences of this kind of model are of %d",
            facts.length);
    REQUIRE(d->examples > 0, "data: fill is given, but examples is 0");
done:
    return err;
}

int ssa_data_check(const struct ssa_data *d, struct ssa_facts facts, int least)
{
    int err;
    if (d && d->fill)
        return check_source(d, facts);
    REQUIRE(d && d->items, "data: no items");
    REQUIRE(!d->sizes, "data: sizes is given without fill; sequences of token ids are all of one length");
    REQUIRE(d->item_size == 0 || d->item_size == 1 || d->item_size == 2 || d->item_size == 4,
            "data: item_size is %d, must be 1, 2 or 4", d->item_size);
    TRY(ssa_data_check_ids(d->count, facts, least));
    if (d->item_size <= 1 && facts.vocabulary >= 256)
        return SSA_OK;
    for (size_t i = 0; i < d->count; i++)
        REQUIRE(item(d, i) < facts.vocabulary, "data: token %zu is %d, the vocabulary is %d", i, item(d, i),
                facts.vocabulary);
done:
    return err;
}

/* ---- a source ---- */

/* What layers sample follows from the lengths, before a pass looks at them. */
static int check_lengths(const struct ssa_draw *draw, const struct ssa_facts *facts, const struct ssa_batch *batch,
                         int length)
{
    int err = SSA_OK;
    REQUIRE(facts->mixed || length == draw->length, "length of the batch is %d, all sequences are of %d", length,
            draw->length);
    REQUIRE(length > facts->lead && length <= draw->length, "length of the batch is %d, must be in [%d, %d]", length,
            facts->lead + 1, draw->length);
    for (int i = 0; facts->mixed && i < draw->count; i++)
        REQUIRE(!batch->lengths[i] || (batch->lengths[i] >= facts->lead && batch->lengths[i] <= length),
                "lengths[%d] is %d, must be 0 or in [%d, %d]", i, batch->lengths[i], facts->lead, length);
done:
    return err;
}

/* What the program's function `name` returned, as an error of the library's. */
static int give_up(const struct ssa_draw *draw, const char *name, int status)
{
    char text[512];
    snprintf(text, sizeof text, "%s", ssa_last_error());
    if (!*text)
        snprintf(text, sizeof text, "%s returned %d", name, status);
    if (status > 0 || !strcmp(ssa_status_name(status), "unknown status"))
        status = SSA_EIO;
    return draw->training ? ssa_fail(status, "data: step %llu: %s", (unsigned long long)draw->step + 1, text)
                          : ssa_fail(status, "data: example %llu: %s", (unsigned long long)draw->first, text);
}

int ssa_data_fill(const struct ssa_data *data, const struct ssa_draw *draw, const struct ssa_facts *facts,
                  struct ssa_batch *batch)
{
    struct ssa_batch given = *batch; /* its own: it may change the addresses */
    int status;
    ssa_fail(SSA_OK, "%s", ""); /* no older error passes for this one's */
    status = data->fill(data->cookie, draw, &given);
    if (!status)
        status = check_lengths(draw, facts, batch, given.length);
    batch->length = given.length;
    return status ? give_up(draw, "fill", status) : SSA_OK;
}

int ssa_data_sizes(const struct ssa_data *data, const struct ssa_draw *draw, const struct ssa_facts *facts,
                   int32_t *lengths)
{
    int status, err = SSA_OK;
    ssa_fail(SSA_OK, "%s", ""); /* as above */
    for (int i = 0; i < draw->count; i++)
        lengths[i] = -1; /* so that one left out is found */
    if ((status = data->sizes(data->cookie, draw, lengths)))
        return give_up(draw, "sizes", status);
    for (int i = 0; i < draw->count; i++)
        REQUIRE(!lengths[i] || (lengths[i] >= facts->lead && lengths[i] <= draw->length),
                "data: step %llu: sizes gives sequence %llu a length of %d, must be 0 or in [%d, %d]",
                (unsigned long long)draw->step + 1, (unsigned long long)draw->first + (unsigned long long)i, lengths[i],
                facts->lead, draw->length);
done:
    return err;
}

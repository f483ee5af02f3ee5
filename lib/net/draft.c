/* Drafting: what blocks ask for, and placing it. No device is touched here. */
#include "internal.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail_once(struct ssa_draft *d, int err)
{
    d->err = d->err ? d->err : err;
}

/* ---- parameters ---- */

static int add(struct ssa_draft *d, struct ssa_parameter q, struct ssa_start start)
{
    struct ssa_parameters *p = &d->net->parameters;
    if (d->err)
        return 0;
    if (p->count == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 64;
        struct ssa_parameter *table = realloc(p->table, (size_t)capacity * sizeof *table);
        p->table = table ? table : p->table;
        struct ssa_parameter_draft *drafts = table ? realloc(p->drafts, (size_t)capacity * sizeof *drafts) : NULL;
        p->drafts = drafts ? drafts : p->drafts;
        if (!drafts) {
            fail_once(d, ssa_fail(SSA_ENOMEM, "model: out of host memory"));
            return 0;
        }
        p->capacity = capacity;
    }
    p->table[p->count] = q;
    p->drafts[p->count] = (struct ssa_parameter_draft){.start = start, .block = d->block->number};
    p->count++;
    p->decayed += q.decayed;
    p->branch_ends += start.branch_end;
    return q.decayed ? p->decayed : p->decayed - p->count;
}

static struct ssa_parameter named(const struct ssa_draft *d, const char *name)
{
    struct ssa_parameter p = {.rows = 0};
    snprintf(p.name, sizeof p.name, "%s%s", d->block->prefix, name);
    return p;
}

static int matrix(struct ssa_draft *d, const char *name, int rows, int columns, int decayed, struct ssa_start start)
{
    struct ssa_parameter p = named(d, name);
    p.rows = rows;
    p.columns = columns;
    p.count = ssa_times((size_t)rows, (size_t)columns);
    p.decayed = decayed;
    return add(d, p, start);
}

int ssa_draft_matrix(struct ssa_draft *d, const char *name, int rows, int columns, struct ssa_start start)
{
    return matrix(d, name, rows, columns, 1, start);
}

int ssa_draft_table(struct ssa_draft *d, const char *name, int rows, int columns, struct ssa_start start)
{
    return matrix(d, name, rows, columns, 0, start);
}

struct ssa_start ssa_start_xavier(int in, int out, double gain)
{
    return (struct ssa_start){.bound = gain * sqrt(6.0 / ((double)in + out))};
}

int ssa_draft_uniform(struct ssa_draft *d, const char *name, int rows, int columns, int fan_in)
{
    const struct ssa_start start = {.bound = 1 / sqrt((double)fan_in)};
    return columns ? ssa_draft_matrix(d, name, rows, columns, start) : ssa_draft_vector(d, name, rows, start);
}

int ssa_draft_vector(struct ssa_draft *d, const char *name, int count, struct ssa_start start)
{
    struct ssa_parameter p = named(d, name);
    p.rows = count;
    p.count = (size_t)count;
    return add(d, p, start);
}

int ssa_draft_shared(struct ssa_draft *d, const char *name)
{
    const struct ssa_parameters *p = &d->net->parameters;
    int decayed = 0;
    for (int i = 0; i < p->count; i++) {
        decayed += p->table[i].decayed;
        if (strcmp(p->table[i].name, name))
            continue;
        p->drafts[i].shared = true;
        return p->table[i].decayed ? decayed : decayed - (i + 1);
    }
    fail_once(d, ssa_fail(SSA_EINVAL, "model: no block below \"%s\" has a parameter \"%s\"", d->block->prefix, name));
    return 0;
}

/* ---- memory ---- */

struct ssa_place ssa_draft_keep(struct ssa_draft *d, size_t count, const char *what)
{
    struct ssa_net *net = d->net;
    struct ssa_place place = {0};
    for (int i = 0; i < net->name_count && !d->training; i++)
        if (!strcmp(net->names[i].what, what) && net->names[i].count == count)
            return net->names[i].place;
    if (!d->err)
        fail_once(d, ssa_arena_place(&net->kept, count, what, &place));
    if (!d->training && net->name_count < SSA_NET_NAMES)
        net->names[net->name_count++] = (struct ssa_kept_name){what, count, place};
    return place;
}

struct ssa_place ssa_draft_keep_for_backward(struct ssa_draft *d, size_t count, const char *what)
{
    return d->training ? ssa_draft_keep(d, count, what) : (struct ssa_place){0};
}

void ssa_draft_scratch(struct ssa_draft *d, enum ssa_slot slot, size_t count, const char *what)
{
    if (count <= d->net->slot_counts[slot])
        return;
    d->net->slot_counts[slot] = count;
    d->net->slot_names[slot] = what;
}

struct ssa_place ssa_draft_cache(struct ssa_draft *d, size_t each)
{
    struct ssa_place place = {0};
    if (!d->err)
        fail_once(d, ssa_arena_place(&d->net->cache, ssa_times((size_t)d->length, each),
                                     "a layer's cache of keys and values", &place));
    return place;
}

struct ssa_place ssa_draft_constant(struct ssa_draft *d, size_t count, const char *what, ssa_fill_constant fill)
{
    struct ssa_net *net = d->net;
    struct ssa_place place = {0};
    if (net->constant_count == SSA_NET_CONSTANTS)
        fail_once(d, ssa_fail(SSA_EINVAL, "model: more than %d constants", SSA_NET_CONSTANTS));
    if (!d->err)
        fail_once(d, ssa_arena_place(&net->kept, count, what, &place));
    if (!d->err)
        net->constants[net->constant_count++] = (struct ssa_constant_table){d->block, place, count, fill};
    return place;
}

/* ---- streams ---- */

void ssa_draft_turn(struct ssa_draft *d, int stream)
{
    struct ssa_extent *from = &d->extents[d->stream], *to = &d->extents[stream];
    from->rows = d->rows;
    from->length = d->length;
    from->width = d->width;
    d->stream = stream;
    d->rows = to->rows;
    d->length = to->length;
    d->width = to->width;
}

struct ssa_place ssa_draft_enter(const struct ssa_draft *d)
{
    return d->extents[d->stream].at;
}

struct ssa_place ssa_draft_leave(struct ssa_draft *d)
{
    static const char *const names[] = {"the residual stream", "the stream of edges", "the stream of cells"};
    const size_t count = ssa_times(d->rows, (size_t)d->width);
    size_t *dx_count = &d->net->dx_count[d->stream];
    *dx_count = count > *dx_count ? count : *dx_count;
    return d->extents[d->stream].at = ssa_draft_keep(d, count, names[d->stream]);
}

void ssa_draft_cells(struct ssa_draft *d)
{
    d->net->cells = true;
}

/* ---- what else ---- */

int ssa_draft_input(struct ssa_draft *d, struct ssa_input input)
{
    for (int i = 0; i < d->net->input_count; i++)
        if (d->net->inputs[i].from == input.from)
            return i;
    if (d->net->input_count == SSA_NET_INPUTS) {
        fail_once(d, ssa_fail(SSA_EINVAL, "model: more than %d inputs", SSA_NET_INPUTS));
        return 0;
    }
    d->net->inputs[d->net->input_count] = input;
    return d->net->input_count++;
}

int ssa_draft_layer(struct ssa_draft *d)
{
    return d->net->layers++;
}

struct ssa_place ssa_draft_losses(struct ssa_draft *d)
{
    return d->net->losses = ssa_draft_keep(d, ssa_times(d->batch, (size_t)d->answers), "losses");
}

/* ---- placing ---- */

/* The table as blocks number it: matrices, then vectors, each in the order in which they were drafted. */
static int sort_table(struct ssa_parameters *p)
{
    struct ssa_parameter *table = malloc((size_t)p->count * sizeof *table);
    struct ssa_parameter_draft *drafts = malloc((size_t)p->count * sizeof *drafts);
    int matrices = 0, vectors = p->decayed;
    if (!table || !drafts) {
        free(table);
        free(drafts);
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    }
    for (int i = 0; i < p->count; i++) {
        const int to = p->table[i].decayed ? matrices++ : vectors++;
        table[to] = p->table[i];
        drafts[to] = p->drafts[i];
    }
    free(p->table);
    free(p->drafts);
    p->table = table;
    p->drafts = drafts;
    p->capacity = p->count;
    return SSA_OK;
}

/* After a gap in the buffer, or where the decay changes, a part begins. */
static int place_parameter(struct ssa_parameters *p, int i, struct ssa_place *end)
{
    struct ssa_parameter *q = &p->table[i];
    struct ssa_place *at = &p->drafts[i].place;
    int err;
    TRY(ssa_arena_place(&p->arena, q->count, q->name, at));
    if (!p->part_count || at->buffer != end->buffer || q->decayed != p->parts[p->part_count - 1].decayed) {
        p->part_places[p->part_count] = *at;
        p->parts[p->part_count++].decayed = q->decayed;
    }
    q->part = p->part_count - 1;
    q->offset = at->offset - p->part_places[q->part].offset;
    p->parts[q->part].count = q->offset + ssa_arena_padded(q->count); /* parts end to end: the same however cut */
    *end = *at;
done:
    return err;
}

/* Blocks [first, end): their decayed parameters, or the others, the last block's first. */
static int place_blocks(struct ssa_parameters *p, int first, int end, int decayed, struct ssa_place *last)
{
    int err = SSA_OK;
    for (int block = end - 1; block >= first; block--)
        for (int i = 0; i < p->count; i++)
            if (p->drafts[i].block == block && p->table[i].decayed == decayed)
                TRY(place_parameter(p, i, last));
done:
    return err;
}

/* Bucket by bucket, as backward completes gradients. In every other bucket the decayed ones come first, so that those of
 * two neighbours are a part together. */
static int place_parameters(struct ssa_net *net, size_t limit)
{
    struct ssa_parameters *p = &net->parameters;
    struct ssa_place last = {0};
    int err = SSA_OK, first;
    p->arena.limit = limit;
    p->parts = calloc((size_t)p->count, sizeof *p->parts);
    p->part_places = calloc((size_t)p->count, sizeof *p->part_places);
    p->buckets = calloc((size_t)net->count, sizeof *p->buckets);
    if (!p->parts || !p->part_places || !p->buckets)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    for (int end = net->count; end > 0; end = first) {
        struct ssa_bucket *b = &p->buckets[p->bucket_count];
        const int decayed = p->bucket_count++ % 2 == 0;
        b->first = ssa_arena_elements(&p->arena);
        first = end - 1;
        while (first > 0 && !net->blocks[first]->ends_bucket)
            first--;
        TRY(place_blocks(p, first, end, decayed, &last));
        TRY(place_blocks(p, first, end, !decayed, &last));
        b->count = ssa_arena_elements(&p->arena) - b->first;
    }
done:
    return err;
}

int ssa_draft_place(struct ssa_draft *d, size_t limit)
{
    static const char *const dx_names[] = {"the residual's gradient", "the edges' gradient", "the cells' gradient"};
    struct ssa_net *net = d->net;
    int err = d->err;
    TRY(err);
    TRY(sort_table(&net->parameters));
    TRY(place_parameters(net, limit));
    for (int s = 0; s < SSA_SLOT_COUNT; s++)
        if (net->slot_counts[s])
            TRY(ssa_arena_place(&net->kept, net->slot_counts[s], net->slot_names[s], &net->slots[s]));
    for (int s = 0; s < SSA_STREAM_COUNT && d->training; s++)
        if (net->dx_count[s])
            TRY(ssa_arena_place(&net->kept, net->dx_count[s], dx_names[s], &net->dx[s]));
done:
    return err;
}

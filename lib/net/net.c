/* A net: the list of its blocks, and the walks over it. */
#include "internal.h"
#include "replicas.h"
#include "impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- planning ---- */

static int grow(struct ssa_net *net)
{
    int capacity = net->capacity ? 2 * net->capacity : 32;
    struct ssa_block **blocks = realloc(net->blocks, (size_t)capacity * sizeof *blocks);
    if (!blocks)
        return ssa_fail(SSA_ENOMEM, "model: out of host memory");
    net->blocks = blocks;
    net->capacity = capacity;
    return SSA_OK;
}

void ssa_net_add(struct ssa_net *net, const struct ssa_block_kind *kind, const void *settings)
{
    struct ssa_block *b = NULL;
    if (!net->err && net->count == net->capacity)
        net->err = grow(net);
    if (!net->err && !(b = malloc(kind->size)))
        net->err = ssa_fail(SSA_ENOMEM, "model: out of host memory");
    if (net->err)
        return;
    memcpy(b, settings, kind->size);
    b->kind = kind;
    b->number = net->count;
    net->blocks[net->count++] = b;
}

/* A block's stream leaves to a place of its own where backward reads what it was; else all have one. */
static void draft_block(struct ssa_draft *d, struct ssa_block *b, bool head)
{
    ssa_draft_turn(d, b->stream);
    d->block = b;
    d->in_place = false;
    b->in = ssa_draft_enter(d);
    b->length = b->stream != SSA_STREAM_NODES || d->length == d->net->length ? 0 : d->length;
    b->kind->draft(b, d);
    b->cells_layer = d->net->layers - 1;
    if (!head)
        b->out = d->in_place ? b->in : ssa_draft_leave(d);
}

/* Of the largest pass: GEMMs, and what counts rows, have no room for more. */
static int check_pairs(const struct ssa_draft *d)
{
    const size_t pairs = d->extents[SSA_STREAM_EDGES].rows;
    return !d->net->edge_width || pairs <= (size_t)1 << 30
               ? SSA_OK
               : ssa_fail(SSA_EINVAL, "model: batch %zu of %d positions has %zu pairs of them, too many for one pass",
                          d->batch, d->net->length, pairs);
}

/* Where no stream is yet: positions of the largest pass, and pairs of them. */
static void begin_streams(struct ssa_draft *d)
{
    const size_t pairs = ssa_times(ssa_times(d->batch, (size_t)d->net->length), (size_t)d->net->length);
    d->length = d->net->length;
    d->rows = ssa_times(d->batch, (size_t)d->length);
    for (int s = SSA_STREAM_EDGES; s < SSA_STREAM_COUNT; s++)
        d->extents[s].rows = pairs;
}

int ssa_net_plan(struct ssa_net *net, const struct ssa_model_config *config, const struct ssa_model_limits *limits,
                 size_t limit)
{
    const struct ssa_family *family = ssa_family(config->family);
    struct ssa_model_config settled = *config;
    struct ssa_draft d = {.net = net, .batch = (size_t)limits->batch, .training = limits->training};
    int err;
    *net = (struct ssa_net){.kept.limit = limit, .cache.limit = limit};
    family->settle(&settled);
    net->length = family->facts(config).length;
    d.answers = family->facts(config).answers;
    begin_streams(&d);
    family->build(net, &settled);
    TRY(net->err);
    for (int i = 0; i < net->count; i++)
        draft_block(&d, net->blocks[i], i == net->count - 1);
    net->edge_width = (size_t)d.extents[SSA_STREAM_EDGES].width;
    TRY(check_pairs(&d));
    TRY(ssa_draft_place(&d, limit));
done:
    return err;
}

void ssa_net_finish(struct ssa_net *net)
{
    struct ssa_parameters *p = &net->parameters;
    for (int i = 0; i < net->count; i++)
        free(net->blocks[i]);
    free(net->blocks);
    ssa_arena_finish(&net->kept);
    ssa_arena_finish(&net->cache);
    ssa_arena_finish(&p->arena);
    free(p->table);
    free(p->drafts);
    free(p->parts);
    free(p->part_places);
    free(p->buckets);
    *net = (struct ssa_net){0};
}

int ssa_model_bucket_count(const struct ssa_model *m)
{
    return ssa_model_first_live(m)->net.parameters.bucket_count;
}

struct ssa_bucket ssa_model_bucket(const struct ssa_model *m, int bucket)
{
    return ssa_model_first_live(m)->net.parameters.buckets[bucket];
}

bool ssa_model_given(const struct ssa_model *m, int input, struct ssa_given *given)
{
    m = ssa_model_first_live(m);
    if (input >= m->net.input_count)
        return false;
    const struct ssa_input *i = &m->net.inputs[input];
    const size_t bytes = 4 * (i->each ? i->each : 1);
    *given = (struct ssa_given){.from = i->from, .sequence = i->per == SSA_PER_SEQUENCE ? bytes : 0,
        .position = i->per == SSA_PER_POSITION ? bytes : 0, .pair = i->per == SSA_PER_PAIR ? bytes : 0, .lead = i->lead};
    return true;
}

/* ---- what a run sees ---- */

static int index_of(const struct ssa_run *r, int number)
{
    return number > 0 ? number - 1 : r->model->net.parameters.decayed - number - 1;
}

static const struct ssa_parameter *parameter(const struct ssa_run *r, int number)
{
    return &r->model->net.parameters.table[index_of(r, number)];
}

struct ssa_tensor ssa_value(const struct ssa_run *r, int number)
{
    return number ? parameter(r, number)->value : (struct ssa_tensor){0};
}

struct ssa_tensor ssa_grad(const struct ssa_run *r, int number)
{
    return number ? parameter(r, number)->grad : (struct ssa_tensor){0};
}

bool ssa_shared(const struct ssa_run *r, int number)
{
    return r->model->net.parameters.drafts[index_of(r, number)].shared;
}

size_t ssa_value_count(const struct ssa_run *r, int number)
{
    return number ? parameter(r, number)->count : 0;
}

struct ssa_tensor ssa_kept(const struct ssa_run *r, struct ssa_place place)
{
    return ssa_arena_at(&r->model->net.kept, place);
}

struct ssa_tensor ssa_kept_for_backward(const struct ssa_run *r, struct ssa_place place)
{
    return r->keep ? ssa_kept(r, place) : (struct ssa_tensor){0};
}

struct ssa_tensor ssa_input(const struct ssa_run *r, int input)
{
    return r->model->input[input];
}

const struct ssa_banded *ssa_banded(const struct ssa_run *r, int input)
{
    return &r->model->banded[input];
}

const struct ssa_staged_plan *ssa_staged(const struct ssa_run *r, int layer)
{
    return &r->model->plans[layer];
}

struct ssa_tensor ssa_cached(const struct ssa_run *r, struct ssa_place cache, int first, size_t each)
{
    const struct ssa_generation *g = &r->model->generation;
    const size_t length = (size_t)r->model->facts.length, slot = (size_t)first % length;
    cache.offset *= (size_t)g->room;
    return ssa_tensor_add(ssa_arena_at(&g->caches[r->member], cache), ((size_t)r->sequence * length + slot) * each);
}

size_t ssa_cached_stride(const struct ssa_run *r, size_t each)
{
    return ssa_times((size_t)r->model->facts.length, each);
}

struct ssa_run ssa_run_begin(struct ssa_model *m)
{
    const struct ssa_pass *p = &m->pass;
    struct ssa_run r = {.model = m, .device = m->device, .pass = p, .batch = p->batch, .length = p->length,
                        .rows = p->batch * p->length, .keep = p->training, .losses = m->targets, .keys = p->length,
                        .accumulate = p->accumulate != 0};
    for (int s = 0; s < SSA_SLOT_COUNT; s++)
        if (m->net.slot_counts[s])
            r.slots[s] = ssa_kept(&r, m->net.slots[s]);
    return r;
}

struct ssa_run ssa_run_turned(const struct ssa_run *r, const struct ssa_block *b, int stream)
{
    const bool nodes = stream == SSA_STREAM_NODES;
    struct ssa_run to = *r;
    to.length = to.longest = nodes && b->length ? b->length : r->pass->length;
    if (!(nodes && b->length) && r->model->facts.mixed)
        to.longest = r->model->facts.length;
    to.across = stream == SSA_STREAM_CELLS ? ssa_staged(r, b->cells_layer)->cell_keys : to.length;
    to.widest = to.longest;
    to.length *= nodes ? 1 : to.across;
    to.longest *= nodes ? 1 : to.widest;
    to.rows = to.batch * to.length;
    if (r->model->limits.training)
        to.dx = ssa_kept(r, r->model->net.dx[stream]);
    return to;
}

/* The stream that a block takes. */
static void enter(struct ssa_run *r, const struct ssa_block *b)
{
    *r = ssa_run_turned(r, b, b->stream);
}

/* ---- the walks ---- */

int ssa_run_forward(struct ssa_run *r)
{
    const struct ssa_net *net = &r->model->net;
    int err = SSA_OK;
    for (int i = 0; i < net->count; i++) {
        enter(r, net->blocks[i]);
        TRY(net->blocks[i]->kind->forward(net->blocks[i], r));
    }
done:
    return err;
}

int ssa_model_forward(struct ssa_model *m, const struct ssa_pass *pass)
{
    int err;
    m = ssa_model_first_live(m);
    m->state = SSA_MODEL_EMPTY;
    TRY(ssa_inputs_write(m, pass, 0));
    struct ssa_run r = ssa_run_begin(m);
    TRY(ssa_run_forward(&r));
    m->state = m->targets && pass->training ? SSA_MODEL_BACKWARD_READY : SSA_MODEL_FORWARD;
done:
    return err;
}

/* No head sets their gradient: blocks add to it. */
static int clear_edges(const struct ssa_run *r)
{
    const size_t width = r->model->net.edge_width, rows = (size_t)r->rows * (size_t)r->length;
    return width ? ssa_tensor_fill(ssa_kept(r, r->model->net.dx[SSA_STREAM_EDGES]), 0, rows * width) : SSA_OK;
}

int ssa_model_backward_in_buckets(struct ssa_model *m, ssa_bucket_complete complete, void *cookie)
{
    int err, bucket = 0;
    m = ssa_model_first_live(m);
    REQUIRE(m->state == SSA_MODEL_BACKWARD_READY,
            "model: backward needs a forward pass with `training` and targets just before it");
    m->state = SSA_MODEL_EMPTY;
    struct ssa_run r = ssa_run_begin(m);
    TRY(clear_edges(&r));
    for (int i = m->net.count; i-- > 0;) {
        const struct ssa_block *b = m->net.blocks[i];
        enter(&r, b);
        TRY(b->kind->backward(b, &r));
        if (b->ends_bucket && complete)
            TRY(complete(cookie, bucket++));
    }
done:
    return err;
}

int ssa_model_backward(struct ssa_model *m)
{
    return ssa_model_backward_in_buckets(m, NULL, NULL);
}

/* ---- answers ---- */

static const struct ssa_block *head(const struct ssa_model *m)
{
    return m->net.blocks[m->net.count - 1];
}

struct ssa_tensor ssa_model_losses(const struct ssa_model *m)
{
    m = ssa_model_first_live(m);
    return ssa_arena_at(&m->net.kept, m->net.losses);
}

int ssa_run_read(struct ssa_run *r, size_t row, int rows, float *logits)
{
    const struct ssa_block *b = head(r->model);
    enter(r, b);
    return b->kind->read(b, r, row, rows, logits);
}

static int read_rows(struct ssa_model *m, size_t row, int rows, float *logits)
{
    struct ssa_run r = ssa_run_begin(m);
    return ssa_run_read(&r, row, rows, logits);
}

/* Of a sequence of the last pass. */
static int answers_of(const struct ssa_model *m)
{
    return ssa_pass_answers(&m->facts, m->pass.length);
}

int ssa_model_read_logits(struct ssa_model *m, int sequence, int position, float *logits)
{
    int err;
    m = ssa_model_first_live(m);
    REQUIRE(m->state == SSA_MODEL_FORWARD, "model: logits are read after a forward pass that is not for training");
    const int answers = answers_of(m);
    REQUIRE(sequence >= 0 && sequence < m->pass.batch && position >= 0 && position < answers,
            "model: no position %d of sequence %d in a pass of %d sequences of %d", position, sequence, m->pass.batch,
            answers);
    TRY(read_rows(m, (size_t)sequence * (size_t)answers + (size_t)position, 1, logits));
done:
    return err;
}

int ssa_model_read_answers(struct ssa_model *m, float *logits)
{
    return read_rows(m, 0, m->pass.batch * answers_of(m), logits);
}

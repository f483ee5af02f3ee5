#include "sets.h"
#include "nets.h"
#include "net/block/blocks.h"
#include "rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { C = SETS_WIDTH };
static enum sets_head head_now;
static float dropout_now;

/* ---- embedding: [virtual, sum of rows of nodes + encodings w + edges and hops of real neighbours] ---- */

struct embed_sets {
    struct ssa_block block;
    int lead, table, w;                        /* parameters */
    int lengths, nodes, encodings, edges, hops; /* inputs */
};

static void draft_embed(struct ssa_block *block, struct ssa_draft *d)
{
    struct embed_sets *b = (struct embed_sets *)block;
    const struct ssa_input per_node = {.lead = SETS_LEAD, .type = SSA_I32};
    struct ssa_input input = per_node;
    d->width = C;
    b->lead = ssa_draft_table(d, "virtual.weight", SETS_LEAD, C, (struct ssa_start){.deviation = 1});
    b->table = ssa_draft_matrix(d, "node.weight", SETS_NODE_IDS, C, (struct ssa_start){.deviation = 1});
    b->w = ssa_draft_matrix(d, "encoding.weight", SETS_ENCODINGS, C, (struct ssa_start){.deviation = 1});
    b->lengths = ssa_draft_input(d, (struct ssa_input){.name = "length", .from = offsetof(struct ssa_pass, lengths),
        .type = SSA_I32, .per = SSA_PER_SEQUENCE, .up_to_length = true});
    input.name = "node";
    input.from = offsetof(struct ssa_pass, nodes);
    input.each = SETS_IDS;
    input.below = SETS_NODE_IDS;
    b->nodes = ssa_draft_input(d, input);
    b->encodings = ssa_draft_input(d, (struct ssa_input){.name = "encoding", .lead = SETS_LEAD,
        .from = offsetof(struct ssa_pass, encodings), .type = SSA_F32, .each = SETS_ENCODINGS});
    input = per_node;
    input.per = SSA_PER_PAIR;
    input.name = "edge";
    input.from = offsetof(struct ssa_pass, edges);
    input.each = SETS_EDGE_IDS;
    input.below = 1 + SETS_EDGE_IDS * SETS_VALUES;
    b->edges = ssa_draft_input(d, input);
    input.name = "hop";
    input.from = offsetof(struct ssa_pass, hops);
    input.each = 0;
    input.below = SETS_HOPS + 1;
    b->hops = ssa_draft_input(d, input);
}

static int32_t *ints(const struct ssa_run *r, int input, size_t count)
{
    int32_t *x = malloc((count + 1) * sizeof *x);
    OK(ssa_tensor_read(ssa_input(r, input), x, count));
    return x;
}

static float neighbours(const int32_t *edges, const int32_t *hops, int real)
{
    int sum = 0;
    for (int i = 0; i < real; i++)
        sum += edges[i * SETS_EDGE_IDS] + edges[i * SETS_EDGE_IDS + 1] + hops[i];
    return 0.02f * (float)sum;
}

static int forward_embed(const struct ssa_block *block, struct ssa_run *r)
{
    const struct embed_sets *b = (const struct embed_sets *)block;
    const size_t N = (size_t)r->length, n = N - SETS_LEAD, B = (size_t)r->batch;
    int32_t *lengths = ints(r, b->lengths, B), *nodes = ints(r, b->nodes, B * n * SETS_IDS);
    int32_t *edges = ints(r, b->edges, B * n * n * SETS_EDGE_IDS), *hops = ints(r, b->hops, B * n * n);
    float *encodings = test_read(ssa_input(r, b->encodings), B * n * SETS_ENCODINGS);
    float *lead = test_read(ssa_value(r, b->lead), SETS_LEAD * C), *w = test_read(ssa_value(r, b->w), SETS_ENCODINGS * C);
    float *table = test_read(ssa_value(r, b->table), SETS_NODE_IDS * C), *x = calloc(B * N * C, sizeof *x);
    for (size_t s = 0; s < B; s++) {
        memcpy(x + s * N * C, lead, SETS_LEAD * C * sizeof *x);
        for (size_t j = 0; j < n; j++) {
            float *row = x + (s * N + SETS_LEAD + j) * C;
            const size_t at = s * n + j;
            for (int c = 0; c < C; c++) {
                for (int m = 0; m < SETS_IDS; m++)
                    row[c] += table[nodes[at * SETS_IDS + (size_t)m] * C + c];
                for (int e = 0; e < SETS_ENCODINGS; e++)
                    row[c] += encodings[at * SETS_ENCODINGS + (size_t)e] * w[e * C + c];
            }
            row[0] += neighbours(edges + at * n * SETS_EDGE_IDS, hops + at * n, lengths[s] - SETS_LEAD);
        }
    }
    int err = ssa_tensor_write(ssa_kept(r, block->out), x, B * N * C);
    void *all[] = {lengths, nodes, edges, hops, encodings, lead, w, table, x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return err;
}

/* Of a parameter: zeroes, or where gradients are added up what there is. */
static float *gradient(const struct ssa_run *r, int parameter, size_t count)
{
    return r->accumulate ? test_read(ssa_grad(r, parameter), count) : calloc(count, sizeof(float));
}

static int backward_embed(const struct ssa_block *block, struct ssa_run *r)
{
    const struct embed_sets *b = (const struct embed_sets *)block;
    const size_t N = (size_t)r->length, n = N - SETS_LEAD, B = (size_t)r->batch;
    int32_t *nodes = ints(r, b->nodes, B * n * SETS_IDS);
    float *encodings = test_read(ssa_input(r, b->encodings), B * n * SETS_ENCODINGS);
    float *dx = test_read(r->dx, B * N * C), *lead = gradient(r, b->lead, SETS_LEAD * C);
    float *table = gradient(r, b->table, SETS_NODE_IDS * C), *w = gradient(r, b->w, SETS_ENCODINGS * C);
    int err;
    for (size_t i = 0; i < B * N * C; i++) {
        const size_t c = i % C, s = i / C / N, at = i / C % N;
        if (at < SETS_LEAD) {
            lead[at * C + c] += dx[i];
            continue;
        }
        const size_t node = s * n + at - SETS_LEAD;
        for (size_t m = 0; m < SETS_IDS; m++)
            table[(size_t)nodes[node * SETS_IDS + m] * C + c] += dx[i];
        for (size_t e = 0; e < SETS_ENCODINGS; e++)
            w[e * C + c] += dx[i] * encodings[node * SETS_ENCODINGS + e];
    }
    TRY(ssa_tensor_write(ssa_grad(r, b->lead), lead, SETS_LEAD * C));
    TRY(ssa_tensor_write(ssa_grad(r, b->table), table, SETS_NODE_IDS * C));
    TRY(ssa_tensor_write(ssa_grad(r, b->w), w, SETS_ENCODINGS * C));
done:
    free(nodes);
    free(encodings);
    free(dx);
    free(lead);
    free(table);
    free(w);
    return err;
}

static const struct ssa_block_kind embed_kind = {"embed_sets", sizeof(struct embed_sets), draft_embed, forward_embed,
                                                 backward_embed, NULL};

/* ---- head: values = w x[0] + bias ---- */

struct head_values {
    struct ssa_block block;
    bool squares;
    int w, bias, targets;
    struct ssa_place losses, values;
};

static void draft_head(struct ssa_block *block, struct ssa_draft *d)
{
    struct head_values *b = (struct head_values *)block;
    b->w = ssa_draft_uniform(d, "head.weight", SETS_TARGETS, C, C);
    b->bias = ssa_draft_vector(d, "head.bias", SETS_TARGETS, SSA_START_ZERO);
    b->targets = ssa_draft_input(d, (struct ssa_input){.name = "value", .from = offsetof(struct ssa_pass, values),
        .type = SSA_F32, .per = SSA_PER_SEQUENCE, .each = SETS_TARGETS, .or_nan = true, .optional = true, .target = true});
    b->losses = ssa_draft_losses(d);
    b->values = ssa_draft_keep(d, d->batch * SETS_TARGETS, "values");
}

/* The first row of every sequence. */
static float *first_rows(const struct ssa_block *block, const struct ssa_run *r)
{
    float *x = malloc((size_t)r->batch * C * sizeof *x);
    for (int s = 0; s < r->batch; s++)
        OK(ssa_tensor_read(ssa_tensor_add(ssa_kept(r, block->in), (size_t)(s * r->length * C)), x + s * C, C));
    return x;
}

static int forward_head(const struct ssa_block *block, struct ssa_run *r)
{
    const struct head_values *b = (const struct head_values *)block;
    const size_t count = (size_t)r->batch * SETS_TARGETS;
    float *x = first_rows(block, r), *w = test_read(ssa_value(r, b->w), SETS_TARGETS * C), values[1024], losses[1024];
    float *bias = test_read(ssa_value(r, b->bias), SETS_TARGETS);
    float *targets = r->losses ? test_read(ssa_input(r, b->targets), count) : NULL;
    int err;
    ck_assert_uint_le(count, 1024);
    for (size_t i = 0; i < count; i++) {
        values[i] = bias[i % SETS_TARGETS];
        for (size_t c = 0; c < C; c++)
            values[i] += x[i / SETS_TARGETS * C + c] * w[i % SETS_TARGETS * C + c];
        const float away = targets ? values[i] - targets[i] : 0;
        losses[i] = isnan(away) ? 0 : b->squares ? away * away : fabsf(away);
    }
    TRY(ssa_tensor_write(ssa_kept(r, b->values), values, count));
    if (targets)
        TRY(ssa_tensor_write(ssa_kept(r, b->losses), losses, count));
done:
    free(x);
    free(w);
    free(bias);
    free(targets);
    return err;
}

static int backward_head(const struct ssa_block *block, struct ssa_run *r)
{
    const struct head_values *b = (const struct head_values *)block;
    const size_t count = (size_t)r->batch * SETS_TARGETS, rows = (size_t)r->rows;
    float *x = first_rows(block, r), *w = test_read(ssa_value(r, b->w), SETS_TARGETS * C);
    float *values = test_read(ssa_kept(r, b->values), count), *targets = test_read(ssa_input(r, b->targets), count);
    float *dw = gradient(r, b->w, SETS_TARGETS * C), *dbias = gradient(r, b->bias, SETS_TARGETS);
    float *dx = calloc(rows * C, sizeof *dx);
    int err;
    for (size_t i = 0; i < count; i++) {
        const float away = values[i] - targets[i], scale = r->pass->grad_scale > 0 ? r->pass->grad_scale : 1;
        const float slope = isnan(away) ? 0 : scale * (b->squares ? 2 * away : away > 0 ? 1.0f : -1.0f);
        const size_t t = i % SETS_TARGETS, s = i / SETS_TARGETS;
        for (size_t c = 0; c < C; c++) {
            dx[s * (size_t)r->length * C + c] += slope * w[t * C + c];
            dw[t * C + c] += slope * x[s * C + c];
        }
        dbias[t] += slope;
    }
    TRY(ssa_tensor_write(r->dx, dx, rows * C));
    TRY(ssa_tensor_write(ssa_grad(r, b->w), dw, SETS_TARGETS * C));
    TRY(ssa_tensor_write(ssa_grad(r, b->bias), dbias, SETS_TARGETS));
done:
    free(x);
    free(w);
    free(values);
    free(targets);
    free(dw);
    free(dbias);
    free(dx);
    return err;
}

static int read_head(const struct ssa_block *block, struct ssa_run *r, size_t row, int rows, float *answers)
{
    const struct head_values *b = (const struct head_values *)block;
    return ssa_tensor_read(ssa_tensor_add(ssa_kept(r, b->values), row), answers, (size_t)rows);
}

static const struct ssa_block_kind head_kind = {"head_values", sizeof(struct head_values), draft_head, forward_head,
                                                backward_head, read_head};

/* ---- the family ---- */

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    struct ssa_facts f = {.layers = SETS_LAYERS, .length = SETS_LENGTH, .width = C, .vocabulary = 1, .mixed = true,
                          .lead = SETS_LEAD, .answers = SETS_TARGETS, .join = SSA_JOIN_VALUES};
    (void)config;
    if (head_now == SETS_OF_CLASSES) {
        f.vocabulary = SETS_CLASSES;
        f.answers = SETS_LENGTH;
        f.join = SSA_JOIN_PROBABILITIES;
    }
    f.unsmoothed = head_now != SETS_OF_CLASSES;
    f.squares = head_now == SETS_OF_SQUARES;
    return f;
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct embed_sets embed = {.block.ends_bucket = true};
    struct ssa_mlp_block mlp = {.block.prefix = "layer.0.", .branch = {{"norm2", SSA_NORM_LAYER, 1e-5f, true}, dropout_now,
                                2}, .hidden = 24, .activation = SSA_ACT_GELU, .bias = true};
    (void)config;
    ssa_net_add(net, &embed_kind, &embed);
    for (int l = 0; l < SETS_LAYERS; l++) {
        struct ssa_attention_block attention = {.block.ends_bucket = true, .heads = 2, .kv_heads = 2, .bias = true,
            .branch = {{"norm1", SSA_NORM_LAYER, 1e-5f, true}, dropout_now, l << 3 | 1}, .dropout = dropout_now,
            .dropout_stream = l << 3 | 3};
        snprintf(attention.block.prefix, sizeof attention.block.prefix, "layer.%d.", l);
        ssa_net_add(net, &ssa_attention_kind, &attention);
        if (l == 0)
            ssa_net_add(net, &ssa_mlp_kind, &mlp);
    }
    if (head_now == SETS_OF_CLASSES)
        ssa_net_add(net, &ssa_head_tokens_kind, &(struct ssa_head_tokens_block){.vocabulary = SETS_CLASSES,
            .norm = {"norm", SSA_NORM_LAYER, 1e-5f, true}});
    else
        ssa_net_add(net, &head_kind, &(struct head_values){.squares = head_now == SETS_OF_SQUARES});
}

static const struct ssa_family sets = NETS_FAMILY("sets", facts, build, NULL);

struct ssa_model_config sets_model(enum sets_head head, float dropout)
{
    head_now = head;
    dropout_now = dropout;
    ssa_family_of_tests = &sets;
    return (struct ssa_model_config){.family = SSA_FAMILY_OF_TESTS};
}

/* ---- sets ---- */

static uint32_t hash(size_t number, int what, int i, int k)
{
    uint32_t h = 2166136261u;
    const uint32_t all[] = {(uint32_t)number, (uint32_t)what, (uint32_t)i, (uint32_t)k};
    for (int a = 0; a < 4; a++)
        h = (h ^ all[a]) * 16777619u ^ h >> 13;
    return h >> 4;
}

enum { SIZE, NODE, ENCODING, EDGE, HOP, NAN_AT, LABEL };

int sets_size(size_t number)
{
    return number % 11 == 7 ? 0 : (int)(hash(number, SIZE, 0, 0) % (SETS_NODES + 1));
}

size_t sets_drawn(const struct ssa_draw *draw, int i, int sets)
{
    const uint64_t number = draw->first + (uint64_t)i;
    return draw->training ? ssa_philox(draw->seed, draw->step, number).v[0] % (uint32_t)sets : (size_t)number;
}

int sets_length(const size_t *numbers, int count)
{
    int most = 1; /* nodes of the batch: some position that is not virtual there must be */
    for (int i = 0; i < count; i++)
        most = sets_size(numbers[i]) > most ? sets_size(numbers[i]) : most;
    return SETS_LEAD + most;
}

/* What there is to learn: how many nodes, and of which first value. */
static void fill_values(const struct ssa_batch *batch, size_t at, size_t number)
{
    float sum = 0;
    for (int j = 0; j < sets_size(number); j++)
        sum += (float)(hash(number, NODE, j, 0) % SETS_VALUES);
    batch->values[at * SETS_TARGETS] = 0.1f * (float)sets_size(number);
    batch->values[at * SETS_TARGETS + 1] = number % 5 == 3 ? NAN : 0.1f * sum;
}

static int32_t id_of(size_t number, int what, int i, int k)
{
    const uint32_t h = hash(number, what, i, k);
    return k && h % 3 == 0 ? 0 : 1 + k * SETS_VALUES + (int32_t)(h % SETS_VALUES);
}

static void fill_node(const struct ssa_batch *batch, size_t at, size_t number, int j)
{
    for (int m = 0; batch->nodes && m < SETS_IDS; m++)
        batch->nodes[at * SETS_IDS + (size_t)m] = id_of(number, NODE, j, m);
    for (int e = 0; batch->encodings && e < SETS_ENCODINGS; e++)
        batch->encodings[at * SETS_ENCODINGS + (size_t)e] = (float)(hash(number, ENCODING, j, e) % 200) / 100 - 1;
}

static void fill_pair(const struct ssa_batch *batch, size_t at, size_t number, int j, int i)
{
    for (int m = 0; m < SETS_EDGE_IDS; m++)
        batch->edges[at * SETS_EDGE_IDS + (size_t)m] = id_of(number, EDGE, j * 64 + i, m);
    batch->hops[at] = (int32_t)(hash(number, HOP, j, i) % (SETS_HOPS + 1));
}

static void fill_set(const struct ssa_batch *batch, size_t s, size_t number, enum sets_padding padding)
{
    const int n = batch->length - SETS_LEAD, real = sets_size(number), end = padding == SETS_JUNK ? n : real;
    for (int j = 0; j < end; j++) {
        fill_node(batch, s * (size_t)n + (size_t)j, number + (j < real ? 0 : 1000), j);
        for (int i = 0; i < end; i++)
            fill_pair(batch, (s * (size_t)n + (size_t)j) * (size_t)n + (size_t)i,
                      number + (j < real && i < real ? 0 : 1000), j, i);
    }
    for (int j = 0; batch->targets && j < batch->length; j++)
        batch->targets[(int)s * batch->length + j] = j < SETS_LEAD + real && j % 3
                                                         ? (int32_t)(hash(number, LABEL, j, 0) % SETS_CLASSES) : -1;
    if (batch->values)
        fill_values(batch, s, number);
    batch->lengths[s] = SETS_LEAD + real;
}

void sets_fill(const struct ssa_batch *batch, const size_t *numbers, int count, enum sets_padding padding)
{
    const size_t n = (size_t)(batch->length - SETS_LEAD), B = (size_t)count;
    memset(batch->nodes, 0, B * n * SETS_IDS * sizeof *batch->nodes);
    memset(batch->encodings, 0, B * n * SETS_ENCODINGS * sizeof *batch->encodings);
    memset(batch->edges, 0, B * n * n * SETS_EDGE_IDS * sizeof *batch->edges);
    memset(batch->hops, 0, B * n * n * sizeof *batch->hops);
    for (size_t s = 0; s < B; s++)
        fill_set(batch, s, numbers[s], padding);
}

struct ssa_batch sets_batch(int count)
{
    const size_t B = (size_t)count, n = SETS_NODES;
    return (struct ssa_batch){.lengths = calloc(B, 4), .nodes = calloc(B * n * SETS_IDS, 4),
        .encodings = calloc(B * n * SETS_ENCODINGS, 4), .edges = calloc(B * n * n * SETS_EDGE_IDS, 4),
        .hops = calloc(B * n * n, 4), .values = calloc(B * SETS_TARGETS, 4), .targets = calloc(B * SETS_LENGTH, 4),
        .length = SETS_LENGTH};
}

void sets_free(struct ssa_batch *b)
{
    void *all[] = {b->lengths, b->nodes, b->encodings, b->edges, b->hops, b->values, b->targets};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *b = (struct ssa_batch){0};
}

struct ssa_pass sets_pass(const struct ssa_batch *b, int count, enum sets_head head)
{
    const bool classes = head == SETS_OF_CLASSES;
    return (struct ssa_pass){.batch = count, .length = b->length, .lengths = b->lengths, .nodes = b->nodes,
        .encodings = b->encodings, .edges = b->edges, .hops = b->hops, .values = classes ? NULL : b->values,
        .targets = classes ? b->targets : NULL};
}

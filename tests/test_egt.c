/* Graphs with a channel of edges: sizes as published, that neither the order of nodes nor padding nor companions count,
 * what is sampled and dropped, gates and biases at their ends, learning with encodings, files, memory, bad input. Numbers
 * of whole models are held against PyTorch's in test_families.c. */
#include "differences.h"
#include "golden.h"
#include "pools.h"
#include "saved.h"
#include "net/block/blocks.h"
#include "net/internal.h"

#include "ssacl/graph.h"
#include "ssacl/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, NODES = 14, LEAD = 2, IDS = 3, VALUES = 5, EDGE_IDS = 2, EDGE_VALUES = 3, HOPS = 5, ENCODINGS = 4,
       TARGETS = 2, LAYERS = 3, MODES = 3 };

/* Of heads 12 wide, which are no multiple of 8. */
static struct ssa_model_config small(int mode)
{
    return (struct ssa_model_config){.family = SSA_EGT, .egt = {.nodes = NODES, .node_ids = IDS, .node_values = VALUES,
        .edge_ids = EDGE_IDS, .edge_values = EDGE_VALUES, .hops = HOPS, .encodings = ENCODINGS, .layers = LAYERS,
        .heads = 2, .width = 24, .edge_width = 8, .virtual_nodes = LEAD, .hidden_ratio = 1.5f, .edge_hidden_ratio = 2,
        .targets = TARGETS, .edge_mode = mode}};
}

/* Attention drops probabilities, or with edges fixed keys. */
static struct ssa_model_config dropping(int mode)
{
    struct ssa_model_config c = small(mode);
    c.egt.dropout = 0.1f;
    c.egt.edge_dropout = 0.2f;
    *(mode == SSA_EDGES_FIXED ? &c.egt.drop_keys : &c.egt.attention_dropout) = 0.3f;
    c.egt.activation_dropout = 0.15f;
    c.egt.drop_path = 0.3f;
    return c;
}

#define PUBLISHED(...) (struct ssa_model_config){.family = SSA_EGT, .egt = {.nodes = 51, .node_ids = 9, \
    .node_values = 128, .edge_ids = 3, .edge_values = 8, .hops = 17, .encodings = 16, .virtual_nodes = 4, __VA_ARGS__}}

/* ---- parameters ---- */

START_TEST(sizes)
{
    const struct {
        struct ssa_model_config config;
        size_t elements;
    } of[] = {
        {PUBLISHED(.layers = 24, .heads = 32, .width = 768, .edge_width = 64), 89322369},
        {PUBLISHED(.layers = 18, .heads = 32, .width = 640, .edge_width = 64), 47414273},
        {PUBLISHED(.layers = 30, .heads = 32, .width = 768, .edge_width = 64), 110691201},
        {PUBLISHED(.layers = 18, .heads = 32, .width = 640, .edge_width = 64, .edge_mode = SSA_EDGES_FIXED), 47234753},
        {PUBLISHED(.layers = 4, .heads = 8, .width = 64, .edge_width = 16), 200929},
        {PUBLISHED(.layers = 4, .heads = 8, .width = 64, .edge_width = 16, .hidden_ratio = 2, .edge_hidden_ratio = 0.5f),
         200929 + 4 * (2 * 64 * 64 + 64) - 3 * (2 * 16 * 8 + 8)},
        {PUBLISHED(.layers = 6, .heads = 12, .width = 96, .edge_width = 32), 516401},
        {PUBLISHED(.layers = 6, .heads = 16, .width = 128, .edge_width = 32), 852161},
        {PUBLISHED(.layers = 6, .heads = 16, .width = 128, .edge_width = 32, .edge_mode = SSA_EDGES_SAMPLED), 852161}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        ck_assert_uint_eq(ssa_model_elements(&of[i].config), of[i].elements);
        ck_assert_int_eq(ssa_model_length(&of[i].config), 55);
        ck_assert_int_eq(ssa_model_layers(&of[i].config), of[i].config.egt.layers);
    }
    ck_assert_str_eq(ssa_model_family(SSA_EGT), "egt");
}
END_TEST

static double deviation_of(const struct ssa_model *m, const char *name, size_t from)
{
    const struct ssa_parameter *p = ssa_model_find(m, name);
    double sum = 0;
    ck_assert_msg(p != NULL, "no %s", name);
    float *x = test_read(p->value, p->count);
    for (size_t i = from; i < p->count; i++)
        sum += (double)x[i] * (double)x[i] / (double)(p->count - from);
    free(x);
    return sqrt(sum);
}

START_TEST(starts)
{
    const struct ssa_model_config plain = PUBLISHED(.layers = 2, .heads = 8, .width = 64, .edge_width = 32);
    static const struct {
        const char *name;
        int inputs; /* 0: N(0, 1) behind the first row */
    } of[] = {{"node.weight", 0}, {"hop.weight", 0}, {"virtual.weight", 0}, {"virtual_edge.weight", 0},
              {"encoding.weight", 16}, {"encoding.bias", 16}, {"layer.0.qkv.weight", 64}, {"layer.0.qkv.bias", 64},
              {"layer.0.proj.weight", 64}, {"layer.0.edge.pair.weight", 32}, {"layer.1.edge.pair.bias", 32},
              {"layer.0.edge.proj.weight", 8}, {"layer.0.edge.proj.bias", 8}, {"layer.0.edge.down.weight", 32},
              {"layer.1.up.bias", 64}, {"head.0.weight", 256}, {"head.1.bias", 64}, {"head.2.weight", 64}};
    FOR_DEVICES (dev) {
        struct ssa_model_config c = plain;
        struct ssa_model *m;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
            const double want = of[i].inputs ? 1 / sqrt(3.0 * of[i].inputs) : 1;
            const size_t from = strcmp(of[i].name, "node.weight") ? 0 : 64;
            const double got = deviation_of(m, of[i].name, from), count = (double)ssa_model_find(m, of[i].name)->count;
            ck_assert_msg(fabs(got / want - 1) < 4 / sqrt(count), "%s: deviation %g, not %g", of[i].name, got, want);
        }
        for (int t = 0; t < 2; t++) { /* padding's row */
            const struct ssa_parameter *p = ssa_model_find(m, t ? "edge.weight" : "node.weight");
            float *x = test_read(p->value, p->count);
            ck_assert(x[0] == 0 && x[p->columns - 1] == 0 && x[p->columns] != 0);
            ck_assert(!p->decayed && p->rows == (t ? 25 : 1153));
            free(x);
        }
        ck_assert(deviation_of(m, "layer.0.edge.norm2.gain", 0) == 1 && deviation_of(m, "norm.bias", 0) == 0);
        ck_assert(!ssa_model_find(m, "layer.1.edge.proj.weight") && !ssa_model_find(m, "layer.1.edge.up.weight"));
        ck_assert(ssa_model_find(m, "layer.0.edge.pair.weight")->decayed);
        ssa_model_destroy(m);
        c.egt.virtual_nodes = 0;
        c.egt.head_layers = 1;
        c.egt.head_start = 5.6894608f;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        ck_assert_double_eq_tol(deviation_of(m, "head.0.bias", 0), 5.6894608, 1e-6);
        ck_assert(!ssa_model_find(m, "virtual.weight") && !ssa_model_find(m, "head.1.weight"));
        ck_assert_int_eq(ssa_model_find(m, "head.0.weight")->columns, 64);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- graphs ---- */

/* How many nodes graph `number` has: of one, of most, and between. */
static int size_of(int number)
{
    static const int sizes[] = {7, 14, 1, 9, 4, 11, 2, 13};
    return sizes[number % 8];
}

static int whole(uint32_t of, uint32_t at, int below)
{
    return (int)((golden_value(of, at) + 1) / 2 * below);
}

enum padding { ZEROES, JUNK };
struct arrays {
    int32_t lengths[BATCH], nodes[BATCH * NODES * IDS], edges[BATCH * NODES * NODES * EDGE_IDS];
    int32_t hops[BATCH * NODES * NODES];
    float encodings[BATCH * NODES * ENCODINGS], values[BATCH * TARGETS];
};

/* Node i of graph `number`, and its pair with j, at places of the arrays. */
static void put_node(struct arrays *a, size_t at, int number, int i)
{
    const uint32_t place = (uint32_t)(number * NODES + i);
    for (uint32_t m = 0; m < IDS; m++)
        a->nodes[at * IDS + m] = 1 + (int)m * VALUES + whole(20, place * IDS + m, VALUES);
    for (uint32_t c = 0; c < ENCODINGS; c++)
        a->encodings[at * ENCODINGS + c] = (float)golden_value(21, place * ENCODINGS + c);
}

static void put_pair(struct arrays *a, size_t at, int number, int i, int j)
{
    const uint32_t place = (uint32_t)((number * NODES + i) * NODES + j);
    a->hops[at] = i == j ? 0 : 1 + whole(22, place, HOPS);
    for (uint32_t m = 0; m < EDGE_IDS; m++) /* bonds are few */
        a->edges[at * EDGE_IDS + m] = whole(23, place, 3) ? 0 : 1 + (int)m * EDGE_VALUES +
                                                                whole(24, place * EDGE_IDS + m, EDGE_VALUES);
}

/* Graphs in rows of n nodes, of which each has its own. `turn`: nodes in another order. */
static void fill(struct arrays *a, const int *numbers, int count, int n, enum padding padding, int turn)
{
    memset(a, 0, sizeof *a);
    for (int b = 0; b < count; b++) {
        const int size = size_of(numbers[b]);
        a->lengths[b] = LEAD + size;
        for (int i = 0; i < n; i++) {
            const int u = i < size ? (i + turn) % size : i;
            if (i < size || padding == JUNK)
                put_node(a, (size_t)(b * n + i), numbers[b], u);
            for (int j = 0; j < n; j++)
                if ((i < size && j < size) || padding == JUNK)
                    put_pair(a, (size_t)((b * n + i) * n + j), numbers[b], u, j < size ? (j + turn) % size : j);
        }
        for (int t = 0; t < TARGETS; t++)
            a->values[b * TARGETS + t] = (float)(2 * golden_value(25, (uint32_t)(numbers[b] * TARGETS + t)));
    }
}

/* The nodes that the largest has. */
static int most_of(const int *numbers, int count)
{
    int most = 1;
    for (int b = 0; b < count; b++)
        most = size_of(numbers[b]) > most ? size_of(numbers[b]) : most;
    return most;
}

/* ---- a fixture ---- */

struct fixture {
    struct ssa_model *model;
    struct ssa_model_config config;
    struct ssa_plan plan[LAYERS];
    const struct ssa_plan *plans[LAYERS];
    struct arrays arrays;
    struct ssa_pass pass;
};

static void fill_parameters(struct ssa_model *m)
{
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        const bool gain = strstr(p->name, "gain");
        const double scale = strstr(p->name, "head") ? 0.2 : 0.4;
        float *x = malloc(p->count * sizeof *x);
        for (size_t e = 0; e < p->count; e++)
            x[e] = (float)(gain + scale * golden_value((uint32_t)i, (uint32_t)e));
        OK(ssa_tensor_write(p->value, x, p->count));
        free(x);
    }
}

static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct ssa_model_config *c)
{
    *f = (struct fixture){.config = *c};
    OK(ssa_model_create(&f->model, dev, c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    fill_parameters(f->model);
}

static void close_fixture(struct fixture *f)
{
    ssa_model_destroy(f->model);
    for (int l = 0; l < LAYERS; l++)
        ssa_plan_finish(&f->plan[l]);
}

/* A pass over graphs, whose rows are of n nodes; 0: of as many as the largest. */
static void give(struct fixture *f, const int *numbers, int count, int n, enum padding padding, int turn)
{
    struct arrays *a = &f->arrays;
    n = n ? n : most_of(numbers, count);
    fill(a, numbers, count, n, padding, turn);
    f->pass = (struct ssa_pass){.batch = count, .length = LEAD + n, .lengths = a->lengths, .nodes = a->nodes,
        .encodings = a->encodings, .edges = a->edges, .hops = a->hops, .values = a->values, .seed = 3, .step = 5,
        .grad_scale = 0.25f};
}

/* Of each graph, from the first's number in its step on. A negative ratio: each node stays with this probability. */
static void draw(struct fixture *f, float ratio, int first)
{
    static const int lead[] = {0, 1};
    ck_assert_int_eq(f->config.egt.virtual_nodes, LEAD);
    for (int l = 0; l < LAYERS; l++) {
        OK(ssa_plan_draw(&f->plan[l], &(struct ssa_sample){.kind = SSA_UNBIASED, .length = f->pass.length,
            .batch = f->pass.batch, .lengths = f->pass.lengths, .ratio = fabsf(ratio), .independent = ratio < 0,
            .keep = lead, .keep_count = LEAD, .per_example = 1, .seed = 9, .layer = (uint32_t)l,
            .first_example = (uint32_t)first}));
        f->plans[l] = &f->plan[l];
    }
    f->pass.plans = f->plans;
    f->pass.first_example = (uint32_t)first;
}

static float *answers(struct fixture *f)
{
    const size_t count = (size_t)f->pass.batch * TARGETS;
    float *x = malloc(count * sizeof *x);
    OK(ssa_model_forward(f->model, &f->pass));
    for (size_t i = 0; i < count; i++)
        OK(ssa_model_read_logits(f->model, (int)(i / TARGETS), (int)(i % TARGETS), &x[i]));
    return x;
}

/* Losses of a training pass, and all gradients. */
struct outcome {
    float *losses, *gradients;
    size_t count;
};

static struct outcome train(struct fixture *f)
{
    struct outcome o = {0};
    f->pass.training = 1;
    OK(ssa_model_forward(f->model, &f->pass));
    o.losses = test_read(ssa_model_losses(f->model), (size_t)f->pass.batch * TARGETS);
    OK(ssa_model_backward(f->model));
    o.count = ssa_arena_elements(ssa_model_gradients(f->model));
    o.gradients = malloc(o.count * sizeof *o.gradients);
    OK(ssa_arena_read(ssa_model_gradients(f->model), 0, o.count, o.gradients));
    return o;
}

static void finish(struct outcome *o)
{
    free(o->losses);
    free(o->gradients);
}

/* Within a share of the longest gradient. */
static void check_gradients(const struct outcome *a, const struct outcome *b, double within, const char *what)
{
    double most = 0, worst = 0;
    ck_assert_uint_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        most = fmax(most, fabs((double)a->gradients[i]));
        worst = fmax(worst, fabs((double)a->gradients[i] - (double)b->gradients[i]));
    }
    ck_assert_msg(most > 1e-3 && worst <= within * most, "%s: gradients differ by %g of %g", what, worst, most);
}

static void check_values(const float *a, const float *b, size_t count, double within, const char *what)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)a[i] - (double)b[i]) <= within, "%s: %.9g, %.9g", what, (double)a[i], (double)b[i]);
}

static const int numbers[BATCH] = {0, 1, 2, 3}, few[BATCH] = {0, 2, 3, 4};

/* ---- order, padding, company ---- */

enum { RATIOS = 3 };
static const float ratios[RATIOS] = {0, 0.5f, -0.5f}; /* 0: dense */

START_TEST(order_of_nodes_does_not_count)
{
    FOR_DEVICES (dev)
        for (int mode = 0; mode < MODES; mode++) {
            const struct ssa_model_config c = small(mode);
            struct fixture f;
            open_fixture(&f, dev, &c);
            give(&f, numbers, BATCH, 0, ZEROES, 0);
            float *a = answers(&f);
            struct outcome before = train(&f);
            give(&f, numbers, BATCH, 0, ZEROES, 3);
            float *b = answers(&f);
            struct outcome after = train(&f);
            check_values(a, b, BATCH * TARGETS, 1e-6, "answers");
            check_gradients(&before, &after, 1e-6, "turned");
            free(a);
            free(b);
            finish(&before);
            finish(&after);
            close_fixture(&f);
        }
}
END_TEST

/* Rows of as many nodes as there are, and of more, whatever they hold; alone. */
START_TEST(padding_and_company_do_not_count)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < RATIOS * MODES; i++) {
            const struct ssa_model_config c = small(i / RATIOS);
            const float ratio = ratios[i % RATIOS];
            struct outcome o[3];
            struct fixture f;
            float *a[3];
            open_fixture(&f, dev, &c);
            for (int n = 0; n < 3; n++) {
                give(&f, few, BATCH, n ? NODES : 0, n > 1 ? JUNK : ZEROES, 0);
                if (ratio != 0)
                    draw(&f, ratio, 7);
                a[n] = answers(&f);
                o[n] = train(&f);
            }
            for (int n = 1; n < 3; n++) {
                ck_assert_msg(!memcmp(a[0], a[n], BATCH * TARGETS * sizeof **a), "answers differ by padding, %d", i);
                ck_assert_msg(!memcmp(o[0].losses, o[n].losses, BATCH * TARGETS * sizeof(float)), "losses, %d", i);
                check_gradients(&o[0], &o[n], 1e-6, "padded");
            }
            for (int b = 0; b < BATCH; b++) {
                give(&f, &few[b], 1, 0, ZEROES, 0);
                if (ratio != 0)
                    draw(&f, ratio, 7 + b);
                float *alone = answers(&f);
                check_values(alone, a[0] + b * TARGETS, TARGETS, 1e-6, "alone"); /* one row is another GEMM */
                free(alone);
            }
            for (int n = 0; n < 3; n++) {
                free(a[n]);
                finish(&o[n]);
            }
            close_fixture(&f);
        }
}
END_TEST

/* ---- sampling ---- */

/* All keys of every graph: the bits of a dense pass, forward and back; edges updated by cells those of all edges. */
START_TEST(all_keys_are_dense)
{
    FOR_DEVICES (dev) {
        struct outcome all[MODES];
        for (int mode = 0; mode < MODES; mode++) {
            const struct ssa_model_config c = small(mode);
            struct fixture f;
            open_fixture(&f, dev, &c);
            give(&f, numbers, BATCH, 0, ZEROES, 0);
            struct outcome dense = train(&f);
            draw(&f, -1, 0);
            all[mode] = train(&f);
            ck_assert(!memcmp(dense.gradients, all[mode].gradients, dense.count * sizeof(float)));
            finish(&all[mode]);
            draw(&f, 1, 0);
            all[mode] = train(&f);
            ck_assert_msg(!memcmp(dense.losses, all[mode].losses, BATCH * TARGETS * sizeof(float)), "mode %d", mode);
            ck_assert_msg(!memcmp(dense.gradients, all[mode].gradients, dense.count * sizeof(float)), "mode %d", mode);
            finish(&dense);
            close_fixture(&f);
        }
        ck_assert(!memcmp(all[SSA_EDGES_ALL].losses, all[SSA_EDGES_SAMPLED].losses, BATCH * TARGETS * sizeof(float)));
        check_gradients(&all[SSA_EDGES_ALL], &all[SSA_EDGES_SAMPLED], 1e-6, "cells");
        for (int mode = 0; mode < MODES; mode++)
            finish(&all[mode]);
    }
}
END_TEST

/* What lies in memory where nothing was sampled is not read. */
START_TEST(edges_not_sampled_are_not_read)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 2 * MODES; i++) {
            const struct ssa_model_config c = small(i / 2);
            struct fixture f;
            open_fixture(&f, dev, &c);
            give(&f, numbers, BATCH, 0, ZEROES, 0);
            draw(&f, i % 2 ? -0.3f : 0.3f, 0);
            struct outcome before = train(&f);
            OK(ssa_arena_fill(&f.model->net.kept, NAN));
            struct outcome after = train(&f);
            ck_assert(!memcmp(before.losses, after.losses, BATCH * TARGETS * sizeof(float)));
            ck_assert(!memcmp(before.gradients, after.gradients, before.count * sizeof(float)));
            finish(&before);
            finish(&after);
            close_fixture(&f);
        }
}
END_TEST

/* Plans that are no draw of one set for all: windows, and a key of one's own. */
START_TEST(other_plans)
{
    FOR_DEVICES (dev)
        for (int mode = 0; mode < MODES; mode++) {
            const struct ssa_model_config c = small(mode);
            static const int lead[] = {0, 1};
            struct fixture f;
            open_fixture(&f, dev, &c);
            give(&f, numbers, BATCH, 0, ZEROES, 0);
            for (int l = 0; l < LAYERS; l++) {
                OK(ssa_plan_draw(&f.plan[l], &(struct ssa_sample){.kind = l ? SSA_LOCAL : SSA_UNBIASED,
                    .length = f.pass.length, .batch = BATCH, .lengths = f.pass.lengths, .keys = 3, .own_key = l < 2,
                    .keep = lead, .keep_count = LEAD, .per_example = 1, .seed = 9, .layer = (uint32_t)l}));
                f.plans[l] = &f.plan[l];
            }
            f.pass.plans = f.plans;
            struct outcome a = train(&f), b = train(&f);
            ck_assert(!memcmp(a.gradients, b.gradients, a.count * sizeof(float)));
            for (size_t i = 0; i < a.count; i++)
                ck_assert(isfinite(a.gradients[i]));
            finish(&a);
            finish(&b);
            close_fixture(&f);
        }
}
END_TEST

/* ---- what is dropped ---- */

/* Losses of a batch, and of its halves as micro-batches, each of the length that it needs: what is drawn and dropped goes
 * by the number of the graph, and by places in it. */
START_TEST(parts_of_a_batch)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 2 * MODES; i++) {
            const struct ssa_model_config c = dropping(i / 2);
            const float ratio = i % 2 ? -0.5f : 0.5f;
            struct fixture f;
            open_fixture(&f, dev, &c);
            give(&f, numbers, BATCH, 0, ZEROES, 0);
            draw(&f, ratio, 0);
            struct outcome together = train(&f);
            for (int half = 0; half < 2; half++) {
                const int first = half * BATCH / 2;
                give(&f, numbers + first, BATCH / 2, 0, ZEROES, 0);
                draw(&f, ratio, first);
                struct outcome part = train(&f);
                check_values(part.losses, together.losses + first * TARGETS, BATCH / 2 * TARGETS, 2e-6, "a half");
                finish(&part);
            }
            finish(&together);
            close_fixture(&f);
        }
}
END_TEST

START_TEST(evaluation_drops_nothing)
{
    const struct ssa_model_config with = dropping(SSA_EDGES_ALL), without = small(SSA_EDGES_ALL);
    FOR_DEVICES (dev) {
        struct fixture f, g;
        open_fixture(&f, dev, &with);
        open_fixture(&g, dev, &without);
        give(&f, numbers, BATCH, 0, ZEROES, 0);
        give(&g, numbers, BATCH, 0, ZEROES, 0);
        float *a = answers(&f), *b = answers(&g);
        ck_assert(!memcmp(a, b, BATCH * TARGETS * sizeof *a));
        struct outcome o = train(&f), p = train(&g);
        ck_assert(fabsf(o.losses[0] - p.losses[0]) > 1e-3f);
        free(a);
        free(b);
        finish(&o);
        finish(&p);
        close_fixture(&f);
        close_fixture(&g);
    }
}
END_TEST

/* ---- finite differences of the whole ---- */

static void check_model(struct ssa_device *dev, const struct ssa_model_config *c, float ratio, const char *what)
{
    struct fixture f;
    open_fixture(&f, dev, c);
    give(&f, numbers, BATCH, 0, ZEROES, 0);
    f.pass.training = 1;
    f.pass.grad_scale = 1;
    if (ratio != 0)
        draw(&f, ratio, 2);
    check_differences(&(struct differences){f.model, &f.pass, BATCH * TARGETS, .what = what,
        .may_vanish = ratio < 0 && ratio > -1e-3f}); /* of virtual nodes alone others have none */
    close_fixture(&f);
}

START_TEST(finite_differences)
{
    static const char *const names[] = {"all edges", "sampled edges", "fixed edges"};
    FOR_DEVICES (dev) {
        for (int mode = 0; mode < MODES; mode++) {
            struct ssa_model_config c = dropping(mode);
            c.egt.loss = SSA_LOSS_L2; /* of which a difference knows no kink */
            c.egt.scale_degrees = mode == SSA_EDGES_SAMPLED;
            check_model(dev, &c, 0.5f, names[mode]);
            check_model(dev, &c, -0.6f, names[mode]);
            check_model(dev, &c, -1e-9f, names[mode]);
        }
        struct ssa_model_config c = small(SSA_EDGES_ALL);
        c.egt.loss = SSA_LOSS_L2;
        check_model(dev, &c, 0, "dense");
    }
}
END_TEST

/* ---- gates and biases at their ends ---- */

/* Parameters of every layer's pairs: no weights, so that E and G are what the biases say. */
static void set_pairs(struct ssa_model *m, float bias, float gate)
{
    char name[48];
    for (int l = 0; l < LAYERS; l++) {
        const float heads[] = {bias, bias, gate, gate};
        snprintf(name, sizeof name, "layer.%d.edge.pair.weight", l);
        const struct ssa_parameter *w = ssa_model_find(m, name);
        OK(ssa_tensor_fill(w->value, 0, w->count));
        snprintf(name, sizeof name, "layer.%d.edge.pair.bias", l);
        OK(ssa_tensor_write(ssa_model_find(m, name)->value, heads, 4));
    }
}

/* A block's attention without gates and biases. */
static float *plain_attention(struct ssa_device *dev, const struct fixture *f, const struct ssa_edge_attention_block *b)
{
    const struct ssa_staged_plan *staged = &f->model->plans[b->layer];
    const size_t width = (size_t)b->width, rows = (size_t)f->pass.batch * (size_t)f->pass.length;
    const struct ssa_tensor qkv = ssa_arena_at(&f->model->net.kept, b->qkv_at);
    struct ssa_tensor out = test_new(dev, rows * width), lse = test_new(dev, rows * (size_t)b->heads);
    const struct ssa_strides strides = {.position = 3 * width};
    OK(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){{.q = qkv, .k = ssa_tensor_add(qkv, width),
        .v = ssa_tensor_add(qkv, 2 * width), .out = out, .lse = lse, .plan = &staged->plan, .plan_data = staged->data,
        .batch = f->pass.batch, .keys = f->pass.length, .heads = b->heads, .width = b->width / b->heads,
        .q_strides = strides, .k_strides = strides, .v_strides = strides, .clip = b->clip}}));
    float *x = test_read(out, rows * width);
    test_free(out, rows * width);
    test_free(lse, rows * (size_t)b->heads);
    return x;
}

/* Gates that are open are counted, and attention is what it is without; a bias that is the same for all changes nothing;
 * gates that are shut let nothing through. */
static void check_gates(struct ssa_device *dev, bool shut)
{
    const struct ssa_model_config c = small(SSA_EDGES_ALL);
    struct fixture f;
    open_fixture(&f, dev, &c);
    set_pairs(f.model, 0.7f, shut ? -30 : 30);
    give(&f, numbers, BATCH, 0, ZEROES, 0);
    struct outcome o = train(&f);
    for (size_t i = 0; i < o.count; i++)
        ck_assert(isfinite(o.gradients[i]));
    const struct ssa_edge_attention_block *b = (const void *)f.model->net.blocks[1];
    const int n = f.pass.length, rows = BATCH * n;
    ck_assert(b->block.kind == &ssa_edge_attention_kind);
    float *sums = test_read(ssa_arena_at(&f.model->net.kept, b->sums), (size_t)(rows * b->heads));
    float *att = test_read(ssa_arena_at(&f.model->net.kept, b->att), (size_t)(rows * b->width));
    float *want = plain_attention(dev, &f, b);
    for (int i = 0; i < rows * b->heads; i++) {
        const int length = f.arrays.lengths[i / (b->heads * n)];
        ck_assert_float_eq_tol(sums[i], shut || i % n >= length ? 0 : (float)length, 1e-5f);
    }
    for (int i = 0; i < rows * b->width; i++)
        ck_assert_float_eq_tol(att[i], shut ? 0 : want[i], 2e-6f);
    free(sums);
    free(att);
    free(want);
    finish(&o);
    close_fixture(&f);
}

START_TEST(gates_and_biases)
{
    FOR_DEVICES (dev)
        for (int shut = 0; shut < 2; shut++)
            check_gates(dev, shut);
}
END_TEST

/* ---- padding that is seen ---- */

/* As the authors' code has it: what a graph is padded to counts then, but nothing else of it. */
START_TEST(virtual_nodes_that_see_padding)
{
    struct ssa_model_config c = small(SSA_EDGES_ALL);
    c.egt.virtual_see_padding = 1;
    FOR_DEVICES (dev) {
        struct fixture f;
        int32_t keys[LEAD + NODES + 1];
        open_fixture(&f, dev, &c);
        give(&f, few, BATCH, 0, ZEROES, 0);
        float *a = answers(&f);
        const struct ssa_plan *plan = &f.model->plans[1].plan;
        const int n = f.pass.length;
        for (int b = 0; b < BATCH; b++)
            for (int q = 0; q < n; q++) {
                const int length = f.arrays.lengths[b], count = ssa_plan_keys(plan, b, q, keys);
                ck_assert_int_eq(count, q < LEAD ? n : q < length ? length : LEAD);
                for (int k = 0; k < count; k++)
                    ck_assert_int_eq(keys[k], k);
            }
        give(&f, few, BATCH, NODES, ZEROES, 0);
        float *b = answers(&f);
        ck_assert(fabsf(a[2] - b[2]) > 1e-5f);
        draw(&f, 1, 0); /* dense plans are what they are without */
        float *same = answers(&f);
        ck_assert(!memcmp(b, same, BATCH * TARGETS * sizeof *b));
        draw(&f, 0.5f, 0);
        FAILS(ssa_model_forward(f.model, &f.pass), SSA_EINVAL, "the plan of layer 0 samples, but virtual nodes see");
        give(&f, &few[2], 1, NODES, ZEROES, 0);
        float *alone = answers(&f);
        check_values(alone, b + 2 * TARGETS, TARGETS, 1e-6, "alone");
        struct outcome o = train(&f);
        for (size_t i = 0; i < o.count; i++)
            ck_assert(isfinite(o.gradients[i]));
        finish(&o);
        free(a);
        free(b);
        free(same);
        free(alone);
        close_fixture(&f);
    }
}
END_TEST

/* ---- learning, from a source ---- */

enum { GRAPHS = 64, SIGNS = 4 };

/* A path, and what is to be learned of it: how many nodes are of the second kind, and how many of its bonds. */
static void make_graph(const struct ssa_batch *batch, int at, int number, const struct ssa_draw *draw)
{
    const int n = batch->length - LEAD, size = 3 + number % 8;
    int32_t bonds[2 * NODES], *nodes = batch->nodes + at * n * IDS;
    float *encodings = batch->encodings + at * n * 2 * SIGNS;
    int of_nodes = 0, of_bonds = 0;
    for (int i = 0; i < size; i++) {
        const int kind = whole(30, (uint32_t)(number * NODES + i), 2), bond = whole(31, (uint32_t)(number * NODES + i), 2);
        nodes[i * IDS] = 1 + kind;
        of_nodes += kind;
        if (!i)
            continue;
        bonds[2 * i - 2] = i - 1;
        bonds[2 * i - 1] = i;
        batch->edges[((at * n + i) * n + i - 1) * EDGE_IDS] = batch->edges[((at * n + i - 1) * n + i) * EDGE_IDS] = 1 + bond;
        of_bonds += bond;
    }
    const struct ssa_graph g = {.nodes = size, .edges = bonds, .edge_count = (size_t)size - 1};
    OK(ssa_graph_hops(&g, HOPS, batch->hops + at * n * n, (size_t)n));
    OK(ssa_graph_encodings(&g, SIGNS, encodings, 0));
    if (draw->training)
        ssa_graph_flip(encodings, size, SIGNS, 0, draw->seed, draw->step, draw->first + (uint64_t)at);
    batch->lengths[at] = LEAD + size;
    batch->values[at * TARGETS] = (float)of_nodes / 4;
    batch->values[at * TARGETS + 1] = (float)of_bonds / 4;
}

static int fill_graphs(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    const int *of = cookie; /* how many graphs there are to learn from */
    int most = 0;
    int32_t number[64];
    for (int i = 0; i < draw->count; i++) {
        const uint64_t at = draw->training ? draw->step * 7 + draw->first + (uint64_t)i : draw->first + (uint64_t)i;
        number[i] = (int32_t)(draw->training ? at % (uint64_t)*of : at);
        most = 3 + number[i] % 8 > most ? 3 + number[i] % 8 : most;
    }
    batch->length = LEAD + most;
    const size_t n = (size_t)most, count = (size_t)draw->count;
    memset(batch->nodes, 0, count * n * IDS * sizeof *batch->nodes);
    memset(batch->encodings, 0, count * n * 2 * SIGNS * sizeof *batch->encodings);
    memset(batch->edges, 0, count * n * n * EDGE_IDS * sizeof *batch->edges);
    memset(batch->hops, 0, count * n * n * sizeof *batch->hops);
    for (int i = 0; i < draw->count; i++)
        make_graph(batch, i, number[i], draw);
    return SSA_OK;
}

static struct ssa_model_config learner(int mode)
{
    struct ssa_model_config c = small(mode);
    c.egt.encodings = 2 * SIGNS;
    c.egt.loss = SSA_LOSS_L2;
    c.egt.attention_dropout = 0.1f;
    c.egt.dropout = c.egt.edge_dropout = 0.02f;
    return c;
}

static int graphs = GRAPHS;
static const struct ssa_data source = {.fill = fill_graphs, .cookie = &graphs, .examples = GRAPHS, .identity = 3};

enum { MICRO = 8, STEP = 32 };

static void start(struct ssa_model *m, int steps, struct ssa_trainer **t)
{
    const struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.6f, .per_example = 1}, .steps = steps / 2, .lr = 4e-3f, .warmup = 4},
        {.steps = steps - steps / 2, .lr = 2e-3f}};
    OK(ssa_model_initialise(m, 1));
    OK(ssa_trainer_create(t, m, &(struct ssa_train_config){.batch = STEP, .stages = stages, .stage_count = 2,
        .decay = SSA_NONE}, &source));
}

/* The mean square of distances over graphs that were not learned from, of both targets. */
static double distance(struct ssa_model *m)
{
    enum { UNSEEN = 200 };
    float encodings[MICRO * NODES * 2 * SIGNS], values[MICRO * TARGETS];
    int32_t lengths[MICRO], *nodes = calloc(MICRO * NODES * IDS, 4), *hops = calloc(MICRO * NODES * NODES, 4);
    int32_t *edges = calloc(MICRO * NODES * NODES * EDGE_IDS, 4);
    struct ssa_batch b = {.lengths = lengths, .nodes = nodes, .encodings = encodings, .edges = edges, .hops = hops,
                          .values = values};
    double sum = 0;
    for (int first = UNSEEN; first < UNSEEN + 8 * MICRO; first += MICRO) {
        OK(fill_graphs(&graphs, &(struct ssa_draw){.count = MICRO, .first = (uint64_t)first}, &b));
        OK(ssa_model_forward(m, &(struct ssa_pass){.batch = MICRO, .length = b.length, .lengths = lengths, .nodes = nodes,
            .encodings = encodings, .edges = edges, .hops = hops, .values = values}));
        float *losses = test_read(ssa_model_losses(m), MICRO * TARGETS);
        for (int i = 0; i < MICRO * TARGETS; i++)
            sum += (double)losses[i] / (8 * MICRO * TARGETS);
        free(losses);
    }
    free(nodes);
    free(hops);
    free(edges);
    return sum;
}

/* With signs of encodings turned at random; of both targets together a guess of the mean is off by 0.18. */
START_TEST(learns)
{
    FOR_DEVICES (dev)
        for (int mode = 0; mode < MODES; mode++) {
            const bool host = !strcmp(dev->backend->name, "host"); /* elsewhere kernels are built without optimisation */
            const struct ssa_model_config c = learner(mode);
            struct ssa_trainer *t;
            struct ssa_model *m;
            if (!test_fits(100000000) || test_launches_slowly(dev))
                continue;
            OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = MICRO, .training = 1}));
            start(m, host ? 100 : 10, &t);
            const double first = distance(m);
            OK(ssa_trainer_run(t, 0, NULL));
            const double last = distance(m);
            ck_assert_msg(last < (host ? 0.08 : first), "mode %d: %g after %g", mode, last, first);
            ssa_trainer_destroy(t);
            ssa_model_destroy(m);
        }
}
END_TEST

/* A sign of an encoding counts, as it does not in what a graph is. */
START_TEST(signs_count)
{
    const struct ssa_model_config c = small(SSA_EDGES_ALL);
    FOR_DEVICES (dev) {
        struct fixture f;
        open_fixture(&f, dev, &c);
        give(&f, numbers, BATCH, 0, ZEROES, 0);
        float *a = answers(&f);
        for (size_t i = 0; i < (size_t)(f.pass.length - LEAD) * ENCODINGS; i += ENCODINGS)
            f.arrays.encodings[i] *= -1;
        float *b = answers(&f);
        ck_assert(fabsf(a[0] - b[0]) > 1e-4f && !memcmp(a + TARGETS, b + TARGETS, (BATCH - 1) * TARGETS * sizeof *a));
        free(a);
        free(b);
        close_fixture(&f);
    }
}
END_TEST

/* ---- runs: resumed, on several devices ---- */

enum { STEPS = 8 };

static float *weights_of(struct ssa_model *m, size_t *count)
{
    float *x = NULL;
    *count = 0;
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        x = realloc(x, (*count + p->count) * sizeof *x);
        OK(ssa_tensor_read(p->value, x + *count, p->count));
        *count += p->count;
    }
    return x;
}

/* On a device, or on a pool. */
static struct run begin(struct ssa_device *dev, struct ssa_pool *pool, const struct ssa_model_config *c)
{
    const struct ssa_model_limits limits = {.batch = MICRO, .training = 1};
    struct run r;
    OK(pool ? ssa_pool_model_create(&r.model, pool, c, &limits) : ssa_model_create(&r.model, dev, c, &limits));
    start(r.model, STEPS, &r.trainer);
    return r;
}

static float *run_on(struct run r, size_t *count)
{
    OK(ssa_trainer_run(r.trainer, 0, NULL));
    float *x = weights_of(r.model, count);
    run_end(r);
    return x;
}

static float *run_resumed(struct ssa_device *dev, const struct ssa_model_config *c, size_t *count)
{
    struct run first = begin(dev, NULL, c), second = begin(dev, NULL, c);
    char path[SAVED_PATH];
    saved_path(path, "egt-run");
    OK(ssa_trainer_run(first.trainer, STEPS / 2 - 1, NULL));
    OK(ssa_checkpoint_save(path, first.model, first.trainer, NULL));
    run_end(first);
    saved_load(path, second.model, second.trainer);
    remove(path);
    return run_on(second, count);
}

static float *run_pooled(const struct ssa_model_config *c, int devices, size_t *count)
{
    struct ssa_pool *pool = pools_hosts(devices, &(struct ssa_pool_config){0});
    float *x = run_on(begin(NULL, pool, c), count);
    ssa_pool_close(pool);
    return x;
}

/* A pool's sums are in another order than those of one device alone, and the same whatever the number of its devices. */
static void check_runs(struct ssa_device *dev, int mode)
{
    const struct ssa_model_config c = learner(mode);
    size_t count[4];
    float *x[] = {run_on(begin(dev, NULL, &c), &count[0]), run_resumed(dev, &c, &count[1]),
                  run_pooled(&c, 1, &count[2]), run_pooled(&c, 3, &count[3])};
    ck_assert(count[0] == count[1] && count[0] == count[2] && count[0] == count[3]);
    ck_assert_msg(!memcmp(x[0], x[1], count[0] * sizeof **x), "mode %d: resumed", mode);
    check_values(x[2], x[0], count[0], 1e-4, "on a pool");
    ck_assert_msg(!memcmp(x[2], x[3], count[0] * sizeof **x), "mode %d: on three devices", mode);
    for (int i = 0; i < 4; i++)
        free(x[i]);
}

START_TEST(runs_that_are_resumed_or_shared)
{
    struct ssa_device *dev;
    OK(ssa_device_open(&dev, "cpu")); /* as those of the pool */
    for (int mode = 0; mode < MODES; mode++)
        check_runs(dev, mode);
    ssa_device_close(dev);
}
END_TEST

/* ---- files, memory ---- */

START_TEST(saved_and_loaded)
{
    char path[SAVED_PATH];
    saved_path(path, "egt");
    FOR_DEVICES (dev) {
        struct ssa_model_config c = dropping(SSA_EDGES_SAMPLED), other = c;
        struct ssa_checkpoint *checkpoint;
        struct fixture f;
        c.egt.clip = SSA_NONE;
        c.egt.head_start = -2.5f;
        open_fixture(&f, dev, &c);
        give(&f, numbers, BATCH, 0, ZEROES, 0);
        struct ssa_model *loaded = saved_again(f.model, path, &checkpoint);
        const struct ssa_egt *read = &ssa_checkpoint_model(checkpoint)->egt;
        ck_assert(read->edge_mode == SSA_EDGES_SAMPLED && read->virtual_nodes == LEAD && read->hops == HOPS);
        ck_assert(read->clip == SSA_NONE && read->head_start == -2.5f && read->edge_hidden_ratio == 2);
        OK(ssa_model_forward(f.model, &f.pass));
        OK(ssa_model_forward(loaded, &f.pass));
        test_same_bits("losses", ssa_model_losses(f.model), ssa_model_losses(loaded), BATCH * TARGETS);
        other = c; /* the same weights fit a model for larger graphs, that updates all edges and drops nothing */
        other.egt.nodes = 2 * NODES;
        other.egt.edge_mode = SSA_EDGES_ALL;
        other.egt.dropout = 0;
        OK(ssa_model_same(&c, &other));
        other.egt.edge_mode = SSA_EDGES_FIXED;
        saved_refuses(checkpoint, dev, &other, "it is of another model");
        other = c;
        other.egt.node_values = VALUES + 1;
        saved_refuses(checkpoint, dev, &other, "node_values is 5, this model's is 6");
        ssa_model_destroy(loaded);
        ssa_checkpoint_close(checkpoint);
        close_fixture(&f);
    }
    remove(path);
}
END_TEST

START_TEST(memory_is_as_foreseen)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 2 * MODES; i++) {
            const struct ssa_model_config c = dropping(i % MODES);
            const struct ssa_model_limits limits = {.batch = BATCH, .training = 1, .max_buffer = i < MODES ? 0 : 30000};
            struct ssa_memory memory;
            struct fixture f = {.config = c};
            OK(ssa_model_memory(&c, &limits, &memory));
            const size_t before = test_held(dev);
            OK(ssa_model_create(&f.model, dev, &c, &limits));
            give(&f, numbers, BATCH, NODES, ZEROES, 0);
            draw(&f, i % 2 ? 1 : 0.5f, 0);
            struct outcome o = train(&f);
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            finish(&o);
            close_fixture(&f);
        }
}
END_TEST

/* What a layer keeps of edges: all of e twice, the MLP's, E and G, scores; cells the same, and e itself once; fixed ones
 * E and G alone. Without backward layers share. */
START_TEST(memory_of_edges)
{
    struct ssa_model_config c = PUBLISHED(.layers = 12, .heads = 8, .width = 64, .edge_width = 32);
    const double pairs = 55.0 * 55 * 4, nodes = 55.0 * 64 * 4;
    static const double widths[MODES] = {32 + 32 + 32 + 16 + 8, 32 + 32 + 32 + 32 + 16 + 8, 16};
    for (int mode = 0; mode < MODES; mode++) {
        struct ssa_memory memory;
        c.egt.edge_mode = mode;
        OK(ssa_model_memory(&c, &(struct ssa_model_limits){.batch = 1, .training = 1}, &memory));
        const double layers = (double)memory.activations - 12 * 7 * nodes;
        ck_assert_double_gt(layers, 11 * widths[mode] * pairs);
        ck_assert_double_lt(layers, 11 * (widths[mode] + 8) * pairs + 20 * 32 * pairs);
        OK(ssa_model_memory(&c, &(struct ssa_model_limits){.batch = 1}, &memory));
        ck_assert_double_lt((double)memory.activations, (5 * 32 + 3 * 16) * pairs + 20 * nodes);
    }
}
END_TEST

/* ---- bad input ---- */

START_TEST(bad_configs)
{
    struct ssa_model_config c;
#define BAD(words, ...) \
    c = (struct ssa_model_config){.family = SSA_EGT, .egt = {.nodes = 10, .node_ids = 2, .node_values = 5, .edge_ids = 1, \
        .edge_values = 3, .hops = 4, .encodings = 4, .layers = 2, .heads = 2, .width = 16, .edge_width = 8, \
        __VA_ARGS__}}; \
    FAILS(ssa_model_check(&c), SSA_EINVAL, words); \
    ck_assert_uint_eq(ssa_model_elements(&c), 0); \
    ck_assert_int_eq(ssa_model_layers(&c), 0)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    BAD("nodes is 0", .nodes = 0);
    BAD("nodes is 8193", .nodes = 8193);
    BAD("node_ids is 0", .node_ids = 0);
    BAD("node_values is 0", .node_values = 0);
    BAD("node_ids 1000 of node_values 2000, must together", .node_ids = 1000, .node_values = 2000);
    BAD("edge_values is 0, must be at least 1 where there are edge_ids", .edge_values = 0);
    BAD("edge_ids 100 of edge_values 20000", .edge_ids = 100, .edge_values = 20000);
    BAD("hops is 0", .hops = 0);
    BAD("encodings is -1", .encodings = -1);
    BAD("layers is 0", .layers = 0);
    BAD("width 16 does not divide by heads 3", .heads = 3);
    BAD("heads of width 2 (16/8); must be a multiple of 4", .heads = 8);
    BAD("edge_width is 0", .edge_width = 0);
    BAD("virtual_nodes is -1", .virtual_nodes = -1);
    BAD("hidden_ratio is 0.01, of width 16 that is 0, must be in [1, 262144]", .hidden_ratio = 0.01f);
    BAD("edge_hidden_ratio is 0.05, of edge_width 8 that is 0", .edge_hidden_ratio = 0.05f);
    BAD("targets is -1", .targets = -1);
    BAD("loss is 2", .loss = 2);
    BAD("edge_mode is 3", .edge_mode = 3);
    BAD("activation is 7", .activation = 7);
    BAD("head_layers is 2, must be 1 or 3", .head_layers = 2);
    BAD("head_start is nan", .head_start = NAN);
    BAD("clip is -0.5, must be positive or SSA_NONE", .clip = -0.5f);
    BAD("clip is -2", .clip = -2);
    BAD("norm_eps is -1", .norm_eps = -1);
    BAD("scale_degrees is 2", .scale_degrees = 2);
    BAD("virtual_see_padding is -1", .virtual_see_padding = -1);
    BAD("dropout is 1", .dropout = 1);
    BAD("edge_dropout is 1, must be in [0, 1)", .edge_dropout = 1);
    BAD("attention_dropout is 1", .attention_dropout = 1);
    BAD("drop_keys is 1", .drop_keys = 1);
    BAD("attention_dropout is 0.5 and drop_keys 0.25", .attention_dropout = 0.5f, .drop_keys = 0.25f);
    BAD("activation_dropout is 1", .activation_dropout = 1);
    BAD("drop_path is 1", .drop_path = 1);
#pragma GCC diagnostic pop
    struct ssa_memory memory;
    c = PUBLISHED(.layers = 1, .heads = 1, .width = 16, .edge_width = 4);
    c.egt.nodes = 8000;
    FAILS(ssa_model_memory(&c, &(struct ssa_model_limits){.batch = 17}, &memory), SSA_EINVAL,
          "batch 17 of 8004 positions has 1089088272 pairs of them");
}
END_TEST

START_TEST(bad_passes)
{
    const struct ssa_model_config c = small(SSA_EDGES_ALL);
    FOR_DEVICES (dev) {
        struct fixture f;
        struct ssa_plan other = {0};
        const struct ssa_plan *plans[LAYERS] = {NULL, &other};
        open_fixture(&f, dev, &c);
        give(&f, numbers, 2, 0, ZEROES, 0);
#define BAD_PASS(words, ...) \
    do { \
        struct ssa_pass p = f.pass; \
        __VA_ARGS__; \
        FAILS(ssa_model_forward(f.model, &p), SSA_EINVAL, words); \
    } while (0)
        BAD_PASS("takes no tokens", p.tokens = f.arrays.hops);
        BAD_PASS("takes no targets", p.targets = f.arrays.hops);
        BAD_PASS("encodings is NULL", p.encodings = NULL);
        BAD_PASS("edges is NULL", p.edges = NULL);
        BAD_PASS("lengths is NULL", p.lengths = NULL);
        BAD_PASS("the first 2 positions of all sequences are virtual", p.length = LEAD);
        BAD_PASS("smoothing is 0.1", p.smoothing = 0.1f);
        f.arrays.nodes[4] = 1 + IDS * VALUES;
        BAD_PASS("model: node 4 is 16, must be in [0, 15]", (void)0);
        f.arrays.nodes[4] = 0;
        f.arrays.hops[2] = HOPS + 1;
        BAD_PASS("model: hop 2 is 6, must be in [0, 5]", (void)0);
        f.arrays.hops[2] = 0;
        const int32_t length = f.arrays.lengths[1];
        f.arrays.lengths[1] = LEAD - 1;
        BAD_PASS("model: length 1 is 1, must be 0 or in [2, ", (void)0);
        f.arrays.lengths[1] = length;
        OK(ssa_plan_draw(&other, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = f.pass.length, .keys = 5}));
        BAD_PASS("the plan of layer 1 has 1 examples, the pass has 2", p.plans = plans);
        f.arrays.values[1] = NAN; /* of which no loss is asked */
        struct outcome o = train(&f);
        ck_assert(o.losses[1] == 0 && o.losses[0] > 0);
        finish(&o);
        f.arrays.lengths[1] = 0; /* as of the end of a list: no graph, and no loss */
        f.arrays.values[2] = f.arrays.values[3] = NAN;
        o = train(&f);
        ck_assert(o.losses[2] == 0 && o.losses[3] == 0 && o.losses[0] > 0);
        for (size_t i = 0; i < o.count; i++)
            ck_assert(isfinite(o.gradients[i]));
        finish(&o);
        ssa_plan_finish(&other);
        close_fixture(&f);
    }
}
END_TEST

int main(void)
{
    return test_run("egt", (const TTest *const[]){
        sizes, starts, order_of_nodes_does_not_count, padding_and_company_do_not_count, all_keys_are_dense,
        edges_not_sampled_are_not_read, other_plans, parts_of_a_batch, evaluation_drops_nothing, finite_differences,
        gates_and_biases, virtual_nodes_that_see_padding, learns, signs_count, runs_that_are_resumed_or_shared,
        saved_and_loaded, memory_is_as_foreseen, memory_of_edges, bad_configs, bad_passes, NULL});
}

/* Weights of the authors' EGT become a checkpoint whose answers to molecules of a file are those of their formulas
 * (tests/golden/egt_models.py), to 1e-5, and are written again as they were; and what a source of molecules draws. */
#include "egt.h"
#include "golden.h"
#include "say.h"
#include "source.h"

#include "ssacl/checkpoint.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GRAPHS = 9, MOST_ATOMS = 14, MOST_LEAD = 2, MOST = 1 << 17 };

static const char *const models[] = {"egt", "egt_simple"};
static char from[512], to[64], out[64], was[MOST], is[MOST];
static struct graphs graphs;
static uint32_t list[GRAPHS];
static struct source source;

/* ---- a batch ---- */

static struct {
    int32_t lengths[GRAPHS], nodes[GRAPHS * MOST_ATOMS * 9];
    int32_t edges[GRAPHS * MOST_ATOMS * MOST_ATOMS * 3], hops[GRAPHS * MOST_ATOMS * MOST_ATOMS];
    float encodings[GRAPHS * MOST_ATOMS * 16], values[GRAPHS];
} room;

static struct ssa_batch batch_of(const struct ssa_draw *draw)
{
    struct ssa_batch b = {.lengths = room.lengths, .nodes = room.nodes, .edges = room.edges, .hops = room.hops,
                          .encodings = room.encodings, .values = room.values, .length = MOST_ATOMS + MOST_LEAD};
    memset(&room, 0x5a, sizeof room); /* what is in it before is of no meaning */
    OK(source_fill(&source, draw, &b));
    return b;
}

static void begin(void)
{
    const int process = (int)getpid();
    snprintf(to, sizeof to, "/tmp/ssacl_egt.%d.st", process);
    snprintf(out, sizeof out, "/tmp/ssacl_egt.%d.out", process);
    golden_path("egt.graphs", from, sizeof from);
    ck_assert_int_eq(graphs_open(&graphs, from), 0);
    ck_assert_uint_eq(graphs.count, GRAPHS);
    for (uint32_t i = 0; i < GRAPHS; i++)
        list[i] = i;
    source = (struct source){.data = &graphs, .graphs = list, .count = GRAPHS, .deviation = 1, .room = 1 << 20,
                             .shape = {.hops = 17, .encodings = 16},
                             .order = {.count = GRAPHS, .batch = 4, .together = 2},
                             .of_sizes = {.count = GRAPHS, .batch = 4, .together = 2}};
}

static void end(void)
{
    source_close(&source);
    graphs_close(&graphs);
    remove(to);
    remove(out);
}

/* ---- answers ---- */

static void check_answer(struct ssa_model *model, int sequence, double want)
{
    float got = NAN;
    OK(ssa_model_read_logits(model, sequence, 0, &got));
    ck_assert_msg(fabs((double)got - want) <= 1e-5 * fmax(fabs(want), 0.1), "%.9g, not %.9g", (double)got, want);
}

static void ask(struct ssa_model *model, uint64_t first, int count)
{
    const struct ssa_draw draw = {.count = count, .first = first};
    const struct ssa_batch b = batch_of(&draw);
    OK(ssa_model_forward(model, &(struct ssa_pass){.batch = count, .length = b.length, .lengths = b.lengths,
                                                   .nodes = b.nodes, .edges = b.edges, .hops = b.hops,
                                                   .encodings = b.encodings}));
}

static struct ssa_model *import(struct ssa_device *dev, const char *name, bool mask_padding)
{
    struct ssa_checkpoint *checkpoint;
    struct ssa_model *model;
    char file[64];
    snprintf(file, sizeof file, "%s.safetensors", name);
    golden_path(file, from, sizeof from);
    ck_assert(egt_is(from));
    ck_assert_int_eq(egt_import(from, to, &(struct egt_options){.nodes = MOST_ATOMS, .mask_padding = mask_padding}), 0);
    OK(ssa_checkpoint_open(&checkpoint, to));
    OK(ssa_model_create(&model, dev, ssa_checkpoint_model(checkpoint), &(struct ssa_model_limits){.batch = GRAPHS}));
    OK(ssa_checkpoint_load(checkpoint, model, NULL));
    ssa_checkpoint_close(checkpoint);
    source.shape.virtual_nodes = ssa_model_config(model)->egt.virtual_nodes;
    return model;
}

static void check_answers(struct ssa_device *dev)
{
    json_t *golden = golden_read("egt.json");
    for (int m = 0; m < 2; m++) {
        const json_t *of = json_object_get(golden, models[m]);
        double *batch = golden_doubles(json_object_get(of, "batch"), GRAPHS);
        double *alone = golden_doubles(json_object_get(of, "alone"), GRAPHS);
        struct ssa_model *model = import(dev, models[m], false);
        ck_assert_uint_eq(ssa_model_elements(ssa_model_config(model)), (size_t)golden_int(of, "parameters"));
        ask(model, 0, GRAPHS);
        for (int i = 0; i < GRAPHS; i++)
            check_answer(model, i, batch[i]);
        ssa_model_destroy(model);
        model = import(dev, models[m], true);
        ask(model, 0, GRAPHS);
        for (int i = 0; i < GRAPHS; i++)
            check_answer(model, i, alone[i]);
        for (int i = 0; i < GRAPHS; i++) {
            ask(model, (uint64_t)i, 1);
            check_answer(model, 0, alone[i]);
        }
        ssa_model_destroy(model);
        free(batch);
        free(alone);
    }
    json_decref(golden);
}

START_TEST(answers)
{
    begin();
    FOR_DEVICES(dev)
        check_answers(dev);
    end();
}
END_TEST

START_TEST(written_again)
{
    begin();
    struct ssa_device *dev = test_device(0);
    for (int m = 0; m < 2; m++) {
        struct ssa_model *model = import(dev, models[m], true);
        ck_assert_int_eq(egt_export(model, "model", out), 0);
        const size_t size = test_load_file(from, was, sizeof was);
        ck_assert_uint_eq(test_load_file(out, is, sizeof is), size);
        ck_assert_mem_eq(was, is, size);
        ssa_model_destroy(model);
    }
    end();
}
END_TEST

/* ---- the source ---- */

START_TEST(drawn_by_seed_and_step_alone)
{
    static struct ssa_batch first;
    static int32_t nodes[4 * MOST_ATOMS * 9];
    static float encodings[4 * MOST_ATOMS * 16], values[4];
    begin();
    source.flip = true;
    source.mean = 0.5;
    source.deviation = 2;
    for (uint64_t step = 0; step < 20; step++) {
        const struct ssa_draw whole = {.training = 1, .count = 4, .seed = 3, .step = step};
        first = batch_of(&whole);
        const size_t n = (size_t)first.length;
        memcpy(nodes, first.nodes, 4 * n * 9 * sizeof *nodes);
        memcpy(encodings, first.encodings, 4 * n * 16 * sizeof *encodings);
        memcpy(values, first.values, sizeof values);
        for (int e = 3; e >= 0; e--) { /* one by one, as devices share a step: of their own lengths */
            const struct ssa_draw one = {.training = 1, .count = 1, .seed = 3, .step = step, .first = (uint64_t)e};
            const struct ssa_batch b = batch_of(&one);
            const size_t own = (size_t)b.length;
            ck_assert_int_eq(b.lengths[0], (int)own);
            ck_assert_uint_le(own, n);
            ck_assert_mem_eq(b.nodes, nodes + (size_t)e * n * 9, own * 9 * sizeof *nodes);
            ck_assert_mem_eq(b.encodings, encodings + (size_t)e * n * 16, own * 16 * sizeof *encodings);
            ck_assert_mem_eq(b.values, values + e, sizeof *values);
            ck_assert(fabsf(2 * b.values[0] + 0.5f - graphs_get(&graphs, list[0]).target) <= 2.1f);
        }
    }
    end();
}
END_TEST

enum { SIZED_STEPS = 500 };

/* Of all steps what is filled, in micro-batches of two. */
static void *fill_all(void *lengths)
{
    for (int i = 0; i < 2 * SIZED_STEPS; i++) {
        const struct ssa_draw draw = {.training = 1, .count = 2, .seed = 3, .step = (uint64_t)i / 2,
                                       .first = (uint64_t)i % 2 * 2};
        memcpy((int32_t *)lengths + (size_t)i * 2, batch_of(&draw).lengths, 2 * sizeof(int32_t));
    }
    return NULL;
}

/* For many epochs, a step at once as for a pool's shares, or a sequence; while batches are filled by another thread. */
START_TEST(sizes_are_those_of_what_is_filled)
{
    static int32_t filled[4 * SIZED_STEPS], said[4 * SIZED_STEPS], one;
    pthread_t thread;
    begin();
    source.shape.virtual_nodes = MOST_LEAD;
    OK(source_sizes(&source, &(struct ssa_draw){.training = 1, .count = 4, .seed = 3}, said));
    ck_assert(!source.order.of_pool && !source.kept); /* those are the other thread's */
    ck_assert_int_eq(pthread_create(&thread, NULL, fill_all, filled), 0);
    for (uint64_t step = 0; step < SIZED_STEPS; step++) {
        struct ssa_draw draw = {.training = 1, .count = 4, .seed = 3, .step = step};
        OK(source_sizes(&source, &draw, said + 4 * step));
        draw.count = 1;
        draw.first = 3;
        OK(source_sizes(&source, &draw, &one));
        ck_assert_int_eq(one, said[4 * step + 3]);
    }
    pthread_join(thread, NULL);
    ck_assert_mem_eq(filled, said, sizeof said);
    OK(source_sizes(&source, &(struct ssa_draw){.count = GRAPHS}, said)); /* as they lie */
    for (int i = 0; i < GRAPHS; i++)
        ck_assert_int_eq(said[i], graphs_get(&graphs, list[i]).atoms + MOST_LEAD);
    end();
}
END_TEST

START_TEST(signs_turn_in_training_alone)
{
    int turned = 0, same = 0;
    static float as_they_are[MOST_ATOMS * 16];
    begin();
    source.order.batch = source.order.together = 1;
    source.count = source.order.count = 1;
    list[0] = GRAPHS - 1; /* of 14 atoms */
    source.graphs = list;
    memcpy(as_they_are, batch_of(&(struct ssa_draw){.count = 1, .seed = 1}).encodings, sizeof as_they_are);
    source.flip = true;
    ck_assert_mem_eq(batch_of(&(struct ssa_draw){.count = 1, .seed = 1}).encodings, as_they_are, sizeof as_they_are);
    for (uint64_t step = 0; step < 40; step++) {
        const struct ssa_draw draw = {.training = 1, .count = 1, .seed = 1, .step = step};
        const struct ssa_batch b = batch_of(&draw);
        for (int c = 0; c < 8; c++) {
            const bool is_turned = b.encodings[2 * c] * as_they_are[2 * c] < 0;
            turned += is_turned;
            same += !is_turned;
            for (int i = 0; i < 2 * MOST_ATOMS; i++) { /* U and V of all atoms alike */
                const int at = i / 2 * 16 + 2 * c + i % 2;
                const float want = is_turned ? -as_they_are[at] : as_they_are[at];
                ck_assert(b.encodings[at] >= want && b.encodings[at] <= want);
            }
        }
    }
    ck_assert(turned > 100 && same > 100); /* of 320 */
    end();
}
END_TEST

START_TEST(without_room_it_is_computed_anew)
{
    static int32_t hops[sizeof room.hops / sizeof *room.hops];
    const struct ssa_draw draw = {.count = GRAPHS};
    begin();
    batch_of(&draw);
    ck_assert_uint_gt(source.used, 0);
    memcpy(hops, room.hops, sizeof hops);
    source_close(&source);
    source.room = 100; /* of one graph of one atom */
    for (int i = 0; i < 2; i++) {
        batch_of(&draw);
        ck_assert_uint_le(source.used, 100);
        ck_assert_mem_eq(room.hops, hops, sizeof hops);
    }
    end();
}
END_TEST

int main(void)
{
    return test_run("egt", (const TTest *const[]){answers, written_again, drawn_by_seed_and_step_alone,
                                                  sizes_are_those_of_what_is_filled,
                                                  signs_turn_in_training_alone, without_room_it_is_computed_anew,
                                                  NULL});
}

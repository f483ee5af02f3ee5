/* The trainer: PyTorch's ten losses, the schedule, patterns, what it refuses, and that it learns. */
#include "golden.h"
#include "ssacl/evaluate.h"
#include "train/team/team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STAGES = 4 };

/* ---- PyTorch ---- */

static float number(const json_t *o, const char *key)
{
    return (float)json_number_value(json_object_get(o, key));
}

static int read_stages(const json_t *array, int length, struct ssa_stage *stages)
{
    int count = (int)json_array_size(array);
    for (int i = 0; i < count; i++) {
        const json_t *s = json_array_get(array, (size_t)i);
        int window = golden_int(s, "window");
        stages[i] = (struct ssa_stage){.steps = golden_int(s, "steps"), .lr = number(s, "lr"),
                                       .warmup = golden_int(s, "warmup")};
        if (window)
            stages[i].pattern = (struct ssa_pattern){.kind = SSA_LOCAL, .ratio = (float)window / (float)length,
                                                     .look_back = 1, .fixed_windows = 1};
    }
    return count;
}

static void check_losses(struct ssa_device *dev, const json_t *g, int micro_batch)
{
    const json_t *t = json_object_get(g, "training");
    struct ssa_model_config c;
    struct ssa_stage stages[MAX_STAGES];
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    unsigned char data[400];
    golden_config(json_object_get(g, "config"), &c);
    struct ssa_train_config config = {.batch = golden_int(t, "batch"), .beta1 = number(t, "beta1"),
        .beta2 = number(t, "beta2"), .eps = number(t, "eps"), .decay = number(t, "decay"), .clip = number(t, "clip"),
        .seed = (uint64_t)golden_int(t, "seed"), .stages = stages};
    config.stage_count = read_stages(json_object_get(t, "stages"), c.gpt.length, stages);
    for (uint32_t i = 0; i < 400; i++)
        data[i] = (unsigned char)((int)((golden_value(2000, i) + 1) / 2 * c.gpt.vocabulary) * (i % 3 > 0));
    OK(ssa_model_create(&model, dev, &c, &(struct ssa_model_limits){.batch = micro_batch, .training = 1}));
    golden_parameters(model, 0.08);
    OK(ssa_trainer_create(&trainer, model, &config, &(struct ssa_data){.items = data, .count = 400}));
    double *losses = golden_doubles(json_object_get(g, "losses"), 10), *norms = golden_doubles(json_object_get(g, "norms"), 10);
    for (int i = 0; i < 10; i++) {
        float loss, norm;
        OK(ssa_trainer_step(trainer));
        OK(ssa_trainer_losses(trainer, 1, &loss, &norm));
        ck_assert_msg(fabs((double)loss - losses[i]) < 2e-5 * losses[i], "step %d on %s: loss %.7g, PyTorch %.7g", i + 1,
                      dev->info.id, (double)loss, losses[i]);
        ck_assert_msg(fabs((double)norm - norms[i]) < 2e-4 * norms[i], "step %d on %s: norm %.7g, PyTorch %.7g", i + 1,
                      dev->info.id, (double)norm, norms[i]);
    }
    float all[10];
    OK(ssa_trainer_losses(trainer, 10, all, NULL));
    for (int i = 0; i < 10; i++)
        ck_assert(fabs((double)all[i] - losses[i]) < 2e-5 * losses[i]);
    FAILS(ssa_trainer_step(trainer), SSA_EINVAL, "all 10 steps are done");
    FAILS(ssa_trainer_losses(trainer, 11, all, NULL), SSA_EINVAL, "10 are kept");
    ssa_trainer_destroy(trainer);
    ssa_model_destroy(model);
    free(losses);
    free(norms);
}

START_TEST(ten_losses_of_pytorch)
{
    json_t *g = golden_read("training.json");
    FOR_DEVICES (dev)
        for (int micro_batch = 1; micro_batch <= 4; micro_batch *= 2)
            if (micro_batch == 2 || !test_launches_slowly(dev))
                check_losses(dev, g, micro_batch);
    json_decref(g);
}
END_TEST

/* ---- the order of summation ---- */

/* The sum over [first, end) by the definition of the tree: a node of `level` and its two halves, cut at `count`. */
static float sum_of_node(const float *x, int level, int first, int count)
{
    int middle = first + (1 << level) / 2;
    if (!level)
        return x[first];
    float left = sum_of_node(x, level - 1, first, count);
    return middle < count ? left + sum_of_node(x, level - 1, middle, count) : left;
}

static float sum_by_tree(const float *x, int count)
{
    int level = 0;
    while (1 << level < count)
        level++;
    return sum_of_node(x, level, 0, count);
}

/* A run of numbers as a device works through it: values that go out replace the leaves in `out`, in order. */
static int walk(const float *x, int count, int first, int end, struct ssa_node *nodes, float *out)
{
    struct ssa_tree tree = ssa_tree_begin(count, first, end);
    float stack[SSA_TREE_DEPTH];
    int n = 0;
    for (int i = first; i < end; i++) {
        struct ssa_node node = {.index = i};
        float at_hand = x[i];
        enum ssa_tree_move move;
        while ((move = ssa_tree_next(&tree, &node)) == SSA_TREE_MERGE)
            at_hand = stack[tree.depth] + at_hand;
        ck_assert_int_le(tree.depth, ssa_tree_depth(count));
        if (move == SSA_TREE_PUSH) {
            stack[tree.depth - 1] = at_hand;
        } else {
            nodes[n] = node;
            out[n++] = at_hand;
        }
    }
    ck_assert_int_eq(tree.depth, 0);
    return n;
}

/* Any two cuts into three runs, and the runs' values merged by the same rule: always the same bits. */
START_TEST(any_shares_sum_alike)
{
    float *x = test_values(40, 3, -1, 1);
    for (int count = 1; count <= 40; count++) {
        float want = sum_by_tree(x, count);
        ck_assert(ssa_tree_sum(x, count) == want);
        for (int a = 0; a <= count; a++)
            for (int b = a; b <= count; b++) {
                struct ssa_node nodes[80];
                float sums[80], stack[SSA_TREE_DEPTH];
                struct ssa_tree tree = ssa_tree_begin(count, 0, count);
                int n = walk(x, count, 0, a, nodes, sums), done = 0;
                n += walk(x, count, a, b, nodes + n, sums + n);
                n += walk(x, count, b, count, nodes + n, sums + n);
                for (int i = 0; i < n; i++) {
                    enum ssa_tree_move move;
                    ck_assert_int_eq(ssa_node_first(nodes[i]), done);
                    done = ssa_node_end(nodes[i], count);
                    while ((move = ssa_tree_next(&tree, &nodes[i])) == SSA_TREE_MERGE)
                        sums[i] = stack[tree.depth] + sums[i];
                    if (move == SSA_TREE_PUSH)
                        stack[tree.depth - 1] = sums[i];
                }
                ck_assert(ssa_tree_is_root(nodes[n - 1], count) && sums[n - 1] == want);
            }
    }
    free(x);
}
END_TEST

enum { MICROS = 7, MOST_PARTS = 8 };
static const struct ssa_model_config summed = {.gpt = {.layers = 1, .heads = 1, .width = 16, .vocabulary = 20, .length = 8}};

/* Every micro-batch's gradients alone, summed here, are what a step leaves. */
static void check_sums(struct ssa_device *dev)
{
    struct ssa_stage stage = {.steps = 3, .lr = 0.01f};
    struct ssa_train_config config = {.batch = MICROS, .stages = &stage, .stage_count = 1};
    struct ssa_model *m;
    struct ssa_trainer *t;
    unsigned char text[200];
    float *alone[MOST_PARTS][MICROS] = {{0}}, losses[MICROS], loss, x[MICROS];
    for (int i = 0; i < 200; i++)
        text[i] = (unsigned char)(i * i % 19);
    OK(ssa_model_create(&m, dev, &summed, &(struct ssa_model_limits){.batch = 1, .training = 1}));
    OK(ssa_trainer_create(&t, m, &config, &(struct ssa_data){.items = text, .count = 200}));
    ck_assert_int_le(ssa_model_part_count(m), MOST_PARTS);
    struct ssa_worker *w = t->team->workers[0];
    for (int i = 0; i < MICROS; i++) {
        OK(ssa_worker_gradients(w, i, i + 1, false));
        OK(ssa_tensor_read(ssa_tensor_at(w->scalars, ssa_worker_loss_at(w, 0, i)), &losses[i], 1));
        for (int p = 0; p < ssa_model_part_count(m); p++)
            alone[p][i] = test_read(ssa_model_part(m, p).grad, ssa_model_part(m, p).count);
    }
    OK(ssa_trainer_step(t));
    OK(ssa_trainer_losses(t, 1, &loss, NULL));
    ck_assert(loss == sum_by_tree(losses, MICROS) / (MICROS * 8.0f));
    for (int p = 0; p < ssa_model_part_count(m); p++) {
        float *sum = test_read(ssa_model_part(m, p).grad, ssa_model_part(m, p).count);
        for (size_t e = 0; e < ssa_model_part(m, p).count; e++) {
            for (int i = 0; i < MICROS; i++)
                x[i] = alone[p][i][e];
            ck_assert_msg(sum[e] == sum_by_tree(x, MICROS), "%s: part %d, element %zu", dev->info.id, p, e);
        }
        free(sum);
        for (int i = 0; i < MICROS; i++)
            free(alone[p][i]);
    }
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
}

START_TEST(gradients_sum_along_the_tree)
{
    FOR_DEVICES (dev)
        check_sums(dev);
}
END_TEST

/* ---- schedule and patterns ---- */

START_TEST(learning_rates)
{
    struct ssa_stage stages[] = {{.steps = 10, .lr = 1, .warmup = 4}, {.steps = 3, .lr = 0.5f, .lr_end = 0.25f}};
    struct ssa_train_config t = {.stages = stages, .stage_count = 2};
    static const double want[] = {0.25, 0.5, 0.75, 1, 1, 0.914058, 0.689058, 0.410942, 0.185942, 0.1, 0.5, 0.375, 0.25};
    for (int i = 0; i < 13; i++)
        ck_assert_msg(fabs((double)ssa_learning_rate(&t, i) - want[i]) < 1e-5, "step %d: %g", i,
                      (double)ssa_learning_rate(&t, i));
    stages[1].lr_end = SSA_NONE;
    ck_assert(ssa_learning_rate(&t, 12) == 0);
    stages[1].steps = 1;
    ck_assert(fabs((double)ssa_learning_rate(&t, 10) - 0.5) < 1e-6);
}
END_TEST

static int keys_of_layer(struct ssa_pattern p, int layer)
{
    struct ssa_sample s;
    OK(ssa_pattern_sample(&p, layer, 6, 64, 2, &s));
    ck_assert_int_eq(s.length, 64);
    return s.kind == SSA_DENSE ? 0 : s.keys;
}

START_TEST(patterns_of_layers)
{
    struct ssa_pattern p = {.kind = SSA_UNBIASED, .ratio = 0.25f, .dense_first = 1, .dense_last = 1};
    static const int plain[] = {0, 16, 16, 16, 16, 0}, grow[] = {0, 16, 27, 37, 48, 0}, local[] = {0, 16, 32, 32, 64, 0};
    struct ssa_pattern layers[6] = {{0}};
    struct ssa_sample s;
    for (int l = 0; l < 6; l++)
        ck_assert_int_eq(keys_of_layer(p, l), plain[l]);
    p.ratio_last = 0.75f;
    for (int l = 0; l < 6; l++)
        ck_assert_int_eq(keys_of_layer(p, l), grow[l]);
    p.kind = SSA_LOCAL;
    p.ratio_last = 1;
    for (int l = 0; l < 6; l++)
        ck_assert_int_eq(keys_of_layer(p, l), local[l]);
    p.layers = layers;
    p.layer_count = 6;
    layers[2] = (struct ssa_pattern){.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1, .sigma = 2, .keep_first = 3,
                                     .per_example = 1, .own_key = SSA_NONE};
    ck_assert_int_eq(keys_of_layer(p, 1), 0);
    OK(ssa_pattern_sample(&p, 2, 6, 64, 2, &s));
    ck_assert(s.kind == SSA_LOCAL && s.keys == 32 && s.look_back && s.sigma == 2 && s.keep_count == 3 &&
              s.keep[2] == 2 && s.per_example && !s.own_key && s.batch == 2);
}
END_TEST

/* Each key with any probability, which nothing rounds. */
START_TEST(patterns_of_sources)
{
    struct ssa_pattern p = {.kind = SSA_UNBIASED, .ratio = 0.3f, .independent = 1, .keep_first = 2};
    struct ssa_sample s;
    for (int l = 0; l < 3; l++) {
        OK(ssa_pattern_sample(&p, l, 3, 7, 2, &s));
        ck_assert(s.independent == 1 && s.ratio == 0.3f && s.keys == 3 && s.own_key == 1 && s.keep_count == 2);
    }
    p.ratio_last = 0.9f;
    OK(ssa_pattern_sample(&p, 1, 3, 7, 2, &s));
    ck_assert_float_eq_tol(s.ratio, 0.6f, 1e-6f);
    FAILS(ssa_pattern_sample(&(struct ssa_pattern){.kind = SSA_UNBIASED, .independent = 1}, 0, 3, 7, 1, &s), SSA_EINVAL,
          "ratio is 0, must be in (0, 1]");
    p.ratio_last = 1.5f;
    FAILS(ssa_pattern_sample(&p, 0, 3, 7, 1, &s), SSA_EINVAL, "ratio_last is 1.5");
    p.kind = SSA_LOCAL; /* to which it is nothing */
    p.ratio_last = 0;
    FAILS(ssa_pattern_sample(&p, 0, 3, 7, 1, &s), SSA_EINVAL, "its slices must divide the length");
    p.ratio = 0.25f;
    OK(ssa_pattern_sample(&p, 0, 3, 16, 1, &s));
    ck_assert(!s.independent && s.keys == 4);
}
END_TEST

START_TEST(bad_patterns)
{
    struct ssa_sample s;
#define BAD(words, ...) \
    FAILS(ssa_pattern_sample(&(struct ssa_pattern){__VA_ARGS__}, 0, 4, 96, 1, &s), SSA_EINVAL, words)
    BAD("ratio is 0, must be in (0, 1]", .kind = SSA_UNBIASED);
    BAD("ratio is 1.5", .kind = SSA_UNBIASED, .ratio = 1.5f);
    BAD("ratio is nan", .kind = SSA_UNBIASED, .ratio = NAN);
    BAD("0.260416667 (25 keys) would do", .kind = SSA_UNBIASED, .ratio = 0.26f);
    BAD("its slices must divide the length; 0.333333333 (32 keys) would do", .kind = SSA_LOCAL, .ratio = 0.3125f);
    BAD("(two slices)", .kind = SSA_LOCAL, .ratio = 0.3125f, .look_back = 1);
    BAD("kind is 4", .kind = 4);
    BAD("5 dense first", .kind = SSA_UNBIASED, .ratio = 0.5f, .dense_first = 5);
    BAD("independent is 2", .kind = SSA_UNBIASED, .ratio = 0.5f, .independent = 2);
    BAD("own_key is -2", .kind = SSA_UNBIASED, .ratio = 0.5f, .own_key = -2);
    BAD("keep_first is 65", .kind = SSA_UNBIASED, .ratio = 0.5f, .keep_first = 65);
    BAD("ratio_last is -1", .kind = SSA_UNBIASED, .ratio = 0.5f, .ratio_last = -1);
    BAD("3 layers are given", .layers = &(struct ssa_pattern){0}, .layer_count = 3);
}
END_TEST

/* ---- what it refuses ---- */

static const struct ssa_model_config small = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 256, .length = 16}};
static const struct ssa_stage one_stage[] = {{.steps = 5, .lr = 0.01f}};

START_TEST(bad_configs)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_model_limits limits = {.batch = 2};
    struct ssa_stage bad[2] = {one_stage[0], one_stage[0]};
    struct ssa_model_config encoder = small;
#define BAD_TRAIN(words, ...) \
    FAILS(ssa_train_check(dev, &small, &limits, &(struct ssa_train_config){__VA_ARGS__}, 0, NULL), SSA_EINVAL, words)
    BAD_TRAIN("no stages", .batch = 2);
    BAD_TRAIN("batch 5 does not divide", .batch = 5, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("beta1 is 1", .beta1 = 1, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("beta2 is -0.5", .beta2 = -0.5f, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("smoothing is 2", .smoothing = 2, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("clip is nan", .clip = NAN, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("clip is -0.5", .clip = -0.5f, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("decay is -2", .decay = -2, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("optimiser is 2", .optimiser = 2, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("momentum is 1", .optimiser = SSA_NAG, .momentum = 1, .stages = one_stage, .stage_count = 1);
    BAD_TRAIN("momentum is 0.9, which is of SSA_NAG", .momentum = 0.9f, .stages = one_stage, .stage_count = 1);
    bad[1].steps = 0;
    BAD_TRAIN("stage 2 has 0 steps", .stages = bad, .stage_count = 2);
    bad[1].steps = 5;
    bad[1].warmup = 6;
    BAD_TRAIN("warmup is 6", .stages = bad, .stage_count = 2);
    bad[1].warmup = 0;
    bad[1].lr = 0;
    BAD_TRAIN("learning rate is 0", .stages = bad, .stage_count = 2);
    bad[1].lr = 0.1f;
    bad[1].pattern = (struct ssa_pattern){.kind = SSA_LOCAL, .ratio = 0.3f};
    BAD_TRAIN("pattern: ratio 0.3", .stages = bad, .stage_count = 2);
    bad[1].pattern = (struct ssa_pattern){.kind = SSA_LOCAL, .ratio = 0.5f, .sigma = 1e9f};
    BAD_TRAIN("stage 2, layer 0: plan: sigma", .stages = bad, .stage_count = 2);
    struct ssa_train_config good = {.stages = one_stage, .stage_count = 1};
    FAILS(ssa_train_check(dev, &small, &limits, &good, 16, NULL), SSA_EINVAL, "16 tokens; at least 17");
    encoder.gpt.bidirectional = 1;
    FAILS(ssa_train_check(dev, &encoder, &limits, &good, 17, NULL), SSA_EINVAL, "needs a causal model");
    OK(ssa_train_check(dev, &encoder, &limits, &good, 0, NULL)); /* a source may teach it */
    OK(ssa_train_check(dev, &small, &limits, &good, 17, NULL));
}
END_TEST

START_TEST(bad_data)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_model_config c = small;
    struct ssa_model *m, *inference;
    struct ssa_trainer *t = NULL;
    struct ssa_train_config config = {.stages = one_stage, .stage_count = 1};
    uint16_t wide[40] = {0};
    c.gpt.vocabulary = 100;
    wide[33] = 100;
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1, .training = 1}));
    OK(ssa_model_create(&inference, dev, &c, &(struct ssa_model_limits){.batch = 1}));
#define BAD_DATA(model, words, ...) \
    FAILS(ssa_trainer_create(&t, model, &config, &(struct ssa_data){__VA_ARGS__}), SSA_EINVAL, words)
    BAD_DATA(m, "no items", .count = 100);
    BAD_DATA(m, "item_size is 3", .items = wide, .count = 20, .item_size = 3);
    BAD_DATA(m, "16 tokens; at least 17", .items = wide, .count = 16, .item_size = 2);
    BAD_DATA(m, "token 33 is 100", .items = wide, .count = 40, .item_size = 2);
    BAD_DATA(inference, "without limits.training", .items = wide, .count = 30, .item_size = 2);
    ck_assert_ptr_null(t);
    ssa_model_destroy(m);
    ssa_model_destroy(inference);
}
END_TEST

static void check_memory(struct ssa_device *dev)
{
    struct ssa_model_limits limits = {.batch = 4, .training = 1};
    struct ssa_train_config config = {.batch = 8, .stages = one_stage, .stage_count = 1}; /* a sum waits */
    struct ssa_memory memory;
    struct ssa_model *m;
    struct ssa_trainer *t;
    size_t after, all = dev->info.memory;
    static const unsigned char text[64];
    const size_t before = test_held(dev);
    OK(ssa_train_check(dev, &small, &limits, &config, 64, &memory));
    OK(ssa_model_create(&m, dev, &small, &limits));
    OK(ssa_trainer_create(&t, m, &config, &(struct ssa_data){.items = text, .count = 64}));
    OK(ssa_trainer_step(t));
    ssa_device_memory(dev, &after, NULL);
    ck_assert_uint_eq(test_held(dev) - before, memory.total);
    dev->info.memory = after + memory.total - 1;
    FAILS(ssa_train_check(dev, &small, &limits, &config, 64, &memory), SSA_ENOMEM, "(micro-)batch of 2 instead of 4");
    dev->info.memory = all;
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
}

START_TEST(memory_is_as_foreseen)
{
    FOR_DEVICES (dev)
        check_memory(dev);
}
END_TEST

/* ---- the loop ---- */

struct seen {
    int calls, last_step, stages;
    double loss;
    volatile int stop;
    int stop_at;
};

static void see(void *cookie, const struct ssa_progress *p)
{
    struct seen *s = cookie;
    s->calls++;
    s->last_step = p->step;
    s->loss = p->loss;
    s->stages |= 1 << p->stage;
    ck_assert(p->tokens_per_second > 0 && p->seconds > 0 && p->seconds_left >= 0 && p->gradient_norm > 0 && p->lr > 0);
    ck_assert(p->tokens == 64.0 * p->step);
    if (s->stop_at && p->step >= s->stop_at)
        s->stop = 1;
}

static int collect(void *cookie, int32_t token)
{
    int *count = cookie;
    (void)token;
    return ++*count == 3;
}

/* Learns to count 0, 1, ... 6, 0, 1, ...: low loss, the right continuation. */
static void check_learns(struct ssa_device *dev)
{
    struct ssa_stage stages[] = {{.pattern = {.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1}, .steps = 45, .lr = 0.02f,
                                  .warmup = 5}, {.steps = 15, .lr = 0.01f}};
    struct ssa_train_config config = {.batch = 4, .stages = stages, .stage_count = 2, .seed = 1};
    struct ssa_model *m;
    struct ssa_trainer *t;
    struct seen seen = {.stop_at = 20};
    unsigned char text[500];
    struct ssa_data data = {.items = text, .count = 500};
    struct ssa_scores scores;
    int32_t out[40], prompt[20];
    int called = 0;
    for (int i = 0; i < 500; i++)
        text[i] = (unsigned char)(i % 7);
    OK(ssa_model_create(&m, dev, &small, &(struct ssa_model_limits){.batch = 2, .training = 1}));
    OK(ssa_model_initialise(m, 1));
    OK(ssa_trainer_create(&t, m, &config, &data));
    struct ssa_trainer_run run = {.progress = see, .cookie = &seen, .every = 7, .stop = &seen.stop};
    FAILS(ssa_trainer_run(t, 61, &run), SSA_EINVAL, "until step 61, there are 60");
    FAILS(ssa_trainer_run(t, 0, &(struct ssa_trainer_run){.every = -2}), SSA_EINVAL, "every is -2");
    OK(ssa_trainer_run(t, 10, &run));
    ck_assert(seen.calls == 2 && seen.last_step == 10 && seen.loss > 0.5);
    FAILS(ssa_trainer_run(t, 0, &run), SSA_ESTOPPED, "stopped after step 25 of 60"); /* reported 17, 24; stop seen at 25 */
    seen.stop = seen.stop_at = seen.calls = 0;
    run.every = SSA_NONE;
    OK(ssa_trainer_run(t, 0, &run));
    ck_assert_int_eq(seen.calls, 2); /* where a stage ends */
    ck_assert(seen.last_step == 60 && seen.stages == 3 && ssa_trainer_steps_done(t) == 60);
    OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    ck_assert_msg(scores.loss < 0.2, "loss %g", scores.loss);
    for (int i = 0; i < 20; i++)
        prompt[i] = i % 7;
    for (int prompt_count = 5; prompt_count <= 20; prompt_count += 15) {
        OK(ssa_generate(m, prompt, (size_t)prompt_count, 40, out, &(struct ssa_generate){.temperature = SSA_NONE}));
        for (int i = 0; i < 40; i++)
            ck_assert_int_eq(out[i], (prompt_count + i) % 7);
    }
    OK(ssa_generate(m, prompt, 4, 40, NULL, &(struct ssa_generate){.top_k = 1, .token = collect, .cookie = &called}));
    ck_assert_int_eq(called, 3);
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
}

START_TEST(learns)
{
    FOR_DEVICES (dev)
        if (!test_launches_slowly(dev))
            check_learns(dev);
}
END_TEST

START_TEST(draws_as_probabilities_say)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_model_config c = {.gpt = {.layers = 1, .heads = 1, .width = 8, .vocabulary = 4, .length = 8}};
    struct ssa_model *m;
    int32_t zero = 0, token, again;
    float logits[4];
    int counts[4] = {0}, top[4] = {0};
    double sum = 0;
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
    golden_parameters(m, 0.8);
    OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = &zero, .length = 1}));
    OK(ssa_model_read_logits(m, 0, 0, logits));
    for (int v = 0; v < 4; v++)
        sum += exp((double)logits[v] / 0.7);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct ssa_generate how = {.temperature = 0.7f, .seed = seed};
        OK(ssa_generate(m, &zero, 1, 1, &token, &how));
        OK(ssa_generate(m, &zero, 1, 1, &again, &how));
        ck_assert_int_eq(token, again);
        counts[token]++;
        how.top_k = 2;
        OK(ssa_generate(m, &zero, 1, 1, &token, &how));
        top[token]++;
    }
    int never = 0;
    for (int v = 0; v < 4; v++) {
        double p = exp((double)logits[v] / 0.7) / sum;
        ck_assert(fabs(counts[v] / 2000.0 - p) < 5 * sqrt(p * (1 - p) / 2000) + 1e-3);
        never += top[v] == 0;
    }
    ck_assert_int_eq(never, 2);
    FAILS(ssa_generate(m, &zero, 0, 1, &token, &(struct ssa_generate){0}), SSA_EINVAL, "prompt is empty");
    FAILS(ssa_generate(m, &zero, 1, 1, &token, &(struct ssa_generate){.temperature = -2}), SSA_EINVAL, "temperature is -2");
    zero = 4;
    FAILS(ssa_generate(m, &zero, 1, 1, &token, &(struct ssa_generate){0}), SSA_EINVAL, "token 0 is 4");
    ssa_model_destroy(m);
}
END_TEST

START_TEST(says_when_it_diverges)
{
    struct ssa_device *dev = test_device(0);
    struct ssa_train_config config = {.stages = one_stage, .stage_count = 1};
    struct ssa_model *m;
    struct ssa_trainer *t;
    static const unsigned char text[64];
    float nan = NAN;
    OK(ssa_model_create(&m, dev, &small, &(struct ssa_model_limits){.batch = 1, .training = 1}));
    OK(ssa_trainer_create(&t, m, &config, &(struct ssa_data){.items = text, .count = 64}));
    OK(ssa_trainer_run(t, 2, &(struct ssa_trainer_run){0}));
    OK(ssa_tensor_write(ssa_model_find(m, "norm.gain")->value, &nan, 1));
    FAILS(ssa_trainer_run(t, 4, &(struct ssa_trainer_run){0}), SSA_ENUMERIC, "loss of step 3 is not finite");
    ssa_trainer_destroy(t);
    ssa_model_destroy(m);
}
END_TEST

int main(void)
{
    return test_run("train", (const TTest *const[]){ten_losses_of_pytorch, any_shares_sum_alike,
        gradients_sum_along_the_tree, learning_rates, patterns_of_layers, patterns_of_sources,
        bad_patterns, bad_configs, bad_data, memory_is_as_foreseen, learns, draws_as_probabilities_say,
        says_when_it_diverges, NULL});
}

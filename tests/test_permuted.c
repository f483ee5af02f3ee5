/* Patterns that permute queries with their keys, in models: attention in windows of permuted rows is what the operator
 * makes of the same plan, query by query; what is causal stays so; and what is refused. */
#include "golden.h"
#include "ssacl/evaluate.h"
#include "ssacl/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 36, BATCH = 3, VALUES = 19, LAYERS = 2, CHANNELS = 2, MOST = 1 << 17 };

static const struct ssa_model_config rotary = {.gpt = {.layers = LAYERS, .heads = 4, .kv_heads = 2, .width = 32,
                                               .vocabulary = VALUES, .length = N}},
    vit = {.family = SSA_VIT, .vit = {.rows = 12, .columns = 12, .channels = CHANNELS, .patch = 2, .layers = LAYERS,
                                      .heads = 3, .width = 24, .classes = 5, .mean_pool = 1}},
    pixels = {.family = SSA_PIXELS, .pixels = {.rows = 6, .columns = 3, .channels = CHANNELS, .values = VALUES,
                                               .layers = LAYERS, .heads = 2, .key_width = 16, .width = 24}},
    words = {.family = SSA_WORDS, .words = {.vocabulary = VALUES, .length = N, .layers = LAYERS, .heads = 2, .width = 32,
                                            .cutoffs = {5, 7}}};

/* ---- a pass with a pattern ---- */

struct fixture {
    struct ssa_model *model;
    struct ssa_plan plans[LAYERS];
    const struct ssa_plan *given[LAYERS];
    int32_t tokens[BATCH * N], targets[BATCH * N];
    float images[BATCH * 12 * 12 * CHANNELS];
    size_t losses;
    struct ssa_pass pass;
};

static void draw(struct fixture *f, const struct ssa_pattern *pattern, int batch, int first)
{
    for (int l = 0; l < LAYERS; l++) {
        struct ssa_sample how;
        OK(ssa_model_sample(ssa_model_config(f->model), pattern, l, batch, first, &how));
        how.seed = 3;
        OK(ssa_plan_draw(&f->plans[l], &how));
        f->given[l] = &f->plans[l];
    }
}

static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct ssa_model_config *config,
                         const struct ssa_pattern *pattern)
{
    *f = (struct fixture){.losses = config->family == SSA_VIT ? BATCH : BATCH * N};
    OK(ssa_model_create(&f->model, dev, config, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    golden_parameters(f->model, 0.4);
    for (int i = 0; i < BATCH * N; i++) {
        f->tokens[i] = (int32_t)((golden_value(1, (uint32_t)i) + 1) / 2 * VALUES);
        f->targets[i] = (int32_t)((golden_value(2, (uint32_t)i) + 1) / 2 * (config->family == SSA_VIT ? 5 : VALUES));
    }
    for (int i = 0; i < BATCH * 12 * 12 * CHANNELS; i++)
        f->images[i] = (float)golden_value(4, (uint32_t)i);
    const bool image = config->family == SSA_VIT;
    f->pass = (struct ssa_pass){.tokens = image ? NULL : f->tokens, .pixels = image ? f->images : NULL,
                                .targets = f->targets, .plans = f->given, .training = 1, .seed = 7, .step = 2};
    draw(f, pattern, BATCH, 0);
}

static void close_fixture(struct fixture *f)
{
    for (int l = 0; l < LAYERS; l++)
        ssa_plan_finish(&f->plans[l]);
    ssa_model_destroy(f->model);
}

static size_t gradients(const struct ssa_model *m, float *to)
{
    size_t count = 0;
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        ck_assert_uint_le(count + p->count, MOST);
        OK(ssa_tensor_read(p->grad, to + count, p->count));
        count += p->count;
    }
    return count;
}

/* Losses and, behind them, gradients; returns how many. */
static size_t results(const struct fixture *f, float *to)
{
    OK(ssa_model_forward(f->model, &f->pass));
    OK(ssa_tensor_read(ssa_model_losses(f->model), to, f->losses));
    OK(ssa_model_backward(f->model));
    return f->losses + gradients(f->model, to + f->losses);
}

static float got[2 * MOST], want[2 * MOST];

static void compare(size_t count, const char *what, const struct ssa_device *dev)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)want[i]));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)got[i] - (double)want[i]) <= 2e-6 * most, "%s, %s: %zu of %zu is %g, not %g", what,
                      dev->info.id, i, count, (double)got[i], (double)want[i]);
}

/* ---- windows of permuted rows ---- */

static const struct kind {
    const char *name;
    const struct ssa_model_config *model;
    struct ssa_pattern pattern;
} kinds[] = {
#define PERMUTED .kind = SSA_LOCAL, .permute_queries = 1
    {"rotary, grouped heads", &rotary, {PERMUTED, .ratio = 0.25f, .per_example = 1}},
    {"rotary, one plan for all", &rotary, {PERMUTED, .ratio = 0.5f}},
    {"rotary, a key each", &rotary, {PERMUTED, .ratio = 1.0f / N, .per_example = 1}},
    {"rotary, as uniform as can be, no own keys asked for", &rotary, {PERMUTED, .ratio = 0.25f, .sigma = 64,
     .own_key = SSA_NONE}},
    {"rotary, a layer dense, windows", &rotary, {PERMUTED, .ratio = 1.0f / 3, .sigma = SSA_NONE, .dense_last = 1}},
    {"vit", &vit, {PERMUTED, .ratio = 1.0f / 3, .per_example = 1}},
    {"pixels", &pixels, {PERMUTED, .ratio = 1.0f / 9, .per_example = 1, .ratio_last = 0.5f}},
    {"words", &words, {PERMUTED, .ratio = 0.25f, .sigma = 0.3f}},
};

/* Without its window the plan is what the operator takes as any other, one query a block. */
static void check_windows(struct ssa_device *dev, const struct kind *k)
{
    struct fixture f;
    open_fixture(&f, dev, k->model, &k->pattern);
    ck_assert_int_gt(f.plans[0].window, 0);
    const size_t count = results(&f, got);
    for (int l = 0; l < LAYERS; l++)
        f.plans[l].window = 0;
    ck_assert_uint_eq(results(&f, want), count);
    compare(count, k->name, dev);
    close_fixture(&f);
}

START_TEST(windows_are_what_the_plan_says)
{
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            check_windows(dev, &kinds[i]);
}
END_TEST

/* Two layers that share a plan, and a shorter pass than the model's. */
START_TEST(shared_and_shorter)
{
    FOR_DEVICES (dev) {
        struct fixture f;
        open_fixture(&f, dev, &rotary, &kinds[0].pattern);
        f.pass.length = 21;
        f.losses = BATCH * 21;
        OK(ssa_plan_draw(&f.plans[0], &(struct ssa_sample){.kind = SSA_LOCAL, .length = 21, .keys = 7, .batch = BATCH,
                                                           .per_example = 1, .permute_queries = 1}));
        f.given[1] = f.given[0];
        const size_t count = results(&f, got);
        f.plans[0].window = 0;
        results(&f, want);
        compare(count, "a plan of two layers", dev);
        close_fixture(&f);
    }
}
END_TEST

/* The largest plans that a pass may have find room. */
START_TEST(all_shapes_fit)
{
    struct ssa_device *dev = test_device(0);
    struct fixture f;
    open_fixture(&f, dev, &rotary, &kinds[0].pattern);
    for (int keys = 1; keys < N; keys++)
        for (int batch = 1; batch <= BATCH; batch += BATCH - 1) {
            f.pass.batch = batch;
            for (int l = 0; l < LAYERS; l++)
                OK(ssa_plan_draw(&f.plans[l], &(struct ssa_sample){.kind = SSA_LOCAL, .length = N, .keys = keys,
                    .batch = batch, .per_example = 1, .permute_queries = 1, .layer = (uint32_t)l}));
            OK(ssa_model_forward(f.model, &f.pass));
        }
    close_fixture(&f);
}
END_TEST

/* One slice is dense, to the bit. */
START_TEST(one_slice_is_dense)
{
    FOR_DEVICES (dev) {
        struct fixture f;
        open_fixture(&f, dev, &rotary, &(struct ssa_pattern){PERMUTED, .ratio = 1});
        const size_t count = results(&f, got);
        f.pass.plans = NULL;
        results(&f, want);
        ck_assert_mem_eq(got, want, count * sizeof *got);
        close_fixture(&f);
    }
}
END_TEST

/* What is dropped is numbered by the sequence: a batch in two passes drops the same. */
START_TEST(passes_of_a_batch)
{
    struct ssa_model_config c = words;
    c.words.dropout = c.words.attention_dropout = 0.2f;
    FOR_DEVICES (dev)
        for (int per_example = 0; per_example < 2; per_example++) {
            struct ssa_pattern pattern = kinds[0].pattern;
            struct fixture f;
            pattern.per_example = per_example;
            open_fixture(&f, dev, &c, &pattern);
            const size_t count = results(&f, want);
            for (int first = 0; first < BATCH; first += 2) {
                f.pass.batch = first ? BATCH - 2 : 2;
                f.pass.first_example = (uint32_t)first;
                f.pass.tokens = f.tokens + first * N;
                f.pass.targets = f.targets + first * N;
                f.pass.accumulate = first > 0;
                draw(&f, &pattern, f.pass.batch, first);
                OK(ssa_model_forward(f.model, &f.pass));
                OK(ssa_tensor_read(ssa_model_losses(f.model), got + first * N, (size_t)f.pass.batch * N));
                OK(ssa_model_backward(f.model));
            }
            gradients(f.model, got + f.losses);
            compare(count, "in two passes", dev);
            close_fixture(&f);
        }
}
END_TEST

/* ---- causal ---- */

/* A token changes nothing before it, and something after it. */
static void check_causal(struct ssa_device *dev, const struct kind *k)
{
    struct fixture f;
    open_fixture(&f, dev, k->model, &k->pattern);
    const int late = k->model->family == SSA_PIXELS; /* a position takes the token before it */
    OK(ssa_model_forward(f.model, &f.pass));
    OK(ssa_tensor_read(ssa_model_losses(f.model), want, f.losses));
    for (int t = 0; t < N - late; t += 5) {
        f.tokens[t] = (f.tokens[t] + 1) % VALUES;
        OK(ssa_model_forward(f.model, &f.pass));
        f.tokens[t] = (f.tokens[t] + VALUES - 1) % VALUES;
        OK(ssa_tensor_read(ssa_model_losses(f.model), got, f.losses));
        ck_assert_msg(!memcmp(got, want, (size_t)(t + late) * sizeof *got), "%s, %s: token %d changes what was before",
                      k->name, dev->info.id, t);
        ck_assert(memcmp(got, want, N * sizeof *got));
        ck_assert_mem_eq(got + N, want + N, (f.losses - N) * sizeof *got); /* nor other sequences */
    }
    close_fixture(&f);
}

START_TEST(never_looks_ahead)
{
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (kinds[i].model != &vit)
                check_causal(dev, &kinds[i]);
}
END_TEST

/* ---- evaluation ---- */

/* A self-ensemble: the passes' permutations differ, their mean is nearer to what it settles at than one alone. */
START_TEST(ensembles)
{
    static unsigned char text[6 * N + 1];
    const struct ssa_data data = {.items = text, .count = sizeof text};
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)((golden_value(9, (uint32_t)i) + 1) / 2 * VALUES);
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        struct ssa_scores scores, dense;
        double ensemble[3], singles[3];
        OK(ssa_model_create(&m, dev, &rotary, &(struct ssa_model_limits){.batch = 2}));
        golden_parameters(m, 0.4);
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.pattern = &kinds[0].pattern, .passes = 3, .seed = 5}, &scores,
                        ensemble, singles));
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.seed = 5}, &dense, NULL, NULL));
        ck_assert(fabs(singles[0] - singles[1]) > 1e-6 && fabs(singles[0] - dense.loss) > 1e-6);
        ck_assert_double_lt(ensemble[2], (singles[0] + singles[1] + singles[2]) / 3);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(refuses)
{
    static const struct ssa_model_config swin = {.family = SSA_SWIN, .swin = {.rows = 16, .channels = 1, .patch = 2,
        .width = 24, .layers = {2}, .heads = {3}, .window = 4, .classes = 3}},
        egt = {.family = SSA_EGT, .egt = {.nodes = 16, .node_ids = 1, .node_values = 5, .hops = 3, .layers = 2,
                                          .heads = 2, .width = 24, .edge_width = 8}};
    struct ssa_sample how;
#define BAD(words, model, ...) \
    FAILS(ssa_model_sample(&(model), &(struct ssa_pattern){.kind = SSA_LOCAL, __VA_ARGS__}, 0, 1, 0, &how), \
          SSA_EINVAL, words)
    BAD("pattern: permute_queries is 2, must be 0 or 1", rotary, .permute_queries = 2, .ratio = 0.25f);
    BAD("look_back is 1, grid 0, must be 0", rotary, .permute_queries = 1, .ratio = 0.25f, .look_back = 1);
    BAD("look_back is 0, grid 1, must be 0", vit, .permute_queries = 1, .ratio = 0.25f, .grid = 1);
    BAD("keep_first is 1, must be 0", rotary, .permute_queries = 1, .ratio = 0.25f, .keep_first = 1);
    BAD("its slices must divide the length; 0.25 (9 keys) would do", rotary, .permute_queries = 1, .ratio = 10.0f / N);
    BAD("the layers of a swin see windows", swin, .permute_queries = 1, .ratio = 0.25f);
    BAD("sequences of mixed size", egt, .permute_queries = 1, .ratio = 0.25f);
    OK(ssa_model_sample(&rotary, &(struct ssa_pattern){.kind = SSA_UNBIASED, .ratio = 0.25f, .permute_queries = 1,
                                                       .keep_first = 1}, 0, 1, 0, &how));
    ck_assert_int_eq(how.permute_queries, 0); /* not used by that kind, ignored as look_back is */
}
END_TEST

int main(void)
{
    return test_run("permuted", (const TTest *const[]){
        windows_are_what_the_plan_says, shared_and_shorter, all_shapes_fit, one_slice_is_dense, passes_of_a_batch,
        never_looks_ahead, ensembles, refuses, NULL});
}

/* Generation from a cache of keys: at every token the logits of a pass over all that it may see. */
#include "drawn.h"
#include "golden.h"
#include "net/internal.h"
#include "ssacl/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 12, STEPS = 2 * N + 7, ALL = 2 * N + STEPS, VOCABULARY = 19 };

static const struct ssa_model_config rotary = {.gpt = {.layers = 3, .heads = 4, .kv_heads = 2, .width = 64,
                                               .vocabulary = VOCABULARY, .length = N}};
static const struct ssa_model_config learned = {.gpt = {.layers = 2, .heads = 2, .width = 32, .vocabulary = VOCABULARY,
                                                .length = N, .positions = SSA_POSITIONS_LEARNED,
                                                .norm = SSA_NORM_RMS, .no_bias = 1}};

static struct ssa_model *make(struct ssa_device *dev, const struct ssa_model_config *config, int length)
{
    struct ssa_model_config c = *config;
    struct ssa_model *m;
    c.gpt.length = length;
    OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
    golden_parameters(m, 0.25);
    return m;
}

/* ---- what the logits should be ---- */

struct watch {
    const struct ssa_model_config *config;
    struct drawn drawn;
    int32_t tokens[ALL]; /* that count: of the prompt its end, */
    int prompt, count;   /* and what was drawn */
    const char *where;
};

/* Query i sees the last N positions up to its own. */
static void draw_window(struct ssa_plan *plan, int length)
{
    int32_t order[ALL], start[ALL + 1], first[ALL], end[ALL];
    for (int i = 0; i < length; i++) {
        order[i] = start[i] = i;
        first[i] = i < N ? 0 : i - N + 1;
        end[i] = i + 1;
    }
    start[length] = length;
    OK(ssa_plan_from_layout(plan, &(struct ssa_layout){.length = length, .block = 1, .slices = length, .order = order,
                                                       .slice_start = start, .first = first, .end = end}));
}

/* One pass over tokens [first, end): the logits after each from number `from` on are those that were seen. */
static void check_pass(const struct watch *w, struct ssa_model *reference, int first, int from, int end)
{
    const int length = end - first;
    struct ssa_plan window = {0};
    const struct ssa_plan *plans[8] = {NULL};
    draw_window(&window, length);
    for (int l = 0; length > N && l < w->config->gpt.layers; l++)
        plans[l] = &window;
    OK(ssa_model_forward(reference, &(struct ssa_pass){.tokens = w->tokens + first, .batch = 1, .length = length,
                                                       .plans = plans}));
    for (int i = from; i < end; i++)
        drawn_from_pass(&w->drawn, i + 1 - w->prompt, reference, i - first, "%s, %s", w->where,
                        reference->device->info.id);
    ssa_plan_finish(&window);
}

/* Rotary: all tokens, each seeing N, in a model that is long enough. Learned: windows of N, the later half again. */
static void check_all(const struct watch *w, struct ssa_model *reference)
{
    const int last = w->count - 1, begin = w->prompt - 1; /* the last token is drawn, and never seen */
    if (w->config->gpt.positions == SSA_POSITIONS_ROTARY) {
        check_pass(w, reference, 0, begin, last);
        return;
    }
    for (int first = 0, from = begin; from < last; first += N - N / 2, from = first + N / 2) {
        const int end = first + N < last ? first + N : last;
        check_pass(w, reference, first, from, end);
    }
}

static void check_logits(struct ssa_device *dev, const struct ssa_model_config *config, int prompt_count, int stop)
{
    int32_t prompt[2 * N], out[STEPS];
    char where[96];
    const int seen = prompt_count < N ? prompt_count : N;
    struct watch w = {.config = config, .drawn = {.vocabulary = VOCABULARY, .stop = stop}, .where = where,
                      .prompt = seen};
    snprintf(where, sizeof where, "%s positions, prompt of %d",
             config->gpt.positions == SSA_POSITIONS_ROTARY ? "rotary" : "learned", prompt_count);
    for (int i = 0; i < prompt_count; i++)
        prompt[i] = (int32_t)((golden_value(2000, (uint32_t)i) + 1) / 2 * VOCABULARY);
    memcpy(w.tokens, prompt + prompt_count - seen, (size_t)seen * sizeof *prompt);
    struct ssa_model *reference = make(dev, config, config->gpt.positions == SSA_POSITIONS_ROTARY ? ALL : N);
    w.drawn.model = make(dev, config, N);
    OK(ssa_generate(w.drawn.model, prompt, (size_t)prompt_count, STEPS, out,
                    &(struct ssa_generate){.seed = 7, .token = drawn_keep, .cookie = &w.drawn}));
    ck_assert_int_eq(w.drawn.count, stop ? stop : STEPS);
    ck_assert_mem_eq(out, w.drawn.tokens, (size_t)w.drawn.count * sizeof *out);
    memcpy(w.tokens + seen, out, (size_t)w.drawn.count * sizeof *out);
    w.count = seen + w.drawn.count;
    check_all(&w, reference);
    ssa_model_destroy(reference);
    ssa_model_destroy(w.drawn.model);
}

START_TEST(logits_are_those_of_a_pass)
{
    FOR_DEVICES (dev)
        for (int i = 0; i < 4; i += strcmp(dev->info.platform, "rusticl") ? 1 : 3) { /* llvmpipe takes its time */
            const int prompt[] = {1, N - 1, N, N + 5};
            check_logits(dev, &rotary, prompt[i], 0);
            check_logits(dev, &learned, prompt[i], 0);
        }
}
END_TEST

/* A window of one token, and of two: where a half is nothing. */
START_TEST(shortest_windows)
{
    FOR_DEVICES (dev)
        for (int positions = SSA_POSITIONS_ROTARY; positions <= SSA_POSITIONS_LEARNED; positions++)
            for (int length = 1; length <= 2; length++) {
                const int32_t prompt[] = {4, 5, 6};
                struct ssa_model_config c = rotary;
                int32_t got[6], want;
                c.gpt.positions = positions;
                c.gpt.layers = 1; /* so that a pass over the window has the same answer */
                struct ssa_model *m = make(dev, &c, length);
                const struct ssa_generate how = {.temperature = -1};
                OK(ssa_generate(m, prompt, 3, 6, got, &how));
                for (int i = 0; i < 6 && (length == 1 || positions == SSA_POSITIONS_ROTARY); i++) {
                    int32_t window[2];
                    for (int j = 0; j < length; j++)
                        window[length - 1 - j] = i - 1 - j >= 0 ? got[i - 1 - j] : prompt[3 + i - 1 - j];
                    OK(ssa_generate(m, window, (size_t)length, 1, &want, &how));
                    ck_assert_int_eq(got[i], want);
                }
                ssa_model_destroy(m);
            }
}
END_TEST

/* ---- sampled, and as an ensemble ---- */

enum { PASSES = 3 };

static const struct ssa_pattern mixed[] = {
    {.kind = SSA_LOCAL, .ratio = 1.0f / 3, .look_back = 1, .sigma = 0.7f},
    {.kind = SSA_UNBIASED, .ratio = 0.25f},
    {.kind = SSA_DENSE}};
static const struct ssa_pattern patterns[] = {
    {.layers = mixed, .layer_count = 3},
    {.kind = SSA_UNBIASED, .ratio = 0.5f, .own_key = SSA_NONE, .keep_first = 1, .per_example = 1},
    {.kind = SSA_LOCAL, .ratio = 0.25f, .keep_first = 2, .dense_first = 1},
    {.kind = SSA_LOCAL, .ratio = 1.0f / 3, .look_back = 1, .sigma = 0.7f, .grid = 1}, /* of pixels: cells of 2 x 1 */
    {.kind = SSA_LOCAL, .ratio = 0.25f, .permute_queries = 1, .per_example = 1}};

static struct ssa_model_config image_of_tokens(void)
{
    return (struct ssa_model_config){.family = SSA_PIXELS, .pixels = {.rows = 4, .columns = 3, .channels = 1,
        .values = VOCABULARY, .classes = 3, .layers = 3, .heads = 2, .key_width = 4, .width = 24}};
}

/* Bands of 5, 2 and 12 words. */
static struct ssa_model_config of_words(void)
{
    return (struct ssa_model_config){.family = SSA_WORDS, .words = {.vocabulary = VOCABULARY, .length = N, .layers = 3,
        .heads = 2, .width = 32, .hidden = 40, .cutoffs = {5, 7}}};
}

static struct ssa_model *make_any(struct ssa_device *dev, const struct ssa_model_config *config)
{
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, config, &(struct ssa_model_limits){.batch = 1}));
    golden_parameters(m, 0.25);
    return m;
}

static double log_sum(const double *x, int count, int stride)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < count; i++)
        most = fmax(most, x[i * stride]);
    for (int i = 0; i < count; i++)
        sum += exp(x[i * stride] - most);
    return most + log(sum);
}

/* The log-probabilities [N, V] that a whole pass with the plans of that number gives, one after another. */
static void whole_pass(struct ssa_model *m, const struct ssa_pattern *pattern, int pass, const int32_t *tokens,
                       double *log_p)
{
    const int layers = m->facts.layers;
    const int32_t label = 1;
    struct ssa_plan plans[8] = {{0}};
    const struct ssa_plan *given[8];
    for (int l = 0; l < layers; l++) {
        struct ssa_sample how;
        OK(ssa_model_sample(&m->config, pattern, l, 1, 0, &how));
        how.seed = 7;
        how.step = (uint64_t)pass;
        OK(ssa_plan_draw(&plans[l], &how));
        given[l] = &plans[l];
    }
    OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = tokens, .batch = 1, .plans = given,
                                               .labels = m->facts.classes ? &label : NULL}));
    for (int t = 0; t < N; t++) {
        float logits[VOCABULARY];
        double *row = log_p + (size_t)t * VOCABULARY;
        OK(ssa_model_read_logits(m, 0, t, logits));
        for (int v = 0; v < VOCABULARY; v++)
            row[v] = (double)logits[v];
        const double sum = log_sum(row, VOCABULARY, 1);
        for (int v = 0; v < VOCABULARY; v++)
            row[v] -= sum;
    }
    for (int l = 0; l < layers; l++)
        ssa_plan_finish(&plans[l]);
}

/* Tokens [first, end) of a sequence, of which number `from` to `end` were drawn from what was seen. */
static void check_window(const struct drawn *seen, struct ssa_model *m, const struct ssa_pattern *pattern, int passes,
                         const int32_t *all, int prompt, int first, int from, int end)
{
    static double log_p[PASSES][N * VOCABULARY];
    const int late = !m->facts.starts; /* the answer is the token after */
    int32_t tokens[N] = {0};
    char message[512];
    memcpy(tokens, all + first, (size_t)(end - first) * sizeof *tokens);
    for (int i = 0; i < passes; i++)
        whole_pass(m, pattern, i, tokens, log_p[i]);
    for (int i = from; i < end + late; i++) {
        double want[VOCABULARY], got[VOCABULARY];
        float shown[VOCABULARY];
        for (int v = 0; v < VOCABULARY; v++) {
            want[v] = log_sum(log_p[0] + (size_t)(i - first - late) * VOCABULARY + v, passes, N * VOCABULARY) -
                      log(passes);
            got[v] = (double)seen->from[i - prompt][v];
        }
        const double sum = log_sum(got, VOCABULARY, 1);
        ck_assert_msg(passes == 1 || fabs(sum) < 1e-5, "probabilities add up to e^%g", sum);
        for (int v = 0; v < VOCABULARY; v++)
            shown[v] = (float)(got[v] - sum);
        ck_assert_msg(test_close_to("log p", shown, want, VOCABULARY, 1e-5, 1e-5, message, sizeof message),
                      "%s, pattern %d, %d passes, token %d after a prompt of %d, %s: %s",
                      m->facts.starts ? "pixels" : m->facts.absolute ? "learned" : "rotary", (int)(pattern - patterns),
                      passes, i - prompt, prompt, m->device->info.id, message);
    }
}

/* Up to N, or where a sequence does not end there, past it twice. */
static void check_sampled(struct ssa_device *dev, const struct ssa_model_config *config, int pattern, int passes,
                          int prompt)
{
    struct ssa_model *m = make_any(dev, config);
    struct drawn seen = {.vocabulary = VOCABULARY};
    int32_t all[ALL] = {0};
    const int count = (m->facts.starts ? N : 2 * N + 3) - prompt, late = !m->facts.starts;
    for (int i = 0; i < prompt; i++)
        all[i] = (int32_t)((golden_value(2000, (uint32_t)i) + 1) / 2 * VOCABULARY);
    OK(ssa_generate(m, prompt ? all : NULL, (size_t)prompt, (size_t)count, all + prompt,
                    &(struct ssa_generate){.seed = 7, .token = drawn_keep, .cookie = &seen, .passes = passes,
                        .pattern = &patterns[pattern], .logits = seen.logits, .label = m->facts.classes ? 1 : 0}));
    ck_assert_int_eq(seen.count, count);
    for (int first = 0, from = prompt; from < prompt + count; first += N - N / 2) {
        const int last = prompt + count - late, end = first + N < last ? first + N : last;
        check_window(&seen, m, &patterns[pattern], passes, all, prompt, first, from, end);
        from = end + late;
    }
    ssa_model_destroy(m);
}

/* As whole passes with the same plans, of which the later keys are not there yet. */
START_TEST(sampled_is_as_whole_passes)
{
    struct ssa_model_config three = learned;
    const struct ssa_model_config pixels = image_of_tokens(), words = of_words();
    three.gpt.layers = 3;
    FOR_DEVICES (dev)
        for (int pattern = 0; pattern < 3; pattern++) {
            check_sampled(dev, &pixels, pattern, 1 + pattern, 0);
            check_sampled(dev, &words, pattern, 1 + pattern, 3);
            if (pattern && !strcmp(dev->info.platform, "rusticl")) /* llvmpipe takes its time */
                continue;
            check_sampled(dev, &rotary, pattern, 1, 1);
            check_sampled(dev, &three, pattern, PASSES, N - 1);
            check_sampled(dev, &rotary, pattern, 2, 5);
            check_sampled(dev, &pixels, pattern, PASSES, 7);
        }
    FOR_DEVICES (dev) {
        check_sampled(dev, &pixels, 3, 1, 0);
        check_sampled(dev, &pixels, 3, PASSES, 5);
        check_sampled(dev, &pixels, 4, 2, 0);
        check_sampled(dev, &rotary, 4, PASSES, 5);
    }
}
END_TEST

/* More passes than those of a pattern that samples nothing are one; the first of many is the only one's. */
START_TEST(passes_that_count)
{
    static const struct ssa_pattern dense = {.kind = SSA_DENSE};
    const int32_t prompt = 3;
    FOR_DEVICES (dev) {
        struct ssa_model *m = make_any(dev, &rotary);
        float want[VOCABULARY], got[VOCABULARY];
        struct ssa_generate how = {.logits = want, .passes = 5};
        OK(ssa_generate(m, &prompt, 1, 3, NULL, &how));
        how.pattern = &dense;
        how.logits = got;
        OK(ssa_generate(m, &prompt, 1, 3, NULL, &how));
        ck_assert_mem_eq(got, want, sizeof want);
        how.pattern = &patterns[0];
        OK(ssa_generate(m, &prompt, 1, 3, NULL, &how));
        ck_assert(memcmp(got, want, sizeof want));
        how.passes = 1001;
        FAILS(ssa_generate(m, &prompt, 1, 3, NULL, &how), SSA_EINVAL, "generate: passes is 1001");
        how.passes = -1;
        FAILS(ssa_generate(m, &prompt, 1, 3, NULL, &how), SSA_EINVAL, "generate: passes is -1");
        how.passes = 2;
        how.pattern = &(struct ssa_pattern){.kind = SSA_LOCAL, .ratio = 0.3f};
        FAILS(ssa_generate(m, &prompt, 1, 3, NULL, &how), SSA_EINVAL, "pattern: ratio 0.3");
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- several side by side ---- */

enum { SIDE_BY_SIDE = 7, PAST_N = N + 4 };

/* Alone and with others: the same bits, by seeds and labels of their own. */
static void check_side_by_side(struct ssa_device *dev, const struct ssa_model_config *config,
                               const struct ssa_pattern *pattern, int passes, int prompt_count)
{
    struct drawn all = {.vocabulary = VOCABULARY}, one = all;
    struct ssa_model *m;
    int32_t prompts[SIDE_BY_SIDE * N], labels[SIDE_BY_SIDE], together[SIDE_BY_SIDE * PAST_N], alone[PAST_N];
    uint64_t seeds[SIDE_BY_SIDE];
    OK(ssa_model_create(&m, dev, config, &(struct ssa_model_limits){.batch = SIDE_BY_SIDE}));
    golden_parameters(m, 0.25);
    const int count = m->facts.starts ? N - prompt_count : PAST_N;
    for (int i = 0; i < SIDE_BY_SIDE * prompt_count; i++)
        prompts[i] = (int32_t)((golden_value(2000, (uint32_t)i) + 1) / 2 * VOCABULARY);
    for (int s = 0; s < SIDE_BY_SIDE; s++) {
        labels[s] = m->facts.classes ? s % m->facts.classes : 0;
        seeds[s] = 3 + (uint64_t)s * s;
    }
    struct ssa_generate how = {.sequences = SIDE_BY_SIDE, .labels = labels, .seeds = seeds, .pattern = pattern,
                               .passes = passes, .logits = all.logits, .token = drawn_keep, .cookie = &all};
    OK(ssa_generate(m, prompts, (size_t)prompt_count, (size_t)count, together, &how));
    ck_assert_int_eq(all.count, SIDE_BY_SIDE * count);
    for (int s = 0; s < SIDE_BY_SIDE; s++) {
        one.count = 0;
        how = (struct ssa_generate){.label = labels[s], .seed = seeds[s], .pattern = pattern, .passes = passes,
                                    .logits = one.logits, .token = drawn_keep, .cookie = &one};
        OK(ssa_generate(m, prompts + s * prompt_count, (size_t)prompt_count, (size_t)count, alone, &how));
        for (int i = 0; i < count; i++)
            ck_assert_msg(!memcmp(one.from[i], all.from[i * SIDE_BY_SIDE + s], sizeof one.from[i]),
                          "%s, family %d, sequence %d, prompt of %d, token %d: other bits than alone", dev->info.id,
                          config->family, s, prompt_count, i);
        ck_assert_mem_eq(alone, together + s * count, (size_t)count * sizeof *alone);
    }
    ssa_model_destroy(m);
}

START_TEST(side_by_side_is_as_alone)
{
    const struct ssa_model_config pixels = image_of_tokens(), words = of_words();
    struct ssa_model_config text = learned, turning = rotary, wide = pixels;
    text.gpt.length = turning.gpt.length = N;
    wide.pixels.width = 72; /* products of more than a vector, and a rest */
    wide.pixels.layers = 1;
    FOR_DEVICES (dev) {
        check_side_by_side(dev, &pixels, NULL, 0, 0);
        check_side_by_side(dev, &turning, NULL, 0, 5);
        check_side_by_side(dev, &pixels, &patterns[3], PASSES, 4);
        check_side_by_side(dev, &turning, &patterns[4], 2, 3);
        if (!strcmp(dev->info.platform, "rusticl")) /* llvmpipe takes its time */
            continue;
        check_side_by_side(dev, &wide, NULL, 0, 7);
        check_side_by_side(dev, &words, NULL, 0, 1);
        check_side_by_side(dev, &words, &patterns[1], 2, 3);
        check_side_by_side(dev, &text, NULL, 0, N);
        check_side_by_side(dev, &turning, &patterns[1], 2, 1);
        check_side_by_side(dev, &text, &mixed[0], 1, 2);
        check_side_by_side(dev, &pixels, &patterns[2], 1, 0);
    }
}
END_TEST

/* Several may be any number, one after another; what does not fit is refused. */
START_TEST(any_number_side_by_side)
{
    const struct ssa_model_config config = image_of_tokens();
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        int32_t first[N], got[3 * N];
        OK(ssa_model_create(&m, dev, &config, &(struct ssa_model_limits){.batch = 3}));
        golden_parameters(m, 0.25);
        struct ssa_generate how = {.seed = 5};
        OK(ssa_generate(m, NULL, 0, N, first, &how));
        for (int sequences = 3; sequences; sequences--) {
            how.sequences = sequences;
            OK(ssa_generate(m, NULL, 0, N, got, &how));
            ck_assert_mem_eq(got, first, sizeof first);
            ck_assert(sequences == 1 || memcmp(got + N, first, sizeof first)); /* of the next seed */
        }
        how.sequences = 4;
        FAILS(ssa_generate(m, NULL, 0, N, got, &how), SSA_EINVAL, "generate: sequences is 4, must be in [0, 3]");
        how.sequences = 2;
        how.labels = (const int32_t[]){0, 3};
        FAILS(ssa_generate(m, NULL, 0, N, got, &how), SSA_EINVAL, "generate: label 1 is 3, the model has 3 classes");
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- attention of one query ---- */

/* It answers as the last of all does. */
static void check_one_query(struct ssa_device *dev, struct ssa_sample how, int causal, int width)
{
    enum { BATCH = 2, HEADS = 4, KV_HEADS = 2 };
    const size_t n = (size_t)how.length, q_row = HEADS * (size_t)width;
    struct ssa_plan all = {0}, one = {0};
    char shape[96], message[512];
    snprintf(shape, sizeof shape, "kind %d, %d keys of width %d, own %d, causal %d", how.kind, how.length, width,
             how.own_key, causal);
    OK(ssa_plan_draw(&all, &how));
    how.queries = 1;
    OK(ssa_plan_draw(&one, &how));
    float *values[3];
    struct ssa_tensor in[3];
    for (int i = 0; i < 3; i++) {
        values[i] = test_values(BATCH * n * q_row, (uint64_t)i, -2, 2);
        in[i] = test_from(dev, values[i], BATCH * n * q_row);
    }
    struct ssa_tensor out[2], lse[2], plan[2] = {test_plan(dev, &all), test_plan(dev, &one)};
    for (int i = 0; i < 2; i++) {
        out[i] = test_new(dev, BATCH * (i ? 1 : n) * q_row);
        lse[i] = test_new(dev, BATCH * HEADS * (i ? 1 : n));
        struct ssa_attention a = {.q = in[0], .k = in[1], .v = in[2], .out = out[i], .lse = lse[i],
            .plan = i ? &one : &all, .plan_data = plan[i], .batch = BATCH, .keys = how.length, .heads = HEADS,
            .kv_heads = KV_HEADS, .width = width, .causal = causal};
        if (i) {
            a.queries = 1;
            a.q = ssa_tensor_add(a.q, (n - 1) * q_row);
            a.q_strides.batch = n * q_row;
        }
        OK(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){a}));
    }
    float *want = test_read(out[0], BATCH * n * q_row), *got = test_read(out[1], BATCH * q_row);
    float *want_lse = test_read(lse[0], BATCH * HEADS * n), *got_lse = test_read(lse[1], BATCH * HEADS);
    for (size_t b = 0; b < BATCH; b++) {
        double *exact = test_doubles(want + (b * n + n - 1) * q_row, q_row);
        ck_assert_msg(test_close_to("out", got + b * q_row, exact, q_row, 2e-6, 2e-6, message, sizeof message),
                      "%s (%s on %s)", message, shape, dev->info.id);
        free(exact);
        for (size_t h = 0; h < HEADS; h++) {
            const float x = got_lse[b * HEADS + h], y = want_lse[(b * HEADS + h) * n + n - 1];
            ck_assert_msg(x == y || fabsf(x - y) < 1e-5f, "lse is %g, not %g (%s)", (double)x, (double)y, shape);
        }
    }
    free(want);
    free(got);
    free(want_lse);
    free(got_lse);
    for (int i = 0; i < 3; i++) {
        test_free(in[i], BATCH * n * q_row);
        free(values[i]);
    }
    for (int i = 0; i < 2; i++) {
        test_free(out[i], BATCH * (i ? 1 : n) * q_row);
        test_free(lse[i], BATCH * HEADS * (i ? 1 : n));
    }
    test_free(plan[0], all.stride * (size_t)all.examples);
    test_free(plan[1], one.stride * (size_t)one.examples);
    ssa_plan_finish(&all);
    ssa_plan_finish(&one);
}

START_TEST(one_query_answers_as_the_last)
{
    const int lengths[] = {1, 2, 63, 129, 300}, widths[] = {4, 20, 64};
    FOR_DEVICES (dev)
        for (int i = 0; i < 5; i++)
            for (int causal = 0; causal < 2; causal++) {
                const int n = lengths[i], few = n / 3 + 1;
                check_one_query(dev, (struct ssa_sample){.length = n}, causal, 16);
                check_one_query(dev, (struct ssa_sample){.kind = SSA_UNBIASED, .length = n, .keys = few, .own_key = 1},
                                causal, 16);
                check_one_query(dev, (struct ssa_sample){.kind = SSA_UNBIASED, .length = n, .keys = few}, causal, 16);
                check_one_query(dev, (struct ssa_sample){.kind = SSA_LOCAL, .length = n, .look_back = n > 2,
                                                         .keys = n > 2 ? few + few % 2 : 1, .own_key = 1}, causal, 16);
                if (dev->info.kind == SSA_DEVICE_HOST)
                    for (int w = 0; w < 3; w++)
                        check_one_query(dev, (struct ssa_sample){.length = n}, causal, widths[w]);
            }
}
END_TEST

/* ---- stopping, and going on ---- */

static int count_down(void *cookie, int32_t token)
{
    (void)token;
    return !--*(int *)cookie;
}

/* What was generated is a prompt that gives the rest, up to N. */
START_TEST(stops_and_goes_on)
{
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &rotary, N);
        int32_t all[N] = {3, 1, 4}, parts[N] = {3, 1, 4};
        struct ssa_generate how = {.temperature = -1};
        int left = 4;
        check_logits(dev, &rotary, 3, 5);
        OK(ssa_generate(m, all, 3, N - 3, all + 3, &how));
        how.token = count_down;
        how.cookie = &left;
        OK(ssa_generate(m, parts, 3, N - 3, parts + 3, &how));
        ck_assert_int_eq(left, 0);
        how.token = NULL;
        OK(ssa_generate(m, parts, 7, N - 7, parts + 7, &how));
        ck_assert_mem_eq(parts, all, sizeof all);
        ssa_model_destroy(m);
    }
}
END_TEST

struct other_pass {
    struct ssa_model *model;
    const int32_t *tokens;
};
static int pass_between(void *cookie, int32_t token)
{
    const struct other_pass *p = cookie;
    (void)token;
    OK(ssa_model_forward(p->model, &(struct ssa_pass){.tokens = p->tokens, .batch = 1, .length = N}));
    return 0;
}

/* Other passes between two tokens take nothing from the cache; new parameters begin a new one. */
START_TEST(the_cache_is_its_own)
{
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &rotary, N);
        const int32_t other[N] = {7, 7, 7}, prompt[] = {1, 2, 3};
        int32_t want[N + 5], got[N + 5], changed[N + 5];
        struct ssa_generate how = {.temperature = -1};
        struct other_pass pass = {m, other};
        OK(ssa_generate(m, prompt, 3, N + 5, want, &how));
        how.token = pass_between;
        how.cookie = &pass;
        OK(ssa_generate(m, prompt, 3, N + 5, got, &how));
        ck_assert_mem_eq(got, want, sizeof got);
        how.token = NULL;
        golden_parameters(m, 0.5);
        OK(ssa_generate(m, prompt, 3, N + 5, changed, &how));
        struct ssa_model *fresh = make(dev, &rotary, N);
        golden_parameters(fresh, 0.5);
        OK(ssa_generate(fresh, prompt, 3, N + 5, got, &how));
        ck_assert_mem_eq(got, changed, sizeof got);
        ssa_model_destroy(fresh);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- memory ---- */

/* Each pass has keys and values of its own: all, or none more. */
static void check_ensemble_memory(struct ssa_device *dev, struct ssa_model *m, size_t without, size_t cache)
{
    const size_t memory_of_device = dev->info.memory;
    const int32_t prompt = 1;
    struct ssa_generate how = {.pattern = &patterns[1], .passes = PASSES};
    ssa_device_memory(dev, &dev->info.memory, NULL);
    dev->info.memory += (PASSES - 1) * cache - 4;
    FAILS(ssa_generate(m, &prompt, 1, 3, NULL, &how), SSA_ENOMEM, "take fewer passes");
    dev->info.memory = memory_of_device;
    ck_assert_uint_eq(test_held(dev), without + cache);
    OK(ssa_generate(m, &prompt, 1, 3, NULL, &how));
    ck_assert_uint_eq(test_held(dev), without + PASSES * cache);
    how.passes = 1;
    OK(ssa_generate(m, &prompt, 1, 3, NULL, &how));
    ck_assert_uint_eq(test_held(dev), without + PASSES * cache);
    how.sequences = 2; /* for which what is there has no room */
    OK(ssa_generate(m, (const int32_t[]){1, 2}, 1, 3, NULL, &how));
    ck_assert_uint_eq(test_held(dev), without + 2 * cache);
    how.passes = PASSES;
    dev->info.memory = test_held(dev) + cache;
    FAILS(ssa_generate(m, (const int32_t[]){1, 2}, 1, 3, NULL, &how), SSA_ENOMEM, "of 3 passes over 2 sequences");
    dev->info.memory = memory_of_device;
    ck_assert_uint_eq(test_held(dev), without + 2 * cache);
}

START_TEST(memory_is_as_foreseen)
{
    FOR_DEVICES (dev)
        for (int part = 0; part < 2; part++) {
            const struct ssa_model_limits limits = {.batch = 2, .max_buffer = part ? 18000 : 0};
            const int32_t prompt = 1;
            const size_t before = test_held(dev), memory_of_device = dev->info.memory;
            struct ssa_model_config deep = rotary;
            deep.gpt.layers = 24; /* so that it is more than one buffer may be */
            struct ssa_memory memory;
            struct ssa_model *m;
            int32_t out[3];
            OK(ssa_model_memory(&deep, &limits, &memory));
            ck_assert_uint_eq(memory.cache, (size_t)deep.gpt.layers * N * 2 * 32 * 4); /* kv_heads D is 32 */
            OK(ssa_model_create(&m, dev, &deep, &limits));
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            ssa_device_memory(dev, &dev->info.memory, NULL);
            dev->info.memory += memory.cache - 4;
            FAILS(ssa_generate(m, &prompt, 1, 3, out, &(struct ssa_generate){0}), SSA_ENOMEM,
                  "generate: keys and values of 12 positions take");
            dev->info.memory = memory_of_device;
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            for (int i = 0; i < 2; i++) {
                OK(ssa_generate(m, &prompt, 1, 3, out, &(struct ssa_generate){0}));
                ck_assert_uint_eq(test_held(dev) - before, memory.total + memory.cache);
            }
            check_ensemble_memory(dev, m, before + memory.total, memory.cache);
            ssa_model_destroy(m);
            ck_assert_uint_eq(test_held(dev), before);
        }
}
END_TEST

int main(void)
{
    return test_run("generate", (const TTest *const[]){logits_are_those_of_a_pass, shortest_windows,
                                                       sampled_is_as_whole_passes, passes_that_count,
                                                       side_by_side_is_as_alone, any_number_side_by_side,
                                                       one_query_answers_as_the_last, stops_and_goes_on,
                                                       the_cache_is_its_own, memory_is_as_foreseen, NULL});
}

/* Models of words: sizes as published, golden numbers of adaptive input and softmax, probabilities that add up and are
 * those of products in double precision, bands that have no words, one, or all; training, files, memory, bad input. */
#include "checkpoint/checkpoint.h"
#include "drawn.h"
#include "exact.h"
#include "golden.h"
#include "net/block/blocks.h"
#include "net/internal.h"
#include "net/replicas.h"
#include "nets.h"
#include "pools.h"
#include "saved.h"
#include "train/team/team.h"


#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { V = 23, N = 12, WIDTH = 16, BATCH = 4 };

/* Bands of 6, 1 and 16 words, of width 16, 4 and 1. */
static struct ssa_model_config small(void)
{
    return (struct ssa_model_config){.family = SSA_WORDS, .words = {.vocabulary = V, .length = N, .layers = 2,
        .heads = 2, .width = WIDTH, .hidden = 20, .cutoffs = {6, 7}}};
}

static struct ssa_model_config with_dropout(void)
{
    struct ssa_model_config c = small();
    c.words.dropout = 0.1f;
    c.words.attention_dropout = 0.2f;
    c.words.activation_dropout = 0.15f;
    c.words.head_dropout = 0.25f;
    return c;
}

static struct ssa_model_config of_wikitext(int layers)
{
    return (struct ssa_model_config){.family = SSA_WORDS, .words = {.vocabulary = 267744, .length = 3072,
        .layers = layers, .heads = 8, .width = 1024, .cutoffs = {20000, 60000}, .dropout = 0.3f,
        .attention_dropout = 0.1f, .activation_dropout = 0.1f, .head_dropout = 0.2f}};
}

static struct ssa_model *make(struct ssa_device *dev, const struct ssa_model_config *c, int training)
{
    struct ssa_model *m;
    OK(ssa_model_create(&m, dev, c, &(struct ssa_model_limits){.batch = BATCH, .training = training}));
    golden_parameters(m, 0.3);
    return m;
}

/* ---- parameters ---- */

START_TEST(sizes)
{
    struct ssa_model_config c = of_wikitext(16);
    const struct ssa_model_config twin = {.family = SSA_WORDS, .words = {.vocabulary = 13272, .length = 256,
        .layers = 4, .heads = 4, .width = 256, .cutoffs = {2000, 6000}}};
    ck_assert_uint_eq(ssa_model_elements(&c), 246933504);
    c.words.layers = 8;
    ck_assert_uint_eq(ssa_model_elements(&c), 146163712);
    ck_assert_uint_eq(ssa_model_elements(&twin), 4129920);
    c.words.cutoffs[0] = c.words.cutoffs[1] = 0; /* a table, a projection, and no rows of bands */
    ck_assert_uint_eq(ssa_model_elements(&c), 8 * 12596224 + 267744 * 1024 + 1024 * 1024);
}
END_TEST

/* Largest magnitude, and root of the mean square, of what a parameter starts as. */
static void check_start(const struct ssa_model *m, const char *name, double bound, double deviation)
{
    const struct ssa_parameter *p = ssa_model_find(m, name);
    ck_assert_msg(p != NULL, "no %s", name);
    float *x = test_read(p->value, p->count);
    double most = 0, squares = 0;
    for (size_t i = 0; i < p->count; i++) {
        most = fmax(most, fabs((double)x[i]));
        squares += (double)x[i] * (double)x[i] / (double)p->count;
    }
    if (bound > 0)
        ck_assert_msg(most <= bound && most > 0.9 * bound, "%s: up to %g, bound %g", name, most, bound);
    ck_assert_msg(fabs(sqrt(squares) - deviation) <= 0.12 * deviation, "%s: deviation %g, not %g", name, sqrt(squares),
                  deviation);
    free(x);
}

START_TEST(starts_as_fairseq)
{
    const struct ssa_model_config c = {.family = SSA_WORDS, .words = {.vocabulary = 600, .length = 8, .layers = 2,
        .heads = 4, .width = 64, .hidden = 96, .cutoffs = {100, 300}}};
    const double xavier = sqrt(6.0 / 128), in = 1 / sqrt(64), out = 1 / sqrt(96), of_bound = 1 / sqrt(3);
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        check_start(m, "embed.0.weight", 0, 1.0 / 8);
        check_start(m, "embed.1.weight", 0, 1.0 / 4);
        check_start(m, "embed.2.weight", 0, 1.0 / 2);
        check_start(m, "embed.1.proj.weight", sqrt(6.0 / 80), sqrt(6.0 / 80) * of_bound);
        check_start(m, "tails.weight", sqrt(6.0 / 66), sqrt(6.0 / 66) * of_bound);
        check_start(m, "layer.1.qkv.weight", xavier * sqrt(0.5), xavier * sqrt(0.5) * of_bound);
        check_start(m, "layer.0.proj.weight", xavier, xavier * of_bound);
        check_start(m, "layer.0.up.weight", in, in * of_bound);
        check_start(m, "layer.1.down.weight", out, out * of_bound);
        check_start(m, "layer.0.up.bias", in, in * of_bound);
        check_start(m, "layer.1.down.bias", out, out * of_bound);
        check_start(m, "layer.1.qkv.bias", 0, 0);
        ck_assert_int_eq(ssa_model_find(m, "embed.2.weight")->columns, 4);
        ck_assert_int_eq(ssa_model_find(m, "tails.weight")->rows, 2);
        ck_assert(ssa_model_find(m, "embed.0.weight")->decayed && !ssa_model_find(m, "norm.gain"));
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- golden numbers ---- */

/* Embedding and head, and nothing between. Values are c sin(a i + b), and a checksum is of all elements. */
enum { ROWS = 3, NARROW = 4 };
static const struct ssa_bands ten = {3, {4, 7, 10}};

static struct ssa_facts facts_of_ends(const struct ssa_model_config *config)
{
    (void)config;
    return (struct ssa_facts){.length = ROWS, .width = NARROW, .vocabulary = 10, .causal = true, .answers = ROWS};
}

static void build_ends(struct ssa_net *net, const struct ssa_model_config *config)
{
    (void)config;
    ssa_net_add(net, &ssa_embed_words_kind, &(struct ssa_embed_words_block){.block.ends_bucket = true, .bands = ten,
        .widths = {4, 2, 1}, .width = NARROW});
    ssa_net_add(net, &ssa_head_words_kind, &(struct ssa_head_words_block){.bands = ten, .widths = {4, 2, 1}});
}

static const struct ssa_family ends = NETS_FAMILY("ends", facts_of_ends, build_ends, NULL);

static void fill(struct ssa_tensor t, size_t count, double a, double b, double c)
{
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(c * sin(a * (double)i + b));
    OK(ssa_tensor_write(t, x, count));
    free(x);
}

static double checksum(struct ssa_tensor t, size_t count)
{
    float *x = test_read(t, count);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * sin(0.11 * (double)i + 0.5);
    free(x);
    return sum;
}

static void fill_ends(struct ssa_model *m)
{
    for (int b = 0; b < 3; b++) {
        char name[32];
        snprintf(name, sizeof name, "embed.%d.weight", b);
        const struct ssa_parameter *p = ssa_model_find(m, name);
        fill(p->value, p->count, 0.71, 0.2 + b, 0.8);
        snprintf(name, sizeof name, "embed.%d.proj.weight", b);
        p = ssa_model_find(m, name);
        fill(p->value, p->count, 0.43, 0.7 + b, 0.6);
    }
    fill(ssa_model_find(m, "tails.weight")->value, 8, 0.61, 0.35, 0.7);
}

static void check_gradients_of_ends(const struct ssa_model *m)
{
    static const double tables[] = {-1.894330, 0.800940, 0.484942}, projections[] = {-10.817499, -6.274631, 0.495274};
    for (int b = 0; b < 3; b++) {
        char name[32];
        snprintf(name, sizeof name, "embed.%d.weight", b);
        const struct ssa_parameter *p = ssa_model_find(m, name);
        ck_assert_double_eq_tol(checksum(p->grad, p->count), tables[b], 2e-5);
        snprintf(name, sizeof name, "embed.%d.proj.weight", b);
        p = ssa_model_find(m, name);
        ck_assert_double_eq_tol(checksum(p->grad, p->count), projections[b], 2e-5);
    }
    ck_assert_double_eq_tol(checksum(ssa_model_find(m, "tails.weight")->grad, 8), -0.108133, 2e-5);
}

START_TEST(golden_numbers)
{
    static const double x[ROWS * NARROW] = {-2.149715, 0.498417, 2.001535, -1.093476, -1.557978, -0.557459, 0.830563,
                                            1.641240, 0.094172, 0.002554, -0.089528, -0.165310};
    static const double losses[ROWS] = {1.420361, 4.742717, 4.093451};
    static const int32_t tokens[ROWS] = {1, 6, 8}, targets[ROWS] = {2, 5, 9};
    const struct ssa_model_config config = {.family = SSA_FAMILY_OF_TESTS};
    ssa_family_of_tests = &ends;
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        double want[ROWS * NARROW];
        OK(ssa_model_create(&m, dev, &config, &(struct ssa_model_limits){.batch = 1, .training = 1}));
        fill_ends(m);
        OK(ssa_inputs_write(m, &(struct ssa_pass){.tokens = tokens, .targets = targets, .training = 1}, 0));
        struct ssa_run r = ssa_run_begin(m);
        const struct ssa_block *embed = m->net.blocks[0], *head = m->net.blocks[1];
        r = ssa_run_turned(&r, embed, SSA_STREAM_NODES);
        OK(embed->kind->forward(embed, &r));
        for (int n = 0; n < ROWS; n++)
            for (int i = 0; i < NARROW; i++) {
                const double angle = (n + 2) * (i % 2 ? 1e-4 : 1);
                want[n * NARROW + i] = x[n * NARROW + i] + (i < NARROW / 2 ? sin(angle) : cos(angle));
            }
        test_compare("x", ssa_kept(&r, embed->out), want, ROWS * NARROW, 2e-6, 0, "%s", dev->info.id);
        fill(ssa_kept(&r, head->in), ROWS * NARROW, 0.83, 0.15, 1); /* in its place, the head is given this */
        OK(head->kind->forward(head, &r));
        test_compare("losses", ssa_model_losses(m), losses, ROWS, 2e-6, 0, "%s", dev->info.id);
        OK(head->kind->backward(head, &r));
        ck_assert_double_eq_tol(checksum(r.dx, ROWS * NARROW), -0.440313, 2e-6);
        fill(r.dx, ROWS * NARROW, 0.29, 0.6, 1);
        OK(embed->kind->backward(embed, &r));
        check_gradients_of_ends(m);
        ssa_model_destroy(m);
    }
    ssa_family_of_tests = NULL;
}
END_TEST

/* That of position 0, of eight elements. */
START_TEST(sinusoids)
{
    static const double want[] = {.909297, .092699, .004309, .000200, -.416147, .995694, .999991, 1.000000};
    const struct ssa_model_config c = {.family = SSA_WORDS, .words = {.vocabulary = 5, .length = 3, .layers = 1,
        .heads = 2, .width = 8}};
    FOR_DEVICES (dev) {
        struct ssa_model *m;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = 1}));
        const struct ssa_embed_words_block *b = (const struct ssa_embed_words_block *)m->net.blocks[0];
        test_compare("sinusoid", ssa_arena_at(&m->net.kept, b->sinusoids), want, 8, 1e-6, 0, "%s", dev->info.id);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- the whole distribution ---- */

struct texts {
    int32_t tokens[BATCH * N], targets[BATCH * N];
};

/* Of words [first, first + count), some of which are no target. */
static struct texts make_texts(int first, int count)
{
    struct texts t;
    for (int i = 0; i < BATCH * N; i++) {
        t.tokens[i] = first + (int32_t)((golden_value(3, (uint32_t)i) + 1) / 2 * count);
        t.targets[i] = i % 11 == 3 ? -1 : first + (int32_t)((golden_value(4, (uint32_t)i) + 1) / 2 * count);
    }
    return t;
}

static void to_log_probabilities(double *x, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += exp(x[i]);
    for (int i = 0; i < count; i++)
        x[i] -= log(sum);
}

static double dot(const double *x, const double *y, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Log-probabilities of all words after `h`, [WIDTH], from products: a class's times a word's in it. */
static void distribution(const struct ssa_model *m, const double *h, double *log_p)
{
    static const int begins[] = {0, 6, 7, V}, widths[] = {16, 4, 1};
    double *first = exact_value(m, -1, "embed.0.weight"), *tails = exact_value(m, -1, "tails.weight"), head[8];
    for (int i = 0; i < 8; i++)
        head[i] = dot(i < 6 ? first + i * WIDTH : tails + (i - 6) * WIDTH, h, WIDTH);
    to_log_probabilities(head, 8);
    memcpy(log_p, head, 6 * sizeof *head);
    for (int b = 1; b < 3; b++) {
        char name[32];
        double z[4] = {0};
        snprintf(name, sizeof name, "embed.%d.weight", b);
        double *table = exact_value(m, -1, name);
        snprintf(name, sizeof name, "embed.%d.proj.weight", b);
        double *projection = exact_value(m, -1, name);
        for (int j = 0; j < widths[b]; j++)
            for (int i = 0; i < WIDTH; i++)
                z[j] += projection[i * widths[b] + j] * h[i];
        for (int v = begins[b]; v < begins[b + 1]; v++)
            log_p[v] = dot(table + (v - begins[b]) * widths[b], z, widths[b]);
        to_log_probabilities(log_p + begins[b], begins[b + 1] - begins[b]);
        for (int v = begins[b]; v < begins[b + 1]; v++)
            log_p[v] += head[5 + b];
        free(table);
        free(projection);
    }
    free(first);
    free(tails);
}

/* Probabilities add up, are those of products, and losses are theirs. */
START_TEST(probabilities)
{
    const struct ssa_model_config c = small();
    const struct texts t = make_texts(0, V);
    char message[512];
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 0);
        OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = t.tokens, .targets = t.targets}));
        struct ssa_run r = ssa_run_begin(m);
        float *losses = test_read(ssa_model_losses(m), BATCH * N);
        float *hidden = test_read(ssa_kept(&r, m->net.blocks[m->net.count - 1]->in), BATCH * N * WIDTH);
        for (int row = 0; row < BATCH * N; row++) {
            double *h = test_doubles(hidden + row * WIDTH, WIDTH), want[V], sum = 0;
            float got[V];
            OK(ssa_model_read_logits(m, row / N, row % N, got));
            distribution(m, h, want);
            for (int v = 0; v < V; v++)
                sum += exp((double)got[v]);
            ck_assert_double_eq_tol(sum, 1, 1e-6);
            ck_assert_msg(test_close_to("log p", got, want, V, 1e-5, 1e-5, message, sizeof message), "row %d: %s", row,
                          message);
            ck_assert_double_eq_tol((double)losses[row], t.targets[row] < 0 ? 0 : -want[t.targets[row]], 2e-5);
            free(h);
        }
        free(losses);
        free(hidden);
        ssa_model_destroy(m);
    }
}
END_TEST

/* Of tables that are 0 all words are alike in their softmax. */
START_TEST(nothing_learned)
{
    const struct ssa_model_config c = small();
    const struct texts t = make_texts(0, V);
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 0);
        for (int i = 0; i < ssa_model_tensors(m); i++)
            if (ssa_model_parameter(m, i)->name[0] != 'l')
                OK(ssa_tensor_fill(ssa_model_parameter(m, i)->value, 0, ssa_model_parameter(m, i)->count));
        OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = t.tokens, .targets = t.targets}));
        float *losses = test_read(ssa_model_losses(m), BATCH * N);
        for (int i = 0; i < BATCH * N; i++)
            ck_assert_double_eq_tol((double)losses[i], t.targets[i] < 0    ? 0
                                                       : t.targets[i] < 7 ? log(8)
                                                                          : log(8) + log(16), 1e-6);
        free(losses);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- what is dropped, and added up ---- */

static double objective(struct ssa_model *m, const struct texts *t, struct ssa_pass pass)
{
    double sum = 0;
    const size_t rows = (size_t)(pass.batch ? pass.batch : BATCH) * N;
    pass.tokens = t->tokens + (size_t)pass.first_example * N;
    pass.targets = t->targets + (size_t)pass.first_example * N;
    pass.training = 1;
    pass.seed = 3;
    pass.step = 5;
    OK(ssa_model_forward(m, &pass));
    float *losses = test_read(ssa_model_losses(m), rows);
    for (size_t i = 0; i < rows; i++)
        sum += (double)losses[i];
    free(losses);
    return sum;
}

static float **read_gradients(struct ssa_model *m)
{
    float **all = calloc((size_t)ssa_model_tensors(m), sizeof *all);
    OK(ssa_model_backward(m));
    for (int i = 0; i < ssa_model_tensors(m); i++)
        all[i] = test_read(ssa_model_parameter(m, i)->grad, ssa_model_parameter(m, i)->count);
    return all;
}

/* `times` those that are wanted, which are freed. */
static void check_gradients(const struct ssa_model *m, float **want, double times, const char *what)
{
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        double *exact = test_doubles(want[i], p->count), squares = 0;
        for (size_t e = 0; e < p->count; e++) {
            exact[e] *= times;
            squares += exact[e] * exact[e] / (double)p->count;
        }
        test_compare(p->name, p->grad, exact, p->count, 1e-5 * sqrt(squares) + 1e-7, 1e-5, "%s", what);
        free(exact);
        free(want[i]);
    }
    free(want);
}

/* Losses and gradients of a batch are those of its halves, whatever is dropped: of a word's band too. */
START_TEST(halves)
{
    const struct ssa_model_config c = with_dropout();
    const struct texts t = make_texts(0, V);
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 1);
        const double whole = objective(m, &t, (struct ssa_pass){.batch = BATCH});
        float **want = read_gradients(m);
        const double first = objective(m, &t, (struct ssa_pass){.batch = BATCH / 2});
        OK(ssa_model_backward(m));
        const double second = objective(m, &t, (struct ssa_pass){.batch = BATCH / 2, .first_example = BATCH / 2,
                                                                 .accumulate = 1});
        OK(ssa_model_backward(m));
        ck_assert_double_eq_tol(first + second, whole, 1e-4);
        check_gradients(m, want, 1, "halves");
        ssa_model_destroy(m);
    }
}
END_TEST

/* Twice added up is twice the gradient, also of bands without words; and gradients of before do not count. */
START_TEST(gradients_add_up)
{
    static const int words[][2] = {{0, V}, {0, 6}, {6, 1}, {7, 16}}; /* all, or those of a band */
    const struct ssa_model_config c = with_dropout();
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            const struct texts t = make_texts(words[i][0], words[i][1]);
            struct ssa_model *m = make(dev, &c, 1);
            for (int p = 0; p < ssa_model_part_count(m); p++)
                OK(ssa_tensor_fill(ssa_model_part(m, p).grad, 7, ssa_model_part(m, p).count));
            objective(m, &t, (struct ssa_pass){.batch = BATCH});
            float **once = read_gradients(m);
            objective(m, &t, (struct ssa_pass){.batch = BATCH, .accumulate = 1});
            OK(ssa_model_backward(m));
            for (int p = 0; p < ssa_model_tensors(m); p++) { /* of words that are read by nobody, and in no softmax */
                const struct ssa_parameter *q = ssa_model_parameter(m, p);
                const bool unused = i == 1 && !strcmp(q->name, "embed.2.weight");
                for (size_t e = 0; unused && e < q->count; e++)
                    ck_assert(once[p][e] == 0);
            }
            check_gradients(m, once, 2, "twice");
            ssa_model_destroy(m);
        }
}
END_TEST

/* Chunks of a row, and of five, are as all rows at once. */
START_TEST(chunks)
{
    const struct ssa_model_config c = with_dropout();
    const struct texts t = make_texts(0, V);
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 1);
        struct ssa_head_words_block *head = (struct ssa_head_words_block *)m->net.blocks[m->net.count - 1];
        float answers[2][V];
        for (int rows = 1; rows <= 5; rows += 4) {
            for (int b = 0; b < SSA_BANDS; b++)
                head->chunks[b] = BATCH * N;
            const double whole = objective(m, &t, (struct ssa_pass){.batch = BATCH});
            float **want = read_gradients(m);
            OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = t.tokens}));
            OK(ssa_model_read_logits(m, 2, 7, answers[0]));
            for (int b = 0; b < SSA_BANDS; b++)
                head->chunks[b] = rows;
            ck_assert_double_eq_tol(objective(m, &t, (struct ssa_pass){.batch = BATCH}), whole, 1e-4);
            OK(ssa_model_backward(m));
            check_gradients(m, want, 1, "chunks");
            OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = t.tokens}));
            OK(ssa_model_read_logits(m, 2, 7, answers[1]));
            for (int v = 0; v < V; v++)
                ck_assert_float_eq_tol(answers[0][v], answers[1][v], 1e-5f);
        }
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- generation ---- */

/* From a cache: the log-probabilities of a pass; past N the later half of the window begins anew, at position 0. */
START_TEST(generates_as_a_pass)
{
    enum { PROMPT = 3, COUNT = N };
    const struct ssa_model_config c = small();
    const struct texts t = make_texts(0, V);
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 0);
        struct drawn d = {.vocabulary = V};
        int32_t words[PROMPT + COUNT];
        memcpy(words, t.tokens, PROMPT * sizeof *words);
        OK(ssa_generate(m, words, PROMPT, COUNT, words + PROMPT, &(struct ssa_generate){.seed = 3, .token = drawn_keep,
            .cookie = &d, .logits = d.logits}));
        ck_assert_int_eq(d.count, COUNT);
        for (int i = 0; i < COUNT; i++) {
            const int seen = PROMPT + i, first = seen > N ? N / 2 : 0;
            OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = words + first, .batch = 1, .length = seen - first}));
            drawn_from_pass(&d, i, m, seen - first - 1, "log p");
        }
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- training ---- */

enum { STEPS = 6, TEXT = 400, MICRO = 2 };

static const struct ssa_stage stages[] = {
    {.pattern = {.kind = SSA_LOCAL, .ratio = 1.0f / 3, .look_back = 1, .per_example = 1}, .steps = 4, .lr = 0.01f},
    {.steps = 2, .lr = 0.01f}};

static const uint8_t *text_of_words(void)
{
    static uint8_t text[TEXT];
    for (int i = 0; i < TEXT; i++)
        text[i] = (uint8_t)((golden_value(9, (uint32_t)(i / 2)) + 1) / 2 * V);
    return text;
}

/* On a pool, or a device alone: four micro-batches a step. */
static struct run start(struct ssa_device *dev, struct ssa_pool *pool, struct ssa_train_config training)
{
    const struct ssa_model_config c = with_dropout();
    const struct ssa_model_limits limits = {.batch = MICRO, .training = 1};
    struct run j;
    training.batch = 4 * MICRO;
    training.seed = 11;
    training.stages = stages;
    training.stage_count = 2;
    OK(pool ? ssa_pool_model_create(&j.model, pool, &c, &limits) : ssa_model_create(&j.model, dev, &c, &limits));
    OK(ssa_model_initialise(j.model, 11));
    OK(ssa_trainer_create(&j.trainer, j.model, &training, &(struct ssa_data){.items = text_of_words(), .count = TEXT}));
    return j;
}

static void check_resumed(struct ssa_device *dev, struct ssa_train_config training)
{
    struct run whole = start(dev, NULL, training), first = start(dev, NULL, training), second;
    char path[SAVED_PATH];
    saved_path(path, "adaptive");
    OK(ssa_trainer_run(whole.trainer, 0, NULL));
    OK(ssa_trainer_run(first.trainer, 3, NULL));
    OK(ssa_checkpoint_save(path, first.model, first.trainer, NULL));
    run_end(first);
    second = start(dev, NULL, training);
    saved_load(path, second.model, second.trainer);
    OK(ssa_trainer_run(second.trainer, 0, NULL));
    same_parameters(whole.model, second.model);
    run_end(whole);
    run_end(second);
    unlink(path);
}

static const struct ssa_train_config nesterov = {.optimiser = SSA_NAG, .momentum = 0.9f, .ema = 0.9f};

START_TEST(resumed)
{
    FOR_DEVICES (dev) {
        check_resumed(dev, nesterov);
        if (!test_launches_slowly(dev))
            check_resumed(dev, (struct ssa_train_config){0});
    }
}
END_TEST

static void check_pool(struct ssa_train_config training)
{
    struct ssa_device *dev;
    struct ssa_pool *pool = pools_hosts(3, NULL);
    OK(ssa_device_open(&dev, "cpu"));
    struct run alone = start(dev, NULL, training), together = start(NULL, pool, training);
    OK(ssa_trainer_run(alone.trainer, 0, NULL));
    OK(ssa_trainer_run(together.trainer, 0, NULL));
    same_parameters(alone.model, ssa_model_first_live(together.model));
    run_end(alone);
    run_end(together);
    ssa_pool_close(pool);
    ssa_device_close(dev);
}

START_TEST(on_a_pool)
{
    check_pool((struct ssa_train_config){0});
    check_pool(nesterov);
}
END_TEST

/* All of a parameter's values, or of its gradient or moment, of all parameters. */
static double *read_all(struct run j, int what)
{
    double *all = malloc(ssa_model_elements(ssa_model_config(j.model)) * sizeof *all), *to = all;
    for (int i = 0; i < ssa_model_tensors(j.model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(j.model, i);
        float *x = test_read(what == 0 ? p->value : what == 1 ? p->grad : ssa_worker_moment(j.trainer->team->workers[0], p, what - 1),
                             p->count);
        for (size_t e = 0; e < p->count; e++)
            *to++ = (double)x[e];
        free(x);
    }
    return all;
}

/* A step's: p += m^2 r buf - (1 + m) lr g, buf = m r buf - lr g, of the gradient that was clipped to 0.1. */
static void check_nesterov_step(struct run j, int step, double *buffer)
{
    const size_t count = ssa_model_elements(ssa_model_config(j.model));
    const double lr = (double)ssa_learning_rate(ssa_trainer_config(j.trainer), step), m = (double)nesterov.momentum;
    const double r = step ? lr / (double)ssa_learning_rate(ssa_trainer_config(j.trainer), step - 1) : 1;
    double *before = read_all(j, 0), *want = malloc(count * sizeof *want), squares = 0;
    OK(ssa_trainer_step(j.trainer));
    double *after = read_all(j, 0), *g = read_all(j, 1), *moment = read_all(j, 2);
    for (size_t i = 0; i < count; i++)
        squares += g[i] * g[i];
    const double clip = fmin(1, 0.1 / (sqrt(squares) + 1e-6));
    for (size_t i = 0; i < count; i++) {
        want[i] = before[i] + m * m * r * buffer[i] - (1 + m) * lr * clip * g[i];
        buffer[i] = m * r * buffer[i] - lr * clip * g[i];
        ck_assert_msg(fabs(after[i] - want[i]) < 1e-5 && fabs(moment[i] - buffer[i]) < 1e-5,
                      "step %d, %zu: %g, not %g; moment %g, not %g", step, i, after[i], want[i], moment[i], buffer[i]);
    }
    ck_assert_double_lt(clip, 1);
    free(before);
    free(want);
    free(after);
    free(g);
    free(moment);
}

START_TEST(nesterov_by_recomputation)
{
    FOR_DEVICES (dev) {
        struct run j = start(dev, NULL, nesterov);
        double *buffer = calloc(ssa_model_elements(ssa_model_config(j.model)), sizeof *buffer);
        for (int step = 0; step < STEPS; step++)
            check_nesterov_step(j, step, buffer);
        free(buffer);
        run_end(j);
    }
}
END_TEST

/* That of WikiText-103, after so many updates. */
START_TEST(learning_rates)
{
    static const struct ssa_stage stage[] = {{.steps = 286000, .warmup = 16000, .lr = 1, .lr_end = 1e-4f}};
    static const struct {
        int updates;
        double lr;
    } want[] = {{8000, 0.5}, {16000, 1}, {83500, 0.853568}, {151000, 0.50005}, {286000, 0.0001}};
    const struct ssa_train_config training = {.optimiser = SSA_NAG, .stages = stage, .stage_count = 1};
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol((double)ssa_learning_rate(&training, want[i].updates - 1), want[i].lr, 1e-5);
}
END_TEST

/* One moment less, on the device and in files; and a file of the one is nothing for the other. */
START_TEST(one_moment)
{
    const struct ssa_model_config c = with_dropout();
    const struct ssa_model_limits limits = {.batch = MICRO, .training = 1};
    char path[SAVED_PATH];
    saved_path(path, "adaptive");
    FOR_DEVICES (dev) {
        struct ssa_memory adam, nag;
        size_t before, after;
        struct ssa_checkpoint *file;
        struct run a = start(dev, NULL, (struct ssa_train_config){.ema = 0.9f}), b;
        OK(ssa_train_check(dev, &c, &limits, ssa_trainer_config(a.trainer), 0, &adam));
        OK(ssa_checkpoint_save(path, a.model, a.trainer, NULL));
        ssa_device_memory(dev, &before, NULL);
        b = start(dev, NULL, nesterov);
        ssa_device_memory(dev, &after, NULL);
        ck_assert(ssa_trainer_config(b.trainer)->momentum == 0.9f && ssa_trainer_config(b.trainer)->clip == 0.1f &&
                  ssa_trainer_config(b.trainer)->decay == SSA_NONE && ssa_trainer_config(a.trainer)->clip == 1);
        OK(ssa_train_check(dev, &c, &limits, ssa_trainer_config(b.trainer), 0, &nag));
        ck_assert_uint_eq(adam.moments - nag.moments, nag.parameters);
        ck_assert_uint_eq(after - before, nag.total);
        OK(ssa_checkpoint_open(&file, path));
        FAILS(ssa_checkpoint_load(file, b.model, b.trainer), SSA_EINVAL,
              "its optimiser is adamw, the trainer's is nag");
        ssa_checkpoint_close(file);
        OK(ssa_checkpoint_save(path, b.model, b.trainer, NULL));
        OK(ssa_checkpoint_open(&file, path));
        ck_assert(ssa_checkpoint_training(file)->optimiser == SSA_NAG && ssa_checkpoint_has_average(file));
        ck_assert(ssa_checkpoint_training(file)->momentum == 0.9f);
        FAILS(ssa_checkpoint_load(file, a.model, a.trainer), SSA_EINVAL,
              "its optimiser is nag, the trainer's is adamw");
        OK(ssa_checkpoint_load(file, b.model, b.trainer));
        ssa_checkpoint_close(file);
        unlink(path);
        run_end(a);
        run_end(b);
    }
}
END_TEST

/* A text is learned by heart; its loss, that of an ensemble, and of windows, is what evaluation says. */
START_TEST(learns)
{
    static const struct ssa_stage sixty[] = {{.steps = 60, .lr = 0.02f}};
    const struct ssa_data data = {.items = text_of_words(), .count = 60};
    const struct ssa_pattern half = {.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1};
    FOR_DEVICES (dev) {
        const struct ssa_model_config c = small();
        struct ssa_trainer *t;
        struct ssa_model *m;
        struct ssa_scores before, after, sampled;
        if (test_launches_slowly(dev))
            continue;
        OK(ssa_model_create(&m, dev, &c, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.stride = 4}, &before, NULL, NULL));
        OK(ssa_trainer_create(&t, m, &(struct ssa_train_config){.stages = sixty, .stage_count = 1}, &data));
        OK(ssa_trainer_run(t, 0, NULL));
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.stride = 4}, &after, NULL, NULL));
        ck_assert_double_gt(before.loss, 2);
        ck_assert_double_lt(after.loss, 0.5 * before.loss);
        OK(ssa_evaluate(m, &data, &(struct ssa_evaluate){.pattern = &half, .passes = 4}, &sampled, NULL, NULL));
        ck_assert_double_lt(sampled.loss, sampled.single);
        ssa_trainer_destroy(t);
        ssa_model_destroy(m);
    }
}
END_TEST

/* ---- memory, files, arguments ---- */

START_TEST(memory_is_as_foreseen)
{
    struct ssa_model_config configs[] = {small(), with_dropout(), small()};
    const struct texts t = make_texts(0, V);
    configs[2].words.cutoffs[0] = configs[2].words.cutoffs[1] = 0;
    FOR_DEVICES (dev)
        for (int i = 0; i < 6; i++) {
            const struct ssa_model_limits limits = {.batch = BATCH, .training = i % 2};
            const size_t before = test_held(dev);
            struct ssa_memory memory;
            struct ssa_model *m;
            OK(ssa_model_memory(&configs[i / 2], &limits, &memory));
            OK(ssa_model_create(&m, dev, &configs[i / 2], &limits));
            ck_assert_uint_eq(test_held(dev) - before, memory.total);
            if (limits.training) {
                objective(m, &t, (struct ssa_pass){.batch = BATCH});
                OK(ssa_model_backward(m));
            }
            OK(ssa_generate(m, t.tokens, 3, 2, NULL, &(struct ssa_generate){0}));
            ck_assert_uint_eq(test_held(dev) - before, memory.total + memory.cache);
            ssa_model_destroy(m);
            ck_assert_uint_eq(test_held(dev), before);
        }
}
END_TEST

/* Of a step of the paper's model: what layers keep, one chunk of logits, and nothing of T V. */
START_TEST(large_vocabulary)
{
    const struct ssa_model_config c = of_wikitext(16);
    const size_t T = 3072, C = 1024, layer = 2 * C + 3 * C + C + 4 * C + 8 + 4; /* streams, qkv, attention, MLP */
    struct ssa_memory m;
    OK(ssa_model_memory(&c, &(struct ssa_model_limits){.batch = 1, .training = 1}, &m));
    const size_t kept = 4 * T * (16 * layer + C), scratch = 4 * T * (C + C + 4 * C + C + C);
    ck_assert_uint_lt(m.activations, kept + scratch + ((size_t)64 << 20));
    ck_assert_uint_gt(m.activations, kept);
    ck_assert_uint_lt(m.parameters - 4 * (size_t)246933504, 1 << 20);
}
END_TEST

START_TEST(saved_and_loaded)
{
    const struct ssa_model_config c = with_dropout();
    struct ssa_model_config other_bands = c, one_band = c;
    const struct texts t = make_texts(0, V);
    char path[SAVED_PATH];
    other_bands.words.cutoffs[1] = 9;
    one_band.words.cutoffs[0] = one_band.words.cutoffs[1] = 0;
    saved_path(path, "adaptive");
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 0);
        struct ssa_checkpoint *file;
        float want[V], got[V];
        struct ssa_model *again = saved_again(m, path, &file);
        const struct ssa_model_config *theirs = ssa_checkpoint_model(file);
        ck_assert_mem_eq(&theirs->words, &c.words, sizeof c.words);
        OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = t.tokens}));
        OK(ssa_model_forward(again, &(struct ssa_pass){.tokens = t.tokens}));
        OK(ssa_model_read_logits(m, 1, 5, want));
        OK(ssa_model_read_logits(again, 1, 5, got));
        ck_assert_mem_eq(want, got, sizeof got);
        saved_refuses(file, dev, &other_bands, "it is of another model: cutoffs[1] is 7, this model's is 9");
        saved_refuses(file, dev, &one_band, "cutoffs[0] is 6, this model's is 0");
        ssa_checkpoint_close(file);
        ssa_model_destroy(m);
        ssa_model_destroy(again);
        unlink(path);
    }
}
END_TEST

#define BAD(field, value_, text) \
    do { \
        struct ssa_model_config bad_ = small(); \
        bad_.words.field = (value_); \
        FAILS(ssa_model_check(&bad_), SSA_EINVAL, text); \
    } while (0)

START_TEST(bad_arguments)
{
    const struct ssa_model_config c = small();
    const struct ssa_stage stage = {.steps = 1, .lr = 0.1f};
    struct texts t = make_texts(0, V);
    struct ssa_pass pass = {.tokens = t.tokens, .targets = t.targets, .training = 1};
    BAD(vocabulary, 7, "model: vocabulary is 7, must be above the last cutoff, 7");
    BAD(cutoffs[0], 7, "model: cutoffs[1] is 7, must be above the one before, 7");
    BAD(cutoffs[0], 0, "model: cutoffs[1] is 7, behind one that is 0");
    BAD(cutoffs[2], 6, "model: cutoffs[2] is 6, must be above the one before, 7");
    BAD(cutoffs[0], -1, "model: cutoffs[0] is -1");
    BAD(factor, 3, "model: width 16 does not divide by 3^2, the factor of 3 bands");
    BAD(factor, 5, "model: width 16 does not divide by 5^2");
    BAD(width, 24, "model: width 24 does not divide by 4^2");
    BAD(heads, 3, "model: width 16 does not divide by heads 3");
    BAD(head_dropout, 1, "model: head_dropout is 1");
    BAD(activation_dropout, 1, "model: activation_dropout is 1");
    BAD(attention_dropout, -0.5f, "model: attention_dropout is -0.5");
    BAD(drop_keys, 1, "model: drop_keys is 1");
    BAD(activation, SSA_ACT_ELU + 1, "model: activation is 7");
    FOR_DEVICES (dev) {
        struct ssa_model *m = make(dev, &c, 1);
        struct ssa_trainer *trainer;
        pass.smoothing = 0.1f;
        FAILS(ssa_model_forward(m, &pass), SSA_EINVAL, "model: smoothing is 0.1, of this kind of model labels are not");
        pass.smoothing = 0;
        FAILS(ssa_trainer_create(&trainer, m, &(struct ssa_train_config){.stages = &stage, .stage_count = 1,
              .smoothing = 0.2f}, &(struct ssa_data){.items = text_of_words(), .count = TEXT}), SSA_EINVAL,
              "train: smoothing is 0.2, of this kind of model labels are not smoothed");
        t.tokens[5] = V;
        FAILS(ssa_model_forward(m, &pass), SSA_EINVAL, "model: token 5 is 23, vocabulary is 23");
        t.tokens[5] = -1;
        FAILS(ssa_model_forward(m, &pass), SSA_EINVAL, "model: token 5 is -1");
        t.tokens[5] = 0;
        t.targets[9] = V + 4;
        FAILS(ssa_model_forward(m, &pass), SSA_EINVAL, "model: target 9 is 27");
        t.targets[9] = -7;
        OK(ssa_model_forward(m, &pass));
        ssa_model_destroy(m);
    }
}
END_TEST

int main(void)
{
    return test_run("adaptive", (const TTest *const[]){sizes, starts_as_fairseq, golden_numbers, sinusoids,
        probabilities, nothing_learned, halves, gradients_add_up, chunks, generates_as_a_pass, resumed, on_a_pool,
        nesterov_by_recomputation, learning_rates, one_moment, learns, memory_is_as_foreseen, large_vocabulary,
        saved_and_loaded, bad_arguments, NULL});
}

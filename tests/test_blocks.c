/* Every kind of block, alone between an embedding and a head: gradients of all parameters, below it (so of its input)
 * and in it, against central differences of the summed losses. */
#include "differences.h"
#include "golden.h"
#include "harness.h"
#include "net/block/blocks.h"
#include "net/internal.h"
#include "nets.h"

enum { LENGTH = 11, WIDTH = 16, VOCABULARY = 13, BATCH = 3, ROWS = BATCH * LENGTH, PIXELS = 2 * 22 * 3 };

/* ---- a net around a block ---- */

enum { GRID_ROWS = 2, GRID_COLUMNS = 4, IN_WINDOW = 4, GRID_WINDOWS = 2 }; /* of blocks of a grid */
enum sampling { DENSE, WINDOWS, FEW_KEYS, IN_EACH_WINDOW, PERMUTED, PERMUTED_UNEVENLY };
enum { OF_TWO = LENGTH - 1 }; /* slices that are equally long */
struct block_case {
    const char *name;
    const struct ssa_block_kind *kind; /* NULL: embedding and head alone */
    const void *settings;
    struct ssa_embed_tokens_block embed;
    struct ssa_head_tokens_block head;
    const struct ssa_embed_patches_block *patches; /* NULL, or the embedding, of at most PIXELS an image */
    const struct ssa_embed_pixels_block *grid;     /* NULL, or the embedding */
    const struct ssa_head_classes_block *classes;  /* NULL, or the head */
    bool words;                                    /* embedding and head are of words in bands, */
    float words_dropout;                           /* with so much dropped */
    int first_word, words_used;                    /* ids there are; of 0 all */
    bool soft;                                     /* targets of which */
    int chunk;                                     /* rows that the head of tokens takes at a time; 0: all */
    int length;                                    /* positions; 0: LENGTH */
    enum sampling sampling;
    bool elsewhere; /* what is new in it is the host's side alone: not on devices that launch slowly */
};
static const struct block_case *now;

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    (void)config;
    const int length = now->length ? now->length : LENGTH;
    return (struct ssa_facts){.layers = now->kind == &ssa_attention_kind || now->kind == &ssa_window_attention_kind,
                              .length = length, .width = WIDTH, .vocabulary = VOCABULARY, .causal = true,
                              .answers = length};
}

/* Of 4 words, of 1, and of the rest. */
static const struct ssa_bands bands = {3, {4, 5, VOCABULARY}};

static void add_embedding(struct ssa_net *net)
{
    struct ssa_embed_tokens_block embed = now->embed;
    embed.block.ends_bucket = true;
    embed.vocabulary = VOCABULARY;
    embed.width = WIDTH;
    if (now->patches)
        ssa_net_add(net, &ssa_embed_patches_kind, now->patches);
    else if (now->grid)
        ssa_net_add(net, &ssa_embed_pixels_kind, now->grid);
    else if (now->words)
        ssa_net_add(net, &ssa_embed_words_kind, &(struct ssa_embed_words_block){.block.ends_bucket = true,
            .bands = bands, .widths = {WIDTH, WIDTH / 4, WIDTH / 2}, .width = WIDTH, .dropout = now->words_dropout});
    else
        ssa_net_add(net, &ssa_embed_tokens_kind, &embed);
}

static void add_head(struct ssa_net *net)
{
    struct ssa_head_tokens_block head = now->head;
    head.vocabulary = VOCABULARY;
    head.norm.name = "norm";
    if (now->classes)
        ssa_net_add(net, &ssa_head_classes_kind, now->classes);
    else if (now->words)
        ssa_net_add(net, &ssa_head_words_kind, &(struct ssa_head_words_block){.bands = bands,
            .widths = {WIDTH, WIDTH / 4, WIDTH / 2}, .dropout = now->words_dropout, .dropout_stream = 8});
    else
        ssa_net_add(net, &ssa_head_tokens_kind, &head);
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    (void)config;
    add_embedding(net);
    if (now->kind)
        ssa_net_add(net, now->kind, now->settings);
    add_head(net);
}

static struct ssa_layer layer_of_windows(const struct ssa_model_config *config, int layer)
{
    (void)config;
    (void)layer;
    return (struct ssa_layer){.length = IN_WINDOW, .sequences = GRID_WINDOWS};
}

static const struct ssa_family around = NETS_FAMILY("around", facts, build, NULL);
static const struct ssa_family around_windows = NETS_FAMILY("around", facts, build, layer_of_windows);

struct fixture {
    struct ssa_model *model;
    struct ssa_plan plan;
    const struct ssa_plan *plans[1];
    int32_t tokens[ROWS], targets[ROWS], labels[BATCH];
    float pixels[BATCH * PIXELS], soft[BATCH * VOCABULARY];
    size_t losses;
    struct ssa_pass pass;
};

static void fill_parameters(struct ssa_model *m)
{
    for (int i = 0; i < ssa_model_tensors(m); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(m, i);
        float *x = test_values(p->count, (uint64_t)i + 1, -0.3f, 0.3f);
        for (size_t e = 0; strstr(p->name, "gain") && e < p->count; e++)
            x[e] += 1;
        OK(ssa_tensor_write(p->value, x, p->count));
        free(x);
    }
}

static void fill_tokens(struct fixture *f, const struct block_case *c)
{
    const int count = c->words_used ? c->words_used : VOCABULARY;
    for (int i = 0; i < ROWS; i++) {
        f->tokens[i] = c->first_word + (int32_t)((golden_value(3, (uint32_t)i) + 1) / 2 * count);
        f->targets[i] = i % 7 == 3 ? -1 : c->first_word + (int32_t)((golden_value(4, (uint32_t)i) + 1) / 2 * count);
    }
}

/* Rows that a head takes at a time. */
static void cut(struct ssa_block *head, const struct block_case *c)
{
    if (!c->words)
        ((struct ssa_head_tokens_block *)head)->chunk = c->chunk;
    for (int b = 0; c->words && b < bands.count; b++)
        ((struct ssa_head_words_block *)head)->chunks[b] = c->chunk;
}

static void draw(struct ssa_plan *plan, enum sampling sampling)
{
    static const int first = 0;
    static const struct ssa_sample how[] = {
        [WINDOWS] = {.kind = SSA_LOCAL, .length = LENGTH, .keys = 1, .fixed_windows = 1, .own_key = 1},
        [FEW_KEYS] = {.kind = SSA_UNBIASED, .length = LENGTH, .keys = 3, .keep = &first, .keep_count = 1, .seed = 5},
        [IN_EACH_WINDOW] = {.kind = SSA_UNBIASED, .length = IN_WINDOW, .keys = 2, .own_key = 1, .per_example = 1,
                            .batch = BATCH * GRID_WINDOWS, .seed = 5},
        [PERMUTED] = {.kind = SSA_LOCAL, .length = OF_TWO, .keys = OF_TWO / 2, .permute_queries = 1, .per_example = 1,
                      .batch = BATCH, .seed = 5},
        [PERMUTED_UNEVENLY] = {.kind = SSA_LOCAL, .length = LENGTH, .keys = 4, .permute_queries = 1, .seed = 5}};
    OK(ssa_plan_draw(plan, &how[sampling]));
}

static void open_fixture(struct fixture *f, struct ssa_device *dev, const struct block_case *c)
{
    struct ssa_model_config config = {.family = SSA_FAMILY_OF_TESTS};
    *f = (struct fixture){.model = NULL};
    now = c;
    ssa_family_of_tests = c->kind == &ssa_window_attention_kind ? &around_windows : &around;
    OK(ssa_model_create(&f->model, dev, &config, &(struct ssa_model_limits){.batch = BATCH, .training = 1}));
    fill_parameters(f->model);
    if (c->chunk)
        cut(f->model->net.blocks[f->model->net.count - 1], c);
    if (c->sampling != DENSE) {
        draw(&f->plan, c->sampling);
        f->plans[0] = &f->plan;
    }
    fill_tokens(f, c);
    for (int i = 0; i < BATCH * PIXELS; i++)
        f->pixels[i] = (float)golden_value(5, (uint32_t)i);
    for (int i = 0; i < BATCH * VOCABULARY; i++) /* of one sequence none */
        f->soft[i] = i / VOCABULARY == 1 ? 0 : (float)(golden_value(6, (uint32_t)i) + 1) / VOCABULARY;
    f->losses = c->classes ? BATCH : (size_t)(BATCH * (c->length ? c->length : LENGTH));
    f->pass = (struct ssa_pass){.tokens = c->patches ? NULL : f->tokens, .targets = c->soft ? NULL : f->targets,
                                .pixels = c->patches ? f->pixels : NULL, .soft_targets = c->soft ? f->soft : NULL,
                                .plans = f->plans, .training = 1, .seed = 3, .step = 5, .first_example = 2};
    for (int i = 0; i < BATCH; i++)
        f->labels[i] = 1 - i % 2;
    f->pass.labels = c->grid && c->grid->classes ? f->labels : NULL;
}

static void close_fixture(struct fixture *f)
{
    ssa_model_destroy(f->model);
    ssa_plan_finish(&f->plan);
    ssa_family_of_tests = NULL;
}

/* ---- differences ---- */

static struct differences differences_of(const struct fixture *f, const char *what)
{
    return (struct differences){f->model, &f->pass, f->losses, .what = what, .may_vanish = true};
}

static void check_case(struct ssa_device *dev, const struct block_case *c)
{
    struct fixture f;
    open_fixture(&f, dev, c);
    const struct differences d = differences_of(&f, c->name);
    check_differences(&d);
    close_fixture(&f);
}

/* ---- cases ---- */

#define TIED .head = {.tied = "embed.weight", .norm = {.kind = SSA_NORM_LAYER, .eps = 1e-5f, .bias = true}}
#define GRID(...) &(const struct ssa_embed_pixels_block){.block.ends_bucket = true, .values = VOCABULARY, \
                                                         .width = WIDTH, __VA_ARGS__}
#define HEAD .head = {.norm = {.kind = SSA_NORM_LAYER, .eps = 1e-5f, .bias = true}}
#define LAYER_NORM .branch = {.norm = {"norm1", SSA_NORM_LAYER, 1e-5f, true}, .stream = 1}
#define CLASSES(...) &(const struct ssa_head_classes_block){.norm = {"norm", SSA_NORM_LAYER, 1e-6f, true}, \
                                                            .classes = VOCABULARY, __VA_ARGS__}

static const struct block_case cases[] = {
    {"embedding, tied head", TIED},
    {"learned positions, dropout, head of its own, RMS norm", .embed = {.positions = true, .dropout = 0.2f},
     .head = {.norm = {.kind = SSA_NORM_RMS, .eps = 1e-5f}}},
    {"head in chunks, tied", TIED, .chunk = 4},
    {"head in chunks of one row", .head = {.norm = {.kind = SSA_NORM_LAYER, .eps = 1e-5f}}, .chunk = 1},
    {"attention", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .causal = true, .bias = true,
                                   .rope_base = 10000}, TIED},
    {"attention, grouped heads, windows", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 1, .causal = true, .bias = true,
                                   .rope_base = 100}, TIED, .sampling = WINDOWS},
    {"attention, few keys, dropout, RMS norm", &ssa_attention_kind,
     &(struct ssa_attention_block){.branch = {{"norm1", SSA_NORM_RMS, 1e-5f, false}, 0.3f, 1}, .heads = 2,
                                   .kv_heads = 2, .causal = true, .rope_base = 10000}, TIED, .sampling = FEW_KEYS},
    {"attention of an encoder", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 1, .kv_heads = 1, .bias = true}, TIED},
    {"attention, values wider than keys", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .key_width = 4, .value_width = 12,
                                   .causal = true, .bias = true}, TIED},
    {"attention, keys wider than values, grouped heads, windows", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 1, .key_width = 16, .value_width = 4,
                                   .causal = true, .bias = true, .rope_base = 100}, TIED, .sampling = WINDOWS},
    {"attention, values wider than keys, few keys", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .key_width = 4, .causal = true,
                                   .bias = true}, TIED, .sampling = FEW_KEYS},
    {"attention, permuted queries, grouped heads, dropout", &ssa_attention_kind,
     &(struct ssa_attention_block){.branch = {{"norm1", SSA_NORM_LAYER, 1e-5f, true}, 0.2f, 1}, .heads = 2,
                                   .kv_heads = 1, .causal = true, .bias = true, .rope_base = 100, .dropout = 0.3f,
                                   .dropout_stream = 3}, TIED, .length = OF_TWO, .sampling = PERMUTED},
    {"attention of an encoder, permuted queries, values wider than keys", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .key_width = 4, .value_width = 12,
                                   .bias = true}, TIED, .length = OF_TWO, .sampling = PERMUTED},
    {"attention, permuted queries, few keys of wide values", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 4, .kv_heads = 1, .key_width = 4, .value_width = 16,
                                   .causal = true}, TIED, .length = OF_TWO, .sampling = PERMUTED},
    {"attention, permuted queries, slices that are not equal", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .causal = true, .bias = true,
                                   .rope_base = 100}, TIED, .sampling = PERMUTED_UNEVENLY},
    {"pixels", .grid = GRID(.rows = 2, .columns = 2, .channels = 3), HEAD},
    {"pixels of one channel, attention", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .key_width = 4, .causal = true,
                                   .bias = true},
     .grid = GRID(.rows = 4, .columns = 3, .channels = 1), HEAD},
    {"pixels with classes, attention", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .causal = true, .bias = true},
     .grid = GRID(.rows = 3, .columns = 2, .channels = 2, .classes = 3), HEAD},
    {"MLP", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 24, .activation = SSA_ACT_GELU, .bias = true}, TIED},
    {"MLP, dropout, tanh, RMS norm, no biases", &ssa_mlp_kind,
     &(struct ssa_mlp_block){.branch = {{"norm2", SSA_NORM_RMS, 1e-5f, false}, 0.3f, 2}, .hidden = 40,
                             .activation = SSA_ACT_GELU_TANH}, TIED},
    {"MLP, quick GELU", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 24, .activation = SSA_ACT_QUICK_GELU, .bias = true}, TIED},
    {"gated MLP, RMS norm, no biases", &ssa_mlp_kind,
     &(struct ssa_mlp_block){.branch = {{"norm2", SSA_NORM_RMS, 1e-5f, false}, 0, 2}, .hidden = 24, .gated = true,
                             .activation = SSA_ACT_SILU}, TIED},
    {"patches", .patches = &(const struct ssa_embed_patches_block){.rows = 2, .columns = 22, .channels = 3, .patch = 2,
     .width = WIDTH}, .head = {.norm = {.kind = SSA_NORM_LAYER, .eps = 1e-5f}}},
    {"patches, class token, dropout; class token classified", .patches = &(const struct ssa_embed_patches_block){
     .rows = 4, .columns = 10, .channels = 1, .patch = 2, .width = WIDTH, .class_token = true, .dropout = 0.2f},
     .classes = CLASSES(.mean = false)},
    {"patches of a pixel; mean classified, soft targets", .patches = &(const struct ssa_embed_patches_block){
     .rows = 1, .columns = LENGTH, .channels = 2, .patch = 1, .width = WIDTH}, .classes = CLASSES(.mean = true),
     .soft = true},
    {"sequence of tokens classified", .classes = CLASSES(.mean = true), .elsewhere = true},
    {"attention, dropout of probabilities, drop path", &ssa_attention_kind,
     &(struct ssa_attention_block){.branch = {.norm = {"norm1", SSA_NORM_LAYER, 1e-5f, true}, .path = 0.4f,
                                              .path_stream = 4, .out_deviation = 0.02}, .heads = 2, .kv_heads = 2,
                                   .bias = true, .dropout = 0.3f, .dropout_stream = 3}, TIED},
    {"attention, few keys, drop path and all dropouts", &ssa_attention_kind,
     &(struct ssa_attention_block){.branch = {{"norm1", SSA_NORM_LAYER, 1e-5f, true}, 0.2f, 1, 0.5f, 4}, .heads = 2,
                                   .kv_heads = 2, .bias = true, .dropout = 0.3f, .dropout_stream = 3}, TIED,
     .sampling = FEW_KEYS, .elsewhere = true},
    {"attention, grouped heads, keys dropped", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 1, .causal = true, .bias = true,
                                   .drop_keys = 0.3f, .dropout_stream = 3}, TIED},
    {"attention, few keys, of them dropped", &ssa_attention_kind,
     &(struct ssa_attention_block){LAYER_NORM, .heads = 2, .kv_heads = 2, .bias = true, .drop_keys = 0.3f,
                                   .dropout_stream = 3}, TIED, .sampling = FEW_KEYS, .elsewhere = true},
    {"MLP, drop path, dropout", &ssa_mlp_kind,
     &(struct ssa_mlp_block){.branch = {{"norm2", SSA_NORM_LAYER, 1e-5f, true}, 0.2f, 2, 0.5f, 5}, .hidden = 24,
                             .activation = SSA_ACT_GELU, .bias = true}, TIED, .elsewhere = true},
    {"attention in windows", &ssa_window_attention_kind,
     &(struct ssa_window_attention_block){LAYER_NORM, .rows = GRID_ROWS, .columns = GRID_COLUMNS, .window = 2,
                                          .heads = 2}, TIED, .length = GRID_ROWS * GRID_COLUMNS},
    {"attention in shifted windows, keys of each, all dropouts", &ssa_window_attention_kind,
     &(struct ssa_window_attention_block){.branch = {{"norm1", SSA_NORM_LAYER, 1e-5f, true}, 0.2f, 1, 0.3f, 4},
                                          .rows = GRID_ROWS, .columns = GRID_COLUMNS, .window = 2, .shift = 1,
                                          .heads = 4, .dropout = 0.3f, .dropout_stream = 3}, TIED,
     .length = GRID_ROWS * GRID_COLUMNS, .sampling = IN_EACH_WINDOW},
    {"attention in shifted windows, keys dropped", &ssa_window_attention_kind,
     &(struct ssa_window_attention_block){LAYER_NORM, .rows = GRID_ROWS, .columns = GRID_COLUMNS, .window = 2,
                                          .shift = 1, .heads = 4, .drop_keys = 0.3f, .dropout_stream = 3}, TIED,
     .length = GRID_ROWS * GRID_COLUMNS},
    {"patch merging; mean classified", &ssa_merge_kind,
     &(struct ssa_merge_block){.rows = GRID_ROWS, .columns = GRID_COLUMNS,
                               .norm = {"norm1", SSA_NORM_LAYER, 1e-5f, true}},
     .classes = CLASSES(.mean = true), .length = GRID_ROWS * GRID_COLUMNS},
    {"patches, norm, dropout", .patches = &(const struct ssa_embed_patches_block){.rows = 2, .columns = 22,
     .channels = 3, .patch = 2, .width = WIDTH, .norm = {"patch.norm", SSA_NORM_LAYER, 1e-5f, true}, .dropout = 0.2f},
     .head = {.norm = {.kind = SSA_NORM_LAYER, .eps = 1e-5f}}},
    {"words in bands", .words = true},
    {"words in bands, dropout, in chunks", .words = true, .words_dropout = 0.3f, .chunk = 4},
    {"words of one band alone, MLP", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 24, .activation = SSA_ACT_RELU, .bias = true}, .words = true,
     .words_used = 4},
    {"a band of one word alone", .words = true, .words_dropout = 0.2f, .first_word = 4, .words_used = 1,
     .elsewhere = true},
    {"words of the last band alone", .words = true, .words_dropout = 0.2f, .first_word = 5,
     .words_used = VOCABULARY - 5, .elsewhere = true},
    {"MLP, dropout of activations", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 24, .activation = SSA_ACT_GELU, .bias = true, .dropout = 0.3f,
                             .dropout_stream = 4}, TIED},
    {"MLP, ReLU", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 24, .activation = SSA_ACT_RELU, .bias = true}, TIED},
    {"MLP, ReLU, dropout of activations", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 24, .activation = SSA_ACT_RELU, .bias = true, .dropout = 0.3f,
                             .dropout_stream = 4}, TIED, .elsewhere = true},
    {"gated MLP, all dropouts", &ssa_mlp_kind,
     &(struct ssa_mlp_block){.branch = {{"norm2", SSA_NORM_RMS, 1e-5f, false}, 0.2f, 2}, .hidden = 24, .gated = true,
                             .activation = SSA_ACT_SILU, .dropout = 0.3f, .dropout_stream = 4}, TIED},
    {"gated MLP, dropout, GELU", &ssa_mlp_kind,
     &(struct ssa_mlp_block){LAYER_NORM, .hidden = 7, .gated = true, .activation = SSA_ACT_GELU, .bias = true}, TIED},
};

START_TEST(finite_differences)
{
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (!cases[i].elsewhere || !test_launches_slowly(dev))
                check_case(dev, &cases[i]);
}
END_TEST

/* ---- a head in chunks ---- */

/* Gradients and losses as of a head that takes all rows at once. */
static void check_chunks(struct ssa_device *dev, int accumulate)
{
    struct block_case whole = {"all rows", TIED}, cut = {"chunks", TIED, .chunk = 5};
    struct fixture a, b;
    open_fixture(&a, dev, &whole);
    open_fixture(&b, dev, &cut);
    a.pass.accumulate = b.pass.accumulate = accumulate;
    for (int i = 0; accumulate && i < ssa_model_part_count(a.model); i++) {
        OK(ssa_tensor_fill(ssa_model_part(a.model, i).grad, 0.5f, ssa_model_part(a.model, i).count));
        OK(ssa_tensor_fill(ssa_model_part(b.model, i).grad, 0.5f, ssa_model_part(b.model, i).count));
    }
    const struct differences of_whole = differences_of(&a, "all rows"), of_chunks = differences_of(&b, "chunks");
    float **want = differences_gradients(&of_whole), **got = differences_gradients(&of_chunks);
    float *losses = test_read(ssa_model_losses(a.model), ROWS), *cut_losses = test_read(ssa_model_losses(b.model), ROWS);
    for (int i = 0; i < ROWS; i++)
        ck_assert_float_eq_tol(losses[i], cut_losses[i], 1e-5f);
    for (int i = 0; i < ssa_model_tensors(a.model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(a.model, i);
        for (size_t e = 0; e < p->count; e++)
            ck_assert_msg(fabsf(want[i][e] - got[i][e]) <= 1e-5f + 1e-4f * fabsf(want[i][e]), "%s[%zu]: %g, in chunks %g",
                          p->name, e, (double)want[i][e], (double)got[i][e]);
    }
    differences_free(&of_whole, want);
    differences_free(&of_chunks, got);
    free(losses);
    free(cut_losses);
    close_fixture(&a);
    close_fixture(&b);
}

START_TEST(chunks)
{
    FOR_DEVICES (dev) {
        check_chunks(dev, 0);
        check_chunks(dev, 1);
    }
}
END_TEST

/* The logits of a vocabulary of words are never all there. */
START_TEST(large_vocabulary)
{
    const struct ssa_model_config c = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 267744, .length = 3072}};
    struct ssa_memory m;
    OK(ssa_model_memory(&c, &(struct ssa_model_limits){.batch = 1, .training = 1}, &m));
    const size_t rows = 3072, kept = 4 * rows * (2 * (6 * 16 + 3 * 16 + 64 + 16) + 8 * 16); /* of the layers, about */
    ck_assert_uint_lt(m.activations, kept + ((size_t)64 << 20) + (1 << 20));
    ck_assert_uint_gt(m.activations, (size_t)60 << 20);
}
END_TEST

int main(void)
{
    return test_run("blocks", (const TTest *const[]){finite_differences, chunks, large_vocabulary, NULL});
}

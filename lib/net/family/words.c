/* Words: adaptive input, layers of attention and MLP, adaptive softmax. */
#include "family.h"
#include "net/block/blocks.h"
#include "impl.h"

#include <math.h>
#include <stdio.h>

#define FIELD(kind_, field, least_, most_, flags_, ...) \
    {.name = #field, .kind = (kind_), .at = offsetof(struct ssa_model_config, words.field), .least = (least_), \
     .most = (most_), .flags = (flags_), .about = __VA_ARGS__}
#define INT(...) FIELD(SSA_FIELD_INT, __VA_ARGS__)
#define FLOAT(...) FIELD(SSA_FIELD_FLOAT, __VA_ARGS__)

enum { CUTOFFS = SSA_BANDS - 1, HEAD_STEP = 4 };

static const struct ssa_field fields[] = {
    INT(vocabulary, 2, 1 << 20, 0, "words that there are, the most frequent first"),
    INT(length, 1, 1 << 20, SSA_FIELD_FREE, "positions of the longest sequence"),
    INT(layers, 1, 1024, 0, "layers"),
    INT(heads, 1, 1024, 0, "heads of attention; width / heads is a multiple of 4, at most 256"),
    INT(width, 4, 32768, 0, "width of the residual stream"),
    INT(hidden, 0, 1 << 18, 0, "width of the MLP; 0: 4 x width"),
    INT(cutoffs, 0, 1 << 20, 0, "where bands of words end but the last; 0: one band, a full softmax", .count = CUTOFFS),
    INT(factor, 0, 32768, 0, "band b's table is of width / factor^b; 0: 4"),
    INT(activation, SSA_ACT_NONE, SSA_ACT_ELU, 0, "of the MLP; default: ReLU",
        .choices = "default|gelu|gelu-tanh|silu|quick-gelu|relu|elu"),
    FLOAT(dropout, 0, 1, SSA_FIELD_FREE, "of the embedding and of both branches of a layer, below 1"),
    FLOAT(attention_dropout, 0, 1, SSA_FIELD_FREE, "of attention's probabilities, below 1"),
    FLOAT(activation_dropout, 0, 1, SSA_FIELD_FREE, "of what the MLP's activation gives, below 1"),
    FLOAT(head_dropout, 0, 1, SSA_FIELD_FREE, "of the head's input, and of rare words' before their logits, below 1"),
    FLOAT(drop_keys, 0, 1, SSA_FIELD_FREE | SSA_FIELD_LATER, SSA_DROP_KEYS_ABOUT),
    {0}};

static int bands_of(const struct ssa_words *c)
{
    int bands = 1;
    while (bands <= CUTOFFS && c->cutoffs[bands - 1])
        bands++;
    return bands;
}

/* What band `band` is as wide as; 0 where factors do not divide. */
static int width_of(const struct ssa_words *c, int band)
{
    const int factor = c->factor ? c->factor : 4;
    int width = c->width;
    while (band-- > 0 && width)
        width = width % factor ? 0 : width / factor;
    return width;
}

static int check_dropout(const char *name, float p)
{
    return p < 1 ? SSA_OK : ssa_fail(SSA_EINVAL, "model: %s is %g, must be in [0, 1)", name, (double)p);
}

static int check_cutoffs(const struct ssa_words *c)
{
    const int bands = bands_of(c);
    int err = SSA_OK;
    for (int b = 0; b < bands - 1; b++)
        REQUIRE(c->cutoffs[b] > (b ? c->cutoffs[b - 1] : 0), "model: cutoffs[%d] is %d, must be above the one before, "
                "%d", b, c->cutoffs[b], b ? c->cutoffs[b - 1] : 0);
    for (int b = bands; b < CUTOFFS; b++)
        REQUIRE(!c->cutoffs[b], "model: cutoffs[%d] is %d, behind one that is 0", b, c->cutoffs[b]);
    REQUIRE(bands == 1 || c->vocabulary > c->cutoffs[bands - 2], "model: vocabulary is %d, must be above the last "
            "cutoff, %d", c->vocabulary, c->cutoffs[bands - 2]);
    REQUIRE(width_of(c, bands - 1), "model: width %d does not divide by %d^%d, the factor of %d bands", c->width,
            c->factor ? c->factor : 4, bands - 1, bands);
done:
    return err;
}

static int check(const struct ssa_model_config *config)
{
    const struct ssa_words *c = &config->words;
    int err;
    TRY(ssa_family_check_heads(c->width, c->heads, HEAD_STEP));
    TRY(check_cutoffs(c));
    TRY(check_dropout("dropout", c->dropout));
    TRY(ssa_family_check_drops(c->attention_dropout, c->drop_keys));
    TRY(check_dropout("activation_dropout", c->activation_dropout));
    TRY(check_dropout("head_dropout", c->head_dropout));
done:
    return err;
}

static void settle(struct ssa_model_config *config)
{
    struct ssa_words *c = &config->words;
    c->hidden = c->hidden ? c->hidden : 4 * c->width;
    c->factor = c->factor ? c->factor : 4;
    c->activation = c->activation ? c->activation : SSA_ACT_RELU;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    const struct ssa_words *c = &config->words;
    return (struct ssa_facts){.layers = c->layers, .length = c->length, .width = c->width,
                              .vocabulary = c->vocabulary, .causal = true, .absolute = true, .unsmoothed = true,
                              .answers = c->length, .join = SSA_JOIN_PROBABILITIES};
}

/* The width must go on dividing by heads, and by the bands' factors. */
static bool narrow(struct ssa_model_config *config)
{
    struct ssa_words next = config->words;
    do
        if (!ssa_family_narrow(&next.width, &next.hidden, next.heads, HEAD_STEP))
            return false;
    while (!width_of(&next, bands_of(&next) - 1));
    config->words = next;
    return true;
}

/* Streams of random numbers: 0 of the embedding, up to eight a layer, and behind the last those of the head. */
enum { OF_ATTENTION = 1, OF_MLP, OF_PROBABILITIES, OF_ACTIVATIONS };

/* Starts as fairseq's: queries, keys and values of a gain of sqrt(1/2), the MLP as PyTorch's linear layers. */
static void add_layer(struct ssa_net *net, const struct ssa_words *c, int l)
{
    const double xavier = ssa_start_xavier(c->width, c->width, 1).bound;
    struct ssa_attention_block attention = {
        .block.ends_bucket = true,
        .branch = {.stream = l << 3 | OF_ATTENTION, .norm = {"norm1", SSA_NORM_LAYER, 1e-5f, true},
                   .dropout = c->dropout, .in_bound = xavier * sqrt(0.5), .out_bound = xavier},
        .heads = c->heads, .kv_heads = c->heads, .causal = true, .bias = true, .dropout = c->attention_dropout,
        .drop_keys = c->drop_keys, .dropout_stream = l << 3 | OF_PROBABILITIES};
    struct ssa_mlp_block mlp = {
        .branch = {.stream = l << 3 | OF_MLP, .norm = {"norm2", SSA_NORM_LAYER, 1e-5f, true}, .dropout = c->dropout,
                   .in_bound = 1 / sqrt(c->width), .out_bound = 1 / sqrt(c->hidden)},
        .hidden = c->hidden, .activation = c->activation, .bias = true, .bound_bias = true,
        .dropout = c->activation_dropout, .dropout_stream = l << 3 | OF_ACTIVATIONS};
    snprintf(attention.block.prefix, sizeof attention.block.prefix, "layer.%d.", l);
    snprintf(mlp.block.prefix, sizeof mlp.block.prefix, "layer.%d.", l);
    ssa_net_add(net, &ssa_attention_kind, &attention);
    ssa_net_add(net, &ssa_mlp_kind, &mlp);
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct ssa_words *c = &config->words;
    struct ssa_embed_words_block embed = {.block.ends_bucket = true, .width = c->width, .dropout = c->dropout};
    struct ssa_head_words_block head = {.dropout = c->head_dropout, .dropout_stream = c->layers << 3};
    embed.bands.count = bands_of(c);
    for (int b = 0; b < embed.bands.count; b++) {
        embed.bands.ends[b] = b + 1 < embed.bands.count ? c->cutoffs[b] : c->vocabulary;
        embed.widths[b] = head.widths[b] = width_of(c, b);
    }
    head.bands = embed.bands;
    ssa_net_add(net, &ssa_embed_words_kind, &embed);
    for (int l = 0; l < c->layers; l++)
        add_layer(net, c, l);
    ssa_net_add(net, &ssa_head_words_kind, &head);
}

const struct ssa_family ssa_words_family = {"words", fields, check, settle, facts, narrow, build, NULL};

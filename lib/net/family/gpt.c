/* The GPT: token embedding, layers of attention and MLP, head. */
#include "family.h"
#include "net/block/blocks.h"
#include "impl.h"

#include <float.h>
#include <stdio.h>

#define FIELD(kind_, field, least_, most_, flags_, ...) \
    {.name = #field, .kind = (kind_), .at = offsetof(struct ssa_model_config, gpt.field), .least = (least_), \
     .most = (most_), .flags = (flags_), __VA_ARGS__}
#define INT(...) FIELD(SSA_FIELD_INT, __VA_ARGS__)
#define FLOAT(...) FIELD(SSA_FIELD_FLOAT, __VA_ARGS__)

/* Bounds that keep every product of two dimensions within an int. */
static const struct ssa_field fields[] = {
    INT(layers, 1, 1024, 0, .about = "layers"),
    INT(heads, 1, 1024, 0, .about = "heads of attention; width / heads is a multiple of 8, at most 256"),
    INT(kv_heads, 0, 1024, 0, .about = "heads of keys and values, dividing heads; 0: as many"),
    INT(width, 8, 32768, 0, .about = "width of the residual stream"),
    INT(hidden, 0, 1 << 18, 0, .about = "width of the MLP; 0: 4 x width"),
    INT(vocabulary, 2, 1 << 20, 0, .about = "tokens that there are"),
    INT(length, 1, 1 << 20, SSA_FIELD_FREE, .about = "positions of the longest sequence"),
    INT(positions, SSA_POSITIONS_ROTARY, SSA_POSITIONS_LEARNED, 0, .about = "how positions are told",
        .choices = "rotary|learned"),
    FLOAT(rope_base, 0, FLT_MAX, 0, .about = "base of rotary positions; 0: 10000"),
    INT(norm, SSA_NORM_LAYER, SSA_NORM_RMS, 0, .about = "kind of norm", .choices = "layer|rms"),
    FLOAT(norm_eps, 0, FLT_MAX, 0, .about = "added to a norm's variance; 0: 1e-5"),
    INT(activation, SSA_ACT_NONE, SSA_ACT_SILU, 0, .choices = "default|gelu|gelu-tanh|silu", .option = "gelu-tanh",
        .about = "GELU in its tanh form, not exact; of a gated MLP GeGLU, not SwiGLU"),
    INT(gated, 0, 1, SSA_FIELD_LATER, .about = "a gated MLP: down(act(gate(x)) up(x)), SwiGLU"),
    INT(untied, 0, 1, 0, .about = "a head with a matrix of its own, not the embedding's", .contrary = "tied"),
    INT(no_bias, 0, 1, 0, .about = "linear layers and norms without biases", .contrary = "bias"),
    INT(bidirectional, 0, 1, 0, .about = "queries see later keys too"),
    FLOAT(dropout, 0, 1, SSA_FIELD_FREE, .about = "of the embedding and of both branches of a layer, below 1"),
    FLOAT(drop_keys, 0, 1, SSA_FIELD_FREE | SSA_FIELD_LATER, .about = SSA_DROP_KEYS_ABOUT),
    {0}};

static int check(const struct ssa_model_config *config)
{
    const struct ssa_gpt *c = &config->gpt;
    int err = SSA_OK;
    REQUIRE(c->kv_heads <= c->heads, "model: kv_heads is %d, must be in [0, %d]", c->kv_heads, c->heads);
    TRY(ssa_family_check_heads(c->width, c->heads, 8));
    REQUIRE(!c->kv_heads || c->heads % c->kv_heads == 0, "model: heads %d does not divide by kv_heads %d", c->heads,
            c->kv_heads);
    REQUIRE(c->dropout < 1, "model: dropout is %g, must be in [0, 1)", (double)c->dropout);
    TRY(ssa_family_check_drops(0, c->drop_keys));
done:
    return err;
}

static void settle(struct ssa_model_config *config)
{
    struct ssa_gpt *c = &config->gpt;
    c->kv_heads = c->kv_heads ? c->kv_heads : c->heads;
    c->hidden = c->hidden ? c->hidden : 4 * c->width;
    c->rope_base = c->rope_base > 0 ? c->rope_base : 10000;
    c->norm_eps = c->norm_eps > 0 ? c->norm_eps : 1e-5f;
    if (!c->activation)
        c->activation = c->gated ? SSA_ACT_SILU : SSA_ACT_GELU;
}

static struct ssa_facts facts(const struct ssa_model_config *config)
{
    const struct ssa_gpt *c = &config->gpt;
    return (struct ssa_facts){.layers = c->layers, .length = c->length, .width = c->width,
                              .vocabulary = c->vocabulary, .causal = !c->bidirectional,
                              .absolute = c->positions == SSA_POSITIONS_LEARNED, .answers = c->length,
                              .join = SSA_JOIN_PROBABILITIES};
}

static bool narrow(struct ssa_model_config *config)
{
    struct ssa_gpt *c = &config->gpt;
    return ssa_family_narrow(&c->width, &c->hidden, c->heads, 8);
}

/* Streams of random numbers: 0 of the embedding, and up to four a layer. */
enum { OF_ATTENTION = 1, OF_MLP, OF_KEYS };

static void add_layer(struct ssa_net *net, const struct ssa_gpt *c, int l)
{
    struct ssa_attention_block attention = {
        .block.ends_bucket = true,
        .branch = {.stream = l << 2 | OF_ATTENTION, .norm = {"norm1", c->norm, c->norm_eps, !c->no_bias},
                   .dropout = c->dropout},
        .heads = c->heads, .kv_heads = c->kv_heads, .causal = !c->bidirectional, .bias = !c->no_bias,
        .drop_keys = c->drop_keys, .dropout_stream = l << 2 | OF_KEYS,
        .rope_base = c->positions == SSA_POSITIONS_ROTARY ? c->rope_base : 0};
    struct ssa_mlp_block mlp = {
        .branch = {.stream = l << 2 | OF_MLP, .norm = {"norm2", c->norm, c->norm_eps, !c->no_bias},
                   .dropout = c->dropout},
        .hidden = c->hidden, .activation = c->activation, .bias = !c->no_bias, .gated = c->gated};
    snprintf(attention.block.prefix, sizeof attention.block.prefix, "layer.%d.", l);
    snprintf(mlp.block.prefix, sizeof mlp.block.prefix, "layer.%d.", l);
    ssa_net_add(net, &ssa_attention_kind, &attention);
    ssa_net_add(net, &ssa_mlp_kind, &mlp);
}

static void build(struct ssa_net *net, const struct ssa_model_config *config)
{
    const struct ssa_gpt *c = &config->gpt;
    ssa_net_add(net, &ssa_embed_tokens_kind, &(struct ssa_embed_tokens_block){.block.ends_bucket = true,
        .vocabulary = c->vocabulary, .width = c->width, .positions = c->positions == SSA_POSITIONS_LEARNED,
        .dropout = c->dropout});
    for (int l = 0; l < c->layers; l++)
        add_layer(net, c, l);
    ssa_net_add(net, &ssa_head_tokens_kind, &(struct ssa_head_tokens_block){.vocabulary = c->vocabulary,
        .tied = c->untied ? NULL : "embed.weight", .norm = {"norm", c->norm, c->norm_eps, !c->no_bias}});
}

const struct ssa_family ssa_gpt_family = {"gpt", fields, check, settle, facts, narrow, build, NULL};

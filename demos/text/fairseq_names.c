/* Matrices are the same, row by row; what we call qkv has all rows of queries, then of keys, then of values. */
#include "fairseq_names.h"

#include <stdio.h>
#include <string.h>

static const struct name {
    const char *ours, *theirs;
} of_layer[] = {
    {"norm1.gain", "self_attn_layer_norm.weight"}, {"norm1.bias", "self_attn_layer_norm.bias"},
    {"proj.weight", "self_attn.out_proj.weight"}, {"proj.bias", "self_attn.out_proj.bias"},
    {"norm2.gain", "final_layer_norm.weight"}, {"norm2.bias", "final_layer_norm.bias"},
    {"up.weight", "fc1.weight"}, {"up.bias", "fc1.bias"}, {"down.weight", "fc2.weight"}, {"down.bias", "fc2.bias"}};

static int pieces_of_qkv(const struct ssa_parameter *p, int layer, const char *end,
                         struct fairseq_tensor pieces[FAIRSEQ_PIECES])
{
    for (int i = 0; i < FAIRSEQ_PIECES; i++) {
        const int rows = p->rows / FAIRSEQ_PIECES;
        pieces[i] = (struct fairseq_tensor){.first = i * rows, .rows = rows, .columns = p->columns};
        snprintf(pieces[i].name, TENSOR_NAME, "decoder.layers.%d.self_attn.%c_proj.%.8s", layer, "qkv"[i], end);
    }
    return FAIRSEQ_PIECES;
}

static void name_in_layer(int layer, const char *ours, char name[TENSOR_NAME])
{
    for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++)
        if (!strcmp(of_layer[i].ours, ours))
            snprintf(name, TENSOR_NAME, "decoder.layers.%d.%s", layer, of_layer[i].theirs);
}

int fairseq_pieces(const struct ssa_parameter *p, struct fairseq_tensor pieces[FAIRSEQ_PIECES])
{
    int number, end = 0;
    *pieces = (struct fairseq_tensor){.rows = p->rows, .columns = p->columns};
    if (sscanf(p->name, "layer.%d.%n", &number, &end) == 1 && end) {
        if (!strncmp(p->name + end, "qkv.", 4))
            return pieces_of_qkv(p, number, p->name + end + 4, pieces);
        name_in_layer(number, p->name + end, pieces->name);
    } else if (sscanf(p->name, "embed.%d.%n", &number, &end) == 1 && end) {
        snprintf(pieces->name, TENSOR_NAME, "decoder.embed_tokens.embeddings.%d.%d.weight", number,
                 strcmp(p->name + end, "weight") != 0);
    } else {
        snprintf(pieces->name, TENSOR_NAME, "decoder.adaptive_softmax.head.class_proj.weight");
    }
    return 1;
}

bool fairseq_tied(const struct ssa_parameter *p, char name[TENSOR_NAME])
{
    int band, end = 0;
    if (sscanf(p->name, "embed.%d.%n", &band, &end) != 1 || !end)
        return false;
    const bool table = !strcmp(p->name + end, "weight");
    if (band)
        snprintf(name, TENSOR_NAME, "decoder.adaptive_softmax.tail.%d.%d.weight", band - 1, table ? 2 : 0);
    else
        snprintf(name, TENSOR_NAME, "decoder.adaptive_softmax.head.word_proj.weight");
    return band || table; /* the first softmax does without a projection */
}

const char *fairseq_variant(const char *name)
{
    static const struct {
        const char *part, *what;
    } variants[] = {
        {"decoder.layer_norm.", "a norm at its end"}, {"embed_positions.weight", "learned positions"},
        {"layernorm_embedding.", "a norm of its embedding"}, {"encoder", "an encoder"},
        {"in_proj_", "queries, keys and values in one, as fairseq's before 0.8 (load it there and save it anew)"},
        {"bias_k", "a key of its own besides"}, {"project_in_dim.", "a projection before its layers"},
        {"project_out_dim.", "a projection behind its layers"},
        {"decoder.embed_tokens.weight", "one table of all words"}, {"output_projection.", "a full softmax"}, {"quant_noise", "quantised weights"}};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strstr(name, variants[i].part))
            return variants[i].what;
    return NULL;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

bool fairseq_is_buffer(const char *name)
{
    return ends_with(name, "._float_tensor") || ends_with(name, ".version");
}

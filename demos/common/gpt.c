#include "gpt.h"

#include <stdlib.h>

const struct gpt_kind gpt_kinds[GPT_KINDS] = {
    {"dense", {.kind = SSA_DENSE}},
    /* Position 0 is always kept, so that no query needs its own key: what the programs compared with do. */
    {"unbiased", {.kind = SSA_UNBIASED, .ratio = 0.25f, .own_key = SSA_NONE, .keep_first = 1}},
    {"unbiased", {.kind = SSA_UNBIASED, .ratio = 0.125f, .own_key = SSA_NONE, .keep_first = 1}},
    {"local look-back", {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1}},
};

double gpt_ratio(int kind)
{
    double ratio = gpt_kinds[kind].pattern.ratio;
    return ratio > 0 ? ratio : 1;
}

struct ssa_model_config gpt_config(const struct gpt *g)
{
    return (struct ssa_model_config){.gpt = {.layers = g->layers, .heads = g->heads, .width = g->width,
                                     .hidden = 4 * g->width, .vocabulary = 256, .length = g->length,
                                     .positions = SSA_POSITIONS_LEARNED, .untied = 1,
                                     .activation = SSA_ACT_GELU_TANH}};
}

double gpt_operations(const struct gpt *g, double ratio)
{
    double width = g->width, tokens = (double)g->length * g->batch;
    double matrices = g->layers * 12 * width * width + 256 * width;
    return 6 * matrices * tokens + 6 * g->layers * tokens * width * g->length * ratio;
}

struct ssa_data gpt_text(const struct gpt *g)
{
    size_t count = 64 * (size_t)g->length * (size_t)g->batch;
    unsigned char *text = malloc(count);
    uint64_t s = 1;
    for (size_t i = 0; text && i < count; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        text[i] = (unsigned char)(s >> 56);
    }
    return (struct ssa_data){.items = text, .count = text ? count : 0};
}

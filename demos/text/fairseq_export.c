/* From our names to fairseq's. */
#include "fairseq.h"

#include "fairseq_names.h"
#include "say.h"

#include <ssacl/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exported {
    const struct ssa_model *model;
    const char *name; /* what errors call it */
};

/* Its number is the parameter's, and of queries, keys and values which of them. */
static int read_values(void *cookie, const struct tensor_new *tensor, float *x)
{
    const struct exported *of = cookie;
    const struct ssa_parameter *p = ssa_model_parameter(of->model, tensor->number / FAIRSEQ_PIECES);
    const size_t first = (size_t)(tensor->number % FAIRSEQ_PIECES) * tensor->count;
    return ssa_tensor_read(ssa_tensor_add(p->value, first), x, tensor->count)
        ? say_error("%s: %s", of->name, ssa_last_error())
        : 0;
}

static struct tensor_new tensor_of(const struct fairseq_tensor *t, int number)
{
    struct tensor_new tensor = {.count = (size_t)t->rows * (size_t)(t->columns ? t->columns : 1), .number = number};
    tensor.shape = t->columns ? json_pack("[ii]", t->rows, t->columns) : json_pack("[i]", t->rows);
    memcpy(tensor.name, t->name, TENSOR_NAME);
    return tensor;
}

/* So many. */
static int list_tensors(const struct ssa_model *model, struct tensor_new *tensors)
{
    int count = 0;
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        struct fairseq_tensor pieces[FAIRSEQ_PIECES];
        const int all = fairseq_pieces(p, pieces);
        for (int piece = 0; piece < all; piece++)
            tensors[count++] = tensor_of(&pieces[piece], FAIRSEQ_PIECES * i + piece);
        if (fairseq_tied(p, pieces->name))
            tensors[count++] = tensor_of(pieces, FAIRSEQ_PIECES * i);
    }
    return count;
}

/* NULL: it has none. */
static const char *activation_of(const struct ssa_model_config *config)
{
    switch (config->words.activation) {
    case SSA_ACT_NONE:
    case SSA_ACT_RELU:
        return "relu";
    case SSA_ACT_GELU:
        return "gelu";
    case SSA_ACT_GELU_TANH:
        return "gelu_accurate";
    default:
        return NULL;
    }
}

void fairseq_arguments(const struct ssa_model_config *config, char *text, size_t size)
{
    struct ssa_model_config settled = *config;
    const struct ssa_words *c = &settled.words;
    char cutoffs[64] = "";
    ssa_model_settle(&settled);
    for (int i = 0; i < 3 && c->cutoffs[i]; i++)
        snprintf(cutoffs + strlen(cutoffs), sizeof cutoffs - strlen(cutoffs), "%s%d", i ? "," : "", c->cutoffs[i]);
    snprintf(text, size, "--arch transformer_lm --decoder-embed-dim %d --decoder-ffn-embed-dim %d --decoder-layers %d "
             "--decoder-attention-heads %d --activation-fn %s --no-decoder-final-norm --adaptive-input "
             "--adaptive-input-cutoff %s --adaptive-input-factor %d --adaptive-softmax-cutoff %s "
             "--adaptive-softmax-factor %d --tie-adaptive-weights --tie-adaptive-proj", c->width, c->hidden, c->layers,
             c->heads, activation_of(config), cutoffs, c->factor, cutoffs, c->factor);
}

int fairseq_export(const struct ssa_model *model, const char *name, const char *to)
{
    const struct ssa_model_config *config = ssa_model_config(model);
    const int most = (FAIRSEQ_PIECES + 1) * ssa_model_tensors(model);
    if (config->family != SSA_WORDS || !config->words.cutoffs[0])
        return say_error("%s: is no model of words with an adaptive softmax, which fairseq has names for", name);
    if (!activation_of(config))
        return say_error("%s: its MLP has an activation that fairseq has not", name);
    struct tensor_new *tensors = calloc((size_t)most, sizeof *tensors);
    if (!tensors)
        return say_error("%s: no memory to write it", to);
    const int count = list_tensors(model, tensors);
    const int status = tensors_write(to, tensors, count, read_values, &(struct exported){model, name});
    free(tensors);
    return status;
}

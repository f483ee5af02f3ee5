/* From fairseq's names to ours. */
#include "fairseq.h"

#include "fairseq_names.h"
#include "import.h"
#include "say.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 1024, CUTOFFS = 3 };
#define FIRST_TABLE "decoder.embed_tokens.embeddings.0.0.weight"

bool fairseq_is(const char *path)
{
    struct tensors t;
    const bool is = tensors_look(&t, path) && tensors_has(&t, FIRST_TABLE);
    tensors_close(&t);
    return is;
}

/* ---- the config ---- */

static int refuse_variants(const struct import *w)
{
    const char *name;
    json_t *entry;
    json_object_foreach(w->file.entries, name, entry) {
        const char *what = fairseq_variant(name);
        if (what)
            return say_error("%s: has %.60s, of a model with %s, which no model of words of ours has", w->file.path,
                             name, what);
    }
    return 0;
}

static int dimension(const struct import *w, const char *form, int number, size_t i)
{
    char name[TENSOR_NAME];
    snprintf(name, sizeof name, form, number);
    return tensors_dimension(&w->file, name, i);
}

/* Bands, and how many times narrower each is than the one before. */
static int read_bands(struct import *w)
{
    struct ssa_words *c = &w->config.words;
    long long end = 0;
    for (int b = 0; b <= CUTOFFS; b++) {
        const int rows = dimension(w, "decoder.embed_tokens.embeddings.%d.0.weight", b, 0);
        const int width = dimension(w, "decoder.embed_tokens.embeddings.%d.0.weight", b, 1);
        if (!rows)
            break;
        if (b)
            c->cutoffs[b - 1] = (int)end;
        if (b == 1 && width)
            c->factor = c->width / width;
        end += rows;
        if (end > 1 << 20)
            return say_error("%s: has more than %d words", w->file.path, 1 << 20);
    }
    c->vocabulary = (int)end;
    return c->cutoffs[0] ? 0 : say_error("%s: has one band of words, and so no adaptive softmax", w->file.path);
}

static int settle(struct import *w)
{
    const struct fairseq_options *o = w->options;
    struct ssa_words *c = &w->config.words;
    w->config.family = SSA_WORDS;
    *c = (struct ssa_words){.width = dimension(w, "decoder.layers.%d.self_attn.out_proj.weight", 0, 0),
                            .hidden = dimension(w, "decoder.layers.%d.fc1.weight", 0, 0),
                            .length = o->length ? o->length : 3072, .dropout = o->dropout,
                            .attention_dropout = o->attention_dropout, .activation_dropout = o->activation_dropout,
                            .head_dropout = o->head_dropout};
    if (refuse_variants(w))
        return EXIT_FAILED;
    if (!c->width || !c->hidden)
        return say_error("%s: has no %s of fairseq's transformer_lm", w->file.path,
                         c->width ? "decoder.layers.0.fc1.weight" : "decoder.layers.0.self_attn.out_proj.weight");
    while (c->layers < LAYERS && dimension(w, "decoder.layers.%d.fc1.weight", c->layers, 0))
        c->layers++;
    if (!o->heads && c->width % 128)
        return say_error("%s: is of width %d, which has no heads of 128: say how many it has, by import --heads",
                         w->file.path, c->width);
    c->heads = o->heads ? o->heads : c->width / 128;
    if (read_bands(w))
        return EXIT_FAILED;
    if (o->vocabulary && o->vocabulary != c->vocabulary)
        return say_error("%s: is of a vocabulary of %d, and %s makes one of %d", w->file.path, c->vocabulary,
                         o->dictionary, o->vocabulary);
    return ssa_model_check(&w->config) ? say_error("%s: %s", w->file.path, ssa_last_error()) : 0;
}

/* ---- the parameters ---- */

/* Those that are ours leave the header. */
static int read_tensor(const struct import *w, const struct fairseq_tensor *t, float *x)
{
    const size_t count = (size_t)t->rows * (size_t)(t->columns ? t->columns : 1);
    json_t *shape = t->columns ? json_pack("[ii]", t->rows, t->columns) : json_pack("[i]", t->rows);
    const int status = import_values(w, t->name, shape, x, count);
    json_object_del(w->file.entries, t->name);
    return status;
}

/* What is there twice must be the same. */
static int check_tied(const struct import *w, const struct ssa_parameter *p, const struct fairseq_tensor *t,
                      const float *x)
{
    struct fairseq_tensor tied = *t;
    if (!fairseq_tied(p, tied.name) || !tensors_has(&w->file, tied.name))
        return 0;
    float *y = malloc(p->count * sizeof *y);
    int status = y ? read_tensor(w, &tied, y) : say_error("no memory for %s", tied.name);
    if (!status && memcmp(x, y, p->count * sizeof *y) != 0)
        status = say_error("%s: %s is another than %s: it is not tied, as models of words of ours are", w->file.path,
                           tied.name, t->name);
    free(y);
    return status;
}

static int read_parameter(const struct import *w, const struct ssa_parameter *p)
{
    struct fairseq_tensor pieces[FAIRSEQ_PIECES];
    const int count = fairseq_pieces(p, pieces);
    float *x = malloc(p->count * sizeof *x);
    int status = x ? 0 : say_error("%s: no memory for %s", w->file.path, pieces->name);
    for (int i = 0; i < count && !status; i++)
        status = read_tensor(w, &pieces[i], x + (size_t)pieces[i].first * (size_t)(p->columns ? p->columns : 1));
    status = status ? status : check_tied(w, p, pieces, x);
    if (!status && ssa_tensor_write(p->value, x, p->count))
        status = say_error("%s: %s", w->file.path, ssa_last_error());
    free(x);
    return status;
}

/* With what holds nothing. */
static int read_parameters(struct import *w, struct ssa_model *model)
{
    const char *name;
    void *next;
    json_t *entry;
    for (int i = 0; i < ssa_model_tensors(model); i++)
        if (read_parameter(w, ssa_model_parameter(model, i)))
            return EXIT_FAILED;
    json_object_foreach_safe(w->file.entries, next, name, entry)
        if (fairseq_is_buffer(name))
            json_object_del(w->file.entries, name);
    return 0;
}

int fairseq_import(const char *from, const char *to, const struct fairseq_options *options)
{
    struct import w = {.options = options, .note = options->note, .passing = options->passing,
                       .called = "model of words"};
    return import_weights(&w, from, to, settle, read_parameters);
}

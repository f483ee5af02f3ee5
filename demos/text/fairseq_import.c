/* From fairseq's names to ours. */
#include "fairseq.h"

#include "fairseq_names.h"
#include "say.h"

#include <ssacl/checkpoint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 1024, CUTOFFS = 3 };
#define FIRST_TABLE "decoder.embed_tokens.embeddings.0.0.weight"

struct weights {
    const struct fairseq_options *options;
    struct tensors file;
    struct ssa_model_config config;
};

bool fairseq_is(const char *path)
{
    struct tensors t;
    const bool is = tensors_look(&t, path) && tensors_has(&t, FIRST_TABLE);
    tensors_close(&t);
    return is;
}

/* ---- the config ---- */

static int refuse_variants(const struct weights *w)
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

static int dimension(const struct weights *w, const char *form, int number, size_t i)
{
    char name[TENSOR_NAME];
    snprintf(name, sizeof name, form, number);
    return tensors_dimension(&w->file, name, i);
}

/* Bands, and how many times narrower each is than the one before. */
static int read_bands(struct weights *w)
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

static int read_config(struct weights *w)
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

/* No more is allocated than the file is large. */
static int check_size(const struct weights *w)
{
    const uint64_t needed = sizeof(float) * (uint64_t)ssa_model_elements(&w->config);
    return w->file.size >= needed ? 0
        : say_error("%s: has %llu bytes of weights, of such a model there are %llu: cut short?", w->file.path,
                    (unsigned long long)w->file.size, (unsigned long long)needed);
}

/* ---- the parameters ---- */

static json_t *shape_of(const struct fairseq_tensor *t)
{
    return t->columns ? json_pack("[ii]", t->rows, t->columns) : json_pack("[i]", t->rows);
}

/* Those that are ours leave the header. */
static int read_tensor(const struct weights *w, const struct fairseq_tensor *t, float *x)
{
    const size_t count = (size_t)t->rows * (size_t)(t->columns ? t->columns : 1);
    json_t *shape = shape_of(t);
    uint64_t at = 0;
    int status = shape ? tensors_find(&w->file, t->name, "F32", shape, &at) : say_error("no memory for %s", t->name);
    json_decref(shape);
    status = status ? status : tensors_read(&w->file, t->name, x, count, sizeof *x, at);
    for (size_t i = 0; !status && i < count; i++)
        if (!isfinite(x[i]))
            status = say_error("%s: %s is not finite: its training had diverged", w->file.path, t->name);
    json_object_del(w->file.entries, t->name);
    return status;
}

/* What is there twice must be the same. */
static int check_tied(const struct weights *w, const struct ssa_parameter *p, const struct fairseq_tensor *t,
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

static int read_parameter(const struct weights *w, const struct ssa_parameter *p)
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

static int read_parameters(const struct weights *w, struct ssa_model *model)
{
    for (int i = 0; i < ssa_model_tensors(model); i++)
        if (read_parameter(w, ssa_model_parameter(model, i)))
            return EXIT_FAILED;
    return 0;
}

static int check_others(const struct weights *w)
{
    const char *name;
    json_t *entry;
    json_object_foreach(w->file.entries, name, entry)
        if (!fairseq_is_buffer(name))
            return say_error("%s: has %.60s, which no model of words of ours has: it is of another model", w->file.path,
                             name);
    return 0;
}

/* ---- all of it ---- */

static int save(const struct weights *w, struct ssa_model *model, const char *to)
{
    const struct fairseq_options *o = w->options;
    const int status = ssa_checkpoint_save(to, model, NULL, o->note);
    if (status == SSA_EIO && o->passing)
        return say_error("%s: becomes a checkpoint of %.0f MB in %s, where it cannot be written; make room there, set "
                         "TMPDIR to a folder that has some, or make the checkpoint once with `import`", w->file.path,
                         ceil(1e-6 * sizeof(float) * (double)ssa_model_elements(&w->config)), o->passing);
    return status ? say_error("%s", ssa_last_error()) : 0;
}

static int convert(struct weights *w, const char *to)
{
    struct ssa_device *device = NULL;
    struct ssa_model *model = NULL;
    if (read_config(w) || check_size(w))
        return EXIT_FAILED;
    int status = ssa_device_open(&device, "cpu") ||
                 ssa_model_create(&model, device, &w->config, &(struct ssa_model_limits){.batch = 1});
    if (status)
        status = say_error("%s: %s", w->file.path, ssa_last_error());
    else
        status = read_parameters(w, model) || check_others(w) || save(w, model, to);
    ssa_model_destroy(model);
    ssa_device_close(device);
    return status ? EXIT_FAILED : 0;
}

int fairseq_import(const char *from, const char *to, const struct fairseq_options *options)
{
    struct weights w = {.options = options};
    const int status = tensors_open(&w.file, from) ? EXIT_FAILED : convert(&w, to);
    tensors_close(&w.file);
    return status;
}

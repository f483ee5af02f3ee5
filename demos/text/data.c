#include "data.h"

#include "run/note.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

int data_tokens;

static struct text text;
static int token_size; /* bytes */

/* ---- how losses are told ---- */

static const struct unit of_bytes = {.key = "bits", .name = "bits per byte", .brief = "bits/byte", .item = "byte",
                                     .nats = 0.69314718055994531, .unnamed = true};
static const struct unit of_tokens = {.key = "loss", .name = "nats per token", .brief = "nats/token", .item = "token",
                                      .nats = 1, .perplexity = true};
const struct unit *const data_units[] = {&of_bytes, &of_tokens, NULL};

/* ---- options ---- */

void data_defaults(struct train_options *o)
{
    o->model = (struct ssa_model_config){.gpt = {.layers = 4, .width = 128, .heads = 4, .length = 256}};
    data_tokens = -1;
}

void data_adapt(struct train_options *o, const struct preset *preset)
{
    (void)preset;
    if (o->model.gpt.vocabulary == 256) /* unless of token files */
        o->model.gpt.vocabulary = 0;
}

/* ---- opening ---- */

int trained_token_size(const struct ssa_checkpoint *checkpoint)
{
    double bits = note_number(checkpoint, "tokens");
    if (bits == 16 || bits == 32) /* exactly */
        return (int)bits / 8;
    return ssa_checkpoint_model(checkpoint)->gpt.vocabulary <= 256;
}

/* As --tokens says, or where it does not, as the checkpoint was trained. 0: not known, which is said. */
static int settle_token_size(const struct settings *s)
{
    if (data_tokens >= 0 || !s->source)
        return data_tokens >= 0 ? 1 << data_tokens : 1;
    int size = trained_token_size(s->source);
    if (!size)
        say_error("%s: predicts %d tokens, and is no model of bytes; give token files, with --tokens 16 or 32",
                  s->source_name, s->model.gpt.vocabulary);
    return size;
}

/* Of a new model: as said, or all bytes, or what the data has. */
static int settle_vocabulary(struct settings *s)
{
    int *vocabulary = &s->model.gpt.vocabulary;
    if (!*vocabulary && token_size > 1 && !s->o->data.count)
        return say_error("without --data nobody knows how many tokens there are: give --vocabulary N");
    if (!*vocabulary && token_size > 1) {
        *vocabulary = text.largest.id < INT_MAX ? (int)text.largest.id + 1 : INT_MAX;
        say_note("a vocabulary of %d, by the largest id in the data; --vocabulary N makes it another", *vocabulary);
    }
    *vocabulary = *vocabulary ? *vocabulary : 256;
    return s->o->data.count ? text_check_ids(&text, *vocabulary) : 0;
}

/* It must hold a window. */
int data_open(struct settings *s)
{
    token_size = settle_token_size(s);
    if (!token_size || (s->o->data.count && text_load(&text, &s->o->data, token_size, s->model.gpt.length)))
        return EXIT_FAILED;
    s->data = (struct run_data){.unit = token_size > 1 ? &of_tokens : &of_bytes, .fingerprint = text.fingerprint};
    for (int p = 0; p < DATA_PARTS; p++)
        s->data.part[p] = text_data(&text, (enum text_part)p);
    return settle_vocabulary(s);
}

void data_close(struct settings *s)
{
    (void)s;
    text_free(&text);
}

/* ---- telling ---- */

void data_describe(const struct settings *s, json_t *start)
{
    (void)s;
    if (token_size > 1)
        json_object_set_new(start, "tokens_of_bits", json_integer(8 * token_size));
}

void data_note(const struct settings *s, json_t *note)
{
    (void)s;
    json_object_set_new(note, "tokens", json_integer(8 * text.token_size));
}

void data_describe_model(const struct ssa_model_config *model, char *words, size_t size)
{
    snprintf(words, size, "length %d, vocabulary %d", model->gpt.length, model->gpt.vocabulary);
}

/* ---- tokens ---- */

/* Neighbouring windows from the start of the text. */
int data_fill(const struct settings *s, struct ssa_pass *pass, void **memory)
{
    const struct ssa_data *data = &s->data.part[PART_TRAIN];
    size_t count = (size_t)pass->batch * (size_t)pass->length;
    int32_t *tokens = *memory = malloc(2 * count * sizeof *tokens);
    pass->tokens = tokens;
    pass->targets = tokens + count;
    for (size_t i = 0; tokens && i < count; i++) {
        tokens[i] = (int32_t)text_token(data, i % (data->count - 1));
        tokens[count + i] = (int32_t)text_token(data, i % (data->count - 1) + 1);
    }
    return tokens ? SSA_OK : SSA_ENOMEM;
}

/* Random tokens. */
struct ssa_data data_invent(const struct settings *s)
{
    size_t count = 64 * ((size_t)s->model.gpt.length + 1);
    uint32_t *ids = malloc(count * sizeof *ids);
    uint64_t x = 1;
    for (size_t i = 0; ids && i < count; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        ids[i] = (uint32_t)(x >> 33) % (uint32_t)s->model.gpt.vocabulary;
    }
    return (struct ssa_data){.items = ids, .count = count, .item_size = sizeof *ids};
}

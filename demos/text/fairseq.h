/* Weights in the naming of fairseq's transformer_lm with adaptive input and adaptive softmax, tied, as that of WikiText
 * 103: made a checkpoint of family words, and such models written as fairseq has them. */
#ifndef TEXT_FAIRSEQ_H
#define TEXT_FAIRSEQ_H

#include <ssacl/model.h>

#include <stdbool.h>
#include <stddef.h>

/* What a file of weights does not tell. Zero means the default. */
struct fairseq_options {
    int heads;           /* 0: of 128 each */
    int length;          /* N; 0: 3072 */
    int vocabulary;      /* 0, or how large it must be, by its words in the file of this name: */
    const char *dictionary;
    float dropout, attention_dropout, activation_dropout, head_dropout;
    const char *note;    /* of the checkpoint, or NULL */
    const char *passing; /* NULL, or the folder of $TMPDIR where it lies for a while: where it cannot be written that is
                            said, not the name of a file that nobody knows */
};

/* Whether it is a safetensors file with such names. Says nothing. */
bool fairseq_is(const char *path);

/* `from`: a safetensors file of float32 with the names of the model's state_dict(), with or without what is there twice
 * since it is tied, which must be the same. What else a model may have is refused by name. Nothing in the file is
 * believed. Says what is wrong and returns non-zero; `to` is what it was then. */
int fairseq_import(const char *from, const char *to, const struct fairseq_options *options);

/* Writes the parameters with the names of state_dict(), but for its buffers, which hold nothing. `name` is what errors
 * call the model. Says what is wrong and returns non-zero; `to` is what it was then. */
int fairseq_export(const struct ssa_model *model, const char *name, const char *to);
/* The options of fairseq's that make such a model. */
void fairseq_arguments(const struct ssa_model_config *config, char *text, size_t size);

#endif

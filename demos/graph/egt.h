/* Weights with the names and layouts of egt_pytorch (Hussain et al.'s code), of its models of molecules: made a
 * checkpoint, and such models written as they have them. */
#ifndef GRAPH_EGT_H
#define GRAPH_EGT_H

#include <ssacl/model.h>

#include <stdbool.h>

/* What a file of weights does not tell. */
struct egt_options {
    int nodes;               /* most atoms of a molecule */
    float attention_dropout; /* of a training that begins with it */
    bool mask_padding;       /* virtual nodes see none, which in their code they do */
    const char *note;        /* of the checkpoint, or NULL */
    const char *passing;     /* NULL, or the folder of $TMPDIR where it lies for a while: where it cannot be written
                                that is said, and what to do */
};

/* Whether it is a safetensors file with their names. Says nothing. */
bool egt_is(const char *path);

/* `from`: a safetensors file of float32, as their model's state_dict() is saved. Its model must scale by degrees, clip
 * scores at 5 and have ELU, as all of their configurations of PCQM4Mv2 do: weights do not tell. Nothing in the file is
 * believed. Says what is wrong and returns non-zero; `to` is what it was then. */
int egt_import(const char *from, const char *to, const struct egt_options *options);

/* What was imported gives what it was imported from. `name` is what errors call the model. A model that theirs has no
 * settings for is refused. Says what is wrong and returns non-zero; `to` is what it was then. */
int egt_export(const struct ssa_model *model, const char *name, const char *to);
/* The settings of their configuration. */
void egt_settings(const struct ssa_model_config *config, char *text, size_t size);

#endif

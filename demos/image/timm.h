/* Weights in the naming of timm (PyTorch Image Models), of ViT, which DeiT is, and of Swin: made a checkpoint that a
 * vit or a swin starts from, and such models written as timm has them. */
#ifndef IMAGE_TIMM_H
#define IMAGE_TIMM_H

#include <ssacl/model.h>

/* What a file of weights does not tell. Zero means the default. */
struct timm_options {
    int heads;         /* of a vit; 0: of 64 each, as all of timm's up to width 1024. A swin's file tells */
    int rows, columns; /* of an image; 0: of a vit a square, of a swin as many as make one window of its last stage */
    int classes;       /* 0: the file's; else, where it has another number or no head, that starts as a new model's */
    uint64_t seed;     /* of such a head */
    const char *note;  /* of the checkpoint, or NULL */
    const char *passing; /* NULL, or the folder of $TMPDIR where it lies for a while: where it cannot be written that is
                            said, not the name of a file that nobody knows */
};

/* The family of a safetensors file with timm's names, SSA_VIT or SSA_SWIN; -1 of any other file. Says nothing. */
int timm_family(const char *path);

/* `from`: a safetensors file of float32 with timm's names, as `timm.create_model(...)`'s state_dict() is saved, or the
 * model.safetensors of a model in timm's collection; also with the names of Swin before timm 0.9, and with what it kept
 * besides then (relative_position_index, attn_mask), which is checked. What else a model may have is refused by name:
 * a norm after the mean (fc_norm), a second class token (dist_token), scales of branches (gamma), attention by cosines
 * (logit_scale). Nothing in the file is believed. Says what is wrong and returns non-zero; `to` is what it was then. */
int timm_import(const char *from, const char *to, const struct timm_options *options);

/* Writes the parameters of a vit or a swin with the names and shapes of timm 0.9: what was imported gives what it was
 * imported from. `name` is what errors call the model. A swin of a grid whose one side alone is no larger than a window
 * is refused: timm's cuts it otherwise. Says what is wrong and returns non-zero; `to` is what it was then. */
int timm_export(const struct ssa_model *model, const char *name, const char *to);
/* The call that makes such a model of timm's. */
void timm_call(const struct ssa_model_config *config, char *text, size_t size);

#endif

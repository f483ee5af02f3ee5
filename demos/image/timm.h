/* Weights of timm's ViT and DeiT (PyTorch Image Models), made a checkpoint that a vit starts from. */
#ifndef IMAGE_TIMM_H
#define IMAGE_TIMM_H

/* What a file of weights does not tell. Zero means the default. */
struct timm_options {
    int heads;        /* 0: of 64 each, as most of timm's have */
    int rows;         /* of an image; 0: it is a square */
    int classes;      /* 0: the file's; else a head for as many, which starts as a new model's */
    const char *note; /* of the checkpoint, or NULL */
};

/* `from`: a safetensors file of float32 with timm's names, as `timm.create_model(...)`'s state_dict() is saved, or the
 * model.safetensors of a model in timm's collection. What else a model may have is refused by name: a norm after the
 * mean (fc_norm), a second class token (dist_token), scales of branches (gamma). Nothing in the file is believed. Says
 * what is wrong and returns non-zero; `to` is what it was then. */
int timm_import(const char *from, const char *to, const struct timm_options *options);

#endif

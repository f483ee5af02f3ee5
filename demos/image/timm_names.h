/* What timm calls our parameters, and what shapes they have there. */
#ifndef IMAGE_TIMM_NAMES_H
#define IMAGE_TIMM_NAMES_H

#include "safetensors.h"

#include <jansson.h>
#include <ssacl/model.h>

#include <stdbool.h>

enum { TIMM_NAME = TENSOR_NAME }; /* room for one */

/* Names in files of one kind. */
struct timm_names {
    int family;       /* SSA_VIT or SSA_SWIN */
    int layers[4];    /* of a swin's stages */
    bool merging_ends; /* a stage, as before timm 0.9; since then it begins the next */
    const char *head; /* "head" or "head.fc" */
};
/* As timm 0.9 has them. */
struct timm_names timm_names(const struct ssa_model_config *config);
/* Of the parameter that is `ours` here. */
void timm_name(const struct timm_names *names, const char *ours, char name[TIMM_NAME]);
/* A new reference; NULL: no memory. */
json_t *timm_shape(const struct ssa_model_config *config, const struct ssa_parameter *p);

/* Layer `layer` of all as Swin counts them. */
void timm_place(const int layers[4], int layer, int *stage, int *at);

/* What models of timm's have that ours have not: NULL, or what it is that a tensor of this name says. */
const char *timm_variant(int family, const char *name);

/* Timm cuts windows along each side of a grid for itself, ours are squares that are shifted along both or none. Says of
 * which grid that is not the same, and returns non-zero. `name` is what it calls the model. */
int timm_check_windows(const struct ssa_model_config *config, const char *name);

#endif

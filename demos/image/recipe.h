/* What a run makes of its pictures: how many of them are for what, and what is done to them. It stands in checkpoints,
 * so that a run goes on with the same, and `eval` finds the same parts. */
#ifndef IMAGE_RECIPE_H
#define IMAGE_RECIPE_H

#include "augment.h"
#include "dataset.h"

#include "args.h"

#include <jansson.h>
#include <ssacl/checkpoint.h>

struct recipe {
    int train, valid, test, split_seed; /* -1: not said */
    int coarse, valid_last;
    struct augment augment; /* without its seed, size and channels */
};

#define AUGMENTATION_NAMES "none|light|swin"
enum augmentation { AUGMENTATION_NONE, AUGMENTATION_LIGHT, AUGMENTATION_SWIN };
struct augment recipe_augment(enum augmentation which);

/* Options that set it: of the data; and of augmentation. Ended. */
enum { RECIPE_OPTIONS = 24 };
void recipe_data_options(struct recipe *r, struct arg options[RECIPE_OPTIONS]);
void recipe_augment_options(struct recipe *r, int *which, struct arg options[RECIPE_OPTIONS]);

/* {"train": 2000, ..., "crop": 1, ..., "mean_0": 0.28, ...} */
json_t *recipe_json(const struct recipe *r);
/* What a checkpoint was trained with: of the parts what was not said, the augmentation, if `augment`, and
 * normalisation: false, if it has none. */
bool recipe_take(struct recipe *r, const struct ssa_checkpoint *checkpoint, bool augment);
/* Normalisation alone. */
bool recipe_take_scale(struct recipe *r, const struct ssa_checkpoint *checkpoint);
/* A number that other recipes would hardly have. */
uint64_t recipe_hash(const struct recipe *r);

struct dataset_options recipe_parts(const struct recipe *r);
/* Mean and deviation of up to a thousand of the training pictures, spread evenly. */
int recipe_measure(struct recipe *r, const struct dataset *d);

#endif

/* Which pictures are for training, validation and test. */
#ifndef IMAGE_SPLIT_H
#define IMAGE_SPLIT_H

#include "dataset.h"

/* Sets d->part, of d->official. Says what is wrong and returns non-zero. */
int dataset_split(struct dataset *d, const char *name, const struct dataset_options *options);

#endif

/* Runs and models that are saved: as files, and what is taken from them. */
#ifndef SSA_TEST_SAVED_H
#define SSA_TEST_SAVED_H

#include "harness.h"
#include "ssacl/checkpoint.h"

struct run {
    struct ssa_model *model;
    struct ssa_trainer *trainer; /* or NULL */
};
void run_end(struct run r);

/* Of a file of this process alone, to be removed by who makes it. */
enum { SAVED_PATH = 64 };
void saved_path(char path[SAVED_PATH], const char *name);

/* Loads a file into a model, and where there is one a trainer. */
void saved_load(const char *path, struct ssa_model *model, struct ssa_trainer *trainer);
/* A model on the same device and of the same limits, of the config and the parameters of the file that `model` is saved
 * as, and those are checked. The file is left open. */
struct ssa_model *saved_again(struct ssa_model *model, const char *path, struct ssa_checkpoint **file);
/* The file does not fit a model of this config, for a reason with these words. */
void saved_refuses(struct ssa_checkpoint *file, struct ssa_device *dev, const struct ssa_model_config *other,
                   const char *words);
/* Two models have parameters of the same names and bits. */
void same_parameters(const struct ssa_model *a, const struct ssa_model *b);

#endif

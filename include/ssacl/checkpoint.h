/**
 * @file checkpoint.h
 * Checkpoints: a model, and the trainer that is at work on it, in a safetensors file.
 *
 *   ssa_checkpoint_save("run.safetensors", model, trainer, note);
 *   ...
 *   ssa_checkpoint_open(&checkpoint, "run.safetensors");   // then a model of ssa_checkpoint_model(), a trainer of
 *   _training() ssa_checkpoint_load(checkpoint, model, trainer);
 *   ssa_checkpoint_close(checkpoint);
 */
#ifndef SSACL_CHECKPOINT_H
#define SSACL_CHECKPOINT_H

#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Writes a safetensors file: the parameters by name; with a trainer also the optimiser's moments ("moment1.<name>",
 *  "moment2.<name>") and, where it keeps one, the average of the weights ("average.<name>"); config, stages, seed,
 *  step, `note` (may be NULL: the program's own words) and a checksum of the data in its metadata. Written beside
 *  `path`, synced, read back, then renamed over it: `path` is never half a file, and after any error it is what it
 *  was. Where steps were not taken (ssa_trainer_step()) the trainer goes back to the last that was, which is saved;
 *  over ranks, the others do when they call ssa_trainer_run(). A symbolic link is followed, also to a file that is not
 *  there yet; the mode of a file that is replaced is kept. A folder that cannot be synced is a warning in the log.
 *  SSA_ENUMERIC, before anything is replaced, if some of it is not finite; SSA_ENOMEM; SSA_EIO with the system's
 *  reason. */
SSA_API int ssa_checkpoint_save(const char *path, struct ssa_model *model, struct ssa_trainer *trainer,
                                const char *note);

/** Threads: it does not change: any number may read it at once. */
struct ssa_checkpoint;

/** Opens and checks a whole checkpoint (structure and checksum). SSA_EIO: cannot be read. SSA_EFORMAT: one sentence
 *  says what is wrong with it. What another program saved again from one of ours, with its metadata (Python's
 *  safetensors: save_file(tensors, path, metadata)), is a checkpoint too, of changed values or without the moments or
 *  the average; its structure is checked as strictly, and the checksum, which is of the file before, is not. */
SSA_API int ssa_checkpoint_open(struct ssa_checkpoint **checkpoint, const char *path);
SSA_API void ssa_checkpoint_close(struct ssa_checkpoint *checkpoint);

SSA_API const struct ssa_model_config *ssa_checkpoint_model(const struct ssa_checkpoint *checkpoint);
/** NULL if it was saved without a trainer. Its stages belong to the checkpoint. `batch` is the step's. */
SSA_API const struct ssa_train_config *ssa_checkpoint_training(const struct ssa_checkpoint *checkpoint);
SSA_API int ssa_checkpoint_step(const struct ssa_checkpoint *checkpoint);
/** 1: it has the average of the weights that its trainer kept (struct ssa_train_config.ema). */
SSA_API int ssa_checkpoint_has_average(const struct ssa_checkpoint *checkpoint);
SSA_API const char *ssa_checkpoint_note(const struct ssa_checkpoint *checkpoint); /**< "" if none */

/** Puts its parameters into `model`, and its optimiser state and step into `trainer` (may be NULL), which continues
 *  as if never stopped. SSA_EFORMAT names what differs if it is of another model, SSA_EINVAL if it has no moments
 *  or the trainer's seed or batch differ. Nothing is changed on error. Where the trainer keeps an average and the
 *  checkpoint has none, it begins at these parameters; the other way round it is left out. */
SSA_API int ssa_checkpoint_load(const struct ssa_checkpoint *checkpoint, struct ssa_model *model,
                                struct ssa_trainer *trainer);

/** Puts the average of the weights into `model` as its parameters: what was looked at on the way of its training, and
 *  what to evaluate or generate with. SSA_EINVAL: it has none (ssa_checkpoint_has_average()); SSA_EFORMAT as above. */
SSA_API int ssa_checkpoint_load_average(const struct ssa_checkpoint *checkpoint, struct ssa_model *model);

#ifdef __cplusplus
}
#endif
#endif

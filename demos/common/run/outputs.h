/* The files that a run of training writes: a checkpoint, copies of it at the ends of stages, a log. They are tried
 * before the run starts, files of other runs are left alone, and a failure on the way does not cost the run. */
#ifndef RUN_OUTPUTS_H
#define RUN_OUTPUTS_H

#include "files.h"
#include "options.h"

struct outputs {
    const struct train_options *o;
    char checkpoint[4096]; /* as asked for; another name, once another program has written there */
    struct file_lock lock;
    struct file_look seen; /* the checkpoint as this run found or left it */
    struct file_look seen_stages[STAGES_MAX];
    bool incomplete;       /* something that was asked for is not there */
};

/* Says what is in the way and returns non-zero: outputs that are inputs or each other, places where nothing can be
 * written, files of other runs (unless --force). Copies are made of all but the last of `stages`. */
int outputs_check(const struct train_options *o, int stages);
/* From here on no other run writes this checkpoint. */
int outputs_begin(struct outputs *out, const struct train_options *o);
void outputs_end(struct outputs *out);
/* Warns where the disk has less room than the checkpoint takes, and its copies from `stage` on. */
void outputs_check_room(const struct train_options *o, const struct ssa_model *model,
                        const struct ssa_train_config *training, int stage);

/* A run that is resumed at `step` goes on in its log, which must be its own: `start` is the record that it begins with.
 * `seconds` is set to what the log says of the time before. */
int outputs_open_log(const struct train_options *o, const json_t *start, int step, struct log_file *log,
                     double *seconds);

/* The library's status. */
int outputs_save(struct outputs *out, struct ssa_model *model, struct ssa_trainer *trainer, const char *note);
/* On the way: no disk and no memory is a warning. */
int outputs_save_on_the_way(struct outputs *out, struct ssa_model *model, struct ssa_trainer *trainer,
                            const char *note);
int outputs_save_stage(struct outputs *out, int stage, struct ssa_model *model, struct ssa_trainer *trainer,
                       const char *note);

#endif

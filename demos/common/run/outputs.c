#include "outputs.h"

#include "run.h"
#include "settings.h"
#include "signals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- before the run ---- */

static void stage_path(const struct train_options *o, int stage, char path[4096])
{
    snprintf(path, 4096, "%s.stage%d", o->checkpoint, stage + 1);
}

/* Whether the checkpoint is the one that the run is resumed from. */
static bool continues(const struct train_options *o)
{
    return o->resume && file_same(o->resume, o->checkpoint);
}

/* A file and the lock that lies beside it meanwhile. */
static void files_write_locked(struct files *files, const char *what, const char *path)
{
    char *lock = file_lock_name(path);
    files_write(files, what, path);
    files_write(files, "the lock", lock);
    free(lock);
}

static int check_names(const struct train_options *o, int copies)
{
    struct files files = {0};
    char path[4096];
    bool in_place = o->from && o->force && file_same(o->from, o->checkpoint); /* asked for, and read before */
    for (int i = 0; i < o->data.count; i++)
        files_read(&files, "--data", o->data.items[i]);
    if (!continues(o))
        files_read(&files, "--resume", o->resume);
    if (!in_place)
        files_read(&files, "--from", o->from);
    files_write_locked(&files, "--checkpoint", o->checkpoint);
    files_write(&files, "--log", o->log);
    files_write(&files, "--best", o->best);
    for (int i = 0; i < copies; i++) {
        stage_path(o, i, path);
        files_write(&files, "--keep-stages", path);
    }
    return files_check(&files);
}

static int check_places(const struct train_options *o, int copies)
{
    char path[4096];
    if (file_check_target(o->checkpoint) || log_check(o->log) || (o->best && file_check_target(o->best)))
        return EXIT_FAILED;
    for (int i = 0; i < copies; i++) {
        stage_path(o, i, path);
        if (file_check_target(path))
            return EXIT_FAILED;
    }
    return 0;
}

/* What other runs left stays, unless --force. */
static int check_others(const struct train_options *o, int copies)
{
    char path[4096];
    bool own = continues(o);
    if (!own && access(o->checkpoint, F_OK) == 0)
        return say_error("%s: exists; continue it with --resume, or replace it with --force", o->checkpoint);
    if (!o->resume && o->best && access(o->best, F_OK) == 0)
        return say_error("%s: exists; give another --best, or replace it with --force", o->best);
    for (int i = 0; i < copies && !own; i++) {
        stage_path(o, i, path);
        if (access(path, F_OK) == 0)
            return say_error("%s: exists, the copy of another run; give another --checkpoint, or replace it with "
                             "--force", path);
    }
    if (!o->resume && o->log && file_holds_something(o->log))
        return say_error("%s: exists; give another --log, continue its run with --resume, or replace it with --force",
                         o->log);
    return 0;
}

int outputs_check(const struct train_options *o, int stages)
{
    int copies = o->keep_stages ? stages - 1 : 0;
    if (check_names(o, copies) || check_places(o, copies))
        return EXIT_FAILED;
    return o->force ? 0 : check_others(o, copies);
}

static const struct file_lock *held;

static void remove_held(void)
{
    file_remove_lock(held);
}

int outputs_begin(struct outputs *out, const struct train_options *o)
{
    out->o = o;
    if (snprintf(out->checkpoint, sizeof out->checkpoint, "%s", o->checkpoint) >= (int)sizeof out->checkpoint - 32)
        return say_error("%.64s...: the name is too long", o->checkpoint);
    held = &out->lock;
    signals_tidy(remove_held); /* a run that is ended while it starts leaves none */
    if (file_lock(&out->lock, o->checkpoint))
        return EXIT_FAILED;
    out->seen = file_look(out->checkpoint);
    for (int i = 0; i < STAGES_MAX; i++) {
        char path[4096];
        stage_path(o, i, path);
        out->seen_stages[i] = file_look(path);
    }
    return 0;
}

void outputs_end(struct outputs *out)
{
    file_unlock(&out->lock);
}

/* Of a file with the optimiser's moments, and the average where one is kept: the values, and about what its header
 * takes. */
static uint64_t checkpoint_bytes(const struct ssa_model *model, const struct ssa_train_config *training)
{
    enum { METADATA = 1024, ENTRY = 100 };
    uint64_t kinds = (uint64_t)settings_kinds(training);
    uint64_t values = ssa_model_elements(ssa_model_config(model));
    uint64_t tensors = (uint64_t)ssa_model_tensors(model);
    return METADATA + kinds * (ENTRY * tensors + sizeof(float) * values);
}

/* How many files more there are at most: what is written stands beside what it replaces. */
static int count_new(const struct train_options *o, int stage, int stages)
{
    char path[4096];
    int count = 1 + (o->every && access(o->checkpoint, F_OK) != 0);
    for (int i = stage; o->keep_stages && i < stages - 1; i++) {
        stage_path(o, i, path);
        count += access(path, F_OK) != 0;
    }
    return count;
}

void outputs_check_room(const struct train_options *o, const struct ssa_model *model,
                        const struct ssa_train_config *training, int stage)
{
    uint64_t free_bytes, bytes = checkpoint_bytes(model, training) *
                                 (uint64_t)count_new(o, stage, training->stage_count);
    if (file_room(o->checkpoint, &free_bytes) && free_bytes < bytes)
        say_error("%s: this run writes about %" PRIu64 " bytes of checkpoints, and %" PRIu64 " are free there; make "
                  "room before it does, or give another --checkpoint", o->checkpoint, bytes, free_bytes);
}

/* ---- the log ---- */

int outputs_open_log(const struct train_options *o, const json_t *start, int step, struct log_file *log,
                     double *seconds)
{
    struct run before;
    const char *other = NULL;
    if (!o->resume || !o->log || !file_holds_something(o->log))
        return log_open(log, o->log, LOG_NEW);
    if (run_read(&before, o->log)) {
        if (!o->force)
            return EXIT_FAILED;
        other = "event";
    } else {
        other = run_other_field(before.start, start);
        *seconds = other ? 0 : run_seconds_at(&before, step);
        run_free(&before);
    }
    if (other && !o->force)
        return say_error("%s: is the log of another run (its \"%s\" is another); give another --log, or replace it "
                         "with --force", o->log, other);
    return log_open(log, o->log, other ? LOG_NEW : LOG_GO_ON);
}

/* ---- saving ---- */

/* Whether what lies there now was written by another program. One that was touched begins as it did, with its checksum:
 * if that is right, the rest is the same too. */
static bool is_of_another(const struct file_look *seen, const char *path)
{
    struct ssa_checkpoint *checkpoint = NULL;
    enum file_change change = file_change(seen, path);
    if (change == FILE_TOUCHED && ssa_checkpoint_open(&checkpoint, path) == SSA_OK)
        change = FILE_STAYED;
    ssa_checkpoint_close(checkpoint);
    return change != FILE_STAYED;
}

/* Another program, perhaps on another machine where the lock is not seen, has put a file of its own there. */
static void step_aside(struct outputs *out, char path[4096], const struct file_look *seen)
{
    char asked[4096];
    if (!is_of_another(seen, path))
        return;
    snprintf(asked, sizeof asked, "%s", path);
    for (int i = 2; access(path, F_OK) == 0; i++)
        snprintf(path, 4096, "%.4080s.%d", asked, i);
    say_error("%s: another program has written it while this run trained; this run is kept in %s", asked, path);
    out->incomplete = true;
}

int outputs_save(struct outputs *out, struct ssa_model *model, struct ssa_trainer *trainer, const char *note)
{
    step_aside(out, out->checkpoint, &out->seen);
    int status = ssa_checkpoint_save(out->checkpoint, model, trainer, note);
    if (!status)
        out->seen = file_look(out->checkpoint);
    return status;
}

/* What a later attempt, or none, may make good: a device that fails is another matter. */
static bool is_of_files(int status)
{
    return status == SSA_EIO || status == SSA_ENOMEM;
}

int outputs_save_on_the_way(struct outputs *out, struct ssa_model *model, struct ssa_trainer *trainer,
                            const char *note)
{
    int status = outputs_save(out, model, trainer, note);
    if (!is_of_files(status))
        return status;
    say_error("%s; training goes on, and tries again at the next --every", ssa_last_error());
    return SSA_OK;
}

int outputs_save_stage(struct outputs *out, int stage, struct ssa_model *model, struct ssa_trainer *trainer,
                       const char *note)
{
    char path[4096];
    stage_path(out->o, stage, path);
    step_aside(out, path, &out->seen_stages[stage]);
    int status = ssa_checkpoint_save(path, model, trainer, note);
    if (!is_of_files(status))
        return status;
    say_error("%s; training goes on without this copy", ssa_last_error());
    out->incomplete = true;
    return SSA_OK;
}

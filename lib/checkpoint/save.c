/* Writing a checkpoint: beside its name, synced, read back, then renamed. */
#include "checkpoint.h"
#include "train/team/team.h"
#include "disk/crc32.h"
#include "disk/files.h"
#include "disk/json.h"
#include "impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const ssa_kind_prefix[SSA_KINDS] = {"", "moment1.", "moment2.", "average."};

struct writer {
    const char *path;
    struct ssa_new_file out;
    uint32_t crc;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
    struct ssa_worker *bare; /* who has all tensors of a trainer on a bare device; else NULL */
    const float *state; /* what a trainer on a pool has of them, in order; else NULL */
    char *header; /* with its length in front, and padding */
    size_t header_size;
    float *values;
};

/* SSA_OK, or what could not be done and why. */
static int outcome(const struct writer *w, const char *what, int why)
{
    const char *advice = why == ENOSPC || why == EDQUOT || why == EFBIG          ? "make room or write elsewhere"
                         : why == SSA_FILE_NOT_REGULAR || why == SSA_FILE_OF_ANOTHER ? "choose another name"
                                                                                 : "check the folder";
    return why ? ssa_fail(SSA_EIO, "checkpoint %s: %s: %s; %s", w->path, what, ssa_file_reason(why), advice) : SSA_OK;
}

static int out_of_memory(const struct writer *w)
{
    return ssa_fail(SSA_ENOMEM, "checkpoint %s: out of host memory", w->path);
}

/* ---- header ---- */

static json_t *text(const char *format, ...)
{
    char line[64];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return json_string(line);
}

/* A JSON value as a string: safetensors allows nothing else in metadata. Takes the reference. */
static json_t *as_string(json_t *value)
{
    char *dump = value ? ssa_json_text(value, JSON_COMPACT) : NULL;
    json_t *s = dump ? json_string(dump) : NULL;
    free(dump);
    json_decref(value);
    return s;
}

static json_t *best_to_json(const struct ssa_best *best)
{
    return json_pack("{s:i, s:f, s:i}", "step", best->step, "loss", best->loss, "stale", best->stale);
}

static json_t *metadata(const struct writer *w, const char *note)
{
    json_t *m = json_object();
    int err = json_object_set_new(m, "crc32", json_string(SSA_CRC_ZEROS)) ||
              json_object_set_new(m, "format", json_string(SSA_CHECKPOINT_FORMAT)) ||
              json_object_set_new(m, "version", json_string(SSA_CHECKPOINT_VERSION)) ||
              json_object_set_new(m, "model", as_string(ssa_model_to_json(ssa_model_config(w->model)))) ||
              json_object_set_new(m, "note", json_string(note ? note : ""));
    if (!err && w->trainer)
        err = json_object_set_new(m, "training", as_string(ssa_training_to_json(&w->trainer->task.config))) ||
              json_object_set_new(m, "step", text("%d", w->trainer->step));
    if (!err && w->trainer && w->trainer->best.step)
        err = json_object_set_new(m, "best", as_string(best_to_json(&w->trainer->best)));
    if (err) {
        json_decref(m);
        return NULL;
    }
    return m;
}

static json_t *entry(const struct ssa_parameter *p, size_t begin)
{
    json_t *shape = p->columns ? json_pack("[ii]", p->rows, p->columns) : json_pack("[i]", p->rows);
    return json_pack("{s:s, s:o, s:[II]}", "dtype", "F32", "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + 4 * p->count));
}

static bool has_kind(const struct writer *w, int kind)
{
    return w->trainer ? ssa_train_config_has(&w->trainer->task.config, kind) : kind == SSA_KIND_VALUE;
}

static json_t *header_object(const struct writer *w, const char *note)
{
    int count = ssa_model_tensors(w->model);
    json_t *o = json_object();
    size_t begin = 0;
    int err = json_object_set_new(o, "__metadata__", metadata(w, note));
    for (int kind = 0; kind < SSA_KINDS; kind++)
        for (int i = 0; !err && has_kind(w, kind) && i < count; i++) {
            const struct ssa_parameter *p = ssa_model_parameter(w->model, i);
            char name[64];
            snprintf(name, sizeof name, "%s%s", ssa_kind_prefix[kind], p->name);
            err = json_object_set_new(o, name, entry(p, begin));
            begin += 4 * p->count;
        }
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static int make_header(struct writer *w, const char *note)
{
    json_t *o = header_object(w, note);
    char *dump = o ? ssa_json_text(o, JSON_COMPACT) : NULL;
    size_t length = dump ? strlen(dump) : 0, padded = (length + 7) / 8 * 8;
    w->header_size = 8 + padded;
    w->header = dump ? malloc(w->header_size) : NULL;
    if (w->header) {
        for (int i = 0; i < 8; i++)
            w->header[i] = (char)(padded >> 8 * i);
        memset(w->header + 8, ' ', padded);
        memcpy(w->header + 8, dump, length);
    }
    free(dump);
    json_decref(o);
    if (!w->header)
        return ssa_fail(SSA_ENOMEM, "checkpoint %s: out of host memory, or the note is not UTF-8", w->path);
    return SSA_OK;
}

/* ---- file ---- */

static int write_all(struct writer *w, const void *bytes, size_t size)
{
    w->crc = ssa_crc32(w->crc, bytes, size);
    return outcome(w, "cannot write", ssa_new_file_write(&w->out, bytes, size));
}

/* On the host: from the copy of the run, or from the device. */
static int read_tensor(struct writer *w, int kind, int i, const float **values)
{
    const struct ssa_parameter *p = ssa_model_parameter(w->model, i);
    *values = w->state ? w->state + ssa_snapshot_at(w->trainer, kind, i) : w->values;
    if (w->state)
        return SSA_OK;
    return ssa_tensor_read(kind ? ssa_worker_moment(w->bare, p, kind) : p->value, w->values, p->count);
}

static int write_tensors(struct writer *w)
{
    int count = ssa_model_tensors(w->model), err = SSA_OK;
    size_t most = 0;
    for (int i = 0; i < count; i++)
        most = ssa_model_parameter(w->model, i)->count > most ? ssa_model_parameter(w->model, i)->count : most;
    w->values = w->state ? NULL : malloc(most * sizeof *w->values);
    if (!w->state && !w->values)
        return out_of_memory(w);
    for (int kind = 0; kind < SSA_KINDS; kind++)
        for (int i = 0; has_kind(w, kind) && i < count; i++) {
            const struct ssa_parameter *p = ssa_model_parameter(w->model, i);
            const float *values;
            TRY(read_tensor(w, kind, i, &values));
            if (!ssa_all_finite(values, p->count))
                return ssa_fail(SSA_ENUMERIC, "checkpoint %s: %s%s is not finite, so it was not written: training has "
                                "diverged; go back to a checkpoint and lower the learning rate", w->path,
                                ssa_kind_prefix[kind], p->name);
            TRY(write_all(w, values, p->count * 4));
        }
done:
    return err;
}

/* Puts the checksum into the header that is already in the file. Metadata comes first, so its key does too. */
static int write_checksum(struct writer *w)
{
    char digits[SSA_CRC_DIGITS + 1];
    size_t key = sizeof SSA_CRC_KEY - 1, at = 8;
    while (memcmp(w->header + at, SSA_CRC_KEY, key))
        at++;
    snprintf(digits, sizeof digits, "%08x", (unsigned)w->crc);
    ssize_t n = pwrite(w->out.file, digits, SSA_CRC_DIGITS, (off_t)(at + key));
    return outcome(w, "cannot write", n == SSA_CRC_DIGITS ? 0 : n < 0 ? errno : ENOSPC);
}

/* ---- reading back ---- */

/* Takes both references. */
static bool equal(json_t *a, json_t *b)
{
    bool same = a && b && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

static bool is_meant(const struct writer *w, const struct ssa_checkpoint *c, const char *note)
{
    const struct ssa_trainer *t = w->trainer;
    return c->ours && !strcmp(c->note, note ? note : "") && c->has_training == (t != NULL) &&
           c->has_average == has_kind(w, SSA_KIND_AVERAGE) &&
           (!t || (c->step == t->step && c->best.step == t->best.step)) &&
           equal(ssa_model_to_json(&c->model), ssa_model_to_json(ssa_model_config(w->model))) &&
           (!t || equal(ssa_training_to_json(&c->training), ssa_training_to_json(&t->task.config)));
}

/* What memory that ran short left out, or a disk did not keep, is found while the old file is still there. */
static int read_back(const struct writer *w, const char *note)
{
    struct ssa_checkpoint *c = NULL;
    int err = ssa_checkpoint_open(&c, w->out.temporary);
    if (!err && !is_meant(w, c, note))
        err = ssa_fail(SSA_EIO, "it is not what was meant");
    ssa_checkpoint_close(c);
    return err ? ssa_fail(err == SSA_ENOMEM ? SSA_ENOMEM : SSA_EIO, "checkpoint %s: what was written does not read back: "
                          "%s; save it again", w->path, ssa_last_error())
               : SSA_OK;
}

static int write_file(struct writer *w, const char *note)
{
    int err;
    TRY(outcome(w, "cannot create the file", ssa_new_file_begin(&w->out, w->path, SSA_FILE_KEPT)));
    TRY(write_all(w, w->header, w->header_size));
    TRY(write_tensors(w));
    TRY(write_checksum(w));
    TRY(outcome(w, "cannot sync", ssa_new_file_sync(&w->out)));
    TRY(read_back(w, note));
    TRY(outcome(w, "cannot rename", ssa_new_file_replace(&w->out)));
    if (w->out.not_synced)
        ssa_log(SSA_LOG_WARNING, "checkpoint %s: is written, but its file system cannot be waited for (%s): a power cut "
                "now may bring back the old file", w->path, ssa_file_reason(w->out.not_synced));
done:
    ssa_new_file_abandon(&w->out);
    return err;
}

/* All steps done, and where the run is. */
static int prepare(struct writer *w)
{
    int err;
    w->bare = ssa_team_bare(w->trainer->team);
    TRY(w->bare ? ssa_trainer_settle(w->trainer) : ssa_snapshot_now(w->trainer));
    if (w->bare)
        TRY(ssa_average_begin(w->bare));
    w->state = w->trainer->team->snapshot.state;
done:
    return err;
}

int ssa_checkpoint_save(const char *path, struct ssa_model *model, struct ssa_trainer *trainer, const char *note)
{
    struct writer w = {.path = path, .model = model, .trainer = trainer};
    int err;
    REQUIRE(path && *path, "checkpoint: no file name");
    REQUIRE(!trainer || trainer->model == model, "checkpoint %s: the trainer is of another model", path);
    REQUIRE(!trainer || !trainer->averaged, "checkpoint %s: the model has the average of the weights: "
            "ssa_trainer_use_average(trainer, 0) first", path);
    if (trainer)
        TRY(prepare(&w));
    TRY(make_header(&w, note));
    TRY(write_file(&w, note));
done:
    if (trainer)
        ssa_snapshot_used(trainer->team);
    free(w.header);
    free(w.values);
    return err;
}

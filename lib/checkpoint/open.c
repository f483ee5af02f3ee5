/* Opening a checkpoint. Nothing in the file is believed: lengths, offsets, shapes, names and the checksum are checked
 * before a byte of it reaches a model. */
#include "checkpoint.h"
#include "disk/crc32.h"
#include "disk/files.h"
#include "disk/json.h"
#include "impl.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct extent {
    uint64_t begin, end; /* bytes from the start of the data */
    const char *name;
};

int ssa_checkpoint_in_file(const struct ssa_checkpoint *c, int err)
{
    return err ? ssa_fail(err, "checkpoint %s: %s", c->path, ssa_last_error()) : SSA_OK;
}

int ssa_checkpoint_read(const struct ssa_checkpoint *c, void *to, size_t size, size_t at)
{
    int why = ssa_file_read(c->file, to, size, at);
    return why ? ssa_fail(SSA_EIO, "cannot read it: %s", ssa_file_reason(why)) : SSA_OK;
}

/* ---- structure ---- */

static int read_header(struct ssa_checkpoint *c)
{
    unsigned char length[8];
    uint64_t n = 0;
    int err;
    if (c->file_size < 8 + 2)
        return ssa_fail(SSA_EFORMAT, "it has %zu bytes and is no checkpoint (truncated?)", c->file_size);
    TRY(ssa_checkpoint_read(c, length, 8, 0));
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)length[i] << 8 * i;
    if (n > c->file_size - 8)
        return ssa_fail(SSA_EFORMAT, "its header of %llu bytes reaches past its end (%zu bytes): truncated, or no "
                        "checkpoint", (unsigned long long)n, c->file_size);
    if (n > SSA_MAX_HEADER)
        return ssa_fail(SSA_EFORMAT, "its header of %llu bytes is longer than any of ours (at most %zu)",
                        (unsigned long long)n, SSA_MAX_HEADER);
    c->header_length = (size_t)n;
    c->data_size = c->file_size - 8 - c->header_length;
    c->header = malloc(c->header_length + 1);
    if (!c->header)
        TRY(ssa_fail(SSA_ENOMEM, "out of host memory for its header"));
    TRY(ssa_checkpoint_read(c, c->header, c->header_length, 8));
    c->header[c->header_length] = 0;
    err = ssa_json_read(&c->json, c->header, c->header_length, "header");
done:
    return err;
}

static int read_size(const json_t *value, uint64_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return ssa_fail(SSA_EFORMAT, "not a size");
    *size = (uint64_t)json_integer_value(value);
    return SSA_OK;
}

/* One tensor's entry: a float32 tensor whose shape takes as many bytes as its offsets say. */
static int read_entry(const struct ssa_checkpoint *c, const char *name, const json_t *entry, struct extent *extent)
{
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    uint64_t count = 1, size = 0;
    if (!dtype || strcmp(dtype, "F32"))
        return ssa_fail(SSA_EFORMAT, "tensor \"%.60s\" is not of type F32", name);
    if (!json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2 ||
        read_size(json_array_get(offsets, 0), &extent->begin) || read_size(json_array_get(offsets, 1), &extent->end))
        return ssa_fail(SSA_EFORMAT, "tensor \"%.60s\" lacks a good shape or good data_offsets", name);
    if (extent->begin > extent->end || extent->end > c->data_size)
        return ssa_fail(SSA_EFORMAT, "tensor \"%.60s\" reaches from byte %llu to %llu of %zu bytes of data (truncated?)",
                        name, (unsigned long long)extent->begin, (unsigned long long)extent->end, c->data_size);
    for (size_t i = 0; i < json_array_size(shape); i++)
        if (read_size(json_array_get(shape, i), &size) || (size && count > SIZE_MAX / 8 / size))
            return ssa_fail(SSA_EFORMAT, "tensor \"%.60s\" has an impossible shape", name);
        else
            count *= size;
    if (count * 4 != extent->end - extent->begin)
        return ssa_fail(SSA_EFORMAT, "tensor \"%.60s\" of %llu floats has %llu bytes", name, (unsigned long long)count,
                        (unsigned long long)(extent->end - extent->begin));
    extent->name = name;
    return SSA_OK;
}

static int by_begin(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->end > y->end) - (x->end < y->end);
}

/* The tensors' extents tile the data: no overlap, no hole, nothing behind. */
static int check_tiling(const struct ssa_checkpoint *c, struct extent *extents, size_t count)
{
    uint64_t at = 0;
    qsort(extents, count, sizeof *extents, by_begin);
    for (size_t i = 0; i < count; i++) {
        if (extents[i].begin != at)
            return ssa_fail(SSA_EFORMAT, "tensor \"%.60s\" begins at byte %llu, the one before ends at %llu: %s",
                            extents[i].name, (unsigned long long)extents[i].begin, (unsigned long long)at,
                            extents[i].begin < at ? "they overlap" : "a hole");
        at = extents[i].end;
    }
    return at == c->data_size ? SSA_OK : ssa_fail(SSA_EFORMAT, "%llu bytes of its data belong to no tensor",
                                                  (unsigned long long)(c->data_size - at));
}

static int check_entries(const struct ssa_checkpoint *c)
{
    struct extent *extents = calloc(json_object_size(c->json) + 1, sizeof *extents);
    const char *name;
    json_t *entry;
    size_t count = 0;
    int err = SSA_OK;
    if (!extents)
        return ssa_fail(SSA_ENOMEM, "out of host memory for its header");
    json_object_foreach(c->json, name, entry) {
        if (strcmp(name, "__metadata__"))
            TRY(read_entry(c, name, entry, &extents[count++]));
    }
    TRY(check_tiling(c, extents, count));
done:
    free(extents);
    return err;
}

/* ---- metadata ---- */

static int parse(const char *text, const char *what, json_t **json)
{
    return text ? ssa_json_read(json, text, strlen(text), what)
                : ssa_fail(SSA_EFORMAT, "its metadata lacks a good \"%s\"", what);
}

static int read_step(struct ssa_checkpoint *c, const char *text)
{
    char *end = NULL;
    long step = text ? strtol(text, &end, 10) : -1;
    if (step < 0 || step > INT_MAX || end == text || *end)
        return ssa_fail(SSA_EFORMAT, "its metadata lacks a good \"step\"");
    c->step = (int)step;
    return SSA_OK;
}

static int read_best(struct ssa_checkpoint *c, const char *text)
{
    json_t *json = NULL;
    json_int_t step = 0, stale = 0;
    int err;
    TRY(parse(text, "best", &json));
    if (json_unpack(json, "{s:I, s:F, s:I}", "step", &step, "loss", &c->best.loss, "stale", &stale) || step < 1 ||
        step > c->step || stale < 0 || stale > INT_MAX || !isfinite(c->best.loss))
        TRY(ssa_fail(SSA_EFORMAT, "its metadata lacks a good \"best\""));
    c->best.step = (int)step;
    c->best.stale = (int)stale;
done:
    json_decref(json);
    return err;
}

static int read_metadata(struct ssa_checkpoint *c)
{
    const json_t *m = json_object_get(c->json, "__metadata__");
    json_t *model = NULL, *training = NULL;
    int err;
#define TEXT(key) json_string_value(json_object_get(m, key))
    if (!TEXT("format") || strcmp(TEXT("format"), SSA_CHECKPOINT_FORMAT))
        return ssa_fail(SSA_EFORMAT, "it was not written by this library, or was saved again without its metadata "
                        "(which has no format \"%s\")", SSA_CHECKPOINT_FORMAT);
    if (!TEXT("version") || strcmp(TEXT("version"), SSA_CHECKPOINT_VERSION))
        return ssa_fail(SSA_EFORMAT, "it is of version %.20s, this library reads %s",
                        TEXT("version") ? TEXT("version") : "?", SSA_CHECKPOINT_VERSION);
    TRY(parse(TEXT("model"), "model", &model));
    TRY(ssa_model_from_json(model, &c->model));
    c->note = strdup(TEXT("note") ? TEXT("note") : "");
    if (!c->note)
        TRY(ssa_fail(SSA_ENOMEM, "out of host memory"));
    c->has_training = TEXT("training");
    if (c->has_training) {
        TRY(parse(TEXT("training"), "training", &training));
        TRY(ssa_training_from_json(training, &c->training));
        TRY(read_step(c, TEXT("step")));
        if (TEXT("best")) /* only of runs that looked at held-out data */
            TRY(read_best(c, TEXT("best")));
    }
#undef TEXT
done:
    json_decref(model);
    json_decref(training);
    return err;
}

/* ---- the tensors its config calls for ---- */

const json_t *ssa_checkpoint_entry(const struct ssa_checkpoint *c, int kind, const struct ssa_parameter *p)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", ssa_kind_prefix[kind], p->name);
    return json_object_get(c->json, name);
}

static bool same_shape(const json_t *entry, const struct ssa_parameter *p)
{
    const json_t *shape = json_object_get(entry, "shape");
    return json_array_size(shape) == (p->columns ? 2 : 1) &&
           json_integer_value(json_array_get(shape, 0)) == p->rows &&
           (!p->columns || json_integer_value(json_array_get(shape, 1)) == p->columns);
}

/* A file that was trained, and whose moments (or average) another program left out, holds a model alone. */
static bool any_of(const struct ssa_checkpoint *c, int kind)
{
    const char *name;
    json_t *entry;
    json_object_foreach(c->json, name, entry) {
        if (!strncmp(name, ssa_kind_prefix[kind], strlen(ssa_kind_prefix[kind])))
            return true;
    }
    return false;
}

static bool has_kind(const struct ssa_checkpoint *c, int kind)
{
    return kind == SSA_KIND_VALUE ||
           (kind == SSA_KIND_AVERAGE ? c->has_average : c->has_moments && ssa_train_config_has(&c->training, kind));
}

static int check_called_for(const struct ssa_checkpoint *c, const struct ssa_parameter_list *p)
{
    size_t called = 1; /* the metadata */
    for (int kind = 0; kind < SSA_KINDS; kind++)
        for (int i = 0; has_kind(c, kind) && i < p->count; i++, called++) {
            const json_t *entry = ssa_checkpoint_entry(c, kind, &p->table[i]);
            if (!entry)
                return ssa_fail(SSA_EFORMAT, "it lacks tensor \"%s%s\"", ssa_kind_prefix[kind], p->table[i].name);
            if (!same_shape(entry, &p->table[i]))
                return ssa_fail(SSA_EFORMAT, "tensor \"%s%s\" is not of the shape that its config calls for",
                                ssa_kind_prefix[kind], p->table[i].name);
        }
    size_t others = json_object_size(c->json) - called;
    return others ? ssa_fail(SSA_EFORMAT, "it has %zu tensors that its config does not call for", others) : SSA_OK;
}

/* As checkpoint_save.c writes it: a checksum in front of all (whose name and digits may be damaged), then the tensors
 * in order. */
static bool is_ours(const struct ssa_checkpoint *c, const struct ssa_parameter_list *p)
{
    static const char start[] = "{\"__metadata__\":{\"?????\":\"????????\",";
    for (size_t i = 0; start[i]; i++)
        if (i >= c->header_length || (start[i] != '?' && start[i] != c->header[i]))
            return false;
    void *at = json_object_iter(c->json);
    for (int kind = 0; kind < SSA_KINDS; kind++)
        for (int i = 0; has_kind(c, kind) && i < p->count; i++) {
            at = json_object_iter_next(c->json, at);
            const char *key = at ? json_object_iter_key(at) : "";
            size_t prefix = strlen(ssa_kind_prefix[kind]);
            if (strncmp(key, ssa_kind_prefix[kind], prefix) || strcmp(key + prefix, p->table[i].name))
                return false;
        }
    return true;
}

static int check_tensors(struct ssa_checkpoint *c)
{
    struct ssa_parameter_list p = {0};
    int err;
    c->has_moments = c->has_training && (any_of(c, SSA_KIND_FIRST) || any_of(c, SSA_KIND_SECOND));
    c->has_average = c->has_training && c->training.ema > 0 && any_of(c, SSA_KIND_AVERAGE);
    TRY(ssa_model_list(&c->model, &p));
    TRY(check_called_for(c, &p));
    c->ours = is_ours(c, &p);
done:
    free(p.table);
    return err;
}

/* ---- checksum ---- */

static int sum_data(const struct ssa_checkpoint *c, uint32_t *crc)
{
    enum { CHUNK = 1 << 20 };
    size_t at = 8 + c->header_length;
    int err = SSA_OK;
    char *chunk = malloc(CHUNK);
    if (!chunk)
        return ssa_fail(SSA_ENOMEM, "out of host memory");
    while (at < c->file_size) {
        size_t size = c->file_size - at < CHUNK ? c->file_size - at : CHUNK;
        TRY(ssa_checkpoint_read(c, chunk, size, at));
        *crc = ssa_crc32(*crc, chunk, size);
        at += size;
    }
done:
    free(chunk);
    return err;
}

static int check_sum(struct ssa_checkpoint *c)
{
    const char *stated = json_string_value(json_object_get(json_object_get(c->json, "__metadata__"), "crc32"));
    char *key = strstr(c->header, SSA_CRC_KEY), digits[SSA_CRC_DIGITS + 1];
    unsigned char length[8];
    uint32_t crc;
    int err = SSA_OK;
    if (!stated || strlen(stated) != SSA_CRC_DIGITS || !key ||
        strncmp(key + sizeof SSA_CRC_KEY - 1, stated, SSA_CRC_DIGITS))
        return ssa_fail(SSA_EFORMAT, "its metadata lacks a good crc32");
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(c->header_length >> 8 * i);
    crc = ssa_crc32(0, length, 8);
    snprintf(digits, sizeof digits, "%s", stated);
    memcpy(key + sizeof SSA_CRC_KEY - 1, SSA_CRC_ZEROS, SSA_CRC_DIGITS);
    crc = ssa_crc32(crc, c->header, c->header_length);
    TRY(sum_data(c, &crc));
    char found[SSA_CRC_DIGITS + 1];
    snprintf(found, sizeof found, "%08x", (unsigned)crc);
    if (strcmp(found, digits))
        return ssa_fail(SSA_EFORMAT, "its checksum is %s, not %s: the file is damaged", found, digits);
done:
    return err;
}

/* ---- open and close ---- */

static int open_file(struct ssa_checkpoint *c)
{
    struct stat s;
    c->file = open(c->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe must not hang us */
    if (c->file < 0 || fstat(c->file, &s))
        return ssa_fail(SSA_EIO, "cannot open it: %s", strerror(errno));
    if (!S_ISREG(s.st_mode))
        return ssa_fail(SSA_EIO, "is not a regular file");
    c->file_size = (size_t)s.st_size;
    if ((off_t)c->file_size != s.st_size)
        return ssa_fail(SSA_EIO, "it has %lld bytes, more than this machine can address", (long long)s.st_size);
    return SSA_OK;
}

int ssa_checkpoint_open(struct ssa_checkpoint **checkpoint, const char *path)
{
    int err;
    *checkpoint = NULL;
    REQUIRE(path && *path, "checkpoint: no file name");
    struct ssa_checkpoint *c = calloc(1, sizeof *c);
    if (!c || !(c->path = strdup(path))) {
        free(c);
        return ssa_fail(SSA_ENOMEM, "checkpoint %s: out of host memory", path);
    }
    c->file = -1;
    err = open_file(c);
    err = err ? err : read_header(c);
    err = err ? err : check_entries(c);
    err = err ? err : read_metadata(c);
    err = err ? err : check_tensors(c);
    err = err || !c->ours ? err : check_sum(c);
    err = ssa_checkpoint_in_file(c, err);
    if (err)
        ssa_checkpoint_close(c);
    else
        *checkpoint = c;
done:
    return err;
}

void ssa_checkpoint_close(struct ssa_checkpoint *c)
{
    if (!c)
        return;
    if (c->file >= 0)
        close(c->file);
    json_decref(c->json);
    ssa_train_config_finish(&c->training);
    free(c->header);
    free(c->note);
    free(c->path);
    free(c);
}

const struct ssa_model_config *ssa_checkpoint_model(const struct ssa_checkpoint *c)
{
    return &c->model;
}

const struct ssa_train_config *ssa_checkpoint_training(const struct ssa_checkpoint *c)
{
    return c->has_training ? &c->training : NULL;
}

int ssa_checkpoint_step(const struct ssa_checkpoint *c)
{
    return c->step;
}

int ssa_checkpoint_has_average(const struct ssa_checkpoint *c)
{
    return c->has_average;
}

const char *ssa_checkpoint_note(const struct ssa_checkpoint *c)
{
    return c->note;
}

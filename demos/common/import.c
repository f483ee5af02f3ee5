#include "import.h"

#include "say.h"

#include <ssacl/checkpoint.h>

#include <math.h>

int import_values(const struct import *w, const char *name, json_t *shape, float *x, size_t count)
{
    uint64_t at = 0;
    int status = shape ? tensors_find(&w->file, name, "F32", shape, &at)
                       : say_error("%s: no memory for %s", w->file.path, name);
    json_decref(shape);
    status = status ? status : tensors_read(&w->file, name, x, count, sizeof *x, at);
    for (size_t i = 0; !status && i < count; i++)
        if (!isfinite(x[i]))
            status = say_error("%s: %s is not finite: its training had diverged", w->file.path, name);
    return status;
}

static int check_size(const struct import *w)
{
    const uint64_t needed = sizeof(float) * (ssa_model_elements(&w->config) - w->begun);
    return w->file.size >= needed ? 0
        : say_error("%s: has %llu bytes of weights, of such a model there are %llu: cut short?", w->file.path,
                    (unsigned long long)w->file.size, (unsigned long long)needed);
}

static int check_others(const struct import *w)
{
    void *other = json_object_iter(w->file.entries);
    return other ? say_error("%s: has %.60s, which no %s of ours has: it is of another model", w->file.path,
                             json_object_iter_key(other), w->called) : 0;
}

static int save(const struct import *w, struct ssa_model *model, const char *to)
{
    const int status = ssa_checkpoint_save(to, model, NULL, w->note);
    if (status == SSA_EIO && w->passing)
        return say_error("%s: becomes a checkpoint of %.0f MB in %s, where it cannot be written; make room there, set "
                         "TMPDIR to a folder that has some, or make the checkpoint once with `import`", w->file.path,
                         ceil(1e-6 * sizeof(float) * (double)ssa_model_elements(&w->config)), w->passing);
    return status ? say_error("%s", ssa_last_error()) : 0;
}

static int convert(struct import *w, const char *to, int (*read)(struct import *w, struct ssa_model *model))
{
    struct ssa_device *device = NULL;
    struct ssa_model *model = NULL;
    int status = ssa_device_open(&device, "cpu") ||
                 ssa_model_create(&model, device, &w->config, &(struct ssa_model_limits){.batch = 1}) ||
                 (w->begun && ssa_model_initialise(model, w->seed));
    if (status)
        status = say_error("%s: %s", w->file.path, ssa_last_error());
    else
        status = read(w, model) || check_others(w) || save(w, model, to);
    ssa_model_destroy(model);
    ssa_device_close(device);
    return status;
}

int import_weights(struct import *w, const char *from, const char *to, int (*settle)(struct import *w),
                   int (*read)(struct import *w, struct ssa_model *model))
{
    const int status = tensors_open(&w->file, from) || settle(w) || check_size(w) || convert(w, to, read);
    tensors_close(&w->file);
    return status ? EXIT_FAILED : 0;
}

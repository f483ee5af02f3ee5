#include "saved.h"

#include <stdio.h>
#include <unistd.h>

void run_end(struct run r)
{
    ssa_trainer_destroy(r.trainer);
    ssa_model_destroy(r.model);
}

void saved_path(char path[SAVED_PATH], const char *name)
{
    snprintf(path, SAVED_PATH, "/tmp/ssacl-%s-%d.st", name, (int)getpid());
}

void saved_load(const char *path, struct ssa_model *model, struct ssa_trainer *trainer)
{
    struct ssa_checkpoint *file;
    OK(ssa_checkpoint_open(&file, path));
    OK(ssa_checkpoint_load(file, model, trainer));
    ssa_checkpoint_close(file);
}

struct ssa_model *saved_again(struct ssa_model *model, const char *path, struct ssa_checkpoint **file)
{
    struct ssa_model *again;
    OK(ssa_checkpoint_save(path, model, NULL, "a note"));
    OK(ssa_checkpoint_open(file, path));
    ck_assert_int_eq(ssa_checkpoint_model(*file)->family, ssa_model_config(model)->family);
    OK(ssa_model_create(&again, ssa_model_device(model), ssa_checkpoint_model(*file), ssa_model_limits(model)));
    OK(ssa_checkpoint_load(*file, again, NULL));
    same_parameters(model, again);
    return again;
}

void saved_refuses(struct ssa_checkpoint *file, struct ssa_device *dev, const struct ssa_model_config *other,
                   const char *words)
{
    struct ssa_model *wrong;
    OK(ssa_model_create(&wrong, dev, other, &(struct ssa_model_limits){.batch = 1}));
    FAILS(ssa_checkpoint_load(file, wrong, NULL), SSA_EFORMAT, words);
    ssa_model_destroy(wrong);
}

void same_parameters(const struct ssa_model *a, const struct ssa_model *b)
{
    ck_assert_int_eq(ssa_model_tensors(a), ssa_model_tensors(b));
    for (int i = 0; i < ssa_model_tensors(a); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(a, i), *q = ssa_model_parameter(b, i);
        ck_assert_str_eq(p->name, q->name);
        test_same_bits(p->name, p->value, q->value, p->count);
    }
}

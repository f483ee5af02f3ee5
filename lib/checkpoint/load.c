/* What a checkpoint has, into a model and a trainer: of one device, or of a pool. */
#include "checkpoint.h"
#include "train/team/team.h"
#include "impl.h"
#include "net/net.h"
#include "net/replicas.h"

#include <stdlib.h>
#include <string.h>

static int check_trainer(const struct ssa_checkpoint *c, const struct ssa_model *model, const struct ssa_trainer *t)
{
    int err = SSA_OK;
    REQUIRE(t->model == model, "the trainer is of another model");
    REQUIRE(c->has_moments, "it has no optimiser state to go on from (it was saved without a trainer, or again without "
            "moments)");
    REQUIRE(c->training.seed == t->task.config.seed, "its seed is %llu, the trainer's is %llu",
            (unsigned long long)c->training.seed, (unsigned long long)t->task.config.seed);
    REQUIRE(c->training.optimiser == t->task.config.optimiser, "its optimiser is %s, the trainer's is %s",
            ssa_optimiser_name(c->training.optimiser), ssa_optimiser_name(t->task.config.optimiser));
    REQUIRE(c->training.batch == t->task.config.batch, "its batch is %d, the trainer's is %d", c->training.batch,
            t->task.config.batch);
    REQUIRE(c->step <= ssa_trainer_total_steps(t), "it has done %d steps, the trainer's stages have %d", c->step,
            ssa_trainer_total_steps(t));
    const int length = ssa_model_facts(&c->model).length;
    REQUIRE(length == t->task.length, "its length is %d, the model's is %d", length, t->task.length);
done:
    return err;
}

/* All data of a file in memory, and which of it is for the parameters. */
struct loaded {
    const struct ssa_checkpoint *file;
    const struct ssa_model *model;
    const struct ssa_trainer *trainer; /* NULL: a model alone is filled */
    int parameters; /* SSA_KIND_VALUE or SSA_KIND_AVERAGE */
    char *values;
};

static bool fills(const struct loaded *l, int kind)
{
    return l->trainer ? ssa_train_config_has(&l->trainer->task.config, kind) : kind == SSA_KIND_VALUE;
}

/* An average that the file has not begins at the parameters. */
static const char *values_of(const struct loaded *l, int kind, const struct ssa_parameter *p)
{
    if (kind == SSA_KIND_VALUE || (kind == SSA_KIND_AVERAGE && !l->file->has_average))
        kind = l->parameters;
    const json_t *offsets = json_object_get(ssa_checkpoint_entry(l->file, kind, p), "data_offsets");
    return l->values + (size_t)json_integer_value(json_array_get(offsets, 0));
}

static void fill_state(const void *cookie, float *state)
{
    const struct loaded *l = cookie;
    for (int kind = SSA_KIND_VALUE; kind < SSA_KINDS; kind++)
        for (int i = 0; fills(l, kind) && i < ssa_model_tensors(l->model); i++) {
            const struct ssa_parameter *p = ssa_model_parameter(l->model, i);
            memcpy(state + ssa_snapshot_at(l->trainer, kind, i), values_of(l, kind, p), p->count * sizeof *state);
        }
}

/* `worker` NULL: parameters alone. */
static int write_tensors(const struct loaded *l, const struct ssa_model *model, struct ssa_worker *worker)
{
    int count = ssa_model_tensors(model), err = SSA_OK;
    if (worker)
        worker->average_begun = true;
    for (int kind = 0; kind < SSA_KINDS; kind++)
        for (int i = 0; fills(l, kind) && i < count; i++) {
            const struct ssa_parameter *p = ssa_model_parameter(model, i);
            struct ssa_tensor t = kind ? ssa_worker_moment(worker, p, kind) : p->value;
            TRY(ssa_tensor_write(t, values_of(l, kind, p), p->count));
        }
    if (worker)
        TRY(ssa_worker_forgive(worker));
done:
    return err;
}

/* Into every replica; whose device fails is lost. */
static int write_replicas(const struct loaded *l, struct ssa_replicas *r)
{
    for (int i = 0; i < r->pool->count; i++)
        if (!r->pool->members[i]->lost && r->models[i] && write_tensors(l, r->models[i], NULL))
            ssa_member_lose(r->pool->members[i], SSA_POOL_LOST, ssa_last_error());
    ssa_replicas_are_alike(r);
    return ssa_pool_live(r->pool) ? SSA_OK : ssa_fail(SSA_EDEVICE, "no device is left: %s", ssa_last_error());
}

static int load_tensors(const struct ssa_checkpoint *c, int parameters, struct ssa_model *model,
                        struct ssa_trainer *trainer)
{
    struct loaded l = {c, model, trainer, parameters, malloc(c->data_size + 1)};
    struct ssa_worker *bare = trainer ? ssa_team_bare(trainer->team) : NULL;
    int err;
    if (!l.values)
        return ssa_fail(SSA_ENOMEM, "out of host memory for its data");
    TRY(ssa_checkpoint_read(c, l.values, c->data_size, 8 + c->header_length)); /* all of it before anything changes */
    if (trainer && !bare)
        TRY(ssa_snapshot_set(trainer, c->step, fill_state, &l));
    else if (ssa_model_replicas(model))
        TRY(write_replicas(&l, ssa_model_replicas(model)));
    else
        TRY(write_tensors(&l, model, bare));
done:
    free(l.values);
    return err;
}

int ssa_checkpoint_load(const struct ssa_checkpoint *c, struct ssa_model *model, struct ssa_trainer *trainer)
{
    int err = ssa_model_same(&c->model, ssa_model_config(model));
    if (!err && trainer)
        err = check_trainer(c, model, trainer);
    err = err ? err : load_tensors(c, SSA_KIND_VALUE, model, trainer);
    if (!err && trainer) {
        trainer->averaged = false;
        trainer->step = trainer->judged = trainer->team->drained = c->step;
        trainer->best = c->best;
        trainer->counted = 0;
        trainer->compared = false;
    }
    return ssa_checkpoint_in_file(c, err);
}

int ssa_checkpoint_load_average(const struct ssa_checkpoint *c, struct ssa_model *model)
{
    int err;
    REQUIRE(c->has_average, "it has no average of the weights: its run kept none, or it was saved again without");
    TRY(ssa_model_same(&c->model, ssa_model_config(model)));
    TRY(load_tensors(c, SSA_KIND_AVERAGE, model, NULL));
done:
    return ssa_checkpoint_in_file(c, err);
}

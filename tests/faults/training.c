#include "training.h"

#include "impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DATA = 400, VOCABULARY = 32 };
static unsigned char items[DATA];
static const struct ssa_data data = {.items = items, .count = DATA};

const char *const training_phases[PHASES] = {"create", "first step", "second step", "middle step", "last step", "finish"};

void training_model(struct ssa_model_config *config, struct ssa_model_limits *limits)
{
    *config = (struct ssa_model_config){.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = VOCABULARY, .length = 16,
                                        .dropout = 0.1f}};
    *limits = (struct ssa_model_limits){.batch = 2, .training = 1};
}

static int create(struct training *t, struct ssa_device *device, int batch)
{
    const struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1, .per_example = 1}, .steps = 2, .lr = 1e-2f},
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.25f, .own_key = SSA_NONE, .keep_first = 1}, .steps = TRAINING_STEPS - 2,
         .lr = 1e-2f}};
    struct ssa_model_config config;
    struct ssa_model_limits limits;
    int err;
    for (int i = 0; i < DATA; i++)
        items[i] = (unsigned char)(i * i % 37 % VOCABULARY);
    training_model(&config, &limits);
    if (!t->model)
        TRY(ssa_model_create(&t->model, device, &config, &limits));
    TRY(ssa_model_initialise(t->model, 7));
    TRY(ssa_trainer_create(&t->trainer, t->model, &(struct ssa_train_config){.batch = batch, .seed = 7, .ema = 0.75f,
        .stages = stages, .stage_count = 2}, &data));
done:
    return err;
}

static int step(struct training *t, int number)
{
    int err = ssa_trainer_step(t->trainer);
    return err ? err : ssa_trainer_losses(t->trainer, 1, &t->losses[number], NULL);
}

static int read_parameters(struct training *t)
{
    size_t at = 0;
    int err = SSA_OK;
    t->parameter_count = ssa_model_elements(ssa_model_config(t->model));
    t->parameters = malloc(t->parameter_count * sizeof *t->parameters);
    if (!t->parameters)
        return ssa_fail(SSA_ENOMEM, "out of host memory");
    for (int i = 0; i < ssa_model_tensors(t->model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(t->model, i);
        TRY(ssa_tensor_read(p->value, t->parameters + at, p->count));
        at += p->count;
    }
done:
    return err;
}

static int finish(struct training *t)
{
    char path[64];
    const struct ssa_pattern pattern = {.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1};
    struct ssa_scores scores;
    int err;
    snprintf(path, sizeof path, "/tmp/ssacl-faults-%ld.safetensors", (long)getpid());
    TRY(ssa_trainer_losses(t->trainer, TRAINING_STEPS - t->resumed, t->losses + t->resumed, NULL));
    TRY(ssa_trainer_use_average(t->trainer, 1));
    TRY(ssa_evaluate(t->model, &data, &(struct ssa_evaluate){.pattern = &pattern, .passes = 10, .windows = 8}, &scores,
        NULL, NULL));
    t->score = scores.loss;
    TRY(ssa_trainer_use_average(t->trainer, 0));
    TRY(ssa_checkpoint_save(path, t->model, t->trainer, NULL));
    TRY(read_parameters(t));
done:
    remove(path);
    return err;
}

int training_do(struct training *t, enum training_phase phase, struct ssa_device *device, int batch)
{
    if (phase == CREATE)
        return create(t, device, batch);
    return phase == FINISH ? finish(t) : step(t, (int)phase - FIRST_STEP);
}

void training_end(struct training *t)
{
    ssa_trainer_destroy(t->trainer);
    ssa_model_destroy(t->model);
    t->trainer = NULL;
    t->model = NULL;
}

void training_forget(struct training *t)
{
    training_end(t);
    free(t->parameters);
    *t = (struct training){0};
}

int training_same(const struct training *a, const struct training *b)
{
    return a->parameters && b->parameters && a->parameter_count == b->parameter_count &&
           a->score == b->score &&
           !memcmp(a->losses, b->losses, sizeof a->losses) &&
           !memcmp(a->parameters, b->parameters, a->parameter_count * sizeof *a->parameters);
}

#include "runs.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

const struct ssa_model_config run_config = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 40, .length = 16,
                                            .dropout = 0.1f}};
const struct ssa_model_limits run_limits = {.batch = 1, .training = 1};
static unsigned char text[300];

static void write_text(void)
{
    const bool written = text[1] != 0; /* a trainer's thread may be reading it */
    for (int i = 0; !written && i < (int)sizeof text; i++)
        text[i] = (unsigned char)(i * i % 37);
}

/* Once: ranks that are threads ask for it at the same time. */
struct ssa_data run_data(void)
{
    static pthread_once_t written = PTHREAD_ONCE_INIT;
    pthread_once(&written, write_text);
    return (struct ssa_data){.items = text, .count = sizeof text};
}

void run_trainer_on(struct run *r, int batch, const struct ssa_data *data, struct ssa_ranks *ranks)
{
    struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_LOCAL, .ratio = 0.25f, .look_back = 1, .sigma = 0.7f}, .steps = 4, .lr = 0.01f},
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1}, .steps = 4, .lr = 0.02f},
        {.steps = RUN_STEPS - 8, .lr = 0.01f}};
    struct ssa_train_config config = {.batch = batch, .seed = 5, .ema = 0.8f, .stages = stages, .stage_count = 3,
                                      .ranks = ranks};
    OK(ssa_model_initialise(r->model, 5));
    OK(ssa_trainer_create(&r->trainer, r->model, &config, data));
}

void run_trainer(struct run *r, int batch)
{
    const struct ssa_data data = run_data();
    run_trainer_on(r, batch, &data, NULL);
}

struct run run_start(struct ssa_pool *pool)
{
    struct run r;
    OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    run_trainer(&r, RUN_MICROS);
    return r;
}

static void read_parameters(struct run r, struct result *result)
{
    for (int i = 0; i < ssa_model_tensors(r.model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(r.model, i);
        ck_assert_uint_le(result->count + p->count, sizeof result->values / sizeof *result->values);
        OK(ssa_tensor_read(p->value, result->values + result->count, p->count));
        result->count += p->count;
    }
}

void run_read(struct run r, struct result *result)
{
    OK(ssa_trainer_losses(r.trainer, RUN_STEPS, result->losses, &result->norm));
    result->count = 0;
    read_parameters(r, result);
    OK(ssa_trainer_use_average(r.trainer, 1));
    read_parameters(r, result);
    OK(ssa_trainer_use_average(r.trainer, 0));
}

void run_bare(const char *name, struct result *result)
{
    struct ssa_device *device;
    struct run r;
    OK(ssa_device_open(&device, name));
    OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    run_trainer(&r, RUN_MICROS);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_read(r, result);
    run_end(r);
    ssa_device_close(device);
}

void run_pool(struct ssa_pool *pool, struct result *result)
{
    struct run r = run_start(pool);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_read(r, result);
    run_end(r);
}

void run_same_bits(const struct result *a, const struct result *b)
{
    for (int i = 0; i < RUN_STEPS; i++)
        ck_assert_msg(!memcmp(&a->losses[i], &b->losses[i], 4), "loss of step %d: %.9g and %.9g; %s", i + 1,
                      (double)a->losses[i], (double)b->losses[i], pools_events);
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_msg(!memcmp(a->values, b->values, a->count * 4), "parameters differ; %s", pools_events);
    ck_assert_msg(!memcmp(&a->norm, &b->norm, 4), "norms differ; %s", pools_events);
}

void run_near(const struct result *a, const struct result *b)
{
    for (int i = 0; i < RUN_STEPS; i++)
        ck_assert_msg(fabsf(a->losses[i] - b->losses[i]) <= 1e-3f * a->losses[i], "loss of step %d: %.9g and %.9g", i + 1,
                      (double)a->losses[i], (double)b->losses[i]);
}

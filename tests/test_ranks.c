/* Ranks, as threads of one process: the all-reduce; then what the trainer does with them. */
#include "golden.h"
#include "pools.h"
#include "saved.h"
#include "ssacl/ranks.h"
#include "threads.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the sum ---- */

static float value(int rank, size_t i)
{
    return (float)golden_value((uint32_t)rank, (uint32_t)i) * (float)(1 << i % 9);
}

static float tree(int begin, int end, size_t i)
{
    int half = 1;
    if (end - begin == 1)
        return value(begin, i);
    while (2 * half < end - begin)
        half *= 2;
    return tree(begin, begin + half, i) + tree(begin + half, end, i);
}

static void sum(struct ssa_ranks *ranks, void *cookie)
{
    size_t count = *(const size_t *)cookie;
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = value(ranks->rank, i);
    x[count] = 7;
    OK(ranks->all_reduce(ranks, x, count));
    for (size_t i = 0; i < count; i++) {
        float want = tree(0, ranks->count, i);
        ck_assert_msg(!memcmp(&x[i], &want, sizeof want), "%d ranks, rank %d, %zu of %zu: %.9g, should be %.9g",
                      ranks->count, ranks->rank, i, count, (double)x[i], (double)want);
    }
    ck_assert(x[count] == 7);
    free(x);
}

START_TEST(sums_along_the_tree)
{
    static const size_t counts[] = {0, 1, 2, 3, 15, 16, 1000, 1005, 4001};
    for (int ranks = 1; ranks <= THREADS_MOST; ranks++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            threads_run(ranks, sum, (void *)&counts[i]);
}
END_TEST

/* ---- opening ---- */

START_TEST(refuses_to_open)
{
    struct ssa_ranks *ranks;
    FAILS(ssa_ranks_open(&ranks, NULL), SSA_EINVAL, "engine is \"NULL\", there is \"mpi\"");
    FAILS(ssa_ranks_open(&ranks, "gossip"), SSA_EINVAL, "engine is \"gossip\"");
    ck_assert_ptr_null(ranks);
    setenv("SSACL_MPI_LIBRARY", "", 1);
    FAILS(ssa_ranks_open(&ranks, "mpi"), SSA_EUNSUPPORTED, "$SSACL_MPI_LIBRARY names none");
    setenv("SSACL_MPI_LIBRARY", "/nowhere.so", 1);
    FAILS(ssa_ranks_open(&ranks, "mpi"), SSA_EUNSUPPORTED, "-Dmpi=enabled");
    ck_assert_ptr_null(ranks);
    unsetenv("SSACL_MPI_LIBRARY");
    ssa_ranks_close(NULL, 0);
}
END_TEST

START_TEST(knows_its_launcher)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"};
    unsetenv("PMI_FD");
    for (int i = 0; i < 3; i++) {
        unsetenv(names[i]);
        unsetenv(ranks[i]);
    }
    ck_assert_int_eq(ssa_ranks_launched(), 1);
    for (int i = 0; i < 3; i++) {
        setenv(names[i], "4", 1);
        ck_assert_int_eq(ssa_ranks_launched(), 1); /* of a job that this is not a rank of */
        setenv(ranks[i], "0", 1);
        ck_assert_int_eq(ssa_ranks_launched(), 4);
        setenv("PMI_FD", "1000000", 1);
        ck_assert_int_eq(ssa_ranks_launched(), i == 1 ? 1 : 4);
        unsetenv("PMI_FD");
        setenv(names[i], "many", 1);
        ck_assert_int_eq(ssa_ranks_launched(), 1);
        unsetenv(names[i]);
        unsetenv(ranks[i]);
    }
}
END_TEST

/* ---- training ---- */

enum { STEPS = 4, TEXT = 600 };
static unsigned char text[TEXT];
static const struct ssa_data data = {.items = text, .count = TEXT};

/* One run: what is trained, on which device, by how many ranks; and what comes out of it. */
struct training {
    struct ssa_model_config model;
    struct ssa_train_config config;
    struct ssa_stage stages[2];
    int micro_batch;
    const char *device;
    int members[THREADS_MOST]; /* devices in each rank's pool; 0: a bare one */
    /* what the rank `odd` does otherwise */
    int odd;
    void (*differ)(struct training *t, struct ssa_model *model);
    struct pools_plan unplugged; /* what fails on its first device once it is */
    bool unlike;  /* devices are of different makes */
    bool idle;    /* of its devices the first has all of its work */
    const char *refusal;
    int status;
    /* of one rank, for the others to match: losses of steps, and parameters after the last, and their average */
    float losses[STEPS], norm, *parameters;
    size_t parameter_count;
};

static struct training new_training(const char *device, int batch)
{
    struct training t = {.device = device, .micro_batch = 2, .odd = -1,
        .model = {.gpt.layers = 2, .gpt.heads = 2, .gpt.width = 32, .gpt.vocabulary = 256, .gpt.length = 16, .gpt.dropout = 0.25f},
        .config = {.batch = batch, .seed = 5, .smoothing = 0.1f, .ema = 0.75f, .stage_count = 2},
        .stages = {{.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f, .per_example = 1}, .steps = 2, .lr = 0.01f},
                   {.pattern = {.kind = SSA_LOCAL, .ratio = 0.5f, .look_back = 1}, .steps = STEPS - 2, .lr = 0.01f}}};
    for (uint32_t i = 0; i < TEXT; i++)
        text[i] = (unsigned char)((golden_value(77, i) + 1) * 127);
    return t;
}

/* A device, a model and a trainer of one rank. */
struct rank {
    struct training t; /* its own: an odd rank changes it */
    struct ssa_device *device;
    struct ssa_pool *pool;
    struct ssa_model *model;
    struct ssa_trainer *trainer;
};

static void open_devices(struct rank *r, int members)
{
    OK(ssa_device_open(&r->device, r->t.device));
    if (r->t.unplugged.fault)
        pools_spy(r->device);
    if (!members)
        return;
    OK(ssa_pool_create(&r->pool, NULL));
    OK(ssa_pool_add(r->pool, r->device));
    for (int i = 1; i < members; i++) {
        struct ssa_device *another;
        OK(ssa_device_open(&another, r->t.device));
        OK(ssa_pool_add(r->pool, another));
    }
}

static void begin(struct rank *r, const struct training *t, struct ssa_ranks *ranks)
{
    struct ssa_data its = data;
    *r = (struct rank){.t = *t};
    r->t.config.stages = r->t.stages;
    r->t.config.ranks = ranks;
    open_devices(r, ranks ? t->members[ranks->rank] : 0);
    if (t->differ && ranks && ranks->rank == t->odd)
        t->differ(&r->t, NULL);
    if (r->t.refusal && !strcmp(r->t.refusal, "data"))
        its.items = text + 1, its.count--;
    const struct ssa_model_limits limits = {.batch = r->t.micro_batch, .training = 1,
                                            .max_buffer = r->t.model.gpt.untied ? 9000 : 0};
    if (r->pool)
        OK(ssa_pool_model_create(&r->model, r->pool, &r->t.model, &limits));
    else
        OK(ssa_model_create(&r->model, r->device, &r->t.model, &limits));
    OK(ssa_model_initialise(r->model, r->t.config.seed));
    if (t->differ && ranks && ranks->rank == t->odd)
        t->differ(&r->t, r->model);
    OK(ssa_trainer_create(&r->trainer, r->model, &r->t.config, &its));
}

static void end(struct rank *r)
{
    ssa_trainer_destroy(r->trainer);
    ssa_model_destroy(r->model);
    if (r->pool)
        ssa_pool_close(r->pool);
    else
        ssa_device_close(r->device);
}

static size_t read_values(const struct ssa_model *model, float *to)
{
    size_t count = 0;
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        OK(ssa_tensor_read(p->value, to + count, p->count));
        count += p->count;
    }
    return count;
}

static float *read_parameters(const struct ssa_model *model, size_t *count)
{
    float *all = malloc(ssa_model_elements(ssa_model_config(model)) * sizeof *all);
    *count = read_values(model, all);
    return all;
}

/* The average behind them. */
static float *read_state(const struct rank *r, size_t *count)
{
    float *all = malloc(2 * ssa_model_elements(ssa_model_config(r->model)) * sizeof *all);
    *count = read_values(r->model, all);
    OK(ssa_trainer_use_average(r->trainer, 1));
    *count += read_values(r->model, all + *count);
    OK(ssa_trainer_use_average(r->trainer, 0));
    return all;
}

static void train_alone(struct training *t)
{
    struct rank r;
    begin(&r, t, NULL);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(r.trainer, STEPS, t->losses, &t->norm));
    t->parameters = read_state(&r, &t->parameter_count);
    end(&r);
}

static void train_as_one(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    struct rank r;
    float losses[STEPS], norm, *parameters;
    size_t count;
    begin(&r, t, ranks);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){.every = 1}));
    OK(ssa_trainer_losses(r.trainer, STEPS, losses, &norm));
    parameters = read_state(&r, &count);
    ck_assert_msg(!memcmp(losses, t->losses, sizeof losses), "%d ranks: losses %.9g ... %.9g, alone %.9g ... %.9g",
                  ranks->count, (double)losses[0], (double)losses[STEPS - 1], (double)t->losses[0],
                  (double)t->losses[STEPS - 1]);
    ck_assert(!memcmp(&norm, &t->norm, sizeof norm) && count == t->parameter_count);
    ck_assert_msg(!memcmp(parameters, t->parameters, count * sizeof *parameters), "%d ranks: other parameters",
                  ranks->count);
    free(parameters);
    end(&r);
}

static void check_same_bits(struct training t, int ranks)
{
    train_alone(&t);
    threads_run(ranks, train_as_one, &t);
    free(t.parameters);
}

START_TEST(trains_as_one_rank_does)
{
    FOR_DEVICES (dev) {
        check_same_bits(new_training(dev->info.id, 8), 2);
        if (test_launches_slowly(dev))
            continue;
        check_same_bits(new_training(dev->info.id, 16), 2);
        check_same_bits(new_training(dev->info.id, 8), 4);
    }
}
END_TEST

START_TEST(trains_in_other_shapes)
{
    struct training t = new_training("cpu", 12); /* three ranks of two micro-batches */
    check_same_bits(t, 3);
    t = new_training("cpu", 10); /* one each */
    check_same_bits(t, 5);
    t = new_training("cpu", 8);
    t.model.gpt.untied = t.model.gpt.no_bias = 1; /* and in many buffers */
    t.model.gpt.positions = SSA_POSITIONS_LEARNED;
    t.model.gpt.norm = SSA_NORM_RMS;
    check_same_bits(t, 4);
    setenv("SSACL_OVERLAP", "0", 1);
    check_same_bits(t, 2);
    unsetenv("SSACL_OVERLAP");
}
END_TEST

START_TEST(trains_with_pools)
{
    static const int members[][3] = {{1, 1, 1}, {2, 2, 2}, {0, 1, 2}, {3, 0, 1}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct training t = new_training("cpu", 24); /* three ranks of four micro-batches */
        for (int r = 0; r < 3; r++)
            t.members[r] = members[i][r];
        check_same_bits(t, 3);
    }
}
END_TEST

/* ---- when sums leave ---- */

enum { WAITING = 2 }; /* devices of a rank */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int gone[THREADS_MOST]; /* calls of each rank's engine; under the lock, as is what follows */
static int at_the_gate;    /* devices that waited for one */
static int (*all_reduce)(struct ssa_ranks *, float *, size_t);

static int count_and_add(struct ssa_ranks *ranks, float *values, size_t count)
{
    pthread_mutex_lock(&gate);
    gone[ranks->rank]++;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&gate);
    return all_reduce(ranks, values, count);
}

/* The backend of a device of a rank. */
struct gated {
    struct ssa_backend table; /* first */
    const struct ssa_backend *good;
    int rank;
};

/* The last operator of backward waits until a sum has left. */
static int wait_for_sums(struct ssa_device *device, const struct ssa_launch *launch)
{
    const struct gated *g = (const struct gated *)device->backend;
    if (!strcmp(launch->kernel, "embedding_bwd_table")) {
        pthread_mutex_lock(&gate);
        while (!gone[g->rank])
            pthread_cond_wait(&opened, &gate);
        at_the_gate++;
        pthread_mutex_unlock(&gate);
    }
    return g->good->launch(device, launch);
}

static void train_at_the_gate(struct ssa_ranks *ranks, void *cookie)
{
    struct gated gated[WAITING];
    struct rank r;
    begin(&r, cookie, ranks);
    for (int i = 0; i < WAITING; i++) {
        struct ssa_device *device = r.pool->members[i]->device;
        gated[i] = (struct gated){*device->backend, device->backend, ranks->rank};
        gated[i].table.launch = wait_for_sums;
        device->backend = &gated[i].table;
    }
    pthread_mutex_lock(&gate);
    all_reduce = ranks->all_reduce;
    pthread_mutex_unlock(&gate);
    ranks->all_reduce = count_and_add;
    OK(ssa_trainer_run(r.trainer, 1, &(struct ssa_trainer_run){0}));
    for (int i = 0; i < WAITING; i++)
        r.pool->members[i]->device->backend = gated[i].good;
    end(&r);
}

/* Of several devices of a rank, too; else this would wait for ever. */
START_TEST(sums_leave_while_backward_goes_on)
{
    struct training t = new_training("cpu", 8); /* two ranks of two micro-batches, one a device */
    t.model.gpt.positions = SSA_POSITIONS_LEARNED;
    t.members[0] = t.members[1] = WAITING;
    threads_run(2, train_at_the_gate, &t);
    ck_assert_int_eq(at_the_gate, 2 * WAITING);
}
END_TEST

/* Shares that are no powers of two, or not equal: the same within rounding, and the same on every rank. */
static void train_nearly(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    struct rank r;
    float losses[STEPS];
    size_t count;
    begin(&r, t, ranks);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(r.trainer, STEPS, losses, NULL));
    float *parameters = read_parameters(r.model, &count), *first = malloc(count * sizeof *first);
    for (int i = 0; i < STEPS; i++)
        ck_assert_msg(fabsf(losses[i] - t->losses[i]) < 1e-5f, "step %d: loss %.9g, alone %.9g", i + 1,
                      (double)losses[i], (double)t->losses[i]);
    memcpy(first, parameters, count * sizeof *first);
    OK(ranks->broadcast(ranks, first, count * sizeof *first, 0));
    ck_assert(!memcmp(first, parameters, count * sizeof *first));
    free(parameters);
    free(first);
    end(&r);
}

START_TEST(trains_with_unequal_shares)
{
    struct training t = new_training("cpu", 14);
    train_alone(&t);
    for (int ranks = 2; ranks <= 7; ranks++)
        threads_run(ranks, train_nearly, &t);
    free(t.parameters);
}
END_TEST

/* ---- checkpoints ---- */

static char checkpoint[64];

static void begin_and_save(struct ssa_ranks *ranks, void *cookie)
{
    struct rank r;
    begin(&r, cookie, ranks);
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    if (!ranks->rank)
        OK(ssa_checkpoint_save(checkpoint, r.model, r.trainer, NULL));
    end(&r);
}

static void resume(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    struct rank r;
    float losses[2];
    size_t count;
    begin(&r, t, ranks);
    saved_load(checkpoint, r.model, ranks->rank == t->odd ? NULL : r.trainer);
    if (t->odd >= 0) {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EINVAL, "rank 1: step is 0, rank 0 has 2; moments");
    } else {
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        OK(ssa_trainer_losses(r.trainer, 2, losses, NULL));
        float *parameters = read_state(&r, &count);
        ck_assert(!memcmp(losses, t->losses + 2, sizeof losses));
        ck_assert(!memcmp(parameters, t->parameters, count * sizeof *parameters));
        free(parameters);
    }
    end(&r);
}

START_TEST(resumes_with_another_number)
{
    struct training t = new_training("cpu", 8);
    snprintf(checkpoint, sizeof checkpoint, "/tmp/ssacl-ranks-%d.st", (int)getpid());
    train_alone(&t);
    for (int before = 1; before <= 4; before *= 2)
        for (int after = 1; after <= 4; after *= 2) {
            threads_run(before, begin_and_save, &t);
            threads_run(after, resume, &t);
        }
    t.odd = 1;
    threads_run(2, resume, &t);
    free(t.parameters);
    remove(checkpoint);
}
END_TEST

/* ---- what differs is named ---- */

static void be_refused(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    struct rank r;
    begin(&r, t, ranks);
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EINVAL, "the ranks do not agree, rank 1: ");
    FAILS(ssa_trainer_step(r.trainer), SSA_EINVAL, t->refusal);
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 0);
    end(&r);
}

static void other_seed(struct training *t, struct ssa_model *m)
{
    (void)m;
    t->config.seed = 6;
}
static void other_rate(struct training *t, struct ssa_model *m)
{
    (void)m;
    t->stages[1].lr = 0.5f;
    t->config.clip = 2;
}
static void other_batch(struct training *t, struct ssa_model *m)
{
    (void)m;
    t->config.batch = 12;
}
static void other_model(struct training *t, struct ssa_model *m)
{
    (void)m;
    t->model.gpt.hidden = 64;
}
static void other_data(struct training *t, struct ssa_model *m)
{
    (void)m;
    t->refusal = "data";
}
static void other_parameters(struct training *t, struct ssa_model *m)
{
    float one = 1;
    (void)t;
    if (m)
        OK(ssa_tensor_write(ssa_model_find(m, "layer.1.up.bias")->value, &one, 1));
}

START_TEST(names_who_differs)
{
    static const struct {
        void (*differ)(struct training *, struct ssa_model *);
        const char *words;
    } cases[] = {{other_seed, "training.seed is \"6\", rank 0 has \"5\"; parameters is"},
                 {other_rate, "training.clip is 2.0, rank 0 has 1.0; training.stages[1].lr is 0.5, rank 0 has 0.01"},
                 {other_batch, "rank 1: training.batch is 12, rank 0 has 8"},
                 {other_model, "rank 1: model.hidden is 64, rank 0 has 0; parameters is"},
                 {other_data, "rank 1: data.tokens is 599, rank 0 has 600; data.checksum is"},
                 {other_parameters, "rank 1: parameters is"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int ranks = 2; ranks <= 3; ranks++) {
            struct training t = new_training("cpu", 8);
            t.odd = 1;
            t.differ = cases[i].differ;
            t.refusal = cases[i].words;
            threads_run(ranks, be_refused, &t);
        }
}
END_TEST

static void have_too_many(struct ssa_ranks *ranks, void *cookie)
{
    struct training t = *(const struct training *)cookie;
    struct ssa_device *dev;
    struct ssa_model *m;
    struct ssa_trainer *trainer;
    t.config.stages = t.stages;
    t.config.ranks = ranks;
    OK(ssa_device_open(&dev, "cpu"));
    OK(ssa_model_create(&m, dev, &t.model, &(struct ssa_model_limits){.batch = 2, .training = 1}));
    FAILS(ssa_trainer_create(&trainer, m, &t.config, &data), SSA_EINVAL,
          "a batch of 8 in micro-batches of 2 (limits.batch) is 4 of them for 5 ranks");
    ssa_model_destroy(m);
    ssa_device_close(dev);
}

START_TEST(needs_a_micro_batch_a_rank)
{
    struct training t = new_training("cpu", 8);
    threads_run(5, have_too_many, &t);
}
END_TEST

/* ---- ending together ---- */

static void see(void *cookie, const struct ssa_progress *p)
{
    volatile int *stop = cookie;
    if (p->step == 2)
        *stop = 1;
}

static void be_stopped(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    volatile int stop = 0;
    struct rank r;
    begin(&r, t, ranks);
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){.every = 1, .stop = &stop, .cookie = (void *)&stop,
          .progress = ranks->rank == t->odd ? see : NULL}), SSA_ESTOPPED, "stopped after step 3 of 4");
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 3);
    end(&r);
}

START_TEST(stops_after_the_same_step)
{
    struct training t = new_training("cpu", 8);
    for (t.odd = 0; t.odd < 4; t.odd++)
        threads_run(4, be_stopped, &t);
}
END_TEST

static const struct pools_plan no_launch = {POOLS_LAUNCH, POOLS_FAIL, 1}, no_read = {POOLS_READ, POOLS_FAIL, 1},
    no_update = {POOLS_LAUNCH, POOLS_FAIL, 1, .kernel = "adamw"};

/* From now on the first device of rank `odd` fails. */
static void unplug(struct rank *r, const struct ssa_ranks *ranks)
{
    if (ranks->rank == r->t.odd)
        pools_plan(r->device, r->t.unplugged);
}

static void be_ended(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    struct rank r;
    begin(&r, t, ranks);
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    unplug(&r, ranks);
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE,
          t->unplugged.call == POOLS_READ ? "rank 2 failed: read 1 fails" : "rank 2 failed: launch 1 fails");
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 2);
    end(&r);
}

START_TEST(a_failure_ends_all)
{
    struct training t = new_training("cpu", 12);
    t.odd = 2;
    for (int i = 0; i < 2; i++) {
        t.unplugged = i ? no_read : no_launch;
        threads_run(3, be_ended, &t);
    }
}
END_TEST

/* The only device of rank `odd` fails when it is to update in the last step: the step counts, as on the others. */
static void lose_it_at_the_end(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    float losses[STEPS];
    struct rank r;
    begin(&r, t, ranks);
    OK(ssa_trainer_run(r.trainer, STEPS - 1, &(struct ssa_trainer_run){0}));
    unplug(&r, ranks);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    ck_assert_int_eq(ssa_pool_live(r.pool), ranks->rank != t->odd);
    OK(ssa_trainer_losses(r.trainer, STEPS, losses, NULL));
    ck_assert(!memcmp(losses, t->losses, sizeof losses));
    end(&r);
}

START_TEST(nobody_waits_for_one_lost_at_the_end)
{
    struct training t = new_training("cpu", 8);
    train_alone(&t);
    t.members[0] = t.members[1] = 1;
    t.unplugged = no_update;
    for (t.odd = 0; t.odd < 2; t.odd++)
        threads_run(2, lose_it_at_the_end, &t);
    free(t.parameters);
}
END_TEST

/* Of a rank's four micro-batches. */
static const int first_alone[] = {4, 0};

/* The first device of rank `odd` fails in the third step, while it computes or when it is to update. */
static void lose_a_device(struct ssa_ranks *ranks, void *cookie)
{
    const struct training *t = cookie;
    bool others = t->members[t->odd] > 1;
    float losses[STEPS];
    size_t count;
    struct rank r;
    begin(&r, t, ranks);
    if (t->idle && ranks->rank == t->odd)
        r.pool->shares = first_alone;
    if (t->unlike && ranks->rank)
        snprintf(r.device->info.driver, sizeof r.device->info.driver, "another");
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    unplug(&r, ranks);
    if (others) {
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        OK(ssa_trainer_losses(r.trainer, STEPS, losses, NULL));
        float *parameters = read_state(&r, &count);
        ck_assert(!memcmp(losses, t->losses, sizeof losses));
        ck_assert(!memcmp(parameters, t->parameters, count * sizeof *parameters));
        free(parameters);
    } else {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE, t->odd ? "train: rank 1 failed: "
                                                                                              : "train: rank 0 failed: ");
        ck_assert(strstr(ssa_last_error(), "launch 1 fails") && ranks->unanimous);
    }
    end(&r);
}

START_TEST(pools_lose_devices)
{
    struct training t = new_training("cpu", 16);
    train_alone(&t);
    t.odd = 1;
    t.members[0] = 1;
    for (t.members[1] = 1; t.members[1] <= 3; t.members[1]++)
        for (int i = 0; i < 2; i++) {
            t.unplugged = i ? no_update : no_launch;
            threads_run(2, lose_a_device, &t);
        }
    t.members[1] = 2;
    t.idle = true; /* the other one has had nothing to do, and is there all the same */
    threads_run(2, lose_a_device, &t);
    t.idle = false;
    t.members[1] = 1;
    t.unlike = true; /* rank 0 cannot give its parameters to the other */
    for (t.odd = 0; t.odd < 2; t.odd++)
        threads_run(2, lose_a_device, &t);
    free(t.parameters);
}
END_TEST

/* ---- a device that is given up ---- */

/* An engine of two ranks whose other one adds nothing, and the device of this one, which hangs for once. */
static atomic_int engine_calls;

static int add_nothing(struct ssa_ranks *ranks, float *values, size_t count)
{
    (void)ranks, (void)values, (void)count;
    engine_calls++;
    return SSA_OK;
}

static int give_nothing(struct ssa_ranks *ranks, void *bytes, size_t size, int from)
{
    (void)ranks, (void)bytes, (void)size, (void)from;
    engine_calls++;
    return SSA_OK;
}

/* Its thread comes back late and computes on; the engine may be closed by then. */
START_TEST(late_sums_do_not_reach_the_engine)
{
    struct ssa_ranks ranks = {.count = 2, .all_reduce = add_nothing, .broadcast = give_nothing};
    struct training t = new_training("cpu", 4); /* a micro-batch each */
    struct rank r;
    t.members[0] = 1;
    t.odd = 0;
    t.unplugged = (struct pools_plan){POOLS_LAUNCH, POOLS_HANG, 1};
    pools_set_clock();
    begin(&r, &t, &ranks);
    r.pool->members[0]->info.kind = SSA_DEVICE_GPU; /* the host backend would be waited for */
    unplug(&r, &ranks);
    FAILS(ssa_trainer_step(r.trainer), SSA_EDEVICE, "silent for");
    FAILS(ssa_trainer_step(r.trainer), SSA_EDEVICE, "silent for");
    end(&r);
    engine_calls = 0;
    pools_join();
    ck_assert_int_eq(engine_calls, 0);
}
END_TEST

int main(void)
{
    return test_run("ranks", (const TTest *const[]){sums_along_the_tree, refuses_to_open, knows_its_launcher,
        trains_as_one_rank_does, trains_in_other_shapes, trains_with_pools,
        sums_leave_while_backward_goes_on, trains_with_unequal_shares, resumes_with_another_number,
        names_who_differs, needs_a_micro_batch_a_rank, stops_after_the_same_step, a_failure_ends_all,
        pools_lose_devices, nobody_waits_for_one_lost_at_the_end,
        late_sums_do_not_reach_the_engine, NULL});
}

/* Sources: what yields the same as token ids in memory gives the same bits, whoever trains on it; it is never called
 * twice at once; and one that fails, or is slow, is no fault of a device. */
#include "clock.h"
#include "rng.h"
#include "runs.h"
#include "threads.h"
#include "train/feed.h"
#include "train/internal.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 16 };
static struct result want, got;

/* ---- a source of what there is in memory ---- */

struct source {
    struct ssa_data text;
    atomic_int inside, calls, wrong; /* calls under way; of all; and how many were as they must not be */
    pthread_t caller;
    _Atomic uint64_t fails;          /* training: the step; evaluation: the example; NEVER */
    int status;                      /* with which it does */
    bool speaks;                     /* with a text */
    _Atomic int64_t slow;            /* the step at which each call takes eighty seconds of the clock of pools.h; -1:
                                        none does; -2: every call ends only when all wait for it */
    const struct ssa_pool *pool;     /* that waits then */
    bool forgetful;                  /* the second time it leaves out a target */
};
#define NEVER UINT64_MAX

static struct source new_source(void)
{
    return (struct source){.text = run_data(), .caller = pthread_self(), .fails = NEVER, .slow = -1, .status = SSA_EIO,
                           .speaks = true};
}

static void copy(const struct source *s, size_t from, size_t count, int32_t *ids)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = ((const unsigned char *)s->text.items)[from + i];
}

/* As documented of ids: N of them from anywhere, by the seed, the step and the number. */
static void train_on(const struct source *s, const struct ssa_draw *d, struct ssa_batch *batch)
{
    for (int i = 0; i < d->count; i++) {
        struct ssa_philox r = ssa_philox(d->seed ^ 0x64617461u, d->step, d->first + (uint64_t)i);
        size_t start = (size_t)(((uint64_t)r.v[1] << 32 | r.v[0]) % (s->text.count - N));
        copy(s, start, N, batch->tokens + i * N);
        copy(s, start + 1, N, batch->targets + i * N);
    }
}

static size_t windows(const struct source *s)
{
    return (s->text.count - 1 + N - 1) / N;
}

static void evaluate_on(const struct source *s, const struct ssa_draw *d, struct ssa_batch *batch)
{
    for (int i = 0; i < d->count; i++) {
        size_t start = (size_t)(d->first + (uint64_t)i) * N, left = s->text.count - 1 - start;
        size_t known = left < N ? left : N;
        memset(batch->tokens + i * N, 0, N * sizeof(int32_t));
        memset(batch->targets + i * N, 0xff, N * sizeof(int32_t));
        copy(s, start, known, batch->tokens + i * N);
        copy(s, start + 1, known, batch->targets + i * N);
        if (s->forgetful && s->calls > (int)windows(s))
            batch->targets[i * N] = -1;
    }
}

/* Whether all that the pool's devices do now is to wait for batches. */
static bool only_waits(const void *cookie)
{
    const struct ssa_pool *pool = cookie;
    bool only = true;
    for (int i = 0; i < pool->count; i++) {
        struct ssa_member *m = pool->members[i];
        if (!pthread_mutex_trylock(&m->sharing)) {
            pthread_mutex_lock(&m->pool->lock);
            only = only && !ssa_member_is_busy(m);
            pthread_mutex_unlock(&m->pool->lock);
            pthread_mutex_unlock(&m->sharing);
        }
    }
    return only;
}

/* Time that passes for those who wait, and for nobody who works: a second at once, as ssa_awake() takes no longer
 * ones for time. */
static void take_time(const struct source *s, const struct ssa_draw *d)
{
    if (s->slow == -2)
        pools_await(only_waits, s->pool);
    for (int i = 0; i < 80 && s->slow >= 0 && (uint64_t)s->slow == d->step; i++) {
        pools_await(only_waits, s->pool);
        pools_skip(1);
        ssa_awake();
    }
}

static int fill(void *cookie, const struct ssa_draw *d, struct ssa_batch *batch)
{
    struct source *s = cookie;
    int err = SSA_OK;
    s->wrong += atomic_fetch_add(&s->inside, 1) > 0 || pthread_equal(s->caller, pthread_self()) || d->length != N ||
                d->answers != N || d->count < 1 || (d->training && d->first % (uint64_t)d->count);
    s->calls++;
    take_time(s, d);
    if (d->training ? d->step == s->fails : d->first <= s->fails && s->fails < d->first + (uint64_t)d->count)
        err = s->speaks ? ssa_ranks_fail(s->status, "no such picture") : s->status;
    else if (d->training)
        train_on(s, d, batch);
    else
        evaluate_on(s, d, batch);
    atomic_fetch_sub(&s->inside, 1);
    return err;
}

static struct ssa_data data_of(struct source *s)
{
    return (struct ssa_data){.fill = fill, .cookie = s, .examples = windows(s), .identity = 7};
}

static void check_source(const struct source *s)
{
    ck_assert_int_eq(s->wrong, 0);
    ck_assert_int_gt(s->calls, 0);
    ck_assert_int_eq(s->inside, 0);
}

/* ---- training ---- */

static struct run start_on(struct ssa_device *device, struct ssa_pool *pool, struct source *s)
{
    const struct ssa_data data = data_of(s);
    struct run r;
    if (pool)
        OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    else
        OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    run_trainer_on(&r, RUN_MICROS, &data, NULL);
    return r;
}

/* To the end of the run, and as `want`. */
static void finish(struct run r, const struct source *s)
{
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_read(r, &got);
    run_end(r);
    check_source(s);
    run_same_bits(&want, &got);
}

START_TEST(as_ids_in_memory)
{
    FOR_DEVICES (dev)
        if (!test_launches_slowly(dev)) {
            struct source s = new_source();
            run_bare(dev->info.id, &want);
            finish(start_on(dev, NULL, &s), &s);
        }
}
END_TEST

/* ---- blocks of a text ---- */

enum { BLOCKS = 97 };

/* The numbers of an epoch's blocks, of `count` ids. */
static void epoch_of(const struct ssa_train_config *c, size_t count, int blocks, int epoch, int *order)
{
    for (int i = 0; i < blocks; i++) {
        const uint64_t number = (uint64_t)epoch * (uint64_t)blocks + (uint64_t)i;
        const size_t start = ssa_window_start(c, count, N, number / (uint64_t)c->batch, number % (uint64_t)c->batch);
        ck_assert_uint_eq(start % N, 0);
        ck_assert_uint_lt(start / N, (size_t)blocks);
        order[i] = (int)(start / N);
    }
}

/* Each once an epoch, whatever the batch and the rest behind the last; other epochs and seeds have other orders. */
START_TEST(each_block_once)
{
    int order[3][BLOCKS];
    for (int blocks = 1; blocks <= BLOCKS; blocks++)
        for (int batch = 1; batch <= 5; batch += 2) {
            const struct ssa_train_config c = {.batch = batch, .blocks = 1, .seed = 5}, other = {batch, .blocks = 1};
            const size_t count = (size_t)blocks * N + 1 + (size_t)(blocks * 5 % N);
            int seen[BLOCKS] = {0};
            epoch_of(&c, count, blocks, 3, order[0]);
            epoch_of(&c, count, blocks, 4, order[1]);
            epoch_of(&other, count, blocks, 3, order[2]);
            for (int i = 0; i < blocks; i++)
                ck_assert_int_eq(seen[order[0][i]]++, 0);
            for (int o = 1; o < 3 && blocks > 20; o++)
                ck_assert(memcmp(order[0], order[o], (size_t)blocks * sizeof(int)) != 0);
        }
}
END_TEST

/* How often which block is at which place: chi squared of 16 degrees of freedom (24 less those that follow from sums),
 * 4.5 deviations above its mean at most. */
START_TEST(any_order_of_blocks)
{
    enum { FEW = 5, EPOCHS = 20000 };
    const struct ssa_train_config c = {.batch = 3, .blocks = 1, .seed = 11};
    int order[FEW], seen[FEW][FEW] = {{0}};
    double chi = 0;
    for (int e = 0; e < EPOCHS; e++) {
        epoch_of(&c, FEW * N + 1, FEW, e, order);
        for (int i = 0; i < FEW; i++)
            seen[i][order[i]]++;
    }
    for (int i = 0; i < FEW * FEW; i++)
        chi += pow(seen[i / FEW][i % FEW] - EPOCHS / FEW, 2) / (EPOCHS / FEW);
    ck_assert_double_lt(chi, 16 + 4.5 * sqrt(32));
    ck_assert_double_gt(chi, 2);
}
END_TEST

/* A trainer on blocks, and on a source that gives what those are. */
static int fill_blocks(void *cookie, const struct ssa_draw *d, struct ssa_batch *batch)
{
    const struct source *s = cookie;
    const struct ssa_train_config c = {.batch = RUN_MICROS, .blocks = 1, .seed = d->seed};
    for (int i = 0; i < d->count; i++) {
        const size_t start = ssa_window_start(&c, s->text.count, N, d->step, d->first + (uint64_t)i);
        copy(s, start, N, batch->tokens + i * N);
        copy(s, start + 1, N, batch->targets + i * N);
    }
    return SSA_OK;
}

static void train_once(const struct ssa_data *data, int blocks, struct result *result)
{
    struct ssa_device *device;
    struct run r;
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    OK(ssa_model_initialise(r.model, 3));
    const struct ssa_stage stage = {.steps = RUN_STEPS, .lr = 1e-2f};
    const struct ssa_train_config c = {.batch = RUN_MICROS, .seed = 9, .ema = 0.5f, .stages = &stage,
                                       .stage_count = 1, .blocks = blocks};
    OK(ssa_trainer_create(&r.trainer, r.model, &c, data));
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_read(r, result);
    run_end(r);
    ssa_device_close(device);
}

START_TEST(trains_on_blocks)
{
    struct source s = new_source();
    const struct ssa_data blocks = {.fill = fill_blocks, .cookie = &s, .examples = 1};
    train_once(&s.text, 1, &want);
    train_once(&blocks, 0, &got);
    run_same_bits(&want, &got);
    train_once(&s.text, 0, &got);
    ck_assert(want.losses[0] != got.losses[0]); /* exactly */
}
END_TEST

/* Several sequences a micro-batch, of ids and of a source. */
START_TEST(in_larger_batches)
{
    struct ssa_device *device;
    OK(ssa_device_open(&device, "cpu"));
    for (int micro = 1; micro <= 4; micro *= 2) {
        struct source s = new_source();
        const struct ssa_data data[2] = {s.text, data_of(&s)};
        for (int i = 0; i < 2; i++) {
            struct run r;
            OK(ssa_model_create(&r.model, device, &run_config,
                                &(struct ssa_model_limits){.batch = micro, .training = 1}));
            run_trainer_on(&r, 8, &data[i], NULL);
            OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
            run_read(r, i ? &got : &want);
            run_end(r);
        }
        check_source(&s);
        run_same_bits(&want, &got);
    }
    ssa_device_close(device);
}
END_TEST

static struct ssa_pool *pool_of_two(const char *name)
{
    static const int shares[] = {4, 3};
    struct ssa_pool *pool = pools_hosts(0, &(struct ssa_pool_config){.check_every = 5, .deadline = 5});
    for (int i = 0; i < 2; i++) {
        struct ssa_device *device;
        OK(ssa_device_open(&device, name));
        OK(ssa_pool_add(pool, device));
    }
    pool->shares = shares;
    return pool;
}

/* Several devices, spot checks, and slowness; of the host and PoCL together, which do not compute alike, the pool is
 * held against itself. */
static void check_pool(bool mixed, int slow)
{
    for (int i = 0; i < 2; i++) {
        struct source s = new_source();
        struct ssa_pool *pool = mixed ? NULL : pool_of_two("cpu");
        if (mixed)
            OK(ssa_pool_open(&pool, "cpu,opencl", NULL));
        static const int shares[] = {3, 4};
        pool->shares = shares;
        s.slow = slow;
        s.pool = pool;
        if (mixed && !i) { /* ids in memory */
            run_pool(pool, &want);
        } else {
            finish(start_on(NULL, pool, &s), &s);
            ck_assert_int_eq(ssa_pool_live(pool), 2);
        }
        ssa_pool_close(pool);
    }
}

START_TEST(as_ids_on_a_pool)
{
    struct ssa_device_info list[64];
    int n = 0;
    pools_set_clock();
    run_bare("cpu", &want);
    check_pool(false, -1);
    check_pool(false, -2);
    OK(ssa_device_list(list, 64, &n));
    for (int i = 0; i < n && i < 64; i++)
        if (strstr(list[i].platform, "Portable")) {
            check_pool(true, -1);
            break;
        }
}
END_TEST

/* Eighty seconds a batch, where a device has five for it, or fifty at first. */
START_TEST(slow_is_not_late)
{
    pools_set_clock();
    run_bare("cpu", &want);
    for (int step = 0; step < RUN_STEPS; step += 5) {
        struct source s = new_source();
        struct ssa_pool *pool = pool_of_two("cpu");
        s.slow = step;
        s.pool = pool;
        finish(start_on(NULL, pool, &s), &s);
        ck_assert_msg(ssa_pool_live(pool) == 2, "%s", pools_events);
        ssa_pool_close(pool);
    }
}
END_TEST

static char path[64];

/* From ids to a source, on another number of devices; and back to an earlier step. */
START_TEST(resumed)
{
    struct source s = new_source();
    struct ssa_device *device;
    struct ssa_checkpoint *c;
    struct ssa_pool *pool = pool_of_two("cpu");
    struct run r;
    snprintf(path, sizeof path, "/tmp/ssacl-data-%d.st", (int)getpid());
    run_bare("cpu", &want);
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    run_trainer(&r, RUN_MICROS);
    OK(ssa_trainer_run(r.trainer, 3, &(struct ssa_trainer_run){0}));
    OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
    run_end(r);
    OK(ssa_checkpoint_open(&c, path));
    for (int on_pool = 0; on_pool < 2; on_pool++) {
        r = start_on(device, on_pool ? pool : NULL, &s);
        OK(ssa_trainer_run(r.trainer, 5, &(struct ssa_trainer_run){0}));
        OK(ssa_checkpoint_load(c, r.model, r.trainer));
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        OK(ssa_trainer_losses(r.trainer, RUN_STEPS - 3, got.losses, &got.norm));
        ck_assert(!memcmp(got.losses, want.losses + 3, (RUN_STEPS - 3) * sizeof *got.losses) && got.norm == want.norm);
        run_end(r);
    }
    check_source(&s);
    ssa_checkpoint_close(c);
    ssa_device_close(device);
    ssa_pool_close(pool);
    remove(path);
}
END_TEST

/* A device is lost in the middle; then all are, and the host backend goes back to the copy. */
START_TEST(devices_are_lost)
{
    run_bare("cpu", &want);
    for (int lost = 1; lost <= 2; lost++) {
        struct source s = new_source();
        struct ssa_pool *pool = pool_of_two("cpu");
        for (int i = 0; i < lost; i++)
            pools_spy(pool->members[i]->device);
        struct run r = start_on(NULL, pool, &s);
        OK(ssa_trainer_run(r.trainer, 5, &(struct ssa_trainer_run){0}));
        for (int i = 0; i < lost; i++)
            pools_plan(pool->members[i]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 150});
        if (lost == 1) {
            finish(r, &s);
        } else { /* a host device is there already, so that none joins */
            FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE, "no device");
            run_end(r);
            check_source(&s);
        }
        ck_assert_msg(strstr(pools_events, "(launch 150 fails)"), "%s", pools_events);
        ssa_pool_close(pool);
    }
}
END_TEST

/* ---- a source that fails ---- */

static void check_failing(struct ssa_device *device, struct ssa_pool *pool, int step, const struct source *how,
                          const char *words)
{
    struct source s = new_source();
    struct run r = start_on(device, pool, &s);
    char sentence[128];
    snprintf(sentence, sizeof sentence, "data: step %d: %s", step + 1, words);
    s.fails = (uint64_t)step;
    s.status = how->status;
    s.speaks = how->speaks;
    for (int twice = 0; twice < 2; twice++) {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), how->status == 7 ? SSA_EIO : how->status,
              sentence);
        ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), step);
    }
    OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
    s.fails = NEVER;
    if (pool)
        ck_assert_msg(ssa_pool_live(pool) == 2 && !strstr(pools_events, "lost"), "%s", pools_events);
    finish(r, &s);
}

START_TEST(failing_ends_the_run)
{
    static const struct {
        struct source how;
        const char *words;
    } cases[] = {{{.status = SSA_EIO, .speaks = true}, "no such picture"},
                 {{.status = SSA_EDEVICE}, "fill returned -4"}, {{.status = 7}, "fill returned 7"},
                 {{.status = SSA_EINVAL, .speaks = true}, "no such picture"}};
    struct ssa_device *device;
    snprintf(path, sizeof path, "/tmp/ssacl-data-%d.st", (int)getpid());
    run_bare("cpu", &want);
    OK(ssa_device_open(&device, "cpu"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int step = i ? 5 : 0; step < (i ? 6 : RUN_STEPS); step += 5) { /* at a spot check, which computes too, */
            struct ssa_pool *pool = pool_of_two("cpu");
            check_failing(device, NULL, step, &cases[i].how, cases[i].words);
            check_failing(NULL, pool, step, &cases[i].how, cases[i].words);
            ssa_pool_close(pool);
            pool = pool_of_two("cpu"); /* and not */
            check_failing(NULL, pool, step + 1, &cases[i].how, cases[i].words);
            ssa_pool_close(pool);
        }
    ssa_device_close(device);
    remove(path);
}
END_TEST

/* ---- ranks ---- */

struct ranked {
    bool pools, differ;
    int step;
};

static void train_as_rank(struct ssa_ranks *ranks, void *cookie)
{
    const struct ranked *how = cookie;
    struct source s = new_source();
    struct ssa_data data = data_of(&s);
    struct ssa_pool *pool = how->pools ? pool_of_two("cpu") : NULL;
    struct ssa_device *device = NULL;
    char words[64];
    struct run r;
    if (pool) {
        pool->shares = NULL;
        OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    } else {
        OK(ssa_device_open(&device, "cpu"));
        OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    }
    data.identity += how->differ ? (uint64_t)ranks->rank : 0;
    s.fails = ranks->rank == 1 ? (uint64_t)how->step : NEVER;
    snprintf(words, sizeof words, "rank 1 failed: data: step %d: no such picture", how->step + 1);
    run_trainer_on(&r, RUN_MICROS, &data, ranks);
    if (how->differ)
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EINVAL,
              "rank 1: data.identity is \"0000000000000008\", rank 0 has \"0000000000000007\"");
    else
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE, words);
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), how->differ ? 0 : how->step);
    s.fails = NEVER;
    if (!how->differ) {
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        ck_assert(!pool || ssa_pool_live(pool) == 2);
    }
    run_end(r);
    if (!how->differ)
        check_source(&s);
    ssa_device_close(device);
    ssa_pool_close(pool);
}

START_TEST(ranks_know_of_it) /* at a spot check too, which every fifth step begins with */
{
    for (int pools = 0; pools < 2; pools++) {
        for (int step = 2; step <= 5; step += 3)
            threads_run(2, train_as_rank, &(struct ranked){.pools = pools, .step = step});
        threads_run(2, train_as_rank, &(struct ranked){.pools = pools, .differ = true});
    }
}
END_TEST

/* ---- evaluation ---- */

static const struct ssa_pattern sampled = {.kind = SSA_UNBIASED, .ratio = 0.25f};

static void check_scores(struct ssa_model *m, const struct ssa_evaluate *how)
{
    struct source s = new_source();
    const struct ssa_data data = data_of(&s);
    struct ssa_scores ids, source;
    double ensembles[2][4], singles[2][4];
    OK(ssa_evaluate(m, &s.text, how, &ids, ensembles[0], singles[0]));
    OK(ssa_evaluate(m, &data, how, &source, ensembles[1], singles[1]));
    check_source(&s);
    ids.seconds = source.seconds = 0;
    ck_assert_mem_eq(&ids, &source, sizeof ids);
    ck_assert_mem_eq(ensembles[0], ensembles[1], (size_t)how->passes * sizeof **ensembles);
    ck_assert_mem_eq(singles[0], singles[1], (size_t)how->passes * sizeof **singles);
}

static void check_evaluation(struct ssa_model *m)
{
    static const size_t some[] = {0, 1, 5, 18};
    for (int i = 0; i < 4; i++) {
        check_scores(m, &(struct ssa_evaluate){.passes = 1, .windows = some[i]});
        check_scores(m, &(struct ssa_evaluate){.pattern = &sampled, .passes = 4, .windows = some[i], .seed = 3});
    }
}

START_TEST(evaluates_as_ids)
{
    for (int batch = 1; batch <= 4; batch += 3) {
        const struct ssa_model_limits limits = {.batch = batch};
        struct ssa_model *m;
        FOR_DEVICES (dev)
            if (!test_launches_slowly(dev)) {
                OK(ssa_model_create(&m, dev, &run_config, &limits));
                check_evaluation(m);
                ssa_model_destroy(m);
            }
        struct ssa_pool *pool = pool_of_two("cpu");
        OK(ssa_pool_model_create(&m, pool, &run_config, &limits));
        check_evaluation(m);
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
}
END_TEST

static void check_refusals(struct ssa_model *m)
{
    struct source s = new_source();
    struct ssa_data data = data_of(&s), both = data, none = data;
    struct ssa_scores scores;
    both.items = "abc";
    none.examples = 0;
#define BAD(status, words, d, ...) \
    FAILS(ssa_evaluate(m, d, &(struct ssa_evaluate){__VA_ARGS__}, &scores, NULL, NULL), status, words)
    BAD(SSA_EINVAL, "items and fill are given", &both, .passes = 1);
    BAD(SSA_EINVAL, "examples is 0", &none, .passes = 1);
    BAD(SSA_EINVAL, "stride is 16, but a source has examples", &data, .stride = N);
    s.fails = 11;
    BAD(SSA_EIO, "data: example 11: no such picture", &data, .pattern = &sampled, .passes = 4);
    s.speaks = false;
    s.status = SSA_EDEVICE;
    BAD(SSA_EDEVICE, ": fill returned -4", &data, .passes = 1);
    s.fails = NEVER;
    s.text.count = 2; /* one answer, and that is left out */
    s.forgetful = true;
    data.examples = 1;
    s.calls = 1;
    BAD(SSA_EINVAL, "none of the 1 examples has a target", &data, .passes = 1);
    s.text = run_data();
    data.examples = windows(&s);
    s.calls = 0;
    BAD(SSA_EINVAL, "targets in batch", &data, .pattern = &sampled, .passes = 4);
    check_source(&s);
}

START_TEST(evaluation_refuses)
{
    struct ssa_pool *pool = pool_of_two("cpu");
    struct ssa_device *device;
    struct ssa_model *m;
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_model_create(&m, device, &run_config, &(struct ssa_model_limits){.batch = 1}));
    check_refusals(m);
    ssa_model_destroy(m);
    OK(ssa_pool_model_create(&m, pool, &run_config, &(struct ssa_model_limits){.batch = 1}));
    check_refusals(m);
    ck_assert_msg(ssa_pool_live(pool) == 2, "%s", pools_events);
    ssa_model_destroy(m);
    ssa_device_close(device);
    ssa_pool_close(pool);
}
END_TEST

/* Held-out data on the way, after each epoch: 19 examples, 7 a step. */
static void see(void *cookie, const struct ssa_watched *w)
{
    int *steps = cookie;
    steps[steps[0]++ + 1] = w->step;
}

START_TEST(watched)
{
    struct source s = new_source(), valid = new_source();
    const struct ssa_data data = data_of(&valid);
    struct ssa_device *device;
    int steps[RUN_STEPS + 1] = {0};
    run_bare("cpu", &want);
    OK(ssa_device_open(&device, "cpu"));
    struct run r = start_on(device, NULL, &s);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){
        .watch = &(struct ssa_watch){.data = &data, .watched = see, .cookie = steps}}));
    ck_assert(steps[0] == RUN_STEPS / 3 && steps[1] == 3 && steps[2] == 6);
    check_source(&valid);
    finish(r, &s);
    ssa_device_close(device);
}
END_TEST

/* ---- what other models need ---- */

START_TEST(other_models)
{
    struct source s = new_source();
    const struct ssa_data data = data_of(&s);
    struct ssa_model_config config = run_config;
    struct ssa_scores scores;
    struct ssa_device *device;
    struct run r;
    OK(ssa_device_open(&device, "cpu"));
    config.gpt.bidirectional = 1; /* ids in memory have no targets for it, a source does */
    OK(ssa_model_create(&r.model, device, &config, &run_limits));
    run_trainer_on(&r, RUN_MICROS, &data, NULL);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_evaluate(r.model, &data, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    FAILS(ssa_evaluate(r.model, &s.text, &(struct ssa_evaluate){0}, &scores, NULL, NULL), SSA_EINVAL, "a causal model");
    run_end(r);
    ssa_device_close(device);
}
END_TEST

/* ---- the feed ---- */

enum { COUNT = 3, TAKERS = 4, TAKES = 200 };

static int32_t token_of(struct ssa_feed_key key, int i)
{
    return (int32_t)(key.step * 1000003u + key.number * 31u + (unsigned)i);
}

/* Of a batch whose key says what is in it. */
static int fill_by_key(void *cookie, struct ssa_feed_key key, struct ssa_batch *batch)
{
    atomic_int *inside = cookie;
    int alone = atomic_fetch_add(inside, 1) == 0;
    for (int i = 0; i < COUNT; i++) {
        batch->tokens[i] = token_of(key, i);
        batch->targets[i] = -batch->tokens[i];
    }
    atomic_fetch_sub(inside, 1);
    return !alone ? ssa_fail(SSA_EDEVICE, "twice at once")
         : key.number % 17 == 16 ? ssa_fail(SSA_EIO, "batch %d", (int)key.number) : SSA_OK;
}

struct taker {
    struct ssa_feed *feed;
    unsigned seed;
    int wrong;
};

static int take_one(struct ssa_feed *feed, struct ssa_feed_key key)
{
    int32_t tokens[COUNT], targets[COUNT];
    int status = ssa_feed_take(feed, key, &(struct ssa_batch){tokens, targets}, &(struct ssa_feed_plans){0});
    if (key.number % 17 == 16)
        return status != SSA_EIO;
    for (int i = 0; i < COUNT && !status; i++)
        status = tokens[i] != token_of(key, i) || targets[i] != -tokens[i];
    return status;
}

/* Any order, again and again, and wanting much that is never taken. */
static void *take_many(void *cookie)
{
    struct taker *t = cookie;
    for (int i = 0; i < TAKES; i++) {
        t->seed = t->seed * 1664525u + 1013904223u;
        const struct ssa_feed_key key = {t->seed >> 30, t->seed >> 8 & 63};
        for (unsigned n = 0; n < (t->seed & 7u); n++)
            ssa_feed_want(t->feed, (struct ssa_feed_key){key.step, key.number + n});
        t->wrong += take_one(t->feed, key) != 0;
    }
    return NULL;
}

START_TEST(any_order)
{
    const struct ssa_batch_layout layout = {.given = {{.sequence = sizeof(int32_t)}, {.sequence = sizeof(int32_t)}}};
    for (int takers = 1; takers <= TAKERS; takers++) {
        struct ssa_feed *feed;
        struct taker t[TAKERS];
        pthread_t threads[TAKERS];
        atomic_int inside = 0;
        OK(ssa_feed_create(&feed, &(struct ssa_feed_config){.layout = layout, .count = COUNT, .takers = takers,
            .fill = fill_by_key, .cookie = &inside}));
        for (int i = 0; i < takers; i++) {
            t[i] = (struct taker){feed, (unsigned)i + 1, 0};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, take_many, &t[i]), 0);
        }
        for (int i = 0; i < takers; i++) {
            pthread_join(threads[i], NULL);
            ck_assert_int_eq(t[i].wrong, 0);
        }
        ssa_feed_stop(feed);
        ssa_feed_destroy(feed);
    }
}
END_TEST

int main(void)
{
    return test_run("data", (const TTest *const[]){as_ids_in_memory, each_block_once,
        any_order_of_blocks, trains_on_blocks, in_larger_batches, as_ids_on_a_pool,
        slow_is_not_late, resumed, devices_are_lost, failing_ends_the_run, ranks_know_of_it, evaluates_as_ids,
        evaluation_refuses, watched, other_models, any_order, NULL});
}

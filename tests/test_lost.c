/* Devices of a pool that fail, hang, run out of memory or compute wrongly: the run goes on and is the same run. */
#include "net/replicas.h"
#include "net/internal.h"
#include "runs.h"
#include "train/team/team.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct result bare, got;

/* Hosts of which all pass for devices of another kind, so that the host backend may be the last resort; the last one is
 * spied upon. */
static struct ssa_pool *others(int count, const struct ssa_pool_config *config)
{
    static const int shares[][2] = {{RUN_MICROS}, {4, RUN_MICROS - 4}};
    struct ssa_pool *pool = pools_hosts(count, config);
    if (count <= 2) /* on a busy machine one might be left without a share, and never meet its fate */
        pool->shares = shares[count - 1];
    for (int i = 0; i < count; i++) {
        pool->members[i]->info.kind = SSA_DEVICE_CPU;
        pools_spy(pool->members[i]->device);
    }
    return pool;
}

static void close_all(struct ssa_pool *pool, struct run r)
{
    run_end(r);
    ssa_pool_close(pool);
}

/* Runs `until` steps, lets `member` meet its fate, and runs the rest: it must be the run of a bare device. Whether that
 * fate came about. */
static bool meets(struct ssa_pool *pool, int member, int until, struct pools_plan plan, const char *words)
{
    struct ssa_device *device = pool->members[member]->device;
    struct run r = run_start(pool);
    if (until)
        OK(ssa_trainer_run(r.trainer, until, &(struct ssa_trainer_run){0}));
    pools_plan(device, plan);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    bool met = pools_met(device) > 0;
    if (!pool->members[member]->lost)
        pools_plan(device, (struct pools_plan){0});
    run_read(r, &got);
    ck_assert_msg(!words || strstr(pools_events, words), "no \"%s\" in: %s", words, pools_events);
    run_same_bits(&bare, &got);
    close_all(pool, r);
    if (plan.fault == POOLS_HANG)
        pools_join(); /* it comes back, and must find nothing to break */
    return met;
}

/* ---- errors ---- */

START_TEST(every_call_fails)
{
    static const int steps[] = {0, 5, RUN_STEPS - 1};
    int met[2][POOLS_ALLOCATE] = {{0}}, all = 0;
    run_bare("cpu", &bare);
    for (int count = 1; count <= 2; count++)
        for (int call = POOLS_LAUNCH; call < POOLS_ALLOCATE; call++)
            for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
                for (int at = 1; at <= 9; at += 4) {
                    if (count == 1 && !steps[s] &&
                        (call == POOLS_READ || call == POOLS_FINISH || (call == POOLS_COPY && at == 1)))
                        continue; /* the first copy, and the average that it has: see below */
                    bool rare = call == POOLS_FILL || (call == POOLS_FINISH && count == 1) ||
                                (count == 1 && (call == POOLS_READ || call == POOLS_COPY)) || at > 1;
                    const struct pools_plan plan = {(enum pools_call)call, POOLS_FAIL, at};
                    met[count - 1][call] +=
                        meets(others(count, NULL), count - 1, steps[s], plan,
                              rare ? NULL : count == 1 ? "rollback 1@" : "lost 1@");
                }
    for (int count = 1; count <= 2; count++)
        for (int call = POOLS_LAUNCH; call < POOLS_ALLOCATE; call++) {
            /* nobody waits for a device that is alone, or gives it a run */
            const bool never = count == 1 && (call == POOLS_FINISH || call == POOLS_FILL);
            all += met[count - 1][call];
            ck_assert_msg(met[count - 1][call] > 0 || never, "of %d: no call %d failed", count, call);
        }
    ck_assert_msg(all >= 60, "%d calls failed", all);
}
END_TEST

START_TEST(out_of_memory)
{
    struct ssa_pool *pool = others(2, NULL);
    struct run r;
    int calls;
    run_bare("cpu", &bare);
    r = run_start(pool);
    calls = pools_count(pool->members[1]->device, POOLS_ALLOCATE);
    ck_assert_int_gt(calls, 5);
    close_all(pool, r);
    for (int at = 1; at <= calls; at++) {
        pool = others(2, NULL);
        pools_plan(pool->members[1]->device, (struct pools_plan){POOLS_ALLOCATE, POOLS_MEMORY, at});
        run_pool(pool, &got);
        ck_assert_msg(strstr(pools_events, "left_out 1@0 0>0 (allocate "), "%s", pools_events);
        run_same_bits(&bare, &got);
        ssa_pool_close(pool);
    }
    meets(others(2, NULL), 1, 3, (struct pools_plan){POOLS_LAUNCH, POOLS_MEMORY, 20}, "(launch 20: no memory)");
}
END_TEST

START_TEST(silence)
{
    struct ssa_pool_config config = {.deadline = 30};
    pools_set_clock();
    run_bare("cpu", &bare);
    for (int at = 1; at <= 200; at += 199)
        meets(others(2, &config), at == 1, 5, (struct pools_plan){POOLS_LAUNCH, POOLS_HANG, at}, "(silent for ");
    meets(others(2, &config), 1, 5, (struct pools_plan){POOLS_READ, POOLS_HANG, 1}, "lost 1@5");
    meets(others(1, &config), 0, 5, (struct pools_plan){POOLS_WRITE, POOLS_HANG, 1}, "rollback 1@0");
}
END_TEST

/* The first step of so many micro-batches takes far longer than ten times the deadline, and nobody is lost. */
START_TEST(slow_is_not_silent)
{
    struct ssa_pool_config config = {.deadline = 30};
    pools_set_clock();
    for (int count = 1; count <= 2; count++) {
        struct ssa_pool *pool = others(count, &config);
        struct run r;
        float loss;
        OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
        run_trainer(&r, 64 * count);
        for (int i = 0; i < count; i++)
            pools_plan(pool->members[i]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_SLOW, 1, .seconds = 0.25});
        double start = ssa_seconds();
        OK(ssa_trainer_step(r.trainer));
        ck_assert_double_gt(ssa_seconds() - start, 20 * config.deadline);
        OK(ssa_trainer_losses(r.trainer, 1, &loss, NULL));
        ck_assert_msg(ssa_pool_live(pool) == count, "%s", pools_events);
        close_all(pool, r);
    }
}
END_TEST

/* ---- wrong results ---- */

START_TEST(not_a_number)
{
    run_bare("cpu", &bare);
    for (int at = 1; at <= 4; at++)
        ck_assert(meets(others(2, NULL), 1, 6, (struct pools_plan){POOLS_READ, POOLS_NAN, at},
                        at == 1 ? "is not a number, unlike on cpu" : NULL));
}
END_TEST

START_TEST(divergence_is_nobodys_fault)
{
    struct ssa_pool *pool = others(2, NULL);
    struct run r = run_start(pool);
    float nan = NAN;
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    for (int i = 0; i < 2; i++) {
        const struct ssa_worker *w = r.trainer->team->workers[i];
        OK(ssa_tensor_write(ssa_model_find(w->model, "norm.gain")->value, &nan, 1));
    }
    FAILS(ssa_trainer_run(r.trainer, 4, &(struct ssa_trainer_run){0}), SSA_ENUMERIC, "loss of step 3 is not finite");
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    close_all(pool, r);
}
END_TEST

START_TEST(spot_checks)
{
    struct ssa_pool_config config = {.check_every = 2};
    struct ssa_pool *pool;
    struct run r;
    run_bare("cpu", &bare);
    for (int count = 1; count <= 3; count++) { /* all is well */
        pool = others(count, &config);
        run_pool(pool, &got);
        run_same_bits(&bare, &got);
        ck_assert_int_eq(ssa_pool_live(pool), count);
        ssa_pool_close(pool);
    }
    for (int turn = 0; turn < 4; turn++) { /* a judge is opened; or one of the two is the host backend */
        int bad = turn % 2;
        pool = others(2, &config);
        if (turn > 1)
            pool->members[!bad]->info.kind = SSA_DEVICE_HOST;
        r = run_start(pool);
        OK(ssa_trainer_run(r.trainer, 4, &(struct ssa_trainer_run){0}));
        pools_plan(pool->members[bad]->device, (struct pools_plan){POOLS_READ, POOLS_WRONG, 1});
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        run_read(r, &got);
        ck_assert_msg(strstr(pools_events, "(spot check: its "), "%s", pools_events);
        ck_assert(pool->members[bad]->lost && !pool->members[!bad]->lost);
        run_same_bits(&bare, &got);
        close_all(pool, r);
    }
}
END_TEST

/* Both devices fail in the spot check before a step. */
START_TEST(none_is_left_of_a_spot_check)
{
    struct ssa_pool_config config = {.check_every = 2};
    struct ssa_pool *pool = others(2, &config);
    struct run r = run_start(pool);
    run_bare("cpu", &bare);
    OK(ssa_trainer_run(r.trainer, 4, &(struct ssa_trainer_run){0}));
    for (int i = 0; i < 2; i++)
        pools_plan(pool->members[i]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 1});
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_read(r, &got);
    ck_assert_ptr_nonnull(strstr(pools_events, "rollback 2@0"));
    run_same_bits(&bare, &got);
    close_all(pool, r);
}
END_TEST

/* ---- the last one ---- */

START_TEST(the_host_takes_over)
{
    struct ssa_pool_config config = {.copy_every = 3};
    run_bare("cpu", &bare);
    meets(others(1, &config), 0, 5, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 100}, "rollback 1@3 0>7 (2 steps are done again");
    ck_assert_ptr_nonnull(strstr(pools_events, "joined 1@3"));
    meets(others(1, &config), 0, 0, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 1}, "rollback 1@0");
}
END_TEST

static void check_stop(int copy_every)
{
    struct ssa_pool_config config = {.last = SSA_POOL_STOP, .copy_every = copy_every};
    struct ssa_pool *pool = others(2, &config);
    struct run r = run_start(pool);
    struct ssa_checkpoint *c;
    char path[64];
    snprintf(path, sizeof path, "/tmp/ssacl-lost-%d.st", (int)getpid());
    OK(ssa_trainer_run(r.trainer, 5, &(struct ssa_trainer_run){0}));
    for (int i = 0; i < 2; i++)
        pools_plan(pool->members[i]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 50 + 100 * i});
    if (copy_every < 0) {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE, "there is no copy of the run");
        FAILS(ssa_checkpoint_save(path, r.model, r.trainer, NULL), SSA_EDEVICE, "there is no copy of the run");
    } else {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE, "a checkpoint that is saved now is of step 3");
        FAILS(ssa_trainer_step(r.trainer), SSA_EDEVICE, "no device of the pool is left (cpu: launch ");
        OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
    }
    close_all(pool, r);
    if (copy_every < 0)
        return;
    pool = pools_hosts(1, NULL);
    r = run_start(pool);
    OK(ssa_checkpoint_open(&c, path));
    OK(ssa_checkpoint_load(c, r.model, r.trainer));
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 3);
    ssa_checkpoint_close(c);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(r.trainer, RUN_STEPS - 3, got.losses, NULL));
    ck_assert(!memcmp(got.losses, bare.losses + 3, (RUN_STEPS - 3) * sizeof *got.losses));
    run_end(r);
    ssa_pool_close(pool);
    remove(path);
}

/* The host has no memory for a second copy, or for any: no device's fault. */
START_TEST(no_room_for_a_copy)
{
    struct ssa_pool *pool = others(2, NULL);
    struct run r = run_start(pool);
    struct ssa_snapshot *snapshot = &r.trainer->team->snapshot;
    float *before;
    pools_no_room = 12 * ssa_arena_elements(ssa_model_values(r.model));
    FAILS(ssa_trainer_step(r.trainer), SSA_ENOMEM, "out of host memory for a copy of the run");
    pools_no_room = 0;
    OK(ssa_trainer_run(r.trainer, 3, &(struct ssa_trainer_run){0}));
    before = snapshot->state;
    pools_no_room = 12 * ssa_arena_elements(ssa_model_values(r.model));
    OK(ssa_snapshot_now(r.trainer));
    pools_no_room = 0;
    ck_assert(snapshot->valid && snapshot->step == 3 && snapshot->state == before);
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    close_all(pool, r);
}
END_TEST

/* The very first copy of a device that is alone. */
START_TEST(nothing_to_go_back_to)
{
    struct ssa_pool *pool = others(1, NULL);
    struct run r = run_start(pool);
    pools_plan(pool->members[0]->device, (struct pools_plan){POOLS_READ, POOLS_FAIL, 1});
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EDEVICE, "there is no copy of the run to go on from");
    close_all(pool, r);
    run_bare("cpu", &bare); /* it may fail once */
    ck_assert(meets(others(1, NULL), 0, 0, (struct pools_plan){POOLS_READ, POOLS_MEMORY, 1}, NULL));
}
END_TEST

START_TEST(or_the_run_stops)
{
    run_bare("cpu", &bare);
    check_stop(3);
    check_stop(-1);
}
END_TEST

/* ---- what a pool cannot do ---- */

START_TEST(nothing_fits)
{
    struct ssa_pool *pool = others(2, NULL);
    struct ssa_stage stage = {.steps = 2, .lr = 0.01f};
    struct ssa_train_config training = {.batch = 5, .stages = &stage, .stage_count = 1};
    static const unsigned char zeros[64];
    struct ssa_data data = {.items = zeros, .count = 64};
    struct ssa_model_limits limits = {.batch = 2, .training = 1};
    struct ssa_model *m;
    struct ssa_trainer *t;
    OK(ssa_pool_model_create(&m, pool, &run_config, &limits));
    FAILS(ssa_trainer_create(&t, m, &training, &data), SSA_EINVAL, "batch 5 does not divide");
    training.batch = 4;
    for (int i = 0; i < 2; i++) /* no room for moments */
        pool->members[i]->device->info.memory = pool->members[i]->device->held + 1000;
    FAILS(ssa_trainer_create(&t, m, &training, &data), SSA_ENOMEM, "buffer: needs ");
    ck_assert_ptr_null(t);
    ck_assert_ptr_nonnull(strstr(pools_events, "left_out 0@0"));
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

START_TEST(more_devices_than_micro_batches)
{
    struct ssa_pool *pool = pools_hosts(3, NULL);
    struct run r;
    float two[RUN_STEPS], one[RUN_STEPS];
    OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    run_trainer(&r, 2);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(r.trainer, RUN_STEPS, two, NULL));
    run_end(r);
    ssa_pool_close(pool);
    pool = pools_hosts(1, NULL);
    OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    run_trainer(&r, 2);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_trainer_losses(r.trainer, RUN_STEPS, one, NULL));
    ck_assert(!memcmp(one, two, sizeof one));
    run_end(r);
    ssa_pool_close(pool);
}
END_TEST

int main(void)
{
    return test_run_alone("lost", (const TTest *const[]){every_call_fails, out_of_memory, silence, slow_is_not_silent,
        not_a_number, divergence_is_nobodys_fault, spot_checks, none_is_left_of_a_spot_check, the_host_takes_over, no_room_for_a_copy, nothing_to_go_back_to,
        or_the_run_stops, nothing_fits,
        more_devices_than_micro_batches, NULL});
}

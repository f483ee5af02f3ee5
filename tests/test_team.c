/* Training on a pool: the same run whoever does it. */
#include "net/replicas.h"
#include "net/internal.h"
#include "runs.h"
#include "train/team/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMBERS = 3 };

static struct result bare, got;

/* ---- the same run ---- */

START_TEST(one_or_several)
{
    static const int shares[][MEMBERS] = {{7, 0, 0}, {6, 1, 0}, {1, 6, 0}, {3, 2, 2}, {0, 4, 3}, {0, 0, 7}};
    run_bare("cpu", &bare);
    for (int count = 1; count <= MEMBERS; count++) {
        struct ssa_pool *pool = pools_hosts(count, NULL);
        run_pool(pool, &got);
        run_same_bits(&bare, &got);
        ssa_pool_close(pool);
    }
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        struct ssa_pool *pool = pools_hosts(MEMBERS, NULL);
        pool->shares = shares[i];
        run_pool(pool, &got);
        run_same_bits(&bare, &got);
        ssa_pool_close(pool);
    }
}
END_TEST

START_TEST(one_lost_in_the_middle)
{
    static const int shares[] = {4, 3}; /* whoever is slow: who has no share cannot be lost */
    run_bare("cpu", &bare);
    for (int which = 0; which < 2; which++) {
        struct ssa_pool *pool = pools_hosts(2, NULL);
        pools_spy(pool->members[which]->device);
        pool->shares = shares;
        struct run j = run_start(pool);
        OK(ssa_trainer_run(j.trainer, 5, &(struct ssa_trainer_run){0}));
        pools_plan(pool->members[which]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 150});
        OK(ssa_trainer_run(j.trainer, 0, &(struct ssa_trainer_run){0}));
        run_read(j, &got);
        run_end(j);
        ck_assert_msg(strstr(pools_events, which ? "lost 1@" : "lost 0@"), "%s", pools_events);
        ck_assert_ptr_nonnull(strstr(pools_events, "(launch 150 fails)"));
        run_same_bits(&bare, &got);
        ssa_pool_close(pool);
    }
}
END_TEST

/* ---- checkpoints ---- */

static char path[64];

/* From a bare device to a pool to a bare device, and a pool of another size. */
START_TEST(resumed_by_others)
{
    struct ssa_device *device;
    struct ssa_checkpoint *c;
    struct ssa_pool *pool;
    struct run j;
    run_bare("cpu", &bare);
    snprintf(path, sizeof path, "/tmp/ssacl-team-%d.st", (int)getpid());
    for (int members = 0; members <= 3; members++) { /* 0: a bare device */
        pool = members ? pools_hosts(members, NULL) : NULL;
        OK(ssa_device_open(&device, "cpu"));
        if (pool)
            OK(ssa_pool_model_create(&j.model, pool, &run_config, &run_limits));
        else
            OK(ssa_model_create(&j.model, device, &run_config, &run_limits));
        run_trainer(&j, RUN_MICROS);
        if (members) { /* goes on from where one fewer had stopped */
            OK(ssa_model_initialise(j.model, 77)); /* what it held must not matter */
            OK(ssa_checkpoint_open(&c, path));
            ck_assert_int_eq(ssa_checkpoint_step(c), 2 + 3 * (members - 1));
            OK(ssa_checkpoint_load(c, j.model, j.trainer));
            ssa_checkpoint_close(c);
        }
        OK(ssa_trainer_run(j.trainer, 2 + 3 * members, &(struct ssa_trainer_run){0}));
        OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
        if (members == 3) {
            OK(ssa_trainer_run(j.trainer, 0, &(struct ssa_trainer_run){0}));
            OK(ssa_trainer_losses(j.trainer, 4, got.losses, NULL));
            ck_assert(!memcmp(got.losses, bare.losses + RUN_STEPS - 4, 4 * sizeof *got.losses));
        }
        run_end(j);
        ssa_device_close(device);
        ssa_pool_close(pool);
    }
    /* parameters alone, to every replica */
    pool = pools_hosts(2, NULL);
    OK(ssa_pool_model_create(&j.model, pool, &run_config, &run_limits));
    OK(ssa_checkpoint_open(&c, path));
    OK(ssa_checkpoint_load(c, j.model, NULL));
    for (int i = 0; i < ssa_model_tensors(j.model); i++)
        test_same_bits("loaded", ssa_model_parameter(j.model->replicas->models[0], i)->value,
                       ssa_model_parameter(j.model->replicas->models[1], i)->value,
                       ssa_model_parameter(j.model, i)->count);
    OK(ssa_checkpoint_save(path, j.model, NULL, NULL));
    ssa_checkpoint_close(c);
    ssa_model_destroy(j.model);
    ssa_pool_close(pool);
    remove(path);
}
END_TEST

/* ---- shares ---- */

static struct run start_with(struct ssa_pool *pool, int micros)
{
    struct run r;
    OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    run_trainer(&r, micros);
    return r;
}

/* With fewer micro-batches than devices the fastest are to have them, whatever their order. */
START_TEST(every_device_is_measured)
{
    for (int micros = 1; micros <= 2; micros++) {
        struct ssa_pool *pool = pools_hosts(3, NULL);
        struct run r = start_with(pool, micros);
        struct ssa_pool_member m;
        OK(ssa_trainer_run(r.trainer, RUN_STEPS, &(struct ssa_trainer_run){0}));
        for (int i = 0; i < 3; i++) {
            OK(ssa_pool_member(pool, i, &m));
            ck_assert_msg(m.rate > 0, "of %d micro-batches device %d was not tried: %s", micros, i, pools_events);
        }
        run_end(r);
        ssa_pool_close(pool);
    }
}
END_TEST

/* A device so slow that it gets nothing is tried again, but all such tries together take no more than a few hundredths
 * of the time, be it slower than a step or many times a step. */
START_TEST(slow_devices_are_tried_seldom)
{
    static const double slower[] = {8, 50, 1000};
    for (size_t k = 0; k < sizeof slower / sizeof *slower; k++) {
        struct ssa_pool *pool = pools_hosts(2, NULL);
        struct run r = start_with(pool, RUN_MICROS);
        double time = 0, ideal = 0;
        int tries = 0;
        for (int i = 0; i < 2; i++)
            r.trainer->team->workers[i]->seconds = i ? slower[k] : 1;
        for (r.trainer->step = 0; ideal < 200 * slower[k]; r.trainer->step++) { /* no step is done */
            ssa_shares_plan(r.trainer);
            int share = pool->members[1]->share;
            tries += share > 0;
            time += share ? slower[k] * share : RUN_MICROS;
            ideal += RUN_MICROS;
        }
        ck_assert_msg(tries >= 2 && time < 1.02 * ideal, "%g times slower: %d tries, time %g, without %g", slower[k],
                      tries, time, ideal);
        run_end(r);
        ssa_pool_close(pool);
    }
}
END_TEST

/* ---- rest ---- */

static int shared[2]; /* the shares of what follows */

static struct ssa_pool *two_spied(const struct ssa_pool_config *config)
{
    struct ssa_pool *pool = pools_hosts(2, config);
    for (int i = 0; i < 2; i++) {
        pool->members[i]->info.kind = SSA_DEVICE_CPU; /* none is the host that would join */
        pools_spy(pool->members[i]->device);
    }
    pool->shares = shared;
    return pool;
}

static void share_until(struct run r, int first, int until)
{
    shared[0] = first;
    shared[1] = RUN_MICROS - first;
    OK(ssa_trainer_run(r.trainer, until, &(struct ssa_trainer_run){0}));
}

/* Ends a run that was to leave what the bare device did. */
static void end_as_bare(struct run r, struct ssa_pool *pool)
{
    run_read(r, &got);
    run_same_bits(&bare, &got);
    run_end(r);
    ssa_pool_close(pool);
}

/* Losses of an evaluation with the parameters that there are. */
static double evaluated(struct ssa_model *m)
{
    struct ssa_data text = run_data();
    struct ssa_scores scores;
    OK(ssa_evaluate(m, &text, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    return scores.loss;
}

/* A device without a share does nothing, whoever it is, until it has one again; then it is given the run as it is, and
 * goes on with the same bits. Nobody asks it for its parameters meanwhile. */
START_TEST(who_has_no_share_rests)
{
    run_bare("cpu", &bare);
    for (int rests = 0; rests < 2; rests++)
        for (int every = 3; every <= 50; every += 47) {
            struct ssa_pool *pool = two_spied(&(struct ssa_pool_config){.copy_every = every});
            const int all = rests ? RUN_MICROS : 0;
            struct run r = run_start(pool);
            share_until(r, 4, 2);
            share_until(r, all, 3);
            const struct ssa_model *resting = r.model->replicas->models[rests];
            const size_t count = ssa_model_parameter(resting, 0)->count;
            float *before = test_read(ssa_model_parameter(resting, 0)->value, count);
            pools_plan(pool->members[rests]->device, (struct pools_plan){0});
            share_until(r, all, 5);
            const double loss = evaluated(r.model);
            share_until(r, all, 7);
            for (int call = 0; call < POOLS_CALLS; call++)
                ck_assert_msg(!pools_count(pool->members[rests]->device, (enum pools_call)call),
                              "call %d of one that rests", call);
            float *after = test_read(ssa_model_parameter(resting, 0)->value, count);
            float *now = test_read(ssa_model_parameter(r.model, 0)->value, count);
            ck_assert(!memcmp(before, after, count * sizeof *after) && memcmp(now, after, count * sizeof *after));
            free(before);
            free(after);
            free(now);
            share_until(r, 3, 9);
            ck_assert(loss != evaluated(r.model));
            same_parameters(r.model->replicas->models[0], r.model->replicas->models[1]);
            share_until(r, all, 10);
            share_until(r, RUN_MICROS - all, 11); /* they change places */
            share_until(r, 2, 0);
            same_parameters(r.model->replicas->models[0], r.model->replicas->models[1]);
            ck_assert_int_eq(ssa_pool_live(pool), 2);
            end_as_bare(r, pool);
        }
}
END_TEST

/* Where the run is never copied nobody rests: who has no share is there when the other one is lost. */
START_TEST(nobody_rests_without_copies)
{
    run_bare("cpu", &bare);
    struct ssa_pool *pool = two_spied(&(struct ssa_pool_config){.copy_every = SSA_NONE});
    struct run r = run_start(pool);
    share_until(r, RUN_MICROS, 5);
    same_parameters(r.model->replicas->models[0], r.model->replicas->models[1]);
    pools_plan(pool->members[0]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 5});
    share_until(r, RUN_MICROS, 0);
    ck_assert_msg(strstr(pools_events, "lost 0@5") && !strstr(pools_events, "rollback"), "%s", pools_events);
    end_as_bare(r, pool);
}
END_TEST

/* The only one at work is lost in a step, or between steps: the run goes on from its copy, on the one that rested. */
START_TEST(who_rests_goes_on)
{
    run_bare("cpu", &bare);
    for (int between = 0; between < 2; between++)
        for (int last = SSA_POOL_HOST; last <= SSA_POOL_STOP; last++) {
            struct ssa_pool *pool = two_spied(&(struct ssa_pool_config){.copy_every = 2, .last = last});
            struct run r = run_start(pool);
            share_until(r, 4, 2);
            share_until(r, RUN_MICROS, 5);
            pools_plan(pool->members[0]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 5});
            if (between)
                evaluated(r.model);
            share_until(r, RUN_MICROS, 0);
            ck_assert_msg(strstr(pools_events, "lost 0@5") && strstr(pools_events, "rollback 1@4"), "%s", pools_events);
            end_as_bare(r, pool);
        }
}
END_TEST

/* Who rests is asked where the other one's numbers are not finite, and for spot checks. */
START_TEST(who_rests_is_asked)
{
    static const struct pools_plan wrong[] = {{POOLS_READ, POOLS_NANS, 1}, {POOLS_READ, POOLS_WRONG, 1},
                                              {POOLS_READ, POOLS_NAN, 1}};
    static const char *const why[] = {"not numbers", "spot check", "when they are read again they are"};
    run_bare("cpu", &bare);
    for (int k = 0; k < 3; k++) {
        struct ssa_pool *pool = two_spied(&(struct ssa_pool_config){.check_every = k == 1 ? 4 : SSA_NONE});
        struct run r = run_start(pool);
        share_until(r, RUN_MICROS, 5);
        pools_plan(pool->members[0]->device, wrong[k]);
        share_until(r, RUN_MICROS, 0);
        ck_assert_msg(strstr(pools_events, "lost 0@") && strstr(pools_events, why[k]), "%s", pools_events);
        run_read(r, &got);
        if (k != 1) /* what is wrong before it is checked stays in the run */
            run_same_bits(&bare, &got);
        run_end(r);
        ssa_pool_close(pool);
    }
}
END_TEST

/* Parameters from which everybody diverges are nobody's fault, whoever rests; and the run says where. */
START_TEST(divergence_while_one_rests)
{
    struct ssa_pool *pool = two_spied(NULL);
    struct run r = run_start(pool);
    const float large = 1e25f;
    share_until(r, RUN_MICROS, 3);
    OK(ssa_tensor_write(ssa_model_find(r.model, "norm.gain")->value, &large, 1));
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_ENUMERIC, "of step 4 is not finite");
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 3);
    run_end(r);
    ssa_pool_close(pool);
}
END_TEST

/* Whose run is read for one that wakes is lost over it: the next one's is given, and no older copy. */
START_TEST(who_wakes_gets_the_run_as_it_is)
{
    static int shares[MEMBERS];
    static const int some[MEMBERS] = {4, 3, 0}, all[MEMBERS] = {3, 2, 2};
    run_bare("cpu", &bare);
    struct ssa_pool *pool = pools_hosts(MEMBERS, &(struct ssa_pool_config){.copy_every = 3});
    pools_spy(pool->members[0]->device);
    memcpy(shares, some, sizeof shares);
    pool->shares = shares;
    struct run r = run_start(pool);
    OK(ssa_trainer_run(r.trainer, 5, &(struct ssa_trainer_run){0}));
    memcpy(shares, all, sizeof shares);
    pools_plan(pool->members[0]->device, (struct pools_plan){POOLS_READ, POOLS_FAIL, 1});
    OK(ssa_trainer_run(r.trainer, 6, &(struct ssa_trainer_run){0}));
    same_parameters(r.model->replicas->models[1], r.model->replicas->models[2]);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    ck_assert_msg(strstr(pools_events, "lost 0@5"), "%s", pools_events);
    end_as_bare(r, pool);
}
END_TEST

/* Without its trainer a replica that was behind is like the others again once they are initialised, or loaded. */
START_TEST(nobody_is_behind_without_a_trainer)
{
    struct ssa_pool *pool = two_spied(NULL);
    struct run r = run_start(pool);
    share_until(r, RUN_MICROS, 3);
    ssa_trainer_destroy(r.trainer);
    r.trainer = NULL;
    ck_assert(pool->members[1]->behind);
    const double before = evaluated(r.model);
    OK(ssa_model_initialise(r.model, 5));
    pools_plan(pool->members[0]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 1});
    ck_assert(evaluated(r.model) != before);
    ck_assert_msg(strstr(pools_events, "lost 0@"), "%s", pools_events);
    run_end(r);
    ssa_pool_close(pool);
}
END_TEST

/* ---- of what there is ---- */

START_TEST(opencl)
{
    struct ssa_device_info list[8];
    struct ssa_pool *pool;
    char names[128];
    int n;
    OK(ssa_device_list(list, 8, &n));
    if (list[0].kind == SSA_DEVICE_HOST) /* where that is all that was to be tested, main() says that it was not */
        return;
    run_bare(list[0].id, &bare);
    OK(ssa_pool_open(&pool, list[0].id, NULL));
    run_pool(pool, &got);
    run_same_bits(&bare, &got);
    ssa_pool_close(pool);
    snprintf(names, sizeof names, "%s,cpu", list[0].id);
    OK(ssa_pool_open(&pool, names, NULL));
    run_pool(pool, &got);
    run_near(&bare, &got);
    ssa_pool_close(pool);
    OK(ssa_pool_open(&pool, names, &(struct ssa_pool_config){.check_every = 1})); /* rounding is no fault */
    run_pool(pool, &got);
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    ssa_pool_close(pool);
    if (n > 2 && !strcmp(list[0].name, list[1].name) && !strcmp(list[0].platform, list[1].platform)) {
        snprintf(names, sizeof names, "%s,%s", list[0].id, list[1].id);
        OK(ssa_pool_open(&pool, names, NULL));
        run_pool(pool, &got);
        run_same_bits(&bare, &got);
        ssa_pool_close(pool);
    }
}
END_TEST

static bool has_opencl(void)
{
    struct ssa_device_info list[8];
    int n;
    return !ssa_device_list(list, 8, &n) && list[0].kind != SSA_DEVICE_HOST;
}

int main(void)
{
    const char *only = getenv("CK_RUN_CASE");
    if (only && !strcmp(only, "opencl") && !has_opencl())
        return 77;
    return test_run_alone("team", (const TTest *const[]){one_or_several, one_lost_in_the_middle, resumed_by_others,
        every_device_is_measured, slow_devices_are_tried_seldom,
        who_has_no_share_rests, nobody_rests_without_copies, who_rests_goes_on, who_rests_is_asked,
        divergence_while_one_rests, who_wakes_gets_the_run_as_it_is, nobody_is_behind_without_a_trainer, opencl, NULL});
}

/* Pools: opening, jobs and deadlines, and a model on several devices. */
#include "net/replicas.h"
#include "net/internal.h"
#include "pools.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ssa_model_config small = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 40, .length = 16,
                                              .dropout = 0.1f}};

/* ---- opening ---- */

START_TEST(opens)
{
    struct ssa_pool *pool;
    struct ssa_pool_member member;
    struct ssa_device_info list[64];
    int n, cpus = 0;
    OK(ssa_pool_open(&pool, "cpu", NULL));
    ck_assert_int_eq(ssa_pool_count(pool), 1);
    OK(ssa_pool_member(pool, 0, &member));
    ck_assert(!strcmp(member.info.id, "cpu") && !member.lost && ssa_pool_device(pool, 0) && !ssa_pool_device(pool, 1));
    FAILS(ssa_pool_member(pool, 1, &member), SSA_EINVAL, "no member 1 of 1");
    ssa_pool_close(pool);
    OK(ssa_pool_open(&pool, NULL, NULL));
    ck_assert_int_eq(ssa_pool_count(pool), 1);
    ssa_pool_close(pool);
    OK(ssa_device_list(list, 64, &n));
    for (int i = 0; i < n; i++)
        cpus += list[i].kind == SSA_DEVICE_CPU;
    OK(ssa_pool_open(&pool, "all", NULL));
    ck_assert_int_eq(ssa_pool_count(pool), n - (cpus > 0));
    ssa_pool_close(pool);
    ssa_pool_close(NULL);
}
END_TEST

START_TEST(refuses)
{
    struct ssa_pool *pool;
#define BAD_POOL(names, status, words) FAILS(ssa_pool_open(&pool, names, NULL), status, words); ck_assert_ptr_null(pool)
    BAD_POOL("cpu,cpu", SSA_EINVAL, "device cpu is listed twice");
    BAD_POOL("cpu,ssacl", SSA_EINVAL, "device cpu is listed twice (\"ssacl\")");
    BAD_POOL("cpu,opencl:9:9", SSA_ENODEVICE, "no device \"opencl:9:9\"; there are:");
    BAD_POOL("", SSA_EINVAL, "empty name");
    BAD_POOL("cpu,", SSA_EINVAL, "empty name");
    BAD_POOL("cpu,all", SSA_EINVAL, "\"all\" is every device");
    FAILS(ssa_pool_open(&pool, "cpu", &(struct ssa_pool_config){.last = 2}), SSA_EINVAL, "last is 2");
#define BAD_CONFIG(words, ...) FAILS(ssa_pool_open(&pool, "cpu", &(struct ssa_pool_config){__VA_ARGS__}), SSA_EINVAL, words)
    BAD_CONFIG("check_every is -2", .check_every = -2);
    BAD_CONFIG("copy_every is -2", .copy_every = -2);
    BAD_CONFIG("deadline is -0.5", .deadline = -0.5);
    BAD_CONFIG("deadline is nan", .deadline = (double)NAN);
    FAILS(ssa_pool_open(&pool, "cpu", &(struct ssa_pool_config){.reserved = {1}}), SSA_EINVAL, "reserved");
}
END_TEST

/* ---- jobs ---- */

struct task {
    struct ssa_member *member;
    int seconds, status;
    atomic_int entered;
};

static int do_task(void *argument)
{
    struct task *t = argument;
    pools_be_slow(t->seconds);
    t->entered = ssa_member_enter(t->member);
    if (!t->entered)
        ssa_member_leave(t->member);
    return t->status ? ssa_fail(t->status, "task of %d s", t->seconds) : SSA_OK;
}

START_TEST(jobs_end_in_their_order)
{
    struct ssa_pool *pool = pools_hosts(3, NULL);
    struct task tasks[3] = {{.seconds = 50}, {.seconds = 10, .status = SSA_EIO}, {.seconds = 30}};
    struct ssa_member *m;
    int order[3] = {1, 2, 0}, status, n = 0;
    pools_set_clock();
    ck_assert_ptr_null(ssa_pool_next(pool, &status));
    for (int i = 0; i < 3; i++) {
        tasks[i].member = pool->members[i];
        ssa_member_start(pool->members[i], do_task, &tasks[i], 60);
    }
    while ((m = ssa_pool_next(pool, &status))) {
        ck_assert_int_eq(m->number, order[n++]);
        ck_assert_int_eq(status, tasks[m->number].status);
        if (status)
            ck_assert_str_eq(ssa_last_error(), "task of 10 s");
        ck_assert_int_eq(tasks[m->number].entered, SSA_OK);
    }
    ck_assert_int_eq(n, 3);
    ssa_pool_close(pool);
}
END_TEST

START_TEST(late_jobs_are_given_up)
{
    struct ssa_pool *pool = pools_hosts(2, NULL);
    struct task *late = calloc(1, sizeof *late), soon = {pool->members[1], 1, SSA_OK, -1};
    struct ssa_device *device = pool->members[0]->device;
    struct ssa_member *m;
    int status;
    pools_set_clock();
    *late = (struct task){pool->members[0], 300, SSA_OK, 1};
    ssa_member_start(pool->members[0], do_task, late, 100);
    OK(ssa_member_do(pool->members[1], do_task, &soon, 60));
    m = ssa_pool_next(pool, &status);
    ck_assert(m == pool->members[0] && m->abandoned && status == SSA_EDEVICE);
    ck_assert_ptr_nonnull(strstr(ssa_last_error(), "silent for 10"));
    ssa_member_lose(m, SSA_POOL_LOST, ssa_last_error());
    ssa_member_release(m, late, free);
    ck_assert_ptr_nonnull(strstr(pools_events, "lost 0@0 0>0 (silent"));
    ck_assert(!ssa_pool_device(pool, 0) && ssa_pool_device(pool, 1) && ssa_pool_live(pool) == 1);
    ck_assert_ptr_null(ssa_pool_next(pool, &status));
    pools_join();
    ck_assert_int_eq(late->entered, SSA_EDEVICE);
    ck_assert_ptr_null(ssa_pool_next(pool, &status));
    ssa_pool_close(pool);
    free(late);
    ssa_device_close(device);
}
END_TEST

/* ---- a model ---- */

/* Waits for the program for 300 s, then works for `seconds`. */
static int wait_then_work(void *argument)
{
    struct task *t = argument;
    int err = ssa_member_enter(t->member);
    if (err)
        return err;
    pools_be_slow(300);
    ssa_member_leave(t->member);
    pools_be_slow(t->seconds);
    t->entered = ssa_member_enter(t->member);
    if (!t->entered)
        ssa_member_leave(t->member);
    return SSA_OK;
}

START_TEST(waiting_for_the_program_is_not_late)
{
    struct ssa_pool *pool = pools_hosts(3, NULL);
    struct task *late = calloc(1, sizeof *late), soon = {pool->members[1], 90, SSA_OK, -1};
    struct ssa_device *device = pool->members[0]->device;
    struct ssa_member *m;
    int status;
    pools_set_clock();
    *late = (struct task){pool->members[0], 300, SSA_OK, 1};
    ssa_member_start(pool->members[0], wait_then_work, late, 100);
    ssa_member_start(pool->members[1], wait_then_work, &soon, 100);
    m = ssa_pool_next(pool, &status);
    ck_assert(m == pool->members[1] && status == SSA_OK && soon.entered == SSA_OK);
    m = ssa_pool_next(pool, &status);
    ck_assert(m == pool->members[0] && m->abandoned && status == SSA_EDEVICE);
    ssa_member_lose(m, SSA_POOL_LOST, ssa_last_error());
    ssa_member_release(m, late, free);
    pools_join();
    ck_assert_int_eq(late->entered, SSA_EDEVICE);
    ssa_pool_close(pool);
    free(late);
    ssa_device_close(device);
}
END_TEST

START_TEST(model_on_each)
{
    struct ssa_pool *pool = pools_hosts(2, NULL);
    struct ssa_model_limits limits = {.batch = 2};
    struct ssa_model *m, *second;
    int32_t tokens[32] = {0};
    float loss;
    OK(ssa_pool_model_create(&m, pool, &small, &limits));
    FAILS(ssa_pool_model_create(&second, pool, &small, &limits), SSA_EINVAL, "there is a model on it already");
    OK(ssa_model_initialise(m, 7));
    ck_assert_int_eq(ssa_model_config(m)->gpt.layers, 2);
    for (int i = 0; i < 2; i++) {
        const struct ssa_model *r = m->replicas->models[i];
        ck_assert_ptr_eq(ssa_model_device(r), pool->members[i]->device);
        for (int p = 0; p < ssa_model_tensors(m); p++)
            test_same_bits("initialised", ssa_model_parameter(m, p)->value, ssa_model_parameter(r, p)->value,
                           ssa_model_parameter(m, p)->count);
    }
    ck_assert_ptr_eq(ssa_model_device(m), pool->members[0]->device);
    ssa_member_lose(pool->members[0], SSA_POOL_LOST, "for the test");
    ck_assert_ptr_eq(ssa_model_device(m), pool->members[1]->device);
    ck_assert_ptr_eq(ssa_model_find(m, "norm.gain")->value.buffer->device, pool->members[1]->device);
    OK(ssa_model_forward(m, &(struct ssa_pass){.tokens = tokens, .targets = tokens}));
    OK(ssa_tensor_read(ssa_model_losses(m), &loss, 1));
    ck_assert(loss > 3 && loss < 4.5f);
    ssa_model_destroy(m);
    OK(ssa_pool_model_create(&m, pool, &small, &limits));
    ck_assert_int_eq(ssa_pool_live(pool), 1);
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

START_TEST(model_that_does_not_fit)
{
    struct ssa_pool *pool = pools_hosts(2, NULL);
    struct ssa_model_limits limits = {.batch = 2};
    struct ssa_model_config wrong = small;
    struct ssa_model *m;
    struct ssa_pool_member member;
    size_t *memory[2] = {&pool->members[0]->device->info.memory, &pool->members[1]->device->info.memory}, all = *memory[0];
    wrong.gpt.heads = 3;
    FAILS(ssa_pool_model_create(&m, pool, &wrong, &limits), SSA_EINVAL, "does not divide by heads 3");
    ck_assert_str_eq(pools_events, "");
    *memory[0] = 1000;
    OK(ssa_pool_model_create(&m, pool, &small, &limits));
    ck_assert_ptr_nonnull(strstr(pools_events, "left_out 0@0 0>0 (model: needs"));
    ck_assert_ptr_eq(ssa_model_device(m), pool->members[1]->device);
    OK(ssa_pool_member(pool, 0, &member));
    ck_assert(member.lost && strstr(member.reason, "cpu has 0.0 MiB free"));
    ssa_model_destroy(m);
    OK(ssa_pool_model_create(&m, pool, &small, &limits));
    ssa_member_lose(pool->members[1], SSA_POOL_LOST, "on purpose"); /* the model is still that of the lost one */
    ck_assert_int_gt(ssa_model_tensors(m), 0);
    ssa_model_destroy(m);
    pool->members[1]->lost = false;
    *memory[1] = 1000;
    pool->members[1]->info.memory++; /* the largest */
    FAILS(ssa_pool_model_create(&m, pool, &small, &limits), SSA_ENOMEM, "model: needs");
    ck_assert_ptr_null(m);
    *memory[0] = *memory[1] = all;
    OK(ssa_pool_model_create(&m, pool, &small, &limits));
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

int main(void)
{
    return test_run_alone("pool", (const TTest *const[]){opens, refuses, jobs_end_in_their_order, late_jobs_are_given_up,
        waiting_for_the_program_is_not_late, model_on_each, model_that_does_not_fit, NULL});
}

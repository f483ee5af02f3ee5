/* Everything on the host backend from a thread with the stack that base.h promises to be enough, in a process whose
 * threads get no more than musl's default unless they ask for it (`ulimit -s 128`). What needs more crashes. */
#include "runs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CALLER = 64 << 10, PROCESS = 128 << 10, N = 70, ROWS = 200 };

static void in_small_thread(void *(*run)(void *))
{
    pthread_attr_t how;
    pthread_t thread;
    ck_assert_int_eq(pthread_attr_init(&how), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&how, CALLER), 0);
    ck_assert_int_eq(pthread_create(&thread, &how, run, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&how);
}

/* ---- the kernels with the largest tiles ---- */

static void attend(struct ssa_device *dev, int width)
{
    const size_t count = (size_t)N * (size_t)width;
    struct ssa_plan plan = {0};
    struct ssa_tensor t[10], data = {0};
    float *x = test_values(count, 1, -1, 1);
    OK(ssa_plan_draw(&plan, &(struct ssa_sample){.kind = SSA_UNBIASED, .length = N, .keys = 30, .own_key = 1}));
    OK(ssa_plan_upload(dev, &plan, &data));
    for (int i = 0; i < 9; i++)
        t[i] = test_from(dev, x, count);
    OK(ssa_attention_fwd(dev, &(struct ssa_attention_fwd){{
        .q = t[0], .k = t[1], .v = t[2], .out = t[3], .lse = t[4], .plan = &plan, .plan_data = data, .batch = 1,
        .keys = N, .heads = 1, .width = width, .causal = 1}}));
    OK(ssa_attention_bwd(dev, &(struct ssa_attention_bwd){
        .attention = {.q = t[0], .k = t[1], .v = t[2], .out = t[3], .lse = t[4], .plan = &plan, .plan_data = data,
        .batch = 1, .keys = N, .heads = 1, .width = width, .causal = 1}, .dout = t[5], .dq = t[6], .dk = t[7],
        .dv = t[8]}));
    for (int i = 0; i < 9; i++)
        test_free(t[i], count);
    ssa_buffer_destroy(data.buffer);
    ssa_plan_finish(&plan);
    free(x);
}

static void multiply(struct ssa_device *dev)
{
    const size_t count = (size_t)ROWS * ROWS;
    struct ssa_tensor t[7];
    float *x = test_values(count, 2, -1, 1);
    for (int i = 0; i < 7; i++)
        t[i] = test_from(dev, x, count);
    OK(ssa_linear_fwd(dev, &(struct ssa_linear_fwd){.x = t[0], .w = t[1], .bias = t[2], .pre = t[3], .y = t[4],
        .rows = ROWS, .in = ROWS, .out = ROWS, .activation = SSA_ACT_GELU}));
    OK(ssa_linear_bwd(dev, &(struct ssa_linear_bwd){.x = t[0], .w = t[1], .dy = t[4], .x_pre = t[3], .dx = t[5],
        .dw = t[6], .dbias = t[2], .rows = ROWS, .in = ROWS, .out = ROWS, .activation = SSA_ACT_GELU}));
    for (int i = 0; i < 7; i++)
        test_free(t[i], count);
    free(x);
}

static void *use_operators(void *none)
{
    struct ssa_device *dev;
    OK(ssa_device_open(&dev, "cpu"));
    for (int width = 32; width <= 256; width *= 2)
        attend(dev, width);
    multiply(dev);
    ssa_device_close(dev);
    return none;
}

START_TEST(operators)
{
    for (int isa = 0; isa <= 2; isa++) {
        char text[2] = {(char)('0' + isa)};
        setenv("SSACL_ISA", text, 1);
        in_small_thread(use_operators);
    }
    unsetenv("SSACL_ISA");
}
END_TEST

/* ---- what is above them ---- */

static void *find_devices(void *none)
{
    struct ssa_device *dev;
    OK(ssa_device_open(&dev, NULL));
    FAILS(ssa_device_open(&dev, "no such thing"), SSA_ENODEVICE, "there are: cpu");
    return none;
}

static void *train_alone(void *none)
{
    char path[] = "/tmp/ssacl-stack-XXXXXX";
    struct ssa_device *dev;
    struct run r;
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    OK(ssa_device_open(&dev, "cpu"));
    OK(ssa_model_create(&r.model, dev, &run_config, &run_limits));
    run_trainer(&r, RUN_MICROS);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    OK(ssa_checkpoint_save(path, r.model, r.trainer, "{}"));
    run_end(r);
    ssa_device_close(dev);
    unlink(path);
    return none;
}

static void *train_together(void *none)
{
    struct ssa_pool *pool = pools_hosts(2, NULL);
    struct run r = run_start(pool);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
    run_end(r);
    ssa_pool_close(pool);
    return none;
}

START_TEST(training)
{
    in_small_thread(find_devices);
    in_small_thread(train_alone);
    in_small_thread(train_together);
}
END_TEST

int main(int count, char **arguments)
{
    struct rlimit limit;
    (void)count;
    setenv("SSACL_OPENCL_LIBRARY", "", 1); /* drivers and their compilers need what they need */
    setenv("SSACL_THREADS", "2", 1);
    if (!getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur != PROCESS) { /* it is read when a program starts */
        limit.rlim_cur = PROCESS;
        if (!setrlimit(RLIMIT_STACK, &limit))
            execv("/proc/self/exe", arguments);
    }
    return test_run_alone("stack", (const TTest *const[]){operators, training, NULL});
}

/* fork() in a program that uses the library: the host backend goes on in the child, what has other threads says that
 * they are gone, nothing hangs, and the parent stays as it was. */
#include "pools.h"
#include "runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 5000, PATIENCE = 120 }; /* seconds, after which a child hangs */

/* What a child finds: NULL, or what is wrong. It exits as programs do. */
typedef const char *(*child_function)(void *argument);

static void in_child(child_function run, void *argument)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        alarm(PATIENCE);
        const char *wrong = run(argument);
        if (wrong)
            fprintf(stderr, "in the child: %s: %s\n", wrong, ssa_last_error());
        exit(wrong ? 1 : 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the child's status is %#x", (unsigned)status);
}

/* The call failed in a sentence of fork(). */
static bool refused(int status)
{
    return status && strstr(ssa_last_error(), "fork()");
}

struct sum_of {
    struct ssa_device *device;
    struct ssa_tensor x, out;
};

static int add_twice(const struct sum_of *s, float *out)
{
    int err = ssa_add(s->device, &(struct ssa_add){.x = s->x, .y = s->x, .out = s->out, .count = N});
    return err ? err : ssa_tensor_read(s->out, out, N);
}

static bool is_twice(const float *out)
{
    for (int i = 0; i < N; i++)
        if (out[i] != 2.0f * (float)i)
            return false;
    return true;
}

static struct sum_of make_sum(struct ssa_device *device)
{
    struct sum_of s = {.device = device};
    struct ssa_buffer *b;
    float x[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)i;
    OK(ssa_buffer_create(&b, device, 8 * N));
    s.x = ssa_tensor_at(b, 0);
    s.out = ssa_tensor_at(b, N);
    OK(ssa_tensor_write(s.x, x, N));
    return s;
}

static void parent_is_right(const struct sum_of *s)
{
    float out[N] = {0};
    OK(add_twice(s, out));
    ck_assert(is_twice(out));
}

static const char *host_goes_on(void *argument)
{
    struct sum_of *s = argument;
    float out[N] = {0};
    for (int i = 0; i < 3; i++)
        if (add_twice(s, out) || !is_twice(out))
            return "the sum is wrong";
    ssa_buffer_destroy(s->x.buffer);
    ssa_device_close(s->device);
    return ssa_device_open(&s->device, "cpu") ? "no device of its own" : NULL;
}

START_TEST(host)
{
    struct ssa_device *device;
    setenv("SSACL_THREADS", "3", 1);
    OK(ssa_device_open(&device, "cpu"));
    struct sum_of s = make_sum(device);
    in_child(host_goes_on, &s); /* before its threads have worked, */
    parent_is_right(&s);
    in_child(host_goes_on, &s); /* and after */
    parent_is_right(&s);
    ssa_buffer_destroy(s.x.buffer);
    ssa_device_close(device);
    unsetenv("SSACL_THREADS");
}
END_TEST

static const char *trains(void *argument)
{
    struct run *r = argument;
    if (!refused(ssa_trainer_run(r->trainer, 0, &(struct ssa_trainer_run){0})))
        return "it trained, or says nothing of fork()";
    run_end(*r);
    return NULL;
}

/* A trainer has a queue of plans, and a pool its members. */
START_TEST(trainer)
{
    struct ssa_device *device;
    struct run r;
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    run_trainer(&r, RUN_MICROS);
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    in_child(trains, &r);
    OK(ssa_trainer_run(r.trainer, 3, &(struct ssa_trainer_run){0}));
    run_end(r);
    ssa_device_close(device);
}
END_TEST

struct pooled {
    struct ssa_pool *pool;
    struct run run;
};

static const char *trains_pool(void *argument)
{
    struct pooled *p = argument;
    const char *wrong = trains(&p->run);
    ssa_pool_close(p->pool);
    return wrong;
}

START_TEST(pool)
{
    struct pooled p = {.pool = pools_hosts(2, &(struct ssa_pool_config){.last = SSA_POOL_HOST})};
    p.run = run_start(p.pool);
    OK(ssa_trainer_run(p.run.trainer, 2, &(struct ssa_trainer_run){0}));
    in_child(trains_pool, &p);
    OK(ssa_trainer_run(p.run.trainer, 3, &(struct ssa_trainer_run){0}));
    run_end(p.run);
    ssa_pool_close(p.pool);
}
END_TEST

static const char *driver_is_left(void *argument)
{
    struct sum_of *s = argument;
    struct ssa_device_info list[64];
    struct ssa_device *host;
    struct ssa_buffer *b;
    float out[N];
    int n = 0;
    if (!refused(add_twice(s, out)) || !refused(ssa_tensor_read(s->x, out, N)) ||
        !refused(ssa_tensor_write(s->x, out, N)) || !refused(ssa_tensor_fill(s->x, 0, N)) ||
        !refused(ssa_tensor_copy(s->out, s->x, N)) || !refused(ssa_device_finish(s->device)) ||
        !refused(ssa_buffer_create(&b, s->device, 4 * N)))
        return "a call did not fail by fork()";
    ssa_buffer_destroy(s->x.buffer);
    ssa_device_close(s->device);
    if (!refused(ssa_device_open(&host, "opencl:0:0")) && ssa_device_list(list, 64, &n))
        return "OpenCL was opened";
    if (ssa_device_list(list, 64, &n) || n != 1 || ssa_device_open(&host, "auto"))
        return "the host backend does not serve";
    struct sum_of own = make_sum(host);
    if (add_twice(&own, out) || !is_twice(out))
        return "the host's sum is wrong";
    ssa_buffer_destroy(own.x.buffer);
    ssa_device_close(host);
    return NULL;
}

START_TEST(opencl)
{
    struct ssa_device *device;
    if (ssa_device_open(&device, "opencl"))
        return; /* there is none */
    struct sum_of s = make_sum(device);
    parent_is_right(&s);
    in_child(driver_is_left, &s);
    parent_is_right(&s);
    ssa_buffer_destroy(s.x.buffer);
    ssa_device_close(device);
}
END_TEST

int main(void)
{
    return test_run_alone("fork", (const TTest *const[]){host, trainer, pool, opencl, NULL});
}

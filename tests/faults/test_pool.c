/* A training run over two devices alike, one of which fails: every kind of OpenCL call in the first, a middle and the
 * last step; a driver that hangs; NaN, wrong values, too little memory. The run goes on to the same bits as on one
 * device, the events say what happened, and nothing is leaked.
 *
 * By default a call of each kind in every other phase; SSA_TEST_FAULTS=all: the first, a middle one and the last of
 * each phase, on both devices. */
#include "../pools.h"
#include "faults.h"
#include "training.h"
#include "ssacl/pool.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 16 }; /* eight micro-batches */

static char ids[2][32], both[65]; /* the devices, one by one and as a list */

static struct faults faults;
static struct training expected; /* of one device, without faults */
static const int shares[SSA_POOL_MOST] = {BATCH / 4, BATCH / 4}; /* whoever is slow: without one, no fault strikes */

/* ---- what a run tells ---- */

enum { CHANGES = SSA_POOL_ROLLBACK + 1 };

static struct {
    int changes[CHANGES], member; /* of the last LOST or LEFT_OUT */
    char reason[256];
    char error[1024];
    unsigned long struck; /* before all was closed */
    char leak[256];       /* a line of the log that tells of memory still held */
} seen;

static void changed(void *cookie, const struct ssa_pool_event *e)
{
    (void)cookie;
    seen.changes[e->change]++;
    if (getenv("SSA_TEST_VERBOSE"))
        fprintf(stderr, "event %d of %s after step %d, %d -> %d: %s\n", e->change, e->device, e->step, e->before,
                e->after, e->reason);
    if (e->change != SSA_POOL_LOST && e->change != SSA_POOL_LEFT_OUT)
        return;
    seen.member = e->member;
    snprintf(seen.reason, sizeof seen.reason, "%s", e->reason);
}

static void listen(void *cookie, int level, const char *line)
{
    (void)cookie;
    if (strstr(line, "still held"))
        snprintf(seen.leak, sizeof seen.leak, "%s", line);
    if (getenv("SSA_TEST_VERBOSE") && level <= SSA_LOG_WARNING)
        fprintf(stderr, "%s\n", line);
}

/* ---- runs ---- */

/* Every case, not a choice of them. */
static bool all(void)
{
    const char *wanted = getenv("SSA_TEST_FAULTS");
    return wanted && !strcmp(wanted, "all");
}

/* What each test compares with. */
static void prepare(void)
{
    struct ssa_device *device;
    if (expected.parameters)
        return;
    faults.set(NULL);
    OK(ssa_device_open(&device, ids[0]));
    for (int p = CREATE; p < PHASES; p++)
        OK(training_do(&expected, (enum training_phase)p, device, BATCH));
    training_end(&expected);
    ssa_device_close(device);
    ck_assert_int_eq(faults.alive(NULL), 0);
}

struct fault {
    const char *rules; /* NULL: none */
    int phase;         /* from its start; -1: from before the pool is opened */
};

/* From opening the pool to closing it. The status of what ended it. */
static int run(const char *names, const struct ssa_pool_config *config, const struct fault *fault, struct training *t)
{
    struct ssa_pool *pool = NULL;
    struct ssa_model_config model;
    struct ssa_model_limits limits;
    struct ssa_pool_config c = config ? *config : (struct ssa_pool_config){0};
    int err = SSA_OK;
    prepare();
    c.changed = changed;
    memset(&seen, 0, sizeof seen);
    training_model(&model, &limits);
    ck_assert_int_ge(faults.set(fault->phase < 0 ? fault->rules : NULL), 0);
    TRY(ssa_pool_open(&pool, names, &c));
    pool->shares = shares;
    for (int p = CREATE; p < PHASES && !err; p++) {
        if (fault->phase == p)
            ck_assert_int_gt(faults.set(fault->rules), 0);
        if (p == CREATE)
            TRY(ssa_pool_model_create(&t->model, pool, &model, &limits));
        err = training_do(t, (enum training_phase)p, NULL, BATCH);
    }
done:
    seen.struck = faults.struck();
    snprintf(seen.error, sizeof seen.error, "%s", err ? ssa_last_error() : ""); /* closing may have its own */
    training_end(t);
    ssa_pool_close(pool);
    return err;
}

static void check_nothing_left(const char *what)
{
    char alive[256];
    faults.describe(NULL, alive, sizeof alive);
    ck_assert_msg(!faults.alive(NULL), "%s: alive: %s", what, alive);
    ck_assert_msg(!*seen.leak, "%s: %s", what, seen.leak);
}

static void write_what(const struct fault *f, char *what, size_t size)
{
    snprintf(what, size, "%s from %s", f->rules, f->phase < 0 ? "the start" : training_phases[f->phase]);
}

/* The run survives the loss of `member`, whose reason has these words. */
static void check_survived(const struct ssa_pool_config *config, const struct fault *f, int member, const char *words)
{
    struct training t = {0};
    char what[256];
    write_what(f, what, sizeof what);
    int err = run(both, config, f, &t);
    ck_assert_msg(!err, "%s: %s: %s", what, ssa_status_name(err), seen.error);
    ck_assert_msg(training_same(&t, &expected), "%s: other results", what);
    training_forget(&t);
    const int lost = seen.changes[SSA_POOL_LOST] + seen.changes[SSA_POOL_LEFT_OUT];
    ck_assert_msg(lost == 1 && seen.member == member && strstr(seen.reason, words), "%s: %d lost, the last %d: \"%s\"",
                  what, lost, seen.member, seen.reason);
}

/* ---- every kind of call ---- */

static const struct {
    const char *function;
    int code;
} calls[] = {
    {"clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE},
    {"clEnqueueFillBuffer", CL_OUT_OF_RESOURCES},
    {"clEnqueueWriteBuffer", CL_OUT_OF_RESOURCES},
    {"clEnqueueReadBuffer", CL_OUT_OF_RESOURCES},
    {"clEnqueueCopyBuffer", CL_OUT_OF_RESOURCES},
    {"clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES},
    {"clSetKernelArg", CL_OUT_OF_HOST_MEMORY},
    {"clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY},
    {"clBuildProgram", CL_BUILD_PROGRAM_FAILURE},
    {"clCreateKernel", CL_OUT_OF_HOST_MEMORY},
    {"clFinish", CL_OUT_OF_RESOURCES},
    {"clFlush", CL_OUT_OF_RESOURCES},
    {"clWaitForEvents", CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST},
    {"clCreateCommandQueue", CL_OUT_OF_HOST_MEMORY}, /* for what is fetched */
    {"clEnqueueMarkerWithWaitList", CL_OUT_OF_RESOURCES},
    {"*", CL_DEVICE_NOT_AVAILABLE},
};
enum { CALLS = sizeof calls / sizeof *calls };

static unsigned long counted[CALLS][PHASES][2]; /* on each device */

/* No call of a run is missing in the table. */
static void check_complete(void)
{
    for (int p = CREATE; p < PHASES; p++)
        for (int d = 0; d < 2; d++) {
            unsigned long sum = 0;
            for (size_t c = 0; c < CALLS - 1; c++)
                sum += counted[c][p][d];
            ck_assert_msg(sum == counted[CALLS - 1][p][d], "%s, %s: %lu calls, of which %lu are made to fail",
                          training_phases[p], ids[d], counted[CALLS - 1][p][d], sum);
        }
}

/* Also that a pool without faults gives the bits of one device. */
static void count_calls(void)
{
    struct training t = {0};
    struct ssa_pool *pool;
    struct ssa_model_config model;
    struct ssa_model_limits limits;
    training_model(&model, &limits);
    OK(ssa_pool_open(&pool, both, &(struct ssa_pool_config){.changed = changed}));
    pool->shares = shares;
    for (int p = CREATE; p < PHASES; p++) {
        faults.set(NULL);
        if (p == CREATE)
            OK(ssa_pool_model_create(&t.model, pool, &model, &limits));
        OK(training_do(&t, (enum training_phase)p, NULL, BATCH));
        for (size_t c = 0; c < CALLS; c++)
            for (int d = 0; d < 2; d++)
                counted[c][p][d] = faults.count(calls[c].function, ids[d]);
    }
    training_end(&t);
    ssa_pool_close(pool);
    ck_assert(training_same(&t, &expected));
    training_forget(&t);
    check_nothing_left("no fault");
}

/* One call fails, with `onwards` every later one too. Of an evaluation, whose units go to who is free, a late one may
 * not come about. */
static void check_call(size_t call, int phase, int device, unsigned long nth, bool onwards)
{
    struct training t = {0};
    char rule[128], what[256];
    snprintf(rule, sizeof rule, "fail=%s,nth=%lu,code=%d,device=%s%s", calls[call].function, nth, calls[call].code,
             ids[device], onwards ? ",onwards" : "");
    const struct fault f = {rule, phase};
    write_what(&f, what, sizeof what);
    int err = run(both, NULL, &f, &t);
    int lost = seen.changes[SSA_POOL_LOST] + seen.changes[SSA_POOL_LEFT_OUT];
    const char *words = *calls[call].function == '*' ? "CL_DEVICE_NOT_AVAILABLE" : calls[call].function;
    check_nothing_left(what);
    if (err) /* stopped cleanly: allowed before there is a run, and after it */
        ck_assert_msg((phase == CREATE || phase == FINISH) && strstr(seen.error, words), "%s: %s: %s", what,
                      ssa_status_name(err), seen.error);
    else
        ck_assert_msg(training_same(&t, &expected), "%s: other results", what);
    if (!err && seen.struck)
        ck_assert_msg(lost == 1 && seen.member == device && strstr(seen.reason, words), "%s: %d lost, the last %d: \"%s\"",
                      what, lost, seen.member, seen.reason);
    training_forget(&t);
    ck_assert_msg(err || seen.struck || phase == FINISH, "%s: did not come about", what);
    fputc(err ? 'e' : seen.struck ? '.' : '-', stderr);
}

static void sweep_phase(size_t call, int phase)
{
    static int turn; /* which of two devices, which call of the phase */
    if (!all() && (call + (size_t)phase) % 2) /* each run of these takes a tenth of a second, and there are hundreds */
        return;
    for (int d = 0; d < 2; d++) {
        const unsigned long n = counted[call][phase][d], which[] = {1, n / 2 + 1, n};
        if (!n || (!all() && d != turn % 2))
            continue;
        for (int i = 0; i < 3; i++)
            if (all() ? !i || which[i] > which[i - 1] : i == turn / 2 % 3)
                check_call(call, phase, d, which[i], i == 1);
    }
    turn++;
}

START_TEST(calls_that_fail)
{
    prepare();
    fprintf(stderr, "%-26s of device 0 and 1 in: create, first, second, middle, last step, finish\n"
                    ". survived, e an error in words, - did not come about\n", "calls");
    count_calls();
    check_complete();
    for (size_t c = 0; c < CALLS; c++) {
        fprintf(stderr, "%-26s", calls[c].function);
        for (int p = CREATE; p < PHASES; p++) {
            fprintf(stderr, " %lu+%lu", counted[c][p][0], counted[c][p][1]);
            if (p != SECOND_STEP) /* first, a middle, last */
                sweep_phase(c, p);
        }
        fputc('\n', stderr);
    }
}
END_TEST

/* ---- devices that cannot be opened ---- */

START_TEST(opening)
{
    static const char *const functions[] = {"clCreateContext", "clCreateCommandQueue", "clCreateBuffer",
                                            "clGetCommandQueueInfo"};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        for (int d = 0; d < 2; d++) {
            char rule[96];
            struct training t = {0};
            struct ssa_pool *pool;
            if (!all() && d != (int)i % 2)
                continue;
            snprintf(rule, sizeof rule, "fail=%s,device=%s", functions[i], ids[d]);
            faults.set(rule);
            FAILS(ssa_pool_open(&pool, both, NULL), SSA_EDEVICE, functions[i]);
            ck_assert_ptr_null(pool);
            OK(run("all", NULL, &(struct fault){rule, -1}, &t));
            ck_assert_msg(seen.changes[SSA_POOL_LEFT_OUT] == 1 && seen.member == d && strstr(seen.reason, functions[i]),
                          "%s: %d left out, the last %d: \"%s\"", rule, seen.changes[SSA_POOL_LEFT_OUT], seen.member,
                          seen.reason);
            ck_assert(training_same(&t, &expected));
            training_forget(&t);
            check_nothing_left(rule);
    prepare();
        }
}
END_TEST

/* ---- memory ---- */

START_TEST(memory)
{
    char rule[96];
    for (int d = 0; d < 2; d++) {
        snprintf(rule, sizeof rule, "memory=60000,device=%s", ids[d]);
        check_survived(NULL, &(struct fault){rule, -1}, d, "needs");
        check_nothing_left(rule);
        for (size_t room = 4096; room < 200000; room *= all() ? 2 : 5) { /* from the first buffer to the trainer's last */
            struct training t = {0};
            snprintf(rule, sizeof rule, "room=%zu,device=%s", room, ids[d]);
            OK(run(both, NULL, &(struct fault){rule, -1}, &t));
            ck_assert(training_same(&t, &expected));
            training_forget(&t);
            ck_assert_int_eq(seen.changes[SSA_POOL_LOST] + seen.changes[SSA_POOL_LEFT_OUT], seen.struck > 0);
            check_nothing_left(rule);
        }
    }
    struct training t = {0};
    FAILS(run(both, NULL, &(struct fault){"memory=60000", -1}, &t), SSA_ENOMEM, "needs");
    check_nothing_left("memory=60000 everywhere");
    prepare();
}
END_TEST

/* ---- results that are wrong ---- */

START_TEST(not_a_number)
{
    static const char *const kernels[] = {"cross_entropy,parameter=4", "cross_entropy,parameter=6",
                                          "embedding_bwd_table,parameter=4", "gemm_ta,parameter=4"};
    char rule[128];
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        for (int p = FIRST_STEP; p <= LAST_STEP; p += LAST_STEP - FIRST_STEP) {
            int d = (int)i % 2;
            if (!all() && (i / 2 % 2) != (p == LAST_STEP))
                continue;
            snprintf(rule, sizeof rule, "wrong=nan,kernel=%s,device=%s", kernels[i], ids[d]);
            check_survived(NULL, &(struct fault){rule, p}, d, "not a number");
            check_nothing_left(rule);
    prepare();
        }
}
END_TEST

START_TEST(wrong_values)
{
    static const struct {
        const char *kernel, *words;
        int device; /* -1: either */
    } wrong[] = {{"cross_entropy,parameter=4", "its loss in", -1},
                 {"cross_entropy,parameter=6", "its gradient of", -1},
                 {"embedding_bwd_table,parameter=4", "its gradient of embed.weight in", -1},
                 {"gemm,parameter=4", "its ", -1},
                 {"adamw,parameter=0", "its ", 1}}; /* what the first device's parameters are is taken for right */
    char rule[128];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int d = 0; d < 2; d++) {
            if (wrong[i].device >= 0 ? d != wrong[i].device : !all() && d != (int)i % 2)
                continue;
            snprintf(rule, sizeof rule, "wrong=flip,kernel=%s,onwards,device=%s", wrong[i].kernel, ids[d]);
            check_survived(&(struct ssa_pool_config){.check_every = 1}, &(struct fault){rule, SECOND_STEP}, d,
                           wrong[i].words);
            check_nothing_left(rule);
        }
}
END_TEST

/* ---- the last device ---- */

static void check_close(const struct training *t, const char *what)
{
    for (int i = 0; i < TRAINING_STEPS; i++)
        ck_assert_msg(fabsf(t->losses[i] - expected.losses[i]) < 1e-3f, "%s: loss %d is %g, not %g", what, i,
                      (double)t->losses[i], (double)expected.losses[i]);
}

START_TEST(last_device)
{
    const char *const names[] = {both, ids[0]};
    for (int p = FIRST_STEP; p < FINISH; p++)
        for (int n = 0; n < 2; n++)
            for (int every = 0; every < 2; every++) {
                if (!all() && (n != p % 2 || every != p / 2 % 2))
                    continue;
                struct training t = {0};
                const struct fault f = {p == FIRST_STEP ? "fail=clEnqueueND*,onwards" : "fail=*,onwards", p};
                char what[96];
                snprintf(what, sizeof what, "%s lost in the %s, a copy every %d", names[n], training_phases[p], every);
                int err = run(names[n], &(struct ssa_pool_config){.copy_every = every}, &f, &t);
                ck_assert_msg(!err, "%s: %s", what, seen.error);
                check_close(&t, what);
                training_forget(&t);
                ck_assert_msg(seen.changes[SSA_POOL_LOST] == (n ? 1 : 2) && seen.changes[SSA_POOL_JOINED] == 1 &&
                              seen.changes[SSA_POOL_ROLLBACK] == 1, "%s: %d lost, %d joined, %d rolled back", what,
                              seen.changes[SSA_POOL_LOST], seen.changes[SSA_POOL_JOINED], seen.changes[SSA_POOL_ROLLBACK]);
                check_nothing_left(what);
    prepare();
            }
}
END_TEST

/* Goes on from the checkpoint that was written when the last device was lost, on one that works. */
static void resume(const char *path)
{
    struct ssa_checkpoint *c;
    struct ssa_device *device;
    struct training t = {0};
    OK(ssa_checkpoint_open(&c, path));
    OK(ssa_device_open(&device, ids[0]));
    OK(training_do(&t, CREATE, device, BATCH));
    OK(ssa_checkpoint_load(c, t.model, t.trainer));
    const int step = t.resumed = ssa_trainer_steps_done(t.trainer);
    memcpy(t.losses, expected.losses, sizeof t.losses); /* those before it */
    for (int p = FIRST_STEP + step; p <= FINISH; p++)
        OK(training_do(&t, (enum training_phase)p, device, BATCH));
    ck_assert_msg(training_same(&t, &expected), "resumed from step %d: other results", step);
    ssa_checkpoint_close(c);
    training_forget(&t);
    ssa_device_close(device);
}

/* Before there is a copy there is nothing to go on from. */
START_TEST(lost_at_once)
{
    struct training t = {0};
    const struct fault f = {"fail=*,onwards,code=-2", FIRST_STEP};
    ck_assert_int_eq(run(both, NULL, &f, &t), SSA_EDEVICE);
    ck_assert_msg(strstr(seen.error, "no device of the pool is left") && strstr(seen.error, "no copy"), "%s", seen.error);
    training_forget(&t);
    check_nothing_left("lost at once");
}
END_TEST

START_TEST(stops_with_a_checkpoint)
{
    char path[] = "/tmp/ssacl-faults-XXXXXX";
    struct ssa_model_config model;
    struct ssa_model_limits limits;
    struct ssa_pool *pool;
    struct training t = {0};
    prepare();
    close(mkstemp(path));
    training_model(&model, &limits);
    for (int every = 0; every < 3; every++) {
        faults.set(NULL);
        OK(ssa_pool_open(&pool, both, &(struct ssa_pool_config){.last = SSA_POOL_STOP, .copy_every = every}));
        OK(ssa_pool_model_create(&t.model, pool, &model, &limits));
        for (int p = CREATE; p < LAST_STEP; p++)
            OK(training_do(&t, (enum training_phase)p, NULL, BATCH));
        faults.set("fail=*,onwards,code=-2");
        FAILS(training_do(&t, LAST_STEP, NULL, BATCH), SSA_EDEVICE, "CL_DEVICE_NOT_AVAILABLE");
        OK(ssa_checkpoint_save(path, t.model, t.trainer, NULL));
        training_forget(&t);
        ssa_pool_close(pool);
        check_nothing_left("stopped");
        faults.set(NULL);
        resume(path);
    }
    remove(path);
    prepare();
}
END_TEST

/* ---- drivers that hang ---- */

START_TEST(hangs)
{
    static const char *const functions[] = {"clEnqueueNDRangeKernel", "clEnqueueReadBuffer", "clEnqueueWriteBuffer",
                                            "clSetKernelArg", "clWaitForEvents"};
    char rule[128];
    prepare();
    faults.hang_in(pools_hang);
    pools_set_clock();
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        int d = (int)i % 2, p = i ? LAST_STEP : FIRST_STEP; /* where it may build, it has ten times as long */
        snprintf(rule, sizeof rule, "hang=%s,device=%s", functions[i], ids[d]);
        check_survived(&(struct ssa_pool_config){.deadline = 30}, &(struct fault){rule, p}, d, "silent");
        pools_join(); /* it comes back, when all is long over, and harms nobody */
    }
}
END_TEST

int main(void)
{
    setenv("SSACL_CACHE", "0", 1);    /* every run makes the same calls */
    setenv("SSACL_SELFTEST", "0", 1); /* and none belongs to a self-test */
    if (!faults_devices(ids))
        return 77;
    snprintf(both, sizeof both, "%s,%s", ids[0], ids[1]);
    if (!faults_find(&faults))
        return EXIT_FAILURE;
    ssa_set_log(listen, NULL);
    int failed = test_run_alone("fault_pool", (const TTest *const[]){calls_that_fail, opening, memory, not_a_number,
        wrong_values, last_device, lost_at_once, stops_with_a_checkpoint, hangs, NULL}); /* hangs last: it leaks on purpose */
    training_forget(&expected);
    return failed;
}

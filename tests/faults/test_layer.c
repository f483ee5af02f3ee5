/* The layer itself: what it does to two devices, and which rules it refuses. */
#include "../harness.h"
#include "faults.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 1 << 20 };

static struct faults faults;
static char ids[2][32];
static struct ssa_device *devices[2];
static struct ssa_buffer *buffers[2];

/* These rules for one of the devices. */
static void set(const char *rules, int d)
{
    char text[96];
    snprintf(text, sizeof text, "%s,device=%s", rules, ids[d]);
    ck_assert_int_eq(faults.set(text), 1);
}

/* A clock that is a second on at every look, and what was slept by it. */
static double time_here, slept;

static double look(void)
{
    return time_here++;
}

static void sleep_here(double seconds)
{
    slept += seconds;
    time_here += seconds;
}

/* 2x over the whole buffer, so many times. */
static int work(int d, int times)
{
    struct ssa_tensor x = ssa_tensor_at(buffers[d], 0);
    int err = SSA_OK;
    for (int i = 0; i < times && !err; i++)
        err = ssa_add(devices[d], &(struct ssa_add){.x = x, .y = x, .out = x, .count = COUNT});
    return err ? err : ssa_device_finish(devices[d]);
}

static void open_both(void)
{
    faults.set(NULL);
    for (int d = 0; d < 2; d++) {
        OK(ssa_device_open(&devices[d], ids[d]));
        OK(ssa_buffer_create(&buffers[d], devices[d], 4 * COUNT));
        OK(ssa_tensor_fill(ssa_tensor_at(buffers[d], 0), 1, COUNT));
        OK(work(d, 1)); /* built */
    }
}

static void close_both(void)
{
    for (int d = 0; d < 2; d++) {
        ssa_buffer_destroy(buffers[d]);
        ssa_device_close(devices[d]);
    }
    ck_assert_int_eq(faults.alive(NULL), 0);
    ck_assert_uint_eq(faults.bytes(NULL), 0);
}

/* With a clock of the test's own. */
static void open_with_clock(void)
{
    open_both();
    faults.clock(look, sleep_here);
    slept = 0;
}

static void close_with_clock(void)
{
    faults.clock(NULL, NULL);
    close_both();
}

START_TEST(rules)
{
    static const char *const bad[] = {"fails=clFinish", "fail=clNoSuch", "fail", "slow=fast", "slow=0", "wrong=odd",
        "fail=clFinish,nth=0", "fail=clFinish,nth=x", "fail=clFinish,code=0", "fail=clFinish,device=1", "fail=clFinish,later",
        "fail=clFinish,onwards=1", "hang=clFinish,seconds=long", "memory=1;what=2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(faults.set(bad[i]) == -1, "\"%s\" is accepted", bad[i]);
    ck_assert_int_eq(faults.set(""), 0);
    ck_assert_int_eq(faults.set("fail=clEnqueue*,nth=3,code=-4;slow=2,device=opencl:0:1,after=1.5"), 2);
}
END_TEST

START_TEST(one_device_only)
{
    open_both();
    set("fail=clEnqueueNDRangeKernel,nth=2", 1);
    OK(work(0, 3));
    FAILS(work(1, 3), SSA_EDEVICE, "clEnqueueNDRangeKernel");
    OK(work(1, 3)); /* not onwards */
    ck_assert_uint_eq(faults.count("clEnqueueNDRangeKernel", ids[0]), 3);
    ck_assert_uint_eq(faults.count("clEnqueueNDRangeKernel", ids[1]), 5);
    ck_assert_uint_eq(faults.count("clEnqueueNDRange*", NULL), 8);
    ck_assert_uint_eq(faults.struck(), 1);
    faults.set("fail=clFinish,nth=2,onwards");
    OK(ssa_device_finish(devices[0]));
    for (int i = 0; i < 2; i++)
        FAILS(ssa_device_finish(devices[i]), SSA_EDEVICE, "clFinish");
    faults.set(NULL);
    ck_assert_uint_eq(faults.bytes(ids[1]), faults.bytes(ids[0]));
    ck_assert_uint_ge(faults.bytes(ids[1]), COUNT * 4);
    close_both();
}
END_TEST

/* Four times as slow: a kernel of a second, as it is measured, is followed by three of sleep. */
START_TEST(slow)
{
    open_with_clock();
    set("slow=4", 1);
    OK(work(1, 40));
    ck_assert_double_eq(slept, 120);
    ck_assert_uint_eq(faults.struck(), 40);
    OK(work(0, 2));
    ck_assert_double_eq(slept, 120);
    ck_assert_uint_eq(faults.struck(), 40);
    close_with_clock();
}
END_TEST

START_TEST(hangs_for_a_while)
{
    open_with_clock();
    set("hang=clFinish,seconds=0.5", 1);
    OK(ssa_device_finish(devices[0]));
    ck_assert_double_eq(slept, 0);
    OK(ssa_device_finish(devices[1]));
    ck_assert_double_eq(slept, 0.5);
    OK(ssa_device_finish(devices[1])); /* once */
    ck_assert_double_eq(slept, 0.5);
    close_with_clock();
}
END_TEST

/* Not before so many seconds; each look is one. */
START_TEST(later)
{
    open_with_clock();
    set("fail=clFinish,onwards,after=3", 1);
    for (int i = 0; i < 2; i++)
        OK(ssa_device_finish(devices[1]));
    FAILS(ssa_device_finish(devices[1]), SSA_EDEVICE, "clFinish");
    close_with_clock();
}
END_TEST

START_TEST(computes_wrongly)
{
    float x[20];
    open_both();
    OK(ssa_tensor_fill(ssa_tensor_at(buffers[0], 0), 1, COUNT));
    faults.set("wrong=flip,kernel=add,parameter=4,nth=2");
    OK(work(0, 2));
    OK(ssa_tensor_read(ssa_tensor_at(buffers[0], 0), x, 20));
    ck_assert(x[0] == -3 && x[15] == -3 && x[16] == 4);
    faults.set("wrong=nan,kernel=a*,parameter=4");
    OK(work(0, 1));
    OK(ssa_tensor_read(ssa_tensor_at(buffers[0], 0), x, 20));
    ck_assert(isnan(x[0]) && isnan(x[15]) && x[16] == 8);
    faults.set("wrong=nan,kernel=add,parameter=5"); /* no buffer */
    FAILS(work(0, 1), SSA_EDEVICE, "CL_INVALID_ARG_VALUE");
    close_both();
}
END_TEST

START_TEST(little_memory)
{
    struct ssa_device *d;
    struct ssa_buffer *b;
    struct ssa_device_info info;
    set("memory=1000000", 1);
    OK(ssa_device_open(&d, ids[1]));
    OK(ssa_device_info(d, &info));
    ck_assert(info.memory == 1000000 && info.max_allocation == 1000000);
    FAILS(ssa_buffer_create(&b, d, 1000004), SSA_ENOMEM, "needs");
    ssa_device_close(d);
    OK(ssa_device_open(&d, ids[0]));
    OK(ssa_device_info(d, &info));
    ck_assert_uint_gt(info.memory, 1000000);
    set("room=1000000", 0);
    FAILS(ssa_buffer_create(&b, d, 1000004), SSA_ENOMEM, "CL_MEM_OBJECT_ALLOCATION_FAILURE");
    ck_assert_uint_eq(faults.struck(), 1);
    ssa_device_close(d);
}
END_TEST

START_TEST(describes)
{
    char text[256];
    open_both();
    faults.describe(ids[1], text, sizeof text);
    ck_assert_str_eq(text, "1 context, 1 queue, 2 buffers (4194368 bytes), 1 program, 1 kernel");
    close_both();
    faults.describe(NULL, text, sizeof text);
    ck_assert_str_eq(text, "");
}
END_TEST

int main(void)
{
    setenv("SSACL_CACHE", "0", 1);
    setenv("SSACL_SELFTEST", "0", 1);
    if (!faults_devices(ids))
        return 77;
    if (!faults_find(&faults))
        return EXIT_FAILURE;
    return test_run_alone("fault_layer", (const TTest *const[]){rules, one_device_only, slow, hangs_for_a_while, later,
        computes_wrongly, little_memory, describes, NULL});
}

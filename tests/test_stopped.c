/* Time in which the process did not run, and devices that are slow but alone: nobody is lost over either. */
#include "clock.h"
#include "impl.h"
#include "runs.h"

#include <stdlib.h>
#include <string.h>

static struct result bare, got;

/* Hosts, of which all but the first `hosts` pass for devices of another kind. */
static struct ssa_pool *make_pool(int count, int hosts)
{
    struct ssa_pool *pool = pools_hosts(count, &(struct ssa_pool_config){.deadline = 30});
    for (int i = 0; i < count; i++) {
        pools_spy(pool->members[i]->device);
        if (i >= hosts)
            pool->members[i]->info.kind = SSA_DEVICE_GPU;
    }
    return pool;
}

/* ---- the clock ---- */

START_TEST(a_stop_is_a_second)
{
    double start = ssa_awake();
    pools_skip(0.9);
    ck_assert(ssa_awake() - start >= 0.9);
    start = ssa_awake();
    for (int i = 0; i < 5; i++) {
        pools_skip(480);
        ssa_awake();
    }
    ck_assert(ssa_awake() - start >= 5 * SSA_STEP && ssa_awake() - start < 30);
}
END_TEST

/* ---- jobs ---- */

static int stopped(void *minutes)
{
    pools_skip(60 * *(double *)minutes);
    return SSA_OK;
}

static int slow(void *seconds)
{
    pools_be_slow(*(double *)seconds);
    return SSA_OK;
}

static int hang(void *nothing)
{
    (void)nothing;
    pools_hang();
    return SSA_OK;
}

static int after_the_stop(void *minutes)
{
    int err = stopped(minutes);
    pools_be_slow(20); /* of its 30 */
    return err;
}

START_TEST(a_stopped_process_loses_no_device)
{
    struct ssa_pool *pool = make_pool(2, 0);
    double minutes = 8;
    for (int i = 0; i < 10; i++)
        OK(ssa_member_do(pool->members[i % 2], i < 5 ? stopped : after_the_stop, &minutes, 30));
    ck_assert_int_eq(ssa_pool_live(pool), 2);
    ssa_pool_close(pool);
}
END_TEST

/* Silence that counts when it is over, and when the member was given up. */
static double silence(struct ssa_pool *pool, double seconds)
{
    double start = ssa_seconds();
    int status;
    ssa_member_start(pool->members[0], seconds > 0 ? slow : hang, &seconds, 30);
    ck_assert_ptr_nonnull(ssa_pool_next(pool, &status));
    ck_assert_msg(!status == (seconds > 0), "%s", ssa_last_error());
    double end = ssa_seconds();
    if (status)
        pools_join();
    return end - start;
}

START_TEST(the_only_device_has_longer)
{
    struct ssa_pool *pool = make_pool(1, 0);
    double given_up;
    silence(pool, 200);
    given_up = silence(pool, 0);
    ck_assert_msg(given_up >= 300 && given_up < 320, "given up after %.3g s", given_up);
    ssa_pool_close(pool);
    pool = make_pool(2, 0);
    given_up = silence(pool, 0);
    ck_assert_msg(given_up >= 30 && given_up < 50, "given up after %.3g s", given_up);
    ssa_pool_close(pool);
}
END_TEST

START_TEST(the_host_backend_alone_is_waited_for)
{
    struct ssa_pool *pool = make_pool(1, 1);
    silence(pool, 20000);
    ck_assert_int_eq(ssa_pool_live(pool), 1);
    ssa_pool_close(pool);
}
END_TEST

/* ---- training ---- */

START_TEST(a_run_goes_on)
{
    run_bare("cpu", &bare);
    for (int count = 1; count <= 2; count++)
        for (int at = 1; at <= 81; at += 40) {
            struct ssa_pool *pool = make_pool(count, 0);
            pools_plan(pool->members[count - 1]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_STOP, at});
            run_pool(pool, &got);
            ck_assert_msg(ssa_pool_live(pool) == count, "%s", pools_events);
            run_same_bits(&bare, &got);
            ssa_pool_close(pool);
        }
}
END_TEST

int main(void)
{
    pools_set_clock();
    return test_run_alone("stopped", (const TTest *const[]){a_stop_is_a_second, a_stopped_process_loses_no_device,
        the_only_device_has_longer, the_host_backend_alone_is_waited_for, a_run_goes_on, NULL});
}

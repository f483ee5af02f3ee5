/* Shares of a step over two devices, by a clock of the test's own, so that what is right is known: from the start,
 * after one becomes slow in the middle of the run, and after it is fast again. */
#include "pools.h"
#include "runs.h"

#include <math.h>

enum { MICROS = 32, STEPS = 60, SETTLED = 10 };

/* From now on each micro-batch of a member takes so many seconds, less than a millisecond off. */
static void set_pace(const struct ssa_pool *pool, int member, double seconds)
{
    pools_plan(pool->members[member]->device,
               (struct pools_plan){POOLS_LAUNCH, POOLS_SLOW, 1, .kernel = "cross_entropy", .seconds = seconds});
}

/* Within 10% and half a micro-batch. */
static bool is_right(const struct ssa_pool *pool, double first)
{
    for (int i = 0; i < 2; i++) {
        double want = i ? MICROS - first : first;
        if (fabs(pool->members[i]->share - want) > 0.1 * want + 0.5)
            return false;
    }
    return true;
}

/* The shares become right, stay so for three steps in a row, and the devices' speeds are told. */
static void check_settles(struct ssa_trainer *t, const struct ssa_pool *pool, const double seconds[2], const char *when)
{
    const double right = MICROS * seconds[1] / (seconds[0] + seconds[1]);
    int row = 0, step = 0;
    for (; step < SETTLED + 2 && row < 3; step++) {
        OK(ssa_trainer_step(t));
        row = is_right(pool, right) ? row + 1 : 0;
    }
    ck_assert_msg(row == 3, "%s, %g and %g s: shares %d and %d of %d, not %.1f and %.1f, after %d steps", when,
                  seconds[0], seconds[1], pool->members[0]->share, pool->members[1]->share, MICROS, right,
                  MICROS - right, step);
    for (int i = 0; i < 2; i++) {
        struct ssa_pool_member m;
        OK(ssa_pool_member(pool, i, &m));
        ck_assert_double_eq_tol(m.rate * seconds[i], run_config.gpt.length, 0.1 * run_config.gpt.length);
    }
}

static void check_shares(double factor)
{
    const double alike[2] = {1, 1}, unlike[2] = {1, factor};
    const struct ssa_pool_config patient = {.deadline = 1000}; /* becoming slow is no silence */
    struct ssa_pool *pool = pools_hosts(2, &patient);
    const struct ssa_stage stage = {.steps = STEPS, .lr = 0.01f};
    const struct ssa_train_config training = {.batch = MICROS, .seed = 1, .stages = &stage, .stage_count = 1};
    const struct ssa_data data = run_data();
    struct run r;
    for (int i = 0; i < 2; i++) {
        pools_spy(pool->members[i]->device);
        set_pace(pool, i, 1);
    }
    OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    OK(ssa_model_initialise(r.model, 1));
    OK(ssa_trainer_create(&r.trainer, r.model, &training, &data));
    check_settles(r.trainer, pool, alike, "at the start");
    set_pace(pool, 1, factor);
    check_settles(r.trainer, pool, unlike, "slowed");
    set_pace(pool, 1, 1);
    check_settles(r.trainer, pool, alike, "fast again");
    run_end(r);
    ssa_pool_close(pool);
}

START_TEST(follow_the_devices)
{
    pools_set_clock();
    for (double factor = 1.5; factor < 20; factor *= 2)
        check_shares(factor);
}
END_TEST

int main(void)
{
    return test_run_alone("shares", (const TTest *const[]){follow_the_devices, NULL});
}

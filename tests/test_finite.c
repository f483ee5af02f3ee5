/* Gradients and parameters that are not finite: a run stops in a sentence, with parameters, moments and files as they
 * were; on a bare device, in pools, over ranks. */
#include "net/replicas.h"
#include "net/internal.h"
#include "runs.h"
#include "threads.h"
#include "checkpoint/checkpoint.h"
#include "train/team/team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the operators ---- */

START_TEST(a_step_that_is_not_finite_is_not_taken)
{
    const float bad[] = {INFINITY, NAN, -NAN}, zero[20] = {0};
    FOR_DEVICES (dev)
        for (int i = 0; i < 3; i++)
            for (int clip = 0; clip < 2; clip++) {
                float w[20], g[20], seen[20];
                for (int e = 0; e < 20; e++)
                    w[e] = (float)e, g[e] = e == 7 ? bad[i] : 1;
                struct ssa_adamw a = {.w = test_from(dev, w, 20), .g = test_from(dev, g, 20), .m = test_from(dev, zero, 20),
                                      .v = test_from(dev, zero, 20), .sumsq = test_from(dev, &bad[i], 1), .count = 20,
                                      .lr = 0.1f, .decay = 0.1f, .clip = (float)clip, .step = 1,
                                      .average = test_from(dev, zero, 20), .ema = 0.5f};
                OK(ssa_adamw(dev, &a));
                OK(ssa_tensor_read(a.w, seen, 20));
                ck_assert_mem_eq(seen, w, sizeof w);
                OK(ssa_tensor_read(a.m, seen, 20));
                ck_assert_mem_eq(seen, zero, sizeof zero);
                OK(ssa_tensor_read(a.v, seen, 20));
                ck_assert_mem_eq(seen, zero, sizeof zero);
                OK(ssa_tensor_read(a.average, seen, 20));
                ck_assert_mem_eq(seen, zero, sizeof zero);
                test_free(a.average, 20);
                test_free(a.w, 20), test_free(a.g, 20), test_free(a.m, 20), test_free(a.v, 20), test_free(a.sumsq, 1);
            }
}
END_TEST

START_TEST(a_sum_remembers)
{
    const float before[] = {3e38f, INFINITY, NAN}, ones[33] = {1, 1, 1}, five = 5;
    FOR_DEVICES (dev)
        for (int i = 0; i < 3; i++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                struct ssa_sum a = {.x = test_from(dev, ones, 33), .out = test_from(dev, &five, 1), .count = 33,
                                    .before = test_from(dev, &before[i], 1), .accumulate = accumulate};
                float out;
                OK(ssa_sum(dev, &a));
                OK(ssa_tensor_read(a.out, &out, 1));
                ck_assert_msg(i ? !isfinite(out) : out == (accumulate ? 8 : 3), "%g after %g", (double)out, (double)before[i]);
                test_free(a.x, 33), test_free(a.out, 1), test_free(a.before, 1);
            }
}
END_TEST

/* ---- training ---- */

static char path[] = "/tmp/test_finite.XXXXXX";

/* What a checkpoint would have. */
struct state {
    float values[3][16384];
    size_t count;
};

static struct ssa_model *replica(struct run r, int i)
{
    return r.model->replicas ? r.model->replicas->models[i] : i ? NULL : r.model;
}

static const struct ssa_worker *worker_of(struct run r, int i)
{
    return r.trainer->team->workers[i];
}

static int replicas(struct run r)
{
    return r.model->replicas ? r.model->replicas->pool->count : 1;
}

static void read_state(struct run r, int i, struct state *s)
{
    const struct ssa_model *m = replica(r, i);
    s->count = 0;
    for (int p = 0; p < ssa_model_tensors(m); p++) {
        const struct ssa_parameter *q = ssa_model_parameter(m, p);
        ck_assert_uint_le(s->count + q->count, 16384);
        for (int kind = 0; kind < 3; kind++)
            OK(ssa_tensor_read(kind ? ssa_worker_moment(worker_of(r, i), q, kind) : q->value, s->values[kind] + s->count,
                               q->count));
        s->count += q->count;
    }
}

static void same_state(const struct state *a, const struct state *b)
{
    for (int kind = 0; kind < 3; kind++)
        ck_assert_msg(!memcmp(a->values[kind], b->values[kind], a->count * sizeof(float)), "%s differ",
                      kind ? "moments" : "parameters");
}

/* The last norm's first gain. With 1e25 the loss is large, and the gradient's squares are past what float has. */
static float set_gain(struct run r, float value)
{
    float old = 0;
    for (int i = 0; i < replicas(r); i++) {
        struct ssa_tensor gain = ssa_model_find(replica(r, i), "norm.gain")->value;
        OK(ssa_tensor_read(gain, &old, 1));
        OK(ssa_tensor_write(gain, &value, 1));
    }
    return old;
}

/* Bare, or of a pool of one or two, of which none rests. */
static struct run start(int members, struct ssa_pool **pool, struct ssa_device **device)
{
    static const int shares[][2] = {{RUN_MICROS}, {RUN_MICROS - 3, 3}};
    struct run r;
    *pool = NULL;
    *device = NULL;
    if (members) {
        *pool = pools_hosts(members, &(struct ssa_pool_config){.copy_every = 3});
        (*pool)->shares = shares[members - 1];
        return run_start(*pool);
    }
    OK(ssa_device_open(device, "cpu"));
    OK(ssa_model_create(&r.model, *device, &run_config, &run_limits));
    run_trainer(&r, RUN_MICROS);
    return r;
}

static void end(struct run r, struct ssa_pool *pool, struct ssa_device *device)
{
    run_end(r);
    ssa_pool_close(pool);
    ssa_device_close(device);
}

static int saved_step(void)
{
    struct ssa_checkpoint *c;
    int step = -1;
    if (ssa_checkpoint_open(&c, path) == SSA_OK)
        step = ssa_checkpoint_step(c);
    ssa_checkpoint_close(c);
    return step;
}

/* After two good steps comes one that is not, whether or not anybody looks at once. */
static void diverge(int members, bool by_hand)
{
    static struct state before, after;
    struct ssa_pool *pool;
    struct ssa_device *device;
    struct run r = start(members, &pool, &device);
    float loss, norm;
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
    float gain = set_gain(r, 1e25f);
    read_state(r, 0, &before);
    for (int i = 0; by_hand && i < 4; i++)
        OK(ssa_trainer_step(r.trainer));
    if (by_hand) {
        OK(ssa_trainer_losses(r.trainer, 1, &loss, &norm));
        ck_assert(isfinite(loss) && !isfinite(norm));
        for (int again = 0; again < 2; again++)
            OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL)); /* of the last step that was taken */
    } else {
        FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_ENUMERIC,
              "the norm of the gradient of step 3 is not finite, so that it was not taken; lower the learning rate (now ");
    }
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 2);
    for (int i = 0; i < replicas(r); i++) {
        read_state(r, i, &after);
        same_state(&before, &after);
    }
    ck_assert_int_eq(saved_step(), 2);
    set_gain(r, gain);
    OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0})); /* what was wrong is gone */
    OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
    ck_assert_int_eq(saved_step(), RUN_STEPS);
    end(r, pool, device);
}

START_TEST(the_run_stops_at_the_last_good_step)
{
    for (int members = 0; members <= 2; members++)
        for (int by_hand = 0; by_hand < 2; by_hand++)
            diverge(members, by_hand);
}
END_TEST

/* One bad step in the middle of good ones spoils all that follow, so that what there is is a whole step's. */
START_TEST(nothing_changes_after_it)
{
    static struct state before, after;
    for (int members = 0; members <= 2; members++) {
        struct ssa_pool *pool;
        struct ssa_device *device;
        struct run r = start(members, &pool, &device);
        OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
        OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
        read_state(r, 0, &before);
        float gain = set_gain(r, 1e25f);
        OK(ssa_trainer_step(r.trainer));
        set_gain(r, gain);
        for (int i = 0; i < 5; i++)
            OK(ssa_trainer_step(r.trainer));
        read_state(r, 0, &after);
        same_state(&before, &after);
        saved_load(path, r.model, r.trainer); /* that is forgiven then */
        OK(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}));
        end(r, pool, device);
    }
}
END_TEST

/* Where steps by hand and runs take turns, the trainer is always at the step of its parameters. */
START_TEST(runs_see_what_was_stepped)
{
    static struct state before, after;
    for (int members = 0; members <= 2; members++) {
        struct ssa_pool *pool;
        struct ssa_device *device;
        struct run r = start(members, &pool, &device);
        float losses[3], norm;
        OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
        float gain = set_gain(r, 1e25f);
        read_state(r, 0, &before);
        for (int round = 0; round < 2; round++) {
            FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_ENUMERIC, "norm of the gradient of step 3");
            ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 2);
            for (int i = 0; i < 3; i++)
                OK(ssa_trainer_step(r.trainer));
            OK(ssa_trainer_losses(r.trainer, 3, losses, &norm));
            ck_assert(!isfinite(norm));
        }
        FAILS(ssa_trainer_run(r.trainer, 5, &(struct ssa_trainer_run){0}), SSA_ENUMERIC, "norm of the gradient of step 3");
        ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 2);
        read_state(r, 0, &after);
        same_state(&before, &after);
        set_gain(r, gain);
        for (int i = 0; i < 3; i++)
            OK(ssa_trainer_step(r.trainer));
        OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
        ck_assert_int_eq(saved_step(), 5);
        read_state(r, 0, &after);
        ck_assert(memcmp(before.values[0], after.values[0], before.count * sizeof(float))); /* taken again */
        end(r, pool, device);
    }
}
END_TEST

/* Nobody ever looks, but the step does before the last good one's norm is overwritten. */
START_TEST(steps_do_not_go_on_for_ever)
{
    static struct state before, after;
    struct ssa_stage stage = {.steps = 2000, .lr = 0.01f};
    struct ssa_train_config config = {.stages = &stage, .stage_count = 1};
    static const unsigned char text[300];
    struct run r = {.model = NULL};
    struct ssa_device *device;
    int steps = 0;
    OK(ssa_device_open(&device, "cpu"));
    OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    OK(ssa_model_initialise(r.model, 5));
    OK(ssa_trainer_create(&r.trainer, r.model, &config, &(struct ssa_data){.items = text, .count = 300}));
    float gain = set_gain(r, 1e25f);
    while (steps < 1023 && ssa_trainer_step(r.trainer) == SSA_OK)
        steps++;
    ck_assert_int_eq(steps, 1023);
    FAILS(ssa_trainer_step(r.trainer), SSA_ENUMERIC, "the norm of the gradient of step 1 is not finite");
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 0);
    set_gain(r, gain);
    read_state(r, 0, &before);
    OK(ssa_trainer_step(r.trainer));
    read_state(r, 0, &after);
    ck_assert(memcmp(before.values[0], after.values[0], before.count * sizeof(float)));
    end(r, NULL, device);
}
END_TEST

/* A norm that is not finite after a loss that is not: the norm says where the parameters are. */
START_TEST(a_loss_hides_no_norm)
{
    struct ssa_pool *pool;
    struct ssa_device *device;
    struct run r = start(0, &pool, &device);
    const float losses[] = {1, INFINITY, 1, 1}, squares[] = {1, 1, 1, INFINITY};
    OK(ssa_trainer_run(r.trainer, 4, &(struct ssa_trainer_run){0}));
    FAILS(ssa_trainer_judge(r.trainer, 3, losses, squares), SSA_ENUMERIC, "the loss of step 3 is not finite; lower");
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 4);
    FAILS(ssa_trainer_judge(r.trainer, 4, losses, squares), SSA_ENUMERIC, "the loss of step 2 is not finite; lower");
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 3);
    end(r, pool, device);
}
END_TEST

/* ---- files ---- */

START_TEST(no_file_has_what_is_not_finite)
{
    for (int members = 0; members <= 2; members++) {
        struct ssa_pool *pool;
        struct ssa_device *device;
        struct run r = start(members, &pool, &device);
        float inf = INFINITY;
        OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
        OK(ssa_checkpoint_save(path, r.model, r.trainer, NULL));
        OK(ssa_trainer_run(r.trainer, 5, &(struct ssa_trainer_run){0}));
        float gain = set_gain(r, NAN);
        FAILS(ssa_checkpoint_save(path, r.model, r.trainer, NULL), SSA_ENUMERIC, "norm.gain is not finite, so it was not written");
        FAILS(ssa_checkpoint_save(path, r.model, NULL, NULL), SSA_ENUMERIC, "norm.gain is not finite");
        set_gain(r, gain);
        for (int i = 0; i < replicas(r); i++)
            OK(ssa_tensor_write(ssa_worker_moment(worker_of(r, i), ssa_model_find(replica(r, i), "norm.gain"), 2), &inf, 1));
        ssa_snapshot_drop(r.trainer->team);
        FAILS(ssa_checkpoint_save(path, r.model, r.trainer, NULL), SSA_ENUMERIC, "moment2.norm.gain is not finite");
        OK(ssa_checkpoint_save(path, r.model, NULL, NULL));
        end(r, pool, device);
    }
}
END_TEST

/* ---- ranks ---- */

static void one_rank(struct ssa_ranks *ranks, void *members)
{
    struct ssa_stage stage = {.steps = 20, .lr = 0.01f};
    struct ssa_train_config config = {.batch = 4, .seed = 5, .stages = &stage, .stage_count = 1, .ranks = ranks};
    unsigned char text[300];
    struct ssa_device *device = NULL;
    struct ssa_pool *pool = NULL;
    struct run r;
    for (int i = 0; i < 300; i++)
        text[i] = (unsigned char)(i * i % 37);
    if (*(int *)members) {
        OK(ssa_pool_open(&pool, "cpu", NULL));
        OK(ssa_pool_model_create(&r.model, pool, &run_config, &run_limits));
    } else {
        OK(ssa_device_open(&device, "cpu"));
        OK(ssa_model_create(&r.model, device, &run_config, &run_limits));
    }
    OK(ssa_model_initialise(r.model, 5));
    OK(ssa_trainer_create(&r.trainer, r.model, &config, &(struct ssa_data){.items = text, .count = 300}));
    OK(ssa_trainer_run(r.trainer, 2, &(struct ssa_trainer_run){0}));
    set_gain(r, 1e25f);
    FAILS(ssa_trainer_run(r.trainer, 0, &(struct ssa_trainer_run){0}), SSA_ENUMERIC, "the norm of the gradient of step 3 is not finite");
    ck_assert_int_eq(ranks->unanimous, 1);
    ck_assert_int_eq(ssa_trainer_steps_done(r.trainer), 2);
    end(r, pool, device);
}

START_TEST(all_ranks_stop)
{
    for (int members = 0; members < 2; members++)
        threads_run(2, one_rank, &members);
}
END_TEST

int main(void)
{
    close(mkstemp(path));
    int failed = test_run("finite", (const TTest *const[]){a_step_that_is_not_finite_is_not_taken, a_sum_remembers,
        the_run_stops_at_the_last_good_step, nothing_changes_after_it, runs_see_what_was_stepped,
        steps_do_not_go_on_for_ever, a_loss_hides_no_norm, no_file_has_what_is_not_finite, all_ranks_stop, NULL});
    remove(path);
    return failed;
}

/* The exponential moving average of the weights: against one that is reckoned in double precision from the parameters
 * of each step, that nothing else of a run is changed by it, and where it goes: evaluation, checkpoints, pools. */
#include "pools.h"
#include "saved.h"
#include "ssacl/evaluate.h"
#include "train/internal.h"
#include "train/team/team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 8, TEXT = 300, MOST = 8192, BATCH = 6 };
static const float ema = 0.75f;
static unsigned char text[TEXT];
static const struct ssa_data data = {.items = text, .count = TEXT};
static const struct ssa_model_config config = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 40,
                                                       .length = 16, .dropout = 0.1f}};
static char folder[] = "/tmp/ssacl-average-XXXXXX", path[64], best[64];

/* Three micro-batches a step. The weights are those of seed 77 until the trainer is there, to see that no average has
 * begun at them. */
static struct run start_on(struct ssa_model *model, float keep)
{
    const struct ssa_stage stages[] = {
        {.pattern = {.kind = SSA_UNBIASED, .ratio = 0.5f}, .steps = STEPS / 2, .lr = 0.01f},
        {.steps = STEPS / 2, .lr = 0.02f}};
    struct run j = {model, NULL};
    for (int i = 0; i < TEXT; i++)
        text[i] = (unsigned char)(i * i % 37);
    OK(ssa_model_initialise(model, 77));
    OK(ssa_trainer_create(&j.trainer, model, &(struct ssa_train_config){.batch = BATCH, .seed = 5, .ema = keep,
        .stages = stages, .stage_count = 2}, &data));
    OK(ssa_model_initialise(model, 5));
    return j;
}

static struct run start(struct ssa_device *dev, float keep)
{
    struct ssa_model *model;
    OK(ssa_model_create(&model, dev, &config, &(struct ssa_model_limits){.batch = 2, .training = 1}));
    return start_on(model, keep);
}

static struct run start_in(struct ssa_pool *pool, float keep)
{
    struct ssa_model *model;
    OK(ssa_pool_model_create(&model, pool, &config, &(struct ssa_model_limits){.batch = 2, .training = 1}));
    return start_on(model, keep);
}

static void run_to(struct run j, int step)
{
    OK(ssa_trainer_run(j.trainer, step, &(struct ssa_trainer_run){.every = 1}));
}

struct weights {
    size_t count;
    float values[MOST];
};

static void read_weights(const struct ssa_model *model, struct weights *w)
{
    w->count = 0;
    for (int i = 0; i < ssa_model_tensors(model); i++) {
        const struct ssa_parameter *p = ssa_model_parameter(model, i);
        ck_assert_uint_le(w->count + p->count, MOST);
        OK(ssa_tensor_read(p->value, w->values + w->count, p->count));
        w->count += p->count;
    }
}

static void read_average(struct run j, struct weights *w)
{
    OK(ssa_trainer_use_average(j.trainer, 1));
    read_weights(j.model, w);
    OK(ssa_trainer_use_average(j.trainer, 0));
}

#define SAME(a, b) ck_assert_msg((a).count == (b).count && !memcmp((a).values, (b).values, (a).count * 4), \
                                 #a " and " #b " differ; %s", pools_events)
#define DIFFERENT(a, b) ck_assert_msg(memcmp((a).values, (b).values, (a).count * 4), #a " and " #b " are the same")

/* ---- by recomputation ---- */

static struct weights weights, average, other, plain;
static double want[MOST];

static void expect(double keep, bool first)
{
    for (size_t i = 0; i < weights.count; i++)
        want[i] = first ? (double)weights.values[i] : keep * want[i] + (1 - keep) * (double)weights.values[i];
}

static void check_average(struct run j, const char *where)
{
    read_average(j, &average);
    read_weights(j.model, &other);
    SAME(weights, other); /* they came back */
    for (size_t i = 0; i < weights.count; i++)
        ck_assert_msg(fabs((double)average.values[i] - want[i]) < 1e-6, "%s: weight %zu: %.9g, should be %.9g",
                      where, i, (double)average.values[i], want[i]);
}

static void check_run(struct run j, const char *where)
{
    read_weights(j.model, &weights);
    expect((double)ema, true);
    check_average(j, where); /* before the first step: the weights, whatever they were when it was made */
    for (int step = 0; step < STEPS; step++) {
        OK(ssa_trainer_step(j.trainer));
        read_weights(j.model, &weights);
        expect((double)ema, false);
        if (step % 3 == 2)
            check_average(j, where);
    }
    check_average(j, where);
    DIFFERENT(weights, average);
}

/* And the run is that of a trainer without one. */
START_TEST(as_recomputed)
{
    FOR_DEVICES (dev) {
        float losses[STEPS], without[STEPS];
        struct run j = start(dev, ema), p = start(dev, 0);
        check_run(j, dev->info.id);
        run_to(p, 0);
        read_weights(p.model, &plain);
        SAME(weights, plain);
        OK(ssa_trainer_losses(j.trainer, STEPS, losses, NULL));
        OK(ssa_trainer_losses(p.trainer, STEPS, without, NULL));
        ck_assert_mem_eq(losses, without, sizeof losses);
        run_end(j);
        run_end(p);
    }
}
END_TEST

START_TEST(refusals)
{
    struct ssa_device *dev = test_device(0);
    struct run j = start(dev, ema), p = start(dev, 0);
    struct ssa_train_config bad = *ssa_trainer_config(j.trainer);
    struct ssa_trainer *t;
    FAILS(ssa_trainer_use_average(p.trainer, 1), SSA_EINVAL, "no average of the weights to use: ema is 0");
    OK(ssa_trainer_use_average(j.trainer, 1));
    OK(ssa_trainer_use_average(j.trainer, 1)); /* it is already */
    FAILS(ssa_trainer_step(j.trainer), SSA_EINVAL, "ssa_trainer_use_average(trainer, 0) comes before the next step");
    FAILS(ssa_trainer_run(j.trainer, 0, &(struct ssa_trainer_run){0}), SSA_EINVAL, "has the average");
    FAILS(ssa_checkpoint_save(path, j.model, j.trainer, NULL), SSA_EINVAL, "ssa_trainer_use_average(trainer, 0) first");
    OK(ssa_trainer_use_average(j.trainer, 0));
    OK(ssa_trainer_use_average(j.trainer, 0));
    run_to(j, 0);
    for (int i = 0; i < 3; i++) {
        bad.ema = (float[]){1, -0.5f, NAN}[i];
        FAILS(ssa_trainer_create(&t, j.model, &bad, &data), SSA_EINVAL, "must be in [0, 1)");
    }
    run_end(j);
    run_end(p);
}
END_TEST

/* They leave it as it is, and taken again it is that of a run to which nothing happened. */
START_TEST(steps_that_are_not_taken)
{
    FOR_DEVICES (dev) {
        if (test_launches_slowly(dev)) /* test_finite.c has the operator */
            continue;
        struct run j = start(dev, ema), p = start(dev, ema);
        float good, nan = NAN;
        run_to(j, 3);
        read_average(j, &average);
        struct ssa_tensor gain = ssa_model_find(j.model, "norm.gain")->value;
        OK(ssa_tensor_read(gain, &good, 1));
        OK(ssa_tensor_write(gain, &nan, 1));
        OK(ssa_trainer_step(j.trainer));
        OK(ssa_trainer_step(j.trainer));
        OK(ssa_tensor_write(gain, &good, 1));
        read_average(j, &other);
        SAME(average, other);
        ck_assert_int_eq(ssa_trainer_steps_done(j.trainer), 5);
        run_to(j, 0);
        run_to(p, 0);
        read_average(j, &average);
        read_average(p, &other);
        SAME(average, other);
        run_end(j);
        run_end(p);
    }
}
END_TEST

START_TEST(memory_as_planned)
{
    FOR_DEVICES (dev) {
        const struct ssa_model_limits limits = {.batch = 2, .training = 1};
        struct ssa_memory with, without;
        struct ssa_model *model;
        size_t before, after;
        OK(ssa_model_create(&model, dev, &config, &limits));
        ssa_device_memory(dev, &before, NULL);
        struct run j = start_on(model, ema);
        ssa_device_memory(dev, &after, NULL);
        struct ssa_train_config training = *ssa_trainer_config(j.trainer);
        OK(ssa_train_check(dev, &config, &limits, &training, 0, &with));
        training.ema = 0;
        OK(ssa_train_check(dev, &config, &limits, &training, 0, &without));
        ck_assert_uint_eq(with.moments - without.moments, with.parameters);
        ck_assert_uint_eq(after - before, with.moments);
        ssa_device_reset_peak(dev);
        OK(ssa_trainer_use_average(j.trainer, 1));
        OK(ssa_trainer_use_average(j.trainer, 0));
        ssa_device_memory(dev, NULL, &before);
        ck_assert_uint_eq(before, after); /* nothing more for that */
        run_end(j);
    }
}
END_TEST

/* ---- checkpoints ---- */

static void check_resume(struct ssa_device *dev, int stop)
{
    struct run j = start(dev, ema);
    if (stop)
        run_to(j, stop);
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    run_to(j, 0);
    read_weights(j.model, &weights);
    read_average(j, &average);
    run_end(j);
    j = start(dev, ema);
    OK(ssa_trainer_use_average(j.trainer, 1)); /* loading ends it */
    saved_load(path, j.model, j.trainer);
    run_to(j, 0);
    read_weights(j.model, &other);
    SAME(weights, other);
    read_average(j, &other);
    SAME(average, other);
    run_end(j);
}

START_TEST(resumed)
{
    FOR_DEVICES (dev)
        for (int stop = test_launches_slowly(dev) ? 5 : 0; stop <= 5; stop += 5)
            check_resume(dev, stop);
}
END_TEST

/* A file without one, for a trainer with one: it begins at the weights. And the other way round: it is left out. */
START_TEST(resumed_otherwise)
{
    struct ssa_device *dev = test_device(0);
    struct run without = start(dev, 0), with = start(dev, ema);
    struct ssa_checkpoint *c;
    run_to(without, 4);
    OK(ssa_checkpoint_save(path, without.model, without.trainer, NULL));
    run_to(with, 2);
    saved_load(path, with.model, with.trainer);
    read_weights(with.model, &weights);
    read_average(with, &average);
    SAME(weights, average);
    expect(0, true);
    OK(ssa_trainer_step(with.trainer));
    read_weights(with.model, &weights);
    expect((double)ema, false);
    check_average(with, "resumed");
    OK(ssa_checkpoint_open(&c, path));
    ck_assert(!ssa_checkpoint_has_average(c) && ssa_checkpoint_training(c)->ema == 0);
    FAILS(ssa_checkpoint_load_average(c, with.model), SSA_EINVAL, "no average of the weights");
    ssa_checkpoint_close(c);

    OK(ssa_checkpoint_save(path, with.model, with.trainer, NULL));
    saved_load(path, without.model, without.trainer);
    read_weights(without.model, &other);
    SAME(weights, other);
    OK(ssa_trainer_step(without.trainer));
    run_end(without);
    run_end(with);
}
END_TEST

START_TEST(loaded_as_a_model)
{
    FOR_DEVICES (dev) {
        if (test_launches_slowly(dev))
            continue;
        struct run j = start(dev, ema);
        struct ssa_checkpoint *c;
        struct ssa_model *model;
        run_to(j, 5);
        read_weights(j.model, &weights);
        read_average(j, &average);
        OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
        OK(ssa_model_create(&model, dev, &config, &(struct ssa_model_limits){.batch = 1}));
        OK(ssa_checkpoint_open(&c, path));
        ck_assert(ssa_checkpoint_has_average(c) && ssa_checkpoint_training(c)->ema == ema); /* exactly */
        OK(ssa_checkpoint_load(c, model, NULL));
        read_weights(model, &other);
        SAME(weights, other);
        OK(ssa_checkpoint_load_average(c, model));
        read_weights(model, &other);
        SAME(average, other);
        ssa_checkpoint_close(c);

        OK(ssa_trainer_use_average(j.trainer, 1)); /* saved as a model alone */
        OK(ssa_checkpoint_save(path, j.model, NULL, NULL));
        OK(ssa_trainer_use_average(j.trainer, 0));
        OK(ssa_checkpoint_open(&c, path));
        OK(ssa_checkpoint_load(c, model, NULL));
        read_weights(model, &other);
        SAME(average, other);
        ssa_checkpoint_close(c);
        ssa_model_destroy(model);
        run_end(j);
    }
}
END_TEST

/* ---- held-out data ---- */

struct seen {
    int count;
    struct ssa_watched last;
};

static void see(void *cookie, const struct ssa_watched *w)
{
    struct seen *s = cookie;
    s->count++;
    s->last = *w;
}

static double loss_of(struct ssa_model *model)
{
    struct ssa_scores scores;
    OK(ssa_evaluate(model, &data, &(struct ssa_evaluate){0}, &scores, NULL, NULL));
    return scores.loss;
}

START_TEST(looked_at)
{
    struct seen seen = {0};
    struct ssa_watch watch = {.data = &data, .every = 4, .best = best, .watched = see, .cookie = &seen};
    struct run j = start(test_device(0), ema), p = start(test_device(0), 0);
    struct ssa_checkpoint *c;
    const volatile int stop = 1;
    OK(ssa_trainer_run(j.trainer, 0, &(struct ssa_trainer_run){.watch = &watch}));
    ck_assert(seen.count == 2 && seen.last.saved && seen.last.best_step == STEPS);
    ck_assert_double_ne(loss_of(j.model), seen.last.scores.loss); /* it has its weights again */
    run_to(p, 0);
    read_weights(j.model, &weights);
    read_weights(p.model, &plain);
    SAME(weights, plain);
    OK(ssa_trainer_use_average(j.trainer, 1));
    ck_assert_double_eq(loss_of(j.model), seen.last.scores.loss);
    OK(ssa_trainer_use_average(j.trainer, 0));
    run_end(j);
    OK(ssa_checkpoint_open(&c, best));
    OK(ssa_checkpoint_load_average(c, p.model));
    ck_assert_double_eq(loss_of(p.model), seen.last.best_loss);
    ssa_checkpoint_close(c);
    run_end(p);

    j = start(test_device(0), ema); /* also where a look is broken off */
    watch.how.stop = &stop;
    FAILS(ssa_trainer_run(j.trainer, 4, &(struct ssa_trainer_run){.watch = &watch}), SSA_ESTOPPED, "");
    OK(ssa_trainer_step(j.trainer));
    run_end(j);
}
END_TEST

/* ---- pools ---- */

/* Hosts that pass for another kind of device, so that the host backend may be the last resort. */
static struct ssa_pool *others(int count, const struct ssa_pool_config *how)
{
    static const int shares[][2] = {{3}, {2, 1}};
    struct ssa_pool *pool = pools_hosts(count, how);
    pool->shares = shares[count - 1];
    for (int i = 0; i < count; i++) {
        pool->members[i]->info.kind = SSA_DEVICE_CPU;
        pools_spy(pool->members[i]->device);
    }
    return pool;
}

static void run_alone(void)
{
    struct ssa_device *dev;
    OK(ssa_device_open(&dev, "cpu"));
    struct run j = start(dev, ema);
    run_to(j, 0);
    read_weights(j.model, &plain);
    read_average(j, &average);
    run_end(j);
    ssa_device_close(dev);
}

static void close_pool(struct run j, struct ssa_pool *pool)
{
    run_end(j);
    ssa_pool_close(pool);
}

START_TEST(on_a_pool)
{
    struct ssa_pool *pool = others(2, NULL);
    struct run j = start_in(pool, ema);
    check_run(j, "a pool of two");
    for (int i = 0; i < 2; i++) { /* every worker has it */
        const struct ssa_worker *w = j.trainer->team->workers[i];
        OK(ssa_trainer_use_average(j.trainer, 1));
        read_weights(w->model, &other);
        OK(ssa_trainer_use_average(j.trainer, 0));
        SAME(average, other);
        read_weights(w->model, &other);
        SAME(weights, other);
    }
    close_pool(j, pool);
}
END_TEST

/* A device fails at a call of some kind; `until`: in the middle of a run, or when the average comes in or goes out. */
static void loses(int count, int member, struct pools_plan plan, int until, bool in, const char *words)
{
    struct ssa_pool *pool = others(count, NULL);
    struct run j = start_in(pool, ema);
    run_to(j, until);
    if (!in)
        OK(ssa_trainer_use_average(j.trainer, 1));
    pools_plan(pool->members[member]->device, plan);
    OK(ssa_trainer_use_average(j.trainer, in));
    if (in)
        OK(ssa_trainer_use_average(j.trainer, 0));
    run_to(j, 0);
    ck_assert_msg(strstr(pools_events, words), "no \"%s\" in: %s", words, pools_events);
    read_weights(j.model, &weights);
    SAME(plain, weights);
    read_average(j, &other);
    SAME(average, other);
    close_pool(j, pool);
}

START_TEST(lost_over_it)
{
    run_alone();
    for (int in = 0; in < 2; in++)
        for (int at = 1; at <= 3; at += 2) {
            const struct pools_plan plan = {POOLS_COPY, POOLS_FAIL, at};
            loses(2, 0, plan, 5, in, "lost 0@5");
            loses(2, 1, plan, 5, in, "lost 1@5");
            loses(1, 0, plan, 5, in, "rollback 1@");
            loses(1, 0, plan, STEPS, in, "rollback 1@");
        }
}
END_TEST

/* The last device is lost while the average is looked at: the run goes back to its copy, on to where it was, and the
 * average of then is what is looked at on the host. */
START_TEST(lost_while_it_is_in)
{
    struct ssa_pool *pool = others(1, &(struct ssa_pool_config){.copy_every = 2});
    struct run j = start_in(pool, ema);
    run_alone();
    run_to(j, 5);
    OK(ssa_trainer_use_average(j.trainer, 1));
    double loss = loss_of(j.model);
    pools_plan(pool->members[0]->device, (struct pools_plan){POOLS_LAUNCH, POOLS_FAIL, 30});
    ck_assert_double_eq(loss_of(j.model), loss);
    ck_assert_msg(strstr(pools_events, "rollback 1@4"), "%s", pools_events);
    FAILS(ssa_trainer_step(j.trainer), SSA_EINVAL, "has the average");
    OK(ssa_trainer_use_average(j.trainer, 0));
    run_to(j, 0);
    read_weights(j.model, &weights);
    SAME(plain, weights);
    read_average(j, &other);
    SAME(average, other);
    close_pool(j, pool);
}
END_TEST

/* From a pool's file on one device, and back. */
START_TEST(a_pools_checkpoint)
{
    struct ssa_pool *pool = others(2, NULL);
    struct ssa_device *dev;
    struct run j = start_in(pool, ema);
    run_alone();
    run_to(j, 3);
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    close_pool(j, pool);
    OK(ssa_device_open(&dev, "cpu"));
    j = start(dev, ema);
    saved_load(path, j.model, j.trainer);
    run_to(j, 6);
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    run_end(j);
    ssa_device_close(dev);
    pool = others(2, NULL);
    j = start_in(pool, ema);
    saved_load(path, j.model, j.trainer);
    run_to(j, 0);
    read_weights(j.model, &weights);
    SAME(plain, weights);
    read_average(j, &other);
    SAME(average, other);

    struct ssa_checkpoint *c; /* as a model alone */
    OK(ssa_checkpoint_save(path, j.model, j.trainer, NULL));
    OK(ssa_checkpoint_open(&c, path));
    OK(ssa_checkpoint_load_average(c, j.model));
    ssa_checkpoint_close(c);
    for (int i = 0; i < 2; i++) {
        read_weights(j.trainer->team->workers[i]->model, &other);
        SAME(average, other);
    }
    close_pool(j, pool);
}
END_TEST

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/run.st", folder);
    snprintf(best, sizeof best, "%s/best.st", folder);
    int failed = test_run("average", (const TTest *const[]){as_recomputed, refusals, steps_that_are_not_taken,
        memory_as_planned, resumed, resumed_otherwise, loaded_as_a_model, looked_at, on_a_pool, lost_over_it,
        lost_while_it_is_in, a_pools_checkpoint, NULL});
    unlink(path);
    unlink(best);
    rmdir(folder);
    return failed;
}

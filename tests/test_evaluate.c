/* Evaluation, ensembles and generation on pools: the same bits as on one device, whoever does what, whoever fails. */
#include "golden.h"
#include "net/replicas.h"
#include "net/internal.h"
#include "pools.h"
#include "ssacl/evaluate.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 16, COUNT = 16 * 11 + 8, PASSES = 9, BATCH = 2, UNITS = PASSES * 6 };

static const struct ssa_model_config config = {.gpt = {.layers = 2, .heads = 2, .width = 16, .vocabulary = 32, .length = N,
                                               .dropout = 0.5f}};
static const struct ssa_pattern sampled = {.kind = SSA_UNBIASED, .ratio = 0.25f, .dense_first = 1};
static unsigned char text[COUNT];
static const struct ssa_data data = {.items = text, .count = COUNT};
static const char *platform; /* of which two devices must make the pools; NULL: the host backend */

/* ---- pools ---- */

static struct ssa_device *open_one(int number)
{
    struct ssa_device_info list[64];
    struct ssa_device *device;
    int n = 0;
    const char *id = "cpu";
    if (platform) {
        OK(ssa_device_list(list, 64, &n));
        for (int i = 0; i < n; i++)
            if (strstr(list[i].platform, platform) && number-- == 0)
                id = list[i].id;
    }
    OK(ssa_device_open(&device, id));
    return device;
}

/* Of devices with spies. */
static struct ssa_pool *make_pool(int count)
{
    struct ssa_pool *pool = pools_hosts(0, NULL);
    for (int i = 0; i < count; i++) {
        struct ssa_device *device = open_one(platform ? i % 2 : i);
        pools_spy(device);
        OK(ssa_pool_add(pool, device));
    }
    return pool;
}

/* What a member of the pool does from now on. */
static void plan(const struct ssa_pool *pool, int i, struct pools_plan p)
{
    pools_plan(pool->members[i]->device, p);
}

/* Each of its reads, of the losses of a unit, takes so many seconds. */
static struct pools_plan slow(double seconds)
{
    return (struct pools_plan){POOLS_READ, POOLS_SLOW, 1, .seconds = seconds};
}

static int reads(const struct ssa_pool *pool, int i)
{
    return pools_count(pool->members[i]->device, POOLS_READ);
}

static int all_reads(const struct ssa_pool *pool)
{
    int all = 0;
    for (int i = 0; i < pool->count; i++)
        all += reads(pool, i);
    return all;
}

static void fill(struct ssa_model *m)
{
    golden_parameters(m, 0.4);
    for (uint32_t i = 0; i < COUNT; i++)
        text[i] = (unsigned char)((golden_value(3000, i) + 1) * 16);
}

static struct ssa_model *pool_model(struct ssa_pool *pool)
{
    struct ssa_model *m;
    struct ssa_scores scores;
    struct ssa_evaluate how = {.pattern = &sampled, .passes = 4};
    OK(ssa_pool_model_create(&m, pool, &config, &(struct ssa_model_limits){.batch = BATCH}));
    for (int i = 0; i < pool->count; i++)
        fill(m->replicas->models[i]);
    OK(ssa_evaluate(m, &data, &how, &scores, NULL, NULL)); /* builds kernels */
    for (int i = 0; i < pool->count; i++)
        plan(pool, i, (struct pools_plan){0});
    return m;
}

/* ---- what one device says ---- */

struct result {
    struct ssa_scores scores;
    double ensemble[PASSES], singles[PASSES];
};

static struct ssa_evaluate ensemble_of(int passes)
{
    return (struct ssa_evaluate){.pattern = &sampled, .passes = passes, .seed = 11};
}

static struct result evaluate(struct ssa_model *m, struct ssa_evaluate how)
{
    struct result r = {0};
    OK(ssa_evaluate(m, &data, &how, &r.scores, r.ensemble, r.singles));
    r.scores.seconds = 0;
    return r;
}

static struct result alone(struct ssa_evaluate how)
{
    struct ssa_device *device = open_one(0);
    struct ssa_model *m;
    OK(ssa_model_create(&m, device, &config, &(struct ssa_model_limits){.batch = BATCH}));
    fill(m);
    struct result r = evaluate(m, how);
    ssa_model_destroy(m);
    ssa_device_close(device);
    return r;
}

static void same(const struct result *got, const struct result *want, const char *what)
{
    ck_assert_msg(!memcmp(got, want, sizeof *got), "%s: %.17g with %d passes, not %.17g with %d; events: %s", what,
                  got->scores.loss, got->scores.passes, want->scores.loss, want->scores.passes, pools_events);
}

/* ---- the same bits ---- */

START_TEST(as_one_device)
{
    const struct ssa_evaluate ways[] = {ensemble_of(PASSES), ensemble_of(1), {.passes = 3},
        {.pattern = &sampled, .passes = 5, .windows = 3}, {.pattern = &sampled, .passes = 2, .stride = 5}};
    struct result want[5];
    for (int w = 0; w < 5; w++)
        want[w] = alone(ways[w]);
    for (int count = 1; count <= 3; count++) {
        struct ssa_pool *pool = make_pool(count);
        struct ssa_model *m = pool_model(pool);
        for (int w = 0; w < 10; w++) {
            struct result got = evaluate(m, ways[w % 5]);
            same(&got, &want[w % 5], "pool");
        }
        ck_assert_str_eq(pools_events, "");
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
}
END_TEST

/* ---- answers ---- */

enum { WINDOWS = 11 };
static struct {
    atomic_int inside;
    int calls, wrong, next[WINDOWS + 1];           /* the pass that a window's next answer is to be of */
    double joined[WINDOWS + 1][N], single, losses; /* log of the sum of probabilities, over the passes so far */
    size_t targets;
    uint64_t hash[WINDOWS + 1]; /* of all logits */
} told;

static void hear(void *cookie, const struct ssa_answer *a)
{
    (void)cookie;
    told.wrong += atomic_fetch_add(&told.inside, 1) > 0 || a->answers != N || a->vocabulary != 32 ||
                  a->example > WINDOWS || a->pass != told.next[a->example];
    told.next[a->example]++;
    told.calls++;
    for (int n = 0; n < N; n++) {
        const float *logits = a->logits + n * 32;
        double sum = 0;
        for (int v = 0; v < 32; v++) {
            uint32_t bits;
            memcpy(&bits, &logits[v], sizeof bits);
            sum += exp((double)logits[v]);
            told.hash[a->example] = (told.hash[a->example] ^ bits) * 0x100000001b3u;
        }
        told.wrong += a->targets[n] < 0 ? a->example < WINDOWS || n < COUNT - 1 - WINDOWS * N : a->targets[n] > 31;
        if (a->targets[n] < 0)
            continue;
        const double p = exp((double)logits[a->targets[n]]) / sum;
        told.single -= log(p);
        told.joined[a->example][n] += p;
        told.targets++;
    }
    atomic_fetch_sub(&told.inside, 1);
}

static void check_told(const struct ssa_scores *s, int passes)
{
    double loss = 0;
    for (int w = 0; w <= WINDOWS; w++)
        for (int n = 0; n < N; n++)
            loss -= told.joined[w][n] > 0 ? log(told.joined[w][n] / passes) : 0;
    ck_assert_msg(!told.wrong && told.calls == passes * (WINDOWS + 1), "%d of %d are wrong; %s", told.wrong, told.calls,
                  pools_events);
    ck_assert_uint_eq(told.targets, s->tokens * (size_t)passes);
    ck_assert_double_eq_tol(loss / (double)s->tokens, s->loss, 1e-6);
    ck_assert_double_eq_tol(told.single / (double)told.targets, s->single, 1e-6);
}

/* All that a program is told of gives the scores, whoever computes it, and the same bits. */
START_TEST(answers_are_told)
{
    uint64_t want[WINDOWS + 1];
    for (int w = 0; w < 2; w++)
        for (int count = 0; count < 5; count++) { /* the host alone; one to three; three of which one fails */
            struct ssa_evaluate how = w ? ensemble_of(PASSES) : (struct ssa_evaluate){0};
            struct ssa_pool *pool = count ? make_pool(count < 4 ? count : 3) : NULL;
            struct ssa_model *m = pool ? pool_model(pool) : NULL;
            struct result got;
            if (count == 4)
                plan(pool, 1, (struct pools_plan){POOLS_READ, POOLS_FAIL, 1});
            memset(&told, 0, sizeof told);
            how.answer = hear;
            got = pool ? evaluate(m, how) : alone(how);
            check_told(&got.scores, w ? PASSES : 1);
            if (!count)
                memcpy(want, told.hash, sizeof want);
            ck_assert_mem_eq(told.hash, want, sizeof want);
            ssa_model_destroy(m);
            ssa_pool_close(pool);
        }
}
END_TEST

/* One is slow, so that units come in in odd orders; it takes fewer. */
START_TEST(units_go_to_who_is_free)
{
    struct result want = alone(ensemble_of(PASSES));
    for (int late = 0; late < 2; late++) {
        struct ssa_pool *pool = make_pool(2);
        struct ssa_model *m = pool_model(pool);
        plan(pool, late, slow(40));
        plan(pool, !late, slow(10));
        struct result got = evaluate(m, ensemble_of(PASSES));
        same(&got, &want, "a slow member");
        ck_assert_int_eq(all_reads(pool), UNITS);
        ck_assert_msg(reads(pool, late) > 2 && reads(pool, late) < UNITS / 3, "%d of %d by the slow one",
                      reads(pool, late), UNITS);
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
}
END_TEST

/* It takes no unit that the others would have done sooner. */
START_TEST(nobody_waits_for_a_very_slow_one)
{
    struct ssa_pool *pool = make_pool(2);
    struct ssa_model *m = pool_model(pool);
    struct result want = alone(ensemble_of(PASSES));
    pool->config.deadline = 100;
    plan(pool, 0, slow(600));
    plan(pool, 1, slow(14));
    struct result got = evaluate(m, ensemble_of(PASSES));
    same(&got, &want, "a very slow member");
    ck_assert_int_eq(reads(pool, 0), 1);
    ck_assert_int_eq(reads(pool, 1), UNITS - 1);
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

/* ---- faults ---- */

/* Member `bad` of so many, of which each read takes `pace` seconds, has a plan of its own, and is lost after the
 * read of that number. */
static void check_lost(struct pools_plan p, int bad, int count, double pace, int last, const char *words)
{
    struct result want = alone(ensemble_of(PASSES));
    struct ssa_pool *pool = make_pool(count);
    struct ssa_model *m = pool_model(pool);
    char event[64];
    for (int i = 0; i < count; i++) /* so that each gets some */
        plan(pool, i, slow(pace));
    plan(pool, bad, p);
    pool->config.deadline = 50;
    struct result got = evaluate(m, ensemble_of(PASSES));
    same(&got, &want, "a member lost");
    snprintf(event, sizeof event, "lost %d@", bad);
    ck_assert_msg(!strncmp(pools_events, event, strlen(event)) && strstr(pools_events, words), "%s", pools_events);
    ck_assert_int_eq(ssa_pool_live(pool), count - 1);
    got = evaluate(m, ensemble_of(PASSES));
    same(&got, &want, "after the loss");
    if (pool->members[bad]->abandoned)
        pools_join(); /* it must find all in place, and touch none of it */
    ck_assert_int_eq(reads(pool, bad), last);
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}

static void check_read(enum pools_fault fault, int at, int bad, int count, double pace, const char *words)
{
    check_lost((struct pools_plan){POOLS_READ, fault, at, .seconds = 800}, bad, count, pace, at, words);
}

START_TEST(a_member_fails)
{
    check_read(POOLS_FAIL, 1, 0, 2, 3, "(read 1 fails)");
    check_read(POOLS_FAIL, 2, 1, 3, 3, "(read 2 fails)");
    check_read(POOLS_FAIL, 5, 1, 2, 3, "(read 5 fails)");
}
END_TEST

START_TEST(a_member_hangs)
{
    const char *words = "(silent for ";
    check_read(POOLS_LATE, 4, 0, 2, 3, words);
    check_read(POOLS_LATE, 3, 2, 3, 3, words);
    check_read(POOLS_LATE, 3, 0, 2, 25, words); /* comes back while the other is still at it */
    check_lost((struct pools_plan){POOLS_WRITE, POOLS_LATE, 1, .reads = 2, .seconds = 800}, 1, 2, 25, 2, words);
}
END_TEST

START_TEST(a_member_gives_no_numbers)
{
    const char *words = "not a number where another device's is";
    check_read(POOLS_NAN, 1, 1, 2, 3, words);
    check_read(POOLS_NAN, 5, 0, 3, 3, words);
    check_read(POOLS_NANS, 4, 0, 2, 3, words);
}
END_TEST

/* A model that has gone wrong is no fault of the devices. */
START_TEST(no_numbers_anywhere)
{
    for (int count = 1; count <= 3; count++) {
        struct ssa_pool *pool = make_pool(count);
        struct ssa_model *m = pool_model(pool);
        for (int i = 0; i < count; i++)
            OK(ssa_tensor_fill(ssa_model_find(m->replicas->models[i], "norm.gain")->value, NAN, 16));
        for (int passes = 1; passes <= PASSES; passes += 4) {
            struct result got = evaluate(m, ensemble_of(passes));
            ck_assert(isnan(got.scores.loss) && isnan(got.singles[0]) && isnan(got.ensemble[passes - 1]));
        }
        ck_assert_str_eq(pools_events, "");
        ck_assert_int_eq(ssa_pool_live(pool), count);
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
}
END_TEST

START_TEST(all_are_lost)
{
    struct ssa_pool *pool = make_pool(2);
    struct ssa_model *m = pool_model(pool);
    struct ssa_scores scores;
    struct ssa_evaluate how = ensemble_of(PASSES);
    for (int i = 0; i < 2; i++)
        plan(pool, i, (struct pools_plan){POOLS_READ, POOLS_FAIL, 3 + 2 * i});
    FAILS(ssa_evaluate(m, &data, &how, &scores, NULL, NULL), SSA_EDEVICE, "no device is left (");
    FAILS(ssa_evaluate(m, &data, &how, &scores, NULL, NULL), SSA_EDEVICE, "no device is left");
    ck_assert_int_eq(ssa_pool_live(pool), 0);
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

/* ---- tolerance ---- */

START_TEST(stops_when_settled)
{
    struct ssa_evaluate how = ensemble_of(PASSES);
    struct result all = alone(how), want;
    struct ssa_pool *pool = make_pool(2);
    struct ssa_model *model = pool_model(pool);
    int stopped = 0;
    for (how.tolerance = 1; how.tolerance > 1e-4; how.tolerance /= 3) {
        want = alone(how);
        int m = want.scores.passes;
        ck_assert(m >= 4 && m <= PASSES && (m == PASSES || want.scores.unsettled <= how.tolerance));
        ck_assert_double_eq(want.scores.loss, all.ensemble[m - 1]);
        ck_assert(!memcmp(want.singles, all.singles, (size_t)m * sizeof *all.singles));
        for (int i = m; i < PASSES; i++)
            ck_assert(want.ensemble[i] == want.ensemble[m - 1] && want.singles[i] == want.singles[m - 1]);
        stopped += m < PASSES;
        struct result got = evaluate(model, how);
        same(&got, &want, "tolerance");
    }
    ssa_model_destroy(model);
    ssa_pool_close(pool);
    ck_assert_msg(stopped > 1 && want.scores.passes == PASSES, "%d tolerances stopped early", stopped);
    how.tolerance = 1;
    how.pattern = NULL;
    want = alone(how);
    ck_assert(want.scores.passes == 1 && want.scores.unsettled <= 0);
    how = ensemble_of(3);
    how.tolerance = 1;
    want = alone(how);
    ck_assert(want.scores.passes == 3 && isinf(want.scores.unsettled));
}
END_TEST

/* Those passes, and what was under way when the last came in. */
START_TEST(stopping_saves_work)
{
    struct ssa_pool *pool = make_pool(1);
    struct ssa_model *m = pool_model(pool);
    struct ssa_evaluate how = ensemble_of(PASSES);
    how.tolerance = 1;
    int passes = evaluate(m, how).scores.passes;
    const int units = reads(pool, 0);
    ck_assert_msg(units >= 6 * passes && units <= 6 * passes + 1 && passes < PASSES, "%d units for %d passes", units,
                  passes);
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

/* Whether a tolerance was given or not. */
START_TEST(sets_all_scores)
{
    struct ssa_device *device = open_one(0);
    struct ssa_model *m;
    struct ssa_scores scores = {.passes = 77, .unsettled = 88};
    struct ssa_evaluate how = ensemble_of(5);
    OK(ssa_model_create(&m, device, &config, &(struct ssa_model_limits){.batch = BATCH}));
    OK(ssa_evaluate(m, &data, &how, &scores, NULL, NULL));
    ck_assert(scores.passes == 5 && scores.unsettled >= 0 && scores.unsettled < 88);
    ssa_model_destroy(m);
    ssa_device_close(device);
}
END_TEST

/* ---- generation ---- */

static void check_generation(struct ssa_generate how)
{
    enum { TOKENS = 20 };
    const int32_t prompt[3] = {1, 2, 3};
    const enum pools_fault faults[] = {POOLS_NONE, POOLS_FAIL, POOLS_LATE};
    struct ssa_device *device = open_one(0);
    struct ssa_model *m;
    int32_t want[TOKENS], got[TOKENS];
    OK(ssa_model_create(&m, device, &config, &(struct ssa_model_limits){.batch = BATCH}));
    fill(m);
    OK(ssa_generate(m, prompt, 3, TOKENS, want, &how));
    ssa_model_destroy(m);
    ssa_device_close(device);
    for (int t = 0; t < 3; t++) {
        struct ssa_pool *pool = make_pool(2);
        m = pool_model(pool);
        OK(ssa_generate(m, prompt, 3, 1, got, &how)); /* kernels */
        plan(pool, 0, (struct pools_plan){POOLS_READ, faults[t], 8, .seconds = 800});
        OK(ssa_generate(m, prompt, 3, TOKENS, got, &how));
        ck_assert_mem_eq(got, want, sizeof got);
        ck_assert_int_eq(ssa_pool_live(pool), t ? 1 : 2);
        FAILS(ssa_generate(m, (const int32_t[]){32}, 1, 1, got, &how), SSA_EINVAL, "is 32, vocabulary is 32");
        ck_assert_int_eq(ssa_pool_live(pool), t ? 1 : 2);
        if (faults[t] == POOLS_LATE)
            pools_join();
        plan(pool, 1, (struct pools_plan){POOLS_READ, POOLS_FAIL, 1});
        if (t)
            FAILS(ssa_generate(m, prompt, 3, 1, got, &how), SSA_EDEVICE, "no device is left (");
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
}

/* Of an ensemble, also where a device is lost between two members of a token. */
START_TEST(generates_on_who_is_there)
{
    check_generation((struct ssa_generate){.seed = 5});
    check_generation((struct ssa_generate){.seed = 5, .pattern = &sampled, .passes = 3});
}
END_TEST

/* Past N the successor of a lost device begins with the last N tokens, as if they were the prompt. */
START_TEST(a_successor_begins_with_the_last_tokens)
{
    enum { TOKENS = 40, LOST_AT = 20, PROMPT = 3 };
    int32_t want[PROMPT + TOKENS] = {1, 2, 3}, got[PROMPT + TOKENS] = {1, 2, 3};
    const struct ssa_generate how = {.temperature = -1};
    struct ssa_pool *pool = make_pool(2);
    struct ssa_model *m = pool_model(pool);
    OK(ssa_generate(m, want, PROMPT, LOST_AT, want + PROMPT, &how));
    OK(ssa_generate(m, want + PROMPT + LOST_AT - N, N, TOKENS - LOST_AT, want + PROMPT + LOST_AT, &how));
    const float logit = pools_read(pool->members[0]->device);
    plan(pool, 0, (struct pools_plan){POOLS_READ, POOLS_FAIL, LOST_AT + 1});
    OK(ssa_generate(m, got, PROMPT, TOKENS, got + PROMPT, &how));
    ck_assert_int_eq(ssa_pool_live(pool), 1);
    ck_assert_mem_eq(got, want, sizeof got);
    ck_assert_float_eq(pools_read(pool->members[1]->device), logit); /* one token fewer changes this, if not a token */
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

/* ---- in the middle of training ---- */

/* Training goes on as if nobody had evaluated; and where the last device is lost over an evaluation, on the host
 * backend (unless that was the last device). */
START_TEST(between_steps)
{
    const struct ssa_stage stage = {.pattern = sampled, .steps = 4, .lr = 0.01f};
    const struct ssa_train_config training = {.batch = 4, .stages = &stage, .stage_count = 1};
    const struct ssa_model_limits limits = {.batch = BATCH, .training = 1};
    float losses[3][4];
    const int to_lose = platform ? 2 : 1;
    for (int kind = 0; kind < 3; kind++) { /* 0: no evaluation; 1: some; 2: devices are lost over them */
        struct ssa_pool *pool = make_pool(2);
        struct ssa_trainer *trainer;
        struct ssa_model *m;
        struct result first, second;
        OK(ssa_pool_model_create(&m, pool, &config, &limits));
        OK(ssa_model_initialise(m, 3));
        OK(ssa_trainer_create(&trainer, m, &training, &data));
        for (int step = 0; step < 4; step++) {
            OK(ssa_trainer_step(trainer));
            if (kind == 0)
                continue;
            first = evaluate(m, ensemble_of(2));
            if (kind == 2 && step >= 1 && step <= to_lose)
                plan(pool, step - 1, (struct pools_plan){POOLS_READ, POOLS_FAIL, 1});
            second = evaluate(m, ensemble_of(2));
            ck_assert_double_eq_tol(first.scores.loss, second.scores.loss, 1e-4);
        }
        OK(ssa_trainer_losses(trainer, 4, losses[kind], NULL));
        ck_assert_int_eq(ssa_trainer_steps_done(trainer), 4);
        if (kind == 2)
            ck_assert(pool->members[0]->lost && ssa_pool_live(pool) == 1 &&
                      (strstr(pools_events, "no other device is left") != NULL) == (to_lose == 2));
        ssa_trainer_destroy(trainer);
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
    ck_assert_mem_eq(losses[1], losses[0], sizeof losses[0]);
    for (int step = 0; step < 4; step++)
        ck_assert_float_eq_tol(losses[2][step], losses[0][step], 1e-3f);
}
END_TEST

/* ---- the caller's side ---- */

static struct {
    pthread_t thread;
    double last;
    int calls, wrong;
    volatile int stop;
} seen;

static void on_progress(void *cookie, double done)
{
    (void)cookie;
    seen.wrong += !pthread_equal(pthread_self(), seen.thread) || done < seen.last || done > 1;
    seen.last = done;
    seen.stop = ++seen.calls >= 3;
}

START_TEST(progress_and_stop)
{
    for (int stops = 0; stops < 2; stops++) {
        struct ssa_pool *pool = make_pool(2);
        struct ssa_model *m = pool_model(pool);
        struct ssa_evaluate how = ensemble_of(PASSES);
        struct ssa_scores scores;
        memset(&seen, 0, sizeof seen);
        seen.thread = pthread_self();
        how.progress = on_progress;
        how.stop = stops ? &seen.stop : NULL;
        for (int i = 0; i < 2; i++)
            plan(pool, i, slow(20));
        if (stops) {
            FAILS(ssa_evaluate(m, &data, &how, &scores, NULL, NULL), SSA_ESTOPPED, "stopped with");
            ck_assert(seen.calls == 3 && all_reads(pool) < UNITS && seen.last < 1);
        } else {
            OK(ssa_evaluate(m, &data, &how, &scores, NULL, NULL));
            ck_assert(seen.calls > 3 && seen.last >= 1);
        }
        ck_assert_int_eq(seen.wrong, 0);
        ck_assert_int_eq(ssa_pool_live(pool), 2);
        ssa_model_destroy(m);
        ssa_pool_close(pool);
    }
}
END_TEST

START_TEST(bad_input)
{
    struct ssa_pool *pool = make_pool(2);
    struct ssa_model *m = pool_model(pool);
    struct ssa_scores scores;
    static unsigned char outside[COUNT];
    const struct ssa_data wrong = {.items = outside, .count = COUNT};
    outside[COUNT - 3] = 32;
#define BAD(words, d, ...) \
    FAILS(ssa_evaluate(m, d, &(struct ssa_evaluate){__VA_ARGS__}, &scores, NULL, NULL), SSA_EINVAL, words)
    BAD("tolerance is -1, must be 0 or a positive number", &data, .tolerance = -1);
    BAD("tolerance is nan", &data, .tolerance = NAN);
    BAD("tolerance is inf", &data, .tolerance = INFINITY);
    BAD("passes is 1001", &data, .passes = 1001);
    BAD("reserved", &data, .reserved = {1});
    BAD("is 32, the vocabulary is 32", &wrong, .passes = 1);
    for (int i = 0; i < 2; i++)
        plan(pool, i, (struct pools_plan){POOLS_READ, POOLS_INVALID, 4});
    BAD("read 4 is wrong", &data, .pattern = &sampled, .passes = PASSES);
    ck_assert_int_eq(ssa_pool_live(pool), 2); /* none of which is the devices' fault */
    ck_assert_str_eq(pools_events, "");
    ssa_model_destroy(m);
    ssa_pool_close(pool);
}
END_TEST

static bool has_two(void)
{
    struct ssa_device_info list[64];
    int n = 0, found = 0;
    ssa_device_list(list, 64, &n);
    for (int i = 0; i < n && i < 64; i++)
        found += strstr(list[i].platform, platform) != NULL;
    return found >= 2;
}

int main(int argc, char **argv)
{
    platform = argc > 1 ? argv[1] : NULL;
    if (platform && !has_two())
        return 77;
    pools_set_clock();
    return test_run_alone("evaluate", (const TTest *const[]){as_one_device, answers_are_told, units_go_to_who_is_free,
        nobody_waits_for_a_very_slow_one, a_member_fails, a_member_hangs, a_member_gives_no_numbers,
        no_numbers_anywhere, all_are_lost, stops_when_settled, stopping_saves_work, sets_all_scores,
        generates_on_who_is_there, a_successor_begins_with_the_last_tokens, between_steps, progress_and_stop,
        bad_input, NULL});
}

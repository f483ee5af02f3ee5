/* Which graphs are in which part, and in which order they are trained on. */
#include "graphs.h"
#include "order.h"
#include "parts.h"

#include "file.h"
#include "say.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 40 };

static char path[] = "/tmp/test_order.XXXXXX";
static struct graph_file made;
static struct graphs g;

static void begin(void)
{
    graph_file_make(&made, COUNT);
}

static void open_it(void)
{
    FILE *file = fopen(path, "wb");
    ck_assert(file && fwrite(made.bytes, 1, made.size, file) == made.size && !fclose(file));
    ck_assert_int_eq(graphs_open(&g, path), 0);
}

static int make(struct parts *p, struct parts_options o)
{
    say_hold_errors();
    const int status = parts_make(p, &g, &o);
    say_held_error(false);
    return status;
}

/* ---- parts ---- */

static void check_disjoint(const struct parts *p, size_t all)
{
    int seen[COUNT] = {0};
    size_t count = 0;
    for (int part = 0; part < GRAPH_PARTS; part++)
        for (size_t i = 0; i < p->part[part].count; i++, count++) {
            const uint32_t *list = p->part[part].graphs;
            ck_assert_int_eq(seen[list[i]]++, 0);
            ck_assert(!i || graphs_get(&g, list[i - 1]).atoms <= graphs_get(&g, list[i]).atoms);
        }
    ck_assert_uint_eq(count, all);
}

START_TEST(drawn)
{
    struct parts p, fewer;
    open_it();
    ck_assert_int_eq(make(&p, (struct parts_options){.seed = 3, .valid = 5, .test = 8}), 0);
    check_disjoint(&p, COUNT);
    ck_assert(!p.official && p.part[GRAPH_VALID].count == 5 && p.part[GRAPH_TEST].count == 8);
    ck_assert_int_eq(make(&fewer, (struct parts_options){.seed = 3, .valid = 5, .test = 8, .train = 10}), 0);
    check_disjoint(&fewer, 23);
    for (int part = GRAPH_VALID; part < GRAPH_PARTS; part++) /* as they were */
        ck_assert_mem_eq(fewer.part[part].graphs, p.part[part].graphs, 4 * p.part[part].count);
    parts_free(&fewer);
    ck_assert_int_eq(make(&fewer, (struct parts_options){.seed = 4, .valid = 5, .test = 8}), 0);
    ck_assert_mem_ne(fewer.part[GRAPH_TEST].graphs, p.part[GRAPH_TEST].graphs, 32);
    parts_free(&fewer);
    parts_free(&p);
    ck_assert_int_ne(make(&p, (struct parts_options){.valid = 20, .test = 20}), 0);
    parts_free(&p);
    ck_assert_int_ne(make(&p, (struct parts_options){.split = SPLIT_OFFICIAL}), 0);
    parts_free(&p);
    graphs_close(&g);
}
END_TEST

START_TEST(of_the_file)
{
    struct parts p;
    for (size_t i = 0; i < COUNT; i++)
        made.bytes[made.part + i] = i < 20 ? 0 : i < 30 ? 1 : i < 38 ? 2 : 255;
    open_it();
    ck_assert_int_eq(make(&p, (struct parts_options){.valid = 4}), 0);
    check_disjoint(&p, 20 + 4 + 8);
    ck_assert(p.official && !p.test_is_valid);
    for (size_t i = 0; i < 20; i++)
        ck_assert_uint_eq(p.part[GRAPH_TRAIN].graphs[i], i);
    for (size_t i = 0; i < 4; i++)
        ck_assert(p.part[GRAPH_VALID].graphs[i] >= 20 && p.part[GRAPH_VALID].graphs[i] < 30);
    parts_free(&p);
    ck_assert_int_eq(make(&p, (struct parts_options){.split = SPLIT_SEEDED, .valid = 4, .test = 4}), 0);
    check_disjoint(&p, COUNT);
    parts_free(&p);
    graphs_close(&g);
}
END_TEST

START_TEST(without_targets_or_too_large)
{
    struct parts p;
    for (size_t i = 0; i < COUNT; i++) {
        made.bytes[made.part + i] = i < 20 ? 0 : i < 30 ? 1 : 2;
        if (i % 10 == 3 || i >= 30)
            graph_file_f32(made.bytes + made.target + 4 * i, NAN);
    }
    open_it();
    ck_assert_int_eq(make(&p, (struct parts_options){.most_atoms = 25}), 0);
    ck_assert(p.test_is_valid && p.part[GRAPH_TRAIN].count == 18 && p.part[GRAPH_VALID].count == 4);
    ck_assert_uint_eq(p.no_target, 2 + 1 + 10);
    ck_assert_uint_eq(p.large, 5);
    ck_assert_uint_eq(p.first_large, 27);
    ck_assert_mem_eq(p.part[GRAPH_TEST].graphs, p.part[GRAPH_VALID].graphs, 16);
    parts_free(&p);
    ck_assert_int_eq(make(&p, (struct parts_options){.most_atoms = 20}), 0); /* nothing to validate with */
    say_hold_errors();
    ck_assert_int_eq(parts_check(&p, &g, GRAPH_TRAIN), 0);
    ck_assert_int_ne(parts_check(&p, &g, GRAPH_VALID), 0);
    say_held_error(false);
    parts_free(&p);
    graphs_close(&g);
}
END_TEST

/* ---- order ---- */

enum { GRAPHS = 103, BATCH = 8 };

static void copy_steps(uint32_t *to, int together, uint64_t seed, int steps)
{
    struct order o = {.count = GRAPHS, .batch = BATCH, .together = together};
    for (int s = 0; s < steps; s++)
        memcpy(to + s * BATCH, order_step(&o, seed, (uint64_t)s), BATCH * sizeof *to);
    order_free(&o);
}

START_TEST(each_once_an_epoch)
{
    enum { STEPS = GRAPHS * 3 }; /* 24 epochs, 103 pools of 3 */
    static uint32_t steps[STEPS * BATCH];
    int times[GRAPHS] = {0};
    copy_steps(steps, 3, 5, STEPS);
    for (int i = 0; i < STEPS * BATCH; i++)
        times[steps[i]]++;
    for (int i = 0; i < GRAPHS; i++)
        ck_assert_int_eq(times[i], 24);
}
END_TEST

START_TEST(like_size_together)
{
    enum { TOGETHER = 12, STEPS = 60 }; /* 12 * 8 of 103 */
    static uint32_t steps[STEPS * BATCH], apart[STEPS * BATCH];
    long spread = 0, before = 0, falls = 0;
    copy_steps(steps, TOGETHER, 7, STEPS);
    copy_steps(apart, 1, 7, STEPS);
    for (int s = 0; s < STEPS; s++) {
        for (int i = 1; i < BATCH; i++)
            ck_assert_uint_le(steps[s * BATCH + i - 1], steps[s * BATCH + i]);
        spread += steps[s * BATCH + BATCH - 1] - steps[s * BATCH];
        before += apart[s * BATCH + BATCH - 1] - apart[s * BATCH];
        falls += s && steps[s * BATCH] < steps[(s - 1) * BATCH];
    }
    ck_assert_int_lt(5 * spread, before);
    ck_assert(falls > STEPS / 4 && falls < 3 * STEPS / 4); /* in no order of size */
}
END_TEST

START_TEST(follows_from_seed_and_step)
{
    enum { STEPS = 40 };
    static uint32_t steps[STEPS * BATCH], other[STEPS * BATCH];
    struct order o = {.count = GRAPHS, .batch = BATCH, .together = 5};
    copy_steps(steps, 5, 9, STEPS);
    for (int i = 0; i < 3 * STEPS; i++) { /* whatever was asked for before */
        const int s = (i * 17) % STEPS;
        ck_assert_mem_eq(order_step(&o, 9, (uint64_t)s), steps + s * BATCH, BATCH * sizeof *steps);
        if (i % 7 == 0)
            order_step(&o, 10, (uint64_t)s);
    }
    order_free(&o);
    copy_steps(other, 5, 10, STEPS);
    ck_assert_mem_ne(other, steps, sizeof steps);
}
END_TEST

START_TEST(fewer_than_a_step)
{
    struct order o = {.count = 3, .batch = BATCH, .together = 5};
    int times[3] = {0};
    for (int s = 0; s < 3; s++) {
        const uint32_t *of_step = order_step(&o, 1, (uint64_t)s);
        for (int i = 0; i < BATCH; i++)
            times[of_step[i]]++;
    }
    ck_assert(times[0] == 8 && times[1] == 8 && times[2] == 8);
    order_free(&o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("order");
    TCase *all = tcase_create("all");
    const int file = mkstemp(path);
    if (file < 0)
        return EXIT_FAILURE;
    close(file);
    tcase_add_checked_fixture(all, begin, NULL);
    tcase_add_test(all, drawn);
    tcase_add_test(all, of_the_file);
    tcase_add_test(all, without_targets_or_too_large);
    tcase_add_test(all, each_once_an_epoch);
    tcase_add_test(all, like_size_together);
    tcase_add_test(all, follows_from_seed_and_step);
    tcase_add_test(all, fewer_than_a_step);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(path);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Work of micro-batches by the lengths of their sequences, what a source says of these, and runs of like work. */
#include "harness.h"
#include "net/net.h"
#include "train/internal.h"
#include "train/work.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- cutting ---- */

enum { WORKERS = 5, COUNT = 12 };

static void cut(const double *work, int count, const int *shares, int workers, int *ends)
{
    OK(ssa_work_cut(work, count, shares, workers, ends));
}

/* Calls `check` with all shares of `workers` that add up to `left` more, from number `at` on. */
static int checked;
static void for_shares(void (*check)(const int *, int, int), int *shares, int workers, int count, int at, int left)
{
    if (at == workers - 1) {
        shares[at] = left;
        check(shares, workers, count);
        checked++;
        return;
    }
    for (int share = 0; share <= left; share++) {
        shares[at] = share;
        for_shares(check, shares, workers, count, at + 1, left - share);
    }
}

static void for_all(void (*check)(const int *, int, int), int most)
{
    int shares[WORKERS];
    checked = 0;
    for (int workers = 1; workers <= WORKERS; workers++)
        for (int count = 0; count <= most; count++)
            for_shares(check, shares, workers, count, 0, count);
}

static void check_equal(const int *shares, int workers, int count)
{
    static const double alike[] = {1, 0, 0.1, 1.0 / 3, 1e9, 12345.678};
    double work[COUNT];
    int ends[WORKERS];
    for (size_t a = 0; a < sizeof alike / sizeof *alike; a++) {
        for (int i = 0; i < count; i++)
            work[i] = alike[a];
        cut(work, count, shares, workers, ends);
        for (int i = 0, begin = 0; i < workers; begin = ends[i++])
            ck_assert_int_eq(ends[i] - begin, shares[i]);
    }
}

START_TEST(equal_work_is_cut_by_number)
{
    for_all(check_equal, COUNT);
    ck_assert_int_gt(checked, 8000);
}
END_TEST

static double random_work(int kind)
{
    const double u = (double)rand() / RAND_MAX;
    return kind == 0 ? 1 + u : kind == 1 ? pow(u, 8) * 100 : kind == 2 ? (double)(rand() % 3) : 1 + 1e-9 * u;
}

/* The largest work for its share. */
static double most_of(const double *work, const int *shares, int workers, const int *ends)
{
    double most = 0;
    for (int i = 0, at = 0; i < workers; i++) {
        double sum = 0;
        for (; at < ends[i]; at++)
            sum += work[at];
        most = shares[i] && sum / shares[i] > most ? sum / shares[i] : most;
    }
    return most;
}

/* Of all runs that are allowed the least of these, by trying them. */
static double least_of(const double *work, int count, const int *shares, int workers, int *ends, int at)
{
    const int begin = at ? ends[at - 1] : 0;
    double least = DBL_MAX;
    if (at == workers)
        return begin == count ? most_of(work, shares, workers, ends) : DBL_MAX;
    for (int end = begin + (shares[at] > 0); end <= (shares[at] ? count : begin); end++) {
        ends[at] = end;
        const double most = least_of(work, count, shares, workers, ends, at + 1);
        least = most < least ? most : least;
    }
    return least;
}

static void check_mixed(const int *shares, int workers, int count)
{
    double work[COUNT];
    int ends[WORKERS], others[WORKERS];
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < count; i++)
            work[i] = random_work(kind);
        cut(work, count, shares, workers, ends);
        ck_assert_int_eq(ends[workers - 1], count);
        for (int i = 0, begin = 0; i < workers; begin = ends[i++])
            ck_assert_msg(shares[i] ? ends[i] > begin : ends[i] == begin, "worker %d of share %d has [%d, %d)", i,
                          shares[i], begin, ends[i]);
        if (count < 1)
            continue;
        const double got = most_of(work, shares, workers, ends);
        const double want = least_of(work, count, shares, workers, others, 0);
        ck_assert_msg(got <= want * (1 + 1e-12), "%d workers, %d micro-batches: %.17g, %.17g is possible", workers,
                      count, got, want);
    }
}

START_TEST(mixed_work_is_cut_as_well_as_can_be)
{
    srand(1);
    for_all(check_mixed, 8);
}
END_TEST

/* A step as pools have them: every run is within the largest micro-batch of its part, of the speed of its worker. */
START_TEST(mixed_work_is_balanced)
{
    enum { MANY = 64 };
    static const int shares[][WORKERS] = {{64}, {32, 32}, {51, 13}, {13, 51}, {16, 16, 16, 16}, {0, 63, 1}, {40, 0, 24},
                                          {1, 1, 1, 1, 60}, {20, 11, 5, 17, 11}};
    srand(2);
    for (size_t c = 0; c < sizeof shares / sizeof *shares; c++)
        for (int round = 0; round < 200; round++) {
            double work[MANY], largest = 0, all = 0;
            int ends[WORKERS], slowest = MANY;
            for (int i = 0; i < MANY; i++) {
                work[i] = random_work(round % 2);
                largest = work[i] > largest ? work[i] : largest;
                all += work[i];
            }
            for (int i = 0; i < WORKERS; i++)
                slowest = shares[c][i] && shares[c][i] < slowest ? shares[c][i] : slowest;
            cut(work, MANY, shares[c], WORKERS, ends);
            ck_assert_double_le(most_of(work, shares[c], WORKERS, ends), all / MANY + largest / slowest);
        }
}
END_TEST

START_TEST(few_micro_batches)
{
    int ends[3];
    cut((double[]){3, 1}, 2, (int[]){0, 1, 1}, 3, ends); /* more workers than there are */
    ck_assert(ends[0] == 0 && ends[1] == 1 && ends[2] == 2);
    cut((double[]){3, 1, 1, 1}, 4, (int[]){2, 2}, 2, ends); /* by number {3, 1}, {1, 1} */
    ck_assert(ends[0] == 1 && ends[1] == 4);
    cut((double[]){9, 1, 1, 1}, 4, (int[]){1, 3}, 2, ends); /* at least one, however large */
    ck_assert(ends[0] == 1 && ends[1] == 4);
    cut((double[]){5, 4}, 2, (int[]){2}, 1, ends);
    ck_assert_int_eq(ends[0], 2);
    cut(NULL, 0, (int[]){0, 0}, 2, ends);
    ck_assert(ends[0] == 0 && ends[1] == 0);
}
END_TEST

/* ---- work ---- */

static const struct ssa_model_config egt = {.family = SSA_EGT, .egt = {.nodes = 30, .node_ids = 9, .node_values = 16,
    .edge_ids = 3, .edge_values = 8, .hops = 17, .layers = 3, .heads = 4, .width = 32, .edge_width = 8,
    .virtual_nodes = 2, .hidden_ratio = 1.5f}};

/* Elements of matrices of layers: of edges or not. */
static double elements(const struct ssa_model_config *config, bool of_edges)
{
    struct ssa_parameter_list list;
    double sum = 0;
    OK(ssa_model_list(config, &list));
    for (int i = 0; i < list.count; i++) {
        const char *name = list.table[i].name;
        if (!strncmp(name, "layer.", 6) && strstr(name, ".weight") && (strstr(name, "edge.") != NULL) == of_edges)
            sum += (double)list.table[i].count;
    }
    free(list.table);
    return sum;
}

START_TEST(products_are_those_of_the_matrices)
{
    for (int mode = SSA_EDGES_ALL; mode <= SSA_EDGES_FIXED; mode++) {
        struct ssa_model_config config = egt;
        config.egt.edge_mode = mode;
        const struct ssa_facts f = ssa_model_facts(&config);
        ck_assert_double_eq_tol(f.per_position, elements(&config, false), 0.1);
        ck_assert_double_eq_tol(f.per_pair, elements(&config, true), 0.1);
        ck_assert_double_eq_tol(f.per_seen, 3 * 2 * 32, 0.1);
    }
}
END_TEST

static double work_of(const struct ssa_facts *f, int count, ...)
{
    int32_t lengths[8];
    va_list all;
    va_start(all, count);
    for (int i = 0; i < count; i++)
        lengths[i] = va_arg(all, int);
    va_end(all);
    return ssa_work_of(f, lengths, count);
}

START_TEST(work)
{
    const struct ssa_facts f = ssa_model_facts(&egt), gpt = ssa_model_facts(&(struct ssa_model_config){.gpt = {
        .layers = 2, .heads = 2, .width = 64, .vocabulary = 64, .length = 64}});
    const struct ssa_facts plain = {.mixed = true, .lead = 1, .layers = 2, .width = 16};
    const int32_t some[] = {5, 6};
    ck_assert_double_eq(ssa_work_of(&gpt, some, 2), 1);
    ck_assert_double_eq(ssa_work_of(&f, NULL, 2), 1);
    ck_assert_double_eq_tol(work_of(&f, 2, 10, 20), (64 + 40) * f.per_position + 4 * 2 * 400 * f.per_pair +
                                                        6 * 500 * f.per_seen, 1);
    ck_assert_double_eq_tol(work_of(&plain, 2, 3, 0), (64 + 6) * 2 * 12 * 256 + 6 * 9 * 2 * 32, 1e-6);
    ck_assert_double_eq(work_of(&f, 2, 0, 0) - work_of(&f, 2, 3, 3), -6 * 18 * f.per_seen); /* one node is padding */
    ck_assert_double_gt(work_of(&f, 4, 30, 5, 5, 5), 0.75 * work_of(&f, 4, 30, 30, 30, 30)); /* padded */
    ck_assert_double_lt(work_of(&f, 4, 30, 5, 5, 5), work_of(&f, 4, 30, 5, 5, 6));
    ck_assert_double_lt(work_of(&f, 4, 5, 5, 5, 5), 0.5 * work_of(&f, 4, 30, 5, 5, 5));
    ck_assert_double_eq(work_of(&f, 3, 7, 20, 9), work_of(&f, 3, 20, 9, 7));
}
END_TEST

/* ---- what a source says ---- */

enum { STEP = 12 };
struct source {
    int32_t lengths[STEP];
    struct ssa_draw draw; /* the last one asked for */
    int status, said;     /* said: so many of them */
};

static int sizes(void *cookie, const struct ssa_draw *draw, int32_t *lengths)
{
    struct source *s = cookie;
    s->draw = *draw;
    for (int i = 0; i < draw->count && i < s->said; i++)
        lengths[i] = s->lengths[draw->first + (uint64_t)i];
    return s->status;
}

static int fill(void *cookie, const struct ssa_draw *draw, struct ssa_batch *batch)
{
    (void)cookie;
    (void)draw;
    (void)batch;
    return SSA_EIO;
}

START_TEST(work_of_a_step)
{
    const struct ssa_facts f = ssa_model_facts(&egt);
    struct source s = {.lengths = {2, 3, 4, 32, 0, 2, 7, 7, 7, 20, 2, 2}, .said = STEP};
    struct ssa_data data = {.fill = fill, .sizes = sizes, .cookie = &s, .examples = 1};
    struct ssa_draw draw = {.training = 1, .count = STEP, .length = f.length, .answers = 1, .seed = 3, .step = 6};
    double work[STEP];
    OK(ssa_work_draw(&data, &f, &draw, 3, work));
    ck_assert(s.draw.step == 6 && s.draw.seed == 3 && s.draw.count == STEP && s.draw.length == 32 && !s.draw.first);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(work[i], ssa_work_of(&f, s.lengths + 3 * i, 3));
    draw.first = 6; /* of a rank, as it may be */
    draw.count = 6;
    OK(ssa_work_draw(&data, &f, &draw, 3, work));
    ck_assert_double_eq(work[1], ssa_work_of(&f, s.lengths + 9, 3));
    data.sizes = NULL;
    OK(ssa_work_draw(&data, &f, &draw, 2, work));
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(work[i], 1);
}
END_TEST

START_TEST(misuse)
{
    const struct ssa_facts f = ssa_model_facts(&egt), gpt = ssa_model_facts(&(struct ssa_model_config){.gpt = {
        .layers = 2, .heads = 2, .width = 64, .vocabulary = 256, .length = 4}});
    struct source s = {.lengths = {2, 3, 4, 5, 5, 5}, .said = STEP};
    struct ssa_data data = {.fill = fill, .sizes = sizes, .cookie = &s, .examples = 1};
    const struct ssa_draw draw = {.training = 1, .count = 6, .length = f.length, .step = 6, .first = 2};
    double work[STEP];
#define WORK ssa_work_draw(&data, &f, &draw, 2, work)
    s.lengths[6] = 33;
    FAILS(WORK, SSA_EINVAL, "data: step 7: sizes gives sequence 6 a length of 33, must be 0 or in [2, 32]");
    s.lengths[6] = 1;
    FAILS(WORK, SSA_EINVAL, "sequence 6 a length of 1, must be");
    s.lengths[6] = -1;
    FAILS(WORK, SSA_EINVAL, "sequence 6 a length of -1, must be");
    s.said = 3;
    FAILS(WORK, SSA_EINVAL, "sequence 5 a length of -1, must be");
    s.status = SSA_ENOMEM;
    FAILS(WORK, SSA_ENOMEM, "data: step 7: sizes returned");
    s.status = 9;
    FAILS(WORK, SSA_EIO, "data: step 7: sizes returned 9");
    OK(ssa_data_check(&data, f, 1));
    FAILS(ssa_data_check(&data, gpt, 1), SSA_EINVAL, "sizes is given, but all sequences of this kind of model are of");
    data.items = "0123456789";
    data.count = 10;
    FAILS(ssa_data_check(&data, f, 1), SSA_EINVAL, "items and fill");
    data.fill = NULL;
    FAILS(ssa_data_check(&data, gpt, 1), SSA_EINVAL, "sizes is given without fill; sequences of token ids are all of");
    data.sizes = NULL;
    OK(ssa_data_check(&data, gpt, 1));
}
END_TEST

int main(void)
{
    return test_run_alone("work", (const TTest *const[]){
        equal_work_is_cut_by_number, mixed_work_is_cut_as_well_as_can_be, mixed_work_is_balanced, few_micro_batches,
        products_are_those_of_the_matrices, work, work_of_a_step, misuse, NULL});
}

/* Units of work and the sums of an ensemble, without a device: whatever the order, whoever it is, the same bits. */
#include "harness.h"
#include "evaluate/ensemble.h"
#include "evaluate/units.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- sums ---- */

enum { PASSES = 12, BATCHES = 5, TOKENS = 100, UNITS = PASSES * BATCHES, THREADS = 4 };
static const size_t first[BATCHES + 1] = {0, 30, 31, 60, 90, TOKENS};
static float *losses[PASSES]; /* TOKENS each */

/* A token's loss, and what a pass adds to it; `noise` is how much passes differ. */
static void make_losses(float noise)
{
    float *base = test_values(TOKENS, 1, 0.5f, 4);
    for (int p = 0; p < PASSES; p++) {
        losses[p] = test_values(TOKENS, 2 + (uint64_t)p, -noise, noise);
        for (int i = 0; i < TOKENS; i++)
            losses[p][i] += base[i];
    }
    free(base);
}

static void free_losses(void)
{
    for (int p = 0; p < PASSES; p++)
        free(losses[p]);
}

static int add(struct ssa_ensemble *e, int unit)
{
    int pass = unit / BATCHES, batch = unit % BATCHES;
    size_t count = first[batch + 1] - first[batch];
    float *mine = malloc(count * sizeof *mine);
    memcpy(mine, losses[pass] + first[batch], count * sizeof *mine);
    return ssa_ensemble_add(e, pass, (size_t)batch, (struct ssa_answers){.count = count, .values = mine});
}

/* Units in an order that depends on `seed`; 0: their own. */
static void shuffle(int order[UNITS], unsigned seed)
{
    for (int i = 0; i < UNITS; i++)
        order[i] = i;
    for (int i = UNITS - 1; seed && i > 0; i--) {
        seed = seed * 1664525u + 1013904223u;
        int k = (int)((seed >> 8) % (unsigned)(i + 1)), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
}

struct adding {
    struct ssa_ensemble *e;
    const int *order;
    int from, failed;
};

static void *add_some(void *cookie)
{
    struct adding *a = cookie;
    for (int i = a->from; i < UNITS; i += THREADS)
        a->failed |= add(a->e, a->order[i]);
    return NULL;
}

static void add_by_threads(struct ssa_ensemble *e, const int order[UNITS])
{
    pthread_t threads[THREADS];
    struct adding a[THREADS];
    for (int i = 0; i < THREADS; i++) {
        a[i] = (struct adding){e, order, i, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_some, &a[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(a[i].failed, 0);
    }
}

struct sums {
    int passes;
    double ensemble[PASSES], singles[PASSES], single, spread, unsettled;
};

static struct sums sums_of(unsigned seed, bool threads, double tolerance)
{
    struct ssa_ensemble *e;
    struct sums s = {0};
    int order[UNITS];
    shuffle(order, seed);
    OK(ssa_ensemble_create(&e, &(struct ssa_ensemble_config){.passes = PASSES, .batches = BATCHES, .first = first,
        .tolerance = tolerance}));
    if (threads)
        add_by_threads(e, order);
    else
        for (int i = 0; i < UNITS; i++) {
            ck_assert(i || !ssa_ensemble_complete(e));
            ck_assert(!ssa_ensemble_has(e, order[i] / BATCHES, (size_t)(order[i] % BATCHES)));
            OK(add(e, order[i]));
        }
    ck_assert(ssa_ensemble_complete(e) && ssa_ensemble_has(e, 0, 0));
    struct ssa_ensemble_result r = ssa_ensemble_result(e);
    s.passes = r.passes;
    memcpy(s.ensemble, r.ensemble, (size_t)r.passes * sizeof *s.ensemble);
    memcpy(s.singles, r.singles, (size_t)r.passes * sizeof *s.singles);
    s.single = r.single;
    s.spread = r.spread;
    s.unsettled = r.unsettled;
    ssa_ensemble_destroy(e);
    return s;
}

START_TEST(sums_are_right)
{
    double p[TOKENS] = {0};
    make_losses(0.7f);
    struct sums s = sums_of(0, false, 0);
    ck_assert_int_eq(s.passes, PASSES);
    for (int m = 0; m < PASSES; m++) {
        double together = 0, alone = 0;
        for (int i = 0; i < TOKENS; i++) {
            p[i] += exp(-(double)losses[m][i]);
            together -= log(p[i] / (m + 1)) / TOKENS;
            alone += (double)losses[m][i] / TOKENS;
        }
        ck_assert_double_eq_tol(s.ensemble[m], together, 1e-12);
        ck_assert_double_eq_tol(s.singles[m], alone, 1e-12);
    }
    free_losses();
}
END_TEST

START_TEST(any_order_gives_the_same_bits)
{
    make_losses(0.7f);
    for (int stops = 0; stops < 2; stops++) { /* all passes; as many as a tolerance wants */
        const double tolerance = stops ? 0.06 : 0;
        struct sums want = sums_of(0, false, tolerance);
        ck_assert(stops ? want.passes >= 4 && want.passes < PASSES : want.passes == PASSES);
        for (unsigned seed = 1; seed <= 200; seed++) {
            struct sums got = sums_of(seed, seed % 2, tolerance);
            ck_assert_msg(!memcmp(&got, &want, sizeof got), "order %u: %d passes, %.17g; not %d, %.17g", seed,
                          got.passes, got.ensemble[got.passes - 1], want.passes, want.ensemble[want.passes - 1]);
        }
    }
    free_losses();
}
END_TEST

/* The first passes whose loss has settled, by the definition in the header. */
START_TEST(settles)
{
    make_losses(0.3f);
    struct sums all = sums_of(0, false, 0);
    int last = 0;
    for (double tolerance = 0.2; tolerance > 0.004; tolerance *= 0.8) {
        struct sums s = sums_of(0, false, tolerance);
        int m = s.passes, half = m / 2, before = m - 1;
        ck_assert_int_ge(m, last);
        ck_assert_int_ge(m, 4);
        last = m;
        ck_assert(m == PASSES || s.unsettled <= tolerance);
        ck_assert(!memcmp(s.ensemble, all.ensemble, (size_t)m * sizeof *s.ensemble));
        double want = fabs(s.ensemble[half - 1] - s.ensemble[m - 1]) * half / (m - half) + s.spread / sqrt(m);
        ck_assert_double_eq_tol(s.unsettled, want, 1e-15);
        if (before >= 4) {
            double mean = 0, squares = 0;
            for (int i = 0; i < before; i++)
                mean += s.singles[i] / before;
            for (int i = 0; i < before; i++)
                squares += (s.singles[i] - mean) * (s.singles[i] - mean);
            half = before / 2;
            ck_assert(fabs(s.ensemble[half - 1] - s.ensemble[before - 1]) * half / (before - half) +
                      sqrt(squares / (before - 1) / before) > tolerance);
        }
    }
    ck_assert_int_eq(last, PASSES);
    free_losses();
}
END_TEST

START_TEST(nothing_that_is_no_number_settles)
{
    make_losses(0);
    losses[0][7] = NAN;
    struct sums s = sums_of(3, false, 1e9);
    ck_assert(s.passes == PASSES && isnan(s.ensemble[0]) && isnan(s.single));
    losses[0][7] = 1;
    s = sums_of(3, false, 1e9);
    ck_assert_int_eq(s.passes, 4);
    free_losses();
}
END_TEST

/* ---- hand-out ---- */

enum { LAYERS = 2, COUNT = 30, LENGTH = 32 };

static int settings(void *cookie, uint64_t unit, int layer, struct ssa_sample *how)
{
    const uint64_t *wrong = cookie;
    *how = (struct ssa_sample){.kind = layer ? SSA_UNBIASED : SSA_DENSE, .length = LENGTH, .keys = 8, .step = unit,
                               .layer = (uint32_t)layer};
    return wrong && *wrong == unit ? ssa_fail(SSA_EIO, "unit %d is wrong", (int)unit) : SSA_OK;
}

static struct ssa_units *units(size_t count, int takers, int layers, uint64_t *wrong)
{
    struct ssa_units *u;
    OK(ssa_units_create(&u, &(struct ssa_units_config){count, takers, layers, settings, wrong}));
    return u;
}

static void check_plans(const struct ssa_unit *unit)
{
    struct ssa_plan want = {0};
    struct ssa_sample how;
    settings(NULL, unit->number, 1, &how);
    OK(ssa_plan_draw(&want, &how));
    ck_assert_ptr_null(unit->plans[0]);
    ck_assert(want.stride == unit->plans[1]->stride &&
              !memcmp(want.data, unit->plans[1]->data, want.stride * sizeof *want.data));
    ssa_plan_finish(&want);
}

START_TEST(units_in_order)
{
    for (int layers = 0; layers <= LAYERS; layers += LAYERS) {
        struct ssa_units *u = units(COUNT, 1, layers, NULL);
        struct ssa_unit unit;
        for (size_t i = 0; i < COUNT; i++) {
            ck_assert_uint_eq(ssa_units_left(u), COUNT - i);
            OK(ssa_units_take(u, true, &unit));
            ck_assert_uint_eq(unit.number, i);
            ck_assert((unit.plans != NULL) == (layers > 0));
            if (layers)
                check_plans(&unit);
            ssa_units_used(u, &unit);
        }
        OK(ssa_units_take(u, true, &unit));
        ck_assert(unit.number == SSA_UNIT_NONE && !ssa_units_left(u));
        ssa_units_again(u, 3); /* the last of all, and one more */
        ssa_units_again(u, 4);
        ck_assert_uint_eq(ssa_units_left(u), 2);
        for (int i = 0, seen = 0; i < 2; i++) {
            OK(ssa_units_take(u, true, &unit));
            seen += (int)unit.number;
            ck_assert(i == 0 || seen == 7);
            ssa_units_used(u, &unit);
        }
        ssa_units_again(u, 5);
        ssa_units_close(u);
        OK(ssa_units_take(u, true, &unit));
        ck_assert(unit.number == SSA_UNIT_NONE && !ssa_units_left(u));
        ssa_units_destroy(u);
    }
    ssa_units_destroy(NULL);
}
END_TEST

struct taking {
    struct ssa_units *u;
    int seen[COUNT], failed;
    pthread_t thread;
};

static void *take_all(void *cookie)
{
    struct taking *t = cookie;
    struct ssa_unit unit;
    do {
        t->failed |= ssa_units_take(t->u, true, &unit);
        if (unit.number != SSA_UNIT_NONE) {
            if (unit.number % 7 == 3 && !t->seen[unit.number]) {
                ssa_units_used(t->u, &unit);
                ssa_units_again(t->u, unit.number);
                t->seen[unit.number] = 1;
                continue;
            }
            t->failed |= unit.plans[1]->data[0] != LENGTH && unit.plans[1]->length != LENGTH;
            ssa_units_used(t->u, &unit);
            t->seen[unit.number] += 100;
        }
    } while (unit.number != SSA_UNIT_NONE);
    return NULL;
}

START_TEST(each_unit_once)
{
    struct ssa_units *u = units(COUNT, THREADS, LAYERS, NULL);
    struct taking t[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        t[i].u = u;
        ck_assert_int_eq(pthread_create(&t[i].thread, NULL, take_all, &t[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i].thread, NULL);
    for (int n = 0; n < COUNT; n++) {
        int done = 0;
        for (int i = 0; i < THREADS; i++) {
            ck_assert_int_eq(t[i].failed, 0);
            done += t[i].seen[n] / 100;
        }
        ck_assert_msg(done == 1, "unit %d was done %d times", n, done);
    }
    ssa_units_destroy(u);
}
END_TEST

START_TEST(wrong_draws_are_told)
{
    uint64_t wrong = 2;
    struct ssa_units *u = units(COUNT, 1, LAYERS, &wrong);
    struct ssa_unit unit;
    for (int i = 0; i < 2; i++) {
        OK(ssa_units_take(u, true, &unit));
        ssa_units_used(u, &unit);
    }
    FAILS(ssa_units_take(u, true, &unit), SSA_EIO, "unit 2 is wrong");
    ssa_units_destroy(u);
}
END_TEST

int main(void)
{
    return test_run_alone("units", (const TTest *const[]){sums_are_right, any_order_gives_the_same_bits, settles,
        nothing_that_is_no_number_settles, units_in_order, each_unit_once, wrong_draws_are_told, NULL});
}

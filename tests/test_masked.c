/* What is not seen has no influence, whatever it is: with NaN or infinity in positions that the causal mask hides or
 * that are padding, all that does not depend on them keeps its value to the last bit, forward and backward (0 may change
 * its sign: 0 times a hidden score has the sign of that score); and padding answers 0, whatever others see. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 1, WIDEST = 64 };
static struct {
    int n, real, keys, local_keys; /* `real` ends within a tile, and within a vector of rows */
} size = {139, 70, 48, 24};
enum { Q, K, V, OUT, LSE, DOUT, DQ, DK, DV, OPERANDS };

struct problem {
    struct ssa_device *dev;
    struct ssa_plan plan;
    int width, causal;
    struct ssa_tensor plan_data, t[OPERANDS];
    float *clean[OPERANDS];
    char what[128];
};

static size_t count_of(const struct problem *p, int operand)
{
    return (size_t)size.n * HEADS * (operand == LSE ? 1 : (size_t)p->width);
}

static void run(struct problem *p, bool backward)
{
    if (!backward) {
        OK(ssa_attention_fwd(p->dev, &(struct ssa_attention_fwd){{
            .q = p->t[Q], .k = p->t[K], .v = p->t[V], .out = p->t[OUT], .lse = p->t[LSE], .plan = &p->plan,
            .plan_data = p->plan_data, .batch = 1, .keys = size.n, .heads = HEADS, .width = p->width,
            .causal = p->causal}}));
        return;
    }
    OK(ssa_attention_bwd(p->dev, &(struct ssa_attention_bwd){
        .attention = {.q = p->t[Q], .k = p->t[K], .v = p->t[V], .out = p->t[OUT], .lse = p->t[LSE], .plan = &p->plan,
        .plan_data = p->plan_data, .batch = 1, .keys = size.n, .heads = HEADS, .width = p->width,
        .causal = p->causal}, .dout = p->t[DOUT], .dq = p->t[DQ], .dk = p->t[DK], .dv = p->t[DV]}));
}

static const char *const names[] = {"q", "k", "v", "out", "lse", "dout", "dq", "dk", "dv"};

/* Rows [first, end) of an operand are what they are without poison. */
static void unchanged(const struct problem *p, int operand, int first, int end, const char *how)
{
    float *now = test_read(p->t[operand], count_of(p, operand));
    const size_t wide = count_of(p, operand) / (size_t)size.n;
    for (size_t i = (size_t)first * wide; i < (size_t)end * wide; i++)
        ck_assert_msg(now[i] == p->clean[operand][i], "%s, %s: %s of row %zu: %g, without %g", p->what, how,
                      names[operand], i / wide, (double)now[i], (double)p->clean[operand][i]);
    free(now);
}

/* Who sees what is not finite answers so: dense, so that all rows after it do. */
static void reached(const struct problem *p, int operand, int row, const char *how)
{
    float *now = test_read(p->t[operand], count_of(p, operand));
    const size_t wide = count_of(p, operand) / (size_t)size.n;
    for (size_t i = (size_t)row * wide; i < (size_t)(row + 1) * wide && p->plan.max_keys == size.n; i++)
        ck_assert_msg(!isfinite(now[i]), "%s, %s: %s of row %d: %g", p->what, how, names[operand], row, (double)now[i]);
    free(now);
}

/* Rows [first, end) of one operand, or of two, become `value`; all others are put back. */
static void poison(const struct problem *p, int a, int b, int first, int end, float value)
{
    const int both[] = {a, b};
    for (int n = 0; n < 2; n++) {
        const size_t count = count_of(p, both[n]), wide = count / (size_t)size.n;
        float *x = malloc(count * sizeof *x);
        memcpy(x, p->clean[both[n]], count * sizeof *x);
        for (size_t i = (size_t)first * wide; i < (size_t)end * wide; i++)
            x[i] = value;
        OK(ssa_tensor_write(p->t[both[n]], x, count));
        free(x);
    }
}

static void check_position(struct problem *p, int at, float value)
{
    char how[64];
    snprintf(how, sizeof how, "%g in row %d of v", (double)value, at);
    poison(p, V, V, at, at + 1, value);
    run(p, false);
    unchanged(p, OUT, 0, at, how);
    unchanged(p, LSE, 0, at, how);
    reached(p, OUT, at, how);
    reached(p, OUT, size.n - 1, how);
    snprintf(how, sizeof how, "%g in row %d of k and v", (double)value, at);
    poison(p, K, V, at, at + 1, value);
    run(p, false);
    unchanged(p, OUT, 0, at, how);
    unchanged(p, LSE, 0, at, how);
    poison(p, OUT, LSE, 0, 0, 0);
    run(p, true);
    unchanged(p, DQ, 0, at, how);
    reached(p, DQ, at, how);
    reached(p, DQ, size.n - 1, how);
    poison(p, K, V, 0, 0, 0);
    snprintf(how, sizeof how, "%g in row %d of q and dout", (double)value, at);
    poison(p, Q, DOUT, at, at + 1, value);
    run(p, true);
    unchanged(p, DQ, 0, at, how);
    unchanged(p, DQ, at + 1, size.n, how);
    unchanged(p, DK, at + 1, size.n, how);
    unchanged(p, DV, at + 1, size.n, how);
    reached(p, DK, 0, how);
    reached(p, DV, at, how);
    poison(p, Q, DOUT, 0, 0, 0);
    snprintf(how, sizeof how, "%g in row %d of dout", (double)value, at);
    poison(p, DOUT, DOUT, at, at + 1, value);
    run(p, true);
    unchanged(p, DV, at + 1, size.n, how);
    reached(p, DV, 0, how);
    reached(p, DV, at, how);
    poison(p, DOUT, DOUT, 0, 0, 0);
}

/* Forward and backward: rows from `first` on keep their bits. */
static void check_rows(struct problem *p, int first, const char *how)
{
    static const int results[] = {OUT, LSE, DQ, DK, DV};
    run(p, false);
    run(p, true);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        unchanged(p, results[i], first, size.n, how);
}

static void check_padding(struct problem *p, float value)
{
    char how[64];
    for (size_t i = (size_t)size.real * (size_t)p->width; i < count_of(p, OUT); i++)
        ck_assert_msg(p->clean[OUT][i] == 0 && p->clean[DQ][i] == 0, "%s: padding answers", p->what);
    snprintf(how, sizeof how, "%g in v of what is no padding", (double)value);
    poison(p, V, V, 0, size.real, value);
    check_rows(p, size.real, how);
    snprintf(how, sizeof how, "%g in k and v of what is no padding", (double)value);
    poison(p, K, V, 0, size.real, value);
    check_rows(p, size.real, how);
    snprintf(how, sizeof how, "%g in padding of q, k, v and dout", (double)value);
    poison(p, K, V, size.real, size.n, value);
    poison(p, Q, DOUT, size.real, size.n, value);
    check_rows(p, 0, how);
}

static void check(struct ssa_device *dev, const char *name, const struct ssa_sample *how, int width)
{
    const int positions[] = {1, 6, size.real, size.n - 2};
    struct problem p = {.dev = dev, .width = width, .causal = !how->lengths};
    snprintf(p.what, sizeof p.what, "%s, %s, width %d", dev->info.id, name, width);
    OK(ssa_plan_draw(&p.plan, how));
    p.plan_data = test_plan(dev, &p.plan);
    for (int i = 0; i < OPERANDS; i++) {
        p.clean[i] = test_values(count_of(&p, i), (uint64_t)i, -1, 1);
        p.t[i] = test_from(dev, p.clean[i], count_of(&p, i));
    }
    run(&p, false);
    run(&p, true);
    for (int i = 0; i < OPERANDS; i++) {
        free(p.clean[i]);
        p.clean[i] = test_read(p.t[i], count_of(&p, i));
    }
    if (how->lengths)
        check_padding(&p, NAN);
    for (size_t i = 0; !how->lengths && i < sizeof positions / sizeof *positions; i++)
        check_position(&p, positions[i], i % 2 ? INFINITY : NAN);
    for (int i = 0; i < OPERANDS; i++) {
        test_free(p.t[i], count_of(&p, i));
        free(p.clean[i]);
    }
    test_free(p.plan_data, p.plan.stride);
    ssa_plan_finish(&p.plan);
}

static void check_plans(bool padded)
{
    const int real[] = {size.real};
    const struct {
        const char *name;
        struct ssa_sample how;
    } plans[] = {{"dense", {.length = size.n}},
                 {"sampled", {.kind = SSA_UNBIASED, .length = size.n, .keys = size.keys, .own_key = 1, .seed = 3}},
                 {"local", {.kind = SSA_LOCAL, .length = size.n, .keys = size.local_keys, .own_key = 1, .look_back = 1,
                            .seed = 4}}};
    FOR_DEVICES (dev) {
        /* A width is a program to build, on rusticl half a minute: there test_attention.c's. The host has all. */
        const bool host = dev->info.kind == SSA_DEVICE_HOST, slow = test_launches_slowly(dev);
        for (int width = host || slow ? 16 : WIDEST; width <= (slow ? 16 : WIDEST); width *= 2)
            for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
                struct ssa_sample how = plans[i].how;
                how.lengths = padded ? real : NULL;
                check(dev, plans[i].name, &how, width);
            }
    }
}

START_TEST(masked)
{
    check_plans(false);
}
END_TEST

START_TEST(padded)
{
    check_plans(true);
}
END_TEST

int main(void)
{
    if (!test_fits((size_t)size.n * (size_t)size.n / 2 * WIDEST)) { /* half of the pairs is masked */
        size.n = 45;
        size.real = 22;
        size.keys = 16;
        size.local_keys = 8;
    }
    return test_run("masked", (const TTest *const[]){masked, padded, NULL});
}

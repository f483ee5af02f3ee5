#include "harness.h"
#include "oracle/nag.h"

#include <math.h>
#include <stdlib.h>

/* Four steps of the library and of the oracle from the same start, at rates that rise and fall. `given` is the call
 * without tensors, `want` the same with defaults spelt out; with its `ema`, an average besides. */
static void check_steps(struct ssa_device *dev, size_t n, struct ssa_nag given, struct oracle_nag want)
{
    static const float rates[] = {0.1f, 0.1f, 0.25f, 0.05f};
    float *w = test_values(n, 1, -1, 1), *average = test_values(n, 2, -1, 1), *zero = calloc(n, sizeof *zero);
    double *wd = test_doubles(w, n), *averaged = test_doubles(average, n), *md = calloc(n, sizeof *md);
    const float sumsq = (float)want.sumsq;
    struct ssa_tensor one = test_from(dev, &sumsq, 1);
    given.w = test_from(dev, w, n);
    given.m = test_from(dev, zero, n);
    given.count = n;
    if (want.ema >= 0) {
        given.average = test_from(dev, average, n);
        given.ema = (float)want.ema;
        want.average = averaged;
    }
    if (want.sumsq >= 0)
        given.sumsq = one;
    for (int step = 0; step < 4; step++) {
        float *g = test_values(n, 10 + (uint64_t)step, -1, 1);
        double *gd = test_doubles(g, n);
        given.g = test_from(dev, g, n);
        given.lr = rates[step];
        given.last_lr = step ? rates[step - 1] : 0;
        want.lr = (double)given.lr;
        want.last_lr = (double)rates[step ? step - 1 : 0];
        OK(ssa_nag(dev, &given));
        oracle_nag(&want, wd, gd, md, n);
        test_compare("m", given.m, md, n, 1e-6, 2e-6, "n %zu step %d", n, step);
        test_compare("w", given.w, wd, n, 1e-6, 2e-6, "n %zu step %d", n, step);
        if (want.average)
            test_compare("average", given.average, averaged, n, 1e-6, 2e-6, "n %zu step %d", n, step);
        test_free(given.g, n);
        free(g);
        free(gd);
    }
    test_free(given.w, n), test_free(given.m, n), test_free(given.average, n), test_free(one, 1);
    free(w);
    free(average);
    free(zero);
    free(wd);
    free(averaged);
    free(md);
}

static const struct oracle_nag standard = {.momentum = 0.99, .grad_scale = 1, .sumsq = -1, .ema = -1};

START_TEST(matches_oracle)
{
    static const size_t counts[] = {1, 2, 15, 16, 17, 63, 64, 65, 1009, 1024, 1025, 5003};
    FOR_DEVICES (dev)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            check_steps(dev, counts[i], (struct ssa_nag){0}, standard);
}
END_TEST

/* Known numbers of one parameter of 1 and a gradient of 0.5. */
START_TEST(known)
{
    static const float rates[] = {0.1f, 0.1f, 0.2f, 0.2f};
    static const double want[] = {0.9005, 0.751995, 0.3579551, -0.132144401};
    const float one = 1, half = 0.5f, zero = 0;
    FOR_DEVICES (dev) {
        struct ssa_nag a = {.w = test_from(dev, &one, 1), .g = test_from(dev, &half, 1), .m = test_from(dev, &zero, 1),
                            .count = 1};
        for (int step = 0; step < 4; step++) {
            a.lr = rates[step];
            OK(ssa_nag(dev, &a));
            a.last_lr = a.lr;
            test_compare("w", a.w, &want[step], 1, 3e-7, 0, "step %d", step);
        }
        test_free(a.w, 1), test_free(a.g, 1), test_free(a.m, 1);
    }
}
END_TEST

START_TEST(options)
{
    const struct ssa_nag given = {.momentum = 0.75f, .decay = 0.125f, .clip = 0.5f, .grad_scale = 0.25f};
    const struct oracle_nag want = {.momentum = 0.75, .decay = 0.125, .grad_scale = 0.25, .ema = -1};
    static const double emas[] = {0, 0.5, (double)0.9999f};
    FOR_DEVICES (dev) {
        struct ssa_nag a = given;
        struct oracle_nag o = want;
        o.sumsq = -1;
        check_steps(dev, 65, a, o); /* clip without sumsq: none */
        o.clip = 0.5;
        o.sumsq = 100; /* norm 2.5: clipped to a fifth */
        check_steps(dev, 65, a, o);
        for (size_t i = 0; i < sizeof emas / sizeof *emas; i++) {
            o.ema = emas[i];
            check_steps(dev, 1009, a, o);
        }
        o.ema = -1;
        o.sumsq = 1; /* norm 0.25: as it is */
        check_steps(dev, 65, a, o);
        o.sumsq = 0;
        check_steps(dev, 65, a, o);
        a.momentum = SSA_NONE; /* 0: plain descent */
        a.clip = 0;
        o.momentum = o.clip = 0;
        check_steps(dev, 65, a, o);
    }
}
END_TEST

/* A gradient that is not finite is not taken, with a clip and without. */
START_TEST(not_finite)
{
    enum { COUNT = 37 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float *w = test_values(COUNT, 1, -1, 1), *g = test_values(COUNT, 2, -1, 1);
    g[5] = NAN;
    FOR_DEVICES (dev)
        for (int i = 0; i < 6; i++) {
            struct ssa_tensor kept = test_from(dev, w, COUNT);
            struct ssa_nag a = {.w = test_from(dev, w, COUNT), .g = test_from(dev, g, COUNT),
                                .m = test_from(dev, w, COUNT), .average = test_from(dev, w, COUNT),
                                .sumsq = test_from(dev, &bad[i % 3], 1), .count = COUNT, .lr = 0.1f, .decay = 0.1f,
                                .ema = 0.5f, .clip = i < 3 ? 0 : 0.1f};
            OK(ssa_nag(dev, &a));
            test_same_bits("w", a.w, kept, COUNT);
            test_same_bits("m", a.m, kept, COUNT);
            test_same_bits("average", a.average, kept, COUNT);
            test_free(kept, COUNT), test_free(a.w, COUNT), test_free(a.g, COUNT), test_free(a.m, COUNT);
            test_free(a.average, COUNT), test_free(a.sumsq, 1);
        }
    free(w);
    free(g);
}
END_TEST

/* Where nothing changes, the average of what is there stays it, bit for bit; and w and m are those of no average. */
START_TEST(average_of_the_same)
{
    enum { COUNT = 103 };
    float *w = test_values(COUNT, 4, -1, 1), *g = test_values(COUNT, 5, -1, 1), zero[COUNT] = {0};
    FOR_DEVICES (dev) {
        struct ssa_nag a = {.w = test_from(dev, w, COUNT), .g = test_from(dev, zero, COUNT),
                            .m = test_from(dev, zero, COUNT), .average = test_from(dev, w, COUNT), .count = COUNT,
                            .lr = 0.1f, .ema = 0.999f};
        struct ssa_nag plain = {.w = test_from(dev, w, COUNT), .g = a.g, .m = test_from(dev, zero, COUNT),
                                .count = COUNT, .lr = 0.1f};
        for (int step = 0; step < 3; step++) {
            OK(ssa_nag(dev, &a));
            OK(ssa_nag(dev, &plain));
        }
        test_same_bits("average", a.average, a.w, COUNT);
        OK(ssa_tensor_write(a.g, g, COUNT));
        OK(ssa_nag(dev, &a));
        OK(ssa_nag(dev, &plain));
        test_same_bits("w", a.w, plain.w, COUNT);
        test_same_bits("m", a.m, plain.m, COUNT);
        test_free(a.w, COUNT), test_free(a.g, COUNT), test_free(a.m, COUNT), test_free(a.average, COUNT);
        test_free(plain.w, COUNT), test_free(plain.m, COUNT);
    }
    free(w);
    free(g);
}
END_TEST

START_TEST(bad_arguments)
{
    FOR_DEVICES (dev) {
        struct ssa_tensor t = test_new(dev, 8), u = test_new(dev, 8), v = test_new(dev, 8);
        struct ssa_nag good = {.w = t, .g = u, .m = v, .count = 8, .lr = 1};
        REFUSES(nag, good, count, 0, "count is 0");
        REFUSES(nag, good, lr, NAN, "lr is nan");
        REFUSES(nag, good, lr, -1, "lr is -1");
        REFUSES(nag, good, last_lr, INFINITY, "last_lr is inf");
        REFUSES(nag, good, last_lr, -1, "last_lr is -1");
        REFUSES(nag, good, last_lr, 1e-35f, "lr is 1, too far from last_lr");
        REFUSES(nag, good, momentum, 1, "momentum is 1");
        REFUSES(nag, good, momentum, -0.5f, "momentum is -0.5");
        REFUSES(nag, good, decay, -1, "decay is -1");
        REFUSES(nag, good, clip, NAN, "clip is nan");
        REFUSES(nag, good, grad_scale, -1, "grad_scale is -1");
        REFUSES(nag, good, ema, 0.5f, "ema is 0.5, and there is no average");
        REFUSES(nag, good, ema, 1, "ema is 1, must be in [0, 1)");
        REFUSES(nag, good, average, ssa_tensor_at(t.buffer, t.buffer->bytes / 4 - 7), "average needs 8");
        REFUSES_ABSENT(nag, good, w);
        REFUSES_ABSENT(nag, good, m);
        REFUSES_SMALL(nag, good, g, 8);
        REFUSES_SMALL(nag, good, m, 8);
        REFUSES(nag, good, sumsq, ssa_tensor_at(t.buffer, t.buffer->bytes / 4), "sumsq needs 1");
        test_free(t, 8), test_free(u, 8), test_free(v, 8);
    }
}
END_TEST

int main(void)
{
    return test_run("nag", (const TTest *const[]){matches_oracle, known, options, not_finite, average_of_the_same,
                                                  bad_arguments, NULL});
}
